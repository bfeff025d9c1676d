/* SPDX-License-Identifier: MIT */
/* test_recurrent.c - recurrent modules: PyTorch's numbers, options, states, training. */
#include <cotangent.h>

#include "tests/harness.h"
#include "tests/recurrent_file.h"
#include "examples/mgu.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/test_recurrent.h"

/* ---- PyTorch's numbers ---- */

static bool is_normed(const config *c)
{
    return is_variant(c, "layer_norm") || is_variant(c, "norm_before");
}

static ct_recurrent *module_with(const config *c, ct_params *params)
{
    ct_nn_recurrent_options o = { .proj_size = c->proj,
                                  .reset_before = is_variant(c, "norm_before"),
                                  .layer_norm = is_normed(c),
                                  .learn_state = is_variant(c, "learn") };

    if (is_variant(c, "dropout"))
        o.dropout = 0.25, o.recurrent_dropout = 0.5;
    return recurrent_of(c, params, o);
}

/* Sets all parameters to the values of the formula. */
static void set_params(const config *c, ct_params *params)
{
    for (int i = 0; i < ct_params_count(params); i++) {
        ct_param *p = ct_params_at(params, i);
        ct_scope s = ct_scope_begin_no_grad();

        ct_copy_into(ct_param_value(p), made(c->number, ct_param_name(p) + 2, ct_param_shape(p),
                                             ct_params_dtype(params), 0.5));
        ck_assert(ct_scope_end(s) == CT_OK);
    }
}

/* Returns y (T, B, out) of a configuration. Resets the generator of the dropout masks. */
static ct_tensor *run(const config *c, ct_params *params, ct_recurrent *r, const call *k,
                      ct_state **next)
{
    *ct_params_generator(params) = ct_generator_from_seed((uint64_t)c->number);
    if (is_variant(c, "cell"))
        return ct_unsqueeze(ct_recurrent_step(r, ct_select(k->x, 0, 0), k->given, next), 0);
    return ct_recurrent_forward_with(r, k->x, k->given, next, k->more);
}

static ct_tensor *result(const char *name, const call *k, ct_tensor *y, ct_state *next,
                         ct_params *params)
{
    ct_tensor *found = result_of(name, k, y, next);
    char full[80];

    if (found)
        return found;
    snprintf(full, sizeof full, "m.%s", name + 1);
    return gradient_of(ct_param_value(ct_params_get(params, full)));
}

/* Checks that the results without recording are the same. */
static void expect_same_unrecorded(const config *c, ct_params *params, ct_recurrent *r,
                                   const call *k, ct_tensor *y, ct_state *next)
{
    ct_scope s = ct_scope_begin_no_grad();
    ct_state *next2;
    double *v = values_of(y);

    expect_values("y without history", run(c, params, r, k, &next2), v, (size_t)ct_numel(y), 1e-12);
    free(v);
    for (int i = 0; i < ct_state_count(next); i++) {
        v = values_of(ct_state_get(next, i));
        expect_values("a state without history", ct_state_get(next2, i), v,
                      (size_t)ct_numel(ct_state_get(next, i)), 1e-12);
        free(v);
    }
    ck_assert(ct_scope_end(s) == CT_OK);
}

static void check_config(const config *c, const want *wants, int n, ct_dtype dtype)
{
    ct_params *params = ct_params_new((ct_params_options){ .device = DEVICE, .dtype = dtype });
    ct_recurrent *r = module_with(c, params);
    ct_scope s = ct_scope_begin();
    call k = call_of(c, dtype);
    ct_state *next;
    ct_tensor *y;

    run(c, params, r, &k, &next); /* sets the input size */
    expect_ok();
    set_params(c, params);
    y = run(c, params, r, &k, &next);
    expect_ok();
    if (dtype == CT_F64)
        expect_same_unrecorded(c, params, r, &k, y, next);
    go_back(c, y, next, dtype);
    for (int i = 0; i < n; i++)
        expect_sums(c, &wants[i], result(wants[i].name, &k, y, next, params),
                    dtype == CT_F64 ? 1e-12
                    : is_normed(c)  ? 1e-4
                                    : 1e-5);
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(params);
}

/* Runs whole sequences where that is possible (0), and one step at a time (1); only some cases on
 * an emulated device. One third of the cases run in f32, or all in the full test. Layer norm of
 * nearly equal numbers, such as c of few units, multiplies the errors of f32. */
