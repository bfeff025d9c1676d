/* SPDX-License-Identifier: MIT */
/* train_torch.c - short runs of the models of examples/ in ct_fit, in f64, against PyTorch's weights
 * (tests/torch/training.py, which says what they are). */
#include "tests/harness.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cotangent.h>

#include "tests/test_train.h"

/* Any of the models; what it lacks is NULL. */
typedef struct net {
    ct_params *params;
    ct_recurrent *gru;
    ct_module *embedding, *linear, *generator, *discriminator;
    ct_tensor *noise; /* owned */
} net;

/* ---- data ---- */

/* f(scale i) as a tensor on the CPU. */
static ct_tensor *waves(double (*f)(double), double scale, ct_shape shape)
{
    ct_tensor *t = ct_empty(shape, CT_F64, CT_CPU);
    double *x = ct_mutable_data(t);

    for (int64_t i = 0; i < ct_numel(t); i++)
        x[i] = f(scale * (double)i);
    return t;
}

static void set_weights(ct_params *set)
{
    ct_scope s = ct_scope_begin_no_grad();

    for (int k = 0; k < ct_params_count(set); k++) {
        ct_tensor *p = ct_param_value(ct_params_at(set, k));
        ct_tensor *t = ct_empty(ct_tensor_shape(p), CT_F64, CT_CPU);
        double *x = ct_mutable_data(t);

        for (int64_t i = 0; i < ct_numel(t); i++)
            x[i] = 0.5 * sin(1.3 * (double)i + 2.1 * k + 0.4);
        ct_copy_into(p, ct_to(t, DEVICE));
    }
    ck_assert(ct_scope_end(s) == CT_OK);
}

static ct_module *dense(ct_params *p, const char *name, int64_t in, int64_t out)
{
    return ct_nn_linear(p, name, (ct_nn_linear_options){ .in_features = in, .out_features = out });
}

/* ---- forecast ---- */

static ct_tensor *forecast_step(void *self, ct_step *s)
{
    const net *m = self;
    ct_tensor *h = ct_recurrent_forward(m->gru, ct_transpose(s->batch->x, 0, 1), NULL, NULL);

    s->prediction = ct_forward(m->linear, ct_select(h, 0, -1));
    s->target = s->batch->y;
    return ct_mse_loss(s->prediction, s->target, CT_REDUCTION_MEAN);
}

static ct_optimizer *adam(void *self)
{
    return ct_adam_new(((net *)self)->params, (ct_adam_options){ .lr = 0.005 });
}

static ct_loader *forecast_new(net *m, ct_model *model)
{
    m->gru = ct_nn_gru(m->params, "gru", (ct_nn_gru_options){ .input_size = 2, .hidden_size = 4 });
    m->linear = dense(m->params, "linear", 4, 1);
    model->training_step = forecast_step;
    model->configure_optimizers = adam;
    return ct_loader_tensors_new(waves(sin, 0.7, CT_SHAPE(6, 5, 2)),
                                 waves(cos, 0.9, CT_SHAPE(6, 1)),
                                 (ct_loader_tensors_options){ .batch_size = 6 });
}

/* ---- gan ---- */

static ct_tensor *gan_bce(ct_tensor *logits, double truth)
{
    return ct_bce_with_logits(logits, ct_full(ct_tensor_shape(logits), truth, CT_F64, DEVICE),
                              (ct_bce_options){ 0 });
}

static ct_tensor *gan_step(void *self, ct_step *s)
{
    const net *m = self;
    ct_tensor *fake = ct_forward(m->discriminator, ct_forward(m->generator, m->noise));

    if (s->optimizer == 1)
        return gan_bce(fake, 1);
    return ct_add(gan_bce(ct_forward(m->discriminator, s->batch->x), 1), gan_bce(fake, 0));
}

static int gan_configure(void *self, ct_optimizer **o, int64_t *every)
{
    const net *m = self;
    const ct_adam_options options = { .lr = 0.01, .beta1 = 0.5 };

    (void)every;
    o[0] = ct_adam_new(ct_params_sub(m->params, "discriminator"), options);
    o[1] = ct_adam_new(ct_params_sub(m->params, "generator"), options);
    return 2;
}

