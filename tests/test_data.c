/* SPDX-License-Identifier: MIT */
/* test_data.c - cleaning, vocabularies, corpora and loaders; fetch.c has the tests of texts,
 * tokens.c has those of tokens other than ASCII characters. */
#include "tensor/internal.h"
#include "tensor/hooks.h"
#include "tests/fetch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cotangent/data/loader.h>
#include <cotangent/data/timemachine.h>
#include <cotangent/data/vocab.h>
#include <cotangent/tensor/scope.h>
#include <cotangent/tensor/tensor.h>

#include "tests/test_data.h"

#define BOOK_IDS "2b149570bb80412322af1bc023c0b10953440b13a9bb12156664c2640ce7e4f3"
#define CLASSIC_IDS "6e4b58fb6d0d894ec6448ca8521d4a42f763afc5409d9b2478fc9b46d36a439d"

ct_text *text_of(const char *s)
{
    return ct_text_new_from_bytes(s, strlen(s), "test");
}

/* ---- cleaning ---- */

/* Returns the characters of a corpus; the caller frees them. */
static char *characters_of(const ct_corpus *c)
{
    return ct_vocab_decode(ct_corpus_vocab(c), ct_corpus_ids(c), (size_t)ct_corpus_size(c));
}

static void cleans_to(ct_clean how, const char *text, const char *expected)
{
    ct_text *t = text_of(text);
    ct_corpus *c = ct_corpus_new(t, (ct_corpus_options){ .clean = how });
    char *got = characters_of(c);

    ck_assert_msg(got != NULL, "'%s': %s", text, ct_error_message());
    ck_assert_msg(strcmp(got, expected) == 0, "'%s' gives '%s', not '%s'", text, got, expected);
    harness_free(got);
    ct_corpus_free(c);
    ct_text_free(t);
}

START_TEST(cleaning)
{
    static const struct {
        const char *text, *as_text, *as_lines;
    } cases[] = {
        /* the results of Python's re.sub, lower, strip and universal newlines */
        { "a", "a", "a" },
        { "AZaz", "azaz", "azaz" },
        { "[@`{a", " a", "a" },
        { " a ", " a ", "a" },
        { "  a--b  ", " a b ", "a b" },
        { "It's 1895!", "it s ", "it s" },
        { "one\ntwo", "one two", "onetwo" },
        { "one\r\ntwo\rthree\n", "one two three ", "onetwothree" },
        { "one \n\n\n  two\n", "one two ", "onetwo" },
        { "a\v\f\tb", "a b", "a b" },
        { "a\n1\nb 2 c\n", "a b c ", "ab c" },
        { "caf\xc3\xa9 noir", "caf noir", "caf noir" },
        { "caf\xc3\xa9", "caf ", "caf" },
        { "a\xef\xbb\xbfThe", "a the", "a the" },
        { "a\xe2\x80\x94"
          "b",
          "a b", "a b" },
        { "\xe2\x84\xaa"
          "k", /* the Kelvin sign is not a K */
          " k", "k" },
        { "a\xff\xfe"
          "b\xc3",
          "a b ", "a b" },
        { "a\xc2\x85"
          "b\xe2\x80\xa8"
          "c", /* NEL and LINE SEPARATOR do not end a line */
          "a b c", "a b c" },
    };
    int i;

    for (i = 0; i < LENGTH(cases); i++) {
        cleans_to(CT_CLEAN_TEXT, cases[i].text, cases[i].as_text);
        cleans_to(CT_CLEAN_LINES, cases[i].text, cases[i].as_lines);
        cleans_to(CT_CLEAN_NONE, cases[i].text, cases[i].text);
    }
}
END_TEST

