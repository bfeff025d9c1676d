/* SPDX-License-Identifier: MIT */
/* backend.h - a device is a table of kernels. (internal)
 *
 * Ops are written once, for every device, over this table. CTI_SLOTS below is the only list of the
 * kernels. To add one:
 *     kernel_arguments.h  a documented struct of its arguments; recurrent layers have
 *                         recurrent_kernels.h
 *     this file           a line in CTI_INFERENCE_SLOTS, or in CTI_TRAINING_SLOTS
 *     tensor/cpu/X.c      cti_cpu_NAME, for the CPU
 *     cuda/X.cu           cu_NAME, for GPUs (X: the file of the same family)
 *     program_record.c    a line that records the kernel in a plan, or refuses it
 * The members of cti_backend, both tables and all prototypes are made from the list.
 *
 * Rules for all kernels:
 *  - Sizes, strides and leading dimensions count elements. A size may be 0; then nothing is done.
 *  - Arrays are row-major and contiguous. Exceptions: elementwise and copy take strides (those of
 *    copies may be negative); gemm takes transpositions and leading dimensions.
 *  - Outputs must not overlap inputs, unless the struct allows it.
 *  - Pointers are to memory of the device. "(optional)" means that a pointer may be NULL.
 *  - Arguments are read before the call returns.
 *
 * A device is synchronous (async is NULL: a kernel has run when it returns) or asynchronous: its
 * kernels run later, in the order of the calls. A kernel that can find a fault in its data takes a
 * cti_fault. On a synchronous device it returns the status and the first position that is wrong. On
 * an asynchronous device it returns CT_OK. When it runs later and finds a fault, it writes its
 * ticket and the position to the thread's fault word, unless the word holds an earlier fault. The
 * carry, clip_norm and update kernels do nothing while the word is set. The host reads and clears
 * the word when it next waits for the device (download, synchronise).
 *
 * A device other than the CPU is a plug-in: a module that exports cti_plugin_open and uses no
 * symbol of this library. If a kernel fails (a failed launch, no memory for scratch), it raises the
 * error through the host's table. */
#ifndef COTANGENT_TENSOR_BACKEND_H
#define COTANGENT_TENSOR_BACKEND_H

#include <stdbool.h>
#include <stdint.h>

#include <cotangent/tensor/tensor.h>

#include "tensor/dtypes.h"
#include "tensor/kernel_arguments.h"
#include "tensor/recurrent_kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- faults, and functions of asynchronous devices ---- */

typedef struct cti_fault {
    uint32_t ticket;  /* input: the number of the call, which increases on each thread */
    int64_t position; /* output */
} cti_fault;

/* Counts of a device's work since the process began. */
typedef struct cti_counters {
    uint64_t launches;         /* kernels, routines of the vendor, and graphs */
    uint64_t synchronisations; /* waits of the host for the device */
    uint64_t uploads, downloads;
    uint64_t upload_bytes, download_bytes;
    uint64_t allocations;
} cti_counters;

/* What is known of a device. */
typedef struct cti_about {
    /* everything on which the bits of results depend: its model, and the versions of its
     * libraries */
    char model[160];
    char place[40]; /* different for each device of a machine */
} cti_about;

/* The two queues of an asynchronous device. The work of each queue runs in order. */
typedef enum cti_queue {
    CTI_COMPUTE, /* all kernels, upload and download */
    CTI_COPIES   /* upload_ahead */
} cti_queue;

/* The functions of an asynchronous device. */
typedef struct cti_async {
    /* Waits for all of the device's work. Returns CT_OK, or the status of the fault word and its
     * content in *fault. Raises the device's own errors. */
    ct_status (*synchronise)(cti_fault *fault);

    /* record puts a mark into a queue. wait makes a queue pause until the mark has been passed. */
    void *(*event_new)(void); /* returns NULL with an error raised */
    void (*event_free)(void *event);
    void (*event_record)(void *event, cti_queue queue);
    void (*event_wait)(void *event, cti_queue queue);

    /* Like upload, but in the queue of copies. The host may change its memory as soon as the call
     * returns. */
    void (*upload_ahead)(void *device, const void *host, size_t bytes);

    /* Between begin and end, kernels of this thread are recorded instead of run; those of other
     * threads run as usual. replay runs the recorded kernels with the same addresses and numbers.
     * On failure they raise an error and return false or NULL. */
    bool (*capture_begin)(void);
    void *(*capture_end)(void);
    void (*replay)(void *graph);
    void (*graph_free)(void *graph);

    void (*counters)(cti_counters *counters);

    /* Fills in *about for the current device. On failure raises an error and returns false. */
    bool (*describe)(cti_about *about);

    /* For work of other libraries, which they queue themselves. stream returns the queue of kernels
     * in the type of the vendor, NULL with an error raised. event_done returns 1 if the event has
     * been passed, 0 if not, and -1 with an error raised. */
    void *(*stream)(void);
    int (*event_done)(void *event);
} cti_async;

