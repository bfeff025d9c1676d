# SPDX-License-Identifier: MIT
# doxygen_examples.awk - shows Doxygen the first comment of an example (FILTER_PATTERNS), which
# documents its page. Doxygen finds the source itself. POSIX awk.

FNR == 1 && /SPDX-License-Identifier/ { print ""; next }
/^\/\* [a-z_0-9]+\.[ch] - / && !inside {
    name = FILENAME
    sub(/.*\//, "", name)
    sub(/^\/\* [a-z_0-9]+\.[ch] - /, "")
    $0 = "/*! @example " name "\n * " toupper(substr($0, 1, 1)) substr($0, 2)
    inside = 1
}
# Markdown wants an empty line before lines that are indented: formulas and commands.
inside && /^ \*     / && !indented { print " *" }
inside { indented = /^ \*     /; print }
/\*\// { exit }
