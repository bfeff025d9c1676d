#!/bin/sh
# optional.sh - the library's sources compile, with configure's warnings, without the optional
# libraries that this build has; those of the CPU also without the code paths of x86-64, as on
# another processor.

LC_ALL=C
export LC_ALL
srcdir=${srcdir-.}
CC=${CC-cc}
optional='CT_HAVE_\(BLAS\|OPENBLAS\|LIBXSMM\|UTF8PROC\|LIBCURL\)'

folder=$(mktemp -d "${TMPDIR-/tmp}/cotangent-optional.XXXXXX") || exit 1
trap 'rm -rf "$folder"' EXIT
sed "/^#define \\($optional\\|HAVE_OPENBLAS\\)/d" config.h >"$folder/config.h" || exit 1

status=0
seen=0
for source in $(cd "$srcdir" && grep -l -e "$optional" -e HAVE_OPENBLAS \
    tensor/*.c tensor/cpu/*.c data/*.c train/*.c); do
    seen=$((seen + 1))
    # shellcheck disable=SC2086
    $CC -DHAVE_CONFIG_H -I"$folder" -Iinclude -I"$srcdir" -DCT_PLUGIN_DIR='""' $LIBRARY_CFLAGS \
        $CFLAGS -c -o "$folder/object.o" "$srcdir/$source" ||
        { echo "optional.sh: $source does not compile without the optional libraries"; status=1; }
done
[ $seen -ge 4 ] || { echo "optional.sh: only $seen sources with optional parts found"; exit 1; }

# cpu.h declares no path that is not built, so naming one does not compile.
sed -i '/^#define CT_HAVE_\(AVX2\|AVX512\|BF16\)_PATH/d' "$folder/config.h" || exit 1
seen=0
for source in $(cd "$srcdir" && ls tensor/cpu/*.c tensor/*.c | grep -v _avx512); do
    seen=$((seen + 1))
    # shellcheck disable=SC2086
    $CC -DHAVE_CONFIG_H -I"$folder" -Iinclude -I"$srcdir" -DCT_PLUGIN_DIR='""' \
        -DCT_CPU_PATH=base $LIBRARY_CFLAGS $CFLAGS -fsyntax-only "$srcdir/$source" ||
        { echo "optional.sh: $source does not compile without the paths of x86-64"; status=1; }
done
[ $seen -ge 20 ] || { echo "optional.sh: only $seen sources of tensor/ found"; exit 1; }
exit $status
