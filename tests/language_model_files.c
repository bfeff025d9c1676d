/* SPDX-License-Identifier: MIT */
/* language_model_files.c - files of language models, good and bad ones. */
#define _GNU_SOURCE /* memmem */
#include "tensor/internal.h"
#include "tests/comma_locale.h"
#include "tests/files.h"
#include "tests/flips.h"
#include "tests/harness.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cotangent/autograd/params/params.h>
#include <cotangent/tensor/safetensors.h>
#include <cotangent/train/language_model.h>

#include "tests/test_language_model.h"

/* ---- files ---- */

#define FILE_NAME "model.safetensors"

/* Checks that two models give the same logits for the same ids, to the bit. */
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
    ck_assert(ct_params_is_training(ct_lm_params(m)));
    ck_assert(!ct_params_is_training(ct_lm_params(back)));
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
    ck_assert_msg(strstr(text, "\"training\":{\"epochs\":4}") != NULL, "%s", text);
    harness_free(text);
    ck_assert(ct_lm_note(m, "loss", NAN) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_lm_note", "finite");
    ck_assert(ct_lm_note_text(m, "name", NULL) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_lm_note_text", "text is NULL");
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

/* Writes the model's tensors and a description. May leave out one tensor and add another. */
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

/* Checks that ct_lm_load, or a function that it calls, refuses the file. */
static void load_refused(const char *function, const char *word)
{
    ck_assert_msg(ct_lm_load(FILE_NAME, CT_CPU) == NULL, "it was loaded, not '%s'", word);
    expect_error(CT_ERR_FORMAT, function, word);
}

/* Returns the end of the JSON value at s. */
static const char *value_end(const char *s)
{
    int depth = 0;
    bool quoted = false;

    for (; quoted || depth > 0 || !strchr(",}]", *s); s++) {
        if (*s == '"' && s[-1] != '\\')
            quoted = !quoted;
        else if (!quoted)
            depth += (*s == '{' || *s == '[') - (*s == '}' || *s == ']');
    }
    return s;
}

/* Returns a copy of a description, which the caller frees, with another value for a key of an
 * object (NULL: the outermost object). A NULL value removes the key. */
static char *description_with(const char *good, const char *object, const char *key,
                              const char *value)
{
    char quoted[100], *changed = malloc(strlen(good) + 1000);
    const char *at = good, *end;

    if (object) {
        snprintf(quoted, sizeof quoted, "\"%s\":{", object);
        at = strstr(good, quoted);
    }
    snprintf(quoted, sizeof quoted, "\"%s\":", key);
    at = at ? strstr(at, quoted) : NULL;
    ck_assert_msg(at != NULL, "no %s", key);
    end = value_end(at + strlen(quoted));
    if (!value) { /* removes the comma too */
        quoted[0] = '\0';
        end += *end == ',';
    }
    sprintf(changed, "%.*s%s%s%s", (int)(at - good), good, quoted, value ? value : "", end);
    return changed;
}

/* Fields of the description with wrong values; NULL: the field is removed. */
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
        char *bad = description_with(good, cases[i].object, cases[i].key, cases[i].json);

        write_model(m, bad, NULL, NULL);
        free(bad);
        fail_allocation(0); /* only counts allocations */
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
        { "{\"type\": \"language_model\", \"type\": \"language_model\"}", "metadata ... twice" },
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
    write_model(m, good, NULL, "training.adam.step"); /* a tensor of a checkpoint */
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

static ct_status load_model(const char *path, void *context)
{
    (void)context;
    ct_lm_free(ct_lm_load(path, CT_CPU));
    return ct_error();
}

/* Every flipped bit of a model file is noticed: each bit of the header and its length, and random
 * bits of the payload. */
START_TEST(flipped_bits)
{
    ct_lm *m = model_of(CT_CLEAN_NONE, CT_TOKEN_KIND_CHAR, (ct_lm_options){ .hidden_size = 3 });
    unsigned char *bytes;
    size_t size, header;

    ck_assert(ct_lm_note(m, "perplexity", 1.25) == CT_OK);
    ck_assert(ct_lm_save(m, FILE_NAME) == CT_OK);
    bytes = (unsigned char *)read_bytes(FILE_NAME, &size);
    header = 8 + (bytes[0] | (size_t)bytes[1] << 8);
    free(bytes);
    ck_assert(header < size);
    expect_no_silent_flip((flips){ .path = FILE_NAME,
                                   .count = harness_count(500, 10000),
                                   .seed = 16,
                                   .last = harness_full() ? 8 * header : 0,
                                   .load = load_model });
    ct_lm_free(m);
}
END_TEST

/* Random changes of bytes in the header are refused, unless both keys of digests are destroyed, and
 * never need much memory. */
START_TEST(damaged_files)
{
    ct_generator g = ct_generator_stream(ct_generator_from_seed(8), "damage");
    ct_lm *m = model_of(CT_CLEAN_NONE, CT_TOKEN_KIND_CHAR, (ct_lm_options){ .hidden_size = 3 }),
          *back;
    int round, rounds = harness_count(300, 20000);
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
        if (back && memcmp(copy, bytes, size) != 0) /* it is accepted only as a file of another
                                                     * program */
            ck_assert(!memmem(copy, size, "\"cotangent.header_sha256\"", 25) &&
                      !memmem(copy, size, "\"cotangent.payload_sha256\"", 26));
        ct_error_clear();
        ct_lm_free(back);
    }
    free(copy);
    free(bytes);
    ct_lm_free(m);
}
END_TEST

/* Each allocation of a load and of a save fails in turn. */
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

        fail_allocation(k);
        status = ct_lm_save(m, FILE_NAME);
        fail_nothing();
        ck_assert(status == ct_error());
        ck_assert_msg(status == CT_OK || status == CT_ERR_MEMORY, "%s", ct_error_message());
        ct_error_clear();
        if (allocations_seen < k)
            break;
        failed += status != CT_OK;
    }
    ck_assert_int_ge(failed, 10);
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

    ct_lm_note_text(m, "name", "a\033[1mb\302\233c");
    ct_lm_note(m, "perplexity", 1.5);
    (void)comma_locale_begin(); /* the locale must not change the output */
    ct_lm_print(m, out);
    comma_locale_end();
    fclose(out);
    ck_assert_msg(strstr(text, "; dropout 0.25, recurrent 0\n") != NULL, "%s", text);
    ck_assert_msg(strstr(text, "language model: lstm, 8 hidden units, 2 layers, embedding of 8, "
                               "tied to the output\n") == text,
                  "%s", text);
    ck_assert_msg(strstr(text, "  name: a?[1mb?c\n  perplexity: 1.5\n") != NULL, "%s", text);
    ck_assert_msg(strstr(text, "tokens: char, 25 in the vocabulary; cleaning: text\n") != NULL,
                  "%s", text);
    free(text);
    ct_lm_free(m);
}
END_TEST

void language_model_files_cases(Suite *suite)
{
    TCase *tc = harness_case(suite, "files");

    tcase_add_checked_fixture(tc, files_setup, files_teardown);
    tcase_add_loop_test(tc, round_trip, 0, LENGTH(arrangements));
    tcase_add_test(tc, notes);
    tcase_add_test(tc, malformed_descriptions);
    tcase_add_test(tc, malformed_files);
    tcase_add_test(tc, flipped_bits);
    tcase_add_test(tc, damaged_files);
    tcase_add_test(tc, memory_fails);
    tcase_add_test(tc, card);
}
