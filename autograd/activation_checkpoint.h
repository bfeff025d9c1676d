/* SPDX-License-Identifier: MIT */
/* activation_checkpoint.h - activation checkpointing: less memory for more time.
 *
 * A function that runs under ct_activation_checkpoint keeps no history. Backward runs it again,
 * which records the history, uses it, and drops it. A sequence cut into k parts of n steps then
 * holds the history of one part and k intermediate states at a time, for the cost of a second
 * forward pass (Chen et al., "Training deep nets with sublinear memory cost", 2016). The results
 * have the same bits as without it.
 *
 * This has nothing to do with the checkpoints of train/trainer.h, which are saved runs. */
#ifndef COTANGENT_AUTOGRAD_ACTIVATION_CHECKPOINT_H
#define COTANGENT_AUTOGRAD_ACTIVATION_CHECKPOINT_H

#include <stdbool.h>

#include <cotangent/tensor/random.h>
#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A function to be recomputed. It writes outputs_count tensors to outputs, made from its inputs,
 * from parameters, and from what context refers to. Called again with the same values, it must
 * compute the same results. Returns false after an error. */
typedef bool (*ct_recomputed_function)(void *context, int inputs_count, ct_tensor *const *inputs,
                                       int outputs_count, ct_tensor **outputs);

/* Runs function now, and again in backward. Its inputs and every other tensor that it uses, such as
 * parameters, get gradients. Works under ct_grad with create_graph too.
 *
 * context, and what it refers to, must live until the history ends. It may be NULL. g is the
 * generator from which the function draws random numbers; NULL if it draws none. For the second
 * run, g is set back to its value before the first run, so that the same numbers are drawn;
 * afterwards it is restored. The function may draw from no other generator; the first values of lazy
 * parameters do not count. inputs may hold NULLs.
 * outputs receives handles of the innermost scope; it must not be the array inputs.
 *
 * After an error every output is NULL. Errors are those of the function, and CT_ERR_ARGUMENT if
 * function is NULL, inputs_count is negative, outputs_count is below 1, the function leaves an
 * output NULL, or, while recording, it draws from another generator than g. Backward raises
 * CT_ERR_GRAD if the second run gives other shapes than the first, or if a tensor that the function
 * used has been modified since. */
ct_status ct_activation_checkpoint(ct_recomputed_function function, void *context, ct_generator *g,
                                   int inputs_count, ct_tensor *const *inputs, int outputs_count,
                                   ct_tensor **outputs);

#ifdef __cplusplus
}
#endif
#endif
