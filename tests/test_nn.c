/* test_nn.c - Linear, recurrent modules and their states, losses. */
#include "tests/files.h"
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

static void expect_param(const ct_params *set, int at, const char *name, ct_shape shape)
{
    const ct_param *p = ct_params_at(set, at);
    ct_shape got = ct_param_shape(p);
    int i;

    ck_assert_str_eq(ct_param_name(p), name);
    ck_assert_msg(got.rank == shape.rank, "%s has rank %d", name, got.rank);
    for (i = 0; i < shape.rank; i++)
        ck_assert_msg(got.dim[i] == shape.dim[i], "%s: size %d is %lld", name, i,
                      (long long)got.dim[i]);
}

/* All values of p are in [-bound, bound), and spread over it. */
static void expect_uniform(ct_params *set, const char *name, double bound)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *t = ct_param_value(ct_params_get(set, name));
    double *v = values_of(t), low = v[0], high = v[0];
    int64_t i, n = ct_numel(t);

    for (i = 0; i < n; i++) {
        low = fmin(low, v[i]);
        high = fmax(high, v[i]);
    }
    ck_assert_msg(low >= -bound && high <= bound && low < -bound / 2 && high > bound / 2,
                  "%s: values from %g to %g, bound %g", name, low, high, bound);
    free(v);
    ck_assert(ct_scope_end(s) == CT_OK);
}

/* ---- Linear ---- */

START_TEST(linear_by_hand)
{
    const float w[6] = { 1, 2, 3, -1, 0, 0.5f }, b[2] = { 10, -10 };
    const float x[6] = { 1, 1, 1, 2, 0, -2 };
    const double y[4] = { 16, -10.5, 6, -13 };
    ct_params *set = new_params(5, CT_F32);
    ct_module *l =
        ct_nn_linear(set, "out", (ct_nn_linear_options){ .in_features = 3, .out_features = 2 });
    ct_scope s = ct_scope_begin_no_grad();
    ct_tensor *in = ct_from_data(x, CT_SHAPE(2, 3), CT_F32, DEVICE), *out;

    ck_assert_int_eq(ct_params_count(set), 2);
    expect_param(set, 0, "out.weight", CT_SHAPE(2, 3));
    expect_param(set, 1, "out.bias", CT_SHAPE(2));
    ct_copy_into(ct_param_value(ct_params_at(set, 0)),
                 ct_from_data(w, CT_SHAPE(2, 3), CT_F32, DEVICE));
    ct_copy_into(ct_param_value(ct_params_at(set, 1)),
                 ct_from_data(b, CT_SHAPE(2), CT_F32, DEVICE));
    expect_values("(2,3)", ct_forward(l, in), y, 4, 0);
    out = ct_forward(l, ct_reshape(in, CT_SHAPE(2, 1, 3)));
    expect_values("(2,1,3)", out, y, 4, 0);
    ck_assert(ct_rank(out) == 3 && ct_size(out, 1) == 1 && ct_size(out, 2) == 2);
    out = ct_forward(l, ct_select(in, 0, 1));
    expect_values("(3)", out, y + 2, 2, 0);
    ck_assert_int_eq(ct_rank(out), 1);
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(set);
}
END_TEST

START_TEST(linear_size_inferred)
{
    ct_params *late = new_params(5, CT_F32), *early = new_params(5, CT_F32);
    ct_module *l = ct_nn_linear(late, "l", (ct_nn_linear_options){ .out_features = 40 });
    ct_generator g = ct_generator_from_seed(1);
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_randn(CT_SHAPE(2, 3, 25), CT_F32, DEVICE, &g);

    ct_nn_linear(early, "l", (ct_nn_linear_options){ .in_features = 25, .out_features = 40 });
    ck_assert(ct_param_is_lazy(ct_params_at(late, 0)));
    ck_assert(ct_param_is_lazy(ct_params_at(late, 1)));
    expect_param(late, 0, "l.weight", CT_SHAPE(40, -1));
    ck_assert(ct_forward(l, x) != NULL);
    expect_param(late, 0, "l.weight", CT_SHAPE(40, 25));
    expect_param(late, 1, "l.bias", CT_SHAPE(40));
    expect_uniform(late, "l.weight", 0.2);
    expect_uniform(late, "l.bias", 0.2);
    expect_same("weight", ct_param_value(ct_params_at(late, 0)),
                ct_param_value(ct_params_at(early, 0)), 0);
    expect_same("bias", ct_param_value(ct_params_at(late, 1)),
                ct_param_value(ct_params_at(early, 1)), 0);
    ck_assert(ct_forward(l, ct_ones(CT_SHAPE(4, 24), CT_F32, DEVICE)) == NULL);
    expect_error(CT_ERR_SHAPE, "ct_forward", "f32[4,24]");
    ck_assert(ct_forward(l, ct_ones(CT_SHAPE(4, 25), CT_F64, DEVICE)) == NULL);
    expect_error(CT_ERR_DTYPE, "ct_forward", "weight ... dtype");
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(late);
    ct_params_free(early);
}
END_TEST

/* Rows gathered by index are what multiplying by the one-hot matrix gives, gradients too. */
START_TEST(linear_one_hot)
{
    const int32_t ids[4] = { 2, 0, 3, 2 };
    ct_params *set = new_params(5, CT_F64);
    ct_module *l =
        ct_nn_linear(set, "l", (ct_nn_linear_options){ .out_features = 3, .no_bias = true });
    ct_generator g = ct_generator_from_seed(1);
    ct_tensor *grad[2];
    ct_scope s = ct_scope_begin();
    ct_tensor *hot, *dense, *d, *w;
    int i;

    ck_assert_int_eq(ct_params_count(set), 1);
    hot = ct_one_hot_as(ct_from_data(ids, CT_SHAPE(2, 2), CT_I32, DEVICE), 4, CT_F64);
    dense = ct_clone(hot);
    d = ct_randn(CT_SHAPE(2, 2, 3), CT_F64, DEVICE, &g);
    expect_same("y", ct_forward(l, hot), ct_forward(l, dense), 1e-15);
    w = ct_param_value(ct_params_at(set, 0));
    for (i = 0; i < 2; i++) {
        ct_backward_with(ct_forward(l, i ? dense : hot), d);
        grad[i] = ct_clone(ct_tensor_grad(w));
        ct_params_zero_grad(set);
    }
    expect_same("dweight", grad[0], grad[1], 1e-15);
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(set);
}
END_TEST

/* Of no features y is the bias, which begins as 0. */
START_TEST(linear_of_no_features)
{
    ct_params *set = new_params(5, CT_F64);
    ct_module *l = ct_nn_linear(set, "l", (ct_nn_linear_options){ .out_features = 2 });
    ct_scope s = ct_scope_begin();

    expect_values("y", ct_forward(l, ct_ones(CT_SHAPE(1, 0), CT_F64, DEVICE)), (double[]){ 0, 0 },
                  2, 0);
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(set);
}
END_TEST

START_TEST(linear_misuse)
{
    ct_params *set = new_params(5, CT_F32);
    ct_module *l;
    ct_tensor *x;
    ct_scope s;

    ck_assert(ct_nn_linear(set, "l", (ct_nn_linear_options){ .in_features = 3 }) == NULL);
    expect_error(CT_ERR_ARGUMENT, "ct_nn_linear", "out_features is 0");
    ck_assert(ct_nn_linear(set, "l",
                           (ct_nn_linear_options){ .in_features = -1, .out_features = 2 }) == NULL);
    expect_error(CT_ERR_ARGUMENT, "ct_nn_linear", "in_features is -1");
    ck_assert(ct_nn_linear(set, "", (ct_nn_linear_options){ .out_features = 2 }) == NULL);
    expect_error(CT_ERR_ARGUMENT, "ct_nn_linear", "\"\"");
    ck_assert(ct_nn_linear(NULL, "l", (ct_nn_linear_options){ .out_features = 2 }) == NULL);
    l = ct_nn_linear(set, "l", (ct_nn_linear_options){ .out_features = 2 });
    s = ct_scope_begin();
    x = ct_ones(CT_SHAPE(1, 3), CT_F32, DEVICE);
    EXPECT_NO_VALUE(ct_forward(NULL, x));
    EXPECT_NO_VALUE(ct_forward(l, NULL));
    ck_assert(ct_nn_linear(set, "l",
                           (ct_nn_linear_options){ .out_features = 2, .no_bias = true }) == NULL);
    expect_error(CT_ERR_ARGUMENT, "ct_nn_linear", "l.weight");
    ck_assert(ct_param_materialize(ct_params_get(set, "l.weight"), CT_SHAPE(2, 3)) == CT_OK);
    ck_assert(ct_forward(l, x) != NULL); /* the bias is not settled yet */
    ck_assert(ct_scope_end(s) == CT_OK);
    ck_assert(ct_nn_linear(set, "l", (ct_nn_linear_options){ .out_features = 2 }) == NULL);
    expect_error(CT_ERR_ARGUMENT, "ct_nn_linear", "l.weight");
    ct_params_free(set);
}
END_TEST

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

