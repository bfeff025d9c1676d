/* SPDX-License-Identifier: MIT */
/* dataset_zip.c - loaders side by side: fields, epochs, positions, runs that resume, errors. */
#include "tensor/internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/test_dataset.h"

#include "tests/files.h"

static ct_loader *numbers_loader(int count, ct_loader_options o)
{
    static numbers n[8];
    static int next;
    ct_dataset *d = numbers_new(&n[next], count);
    ct_loader *l;

    n[next].digest = 'a';
    next = (next + 1) % 8;
    o.device = DEVICE;
    l = ct_loader_new(d, o);
    ct_dataset_free(d);
    return l;
}

/* Two shuffled loaders of 9 and 6 batches. */
static ct_loader *two(int workers)
{
    ct_loader *const parts[] = {
        numbers_loader(26, (ct_loader_options){ .batch_size = 3, .shuffle = true, .seed = 1 }),
        numbers_loader(
            11,
            (ct_loader_options){ .batch_size = 2, .shuffle = true, .seed = 2, .workers = workers })
    };
    ct_loader *l = ct_loader_zip_new(2, parts, (const char *const[]){ "a", "b" });

    ck_assert_msg(l != NULL, "%s", ct_error_message());
    return l;
}

/* The first value of a field, and a digest of all values of a batch. */
static double zip_sum(const ct_batch *b)
{
    double sum = 0;

    for (int i = 0; i < b->field_count; i++)
        sum += (i + 1) * ct_item(ct_sum(ct_cast(b->fields[i], CT_F64)));
    return sum;
}

/* The batches are those that the loaders give alone. */
START_TEST(zip_is_its_parts)
{
    ct_loader *l = two(2 * _i);
    ct_loader *a =
        numbers_loader(26, (ct_loader_options){ .batch_size = 3, .shuffle = true, .seed = 1 });
    ct_loader *b =
        numbers_loader(11, (ct_loader_options){ .batch_size = 2, .shuffle = true, .seed = 2 });
    ct_batch all, x, y;

    ck_assert(ct_loader_batches(l) == 6 && ct_loader_tokens(l) == 0 && !ct_loader_continues(l));
    for (int epoch = 0; epoch < 3; epoch++) {
        int n = 0;

        ck_assert(ct_loader_begin(l) == CT_OK && ct_loader_begin(a) == CT_OK &&
                  ct_loader_begin(b) == CT_OK);
        while (ct_loader_step(l, &all)) {
            ck_assert(ct_loader_step(a, &x) && ct_loader_step(b, &y));
            ck_assert_int_eq(all.field_count, x.field_count + y.field_count);
            ck_assert(!all.x && !all.y && all.rows == x.rows && all.tokens == x.tokens);
            ck_assert(same_bytes(ct_batch_get(&all, "a.x"), x.x));
            ck_assert(same_bytes(ct_batch_get(&all, "b.x"), y.x));
            ck_assert(same_bytes(ct_batch_get(&all, "b.y"), y.y));
            n++;
            ct_loader_stop(b);
            ct_loader_stop(a);
        }
        expect_ok();
        ck_assert_int_eq(n, 6);
    }
    ct_loader_free(l);
    ct_loader_free(a);
    ct_loader_free(b);
}
END_TEST

