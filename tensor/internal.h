/* internal.h - what a tensor is, and the thread's stacks behind scopes. (internal) */
#ifndef COTANGENT_TENSOR_INTERNAL_H
#define COTANGENT_TENSOR_INTERNAL_H

#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cotangent/tensor/config.h>
#include <cotangent/tensor/random.h>
#include <cotangent/tensor/scope.h>
#include <cotangent/tensor/status.h>
#include <cotangent/tensor/tensor.h>

#include "tensor/backend.h"
#include "tensor/handle.h"

typedef struct ct_node ct_node;
typedef struct cti_pool cti_pool;

/* Drops a reference; true if it was the last. The holder of the last reference is the only
 * one, so it needs no locked operation. */
static inline bool cti_last_ref(atomic_int *refs)
{
    int before = atomic_load_explicit(refs, memory_order_acquire);

    if (before == 1)
        atomic_store_explicit(refs, 0, memory_order_relaxed);
    else
        before = atomic_fetch_sub_explicit(refs, 1, memory_order_acq_rel);
    assert(before > 0);
    return before == 1;
}

/* What autograd hangs on a leaf (its gradient, hooks); freed with the tensor. */
typedef struct cti_leaf {
    void (*free)(struct cti_leaf *leaf);
} cti_leaf;

/* ---- storage: counted bytes on a device, pooled by size class (storage.c) ---- */

typedef struct ct_storage {
    atomic_int refs;
    atomic_uint version; /* counts in-place writes */
    ct_device device;
    int size_class;
    size_t bytes; /* of the buffer: the class's size */
    void *data;
    const char *written_at; /* the place of the last in-place write, for messages */
    int read_only;          /* how many hooks are reading it: in-place writes are refused */
    cti_pool *home;         /* of the thread that made it, while it is in use */
    struct ct_storage *next;
    /* lazy_rows.c: the memory is to be filled with rows of table at these indices, both references;
     * NULL once it is filled */
    _Atomic(struct ct_tensor *) indices;
    struct ct_tensor *table; /* NULL: one-hot rows */
    ct_dtype row_dtype;
    int64_t row_width;
} ct_storage;

/* A buffer of at least bytes bytes, one reference; NULL with CT_ERR_MEMORY. */
ct_storage *cti_storage_new(ct_device device, size_t bytes);
ct_storage *cti_storage_try(ct_device device, size_t bytes); /* the same without the error */
void cti_storage_ref(ct_storage *s);
void cti_storage_unref(ct_storage *s);

/* A separate pool of this thread, whose buffers return to it alone, in place of th->pool for
 * a while; NULL with an error. It keeps what it has until it is closed. */
cti_pool *cti_pool_own(void);
void cti_pool_close(cti_pool *pool);
size_t cti_pool_live(const cti_pool *pool); /* bytes in use */

/* ---- tensors (tensor.c, create.c, access.c) ---- */

/* Who frees a tensor, in words for messages. NULL is the scope that it was made in. */
extern const char cti_owner_user[];   /* the caller, by ct_free */
extern const char cti_owner_params[]; /* a parameter set */
extern const char cti_owner_state[];  /* an owned ct_state */

/* Counted inside the library: the live stack (or the owner) holds one reference, a node that
 * saves the tensor and a gradient slot hold others. Its handle is dead from the moment its owner lets
 * go of it; nodes may hold it longer. The first 64 bytes are what each op reads. */
struct ct_tensor {
    cti_handle handle;
    atomic_int refs;
    ct_dtype dtype;
    ct_storage *storage;
    /* history: the node that made it and which of its outputs it is; NULL for leaves */
    ct_node *node;
    ct_device device;
    bool contiguous;
    bool requires_grad; /* a leaf that does, or any result with history */
    const char *owner;
    int64_t offset; /* elements */
    int64_t numel;
    size_t node_at; /* the node's place on the tape, */
    int node_scope; /* and the depth of the scope that holds it */
    int output;
    cti_leaf *leaf;     /* a leaf's gradient and hooks (autograd.c); NULL until needed */
    ct_tensor *indices; /* what ct_one_hot made it from; a reference */
    ct_shape shape;
    int64_t stride[CT_MAX_RANK];
};

/* Makes a tensor of the innermost scope with undefined values; function names the caller in
 * errors. cti_view shares t's storage. */
ct_tensor *cti_new(const char *function, ct_shape shape, ct_dtype dtype, ct_device device);
ct_tensor *cti_view(const char *function, const ct_tensor *t, ct_shape shape, const int64_t *stride,
                    int64_t offset);

/* A tensor of the innermost scope that holds value everywhere. */
ct_tensor *cti_filled(const char *function, ct_shape shape, double value, ct_dtype dtype,
                      ct_device device);