START_TEST(invalid_utf8)
{
    static const struct {
        const char *text;
        int invalid;
    } cases[] = {
        { "plain", 0 },
        { "a\xc3\xa9", 0 },
        { "a\xe2\x82\xac", 0 },
        { "a\xf0\x9f\x98\x80", 0 },
        { "a\xc2\x80\xdf\xbf", 0 },
        { "a\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80", 0 },
        { "a\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", 0 },
        { "a\xff", 1 },
        { "a\x80", 1 },
        { "a\xc3", 1 },
        { "a\xc3z", 1 },
        { "a\xc3\xc3\xa9", 1 },
        { "a\xe2\x82", 2 },
        { "a\xe2\x82z", 2 },
        { "a\xf0\x9f\x98", 3 },
        { "a\xc0\xaf", 2 }, /* '/' in an overlong form */
        { "a\xc1\xbf", 2 },
        { "a\xe0\x9f\xbf", 3 },
        { "a\xf0\x8f\xbf\xbf", 4 },
        { "a\xed\xa0\x80", 3 },     /* a surrogate */
        { "a\xf4\x90\x80\x80", 4 }, /* beyond U+10FFFF */
        { "a\xf5\x80\x80\x80", 4 },
        { "caf\xe9 na\xefve", 2 }, /* Latin-1 */
    };
    int i;

    for (i = 0; i < LENGTH(cases); i++) {
        ct_text *t = text_of(cases[i].text);
        ct_corpus *c = ct_corpus_new(t, (ct_corpus_options){ .clean = CT_CLEAN_TEXT });

        ck_assert_ptr_nonnull(c);
        ck_assert_msg(ct_corpus_invalid_bytes(c) == cases[i].invalid, "case %d: %d", i,
                      (int)ct_corpus_invalid_bytes(c));
        ct_corpus_free(c);
        ct_text_free(t);
    }
}
END_TEST

START_TEST(protocols)
{
    static const struct {
        ct_corpus_options options;
        int64_t size;
        int64_t kept;
        const char *sha256, *tokens;
    } cases[] = {
        { { .clean = CT_CLEAN_TEXT, .vocab.order = CT_VOCAB_ORDER_SORTED },
          173428,
          173428,
          BOOK_IDS,
          " <unk>abcdefghijklmnopqrstuvwxyz" },
        { { .clean = CT_CLEAN_LINES, .vocab.order = CT_VOCAB_ORDER_FREQUENCY },
          170580,
          170580,
          CLASSIC_IDS,
          "<unk> etaino" },
        { { .clean = CT_CLEAN_LINES, .vocab.order = CT_VOCAB_ORDER_FREQUENCY, .max_tokens = 10000 },
          170580,
          10000,
          NULL,
          "<unk> etaino" },
    };
    int32_t all[28];
    ct_text *t;
    int i;

    if (without_corpus("protocols"))
        return;
    t = ct_text_read(known_path);
    ck_assert_ptr_nonnull(t);
    for (i = 0; i < 28; i++)
        all[i] = i;
    for (i = 0; i < LENGTH(cases); i++) {
        ct_corpus *c = ct_corpus_new(t, cases[i].options);
        char *tokens = ct_vocab_decode(ct_corpus_vocab(c), all, 28), hex[65];
        unsigned char *bytes = malloc((size_t)cases[i].kept);
        int64_t j, total = 0;

        ck_assert_ptr_nonnull(c);
        ck_assert_int_eq(ct_corpus_size(c), cases[i].kept);
        ck_assert_int_eq(ct_corpus_invalid_bytes(c), 0);
        ck_assert_int_eq(ct_vocab_size(ct_corpus_vocab(c)), 28);
        ck_assert_int_eq(strncmp(tokens, cases[i].tokens, strlen(cases[i].tokens)), 0);
        for (j = 0; j < 28; j++)
            total += ct_vocab_count(ct_corpus_vocab(c), (int)j);
        ck_assert_int_eq(total, cases[i].size);
        for (j = 0; j < cases[i].kept; j++)
            bytes[j] = (unsigned char)ct_corpus_ids(c)[j];
        ct_sha256_hex(bytes, (size_t)cases[i].kept, hex);
        if (cases[i].sha256)
            ck_assert_str_eq(hex, cases[i].sha256);
        free(bytes);
        harness_free(tokens);
        ct_corpus_free(c);
    }
    ct_text_free(t);
}
END_TEST

/* ---- vocabularies ---- */

#define RESERVING(order_, least, count)                                                            \
    {                                                                                              \
        .order = order_, .min_freq = least, .reserved = reserved, .reserved_count = count          \
    }

