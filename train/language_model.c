/* SPDX-License-Identifier: MIT */
/* language_model.c - the model and its evaluation. Generation is in language_model_generate.c. */
#include "tensor/internal.h"

#include "nn/internal.h"
#include "train/language_model_internal.h"

#include "tensor/hooks.h"

#include <cotangent/autograd/ops/elementwise.h>
#include <cotangent/autograd/ops/index.h>
#include <cotangent/autograd/ops/random.h>
#include <cotangent/autograd/ops/reduce.h>
#include <cotangent/autograd/ops/softmax.h>
#include <cotangent/autograd/ops/sort.h>
#include <cotangent/autograd/ops/views.h>
#include <cotangent/nn/dropout.h>
#include <cotangent/nn/embedding.h>
#include <cotangent/nn/gru.h>
#include <cotangent/nn/linear.h>
#include <cotangent/nn/loss.h>
#include <cotangent/nn/lstm.h>
#include <cotangent/nn/rnn.h>

#include <math.h>
#include <string.h>

#define CHUNK 256 /* steps per call when a long text is read */

static const struct {
    const char *name;
    ct_recurrent *(*make)(ct_params *, const char *, ct_nn_recurrent_options);
} cells[] = {
    [CT_LM_CELL_RNN] = { "rnn", ct_nn_rnn },
    [CT_LM_CELL_LSTM] = { "lstm", ct_nn_lstm },
    [CT_LM_CELL_GRU] = { "gru", ct_nn_gru },
};
enum { CELLS = sizeof cells / sizeof *cells };

const char *ct_lm_cell_name(ct_lm_cell cell)
{
    return (unsigned)cell < CELLS ? cells[cell].name : "?";
}

int ct_lm_cell_from_name(const char *name)
{
    int i;

    for (i = 0; i < CELLS; i++)
        if (name && strcmp(name, cells[i].name) == 0)
            return i;
    return -1;
}

/* ---- making one ---- */

bool cti_lm_check(const char *function, ct_lm_options *o)
{
    o->hidden_size = o->hidden_size ? o->hidden_size : 256;
    o->num_layers = o->num_layers ? o->num_layers : 1;
    if ((unsigned)o->cell >= CELLS)
        ct_raise(CT_ERR_ARGUMENT, function, "cell is %d; it must be in 0..%d", (int)o->cell,
                 (int)CELLS - 1);
    else if (!cti_at_least(function, "hidden_size", o->hidden_size, 1) ||
             !cti_at_least(function, "num_layers", o->num_layers, 1) ||
             !cti_at_least(function, "embedding_size", o->embedding_size, 0))
        return false;
    else if (o->tied && o->embedding_size != o->hidden_size)
        ct_raise(CT_ERR_ARGUMENT, function,
                 "tied weights need equal sizes; embedding_size is %lld, hidden_size %lld",
                 (long long)o->embedding_size, (long long)o->hidden_size);
    else if (!(o->dropout >= 0 && o->dropout < 1))
        ct_raise(CT_ERR_ARGUMENT, function, "dropout is %g; it must be at least 0 and less than 1",
                 o->dropout);
    else
        return true;
    return false;
}

static void lm_make_modules(ct_lm *m)
{
    const ct_lm_options *o = &m->options;
    const int64_t vocab = ct_vocab_size(m->vocab);

    if (o->embedding_size)
        m->embedding =
            ct_nn_embedding(m->params, "embedding",
                            (ct_nn_embedding_options){ .rows = vocab, .size = o->embedding_size });
    if (o->dropout > 0)
        m->dropout = ct_nn_dropout(m->params, o->dropout);
    m->rnn = cells[o->cell].make(
        m->params, "rnn",
        (ct_nn_recurrent_options){ .input_size = o->embedding_size ? o->embedding_size : vocab,
                                   .hidden_size = o->hidden_size,
                                   .num_layers = o->num_layers,
                                   .dropout = o->dropout,
                                   .recurrent_dropout = o->recurrent_dropout,
                                   .layer_norm = o->layer_norm,
                                   .nonlinearity = o->nonlinearity,
                                   .dialect = o->dialect });
    m->linear = ct_nn_linear(m->params, "linear",
                             (ct_nn_linear_options){ .in_features = o->hidden_size,
                                                     .out_features = vocab,
                                                     .dialect = o->dialect });
    if (o->tied && ct_ok())
        ct_params_tie(m->params, "embedding.weight", "linear.weight");
}