START_TEST(test_torch)
{
    config_file f = open_configs("tests/torch/recurrent.txt");
    config c = { .number = -1 };
    want wants[MOST_WANTS];
    const int each = harness_rounds(19, 1);
    int n;

    ct_set_fused_rnn(_i == 0);
    while ((n = read_config(&f, &c, wants)) > 0) {
        if (c.number % each != _i % each)
            continue;
        check_config(&c, wants, n, CT_F64);
        if (harness_full() || c.number % 3 == 0)
            check_config(&c, wants, n, CT_F32);
    }
    fclose(f.f);
    ct_set_fused_rnn(true);
    ck_assert_int_eq(c.number + 1, 500);
}
END_TEST

/* ---- whole sequences against steps ---- */

/* Makes a module of one of four kinds: tanh, ReLU, LSTM, GRU. */
static ct_recurrent *plain_module(int kind, ct_params *params, ct_nn_recurrent_options o)
{
    o.nonlinearity = kind == 1 ? CT_NONLINEARITY_RELU : CT_NONLINEARITY_DEFAULT;
    return kind == 2   ? ct_nn_lstm(params, "m", o)
           : kind == 3 ? ct_nn_gru(params, "m", o)
                       : ct_nn_rnn(params, "m", o);
}

#define MOST_RESULTS 24

/* Copies of y, the last states and all gradients of one run. */
typedef struct results {
    double *at[MOST_RESULTS];
    size_t size[MOST_RESULTS];
    int count;
} results;

static void take(results *r, ct_tensor *t)
{
    ck_assert_int_lt(r->count, MOST_RESULTS);
    r->at[r->count] = values_of(t);
    r->size[r->count++] = (size_t)ct_numel(t);
}

/* Returns a random length from 0 to steps for each row of a batch; the first row of an odd form has
 * all steps. */
static ct_tensor *some_lengths(ct_generator *g, int form, int64_t batch, int64_t steps)
{
    ct_tensor *t = ct_zeros(CT_SHAPE(batch), CT_I64, CT_CPU);
    int64_t *length = ct_mutable_data(t), b;

    for (b = 0; b < batch; b++)
        length[b] =
            b == 0 && form % 2 ? steps : (int64_t)(ct_random_uniform(g) * (double)(steps + 1));
    return ct_to(t, DEVICE);
}

/* The batches have from one row to more than two tiles of rows, and few or many steps; x and dy are
 * transposed views. */
static results run_plain_module(int kind, int form, bool ragged, ct_nn_recurrent_options o)
{
    const int64_t batch = (int64_t[]){ 1, 5, 64, 150 }[form % 4], steps = form < 4 ? 3 : 9;
    ct_generator g = ct_generator_from_seed(50 + (uint64_t)form);
    ct_params *params =
        ct_params_new((ct_params_options){ .seed = 3, .dtype = CT_F64, .device = DEVICE });
    ct_recurrent *r = plain_module(kind, params, o);
    ct_scope s = ct_scope_begin();
    ct_tensor *x = random_normal(&g, CT_SHAPE(batch, steps, o.input_size), CT_F64), *y, *loss;
    ct_state *begin = ct_recurrent_begin_state(r, batch), *next;
    ct_recurrent_call call = { .lengths = NULL };
    results out = { .count = 0 };
    int i;

    ct_set_requires_grad(x, true);
    for (i = 0; i < ct_state_count(begin); i++) {
        ck_assert(ct_normal_into(ct_state_get(begin, i), 0, 1, &g) == CT_OK);
        ct_set_requires_grad(ct_state_get(begin, i), true);
    }
    if (ragged)
        call.lengths = some_lengths(&g, form, batch, steps);
    y = ct_recurrent_forward_with(r, ct_transpose(x, 0, 1), begin, &next, call);
    take(&out, y);
    loss = ct_sum(ct_mul(ct_transpose(y, 0, 1),
                         random_normal(&g, CT_SHAPE(batch, steps, ct_size(y, 2)), CT_F64)));
    for (i = 0; i < ct_state_count(next); i++) {
        ct_tensor *t = ct_state_get(next, i);

        take(&out, t);
        loss = ct_add(loss, ct_sum(ct_mul(t, random_normal(&g, ct_tensor_shape(t), CT_F64))));
    }
    ct_backward(loss);
    expect_ok();
    take(&out, ct_tensor_grad(x));
    for (i = 0; i < ct_state_count(begin); i++)
        take(&out, ct_tensor_grad(ct_state_get(begin, i)));
    for (i = 0; i < ct_params_count(params); i++)
        take(&out, ct_tensor_grad(ct_param_value(ct_params_at(params, i))));
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_state_free(begin);
    ct_params_free(params);
    return out;
}