/* Another handle of the innermost scope on t, with its history and leaf state. */
ct_tensor *cti_alias(ct_tensor *t);

void cti_ref(ct_tensor *t);
void cti_unref(ct_tensor *t);

/* An owned handle on t's storage without history; cti_free frees what has an owner. */
ct_tensor *cti_keep(const char *function, const ct_tensor *t, const char *owner);
void cti_free(const char *function, ct_tensor *t);

static inline bool cti_is_dead(const ct_tensor *t)
{
    return cti_handle_is_dead(&t->handle);
}

/* What is wrong with an argument that is NULL or dead: raises, and returns false. A NULL after an error
 * raises nothing, so that expressions need no checks. */
bool cti_refuse_tensor(const char *function, const char *name, const ct_tensor *t);

/* Each public function checks each tensor that it is given, with one of these; false with an error. name
 * is the argument's in the header: cti_usable takes it from the variable. An optional argument may
 * be NULL. The checks of arrays name the entry: "parts[2]". */
static inline bool cti_usable_as(const char *function, const char *name, const ct_tensor *t)
{
    return t && !cti_is_dead(t) ? true : cti_refuse_tensor(function, name, t);
}
#define cti_usable(function, t) cti_usable_as(function, #t, t)
static inline bool cti_optional_as(const char *function, const char *name, const ct_tensor *t)
{
    return !t || !cti_is_dead(t) ? true : cti_refuse_tensor(function, name, t);
}
#define cti_optional(function, t) cti_optional_as(function, #t, t)
bool cti_usable_all(const char *function, const char *name, int count, ct_tensor *const *tensors);
bool cti_optional_all(const char *function, const char *name, int count, ct_tensor *const *tensors);

/* True if p, a required argument other than a tensor, is not NULL. Otherwise false, and raises an
 * error unless one is recorded. */
bool cti_given(const char *function, const char *name, const void *p);

/* The same for an array of count entries, which may be NULL if it has none. */
static inline bool cti_given_array(const char *function, const char *name, int64_t count,
                                   const void *p)
{
    return p || count <= 0 || cti_given(function, name, p);
}

/* For functions that take NULL: true for a tensor, false for NULL, and false with an error for a dead
 * tensor. */
static inline bool cti_present(const char *function, const ct_tensor *t)
{
    return t && (!cti_is_dead(t) || cti_refuse_tensor(function, "t", t));
}

/* Fills a storage with its lazy rows; drops them unread, when the storage is freed. */
void cti_lazy_rows_fill(ct_storage *s);
void cti_lazy_rows_drop(ct_storage *s);

/* The first element of t in memory, which lazy rows are written to first. */
static inline char *cti_data(const ct_tensor *t)
{
    if (atomic_load_explicit(&t->storage->indices, memory_order_acquire))
        cti_lazy_rows_fill(t->storage);
    return (char *)t->storage->data + t->offset * (int64_t)ct_dtype_size(t->dtype);
}

/* Makes y, new and contiguous, the rows of table at indices, or one-hot rows of y's last size if
 * table is NULL. On the CPU, y is lazy: cti_data fills it on first access, so nobody may write
 * table or indices until then. Returns CT_ERR_INDEX, without raising it, and sets fault->position if
 * an index is out of range. */
ct_status cti_lazy_rows_set(ct_tensor *y, ct_tensor *table, ct_tensor *indices, cti_fault *fault);

/* If x is exactly the lazy rows of a table and not filled yet: true, with handles of the innermost
 * scope on the table and the indices. */
bool cti_lazy_rows_get(const ct_tensor *x, ct_tensor **table, ct_tensor **indices);

/* t itself if contiguous, else a copy without history. */
ct_tensor *cti_contiguous(const ct_tensor *t);

/* dst <- src, any strides and dtypes, same shape and device; no checks, no version. */
void cti_copy(ct_tensor *dst, const ct_tensor *src);

/* dst, contiguous, <- src of any strides and device; same shape and dtype. False with an error. */
bool cti_copy_across(const char *function, ct_tensor *dst, const ct_tensor *src);

/* ct_copy_into, but nothing where the device has found fault with an earlier op. */
ct_status cti_carry_into(const char *function, ct_tensor *t, const ct_tensor *src);

/* False with CT_ERR_SHAPE unless the rank is in 0..CT_MAX_RANK. The sizes of a shape that a user gives
 * may be read only then. */
bool cti_rank_check(const char *function, const ct_shape *shape);

/* Strides of a fresh tensor. Returns the number of elements, or -1 (with the error raised) for a
 * bad shape. */