ct_lm *cti_lm_make(const char *function, const ct_lm_options *o, ct_vocab *vocab)
{
    ct_lm *m = vocab ? cti_calloc(1, sizeof *m) : NULL;

    if (!m) {
        if (vocab)
            cti_out_of_memory(function, sizeof *m);
        ct_vocab_free(vocab);
        return NULL;
    }
    m->options = *o;
    m->vocab = vocab;
    m->params = ct_params_new((ct_params_options){ .seed = o->seed, .device = o->device });
    if (m->params && ct_ok())
        lm_make_modules(m);
    if (ct_ok())
        return m;
    ct_lm_free(m);
    return NULL;
}

/* Copies a vocabulary. */
static ct_vocab *lm_copy(const ct_vocab *v)
{
    int first = ct_vocab_kind(v) == CT_TOKEN_KIND_BYTE ? 256 : 0, count = ct_vocab_size(v) - first,
        i;
    const char **tokens = cti_calloc((size_t)count + 1, sizeof *tokens);
    ct_vocab *copy;

    if (!tokens) {
        cti_out_of_memory("ct_lm_new", (size_t)count * sizeof *tokens);
        return NULL;
    }
    for (i = 0; i < count; i++)
        tokens[i] = ct_vocab_token(v, first + i);
    copy = ct_vocab_new_from_tokens(ct_vocab_kind(v), count, tokens);
    cti_release(tokens);
    return copy;
}

ct_lm *ct_lm_new(const ct_corpus *corpus, ct_lm_options options)
{
    ct_lm *m;

    if (!corpus) {
        if (ct_ok())
            ct_raise(CT_ERR_ARGUMENT, "ct_lm_new", "corpus is NULL");
        return NULL;
    }
    if (!ct_ok() || !cti_lm_check("ct_lm_new", &options))
        return NULL;
    m = cti_lm_make("ct_lm_new", &options, lm_copy(ct_corpus_vocab(corpus)));
    if (m) {
        m->clean = ct_corpus_clean(corpus);
        m->corpus_tokens = ct_corpus_size(corpus);
        strcpy(m->sha256, ct_corpus_sha256(corpus));
    }
    return m;
}

void ct_lm_free(ct_lm *m)
{
    if (!m)
        return;
    ct_params_free(m->params);
    ct_vocab_free(m->vocab);
    cti_notes_free(&m->notes);
    cti_release(m);
}

ct_params *ct_lm_params(const ct_lm *m)
{
    return m ? m->params : NULL;
}

ct_recurrent *ct_lm_recurrent(const ct_lm *m)
{
    return m ? m->rnn : NULL;
}

const ct_vocab *ct_lm_vocab(const ct_lm *m)
{
    return m ? m->vocab : NULL;
}

ct_clean ct_lm_clean(const ct_lm *m)
{
    return m ? m->clean : CT_CLEAN_TEXT;
}

ct_lm_options ct_lm_get_options(const ct_lm *m)
{
    return m ? m->options : (ct_lm_options){ 0 };
}

const char *ct_lm_corpus_sha256(const ct_lm *m)
{
    return m ? m->sha256 : "";
}

/* ---- forward ---- */

static ct_tensor *lm_drop(const ct_lm *m, ct_tensor *x)
{
    return m->dropout ? ct_forward(m->dropout, x) : x;
}

ct_tensor *cti_lm_inputs(const ct_lm *m, ct_tensor *ids)
{
    if (m->embedding)
        return lm_drop(m, ct_forward(m->embedding, ids));
    return ct_one_hot(ids, ct_vocab_size(m->vocab));
}

