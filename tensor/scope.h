/* scope.h - lifetimes of temporaries.
 *
 * What a *_new function or ct_keep returns is yours to *_free. Every other tensor and state belongs
 * to the innermost open scope of its thread and dies with it; so does all history (the tape)
 * recorded since the scope began. Open a scope for each training step, generation step or test.
 * Making a tensor while no scope is open is an error (CT_ERR_SCOPE).
 *
 *     ct_scope s = ct_scope_begin();
 *     ct_tensor *y = ct_tanh(ct_add(ct_matmul(x, w), b));
 *     double out = ct_item(ct_sum(y));
 *     if (ct_scope_end(s) != CT_OK)
 *         ...
 *
 * Scopes nest. Ending one ends the inner ones that were forgotten.
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

typedef struct ct_tensor ct_tensor;

/* A mark on the stack of live tensors, on the tape, and the recording mode. A value: copy it,
 * never look inside. */
typedef struct ct_scope {
    uint64_t id;
    uint32_t thread;
    uint32_t depth;
} ct_scope;

/* Opens a scope on this thread. Cannot fail: if memory for it is short, the error is raised and
 * ct_scope_end of what is returned reports it. */
ct_scope ct_scope_begin(void);

/* A scope in which no history is recorded. Dropout acts as it does outside. */
ct_scope ct_scope_begin_no_grad(void);

/* A scope for inference: no history is recorded and dropout is off, in it and in the scopes that are
 * opened inside. This holds for this thread alone; other threads may train or infer with the same
 * parameters at the same time. ct_params_is_training is false while the scope is open. */
ct_scope ct_scope_begin_inference(void);

/* Frees all tensors and history made since the scope began, restores the recording mode, and
 * returns the first error raised since then (which stays recorded), or CT_OK. A side effect that was
 * refused because of an older error counts as an error. A scope ended twice or on another
 * thread is CT_ERR_SCOPE and frees nothing. */
ct_status ct_scope_end(ct_scope scope) CT_WARN_UNUSED;

/* Ends the scope and hands t, which must belong to it, to the enclosing one; *out is its handle
 * there (NULL after an error); out must not be NULL. A tensor with history recorded in the scope is CT_ERR_SCOPE:
 * detach it first. */
ct_status ct_scope_return(ct_scope scope, ct_tensor *t, ct_tensor **out) CT_WARN_UNUSED;

/* An owned handle on t's storage, without history; yours to ct_free. Shares the values: a later
 * in-place write shows in both. */
ct_tensor *ct_keep(ct_tensor *t);

/* Frees what ct_keep or a *_new function returned. NULL is allowed. CT_ERR_SCOPE: a tensor that a
 * scope, a parameter set or a state owns, or one that was freed before. Open history that still uses
 * the values keeps them until it ends. */
void ct_free(ct_tensor *t);

#ifdef __cplusplus
}
#endif
#endif
