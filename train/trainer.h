/* SPDX-License-Identifier: MIT */
/* trainer.h - the fit loop, for any model and data.
 *
 *     ct_model model = { .self = m, .params = params, .training_step = training_step,
 *                        .configure_optimizers = configure_optimizers };
 *     ct_trainer trainer = { .max_epochs = 100, .gradient_clip_val = 1, .out = stdout,
 *                            .checkpoint = "run.safetensors" };
 *     ct_fit_result result;
 *
 *     ct_trainer_stop_on_signals();
 *     if (ct_fit(&trainer, &model, train, val, &result) != CT_OK)
 *         ...
 *
 * For each batch the trainer opens a scope, calls the model for the loss, and does the rest of the
 * step: backward, clipping, the optimiser's step, carrying the recurrent state. */
#ifndef COTANGENT_TRAIN_TRAINER_H
#define COTANGENT_TRAIN_TRAINER_H

#include <stdbool.h>
#include <stdio.h>

#include <cotangent/autograd/params/params.h>
#include <cotangent/data/loader.h>
#include <cotangent/nn/state.h>
#include <cotangent/optim/optimizer.h>
#include <cotangent/tensor/safetensors.h>
#include <cotangent/train/metric.h>
#include <cotangent/train/world.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- a model ---- */

/* One step: what the trainer gives to the model, and what the model gives back. */
typedef struct ct_step {
    const ct_batch *batch;
    const ct_state *state; /* the *next of the step before if the batch continues the batch before
                            * (batch->continues); otherwise NULL: begin with the initial state */
    ct_state **next;       /* for the state after the batch; NULL if none is needed */
    int64_t epoch, step;   /* complete epochs, and updates, so far */
    int optimizer;         /* which optimiser gets the gradients; 0 if there is one */

    /* Results, all optional. */
    double count; /* The number of targets that the loss is the mean over; the mean over an epoch
                   * weights batches by it. It is batch->tokens before the step; set it if some
                   * targets are ignored. Must be finite and above 0. */
    ct_tensor *prediction, *target; /* for the metrics of the trainer, which need both */
} ct_step;

/* Returns the loss of the batch: the mean over s->count tokens or rows, a tensor of one element.
 *
 *     static ct_tensor *training_step(void *self, ct_step *s)
 *     {
 *         return ct_cross_entropy(forward(self, s->batch->x, s->state, s->next), s->batch->y);
 *     }
 * */
typedef ct_tensor *(*ct_model_step)(void *self, ct_step *s);

#define CT_OPTIMIZERS 8 /* the maximum number of optimisers of a model */

/* What a trainer needs of a model. */
typedef struct ct_model {
    void *self;
    ct_params *params; /* in evaluation mode while validation_step runs */
    ct_model_step training_step;
    ct_model_step validation_step; /* no gradients are recorded; NULL: training_step */
    /* Returns the optimiser, with its groups and schedule. ct_fit calls this once and frees the
     * result. */
    ct_optimizer *(*configure_optimizers)(void *self);
    /* Replaces configure_optimizers in a model with several optimisers, such as a GAN. It writes up
     * to CT_OPTIMIZERS optimisers to o and returns their number, or 0 after an error; then the
     * optimisers in o are freed. No parameter may belong to two of them. training_step is called
     * for each in turn, with its number in s->optimizer; for optimiser k only on each every[k]-th
     * batch (initially 1; every[0] must stay 1). A call trains only the parameters of its
     * optimiser; the others are frozen and get no gradients. Gradients are clipped separately for
     * each optimiser. The loss, gradient_norm, lr and metrics of the result are those of the calls
     * for optimiser 0. The loss of optimiser K is a metric with the name loss_K: train_loss_1 in
     * the CSV file. */
    int (*configure_several)(void *self, ct_optimizer **o, int64_t *every);
} ct_model;

/* ---- the result ---- */

/* How the perplexity of an epoch is computed. It is only shown, unless it is
 * monitored. */
typedef enum ct_perplexity {
    CT_PERPLEXITY_AUTO,    /* TOKENS for a loader of a corpus, NONE for a loader of numbers */
    CT_PERPLEXITY_TOKENS,  /* exp of the mean loss of its tokens */
    CT_PERPLEXITY_BATCHES, /* the mean over its batches of exp(batch loss), as d2l 1.x plots it */
    CT_PERPLEXITY_NONE     /* the loss is no likelihood of tokens: perplexity and bits are NaN */
} ct_perplexity;

typedef enum ct_fit_end {
    CT_FIT_END_FINISHED, /* max_epochs */
    CT_FIT_END_PATIENCE, /* no improvement for `patience` epochs */
    CT_FIT_END_STOPPED   /* by ct_trainer_stop or a callback */
} ct_fit_end;

