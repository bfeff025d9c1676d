/* fill.cu - a constant in every element. */
#include "cuda/cuda.h"

template <typename T>
__global__ void __launch_bounds__(256) fill(T *data, int64_t n, T value)
{
    int64_t step = (int64_t)gridDim.x * blockDim.x;
    int64_t i;

    for (i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step)
        data[i] = value;
}

template <typename T> static void fill_with(void *data, int64_t n, T value)
{
    cu_run("fill", fill<T>, cu_blocks(n, 256), 256, (T *)data, n, value);
}

void cu_fill(void *data, ct_dtype dtype, int64_t n, double value)
{
    if (dtype == CT_F32)
        fill_with(data, n, (float)value);
    else if (dtype == CT_F64)
        fill_with(data, n, value);
    else if (dtype == CT_I32)
        fill_with(data, n, (int32_t)value);
    else if (dtype == CT_I64)
        fill_with(data, n, (int64_t)value);
    else if (dtype == CT_BOOL)
        fill_with(data, n, (uint8_t)(value != 0));
    else
        cu_raise(CT_ERR_DTYPE, "fill", "no such dtype");
}
