/* SPDX-License-Identifier: MIT */
/* algorithms.c - SGD, Adam, AdamW, RMSprop and Adagrad, whose updates are kernels, and the list of
 * all optimisers of the library. The formulas are in optimizer.h.
 *
 * Each is a ct_optimizer_table. Defaults, checks, groups, checkpoints and the command-line tool use
 * these tables. */
#include "optim/internal.h"

#include <float.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

/* ---- the rates of a kernel ---- */

#define FUSED_RATES ((int)(sizeof(cti_rates) / sizeof(double)))
_Static_assert(sizeof(cti_rates) <= CT_OPTIMIZER_RATES * sizeof(double), "too many rates");

/* Fills in the rates that most algorithms do not change. */
static cti_rates *fused_rates(const ct_optimizer_update *u, double *rate)
{
    cti_rates *r = (cti_rates *)(void *)rate;

    *r = (cti_rates){ u->lr, u->weight_decay, 1, 1, u->step == 1 };
    return r;
}

static void plain_rates(const ct_optimizer_update *u, double *rate)
{
    fused_rates(u, rate);
}

/* ---- SGD ---- */

static const ct_optimizer_option sgd_options[] = {
    CT_OPTIMIZER_OPTION(ct_sgd_options, lr, 1e-3, 0, INFINITY),
    CT_OPTIMIZER_OPTION(ct_sgd_options, momentum, 0, 0, INFINITY),
    CT_OPTIMIZER_OPTION(ct_sgd_options, weight_decay, 0, 0, INFINITY),
    CT_OPTIMIZER_OPTION(ct_sgd_options, dampening, 0, -DBL_MAX, INFINITY),
    CT_OPTIMIZER_FLAG(ct_sgd_options, nesterov),
    CT_OPTIMIZER_FLAG(ct_sgd_options, maximize),
    { .name = NULL },
};

static bool sgd_check(const char *function, const void *options)
{
    const ct_sgd_options *a = options;

    if (a->nesterov && a->momentum == 0)
        ct_raise(CT_ERR_ARGUMENT, function, "momentum is 0; nesterov requires a momentum above 0");
    else if (a->nesterov && a->dampening != 0)
        ct_raise(CT_ERR_ARGUMENT, function, "dampening is %g; nesterov requires dampening 0",
                 a->dampening);
    else
        return true;
    return false;
}

static ct_status sgd_update(const ct_optimizer_update *u, int count)
{
    const ct_sgd_options *a = u->options;
    cti_update rule = { .rule = CTI_SGD,
                        .scale = a->maximize ? -1 : 1,
                        .nesterov = a->nesterov,
                        .momentum = a->momentum,
                        .dampening = a->dampening };

    return cti_update_fused(&rule, u, count);
}

static const ct_optimizer_table sgd = {
    .name = "SGD",
    .options_size = sizeof(ct_sgd_options),
    .options = sgd_options,
    .states = { { .name = "momentum_buffer", .only = "momentum" } },
    .check = sgd_check,
    .rate_count = FUSED_RATES,
    .rates = plain_rates,
    .update_all = sgd_update,
    .captures = true,
};

ct_optimizer *ct_sgd_new(ct_params *set, ct_sgd_options options)
{
    return cti_optimizer_new("ct_sgd_new", set, &sgd, &options);
}

/* ---- Adam, AdamW ---- */

static const ct_optimizer_option adam_options[] = {
    CT_OPTIMIZER_OPTION(ct_adam_options, lr, 1e-3, 0, INFINITY),
    CT_OPTIMIZER_OPTION(ct_adam_options, beta1, 0.9, 0, 1),
    CT_OPTIMIZER_OPTION(ct_adam_options, beta2, 0.999, 0, 1),
    CT_OPTIMIZER_OPTION(ct_adam_options, eps, 1e-8, 0, INFINITY),
    CT_OPTIMIZER_OPTION(ct_adam_options, weight_decay, 0, 0, INFINITY),
    CT_OPTIMIZER_FLAG(ct_adam_options, amsgrad),
    CT_OPTIMIZER_FLAG(ct_adam_options, maximize),
    { .name = NULL },
};

