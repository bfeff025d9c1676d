/* SPDX-License-Identifier: MIT */
/* tokens.c - tests of cleaning by Unicode, and of tokens other than ASCII characters. */
#include "tensor/internal.h"

#include "tests/fetch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cotangent/data/vocab.h>

/* Returns true if this build has libutf8proc; else prints that the test is skipped. */
static bool has_unicode(const char *test)
{
#ifdef CT_HAVE_UTF8PROC
    (void)test;
    return true;
#else
    printf("%s: skipped, this build is without libutf8proc\n", test);
    return false;
#endif
}

/* Returns the tokens of text, each followed by a bar, in a static buffer. */
static const char *cut(ct_token_kind kind, const char *text, size_t size)
{
    static char got[400];
    ct_vocab *v = ct_vocab_new(text, size, (ct_vocab_options){ .tokens = kind });
    int32_t *ids = malloc((size + 1) * sizeof *ids);
    int64_t unknown, count, i;

    ck_assert_msg(v != NULL, "'%s': %s", text, ct_error_message());
    count = ct_vocab_encode(v, text, size, ids, &unknown);
    ck_assert(count <= (int64_t)size);
    got[0] = '\0';
    for (i = 0; i < count; i++) {
        strcat(got, ct_vocab_token(v, ids[i]));
        strcat(got, "|");
    }
    free(ids);
    ct_vocab_free(v);
    return got;
}

START_TEST(cutting)
{
    static const struct {
        ct_token_kind kind;
        const char *text, *tokens;
    } cases[] = {
        { CT_TOKEN_KIND_CHAR, "ab c", "a|b| |c|" },
        { CT_TOKEN_KIND_CHAR,
          "n\xc3\xa9"
          "e\xcc\x81\xe2\x82\xac\xf0\x9f\x98\x80",
          "n|\xc3\xa9|e|\xcc\x81|\xe2\x82\xac|\xf0\x9f\x98\x80|" },
        { CT_TOKEN_KIND_CHAR, "\xc3\xc3\xa9\xff\xe2\x82x", "\xc3|\xc3\xa9|\xff|\xe2|\x82|x|" },
        { CT_TOKEN_KIND_CHAR, "\xed\xa0\x80\xf4\x90\x80\x80", /* a surrogate; beyond U+10FFFF */
          "\xed|\xa0|\x80|\xf4|\x90|\x80|\x80|" },
        { CT_TOKEN_KIND_BYTE, "n\xc3\xa9\xff", "n|\xc3|\xa9|\xff|" },
        { CT_TOKEN_KIND_WORD, "the  time\tmachine\n", "the|time|machine|" },
        { CT_TOKEN_KIND_WORD, " \r\n\v\f\x1c ", "" },
        { CT_TOKEN_KIND_WORD,
          "a\xc2\xa0"
          "b\xe2\x80\xa8"
          "c\xe3\x80\x80"
          "d\xc2\x85"
          "e\xe2\x80\x8b"
          "f",
          "a|b|c|d|e\xe2\x80\x8b"
          "f|" }, /* U+200B is not white space */
        { CT_TOKEN_KIND_WORD, "\xff \x85 \xc2", "\xff|\x85|\xc2|" },
        { CT_TOKEN_KIND_WORD, "the <unk> x", "the|<unk>|x|" },
    };
    int i;

    for (i = 0; i < LENGTH(cases); i++) {
        const char *got = cut(cases[i].kind, cases[i].text, strlen(cases[i].text));

        ck_assert_msg(strcmp(got, cases[i].tokens) == 0, "case %d: '%s', not '%s'", i, got,
                      cases[i].tokens);
    }
}
END_TEST

START_TEST(graphemes)
{
    static const struct {
        const char *text, *tokens;
    } cases[] = {
        { "ab", "a|b|" },
        { "e\xcc\x81x", "e\xcc\x81|x|" }, /* a letter and its accent */
        { "a\r\nb", "a|\r\n|b|" },
        { "\xf0\x9f\x87\xab\xf0\x9f\x87\xb7\xf0\x9f\x87\xa9\xf0\x9f\x87\xaa", /* two flags */
          "\xf0\x9f\x87\xab\xf0\x9f\x87\xb7|\xf0\x9f\x87\xa9\xf0\x9f\x87\xaa|" },
        { "\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x91\xa7!", /* a family */
          "\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x91\xa7|!|" },
        { "\xe1\x84\x92\xe1\x85\xa1\xe1\x86\xab", "\xe1\x84\x92\xe1\x85\xa1\xe1\x86\xab|" },
        { "\xcc\x81"
          "e",
          "\xcc\x81|e|" },
        { "e\xff\xcc\x81", "e|\xff|\xcc\x81|" },
    };
    int i;

    if (!has_unicode("graphemes"))
        return;
    for (i = 0; i < LENGTH(cases); i++) {
        const char *got = cut(CT_TOKEN_KIND_GRAPHEME, cases[i].text, strlen(cases[i].text));

        ck_assert_msg(strcmp(got, cases[i].tokens) == 0, "case %d: '%s', not '%s'", i, got,
                      cases[i].tokens);
    }
}
END_TEST

