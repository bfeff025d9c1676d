/* SPDX-License-Identifier: MIT */
/* train_updates.c - updates of ct_fit from several batches, which must equal those from one large batch;
 * averaged weights, which must equal those of a loop by hand; runs that resume; errors. */
#include "tests/files.h"
#include "tests/harness.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cotangent.h>

#include "tests/test_train.h"

/* ---- a regression in f64 whose targets below 1 count a quarter ---- */

enum { ROWS = 23 };

typedef struct weighted {
    ct_params *params;
    ct_module *net;
    double dropout;
    int calls, stop_at, bad_at; /* the call that requests a stop; whose gradient is not finite */
    double validation[3];       /* the validation loss after each epoch */
    int epochs;
} weighted;

static ct_tensor *weighted_loss(weighted *m, ct_tensor *x, ct_tensor *y, double *count)
{
    ct_tensor *weight =
        ct_add_scalar(ct_mul_scalar(ct_cast(ct_gt_scalar(y, 1), CT_F64), 0.75), 0.25);
    ct_tensor *d;

    if (m->dropout > 0 && ct_params_is_training(m->params))
        x = ct_dropout(x, m->dropout, ct_params_generator(m->params));
    d = ct_sub(ct_forward(m->net, x), y);
    *count = ct_item(ct_sum(weight));
    return ct_div_scalar(ct_sum(ct_mul(weight, ct_mul(d, d))), *count);
}

static ct_tensor *weighted_step(void *self, ct_step *s)
{
    weighted *m = self;
    ct_tensor *loss = weighted_loss(m, s->batch->x, s->batch->y, &s->count);

    if (!ct_grad_enabled())
        return loss;
    if (++m->calls == m->stop_at)
        ct_trainer_stop();
    if (m->calls == m->bad_at)
        loss = ct_add(loss, ct_sqrt(ct_mul_scalar(loss, 0)));
    return loss;
}

static ct_optimizer *weighted_optimizer(void *self)
{
    ct_optimizer *o =
        ct_sgd_new(((weighted *)self)->params, (ct_sgd_options){ .lr = 0.1, .momentum = 0.5 });

    ct_schedule_exponential_lr(ct_optimizer_schedule(o), 0.9);
    return o;
}

static weighted weighted_new(weighted m)
{
    m.params = ct_params_new((ct_params_options){ .seed = 4, .dtype = CT_F64, .device = DEVICE });
    m.net = ct_nn_sequential(
        m.params, 3,
        (ct_module *[]){
            ct_nn_linear(m.params, "0",
                         (ct_nn_linear_options){ .in_features = 3, .out_features = 4 }),
            ct_nn_op(m.params, ct_tanh),
            ct_nn_linear(m.params, "2", (ct_nn_linear_options){ .out_features = 1 }) });
    expect_ok();
    return m;
}

/* Rows of x (3) and y (1). */
static ct_loader *weighted_loader(int64_t batch, bool shuffle)
{
    ct_scope s = ct_scope_begin();
    ct_generator g = ct_generator_from_seed(5);
    ct_tensor *x = ct_randn(CT_SHAPE(ROWS, 3), CT_F64, CT_CPU, &g);
    double y[ROWS];
    ct_loader *l;

    for (int i = 0; i < ROWS; i++)
        y[i] = i % 5 < 2 ? 0.1 * i : 0.5 + i % 3;
    l = ct_loader_tensors_new(
        x, ct_from_data(y, CT_SHAPE(ROWS, 1), CT_F64, CT_CPU),
        (ct_loader_tensors_options){ .batch_size = batch, .shuffle = shuffle, .seed = 3 });
    ck_assert(ct_scope_end(s) == CT_OK);
    return l;
}

static bool keep_validation(void *context, const ct_fit_result *r)
{
    weighted *m = context;

    if (m->epochs < 3)
        m->validation[m->epochs++] = r->validation_loss;
    return true;
}

static ct_status weighted_fit(weighted *m, ct_trainer t, ct_loader *train, ct_loader *val,
                              ct_fit_result *r)
{
    const ct_callback callback = { .context = m, .epoch = keep_validation };
    const ct_model model = { .self = m,
                             .params = m->params,
                             .training_step = weighted_step,
                             .configure_optimizers = weighted_optimizer };

    t.max_epochs = 3;
    if (!t.callbacks) {
        t.callbacks = &callback;
        t.callback_count = 1;
    }
    return ct_fit(&t, &model, train, val, r);
}

