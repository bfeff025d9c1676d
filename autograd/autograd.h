/* autograd.h - reverse-mode differentiation: recording, backward, gradients.
 *
 * An op given a tensor that requires a gradient records a node on the tape of its thread, while
 * recording is on (it is, by default). The tape ends with the scope that was innermost when the
 * node was recorded; history never leaves its scope or its thread (CT_ERR_SCOPE). */
#ifndef COTANGENT_AUTOGRAD_AUTOGRAD_H
#define COTANGENT_AUTOGRAD_AUTOGRAD_H

#include <stdbool.h>

#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Makes t, a leaf of dtype f32 or f64, require a gradient, or no longer. Returns t. A tensor with
 * history is CT_ERR_GRAD. */
ct_tensor *ct_set_requires_grad(ct_tensor *t, bool on);

/* True for such a leaf, and for every result with history. */
bool ct_tensor_requires_grad(const ct_tensor *t);

/* Switches recording on this thread until the innermost scope ends; returns what it was. */
bool ct_set_grad_enabled(bool on) CT_NOSITE;
bool ct_grad_enabled(void) CT_NOSITE;

/* The same values without history; a view. */
ct_tensor *ct_detach(ct_tensor *t);

/* Adds d loss / d leaf to the gradient of every leaf that loss, a tensor of one element, was made
 * from. Runs through history without recursion; nothing is added if an error comes up, nor while
 * one stands. CT_ERR_GRAD: loss has no history, or a saved tensor was modified since. Calling it
 * twice adds twice. */
ct_status ct_backward(ct_tensor *loss);

/* The same from a tensor of any shape, given d / d t: same shape, dtype and device. */
ct_status ct_backward_with(ct_tensor *t, ct_tensor *gradient);

/* grads[i] = the gradient of sum over j of <outputs[j], grad_outputs[j]> with respect to inputs[i];
 * leaves' own gradients stay as they are. grad_outputs, or an entry of it, may be NULL for outputs
 * of one element: 1. An input that no output depends on gives zeros. grads may be the array of the
 * outputs. CT_ERR_GRAD for an output or input without history that requires no gradient, and for a
 * call from a hook or backward function that ct_grad runs. With create_graph the results
 * have history, so that they can be differentiated again. */
ct_status ct_grad(int outputs_count, ct_tensor *const *outputs, int inputs_count,
                  ct_tensor *const *inputs, ct_tensor *const *grad_outputs, bool create_graph,
                  ct_tensor **grads);

/* A leaf's gradient, as a view of the innermost scope; NULL, without an error, if there is none. */
ct_tensor *ct_tensor_grad(ct_tensor *leaf);

/* Forgets it. */
void ct_tensor_zero_grad(ct_tensor *leaf);

/* Calls hook with the gradient of t each time it is complete: for a result with history before
 * its node runs, for a leaf before it is added. What the hook returns replaces the gradient (same
 * shape, dtype and device), NULL leaves it. Lives as long as t or its history. */
typedef ct_tensor *(*ct_grad_hook)(ct_tensor *gradient, void *context);
ct_status ct_register_hook(ct_tensor *t, ct_grad_hook hook, void *context);

#ifdef __cplusplus
}
#endif
#endif
