/* SPDX-License-Identifier: MIT */
/* cuda_kernels_reduce.c - reductions, scans, softmax and losses of a GPU against the CPU's. */
#include <float.h>

#include "tests/harness.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/backend.h"
#include "tests/test_cuda_kernels.h"

/* ---- reductions ---- */

static const struct {
    int64_t outer, n, inner;
} blocks[] = { { 1, 0, 1 },   { 3, 1, 1 },    { 0, 5, 3 },     { 1, 31, 1 },  { 33, 17, 1 },
               { 2, 257, 1 }, { 1, 5000, 1 }, { 1, 40000, 1 }, { 3, 33, 2 },  { 1, 300, 5 },
               { 2, 33, 31 }, { 1, 257, 33 }, { 1, 3000, 40 }, { 2, 7, 257 }, { 257, 3, 1 },
               { 40, 28, 1 }, { 2, 100, 3 } };

#define BLOCKS LENGTH(blocks)

START_TEST(reductions)
{
    int op = _i, d, b;

    for (d = 0; d < 4; d++)
        for (b = 0; b < BLOCKS; b++) {
            int64_t outer = blocks[b].outer, n = blocks[b].n, inner = blocks[b].inner;
            bool logic = op == CTI_ANY || op == CTI_ALL;
            bool adds = op == CTI_SUM || op == CTI_SUM_SQUARES || op == CTI_PROD;
            ct_dtype dtype = logic ? CT_BOOL : numbers[d];
            ct_dtype out = op == CTI_ARGMAX || op == CTI_ARGMIN ? CT_I64 : dtype;
            double tolerance = adds ? tolerance_of(dtype) * (op == CTI_PROD ? 1 : 100) : 0;

            if (logic && d > 0)
                continue;
            BOTH(SAY("reduce %d %s (%lld, %lld, %lld)", op, ct_dtype_name(dtype), (long long)outer,
                     (long long)n, (long long)inner),
                 {
                     void *in = adds ? put(t, dtype, outer * n * inner)
                                     : put_odd(t, dtype, outer * n * inner);
                     void *y = put(t, out, outer * inner);

                     t->be->reduce(&(cti_reduce_args){ .op = (cti_reduce_op)op,
                                                       .dtype = dtype,
                                                       .outer = outer,
                                                       .n = n,
                                                       .inner = inner,
                                                       .in = in,
                                                       .out = y });
                     get(t, "out", y, out, outer * inner, tolerance);
                 });
        }
}
END_TEST

/* logcumsumexp of finite numbers, infinities and NaN, and both products of its derivative. */
START_TEST(running_log_sums)
{
    int d, b, k;

    for (d = 0; d < 2; d++)
        for (b = 0; b < BLOCKS; b++)
            for (k = 0; k < 4; k++) {
                int64_t outer = blocks[b].outer, n = blocks[b].n, inner = blocks[b].inner;
                ct_dtype dtype = floats[d];

                BOTH(SAY("logcumsumexp %s (%lld, %lld, %lld) %d", ct_dtype_name(dtype),
                         (long long)outer, (long long)n, (long long)inner, k),
                     {
                         int64_t count = outer * n * inner;
                         void *x = (k % 2 ? put_odd : put)(t, dtype, count);
                         void *y = put(t, dtype, count), *dy = put(t, dtype, count);
                         void *out = put(t, dtype, count);

                         t->be->logcumsumexp(&(cti_cumsum_args){ .dtype = dtype,
                                                                 .outer = outer,
                                                                 .n = n,
                                                                 .inner = inner,
                                                                 .in = x,
                                                                 .out = y });
                         t->be->logcumsumexp_backward(
                             &(cti_logcumsumexp_backward_args){ .dtype = dtype,
                                                                .transposed = k / 2,
                                                                .outer = outer,
                                                                .n = n,
                                                                .inner = inner,
                                                                .d = dy,
                                                                .x = x,
                                                                .y = y,
                                                                .out = out });
                         get(t, "y", y, dtype, count, tolerance_of(dtype));
                         get(t, "out", out, dtype, count, tolerance_of(dtype));
                     });
            }
}
END_TEST

