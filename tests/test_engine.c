/* SPDX-License-Identifier: MIT */
/* test_engine.c - recording, backward, gradients of gradients, hooks, versions, lifetimes,
 * activation checkpointing and graphs. */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "tests/files.h"
#include "tests/harness.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <cotangent.h>

#include "tests/test_engine.h"

/* ---- helpers ---- */

ct_tensor *leaf_of(int count, const double *values)
{
    return ct_set_requires_grad(ct_from_data(values, CT_SHAPE(count), CT_F64, DEVICE), true);
}

ct_tensor *vector(int count, const double *values)
{
    return ct_from_data(values, CT_SHAPE(count), CT_F64, DEVICE);
}

void end_scope(ct_scope s)
{
    ck_assert_msg(ct_scope_end(s) == CT_OK, "%s", ct_error_message());
}

void leave(ct_scope s)
{
    ck_assert(ct_scope_end(s) == ct_error());
}

ct_tensor *random_leaf(ct_generator *g, ct_shape shape)
{
    return ct_set_requires_grad(ct_randn(shape, CT_F64, DEVICE, g), true);
}

/* ---- backward ---- */

START_TEST(backward_with_takes_an_output_gradient)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = LEAF(1, 2, 3), *y = ct_square(x);

    ck_assert(ct_backward_with(y, VECTOR(1, -10, 0.5)) == CT_OK);
    EXPECT(ct_tensor_grad(x), 2, -40, 3);
    ct_backward_with(y, VECTOR(1, 2));
    expect_error(CT_ERR_SHAPE, "ct_backward_with", "gradient");
    ct_backward(y);
    expect_error(CT_ERR_SHAPE, "ct_backward", "one element");
    EXPECT(ct_tensor_grad(x), 2, -40, 3);
    leave(s);
}
END_TEST

START_TEST(backward_twice_accumulates)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = LEAF(1, 2, 3), *loss = ct_sum(ct_square(x));

    ct_backward(loss);
    EXPECT(ct_tensor_grad(x), 2, 4, 6);
    ct_backward(loss);
    EXPECT(ct_tensor_grad(x), 4, 8, 12);
    ct_backward(ct_sum(ct_mul_scalar(x, 100)));
    EXPECT(ct_tensor_grad(x), 104, 108, 112);
    ct_tensor_zero_grad(x);
    ck_assert_ptr_null(ct_tensor_grad(x));
    end_scope(s);
}
END_TEST

START_TEST(a_leaf_can_be_the_root)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = LEAF(1, 2), *g = VECTOR(5, 7);

    ct_backward_with(x, g);
    EXPECT(ct_tensor_grad(x), 5, 7);
    ct_fill(g, 0); /* g does not share memory with the leaf's gradient */
    EXPECT(ct_tensor_grad(x), 5, 7);
    end_scope(s);
}
END_TEST

/* The backward functions of sums and views pass one tensor to several inputs; a write to one
 * gradient must not change another. */
START_TEST(leaf_gradients_never_share_storage)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *a = LEAF(1, 2), *b = LEAF(3, 4), *c = LEAF(5, 6);
    ct_tensor *y = ct_add(ct_add(a, b), ct_reshape(c, CT_SHAPE(2)));
    ct_tensor *grads[3];
    const void *data[3];
    int i, k;

    ct_backward_with(y, VECTOR(1, 2));
    ct_backward_with(ct_cat(2, (ct_tensor *[]){ a, b }, 0), VECTOR(1, 1, 2, 2));
    grads[0] = ct_tensor_grad(a);
    grads[1] = ct_tensor_grad(b);
    grads[2] = ct_tensor_grad(c);
    for (i = 0; i < 3; i++)
        data[i] = DEVICE == CT_CPU ? ct_data(grads[i]) : grads[i];
    for (i = 0; i < 3; i++)
        for (k = 0; k < i; k++)
            ck_assert_msg(data[i] != data[k], "gradients %d and %d share storage", i, k);
    ct_fill(grads[0], 100);
    EXPECT(grads[1], 3, 4);
    EXPECT(grads[2], 1, 2);
    end_scope(s);
}
END_TEST

/* A view given as a gradient is not added to in place while another gradient shares its storage. */
START_TEST(gradients_that_are_views_stay_apart)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *a = LEAF(1), *b = LEAF(2), *c = LEAF(3, 4);
    ct_tensor *more = ct_sum(ct_mul_scalar(a, 10)); /* runs last, after a has received a view */
    ct_tensor *y = ct_add(ct_cat(2, (ct_tensor *[]){ a, b }, 0), c);

    ct_backward(ct_add(ct_sum(ct_mul(y, VECTOR(5, 7))), more));
    EXPECT(ct_tensor_grad(a), 15);
    EXPECT(ct_tensor_grad(b), 7);
    EXPECT(ct_tensor_grad(c), 5, 7);
    end_scope(s);
}
END_TEST