START_TEST(zip_seeks)
{
    enum { MOST = 20 };
    ct_loader *l = two(0), *other = two(2);
    ct_loader_cursor at[MOST];
    double sum[MOST];
    ct_batch b;

    ct_loader_begin(l);
    for (int i = 0; i < MOST; i++) {
        if (ct_loader_tell(l).batch == 6)
            ct_loader_begin(l);
        at[i] = ct_loader_tell(l);
        ck_assert(ct_loader_step(l, &b));
        sum[i] = zip_sum(&b);
    }
    for (int i = MOST - 1; i >= 0; i -= 3) {
        ck_assert(ct_loader_seek(other, at[i]) == CT_OK);
        ck_assert(ct_loader_step(other, &b) && zip_sum(&b) == sum[i]);
        ct_loader_stop(other);
    }
    ck_assert(ct_loader_seek(other, (ct_loader_cursor){ 0, 0, 0 }) == CT_OK);
    ck_assert(ct_loader_begin(other) == CT_OK && ct_loader_step(other, &b) &&
              zip_sum(&b) == sum[0]);
    ck_assert(ct_loader_seek(other, (ct_loader_cursor){ 1, 7, 0 }) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_loader_seek", "batch 7 ... 0..6");
    ct_loader_stop(other);
    ck_assert(ct_loader_set_offset(other, 0) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_loader_set_offset", "offset");
    ct_loader_stop(l);
    ct_loader_free(l);
    ct_loader_free(other);
}
END_TEST

/* ---- in ct_fit ---- */

/* The mean of "y" of a part. */
static ct_tensor *zip_mean(const ct_step *s, const char *name)
{
    return ct_mean(ct_cast(ct_batch_get(s->batch, name), CT_F32));
}

static ct_tensor *zip_step(void *self, ct_step *s)
{
    ct_tensor *w = ct_param_value(ct_params_at(self, 0));
    ct_tensor *d = ct_sub(zip_mean(s, "a.y"), ct_mul(w, zip_mean(s, "b.y")));

    return ct_mul_scalar(ct_mul(d, d), 1e-4);
}

static ct_optimizer *zip_optimizer(void *self)
{
    return ct_sgd_new(self, (ct_sgd_options){ .lr = 0.01, .momentum = 0.5 });
}

static bool zip_stop(void *context, const ct_fit_step *s)
{
    return s->step != *(const int64_t *)context;
}

static ct_status zip_fit(int64_t stop_at, ct_trainer t, ct_loader *l, double *w)
{
    ct_params *p = new_params(1, CT_F32);
    const ct_callback stop = { .context = &stop_at, .step = zip_stop };
    const ct_model model = {
        .self = p, .params = p, .training_step = zip_step, .configure_optimizers = zip_optimizer
    };
    ct_status status;

    ct_params_add(p, "w", CT_SCALAR, ct_init_constant(1));
    t.max_epochs = 3;
    t.callbacks = &stop;
    t.callback_count = 1;
    status = ct_fit(&t, &model, l, NULL, NULL);
    *w = ct_item(ct_param_value(ct_params_at(p, 0)));
    ct_params_free(p);
    ct_loader_free(l);
    return status;
}

START_TEST(zip_resumes)
{
    ct_loader *other = numbers_loader(26, (ct_loader_options){ .batch_size = 4 });
    double whole, part, rest;

    ck_assert_msg(zip_fit(0, (ct_trainer){ 0 }, two(0), &whole) == CT_OK, "%s", ct_error_message());
    ck_assert(zip_fit(9, (ct_trainer){ .checkpoint = "run" }, two(2), &part) == CT_OK);
    ck_assert(zip_fit(0, (ct_trainer){ .resume = "run" }, two(0), &rest) == CT_OK);
    ck_assert(whole == rest && part != whole);
    other = ct_loader_zip_new(1, &other, (const char *const[]){ "a" });
    ck_assert(zip_fit(0, (ct_trainer){ .resume = "run" }, other, &rest) == CT_ERR_FORMAT);
    expect_error(CT_ERR_FORMAT, "ct_fit", "train_loader.a.batch_size is 3 ... 4 now");
}
END_TEST

/* The loaders are freed once, whatever is wrong. */
START_TEST(bad_zips)
{
    static const struct {
        int count;
        const char *names[2];
        bool same, missing;
        const char *word;
    } cases[] = {
        { 0, { "a", "b" }, false, false, "count is 0" },
        { 9, { "a", "b" }, false, false, "count is 9" },
        { 2, { "a", "a" }, false, false, "names[0] and names[1]" },
        { 2, { "a", "b" }, true, false, "loaders[0] and loaders[1]" },
        { 2, { "a", "b" }, false, true, "loaders[1] is NULL" },
        { 2, { "a", NULL }, false, false, "names[1] is NULL" },
        { 2, { "a", "" }, false, false, "names[1]" },
        { 2, { "a", "b.c" }, false, false, "b.c" },
    };

    for (int i = 0; i < LENGTH(cases); i++) {
        ct_loader *l[9] = { numbers_loader(4, (ct_loader_options){ .batch_size = 2 }) };

        l[1] = cases[i].missing ? NULL
               : cases[i].same  ? l[0]
                                : numbers_loader(4, (ct_loader_options){ .batch_size = 2 });
        if (!cases[i].count) { /* none is taken */
            ct_loader_free(l[0]);
            ct_loader_free(l[1]);
        }
        ck_assert(!ct_loader_zip_new(cases[i].count, l, cases[i].names));
        expect_error(CT_ERR_ARGUMENT, "ct_loader_zip_new", cases[i].word);
    }
    ck_assert(!ct_loader_zip_new(1, NULL, cases[0].names));
    expect_error(CT_ERR_ARGUMENT, "ct_loader_zip_new", "loaders is NULL");
}
END_TEST

void dataset_zip_cases(Suite *suite)
{
    TCase *tc = harness_case(suite, "zip");

    tcase_add_checked_fixture(tc, files_setup, files_teardown);
    tcase_add_loop_test(tc, zip_is_its_parts, 0, 2);
    tcase_add_test(tc, zip_seeks);
    tcase_add_test(tc, zip_resumes);
    tcase_add_test(tc, bad_zips);
}
