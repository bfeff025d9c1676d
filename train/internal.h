/* internal.h - the state of a run of ct_fit, and the functions of its parts. (internal) */
#ifndef COTANGENT_TRAIN_INTERNAL_H
#define COTANGENT_TRAIN_INTERNAL_H

#include <cotangent/train/trainer.h>

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
    bool underway; /* the epoch has begun and is not finished */
    cti_tally tally;
    cti_deferred deferred; /* steps that are not in the tally yet */
    cti_metric_sums metrics;
    double seconds;
    double timed_tokens; /* tokens trained in these seconds, by this process */
} cti_epoch;

/* Early stopping. */
typedef struct cti_patience {
    int64_t epochs; /* the number of epochs since the best one */
    double best;    /* an epoch is better if it is better than this by more than min_delta */
} cti_patience;

/* The value by which epochs are compared. */
typedef struct cti_monitor {
    int column; /* the column of the history */
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
    const ct_metric *metric[CT_METRICS]; /* the trainer's metrics, then the losses of further
                                          * optimisers */
    int given_metrics, metric_count;
    cti_monitor monitor;
    cti_history history; /* the complete epochs */
    ct_fit_result result;
    bool stopped;
    bool saved;        /* the checkpoint file has the current state */
    char *description; /* JSON, resume_check.c's; NULL until it is needed */
    cti_shown shown;
} cti_run;

/* ---- losses that are read later (deferred_losses.c) ---- */

/* True if the losses of this run are deferred: its device is asynchronous, and no callback needs
 * each loss at once. */
bool cti_deferred_wanted(const cti_run *run, bool training);

/* Keeps a step's loss, and its norm unless that is NULL; does nothing while an error is recorded. */
void cti_deferred_add(cti_deferred *d, ct_tensor *loss, ct_tensor *norm, double tokens);

/* Waits for the numbers and empties d; its tokens stay readable. Returns the number of losses, or 0
 * with an error. norms is NULL in validation. */
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

/* ---- metrics and the monitored value (monitor.c) ---- */

/* Checks the trainer's metrics and monitor, and prepares the run for them; false with an error. */
bool cti_monitor_begin(cti_run *run);

/* False with an error, if a plateau schedule of an optimiser has another direction. */
bool cti_monitor_fits(const cti_run *run);

/* The monitored value of the history's last epoch; false with an error if it is not finite. */
bool cti_monitor_value(const cti_run *run, double *value);

/* True if a is better than b by more than delta, or if b is NaN. */
bool cti_monitor_better(const cti_monitor *m, double a, double b, double delta);

/* Adds a step. Does nothing while an error is recorded. */
void cti_metrics_add(const cti_run *run, cti_metric_sums *sums, const ct_step *step);

/* Adds the loss of optimiser k, 1 or more. Does nothing while an error is recorded. */
void cti_metrics_add_loss(const cti_run *run, cti_metric_sums *sums, const ct_step *step,
                          ct_tensor *loss);

/* Waits for the sums and writes the value of each metric; NaN for each without a batch. */
void cti_metrics_read(const cti_run *run, const cti_metric_sums *sums, double *values);
void cti_metrics_drop(cti_metric_sums *sums);

/* ---- checkpoints (checkpoint.c) ---- */

/* Tensors of the run, not of the model, have names that begin with this. */
#define CTI_CHECKPOINT_PREFIX "training."

/* Writes the run to path. */
ct_status cti_checkpoint_write(cti_run *run, const char *path);

/* Sets a run that has not begun to the state in path. The whole file is checked before anything
 * changes. */
ct_status cti_checkpoint_read(cti_run *run, const char *path);

/* ---- is it the same run? (resume_check.c) ---- */

/* The description of the run, in JSON, made by the first call; the run owns it. NULL with an
 * error. */
const char *cti_run_describe(cti_run *run);
void cti_run_forget_description(cti_run *run);

/* p's name in the model's set. */
const char *cti_run_param_name(const cti_run *run, const ct_param *p);

/* Raises CT_ERR_FORMAT, with everything that differs, if f is not a checkpoint of this run. Prints
 * a note if the checkpoint is from another kind of processor or version of the library, because
 * results may then differ in the last bits. */
ct_status cti_resume_check(cti_run *run, const ct_safetensors *f, const char *path);

/* ---- stopping (signals.c) ---- */

/* Returns true if a stop was requested, and clears the request, so that the next run may begin. */
bool cti_stop_asked(void);

#endif
