#!/bin/sh
# SPDX-License-Identifier: MIT
# mpi.sh - training by several processes of mpirun, with Open MPI and with MPICH: the bits depend on the
# number of shards and not on the number of processes, and every rank ends with a message if one fails.
# Skipped without mpirun.

. "$(dirname "$0")/lib.sh"

. "$(dirname "$0")/mpi_lib.sh"

log_of()        # FILE.csv: all but the times
{
    sed 's/,[^,]*,[^,]*$//' "$1"
}

head -c 4000 "$srcdir/data/sample.txt" >"$tmp/text"
tool=$build/tool/cotangent
train()         # NUMBER NAME OPTION...: trains with $shards shards, into NAME.st, .ck and .csv
{
    number=$1 name=$2
    shift 2
    ranks "$number" "$tool" train "$tmp/text" -q --shards "$shards" --batch 13 --steps 16 --hidden 16 \
        --dropout 0.2 --validate "$tmp/text" -o "$tmp/$name.st" --checkpoint "$tmp/$name.ck" \
        --csv "$tmp/$name.csv" "$@"
}

# ---- the same bits ----

for mpi in $mpis; do
    for shards in $shard_numbers; do
        COTANGENT_SHARDS=$shards
        export COTANGENT_SHARDS
        "$build/tests/ranks" $shards >"$tmp/alone" 2>"$tmp/err" || fail "ranks, alone"
        for number in $rank_numbers; do
            ranks $number "$build/tests/ranks" $shards
            [ $status -eq 0 ] || fail "$mpi, $number ranks, $shards shards: status $status"
            same "$tmp/alone" "$tmp/out" "$mpi, $number ranks, $shards shards"
        done
        unset COTANGENT_SHARDS
        train 1 "one$shards" --epochs 2
        [ $status -eq 0 ] || fail "$mpi, $shards shards: train: status $status"
        log_of "$tmp/one$shards.csv" >"$tmp/one.log"
        for number in ${rank_numbers#1 }; do
            train $number several --epochs 2
            [ $status -eq 0 ] || fail "$mpi, $number ranks, $shards shards: train: status $status"
            same "$tmp/one$shards.st" "$tmp/several.st" "$mpi, $number ranks: model"
            same "$tmp/one$shards.ck" "$tmp/several.ck" "$mpi, $number ranks: checkpoint"
            log_of "$tmp/several.csv" >"$tmp/several.log"
            same "$tmp/one.log" "$tmp/several.log" "$mpi, $number ranks: log"
        done
    done

    # The tool evaluates with all ranks, and generates with one; rank 0 alone prints.
    "$tool" eval "$tmp/one4.st" "$tmp/text" --shards 4 >"$tmp/alone" 2>"$tmp/err" || fail "eval, alone"
    "$tool" generate "$tmp/one4.st" -p time -n 30 >"$tmp/text1" 2>"$tmp/err" || fail "generate, alone"
    for number in 1 2 3 4; do
        ranks $number "$tool" eval "$tmp/one4.st" "$tmp/text" --shards 4
        [ $status -eq 0 ] || fail "$mpi, $number ranks: eval: status $status"
        same "$tmp/alone" "$tmp/out" "$mpi, $number ranks: eval"
        ranks $number "$tool" generate "$tmp/one4.st" -p time -n 30
        [ $status -eq 0 ] || fail "$mpi, $number ranks: generate: status $status"
        same "$tmp/text1" "$tmp/out" "$mpi, $number ranks: generate"
    done

    # A run continues with another number of ranks.
    shards=4
    train 3 resumed --epochs 1
    train 2 resumed --epochs 2 --resume
    [ $status -eq 0 ] || fail "$mpi: resume: status $status"
    same "$tmp/one4.st" "$tmp/resumed.st" "$mpi: resumed model"
    same "$tmp/one4.ck" "$tmp/resumed.ck" "$mpi: resumed checkpoint"
    shards=5
    train 2 resumed --epochs 3 --resume
    [ $status -eq 1 ] || fail "$mpi: other shards: status $status"
    says 'trainer.shards is 4 in the checkpoint and 5 now' 1 "$mpi: other shards"
    rm -f "$tmp/resumed".*

    # A program that knows nothing of this.
    COTANGENT_DATA_DIR=$tmp/none COTANGENT_SHARDS=2
    export COTANGENT_DATA_DIR COTANGENT_SHARDS
    COTANGENT_TIMEMACHINE_URL=http://127.0.0.1:1/x XDG_CACHE_HOME=$tmp/cache
    export COTANGENT_TIMEMACHINE_URL XDG_CACHE_HOME
    for number in 1 2; do
        ranks $number "$build/examples/rnn_concise" --epochs 1 --hidden 8
        [ $status -eq 0 ] || fail "$mpi: rnn_concise: status $status"
        sed -n '/^untrained: /p; /^trained: /p; s/^\(perplexity [0-9.]*\).*/\1/p' "$tmp/out" \
            >"$tmp/concise$number"
        [ "$(grep -c '^trained: ' "$tmp/out")" -eq 1 ] || fail "$mpi: rnn_concise prints for each rank"
    done
    same "$tmp/concise1" "$tmp/concise2" "$mpi: rnn_concise"
    unset COTANGENT_SHARDS COTANGENT_DATA_DIR COTANGENT_TIMEMACHINE_URL
done

# ---- faults ----

begin_long()    # NAME: a long run of 3 ranks in the background, until its first checkpoint is there;
{               # pid.RANK has the process of a rank, and at the end, status has $status
    rm -f "$tmp"/pid.* "$tmp/status"
    (ranks 3 sh -c 'trap "" XFSZ
        echo $$ >"$0.${OMPI_COMM_WORLD_RANK-$PMI_RANK}"
        exec "$@"' "$tmp/pid" "$tool" train "$tmp/text" -q --shards 4 --batch 13 --steps 16 \
        --hidden 16 --epochs 100000 -o "$tmp/$1.st" --checkpoint "$tmp/$1.ck" --every 20
    echo $status >"$tmp/status") &
    while [ ! -s "$tmp/$1.ck" ]; do
        [ ! -s "$tmp/status" ] || fail "$mpi: $1: no checkpoint"
        sleep 0.5
    done
}

for mpi in $mpis; do
    refused '2 shards are too few for 3 ranks' "$mpi: 2 shards on 3 ranks" 3 "$build/tests/ranks" 2

    # No plug-in: each process would train alone. Processes that do not know each other cannot wait for
    # each other, so Hydra may kill the second one before it prints.
    COTANGENT_PLUGIN_DIR=$tmp/none
    export COTANGENT_PLUGIN_DIR
    ranks 2 "$build/tests/ranks" 4
    unset COTANGENT_PLUGIN_DIR
    [ $status -ne 0 ] || fail "$mpi: without a plug-in: status 0"
    lines=2
    [ "$mpi" != mpich ] || lines=1
    says 'started 2 processes, but .*each process would train alone' $lines "$mpi: without a plug-in"

    ranks 3 "$build/tests/ranks" 4 error
    [ $status -ne 0 ] || fail "$mpi: an error"
    says 'rank 1: .*the disk is full' 2 "$mpi: an error"

    # A second after the end of a rank, mpirun kills the others: on a busy machine they may not come to
    # say why. Hydra kills them at once.
    for try in 1 2 3; do
        ranks 3 "$build/tests/ranks" 4 dead
        [ $status -ne 0 ] || fail "$mpi: a dead rank"
        ! grep -q 'rank 1 .*has ended' "$tmp/err" || break
    done
    [ $mpi = mpich ] || says 'rank 1 .*has ended' 1 "$mpi: a dead rank"

    COTANGENT_WORLD_TIMEOUT=2
    export COTANGENT_WORLD_TIMEOUT
    ranks 3 "$build/tests/ranks" 4 late
    [ $status -ne 0 ] || fail "$mpi: a late rank"
    says 'rank 1 .*was not heard of for 2 s' 2 "$mpi: a late rank"
    unset COTANGENT_WORLD_TIMEOUT

    # The disk of rank 0 is full: the last checkpoint stays good.
    if command -v prlimit >/dev/null 2>&1; then
        begin_long full
        prlimit --pid "$(cat "$tmp/pid.0")" --fsize=8192
        wait
        [ "$(cat "$tmp/status")" -ne 0 ] || fail "$mpi: a full disk: status 0"
        says 'full.ck.*File too large' 2 "$mpi: a full disk"
        "$tool" info "$tmp/full.ck" >"$tmp/out" 2>"$tmp/err" || fail "$mpi: a full disk: no checkpoint"
    fi

    # SIGTERM to one rank stops all after the same step.
    begin_long stop
    kill -TERM "$(cat "$tmp/pid.2")"
    wait
    [ "$(cat "$tmp/status")" -ne 0 ] || fail "$mpi: SIGTERM: status 0"
    "$tool" info "$tmp/stop.st" >"$tmp/out" 2>"$tmp/err" || fail "$mpi: SIGTERM: no model"
    rm -f "$tmp"/stop.* "$tmp"/full.*
done
say "checked with$mpis"
