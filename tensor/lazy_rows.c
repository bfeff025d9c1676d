/* SPDX-License-Identifier: MIT */
/* lazy_rows.c - tensors of rows chosen by index, whose memory is filled at the first access.
 *
 * The rows of ct_one_hot are rows of the identity matrix. The rows of the product of a one-hot
 * input with a weight are rows of the table W^T + b. On the CPU, neither is written at once. The
 * storage keeps the table and the indices instead, and cti_data fills the memory at the first
 * access. A recurrent layer asks for the table and the indices (cti_lazy_rows_get) and never reads
 * the rows, so an input of shape (T, B, vocabulary) and its product are never written at all.
 *
 * ct_storage.indices and ct_tensor.indices differ. The storage has indices while its memory is not
 * filled; filling drops them. The tensor has indices as long as its values are ct_one_hot of them,
 * on any device; a write drops them. So ct_linear also gathers rows of a one-hot input whose memory
 * has been filled (by ct_print, say) or that is on a GPU. */
#include "tensor/internal.h"

#include "tensor/cpu/cpu.h"

#include <pthread.h>

/* Writes the rows: rows of table, or one-hot rows of `width` elements if table is NULL. */
static ct_status lazy_rows_write(ct_dtype dtype, int64_t width, void *to, const ct_tensor *table,
                                 const ct_tensor *indices, cti_fault *fault)
{
    const cti_backend *be = cti_backend_of(indices->device);

    if (!table)
        return be->one_hot(&(cti_one_hot_args){ .dtype = dtype,
                                                .index_dtype = indices->dtype,
                                                .count = indices->numel,
                                                .width = width,
                                                .index = cti_data(indices),
                                                .out = to },
                           fault);
    return be->gather_rows(&(cti_gather_rows_args){ .dtype = dtype,
                                                    .index_dtype = indices->dtype,
                                                    .count = indices->numel,
                                                    .width = width,
                                                    .rows = table->shape.dim[0],
                                                    .src = cti_data(table),
                                                    .index = cti_data(indices),
                                                    .out = to },
                           fault);
}

ct_status cti_lazy_rows_set(ct_tensor *y, ct_tensor *table, ct_tensor *indices, cti_fault *fault)
{
    int64_t width = indices->numel ? y->numel / indices->numel : 0;
    ct_storage *s = y->storage;

    if (y->device != CT_CPU || !width)
        return lazy_rows_write(y->dtype, width, cti_data(y), table, indices, fault);
    /* A bad index must raise an error in the call that received it, not at a later access. */
    if (!cti_cpu_are_indices(indices->dtype, indices->numel, table ? table->shape.dim[0] : width,
                             cti_data(indices), &fault->position))
        return CT_ERR_INDEX;
    if (table)
        cti_ref(table);
    cti_ref(indices);
    s->table = table;
    s->row_dtype = y->dtype;
    s->row_width = width;
    /* Readers load indices first (cti_data, cti_lazy_rows_get), so this release store publishes the
     * fields above. */
    atomic_store_explicit(&s->indices, indices, memory_order_release);
    return CT_OK;
}

void cti_lazy_rows_fill(ct_storage *s)
{
    static pthread_mutex_t filling = PTHREAD_MUTEX_INITIALIZER;
    ct_tensor *indices, *table = NULL;
    cti_fault none; /* never set: cti_lazy_rows_set has checked the indices */

    /* Several threads may read a tensor at once. One fills the memory; the others wait, and then
     * see that indices is NULL. The release store below publishes the filled memory to threads that
     * load indices without the lock (cti_data). */
    pthread_mutex_lock(&filling);
    indices = atomic_load_explicit(&s->indices, memory_order_relaxed);
    if (indices) {
        table = s->table;
        (void)lazy_rows_write(s->row_dtype, s->row_width, s->data, table, indices, &none);
        s->table = NULL;
        atomic_store_explicit(&s->indices, NULL, memory_order_release);
    }
    pthread_mutex_unlock(&filling);
    if (table)
        cti_unref(table);
    if (indices)
        cti_unref(indices);
}

void cti_lazy_rows_drop(ct_storage *s)
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

bool cti_lazy_rows_get(const ct_tensor *x, ct_tensor **table, ct_tensor **indices)
{
    ct_storage *s = x->storage;
    ct_tensor *by = atomic_load_explicit(&s->indices, memory_order_acquire);

    if (!by || !s->table || !x->contiguous || x->numel != by->numel * s->row_width)
        return false;
    *table = cti_alias(s->table);
    *indices = cti_alias(by);
    return *table && *indices;
}
