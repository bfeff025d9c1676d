#!/bin/sh
# readme.sh - the program in README.md is some 40 lines, compiles without a warning, and learns.

LC_ALL=C
export LC_ALL
top=$(pwd)
srcdir=$(cd "${srcdir-.}" && pwd) || exit 99
tmp=$(mktemp -d) || exit 99
trap 'rm -rf "$tmp"' EXIT
trap 'exit 99' HUP INT TERM

fail()
{
    echo "readme.sh: $1"
    exit 1
}

sed -n '/^```c$/,/^```$/ { /^```/!p; }' "$srcdir/README.md" >"$tmp/sum.c"
lines=$(wc -l <"$tmp/sum.c")
[ "$lines" -ge 20 ] && [ "$lines" -le 45 ] || fail "the program has $lines lines"

# shellcheck disable=SC2086
"${SHELL-/bin/sh}" ./libtool --silent --tag=CC --mode=link $CC -std=c11 -Wall -Wextra -Werror \
    -I"$top/include" -I"$srcdir" $CFLAGS -no-install -o "$tmp/sum" "$tmp/sum.c" libcotangent.la \
    -lm || fail "it does not compile"
"$tmp/sum" >"$tmp/out" || fail "it exits with status $?"
cat "$tmp/out"
[ "$(grep -Exc 'step +[0-9]+: mean squared error [0-9.]+' "$tmp/out")" -eq 5 ] ||
    fail "it does not print five lines"
awk 'NR == 1 { first = $NF } END { exit !($NF < 0.1 && $NF < first / 20) }' "$tmp/out" ||
    fail "it does not learn"
