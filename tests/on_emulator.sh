#!/bin/sh
# SPDX-License-Identifier: MIT
# on_emulator.sh - runs the library's test programs on the emulated GPU: they must pass as
# on the CPU, without a report of the emulator. Each of three seeds sets when the emulator runs
# queued work: as late as possible, at random, at once. With the second seed each tensor has
# separate memory (no pool), with the others memory comes from the pool, except in programs that
# choose for themselves. make check runs two of the long programs, with one seed and the pool
# (separate memory is slow); make check-full runs all of them with all seeds.

. "$(dirname "$0")/lib.sh"

short='test_tensor test_state_dict test_safetensors test_misuse test_tensor_loader test_train test_init test_edges'
choosing='test_scope test_storage test_threads test_nn test_loss test_optim test_engine'
long='test_ops test_main_job'
longest='test_params test_autograd test_recurrent test_convert'

[ -f "$COTANGENT_PLUGIN_DIR/cuda-emu.so" ] || skip "there is no cuda-emu (built without CUDA's headers)"
[ -x tests/test_tensor ] || skip "there are no test programs (Check is not installed)"

COTANGENT_TEST_DEVICE=cuda-emu
export COTANGENT_TEST_DEVICE
make_tmp
status=0

emulated()    # PROGRAM SEED [POOL]
{
    if [ -n "$3" ]; then
        (COTANGENT_POOL=$3 && export COTANGENT_POOL && run_emulated "$2" "tests/$1" && exit $status)
        status=$?
    else
        run_emulated "$2" "tests/$1"
    fi
}

seeds=3
[ -z "$COTANGENT_TEST_FULL" ] || { seeds='1 2 3'; long="$long $longest"; }
for program in $short; do
    emulated "$program" 1 1
    emulated "$program" 2 0
    emulated "$program" 3 1
done
for program in $choosing; do
    emulated "$program" 1
    emulated "$program" 3
done
for program in $long; do
    for seed in $seeds; do
        pool=$((seed != 2))
        test "$program" != test_params || pool=
        emulated "$program" "$seed" $pool
    done
done
exit $status
