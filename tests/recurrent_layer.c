/* SPDX-License-Identifier: MIT */
/* recurrent_layer.c - whole layers of LSTM, GRU and RNN in f32, which one op computes on processors with
 * AVX2 or NEON. Its results are compared with those of the same model in f64, whose ops the other tests
 * compare with PyTorch and with differences. */
#include <cotangent.h>

#include "tests/harness.h"
#include "tests/helpers.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/test_recurrent.h"

/* More than 64 rows (steps times batch) in each case; fewer are left to another op. The gradients of
 * the weights are computed from at most 1,280 rows at a time. */
typedef struct layer_form {
    int64_t steps, batch;
    bool one_hot; /* x is one-hot and has no gradient */
    ct_nn_recurrent_options o;
} layer_form;

static const layer_form layer_forms[] = {
    { 5, 14, false, { .num_layers = 1 } },
    { 9, 150, true, { .bidirectional = true } },
    { 4, 330, false, { .num_layers = 2, .reverse = true, .no_bias = true } },
    { 70, 1, false, { .bidirectional = true, .num_layers = 2 } },
};
static const int64_t layer_sizes[] = { 1, 7, 16, 17, 28, 72 };

enum { INPUT = 5, MOST_TENSORS = 32, KINDS = 4 };

/* A module with given values of its parameters, and the tensors of one call. */
typedef struct layer_model {
    const layer_form *form;
    ct_params *params;
    ct_recurrent *r;
    ct_state *begin;
    ct_scope scope;
    ct_tensor *x, *y, *loss;
    ct_tensor *of[MOST_TENSORS]; /* the tensors whose gradients are computed */
    int count;
} layer_model;

static ct_tensor *layer_tensor(ct_generator *g, ct_shape shape, ct_dtype dtype, double scale)
{
    ct_tensor *t =
        ct_mul(random_normal(g, shape, CT_F32), ct_full(CT_SCALAR, scale, CT_F32, DEVICE));

    return ct_cast(t, dtype);
}

static ct_tensor *layer_classes(int64_t steps, int64_t batch)
{
    ct_tensor *t = ct_zeros(CT_SHAPE(steps, batch), CT_I64, CT_CPU);
    int64_t *p = ct_mutable_data(t), i;

    for (i = 0; i < steps * batch; i++)
        p[i] = i * i % INPUT;
    return ct_to(t, DEVICE);
}

/* Kinds: LSTM, GRU, RNN with tanh, RNN with ReLU. With the seeds of these tests, no argument of a ReLU is
 * so near 0 that f32 and f64 take different sides. */
static ct_recurrent *layer_module(ct_params *params, int kind, ct_nn_recurrent_options o)
{
    o.nonlinearity = kind == 3 ? CT_NONLINEARITY_RELU : CT_NONLINEARITY_DEFAULT;
    if (kind < 2)
        return kind ? ct_nn_gru(params, "m", o) : ct_nn_lstm(params, "m", o);
    return ct_nn_rnn(params, "m", o);
}

/* Makes a model in m, of which form is set. */
static void layer_make_form(layer_model *m, int64_t hidden, int kind, ct_dtype dtype,
                            ct_generator *g)
{
    ct_nn_recurrent_options o = m->form->o;
    int k;

    o.input_size = INPUT;
    o.hidden_size = hidden;
    m->params = new_params(3, dtype);
    m->r = layer_module(m->params, kind, o);
    m->begin = ct_recurrent_begin_state(m->r, m->form->batch);
    m->scope = ct_scope_begin();
    for (k = 0; k < ct_params_count(m->params); k++) {
        ct_tensor *value = ct_param_value(ct_params_at(m->params, k));
        ct_scope s = ct_scope_begin_no_grad();

        ct_copy_into(value, layer_tensor(g, ct_tensor_shape(value), dtype,
                                         0.8 / sqrt((double)o.hidden_size + 3)));
        ck_assert(ct_scope_end(s) == CT_OK);
        m->of[m->count++] = value;
    }
    for (k = 0; k < ct_state_count(m->begin); k++) {
        ct_tensor *t = ct_state_get(m->begin, k);

        ct_copy_into(t, layer_tensor(g, ct_tensor_shape(t), dtype, 1));
        m->of[m->count++] = ct_set_requires_grad(t, true);
    }
    if (m->form->one_hot) {
        m->x = ct_one_hot(layer_classes(m->form->steps, m->form->batch), INPUT);
        if (dtype == CT_F64)
            m->x = ct_cast(m->x, dtype);
    } else {
        m->x = layer_tensor(g, CT_SHAPE(m->form->steps, m->form->batch, INPUT), dtype, 1);
        m->of[m->count++] = ct_set_requires_grad(m->x, true);
    }
}

