/* SPDX-License-Identifier: MIT */
/* tensor_casts.c - casts, and copies of any strides between any two dtypes. */
#include "tests/harness.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cotangent/autograd/ops/compare.h>
#include <cotangent/autograd/ops/copy.h>
#include <cotangent/autograd/ops/elementwise.h>
#include <cotangent/autograd/ops/index.h>
#include <cotangent/autograd/ops/rearrange.h>
#include <cotangent/autograd/ops/views.h>

#include "tensor/cpu/cpu.h"
#include "tests/test_tensor.h"

/* ---- casts ---- */

/* Finds the nearest bfloat16 by comparing both neighbours; of equal distances, the even one. */
static uint16_t bf16_reference(long double v)
{
    uint16_t low = 0, high = 0x7f80, sign = signbit(v) ? 0x8000 : 0;
    long double a = fabsl(v), below, above, limit = 0x1p128L;

    if (isnan(v))
        return 0x7fc0;
    while (high - low > 1) {
        uint16_t middle = (uint16_t)((low + high) / 2);
        uint32_t bits = (uint32_t)middle << 16;
        float f;

        memcpy(&f, &bits, sizeof f);
        if ((long double)f <= a)
            low = middle;
        else
            high = middle;
    }
    {
        uint32_t bits = (uint32_t)low << 16, next = (uint32_t)high << 16;
        float f, g;

        memcpy(&f, &bits, sizeof f);
        memcpy(&g, &next, sizeof g);
        below = f;
        above = isinf(g) ? limit : g;
    }
    if (a >= limit)
        return sign | 0x7f80;
    if (a - below < above - a)
        return sign | low;
    if (a - below > above - a)
        return sign | high;
    return sign | (low & 1 ? high : low);
}

/* Returns v converted to a dtype: rounded to nearest even, truncated or clamped. */
static long double cast_reference(long double v, ct_dtype to)
{
    uint16_t half;
    int64_t whole;

    switch (to) {
    case CT_F32:
        return (float)v;
    case CT_F64:
        return (double)v;
    case CT_I32:
        return isnan(v) ? 0 : fminl(fmaxl(truncl(v), INT32_MIN), INT32_MAX);
    case CT_I64:
        whole = isnan(v) ? 0 : v >= 0x1p63L ? INT64_MAX : v < -0x1p63L ? INT64_MIN : (int64_t)v;
        return whole;
    case CT_BOOL:
        return v != 0;
    default:
        half = bf16_reference(v);
        return element_load(&half, CT_BF16, 0);
    }
}

static const double edges[] = {
    0.0, -0.0, 1, -1, 0.5, -0.5, 1.5, 2.5, NAN, INFINITY, -INFINITY, FLT_MAX, -FLT_MAX, DBL_MAX,
    0x1.ffffffp127, 0x1.fefffffffffffp127, 0x1.ffp127, 0x1p-149, 0x1p-150, 0x1.8p-150, 0x1p-133,
    0x1.8p-134, 0x1p-134, DBL_MIN, 2147483647, 2147483648.0, -2147483648.0, -2147483649.0,
    2147483646.5, -2147483648.5, 0x1p63, -0x1p63, 0x1.fffffffffffffp62, 1e300, 16777217,
    /* ties of bf16 and numbers next to them, which would be wrong if rounded twice */
    0x1.01p0, 0x1.03p0, 0x1.0100000000001p0, 0x1.00fffffffffffp0, 0x1.0300000000001p0,
    0x1.02fffffffffffp0, -0x1.0100000000001p0, 0x1.01p-130, 0x1.0100000000001p-127,
    /* ties of f32 */
    0x1.000001p0, 0x1.000003p0, 0x1.0000010000001p0
};

