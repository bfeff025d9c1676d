/* SPDX-License-Identifier: MIT */
/* internal.h - the struct of a tensor, and the thread's stacks, which scopes mark. (internal) */
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
#include "tensor/dtypes.h"
#include "tensor/handle.h"
#include "tensor/inference_only.h"

typedef struct ct_node ct_node;
typedef struct cti_pool cti_pool;

/* Drops a reference and returns true if it was the last. If the count is 1, no other thread has a
 * reference, so no locked instruction is needed. */
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

/* Autograd's data of a leaf: its gradient and hooks. Freed with the tensor. */
typedef struct cti_leaf {
    void (*free)(struct cti_leaf *leaf);
} cti_leaf;

/* ---- storage: counted bytes on a device, pooled by size class (storage.c) ---- */

/* Flags of memory that the pool does not own (blob.c). */
enum {
    CTI_FOREIGN = 1,
    CTI_FOREIGN_CONSTANT = 2, /* in-place writes are refused */
    CTI_FOREIGN_BORROWED = 4, /* until a scope ends: what is to outlive it must be a copy */
    CTI_FOREIGN_SCRATCH = 8   /* of a running program (program.h), which frees it */
};

typedef struct ct_storage {
    atomic_int refs;
    atomic_uint version; /* the number of in-place writes */
    ct_device device;
    int size_class;
    size_t bytes; /* the capacity of the buffer: the size of its class */
    void *data;
    const char *written_at; /* the place of the last in-place write, for messages */
    /* the number of hooks that are reading it; in-place writes are refused while it is not 0 */
    int read_only;
    int foreign; /* 0, or the bits CTI_FOREIGN...; then home is NULL */
    void (*deleter)(void *data, void *context); /* frees foreign memory; NULL for other memory */
    void *context;
    cti_pool *home; /* the pool of the thread that allocated it, while it is in use */
    struct ct_storage *next;
    /* lazy_rows.c: while indices is not NULL, the memory is not filled yet. It will be filled with
     * the rows of table at these indices. Both are references. */
    _Atomic(struct ct_tensor *) indices;
    struct ct_tensor *table; /* NULL stands for one-hot rows */
    ct_dtype row_dtype;
    int64_t row_width;
} ct_storage;

/* Returns a buffer of at least `bytes` bytes with one reference; NULL with CT_ERR_MEMORY. */
ct_storage *cti_storage_new(ct_device device, size_t bytes);
/* like cti_storage_new, but raises no error */
ct_storage *cti_storage_try(ct_device device, size_t bytes);
void cti_storage_ref(ct_storage *s);

/* Returns a storage over foreign memory on the CPU, with one reference and without a deleter; NULL,
 * without an error, if memory runs out. */
ct_storage *cti_storage_foreign(void *data, size_t bytes, int foreign);

/* Replaces borrowed memory by a copy that belongs to the storage; false with CT_ERR_MEMORY. */
bool cti_storage_own(const char *function, ct_storage *s);
void cti_storage_unref(ct_storage *s);

/* A separate pool of this thread. A captured step uses it in place of th->pool. Buffers from it
 * return to it alone, and it keeps them until it is closed. NULL with an error. */
cti_pool *cti_pool_own(void);
void cti_pool_close(cti_pool *pool);
size_t cti_pool_live(const cti_pool *pool); /* bytes in use */

/* ---- tensors (tensor.c, create.c, access.c) ---- */

/* Names the owner of a tensor, who frees it, for messages. NULL means the scope in which it was
 * made. */
extern const char cti_owner_user[];   /* the caller, by ct_free */
extern const char cti_owner_params[]; /* a parameter set */
extern const char cti_owner_state[];  /* an owned ct_state */

/* Reference-counted. The live stack, or the owner, holds one reference; nodes that save the tensor
 * and gradient slots hold others. The handle is dead once its owner has released it, but nodes may
 * keep the tensor longer. The members that every op reads are in the first 64 bytes: one cache
 * line. */
