/* SPDX-License-Identifier: MIT */
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
 * A schedule is a list of parts. It computes the learning rate in use from a base rate (that of the
 * optimiser or of a group): the first part gets the base rate, each further part gets the result of
 * the part before it. Call ct_schedule_step once per update or once per epoch, as you prefer. t is
 * the number of these calls since the phase began. The rate depends only on t and on the metrics
 * observed, so a schedule resumes exactly from a checkpoint.
 *
 * Every function raises CT_ERR_ARGUMENT for a NULL schedule and for a number outside its range; the
 * message names the number. */
#ifndef COTANGENT_OPTIM_SCHEDULE_H
#define COTANGENT_OPTIM_SCHEDULE_H

#include <cotangent/optim/optimizer.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How the rates of an optimiser change. It belongs to the optimiser. */
typedef struct ct_schedule ct_schedule;

/* Returns the optimiser's schedule. The first call creates it, without parts. It is freed with the
 * optimiser. NULL with CT_ERR_MEMORY, or CT_ERR_ARGUMENT for a NULL optimiser. */
ct_schedule *ct_optimizer_schedule(ct_optimizer *o);

/* Adds 1 to t. Does nothing while an error is recorded. */
ct_status ct_schedule_step(ct_schedule *s);

/* Reports a metric to the plateau schedules of the current phase. Does nothing while an error is
 * recorded. */
ct_status ct_schedule_observe(ct_schedule *s, double metric);

/* ---- parts ---- */

/* StepLR: lr gamma^floor(t / step_size). step_size >= 1, gamma > 0. */
ct_status ct_schedule_step_lr(ct_schedule *s, int64_t step_size, double gamma);

/* MultiStepLR: lr gamma^n, where n is the number of entries of milestones that are at most t. The
 * milestone_count entries (1 or more) are copied; they must be at least 1 and must not decrease.
 * gamma > 0. */
ct_status ct_schedule_multi_step_lr(ct_schedule *s, int milestone_count, const int64_t *milestones,
                                    double gamma);

/* ExponentialLR: lr gamma^t. gamma > 0. */
ct_status ct_schedule_exponential_lr(ct_schedule *s, double gamma);

/* LinearLR, for a warm-up: lr times a factor that changes linearly from start_factor to end_factor
 * in total_iters steps and then stays. Factors >= 0, total_iters >= 1. */
ct_status ct_schedule_linear_lr(ct_schedule *s, double start_factor, double end_factor,
                                int64_t total_iters);

/* CosineAnnealingLR: eta_min + (lr - eta_min) (1 + cos(pi t / t_max)) / 2. After t_max steps the
 * rate rises again. t_max >= 1, eta_min >= 0. */
ct_status ct_schedule_cosine_lr(ct_schedule *s, int64_t t_max, double eta_min);

/* OneCycleLR (Smith and Topin, 2019), one call of ct_schedule_step per update: the rate rises from
 * max_lr / div_factor to max_lr at t = pct_start total_steps - 1 and then falls to max_lr /
 * div_factor / final_div_factor at t = total_steps - 1, where it stays (PyTorch raises an error).
 * With three_phase it first falls to max_lr / div_factor, in as many steps as it rose. Between two
 * rates it follows half a cosine, or a straight line if linear is set. PyTorch's cycle_momentum is
 * not implemented: it is False. An option that is 0 has its default. */
typedef struct ct_schedule_one_cycle_options {
    int64_t total_steps;     /* required; at least 2 */
    double max_lr;           /* 0: the base rate of each group */
    double pct_start;        /* default 0.3; in 0..1 */
    double div_factor;       /* default 25; above 0 */
    double final_div_factor; /* default 10,000; above 0 */
    bool linear, three_phase;
} ct_schedule_one_cycle_options;
ct_status ct_schedule_one_cycle_lr(ct_schedule *s, ct_schedule_one_cycle_options options);

/* LambdaLR: lr factor(t, context). A factor that is negative or not finite counts as 0. factor is
 * called each time that a rate is computed, so it must return the same value for the same t. context
 * may be NULL. */
ct_status ct_schedule_lambda_lr(ct_schedule *s, double (*factor)(int64_t t, void *context),
                                void *context);

/* ReduceLROnPlateau: sets lr = max(factor lr, min_lr) after more than patience metrics in a row
 * that were not better than the best; the next cooldown metrics are then not counted. A metric is
 * better if it is below best (1 - threshold), with absolute below best - threshold; with maximize,
 * if it is above best (1 + threshold), with absolute above best + threshold. NaN is never better.
 * An option that is 0 has its default. Write CT_ZERO for a threshold or eps of 0, and a negative
 * number for a patience of 0. */
typedef struct ct_schedule_plateau_options {
    double factor;    /* default 0.1; below 1 */
    double threshold; /* default 1e-4 */
    double min_lr;    /* a rate that is already lower stays */
    double eps;       /* default 1e-8; smaller changes are not made */
    int64_t patience; /* default 10; a negative number means 0 */
    int64_t cooldown;
    bool maximize, absolute;
} ct_schedule_plateau_options;
ct_status ct_schedule_plateau_lr(ct_schedule *s, ct_schedule_plateau_options options);

/* Begins a phase (SequentialLR): from step `at` on, the parts that are added after this call
 * replace the earlier ones. `at` counts from the beginning of the schedule and must be above that
 * of the previous phase. */
ct_status ct_schedule_then(ct_schedule *s, int64_t at);

#ifdef __cplusplus
}
#endif
#endif
