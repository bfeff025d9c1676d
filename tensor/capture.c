/* SPDX-License-Identifier: MIT */
/* capture.c - steps whose kernels a device records once and replays.
 *
 *     run   phase      what happens
 *     1     FIRST      calls the function as usual: lazy parameters and states are made
 *     2     REHEARSAL  calls it with the step's own pool, which keeps all buffers that it frees, and
 *                      counts the numbers that change from run to run
 *     3     NOTING     calls it while the device records its kernels; then replays them once
 *     4..   NOTING     writes the changing numbers and replays; calls nothing
 *
 * The recorded kernels always use the same addresses, so the buffers must belong to the step as
 * long as it is replayed. Therefore the step has its own pool. A device cannot allocate while it
 * records, so the rehearsal fills that pool. Numbers that change from run to run (rates, counts of
 * steps, positions of generators) are in one buffer on the device, the area. Each has a renewal,
 * which computes it on the host before each replay. An error in any run starts again at FIRST. */
#include "tensor/internal.h"

#include "tensor/hooks.h"

#include <cotangent/tensor/capture.h>

#include <string.h>

static const char *const me = "ct_capture_run";

/* Numbers that `renew` computes on the host before each replay. */
typedef struct renewal {
    bool (*renew)(void *context, double *numbers);
    void *context; /* owned */
    size_t at;     /* the index of its first number in the area */
} renewal;

typedef enum phase { FIRST, REHEARSAL, NOTING } phase;

struct ct_capture {
    ct_device device;
    ct_capture_function function;
    void *context;
    uint32_t thread;
    phase next;
    cti_pool *pool;
    void *graph; /* NULL until it is recorded */

    ct_storage *area;
    double *numbers; /* host copy of the area, uploaded before each replay */
    size_t reserved, used;
    renewal *renewals;
    size_t renewal_count, renewal_room;

    uintptr_t stack;     /* an address in the frame of the step's caller; local variables of the
                          * step are below it */
    cti_ticket *tickets; /* in order of their numbers, without gaps */
    size_t ticket_count, ticket_room;
    struct ct_capture *other; /* the next in the thread's list */
};

/* ---- for the library, while a step runs ---- */

/* Returns the running step if it is in phase `from` or a later one; otherwise NULL. */
static ct_capture *at_hand(phase from)
{
    ct_capture *c = cti_thread()->capturing;

    return c && c->next >= from ? c : NULL;
}

bool cti_capture_allows(ct_device device, const char *function, const char *what)
{
    ct_capture *c = at_hand(REHEARSAL);

    if (!c || c->device != device)
        return true;
    ct_raise(CT_ERR_DEVICE, function, "a captured step cannot %s", what);
    return false;
}

bool cti_capture_noting(void)
{
    return at_hand(NOTING) != NULL;
}

/* The address of a renewal's numbers on the device; NULL if the area could not be allocated. */
static const double *numbers_of(const ct_capture *c, const renewal *r)
{
    return c->area ? (const double *)c->area->data + r->at : NULL;
}

const double *cti_capture_numbers(size_t count, bool (*renew)(void *context, double *numbers),
                                  const void *context, size_t bytes)
{
    ct_capture *c = at_hand(REHEARSAL);
    renewal *r;

    if (c && c->next == REHEARSAL)
        c->reserved += count;
    if (!cti_capture_noting())
        return NULL;
    if (c->used + count > c->reserved) {
        ct_raise(CT_ERR_DEVICE, me, "the step does not repeat the work of its previous run");
        return NULL;
    }
    if (!cti_grow(me, (void **)&c->renewals, &c->renewal_room, c->renewal_count, sizeof *r))
        return NULL;
    r = &c->renewals[c->renewal_count];
    *r = (renewal){ renew, cti_calloc(1, bytes), c->used };
    if (!r->context) {
        cti_out_of_memory(me, bytes);
        return NULL;
    }
    memcpy(r->context, context, bytes);
    c->renewal_count++;
    c->used += count;
    return numbers_of(c, r);
}

/* A generator that the step draws from: its state before the recording, and the number of words
 * that each run takes, counted from the start of a block. */
typedef struct drawing {
    ct_generator *g, began;
    uint64_t words;
} drawing;

