/* SPDX-License-Identifier: MIT */
/* engine_activation_checkpoint.c - activation checkpointing. */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "tests/harness.h"

#include <stdlib.h>
#include <string.h>

#include <cotangent.h>

#include "tests/test_engine.h"

/* ---- checkpointing ---- */

typedef struct layer {
    ct_tensor *w;
    ct_generator *g;
    int runs;
    bool other; /* the next call returns another shape */
    bool fails;
    bool forgets;  /* leaves the last output NULL */
    bool detaches; /* detaches the last output */
} layer;

/* h (4, 6), scale (1) -> tanh(h W) with noise, and its square */
static bool run_layer(void *context, int inputs_count, ct_tensor *const *inputs, int outputs_count,
                      ct_tensor **outputs)
{
    layer *l = context;
    ct_tensor *noise = ct_randn(CT_SHAPE(4, 6), CT_F64, DEVICE, l->g);

    ck_assert_int_eq(inputs_count, 2);
    l->runs++;
    outputs[0] = ct_tanh(ct_add(ct_matmul(inputs[0], l->w), ct_mul(noise, inputs[1])));
    if (outputs_count > 1)
        outputs[1] = l->detaches ? ct_detach(outputs[0]) : ct_square(outputs[0]);
    if (l->forgets)
        outputs[outputs_count - 1] = NULL;
    if (l->other)
        outputs[0] = ct_sum(outputs[0]);
    return !l->fails;
}

/* Returns the loss after three layers, with or without activation checkpoints. */
static ct_tensor *three_layers(layer *l, ct_tensor *h, ct_tensor *scale, bool checkpoint)
{
    ct_tensor *loss = NULL;
    int i;

    for (i = 0; i < 3; i++) {
        ct_tensor *in[] = { h, scale }, *out[2], *part;

        if (checkpoint)
            ct_activation_checkpoint(run_layer, l, l->g, 2, in, 2, out);
        else
            run_layer(l, 2, in, 2, out);
        h = out[0];
        part = ct_mean(out[1]);
        loss = loss ? ct_add(loss, part) : part;
    }
    return ct_add(loss, ct_sum(h));
}

START_TEST(a_checkpoint_gives_the_same_bits)
{
    ct_generator init = ct_generator_from_seed(5), draws[2];
    ct_scope s = ct_scope_begin();
    ct_tensor *w = random_leaf(&init, CT_SHAPE(6, 6)), *h = random_leaf(&init, CT_SHAPE(4, 6));
    ct_tensor *scale = LEAF(0.3), *leaves[] = { w, h, scale }, *loss[2], *grads[2][3];
    int k, i;

    for (k = 0; k < 2; k++) {
        layer l = { .w = w, .g = &draws[k] };

        draws[k] = ct_generator_from_seed(9);
        loss[k] = three_layers(&l, h, scale, k == 1);
        ck_assert(ct_backward(loss[k]) == CT_OK);
        ck_assert_int_eq(l.runs, k ? 6 : 3);
        for (i = 0; i < 3; i++) {
            grads[k][i] = ct_clone(ct_tensor_grad(leaves[i]));
            ct_tensor_zero_grad(leaves[i]);
        }
    }
    ck_assert_msg(draws[0].position == draws[1].position, "the generator stands elsewhere");
    expect_same_bits("loss", loss[0], loss[1]);
    for (i = 0; i < 3; i++)
        expect_same_bits("gradient", grads[0][i], grads[1][i]);
    end_scope(s);
}
END_TEST

/* ct_grad also finds parameters that only the function uses, and computes second derivatives by
 * them. */
START_TEST(a_checkpoint_under_grad)
{
    ct_generator init = ct_generator_from_seed(6), draws;
    ct_scope s = ct_scope_begin();
    ct_tensor *w = random_leaf(&init, CT_SHAPE(6, 6)), *h = random_leaf(&init, CT_SHAPE(4, 6));
    ct_tensor *scale = LEAF(0.2), *inputs[] = { w, h }, *first[2][2], *second[2][2];
    layer l = { .w = w, .g = &draws };
    int k, i;

    for (k = 0; k < 2; k++) {
        ct_tensor *loss, *norm;

        draws = ct_generator_from_seed(9);
        loss = three_layers(&l, h, scale, k == 1);
        ck_assert(ct_grad(1, &loss, 2, inputs, NULL, true, first[k]) == CT_OK);
        norm = ct_add(ct_sum(ct_square(first[k][0])), ct_sum(ct_square(first[k][1])));
        ck_assert(ct_grad(1, &norm, 2, inputs, NULL, false, second[k]) == CT_OK);
    }
    for (i = 0; i < 2; i++) {
        double *a = values_of(first[0][i]), *b = values_of(second[0][i]);

        expect_values("first", first[1][i], a, (size_t)ct_numel(first[0][i]), 1e-12);
        expect_values("second", second[1][i], b, (size_t)ct_numel(second[0][i]), 1e-10);
        free(a);
        free(b);
    }
    end_scope(s);
}
END_TEST

