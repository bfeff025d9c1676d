/* SPDX-License-Identifier: MIT */
/* params_memory.c - sets and modules whose allocations fail. */
#include "tests/files.h"
#include "tests/harness.h"

#include <stdio.h>
#include <string.h>

#include <cotangent.h>

#include "tests/test_params.h"

/* ---- out of memory ---- */

/* Makes a model of several modules, trains it for a step, lists its parameters and initialises it
 * again. Parts that could not be allocated are NULL, and the program continues. */
static ct_status whole_life(ct_tensor *x, FILE *out)
{
    ct_scope s = ct_scope_begin();
    ct_params *set = ct_params_new((ct_params_options){ .seed = 1 });
    ct_params *part = ct_params_sub(set, "part");
    ct_recurrent *rnn =
        ct_nn_lstm(part, "rnn", (ct_nn_lstm_options){ .hidden_size = 3, .num_layers = 2 });
    ct_module *linear = ct_nn_linear(set, "a", (ct_nn_linear_options){ .out_features = 4 });
    ct_module *other = ct_nn_linear(set, "b", (ct_nn_linear_options){ .out_features = 4 });
    ct_optimizer *adam = ct_adam_new(set, (ct_adam_options){ .lr = 1 });
    ct_state *state = rnn ? ct_recurrent_begin_state(rnn, 2) : NULL, *next = NULL;
    ct_tensor *y;

    if (set) {
        ct_params_tie(set, "a.weight", "b.weight");
        ct_params_freeze(set, "*.bias", true);
    }
    y = ct_recurrent_forward(rnn, x, state, &next);
    y = ct_add(ct_forward(linear, y), ct_forward(other, y));
    ct_backward(ct_sum(ct_square(y)));
    ct_clip_grad_norm(set, 1, NULL);
    ct_optimizer_step(adam);
    ct_state_carry(state, next);
    ct_params_init(set, ct_init_constant(1), 2);
    if (set)
        ct_params_print(set, out);
    ck_assert_msg(!ct_ok() || (set && part && rnn && linear && other && adam && state && y),
                  "something is NULL without an error");
    ct_state_free(state);
    ct_optimizer_free(adam);
    ct_params_free(set);
    return ct_scope_end(s);
}

START_TEST(no_memory)
{
    FILE *out = fopen("/dev/null", "w");
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_ones(CT_SHAPE(3, 2, 5), CT_F32, CT_CPU);
    int k, done = 0, failed = 0;

    for (k = 1; !done; k++) {
        ct_status got;

        ct_memory_trim();
        fail_allocation(k);
        got = whole_life(x, out);
        done = allocations_seen < k;
        fail_nothing();
        ck_assert_msg(got == (ct_ok() ? CT_OK : CT_ERR_MEMORY), "allocation %d: %s", k,
                      ct_error_message());
        failed += got != CT_OK;
        ct_error_clear();
    }
    ck_assert_msg(failed > 60, "%d of %d allocations failed it", failed, k);
    ck_assert(whole_life(x, out) == CT_OK);
    ck_assert(ct_scope_end(s) == CT_OK);
    fclose(out);
}
END_TEST

/* Small programs: each has one recurrent module, the module that makes its input, and a loss. */
static const struct {
    const char *name;
    ct_recurrent *(*make)(ct_params *params, const char *name, ct_nn_recurrent_options o);
    ct_nn_recurrent_options o;
    bool steps, lengths, second;
} programs[] = {
    { "rnn", ct_nn_rnn, { .num_layers = 2 }, .lengths = true },
    { "relu, by steps",
      ct_nn_rnn,
      { .nonlinearity = CT_NONLINEARITY_RELU, .learn_state = true },
      .steps = true },
    { "rnn, normed", ct_nn_rnn, { .layer_norm = true, .bidirectional = true }, .steps = false },
    { "lstm",
      ct_nn_lstm,
      { .bidirectional = true, .has_forget_bias = true, .forget_bias = 1 },
      .steps = false },
    { "lstm, second order", ct_nn_lstm, { .no_bias = true }, .second = true },
    { "lstm, projected",
      ct_nn_lstm,
      { .proj_size = 2, .recurrent_dropout = 0.25 },
      .lengths = true },
    { "lstm, normed",
      ct_nn_lstm,
      { .layer_norm = true, .dropout = 0.25, .num_layers = 2 },
      .steps = false },
    { "gru", ct_nn_gru, { .reverse = true }, .lengths = true },
    { "gru, reset before",
      ct_nn_gru,
      { .reset_before = true, .batch_first = true },
      .steps = false },
    { "gru, Keras", ct_nn_gru, { .dialect = CT_DIALECT_KERAS }, .steps = true },
    { "gru, Flax", ct_nn_gru, { .dialect = CT_DIALECT_FLAX }, .second = true },
};

