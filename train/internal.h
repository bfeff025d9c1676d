/* SPDX-License-Identifier: MIT */
/* internal.h - a run of ct_fit and the functions of its parts. (internal) */
#ifndef COTANGENT_TRAIN_INTERNAL_H
#define COTANGENT_TRAIN_INTERNAL_H

#include <cotangent/train/trainer.h>
#include <cotangent/train/world.h>

#include "train/progress.h"
#include "train/tensorboard.h"
#include "train/history.h"

/* The sums over the batches of an epoch. */
typedef struct cti_tally {
    double nats, exps, tokens, batches; /* of the batches */
    double norms, clipped, updates;     /* of the updates */
} cti_tally;

/* Losses of batches and norms of updates that have not been read from an asynchronous device
 * yet. */
#define CTI_DEFERRED 50

typedef struct cti_deferred {
    ct_tensor *loss[CTI_DEFERRED], *norm[CTI_DEFERRED]; /* owned */
    double tokens[CTI_DEFERRED];
    int64_t step[CTI_DEFERRED]; /* the number of the loss's step; 0 in validation */
    int count, norm_count;      /* norm_count <= count; 0 in validation */
} cti_deferred;

/* The sums of the trainer's metrics over the batches of an epoch, on the model's device. */
typedef struct cti_metric_sums {
    ct_tensor *of[CT_METRICS]; /* owned; NULL before the first batch */
} cti_metric_sums;

/* The training part of the epoch in progress. */
typedef struct cti_epoch {
    bool underway; /* the epoch has begun and is not complete */
    cti_tally tally;
    cti_deferred deferred; /* losses and norms that are not in the tally yet */
    cti_metric_sums metrics;
    double norm; /* the last norm that was added to the tally */
    double seconds;
    double timed_tokens; /* tokens that this process trained on in these seconds */
} cti_epoch;

/* The exponential moving average of the weights. */
typedef struct cti_average {
    ct_tensor **of; /* owned; one for each entry of the set, NULL if the entry is not averaged */
    int count;
    size_t room;
} cti_average;

/* Early stopping. */
typedef struct cti_patience {
    int64_t epochs; /* epochs since the last improvement */
    double best;    /* the value of that epoch; an improvement is better by more than min_delta */
} cti_patience;

/* The column by which epochs are compared. */
typedef struct cti_monitor {
    int column; /* the column of the history */
    bool maximize;
} cti_monitor;

/* The output that shows the progress of the run. */
typedef struct cti_shown {
    bool summary; /* the model's summary has been printed, or is not wanted */
    cti_progress progress;
    cti_csv csv;
    cti_tensorboard tensorboard;
} cti_shown;

typedef struct cti_run {
    const char *function; /* for messages: "ct_fit" */
    const ct_trainer *trainer;
    const ct_model *model;
    ct_loader *train, *val;   /* val may be NULL */
    ct_perplexity perplexity; /* not CT_PERPLEXITY_AUTO */
    ct_optimizer *optimizer[CT_OPTIMIZERS];
    int64_t every[CT_OPTIMIZERS]; /* optimiser k takes part in every every[k]-th step */
    int optimizer_count;
    ct_state *state;             /* carried from batch to batch; NULL before there is one */
    ct_loader_cursor val_cursor; /* the position of val after its last complete pass */
    cti_epoch epoch;
    cti_average average;
    cti_patience patience;
    const ct_metric *metric[CT_METRICS]; /* the trainer's metrics, then the losses of further
                                          * optimisers */
    int given_metrics, metric_count;
    cti_monitor monitor;
    cti_history history; /* the complete epochs */
    ct_fit_result result;
    struct cti_fit_world *world; /* NULL if there is one shard */
    /* In a world: true if any rank asked for a stop at the last step. */
    bool stop_agreed;
    bool stopped;
    bool saved;        /* the checkpoint file is up to date */
    char *description; /* JSON (resume_check.c); NULL until it is needed */
    cti_shown shown;
} cti_run;

/* ---- a call of the model's step (model_step.c) ---- */

/* "epoch 2, batch 3 (step 8)" */
typedef struct cti_moment {
    char s[100];
} cti_moment;

/* Of a batch of the current epoch. step: 0 in validation. */
cti_moment cti_step_moment(const cti_run *run, double batch, int64_t step);

/* Moves all fields of a batch to the device of the model, in the innermost scope. */
void cti_step_move_batch(const cti_run *run, ct_batch *batch);

