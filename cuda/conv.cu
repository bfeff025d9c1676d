/* SPDX-License-Identifier: MIT */
/* conv.cu - the positions of max_pool; convolutions are composed from copies and products. */
#include "cuda/cuda.h"
#include "cuda/device.h"

ct_status cu_conv(const cti_conv *c)
{
    (void)c;
    return CT_ERR_MEMORY;
}

/* ---- max_pool: a thread for each result; tensor/cpu/conv.c explains ties and NaNs ---- */

/* Returns the first element of a window along an axis that is in the plane; *end becomes the
 * element after the last one. */
__device__ inline int64_t pool_begin(const cti_max_pool_args &a, int i, int64_t result,
                                     int64_t *end)
{
    int64_t at = result * a.stride[i] - a.padding[i];

    *end = at + (a.kernel[i] - 1) * a.dilation[i] + 1;
    if (*end > a.size[i])
        *end = a.size[i];
    return at < 0 ? at + (-at + a.dilation[i] - 1) / a.dilation[i] * a.dilation[i] : at;
}

template <typename T>
__global__ void __launch_bounds__(CU_BLOCK) max_pool_positions(cti_max_pool_args a)
{
    int64_t at;

    for (at = cu_thread(); at < a.planes * a.result[0] * a.result[1]; at += cu_threads()) {
        int64_t plane = at, q = cu_split(&plane, a.result[1]), p = cu_split(&plane, a.result[0]);
        const T *in = static_cast<const T *>(a.in) + plane * a.size[0] * a.size[1];
        int64_t bottom, right, y = pool_begin(a, 0, p, &bottom), x;
        int64_t left = pool_begin(a, 1, q, &right), best = y * a.size[1] + left;
        T most = in[best];

        for (; y < bottom; y += a.dilation[0])
            for (x = left; x < right; x += a.dilation[1]) {
                T v = in[y * a.size[1] + x];

                if (v > most || v != v) {
                    best = y * a.size[1] + x;
                    most = v;
                }
            }
        a.indices[at] = best;
    }
}

void cu_max_pool(const cti_max_pool_args *a)
{
    int64_t results = a->planes * a->result[0] * a->result[1];

    if (results == 0)
        return;
    if (a->dtype == CT_F32)
        cu_run("max_pool", max_pool_positions<float>, cu_blocks(results, CU_BLOCK), CU_BLOCK, *a);
    else
        cu_run("max_pool", max_pool_positions<double>, cu_blocks(results, CU_BLOCK), CU_BLOCK, *a);
}