/* ---- the table ---- */

/* SLOT(return type, name, parameters). A device must fill every slot; those for training are NULL in the
 * CPU's table of a library for inference only (inference_only.h). */
#define CTI_INFERENCE_SLOTS(SLOT)                                                                  \
    /* Makes device `ordinal` current for the following calls of this thread. */                   \
    SLOT(void, select, (int ordinal))                                                              \
    /* Returns NULL without an error if memory runs out: the caller may free some and retry. */    \
    SLOT(void *, allocate, (size_t bytes))                                                         \
    SLOT(void, release, (void *data, size_t bytes))                                                \
    /* Copies contiguous bytes to the device; the host may change its memory at once. */           \
    SLOT(void, upload, (void *device, const void *host, size_t bytes))                             \
    /* Copies to the host and waits for it. Returns as cti_async.synchronise does. */              \
    SLOT(ct_status, download, (void *host, const void *device, size_t bytes, cti_fault *fault))    \
    /* dst = src over a common shape, converted between any two dtypes (tensor/convert.h). */      \
    SLOT(void, copy, (int rank, const int64_t *dim, const cti_array *dst, const cti_array *src))   \
    /* A copy within one dtype that does nothing while the fault word is set. */                   \
    SLOT(void, carry, (int rank, const int64_t *dim, const cti_array *dst, const cti_array *src))  \
    /* Sets n elements of any dtype to value. */                                                   \
    SLOT(void, fill, (void *data, ct_dtype dtype, int64_t n, double value))                        \
    SLOT(void, arange, (const cti_arange_args *a))                                                 \
    SLOT(void, uniform, (const cti_draw_args *a))                                                  \
    SLOT(void, normal, (const cti_draw_args *a))                                                   \
    SLOT(void, dropout, (const cti_dropout_args *a))                                               \
    SLOT(void, randint, (const cti_randint_args *a))                                               \
    SLOT(ct_status, multinomial, (const cti_multinomial_args *a, cti_fault *fault))                \
    SLOT(ct_status, multinomial_keys, (const cti_multinomial_args *a, cti_fault *fault))           \
    SLOT(ct_status, check_elements, (const cti_check_args *a, cti_fault *fault))                   \
    SLOT(void, elementwise, (const cti_ew *e))                                                     \
    SLOT(void, gemm, (const cti_gemm *g))                                                          \
    SLOT(ct_status, conv, (const cti_conv *c))                                                     \
    SLOT(void, max_pool, (const cti_max_pool_args *a))                                             \
    SLOT(void, reduce, (const cti_reduce_args *a))                                                 \
    SLOT(void, cumsum, (const cti_cumsum_args *a))                                                 \
    /* out_i = log(exp(in_0) + ... + exp(in_i)), in double; f32 or f64; reverse is false. */       \
    SLOT(void, logcumsumexp, (const cti_cumsum_args *a))                                           \
    SLOT(void, linear_scan, (const cti_linear_scan_args *a))                                       \
    SLOT(void, running_extreme, (const cti_running_extreme_args *a))                               \
    SLOT(ct_status, gather_rows, (const cti_gather_rows_args *a, cti_fault *fault))                \
    SLOT(ct_status, scatter_add_rows, (const cti_scatter_add_rows_args *a, cti_fault *fault))      \
    SLOT(ct_status, one_hot, (const cti_one_hot_args *a, cti_fault *fault))                        \
    SLOT(ct_status, gather, (const cti_gather_args *a, cti_fault *fault))                          \
    SLOT(ct_status, scatter_add, (const cti_scatter_add_args *a, cti_fault *fault))                \
    SLOT(ct_status, scatter, (const cti_scatter_add_args *a, cti_fault *fault))                    \
    SLOT(void, sort, (const cti_sort_args *a))                                                     \
    SLOT(void, searchsorted, (const cti_searchsorted_args *a))                                     \
    SLOT(void, softmax, (const cti_softmax_args *a))                                               \
    SLOT(ct_status, cross_entropy, (const cti_cross_entropy_args *a, cti_fault *fault))            \
    SLOT(void, ctc, (const cti_ctc_args *a))                                                       \
    SLOT(ct_status, linear_cross_entropy,                                                          \
         (const cti_linear_cross_entropy_args *a, cti_fault *fault))                               \
    SLOT(ct_status, normalise, (const cti_normalise_args *a))                                      \
    SLOT(ct_status, attention, (const cti_attention_args *a))                                      \
    /* Computes h (and c, gates, hn) from the initial states. */                                   \
    SLOT(void, sequence, (const cti_sequence *s))                                                  \
    /* Computes a layer with its input, and its gradients. Optional: see cti_layer. */             \
    SLOT(ct_status, layer, (const cti_layer *l))

