/* algorithms.c - SGD, Adam, AdamW, RMSprop and Adagrad: their options, and what an update needs
 * besides the arrays. The formulas are in optimizer.h, the loops on the device. */
#include "optim/internal.h"

#include "tensor/hooks.h"

#include <math.h>

static const cti_rule sgd = { "SGD", { "momentum_buffer" }, false };
static const cti_rule adam = { "Adam", { "exp_avg", "exp_avg_sq", "max_exp_avg_sq" }, true };
static const cti_rule adamw = { "AdamW", { "exp_avg", "exp_avg_sq", "max_exp_avg_sq" }, true };
static const cti_rule rmsprop = { "RMSprop",
                                  { "square_avg", "momentum_buffer", "grad_avg" },
                                  true };
static const cti_rule adagrad = { "Adagrad", { "sum" }, true };

/* Replaces an option that was left out by its default, and CT_ZERO by 0. False with an error for a
 * value that is not in [0, below). */
static bool option(const char *function, const char *name, double *v, double default_value,
                   double below)
{
    *v = cti_option(*v, default_value);
    if (*v >= 0 && *v < below)
        return true;
    if (below < INFINITY)
        ct_raise(CT_ERR_ARGUMENT, function, "%s %g is not in [0, %g)", name, *v, below);
    else
        ct_raise(CT_ERR_ARGUMENT, function, "%s %g is not finite and at least 0", name, *v);
    return false;
}

static ct_optimizer *optimizer_new(const char *function, ct_params *set, ct_optimizer values)
{
    ct_optimizer *o = cti_calloc(1, sizeof *o);

    if (!o) {
        cti_out_of_memory(function, sizeof *o);
        return NULL;
    }
    *o = values;
    o->set = set;
    return o;
}

ct_optimizer *ct_sgd_new(ct_params *set, ct_sgd_options a)
{
    static const char *const me = "ct_sgd_new";
    ct_optimizer o = { .rule = &sgd };

    if (!set || !option(me, "lr", &a.lr, 1e-3, INFINITY) ||
        !option(me, "momentum", &a.momentum, 0, INFINITY) ||
        !option(me, "weight_decay", &a.weight_decay, 0, INFINITY))
        return NULL;
    a.dampening = cti_option(a.dampening, 0);
    if (!isfinite(a.dampening) || (a.nesterov && (a.momentum == 0 || a.dampening != 0))) {
        if (isfinite(a.dampening))
            ct_raise(CT_ERR_ARGUMENT, me,
                     "nesterov wants momentum and no dampening, not momentum %g, dampening %g",
                     a.momentum, a.dampening);
        else
            ct_raise(CT_ERR_ARGUMENT, me, "dampening %g is not finite", a.dampening);
        return NULL;
    }
    o.update = (cti_update){ .rule = CTI_SGD,
                             .nesterov = a.nesterov,
                             .scale = a.maximize ? -1 : 1,
                             .momentum = a.momentum,
                             .dampening = a.dampening };
    o.uses[0] = a.momentum != 0;
    o.lr = a.lr;
    o.weight_decay = a.weight_decay;
    return optimizer_new(me, set, o);
}

static ct_optimizer *adam_new(const char *me, ct_params *set, ct_adam_options a, bool decoupled)
{
    ct_optimizer o = { .rule = decoupled ? &adamw : &adam, .decoupled = decoupled };

    if (!set || !option(me, "lr", &a.lr, 1e-3, INFINITY) ||
        !option(me, "beta1", &a.beta1, 0.9, 1) || !option(me, "beta2", &a.beta2, 0.999, 1) ||
        !option(me, "eps", &a.eps, 1e-8, INFINITY) ||
        !option(me, "weight_decay", &a.weight_decay, decoupled ? 0.01 : 0, INFINITY))
        return NULL;
    o.update = (cti_update){ .rule = CTI_ADAM,
                             .scale = a.maximize ? -1 : 1,
                             .beta1 = a.beta1,
                             .beta2 = a.beta2,
                             .eps = a.eps };
    o.uses[0] = o.uses[1] = true;
    o.uses[2] = a.amsgrad;
    o.lr = a.lr;
    o.weight_decay = a.weight_decay;
    return optimizer_new(me, set, o);
}

