/* SPDX-License-Identifier: MIT */
/* train_numbers.c - ct_fit on numbers: a loss that is not a likelihood has no perplexity. */
#include "tests/files.h"
#include "tests/harness.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cotangent.h>

#include "tests/test_train.h"

/* Linear regression of y = 1000 (x0 + x1 + x2), whose losses are in the millions at first. */
typedef struct regression {
    ct_params *params;
    ct_module *linear;
    ct_loader *data;
    double plateau; /* above 0: a plateau schedule of this factor */
} regression;

static ct_tensor *regression_step(void *self, ct_step *s)
{
    const regression *m = self;

    return ct_mse_loss(ct_forward(m->linear, s->batch->x), s->batch->y, CT_REDUCTION_MEAN);
}

static ct_optimizer *regression_optimizer(void *self)
{
    const regression *m = self;
    ct_optimizer *o = ct_sgd_new(m->params, (ct_sgd_options){ .lr = 0.1 });

    if (m->plateau > 0)
        ct_schedule_plateau_lr(ct_optimizer_schedule(o), (ct_schedule_plateau_options){
                                                             .factor = m->plateau, .patience = 2 });
    return o;
}

static regression regression_new(double bad)
{
    ct_scope s = ct_scope_begin();
    ct_generator g = ct_generator_from_seed(1);
    ct_tensor *x = ct_randn(CT_SHAPE(64, 3), CT_F32, CT_CPU, &g);
    ct_tensor *y = ct_mul_scalar(ct_sum_axes(x, 1, (int[]){ 1 }, true), 1000);
    regression m = { .params = ct_params_new((ct_params_options){ .device = DEVICE }) };

    if (bad != 0)
        x = ct_add_scalar(x, bad);
    m.linear = ct_nn_linear(m.params, "linear", (ct_nn_linear_options){ .out_features = 1 });
    m.data = ct_loader_tensors_new(x, y, (ct_loader_tensors_options){ .batch_size = 32 });
    ck_assert(ct_scope_end(s) == CT_OK);
    return m;
}

static void regression_free(regression *m)
{
    ct_loader_free(m->data);
    ct_params_free(m->params);
}

static ct_status regression_fit(regression *m, ct_trainer trainer, ct_loader *val, ct_fit_result *r)
{
    const ct_model model = { .self = m,
                             .params = m->params,
                             .training_step = regression_step,
                             .configure_optimizers = regression_optimizer };

    return ct_fit(&trainer, &model, m->data, val, r);
}

/* A loss that falls from millions: each epoch is better, though exp of all losses is infinite. */
START_TEST(large_losses)
{
    regression m = regression_new(0);
    const ct_trainer trainer = {
        .max_epochs = 20, .patience = 3, .csv = "a.csv", .svg = "a.svg", .tensorboard = "t"
    };
    ct_fit_result r;
    char *text;
    size_t size;

    m.plateau = 0.5;
    ck_assert(regression_fit(&m, trainer, NULL, &r) == CT_OK);
    ck_assert(r.end == CT_FIT_END_FINISHED && r.epochs == 20 && r.best_epoch == 20);
    ck_assert(r.loss == r.best_loss && r.loss > 0 && r.lr == 0.1);
    ck_assert(isnan(r.perplexity) && isnan(r.bits) && isnan(r.best_perplexity));
    text = read_bytes("a.csv", &size);
    ck_assert(strncmp(strchr(text, '\n') + 1, "1,2,64,", 7) == 0);
    ck_assert_ptr_nonnull(strstr(text, ",,,,,,")); /* no perplexity, no bits, no validation */
    free(text);
    text = read_bytes("a.svg", &size);
    text = realloc(text, size + 1);
    text[size] = '\0';
    ck_assert_ptr_nonnull(strstr(text, ">loss</text>"));
    ck_assert(!strstr(text, "perplexity"));
    free(text);
    ck_assert(system("! grep -q 'perplexity\\|bits' t/events*") == 0);
    ck_assert(system("grep -q train/loss t/events*") == 0);
    ck_assert(system("rm -r t") == 0);
    regression_free(&m);
}
END_TEST

