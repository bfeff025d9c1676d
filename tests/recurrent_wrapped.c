/* SPDX-License-Identifier: MIT */
/* recurrent_wrapped.c - cells of a user's around the library's: zoneout (Krueger et al. 2016), which changes the
 * state after each step, and a residual connection, which changes y alone; minGRU and minLSTM. */
#include <cotangent.h>

#include "tests/harness.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/test_recurrent.h"

/* ---- zoneout: each unit keeps its old value with a probability ---- */

typedef struct zoneout {
    ct_cell_inner *inner;
    double rate[2]; /* for h and c */
    int states;
} zoneout;

static ct_status zoneout_init(void *self, const ct_cell_place *at)
{
    zoneout *z = self;
    const ct_cell *inner = at->cell->states == 2 ? ct_cell_lstm() : ct_cell_gru();

    z->states = inner->states;
    memcpy(z->rate, at->options->cell_options, sizeof z->rate);
    z->inner = ct_cell_inner_add(at, inner);
    return ct_error();
}

static ct_tensor *zoneout_project(void *self, ct_tensor *x, const ct_cell_step *at)
{
    return ct_cell_inner_project(((zoneout *)self)->inner, x, at);
}

/* next + keep (state - next), keep drawn with the probability rate, or rate itself in evaluation */
static ct_tensor *zoneout_mix(ct_tensor *next, ct_tensor *state, double rate,
                              const ct_cell_step *at)
{
    ct_tensor *keep = ct_full(ct_tensor_shape(next), rate, ct_tensor_dtype(next), DEVICE);

    if (at->training)
        keep = ct_bernoulli(keep, at->generator);
    return ct_add(next, ct_mul(keep, ct_sub(state, next)));
}

static ct_tensor *zoneout_step(void *self, ct_tensor *x, ct_tensor *const *state, ct_tensor **next,
                               const ct_cell_step *at)
{
    zoneout *z = self;

    if (!ct_cell_inner_step(z->inner, x, state, next, at))
        return NULL;
    for (int i = 0; i < z->states; i++)
        next[i] = zoneout_mix(next[i], state[i], z->rate[i], at);
    return next[0];
}

static int64_t zoneout_state_size(const void *self, int i)
{
    return ct_cell_inner_state_size(((const zoneout *)self)->inner, i);
}

/* ---- residual: y = x + h, of whole sequences if the inner cell has them ---- */

static int sequences; /* how many calls the whole-sequence op took */

static ct_status residual_init(void *self, const ct_cell_place *at)
{
    *(ct_cell_inner **)self =
        ct_cell_inner_add(at, at->cell->states == 2 ? ct_cell_lstm() : ct_cell_gru());
    return ct_error();
}

static ct_tensor *residual_step(void *self, ct_tensor *x, ct_tensor *const *state, ct_tensor **next,
                                const ct_cell_step *at)
{
    ct_cell_inner *inner = *(ct_cell_inner **)self;

    return ct_add(x,
                  ct_cell_inner_step(inner, ct_cell_inner_project(inner, x, at), state, next, at));
}

static ct_tensor *residual_sequence(void *self, ct_tensor *x, ct_tensor **state, bool reverse,
                                    const ct_cell_step *at)
{
    ct_cell_inner *inner = *(ct_cell_inner **)self;
    ct_tensor *y =
        ct_cell_inner_sequence(inner, ct_cell_inner_project(inner, x, at), state, reverse, at);

    sequences += y != NULL;
    return y ? ct_add(x, y) : NULL;
}

/* kinds 0 and 1: around a GRU and an LSTM */
static const ct_cell zoneout_cells[] = {
    { .name = "zoneout GRU",
      .size = sizeof(zoneout),
      .states = 1,
      .init = zoneout_init,
      .state_size = zoneout_state_size,
      .step = zoneout_step,
      .project = zoneout_project },
    { .name = "zoneout LSTM",
      .size = sizeof(zoneout),
      .states = 2,
      .init = zoneout_init,
      .state_size = zoneout_state_size,
      .step = zoneout_step,
      .project = zoneout_project },
};

