/* SPDX-License-Identifier: MIT */
/* train_metrics.c - the metrics of the library, metrics that the test defines in ct_fit, and
 * monitored values. */
#ifdef HAVE_CONFIG_H
#include <config.h> /* 64-bit positions in folders */
#endif

#include "tests/files.h"
#include "tests/harness.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cotangent.h>

#include "tests/test_train.h"

/* ---- the metrics of the library ---- */

/* Returns the metric of two batches: rows 0 to cut - 1, and the others. */
static double metric_of(const ct_metric *m, ct_tensor *prediction, ct_tensor *target, int64_t cut)
{
    const int64_t n = ct_size(target, 0);
    double sums[CT_METRIC_SUMS] = { 0 }, *part;
    ct_tensor *t;

    for (int i = 0; i < 2; i++) {
        const int64_t from = i ? cut : 0, count = i ? n - cut : cut;

        t = m->update(m->self, ct_narrow(prediction, 0, from, count),
                      ct_narrow(target, 0, from, count));
        ck_assert_msg(t != NULL, "%s: %s", m->name, ct_error_message());
        ck_assert(ct_tensor_dtype(t) == CT_F64 && ct_rank(t) == 1 && ct_size(t, 0) == m->sums);
        part = values_of(t);
        for (int k = 0; k < m->sums; k++)
            sums[k] += part[k];
        free(part);
    }
    return m->value(m->self, sums);
}

