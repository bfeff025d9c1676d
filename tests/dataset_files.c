/* SPDX-License-Identifier: MIT */
/* dataset_files.c - datasets of CSV files. */
#include "tensor/internal.h"

#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/test_dataset.h"

#include "tests/files.h"

static const ct_csv_field two[] = { { "x", "a,b", CT_F64, false }, { 0 } };

/* Makes a CSV dataset of a text. With memory = 1, rows are read from the file. */
static ct_dataset *csv_of(const char *text, ct_dataset_csv_options o)
{
    const char *path = "data.csv";

    write_bytes(path, text, strlen(text));
    return ct_dataset_csv_new(path, o);
}

/* Compares all values of a field twice: read at once, and read row by row from the last to the
 * first. */
static void expect_field(ct_dataset *d, const char *field, int64_t rows, int64_t width,
                         const double *want)
{
    ct_scope s = ct_scope_begin();
    ct_batch b;

    ck_assert_int_eq(ct_dataset_count(d), rows);
    ck_assert(ct_dataset_read(d, 0, 0, &b) == CT_OK);
    expect_values(field, ct_batch_get(&b, field), want, (size_t)(rows * width), 0);
    for (int64_t i = rows - 1; i >= 0; i--) {
        ck_assert(ct_dataset_read(d, i, 1, &b) == CT_OK);
        expect_values(field, ct_batch_get(&b, field), want + i * width, (size_t)width, 0);
    }
    ck_assert(ct_scope_end(s) == CT_OK);
}

/* ---- valid files ---- */

static const struct {
    const char *text;
    ct_dataset_csv_options o;
    int64_t rows;
    double want[8]; /* (rows, 2) */
} good[] = {
    { "a,b\n1,2\n3,4\n", { .fields = two }, 2, { 1, 2, 3, 4 } },
    { "a,b\r\n1,2\r\n3,4",
      { .fields = two },
      2,
      { 1, 2, 3, 4 } }, /* CRLF, and no newline at the end */
    { "\xef\xbb\xbf"
      "b,c,a\n1,2,3\n",
      { .fields = two },
      1,
      { 3, 1 } },
    { "\"a\",\"b\"\n\"1\",\"2\"\n", { .fields = two }, 1, { 1, 2 } },
    { "a,t,b\n1,\"x, \"\"y\"\"\nz\",2\n3,,4\n", { .fields = two }, 2, { 1, 2, 3, 4 } },
    { "a,b\n\n1,2\n\r\n\n3,4\n\n", { .fields = two }, 2, { 1, 2, 3, 4 } },
    { "a, b\n 1 ,\t2 \n \"3\" , 4\n", { .fields = two }, 2, { 1, 2, 3, 4 } },
    { "a;b\n1,5;2\n-,25;+3e2\n",
      { .fields = two, .separator = ';', .decimal = ',' },
      2,
      { 1.5, 2, -.25, 300 } },
    { "a\tb\n1\t2\n", { .fields = two, .separator = '\t' }, 1, { 1, 2 } },
    { "a,b\n1e-5,.5\n0.1,123456789012345678901\n",
      { .fields = two },
      2,
      { 1e-5, .5, .1, 123456789012345678901. } },
    { "a,b\n2.2250738585072014e-308,1.7976931348623157e308\n",
      { .fields = two },
      1,
      { 2.2250738585072014e-308, 1.7976931348623157e308 } },
    { "a,b\n1,\n,4\n", { .fields = two, .missing = CT_CSV_MISSING_NAN }, 2, { 1, NAN, NAN, 4 } },
    { "a,b,c\n1,2,\n1,,3\n3,4,5\n",
      { .fields = two, .missing = CT_CSV_MISSING_SKIP_ROW },
      2,
      { 1, 2, 3, 4 } },
    { "5,1,2\n5,3,4\n",
      { .fields = (ct_csv_field[]){ { "x", "1,2", CT_F64, false }, { 0 } }, .no_header = true },
      2,
      { 1, 2, 3, 4 } },
    { "a,b\n", { .fields = two }, 0, { 0 } },
};

START_TEST(csv_good)
{
    ct_dataset_csv_options o = good[_i].o;

    for (o.memory = 0; o.memory < 2; o.memory++) {
        ct_dataset *d = csv_of(good[_i].text, o);

        ck_assert_msg(d != NULL, "%s", ct_error_message());
        ck_assert_int_eq(ct_dataset_count(d), good[_i].rows);
        if (good[_i].rows)
            expect_field(d, "x", good[_i].rows, 2, good[_i].want);
        ct_dataset_free(d);
    }
}
END_TEST

