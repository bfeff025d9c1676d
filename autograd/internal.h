/* internal.h - what the ops of autograd/ and nn/ share. (internal) */
#ifndef COTANGENT_AUTOGRAD_INTERNAL_H
#define COTANGENT_AUTOGRAD_INTERNAL_H

#include "tensor/internal.h"

#include <cotangent/autograd/autograd.h>
#include <cotangent/autograd/op.h>
#include <cotangent/autograd/params/params.h>

/* ---- the tape (autograd.c, leaf.c, backward.c; engine.h) ---- */

typedef struct cti_hook {
    ct_grad_hook call;
    void *context;
    int output;
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

/* A view inside a tensor of a row-major shape: what the gradient of a view is added into. */
typedef struct cti_window {
    ct_shape shape;
    int64_t stride[CT_MAX_RANK];
    int64_t offset;
} cti_window;

/* Adds d, of the window's shape, into that window of input i's gradient: no padded copy is made
 * while nothing is recorded. The window's elements must be distinct. scatter is the op-made
 * equivalent, for gradients of gradients: a tensor of the input's shape, zero but for d. */
void cti_add_grad_window(ct_node *n, int i, const cti_window *w, ct_tensor *d,
                         ct_tensor *(*scatter)(ct_node *n, ct_tensor *d));

/* True if the op is about to be recorded for these inputs: whether a forward needs to keep what
 * only backward uses. */
bool cti_will_record(int inputs_count, ct_tensor *const *inputs);

/* For an op that is never recorded (its result is bool, an index...): shows it to those who trace.
 * Others call ct_record, which does so. */
void cti_not_recorded(const char *name, int inputs_count, ct_tensor *const *inputs, ct_tensor *y);

/* out = op(in...; param) over out's shape, inputs broadcast to it; no history, no checks. */
void cti_elementwise(cti_ew_op op, ct_tensor *out, int inputs, const ct_tensor *const *in,
                     const double *param);

/* The broadcast of two shapes, and the axis on which they do not fit, or -1; the error that says
 * so, calling them an and bn. */
int cti_broadcast_shapes(const ct_shape *a, const ct_shape *b, ct_shape *out);
void cti_no_broadcast(const char *function, const char *an, const ct_tensor *a, const char *bn,
                      const ct_tensor *b, int axis);

/* Both at once, for an op of a and b; false with an error. */
bool cti_broadcast(const char *function, const ct_tensor *a, const ct_tensor *b, ct_shape *out);

/* A shape around an axis: (outer, n, inner). */
void cti_around(const ct_shape *shape, int axis, int64_t *outer, int64_t *inner);

/* The indices that ct_one_hot made x from, if x is still what it made; else NULL. */
ct_tensor *cti_one_hot_of(const ct_tensor *x);

/* ct_embedding of a table and indices that nobody else writes: the rows may be put off. */
ct_tensor *cti_rows_later(ct_tensor *table, ct_tensor *indices);

/* ct_gather, with the name of the function that errors show. */
ct_tensor *cti_gather(const char *function, ct_tensor *x, int axis, ct_tensor *index);

/* a leaf's gradient itself, contiguous; NULL if there is none */
ct_tensor *cti_leaf_grad(const ct_tensor *leaf);

/* ---- parameter sets, for loading (params.c) ---- */

/* "" for the whole; "decoder." for a part. */
const char *cti_params_prefix(const ct_params *set);

/* The entry that holds p's value: p, unless it is tied to another. */
const ct_param *cti_param_real(const ct_param *p);

/* True if p has, or could be settled to, the shape. */
bool cti_param_fits(const ct_param *p, const ct_shape *shape);

/* An owned handle on t's storage that can become the value of p; NULL with CT_ERR_MEMORY. */
ct_tensor *cti_param_leaf(const ct_param *p, ct_tensor *t);

/* Guards settling. */
void cti_params_lock(ct_params *set);
void cti_params_unlock(ct_params *set);

/* p's value becomes value, which fits: by a copy, or, if p has none, by taking *leaf (then NULL),
 * which shares value's storage. Cannot fail. Under the lock. */
void cti_param_put(ct_param *p, const ct_tensor *value, ct_tensor **leaf);

#endif
