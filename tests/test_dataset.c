/* SPDX-License-Identifier: MIT */
/* test_dataset.c - datasets: tables of a user, tensors, parts, windows; dataset_loader.c has the loader
 * of any dataset, dataset_sequences.c padding and buckets, dataset_files.c CSV files,
 * dataset_formats.c other files, dataset_resume.c runs that stop and resume. */
#include "tensor/internal.h"

#include <stdlib.h>
#include <string.h>

#include "tests/test_dataset.h"

#include "tests/files.h"

/* ---- common functions ---- */

static ct_status numbers_get(void *self, int64_t i, void *const *field)
{
    numbers *n = self;
    float *x = field[0];

    n->got++;
    if (i == n->fails_at)
        return n->silent ? CT_ERR_IO
                         : ct_raise(CT_ERR_IO, "numbers_get", "sample %lld is lost", (long long)i);
    x[0] = (float)i;
    x[1] = -x[0];
    *(int32_t *)field[1] = 10 * (int32_t)i;
    return CT_OK;
}

static ct_status numbers_digest(void *self, char hex[65])
{
    const numbers *n = self;

    memset(hex, n->digest, 64);
    hex[64] = '\0';
    return CT_OK;
}

static void numbers_free(void *self)
{
    numbers *n = self;

    n->freed++;
}

const ct_dataset_table numbers_table = {
    .name = "numbers", .get = numbers_get, .digest = numbers_digest, .free = numbers_free
};
const ct_field numbers_fields[2] = { { "x", CT_F32, CT_SHAPE_INIT(2), 0 },
                                     { "y", CT_I32, { 0 }, 0 } };

ct_dataset *numbers_new(numbers *n, int64_t count)
{
    ct_dataset *d;

    memset(n, 0, sizeof *n);
    n->fails_at = -1;
    d = ct_dataset_new(&numbers_table, n, count, 2, numbers_fields);
    ck_assert(d != NULL);
    return d;
}

int64_t epoch_of(ct_loader *l, const char *field, int64_t unit, int64_t *ids)
{
    int64_t n = 0;
    ct_batch b;

    ck_assert(ct_loader_begin(l) == CT_OK);
    while (ct_loader_step(l, &b)) {
        double *values = values_of(ct_batch_get(&b, field));

        ck_assert(n + b.rows <= 1000);
        for (int64_t r = 0; r < b.rows; r++)
            ids[n++] = (int64_t)values[r] / unit;
        free(values);
    }
    expect_ok();
    return n;
}

/* ---- tables ---- */

START_TEST(user_table)
{
    numbers n;
    ct_dataset *d = numbers_new(&n, 7);
    ct_scope s = ct_scope_begin();
    ct_batch b;

    ck_assert(ct_dataset_count(d) == 7 && ct_dataset_count(NULL) == 0);
    ck_assert(ct_dataset_field(d, "x") == 0 && ct_dataset_field(d, "y") == 1);
    ck_assert(ct_dataset_field(d, "z") == -1 && ct_dataset_field(NULL, "x") == -1 &&
              ct_dataset_field(d, NULL) == -1);
    ck_assert(ct_dataset_read(d, 2, 3, &b) == CT_OK);
    ck_assert(b.rows == 3 && b.tokens == 3 && b.field_count == 2 && !b.continues);
    expect_values("x", b.x, (double[]){ 2, -2, 3, -3, 4, -4 }, 6, 0);
    expect_values("y", b.y, (double[]){ 20, 30, 40 }, 3, 0);
    ck_assert(ct_batch_get(&b, "x") == b.x && ct_batch_get(&b, "y") == b.y);
    ck_assert_ptr_null(ct_batch_get(&b, "zone"));
    expect_error(CT_ERR_ARGUMENT, "ct_batch_get", "no field \"zone\" ... x, y");
    ck_assert_ptr_null(ct_batch_get(&(ct_batch){ 0 }, "x"));
    expect_error(CT_ERR_ARGUMENT, "ct_batch_get", "no named fields");
    ck_assert(n.freed == 0);
    ct_dataset_free(d);
    ct_dataset_free(NULL);
    ck_assert(n.freed == 1);
    ck_assert_int_eq(ct_scope_end(s), CT_OK);
}
END_TEST

