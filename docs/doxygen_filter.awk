# SPDX-License-Identifier: MIT
# doxygen_filter.awk - shows Doxygen the plain comments of a public header (FILTER_PATTERNS).
#     awk -f doxygen_filter.awk HEADER                 the header with Doxygen's comments, line by line
#     awk -v check=1 -f doxygen_filter.awk HEADER...   "documented NAME" or "bare NAME" for each function
#
# The rule, by which a comment belongs to a declaration:
#   - the comment directly above a declaration, or to the right of it, documents it;
#   - a comment above also documents the declarations that follow up to a blank line or a comment;
#   - the first comment of a file, after the line of its licence, describes the file; a line "/* ---- x ---- */" begins a group;
#   - lines of a comment that are indented by five spaces or more are code.
#   - a struct ct_X_options without a comment gets one if the header declares ct_X, ct_X_new or ct_X_loss.
# What a declaration is, is read as in m4/sites.awk. POSIX awk.

function code_of(s) {                               # without comments
    gsub(/\/\*([^*]|\*+[^*\/])*\*+\//, " ", s)
    sub(/\/\*.*$/, "", s)
    return s
}

function escape(s) { gsub(/<[a-z]/, "\\\\&", s); return s }    # "<unk>" is text, no tag

function trim(s) { sub(/^[ \t]+/, "", s); sub(/[ \t]+$/, "", s); return s }

# The name that a declaration makes: of a function, else the last word.
function name_of(s) {
    if (match(s, /ct_[a-z0-9_]+ ?\(/) && s !~ /^typedef/) {
        s = substr(s, RSTART, RLENGTH)
        sub(/ ?\($/, "", s)
        return s
    }
    if (match(s, /\(\*ct_[a-z0-9_]+\)/))            # typedef of a pointer to a function
        return substr(s, RSTART + 2, RLENGTH - 3)
    sub(/[;{ ]+$/, "", s)
    sub(/.*[^A-Za-z_0-9]/, "", s)
    return s
}

function is_function(s) {
    return s ~ /ct_[a-z0-9_]+ ?\(/ && s !~ /^(typedef|static|template|extern "C|_Static_assert|#)/ && s !~ /[{}]/
}

# The end of a declaration at file scope; its text has been gathered in whole.
function declared(    name) {
    name = name_of(trim(whole))
    if (first == "")
        first = name
    if (check && is_function(trim(whole)))
        print (documented || beside ? "documented " : "bare ") name
    whole = ""
    beside = 0
}

# The last line of the comment that begins in line i.
function comment_end(i) {
    while (i < count && line[i] !~ /\*\//)
        i++
    return i
}

function begins_declaration(s) {
    return s !~ /^[ \t]*$/ && s !~ /^[ \t]*(\/\*|\}|#(if|else|elif|endif|include|undef))/
}

# Whether the file declares the struct of this typedef and does not define it.
function opaque(s,    i) {
    sub(/^typedef /, "", s)
    sub(/ ct_[a-z_0-9]+; *$/, " {", s)
    for (i = 1; i <= count; i++)
        if (line[i] == s)
            return 0
    return 1
}

# The function whose options the struct of this line holds, if the file declares it; else "".
function options_of(s,    i, name) {
    if (s !~ /^typedef struct ct_[a-z0-9_]+_options [{]$/)
        return ""
    sub(/^typedef struct /, "", s)
    sub(/_options [{]$/, "", s)
    for (i = 1; i <= count; i++)
        if (line[i] ~ ("^[a-z].*[ *]" s "(_new|_loss)?[(]")) {
            name = line[i]
            sub(/[(].*/, "", name)
            sub(/.*[ *]/, "", name)
            return name
        }
    return ""
}

# Marks indented lines of a comment, from line i to line e, as code. s is the changed line i.
function with_code(s, i, e,    k, last) {
    for (k = i + 1; k <= e; k = last + 1) {
        for (last = k; line[last] ~ /^[ \t]*\*     +[^ ]/ || (last > k && last < e && line[last] ~ /^[ \t]*\*$/ &&
             line[last + 1] ~ /^[ \t]*\*     +[^ ]/); last++)
            verbatim[last] = 1
        if (last == k)
            continue
        if (k - 1 == i)
            s = s " @code{.c}"
        else
            line[k - 1] = line[k - 1] " @code{.c}"
        last--
        if (!sub(/ *\*\/ *$/, " @endcode */", line[last]))
            line[last] = line[last] " @endcode"
    }
    return s
}

function process(    i, s, code, e) {
    depth = open = documented = beside = 0
    whole = first = ""
    for (i = 1; i <= count; i++) {
        s = line[i]
        is_ours = 0
        if (i <= 2 && s ~ /^\/\* [a-z_0-9]+\.h - /) {
            sub(/^\/\* /, "/** @file ", s)
            sub(/\.h - /, ".h @brief ", s)
            if (match(s, /@brief [a-z]+[ ,.:;]/))
                s = substr(s, 1, RSTART + 6) toupper(substr(s, RSTART + 7, 1)) substr(s, RSTART + 8)
            e = comment_end(i)
            is_ours = 1
        } else if (s ~ /^\/\* ---- .* ---- \*\/$/) {
            sub(/^\/\* ---- /, open ? "/** @} */ /** @name " : "/** @name ", s)
            sub(/ ---- \*\/$/, " */ /** @{ */", s)
            open = 1
            documented = 0
            e = i
        } else if (s ~ /^[ \t]*\/\*/) {             # a comment of its own
            e = comment_end(i)
            if (begins_declaration(line[e + 1])) {
                sub(/\/\*+/, "/**", s)
                is_ours = 1
                if (depth == 0) {
                    documented = 1
                    first = ""
                }
            } else if (depth == 0)
                documented = 0
        } else {
            e = i
            code = code_of(s)
            if (s ~ /^[ \t]*$/ && depth == 0 && whole == "") {
                documented = 0
                first = ""
            }
            if (index(s, "/*") && trim(code) != "" && code !~ /[{]$/ && code !~ /^[ \t]*#[ \t]*include/) {     # a comment beside
                e = comment_end(i)
                sub(/\/\*+/, "/**<", s)
                is_ours = 1
                if (depth == 0)
                    beside = 1
            }
            if (code ~ /^[ \t]*#/ || in_directive) {
                in_directive = code ~ /\\$/
            } else if (code !~ /^[ \t]*extern "C/ && !(depth == 0 && code ~ /^}/)) {
                if (depth == 0 && whole == "" && trim(code) != "" && documented && first != "" &&
                    trim(code) != "struct " first " {")     # its typedef has the comment
                    s = "/** @copydoc " first " */ " s
                if (depth == 0 && !documented && options_of(s) != "")
                    s = "/** Options of @ref " options_of(s) ". */ " s
                if (depth == 0)
                    whole = whole " " trim(code)
                depth += gsub(/{/, "{", code) - gsub(/}/, "}", code)
                if (depth == 0 && code ~ /}/ && whole !~ /}/)
                    whole = whole " " substr(code, index(code, "}"))
                if (depth == 0 && code ~ /;[ \t]*$/)
                    declared()
            }
        }
        if (!check && code_of(s) ~ /^typedef struct ct_[a-z_0-9]+ ct_[a-z_0-9]+; *$/ && opaque(code_of(s)))
            sub(/ ct_[a-z_0-9]+;/, "{}&", s)                         # a page of its own, as a struct has
        if (is_ours && e > i)
            s = with_code(s, i, e)
        if (!check) {
            if (i == count && open)
                s = s " /** @} */"
            print is_ours ? escape(s) : s
        }
        for (; i < e; ) {
            s = line[++i]
            if (!check)
                print is_ours && !verbatim[i] ? escape(s) : s
        }
    }
}

FNR == 1 && NR > 1 { process(); count = 0; split("", verbatim) }
{ sub(/\r$/, ""); line[++count] = $0 }
END { process() }
