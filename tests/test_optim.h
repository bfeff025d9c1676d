/* SPDX-License-Identifier: MIT */
/* test_optim.h - for the sources of test_optim: a set, its gradients, runs of optim.txt. */
#ifndef TESTS_TEST_OPTIM_H
#define TESTS_TEST_OPTIM_H

#include "tests/harness.h"
#include "optim/internal.h"

#include <string.h>

void optim_step_cases(Suite *suite);
void optim_checkpoint_cases(Suite *suite);
void optim_table_cases(Suite *suite);

#define TOTAL 45 /* elements of the set below */

struct entry {
    const char *name;
    int64_t size;
};
extern const struct entry entries[3];

double gradient_at(int k, int64_t i, int t);

/* Returns a tensor (n) of the values f(k, i, t), rounded to float. */
ct_tensor *made(double (*f)(int k, int64_t i, int t), int k, int t, int64_t n, ct_dtype dtype);
ct_status fill(const ct_init *init, ct_tensor *t, ct_generator *g);
ct_params *three_params(ct_dtype dtype);
ct_tensor *value(ct_params *set, int k);

/* Adds to the gradient of parameter k; temporary tensors are freed. */
void give(ct_params *set, int k, int t);

/* Sets all elements of the gradient of parameter k to v. */
void give_constant(ct_params *set, int k, double v);

/* Writes all elements of the set to out, in order. */
void all_values(ct_params *set, double out[TOTAL]);
void expect_same_sets(const char *what, ct_params *a, ct_params *b);
ct_optimizer *rule_of(ct_params *set, const char *line);

/* Makes the optimiser of a run, with its group, frozen parameter and schedule. */
ct_optimizer *optimizer_of(ct_params *set, const char *line);
void one_step(ct_params *set, ct_optimizer *o, const char *line, int t);
double grad_item(ct_params *set, int k, int64_t i);

static const char *const resumed[] = {
    "run sgd lr=0.1 momentum=0.9 dampening=0.5 late=20 bias_lr=0.2",
    "run adam lr=0.05 amsgrad=1 late=9 step_size=7 schedule_gamma=0.8",
    "run adamw lr=0.05 weight_decay=0.5 late=15 bias_no_weight_decay=1",
    "run rmsprop lr=0.02 centered=1 momentum=0.5 weight_decay=0.1",
    "run adagrad lr=0.1 lr_decay=0.05 initial_accumulator_value=0.5 late=12",
    "run adamax lr=0.05 weight_decay=0.1 late=9",
    "run adadelta lr=0.5 weight_decay=0.1 late=9",
    "run nadam lr=0.05 weight_decay=0.1 late=9",
    "run radam lr=0.05 decoupled_weight_decay=1 weight_decay=0.1 late=9",
    "run lion lr=0.01 weight_decay=0.1 late=9",
    "run composed lr=0.05 weight_decay=0.1 late=9 step_size=7 schedule_gamma=0.8"
};

#endif