static const ct_cell residual_cells[] = {
    { .name = "residual GRU",
      .size = sizeof(ct_cell_inner *),
      .states = 1,
      .init = residual_init,
      .step = residual_step,
      .sequence = residual_sequence,
      .lengths = true },
    { .name = "residual LSTM",
      .size = sizeof(ct_cell_inner *),
      .states = 2,
      .init = residual_init,
      .step = residual_step,
      .sequence = residual_sequence,
      .lengths = true },
};

/* ---- one model and its derivatives ---- */

enum { STEPS = 4, ROWS = 3, IN = 5, HIDDEN = 5, WEIGHTS = 8 };

typedef struct wrapped {
    ct_params *params;
    ct_recurrent *r;
    const int64_t *lengths; /* may be NULL */
    bool checkpoint;
} wrapped;

static ct_recurrent *plain_module(ct_params *params, int kind, ct_nn_recurrent_options o)
{
    return kind ? ct_nn_lstm(params, "m", o) : ct_nn_gru(params, "m", o);
}

/* Two layers. cell is NULL for the module of the library. */
static wrapped wrapped_new(const ct_cell *cell, int kind, const double *rate, bool bidirectional)
{
    const ct_nn_recurrent_options o = { .hidden_size = HIDDEN,
                                        .num_layers = bidirectional ? 1 : 2,
                                        .bidirectional = bidirectional,
                                        .cell_options = rate };
    wrapped w = { .params = new_params(3, CT_F64) };

    w.r = cell ? ct_nn_recurrent(w.params, "m", cell, o) : plain_module(w.params, kind, o);
    expect_ok();
    return w;
}

static ct_tensor *wrapped_x(void)
{
    ct_generator g = ct_generator_from_seed(11);

    return random_normal(&g, CT_SHAPE(STEPS, ROWS, IN), CT_F64);
}

static bool wrapped_run(void *context, int n, ct_tensor *const *in, int m, ct_tensor **out)
{
    const wrapped *w = context;
    ct_recurrent_call call = { .lengths = NULL };

    (void)n, (void)m;
    if (w->lengths)
        call.lengths = ct_from_data(w->lengths, CT_SHAPE(ROWS), CT_I64, DEVICE);
    out[0] = ct_recurrent_forward_with(w->r, in[0], NULL, NULL, call);
    return out[0] != NULL;
}

static ct_tensor *wrapped_forward(const wrapped *w, ct_tensor *x)
{
    ct_tensor *y = NULL;

    *ct_params_generator(w->params) = ct_generator_from_seed(5); /* the same masks */
    if (w->checkpoint)
        ct_activation_checkpoint(wrapped_run, (void *)w, ct_params_generator(w->params), 1, &x, 1,
                                 &y);
    else
        wrapped_run((void *)w, 1, &x, 1, &y);
    return y;
}

/* y, dx, the gradients of all parameters, and of a number made from dx the second gradients. */
typedef struct derivatives {
    ct_tensor *y, *first[WEIGHTS + 1], *second[WEIGHTS + 1];
    int count;
} derivatives;

static derivatives derivatives_of(const wrapped *w)
{
    derivatives d = { .count = 1 + ct_params_count(w->params) };
    ct_tensor *x = ct_set_requires_grad(wrapped_x(), true), *in[WEIGHTS + 1] = { x }, *loss;

    ct_generator g = ct_generator_from_seed(12);

    d.y = wrapped_forward(w, x);
    expect_ok();
    for (int i = 1; i < d.count; i++)
        in[i] = ct_param_value(ct_params_at(w->params, i - 1));
    loss = ct_sum(ct_mul(d.y, random_normal(&g, ct_tensor_shape(d.y), CT_F64)));
    ck_assert(ct_grad(1, &loss, d.count, in, NULL, true, d.first) == CT_OK);
    loss = ct_sum(ct_square(d.first[0]));
    ck_assert(ct_grad(1, &loss, d.count, in, NULL, false, d.second) == CT_OK);
    return d;
}

static void expect_same_derivatives(const char *what, const derivatives *a, const derivatives *b)
{
    ck_assert_int_eq(a->count, b->count);
    expect_same(what, a->y, b->y, 1e-12);
    for (int i = 0; i < a->count; i++) {
        expect_same(what, a->first[i], b->first[i], 1e-12);
        expect_same(what, a->second[i], b->second[i], 1e-12);
    }
}