struct ct_tensor {
    cti_handle handle;
    atomic_int refs;
    ct_dtype dtype;
    ct_storage *storage;
    /* history: the node that computed it, and its number among the node's outputs; NULL for a
     * leaf */
    ct_node *node;
    ct_device device;
    bool contiguous;
    /* true for a leaf that requires a gradient and for every result with history */
    bool requires_grad;
    const char *owner;
    int64_t offset; /* elements */
    int64_t numel;
    size_t node_at; /* the node's place on the tape, */
    int node_scope; /* and the depth of the scope that holds it */
    int output;
    cti_leaf *leaf;     /* a leaf's gradient and hooks (autograd.c); NULL until needed */
    ct_tensor *indices; /* if ct_one_hot made it: the indices, a reference */
    ct_shape shape;
    int64_t stride[CT_MAX_RANK];
};

/* Makes a tensor of the innermost scope with undefined values; function names the caller in
 * errors. cti_view shares t's storage. */
ct_tensor *cti_new(const char *function, ct_shape shape, ct_dtype dtype, ct_device device);
ct_tensor *cti_view(const char *function, const ct_tensor *t, ct_shape shape, const int64_t *stride,
                    int64_t offset);

/* Makes a tensor of the innermost scope over s. Takes over the caller's reference to s, also if it
 * fails. */
ct_tensor *cti_new_over(const char *function, ct_storage *s, const ct_shape *shape,
                        const int64_t *stride, ct_dtype dtype);

/* Makes a tensor of the innermost scope whose elements are all value. */
ct_tensor *cti_filled(const char *function, ct_shape shape, double value, ct_dtype dtype,
                      ct_device device);

/* A new handle of the innermost scope on t, with t's history and leaf state. */
ct_tensor *cti_alias(ct_tensor *t);

static inline void cti_ref(ct_tensor *t)
{
    atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
}
void cti_unref(ct_tensor *t);

/* cti_keep makes an owned handle, without history, on t's storage, or on a copy if t's memory is
 * borrowed. cti_free frees an owned handle. */
ct_tensor *cti_keep(const char *function, const ct_tensor *t, const char *owner);
void cti_free(const char *function, ct_tensor *t);

static inline bool cti_is_dead(const ct_tensor *t)
{
    return cti_handle_is_dead(&t->handle);
}

/* Raises the error about an argument that is NULL or dead, and returns false. Raises none for a
 * NULL while an error is recorded, so that expressions need no checks. */
bool cti_refuse_tensor(const char *function, const char *name, const ct_tensor *t);

/* Each public function checks each of its tensors with one of these; they raise an error and return
 * false. name is the argument's name in the header; cti_usable takes it from the variable. An
 * optional argument may be NULL. The checks of arrays name the entry: "parts[2]". */
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

/* Raises the error about an argument that is NULL, unless an error is recorded. Returns false. */
bool cti_refuse_null(const char *function, const char *name);

/* Checks a required pointer other than a tensor: true if p is not NULL. Otherwise returns false,
 * and raises an error unless one is recorded. */
static inline bool cti_given(const char *function, const char *name, const void *p)
{
    return p || cti_refuse_null(function, name);
}

/* Checks an array of count entries. It may be NULL if count is 0. */
static inline bool cti_given_array(const char *function, const char *name, int64_t count,
                                   const void *p)
{
    return p || count <= 0 || cti_given(function, name, p);
}

/* For functions that accept NULL: true for a tensor, false without an error for NULL, and false
 * with an error for a dead tensor. */
static inline bool cti_present(const char *function, const ct_tensor *t)
{
    return t && (!cti_is_dead(t) || cti_refuse_tensor(function, "t", t));
}

/* cti_lazy_rows_fill fills a storage with its lazy rows. cti_lazy_rows_drop drops them without
 * filling, when the storage is freed. */
void cti_lazy_rows_fill(ct_storage *s);
void cti_lazy_rows_drop(ct_storage *s);