static void layer_make(layer_model *m, int i, ct_dtype dtype, ct_generator *g)
{
    memset(m, 0, sizeof *m);
    m->form = &layer_forms[i / KINDS / LENGTH(layer_sizes)];
    layer_make_form(m, layer_sizes[i / KINDS % LENGTH(layer_sizes)], i % KINDS, dtype, g);
}

/* Runs the module, and makes a random function of all its results. */
static void layer_run(layer_model *m, ct_generator *g)
{
    ct_dtype dtype = ct_params_dtype(m->params);
    ct_state *next;
    int k;

    m->y = ct_recurrent_forward(m->r, m->x, m->begin, &next);
    m->loss = ct_sum(ct_mul(m->y, layer_tensor(g, ct_tensor_shape(m->y), dtype, 1)));
    for (k = 0; k < ct_state_count(next); k++) {
        ct_tensor *t = ct_state_get(next, k);

        m->loss = ct_add(m->loss, ct_sum(ct_mul(t, layer_tensor(g, ct_tensor_shape(t), dtype, 1))));
    }
    expect_ok();
}

static void layer_free(layer_model *m)
{
    ck_assert(ct_scope_end(m->scope) == CT_OK);
    ct_state_free(m->begin);
    ct_params_free(m->params);
}

/* Makes and runs a case. Stores the gradients of all leaves. */
static void layer_gradients(layer_model *m, int i, ct_dtype dtype, ct_tensor **grad)
{
    ct_generator g = ct_generator_from_seed(170 + (uint64_t)i);

    layer_make(m, i, dtype, &g);
    layer_run(m, &g);
    ck_assert(ct_grad(1, &m->loss, m->count, m->of, NULL, false, grad) == CT_OK);
}

/* Compares with an error of `tolerance` times the greatest element. */
static void layer_compare(const char *what, ct_tensor *got, ct_tensor *want, double tolerance)
{
    double *v = values_of(want), most = 1e-3;
    int64_t n = ct_numel(want), i;

    for (i = 0; i < n; i++)
        most = fmax(most, fabs(v[i]));
    expect_values(what, got, v, (size_t)n, tolerance * most);
    free(v);
}

/* The values and gradients in f32 are those in f64 up to rounding. They have the same bits with
 * three threads; y also without history. */
START_TEST(test_layer_values)
{
    layer_model single, twice, threads;
    ct_tensor *a[MOST_TENSORS], *b[MOST_TENSORS], *c[MOST_TENSORS];
    ct_scope s;
    int k;

    layer_gradients(&twice, _i, CT_F64, b);
    layer_gradients(&single, _i, CT_F32, a);
    ck_assert(ct_set_num_threads(3) == CT_OK);
    layer_gradients(&threads, _i, CT_F32, c);
    ck_assert(ct_set_num_threads(1) == CT_OK);
    layer_compare("y", single.y, twice.y, 3e-6);
    expect_same_bits("y, three threads", threads.y, single.y);
    for (k = 0; k < single.count; k++) {
        layer_compare("gradient", a[k], b[k], 1e-5);
        expect_same_bits("gradient, three threads", c[k], a[k]);
    }
    s = ct_scope_begin_no_grad();
    expect_same_bits("y without history",
                     ct_recurrent_forward(single.r, single.x, single.begin, NULL), single.y);
    ck_assert(ct_scope_end(s) == CT_OK);
    layer_free(&threads);
    layer_free(&single);
    layer_free(&twice);
}
END_TEST

/* The gradient of each leaf alone has the bits of the gradients of all. Gradients with history are
 * the same up to rounding. */
START_TEST(test_layer_parts)
{
    layer_model m;
    ct_tensor *all[MOST_TENSORS], *recorded[MOST_TENSORS], *one;
    int i = _i * 13, k;

    layer_gradients(&m, i, CT_F32, all);
    ck_assert(ct_grad(1, &m.loss, m.count, m.of, NULL, true, recorded) == CT_OK);
    for (k = 0; k < m.count; k++) {
        ck_assert(ct_grad(1, &m.loss, 1, &m.of[k], NULL, false, &one) == CT_OK);
        expect_same_bits("gradient alone", one, all[k]);
        layer_compare("gradient with history", recorded[k], all[k], 5e-5);
    }
    layer_free(&m);
}
END_TEST

