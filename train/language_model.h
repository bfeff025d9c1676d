/* language_model.h - a recurrent language model, ready for use: RNN, LSTM or GRU over any tokens.
 *
 *     ct_lm *m = ct_lm_new(corpus, (ct_lm_options){ .cell = CT_LM_CELL_LSTM, .hidden_size = 256 });
 *     ...
 *     loss = ct_cross_entropy(ct_lm_forward(m, batch.x, state, &next), batch.y);
 *     ...
 *     if (ct_lm_save(m, "model.safetensors") != CT_OK) ...
 *
 *     ct_lm *m = ct_lm_load("model.safetensors", CT_CPU);
 *     char *text = ct_lm_generate_text(m, (ct_lm_generate_options){
 *         .prefix = "time traveller", .count = 50, .temperature = 0.8, .top_k = 5 });
 *
 * A model file is sealed: it holds all that generating takes, vocabulary and cleaning included. It
 * is a safetensors file with the weights under PyTorch's names (embedding.weight, rnn.weight_ih_l0,
 * linear.weight ...) and, in its metadata under "cotangent.model", a description in JSON. */
#ifndef COTANGENT_TRAIN_LANGUAGE_MODEL_H
#define COTANGENT_TRAIN_LANGUAGE_MODEL_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <cotangent/data/vocab.h>
#include <cotangent/nn/recurrent.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ct_lm ct_lm;

/* ---- making one ---- */

typedef enum ct_lm_cell { CT_LM_CELL_RNN, CT_LM_CELL_LSTM, CT_LM_CELL_GRU } ct_lm_cell;

const char *ct_lm_cell_name(ct_lm_cell cell); /* "rnn"; "?" for what is none */

/* The cell of a name ("lstm"), or -1 without an error. */
int ct_lm_cell_from_name(const char *name);

/* ids -> one-hot vectors, or rows of a table (embedding) -> recurrent layers (rnn) -> a score for
 * each token of the vocabulary (linear). */
typedef struct ct_lm_options {
    ct_lm_cell cell;
    int64_t hidden_size;      /* 0: 256 */
    int num_layers;           /* 0: 1 */
    int64_t embedding_size;   /* 0: one-hot vectors, and no table */
    bool tied;                /* linear.weight is embedding.weight; their sizes must be the same */
    double dropout;           /* [0, 1), while training: of the embedding, of each layer's output */
    double recurrent_dropout; /* [0, 1), as in recurrent.h */
    bool layer_norm;
    ct_nonlinearity nonlinearity; /* RNN */
    ct_dialect dialect;           /* whose initial values: CT_DIALECT_TORCH (0), ... */
    uint64_t seed;                /* of initial values and dropout */
    ct_device device;
} ct_lm_options;

/* A model for the corpus's vocabulary, which it copies; it remembers cleaning and SHA-256, too.
 * Yours to free. CT_ERR_ARGUMENT for sizes and probabilities that cannot be. */
ct_lm *ct_lm_new(const ct_corpus *corpus, ct_lm_options options);
void ct_lm_free(ct_lm *m);

ct_params *ct_lm_params(const ct_lm *m);
ct_recurrent *ct_lm_recurrent(const ct_lm *m);
const ct_vocab *ct_lm_vocab(const ct_lm *m);
ct_clean ct_lm_clean(const ct_lm *m);
ct_lm_options ct_lm_get_options(const ct_lm *m); /* as given, defaults filled in */

/* The SHA-256 of the text that it was made for, 64 hexadecimal digits. */
const char *ct_lm_corpus_sha256(const ct_lm *m);

/* ---- use ---- */

/* ids (B, T) -> logits (B, T, vocab); state and next as in ct_recurrent_forward. */
ct_tensor *ct_lm_forward(ct_lm *m, ct_tensor *ids, const ct_state *state, ct_state **next);

/* One step: ids (B) -> logits (B, vocab). */
ct_tensor *ct_lm_step(ct_lm *m, ct_tensor *ids, const ct_state *state, ct_state **next);

/* The ids of size bytes of text, cleaned (as within a line) and cut as the model's own text was:
 * *count of them, yours to free(); *unknown, if not NULL, is how many are <unk>. */
int32_t *ct_lm_encode(const ct_lm *m, const char *text, size_t size, int64_t *count,
                      int64_t *unknown);

/* How to go on from a text. Of each step's logits the top_k greatest are kept, divided by the
 * temperature, and one is drawn with the probabilities of their softmax. */
typedef struct ct_lm_generate_options {
    const char *prefix;
    int64_t count;      /* tokens to add to it */
    double temperature; /* 0: 1, and with top_k 0 too: always the likeliest token */
    int64_t top_k;      /* 0: all */
    uint64_t seed;      /* the same seed, the same text */
    /* Told the text as it comes: at first the prefix, as the model reads it, then each token, words
     * with the space before them. The bytes are not NUL-terminated. False stops. */
    bool (*emit)(void *context, const char *bytes, size_t size);
    void *context;
} ct_lm_generate_options;

/* Goes on from the prefix: batch 1, state zero at first, dropout off. Takes constant memory.
 * CT_ERR_ARGUMENT for a prefix that holds no token, a negative count, top_k or temperature, or one
 * that is not finite; CT_ERR_NUMERIC for logits that are not. */
ct_status ct_lm_generate(ct_lm *m, ct_lm_generate_options options);

/* The same as one string, yours to free(); emit is not called. NULL after an error. */
char *ct_lm_generate_text(ct_lm *m, ct_lm_generate_options options);

/* How well a model predicts a text, each token from all before it; the first is not counted. */
typedef struct ct_lm_score {
    int64_t tokens, unknown;                  /* predicted; how many of them are <unk> */
    int64_t characters, bytes;                /* of the cleaned text, after the first token */
    double loss;                              /* nats a token: the mean */
    double perplexity;                        /* exp(loss) */
    double bits_per_character, bits_per_byte; /* whatever the tokens are */
} ct_lm_score;

/* Reads the text from its start to its end: one sequence, dropout off. CT_ERR_SHAPE for a text of
 * fewer than two tokens. */
ct_status ct_lm_evaluate(ct_lm *m, const ct_text *text, ct_lm_score *score);

/* ---- files ---- */

/* What the model card says of how it was trained: "perplexity", 1.3; "optimizer", "sgd". One given
 * again replaces what it was. In a text, bytes that are no UTF-8 become question marks.
 * CT_ERR_ARGUMENT for a NULL, a value that is not finite, a what that is not UTF-8. */
ct_status ct_lm_note(ct_lm *m, const char *what, double value);
ct_status ct_lm_note_text(ct_lm *m, const char *what, const char *text);

/* The description, JSON in one line: yours to free(). A checkpoint has it in its metadata under
 * "cotangent.model" as a model file has, so that it is one, too. */
char *ct_lm_describe(const ct_lm *m);

/* Writes a model file, whole or not at all. A sink: does nothing while an error stands. */
ct_status ct_lm_save(ct_lm *m, const char *path) CT_WARN_UNUSED;

/* A model from its file (or from a checkpoint: tensors whose names begin with "training." are left
 * alone). Nothing in the file is trusted: sizes are compared with its tensors before any memory is
 * asked for them. CT_ERR_FORMAT, saying what is wrong; the errors of ct_params_load. */
ct_lm *ct_lm_load(const char *path, ct_device device);

/* Prints the model card: architecture, tokens, text, training. */
void ct_lm_print(const ct_lm *m, FILE *out);

#ifdef __cplusplus
}
#endif
#endif