/* One of sixteen wide layers. With activation checkpoints, memory holds the history of only one of
 * them at a time. */
static bool run_wide(void *context, int inputs_count, ct_tensor *const *inputs, int outputs_count,
                     ct_tensor **outputs)
{
    ct_tensor *y = inputs[0];
    int i;

    (void)context, (void)inputs_count, (void)outputs_count;
    for (i = 0; i < 8; i++)
        y = ct_tanh(ct_square(y));
    outputs[0] = y;
    return y != NULL;
}

static size_t wide_memory(bool checkpoint)
{
    size_t before = ct_memory_get_stats().live_bytes, most;
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_set_requires_grad(ct_ones(CT_SHAPE(1 << 16), CT_F32, DEVICE), true), *y = x;
    int i;

    for (i = 0; i < 16; i++)
        if (checkpoint)
            ct_activation_checkpoint(run_wide, NULL, NULL, 1, (ct_tensor *[]){ y }, 1, &y);
        else
            run_wide(NULL, 1, (ct_tensor *[]){ y }, 1, &y);
    most = ct_memory_get_stats().live_bytes - before;
    ck_assert(ct_backward(ct_sum(y)) == CT_OK);
    end_scope(s);
    return most;
}

START_TEST(a_checkpoint_saves_memory)
{
    size_t with = wide_memory(true), without = wide_memory(false);

    ck_assert_msg(with * 10 < without, "%zu bytes with checkpoints, %zu without", with, without);
}
END_TEST

START_TEST(checkpoints_are_checked)
{
    ct_generator init = ct_generator_from_seed(6), draws = ct_generator_from_seed(7);
    ct_scope s = ct_scope_begin();
    ct_tensor *w = random_leaf(&init, CT_SHAPE(6, 6)), *h = random_leaf(&init, CT_SHAPE(4, 6));
    ct_tensor *in[] = { h, VECTOR(1) }, *out[1];
    layer l = { .w = w, .g = &draws };

    ct_activation_checkpoint(run_layer, &l, &draws, 2, in, 0, out);
    expect_error(CT_ERR_ARGUMENT, "ct_activation_checkpoint", "outputs_count is 0");
    ct_activation_checkpoint(NULL, &l, &draws, 2, in, 1, out);
    expect_error(CT_ERR_ARGUMENT, "ct_activation_checkpoint", "function is NULL");
    ck_assert(ct_activation_checkpoint(run_layer, &l, &draws, 2, in, 1, out) == CT_OK);
    l.other = true;
    ct_backward_with(out[0], ct_ones(CT_SHAPE(4, 6), CT_F64, DEVICE));
    expect_error(CT_ERR_GRAD, "ct_activation_checkpoint", "f64[]");
    ck_assert_ptr_null(ct_tensor_grad(w));
    l.other = false;
    l.fails = true;
    ct_backward_with(out[0], ct_ones(CT_SHAPE(4, 6), CT_F64, DEVICE));
    expect_error(CT_ERR_GRAD, "ct_activation_checkpoint", "failed ... second run");
    ck_assert_ptr_null(ct_tensor_grad(w));
    l.fails = false;
    ct_set_grad_enabled(false);
    ct_fill(w, 1);
    ct_set_grad_enabled(true);
    ct_backward_with(out[0], ct_ones(CT_SHAPE(4, 6), CT_F64, DEVICE));
    expect_error(CT_ERR_GRAD, "ct_activation_checkpoint", "input 2 ... modified");
    leave(s);
}
END_TEST

/* Only g is set back for the second run, so no other generator may draw tensors or numbers. */
static bool run_coin(void *context, int inputs_count, ct_tensor *const *inputs, int outputs_count,
                     ct_tensor **outputs)
{
    (void)inputs_count, (void)outputs_count;
    outputs[0] = ct_mul_scalar(inputs[0], ct_random_uniform(context) < 0.5 ? 1 : 2);
    return true;
}

