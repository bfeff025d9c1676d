/* SPDX-License-Identifier: MIT */
/* internal.h - the tape, and functions that ops and modules of the library share. (internal) */
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
    int running;  /* running calls of the hook; while it is not 0, the hook stays in its list */
    bool removed; /* the hook was removed; it leaves the list when its last call has returned */
    struct cti_hook *next;
} cti_hook;

typedef struct cti_edge {
    ct_tensor *tensor; /* a reference, if the tensor is saved or the input needs a gradient;
                        * otherwise NULL */
    unsigned version;
    bool wants; /* the input needs a gradient */
} cti_edge;

struct ct_node {
    const ct_op *op;
    const char *site;
    size_t bytes; /* the size of the whole node */
    int inputs, outputs;
    cti_edge *in, *out;    /* the saved outputs */
    ct_tensor **grad;      /* one slot for each output: references to gradients */
    int pending;           /* the number of slots that `pass` has filled */
    struct cti_pass *pass; /* the pass that has filled them */
    bool marked;           /* on a path to an input of ct_grad */
    cti_hook *hooks;
    void *attributes;
    ct_node *next_free;
};

/* ct_grad without its checks, over the tape from position `bottom` on: older tensors count as
 * leaves. The caller sets all grads to NULL; an input that no gradient reaches keeps NULL. */
void cti_grad(size_t bottom, int outputs_count, ct_tensor *const *outputs, int inputs_count,
              ct_tensor *const *inputs, ct_tensor *const *grad_outputs, bool create_graph,
              ct_tensor **grads);

/* True for a leaf that requires a gradient and for a result whose history is on this thread's tape.
 * Otherwise raises an error and returns false. */
bool cti_check_history(const char *function, const char *name, const ct_tensor *t);

/* cti_in_pass: a backward pass is running. cti_creates_graph: a pass is running whose results have
 * history. */
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
 * scatter is used while recording: it returns a tensor of the input's shape that is d in the window
 * and 0 elsewhere, computed by ops. */
void cti_add_grad_window(ct_node *n, int i, const cti_window *w, ct_tensor *d,
                         ct_tensor *(*scatter)(ct_node *n, ct_tensor *d));

/* True if ct_record would record an op on these inputs. A forward function that keeps data only for
 * backward calls this first. */
bool cti_will_record(int inputs_count, ct_tensor *const *inputs);

/* Reports an op without a derivative to the tracer. For other ops, ct_record does this. */
void cti_not_recorded(const char *name, int inputs_count, ct_tensor *const *inputs, ct_tensor *y);

/* out = op(in...; param), with the inputs broadcast to the shape of out. No checks, no history. */
void cti_elementwise(cti_ew_op op, ct_tensor *out, int inputs, const ct_tensor *const *in,
                     const double *param);

/* Broadcasts two shapes into *out. Returns -1, or the axis of the result on which they disagree;
 * cti_no_broadcast raises the error about that axis. an and bn are the names of a and b in the
 * message. */
int cti_broadcast_shapes(const ct_shape *a, const ct_shape *b, ct_shape *out);
void cti_no_broadcast(const char *function, const char *an, const ct_tensor *a, const char *bn,
                      const ct_tensor *b, int axis);

/* Broadcasts the operands a and b of an op and raises the error if they disagree; false with an
 * error. */
bool cti_broadcast(const char *function, const ct_tensor *a, const ct_tensor *b, ct_shape *out);

/* True if all of y, a contiguous tensor, lie in low..high; false where y cannot be read: on an
 * asynchronous device, and while a program is recorded. */
bool cti_all_within(const ct_tensor *y, double low, double high);

/* Returns, without history, the power of two of each row of x after whose product with the row no
 * square and no sum of squares overflows or underflows: 1 for rows of ordinary numbers, and for rows
 * with an infinity or NaN. A row is what lies along the axes of the mask; these axes are kept. */
ct_tensor *cti_factor_of_rows(ct_tensor *x, int mask);

/* Views a shape as (outer, n, inner), where n is the size of an axis. */
void cti_split_axis(const ct_shape *shape, int axis, int64_t *outer, int64_t *inner);

/* Returns the indices from which ct_one_hot made x; NULL if another op made x or x was written
 * since. */
ct_tensor *cti_one_hot_of(const ct_tensor *x);

/* ct_embedding whose rows are lazy (lazy_rows.c). Nothing else may write table and indices. */
ct_tensor *cti_lazy_gather(ct_tensor *table, ct_tensor *indices);