/* The progress shows the loss and targets, or the perplexity and tokens if it is requested. */
START_TEST(shown)
{
    static const struct {
        ct_perplexity perplexity;
        const char *has, *lacks, *unit;
    } cases[] = { { CT_PERPLEXITY_AUTO, "  loss ", "perplexity", " targets/s " },
                  { CT_PERPLEXITY_NONE, "  validation ", "perplexity", " targets/s " },
                  { CT_PERPLEXITY_TOKENS, "  perplexity ", "  loss ", " tokens/s " },
                  { CT_PERPLEXITY_BATCHES, "  perplexity ", "  loss ", " tokens/s " } };

    for (int i = 0; i < LENGTH(cases); i++) {
        regression m = regression_new(0), other = regression_new(0);
        char *text = NULL;
        size_t size = 0;
        FILE *out = open_memstream(&text, &size);

        ck_assert(regression_fit(&m,
                                 (ct_trainer){ .max_epochs = 1,
                                               .perplexity = cases[i].perplexity,
                                               .out = out,
                                               .plain = true },
                                 other.data, NULL) == CT_OK);
        fclose(out);
        ck_assert_msg(strstr(text, cases[i].has) && !strstr(text, cases[i].lacks), "%s", text);
        ck_assert_msg(strstr(text, cases[i].unit) != NULL, "%s", text);
        free(text);
        regression_free(&m);
        regression_free(&other);
    }
}
END_TEST

