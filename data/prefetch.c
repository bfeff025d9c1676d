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

/* A new buffer with the rows of the largest batch; NULL with an error. */
static ct_tensor *prefetch_make_place(const ct_loader *l, const cti_side *side)
{
    ct_scope s = cti_scope_push();
    ct_shape shape = side->shape;
    ct_tensor *kept;

    shape.dim[0] = l->most_rows;
    kept = ct_keep(cti_new("ct_loader_next", shape, side->dtype, l->device));
    cti_scope_pop(s);
    return kept;
}

/* Makes sure that there are events and buffers that only the loader uses. */
static bool prefetch_make_ready(const ct_loader *l, cti_ahead *a)
{
    const cti_async *async = cti_backend_of(l->device)->async;
    const cti_side *side[2] = { &l->x, &l->y };
    int i;

    for (i = 0; i < 2; i++) {
        if (a->place[i] && atomic_load(&a->place[i]->storage->refs) > 1) {
            ct_free(a->place[i]);
            a->place[i] = NULL;
        }
        if (!a->place[i])
            a->place[i] = prefetch_make_place(l, side[i]);
        if (!a->place[i])
            return false;
    }
    a->used = a->used ? a->used : async->event_new();
    a->there = a->there ? a->there : async->event_new();
    return a->used && a->there;
}

bool cti_ahead_send(ct_loader *l, cti_ahead *a, int64_t batch)
{
    const cti_async *async;
    int64_t rows = cti_loader_rows(l, batch);

    a->batch = -1;
    if (!prefetch_make_ready(l, a))
        return false;
    async = cti_backend_of(l->device)->async;
    async->event_record(a->used, CTI_COMPUTE);
    async->event_wait(a->used, CTI_COPIES);
    if (!ct_ok()) /* the copies would not wait for the kernels */
        return false;
    cti_loader_gather(l, &l->x, batch, rows);
    async->upload_ahead(cti_data(a->place[0]), l->x.buffer, (size_t)rows * l->x.row_bytes);
    cti_loader_gather(l, &l->y, batch, rows);
    async->upload_ahead(cti_data(a->place[1]), l->y.buffer, (size_t)rows * l->y.row_bytes);
    async->event_record(a->there, CTI_COPIES);
    if (!ct_ok()) { /* no other event shows when the copies are done */
        cti_synchronise(l->device);
        return false;
    }
    a->batch = batch;
    return true;
}

/* The first rows of a place. */
static ct_tensor *prefetch_rows(ct_tensor *place, int64_t rows)
{
    ct_shape shape = place->shape;

    shape.dim[0] = rows;
    return cti_view("ct_loader_next", place, shape, place->stride, place->offset);
}

bool cti_ahead_next(ct_loader *l, ct_batch *batch)
{
    cti_ahead *now = &l->ahead[l->turn], *after = &l->ahead[!l->turn];
    int64_t rows = cti_loader_rows(l, l->next);

    if (now->batch != l->next && !cti_ahead_send(l, now, l->next))
        return false;
    cti_backend_of(l->device)->async->event_wait(now->there, CTI_COMPUTE);
    if (!ct_ok())
        return false;
    batch->x = prefetch_rows(now->place[0], rows);
    batch->y = prefetch_rows(now->place[1], rows);
    l->turn = !l->turn;
    if (batch->x && batch->y && l->next + 1 < l->batches)
        return cti_ahead_send(l, after, l->next + 1);
    return batch->x && batch->y;
}

void cti_ahead_free(ct_loader *l)
{
    int i, k;

    for (i = 0; i < 2; i++) {
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
        for (k = 0; k < 2; k++)
            ct_free(a->place[k]);
    }
}
