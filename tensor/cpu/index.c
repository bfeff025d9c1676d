/* SPDX-License-Identifier: MIT */
/* index.c - gathers and scatter-adds by index, one-hot. Sums are made in the order of the source,
 * so that they do not depend on threads. */
#include "tensor/cpu/cpu.h"

#include "tensor/parallel.h"

#include <string.h>

bool cti_cpu_are_indices(ct_dtype dtype, int64_t count, int64_t rows, const void *index,
                         int64_t *bad)
{
    const cti_cpu_path *path = cti_cpu_path_get();
    int64_t i;

    if ((dtype == CT_I64 ? path->below_i64 : path->below_i32)(count, (uint64_t)rows, index))
        return true;
    for (i = 0; i < count; i++) {
        int64_t k = cti_cpu_index_at(index, dtype, i);

        if (k < 0 || k >= rows) {
            *bad = i;
            return false;
        }
    }
    return true;
}

/* ---- rows ---- */

ct_status cti_cpu_gather_rows(const cti_gather_rows_args *a, cti_fault *fault)
{
    size_t bytes = (size_t)a->width * ct_dtype_size(a->dtype);
    int64_t i;

    if (!cti_cpu_are_indices(a->index_dtype, a->count, a->rows, a->index, &fault->position))
        return CT_ERR_INDEX;
    for (i = 0; i < a->count; i++) {
        int64_t row = cti_cpu_index_at(a->index, a->index_dtype, i);

        memcpy((char *)a->out + (size_t)i * bytes, (const char *)a->src + (size_t)row * bytes,
               bytes);
    }
    return CT_OK;
}

ct_status cti_cpu_scatter_add_rows(const cti_scatter_add_rows_args *a, cti_fault *fault)
{
    const cti_row_loops *loops = cti_cpu_rows_of(a->dtype);
    size_t bytes = (size_t)a->width * ct_dtype_size(a->dtype);
    int64_t i;

    if (!cti_cpu_are_indices(a->index_dtype, a->count, a->rows, a->index, &fault->position))
        return CT_ERR_INDEX;
    for (i = 0; i < a->count; i++) {
        int64_t row = cti_cpu_index_at(a->index, a->index_dtype, i);

        loops->add_row(a->width, (char *)a->dst + (size_t)row * bytes,
                       (const char *)a->src + (size_t)i * bytes);
    }
    return CT_OK;
}

/* ---- one-hot ---- */

/* Writes the 1 of each row. size is the size of an element; callers pass a constant, so that the
 * copy is inlined. */
static inline void one_hot_ones(const cti_one_hot_args *a, const void *one, size_t size)
{
    int64_t i;

    for (i = 0; i < a->count; i++) {
        int64_t at = i * a->width + cti_cpu_index_at(a->index, a->index_dtype, i);

        memcpy((char *)a->out + at * (int64_t)size, one, size);
    }
}

ct_status cti_cpu_one_hot(const cti_one_hot_args *a, cti_fault *fault)
{
    size_t size = ct_dtype_size(a->dtype);
    char one[8];

    if (!cti_cpu_are_indices(a->index_dtype, a->count, a->width, a->index, &fault->position))
        return CT_ERR_INDEX;
    cti_cpu_store(one, a->dtype, 1);
    memset(a->out, 0, (size_t)a->count * (size_t)a->width * size);
    if (size == 1)
        one_hot_ones(a, one, 1);
    else if (size == 4)
        one_hot_ones(a, one, 4);
    else
        one_hot_ones(a, one, 8);
    return CT_OK;
}

/* ---- along an axis ---- */

/* Pieces are groups of outer indices with about CTI_CPU_PIECE indices together. */
static int64_t index_group(int64_t m, int64_t inner)
{
    return m * inner < CTI_CPU_PIECE ? CTI_CPU_PIECE / (m * inner) : 1;
}

static int64_t index_pieces(int64_t outer, int64_t m, int64_t inner)
{
    int64_t group = index_group(m, inner);

    return outer / group + (outer % group != 0);
}

/* Runs the given code for each index k. `from` is the position of k in the index array, `to` the
 * position of the element that k selects. */
#define EACH_INDEX(index_type, ...)                                                                \
    for (; at < end && a->inner == 1; at++)                                                        \
        for (j = 0; j < a->m; j++) {                                                               \
            int64_t from = at * a->m + j;                                                          \
            int64_t to = at * a->n + ((const index_type *)a->index)[from];                         \
            __VA_ARGS__;                                                                           \
        }                                                                                          \
    for (; at < end; at++)                                                                         \
        for (j = 0; j < a->m; j++)                                                                 \
            for (i = 0; i < a->inner; i++) {                                                       \
                int64_t from = (at * a->m + j) * a->inner + i;                                     \
                int64_t k = ((const index_type *)a->index)[from];                                  \
                int64_t to = (at * a->n + k) * a->inner + i;                                       \
                __VA_ARGS__;                                                                       \
            }

