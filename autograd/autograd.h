/* SPDX-License-Identifier: MIT */
/* autograd.h - reverse-mode differentiation: recording, backward, gradients.
 *
 * A leaf is a tensor that no op made. While recording is on, which is the default, an op with an
 * input that requires a gradient records a node on the tape of its thread. The history of a tensor
 * is the nodes from which it was computed. A node belongs to the scope that was innermost when it
 * was recorded, and is freed when that scope ends. History cannot leave its scope or its thread
 * (CT_ERR_SCOPE). */
#ifndef COTANGENT_AUTOGRAD_AUTOGRAD_H
#define COTANGENT_AUTOGRAD_AUTOGRAD_H

#include <stdbool.h>

#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Makes the leaf t require a gradient (on), or not (off). Returns t. Raises CT_ERR_DTYPE unless t
 * is f32 or f64, CT_ERR_GRAD if t has history. */
ct_tensor *ct_set_requires_grad(ct_tensor *t, bool on);

/* True for a leaf that requires a gradient, and for every tensor with history. False for NULL. */
bool ct_tensor_requires_grad(const ct_tensor *t);

/* Switches recording on this thread on or off until the innermost scope ends. Returns the previous
 * setting. */
bool ct_set_grad_enabled(bool on);

/* True if recording is on. */
bool ct_grad_enabled(void);

/* A view of t without history; it requires no gradient. */
ct_tensor *ct_detach(ct_tensor *t);

/* Computes the derivatives of loss, a tensor of one element, by every leaf from which it was
 * computed, and adds them to the gradients of the leaves. Calling it twice adds twice: clear the
 * gradients between steps (ct_params_zero_grad, ct_tensor_zero_grad). All or nothing: after an
 * error no gradient has changed. Does nothing while an error is recorded. Raises CT_ERR_GRAD if
 * loss has no history and requires no gradient, or if a tensor that was saved for backward has been
 * modified in place since. */
ct_status ct_backward(ct_tensor *loss);

/* Like ct_backward, but for a tensor t of any shape. Backward starts from `gradient`, the gradient
 * of t, which must have t's shape, dtype and device (CT_ERR_SHAPE). */
ct_status ct_backward_with(ct_tensor *t, ct_tensor *gradient);

/* Threads: ct_backward adds to the gradients of leaves, so one thread at a time may run it on graphs
 * that share a leaf. ct_grad changes no leaf: any number of threads may differentiate graphs of their
 * own that share leaves. */

/* Computes gradients without changing those of the leaves: grads[i] becomes the gradient, with
 * respect to inputs[i], of the sum over j of <outputs[j], grad_outputs[j]>. It is a tensor of the
 * innermost scope and shares its memory with no other tensor. grad_outputs, or an entry of it, may
 * be NULL for an output of one element; it counts as 1. An input on which no output depends gets
 * zeros. grads may be the same array as outputs. With create_graph the results have history and can
 * be differentiated again.
 *
 * Raises CT_ERR_GRAD if an output or input has no history and requires no gradient, if a saved
 * tensor was modified since, or if it is called from a hook or backward function that ct_grad runs;
 * CT_ERR_ARGUMENT for counts below 1. After an error every grads[i] is NULL. */
ct_status ct_grad(int outputs_count, ct_tensor *const *outputs, int inputs_count,
                  ct_tensor *const *inputs, ct_tensor *const *grad_outputs, bool create_graph,
                  ct_tensor **grads);

/* Returns the gradient of a leaf, as a view of the innermost scope. Returns NULL, without an error,
 * if the leaf has none. */
ct_tensor *ct_tensor_grad(ct_tensor *leaf);

/* Removes the gradient of a leaf: ct_tensor_grad then returns NULL. */
void ct_tensor_zero_grad(ct_tensor *leaf);

/* Registers a hook on t, which must have history or require a gradient (CT_ERR_GRAD). Each backward
 * pass calls hook with the complete gradient of t: for a tensor with history before its node runs,
 * for a leaf before the gradient is added. Hooks of one tensor run in the order of registration;
 * each gets the result of the one before it. The hook returns a tensor of the same shape, dtype and
 * device, which replaces the gradient, or NULL, which leaves it. The gradient that it is given is
 * read-only while the hook runs (CT_ERR_GRAD), because other gradients may share its memory. An
 * error that the hook raises ends the pass.
 *
 * The hook ends when it is removed, or with the leaf or the history of t. context may be NULL. When
 * the hook ends, free_context(context) is called, exactly once; if this call fails, it is called at
 * once. It must not use t. It may be NULL if there is nothing to free. */
typedef ct_tensor *(*ct_grad_hook)(ct_tensor *gradient, void *context);
ct_status ct_register_hook(ct_tensor *t, ct_grad_hook hook, void *context,
                           void (*free_context)(void *context));

/* Removes the hook of t that was registered with this function and context; if there are several,
 * the newest. A hook may remove itself or another hook while it runs. A running hook is still
 * completed; its context is freed after it has returned. CT_ERR_ARGUMENT if t has no such hook,
 * CT_ERR_GRAD if t has no history and requires no gradient. */
ct_status ct_remove_hook(ct_tensor *t, ct_grad_hook hook, void *context);

#ifdef __cplusplus
}
#endif
#endif
