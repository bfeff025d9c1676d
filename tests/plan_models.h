/* SPDX-License-Identifier: MIT */
/* plan_models.h - random models that compute a step: for the tests of plans and of exported
 * code. */
#ifndef TESTS_PLAN_MODELS_H
#define TESTS_PLAN_MODELS_H

#include <cotangent/nn/module.h>
#include <cotangent/nn/plan.h>
#include <cotangent/nn/recurrent.h>
#include <cotangent/tensor/random.h>

/* The model is: x, or an embedding of ids -> front -> recurrent layers -> back -> y. */
typedef struct plan_model {
    ct_params *params;
    ct_module *front, *back; /* may be NULL */
    ct_recurrent *recurrent; /* may be NULL */
    int64_t batch, size;     /* x is (batch, size); ids are (batch), in 0 .. size - 1 */
    bool ids;
    char what[200]; /* the kinds and options of the model, for messages */
} plan_model;

/* Makes the model of a seed with random parameters. If batch is 0, it is drawn from 1 to 3. */
plan_model plan_model_new(uint64_t seed, int64_t batch);
void plan_model_free(plan_model *m);

/* Runs one step. It is the function of a plan, and m must be a plan_model. */
ct_status plan_model_step(void *m, ct_plan_call *call);

/* The options of a plan of m. *state is the initial state, which the caller frees. It is NULL if
 * the model has no recurrent part. */
ct_plan_options plan_model_options(const plan_model *m, ct_state **state);

/* Draws an input: floats, or ids in i32. */
void plan_model_draw(const plan_model *m, ct_generator *g, void *x);

#endif
