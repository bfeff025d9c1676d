/* test_language_model.c - the ready language model: forward, generation, its file and bad ones. */
#include "tensor/internal.h"

#include "tests/files.h"
#include "tests/harness.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cotangent/autograd/autograd.h>
#include <cotangent/autograd/ops/elementwise.h>
#include <cotangent/autograd/ops/reduce.h>
#include <cotangent/autograd/ops/softmax.h>
#include <cotangent/autograd/ops/views.h>
#include <cotangent/autograd/params/params.h>
#include <cotangent/nn/init.h>
#include <cotangent/nn/loss.h>
#include <cotangent/tensor/safetensors.h>
#include <cotangent/train/language_model.h>

static const char prose[] =
    "The Time Traveller (for so it will be convenient to speak of him) was expounding a\n"
    "recondite matter to us. caf\xc3\xa9 caf\xe9 \xf0\x9f\x98\x80 His pale grey eyes shone and\n"
    "twinkled, and his usually pale face was flushed and animated.\n";

/* A model whose weights are large enough for its tokens to differ in probability. */
static ct_lm *model_of(ct_clean clean, ct_token_kind tokens, ct_lm_options o)
{
    ct_corpus *c = new_corpus_of(prose, strlen(prose),
                                 (ct_corpus_options){ .clean = clean, .vocab.tokens = tokens });
    ct_lm *m = ct_lm_new(c, o);

    ck_assert_msg(m != NULL, "%s", ct_error_message());
    ct_params_init(ct_lm_params(m), ct_init_uniform(-0.7, 0.7), 5);
    ct_corpus_free(c);
    expect_ok();
    return m;
}

static ct_lm *small(void)
{
    return model_of(CT_CLEAN_TEXT, CT_TOKEN_KIND_CHAR,
                    (ct_lm_options){ .cell = CT_LM_CELL_GRU, .hidden_size = 12 });
}

/* ---- forward ---- */

static const struct arrangement {
    ct_clean clean;
    ct_token_kind tokens;
    ct_lm_options options;
} arrangements[] = {
    { CT_CLEAN_TEXT, CT_TOKEN_KIND_CHAR, { .cell = CT_LM_CELL_RNN, .hidden_size = 7 } },
    { CT_CLEAN_LINES,
      CT_TOKEN_KIND_CHAR,
      { .cell = CT_LM_CELL_LSTM, .hidden_size = 6, .num_layers = 3 } },
    { CT_CLEAN_NONE,
      CT_TOKEN_KIND_CHAR,
      { .cell = CT_LM_CELL_GRU, .hidden_size = 5, .dropout = 0.5 } },
    { CT_CLEAN_NONE,
      CT_TOKEN_KIND_BYTE,
      { .cell = CT_LM_CELL_GRU, .hidden_size = 8, .embedding_size = 3, .dropout = 0.25 } },
    { CT_CLEAN_LINES,
      CT_TOKEN_KIND_WORD,
      { .cell = CT_LM_CELL_LSTM, .hidden_size = 8, .embedding_size = 8, .tied = true } },
    { CT_CLEAN_NONE,
      CT_TOKEN_KIND_WORD,
      { .cell = CT_LM_CELL_RNN,
        .hidden_size = 4,
        .embedding_size = 5,
        .nonlinearity = CT_NONLINEARITY_RELU } },
    { CT_CLEAN_TEXT,
      CT_TOKEN_KIND_CHAR,
      { .cell = CT_LM_CELL_LSTM,
        .hidden_size = 9,
        .layer_norm = true,
        .recurrent_dropout = 0.5,
        .num_layers = 2,
        .dropout = 0.125 } },
    { CT_CLEAN_TEXT,
      CT_TOKEN_KIND_CHAR,
      { .cell = CT_LM_CELL_RNN, .hidden_size = 6, .dialect = CT_DIALECT_GLUON } },
    { CT_CLEAN_TEXT,
      CT_TOKEN_KIND_CHAR,
      { .cell = CT_LM_CELL_LSTM, .hidden_size = 6, .dialect = CT_DIALECT_KERAS } },
    { CT_CLEAN_TEXT,
      CT_TOKEN_KIND_CHAR,
      { .cell = CT_LM_CELL_GRU, .hidden_size = 6, .dialect = CT_DIALECT_FLAX } },
};

/* ids (b, t) below the size of the vocabulary, of the innermost scope */
static ct_tensor *some_ids(const ct_lm *m, int64_t b, int64_t t)
{
    ct_generator g = ct_generator_stream(ct_generator_from_seed(2), "ids");
    int32_t ids[64];
    int64_t i;

    for (i = 0; i < b * t; i++)
        ids[i] = (int32_t)ct_random_below(&g, (uint64_t)ct_vocab_size(ct_lm_vocab(m)));
    return ct_from_data(ids, CT_SHAPE(b, t), CT_I32, CT_CPU);
}

