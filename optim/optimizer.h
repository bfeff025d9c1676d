/* SPDX-License-Identifier: MIT */
/* optimizer.h - algorithms that update parameters from their gradients, with PyTorch's options,
 * defaults and numbers.
 *
 *     ct_optimizer *adam = ct_adam_new(params, (ct_adam_options){ .lr = 3e-4 });
 *
 *     ct_optimizer_group(adam, "*.bias*", (ct_optimizer_group_options){ .weight_decay = CT_ZERO });
 *     ...
 *     ct_backward(loss);
 *     ct_clip_grad_norm(params, 1.0, NULL);
 *     ct_optimizer_step(adam);
 *
 * An option that is 0 has its default, which the comment beside it gives; no comment means 0. Write
 * CT_ZERO for an option that must be 0 although its default is not.
 *
 * In the formulas w is a parameter, t is the number of its updates, including this one, and
 * g = grad + weight_decay w (with maximize: weight_decay w - grad). lr is the learning rate. eps
 * keeps the divisor above 0. optimizer_table.h is for your own optimisers. */
#ifndef COTANGENT_OPTIM_OPTIMIZER_H
#define COTANGENT_OPTIM_OPTIMIZER_H

#include <stdbool.h>

#include <cotangent/autograd/params/params.h>

#ifdef __cplusplus
extern "C" {
#endif

/* An optimiser of any kind. The caller frees it with ct_optimizer_free. */
typedef struct ct_optimizer ct_optimizer;

/* Each of these functions makes an optimiser of the trained parameters of set. The set must stay
 * alive as long as the optimiser. Parameters may be added to the set, or get their shape, later.
 * The caller frees the optimiser with ct_optimizer_free. The state of a parameter is allocated at
 * its first update and is kept while the parameter is frozen. A parameter with several (tied) names
 * is updated once. Returns NULL with CT_ERR_ARGUMENT for a NULL set, and for an option outside its
 * range: lr, weight_decay, momentum, eps and the like must be finite and at least 0; beta1, beta2,
 * alpha and rho must also be less than 1. The message names the option, its value and its range. */

/* Stochastic gradient descent: w -= lr g. With momentum: m = momentum m + (1 - dampening) g (at the
 * first update m = g) and w -= lr m; with nesterov: w -= lr (g + momentum m). nesterov requires a
 * momentum and dampening 0. State: momentum_buffer. */
typedef struct ct_sgd_options {
    double lr; /* default 0.001 */
    double momentum, dampening, weight_decay;
    bool nesterov, maximize;
} ct_sgd_options;
ct_optimizer *ct_sgd_new(ct_params *set, ct_sgd_options options);

/* Adam (Kingma and Ba, 2015): m = beta1 m + (1 - beta1) g, v = beta2 v + (1 - beta2) g^2,
 *     w -= lr m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps)
 * With amsgrad (Reddi et al., 2018) the largest v so far takes the place of v. AdamW (Loshchilov
 * and Hutter, 2019) does not add weight_decay to g; it multiplies w by 1 - lr weight_decay before
 * the update. State: exp_avg, exp_avg_sq, max_exp_avg_sq (amsgrad), step. */
typedef struct ct_adam_options {
    double lr;           /* default 0.001 */
    double beta1, beta2; /* default 0.9 and 0.999 */
    double eps;          /* default 1e-8 */
    double weight_decay; /* default 0 for Adam, 0.01 for AdamW */
    bool amsgrad, maximize;
} ct_adam_options;
ct_optimizer *ct_adam_new(ct_params *set, ct_adam_options options);
ct_optimizer *ct_adamw_new(ct_params *set, ct_adam_options options);

/* RMSprop (Hinton): v = alpha v + (1 - alpha) g^2, d = g / (sqrt(v) + eps), w -= lr d. With
 * centered: d = g / (sqrt(v - a^2) + eps), where a = alpha a + (1 - alpha) g; v - a^2 below 0
 * counts as 0 (PyTorch may give NaN). With momentum: b = momentum b + d and w -= lr b. State:
 * square_avg, momentum_buffer, grad_avg, step. */
typedef struct ct_rmsprop_options {
    double lr;    /* default 0.01 */
    double alpha; /* default 0.99 */
    double eps;   /* default 1e-8 */
    double momentum, weight_decay;
    bool centered, maximize;
} ct_rmsprop_options;
ct_optimizer *ct_rmsprop_new(ct_params *set, ct_rmsprop_options options);

/* Adagrad (Duchi et al., 2011): s += g^2,
 *     w -= lr / (1 + (t - 1) lr_decay) g / (sqrt(s) + eps)
 * s starts as initial_accumulator_value. State: sum, step. */
typedef struct ct_adagrad_options {
    double lr;  /* default 0.01 */
    double eps; /* default 1e-10 */
    double lr_decay, weight_decay, initial_accumulator_value;
    bool maximize;
} ct_adagrad_options;
ct_optimizer *ct_adagrad_new(ct_params *set, ct_adagrad_options options);

/* Adamax (Kingma and Ba, 2015, section 7.1): m = beta1 m + (1 - beta1) g,
 * u = max(beta2 u, |g| + eps), w -= lr / (1 - beta1^t) m / u. State: exp_avg, exp_inf, step. */
typedef struct ct_adamax_options {
    double lr;           /* default 0.002 */
    double beta1, beta2; /* default 0.9 and 0.999 */
    double eps;          /* default 1e-8 */
    double weight_decay;
    bool maximize;
} ct_adamax_options;
ct_optimizer *ct_adamax_new(ct_params *set, ct_adamax_options options);

/* Adadelta (Zeiler, 2012): v = rho v + (1 - rho) g^2, d = sqrt(s + eps) / sqrt(v + eps) g,
 * s = rho s + (1 - rho) d^2, w -= lr d. State: square_avg (v), acc_delta (s), step. */
typedef struct ct_adadelta_options {
    double lr;  /* default 1 */
    double rho; /* default 0.9 */
    double eps; /* default 1e-6 */
    double weight_decay;
    bool maximize;
} ct_adadelta_options;
ct_optimizer *ct_adadelta_new(ct_params *set, ct_adadelta_options options);

/* NAdam (Dozat, 2016): m and v as in Adam, c(t) = beta1 (1 - 0.96^(t momentum_decay) / 2) and
 * p = c(1) c(2) ... c(t),
 *     w -= lr ((1 - c(t)) / (1 - p) g + c(t + 1) / (1 - p c(t + 1)) m)
 *          / (sqrt(v / (1 - beta2^t)) + eps)
 * With decoupled_weight_decay, w is multiplied by 1 - lr weight_decay before the update, and
 * weight_decay is not added to g. State: exp_avg, exp_avg_sq, mu_product (p, of the shape ()), step. */
typedef struct ct_nadam_options {
    double lr;             /* default 0.002 */
    double beta1, beta2;   /* default 0.9 and 0.999 */
    double eps;            /* default 1e-8 */
    double momentum_decay; /* default 0.004 */
    double weight_decay;
    bool decoupled_weight_decay, maximize;
} ct_nadam_options;
ct_optimizer *ct_nadam_new(ct_params *set, ct_nadam_options options);

/* RAdam (Liu et al., 2020): m and v as in Adam, r = 2 / (1 - beta2) - 1 and
 * r(t) = r - 2 t beta2^t / (1 - beta2^t). If r(t) is above 5,
 *     w -= lr m / (1 - beta1^t) sqrt(1 - beta2^t) / (sqrt(v) + eps)
 *          sqrt((r(t) - 4) (r(t) - 2) r / ((r - 4) (r - 2) r(t)))
 * else w -= lr m / (1 - beta1^t). decoupled_weight_decay as in NAdam. State: exp_avg, exp_avg_sq,
 * step. */
typedef struct ct_radam_options {
    double lr;           /* default 0.001 */
    double beta1, beta2; /* default 0.9 and 0.999 */
    double eps;          /* default 1e-8 */
    double weight_decay;
    bool decoupled_weight_decay, maximize;
} ct_radam_options;
ct_optimizer *ct_radam_new(ct_params *set, ct_radam_options options);

/* Lion (Chen et al., 2023, algorithm 2): w -= lr (sign(beta1 m + (1 - beta1) grad) + weight_decay w),
 * then m = beta2 m + (1 - beta2) grad. The usual learning rate is 3 to 10 times smaller than for
 * AdamW. With maximize, -grad takes the place of grad. State: exp_avg (m). */
typedef struct ct_lion_options {
    double lr;           /* default 0.0001 */
    double beta1, beta2; /* default 0.9 and 0.99 */
    double weight_decay;
    bool maximize;
} ct_lion_options;
ct_optimizer *ct_lion_new(ct_params *set, ct_lion_options options);

/* ---- algorithms and options by name, for command lines and configuration files ---- */

/* The name of algorithm i: "sgd", "adam", "adamw", "rmsprop", "adagrad", "adamax", "adadelta",
 * "nadam", "radam", "lion". NULL if there is no algorithm i. */
const char *ct_optimizer_algorithm(int i);

/* An option, named by its field of the options struct. For a flag, 0 is false and any other value
 * is true. */
typedef struct ct_optimizer_value {
    const char *name;
    double value;
} ct_optimizer_value;

/* Makes an optimiser by the name of its algorithm. values is an array that ends with a NULL name,
 * or NULL; options that are not in it have their defaults. Here a value of 0 is 0, not the default.
 * CT_ERR_ARGUMENT for an unknown algorithm or option, and for a value outside its range. */
ct_optimizer *ct_optimizer_new_from_name(ct_params *set, const char *algorithm,
                                         const ct_optimizer_value *values);

/* ---- use ---- */

void ct_optimizer_free(ct_optimizer *o); /* NULL is allowed */

/* Updates every trained parameter that has a gradient, and clears the gradients. Does nothing while
 * an error is recorded. A parameter without a gradient is not changed, also not by weight decay or
 * momentum. */
ct_status ct_optimizer_step(ct_optimizer *o);

/* ---- groups ---- */

/* An option that is 0 has the optimiser's value. Write CT_ZERO for 0. */
typedef struct ct_optimizer_group_options {
    double lr, weight_decay;
} ct_optimizer_group_options;

/* Sets separate options for the parameters whose whole name matches a shell pattern ("*.bias*"). If
 * a name matches several patterns, the pattern that was added last applies; for a value with
 * several (tied) names, a pattern that matches any of the names applies. Adding a pattern again
 * replaces its options. CT_ERR_ARGUMENT for a pattern that no parameter of the set matches, and for
 * values outside their range. */
ct_status ct_optimizer_group(ct_optimizer *o, const char *pattern,
                             ct_optimizer_group_options options);

/* Returns the learning rate in use, after the schedule: ct_optimizer_lr that of parameters whose
 * group has no rate of its own, ct_optimizer_param_lr that of the named parameter. Returns NaN for
 * a NULL optimiser, for a NULL name, and for a name that is not in the set. */
double ct_optimizer_lr(const ct_optimizer *o);
double ct_optimizer_param_lr(const ct_optimizer *o, const char *name);

/* Sets the learning rate to which the schedule is applied; 0 is allowed. Groups with a rate of
 * their own keep it. CT_ERR_ARGUMENT for a rate that is negative or not finite. */
ct_status ct_optimizer_set_lr(ct_optimizer *o, double lr);

/* ---- state, for checkpoints: everything that an optimiser stores between steps, as named tensors
 * ---- */

/* The number of entries, and the name of entry i or NULL; 0 and NULL for a NULL optimiser. The
 * entries are "lr"; "schedule", if there is one; then, for each parameter that has been updated, its state under PyTorch's names:
 * "exp_avg.rnn.weight_ih_l0", with the parameter's shape, and a scalar "step.rnn.weight_ih_l0" (SGD
 * and Lion have none). The order is that of the set. Names are valid as long as the optimiser. */
int ct_optimizer_state_count(const ct_optimizer *o);
const char *ct_optimizer_state_name(const ct_optimizer *o, int i);

/* Returns the values of entry i as a tensor of the innermost scope: a view of the state itself;
 * for "lr", "schedule" and "step", a copy on the CPU, f64 or i64. CT_ERR_INDEX if there is no
 * entry i. */
ct_tensor *ct_optimizer_state_tensor(ct_optimizer *o, int i);

/* Copies t into the entry of a name. The optimiser must have been made with the same options,
 * groups and schedule, and the parameters must have their shapes. Does nothing while an error is
 * recorded. An entry that is never loaded keeps its value, so load as many entries as
 * ct_optimizer_state_count returned when they were saved. CT_ERR_ARGUMENT for a name that this
 * optimiser cannot have, CT_ERR_SHAPE and CT_ERR_DTYPE for a tensor of another shape or dtype,
 * CT_ERR_FORMAT for values that are impossible in a state. */
ct_status ct_optimizer_state_load(ct_optimizer *o, const char *name,
                                  const ct_tensor *t) CT_WARN_UNUSED;

/* Frees the state of all parameters, as if none had been updated. Rates, groups and the schedule
 * are kept. */
void ct_optimizer_reset(ct_optimizer *o);

#ifdef __cplusplus
}
#endif
#endif
