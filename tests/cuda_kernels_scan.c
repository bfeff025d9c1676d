/* SPDX-License-Identifier: MIT */
/* cuda_kernels_scan.c - recurrences, running extremes, scatters, searches and CTC of a GPU against the
 * CPU's. */
#include "tests/harness.h"

#include <stdint.h>

#include "tensor/backend.h"
#include "tests/test_cuda_kernels.h"

static const int64_t columns[][3] = { { 1, 0, 1 },  { 0, 5, 3 },   { 3, 1, 1 },  { 33, 17, 1 },
                                      { 2, 33, 2 }, { 1, 300, 5 }, { 2, 7, 257 } };

/* bit 0 of how: reverse; bit 1: with a state before the first step */
static void recurrence_case(run *t, ct_dtype dtype, const int64_t *s, int how)
{
    int64_t n = s[0] * s[1] * s[2];
    void *a = put(t, dtype, n), *b = put(t, dtype, n), *out = put(t, dtype, n);
    void *initial = put(t, dtype, s[0] * s[2]);

    if (dtype == CT_F32 || dtype == CT_F64) /* factors below 1, so that the sums stay small */
        change(t, CTI_EW_div_scalar, dtype, n, a, 4);
    t->be->linear_scan(&(cti_linear_scan_args){ .dtype = dtype,
                                                .reverse = how & 1,
                                                .outer = s[0],
                                                .n = s[1],
                                                .inner = s[2],
                                                .a = a,
                                                .b = b,
                                                .initial = how & 2 ? initial : NULL,
                                                .out = out });
    get(t, "out", out, dtype, n, tolerance_of(dtype));
}

/* bit 2 of how: only some of the gradients */
static void recurrence_backward_case(run *t, ct_dtype dtype, const int64_t *s, int how)
{
    int64_t n = s[0] * s[1] * s[2], m = s[0] * s[2];
    void *a = put(t, dtype, n), *h = put(t, dtype, n), *d = put(t, dtype, n);
    void *initial = put(t, dtype, m), *dinitial = put(t, dtype, m);
    void *da = put(t, dtype, n), *db = put(t, dtype, n);

    change(t, CTI_EW_div_scalar, dtype, n, a, 4);
    t->be->linear_scan_backward(
        &(cti_linear_scan_backward_args){ .dtype = dtype,
                                          .reverse = how & 1,
                                          .outer = s[0],
                                          .n = s[1],
                                          .inner = s[2],
                                          .a = a,
                                          .h = h,
                                          .d = d,
                                          .initial = how & 2 ? initial : NULL,
                                          .da = how & 4 ? NULL : da,
                                          .db = db,
                                          .dinitial = how & 2 && s[1] ? dinitial : NULL });
    get(t, "da", da, dtype, n, tolerance_of(dtype));
    get(t, "db", db, dtype, n, tolerance_of(dtype));
    get(t, "dinitial", dinitial, dtype, m, tolerance_of(dtype));
}

static void product_case(run *t, ct_dtype dtype, const int64_t *s)
{
    int64_t n = s[0] * s[1] * s[2];
    void *x = put(t, dtype, n), *d = put(t, dtype, s[0] * s[2]), *dx = put(t, dtype, n);

    change(t, CTI_EW_div_scalar, dtype, n, x, 4);
    t->be->prod_backward(&(cti_prod_backward_args){
        .dtype = dtype, .outer = s[0], .n = s[1], .inner = s[2], .x = x, .d = d, .dx = dx });
    get(t, "dx", dx, dtype, n, tolerance_of(dtype));
}

static void extreme_case(run *t, ct_dtype dtype, const int64_t *s, bool least)
{
    int64_t n = s[0] * s[1] * s[2];
    void *in = put_odd(t, dtype, n);
    int64_t *out = put(t, CT_I64, n);

    t->be->running_extreme(&(cti_running_extreme_args){ .dtype = dtype,
                                                        .least = least,
                                                        .outer = s[0],
                                                        .n = s[1],
                                                        .inner = s[2],
                                                        .in = in,
                                                        .out = out });
    get(t, "out", out, CT_I64, n, 0);
}

START_TEST(recurrences_and_extremes)
{
    int d, s, k;

    for (d = 0; d < 4; d++)
        for (s = 0; s < LENGTH(columns); s++)
            for (k = 0; k < 8; k++) {
                if (k < 4)
                    BOTH(SAY("linear_scan %s shape %d %d", ct_dtype_name(numbers[d]), s, k),
                         { recurrence_case(t, numbers[d], columns[s], k); });
                if (numbers[d] == CT_F32 || numbers[d] == CT_F64)
                    BOTH(SAY("linear_scan_backward %s %d %d", ct_dtype_name(numbers[d]), s, k),
                         { recurrence_backward_case(t, numbers[d], columns[s], k); });
                if (k == 0 && (numbers[d] == CT_F32 || numbers[d] == CT_F64))
                    BOTH(SAY("prod_backward %s shape %d", ct_dtype_name(numbers[d]), s),
                         { product_case(t, numbers[d], columns[s]); });
                if (k < 2)
                    BOTH(SAY("running_extreme %s shape %d %d", ct_dtype_name(numbers[d]), s, k),
                         { extreme_case(t, numbers[d], columns[s], k); });
            }
}
END_TEST

