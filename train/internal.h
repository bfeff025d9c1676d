/* internal.h - a run of ct_fit, and what its parts do with it. (internal) */
#ifndef COTANGENT_TRAIN_INTERNAL_H
#define COTANGENT_TRAIN_INTERNAL_H

#include <cotangent/train/trainer.h>
#include <cotangent/train/world.h>

#include "train/progress.h"
#include "train/tensorboard.h"
#include "train/history.h"

/* The sums over the batches of an epoch. */
typedef struct cti_tally {
    double nats, exps, tokens, norms, clipped, batches;
} cti_tally;

/* Steps whose loss, and norm in training, have not been read from an asynchronous device yet. */
#define CTI_DEFERRED 50

typedef struct cti_deferred {
    ct_tensor *loss[CTI_DEFERRED], *norm[CTI_DEFERRED]; /* owned; no norms in validation */
    double tokens[CTI_DEFERRED];
    int count;
} cti_deferred;

/* The sums of the trainer's metrics over the batches of an epoch, on the model's device. */
typedef struct cti_metric_sums {
    ct_tensor *of[CT_METRICS]; /* owned; NULL before the first batch */
} cti_metric_sums;

/* The training part of the epoch in progress. */
typedef struct cti_epoch {
    bool underway; /* it was begun and is not finished */
    cti_tally tally;
    cti_deferred deferred; /* steps that the tally does not have yet */
    cti_metric_sums metrics;
    double seconds;
    double timed_tokens; /* tokens trained in these seconds, by this process */
} cti_epoch;

/* Early stopping. */
typedef struct cti_patience {
    int64_t epochs; /* since the last one that was better */
    double best;    /* an epoch is better if it is better than this by more than min_delta */
} cti_patience;

/* The value by which epochs are compared. */
typedef struct cti_monitor {
    int column; /* of the history */
    bool maximize;
} cti_monitor;

/* The output that shows the progress of the run. */
typedef struct cti_shown {
    cti_progress progress;
    cti_csv csv;
    cti_tensorboard tensorboard;
} cti_shown;

typedef struct cti_run {
    const char *function; /* for messages: "ct_fit" */
    const ct_trainer *trainer;
    const ct_model *model;
    ct_loader *train, *val;   /* val may be NULL */
    ct_perplexity perplexity; /* tokens, batches or none */
    ct_optimizer *optimizer[CT_OPTIMIZERS];
    int64_t every[CT_OPTIMIZERS]; /* it is called on every n-th batch */
    int optimizer_count;
    ct_state *state;             /* carried from batch to batch; NULL before there is one */
    ct_loader_cursor val_cursor; /* val's position after its last whole pass */
    cti_epoch epoch;
    cti_patience patience;
    const ct_metric *metric[CT_METRICS]; /* the trainer's, then the losses of further optimisers */
    int given_metrics, metric_count;
    cti_monitor monitor;
    cti_history history; /* of whole epochs */
    ct_fit_result result;
    struct cti_fit_world *world; /* of several shards; NULL: one */
    bool stop_agreed;            /* in a world: some rank asked for a stop, at the last step */
    bool stopped;
    bool saved;        /* the checkpoint file has the present state */
    char *description; /* JSON, resume_check.c's; NULL until it is needed */
    cti_shown shown;
} cti_run;

/* ---- losses that are read later (deferred_losses.c) ---- */

/* Whether the losses of this run are deferred: its device is asynchronous, and no callback needs
 * each loss at once. */
bool cti_deferred_wanted(const cti_run *run, bool training);

/* Keeps a step's loss, and its norm unless that is NULL; does nothing while an error is recorded. */
void cti_deferred_add(cti_deferred *d, ct_tensor *loss, ct_tensor *norm, double tokens);

/* Waits for the numbers and empties d, whose tokens stay readable. Returns their count, 0 with an
 * error. norms: NULL if they have none. */
int cti_deferred_read(cti_deferred *d, double *losses, double *norms);
void cti_deferred_drop(cti_deferred *d);

/* ---- several optimisers (optimizers.c) ---- */

/* Makes the optimisers of the run; false with an error. */
bool cti_optimizers_begin(cti_run *run);

/* The parameters of other optimisers, frozen for a call of optimiser k until cti_optimizers_release.
 * Nothing with one optimiser. */
typedef struct cti_frozen {
    ct_storage *memory;
    int count;
} cti_frozen;
cti_frozen cti_optimizers_freeze(const cti_run *run, int k);
void cti_optimizers_release(cti_frozen *frozen);

