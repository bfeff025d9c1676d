/* SPDX-License-Identifier: MIT */
/* dataset_resume.c - runs over a user's dataset that stop within an epoch and resume. The results
 * have the same bits as those of an uninterrupted run, and other data are refused. */
#include "tensor/internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/test_dataset.h"

#include "tests/files.h"

typedef struct line {
    ct_params *params;
    ct_module *linear;
    bool own; /* with an optimiser of the test */
} line;

static ct_tensor *line_step(void *self, ct_step *s)
{
    const line *m = self;
    ct_tensor *y = ct_mul_scalar(ct_cast(s->batch->y, CT_F32), 0.01);

    return ct_mse_loss(ct_select(ct_forward(m->linear, s->batch->x), 1, 0), y, CT_REDUCTION_MEAN);
}

/* An optimiser of the test: w -= lr m, m = momentum m + grad. */
typedef struct own_options {
    double lr, momentum;
} own_options;

static const ct_optimizer_option own_fields[] = {
    CT_OPTIMIZER_OPTION(own_options, lr, 0.001, 0, INFINITY),
    CT_OPTIMIZER_OPTION(own_options, momentum, 0.9, 0, 1),
    { .name = NULL },
};

static ct_tensor *own_update(ct_optimizer_update *u)
{
    const own_options *o = u->options;

    u->state[0] = ct_add(ct_mul_scalar(u->state[0], o->momentum), u->grad);
    return ct_sub(u->value, ct_mul(u->state[0], ct_optimizer_rate(u, 0)));
}

static const ct_optimizer_table own_table = {
    .name = "Own",
    .options_size = sizeof(own_options),
    .options = own_fields,
    .states = { { .name = "mean" } },
    .update = own_update,
};

static ct_optimizer *line_configure(void *self)
{
    const line *m = self;

    return m->own ? ct_optimizer_new(m->params, &own_table, NULL)
                  : ct_adam_new(m->params, (ct_adam_options){ .lr = 0.01 });
}

static bool stops_at(void *context, const ct_fit_step *step)
{
    return step->step != *(const int64_t *)context;
}

/* The settings of a run, and its results. */
typedef struct run {
    ct_loader_options o;
    char digest;
    bool own_optimizer;
    int64_t stop_at;    /* after so many steps; 0: not */
    const char *resume; /* or NULL */
    double end[3];      /* results: the weights and the bias */
    ct_loader_cursor at;
} run;

static ct_status run_line(run *r)
{
    numbers n;
    ct_dataset *d = numbers_new(&n, 50);
    line m = { .params = ct_params_new((ct_params_options){ .seed = 2, .device = DEVICE }),
               .own = r->own_optimizer };
    ct_model model = { .self = &m,
                       .params = m.params,
                       .training_step = line_step,
                       .configure_optimizers = line_configure };
    const ct_callback stop = { .context = &r->stop_at, .step = stops_at };
    ct_trainer trainer = { .max_epochs = 3,
                           .callbacks = &stop,
                           .callback_count = 1,
                           .checkpoint = "run.safetensors",
                           .resume = r->resume };
    ct_loader *l;
    ct_status status;
    ct_scope s;

    n.digest = r->digest;
    r->o.device = DEVICE;
    l = ct_loader_new(d, r->o);
    m.linear = ct_nn_linear(m.params, "linear",
                            (ct_nn_linear_options){ .in_features = 2, .out_features = 1 });
    status = ct_fit(&trainer, &model, l, NULL, NULL);
    s = ct_scope_begin();
    for (int i = 0; i < 2 && status == CT_OK; i++) {
        double *values = values_of(ct_param_value(ct_params_at(m.params, i)));

        memcpy(r->end + 2 * i, values, (size_t)(2 - i) * sizeof *values);
        free(values);
    }
    ck_assert(ct_scope_end(s) == CT_OK);
    r->at = ct_loader_tell(l);
    ct_loader_free(l);
    ct_dataset_free(d);
    ct_params_free(m.params);
    return status;
}

START_TEST(resumed_runs)
{
    static const double w[50] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 };
    const ct_loader_options orders[] = {
        { .batch_size = 8, .shuffle = true, .seed = 5 },
        { .batch_size = 8, .weights = w, .samples = 61, .seed = 5 },
        { .batch_size = 8, .drop_last = true, .shuffle = true },
    };

    for (int k = 0; k < harness_rounds(2, 6); k++) { /* each order with each optimiser */
        run whole = { .o = orders[k % 3], .digest = 'a', .own_optimizer = k % 2 };
        run part = whole, rest = whole;

        ck_assert(run_line(&whole) == CT_OK);
        part.stop_at = 9;
        part.o.workers = 2; /* workers must not change the result */
        ck_assert(run_line(&part) == CT_OK);
        ck_assert(part.at.epoch == 2 && part.at.batch > 0);
        rest.resume = "run.safetensors";
        ck_assert(run_line(&rest) == CT_OK);
        ck_assert(memcmp(&whole.at, &rest.at, sizeof whole.at) == 0);
        ck_assert(memcmp(whole.end, rest.end, sizeof whole.end) == 0);
        ck_assert(memcmp(whole.end, part.end, sizeof whole.end) != 0);
    }
}
END_TEST

START_TEST(other_data)
{
    static const double w[50] = { 1, 2, 3 };
    static const struct {
        ct_loader_options o;
        char digest;
        const char *word;
    } cases[] = {
        { { .batch_size = 8, .shuffle = true }, 'b', "train_loader.data" },
        { { .batch_size = 8 }, 'a', "train_loader.shuffle" },
        { { .batch_size = 9, .shuffle = true }, 'a', "train_loader.batch_size" },
        { { .batch_size = 8, .shuffle = true, .seed = 1 }, 'a', "train_loader.seed" },
        { { .batch_size = 8, .shuffle = true, .drop_last = true }, 'a', "train_loader.drop_last" },
        { { .batch_size = 8, .shuffle = true, .weights = w }, 'a', "train_loader.weights" },
    };
    run first = { .o = { .batch_size = 8, .shuffle = true }, .digest = 'a', .stop_at = 9 };

    ck_assert(run_line(&first) == CT_OK);
    for (int k = 0; k < LENGTH(cases); k++) {
        run other = { .o = cases[k].o, .digest = cases[k].digest, .resume = "run.safetensors" };

        ck_assert(run_line(&other) == CT_ERR_FORMAT);
        expect_error(CT_ERR_FORMAT, "ct_fit", cases[k].word);
    }
}
END_TEST

void dataset_resume_cases(Suite *suite)
{
    TCase *tc = harness_case(suite, "resume");

    tcase_add_checked_fixture(tc, files_setup, files_teardown);
    tcase_add_test(tc, resumed_runs);
    tcase_add_test(tc, other_data);
}
