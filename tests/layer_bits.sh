#!/bin/sh
# SPDX-License-Identifier: MIT
# layer_bits.sh - recurrent layers (tensor/cpu/rnn_layer.c) have the same bits with AVX2, with AVX-512
# and with NEON. The kernels are compiled without the rest of the library. NEON runs under
# qemu-aarch64.

. "$(dirname "$0")/lib.sh"
make_tmp

# digests PATH COMPILER FLAGS...: compiles the kernels for a code path, as $tmp/PATH
digests()
{
    path=$1
    shift
    "$@" -std=gnu11 -O2 -ffp-contract=off -DCT_CPU_PATH="$path" -DCT_HAVE_AVX2_PATH \
        -DCT_HAVE_AVX512_PATH -I"$build/include" -I"$build" -I"$srcdir" -I"$srcdir/include" "$srcdir/tests/layer_bits.c" "$srcdir/tensor/cpu/gemm_micro.c" \
        "$srcdir/tensor/cpu/rnn_layer.c" "$srcdir/tensor/cpu/rnn_layer_backward.c" "$srcdir/tensor/cpu/rnn_layer_weights.c" -o "$tmp/$path" \
        >"$tmp/out" 2>"$tmp/err"
}

# same NAME: the digests of NAME are those of AVX2
same()
{
    [ "$(wc -l <"$tmp/$1.txt")" -eq 112 ] || fail "$1: not all layers have run"
    cmp -s "$tmp/avx2.txt" "$tmp/$1.txt" ||
        fail "$1: other bits than AVX2: $(diff "$tmp/avx2.txt" "$tmp/$1.txt" | sed -n 2p)"
    say "$1: the bits of AVX2"
}

grep -qw avx2 /proc/cpuinfo 2>/dev/null || skip "needs a processor with AVX2"
digests avx2 "${CC:-cc}" -mavx2 -mfma || fail "cannot compile for AVX2"
"$tmp/avx2" >"$tmp/avx2.txt" || fail "AVX2 fails"
same avx2
if grep -qw avx512dq /proc/cpuinfo; then
    digests avx512 "${CC:-cc}" -mavx512f -mavx512dq -mavx512bw -mavx512vl -mfma ||
        fail "cannot compile for AVX-512"
    "$tmp/avx512" >"$tmp/avx512.txt" || fail "AVX-512 fails"
    same avx512
fi
command -v aarch64-linux-gnu-gcc >/dev/null || skip "NEON: no aarch64-linux-gnu-gcc"
command -v qemu-aarch64 >/dev/null || skip "NEON: no qemu-aarch64"
digests base aarch64-linux-gnu-gcc -static || fail "cannot compile for NEON"
qemu-aarch64 "$tmp/base" >"$tmp/base.txt" || fail "NEON fails"
mv "$tmp/base.txt" "$tmp/neon.txt"
same neon