/* The values of all parameters, one after another; to free. */
static double *values_in(ct_params *params, int *count)
{
    double *all = calloc(1000, sizeof *all);

    *count = 0;
    for (int i = 0; i < ct_params_count(params); i++) {
        ct_scope s = ct_scope_begin();
        ct_tensor *t = ct_to(ct_param_value(ct_params_at(params, i)), CT_CPU);

        memcpy(all + *count, ct_data(t), (size_t)ct_numel(t) * sizeof *all);
        *count += (int)ct_numel(t);
        ck_assert(ct_scope_end(s) == CT_OK);
    }
    return all;
}

static void expect_params_near(ct_params *a, ct_params *b, double tolerance)
{
    int n, other;
    double *x = values_in(a, &n), *y = values_in(b, &other);

    ck_assert(n == other && n > 0);
    for (int i = 0; i < n; i++)
        if (!(fabs(x[i] - y[i]) <= tolerance))
            ck_abort_msg("element %d is %.17g and %.17g", i, x[i], y[i]);
    free(x);
    free(y);
}

/* ---- several batches in one update ---- */

/* Batches of 3, four to an update, against batches of 12; without and with clipping. */
START_TEST(same_as_large_batches)
{
    const double clip[] = { 0, 0.5, 1e-3 };
    weighted a = weighted_new((weighted){ 0 }), b = weighted_new((weighted){ 0 });
    ct_loader *small = weighted_loader(3, false), *large = weighted_loader(12, false);
    ct_fit_result r, want;

    ck_assert(weighted_fit(&a, (ct_trainer){ .gradient_clip_val = clip[_i], .accumulate = 4 },
                           small, NULL, &r) == CT_OK);
    ck_assert(weighted_fit(&b, (ct_trainer){ .gradient_clip_val = clip[_i] }, large, NULL, &want) ==
              CT_OK);
    ck_assert(a.calls == 24 && b.calls == 6);
    ck_assert(r.steps == 6 && want.steps == 6 && r.tokens == want.tokens);
    expect_params_near(a.params, b.params, 1e-14);
    expect_close("loss", r.loss, want.loss, 1e-13);
    expect_close("norm", r.gradient_norm, want.gradient_norm, 1e-13);
    expect_close("clipped", r.clipped, want.clipped, 0);
    ck_assert(_i != 2 || r.clipped == 1);
    ct_loader_free(small);
    ct_loader_free(large);
    ct_params_free(a.params);
    ct_params_free(b.params);
}
END_TEST

/* More batches than an epoch has: one update for each epoch. */
START_TEST(whole_epochs)
{
    weighted a = weighted_new((weighted){ 0 }), b = weighted_new((weighted){ 0 });
    ct_loader *small = weighted_loader(5, false), *large = weighted_loader(ROWS, false);
    ct_fit_result r;

    ck_assert(weighted_fit(&a, (ct_trainer){ .accumulate = INT64_MAX }, small, NULL, &r) == CT_OK);
    ck_assert(weighted_fit(&b, (ct_trainer){ 0 }, large, NULL, NULL) == CT_OK);
    ck_assert(r.steps == 3 && a.calls == 15);
    expect_params_near(a.params, b.params, 1e-14);
    ct_loader_free(small);
    ct_loader_free(large);
    ct_params_free(a.params);
    ct_params_free(b.params);
}
END_TEST

/* Callbacks see updates: their numbers, and the mean loss over their batches. */
typedef struct seen {
    int64_t step[6], batch[6];
    double loss[6], norm[6];
    int count;
} seen;

static bool see(void *context, const ct_fit_step *s)
{
    seen *w = context;

    if (w->count < 6) {
        w->step[w->count] = s->step;
        w->batch[w->count] = s->batch;
        w->loss[w->count] = s->loss;
        w->norm[w->count++] = s->gradient_norm;
    }
    return true;
}

