/* internal.h - what a loader is. (internal) */
#ifndef COTANGENT_DATA_INTERNAL_H
#define COTANGENT_DATA_INTERNAL_H

#include "tensor/entries.h"

#include <cotangent/data/loader.h>

/* Where rows come from: windows and rows of tensors, the sequential and the random iterator. */
typedef enum cti_cut { CTI_WINDOWS, CTI_SEQUENTIAL, CTI_RANDOM } cti_cut;

/* x or y of a batch. A row is row_bytes in one piece; that of index i begins at from + i unit. */
typedef struct cti_side {
    const char *from;
    size_t unit, row_bytes;
    ct_shape shape; /* of a batch; its axis 0 is set for each */
    ct_dtype dtype;
    char *buffer; /* a batch on its way to the device */
} cti_side;

/* A batch on its way to an asynchronous device (ahead.c). */
typedef struct cti_ahead {
    ct_tensor *place[2]; /* owned: x, y */
    void *used, *there;  /* events: what was there has been read; the batch is there */
    int64_t batch;       /* its number in the epoch, -1 for none */
} cti_ahead;

struct ct_loader {
    const char *function; /* that made it, for messages */
    const char *kind;     /* "windows", "sequential", "random", "series", "tensors" */
    cti_cut cut;
    int64_t batch, steps;
    int64_t size;       /* ids of the corpus */
    int64_t first;      /* windows: number of the part's first */
    int64_t row_tokens; /* what a row counts as */
    ct_device device;
    ct_generator stream; /* the loader's own; an epoch draws from a stream below it */
    int64_t fixed;       /* the offset set, or -1 */
    cti_side x, y;
    void *values[2]; /* the numbers that the loader owns, if not a corpus's */

    int64_t epoch;         /* begun so far */
    int64_t offset;        /* of the current epoch */
    int64_t rows;          /* in all batches of an epoch; sequential: columns of a row */
    int64_t batches, next; /* of an epoch; the number of the one to give */
    int64_t *order;        /* of the rows, for those that shuffle; else NULL */

    int64_t most_rows;  /* of a batch */
    cti_ahead ahead[2]; /* in turn, */
    int turn;           /* whose it is */
};

/* Rows of a batch of the epoch; and its x or y, (rows, ...), into the side's buffer. */
int64_t cti_loader_rows(const ct_loader *l, int64_t batch);
void cti_loader_gather(const ct_loader *l, cti_side *side, int64_t batch, int64_t rows);

/* On an asynchronous device: sends a batch on its way; gives batch number l->next, and sends the
 * one after it; frees both places. false with an error. */
bool cti_ahead_send(ct_loader *l, cti_ahead *a, int64_t batch);
bool cti_ahead_next(ct_loader *l, ct_batch *batch);
void cti_ahead_free(ct_loader *l);

/* A copy of draft, whose sizes fit its data, with its buffers; order is for so many rows, 0 for
 * none. Owns draft's values, and frees them if it fails. */
ct_loader *cti_loader_new(const ct_loader *draft, int64_t order_rows);

/* True if the batches are tokens of a corpus. */
bool cti_loader_has_tokens(const ct_loader *l);

/* Whether ct_loader_seek would go there. */
bool cti_loader_fits(const ct_loader *l, ct_loader_cursor at);

/* Adds everything that two loaders must have in common to give the same batches: the SHA-256 of
 * their data, how batches are cut, and the stream of random numbers. */
void cti_loader_describe(const ct_loader *l, cti_entries *e);

#endif
