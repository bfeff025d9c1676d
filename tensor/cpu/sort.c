/* SPDX-License-Identifier: MIT */
/* sort.c - the positions of the first k elements of each row in sorted order; stable. A bottom-up
 * merge sort of positions. If k is small compared with n, each element is inserted into its place
 * instead. */
#include "tensor/cpu/cpu.h"

#include "tensor/parallel.h"

#include <string.h>

#define FEW 32

/* True if the element at j must come before the one at i, which was first. A NaN is the greatest. x
 * != x detects a NaN and is false for integers. */
#define IN_FRONT(type)                                                                             \
    static bool in_front_##type(bool descending, const void *row, int64_t j, int64_t i)            \
    {                                                                                              \
        const type *x = row;                                                                       \
        type p = x[j], q = x[i];                                                                   \
        bool pn = p != p, qn = q != q;                                                             \
        if (pn || qn)                                                                              \
            return descending ? pn && !qn : qn && !pn;                                             \
        return descending ? p > q : p < q;                                                         \
    }
IN_FRONT(float)
IN_FRONT(double)
IN_FRONT(int32_t)
IN_FRONT(int64_t)

static bool sorts_before(const cti_sort_args *a, const void *row, int64_t j, int64_t i)
{
    switch (a->dtype) {
    case CT_F32:
        return in_front_float(a->descending, row, j, i);
    case CT_F64:
        return in_front_double(a->descending, row, j, i);
    case CT_I32:
        return in_front_int32_t(a->descending, row, j, i);
    case CT_I64:
        return in_front_int64_t(a->descending, row, j, i);
    case CT_BOOL:
    case CT_BF16:
        break;
    }
    return false;
}

/* Merges from[low, middle) and from[middle, high) into to. One function for each type: a choice of
 * the type in each comparison costs more than the comparison. */
#define MERGE(type)                                                                                \
    static void merge_##type(bool descending, const void *row, const int64_t *from, int64_t *to,   \
                             const int64_t bound[3])                                               \
    {                                                                                              \
        int64_t low = bound[0], middle = bound[1], high = bound[2], i = low, j = middle, k;        \
        for (k = low; k < high; k++)                                                               \
            if (i == middle || (j < high && in_front_##type(descending, row, from[j], from[i])))   \
                to[k] = from[j++];                                                                 \
            else                                                                                   \
                to[k] = from[i++];                                                                 \
    }
MERGE(float)
MERGE(double)
MERGE(int32_t)
MERGE(int64_t)

static void sort_merge(const cti_sort_args *a, const void *row, const int64_t *from, int64_t *to,
                       const int64_t bound[3])
{
    switch (a->dtype) {
    case CT_F32:
        merge_float(a->descending, row, from, to, bound);
        break;
    case CT_F64:
        merge_double(a->descending, row, from, to, bound);
        break;
    case CT_I32:
        merge_int32_t(a->descending, row, from, to, bound);
        break;
    case CT_I64:
        merge_int64_t(a->descending, row, from, to, bound);
        break;
    case CT_BOOL:
    case CT_BF16:
        break;
    }
}

/* For a small k: inserts each element that belongs to the first k so far. */
static void sort_first_few(const cti_sort_args *a, const void *row, int64_t *order)
{
    int64_t count = 0, i, p;

    for (i = 0; i < a->n; i++) {
        if (count == a->k && !sorts_before(a, row, i, order[count - 1]))
            continue;
        count += count < a->k;
        for (p = count - 1; p > 0 && sorts_before(a, row, i, order[p - 1]); p--)
            order[p] = order[p - 1];
        order[p] = i;
    }
}

static void sort_row(void *context, int64_t at)
{
    const cti_sort_args *a = context;
    const char *row = (const char *)a->in + (size_t)(at * a->n) * ct_dtype_size(a->dtype);
    int64_t *from = a->scratch + at * 2 * a->n, *to = from + a->n;
    int64_t width, low;

    if (a->k <= FEW) {
        sort_first_few(a, row, a->order + at * a->k);
        return;
    }
    for (low = 0; low < a->n; low++)
        from[low] = low;
    for (width = 1; width < a->n; width *= 2) {
        int64_t *swap = from;

        for (low = 0; low < a->n; low += 2 * width) {
            int64_t middle = low + width < a->n ? low + width : a->n;
            int64_t high = middle + width < a->n ? middle + width : a->n;

            sort_merge(a, row, from, to, (int64_t[]){ low, middle, high });
        }
        from = to;
        to = swap;
    }
    memcpy(a->order + at * a->k, from, (size_t)a->k * sizeof *from);
}

void cti_cpu_sort(const cti_sort_args *a)
{
    if (a->k > 0)
        cti_parallel(a->rows, sort_row, (void *)a);
}

/* ---- searching in sorted rows ---- */

#define SEARCH_PIECE 4096

/* All comparisons with a NaN are false, so it goes to the end. */
#define SEARCH(type)                                                                               \
    for (; i < end; i++) {                                                                         \
        const type *row = (const type *)a->sorted + i / a->m * a->n;                               \
        type v = ((const type *)a->values)[i];                                                     \
        int64_t low = 0, high = a->n;                                                              \
        while (low < high) {                                                                       \
            int64_t middle = low + (high - low) / 2;                                               \
            if (a->right ? row[middle] > v : row[middle] >= v)                                     \
                high = middle;                                                                     \
            else                                                                                   \
                low = middle + 1;                                                                  \
        }                                                                                          \
        a->out[i] = low;                                                                           \
    }

static void search_piece(void *context, int64_t piece)
{
    const cti_searchsorted_args *a = context;
    int64_t i = piece * SEARCH_PIECE, end = i + SEARCH_PIECE;

    end = end < a->rows * a->m ? end : a->rows * a->m;
    switch (a->dtype) {
    case CT_F32:
        SEARCH(float)
        break;
    case CT_F64:
        SEARCH(double)
        break;
    case CT_I32:
        SEARCH(int32_t)
        break;
    case CT_I64:
        SEARCH(int64_t)
        break;
    case CT_BOOL:
    case CT_BF16:
        break;
    }
}

void cti_cpu_searchsorted(const cti_searchsorted_args *a)
{
    cti_parallel((a->rows * a->m + SEARCH_PIECE - 1) / SEARCH_PIECE, search_piece, (void *)a);
}
