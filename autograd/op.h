/* SPDX-License-Identifier: MIT */
/* op.h - defining ops with derivatives. The library's own ops are defined in this way, too.
 *
 * An op computes its outputs and calls ct_record. Its backward function is written in ops, so that
 * gradients have gradients. If that is too slow, write the derivative as an op of its own, whose
 * backward function is written in ops.
 *
 *     // y = x exp(x);  dx = dy (y + exp(x))
 *     static void xexp_backward(ct_node *n, ct_tensor *const *dout)
 *     {
 *         ct_tensor *x = ct_node_input(n, 0), *y = ct_node_output(n, 0);
 *
 *         ct_node_add_grad(n, 0, ct_mul(dout[0], ct_add(y, ct_exp(x))));
 *     }
 *     static const ct_op xexp = { .name = "xexp", .inputs = 1, .outputs = 1,
 *                                 .saves = CT_SAVE_INPUTS | CT_SAVE_OUTPUTS,
 *                                 .backward = xexp_backward };
 *
 *     ct_tensor *xexp_forward(ct_tensor *x)
 *     {
 *         bool was = ct_set_grad_enabled(false);
 *         ct_tensor *y = ct_mul(x, ct_exp(x));
 *
 *         ct_set_grad_enabled(was);
 *         return ct_record(&xexp, 1, &x, 1, &y, NULL, 0) ? y : NULL;
 *     } */
#ifndef COTANGENT_AUTOGRAD_OP_H
#define COTANGENT_AUTOGRAD_OP_H

#include <stdbool.h>
#include <stddef.h>

#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One recorded call of an op, which backward receives. */
typedef struct ct_node ct_node;

enum {
    /* backward calls ct_node_input. An in-place write of an input before that is an error */
    CT_SAVE_INPUTS = 1,
    /* backward calls ct_node_output. An in-place write of an output before that is an error */
    CT_SAVE_OUTPUTS = 2
};

/* An op. Make it static and constant, because nodes keep its address after the function has
 * returned. */
typedef struct ct_op {
    const char *name; /* for messages, traces and graphs */
    int inputs;       /* the number of inputs; -1: any */
    int outputs;      /* the number of outputs; -1: any */
    unsigned saves;   /* CT_SAVE_... joined by | */
    /* Computes the gradients of the inputs and hands each to ct_node_add_grad. dout[i] is the
     * gradient of output i, or NULL if output i does not influence the result; at least one is not
     * NULL. The member is NULL for an op without a derivative. */
    void (*backward)(ct_node *n, ct_tensor *const *dout);
    /* Optional: a faster function that computes the same gradients without recording. It is called
     * instead of backward unless the backward pass itself is recorded, as by ct_grad with
     * create_graph. */
    void (*fused_backward)(ct_node *n, ct_tensor *const *dout);
} ct_op;

/* Records outputs = op(inputs) on the tape. Each output must be a new tensor of the current scope
 * without history: a view of an input is allowed; an input itself, a leaf, or a tensor from ct_keep
 * is not. An input may be NULL if it is optional to the op.
 *
 * attributes points to data other than tensors that backward needs. `bytes` bytes are copied to
 * memory that is aligned for any type; ct_node_attributes returns the copy. Without such data, they
 * are NULL and 0.
 *
 * Returns true, and does nothing, if recording is off or no input requires a gradient. Returns
 * false with an error for a NULL op, for a NULL array that must have entries, for a NULL output,
 * for counts that do not match op, for an input whose history belongs to another thread or an ended
 * scope (CT_ERR_SCOPE), and if memory runs out. */
bool ct_record(const ct_op *op, int inputs_count, ct_tensor *const *inputs, int outputs_count,
               ct_tensor *const *outputs, const void *attributes, size_t bytes);

/* ---- for backward functions: n must not be NULL ---- */

/* Returns input or output i with the values that were saved and with its history. The op must have
 * CT_SAVE_INPUTS or CT_SAVE_OUTPUTS. Returns NULL with CT_ERR_GRAD if it was not saved or was
 * modified in place since. Ops return NULL for a NULL input, so most formulas need no check. */
ct_tensor *ct_node_input(ct_node *n, int i);
ct_tensor *ct_node_output(ct_node *n, int i);

/* The shape of input i, whether it was saved or not. Call it only if ct_node_needs_grad is true for
 * i. */
ct_shape ct_node_input_shape(const ct_node *n, int i);

/* The number of inputs that ct_record was given. */
int ct_node_input_count(const ct_node *n);

/* The copy of the attributes that ct_record was given. */
const void *ct_node_attributes(const ct_node *n);

/* True if input i needs a gradient. If it is false, a backward function may skip the work for i. */
bool ct_node_needs_grad(const ct_node *n, int i);

/* Adds g to the gradient of input i. g must have the input's shape, dtype and device. Does nothing
 * if g is NULL (an error has been recorded) or if input i needs no gradient. The engine may keep g
 * or write to it, so do not use it afterwards. */
void ct_node_add_grad(ct_node *n, int i, ct_tensor *g);

#ifdef __cplusplus
}
#endif
#endif