START_TEST(classes)
{
    /* the predicted classes are 0 1 1 2 1 0; rows 0, 1, 3 and 5 are right */
    static const double scores[] = { 3, 1, 0, 0, 2, 1, 1, 4, 2, 0, 0, 1, -3, -1, -2, 5, 4, 3 };
    static const int32_t ids[] = { 0, 1, 2, 2, 0, 0 };
    ct_scope s = ct_scope_begin_no_grad();
    const ct_dtype dtype = _i % 2 ? CT_F64 : CT_F32;
    ct_tensor *x = ct_cast(ct_from_data(scores, CT_SHAPE(6, 3), CT_F64, DEVICE), dtype);
    ct_tensor *y =
        ct_cast(ct_from_data(ids, CT_SHAPE(6), CT_I32, DEVICE), _i / 2 ? CT_I64 : CT_I32);
    const ct_metric no_zeros = ct_metric_accuracy_ignoring(0);
    const ct_metric no_negative = ct_metric_accuracy_ignoring(-100);
    const ct_metric zero = ct_metric_f1_class(0), two = ct_metric_f1_class(2),
                    five = ct_metric_f1_class(5);
    double nll = 0;

    for (int64_t cut = 0; cut <= 6; cut += 3) {
        expect_close("accuracy", metric_of(ct_metric_accuracy(), x, y, cut), 4.0 / 6, 1e-15);
        expect_close("without 0", metric_of(&no_zeros, x, y, cut), 2.0 / 3, 1e-15);
        expect_close("without -100", metric_of(&no_negative, x, y, cut), 4.0 / 6, 1e-15);
        expect_close("F1 of 1", metric_of(ct_metric_f1(), x, y, cut), 2.0 * 1 / (3 + 1), 1e-15);
        expect_close("F1 of 0", metric_of(&zero, x, y, cut), 2.0 * 2 / (2 + 3), 1e-15);
        expect_close("F1 of 2", metric_of(&two, x, y, cut), 2.0 * 1 / (1 + 2), 1e-15);
        expect_close("F1 of none", metric_of(&five, x, y, cut), 0, 0);
    }
    for (int i = 0; i < 6; i++) {
        const double *r = scores + 3 * i;

        nll += log(exp(r[0]) + exp(r[1]) + exp(r[2])) - r[ids[i]];
    }
    expect_close("perplexity", metric_of(ct_metric_perplexity(), x, y, 2), exp(nll / 6), 1e-6);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

START_TEST(numbers)
{
    static const double p[] = { 1, 2, 3.5, -4, 0, 2 }, t[] = { 1.5, 2, 3, -2, 1, 7 };
    ct_scope s = ct_scope_begin_no_grad();
    const ct_dtype dtype = _i ? CT_F64 : CT_F32;
    ct_tensor *x = ct_cast(ct_from_data(p, CT_SHAPE(3, 2), CT_F64, DEVICE), dtype);
    ct_tensor *y = ct_cast(ct_from_data(t, CT_SHAPE(3, 2), CT_F64, DEVICE), dtype);
    double squares = 0, spread = 0, mean = (1.5 + 2 + 3 - 2 + 1 + 7) / 6;

    for (int i = 0; i < 6; i++) {
        squares += (t[i] - p[i]) * (t[i] - p[i]);
        spread += (t[i] - mean) * (t[i] - mean);
    }
    for (int64_t cut = 0; cut <= 3; cut++) {
        expect_close("MAE", metric_of(ct_metric_mae(), x, y, cut), 9.0 / 6, 1e-15);
        expect_close("MSE", metric_of(ct_metric_mse(), x, y, cut), squares / 6, 1e-15);
        expect_close("R2", metric_of(ct_metric_r2(), x, y, cut), 1 - squares / spread, 1e-14);
    }
    y = ct_full(CT_SHAPE(3, 2), 7, dtype, DEVICE);
    ck_assert(isnan(metric_of(ct_metric_r2(), x, y, 1)));
    ck_assert(isnan(metric_of(ct_metric_mae(), ct_narrow(x, 0, 0, 0), ct_narrow(y, 0, 0, 0), 0)));
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

START_TEST(metric_errors)
{
    ct_scope s = ct_scope_begin_no_grad();
    ct_tensor *x = ct_zeros(CT_SHAPE(4, 3), CT_F32, DEVICE),
              *ids = ct_zeros(CT_SHAPE(4), CT_I32, DEVICE);
    ct_tensor *dead;
    const struct {
        const ct_metric *metric;
        ct_tensor *x, *y;
        ct_status status;
        const char *function, *word;
    } cases[] = {
        { ct_metric_accuracy(), x, ct_zeros(CT_SHAPE(3), CT_I32, DEVICE), CT_ERR_SHAPE,
          "ct_metric_accuracy", "target i32[3] ... f32[4,3]" },
        { ct_metric_f1(), x, x, CT_ERR_DTYPE, "ct_metric_f1", "f32[4,3] ... i32 or i64" },
        { ct_metric_perplexity(), x, ct_zeros(CT_SHAPE(4, 1), CT_I64, DEVICE), CT_ERR_SHAPE,
          "ct_metric_perplexity", "i64[4,1]" },
        { ct_metric_accuracy(), ct_zeros(CT_SCALAR, CT_F32, DEVICE), ids, CT_ERR_SHAPE,
          "ct_metric_accuracy", "f32[]" },
        { ct_metric_mae(), x, ct_zeros(CT_SHAPE(4, 1), CT_F32, DEVICE), CT_ERR_SHAPE,
          "ct_metric_mae", "f32[4,3] ... f32[4,1]" },
        { ct_metric_mse(), x, ct_zeros(CT_SHAPE(4, 3), CT_F64, DEVICE), CT_ERR_DTYPE,
          "ct_metric_mse", "f64" },
        { ct_metric_r2(), NULL, x, CT_ERR_ARGUMENT, "ct_metric_r2", "prediction is NULL" },
        { ct_metric_accuracy(), x, NULL, CT_ERR_ARGUMENT, "ct_metric_accuracy", "target is NULL" },
    };
    ct_scope inner = ct_scope_begin_no_grad();

    for (int i = 0; i < LENGTH(cases); i++) {
        ck_assert(!cases[i].metric->update(cases[i].metric->self, cases[i].x, cases[i].y));
        expect_error(cases[i].status, cases[i].function, cases[i].word);
    }
    dead = ct_neg(x);
    ck_assert(ct_scope_end(inner) == CT_OK);
    ck_assert(!ct_metric_mae()->update(NULL, dead, x));
    expect_error(CT_ERR_SCOPE, "ct_metric_mae", "prediction ... dead");
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* ---- BLEU ---- */

#define IDS(...)                                                                                   \
    {                                                                                              \
        (const int32_t[]){ __VA_ARGS__ }, sizeof((const int32_t[]){ __VA_ARGS__ }) / 4             \
    }

START_TEST(bleu)
{
    const ct_ids h[] = { IDS(1, 2, 3, 4, 5, 6), IDS(7, 7, 7, 7), IDS(1, 2, 3, 4, 7, 6, 8, 9) };
    const ct_ids r[] = { IDS(1, 2, 3, 4, 7, 6, 8), IDS(7, 7, 9, 1), IDS(1, 2, 3, 4, 7, 6, 8, 9) };
    const ct_ids none = { NULL, 0 }, bad[] = { { NULL, 1 }, { r[0].ids, -1 } };
    /* matches 5 3 2 1 of 6 5 4 3; 2 1 0 0 of 4 3 2 1 */
    const double one = pow(5 / 6.0 * 3 / 5 * 2 / 4 * 1 / 3, 0.25) * exp(1 - 7 / 6.0);
    const double two = pow(7 / 10.0 * 4 / 8 * 2 / 6 * 1 / 4, 0.25) * exp(1 - 11 / 10.0);

    expect_close("one", ct_bleu(1, h, r), one, 1e-15);
    expect_close("two", ct_bleu(2, h, r), two, 1e-15);
    expect_close("no 4-gram", ct_bleu(1, h + 1, r + 1), 0, 0);
    expect_close("equal", ct_bleu(1, h + 2, r + 2), 1, 1e-15);
    expect_close("longer", ct_bleu(1, h + 2, r), pow(7 / 8.0 * 6 / 7 * 5 / 6 * 4 / 5, 0.25), 1e-15);
    expect_close("empty", ct_bleu(1, &none, r), 0, 0);
    expect_close("empty reference", ct_bleu(1, h, &none), 0, 0);
    ck_assert(isnan(ct_bleu(0, h, r)));
    expect_error(CT_ERR_ARGUMENT, "ct_bleu", "count is 0");
    for (int i = 0; i < 2; i++) {
        ck_assert(isnan(ct_bleu(1, h, &bad[i])));
        expect_error(CT_ERR_ARGUMENT, "ct_bleu",
                     i ? "references[0] ... -1" : "references[0] ... NULL");
        ck_assert(isnan(ct_bleu(1, &bad[i], r)));
        expect_error(CT_ERR_ARGUMENT, "ct_bleu", "hypotheses[0]");
    }
}
END_TEST

/* ---- in ct_fit ---- */

/* Metrics: the mean of prediction - target, and the same with the other sign. */
static ct_tensor *score_update(const void *self, ct_tensor *prediction, ct_tensor *target)
{
    ct_tensor *sum = ct_cast(ct_sum(ct_sub(prediction, target)), CT_F64);

    ck_assert(!ct_grad_enabled());
    return CT_STACK(0, ct_mul_scalar(sum, *(const double *)self),
                    ct_full(CT_SCALAR, (double)ct_numel(target), CT_F64, DEVICE));
}

static double score_value(const void *self, const double *sums)
{
    (void)self;
    return sums[0] / sums[1];
}

static const double plus = 1, minus = -1;
static const ct_metric score = { "score", true, 2, score_update, score_value, &plus };
static const ct_metric cost = { "cost", false, 2, score_update, score_value, &minus };

typedef struct judged {
    ct_params *params;
    int64_t stop_at;
    double plateau; /* 0: no plateau schedule; 1: one that minimizes; 2: one that maximizes */
    bool silent;    /* sets no prediction */
} judged;

/* The score of validation in each epoch. The loss stays the same. */
static const double scores_of_epochs[] = { 1, 5, 3, 4, 2, 2.5, 1.5, 1, 0, -1 };

static ct_tensor *judged_loss(judged *m, ct_step *s, double x)
{
    ct_tensor *w = ct_param_value(ct_params_get(m->params, "w"));

    if (!m->silent) {
        s->target = s->batch->y;
        s->prediction = ct_add_scalar(ct_add(s->target, ct_mul_scalar(ct_sum(w), 0)), x);
    }
    return ct_add_scalar(ct_mul_scalar(ct_sum(w), 0), 2);
}

/* The score is 10 epoch + batch / 4. */
static ct_tensor *judged_training(void *self, ct_step *s)
{
    return judged_loss(self, s, 10 * (double)s->epoch + (double)(s->step % 4) / 4);
}

static ct_tensor *judged_validation(void *self, ct_step *s)
{
    return judged_loss(self, s, scores_of_epochs[s->epoch]);
}

static ct_optimizer *judged_optimizer(void *self)
{
    const judged *m = self;
    ct_optimizer *o = ct_sgd_new(m->params, (ct_sgd_options){ .lr = 1 });

    if (m->plateau > 0)
        ct_schedule_plateau_lr(
            ct_optimizer_schedule(o),
            (ct_schedule_plateau_options){
                .factor = 0.5, .patience = -1, .maximize = m->plateau > 1, .absolute = true });
    return o;
}

static bool judged_stop(void *context, const ct_fit_step *s)
{
    return s->step != ((const judged *)context)->stop_at;
}

static ct_status judged_fit(judged m, ct_trainer t, bool validates, ct_fit_result *r)
{
    ct_scope s = ct_scope_begin();
    const ct_callback callback = { .context = &m, .step = judged_stop };
    const ct_model model = { .self = &m,
                             .params = ct_params_new((ct_params_options){ .device = DEVICE }),
                             .training_step = judged_training,
                             .validation_step = judged_validation,
                             .configure_optimizers = judged_optimizer };
    ct_tensor *x = ct_zeros(CT_SHAPE(14, 2), CT_F32, CT_CPU);
    const ct_loader_tensors_options four = { .batch_size = 4 }; /* 4 4 4 2 rows */
    ct_loader *l = ct_loader_tensors_new(x, x, four);
    ct_loader *val = validates ? ct_loader_tensors_new(x, x, four) : NULL;
    ct_status status;

    ck_assert(ct_scope_end(s) == CT_OK);
    m.params = model.params;
    ct_params_add(m.params, "w", CT_SHAPE(1), ct_init_constant(1));
    t.callbacks = &callback;
    t.callback_count = 1;
    t.max_epochs = t.max_epochs ? t.max_epochs : 10;
    status = ct_fit(&t, &model, l, val, r);
    ct_loader_free(l);
    ct_loader_free(val);
    ct_params_free(m.params);
    return status;
}

#define BOTH                                                                                       \
    (const ct_metric *[])                                                                          \
    {                                                                                              \
        &score, &cost, NULL                                                                        \
    }

/* 4 4 4 2 rows whose scores differ by a quarter */
#define MEAN_OF_BATCHES ((0 * 4 + 0.25 * 4 + 0.5 * 4 + 0.75 * 2) / 14)

static const struct {
    const char *monitor;
    int64_t patience, epochs, best;
    double min_delta, value;
} monitored[] = {
    { "val_score", 0, 10, 2, 0, 5 },
    { "val_cost", 0, 10, 2, 0, -5 },
    { "val_score", 3, 5, 2, 0, 5 },
    { "val_cost", 3, 5, 2, 0, -5 },
    { "val_score", 4, 5, 2, 4.5, 5 },
    { "train_score", 3, 10, 10, 0, 90 + MEAN_OF_BATCHES },
    { "train_cost", 9, 10, 10, 0, -90 - MEAN_OF_BATCHES },
    { "train_score", 2, 3, 3, 1000, 20 + MEAN_OF_BATCHES },
    { NULL, 3, 4, 1, 0, 2 },
    { "train_loss", 4, 5, 1, 0, 2 },
};

START_TEST(monitors)
{
    ct_fit_result r;

    ck_assert(judged_fit((judged){ 0 },
                         (ct_trainer){ .metrics = BOTH,
                                       .monitor = monitored[_i].monitor,
                                       .patience = monitored[_i].patience,
                                       .min_delta = monitored[_i].min_delta,
                                       .best = "best" },
                         true, &r) == CT_OK);
    ck_assert_int_eq(r.epochs, monitored[_i].epochs);
    ck_assert_int_eq(r.best_epoch, monitored[_i].best);
    expect_close("best", r.best_value, monitored[_i].value, 1e-15);
    expect_close("its loss", r.best_loss, 2, 0);
    ck_assert_int_eq(r.metric_count, 2);
    ck_assert_str_eq(r.metric_names[1], "cost");
    expect_close("score", r.metrics[0], 10 * (double)(r.epochs - 1) + MEAN_OF_BATCHES, 1e-15);
    expect_close("cost", ct_fit_value(&r, "train_cost"), -r.metrics[0], 0);
    expect_close("validation", ct_fit_value(&r, "val_score"), scores_of_epochs[r.epochs - 1], 0);
    expect_close("loss", ct_fit_value(&r, "val_loss"), 2, 0);
    ck_assert(isnan(ct_fit_value(&r, "val_none")) && isnan(ct_fit_value(NULL, "lr")) &&
              isnan(ct_fit_value(&r, NULL)));
    free(read_bytes("best", &(size_t){ 0 }));
}
END_TEST

/* A plateau schedule gets the monitored value: 1 5 3 4 2 2.5 ... reduce the rate each time except
 * twice. */
START_TEST(plateau)
{
    const judged up = { .plateau = 2 }, down = { .plateau = 1 };
    ct_fit_result r;

    ck_assert(judged_fit(up,
                         (ct_trainer){ .max_epochs = 6, .metrics = BOTH, .monitor = "val_score" },
                         true, &r) == CT_OK);
    expect_close("rate of the sixth epoch", r.lr, pow(0.5, 3), 0);
    ck_assert(judged_fit(down,
                         (ct_trainer){ .max_epochs = 6, .metrics = BOTH, .monitor = "val_cost" },
                         true, &r) == CT_OK);
    expect_close("rate of the sixth epoch", r.lr, pow(0.5, 3), 0);
    ck_assert(judged_fit(down, (ct_trainer){ .metrics = BOTH, .monitor = "val_score" }, true, &r) ==
              CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_fit", "maximize is false ... val_score are better");
    ck_assert(judged_fit(up, (ct_trainer){ 0 }, false, &r) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_fit", "maximize is true ... train_loss are worse");
}
END_TEST

/* Returns true if the file of events in a folder has a word; if last, removes the file. */
static bool folder_has(const char *folder, const char *word, bool last)
{
    DIR *d = opendir(folder);
    struct dirent *e;
    bool found = false;

    ck_assert(d != NULL);
    while ((e = readdir(d))) {
        char path[400], *bytes;
        size_t size;

        if (e->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        bytes = read_bytes(path, &size);
        for (size_t i = 0; i + strlen(word) <= size; i++)
            found = found || memcmp(bytes + i, word, strlen(word)) == 0;
        free(bytes);
        ck_assert(!last || remove(path) == 0);
    }
    closedir(d);
    return found;
}

static char *text_of(const char *path)
{
    size_t size;
    char *bytes = read_bytes(path, &size);

    bytes = realloc(bytes, size + 1);
    bytes[size] = '\0';
    return bytes;
}

START_TEST(shown_metrics)
{
    static const char *const lines[] = {
        "epoch,step,tokens,train_loss,train_perplexity,train_bits,val_loss,val_perplexity,val_bits,"
        "grad_norm,clipped,lr,train_score,val_score,train_cost,val_cost,tokens_per_second,"
        "seconds\n",
        "\n2,8,", ",1,10.32142857142857", ",5,-10.32142857142857", ",-5,"
    };
    FILE *out = fopen("out", "w");
    ct_fit_result r;
    char *csv, *at, *text;

    ck_assert(
        judged_fit((judged){ 0 },
                   (ct_trainer){ .metrics = BOTH, .csv = "a.csv", .tensorboard = "t", .out = out },
                   true, &r) == CT_OK);
    fclose(out);
    csv = at = text_of("a.csv");
    for (int i = 0; i < LENGTH(lines); i++) {
        at = strstr(at, lines[i]);
        ck_assert_msg(at != NULL, "no %s in %s", lines[i], csv);
    }
    free(csv);
    ck_assert(folder_has("t", "validation/score", false) && folder_has("t", "train/cost", true));
    text = text_of("out");
    at = strstr(text, "epoch  2/10");
    ck_assert_msg(at != NULL, "%s", text);
    ck_assert(strstr(at, "score     10.32  validation     5.000  cost    -10.32") != NULL);
    free(text);
}
END_TEST

/* A run that is stopped within an epoch keeps its sums. */
START_TEST(resumed_metrics)
{
    ct_trainer t = { .metrics = BOTH, .monitor = "val_score", .checkpoint = "a", .csv = "a.csv" };
    ct_fit_result r, want;
    size_t size, other_size;
    char *a, *b;

    ck_assert(judged_fit((judged){ 0 }, t, _i % 2, &want) == (_i % 2 ? CT_OK : CT_ERR_ARGUMENT));
    ct_error_clear();
    t.monitor = _i % 2 ? "val_score" : "train_score";
    ck_assert(judged_fit((judged){ 0 }, t, _i % 2, &want) == CT_OK);
    t.checkpoint = "b";
    ck_assert(judged_fit((judged){ .stop_at = _i < 2 ? 14 : 12 }, t, _i % 2, &r) == CT_OK);
    t.resume = "b";
    for (int i = 0; i < 3; i++) {
        ct_trainer other = t;

        other.metrics = i == 0 ? NULL : i == 1 ? (const ct_metric *[]){ &score, NULL } : BOTH;
        other.monitor = i == 0 ? NULL : i == 1 ? t.monitor : "train_cost";
        ck_assert(judged_fit((judged){ 0 }, other, _i % 2, &r) == CT_ERR_FORMAT);
        expect_error(CT_ERR_FORMAT, "ct_fit", i < 2 ? "metric" : "monitor");
    }
    ck_assert(judged_fit((judged){ 0 }, t, _i % 2, &r) == CT_OK);
    ck_assert(r.best_epoch == want.best_epoch && r.best_value == want.best_value);
    ck_assert(memcmp(r.metrics, want.metrics, 2 * sizeof *r.metrics) == 0);
    a = read_bytes("a", &size);
    b = read_bytes("b", &other_size);
    ck_assert(size == other_size && memcmp(a, b, size) == 0);
    free(a);
    free(b);
}
END_TEST

/* ---- ct_evaluate ---- */

typedef struct evaluated {
    ct_params *params;
    bool fails;
    int calls;
} evaluated;

/* The losses are 0, 1, 2, 3 for batches of 4, 4, 4, 2 rows; the score is ten times the loss. */
static ct_tensor *evaluated_step(void *self, ct_step *s)
{
    evaluated *m = self;
    ct_tensor *w = ct_param_value(ct_params_get(m->params, "w"));
    double x = m->calls++;

    ck_assert(!ct_grad_enabled() && !ct_params_is_training(m->params));
    ck_assert(!s->state && !s->next && s->count == (double)s->batch->tokens);
    s->target = s->batch->y;
    s->prediction = ct_add_scalar(s->target, 10 * x);
    return ct_mul_scalar(ct_sum(w), m->fails && x == 2 ? NAN : x);
}

START_TEST(evaluates)
{
    const ct_metric *const metrics[] = { &cost, &score, NULL };
    const double mean = (1 * 4 + 2 * 4 + 3 * 2) / 14.0;
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_zeros(CT_SHAPE(14, 2), CT_F32, CT_CPU);
    ct_loader *l = ct_loader_tensors_new(x, x, (ct_loader_tensors_options){ .batch_size = 4 });
    evaluated m = { .params = ct_params_new((ct_params_options){ .device = DEVICE }) };
    ct_model model = { .self = &m, .params = m.params, .validation_step = evaluated_step };
    double loss = 0, values[2] = { 0 };

    ct_params_add(m.params, "w", CT_SHAPE(1), ct_init_constant(1));
    ct_trainer_stop(); /* stops ct_fit only */
    for (int i = 0; i < 2; i++) {
        m.calls = 0;
        ck_assert(ct_evaluate(&model, l, metrics, &loss, values) == CT_OK);
        expect_close("loss", loss, mean, 1e-15);
        expect_close("cost", values[0], -10 * mean, 1e-14);
        expect_close("score", values[1], 10 * mean, 1e-14);
        model.training_step = evaluated_step;
        model.validation_step = NULL;
    }
    m.calls = 0;
    ck_assert(ct_evaluate(&model, l, NULL, NULL, NULL) == CT_OK && m.calls == 4);
    ck_assert(ct_params_is_training(m.params) && ct_grad_enabled());

    m.calls = 0;
    m.fails = true;
    ck_assert(ct_evaluate(&model, l, metrics, &loss, values) == CT_ERR_NUMERIC);
    ck_assert(isnan(loss) && isnan(values[0]) && isnan(values[1]));
    ck_assert(ct_scope_end(s) == CT_ERR_NUMERIC);
    expect_error(CT_ERR_NUMERIC, "ct_evaluate", "validation loss is nan in batch 3");
    ck_assert(ct_evaluate(&model, l, (const ct_metric *[]){ &score, &score, NULL }, NULL, NULL) ==
              CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_evaluate", "metric score");
    model.training_step = NULL;
    ck_assert(ct_evaluate(&model, l, NULL, NULL, NULL) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_evaluate", "validation_step is NULL");
    ct_loader_free(l);
    ct_params_free(m.params);
}
END_TEST

/* ---- errors ---- */

static ct_tensor *null_update(const void *self, ct_tensor *prediction, ct_tensor *target)
{
    (void)self, (void)prediction, (void)target;
    return NULL;
}

static ct_tensor *wide_update(const void *self, ct_tensor *prediction, ct_tensor *target)
{
    (void)self, (void)prediction;
    return ct_zeros(CT_SHAPE(3), ct_tensor_dtype(target), DEVICE);
}

static double nan_value(const void *self, const double *sums)
{
    (void)self, (void)sums;
    return NAN;
}

START_TEST(bad_metrics)
{
    static const ct_metric nameless = { NULL, true, 2, score_update, score_value, &plus };
    static const ct_metric spaced = { "a b", true, 2, score_update, score_value, &plus };
    static const ct_metric taken = { "loss", true, 2, score_update, score_value, &plus };
    static const ct_metric sumless = { "x", true, 0, score_update, score_value, &plus };
    static const ct_metric many = { "x", true, 9, score_update, score_value, &plus };
    static const ct_metric no_update = { "x", true, 2, NULL, score_value, &plus };
    static const ct_metric no_value = { "x", true, 2, score_update, NULL, &plus };
    static const ct_metric null = { "x", true, 2, null_update, score_value, &plus };
    static const ct_metric wide = { "x", true, 2, wide_update, score_value, &plus };
    static const ct_metric undefined = { "x", true, 2, score_update, nan_value, &plus };
    const struct {
        const ct_metric *metric;
        const char *monitor, *word;
        ct_status status;
        bool silent;
    } cases[] = {
        { &nameless, NULL, "metric \"\" ... name", CT_ERR_ARGUMENT, false },
        { &spaced, NULL, "metric \"a b\" ... name", CT_ERR_ARGUMENT, false },
        { &taken, NULL, "metric loss ... another", CT_ERR_ARGUMENT, false },
        { &score, NULL, "metric score ... another", CT_ERR_ARGUMENT, false },
        { &sumless, NULL, "sums is 0", CT_ERR_ARGUMENT, false },
        { &many, NULL, "sums is 9", CT_ERR_ARGUMENT, false },
        { &no_update, NULL, "update is NULL", CT_ERR_ARGUMENT, false },
        { &no_value, NULL, "value is NULL", CT_ERR_ARGUMENT, false },
        { &null, NULL, "metric x ... NULL", CT_ERR_ARGUMENT, false },
        { &wide, NULL, "metric x ... f32[3] ... f64[2]", CT_ERR_SHAPE, false },
        { &undefined, "train_x", "monitored train_x is nan in epoch 1", CT_ERR_NUMERIC, false },
        { &cost, "val_cost", "val_cost ... validation", CT_ERR_ARGUMENT, false },
        { &cost, "train_lr", "monitor is \"train_lr\"", CT_ERR_ARGUMENT, false },
        { &cost, "lr", "monitor is \"lr\"", CT_ERR_ARGUMENT, false },
        { &cost, "train_perplexity", "monitored train_perplexity is nan", CT_ERR_NUMERIC, false },
        { &cost, NULL, "prediction", CT_ERR_ARGUMENT, true },
    };
    const ct_metric *nine[10] = { NULL };
    ct_metric names[9];
    ct_fit_result r;

    for (int i = 0; i < LENGTH(cases); i++) {
        const ct_metric *metrics[] = { &score, cases[i].metric, NULL };
        const ct_trainer t = { .metrics = metrics, .monitor = cases[i].monitor };

        ck_assert_msg(judged_fit((judged){ .silent = cases[i].silent }, t, false, &r) ==
                          cases[i].status,
                      "%s: %s", cases[i].word, ct_error_message());
        expect_error(cases[i].status, "ct_fit", cases[i].word);
    }
    for (int i = 0; i < 9; i++) {
        names[i] = score;
        names[i].name = (const char *[]){ "a", "b", "c", "d", "e", "f", "g", "h", "i" }[i];
        nine[i] = &names[i];
    }
    ck_assert(judged_fit((judged){ 0 }, (ct_trainer){ .metrics = nine }, false, &r) ==
              CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_fit", "more than 8 metrics");
    nine[8] = NULL;
    ck_assert(judged_fit((judged){ 0 }, (ct_trainer){ .metrics = nine }, false, &r) == CT_OK);
    expect_close("the eighth", ct_fit_value(&r, "train_h"), 90 + MEAN_OF_BATCHES, 1e-15);
}
END_TEST

void train_metrics_cases(Suite *suite)
{
    TCase *tc = harness_case(suite, "metrics");

    tcase_add_checked_fixture(tc, files_setup, files_teardown);
    tcase_add_loop_test(tc, classes, 0, 4);
    tcase_add_loop_test(tc, numbers, 0, 2);
    tcase_add_test(tc, metric_errors);
    tcase_add_test(tc, bleu);
    tcase_add_loop_test(tc, monitors, 0, LENGTH(monitored));
    tcase_add_test(tc, plateau);
    tcase_add_test(tc, shown_metrics);
    tcase_add_loop_test(tc, resumed_metrics, 0, 4);
    tcase_add_test(tc, evaluates);
    tcase_add_test(tc, bad_metrics);
}
