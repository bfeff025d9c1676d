/* SPDX-License-Identifier: MIT */
/* test_bind.c - bound values (ct_params_bind) in modules, second derivatives, activation
 * checkpoints, scopes and threads; code that must not see them; MAML compared with PyTorch's
 * numbers. */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include <cotangent.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tensor/internal.h"
#include "tests/files.h"
#include "tests/harness.h"

#define MOST 16

static ct_params *small_set(void)
{
    ct_params *set = ct_params_new((ct_params_options){ .seed = 3 });

    ct_params_add(set, "a.w", CT_SHAPE(2), ct_init_constant(1));
    ct_params_add(set, "b.w", CT_SHAPE(2), ct_init_constant(2));
    ct_params_add_buffer(set, "b.mean", CT_SHAPE(2), ct_init_constant(3));
    ct_params_add(set, "b.v", CT_SHAPE(2), ct_init_constant(4));
    expect_ok();
    return set;
}

/* Returns the value that a module reads for an entry. */
static double reads(ct_params *set, const char *name)
{
    return ct_item(ct_select(ct_param_value(ct_params_get(set, name)), 0, 0));
}

static ct_tensor *pair(double value)
{
    return ct_full(CT_SHAPE(2), value, CT_F32, CT_CPU);
}

/* ---- binding ---- */

START_TEST(binds_in_order_until_the_scope_ends)
{
    ct_params *set = small_set(), *b = ct_params_sub(set, "b");
    ct_scope s = ct_scope_begin(), inner;
    ct_tensor *own[3];

    ck_assert_int_eq(ct_params_values(set, 0, NULL), 3);
    ck_assert_int_eq(ct_params_values(set, 3, own), 3);
    ck_assert(own[2] == ct_param_value(ct_params_get(set, "b.v")));
    ck_assert_int_eq(ct_params_bind(set, CT_TENSORS(pair(10), NULL, pair(30))), CT_OK);
    ck_assert(reads(set, "a.w") == 10 && reads(set, "b.w") == 2 && reads(set, "b.v") == 30 &&
              reads(set, "b.mean") == 3);
    inner = ct_scope_begin();
    ck_assert_int_eq(ct_params_bind(b, CT_TENSORS(pair(20), NULL)), CT_OK);
    ck_assert(reads(set, "a.w") == 10 && reads(set, "b.w") == 20 && reads(set, "b.v") == 4);
    ck_assert_int_eq(ct_params_bind(set, 0, NULL), CT_OK);
    ck_assert(reads(set, "a.w") == 1 && reads(set, "b.w") == 2);
    ck_assert_int_eq(ct_scope_end(inner), CT_OK);
    ck_assert(reads(set, "a.w") == 10 && reads(set, "b.w") == 2 && reads(set, "b.v") == 30);
    ck_assert(ct_params_values(set, 3, own) == 3 && ct_item(ct_select(own[0], 0, 0)) == 1);
    ck_assert_int_eq(ct_scope_end(s), CT_OK);
    s = ct_scope_begin();
    ck_assert(reads(set, "a.w") == 1 && reads(set, "b.v") == 4);
    ck_assert_int_eq(ct_scope_end(s), CT_OK);
    ct_params_free(set);
}
END_TEST

START_TEST(two_sets_and_late_entries)
{
    ct_params *p = small_set(), *q = small_set();
    ct_scope s = ct_scope_begin();

    ck_assert_int_eq(ct_params_bind(p, CT_TENSORS(pair(10), NULL, NULL)), CT_OK);
    ck_assert_int_eq(ct_params_bind(q, CT_TENSORS(pair(20), NULL, NULL)), CT_OK);
    ck_assert(ct_params_add(p, "late", CT_SHAPE(2), ct_init_constant(7)) != NULL);
    for (int i = 0; i < 3; i++) {
        ck_assert(reads(p, "a.w") == 10 + i && reads(q, "a.w") == 20 && reads(p, "late") == 7);
        ck_assert_int_eq(ct_params_bind(p, CT_TENSORS(pair(11 + i), NULL, NULL, NULL)), CT_OK);
    }
    ck_assert_int_eq(ct_params_bind(q, 0, NULL), CT_OK);
    ck_assert(reads(p, "a.w") == 13 && reads(q, "a.w") == 1);
    ck_assert_int_eq(ct_scope_end(s), CT_OK);
    ct_params_free(p);
    ct_params_free(q);
}
END_TEST

