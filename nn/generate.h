/* SPDX-License-Identifier: MIT */
/* generate.h - generation of tokens by any model that has a step function: sampling, greedy search
 * and beam search, for a batch of rows with prefixes of different lengths.
 *
 *     static ct_tensor *step(void *self, ct_tensor *ids, const ct_state *state, ct_state **next)
 *     {
 *         model *m = self;
 *         ct_tensor *x = ct_forward(m->embedding, ids);
 *
 *         return ct_forward(m->linear, ct_recurrent_step(m->gru, x, state, next));
 *     }
 *
 *     ct_decoder d = { .self = &m, .vocab = 28, .step = step };
 *     ct_generation_row rows[2] = { { .prefix = a, .prefix_count = 3, .seed = 1 },
 *                                   { .prefix = b, .prefix_count = 7, .seed = 2 } };
 *     ct_generation *g = ct_generation_new(&d, 2, rows, NULL,
 *         (ct_generation_options){ .max_tokens = 40, .temperature = 0.8, .top_p = 0.95 });
 *
 *     for (int i = 0; i < 2; i++) {
 *         ct_generated best = ct_generation_get(g, i, 0);
 *         ... best.ids, best.count
 *     }
 *     ct_generation_free(g);
 *
 * The result of a row depends on its prefix, its seed, its state and the options, and not on the
 * other rows. Where products of matrices depend on the number of rows in their last bits (BLAS), so
 * do the logits; with ct_set_portable(true) they do not. Any number of threads may generate with
 * one model at once. */
#ifndef COTANGENT_NN_GENERATE_H
#define COTANGENT_NN_GENERATE_H

#include <stdbool.h>
#include <stdint.h>

#include <cotangent/nn/state.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- the model ---- */

/* A model that reads tokens one after another. The functions run in an inference scope: nothing is
 * recorded and dropout is off. They are called with states whose rows are those of ids. What
 * differs between rows, such as the outputs of an encoder, must be part of the state. A function
 * that fails raises an error and returns NULL. */
typedef struct ct_decoder {
    void *self;         /* handed to the functions */
    int64_t vocab;      /* required: the number of tokens, at most 2^31 - 1 */
    int64_t max_tokens; /* the most tokens that the model can read in a row; 0: any number */
    ct_device device;   /* where ids are made */

    /* Required. Reads a token of each row: ids (N) i32 -> logits (N, vocab), f32 or f64, the scores
     * of the token that follows. state is what the rows had after their last tokens; NULL before
     * the first. *next, initially NULL, must become the state after ids, in the innermost scope; a
     * model without a state leaves it. N may differ from call to call. A rule that depends on the tokens
     * so far, against repetitions for example, keeps what it needs in the state. */
    ct_tensor *(*step)(void *self, ct_tensor *ids, const ct_state *state, ct_state **next);

    /* Optional: reads T tokens of each row at once and returns the state after them, in the
     * innermost scope. ids (N, T) i32. lengths (N) i32 has how many of them row i reads, from the
     * first on, 0..T; NULL: all. It is always NULL unless `lengths` is true. */
    ct_state *(*read)(void *self, ct_tensor *ids, ct_tensor *lengths, const ct_state *state);
    /* read takes lengths, and rows of a state may have read different numbers of tokens, as with
     * recurrent modules. Otherwise, as with caches of keys and values, all rows read their token
     * number t in the same step, and a row with a shorter prefix begins to generate earlier. */
    bool lengths;

    /* Optional: the rows (M) i64 of a state, in this order, as a state of the innermost scope. A row
     * may occur several times. NULL: rows are on axis 1 of all tensors, as in recurrent modules. */
    ct_state *(*select)(void *self, const ct_state *state, ct_tensor *rows);
} ct_decoder;

/* ---- requests ---- */

/* One row of a batch. */
typedef struct ct_generation_row {
    const int32_t *prefix; /* the tokens that the model reads first, at least 1 */
    int prefix_count;
    uint64_t seed;      /* of the draws */
    int64_t max_tokens; /* 0: max_tokens of the options */
} ct_generation_row;

