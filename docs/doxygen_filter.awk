# doxygen_filter.awk - shows Doxygen the plain comments of the headers.
#     INPUT_FILTER = "awk -f docs/doxygen_filter.awk"     in a Doxyfile, with JAVADOC_AUTOBRIEF = YES
#
# Headers have plain comments. The place of a comment decides what it describes:
#   the first one of a file         the file                         /** @file NAME @brief ...
#   directly above a declaration    it, and the functions that follow it without an empty line or a
#                                   comment of their own             /** ...   /** @copydoc FIRST */
#   behind code on its line         that code                        /**< ...
# A comment with an empty line below it and a heading ("---- errors ----") describe nothing and stay
# as they are. Lines keep their numbers. POSIX awk.

# Prints the comment that is held. empty: the line below it is.
function attach(empty,    i) {
    group = ""
    if (is_first) {
        sub(/\/\* */, "/** @file ", held[1])
        sub(/ - /, " @brief ", held[1])
        is_first = 0
    } else if (!empty && held[1] !~ /\/\* ----/) {
        sub(/\/\*/, "/**", held[1])
        is_documented = 1
    }
    for (i = 1; i <= count; i++)
        print escape(held[i])
    count = 0
}

# "<unk>" is text, no tag.
function escape(s) { gsub(/<[a-z]/, "\\\\&", s); return s }

# The function that a line at file scope declares, or "".
function declared(s) {
    if (s !~ /^[a-z][A-Za-z0-9_ *]*[ *]ct_[a-z0-9_]+\(/)
        return ""
    sub(/\(.*/, "", s)
    sub(/.*[ *]/, "", s)
    return s
}

BEGIN { is_first = 1 }

in_comment {
    if (count)
        held[++count] = $0
    else
        print escape($0)
    in_comment = $0 !~ /\*\//
    next
}

{ is_documented = 0 }
count { attach($0 ~ /^[ \t]*$/) }
/^[ \t]*$/ { group = "" }

/^[ \t]*\/\*/ {
    held[++count] = $0
    in_comment = $0 !~ /\*\//
    next
}

/\/\*/ {
    in_comment = $0 !~ /\*\//
    at = index($0, "/*")
    print substr($0, 1, at - 1) "/**<" escape(substr($0, at + 2))
    next
}

{
    name = declared($0)
    if (name != "" && is_documented)
        group = name
    print (name != "" && name != group && group != "" ? "/** @copydoc " group " */ " : "") $0
}

END { if (count) attach(1) }