static void free_results(results *r)
{
    while (r->count)
        free(r->at[--r->count]);
}

/* The whole-sequence op agrees with the composed path, with and without lengths, and gives the same
 * bits with any number of threads. */
START_TEST(test_whole_sequences)
{
    const int kind = _i / 16, form = _i / 2 % 8;
    const bool ragged = _i % 2;
    const ct_nn_recurrent_options o = { .input_size = 4,
                                        .hidden_size = form % 3 ? 7 : 16,
                                        .num_layers = form % 2 ? 2 : 1,
                                        .reverse = form == 4,
                                        .bidirectional = form == 3 || form == 6,
                                        .no_bias = form == 5 };
    results whole, steps, threads;
    int i;
    size_t k;

    whole = run_plain_module(kind, form, ragged, o);
    ck_assert(ct_set_num_threads(3) == CT_OK);
    threads = run_plain_module(kind, form, ragged, o);
    ck_assert(ct_set_num_threads(1) == CT_OK);
    ct_set_fused_rnn(false);
    steps = run_plain_module(kind, form, ragged, o);
    ct_set_fused_rnn(true);
    ck_assert(whole.count == steps.count && whole.count == threads.count);
    for (i = 0; i < whole.count; i++) {
        double size = 0;

        ck_assert(whole.size[i] == steps.size[i] && whole.size[i] == threads.size[i]);
        ck_assert(memcmp(whole.at[i], threads.at[i], whole.size[i] * sizeof(double)) == 0);
        for (k = 0; k < whole.size[i]; k++)
            size = fmax(size, fabs(steps.at[i][k]));
        for (k = 0; k < whole.size[i]; k++)
            if (!(fabs(whole.at[i][k] - steps.at[i][k]) <= 1e-12 * (1 + size)))
                ck_abort_msg("result %d, element %zu: %.17g, by steps %.17g", i, k, whole.at[i][k],
                             steps.at[i][k]);
    }
    free_results(&whole);
    free_results(&threads);
    free_results(&steps);
}
END_TEST

/* ---- shapes and states ---- */

START_TEST(test_begin_state)
{
    ct_params *params = new_params(7, CT_F32);
    ct_recurrent *r =
        ct_nn_lstm(params, "m",
                   (ct_nn_lstm_options){
                       .hidden_size = 5, .num_layers = 3, .bidirectional = true, .proj_size = 2 });
    ct_state *s = ct_recurrent_begin_state(r, 4);

    ck_assert_int_eq(ct_state_count(s), 2);
    ck_assert_int_eq(ct_size(ct_state_get(s, 0), 0), 6);
    ck_assert_int_eq(ct_size(ct_state_get(s, 0), 1), 4);
    ck_assert_int_eq(ct_size(ct_state_get(s, 0), 2), 2);
    ck_assert_int_eq(ct_size(ct_state_get(s, 1), 2), 5);
    ck_assert_int_eq(ct_recurrent_layers(r), 3);
    ck_assert_int_eq(ct_recurrent_directions(r), 2);
    ck_assert_int_eq(ct_recurrent_hidden_size(r), 2);
    ct_state_free(s);
    ct_params_free(params);
}
END_TEST

/* The first state is the learned one. */
START_TEST(test_learned_begin_state)
{
    ct_params *params = new_params(7, CT_F64);
    ct_recurrent *r =
        ct_nn_gru(params, "m", (ct_nn_gru_options){ .hidden_size = 2, .learn_state = true });
    ct_scope s = ct_scope_begin_no_grad();
    ct_state *state;

    ct_fill(ct_param_value(ct_params_get(params, "m.h_0")), 0.5);
    state = ct_recurrent_begin_state(r, 3);
    expect_values("state", ct_state_get(state, 0), (double[]){ .5, .5, .5, .5, .5, .5 }, 6, 0);
    ct_state_free(state);
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(params);
}
END_TEST