typedef struct ct_generation_options {
    int64_t max_tokens; /* required: the most tokens to generate in a row, a stop token included */

    /* How the next token is chosen. Without the banned tokens, the top_k largest logits are divided
     * by the temperature. Of their softmax, the most probable tokens are kept that together reach
     * top_p ("nucleus sampling", Holtzman et al. 2020), and one of them is drawn. */
    double temperature;    /* 0: always the most likely token, whatever top_k and top_p are */
    int64_t top_k;         /* 0: all */
    double top_p;          /* in (0, 1]; 0: 1 */
    const int32_t *banned; /* tokens that are never generated */
    int banned_count;

    /* A row ends before the first of these tokens, which is not part of the result. */
    const int32_t *stop;
    int stop_count;

    /* Beam search: in each step the `beams` most probable sequences are continued. Needs temperature
     * 0. 0 and 1: no beam search. At most 4096. */
    int64_t beams;
    int64_t n_best; /* the number of sequences to return, 1..beams; 0: 1 */
    /* score = log-probability / tokens^length_penalty; 0: 1; CT_ZERO: the log-probability itself */
    double length_penalty;
    /* A row ends as soon as `beams` of its sequences have ended. Otherwise it ends when no open
     * sequence can become one of the n best. */
    bool early_stop;

    /* Receives each token when it is generated; not with beams. Returning false ends the row. The
     * tokens are then not kept in the result, so memory does not grow with their number. */
    bool (*emit)(void *context, int row, int32_t token);
    void *context;
} ct_generation_options;

/* ---- results ---- */

typedef enum ct_generation_end {
    CT_GENERATION_END_STOP,   /* a stop token */
    CT_GENERATION_END_LENGTH, /* max_tokens, of the row, of the options or of the model */
    CT_GENERATION_END_EMIT    /* emit returned false */
} ct_generation_end;

/* A generated sequence. */
typedef struct ct_generated {
    const int32_t *ids; /* `count` tokens after the prefix, which belong to the ct_generation */
    int64_t count;
    ct_generation_end end;
    /* Beam search: the log-probability of the tokens, a stop token included, divided by their number
     * to the power length_penalty. Otherwise 0. */
    double score;
} ct_generated;

/* The results of a batch. */
typedef struct ct_generation ct_generation;

/* Generates tokens after the prefixes of `count` rows. state is the state before the prefixes, with
 * `count` rows, or NULL; it is not changed. options.emit is called on this thread.
 *
 * Returns the results, which the caller frees with ct_generation_free. A row that fails does not
 * disturb the others and raises no error; ct_generation_status has its error: CT_ERR_ARGUMENT for an
 * empty prefix, CT_ERR_INDEX for a token outside 0..vocab-1, CT_ERR_SHAPE for a prefix longer than
 * d->max_tokens, CT_ERR_NUMERIC for logits that are NaN or +infinity, or all -infinity.
 *
 * NULL with an error that concerns all rows: CT_ERR_ARGUMENT for options out of range and if all
 * tokens are banned, CT_ERR_INDEX for a banned or stop token outside the vocabulary, CT_ERR_SHAPE,
 * CT_ERR_DTYPE and CT_ERR_DEVICE for logits or states that are not as above, CT_ERR_MEMORY, and the
 * errors of d's functions. */
ct_generation *ct_generation_new(const ct_decoder *d, int count, const ct_generation_row *rows,
                                 const ct_state *state, ct_generation_options options);
void ct_generation_free(ct_generation *g); /* NULL is allowed */

/* The error of a row, CT_OK if it has none, and what is wrong with the row, "" if it has no error:
 * "the prefix is empty". The text belongs to g. CT_ERR_INDEX for a row that does not exist. */
ct_status ct_generation_status(const ct_generation *g, int row);
const char *ct_generation_message(const ct_generation *g, int row);

/* The number of sequences of a row: 0 if it has an error, at most n_best with beams, otherwise 1;
 * also 0 for a row that does not exist, and for NULL. */
int ct_generation_count(const ct_generation *g, int row);

/* Sequence number `rank` of a row, the best first. CT_ERR_INDEX, and zeros, if it does not exist. */
ct_generated ct_generation_get(const ct_generation *g, int row, int rank);

/* ---- for a loop of your own ---- */

/* logits (..., vocab) -> the probabilities with which the options choose the next token, of logits'
 * shape and dtype (f32 or f64), in the innermost scope. ct_multinomial draws from them. Only temperature, top_k, top_p and
 * banned are used. No derivative. The errors of ct_generation_new for these options; CT_ERR_SHAPE
 * for rank 0 or an empty vocabulary. A row of logits that is refused above gives NaN. */
ct_tensor *ct_sampling_probabilities(ct_tensor *logits, ct_generation_options options);

#ifdef __cplusplus
}
#endif
#endif
