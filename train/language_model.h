/* SPDX-License-Identifier: MIT */
/* language_model.h - a complete recurrent language model: RNN, LSTM or GRU over any tokens.
 *
 *     ct_lm *m = ct_lm_new(corpus, (ct_lm_options){ .cell = CT_LM_CELL_LSTM, .hidden_size = 256 });
 *     ...
 *     loss = ct_lm_loss(m, batch.x, batch.y, state, &next);
 *     ...
 *     if (ct_lm_save(m, "model.safetensors") != CT_OK) ...
 *
 *     ct_lm *m = ct_lm_load("model.safetensors", CT_CPU);
 *     char *text = ct_lm_generate_text(m, (ct_lm_generate_options){
 *         .prefix = "time traveller", .count = 50, .temperature = 0.8, .top_k = 5 });
 *
 * A model file has everything that generation needs, including vocabulary and cleaning. It is a
 * safetensors file with the weights under PyTorch's names (embedding.weight, rnn.weight_ih_l0,
 * linear.weight ...) and a description in JSON in its metadata under "cotangent.model". */
#ifndef COTANGENT_TRAIN_LANGUAGE_MODEL_H
#define COTANGENT_TRAIN_LANGUAGE_MODEL_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <cotangent/data/vocab.h>
#include <cotangent/nn/generate.h>
#include <cotangent/nn/export.h>
#include <cotangent/nn/recurrent.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A language model with its vocabulary. The caller frees it with ct_lm_free. */
typedef struct ct_lm ct_lm;
typedef struct ct_world ct_world; /* train/world.h */

/* ---- construction ---- */

typedef enum ct_lm_cell { CT_LM_CELL_RNN, CT_LM_CELL_LSTM, CT_LM_CELL_GRU } ct_lm_cell;

const char *ct_lm_cell_name(ct_lm_cell cell); /* "rnn"; "?" for an invalid value */

/* Returns the ct_lm_cell of a name ("lstm"), or -1 for an unknown name and for NULL; raises no error. */
int ct_lm_cell_from_name(const char *name);

/* The model: ids -> one-hot vectors or an embedding -> recurrent layers (rnn) -> a score for each
 * token of the vocabulary (linear). */
typedef struct ct_lm_options {
    ct_lm_cell cell;
    int64_t hidden_size;      /* default 256 */
    int num_layers;           /* default 1 */
    int64_t embedding_size;   /* 0: the input is one-hot vectors */
    bool tied;                /* linear.weight is embedding.weight; their sizes must be equal */
    double dropout;           /* [0, 1), in training: of the embedding and of each layer's output */
    double recurrent_dropout; /* [0, 1), as in recurrent.h */
    bool layer_norm;
    ct_nonlinearity nonlinearity; /* only for RNN */
    ct_dialect dialect; /* initial values as in this framework; default CT_DIALECT_TORCH */
    uint64_t seed;      /* the seed of initial values and dropout */
    ct_device device;
} ct_lm_options;

/* Makes a model for the vocabulary of a corpus, which it copies together with the cleaning and the
 * SHA-256. The caller frees it with ct_lm_free. CT_ERR_ARGUMENT for a NULL corpus and for sizes and
 * probabilities out of range. CT_ERR_MEMORY. */
ct_lm *ct_lm_new(const ct_corpus *corpus, ct_lm_options options);
void ct_lm_free(ct_lm *m); /* NULL is allowed */

/* The parts of a model. They live as long as the model. For a NULL model these functions return
 * NULL, CT_CLEAN_TEXT or zeros. */
ct_params *ct_lm_params(const ct_lm *m);
ct_recurrent *ct_lm_recurrent(const ct_lm *m);
const ct_vocab *ct_lm_vocab(const ct_lm *m);
ct_clean ct_lm_clean(const ct_lm *m);
ct_lm_options ct_lm_get_options(const ct_lm *m); /* the options, with defaults filled in */

