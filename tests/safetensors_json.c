/* SPDX-License-Identifier: MIT */
/* safetensors_json.c - the reader and the writer of JSON. */
#include "tensor/internal.h"
#include "tensor/hooks.h"
#include "tensor/json.h"
#include "tests/files.h"
#include "tests/harness.h"

#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/json_print.h"
#include "tests/test_safetensors.h"

/* Replaces each ' by ", because the tables have ' in place of ". */
static char *quotes(const char *text)
{
    char *copy = strdup(text);

    for (char *s = copy; *s; s++)
        if (*s == '\'')
            *s = '"';
    return copy;
}

/* Texts that are accepted, and the text that is written from the values. */
START_TEST(accepted)
{
    static const struct {
        const char *text, *again;
    } cases[] = {
        { "0", "0" },
        { "-0", "0" },
        { " \t\r\n{ } \n", "{}" },
        { "[]", "[]" },
        { "[[],{},[[]]]", "[[],{},[[]]]" },
        { "{'b':1,'a':[true,false,null],'':{'':''}}", "{'b':1,'a':[true,false,null],'':{'':''}}" },
        { "{'a':{'x':1},'b':{'x':2}}", "{'a':{'x':1},'b':{'x':2}}" },
        { "9223372036854775807", "9223372036854775807" },
        { "-9223372036854775808", "-9223372036854775808" },
        { "[10,-12,1.5,-2E+3,0.0e-0,1e400]", "[10,-12,1.5,-2E+3,0.0e-0,1e400]" },
        { "'\\'\\\\\\/\\b\\f\\n\\r\\t'", "'\\'\\\\/\\b\\f\\n\\r\\t'" },
        { "'\\u0041\\u00e9\\u20AC\\uD834\\uDd1E\\u007f'",
          "'A\xc3\xa9\xe2\x82\xac\xf0\x9d\x84\x9e\x7f'" },
        { "'\\u0080\\u07ff\\u0800\\ud7ff\\ue000\\uffff\\ud800\\udc00\\udbff\\udfff'",
          "'\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf\xf0\x90\x80\x80"
          "\xf4\x8f\xbf\xbf'" },
        { "'\xc3\xa9\xf0\x9d\x84\x9e\x7f'", "'\xc3\xa9\xf0\x9d\x84\x9e\x7f'" },
        { "'\\u001f\\u0001'", "'\\u001F\\u0001'" },
        { "{'a':1,'A':2,'aa':3,'\\u0061b':4}", "{'a':1,'A':2,'aa':3,'ab':4}" },
    };

    for (int i = 0; i < LENGTH(cases); i++) {
        char *text = quotes(cases[i].text), *again = quotes(cases[i].again);
        cti_buffer b = { 0 };
        cti_json_error error;
        cti_json *v = cti_json_read(text, strlen(text), (cti_json_limits){ 0 }, &error);

        ck_assert_msg(v != NULL, "%s: %s", cases[i].text, error.what);
        json_print(&b, v);
        ck_assert_str_eq(b.bytes, again);
        cti_buffer_free(&b);
        cti_release(v);
        free(text);
        free(again);
    }
}
END_TEST