/* ---- parts of a step (trainer.c) ---- */

/* The loss of a step, whose batch and state are filled in. Unless value is NULL, also reads it; a loss
 * that is not finite is an error. when: "epoch 2, batch 3 (step 8)". */
ct_tensor *cti_run_loss(cti_run *run, ct_model_step call, ct_step *step, const char *when,
                        double *value);

/* Stores next in *state for the next step. */
void cti_run_carry(ct_state **state, const ct_state *next, bool continues);

/* ---- several ranks and shards (world_fit.c) ---- */

/* A step over the shards of a batch. */
typedef struct cti_fit_step {
    ct_model_step call;
    const char *when;
    bool training;
    int optimizer;
    ct_state **states;        /* carried, of each shard of this rank; NULL: none */
    cti_metric_sums *metrics; /* which get the sums; NULL: not */

    /* results, the same on all ranks: the mean loss, its count, whether some rank asks for a stop */
    double loss, count;
    bool stop;
} cti_fit_step;

/* Makes run->world if there are several shards: in `given`, or in a world of its own if that is NULL.
 * False with an error. cti_fit_world_end tells the other ranks of a recorded error. */
bool cti_fit_world_begin(cti_run *run, ct_world *given);
void cti_fit_world_end(cti_run *run);

/* Compares the run with those of the other ranks, when it is about to begin or was resumed; false with an
 * error. */
bool cti_fit_world_ready(cti_run *run);

int cti_fit_shards(const cti_run *run); /* 1 without a world */

/* Runs the shards of this rank, and adds up what all have computed: gradients if it is training. False
 * with an error. */
bool cti_fit_sharded(cti_run *run, cti_fit_step *step, ct_batch *batch);

/* The states of training; NULLs for others, and their end. */
ct_state **cti_fit_states(cti_run *run);
ct_state **cti_fit_states_new(cti_run *run); /* NULL with an error */
void cti_fit_states_free(cti_run *run, ct_state **states);

/* Asks for a stop after the next step. The second returns whether some rank asks now: all ranks call
 * it. */
void cti_fit_world_ask_stop(cti_run *run);
bool cti_fit_world_stops(cti_run *run, bool here);

/* cti_checkpoint_write on rank 0, with the states of all shards. All ranks call it. */
ct_status cti_fit_checkpoint(cti_run *run, const char *path);

/* ---- metrics and what is monitored (monitor.c) ---- */

/* Checks the trainer's metrics and monitor, and prepares the run for them; false with an error. */
bool cti_monitor_begin(cti_run *run);

/* False with an error, if a plateau schedule of an optimiser has another direction. */
bool cti_monitor_fits(const cti_run *run);

/* The monitored value of the history's last epoch; false with an error if it is not finite. */
bool cti_monitor_value(const cti_run *run, double *value);

/* Whether a is better than b by more than delta; b NaN: yes. */
bool cti_monitor_better(const cti_monitor *m, double a, double b, double delta);

/* Adds a step. Does nothing while an error is recorded. */
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

/* ---- checkpoints (checkpoint.c) ---- */

/* Tensors of the run, not of the model, have names that begin with this. */
#define CTI_CHECKPOINT_PREFIX "training."

/* Whether a checkpoint of now has the carried state. */
bool cti_checkpoint_has_state(const cti_run *run);

/* Writes the run to path. */
ct_status cti_checkpoint_write(cti_run *run, const char *path);

/* Sets a run that has not begun to the state in path. All or nothing: the file is judged as a whole
 * before anything changes. */
ct_status cti_checkpoint_read(cti_run *run, const char *path);

/* ---- is it the same run? (resume_check.c) ---- */

/* The description of the run, in JSON, made by the first call; the run owns it. NULL with an
 * error. */
const char *cti_run_describe(cti_run *run);
void cti_run_forget_description(cti_run *run);

/* What decides the last bits of a run: the processor and the libraries. */
void cti_run_processor(char text[200]);

/* p's name in the model's set. */
const char *cti_run_param_name(const cti_run *run, const ct_param *p);

/* CT_ERR_FORMAT, naming everything that differs, if f is not a checkpoint of this run. Prints a
 * note if it was made by another processor or library, whose last bits may differ. */
ct_status cti_resume_check(cti_run *run, const ct_safetensors *f, const char *path);

/* ---- stopping (signals.c) ---- */

/* True if a stop was requested. This takes the request: the next run may begin. */
bool cti_stop_asked(void);

/* The same, but leaves the request. */
bool cti_stop_pending(void);

#endif
