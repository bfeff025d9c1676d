/* SPDX-License-Identifier: MIT */
/* plan.h - a planned step: a forward pass that allocates no memory, takes no lock and makes no
 * system call.
 *
 * A plan is made once from a module, from one step of a recurrent module, or from a function of the
 * program. It records which kernels the forward pass calls and takes all memory. Then ct_plan_run
 * repeats these calls on new inputs. It suits an audio callback, a control loop or a server that
 * needs steady latency. The results have the bits of the same forward pass in inference.
 *
 *     ct_plan *p = ct_plan_new_step(params, lstm, 1);
 *     float *x = ct_plan_input(p, 0);
 *     const float *y = ct_plan_output(p, 0);
 *
 *     for (;;) {
 *         read_sample(x);
 *         if (ct_plan_run(p) != CT_OK)      y and the state are those after the step
 *             break;
 *         write_sample(y);
 *     }
 *     ct_plan_free(p);
 *
 * A function that is planned must do the same each time: it must not branch on the values of
 * tensors or on its own counters. A plan cannot repeat some calls, and making the plan then
 * fails. These are reading values (ct_item, ct_data, lengths), random numbers (dropout in
 * training), losses, gradients, writing parameters, results that no kernel computes, and tensors
 * of the caller that are neither inputs nor parameters. Host data (ct_from_data) become
 * constants of the plan. */
#ifndef COTANGENT_NN_PLAN_H
#define COTANGENT_NN_PLAN_H

#include <cotangent/nn/module.h>
#include <cotangent/nn/recurrent.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A planned step. The caller frees it with ct_plan_free. */
typedef struct ct_plan ct_plan;

/* ---- making a plan ---- */

/* Makes a plan of ct_forward(m, x) for x of this shape and dtype. params is the set of m and must
 * be on the CPU. Lazy parameters are materialised.
 *
 * The plan does not copy the parameters. It keeps their memory alive and may keep tables that
 * were computed from them. After parameters have changed, make a new plan. The caller frees the
 * plan with ct_plan_free. Returns NULL with CT_ERR_ARGUMENT if a call cannot be planned (see
 * above), CT_ERR_DEVICE if params is not on the CPU, or an error of the forward pass. The
 * message names the place of the call. Without ct_set_portable, a product of 2 to 63 rows
 * cannot be planned, because BLAS computes it and takes locks. */
ct_plan *ct_plan_new(ct_params *params, ct_module *m, ct_shape shape, ct_dtype dtype);

/* Makes a plan of ct_recurrent_step(r, x, state, &next) for `batch` rows. Input 0 is x (batch,
 * input_size), output 0 is y (batch, output size). The plan holds the state. The input size of r
 * must be known. Errors are those of ct_plan_new. */
ct_plan *ct_plan_new_step(ct_params *params, ct_recurrent *r, int64_t batch);

#define CT_PLAN_MOST 8 /* the maximum number of inputs, and of outputs */

/* One call of a function that is planned. */
typedef struct ct_plan_call {
    ct_tensor *input[CT_PLAN_MOST];
    const ct_state *state; /* the state before the call; NULL if the plan has no state */

    /* The function sets these. next must have the shapes of state. */
    ct_state *next;
    ct_tensor *output[CT_PLAN_MOST];
} ct_plan_call;

/* A function that is planned. It returns CT_OK, or an error that it has raised. It is called
 * three times while the plan is made. Inputs and state are zeros in some of these calls and
 * numbers in 0.1 .. 0.9 in others. Indices are 0. */
typedef ct_status (*ct_plan_function)(void *context, ct_plan_call *call);

typedef struct ct_plan_options {
    int inputs, outputs; /* each is in 0..CT_PLAN_MOST; default 1 */
    ct_shape shape[CT_PLAN_MOST];
    ct_dtype dtype[CT_PLAN_MOST]; /* the dtype of each input */
    /* The initial state, which is copied; NULL if the plan has no state. */
    const ct_state *state;
} ct_plan_options;

/* Makes a plan of a function of the program. params holds the parameters that it reads, and may
 * be NULL if it reads none. context may be NULL. CT_ERR_ARGUMENT also if function is NULL or
 * inputs or outputs are not in 0..CT_PLAN_MOST, CT_ERR_SHAPE if next does not have the shapes of
 * state. */
ct_plan *ct_plan_new_function(ct_params *params, ct_plan_function function, void *context,
                              ct_plan_options options);
void ct_plan_free(ct_plan *p); /* NULL is allowed */

/* ---- using a plan: one thread at a time ---- */

/* The contiguous memory of input i and of output i, which the plan owns. Write the input before
 * ct_plan_run and read the output after it. Return NULL with CT_ERR_INDEX if i is out of range. */
void *ct_plan_input(ct_plan *p, int i);
const void *ct_plan_output(const ct_plan *p, int i);

/* The shape and the dtype of output i. CT_ERR_INDEX if i is out of range. */
ct_shape ct_plan_output_shape(const ct_plan *p, int i);
ct_dtype ct_plan_output_dtype(const ct_plan *p, int i);

/* Computes the outputs and the state after the step. Allocates nothing, takes no lock, makes no
 * system call, and uses only the calling thread, which may be any thread. The sizes bound its
 * time. Does nothing while an error is recorded. CT_ERR_INDEX if an index in an input is out of
 * range: the state is then unchanged. CT_ERR_ARGUMENT if ct_set_portable was changed since the
 * plan was made. Only an error allocates memory, for its message. */
ct_status ct_plan_run(ct_plan *p);

/* Sets the state to the initial state. CT_ERR_ARGUMENT if p is NULL. */
ct_status ct_plan_reset(ct_plan *p);

/* ct_plan_set_state copies a state into the plan; it must have the shapes of the plan's state.
 * ct_plan_state_new returns a copy of the plan's state, which the caller frees with
 * ct_state_free. CT_ERR_ARGUMENT if the plan has no state, CT_ERR_SHAPE if shapes or dtypes
 * differ. */
ct_status ct_plan_set_state(ct_plan *p, const ct_state *state);
ct_state *ct_plan_state_new(const ct_plan *p);

/* The bytes of memory of the plan, without the parameters. 0 if p is NULL. */
size_t ct_plan_bytes(const ct_plan *p);

#ifdef __cplusplus
}
#endif
#endif
