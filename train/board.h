/* board.h - what a run shows while it goes on. (internal) */
#ifndef COTANGENT_TRAIN_BOARD_H
#define COTANGENT_TRAIN_BOARD_H

#include <cotangent/train/trainer.h>

/* Seconds of a clock that only goes forward. */
double cti_now(void);

/* True for the epochs that get a line: 1, 2, 5, 10, every tenth, and the last. */
bool cti_board_due(int64_t epoch, int64_t max_epochs);

/* The line of an epoch; elapsed and left in seconds. */
void cti_board_line(FILE *out, int64_t epoch, int64_t max_epochs, const ct_fit_result *r,
                    double left);

#endif