static bool renew_position(void *context, double *numbers)
{
    const drawing *d = context;
    uint64_t block = cti_next_block(d->g);

    memcpy(numbers, &block, sizeof block);
    d->g->position = block * 4 + d->words;
    return true;
}

/* Returns the renewal of g; the first draw creates it. NULL with an error. */
static const renewal *renewal_of(ct_capture *c, ct_generator *g)
{
    const drawing new = { g, *g, 0 };
    size_t i;

    for (i = 0; i < c->renewal_count; i++) {
        const drawing *d = c->renewals[i].context;

        if (c->renewals[i].renew == renew_position && d->g == g)
            return &c->renewals[i];
    }
    return cti_capture_numbers(1, renew_position, &new, sizeof new) ? &c->renewals[i] : NULL;
}

void cti_capture_draws(ct_generator *g, ct_device device, cti_position *from)
{
    ct_capture *c = at_hand(REHEARSAL);
    const renewal *r;
    const drawing *d;
    char here;

    if (!c || c->device != device)
        return;
    if (c->next == REHEARSAL) {
        c->reserved++; /* counts each draw as if it had its own generator: an upper bound */
        return;
    }
    /* A generator between this frame and c->stack is a local variable of the step: a replay would
     * write to an address that is no longer valid. Stacks grow downwards on all processors that are
     * supported. */
    if ((uintptr_t)g > (uintptr_t)&here && (uintptr_t)g < c->stack) {
        ct_raise(CT_ERR_ARGUMENT, me, "a generator that the step draws from must outlive the step");
        return;
    }
    r = renewal_of(c, g);
    if (!r)
        return;
    d = r->context;
    from->base = (const uint64_t *)(const void *)numbers_of(c, r);
    from->block -= cti_next_block(&d->began);
}

/* The kernels were recorded but not run. So the generators are set back to their states before the
 * recording, and each replay advances them. */
static void settle_draws(ct_capture *c)
{
    size_t i;

    for (i = 0; i < c->renewal_count; i++) {
        drawing *d = c->renewals[i].context;

        if (c->renewals[i].renew != renew_position)
            continue;
        d->words = d->g->position - cti_next_block(&d->began) * 4;
        d->g->position = d->began.position;
    }
}

cti_fault cti_capture_fault(const cti_ticket *t)
{
    ct_thread *th = cti_thread();
    ct_capture *c = th->capturing;
    cti_fault f = { 0, 0 };

    if (!cti_grow(t->function, (void **)&c->tickets, &c->ticket_room, c->ticket_count, sizeof *t))
        return f;
    f.ticket = CTI_CAPTURED_TICKET | th->captured_tickets++;
    c->tickets[c->ticket_count] = *t;
    c->tickets[c->ticket_count++].number = f.ticket;
    return f;
}

const cti_ticket *cti_captured_ticket(uint32_t number)
{
    const ct_capture *c;

    for (c = cti_thread()->captured; c; c = c->other)
        if (c->ticket_count && number - c->tickets[0].number < c->ticket_count)
            return &c->tickets[number - c->tickets[0].number];
    return NULL;
}

/* ---- a run ---- */

/* Drops the recording and the counts of the rehearsal. The next run is a first run again. */
static void forget(ct_capture *c)
{
    if (c->graph)
        cti_backend_of(c->device)->async->graph_free(c->graph);
    c->graph = NULL;
    while (c->renewal_count)
        cti_release(c->renewals[--c->renewal_count].context);
    if (c->area)
        cti_storage_unref(c->area);
    c->area = NULL;
    cti_release(c->numbers);
    c->numbers = NULL;
    c->reserved = c->used = c->ticket_count = 0;
    c->next = FIRST;
}

/* Calls the function. From the rehearsal on it uses the step's own pool. */
static void call(ct_capture *c)
{
    ct_thread *th = cti_thread();
    cti_pool *pool = th->pool;
    bool own = c->next >= REHEARSAL;
    ct_scope s = ct_scope_begin();

    c->stack = (uintptr_t)&s;
    th->capturing = c;
    th->pool = own ? c->pool : pool;
    c->function(c->context);
    th->pool = own ? pool : th->pool;
    th->capturing = NULL;
    if (ct_scope_end(s) == CT_OK && own && cti_pool_live(c->pool))
        ct_raise(CT_ERR_SCOPE, me,
                 "the step left %zu bytes allocated; a captured step must free all that it makes",
                 cti_pool_live(c->pool));
}

