/* SPDX-License-Identifier: MIT */
/* internal.h - optimisers, their options and state, and the table of parameters that optimisers and
 * clipping give to the device. (internal) */
#ifndef COTANGENT_OPTIM_INTERNAL_H
#define COTANGENT_OPTIM_INTERNAL_H

#include "autograd/internal.h"
#include "tensor/claimed_tensors.h"
#include "tensor/entries.h"
#include "tensor/named_tensors.h"

#include <cotangent/autograd/params/params.h>
#include <cotangent/optim/optimizer_table.h>
#include <cotangent/optim/schedule.h>

/* ---- the table of parameters (param_table.c) ---- */

/* The trained parameters of a set that have a gradient, in order. A value with several names is in the
 * table once. The table is in pooled memory. */
typedef struct cti_param_table {
    const ct_params *set;
    ct_storage *memory;
    cti_segment *segment;
    int *at; /* segment i is parameter at[i] of the set */
    int count;
} cti_param_table;

/* False with an error. */
bool cti_param_table_make(const char *function, const ct_params *set, cti_param_table *t);
void cti_param_table_free(cti_param_table *t);

/* The parameter of segment i, and its gradient. */
ct_param *cti_param_table_param(const cti_param_table *t, int i);
ct_tensor *cti_param_table_grad(const cti_param_table *t, int i);

/* Multiplies all gradients by factor. */
void cti_param_table_scale_grads(const cti_param_table *t, double factor);

/* Like ct_clip_grad_norm, but returns the parameter whose gradient is not finite instead of raising
 * an error. Returns NULL on success, and on any other error (raised). Writes the norm to norm, f64
 * of one element on the set's device, unless that is NULL; does not wait for it. step, or 0: the
 * number of the step, for the later message of an asynchronous device. */
const ct_param *cti_clip_grad_norm(const char *function, const cti_param_table *t, double max_norm,
                                   ct_tensor *norm, int64_t step);

/* ---- optimisers of the library (algorithms.c, composed_algorithms.c) and options (options.c) ---- */

typedef struct cti_algorithm {
    const char *name; /* "sgd": for command lines */
    const ct_optimizer_table *table;
} cti_algorithm;

/* In the order in which they are listed; a NULL name ends them. */
extern const cti_algorithm cti_algorithms[];

extern const ct_optimizer_table cti_adamax, cti_adadelta, cti_nadam, cti_radam, cti_lion;

/* b^n by squaring: the same bits on any processor, which pow does not guarantee. */
static inline double cti_power(double b, int64_t n)
{
    double result = 1;

    for (; n > 0; n /= 2, b *= b)
        if (n % 2)
            result *= b;
    return result;
}

/* Like ct_optimizer_new; function is named in messages. The table has been checked. */
ct_optimizer *cti_optimizer_new(const char *function, ct_params *set,
                                const ct_optimizer_table *table, const void *options);

/* False with an error, in which function is named, for an incomplete or contradictory table. */
bool cti_optimizer_table_check(const char *function, const ct_optimizer_table *table);

/* An update_all that calls a kernel. rule has the numbers of the rule, but not the rates; the rates of each
 * update are a cti_rates. */
ct_status cti_update_fused(cti_update *rule, const ct_optimizer_update *u, int count);

/* The option with a name, or NULL; the value of an option's field, 0 or 1 for a flag. */
const ct_optimizer_option *cti_option_find(const ct_optimizer_table *table, const char *name);
double cti_option_get(const ct_optimizer_option *option, const void *options);

/* The value of an option by its name; 0 if the table does not have it. */
double cti_option_value(const ct_optimizer_table *table, const void *options, const char *name);

/* Sets an option's field to a value. 0 stands for 0, not for the default. */
void cti_option_set(const ct_optimizer_option *option, void *options, double value);

/* Fills in the defaults. False with an error. */
bool cti_options_settle(const char *function, const ct_optimizer_table *table, void *options);

/* False with an error, if v is not in the option's range. */
bool cti_option_check(const char *function, const ct_optimizer_option *option, double v);

/* ---- optimisers ---- */

/* One parameter of the set. */
typedef struct cti_slot {
    ct_param *param;
    ct_tensor
        *state[CT_OPTIMIZER_STATES]; /* owned; NULL until its first update, and what is not used */
    char *name[CT_OPTIMIZER_STATES +
               1]; /* "exp_avg.rnn.weight_ih_l0"; the last one is that of "step" */
    int64_t steps; /* updates so far */
    int group;     /* an index of the array of groups; -1: no group */
    bool stands;   /* it represents its value: cti_params_stands */
} cti_slot;