START_TEST(tied_and_frozen)
{
    ct_params *set = small_set();
    ct_scope s = ct_scope_begin();

    ck_assert_int_eq(ct_params_tie(set, "a.w", "b.w"), CT_OK);
    ct_params_freeze(set, "b.v", true);
    ck_assert_int_eq(ct_params_bind(set, CT_TENSORS(pair(9))), CT_OK);
    ck_assert(reads(set, "a.w") == 9 && reads(set, "b.w") == 9 && reads(set, "b.v") == 4);
    ck_assert_int_eq(ct_scope_end(s), CT_OK);
    ct_params_free(set);
}
END_TEST

static void *reads_on_a_thread(void *set)
{
    static double got;
    ct_scope s = ct_scope_begin();

    got = reads(set, "a.w");
    return ct_scope_end(s) == CT_OK ? &got : NULL;
}

/* Other threads, optimisers, files and gradients see the set's own values. */
START_TEST(others_do_not_see_it)
{
    ct_params *set = small_set(), *loaded = small_set();
    ct_optimizer *o = ct_sgd_new(set, (ct_sgd_options){ .lr = 1 });
    ct_memory_buffer m = { 0 };
    ct_scope s = ct_scope_begin();
    ct_tensor *v = ct_set_requires_grad(pair(10), true), *own[3];
    double *got;

    ck_assert_int_eq(ct_params_bind(set, CT_TENSORS(v, NULL, NULL)), CT_OK);
    got = harness_on_thread(reads_on_a_thread, set);
    ck_assert(got && *got == 1);
    ck_assert_int_eq(ct_backward(ct_sum(ct_mul(ct_param_value(ct_params_get(set, "a.w")),
                                               ct_param_value(ct_params_get(set, "b.w"))))),
                     CT_OK);
    ck_assert(ct_params_values(set, 3, own) == 3 && !ct_tensor_grad(own[0]) &&
              ct_tensor_grad(own[1]) && ct_tensor_grad(v));
    ck_assert_int_eq(ct_optimizer_step(o), CT_OK);
    ck_assert(ct_item(ct_select(v, 0, 0)) == 10 && ct_item(ct_select(own[0], 0, 0)) == 1 &&
              ct_item(ct_select(own[1], 0, 0)) == -8);
    ck_assert_int_eq(ct_params_save_to(set, ct_memory_writer(&m)), CT_OK);
    ck_assert_int_eq(
        ct_params_load_from(loaded, ct_memory_reader(m.bytes, m.size), (ct_load_options){ 0 }),
        CT_OK);
    ck_assert(reads(loaded, "a.w") == 1 && reads(loaded, "b.w") == -8);
    ct_memory_buffer_clear(&m);
    ck_assert_int_eq(ct_scope_end(s), CT_OK);
    ct_optimizer_free(o);
    ct_params_free(set);
    ct_params_free(loaded);
}
END_TEST

START_TEST(bad_bindings)
{
    ct_params *set = small_set(), *lazy = ct_params_new((ct_params_options){ 0 });
    ct_scope s;
    ct_tensor *v, *kept;

    REFUSED(CT_ERR_SCOPE, "ct_params_bind", "no scope", ct_params_bind(set, 0, NULL));
    s = ct_scope_begin();
    v = pair(5);
    ck_assert_int_eq(ct_params_bind(set, CT_TENSORS(v, v, v)), CT_OK);
    REFUSED(CT_ERR_ARGUMENT, "ct_params_bind", "count is 2", ct_params_bind(set, CT_TENSORS(v, v)));
    REFUSED(CT_ERR_ARGUMENT, "ct_params_bind", "count is -1", ct_params_bind(set, -1, &v));
    REFUSED(CT_ERR_SHAPE, "ct_params_bind", "b.w ... [2]",
            ct_params_bind(set, CT_TENSORS(v, ct_zeros(CT_SHAPE(3), CT_F32, CT_CPU), v)));
    REFUSED(CT_ERR_DTYPE, "ct_params_bind", "b.v",
            ct_params_bind(set, CT_TENSORS(v, v, ct_zeros(CT_SHAPE(2), CT_F64, CT_CPU))));
    ck_assert(ct_params_add(lazy, "w", CT_SHAPE(-1), ct_init_constant(1)) != NULL);
    REFUSED(CT_ERR_SHAPE, "ct_params_bind", "w ... not known", ct_params_bind(lazy, CT_TENSORS(v)));
    REFUSED(CT_ERR_SHAPE, "ct_params_values", "not known", ct_params_values(lazy, 1, &v));
    ck_assert(reads(set, "a.w") == 5); /* the earlier binding is kept */
    kept = ct_keep(pair(6));
    ck_assert_int_eq(ct_params_bind(set, CT_TENSORS(kept, NULL, NULL)), CT_OK);
    ct_free(kept);
    REFUSED(CT_ERR_SCOPE, "ct_param_value", "a.w is a dead tensor",
            ct_param_value(ct_params_get(set, "a.w")));
    ck_assert_int_eq(ct_scope_end(s), CT_OK);
    ct_params_free(set);
    ct_params_free(lazy);
}
END_TEST

