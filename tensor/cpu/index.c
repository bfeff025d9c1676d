/* index.c - gathers and scatter-adds by index, one-hot. Sums are made in the order of the source,
 * so that they do not depend on threads. */
#include "tensor/cpu/cpu.h"

#include "tensor/parallel.h"

#include <string.h>

bool cti_cpu_are_indices(ct_dtype dtype, int64_t count, int64_t rows, const void *index,
                         int64_t *bad)
{
    int64_t i;

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

/* The 1 of each row; size, which the compiler knows, is that of an element. */
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

#define GATHER(type)                                                                               \
    for (j = 0; j < a->m; j++)                                                                     \
        for (i = 0; i < a->inner; i++) {                                                           \
            int64_t to = (at * a->m + j) * a->inner + i;                                           \
            int64_t k = cti_cpu_index_at(a->index, a->index_dtype, to);                            \
            ((type *)a->out)[to] = ((const type *)a->src)[(at * a->n + k) * a->inner + i];         \
        }

/* One outer index. */
static void gather_piece(void *context, int64_t at)
{
    const cti_gather_args *a = context;
    int64_t i, j;

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
    if (a->m && a->inner) /* outer may be huge */
        cti_parallel(a->outer, gather_piece, (void *)a);
    return CT_OK;
}

#define SCATTER_ADD(type, wide)                                                                    \
    do {                                                                                           \
        type *d = (type *)a->dst + to;                                                             \
        *d = (type)((wide)*d + (wide)((const type *)a->src)[from]);                                \
    } while (0)

/* One outer index. */
static void scatter_add_piece(void *context, int64_t at)
{
    const cti_scatter_add_args *a = context;
    int64_t i, j;

    for (j = 0; j < a->m; j++)
        for (i = 0; i < a->inner; i++) {
            int64_t from = (at * a->m + j) * a->inner + i;
            int64_t k = cti_cpu_index_at(a->index, a->index_dtype, from);
            int64_t to = (at * a->n + k) * a->inner + i;

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
            case CT_I64:
                SCATTER_ADD(int64_t, uint64_t);
                break;
            case CT_BOOL:
            case CT_BF16:
                break;
            }
        }
}

ct_status cti_cpu_scatter_add(const cti_scatter_add_args *a, cti_fault *fault)
{
    if (!cti_cpu_are_indices(a->index_dtype, a->outer * a->m * a->inner, a->n, a->index,
                             &fault->position))
        return CT_ERR_INDEX;
    if (a->m && a->inner)
        cti_parallel(a->outer, scatter_add_piece, (void *)a);
    return CT_OK;
}

#define SCATTER(type)                                                                              \
    for (j = 0; j < a->m; j++)                                                                     \
        for (i = 0; i < a->inner; i++) {                                                           \
            int64_t from = (at * a->m + j) * a->inner + i;                                         \
            int64_t k = cti_cpu_index_at(a->index, a->index_dtype, from);                          \
            ((type *)a->dst)[(at * a->n + k) * a->inner + i] = ((const type *)a->src)[from];       \
        }

/* One outer index. */
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