/* ---- the tests: _i is the kind of the inner cell ---- */

static const double no_rate[2] = { 0, 0 }, usual_rate[2] = { 0.5, 0.25 };

static void wrapped_names_are_plain(const wrapped *w, const wrapped *plain)
{
    ck_assert_int_eq(ct_params_count(w->params), ct_params_count(plain->params));
    for (int i = 0; i < ct_params_count(w->params); i++)
        ck_assert_str_eq(ct_param_name(ct_params_at(w->params, i)),
                         ct_param_name(ct_params_at(plain->params, i)));
}

/* Without zoneout the wrapper is the inner cell, with the same names and initial values. */
START_TEST(test_zoneout_of_nothing)
{
    wrapped w = wrapped_new(&zoneout_cells[_i], _i, no_rate, false);
    wrapped plain = wrapped_new(NULL, _i, NULL, false);
    ct_scope s = ct_scope_begin();
    derivatives a = derivatives_of(&w), b = derivatives_of(&plain);

    wrapped_names_are_plain(&w, &plain);
    expect_same_derivatives("zoneout 0", &a, &b);
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(w.params);
    ct_params_free(plain.params);
}
END_TEST

/* One layer, written out with single steps of the library's module. */
static ct_tensor *zoneout_by_hand(ct_recurrent *r, ct_tensor *x, const ct_cell_step *at)
{
    ct_state *state = NULL, *next;
    ct_tensor *y[STEPS], *part[2];

    for (int t = 0; t < STEPS; t++) {
        ct_recurrent_step(r, ct_select(x, 0, t), state, &next);
        for (int i = 0; i < ct_state_count(next); i++) {
            ct_tensor *n = ct_select(ct_state_get(next, i), 0, 0);
            ct_tensor *old = state ? ct_select(ct_state_get(state, i), 0, 0)
                                   : ct_zeros(ct_tensor_shape(n), CT_F64, DEVICE);

            part[i] = ct_unsqueeze(zoneout_mix(n, old, usual_rate[i], at), 0);
        }
        state = ct_state_from_tensors(ct_state_count(next), part);
        y[t] = ct_select(part[0], 0, 0);
    }
    return ct_stack(STEPS, y, 0);
}

/* Bit 0 of _i: LSTM; bit 1: training. */
START_TEST(test_zoneout_values)
{
    const ct_nn_recurrent_options o = { .hidden_size = HIDDEN, .cell_options = usual_rate };
    ct_params *set = new_params(3, CT_F64), *other = new_params(3, CT_F64);
    ct_recurrent *r = ct_nn_recurrent(set, "m", &zoneout_cells[_i & 1], o);
    ct_recurrent *plain = plain_module(other, _i & 1, o);
    ct_scope s = ct_scope_begin_no_grad();
    ct_generator g = ct_generator_from_seed(5);
    ct_cell_step at = { .training = _i & 2, .generator = &g };
    ct_tensor *want = zoneout_by_hand(plain, wrapped_x(), &at);

    ct_params_train(set, _i & 2);
    *ct_params_generator(set) = ct_generator_from_seed(5);
    expect_same("zoneout", ct_recurrent_forward(r, wrapped_x(), NULL, NULL), want, 1e-14);
    expect_ok();
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(set);
    ct_params_free(other);
}
END_TEST

/* Under activation checkpointing and with fused_rnn off, values and derivatives are the same. Bit 0 of _i:
 * LSTM; bit 1: training; bit 2: unequal lengths; bit 3: the residual cell, in both directions. */