START_TEST(callbacks_see_updates)
{
    weighted a = weighted_new((weighted){ 0 }), b = weighted_new((weighted){ 0 });
    ct_loader *small = weighted_loader(3, false), *large = weighted_loader(12, false);
    seen x = { .count = 0 }, y = { .count = 0 };
    ct_callback of[] = { { .context = &x, .step = see }, { .context = &y, .step = see } };

    ck_assert(
        weighted_fit(&a, (ct_trainer){ .accumulate = 4, .callbacks = &of[0], .callback_count = 1 },
                     small, NULL, NULL) == CT_OK);
    ck_assert(weighted_fit(&b, (ct_trainer){ .callbacks = &of[1], .callback_count = 1 }, large,
                           NULL, NULL) == CT_OK);
    ck_assert(x.count == 6 && y.count == 6);
    for (int i = 0; i < 6; i++) {
        ck_assert(x.step[i] == i + 1 && x.batch[i] == (i % 2 ? 8 : 4));
        expect_close("loss", x.loss[i], y.loss[i], 1e-13);
        expect_close("norm", x.norm[i], y.norm[i], 1e-13);
    }
    ct_loader_free(small);
    ct_loader_free(large);
    ct_params_free(a.params);
    ct_params_free(b.params);
}
END_TEST

/* ---- averages ---- */

#define DECAY 0.75

/* The loop that ct_fit runs with ema_decay, by hand: averages by PyTorch's rule. Leaves the averages in
 * the parameters. */
static void average_by_hand(weighted *m, ct_loader *train, ct_loader *val)
{
    ct_optimizer *o = weighted_optimizer(m);
    int n = 0;
    double *average = NULL, count, loss;
    const ct_model model = { .self = m, .params = m->params, .training_step = weighted_step };
    ct_batch batch;

    for (int epoch = 0; epoch < 3; epoch++) {
        double *weights;
        int at = 0;

        ct_loader_begin(train);
        while (ct_loader_step(train, &batch)) {
            double *w;

            ct_backward(weighted_loss(m, ct_to(batch.x, DEVICE), ct_to(batch.y, DEVICE), &count));
            ct_optimizer_step(o);
            w = values_in(m->params, &n);
            for (int i = 0; i < n && average; i++)
                average[i] += (1 - DECAY) * (w[i] - average[i]);
            if (average)
                free(w);
            else
                average = w;
        }
        ct_schedule_step(ct_optimizer_schedule(o));
        weights = values_in(m->params, &n);
        for (int pass = 0; pass < 2; pass++) { /* the averages; then, before the end, the weights */
            const double *from = pass ? weights : average;

            at = 0;
            for (int i = 0; i < ct_params_count(m->params) && !(pass && epoch == 2); i++) {
                ct_scope s = ct_scope_begin_no_grad();
                ct_tensor *p = ct_param_value(ct_params_at(m->params, i));

                ct_copy_into(p, ct_from_data(from + at, ct_tensor_shape(p), CT_F64, DEVICE));
                at += (int)ct_numel(p);
                ck_assert(ct_scope_end(s) == CT_OK);
            }
            if (!pass)
                ck_assert(ct_evaluate(&model, val, NULL, &loss, NULL) == CT_OK);
        }
        ct_params_train(m->params, true);
        m->validation[epoch] = loss;
        free(weights);
    }
    free(average);
    ct_optimizer_free(o);
}

START_TEST(averages_by_hand)
{
    weighted a = weighted_new((weighted){ 0 }), b = weighted_new((weighted){ 0 });
    ct_loader *train = weighted_loader(5, true), *val = weighted_loader(12, false);
    ct_loader *again = weighted_loader(5, true);
    weighted loaded = weighted_new((weighted){ 0 });
    ct_fit_result r;

    ck_assert_msg(weighted_fit(&a, (ct_trainer){ .ema_decay = DECAY, .best = "best" }, train, val,
                               &r) == CT_OK,
                  "%s", ct_error_message());
    average_by_hand(&b, again, val);
    expect_params_near(a.params, b.params, 1e-14);
    for (int i = 0; i < 3; i++)
        expect_close("validation", a.validation[i], b.validation[i], 1e-13);
    ck_assert(r.best_epoch == 3); /* so that the best file has the last averages */
    ck_assert(ct_params_load(loaded.params, "best", (ct_load_options){ .non_strict = true }) ==
              CT_OK);
    expect_params_near(loaded.params, a.params, 0);
    ct_loader_free(train);
    ct_loader_free(again);
    ct_loader_free(val);
    ct_params_free(a.params);
    ct_params_free(b.params);
    ct_params_free(loaded.params);
}
END_TEST

