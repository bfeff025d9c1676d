#!/bin/sh
# SPDX-License-Identifier: MIT
# run.sh - runs every case for every contestant, interleaved, in rounds; then prints
# medians and ratios.
#
#     run.sh BENCH PEERS RESULT.json
#
# BENCH is the built bench program; PEERS is a folder of Python environments (torch, jax, tf, mxnet:
# see make bench-peers), of which some may be missing. COTANGENT_BENCH_ROUNDS (5) and
# COTANGENT_BENCH_SECONDS (2) set the duration. For each contestant the best median of 1 and 2
# threads, eager and compiled, counts. The figures are valid for this machine and this run: only
# ratios can be compared with other machines.

bench=$1
peers=$2
json=$3
here=$(dirname "$0")
rounds=${COTANGENT_BENCH_ROUNDS:-5}
seconds=${COTANGENT_BENCH_SECONDS:-2}
tmp=$(mktemp -d) || exit 99
alive=
trap 'for p in $alive; do kill $p; done 2>/dev/null; rm -rf "$tmp"' EXIT
trap 'exit 99' HUP INT TERM

# start WHO MODE: starts a process for each number of threads, which waits for cases on a pipe.
start()
{
    python=$peers/$1/bin/python
    [ -x "$python" ] || return
    for threads in 1 2; do
        pipe=$tmp/$1.$2.$threads
        mkfifo "$pipe.in" "$pipe.out"
        "$python" "$here/peers/$1_peer.py" $threads $2 <>"$pipe.in" 1<>"$pipe.out" \
            2>"$pipe.err" &
        alive="$alive $!"
    done
    contestants="$contestants $1.$2"
    # Prints the versions of the packages that the environment has.
    for name in torch jax jaxlib flax optax tensorflow_cpu keras mxnet numpy; do
        for info in "$peers/$1"/lib/python3*/site-packages/$name-*.dist-info; do
            [ -d "$info" ] && info=${info##*/} && echo "$1 ${info%.dist-info}" >>"$tmp/versions"
        done
    done
}

# ask WHO.MODE CASE THREADS: prints a figure and the memory, or nothing
ask()
{
    echo "$2 $seconds" 1<>"$tmp/$1.$3.in"
    timeout 300 sh -c 'read -r line <"$0" && case $line in -*) ;; *) echo "$line" ;; esac' \
        "$tmp/$1.$3.out"
}

# note CASE WHO MODE THREADS FIGURE MIB
note()
{
    [ -z "$5" ] || echo "$*" >>"$tmp/lines"
}

: >"$tmp/versions"
contestants=
start torch eager
start torch compiled
start jax compiled
start tf compiled
start mxnet eager
start mxnet compiled

# Waits until all have started, so that starting one does not disturb the figures of another.
for who in $contestants; do
    for threads in 1 2; do
        ask $who start $threads >"$tmp/started"
    done
done

round=0
while [ "$round" -lt "$rounds" ]; do
    for case in start bandwidth linear peak; do
        note $case cotangent - 1 $("$bench" $case 1 "$seconds")
    done
    for who in $contestants; do
        case $who in torch.compiled | mxnet.compiled) continue ;; esac
        note start ${who%.*} ${who#*.} 1 $(ask $who start 1)
    done
    for case in classic-rnn classic-lstm classic-gru book-rnn generate add; do
        for threads in 1 2; do
            case $case:$threads in generate:2 | add:2) continue ;; esac
            note $case cotangent - $threads $("$bench" $case $threads "$seconds")
            for who in $contestants; do
                case $case:$who in
                generate:torch.eager | add:torch.eager) ;;
                generate:* | add:*) continue ;;
                esac
                note $case ${who%.*} ${who#*.} $threads $(ask $who $case $threads)
            done
        done
    done
    # Two threads while a loop keeps a processor busy.
    sh -c 'while :; do :; done' &
    loop=$!
    note busy cotangent - 2 $("$bench" classic-rnn 2 "$seconds")
    kill $loop
    wait $loop 2>/dev/null
    round=$((round + 1))
    echo "round $round of $rounds" >&2
done
for who in $contestants; do
    for threads in 1 2; do
        echo quit 1<>"$tmp/$who.$threads.in"
    done
done

"$bench" about
"$bench" gpu cuda "$seconds"
sort -u "$tmp/versions" | awk '{ printf "%s%s", (NR > 1 ? ", " : ""), $2 } END { if (NR) print "" }'
awk -v json="$json" -v rounds="$rounds" -v seconds="$seconds" \
    -v versions="$(sort -u "$tmp/versions" | awk '{ print $2 }' | tr '\n' ' ')" \
    -v about="$("$bench" about | tr '\n' ';' | tr -d '"\\')" \
    -v processor="$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" \
    -v processors="$(getconf _NPROCESSORS_ONLN)" -f "$here/table.awk" "$tmp/lines"