/* A sum of n numbers may be near 0 although its partial sums are about sqrt(n), so its error is not
 * proportional to it. f32 is added in f64, and integers in i64. */
static double running_tolerance(ct_dtype dtype, int64_t n)
{
    double of_dtype = tolerance_of(dtype), of_sums = 4 * (double)n * DBL_EPSILON;

    return dtype == CT_F64 && of_sums > of_dtype ? of_sums : of_dtype;
}

START_TEST(running_sums)
{
    int d, b, reverse;

    for (d = 0; d < 4; d++)
        for (b = 0; b < BLOCKS; b++)
            for (reverse = 0; reverse < 2; reverse++) {
                int64_t outer = blocks[b].outer, n = blocks[b].n, inner = blocks[b].inner;

                BOTH(SAY("cumsum %s (%lld, %lld, %lld) %d", ct_dtype_name(numbers[d]),
                         (long long)outer, (long long)n, (long long)inner, reverse),
                     {
                         int64_t count = outer * n * inner;
                         void *in = put(t, numbers[d], count), *y = put(t, numbers[d], count);

                         t->be->cumsum(&(cti_cumsum_args){ .dtype = numbers[d],
                                                           .reverse = reverse,
                                                           .outer = outer,
                                                           .n = n,
                                                           .inner = inner,
                                                           .in = in,
                                                           .out = y });
                         get(t, "out", y, numbers[d], count, running_tolerance(numbers[d], n));
                     });
            }
}
END_TEST

START_TEST(softmaxes)
{
    static const int64_t shapes[][2] = { { 0, 5 },    { 3, 0 },  { 1, 1 },   { 5, 28 },
                                         { 257, 32 }, { 3, 33 }, { 9, 257 }, { 2, 5000 } };
    int d, s, logarithm, odd;

    for (d = 0; d < 2; d++)
        for (s = 0; s < 8; s++)
            for (logarithm = 0; logarithm < 2; logarithm++)
                for (odd = 0; odd < 2; odd++)
                    BOTH(SAY("softmax %s (%lld, %lld) %d %d", ct_dtype_name(floats[d]),
                             (long long)shapes[s][0], (long long)shapes[s][1], logarithm, odd),
                         {
                             int64_t count = shapes[s][0] * shapes[s][1];
                             void *in =
                                 odd ? put_odd(t, floats[d], count) : put(t, floats[d], count);
                             void *y = put(t, floats[d], count);

                             t->be->softmax(&(cti_softmax_args){ .dtype = floats[d],
                                                                 .logarithm = logarithm,
                                                                 .rows = shapes[s][0],
                                                                 .n = shapes[s][1],
                                                                 .in = in,
                                                                 .out = y });
                             get(t, "out", y, floats[d], count, tolerance_of(floats[d]));
                         });
}
END_TEST

/* ---- cross-entropy ---- */

/* Makes targets: every seventh is ignored (-100), and number `bad` is out of range. */
static void *put_targets(run *t, ct_dtype dtype, int64_t rows, int64_t classes, int64_t bad)
{
    void *host = calloc((size_t)rows + 1, 8), *p;
    int64_t i;

    for (i = 0; i < rows; i++)
        element_store(host, dtype, i,
                      i % 7 == 3 ? -100
                      : i == bad ? (double)classes
                                 : (double)draw_below(&t->r, classes));
    p = put_bytes(t, host, (size_t)rows * ct_dtype_size(dtype));
    free(host);
    return p;
}