/* Checks x, weight and bias (which may be NULL) for ct_linear; false with an error. */
bool cti_linear_check(const char *function, const ct_tensor *x, const ct_tensor *weight,
                      const ct_tensor *bias);

/* ct_gather with the name of the function that messages show. */
ct_tensor *cti_gather(const char *function, ct_tensor *x, int axis, ct_tensor *index);

/* Like ct_set_requires_grad, for the value of a parameter. In a library for inference only it does
 * nothing, and no error is raised. */
ct_tensor *cti_leaf_train(ct_tensor *t, bool on);

/* Returns the gradient of a leaf itself, not a view of it; contiguous. NULL if there is none. */
ct_tensor *cti_leaf_grad(const ct_tensor *leaf);

/* The same; a leaf without a gradient gets one with arbitrary values, for a caller that writes them.
 * NULL with an error. */
ct_tensor *cti_leaf_make_grad(const ct_tensor *leaf);

/* ---- values of parameters (bind.c) ---- */

/* Like ct_param_value, but always the set's own value, never one that ct_params_bind has bound. For
 * code that saves, counts or changes parameters. */
ct_tensor *cti_param_own(ct_param *p);

/* Parameters, and the values that replace them; unused entries are NULL. */
#define CTI_PARAM_SWAPS 4
typedef struct cti_param_swap {
    ct_param *param[CTI_PARAM_SWAPS];
    ct_tensor *value[CTI_PARAM_SWAPS];
} cti_param_swap;

/* Returns run(context). While it runs, ct_param_value returns the given values for these parameters
 * on this thread. A backward function uses this to run a module again with the values that its node
 * saved. */
void *cti_params_with(const cti_param_swap *swap, void *(*run)(void *context), void *context);

/* ---- parameter sets, for loading (params.c, state_dict.c) ---- */

/* Returns a copy of name. The first prefix of map with which name begins is replaced. The caller
 * releases it. NULL with CT_ERR_MEMORY. map is that of ct_load_options.rename, or NULL. */
char *cti_rename_prefix(const char *function, const ct_prefix *map, const char *name);

/* ct_params_load from an open file. path is for messages. */
ct_status cti_params_load_file(ct_params *set, ct_safetensors *file, const char *path,
                               ct_load_options options);

/* The prefix of the names in set: "" for a whole set, "decoder." for a part. */
const char *cti_params_prefix(const ct_params *set);

bool cti_param_is_buffer(const ct_param *p);

/* The values that an entry whose shape is known begins with, a tensor of the innermost scope; NULL with
 * an error. */
ct_tensor *cti_param_initial(const ct_param *p);

ct_dtype cti_param_dtype(const ct_param *p);

/* Returns the entry that stores the value of p: p itself, or the entry to which p is tied. */
const ct_param *cti_param_real(const ct_param *p);

/* If a value has several names in set, one of them represents it, so that the value is counted and
 * updated once: the first name if it is in set, else the name that was registered first.
 * cti_params_stands is true if entry i represents its value; cti_params_trains if, in addition, the
 * value is trained. */
bool cti_params_stands(const ct_params *set, int i);
bool cti_params_trains(const ct_params *set, int i);

/* Freezes or unfreezes the value of p, as ct_params_freeze does, and drops its gradient. */
void cti_param_freeze(ct_param *p, bool frozen);

/* The number of ties made in the whole set. A cached result about tied names is valid while this
 * number does not change. */
int cti_params_ties(const ct_params *set);

/* True if p has the shape, or is lazy and can get it. */
bool cti_param_fits(const ct_param *p, const ct_shape *shape);

/* Returns an owned handle on the storage of t, for the value of the lazy p; NULL with
 * CT_ERR_MEMORY. */
ct_tensor *cti_param_leaf(const ct_param *p, ct_tensor *t);

/* Locks the mutex that guards the shapes and values of the set while entries are materialized, and
 * unlocks it. */
void cti_params_lock(ct_params *set);
void cti_params_unlock(ct_params *set);

/* Sets the value of p to value, whose shape and dtype must match. If p is lazy, it takes *leaf,
 * which shares the storage of value, and *leaf becomes NULL; otherwise the values are copied.
 * Cannot fail. The caller holds the lock. */
void cti_param_put(ct_param *p, const ct_tensor *value, ct_tensor **leaf);

#endif