START_TEST(steps_are_the_forward)
{
    const struct arrangement *a = &arrangements[_i];
    ct_lm *m = model_of(a->clean, a->tokens, a->options);
    ct_scope s = ct_scope_begin_no_grad();
    ct_state *state = ct_recurrent_begin_state(ct_lm_recurrent(m), 3), *next;
    ct_tensor *ids = some_ids(m, 3, 6), *all;
    int t;

    ct_params_train(ct_lm_params(m), false);
    all = ct_lm_forward(m, ids, NULL, NULL);
    ck_assert_int_eq(ct_size(all, 0), 3);
    ck_assert_int_eq(ct_size(all, 1), 6);
    ck_assert_int_eq(ct_size(all, 2), ct_vocab_size(ct_lm_vocab(m)));
    for (t = 0; t < 6; t++) {
        ct_tensor *step = ct_lm_step(m, ct_select(ids, 1, t), state, &next);
        double *want = values_of(ct_select(all, 1, t));

        expect_values("logits", step, want, (size_t)ct_numel(step), 1e-5);
        free(want);
        ct_state_carry(state, next);
    }
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_state_free(state);
    ct_lm_free(m);
}
END_TEST

START_TEST(bad_options)
{
    static const struct {
        ct_lm_options options;
        const char *word;
    } cases[] = {
        { { .cell = (ct_lm_cell)3 }, "3 is not a cell" },
        { { .hidden_size = -1 }, "hidden_size is -1" },
        { { .embedding_size = -4 }, "embedding_size is -4" },
        { { .tied = true }, "tied ... embedding_size is 0" },
        { { .hidden_size = 4, .embedding_size = 5, .tied = true }, "tied ... embedding_size is 5" },
        { { .dropout = 1 }, "dropout is 1" },
        { { .dropout = NAN }, "dropout is nan" },
    };
    ct_corpus *c = new_corpus_of(
        prose, strlen(prose),
        (ct_corpus_options){ .clean = CT_CLEAN_TEXT, .vocab.tokens = CT_TOKEN_KIND_CHAR });
    int i;

    for (i = 0; i < LENGTH(cases); i++) {
        ck_assert_ptr_null(ct_lm_new(c, cases[i].options));
        expect_error(CT_ERR_ARGUMENT, "ct_lm_new", cases[i].word);
    }
    ck_assert_ptr_null(ct_lm_new(c, (ct_lm_options){ .dialect = (ct_dialect)77 }));
    ck_assert(ct_error() == CT_ERR_ARGUMENT);
    ct_error_clear();
    ck_assert_ptr_null(ct_lm_new(NULL, (ct_lm_options){ 0 }));
    expect_error(CT_ERR_ARGUMENT, "ct_lm_new", "corpus is NULL");
    ct_corpus_free(c);
}
END_TEST

/* ---- generation ---- */

/* The n greedy characters after the prefix, a forward over the whole text for each. */
static char *greedy_by_forward(ct_lm *m, const char *prefix, int n)
{
    int32_t ids[100];
    int64_t count = ct_vocab_encode(ct_lm_vocab(m), prefix, strlen(prefix), ids, NULL);
    int i;

    for (i = 0; i < n; i++, count++) {
        ct_scope s = ct_scope_begin_no_grad();
        ct_tensor *x = ct_from_data(ids, CT_SHAPE(1, count), CT_I32, CT_CPU);
        ct_tensor *last = ct_select(ct_lm_forward(m, x, NULL, NULL), 1, -1);

        ids[count] = (int32_t)ct_item(ct_argmax(last, 1, false));
        ck_assert(ct_scope_end(s) == CT_OK);
    }
    return ct_vocab_decode(ct_lm_vocab(m), ids, (size_t)count);
}

static char *generate(ct_lm *m, ct_lm_generate_options o)
{
    char *text;

    o.prefix = o.prefix ? o.prefix : "the time";
    o.count = o.count ? o.count : 40;
    text = ct_lm_generate_text(m, o);
    ck_assert_msg(text != NULL, "%s", ct_error_message());
    return text;
}

static void expect_texts(char *got, char *want, bool same)
{
    ck_assert_msg((strcmp(got, want) == 0) == same, "'%s' and '%s'", got, want);
    harness_free(got);
    harness_free(want);
}

START_TEST(greedy)
{
    ct_lm *m = small();
    char *text;

    expect_texts(generate(m, (ct_lm_generate_options){ 0 }), greedy_by_forward(m, "the time", 40),
                 true);
    expect_texts(generate(m, (ct_lm_generate_options){ .top_k = 1, .temperature = 5, .seed = 9 }),
                 generate(m, (ct_lm_generate_options){ 0 }), true);
    expect_texts(generate(m, (ct_lm_generate_options){ .top_k = 1 }),
                 generate(m, (ct_lm_generate_options){ 0 }), true);
    expect_texts(generate(m, (ct_lm_generate_options){ .temperature = 1e-300, .seed = 3 }),
                 generate(m, (ct_lm_generate_options){ 0 }), true);
    /* the prefix is read as the text was */
    expect_texts(generate(m, (ct_lm_generate_options){ .prefix = "The -- TIME" }),
                 greedy_by_forward(m, "the time", 40), true);
    text = ct_lm_generate_text(m, (ct_lm_generate_options){ .prefix = "x" });
    ck_assert_str_eq(text, "x");
    harness_free(text);
    ck_assert(ct_params_is_training(ct_lm_params(m)));
    ct_lm_free(m);
}
END_TEST

