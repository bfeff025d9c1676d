#!/bin/sh
# SPDX-License-Identifier: MIT
# site.sh - make docs builds the site without a warning; docs/index.md leads to every page; the
# site has a page for every Markdown page, every public header and every example, its links lead to
# pages and headings, and its search knows the functions.

. "$(dirname "$0")/lib.sh"
make_tmp

for page in "$srcdir"/docs/*.md; do
    page=${page##*/}
    [ "$page" = index.md ] || grep -q "]($page)" "$srcdir/docs/index.md" ||
        fail "docs/index.md does not lead to $page"
done

doxygen=$(sed -n 's/^DOXYGEN = //p' Makefile)
[ "$doxygen" != no ] || skip "doxygen was not there when configure ran"
MAKEFLAGS='' MFLAGS='' "${MAKE-make}" -s --no-print-directory docs >"$tmp/out" 2>"$tmp/err" || fail "make docs"
[ ! -s "$tmp/err" ] || fail "make docs prints something (a warning?)"

cd docs/html || exit 99
for page in "$srcdir"/docs/*.md; do
    page=$(basename "$page" .md).html
    [ -f "$page" ] || fail "the site has no $page"
done
for example in "$srcdir"/examples/*.c; do
    [ -f "$(basename "$example" | sed 's/\./_8/')-example.html" ] || fail "no page shows $example"
done
for header in $public_headers; do
    name=$(echo "$header" | sed 's/_/__/g; s/\./_8/; s|/|_2|g')
    [ -f "$name.html" ] || [ -f "${name##*_2}.html" ] || fail "the site has no $header"
done
if grep -l "$srcdir" ./*.html; then
    fail "these pages name the folder of the sources"
fi
grep -q 'rnn_concise_8c-example' readme.html || fail "README does not lead to the example"
grep -q "'ct_fit'\|ct_5ffit" search/*.js || fail "the search does not know ct_fit"
grep -q "^  \['dropout_.*'ct_nn_dropout'" search/all_*.js || fail "the search does not find ct_nn_dropout by \"dropout\""
grep -q 'href="scope_8h.html#[^"]*">ct_scope_return</a></code>' architecture.html ||
    fail "names of functions in the pages lead nowhere"

# The links of the site.
grep -o 'href="[^"]*"' ./*.html | sed 's|^\./||; s|:href="| |; s|"$||' |
    grep -v ' \(https\?\|javascript\|mailto\):' | sort -u >"$tmp/links"
grep -o '\(id\|name\)="[^"]*"' ./*.html | sed 's|^\./||; s|:[a-z]*="|#|; s|"$||' | sort -u >"$tmp/anchors"
while read -r page link; do
    case $link in
    '#'*) echo "$page$link" ;;
    *) echo "$link" ;;
    esac
done <"$tmp/links" | sort -u >"$tmp/targets"
sed 's/#.*//' "$tmp/targets" | sort -u | while read -r file; do
    [ -f "$file" ] || echo "$file"
done >"$tmp/missing"
grep '#.' "$tmp/targets" | comm -23 - "$tmp/anchors" >>"$tmp/missing"
# shellcheck disable=SC2046
[ ! -s "$tmp/missing" ] || fail "the site links to these, which are not there:" $(head -n 20 "$tmp/missing")
say "$(ls ./*.html | wc -l) pages, $(wc -l <"$tmp/targets") targets of links"
