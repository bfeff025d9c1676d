/* SPDX-License-Identifier: MIT */
/* test_language_model.c - ct_lm: forward, generation, model files and bad files. */
#include "tensor/internal.h"
#include "tests/harness.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cotangent/autograd/ops/reduce.h>
#include <cotangent/autograd/ops/softmax.h>
#include <cotangent/autograd/ops/views.h>
#include <cotangent/autograd/params/params.h>
#include <cotangent/nn/init.h>
#include <cotangent/nn/loss.h>
#include <cotangent/train/language_model.h>

#include "tests/files.h"
#include "tests/test_language_model.h"

static const char prose[] =
    "The Time Traveller (for so it will be convenient to speak of him) was expounding a\n"
    "recondite matter to us. caf\xc3\xa9 caf\xe9 \xf0\x9f\x98\x80 His pale grey eyes shone and\n"
    "twinkled, and his usually pale face was flushed and animated.\n";

ct_lm *model_of(ct_clean clean, ct_token_kind tokens, ct_lm_options o)
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

ct_lm *small(void)
{
    return model_of(CT_CLEAN_TEXT, CT_TOKEN_KIND_CHAR,
                    (ct_lm_options){ .cell = CT_LM_CELL_GRU, .hidden_size = 12 });
}

/* ---- forward ---- */

ct_tensor *some_ids(const ct_lm *m, int64_t b, int64_t t)
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
        { { .cell = (ct_lm_cell)3 }, "cell is 3" },
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

/* Computes the n greedy characters after the prefix, with a forward over the whole text for
 * each. */
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
    /* the prefix is cleaned as the text was */
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
    other = (ct_lm_generate_options){ .top_k = 5, .seed = 1 }; /* a temperature of 0 is greedy */
    expect_texts(generate(m, other), generate(m, (ct_lm_generate_options){ 0 }), true);
    other.temperature = 1;
    expect_texts(generate(m, other), generate(m, (ct_lm_generate_options){ 0 }), false);
    expect_texts(generate(m, (ct_lm_generate_options){ .top_k = 1000, .temperature = 2 }),
                 generate(m, (ct_lm_generate_options){ .temperature = 2 }), true);
    expect_texts(generate(m, (ct_lm_generate_options){ .top_p = 1e-6, .temperature = 2 }),
                 generate(m, (ct_lm_generate_options){ 0 }), true);
    expect_texts(generate(m, (ct_lm_generate_options){ .top_p = 0.6, .temperature = 2 }),
                 generate(m, (ct_lm_generate_options){ .temperature = 2 }), false);
    ct_lm_free(m);
}
END_TEST

/* Draws the token after "the" many times and compares the frequencies with the probabilities. */
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
        { { .prefix = "a", .top_p = 1.5 }, "top_p is 1.5" },
        { { .prefix = "a", .stop_count = 1 }, "stop is NULL" },
        { { .prefix = "a", .banned_count = -1 }, "banned_count is -1" },
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

/* Tokens that end a text, and tokens that are not drawn. */
START_TEST(stop_and_banned)
{
    ct_lm *m = small();
    const ct_vocab *v = ct_lm_vocab(m);
    const int32_t ends[] = { ct_vocab_id(v, "e"), ct_vocab_id(v, " "), ct_vocab_unknown(v) };
    ct_lm_generate_options o = { .prefix = "the time", .count = 60, .temperature = 1.5 };
    char *whole = generate(m, o), *text;

    o.stop = ends;
    o.stop_count = 2;
    text = generate(m, o);
    ck_assert_int_eq(strlen(text), 8 + strcspn(whole + 8, "e "));
    ck_assert(strlen(text) < strlen(whole) && strncmp(text, whole, strlen(text)) == 0);
    harness_free(text);
    harness_free(whole);
    o.banned = ends;
    o.banned_count = 3; /* "<unk>" has five letters */
    text = generate(m, o);
    ck_assert_int_eq(strlen(text), 68);
    ck_assert_int_eq(strcspn(text + 8, "e "), 60);
    harness_free(text);
    ct_lm_free(m);
}
END_TEST

/* Texts of a batch are those of one at a time; a bad request fails alone. */
START_TEST(batches)
{
    const struct arrangement *a = &arrangements[_i];
    ct_lm *m = model_of(a->clean, a->tokens, a->options);
    ct_lm_request r[] = { { .prefix = "time traveller", .seed = 1 },
                          { .prefix = "him", .seed = 2, .count = 3 },
                          { .prefix = "", .seed = 3 },
                          { .prefix = "Time Traveller (for so it will be", .seed = 1 },
                          { .prefix = NULL },
                          { .prefix = "him", .seed = 3, .count = -1 },
                          { .prefix = "him", .seed = 0, .count = 40 } };
    static const char *const wrong[] = {
        NULL, NULL, "the prefix is empty", NULL, "the prefix is NULL", "max_tokens is -1"
    };
    ct_lm_generate_options o = { .count = 25, .temperature = 1.1, .top_p = 0.9 };
    int i;

    ct_set_portable(true);
    ck_assert(ct_lm_generate_batch(m, LENGTH(r), r, o) == CT_OK);
    for (i = 0; i < LENGTH(r); i++) {
        ct_lm_generate_options one = o;

        if (i < LENGTH(wrong) && wrong[i]) {
            ck_assert(r[i].status == CT_ERR_ARGUMENT && !r[i].text);
            ck_assert_msg(strstr(r[i].message, wrong[i]) != NULL, "'%s'", r[i].message);
            continue;
        }
        ck_assert(r[i].status == CT_OK && !*r[i].message);
        one.prefix = r[i].prefix;
        one.seed = r[i].seed;
        one.count = r[i].count ? r[i].count : o.count;
        expect_texts(r[i].text, ct_lm_generate_text(m, one), true);
    }
    ct_lm_free(m);
    ct_set_portable(false);
}
END_TEST