/* ---- MAML ---- */

typedef struct learner {
    ct_params *params;
    ct_recurrent *rnn;
    ct_module *linear;
    ct_tensor *x[2], *y[2]; /* support, query */
    bool checkpoint;
    int set; /* which set the loss uses */
} learner;

/* Returns a tensor with elements scale f(step i + begin), i from 0. */
static ct_tensor *wave(ct_shape shape, double (*f)(double), double scale, double step, double begin)
{
    double at[64];
    int64_t n = 1, i;

    for (i = 0; i < shape.rank; i++)
        n *= shape.dim[i];
    ck_assert_int_le(n, 64);
    for (i = 0; i < n; i++)
        at[i] = scale * f(step * (double)i + begin);
    return ct_from_data(at, shape, CT_F64, CT_CPU);
}

static learner learner_new(const char *kind)
{
    learner m = { .params = ct_params_new((ct_params_options){ .dtype = CT_F64 }) };
    const ct_nn_recurrent_options o = { .input_size = 2, .hidden_size = 4 };
    ct_tensor *own[MOST];

    m.rnn = strcmp(kind, "rnn") == 0   ? ct_nn_rnn(m.params, "rnn", o)
            : strcmp(kind, "gru") == 0 ? ct_nn_gru(m.params, "rnn", o)
                                       : ct_nn_lstm(m.params, "rnn", o);
    m.linear = ct_nn_linear(m.params, "linear",
                            (ct_nn_linear_options){ .in_features = 4, .out_features = 1 });
    ct_set_grad_enabled(false);
    for (int k = 0; k < ct_params_values(m.params, MOST, own); k++)
        ct_copy_into(own[k], wave(ct_tensor_shape(own[k]), sin, 0.5, 1.3, 2.1 * k + 0.4));
    ct_set_grad_enabled(true);
    for (int s = 0; s < 2; s++) {
        m.x[s] = wave(CT_SHAPE(5, 3, 2), sin, 1, 0.7, s);
        m.y[s] = wave(CT_SHAPE(5, 3, 1), cos, 1, 0.9, 2 * s);
    }
    expect_ok();
    return m;
}

static bool learner_run(void *context, int inputs_count, ct_tensor *const *inputs,
                        int outputs_count, ct_tensor **outputs)
{
    const learner *m = context;

    (void)inputs_count, (void)outputs_count;
    outputs[0] = ct_forward(m->linear, ct_recurrent_forward(m->rnn, inputs[0], NULL, NULL));
    return outputs[0] != NULL;
}

static ct_tensor *learner_loss(learner *m, int set)
{
    ct_tensor *y = NULL;

    if (m->checkpoint)
        ct_activation_checkpoint(learner_run, m, NULL, 1, &m->x[set], 1, &y);
    else
        learner_run(m, 1, &m->x[set], 1, &y);
    return ct_mean(ct_square(ct_sub(y, m->y[set])));
}

/* Makes two inner steps. Returns the loss of the query set, and its gradients by the set's own
 * weights. */
static double learn(learner *m, ct_tensor **gradients)
{
    ct_tensor *own[MOST], *fast[MOST], *g[MOST], *loss;
    int n = ct_params_values(m->params, MOST, own);

    memcpy(fast, own, sizeof fast);
    for (int step = 0; step < 2; step++) {
        ct_params_bind(m->params, n, fast);
        loss = learner_loss(m, 0);
        ct_params_bind(m->params, 0, NULL); /* functions that backward runs again must not see
                                             * this */
        ct_grad(1, &loss, n, fast, NULL, true, g);
        for (int i = 0; i < n; i++)
            fast[i] = ct_sub(fast[i], ct_mul_scalar(g[i], 0.5));
    }
    ct_params_bind(m->params, n, fast);
    loss = learner_loss(m, 1);
    ct_params_bind(m->params, 0, NULL);
    ct_grad(1, &loss, n, own, NULL, false, gradients);
    return ct_item(loss);
}

