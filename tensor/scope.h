/* scope.h - lifetimes of temporaries.
 *
 * What a *_new function or ct_keep returns is yours to *_free. Every other tensor belongs to the
 * innermost open scope of its thread and dies with it; so does all history (the tape) recorded
 * since the scope began. Whoever finishes a graph - a training step, a generation step, a test -
 * opens a scope. Making a tensor while no scope is open is an error (CT_ERR_SCOPE).
 *
 *     ct_scope s = ct_scope_begin();
 *     ct_tensor *y = ct_tanh(ct_add(ct_matmul(x, w), b));
 *     double out = ct_item(ct_sum(y));
 *     if (ct_scope_end(s) != CT_OK)
 *         ...
 *
 * Scopes nest. Ending one ends the inner ones that were forgotten. */
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

/* Frees all tensors and history made since the scope began, restores the recording mode, and
 * returns the first error raised since then (which goes on standing), or CT_OK. A step that was
 * refused because an older error stands counts as an error. A scope ended twice or on another
 * thread is CT_ERR_SCOPE and frees nothing. */
ct_status ct_scope_end(ct_scope scope) CT_WARN_UNUSED;

/* Ends the scope and hands t, which must belong to it, to the enclosing one; *out is its handle
 * there (NULL after an error). A tensor with history recorded in the scope is CT_ERR_SCOPE:
 * detach it first. */
ct_status ct_scope_return(ct_scope scope, ct_tensor *t, ct_tensor **out) CT_WARN_UNUSED;

/* An owned handle on t's storage, without history; yours to ct_free. Shares the values: a later
 * in-place write shows in both. */
ct_tensor *ct_keep(ct_tensor *t);

/* Frees what ct_keep or a *_new function returned. NULL is allowed. A tensor that a scope owns is
 * CT_ERR_SCOPE. Open history that still uses the values keeps them until it ends. */
void ct_free(ct_tensor *t);

#ifdef __cplusplus
}
#endif
#endif