/* One cell over time: x (T, B, in) -> its half of y (T, B, width) from column first on; h (B, H)
 * is left as it is after the last step. */
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

/* x (T, B, IN), h (layers * directions, B, H), changed -> y (T, B, directions * H), to free */
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

/* Both ways to run: with history, and without. */
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
    if (!recorded) /* nothing of the state given is in the state got */
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

/* A sequence in two halves, the state handed on, is the sequence at once; a one-hot input is its
 * dense copy. */
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
    ck_assert(ct_recurrent_forward(r, ct_narrow(x, 0, 0, 0), state, &next) == NULL);
    expect_error(CT_ERR_SHAPE, "ct_recurrent_forward", "f32[0,3,4]");
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

/* Nothing of a step is left after it: a run needs its input's part of all steps and its output, and
 * little more, be it by whole sequences or by steps. */
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

/* Rows of a table that stand for the input are taken from the table: nobody writes them down. */
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

/* A step at a time, the state carried, as text is generated: once warm, no memory is asked for. */
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

/* ---- a cell of one's own ---- */

/* Two states: h' = h + x, c' = c + call's number, of one column more than h; y = 2 h'. */
static ct_status own_init(void *self, const ct_cell_place *at)
{
    *(int64_t *)self = at->options->hidden_size;
    return CT_OK;
}

static int64_t own_state_size(const void *self, int i)
{
    return *(const int64_t *)self + i;
}

static int64_t own_output_size(const void *self)
{
    return *(const int64_t *)self;
}

static ct_tensor *own_step(void *self, ct_tensor *x, ct_tensor *const *state, ct_tensor **next,
                           const ct_cell_step *at)
{
    (void)self;
    next[0] = ct_add(state[0], x);
    next[1] = at->data ? ct_add_scalar(state[1], *(double *)at->data) : NULL;
    return ct_mul_scalar(next[0], 2);
}

START_TEST(cell_of_ones_own)
{
    static const ct_cell own = { .name = "sum",
                                 .size = sizeof(int64_t),
                                 .states = 2,
                                 .init = own_init,
                                 .state_size = own_state_size,
                                 .output_size = own_output_size,
                                 .step = own_step };
    const double y[8] = { 2, 2, 4, 4, 6, 6, 8, 8 }; /* T = 4, B = 1, size 2 */
    ct_params *set = new_params(5, CT_F64);
    double number = 3;
    ct_recurrent *r =
        ct_nn_recurrent(set, "own", &own, (ct_nn_recurrent_options){ .hidden_size = 2 });
    ct_state *state = ct_recurrent_begin_state(r, 1), *next;
    ct_scope s = _i ? ct_scope_begin() : ct_scope_begin_no_grad();
    ct_tensor *x = ct_ones(CT_SHAPE(4, 1, 2), CT_F64, DEVICE);

    if (_i)
        ct_set_requires_grad(x, true);
    ck_assert_int_eq(ct_state_count(state), 2);
    ck_assert(ct_size(ct_state_get(state, 0), 2) == 2 && ct_size(ct_state_get(state, 1), 2) == 3);
    expect_values(
        "y", ct_recurrent_forward_with(r, x, state, &next, (ct_recurrent_call){ .data = &number }),
        y, 8, 0);
    expect_values("h", ct_state_get(next, 0), (double[]){ 4, 4 }, 2, 0);
    expect_values("c", ct_state_get(next, 1), (double[]){ 12, 12, 12 }, 3, 0);
    ck_assert(ct_recurrent_forward(r, x, state, &next) == NULL && next == NULL);
    expect_error(CT_ERR_SHAPE, "ct_recurrent_forward", "[1,3]");
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_state_free(state);
    ct_params_free(set);
}
END_TEST

/* As many states as there can be; state i grows by i + 1 a step. */
static ct_tensor *growing_step(void *self, ct_tensor *x, ct_tensor *const *state, ct_tensor **next,
                               const ct_cell_step *at)
{
    int i;

    (void)self, (void)at;
    for (i = 0; i < CT_MAX_CELL_STATES; i++)
        next[i] = ct_add_scalar(state[i], i + 1);
    return ct_add(x, next[CT_MAX_CELL_STATES - 1]);
}

static const ct_cell growing = { .name = "growing",
                                 .states = CT_MAX_CELL_STATES,
                                 .step = growing_step };

START_TEST(cell_of_most_states)
{
    static const char *const names[] = { "h_0",  "c_0",  "s2_0", "s3_0",
                                         "s4_0", "s5_0", "s6_0", "s7_0" };
    const int64_t lengths[2] = { 1, 3 };
    ct_params *set = new_params(5, CT_F64);
    ct_recurrent *r = ct_nn_recurrent(
        set, "g", &growing,
        (ct_nn_recurrent_options){ .input_size = 1, .hidden_size = 1, .learn_state = true });
    ct_state *state = ct_recurrent_begin_state(r, 2), *next;
    ct_scope s = _i ? ct_scope_begin() : ct_scope_begin_no_grad();
    ct_tensor *x = ct_ones(CT_SHAPE(3, 2, 1), CT_F64, DEVICE), *y;
    char name[16];
    int i;

    ck_assert_int_eq(ct_state_count(state), CT_MAX_CELL_STATES);
    for (i = 0; i < CT_MAX_CELL_STATES; i++) {
        snprintf(name, sizeof name, "g.%s", names[i]);
        expect_param(set, i, name, CT_SHAPE(1, 1, 1));
        expect_values("begin", ct_state_get(state, i), (double[]){ 0, 0 }, 2, 0);
    }
    y = ct_recurrent_forward_with(
        r, x, _i ? NULL : state, &next,
        (ct_recurrent_call){ .lengths = ct_from_data(lengths, CT_SHAPE(2), CT_I64, DEVICE) });
    expect_values("y", y, (double[]){ 9, 9, 0, 17, 0, 25 }, 6, 0);
    for (i = 0; i < CT_MAX_CELL_STATES; i++)
        expect_values("next", ct_state_get(next, i), (double[]){ i + 1, 3 * (i + 1) }, 2, 0);
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_state_free(state);
    ct_params_free(set);
}
END_TEST

/* A batch of no rows, by every way: results of the right shapes, and gradients. */
START_TEST(empty_batches)
{
    const bool recorded = _i % 2, ragged = _i / 2 % 2;
    ct_params *set = new_params(5, CT_F32);
    ct_recurrent *r =
        ct_nn_lstm(set, "r", (ct_nn_lstm_options){ .hidden_size = 2, .num_layers = 3 });
    ct_state *state = ct_recurrent_begin_state(r, 0), *next;
    ct_scope s = recorded ? ct_scope_begin() : ct_scope_begin_no_grad();
    ct_tensor *x = ct_ones(CT_SHAPE(4, 0, 5), CT_F32, DEVICE), *y;
    ct_recurrent_call call = { .lengths = NULL };
    int i;

    ct_set_fused_rnn(_i / 4);
    ck_assert(ct_size(ct_state_get(state, 1), 0) == 3 && ct_size(ct_state_get(state, 1), 1) == 0 &&
              ct_size(ct_state_get(state, 1), 2) == 2);
    if (ragged)
        call.lengths = ct_zeros(CT_SHAPE(0), CT_I64, DEVICE);
    y = ct_recurrent_forward_with(r, x, state, &next, call);
    expect_ok();
    ck_assert(ct_size(y, 0) == 4 && ct_size(y, 1) == 0 && ct_size(y, 2) == 2);
    for (i = 0; i < 2; i++)
        ck_assert(ct_size(ct_state_get(next, i), 0) == 3 && ct_size(ct_state_get(next, i), 1) == 0);
    if (recorded) {
        ck_assert(ct_backward(ct_sum(y)) == CT_OK);
        expect_values("db", ct_tensor_grad(ct_param_value(ct_params_get(set, "r.bias_ih_l0"))),
                      (double[8]){ 0 }, 8, 0);
    }
    ct_set_fused_rnn(true);
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_state_free(state);
    ct_params_free(set);
}
END_TEST

START_TEST(most_layers)
{
    ct_params *set = new_params(5, CT_F32);
    ct_nn_recurrent_options o = { .input_size = 1, .hidden_size = 1, .num_layers = 4096 };

    ck_assert_int_eq(ct_recurrent_layers(ct_nn_recurrent(set, "a", &growing, o)), 4096);
    o.num_layers++;
    ck_assert(ct_nn_recurrent(set, "b", &growing, o) == NULL);
    expect_error(CT_ERR_ARGUMENT, "ct_nn_recurrent", "num_layers");
    ct_params_free(set);
}
END_TEST

