/* along.c - the CPU's kernels along one axis of contiguous (outer, n, inner): running sums,
 * gathers and scatter-adds by index, stable sorting.
 *
 * Work is cut by outer index, so results depend on shapes alone. */
#include "tensor/cpu/cpu.h"

#include "tensor/parallel.h"

#include <string.h>

/* The whole call; each kernel uses what it needs. */
typedef struct along {
    ct_dtype dtype, index_dtype;
    int64_t outer, n, m, inner;
    bool flag; /* reverse, or descending */
    const char *in;
    char *out;
    const void *index;
    int64_t *order, *scratch;
} along;

/* ---- running sums: f32 adds in double; integers wrap ---- */

#define CUMSUM(type, acc_type)                                                                     \
    do {                                                                                           \
        const type *x = (const type *)(const void *)a->in + at * a->n * a->inner + column;         \
        type *y = (type *)(void *)a->out + at * a->n * a->inner + column;                          \
        acc_type acc = 0;                                                                          \
        for (j = 0; j < a->n; j++) {                                                               \
            int64_t k = (a->flag ? a->n - 1 - j : j) * a->inner;                                   \
            acc += (acc_type)x[k];                                                                 \
            y[k] = (type)acc;                                                                      \
        }                                                                                          \
    } while (0)

static void cumsum_piece(void *context, int64_t at)
{
    const along *a = context;
    int64_t column, j;

    for (column = 0; column < a->inner; column++)
        switch (a->dtype) {
        case CT_F32:
            CUMSUM(float, double);
            break;
        case CT_F64:
            CUMSUM(double, double);
            break;
        case CT_I32:
            CUMSUM(int32_t, uint32_t);
            break;
        default:
            CUMSUM(int64_t, uint64_t);
        }
}

void cti_cpu_cumsum(ct_dtype dtype, bool reverse, int64_t outer, int64_t n, int64_t inner,
                    const void *in, void *out)
{
    along a = { .dtype = dtype,
                .outer = outer,
                .n = n,
                .inner = inner,
                .flag = reverse,
                .in = in,
                .out = out };

    cti_parallel(outer, cumsum_piece, &a);
}

/* ---- by index ---- */

static bool indices_fit(const along *a, int64_t *bad)
{
    int64_t count = a->outer * a->m * a->inner, i;

    for (i = 0; i < count; i++) {
        int64_t k = cti_cpu_index_at(a->index, a->index_dtype, i);

        if (k < 0 || k >= a->n) {
            *bad = i;
            return false;
        }
    }
    return true;
}

/* Where element i of row j of outer index at is gathered from, or added to. */
static int64_t target(const along *a, int64_t at, int64_t j, int64_t i)
{
    int64_t k = cti_cpu_index_at(a->index, a->index_dtype, (at * a->m + j) * a->inner + i);

    return (at * a->n + k) * a->inner + i;
}

#define GATHER(type)                                                                               \
    for (j = 0; j < a->m; j++)                                                                     \
        for (i = 0; i < a->inner; i++)                                                             \
    ((type *)(void *)a->out)[(at * a->m + j) * a->inner + i] =                                     \
        ((const type *)(const void *)a->in)[target(a, at, j, i)]

static void gather_piece(void *context, int64_t at)
{
    const along *a = context;
    int64_t i, j;

    switch (ct_dtype_size(a->dtype)) {
    case 1:
        GATHER(uint8_t);
        break;
    case 2:
        GATHER(uint16_t);
        break;
    case 4:
        GATHER(uint32_t);
        break;
    default:
        GATHER(uint64_t);
    }
}

ct_status cti_cpu_gather(ct_dtype dtype, ct_dtype index_dtype, int64_t outer, int64_t n, int64_t m,
                         int64_t inner, const void *src, const void *index, void *out,
                         cti_fault *fault)
{
    along a = { .dtype = dtype,
                .index_dtype = index_dtype,
                .outer = outer,
                .n = n,
                .m = m,
                .inner = inner,
                .in = src,
                .out = out,
                .index = index };

    if (!indices_fit(&a, &fault->position))
        return CT_ERR_INDEX;
    cti_parallel(outer, gather_piece, &a);
    return CT_OK;
}

#define SCATTER_ADD(type, wide)                                                                    \
    do {                                                                                           \
        type *d = (type *)(void *)a->out + target(a, at, j, i);                                    \
        *d = (type)((wide)*d + (wide)((const type *)(const void *)a->in)[from]);                   \
    } while (0)