/* x (T, in) is a batch of one row; states of both ranks are accepted. */
START_TEST(test_unbatched)
{
    ct_generator g = ct_generator_from_seed(3);
    ct_params *params = new_params(7, CT_F64);
    ct_recurrent *r =
        ct_nn_lstm(params, "m",
                   (ct_nn_lstm_options){ .hidden_size = 3, .num_layers = 2, .batch_first = true });
    ct_scope s = ct_scope_begin_no_grad();
    ct_tensor *x = random_normal(&g, CT_SHAPE(5, 2), CT_F64), *y, *flat;
    ct_state *begin = ct_recurrent_begin_state(r, 1), *next, *next2, *next3;
    double *v;

    y = ct_recurrent_forward(r, ct_unsqueeze(x, 0), NULL, &next);
    flat = ct_recurrent_forward(r, x, NULL, &next2);
    ck_assert_int_eq(ct_rank(flat), 2);
    ck_assert_int_eq(ct_rank(ct_state_get(next2, 1)), 2);
    v = values_of(y);
    expect_values("y", flat, v, 15, 0);
    free(v);
    v = values_of(ct_state_get(next, 1));
    expect_values("c", ct_state_get(next2, 1), v, 6, 0);
    free(v);
    ct_recurrent_forward(r, x, begin, &next3);
    ck_assert_int_eq(ct_rank(ct_state_get(next3, 0)), 3); /* the rank of the given state, so it can
                                                           * be carried */
    ck_assert(ct_state_carry(begin, next3) == CT_OK);
    ct_recurrent_forward(r, x, next2, &next3);
    ck_assert_int_eq(ct_rank(ct_state_get(next3, 0)), 2);
    ct_state_free(begin);
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(params);
}
END_TEST

/* A copied state is independent, selected rows are right, and no gradient passes a detached
 * state. */
START_TEST(test_states)
{
    ct_params *params = new_params(7, CT_F64);
    ct_recurrent *r =
        ct_nn_lstm(params, "m", (ct_nn_lstm_options){ .hidden_size = 1, .num_layers = 2 });
    ct_state *kept = ct_recurrent_begin_state(r, 2), *copy, *picked, *next, *other, *bad;
    ct_scope s = ct_scope_begin();
    ct_tensor *h = ct_set_requires_grad(
        ct_from_data((double[]){ 1, 2, 3, 4 }, CT_SHAPE(2, 2, 1), CT_F64, DEVICE), true);
    ct_tensor *rows = ct_from_data((int64_t[]){ 1, 1, 0 }, CT_SHAPE(3), CT_I64, DEVICE);
    ct_tensor *both[2] = { ct_mul_scalar(h, 2), h };

    next = ct_state_from_tensors(2, both);
    ck_assert(ct_state_carry(kept, next) == CT_OK);
    copy = ct_state_copy_new(kept);
    ck_assert(ct_state_zero(kept) == CT_OK);
    expect_values("zero", ct_state_get(kept, 0), (double[]){ 0, 0, 0, 0 }, 4, 0);
    expect_values("copy", ct_state_get(copy, 0), (double[]){ 2, 4, 6, 8 }, 4, 0);
    picked = ct_state_select_new(copy, rows);
    expect_values("rows", ct_state_get(picked, 0), (double[]){ 4, 4, 2, 8, 8, 6 }, 6, 0);
    ck_assert(ct_tensor_requires_grad(ct_state_get(next, 0)));
    ck_assert(!ct_tensor_requires_grad(ct_state_get(ct_state_detach(next), 0)));
    ck_assert(!ct_tensor_requires_grad(ct_state_get(copy, 0)));
    ct_state_get(kept, 2);
    expect_error(CT_ERR_INDEX, "ct_state_get", "2 tensors");
    ct_state_free(next);
    expect_error(CT_ERR_SCOPE, "ct_state_free", "scope");
    ct_state_carry(kept, picked);
    expect_error(CT_ERR_SHAPE, "ct_state_carry", "f64[2,2,1]");
    other = ct_state_from_tensors(1, both);
    ct_state_carry(kept, other);
    expect_error(CT_ERR_ARGUMENT, "ct_state_carry", "next has 1");
    bad = ct_state_select_new(copy, ct_from_data((int64_t[]){ 2 }, CT_SHAPE(1), CT_I64, DEVICE));
    expect_fault(bad ? ct_state_get(bad, 0) : NULL, CT_ERR_INDEX, "ct_state_select_new", "index 2");
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_state_free(kept);
    ct_state_free(copy);
    ct_state_free(picked);
    ct_state_free(bad);
    ct_params_free(params);
}
END_TEST

