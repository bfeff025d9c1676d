/* state.h - the state of a recurrent module: any number of tensors, each shaped (layers *
 * directions, batch, size), index layer * directions + direction.
 *
 * A state of a scope, or one that was freed, is recognised as a tensor is (scope.h): its use is
 * CT_ERR_SCOPE, and the message says where it died. */
#ifndef COTANGENT_NN_STATE_H
#define COTANGENT_NN_STATE_H

#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ct_state ct_state;

int ct_state_count(const ct_state *s);             /* number of tensors; 0 for NULL */
ct_tensor *ct_state_get(const ct_state *s, int i); /* CT_ERR_INDEX; lives as long as s */

/* An owned state: copies of tensors (values, without history), yours to ct_state_free. */
ct_state *ct_state_new(int count, ct_tensor *const *tensors);
ct_state *ct_state_copy_new(const ct_state *s);

/* Frees an owned state and its tensors. NULL is allowed. Of a state that a scope owns, or that was
 * freed before: CT_ERR_SCOPE. */
void ct_state_free(ct_state *s);

/* A state of the innermost scope that refers to these tensors, with their history; for cells and
 * the user's own modules. */
ct_state *ct_state_from_tensors(int count, ct_tensor *const *tensors);

/* A state of the innermost scope with s's values, without history; shares them. */
ct_state *ct_state_detach(const ct_state *s);

/* Copies next into kept's own buffers, detached: truncated backpropagation. Does nothing
 * while an error is recorded. CT_ERR_SHAPE if they differ. kept must be owned. */
ct_status ct_state_carry(ct_state *kept, const ct_state *next);

/* All zeros again. */
ct_status ct_state_zero(ct_state *kept);

/* s on a device, as a state of the innermost scope (ct_to's copies): to be kept, ct_state_copy_new. */
ct_state *ct_state_to(const ct_state *s, ct_device device);

/* An owned state of rows (n, i32 or i64) of s, in this order: the beams of a beam search, say. */
ct_state *ct_state_select_new(const ct_state *s, ct_tensor *rows);

#ifdef __cplusplus
}
#endif
#endif
