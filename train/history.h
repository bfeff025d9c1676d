/* SPDX-License-Identifier: MIT */
/* history.h - the results of the epochs of a run, its CSV file and its curve. (internal)
 *
 * The CSV file has a line of names, then a line for each epoch. A number has the fewest digits from which
 * it is read back exactly. A value that does not exist (no validation, no time, no perplexity) is empty:
 *
 *     epoch,step,tokens,train_loss,train_perplexity,train_bits,val_loss,val_perplexity,val_bits,
 *     grad_norm,clipped,lr,[train_METRIC,val_METRIC for each metric,]tokens_per_second,seconds
 */
#ifndef COTANGENT_TRAIN_HISTORY_H
#define COTANGENT_TRAIN_HISTORY_H

#include <cotangent/train/trainer.h>

/* The columns. Those before CTI_CLOCK have the same numbers in every run of the same steps. */
enum {
    CTI_EPOCH,
    CTI_STEP,
    CTI_TOKENS,
    CTI_LOSS,
    CTI_PERPLEXITY,
    CTI_BITS,
    CTI_VAL_LOSS,
    CTI_VAL_PERPLEXITY,
    CTI_VAL_BITS,
    CTI_NORM,
    CTI_CLIPPED,
    CTI_LR,
    CTI_CLOCK,
    CTI_RATE = CTI_CLOCK,
    CTI_SECONDS,
    CTI_COLUMNS,
    CTI_METRIC = CTI_COLUMNS, /* then two for each metric: of training, of validation */
    CTI_WIDTH = CTI_METRIC + 2 * CT_METRICS
};

typedef struct cti_history {
    double (*row)[CTI_WIDTH];
    int64_t count, room;
    int metrics; /* the number of metrics; the columns of further metrics are not used */
    const char *metric[CT_METRICS];
} cti_history;

/* The name of a column: "val_loss". */
typedef struct cti_column_name {
    char s[80];
} cti_column_name;
cti_column_name cti_history_column_name(const cti_history *h, int column);

/* The columns in the order of a line of the CSV file: place is 0 to cti_history_columns - 1. Those
 * before cti_history_clock are the same in every run of the same steps. */
int cti_history_columns(const cti_history *h);
int cti_history_clock(const cti_history *h);
int cti_history_column_at(const cti_history *h, int place);

/* Adds a row: the results after an epoch. False with CT_ERR_MEMORY. */
bool cti_history_add(cti_history *h, const ct_fit_result *result);
void cti_history_free(cti_history *h);

/* One column of all rows, to cti_release; NULL with CT_ERR_MEMORY. */
double *cti_history_column(const cti_history *h, int column);

/* The curve: perplexities over epochs; losses if there are no perplexities. */
ct_status cti_history_plot(const cti_history *h, const char *path);

/* ---- the CSV file ---- */

typedef struct cti_csv {
    const char *path;
    int fd; /* -1: none */
} cti_csv;

/* Writes the lines of h to path and keeps the file open. resumed: a line that the old file has for the
 * same epoch and numbers is kept, with its times. path NULL: no file. */
ct_status cti_csv_open(cti_csv *f, const char *path, const cti_history *h, bool resumed);

/* Appends the last row of h. */
ct_status cti_csv_add(cti_csv *f, const cti_history *h);
void cti_csv_close(cti_csv *f);

#endif