START_TEST(test_wrapped_ways)
{
    static const int64_t lengths[ROWS] = { 2, STEPS, 0 };
    const bool residual = _i & 8;
    wrapped w = wrapped_new(residual ? &residual_cells[_i & 1] : &zoneout_cells[_i & 1], _i & 1,
                            usual_rate, residual);
    ct_scope s = ct_scope_begin();
    derivatives way[3];

    w.lengths = _i & 4 ? lengths : NULL;
    ct_params_train(w.params, _i & 2);
    sequences = 0;
    for (int i = 0; i < 3; i++) {
        w.checkpoint = i == 1;
        ct_set_fused_rnn(i < 2);
        way[i] = derivatives_of(&w);
    }
    ct_set_fused_rnn(true);
    /* two directions: one run, and at least two under the checkpoint */
    ck_assert(residual ? sequences >= 6 : sequences == 0);
    expect_same_derivatives("checkpoint", &way[1], &way[0]);
    expect_same_derivatives("fused_rnn off", &way[2], &way[0]);
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(w.params);
}
END_TEST

static ct_tensor *wrapped_call(int count, ct_tensor *const *in, void *context)
{
    (void)count;
    return wrapped_forward(context, in[0]);
}

/* Bit 0 of _i: LSTM; bit 1: residual. */
START_TEST(test_wrapped_gradcheck)
{
    wrapped w = wrapped_new(_i & 2 ? &residual_cells[_i & 1] : &zoneout_cells[_i & 1], _i & 1,
                            usual_rate, false);
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_set_requires_grad(wrapped_x(), true);
    ct_generator g = ct_generator_from_seed(12);

    ck_assert(ct_gradcheck(wrapped_call, 1, &x, &w, &g, 0, 0));
    ck_assert(ct_gradgradcheck(wrapped_call, 1, &x, &w, &g, 0, 0));
    expect_ok();
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(w.params);
}
END_TEST

/* y = x + h, and h is that of the inner cell. */
START_TEST(test_residual_values)
{
    wrapped w = wrapped_new(&residual_cells[_i], _i, NULL, true);
    wrapped plain = wrapped_new(NULL, _i, NULL, true);
    ct_scope s = ct_scope_begin_no_grad();
    ct_tensor *x = wrapped_x();

    expect_same("residual", wrapped_forward(&w, x),
                ct_add(CT_CAT(2, x, x), wrapped_forward(&plain, x)), 1e-14);
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(w.params);
    ct_params_free(plain.params);
}
END_TEST

/* The tables make the same modules as the constructors. */
START_TEST(test_cell_tables)
{
    const ct_cell *tables[] = { ct_cell_gru(), ct_cell_lstm(), ct_cell_rnn() };
    const ct_nn_recurrent_options o = { .hidden_size = HIDDEN, .num_layers = 2 };
    ct_params *set = new_params(3, CT_F64), *other = new_params(3, CT_F64);
    ct_recurrent *r = ct_nn_recurrent(set, "m", tables[_i], o);
    ct_recurrent *plain = _i == 2 ? ct_nn_rnn(other, "m", o) : plain_module(other, _i, o);
    ct_scope s = ct_scope_begin_no_grad();

    expect_same_bits("table", ct_recurrent_forward(r, wrapped_x(), NULL, NULL),
                     ct_recurrent_forward(plain, wrapped_x(), NULL, NULL));
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(set);
    ct_params_free(other);
}
END_TEST

static ct_status refused_init(void *self, const ct_cell_place *at)
{
    (void)self;
    ct_cell_inner_add(at, ct_cell_lstm());
    return ct_error();
}

/* ---- minGRU and minLSTM (nn/min_rnn.h) ---- */

/* h' of one number by the formula of the header; k: the numbers of the gates */
static double min_by_hand(bool lstm, const double *k, double h)
{
    const double first = 1 / (1 + exp(-k[0]));

    if (!lstm)
        return (1 - first) * h + first * k[1];
    return (first * h + k[2] / (1 + exp(-k[1]))) / (first + 1 / (1 + exp(-k[1])));
}

