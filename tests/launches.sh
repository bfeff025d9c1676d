#!/bin/sh
# SPDX-License-Identifier: MIT
# launches.sh - the launch header and the emulator refuse at compile time: launches with
# wrong arguments, ignored error codes, functions that the emulator does not have.

. "$(dirname "$0")/lib.sh"

make_tmp
failures=0

# Compiles a function whose body is $1.
compiles()
{
    cat >"$tmp/t.cu" <<END
#include "cuda/launch.h"
__global__ void __launch_bounds__(32) kernel(int n, int64_t m, float f, const float *x) {}
cudaError_t f(cudaStream_t s, float *x, int64_t m, double d)
{
    (void)s, (void)x, (void)m, (void)d;
    $1
}
END
    $CUDA_COMPILE -Wall -Werror -S -o "$tmp/t.s" -x c++ "$tmp/t.cu" >"$tmp/log" 2>&1
}

accepted()
{
    compiles "$1" || { echo "does not compile: $1"; sed 10q "$tmp/log"; failures=1; }
}

# The compiler's message must contain $2.
refused()
{
    if compiles "$1"; then
        echo "compiles: $1"
        failures=1
    elif ! grep -q -e "$2" "$tmp/log"; then
        echo "refused for another reason ($2 was expected): $1"
        sed 10q "$tmp/log"
        failures=1
    fi
}

accepted 'return cu_launch(kernel, 1, 32, 0, s, 1, m, 1.0f, x);'
accepted 'return cu_launch(kernel, dim3(1), dim3(32), 0, s, 1, 2, 1.0f, nullptr);'
refused 'return cu_launch(kernel, 1, 32, 0, s, m, m, 1.0f, x);' 'does not fit'
refused 'return cu_launch(kernel, 1, 32, 0, s, 1u, m, 1.0f, x);' 'does not fit'
refused 'return cu_launch(kernel, 1, 32, 0, s, 1, m, d, x);' 'does not fit'
refused 'return cu_launch(kernel, 1, 32, 0, s, 1, m, 1, x);' 'does not fit'
refused 'return cu_launch(kernel, 1, 32, 0, s, 1, m, 1.0f, &m);' 'does not fit'
refused 'return cu_launch(kernel, 1, 32, 0, s, 1, m, 1.0f);' 'number of parameters'

refused 'cu_launch(kernel, 1, 32, 0, s, 1, m, 1.0f, x); return cudaSuccess;' 'unused-result'
refused '(void)cudaMemsetAsync(x, 0, 4, s); return cudaSuccess;' 'unused-result'
refused 'cudaMallocAsync((void **)&x, 4, s); return cudaSuccess;' 'unused-result'
refused 'cudaStreamSynchronize(s); return cudaSuccess;' 'unused-result'
refused 'cublasSgemm_v2(0, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, x, x, 1, x, 1, x, x, 1);
         return cudaSuccess;' 'unused-result'
refused 'return cudaMemcpyAsync(x, 4, x, cudaMemcpyDeviceToDevice, s);' 'invalid conversion'

# The emulator does not define these functions, so the module would not link.
emulator=../cuda/emu/.libs/runtime.o
test -f "$emulator" || emulator=cuda/emu/.libs/runtime.o
if test "$NM" != no && test -f "$emulator"; then
    "$NM" "$emulator" | grep -q ' T cudaMallocAsync$' ||
        { echo "$emulator does not define cudaMallocAsync"; failures=1; }
    for name in cudaMalloc cudaMemcpy cudaMemset cudaMallocManaged cudaDeviceReset; do
        "$NM" "$emulator" | grep -q " T $name\$" && { echo "$name is defined"; failures=1; }
    done
fi
exit $failures
