#!/bin/sh
# SPDX-License-Identifier: MIT
# links.sh [FOLDER] - every link of the Markdown pages to a file of the tree leads to a file, and a
# link to a heading to a heading. FOLDER: the tree, or the folder where the pages are installed.

. "$(dirname "$0")/lib.sh"
make_tmp
root=${1-$srcdir}
cd "$root" || exit 99

find README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md docs bench examples packaging tests -name '*.md' \
    >"$tmp/pages" 2>/dev/null
[ "$(wc -l <"$tmp/pages")" -ge 10 ] || fail "only $(wc -l <"$tmp/pages") pages in $root"

# The names that a page's headings have in links: small letters, no punctuation, '-' for a space.
headings()  # PAGE
{
    sed -n '/^```/,/^```/d; s/^##* *//p' "$1" | tr '[:upper:]' '[:lower:]' |
        sed 's/[^a-z0-9_ -]//g; s/ /-/g'
}

status=0
links=0
while read -r page; do
    # Links of a form that begins with a scheme are another server's.
    grep -o '](\([^)]*\))' "$page" | sed 's/^](//; s/)$//' | grep -v '^[a-z]*:' >"$tmp/links"
    while read -r link; do
        links=$((links + 1))
        file=${link%%#*}
        target=$(dirname "$page")/$file
        [ -n "$file" ] || target=$page
        if [ ! -e "$target" ]; then
            say "$page: there is no $file"
            status=1
        elif [ "$link" != "$file" ] && ! headings "$target" | grep -qx -- "${link#*#}"; then
            say "$page: $link: there is no such heading"
            status=1
        fi
    done <"$tmp/links"
done <"$tmp/pages"
[ "$links" -gt 0 ] || fail "no link was found"
say "$links links of $(wc -l <"$tmp/pages") pages"
exit $status
