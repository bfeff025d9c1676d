#!/bin/sh
# SPDX-License-Identifier: MIT
# purity.sh - outside the AVX2, AVX-512 and bf16 code paths no object holds an AVX instruction, so the
# library runs on any x86-64; and those paths do use the registers they are for.

. "$(dirname "$0")/lib.sh"
OBJDUMP=${OBJDUMP-objdump}

[ "$OBJDUMP" != no ] || skip "objdump was not found"
[ "$HOST_CPU" = x86_64 ] || skip "for x86-64 only, this is $HOST_CPU"
case " $CFLAGS $CC " in
*" -march"* | *" -mavx"*) skip "CFLAGS choose a processor" ;;
*" -O0"*) skip "built without optimisation" ;;
*sanitize*) skip "built with sanitizers" ;;
esac

count()     # PATTERN OBJECT: instructions that match
{
    $OBJDUMP -d --no-show-raw-insn "$2" | grep -c -e "$1"
}

avx='%[yz]mm[0-9]\|^ *[0-9a-f]*:	v[a-z]'
status=0
seen=0
for object in $(find tensor autograd nn optim data train -name '*.o' | sort); do
    case $object in
    */libcpu_avx2_la-*)
        [ "$(count '%ymm' "$object")" -gt 0 ] || { echo "no %ymm in $object"; status=1; }
        [ "$(count '%zmm' "$object")" -eq 0 ] || { echo "%zmm in $object"; status=1; }
        ;;
    */libcpu_bf16_la-*)
        [ "$(count 'vdpbf16ps.*%zmm' "$object")" -gt 0 ] || { echo "no vdpbf16ps in $object"; status=1; }
        ;;
    */libcpu_avx512_la-*)
        [ "$(count '%zmm' "$object")" -gt 0 ] || { echo "no %zmm in $object"; status=1; }
        ;;
    *)
        n=$(count "$avx" "$object")
        [ "$n" -eq 0 ] || { echo "$n AVX instructions in $object"; status=1; }
        seen=$((seen + 1))
        ;;
    esac
done
[ $seen -gt 0 ] || fail "no objects found"
exit $status