static const maker makers[] = {
    ct_nn_rnn, ct_nn_lstm, ct_nn_gru, mgu, ct_nn_min_gru, ct_nn_min_lstm
};

/* Single steps that pass the state on give the same as the whole sequence. */
START_TEST(test_steps)
{
    ct_generator g = ct_generator_from_seed(4);
    ct_params *params = new_params(7, CT_F64);
    ct_recurrent *r =
        makers[_i](params, "m", (ct_nn_recurrent_options){ .hidden_size = 3, .num_layers = 2 });
    ct_scope s = ct_scope_begin();
    ct_tensor *x = random_normal(&g, CT_SHAPE(4, 2, 5), CT_F64), *y;
    ct_state *state = NULL;

    y = ct_recurrent_forward(r, x, NULL, NULL);
    for (int t = 0; t < 4; t++) {
        double *v = values_of(ct_select(y, 0, t));

        expect_values("y", ct_recurrent_step(r, ct_select(x, 0, t), state, &state), v, 6, 1e-15);
        free(v);
    }
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(params);
}
END_TEST

/* Returns y and the gradients of one f32 run on the CPU with products in a given precision. */
static results run_f32(int kind, int64_t steps, ct_matmul_precision precision)
{
    ct_generator g = ct_generator_from_seed(70);
    ct_params *params = ct_params_new((ct_params_options){ .seed = 4 });
    ct_recurrent *r =
        plain_module(kind, params, (ct_nn_recurrent_options){ .input_size = 5, .hidden_size = 40 });
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_randn(CT_SHAPE(steps, 20, 5), CT_F32, CT_CPU, &g), *y;
    results out = { .count = 0 };
    int i;

    ct_set_bf16_emulation(true);
    ck_assert(ct_set_matmul_precision(precision) == CT_OK);
    ct_set_requires_grad(x, true);
    y = ct_recurrent_forward(r, x, NULL, NULL);
    ct_backward(ct_sum(ct_mul(y, ct_randn(ct_tensor_shape(y), CT_F32, CT_CPU, &g))));
    expect_ok();
    take(&out, y);
    take(&out, ct_tensor_grad(x));
    for (i = 0; i < ct_params_count(params); i++)
        take(&out, ct_tensor_grad(ct_param_value(ct_params_at(params, i))));
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(params);
    ct_set_bf16_emulation(false);
    return out;
}

static double distance(const results *a, const results *b, int i)
{
    double most = 0, size = 0;
    size_t k;

    ck_assert(a->size[i] == b->size[i]);
    for (k = 0; k < a->size[i]; k++) {
        double d = fabs(a->at[i][k] - b->at[i][k]);

        most = d > most || isnan(d) ? d : most;
        size = fmax(size, fabs(b->at[i][k]));
    }
    return most / size;
}

/* In bf16, too, whole sequences equal steps, except for roundings that fall the other way. Both
 * differ from f32 only by the digits of bf16, and by slopes of ReLU that flip at 0. */
START_TEST(test_bf16_sequences)
{
    const int kind = _i / 2;
    const int64_t steps = _i % 2 ? 2 : 6;
    results full = run_f32(kind, steps, CT_MATMUL_PRECISION_F32),
            whole = run_f32(kind, steps, CT_MATMUL_PRECISION_BF16), by_steps;
    int i;

    ct_set_fused_rnn(false);
    by_steps = run_f32(kind, steps, CT_MATMUL_PRECISION_BF16);
    ct_set_fused_rnn(true);
    for (i = 0; i < full.count; i++) {
        double rounding = distance(&whole, &full, i), order = distance(&whole, &by_steps, i);

        ck_assert_msg(order <= 0.01, "result %d: by steps %g", i, order);
        ck_assert_msg(rounding <= (kind == 1 ? 0.2 : 0.05), "result %d: f32 %g", i, rounding);
        ck_assert_msg(rounding >= 1e-5 || i > 1, "result %d was not rounded", i);
    }
    free_results(&full);
    free_results(&whole);
    free_results(&by_steps);
}
END_TEST

