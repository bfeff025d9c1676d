/* scope.c - the thread's stacks: live tensors, the tape, and the marks on both. */
#include "tensor/internal.h"

#include "tensor/hooks.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

_Thread_local ct_thread cti_self = { .recording = true };
static atomic_uint thread_count;
static pthread_key_t thread_key;
static pthread_once_t thread_once = PTHREAD_ONCE_INIT;

/* A thread's end frees what is its own: open scopes, idle handles and buffers. */
static void thread_end(void *unused)
{
    ct_thread *th = &cti_self;

    (void)unused;
    while (th->depth)
        cti_scope_pop((ct_scope){ th->frames[0].id, th->id, 1 });
    if (th->tape_free)
        th->tape_free(th);
    cti_handles_free(th);
    cti_pool_free(th);
    cti_release(th->tickets);
    cti_release(th->frames);
    cti_release(th->live);
    cti_release(th->tape);
    memset(th, 0, sizeof *th);
    th->recording = true;
}

void (*cti_at_end)(void);

/* The main thread runs no key destructors when the program ends by returning from main. */
__attribute__((destructor)) static void process_end(void)
{
    if (cti_at_end)
        cti_at_end();
    thread_end(NULL);
}

static bool keeps_idle;

static void make_key(void)
{
    const char *pool = getenv("COTANGENT_POOL");

    keeps_idle = !pool || strcmp(pool, "0") != 0;
    pthread_key_create(&thread_key, thread_end);
}

void cti_thread_start(void)
{
    ct_thread *th = &cti_self;

    th->started = true;
    th->id = atomic_fetch_add(&thread_count, 1) + 1;
    pthread_once(&thread_once, make_key);
    pthread_setspecific(thread_key, th);
    th->keeps_idle = keeps_idle;
}

bool cti_grow(void **array, size_t *room, size_t count, size_t entry)
{
    size_t more = *room ? *room * 2 : 64;
    void *p;

    if (count < *room)
        return true;
    p = cti_realloc(*array, *room * entry, more * entry);
    if (!p) {
        cti_out_of_memory("ct_scope", more * entry);
        return false;
    }
    *array = p;
    *room = more;
    return true;
}

bool cti_push_live(const char *function, ct_tensor *t)
{
    ct_thread *th = cti_thread();

    if (!th->depth) {
        ct_raise(CT_ERR_SCOPE, function, "no scope is open on this thread (ct_scope_begin first)");
        return false;
    }
    if (!cti_grow((void **)&th->live, &th->live_room, th->live_count, sizeof *th->live))
        return false;
    th->live[th->live_count++] = t;
    return true;
}

static bool push_frame(ct_scope *s, bool recording)
{
    ct_thread *th = cti_thread();
    size_t room = (size_t)th->frame_room;
    cti_frame *f;

    static atomic_uint_fast64_t serial;

    *s = (ct_scope){ 0, th->id, 0 };
    if (!cti_grow((void **)&th->frames, &room, (size_t)th->depth, sizeof *th->frames))
        return false;
    th->frame_room = (int)room;
    f = &th->frames[th->depth++];
    f->id = atomic_fetch_add(&serial, 1) + 1;
    f->live = th->live_count;
    f->tape = th->tape_count;
    f->error_serial = th->error_serial;
    f->recording = th->recording;
    th->recording = recording;
    *s = (ct_scope){ f->id, th->id, (uint32_t)th->depth };
    return true;
}

ct_scope ct_scope_begin(void)
{
    ct_scope s;

    push_frame(&s, cti_thread()->recording);
    return s;
}

ct_scope cti_scope_push(void)
{
    ct_scope s;

    push_frame(&s, false);
    return s;
}

/* True if s is open on this thread; its frame is th->frames[s.depth - 1]. */
static bool is_open(const ct_thread *th, ct_scope s)
{
    return s.thread == th->id && s.depth >= 1 && s.depth <= (uint32_t)th->depth &&
           th->frames[s.depth - 1].id == s.id;
}

void cti_scope_pop(ct_scope s)
{
    ct_thread *th = cti_thread();
    const cti_frame *f;

    if (!is_open(th, s))
        return;
    f = &th->frames[s.depth - 1];
    if (th->tape_count > f->tape)
        th->tape_pop(th, f->tape);
    while (th->live_count > f->live) {
        ct_tensor *t = th->live[--th->live_count];

        t->popped = true;
        cti_unref(t);
    }
    th->recording = f->recording;
    th->depth = (int)s.depth - 1;
}

/* What an end reports, before the frame is popped. */
static ct_status outcome(const ct_thread *th, ct_scope s)
{
    return th->frames[s.depth - 1].error_serial != th->error_serial ? th->error : CT_OK;
}

static ct_status refuse_end(const char *function, ct_scope s)
{
    const ct_thread *th = cti_thread();

    if (!s.id) /* its beginning failed, and said so */
        return th->error != CT_OK ? th->error : CT_ERR_MEMORY;
    if (s.thread != th->id)
        return ct_raise(CT_ERR_SCOPE, function, "the scope was opened on another thread");
    return ct_raise(CT_ERR_SCOPE, function, "the scope has been ended already");
}

ct_status ct_scope_end(ct_scope s)
{
    ct_thread *th = cti_thread();
    ct_status status;

    if (!is_open(th, s))
        return refuse_end("ct_scope_end", s);
    status = outcome(th, s);
    cti_scope_pop(s);
    return status;
}

/* True if t is a live tensor of the scope whose frame is f (or of a forgotten one inside). */
static bool belongs_to(const ct_thread *th, const cti_frame *f, const ct_tensor *t)
{
    size_t i;

    for (i = th->live_count; i > f->live; i--)
        if (th->live[i - 1] == t)
            return true;
    return false;
}

/* Raises if t may not go from the scope to the enclosing one. */
static void check_return(const ct_thread *th, ct_scope s, const ct_tensor *t)
{
    static const char *const me = "ct_scope_return";

    if (s.depth == 1)
        ct_raise(CT_ERR_SCOPE, me, "there is no enclosing scope (ct_keep it)");
    else if (!t && cti_sink_allowed())
        ct_raise(CT_ERR_ARGUMENT, me, "t is NULL");
    else if (cti_usable(me, t) && !belongs_to(th, &th->frames[s.depth - 1], t))
        ct_raise(CT_ERR_SCOPE, me, "t %s does not belong to the scope", cti_describe(t).s);
    else if (t && t->node && t->node_scope >= (int)s.depth)
        ct_raise(CT_ERR_SCOPE, me,
                 "t %s has history, which cannot leave its scope; detach it first",
                 cti_describe(t).s);
}

ct_status ct_scope_return(ct_scope s, ct_tensor *t, ct_tensor **out)
{
    ct_thread *th = cti_thread();
    ct_status status;

    *out = NULL;
    if (!is_open(th, s))
        return refuse_end("ct_scope_return", s);
    check_return(th, s, t);
    status = outcome(th, s);
    if (status == CT_OK)
        cti_ref(t);
    cti_scope_pop(s);
    if (status != CT_OK)
        return status;
    t->popped = false;
    th->live[th->live_count++] = t; /* it had a place there before */
    *out = t;
    return CT_OK;
}
