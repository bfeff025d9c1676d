/* schedule.h - how learning rates change while training, with the numbers of
 * torch.optim.lr_scheduler.
 *
 *     ct_schedule *s = ct_optimizer_schedule(adam);
 *
 *     ct_schedule_linear_lr(s, 0.01, 1, 500);          // warm up over 500 steps
 *     ct_schedule_then(s, 500);
 *     ct_schedule_cosine_lr(s, 9500, 1e-5);            // then fall to 1e-5 at step 10,000
 *     ...
 *     ct_optimizer_step(adam);
 *     ct_schedule_step(s);
 *
 * A schedule turns a rate (the optimiser's, and each group's own) into the one in use: the first
 * part is given that rate, each further part what the part before it gave. What a step is, is
 * yours: an update or an epoch. t counts calls of ct_schedule_step, from 0 in each phase. All of a
 * schedule is a function of t and of the metrics seen, so it goes on where a checkpoint left it.
 *
 * Functions given NULL raise CT_ERR_ARGUMENT, as they do, naming it, for a number outside its
 * domain. */
#ifndef COTANGENT_OPTIM_SCHEDULE_H
#define COTANGENT_OPTIM_SCHEDULE_H

#include <cotangent/optim/optimizer.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ct_schedule ct_schedule;

/* The optimiser's schedule, without parts at first; freed with it. NULL with CT_ERR_MEMORY. */
ct_schedule *ct_optimizer_schedule(ct_optimizer *o);

/* t = t + 1. A sink: does nothing while an error stands. */
ct_status ct_schedule_step(ct_schedule *s);

/* Shows the phase's plateau parts a metric. A sink. */
ct_status ct_schedule_observe(ct_schedule *s, double metric);

/* ---- parts ---- */

/* StepLR: lr gamma^(t / step_size), the division rounding down. step_size >= 1, gamma > 0. */
ct_status ct_schedule_step_lr(ct_schedule *s, int64_t step_size, double gamma);

/* LinearLR, a warm-up: lr times a factor that goes from start to end in total_iters steps, and
 * stays. Factors >= 0, total_iters >= 1. */
ct_status ct_schedule_linear_lr(ct_schedule *s, double start_factor, double end_factor,
                                int64_t total_iters);

/* CosineAnnealingLR: eta_min + (lr - eta_min) (1 + cos(pi t / t_max)) / 2; rises again after t_max.
 * t_max >= 1, eta_min >= 0. */
ct_status ct_schedule_cosine_lr(ct_schedule *s, int64_t t_max, double eta_min);

/* LambdaLR: lr factor(t, context); a factor below 0 or not finite counts as 0. factor is called
 * whenever a rate is wanted, so it must give the same for the same t. */
ct_status ct_schedule_lambda_lr(ct_schedule *s, double (*factor)(int64_t t, void *context),
                                void *context);

/* ReduceLROnPlateau: lr = max(factor lr, min_lr) each time that more than patience metrics in a
 * row were no better than the best by threshold; then cooldown metrics pass uncounted. Better is
 * below best (1 - threshold), or best - threshold with absolute; with maximize above best (1 +
 * threshold) or best + threshold. A NaN is never better. An option that is left 0 has its
 * default. To make threshold or eps zero, write CT_ZERO; to make patience zero, a negative
 * number. */
typedef struct ct_schedule_plateau_options {
    double factor;    /* 0.1; below 1 */
    double threshold; /* 1e-4 */
    double min_lr;    /* a rate already below it stays */
    double eps;       /* 1e-8: a smaller change is not made */
    int64_t patience; /* 10; negative: 0 */
    int64_t cooldown;
    bool maximize, absolute;
} ct_schedule_plateau_options;
ct_status ct_schedule_plateau_lr(ct_schedule *s, ct_schedule_plateau_options options);

/* Begins a phase (SequentialLR): parts added from here on hold from step at, which must be above
 * that of the phase before, in place of the earlier ones. */
ct_status ct_schedule_then(ct_schedule *s, int64_t at);

#ifdef __cplusplus
}
#endif
#endif
