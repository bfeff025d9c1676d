/* test_data.c - cleaning, vocabularies, corpora and loaders; fetch.c has the tests of texts,
 * tokens.c those of other tokens than characters of ASCII. */
#include "tensor/internal.h"

#include "tensor/hooks.h"
#include "tests/fetch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cotangent/data/loader.h>
#include <cotangent/data/vocab.h>
#include <cotangent/tensor/scope.h>
#include <cotangent/tensor/tensor.h>

#define BOOK_IDS "2b149570bb80412322af1bc023c0b10953440b13a9bb12156664c2640ce7e4f3"
#define CLASSIC_IDS "6e4b58fb6d0d894ec6448ca8521d4a42f763afc5409d9b2478fc9b46d36a439d"

static ct_text *text_of(const char *s)
{
    return ct_text_new_from_bytes(s, strlen(s), "test");
}

/* A corpus whose windows of 9 tokens and more each occur once (place_of checks). */
static ct_corpus *new_corpus(size_t size)
{
    char *s = prose(size);
    ct_text *t = text_of(s);
    ct_corpus *c = ct_corpus_new(t, (ct_corpus_options){ .clean = CT_CLEAN_NONE });

    ck_assert_ptr_nonnull(c);
    ck_assert_int_eq(ct_corpus_size(c), (int64_t)size);
    ct_text_free(t);
    free(s);
    return c;
}

/* ---- cleaning ---- */

/* The characters of a corpus, to be freed. */
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
        /* what Python's re.sub, lower, strip and universal newlines give */
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
          "k", /* the Kelvin sign is no K */
          " k", "k" },
        { "a\xff\xfe"
          "b\xc3",
          "a b ", "a b" },
        { "a\xc2\x85"
          "b\xe2\x80\xa8"
          "c", /* NEL and LINE SEPARATOR end no line */
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
        { "a\xc0\xaf", 2 }, /* '/' in too many bytes */
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
        const char *tokens; /* with their counts */
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
        { { .order = (ct_vocab_order)7 }, "7 is not an order" },
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
    expect_error(CT_ERR_ARGUMENT, "ct_corpus_new", "9 is not a cleaning");
    ck_assert_ptr_null(ct_corpus_new(NULL, (ct_corpus_options){ 0 }));
    expect_error(CT_ERR_ARGUMENT, "ct_corpus_new", "text is NULL");
    ct_text_free(t);
}
END_TEST

