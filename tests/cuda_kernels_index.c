/* SPDX-License-Identifier: MIT */
/* cuda_kernels_index.c - gathers, scatters and sorts of a GPU against the CPU's. */
#include "tests/harness.h"

#include <stdint.h>

#include "tensor/backend.h"
#include "tests/test_cuda_kernels.h"

/* ---- by index ---- */

static void rows_case(run *t, ct_dtype dtype, ct_dtype index, int64_t count, int64_t width,
                      int64_t rows, bool off, bool bad)
{
    void *src = put(t, dtype, rows * width + 1), *at = put_index(t, index, count, rows);
    void *out = put(t, dtype, count * width + 1);
    cti_fault f = { 1, 0 };

    if (bad)
        t->be->fill(shifted(at, count / 2, index), index, count - count / 2, (double)rows);
    note(t,
         t->be->gather_rows(&(cti_gather_rows_args){ .dtype = dtype,
                                                     .index_dtype = index,
                                                     .count = count,
                                                     .width = width,
                                                     .rows = rows,
                                                     .src = shifted(src, off, dtype),
                                                     .index = at,
                                                     .out = shifted(out, off, dtype) },
                            &f),
         &f);
    get(t, "out", out, dtype, count * width + 1, 0);
}

static void add_rows_case(run *t, ct_dtype dtype, ct_dtype index, int64_t count, int64_t width,
                          int64_t rows, bool bad)
{
    void *dst = put(t, dtype, rows * width), *at = put_index(t, index, count, rows);
    void *src = put(t, dtype, count * width);
    cti_fault f = { 1, 0 };

    if (bad)
        t->be->fill(shifted(at, count / 2, index), index, count - count / 2, -1);
    note(t,
         t->be->scatter_add_rows(&(cti_scatter_add_rows_args){ .dtype = dtype,
                                                               .index_dtype = index,
                                                               .count = count,
                                                               .width = width,
                                                               .rows = rows,
                                                               .dst = dst,
                                                               .index = at,
                                                               .src = src },
                                 &f),
         &f);
    get(t, "dst", dst, dtype, rows * width, 0);
}

START_TEST(rows_by_index)
{
    static const int64_t shapes[][3] = { { 0, 4, 3 },     { 1, 1, 1 },  { 33, 5, 28 },
                                         { 257, 32, 28 }, { 40, 0, 7 }, { 100, 3, 200 },
                                         { 300, 8, 2 } };
    int d, i, s, off;

    for (i = 0; i < 2; i++)
        for (s = 0; s < 7; s++) {
            int64_t count = shapes[s][0], width = shapes[s][1], rows = shapes[s][2];

            for (d = 0; d < 6; d++)
                for (off = 0; off < 2; off++)
                    BOTH(
                        SAY("gather_rows %s %s shape %d %d", ct_dtype_name((ct_dtype)d),
                            ct_dtype_name(indices[i]), s, off),
                        { rows_case(t, (ct_dtype)d, indices[i], count, width, rows, off, false); });
            for (d = 0; d < 2; d++)
                BOTH(SAY("scatter_add_rows %s %s shape %d", ct_dtype_name(floats[d]),
                         ct_dtype_name(indices[i]), s),
                     { add_rows_case(t, floats[d], indices[i], count, width, rows, false); });
            if (count == 0)
                continue;
            BOTH(SAY("gather_rows, bad, shape %d", s),
                 { rows_case(t, CT_F32, indices[i], count, width, rows, false, true); });
            BOTH(SAY("scatter_add_rows, bad, shape %d", s),
                 { add_rows_case(t, CT_F32, indices[i], count, width, rows, true); });
        }
}
END_TEST

static void one_hot_case(run *t, ct_dtype dtype, ct_dtype index, int64_t count, int64_t width,
                         bool bad)
{
    void *at = put_index(t, index, count, width), *out = put(t, dtype, count * width);
    cti_fault f = { 1, 0 };

    if (bad)
        t->be->fill(shifted(at, count - 1, index), index, 1, (double)width);
    note(t,
         t->be->one_hot(&(cti_one_hot_args){ .dtype = dtype,
                                             .index_dtype = index,
                                             .count = count,
                                             .width = width,
                                             .index = at,
                                             .out = out },
                        &f),
         &f);
    get(t, "out", out, dtype, count * width, 0);
}

START_TEST(one_hots)
{
    static const ct_dtype to[] = { CT_BOOL, CT_I32, CT_I64, CT_F32, CT_F64 };
    static const int64_t shapes[][2] = { { 0, 3 }, { 1, 1 }, { 33, 28 }, { 257, 5 } };
    int d, i, s;

    for (d = 0; d < 5; d++)
        for (i = 0; i < 2; i++)
            for (s = 0; s < 4; s++)
                BOTH(SAY("one_hot %s shape %d", ct_dtype_name(to[d]), s),
                     { one_hot_case(t, to[d], indices[i], shapes[s][0], shapes[s][1], false); });
    BOTH("one_hot, bad", { one_hot_case(t, CT_F32, CT_I64, 50, 28, true); });
    BOTH("one_hot of nothing", { one_hot_case(t, CT_F32, CT_I64, 3, 0, true); });
}
END_TEST

