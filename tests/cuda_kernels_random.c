/* SPDX-License-Identifier: MIT */
/* cuda_kernels_random.c - random numbers of a GPU against the CPU's. */
#include "tests/harness.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "tensor/backend.h"
#include "tests/test_cuda_kernels.h"

/* ---- random numbers ---- */

/* Returns the address of a 5 on the device, as the base of a position. */
static const uint64_t *at_5(run *t)
{
    uint64_t five = 5;

    return put_bytes(t, &five, sizeof five);
}

START_TEST(draws)
{
    int d, s, c;

    for (d = 0; d < 2; d++)
        for (s = 0; s < SIZES; s++)
            for (c = 0; c < 4; c++) {
                int64_t n = sizes[s];
                double a = c == 0 ? 0 : c == 1 ? -1 : c == 2 ? 16777216 : 1e-3;
                double b = c == 0 ? 1 : c == 1 ? 1e-30 : c == 2 ? 16777218 : 1e-3;

                BOTH(
                    SAY("uniform %s n %lld in %g %g", ct_dtype_name(floats[d]), (long long)n, a, b),
                    {
                        void *p = put(t, floats[d], n);

                        t->be->uniform(
                            &(cti_draw_args){ .out = p,
                                              .dtype = floats[d],
                                              .n = n,
                                              .a = a,
                                              .b = b,
                                              .from = { 12345678901234u, 3, 1ull << 40, NULL } });
                        get(t, "out", p, floats[d], n, 0);
                    });
                BOTH(SAY("normal %s n %lld", ct_dtype_name(floats[d]), (long long)n), {
                    void *p = put(t, floats[d], n);

                    t->be->normal(&(cti_draw_args){ .out = p,
                                                    .dtype = floats[d],
                                                    .n = n,
                                                    .a = 0,
                                                    .b = c ? 3 : 1,
                                                    .from = { 99, 1ull << 50, 5, at_5(t) } });
                    get(t, "out", p, floats[d], n, -2);
                });
                BOTH(SAY("dropout %s n %lld", ct_dtype_name(floats[d]), (long long)n), {
                    void *in = put(t, floats[d], n), *p = put(t, floats[d], n);

                    t->be->dropout(&(cti_dropout_args){ .dtype = floats[d],
                                                        .n = n,
                                                        .p = c * 0.3,
                                                        .from = { 1, 2, 3, c % 2 ? at_5(t) : NULL },
                                                        .in = in,
                                                        .out = p });
                    get(t, "out", p, floats[d], n, 0);
                });
            }
}
END_TEST

/* Weights in [0, 3), with every fifth 0; row `bad` has a negative weight. */
static void multinomial_case(run *t, const int64_t size[3], bool replacement, int64_t bad)
{
    int64_t rows = size[0], n = size[1], k = size[2], i;
    double *host = calloc((size_t)(rows * n) + 1, sizeof *host);
    void *weights, *out = put(t, CT_I64, rows * k);
    cti_fault f = { 1, 0 };
    cti_multinomial_args a = {
        .rows = rows, .n = n, .k = k, .from = { 5, 6, 2, at_5(t) }, .out = out
    };

    for (i = 0; i < rows * n; i++)
        host[i] = i % 5 == 4 ? 0 : fabs(draw_real(&t->r));
    if (bad >= 0)
        host[bad * n + n / 2] = -1;
    weights = put_bytes(t, host, (size_t)(rows * n) * sizeof *host);
    free(host);
    a.weights = weights;
    note(t, (replacement ? t->be->multinomial : t->be->multinomial_keys)(&a, &f), &f);
    if (replacement)
        get(t, "out", out, CT_I64, rows * k, 0);
    else
        get(t, "keys", weights, CT_F64, rows * n, 0);
}

/* The first uniform number is u. With the weights u and 1 - u, whose sum is 1, the draw must be the
 * second position. */
static void multinomial_between(run *t)
{
    uint32_t w[4];
    double weight[2];
    void *weights, *out = put(t, CT_I64, 1);
    cti_fault f = { 1, 0 };

    ct_philox(5, 6, 7, w);
    weight[0] = (double)(((uint64_t)w[0] << 32 | w[1]) >> 11) * 0x1p-53;
    weight[1] = 1 - weight[0];
    weights = put_bytes(t, weight, sizeof weight);
    note(t,
         t->be->multinomial(&(cti_multinomial_args){ .rows = 1,
                                                     .n = 2,
                                                     .k = 1,
                                                     .weights = weights,
                                                     .from = { 5, 6, 7, NULL },
                                                     .out = out },
                            &f),
         &f);
    get(t, "out", out, CT_I64, 1, 0);
    ck_assert(*(int64_t *)t->out[0].host == 1);
}