/* The run after its last complete epoch. A value that does not exist is NaN. loss is the mean over
 * the tokens (the counts of the steps; rows or values for a loader of numbers) of what training_step
 * returned; for cross-entropy in nats per token. bits is the same in bits per token. */
typedef struct ct_fit_result {
    int64_t epochs, steps, tokens; /* complete epochs, updates, tokens trained on */
    double loss, perplexity, bits; /* of training in the last epoch; the loss of a batch is the one
                                    * before its update */
    double validation_loss, validation_perplexity, validation_bits;
    double gradient_norm;              /* mean over the steps of the last epoch, before clipping */
    double clipped;                    /* the share of its steps whose gradients were clipped */
    double lr;                         /* the learning rate at the last step of that epoch */
    double tokens_per_second, seconds; /* of training in the last epoch */
    int64_t best_epoch;                /* the epoch whose monitored value was best */
    double best_value;                 /* the monitored value of the best epoch */
    double best_loss, best_perplexity; /* of the best epoch: of validation, or of training if there
                                        * is no validation */
    ct_fit_end end;
    int metric_count; /* the metrics of the trainer, in order */
    const char *metric_names[CT_METRICS];
    double metrics[CT_METRICS], validation_metrics[CT_METRICS]; /* values in the last epoch */
} ct_fit_result;

/* A value of the last epoch by the name of its column in the CSV file: "val_accuracy", "train_loss".
 * NaN if there is none, and for NULL. */
double ct_fit_value(const ct_fit_result *result, const char *name);

/* ---- callbacks ---- */

/* A step, after its update. */
typedef struct ct_fit_step {
    int64_t epoch, step;    /* the epoch, from 1; the number of updates so far, with this one */
    int64_t batch, batches; /* its last batch, from 1, and the batches of the epoch */
    double loss, gradient_norm, lr; /* loss: the mean over its batches */
} ct_fit_step;

/* Functions that are called after each update and after each epoch, unless they are NULL. If one
 * returns false, the run stops as after ct_trainer_stop. If one raises an error, the run ends with
 * that error. */
typedef struct ct_callback {
    void *context;
    bool (*step)(void *context, const ct_fit_step *step);
    bool (*epoch)(void *context, const ct_fit_result *so_far);
} ct_callback;

/* ---- the trainer ---- */

typedef enum ct_interval { CT_INTERVAL_EPOCH, CT_INTERVAL_STEP } ct_interval;