static const ct_optimizer_option adamw_options[] = {
    CT_OPTIMIZER_OPTION(ct_adam_options, lr, 1e-3, 0, INFINITY),
    CT_OPTIMIZER_OPTION(ct_adam_options, beta1, 0.9, 0, 1),
    CT_OPTIMIZER_OPTION(ct_adam_options, beta2, 0.999, 0, 1),
    CT_OPTIMIZER_OPTION(ct_adam_options, eps, 1e-8, 0, INFINITY),
    CT_OPTIMIZER_OPTION(ct_adam_options, weight_decay, 0.01, 0, INFINITY),
    CT_OPTIMIZER_FLAG(ct_adam_options, amsgrad),
    CT_OPTIMIZER_FLAG(ct_adam_options, maximize),
    { .name = NULL },
};

static ct_status adam_update(const ct_optimizer_update *u, int count)
{
    const ct_adam_options *a = u->options;
    cti_update rule = { .rule = CTI_ADAM,
                        .scale = a->maximize ? -1 : 1,
                        .beta1 = a->beta1,
                        .beta2 = a->beta2,
                        .eps = a->eps };

    return cti_update_fused(&rule, u, count);
}

static void adam_rates(const ct_optimizer_update *u, double *rate)
{
    const ct_adam_options *a = u->options;
    cti_rates *r = fused_rates(u, rate);

    r->lr /= 1 - cti_power(a->beta1, u->step);
    r->root = sqrt(1 - cti_power(a->beta2, u->step));
}

static void adamw_rates(const ct_optimizer_update *u, double *rate)
{
    cti_rates *r = (cti_rates *)(void *)rate;

    adam_rates(u, rate);
    r->shrink = 1 - u->lr * u->weight_decay;
    r->weight_decay = 0;
}

static const ct_optimizer_table adam = {
    .name = "Adam",
    .options_size = sizeof(ct_adam_options),
    .options = adam_options,
    .states = { { .name = "exp_avg" },
                { .name = "exp_avg_sq" },
                { .name = "max_exp_avg_sq", .only = "amsgrad" } },
    .saves_step = true,
    .rate_count = FUSED_RATES,
    .rates = adam_rates,
    .update_all = adam_update,
    .captures = true,
};

static const ct_optimizer_table adamw = {
    .name = "AdamW",
    .options_size = sizeof(ct_adam_options),
    .options = adamw_options,
    .states = { { .name = "exp_avg" },
                { .name = "exp_avg_sq" },
                { .name = "max_exp_avg_sq", .only = "amsgrad" } },
    .saves_step = true,
    .rate_count = FUSED_RATES,
    .rates = adamw_rates,
    .update_all = adam_update,
    .captures = true,
};

ct_optimizer *ct_adam_new(ct_params *set, ct_adam_options options)
{
    return cti_optimizer_new("ct_adam_new", set, &adam, &options);
}

ct_optimizer *ct_adamw_new(ct_params *set, ct_adam_options options)
{
    return cti_optimizer_new("ct_adamw_new", set, &adamw, &options);
}

/* ---- RMSprop ---- */

static const ct_optimizer_option rmsprop_options[] = {
    CT_OPTIMIZER_OPTION(ct_rmsprop_options, lr, 1e-2, 0, INFINITY),
    CT_OPTIMIZER_OPTION(ct_rmsprop_options, alpha, 0.99, 0, 1),
    CT_OPTIMIZER_OPTION(ct_rmsprop_options, eps, 1e-8, 0, INFINITY),
    CT_OPTIMIZER_OPTION(ct_rmsprop_options, momentum, 0, 0, INFINITY),
    CT_OPTIMIZER_OPTION(ct_rmsprop_options, weight_decay, 0, 0, INFINITY),
    CT_OPTIMIZER_FLAG(ct_rmsprop_options, centered),
    CT_OPTIMIZER_FLAG(ct_rmsprop_options, maximize),
    { .name = NULL },
};

