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

/* The trained parameters of a set that have a gradient, in order. A value of several names is in it
 * once. Lives in pooled memory. */
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

/* ct_optimizer_new in the name of function. The table has been checked. */
ct_optimizer *cti_optimizer_new(const char *function, ct_params *set,
                                const ct_optimizer_table *table, const void *options);

/* False with an error in the name of function, for a table that is incomplete or contradictory. */
bool cti_optimizer_table_check(const char *function, const ct_optimizer_table *table);

/* An update_all by the kernel of a rule, whose numbers but rates are filled in. The rates of the
 * updates are a cti_rates each. */
ct_status cti_update_fused(cti_update *rule, const ct_optimizer_update *u, int count);

/* The option of a name, or NULL; the value of a field: 0 or 1 of a flag. */
const ct_optimizer_option *cti_option_find(const ct_optimizer_table *table, const char *name);
double cti_option_get(const ct_optimizer_option *option, const void *options);

/* The same by name; 0 for one that the table does not have. */
double cti_option_value(const ct_optimizer_table *table, const void *options, const char *name);

/* Sets a field to a value; 0 is 0, not the default. */
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
    char *name[CT_OPTIMIZER_STATES + 1]; /* "exp_avg.rnn.weight_ih_l0"; the last one of "step" */
    int64_t steps;                       /* updates so far */
    int group;                           /* its place in the array of groups; -1 for none */
    bool stands;                         /* for its value: cti_params_stands */
} cti_slot;

typedef struct cti_group {
    char *pattern;
    bool own_lr, own_decay;
    double lr, weight_decay;
} cti_group;

struct ct_optimizer {
    ct_params *set;
    const ct_optimizer_table *table;
    void *options;                      /* owned; the table's struct, defaults filled in */
    bool keeps[CT_OPTIMIZER_STATES];    /* the states that these options need */
    double begins[CT_OPTIMIZER_STATES]; /* and the value of all their elements at first */
    double lr, weight_decay;            /* of parameters in no group that has its own */

    cti_slot *slot; /* of each parameter of the set met so far */
    int count;
    size_t room;
    int ties; /* cti_params_ties when the slots were last assigned */
    cti_group *group;
    int groups;
    size_t group_room;
    ct_schedule *schedule;
};

/* A slot for each parameter that the set has by now; false with an error. */
bool cti_optimizer_slots(const char *function, ct_optimizer *o);

/* The shape of state k of a slot, for a parameter of this shape. */
ct_shape cti_slot_shape(const ct_optimizer *o, int k, ct_shape shape);

/* The states of a slot, for a parameter whose shape is known; false with an error. */
bool cti_slot_state(const ct_optimizer *o, cti_slot *slot);

/* The rate and decay in use for a group (-1: none). */
double cti_optimizer_rate(const ct_optimizer *o, int group);
double cti_optimizer_decay(const ct_optimizer *o, int group);

/* ct_optimizer_step with a table of the set's parameters, or NULL. A table of another set is not
 * used. */
ct_status cti_optimizer_step(ct_optimizer *o, cti_param_table *t);

/* Adds everything that two optimisers must have in common for one to resume the other's run: the
 * algorithm, its options, groups and schedule. The learning rates are the present ones. */
void cti_optimizer_describe(const ct_optimizer *o, cti_entries *e);

/* ---- the optimiser's section of a checkpoint (state.c) ----
 *
 *     PREFIX lr            f64 (1 + groups): the present rates; NaN for a group without its own
 *     PREFIX schedule      f64 (n), if there is a schedule
 *     PREFIX updates       i64 (parameters): the number of updates of each parameter of the set
 *     PREFIX KIND.NAME     the states of each parameter that was updated
 *     PREFIX step.NAME     i64: its number of updates, if the table saves it
 *
 * A state that lacks one of these is refused, and one that has another one. */
typedef struct cti_optimizer_staged cti_optimizer_staged;

typedef struct cti_optimizer_names {
    const char *prefix; /* of the section's tensors */
    const char *model;  /* what the names of parameters lack in the file: cti_params_prefix */
} cti_optimizer_names;

/* Adds the section to a list, in the innermost scope; raises in its function's name. */
void cti_optimizer_state_write(ct_optimizer *o, const char *prefix, cti_named_tensors *l);

/* Reads and judges a section without changing o. NULL with an error that names the tensor. */
cti_optimizer_staged *cti_optimizer_state_judge(ct_optimizer *o, cti_claims *c,
                                                const cti_optimizer_names *names);

/* Gives o the state, and frees s. Cannot fail. Lazy parameters must have their shapes by now. */
void cti_optimizer_state_apply(ct_optimizer *o, cti_optimizer_staged *s);
void cti_optimizer_staged_free(cti_optimizer_staged *s); /* NULL is allowed */

/* ---- schedules ---- */

double cti_schedule_rate(const ct_schedule *s, double lr);
void cti_schedule_free(ct_schedule *s);

/* Whether all its plateau parts have this maximize. */
bool cti_schedule_plateau_fits(const ct_schedule *s, bool maximize);

/* What it remembers: count numbers, the first one t. */
int cti_schedule_count(const ct_schedule *s);
void cti_schedule_save(const ct_schedule *s, double *numbers);
bool cti_schedule_fits(const ct_schedule *s, const double *numbers); /* they can be its own */
void cti_schedule_load(ct_schedule *s, const double *numbers);       /* which fit */

/* Adds what decides its rates: "step_lr 2 0.7, cosine_lr 100 0; from 500: linear_lr ...". A function
 * of the caller's is only named. */
void cti_schedule_describe(const ct_schedule *s, cti_buffer *b);

#endif