/* Values after the end of a row change nothing, not even NaN, and get the gradient 0. */
START_TEST(test_padding_is_inert)
{
    ct_generator g = ct_generator_from_seed(5);
    ct_params *params = new_params(7, CT_F64);
    ct_recurrent *r = makers[_i](
        params, "m",
        (ct_nn_recurrent_options){ .hidden_size = 3, .num_layers = 2, .bidirectional = true });
    ct_scope s = ct_scope_begin();
    ct_tensor *x = random_normal(&g, CT_SHAPE(4, 3, 2), CT_F64);
    ct_recurrent_call call = { .lengths = ct_from_data((int32_t[]){ 2, 0, 3 }, CT_SHAPE(3), CT_I32,
                                                       DEVICE) };
    static const int length[] = { 2, 0, 3 };
    ct_state *next;
    ct_tensor *y;
    double *dx, *v;

    for (int t = 0; t < 4; t++)
        for (int b = 0; b < 3; b++)
            if (t >= length[b])
                put_value(x, (t * 3 + b) * 2, NAN);
    ct_set_requires_grad(x, true);
    y = ct_recurrent_forward_with(r, x, NULL, &next, call);
    ck_assert(ct_backward(ct_add(ct_sum(ct_square(y)), ct_sum(ct_state_get(next, 0)))) == CT_OK);
    v = values_of(y);
    dx = values_of(ct_tensor_grad(x));
    for (int t = 0; t < 4; t++)
        for (int b = 0; b < 3; b++) {
            ck_assert((v[(t * 3 + b) * 6] == 0) == (t >= length[b]));
            ck_assert((dx[(t * 3 + b) * 2] == 0) == (t >= length[b]));
            ck_assert(isfinite(dx[(t * 3 + b) * 2]));
        }
    for (int i = 0; i < ct_params_count(params); i++)
        ck_assert(
            isfinite(ct_item(ct_sum(ct_tensor_grad(ct_param_value(ct_params_at(params, i)))))));
    free(v);
    free(dx);
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(params);
}
END_TEST

/* ---- dropout ---- */

static ct_tensor *y_of(int count, ct_tensor *const *inputs, void *context)
{
    ct_recurrent_call call = { .lengths = inputs[count - 1] };

    ct_state *state = ct_state_from_tensors(count - 2, inputs + 1);

    return ct_recurrent_forward_with(context, inputs[0], state, NULL, call);
}

/* First and second derivatives with all options together agree with differences. */
START_TEST(test_gradcheck)
{
    ct_generator g = ct_generator_from_seed(6);
    ct_params *params = new_params(7, CT_F64);
    const bool lstm = _i == 1;
    ct_recurrent *r = makers[_i](params, "m",
                                 (ct_nn_recurrent_options){ .input_size = 2,
                                                            .hidden_size = 3,
                                                            .num_layers = 2,
                                                            .bidirectional = true,
                                                            .batch_first = true,
                                                            .layer_norm = _i < 3,
                                                            .reset_before = _i == 2 });
    ct_scope s = ct_scope_begin();
    ct_tensor *in[4];

    in[0] = ct_set_requires_grad(random_normal(&g, CT_SHAPE(2, 3, 2), CT_F64), true);
    in[1] = ct_set_requires_grad(random_normal(&g, CT_SHAPE(4, 2, 3), CT_F64), true);
    in[2] = ct_set_requires_grad(random_normal(&g, CT_SHAPE(4, 2, 3), CT_F64), true);
    in[lstm ? 3 : 2] = ct_from_data((int64_t[]){ 3, 2 }, CT_SHAPE(2), CT_I64, DEVICE);
    ck_assert_msg(ct_gradcheck(y_of, lstm ? 4 : 3, in, r, &g, 0, 0), "%s", ct_error_message());
    if (_i % harness_rounds(4, 1) == 0)
        ck_assert_msg(ct_gradgradcheck(y_of, lstm ? 4 : 3, in, r, &g, 0, 1e-5), "%s",
                      ct_error_message());
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(params);
}
END_TEST

