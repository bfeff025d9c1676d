#!/bin/sh
# SPDX-License-Identifier: MIT
# man.sh - the pages for man(1) are well formed, and each public function has one.

. "$(dirname "$0")/lib.sh"
make_tmp

(cd "$srcdir" && $AWK -v names=1 -f m4/sites.awk $public_headers) >"$tmp/names"
while read -r name; do
    [ -f "docs/man3/$name.3" ] || fail "there is no page for $name"
    read -r so page <"docs/man3/$name.3"
    { [ "$so" = .so ] && grep -q "ct_" "docs/man3/${page#man3/}"; } || fail "$name.3 shows nothing"
done <"$tmp/names"
for name in ct_tensor ct_module ct_optimizer ct_loader ct_trainer ct_plan ct_lm ct_status; do
    [ -f "docs/man3/$name.3" ] || fail "there is no page for $name"
done
grep -q 'cotangent_nn_linear' docs/man3/cotangent.3 || fail "cotangent.3 does not list the pages"

pages="$srcdir/docs/cotangent.1 $(echo docs/man3/cotangent*.3)"
if command -v mandoc >/dev/null; then
    mandoc -T lint -W warning $pages >"$tmp/out" || fail "mandoc complains"
fi
if command -v groff >/dev/null; then
    # A line that cannot be adjusted to a width is no fault of a page.
    for page in $pages; do
        groff -ww -man -z "$page" 2>&1 | grep -v 'cannot adjust line\|cannot break line'
    done >"$tmp/out"
    [ ! -s "$tmp/out" ] || fail "groff complains"
fi
say "$(wc -l <"$tmp/names") functions in $(echo "$pages" | wc -w) pages"