START_TEST(corpus_null)
{
    /* what failed flows through, and the first error stays */
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

/* ---- loaders ---- */

/* An epoch, as a list of rows: where each row of x begins in the corpus. */
typedef struct epoch {
    int64_t *start, rows;
    int64_t batch_rows[40]; /* of each batch */
    int batches;
} epoch;

/* The one place of the corpus where these ids are. */
static int64_t place_of(const ct_corpus *c, const int32_t *ids, int64_t steps)
{
    const int32_t *all = ct_corpus_ids(c);
    int64_t i, found = -1;

    for (i = 0; i + steps < ct_corpus_size(c); i++)
        if (all[i] == ids[0] && memcmp(all + i, ids, (size_t)steps * sizeof *ids) == 0) {
            ck_assert_msg(found < 0, "the test's corpus repeats itself");
            found = i;
        }
    ck_assert_msg(found >= 0, "a row of x is not in the corpus");
    return found;
}

/* Begins an epoch and goes through it; y must be x moved on by one. Check's assertions are slow:
 * one a row. */
static epoch run_epoch(ct_loader *l, const ct_corpus *c, int64_t steps)
{
    epoch e = { .rows = 0 };
    ct_scope s = ct_scope_begin();
    ct_batch b;
    int64_t tokens = 0, r;

    ck_assert_int_eq(ct_loader_begin(l), CT_OK);
    e.start = calloc((size_t)(ct_loader_tokens(l) / steps), sizeof *e.start);
    while (ct_loader_next(l, &b)) {
        const int32_t *x = ct_data(b.x), *y = ct_data(b.y);
        int64_t rows = ct_size(b.x, 0);

        expect_ok();
        ck_assert_int_eq(ct_rank(b.x), 2);
        ck_assert_int_eq(ct_size(b.x, 1), steps);
        ck_assert(ct_tensor_dtype(b.x) == CT_I32 && ct_tensor_dtype(b.y) == CT_I32);
        ck_assert(ct_rank(b.y) == 2 && ct_size(b.y, 0) == rows && ct_size(b.y, 1) == steps);
        ck_assert_int_eq(b.tokens, rows * steps);
        tokens += b.tokens;
        ck_assert_int_le(tokens, ct_loader_tokens(l));
        for (r = 0; r < rows; r++) {
            int64_t at = place_of(c, x + r * steps, steps);

            ck_assert_int_eq(
                memcmp(y + r * steps, ct_corpus_ids(c) + at + 1, (size_t)steps * sizeof *y), 0);
            e.start[e.rows++] = at;
        }
        ck_assert_int_lt(e.batches, LENGTH(e.batch_rows));
        e.batch_rows[e.batches++] = rows;
    }
    ck_assert_int_eq(e.batches, ct_loader_batches(l));
    ck_assert_int_eq(tokens, ct_loader_tokens(l));
    ck_assert(!ct_loader_next(l, &b)); /* it stays at its end */
    ck_assert_int_eq(ct_scope_end(s), CT_OK);
    return e;
}

static bool same_epoch(const epoch *a, const epoch *b)
{
    return a->rows == b->rows && a->batches == b->batches &&
           memcmp(a->start, b->start, (size_t)a->rows * sizeof *a->start) == 0;
}

START_TEST(windows_in_order)
{
    enum { T = 9, B = 7, FIRST = 10, COUNT = 50 };
    ct_corpus *c = new_corpus(400);
    ct_loader *l = ct_loader_windows_new(
        c,
        (ct_loader_windows_options){ .batch_size = B, .steps = T, .first = FIRST, .count = COUNT });
    int pass;

    ck_assert_ptr_nonnull(l);
    ck_assert_int_eq(ct_loader_batches(l), 8);
    ck_assert_int_eq(ct_loader_tokens(l), COUNT * T);
    for (pass = 0; pass < 2; pass++) {
        epoch e = run_epoch(l, c, T);
        int64_t i;

        ck_assert_int_eq(e.rows, COUNT);
        for (i = 0; i < COUNT; i++)
            ck_assert_int_eq(e.start[i], FIRST + i);
        for (i = 0; i < 8; i++)
            ck_assert_int_eq(e.batch_rows[i], i < 7 ? B : 1);
        free(e.start);
    }
    ct_loader_free(l);
    ct_corpus_free(c);
}
END_TEST

START_TEST(windows_of_the_book_protocol)
{
    static const struct {
        int64_t first, count;
        bool shuffle;
        int batches;
        int64_t last;
    } parts[] = { { 0, 10000, true, 10, 784 }, { 10000, 5000, false, 5, 904 } };
    enum { T = 32 };
    ct_corpus *c = new_corpus(15100);
    int p;

    for (p = 0; p < LENGTH(parts); p++) {
        ct_loader *l =
            ct_loader_windows_new(c, (ct_loader_windows_options){ .batch_size = 1024,
                                                                  .steps = T,
                                                                  .first = parts[p].first,
                                                                  .count = parts[p].count,
                                                                  .shuffle = parts[p].shuffle });
        bool *seen = calloc((size_t)parts[p].count, 1);
        epoch e = run_epoch(l, c, T);
        int64_t i, out_of_order = 0;

        ck_assert_int_eq(e.batches, parts[p].batches);
        ck_assert_int_eq(e.batch_rows[0], 1024);
        ck_assert_int_eq(e.batch_rows[e.batches - 1], parts[p].last);
        ck_assert_int_eq(e.rows, parts[p].count);
        for (i = 0; i < e.rows; i++) { /* each window once */
            int64_t window = e.start[i] - parts[p].first;

            if (window < 0 || window >= parts[p].count || seen[window])
                ck_abort_msg("window %d again, or of another part", (int)window);
            seen[window] = true;
            out_of_order += window != i;
        }
        if (parts[p].shuffle)
            ck_assert_int_gt(out_of_order, 9900);
        else
            ck_assert_int_eq(out_of_order, 0);
        free(seen);
        free(e.start);
        ct_loader_free(l);
    }
    ct_corpus_free(c);
}
END_TEST

START_TEST(windows_shuffled)
{
    enum { T = 12, COUNT = 200, EPOCHS = 300 };
    const ct_loader_windows_options o = {
        .batch_size = 64, .steps = T, .count = COUNT, .shuffle = true, .seed = 5
    };
    ct_loader_windows_options other = o;
    ct_corpus *c = new_corpus(COUNT + T);
    ct_loader *a = ct_loader_windows_new(c, o), *b = ct_loader_windows_new(c, o), *d;
    epoch first = run_epoch(a, c, T), second = run_epoch(a, c, T), e;
    int64_t comes_first[COUNT] = { 0 }, comes_last[COUNT] = { 0 }, half = 0;
    int k, i;

    /* one seed repeats itself, epoch by epoch, however much of an epoch is used */
    e = run_epoch(b, c, T);
    ck_assert(same_epoch(&first, &e));
    free(e.start);
    ct_loader_free(b);
    b = ct_loader_windows_new(c, o);
    ck_assert_int_eq(ct_loader_begin(b), CT_OK);
    e = run_epoch(b, c, T);
    ck_assert(same_epoch(&second, &e));
    free(e.start);
    ck_assert(!same_epoch(&first, &second));

    other.seed = 6;
    d = ct_loader_windows_new(c, other);
    e = run_epoch(d, c, T);
    ck_assert(!same_epoch(&first, &e));
    free(e.start);

    /* each window comes first and last about as often, and half of the time in the first half */
    for (k = 0; k < EPOCHS; k++) {
        e = run_epoch(a, c, T);
        comes_first[e.start[0]]++;
        comes_last[e.start[COUNT - 1]]++;
        for (i = 0; i < COUNT / 2; i++)
            half += e.start[i] == 17;
        free(e.start);
    }
    for (i = 0; i < COUNT; i++)
        ck_assert(comes_first[i] <= 10 && comes_last[i] <= 10); /* 1.5 expected */
    ck_assert_int_ge(half, EPOCHS / 2 - 45);                    /* five standard deviations */
    ck_assert_int_le(half, EPOCHS / 2 + 45);
    free(first.start);
    free(second.start);
    ct_loader_free(a);
    ct_loader_free(b);
    ct_loader_free(d);
    ct_corpus_free(c);
}
END_TEST

/* The epoch of the sequential iterator at this offset, by d2l's own formula. */
static bool is_sequential(const epoch *e, int64_t offset, int64_t n, int64_t B, int64_t T)
{
    int64_t length = (n - offset - 1) / B, row, batch;

    if (e->batches != length / T || e->rows != e->batches * B)
        return false;
    for (batch = 0; batch < e->batches; batch++)
        for (row = 0; row < B; row++)
            if (e->start[batch * B + row] != offset + row * length + batch * T)
                return false;
    return true;
}

START_TEST(sequential_offsets)
{
    enum { N = 400, B = 4, T = 9, EPOCHS = 1500 };
    ct_corpus *c = new_corpus(N);
    ct_loader *l =
        ct_loader_sequences_new(c, (ct_loader_sequences_options){ .batch_size = B, .steps = T });
    int times[T + 1] = { 0 }, k, o;

    ck_assert_ptr_nonnull(l);
    ck_assert_int_eq(ct_loader_batches(l), (N - 1) / B / T);
    for (o = 0; o <= T; o++) { /* fixed */
        epoch e;

        ck_assert_int_eq(ct_loader_set_offset(l, o), CT_OK);
        e = run_epoch(l, c, T);
        ck_assert_msg(is_sequential(&e, o, N, B, T), "offset %d", o);
        free(e.start);
    }
    ck_assert_int_eq(ct_loader_set_offset(l, -1), CT_OK);
    for (k = 0; k < EPOCHS; k++) { /* drawn */
        epoch e = run_epoch(l, c, T);

        o = (int)e.start[0];
        ck_assert_msg(o >= 0 && o <= T && is_sequential(&e, o, N, B, T), "offset %d", o);
        times[o]++;
        free(e.start);
    }
    for (o = 0; o <= T; o++) /* 150 expected, within five standard deviations */
        ck_assert_msg(times[o] >= 92 && times[o] <= 208, "offset %d: %d times", o, times[o]);
    ct_loader_free(l);
    ct_corpus_free(c);
}
END_TEST

START_TEST(sequential_continues)
{
    enum { B = 5, T = 8 };
    ct_corpus *c = new_corpus(500);
    ct_loader *l =
        ct_loader_sequences_new(c, (ct_loader_sequences_options){ .batch_size = B, .steps = T });
    int pass, batches = 0, r;

    for (pass = 0; pass < 3; pass++) {
        ct_scope s = ct_scope_begin();
        int32_t last[B];
        ct_batch b;
        bool begun = false;

        ck_assert_int_eq(ct_loader_begin(l), CT_OK);
        for (; ct_loader_next(l, &b); begun = true, batches++) {
            const int32_t *x = ct_data(b.x), *y = ct_data(b.y);

            ck_assert_int_eq(b.continues, begun);
            for (r = 0; r < B; r++) {
                if (begun)
                    ck_assert_int_eq(x[r * T], last[r]);
                ck_assert_int_eq(memcmp(x + r * T + 1, y + r * T, (T - 1) * sizeof *x), 0);
                last[r] = y[r * T + T - 1];
            }
        }
        ck_assert_int_eq(ct_scope_end(s), CT_OK);
    }
    ck_assert_int_eq(batches, 36);
    ct_loader_free(l);
    ct_corpus_free(c);
}
END_TEST

START_TEST(classic_protocol)
{
    ct_corpus *c = new_corpus(10000);
    int random, o;

    for (random = 0; random < 2; random++) {
        ct_loader *l = ct_loader_sequences_new(
            c, (ct_loader_sequences_options){ .batch_size = 32, .steps = 35, .random = random });
        for (o = 0; o <= 35 - random; o++) {
            ck_assert_int_eq(ct_loader_set_offset(l, o), CT_OK);
            ck_assert_int_eq(ct_loader_begin(l), CT_OK);
            ck_assert_int_eq(ct_loader_batches(l), 8);
            ck_assert_int_eq(ct_loader_tokens(l), 8 * 32 * 35);
        }
        ct_loader_free(l);
    }
    ct_corpus_free(c);
}
END_TEST

/* Checks an epoch of the random iterator: windows at offset + k T, none twice, whole batches. */
static int64_t random_offset(const epoch *e, int64_t n, int64_t B, int64_t T)
{
    int64_t offset = e->start[0] % T, windows = (n - offset - 1) / T, i;
    bool *seen = calloc((size_t)windows, 1);

    ck_assert_int_eq(e->batches, windows / B);
    ck_assert_int_eq(e->rows, windows / B * B);
    for (i = 0; i < e->rows; i++) {
        int64_t k = (e->start[i] - offset) / T;

        if (e->start[i] % T != offset || k < 0 || k >= windows || seen[k])
            ck_abort_msg("window at %d", (int)e->start[i]);
        seen[k] = true;
    }
    free(seen);
    return offset;
}

START_TEST(random_iterator)
{
    enum { N = 403, B = 4, T = 9, EPOCHS = 900 };
    const ct_loader_sequences_options o = {
        .batch_size = B, .steps = T, .random = true, .seed = 3
    };
    ct_corpus *c = new_corpus(N);
    ct_loader *l = ct_loader_sequences_new(c, o), *again = ct_loader_sequences_new(c, o);
    int times[T] = { 0 }, dropped[N] = { 0 }, k, i, in_order = 0;

    for (k = 0; k < EPOCHS; k++) {
        epoch e = run_epoch(l, c, T), f;
        int64_t offset = random_offset(&e, N, B, T);

        times[offset]++;
        in_order += e.start[0] < e.start[1] && e.start[1] < e.start[2] && e.start[2] < e.start[3];
        for (i = 0; i < (N - 1 - offset) / T; i++)
            dropped[i]++;
        for (i = 0; i < e.rows; i++)
            dropped[(e.start[i] - offset) / T]--;
        if (k < 20) {
            f = run_epoch(again, c, T);
            ck_assert(same_epoch(&e, &f));
            free(f.start);
        }
        free(e.start);
    }
    for (i = 0; i < T; i++) /* 100 expected */
        ck_assert_msg(times[i] >= 52 && times[i] <= 148, "offset %d: %d times", i, times[i]);
    for (i = 0; i < (N - T) / T; i++) /* no window is always among those dropped, or never */
        ck_assert_msg(dropped[i] > 0 && dropped[i] < EPOCHS / 3, "window %d: %d", i, dropped[i]);
    ck_assert_int_lt(in_order, EPOCHS / 12); /* 1 in 24 expected */

    for (i = 0; i < T; i++) {
        epoch e;

        ck_assert_int_eq(ct_loader_set_offset(l, i), CT_OK);
        e = run_epoch(l, c, T);
        ck_assert_int_eq(random_offset(&e, N, B, T), i);
        free(e.start);
    }
    ct_loader_free(l);
    ct_loader_free(again);
    ct_corpus_free(c);
}
END_TEST

START_TEST(continues_is_false)
{
    ct_corpus *c = new_corpus(300);
    ct_loader *loaders[] = {
        ct_loader_windows_new(
            c, (ct_loader_windows_options){ .batch_size = 8, .steps = 5, .count = 100 }),
        ct_loader_sequences_new(
            c, (ct_loader_sequences_options){ .batch_size = 8, .steps = 5, .random = true }),
    };
    int i, batches;

    for (i = 0; i < LENGTH(loaders); i++) {
        ct_scope s = ct_scope_begin();
        ct_batch b;

        ck_assert_int_eq(ct_loader_begin(loaders[i]), CT_OK);
        for (batches = 0; ct_loader_next(loaders[i], &b); batches++)
            ck_assert(!b.continues);
        ck_assert_int_gt(batches, 5);
        ck_assert_int_eq(ct_scope_end(s), CT_OK);
        ct_loader_free(loaders[i]);
    }
    ct_corpus_free(c);
}
END_TEST

START_TEST(windows_too_short)
{
    static const struct {
        int64_t steps, first, count;
        int64_t given; /* windows; 0: refused */
    } cases[] = {
        { 10, 0, 1000, 90 }, /* of 100 tokens; as many as there are */
        { 10, 89, 1000, 1 },    { 10, 90, 1, 0 },        { 99, 0, 5, 1 },
        { 100, 0, 5, 0 },       { 1, 98, 9, 1 },         { INT64_MAX, 0, 1, 0 },
        { 5, INT64_MAX, 1, 0 }, { 5, 0, INT64_MAX, 95 },
    };
    ct_corpus *c = new_corpus(100);
    int i;

    for (i = 0; i < LENGTH(cases); i++) {
        ct_loader_windows_options o = { .batch_size = INT64_MAX,
                                        .steps = cases[i].steps,
                                        .shuffle = true,
                                        .first = cases[i].first,
                                        .count = cases[i].count };
        ct_loader *l = ct_loader_windows_new(c, o);

        if (!cases[i].given) {
            ck_assert_ptr_null(l);
            expect_error(CT_ERR_SHAPE, "ct_loader_windows_new", "too few ... from token");
            continue;
        }
        ck_assert_msg(l != NULL, "case %d: %s", i, ct_error_message());
        ck_assert_int_eq(ct_loader_batches(l), 1);
        ck_assert_int_eq(ct_loader_tokens(l), cases[i].given * cases[i].steps);
        ct_loader_free(l);
    }
    ct_corpus_free(c);
}
END_TEST

START_TEST(sequences_too_short)
{
    enum { B = 4, T = 6 };
    int random, o;

    for (random = 0; random < 2; random++) {
        /* one batch at the largest offset, and one token less */
        int need = random ? B * T + (T - 1) + 1 : B * T + T + 1;
        ct_loader_sequences_options options = { .batch_size = B, .steps = T, .random = random };
        ct_corpus *enough = new_corpus((size_t)need), *less = new_corpus((size_t)need - 1);
        ct_loader *l = ct_loader_sequences_new(enough, options);
        char word[40];

        ck_assert_ptr_null(ct_loader_sequences_new(less, options));
        snprintf(word, sizeof word, "too few ... 4 x 6 ... %d", need);
        expect_error(CT_ERR_SHAPE, "ct_loader_sequences_new", word);
        ck_assert_ptr_nonnull(l);
        for (o = 0; o <= T - random; o++) {
            ck_assert_int_eq(ct_loader_set_offset(l, o), CT_OK);
            ck_assert_int_eq(ct_loader_begin(l), CT_OK);
            ck_assert_int_eq(ct_loader_batches(l), 1);
        }
        options.batch_size = options.steps = INT64_MAX;
        ck_assert_ptr_null(ct_loader_sequences_new(enough, options));
        expect_error(CT_ERR_SHAPE, "ct_loader_sequences_new", "too few");
        ct_loader_free(l);
        ct_corpus_free(enough);
        ct_corpus_free(less);
    }
}
END_TEST

START_TEST(loader_bad)
{
    static const struct {
        int64_t batch_size, steps, first, count;
    } cases[] = { { 0, 1, 0, 1 },  { 1, 0, 0, 1 }, { -1, 1, 0, 1 }, { 1, INT64_MIN, 0, 1 },
                  { 1, 1, -1, 1 }, { 1, 1, 0, 0 }, { 1, 1, 0, -1 } };
    ct_corpus *c = new_corpus(100);
    ct_loader *l;
    int i;

    for (i = 0; i < LENGTH(cases); i++) {
        ct_loader_windows_options w = { .batch_size = cases[i].batch_size,
                                        .steps = cases[i].steps,
                                        .first = cases[i].first,
                                        .count = cases[i].count };
        ct_loader_sequences_options q = { .batch_size = cases[i].batch_size,
                                          .steps = cases[i].steps };

        ck_assert_ptr_null(ct_loader_windows_new(c, w));
        expect_error(CT_ERR_ARGUMENT, "ct_loader_windows_new", "must be at least");
        if (i >= 4)
            continue;
        ck_assert_ptr_null(ct_loader_sequences_new(c, q));
        expect_error(CT_ERR_ARGUMENT, "ct_loader_sequences_new", "must be at least 1");
    }
    ck_assert_ptr_null(ct_loader_windows_new(NULL, (ct_loader_windows_options){ .batch_size = 1 }));
    expect_error(CT_ERR_ARGUMENT, "ct_loader_windows_new", "corpus is NULL");
    l = ct_loader_windows_new(
        c, (ct_loader_windows_options){ .batch_size = 1, .steps = 1, .count = 1 });
    ck_assert_int_eq(ct_loader_set_offset(l, 0), CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_loader_set_offset", "windows have no offset");
    ct_loader_free(l);
    for (i = 0; i < 2; i++) {
        l = ct_loader_sequences_new(
            c, (ct_loader_sequences_options){ .batch_size = 2, .steps = 5, .random = i });
        ck_assert_int_eq(ct_loader_set_offset(l, -2), CT_ERR_ARGUMENT);
        expect_error(CT_ERR_ARGUMENT, "ct_loader_set_offset", "offset is -2");
        ck_assert_int_eq(ct_loader_set_offset(l, 6 - i), CT_ERR_ARGUMENT);
        expect_error(CT_ERR_ARGUMENT, "ct_loader_set_offset",
                     i ? "offset is 5 ... 4" : "offset is 6 ... 5");
        ct_loader_free(l);
    }
    ct_corpus_free(c);
}
END_TEST

START_TEST(loader_errors_stand)
{
    ct_corpus *c = new_corpus(100);
    const ct_loader_windows_options o = { .batch_size = 2, .steps = 5, .count = 90 };
    ct_loader_windows_options nowhere = o;
    ct_loader *l = ct_loader_windows_new(c, o), *n;
    ct_scope s = ct_scope_begin();
    ct_batch b;

    ck_assert(!ct_loader_next(l, &b));
    expect_error(CT_ERR_ARGUMENT, "ct_loader_next", "ct_loader_begin");
    ck_assert_int_eq(ct_loader_begin(l), CT_OK);
    ck_assert(!ct_loader_next(l, NULL));
    expect_error(CT_ERR_ARGUMENT, "ct_loader_next", "batch is NULL");
    ck_assert(!ct_loader_next(NULL, &b));
    expect_error(CT_ERR_ARGUMENT, "ct_loader_next", "l is NULL");
    ck_assert_int_eq(ct_loader_begin(NULL), CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_loader_begin", "l is NULL");
    ck_assert(ct_loader_next(l, &b));
    ck_assert_int_eq(ct_scope_end(s), CT_OK);

    ck_assert(!ct_loader_next(l, &b)); /* no scope */
    ck_assert_ptr_null(b.x);
    expect_error(CT_ERR_SCOPE, "ct_from_data", "scope");

    /* a loop over batches ends when its step failed, and the scope of the next one says so */
    ct_raise(CT_ERR_NUMERIC, "step", "the loss is not finite");
    s = ct_scope_begin();
    ck_assert(!ct_loader_next(l, &b));
    ck_assert_int_eq(ct_scope_end(s), CT_ERR_NUMERIC);
    s = ct_scope_begin();
    ck_assert_int_eq(ct_loader_begin(l), CT_ERR_NUMERIC);
    ck_assert_int_eq(ct_scope_end(s), CT_ERR_NUMERIC);
    ct_error_clear();
    s = ct_scope_begin();
    ck_assert(ct_loader_next(l, &b)); /* where it stopped: the second batch */
    ck_assert_int_eq(place_of(c, ct_data(b.x), 5), 2);
    ck_assert_int_eq(ct_scope_end(s), CT_OK);

    nowhere.device = 77;
    n = ct_loader_windows_new(c, nowhere);
    s = ct_scope_begin();
    ck_assert(!n || (ct_loader_begin(n) == CT_OK && !ct_loader_next(n, &b)));
    ck_assert_int_eq(ct_scope_end(s), CT_ERR_DEVICE);
    ct_error_clear();
    ct_loader_free(n);
    ct_loader_free(l);
    ct_corpus_free(c);
}
END_TEST

/* ---- allocations that fail ---- */

static cti_memory_table libc_memory;
static int allocations, fail_from, fail_to; /* those numbered fail_from .. fail_to, from 1 */
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

/* From a text's bytes to a batch of each loader; the status of the whole. */
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
    for (k = 0; k < 800; k++) /* makes what the thread keeps; debug builds hold handles back */
        ck_assert_int_eq(whole_way(s), CT_OK);
    ct_memory_trim();
    baseline = held;
    for (every = 0; every < 2; every++) { /* the k-th alone; the k-th and all after it */
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
            NULL); /* goes on to the sample, unless there is no room for that */
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

/* ---- all of it ---- */

static Suite *data_suite(void)
{
    Suite *suite = suite_create("data");
    TCase *vocab = tcase_create("vocab"), *loader = tcase_create("loader");

    suite_add_tcase(suite, text_cases());
    suite_add_tcase(suite, token_cases());

    tcase_add_checked_fixture(vocab, setup, teardown);
    tcase_add_test(vocab, cleaning);
    tcase_add_test(vocab, invalid_utf8);
    tcase_add_test(vocab, protocols);
    tcase_add_test(vocab, vocab_order);
    tcase_add_test(vocab, vocab_encode);
    tcase_add_test(vocab, vocab_bad);
    tcase_add_test(vocab, corpus_null);
    suite_add_tcase(suite, vocab);

    tcase_add_checked_fixture(loader, setup, teardown);
    tcase_add_test(loader, windows_in_order);
    tcase_add_test(loader, windows_of_the_book_protocol);
    tcase_add_test(loader, windows_shuffled);
    tcase_add_test(loader, sequential_offsets);
    tcase_add_test(loader, sequential_continues);
    tcase_add_test(loader, classic_protocol);
    tcase_add_test(loader, random_iterator);
    tcase_add_test(loader, continues_is_false);
    tcase_add_test(loader, windows_too_short);
    tcase_add_test(loader, sequences_too_short);
    tcase_add_test(loader, loader_bad);
    tcase_add_test(loader, loader_errors_stand);
    tcase_add_test(loader, allocation_fails);
    tcase_add_test(loader, allocation_fails_reading);
    suite_add_tcase(suite, loader);
    return suite;
}

int main(void)
{
    find_known();
    return harness_run(data_suite());
}