START_TEST(sampling)
{
    ct_lm *m = small();
    ct_lm_generate_options hot = { .temperature = 1.5, .seed = 1 }, other = hot;

    expect_texts(generate(m, hot), generate(m, hot), true);
    other.seed = 2;
    expect_texts(generate(m, hot), generate(m, other), false);
    other = (ct_lm_generate_options){ .top_k = 5, .seed = 1 }; /* the temperature is 0: greedy */
    expect_texts(generate(m, other), generate(m, (ct_lm_generate_options){ 0 }), true);
    other.temperature = 1;
    expect_texts(generate(m, other), generate(m, (ct_lm_generate_options){ 0 }), false);
    expect_texts(generate(m, (ct_lm_generate_options){ .top_k = 1000, .temperature = 2 }),
                 generate(m, (ct_lm_generate_options){ .temperature = 2 }), true);
    ct_lm_free(m);
}
END_TEST

/* Draws the token after "the" many times: how often each comes is how probable it is. */
static void frequencies(double temperature, int64_t top_k)
{
    enum { DRAWS = 4000 };
    ct_lm *m = small();
    const ct_vocab *v = ct_lm_vocab(m);
    int64_t n = ct_vocab_size(v);
    int32_t ids[3];
    double expected[64], sorted[64], total = 0, chi = 0;
    int seen[64] = { 0 }, kinds = 0, i, j;
    ct_scope s = ct_scope_begin_no_grad();
    double *logits;

    ct_vocab_encode(v, "the", 3, ids, NULL);
    logits = values_of(ct_select(
        ct_lm_forward(m, ct_from_data(ids, CT_SHAPE(1, 3), CT_I32, CT_CPU), NULL, NULL), 1, -1));
    ck_assert(ct_scope_end(s) == CT_OK);
    for (i = 0; i < n; i++)
        sorted[i] = logits[i];
    for (i = 0; i < n; i++)
        for (j = i + 1; j < n; j++)
            if (sorted[j] > sorted[i]) {
                double swap = sorted[i];

                sorted[i] = sorted[j];
                sorted[j] = swap;
            }
    for (i = 0; i < n; i++) {
        bool kept = !top_k || logits[i] >= sorted[top_k - 1];

        expected[i] = kept ? exp(logits[i] / temperature) : 0;
        total += expected[i];
    }
    for (i = 0; i < DRAWS; i++) {
        char *text = generate(m, (ct_lm_generate_options){ .prefix = "the",
                                                           .count = 1,
                                                           .temperature = temperature,
                                                           .top_k = top_k,
                                                           .seed = (uint64_t)i });

        seen[ct_vocab_id(v, text + 3)]++;
        harness_free(text);
    }
    for (i = 0; i < n; i++) {
        double want = DRAWS * expected[i] / total;

        if (want < 1e-9)
            ck_assert_msg(seen[i] == 0, "token %d came %d times", i, seen[i]);
        else if (want >= 5) {
            chi += (seen[i] - want) * (seen[i] - want) / want;
            kinds++;
        }
    }
    ck_assert_int_ge(kinds, 3);
    /* the mean of chi squared is kinds - 1; 6 standard deviations above it */
    ck_assert_msg(chi < kinds + 6 * sqrt(2.0 * kinds), "chi squared %g of %d", chi, kinds);
    free(logits);
    ct_lm_free(m);
}

START_TEST(probabilities)
{
    frequencies(1, 0);
    frequencies(0.5, 4);
    frequencies(3, 10);
}
END_TEST

/* ---- streaming ---- */

typedef struct listener {
    char all[4000];
    size_t size;
    int calls, stop_after;
} listener;

static bool listen(void *context, const char *bytes, size_t size)
{
    listener *l = context;

    ck_assert(size > 0 && l->size + size < sizeof l->all);
    memcpy(l->all + l->size, bytes, size);
    l->size += size;
    return ++l->calls != l->stop_after;
}