START_TEST(checkpoints_draw_from_their_generator)
{
    ct_generator init = ct_generator_from_seed(6), draws = ct_generator_from_seed(7);
    ct_scope s = ct_scope_begin();
    ct_tensor *w = random_leaf(&init, CT_SHAPE(6, 6)), *h = random_leaf(&init, CT_SHAPE(4, 6));
    ct_tensor *in[] = { h, VECTOR(1) }, *out[2];
    layer l = { .w = w, .g = &draws };
    ct_generator *const wrong[] = { NULL, &init };
    int i;

    for (i = 0; i < 2; i++) {
        ct_activation_checkpoint(run_layer, &l, wrong[i], 2, in, 2, out);
        ck_assert(!out[0] && !out[1]);
        expect_error(CT_ERR_ARGUMENT, "ct_randn", "pass that generator as g");
        ct_activation_checkpoint(run_coin, &draws, wrong[i], 1, in, 1, out);
        expect_error(CT_ERR_ARGUMENT, "ct_random_uniform", "pass that generator as g");
    }
    ck_assert(ct_activation_checkpoint(run_coin, &draws, &draws, 1, in, 1, out) == CT_OK);
    ct_set_grad_enabled(false); /* recording is off, so there is no second run */
    ck_assert(ct_activation_checkpoint(run_layer, &l, NULL, 2, in, 2, out) == CT_OK);
    ct_set_grad_enabled(true);
    ck_assert(ct_isfinite(ct_randn(CT_SHAPE(2), CT_F64, DEVICE, &init)) != NULL);
    leave(s);
}
END_TEST

static bool run_module(void *context, int inputs_count, ct_tensor *const *inputs, int outputs_count,
                       ct_tensor **outputs)
{
    (void)inputs_count, (void)outputs_count;
    outputs[0] = ct_forward(context, inputs[0]);
    return outputs[0] != NULL;
}

/* A layer that takes its size from its first input may get it in the first run: its values are those
 * without a checkpoint, and the second run does not draw them again. */
START_TEST(checkpoints_make_lazy_parameters)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_mul_scalar(ct_ones(CT_SHAPE(4, 3), CT_F32, DEVICE), 0.5), *y = NULL;
    ct_tensor *w[2];
    ct_params *set[2];

    for (int k = 0; k < 2; k++) {
        ct_module *m;

        set[k] = ct_params_new((ct_params_options){ .seed = 3, .device = DEVICE });
        m = ct_nn_linear(set[k], "l", (ct_nn_linear_options){ .out_features = 2 });
        if (k)
            ck_assert(ct_activation_checkpoint(run_module, m, NULL, 1, &x, 1, &y) == CT_OK);
        else
            y = ct_forward(m, x);
        ct_backward(ct_sum(ct_square(y)));
        w[k] = ct_param_value(ct_params_get(set[k], "l.weight"));
    }
    expect_same_bits("value", w[1], w[0]);
    expect_same_bits("gradient", ct_tensor_grad(w[1]), ct_tensor_grad(w[0]));
    leave(s);
    ct_params_free(set[0]);
    ct_params_free(set[1]);
}
END_TEST

/* Filling one result of ct_grad changes neither another result nor the gradient that was passed
 * in. */
START_TEST(gradients_are_the_callers_own)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *a = LEAF(1, 2), *b = LEAF(3, 4), *c = LEAF(5, 6), *given = VECTOR(7, 8);
    ct_tensor *y = ct_add(ct_add(a, b), ct_reshape(c, CT_SHAPE(2))), *in[] = { a, b, c, a, y };
    ct_tensor *g[5];
    int i, k, create;

    for (create = 0; create < 2; create++)
        for (i = 0; i < 5; i++) {
            ck_assert(ct_grad(1, &y, 5, in, &given, create, g) == CT_OK);
            ck_assert(ct_fill(g[i], 0) == CT_OK);
            for (k = 0; k < 5; k++)
                if (k == i)
                    EXPECT(g[k], 0, 0);
                else
                    EXPECT(g[k], 7, 8);
            EXPECT(given, 7, 8);
        }
    y = ct_sum(a);
    ck_assert(ct_grad(1, &y, 2, in, NULL, false, g) == CT_OK);
    ck_assert(ct_fill(g[0], 3) == CT_OK && ct_fill(g[1], 4) == CT_OK);
    EXPECT(g[0], 3, 3);
    leave(s);
}
END_TEST