/* Calls a step, whose batch and state are filled in, and returns its loss; NULL with an error.
 * Unless value is NULL, also reads the loss; one that is not finite is an error. */
ct_tensor *cti_step_loss(cti_run *run, ct_model_step step, ct_step *s, const char *when,
                         double *value);

/* Stores next in *state for the next step. */
void cti_step_carry(ct_state **state, const ct_state *next, bool continues);

/* Add a loss to the sums. A deferred loss that is not finite is an error. */
void cti_step_add_loss(const cti_run *run, cti_tally *t, double loss, double tokens);
void cti_step_add_deferred(const cti_run *run, cti_tally *t, int64_t step, double loss,
                           double tokens);

/* The perplexity of the sums, and the bits per token of a loss in nats; NaN if it has none. */
double cti_step_perplexity(const cti_run *run, const cti_tally *t);
double cti_step_bits(const cti_run *run, double loss);

/* ---- training steps (updates.c) ---- */

/* Runs a training step in the innermost scope: an update of each optimiser that is due, from the
 * next batches. Returns false at the end of the epoch and after an error. *loss is the mean over
 * the batches, unless losses are deferred. */
bool cti_updates_step(cti_run *run, double *loss);

/* Ends a scope in which there was a backward pass; after an error also drops the gradients. */
void cti_updates_end_scope(const cti_run *run, ct_scope scope);

/* The batches of this epoch so far. */
double cti_updates_batches(const cti_run *run);

/* Reads the deferred losses and norms, which waits for the device, and adds them to the epoch's. */
void cti_updates_read_deferred(cti_run *run);

/* ---- validation (validation.c) ---- */

/* A pass over val. Writes its loss and metrics to the result if it is complete. */
void cti_validation_run(cti_run *run);

/* ---- deferred losses (deferred_losses.c) ---- */

/* True if the losses of this run are deferred: its device is asynchronous, and no callback needs
 * each loss at once. */
bool cti_deferred_wanted(const cti_run *run, bool training);

/* Keep the loss of a batch, for which there must be room, and the norm of an update. They do
 * nothing while an error is recorded. */
void cti_deferred_add(cti_deferred *d, ct_tensor *loss, double tokens, int64_t step);
void cti_deferred_add_norm(cti_deferred *d, ct_tensor *norm);

/* Waits for the numbers and empties d, whose tokens and step stay readable. Returns the number
 * of losses, 0 with an error. norms may be NULL if there are none. */
int cti_deferred_read(cti_deferred *d, double *losses, double *norms);
void cti_deferred_drop(cti_deferred *d);

/* ---- several optimisers (optimizers.c) ---- */

/* Makes the optimisers of the run; false with an error. */
bool cti_optimizers_begin(cti_run *run);

/* The parameters of other optimisers, frozen for a call of optimiser k until
 * cti_optimizers_release. Nothing with one optimiser. */
typedef struct cti_frozen {
    ct_storage *memory;
    int count;
} cti_frozen;
cti_frozen cti_optimizers_freeze(const cti_run *run, int k);
void cti_optimizers_release(cti_frozen *frozen);

/* ---- several ranks and shards (world_fit.c) ---- */

/* A step over the shards of a batch. */
typedef struct cti_fit_step {
    ct_model_step call;
    const char *when;
    bool training;
    int optimizer;
    ct_state **states;        /* the carried state of each shard of this rank; may be NULL */
    cti_metric_sums *metrics; /* receives the sums of the metrics; may be NULL */

    /* True if the update has more batches; the gradients are then added to those of the next
     * step. */
    bool more;

    /* The results, which are equal on all ranks: the mean loss, its count, and whether any rank
     * asks for a stop. */
    double loss, count;
    bool stop;
} cti_fit_step;

/* Makes run->world if there are several shards. It uses the world `given`, or makes one if that
 * is NULL. Returns false with an error. cti_fit_world_end sends a recorded error to the other
 * ranks. */
bool cti_fit_world_begin(cti_run *run, ct_world *given);
void cti_fit_world_end(cti_run *run);

/* Compares the run with those of the other ranks. It is called before the first step and after a
 * resume. Returns false with an error. */
bool cti_fit_world_ready(cti_run *run);

/* Writes the SHA-256 of all values of a set. Returns false with an error. */
bool cti_params_digest(ct_params *set, char hex[65]);

