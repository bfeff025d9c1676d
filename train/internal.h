/* internal.h - a run of ct_fit, and what its parts do with it. (internal) */
#ifndef COTANGENT_TRAIN_INTERNAL_H
#define COTANGENT_TRAIN_INTERNAL_H

#include <cotangent/train/trainer.h>

#include "train/progress.h"
#include "train/tensorboard.h"
#include "train/history.h"

/* What an epoch's batches add up to. */
typedef struct cti_tally {
    double nats, exps, tokens, norms, clipped, batches;
} cti_tally;

/* Steps whose loss, and norm in training, an asynchronous device has not been asked for yet. */
#define CTI_LATER 50

typedef struct cti_later {
    ct_tensor *loss[CTI_LATER], *norm[CTI_LATER]; /* owned; no norms in validation */
    double tokens[CTI_LATER];
    int count;
} cti_later;

typedef struct cti_run {
    const ct_trainer *trainer;
    const ct_model *model;
    ct_loader *train, *val;
    ct_optimizer *optimizer;
    ct_state *state;             /* carried from batch to batch; NULL before there is one */
    ct_loader_cursor val_cursor; /* where val stood after its last whole pass */
    bool underway;               /* an epoch was begun and is not finished: */
    cti_tally tally;             /* what its training came to so far, */
    cti_later later;             /* what is not in the tally yet, */
    double seconds;              /* and how long it took, */
    double timed;                /* for so many of its tokens (those of this process) */
    int64_t waited;              /* epochs since the last that was better, for patience: */
    double awaited;              /* better than this */
    bool stopped;
    bool saved;              /* the checkpoint is of this moment */
    cti_history history;     /* of whole epochs */
    struct json_t *identity; /* checkpoint.c's; NULL until it is wanted */
    ct_fit_result result;
    cti_board board;
    cti_csv csv;
    cti_events events;
} cti_run;

/* ---- losses read later (later.c) ---- */

/* Whether the run's device works on while its losses wait, and nobody asks for each. */
bool cti_later_wanted(const cti_run *run, bool training);

/* Keeps a step's, norm or NULL with it; nothing while an error stands. */
void cti_later_add(cti_later *l, ct_tensor *loss, ct_tensor *norm, double tokens);

/* Waits for them: how many there are, 0 with an error; none is left, but their tokens are. norms:
 * NULL if they have none. */
int cti_later_read(cti_later *l, double *losses, double *norms);
void cti_later_drop(cti_later *l);

/* ---- checkpoints (checkpoint.c) ---- */

/* Writes the run to path. */
ct_status cti_checkpoint_write(cti_run *run, const char *path);

/* Puts a run that has not begun where path's was. Nothing moves if path is of another run. */
ct_status cti_checkpoint_read(cti_run *run, const char *path);

/* Frees what these keep with the run. */
void cti_checkpoint_end(cti_run *run);

/* ---- values that are not finite (nonfinite.c) ---- */

/* Raise CT_ERR_NUMERIC: for a loss, of the step at hand (whose scope is the innermost) or of one
 * that is over, and for the gradient of p that the loss at hand has. when is "epoch 2, batch 3
 * (step 8)". */
void cti_raise_loss(const ct_params *params, bool training, bool at_hand, double loss,
                    const char *when);
void cti_raise_gradient(ct_tensor *loss, const ct_param *p, const char *when);

/* ---- stopping (signals.c) ---- */

/* True if a stop was asked for; and it is taken: the next run may begin. */
bool cti_stop_asked(void);

#endif