/* The SHA-256 of the text that the model was made for, 64 hexadecimal digits. "" for NULL. */
const char *ct_lm_corpus_sha256(const ct_lm *m);

/* ---- use ---- */

/* ids (B, T) -> logits (B, T, vocab), in the innermost scope. state and next as in
 * ct_recurrent_forward. */
ct_tensor *ct_lm_forward(const ct_lm *m, ct_tensor *ids, const ct_state *state, ct_state **next);

/* The mean cross-entropy of ct_lm_forward for the tokens targets (B, T) that follow ids (B, T), in nats, a
 * scalar of the innermost scope. Computed without the logits in memory (ct_linear_cross_entropy).
 * CT_ERR_SHAPE if the shapes differ. */
ct_tensor *ct_lm_loss(const ct_lm *m, ct_tensor *ids, ct_tensor *targets, const ct_state *state,
                      ct_state **next);

/* One step: ids (B) -> logits (B, vocab). Otherwise like ct_lm_forward. */
ct_tensor *ct_lm_step(const ct_lm *m, ct_tensor *ids, const ct_state *state, ct_state **next);

/* Cleans and tokenises size bytes of text as the training text was; newlines count as spaces.
 * Returns the *count ids, which the caller frees with free(). Writes how many of them are <unk> to
 * *unknown unless that is NULL. NULL with an error. */
int32_t *ct_lm_encode(const ct_lm *m, const char *text, size_t size, int64_t *count,
                      int64_t *unknown);

/* Options for continuing a text. How the next token is chosen: nn/generate.h. */
typedef struct ct_lm_generate_options {
    const char *prefix;
    int64_t count;         /* the number of tokens to generate */
    double temperature;    /* 0: always the most likely token */
    int64_t top_k;         /* 0: all */
    double top_p;          /* in (0, 1]; 0: 1 */
    uint64_t seed;         /* the same seed gives the same text */
    const int32_t *banned; /* tokens that are never generated, such as ct_vocab_unknown */
    int banned_count;
    const int32_t *stop; /* the text ends before the first of these tokens */
    int stop_count;
    /* Receives the text while it is generated: first the cleaned prefix, then each token, a word
     * with the space before it. The bytes are not NUL-terminated. Returning false stops the
     * generation. */
    bool (*emit)(void *context, const char *bytes, size_t size);
    void *context;
    /* For ct_lm_generate_batch: the ranks that share the requests; NULL: this process alone. */
    ct_world *world;
} ct_lm_generate_options;

/* Generates text after the prefix: batch 1, initial state zero, dropout off. The memory does not
 * grow with count. CT_ERR_ARGUMENT for a prefix without a token, for a negative count, and for
 * options that ct_generation_new refuses. CT_ERR_NUMERIC for logits that are not finite. */
ct_status ct_lm_generate(const ct_lm *m, ct_lm_generate_options options);

/* Like ct_lm_generate, but returns the text as one string, which the caller frees with free(). emit
 * is not called. NULL with an error. */
char *ct_lm_generate_text(const ct_lm *m, ct_lm_generate_options options);

/* One of several texts that are generated at once. */
typedef struct ct_lm_request {
    const char *prefix;
    uint64_t seed;
    int64_t count; /* the number of tokens to generate; 0: that of the options */

    /* The results: the cleaned prefix and what follows it, which the caller frees with free(), or NULL
     * after an error of this request. */
    char *text;
    ct_status status;  /* CT_OK, or the error */
    char message[160]; /* what is wrong: "the prefix is empty"; "" for CT_OK */
} ct_lm_request;

/* Continues `count` texts at once, with the same options, of which prefix, seed and emit are not
 * used. A request that fails has a status and does not disturb the others. Each text is the one that
 * ct_lm_generate_text returns for the same prefix, seed and count. This is exact with
 * ct_set_portable(true); otherwise the last bits of the logits may depend on the other requests.
 * With options.world, shard s of S continues requests floor(s count / S) to floor((s + 1) count / S)
 * - 1 as one batch, and every rank gets all results. They do not depend on the number of ranks.
 * All ranks must call it with the same model, requests and options.
 * Returns CT_OK, or the error that left all requests without a text:
 * those of ct_generation_new; CT_ERR_WORLD if another rank has an error, or other parameters or requests. */
