/* SPDX-License-Identifier: MIT */
/* recurrent_no_steps.c - sequences without steps, batches without rows, and sizes that are unknown
 * when a cell registers its parameters. */
#include <cotangent.h>

#include "tests/files.h"
#include "tests/harness.h"
#include "tests/recurrent_file.h"
#include "examples/mgu.h"

#include <math.h>
#include <stdlib.h>

#include "tests/test_recurrent.h"

/* ---- T = 0 ---- */

static const maker makers[] = { ct_nn_rnn, ct_nn_lstm, ct_nn_gru, mgu };

/* A kind of module with its options, chosen by a loop's number. */
typedef struct no_steps {
    ct_params *params;
    ct_recurrent *r;
    bool batch_first, lengths;
    int cells, states; /* layers * directions */
} no_steps;

static no_steps no_steps_of(int number)
{
    const maker make = makers[number % (int)LENGTH(makers)];
    const int setting = number / (int)LENGTH(makers);
    no_steps m = { .params = new_params(7, CT_F64) };
    ct_nn_recurrent_options o = { .input_size = 3,
                                  .hidden_size = 2,
                                  .num_layers = 2,
                                  .bidirectional = setting & 1,
                                  .batch_first = setting & 2 };

    m.batch_first = o.batch_first;
    m.lengths = setting & 4;
    ct_set_fused_rnn(!(setting & 8));
    m.r = make(m.params, "m", o);
    expect_ok();
    m.cells = ct_recurrent_layers(m.r) * ct_recurrent_directions(m.r);
    m.states = make == ct_nn_lstm ? 2 : 1;
    return m;
}

static ct_tensor *no_steps_run(const no_steps *m, ct_tensor *x, const ct_state *state,
                               ct_state **next)
{
    ct_recurrent_call call = { .lengths = NULL };

    if (m->lengths)
        call.lengths = ct_zeros(CT_SHAPE(4), CT_I32, DEVICE);
    return ct_recurrent_forward_with(m->r, x, state, next, call);
}

/* Checks that all parameters have a gradient of 0. */
static void expect_zero_gradients(const ct_params *params)
{
    for (int i = 0; i < ct_params_count(params); i++) {
        ct_tensor *g = ct_tensor_grad(ct_param_value(ct_params_at(params, i)));

        ck_assert_msg(g && ct_item(ct_max(ct_abs(g))) == 0, "%s",
                      ct_param_name(ct_params_at(params, i)));
    }
}

START_TEST(test_no_steps)
{
    const no_steps m = no_steps_of(_i);
    ct_generator g = ct_generator_from_seed(5);
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_zeros(m.batch_first ? CT_SHAPE(4, 0, 3) : CT_SHAPE(0, 4, 3), CT_F64, DEVICE);
    ct_tensor *h[2], *y, *loss, *d;
    ct_state *next;

    ct_set_requires_grad(x, true);
    for (int i = 0; i < m.states; i++)
        h[i] = ct_set_requires_grad(random_normal(&g, CT_SHAPE(m.cells, 4, 2), CT_F64), true);
    y = no_steps_run(&m, x, ct_state_from_tensors(m.states, h), &next);
    expect_ok();
    ck_assert(ct_rank(y) == 3 && ct_size(y, m.batch_first) == 0 && ct_size(y, !m.batch_first) == 4);
    ck_assert_int_eq(ct_size(y, 2), 2 * ct_recurrent_directions(m.r));
    loss = ct_sum(y);
    d = random_normal(&g, CT_SHAPE(m.cells, 4, 2), CT_F64);
    for (int i = 0; i < m.states; i++) {
        expect_same("the state", ct_state_get(next, i), h[i], 0);
        loss = ct_add(loss, ct_sum(ct_mul(d, ct_state_get(next, i))));
    }
    ck_assert(ct_backward(loss) == CT_OK);
    for (int i = 0; i < m.states; i++)
        expect_same("the gradient of the state", ct_tensor_grad(h[i]), d, 0);
    ck_assert_int_eq(ct_numel(ct_tensor_grad(x)), 0);
    expect_zero_gradients(m.params);
    ck_assert(ct_scope_end(s) == CT_OK);

    s = ct_scope_begin_no_grad();
    x = ct_zeros(CT_SHAPE(0, 3), CT_F64, DEVICE); /* a single sequence, from the initial state */
    y = ct_recurrent_forward(m.r, x, NULL, &next);
    ck_assert(ct_rank(y) == 2 && ct_numel(y) == 0 && ct_rank(ct_state_get(next, 0)) == 2);
    ck_assert(ct_item(ct_sum(ct_abs(ct_state_get(next, 0)))) == 0);
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_set_fused_rnn(true);
    ct_params_free(m.params);
}
END_TEST

/* A loss over the outputs of a sequence without steps: the sum is 0, the mean is NaN, as in
 * PyTorch. */