/* The backward of a view adds to a part of a gradient; that memory must not belong to another
 * tensor. */
START_TEST(gradients_of_views_are_not_written_through)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = LEAF(1, 2, 3), *w = LEAF(4, 5, 6), *first = ct_select(x, 0, 0), *z, *c, *other;

    z = ct_add(x, w); /* passes one gradient to both, before the view's gradient arrives */
    ct_backward(ct_add(ct_sum(ct_mul(z, VECTOR(1, 10, 100))), ct_mul_scalar(first, 7)));
    EXPECT(ct_tensor_grad(x), 8, 10, 100);
    EXPECT(ct_tensor_grad(w), 1, 10, 100);

    c = ct_mul_scalar(x, 2); /* the same for results of ops */
    other = ct_mul_scalar(w, 3);
    first = ct_select(c, 0, 2);
    z = ct_add(c, other);
    ct_tensor_zero_grad(x);
    ct_tensor_zero_grad(w);
    ct_backward(ct_add(ct_sum(ct_mul(z, VECTOR(1, 10, 100))), ct_mul_scalar(first, 7)));
    EXPECT(ct_tensor_grad(x), 2, 20, 214);
    EXPECT(ct_tensor_grad(w), 3, 30, 300);
    end_scope(s);
}
END_TEST

static int hook_failures;

static ct_tensor *fail_hook(ct_tensor *gradient, void *context)
{
    (void)gradient;
    hook_failures++;
    ct_raise(CT_ERR_NUMERIC, "fail", "no %s", (const char *)context);
    return NULL;
}

/* Backward reaches a and b before the error, in either order; neither gradient may change. */
static void check_untouched(bool at_leaf)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *a = LEAF(1, 2), *b = LEAF(3, 4), *c = LEAF(5, 6);
    ct_tensor *deep = ct_square(c), *y = ct_sum(ct_add(ct_mul(a, b), ct_square(deep)));

    hook_failures = 0;
    ct_backward(ct_sum(ct_add(a, ct_add(b, c))));
    ck_assert(ct_register_hook(at_leaf ? c : deep, fail_hook, "luck", NULL) == CT_OK);
    if (at_leaf) /* the hooks of leaves run after all nodes */
        ct_register_hook(a, fail_hook, "luck", NULL);
    ck_assert(ct_backward(y) == CT_ERR_NUMERIC);
    ck_assert(ct_backward(y) == CT_ERR_NUMERIC); /* a side effect: refused */
    expect_error(CT_ERR_NUMERIC, "fail", "no luck");
    ck_assert_int_eq(hook_failures, 1); /* no other hook ran after it */
    EXPECT(ct_tensor_grad(a), 1, 1);
    EXPECT(ct_tensor_grad(b), 1, 1);
    EXPECT(ct_tensor_grad(c), 1, 1);
    leave(s);
}

START_TEST(an_error_midway_leaves_leaves_untouched)
{
    check_untouched(_i != 0);
}
END_TEST

START_TEST(a_leaf_may_be_freed_before_backward)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_set_requires_grad(ct_keep(VECTOR(1, 2)), true), *w = LEAF(3, 4);
    ct_tensor *y = ct_sum(ct_mul(x, w));

    ct_free(x);
    ct_backward(y);
    EXPECT(ct_tensor_grad(w), 1, 2);
    end_scope(s);
}
END_TEST

START_TEST(frozen_inputs_get_none)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = VECTOR(1, 2), *w = LEAF(3, 4), *y = ct_sum(ct_mul(x, w));

    ct_backward(y);
    ck_assert_ptr_null(ct_tensor_grad(x));
    EXPECT(ct_tensor_grad(w), 1, 2);
    ck_assert(!ct_tensor_requires_grad(ct_detach(y)) && ct_tensor_requires_grad(y));
    end_scope(s);
}
END_TEST

START_TEST(a_leaf_frozen_after_the_op_gets_none)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = LEAF(1, 2), *w = LEAF(3, 4), *y = ct_sum(ct_mul(x, w));

    ct_set_requires_grad(x, false);
    ct_backward(y);
    ck_assert_ptr_null(ct_tensor_grad(x));
    EXPECT(ct_tensor_grad(w), 1, 2);
    end_scope(s);
}
END_TEST

