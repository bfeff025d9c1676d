/* SPDX-License-Identifier: MIT */
/* program.c - records programs, plans their memory and runs them.
 *
 * The life of a buffer is from the first call that writes it to the last that reads it. Buffers
 * are placed in the order of their first calls, each in the lowest gap between the buffers whose
 * lives overlap its life. Inputs, outputs and states are kept for the whole life of the program. */
#include "tensor/program.h"

#include "tensor/cpu/cpu.h"
#include "tensor/hooks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALIGN ((size_t)64)

_Thread_local cti_running *cti_run_now CTI_THREAD_VARIABLE;

/* ---- the pointers of each slot ---- */

typedef struct program_pointer {
    size_t member;
    int how;
} program_pointer;

#define NO_MORE                                                                                    \
    {                                                                                              \
        0, 0                                                                                       \
    }
#define IN(type, member)                                                                           \
    {                                                                                              \
        offsetof(type, member), CTI_READS                                                          \
    }
#define OUT(type, member)                                                                          \
    {                                                                                              \
        offsetof(type, member), CTI_WRITES                                                         \
    }
#define BOTH(type, member)                                                                         \
    {                                                                                              \
        offsetof(type, member), CTI_READS | CTI_WRITES                                             \
    }

/* clang-format off */
static const program_pointer program_pointers[][CTI_MOST_REFERENCES + 1] = {
    [CTI_CALL_copy] = { IN(cti_copy_args, src.data), OUT(cti_copy_args, dst.data), NO_MORE },
    [CTI_CALL_fill] = { OUT(cti_fill_args, data), NO_MORE },
    [CTI_CALL_upload] = { OUT(cti_upload_args, to), NO_MORE },
    [CTI_CALL_arange] = { OUT(cti_arange_args, out), NO_MORE },
    [CTI_CALL_elementwise] = { IN(cti_ew, in[0]), IN(cti_ew, in[1]), IN(cti_ew, in[2]),
                               OUT(cti_ew, out), NO_MORE },
    [CTI_CALL_gemm] = { IN(cti_gemm, a), IN(cti_gemm, b), IN(cti_gemm, bias), OUT(cti_gemm, c),
                        NO_MORE },
    [CTI_CALL_conv] = { IN(cti_conv, x), IN(cti_conv, w), IN(cti_conv, bias), OUT(cti_conv, y),
                        NO_MORE },
    [CTI_CALL_max_pool] = { IN(cti_max_pool_args, in), OUT(cti_max_pool_args, indices), NO_MORE },
    [CTI_CALL_reduce] = { IN(cti_reduce_args, in), OUT(cti_reduce_args, out), NO_MORE },
    [CTI_CALL_cumsum] = { IN(cti_cumsum_args, in), OUT(cti_cumsum_args, out), NO_MORE },
    [CTI_CALL_linear_scan] = { IN(cti_linear_scan_args, a), IN(cti_linear_scan_args, b),
                               IN(cti_linear_scan_args, initial),
                               OUT(cti_linear_scan_args, out), NO_MORE },
    [CTI_CALL_gather_rows] = { IN(cti_gather_rows_args, src), IN(cti_gather_rows_args, index),
                               OUT(cti_gather_rows_args, out), NO_MORE },
    [CTI_CALL_one_hot] = { IN(cti_one_hot_args, index), OUT(cti_one_hot_args, out), NO_MORE },
    [CTI_CALL_gather] = { IN(cti_gather_args, src), IN(cti_gather_args, index),
                          OUT(cti_gather_args, out), NO_MORE },
    [CTI_CALL_sort] = { IN(cti_sort_args, in), OUT(cti_sort_args, order),
                        OUT(cti_sort_args, scratch), NO_MORE },
    [CTI_CALL_softmax] = { IN(cti_softmax_args, in), OUT(cti_softmax_args, out), NO_MORE },
    [CTI_CALL_normalise] = { IN(cti_normalise_args, x), IN(cti_normalise_args, weight),
                             IN(cti_normalise_args, bias), OUT(cti_normalise_args, y),
                             OUT(cti_normalise_args, mean), OUT(cti_normalise_args, variance),
                             NO_MORE },
    [CTI_CALL_sequence] = { IN(cti_sequence, x), IN(cti_sequence, w), IN(cti_sequence, bias),
                            IN(cti_sequence, length), BOTH(cti_sequence, h),
                            BOTH(cti_sequence, c), OUT(cti_sequence, gates),
                            OUT(cti_sequence, hn), OUT(cti_sequence, scratch), NO_MORE },
    [CTI_CALL_layer] = { IN(cti_layer, x), IN(cti_layer, w_ih), IN(cti_layer, b_ih),
                         IN(cti_layer, w_hh), IN(cti_layer, b_hh), BOTH(cti_layer, h),
                         BOTH(cti_layer, c), OUT(cti_layer, gates), NO_MORE },
};
/* clang-format on */

