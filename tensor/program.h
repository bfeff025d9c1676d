/* SPDX-License-Identifier: MIT */
/* program.h - a recorded program: the calls of CPU kernels that a function made, in order.
 * (internal)
 *
 *     p = cti_program_new(me);
 *     cti_program_begin(p);               from now on this thread's calls of kernels are recorded
 *     x = cti_program_input(p, ...);
 *     y = f(x);
 *     cti_program_output(p, y);
 *     cti_program_end(p);
 *     cti_program_finish(p);              plans the memory
 *     for (...) cti_program_run(p);
 *
 * While a function is recorded, its kernels run as usual, and no buffer that it allocates is
 * reused, so that an address identifies one buffer. finish() finds the first and the last use of
 * each buffer, gives each a place in one block of memory, and writes the new addresses to the
 * recorded arguments. run() calls the kernels. It allocates nothing, takes no lock and makes no
 * system call: the calling thread computes the products, and kernels take scratch memory from the
 * block.
 *
 * nn/plan.h is the public interface. nn/export.h writes a program as C. */
#ifndef COTANGENT_TENSOR_PROGRAM_H
#define COTANGENT_TENSOR_PROGRAM_H

#include "tensor/internal.h"

/* Kernels that can be recorded: RECORDED(slot, type of the arguments). */
#define CTI_RECORDED(RECORDED)                                                                     \
    RECORDED(copy, cti_copy_args)                                                                  \
    RECORDED(fill, cti_fill_args)                                                                  \
    RECORDED(upload, cti_upload_args)                                                              \
    RECORDED(arange, cti_arange_args)                                                              \
    RECORDED(elementwise, cti_ew)                                                                  \
    RECORDED(gemm, cti_gemm)                                                                       \
    RECORDED(conv, cti_conv)                                                                       \
    RECORDED(max_pool, cti_max_pool_args)                                                          \
    RECORDED(reduce, cti_reduce_args)                                                              \
    RECORDED(cumsum, cti_cumsum_args)                                                              \
    RECORDED(linear_scan, cti_linear_scan_args)                                                    \
    RECORDED(gather_rows, cti_gather_rows_args)                                                    \
    RECORDED(one_hot, cti_one_hot_args)                                                            \
    RECORDED(gather, cti_gather_args)                                                              \
    RECORDED(sort, cti_sort_args)                                                                  \
    RECORDED(softmax, cti_softmax_args)                                                            \
    RECORDED(normalise, cti_normalise_args)                                                        \
    RECORDED(sequence, cti_sequence)                                                               \
    RECORDED(layer, cti_layer)

typedef enum cti_recorded_slot {
#define CTI_RECORDED_ENTRY(slot, type) CTI_CALL_##slot,
    CTI_RECORDED(CTI_RECORDED_ENTRY)
#undef CTI_RECORDED_ENTRY
} cti_recorded_slot;

/* The arguments of slots whose functions take no struct. */
typedef struct cti_copy_args {
    int rank;
    int64_t dim[CT_MAX_RANK];
    cti_array dst, src;
} cti_copy_args;

typedef struct cti_fill_args {
    void *data;
    ct_dtype dtype;
    int64_t n;
    double value;
} cti_fill_args;

typedef struct cti_upload_args {
    void *to;
    const void *from; /* the bytes, which the program owns */
    size_t bytes;
} cti_upload_args;

/* A pointer among the arguments of a call. */
enum { CTI_READS = 1, CTI_WRITES = 2 };

typedef struct cti_reference {
    size_t member; /* the offset of the pointer in the arguments */
    int how;       /* CTI_READS, CTI_WRITES or both */
    int region;    /* the number of a buffer, or CTI_EXTERNAL + the number of an external array */
    size_t at;     /* the offset in the region, in bytes */
} cti_reference;

#define CTI_EXTERNAL (1 << 24)
#define CTI_MOST_REFERENCES 12

typedef struct cti_call {
    cti_recorded_slot slot;
    const char *site; /* the place in the user's program; may be NULL */
    union {
#define CTI_RECORDED_MEMBER(slot, type) type slot;
        CTI_RECORDED(CTI_RECORDED_MEMBER)
#undef CTI_RECORDED_MEMBER
    } args;
    int references;
    cti_reference reference[CTI_MOST_REFERENCES];
} cti_call;

