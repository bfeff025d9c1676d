#!/bin/sh
# on_emulator.sh - the test programs of the library, on the emulated GPU: what they want of the CPU,
# and no report of the emulator. Three seeds of its schedule (as late as can be, now and then, at
# once). Under the second one each tensor's memory is its own (no pool), under the others it comes
# from the pool, but for programs that say themselves which they want. Two of the long ones run in make
# check, under one seed and with the pool (a buffer's own memory takes the system's time); all of
# them, under all seeds, in make check-full.

short='test_tensor test_state_dict test_safetensors test_misuse test_series test_train test_init'
choosing='test_scope test_nn test_optim test_engine'
long='test_ops test_main_job'
longest='test_params test_autograd test_recurrent test_convert'

if [ ! -f "$COTANGENT_PLUGIN_DIR/cuda-emu.so" ]; then
    echo "on_emulator.sh: skipped, there is no cuda-emu (built without CUDA's headers)"
    exit 77
fi
if [ ! -x tests/test_tensor ]; then
    echo 'on_emulator.sh: skipped, there are no test programs (Check is not installed)'
    exit 77
fi

COTANGENT_TEST_DEVICE=cuda-emu
export COTANGENT_TEST_DEVICE
log=$(mktemp) || exit 99
trap 'rm -f "$log"' EXIT
trap 'exit 99' HUP INT TERM
status=0

run()    # PROGRAM SEED [POOL]
{
    # shellcheck disable=SC2086
    env COTANGENT_EMU_SEED="$2" ${3:+COTANGENT_POOL=$3} tests/"$1" >"$log" 2>&1 ||
        { echo "$1, schedule $2:"; tail -n 20 "$log"; status=1; }
    if grep '^cuda-emu: ' "$log"; then
        echo "$1, schedule $2: reports"
        status=1
    fi
}

seeds=3
[ -z "$COTANGENT_TEST_FULL" ] || { seeds='1 2 3'; long="$long $longest"; }
for program in $short; do
    run "$program" 1 1
    run "$program" 2 0
    run "$program" 3 1
done
for program in $choosing; do
    run "$program" 1
    run "$program" 3
done
for program in $long; do
    for seed in $seeds; do
        pool=$((seed != 2))
        test "$program" != test_params || pool=
        run "$program" "$seed" $pool
    done
done
exit $status