/* The address of t's first element. Fills lazy rows first. */
static inline char *cti_data(const ct_tensor *t)
{
    if (atomic_load_explicit(&t->storage->indices, memory_order_acquire))
        cti_lazy_rows_fill(t->storage);
    return (char *)t->storage->data + t->offset * (int64_t)cti_dtypes[t->dtype].size;
}

/* Makes y, new and contiguous, the rows of table at indices, or one-hot rows of y's last size if
 * table is NULL. On the CPU, y is lazy: cti_data fills it on first access. Until then, table and
 * indices must not be written. Returns CT_ERR_INDEX, without raising it, and sets fault->position
 * if an index is out of range. */
ct_status cti_lazy_rows_set(ct_tensor *y, ct_tensor *table, ct_tensor *indices, cti_fault *fault);

/* True if x consists of the lazy rows of one table, not filled yet. Then *table and *indices are
 * handles of the innermost scope. */
bool cti_lazy_rows_get(const ct_tensor *x, ct_tensor **table, ct_tensor **indices);

/* Returns t if it is contiguous, else a copy without history. */
ct_tensor *cti_contiguous(const ct_tensor *t);

/* Copies src to dst, of any strides and dtypes but the same shape and device. Checks nothing and
 * counts no write. */
void cti_copy(ct_tensor *dst, const ct_tensor *src);

/* Copies src to dst, which is contiguous, across devices if need be. src may have any strides;
 * shape and dtype are the same. False with an error. */
bool cti_copy_across(const char *function, ct_tensor *dst, const ct_tensor *src);

/* Like ct_copy_into, but does nothing if the device has found a fault in an earlier op. */
ct_status cti_carry_into(const char *function, ct_tensor *t, const ct_tensor *src);

/* Checks that the rank is in 0..CT_MAX_RANK; otherwise raises CT_ERR_SHAPE and returns false. Call
 * it before reading the sizes of a user's shape. */
bool cti_rank_check(const char *function, const ct_shape *shape);

/* Fills in the strides of a new contiguous tensor. Returns the number of elements, or -1 with an
 * error for a bad shape. */
int64_t cti_shape_check(const char *function, const ct_shape *shape, ct_dtype dtype);
void cti_row_major(const ct_shape *shape, int64_t *stride);

static inline bool cti_same_shape(const ct_shape *a, const ct_shape *b)
{
    int i;

    if (a->rank != b->rank)
        return false;
    for (i = 0; i < a->rank; i++)
        if (a->dim[i] != b->dim[i])
            return false;
    return true;
}

/* Turns an axis, which may be negative, into 0..rank-1. Returns -1 with CT_ERR_SHAPE if t does not
 * have it. */
int cti_axis(const char *function, const ct_tensor *t, int axis);

/* cti_may_write checks that the rules allow an in-place write of t; false with an error.
 * cti_mark_written records a write: it increments the version and drops one-hot indices. */
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

/* Raise an error about two arguments, whose names are an and bn, and return false. */
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

bool cti_want_float(const char *function, const char *name, const ct_tensor *t);
bool cti_want_index(const char *function, const char *name, const ct_tensor *t);

/* The value of a real option: 0 stands for its default, CT_ZERO for 0. */
static inline double cti_option(double value, double default_value)
{
    return value == 0 ? default_value : value == CT_ZERO ? 0 : value;
}

/* ---- the thread (scope.c, status.c) ---- */

/* Values in the place of parameters (autograd/params/bind.c). */
typedef struct cti_binding cti_binding;

typedef struct cti_frame {
    uint64_t id;
    size_t live, tape;
    struct cti_attached *attached;
    const cti_binding *bindings;
    unsigned error_serial;
    bool recording, inference;
} cti_frame;

/* An object that ends with a scope: `end` is called when the scope ends, for the newest first. */
typedef struct cti_attached {
    void (*end)(struct cti_attached *a, const char *function);
    struct cti_attached *next;
} cti_attached;