static const int64_t integers[] = { 0,
                                    1,
                                    -1,
                                    INT32_MAX,
                                    INT32_MIN,
                                    (int64_t)INT32_MAX + 1,
                                    (int64_t)INT32_MIN - 1,
                                    INT64_MAX,
                                    INT64_MIN,
                                    ((int64_t)1 << 62) + ((int64_t)1 << 54) + 1,
                                    ((int64_t)1 << 62) + ((int64_t)1 << 54),
                                    -((int64_t)1 << 62) - ((int64_t)1 << 54) - 1,
                                    ((int64_t)1 << 60) + ((int64_t)1 << 36) + 1,
                                    257,
                                    259,
                                    16777217,
                                    ((int64_t)1 << 40) + ((int64_t)1 << 32) + 1 };

static ct_tensor *edge_tensor(ct_dtype dtype)
{
    int64_t n = sizeof edges / sizeof *edges, m = sizeof integers / sizeof *integers, i;
    uint16_t halves[1 << 12];
    int32_t narrow[sizeof integers / sizeof *integers];
    float floats[sizeof edges / sizeof *edges];

    switch (dtype) {
    case CT_F64:
        return ct_from_data(edges, CT_SHAPE(n), CT_F64, CT_CPU);
    case CT_F32:
        for (i = 0; i < n; i++)
            floats[i] = (float)edges[i];
        return ct_from_data(floats, CT_SHAPE(n), CT_F32, CT_CPU);
    case CT_I64:
        return ct_from_data(integers, CT_SHAPE(m), CT_I64, CT_CPU);
    case CT_I32:
        for (i = 0; i < m; i++)
            narrow[i] = (int32_t)integers[i];
        return ct_from_data(narrow, CT_SHAPE(m), CT_I32, CT_CPU);
    case CT_BOOL:
        return ct_from_data((uint8_t[]){ 0, 1, 1 }, CT_SHAPE(3), CT_BOOL, CT_CPU);
    default: /* every 16th value, with all exponents */
        for (i = 0; i < 1 << 12; i++)
            halves[i] = (uint16_t)(i * 16 + i % 16);
        return ct_from_data(halves, CT_SHAPE(1 << 12), CT_BF16, CT_CPU);
    }
}

static void check_cast(const ct_tensor *x, ct_dtype to, const ct_tensor *y)
{
    size_t n = (size_t)ct_numel(x), i;
    char *in = malloc(n * 8), *out = malloc(n * 8);

    ck_assert(ct_tensor_dtype(y) == to && (size_t)ct_numel(y) == n);
    ck_assert(ct_to_host(x, in, n * ct_dtype_size(ct_tensor_dtype(x))) == CT_OK);
    ck_assert(ct_to_host(y, out, n * ct_dtype_size(to)) == CT_OK);
    for (i = 0; i < n; i++) {
        long double from = element_load(in, ct_tensor_dtype(x), (int64_t)i);
        long double want = cast_reference(from, to), got = element_load(out, to, (int64_t)i);

        if (isnan(want) ? !isnan(got)
                        : !(got == want && (to == CT_I32 || to == CT_I64 || to == CT_BOOL ||
                                            signbit(got) == signbit(want))))
            ck_abort_msg("%s to %s: %La became %La, expected %La",
                         ct_dtype_name(ct_tensor_dtype(x)), ct_dtype_name(to), from, got, want);
    }
    free(in);
    free(out);
}

