/* SPDX-License-Identifier: MIT */
/* loader.h - batches, epoch by epoch, from a dataset, a stream, or windows of a text.
 *
 *     ct_loader *l = ct_loader_new(d, (ct_loader_options){ .batch_size = 32, .shuffle = true });
 *
 *     ct_loader_begin(l);
 *     while (ct_loader_step(l, &batch)) {
 *         ct_backward(ct_mse_loss(ct_forward(net, batch.x), batch.y, CT_REDUCTION_MEAN));
 *         ct_optimizer_step(optimizer);
 *     }
 *
 * One thread at a time may use a loader. tensor_loader.h has short forms for rows of two tensors and
 * for windows of a series. */
#ifndef COTANGENT_DATA_LOADER_H
#define COTANGENT_DATA_LOADER_H

#include <stdbool.h>
#include <stdint.h>

#include <cotangent/data/batch.h>
#include <cotangent/data/dataset.h>
#include <cotangent/data/vocab.h>
#include <cotangent/tensor/random.h>
#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A loader of any kind. The caller frees it with ct_loader_free. */
typedef struct ct_loader ct_loader;

/* ---- of a dataset ---- */

typedef struct ct_loader_options {
    int64_t batch_size; /* required; the last batch of an epoch may be smaller */
    bool drop_last;     /* true: a smaller last batch is left out */
    bool shuffle;       /* a new order in each epoch; false: in order */
    uint64_t seed;
    /* one for each sample: samples are drawn at random with replacement, with probabilities
     * proportional to the weights (PyTorch's WeightedRandomSampler). Copied. NULL: each sample
     * once */
    const double *weights;
    int64_t samples; /* with weights: the number of draws in an epoch; 0: the number of samples */
    /* for sequences: the samples of this many batches in a row are sorted by length (the sum over
     * all sequences) before they are cut into batches; with shuffle, the order of the batches is
     * then shuffled. 0: no sorting */
    int64_t bucket;
    const char *count; /* the name of a sequence: batch.tokens is the sum of its lengths. NULL: the
                        * number of rows */
    /* the number of threads that read samples ahead, at most 64; 0: the calling thread reads them.
     * The batches do not depend on this number */
    int workers;
    int prefetch; /* the number of batches that workers read ahead, at most 1024; default 2 for each
                   * worker */
    ct_device device;
} ct_loader_options;

/* Makes a loader of all samples of a dataset (PyTorch's DataLoader), which it keeps alive. A field
 * of shape (...) is (rows, ...) in a batch; a sequence is (rows, longest, ...), filled up with its
 * pad, and has its lengths in the field "NAME_lengths". If get or length fails, also on a worker,
 * ct_loader_next raises that error, and the loader stays at that batch. The caller frees the
 * loader. CT_ERR_ARGUMENT for a NULL, sizes out of range, weights that are negative, not finite or
 * all 0, a count that does not name a sequence; CT_ERR_SHAPE if an epoch would have no batch;
 * CT_ERR_MEMORY. */
ct_loader *ct_loader_new(ct_dataset *d, ct_loader_options options);

/* ---- a stream: batches of your own, where samples have no number ---- */

/* The batch that next writes. */
typedef struct ct_batch_writer ct_batch_writer;

/* Returns memory for a field of the batch, (rows, ...), row-major, which next must fill before it
 * returns. The batch owns the memory. All fields must have the same number of rows. NULL with
 * CT_ERR_ARGUMENT for a NULL, a bad or repeated name and more than CT_MAX_FIELDS fields,
 * CT_ERR_SHAPE, CT_ERR_DTYPE, CT_ERR_MEMORY. */
void *ct_batch_field(ct_batch_writer *w, const char *name, ct_dtype dtype, ct_shape shape);

/* Sets batch.tokens, which is the number of rows by default. CT_ERR_ARGUMENT for a NULL w and for
 * negative tokens. */
ct_status ct_batch_set_tokens(ct_batch_writer *w, int64_t tokens);

/* The functions of a stream of your own, for ct_loader_stream_new. */
typedef struct ct_stream_table {
    const char *name; /* for messages */
    /* Begins epoch 0, 1, ... The batches of an epoch must depend only on a seed and on its
     * number. */
    ct_status (*begin)(void *self, int64_t epoch);
    /* Writes a batch. False at the end of the epoch, and after an error that it has raised. */
    bool (*next)(void *self, ct_batch_writer *w);
    /* The number of batches of an epoch, at least 1. An epoch ends after this many batches, even if
     * the source has more. */
    int64_t (*batches)(void *self);
    ct_status (*digest)(void *self, char hex[65]); /* optional, as in ct_dataset_table */
    void (*free)(void *self);                      /* optional */
    bool continues; /* row i of a batch continues row i of the one before: carry the state */
} ct_stream_table;

/* Makes a loader of a stream (like PyTorch's IterableDataset). The caller frees the loader. The
 * loader owns self and frees it with the table's free. All functions of the table are called on the
 * thread that uses the loader. ct_loader_seek begins the epoch and repeats the batches before the
 * position. ct_loader_tokens is 0. CT_ERR_ARGUMENT for a NULL, also in the table; CT_ERR_MEMORY. */
ct_loader *ct_loader_stream_new(const ct_stream_table *table, void *self, ct_device device);

/* ---- several loaders side by side ---- */

#define CT_LOADER_ZIP 8 /* the most loaders */