bool cti_lm_given(const char *function, const ct_lm *m)
{
    if (!m && ct_ok())
        ct_raise(CT_ERR_ARGUMENT, function, "m is NULL");
    return m && ct_ok();
}

static bool lm_may_run(const char *function, const ct_lm *m, const ct_tensor *ids,
                       const ct_state *state)
{
    return cti_lm_given(function, m) && cti_usable(function, ids) &&
           (!state || cti_state_usable(function, "state", state));
}

/* ids (B, T) -> hidden states (T, B, hidden), the input of the output layer */
static ct_tensor *lm_hidden(const ct_lm *m, ct_tensor *ids, const ct_state *state, ct_state **next)
{
    return lm_drop(
        m, ct_recurrent_forward(m->rnn, cti_lm_inputs(m, ct_transpose(ids, 0, 1)), state, next));
}

ct_tensor *ct_lm_forward(const ct_lm *m, ct_tensor *ids, const ct_state *state, ct_state **next)
{
    if (!lm_may_run("ct_lm_forward", m, ids, state))
        return NULL;
    return ct_transpose(ct_forward(m->linear, lm_hidden(m, ids, state, next)), 0, 1);
}

ct_tensor *ct_lm_loss(const ct_lm *m, ct_tensor *ids, ct_tensor *targets, const ct_state *state,
                      ct_state **next)
{
    static const char *const me = "ct_lm_loss";

    if (!lm_may_run(me, m, ids, state) || !cti_usable(me, targets))
        return NULL;
    if (ct_rank(ids) != 2 || !cti_same_shape(&ids->shape, &targets->shape)) {
        ct_raise(CT_ERR_SHAPE, me, "ids %s and targets %s must both be (batch, steps)",
                 cti_describe(ids).s, cti_describe(targets).s);
        return NULL;
    }
    return ct_nn_linear_cross_entropy(m->linear, lm_hidden(m, ids, state, next),
                                      ct_transpose(targets, 0, 1),
                                      (ct_cross_entropy_options){ .reduction = CT_REDUCTION_MEAN });
}

ct_tensor *ct_lm_step(const ct_lm *m, ct_tensor *ids, const ct_state *state, ct_state **next)
{
    if (!lm_may_run("ct_lm_step", m, ids, state))
        return NULL;
    return ct_forward(m->linear,
                      lm_drop(m, ct_recurrent_step(m->rnn, cti_lm_inputs(m, ids), state, next)));
}

/* ---- reading ---- */

int32_t *ct_lm_encode(const ct_lm *m, const char *text, size_t size, int64_t *count,
                      int64_t *unknown)
{
    ct_clean how = ct_lm_clean(m) == CT_CLEAN_LINES ? CT_CLEAN_TEXT : ct_lm_clean(m);
    int32_t *ids = NULL;
    char *cleaned;
    size_t n;

    if (!cti_given("ct_lm_encode", "count", count))
        return NULL;
    *count = 0;
    if (unknown)
        *unknown = 0;
    cleaned = cti_lm_given("ct_lm_encode", m) ? ct_clean_apply(how, text, size, &n) : NULL;
    if (cleaned) {
        ids = cti_calloc(n + 1, sizeof *ids);
        if (ids)
            *count = ct_vocab_encode(m->vocab, cleaned, n, ids, unknown);
        else
            cti_out_of_memory("ct_lm_encode", (n + 1) * sizeof *ids);
    }
    cti_release(cleaned);
    return ids;
}

/* Copies ids (n) to m's device. */
static ct_tensor *lm_upload(const ct_lm *m, const int32_t *ids, ct_shape shape)
{
    return ct_from_data(ids, shape, CT_I32, ct_params_device(m->params));
}

/* ---- evaluating ---- */

/* Adds up the losses of the tokens 1 .. size - 1, which are read in chunks; false after an
 * error. */