static void *call_pointer(const cti_call *c, size_t member)
{
    void *p;

    memcpy(&p, (const char *)&c->args + member, sizeof p);
    return p;
}

static void call_set_pointer(cti_call *c, size_t member, const void *p)
{
    memcpy((char *)&c->args + member, &p, sizeof p);
}

/* ---- recording ---- */

cti_program *cti_program_new(const char *me)
{
    cti_program *p = cti_calloc(1, sizeof *p);

    if (!p) {
        cti_out_of_memory(me, sizeof *p);
        return NULL;
    }
    p->me = me;
    p->site = cti_thread()->site;
    return p;
}

/* Frees the buffers of the recording. */
static void program_drop_storages(cti_program *p)
{
    for (size_t i = 0; i < p->buffer_count; i++) {
        if (p->buffers[i].storage)
            cti_storage_unref(p->buffers[i].storage);
        p->buffers[i].storage = NULL;
    }
}

void cti_program_free(cti_program *p)
{
    if (!p)
        return;
    cti_program_end(p);
    program_drop_storages(p);
    for (size_t i = 0; i < p->external_count; i++)
        cti_storage_unref(p->externals[i].storage);
    for (size_t i = 0; i < p->constant_count; i++)
        cti_release(p->constants[i]);
    cti_release(p->calls);
    cti_release(p->buffers);
    cti_release(p->externals);
    cti_release(p->constants);
    if (p->block)
        cti_memory_calls.release(p->block);
    cti_release(p);
}

bool cti_program_begin(cti_program *p)
{
    ct_thread *th = cti_thread();

    if (th->program || th->capturing) {
        cti_raise_within(CT_ERR_ARGUMENT, p->me, "this thread is recording already");
        return false;
    }
    th->program = p;
    p->recording = true;
    p->portable = ct_portable();
    return true;
}

void cti_program_end(cti_program *p)
{
    ct_thread *th = cti_thread();

    if (p->recording && th->program == p)
        th->program = NULL;
    p->recording = false;
}

/* Raises the error about the call at a place of the user's program, which may be NULL. */
static void program_refuse_at(const cti_program *p, const char *at, const char *why)
{
    const bool known = at && at != p->site;

    ct_raise_at(p->site, CT_ERR_ARGUMENT, p->site ? NULL : p->me,
                "the function cannot be recorded: %s%s%s", known ? at : "it", known ? ": it " : " ",
                why);
}

void cti_program_refuse(cti_program *p, const char *why)
{
    program_refuse_at(p, cti_thread()->site, why);
}

void cti_program_note_storage(cti_program *p, ct_storage *s, size_t bytes)
{
    if (!cti_grow(p->me, (void **)&p->buffers, &p->buffer_room, p->buffer_count,
                  sizeof *p->buffers))
        return;
    cti_storage_ref(s);
    p->buffers[p->buffer_count++] = (cti_program_buffer){
        .storage = s, .data = s->data, .bytes = bytes, .first = -1, .last = -1
    };
}

cti_call *cti_program_add(cti_program *p, cti_recorded_slot slot)
{
    cti_call *c;

    if (!ct_ok() ||
        !cti_grow(p->me, (void **)&p->calls, &p->call_room, p->call_count, sizeof *p->calls))
        return NULL;
    c = &p->calls[p->call_count++];
    memset(c, 0, sizeof *c);
    c->slot = slot;
    c->site = cti_thread()->site;
    return c;
}

/* Finds the region of an address: the buffer or external array that holds it. -1 if there is none.
 * An address just past the end belongs to an empty view. */
static int program_region(const cti_program *p, const char *at)
{
    int end = -1;

    for (size_t i = p->buffer_count; i-- > 0;) {
        const cti_program_buffer *b = &p->buffers[i];

        if (at >= b->data && at < b->data + b->bytes)
            return (int)i;
        if (at >= b->data && at == b->data + b->bytes)
            end = (int)i;
    }
    for (size_t i = 0; i < p->external_count; i++) {
        const cti_external *e = &p->externals[i];

        if (at >= e->data && at < e->data + e->bytes)
            return CTI_EXTERNAL + (int)i;
        if (end < 0 && at == e->data + e->bytes)
            end = CTI_EXTERNAL + (int)i;
    }
    return end;
}

