/* SPDX-License-Identifier: MIT */
/* scope.c - the three stacks of a thread, and scopes, which are marks on all three. The stacks hold
 * live tensors, other objects that end with a scope, and the tape. */
#include "tensor/internal.h"

#include "tensor/environment.h"
#include "tensor/hooks.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

_Thread_local ct_thread *cti_current;
static _Thread_local ct_thread thread_self = { .recording = true };
static atomic_uint thread_count;
static void scope_pop(ct_thread *th, uint32_t depth, const char *function);
static pthread_key_t thread_key;
static pthread_once_t thread_once = PTHREAD_ONCE_INIT;

/* At the end of a thread: frees its open scopes, idle handles and buffers. */
static void thread_end(void *unused)
{
    ct_thread *th = &thread_self;

    (void)unused;
    th->site = NULL;
    while (th->depth)
        scope_pop(th, 1, "the end of its thread");
    if (th->tape_free)
        th->tape_free(th);
    if (th->world)
        th->world_free(th->world);
    cti_handles_hand_over(th->handles);
    cti_pool_free(th);
    cti_release(th->tickets);
    cti_release(th->frames);
    cti_release(th->live);
    cti_release(th->tape);
    free(th->message);
    memset(th, 0, sizeof *th);
    th->recording = true;
    cti_current = NULL;
}

void (*cti_at_end)(void);

static bool keeps_idle, has_key;

/* Runs when the program ends, because the main thread runs no key destructors when it returns from
 * main.
 *
 * If a plug-in contains the static library, this also runs when the plug-in is unloaded. A thread
 * that used the plug-in may end later, when the code of thread_end is no longer mapped. So the key
 * is deleted, and the memory of such a thread is leaked. */
__attribute__((destructor)) static void process_end(void)
{
    if (cti_at_end)
        cti_at_end();
    thread_end(NULL);
    cti_handles_end();
    if (has_key)
        pthread_key_delete(thread_key);
}

static void make_key(void)
{
    const char *pool = cti_environment("COTANGENT_POOL");

    keeps_idle = !pool || strcmp(pool, "0") != 0;
    cti_handles_init();
    has_key = pthread_key_create(&thread_key, thread_end) == 0;
}

ct_thread *cti_thread_start(void)
{
    ct_thread *th = &thread_self;

    cti_current = th;
    th->id = atomic_fetch_add(&thread_count, 1) + 1;
    pthread_once(&thread_once, make_key);
    if (has_key)
        pthread_setspecific(thread_key, th);
    th->keeps_idle = keeps_idle;
    return th;
}

bool cti_grow_full(const char *function, void **array, size_t *room, size_t entry)
{
    size_t more = *room ? *room * 2 : 64;
    void *p;

    p = cti_realloc(*array, *room * entry, more * entry);
    if (!p) {
        cti_out_of_memory(function, more * entry);
        return false;
    }
    *array = p;
    *room = more;
    return true;
}

static bool scope_required(const ct_thread *th, const char *function)
{
    if (th->depth)
        return true;
    ct_raise(CT_ERR_SCOPE, function, "no scope is open on this thread; call ct_scope_begin first");
    return false;
}

bool cti_push_live(const char *function, ct_tensor *t)
{
    ct_thread *th = cti_thread();

    if (!scope_required(th, function))
        return false;
    if (!cti_grow(function, (void **)&th->live, &th->live_room, th->live_count, sizeof *th->live))
        return false;
    th->live[th->live_count++] = t;
    return true;
}

bool cti_scope_attach(const char *function, cti_attached *a)
{
    ct_thread *th = cti_thread();

    if (!scope_required(th, function))
        return false;
    a->next = th->attached;
    th->attached = a;
    return true;
}

/* The header before the memory that cti_scope_alloc returns, in the same buffer. */
typedef union scope_block {
    struct {
        cti_attached attached;
        ct_storage *storage;
    } is;
    max_align_t align;
} scope_block;

static void scope_block_end(cti_attached *a, const char *function)
{
    (void)function;
    cti_storage_unref(((scope_block *)(void *)a)->is.storage);
}

void *cti_scope_alloc(const char *function, size_t bytes)
{
    ct_storage *s;
    scope_block *b;

    if (!scope_required(cti_thread(), function))
        return NULL;
    s = bytes < PTRDIFF_MAX ? cti_storage_try(CT_CPU, sizeof *b + bytes) : NULL;
    if (!s) {
        cti_out_of_memory(function, bytes);
        return NULL;
    }
    b = s->data;
    b->is.storage = s;
    b->is.attached.end = scope_block_end;
    cti_scope_attach(function, &b->is.attached);
    return b + 1;
}

static bool scope_begin(const char *function, ct_scope *s, bool recording, bool inference)
{
    ct_thread *th = cti_thread();
    size_t room = (size_t)th->frame_room;
    cti_frame *f;

    *s = (ct_scope){ 0, th->id, 0 };
    if (!cti_grow(function, (void **)&th->frames, &room, (size_t)th->depth, sizeof *th->frames))
        return false;
    th->frame_room = (int)room;
    f = &th->frames[th->depth++];
    f->id = ++th->scopes;
    f->live = th->live_count;
    f->tape = th->tape_count;
    f->attached = th->attached;
    f->bindings = th->bindings;
    f->error_serial = th->error_serial;
    f->recording = th->recording;
    f->inference = th->inference;
    th->recording = recording;
    th->inference = inference;
    *s = (ct_scope){ f->id, th->id, (uint32_t)th->depth };
    return true;
}