static ct_module *gan_net(ct_params *p, int64_t in, int64_t out)
{
    return ct_nn_sequential(
        p, 3, (ct_module *[]){ dense(p, "0", in, 4), ct_nn_op(p, ct_relu), dense(p, "2", 4, out) });
}

static ct_loader *gan_new(net *m, ct_model *model)
{
    ct_tensor *x = waves(sin, 0.7, CT_SHAPE(6, 2));

    m->generator = gan_net(ct_params_sub(m->params, "generator"), 3, 2);
    m->discriminator = gan_net(ct_params_sub(m->params, "discriminator"), 2, 1);
    m->noise = ct_keep(ct_to(waves(cos, 0.9, CT_SHAPE(6, 3)), DEVICE));
    model->training_step = gan_step;
    model->configure_several = gan_configure;
    return ct_loader_tensors_new(x, x, (ct_loader_tensors_options){ .batch_size = 6 });
}

/* ---- tagger: sequences of 4, 2 and 3 words, whose padding differs from PyTorch's ---- */

static int64_t sentence_length(void *self, int64_t i, int field)
{
    (void)self, (void)field;
    return i == 0 ? 4 : i + 1;
}

static ct_status sentence_get(void *self, int64_t i, void *const *field)
{
    for (int64_t k = 0; k < sentence_length(self, i, 0); k++) {
        ((int32_t *)field[0])[k] = (int32_t)((3 * (4 * i + k) + 1) % 7);
        ((int32_t *)field[1])[k] = (int32_t)(2 * (4 * i + k) % 5);
    }
    return CT_OK;
}

static ct_tensor *tagger_step(void *self, ct_step *s)
{
    const net *m = self;
    ct_tensor *words = ct_batch_get(s->batch, "words");
    ct_recurrent_call call = { .lengths = ct_batch_get(s->batch, "words_lengths") };
    ct_tensor *x = ct_transpose(ct_forward(m->embedding, words), 0, 1), *y, *mask;

    y = ct_forward(m->linear, ct_recurrent_forward_with(m->gru, x, NULL, NULL, call));
    mask = ct_transpose(ct_length_mask(call.lengths, ct_size(words, 1)), 0, 1);
    s->prediction = ct_reshape(ct_masked_select(y, ct_unsqueeze(mask, -1)), CT_SHAPE(-1, 5));
    s->target = ct_masked_select(ct_transpose(ct_batch_get(s->batch, "tags"), 0, 1), mask);
    ck_assert(s->count == 9);
    return ct_cross_entropy(s->prediction, s->target);
}

static ct_loader *tagger_new(net *m, ct_model *model)
{
    static const ct_dataset_table table = { .name = "sentences",
                                            .get = sentence_get,
                                            .length = sentence_length };
    static const ct_field fields[] = { { "words", CT_I32, CT_SHAPE_INIT(-1), 6 },
                                       { "tags", CT_I32, CT_SHAPE_INIT(-1), 4 } };
    ct_dataset *d = ct_dataset_new(&table, NULL, 3, 2, fields);
    ct_loader *l = ct_loader_new(d, (ct_loader_options){ .batch_size = 3, .count = "words" });

    ct_dataset_free(d);
    m->embedding =
        ct_nn_embedding(m->params, "embedding", (ct_nn_embedding_options){ .rows = 7, .size = 3 });
    m->gru =
        ct_nn_gru(m->params, "gru",
                  (ct_nn_gru_options){ .input_size = 3, .hidden_size = 4, .bidirectional = true });
    m->linear = dense(m->params, "linear", 8, 5);
    model->training_step = tagger_step;
    model->configure_optimizers = adam;
    return l;
}

/* ---- averages of updates from several batches ---- */

static ct_tensor *average_step(void *self, ct_step *s)
{
    s->prediction = ct_forward(((net *)self)->linear, s->batch->x);
    s->target = s->batch->y;
    return ct_mse_loss(s->prediction, s->target, CT_REDUCTION_MEAN);
}