/* inputs: x, lengths, states. */
static ct_tensor *sequence_of(int count, ct_tensor *const *inputs, void *context)
{
    ct_state *next, *state = ct_state_from_tensors(count - 2, inputs + 2);
    ct_recurrent_call call = { .lengths = inputs[1] };
    ct_tensor *y = ct_recurrent_forward_with(context, inputs[0], state, &next, call);

    return ct_add(ct_sum(ct_square(y)), ct_sum(ct_square(ct_state_get(next, count - 3))));
}

/* Checks that gradients with and without create_graph are the same. */
static void expect_same_with_history(ct_tensor *loss, int count, ct_tensor *const *of)
{
    ct_tensor *plain[16], *recorded[16];
    double size = 0;

    ck_assert(ct_grad(1, &loss, count, of, NULL, false, plain) == CT_OK);
    ck_assert(ct_grad(1, &loss, count, of, NULL, true, recorded) == CT_OK);
    for (int i = 0; i < count; i++) {
        double *v = values_of(plain[i]);

        expect_values("gradient", recorded[i], v, (size_t)ct_numel(plain[i]), 1e-13);
        size += ct_item(ct_sum(ct_abs(plain[i])));
        free(v);
    }
    ck_assert(size > 0);
}

/* First and second derivatives of the whole-sequence op with respect to inputs and states agree
 * with differences. test_main_job checks those with respect to parameters. */
START_TEST(test_gradcheck_of_sequences)
{
    const int kind = _i / 4, states = kind == 2 ? 2 : 1;
    const int64_t lengths[2][2] = { { 4, 4 }, { 1, 3 } };
    ct_generator g = ct_generator_from_seed(60 + (uint64_t)_i);
    ct_params *params = new_params(7, CT_F64);
    ct_recurrent *r = plain_module(
        kind, params,
        (ct_nn_recurrent_options){
            .input_size = 2, .hidden_size = 3, .num_layers = 1 + _i % 2, .reverse = _i % 2 == 1 });
    ct_scope s = ct_scope_begin();
    ct_tensor *in[4], *of[16];
    int i, count = 0;

    in[0] = of[count++] = ct_set_requires_grad(random_normal(&g, CT_SHAPE(4, 2, 2), CT_F64), true);
    in[1] = ct_from_data(lengths[_i / 2 % 2], CT_SHAPE(2), CT_I64, DEVICE);
    for (i = 2; i < 2 + states; i++)
        in[i] = of[count++] =
            ct_set_requires_grad(random_normal(&g, CT_SHAPE(1 + _i % 2, 2, 3), CT_F64), true);
    for (i = 0; i < ct_params_count(params); i++)
        of[count++] = ct_param_value(ct_params_at(params, i));
    expect_same_with_history(sequence_of(2 + states, in, r), count, of);
    ck_assert_msg(ct_gradcheck(sequence_of, 2 + states, in, r, &g, 0, 0), "%s", ct_error_message());
    if (_i % harness_rounds(3, 1) == 0)
        ck_assert_msg(ct_gradgradcheck(sequence_of, 2 + states, in, r, &g, 0, 1e-5), "%s",
                      ct_error_message());
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(params);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("recurrent");
    TCase *tc = harness_case(suite, "parity");

    tcase_add_loop_test(tc, test_torch, 0, 2);
    tcase_add_loop_test(tc, test_whole_sequences, 0, 64);
    tcase_add_loop_test(tc, test_bf16_sequences, 0, 8);
    tc = harness_case(suite, "states");
    tcase_add_test(tc, test_begin_state);
    tcase_add_test(tc, test_learned_begin_state);
    tcase_add_test(tc, test_unbatched);
    tcase_add_test(tc, test_states);
    tcase_add_loop_test(tc, test_steps, 0, LENGTH(makers));
    tcase_add_loop_test(tc, test_padding_is_inert, 0, LENGTH(makers));
    tc = harness_case(suite, "derivatives");
    tcase_add_loop_test(tc, test_gradcheck, 0, LENGTH(makers));
    tcase_add_loop_test(tc, test_gradcheck_of_sequences, 0, 16);
    recurrent_dropout_cases(suite);
    recurrent_errors_cases(suite);
    recurrent_layer_cases(suite);
    recurrent_no_steps_cases(suite);
    recurrent_training_cases(suite);
    recurrent_wrapped_cases(suite);
    return harness_run(suite);
}