ct_optimizer *ct_adam_new(ct_params *set, ct_adam_options options)
{
    return adam_new("ct_adam_new", set, options, false);
}

ct_optimizer *ct_adamw_new(ct_params *set, ct_adam_options options)
{
    return adam_new("ct_adamw_new", set, options, true);
}

ct_optimizer *ct_rmsprop_new(ct_params *set, ct_rmsprop_options a)
{
    static const char *const me = "ct_rmsprop_new";
    ct_optimizer o = { .rule = &rmsprop };

    if (!set || !option(me, "lr", &a.lr, 1e-2, INFINITY) ||
        !option(me, "alpha", &a.alpha, 0.99, 1) || !option(me, "eps", &a.eps, 1e-8, INFINITY) ||
        !option(me, "momentum", &a.momentum, 0, INFINITY) ||
        !option(me, "weight_decay", &a.weight_decay, 0, INFINITY))
        return NULL;
    o.update = (cti_update){ .rule = CTI_RMSPROP,
                             .scale = a.maximize ? -1 : 1,
                             .momentum = a.momentum,
                             .beta2 = a.alpha,
                             .eps = a.eps };
    o.uses[0] = true;
    o.uses[1] = a.momentum != 0;
    o.uses[2] = a.centered;
    o.lr = a.lr;
    o.weight_decay = a.weight_decay;
    return optimizer_new(me, set, o);
}

ct_optimizer *ct_adagrad_new(ct_params *set, ct_adagrad_options a)
{
    static const char *const me = "ct_adagrad_new";
    ct_optimizer o = { .rule = &adagrad };

    if (!set || !option(me, "lr", &a.lr, 1e-2, INFINITY) ||
        !option(me, "eps", &a.eps, 1e-10, INFINITY) ||
        !option(me, "lr_decay", &a.lr_decay, 0, INFINITY) ||
        !option(me, "weight_decay", &a.weight_decay, 0, INFINITY) ||
        !option(me, "initial_accumulator_value", &a.initial_accumulator_value, 0, INFINITY))
        return NULL;
    o.update = (cti_update){ .rule = CTI_ADAGRAD, .scale = a.maximize ? -1 : 1, .eps = a.eps };
    o.uses[0] = true;
    o.lr = a.lr;
    o.weight_decay = a.weight_decay;
    o.lr_decay = a.lr_decay;
    o.initial = a.initial_accumulator_value;
    return optimizer_new(me, set, o);
}

/* b^n by squaring: the same bits on any processor, as pow need not give. */
static double power(double b, int64_t n)
{
    double result = 1;

    for (; n > 0; n /= 2, b *= b)
        if (n % 2)
            result *= b;
    return result;
}

void cti_rule_prepare(const ct_optimizer *o, const cti_slot *slot, cti_segment *s)
{
    double lr = cti_optimizer_rate(o, slot->group), t = (double)slot->steps + 1;
    int k;

    for (k = 0; k < CTI_STATES; k++)
        s->state[k] = slot->state[k] ? cti_ptr(slot->state[k]) : NULL;
    s->lr = lr;
    s->weight_decay = cti_optimizer_decay(o, slot->group);
    s->shrink = 1;
    s->root = 1;
    s->first = slot->steps == 0;
    if (o->decoupled) {
        s->shrink = 1 - lr * s->weight_decay;
        s->weight_decay = 0;
    }
    if (o->update.rule == CTI_ADAM) {
        s->lr = lr / (1 - power(o->update.beta1, slot->steps + 1));
        s->root = sqrt(1 - power(o->update.beta2, slot->steps + 1));
    } else if (o->update.rule == CTI_ADAGRAD) {
        s->lr = lr / (1 + (t - 1) * o->lr_decay);
    }
}
