/* SPDX-License-Identifier: MIT */
/* progress.h - the lines that show the progress of a run. (internal) */
#ifndef COTANGENT_TRAIN_PROGRESS_H
#define COTANGENT_TRAIN_PROGRESS_H

#include "train/history.h"

typedef struct cti_progress {
    FILE *out;    /* NULL: nothing is shown */
    bool live;    /* out is a terminal: the last line is redrawn after steps */
    bool unicode; /* the terminal shows Unicode */
    bool drawn;   /* the live line is on the terminal now */
    int64_t max_epochs;
    double begun,
        from;    /* at the start of this process's part of the run: the time, and the epochs done,
                         * with a fraction */
    double last; /* the time at which the live line was drawn */
} cti_progress;

/* epochs: the epochs that were done before, with a fraction. */
void cti_progress_begin(cti_progress *b, const ct_trainer *trainer, double epochs);

/* After a step. epochs: the epochs done now, with a fraction. so_far has the loss, perplexity and tokens
 * per second of the epoch so far. */
void cti_progress_step(cti_progress *b, double epochs, const ct_fit_result *so_far,
                       const cti_history *h);

/* After an epoch. last: it is the last one of the run. */
void cti_progress_epoch(cti_progress *b, const ct_fit_result *r, bool last);

/* Erases the live line. */
void cti_progress_end(cti_progress *b);

/* True for the epochs that get a plain line: 1, 2, 5, 10, every tenth, and the last. */
bool cti_progress_due(int64_t epoch, int64_t max_epochs);

/* Seconds of a monotonic clock. */
double cti_now(void);

#endif
