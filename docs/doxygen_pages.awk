# SPDX-License-Identifier: MIT
# doxygen_pages.awk - shows Doxygen the Markdown pages as they are for a forge (FILTER_PATTERNS).
#     awk -f doxygen_pages.awk PAGE.md
#
# - A heading gets the name that a forge gives it, after the name of the page: {#manual-tensors}.
# - A link to a page, a heading or an example leads to it in the site; a link to another file of the
#   tree becomes its path.
# - The items of docs/index.md become subpages, so that the site's tree has their order.
# - The name of a function or a struct, as code, leads to its description. The environment variable DOCS_NAMES
#   has these names.
# - A block without a language is no code of C. Comments of HTML are left out. POSIX awk.

function page_of(file) {                                # docs/manual.md -> manual
    sub(/\.md$/, "", file)
    sub(/.*\//, "", file)
    return tolower(file)
}

# The name of a page. bench/README.md is not README.md.
function label(file) { return (file ~ /bench\/README/ ? "benchmarks" : page_of(file)) }

function slug(s) {
    s = tolower(s)
    gsub(/[^a-z0-9_ -]/, "", s)
    gsub(/ /, "-", s)
    return s
}

function html_of(example) {                             # the file in which Doxygen shows an example
    sub(/.*\//, "", example)
    gsub(/\./, "_8", example)
    return example "-example.html"
}

function folder_of(file) { return file ~ /\// ? substr(file, 1, match(file, /[^\/]*$/) - 1) : "" }

# The path of a link from the top of the tree.
function resolved(target,    dir) {
    dir = folder_of(here)
    while (target ~ /^\.\.\//) {
        sub(/^\.\.\//, "", target)
        sub(/[^\/]*\/$/, "", dir)
    }
    return dir target
}

function link(text, target,    parts) {
    if (target ~ /^[a-z]+:/)
        return "[" text "](" target ")"
    if (target ~ /^#/)
        return "[" text "](@ref " label(here) "-" substr(target, 2) ")"
    split(resolved(target), parts, "#")
    if (parts[1] ~ /\.md$/) {
        if (here ~ /docs\/index\.md$/ && !(parts[1] in seen) && parts[2] == "") {
            seen[parts[1]] = 1
            return "@subpage " label(parts[1]) " \"" text "\""
        }
        return "[" text "](@ref " label(parts[1]) (parts[2] == "" ? "" : "-" parts[2]) ")"
    }
    if (parts[1] ~ /^examples\/[a-z_0-9]+\.c$/)
        return "[" text "](" html_of(parts[1]) ")"
    if (parts[1] ~ /\.(svg|png)$/)
        return "[" text "](" page_of(parts[1]) ")"
    return text == parts[1] ? "`" parts[1] "`" : text " (`" parts[1] "`)"
}

# Text with links at the names of functions and structs: `ct_add`, `ct_add(a, b)`.
function names(s,    n, part, i, name, rest, out) {
    n = split(s, part, "`")
    if (n % 2 == 0)                                     # code that goes on in the next line
        return s
    out = part[1]
    for (i = 2; i <= n; i += 2) {
        name = rest = part[i]
        sub(/\(.*/, "", name)
        rest = substr(rest, length(name) + 1)
        if ((name in known) && rest ~ /^(\([a-z0-9_, ]*\))?$/)
            out = out "<code>@ref " name " \"" name "\"" rest "</code>" part[i + 1]
        else
            out = out "`" part[i] "`" part[i + 1]
    }
    return out
}

function links(s,    out, part, cut) {
    out = ""
    while (match(s, /!?\[[^]]*\]\([^)]*\)/)) {
        part = substr(s, RSTART, RLENGTH)
        out = out names(substr(s, 1, RSTART - 1))
        s = substr(s, RSTART + RLENGTH)
        if (part ~ /^!/) {                              # a picture: HTML_EXTRA_FILES has it
            sub(/\(.*\//, "(", part)
            out = out part
            continue
        }
        cut = index(part, "](")
        out = out link(substr(part, 2, cut - 2), substr(part, cut + 2, length(part) - cut - 2))
    }
    return out names(s)
}

BEGIN {
    count = split(ENVIRON["DOCS_NAMES"], list, " ")
    for (i = 1; i <= count; i++)
        known[list[i]]
}
# Doxygen names a page by its absolute path; it runs at the top of the tree.
FNR == 1 {
    here = FILENAME
    if (index(here, ENVIRON["PWD"] "/") == 1)
        here = substr(here, length(ENVIRON["PWD"]) + 2)
}
/^<!--/ { hidden = 1 }
hidden { if (/-->/) hidden = 0; print ""; next }
/^```/ { inside = !inside; print $0 ($0 == "```" && inside ? "{.txt}" : ""); next }
inside || /^    / { print; next }
/^#+ / {
    title = $0
    sub(/^#+ /, "", title)
    if (!(/^# / && here ~ /docs\/index\.md$/))         # Doxygen names the main page
        $0 = $0 " {#" label(here) (/^# / ? "" : "-" slug(title)) "}"
    sub(/^# Cotangent [{]#readme/, "# README {#readme")  # the site itself has that title
    print
    next
}
{ print links($0) }
