/* internal.h - algorithms and their options, optimisers, and the table of parameters that
 * optimisers and clipping give to the device. (internal) */
#ifndef COTANGENT_OPTIM_INTERNAL_H
#define COTANGENT_OPTIM_INTERNAL_H

#include "autograd/internal.h"
#include "tensor/claimed_tensors.h"
#include "tensor/entries.h"
#include "tensor/named_tensors.h"

#include <cotangent/autograd/params/params.h>
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

/* Like ct_clip_grad_norm, but returns the parameter whose gradient is not finite instead of raising
 * an error. Returns NULL on success, and on any other error (raised). Writes the norm to norm, f64
 * of one element on the set's device, unless that is NULL; does not wait for it. step, or 0: the
 * number of the step, for the later message of an asynchronous device. */
const ct_param *cti_clip_grad_norm(const char *function, const cti_param_table *t, double max_norm,
                                   ct_tensor *norm, int64_t step);

/* ---- algorithms (algorithms.c) and their options (options.c) ---- */

#define CTI_STATES 3

/* An option of an algorithm: a field of its struct of options. The table of these gives defaults,
 * checks, and what a checkpoint says and compares. */
typedef struct cti_option_field {
    const char *name;
    size_t offset;    /* of a double, or of a bool */
    bool flag;        /* it is a bool */
    double usual;     /* the default: the value that 0 stands for; CT_ZERO stands for 0 */
    double low, high; /* allowed: low <= value < high */
} cti_option_field;

/* A tensor that an algorithm keeps for each parameter. */
typedef struct cti_state_kind {
    const char *name;   /* PyTorch's, for checkpoints */
    const char *only;   /* kept only if this option is not 0; NULL: always */
    const char *begins; /* begins with the value of this option; NULL: with 0 */
} cti_state_kind;

/* One parameter's update, for an algorithm composed from ops. */
typedef struct cti_composed {
    const void *options;     /* the algorithm's struct, defaults filled in */
    double lr, weight_decay; /* the parameter's own, after groups and schedule */
    int64_t t;               /* number of this update, from 1 */
    ct_tensor *value;
    ct_tensor *grad;              /* grad + weight_decay value (maximize: - grad) */
    ct_tensor *state[CTI_STATES]; /* before the update; to be replaced by those after it */
} cti_composed;

/* Either fused, for which backends have a kernel, or composed from ops. */
typedef struct cti_algorithm {
    const char *name;               /* "sgd": for ct_optimizer_new */
    const char *title;              /* "SGD": for messages and checkpoints */
    size_t size;                    /* of its struct of options */
    const cti_option_field *option; /* a NULL name ends them; among them lr and weight_decay */
    cti_state_kind state[CTI_STATES];
    bool counts; /* "step" is part of its state */

    /* Raises for options that do not go together; NULL: all do. */
    bool (*check)(const char *function, const void *options);

    /* Fused: fills in the kernel's numbers, once, and those that change, for each update: s has the
     * parameter's lr, weight_decay, shrink 1 and root 1. Either may be NULL. */
    cti_update_rule kernel;
    void (*fill)(const void *options, cti_update *u);
    void (*rates)(const void *options, int64_t t, cti_segment *s);

    /* Composed: returns the new value and replaces state; NULL with an error. NULL: it is fused. */
    ct_tensor *(*compose)(cti_composed *c);
} cti_algorithm;

/* All algorithms, in the order in which they are listed; NULL ends them. */
extern const cti_algorithm *const cti_algorithms[];

/* An optimiser with a copy of options, whose zeros become defaults. NULL with an error that names
 * the option, its value and the allowed range. */
ct_optimizer *cti_optimizer_new(const char *function, const cti_algorithm *a, ct_params *set,
                                const void *options);

/* The option of a name, or NULL; the value of a field: 0 or 1 of a flag. */
const cti_option_field *cti_option_find(const cti_algorithm *a, const char *name);
double cti_option_get(const cti_option_field *option, const void *options);

/* The same by name; 0 for one that the algorithm does not have. */
double cti_option_value(const cti_algorithm *a, const void *options, const char *name);

/* Sets a field to a value; 0 is 0, not the default. */
void cti_option_set(const cti_option_field *option, void *options, double value);

/* Fills in the defaults. False with an error. */
bool cti_options_settle(const char *function, const cti_algorithm *a, void *options);

/* False with an error, if v is not in the option's range. */
bool cti_option_check(const char *function, const cti_option_field *option, double v);

/* ---- optimisers ---- */

/* One parameter of the set. */
typedef struct cti_slot {
    ct_param *param;
    ct_tensor *state[CTI_STATES]; /* owned; NULL until its first update, and what is not used */
    char *name[CTI_STATES + 1];   /* "exp_avg.rnn.weight_ih_l0"; the last one of "step" */
    int64_t steps;                /* updates so far */
    int group;                    /* its place in the array of groups; -1 for none */
    bool stands;                  /* for its value: cti_params_stands */
} cti_slot;

typedef struct cti_group {
    char *pattern;
    bool own_lr, own_decay;
    double lr, weight_decay;
} cti_group;

struct ct_optimizer {
    ct_params *set;
    const cti_algorithm *algorithm;
    void *options;             /* owned; the algorithm's struct, defaults filled in */
    bool keeps[CTI_STATES];    /* the state that these options need */
    double begins[CTI_STATES]; /* and the value of all its elements at first */
    double lr, weight_decay;   /* of parameters in no group that has its own */

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

/* The state of a slot, for a parameter whose shape is known; false with an error. */
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
 *     PREFIX KIND.NAME     the state of each parameter that was updated, of its shape
 *     PREFIX step.NAME     i64: its number of updates, for an algorithm that counts
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

/* What it remembers: count numbers, the first one t. */
int cti_schedule_count(const ct_schedule *s);
void cti_schedule_save(const ct_schedule *s, double *numbers);
bool cti_schedule_fits(const ct_schedule *s, const double *numbers); /* they can be its own */
void cti_schedule_load(ct_schedule *s, const double *numbers);       /* which fit */

/* Adds what decides its rates: "step_lr 2 0.7, cosine_lr 100 0; from 500: linear_lr ...". A function
 * of the caller's is only named. */
void cti_schedule_describe(const ct_schedule *s, cti_buffer *b);

#endif
