/* SPDX-License-Identifier: MIT */
/* recurrent_training.c - models with any recurrent module learn. */
#include <cotangent.h>

#include "tests/harness.h"
#include "examples/mgu.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/test_recurrent.h"

/* ---- training ---- */

/* A model with any kind of recurrent module. */
typedef struct lm {
    ct_recurrent *rnn;
    ct_module *linear;
    int vocab;
} lm;

/* ids (T, B) -> logits (T, B, vocab) */
static ct_tensor *lm_forward(const lm *m, ct_tensor *ids, const ct_state *state, ct_state **next)
{
    return ct_forward(m->linear,
                      ct_recurrent_forward(m->rnn, ct_one_hot(ids, m->vocab), state, next));
}

/* Trains on ids (T + 1, B), or on ids and tags (T, B). Returns the loss before the last update. */
static double train(const lm *m, ct_params *params,
                    ct_tensor *(*batch)(ct_generator *, ct_tensor **), int steps, double *first)
{
    ct_optimizer *sgd = ct_sgd_new(params, (ct_sgd_options){ .lr = 1 });
    ct_generator g = ct_generator_from_seed(11);
    double loss = NAN;

    for (int i = 0; i < steps; i++) {
        ct_scope s = ct_scope_begin();
        ct_tensor *y, *x = batch(&g, &y), *l = ct_cross_entropy(lm_forward(m, x, NULL, NULL), y);

        loss = ct_item(l);
        *first = i ? *first : loss;
        ct_backward(l);
        ct_clip_grad_norm(params, 1, NULL);
        ct_optimizer_step(sgd);
        ck_assert_msg(ct_scope_end(s) == CT_OK, "%s", ct_error_message());
    }
    ct_optimizer_free(sgd);
    return loss;
}

/* x[t + 1] is (x[t] + x[t - 1]) mod 5, so the model needs memory to predict it. (T = 8, B = 16) */
static ct_tensor *fibonacci(ct_generator *g, ct_tensor **y)
{
    int32_t x[9][16];

    for (int b = 0; b < 16; b++) {
        x[0][b] = (int32_t)ct_random_below(g, 5);
        x[1][b] = (int32_t)ct_random_below(g, 5);
        for (int t = 2; t < 9; t++)
            x[t][b] = (x[t - 1][b] + x[t - 2][b]) % 5;
    }
    *y = ct_from_data(x[1], CT_SHAPE(8, 16), CT_I32, DEVICE);
    return ct_from_data(x[0], CT_SHAPE(8, 16), CT_I32, DEVICE);
}

/* The tag of a token is the token after it, so the model must read backward. (T = 6, B = 16) */
static ct_tensor *look_ahead(ct_generator *g, ct_tensor **y)
{
    int32_t x[7][16];

    for (int t = 0; t < 7; t++)
        for (int b = 0; b < 16; b++)
            x[t][b] = t < 6 ? (int32_t)ct_random_below(g, 4) : 0;
    *y = ct_from_data(x[1], CT_SHAPE(6, 16), CT_I32, DEVICE);
    return ct_from_data(x[0], CT_SHAPE(6, 16), CT_I32, DEVICE);
}

static void make_lm(lm *m, ct_params *params, int kind)
{
    static const maker kinds[] = { ct_nn_rnn, ct_nn_lstm, ct_nn_gru, ct_nn_gru, mgu };

    m->vocab = 5;
    m->rnn = kinds[kind](
        params, "rnn",
        (ct_nn_recurrent_options){ .hidden_size = 24, .num_layers = kind == 3 ? 2 : 1 });
    m->linear = ct_nn_linear(params, "linear", (ct_nn_linear_options){ .out_features = 5 });
}

static double loss_of(const lm *m)
{
    ct_scope s = ct_scope_begin_no_grad();
    ct_generator g = ct_generator_from_seed(12);
    ct_tensor *y, *x = fibonacci(&g, &y);
    double loss = ct_item(ct_cross_entropy(lm_forward(m, x, NULL, NULL), y));

    ck_assert(ct_scope_end(s) == CT_OK);
    return loss;
}

/* Saves the model and loads it into a model with unknown sizes, which must give the same
 * results. */
static void expect_saved(const lm *m, ct_params *params, int kind)
{
    char path[] = "/tmp/cotangent-lm-XXXXXX";
    ct_params *fresh = ct_params_new((ct_params_options){ .seed = 99, .device = DEVICE });
    lm other;

    ck_assert_int_ge(mkstemp(path), 0);
    make_lm(&other, fresh, kind);
    ck_assert_msg(ct_params_save(params, path) == CT_OK, "%s", ct_error_message());
    ck_assert_msg(ct_params_load(fresh, path, (ct_load_options){ .report = NULL }) == CT_OK, "%s",
                  ct_error_message());
    ck_assert(loss_of(&other) == loss_of(m));
    unlink(path);
    ct_params_free(fresh);
}

/* RNN, LSTM, GRU, a GRU of two layers and a user's module learn with the same code, and are saved
 * and loaded. A bigram model would stay at log 5 = 1.61. */
START_TEST(test_language_models)
{
    ct_params *params;
    double first = 0, last;
    lm m;

    if (_i % harness_rounds(3, 1))
        return; /* on an emulated device two of them are enough */
    params = new_params(7, CT_F32);
    make_lm(&m, params, _i);
    last = train(&m, params, fibonacci, 400, &first);
    ck_assert_msg(first > 1.4 && last < 0.9, "loss %g, then %g", first, last);
    expect_saved(&m, params, _i);
    ct_params_free(params);
}
END_TEST

START_TEST(test_tagger)
{
    ct_params *params = new_params(7, CT_F32);
    const bool both = _i;
    lm m = { .vocab = 4 };
    double first = 0, last;

    m.rnn =
        ct_nn_gru(params, "rnn", (ct_nn_gru_options){ .hidden_size = 16, .bidirectional = both });
    m.linear = ct_nn_linear(params, "linear", (ct_nn_linear_options){ .out_features = 4 });
    last = train(&m, params, look_ahead, 200, &first);
    ck_assert_msg(both ? last < 0.3 : last > 0.8, "loss %g, then %g", first, last);
    ct_params_free(params);
}
END_TEST

void recurrent_training_cases(Suite *suite)
{
    TCase *tc = harness_case(suite, "training");

    tcase_add_loop_test(tc, test_language_models, 0, 5);
    tcase_add_loop_test(tc, test_tagger, 0, 2);
}