ct_status ct_lm_generate_batch(const ct_lm *m, int count, ct_lm_request *requests,
                               ct_lm_generate_options options);

/* The model for ct_generation_new, as long as m lives: for beam search and for tokens instead of text.
 * ct_lm_encode makes prefixes. Zeros for NULL. */
ct_decoder ct_lm_decoder(const ct_lm *m);

/* A measure of how well a model predicts a text: each token is predicted from all tokens before it.
 * The first token is not counted. */
typedef struct ct_lm_score {
    int64_t tokens, unknown;   /* the number of predicted tokens, and how many of these are <unk> */
    int64_t characters, bytes; /* length of the cleaned text after its first token */
    double loss;               /* the mean cross-entropy in nats per token */
    double perplexity;         /* exp(loss) */
    double bits_per_character, bits_per_byte; /* comparable between token kinds */
} ct_lm_score;

/* Evaluates a model on a text, with dropout off, and fills in *score. If world is NULL or has one
 * shard, the text is one sequence. Otherwise shard s of S scores tokens 1 + floor(s tokens / S) to
 * floor((s + 1) tokens / S), after it has read up to 256 tokens before these, from the zero state. So
 * the score depends on the number of shards, slightly, and not on the number of ranks. All ranks
 * must call it with the same model and text; every rank gets the score. CT_ERR_SHAPE for a text of
 * fewer than two tokens. CT_ERR_WORLD if another rank has an error, other parameters or another text. */
ct_status ct_lm_evaluate(const ct_lm *m, const ct_text *text, ct_world *world, ct_lm_score *score);

/* ---- files ---- */

/* Adds a note on the training to the model card: ("perplexity", 1.3), ("optimizer", "sgd"). A note
 * of the same name is replaced. In a text, bytes that are not UTF-8 become question marks.
 * CT_ERR_ARGUMENT for a NULL, for a value that is not finite, and for a name (what) that is not
 * UTF-8. */
ct_status ct_lm_note(ct_lm *m, const char *what, double value);
ct_status ct_lm_note_text(ct_lm *m, const char *what, const char *text);

/* Returns the description of a model: JSON in one line, which the caller frees with free(). With it
 * as ct_trainer's model_json, a checkpoint is also a model file. NULL with an error. */
char *ct_lm_describe(const ct_lm *m);

/* Writes a model file. If that fails, path keeps its old contents. Does nothing while an error is
 * recorded. The errors of ct_safetensors_write. */
ct_status ct_lm_save(const ct_lm *m, const char *path) CT_WARN_UNUSED;

/* Loads a model from a model file, or from a checkpoint, whose tensors "training...." are ignored.
 * The caller frees it. The model is in evaluation mode: dropout is off until ct_fit or
 * ct_params_train(ct_lm_params(m), true). The file may come from an untrusted source: all sizes are compared with the
 * tensors in the file before memory is allocated. CT_ERR_FORMAT if the file is not a model file,
 * with the reason; the errors of ct_params_load. */
ct_lm *ct_lm_load(const char *path, ct_device device);

/* Writes the model as a C file and a header (nn/export.h): NAME_step reads a token, i32, and writes the
 * logits; NAME_next reads a token and returns the one that follows, greedy or sampled; NAME_token and
 * NAME_find are the vocabulary. Its tokens are those of ct_lm_generate under ct_set_portable(true). The
 * errors of ct_export_c. */
ct_status ct_lm_export_c(const ct_lm *m, const char *path, ct_export_options options);

/* Prints the model card to out: architecture, tokens, text, notes on the training. CT_ERR_ARGUMENT
 * for a NULL. */
void ct_lm_print(const ct_lm *m, FILE *out);

#ifdef __cplusplus
}
#endif
#endif