START_TEST(vocab_order)
{
    static const char *const reserved[] = { "<pad>", "<bos>", "<unk>", "z", " ", "<pad>" };
    static const struct {
        const char *text;
        ct_vocab_options options;
        const char *tokens; /* the tokens with their counts */
        int unknown;
    } cases[] = {
        { "banana b", { .order = CT_VOCAB_ORDER_SORTED }, " 1 <unk>0 a3 b2 n2 ", 1 },
        { "banana b", { .order = CT_VOCAB_ORDER_SORTED, .min_freq = 1 }, " 1 <unk>0 a3 b2 n2 ", 1 },
        { "banana b", { .order = CT_VOCAB_ORDER_SORTED, .min_freq = 2 }, "<unk>1 a3 b2 n2 ", 0 },
        { "banana b", { .order = CT_VOCAB_ORDER_SORTED, .min_freq = 3 }, "<unk>5 a3 ", 0 },
        { "banana b", { .order = CT_VOCAB_ORDER_SORTED, .min_freq = 4 }, "<unk>8 ", 0 },
        { "banana b", { .order = CT_VOCAB_ORDER_FREQUENCY }, "<unk>0 a3 b2 n2  1 ", 0 },
        { "nanab b", { .order = CT_VOCAB_ORDER_FREQUENCY }, "<unk>0 n2 a2 b2  1 ", 0 },
        { "zyx", { .order = CT_VOCAB_ORDER_FREQUENCY }, "<unk>0 z1 y1 x1 ", 0 },
        { "banana b", { .order = CT_VOCAB_ORDER_FREQUENCY, .min_freq = 2 }, "<unk>1 a3 b2 n2 ", 0 },
        { "", { .order = CT_VOCAB_ORDER_FREQUENCY }, "<unk>0 ", 0 },
        { "", { .order = CT_VOCAB_ORDER_SORTED }, "<unk>0 ", 0 },
        { "ab", RESERVING(CT_VOCAB_ORDER_SORTED, 0, 2), "<bos>0 <pad>0 <unk>0 a1 b1 ", 2 },
        { "ab", RESERVING(CT_VOCAB_ORDER_FREQUENCY, 0, 2), "<unk>0 <pad>0 <bos>0 a1 b1 ", 0 },
        { "zab z", RESERVING(CT_VOCAB_ORDER_SORTED, 2, 6), " 1 <bos>0 <pad>0 <unk>2 z2 ", 3 },
        { "zab z", RESERVING(CT_VOCAB_ORDER_FREQUENCY, 2, 6), "<unk>2 <pad>0 <bos>0 z2  1 ", 0 },
        { "zabaa", RESERVING(CT_VOCAB_ORDER_FREQUENCY, 0, 6), "<unk>0 <pad>0 <bos>0 z1  0 a3 b1 ",
          0 },
        { "<A~\xff\x80",
          { .order = CT_VOCAB_ORDER_SORTED },
          "<1 <unk>0 A1 ~1 \x80"
          "1 \xff"
          "1 ",
          1 },
    };
    int i, id;

    for (i = 0; i < LENGTH(cases); i++) {
        ct_vocab *v = ct_vocab_new(cases[i].text, strlen(cases[i].text), cases[i].options);
        char got[200] = "";

        ck_assert_msg(v != NULL, "case %d: %s", i, ct_error_message());
        for (id = 0; id < ct_vocab_size(v); id++) {
            const char *token = ct_vocab_token(v, id);

            snprintf(got + strlen(got), sizeof got - strlen(got), "%s%d ", token,
                     (int)ct_vocab_count(v, id));
            ck_assert_int_eq(ct_vocab_id(v, token), id);
        }
        ck_assert_msg(strcmp(got, cases[i].tokens) == 0, "case %d: '%s', not '%s'", i, got,
                      cases[i].tokens);
        ck_assert_int_eq(ct_vocab_unknown(v), cases[i].unknown);
        ct_vocab_free(v);
    }
    expect_ok();
}
END_TEST