/* Stores the gradients of the sum of the squares of all gradients. */
static void layer_second(layer_model *m, int i, ct_dtype dtype, ct_tensor **second)
{
    ct_generator g = ct_generator_from_seed(9);
    ct_tensor *first[MOST_TENSORS], *sum;
    int k;

    layer_make(m, i, dtype, &g);
    layer_run(m, &g);
    sum = ct_full(CT_SCALAR, 0, dtype, DEVICE);
    ck_assert(ct_grad(1, &m->loss, m->count, m->of, NULL, true, first) == CT_OK);
    for (k = 0; k < m->count; k++)
        sum = ct_add(sum, ct_mean(ct_square(first[k])));
    ck_assert(ct_grad(1, &sum, m->count, m->of, NULL, false, second) == CT_OK);
}

START_TEST(test_layer_second)
{
    layer_model single, twice;
    ct_tensor *a[MOST_TENSORS], *b[MOST_TENSORS];
    int k;

    layer_second(&twice, 4 + _i, CT_F64, b);
    layer_second(&single, 4 + _i, CT_F32, a);
    for (k = 0; k < single.count; k++)
        layer_compare("second derivative", a[k], b[k], 1e-4);
    layer_free(&single);
    layer_free(&twice);
}
END_TEST

/* Returns how often the drawing of a history has a text. */
static int layer_times(ct_tensor *t, const char *what)
{
    char *text = NULL, *at;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    int n = 0;

    ck_assert(f && ct_graph_dot(t, f) == CT_OK);
    fclose(f);
    for (at = text; (at = strstr(at, what)) != NULL; at++)
        n++;
    free(text);
    return n;
}

/* Returns the number of boxes and edges of ct_recurrent_forward. */
static int layer_boxes(ct_tensor *t)
{
    return layer_times(t, "ct_recurrent_forward");
}

static bool layer_has_kernels(void)
{
#if defined(__x86_64__) && defined(__GNUC__)
    const char *path = getenv("COTANGENT_CPU_PATH");

    return DEVICE == CT_CPU && !(path && strcmp(path, "base") == 0) &&
           __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#elif defined(__aarch64__) && defined(__ARM_NEON)
    return DEVICE == CT_CPU;
#else
    return false;
#endif
}

/* Backward uses the form of the forward, whatever ct_set_portable says by then. The portable form
 * has more ops. */
START_TEST(test_layer_portable)
{
    layer_model plain, m;
    ct_tensor *a[MOST_TENSORS], *b[MOST_TENSORS];
    ct_generator g;
    int boxes, k;

    layer_gradients(&plain, _i, CT_F32, a);
    boxes = layer_boxes(plain.loss);
    g = ct_generator_from_seed(170 + (uint64_t)_i);
    layer_make(&m, _i, CT_F32, &g);
    layer_run(&m, &g);
    ct_set_portable(true);
    ck_assert(ct_grad(1, &m.loss, m.count, m.of, NULL, false, b) == CT_OK);
    for (k = 0; k < m.count; k++)
        layer_compare("gradient after ct_set_portable", b[k], a[k], 2e-5);
    layer_free(&m);
    g = ct_generator_from_seed(170 + (uint64_t)_i);
    layer_make(&m, _i, CT_F32, &g);
    layer_run(&m, &g);
    if (layer_has_kernels())
        ck_assert_int_gt(layer_boxes(m.loss), boxes);
    else
        ck_assert_int_eq(layer_boxes(m.loss), boxes);
    ct_set_portable(false);
    ck_assert(ct_grad(1, &m.loss, m.count, m.of, NULL, false, b) == CT_OK);
    for (k = 0; k < m.count; k++)
        layer_compare("gradient of the portable form", b[k], a[k], 2e-5);
    layer_free(&m);
    layer_free(&plain);
}
END_TEST

/* In bf16, backward uses the precision of the forward, whatever ct_set_matmul_precision and ct_set_portable
 * say by then. The values are those in f32 up to the rounding of the operands. */
