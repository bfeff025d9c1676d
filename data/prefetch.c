/* SPDX-License-Identifier: MIT */
/* prefetch.c - copies the next batch to an asynchronous device while the device works on the
 * current one.
 *
 * Double buffering: a batch is uploaded on the copy stream once all kernels queued so far have
 * finished, which are the last readers of that buffer. The compute stream waits for the copy only.
 * So the host never waits, and the copy of one batch overlaps the work on another. If the caller
 * has kept the tensors of a buffer, the loader replaces the buffer and leaves the old one to the
 * caller. */
#include "tensor/internal.h"

#include "data/internal.h"

/* A new buffer for so many elements; NULL with an error. */
static ct_tensor *prefetch_make_place(const ct_loader *l, int64_t elements, ct_dtype dtype)
{
    ct_scope s = cti_scope_push();
    ct_tensor *kept = ct_keep(cti_new("ct_loader_next", CT_SHAPE(elements), dtype, l->device));

    cti_scope_pop(s);
    return kept;
}

/* Makes sure that place i of a is used by the loader alone and has room for the entry. A field that is not
 * a sequence gets room for the largest batch at once, so that it is allocated only once. */
static bool prefetch_make_room(const ct_loader *l, cti_ahead *a, int i, ct_dtype dtype)
{
    const cti_entry_of_batch *e = &l->entry[i];
    ct_shape most = a->shape[i];
    int64_t elements = 1;

    if (e->lengths || !cti_field_is_sequence(&l->data->field[e->field]))
        most.dim[0] = l->most_rows;
    for (int k = 0; k < most.rank; k++)
        elements *= most.dim[k];
    if (a->place[i] &&
        (a->place[i]->numel < elements || atomic_load(&a->place[i]->storage->refs) > 1)) {
        ct_free(a->place[i]);
        a->place[i] = NULL;
    }
    if (!a->place[i])
        a->place[i] = prefetch_make_place(l, elements, dtype);
    return a->place[i] != NULL;
}

/* Makes the events, if necessary, and room for the filled batch c. False with an error. */
static bool prefetch_make_ready(const ct_loader *l, cti_ahead *a, const cti_load *c)
{
    const cti_async *async = cti_backend_of(l->device)->async;

    for (int i = 0; i < l->entry_count; i++) {
        ct_dtype dtype;

        cti_loader_entry(l, c, i, &a->shape[i], &dtype);
        if (!prefetch_make_room(l, a, i, dtype))
            return false;
    }
    a->used = a->used ? a->used : async->event_new();
    a->there = a->there ? a->there : async->event_new();
    return a->used && a->there;
}

/* Starts the upload of the filled batch c into a. False with an error. */
static bool prefetch_upload(ct_loader *l, cti_ahead *a, const cti_load *c)
{
    const cti_async *async = cti_backend_of(l->device)->async;

    if (!prefetch_make_ready(l, a, c))
        return false;
    async->event_record(a->used, CTI_COMPUTE);
    async->event_wait(a->used, CTI_COPIES);
    if (!ct_ok()) /* without the events, the copies would not wait for the kernels */
        return false;
    for (int i = 0; i < l->entry_count; i++) {
        ct_shape shape;
        ct_dtype dtype;
        const void *from = cti_loader_entry(l, c, i, &shape, &dtype);
        size_t bytes = ct_dtype_size(dtype);

        for (int k = 0; k < shape.rank; k++)
            bytes *= (size_t)shape.dim[k];
        async->upload_ahead(cti_data(a->place[i]), from, bytes);
    }
    async->event_record(a->there, CTI_COPIES);
    if (!ct_ok()) { /* without the event, nobody could wait for the copies */
        cti_synchronise(l->device);
        return false;
    }
    a->batch = c->batch;
    a->rows = c->rows;
    a->tokens = c->tokens;
    return true;
}

/* Fills a batch and starts its upload into a. False with an error. */
static bool prefetch_send(ct_loader *l, cti_ahead *a, int64_t batch)
{
    const cti_load *c = cti_loader_take(l, batch);
    bool good;

    a->batch = -1;
    good = c && prefetch_upload(l, a, c);
    if (c)
        cti_loader_give_back(l, c);
    return good;
}

/* Gives views of the batch in a. False with an error. */
static bool prefetch_give(const ct_loader *l, const cti_ahead *a, ct_batch *batch)
{
    ct_tensor *tensors[CTI_MAX_BATCH_FIELDS];

    for (int i = 0; i < l->entry_count; i++) {
        int64_t stride[CT_MAX_RANK];

        cti_row_major(&a->shape[i], stride);
        tensors[i] =
            cti_view("ct_loader_next", a->place[i], a->shape[i], stride, a->place[i]->offset);
        if (!tensors[i])
            return false;
    }
    batch->rows = a->rows;
    batch->tokens = a->tokens;
    return cti_loader_give(l, batch, tensors);
}

bool cti_ahead_next(ct_loader *l, ct_batch *batch)
{
    cti_ahead *now = &l->ahead[l->turn], *after = &l->ahead[!l->turn];

    if (now->batch != l->next && !prefetch_send(l, now, l->next))
        return false;
    cti_backend_of(l->device)->async->event_wait(now->there, CTI_COMPUTE);
    if (!ct_ok())
        return false;
    if (!prefetch_give(l, now, batch))
        return false;
    l->turn = !l->turn;
    return l->next + 1 >= l->batches || prefetch_send(l, after, l->next + 1);
}

void cti_ahead_free(ct_loader *l)
{
    for (int i = 0; i < 2; i++) {
        cti_ahead *a = &l->ahead[i];
        const cti_async *async = a->there ? cti_backend_of(l->device)->async : NULL;

        if (async) { /* a copy into this buffer may be in progress */
            async->event_wait(a->there, CTI_COMPUTE);
            if (!ct_ok())
                cti_synchronise(l->device);
            async->event_free(a->there);
        }
        if (a->used)
            cti_backend_of(l->device)->async->event_free(a->used);
        for (int k = 0; k < CTI_MAX_BATCH_FIELDS; k++)
            ct_free(a->place[k]);
    }
}
