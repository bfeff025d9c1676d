#!/bin/sh
# SPDX-License-Identifier: MIT
# parity.sh - each public op and each module is compared with PyTorch's numbers: functions of
# autograd/ops/ and nn/ that return a tensor, and functions ct_nn_* that make something. A name must
# be in tests/torch/ops_parity.txt or tests/torch/modules.txt, or in tests/torch/no_parity.txt with a
# reason; a reason that begins with a file of tests/ names the place of the comparison.

. "$(dirname "$0")/lib.sh"

AWK=${AWK-awk}
make_tmp
[ -n "$public_headers" ] || fail "run this by make check: public_headers is not set"

# names FILE...: the ops and modules that headers declare
names()
{
    $AWK -v prototypes=1 -f "$srcdir/m4/sites.awk" "$@" |
        $AWK -F '\t' '$1 ~ /^ct_tensor ?\*/ || $2 ~ /^ct_nn_/ { print $2 }' | sort -u
}

headers=
for h in $public_headers; do
    case $h in
    autograd/* | nn/*) headers="$headers $srcdir/$h" ;;
    esac
done
names $headers >"$tmp/all"
[ "$(wc -l <"$tmp/all")" -gt 250 ] || fail "finds only $(wc -l <"$tmp/all") functions"

torch=$srcdir/tests/torch
sed -n -e 's/^op //p' -e 's/^module //p' "$torch/ops_parity.txt" "$torch/modules.txt" |
    sort -u >"$tmp/compared"
grep -v '^#' "$torch/no_parity.txt" | sed 's/:.*//' | sort >"$tmp/reasons"

# report COMM-OPTIONS A B MESSAGE
report()
{
    found=$(comm "$1" "$2" "$3" | tr '\n' ' ')
    [ -z "$found" ] || fail "$4: $found"
}

sort -u "$tmp/compared" "$tmp/reasons" >"$tmp/known"
report -23 "$tmp/all" "$tmp/known" "add to tests/torch/ops_parity.py or modules.py, or to no_parity.txt"
report -13 "$tmp/all" "$tmp/reasons" "no_parity.txt has what no header declares"
report -12 "$tmp/compared" "$tmp/reasons" "no_parity.txt has what the parity files have"
sort "$tmp/reasons" | uniq -d >"$tmp/twice"
[ ! -s "$tmp/twice" ] || fail "no_parity.txt has twice: $(cat "$tmp/twice")"
! grep -vE '^(#|ct_[a-z0-9_]+:) .+' "$torch/no_parity.txt" || fail "no_parity.txt: lines are NAME: REASON"
sed -nE 's/^[^:]*: ([a-z_0-9/]+\.(c|txt))$/\1/p' "$torch/no_parity.txt" | sort -u |
    while read -r file; do
        [ -f "$srcdir/tests/$file" ] || fail "no_parity.txt: no file tests/$file"
    done || exit 1

# Tests itself: a module that no list has is found.
echo 'ct_module *ct_nn_unknown(ct_params *params);' >"$tmp/a.h"
names "$tmp/a.h" >"$tmp/new"
[ "$(comm -23 "$tmp/new" "$tmp/known")" = ct_nn_unknown ] || fail "misses a new module"

say "$(wc -l <"$tmp/all") ops and modules, $(wc -l <"$tmp/reasons") by another way"