/* Texts that are refused, with the offset and a word of the reason. */
START_TEST(refused)
{
    static const struct {
        const char *text;
        size_t offset;
        const char *word;
    } cases[] = {
        { "", 0, "value" },
        { " ", 1, "value" },
        { "tru", 0, "value" },
        { "truex", 4, "follows" },
        { "nul", 0, "value" },
        { "+1", 0, "value" },
        { ".5", 0, "value" },
        { "1.", 2, "number" },
        { "1.e3", 2, "number" },
        { "1e", 2, "number" },
        { "1e+", 3, "number" },
        { "-", 1, "number" },
        { "-a", 1, "number" },
        { "00", 2, "number" },
        { "-01", 3, "number" },
        { "1 2", 2, "follows" },
        { "Infinity", 0, "value" },
        { "-Infinity", 1, "number" },
        { "9223372036854775808", 0, "64 bits" },
        { "-9223372036854775809", 0, "64 bits" },
        { "[1", 2, "array" },
        { "[1,", 3, "value" },
        { "[1,]", 3, "value" },
        { "[,1]", 1, "value" },
        { "[1 2]", 3, "array" },
        { "[1}", 2, "array" },
        { "]", 0, "value" },
        { "{", 1, "key" },
        { "{1:2}", 1, "key" },
        { "{'a'", 4, "colon" },
        { "{'a':", 5, "value" },
        { "{'a':1", 6, "object" },
        { "{'a':1]", 6, "object" },
        { "{'a':1,}", 7, "key" },
        { "{'a':1,'b':2,'a':3}", 13, "twice" },
        { "{'b':{'a':1,'\\u0061':3}}", 12, "twice" },
        { "[{'':1,'':3}]", 7, "twice" },
        { "'", 0, "does not end" },
        { "'a\\", 2, "escape" },
        { "'\\'", 0, "does not end" },
        { "'\\x'", 1, "escape" },
        { "'\\u12'", 5, "hexadecimal" },
        { "'\\u12g4'", 5, "hexadecimal" },
        { "'\\u'", 3, "hexadecimal" },
        { "'a\\u0000'", 2, "u0000" },
        { "'\\udc00'", 1, "low surrogate" },
        { "'\\ud800'", 1, "high surrogate" },
        { "'\\ud800x'", 1, "high surrogate" },
        { "'\\ud800\\n'", 1, "high surrogate" },
        { "'\\ud800\\u0041'", 1, "high surrogate" },
        { "'\\ud800\\ud800'", 1, "high surrogate" },
        { "'\\ud800\\u'", 9, "hexadecimal" },
        { "'\x1f'", 1, "control" },
        { "'\xc0\x80'", 1, "UTF-8" },
        { "'\xed\xa0\x80'", 1, "UTF-8" },
        { "'\xe2\x82'", 1, "UTF-8" },
        { "'\xf4\x90\x80\x80'", 1, "UTF-8" },
        { "\xef\xbb\xbf{}", 0, "value" },
        { "/**/1", 0, "value" },
    };

    for (int i = 0; i < LENGTH(cases); i++) {
        char *text = quotes(cases[i].text), *exact = malloc(strlen(text) + 1);
        size_t n = strlen(text);
        cti_json_error error;

        exact = realloc(exact, n ? n : 1); /* exactly n bytes, so that AddressSanitizer notices an
                                            * access beyond them */
        memcpy(exact, text, n);
        ck_assert_msg(cti_json_read(exact, n, (cti_json_limits){ 0 }, &error) == NULL,
                      "%s is accepted", text);
        ck_assert_msg(error.memory == 0 && error.offset == cases[i].offset &&
                          strstr(error.what, cases[i].word),
                      "%s: offset %zu: %s", text, error.offset, error.what);
        free(exact);
        free(text);
    }
    {
        cti_json_error error;

        ck_assert_ptr_null(cti_json_read("{}\0", 3, (cti_json_limits){ 0 }, &error));
        ck_assert_uint_eq(error.offset, 2);
        ck_assert_ptr_null(cti_json_read("'\0'", 3, (cti_json_limits){ 0 }, &error));
    }
}
END_TEST

static bool accepts(const char *text, cti_json_limits limits, const char *word)
{
    cti_json_error error = { 0 };
    cti_json *v = cti_json_read(text, strlen(text), limits, &error);
    bool ok = v != NULL;

    ck_assert_msg(ok || strstr(error.what, word), "%.40s: %s", text, error.what);
    cti_release(v);
    return ok;
}

START_TEST(limits)
{
    char text[2 * CTI_JSON_DEPTH + 3] = "";

    ck_assert(accepts("[[]]", (cti_json_limits){ .depth = 2 }, ""));
    ck_assert(!accepts("[{'a'", (cti_json_limits){ .depth = 1 }, "more than 1 deep"));
    ck_assert(accepts("{\"a\":1,\"b\":{}}", (cti_json_limits){ .keys = 2 }, ""));
    ck_assert(!accepts("{\"a\":1,\"b\":{\"c\"", (cti_json_limits){ .keys = 2 }, "2 keys"));
    ck_assert(accepts("[[1,2],[3,4]]", (cti_json_limits){ .elements = 2 }, ""));
    ck_assert(!accepts("[[1,2],[3,4,5", (cti_json_limits){ .elements = 2 }, "2 elements"));
    ck_assert(accepts("[1,{\"a\":2}]", (cti_json_limits){ .values = 4 }, ""));
    ck_assert(!accepts("[1,{\"a\":2", (cti_json_limits){ .values = 3 }, "3 values"));
    memset(text, '[', CTI_JSON_DEPTH);
    memset(text + CTI_JSON_DEPTH, ']', CTI_JSON_DEPTH);
    ck_assert(accepts(text, (cti_json_limits){ 0 }, ""));
    memset(text, '[', CTI_JSON_DEPTH + 1);
    ck_assert(!accepts(text, (cti_json_limits){ 0 }, "deep"));
}
END_TEST