/* Each bad argument is refused, and self is freed exactly once. */
START_TEST(bad_tables)
{
    static const ct_dataset_table no_get = { .name = "numbers", .free = numbers_free };
    static const ct_dataset_table no_name = { .get = numbers_get, .free = numbers_free };
    static const struct {
        const ct_dataset_table *table;
        int64_t count;
        int field_count;
        ct_field fields[2];
        ct_status status;
        const char *word;
    } cases[] = {
        { &no_get, 1, 1, { { .name = "x" } }, CT_ERR_ARGUMENT, "get is NULL" },
        { &no_name, 1, 1, { { .name = "x" } }, CT_ERR_ARGUMENT, "name is NULL" },
        { &numbers_table, -1, 1, { { .name = "x" } }, CT_ERR_ARGUMENT, "count is -1" },
        { &numbers_table, 1, 0, { { .name = "x" } }, CT_ERR_ARGUMENT, "field_count is 0" },
        { &numbers_table, 1, 17, { { .name = "x" } }, CT_ERR_ARGUMENT, "field_count is 17" },
        { &numbers_table, 1, 1, { { .name = NULL } }, CT_ERR_ARGUMENT, "fields[0].name is NULL" },
        { &numbers_table, 1, 1, { { .name = "" } }, CT_ERR_ARGUMENT, "fields[0].name" },
        { &numbers_table, 1, 1, { { .name = "a b" } }, CT_ERR_ARGUMENT, "letters, digits" },
        { &numbers_table, 1, 2, { { .name = "x" }, { .name = "x" } }, CT_ERR_ARGUMENT, "twice" },
        { &numbers_table, 1, 1, { { .name = "x", .dtype = (ct_dtype)77 } }, CT_ERR_DTYPE, "77" },
        { &numbers_table, 1, 1, { { .name = "x", .shape = { .rank = 9 } } }, CT_ERR_SHAPE, "rank" },
        { &numbers_table,
          1,
          1,
          { { .name = "x", .shape = { 8, { 1, 1, 1, 1, 1, 1, 1, 1 } } } },
          CT_ERR_SHAPE,
          "8 axes" },
        { &numbers_table,
          1,
          1,
          { { .name = "x", .shape = { 2, { 3, -1 } } } },
          CT_ERR_SHAPE,
          "-1" },
        { &numbers_table,
          1,
          1,
          { { .name = "x", .shape = { 1, { -1 } } } },
          CT_ERR_ARGUMENT,
          "table->length is NULL" },
        { &numbers_table,
          1,
          1,
          { { .name = "x", .dtype = CT_I32, .pad = 0.5 } },
          CT_ERR_ARGUMENT,
          "pad is 0.5 ... i32" },
    };
    numbers n = { .fails_at = -1 };

    for (int i = 0; i < LENGTH(cases); i++) {
        ck_assert_ptr_null(ct_dataset_new(cases[i].table, &n, cases[i].count, cases[i].field_count,
                                          cases[i].fields));
        expect_error(cases[i].status, "ct_dataset_new", cases[i].word);
        ck_assert_int_eq(n.freed, i + 1);
    }
}
END_TEST

/* ---- tensors ---- */