#define GATHER(type)                                                                               \
    if (a->index_dtype == CT_I64) {                                                                \
        EACH_INDEX(int64_t, ((type *)a->out)[from] = ((const type *)a->src)[to])                   \
    } else {                                                                                       \
        EACH_INDEX(int32_t, ((type *)a->out)[from] = ((const type *)a->src)[to])                   \
    }

static void gather_piece(void *context, int64_t piece)
{
    const cti_gather_args *a = context;
    int64_t group = index_group(a->m, a->inner), at = piece * group, end = at + group, i, j;

    end = end < a->outer ? end : a->outer;
    switch (ct_dtype_size(a->dtype)) {
    case 1:
        GATHER(uint8_t)
        break;
    case 2:
        GATHER(uint16_t)
        break;
    case 4:
        GATHER(uint32_t)
        break;
    default:
        GATHER(uint64_t)
    }
}

ct_status cti_cpu_gather(const cti_gather_args *a, cti_fault *fault)
{
    if (!cti_cpu_are_indices(a->index_dtype, a->outer * a->m * a->inner, a->n, a->index,
                             &fault->position))
        return CT_ERR_INDEX;
    if (a->m && a->inner) /* outer may be very large if m or inner is 0 */
        cti_parallel(index_pieces(a->outer, a->m, a->inner), gather_piece, (void *)a);
    return CT_OK;
}

#define ADD_AT(type, wide)                                                                         \
    ((type *)a->dst)[to] = (type)((wide)((type *)a->dst)[to] + (wide)((const type *)a->src)[from])

#define SCATTER_ADD(type, wide)                                                                    \
    if (a->index_dtype == CT_I64) {                                                                \
        EACH_INDEX(int64_t, ADD_AT(type, wide))                                                    \
    } else {                                                                                       \
        EACH_INDEX(int32_t, ADD_AT(type, wide))                                                    \
    }

static void scatter_add_piece(void *context, int64_t piece)
{
    const cti_scatter_add_args *a = context;
    int64_t group = index_group(a->m, a->inner), at = piece * group, end = at + group, i, j;

    end = end < a->outer ? end : a->outer;
    switch (a->dtype) {
    case CT_F32:
        SCATTER_ADD(float, float)
        break;
    case CT_F64:
        SCATTER_ADD(double, double)
        break;
    case CT_I32:
        SCATTER_ADD(int32_t, uint32_t)
        break;
    case CT_I64:
        SCATTER_ADD(int64_t, uint64_t)
        break;
    case CT_BOOL:
    case CT_BF16:
        break;
    }
}

ct_status cti_cpu_scatter_add(const cti_scatter_add_args *a, cti_fault *fault)
{
    if (!cti_cpu_are_indices(a->index_dtype, a->outer * a->m * a->inner, a->n, a->index,
                             &fault->position))
        return CT_ERR_INDEX;
    if (a->m && a->inner)
        cti_parallel(index_pieces(a->outer, a->m, a->inner), scatter_add_piece, (void *)a);
    return CT_OK;
}

#define SCATTER(type)                                                                              \
    for (j = 0; j < a->m; j++)                                                                     \
        for (i = 0; i < a->inner; i++) {                                                           \
            int64_t from = (at * a->m + j) * a->inner + i;                                         \
            int64_t k = cti_cpu_index_at(a->index, a->index_dtype, from);                          \
            ((type *)a->dst)[(at * a->n + k) * a->inner + i] = ((const type *)a->src)[from];       \
        }

/* Adds or copies all elements of one outer index. */
static void scatter_piece(void *context, int64_t at)
{
    const cti_scatter_add_args *a = context;
    int64_t i, j;

    switch (ct_dtype_size(a->dtype)) {
    case 1:
        SCATTER(uint8_t)
        break;
    case 2:
        SCATTER(uint16_t)
        break;
    case 4:
        SCATTER(uint32_t)
        break;
    default:
        SCATTER(uint64_t)
    }
}

ct_status cti_cpu_scatter(const cti_scatter_add_args *a, cti_fault *fault)
{
    if (!cti_cpu_are_indices(a->index_dtype, a->outer * a->m * a->inner, a->n, a->index,
                             &fault->position))
        return CT_ERR_INDEX;
    if (a->m && a->inner)
        cti_parallel(a->outer, scatter_piece, (void *)a);
    return CT_OK;
}