/* Returns the loss for ids (3, 2) and all gradients, added up to one number. */
static double run_program(int which, ct_status *status)
{
    ct_scope s = ct_scope_begin();
    ct_params *set = new_params(1, CT_F32);
    ct_nn_recurrent_options o = programs[which].o;
    ct_recurrent_call call = { .lengths = NULL };
    ct_recurrent *r;
    ct_module *embed, *parts[3], *chain;
    ct_module *linear = ct_nn_linear(set, "out", (ct_nn_linear_options){ .out_features = 5 });
    ct_state *state = NULL, *kept, *rows, *next = NULL;
    ct_tensor *ids, *x, *y, *loss, *g = NULL, *weight, *b;
    double value = 0;
    int i;

    o.hidden_size = 3;
    r = programs[which].make(set, "r", o);
    embed = ct_nn_embedding(set, "embed", (ct_nn_embedding_options){ .rows = 5, .size = 4 });
    parts[0] = ct_nn_layer_norm(set, "norm", (ct_nn_layer_norm_options){ 0 });
    parts[1] = ct_nn_op(set, ct_relu);
    parts[2] = ct_nn_dropout(set, 0.25);
    chain = parts[0] && parts[1] && parts[2] ? ct_nn_sequential(set, 3, parts) : NULL;
    ids = ct_from_data((int64_t[]){ 0, 4, 1, 1, 2, 3 }, CT_SHAPE(3, 2), CT_I64, DEVICE);
    b = ct_from_data((int64_t[]){ 1, 0 }, CT_SHAPE(2), CT_I64, DEVICE);
    x = chain ? ct_forward(chain, ct_forward(embed, ids)) : NULL;
    if (o.batch_first)
        x = ct_contiguous(ct_transpose(x, 0, 1));
    if (programs[which].lengths) {
        call.lengths = ct_from_data((int64_t[]){ 3, 1 }, CT_SHAPE(2), CT_I64, DEVICE);
        call.reset = ct_eq(b, ct_zeros_like(b));
    }
    y = programs[which].steps && r ? ct_recurrent_step(r, ct_select(x, 0, 0), NULL, &next)
        : r                        ? ct_recurrent_forward_with(r, x, NULL, &next, call)
                                   : NULL;
    kept = next ? ct_state_copy_new(next) : NULL;
    rows = kept ? ct_state_select_new(kept, b) : NULL;
    if (rows)
        state = ct_state_detach(rows);
    if (state && !programs[which].steps)
        y = ct_add(y, ct_recurrent_forward(r, x, state, &next));
    y = ct_forward(linear, y);
    weight = ct_rand(CT_SHAPE(5), CT_F32, DEVICE, ct_params_generator(set));
    if (programs[which].steps)
        ids = ct_select(ids, 0, 0);
    else if (o.batch_first)
        ids = ct_transpose(ids, 0, 1);
    loss =
        ct_add(ct_cross_entropy_with(
                   y, ids, (ct_cross_entropy_options){ .label_smoothing = 0.1, .weight = weight }),
               ct_add(ct_nll_loss(ct_log_softmax(y, -1), ids, (ct_cross_entropy_options){ 0 }),
                      ct_huber_loss(y, ct_zeros_like(y), 0.1, CT_REDUCTION_MEAN)));
    if (programs[which].second && loss && ct_grad(1, &loss, 1, &x, NULL, true, &g) == CT_OK)
        loss = ct_add(loss, ct_sum(ct_square(g)));
    ct_backward(loss);
    ct_state_carry(kept, next);
    for (i = 0; i < ct_params_count(set); i++)
        if (ct_ok() && ct_tensor_grad(ct_param_value(ct_params_at(set, i))))
            value +=
                ct_item(ct_sum(ct_square(ct_tensor_grad(ct_param_value(ct_params_at(set, i))))));
    value += ct_item(loss);
    if (kept)
        value += ct_item(ct_sum(ct_state_get(kept, 0)));
    ct_state_free(rows);
    ct_state_free(kept);
    ct_params_free(set);
    *status = ct_scope_end(s);
    return value;
}

/* Whichever allocation fails, the program reports an error or has the same result. */
START_TEST(modules_without_memory)
{
    ct_status status;
    double want = run_program(_i, &status), got;
    int k, failed = 0, step = harness_count(7, 1);
    bool done = false;

    ck_assert_msg(status == CT_OK && want == want, "%s: %s", programs[_i].name, ct_error_message());
    for (k = 1 + _i % step; !done; k += step) {
        fail_allocation(k);
        got = run_program(_i, &status);
        done = allocations_seen < k;
        fail_nothing();
        failed += status != CT_OK;
        if (status == CT_OK)
            ck_assert_msg(got == want, "%s, allocation %d: %.9g, not %.9g", programs[_i].name, k,
                          got, want);
        else
            ck_assert_msg(status == CT_ERR_MEMORY, "%s, allocation %d: %s", programs[_i].name, k,
                          ct_error_message());
        ct_error_clear();
    }
    ck_assert_int_gt(failed, 12); /* few allocations, because handles come from slabs */
}
END_TEST

void params_memory_cases(Suite *suite)
{
    TCase *tc = harness_case(suite, "sets");

    tcase_add_test(tc, no_memory);
    tcase_add_loop_test(tc, modules_without_memory, 0, LENGTH(programs));
}
