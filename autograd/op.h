/* op.h - how an op takes part in differentiation; for the library's own and for the user's.
 *
 * An op computes its outputs and calls ct_record. Its backward formula is written in ops, so that
 * gradients of gradients work; where speed asks for a fused derivative, that is an op too.
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

typedef struct ct_node ct_node;

enum {
    CT_SAVE_INPUTS = 1, /* backward may call ct_node_input: their values are guarded */
    CT_SAVE_OUTPUTS = 2 /* backward may call ct_node_output */
};

/* One op; static and constant. */
typedef struct ct_op {
    const char *name;
    int inputs;  /* their number; -1 for any */
    int outputs; /* the same */
    unsigned saves;
    /* Gives each wanted input its gradient by ct_node_add_grad. dout[i] is the gradient of output i,
     * NULL if none came (one of them is not NULL). NULL for an op that has no derivative. */
    void (*backward)(ct_node *n, ct_tensor *const *dout);
    /* Optional: the same, but faster and with no history of its own; called instead where nothing
     * is recorded, that is by all but a ct_grad with create_graph. */
    void (*fused_backward)(ct_node *n, ct_tensor *const *dout);
} ct_op;

/* Records that outputs, fresh tensors of this scope without history (a view of an input is fresh;
 * an input itself, a leaf or a tensor of ct_keep is not), came from inputs by op. attributes (bytes
 * of them, copied) are for backward. Does nothing if recording is off or no input requires a
 * gradient. An input may be NULL where the op has an optional one. False with an error: a NULL
 * output, too many of either, wrong counts, history of another thread (CT_ERR_SCOPE), memory. */
bool ct_record(const ct_op *op, int inputs_count, ct_tensor *const *inputs, int outputs_count,
               ct_tensor *const *outputs, const void *attributes, size_t bytes);

/* ---- for backward functions ---- */

/* An input or output as it was saved, with its history; NULL with CT_ERR_GRAD if it was modified
 * in place since, or was not saved. */
ct_tensor *ct_node_input(ct_node *n, int i);
ct_tensor *ct_node_output(ct_node *n, int i);

/* The shape of an input, saved or not, if it requires a gradient. */
ct_shape ct_node_input_shape(const ct_node *n, int i);

int ct_node_input_count(const ct_node *n);
const void *ct_node_attributes(const ct_node *n);

/* Whether input i wants a gradient. */
bool ct_node_needs_grad(const ct_node *n, int i);

/* Adds g, of input i's shape, dtype and device, to that input's gradient. A NULL g (an error) and
 * an input that wants none are ignored. What is given is the engine's until it is done. */
void ct_node_add_grad(ct_node *n, int i, ct_tensor *g);

#ifdef __cplusplus
}
#endif
#endif