START_TEST(unicode_cleaning)
{
    static const struct {
        const char *text, *letters, *fold;
    } cases[] = {
        { "It's 1895!", "it s ", "it's 1895!" },
        { "\xc3\x89T\xc3\x89", "\xc3\xa9t\xc3\xa9", "\xc3\xa9t\xc3\xa9" },
        { "E\xcc\x81", "\xc3\xa9", "\xc3\xa9" }, /* composed */
        { "Stra\xc3\x9f"
          "e",
          "strasse", "strasse" },
        { "\xce\xa3\xce\xaf\xcf\x83\xcf\x85\xcf\x86\xce\xbf\xcf\x82", /* a final sigma */
          "\xcf\x83\xce\xaf\xcf\x83\xcf\x85\xcf\x86\xce\xbf\xcf\x83",
          "\xcf\x83\xce\xaf\xcf\x83\xcf\x85\xcf\x86\xce\xbf\xcf\x83" },
        { "\xd0\x9c\xd0\xb8\xd1\x80, \xe4\xb8\x96\xe7\x95\x8c\xe3\x80\x82",
          "\xd0\xbc\xd0\xb8\xd1\x80 \xe4\xb8\x96\xe7\x95\x8c ",
          "\xd0\xbc\xd0\xb8\xd1\x80, \xe4\xb8\x96\xe7\x95\x8c\xe3\x80\x82" },
        { "q\xcc\x87!\xcc\x87", "q\xcc\x87 ", "q\xcc\x87!\xcc\x87" }, /* marks */
        { "A\xff\xfe"
          "B\xc3",
          "a b ",
          "a\xff\xfe"
          "b\xc3" },
        { "\xff\xff", " ", "\xff\xff" },
        { "", "", "" },
    };
    int i;

    if (!has_unicode("unicode_cleaning"))
        return;
    for (i = 0; i < LENGTH(cases); i++) {
        size_t size, n = strlen(cases[i].text);
        char *letters = ct_clean_apply(CT_CLEAN_LETTERS, cases[i].text, n, &size);
        char *fold = ct_clean_apply(CT_CLEAN_FOLD, cases[i].text, n, NULL);

        ck_assert_msg(letters && strcmp(letters, cases[i].letters) == 0, "case %d: '%s'", i,
                      letters);
        ck_assert_uint_eq(size, strlen(letters));
        ck_assert_msg(fold && strcmp(fold, cases[i].fold) == 0, "case %d: '%s'", i, fold);
        harness_free(letters);
        harness_free(fold);
    }
}
END_TEST

START_TEST(names)
{
    int i;

    for (i = 0; i < 4; i++)
        ck_assert_int_eq(ct_token_kind_from_name(ct_token_kind_name((ct_token_kind)i)), i);
    for (i = 0; i < 5; i++)
        ck_assert_int_eq(ct_clean_from_name(ct_clean_name((ct_clean)i)), i);
    ck_assert_str_eq(ct_token_kind_name((ct_token_kind)4), "?");
    ck_assert_str_eq(ct_clean_name((ct_clean)-1), "?");
    ck_assert(ct_token_kind_from_name("chars") < 0 && ct_token_kind_from_name(NULL) < 0);
    ck_assert(ct_clean_from_name("") < 0 && ct_clean_from_name(NULL) < 0);
}
END_TEST

/* Returns the tokens of a vocabulary with their counts, in order of their ids. */
static const char *listed(const ct_vocab *v)
{
    static char got[400];
    int id;

    got[0] = '\0';
    for (id = 0; id < ct_vocab_size(v); id++)
        snprintf(got + strlen(got), sizeof got - strlen(got), "%s%d ", ct_vocab_token(v, id),
                 (int)ct_vocab_count(v, id));
    return got;
}