/* What concerns all requests, and each allocation that fails: all have the error, none a text. */
START_TEST(failed_batches)
{
    ct_lm *m = small();
    ct_lm_request r[] = { { .prefix = "time", .seed = 1 }, { .prefix = "", .seed = 2 } };
    ct_lm_generate_options o = { .count = 4, .temperature = 1 };
    bool all_good = false;
    int failed = 0, k;

    for (k = 1; !all_good; k++) {
        ct_memory_trim();
        fail_allocation(k);
        if (ct_lm_generate_batch(m, LENGTH(r), r, o) != CT_OK) {
            fail_nothing();
            ck_assert(!r[0].text && !r[1].text);
            if (allocations_seen > 1)
                ck_assert(r[0].status == CT_ERR_MEMORY && r[1].status == CT_ERR_MEMORY);
            expect_out_of_memory();
            failed++;
        }
        all_good = allocations_seen < k;
        fail_nothing();
        harness_free(r[0].text);
        r[0].text = NULL;
    }
    ck_assert_int_ge(failed, 10);
    o.top_p = 2;
    ck_assert(ct_lm_generate_batch(m, LENGTH(r), r, o) == CT_ERR_ARGUMENT);
    ck_assert(r[0].status == CT_ERR_ARGUMENT && !r[0].text && strstr(r[0].message, "top_p is 2"));
    expect_error(CT_ERR_ARGUMENT, "ct_lm_generate_batch", "top_p is 2");
    ct_lm_free(m);
}
END_TEST

/* A model as a decoder: beam search finds a text at least as likely as the greedy one. */
START_TEST(decoder)
{
    ct_lm *m = small();
    const ct_decoder d = ct_lm_decoder(m);
    ct_generation_row row = { 0 };
    ct_generation_options o = { .max_tokens = 12, .beams = 5, .length_penalty = CT_ZERO };
    ct_generation *g, *greedy;
    double logp[2] = { 0 };
    int64_t n;
    int i, k;

    row.prefix = ct_lm_encode(m, "the time", 8, &n, NULL);
    row.prefix_count = (int)n;
    g = ct_generation_new(&d, 1, &row, NULL, o);
    greedy = ct_generation_new(&d, 1, &row, NULL, (ct_generation_options){ .max_tokens = 12 });
    ck_assert_msg(g && greedy, "%s", ct_error_message());
    for (k = 0; k < 2; k++) {
        ct_generated got = ct_generation_get(k ? greedy : g, 0, 0);
        int32_t ids[32];
        ct_scope s = ct_scope_begin_inference();
        double *p;

        memcpy(ids, row.prefix, (size_t)n * sizeof *ids);
        memcpy(ids + n, got.ids, 12 * sizeof *ids);
        p = values_of(ct_log_softmax(
            ct_lm_forward(m, ct_from_data(ids, CT_SHAPE(1, n + 12), CT_I32, CT_CPU), NULL, NULL),
            2));
        for (i = 0; i < 12; i++)
            logp[k] += p[(n + i - 1) * ct_vocab_size(ct_lm_vocab(m)) + got.ids[i]];
        free(p);
        ck_assert(ct_scope_end(s) == CT_OK);
    }
    expect_close("score", ct_generation_get(g, 0, 0).score, logp[0], 1e-4);
    ck_assert(logp[0] >= logp[1] - 1e-4);
    ck_assert_int_eq(ct_lm_decoder(NULL).vocab, 0);
    harness_free((void *)(uintptr_t)row.prefix);
    ct_generation_free(g);
    ct_generation_free(greedy);
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

        ck_assert_msg(ct_lm_evaluate(m, text, NULL, &score) == CT_OK, "%s", ct_error_message());
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

/* A text that is read in chunks gives the same result as in one piece. */
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
    ck_assert(ct_lm_evaluate(m, text, NULL, &score) == CT_OK);
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
    ck_assert(ct_lm_evaluate(m, text, NULL, &score) == CT_ERR_SHAPE);
    expect_error(CT_ERR_SHAPE, "ct_lm_evaluate", "one token");
    ct_text_free(text);
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
    tcase_add_test(tc, stop_and_banned);
    tcase_add_loop_test(tc, batches, 0, LENGTH(arrangements));
    tcase_add_test(tc, failed_batches);
    tcase_add_test(tc, decoder);
    language_model_files_cases(suite);
    harness_pooled = true;
    return harness_run(suite);
}
