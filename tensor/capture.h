/* SPDX-License-Identifier: MIT */
/* capture.h - a whole training step as one launch.
 *
 * A training step launches some hundred kernels. If they are short, launch overhead dominates. Every
 * step launches the same kernels on the same addresses, so the device can record them once and
 * replay them as one launch (a CUDA graph). The results have the same bits.
 *
 *     static void step(void *context)
 *     {
 *         job *j = context;
 *         ct_state *next;
 *         ct_tensor *loss = ct_cross_entropy(forward(j, j->x, j->state, &next), j->y);
 *
 *         ct_backward(loss);
 *         ct_clip_grad_norm(j->params, 1, NULL);
 *         ct_optimizer_step(j->sgd);
 *         ct_state_carry(j->state, next);
 *         ct_copy_into(j->loss, loss);
 *     }
 *
 *     ct_capture *captured = ct_capture_new(device, step, &job);
 *     while (ct_loader_next(loader, &batch)) {
 *         ct_copy_into(job.x, batch.x);
 *         ct_copy_into(job.y, batch.y);
 *         if (ct_capture_run(captured) != CT_OK)
 *             break;
 *     }
 *     ct_capture_free(captured);
 *
 * The step reads and writes tensors that were made before it (x, y, the state, the loss, parameters).
 * It must do the same each time: it must not branch on the values of tensors, on its own counters
 * or on the size of the batch. Host code of the step runs in the first three calls only. Optimisers,
 * schedules and generators of the library still advance on every replay. */
#ifndef COTANGENT_TENSOR_CAPTURE_H
#define COTANGENT_TENSOR_CAPTURE_H

#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The kernels of a step, recorded to be run again. */
typedef struct ct_capture ct_capture;
typedef void (*ct_capture_function)(void *context);

/* Makes a captured step that calls function(context) on a device. context may be NULL. Free it with
 * ct_capture_free. Returns NULL with CT_ERR_ARGUMENT if function is NULL, or with CT_ERR_DEVICE if
 * the device does not exist. */
ct_capture *ct_capture_new(ct_device device, ct_capture_function function, void *context);

/* Runs one step in its own scope. The first two runs call function. On a device that can capture,
 * the third run calls it while its kernels are recorded, then replays them; all later runs replay
 * only. On the CPU each run calls function. Does nothing while an error is recorded.
 *
 * On a device that can capture, two kinds of calls raise CT_ERR_DEVICE from the second run on:
 * those that read a value (ct_item, a norm, lengths, ct_print) and those that take data from the
 * host (ct_from_data, ct_to from the CPU, a file). CT_ERR_SCOPE from the second run on if the step
 * leaves memory allocated. It must free everything that it makes, gradients too; so it must end
 * with an optimiser's step or ct_params_zero_grad. CT_ERR_GRAD if the thread has recorded history,
 * whose tensors the step would overwrite. CT_ERR_ARGUMENT if parameters were moved or frozen since
 * they were captured, and for a generator that is a variable of the step. After an error the next
 * run counts as the first.
 *
 * Call it on the thread that made the captured step. Other threads may use the device at any time,
 * also while the step is captured, and may capture their own steps. An index out of range, or a
 * norm that is not finite, is reported as on any device: the next call that waits for the device
 * raises the error and names the place of the op. */
ct_status ct_capture_run(ct_capture *captured);

/* True if the next run replays the recording without calling the function. False for NULL. */
bool ct_capture_is_ready(const ct_capture *captured);

/* Frees the captured step and its buffers. NULL is allowed. A captured step must not run after an
 * optimiser, schedule or generator that it uses has been freed. */
void ct_capture_free(ct_capture *captured);

#ifdef __cplusplus
}
#endif
#endif
