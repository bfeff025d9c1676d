#!/bin/sh
# SPDX-License-Identifier: MIT
# checked.sh - runs every kernel of cuda/ under the checker of the emulated GPU, with
# several seeds. The results must be the same, and the checker must find no race, no access out of
# bounds and no read of memory that was never written. First the kernels run alone, on sizes around
# those of warps and blocks; then through the library's ops, modules, optimisers and protocols
# (tests/test_devices, three other seeds, no pool); in check-full through all tests.

. "$(dirname "$0")/lib.sh"

programs=${CHECKED_PROGRAMS-"tests/test_cuda_kernels tests/test_devices"}
seeds=1
test -z "$COTANGENT_TEST_FULL" || seeds='1 2 3 4 5 6'
rest=
test -z "$COTANGENT_TEST_FULL" || rest='tests/test_params tests/test_state_dict tests/test_ops
    tests/test_nn tests/test_loss tests/test_init tests/test_tensor_loader tests/test_train tests/test_optim
    tests/test_engine tests/test_autograd tests/test_recurrent'

COTANGENT_PLUGIN_DIR=$(pwd)/cuda/checked/.libs
COTANGENT_TEST_DEVICE=cuda-emu
CK_FORK=yes     # make check has run the kernels in one process
export COTANGENT_PLUGIN_DIR COTANGENT_TEST_DEVICE CK_FORK
[ -f "$COTANGENT_PLUGIN_DIR/cuda-emu.so" ] ||
    skip "the checker was not built (it needs the headers of CUDA and a C++ compiler)"

make_tmp
ran=no
status=0

checked()    # SEED PROGRAM, if it is there
{
    [ -x "$2" ] || return
    ran=yes
    run_emulated "$1" "$2"
}

for program in $programs; do
    for seed in $seeds; do
        checked "$seed" "$program"
    done
done
# These programs draw fewer cases, as in make check, because the checker is slow.
COTANGENT_TEST_FULL=
export COTANGENT_TEST_FULL
for program in $rest; do
    checked 2 "$program"
done
[ $ran = yes ] || skip 'no test program of kernels'
exit $status