static const char *region_data(const cti_program *p, int region)
{
    return region >= CTI_EXTERNAL ? p->externals[region - CTI_EXTERNAL].data
                                  : p->buffers[region].data;
}

/* Updates the life of the region for call number `number`. */
static void program_use(cti_program *p, const cti_reference *r, int number)
{
    cti_program_buffer *b;

    if (r->region >= CTI_EXTERNAL) {
        if (r->how & CTI_WRITES)
            cti_program_refuse(p, "writes a parameter");
        return;
    }
    b = &p->buffers[r->region];
    if ((r->how & CTI_READS) && !b->written)
        cti_program_refuse(p, "reads a tensor that no kernel has written");
    if (b->first < 0)
        b->first = number;
    b->last = number;
    b->written |= (r->how & CTI_WRITES) != 0;
}

/* How a call uses a pointer. Some outputs are also inputs. */
static int call_use(const cti_call *c, const program_pointer *at)
{
    if (c->slot == CTI_CALL_gemm && (at->how & CTI_WRITES) && c->args.gemm.beta != 0)
        return CTI_READS | CTI_WRITES;
    return at->how;
}

/* True for an input beyond those that an elementwise op has; its pointer is undefined. */
static bool call_leaves_out(const cti_call *c, const program_pointer *at)
{
    return c->slot == CTI_CALL_elementwise && at->how == CTI_READS &&
           at->member >= offsetof(cti_ew, in) + (size_t)c->args.elementwise.inputs * sizeof(void *);
}

void cti_program_refer(cti_program *p, cti_call *c)
{
    const program_pointer *at;

    for (at = program_pointers[c->slot]; at->how && ct_ok(); at++) {
        const char *address = call_pointer(c, at->member);
        cti_reference *r = &c->reference[c->references];

        if (call_leaves_out(c, at) || !address)
            continue;
        *r = (cti_reference){ at->member, call_use(c, at), program_region(p, address), 0 };
        if (r->region < 0) {
            cti_program_refuse(p, "uses a tensor that is neither an input, a parameter of the set, "
                                  "nor made by the function");
            return;
        }
        r->at = (size_t)(address - region_data(p, r->region));
        c->references++;
        program_use(p, r, (int)p->call_count - 1);
    }
}

/* The buffer that holds the first element of t; -1 if no buffer holds it. */
static int program_buffer_of(const cti_program *p, const ct_tensor *t)
{
    int region = program_region(p, cti_data(t));

    return region < CTI_EXTERNAL ? region : -1;
}

ct_tensor *cti_program_input(cti_program *p, ct_shape shape, ct_dtype dtype, int *buffer)
{
    ct_tensor *t = cti_new(p->me, shape, dtype, CT_CPU);

    if (!t || !ct_ok())
        return NULL;
    memset(cti_data(t), 0, (size_t)t->numel * ct_dtype_size(dtype));
    *buffer = program_buffer_of(p, t);
    p->buffers[*buffer].fixed = p->buffers[*buffer].written = true;
    return t;
}

bool cti_program_external(cti_program *p, const char *name, const ct_tensor *t)
{
    if (!cti_grow(p->me, (void **)&p->externals, &p->external_room, p->external_count,
                  sizeof *p->externals))
        return false;
    cti_storage_ref(t->storage);
    p->externals[p->external_count++] =
        (cti_external){ .name = name,
                        .storage = t->storage,
                        .data = cti_data(t),
                        .bytes = (size_t)t->numel * ct_dtype_size(t->dtype),
                        .dtype = t->dtype };
    return true;
}

int cti_program_output(cti_program *p, ct_tensor *t)
{
    int buffer = t->contiguous ? program_buffer_of(p, t) : -1;

    if (buffer < 0 || p->buffers[buffer].fixed || cti_data(t) != p->buffers[buffer].data) {
        ct_tensor *copy = cti_new(p->me, t->shape, t->dtype, CT_CPU);

        if (!copy)
            return -1;
        cti_copy(copy, t);
        buffer = program_buffer_of(p, copy);
    }
    if (!ct_ok() || buffer < 0)
        return -1;
    if (!p->buffers[buffer].written && p->buffers[buffer].bytes)
        cti_program_refuse(p, "returns a tensor that no kernel has written");
    p->buffers[buffer].fixed = true;
    return ct_ok() ? buffer : -1;
}

