/* reduce.c - reductions of (outer, n, inner) over n. */
#include "tensor/cpu/cpu.h"

#include "tensor/parallel.h"

/* Whether a comes after b; a NaN comes after all numbers. */
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

/* A piece is one outer index and a group of columns. */
static void reduce_piece(void *context, int64_t piece)
{
    const cti_reduce_args *a = context;
    int64_t groups = (a->inner + ROW_COLUMNS - 1) / ROW_COLUMNS, at = piece / groups;
    int64_t column = piece % groups * ROW_COLUMNS, end = column + ROW_COLUMNS;
    size_t size = ct_dtype_size(a->dtype);

    end = end < a->inner ? end : a->inner;
    if (a->op == CTI_SUM && cti_is_float(a->dtype)) {
        const cti_row_loops *rows = cti_cpu_rows_of(a->dtype);
        const char *in = (const char *)a->in + (size_t)(at * a->n * a->inner + column) * size;
        char *out = (char *)a->out + (size_t)(at * a->inner + column) * size;

        if (a->inner == 1)
            cti_cpu_store(out, a->dtype, rows->sum(a->n, in));
        else
            rows->sum_rows(a->n, a->inner, end - column, in, out);
        return;
    }
    if ((a->op == CTI_MAX || a->op == CTI_MIN) && cti_is_float(a->dtype) && a->inner > 1 && a->n) {
        cti_cpu_rows_of(a->dtype)->extreme_rows(
            a->op == CTI_MIN, a->n, a->inner, end - column,
            (const char *)a->in + (size_t)(at * a->n * a->inner + column) * size,
            (char *)a->out + (size_t)(at * a->inner + column) * size);
        return;
    }
    for (; column < end; column++)
        reduce_one(a, at, column);
}

void cti_cpu_reduce(const cti_reduce_args *a)
{
    if (a->outer && a->inner)
        cti_parallel(a->outer * ((a->inner + ROW_COLUMNS - 1) / ROW_COLUMNS), reduce_piece,
                     (void *)a);
}
