/* SPDX-License-Identifier: MIT */
/* train_optimizers.c - ct_fit with several optimisers: the same bits as a hand-written loop,
 * resumed runs, errors. */
#include "tests/files.h"
#include "tests/harness.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cotangent.h>

#include "tests/test_train.h"

/* A generator and a discriminator of numbers; both are parts of one set. */
typedef struct pair {
    ct_params *params, *parts[2];
    ct_module *g, *d;
    int64_t every;
    double lr;
    bool bad_second; /* its loss is NaN in step 3 */
    bool fixed;      /* no noise: the generator's input is x */
    int64_t batch;   /* 0: 4 */
    int count;       /* what configure returns; 0: 2 */
    bool overlaps, first_missing, every_first;
} pair;

static ct_tensor *pair_bce(ct_tensor *logits, double target)
{
    return ct_bce_with_logits(
        logits, ct_full(ct_tensor_shape(logits), target, ct_tensor_dtype(logits), DEVICE),
        (ct_bce_options){ 0 });
}

/* Returns the loss of optimiser k. The discriminator is optimiser 0. */
static ct_tensor *pair_loss(const pair *m, ct_tensor *x, int k)
{
    ct_tensor *z = m->fixed ? CT_CAT(1, x, ct_narrow(x, 1, 0, 1))
                            : ct_randn(CT_SHAPE(ct_size(x, 0), 3), CT_F32, DEVICE,
                                       ct_params_generator(m->params));
    ct_tensor *fake = ct_forward(m->g, z);

    if (k == 0)
        return ct_add(pair_bce(ct_forward(m->d, x), 1), pair_bce(ct_forward(m->d, fake), 0));
    return pair_bce(ct_forward(m->d, fake), 1);
}

static ct_tensor *pair_step(void *self, ct_step *s)
{
    pair *m = self;
    ct_tensor *loss;

    for (int i = 0; ct_grad_enabled() && i < ct_params_count(m->params); i++) {
        ct_param *p = ct_params_at(m->params, i);
        const bool of_d = strncmp(ct_param_name(p), "d.", 2) == 0;

        if (strcmp(ct_param_name(p), "d.2.bias") == 0 || strcmp(ct_param_name(p), "free") == 0)
            ck_assert(ct_param_is_trained(p) == (ct_param_name(p)[0] == 'f'));
        else
            ck_assert(ct_param_is_trained(p) == (of_d == (s->optimizer == 0)));
    }
    loss = pair_loss(m, s->batch->x, s->optimizer);
    if (m->bad_second && s->optimizer == 1 && s->step == 2)
        loss = ct_mul_scalar(loss, NAN);
    return loss;
}

static ct_optimizer *pair_optimizer(const pair *m, int k)
{
    const double lr = m->lr != 0 ? m->lr : 0.05;

    return k ? ct_sgd_new(m->parts[k], (ct_sgd_options){ .lr = lr, .momentum = 0.5 })
             : ct_adam_new(m->parts[k], (ct_adam_options){ .lr = lr, .beta1 = 0.5 });
}

static int pair_configure(void *self, ct_optimizer **o, int64_t *every)
{
    const pair *m = self;

    for (int k = 0; k < 2; k++)
        o[k] = m->first_missing && k == 0 ? NULL : pair_optimizer(m, k);
    if (m->overlaps) {
        ct_optimizer_free(o[1]);
        o[1] = ct_sgd_new(m->params, (ct_sgd_options){ 0 });
    }
    every[m->every_first ? 0 : 1] = m->every;
    ct_schedule_exponential_lr(ct_optimizer_schedule(o[1]), 0.9);
    return m->count ? m->count : 2;
}

static ct_module *pair_net(ct_params *p, int in, int out)
{
    return ct_nn_sequential(
        p, 3,
        (ct_module *[]){
            ct_nn_linear(p, "0", (ct_nn_linear_options){ .in_features = in, .out_features = 5 }),
            ct_nn_op(p, ct_tanh),
            ct_nn_linear(p, "2", (ct_nn_linear_options){ .out_features = out }) });
}

static pair pair_new(pair m)
{
    m.params = ct_params_new((ct_params_options){ .seed = 2, .device = DEVICE });
    m.parts[0] = ct_params_sub(m.params, "d");
    m.parts[1] = ct_params_sub(m.params, "g");
    m.d = pair_net(m.parts[0], 2, 1);
    m.g = pair_net(m.parts[1], 3, 2);
    ct_params_add(m.params, "free", CT_SHAPE(2), ct_init_constant(1));
    ck_assert_int_eq(ct_params_freeze(m.params, "d.2.bias", true), 1); /* stays frozen */
    m.every = m.every ? m.every : 1;
    expect_ok();
    return m;
}