START_TEST(vocab_encode)
{
    static const char *const reserved[] = { "<pad>" };
    ct_vocab *v =
        ct_vocab_new("hello", 5, (ct_vocab_options)RESERVING(CT_VOCAB_ORDER_FREQUENCY, 0, 1));
    int32_t ids[8], all[] = { 3, 0, 99, 1, -1, 2 };
    int64_t unknown;
    char *s;

    ck_assert_ptr_nonnull(v); /* <unk> <pad> l h e o */
    ck_assert_int_eq(ct_vocab_encode(v, "hole\xff\0h", 7, ids, &unknown), 7);
    ck_assert_int_eq(unknown, 2);
    ck_assert_int_eq(memcmp(ids, (int32_t[]){ 3, 5, 2, 4, 0, 0, 3 }, 7 * sizeof *ids), 0);
    ck_assert_int_eq(ct_vocab_encode(v, "", 0, NULL, &unknown), 0);
    ck_assert_int_eq(unknown, 0);
    ck_assert_int_eq(ct_vocab_encode(v, "hole", 4, ids, NULL), 4);
    ck_assert_int_eq(ct_vocab_encode(NULL, "h", 1, ids, NULL), 0);
    expect_error(CT_ERR_ARGUMENT, "ct_vocab_encode", "v is NULL");
    ck_assert_int_eq(ct_vocab_id(v, "<pad>"), 1);
    ck_assert_int_eq(ct_vocab_id(v, "h"), 3);
    ck_assert_int_eq(ct_vocab_id(v, "he"), 0);
    ck_assert_int_eq(ct_vocab_id(v, ""), 0);
    ck_assert_int_eq(ct_vocab_id(v, NULL), 0);
    ck_assert_int_eq(ct_vocab_id(v, "x"), 0);
    ck_assert_str_eq(ct_vocab_token(v, 6), "<unk>");
    ck_assert_str_eq(ct_vocab_token(v, -1), "<unk>");
    ck_assert_int_eq(ct_vocab_count(v, 6), 0);

    s = ct_vocab_decode(v, all, 6);
    ck_assert_str_eq(s, "h<unk><unk><pad><unk>l");
    harness_free(s);
    s = ct_vocab_decode(v, NULL, 0);
    ck_assert_str_eq(s, "");
    harness_free(s);
    expect_ok();
    ck_assert_ptr_null(ct_vocab_decode(v, NULL, 1));
    expect_error(CT_ERR_ARGUMENT, "ct_vocab_decode", "ids is NULL");
    ck_assert_ptr_null(ct_vocab_decode(NULL, all, 1));
    expect_error(CT_ERR_ARGUMENT, "ct_vocab_decode", "v is NULL");
    ct_vocab_free(v);
}
END_TEST

START_TEST(vocab_bad)
{
    static const char *const holed[] = { "<pad>", NULL }, *const empty[] = { "" };
    static const struct {
        ct_vocab_options options;
        const char *word;
    } cases[] = {
        { { .order = (ct_vocab_order)7 }, "order is 7" },
        { { .min_freq = -1 }, "min_freq is -1; it must be at least 0" },
        { { .reserved_count = 1 }, "reserved is NULL" },
        { { .reserved = holed, .reserved_count = -1 }, "reserved_count is -1" },
        { { .reserved = holed, .reserved_count = 2 }, "reserved[1] is NULL" },
        { { .reserved = empty, .reserved_count = 1 }, "reserved[0] is empty" },
    };
    ct_text *t = text_of("abc");
    int i;

    for (i = 0; i < LENGTH(cases); i++) {
        ck_assert_ptr_null(ct_vocab_new("abc", 3, cases[i].options));
        expect_error(CT_ERR_ARGUMENT, "ct_vocab_new", cases[i].word);
        ck_assert_ptr_null(ct_corpus_new(t, (ct_corpus_options){ .vocab = cases[i].options }));
        expect_error(CT_ERR_ARGUMENT, "ct_corpus_new", cases[i].word);
    }
    ck_assert_ptr_null(ct_vocab_new(NULL, 3, (ct_vocab_options){ 0 }));
    expect_error(CT_ERR_ARGUMENT, "ct_vocab_new", "text is NULL");
    ck_assert_ptr_null(ct_corpus_new(t, (ct_corpus_options){ .max_tokens = -5 }));
    expect_error(CT_ERR_ARGUMENT, "ct_corpus_new", "max_tokens is -5");
    ck_assert_ptr_null(ct_corpus_new(t, (ct_corpus_options){ .clean = (ct_clean)9 }));
    expect_error(CT_ERR_ARGUMENT, "ct_corpus_new", "clean is 9");
    ck_assert_ptr_null(ct_corpus_new(NULL, (ct_corpus_options){ 0 }));
    expect_error(CT_ERR_ARGUMENT, "ct_corpus_new", "text is NULL");
    ct_text_free(t);
}
END_TEST

