/* SPDX-License-Identifier: MIT */
/* reduce.c - reductions of (outer, n, inner) over n. */
#include "tensor/cpu/cpu.h"

#include "tensor/parallel.h"

/* True if a comes after b in sorted order; a NaN comes after all numbers. */
#define AFTER(a, b) ((a) > (b) || ((a) != (a) && !((b) != (b))))

#define REDUCE(type, acc_type)                                                                     \
    do {                                                                                           \
        const type *x = (const type *)a->in + at * a->n * a->inner + column;                       \
        int64_t best = 0;                                                                          \
        acc_type acc = a->op == CTI_PROD || a->op == CTI_ALL ? 1 : 0;                              \
        type extreme = a->n ? x[0] : 0;                                                            \
        for (j = 0; j < a->n; j++) {                                                               \
            type v = x[j * a->inner];                                                              \
            switch (a->op) {                                                                       \
            case CTI_SUM:                                                                          \
                acc += (acc_type)v;                                                                \
                break;                                                                             \
            case CTI_SUM_SQUARES:                                                                  \
                acc += (acc_type)v * (acc_type)v;                                                  \
                break;                                                                             \
            case CTI_PROD:                                                                         \
                acc *= (acc_type)v;                                                                \
                break;                                                                             \
            case CTI_MAX:                                                                          \
            case CTI_ARGMAX:                                                                       \
                if (AFTER(v, extreme)) {                                                           \
                    extreme = v;                                                                   \
                    best = j;                                                                      \
                }                                                                                  \
                break;                                                                             \
            case CTI_MIN:                                                                          \
            case CTI_ARGMIN:                                                                       \
                if (v < extreme || (v != v && extreme == extreme)) {                               \
                    extreme = v;                                                                   \
                    best = j;                                                                      \
                }                                                                                  \
                break;                                                                             \
            case CTI_ANY:                                                                          \
                acc = acc || v;                                                                    \
                break;                                                                             \
            case CTI_ALL:                                                                          \
                acc = acc && v;                                                                    \
                break;                                                                             \
            }                                                                                      \
        }                                                                                          \
        if (a->op == CTI_ARGMAX || a->op == CTI_ARGMIN)                                            \
            ((int64_t *)a->out)[at * a->inner + column] = best;                                    \
        else if (a->op == CTI_MAX || a->op == CTI_MIN)                                             \
            ((type *)a->out)[at * a->inner + column] = extreme;                                    \
        else                                                                                       \
            ((type *)a->out)[at * a->inner + column] = (type)acc;                                  \
    } while (0)

static void reduce_one(const cti_reduce_args *a, int64_t at, int64_t column)
{
    int64_t j;

    switch (a->dtype) {
    case CT_F32:
        REDUCE(float, double);
        break;
    case CT_F64:
        REDUCE(double, double);
        break;
    case CT_I32:
        REDUCE(int32_t, uint32_t);
        break;
    case CT_I64:
        REDUCE(int64_t, uint64_t);
        break;
    case CT_BOOL:
        REDUCE(uint8_t, uint8_t);
        break;
    case CT_BF16: /* storage only */
        break;
    }
}

/* Reduces one piece: one outer index and a group of columns. Sums and extremes of floats use the
 * loops of the code path. */
static void reduce_columns(void *context, int64_t piece)
{
    const cti_reduce_args *a = context;
    int64_t groups = (a->inner + ROW_COLUMNS - 1) / ROW_COLUMNS, at = piece / groups;
    int64_t column = piece % groups * ROW_COLUMNS, end = column + ROW_COLUMNS;
    const cti_row_loops *rows = cti_cpu_rows_of(a->dtype);
    size_t size = ct_dtype_size(a->dtype);
    const char *in = (const char *)a->in + (size_t)(at * a->n * a->inner + column) * size;
    char *out = (char *)a->out + (size_t)(at * a->inner + column) * size;

    end = end < a->inner ? end : a->inner;
    if (a->op == CTI_SUM && cti_is_float(a->dtype))
        rows->sum_rows(a->n, a->inner, end - column, in, out);
    else if (a->op == CTI_SUM_SQUARES && cti_is_float(a->dtype))
        rows->squares_rows(a->n, a->inner, end - column, in, out);
    else if ((a->op == CTI_MAX || a->op == CTI_MIN) && cti_is_float(a->dtype) && a->n)
        rows->extreme_rows(a->op == CTI_MIN, a->n, a->inner, end - column, in, out);
    else
        for (; column < end; column++)
            reduce_one(a, at, column);
}

/* The number of rows of n elements in a piece. */
static int64_t reduce_group(const cti_reduce_args *a)
{
    return a->n < CTI_CPU_PIECE ? CTI_CPU_PIECE / (a->n + 1) + 1 : 1;
}

/* Reduces one piece, a group of rows, for an inner of 1. */
static void reduce_rows(void *context, int64_t piece)
{
    const cti_reduce_args *a = context;
    int64_t at = piece * reduce_group(a), end = at + reduce_group(a);
    const cti_row_loops *rows = cti_cpu_rows_of(a->dtype);
    size_t size = ct_dtype_size(a->dtype);
    const char *in = (const char *)a->in + (size_t)(at * a->n) * size;
    bool least = a->op == CTI_MIN || a->op == CTI_ARGMIN;

    end = end < a->outer ? end : a->outer;
    if (a->op == CTI_SUM && cti_is_float(a->dtype))
        rows->sum_each(end - at, a->n, in, (char *)a->out + (size_t)at * size);
    else if (a->op == CTI_SUM_SQUARES && cti_is_float(a->dtype))
        rows->squares_each(end - at, a->n, in, (char *)a->out + (size_t)at * size);
    else if (a->op == CTI_PROD && cti_is_float(a->dtype))
        rows->prod_each(end - at, a->n, in, (char *)a->out + (size_t)at * size);
    else if ((a->op == CTI_MAX || a->op == CTI_MIN) && cti_is_float(a->dtype) && a->n)
        rows->extreme(least, end - at, a->n, in, (char *)a->out + (size_t)at * size, NULL);
    else if ((a->op == CTI_ARGMAX || a->op == CTI_ARGMIN) && cti_is_float(a->dtype) && a->n)
        rows->extreme(least, end - at, a->n, in, NULL, (int64_t *)a->out + at);
    else
        for (; at < end; at++)
            reduce_one(a, at, 0);
}

void cti_cpu_reduce(const cti_reduce_args *a)
{
    if (a->outer && a->inner == 1)
        cti_parallel((a->outer + reduce_group(a) - 1) / reduce_group(a), reduce_rows, (void *)a);
    else if (a->outer && a->inner)
        cti_parallel(a->outer * ((a->inner + ROW_COLUMNS - 1) / ROW_COLUMNS), reduce_columns,
                     (void *)a);
}