START_TEST(casts)
{
    ct_generator g = ct_generator_from_seed(31);
    volatile long double one = 1;
    bool wide = one + 0x1p-63L != one; /* valgrind computes long doubles in double, so there is no
                                        * reference for i64 */
    size_t from, to;
    int64_t i;

    for (from = 0; from < 6; from++)
        for (to = 0; to < 6; to++) {
            ct_tensor *x;

            if (!wide && (all_dtypes[from] == CT_I64 || all_dtypes[to] == CT_I64))
                continue;
            x = edge_tensor(all_dtypes[from]);

            check_cast(x, all_dtypes[to], ct_cast(x, all_dtypes[to]));
            x = ct_slice(x, 0, 0, ct_numel(x), 2); /* strided */
            check_cast(x, all_dtypes[to], ct_cast(x, all_dtypes[to]));
        }
    {
        ct_tensor *x = ct_empty(CT_SHAPE(harness_count(20000, 2000000)), CT_F64, CT_CPU);
        double *p = ct_mutable_data(x);

        for (i = 0; i < ct_numel(x); i++) { /* near ties, at all scales */
            double v = 1 + (double)ct_random_below(&g, 256) / 256 +
                       ldexp((double)ct_random_below(&g, 3) - 1, -(int)ct_random_below(&g, 53));

            p[i] = ldexp(v, (int)ct_random_below(&g, 290) - 160);
        }
        check_cast(x, CT_BF16, ct_cast(x, CT_BF16));
        check_cast(x, CT_F32, ct_cast(x, CT_F32));
        x = ct_cast(x, CT_F32);
        check_cast(x, CT_BF16, ct_cast(x, CT_BF16));
    }
}
END_TEST

/* Every bf16 is unchanged after a conversion to f32 or f64 and back. */
START_TEST(bf16_round_trip)
{
    static uint16_t all[1 << 16], back[1 << 16];
    ct_tensor *x;
    int d, i;

    for (i = 0; i < 1 << 16; i++)
        all[i] = (uint16_t)i;
    x = ct_from_data(all, CT_SHAPE(1 << 16), CT_BF16, CT_CPU);
    for (d = 0; d < 2; d++) {
        ck_assert(ct_to_host(ct_cast(ct_cast(x, all_dtypes[d]), CT_BF16), back, sizeof back) ==
                  CT_OK);
        for (i = 0; i < 1 << 16; i++)
            if ((all[i] & 0x7fff) > 0x7f80 ? (back[i] & 0x7fff) <= 0x7f80 : back[i] != all[i])
                ck_abort_msg("%#x came back as %#x", all[i], back[i]);
    }
}
END_TEST

/* ---- copies of any strides, between any two dtypes ---- */

/* Makes a view of a new tensor with a random order of axes, random steps and offset. */
static ct_tensor *random_view(ct_generator *g, int rank, const int64_t *dim, ct_dtype dtype)
{
    int64_t order[CT_MAX_RANK];
    ct_shape base = { .rank = rank };
    int axes[CT_MAX_RANK], i;
    ct_tensor *t;

    for (i = 0; i < rank; i++)
        order[i] = i;
    ct_shuffle(order, rank, g);
    for (i = 0; i < rank; i++)
        base.dim[i] = dim[order[i]] * 2 + 3;
    t = ct_zeros(base, dtype, CT_CPU);
    for (i = 0; i < rank; i++) {
        int64_t step = 1 + (int64_t)ct_random_below(g, 2), n = dim[order[i]];
        int64_t start = (int64_t)ct_random_below(g, 3);

        t = ct_slice(t, i, start, start + n * step, step);
    }
    for (i = 0; i < rank; i++)
        axes[order[i]] = i;
    return ct_permute(t, rank, axes);
}

START_TEST(strided_copies)
{
    ct_generator g = ct_generator_from_seed(32);
    int round, i;

    for (round = 0; round < harness_count(200, 5000); round++) {
        ct_scope s = ct_scope_begin();
        int rank = (int)ct_random_below(&g, 5);
        ct_dtype from = all_dtypes[ct_random_below(&g, 6)], to = all_dtypes[ct_random_below(&g, 6)];
        ct_shape shape = { .rank = rank };
        ct_tensor *x, *y, *flat;

        for (i = 0; i < rank; i++)
            shape.dim[i] = (int64_t)ct_random_below(&g, round % 20 ? 6 : 12) + (round % 9 != 0);
        flat = ct_cast(ct_mul_scalar(ct_randn(shape, CT_F32, CT_CPU, &g), 3), from);
        x = random_view(&g, rank, shape.dim, from);
        y = random_view(&g, rank, shape.dim, to);
        ck_assert(ct_copy_into(x, flat) == CT_OK);
        check_cast(flat, from, x);
        cti_copy(y, x);
        check_cast(flat, to, y);
        ck_assert_msg(ct_scope_end(s) == CT_OK, "%s", ct_error_message());
    }
}
END_TEST

