/* SPDX-License-Identifier: MIT */
/* composed_algorithms.c - Adamax, Adadelta, NAdam, RAdam and Lion, whose updates are composed from ops.
 * The formulas are in optimizer.h. A user's optimiser is written in the same way: optimizer_table.h.
 *
 * Every number that changes from update to update is a rate, so that a captured step gets its new
 * value. */
#include "optim/internal.h"

#include <cotangent/autograd/ops/divide.h>
#include <cotangent/autograd/ops/elementwise.h>

#include <math.h>

/* grad + weight_decay value */
static ct_tensor *composed_gradient(const ct_optimizer_update *u)
{
    if (u->weight_decay == 0)
        return u->grad;
    return ct_add(u->grad, ct_mul_scalar(u->value, u->weight_decay));
}

/* b x + (1 - b) y */
static ct_tensor *composed_mean(ct_tensor *x, ct_tensor *y, double b)
{
    return ct_add(ct_mul_scalar(x, b), ct_mul_scalar(y, 1 - b));
}

/* value - rate step */
static ct_tensor *composed_move(const ct_optimizer_update *u, ct_tensor *step, ct_tensor *rate)
{
    return ct_sub(u->value, ct_mul(step, rate));
}

/* ---- Adamax ---- */

static const ct_optimizer_option adamax_options[] = {
    CT_OPTIMIZER_OPTION(ct_adamax_options, lr, 2e-3, 0, INFINITY),
    CT_OPTIMIZER_OPTION(ct_adamax_options, beta1, 0.9, 0, 1),
    CT_OPTIMIZER_OPTION(ct_adamax_options, beta2, 0.999, 0, 1),
    CT_OPTIMIZER_OPTION(ct_adamax_options, eps, 1e-8, 0, INFINITY),
    CT_OPTIMIZER_OPTION(ct_adamax_options, weight_decay, 0, 0, INFINITY),
    CT_OPTIMIZER_FLAG(ct_adamax_options, maximize),
    { .name = NULL },
};

static void adamax_rates(const ct_optimizer_update *u, double *rate)
{
    const ct_adamax_options *a = u->options;

    rate[0] = u->lr / (1 - cti_power(a->beta1, u->step));
}

static ct_tensor *adamax_update(ct_optimizer_update *u)
{
    const ct_adamax_options *a = u->options;
    ct_tensor *g = composed_gradient(u);
    ct_tensor *mean = composed_mean(u->state[0], g, a->beta1);
    ct_tensor *most =
        ct_maximum(ct_mul_scalar(u->state[1], a->beta2), ct_add_scalar(ct_abs(g), a->eps));

    u->state[0] = mean;
    u->state[1] = most;
    return composed_move(u, ct_div(mean, most), ct_optimizer_rate(u, 0));
}

const ct_optimizer_table cti_adamax = {
    .name = "Adamax",
    .options_size = sizeof(ct_adamax_options),
    .options = adamax_options,
    .states = { { .name = "exp_avg" }, { .name = "exp_inf" } },
    .saves_step = true,
    .rate_count = 1,
    .rates = adamax_rates,
    .update = adamax_update,
    .captures = true,
};

ct_optimizer *ct_adamax_new(ct_params *set, ct_adamax_options options)
{
    return cti_optimizer_new("ct_adamax_new", set, &cti_adamax, &options);
}

/* ---- Adadelta ---- */

static const ct_optimizer_option adadelta_options[] = {
    CT_OPTIMIZER_OPTION(ct_adadelta_options, lr, 1, 0, INFINITY),
    CT_OPTIMIZER_OPTION(ct_adadelta_options, rho, 0.9, 0, 1),
    CT_OPTIMIZER_OPTION(ct_adadelta_options, eps, 1e-6, 0, INFINITY),
    CT_OPTIMIZER_OPTION(ct_adadelta_options, weight_decay, 0, 0, INFINITY),
    CT_OPTIMIZER_FLAG(ct_adadelta_options, maximize),
    { .name = NULL },
};

static ct_tensor *adadelta_update(ct_optimizer_update *u)
{
    const ct_adadelta_options *a = u->options;
    ct_tensor *g = composed_gradient(u);
    ct_tensor *square = composed_mean(u->state[0], ct_mul(g, g), a->rho);
    ct_tensor *ratio =
        ct_div(ct_sqrt(ct_add_scalar(u->state[1], a->eps)), ct_sqrt(ct_add_scalar(square, a->eps)));
    ct_tensor *delta = ct_mul(ratio, g);

    u->state[0] = square;
    u->state[1] = composed_mean(u->state[1], ct_mul(delta, delta), a->rho);
    return composed_move(u, delta, ct_optimizer_rate(u, 0));
}