/* ---- invalid files ---- */

static const ct_csv_field whole[] = { { "x", "a,b", CT_I32, false }, { 0 } };
static const ct_csv_field single[] = { { "x", "a,b", CT_F32, false }, { 0 } };
static const ct_csv_field missing_column[] = { { "load", NULL, CT_F32, false }, { 0 } };
static const ct_csv_field bools[] = { { "x", "a", CT_BOOL, false }, { 0 } };
static const ct_csv_field odd_categories[] = { { "x", "a", CT_F32, true }, { 0 } };
static const ct_csv_field none[] = { { 0 } };

static const struct {
    const char *text;
    ct_dataset_csv_options o;
    ct_status status;
    const char *word;
} bad[] = {
    { "a,b\n1,2\n3\n", { .fields = two }, CT_ERR_FORMAT, "csv:3: the row has 1 values ... 2" },
    { "a,b\n1,2\n3,4,5\n", { .fields = two }, CT_ERR_FORMAT, "csv:3: the row has 3 values" },
    { "a,b\n\n\"1\",\"n/a\"\n", { .fields = two }, CT_ERR_FORMAT, "csv:3: column \"b\": \"n/a\"" },
    { "a,t,b\n1,\"\n\n\",2\n3,,x\n",
      { .fields = two },
      CT_ERR_FORMAT,
      "csv:5: column \"b\": \"x\"" },
    { "a,b\n1,2e\n", { .fields = two }, CT_ERR_FORMAT, "column \"b\": \"2e\" is not a number" },
    { "a,b\n1,0x10\n", { .fields = two }, CT_ERR_FORMAT, "\"0x10\" is not a number" },
    { "a,b\n1,inf\n", { .fields = two }, CT_ERR_FORMAT, "\"inf\" is not a number" },
    { "a,b\n1,1.2.3\n", { .fields = two }, CT_ERR_FORMAT, "\"1.2.3\" is not a number" },
    { "a,b\n1,2 3\n", { .fields = two }, CT_ERR_FORMAT, "\"2 3\" is not a number" },
    { "a,b\n1,1e999\n", { .fields = two }, CT_ERR_FORMAT, "\"1e999\" is not a number" },
    { "a,b\n1,1e39\n", { .fields = single }, CT_ERR_FORMAT, "\"1e39\" ... range of f32" },
    { "a,b\n1,2.5\n", { .fields = whole }, CT_ERR_FORMAT, "\"2.5\" ... range of i32" },
    { "a,b\n1,3000000000\n", { .fields = whole }, CT_ERR_FORMAT, "range of i32" },
    { "a,b\n1,\n", { .fields = two }, CT_ERR_FORMAT, "csv:2: column \"b\": \"\" is empty" },
    { "a,b\n1,\n", { .fields = whole, .missing = CT_CSV_MISSING_NAN }, CT_ERR_FORMAT, "is empty" },
    { "a,b\n1,\"2\n", { .fields = two }, CT_ERR_FORMAT, "csv:2: the file ends inside quotes" },
    { "a,b\n1,\"2\"3\n", { .fields = two }, CT_ERR_FORMAT, "csv:2: value 2 has a quote" },
    { "a,b\n1,2\"\n", { .fields = two }, CT_ERR_FORMAT, "csv:2: value 2 has a quote" },
    { "", { .fields = two }, CT_ERR_FORMAT, "empty" },
    { "a,c\n1,2\n", { .fields = two }, CT_ERR_ARGUMENT, "has no column b" },
    { "a,b,b\n1,2,3\n", { .fields = two }, CT_ERR_ARGUMENT, "column b appears twice" },
    { "a,b\n1,2\n", { .fields = missing_column }, CT_ERR_ARGUMENT, "has no column load" },
    { "1,2\n", { .fields = two, .no_header = true }, CT_ERR_ARGUMENT, "no column a ... 0 to 1" },
    { "a,b\n1,2\n", { .fields = bools }, CT_ERR_DTYPE, "dtype is bool" },
    { "a,b\n1,2\n", { .fields = odd_categories }, CT_ERR_DTYPE, "categories are i32" },
    { "a,b\n1,2\n", { .fields = none }, CT_ERR_ARGUMENT, "fields is empty" },
    { "a,b\n1,2\n", { .fields = NULL }, CT_ERR_ARGUMENT, "fields is NULL" },
    { "a,b\n1,2\n", { .fields = two, .memory = -1 }, CT_ERR_ARGUMENT, "memory is -1" },
    { "a,b\n1,2\n", { .fields = two, .separator = '"' }, CT_ERR_ARGUMENT, "separator is" },
    { "a,b\n1,2\n", { .fields = two, .separator = '.' }, CT_ERR_ARGUMENT, "separator is" },
    { "a,b\n1,2\n", { .fields = two, .missing = (ct_csv_missing)9 }, CT_ERR_ARGUMENT, "is 9" },
};

