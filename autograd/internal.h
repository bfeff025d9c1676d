/* internal.h - what the ops of autograd/ and nn/ share. (internal) */
#ifndef COTANGENT_AUTOGRAD_INTERNAL_H
#define COTANGENT_AUTOGRAD_INTERNAL_H

#include "tensor/internal.h"

#include <cotangent/autograd/autograd.h>
#include <cotangent/autograd/op.h>

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

/* out = op(in...; param) over out's shape, inputs broadcast to it; no history, no checks. */
void cti_elementwise(cti_ew_op op, ct_tensor *out, int inputs, const ct_tensor *const *in,
                     const double *param);

/* The broadcast of two shapes; false with an error that names function, a and b. */
bool cti_broadcast(const char *function, const ct_tensor *a, const ct_tensor *b, ct_shape *out);

/* The indices that ct_one_hot made x from, if x is still what it made; else NULL. */
ct_tensor *cti_one_hot_of(const ct_tensor *x);

/* ct_gather, with the name of the function that errors show. */
ct_tensor *cti_gather(const char *function, ct_tensor *x, int axis, ct_tensor *index);

/* a leaf's gradient itself, contiguous; NULL if there is none */
ct_tensor *cti_leaf_grad(const ct_tensor *leaf);

#endif