static void expect_near(const char *what, int k, double got, double want)
{
    ck_assert_msg(fabs(got - want) <= 1e-12 + 1e-10 * fabs(want), "%s %d: %.17g, PyTorch has %.17g",
                  what, k, got, want);
}

static void expect_torch(FILE *f, const char *kind, double loss, ct_tensor *const *g, int count)
{
    double want, got[64];
    char word[20];

    ck_assert(fscanf(f, "%19s %lf", word, &want) == 2 && strcmp(word, kind) == 0);
    expect_near(kind, -1, loss, want);
    for (int k = 0; k < count; k++) {
        size_t n = (size_t)ct_numel(g[k]);

        ck_assert_int_eq(ct_to_host(g[k], got, n * sizeof *got), CT_OK);
        for (size_t i = 0; i < n; i++) {
            ck_assert_int_eq(fscanf(f, "%lf", &want), 1);
            expect_near(kind, k, got[i], want);
        }
    }
}

/* Bit 0 of _i: no sequence function; bit 1: under an activation checkpoint. */
START_TEST(maml_has_torchs_gradients)
{
    static const char *const kinds[] = { "rnn", "gru", "lstm" };
    FILE *f = fopen(harness_source("tests/torch/maml.txt"), "r");
    ct_tensor *g[MOST];

    ck_assert(f && fscanf(f, "#%*[^\n]") == 0);
    ct_set_fused_rnn(!(_i & 1));
    for (int k = 0; k < 3; k++) {
        ct_scope s = ct_scope_begin();
        learner m = learner_new(kinds[k]);
        double loss;

        m.checkpoint = _i & 2;
        loss = learn(&m, g);
        expect_ok();
        expect_torch(f, kinds[k], loss, g, 6);
        ck_assert_int_eq(ct_scope_end(s), CT_OK);
        ct_params_free(m.params);
    }
    ct_set_fused_rnn(true);
    fclose(f);
}
END_TEST

/* Gradients and gradients of gradients through bound values. */
static ct_tensor *bound_loss(int count, ct_tensor *const *inputs, void *context)
{
    learner *m = context;
    ct_tensor *loss;

    ct_params_bind(m->params, count, inputs);
    loss = learner_loss(m, 0);
    ct_params_bind(m->params, 0, NULL);
    return loss;
}

START_TEST(gradcheck_through_bound_values)
{
    ct_scope s = ct_scope_begin();
    learner m = learner_new("gru");
    ct_generator g = ct_generator_from_seed(1);
    ct_tensor *values[MOST];
    int n = ct_params_values(m.params, MOST, values);

    for (int k = 0; k < n; k++)
        values[k] = ct_set_requires_grad(wave(ct_tensor_shape(values[k]), cos, 0.4, 1.1, k), true);
    m.checkpoint = _i;
    ck_assert_msg(ct_gradcheck(bound_loss, n, values, &m, &g, 0, 0) &&
                      ct_gradgradcheck(bound_loss, n, values, &m, &g, 0, 1e-5),
                  "%s", ct_error_message());
    ck_assert_int_eq(ct_scope_end(s), CT_OK);
    ct_params_free(m.params);
}
END_TEST

START_TEST(failing_memory)
{
    ct_params *set = small_set();
    bool good = false;

    for (int k = 1; !good; k++) {
        ct_scope s = ct_scope_begin();
        ct_tensor *v = pair(8);

        ct_memory_trim();
        fail_allocation(k);
        good = ct_params_bind(set, CT_TENSORS(v, v, v)) == CT_OK;
        fail_nothing();
        if (!good)
            expect_out_of_memory();
        ck_assert(reads(set, "b.v") == (good ? 8 : 4));
        ck_assert_int_eq(ct_scope_end(s), CT_OK);
        ck_assert_int_lt(k, 20);
    }
    ct_params_free(set);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("bind");
    TCase *c = harness_case(suite, "bind");

    tcase_add_test(c, binds_in_order_until_the_scope_ends);
    tcase_add_test(c, two_sets_and_late_entries);
    tcase_add_test(c, tied_and_frozen);
    tcase_add_test(c, others_do_not_see_it);
    tcase_add_test(c, bad_bindings);
    tcase_add_test(c, failing_memory);
    c = harness_case(suite, "maml");
    tcase_set_timeout(c, 120);
    tcase_add_loop_test(c, maml_has_torchs_gradients, 0, 4);
    tcase_add_loop_test(c, gradcheck_through_bound_values, 0, 2);
    return harness_run(suite);
}