int cti_fit_shards(const cti_run *run); /* the number of shards; 1 without a world */

/* Runs the shards of this rank and adds up the results of all ranks: losses, metrics and, in
 * training, gradients. Returns false with an error. */
bool cti_fit_sharded(cti_run *run, cti_fit_step *step, ct_batch *batch);

/* Gives the parameters the gradients of an update that ended before all its batches. */
void cti_fit_finish_gradients(cti_run *run);

/* cti_fit_states returns the carried states of training, one for each shard of this rank.
 * cti_fit_states_new makes an array of that length with NULLs, for a pass of validation, or
 * returns NULL with an error. cti_fit_states_free frees such an array and its states. */
ct_state **cti_fit_states(cti_run *run);
ct_state **cti_fit_states_new(cti_run *run);
void cti_fit_states_free(cti_run *run, ct_state **states);

/* cti_fit_world_ask_stop asks for a stop after the next step. cti_fit_world_stops returns true
 * if on any rank `here` is true or a stop was requested. All ranks must call it. */
void cti_fit_world_ask_stop(cti_run *run);
bool cti_fit_world_stops(cti_run *run, bool here);

/* cti_run_save on rank 0, with the states of all shards. All ranks call it. */
ct_status cti_fit_checkpoint(cti_run *run, const char *path);

/* ---- averaged weights (average.c); nothing if the trainer's ema_decay is 0 ---- */

/* After an update: average = decay average + (1 - decay) weights, for each trained parameter;
 * after the first one, average = weights. */
void cti_average_update(cti_run *run);

/* Binds the averages (ct_params_bind) until the innermost scope ends; false with an error. */
bool cti_average_bind(cti_run *run);

/* Writes the averages to the parameters. */
void cti_average_install(cti_run *run);

/* Makes room for so many entries, without averages; false with an error. */
bool cti_average_make_room(cti_average *average, const char *function, int count);

/* The average of entry i, or NULL. */
ct_tensor *cti_average_get(const cti_average *average, int i);
void cti_average_free(cti_average *average);

/* ---- metrics and the monitored value (monitor.c) ---- */

/* Checks the trainer's metrics and monitor, and prepares the run for them; false with an error. */
bool cti_monitor_begin(cti_run *run);

/* False with an error, if a plateau schedule of an optimiser has another direction. */
bool cti_monitor_fits(const cti_run *run);

/* The monitored value of the history's last epoch; false with an error if it is not finite. */
bool cti_monitor_value(const cti_run *run, double *value);

/* Whether a is better than b by more than delta. True if b is NaN. */
bool cti_monitor_better(const cti_monitor *m, double a, double b, double delta);

/* Adds the metrics of a step to the sums. Does nothing while an error is recorded. */
void cti_metrics_add(const cti_run *run, cti_metric_sums *sums, const ct_step *step);

/* Adds the loss of optimiser k, 1 or more. Does nothing while an error is recorded. */
void cti_metrics_add_loss(const cti_run *run, cti_metric_sums *sums, const ct_step *step,
                          ct_tensor *loss);

/* Adds to the sums of metric i, from host memory. */
void cti_metrics_add_numbers(const cti_run *run, cti_metric_sums *sums, int i,
                             const double *numbers);

/* Waits for the sums and writes the value of each metric; NaN for each without a batch. */
void cti_metrics_read(const cti_run *run, const cti_metric_sums *sums, double *values);
void cti_metrics_drop(cti_metric_sums *sums);

/* ---- checkpoints (run_checkpoint.c) ---- */

/* The description of the run, in JSON, made by the first call; the run owns it. NULL with an
 * error. */
const char *cti_run_describe(cti_run *run);
void cti_run_forget_description(cti_run *run);

/* What decides the last bits of a run: the processor and the libraries. */
void cti_run_processor(char text[200]);

/* Whether a checkpoint of now has the carried state. */
bool cti_run_has_state(const cti_run *run);

/* Writes the run to path. */
ct_status cti_run_save(cti_run *run, const char *path);

/* Sets a run that has not begun to the state in path. All or nothing: the file is judged as a whole
 * before anything changes. */
ct_status cti_run_load(cti_run *run, const char *path);

/* ---- stopping (signals.c) ---- */

/* True if a stop was requested. Clears the request, so that a later run can begin. */
bool cti_stop_asked(void);

/* The same, but leaves the request. */
bool cti_stop_pending(void);

#endif