const ct_optimizer_table cti_adadelta = {
    .name = "Adadelta",
    .options_size = sizeof(ct_adadelta_options),
    .options = adadelta_options,
    .states = { { .name = "square_avg" }, { .name = "acc_delta" } },
    .saves_step = true,
    .update = adadelta_update,
    .captures = true,
};

ct_optimizer *ct_adadelta_new(ct_params *set, ct_adadelta_options options)
{
    return cti_optimizer_new("ct_adadelta_new", set, &cti_adadelta, &options);
}

/* ---- NAdam ---- */

static const ct_optimizer_option nadam_options[] = {
    CT_OPTIMIZER_OPTION(ct_nadam_options, lr, 2e-3, 0, INFINITY),
    CT_OPTIMIZER_OPTION(ct_nadam_options, beta1, 0.9, 0, 1),
    CT_OPTIMIZER_OPTION(ct_nadam_options, beta2, 0.999, 0, 1),
    CT_OPTIMIZER_OPTION(ct_nadam_options, eps, 1e-8, 0, INFINITY),
    CT_OPTIMIZER_OPTION(ct_nadam_options, momentum_decay, 4e-3, 0, INFINITY),
    CT_OPTIMIZER_OPTION(ct_nadam_options, weight_decay, 0, 0, INFINITY),
    CT_OPTIMIZER_FLAG(ct_nadam_options, decoupled_weight_decay),
    CT_OPTIMIZER_FLAG(ct_nadam_options, maximize),
    { .name = NULL },
};

enum { NADAM_GRAD, NADAM_MEAN, NADAM_NOW, NADAM_NEXT, NADAM_ROOT, NADAM_SHRINK, NADAM_RATES };

/* c(t) */
static double nadam_momentum(const ct_nadam_options *a, int64_t t)
{
    return a->beta1 * (1 - 0.5 * pow(0.96, (double)t * a->momentum_decay));
}

static void nadam_rates(const ct_optimizer_update *u, double *rate)
{
    const ct_nadam_options *a = u->options;
    double now = nadam_momentum(a, u->step), next = nadam_momentum(a, u->step + 1);

    rate[NADAM_GRAD] = u->lr * (1 - now);
    rate[NADAM_MEAN] = u->lr * next;
    rate[NADAM_NOW] = now;
    rate[NADAM_NEXT] = next;
    rate[NADAM_ROOT] = 1 / sqrt(1 - cti_power(a->beta2, u->step));
    rate[NADAM_SHRINK] = 1 - u->lr * u->weight_decay;
}

static ct_tensor *one_minus(ct_tensor *x)
{
    return ct_add_scalar(ct_neg(x), 1);
}

static ct_tensor *nadam_update(ct_optimizer_update *u)
{
    const ct_nadam_options *a = u->options;
    ct_tensor *g = a->decoupled_weight_decay ? u->grad : composed_gradient(u);
    ct_tensor *mean = composed_mean(u->state[0], g, a->beta1);
    ct_tensor *square = composed_mean(u->state[1], ct_mul(g, g), a->beta2);
    ct_tensor *product = ct_mul(u->state[2], ct_optimizer_rate(u, NADAM_NOW));
    ct_tensor *next = ct_mul(product, ct_optimizer_rate(u, NADAM_NEXT));
    ct_tensor *of_grad = ct_div(ct_optimizer_rate(u, NADAM_GRAD), one_minus(product));
    ct_tensor *of_mean = ct_div(ct_optimizer_rate(u, NADAM_MEAN), one_minus(next));
    ct_tensor *divisor =
        ct_add_scalar(ct_mul(ct_sqrt(square), ct_optimizer_rate(u, NADAM_ROOT)), a->eps);
    ct_tensor *value = u->value;

    u->state[0] = mean;
    u->state[1] = square;
    u->state[2] = product;
    if (a->decoupled_weight_decay)
        value = ct_mul(value, ct_optimizer_rate(u, NADAM_SHRINK));
    return ct_sub(value, ct_div(ct_add(ct_mul(g, of_grad), ct_mul(mean, of_mean)), divisor));
}

const ct_optimizer_table cti_nadam = {
    .name = "NAdam",
    .options_size = sizeof(ct_nadam_options),
    .options = nadam_options,
    .states = { { .name = "exp_avg" },
                { .name = "exp_avg_sq" },
                { .name = "mu_product", .initial = 1, .scalar = true } },
    .saves_step = true,
    .rate_count = NADAM_RATES,
    .rates = nadam_rates,
    .update = nadam_update,
    .captures = true,
};

ct_optimizer *ct_nadam_new(ct_params *set, ct_nadam_options options)
{
    return cti_optimizer_new("ct_nadam_new", set, &cti_nadam, &options);
}

/* ---- RAdam ---- */

