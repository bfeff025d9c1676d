/* SPDX-License-Identifier: MIT */
/* recurrent_errors.c - recurrent modules: users' cells, and bad options and calls. */
#include <cotangent.h>

#include "tests/harness.h"
#include "tests/recurrent_file.h"

#include <math.h>
#include <string.h>

#include "tests/test_recurrent.h"

/* ---- users' cells ---- */

/* y = x + data; the states are a delay line: next = (x, h_0) */
static ct_tensor *delay_step(void *self, ct_tensor *x, ct_tensor *const *state, ct_tensor **next,
                             const ct_cell_step *at)
{
    (void)self;
    next[0] = x;
    next[1] = state[0];
    return at->data ? ct_add(state[1], at->data) : state[1];
}

static ct_tensor *wrong_step(void *self, ct_tensor *x, ct_tensor *const *state, ct_tensor **next,
                             const ct_cell_step *at)
{
    (void)self, (void)at;
    next[0] = state[0];
    return ct_cat(2, (ct_tensor *[]){ x, x }, 1);
}

/* A cell that passes one state on as another, with and without history; and per-call data. */
START_TEST(test_delay)
{
    static const ct_cell cell = { .name = "delay", .states = 2, .step = delay_step };
    ct_params *params = new_params(7, CT_F64);
    ct_recurrent *r =
        ct_nn_recurrent(params, "m", &cell, (ct_nn_recurrent_options){ .hidden_size = 1 });
    ct_scope s = _i ? ct_scope_begin() : ct_scope_begin_no_grad();
    ct_tensor *x = ct_reshape(ct_arange(1, 6, 1, CT_F64, DEVICE), CT_SHAPE(5, 1, 1));
    ct_recurrent_call call = { .data = ct_full(CT_SCALAR, 10, CT_F64, DEVICE) };

    expect_values("y", ct_recurrent_forward(r, x, NULL, NULL), (double[]){ 0, 0, 1, 2, 3 }, 5, 0);
    expect_values("y", ct_recurrent_forward_with(r, x, NULL, NULL, call),
                  (double[]){ 10, 10, 11, 12, 13 }, 5, 0);
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(params);
}
END_TEST

START_TEST(test_wrong_cell)
{
    static const ct_cell cell = { .name = "wrong", .states = 1, .step = wrong_step };
    ct_params *params = new_params(7, CT_F64);
    ct_recurrent *r =
        ct_nn_recurrent(params, "m", &cell, (ct_nn_recurrent_options){ .hidden_size = 2 });
    ct_scope s = ct_scope_begin();

    ck_assert_ptr_null(
        ct_recurrent_forward(r, ct_zeros(CT_SHAPE(3, 4, 2), CT_F64, DEVICE), NULL, NULL));
    expect_error(CT_ERR_SHAPE, "ct_recurrent_forward", "[4,2]");
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(params);
}
END_TEST

/* ---- bad input ---- */

START_TEST(test_bad_options)
{
    static const struct {
        ct_nn_recurrent_options o;
        const char *function, *word;
    } cases[] = {
        { { .hidden_size = 0 }, "ct_nn_gru", "hidden_size" },
        { { .hidden_size = 2, .input_size = -1 }, "ct_nn_gru", "input_size" },
        { { .hidden_size = 2, .num_layers = -1 }, "ct_nn_gru", "num_layers" },
        { { .hidden_size = 2, .dropout = 1 }, "ct_nn_gru", "dropout is 1" },
        { { .hidden_size = 2, .recurrent_dropout = -0.5 },
          "ct_nn_gru",
          "recurrent_dropout is -0.5" },
        { { .hidden_size = 2, .dropout = NAN }, "ct_nn_gru", "dropout is nan" },
        { { .hidden_size = 2, .reverse = true, .bidirectional = true },
          "ct_nn_gru",
          "bidirectional" },
        { { .hidden_size = 2, .dialect = (ct_dialect)9 }, "ct_nn_gru", "dialect ... 9" },
        { { .hidden_size = 2, .proj_size = 1 }, "ct_nn_gru", "proj_size" },
        { { .hidden_size = 2, .nonlinearity = CT_NONLINEARITY_TANH }, "ct_nn_gru", "nonlinearity" },
        { { .hidden_size = 2, .has_forget_bias = true }, "ct_nn_gru", "has_forget_bias" },
    };

    for (int i = 0; i < LENGTH(cases); i++) {
        ct_params *params = new_params(7, CT_F32);

        ck_assert_ptr_null(ct_nn_gru(params, "m", cases[i].o));
        expect_error(CT_ERR_ARGUMENT, cases[i].function, cases[i].word);
        ct_params_free(params);
    }
}
END_TEST