/* A cell that counts its steps, and one whose sequences know no lengths. */
static int steps_taken, sequences_taken;

static ct_tensor *counted_step(void *self, ct_tensor *x, ct_tensor *const *state, ct_tensor **next,
                               const ct_cell_step *at)
{
    (void)self, (void)at;
    steps_taken++;
    return next[0] = ct_add(state[0], x);
}

static ct_tensor *counted_sequence(void *self, ct_tensor *x, ct_tensor **state, bool reverse,
                                   const ct_cell_step *at)
{
    (void)self, (void)state, (void)reverse, (void)at;
    sequences_taken++;
    return ct_mul_scalar(x, 1);
}

/* Steps that no row has are left out, but for the first. */
START_TEST(steps_are_left_out)
{
    static const struct {
        int64_t lengths[2];
        int steps;
    } cases[] = { { { 2, 1 }, 2 }, { { 0, 3 }, 3 }, { { 4, 4 }, 4 },
                  { { 4, 0 }, 4 }, { { 0, 0 }, 1 }, { { 1, 1 }, 1 } };
    static const ct_cell counted = { .name = "counted", .states = 1, .step = counted_step };
    ct_params *set = new_params(5, CT_F64);
    ct_recurrent *r = ct_nn_recurrent(
        set, "r", &counted, (ct_nn_recurrent_options){ .hidden_size = 1, .reverse = _i / 2 });
    size_t i;
    int t, b;

    for (i = 0; i < sizeof cases / sizeof *cases; i++) {
        const int64_t *lengths = cases[i].lengths;
        ct_scope s = _i % 2 ? ct_scope_begin() : ct_scope_begin_no_grad();
        ct_tensor *x = ct_set_requires_grad(ct_ones(CT_SHAPE(4, 2, 1), CT_F64, DEVICE), true), *y;
        ct_state *next;
        double want[8], last[2] = { (double)lengths[0], (double)lengths[1] };

        for (t = 0; t < 4; t++)
            for (b = 0; b < 2; b++)
                want[2 * t + b] = t >= lengths[b] ? 0 : _i / 2 ? (double)(lengths[b] - t) : t + 1;
        steps_taken = 0;
        y = ct_recurrent_forward_with(
            r, x, NULL, &next,
            (ct_recurrent_call){ .lengths = ct_from_data(lengths, CT_SHAPE(2), CT_I64, DEVICE) });
        ck_assert_int_eq(steps_taken, cases[i].steps);
        expect_values("y", y, want, 8, 0);
        expect_values("next", ct_state_get(next, 0), last, 2, 0);
        if (_i % 2)
            ck_assert(ct_backward(ct_sum(y)) == CT_OK);
        ck_assert(ct_scope_end(s) == CT_OK);
    }
    ct_params_free(set);
}
END_TEST

/* Where nothing is dropped no random numbers are drawn. */
START_TEST(nothing_is_drawn)
{
    ct_params *set = new_params(5, CT_F32);
    ct_recurrent *r = ct_nn_gru(
        set, "r", (ct_nn_gru_options){ .input_size = 5, .hidden_size = 2, .num_layers = 2 });
    ct_scope s = ct_scope_begin();
    ct_generator before = *ct_params_generator(set);

    ck_assert(ct_recurrent_forward(r, ct_ones(CT_SHAPE(2, 3, 5), CT_F32, DEVICE), NULL, NULL));
    ck_assert(memcmp(&before, ct_params_generator(set), sizeof before) == 0);
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(set);
}
END_TEST

/* A cell's sequence serves where it may. */
START_TEST(sequences_where_they_serve)
{
    static const ct_cell counted = {
        .name = "counted", .states = 1, .step = counted_step, .sequence = counted_sequence
    };
    ct_params *set = new_params(5, CT_F64);
    ct_recurrent *r =
        ct_nn_recurrent(set, "r", &counted, (ct_nn_recurrent_options){ .hidden_size = 1 });
    int i;

    for (i = 0; i < 4; i++) { /* plain, all rows whole, some not, not wanted */
        ct_scope s = _i ? ct_scope_begin() : ct_scope_begin_no_grad();
        ct_tensor *x = ct_ones(CT_SHAPE(2, 2, 1), CT_F64, DEVICE);
        int64_t lengths[2] = { 2, i == 2 ? 1 : 2 };
        ct_recurrent_call call = { .lengths = NULL };

        if (i > 0)
            call.lengths = ct_from_data(lengths, CT_SHAPE(2), CT_I64, DEVICE);
        ct_set_fused_rnn(i != 3);
        steps_taken = sequences_taken = 0;
        ck_assert(ct_recurrent_forward_with(r, x, NULL, NULL, call) != NULL);
        ck_assert_int_eq(steps_taken, i < 2 ? 0 : 2);
        ck_assert_int_eq(sequences_taken, i < 2);
        ct_set_fused_rnn(true);
        ck_assert(ct_scope_end(s) == CT_OK);
    }
    ct_params_free(set);
}
END_TEST

/* A step of a module of batches first is as that of one of time first; T is 1 or more there, too. */
START_TEST(batches_first)
{
    ct_params *sets[2] = { new_params(5, CT_F64), new_params(5, CT_F64) };
    ct_generator g = ct_generator_from_seed(6);
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_randn(CT_SHAPE(3, 5), CT_F64, DEVICE, &g), *y[2];
    ct_recurrent *r = NULL;
    ct_state *next;
    int i;

    for (i = 0; i < 2; i++) {
        r = ct_nn_gru(sets[i], "r", (ct_nn_gru_options){ .hidden_size = 2, .batch_first = i });
        y[i] = ct_recurrent_step(r, x, NULL, &next);
        expect_ok();
        ck_assert(ct_rank(y[i]) == 2 && ct_size(ct_state_get(next, 0), 1) == 3);
    }
    expect_same("y", y[1], y[0], 0);
    ck_assert(ct_recurrent_forward(r, ct_ones(CT_SHAPE(0, 4, 5), CT_F64, DEVICE), NULL, NULL));
    ck_assert(ct_recurrent_forward(r, ct_ones(CT_SHAPE(4, 0, 5), CT_F64, DEVICE), NULL, NULL) ==
              NULL);
    expect_error(CT_ERR_SHAPE, "ct_recurrent_forward", "f64[4,0,5]");
    ck_assert(ct_recurrent_forward(r, ct_ones(CT_SHAPE(0, 5), CT_F64, DEVICE), NULL, NULL) == NULL);
    expect_error(CT_ERR_SHAPE, "ct_recurrent_forward", "f64[0,5]");
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(sets[0]);
    ct_params_free(sets[1]);
}
END_TEST

/* Options that a module has no use for, by its names. */
START_TEST(options_of_others)
{
    static ct_recurrent *(*const makers[])(ct_params *, const char *, ct_nn_recurrent_options) = {
        ct_nn_rnn, ct_nn_rnn_cell, ct_nn_gru, ct_nn_gru_cell, ct_nn_lstm, ct_nn_lstm_cell
    };
    static const char *const names[] = { "ct_nn_rnn",      "ct_nn_rnn_cell", "ct_nn_gru",
                                         "ct_nn_gru_cell", "ct_nn_lstm",     "ct_nn_lstm_cell" };
    static const struct {
        ct_nn_recurrent_options o;
        int fits; /* the maker's number / 2, or -1 */
        const char *word;
    } cases[] = {
        { { .hidden_size = 3, .nonlinearity = CT_NONLINEARITY_RELU }, 0, "nonlinearity" },
        { { .hidden_size = 3, .reset_before = true }, 1, "reset_before" },
        { { .hidden_size = 3, .proj_size = 2 }, 2, "proj_size" },
        { { .hidden_size = 3, .has_forget_bias = true }, 2, "forget_bias" },
        { { .hidden_size = 3, .forget_bias = 1 }, -1, "forget_bias" },
        { { .hidden_size = 3, .has_forget_bias = true, .forget_bias = 1 }, 2, "forget_bias" },
    };
    ct_params *set = new_params(5, CT_F64);
    char name[32];
    int i, k;

    for (i = 0; i < 6; i++)
        for (k = 0; k < LENGTH(cases); k++) {
            ct_recurrent *r;

            snprintf(name, sizeof name, "r%d_%d", i, k);
            r = makers[i](set, name, cases[k].o);
            ck_assert_msg((r != NULL) == (cases[k].fits == i / 2), "%s, row %d", names[i], k);
            if (r)
                continue;
            if (i <= 3 || cases[k].fits == -1)
                expect_error(CT_ERR_ARGUMENT, names[i],
                             (cases[k].o.has_forget_bias || i > 3) ? "has_forget_bias"
                                                                   : cases[k].word);
            ck_assert_int_eq(ct_error(), i <= 3 || cases[k].fits == -1 ? CT_OK : CT_ERR_ARGUMENT);
            ct_error_clear();
        }
    ck_assert(ct_nn_rnn(set, "a",
                        (ct_nn_rnn_options){ .hidden_size = 1,
                                             .nonlinearity = (ct_nonlinearity)7 }) == NULL);
    expect_error(CT_ERR_ARGUMENT, "ct_nn_rnn", "nonlinearity");
    ck_assert(ct_nn_lstm(set, "a", (ct_nn_lstm_options){ .hidden_size = 2, .proj_size = -1 }) ==
              NULL);
    expect_error(CT_ERR_ARGUMENT, "ct_nn_lstm", "proj_size");
    for (i = 0; i < 5; i++) {
        const ct_nn_recurrent_options more[] = { { .hidden_size = 1, .num_layers = 2 },
                                                 { .hidden_size = 1, .bidirectional = true },
                                                 { .hidden_size = 1, .reverse = true },
                                                 { .hidden_size = 1, .batch_first = true },
                                                 { .hidden_size = 1, .dropout = 0.5 } };
        static const char *const wrong[] = { "num_layers", "bidirectional", "reverse",
                                             "batch_first", "dropout" };

        ck_assert(ct_nn_gru_cell(set, "a", more[i]) == NULL);
        expect_error(CT_ERR_ARGUMENT, "ct_nn_gru_cell", wrong[i]);
    }
    ck_assert(ct_nn_gru_cell(set, "a", (ct_nn_gru_options){ .hidden_size = 1, .num_layers = 1 }) !=
              NULL);
    ct_params_free(set);
}
END_TEST

