# SPDX-License-Identifier: MIT
# man3.awk - makes pages for man(1), section 3, from the public headers: one for each header, and one
# for each name, which shows the page of its header.
#     awk -f man3.awk -v out=FOLDER -v date=DATE -v version=VERSION cotangent.3.in HEADER...
#
# A page has the declarations of its header in their order, each with the comment that belongs to it
# by the rules of doxygen_filter.awk. cotangent.3.in becomes cotangent(3), the list of the pages. POSIX
# awk.

function trim(s) { sub(/^[ \t]+/, "", s); sub(/[ \t]+$/, "", s); return s }

function escape(s) {
    gsub(/\\/, "\\e", s)
    gsub(/-/, "\\-", s)
    gsub(/\^/, "\\(ha", s)
    gsub(/~/, "\\(ti", s)
    gsub(/'/, "\\(aq", s)
    gsub(/`/, "\\(ga", s)
    return s
}

# Adds a line. No empty paragraph: .PP is left out after a heading and after .PP.
function put(s) {
    if (s == ".PP" && last ~ /^\.(PP|SH|SS)/)
        return
    last = s
    text = text (s ~ /^\./ && s !~ /^\.(\\"|PP|SH|SS|nf|fi|RS|RE|TH)/ ? "\\&" : "") s "\n"
}

# Words in lines of up to 78 columns.
function fill(s,    word, n, i, l) {
    n = split(s, word, " ")
    l = ""
    for (i = 1; i <= n; i++) {
        if (l != "" && length(l) + 1 + length(word[i]) > 78) {
            put(l)
            l = ""
        }
        l = l (l == "" ? "" : " ") word[i]
    }
    if (l != "")
        put(l)
}

# The lines of a comment as paragraphs and code. first: no .PP before the first paragraph.
function prose(comment, first,    part, n, i, paragraph, code, s) {
    n = split(comment, part, "\n")
    paragraph = ""
    code = 0
    for (i = 1; i <= n + 1; i++) {
        s = i <= n ? part[i] : ""
        if (s ~ /^     / || (code && trim(s) == "" && i < n && part[i + 1] ~ /^     /)) {
            if (paragraph != "") {
                if (!first)
                    put(".PP")
                first = 0
                fill(paragraph)
                paragraph = ""
            }
            if (!code) {
                put(".PP")
                put(".nf")
                put(".RS 4")
            }
            first = 0
            code = 1
            put("\\&" escape(substr(s, 6)))
            continue
        }
        if (code) {
            put(".RE")
            put(".fi")
            code = 0
        }
        if (trim(s) == "" || (trim(s) ~ /^- / && paragraph != "")) {
            if (paragraph != "") {
                if (!first)
                    put(".PP")
                first = 0
                fill(paragraph)
            }
            paragraph = trim(s) == "" ? "" : escape(trim(s))
        } else
            paragraph = paragraph (paragraph == "" ? "" : " ") escape(trim(s))
    }
}

# A declaration in bold, its comments in the ordinary font.
function declaration(s,    n, part, i, cut, l) {
    n = split(s, part, "\n")
    put(".PP")
    put(".nf")
    for (i = 1; i <= n; i++) {
        l = part[i]
        if (l ~ /^[ \t]*(\/\*|\*)/ || in_remark)
            cut = 1
        else
            cut = index(l, "/*") ? index(l, "/*") : length(l) + 1
        in_remark = substr(l, cut) ~ /\/\*/ ? substr(l, cut) !~ /\*\// : in_remark && l !~ /\*\//
        put((cut > 1 ? "\\fB" escape(substr(l, 1, cut - 1)) "\\fR" : "") escape(substr(l, cut)))
    }
    put(".fi")
}

function name_is(s) {
    if (s ~ /^[cC][tT]_[A-Za-z0-9_]+$/ && s !~ /_$/ && !(s in page_of)) {
        page_of[s] = page
        names = names (names == "" ? "" : ", ") s
    }
}

# Notes the names that the code of a block declares, comments and bodies left out.
function note_names(s,    n, part, i, l) {
    gsub(/\/\*([^*]|\*+[^*\/])*\*+\//, " ", s)
    while (gsub(/{[^{}]*}/, " ", s))
        ;
    if (s ~ /^#[ \t]*define/) {
        n = split(s, part, "\n")
        for (i = 1; i <= n; i++)
            if (match(part[i], /^#[ \t]*define[ \t]+[A-Za-z0-9_]+/)) {
                l = substr(part[i], RSTART, RLENGTH)
                sub(/.*[ \t]/, "", l)
                name_is(l)
            }
    }
    gsub(/\n/, " ", s)
    n = split(s, part, ";")
    for (i = 1; i <= n; i++) {
        l = trim(part[i])
        gsub(/CT_WARN_UNUSED|CT_PRINTF\([^)]*\)/, "", l)
        if (match(l, /\(\*ct_[a-z0-9_]+\)/))
            name_is(substr(l, RSTART + 2, RLENGTH - 3))
        else if (l !~ /^(typedef|struct|enum)/ && match(l, /ct_[a-z0-9_]+ ?\(/)) {
            l = substr(l, RSTART, RLENGTH)
            sub(/ ?\($/, "", l)
            name_is(l)
        } else if (l ~ /^(typedef|struct|enum)/) {
            l = trim(l)
            sub(/.*[^A-Za-z0-9_]/, "", l)
            name_is(l)
        }
    }
}

function flush_block() {
    if (code_text != "") {
        declaration(code_text)
        if (comment_text != "") {
            put(".RS 4")
            prose(comment_text, 1)
            put(".RE")
        }
        note_names(code_text)
    } else if (comment_text != "")
        prose(comment_text, 0)
    code_text = comment_text = ""
}

# Reads the comment that begins in line i into comment; returns its last line.
function read_comment(i,    s) {
    comment = ""
    for (;; i++) {
        s = line[i]
        sub(/^[ \t]*\/\*[ ]?/, "", s)
        if (comment != "")
            sub(/^[ \t]*\*/, "", s)
        else
            s = " " s
        comment = comment s "\n"
        if (line[i] ~ /\*\//)
            break
    }
    sub(/[ ]*\*\/[ \t]*\n$/, "", comment)
    return i
}

function header_page(    i, depth, skip, s, e, title, body) {
    page = "cotangent_" header
    sub(/\.h$/, "", page)
    gsub(/\//, "_", page)
    text = names = code_text = comment_text = ""
    last = ".SH"
    e = read_comment(1)
    title = comment
    sub(/^[^-]* - /, "", title)
    body = ""
    if (match(title, /\n *\n/)) {
        body = substr(title, RSTART + RLENGTH)
        title = substr(title, 1, RSTART - 1)
    }
    gsub(/\n */, " ", title)
    if (match(title, /[:.] .*/) && length(title) > 60) {          # the rest of a long sentence
        body = " " substr(title, RSTART + 2) "\n \n" body
        title = substr(title, 1, RSTART - 1)
    }
    sub(/[.:]$/, "", title)
    if (body != "")
        prose(body, 1)
    depth = skip = 0
    for (i = e + 1; i <= count; i++) {
        s = line[i]
        if (s ~ /^#[ \t]*(if|ifdef|ifndef)/ && s !~ /^#ifndef COTANGENT_/)
            skip++
        if (s ~ /^#[ \t]*endif/ && skip)
            skip--
        else if (!skip && s !~ /^#[ \t]*(ifndef|endif|include|undef)/ && s !~ /clang-format/ &&
                 s !~ /^#define COTANGENT_/) {
            if (depth == 0 && s ~ /^\/\* ---- .* ---- \*\/$/) {
                flush_block()
                sub(/^\/\* ---- /, "", s)
                sub(/ ---- \*\/$/, "", s)
                put(".SS " escape(s))
            } else if (depth == 0 && s ~ /^\/\*/) {
                flush_block()
                i = read_comment(i)
                comment_text = comment
            } else if (depth == 0 && s ~ /^[ \t]*$/ && !in_note)
                flush_block()
            else {
                code_text = code_text (code_text == "" ? "" : "\n") s
                in_note = in_note ? s !~ /\*\// : s ~ /\/\*/ && s !~ /\*\//
                gsub(/\/\*.*/, "", s)
                depth += gsub(/{/, "{", s) - gsub(/}/, "}", s)
            }
        }
    }
    flush_block()
    write_page(title)
}

function write_page(title,    file, body) {
    file = out "/" page ".3"
    body = text
    text = ""
    put(".\\\" Made from " header ".")
    put(".TH " toupper(page) " 3 " date " \"Cotangent " version "\" \"Library functions\"")
    put(".SH NAME")
    fill((names == "" ? page : names) " \\- " escape(title))
    put(".SH SYNOPSIS")
    put(".nf")
    put("\\fB#include <cotangent.h>\\fR")
    put(".fi")
    put(".SH DESCRIPTION")
    printf "%s%s", text, body > file
    text = ""
    put(".SH SEE ALSO")
    put("\\fBcotangent\\fR(3)")
    printf "%s", text > file
    close(file)
    text = ""
    fill(escape(title))
    list = list ".TP\n\\fB" page "\\fR(3)\n" text
}

function overview(    file, i) {
    file = out "/cotangent.3"
    for (i = 1; i <= overview_count; i++)
        if (overview_line[i] == "@PAGES@")
            printf "%s", list > file
        else
            print overview_line[i] > file
    close(file)
}

FNR == 1 && count { header_page(); count = 0 }
FNR == 1 { header = FILENAME }
FNR == 1 && /SPDX-License-Identifier/ { next }
FILENAME ~ /\.in$/ {
    gsub(/@DATE@/, date)
    gsub(/@VERSION@/, version)
    overview_line[++overview_count] = $0
    next
}
{ sub(/\r$/, ""); line[++count] = $0 }
END {
    header_page()
    overview()
    for (name in page_of) {
        print ".so man3/" page_of[name] ".3" > (out "/" name ".3")
        close(out "/" name ".3")
    }
}