static void rehearse(ct_capture *c)
{
    c->pool = c->pool ? c->pool : cti_pool_own();
    if (c->pool)
        call(c);
    if (!ct_ok() || !c->reserved)
        return;
    c->area = cti_storage_new(c->device, c->reserved * sizeof *c->numbers);
    c->numbers = cti_calloc(c->reserved, sizeof *c->numbers);
    if (!c->numbers)
        cti_out_of_memory(me, c->reserved * sizeof *c->numbers);
}

static void repeat(ct_capture *c)
{
    const cti_backend *be = cti_backend_of(c->device);
    size_t i;

    for (i = 0; i < c->renewal_count && ct_ok(); i++)
        c->renewals[i].renew(c->renewals[i].context, c->numbers + c->renewals[i].at);
    if (ct_ok() && c->used)
        be->upload(c->area->data, c->numbers, c->used * sizeof *c->numbers);
    if (ct_ok())
        be->async->replay(c->graph);
}

static void note(ct_capture *c)
{
    const cti_async *async = cti_backend_of(c->device)->async;

    if (async->capture_begin()) {
        call(c);
        cti_backend_of(c->device);
        c->graph = async->capture_end();
        settle_draws(c);
    }
    if (ct_ok())
        repeat(c);
}

static bool may_run(const ct_capture *c)
{
    const ct_thread *th = cti_thread();

    if (!cti_sink_allowed())
        return false;
    if (!cti_given(me, "captured", c))
        return false;
    if (c->thread != th->id)
        ct_raise(CT_ERR_ARGUMENT, me, "the step belongs to another thread");
    else if (th->capturing)
        ct_raise(CT_ERR_ARGUMENT, me, "a captured step cannot run inside another");
    else if (th->tape_count)
        ct_raise(CT_ERR_GRAD, me, "this thread has recorded history; end its scope first");
    return ct_ok();
}

ct_status ct_capture_run(ct_capture *c)
{
    if (!may_run(c))
        return ct_error();
    if (!cti_backend_of(c->device)->async)
        call(c); /* a device without capture stays in the first phase */
    else if (c->graph)
        repeat(c);
    else if (c->next == FIRST)
        call(c);
    else if (c->next == REHEARSAL)
        rehearse(c);
    else
        note(c);
    if (!ct_ok())
        forget(c);
    else if (cti_backend_of(c->device)->async && c->next < NOTING)
        c->next++;
    return ct_error();
}

bool ct_capture_is_ready(const ct_capture *c)
{
    return c && c->graph;
}

/* ---- making and freeing ---- */

ct_capture *ct_capture_new(ct_device device, ct_capture_function function, void *context)
{
    static const char *const maker = "ct_capture_new";
    ct_thread *th = cti_thread();
    ct_capture *c;

    if (!cti_given(maker, "function", (const void *)function))
        return NULL;
    if (!cti_backend_of(device)) {
        ct_raise(CT_ERR_DEVICE, maker,
                 "device %d does not exist; use CT_CPU or ct_device_from_name", device);
        return NULL;
    }
    c = cti_calloc(1, sizeof *c);
    if (!c) {
        cti_out_of_memory(maker, sizeof *c);
        return NULL;
    }
    *c = (ct_capture){ .device = device,
                       .function = function,
                       .context = context,
                       .thread = th->id,
                       .other = th->captured };
    th->captured = c;
    return c;
}

void ct_capture_free(ct_capture *c)
{
    ct_thread *th = cti_thread();
    ct_capture **at = &th->captured;

    if (!c)
        return;
    while (*at && *at != c)
        at = &(*at)->other;
    if (!*at || th->capturing == c) {
        ct_raise(CT_ERR_ARGUMENT, "ct_capture_free",
                 *at ? "the step is running" : "the step belongs to another thread");
        return;
    }
    *at = c->other;
    forget(c);
    if (c->pool)
        cti_pool_close(c->pool);
    cti_release(c->renewals);
    cti_release(c->tickets);
    cti_release(c);
}