/* A frozen parameter is used as it is, and is not in the averages. */
START_TEST(frozen_is_not_averaged)
{
    weighted a = weighted_new((weighted){ 0 });
    ct_loader *train = weighted_loader(5, true), *val = weighted_loader(5, false);
    ct_safetensors *f;

    ct_params_freeze(a.params, "0.*", true);
    ck_assert(weighted_fit(&a, (ct_trainer){ .ema_decay = DECAY, .checkpoint = "run" }, train, val,
                           NULL) == CT_OK);
    f = ct_safetensors_open("run");
    ck_assert(ct_safetensors_find(f, "training.weights.2.weight") >= 0);
    ck_assert(ct_safetensors_find(f, "training.weights.0.weight") < 0);
    ct_safetensors_close(f);
    ct_loader_free(train);
    ct_loader_free(val);
    ct_params_free(a.params);
}
END_TEST

/* ---- runs that resume ---- */

/* Stopped in the middle of an update, which ends first; resumed; compared with a whole run, in bits. */
START_TEST(resumed_updates)
{
    const ct_trainer how[] = {
        { .accumulate = 3 },
        { .ema_decay = DECAY },
        { .accumulate = 3, .ema_decay = DECAY, .gradient_clip_val = 0.1 },
    };
    weighted whole = weighted_new((weighted){ .dropout = 0.3 });
    weighted part = weighted_new((weighted){ .dropout = 0.3, .stop_at = 11 });
    weighted rest = weighted_new((weighted){ .dropout = 0.3 });
    weighted *const run[] = { &whole, &part, &rest };
    size_t size[2];
    char *bytes[2];

    for (int i = 0; i < 3; i++) {
        ct_trainer t = how[_i];
        ct_loader *train = weighted_loader(3, true), *val = weighted_loader(12, false);
        ct_fit_result r;

        t.checkpoint = i ? "part" : "whole";
        t.resume = i == 2 ? "part" : NULL;
        ck_assert_msg(weighted_fit(run[i], t, train, val, &r) == CT_OK, "%s", ct_error_message());
        if (i == 1) /* an update has three batches, three and two */
            ck_assert(r.end == CT_FIT_END_STOPPED && r.steps == (how[_i].accumulate ? 4 : 11));
        ct_loader_free(train);
        ct_loader_free(val);
    }
    ck_assert(whole.calls == 24 && part.calls + rest.calls == 24);
    expect_params_near(whole.params, rest.params, 0);
    bytes[0] = read_bytes("whole", &size[0]);
    bytes[1] = read_bytes("part", &size[1]);
    ck_assert(size[0] == size[1] && memcmp(bytes[0], bytes[1], size[0]) == 0);
    free(bytes[0]);
    free(bytes[1]);
    for (int i = 0; i < 3; i++)
        ct_params_free(run[i]->params);
}
END_TEST

START_TEST(bad_updates)
{
    static const struct {
        ct_trainer how;
        ct_status status;
        const char *word;
    } cases[] = {
        { { .accumulate = -1 }, CT_ERR_ARGUMENT, "accumulate is -1" },
        { { .ema_decay = 1 }, CT_ERR_ARGUMENT, "ema_decay is 1" },
        { { .ema_decay = -0.1 }, CT_ERR_ARGUMENT, "ema_decay is -0.1" },
        { { .ema_decay = NAN }, CT_ERR_ARGUMENT, "ema_decay is nan" },
        { { .resume = "run" }, CT_ERR_FORMAT, "trainer.accumulate is 3 ... absent" },
        { { .resume = "run", .accumulate = 2 }, CT_ERR_FORMAT, "trainer.accumulate is 3 ... 2" },
        { { .resume = "run", .accumulate = 3, .ema_decay = 0.5 },
          CT_ERR_FORMAT,
          "trainer.ema_decay is 0.75 ... 0.5" },
        { { .resume = "run", .accumulate = 3 }, CT_ERR_FORMAT, "trainer.ema_decay" },
    };
    weighted m = weighted_new((weighted){ 0 });
    ct_loader *l = weighted_loader(3, false);

    ck_assert(weighted_fit(&m,
                           (ct_trainer){ .checkpoint = "run", .accumulate = 3, .ema_decay = 0.75 },
                           l, NULL, NULL) == CT_OK);
    ct_params_free(m.params);
    for (int i = 0; i < LENGTH(cases); i++) {
        m = weighted_new((weighted){ 0 });
        ck_assert(weighted_fit(&m, cases[i].how, l, NULL, NULL) == cases[i].status);
        expect_error(cases[i].status, "ct_fit", cases[i].word);
        ck_assert(m.calls == 0);
        ct_params_free(m.params);
    }
    ct_loader_free(l);
}
END_TEST

