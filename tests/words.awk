# SPDX-License-Identifier: MIT
# words.awk - the prose of files, one piece a line: "FILE:LINE:TEXT". (for tests/words.sh)
#
# Of C and CUDA: each comment and each string. Of shell, awk, Python and make: runs of comment lines.
# Of other files: paragraphs. The lines of a piece are joined by spaces. POSIX awk.

function flush() {
    if (text != "")
        print name ":" first ":" text
    text = ""
}

function add(s) {
    sub(/^[ \t*#]+/, "", s)
    sub(/[ \t]+$/, "", s)
    if (text == "")
        first = FNR
    text = text == "" ? s : text " " s
}

function scan(s,    c, two) {       # C: state is "" (code), "c" (comment) or "s" (string)
    while (s != "") {
        if (state == "c") {
            c = index(s, "*/")
            add(c ? substr(s, 1, c - 1) : s)
            s = c ? substr(s, c + 2) : ""
            if (c) {
                flush()
                state = ""
            }
        } else if (match(s, /\/\*|\/\/|"|'(\\.|[^'\\])'/)) {
            two = substr(s, RSTART, 2)
            if (two == "/*") {
                flush()
                state = "c"
                s = substr(s, RSTART + 2)
            } else if (two == "//") {
                flush()
                add(substr(s, RSTART + 2))
                flush()
                s = ""
            } else if (substr(s, RSTART, 1) == "'")
                s = substr(s, RSTART + RLENGTH)
            else {
                s = substr(s, RSTART + 1)
                if (match(s, /^([^"\\]|\\.)*/)) {
                    flush()
                    add(substr(s, 1, RLENGTH))
                    flush()
                    s = substr(s, RLENGTH + 2)
                }
            }
        } else
            s = ""
    }
}

FNR == 1 {
    flush()
    name = FILENAME
    sub(/^\.\//, "", name)
    state = ""
    kind = name ~ /\.(c|h|cu|cc)$/ ? "c" : name ~ /\.(sh|awk|py|am|ac|mk)$/ ? "#" : "text"
}
kind == "c" { scan($0); next }
kind == "#" { if ($0 ~ /^[ \t]*#/) add($0); else flush(); next }
/^[ \t]*$/ { flush(); next }
{ add($0) }
END { flush() }