/* Bit 0 of _i: minLSTM; bit 1: step by step. */
START_TEST(test_min_formulas)
{
    const int gates = _i & 1 ? 3 : 2;
    ct_params *set = new_params(3, CT_F64);
    ct_recurrent *r = (_i & 1 ? ct_nn_min_lstm : ct_nn_min_gru)(
        set, "m", (ct_nn_recurrent_options){ .input_size = IN, .hidden_size = 1 });
    ct_scope s = ct_scope_begin_no_grad();
    ct_param *w = ct_params_get(set, "m.weight_ih_l0"), *b = ct_params_get(set, "m.bias_ih_l0");
    double *k = values_of(ct_linear(wrapped_x(), ct_param_value(w), ct_param_value(b)));
    double want[STEPS * ROWS];

    ck_assert_int_eq(ct_params_count(set), 2);
    for (int i = 0; i < STEPS * ROWS; i++)
        want[i] = min_by_hand(_i & 1, k + (ptrdiff_t)i * gates, i < ROWS ? 0 : want[i - ROWS]);
    ct_set_fused_rnn(!(_i & 2));
    expect_values("h", ct_recurrent_forward(r, wrapped_x(), NULL, NULL), want, LENGTH(want), 1e-14);
    ct_set_fused_rnn(true);
    free(k);
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(set);
}
END_TEST

/* The gates of far numbers are finite, and so are their derivatives. */
START_TEST(test_min_far)
{
    ct_params *set = new_params(3, CT_F32);
    ct_recurrent *r = (_i ? ct_nn_min_lstm : ct_nn_min_gru)(
        set, "m", (ct_nn_recurrent_options){ .input_size = 1, .hidden_size = 4, .no_bias = true });
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_set_requires_grad(
        ct_from_data((float[]){ 1e4F, -1e4F }, CT_SHAPE(2, 1, 1), CT_F32, DEVICE), true);
    ct_tensor *y = ct_sum(ct_recurrent_forward(r, x, NULL, NULL)), *g;

    ck_assert(ct_grad(1, &y, 1, &x, NULL, false, &g) == CT_OK);
    ck_assert(isfinite(ct_item(y)) && isfinite(ct_item(ct_sum(g))));
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(set);
}
END_TEST

/* Sets the elements i of t, a leaf, to a sin(step i + start). */
static ct_tensor *min_wave(ct_tensor *t, double a, double step, double start)
{
    for (int64_t i = 0; i < ct_numel(t); i++)
        put_value(t, i, a * sin(step * (double)i + start));
    return t;
}

/* The sum of the elements of t, each times cos(0.7 i) */
static ct_tensor *min_weighted(ct_tensor *t)
{
    return ct_sum(ct_mul(t, min_wave(ct_zeros_like(t), 1, 0.7, acos(-1) / 2)));
}

static void min_read(FILE *f, const char *name, ct_tensor *t)
{
    char word[64];
    double want;

    ck_assert_int_eq(fscanf(f, "%63s %lf", word, &want), 2);
    ck_assert_str_eq(word, name);
    expect_close(name, ct_item(min_weighted(t)), want, ct_tensor_dtype(t) == CT_F64 ? 1e-12 : 1e-5);
}

/* One module of tests/torch/min_rnn.txt */
static void min_compare(FILE *f, bool lstm, ct_dtype dtype)
{
    static const char *const names[] = { "m.bias_ih_l0",   "m.bias_ih_l0_reverse",
                                         "m.bias_ih_l1",   "m.bias_ih_l1_reverse",
                                         "m.weight_ih_l0", "m.weight_ih_l0_reverse",
                                         "m.weight_ih_l1", "m.weight_ih_l1_reverse" };
    ct_params *set = new_params(3, dtype);
    ct_recurrent *r = (lstm ? ct_nn_min_lstm : ct_nn_min_gru)(
        set, "m",
        (ct_nn_recurrent_options){
            .input_size = 3, .hidden_size = 4, .num_layers = 2, .bidirectional = true });
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_zeros(CT_SHAPE(5, 2, 3), dtype, DEVICE), *y;

    ck_assert_int_eq(ct_params_count(set), LENGTH(names));
    x = ct_set_requires_grad(min_wave(x, 2, 0.9, 0.2), true);
    for (int k = 0; k < LENGTH(names); k++)
        min_wave(ct_param_value(ct_params_get(set, names[k])), 0.5, 1.3, 2.1 * k + 0.4);
    y = ct_recurrent_forward(r, x, NULL, NULL);
    min_read(f, lstm ? "minLSTM" : "minGRU", y);
    ck_assert(ct_backward(min_weighted(y)) == CT_OK);
    min_read(f, "x", ct_tensor_grad(x));
    for (int k = 0; k < LENGTH(names); k++)
        min_read(f, names[k], ct_tensor_grad(ct_param_value(ct_params_get(set, names[k]))));
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(set);
}

