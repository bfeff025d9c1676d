#!/bin/sh
# SPDX-License-Identifier: MIT
# house.sh - the counts of tests/house.py (long files, names in two files, long functions)
# are within their limits, and house.py finds one fault of each kind in a tree made for this.

srcdir=${srcdir-.}
python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 6))' 2>/dev/null ||
    { echo "house.sh: skipped: there is no $python"; exit 77; }

tree=$(mktemp -d) || exit 99
trap 'rm -rf "$tree"' EXIT
trap 'exit 99' HUP INT TERM
mkdir "$tree/nn" "$tree/train" || exit 99
{
    echo '/* SPDX-License-Identifier: MIT */'
    echo 'typedef struct run {'
    echo '    int i;'
    echo '} run;'
    echo 'static void start(int a, int b, int c, int d, int e, int (*f)(int, int), int g)'
    echo '{'
    echo '}'
} | tee "$tree/nn/a.c" >"$tree/train/a.c"
{
    echo 'static int alone(int a, int (*b)(int, int, int, int, int, int, int))'
    echo '{'
    awk 'BEGIN { for (i = 0; i < 800; i++) print "    /* } { */" }'
    echo '}'
} >"$tree/nn/b.c"
found=$("$python" "$srcdir/tests/house.py" "$tree" | sed 's/ *(.*//; s/  */ /g' | tr '\n' ,)
wanted='long files 1,shared statics 1,shared types 1,long functions 1,many arguments 2,no licence 1,'
[ "$found" = "$wanted" ] || { echo "house.sh: the self-test found $found not $wanted"; exit 1; }

exec "$python" "$srcdir/tests/house.py" --limits "$srcdir"