START_TEST(corpus_null)
{
    /* the NULL is passed on, and the first error is kept */
    ct_text *t = ct_text_read(in_folder("none"));
    ct_corpus *c = ct_corpus_new(t, (ct_corpus_options){ 0 });
    ct_loader *l =
        ct_loader_windows_new(c, (ct_loader_windows_options){ .batch_size = 1, .steps = 1 });
    ct_batch batch;

    ck_assert(!c && !l && !ct_vocab_decode(ct_corpus_vocab(c), NULL, 1));
    ck_assert(
        !ct_loader_sequences_new(c, (ct_loader_sequences_options){ .batch_size = 1, .steps = 1 }));
    ck_assert_int_eq(ct_loader_begin(l), CT_ERR_IO);
    ck_assert(!ct_loader_next(l, &batch));
    ck_assert_ptr_null(batch.x);
    ck_assert_int_eq(ct_loader_set_offset(l, 0), CT_ERR_IO);
    expect_error(CT_ERR_IO, "ct_text_read", "/none: No such file");
    ct_corpus_free(c);
    ct_loader_free(l);
    ct_vocab_free(NULL);
    ck_assert_ptr_null(ct_corpus_vocab(c));
    ck_assert_ptr_null(ct_corpus_ids(c));
    ck_assert_int_eq(ct_corpus_size(c), 0);
    ck_assert_int_eq(ct_corpus_invalid_bytes(c), 0);
    ck_assert_int_eq(ct_vocab_size(NULL), 0);
    ck_assert_int_eq(ct_vocab_unknown(NULL), 0);
    ck_assert_int_eq(ct_vocab_id(NULL, "a"), 0);
    ck_assert_str_eq(ct_vocab_token(NULL, 0), "<unk>");
    ck_assert_int_eq(ct_vocab_count(NULL, 0), 0);
    ck_assert_int_eq(ct_loader_batches(NULL), 0);
    ck_assert_int_eq(ct_loader_tokens(NULL), 0);
    expect_ok();
}
END_TEST

/* ---- allocations that fail ---- */

static cti_memory_table libc_memory;
static int allocations, fail_from, fail_to; /* allocations fail_from .. fail_to fail, counted from
                                             * 1 */
static int held;

static void *fail_allocate(size_t alignment, size_t bytes)
{
    void *p;

    allocations++;
    if (allocations >= fail_from && allocations <= fail_to)
        return NULL;
    p = libc_memory.allocate(alignment, bytes);
    held += p != NULL;
    return p;
}

static void counted_release(void *p)
{
    held -= p != NULL;
    libc_memory.release(p);
}

/* Goes from the bytes of a text to a batch of each loader. Returns the status. */
static ct_status whole_way(const char *s)
{
    static const char *const reserved[] = { "<pad>" };
    ct_text *t = ct_text_new_from_bytes(s, strlen(s), "test");
    ct_corpus_options options = { .vocab = RESERVING(CT_VOCAB_ORDER_FREQUENCY, 0, 1) };
    ct_corpus *c = ct_corpus_new(t, options);
    ct_corpus *words = ct_corpus_new(t, (ct_corpus_options){ .vocab.tokens = CT_TOKEN_KIND_WORD });
    ct_loader *loaders[] = {
        ct_loader_windows_new(c,
                              (ct_loader_windows_options){
                                  .batch_size = 8, .steps = 5, .count = 100, .shuffle = true }),
        ct_loader_sequences_new(c, (ct_loader_sequences_options){ .batch_size = 8, .steps = 5 }),
        ct_loader_sequences_new(
            c, (ct_loader_sequences_options){ .batch_size = 8, .steps = 5, .random = true }),
    };
    ct_scope scope = ct_scope_begin();
    char *decoded = characters_of(c);
    ct_status status = ct_error();
    int i;

    for (i = 0; i < LENGTH(loaders); i++) {
        ct_batch b;
        bool got;

        ct_loader_begin(loaders[i]);
        got = ct_loader_next(loaders[i], &b);
        ck_assert_int_eq(got, ct_ok());
        ck_assert(!got || (b.x && b.y));
        ct_loader_free(loaders[i]);
    }
    i = ct_scope_end(scope);
    if (status == CT_OK)
        status = (ct_status)i;
    ck_assert(status == ct_error());
    ck_assert_int_eq(decoded != NULL && status == CT_OK, ct_ok());
    cti_memory_calls.release(decoded);
    ct_corpus_free(words);
    ct_corpus_free(c);
    ct_text_free(t);
    return status;
}