static void along_case(run *t, ct_dtype dtype, ct_dtype index, const int64_t *s, bool scatter,
                       bool bad)
{
    int64_t outer = s[0], n = s[1], m = s[2], inner = s[3], many = outer * m * inner;
    void *at = put_index(t, index, many, n), *big = put(t, dtype, outer * n * inner);
    void *small = put(t, dtype, many);
    cti_fault f = { 1, 0 };

    if (bad)
        t->be->fill(shifted(at, many * 2 / 3, index), index, 1, (double)n);
    if (scatter)
        note(t,
             t->be->scatter_add(&(cti_scatter_add_args){ .dtype = dtype,
                                                         .index_dtype = index,
                                                         .outer = outer,
                                                         .n = n,
                                                         .m = m,
                                                         .inner = inner,
                                                         .dst = big,
                                                         .index = at,
                                                         .src = small },
                                &f),
             &f);
    else
        note(t,
             t->be->gather(&(cti_gather_args){ .dtype = dtype,
                                               .index_dtype = index,
                                               .outer = outer,
                                               .n = n,
                                               .m = m,
                                               .inner = inner,
                                               .src = big,
                                               .index = at,
                                               .out = small },
                           &f),
             &f);
    get(t, "big", big, dtype, outer * n * inner, 0);
    get(t, "small", small, dtype, many, 0);
}

START_TEST(along_an_axis)
{
    static const int64_t shapes[][4] = { { 0, 3, 2, 1 },   { 1, 1, 1, 1 },    { 33, 28, 1, 1 },
                                         { 2, 5, 33, 3 },  { 3, 17, 257, 1 }, { 1, 9, 70, 31 },
                                         { 1, 50, 600, 1 } };
    int d, i, s;

    for (i = 0; i < 2; i++)
        for (s = 0; s < 7; s++) {
            for (d = 0; d < 6; d++) {
                BOTH(SAY("gather %s shape %d", ct_dtype_name((ct_dtype)d), s),
                     { along_case(t, (ct_dtype)d, indices[i], shapes[s], false, false); });
                if (d < 4)
                    BOTH(SAY("scatter_add %s shape %d", ct_dtype_name((ct_dtype)d), s),
                         { along_case(t, (ct_dtype)d, indices[i], shapes[s], true, false); });
            }
            if (s == 0)
                continue;
            BOTH(SAY("gather, bad, shape %d", s),
                 { along_case(t, CT_F32, indices[i], shapes[s], false, true); });
            BOTH(SAY("scatter_add, bad, shape %d", s),
                 { along_case(t, CT_F32, indices[i], shapes[s], true, true); });
        }
}
END_TEST

START_TEST(sorts)
{
    static const int64_t shapes[][2] = { { 1, 1 },  { 3, 2 },  { 2, 31 },  { 2, 32 },
                                         { 3, 33 }, { 2, 65 }, { 1, 257 }, { 2, 1000 } };
    int d, s, descending, c;

    for (d = 0; d < 4; d++)
        for (s = 0; s < 8; s++)
            for (descending = 0; descending < 2; descending++)
                for (c = 0; c < 5; c++) {
                    int64_t rows = shapes[s][0], n = shapes[s][1];
                    int64_t k = c == 0 ? 0 : c == 1 ? 1 : c == 2 ? n / 2 : c == 3 ? n : 40;

                    if (k > n)
                        continue;
                    BOTH(SAY("sort %s (%lld, %lld) the first %lld, %d", ct_dtype_name(numbers[d]),
                             (long long)rows, (long long)n, (long long)k, descending),
                         {
                             void *in = put_odd(t, numbers[d], rows * n);
                             void *order = put(t, CT_I64, rows * k);
                             void *scratch = put(t, CT_I64, rows * 2 * n);

                             t->be->sort(&(cti_sort_args){ .dtype = numbers[d],
                                                           .descending = descending,
                                                           .rows = rows,
                                                           .n = n,
                                                           .k = k,
                                                           .in = in,
                                                           .order = order,
                                                           .scratch = scratch });
                             get(t, "order", order, CT_I64, rows * k, 0);
                         });
                }
}
END_TEST

void cuda_kernels_index_cases(Suite *suite)
{

    add(suite, "rows by index", rows_by_index, 1);
    add(suite, "one-hot", one_hots, 1);
    add(suite, "along an axis", along_an_axis, 1);
    add(suite, "sorts", sorts, 1);
}
