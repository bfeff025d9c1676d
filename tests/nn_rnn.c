/* SPDX-License-Identifier: MIT */
/* nn_rnn.c - the RNN compared with loops over its formula, and its calls. */
#include "tests/harness.h"
#include "autograd/internal.h"
#include "nn/cell.h"
#include "nn/fused_rnn.h"
#include "tensor/internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cotangent.h>

#include "tests/test_nn.h"

/* ---- RNN against loops ---- */

#define T 5
#define B 3
#define IN 4
#define H 6

typedef struct rnn_case {
    int layers, directions;
    bool relu, no_bias, with_state;
} rnn_case;

static const rnn_case rnn_cases[] = {
    { 1, 1, false, false, false }, { 1, 1, true, false, true }, { 1, 2, false, false, true },
    { 2, 1, false, true, true },   { 3, 2, true, false, true }, { 2, 2, false, false, false },
};

#define RNN_CASES (LENGTH(rnn_cases))

static double *param_values(ct_params *set, const char *what, int layer, int direction)
{
    char name[64];

    snprintf(name, sizeof name, "rnn.%s_l%d%s", what, layer, direction ? "_reverse" : "");
    ck_assert_msg(ct_params_get(set, name) != NULL, "there is no %s", name);
    return values_of(ct_param_value(ct_params_get(set, name)));
}

/* Runs one cell over time: x (T, B, in) -> its half of y (T, B, width), from column `first` on.
 * Afterwards h (B, H) is the state after the last step. */
static void cell_oracle(const rnn_case *c, ct_params *set, int layer, int d, const double *x,
                        int in, double *h, double *y, int width)
{
    double *w_ih = param_values(set, "weight_ih", layer, d);
    double *w_hh = param_values(set, "weight_hh", layer, d);
    double *b_ih = c->no_bias ? NULL : param_values(set, "bias_ih", layer, d);
    double *b_hh = c->no_bias ? NULL : param_values(set, "bias_hh", layer, d);
    int k, b, j, i;

    for (k = 0; k < T; k++) {
        int t = d ? T - 1 - k : k;
        double next[B][H];

        for (b = 0; b < B; b++)
            for (j = 0; j < H; j++) {
                double sum = c->no_bias ? 0 : b_ih[j] + b_hh[j];

                for (i = 0; i < in; i++)
                    sum += w_ih[j * in + i] * x[(t * B + b) * in + i];
                for (i = 0; i < H; i++)
                    sum += w_hh[j * H + i] * h[b * H + i];
                next[b][j] = c->relu ? fmax(sum, 0) : tanh(sum);
                y[(t * B + b) * width + d * H + j] = next[b][j];
            }
        memcpy(h, next, sizeof next);
    }
    free(w_ih);
    free(w_hh);
    free(b_ih);
    free(b_hh);
}

/* Computes y (T, B, directions * H), which the caller frees, from x (T, B, IN) and h (layers *
 * directions, B, H), which becomes the last state. */
static double *rnn_oracle(const rnn_case *c, ct_params *set, const double *x, double *h)
{
    int width = c->directions * H, layer, d;
    double *y = NULL, *below = NULL;

    for (layer = 0; layer < c->layers; layer++) {
        y = calloc((size_t)(T * B * width), sizeof *y);
        for (d = 0; d < c->directions; d++)
            cell_oracle(c, set, layer, d, layer ? below : x, layer ? width : IN,
                        h + (layer * c->directions + d) * B * H, y, width);
        free(below);
        below = y;
    }
    return y;
}

static ct_recurrent *rnn_of(ct_params *set, const rnn_case *c, int64_t input_size)
{
    return ct_nn_rnn(
        set, "rnn",
        (ct_nn_rnn_options){ .input_size = input_size,
                             .hidden_size = H,
                             .num_layers = c->layers,
                             .nonlinearity = c->relu ? CT_NONLINEARITY_RELU : CT_NONLINEARITY_TANH,
                             .no_bias = c->no_bias,
                             .bidirectional = c->directions == 2 });
}

