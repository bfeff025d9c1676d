#!/bin/sh
# SPDX-License-Identifier: MIT
# portable.sh - in portable mode, training gives the same bits for any code path, kernels
# of OpenBLAS, variants of the C library's functions and number of threads; in normal mode it does
# not.

. "$(dirname "$0")/lib.sh"
unset COTANGENT_CPU_PATH OPENBLAS_CORETYPE GLIBC_TUNABLES PORTABLE

digest()    # SETTING...
{
    env "$@" tests/portable || echo failed
}

status=0
want=$(digest PORTABLE=1)
[ "$want" != failed ] || status=1
no_fma=glibc.cpu.hwcaps=-AVX2_Usable,-FMA_Usable,-AVX2,-FMA,-FMA4
for setting in COTANGENT_CPU_PATH=base COTANGENT_CPU_PATH=avx2 OPENBLAS_CORETYPE=Haswell \
    OPENBLAS_CORETYPE=Prescott GLIBC_TUNABLES=$no_fma THREADS=3; do
    got=$(digest PORTABLE=1 $setting)
    [ "$got" = "$want" ] || { say "$setting gives $got, not $want"; status=1; }
done

# The test is able to fail: without portable mode the code paths differ, if there is more than one.
if grep -q avx2 /proc/cpuinfo 2>/dev/null; then
    got=$(digest COTANGENT_CPU_PATH=base)
    other=$(digest COTANGENT_CPU_PATH=avx2)
    [ "$got" != "$other" ] || { say "base and avx2 do not differ"; status=1; }
fi
exit $status
