#!/bin/sh
# run.sh - every case by every contestant, interleaved, in rounds; then medians and ratios.
#
#     run.sh BENCH PEERS RESULT.json
#
# BENCH is the built bench program; PEERS a folder of Python environments (torch, jax, tf; see make
# bench-peers), those that are missing being left out. COTANGENT_BENCH_ROUNDS (5) and
# COTANGENT_BENCH_SECONDS (2) say how long it takes. Each contestant is taken at its best thread
# count, 1 or 2, by median. Figures are of this machine and this run: only ratios travel.

bench=$1
peers=$2
json=$3
here=$(dirname "$0")
rounds=${COTANGENT_BENCH_ROUNDS:-5}
seconds=${COTANGENT_BENCH_SECONDS:-2}
lines=$(mktemp)
trap 'rm -f "$lines"' EXIT

# one CONTESTANT CASE THREADS: prints the figure, or nothing
one()
{
    case $1 in
    cotangent)
        "$bench" "$2" "$3" "$seconds" ;;
    *)
        python=$peers/$1/bin/python
        test -x "$python" && "$python" "$here/peers/$1_peer.py" "$2" "$3" "$seconds" 2>/dev/null ;;
    esac
}

round=0
while [ "$round" -lt "$rounds" ]; do
    for case in classic-rnn classic-lstm classic-gru book-rnn generate add; do
        for threads in 1 2; do
            for who in cotangent torch jax tf; do
                case $case:$who in generate:jax | generate:tf | add:jax | add:tf) continue ;; esac
                case $case:$threads in generate:2 | add:2) continue ;; esac
                figure=$(one $who $case $threads) && [ -n "$figure" ] &&
                    echo "$case $who $threads $figure" >> "$lines"
            done
        done
    done
    round=$((round + 1))
    echo "round $round of $rounds" >&2
done

sort "$lines" | awk -v json="$json" -v rounds="$rounds" -v seconds="$seconds" \
    -v processor="$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" \
    -v processors="$(getconf _NPROCESSORS_ONLN)" '
function median(key,   n, i, j, t, v) {
    n = split(all[key], v, " ")
    for (i = 2; i <= n; i++)
        for (j = i; j > 1 && v[j - 1] + 0 > v[j] + 0; j--) {
            t = v[j]; v[j] = v[j - 1]; v[j - 1] = t
        }
    return n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2
}
{
    all[$1 " " $2 " " $3] = all[$1 " " $2 " " $3] " " $4
}
END {
    for (key in all) {
        split(key, k, " ")
        m = median(key)
        b = k[1] " " k[2]
        if (!(b in best) || (k[1] == "add" ? m < best[b] : m > best[b])) {
            best[b] = m
            threads[b] = k[3]
        }
    }
    n = split("classic-rnn classic-lstm classic-gru book-rnn generate add", cases, " ")
    p = split("cotangent torch jax tf", who, " ")
    printf "{\"processor\": \"%s\", \"processors\": %d, \"rounds\": %d, \"seconds\": %s, \"cases\": [", \
        processor, processors, rounds, seconds > json
    printf "%-13s %-10s %8s %13s %18s\n", "case", "who", "threads", "figure", "ours / theirs"
    for (i = 1; i <= n; i++)
        for (j = 1; j <= p; j++) {
            b = cases[i] " " who[j]
            if (!(b in best))
                continue
            ours = best[cases[i] " cotangent"]
            ratio = cases[i] == "add" ? best[b] / ours : ours / best[b]
            printf "%-13s %-10s %8d %13.6g %18.2f\n", cases[i], who[j], threads[b], best[b], ratio
            printf "%s\n  {\"case\": \"%s\", \"who\": \"%s\", \"threads\": %d, \"median\": %.6g, \"all\": [%s]}", \
                comma, cases[i], who[j], threads[b], best[b], \
                joined(all[b " " threads[b]]) > json
            comma = ","
        }
    print "\n]}" > json
}
function joined(list) {
    sub(/^ /, "", list)
    gsub(/ /, ", ", list)
    return list
}'