START_TEST(tensors)
{
    static const char *const names[] = { "x", "weight", "y" };
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_reshape(ct_arange(0, 12, 1, CT_F32, DEVICE), CT_SHAPE(4, 3));
    ct_tensor *w = ct_select(ct_reshape(ct_arange(0, 8, 1, CT_F64, DEVICE), CT_SHAPE(4, 2)), 1, 1);
    ct_tensor *y = ct_one_hot(ct_arange(0, 4, 1, CT_I32, DEVICE), 4);
    ct_dataset *d = ct_dataset_tensors_new(3, names, (ct_tensor *[]){ x, w, y });
    ct_batch b;

    ck_assert(d != NULL);
    ck_assert(ct_scope_end(s) == CT_OK); /* the dataset keeps the tensors alive */
    s = ct_scope_begin();
    ck_assert(ct_dataset_read(d, 1, 2, &b) == CT_OK);
    expect_values("x", b.x, (double[]){ 3, 4, 5, 6, 7, 8 }, 6, 0);
    expect_values("weight", ct_batch_get(&b, "weight"), (double[]){ 3, 5 }, 2, 0);
    expect_values("y", b.y, (double[]){ 0, 1, 0, 0, 0, 0, 1, 0 }, 8, 0);
    ck_assert(ct_tensor_dtype(ct_batch_get(&b, "weight")) == CT_F64);
    ck_assert(ct_dataset_read(d, 3, 2, &b) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_dataset_read", "first is 3 ... 4 samples");
    ct_dataset_free(d);

    x = ct_zeros(CT_SHAPE(4, 3), CT_F32, DEVICE);
    ck_assert(!ct_dataset_tensors_new(0, names, &x));
    expect_error(CT_ERR_ARGUMENT, "ct_dataset_tensors_new", "count is 0");
    ck_assert(!ct_dataset_tensors_new(2, names,
                                      (ct_tensor *[]){ x, ct_zeros(CT_SHAPE(5), CT_F32, DEVICE) }));
    expect_error(CT_ERR_SHAPE, "ct_dataset_tensors_new", "f32[4,3] ... f32[5]");
    ck_assert(!ct_dataset_tensors_new(1, names, (ct_tensor *[]){ ct_scalar(1, CT_F32) }));
    expect_error(CT_ERR_SHAPE, "ct_dataset_tensors_new", "f32[]");
    ck_assert(
        !ct_dataset_tensors_new(2, (const char *const[]){ "x", "x" }, (ct_tensor *[]){ x, x }));
    expect_error(CT_ERR_ARGUMENT, "ct_dataset_tensors_new", "twice");
    ck_assert_int_eq(ct_scope_end(s), CT_OK);
}
END_TEST

/* ---- parts ---- */

/* Checks the samples of d by the field y. */
static void expect_samples(ct_dataset *d, int count, const int64_t *want)
{
    ct_scope s = ct_scope_begin();
    ct_batch b;
    double *y;

    ck_assert_int_eq(ct_dataset_count(d), count);
    ck_assert(ct_dataset_read(d, 0, 0, &b) == CT_OK);
    y = values_of(b.y);
    for (int i = 0; i < count; i++)
        ck_assert(y[i] == 10.0 * (double)want[i]);
    free(y);
    ck_assert(ct_scope_end(s) == CT_OK);
}

START_TEST(parts)
{
    static const int64_t index[] = { 3, 0, 3 };
    numbers n;
    ct_dataset *d = numbers_new(&n, 6), *range = ct_dataset_range_new(d, 2, 4);
    ct_dataset *subset = ct_dataset_subset_new(range, index, 3);
    ct_dataset *rest = ct_dataset_range_new(subset, 1, 0);

    ct_dataset_free(d); /* datasets may be freed in any order */
    ct_dataset_free(range);
    expect_samples(subset, 3, (int64_t[]){ 5, 2, 5 });
    ct_dataset_free(subset);
    expect_samples(rest, 2, (int64_t[]){ 2, 5 });
    ck_assert(n.freed == 0);
    ct_dataset_free(rest);
    ck_assert(n.freed == 1);

    d = numbers_new(&n, 6);
    ck_assert(!ct_dataset_range_new(d, 7, 0));
    expect_error(CT_ERR_ARGUMENT, "ct_dataset_range_new", "first is 7 ... 6 samples");
    ck_assert(!ct_dataset_range_new(d, 3, 4));
    expect_error(CT_ERR_ARGUMENT, "ct_dataset_range_new", "count is 4");
    ck_assert(!ct_dataset_subset_new(d, (int64_t[]){ 0, 6 }, 2));
    expect_error(CT_ERR_INDEX, "ct_dataset_subset_new", "index[1] is 6");
    ct_dataset_free(d);
    ck_assert(n.freed == 1);
}
END_TEST

START_TEST(split)
{
    static const struct {
        double sizes[3];
        int64_t want[3];
    } cases[] = { { { 50, 30, 20 }, { 50, 30, 20 } },
                  { { .5, .3, .2 }, { 50, 30, 20 } },
                  { { 1. / 3, 1. / 3, 1. / 3 }, { 34, 33, 33 } },
                  { { 0, 1, 0 }, { 0, 100, 0 } },
                  { { .995, .005, 0 }, { 100, 0, 0 } } };
    static const struct {
        double sizes[2];
        const char *word;
    } bad[] = { { { .5, .6 }, "sum to 1.1" },
                { { 50, 51 }, "sum to 101 ... 100" },
                { { -1, 101 }, "sizes[0] is -1" },
                { { NAN, 1 }, "sizes[0] is nan" } };
    numbers n;
    ct_dataset *d = numbers_new(&n, 100), *part[3] = { d, d, d };

    for (int c = 0; c < LENGTH(cases); c++) {
        bool seen[100] = { false };
        int64_t moved = 0, at = 0;

        ck_assert(ct_dataset_split(d, 3, cases[c].sizes, 5, part) == CT_OK);
        for (int k = 0; k < 3; k++) {
            ct_scope s = ct_scope_begin();
            ct_batch b;
            double *y;

            ck_assert_int_eq(ct_dataset_count(part[k]), cases[c].want[k]);
            if (cases[c].want[k]) {
                ck_assert(ct_dataset_read(part[k], 0, 0, &b) == CT_OK);
                y = values_of(b.y);
                for (int64_t i = 0; i < b.rows; i++, at++) {
                    ck_assert(!seen[(int)y[i] / 10]);
                    seen[(int)y[i] / 10] = true;
                    moved += (int64_t)y[i] / 10 != at;
                }
                free(y);
            }
            ct_dataset_free(part[k]);
            ck_assert(ct_scope_end(s) == CT_OK);
        }
        ck_assert(at == 100 && moved > 80);
    }
    for (int c = 0; c < LENGTH(bad); c++) {
        ck_assert(ct_dataset_split(d, 2, bad[c].sizes, 5, part) == CT_ERR_ARGUMENT);
        expect_error(CT_ERR_ARGUMENT, "ct_dataset_split", bad[c].word);
        ck_assert(!part[0] && !part[1]);
    }
    ct_dataset_free(d);
}
END_TEST

/* ---- windows ---- */

/* Windows over a table, and over tensors with the same values, are the same. */
START_TEST(windows)
{
    static const struct {
        ct_dataset_windows_options o;
        int64_t count;
        int64_t x[3], y[3]; /* the expected sample 1 */
    } cases[] = {
        { { .steps = 2, .x = "x", .y = "y" }, 8, { 1, 2 }, { 3 } },
        { { .steps = 3, .targets = 3, .x = "x", .y = "y" }, 7, { 1, 2, 3 }, { 2, 3, 4 } },
        { { .steps = 2, .targets = 3, .ahead = 3, .stride = 2, .x = "x", .y = "y" },
          3,
          { 2, 3 },
          { 4, 5, 6 } },
        { { .steps = 1, .ahead = 4, .x = "x", .y = "y" }, 6, { 1 }, { 5 } },
    };
    numbers n;
    ct_scope s = ct_scope_begin();
    ct_dataset *base[2] = { numbers_new(&n, 10), NULL };
    ct_batch all;

    ck_assert(ct_dataset_read(base[0], 0, 0, &all) == CT_OK);
    base[1] = ct_dataset_tensors_new(2, all.names, all.fields);
    for (int c = 0; c < LENGTH(cases); c++)
        for (int k = 0; k < 2; k++) {
            ct_dataset *w = ct_dataset_windows_new(base[k], cases[c].o);
            int64_t steps = cases[c].o.steps, targets = cases[c].o.targets;
            double *x, *y;
            ct_batch b;

            targets += !targets;
            ck_assert_int_eq(ct_dataset_count(w), cases[c].count);
            ck_assert(ct_dataset_read(w, 1, 1, &b) == CT_OK);
            ck_assert(ct_rank(b.x) == 3 && ct_size(b.x, 1) == steps && ct_size(b.x, 2) == 2);
            ck_assert(ct_rank(b.y) == 2 && ct_size(b.y, 1) == targets);
            x = values_of(b.x), y = values_of(b.y);
            for (int64_t i = 0; i < steps; i++)
                ck_assert(x[2 * i] == (double)cases[c].x[i] && x[2 * i + 1] == -x[2 * i]);
            for (int64_t i = 0; i < targets; i++)
                ck_assert(y[i] == 10.0 * (double)cases[c].y[i]);
            free(x), free(y);
            ct_dataset_free(w);
        }
    ct_dataset_free(base[0]);
    ct_dataset_free(base[1]);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

START_TEST(bad_windows)
{
    static const struct {
        ct_dataset_windows_options o;
        ct_status status;
        const char *word;
    } cases[] = {
        { { .steps = 0 }, CT_ERR_ARGUMENT, "steps is 0" },
        { { .steps = 1, .stride = -1 }, CT_ERR_ARGUMENT, "stride is -1" },
        { { .steps = 2, .targets = 4 }, CT_ERR_ARGUMENT, "targets is 4" },
        { { .steps = 10 }, CT_ERR_SHAPE, "10 values are too few" },
        { { .steps = 2, .x = "z" }, CT_ERR_ARGUMENT, "x is \"z\"" },
        { { .steps = 2, .y = "z" }, CT_ERR_ARGUMENT, "y is \"z\"" },
    };
    numbers n;
    ct_dataset *d = numbers_new(&n, 10), *s = sentences_new(10);

    for (int c = 0; c < LENGTH(cases); c++) {
        ck_assert_ptr_null(ct_dataset_windows_new(d, cases[c].o));
        expect_error(cases[c].status, "ct_dataset_windows_new", cases[c].word);
    }
    ck_assert(!ct_dataset_windows_new(s, (ct_dataset_windows_options){ .steps = 2, .x = "src" }));
    expect_error(CT_ERR_ARGUMENT, "ct_dataset_windows_new", "src ... sequence");
    ck_assert(!ct_dataset_windows_new(s, (ct_dataset_windows_options){ .steps = 2, .x = "id" }));
    expect_error(CT_ERR_ARGUMENT, "ct_dataset_windows_new", "src ... sequence");
    ct_dataset_free(s);
    ct_dataset_free(d);
    ck_assert(n.freed == 1);
}
END_TEST

/* ---- memory that fails ---- */

/* Makes each kind of object once. Returns the status. */
static ct_status whole_way(void)
{
    numbers n = { .fails_at = -1 };
    ct_scope s = ct_scope_begin();
    ct_dataset *d = ct_dataset_new(&numbers_table, &n, 30, 2, numbers_fields), *part[2] = { 0 };
    ct_dataset *w = NULL;
    ct_loader *l = NULL;
    ct_batch b;

    if (d)
        ct_dataset_split(d, 2, (double[]){ 20, 10 }, 1, part);
    if (part[1])
        w = ct_dataset_windows_new(part[0], (ct_dataset_windows_options){ .steps = 2 });
    if (w)
        l = ct_loader_new(w, (ct_loader_options){ .batch_size = 4, .shuffle = true, .workers = 2 });
    if (l && ct_loader_begin(l) == CT_OK)
        ct_loader_next(l, &b);
    ct_loader_free(l);
    ct_dataset_free(w);
    ct_dataset_free(part[0]);
    ct_dataset_free(part[1]);
    ct_dataset_free(d);
    ck_assert_int_eq(n.freed, 1);
    return ct_scope_end(s);
}

START_TEST(allocation_fails)
{
    int failed = 0;

    for (int k = 0; k < 300; k++) /* fills the thread's pools first */
        ck_assert_int_eq(whole_way(), CT_OK);
    for (int k = 1; k < 40; k++) {
        ct_status status;

        ct_memory_trim();
        fail_allocation(k);
        status = whole_way();
        fail_nothing();
        failed += status == CT_ERR_MEMORY;
        ck_assert(status == CT_OK || status == CT_ERR_MEMORY);
        ct_error_clear();
    }
    ck_assert_int_ge(failed, 8);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("dataset");
    TCase *tc = harness_case(suite, "dataset");

    tcase_add_test(tc, user_table);
    tcase_add_test(tc, bad_tables);
    tcase_add_test(tc, tensors);
    tcase_add_test(tc, parts);
    tcase_add_test(tc, split);
    tcase_add_test(tc, windows);
    tcase_add_test(tc, bad_windows);
    tcase_add_test(tc, allocation_fails);
    dataset_loader_cases(suite);
    dataset_sequence_cases(suite);
    dataset_file_cases(suite);
    dataset_resume_cases(suite);
    dataset_zip_cases(suite);
    dataset_format_cases(suite);
    return harness_run(suite);
}
