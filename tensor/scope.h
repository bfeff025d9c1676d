/* SPDX-License-Identifier: MIT */
/* scope.h - lifetimes of temporaries.
 *
 * Objects that a *_new function or ct_keep returns are owned by the caller, who must free them.
 * Every other tensor and state belongs to the innermost open scope of its thread and dies with it;
 * so does all history (the tape) recorded since the scope began. Open a scope for each training
 * step, generation step or test. Making a tensor while no scope is open is an error (CT_ERR_SCOPE).
 *
 *     ct_scope s = ct_scope_begin();
 *     ct_tensor *y = ct_tanh(ct_add(ct_matmul(x, w), b));
 *     double out = ct_item(ct_sum(y));
 *     if (ct_scope_end(s) != CT_OK)
 *         ...
 *
 * Scopes nest. Ending a scope also ends the inner scopes that are still open.
 *
 * Using a tensor or a state after its scope has ended, or after it was freed, is CT_ERR_SCOPE. The
 * message says where it died:
 *
 *     train.c:52: ct_add: a is a dead tensor: its scope ended at train.c:49: ct_scope_end; ...
 *
 * The memory of a dead handle is reused once more than 4,096 others of its kind have died on its
 * thread; a use after that is not recognised. To find one, set COTANGENT_HANDLES=unique: then no
 * handle is reused. Objects with a *_free of their own (sets, modules, loaders) are not checked. */
#ifndef COTANGENT_TENSOR_SCOPE_H
#define COTANGENT_TENSOR_SCOPE_H

#include <stdint.h>

#include <cotangent/tensor/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A handle of a tensor. Several handles may share memory. */
typedef struct ct_tensor ct_tensor;

/* A scope, as a value. Programs may copy it and must not read its members. */
typedef struct ct_scope {
    uint64_t id;
    uint32_t thread;
    uint32_t depth;
} ct_scope;

/* Opens a scope on this thread. If memory runs out, raises CT_ERR_MEMORY; ct_scope_end of the
 * result then returns that error. */
ct_scope ct_scope_begin(void);

/* Opens a scope in which no history is recorded. Dropout works as it does outside. */
ct_scope ct_scope_begin_no_grad(void);

/* Opens a scope for inference: in it and in its inner scopes, no history is recorded and dropout is
 * off. This holds for this thread alone; other threads may train or infer with the same parameters
 * at the same time. ct_params_is_training is false while the scope is open. */
ct_scope ct_scope_begin_inference(void);

/* Frees all tensors and history made since the scope began, restores the recording mode, and
 * returns the first error raised since then (which stays recorded), or CT_OK. A side effect that
 * was refused because of an older error counts as an error. Ending a scope twice, or on another
 * thread, raises CT_ERR_SCOPE and frees nothing. */
ct_status ct_scope_end(ct_scope scope) CT_WARN_UNUSED;

/* Ends the scope and moves t, which must belong to it, to the enclosing scope. *out becomes the
 * handle of t in the enclosing scope, or NULL after an error; out must not be NULL. A tensor with
 * history recorded in the scope cannot leave it: CT_ERR_SCOPE; detach it first. */
ct_status ct_scope_return(ct_scope scope, ct_tensor *t, ct_tensor **out) CT_WARN_UNUSED;

/* Returns an owned handle on t's storage, without history. The caller frees it with ct_free. The
 * values are shared: an in-place write through one handle shows in the other. */
ct_tensor *ct_keep(ct_tensor *t);

/* Frees a tensor that ct_keep or a *_new function returned. NULL is allowed. CT_ERR_SCOPE for a
 * tensor that a scope, a parameter set or a state owns, and for one that was freed before. History
 * that uses the values keeps them until its scope ends. */
void ct_free(ct_tensor *t);

#ifdef __cplusplus
}
#endif
#endif