START_TEST(multinomials)
{
    int replacement;

    for (replacement = 0; replacement < 2; replacement++) {
        BOTH("multinomial 1", { multinomial_case(t, (int64_t[]){ 1, 4, 1 }, replacement, -1); });
        BOTH("multinomial 33", { multinomial_case(t, (int64_t[]){ 33, 28, 3 }, replacement, -1); });
        BOTH("multinomial 2", {
            multinomial_case(t, (int64_t[]){ 2, 1000, 50 }, replacement, -1);
        });
        BOTH("multinomial 2 chains", {
            multinomial_case(t, (int64_t[]){ 3, 1025, 9 }, replacement, -1);
        });
        BOTH("multinomial 5 chains", {
            multinomial_case(t, (int64_t[]){ 2, 5 * 1024, 300 }, replacement, -1);
        });
        BOTH("multinomial, none", {
            multinomial_case(t, (int64_t[]){ 0, 5, 2 }, replacement, -1);
        });
        BOTH("multinomial, no weight", {
            multinomial_case(t, (int64_t[]){ 3, 0, 2 }, replacement, -1);
        });
        BOTH("multinomial, negative", {
            multinomial_case(t, (int64_t[]){ 40, 9, 2 }, replacement, 31);
        });
    }
    BOTH("multinomial, between two", { multinomial_between(t); });
    BOTH("multinomial, too few", { multinomial_case(t, (int64_t[]){ 2, 5, 5 }, false, -1); });
}
END_TEST

/* ---- integers, and checks ---- */

static void randint_case(run *t, ct_dtype dtype, int64_t n, int64_t low, uint64_t range)
{
    void *out = put(t, dtype, n);

    t->be->randint(&(cti_randint_args){ .out = out,
                                        .dtype = dtype,
                                        .n = n,
                                        .low = low,
                                        .range = range,
                                        .from = { 7, 8, 9, n % 2 ? at_5(t) : NULL } });
    get(t, "out", out, dtype, n, 0);
}

START_TEST(integers)
{
    int s;

    for (s = 0; s < SIZES; s++) {
        int64_t n = sizes[s];

        BOTH(SAY("randint i32 n %lld", (long long)n), { randint_case(t, CT_I32, n, -3, 10); });
        BOTH(SAY("randint i64 n %lld", (long long)n), { randint_case(t, CT_I64, n, 0, 1); });
        BOTH(SAY("randint, a quarter is rejected, n %lld", (long long)n),
             { randint_case(t, CT_I64, n, INT64_MIN, 3ull << 62); });
    }
}
END_TEST

/* bad: the element that is not allowed, or -1 */
static void check_case(run *t, ct_dtype dtype, int64_t n, int64_t bad)
{
    bool real = dtype == CT_F32 || dtype == CT_F64;
    char host[8 * 300];
    void *in;
    cti_fault f = { 1, 0 };
    int64_t i;

    for (i = 0; i < n; i++) {
        double p = i == bad ? 1.5 : (double)(i % 3) / 2;

        if (dtype == CT_F32)
            ((float *)(void *)host)[i] = (float)p;
        else if (dtype == CT_F64)
            ((double *)(void *)host)[i] = i == bad ? (double)NAN : p;
        else if (dtype == CT_I32)
            ((int32_t *)(void *)host)[i] = i == bad ? 0 : (int32_t)(i % 2 ? -1 : 1 << 31);
        else
            ((int64_t *)(void *)host)[i] = i == bad ? 0 : 1ll << 40;
    }
    in = put_bytes(t, host, (size_t)n * ct_dtype_size(dtype));
    note(t,
         t->be->check_elements(
             &(cti_check_args){ .kind = real ? CTI_CHECK_PROBABILITY : CTI_CHECK_DIVISOR,
                                .dtype = dtype,
                                .n = n,
                                .in = in },
             &f),
         &f);
    get(t, "in", in, dtype, n, 0);
}

START_TEST(checks)
{
    static const ct_dtype dtypes[] = { CT_F32, CT_F64, CT_I32, CT_I64 };
    size_t i;

    for (i = 0; i < 4; i++) {
        BOTH(SAY("check %s", ct_dtype_name(dtypes[i])), { check_case(t, dtypes[i], 300, -1); });
        BOTH(SAY("check %s, none", ct_dtype_name(dtypes[i])), { check_case(t, dtypes[i], 0, -1); });
        BOTH(SAY("check %s, one is bad", ct_dtype_name(dtypes[i])),
             { check_case(t, dtypes[i], 300, 277); });
    }
}
END_TEST

void cuda_kernels_random_cases(Suite *suite)
{

    add(suite, "draws", draws, 1);
    add(suite, "multinomial", multinomials, 1);
    add(suite, "integers", integers, 1);
    add(suite, "checks", checks, 1);
}
