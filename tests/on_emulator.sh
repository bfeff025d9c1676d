#!/bin/sh
# on_emulator.sh - the test programs of the library, on the emulated GPU: what they want of the CPU,
# and no report of the emulator. Three seeds of its schedule (as late as can be, now and then, at
# once). Under the second one each tensor's memory is its own (no pool), under the others it comes
# from the pool, but for programs that say themselves which they want. Two of the long ones run in make
# check, under one seed and with the pool (a buffer's own memory takes the system's time); all of
# them, under all seeds, in make check-full.

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