/* How ct_fit trains a model. A field that is 0 has its default. */
typedef struct ct_trainer {
    int64_t max_epochs; /* required, at least 1; counts the epochs before a resumed checkpoint */
    double gradient_clip_val; /* the largest norm of the gradients; 0: no clipping */

    /* The batches of one update; 0: 1. The last update of an epoch has the batches that are left. The
     * gradient is that of the mean loss over all of them, weighted by the counts of their steps, as if
     * they were one large batch; it is clipped once. Each batch has a scope of its own. Only updates are
     * steps: a stop ends the update in progress, and schedules, callbacks and checkpoint_steps count
     * updates. CT_ERR_ARGUMENT below 0. */
    int64_t accumulate;

    /* Above 0: an exponential moving average of the trained parameters is kept, as PyTorch's AveragedModel
     * with get_ema_multi_avg_fn does: after the first update a copy of them; after each later one
     *     average = average + (1 - ema_decay) (weights - average).
     * Validation, and so the monitored value, uses the averages, and when ct_fit returns CT_OK, the
     * parameters have them. A checkpoint has the averages under the names of the parameters, so that a
     * program that loads the model gets them, and what the run needs to resume beside them.
     * Buffers and frozen parameters are not averaged. CT_ERR_ARGUMENT unless 0 <= ema_decay < 1. */
    double ema_decay;
    ct_device device; /* the model is moved there (ct_params_to); CT_CPU: not moved */

    /* The processes and shards of the run. NULL: those that a launcher (mpirun) has started, with
     * COTANGENT_SHARDS shards or one for each process. All processes must call ct_fit with the same
     * arguments; rank 0 alone prints and writes files, and callbacks run on all. The bits depend on the
     * number of shards, and not on the number of processes (train/world.h, docs/scaling.md). */
    ct_world *world;
    ct_perplexity perplexity;
    ct_interval schedule_interval; /* when the optimiser's schedule steps; its plateau parts get the
                                    * monitored value of each epoch */
    const ct_callback *callbacks;  /* callback_count of them; called in order */
    int callback_count;

    /* The metrics, at most CT_METRICS; a NULL ends them; NULL: none. The step of the model must set
     * prediction and target. */
    const ct_metric *const *metrics;

    /* The value by which epochs are compared, by the name of its column in the CSV file: a loss, a
     * perplexity, bits (smaller is better), or a metric, whose struct says what is better:
     * "val_accuracy". NULL: "val_loss" if there is validation, else "train_loss". It decides which
     * epoch is best, and is what patience and plateau schedules get. CT_ERR_ARGUMENT if there is no
     * such column, and for a plateau schedule whose maximize is not the metric's. CT_ERR_NUMERIC if
     * the value of an epoch is not finite. */
    const char *monitor;

    /* Early stopping: the run ends after `patience` epochs in a row whose monitored value was not
     * better than the best by more than min_delta. 0: no early stopping. */
    int64_t patience;
    double min_delta;

    /* Where the model's summary and the progress are printed: on a terminal a live line; and a
     * plain line for epochs 1, 2, 5, 10, every tenth and the last. If a layer takes sizes from its
     * first input, the summary comes after the first step. NULL: nothing is printed. */
    FILE *out;
    bool plain; /* no live line, even on a terminal */

    /* Output files; NULL: none. csv gets one line after each epoch: epoch, step, tokens (so far),
     * train_loss, train_perplexity, train_bits, val_loss, val_perplexity, val_bits, grad_norm,
     * clipped, lr, train_METRIC and val_METRIC for each metric, tokens_per_second, seconds; nothing
     * for a value that does not exist. svg is the
     * curve of perplexities, or of losses if there are none. tensorboard is a folder, created if
     * necessary, for one file of events. */
    const char *csv, *svg, *tensorboard;

    /* The checkpoint of the run. It is written after every checkpoint_epochs epochs (0: 1), after
     * every checkpoint_steps updates (0: not within an epoch), when the run is stopped, and at its
     * end. If writing fails, the file keeps its old contents. best is a checkpoint that is written
     * whenever the monitored value is the best so far. */
    const char *checkpoint, *best;
    int64_t checkpoint_epochs, checkpoint_steps;

    /* Resumes from this checkpoint; NULL: starts a new run. With the same build, kind of processor,
     * model, data and trainer, the result has the same bits as that of an uninterrupted run;
     * max_epochs may differ. The csv and tensorboard files are cut back to the checkpoint.
     * CT_ERR_FORMAT for a file that is not a checkpoint or lacks a part of one, and for a checkpoint
     * of other data, loaders, hyperparameters, model, optimiser options (the learning rate, groups
     * and schedule as configure_optimizers returns them) or version; the message names what differs.
     * Nothing is changed then. To continue with another learning rate, call ct_optimizer_set_lr in a
     * callback: the checkpoint keeps that rate. */
    const char *resume;

    /* What the checkpoint also stores and a resume also compares: hyperparameters, pairs that a
     * pair of NULLs ends ("lr", "1"; "text", its SHA-256); and model_json, a text that describes
     * the model to the program that loads the file (metadata key "cotangent.model"). Both may be
     * NULL. */
    const ct_metadata *hyperparameters;
    const char *model_json;
} ct_trainer;

/* Trains until max_epochs epochs are complete, those before a resumed checkpoint included. val and
 * result may be NULL. Returns CT_OK also for a run that was stopped; result->end says so. Ends at
 * the first error and returns it: an error that is already recorded; an error of the model or a
 * callback; CT_ERR_ARGUMENT for a missing argument, and for one loader as train and val (it has one
 * position: make two loaders of the same data); CT_ERR_IO for a file that cannot be written;
 * CT_ERR_WORLD for another process of the run that failed, has ended or does another run;
 * CT_ERR_NUMERIC for a loss or gradient that is not finite. The last message names the step, the
 * parameter and the first op that gave such a value; no parameter is updated and no checkpoint is
 * written. *result describes the last complete epoch. */
ct_status ct_fit(const ct_trainer *trainer, const ct_model *model, ct_loader *train, ct_loader *val,
                 ct_fit_result *result);

/* For a loop of your own: one pass over loader, as ct_fit validates. Nothing is recorded, and the model
 * runs in evaluation mode (validation_step, or training_step if that is NULL). Writes the mean loss to
 * *loss and the value of each metric to values, which has room for all; NaN if there is
 * none. metrics, loss and values may be NULL; a NULL ends metrics. The pass begins a new epoch of the loader. The ranks
 * of mpirun share the rows, so all must call it; it has COTANGENT_SHARDS shards. Errors as in ct_fit. */
ct_status ct_evaluate(const ct_model *model, ct_loader *loader, const ct_metric *const *metrics,
                      double *loss, double *values);

/* ---- stopping ---- */

/* Requests a stop: the running ct_fit, or the next one, finishes its current step, writes its
 * checkpoint and returns. May be called from any thread and from a signal handler. */
void ct_trainer_stop(void);

/* Installs handlers: the first SIGINT or SIGTERM calls ct_trainer_stop; a second one has its
 * default effect and ends the program. A signal that was ignored when the program started stays
 * ignored. */
void ct_trainer_stop_on_signals(void);

/* The signal that requested a stop, or 0. By convention a program that a signal stopped exits with
 * 128 + its number: 130 or 143. */
int ct_trainer_signal(void);

#ifdef __cplusplus
}
#endif
#endif