/* The only generator from which a function may draw while it runs under activation checkpointing,
 * which runs it again later. g == NULL forbids all draws. */
typedef struct cti_draws {
    const ct_generator *g;
    const char *function; /* for the error */
    const struct cti_draws *outer;
} cti_draws;

typedef struct ct_thread {
    /* the call in the user's program, "train.c:41: ct_add"; NULL outside of calls with a site */
    const char *site;
    /* while cti_tracing: when the call began, or when the previous op of the call ended */
    uint64_t op_began;

    ct_status error;
    unsigned error_serial; /* counts errors and refused side effects */
    bool error_closed;
    bool quiet; /* errors are recorded, but the handler is not called: another thread raises them */

    const cti_draws *draws; /* NULL: any generator may draw */
    uint64_t scopes;        /* the number of scopes that the thread has opened */
    bool recording;
    bool inference; /* a scope of ct_scope_begin_inference is open: dropout is off */
    /* false with COTANGENT_POOL=0: buffers and nodes are freed instead of kept for reuse */
    bool keeps_idle;
    uint32_t id;

    cti_frame *frames;
    int depth, frame_room;
    ct_tensor **live;
    size_t live_count, live_room;
    cti_attached *attached;
    const cti_binding *bindings; /* a chain, the newest first; NULL: none */
    ct_node **tape;
    size_t tape_count, tape_room;

    /* Set by autograd when it records its first node. tape_pop pops the tape down to a mark;
     * tape_free frees autograd's data of the thread. */
    void (*tape_pop)(struct ct_thread *th, size_t mark);
    void (*tape_free)(struct ct_thread *th);
    void *node_pool;
    struct cti_pass *pass; /* the running backward pass; NULL if none is */

    cti_handles handles[CTI_HANDLE_KINDS];
    struct cti_tickets *tickets;  /* the calls in which an asynchronous device may report a fault */
    struct ct_capture *capturing; /* the captured step that is running; NULL if none is */
    struct ct_capture *captured;  /* the list of all captured steps of the thread */
    struct cti_program *program;  /* the program that is recorded (program.h); NULL if none is */
    uint32_t captured_tickets;
    /* the world of loops that were given none (train/world_shards.c), and the function that frees it */
    void *world;
    void (*world_free)(void *world);
    char *message; /* the message of the recorded error (status.c); NULL before the first */
    cti_pool *pool;
    ct_memory_stats memory; /* live_bytes is computed from the pool */
} ct_thread;

/* For thread-local variables that each op reads some twenty times. In a shared library, the
 * initial-exec model makes each read a load instead of a call of __tls_get_addr. In a program that
 * opens the library with dlopen, all thread-local variables of the library (LIBXSMM's too) then take
 * room that the C library reserves, about 1,600 bytes in glibc. So they must stay few and small;
 * tests/unload.sh fails if they do not fit. Other C libraries (musl) reserve nothing and would refuse
 * the library. */
#ifdef __GLIBC__
#define CTI_THREAD_VARIABLE __attribute__((visibility("hidden"), tls_model("initial-exec")))
#else
#define CTI_THREAD_VARIABLE __attribute__((visibility("hidden")))
#endif

/* The calling thread; NULL before its first call. */
extern _Thread_local ct_thread *cti_current CTI_THREAD_VARIABLE;
ct_thread *cti_thread_start(void);

static inline ct_thread *cti_thread(void)
{
    ct_thread *th = cti_current;

    return th ? th : cti_thread_start();
}

/* True while no error is recorded. */
static inline bool cti_ok(void)
{
    return cti_thread()->error == CT_OK;
}

/* True if the environment asks for traces of ops (autograd/trace.h). */
extern bool cti_tracing;

/* If not NULL: called at the end of the process, before the memory of its last thread is freed. */
extern void (*cti_at_end)(void);

/* A monotonic clock. */
uint64_t cti_nanoseconds(void);

/* True while no error is recorded. Otherwise counts one refused side effect and returns false. */
bool cti_sink_allowed(void);