/* Memory that the recorded function allocated. */
typedef struct cti_program_buffer {
    ct_storage *storage; /* a reference during the recording; NULL later */
    const char *data;    /* its address during the recording */
    size_t bytes;
    bool fixed;      /* true for an input, an output or a state, which never shares its place */
    bool written;    /* true for an input, and if a call writes it */
    int first, last; /* the first and the last call that uses its values; -1 if no call does */
    size_t at;       /* its place in the block */
} cti_program_buffer;

/* Memory of a parameter. The program holds a reference to its storage. */
typedef struct cti_external {
    const char *name;
    ct_storage *storage;
    const char *data;
    size_t bytes;
    ct_dtype dtype;
} cti_external;

typedef struct cti_program {
    const char *me;   /* the function that errors name */
    const char *site; /* its place in the user's program; may be NULL */
    cti_call *calls;
    size_t call_count, call_room;
    cti_program_buffer *buffers;
    size_t buffer_count, buffer_room;
    cti_external *externals;
    size_t external_count, external_room;
    void **constants; /* the bytes that upload calls copy */
    size_t constant_count, constant_room;
    char *block; /* the buffers, then the scratch memory of the kernels */
    size_t bytes, scratch;
    bool recording, portable;
} cti_program;

/* Makes an empty program. Errors name the function `me`. Returns NULL with CT_ERR_MEMORY. */
cti_program *cti_program_new(const char *me);
void cti_program_free(cti_program *p);

/* Start and end the recording of this thread. cti_program_begin fails if the thread is already
 * recording. */
bool cti_program_begin(cti_program *p);
void cti_program_end(cti_program *p);

/* Makes a tensor of zeros in the innermost scope. Its buffer keeps its place. Returns NULL with
 * an error. */
ct_tensor *cti_program_input(cti_program *p, ct_shape shape, ct_dtype dtype, int *buffer);

/* Registers the memory of a tensor under a name. The string must live as long as the program. */
bool cti_program_external(cti_program *p, const char *name, const ct_tensor *t);

/* Returns the buffer of the values of t, which keeps its place. It is a copy if t is not
 * contiguous, is an input or an external array, or shares its buffer with another output.
 * Returns -1 with an error. */
int cti_program_output(cti_program *p, ct_tensor *t);

/* Plans the memory and runs the program once. False with an error. */
bool cti_program_finish(cti_program *p);

/* Replaces products with one-hot vectors by look-ups in tables of the products, if there are few
 * tokens. cti_program_finish calls it (program_tables.c). */
void cti_program_make_tables(cti_program *p);

/* Runs all calls. CT_ERR_INDEX for an index out of range. */
ct_status cti_program_run(cti_program *p);

/* The address of a buffer. */
void *cti_program_data(const cti_program *p, int buffer);

/* ---- for the recording table (program_record.c) ---- */

/* The table of kernels that records what it runs. */
extern const cti_backend cti_recording_backend;

/* The program that this thread records; NULL if none. */
static inline cti_program *cti_program_recorded(void)
{
    return cti_current ? cti_current->program : NULL;
}

/* Appends a call. The caller fills in its arguments and then calls cti_program_refer. Returns
 * NULL after an error. */
cti_call *cti_program_add(cti_program *p, cti_recorded_slot slot);
void cti_program_refer(cti_program *p, cti_call *c);

/* Raises the error about a function that cannot be recorded: "... draws random numbers". */
void cti_program_refuse(cti_program *p, const char *why);

/* Called for each buffer that is allocated while the thread records. */
void cti_program_note_storage(cti_program *p, ct_storage *s, size_t bytes);

/* ---- for kernels, while a program runs ---- */

/* The scratch memory of a running program. */
typedef struct cti_running {
    char *room;
    size_t size, used;
    /* measures is true in the first run. most is then the greatest need so far, and blocks is
     * the list of the allocated blocks. */
    bool measures;
    size_t most;
    void *blocks;
    bool failed;       /* true if memory ran out in the first run */
    bool blas;         /* true if BLAS computed a product */
    const char *where; /* the place of the call of that product; may be NULL */
} cti_running;

/* The program that this thread runs; NULL if none. Kernels then use only this thread. */
extern _Thread_local cti_running *cti_run_now CTI_THREAD_VARIABLE;

/* A storage in the scratch memory. It replaces one of the pool. Returns NULL if there is no
 * room. */
ct_storage *cti_running_storage(cti_running *r, size_t bytes);

#endif
