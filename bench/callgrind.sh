#!/bin/sh
# SPDX-License-Identifier: MIT
# callgrind.sh - prints the instructions of one step of each case, one token of generation and one
# addition (recorded and differentiated), for each BENCH:
#
#     callgrind.sh BENCH...
#
# One thread, AVX2 (valgrind knows no AVX-512). Instructions do not depend on other programs. A step
# is the difference between runs of different lengths, so start-up does not count.

tmp=$(mktemp -d) || exit 99
trap 'rm -rf "$tmp"' EXIT
trap 'exit 99' HUP INT TERM
COTANGENT_CPU_PATH=avx2
OPENBLAS_NUM_THREADS=1
export COTANGENT_CPU_PATH OPENBLAS_NUM_THREADS

# total BENCH CASE STEPS: prints the instructions of the process
total()
{
    valgrind --tool=callgrind --callgrind-out-file="$tmp/out" "$1" step "$2" "$3" 2>"$tmp/err" ||
        exit 1
    awk '/Collected/ { print $NF }' "$tmp/err"
}

printf 'instructions of a step:'
for bench; do printf ' %s' "$bench"; done
echo
# The additions of a step of add are 100; the table has one of them.
for case in classic-rnn:1:2:1 classic-lstm:1:2:1 classic-gru:1:2:1 book-rnn:1:2:1 \
    generate:20:120:1 add:20:120:100; do
    IFS=: read -r name few many parts <<END
$case
END
    printf '%s' "$name"
    for bench; do
        a=$(total "$bench" "$name" "$few")
        b=$(total "$bench" "$name" "$many")
        awk -v a="$a" -v b="$b" -v n=$(((many - few) * parts)) \
            'BEGIN { printf " %.0f", (b - a) / n }'
    done
    echo
done