static void cross_entropy_case(run *t, ct_dtype dtype, ct_dtype index, int64_t rows, int64_t n,
                               double smoothing, int64_t bad)
{
    void *in = put(t, dtype, rows * n), *target = put_targets(t, index, rows, n, bad);
    void *loss = put(t, dtype, rows), *most = put(t, dtype, rows), *lse = put(t, dtype, rows);
    void *dloss = put(t, dtype, rows);
    void *din = put(t, dtype, rows * n), *din_same = put(t, dtype, rows * n);
    double tolerance = tolerance_of(dtype);
    cti_fault f = { 1, 0 };

    note(t,
         t->be->cross_entropy(&(cti_cross_entropy_args){ .dtype = dtype,
                                                         .index_dtype = index,
                                                         .rows = rows,
                                                         .n = n,
                                                         .in = in,
                                                         .target = target,
                                                         .ignore = -100,
                                                         .smoothing = smoothing,
                                                         .loss = loss,
                                                         .most = most,
                                                         .lse = lse },
                              &f),
         &f);
    get(t, "loss", loss, dtype, rows, tolerance);
    get(t, "most", most, dtype, rows, 0);
    get(t, "lse", lse, dtype, rows, tolerance);
    if (bad >= 0)
        return;
    t->be->cross_entropy_backward(&(cti_cross_entropy_backward_args){ .dtype = dtype,
                                                                      .index_dtype = index,
                                                                      .rows = rows,
                                                                      .n = n,
                                                                      .in = in,
                                                                      .target = target,
                                                                      .ignore = -100,
                                                                      .smoothing = smoothing,
                                                                      .most = most,
                                                                      .lse = lse,
                                                                      .dloss = dloss,
                                                                      .dloss_step = 1,
                                                                      .din = din });
    get(t, "din", din, dtype, rows * n, tolerance);
    if (rows == 0)
        return;
    t->be->cross_entropy_backward(&(cti_cross_entropy_backward_args){ .dtype = dtype,
                                                                      .index_dtype = index,
                                                                      .rows = rows,
                                                                      .n = n,
                                                                      .in = in,
                                                                      .target = target,
                                                                      .ignore = -100,
                                                                      .smoothing = smoothing,
                                                                      .most = most,
                                                                      .lse = lse,
                                                                      .dloss = dloss,
                                                                      .dloss_step = 0,
                                                                      .din = din_same });
    get(t, "din of one dloss", din_same, dtype, rows * n, tolerance);
}

START_TEST(cross_entropies)
{
    static const int64_t shapes[][2] = { { 0, 5 },  { 1, 1 },   { 6, 28 },  { 257, 32 },
                                         { 9, 33 }, { 3, 600 }, { 2, 5000 } };
    int d, s, i, smooth;

    for (d = 0; d < 2; d++)
        for (i = 0; i < 2; i++)
            for (s = 0; s < 7; s++)
                for (smooth = 0; smooth < 2; smooth++)
                    BOTH(SAY("cross_entropy %s %s (%lld, %lld) %d", ct_dtype_name(floats[d]),
                             ct_dtype_name(indices[i]), (long long)shapes[s][0],
                             (long long)shapes[s][1], smooth),
                         {
                             cross_entropy_case(t, floats[d], indices[i], shapes[s][0],
                                                shapes[s][1], smooth ? 0.1 : 0, -1);
                         });
    BOTH("cross_entropy, a target out of range",
         { cross_entropy_case(t, CT_F32, CT_I64, 100, 28, 0, 77); });
    BOTH("cross_entropy, a target out of range, long rows",
         { cross_entropy_case(t, CT_F64, CT_I32, 40, 100, 0.1, 33); });
}
END_TEST

void cuda_kernels_reduce_cases(Suite *suite)
{

    add(suite, "reductions", reductions, CTI_ALL + 1);
    add(suite, "running sums", running_sums, 1);
    add(suite, "running log sums", running_log_sums, 1);
    add(suite, "softmax", softmaxes, 1);
    add(suite, "cross-entropy", cross_entropies, 1);
}
