#!/bin/sh
# SPDX-License-Identifier: MIT
# nccl.sh - ranks of mpirun that add up gradients between emulated GPUs, over the stand-in for NCCL: the
# bits are those of the sum through MPI, the gradients do not come to the host, and every rank ends
# with a message if one fails. Skipped without mpirun or the emulated GPU.

. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/mpi_lib.sh"

! $sanitized || skip "the emulated GPU is not built with sanitizers"
[ -e "$build/train/nccl/.libs/world-nccl-emu.so" ] || skip "there is no emulated GPU"
COTANGENT_TEST_DEVICE=cuda-emu
export COTANGENT_TEST_DEVICE

bytes_read()    # what rank 0 has read from its device
{
    sed -n 's/^read \([0-9]*\) bytes$/\1/p' "$tmp/err"
}

# ---- the same bits ----

for mpi in $mpis; do
    for shards in 4 6; do
        "$build/tests/ranks" $shards >"$tmp/alone$shards" 2>"$tmp/err" || fail "ranks, alone"
        for number in 1 2 3 4; do
            COTANGENT_NCCL=0
            export COTANGENT_NCCL
            ranks $number "$build/tests/ranks" $shards
            [ $status -eq 0 ] || fail "$mpi, $number ranks, $shards shards: status $status"
            same "$tmp/alone$shards" "$tmp/out" "$mpi, $number ranks, $shards shards, through MPI"
            through_mpi=$(bytes_read)
            unset COTANGENT_NCCL
            ranks $number "$build/tests/ranks" $shards
            [ $status -eq 0 ] || fail "$mpi, $number ranks, $shards shards, NCCL: status $status"
            same "$tmp/alone$shards" "$tmp/out" "$mpi, $number ranks, $shards shards, over NCCL"
            # A gradient has 20 KB in all. The test reads each once, to print its digest.
            [ $number -eq 1 ] || [ "$(bytes_read)" -lt $((through_mpi - 20000)) ] ||
                fail "$mpi, $number ranks, $shards shards: gradients come to the host"
        done
    done
done

# The tool, with dropout.
head -c 3000 "$srcdir/data/sample.txt" >"$tmp/text"
train()         # NUMBER NAME: trains with 4 shards into NAME.st
{
    ranks "$1" "$build/tool/cotangent" train "$tmp/text" -q --device cuda-emu --shards 4 --batch 13 \
        --steps 16 --hidden 16 --dropout 0.2 --epochs 1 -o "$tmp/$2.st"
    [ $status -eq 0 ] || fail "$mpi, $1 ranks: train: status $status"
}
for mpi in $mpis; do
    COTANGENT_NCCL=0
    export COTANGENT_NCCL
    train 2 through_mpi
    unset COTANGENT_NCCL
    for number in 2 3; do
        train $number over_nccl
        same "$tmp/through_mpi.st" "$tmp/over_nccl.st" "$mpi, $number ranks: model"
    done
done

# ---- the GPU of a rank ----

# in_rank RANK COMMAND... with NAME=VALUE in $only for that rank alone
cat >"$tmp/in_rank" <<'END'
#!/bin/sh
rank=$1
shift
[ "${OMPI_COMM_WORLD_RANK-$PMI_RANK}" != "$rank" ] || export "$only"
exec "$@"
END
chmod +x "$tmp/in_rank"

for mpi in $mpis; do
    only=COTANGENT_EMU_NAME=other
    export only
    ranks 3 "$tmp/in_rank" 2 "$build/tests/ranks" 4
    [ $status -eq 0 ] || fail "$mpi, another GPU: status $status"
    says 'note: the GPU of rank 2 is other .*, and that of rank 0 is emulated GPU .*bits' 1 \
        "$mpi, another GPU"
    same "$tmp/alone4" "$tmp/out" "$mpi, another GPU"

    # Each process has the GPU of its number. Here the second one has no GPU 1, and takes GPU 0.
    COTANGENT_EMU_DEVICES=2
    export COTANGENT_EMU_DEVICES
    ranks 3 "$build/tests/ranks" 4 device
    [ $status -eq 0 ] || fail "$mpi, devices: status $status"
    for line in '0 cuda-emu' '1 cuda-emu:1' '2 cuda-emu'; do
        says "^rank $line\$" 1 "$mpi, devices"
    done
    unset COTANGENT_EMU_DEVICES
done

# ---- faults ----

for mpi in $mpis; do
    # A call of CUDA or of NCCL fails at rank 1, in several places of a step.
    for call in 60 150 200 250 300 350; do
        only=COTANGENT_EMU_FAIL=$call
        ranks 3 "$tmp/in_rank" 1 "$build/tests/ranks" 4
        [ $status -ne 0 ] || fail "$mpi, call $call fails: status 0"
        [ $status -ne 124 ] || fail "$mpi, call $call fails: the ranks wait"
    done
    ranks 3 "$build/tests/ranks" 4 dead
    [ $status -ne 0 ] && [ $status -ne 124 ] || fail "$mpi: a dead rank: status $status"
done
say "checked with$mpis"
