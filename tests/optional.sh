#!/bin/sh
# SPDX-License-Identifier: MIT
# optional.sh - compiles the library's sources with configure's warnings and without the
# optional libraries of this build; those of the CPU also without the code paths of x86-64, as on
# another processor; system.c also as for a system that is not Linux. The kernels keep their optimisation with any CFLAGS.

. "$(dirname "$0")/lib.sh"
CC=${CC-cc}
optional='CT_HAVE_\(BLAS\|OPENBLAS\|LIBXSMM\|UTF8PROC\|LIBCURL\|ZLIB\)'

make_tmp
sed "/^#define \\($optional\\|HAVE_OPENBLAS\\|CT_OPENBLAS_FILE\\)/d" config.h >"$tmp/config.h" || exit 1

status=0
seen=0
for source in $(cd "$srcdir" && grep -l -e "$optional" -e HAVE_OPENBLAS \
    tensor/*.c tensor/cpu/*.c data/*.c train/*.c); do
    seen=$((seen + 1))
    # shellcheck disable=SC2086
    $CC -DHAVE_CONFIG_H -I"$tmp" -Iinclude -I"$srcdir" -DCT_PLUGIN_DIR='""' $LIBRARY_CFLAGS \
        $CFLAGS -c -o "$tmp/object.o" "$srcdir/$source" ||
        { say "$source does not compile without the optional libraries"; status=1; }
done
[ $seen -ge 4 ] || fail "only $seen sources with optional parts found"

# cpu.h declares no path that is not built, so naming one does not compile.
sed -i '/^#define CT_HAVE_\(AVX2\|AVX512\|BF16\)_PATH/d' "$tmp/config.h" || exit 1
seen=0
for source in $(cd "$srcdir" && ls tensor/cpu/*.c tensor/*.c | grep -v _avx512); do
    seen=$((seen + 1))
    # shellcheck disable=SC2086
    $CC -DHAVE_CONFIG_H -I"$tmp" -Iinclude -I"$srcdir" -DCT_PLUGIN_DIR='""' \
        -DCT_CPU_PATH=base $LIBRARY_CFLAGS $CFLAGS -fsyntax-only "$srcdir/$source" ||
        { say "$source does not compile without the paths of x86-64"; status=1; }
done
[ $seen -ge 20 ] || fail "only $seen sources of tensor/ found"

# shellcheck disable=SC2086
$CC -DHAVE_CONFIG_H -I"$tmp" -Iinclude -I"$srcdir" -DCTI_PLAIN_SYSTEM $LIBRARY_CFLAGS $CFLAGS -c \
    -o "$tmp/object.o" "$srcdir/tensor/system.c" || fail 'system.c does not compile without Linux'
! ${NM-nm} "$tmp/object.o" | grep -E ' U (sched_|madvise|mmap|secure_getenv|dladdr|getauxval)' ||
    fail 'the plain version of system.c calls Linux'

# The kernels are compiled with -O3 if the user gives -O2, but with -O0 or -Og if the user gives
# that. (make -W takes kernels.c for changed, by the name that the Makefile has for it.)
sources=$(sed -n 's/^srcdir = //p' Makefile)
kernel_flags()      # CFLAGS: the options -O of the last compilation of the kernels
{
    "${MAKE-make}" -n V=1 CFLAGS="$1" -W "$sources/tensor/cpu/kernels.c" libcpu_base.la 2>/dev/null |
        grep -e '-DCT_CPU_PATH=base .*-c ' | grep -o -e ' -O[0-9a-z]*' | tail -n 1
}
MAKEFLAGS=
export MAKEFLAGS
for pair in '-O2:-O3' '-g:-O3' '-O0:-O0' '-O2 -Og:-Og'; do
    [ "$(kernel_flags "${pair%%:*}")" = " ${pair#*:}" ] || {
        say "CFLAGS='${pair%%:*}' does not compile the kernels with ${pair#*:}"
        status=1
    }
done
exit $status