START_TEST(allocation_fails)
{
    char *s = prose(300);
    int every, k, baseline, failures = 0;

    libc_memory = cti_memory_calls;
    cti_memory_calls = (cti_memory_table){ fail_allocate, counted_release };
    for (k = 0; k < 800; k++) /* fills the thread's pools and queue of handles first */
        ck_assert_int_eq(whole_way(s), CT_OK);
    ct_memory_trim();
    baseline = held;
    for (every = 0; every < 2; every++) { /* only allocation k fails; or it and all later ones */
        for (k = 1;; k++) {
            ct_status status;

            allocations = 0;
            fail_from = k;
            fail_to = every ? INT32_MAX : k;
            status = whole_way(s);
            fail_from = fail_to = 0;
            ct_memory_trim();
            ck_assert_msg(held == baseline, "failing allocation %d leaks %d", k, held - baseline);
            if (status != CT_OK)
                expect_out_of_memory();
            failures += status != CT_OK;
            if (allocations < k)
                break;
            ck_assert_msg(status != CT_OK || !every, "allocation %d failed unnoticed", k);
        }
        ck_assert_int_eq(ct_error(), CT_OK);
        ck_assert_int_gt(k, 20);
    }
    ck_assert_int_gt(failures, 60);
    cti_memory_calls = libc_memory;
    fail_from = fail_to = 0;
    free(s);
}
END_TEST

START_TEST(allocation_fails_reading)
{
    const char *path = in_folder("a.txt");
    char *s = prose(600000);
    int k, found = 0, refused = 0, baseline;

    write_bytes(path, s, 600000);
    ck_assert_int_eq(mkdir(in_folder("cache"), 0777), 0);
    ck_assert_int_eq(mkdir(in_folder("cache/cotangent"), 0777), 0);
    write_bytes(in_folder("cache/cotangent/timemachine.txt"), "damaged", 7);
    libc_memory = cti_memory_calls;
    cti_memory_calls = (cti_memory_table){ fail_allocate, counted_release };
    baseline = held;
    for (k = 1; k < 20; k++) {
        ct_text *t;

        allocations = 0;
        fail_from = fail_to = k;
        t = ct_text_read(path);
        if (t)
            ck_assert_str_eq(ct_text_bytes(t), s);
        else
            expect_out_of_memory();
        ck_assert_int_eq(t == NULL, k <= allocations);
        refused += t == NULL;
        ct_text_free(t);

        allocations = 0;
        t = ct_text_new_timemachine(
            NULL); /* falls back to the sample, unless memory runs out for that too */
        if (t) {
            ck_assert(ct_text_is_sample(t) && ct_ok());
            found++;
        } else {
            expect_out_of_memory();
        }
        ct_text_free(t);
        ck_assert_int_eq(held, baseline);
    }
    ck_assert_int_ge(refused, 3);
    ck_assert_int_eq(found, 18);
    cti_memory_calls = libc_memory;
    fail_from = fail_to = 0;
    free(s);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("data");
    TCase *tc;

    find_known();
    suite_add_tcase(suite, text_cases());
    suite_add_tcase(suite, token_cases());
    tc = tcase_create("vocab");
    tcase_add_checked_fixture(tc, setup, teardown);
    suite_add_tcase(suite, tc);
    tcase_add_test(tc, cleaning);
    tcase_add_test(tc, invalid_utf8);
    tcase_add_test(tc, protocols);
    tcase_add_test(tc, vocab_order);
    tcase_add_test(tc, vocab_encode);
    tcase_add_test(tc, vocab_bad);
    tcase_add_test(tc, corpus_null);
    tc = tcase_create("loader");
    tcase_add_checked_fixture(tc, setup, teardown);
    suite_add_tcase(suite, tc);
    tcase_add_test(tc, allocation_fails);
    tcase_add_test(tc, allocation_fails_reading);
    data_loaders_cases(suite);
    return harness_run(suite);
}
