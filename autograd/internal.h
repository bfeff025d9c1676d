/* internal.h - the tape, and what ops and modules of the library share. (internal) */
#ifndef COTANGENT_AUTOGRAD_INTERNAL_H
#define COTANGENT_AUTOGRAD_INTERNAL_H

#include "tensor/internal.h"

#include <cotangent/autograd/autograd.h>
#include <cotangent/autograd/op.h>
#include <cotangent/autograd/params/params.h>
#include <cotangent/autograd/params/state_dict.h>
#include <cotangent/tensor/safetensors.h>

/* ---- the tape (autograd.c, leaf.c, backward.c; engine.h) ---- */

typedef struct cti_hook {
    ct_grad_hook call;
    void *context;
    void (*free_context)(void *context); /* or NULL */
    int output;
    int running;  /* calls of it that have not returned: it must stay in its list */
    bool removed; /* it leaves the list when the last of them returns */
    struct cti_hook *next;
} cti_hook;

typedef struct cti_edge {
    ct_tensor *tensor; /* a reference: saved, or wanted for its place in history; or NULL */
    unsigned version;
    bool wants; /* a gradient */
} cti_edge;

struct ct_node {
    const ct_op *op;
    const char *site;
    size_t bytes; /* of the whole node */
    int inputs, outputs;
    cti_edge *in, *out;    /* out: saved outputs */
    ct_tensor **grad;      /* a slot an output: references */
    int pending;           /* slots filled, */
    struct cti_pass *pass; /* by this pass */
    bool marked;           /* leads to a wanted input (ct_grad) */
    cti_hook *hooks;
    void *attributes;
    ct_node *next_free;
};

/* ct_grad without its checks, over history from number bottom of the tape on: what is older counts
 * as a leaf. grads (all NULL before) stay NULL where nothing came. */
void cti_grad(size_t bottom, int outputs_count, ct_tensor *const *outputs, int inputs_count,
              ct_tensor *const *inputs, ct_tensor *const *grad_outputs, bool create_graph,
              ct_tensor **grads);

/* True for a leaf that requires a gradient and for a result whose history is on this thread's tape;
 * else false with an error. */
bool cti_check_history(const char *function, const char *name, const ct_tensor *t);

/* True while a pass runs; while one runs whose results have history. */
bool cti_in_pass(void);
bool cti_creates_graph(void);

/* ---- for ops ---- */

/* A window into a tensor: shape, strides and offset in elements. */
typedef struct cti_window {
    ct_shape shape;
    int64_t stride[CT_MAX_RANK];
    int64_t offset;
} cti_window;

/* Adds d to a window of the gradient of input i. Without recording, no padded copy of d is made. w
 * is a window into a row-major tensor of the input's shape; its elements must not share memory.
 * scatter does the same by ops, for gradients of gradients: it returns a tensor of the input's
 * shape that is d in the window and 0 elsewhere. */
void cti_add_grad_window(ct_node *n, int i, const cti_window *w, ct_tensor *d,
                         ct_tensor *(*scatter)(ct_node *n, ct_tensor *d));

/* True if ct_record would record an op on these inputs. A forward that has to keep something for
 * backward only asks this first. */
bool cti_will_record(int inputs_count, ct_tensor *const *inputs);

/* Shows an op to the tracer that is never recorded, because its result has no derivative. ct_record
 * does this for all others. */
void cti_not_recorded(const char *name, int inputs_count, ct_tensor *const *inputs, ct_tensor *y);

/* out = op(in...; param), with the inputs broadcast to the shape of out. No checks, no history. */
void cti_elementwise(cti_ew_op op, ct_tensor *out, int inputs, const ct_tensor *const *in,
                     const double *param);

/* Broadcasts two shapes into *out. Returns -1, or the axis of the result on which they do not fit;
 * cti_no_broadcast raises the error about that axis. an and bn are the names of a and b in the
 * message. */
int cti_broadcast_shapes(const ct_shape *a, const ct_shape *b, ct_shape *out);
void cti_no_broadcast(const char *function, const char *an, const ct_tensor *a, const char *bn,
                      const ct_tensor *b, int axis);

/* Both for the operands a and b of an op; false with an error. */
bool cti_broadcast(const char *function, const ct_tensor *a, const ct_tensor *b, ct_shape *out);

/* Splits a shape at an axis: shape is (outer, n, inner). */
void cti_split_axis(const ct_shape *shape, int axis, int64_t *outer, int64_t *inner);

/* The indices from which ct_one_hot made x, if x still has those values; otherwise NULL. */
ct_tensor *cti_one_hot_of(const ct_tensor *x);

/* ct_embedding of a table and indices that nobody else writes. The rows are lazy (lazy_rows.c). */
ct_tensor *cti_lazy_gather(ct_tensor *table, ct_tensor *indices);

/* True if x, weight and bias (or NULL) fit ct_linear; else false with an error. */
bool cti_linear_check(const char *function, const ct_tensor *x, const ct_tensor *weight,
                      const ct_tensor *bias);

/* ct_gather, with the name of the function that errors show. */
ct_tensor *cti_gather(const char *function, ct_tensor *x, int axis, ct_tensor *index);

/* The gradient of a leaf itself, not a view of it; contiguous. NULL if there is none. */
ct_tensor *cti_leaf_grad(const ct_tensor *leaf);

/* ---- parameter sets, for loading (params.c, state_dict.c) ---- */

/* A copy of name in which the first prefix of map that fits is replaced. The caller releases it.
 * NULL with CT_ERR_MEMORY. map is that of ct_load_options.rename, or NULL. */
char *cti_rename_prefix(const char *function, const ct_prefix *map, const char *name);

/* ct_params_load from a file that is open: all or nothing. path is for messages. */
ct_status cti_params_load_file(ct_params *set, ct_safetensors *file, const char *path,
                               ct_load_options options);

/* The prefix of the names in set: "" for a whole set, "decoder." for a part. */
const char *cti_params_prefix(const ct_params *set);

bool cti_param_is_buffer(const ct_param *p);

/* The entry that holds the value of p: p, or the entry that p is tied to. */
const ct_param *cti_param_real(const ct_param *p);

/* Of the names of one value that are in set, one stands for the value, so that nothing counts or
 * updates it twice: the first name if it is in set, else the one that was registered first. True if
 * that is entry i; and if the value is trained, too. */
bool cti_params_stands(const ct_params *set, int i);
bool cti_params_trains(const ct_params *set, int i);

/* Freezes the parameter of p's value or trains it again, as ct_params_freeze does. Its gradient is
 * dropped. */
void cti_param_freeze(ct_param *p, bool frozen);

/* The number of ties made in the whole set: what was found out about names holds while it stays. */
int cti_params_ties(const ct_params *set);

/* True if p has the shape, or is lazy and can be given it. */
bool cti_param_fits(const ct_param *p, const ct_shape *shape);

/* An owned handle on the storage of t that can become the value of the lazy p; NULL with
 * CT_ERR_MEMORY. */
ct_tensor *cti_param_leaf(const ct_param *p, ct_tensor *t);

/* Guards the shapes and values of the set while entries are materialized. */
void cti_params_lock(ct_params *set);
void cti_params_unlock(ct_params *set);

/* Sets the value of p to value, which fits. Copies it; if p is lazy, p takes *leaf instead, which
 * shares the storage of value, and *leaf becomes NULL. Cannot fail. Call it under the lock. */
void cti_param_put(ct_param *p, const ct_tensor *value, ct_tensor **leaf);

#endif