/* A number has at most 300 characters. Its value is that of strtod in the C locale, in any locale. */
START_TEST(numbers)
{
    static const char *const texts[] = { "0.5",    "-1e-3", "12.25E1",  "1e400", "-1e400", "1e-400",
                                         "5e-324", "0.1",   "123e0001", "7",     "-7" };
    static const char *const locales[] = { "C", "de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8" };
    double want[LENGTH(texts)];
    char text[400] = "1.";

    for (int i = 0; i < LENGTH(texts); i++)
        want[i] = strtod(texts[i], NULL);
    for (int k = 0; k < LENGTH(locales); k++) {
        if (!setlocale(LC_NUMERIC, locales[k]))
            continue;
        for (int i = 0; i < LENGTH(texts); i++) {
            cti_json_error error;
            cti_json *v = cti_json_read(texts[i], strlen(texts[i]), (cti_json_limits){ 0 }, &error);

            ck_assert(cti_json_is_number(v));
            ck_assert_msg(cti_json_number(v) == want[i], "%s in %s: %g", texts[i], locales[k],
                          cti_json_number(v));
            cti_release(v);
        }
    }
    setlocale(LC_NUMERIC, "C");
    memset(text + 2, '0', 298);
    ck_assert(accepts(text, (cti_json_limits){ 0 }, ""));
    strcat(text, "0");
    ck_assert(!accepts(text, (cti_json_limits){ 0 }, "300 characters"));
}
END_TEST

/* The results for values of another type, and for NULL. */
START_TEST(other_types)
{
    static const char text[] = "{\"a\":[1],\"s\":\"x\",\"n\":2,\"r\":2.5,\"t\":true}";
    cti_json_error error;
    cti_json *root = cti_json_read(text, sizeof text - 1, (cti_json_limits){ 0 }, &error);
    const cti_json *list = cti_json_get(root, "a"), *n = cti_json_get(root, "n");

    ck_assert_int_eq(root->count, 5);
    ck_assert(!root->key && !root->next);
    ck_assert_str_eq(list->key, "a");
    ck_assert_uint_eq(list->offset, 1);
    ck_assert_uint_eq(cti_json_first(list)->offset, 6);
    ck_assert_int_eq(list->count, 1);
    ck_assert_str_eq(cti_json_text(cti_json_get(root, "s")), "x");
    ck_assert(cti_json_get(root, "z") == NULL && cti_json_get(list, "a") == NULL &&
              cti_json_get(n, "a") == NULL && cti_json_get(NULL, "a") == NULL);
    ck_assert(cti_json_first(n) == NULL && cti_json_first(NULL) == NULL &&
              cti_json_first(cti_json_get(root, "s")) == NULL && cti_json_first(root) == list);
    ck_assert(cti_json_text(n) == NULL && cti_json_text(NULL) == NULL &&
              cti_json_text(cti_json_get(root, "r")) == NULL);
    ck_assert(cti_json_number(list) == 0 && cti_json_number(NULL) == 0 && cti_json_number(n) == 2 &&
              cti_json_number(cti_json_get(root, "r")) == 2.5);
    ck_assert(!cti_json_is_number(NULL) && !cti_json_is(NULL, CTI_JSON_NULL));
    ck_assert(cti_json_is(cti_json_get(root, "t"), CTI_JSON_TRUE));
    cti_release(root);
}
END_TEST

