# SPDX-License-Identifier: MIT
# doxygen_search.awk - lets the search of the site find ct_dropout and ct_nn_dropout by "dropout". The
# search compares what is typed with the beginning of each name, and every name here begins with ct_.
#     cd html/search && awk -f doxygen_search.awk searchdata.js all_*.js
#
# all_2.js holds the names that begin with the third letter of the list in searchdata.js. Each name ct_X
# gets a second entry, in the file of the first letter of X; a name ct_nn_X also a third one. POSIX awk.

function file_of(letter,    i) {
    i = index(letters, letter)
    return i ? sprintf("all_%x.js", i - 1) : ""
}

# Notes an entry for file_of(its first letter).
function add(entry,    key, file) {
    key = substr(entry, 1, index(entry, "',") - 1)      # ['dropout_235
    file = file_of(substr(key, 3, 1))
    if (file != "")
        more[file] = more[file] ",\n  " key "_" substr(entry, length(key) + 1)
}

FILENAME ~ /searchdata/ {
    if (letters == "" && match($0, /0: "[^"]*"/))
        letters = substr($0, RSTART + 4, RLENGTH - 5)
    next
}
FNR == 1 { files[++count] = FILENAME }
/^\];/ { next }
/^  \['ct_5f/ {
    entry = substr($0, 3)
    sub(/,$/, "", entry)
    sub(/ct_5f/, "", entry)
    add(entry)
    if (sub(/^\['nn_5f/, "['", entry))
        add(entry)
}
{ text[FILENAME] = text[FILENAME] (FNR == 1 ? "" : "\n") $0 }
END {
    for (i = 1; i <= count; i++)
        print text[files[i]] more[files[i]] "\n];" > files[i]
    exit !count || letters == ""
}