int64_t cti_shape_check(const char *function, const ct_shape *shape, ct_dtype dtype);
void cti_row_major(const ct_shape *shape, int64_t *stride);
bool cti_same_shape(const ct_shape *a, const ct_shape *b);

/* 0..rank-1 for an axis that may be negative; -1 with CT_ERR_SHAPE. */
int cti_axis(const char *function, const ct_tensor *t, int axis);

/* False with an error if the rules forbid an in-place write of t. cti_mark_written notes one: bumps
 * the version, forgets one-hot indices. */
bool cti_may_write(const char *function, const ct_tensor *t);
void cti_mark_written(ct_tensor *t);

/* "f32[32,256] cpu" and "[32,256]", for messages. */
typedef struct cti_text {
    char s[160];
} cti_text;
cti_text cti_describe(const ct_tensor *t);
cti_text cti_shape_text(const ct_shape *shape);

/* The name of a dtype in a safetensors file: "F32". */
const char *cti_dtype_file_name(ct_dtype dtype);

/* The range checks that ops share; each raises and returns false. names: "a", "b". */
bool cti_refuse_dtypes(const char *function, const char *an, const ct_tensor *a, const char *bn,
                       const ct_tensor *b);
bool cti_refuse_devices(const char *function, const char *an, const ct_tensor *a, const char *bn,
                        const ct_tensor *b);

static inline bool cti_same_dtype(const char *function, const char *an, const ct_tensor *a,
                                  const char *bn, const ct_tensor *b)
{
    return a->dtype == b->dtype || cti_refuse_dtypes(function, an, a, bn, b);
}

static inline bool cti_same_device(const char *function, const char *an, const ct_tensor *a,
                                   const char *bn, const ct_tensor *b)
{
    return a->device == b->device || cti_refuse_devices(function, an, a, bn, b);
}

bool cti_is_float(ct_dtype dtype);
bool cti_is_index(ct_dtype dtype);
bool cti_is_storage(ct_dtype dtype); /* copies and conversions only */
bool cti_want_float(const char *function, const char *name, const ct_tensor *t);
bool cti_want_index(const char *function, const char *name, const ct_tensor *t);

/* The value of a real option: 0 stands for its default, CT_ZERO for 0. */
static inline double cti_option(double value, double default_value)
{
    return value == 0 ? default_value : value == CT_ZERO ? 0 : value;
}

/* ---- the thread (scope.c, status.c) ---- */

typedef struct cti_frame {
    uint64_t id;
    size_t live, tape;
    struct cti_attached *attached;
    unsigned error_serial;
    bool recording, inference;
} cti_frame;

/* What a scope ends besides tensors, newest first: call end when the scope ends. */
typedef struct cti_attached {
    void (*end)(struct cti_attached *a, const char *function);
    struct cti_attached *next;
} cti_attached;

/* The one generator that may draw while a function runs that will run again (autograd's activation
 * checkpoints); NULL: none may. */
typedef struct cti_draws {
    const ct_generator *g;
    const char *function; /* for the error */
    const struct cti_draws *outer;
} cti_draws;

typedef struct ct_thread {
    const char *site;  /* the user's call, "train.c:41: ct_add"; NULL outside of noted calls */
    uint64_t op_began; /* while cti_tracing: the time of the call, or of the op before */

    ct_status error;
    unsigned error_serial; /* counts errors and refused side effects */
    bool error_closed;
    bool quiet; /* errors are recorded, but the handler is not called: another thread raises them */

    const cti_draws *draws; /* NULL: any generator may draw */
    bool recording;
    bool inference;  /* a scope of ct_scope_begin_inference is open: dropout is off */
    bool keeps_idle; /* buffers and nodes, for the next that is asked for */
    uint32_t id;

    cti_frame *frames;
    int depth, frame_room;
    ct_tensor **live;
    size_t live_count, live_room;
    cti_attached *attached;
    ct_node **tape;
    size_t tape_count, tape_room;

    /* set by autograd when it records its first node: pops the tape down to a mark, and frees
     * what it keeps for the thread */
    void (*tape_pop)(struct ct_thread *th, size_t mark);
    void (*tape_free)(struct ct_thread *th);
    void *node_pool;

    cti_handles handles[CTI_HANDLE_KINDS];
    struct cti_tickets *tickets; /* of calls that an asynchronous device may find fault with */
    struct ct_capture *capturing, *captured; /* the running step; all steps of the thread */
    uint32_t captured_tickets;
    char *message; /* of the recorded error (status.c); NULL before the first */
    cti_pool *pool;
    ct_memory_stats memory; /* live_bytes: see the pool */
} ct_thread;

