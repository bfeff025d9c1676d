/* algorithms.c - SGD, Adam, AdamW, RMSprop, Adagrad and Adamax. The formulas are in optimizer.h.
 *
 * An algorithm is a table of its options, its state, and an update: fused, with a kernel in each
 * backend, or composed from ops. To add a composed one: the options struct and the constructor in
 * optimizer.h; here its options, its compose function (see cti_composed in internal.h), its
 * cti_algorithm, the constructor, and a line in cti_algorithms. Defaults, checks, groups,
 * checkpoints and the command-line tool follow from the tables. */
#include "optim/internal.h"

#include <cotangent/autograd/ops/elementwise.h>

#include <float.h>
#include <math.h>
#include <stddef.h>

/* Rows of a table of options: a number with its default, in [low, high); a flag. */
/* clang-format off */
#define NUMBER(type, field, usual, low, high) \
    { #field, offsetof(type, field), false, usual, low, high }
#define FLAG(type, field) \
    { #field, offsetof(type, field), true, 0, 0, 0 }
/* clang-format on */

/* ---- SGD ---- */

static const cti_option_field sgd_options[] = {
    NUMBER(ct_sgd_options, lr, 1e-3, 0, INFINITY),
    NUMBER(ct_sgd_options, momentum, 0, 0, INFINITY),
    NUMBER(ct_sgd_options, weight_decay, 0, 0, INFINITY),
    NUMBER(ct_sgd_options, dampening, 0, -DBL_MAX, INFINITY),
    FLAG(ct_sgd_options, nesterov),
    FLAG(ct_sgd_options, maximize),
    { 0 },
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

static void sgd_fill(const void *options, cti_update *u)
{
    const ct_sgd_options *a = options;

    u->nesterov = a->nesterov;
    u->momentum = a->momentum;
    u->dampening = a->dampening;
}

static const cti_algorithm sgd = {
    .name = "sgd",
    .title = "SGD",
    .size = sizeof(ct_sgd_options),
    .option = sgd_options,
    .state = { { .name = "momentum_buffer", .only = "momentum" } },
    .check = sgd_check,
    .kernel = CTI_SGD,
    .fill = sgd_fill,
};

ct_optimizer *ct_sgd_new(ct_params *set, ct_sgd_options options)
{
    return cti_optimizer_new("ct_sgd_new", &sgd, set, &options);
}

/* ---- Adam, AdamW ---- */

static const cti_option_field adam_options[] = {
    NUMBER(ct_adam_options, lr, 1e-3, 0, INFINITY),
    NUMBER(ct_adam_options, beta1, 0.9, 0, 1),
    NUMBER(ct_adam_options, beta2, 0.999, 0, 1),
    NUMBER(ct_adam_options, eps, 1e-8, 0, INFINITY),
    NUMBER(ct_adam_options, weight_decay, 0, 0, INFINITY),
    FLAG(ct_adam_options, amsgrad),
    FLAG(ct_adam_options, maximize),
    { 0 },
};

static const cti_option_field adamw_options[] = {
    NUMBER(ct_adam_options, lr, 1e-3, 0, INFINITY),
    NUMBER(ct_adam_options, beta1, 0.9, 0, 1),
    NUMBER(ct_adam_options, beta2, 0.999, 0, 1),
    NUMBER(ct_adam_options, eps, 1e-8, 0, INFINITY),
    NUMBER(ct_adam_options, weight_decay, 0.01, 0, INFINITY),
    FLAG(ct_adam_options, amsgrad),
    FLAG(ct_adam_options, maximize),
    { 0 },
};

static void adam_fill(const void *options, cti_update *u)
{
    const ct_adam_options *a = options;

    u->beta1 = a->beta1;
    u->beta2 = a->beta2;
    u->eps = a->eps;
}

/* b^n by squaring: the same bits on any processor, which pow does not guarantee. */
static double power(double b, int64_t n)
{
    double result = 1;

    for (; n > 0; n /= 2, b *= b)
        if (n % 2)
            result *= b;
    return result;
}

static void adam_rates(const void *options, int64_t t, cti_segment *s)
{
    const ct_adam_options *a = options;

    s->lr /= 1 - power(a->beta1, t);
    s->root = sqrt(1 - power(a->beta2, t));
}

static void adamw_rates(const void *options, int64_t t, cti_segment *s)
{
    s->shrink = 1 - s->lr * s->weight_decay;
    s->weight_decay = 0;
    adam_rates(options, t, s);
}

static const cti_algorithm adam = {
    .name = "adam",
    .title = "Adam",
    .size = sizeof(ct_adam_options),
    .option = adam_options,
    .state = { { .name = "exp_avg" },
               { .name = "exp_avg_sq" },
               { .name = "max_exp_avg_sq", .only = "amsgrad" } },
    .counts = true,
    .kernel = CTI_ADAM,
    .fill = adam_fill,
    .rates = adam_rates,
};

static const cti_algorithm adamw = {
    .name = "adamw",
    .title = "AdamW",
    .size = sizeof(ct_adam_options),
    .option = adamw_options,
    .state = { { .name = "exp_avg" },
               { .name = "exp_avg_sq" },
               { .name = "max_exp_avg_sq", .only = "amsgrad" } },
    .counts = true,
    .kernel = CTI_ADAM,
    .fill = adam_fill,
    .rates = adamw_rates,
};

ct_optimizer *ct_adam_new(ct_params *set, ct_adam_options options)
{
    return cti_optimizer_new("ct_adam_new", &adam, set, &options);
}

ct_optimizer *ct_adamw_new(ct_params *set, ct_adam_options options)
{
    return cti_optimizer_new("ct_adamw_new", &adamw, set, &options);
}

/* ---- RMSprop ---- */

static const cti_option_field rmsprop_options[] = {
    NUMBER(ct_rmsprop_options, lr, 1e-2, 0, INFINITY),
    NUMBER(ct_rmsprop_options, alpha, 0.99, 0, 1),
    NUMBER(ct_rmsprop_options, eps, 1e-8, 0, INFINITY),
    NUMBER(ct_rmsprop_options, momentum, 0, 0, INFINITY),
    NUMBER(ct_rmsprop_options, weight_decay, 0, 0, INFINITY),
    FLAG(ct_rmsprop_options, centered),
    FLAG(ct_rmsprop_options, maximize),
    { 0 },
};

static void rmsprop_fill(const void *options, cti_update *u)
{
    const ct_rmsprop_options *a = options;

    u->momentum = a->momentum;
    u->beta2 = a->alpha;
    u->eps = a->eps;
}

static const cti_algorithm rmsprop = {
    .name = "rmsprop",
    .title = "RMSprop",
    .size = sizeof(ct_rmsprop_options),
    .option = rmsprop_options,
    .state = { { .name = "square_avg" },
               { .name = "momentum_buffer", .only = "momentum" },
               { .name = "grad_avg", .only = "centered" } },
    .counts = true,
    .kernel = CTI_RMSPROP,
    .fill = rmsprop_fill,
};

ct_optimizer *ct_rmsprop_new(ct_params *set, ct_rmsprop_options options)
{
    return cti_optimizer_new("ct_rmsprop_new", &rmsprop, set, &options);
}

/* ---- Adagrad ---- */

static const cti_option_field adagrad_options[] = {
    NUMBER(ct_adagrad_options, lr, 1e-2, 0, INFINITY),
    NUMBER(ct_adagrad_options, eps, 1e-10, 0, INFINITY),
    NUMBER(ct_adagrad_options, lr_decay, 0, 0, INFINITY),
    NUMBER(ct_adagrad_options, weight_decay, 0, 0, INFINITY),
    NUMBER(ct_adagrad_options, initial_accumulator_value, 0, 0, INFINITY),
    FLAG(ct_adagrad_options, maximize),
    { 0 },
};

static void adagrad_fill(const void *options, cti_update *u)
{
    u->eps = ((const ct_adagrad_options *)options)->eps;
}

static void adagrad_rates(const void *options, int64_t t, cti_segment *s)
{
    s->lr /= 1 + (double)(t - 1) * ((const ct_adagrad_options *)options)->lr_decay;
}

static const cti_algorithm adagrad = {
    .name = "adagrad",
    .title = "Adagrad",
    .size = sizeof(ct_adagrad_options),
    .option = adagrad_options,
    .state = { { .name = "sum", .begins = "initial_accumulator_value" } },
    .counts = true,
    .kernel = CTI_ADAGRAD,
    .fill = adagrad_fill,
    .rates = adagrad_rates,
};

ct_optimizer *ct_adagrad_new(ct_params *set, ct_adagrad_options options)
{
    return cti_optimizer_new("ct_adagrad_new", &adagrad, set, &options);
}

/* ---- Adamax ---- */

static const cti_option_field adamax_options[] = {
    NUMBER(ct_adamax_options, lr, 2e-3, 0, INFINITY),
    NUMBER(ct_adamax_options, beta1, 0.9, 0, 1),
    NUMBER(ct_adamax_options, beta2, 0.999, 0, 1),
    NUMBER(ct_adamax_options, eps, 1e-8, 0, INFINITY),
    NUMBER(ct_adamax_options, weight_decay, 0, 0, INFINITY),
    FLAG(ct_adamax_options, maximize),
    { 0 },
};

static ct_tensor *adamax_compose(cti_composed *c)
{
    const ct_adamax_options *a = c->options;
    ct_tensor *mean = ct_mul_scalar(c->state[0], a->beta1);
    ct_tensor *most = ct_mul_scalar(c->state[1], a->beta2);

    mean = ct_add(mean, ct_mul_scalar(c->grad, 1 - a->beta1));
    most = ct_maximum(most, ct_add_scalar(ct_abs(c->grad), a->eps));
    c->state[0] = mean;
    c->state[1] = most;
    return ct_sub(c->value, ct_mul_scalar(ct_div(mean, most), c->lr / (1 - power(a->beta1, c->t))));
}

static const cti_algorithm adamax = {
    .name = "adamax",
    .title = "Adamax",
    .size = sizeof(ct_adamax_options),
    .option = adamax_options,
    .state = { { .name = "exp_avg" }, { .name = "exp_inf" } },
    .counts = true,
    .compose = adamax_compose,
};

ct_optimizer *ct_adamax_new(ct_params *set, ct_adamax_options options)
{
    return cti_optimizer_new("ct_adamax_new", &adamax, set, &options);
}

/* ---- all of them ---- */

const cti_algorithm *const cti_algorithms[] = { &sgd,     &adam,   &adamw, &rmsprop,
                                                &adagrad, &adamax, NULL };
