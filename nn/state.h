/* SPDX-License-Identifier: MIT */
/* state.h - the state of a recurrent module: one or more tensors (layers * directions, batch,
 * size), with index layer * directions + direction.
 *
 * Using a state after its scope has ended, or after it was freed, raises CT_ERR_SCOPE, as for a
 * tensor (tensor/scope.h). The message names the place where the state was freed. */
#ifndef COTANGENT_NN_STATE_H
#define COTANGENT_NN_STATE_H

#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The state of a recurrent module or of a cache: one or more tensors. */
typedef struct ct_state ct_state;

int ct_state_count(const ct_state *s); /* the number of tensors; 0 for NULL */
/* tensor i, valid as long as s; NULL with CT_ERR_INDEX if there is none */
ct_tensor *ct_state_get(const ct_state *s, int i);

/* Make an owned state that holds copies of count tensors, or of those of s (the values, without
 * history). The caller frees it with ct_state_free. CT_ERR_ARGUMENT if count is not in 1..64 or a
 * tensor is NULL. */
ct_state *ct_state_new(int count, ct_tensor *const *tensors);
ct_state *ct_state_copy_new(const ct_state *s);

/* Frees an owned state and its tensors. NULL is allowed. CT_ERR_SCOPE for a state that a scope
 * owns, and for one that was freed before. */
void ct_state_free(ct_state *s);

/* Makes a state of the innermost scope that refers to count tensors, with their history. For cells
 * and a user's modules. CT_ERR_ARGUMENT if count is not in 1..64 or a tensor is NULL. */
ct_state *ct_state_from_tensors(int count, ct_tensor *const *tensors);

/* Returns a state of the innermost scope with the values of s but without history. The values are
 * shared, not copied. */
ct_state *ct_state_detach(const ct_state *s);

/* Copies the values of next into the buffers of kept, which must be owned. For truncated
 * backpropagation through time. Does nothing while an error is recorded. CT_ERR_ARGUMENT if kept is
 * not owned or the numbers of tensors differ, CT_ERR_SHAPE if shapes or dtypes differ. */
ct_status ct_state_carry(ct_state *kept, const ct_state *next);

/* Sets all elements of the state to 0, in place. CT_ERR_ARGUMENT if kept is NULL. */
ct_status ct_state_zero(ct_state *kept);

/* Returns s on a device, as a state of the innermost scope. Tensors that are already on the device
 * are not copied. Make an owned state of it with ct_state_copy_new. */
ct_state *ct_state_to(const ct_state *s, ct_device device);

/* Makes an owned state from the batch entries of s whose numbers are in `rows` (n, i32 or i64), in
 * this order; a number may occur several times. For the beams of a beam search. CT_ERR_INDEX for a
 * number out of range. The caller frees it with ct_state_free. */
ct_state *ct_state_select_new(const ct_state *s, ct_tensor *rows);

#ifdef __cplusplus
}
#endif
#endif