/* A gradient that is not finite in a batch before the last of its update. */
START_TEST(bad_gradient)
{
    weighted m = weighted_new((weighted){ .bad_at = 5 });
    ct_loader *l = weighted_loader(3, false);
    ct_fit_result r;

    ck_assert(weighted_fit(&m, (ct_trainer){ .accumulate = 3 }, l, NULL, &r) == CT_ERR_NUMERIC);
    expect_error(CT_ERR_NUMERIC, "ct_fit",
                 harness_later() ? "" : "gradient of ... epoch 1, batch 6 (step 2)");
    ck_assert(r.epochs == 0 && (harness_later() ? m.calls >= 6 : m.calls == 6));
    for (int i = 0; i < ct_params_count(m.params); i++)
        ck_assert(!ct_tensor_grad(ct_param_value(ct_params_at(m.params, i))));
    ct_loader_free(l);
    ct_params_free(m.params);
}
END_TEST

/* ---- a stream that ends before its batches() said: the last update has what is left ---- */

static ct_status short_begin(void *self, int64_t epoch)
{
    (void)epoch;
    *(int *)self = 0;
    return CT_OK;
}

static bool short_next(void *self, ct_batch_writer *w)
{
    const int i = (*(int *)self)++;
    double *x, *y;

    if (i == 4)
        return false;
    x = ct_batch_field(w, "x", CT_F64, CT_SHAPE(2, 3));
    y = ct_batch_field(w, "y", CT_F64, CT_SHAPE(2, 1));
    for (int k = 0; k < 6; k++)
        x[k] = sin(i * 6 + k);
    y[0] = 1 + i;
    y[1] = 2;
    return true;
}

static int64_t short_batches(void *self)
{
    (void)self;
    return 9;
}

static int64_t right_batches(void *self)
{
    (void)self;
    return 4;
}

/* The same as one whose batches() is right: an update of three batches and one of the last. */
START_TEST(short_stream)
{
    static const ct_stream_table tables[] = {
        { .name = "short", .begin = short_begin, .next = short_next, .batches = short_batches },
        { .name = "right", .begin = short_begin, .next = short_next, .batches = right_batches },
    };
    weighted m[2];

    for (int i = 0; i < 2; i++) {
        int at = 0;
        ct_loader *l = ct_loader_stream_new(&tables[i], &at, CT_CPU);
        ct_fit_result r;

        m[i] = weighted_new((weighted){ 0 });
        ck_assert_msg(weighted_fit(&m[i], (ct_trainer){ .accumulate = 3 }, l, NULL, &r) == CT_OK,
                      "%s", ct_error_message());
        ck_assert(r.steps == 6 && m[i].calls == 12);
        ct_loader_free(l);
    }
    expect_params_near(m[0].params, m[1].params, 0);
    ct_params_free(m[0].params);
    ct_params_free(m[1].params);
}
END_TEST

void train_updates_cases(Suite *suite)
{
    TCase *tc = harness_case(suite, "updates");

    tcase_add_checked_fixture(tc, files_setup, files_teardown);
    tcase_add_loop_test(tc, same_as_large_batches, 0, 3);
    tcase_add_test(tc, whole_epochs);
    tcase_add_test(tc, callbacks_see_updates);
    tcase_add_test(tc, averages_by_hand);
    tcase_add_test(tc, frozen_is_not_averaged);
    tcase_add_loop_test(tc, resumed_updates, 0, 3);
    tcase_add_test(tc, bad_updates);
    tcase_add_test(tc, bad_gradient);
    tcase_add_test(tc, short_stream);
}