/* ---- no recording ---- */

START_TEST(nothing_is_recorded_in_no_grad_scopes)
{
    ct_scope s = ct_scope_begin(), inner;
    ct_tensor *x = LEAF(1, 2), *y;

    inner = ct_scope_begin_no_grad();
    ck_assert(!ct_grad_enabled());
    y = ct_square(x);
    ck_assert(!ct_tensor_requires_grad(y));
    ct_backward(ct_sum(y));
    expect_error(CT_ERR_GRAD, "ct_backward", "history");
    ck_assert(ct_scope_end(inner) == CT_OK);
    ck_assert(ct_grad_enabled());
    ck_assert(ct_set_grad_enabled(false));
    ck_assert(!ct_tensor_requires_grad(ct_square(x)));
    inner = ct_scope_begin(); /* inherits the mode */
    ck_assert(!ct_set_grad_enabled(true));
    ck_assert(ct_tensor_requires_grad(ct_square(x)));
    ck_assert(ct_scope_end(inner) == CT_OK);
    ck_assert(!ct_grad_enabled()); /* the mode is restored */
    leave(s);
    ck_assert(ct_grad_enabled());
}
END_TEST

/* ---- ct_grad ---- */

START_TEST(grad_gives_gradients_and_leaves_leaves_alone)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = LEAF(1, 2), *w = LEAF(3, 4), *unused = LEAF(5);
    ct_tensor *m = ct_mul(x, w), *y = ct_square(m), *z = ct_sum(ct_exp(ct_neg(w)));
    ct_tensor *outputs[] = { y, z }, *weights[] = { VECTOR(1, 10), NULL }, *g[5];
    ct_tensor *inputs[] = { x, m, unused, x, w };

    ck_assert(ct_grad(2, outputs, 5, inputs, weights, false, g) == CT_OK);
    EXPECT(g[0], 2 * 3 * 3, 10 * 2 * 8 * 4);
    EXPECT(g[1], 6, 160);
    EXPECT(g[2], 0);
    EXPECT(g[3], 2 * 3 * 3, 10 * 2 * 8 * 4); /* an input that is listed twice */
    EXPECT(g[4], 6 * 1 - exp(-3), 160 * 2 - exp(-4));
    ck_assert(!ct_tensor_requires_grad(g[0]));
    ck_assert_ptr_null(ct_tensor_grad(x));
    ck_assert_ptr_null(ct_tensor_grad(w));
    end_scope(s);
}
END_TEST

/* An input that is itself an output, and an input whose op has no derivative. */
START_TEST(grad_of_an_output_is_what_is_given)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = LEAF(2, 3), *y = ct_square(x), *g[2];
    ct_tensor *inputs[] = { y, x };

    ck_assert(ct_grad(1, &y, 2, inputs, (ct_tensor *[]){ VECTOR(1, -1) }, false, g) == CT_OK);
    EXPECT(g[0], 1, -1);
    EXPECT(g[1], 4, -6);
    end_scope(s);
}
END_TEST

START_TEST(derivatives_up_to_the_third)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = LEAF(0.3, -1.2), *y = ct_sum(ct_mul(ct_square(ct_square(x)), ct_sin(x)));
    ct_tensor *d1, *d2, *d3;

    ct_grad(1, &y, 1, &x, NULL, true, &d1);
    ck_assert(ct_tensor_requires_grad(d1));
    d1 = ct_sum(d1);
    ct_grad(1, &d1, 1, &x, NULL, true, &d2);
    d2 = ct_sum(d2);
    ct_grad(1, &d2, 1, &x, NULL, false, &d3);
    ck_assert(!ct_tensor_requires_grad(d3));
#define THIRD(v)                                                                                   \
    (24 * (v)*sin(v) + 36 * (v) * (v)*cos(v) - 12 * (v) * (v) * (v)*sin(v) -                       \
     (v) * (v) * (v) * (v)*cos(v))
    EXPECT(d3, THIRD(0.3), THIRD(-1.2));
    ct_backward(d2); /* reaches the leaves through history that ct_grad recorded */
    EXPECT(ct_tensor_grad(x), THIRD(0.3), THIRD(-1.2));
    end_scope(s);
}
END_TEST

/* A gradient penalty: backward through a gradient reaches the weights. */
START_TEST(a_gradient_penalty_trains)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = LEAF(1, 2), *w = LEAF(3, 4), *y = ct_sum(ct_mul(ct_square(x), w)), *g;

    ct_grad(1, &y, 1, &x, NULL, true, &g);
    ct_backward(ct_sum(ct_square(g))); /* sum (2 x w)^2 */
    EXPECT(ct_tensor_grad(w), 8 * 1 * 3, 8 * 4 * 4);
    EXPECT(ct_tensor_grad(x), 8 * 1 * 9, 8 * 2 * 16);
    end_scope(s);
}
END_TEST