START_TEST(test_layer_bf16)
{
    static const int cases[] = { 3, 9,
                                 14 }; /* a form and a size; only LSTM and GRU for one-hot x */
    const int i = _i % KINDS + KINDS * cases[_i / KINDS];
    layer_model full, plain, m;
    ct_tensor *a[MOST_TENSORS], *b[MOST_TENSORS], *f[MOST_TENSORS];
    int way, k;

    if (strcmp(ct_build_get_info().bf16, "AVX512-BF16") != 0 || DEVICE != CT_CPU) {
        printf("test_layer_bf16: skipped, this processor or code path has no AVX512-BF16\n");
        return;
    }
    if (_i / KINDS == 1 && _i % KINDS > 1)
        return;
    layer_gradients(&full, i, CT_F32, f);
    ck_assert(ct_set_matmul_precision(CT_MATMUL_PRECISION_BF16) == CT_OK);
    layer_gradients(&plain, i, CT_F32, a);
    ck_assert_int_eq(layer_boxes(plain.loss), layer_boxes(full.loss));
    layer_compare("y", plain.y, full.y, 0.03);
    for (k = 0; k < full.count && _i % KINDS < 3; k++) /* slopes of ReLU may flip at 0 */
        layer_compare("gradient", a[k], f[k], 0.06);
    for (way = 0; way < 2; way++) {
        ct_generator g = ct_generator_from_seed(170 + (uint64_t)i);

        layer_make(&m, i, CT_F32, &g);
        layer_run(&m, &g);
        if (way)
            ct_set_portable(true);
        else
            ck_assert(ct_set_matmul_precision(CT_MATMUL_PRECISION_F32) == CT_OK);
        ck_assert(ct_grad(1, &m.loss, m.count, m.of, NULL, false, b) == CT_OK);
        ct_set_portable(false);
        ck_assert(ct_set_matmul_precision(CT_MATMUL_PRECISION_BF16) == CT_OK);
        for (k = 0; k < m.count; k++)
            expect_same_bits(way ? "portable" : "f32", b[k], a[k]);
        ck_assert(ct_grad(1, &m.loss, m.count, m.of, NULL, true, b) == CT_OK);
        for (k = 0; k < m.count; k++)
            layer_compare("gradient with history", b[k], a[k], 0.02);
        layer_free(&m);
    }
    ck_assert(ct_set_matmul_precision(CT_MATMUL_PRECISION_F32) == CT_OK);
    layer_free(&plain);
    layer_free(&full);
}
END_TEST

/* ---- stacked layers in one op ---- */

enum { STACK_HIDDEN = 48 };

/* The layers of a form share their steps with three threads, except an RNN's. */
static const layer_form stack_forms[] = {
    { 12, 6, false, { .num_layers = 2 } },
    { 11, 7, true, { .num_layers = 3, .reverse = true } },
    { 14, 6, false, { .num_layers = 9, .no_bias = true } }, /* more than a call takes */
};

/* What differs from the plain run of a form. */
typedef enum stack_way {
    STACK_PLAIN,
    STACK_FROZEN, /* the weights of the first layer */
    STACK_ALONE,  /* and nothing else of the first layer needs a gradient */
    STACK_TIED,   /* the second layer has w_hh of the first */
    STACK_WAYS
} stack_way;

static bool stack_is_frozen(const layer_model *m, int k)
{
    const char *name = ct_param_name(ct_params_at(m->params, k));

    return strcmp(name + strlen(name) - 3, "_l0") == 0;
}

/* Keeps only the tensors of m that need gradients. */
static void stack_freeze(layer_model *m, bool alone)
{
    const int params = ct_params_count(m->params);
    ct_tensor *of[MOST_TENSORS];
    int count = 0, k;

    ck_assert_int_gt(ct_params_freeze(m->params, "*_l0", true), 0);
    for (k = 0; k < m->count; k++) {
        if (k < params ? !stack_is_frozen(m, k) : !alone)
            of[count++] = m->of[k];
        else if (k >= params)
            ct_set_requires_grad(m->of[k], false);
    }
    memcpy(m->of, of, (size_t)count * sizeof *of);
    m->count = count;
}

static void stack_tie(layer_model *m)
{
    ct_tensor *values[MOST_TENSORS] = { NULL };
    int first = 0, k;

    for (k = 0; k < ct_params_count(m->params); k++) {
        const char *name = ct_param_name(ct_params_at(m->params, k));

        if (strstr(name, "weight_hh_l0"))
            first = k;
        if (strstr(name, "weight_hh_l1"))
            values[k] = m->of[k] = m->of[first];
    }
    ck_assert(ct_params_bind(m->params, k, values) == CT_OK);
}

