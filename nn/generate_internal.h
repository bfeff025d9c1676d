/* SPDX-License-Identifier: MIT */
/* generate_internal.h - functions that the sources of generation share. (internal) */
#ifndef COTANGENT_NN_GENERATE_INTERNAL_H
#define COTANGENT_NN_GENERATE_INTERNAL_H

#include "nn/internal.h"

#include <cotangent/nn/generate.h>
#include <cotangent/tensor/random.h>

/* ---- for nn/ and train/ ---- */

/* A call of ct_generation_new. */
typedef struct cti_generation_call {
    const char *function; /* the function that errors name */
    const ct_decoder *decoder;
    int count;
    const ct_generation_row *rows;
    const ct_state *state;
    ct_generation_options options;
    bool raise; /* the error of a row is raised and ends the call */
} cti_generation_call;

ct_generation *cti_generation_run(const cti_generation_call *call);

/* Checks the options, but for max_tokens, and fills in defaults; false with an error. */
bool cti_generation_check_options(const char *function, ct_generation_options *o, int64_t vocab);

/* Checks temperature, top_k, top_p and banned, and fills in defaults; false with an error. */
bool cti_sampling_check(const char *function, ct_generation_options *o, int64_t vocab);

/* logits (N, vocab) -> the weights (N, k) of the tokens *which (N, k), i64; *which is NULL for all
 * tokens in their order. A row of logits that no token can be chosen from has weights NaN. */
ct_tensor *cti_sampling_weights(const ct_generation_options *o, ct_tensor *logits,
                                ct_tensor **which);

/* A position, drawn with the probabilities w (n), which it overwrites; -1 if w has a NaN. Uses the
 * random words that ct_multinomial uses. */
int64_t cti_sampling_draw(double *w, int64_t n, ct_generator *g);

/* True if token is in a list. */
bool cti_generation_has(int count, const int32_t *tokens, int32_t token);

/* ---- for the sources of generation ---- */

/* A sequence that has not ended. */
typedef struct cti_hypothesis {
    int row;
    int64_t parent; /* the sequence of the step before whose state it continues */
    int64_t node;   /* its last generated token, in `nodes`; -1: none */
    int32_t token;  /* the token that the model reads next */
    double score;   /* beam search: the log-probability of the generated tokens */
} cti_hypothesis;

/* A token of a sequence, and the token before it; -1: none. */
typedef struct cti_generation_node {
    int64_t before;
    int32_t token;
} cti_generation_node;

/* A row: the request, and its results. */
typedef struct cti_generation_row {
    ct_generation_row asked; /* max_tokens is what applies to the row */
    int64_t read;            /* the tokens of the prefix that have been read */
    int64_t generated;       /* the tokens that were chosen, a stop token included */
    int64_t ended;           /* the sequences that have ended */
    ct_generator g;
    ct_status status;
    char *message;       /* NULL: none */
    int count;           /* of found */
    ct_generated *found; /* the n best sequences, the best first */
} cti_generation_row;

struct ct_generation {
    int count;
    cti_generation_row *row;
};

/* A generation while it runs. Sequences are in the order of their rows. */
typedef struct cti_generation {
    const cti_generation_call *call;
    ct_generation_options o;    /* with the defaults filled in */
    cti_generation_row *row;    /* of the result */
    cti_hypothesis *now, *next; /* this step's, and those that are made for the next step */
    int64_t count, now_room, next_count, next_room;
    cti_generation_node *nodes;
    int64_t nodes_count, nodes_room;
    ct_state *state; /* owned; NULL: none */
    bool failed;     /* an error of the whole call */
} cti_generation;

/* If sequence number i is still in its prefix, makes it read the next token of that and returns
 * true. */
bool cti_generation_in_prefix(cti_generation *g, int64_t i);

/* Appends a sequence to those of the next step. */
void cti_generation_continue(cti_generation *g, cti_hypothesis h);

/* Adds a token after the node before; returns its node, or -1 with g->failed. */
int64_t cti_generation_add(cti_generation *g, int64_t before, int32_t token);

/* Adds a sequence that has ended to those of its row, if it is one of the n best. */
void cti_generation_end_sequence(cti_generation *g, int row, int64_t node, double score,
                                 ct_generation_end end);

/* The row fails, with its sequences. */
void cti_generation_fail_row(cti_generation *g, int row, ct_status status, const char *text);

/* Chooses the tokens that follow, from logits (count, vocab): ends sequences and continues others. */
void cti_sampling_choose(cti_generation *g, ct_tensor *logits);
void cti_beam_search_choose(cti_generation *g, ct_tensor *logits);

/* logits with -infinity for the banned tokens. */
ct_tensor *cti_sampling_ban(const ct_generation_options *o, ct_tensor *logits);

/* The elements of t as doubles on the CPU, in row-major order, valid until the innermost scope ends;
 * NULL with an error. */
double *cti_generation_numbers(ct_tensor *t);

/* True if ids (count) are in 0..vocab-1; else false with an error about the option `name`. */
bool cti_generation_check_tokens(const char *function, const char *name, int count,
                                 const int32_t *ids, int64_t vocab);

#endif