static const ct_optimizer_option radam_options[] = {
    CT_OPTIMIZER_OPTION(ct_radam_options, lr, 1e-3, 0, INFINITY),
    CT_OPTIMIZER_OPTION(ct_radam_options, beta1, 0.9, 0, 1),
    CT_OPTIMIZER_OPTION(ct_radam_options, beta2, 0.999, 0, 1),
    CT_OPTIMIZER_OPTION(ct_radam_options, eps, 1e-8, 0, INFINITY),
    CT_OPTIMIZER_OPTION(ct_radam_options, weight_decay, 0, 0, INFINITY),
    CT_OPTIMIZER_FLAG(ct_radam_options, decoupled_weight_decay),
    CT_OPTIMIZER_FLAG(ct_radam_options, maximize),
    { .name = NULL },
};

enum { RADAM_LR, RADAM_ADAPTIVE, RADAM_PLAIN, RADAM_SHRINK, RADAM_RATES };

static void radam_rates(const ct_optimizer_update *u, double *rate)
{
    const ct_radam_options *a = u->options;
    double power = cti_power(a->beta2, u->step), most = 2 / (1 - a->beta2) - 1;
    double now = most - 2 * (double)u->step * power / (1 - power);
    bool adaptive = now > 5;

    rate[RADAM_LR] = u->lr / (1 - cti_power(a->beta1, u->step));
    rate[RADAM_ADAPTIVE] =
        adaptive
            ? sqrt((1 - power) * (now - 4) * (now - 2) * most / ((most - 4) * (most - 2) * now))
            : 0;
    rate[RADAM_PLAIN] = adaptive ? 0 : 1;
    rate[RADAM_SHRINK] = 1 - u->lr * u->weight_decay;
}

/* One formula covers both cases, because a captured step cannot branch: m (ADAPTIVE / (sqrt(v) +
 * eps + PLAIN) + PLAIN), where one of the two rates is 0. */
static ct_tensor *radam_update(ct_optimizer_update *u)
{
    const ct_radam_options *a = u->options;
    ct_tensor *g = a->decoupled_weight_decay ? u->grad : composed_gradient(u);
    ct_tensor *mean = composed_mean(u->state[0], g, a->beta1);
    ct_tensor *square = composed_mean(u->state[1], ct_mul(g, g), a->beta2);
    ct_tensor *plain = ct_optimizer_rate(u, RADAM_PLAIN), *value = u->value;
    ct_tensor *divisor = ct_add(ct_add_scalar(ct_sqrt(square), a->eps), plain);
    ct_tensor *factor = ct_add(ct_div(ct_optimizer_rate(u, RADAM_ADAPTIVE), divisor), plain);

    u->state[0] = mean;
    u->state[1] = square;
    if (a->decoupled_weight_decay)
        value = ct_mul(value, ct_optimizer_rate(u, RADAM_SHRINK));
    return ct_sub(value, ct_mul(ct_mul(mean, factor), ct_optimizer_rate(u, RADAM_LR)));
}

const ct_optimizer_table cti_radam = {
    .name = "RAdam",
    .options_size = sizeof(ct_radam_options),
    .options = radam_options,
    .states = { { .name = "exp_avg" }, { .name = "exp_avg_sq" } },
    .saves_step = true,
    .rate_count = RADAM_RATES,
    .rates = radam_rates,
    .update = radam_update,
    .captures = true,
};

ct_optimizer *ct_radam_new(ct_params *set, ct_radam_options options)
{
    return cti_optimizer_new("ct_radam_new", set, &cti_radam, &options);
}

/* ---- Lion ---- */

static const ct_optimizer_option lion_options[] = {
    CT_OPTIMIZER_OPTION(ct_lion_options, lr, 1e-4, 0, INFINITY),
    CT_OPTIMIZER_OPTION(ct_lion_options, beta1, 0.9, 0, 1),
    CT_OPTIMIZER_OPTION(ct_lion_options, beta2, 0.99, 0, 1),
    CT_OPTIMIZER_OPTION(ct_lion_options, weight_decay, 0, 0, INFINITY),
    CT_OPTIMIZER_FLAG(ct_lion_options, maximize),
    { .name = NULL },
};

static ct_tensor *lion_update(ct_optimizer_update *u)
{
    const ct_lion_options *a = u->options;
    ct_tensor *step = ct_sign(composed_mean(u->state[0], u->grad, a->beta1));

    if (u->weight_decay != 0)
        step = ct_add(step, ct_mul_scalar(u->value, u->weight_decay));
    u->state[0] = composed_mean(u->state[0], u->grad, a->beta2);
    return composed_move(u, step, ct_optimizer_rate(u, 0));
}

const ct_optimizer_table cti_lion = {
    .name = "Lion",
    .options_size = sizeof(ct_lion_options),
    .options = lion_options,
    .states = { { .name = "exp_avg" } },
    .update = lion_update,
    .captures = true,
};

ct_optimizer *ct_lion_new(ct_params *set, ct_lion_options options)
{
    return cti_optimizer_new("ct_lion_new", set, &cti_lion, &options);
}