START_TEST(csv_bad)
{
    ck_assert_ptr_null(csv_of(bad[_i].text, bad[_i].o));
    expect_error(bad[_i].status, "ct_dataset_csv_new", bad[_i].word);
}
END_TEST

START_TEST(csv_no_file)
{
    ck_assert(!ct_dataset_csv_new("none.csv", (ct_dataset_csv_options){ .fields = two }));
    expect_error(CT_ERR_IO, "ct_dataset_csv_new", "No such file");
    write_bytes("nul.csv", "a,b\n1,\0002\n", 9);
    ck_assert(!ct_dataset_csv_new("nul.csv", (ct_dataset_csv_options){ .fields = two }));
    expect_error(CT_ERR_FORMAT, "ct_dataset_csv_new", "csv:2: the row has a NUL byte");
}
END_TEST

/* ---- categories ---- */

START_TEST(csv_categories)
{
    static const ct_csv_field fields[] = { { "zone", NULL, CT_I32, true },
                                           { "y", "price", CT_F32, false },
                                           { 0 } };
    const ct_dataset_csv_options o = { .fields = fields };
    ct_dataset *d = csv_of("price,zone\n1,old\n2,\"new, far\"\n3,old\n4,mid\n", o), *v;
    ct_dataset_csv_options with = { .fields = fields, .known = d };

    expect_field(d, "zone", 4, 1, (double[]){ 0, 1, 0, 2 });
    ck_assert_str_eq(ct_dataset_csv_category(d, "zone", 1), "new, far");
    ck_assert(!ct_dataset_csv_category(d, "zone", 3) && !ct_dataset_csv_category(d, "zone", -1) &&
              !ct_dataset_csv_category(d, "y", 0) && !ct_dataset_csv_category(NULL, "zone", 0) &&
              !ct_dataset_csv_category(d, NULL, 0));
    v = csv_of("zone,price\nmid,4\nold,5\n", with);
    expect_field(v, "zone", 2, 1, (double[]){ 2, 0 });
    ct_dataset_free(v);
    ck_assert_ptr_null(csv_of("zone,price\nmid,4\nlow,5\n", with));
    expect_error(CT_ERR_FORMAT, "ct_dataset_csv_new",
                 "csv:3: column \"zone\": \"low\" is not a known category");
    ct_dataset_free(d);
}
END_TEST

/* ---- files that do not fit in memory ---- */

/* 1,000 rows; some are skipped, and some have line ends in quotes. */
static char *many_rows(size_t *size)
{
    char *text = malloc(200000);
    size_t n = (size_t)sprintf(text, "t,a,b\r\n");

    for (int i = 0; i < 1000; i++)
        n += (size_t)sprintf(text + n,
                             i % 7 == 3    ? "x,,%d\r\n"
                             : i % 11 == 5 ? "\"%03d\r\n\",%d,%d\r\n"
                                           : "%d,%d,%d\r\n",
                             i, i, -i);
    *size = n;
    return text;
}

START_TEST(csv_large)
{
    const ct_dataset_csv_options o = { .fields = two, .missing = CT_CSV_MISSING_SKIP_ROW };
    ct_dataset_csv_options small = o;
    const char *path = "large.csv";
    size_t size;
    char *text = many_rows(&size);
    ct_dataset *d[2];
    ct_loader *l[2];
    ct_batch b[2];
    FILE *f;

    write_bytes(path, text, size);
    small.memory = 100;
    d[0] = ct_dataset_csv_new(path, o);
    d[1] = ct_dataset_csv_new(path, small);
    for (int k = 0; k < 2; k++) {
        ck_assert_int_eq(ct_dataset_count(d[k]), 857);
        l[k] = ct_loader_new(
            d[k], (ct_loader_options){ .batch_size = 33, .shuffle = true, .workers = 3 * k });
        ck_assert(ct_loader_begin(l[k]) == CT_OK);
    }
    while (ct_loader_step(l[0], &b[0])) {
        double *want = values_of(b[0].x);

        ck_assert(ct_loader_step(l[1], &b[1]));
        ck_assert(want[1] == -want[0]);
        expect_values("x", b[1].x, want, (size_t)b[0].rows * 2, 0);
        free(want);
        ck_assert(ct_loader_stop(l[1]) == CT_OK);
    }
    expect_ok();

    /* the file changes; a thread of the next epoch must notice it */
    f = fopen(path, "r+b");
    ck_assert(fseek(f, (long)size / 2, SEEK_SET) == 0);
    ck_assert(fputs("yyyyyyyyyyyyyyyyyyyyyyyyyyyyyy", f) >= 0 && fclose(f) == 0);
    ck_assert(ct_loader_begin(l[1]) == CT_OK);
    while (ct_loader_step(l[1], &b[1]))
        ;
    ck_assert_int_eq(ct_error(), CT_ERR_FORMAT);
    ck_assert_msg(strstr(ct_error_message(), "ct_loader_step: large.csv:"), "%s",
                  ct_error_message());
    ct_error_clear();
    for (int k = 0; k < 2; k++) {
        ct_loader_free(l[k]);
        ct_dataset_free(d[k]);
    }
    free(text);
}
END_TEST

