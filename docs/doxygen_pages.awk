# SPDX-License-Identifier: MIT
# doxygen_pages.awk - shows Doxygen the Markdown pages as they are for a forge (FILTER_PATTERNS).
#     awk -f doxygen_pages.awk PAGE.md
#
# - A heading gets the name that a forge gives it, after the name of the page: {#manual-tensors}.
# - A link to a page, a heading or an example leads to it in the site; a link to another file of the
#   tree becomes its path.
# - The items of docs/index.md become subpages, so that the site's tree has their order.
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

function links(s,    out, part, cut) {
    out = ""
    while (match(s, /!?\[[^]]*\]\([^)]*\)/)) {
        part = substr(s, RSTART, RLENGTH)
        out = out substr(s, 1, RSTART - 1)
        s = substr(s, RSTART + RLENGTH)
        if (part ~ /^!/) {                              # a picture: HTML_EXTRA_FILES has it
            sub(/\(.*\//, "(", part)
            out = out part
            continue
        }
        cut = index(part, "](")
        out = out link(substr(part, 2, cut - 2), substr(part, cut + 2, length(part) - cut - 2))
    }
    return out s
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
