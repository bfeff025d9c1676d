/* internal.h - what an optimiser is, and the table of segments that optimisers and clipping hand to
 * the device. (internal) */
#ifndef COTANGENT_OPTIM_INTERNAL_H
#define COTANGENT_OPTIM_INTERNAL_H

#include "autograd/internal.h"

#include <cotangent/autograd/params/params.h>
#include <cotangent/optim/schedule.h>

/* ---- segments (segments.c) ---- */

/* The trained parameters of a set that have a gradient, in order; a value of several names is
 * trained under one of them. Lives in pooled memory. */
typedef struct cti_table {
    ct_storage *memory;
    cti_segment *segment;
    int *at; /* segment i is parameter at[i] of the set */
    int count;
} cti_table;

/* False with an error. */
bool cti_table_make(const char *function, const ct_params *set, cti_table *t);
void cti_table_free(cti_table *t);

/* The gradient of segment i. */
ct_tensor *cti_table_grad(const ct_params *set, const cti_table *t, int i);

/* ct_clip_grad_norm, which leaves it to the caller to raise for a gradient that is not finite:
 * returns its parameter. NULL with an error for what else may be wrong. norm, f64 of one element on
 * the set's device, or NULL, is written there: nothing waits for it. step, or 0: what an
 * asynchronous device's message says later. */
const ct_param *cti_clip_grad_norm(const char *function, ct_params *set, double max_norm,
                                   ct_tensor *norm, int64_t step);

/* ---- optimisers ---- */

#define CTI_STATES 3

/* A rule of optimizer.h: its words for its state, in the kernel's order. */
typedef struct cti_rule {
    const char *name;
    const char *state[CTI_STATES];
    bool counts; /* "step" is part of its state */
} cti_rule;

/* One parameter of the set. */
typedef struct cti_slot {
    ct_param *param;
    ct_tensor *state[CTI_STATES]; /* owned; NULL until its first update, and what is not used */
    char *name[CTI_STATES + 1];   /* "exp_avg.rnn.weight_ih_l0"; the last one of "step" */
    int64_t steps;                /* updates so far */
    int group;                    /* its place in the array of groups; -1 for none */
} cti_slot;

typedef struct cti_group {
    char *pattern;
    bool own_lr, own_decay;
    double lr, weight_decay;
} cti_group;

struct ct_optimizer {
    ct_params *set;
    const cti_rule *rule;
    cti_update update;
    bool uses[CTI_STATES]; /* the state that these options need */
    bool decoupled;        /* AdamW's decay */
    double lr, weight_decay, lr_decay, initial;

    cti_slot *slot; /* of each parameter of the set met so far */
    int count;
    size_t room;
    cti_group *group;
    int groups;
    size_t group_room;
    ct_schedule *schedule;
};

/* A slot for each parameter that the set has by now; false with an error. */
bool cti_optimizer_slots(const char *function, ct_optimizer *o);

/* The state of a slot, for a parameter that is settled; false with an error. */
bool cti_slot_state(const ct_optimizer *o, cti_slot *slot);

/* The rate and decay in use for a group (-1: none). */
double cti_optimizer_rate(const ct_optimizer *o, int group);
double cti_optimizer_decay(const ct_optimizer *o, int group);

/* What a segment holds besides addresses, for its next update (rules.c). */
void cti_rule_prepare(const ct_optimizer *o, const cti_slot *slot, cti_segment *s);

/* ---- schedules ---- */

double cti_schedule_rate(const ct_schedule *s, double lr);
void cti_schedule_free(ct_schedule *s);

/* What it remembers: count numbers, the first one t. */
int cti_schedule_count(const ct_schedule *s);
void cti_schedule_save(const ct_schedule *s, double *numbers);
bool cti_schedule_load(ct_schedule *s, const double *numbers); /* false: they cannot be its own */

#endif