START_TEST(equal)
{
    static const char *const kinds[] = {
        "null",
        "true",
        "false",
        "0",
        "1",
        "1.0",
        "1.5",
        "\"\"",
        "\"0\"",
        "\"1\"",
        "[]",
        "[1]",
        "[1,2]",
        "[2,1]",
        "[[1],2]",
        "{}",
        "{\"a\":1}",
        "[{}]",
        "{\"a\":1,\"b\":2}",
        "{\"a\":1,\"b\":3}",
        "{\"b\":1}",
        "[null]",
        "{\"a\":[1]}",
    };
    static const char turned[] = "{ \"b\" : 2, \"a\" : 1 }";
    cti_json *v[LENGTH(kinds)], *other;
    cti_json_error error;

    for (int i = 0; i < LENGTH(kinds); i++)
        v[i] = cti_json_read(kinds[i], strlen(kinds[i]), (cti_json_limits){ 0 }, &error);
    for (int i = 0; i < LENGTH(kinds); i++)
        for (int k = 0; k < LENGTH(kinds); k++)
            ck_assert_msg(cti_json_equal(v[i], v[k]) == (i == k), "%s and %s", kinds[i], kinds[k]);
    other = cti_json_read(turned, sizeof turned - 1, (cti_json_limits){ 0 }, &error);
    for (int i = 0; i < LENGTH(kinds); i++) {
        ck_assert(cti_json_equal(v[i], other) == (strcmp(kinds[i], "{\"a\":1,\"b\":2}") == 0));
        cti_release(v[i]);
    }
    cti_release(other);
}
END_TEST

/* The reader makes one allocation. If it fails, the error has its size; no string is ever
 * truncated. */
START_TEST(memory_fails)
{
    char text[5000];

    for (int n = 0; n < 4900; n += n < 100 ? 1 : 97) {
        cti_json_error error = { 0 };
        cti_json *v;

        memset(text, 'a', sizeof text);
        memcpy(text, "{\"v\":\"", 6);
        memcpy(text + 6 + n, "\"}", 3);
        fail_allocation(1);
        v = cti_json_read(text, (size_t)n + 8, (cti_json_limits){ 0 }, &error);
        ck_assert(v == NULL && error.memory == largest_seen && error.memory > (size_t)n);
        fail_allocation(2);
        v = cti_json_read(text, (size_t)n + 8, (cti_json_limits){ 0 }, &error);
        ck_assert(v != NULL && allocations_seen == 1);
        ck_assert_uint_eq(strlen(cti_json_text(cti_json_get(v, "v"))), (size_t)n);
        fail_nothing();
        cti_release(v);
    }
}
END_TEST

/* Many keys in ascending, descending and mixed order, with and without a key that occurs twice. */
START_TEST(keys_twice)
{
    for (int n = 1; n < 60; n++)
        for (int step = 1; step < n; step += 1 + n / 7)
            for (int twice = -1; twice < n; twice += 1 + n / 5) {
                cti_buffer b = { 0 };
                cti_json_error error = { 0 };
                cti_json *v;

                cti_buffer_add(&b, "{", 1);
                for (int i = 0; i < n; i++) {
                    char key[20];

                    snprintf(key, sizeof key, "k%d", i * step % 61);
                    cti_json_add_key(&b, key);
                    cti_buffer_number(&b, i);
                }
                if (twice >= 0) {
                    char key[20];

                    snprintf(key, sizeof key, "k%d", twice * step % 61);
                    cti_json_add_key(&b, key);
                    cti_buffer_number(&b, n);
                }
                cti_buffer_add(&b, "}", 1);
                v = cti_json_read(b.bytes, b.size, (cti_json_limits){ 0 }, &error);
                ck_assert_msg((v != NULL) == (twice < 0), "%s", b.bytes);
                ck_assert(v || strstr(error.what, "twice"));
                cti_release(v);
                cti_buffer_free(&b);
            }
}
END_TEST

void safetensors_json_cases(Suite *suite)
{
    TCase *tc = harness_case(suite, "json");

    tcase_add_checked_fixture(tc, files_setup, files_teardown);
    tcase_add_test(tc, accepted);
    tcase_add_test(tc, refused);
    tcase_add_test(tc, limits);
    tcase_add_test(tc, numbers);
    tcase_add_test(tc, other_types);
    tcase_add_test(tc, equal);
    tcase_add_test(tc, memory_fails);
    tcase_add_test(tc, keys_twice);
}