START_TEST(streams)
{
    const struct arrangement *a = &arrangements[_i];
    ct_lm *m = model_of(a->clean, a->tokens, a->options);
    listener l = { .stop_after = -1 };
    ct_lm_generate_options o = { .prefix = "time traveller",
                                 .count = 30,
                                 .temperature = 1,
                                 .seed = 4,
                                 .emit = listen,
                                 .context = &l };
    char *text = ct_lm_generate_text(m, o);

    ck_assert_int_eq(l.calls, 0);
    ck_assert(ct_lm_generate(m, o) == CT_OK);
    l.all[l.size] = '\0';
    ck_assert_str_eq(text, l.all);
    if (a->tokens != CT_TOKEN_KIND_WORD)
        ck_assert_int_eq(l.calls, 14 + 30);
    harness_free(text);
    l = (listener){ .stop_after = 20 };
    ck_assert(ct_lm_generate(m, o) == CT_OK);
    ck_assert_int_eq(l.calls, 20);
    ct_lm_free(m);
}
END_TEST

START_TEST(bad_generation)
{
    static const struct {
        ct_lm_generate_options options;
        const char *word;
    } cases[] = {
        { { .count = 3 }, "prefix is NULL" },
        { { .prefix = "" }, "prefix ... token" },
        { { .prefix = "a", .count = -1 }, "count is -1" },
        { { .prefix = "a", .top_k = -2 }, "top_k is -2" },
        { { .prefix = "a", .temperature = -1 }, "temperature is -1" },
        { { .prefix = "a", .temperature = NAN }, "temperature is nan" },
        { { .prefix = "a", .temperature = INFINITY }, "temperature is inf" },
    };
    ct_lm *m = small();
    ct_scope s;
    int i;

    for (i = 0; i < LENGTH(cases); i++) {
        ck_assert_ptr_null(ct_lm_generate_text(m, cases[i].options));
        expect_error(CT_ERR_ARGUMENT, "ct_lm_generate", cases[i].word);
    }
    ck_assert(ct_lm_generate(NULL, cases[1].options) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_lm_generate", "m is NULL");
    s = ct_scope_begin_no_grad();
    ct_fill(ct_param_value(ct_params_get(ct_lm_params(m), "linear.bias")), NAN);
    ck_assert(ct_scope_end(s) == CT_OK);
    ck_assert_ptr_null(
        ct_lm_generate_text(m, (ct_lm_generate_options){ .prefix = "a", .count = 2 }));
    expect_error(CT_ERR_NUMERIC, "ct_lm_generate", "finite");
    ct_lm_free(m);
}
END_TEST

/* ---- evaluation ---- */

START_TEST(evaluation)
{
    static const struct {
        ct_clean clean;
        ct_token_kind tokens;
        const char *text;
        int64_t count, unknown, characters, bytes;
    } cases[] = {
        { CT_CLEAN_TEXT, CT_TOKEN_KIND_CHAR, "The eyes, shone", 13, 0, 13, 13 },
        { CT_CLEAN_NONE, CT_TOKEN_KIND_CHAR, "zaf\xc3\xa9 \xf0\x9f\x98\x80", 5, 0, 5, 9 },
        { CT_CLEAN_NONE, CT_TOKEN_KIND_CHAR, "QQuiz", 4, 2, 4, 4 },
        { CT_CLEAN_NONE, CT_TOKEN_KIND_BYTE, "caf\xc3\xa9!", 5, 0, 4, 5 },
        { CT_CLEAN_NONE, CT_TOKEN_KIND_WORD, "pale  faces of him", 3, 2, 14, 14 },
    };
    int i;

    for (i = 0; i < LENGTH(cases); i++) {
        ct_lm *m = model_of(cases[i].clean, cases[i].tokens,
                            (ct_lm_options){ .hidden_size = 8, .dropout = 0.5 });
        ct_text *text = ct_text_new_from_bytes(cases[i].text, strlen(cases[i].text), "test");
        ct_lm_score score;
        double nats = 0;
        int64_t n, t;
        int32_t *ids;
        ct_scope s;
        ct_tensor *logp;

        ck_assert_msg(ct_lm_evaluate(m, text, &score) == CT_OK, "%s", ct_error_message());
        ck_assert(ct_params_is_training(ct_lm_params(m)));
        ids = ct_lm_encode(m, cases[i].text, strlen(cases[i].text), &n, NULL);
        s = ct_scope_begin_no_grad();
        ct_params_train(ct_lm_params(m), false);
        logp = ct_log_softmax(
            ct_lm_forward(m, ct_from_data(ids, CT_SHAPE(1, n), CT_I32, CT_CPU), NULL, NULL), 2);
        for (t = 0; t + 1 < n; t++)
            nats -= ct_item(ct_select(ct_select(ct_select(logp, 0, 0), 0, t), 0, ids[t + 1]));
        ck_assert(ct_scope_end(s) == CT_OK);
        ck_assert_int_eq(score.tokens, cases[i].count);
        ck_assert_int_eq(score.unknown, cases[i].unknown);
        ck_assert_int_eq(score.characters, cases[i].characters);
        ck_assert_int_eq(score.bytes, cases[i].bytes);
        expect_close("loss", score.loss, nats / (double)(n - 1), 1e-5);
        expect_close("perplexity", score.perplexity, exp(score.loss), 1e-12 * score.perplexity);
        expect_close("bits", score.bits_per_character, nats / log(2) / (double)cases[i].characters,
                     1e-4);
        expect_close("bits", score.bits_per_byte, nats / log(2) / (double)cases[i].bytes, 1e-4);
        harness_free(ids);
        ct_text_free(text);
        ct_lm_free(m);
    }
}
END_TEST

/* A text read in chunks gives what it gives in one piece. */
START_TEST(long_evaluation)
{
    ct_lm *m = small();
    char *long_text = malloc(2000);
    ct_text *text;
    ct_lm_score score;
    double want;
    ct_scope s;
    int64_t n;
    int32_t *ids;
    int i;

    for (i = 0; i < 1999; i++)
        long_text[i] = (char)('a' + i * i % 23);
    long_text[1999] = '\0';
    text = ct_text_new_from_bytes(long_text, 1999, "test");
    ck_assert(ct_lm_evaluate(m, text, &score) == CT_OK);
    ck_assert_int_eq(score.tokens, 1998);
    ids = ct_lm_encode(m, long_text, 1999, &n, NULL);
    s = ct_scope_begin_no_grad();
    want = ct_item(ct_cross_entropy(
        ct_lm_forward(m, ct_from_data(ids, CT_SHAPE(1, 1998), CT_I32, CT_CPU), NULL, NULL),
        ct_from_data(ids + 1, CT_SHAPE(1, 1998), CT_I32, CT_CPU)));
    ck_assert(ct_scope_end(s) == CT_OK);
    expect_close("loss", score.loss, want, 1e-5);
    harness_free(ids);
    free(long_text);
    ct_text_free(text);
    text = ct_text_new_from_bytes("a", 1, "test");
    ck_assert(ct_lm_evaluate(m, text, &score) == CT_ERR_SHAPE);
    expect_error(CT_ERR_SHAPE, "ct_lm_evaluate", "one token");
    ct_text_free(text);
    ct_lm_free(m);
}
END_TEST

/* ---- files ---- */

#define FILE_NAME "model.safetensors"

/* What two models give for the same ids, to the bit. */
static void expect_same_logits(ct_lm *a, ct_lm *b)
{
    ct_scope s = ct_scope_begin_no_grad();
    double *x, *y;
    int64_t n, i;

    ct_params_train(ct_lm_params(a), false);
    ct_params_train(ct_lm_params(b), false);
    x = values_of(ct_lm_forward(a, some_ids(a, 2, 5), NULL, NULL));
    y = values_of(ct_lm_forward(b, some_ids(b, 2, 5), NULL, NULL));
    n = 10 * (int64_t)ct_vocab_size(ct_lm_vocab(a));
    for (i = 0; i < n; i++)
        ck_assert_msg(x[i] == y[i], "logit %d: %.9g and %.9g", (int)i, x[i], y[i]);
    free(x);
    free(y);
    ck_assert(ct_scope_end(s) == CT_OK);
}

START_TEST(round_trip)
{
    const struct arrangement *a = &arrangements[_i];
    ct_lm *m = model_of(a->clean, a->tokens, a->options), *back;
    char *before, *after;

    ck_assert(ct_lm_note(m, "perplexity", 1.25) == CT_OK);
    ck_assert(ct_lm_note_text(m, "optimizer", "sgd \xc3\xa9") == CT_OK);
    ck_assert(ct_lm_save(m, FILE_NAME) == CT_OK);
    back = ct_lm_load(FILE_NAME, CT_CPU);
    ck_assert_msg(back != NULL, "%s", ct_error_message());
    before = ct_lm_describe(m);
    after = ct_lm_describe(back);
    ck_assert_str_eq(before, after);
    ck_assert_str_eq(ct_lm_corpus_sha256(m), ct_lm_corpus_sha256(back));
    ck_assert(ct_lm_clean(back) == a->clean);
    ck_assert(ct_vocab_kind(ct_lm_vocab(back)) == a->tokens);
    expect_same_logits(m, back);
    harness_free(before);
    harness_free(after);
    ck_assert_int_eq(ct_params_numel(ct_lm_params(m)), ct_params_numel(ct_lm_params(back)));
    ct_lm_free(back);
    ct_lm_free(m);
}
END_TEST

START_TEST(notes)
{
    ct_lm *m = small();
    char *text;

    ck_assert(ct_lm_note(m, "epochs", 3) == CT_OK && ct_lm_note(m, "epochs", 4) == CT_OK);
    text = ct_lm_describe(m);
    ck_assert_msg(strstr(text, "\"training\":{\"epochs\":4.0}") != NULL, "%s", text);
    harness_free(text);
    ck_assert(ct_lm_note(m, "loss", NAN) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_lm_note", "finite");
    ck_assert(ct_lm_note_text(m, "name", NULL) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_lm_note_text", "finite");
    ck_assert(ct_lm_note_text(m, "name", "caf\xe9 \xc3\xa9") == CT_OK);
    text = ct_lm_describe(m);
    ck_assert_msg(strstr(text, "\"name\":\"caf? \xc3\xa9\"}") != NULL, "%s", text);
    harness_free(text);
    ck_assert(ct_lm_note(m, NULL, 1) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_lm_note", "what is NULL");
    ck_assert(ct_lm_note(NULL, "x", 1) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_lm_note", "m is NULL");
    ct_lm_free(m);
}
END_TEST

/* Writes the model's tensors, or all but one, and perhaps another, under a description. */
static void write_model(const ct_lm *m, const char *description, const char *left_out,
                        const char *extra)
{
    ct_scope s = ct_scope_begin();
    const char *names[16];
    ct_tensor *tensors[16];
    int count = 0, i;

    for (i = 0; i < ct_params_count(ct_lm_params(m)); i++) {
        ct_param *p = ct_params_at(ct_lm_params(m), i);

        if (left_out && strcmp(ct_param_name(p), left_out) == 0)
            continue;
        names[count] = ct_param_name(p);
        tensors[count++] = ct_param_value(p);
    }
    if (extra) {
        names[count] = extra;
        tensors[count++] = ct_zeros(CT_SHAPE(2), CT_F32, CT_CPU);
    }
    ck_assert(ct_safetensors_write(FILE_NAME, count, names, tensors,
                                   (ct_metadata[]){ { description ? "cotangent.model" : "other",
                                                      description ? description : "x" },
                                                    { NULL, NULL } }) == CT_OK);
    ck_assert(ct_scope_end(s) == CT_OK);
}

/* The model file is refused, by ct_lm_load or by what it calls. */
static void load_refused(const char *function, const char *word)
{
    ck_assert_msg(ct_lm_load(FILE_NAME, CT_CPU) == NULL, "it was loaded, not '%s'", word);
    expect_error(CT_ERR_FORMAT, function, word);
}

/* Fields of the description, each with another value; NULL: taken out. */
START_TEST(malformed_descriptions)
{
    static const struct {
        const char *object, *key, *json, *word;
    } cases[] = {
#define VOCABULARY "!" /* an error of ct_vocab_new_from_tokens */
        { NULL, "type", NULL, "\"type\" is missing" },
        { NULL, "type", "\"image_model\"", "\"image_model\"" },
        { NULL, "type", "3", "\"type\" ... string" },
        { NULL, "version", "2", "\"version\" ... 2" },
        { NULL, "version", "\"1\"", "\"version\" ... number" },
        { NULL, "model", NULL, "\"model\" is missing" },
        { NULL, "model", "[]", "\"model\" ... object" },
        { "model", "cell", "\"mgu\"", "\"cell\" ... \"mgu\"" },
        { "model", "cell", "\"lstm\"", "rnn.weight_ih_l0 ... [48,25]" },
        { "model", "hidden_size", "0", "\"hidden_size\" ... 0" },
        { "model", "hidden_size", "-5", "\"hidden_size\" ... -5" },
        { "model", "hidden_size", "12.5", "\"hidden_size\" ... number" },
        { "model", "hidden_size", "2147483647", "rnn.weight_ih_l0 ... [6442450941,25]" },
        { "model", "hidden_size", "9223372036854775807",
          "\"hidden_size\" ... 9223372036854775807" },
        { "model", "num_layers", "2", "rnn.weight_ih_l1" },
        { "model", "num_layers", "4096", "rnn.weight_ih_l1" },
        { "model", "num_layers", "4097", "\"num_layers\" ... 4097" },
        { "model", "embedding_size", "2147483647", "embedding.weight" },
        { "model", "tied", "true", "tied" },
        { "model", "tied", "1", "\"tied\" ... true" },
        { "model", "dropout", "1", "\"dropout\" ... 1" },
        { "model", "dropout", "\"0\"", "\"dropout\" ... number" },
        { "model", "recurrent_dropout", "-0.5", "\"recurrent_dropout\" ... -0.5" },
        { "model", "layer_norm", "true", "rnn.ln_ih_l0" },
        { "model", "nonlinearity", "\"tanh\"", "nonlinearity" },
        { "model", "nonlinearity", "\"sine\"", "\"nonlinearity\" ... \"sine\"" },
        { "model", "dialect", "\"french\"", "\"dialect\" ... \"french\"" },
        { "model", "dialect", "\"flax\"", "\"rnn.bias_hh_l0\"" },
        { NULL, "tokens", "\"syllable\"", "\"tokens\" ... \"syllable\"" },
        { NULL, "tokens", "\"byte\"", VOCABULARY "token 0 ... twice" },
        { NULL, "clean", "\"bleach\"", "\"clean\" ... \"bleach\"" },
        { NULL, "vocabulary", NULL, "\"vocabulary\" is missing" },
        { NULL, "vocabulary", "{}", "\"vocabulary\" ... array" },
        { NULL, "vocabulary", "[]", VOCABULARY "<unk>" },
        { NULL, "vocabulary", "[\"<unk>\", \"a\"]", "rnn.weight_ih_l0 ... [36,2]" },
        { NULL, "vocabulary", "[\"<unk>\", \"\"]", "token 1 ... bytes" },
        { NULL, "vocabulary", "[\"<unk>\", 7]", "token 1 ... bytes" },
        { NULL, "vocabulary", "[[300]]", "token 0 ... bytes" },
        { NULL, "vocabulary", "[[97, 0]]", "token 0 ... bytes" },
        { NULL, "vocabulary", "[[]]", "token 0 ... bytes" },
        { NULL, "vocabulary", "[[\"a\"]]", "token 0 ... bytes" },
        { NULL, "vocabulary", "[\"<unk>\", \"a\", [97]]", VOCABULARY "token 2 ... twice" },
        { NULL, "corpus", NULL, "\"corpus\" is missing" },
        { "corpus", "sha256", "\"abc\"", "SHA-256" },
        { "corpus", "tokens", "-1", "\"tokens\" ... -1" },
        { NULL, "training", "[]", "\"training\" ... object" },
        { NULL, "training", "{\"x\": {}}", "note" },
    };
    ct_lm *m = small();
    char *good = ct_lm_describe(m);
    int i;

    for (i = 0; i < LENGTH(cases); i++) {
        json_t *d = json_loads(good, 0, NULL), *value = NULL, *in;
        char *bad;

        in = cases[i].object ? json_object_get(d, cases[i].object) : d;
        ck_assert_msg(json_object_get(in, cases[i].key) != NULL, "case %d", i);
        if (cases[i].json)
            value = json_loads(cases[i].json, JSON_DECODE_ANY, NULL);
        if (value)
            json_object_set_new(in, cases[i].key, value);
        else
            json_object_del(in, cases[i].key);
        bad = json_dumps(d, 0);
        json_decref(d);
        write_model(m, bad, NULL, NULL);
        harness_free(bad);
        fail_allocation(0); /* counts */
        if (cases[i].word[0] == VOCABULARY[0])
            load_refused("ct_vocab_new_from_tokens", cases[i].word + 1);
        else
            load_refused("ct_lm_load", cases[i].word);
        ck_assert_msg(largest_seen < 1000000, "case %d asked for %zu bytes", i, largest_seen);
        fail_nothing();
    }
    harness_free(good);
    ct_lm_free(m);
}
END_TEST

START_TEST(malformed_files)
{
    static const struct {
        const char *description, *word;
    } cases[] = {
        { NULL, "is not a model file (its metadata have no \"cotangent.model\")" },
        { "", "metadata" },
        { "{", "metadata" },
        { "[]", "metadata" },
        { "{\"type\": \"language_model\", \"type\": \"language_model\"}", "metadata" },
        { "{}", "\"type\" is missing" },
    };
    ct_lm *m = small(), *back;
    char *good = ct_lm_describe(m);
    int i;

    for (i = 0; i < LENGTH(cases); i++) {
        write_model(m, cases[i].description, NULL, NULL);
        load_refused("ct_lm_load", cases[i].word);
    }
    write_model(m, good, "linear.bias", NULL);
    load_refused("ct_lm_load", "linear.bias");
    write_model(m, good, NULL, "optimizer.step");
    load_refused("ct_lm_load", "\"optimizer.step\"");
    write_model(m, good, NULL, "training.adam.step"); /* a checkpoint's */
    back = ct_lm_load(FILE_NAME, CT_CPU);
    ck_assert_msg(back != NULL, "%s", ct_error_message());
    expect_same_logits(m, back);
    ct_lm_free(back);

    write_bytes("text", "some text", 9);
    ck_assert_ptr_null(ct_lm_load("text", CT_CPU));
    ck_assert(ct_error() == CT_ERR_FORMAT);
    ct_error_clear();
    ck_assert_ptr_null(ct_lm_load("absent", CT_CPU));
    ck_assert(ct_error() == CT_ERR_IO);
    ct_error_clear();
    harness_free(good);
    ct_lm_free(m);
}
END_TEST

/* Random bytes of the header changed: loaded or refused, never worse, and never much memory. */
START_TEST(damaged_files)
{
    ct_generator g = ct_generator_stream(ct_generator_from_seed(8), "damage");
    ct_lm *m = model_of(CT_CLEAN_NONE, CT_TOKEN_KIND_CHAR, (ct_lm_options){ .hidden_size = 3 }),
          *back;
    int round, rounds = harness_count(300, 20000), loaded = 0;
    char *bytes, *copy;
    size_t size, header;

    ck_assert(ct_lm_save(m, FILE_NAME) == CT_OK);
    bytes = read_bytes(FILE_NAME, &size);
    copy = malloc(size);
    header = (unsigned char)bytes[0] | (size_t)(unsigned char)bytes[1] << 8;
    ck_assert(header + 8 < size);
    for (round = 0; round < rounds; round++) {
        int changes = 1 + (int)ct_random_below(&g, 3), i;

        memcpy(copy, bytes, size);
        for (i = 0; i < changes; i++)
            copy[8 + ct_random_below(&g, header)] =
                round % 2 ? (char)ct_random_below(&g, 256)
                          : "0123456789{}[]\",:-e"[ct_random_below(&g, 20)];
        write_bytes("damaged", copy, size);
        fail_allocation(0);
        back = ct_lm_load("damaged", CT_CPU);
        ck_assert_msg(largest_seen < 1000000, "asked for %zu bytes", largest_seen);
        fail_nothing();
        ck_assert((back != NULL) == (ct_ok() != 0));
        ct_error_clear();
        loaded += back != NULL;
        ct_lm_free(back);
    }
    ck_assert_msg(loaded > 0 && loaded < rounds, "%d of %d were loaded", loaded, rounds);
    free(copy);
    free(bytes);
    ct_lm_free(m);
}
END_TEST

/* Each allocation of a load fails in turn, and each of jansson's of a save. (jansson itself asserts
 * where it has no memory for a string with escapes that it reads.) */
START_TEST(memory_fails)
{
    ct_lm *m = model_of(CT_CLEAN_NONE, CT_TOKEN_KIND_CHAR, (ct_lm_options){ .hidden_size = 3 }),
          *back;
    int k, failed = 0;

    ck_assert(ct_lm_save(m, FILE_NAME) == CT_OK);
    for (k = 1;; k += k < 60 ? 1 : 7) {
        fail_allocation(k);
        back = ct_lm_load(FILE_NAME, CT_CPU);
        fail_nothing();
        ck_assert((back != NULL) == (ct_ok() != 0));
        ct_lm_free(back);
        ct_error_clear();
        if (back && allocations_seen < k)
            break;
        failed += !back;
    }
    ck_assert_int_ge(failed, 40);
    for (failed = 0, k = 1;; k++) {
        ct_status status;

        fail_json_allocation(k);
        status = ct_lm_save(m, FILE_NAME);
        fail_nothing();
        ck_assert(status == ct_error());
        ct_error_clear();
        if (json_seen < k)
            break;
        failed += status != CT_OK;
    }
    ck_assert_int_ge(failed, 20);
    back = ct_lm_load(FILE_NAME, CT_CPU);
    ck_assert_ptr_nonnull(back);
    ct_lm_free(back);
    ct_lm_free(m);
}
END_TEST

START_TEST(card)
{
    ct_lm *m = model_of(CT_CLEAN_TEXT, CT_TOKEN_KIND_CHAR,
                        (ct_lm_options){ .cell = CT_LM_CELL_LSTM,
                                         .hidden_size = 8,
                                         .embedding_size = 8,
                                         .tied = true,
                                         .num_layers = 2,
                                         .dropout = 0.25 });
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    ct_lm_note_text(m, "name", "a\033[1mb");
    ct_lm_note(m, "perplexity", 1.5);
    ct_lm_print(m, out);
    fclose(out);
    ck_assert_msg(strstr(text, "language model: lstm, 8 hidden units, 2 layers, embedding of 8, "
                               "tied to the output\n") == text,
                  "%s", text);
    ck_assert_msg(strstr(text, "  name: a?[1mb\n  perplexity: 1.5\n") != NULL, "%s", text);
    ck_assert_msg(strstr(text, "tokens: char, 25 in the vocabulary; cleaning: text\n") != NULL,
                  "%s", text);
    free(text);
    ct_lm_free(m);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("language_model");
    TCase *tc = harness_case(suite, "model");

    tcase_add_loop_test(tc, steps_are_the_forward, 0, LENGTH(arrangements));
    tcase_add_test(tc, bad_options);
    tcase_add_test(tc, evaluation);
    tcase_add_test(tc, long_evaluation);
    tc = harness_case(suite, "generation");
    tcase_add_test(tc, greedy);
    tcase_add_test(tc, sampling);
    tcase_add_test(tc, probabilities);
    tcase_add_loop_test(tc, streams, 0, LENGTH(arrangements));
    tcase_add_test(tc, bad_generation);
    tc = harness_case(suite, "files");
    tcase_add_checked_fixture(tc, files_setup, files_teardown);
    tcase_add_loop_test(tc, round_trip, 0, LENGTH(arrangements));
    tcase_add_test(tc, notes);
    tcase_add_test(tc, malformed_descriptions);
    tcase_add_test(tc, malformed_files);
    tcase_add_test(tc, damaged_files);
    tcase_add_test(tc, memory_fails);
    tcase_add_test(tc, card);
    harness_pooled = true;
    return harness_run(suite);
}
