/* optimizer.h - rules that move parameters along their gradients, with PyTorch's options, defaults
 * and numbers.
 *
 *     ct_optimizer *adam = ct_adam_new(params, (ct_adam_options){ .lr = 3e-4 });
 *
 *     ct_optimizer_group(adam, "*.bias*", (ct_optimizer_group_options){ .weight_decay = CT_ZERO });
 *     ...
 *     ct_backward(loss);
 *     ct_clip_grad_norm(params, 1.0, NULL);
 *     ct_optimizer_step(adam);
 *
 * An option that is left 0 has its default, given beside it; where that is another number than 0,
 * a true no_NAME makes it 0. lr is the learning rate, eps keeps divisions from 0. In the formulas
 * w is a parameter, t the number of its updates, this one included, and
 * g = grad + weight_decay w (maximize: weight_decay w - grad). */
#ifndef COTANGENT_OPTIM_OPTIMIZER_H
#define COTANGENT_OPTIM_OPTIMIZER_H

#include <stdbool.h>

#include <cotangent/autograd/params/params.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ct_optimizer ct_optimizer;

/* An optimiser of the trained parameters of set, which must outlive it; they may be settled, or
 * registered, later. Yours to free. A parameter's state is made at its first update, and stays
 * while it is frozen. Tied names are one parameter. NULL with CT_ERR_ARGUMENT, naming the option,
 * for one outside its domain: rates, decays, momenta and eps are finite and not negative, beta1,
 * beta2 and alpha below 1. An option that is left 0 has the default that its comment shows, or 0.
 * To make an option with a default zero, write CT_ZERO. */

/* Stochastic gradient descent: w -= lr g; with momentum m = momentum m + (1 - dampening) g (at
 * first m = g) and w -= lr m, or lr (g + momentum m) with nesterov, which wants momentum and no
 * dampening. State: momentum_buffer. */
typedef struct ct_sgd_options {
    double lr; /* 0.001 */
    double momentum, dampening, weight_decay;
    bool nesterov, maximize;
} ct_sgd_options;
ct_optimizer *ct_sgd_new(ct_params *set, ct_sgd_options options);

/* Adam (Kingma and Ba, 2015): m = beta1 m + (1 - beta1) g, v = beta2 v + (1 - beta2) g^2,
 * w -= lr m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps); amsgrad (Reddi et al., 2018) has
 * the greatest v so far in v's place. AdamW (Loshchilov and Hutter, 2019) leaves weight_decay out
 * of g; instead w *= 1 - lr weight_decay comes first. State: exp_avg, exp_avg_sq,
 * max_exp_avg_sq (amsgrad), step. */
typedef struct ct_adam_options {
    double lr;           /* 0.001 */
    double beta1, beta2; /* 0.9, 0.999 */
    double eps;          /* 1e-8 */
    double weight_decay; /* Adam 0, AdamW 0.01 */
    bool amsgrad, maximize;
} ct_adam_options;
ct_optimizer *ct_adam_new(ct_params *set, ct_adam_options options);
ct_optimizer *ct_adamw_new(ct_params *set, ct_adam_options options);

/* RMSprop (Hinton): v = alpha v + (1 - alpha) g^2, d = g / (sqrt(v) + eps), w -= lr d; centered
 * takes sqrt(v - a^2), a = alpha a + (1 - alpha) g (no less than 0, where PyTorch may give NaN);
 * with momentum b = momentum b + d and w -= lr b. State: square_avg, momentum_buffer, grad_avg,
 * step. */
typedef struct ct_rmsprop_options {
    double lr;    /* 0.01 */
    double alpha; /* 0.99 */
    double eps;   /* 1e-8 */
    double momentum, weight_decay;
    bool centered, maximize;
} ct_rmsprop_options;
ct_optimizer *ct_rmsprop_new(ct_params *set, ct_rmsprop_options options);

/* Adagrad (Duchi et al., 2011): s += g^2, w -= lr / (1 + (t - 1) lr_decay) g / (sqrt(s) + eps); s
 * begins as initial_accumulator_value. State: sum, step. */
typedef struct ct_adagrad_options {
    double lr;  /* 0.01 */
    double eps; /* 1e-10 */
    double lr_decay, weight_decay, initial_accumulator_value;
    bool maximize;
} ct_adagrad_options;
ct_optimizer *ct_adagrad_new(ct_params *set, ct_adagrad_options options);

void ct_optimizer_free(ct_optimizer *o);

/* Applies the gradients and clears them. A sink: does nothing while an error stands. A parameter
 * without a gradient stays as it is, weight decay and momentum included. */
ct_status ct_optimizer_step(ct_optimizer *o);

/* ---- groups ---- */

/* An option that is left 0 is as in the optimiser. To make it zero, write CT_ZERO. */
typedef struct ct_optimizer_group_options {
    double lr, weight_decay;
} ct_optimizer_group_options;

/* Gives the parameters whose whole name matches a shell pattern ("*.bias*") options of their own.
 * Of several patterns that match a name the one given last holds; one given again replaces the
 * options it had. CT_ERR_ARGUMENT for a pattern that no parameter of the set matches. */
ct_status ct_optimizer_group(ct_optimizer *o, const char *pattern,
                             ct_optimizer_group_options options);

/* The rate in use now, after the schedule: of parameters in no group with a rate of its own, or of
 * the named parameter. NaN for a name (or an optimiser) that is not there. */
double ct_optimizer_lr(const ct_optimizer *o);
double ct_optimizer_param_lr(const ct_optimizer *o, const char *name);

/* Sets the rate before the schedule, 0 included; groups with a rate of their own keep it. */
ct_status ct_optimizer_set_lr(ct_optimizer *o, double lr);

/* ---- for checkpoints: all that an optimiser remembers, as tensors by name ---- */

/* "lr" and, with a schedule, "schedule"; then, for each parameter updated so far, its state under
 * PyTorch's words: "exp_avg.rnn.weight_ih_l0", of the parameter's shape, and a scalar
 * "step.rnn.weight_ih_l0" (not of SGD). The order is that of the set; names live as long as the
 * optimiser. */
int ct_optimizer_state_count(const ct_optimizer *o);
const char *ct_optimizer_state_name(const ct_optimizer *o, int i); /* or NULL */

/* The values of entry i, a tensor of the innermost scope: a view of the state's own, or, of "lr",
 * "schedule" and steps, f64 or i64 numbers on the CPU. CT_ERR_INDEX. */
ct_tensor *ct_optimizer_state_tensor(ct_optimizer *o, int i);

/* Puts t's values back under name, in an optimiser made with the same options, groups and schedule
 * whose set is settled. A sink. CT_ERR_ARGUMENT for a name that this optimiser cannot have,
 * CT_ERR_SHAPE and CT_ERR_DTYPE for a tensor that does not fit it, CT_ERR_FORMAT for numbers that
 * no state has. */
ct_status ct_optimizer_state_load(ct_optimizer *o, const char *name,
                                  const ct_tensor *t) CT_WARN_UNUSED;

/* Forgets the state of all parameters, as if none had been updated. Rates, groups and schedule
 * stay. */
void ct_optimizer_reset(ct_optimizer *o);

#ifdef __cplusplus
}
#endif
#endif
