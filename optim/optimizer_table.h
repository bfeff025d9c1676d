/* SPDX-License-Identifier: MIT */
/* optimizer_table.h - tables for optimisers of your own. The library's optimisers are such tables
 * too.
 *
 *     // w -= lr (sign(m) + weight_decay w), m = momentum m + (1 - momentum) grad
 *     typedef struct sign_options {
 *         double lr, momentum, weight_decay;
 *     } sign_options;
 *
 *     static const ct_optimizer_option options[] = {
 *         CT_OPTIMIZER_OPTION(sign_options, lr, 1e-3, 0, INFINITY),
 *         CT_OPTIMIZER_OPTION(sign_options, momentum, 0.9, 0, 1),
 *         CT_OPTIMIZER_OPTION(sign_options, weight_decay, 0, 0, INFINITY),
 *         { .name = NULL },
 *     };
 *
 *     static ct_tensor *sign_update(ct_optimizer_update *u)
 *     {
 *         const sign_options *o = u->options;
 *         ct_tensor *m = ct_add(ct_mul_scalar(u->state[0], o->momentum),
 *                               ct_mul_scalar(u->grad, 1 - o->momentum));
 *         ct_tensor *d = ct_add(ct_sign(m), ct_mul_scalar(u->value, u->weight_decay));
 *
 *         u->state[0] = m;
 *         return ct_sub(u->value, ct_mul(d, ct_optimizer_rate(u, 0)));
 *     }
 *
 *     static const ct_optimizer_table sign_table = {
 *         .name = "Sign", .options_size = sizeof(sign_options), .options = options,
 *         .states = { { .name = "momentum_buffer" } }, .update = sign_update, .captures = true,
 *     };
 *
 *     ct_optimizer *o = ct_optimizer_new(params, &sign_table, &(sign_options){ .momentum = 0.8 });
 *
 * The library derives from the table: defaults, checks of values, groups, schedules, the state by
 * name, checkpoints, and the comparison of options on resume. */
#ifndef COTANGENT_OPTIM_OPTIMIZER_TABLE_H
#define COTANGENT_OPTIM_OPTIMIZER_TABLE_H

#include <stddef.h>

#include <cotangent/optim/optimizer.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CT_OPTIMIZER_STATES 4 /* the maximum number of states of an optimiser */
#define CT_OPTIMIZER_RATES 6  /* the maximum number of rates */

/* An option: a field of the optimiser's struct of options. These names have a meaning:
 *     lr            required: the learning rate, which groups and schedules change
 *     weight_decay  groups may change it
 *     maximize      a flag: the sign of the gradients is changed (see ct_optimizer_update) */
typedef struct ct_optimizer_option {
    const char *name;
    size_t offset;        /* the offset of a double in the options struct, or of a bool if
                           * is_flag */
    bool is_flag;         /* then the three numbers below are not used */
    double default_value; /* the value that 0 selects; CT_ZERO selects 0 */
    double low, high;     /* a value v is allowed if low <= v < high */
} ct_optimizer_option;

