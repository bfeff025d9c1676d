/* lazy_rows.c - tensors made of rows by index whose values are put off until somebody looks. A
 * recurrent layer takes the rows from the table itself, so that a one-hot input of (T, B,
 * vocabulary) and its product with the weight are never written. */
#include "tensor/internal.h"

#include "tensor/cpu/cpu.h"

#include <pthread.h>

static ct_status fill(ct_dtype dtype, int64_t width, void *to, const ct_tensor *table,
                      const ct_tensor *indices, cti_fault *fault)
{
    const cti_backend *be = cti_backend_of(indices->device);

    if (!table)
        return be->one_hot(&(cti_one_hot_args){ .dtype = dtype,
                                                .index_dtype = indices->dtype,
                                                .count = indices->numel,
                                                .width = width,
                                                .index = cti_ptr(indices),
                                                .out = to },
                           fault);
    return be->gather_rows(&(cti_gather_rows_args){ .dtype = dtype,
                                                    .index_dtype = indices->dtype,
                                                    .count = indices->numel,
                                                    .width = width,
                                                    .rows = table->shape.dim[0],
                                                    .src = cti_ptr(table),
                                                    .index = cti_ptr(indices),
                                                    .out = to },
                           fault);
}

ct_status cti_put_off(ct_tensor *y, ct_tensor *table, ct_tensor *indices, cti_fault *fault)
{
    int64_t width = indices->numel ? y->numel / indices->numel : 0;
    ct_storage *s = y->storage;

    if (y->device != CT_CPU || !width)
        return fill(y->dtype, width, cti_ptr(y), table, indices, fault);
    if (!cti_cpu_are_indices(indices->dtype, indices->numel, table ? table->shape.dim[0] : width,
                             cti_ptr(indices), &fault->position))
        return CT_ERR_INDEX;
    if (table)
        cti_ref(table);
    cti_ref(indices);
    s->table = table;
    s->row_dtype = y->dtype;
    s->row_width = width;
    atomic_store_explicit(&s->indices, indices, memory_order_release);
    return CT_OK;
}

/* Two threads may look at once. */
void cti_make_values(ct_storage *s)
{
    static pthread_mutex_t making = PTHREAD_MUTEX_INITIALIZER;
    ct_tensor *indices, *table = NULL;
    cti_fault none; /* which the indices are known not to have */

    pthread_mutex_lock(&making);
    indices = atomic_load_explicit(&s->indices, memory_order_relaxed);
    if (indices) {
        table = s->table;
        (void)fill(s->row_dtype, s->row_width, s->data, table, indices, &none);
        s->table = NULL;
        atomic_store_explicit(&s->indices, NULL, memory_order_release);
    }
    pthread_mutex_unlock(&making);
    if (table)
        cti_unref(table);
    if (indices)
        cti_unref(indices);
}

void cti_forget_put_off(ct_storage *s)
{
    ct_tensor *indices = atomic_load_explicit(&s->indices, memory_order_relaxed);

    if (!indices)
        return;
    atomic_store_explicit(&s->indices, NULL, memory_order_relaxed);
    if (s->table)
        cti_unref(s->table);
    cti_unref(indices);
    s->table = NULL;
}

bool cti_is_put_off(const ct_tensor *x, ct_tensor **table, ct_tensor **indices)
{
    ct_storage *s = x->storage;
    ct_tensor *by = atomic_load_explicit(&s->indices, memory_order_acquire);

    if (!by || !s->table || !x->contiguous || x->numel != by->numel * s->row_width)
        return false;
    *table = cti_alias(s->table);
    *indices = cti_alias(by);
    return *table && *indices;
}
