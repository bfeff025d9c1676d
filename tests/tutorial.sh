#!/bin/sh
# SPDX-License-Identifier: MIT
# tutorial.sh [program] - the blocks of docs/tutorial.md are one program: it compiles, runs, and prints
# the lines that the page shows. Blocks with a function, a type or an #include are at file scope; the
# others, in order, are the body of main. "tutorial.sh program" only prints the program.

. "$(dirname "$0")/lib.sh"
top=$(pwd)
make_tmp

page=$srcdir/docs/tutorial.md
# shellcheck disable=SC2016
blocks='
    /^```c$/ { inside = 1; file = 0; body = ""; start = NR + 1; next }
    inside && /^```$/ {
        inside = 0
        if (file == want)
            printf "#line %d \"tutorial.md\"\n%s", start, body
        next
    }
    inside { body = body $0 "\n"; if (/^([{]$|typedef |#include )/) file = 1 }'
{
    awk -v want=1 "$blocks" "$page"
    echo 'int main(void) {'
    awk -v want=0 "$blocks" "$page"
    echo 'return 0; }'
} >"$tmp/tutorial.c"
[ "$1" != program ] || { cat "$tmp/tutorial.c"; exit; }

# shellcheck disable=SC2086
"${SHELL-/bin/sh}" ./libtool --silent --tag=CC --mode=link $CC -std=c11 -Wall -Wextra -Werror \
    -I"$top/include" -I"$srcdir" $CFLAGS -no-install -o "$tmp/tutorial" "$tmp/tutorial.c" \
    libcotangent.la -lm || fail "it does not compile"
cd "$tmp" || exit 99
if [ ! -f "$COTANGENT_DATA_DIR/timemachine.txt" ]; then
    offline
    ./tutorial >out 2>err || fail "it exits with status $?"
    skip "the book is not in COTANGENT_DATA_DIR: the program ran on the sample text"
fi
./tutorial >out 2>err || fail "it exits with status $?"
[ ! -s err ] || fail "it writes on stderr"

# Lines that are indented by four spaces and stand alone are output, but for commands and formulas.
while IFS= read -r line; do
    grep -Fxq -- "    $line" "$page" || fail "the page does not show: $line"
done <out
echo "$(wc -l <out) lines are as the page shows them"