START_TEST(grad_refuses)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = LEAF(1, 2), *c = VECTOR(1, 2), *y = ct_square(x), *g = x;

    ct_grad(1, &y, 1, &x, NULL, false, &g);
    expect_error(CT_ERR_SHAPE, "ct_grad", "one element");
    ck_assert_ptr_null(g);
    ct_grad(1, &y, 1, &c, NULL, false, &g);
    expect_error(CT_ERR_GRAD, "ct_grad", "history");
    ct_grad(1, &y, 1, (ct_tensor *[]){ NULL }, NULL, false, &g);
    expect_error(CT_ERR_ARGUMENT, "ct_grad", "inputs[0] is NULL");
    ct_grad(1, (ct_tensor *[]){ NULL }, 1, &x, NULL, false, &g);
    expect_error(CT_ERR_ARGUMENT, "ct_grad", "outputs[0] is NULL");
    ck_assert_ptr_null(g);
    ct_grad(0, &y, 1, &x, NULL, false, &g);
    expect_error(CT_ERR_ARGUMENT, "ct_grad", "outputs_count is 0");
    ct_grad(1, &y, 1, &x, (ct_tensor *[]){ ct_cast(c, CT_F32) }, false, &g);
    expect_error(CT_ERR_SHAPE, "ct_grad", "gradient");
    leave(s);
}
END_TEST

/* ---- hooks ---- */

static const ct_op underived_op = { .name = "underived", .inputs = 1, .outputs = 1 };

ct_tensor *underived(ct_tensor *x)
{
    ct_tensor *y = ct_detach(x);

    return ct_record(&underived_op, 1, &x, 1, &y, NULL, 0) ? y : NULL;
}

/* An op with two results: 2 x and 3 x. */
static void both_backward(ct_node *n, ct_tensor *const *dout)
{
    if (dout[0])
        ct_node_add_grad(n, 0, ct_mul_scalar(dout[0], 2));
    if (dout[1])
        ct_node_add_grad(n, 0, ct_mul_scalar(dout[1], 3));
}

const ct_op both_op = { .name = "both", .inputs = 1, .outputs = 2, .backward = both_backward };

void both(ct_tensor *x, ct_tensor *y[2])
{
    ct_tensor *d = ct_detach(x);

    y[0] = ct_mul_scalar(d, 2);
    y[1] = ct_mul_scalar(d, 3);
    ct_record(&both_op, 1, &x, 2, y, NULL, 0);
}

/* A leaf that is given as the gradient of an output is returned as the gradient of that output. */
START_TEST(a_leaf_as_a_gradient)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = LEAF(1, 2), *y = ct_square(x), *given = LEAF(5, 7), *in[] = { y, x }, *g[2];
    ct_tensor *h;

    ck_assert(ct_grad(1, &y, 2, in, &given, true, g) == CT_OK);
    EXPECT(g[0], 5, 7);
    EXPECT(g[1], 10, 28);
    h = ct_sum(ct_mul(g[0], g[1])); /* 2 given^2 x */
    ct_backward(h);
    EXPECT(ct_tensor_grad(given), 2 * 10, 2 * 28);
    EXPECT(ct_tensor_grad(x), 50, 98);
    end_scope(s);
}
END_TEST

/* ---- without memory ---- */

static bool square_twice(void *context, int inputs_count, ct_tensor *const *inputs,
                         int outputs_count, ct_tensor **outputs)
{
    ck_assert_msg(ct_ok(), "it is run while an error is recorded: %s", ct_error_message());
    ck_assert(inputs_count == 1 && outputs_count == 2);
    outputs[0] = ct_add(ct_square(inputs[0]), context);
    outputs[1] = ct_select(outputs[0], 0, 0);
    return true;
}

/* A computation with shared gradients, windows, hooks, two outputs and an activation checkpoint; x
 * (3), w (3). */
static ct_tensor *all_of_it(ct_tensor *x, ct_tensor *w)
{
    static double two = 2;
    ct_tensor *first = ct_select(x, 0, 0), *z = ct_add(x, w), *y[2], *out[2], *g, *loss;

    both(z, y);
    if (y[1])
        ct_register_hook(y[1], times, &two, NULL);
    ct_activation_checkpoint(square_twice, w, NULL, 1, &y[1], 2, out);
    loss = ct_add(ct_sum(ct_mul(out[0], y[0])), ct_mul(out[1], first));
    ct_grad(1, &loss, 1, &w, NULL, true, &g);
    return ct_add(loss, ct_sum(ct_mul(g, ct_slice(z, 0, 0, 3, 1))));
}