static ct_loader *pair_loader(const pair *m)
{
    ct_scope s = ct_scope_begin();
    ct_generator g = ct_generator_from_seed(5);
    ct_tensor *x = ct_randn(CT_SHAPE(22, 2), CT_F32, CT_CPU, &g);
    ct_loader *l = ct_loader_tensors_new(
        x, x,
        (ct_loader_tensors_options){
            .batch_size = m->batch ? m->batch : 4, .shuffle = true, .seed = 3 });

    ck_assert(ct_scope_end(s) == CT_OK);
    return l;
}

static bool pair_stop(void *context, const ct_fit_step *s)
{
    return s->step != *(int64_t *)context;
}

static ct_status pair_fit(pair *m, ct_trainer t, int64_t stop_at, ct_fit_result *r)
{
    const ct_callback callback = { .context = &stop_at, .step = pair_stop };
    const ct_model model = { .self = m,
                             .params = m->params,
                             .training_step = pair_step,
                             .configure_several = pair_configure };
    ct_loader *l = pair_loader(m);
    ct_status status;

    t.max_epochs = 3;
    t.gradient_clip_val = 0.5;
    t.callbacks = &callback;
    t.callback_count = 1;
    status = ct_fit(&t, &model, l, NULL, r);
    ct_loader_free(l);
    return status;
}

/* Does the step of one optimiser as a loop of PyTorch does. Returns the loss. */
static double by_hand_step(const pair *m, ct_optimizer *o, ct_tensor *x, int k)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *loss = pair_loss(m, x, k);
    double value = ct_item(loss);

    ct_backward(loss);
    ct_params_zero_grad(m->parts[1 - k]);
    ct_clip_grad_norm(m->parts[k], 0.5, NULL);
    ct_optimizer_step(o);
    ck_assert_msg(ct_scope_end(s) == CT_OK, "%s", ct_error_message());
    return value;
}

/* Writes the mean losses of the last epoch. */
static void by_hand(const pair *m, double mean[2])
{
    ct_optimizer *o[2] = { pair_optimizer(m, 0), pair_optimizer(m, 1) };
    ct_loader *l = pair_loader(m);
    int64_t step = 0;

    ct_schedule_exponential_lr(ct_optimizer_schedule(o[1]), 0.9);
    for (int epoch = 0; epoch < 3; epoch++) {
        double sum[2] = { 0 }, count[2] = { 0 };
        ct_batch batch;
        ct_scope s = ct_scope_begin();

        ct_loader_begin(l);
        while (ct_loader_next(l, &batch)) {
            ct_tensor *x = ct_to(batch.x, DEVICE);

            for (int k = 0; k < 2; k++) {
                if (step % (k ? m->every : 1) != 0)
                    continue;
                sum[k] += by_hand_step(m, o[k], x, k) * (double)ct_size(x, 0);
                count[k] += (double)ct_size(x, 0);
            }
            step++;
        }
        ct_schedule_step(ct_optimizer_schedule(o[1]));
        ck_assert(ct_scope_end(s) == CT_OK);
        mean[0] = sum[0] / count[0];
        mean[1] = sum[1] / count[1];
    }
    ct_optimizer_free(o[0]);
    ct_optimizer_free(o[1]);
    ct_loader_free(l);
}

static void expect_same_pairs(const pair *a, const pair *b)
{
    for (int i = 0; i < ct_params_count(a->params); i++) {
        ct_param *p = ct_params_at(a->params, i), *q = ct_params_at(b->params, i);

        ck_assert_msg(same_bytes(ct_param_value(p), ct_param_value(q)), "%s has other bits",
                      ct_param_name(p));
        ck_assert(ct_param_is_trained(p) == ct_param_is_trained(q));
    }
}

START_TEST(same_as_by_hand)
{
    pair a = pair_new((pair){ .every = 1 + _i }), b = pair_new((pair){ .every = 1 + _i });
    ct_fit_result r;
    double mean[2];

    ck_assert_msg(pair_fit(&a, (ct_trainer){ .csv = "a.csv" }, 0, &r) == CT_OK, "%s",
                  ct_error_message());
    by_hand(&b, mean);
    expect_same_pairs(&a, &b);
    expect_close("loss", r.loss, mean[0], 1e-6);
    expect_close("loss 1", ct_fit_value(&r, "train_loss_1"), mean[1], 1e-6);
    ck_assert(r.steps == 18 && isnan(ct_fit_value(&r, "val_loss_1")));
    ct_params_free(a.params);
    ct_params_free(b.params);
}
END_TEST

