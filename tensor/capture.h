/* capture.h - a whole training step as one launch.
 *
 * A GPU is started some hundred times for a step, and where its kernels are short, starting them is
 * what takes the time. What they are, and on which addresses, is the same in each step; so the
 * device can note it once and repeat it (a CUDA graph). The results have the same bits.
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
 * The step reads and writes tensors made before it (x, y, the state, the loss, parameters) and is
 * the same each time: one that decides anything by a value, by a count of its own, or by a batch of
 * another size cannot be captured. What it does on the host is done in its first three runs and
 * never again, but for what the library does: optimisers and schedules go on as they should, steps
 * counted, rates as they then are, and so do the generators that it draws from. */
#ifndef COTANGENT_TENSOR_CAPTURE_H
#define COTANGENT_TENSOR_CAPTURE_H

#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ct_capture ct_capture;
typedef void (*ct_capture_function)(void *context);

/* A step that calls function(context), for a device. context may be NULL. NULL with CT_ERR_ARGUMENT
 * if function is NULL, or CT_ERR_DEVICE. */
ct_capture *ct_capture_new(ct_device device, ct_capture_function function, void *context);

/* One step, in a scope of its own. The first two runs call function, on a device that can capture
 * the third calls it while its kernels are noted, and repeats them, as all that follow do. On the
 * CPU each run calls function. A sink: does nothing while an error stands.
 *
 * From the second run on these are refused (CT_ERR_DEVICE), on a device that can capture: reading
 * a value (ct_item, a norm, lengths, ct_print) and taking data from the host (ct_from_data, ct_to
 * from the CPU, a file). CT_ERR_SCOPE, in the third, for a step that leaves something behind:
 * what it makes must end with it, gradients too, so it ends with an optimiser's step or
 * ct_params_zero_grad. CT_ERR_GRAD while history is open, whose tensors the step would overwrite
 * unseen. CT_ERR_ARGUMENT for parameters that have been moved or frozen since they were captured,
 * and for a generator that is a variable of the step. After an error the next run calls function
 * again, as the first did.
 *
 * It runs on the thread that made it, and while it is captured (in the third run) no other thread
 * may use the device. An index out of range or a norm that is not finite is told as usual, by
 * whatever waits for the device, at the place of its op. */
ct_status ct_capture_run(ct_capture *captured);

/* Whether the next run repeats what was noted, and calls nothing; false for NULL. */
bool ct_capture_is_ready(const ct_capture *captured);

/* Frees it, and the buffers of its step. NULL is allowed. Once the optimisers, schedules and generators that it uses
 * are gone it must not run again. */
void ct_capture_free(ct_capture *captured);

#ifdef __cplusplus
}
#endif
#endif