ct_scope ct_scope_begin(void)
{
    const ct_thread *th = cti_thread();
    ct_scope s;

    scope_begin("ct_scope_begin", &s, th->recording, th->inference);
    return s;
}

ct_scope ct_scope_begin_no_grad(void)
{
    ct_scope s;

    scope_begin("ct_scope_begin_no_grad", &s, false, cti_thread()->inference);
    return s;
}

ct_scope ct_scope_begin_inference(void)
{
    ct_scope s;

    scope_begin("ct_scope_begin_inference", &s, false, true);
    return s;
}

ct_scope cti_scope_push(void)
{
    ct_scope s;

    scope_begin("ct_scope_begin", &s, false, cti_thread()->inference);
    return s;
}

/* True if s is open on this thread; its frame is th->frames[s.depth - 1]. */
static bool scope_is_open(const ct_thread *th, ct_scope s)
{
    return s.thread == th->id && s.depth >= 1 && s.depth <= (uint32_t)th->depth &&
           th->frames[s.depth - 1].id == s.id;
}

bool cti_scope_is_open(ct_scope s)
{
    return scope_is_open(cti_thread(), s);
}

/* Ends the scopes from depth on. `function` is the function that messages about their dead handles
 * name. */
static void scope_pop(ct_thread *th, uint32_t depth, const char *function)
{
    const cti_frame *f = &th->frames[depth - 1];
    const char *site = th->site;

    if (th->tape_count > f->tape)
        th->tape_pop(th, f->tape);
    while (th->live_count > f->live) {
        ct_tensor *t = th->live[--th->live_count];

        cti_handle_die(&t->handle, function, site);
        cti_unref(t);
    }
    while (th->attached != f->attached) {
        cti_attached *a = th->attached;

        th->attached = a->next;
        a->end(a, function);
    }
    th->bindings = f->bindings;
    th->recording = f->recording;
    th->inference = f->inference;
    th->depth = (int)depth - 1;
}

void cti_scope_pop(ct_scope s)
{
    ct_thread *th = cti_thread();

    if (scope_is_open(th, s))
        scope_pop(th, s.depth, "a call of the library");
}

/* Returns the status for ct_scope_end. Must be called before the frame is popped. */
static ct_status scope_outcome(const ct_thread *th, ct_scope s)
{
    return th->frames[s.depth - 1].error_serial != th->error_serial ? th->error : CT_OK;
}

static ct_status scope_refuse_end(const char *function, ct_scope s)
{
    const ct_thread *th = cti_thread();

    if (!s.id) /* ct_scope_begin failed and raised the error */
        return th->error != CT_OK ? th->error : CT_ERR_MEMORY;
    if (s.thread != th->id)
        return ct_raise(CT_ERR_SCOPE, function, "the scope was opened on another thread");
    return ct_raise(CT_ERR_SCOPE, function, "the scope has already ended");
}

ct_status ct_scope_end(ct_scope s)
{
    ct_thread *th = cti_thread();
    ct_status status;
    unsigned serial;

    if (!scope_is_open(th, s))
        return scope_refuse_end("ct_scope_end", s);
    status = scope_outcome(th, s);
    serial = th->error_serial;
    scope_pop(th, s.depth, "ct_scope_end");
    return status == CT_OK && th->error_serial != serial ? th->error : status;
}

/* True if t is a live tensor of the scope whose frame is f, or of an inner scope that is still
 * open. */
static bool scope_owns(const ct_thread *th, const cti_frame *f, const ct_tensor *t)
{
    size_t i;

    for (i = th->live_count; i > f->live; i--)
        if (th->live[i - 1] == t)
            return true;
    return false;
}

/* Raises an error if t must not move from the scope to the enclosing one. */
static void scope_check_return(const ct_thread *th, ct_scope s, const ct_tensor *t)
{
    static const char *const me = "ct_scope_return";

    if (s.depth == 1) {
        ct_raise(CT_ERR_SCOPE, me, "there is no enclosing scope; use ct_keep");
        return;
    }
    if (!t && !cti_sink_allowed()) /* t is NULL because of an earlier error, which the caller
                                    * gets */
        return;
    if (!cti_usable(me, t))
        return;
    if (!scope_owns(th, &th->frames[s.depth - 1], t))
        ct_raise(CT_ERR_SCOPE, me, "t %s does not belong to the scope", cti_describe(t).s);
    else if (t->node && t->node_scope >= (int)s.depth)
        ct_raise(CT_ERR_SCOPE, me,
                 "t %s has history, which cannot leave its scope; detach it first",
                 cti_describe(t).s);
}

ct_status ct_scope_return(ct_scope s, ct_tensor *t, ct_tensor **out)
{
    ct_thread *th = cti_thread();
    ct_status status;
    unsigned serial;

    if (!cti_given("ct_scope_return", "out", out))
        return ct_error();
    *out = NULL;
    if (!scope_is_open(th, s))
        return scope_refuse_end("ct_scope_return", s);
    scope_check_return(th, s, t);
    status = scope_outcome(th, s);
    if (status == CT_OK)
        cti_ref(t);
    serial = th->error_serial;
    scope_pop(th, s.depth, "ct_scope_return");
    if (status != CT_OK)
        return status;
    if (th->error_serial != serial) { /* memory for the copy of borrowed values ran out */
        cti_unref(t);
        return th->error;
    }
    cti_handle_revive(&t->handle);
    th->live[th->live_count++] = t; /* the stack has room, because t was on it before */
    *out = t;
    return CT_OK;
}
