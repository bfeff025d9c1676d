/* SPDX-License-Identifier: MIT */
/* recurrent_dropout.c - dropout of recurrent modules. */
#include <cotangent.h>

#include "tests/harness.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/test_recurrent.h"

/* ---- dropout ---- */

/* Between two layers of identity RNNs (relu(x), weights 1 and 0), y shows the mask. */
START_TEST(test_dropout_between_layers)
{
    ct_params *params = new_params(7, CT_F64);
    ct_recurrent *r = ct_nn_rnn(params, "m",
                                (ct_nn_rnn_options){ .input_size = 1,
                                                     .hidden_size = 1,
                                                     .num_layers = 2,
                                                     .no_bias = true,
                                                     .nonlinearity = CT_NONLINEARITY_RELU,
                                                     .dropout = 0.3 });
    ct_scope s = ct_scope_begin_no_grad();
    ct_generator start = *ct_params_generator(params);
    ct_tensor *x = ct_ones(CT_SHAPE(2000, 1, 1), CT_F64, DEVICE);
    double *v, *again, kept = 0;

    ct_params_init(ct_params_sub(params, "m"), ct_init_constant(1), 1);
    ct_fill(ct_param_value(ct_params_get(params, "m.weight_hh_l0")), 0);
    ct_fill(ct_param_value(ct_params_get(params, "m.weight_hh_l1")), 0);
    v = values_of(ct_recurrent_forward(r, x, NULL, NULL));
    for (int i = 0; i < 2000; i++) {
        ck_assert(v[i] == 0 || fabs(v[i] - 1 / 0.7) < 1e-15);
        kept += v[i] != 0;
    }
    ck_assert_msg(fabs(kept / 2000 - 0.7) < 4 * sqrt(0.21 / 2000), "%g kept", kept / 2000);
    *ct_params_generator(params) = start; /* the same generator gives the same mask */
    again = values_of(ct_recurrent_forward(r, x, NULL, NULL));
    ck_assert(memcmp(v, again, 2000 * sizeof *v) == 0);
    free(again);
    again = values_of(ct_recurrent_forward(r, x, NULL, NULL)); /* the next call draws another
                                                                * mask */
    ck_assert(memcmp(v, again, 2000 * sizeof *v) != 0);
    free(again);
    free(v);
    ct_params_train(params, false);
    ck_assert(!ct_params_is_training(params));
    v = values_of(ct_recurrent_forward(r, x, NULL, NULL));
    for (int i = 0; i < 2000; i++)
        ck_assert(v[i] == 1);
    free(v);
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(params);
}
END_TEST

/* For backward, dropout between layers keeps only its output, neither masks nor random numbers. */
START_TEST(test_dropout_holds_little)
{
    const int64_t elements = 64 * 32 * 32;
    ct_params *params = new_params(7, CT_F32);
    ct_nn_rnn_options o = { .input_size = 32, .hidden_size = 32, .num_layers = 2 };
    ct_recurrent *plain = ct_nn_rnn(params, "plain", o), *dropping;
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_zeros(CT_SHAPE(64, 32, 32), CT_F32, DEVICE);
    size_t held[3];

    o.dropout = 0.5;
    dropping = ct_nn_rnn(params, "dropping", o);
    held[0] = ct_memory_get_stats().live_bytes;
    ct_recurrent_forward(plain, x, NULL, NULL);
    held[1] = ct_memory_get_stats().live_bytes;
    ct_recurrent_forward(dropping, x, NULL, NULL);
    held[2] = ct_memory_get_stats().live_bytes;
    expect_ok();
    ck_assert_uint_le(held[2] - held[1],
                      held[1] - held[0] + (size_t)elements * sizeof(float) * 5 / 4);
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(params);
}
END_TEST

/* h' = relu(x + mask h) with weights 1: all steps use one mask, which is drawn as documented. */
START_TEST(test_recurrent_dropout)
{
    ct_params *params = new_params(7, CT_F64);
    ct_recurrent *r = ct_nn_rnn(params, "m",
                                (ct_nn_rnn_options){ .input_size = 1,
                                                     .hidden_size = 1,
                                                     .no_bias = true,
                                                     .nonlinearity = CT_NONLINEARITY_RELU,
                                                     .recurrent_dropout = 0.5 });
    ct_scope s = ct_scope_begin_no_grad();
    ct_tensor *x = ct_ones(CT_SHAPE(3, 40, 1), CT_F64, DEVICE);
    int dropped = 0;
    double *v;

    ct_params_init(params, ct_init_constant(1), 1);
    v = values_of(ct_recurrent_forward(r, x, NULL, NULL));
    for (int b = 0; b < 40; b++) {
        const bool off = v[80 + b] == 1;

        dropped += off;
        ck_assert(v[b] == 1 && v[40 + b] == (off ? 1 : 3) && v[80 + b] == (off ? 1 : 7));
    }
    ck_assert(dropped > 4 && dropped < 36);
    free(v);
    ct_params_train(params, false);
    expect_close(
        "evaluating",
        ct_item(ct_select(ct_select(ct_select(ct_recurrent_forward(r, x, NULL, NULL), 0, 2), 0, 0),
                          0, 0)),
        3, 0);
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(params);
}
END_TEST

void recurrent_dropout_cases(Suite *suite)
{
    TCase *tc = harness_case(suite, "dropout");

    tcase_add_test(tc, test_dropout_between_layers);
    tcase_add_test(tc, test_recurrent_dropout);
    tcase_add_test(tc, test_dropout_holds_little);
}
