/* activation_checkpoint.h - activation checkpointing: memory for time.
 *
 * A checkpointed segment keeps none of what its history would need. In backward it is run again,
 * its history is recorded then, used and dropped: a sequence cut into k segments of n steps holds
 * the history of one segment and k states (Chen et al., "Training deep nets with sublinear memory
 * cost", 2016). The numbers are the same bits as without. */
#ifndef COTANGENT_AUTOGRAD_ACTIVATION_CHECKPOINT_H
#define COTANGENT_AUTOGRAD_ACTIVATION_CHECKPOINT_H

#include <stdbool.h>

#include <cotangent/tensor/random.h>
#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A segment: makes its outputs of its inputs, parameters and what context holds; the same each
 * time it is called with the same values. False after an error. */
typedef bool (*ct_recomputed_function)(void *context, int inputs_count, ct_tensor *const *inputs,
                                       int outputs_count, ct_tensor **outputs);

/* Runs segment, and in backward runs it again. Gradients reach its inputs and every other tensor
 * it uses (parameters, what context refers to). context, and what it refers to, must live until
 * the history ends. The second run draws the same numbers from g, if it draws any: g is put back
 * to where it was for it, and forward again after; NULL for none. inputs may hold NULLs; outputs
 * must be another array. Works under ct_grad with create_graph too. Outputs are NULL after an
 * error: the segment's own; CT_ERR_ARGUMENT for counts below 0 (outputs: 1) or an output that is
 * NULL; and in backward CT_ERR_GRAD if the second run gives other shapes, or a tensor it used was
 * modified since. */
ct_status ct_activation_checkpoint(ct_recomputed_function segment, void *context, ct_generator *g,
                                   int inputs_count, ct_tensor *const *inputs, int outputs_count,
                                   ct_tensor **outputs);

#ifdef __cplusplus
}
#endif
#endif