/* Each allocation fails in turn: the error is raised, no gradient changes, and the next pass is
 * right. */
START_TEST(each_allocation_may_fail)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = LEAF(1, 2, 3), *w = LEAF(0.5, -1, 4), *gx, *gw;
    double *want_x, *want_w;
    bool done = false;
    int k, failed = 0;

    ct_backward(all_of_it(x, w));
    want_x = values_of(ct_tensor_grad(x));
    want_w = values_of(ct_tensor_grad(w));
    for (k = 1; !done; k++) {
        ct_scope inner = ct_scope_begin();
        ct_tensor *loss;

        if (_i == 0) { /* add to the existing gradient, or make a new one */
            ct_tensor_zero_grad(x);
            ct_tensor_zero_grad(w);
        }
        gx = ct_tensor_grad(x) ? ct_clone(ct_tensor_grad(x)) : NULL;
        gw = ct_tensor_grad(w) ? ct_clone(ct_tensor_grad(w)) : NULL;
        fail_allocation(k);
        loss = all_of_it(x, w);
        ct_backward(loss);
        done = allocations_seen < k;
        fail_nothing();
        if (!ct_ok()) {
            ck_assert_msg(ct_error() == CT_ERR_MEMORY, "%d: %s", k, ct_error_message());
            failed++;
            ct_error_clear();
            if (!gx)
                ck_assert(!ct_tensor_grad(x) && !ct_tensor_grad(w));
            else
                ck_assert(same_bytes(gx, ct_tensor_grad(x)) && same_bytes(gw, ct_tensor_grad(w)));
        }
        leave(inner);
        ct_tensor_zero_grad(x);
        ct_tensor_zero_grad(w);
        inner = ct_scope_begin();
        ct_backward(all_of_it(x, w));
        expect_values("x", ct_tensor_grad(x), want_x, 3, 0);
        expect_values("w", ct_tensor_grad(w), want_w, 3, 0);
        end_scope(inner);
    }
    ck_assert_int_gt(failed, 30); /* few allocations, because earlier rounds have made the slabs of
                                   * handles */
    free(want_x);
    free(want_w);
    leave(s);
}
END_TEST

/* ---- history stays in its scope and thread ---- */

void dot_of(ct_tensor *t, char *text)
{
    FILE *f = tmpfile();
    size_t n;

    ct_graph_dot(t, f);
    rewind(f);
    n = fread(text, 1, PICTURE - 1, f);
    ck_assert_int_lt(n, PICTURE - 1);
    text[n] = '\0';
    fclose(f);
}

int main(void)
{
    Suite *suite = suite_create("engine");
    TCase *tc = harness_case(suite, "backward");

    tcase_add_test(tc, backward_with_takes_an_output_gradient);
    tcase_add_test(tc, backward_twice_accumulates);
    tcase_add_test(tc, a_leaf_can_be_the_root);
    tcase_add_test(tc, leaf_gradients_never_share_storage);
    tcase_add_test(tc, gradients_that_are_views_stay_apart);
    tcase_add_test(tc, gradients_of_views_are_not_written_through);
    tcase_add_loop_test(tc, an_error_midway_leaves_leaves_untouched, 0, 2);
    tcase_add_test(tc, a_leaf_may_be_freed_before_backward);
    tcase_add_test(tc, frozen_inputs_get_none);
    tcase_add_test(tc, a_leaf_frozen_after_the_op_gets_none);
    tcase_add_test(tc, nothing_is_recorded_in_no_grad_scopes);
    tc = harness_case(suite, "grad");
    tcase_add_test(tc, grad_gives_gradients_and_leaves_leaves_alone);
    tcase_add_test(tc, grad_of_an_output_is_what_is_given);
    tcase_add_test(tc, derivatives_up_to_the_third);
    tcase_add_test(tc, a_gradient_penalty_trains);
    tcase_add_test(tc, grad_refuses);
    tcase_add_test(tc, a_leaf_as_a_gradient);
    tcase_add_loop_test(tc, each_allocation_may_fail, 0, 2);
    engine_hooks_cases(suite);
    engine_history_cases(suite);
    engine_activation_checkpoint_cases(suite);
    engine_tools_cases(suite);
    engine_functional_cases(suite);
    return harness_run(suite);
}
