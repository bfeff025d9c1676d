/* loader.h - batches of token windows: x is the input, y the same tokens shifted by one.
 * tensor_loader.h has batches of numbers. */
#ifndef COTANGENT_DATA_LOADER_H
#define COTANGENT_DATA_LOADER_H

#include <stdbool.h>
#include <stdint.h>

#include <cotangent/data/vocab.h>
#include <cotangent/tensor/random.h>
#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ct_batch {
    ct_tensor *x, *y; /* of the innermost scope; tokens: i32 (B, T); numbers: see tensor_loader.h */
    int64_t tokens;   /* B T */
    bool continues;   /* row i follows row i of the batch before: carry the state */
} ct_batch;

/* Gives batches of data, epoch by epoch. Its corpus must stay alive as long as the loader. One
 * thread at a time may use it. */
typedef struct ct_loader ct_loader;

/* Makes a loader over overlapping windows of steps + 1 tokens (d2l 1.x); window i begins at token
 * i. It uses windows first to first + count - 1, or fewer if the corpus ends, but at least one
 * (otherwise CT_ERR_SHAPE). The last batch may be smaller than batch_size. */
typedef struct ct_loader_windows_options {
    int64_t batch_size, steps;
    int64_t first;
    int64_t count; /* 0: all from first */
    bool shuffle;  /* a new order in each epoch; false: in order */
    uint64_t seed;
    ct_device device;
} ct_loader_windows_options;
ct_loader *ct_loader_windows_new(const ct_corpus *corpus, ct_loader_windows_options options);

/* Makes a loader of the sequential or the random iterator (d2l 0.x). Sequential: each epoch draws
 * an offset uniformly from 0 to steps, inclusive. From there, n = (size - offset - 1) / B * B
 * tokens (integer division) are arranged in B rows of n / B. Each batch is the next steps columns,
 * so that a row continues from batch to batch. Random: each epoch draws an offset uniformly from 0
 * to steps - 1. From there, the (size - offset - 1) / steps windows that do not overlap are
 * shuffled. An incomplete last batch is dropped. */
typedef struct ct_loader_sequences_options {
    int64_t batch_size, steps;
    bool random; /* the random iterator */
    uint64_t seed;
    ct_device device;
} ct_loader_sequences_options;
ct_loader *ct_loader_sequences_new(const ct_corpus *corpus, ct_loader_sequences_options options);

/* Both functions return a loader that the caller frees with ct_loader_free. CT_ERR_ARGUMENT for a
 * NULL corpus and for sizes below 1. CT_ERR_SHAPE, with the numbers, for a corpus that is too short
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

/* The number of batches and of tokens in an epoch. If epochs differ, in the current one; before the
 * first epoch, in one with offset 0. 0 for NULL. */
int64_t ct_loader_batches(const ct_loader *l);
int64_t ct_loader_tokens(const ct_loader *l);

/* True if each batch of an epoch continues the batch before: the sequential iterator. False for
 * NULL. */
bool ct_loader_continues(const ct_loader *l);

/* ---- for checkpoints ---- */

/* The position of a loader; zeros for NULL. */
typedef struct ct_loader_cursor {
    int64_t epoch;  /* number of epochs begun */
    int64_t batch;  /* batches of the current epoch that were given */
    int64_t offset; /* of the current epoch */
} ct_loader_cursor;

/* The current position of a loader, for ct_loader_seek; zeros for NULL. */
ct_loader_cursor ct_loader_tell(const ct_loader *l);

/* Moves to the position of a loader that was made with the same arguments: the next batches are
 * those that it would have given. Does nothing while an error is recorded. CT_ERR_ARGUMENT for a
 * position that this loader cannot have; the loader then does not move. */
ct_status ct_loader_seek(ct_loader *l, ct_loader_cursor at);

/* Fixes the offset of the sequential or random iterator from the next epoch on; -1: draws it again.
 * For tests and for repeating a published run. CT_ERR_ARGUMENT for windows and for an offset out of
 * range. */
ct_status ct_loader_set_offset(ct_loader *l, int64_t offset);

#ifdef __cplusplus
}
#endif
#endif