static void scatter_add_piece(void *context, int64_t at)
{
    const along *a = context;
    int64_t i, j;

    for (j = 0; j < a->m; j++)
        for (i = 0; i < a->inner; i++) {
            int64_t from = (at * a->m + j) * a->inner + i;

            switch (a->dtype) {
            case CT_F32:
                SCATTER_ADD(float, float);
                break;
            case CT_F64:
                SCATTER_ADD(double, double);
                break;
            case CT_I32:
                SCATTER_ADD(int32_t, uint32_t);
                break;
            default:
                SCATTER_ADD(int64_t, uint64_t);
            }
        }
}

ct_status cti_cpu_scatter_add(ct_dtype dtype, ct_dtype index_dtype, int64_t outer, int64_t n,
                              int64_t m, int64_t inner, void *dst, const void *index,
                              const void *src, cti_fault *fault)
{
    along a = { .dtype = dtype,
                .index_dtype = index_dtype,
                .outer = outer,
                .n = n,
                .m = m,
                .inner = inner,
                .in = src,
                .out = dst,
                .index = index };

    if (!indices_fit(&a, &fault->position))
        return CT_ERR_INDEX;
    cti_parallel(outer, scatter_add_piece, &a);
    return CT_OK;
}

/* ---- sorting: a merge sort of positions, bottom up ---- */

/* Whether the element at j must stand before the one at i, which came first. */
#define BEFORE(type, nan_test)                                                                     \
    do {                                                                                           \
        const type *x = row;                                                                       \
        type p = x[j], q = x[i];                                                                   \
        bool pn = nan_test(p), qn = nan_test(q);                                                   \
        if (pn || qn)                                                                              \
            return descending ? pn && !qn : qn && !pn;                                             \
        return descending ? p > q : p < q;                                                         \
    } while (0)
#define FLOAT_NAN(v) ((v) != (v))
#define NO_NAN(v) ((void)(v), false)

static bool before(ct_dtype dtype, bool descending, const void *row, int64_t j, int64_t i)
{
    switch (dtype) {
    case CT_F32:
        BEFORE(float, FLOAT_NAN);
    case CT_F64:
        BEFORE(double, FLOAT_NAN);
    case CT_I32:
        BEFORE(int32_t, NO_NAN);
    default:
        BEFORE(int64_t, NO_NAN);
    }
}

/* Merges from[low, middle) and from[middle, high) into to. */
static void merge(const along *a, const void *row, const int64_t *from, int64_t *to, int64_t low,
                  int64_t middle, int64_t high)
{
    int64_t i = low, j = middle, k;

    for (k = low; k < high; k++)
        if (i == middle || (j < high && before(a->dtype, a->flag, row, from[j], from[i])))
            to[k] = from[j++];
        else
            to[k] = from[i++];
}

/* Few of many: each element that belongs among the first m so far is put in its place there. */
static void first_few(const along *a, const void *row, int64_t *order)
{
    int64_t count = 0, i, p;

    for (i = 0; i < a->n; i++) {
        if (count == a->m && !before(a->dtype, a->flag, row, i, order[count - 1]))
            continue;
        count += count < a->m;
        for (p = count - 1; p > 0 && before(a->dtype, a->flag, row, i, order[p - 1]); p--)
            order[p] = order[p - 1];
        order[p] = i;
    }
}

#define FEW 32

static void sort_piece(void *context, int64_t at)
{
    const along *a = context;
    const char *row = a->in + (size_t)(at * a->n) * ct_dtype_size(a->dtype);
    int64_t *from = a->scratch + at * 2 * a->n, *to = from + a->n;
    int64_t width, low;

    if (a->m <= FEW) {
        first_few(a, row, a->order + at * a->m);
        return;
    }
    for (low = 0; low < a->n; low++)
        from[low] = low;
    for (width = 1; width < a->n; width *= 2) {
        int64_t *swap = from;

        for (low = 0; low < a->n; low += 2 * width) {
            int64_t middle = low + width < a->n ? low + width : a->n;
            int64_t high = middle + width < a->n ? middle + width : a->n;

            merge(a, row, from, to, low, middle, high);
        }
        from = to;
        to = swap;
    }
    memcpy(a->order + at * a->m, from, (size_t)a->m * sizeof *from);
}

void cti_cpu_sort(ct_dtype dtype, bool descending, int64_t rows, int64_t n, int64_t k,
                  const void *in, int64_t *order, int64_t *scratch)
{
    along a = { .dtype = dtype,
                .n = n,
                .m = k,
                .flag = descending,
                .in = in,
                .order = order,
                .scratch = scratch };

    if (k > 0)
        cti_parallel(rows, sort_piece, &a);
}