START_TEST(word_vocabularies)
{
    static const char *const reserved[] = { "<pad>", "time" };
    static const struct {
        const char *text;
        ct_vocab_options options;
        const char *tokens;
    } cases[] = {
        { "the time of the time of the",
          { .order = CT_VOCAB_ORDER_FREQUENCY },
          "<unk>0 the3 time2 of2 " },
        { "the time of the time of the",
          { .order = CT_VOCAB_ORDER_SORTED },
          "<unk>0 of2 the3 time2 " },
        { "the time of the time of the",
          { .order = CT_VOCAB_ORDER_FREQUENCY, .min_freq = 3 },
          "<unk>4 the3 " },
        { "a b <unk> a", { .order = CT_VOCAB_ORDER_SORTED }, "<unk>1 a2 b1 " },
        { "a b <unk> a", { .order = CT_VOCAB_ORDER_SORTED, .min_freq = 2 }, "<unk>2 a2 " },
        { "of time",
          { .reserved = reserved, .reserved_count = 2, .order = CT_VOCAB_ORDER_FREQUENCY },
          "<unk>0 <pad>0 time1 of1 " },
    };
    int i;

    for (i = 0; i < LENGTH(cases); i++) {
        ct_vocab_options o = cases[i].options;
        ct_vocab *v;

        o.tokens = CT_TOKEN_KIND_WORD;
        v = ct_vocab_new(cases[i].text, strlen(cases[i].text), o);
        ck_assert_msg(v && strcmp(listed(v), cases[i].tokens) == 0, "case %d: '%s', not '%s'", i,
                      v ? listed(v) : ct_error_message(), cases[i].tokens);
        ct_vocab_free(v);
    }
}
END_TEST

/* More words than the first table can hold are found and stay in order. */
START_TEST(many_words)
{
    const int n = 5000;
    char *text = calloc((size_t)n, 8), *end = text, word[16], *back;
    int32_t *ids = calloc((size_t)n * 8, sizeof *ids);
    ct_vocab *v;
    int i;

    for (i = 0; i < n; i++)
        end += sprintf(end, i ? " w%d" : "w%d", i);
    v = ct_vocab_new(
        text, strlen(text),
        (ct_vocab_options){ .tokens = CT_TOKEN_KIND_WORD, .order = CT_VOCAB_ORDER_FREQUENCY });
    ck_assert_int_eq(ct_vocab_size(v), n + 1);
    for (i = 0; i < n; i++) {
        snprintf(word, sizeof word, "w%d", i);
        ck_assert_int_eq(ct_vocab_id(v, word), i + 1);
    }
    ck_assert_int_eq(ct_vocab_encode(v, text, strlen(text), ids, NULL), n);
    back = ct_vocab_decode(v, ids, (size_t)n);
    ck_assert_str_eq(back, text);
    harness_free(back);
    ct_vocab_free(v);
    free(ids);
    free(text);
}
END_TEST

START_TEST(byte_vocabulary)
{
    static const char *const reserved[] = { "<bos>" }, *const letter[] = { "a" };
    ct_vocab_options o = { .tokens = CT_TOKEN_KIND_BYTE,
                           .reserved = reserved,
                           .reserved_count = 1 };
    ct_vocab *v = ct_vocab_new("abba\0\xff", 6, o);
    char all[256];
    int32_t ids[256];
    int64_t unknown = 7;
    int i;

    ck_assert_int_eq(ct_vocab_size(v), 257);
    ck_assert_int_eq(ct_vocab_unknown(v), -1);
    for (i = 0; i < 256; i++)
        all[i] = (char)i;
    ck_assert_int_eq(ct_vocab_encode(v, all, 256, ids, &unknown), 256);
    ck_assert_int_eq(unknown, 0);
    for (i = 0; i < 256; i++)
        ck_assert_int_eq(ids[i], i);
    ck_assert_int_eq(ct_vocab_count(v, 'a'), 2);
    ck_assert_int_eq(ct_vocab_count(v, 0), 1);
    ck_assert_int_eq(ct_vocab_count(v, 255), 1);
    ck_assert_int_eq(ct_vocab_id(v, "<bos>"), 256);
    ck_assert_int_eq(ct_vocab_id(v, "<unk>"), -1);
    ck_assert_str_eq(ct_vocab_token(v, 0), "");
    ct_vocab_free(v);
    o.reserved = letter; /* is also the token of a byte */
    v = ct_vocab_new("", 0, o);
    ck_assert_int_eq(ct_vocab_size(v), 256);
    ct_vocab_free(v);

    ck_assert_ptr_null(
        ct_vocab_new("a", 1, (ct_vocab_options){ .tokens = CT_TOKEN_KIND_BYTE, .min_freq = 2 }));
    expect_error(CT_ERR_ARGUMENT, "ct_vocab_new", "min_freq is 2");
    ck_assert_ptr_null(ct_vocab_new("a", 1, (ct_vocab_options){ .tokens = (ct_token_kind)9 }));
    expect_error(CT_ERR_ARGUMENT, "ct_vocab_new", "tokens is 9");
}
END_TEST

