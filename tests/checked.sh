#!/bin/sh
# checked.sh - every kernel of cuda/ under the emulated GPU's checker, with several seeds: the same
# results, and no race, access out of bounds or read of what was never written.

programs=${CHECKED_PROGRAMS-"tests/test_cuda_kernels"}
seeds=1
test -z "$COTANGENT_TEST_FULL" || seeds='1 2 3 4 5 6'

COTANGENT_PLUGIN_DIR=$(pwd)/cuda/checked/.libs
COTANGENT_TEST_DEVICE=cuda-emu
export COTANGENT_PLUGIN_DIR COTANGENT_TEST_DEVICE
if test ! -f "$COTANGENT_PLUGIN_DIR/cuda-emu.so"; then
    echo 'skipped: the checker was not built (it needs the headers of CUDA and a C++ compiler)'
    exit 77
fi

log=$(mktemp) || exit 99
trap 'rm -f "$log"' EXIT
trap 'exit 99' HUP INT TERM
ran=no
status=0
for program in $programs; do
    test -x "$program" || continue
    for seed in $seeds; do
        ran=yes
        COTANGENT_EMU_SEED=$seed "$program" >"$log" 2>&1 ||
            { echo "$program, seed $seed:"; tail -n 20 "$log"; status=1; }
        if grep '^cuda-emu: ' "$log"; then
            echo "$program, seed $seed: reports"
            status=1
        fi
    done
done
test $ran = yes || { echo 'skipped: no test program of kernels'; exit 77; }
exit $status