/* NULL before the thread's first call. Each op asks for it some twenty times: in a shared library the
 * initial-exec model makes that a load instead of a call of __tls_get_addr. In a program that opens
 * the library with dlopen, all thread-local variables of the library (LIBXSMM's too) then take room
 * that the C library reserves, about 1,600 bytes in glibc. So they must stay few and small;
 * tests/unload.sh fails if they do not fit. */
extern _Thread_local ct_thread *cti_current
    __attribute__((visibility("hidden"), tls_model("initial-exec")));
ct_thread *cti_thread_start(void);

static inline ct_thread *cti_thread(void)
{
    ct_thread *th = cti_current;

    return th ? th : cti_thread_start();
}

/* True if the environment asks for traces of ops (autograd/trace.h). */
extern bool cti_tracing;

/* Called when the process ends, before its last thread's memory is given back; or NULL. */
extern void (*cti_at_end)(void);

/* A clock that only goes forward. */
uint64_t cti_nanoseconds(void);

/* True while no error is recorded; otherwise counts a refused side effect. */
bool cti_sink_allowed(void);

/* True if v >= least; else raises CT_ERR_ARGUMENT: "steps is 0; it must be at least 1". */
bool cti_at_least(const char *function, const char *name, int64_t v, int64_t least);

/* Like ct_raise, for errors in which the name of the inner function (an op that backward runs)
 * matters: the message shows it after the site, unless the site names it already. */
ct_status cti_raise_within(ct_status status, const char *function, const char *format, ...)
    CT_PRINTF(3, 4);

/* The length of site without the function that it names, if that is function or one of those with
 * which a user writes an op (ct_record, ct_node_input, ...); otherwise its whole length. */
int cti_site_length(const char *site, const char *function);

/* Raises CT_ERR_MEMORY. */
void cti_out_of_memory(const char *function, size_t bytes);

/* Makes room for one more entry in an array that grows; false with CT_ERR_MEMORY of function. */
bool cti_grow_full(const char *function, void **array, size_t *room, size_t entry);

static inline bool cti_grow(const char *function, void **array, size_t *room, size_t count,
                            size_t entry)
{
    return count < *room || cti_grow_full(function, array, room, entry);
}

/* ---- captured steps (capture.c) ---- */

/* False with an error if a captured step is running on device. what is what it cannot do:
 * "read a value". */
bool cti_capture_allows(ct_device device, const char *function, const char *what);

/* Whether kernels are noted, not run. */
bool cti_capture_noting(void);

/* For what changes from one repetition to the next: count numbers on the device, written by
 * renew(context, numbers) before each, the first one too; context is copied. renew returns false
 * with an error. NULL where nothing is noted: then the caller does the work itself, as always (but
 * it asks each time: the step before is what room is made for). */
const double *cti_capture_numbers(size_t count, bool (*renew)(void *context, double *numbers),
                                  const void *context, size_t bytes);

/* The first whole block of four words from g's position on. */
static inline uint64_t cti_next_block(const ct_generator *g)
{
    return (g->position + 3) / 4;
}

/* Where draws begin that take so many words, from a whole block on; g moves past them
 * (random.c). */
cti_position cti_generator_take(ct_generator *g, uint64_t words, ct_device device);

/* While kernels are noted on device: *from counts from where g is before a repetition. */
void cti_capture_draws(ct_generator *g, ct_device device, cti_position *from);

/* What the message of a fault needs (device.c). */
typedef struct cti_ticket {
    uint32_t number;
    cti_fault_kind kind;
    const char *function, *site;
    int64_t limit;
} cti_ticket;

/* Tickets of noted calls, kept with their step. */
#define CTI_CAPTURED_TICKET 0x80000000u
cti_fault cti_capture_fault(const cti_ticket *t);
const cti_ticket *cti_captured_ticket(uint32_t number); /* or NULL */

/* Inner scopes of the library itself: no history leaves, nothing is reported. cti_scope_pop ends
 * the frame without touching the error state. */
ct_scope cti_scope_push(void);
void cti_scope_pop(ct_scope s);

/* True if s is open on this thread. */
bool cti_scope_is_open(ct_scope s);

/* Memory of the innermost scope, which ends with it; aligned for any type, undefined contents. NULL
 * with an error (no scope, memory). It comes from the pool of buffers. */
void *cti_scope_alloc(const char *function, size_t bytes);

/* Has a called when the innermost scope ends; false with an error if no scope is open. */
bool cti_scope_attach(const char *function, cti_attached *a);

/* Makes room for a live handle and pushes it; false with an error (no scope, memory). */
bool cti_push_live(const char *function, ct_tensor *t);

/* A thread's idle buffers, given back at its end. */
void cti_pool_free(ct_thread *th);

#endif