START_TEST(test_losses_of_no_steps)
{
    ct_params *params = new_params(7, CT_F64);
    ct_recurrent *r = ct_nn_gru(params, "m", (ct_nn_gru_options){ .hidden_size = 3 });
    ct_scope s = ct_scope_begin();
    ct_tensor *y = ct_recurrent_forward(r, ct_zeros(CT_SHAPE(0, 4, 2), CT_F64, DEVICE), NULL, NULL);
    ct_tensor *target = ct_zeros(CT_SHAPE(0, 4), CT_I64, DEVICE), *sum;
    const ct_cross_entropy_options of_sum = { .reduction = CT_REDUCTION_SUM };

    ck_assert(isnan(ct_item(ct_cross_entropy(y, target))));
    ck_assert(isnan(ct_item(ct_mse_loss(y, ct_zeros_like(y), CT_REDUCTION_MEAN))));
    sum = ct_add(ct_cross_entropy_with(y, target, of_sum),
                 ct_mse_loss(y, ct_zeros_like(y), CT_REDUCTION_SUM));
    ck_assert(ct_item(sum) == 0);
    ck_assert(ct_backward(sum) == CT_OK);
    expect_zero_gradients(params);
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(params);
}
END_TEST

/* An empty batch with 2^40 steps returns at once. Where a tensor cannot have as many, with 2^24. */
START_TEST(test_no_rows)
{
    const int64_t steps = (int64_t)1 << (PTRDIFF_MAX > INT32_MAX ? 40 : 24);
    ct_params *params = new_params(7, CT_F32);
    ct_recurrent *r = makers[_i / 2](params, "m", (ct_nn_recurrent_options){ .hidden_size = 2 });
    ct_scope s = ct_scope_begin_no_grad();
    ct_tensor *x = ct_zeros(CT_SHAPE(steps, 0, 3), CT_F32, DEVICE), *y;

    ct_set_fused_rnn(_i % 2);
    y = ct_recurrent_forward(r, x, NULL, NULL);
    expect_ok();
    ck_assert(ct_size(y, 0) == steps && ct_numel(y) == 0);
    ct_set_fused_rnn(true);
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(params);
}
END_TEST

/* ---- sizes that follow from the input size ---- */

/* A cell with one weight for [x, h]. */
typedef struct joined {
    ct_param *weight;
} joined;

static int64_t (*joined_columns)(int64_t in, int64_t hidden);

static ct_status joined_init(void *self, const ct_cell_place *at)
{
    joined *c = self;
    const int64_t h = at->options->hidden_size;

    c->weight = ct_cell_param(at, "weight", CT_SHAPE(h, joined_columns(at->input_size, h)),
                              ct_init_normal(0, 0.5));
    return ct_error();
}

static ct_tensor *joined_step(void *self, ct_tensor *x, ct_tensor *const *state, ct_tensor **next,
                              const ct_cell_step *at)
{
    const joined *c = self;
    ct_tensor *both = ct_cat(2, (ct_tensor *[]){ x, state[0] }, 1);

    (void)at;
    return next[0] = ct_tanh(ct_linear(both, ct_param_value(c->weight), NULL));
}

static const ct_cell joined_cell = {
    .name = "joined", .size = sizeof(joined), .states = 1, .init = joined_init, .step = joined_step
};

static int64_t joined_sum(int64_t in, int64_t hidden)
{
    return in + hidden;
}

static int64_t joined_four(int64_t in, int64_t hidden)
{
    return (void)hidden, 4 * in;
}

static int64_t joined_half(int64_t in, int64_t hidden)
{
    return (void)hidden, in / 2;
}

static int64_t joined_difference(int64_t in, int64_t hidden)
{
    return hidden - in;
}

static int64_t joined_product(int64_t in, int64_t hidden)
{
    return (void)hidden, in * in;
}

static int64_t joined_negative(int64_t in, int64_t hidden)
{
    return (void)in, (void)hidden, -1;
}

static int64_t joined_enormous(int64_t in, int64_t hidden)
{
    return (void)in, hidden << 40;
}

/* The module has the same parameters and results whether the size is an option, comes from the
 * first x, or is loaded. */
START_TEST(test_size_plus_constant)
{
    ct_params *sets[3];
    ct_recurrent *r[3];
    ct_scope s = ct_scope_begin();
    ct_generator g = ct_generator_from_seed(3);
    ct_tensor *x = random_normal(&g, CT_SHAPE(3, 2, 5), CT_F64), *first;

    joined_columns = joined_sum;
    for (int i = 0; i < 3; i++) {
        sets[i] = new_params(7, CT_F64);
        r[i] = ct_nn_recurrent(sets[i], "m", &joined_cell,
                               (ct_nn_recurrent_options){
                                   .hidden_size = 4, .num_layers = 2, .input_size = i ? 0 : 5 });
        expect_ok();
    }
    ck_assert(ct_param_is_lazy(ct_params_at(sets[1], 0)));
    first = ct_recurrent_forward(r[0], x, NULL, NULL);
    expect_same("from x", ct_recurrent_forward(r[1], x, NULL, NULL), first, 0);
    ck_assert_int_eq(ct_param_shape(ct_params_at(sets[1], 0)).dim[1], 9);
    ck_assert_int_eq(ct_param_shape(ct_params_at(sets[1], 1)).dim[1], 8);
    ck_assert(ct_params_save(sets[0], "joined.safetensors") == CT_OK);
    ck_assert(ct_params_load(sets[2], "joined.safetensors", (ct_load_options){ 0 }) == CT_OK);
    REFUSED(CT_ERR_SHAPE, "ct_recurrent_forward", "4 features ... expects 5",
            ct_recurrent_forward(r[2], ct_narrow(x, 2, 0, 4), NULL, NULL));
    expect_same("loaded", ct_recurrent_forward(r[2], x, NULL, NULL), first, 0);
    ck_assert(ct_scope_end(s) == CT_OK);
    for (int i = 0; i < 3; i++)
        ct_params_free(sets[i]);
}
END_TEST

