/* loader.h - batches of token windows. x is what a model reads, y the same moved on by one.
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
    ct_tensor *x,
        *y; /* of tokens (B, T) i32; of numbers as in tensor_loader.h; of the innermost scope */
    int64_t tokens; /* B T */
    bool continues; /* row i goes on where row i of the batch before ended: carry the state */
} ct_batch;

/* Batches of data, epoch by epoch. A corpus must outlive it. */
typedef struct ct_loader ct_loader;

/* Windows of one part of the corpus (d2l 1.x): of all windows of steps + 1 tokens, one starting
 * at each token, count from number first on, or as many as there are (at least one, else
 * CT_ERR_SHAPE); batches of batch_size, the last one what is left. */
typedef struct ct_loader_windows_options {
    int64_t batch_size, steps;
    int64_t first, count;
    bool shuffle; /* anew for each epoch; else in order */
    uint64_t seed;
    ct_device device;
} ct_loader_windows_options;
ct_loader *ct_loader_windows_new(const ct_corpus *corpus, ct_loader_windows_options options);

/* The sequential iterator (d2l 0.x): an offset uniform in 0..steps, both included, drawn anew for
 * each epoch; n = (size - offset - 1) / B * B tokens from there in B rows of n / B; batches are
 * successive columns of steps tokens, so rows go on from batch to batch.
 * The random iterator: an offset uniform in 0..steps - 1, the (size - offset - 1) / steps windows
 * from there that do not overlap, shuffled; an incomplete last batch is dropped. */
typedef struct ct_loader_sequences_options {
    int64_t batch_size, steps;
    bool random; /* the random iterator */
    uint64_t seed;
    ct_device device;
} ct_loader_sequences_options;
ct_loader *ct_loader_sequences_new(const ct_corpus *corpus, ct_loader_sequences_options options);

/* Both: CT_ERR_ARGUMENT for sizes below 1, CT_ERR_SHAPE (naming the numbers) for a corpus too
 * short for one window, or for one batch, whatever the offset, where incomplete ones are dropped.
 *
 * What epoch k of a seed draws depends on nothing but the seed, k and the sizes. */

void ct_loader_free(ct_loader *l);

/* Begins the next epoch: draws its offset or order. */
ct_status ct_loader_begin(ct_loader *l);

/* The next batch of the epoch; false at its end, and after an error. Needs an open scope, and an
 * epoch that was begun (CT_ERR_ARGUMENT). */
bool ct_loader_next(ct_loader *l, ct_batch *batch);

/* Batches and tokens of one epoch; of the current one, where epochs differ (before the first: of
 * one at offset 0). */
int64_t ct_loader_batches(const ct_loader *l);
int64_t ct_loader_tokens(const ct_loader *l);

/* True if each batch of an epoch goes on where the one before ended. */
bool ct_loader_continues(const ct_loader *l);

/* ---- for checkpoints ---- */

/* Where a loader stands. */
typedef struct ct_loader_cursor {
    int64_t epoch;  /* epochs begun */
    int64_t batch;  /* batches given of the current one */
    int64_t offset; /* of it */
} ct_loader_cursor;

ct_loader_cursor ct_loader_tell(const ct_loader *l);

/* Goes where a loader made in the same way stood: the batches from here on are those that it would
 * have given. A sink. CT_ERR_ARGUMENT for a cursor that this loader cannot have; then it stays
 * where it is. */
ct_status ct_loader_seek(ct_loader *l, ct_loader_cursor at);

/* For tests and for repeating a published run: fixes the sequential or random iterator's offset
 * from the next epoch on; -1 draws again. */
ct_status ct_loader_set_offset(ct_loader *l, int64_t offset);

#ifdef __cplusplus
}
#endif
#endif
