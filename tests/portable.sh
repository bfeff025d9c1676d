#!/bin/sh
# portable.sh - in portable mode training gives the same bits whatever the code path, the kernels of
# OpenBLAS, the C library's variants of its functions and the number of threads; without it, not.

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

# The test can fail: the code paths themselves differ, where there is more than one.
if grep -q avx2 /proc/cpuinfo 2>/dev/null; then
    got=$(digest COTANGENT_CPU_PATH=base)
    other=$(digest COTANGENT_CPU_PATH=avx2)
    [ "$got" != "$other" ] || { say "base and avx2 do not differ"; status=1; }
fi
exit $status