/* ---- random numbers ---- */

/* Ops that move elements work for every dtype and give the same as for their f64 values. */
START_TEST(moves_of_any_dtype)
{
    static const int64_t at[] = { 3, 0, 1, 3, 2, 2, 0, 1 };
    ct_generator g = ct_generator_from_seed(38);
    ct_tensor *index = ct_from_data(at, CT_SHAPE(4, 2), CT_I64, CT_CPU),
              *x = ct_mul_scalar(ct_randn(CT_SHAPE(4, 2), CT_F64, CT_CPU, &g), 3), *mask, *rows;
    size_t d;
    int axis;

    mask = ct_gt(x, ct_zeros(CT_SHAPE(4, 2), CT_F64, CT_CPU));
    rows = ct_select(index, 1, 0);
    for (d = 0; d < 6; d++) {
        ct_dtype dtype = all_dtypes[d];
        ct_tensor *a = ct_cast(x, dtype), *b = ct_flip(a, 1, (int[]){ 0 });
        ct_tensor *wide = ct_cast(a, CT_F64), *wide_b = ct_cast(b, CT_F64);
        const struct {
            const char *what;
            ct_tensor *got, *want;
        } cases[] = {
            { "where", ct_where(mask, a, b), ct_where(mask, wide, wide_b) },
            { "gather", ct_gather(a, 0, index), ct_gather(wide, 0, index) },
            { "rows", ct_index_select(a, 0, rows), ct_index_select(wide, 0, rows) },
            { "take", ct_take(a, index), ct_take(wide, index) },
            { "strided", ct_contiguous(ct_transpose(a, 0, 1)),
              ct_contiguous(ct_transpose(wide, 0, 1)) },
            { "one-hot", dtype == CT_BF16 ? a : ct_one_hot_as(index, 5, dtype),
              dtype == CT_BF16 ? wide : ct_one_hot_as(index, 5, CT_F64) }, /* bf16 has no one-hot */
        };
        size_t k;

        for (k = 0; k < sizeof cases / sizeof *cases; k++) {
            double *want = values_of(cases[k].want);

            ck_assert_msg(cases[k].got && ct_tensor_dtype(cases[k].got) == dtype, "%s of %s: %s",
                          cases[k].what, ct_dtype_name(dtype), ct_error_message());
            expect_values(cases[k].what, ct_cast(cases[k].got, CT_F64), want,
                          (size_t)ct_numel(cases[k].want), 0);
            free(want);
        }
        if (dtype == CT_BOOL || dtype == CT_BF16)
            continue;
        for (axis = 0; axis < 2; axis++) { /* integer sums are exact, and so are sums of floats with
                                            * few bits */
            ct_tensor *i = axis ? ct_cast(mask, CT_I64) : index;
            ct_tensor *to = ct_scatter_add(b, axis, i, a),
                      *want = ct_cast(ct_scatter_add(wide_b, axis, i, wide), dtype);
            double *v = values_of(want);

            expect_values("scatter_add", to, v, 8, dtype == CT_F32 ? 1e-5 : 0);
            free(v);
        }
    }
}
END_TEST

void tensor_casts_cases(Suite *suite)
{
    TCase *tc = scoped_case(suite, "casts");

    tcase_add_test(tc, casts);
    tcase_add_test(tc, bf16_round_trip);
    tcase_add_test(tc, strided_copies);
    tcase_add_test(tc, moves_of_any_dtype);
}
