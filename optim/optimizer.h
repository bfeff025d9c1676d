/* optimizer.h - rules that move parameters along their gradients. */
#ifndef COTANGENT_OPTIM_OPTIMIZER_H
#define COTANGENT_OPTIM_OPTIMIZER_H

#include <stdbool.h>

#include <cotangent/autograd/params.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ct_optimizer ct_optimizer;

/* Stochastic gradient descent as in PyTorch: g = grad + weight_decay w; without momentum
 * w -= lr g; with it m = momentum m + (1 - dampening) g (m = g at first), then w -= lr m, or
 * lr (g + momentum m) with nesterov. */
typedef struct ct_sgd_options {
    double lr;
    double momentum, dampening, weight_decay;
    bool nesterov;
    void *reserved[8];
} ct_sgd_options;

/* An optimiser of the trained parameters of set, which must outlive it; settled or not. Yours to
 * free. CT_ERR_ARGUMENT for a rate, momentum or decay that is negative or no number, and for
 * nesterov without momentum or with dampening. */
ct_optimizer *ct_sgd_new(ct_params *set, ct_sgd_options options);
void ct_optimizer_free(ct_optimizer *o) CT_NOSITE;

/* Applies the gradients and clears them. A sink: does nothing while an error stands. A parameter
 * without a gradient stays. */
ct_status ct_optimizer_step(ct_optimizer *o);

double ct_optimizer_lr(const ct_optimizer *o) CT_NOSITE;
ct_status ct_optimizer_set_lr(ct_optimizer *o, double lr);

#ifdef __cplusplus
}
#endif
#endif
