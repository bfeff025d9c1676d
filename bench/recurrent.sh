#!/bin/sh
# SPDX-License-Identifier: MIT
# recurrent.sh - a recurrent layer by this library and by oneDNN, interleaved; medians and ratios.
#
#     recurrent.sh BENCH ONEDNN [THREADS]
#
# BENCH is the built bench program, ONEDNN the built bench/peers/onednn. COTANGENT_BENCH_ROUNDS (9) and
# COTANGENT_BENCH_SECONDS (0.3) say how long it takes; COTANGENT_BENCH_CELLS (all), such as
# "lstm.256.f32 rnn.512.bf16", which layers. A cell of the table is: our time and oneDNN's in
# microseconds (medians), their ratio (above 1: this library is faster), our share of the FMA peak (in
# bf16 of twice the f32 peak), and the greatest difference of the results.

bench=$1
peer=$2
threads=${3:-1}
rounds=${COTANGENT_BENCH_ROUNDS:-9}
seconds=${COTANGENT_BENCH_SECONDS:-0.3}
cells=$COTANGENT_BENCH_CELLS
tmp=$(mktemp -d) || exit 99
trap 'rm -rf "$tmp"' EXIT
trap 'exit 99' HUP INT TERM

# pinned PROGRAM ...: on the first THREADS processors
pinned()
{
    if command -v taskset >/dev/null; then
        taskset -c "0-$((threads - 1))" "$@"
    else
        "$@"
    fi
}

if [ -z "$cells" ]; then
    for dtype in f32 bf16; do
        [ $dtype = f32 ] || "$bench" recurrent rnn 16 bf16 1 0 >/dev/null 2>&1 || continue
        for hidden in 128 256 512 1024; do
            for cell in rnn lstm gru; do
                cells="$cells $cell.$hidden.$dtype"
            done
        done
    done
fi
for case in $cells; do
    set -- $(echo "$case" | tr . ' ')
    "$bench" recurrent "$1" "$2" "$3" "$threads" 0 "$tmp/ours" >/dev/null || exit 1
    "$peer" "$1" "$2" "$3" "$threads" 0 "$tmp/theirs" >"$tmp/about" || exit 1
    echo "$case $("$bench" recurrent "$1" "$2" compare "$tmp/ours" "$tmp/theirs")" >>"$tmp/same"
    echo "$3: $(cut -d ' ' -f 2- "$tmp/about")" >>"$tmp/versions"
done
round=0
while [ "$round" -lt "$rounds" ]; do
    for case in $cells; do
        set -- $(echo "$case" | tr . ' ')
        echo "$case ours $(pinned "$bench" recurrent "$1" "$2" "$3" "$threads" "$seconds")" >>"$tmp/lines"
        echo "$case theirs $(pinned "$peer" "$1" "$2" "$3" "$threads" "$seconds")" >>"$tmp/lines"
    done
    round=$((round + 1))
    echo "round $round of $rounds" >&2
done
sort -u "$tmp/versions"
awk -v threads="$threads" '
    FILENAME ~ /same$/ { same[$1] = $2; next }
    {
        if (!($1 in seen)) { seen[$1] = 1; order[++count] = $1 }
        times[$1, $2] = times[$1, $2] " " $3
        if ($2 == "ours" && $4 > peak) peak = $4
    }
    function median(list,    v, n, i, j, t) {
        n = split(list, v, " ")
        for (i = 2; i <= n; i++)
            for (j = i; j > 1 && v[j - 1] + 0 > v[j] + 0; j--) { t = v[j]; v[j] = v[j - 1]; v[j - 1] = t }
        return v[int((n + 1) / 2)]
    }
    END {
        printf "peak %.1f GFLOP/s\n\n| layer | ours, us | oneDNN, us | ratio | share of the peak | difference |\n|---|---|---|---|---|---|\n", peak
        for (i = 1; i <= count; i++) {
            split(order[i], part, ".")
            gates = part[1] == "rnn" ? 1 : part[1] == "lstm" ? 4 : 3
            # the gradient of the first state is not needed
            flops = 6 * 35 * 32 * gates * part[2] * (part[2] + 28) - 2 * 32 * gates * part[2] * part[2]
            a = median(times[order[i], "ours"])
            b = median(times[order[i], "theirs"])
            full = peak * 1e3 * threads * (part[3] == "bf16" ? 2 : 1)
            printf "| %s %s %s | %.0f | %.0f | %.2f | %.0f%% | %s |\n", part[1], part[2], part[3], a, b, b / a, 100 * flops / full / a, same[order[i]]
        }
    }' "$tmp/same" "$tmp/lines"