/* Parameters of the input's size, as many as there is room for; data says how many. */
static int own_parameters;

static ct_status many_init(void *self, const ct_cell_place *at)
{
    int i;

    (void)self;
    for (i = 0; i < own_parameters; i++) {
        char what[16];

        snprintf(what, sizeof what, "w%d", i);
        ct_cell_param(at, what, i % 2 ? CT_SHAPE(3, at->input_size) : CT_SHAPE(at->input_size),
                      ct_init_constant(1));
    }
    ct_cell_param(at, "known", CT_SHAPE(2), ct_init_constant(1)); /* does not count */
    return ct_error();
}

START_TEST(cells_are_checked)
{
    static const ct_cell many = {
        .name = "many", .size = 8, .states = 1, .init = many_init, .step = own_step
    };
    static const ct_cell no_step = { .name = "none", .size = 8, .states = 1 };
    static const ct_cell no_state = { .name = "none", .size = 8, .step = own_step };
    static const ct_cell states = {
        .name = "none", .size = 8, .states = CT_MAX_CELL_STATES + 1, .step = own_step
    };
    const ct_nn_recurrent_options o = { .hidden_size = 2 };
    ct_params *set = new_params(5, CT_F64);

    ck_assert(ct_nn_recurrent(set, "a", NULL, o) == NULL);
    expect_error(CT_ERR_ARGUMENT, "ct_nn_recurrent", "cell is NULL");
    ck_assert(ct_nn_recurrent(set, "a", &no_step, o) == NULL);
    expect_error(CT_ERR_ARGUMENT, "ct_nn_recurrent", "step of the cell is NULL");
    ck_assert(ct_nn_recurrent(set, "a", &no_state, o) == NULL);
    expect_error(CT_ERR_ARGUMENT, "ct_nn_recurrent", "states of the cell is 0");
    ck_assert(ct_nn_recurrent(set, "a", &states, o) == NULL);
    expect_error(CT_ERR_ARGUMENT, "ct_nn_recurrent", "states of the cell is 9");
    ck_assert_int_eq(ct_params_count(set), 0);
    own_parameters = 16;
    ck_assert(ct_nn_recurrent(set, "b", &many, o) != NULL);
    expect_param(set, 15, "b.w15_l0", CT_SHAPE(3, -1));
    expect_param(set, 16, "b.known_l0", CT_SHAPE(2));
    own_parameters = 17;
    ck_assert(ct_nn_recurrent(set, "c", &many, o) == NULL);
    expect_error(CT_ERR_ARGUMENT, "ct_cell_param", "size");
    ck_assert(ct_nn_recurrent(set, "d", &many,
                              (ct_nn_recurrent_options){ .hidden_size = 2, .input_size = 5 }) !=
              NULL);
    ct_params_free(set);
}
END_TEST

/* Steps are of one direction, forward; lengths are whole numbers, one a row, in 0..T. */
START_TEST(steps_and_lengths_are_checked)
{
    ct_scope s = ct_scope_begin();
    ct_params *set = new_params(5, CT_F32);
    ct_recurrent *r = ct_nn_rnn(set, "r", (ct_nn_rnn_options){ .hidden_size = 2 }), *two, *back;
    ct_tensor *x = ct_ones(CT_SHAPE(4, 3, 5), CT_F32, DEVICE), *row = ct_select(x, 0, 0);
    const struct {
        ct_tensor *lengths;
        ct_status status;
        const char *word;
    } cases[] = {
        { ct_ones(CT_SHAPE(3), CT_F32, DEVICE), CT_ERR_DTYPE, "i32 or i64" },
        { ct_ones(CT_SHAPE(4), CT_I32, DEVICE), CT_ERR_SHAPE, "[3]" },
        { ct_ones(CT_SHAPE(3, 1), CT_I64, DEVICE), CT_ERR_SHAPE, "[3]" },
        { ct_from_data((int32_t[]){ 4, 5, 0 }, CT_SHAPE(3), CT_I32, DEVICE), CT_ERR_INDEX,
          "lengths[1]" },
        { ct_from_data((int64_t[]){ 4, 0, -1 }, CT_SHAPE(3), CT_I64, DEVICE), CT_ERR_INDEX,
          "lengths[2]" },
        { ct_from_data((int64_t[]){ 4, 0, 4 }, CT_SHAPE(3), CT_I64, DEVICE), CT_OK, "" },
    };
    ct_state *next;
    size_t i;

    two = ct_nn_rnn(set, "two", (ct_nn_rnn_options){ .hidden_size = 2, .bidirectional = true });
    back = ct_nn_rnn(set, "back", (ct_nn_rnn_options){ .hidden_size = 2, .reverse = true });
    for (i = 0; i < sizeof cases / sizeof *cases; i++) {
        ct_tensor *y = ct_recurrent_forward_with(
            r, x, NULL, &next, (ct_recurrent_call){ .lengths = cases[i].lengths });

        ck_assert_msg(!y == (cases[i].status != CT_OK) && !next == !y, "case %zu", i);
        if (!y)
            expect_error(cases[i].status, "ct_recurrent_forward_with", cases[i].word);
    }
    ck_assert(ct_recurrent_step(r, x, NULL, &next) == NULL && next == NULL);
    expect_error(CT_ERR_SHAPE, "ct_recurrent_step", "f32[4,3,5]");
    ck_assert(ct_recurrent_step(two, row, NULL, &next) == NULL);
    expect_error(CT_ERR_ARGUMENT, "ct_recurrent_step", "bidirectional");
    ck_assert(ct_recurrent_step(back, row, NULL, NULL) == NULL);
    expect_error(CT_ERR_ARGUMENT, "ct_recurrent_step", "reverse");
    EXPECT_NO_VALUE(ct_recurrent_step(NULL, row, NULL, &next));
    EXPECT_NO_VALUE(ct_recurrent_step(r, NULL, NULL, &next));
    EXPECT_NO_VALUE(ct_recurrent_forward(NULL, x, NULL, &next));
    ck_assert_ptr_null(next);
    EXPECT_NO_VALUE(ct_recurrent_forward(r, NULL, NULL, &next));
    ck_assert(ct_recurrent_layers(NULL) == 0 && ct_recurrent_directions(NULL) == 0 &&
              ct_recurrent_hidden_size(NULL) == 0);
    EXPECT_NO_VALUE(ct_recurrent_begin_state(NULL, 3));
    ck_assert(ct_state_count(NULL) == 0);
    expect_ok();
    ck_assert(ct_recurrent_step(r, row, NULL, &next) != NULL && next != NULL);
    ck_assert(ct_scope_end(s) == ct_error());
    ct_params_free(set);
}
END_TEST

static ct_tensor *twice(void *self, ct_tensor *x)
{
    return ct_mul_scalar(x, *(double *)self);
}