START_TEST(test_no_other_arithmetic)
{
    const struct {
        int64_t (*columns)(int64_t in, int64_t hidden);
        int64_t input_size;
        const char *word;
    } cases[] = {
        { joined_four, 0, "axis 1 of weight ... not known" },
        { joined_half, 0, "axis 1 of weight ... not known" },
        { joined_difference, 0, "axis 1 of weight ... not known" },
        { joined_product, 0, "axis 1 of weight ... not known" },
        { joined_negative, 0, "axis 1 of weight ... not known" },
        { joined_enormous, 0, "axis 1 of weight ... not known" },
        { joined_negative, 5, "[4,-1]" },
        { joined_enormous, 5, "size must be in 0..268435456" },
    };

    for (size_t i = 0; i < LENGTH(cases); i++) {
        ct_params *params = new_params(7, CT_F64);

        joined_columns = cases[i].columns;
        ck_assert_ptr_null(ct_nn_recurrent(
            params, "m", &joined_cell,
            (ct_nn_recurrent_options){ .hidden_size = 4, .input_size = cases[i].input_size }));
        expect_error(CT_ERR_SHAPE, "ct_cell_param", cases[i].word);
        ck_assert_int_eq(ct_params_count(params), 0);
        ct_params_free(params);
    }
}
END_TEST

static int64_t extreme_size;

static int64_t extreme(const void *self)
{
    (void)self;
    return extreme_size;
}

static int64_t extreme_state(const void *self, int i)
{
    (void)self;
    return i == 0 ? 4 : extreme_size;
}

/* 4 hidden, 2 output and the like do not overflow. */
START_TEST(test_sizes_have_a_limit)
{
    static const ct_cell output = {
        .name = "o", .states = 1, .output_size = extreme, .step = joined_step
    };
    static const ct_cell state = {
        .name = "s", .states = 2, .state_size = extreme_state, .step = joined_step
    };
    static const int64_t sizes[] = { INT64_MIN, -1, (1 << 28) + 1, INT64_C(1) << 62, INT64_MAX };
    const ct_nn_recurrent_options two = { .hidden_size = 4,
                                          .num_layers = 2,
                                          .bidirectional = true };
    ct_params *params = new_params(7, CT_F32);

    for (size_t i = 0; i < LENGTH(sizes); i++) {
        const ct_nn_recurrent_options o = { .hidden_size = sizes[i] };
        const ct_nn_recurrent_options in = { .hidden_size = 2, .input_size = sizes[i] };

        extreme_size = sizes[i];
        ck_assert_ptr_null(ct_nn_lstm(params, "a", o));
        expect_error(CT_ERR_ARGUMENT, "ct_nn_lstm", "hidden_size");
        ck_assert_ptr_null(ct_nn_gru_cell(params, "b", o));
        expect_error(CT_ERR_ARGUMENT, "ct_nn_gru_cell", "hidden_size");
        ck_assert_ptr_null(ct_nn_rnn(params, "c", in));
        expect_error(CT_ERR_ARGUMENT, "ct_nn_rnn", "input_size");
        ck_assert_ptr_null(ct_nn_recurrent(params, "d", &output, two));
        expect_error(CT_ERR_ARGUMENT, "ct_nn_recurrent", "output_size");
        ck_assert_ptr_null(ct_nn_recurrent(params, "e", &state, two));
        expect_error(CT_ERR_ARGUMENT, "ct_nn_recurrent", "state_size");
    }
    ck_assert_int_eq(ct_params_count(params), 0);
    ct_params_free(params);
}
END_TEST

void recurrent_no_steps_cases(Suite *suite)
{
    TCase *tc = harness_case(suite, "no steps");

    tcase_add_loop_test(tc, test_no_steps, 0, 16 * (int)LENGTH(makers));
    tcase_add_test(tc, test_losses_of_no_steps);
    tcase_add_loop_test(tc, test_no_rows, 0, 2 * (int)LENGTH(makers));
    tc = harness_case(suite, "sizes");
    tcase_add_checked_fixture(tc, files_setup, files_teardown);
    tcase_add_test(tc, test_size_plus_constant);
    tcase_add_test(tc, test_no_other_arithmetic);
    tcase_add_test(tc, test_sizes_have_a_limit);
}