START_TEST(vocabularies_of_lists)
{
    static const char *const good[] = { "<unk>", "b", "a", "\xc3\xa9", "\xff" };
    static const struct {
        ct_token_kind kind;
        int count;
        const char *tokens[3];
        const char *word;
    } bad[] = {
        { CT_TOKEN_KIND_CHAR, 0, { NULL }, "the tokens do not include <unk>" },
        { CT_TOKEN_KIND_CHAR, 2, { "a", "b" }, "the tokens do not include <unk>" },
        { CT_TOKEN_KIND_WORD, 3, { "<unk>", "a", "a" }, "token 2 is given twice" },
        { CT_TOKEN_KIND_CHAR, 2, { "<unk>", "" }, "token 1 is empty" },
        { CT_TOKEN_KIND_CHAR, 2, { "<unk>", NULL }, "token 1 is NULL" },
        { CT_TOKEN_KIND_BYTE, 1, { "a" }, "token 0 is given twice" },
    };
    ct_vocab *v = ct_vocab_new_from_tokens(CT_TOKEN_KIND_CHAR, 5, good);
    int32_t ids[8];
    int i;

    ck_assert_ptr_nonnull(v);
    ck_assert_int_eq(ct_vocab_encode(v, "ab\xc3\xa9\xff\xfe", 6, ids, NULL), 5);
    ck_assert_int_eq(memcmp(ids, (int32_t[]){ 2, 1, 3, 4, 0 }, 5 * sizeof *ids), 0);
    ct_vocab_free(v);
    v = ct_vocab_new_from_tokens(CT_TOKEN_KIND_BYTE, 0, NULL);
    ck_assert_int_eq(ct_vocab_size(v), 256);
    ct_vocab_free(v);
    for (i = 0; i < LENGTH(bad); i++) {
        ck_assert_ptr_null(ct_vocab_new_from_tokens(bad[i].kind, bad[i].count, bad[i].tokens));
        expect_error(CT_ERR_FORMAT, "ct_vocab_new_from_tokens", bad[i].word);
    }
    ck_assert_ptr_null(ct_vocab_new_from_tokens(CT_TOKEN_KIND_CHAR, 1, NULL));
    expect_error(CT_ERR_ARGUMENT, "ct_vocab_new_from_tokens", "tokens is NULL");
}
END_TEST

START_TEST(corpora_of_words)
{
    static const char lines[] = "The Time\nMachine -- the time\n";
    ct_text *t = ct_text_new_from_bytes(lines, sizeof lines - 1, "test");
    ct_corpus_options o = { .clean = CT_CLEAN_LINES, .vocab.tokens = CT_TOKEN_KIND_WORD };
    ct_corpus *c = ct_corpus_new(t, o), *other;
    char *s = ct_vocab_decode(ct_corpus_vocab(c), ct_corpus_ids(c), (size_t)ct_corpus_size(c));
    char hex[65];

    ck_assert_str_eq(s, "the time machine the time"); /* lines do not run into one another */
    harness_free(s);
    ck_assert_int_eq(ct_corpus_characters(c), 25);
    ck_assert_int_eq(ct_corpus_bytes(c), 25);
    ck_assert(ct_corpus_clean(c) == CT_CLEAN_LINES);
    ct_sha256_hex(lines, sizeof lines - 1, hex);
    ck_assert_str_eq(ct_corpus_sha256(c), hex);
    ct_text_free(t);

    t = ct_text_new_from_bytes("No time at the \xc3\xa9t\xc3\xa9", 20, "test");
    o = (ct_corpus_options){ .clean = CT_CLEAN_NONE, .known = ct_corpus_vocab(c) };
    other = ct_corpus_new(t, o);
    ck_assert(ct_corpus_vocab(other) == ct_corpus_vocab(c));
    ck_assert_int_eq(ct_corpus_size(other), 5);
    ck_assert_int_eq(ct_corpus_unknown(other), 3);
    ck_assert_int_eq(ct_corpus_characters(other), 18);
    ck_assert_int_eq(ct_corpus_bytes(other), 20);
    ct_corpus_free(other);
    o.max_tokens = 2;
    other = ct_corpus_new(t, o);
    ck_assert_int_eq(ct_corpus_size(other), 2);
    ck_assert_int_eq(ct_corpus_bytes(other), 7);
    ct_corpus_free(other);
    ct_corpus_free(c);
    ct_text_free(t);

    t = ct_text_new_from_bytes("\xc3\xa9 1895", 7, "test"); /* a letter, but not of a to z */
    ck_assert_ptr_null(ct_corpus_new(t, (ct_corpus_options){ .clean = CT_CLEAN_TEXT }));
    expect_error(CT_ERR_FORMAT, "ct_corpus_new", "empty after cleaning \"text\"");
    ct_text_free(t);
}
END_TEST