typedef struct cti_group {
    char *pattern;
    bool own_lr, own_decay;
    double lr, weight_decay;
} cti_group;

struct ct_optimizer {
    ct_params *set;
    const ct_optimizer_table *table;
    void *options;                      /* owned; the table's struct, with the defaults */
    bool keeps[CT_OPTIMIZER_STATES];    /* whether these options need state k */
    double begins[CT_OPTIMIZER_STATES]; /* the initial value of all elements of state k */
    double lr, weight_decay;            /* of parameters whose group has no value of its own */

    cti_slot *slot; /* one for each parameter of the set that is known so far */
    int count;
    size_t room;
    int ties; /* cti_params_ties when the slots were last assigned */
    cti_group *group;
    int groups;
    size_t group_room;
    ct_schedule *schedule;
};

/* Makes a slot for each parameter that was added to the set; false with an error. */
bool cti_optimizer_slots(const char *function, ct_optimizer *o);

/* The shape of state k of a slot, for a parameter of this shape. */
ct_shape cti_slot_shape(const ct_optimizer *o, int k, ct_shape shape);

/* Makes the states of a slot, whose parameter must not be lazy; false with an error. */
bool cti_slot_state(const ct_optimizer *o, cti_slot *slot);

/* The rate and decay in use for a group (-1: none). */
double cti_optimizer_rate(const ct_optimizer *o, int group);
double cti_optimizer_decay(const ct_optimizer *o, int group);

/* ct_optimizer_step with a table of the set's parameters, or NULL. A table of another set is not
 * used. */
ct_status cti_optimizer_step(ct_optimizer *o, cti_param_table *t);

/* Adds everything that two optimisers must have in common for one to resume the other's run: the
 * algorithm, its options, groups and schedule. present: with the learning rate in use instead of the one
 * that it was made with. */
void cti_optimizer_describe(const ct_optimizer *o, cti_entries *e, bool present);

/* ---- the optimiser's section of a checkpoint (state.c) ----
 *
 *     PREFIX lr            f64 (1 + groups): the present rates; NaN for a group without its own
 *     PREFIX schedule      f64 (n), if there is a schedule
 *     PREFIX updates       i64 (parameters): the number of updates of each parameter of the set
 *     PREFIX KIND.NAME     the states of each parameter that was updated
 *     PREFIX step.NAME     i64: its number of updates, if the table saves it
 *
 * A section that lacks one of these, or has another tensor, is refused. */
typedef struct cti_optimizer_staged cti_optimizer_staged;

typedef struct cti_optimizer_names {
    const char *prefix; /* of the section's tensors */
    const char *model; /* the prefix of the set (cti_params_prefix), which names in the file lack */
} cti_optimizer_names;

/* Adds the section to a list, in the innermost scope. Errors name the list's function. */
void cti_optimizer_state_write(ct_optimizer *o, const char *prefix, cti_named_tensors *l);

/* Reads and checks a section without changing o. NULL with an error that names the tensor. */
cti_optimizer_staged *cti_optimizer_state_judge(ct_optimizer *o, cti_claims *c,
                                                const cti_optimizer_names *names);

/* Moves the state into o and frees s. Cannot fail. No parameter may be lazy. */
void cti_optimizer_state_apply(ct_optimizer *o, cti_optimizer_staged *s);
void cti_optimizer_staged_free(cti_optimizer_staged *s); /* NULL is allowed */

/* ---- schedules ---- */

double cti_schedule_rate(const ct_schedule *s, double lr);
void cti_schedule_free(ct_schedule *s);

/* Whether maximize of each of its plateau parts has this value. */
bool cti_schedule_plateau_fits(const ct_schedule *s, bool maximize);

/* The state of a schedule: count numbers, of which the first is t. */
int cti_schedule_count(const ct_schedule *s);
void cti_schedule_save(const ct_schedule *s, double *numbers);
bool cti_schedule_fits(const ct_schedule *s, const double *numbers); /* they can be its state */
void cti_schedule_load(ct_schedule *s, const double *numbers);       /* must fit */

/* Adds the parts of a schedule: "step_lr 2 0.7, cosine_lr 100 0; from 500: linear_lr ...". Of a function of
 * the caller only the kind is added. */
void cti_schedule_describe(const ct_schedule *s, cti_buffer *b);

#endif
