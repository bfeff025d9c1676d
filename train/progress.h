/* progress.h - the output of a run about its progress. (internal) */
#ifndef COTANGENT_TRAIN_PROGRESS_H
#define COTANGENT_TRAIN_PROGRESS_H

#include "train/history.h"

typedef struct cti_progress {
    FILE *out;    /* NULL: nothing is shown */
    bool live;    /* out is a terminal: a line that is drawn again and again */
    bool unicode; /* which takes Unicode */
    bool drawn;   /* the live line is there */
    int64_t max_epochs;
    double begun, from; /* the time, and the epochs done (with a part of one), at its beginning */
    double last;        /* when the line was drawn */
} cti_progress;

/* epochs: those done before, and a part of one. */
void cti_progress_begin(cti_progress *b, const ct_trainer *trainer, double epochs);

/* After a step: epochs as above, now; so_far has the epoch's loss, perplexity and rate. */
void cti_progress_step(cti_progress *b, double epochs, const ct_fit_result *so_far,
                       const cti_history *h);

/* After an epoch; last: the run ends with it. */
void cti_progress_epoch(cti_progress *b, const ct_fit_result *r, bool last);

/* Takes the live line away. */
void cti_progress_end(cti_progress *b);

/* True for the epochs that get a plain line: 1, 2, 5, 10, every tenth, and the last. */
bool cti_progress_due(int64_t epoch, int64_t max_epochs);

/* Seconds of a clock that only goes forward. */
double cti_now(void);

#endif
