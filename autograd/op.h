/* op.h - how an op takes part in differentiation: the ops of this library, and your own.
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
 *     }
 */
#ifndef COTANGENT_AUTOGRAD_OP_H
#define COTANGENT_AUTOGRAD_OP_H

#include <stdbool.h>
#include <stddef.h>

#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One recorded call of an op: what backward sees. */
typedef struct ct_node ct_node;

enum {
    CT_SAVE_INPUTS = 1, /* backward calls ct_node_input; modifying them before is an error */
    CT_SAVE_OUTPUTS = 2 /* backward calls ct_node_output; the same */
};

/* An op. Make it static and constant: nodes keep its address, also when the function has
 * returned. */
typedef struct ct_op {
    const char *name; /* for messages, traces and graphs */
    int inputs;       /* their number; -1: any */
    int outputs;      /* their number; -1: any */
    unsigned saves;   /* CT_SAVE_... joined by | */
    /* Computes the gradients of the inputs and hands each to ct_node_add_grad. dout[i] is the
     * gradient of output i, or NULL if output i does not influence the result; at least one is not
     * NULL. NULL for an op without a derivative. */
    void (*backward)(ct_node *n, ct_tensor *const *dout);
    /* Optional: computes the same faster, without recording. Called instead of backward whenever
     * nothing is recorded, that is always except in ct_grad with create_graph. */
    void (*fused_backward)(ct_node *n, ct_tensor *const *dout);
} ct_op;

/* Records outputs = op(inputs) on the tape. Each output must be a new tensor of the current scope
 * without history: a view of an input is allowed; an input itself, a leaf, or a tensor from ct_keep
 * is not. An input may be NULL if it is optional to the op.
 *
 * attributes points to what backward needs besides tensors: `bytes` bytes, which are copied to
 * memory aligned for any type; NULL and 0 for none. ct_node_attributes returns the copy.
 *
 * Returns true, and does nothing, if recording is off or no input requires a gradient. Returns
 * false with an error for a NULL op, for a NULL array that should have entries, for a NULL output, for counts that do not match op, for an input whose
 * history belongs to another thread or an ended scope (CT_ERR_SCOPE), and if memory runs out. */
bool ct_record(const ct_op *op, int inputs_count, ct_tensor *const *inputs, int outputs_count,
               ct_tensor *const *outputs, const void *attributes, size_t bytes);

/* ---- for backward functions: n must not be NULL ---- */

/* Input or output i as it was saved, with its history. Needs CT_SAVE_INPUTS or CT_SAVE_OUTPUTS.
 * NULL with CT_ERR_GRAD if it was modified in place since, or not saved. Ops pass a NULL on, so
 * most formulas need no check. */
ct_tensor *ct_node_input(ct_node *n, int i);
ct_tensor *ct_node_output(ct_node *n, int i);

/* The shape of input i, saved or not. Only for inputs for which ct_node_needs_grad is true. */
ct_shape ct_node_input_shape(const ct_node *n, int i);

/* The number of inputs that ct_record was given. */
int ct_node_input_count(const ct_node *n);

/* The copy of the attributes that ct_record was given. */
const void *ct_node_attributes(const ct_node *n);

/* True if input i needs a gradient. Skip the work for those that do not. */
bool ct_node_needs_grad(const ct_node *n, int i);

/* Adds g to the gradient of input i, whose shape, dtype and device it must have. Does nothing if g
 * is NULL (an error is recorded then) or if input i needs no gradient. The engine may keep g or
 * write to it: do not use it afterwards. */
void ct_node_add_grad(ct_node *n, int i, ct_tensor *g);

#ifdef __cplusplus
}
#endif
#endif