/* clang-format off */
#define CT_OPTIMIZER_OPTION(type, field, default_value, low, high) \
    { #field, offsetof(type, field), false, default_value, low, high }
#define CT_OPTIMIZER_FLAG(type, field) \
    { #field, offsetof(type, field), true, 0, 0, 0 }
/* clang-format on */

/* A tensor that is kept for each parameter, with the parameter's dtype and device. */
typedef struct ct_optimizer_state_kind {
    const char *name;           /* PyTorch's word, for checkpoints: "exp_avg" */
    const char *only;           /* kept only if this option is not 0; NULL: always */
    const char *initial_option; /* all elements begin with the value of this option; NULL: with the
                                 * value of initial */
    double initial;             /* used if initial_option is NULL */
    bool scalar;                /* has rank 0 instead of the parameter's shape */
} ct_optimizer_state_kind;

/* One update of one parameter. Nothing is recorded while it is computed. The tensors belong to the
 * library. */
typedef struct ct_optimizer_update {
    const char *name; /* the name of the parameter */
    /* grad is the gradient without weight decay. update gets -grad if the option maximize is true;
     * update_all gets grad. */
    ct_tensor *value, *grad;
    ct_tensor *state[CT_OPTIMIZER_STATES]; /* NULL for a state that is not kept */
    int64_t step;                          /* the number of this update of the parameter, from 1 */
    const void *options;                   /* the struct of options, with the defaults filled in */
    double lr, weight_decay;               /* the values for this parameter, after its group and the
                                            * schedule */
    double rate[CT_OPTIMIZER_RATES]; /* the result of the table's rates function; without one, lr */
    const double *captured; /* the rates on the device in a captured step, else NULL; used by
                             * ct_optimizer_rate */
} ct_optimizer_update;

/* The functions and options of an optimiser. The table must stay valid as long as the optimisers
 * made from it; make it static. */
typedef struct ct_optimizer_table {
    const char *name;                   /* for messages and checkpoints: "Lion" */
    size_t options_size;                /* the size of the options struct */
    const ct_optimizer_option *options; /* a NULL name ends them. A field of the struct that is not
                                         * listed is only copied. */
    ct_optimizer_state_kind states[CT_OPTIMIZER_STATES]; /* a NULL name ends them */
    bool saves_step; /* the number of updates is a state with the name "step", as in PyTorch */

    /* Optional: false, with an error raised in the name of function, for options that are not
     * allowed together. Each value is in its range. */
    bool (*check)(const char *function, const void *options);

    /* Optional: computes rate_count numbers that change from update to update, from u->options, lr,
     * weight_decay and step. The other fields of u are not set. NULL: one rate, lr. A captured step
     * calls it before each repetition. */
    int rate_count;
    void (*rates)(const ct_optimizer_update *u, double *rate);

    /* Either update or update_all.
     *
     * update returns the new value of the parameter, and replaces the entries of u->state that
     * change; NULL with an error raised. It may also write in place, by hand or with ct_copy_into,
     * and return u->value. All parameters are computed before any is stored, so an error changes
     * nothing that was not written in place.
     *
     * update_all updates count parameters (1 or more) in place, values and states. */
    ct_tensor *(*update)(ct_optimizer_update *u);
    ct_status (*update_all)(const ct_optimizer_update *u, int count);

    /* True promises that the update runs the same ops at each step, reads no values on the host,
     * and takes every number that changes from ct_optimizer_rate. If false, ct_capture_run raises
     * CT_ERR_DEVICE. */
    bool captures;
} ct_optimizer_table;

/* Makes an optimiser of the trained parameters of set; optimizer.h describes its lifetime and
 * state. options points to a struct of table->options_size bytes, which is copied; a 0 takes the
 * default; NULL: all defaults. The caller frees the optimiser with ct_optimizer_free. Returns NULL
 * with CT_ERR_ARGUMENT for a NULL set, for an incomplete or contradictory table, and for an option
 * outside its range; the message names the table and the option. */
ct_optimizer *ct_optimizer_new(ct_params *set, const ct_optimizer_table *table,
                               const void *options);

/* Returns rate i of an update as a tensor () of the innermost scope, with the dtype and device of
 * u->value. Use it in ops instead of the number u->rate[i], so that a captured step follows the
 * schedule. CT_ERR_INDEX if i is not in 0..CT_OPTIMIZER_RATES - 1. */
ct_tensor *ct_optimizer_rate(const ct_optimizer_update *u, int i);

/* The table of an optimiser of the library, by the name that ct_optimizer_algorithm gives; for a
 * table of yours that differs in one entry. NULL if the library has no such algorithm. */
const ct_optimizer_table *ct_optimizer_table_from_name(const char *algorithm);

#ifdef __cplusplus
}
#endif
#endif