static void scatter_case(run *t, ct_dtype dtype, ct_dtype index, const int64_t *s, bool bad)
{
    int64_t outer = s[0], n = s[1], m = s[2], inner = s[3], many = outer * m * inner;
    void *at = put_index(t, index, many, n), *dst = put(t, dtype, outer * n * inner);
    void *src = put(t, dtype, many);
    cti_fault f = { 1, 0 };

    if (bad)
        t->be->fill(shifted(at, many * 2 / 3, index), index, 1, (double)n);
    note(t,
         t->be->scatter(&(cti_scatter_add_args){ .dtype = dtype,
                                                 .index_dtype = index,
                                                 .outer = outer,
                                                 .n = n,
                                                 .m = m,
                                                 .inner = inner,
                                                 .dst = dst,
                                                 .index = at,
                                                 .src = src },
                        &f),
         &f);
    get(t, "dst", dst, dtype, outer * n * inner, 0);
}

START_TEST(scatters)
{
    static const int64_t shapes[][4] = {
        { 0, 3, 2, 1 }, { 1, 3, 0, 2 }, { 1, 1, 1, 1 }, { 2, 5, 33, 3 }, { 3, 17, 257, 1 }
    };
    int d, i, s;

    for (i = 0; i < 2; i++)
        for (s = 0; s < LENGTH(shapes); s++) {
            for (d = 0; d < 6; d++)
                BOTH(SAY("scatter %s shape %d", ct_dtype_name((ct_dtype)d), s),
                     { scatter_case(t, (ct_dtype)d, indices[i], shapes[s], false); });
            if (s > 1)
                BOTH(SAY("scatter, bad, shape %d", s),
                     { scatter_case(t, CT_F32, indices[i], shapes[s], true); });
        }
}
END_TEST

/* The rows are not sorted; both devices must still give the same result. */
static void search_case(run *t, ct_dtype dtype, const int64_t *s, bool right)
{
    void *sorted = put_odd(t, dtype, s[0] * s[1]), *values = put_odd(t, dtype, s[0] * s[2]);
    int64_t *out = put(t, CT_I64, s[0] * s[2]);

    t->be->searchsorted(&(cti_searchsorted_args){ .dtype = dtype,
                                                  .right = right,
                                                  .rows = s[0],
                                                  .n = s[1],
                                                  .m = s[2],
                                                  .sorted = sorted,
                                                  .values = values,
                                                  .out = out });
    get(t, "out", out, CT_I64, s[0] * s[2], 0);
}

START_TEST(searches)
{
    static const int64_t shapes[][3] = {
        { 0, 3, 2 }, { 2, 3, 0 }, { 2, 0, 3 }, { 3, 33, 17 }, { 1, 257, 300 }
    };
    int d, s, right;

    for (d = 0; d < 4; d++)
        for (s = 0; s < LENGTH(shapes); s++)
            for (right = 0; right < 2; right++)
                BOTH(SAY("searchsorted %s shape %d %d", ct_dtype_name(numbers[d]), s, right),
                     { search_case(t, numbers[d], shapes[s], right); });
}
END_TEST

/* s: steps, batch, classes, labels. The blank is the last class; lengths and labels are drawn. */
static void ctc_case(run *t, ct_dtype dtype, const int64_t *s, bool zero_infinity, bool gradient)
{
    int64_t scores = s[0] * s[1] * s[2], width = s[3];
    void *x = put(t, dtype, scores), *loss = put(t, dtype, s[1]), *grad = put(t, dtype, scores);
    int64_t *target = put_index(t, CT_I64, s[1] * width, s[2] - 1);
    int64_t *steps = put_index(t, CT_I64, s[1], s[0] + 1);
    int64_t *labels = put_index(t, CT_I64, s[1], width + 1);

    t->be->ctc(&(cti_ctc_args){ .dtype = dtype,
                                .zero_infinity = zero_infinity,
                                .steps = s[0],
                                .batch = s[1],
                                .classes = s[2],
                                .blank = s[2] - 1,
                                .width = width,
                                .log_probs = x,
                                .target = target,
                                .input_length = steps,
                                .target_length = labels,
                                .scratch = put(t, CT_F64, s[1] * 2 * s[0] * (2 * width + 1)),
                                .loss = loss,
                                .grad = gradient ? grad : NULL });
    get(t, "loss", loss, dtype, s[1], tolerance_of(dtype));
    if (gradient)
        get(t, "grad", grad, dtype, scores, 10 * tolerance_of(dtype));
}

START_TEST(ctc_losses)
{
    static const int64_t shapes[][4] = { { 0, 2, 3, 1 }, { 5, 0, 3, 1 },   { 1, 1, 2, 1 },
                                         { 7, 4, 3, 3 }, { 20, 9, 28, 6 }, { 40, 2, 5, 200 } };
    int d, s, k;

    for (d = 0; d < 2; d++)
        for (s = 0; s < LENGTH(shapes); s++)
            for (k = 0; k < 4; k++)
                BOTH(SAY("ctc %s shape %d %d", ct_dtype_name(floats[d]), s, k),
                     { ctc_case(t, floats[d], shapes[s], k % 2, k / 2); });
}
END_TEST

void cuda_kernels_scan_cases(Suite *suite)
{
    add(suite, "recurrences and extremes", recurrences_and_extremes, 1);
    add(suite, "scatters", scatters, 1);
    add(suite, "searches", searches, 1);
    add(suite, "ctc", ctc_losses, 1);
}