/* Makes and runs a case. Stores the gradients of all leaves, with history if `recorded`. */
static void stack_gradients(layer_model *m, int i, stack_way way, bool recorded, ct_tensor **grad)
{
    ct_generator g = ct_generator_from_seed(40 + (uint64_t)i);

    memset(m, 0, sizeof *m);
    m->form = &stack_forms[i / KINDS];
    layer_make_form(m, STACK_HIDDEN, i % KINDS, CT_F32, &g);
    if (way == STACK_FROZEN || way == STACK_ALONE)
        stack_freeze(m, way == STACK_ALONE);
    if (way == STACK_TIED)
        stack_tie(m);
    layer_run(m, &g);
    if (way == STACK_TIED) /* backward has the values of the forward */
        ck_assert(ct_params_bind(m->params, 0, NULL) == CT_OK);
    ck_assert(ct_grad(1, &m->loss, m->count, m->of, NULL, recorded, grad) == CT_OK);
}

/* Returns the number of ops with history that the layers of a form are with the kernels for layers. A
 * narrow RNN with a one-hot x has an op of its own for the first layer. */
static int stack_ops(const layer_form *f, int kind, stack_way way)
{
    const bool alone = way == STACK_ALONE, own = f->one_hot && kind > 1;
    const int others = f->o.num_layers - (alone || own);

    return (own && !alone) + (others + 7) / 8;
}

/* Values and gradients of stacked layers are those of single steps, up to rounding. They have the same
 * bits with three threads, and the gradients with history are the same up to rounding. */
START_TEST(test_stack_values)
{
    const stack_way way = (stack_way)(_i % STACK_WAYS);
    const int i = _i / STACK_WAYS;
    layer_model fused, plain, other;
    ct_tensor *a[MOST_TENSORS], *b[MOST_TENSORS], *c[MOST_TENSORS];
    int k;

    ct_set_fused_rnn(false);
    stack_gradients(&plain, i, way, false, b);
    ct_set_fused_rnn(true);
    stack_gradients(&fused, i, way, false, a);
    if (layer_has_kernels())
        ck_assert_int_eq(layer_times(fused.loss, "shape=box, label=\"ct_recurrent_forward"),
                         stack_ops(fused.form, i % KINDS, way));
    ck_assert(ct_set_num_threads(3) == CT_OK);
    stack_gradients(&other, i, way, false, c);
    ck_assert(ct_set_num_threads(1) == CT_OK);
    layer_compare("y", fused.y, plain.y, 1e-5);
    expect_same_bits("y, three threads", other.y, fused.y);
    for (k = 0; k < fused.count; k++) {
        layer_compare("gradient", a[k], b[k], 2e-5);
        expect_same_bits("gradient, three threads", c[k], a[k]);
    }
    layer_free(&other);
    stack_gradients(&other, i, way, true, c);
    for (k = 0; k < fused.count; k++)
        layer_compare("gradient with history", c[k], a[k], 5e-5);
    layer_free(&other);
    layer_free(&fused);
    layer_free(&plain);
}
END_TEST

/* The gradient of each leaf alone has the bits of the gradients of all. */
START_TEST(test_stack_parts)
{
    layer_model m;
    ct_tensor *all[MOST_TENSORS], *one;
    int k;

    stack_gradients(&m, KINDS + _i, STACK_PLAIN, false, all);
    for (k = 0; k < m.count; k++) {
        ck_assert(ct_grad(1, &m.loss, 1, &m.of[k], NULL, false, &one) == CT_OK);
        expect_same_bits("gradient alone", one, all[k]);
    }
    layer_free(&m);
}
END_TEST

/* Stores the gradients of a function of the last h of all layers. Nothing depends on y. */
static void stack_last(layer_model *m, int i, ct_tensor **grad)
{
    ct_tensor *all[MOST_TENSORS], *loss;
    ct_state *next;

    stack_gradients(m, i, STACK_PLAIN, false, all);
    ck_assert(ct_recurrent_forward(m->r, m->x, m->begin, &next) != NULL);
    loss = ct_sum(ct_square(ct_state_get(next, 0)));
    ck_assert(ct_grad(1, &loss, m->count, m->of, NULL, false, grad) == CT_OK);
}