/* ---- the memory ---- */

static size_t program_align(size_t bytes)
{
    return (bytes + ALIGN - 1) / ALIGN * ALIGN;
}

static bool buffer_is_used(const cti_program_buffer *b)
{
    return b->fixed || b->first >= 0;
}

/* True if both buffers must keep their values at the same time. */
static bool buffers_overlap(const cti_program_buffer *a, const cti_program_buffer *b)
{
    return a->fixed || b->fixed || (a->first <= b->last && b->first <= a->last);
}

/* The lowest place for buffer number k that is free among the buffers of `placed`, which are in
 * the order of their places. */
static size_t program_lowest_gap(const cti_program *p, const size_t *placed, size_t count, size_t k)
{
    size_t at = 0;

    for (size_t i = 0; i < count; i++) {
        const cti_program_buffer *b = &p->buffers[placed[i]];

        if (!buffers_overlap(b, &p->buffers[k]))
            continue;
        if (b->at >= at + program_align(p->buffers[k].bytes))
            break;
        if (b->at + program_align(b->bytes) > at)
            at = b->at + program_align(b->bytes);
    }
    return at;
}

/* Buffers are allocated in the order of their first use, so they are placed in the order of
 * allocation. */
static bool program_place(cti_program *p)
{
    size_t *placed = cti_calloc(p->buffer_count + 1, sizeof *placed), count = 0, i;

    if (!placed) {
        cti_out_of_memory(p->me, p->buffer_count * sizeof *placed);
        return false;
    }
    for (size_t k = 0; k < p->buffer_count; k++) {
        cti_program_buffer *b = &p->buffers[k];

        if (!buffer_is_used(b))
            continue;
        b->at = program_lowest_gap(p, placed, count, k);
        for (i = count++; i > 0 && p->buffers[placed[i - 1]].at > b->at; i--)
            placed[i] = placed[i - 1];
        placed[i] = k;
        if (b->at + program_align(b->bytes) > p->bytes)
            p->bytes = b->at + program_align(b->bytes);
    }
    cti_release(placed);
    return true;
}

static bool program_allocate(cti_program *p, size_t bytes)
{
    p->block = cti_memory_calls.allocate(ALIGN, bytes + ALIGN);
    if (p->block)
        memset(p->block, 0, bytes + ALIGN);
    else
        cti_out_of_memory(p->me, bytes);
    return p->block != NULL;
}

/* Writes the new addresses to the arguments of all calls. */
static void program_relocate(cti_program *p)
{
    for (size_t i = 0; i < p->call_count; i++) {
        cti_call *c = &p->calls[i];

        for (int k = 0; k < c->references; k++) {
            const cti_reference *r = &c->reference[k];

            if (r->region < CTI_EXTERNAL)
                call_set_pointer(c, r->member, p->block + p->buffers[r->region].at + r->at);
        }
    }
}

/* ---- scratch memory of kernels ---- */

/* Allocates a block of scratch memory in the first run. The blocks form a list: the first bytes
 * of each point to the next. */
static void *running_block(cti_running *r, size_t bytes)
{
    char *block = cti_memory_calls.allocate(ALIGN, bytes + ALIGN);

    if (!block) {
        r->failed = true;
        return NULL;
    }
    memcpy(block, &r->blocks, sizeof r->blocks);
    r->blocks = block;
    return block + ALIGN;
}

static void running_drop_blocks(cti_running *r)
{
    while (r->blocks) {
        void *block = r->blocks;

        memcpy(&r->blocks, block, sizeof r->blocks);
        cti_memory_calls.release(block);
    }
}