/* Makes a loader whose batch has the fields of a batch of each loader: field "x" of the loader named "a" is
 * the field "a.x". batch.x and y are NULL; rows, which may differ between the loaders, and tokens are those
 * of the first one. An epoch ends with the shortest; each loader then begins its next one. The caller frees
 * the result, which owns the loaders, also if this function fails: do not use or free them. ct_loader_tokens
 * is 0. CT_ERR_ARGUMENT for a count that is not in 1..CT_LOADER_ZIP, a NULL, a loader or name that appears
 * twice, and a name that does not have 1 to 63 letters, digits or '_'; CT_ERR_MEMORY. */
ct_loader *ct_loader_zip_new(int count, ct_loader *const *loaders, const char *const *names);

/* ---- of a text: x is (B, T) tokens, i32, and y the same tokens moved on by one. The corpus must stay
 * alive as long as the loader ---- */

/* Makes a loader over overlapping windows of steps + 1 tokens (d2l 1.x); window i begins at token
 * i. It uses windows first to first + count - 1, or fewer if the corpus ends, but at least one
 * (otherwise CT_ERR_SHAPE). The last batch may be smaller than batch_size. */
typedef struct ct_loader_windows_options {
    int64_t batch_size, steps;
    int64_t first;
    int64_t count; /* 0: all after first */
    bool shuffle;  /* a new order in each epoch; false: in order */
    uint64_t seed;
    ct_device device;
} ct_loader_windows_options;
ct_loader *ct_loader_windows_new(const ct_corpus *corpus, ct_loader_windows_options options);

/* Makes a loader that works as the sequential or the random iterator of d2l 0.x. Sequential: each
 * epoch draws an offset uniformly from 0 to steps, inclusive. From there, n = (size - offset - 1) /
 * B * B tokens (integer division) are arranged in B rows of n / B. Each batch is the next steps
 * columns, so that a row continues from batch to batch. Random: each epoch draws an offset
 * uniformly from 0 to steps - 1. From there, the (size - offset - 1) / steps windows that do not
 * overlap are shuffled. An incomplete last batch is dropped. */
typedef struct ct_loader_sequences_options {
    int64_t batch_size, steps;
    bool random; /* the random iterator */
    uint64_t seed;
    ct_device device;
} ct_loader_sequences_options;
ct_loader *ct_loader_sequences_new(const ct_corpus *corpus, ct_loader_sequences_options options);

/* Both functions return a loader that the caller frees with ct_loader_free; batch.tokens is B T.
 * CT_ERR_ARGUMENT for a NULL corpus and for sizes below 1. CT_ERR_SHAPE, with the numbers, for a corpus that is too short
 * for one window; for the iterators that drop incomplete batches, too short for one batch at any
 * offset. CT_ERR_MEMORY.
 *
 * The random numbers of epoch k depend only on the seed, k and the sizes. */

void ct_loader_free(ct_loader *l); /* NULL is allowed */

/* Begins the next epoch: draws its offset or order. Does nothing while an error is recorded. */
ct_status ct_loader_begin(ct_loader *l);

/* Fills in *batch with the next batch of the epoch, in the innermost scope. Returns false at the
 * end of the epoch and after an error. CT_ERR_ARGUMENT if no epoch was begun; CT_ERR_SCOPE if no
 * scope is open. */
bool ct_loader_next(ct_loader *l, ct_batch *batch);

/* For a training loop of your own. Ends the scope that the previous call opened, which frees that
 * batch and everything made since; then opens a new scope and fills in *batch. Returns false at the
 * end of the epoch and after any error, also an error of the loop's body. Then no scope of the
 * loader is open, and ct_error() returns CT_OK or the error. Loops may nest. If you leave the loop
 * early, call ct_loader_stop. */
bool ct_loader_step(ct_loader *l, ct_batch *batch);

/* Ends the scope of the last ct_loader_step, if it is still open, and returns the result of
 * ct_scope_end. The next ct_loader_step continues with the next batch. */
ct_status ct_loader_stop(ct_loader *l);

/* The number of batches and of tokens (see batch.tokens) in an epoch. If epochs differ, the numbers
 * are those of the current epoch; before the first epoch, those of an epoch with offset 0. 0 for
 * NULL. */
int64_t ct_loader_batches(const ct_loader *l);
int64_t ct_loader_tokens(const ct_loader *l);

/* True if each batch of an epoch continues the batch before: the sequential iterator. False for
 * NULL. */
bool ct_loader_continues(const ct_loader *l);

/* ---- for checkpoints ---- */

/* The position of a loader; zeros for NULL. */
typedef struct ct_loader_cursor {
    int64_t epoch;  /* number of epochs begun */
    int64_t batch;  /* number of batches of the current epoch that were returned */
    int64_t offset; /* the offset of the current epoch */
} ct_loader_cursor;

/* The current position of a loader, for ct_loader_seek; zeros for NULL. */
ct_loader_cursor ct_loader_tell(const ct_loader *l);

/* Moves l to a position that ct_loader_tell returned for a loader made with the same arguments. The
 * next batches of l are then those that followed this position. Does nothing while an error is
 * recorded. CT_ERR_ARGUMENT for a position that this loader cannot have; the loader then does not
 * move. */
ct_status ct_loader_seek(ct_loader *l, ct_loader_cursor at);

/* Fixes the offset of the sequential or random iterator from the next epoch on. With -1, each epoch
 * draws its offset again. For tests and for repeating a published run. CT_ERR_ARGUMENT for windows
 * and for an offset out of range. */
ct_status ct_loader_set_offset(ct_loader *l, int64_t offset);

#ifdef __cplusplus
}
#endif
#endif
