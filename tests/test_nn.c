/* SPDX-License-Identifier: MIT */
/* test_nn.c - Linear, recurrent modules and their states, losses. */
#include "tests/files.h"
#include "tests/harness.h"
#include "tensor/internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cotangent.h>

#include "tests/test_nn.h"

void expect_param(const ct_params *set, int at, const char *name, ct_shape shape)
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

void expect_uniform(ct_params *set, const char *name, double bound)
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

/* Rows gathered by index equal the product with the one-hot matrix, and so do the gradients. */
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

/* Without features, y is the bias, which begins as 0. */
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
    expect_error(CT_ERR_ARGUMENT, "ct_nn_linear", "params is NULL");
    l = ct_nn_linear(set, "l", (ct_nn_linear_options){ .out_features = 2 });
    s = ct_scope_begin();
    x = ct_ones(CT_SHAPE(1, 3), CT_F32, DEVICE);
    EXPECT_NO_VALUE(ct_forward(NULL, x));
    EXPECT_NO_VALUE(ct_forward(l, NULL));
    ck_assert(ct_nn_linear(set, "l",
                           (ct_nn_linear_options){ .out_features = 2, .no_bias = true }) == NULL);
    expect_error(CT_ERR_ARGUMENT, "ct_nn_linear", "l.weight");
    ck_assert(ct_param_materialize(ct_params_get(set, "l.weight"), CT_SHAPE(2, 3)) == CT_OK);
    ck_assert(ct_forward(l, x) != NULL); /* the size of the bias is not known yet */
    ck_assert(ct_scope_end(s) == CT_OK);
    ck_assert(ct_nn_linear(set, "l", (ct_nn_linear_options){ .out_features = 2 }) == NULL);
    expect_error(CT_ERR_ARGUMENT, "ct_nn_linear", "l.weight");
    ct_params_free(set);
}
END_TEST

/* ---- a user's cell ---- */

ct_tensor *twice(void *self, ct_tensor *x)
{
    return ct_mul_scalar(x, *(double *)self);
}

/* ---- states ---- */

/* Returns an owned state of one tensor (1, 3, 2) with the values 0 to 5. */
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

/* ct_state_carry copies the values into the same buffers, without history; also for a learned
 * state. */
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
    EXPECT_NO_VALUE(ct_state_get(NULL, 0));
    EXPECT_NO_VALUE(ct_state_select_new(NULL, narrow));
    EXPECT_NO_VALUE(ct_state_select_new(kept, NULL));
    ct_state_free(NULL);

    other = ct_ones(CT_SHAPE(1, 3, 2), CT_F64, DEVICE);
    borrowed = ct_state_from_tensors(1, &other);
    ct_raise(CT_ERR_ARGUMENT, "test", "an error is recorded"); /* nothing is carried */
    ck_assert(ct_state_carry(kept, borrowed) == CT_ERR_ARGUMENT);
    ct_error_clear();
    expect_values("kept", ct_state_get(kept, 0), (double[]){ 0, 1, 2, 3, 4, 5 }, 6, 0);
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_state_free(kept);
}
END_TEST

/* ---- out of memory ---- */

#define THINGS 9 /* kinds of call that are tried */

/* Checks that s is a state, or that an error is recorded. fine: no error was recorded before. */
static ct_state *expect_state(bool fine, ct_state *s)
{
    ck_assert(!fine || (s != NULL) == (ct_ok() != 0));
    return s;
}

/* Returns y of a module over x (2, 2, 4), with all options of a call. */
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
    static const int32_t targets[3] = { 2, 0, 1 };
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

/* Each request for memory fails in turn, with all later ones or alone (then storage may try again).
 * The error is CT_ERR_MEMORY, and no result is returned. The cases: without history; with history
 * and backward; failures in backward after a successful forward pass, twice. */
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
    tc = harness_case(suite, "state");
    tcase_add_test(tc, state_copy_select_zero);
    tcase_add_test(tc, state_carry);
    tcase_add_test(tc, state_misuse);
    tc = harness_case(suite, "memory");
    tcase_add_loop_test(tc, memory_fails, 0, 5 * THINGS);
    nn_rnn_cases(suite);
    nn_cells_cases(suite);
    nn_norms_cases(suite);
    nn_attention_cases(suite);
    nn_conv_cases(suite);
    nn_decoder_cases(suite);
    nn_modules_cases(suite);
    return harness_run(suite);
}