/* Runs with and without history. */
START_TEST(rnn_is_its_formula)
{
    const rnn_case *c = &rnn_cases[_i / 4];
    ct_dtype dtype = _i % 2 ? CT_F32 : CT_F64;
    bool recorded = _i / 2 % 2;
    double tolerance = dtype == CT_F32 ? 2e-6 : 1e-14, *x, *h, *y, *before;
    ct_params *set = new_params(5, dtype);
    ct_recurrent *r = rnn_of(set, c, IN);
    ct_generator g = ct_generator_from_seed(8);
    ct_scope s = recorded ? ct_scope_begin() : ct_scope_begin_no_grad();
    ct_tensor *in = ct_randn(CT_SHAPE(T, B, IN), dtype, DEVICE, &g), *out;
    ct_tensor *start = ct_randn(CT_SHAPE(c->layers * c->directions, B, H), dtype, DEVICE, &g);
    ct_state *state = ct_state_new(1, &start), *next;

    if (!c->with_state)
        ct_state_zero(state);
    x = values_of(in);
    h = values_of(ct_state_get(state, 0));
    before = values_of(ct_state_get(state, 0));
    y = rnn_oracle(c, set, x, h);
    out = ct_recurrent_forward(r, in, c->with_state ? state : NULL, &next);
    ck_assert_msg(out != NULL, "%s", ct_error_message());
    ck_assert(ct_size(out, 0) == T && ct_size(out, 1) == B && ct_size(out, 2) == c->directions * H);
    ck_assert(ct_tensor_requires_grad(out) == recorded);
    expect_values("y", out, y, (size_t)ct_numel(out), tolerance);
    ck_assert_int_eq(ct_state_count(next), 1);
    expect_values("next", ct_state_get(next, 0), h, (size_t)(c->layers * c->directions * B * H),
                  tolerance);
    if (!recorded) /* the new state must not share memory with the given state */
        ct_fill(ct_state_get(next, 0), 7);
    expect_values("state", ct_state_get(state, 0), before,
                  (size_t)(c->layers * c->directions * B * H), 0);
    free(x);
    free(h);
    free(y);
    free(before);
    ct_state_free(state);
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(set);
}
END_TEST

/* Two halves of a sequence, with the state passed on, give the result of the whole sequence; a
 * one-hot input gives the result of its dense copy. */
START_TEST(rnn_goes_on)
{
    const rnn_case c = { .layers = 2, .directions = 1 };
    const int32_t ids[T * B] = { 3, 0, 1, 1, 2, 2, 0, 3, 3, 1, 0, 2, 1, 3, 0 };
    ct_params *set = new_params(5, CT_F64);
    ct_recurrent *r = rnn_of(set, &c, 0);
    ct_scope s = _i ? ct_scope_begin() : ct_scope_begin_no_grad();
    ct_tensor *hot = ct_one_hot_as(ct_from_data(ids, CT_SHAPE(T, B), CT_I32, DEVICE), IN, CT_F64);
    ct_tensor *dense = ct_clone(hot), *whole, *part[2];
    ct_state *end, *middle, *last;

    whole = ct_recurrent_forward(r, hot, NULL, &end);
    part[0] = ct_recurrent_forward(r, ct_narrow(dense, 0, 0, 2), NULL, &middle);
    part[1] = ct_recurrent_forward(r, ct_narrow(dense, 0, 2, 3), middle, &last);
    expect_same("y", ct_cat(2, part, 0), whole, 1e-14);
    expect_same("state", ct_state_get(last, 0), ct_state_get(end, 0), 1e-14);
    ck_assert(ct_recurrent_forward(r, dense, NULL, NULL) != NULL);
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(set);
}
END_TEST

START_TEST(rnn_names_and_layouts)
{
    ct_params *set = new_params(5, CT_F32);
    ct_recurrent *r = ct_nn_rnn(
        ct_params_sub(set, "encoder"), "rnn",
        (ct_nn_rnn_options){ .hidden_size = 100, .num_layers = 2, .bidirectional = true });
    ct_state *state = ct_recurrent_begin_state(r, 3);
    ct_scope s = ct_scope_begin_no_grad();

    ck_assert_int_eq(ct_recurrent_layers(r), 2);
    ck_assert_int_eq(ct_recurrent_directions(r), 2);
    ck_assert_int_eq(ct_recurrent_hidden_size(r), 100);
    ck_assert_int_eq(ct_params_count(set), 16);
    expect_param(set, 0, "encoder.rnn.weight_ih_l0", CT_SHAPE(100, -1));
    expect_param(set, 4, "encoder.rnn.weight_ih_l0_reverse", CT_SHAPE(100, -1));
    ck_assert(ct_recurrent_forward(r, ct_ones(CT_SHAPE(2, 3, 7), CT_F32, DEVICE), state, NULL));
    expect_param(set, 0, "encoder.rnn.weight_ih_l0", CT_SHAPE(100, 7));
    expect_param(set, 1, "encoder.rnn.weight_hh_l0", CT_SHAPE(100, 100));
    expect_param(set, 2, "encoder.rnn.bias_ih_l0", CT_SHAPE(100));
    expect_param(set, 3, "encoder.rnn.bias_hh_l0", CT_SHAPE(100));
    expect_param(set, 4, "encoder.rnn.weight_ih_l0_reverse", CT_SHAPE(100, 7));
    expect_param(set, 7, "encoder.rnn.bias_hh_l0_reverse", CT_SHAPE(100));
    expect_param(set, 8, "encoder.rnn.weight_ih_l1", CT_SHAPE(100, 200));
    expect_param(set, 13, "encoder.rnn.weight_hh_l1_reverse", CT_SHAPE(100, 100));
    expect_uniform(set, "encoder.rnn.weight_ih_l0", 0.1);
    expect_uniform(set, "encoder.rnn.weight_hh_l1", 0.1);
    expect_uniform(set, "encoder.rnn.bias_hh_l1_reverse", 0.1);
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_state_free(state);
    ct_params_free(set);
}
END_TEST