START_TEST(any_bytes)
{
    const char *path = in_folder("any");
    ct_text *t;

    write_bytes(path, "12\0\xff", 4);
    t = ct_text_read_binary(path);
    ck_assert_msg(t && ct_text_size(t) == 4, "%s", ct_error_message());
    ct_text_free(t);
    write_bytes(path, "", 0);
    ck_assert_ptr_null(ct_text_read_binary(path));
    expect_error(CT_ERR_FORMAT, "ct_text_read_binary", "/any: is empty");
    ck_assert_ptr_null(ct_text_read_binary(in_folder("none")));
    expect_error(CT_ERR_IO, "ct_text_read_binary", "/none: No such file");
    ck_assert_ptr_null(ct_text_read_binary(NULL));
    expect_error(CT_ERR_ARGUMENT, "ct_text_read_binary", "path is NULL");
}
END_TEST

/* Random bytes, mostly not UTF-8: characters and graphemes joined again give the text, and the
 * result of any cleaning can be cut into tokens. */
START_TEST(malformed)
{
    ct_generator g = ct_generator_stream(ct_generator_from_seed(3), "malformed");
    const char pool[] = "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xcc\x81\xff\xed\xa0 \nAz";
    int round, rounds = harness_count(300, 20000);
#ifdef CT_HAVE_UTF8PROC
    const int kinds = 4, cleanings = 5;
#else
    const int kinds = 3, cleanings = 3;
#endif

    for (round = 0; round < rounds; round++) {
        char s[41] = "";
        size_t size = 1 + (size_t)ct_random_below(&g, 40), i;
        int clean, kind;

        for (i = 0; i < size; i++) /* no NUL */
            s[i] = round % 2 ? pool[ct_random_below(&g, sizeof pool - 1)]
                             : (char)(1 + ct_random_below(&g, 255));
        for (clean = 0; clean < cleanings; clean++) {
            size_t n;
            char *cleaned = ct_clean_apply((ct_clean)clean, s, size, &n);
            int32_t *ids = malloc((n + 1) * sizeof *ids);

            ck_assert_msg(cleaned != NULL, "%s", ct_error_message());
            for (kind = 0; kind < kinds; kind++) {
                ct_vocab *v =
                    ct_vocab_new(cleaned, n, (ct_vocab_options){ .tokens = (ct_token_kind)kind });
                int64_t unknown, count = ct_vocab_encode(v, cleaned, n, ids, &unknown);
                char *back = ct_vocab_decode(v, ids, (size_t)count);

                ck_assert(v && back && unknown == 0 && count <= (int64_t)n);
                if (kind != CT_TOKEN_KIND_WORD)
                    ck_assert_msg(strcmp(back, cleaned) == 0, "round %d, cleaning %d, kind %d",
                                  round, clean, kind);
                harness_free(back);
                ct_vocab_free(v);
            }
            free(ids);
            harness_free(cleaned);
        }
    }
}
END_TEST

TCase *token_cases(void)
{
    TCase *tc = tcase_create("tokens");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, cutting);
    tcase_add_test(tc, graphemes);
    tcase_add_test(tc, unicode_cleaning);
    tcase_add_test(tc, names);
    tcase_add_test(tc, word_vocabularies);
    tcase_add_test(tc, many_words);
    tcase_add_test(tc, byte_vocabulary);
    tcase_add_test(tc, vocabularies_of_lists);
    tcase_add_test(tc, corpora_of_words);
    tcase_add_test(tc, any_bytes);
    tcase_add_test(tc, malformed);
    return tc;
}