/* Rows are cut correctly wherever the end of the buffer falls. */
START_TEST(csv_long_rows)
{
    const ct_dataset_csv_options o = { .fields = two };
    size_t size = 0;
    char *text = malloc(1000000);
    ct_dataset *d;

    size += (size_t)sprintf(text, "a,t,b\n");
    for (int i = 0; i < 5; i++) {
        size_t length = 65520 + 7 * (size_t)i + 60000 * (size_t)(i == 3);

        size += (size_t)sprintf(text + size, "%d,\"", i);
        memset(text + size, i % 2 ? '\n' : ',', length);
        size += length;
        size += (size_t)sprintf(text + size, "\",%d\n", 10 * i);
    }
    write_bytes("long.csv", text, size);
    d = ct_dataset_csv_new("long.csv", o);
    expect_field(d, "x", 5, 2, (double[]){ 0, 0, 1, 10, 2, 20, 3, 30, 4, 40 });
    ct_dataset_free(d);
    free(text);
}
END_TEST

/* Numbers are read with the same bits as by strtod. */
START_TEST(csv_numbers)
{
    ct_generator g = ct_generator_from_seed(4);
    enum { COUNT = 300 };
    double want[2 * COUNT];
    char *text = malloc(COUNT * 80);
    size_t n = (size_t)sprintf(text, "a,b\n");
    ct_dataset *d;

    for (int i = 0; i < COUNT; i++) {
        double x = ldexp(ct_random_uniform(&g) - .5, (int)ct_random_below(&g, 200) - 100);
        int64_t y = (int64_t)ct_random_below(&g, 1000000);
        size_t from = n;

        n += (size_t)sprintf(text + n, "%.*g,%lld.%03lld\n", 1 + (int)ct_random_below(&g, 20), x,
                             (long long)y / 1000, (long long)y % 1000);
        want[2 * i] = strtod(text + from, NULL);
        want[2 * i + 1] = (double)y / 1000;
    }
    d = csv_of(text, (ct_dataset_csv_options){ .fields = two });
    expect_field(d, "x", COUNT, 2, want);
    ct_dataset_free(d);
    free(text);
}
END_TEST

/* ---- memory that fails ---- */

START_TEST(csv_allocation_fails)
{
    static const ct_csv_field fields[] = { { "zone", NULL, CT_I32, true },
                                           { "y", "price", CT_F32, false },
                                           { 0 } };
    const ct_dataset_csv_options o = { .fields = fields };
    int failed = 0;

    write_bytes("a.csv", "price,zone\n1,old\n2,new\n", 23);
    for (int k = 1; k < 40; k++) {
        ct_dataset *d;

        fail_allocation(k);
        d = ct_dataset_csv_new("a.csv", o);
        fail_nothing();
        ck_assert((d != NULL) == (ct_error() == CT_OK));
        failed += d == NULL;
        if (!d)
            expect_out_of_memory();
        ct_dataset_free(d);
    }
    ck_assert_int_ge(failed, 12);
}
END_TEST

void dataset_file_cases(Suite *suite)
{
    TCase *tc = harness_case(suite, "files");

    tcase_add_checked_fixture(tc, files_setup, files_teardown);
    tcase_add_loop_test(tc, csv_good, 0, LENGTH(good));
    tcase_add_loop_test(tc, csv_bad, 0, LENGTH(bad));
    tcase_add_test(tc, csv_no_file);
    tcase_add_test(tc, csv_categories);
    tcase_add_test(tc, csv_large);
    tcase_add_test(tc, csv_long_rows);
    tcase_add_test(tc, csv_numbers);
    tcase_add_test(tc, csv_allocation_fails);
}