static ct_optimizer *average_optimizer(void *self)
{
    return ct_sgd_new(((net *)self)->params, (ct_sgd_options){ .lr = 0.1, .momentum = 0.5 });
}

static ct_loader *average_new(net *m, ct_model *model)
{
    m->linear = dense(m->params, "linear", 3, 1);
    model->training_step = average_step;
    model->configure_optimizers = average_optimizer;
    return ct_loader_tensors_new(waves(sin, 0.7, CT_SHAPE(10, 3)), waves(cos, 0.9, CT_SHAPE(10, 1)),
                                 (ct_loader_tensors_options){ .batch_size = 4 });
}

/* ---- the comparison ---- */

static const struct {
    const char *name, *column; /* of the metric */
    ct_loader *(*make)(net *m, ct_model *model);
    const ct_metric *(*metric)(void);
    ct_trainer trainer;
} torch_runs[] = {
    { "forecast", "train_mae", forecast_new, ct_metric_mae, { .max_epochs = 1 } },
    { "gan", "train_loss_1", gan_new, NULL, { .max_epochs = 1 } },
    { "tagger", "train_accuracy", tagger_new, ct_metric_accuracy, { .max_epochs = 1 } },
    { "average",
      "val_mse",
      average_new,
      ct_metric_mse,
      { .max_epochs = 2, .accumulate = 2, .ema_decay = 0.75 } },
};

static void expect_torch(const char *what, double got, double want)
{
    ck_assert_msg(fabs(got - want) <= 1e-12 + 1e-10 * fabs(want), "%s: %.17g, PyTorch has %.17g",
                  what, got, want);
}

/* The file at the line of a run. */
static FILE *torch_file(const char *name, double *loss, double *metric)
{
    FILE *f = fopen(harness_source("tests/torch/training.txt"), "r");
    char line[4000], word[20];

    ck_assert(f != NULL);
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "%19s %lf %lf", word, loss, metric) == 3 && strcmp(word, name) == 0)
            return f;
    ck_abort_msg("no run %s", name);
}

static void expect_torch_weights(FILE *f, ct_params *params)
{
    for (int k = 0; k < ct_params_count(params); k++) {
        ct_param *p = ct_params_at(params, k);
        ct_scope s = ct_scope_begin();
        double *got = values_of(ct_param_value(p)), want;

        for (int64_t i = 0; i < ct_numel(ct_param_value(p)); i++) {
            ck_assert_int_eq(fscanf(f, "%lf", &want), 1);
            expect_torch(ct_param_name(p), got[i], want);
        }
        free(got);
        ck_assert(ct_scope_end(s) == CT_OK);
    }
    fclose(f);
}

START_TEST(torch_weights)
{
    net m = { .params = new_params(1, CT_F64) };
    ct_model model = { .self = &m, .params = m.params };
    const ct_metric *metrics[2] = { torch_runs[_i].metric ? torch_runs[_i].metric() : NULL, NULL };
    ct_trainer t = torch_runs[_i].trainer;
    ct_scope s = ct_scope_begin();
    ct_loader *l = torch_runs[_i].make(&m, &model), *val = NULL;
    ct_fit_result r;
    double loss, metric;
    FILE *f = torch_file(torch_runs[_i].name, &loss, &metric);

    t.metrics = metrics;
    if (t.ema_decay > 0) {
        net other = { .params = new_params(1, CT_F64) };
        ct_model unused = { .self = &other };

        val = torch_runs[_i].make(&other, &unused);
        ct_params_free(other.params);
    }
    set_weights(m.params);
    ck_assert_msg(ct_fit(&t, &model, l, val, &r) == CT_OK, "%s", ct_error_message());
    expect_torch("loss", r.loss, loss);
    expect_torch(torch_runs[_i].column, ct_fit_value(&r, torch_runs[_i].column), metric);
    expect_torch_weights(f, m.params);
    ct_loader_free(l);
    ct_loader_free(val);
    ct_free(m.noise);
    ct_params_free(m.params);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

void train_torch_cases(Suite *suite)
{
    TCase *tc = harness_case(suite, "torch");

    tcase_add_loop_test(tc, torch_weights, 0, LENGTH(torch_runs));
}