ct_storage *cti_running_storage(cti_running *r, size_t bytes)
{
    const size_t head = program_align(sizeof(ct_storage)), need = head + program_align(bytes);
    char *at;
    ct_storage *s;

    if (r->measures)
        at = running_block(r, need);
    else
        at = need <= r->size - r->used ? r->room + r->used : NULL;
    if (!at)
        return NULL;
    r->used += need;
    r->most = r->used > r->most ? r->used : r->most;
    s = (ct_storage *)(void *)at;
    memset(s, 0, sizeof *s);
    s->data = at + head;
    s->bytes = bytes;
    s->foreign = CTI_FOREIGN_SCRATCH;
    atomic_store_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

/* ---- running ---- */

static ct_status call_run(const cti_call *c, cti_fault *fault)
{
    const cti_backend *be = &cti_cpu_backend;

    switch (c->slot) {
    case CTI_CALL_copy:
        be->copy(c->args.copy.rank, c->args.copy.dim, &c->args.copy.dst, &c->args.copy.src);
        return CT_OK;
    case CTI_CALL_fill:
        be->fill(c->args.fill.data, c->args.fill.dtype, c->args.fill.n, c->args.fill.value);
        return CT_OK;
    case CTI_CALL_upload:
        memcpy(c->args.upload.to, c->args.upload.from, c->args.upload.bytes);
        return CT_OK;
    case CTI_CALL_gather_rows:
        return be->gather_rows(&c->args.gather_rows, fault);
    case CTI_CALL_one_hot:
        return be->one_hot(&c->args.one_hot, fault);
    case CTI_CALL_gather:
        return be->gather(&c->args.gather, fault);
    case CTI_CALL_conv:
        return be->conv(&c->args.conv);
    case CTI_CALL_normalise:
        return be->normalise(&c->args.normalise);
    case CTI_CALL_layer:
        return be->layer(&c->args.layer);
#define RUN_CALL(slot)                                                                             \
    case CTI_CALL_##slot:                                                                          \
        be->slot(&c->args.slot);                                                                   \
        return CT_OK;
        RUN_CALL(arange)
        RUN_CALL(elementwise)
        RUN_CALL(gemm)
        RUN_CALL(max_pool)
        RUN_CALL(reduce)
        RUN_CALL(cumsum)
        RUN_CALL(linear_scan)
        RUN_CALL(sort)
        RUN_CALL(softmax)
        RUN_CALL(sequence)
#undef RUN_CALL
    }
    return CT_OK;
}

/* Runs the calls with scratch memory r. *failed becomes the call that failed. */
static ct_status program_run_with(const cti_program *p, cti_running *r, const cti_call **failed,
                                  cti_fault *fault)
{
    cti_running *outer = cti_run_now;
    ct_status status = CT_OK;

    cti_run_now = r;
    for (size_t i = 0; i < p->call_count && status == CT_OK; i++) {
        r->used = 0;
        status = call_run(&p->calls[i], fault);
        *failed = &p->calls[i];
        if (r->blas && !r->where)
            r->where = p->calls[i].site;
    }
    cti_run_now = outer;
    return status;
}

/* Runs the program once to find out how much scratch memory its kernels need, and whether they keep
 * the promises of cti_program_run. */
static bool program_rehearse(cti_program *p)
{
    cti_running r = { .measures = true };
    const cti_call *failed = NULL;
    cti_fault fault = { 0, 0 };
    ct_status status = program_run_with(p, &r, &failed, &fault);

    running_drop_blocks(&r);
    if (r.failed)
        cti_out_of_memory(p->me, r.most);
    else if (r.blas)
        program_refuse_at(
            p, r.where,
            "leaves a product of several rows to BLAS, which takes locks; use one row, "
            "or ct_set_portable(true)");
    else if (status != CT_OK)
        cti_raise_within(status, p->me, "the recorded function does not run");
    p->scratch = r.most;
    return ct_ok();
}

/* Allocates the block again, with room for scratch memory at its end. */
static bool program_add_scratch(cti_program *p)
{
    if (!p->scratch)
        return true;
    cti_memory_calls.release(p->block);
    if (!program_allocate(p, p->bytes + p->scratch))
        return false;
    program_relocate(p);
    return true;
}

bool cti_program_finish(cti_program *p)
{
    if (ct_ok())
        cti_program_make_tables(p);
    if (!ct_ok() || !program_place(p) || !program_allocate(p, p->bytes))
        return false;
    program_relocate(p);
    program_drop_storages(p);
    return program_rehearse(p) && program_add_scratch(p);
}

ct_status cti_program_run(cti_program *p)
{
    cti_running r = { .room = p->block + p->bytes, .size = p->scratch };
    const cti_call *failed = NULL;
    cti_fault fault = { 0, 0 };
    ct_status status = program_run_with(p, &r, &failed, &fault);

    if (status == CT_ERR_INDEX)
        return cti_raise_within(status, "ct_plan_run", "index %lld of an input is out of range",
                                (long long)fault.position);
    return status;
}

void *cti_program_data(const cti_program *p, int buffer)
{
    return p->block + p->buffers[buffer].at;
}
