/* plan_models.h - random models that compute a step: for the tests of plans and of exported code. */
#ifndef TESTS_PLAN_MODELS_H
#define TESTS_PLAN_MODELS_H

#include <cotangent/nn/module.h>
#include <cotangent/nn/plan.h>
#include <cotangent/nn/recurrent.h>
#include <cotangent/tensor/random.h>

/* x, or an embedding of ids -> front -> recurrent layers -> back -> y */
typedef struct plan_model {
    ct_params *params;
    ct_module *front, *back; /* NULL: none */
    ct_recurrent *recurrent; /* NULL: none */
    int64_t batch, size;     /* x is (batch, size); ids are (batch), in 0 .. size - 1 */
    bool ids;
    char what[200]; /* its kinds and options, for messages */
} plan_model;

/* The model of a seed, whose parameters are drawn. batch 0: 1 to 3. */
plan_model plan_model_new(uint64_t seed, int64_t batch);
void plan_model_free(plan_model *m);

/* One step. m is a plan_model: the function of a plan. */
ct_status plan_model_step(void *m, ct_plan_call *call);

/* What a plan of m needs; the state is the caller's. NULL for a model without a recurrent part. */
ct_plan_options plan_model_options(const plan_model *m, ct_state **state);

/* Draws an input: floats, or ids of i32. */
void plan_model_draw(const plan_model *m, ct_generator *g, void *x);

#endif