START_TEST(test_bad_lstm_options)
{
    ct_params *params = new_params(7, CT_F32);

    ck_assert_ptr_null(
        ct_nn_lstm(params, "a", (ct_nn_lstm_options){ .hidden_size = 2, .proj_size = 2 }));
    expect_error(CT_ERR_ARGUMENT, "ct_nn_lstm", "proj_size");
    ck_assert_ptr_null(
        ct_nn_lstm(params, "b", (ct_nn_lstm_options){ .hidden_size = 2, .forget_bias = 1 }));
    expect_error(CT_ERR_ARGUMENT, "ct_nn_lstm", "forget_bias");
    ck_assert_ptr_null(
        ct_nn_rnn(params, "c", (ct_nn_rnn_options){ .hidden_size = 2, .reset_before = true }));
    expect_error(CT_ERR_ARGUMENT, "ct_nn_rnn", "reset_before");
    ck_assert_ptr_null(
        ct_nn_lstm_cell(params, "d", (ct_nn_lstm_options){ .hidden_size = 2, .num_layers = 2 }));
    expect_error(CT_ERR_ARGUMENT, "ct_nn_lstm_cell", "cell");
    ct_params_free(params);
}
END_TEST

/* Each call is refused, with its reason. */
START_TEST(test_bad_calls)
{
    ct_params *params = new_params(7, CT_F32);
    ct_recurrent *r =
        ct_nn_lstm(params, "m", (ct_nn_lstm_options){ .hidden_size = 2, .num_layers = 2 });
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_zeros(CT_SHAPE(4, 3, 5), CT_F32, DEVICE), *good, *bad, *two[2];
    ct_tensor *lengths = ct_from_data((int64_t[]){ 4, 5, 1 }, CT_SHAPE(3), CT_I64, DEVICE);

    ck_assert_ptr_nonnull(ct_recurrent_forward(r, x, NULL, NULL));
    ct_recurrent_forward(r, ct_zeros(CT_SHAPE(4), CT_F32, DEVICE), NULL, NULL);
    expect_error(CT_ERR_SHAPE, "ct_recurrent_forward", "f32[4]");
    ct_recurrent_forward(r, ct_zeros(CT_SHAPE(4, 3, 6), CT_F32, DEVICE), NULL, NULL);
    expect_error(CT_ERR_SHAPE, "ct_recurrent_forward", "x f32[4,3,6] ... 6 ... 5");
    good = ct_zeros(CT_SHAPE(2, 3, 2), CT_F32, DEVICE);
    ct_recurrent_forward(r, x, ct_state_from_tensors(1, &good), NULL);
    expect_error(CT_ERR_SHAPE, "ct_recurrent_forward", "1 tensors");
    two[0] = good;
    for (int i = 0; i < 4; i++) { /* layers, batch, size, dtype */
        static const char *const words[] = { "[2,3,2]", "[2,3,2]", "[2,3,2]", ("state ... dtype") };

        two[1] = bad = ct_zeros(CT_SHAPE(i == 0 ? 1 : 2, i == 1 ? 4 : 3, i == 2 ? 1 : 2),
                                i == 3 ? CT_F64 : CT_F32, DEVICE);
        ct_recurrent_forward(r, x, ct_state_from_tensors(2, two), NULL);
        expect_error(i == 3 ? CT_ERR_DTYPE : CT_ERR_SHAPE, "ct_recurrent_forward", words[i]);
    }
    ct_recurrent_forward_with(r, x, NULL, NULL, (ct_recurrent_call){ .lengths = lengths });
    expect_error(CT_ERR_INDEX, "ct_recurrent_forward_with", "lengths[1]");
    lengths = ct_from_data((int32_t[]){ 4, 0, -1 }, CT_SHAPE(3), CT_I32, DEVICE);
    ct_recurrent_forward_with(r, x, NULL, NULL, (ct_recurrent_call){ .lengths = lengths });
    expect_error(CT_ERR_INDEX, "ct_recurrent_forward_with", "lengths[2]");
    ct_recurrent_forward_with(r, x, NULL, NULL, (ct_recurrent_call){ .lengths = good });
    ck_assert_int_eq(ct_error(), CT_ERR_DTYPE);
    ct_error_clear();
    ct_recurrent_forward_with(r, x, NULL, NULL, (ct_recurrent_call){ .reset = good });
    expect_error(CT_ERR_SHAPE, "ct_recurrent_forward_with", "f32[2,3,2]");
    ct_recurrent_forward_with(
        r, x, NULL, NULL, (ct_recurrent_call){ .reset = ct_zeros(CT_SHAPE(3), CT_F32, DEVICE) });
    expect_error(CT_ERR_SHAPE, "ct_recurrent_forward_with", "f32[3]");
    ct_recurrent_forward_with(
        r, x, NULL, NULL, (ct_recurrent_call){ .reset = ct_zeros(CT_SHAPE(4), CT_BOOL, DEVICE) });
    expect_error(CT_ERR_SHAPE, "ct_recurrent_forward_with", "bool[4]");
    two[0] = two[1] = ct_zeros(CT_SHAPE(2, 2), CT_F32, DEVICE); /* allowed only if x has no batch
                                                                 * axis */
    ck_assert_ptr_null(
        ct_recurrent_forward(r, ct_narrow(x, 1, 0, 1), ct_state_from_tensors(2, two), NULL));
    expect_error(CT_ERR_SHAPE, "ct_recurrent_forward", "[2,1,2]");
    ck_assert_ptr_null(ct_recurrent_begin_state(r, -1));
    ck_assert_int_eq(ct_error(), CT_ERR_ARGUMENT);
    ct_error_clear();
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(params);
}
END_TEST

