/* SPDX-License-Identifier: MIT */
/* pool.c - the positions of max_pool. */
#include "tensor/cpu/conv.h"

#include "tensor/parallel.h"

#include <math.h>

/* The elements of a window along an axis that are in the plane: begin, begin + step, ... < end. */
static int64_t pool_begin(const cti_max_pool_args *a, int i, int64_t result, int64_t *end)
{
    int64_t at = result * a->stride[i] - a->padding[i];

    *end = cti_conv_least(at + (a->kernel[i] - 1) * a->dilation[i] + 1, a->size[i]);
    return at < 0 ? at + cti_conv_parts(-at, a->dilation[i]) * a->dilation[i] : at;
}

#define MAX_POOL(name, type)                                                                       \
    static void name(void *context, int64_t plane)                                                 \
    {                                                                                              \
        const cti_max_pool_args *a = context;                                                      \
        const type *in = (const type *)a->in + plane * a->size[0] * a->size[1];                    \
        int64_t *out = a->indices + plane * a->result[0] * a->result[1];                           \
        int64_t p, q, y, x, top, left, bottom, right;                                              \
        for (p = 0; p < a->result[0]; p++)                                                         \
            for (q = 0; q < a->result[1]; q++) {                                                   \
                int64_t best;                                                                      \
                type most;                                                                         \
                top = pool_begin(a, 0, p, &bottom);                                                \
                left = pool_begin(a, 1, q, &right);                                                \
                best = top * a->size[1] + left;                                                    \
                most = in[best];                                                                   \
                for (y = top; y < bottom; y += a->dilation[0])                                     \
                    for (x = left; x < right; x += a->dilation[1])                                 \
                        if (in[y * a->size[1] + x] > most || isnan(in[y * a->size[1] + x])) {      \
                            best = y * a->size[1] + x;                                             \
                            most = in[best];                                                       \
                        }                                                                          \
                *out++ = best;                                                                     \
            }                                                                                      \
    }
MAX_POOL(max_pool_f32, float)
MAX_POOL(max_pool_f64, double)

void cti_cpu_max_pool(const cti_max_pool_args *a)
{
    if (a->result[0] && a->result[1])
        cti_parallel(a->planes, a->dtype == CT_F64 ? max_pool_f64 : max_pool_f32, (void *)a);
}