START_TEST(rnn_misuse)
{
    const rnn_case c = { .layers = 2, .directions = 1 };
    ct_params *set = new_params(5, CT_F32);
    ct_scope s = ct_scope_begin_no_grad();
    ct_recurrent *r = rnn_of(set, &c, IN);
    ct_state *state = ct_recurrent_begin_state(r, B), *next = state;
    ct_tensor *x = ct_ones(CT_SHAPE(T, B, IN), CT_F32, DEVICE), *two[2];

    ck_assert(ct_nn_rnn(set, "bad", (ct_nn_rnn_options){ .input_size = 3 }) == NULL);
    expect_error(CT_ERR_ARGUMENT, "ct_nn_rnn", "hidden_size");
    ck_assert(ct_nn_rnn(set, "bad", (ct_nn_rnn_options){ .hidden_size = 3, .num_layers = -1 }) ==
              NULL);
    expect_error(CT_ERR_ARGUMENT, "ct_nn_rnn", "num_layers");
    ck_assert(ct_nn_rnn(set, "bad",
                        (ct_nn_rnn_options){ .hidden_size = 3,
                                             .nonlinearity = (ct_nonlinearity)9 }) == NULL);
    expect_error(CT_ERR_ARGUMENT, "ct_nn_rnn", "nonlinearity");
    ck_assert_int_eq(ct_params_count(set), 8);
    ck_assert(ct_recurrent_forward(r, ct_unsqueeze(x, 0), state, &next) == NULL);
    ck_assert(next == NULL);
    expect_error(CT_ERR_SHAPE, "ct_recurrent_forward", "f32[1,5,3,4]");
    ck_assert(ct_recurrent_forward(r, ct_narrow(x, 1, 0, 2), state, &next) == NULL);
    expect_error(CT_ERR_SHAPE, "ct_recurrent_forward", "[2,2,6]");
    ck_assert(ct_recurrent_forward(r, ct_narrow(x, 2, 0, 2), state, &next) == NULL);
    expect_error(CT_ERR_SHAPE, "ct_recurrent_forward", "features");
    two[0] = two[1] = ct_state_get(state, 0);
    ck_assert(ct_recurrent_forward(r, x, ct_state_from_tensors(2, two), &next) == NULL);
    expect_error(CT_ERR_SHAPE, "ct_recurrent_forward", "2 tensors");
    ck_assert(ct_recurrent_forward(r, ct_cast(x, CT_F64), state, &next) == NULL);
    expect_error(CT_ERR_DTYPE, "ct_recurrent_forward", "x f64[5,3,4] ... dtype ... f32");
    ck_assert(ct_recurrent_begin_state(r, -1) == NULL);
    expect_error(CT_ERR_ARGUMENT, "ct_recurrent_begin_state", "batch is -1");
    next = state;
    EXPECT_NO_VALUE(ct_recurrent_forward(r, NULL, state, &next));
    ck_assert_ptr_null(next);
    EXPECT_NO_VALUE(ct_recurrent_forward(NULL, x, state, &next));
    EXPECT_NO_VALUE(ct_recurrent_begin_state(NULL, 1));
    ck_assert(ct_recurrent_forward(r, x, state, &next) != NULL);
    ct_state_free(state);
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(set);
}
END_TEST

/* The memory of a step is freed after it. A run needs memory for the projected input and the output
 * of all steps, and little more, with and without the sequence function. */