START_TEST(test_stack_last)
{
    layer_model fused, plain;
    ct_tensor *a[MOST_TENSORS], *b[MOST_TENSORS];
    int k;

    stack_last(&fused, _i, a);
    ct_set_fused_rnn(false);
    stack_last(&plain, _i, b);
    ct_set_fused_rnn(true);
    for (k = 0; k < fused.count; k++)
        layer_compare("gradient", a[k], b[k], 2e-5);
    layer_free(&plain);
    layer_free(&fused);
}
END_TEST

/* Stores the gradients of the sum of the squares of all gradients. */
static void stack_second(layer_model *m, int i, ct_tensor **second)
{
    ct_tensor *first[MOST_TENSORS], *sum;
    int k;

    stack_gradients(m, i, STACK_PLAIN, true, first);
    sum = ct_full(CT_SCALAR, 0, CT_F32, DEVICE);
    for (k = 0; k < m->count; k++)
        sum = ct_add(sum, ct_mean(ct_square(first[k])));
    ck_assert(ct_grad(1, &sum, m->count, m->of, NULL, false, second) == CT_OK);
}

START_TEST(test_stack_second)
{
    layer_model fused, plain;
    ct_tensor *a[MOST_TENSORS], *b[MOST_TENSORS];
    int k;

    stack_second(&fused, _i, a);
    ct_set_fused_rnn(false);
    stack_second(&plain, _i, b);
    ct_set_fused_rnn(true);
    for (k = 0; k < fused.count; k++)
        layer_compare("second derivative", a[k], b[k], 1e-4);
    layer_free(&plain);
    layer_free(&fused);
}
END_TEST

static bool layer_recomputed(void *context, int inputs_count, ct_tensor *const *inputs,
                             int outputs_count, ct_tensor **outputs)
{
    layer_model *m = context;

    (void)inputs_count, (void)outputs_count;
    outputs[0] = ct_recurrent_forward(m->r, inputs[0], m->begin, NULL);
    return outputs[0] != NULL;
}

/* An activation checkpoint changes no bit. */
START_TEST(test_layer_checkpoint)
{
    ct_generator g = ct_generator_from_seed(5);
    ct_tensor *plain[MOST_TENSORS], *again[MOST_TENSORS], *y, *loss, *dy;
    layer_model m;
    int k;

    layer_make(&m, _i, CT_F32, &g);
    y = ct_recurrent_forward(m.r, m.x, m.begin, NULL);
    dy = layer_tensor(&g, ct_tensor_shape(y), CT_F32, 1);
    loss = ct_sum(ct_mul(y, dy));
    ck_assert(ct_grad(1, &loss, m.count, m.of, NULL, false, plain) == CT_OK);
    ck_assert(ct_activation_checkpoint(layer_recomputed, &m, NULL, 1, &m.x, 1, &y) == CT_OK);
    loss = ct_sum(ct_mul(y, dy));
    ck_assert(ct_grad(1, &loss, m.count, m.of, NULL, false, again) == CT_OK);
    for (k = 0; k < m.count; k++)
        expect_same_bits("gradient", again[k], plain[k]);
    layer_free(&m);
}
END_TEST

void recurrent_layer_cases(Suite *suite)
{
    TCase *tc = harness_case(suite, "layer");

    tcase_add_loop_test(tc, test_layer_values, 0,
                        KINDS * LENGTH(layer_sizes) * harness_rounds(3, LENGTH(layer_forms)));
    tcase_add_loop_test(tc, test_layer_parts, 0, harness_rounds(1, 6));
    tcase_add_loop_test(tc, test_layer_second, 0, harness_rounds(1, KINDS));
    tcase_add_loop_test(tc, test_layer_portable, 0, KINDS);
    tcase_add_loop_test(tc, test_layer_bf16, 0, 3 * KINDS);
    tcase_add_loop_test(tc, test_layer_checkpoint, 0, KINDS);
    tcase_add_loop_test(tc, test_stack_values, 0, STACK_WAYS * KINDS * LENGTH(stack_forms));
    tcase_add_loop_test(tc, test_stack_parts, 0, KINDS);
    tcase_add_loop_test(tc, test_stack_last, 0, KINDS * LENGTH(stack_forms));
    tcase_add_loop_test(tc, test_stack_second, 0, harness_rounds(1, KINDS));
}