START_TEST(modules_are_checked)
{
    ct_scope s = ct_scope_begin();
    ct_params *set = new_params(5, CT_F64);
    ct_tensor *x = ct_ones(CT_SHAPE(2), CT_F64, DEVICE);
    double two = 2;
    ct_module *m = ct_nn_module(set, &two, twice), *both[2] = { m, NULL };

    ck_assert(ct_nn_module(set, &two, NULL) == NULL);
    expect_error(CT_ERR_ARGUMENT, "ct_nn_module", "forward is NULL");
    ck_assert(ct_nn_op(set, NULL) == NULL);
    expect_error(CT_ERR_ARGUMENT, "ct_nn_op", "op is NULL");
    ck_assert(ct_nn_sequential(set, -1, both) == NULL);
    expect_error(CT_ERR_ARGUMENT, "ct_nn_sequential", "count is -1");
    ck_assert(ct_nn_sequential(set, 2, both) == NULL && ct_nn_module(NULL, &two, twice) == NULL &&
              ct_nn_op(NULL, (ct_neg)) == NULL && ct_nn_sequential(NULL, 1, both) == NULL);
    expect_ok(); /* NULL flows */
    EXPECT_NO_VALUE(ct_forward(NULL, x));
    EXPECT_NO_VALUE(ct_forward(m, NULL));
    both[1] = ct_nn_op(set, (ct_neg));
    expect_values("-2 x", ct_forward(ct_nn_sequential(set, 2, both), x), (double[]){ -2, -2 }, 2,
                  0);
    ck_assert(ct_forward(ct_nn_sequential(set, 0, both), x) == x);
    ck_assert(ct_nn_layer_norm(set, "n", (ct_nn_layer_norm_options){ .size = -1 }) == NULL);
    expect_error(CT_ERR_ARGUMENT, "ct_nn_layer_norm", "size is -1");
    ck_assert(ct_nn_layer_norm(set, "n", (ct_nn_layer_norm_options){ .eps = -0.5 }) == NULL);
    expect_error(CT_ERR_ARGUMENT, "ct_nn_layer_norm", "eps is -0.5");
    ck_assert(ct_nn_layer_norm(set, "n", (ct_nn_layer_norm_options){ .eps = NAN }) == NULL);
    ck_assert_int_eq(ct_error(), CT_ERR_ARGUMENT);
    ct_error_clear();
    ck_assert_int_eq(ct_params_count(set), 0);
    ck_assert(ct_nn_layer_norm(NULL, "n", (ct_nn_layer_norm_options){ .size = 2 }) == NULL);
    ck_assert(ct_scope_end(s) == ct_error());
    ct_params_free(set);
}
END_TEST

/* ---- states ---- */

/* An owned state of one tensor (1, 3, 2) with 0..5. */
static ct_state *counting_state(void)
{
    ct_scope s = ct_scope_begin_no_grad();
    ct_tensor *t = ct_reshape(ct_arange(0, 6, 1, CT_F64, DEVICE), CT_SHAPE(1, 3, 2));
    ct_state *state = ct_state_new(1, &t);

    ck_assert(ct_scope_end(s) == CT_OK);
    return state;
}

START_TEST(state_copy_select_zero)
{
    const int64_t rows[4] = { 2, 0, 0, 1 };
    const double picked[8] = { 4, 5, 0, 1, 0, 1, 2, 3 }, all[6] = { 0, 1, 2, 3, 4, 5 };
    ct_state *state = counting_state(), *copy = ct_state_copy_new(state), *beams, *refused;
    ct_scope s = ct_scope_begin();

    ck_assert(ct_state_zero(state) == CT_OK);
    expect_values("zeroed", ct_state_get(state, 0), (double[6]){ 0 }, 6, 0);
    expect_values("copy", ct_state_get(copy, 0), all, 6, 0);
    beams = ct_state_select_new(copy, ct_from_data(rows, CT_SHAPE(4), CT_I64, DEVICE));
    ck_assert(ct_size(ct_state_get(beams, 0), 1) == 4);
    expect_values("selected", ct_state_get(beams, 0), picked, 8, 0);
    ck_assert(ct_state_zero(copy) == CT_OK);
    expect_values("selected", ct_state_get(beams, 0), picked, 8, 0);
    refused = ct_state_select_new(copy, ct_full(CT_SHAPE(1), 3, CT_I64, DEVICE));
    expect_fault(ct_state_get(refused, 0), CT_ERR_INDEX, "ct_state_select_new", "index 3");
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_state_free(state);
    ct_state_free(copy);
    ct_state_free(beams);
    ct_state_free(refused);
}
END_TEST

/* The values move, the history does not, and the buffers stay; also of a state that is learned. */
START_TEST(state_carry)
{
    ct_state *kept = counting_state(), *next;
    const void *buffer = DEVICE == CT_CPU ? ct_data(ct_state_get(kept, 0)) : NULL;
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_set_requires_grad(ct_ones(CT_SHAPE(1, 3, 2), CT_F64, DEVICE), true), *y;

    y = ct_mul_scalar(x, 5);
    next = ct_state_from_tensors(1, &y);
    ck_assert(ct_tensor_requires_grad(ct_state_get(next, 0)));
    ck_assert(ct_state_carry(kept, next) == CT_OK);
    expect_values("kept", ct_state_get(kept, 0), (double[]){ 5, 5, 5, 5, 5, 5 }, 6, 0);
    ck_assert(!ct_tensor_requires_grad(ct_state_get(kept, 0)));
    ck_assert(!buffer || ct_data(ct_state_get(kept, 0)) == buffer);
    ct_set_requires_grad(ct_state_get(kept, 0), true);
    ck_assert(ct_grad_enabled() && ct_state_carry(kept, next) == CT_OK && ct_grad_enabled());
    ck_assert(ct_scope_end(s) == CT_OK);
    s = ct_scope_begin_no_grad();
    ck_assert(ct_state_carry(kept, kept) == CT_OK && !ct_grad_enabled());
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_state_free(kept);
}
END_TEST

