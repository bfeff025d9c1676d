/* loader.h - batches, epoch by epoch: of any dataset, and of windows of a text.
 *
 *     ct_loader *l = ct_loader_new(d, (ct_loader_options){ .batch_size = 32, .shuffle = true });
 *
 *     ct_loader_begin(l);
 *     while (ct_loader_step(l, &batch)) {
 *         ct_backward(ct_mse_loss(ct_forward(net, batch.x), batch.y));
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

typedef struct ct_loader ct_loader;

/* ---- of a dataset ---- */

typedef struct ct_loader_options {
    int64_t batch_size; /* the last batch of an epoch may be smaller, */
    bool drop_last;     /* or is left out */
    bool shuffle;       /* a new order in each epoch; false: in order */
    uint64_t seed;
    /* one for each sample: draws samples with replacement, each as often as its weight says
     * (PyTorch's WeightedRandomSampler), in random order; copied. NULL: each sample once */
    const double *weights;
    int64_t samples; /* with weights: how many an epoch draws; 0: as many as there are */
    /* sequences: the samples of so many batches in a row are sorted by their length (the sum over
     * all sequences) and cut into batches; shuffled batches are then shuffled as a whole. 0: not */
    int64_t bucket;
    const char *count; /* a sequence: batch.tokens is the sum of its lengths. NULL: the rows */
    /* threads that get samples ahead of time, at most 64; 0: the thread that asks for a batch does.
     * The batches are the same for any number */
    int workers;
    int prefetch; /* batches that workers are ahead, at most 1024; 0: 2 for each worker */
    ct_device device;
} ct_loader_options;

/* Makes a loader of all samples of a dataset (PyTorch's DataLoader), which it keeps alive. A field of
 * shape (...) is (rows, ...) in a batch; a sequence is (rows, longest, ...), filled up with its pad,
 * and has its lengths in the field "NAME_lengths". An error of get or length, on a worker too, stops
 * ct_loader_next with the text of that error; the loader stays at that batch. The caller frees the
 * loader. CT_ERR_ARGUMENT for a NULL, sizes out of range, weights that are negative, not finite or all
 * 0, a count that is no sequence; CT_ERR_SHAPE if there is no batch; CT_ERR_MEMORY. */
ct_loader *ct_loader_new(ct_dataset *d, ct_loader_options options);

/* ---- a stream: batches of your own, where samples have no number ---- */

/* The batch that next writes. */
typedef struct ct_batch_writer ct_batch_writer;

/* Returns room for a field of the batch, (rows, ...), row-major, which next must fill before it returns.
 * All fields have the same rows. NULL with CT_ERR_ARGUMENT for a NULL, a bad or repeated name and more
 * than CT_MAX_FIELDS fields, CT_ERR_SHAPE, CT_ERR_DTYPE, CT_ERR_MEMORY. */
void *ct_batch_field(ct_batch_writer *w, const char *name, ct_dtype dtype, ct_shape shape);

/* Sets batch.tokens; without it they are the rows. CT_ERR_ARGUMENT for a NULL and below 0. */
ct_status ct_batch_set_tokens(ct_batch_writer *w, int64_t tokens);

typedef struct ct_stream_table {
    const char *name; /* for messages */
    /* Begins an epoch, 0, 1, ...: what it gives may depend on a seed and on the epoch alone. */
    ct_status (*begin)(void *self, int64_t epoch);
    /* Writes a batch. False at the end of the epoch, and after an error that it has raised. */
    bool (*next)(void *self, ct_batch_writer *w);
    /* The number of batches of an epoch, at least 1. An epoch ends after this many batches, even if
     * the source has more. */
    int64_t (*batches)(void *self);
    ct_status (*digest)(void *self, char hex[65]); /* optional, as of a dataset */
    void (*free)(void *self);                      /* optional */
    bool continues; /* row i of a batch continues row i of the one before: carry the state */
} ct_stream_table;

/* Makes a loader of a stream (PyTorch's IterableDataset), which the caller frees. The loader owns self as
 * a dataset does. All functions of the table are called on the thread that uses the loader.
 * ct_loader_seek begins the epoch and draws again the batches that came before. ct_loader_tokens is 0.
 * CT_ERR_ARGUMENT for a NULL, also in the table; CT_ERR_MEMORY. */
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

/* For a loop of your own. Ends the scope that the call before opened, with that batch and all that was
 * made since, opens a scope and fills in *batch in it. Returns false at the end of the epoch and after
 * an error, also one of the loop's body: then no scope of the loader is open, and ct_error() says which
 * it was. Loops may nest. A loop that is left early calls ct_loader_stop. */
bool ct_loader_step(ct_loader *l, ct_batch *batch);

/* Ends the scope of the last ct_loader_step, if it is still open, and returns as ct_scope_end does.
 * The next ct_loader_step continues with the next batch. */
ct_status ct_loader_stop(ct_loader *l);

/* The number of batches and of tokens (see batch.tokens) in an epoch. If epochs differ, in the current one; before the
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