static ct_tensor *fill_gradient(ct_tensor *gradient, void *context)
{
    (void)context;
    ct_fill(ct_reshape(gradient, CT_SHAPE(2)), 7);
    return NULL;
}

/* loss = sum (h + z)^2, so h and z share their gradient: a hook on h must not write to it. */
START_TEST(a_hook_cannot_write_its_gradient)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = LEAF(1, 2), *z = LEAF(0, 0), *h = ct_mul_scalar(x, 1), *g;

    ck_assert(ct_register_hook(h, fill_gradient, NULL, NULL) == CT_OK);
    ct_backward(ct_sum(ct_square(ct_add(h, z))));
    expect_error(CT_ERR_GRAD, "ct_fill", "read-only");
    ck_assert_ptr_null(ct_tensor_grad(z));
    g = ct_ones_like(x);
    ck_assert(ct_fill(g, 7) == CT_OK);
    leave(s);
}
END_TEST

/* In the first run, every output must be set, and a failure must raise an error. In the second run,
 * the same outputs must have history. */
START_TEST(checkpoints_give_all_outputs)
{
    ct_generator init = ct_generator_from_seed(6), draws = ct_generator_from_seed(7);
    ct_scope s = ct_scope_begin();
    ct_tensor *w = random_leaf(&init, CT_SHAPE(6, 6)), *h = random_leaf(&init, CT_SHAPE(4, 6));
    ct_tensor *in[] = { h, VECTOR(1) }, *out[2], *ones = ct_ones(CT_SHAPE(4, 6), CT_F64, DEVICE);
    layer l = { .w = w, .g = &draws };

    l.forgets = true;
    ck_assert(ct_activation_checkpoint(run_layer, &l, &draws, 2, in, 2, out) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_activation_checkpoint", "NULL");
    ck_assert(!out[0] && !out[1]);
    l.forgets = false;
    l.fails = true;
    ck_assert(ct_activation_checkpoint(run_layer, &l, &draws, 2, in, 2, out) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_activation_checkpoint", "failed");
    ck_assert(!out[0] && !out[1]);
    l.fails = false;
    ck_assert(ct_activation_checkpoint(run_layer, &l, &draws, 2, in, 2, out) == CT_OK);
    l.detaches = true;
    ct_backward_with(out[0], ones);
    expect_error(CT_ERR_GRAD, "ct_activation_checkpoint", "1 outputs ... history");
    ck_assert_ptr_null(ct_tensor_grad(w));
    ck_assert(ct_activation_checkpoint(run_layer, &l, &draws, 2, in, 2, out) == CT_OK);
    ck_assert(ct_tensor_requires_grad(out[0]) && !ct_tensor_requires_grad(out[1]));
    ck_assert(ct_backward_with(out[0], ones) == CT_OK && ct_tensor_grad(w) && ct_tensor_grad(h));
    l.detaches = false;
    ct_tensor_zero_grad(w);
    ct_backward_with(out[0], ones);
    expect_error(CT_ERR_GRAD, "ct_activation_checkpoint", "2 outputs ... history");
    ck_assert_ptr_null(ct_tensor_grad(w));
    leave(s);
}
END_TEST

START_TEST(a_checkpoint_without_recording_records_nothing)
{
    ct_scope s = ct_scope_begin_no_grad();
    ct_tensor *x = LEAF(1, 2), *y;

    ck_assert(ct_activation_checkpoint(run_wide, NULL, NULL, 1, &x, 1, &y) == CT_OK);
    ck_assert(y && !ct_tensor_requires_grad(y));
    end_scope(s);
}
END_TEST

void engine_activation_checkpoint_cases(Suite *suite)
{
    TCase *tc = harness_case(suite, "checkpoint");

    tcase_add_test(tc, a_checkpoint_gives_the_same_bits);
    tcase_add_test(tc, a_checkpoint_under_grad);
    tcase_add_test(tc, a_checkpoint_saves_memory);
    tcase_add_test(tc, checkpoints_are_checked);
    tcase_add_test(tc, checkpoints_give_all_outputs);
    tcase_add_test(tc, a_checkpoint_without_recording_records_nothing);
    tcase_add_test(tc, checkpoints_draw_from_their_generator);
    tcase_add_test(tc, checkpoints_make_lazy_parameters);
    tcase_add_test(tc, gradients_are_the_callers_own);
    tcase_add_test(tc, a_hook_cannot_write_its_gradient);
}