/* Three batches of 4 to an update of each optimiser, against batches of 12. */
START_TEST(pair_of_large_batches)
{
    pair a = pair_new((pair){ .every = 2, .fixed = true });
    pair b = pair_new((pair){ .every = 2, .fixed = true, .batch = 12 });
    ct_fit_result r, want;

    ck_assert_msg(pair_fit(&a, (ct_trainer){ .accumulate = 3 }, 0, &r) == CT_OK, "%s",
                  ct_error_message());
    ck_assert(pair_fit(&b, (ct_trainer){ 0 }, 0, &want) == CT_OK);
    ck_assert(r.steps == 6 && want.steps == 6);
    for (int i = 0; i < ct_params_count(a.params); i++) {
        ct_param *p = ct_params_at(a.params, i), *q = ct_params_at(b.params, i);

        expect_same(ct_param_name(p), ct_param_value(p), ct_param_value(q), 2e-5);
    }
    expect_close("loss", r.loss, want.loss, 1e-5);
    expect_close("loss 1", ct_fit_value(&r, "train_loss_1"), ct_fit_value(&want, "train_loss_1"),
                 1e-5);
    ct_params_free(a.params);
    ct_params_free(b.params);
}
END_TEST

START_TEST(resumed_pair)
{
    pair a = pair_new((pair){ .every = 2 }), b = pair_new((pair){ .every = 2 });
    pair c = pair_new((pair){ .every = 3 }), d = pair_new((pair){ .every = 2, .lr = 0.01 });
    pair e = pair_new((pair){ .every = 2 });
    ct_fit_result r, want;
    size_t size, other;
    char *x, *y;

    ck_assert(pair_fit(&a, (ct_trainer){ .checkpoint = "a" }, 0, &want) == CT_OK);
    ck_assert(pair_fit(&b, (ct_trainer){ .checkpoint = "b" }, 9, &r) == CT_OK && r.steps == 9);
    ck_assert(pair_fit(&c, (ct_trainer){ .resume = "b" }, 0, &r) == CT_ERR_FORMAT);
    expect_error(CT_ERR_FORMAT, "ct_fit", "optimizer_1.every");
    ck_assert(pair_fit(&d, (ct_trainer){ .resume = "b" }, 0, &r) == CT_ERR_FORMAT);
    expect_error(CT_ERR_FORMAT, "ct_fit", "optimizer_1.lr");
    ck_assert(pair_fit(&e, (ct_trainer){ .resume = "b", .checkpoint = "b" }, 0, &r) == CT_OK);
    expect_same_pairs(&a, &e);
    ck_assert(ct_fit_value(&r, "train_loss_1") == ct_fit_value(&want, "train_loss_1"));
    x = read_bytes("a", &size);
    y = read_bytes("b", &other);
    ck_assert(size == other && memcmp(x, y, size) == 0);
    free(x);
    free(y);
    ct_params_free(a.params);
    ct_params_free(b.params);
    ct_params_free(c.params);
    ct_params_free(d.params);
    ct_params_free(e.params);
}
END_TEST

START_TEST(bad_pairs)
{
    static const struct {
        pair how;
        ct_status status;
        const char *word;
    } cases[] = {
        { { .bad_second = true }, CT_ERR_NUMERIC, "loss is nan in epoch 1, batch 3" },
        { { .overlaps = true }, CT_ERR_ARGUMENT, "d.0.weight belongs to the optimisers 0 and 1" },
        { { .count = -1 }, CT_ERR_ARGUMENT, "configure_several returned -1" },
        { { .count = 9 }, CT_ERR_ARGUMENT, "configure_several returned 9" },
        { { .count = 3 }, CT_ERR_ARGUMENT, "no optimiser 2" },
        { { .first_missing = true }, CT_ERR_ARGUMENT, "no optimiser 0" },
        { { .every = -1 }, CT_ERR_ARGUMENT, "every[1] is -1 ... at least 1" },
        { { .every = 2, .every_first = true }, CT_ERR_ARGUMENT, "every[0] is 2 ... must be 1" },
    };

    for (int i = 0; i < LENGTH(cases); i++) {
        pair m = pair_new(cases[i].how), fresh = pair_new((pair){ 0 });
        ct_fit_result r;

        ck_assert_msg(pair_fit(&m, (ct_trainer){ 0 }, 0, &r) == cases[i].status, "%s: %s",
                      cases[i].word, ct_error_message());
        expect_error(cases[i].status, "ct_fit", cases[i].word);
        for (int k = 0; k < ct_params_count(m.params); k++) /* nothing stays frozen */
            ck_assert(ct_param_is_trained(ct_params_at(m.params, k)) ==
                      ct_param_is_trained(ct_params_at(fresh.params, k)));
        ct_params_free(m.params);
        ct_params_free(fresh.params);
    }
}
END_TEST

void train_optimizers_cases(Suite *suite)
{
    TCase *tc = harness_case(suite, "optimizers");

    tcase_add_checked_fixture(tc, files_setup, files_teardown);
    tcase_add_loop_test(tc, same_as_by_hand, 0, 3);
    tcase_add_test(tc, pair_of_large_batches);
    tcase_add_test(tc, resumed_pair);
    tcase_add_test(tc, bad_pairs);
}