/* If x has another size or dtype than the parameters, the message has the function, x and the
 * expected size, whether the size was an option or came from the first forward. */
START_TEST(test_bad_x)
{
    ct_params *params = new_params(7, CT_F32);
    ct_recurrent *r = ct_nn_gru(
        params, "m",
        (ct_nn_gru_options){ .input_size = _i ? 4 : 0, .hidden_size = 3, .batch_first = true });
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_zeros(CT_SHAPE(5, 2, 4), CT_F32, DEVICE);

    ck_assert_ptr_nonnull(ct_recurrent_forward(r, x, NULL, NULL));
    ck_assert_ptr_null(
        ct_recurrent_forward(r, ct_zeros(CT_SHAPE(5, 2, 5), CT_F32, DEVICE), NULL, NULL));
    expect_error(CT_ERR_SHAPE, "ct_recurrent_forward", "x f32[5,2,5] ... 5 ... 4");
    ck_assert_ptr_null(ct_recurrent_step(r, ct_zeros(CT_SHAPE(2, 5), CT_F32, DEVICE), NULL, NULL));
    expect_error(CT_ERR_SHAPE, "ct_recurrent_step", "x f32[2,5] ... 5 ... 4");
    ck_assert_ptr_null(ct_recurrent_forward(r, ct_cast(x, CT_F64), NULL, NULL));
    expect_error(CT_ERR_DTYPE, "ct_recurrent_forward", "x f64[5,2,4] ... f32");
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(params);
}
END_TEST

/* A state of one direction for a module of two. */
START_TEST(test_bad_directions)
{
    ct_params *params = new_params(7, CT_F32);
    ct_recurrent *r =
        ct_nn_gru(params, "m", (ct_nn_gru_options){ .hidden_size = 2, .bidirectional = true });
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_zeros(CT_SHAPE(4, 3, 5), CT_F32, DEVICE);
    ct_tensor *h = ct_zeros(CT_SHAPE(1, 3, 2), CT_F32, DEVICE);

    ck_assert_ptr_null(ct_recurrent_forward(r, x, ct_state_from_tensors(1, &h), NULL));
    expect_error(CT_ERR_SHAPE, "ct_recurrent_forward", "[2,3,2]");
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(params);
}
END_TEST

void recurrent_errors_cases(Suite *suite)
{
    TCase *tc = harness_case(suite, "cells");

    tcase_add_loop_test(tc, test_delay, 0, 2);
    tcase_add_test(tc, test_wrong_cell);
    tc = harness_case(suite, "errors");
    tcase_add_test(tc, test_bad_options);
    tcase_add_test(tc, test_bad_lstm_options);
    tcase_add_test(tc, test_bad_calls);
    tcase_add_loop_test(tc, test_bad_x, 0, 2);
    tcase_add_test(tc, test_bad_directions);
}