static ct_status rmsprop_update(const ct_optimizer_update *u, int count)
{
    const ct_rmsprop_options *a = u->options;
    cti_update rule = { .rule = CTI_RMSPROP,
                        .scale = a->maximize ? -1 : 1,
                        .momentum = a->momentum,
                        .beta2 = a->alpha,
                        .eps = a->eps };

    return cti_update_fused(&rule, u, count);
}

static const ct_optimizer_table rmsprop = {
    .name = "RMSprop",
    .options_size = sizeof(ct_rmsprop_options),
    .options = rmsprop_options,
    .states = { { .name = "square_avg" },
                { .name = "momentum_buffer", .only = "momentum" },
                { .name = "grad_avg", .only = "centered" } },
    .saves_step = true,
    .rate_count = FUSED_RATES,
    .rates = plain_rates,
    .update_all = rmsprop_update,
    .captures = true,
};

ct_optimizer *ct_rmsprop_new(ct_params *set, ct_rmsprop_options options)
{
    return cti_optimizer_new("ct_rmsprop_new", set, &rmsprop, &options);
}

/* ---- Adagrad ---- */

static const ct_optimizer_option adagrad_options[] = {
    CT_OPTIMIZER_OPTION(ct_adagrad_options, lr, 1e-2, 0, INFINITY),
    CT_OPTIMIZER_OPTION(ct_adagrad_options, eps, 1e-10, 0, INFINITY),
    CT_OPTIMIZER_OPTION(ct_adagrad_options, lr_decay, 0, 0, INFINITY),
    CT_OPTIMIZER_OPTION(ct_adagrad_options, weight_decay, 0, 0, INFINITY),
    CT_OPTIMIZER_OPTION(ct_adagrad_options, initial_accumulator_value, 0, 0, INFINITY),
    CT_OPTIMIZER_FLAG(ct_adagrad_options, maximize),
    { .name = NULL },
};

static ct_status adagrad_update(const ct_optimizer_update *u, int count)
{
    const ct_adagrad_options *a = u->options;
    cti_update rule = { .rule = CTI_ADAGRAD, .scale = a->maximize ? -1 : 1, .eps = a->eps };

    return cti_update_fused(&rule, u, count);
}

static void adagrad_rates(const ct_optimizer_update *u, double *rate)
{
    const ct_adagrad_options *a = u->options;

    fused_rates(u, rate)->lr /= 1 + (double)(u->step - 1) * a->lr_decay;
}

static const ct_optimizer_table adagrad = {
    .name = "Adagrad",
    .options_size = sizeof(ct_adagrad_options),
    .options = adagrad_options,
    .states = { { .name = "sum", .initial_option = "initial_accumulator_value" } },
    .saves_step = true,
    .rate_count = FUSED_RATES,
    .rates = adagrad_rates,
    .update_all = adagrad_update,
    .captures = true,
};

ct_optimizer *ct_adagrad_new(ct_params *set, ct_adagrad_options options)
{
    return cti_optimizer_new("ct_adagrad_new", set, &adagrad, &options);
}

/* ---- the list ---- */

const cti_algorithm cti_algorithms[] = {
    { "sgd", &sgd },
    { "adam", &adam },
    { "adamw", &adamw },
    { "rmsprop", &rmsprop },
    { "adagrad", &adagrad },
    { "adamax", &cti_adamax },
    { "adadelta", &cti_adadelta },
    { "nadam", &cti_nadam },
    { "radam", &cti_radam },
    { "lion", &cti_lion },
    { NULL, NULL },
};

const char *ct_optimizer_algorithm(int i)
{
    int count = 0;

    while (cti_algorithms[count].name)
        count++;
    return i >= 0 && i < count ? cti_algorithms[i].name : NULL;
}

const ct_optimizer_table *ct_optimizer_table_from_name(const char *algorithm)
{
    for (int i = 0; algorithm && cti_algorithms[i].name; i++)
        if (strcmp(cti_algorithms[i].name, algorithm) == 0)
            return cti_algorithms[i].table;
    return NULL;
}