/* Checks that v >= least; otherwise raises CT_ERR_ARGUMENT: "steps is 0; it must be at least 1". */
bool cti_at_least(const char *function, const char *name, int64_t v, int64_t least);

/* Like ct_raise, but the message always names `function`, after the site, unless the site already
 * has that name. For errors of an inner function, such as an op that backward runs. */
ct_status cti_raise_within(ct_status status, const char *function, const char *format, ...)
    CT_PRINTF(3, 4);

/* The length of site without the name of its function, if that is `function` or one of those with
 * which a user writes an op (ct_record, ct_node_input, ...). Otherwise the whole length. */
int cti_site_length(const char *site, const char *function);

/* Raises CT_ERR_MEMORY. */
void cti_out_of_memory(const char *function, size_t bytes);

/* Makes room for one more entry in a growing array. False with CT_ERR_MEMORY, which names
 * `function`. */
bool cti_grow_full(const char *function, void **array, size_t *room, size_t entry);

static inline bool cti_grow(const char *function, void **array, size_t *room, size_t count,
                            size_t entry)
{
    return count < *room || cti_grow_full(function, array, room, entry);
}

/* ---- captured steps (capture.c) ---- */

/* Raises an error and returns false if a captured step is running on device. `what` names what such
 * a step must not do: "read a value". */
bool cti_capture_allows(ct_device device, const char *function, const char *what);

/* True while kernels are recorded instead of run. */
bool cti_capture_noting(void);

/* Reserves `count` doubles in device memory that renew(context, numbers) rewrites before every
 * replay. context is copied. renew returns false with an error. Returns NULL while nothing is
 * recorded: the caller then uses its own numbers. The caller must call this in every run, because
 * the rehearsal run counts the numbers to size the memory. */
const double *cti_capture_numbers(size_t count, bool (*renew)(void *context, double *numbers),
                                  const void *context, size_t bytes);

/* The number of the first whole block of four words at or after g's position. */
static inline uint64_t cti_next_block(const ct_generator *g)
{
    return (g->position + 3) / 4;
}

/* Takes words from g, beginning with a whole block, and advances g past them. Returns the position
 * of the first (random.c). */
cti_position cti_generator_take(ct_generator *g, uint64_t words, ct_device device);

/* While kernels are recorded on device: makes *from relative to g's position before each replay. */
void cti_capture_draws(ct_generator *g, ct_device device, cti_position *from);

/* The data for the message of a fault (device.c). */
typedef struct cti_ticket {
    uint32_t number;
    cti_fault_kind kind;
    const char *function, *site;
    int64_t limit;
} cti_ticket;

/* Tickets of recorded calls are kept with their captured step, because they are used by every
 * replay. Their numbers have this bit. */
#define CTI_CAPTURED_TICKET 0x80000000u
cti_fault cti_capture_fault(const cti_ticket *t);
const cti_ticket *cti_captured_ticket(uint32_t number); /* NULL if there is none */

/* Scopes inside the library. They do not check whether history leaves the scope, and report no
 * error. cti_scope_pop ends the scope and leaves the error state as it is. */
ct_scope cti_scope_push(void);
void cti_scope_pop(ct_scope s);

/* True if s is open on this thread. */
bool cti_scope_is_open(ct_scope s);

/* Allocates memory that the innermost scope frees; aligned for any type, contents undefined. NULL
 * with an error (no scope, no memory). The memory comes from the pool of buffers. */
void *cti_scope_alloc(const char *function, size_t bytes);

/* Registers a, so that a->end is called when the innermost scope ends. False with an error if no
 * scope is open. */
bool cti_scope_attach(const char *function, cti_attached *a);

/* Pushes t on the stack of live tensors. False with an error (no scope, no memory). */
bool cti_push_live(const char *function, ct_tensor *t);

/* Frees a thread's idle buffers when the thread ends. */
void cti_pool_free(ct_thread *th);

#endif
