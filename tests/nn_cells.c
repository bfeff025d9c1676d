/* SPDX-License-Identifier: MIT */
/* nn_cells.c - users' cells, and the work and checks of the driver. */
#include "tests/harness.h"
#include "tensor/internal.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <cotangent.h>

#include "tests/test_nn.h"

/* ---- a user's cell ---- */

/* A cell with two states: h' = h + x, and c' = c + the number of the call; c has one column more
 * than h. y = 2 h'. */
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

/* A cell with the maximum number of states; state i grows by i + 1 in each step. */
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

/* An empty batch, run in every way, gives results and gradients of the right shapes. */
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

/* A cell that counts its steps, and a cell whose sequence function does not support lengths. */
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

/* Steps after the end of all rows do not run, except the first step. */
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

/* Without dropout, no random numbers are drawn. */
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

/* A cell's sequence function is used where it is allowed. */
START_TEST(sequences_where_they_serve)
{
    static const ct_cell counted = {
        .name = "counted", .states = 1, .step = counted_step, .sequence = counted_sequence
    };
    ct_params *set = new_params(5, CT_F64);
    ct_recurrent *r =
        ct_nn_recurrent(set, "r", &counted, (ct_nn_recurrent_options){ .hidden_size = 1 });
    int i;

    for (i = 0; i < 4; i++) { /* no lengths, full lengths, shorter lengths, and a cell that
                               * declines */
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

/* batch_first does not change the results, only the order of the axes. */
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
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(sets[0]);
    ct_params_free(sets[1]);
}
END_TEST

/* Options of another kind are refused, by every constructor. */
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

/* A cell with `own_parameters` parameters that depend on the input size, up to the limit. */
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
    expect_error(CT_ERR_ARGUMENT, "ct_nn_recurrent", "cell->step is NULL");
    ck_assert(ct_nn_recurrent(set, "a", &no_state, o) == NULL);
    expect_error(CT_ERR_ARGUMENT, "ct_nn_recurrent", "cell->states is 0");
    ck_assert(ct_nn_recurrent(set, "a", &states, o) == NULL);
    expect_error(CT_ERR_ARGUMENT, "ct_nn_recurrent", "cell->states is 9");
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

/* ct_recurrent_step requires one direction, forward; lengths must be integers, one for each row, in
 * 0..T. */
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

/* PyTorch's names; many modules, in their order. */
START_TEST(module_lists)
{
    ct_params *set = new_params(5, CT_F64);
    ct_scope s = ct_scope_begin();
    ct_module_list *l = ct_nn_module_list(ct_params_sub(set, "net"), "layers");
    ct_module *m, *made[20];
    char name[32], long_name[202] = "";

    memset(long_name, 'a', sizeof long_name - 1);
    ck_assert_int_eq(ct_module_list_count(l), 0);
    REFUSED(CT_ERR_INDEX, "ct_module_list_get", "i is 0 ... 0 modules", ct_module_list_get(l, 0));
    for (int i = 0; i < 20; i++) {
        m = made[i] = ct_nn_linear(
            ct_params_sub(set, "net"), ct_module_list_next(l),
            (ct_nn_linear_options){ .in_features = 2, .out_features = i + 1, .no_bias = true });
        ck_assert(ct_module_list_append(l, m) == CT_OK);
        snprintf(name, sizeof name, "net.layers.%d.weight", i);
        expect_param(set, i, name, CT_SHAPE(i + 1, 2));
    }
    ck_assert_int_eq(ct_module_list_count(l), 20);
    for (int i = 0; i < 20; i++)
        ck_assert(ct_module_list_get(l, i) == made[i] && ct_module_list_get(l, i - 20) == made[i]);
    REFUSED(CT_ERR_INDEX, "ct_module_list_get", "i is 20", ct_module_list_get(l, 20));
    REFUSED(CT_ERR_INDEX, "ct_module_list_get", "i is -21", ct_module_list_get(l, -21));
    REFUSED(CT_ERR_INDEX, "ct_module_list_get", "i is -2147483648", ct_module_list_get(l, INT_MIN));
    ck_assert(ct_module_list_append(l, NULL) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_module_list_append", "m is NULL");
    ck_assert(ct_module_list_count(NULL) == 0);
    REFUSED(CT_ERR_ARGUMENT, "ct_nn_module_list", "", ct_nn_module_list(set, ""));
    REFUSED(CT_ERR_ARGUMENT, "ct_nn_module_list", "it may have 200",
            ct_nn_module_list(set, long_name));
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(set);
}
END_TEST

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
    ck_assert(ct_nn_sequential(set, 2, both) == NULL);
    expect_error(CT_ERR_ARGUMENT, "ct_nn_sequential", "modules[1] is NULL");
    EXPECT_NO_VALUE(ct_nn_module(NULL, &two, twice));
    EXPECT_NO_VALUE(ct_nn_op(NULL, (ct_neg)));
    EXPECT_NO_VALUE(ct_nn_sequential(NULL, 1, both));
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
    expect_error(CT_ERR_ARGUMENT, "ct_nn_layer_norm", "params is NULL");
    ck_assert(ct_scope_end(s) == ct_error());
    ct_params_free(set);
}
END_TEST

void nn_cells_cases(Suite *suite)
{
    TCase *tc = harness_case(suite, "rnn");

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
    tcase_add_test(tc, module_lists);
    tcase_add_test(tc, modules_are_checked);
}