#define CTI_TRAINING_SLOTS(SLOT)                                                                   \
    SLOT(void, logcumsumexp_backward, (const cti_logcumsumexp_backward_args *a))                   \
    SLOT(void, linear_scan_backward, (const cti_linear_scan_backward_args *a))                     \
    SLOT(void, prod_backward, (const cti_prod_backward_args *a))                                   \
    SLOT(void, cross_entropy_backward, (const cti_cross_entropy_backward_args *a))                 \
    SLOT(ct_status, normalise_backward, (const cti_normalise_backward_args *a))                    \
    SLOT(ct_status, attention_backward, (const cti_attention_args *a))                             \
    /* Computes dx, dhx, dh0 and dc0 from the results of the forward kernel. */                    \
    SLOT(void, sequence_backward, (const cti_sequence *s))                                         \
    SLOT(ct_status, layer_backward, (const cti_layer *l))                                          \
    /* *out, on the device, becomes the sum of the squares of all gradients. */                    \
    SLOT(void, norm_squared, (const cti_segment *segments, int count, double *out))                \
    SLOT(ct_status, clip_norm, (const cti_clip_norm_args *a, cti_fault *fault))                    \
    SLOT(void, update, (const cti_update *u, const cti_segment *segments, int count))

#define CTI_SLOTS(SLOT) CTI_INFERENCE_SLOTS(SLOT) CTI_TRAINING_SLOTS(SLOT)

typedef struct cti_backend {
    uint32_t version, size; /* sizeof of this table, checked when a plug-in is opened */
    const char *name;
    const cti_async *async; /* (optional) NULL for a synchronous device */
#define CTI_SLOT_MEMBER(result, name, parameters) result(*name) parameters;
    CTI_SLOTS(CTI_SLOT_MEMBER)
#undef CTI_SLOT_MEMBER
} cti_backend;

#define CTI_BACKEND_VERSION 14

/* ---- plug-ins ---- */

/* The functions that the library gives to a plug-in. */
typedef struct cti_host {
    uint32_t version, size; /* CTI_BACKEND_VERSION and the size of this table */

    void *(*allocate)(size_t bytes); /* host memory; NULL if memory runs out */
    void (*release)(void *p);
    /* ct_raise: the thread keeps its first error; `function` is the name in the message */
    ct_status (*raise)(ct_status status, const char *function, const char *format, ...)
        CT_PRINTF(3, 4);
    bool (*ok)(void); /* true while no error is recorded */
} cti_host;

/* The data that a plug-in gives to the library. */
typedef struct cti_plugin {
    uint32_t version, size; /* CTI_BACKEND_VERSION and the size of this table */
    int devices;            /* their number; if it is 0, `reason` says why: "driver missing" */
    char reason[128];
    const cti_backend *backend; /* the table of kernels of all its devices */
} cti_plugin;

/* The only function that a plug-in exports. Called once; returns false if the host has another
 * version. */
typedef bool (*cti_plugin_open_function)(const cti_host *host, cti_plugin *plugin);
#define CTI_PLUGIN_SYMBOL "cti_plugin_open"

#define CTI_PLUGIN_DEVICES 16 /* the greatest number of devices of one plug-in */

/* The plug-ins: PLUGIN(name of the file and the device, name of the device in messages). */
#define CTI_PLUGINS(PLUGIN)                                                                        \
    PLUGIN("cuda", "CUDA device")                                                                  \
    PLUGIN("cuda-emu", "emulated CUDA device")

/* ---- for the library (device.c) ---- */

#define CTI_DEVICES 32 /* the greatest number of devices, with the CPU */

/* Returns the table of a device and makes the device current on this thread; NULL if there is no
 * such device. */
const cti_backend *cti_backend_of(ct_device device);

/* The faults that kernels find in their data. */
typedef enum cti_fault_kind {
    CTI_FAULT_INDEX,       /* an index that is not in 0..limit-1 */
    CTI_FAULT_TARGET,      /* a class index that is not in 0..limit-1 */
    CTI_FAULT_WEIGHTS,     /* a row of weights: a bad weight, or fewer than `limit` positive ones */
    CTI_FAULT_DIVISOR,     /* an integer divisor that is 0 */
    CTI_FAULT_PROBABILITY, /* a probability that is not in 0..1 */
    CTI_FAULT_NORM,        /* a norm that is not finite; limit is the number of the step, or 0 */
    CTI_FAULT_VALUE        /* a gradient that is not finite */
} cti_fault_kind;

/* Makes the cti_fault for a call of a kernel. Its ticket stores the data of a message: the public
 * function, the user's place, the limit. */
cti_fault cti_fault_at(ct_device device, cti_fault_kind kind, const char *function, int64_t limit);

/* Copy to the host, and wait for the device. If a fault was found, they raise its error and return
 * false. */
bool cti_to_host(ct_device device, void *host, const void *data, size_t bytes);
bool cti_synchronise(ct_device device);

/* Functions of the CPU's table, for the dispatch and its tests. */
extern const cti_backend cti_cpu_backend;

#ifdef __cplusplus
}
#endif

#endif