START_TEST(state_misuse)
{
    ct_state *kept = counting_state(), *borrowed, *many;
    ct_scope s = ct_scope_begin();
    ct_tensor *other = ct_ones(CT_SHAPE(1, 2, 2), CT_F64, DEVICE);
    ct_tensor *narrow = ct_ones(CT_SHAPE(1, 3, 2), CT_F32, DEVICE), *most[64];
    int i;

    borrowed = ct_state_from_tensors(1, &other);
    ck_assert(ct_state_carry(kept, borrowed) == CT_ERR_SHAPE);
    expect_error(CT_ERR_SHAPE, "ct_state_carry", "f64[1,2,2]");
    ck_assert(ct_state_carry(kept, ct_state_from_tensors(1, &narrow)) == CT_ERR_SHAPE);
    expect_error(CT_ERR_SHAPE, "ct_state_carry", "f32[1,3,2]");
    ck_assert(ct_state_carry(borrowed, kept) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_state_carry", "owned");
    ck_assert(ct_state_carry(kept, NULL) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_state_carry", "next is NULL");
    ck_assert(ct_state_zero(NULL) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_state_zero", "kept is NULL");
    ct_state_free(borrowed);
    expect_error(CT_ERR_SCOPE, "ct_state_free", "scope");
    ck_assert(ct_state_get(kept, 1) == NULL);
    expect_error(CT_ERR_INDEX, "ct_state_get", "1 tensors");
    ck_assert(ct_state_new(0, &other) == NULL);
    expect_error(CT_ERR_ARGUMENT, "ct_state_new", "count is 0");
    ck_assert(ct_state_from_tensors(65, &other) == NULL);
    expect_error(CT_ERR_ARGUMENT, "ct_state_from_tensors", "count is 65");
    for (i = 0; i < 64; i++)
        most[i] = narrow;
    many = ct_state_new(64, most);
    ck_assert(ct_state_count(many) == 64 && ct_state_get(many, 63) != narrow);
    ck_assert(ct_state_get(ct_state_from_tensors(64, most), 63) == narrow);
    ck_assert(ct_state_count(ct_state_detach(many)) == 64);
    ct_state_free(many);
    expect_ok();
    other = NULL;
    EXPECT_NO_VALUE(ct_state_new(1, &other));
    EXPECT_NO_VALUE(ct_state_from_tensors(1, &other));
    EXPECT_NO_VALUE(ct_state_copy_new(NULL));
    ck_assert(ct_state_get(NULL, 0) == NULL);
    EXPECT_NO_VALUE(ct_state_select_new(NULL, narrow));
    EXPECT_NO_VALUE(ct_state_select_new(kept, NULL));
    ct_state_free(NULL);

    other = ct_ones(CT_SHAPE(1, 3, 2), CT_F64, DEVICE);
    borrowed = ct_state_from_tensors(1, &other);
    ct_raise(CT_ERR_ARGUMENT, "test", "an error stands"); /* nothing is carried */
    ck_assert(ct_state_carry(kept, borrowed) == CT_ERR_ARGUMENT);
    ct_error_clear();
    expect_values("kept", ct_state_get(kept, 0), (double[]){ 0, 1, 2, 3, 4, 5 }, 6, 0);
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_state_free(kept);
}
END_TEST

/* ---- cross-entropy ---- */

static const double logits[12] = { 0.5, -1, 2, 0, 3, 3, 3, 3, -2, 0.25, 1, 1.5 };
static const int32_t targets[3] = { 2, 0, 1 };
static const ct_cross_entropy_options each = { .reduction = CT_REDUCTION_NONE };

/* -log softmax(row)[target], smoothed: (1 - s) of the target's, s of the mean over all classes */
static double row_loss(const double *row, int target, double smoothing)
{
    double sum = 0, mean = 0;
    int c;

    for (c = 0; c < 4; c++)
        sum += exp(row[c]);
    for (c = 0; c < 4; c++)
        mean += (log(sum) - row[c]) / 4;
    return (1 - smoothing) * (log(sum) - row[target]) + smoothing * mean;
}

START_TEST(cross_entropy_by_hand)
{
    double l[3], plain[3], grad[12], sum;
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_set_requires_grad(ct_from_data(logits, CT_SHAPE(3, 4), CT_F64, DEVICE), true);
    ct_tensor *y = ct_from_data(targets, CT_SHAPE(3), CT_I32, DEVICE);
    int r, c;

    for (r = 0; r < 3; r++) {
        plain[r] = row_loss(logits + 4 * r, targets[r], 0);
        l[r] = row_loss(logits + 4 * r, targets[r], 0.3);
        for (sum = 0, c = 0; c < 4; c++)
            sum += exp(logits[4 * r + c]);
        for (c = 0; c < 4; c++)
            grad[4 * r + c] = (exp(logits[4 * r + c]) / sum - (c == targets[r])) / 3;
    }
    ct_backward(ct_cross_entropy(x, y));
    expect_values("gradient", ct_tensor_grad(x), grad, 12, 1e-15);
    expect_close("mean", ct_item(ct_cross_entropy(x, y)), (plain[0] + plain[1] + plain[2]) / 3,
                 1e-15);
    expect_values("none", ct_cross_entropy_with(x, y, each), plain, 3, 1e-15);
    expect_values("smoothed",
                  ct_cross_entropy_with(x, y,
                                        (ct_cross_entropy_options){ .reduction = CT_REDUCTION_NONE,
                                                                    .label_smoothing = 0.3 }),
                  l, 3, 1e-15);
    expect_close("sum",
                 ct_item(ct_cross_entropy_with(
                     x, y, (ct_cross_entropy_options){ .reduction = CT_REDUCTION_SUM })),
                 plain[0] + plain[1] + plain[2], 1e-14);
    expect_close(
        "ignoring",
        ct_item(ct_cross_entropy_with(
            x, y, (ct_cross_entropy_options){ .has_ignore_index = true, .ignore_index = 0 })),
        (plain[0] + plain[2]) / 2, 1e-15);
    expect_close("f32", ct_item(ct_cross_entropy(ct_cast(x, CT_F32), ct_cast(y, CT_I64))),
                 (plain[0] + plain[1] + plain[2]) / 3, 1e-6);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* Scores far apart neither overflow nor lose the loss. */
START_TEST(cross_entropy_of_large_scores)
{
    const float far[6] = { 1e4f, 0, -1e4f, -3e38f, 0, 3e38f };
    const int32_t worst[2] = { 2, 2 };
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_from_data(far, CT_SHAPE(2, 3), CT_F32, DEVICE);
    ct_tensor *y = ct_from_data(worst, CT_SHAPE(2), CT_I32, DEVICE);

    expect_values("loss", ct_cross_entropy_with(x, y, each), (double[]){ 2e4, 0 }, 2, 0);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* A class that is ruled out by a score of -inf leaves the losses of the others finite. */
START_TEST(cross_entropy_without_a_class)
{
    const double scores[8] = { 1, -INFINITY, 2, 0, 0, 3, -INFINITY, 1 };
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_set_requires_grad(ct_from_data(scores, CT_SHAPE(2, 4), CT_F64, DEVICE), true);
    ct_tensor *y = ct_from_data((int64_t[]){ 2, 1 }, CT_SHAPE(2), CT_I64, DEVICE);
    ct_tensor *weight = ct_from_data((double[]){ 1, 2, 3, 4 }, CT_SHAPE(4), CT_F64, DEVICE);
    const double plain[2] = { log(exp(1) + exp(2) + 1) - 2, log(1 + exp(3) + exp(1)) - 3 };
    const double weighted[2] = { 3 * plain[0], 2 * plain[1] };

    expect_values("loss", ct_cross_entropy_with(x, y, each), plain, 2, 1e-15);
    expect_values(
        "weighted",
        ct_cross_entropy_with(
            x, y, (ct_cross_entropy_options){ .reduction = CT_REDUCTION_NONE, .weight = weight }),
        weighted, 2, 1e-14);
    ck_assert(ct_backward(ct_cross_entropy(x, y)) == CT_OK);
    ck_assert(isfinite(ct_item(ct_sum(ct_tensor_grad(x)))));
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* Short rows and long ones, few and many, against the formula. */
START_TEST(cross_entropy_of_any_width)
{
    static const int widths[] = { 1, 2, 7, 8, 9, 28, 63, 64, 65, 127, 129, 256, 257, 1000, 2049 };
    ct_dtype dtype = _i ? CT_F64 : CT_F32;
    ct_generator g = ct_generator_from_seed(14);
    size_t w;

    for (w = 0; w < sizeof widths / sizeof *widths; w++) {
        int C = widths[w], rows = 1 + (int)ct_random_below(&g, C < 100 ? 150 : 9), r, c;
        double smoothing = w % 3 ? 0.3 : 0, *x, *d, *want, *grad;
        ct_scope s = ct_scope_begin();
        ct_tensor *logits = ct_randn(CT_SHAPE(rows, C), dtype, DEVICE, &g), *loss, *given;
        int64_t *target = malloc((size_t)rows * sizeof *target);

        logits = ct_set_requires_grad(ct_mul_scalar(logits, 3), true);
        given = ct_randn(CT_SHAPE(rows), dtype, DEVICE, &g);
        x = values_of(logits);
        d = values_of(given);
        want = calloc((size_t)rows, sizeof *want);
        grad = calloc((size_t)rows * (size_t)C, sizeof *grad);
        for (r = 0; r < rows; r++) {
            const double *row = x + r * C;
            double sum = 0, lse;

            target[r] = ct_random_below(&g, 5) ? (int64_t)ct_random_below(&g, (uint64_t)C) : -7;
            for (c = 0; c < C; c++)
                sum += exp(row[c]);
            lse = log(sum);
            for (c = 0; c < C && target[r] >= 0; c++) {
                double q = smoothing / C + (c == target[r] ? 1 - smoothing : 0);

                want[r] += q * (lse - row[c]);
                grad[r * C + c] = d[r] * (exp(row[c] - lse) - q);
            }
        }
        loss = ct_cross_entropy_with(logits, ct_from_data(target, CT_SHAPE(rows), CT_I64, DEVICE),
                                     (ct_cross_entropy_options){ .reduction = CT_REDUCTION_NONE,
                                                                 .label_smoothing = smoothing,
                                                                 .has_ignore_index = true,
                                                                 .ignore_index = -7 });
        expect_values("loss", loss, want, (size_t)rows, _i ? 1e-12 : 2e-5);
        ck_assert(ct_backward_with(loss, given) == CT_OK);
        expect_values("gradient", ct_tensor_grad(logits), grad, (size_t)(rows * C),
                      _i ? 1e-13 : 1e-5);
        ct_tensor_zero_grad(logits); /* and with one gradient for all rows */
        for (r = 0; r < rows * C; r++)
            grad[r] = d[r / C] ? grad[r] / d[r / C] : 0;
        ck_assert(ct_backward(ct_sum(ct_cross_entropy_with(
                      logits, ct_from_data(target, CT_SHAPE(rows), CT_I64, DEVICE),
                      (ct_cross_entropy_options){ .reduction = CT_REDUCTION_SUM,
                                                  .label_smoothing = smoothing,
                                                  .has_ignore_index = true,
                                                  .ignore_index = -7 }))) == CT_OK);
        expect_values("gradient of the sum", ct_tensor_grad(logits), grad, (size_t)(rows * C),
                      _i ? 1e-11 : 1e-5);
        free(target);
        free(x);
        free(d);
        free(want);
        free(grad);
        ck_assert_msg(ct_scope_end(s) == CT_OK, "%s", ct_error_message());
    }
}
END_TEST

/* The loss may be a part of what is differentiated: its gradient comes from further on, and has
 * derivatives of its own. */
static const struct further {
    ct_reduction reduction;
    bool ignores;
    double smoothing;
} furthers[] = {
    { CT_REDUCTION_NONE, false, 0 },   { CT_REDUCTION_NONE, true, 0.1 },
    { CT_REDUCTION_MEAN, true, 0 },    { CT_REDUCTION_SUM, false, 0.25 },
    { CT_REDUCTION_MEAN, false, 0.1 },
};

static ct_tensor *further_on(int count, ct_tensor *const *inputs, void *context)
{
    const struct further *f = context;
    ct_tensor *y = ct_from_data(targets, CT_SHAPE(3), CT_I32, DEVICE);
    ct_tensor *loss =
        ct_cross_entropy_with(inputs[0], y,
                              (ct_cross_entropy_options){ .reduction = f->reduction,
                                                          .label_smoothing = f->smoothing,
                                                          .has_ignore_index = f->ignores,
                                                          .ignore_index = targets[1] });

    (void)count;
    return ct_mul(ct_square(loss), inputs[1]);
}

START_TEST(cross_entropy_of_second_order)
{
    ct_scope s = ct_scope_begin();
    ct_generator g = ct_generator_from_seed(4);
    ct_tensor *in[2] = { ct_from_data(logits, CT_SHAPE(3, 4), CT_F64, DEVICE),
                         ct_from_data((double[]){ 0.5, -1, 2 }, CT_SHAPE(3), CT_F64, DEVICE) };

    ct_set_requires_grad(in[0], true);
    ct_set_requires_grad(in[1], true);
    ck_assert_msg(ct_gradcheck(further_on, 2, in, (void *)&furthers[_i], &g, 0, 0) &&
                      ct_gradgradcheck(further_on, 2, in, (void *)&furthers[_i], &g, 0, 0),
                  "%s", ct_error_message());
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

START_TEST(cross_entropy_misuse)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_from_data(logits, CT_SHAPE(3, 4), CT_F64, DEVICE);
    ct_tensor *y = ct_from_data(targets, CT_SHAPE(3), CT_I32, DEVICE), *wrong;
    int i, k;

    wrong = ct_from_data((int32_t[]){ 1, 4, 0 }, CT_SHAPE(3), CT_I32, DEVICE);
    expect_fault(ct_cross_entropy(x, wrong), CT_ERR_INDEX, "ct_cross_entropy", "target 4");
    wrong = ct_from_data((int32_t[]){ 1, 2, -1 }, CT_SHAPE(3), CT_I32, DEVICE);
    expect_fault(ct_cross_entropy(x, wrong), CT_ERR_INDEX, "ct_cross_entropy", "target -1");
    ck_assert(ct_cross_entropy(x, ct_narrow(y, 0, 0, 2)) == NULL);
    expect_error(CT_ERR_SHAPE, "ct_cross_entropy", "f64[3,4]");
    ck_assert(ct_cross_entropy(x, ct_cast(y, CT_BOOL)) == NULL);
    expect_error(CT_ERR_DTYPE, "ct_cross_entropy", "i32 or i64");
    ck_assert(ct_cross_entropy(y, y) == NULL);
    expect_error(CT_ERR_DTYPE, "ct_cross_entropy", "f32 or f64");
    ck_assert(ct_cross_entropy_with(x, y, (ct_cross_entropy_options){ .label_smoothing = 1.5 }) ==
              NULL);
    expect_error(CT_ERR_ARGUMENT, "ct_cross_entropy_with", "label_smoothing is 1.5");
    for (i = 0; i < 3; i++) {
        ck_assert(ct_cross_entropy_with(x, y,
                                        (ct_cross_entropy_options){
                                            .label_smoothing = (double[]){ -0.1, 1.1, NAN }[i] }) ==
                  NULL);
        ck_assert_int_eq(ct_error(), CT_ERR_ARGUMENT);
        ct_error_clear();
    }
    ck_assert(ct_cross_entropy_with(x, y, (ct_cross_entropy_options){ .label_smoothing = 1 }));
    for (i = 0; i < 3; i++) { /* no classes, no axis of them, two of them */
        ct_tensor *odd =
            ct_zeros((ct_shape[]){ CT_SHAPE(3, 0), CT_SCALAR, CT_SHAPE(4, 3) }[i], CT_F64, DEVICE);
        ct_tensor *of[2] = { i == 1 ? ct_zeros(CT_SCALAR, CT_I32, DEVICE) : y, i < 2 ? odd : x };

        for (k = 0; k < 2; k++) {
            ck_assert(ct_cross_entropy(odd, of[k]) == NULL);
            ck_assert_int_eq(ct_error(), CT_ERR_SHAPE);
            ct_error_clear();
        }
    }
    for (i = 0; i < 2; i++) /* a weight for each class */
        for (k = 0; k < 2; k++) {
            wrong = ct_ones(i ? CT_SHAPE(3) : CT_SHAPE(4, 1), CT_F64, DEVICE);
            ck_assert(ct_cross_entropy_with(x, k ? ct_ones(CT_SHAPE(3, 4), CT_F64, DEVICE) : y,
                                            (ct_cross_entropy_options){ .weight = wrong }) == NULL);
            ck_assert_int_eq(ct_error(), CT_ERR_SHAPE);
            ct_error_clear();
        }
    ck_assert(ct_cross_entropy_with(x, ct_ones(CT_SHAPE(3, 4), CT_F64, DEVICE),
                                    (ct_cross_entropy_options){ .has_ignore_index = true }) ==
              NULL);
    ck_assert_int_eq(ct_error(), CT_ERR_ARGUMENT);
    ct_error_clear();
    for (i = 0; i < 2; i++) { /* does not broadcast, or to more */
        wrong = ct_ones(i ? CT_SHAPE(2, 3, 4) : CT_SHAPE(3), CT_F64, DEVICE);
        ck_assert(ct_bce_with_logits(x, x, (ct_bce_options){ .weight = wrong }) == NULL);
        ck_assert_int_eq(ct_error(), CT_ERR_SHAPE);
        ct_error_clear();
    }
    EXPECT_NO_VALUE(ct_cross_entropy(NULL, y));
    EXPECT_NO_VALUE(ct_cross_entropy(x, NULL));
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* ---- want of memory ---- */

#define THINGS 9 /* that are tried */

/* Unless an error stood before, there is a state or an error now. */
static ct_state *expect_state(bool fine, ct_state *s)
{
    ck_assert(!fine || (s != NULL) == (ct_ok() != 0));
    return s;
}

/* y of a module over (2, 2, 4), with everything that a call can have. */
static ct_tensor *call_all(ct_recurrent *r)
{
    ct_tensor *x = ct_ones(CT_SHAPE(2, 2, 4), CT_F64, CT_CPU), *y = NULL;
    ct_state *begin = expect_state(ct_ok(), ct_recurrent_begin_state(r, 2)), *next, *more;
    ct_recurrent_call call = {
        .lengths = ct_from_data((int32_t[]){ 2, 1 }, CT_SHAPE(2), CT_I32, CT_CPU),
        .reset = ct_from_data((bool[]){ true, false }, CT_SHAPE(2), CT_BOOL, CT_CPU)
    };
    ct_tensor *rows = ct_ones(CT_SHAPE(3), CT_I64, CT_CPU);

    if (ct_ok()) {
        y = ct_recurrent_forward_with(r, x, begin, &next, call);
        ck_assert((y != NULL) == (ct_ok() != 0) && (next != NULL) == (y != NULL));
        more = expect_state(ct_ok(), ct_state_copy_new(next));
        ct_state_free(more);
        more = expect_state(ct_ok(), ct_state_select_new(next, rows));
        ct_state_free(more);
        more = expect_state(ct_ok(), ct_state_detach(next));
        more = expect_state(ct_ok(), ct_state_to(more, CT_CPU));
        ck_assert((ct_state_carry(begin, more) == CT_OK) == (ct_ok() != 0));
    }
    ct_state_free(begin);
    return ct_ok() ? y : NULL;
}

static ct_tensor *m_plain(ct_params *set)
{
    return call_all(
        ct_nn_rnn(set, "r", (ct_nn_rnn_options){ .hidden_size = 2, .bidirectional = true }));
}

static ct_tensor *m_steps(ct_params *set)
{
    ct_tensor *y;

    ct_set_fused_rnn(false);
    y = call_all(ct_nn_lstm(set, "r", (ct_nn_lstm_options){ .hidden_size = 2 }));
    ct_set_fused_rnn(true);
    return y;
}

static ct_tensor *m_dropout(ct_params *set)
{
    return call_all(ct_nn_gru(
        set, "r",
        (ct_nn_gru_options){
            .hidden_size = 2, .num_layers = 2, .dropout = 0.5, .recurrent_dropout = 0.5 }));
}

static ct_tensor *m_all(ct_params *set)
{
    return call_all(ct_nn_lstm(set, "r",
                               (ct_nn_lstm_options){ .input_size = 4,
                                                     .hidden_size = 3,
                                                     .proj_size = 2,
                                                     .layer_norm = true,
                                                     .learn_state = true,
                                                     .has_forget_bias = true,
                                                     .forget_bias = 1 }));
}

static ct_tensor *m_lstm(ct_params *set)
{
    return call_all(
        ct_nn_lstm(set, "r", (ct_nn_lstm_options){ .hidden_size = 2, .reverse = true }));
}

static ct_tensor *m_one_hot(ct_params *set)
{
    ct_recurrent *r = ct_nn_gru(set, "r", (ct_nn_gru_options){ .hidden_size = 2 });
    ct_tensor *ids = ct_zeros(CT_SHAPE(3, 2), CT_I64, CT_CPU);

    return ct_recurrent_forward(r, ct_one_hot_as(ids, 4, CT_F64), NULL, NULL);
}

static ct_tensor *m_inits(ct_params *set)
{
    const ct_init inits[] = { ct_init_constant(1),       ct_init_uniform(-1, 1),
                              ct_init_normal(0, 1),      ct_init_truncated_normal(0, 1, -1, 1),
                              ct_init_orthogonal(1),     ct_init_orthogonal_parts(1, 3),
                              ct_init_xavier_uniform(1), ct_init_kaiming_normal(0, CT_FAN_IN),
                              ct_init_lecun_normal() };
    ct_tensor *t = NULL;
    size_t i;
    int k;

    for (i = 0; i < sizeof inits / sizeof *inits && ct_ok(); i++) {
        char name[8];

        snprintf(name, sizeof name, "p%zu", i);
        t = ct_param_value(ct_params_add(set, name, CT_SHAPE(3, 2), inits[i]));
        ck_assert((t != NULL) == (ct_ok() != 0));
        if (t) {
            double *v = values_of(t), size = 0;

            for (k = 0; k < 6; k++)
                size = !(fabs(v[k]) <= size) ? fabs(v[k]) : size;
            ck_assert_msg(size > 0 && size < 6, "init %zu: %g", i, size);
            free(v);
        }
    }
    return t;
}

static ct_tensor *m_modules(ct_params *set)
{
    ct_module *net = ct_nn_sequential(
        set, 5,
        (ct_module *[]){
            ct_nn_embedding(set, "e", (ct_nn_embedding_options){ .rows = 3, .size = 4 }),
            ct_nn_layer_norm(set, "n", (ct_nn_layer_norm_options){ .size = 0 }),
            ct_nn_dropout(set, 0.5), ct_nn_op(set, (ct_neg)),
            ct_nn_linear(set, "l", (ct_nn_linear_options){ .out_features = 2 }) });

    return ct_forward(net, ct_ones(CT_SHAPE(2, 2), CT_I64, CT_CPU));
}

static ct_tensor *m_losses(ct_params *set)
{
    ct_param *p = ct_params_add(set, "p", CT_SHAPE(3, 4), ct_init_uniform(-1, 1));
    ct_tensor *x = ct_param_value(p), *y = ct_from_data(targets, CT_SHAPE(3), CT_I32, CT_CPU);
    ct_tensor *one = ct_ones(CT_SHAPE(3, 4), CT_F64, CT_CPU), *all[9];
    ct_tensor *weight = ct_ones(CT_SHAPE(4), CT_F64, CT_CPU);
    ct_cross_entropy_options o = { .weight = weight,
                                   .label_smoothing = 0.1,
                                   .has_ignore_index = true,
                                   .ignore_index = targets[0] };

    if (!ct_ok())
        return NULL;
    all[0] = ct_cross_entropy(x, y);
    all[1] = ct_cross_entropy_with(x, y, o);
    o.has_ignore_index = false;
    all[2] = ct_cross_entropy_with(x, one, o);
    o.label_smoothing = 0;
    all[3] = ct_nll_loss(ct_log_softmax(x, 1), y, o);
    all[4] = ct_mse_loss(x, one, CT_REDUCTION_MEAN);
    all[5] = ct_l1_loss(x, one, CT_REDUCTION_SUM);
    all[6] = ct_huber_loss(x, one, 1, CT_REDUCTION_MEAN);
    all[7] = ct_bce_with_logits(x, one, (ct_bce_options){ .reduction = CT_REDUCTION_MEAN });
    all[8] = ct_bce_with_logits(x, one, (ct_bce_options){ .weight = weight, .pos_weight = weight });
    return ct_stack(9, all, 0);
}

/* Each request for memory fails, and all after it or it alone (which storage may ask for again):
 * that is the error, and there is no result. Without history, with it and backward, and what comes
 * after the forward pass in backward twice. */
START_TEST(memory_fails)
{
    static ct_tensor *(*const what[])(ct_params *) = { m_plain, m_steps,   m_dropout,
                                                       m_all,   m_lstm,    m_one_hot,
                                                       m_inits, m_modules, m_losses };
    const bool on = _i % 5 > 2, recorded = _i % 5 % 3 > 0, twice = _i % 5 == 2;
    const int step = twice && !harness_full() ? 7 : 1;
    int k, done, forward = 0;

    ck_assert_int_eq(sizeof what / sizeof *what, THINGS);
    for (k = 0, done = 0; !done; k = twice && k < forward ? forward : k + step) {
        ct_params *set;
        ct_tensor *y = NULL, *of, *grad;
        ct_scope s;

        ct_memory_trim();
        set = ct_params_new((ct_params_options){ .dtype = CT_F64, .seed = 5 });
        s = recorded ? ct_scope_begin() : ct_scope_begin_no_grad();
        (on && k ? fail_allocations_from : fail_allocation)(k);
        y = what[_i / 5](set);
        forward = k ? forward : allocations_seen;
        ck_assert_msg((y != NULL) == (ct_ok() != 0), "request %d: %s", k, ct_error_message());
        if (y && recorded && ct_tensor_requires_grad(y)) {
            y = ct_sum(y);
            of = ct_param_value(ct_params_at(set, 0));
            if (!twice)
                ct_backward(y);
            else if (ct_grad(1, &y, 1, &of, NULL, true, &grad) == CT_OK &&
                     ct_tensor_requires_grad(grad))
                ct_backward(ct_sum(ct_square(grad)));
        }
        done = k && allocations_seen < k;
        fail_nothing();
        ck_assert_msg(ct_ok() || ct_error() == CT_ERR_MEMORY, "request %d: %s", k,
                      ct_error_message());
        ck_assert((k && !done) || ct_ok());
        ck_assert_msg(!on || !k || done == (ct_ok() != 0), "request %d is not missed", k);
        ct_error_clear();
        ck_assert(ct_scope_end(s) == CT_OK);
        ct_params_free(set);
    }
    ck_assert_int_gt(k, 10);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("nn");
    TCase *tc = harness_case(suite, "linear");

    tcase_add_test(tc, linear_by_hand);
    tcase_add_test(tc, linear_size_inferred);
    tcase_add_test(tc, linear_one_hot);
    tcase_add_test(tc, linear_of_no_features);
    tcase_add_test(tc, linear_misuse);
    tc = harness_case(suite, "rnn");
    tcase_add_loop_test(tc, rnn_is_its_formula, 0, 4 * RNN_CASES);
    tcase_add_loop_test(tc, rnn_goes_on, 0, 2);
    tcase_add_test(tc, rnn_names_and_layouts);
    tcase_add_test(tc, rnn_misuse);
    tcase_add_loop_test(tc, inference_in_constant_memory, 0, 2);
    tcase_add_test(tc, rows_by_index);
    tcase_add_loop_test(tc, cell_of_ones_own, 0, 2);
    tcase_add_loop_test(tc, cell_of_most_states, 0, 2);
    tcase_add_loop_test(tc, empty_batches, 0, 8);
    tcase_add_test(tc, most_layers);
    tcase_add_loop_test(tc, steps_are_left_out, 0, 4);
    tcase_add_loop_test(tc, sequences_where_they_serve, 0, 2);
    tcase_add_test(tc, nothing_is_drawn);
    tcase_add_test(tc, batches_first);
    tcase_add_test(tc, options_of_others);
    tcase_add_test(tc, cells_are_checked);
    tcase_add_test(tc, steps_and_lengths_are_checked);
    tcase_add_test(tc, modules_are_checked);
    tc = harness_pooled_case(suite, "pool");
    tcase_add_test(tc, generation_in_constant_memory);
    tc = harness_case(suite, "state");
    tcase_add_test(tc, state_copy_select_zero);
    tcase_add_test(tc, state_carry);
    tcase_add_test(tc, state_misuse);
    tc = harness_case(suite, "cross_entropy");
    tcase_add_test(tc, cross_entropy_by_hand);
    tcase_add_test(tc, cross_entropy_of_large_scores);
    tcase_add_test(tc, cross_entropy_without_a_class);
    tcase_add_loop_test(tc, cross_entropy_of_any_width, 0, 2);
    tcase_add_loop_test(tc, cross_entropy_of_second_order, 0, LENGTH(furthers));
    tcase_add_test(tc, cross_entropy_misuse);
    tc = harness_case(suite, "memory");
    tcase_add_loop_test(tc, memory_fails, 0, 5 * THINGS);
    return harness_run(suite);
}