static bool lm_add_losses(const ct_lm *m, const int32_t *ids, int64_t size, ct_state *state,
                          double *nats)
{
    int64_t at, n;

    for (at = 0; at + 1 < size && ct_ok(); at += n) {
        ct_scope scope = ct_scope_begin_inference();
        ct_state *next;
        ct_tensor *x, *target;

        n = size - 1 - at < CHUNK ? size - 1 - at : CHUNK;
        x = lm_upload(m, ids + at, CT_SHAPE(1, n));
        target = lm_upload(m, ids + at + 1, CT_SHAPE(1, n));
        *nats += ct_item(ct_lm_loss(m, x, target, state, &next)) * (double)n;
        ct_state_carry(state, next);
        if (ct_scope_end(scope) != CT_OK)
            return false;
    }
    return ct_ok();
}

typedef struct lm_scored {
    const ct_lm *m;
    const int32_t *ids;
} lm_scored;

/* The sum of the losses of tokens 1 + from .. to, in nats. The CHUNK tokens before them are read, but
 * not scored. */
static double lm_part_losses(const void *context, int64_t from, int64_t to)
{
    const lm_scored *s = context;
    const int64_t begin = from < CHUNK ? 0 : from - CHUNK;
    ct_state *state = ct_recurrent_begin_state(s->m->rnn, 1);
    double before = 0, nats = 0;

    if (ct_ok() && lm_add_losses(s->m, s->ids + begin, from - begin + 1, state, &before))
        lm_add_losses(s->m, s->ids + from, to - from + 1, state, &nats);
    ct_state_free(state);
    return nats;
}

/* c is the corpus of the whole text. `first` is a corpus of its first token, which is not
 * scored. */
static ct_status lm_score_corpus(const ct_lm *m, const ct_corpus *c, const ct_corpus *first,
                                 ct_world *world, ct_lm_score *score)
{
    static const char *const me = "ct_lm_evaluate";
    const int64_t tokens = ct_corpus_size(c) - 1;
    const int64_t characters = ct_corpus_characters(c) - ct_corpus_characters(first);
    const int64_t bytes = ct_corpus_bytes(c) - ct_corpus_bytes(first);
    const lm_scored scored = { m, ct_corpus_ids(c) };
    double nats = 0;

    if (tokens < 1)
        ct_raise(CT_ERR_SHAPE, me, "the text has one token; at least two are needed");
    if (cti_lm_world_begin(me, world, m, ct_corpus_sha256(c)))
        nats = cti_lm_world_sum(me, world, tokens, lm_part_losses, &scored);
    if (ct_ok() && !isfinite(nats))
        ct_raise(CT_ERR_NUMERIC, me, "the loss is %g", isnan(nats) ? NAN : nats);
    if (!ct_ok())
        return ct_error();
    *score = (ct_lm_score){ .tokens = tokens,
                            .unknown = ct_corpus_unknown(c) - ct_corpus_unknown(first),
                            .characters = characters,
                            .bytes = bytes,
                            .loss = nats / (double)tokens,
                            .perplexity = exp(nats / (double)tokens),
                            .bits_per_character = nats / log(2) / (double)characters,
                            .bits_per_byte = nats / log(2) / (double)bytes };
    return CT_OK;
}

ct_status ct_lm_evaluate(const ct_lm *m, const ct_text *text, ct_world *world, ct_lm_score *score)
{
    ct_corpus_options how = { .clean = ct_lm_clean(m), .known = ct_lm_vocab(m) };
    ct_corpus *c, *first;
    ct_status status;

    if (!cti_lm_given("ct_lm_evaluate", m))
        return ct_error();
    if (!score)
        return ct_raise(CT_ERR_ARGUMENT, "ct_lm_evaluate", "score is NULL");
    c = ct_corpus_new(text, how);
    how.max_tokens = 1;
    first = c ? ct_corpus_new(text, how) : NULL;
    status = first ? lm_score_corpus(m, c, first, world, score) : ct_error();
    cti_lm_world_end(world);
    ct_corpus_free(first);
    ct_corpus_free(c);
    return status;
}
