/* SPDX-License-Identifier: MIT */
/* plan_internal.h - the struct behind ct_plan. (internal) */
#ifndef COTANGENT_NN_PLAN_INTERNAL_H
#define COTANGENT_NN_PLAN_INTERNAL_H

#include "tensor/program.h"

#include <cotangent/nn/plan.h>

#define CTI_PLAN_MOST_STATES 64

/* An input, an output or a tensor of the state. */
typedef struct cti_plan_slot {
    ct_shape shape;
    ct_dtype dtype;
    int buffer;
    int next;    /* for a state: the buffer of its value after the step */
    void *begin; /* for a state: its initial value */
} cti_plan_slot;

struct ct_plan {
    cti_program *program;
    int inputs, outputs, states;
    cti_plan_slot input[CT_PLAN_MOST], output[CT_PLAN_MOST], state[CTI_PLAN_MOST_STATES];
};

/* The number of bytes of a slot's value. */
size_t cti_plan_slot_bytes(const cti_plan_slot *s);

/* Does the work of ct_plan_new_function. Errors name the function `me`. */
ct_plan *cti_plan_new(const char *me, ct_params *params, ct_plan_function function, void *context,
                      const ct_plan_options *options);

/* The planned functions of ct_plan_new and ct_plan_new_step. */
ct_status cti_plan_forward(void *module, ct_plan_call *call);
ct_status cti_plan_recurrent_step(void *recurrent, ct_plan_call *call);

#endif