START_TEST(inference_in_constant_memory)
{
    const int64_t steps = harness_rounds(200, _i ? 1000 : 5000), b = 4, in = 8, h = 32;
    size_t before, extra, held = (size_t)(2 * steps * b * h) * sizeof(float);
    ct_params *set = new_params(5, CT_F32);
    ct_recurrent *r =
        ct_nn_rnn(set, "rnn", (ct_nn_rnn_options){ .input_size = in, .hidden_size = h });
    ct_scope s = ct_scope_begin_no_grad();
    ct_tensor *x = ct_ones(CT_SHAPE(steps, b, in), CT_F32, DEVICE);
    ct_state *next;

    ct_set_fused_rnn(_i == 0);
    before = ct_memory_get_stats().live_bytes;
    ck_assert(ct_recurrent_forward(r, x, NULL, &next) != NULL);
    extra = ct_memory_get_stats().peak_bytes - before;
    ct_set_fused_rnn(true);
    ck_assert_msg(extra < held + held / 4, "%zu bytes for %zu", extra, held);
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(set);
}
END_TEST

/* If the input consists of rows of a table, the rows are read from the table and never written. */
START_TEST(rows_by_index)
{
    const int32_t ids[6] = { 1, 0, 3, 3, 2, 1 };
    ct_generator g = ct_generator_from_seed(2);
    ct_scope s = ct_scope_begin_no_grad();
    ct_tensor *table = ct_randn(CT_SHAPE(4, 2), CT_F64, CT_CPU, &g), *rows, *indices;
    ct_tensor *x = cti_lazy_gather(table, ct_from_data(ids, CT_SHAPE(3, 2), CT_I32, CT_CPU));
    ct_params *set = ct_params_new((ct_params_options){ .dtype = CT_F64 });
    cti_cell cell = { .kind = CTI_CELL_TANH, .hidden = 2 };
    const ct_cell_step at = { .data = NULL };
    ct_tensor *state = ct_zeros(CT_SHAPE(2, 2), CT_F64, CT_CPU), *other = state, *y, *again;

    cell.w_hh = ct_params_add(set, "w", CT_SHAPE(2, 2), ct_init_normal(0, 1));
    ck_assert(cti_lazy_rows_get(x, &rows, &indices));
    y = cti_fused_rnn(&cell, x, &state, false, &at);
    ck_assert(cti_lazy_rows_get(x, &rows, &indices));
    again = cti_fused_rnn(&cell, ct_clone(x), &other, false, &at);
    ck_assert(!cti_lazy_rows_get(x, &rows, &indices));
    expect_same("y", y, again, 0);
    expect_same("state", state, other, 0);
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(set);
}
END_TEST

/* Single steps with a carried state, as in generation, allocate no memory after a warm-up. */
START_TEST(generation_in_constant_memory)
{
    ct_params *set = new_params(5, CT_F32);
    ct_recurrent *r = ct_nn_rnn(
        set, "rnn", (ct_nn_rnn_options){ .input_size = 8, .hidden_size = 32, .num_layers = 2 });
    ct_state *state = ct_recurrent_begin_state(r, 1);
    ct_memory_stats warm = { 0 }, now;
    int k;

    for (k = 0; k < harness_rounds(100, 2000); k++) {
        ct_scope s = ct_scope_begin_no_grad();
        ct_state *next;

        ct_recurrent_forward(r, ct_ones(CT_SHAPE(1, 1, 8), CT_F32, DEVICE), state, &next);
        ct_state_carry(state, next);
        ck_assert(ct_scope_end(s) == CT_OK);
        now = ct_memory_get_stats();
        if (k == 10)
            warm = now;
        if (k > 10) {
            ck_assert(now.system_allocations == warm.system_allocations);
            ck_assert(now.live_bytes == warm.live_bytes && now.peak_bytes == warm.peak_bytes);
        }
    }
    ct_state_free(state);
    ct_params_free(set);
}
END_TEST

void nn_rnn_cases(Suite *suite)
{
    TCase *tc = harness_case(suite, "rnn");

    tcase_add_loop_test(tc, rnn_is_its_formula, 0, 4 * RNN_CASES);
    tcase_add_loop_test(tc, rnn_goes_on, 0, 2);
    tcase_add_test(tc, rnn_names_and_layouts);
    tcase_add_test(tc, rnn_misuse);
    tcase_add_loop_test(tc, inference_in_constant_memory, 0, 2);
    tcase_add_test(tc, rows_by_index);
    tc = harness_pooled_case(suite, "pool");
    tcase_add_test(tc, generation_in_constant_memory);
}