/* Bit 0 of _i: f32; bit 1: step by step. */
START_TEST(test_min_has_torchs_numbers)
{
    FILE *f = fopen(harness_source("tests/torch/min_rnn.txt"), "r");

    ck_assert(f && fscanf(f, "#%*[^\n]") == 0);
    ct_set_fused_rnn(!(_i & 2));
    min_compare(f, false, _i & 1 ? CT_F32 : CT_F64);
    min_compare(f, true, _i & 1 ? CT_F32 : CT_F64);
    ct_set_fused_rnn(true);
    fclose(f);
}
END_TEST

START_TEST(test_min_misuse)
{
    const ct_nn_recurrent_options refused[] = {
        { .hidden_size = 2, .nonlinearity = CT_NONLINEARITY_RELU },
        { .hidden_size = 2, .layer_norm = true },
        { .hidden_size = 2, .reset_before = true },
        { .hidden_size = 2, .proj_size = 1 },
        { .hidden_size = 2, .has_forget_bias = true },
        { .hidden_size = 2, .forget_bias = 1 },
        { .hidden_size = 2, .recurrent_dropout = 0.5 },
        { .hidden_size = 2, .dialect = CT_DIALECT_KERAS },
    };
    ct_params *set = new_params(3, CT_F64);

    for (int i = 0; i < LENGTH(refused); i++) {
        REFUSED(CT_ERR_ARGUMENT, "ct_nn_min_gru", "is set", ct_nn_min_gru(set, "a", refused[i]));
        REFUSED(CT_ERR_ARGUMENT, "ct_nn_min_lstm", "is set", ct_nn_min_lstm(set, "a", refused[i]));
    }
    ck_assert_int_eq(ct_params_count(set), 0);
    ct_params_free(set);
}
END_TEST

START_TEST(test_wrapped_misuse)
{
    static const ct_cell few = {
        .name = "few", .states = 1, .init = refused_init, .step = residual_step
    };
    ct_params *set = new_params(3, CT_F64);

    ck_assert(!ct_nn_recurrent(set, "a", &few, (ct_nn_recurrent_options){ .hidden_size = 2 }));
    expect_error(CT_ERR_ARGUMENT, "ct_cell_inner_add", "LSTM has 2 states; few");
    ck_assert(!ct_nn_recurrent(set, "b", &residual_cells[0],
                               (ct_nn_recurrent_options){ .hidden_size = 2, .proj_size = 1 }));
    expect_error(CT_ERR_ARGUMENT, "ct_cell_inner_add", "proj_size is set");
    REFUSED(CT_ERR_ARGUMENT, "ct_nn_recurrent", "nonlinearity is 9",
            ct_nn_recurrent(
                set, "c", ct_cell_rnn(),
                (ct_nn_recurrent_options){ .hidden_size = 2, .nonlinearity = (ct_nonlinearity)9 }));
    ck_assert_int_eq(ct_cell_inner_state_size(NULL, 0), 0);
    ck_assert_int_eq(ct_cell_inner_output_size(NULL), 0);
    ct_params_free(set);
}
END_TEST

void recurrent_wrapped_cases(Suite *suite)
{
    TCase *tc = harness_case(suite, "wrapped");

    tcase_add_loop_test(tc, test_zoneout_of_nothing, 0, 2);
    tcase_add_loop_test(tc, test_zoneout_values, 0, 4);
    tcase_add_loop_test(tc, test_wrapped_ways, 0, 16);
    tcase_add_loop_test(tc, test_wrapped_gradcheck, 0, 4);
    tcase_add_loop_test(tc, test_residual_values, 0, 2);
    tcase_add_loop_test(tc, test_cell_tables, 0, 3);
    tcase_add_test(tc, test_wrapped_misuse);
    tcase_add_loop_test(tc, test_min_formulas, 0, 4);
    tcase_add_loop_test(tc, test_min_far, 0, 2);
    tcase_add_loop_test(tc, test_min_has_torchs_numbers, 0, 4);
    tcase_add_test(tc, test_min_misuse);
}