/* The error tells a batch with NaN or infinity from an op that makes such a value. */
START_TEST(bad_batches)
{
    regression m = regression_new(0), bad = regression_new(NAN);
    ct_trainer trainer = { .max_epochs = 1 };

    if (!harness_later()) {
        ck_assert(regression_fit(&bad, trainer, NULL, NULL) == CT_ERR_NUMERIC);
        expect_error(CT_ERR_NUMERIC, "ct_fit",
                     "training loss ... nan ... step 1 ... x of the batch is not finite");
        ck_assert(regression_fit(&m, trainer, bad.data, NULL) == CT_ERR_NUMERIC);
        expect_error(CT_ERR_NUMERIC, "ct_fit",
                     "validation loss ... nan ... x of the batch is not finite");
    }
    trainer.perplexity = (ct_perplexity)4;
    ck_assert(regression_fit(&m, trainer, NULL, NULL) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_fit", "perplexity is 4 ... 0..3");
    regression_free(&m);
    regression_free(&bad);
}
END_TEST

/* ---- a learning rate that is set during the run ---- */

typedef struct rate_change {
    ct_optimizer *optimizer;
    regression *m;
    int64_t stop_at;
} rate_change;

static ct_optimizer *rate_optimizer(void *self)
{
    rate_change *c = self;

    c->optimizer = regression_optimizer(c->m);
    return c->optimizer;
}

static ct_tensor *rate_step(void *self, ct_step *s)
{
    return regression_step(((rate_change *)self)->m, s);
}

static bool rate_halve(void *context, const ct_fit_step *s)
{
    rate_change *c = context;

    if (s->step == 5)
        ct_optimizer_set_lr(c->optimizer, 0.05);
    return s->step != c->stop_at;
}

static ct_fit_result rate_run(const char *resume, int64_t stop_at)
{
    regression m = regression_new(0);
    rate_change c = { .m = &m, .stop_at = stop_at };
    const ct_callback callback = { .context = &c, .step = rate_halve };
    const ct_trainer trainer = { .max_epochs = 6,
                                 .checkpoint = "a",
                                 .resume = resume,
                                 .callbacks = &callback,
                                 .callback_count = 1 };
    const ct_model model = { .self = &c,
                             .params = m.params,
                             .training_step = rate_step,
                             .configure_optimizers = rate_optimizer };
    ct_fit_result r;

    if (ct_fit(&trainer, &model, m.data, NULL, &r) != CT_OK)
        ck_abort_msg("%s", ct_error_message());
    regression_free(&m);
    return r;
}

/* The checkpoint keeps the changed rate, though configure_optimizers returns the first rate
 * again. */
START_TEST(rate_kept)
{
    ct_fit_result want = rate_run(NULL, 0), r = rate_run(NULL, 7);

    ck_assert(r.steps == 7 && r.end == CT_FIT_END_STOPPED);
    r = rate_run("a", 0);
    ck_assert(r.lr == 0.05 && want.lr == 0.05);
    ck_assert(r.loss == want.loss && r.best_loss == want.best_loss && r.steps == want.steps);
}
END_TEST

/* ---- the count that a loss is the mean over ---- */

typedef struct counts {
    ct_params *params;
    double count[2]; /* count of each of the two batches of an epoch */
    int calls;
} counts;

/* Returns a loss of 4 in the first step and 8 in the second. */
static ct_tensor *counts_step(void *self, ct_step *s)
{
    counts *c = self;
    int at = c->calls++ % 2;
    ct_tensor *w = ct_param_value(ct_params_get(c->params, "w"));

    ck_assert(s->count == 32 && s->count == (double)s->batch->tokens);
    ck_assert(s->epoch == (ct_grad_enabled() ? (c->calls - 1) / 4 : (c->calls - 3) / 4));
    ck_assert(!ct_grad_enabled() || s->step == 2 * s->epoch + at);
    s->count = c->count[at];
    return ct_add_scalar(ct_mul_scalar(ct_sum(w), 0), at ? 8 : 4);
}

static ct_optimizer *counts_optimizer(void *self)
{
    return ct_sgd_new(((counts *)self)->params, (ct_sgd_options){ .lr = 1 });
}

static ct_status counts_fit(double first, double second, ct_fit_result *r)
{
    regression m = regression_new(0), other = regression_new(0);
    counts c = { .params = m.params, .count = { first, second } };
    const ct_model model = { .self = &c,
                             .params = m.params,
                             .training_step = counts_step,
                             .configure_optimizers = counts_optimizer };
    ct_status status;

    ct_params_add(m.params, "w", CT_SHAPE(1), ct_init_constant(1));
    status = ct_fit(&(ct_trainer){ .max_epochs = 3 }, &model, m.data, other.data, r);
    regression_free(&m);
    regression_free(&other);
    return status;
}

START_TEST(counted)
{
    static const struct {
        double count;
        const char *word;
    } bad[] = { { 0, "count to 0 in epoch 1, batch 2" },
                { -1, "count to -1" },
                { INFINITY, "count to inf" },
                { -NAN, "count to" } };
    ct_fit_result r;

    ck_assert(counts_fit(1, 3, &r) == CT_OK);
    expect_close("training", r.loss, 7, 0);
    expect_close("validation", r.validation_loss, 7, 0);
    ck_assert(r.tokens == 3 * 64);
    for (int i = 0; i < LENGTH(bad); i++) {
        ck_assert(counts_fit(1, bad[i].count, &r) == CT_ERR_ARGUMENT);
        expect_error(CT_ERR_ARGUMENT, "ct_fit", bad[i].word);
        ck_assert(r.steps == 1);
    }
}
END_TEST

void train_numbers_cases(Suite *suite)
{
    TCase *tc = harness_case(suite, "numbers");

    tcase_add_checked_fixture(tc, files_setup, files_teardown);
    tcase_add_test(tc, large_losses);
    tcase_add_test(tc, shown);
    tcase_add_test(tc, bad_batches);
    tcase_add_test(tc, rate_kept);
    tcase_add_test(tc, counted);
}
