/* test_engine.c - recording, backward, gradients of gradients, hooks, versions, lifetimes,
 * checkpointing and the picture of a graph. */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "tests/files.h"
#include "tests/harness.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cotangent.h>

/* ---- helpers ---- */

/* A leaf of the innermost scope, f64. */
static ct_tensor *leaf_of(int count, const double *values)
{
    return ct_set_requires_grad(ct_from_data(values, CT_SHAPE(count), CT_F64, DEVICE), true);
}

#define LEAF(...)                                                                                  \
    leaf_of((int)(sizeof((double[]){ __VA_ARGS__ }) / sizeof(double)), (double[]){ __VA_ARGS__ })

static ct_tensor *vector(int count, const double *values)
{
    return ct_from_data(values, CT_SHAPE(count), CT_F64, DEVICE);
}

#define VECTOR(...)                                                                                \
    vector((int)(sizeof((double[]){ __VA_ARGS__ }) / sizeof(double)), (double[]){ __VA_ARGS__ })

#define EXPECT(t, ...)                                                                             \
    expect_values(#t, t, (double[]){ __VA_ARGS__ },                                                \
                  sizeof((double[]){ __VA_ARGS__ }) / sizeof(double), 1e-12)

static void end_scope(ct_scope s)
{
    ck_assert_msg(ct_scope_end(s) == CT_OK, "%s", ct_error_message());
}

/* After errors that were looked at and cleared. */
static void leave(ct_scope s)
{
    ck_assert(ct_scope_end(s) == ct_error());
}

static ct_tensor *random_leaf(ct_generator *g, ct_shape shape)
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
    ct_fill(g, 0); /* the leaf's gradient is its own */
    EXPECT(ct_tensor_grad(x), 5, 7);
    end_scope(s);
}
END_TEST

/* Sums and views hand one tensor to several inputs: no gradient may be written through another. */
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
    ct_tensor *more = ct_sum(ct_mul_scalar(a, 10)); /* runs last, after a got a view */
    ct_tensor *y = ct_add(ct_cat(2, (ct_tensor *[]){ a, b }, 0), c);

    ct_backward(ct_add(ct_sum(ct_mul(y, VECTOR(5, 7))), more));
    EXPECT(ct_tensor_grad(a), 15);
    EXPECT(ct_tensor_grad(b), 7);
    EXPECT(ct_tensor_grad(c), 5, 7);
    end_scope(s);
}
END_TEST

/* The part of a gradient that a view's backward adds to is not that of another tensor. */
START_TEST(gradients_of_views_are_not_written_through)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = LEAF(1, 2, 3), *w = LEAF(4, 5, 6), *first = ct_select(x, 0, 0), *z, *c, *other;

    z = ct_add(x, w); /* hands one gradient to both, before the view's comes */
    ct_backward(ct_add(ct_sum(ct_mul(z, VECTOR(1, 10, 100))), ct_mul_scalar(first, 7)));
    EXPECT(ct_tensor_grad(x), 8, 10, 100);
    EXPECT(ct_tensor_grad(w), 1, 10, 100);

    c = ct_mul_scalar(x, 2); /* the same of results */
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

/* a and b are reached before the error, in either order; none moves. */
static void check_untouched(bool at_leaf)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *a = LEAF(1, 2), *b = LEAF(3, 4), *c = LEAF(5, 6);
    ct_tensor *deep = ct_square(c), *y = ct_sum(ct_add(ct_mul(a, b), ct_square(deep)));

    hook_failures = 0;
    ct_backward(ct_sum(ct_add(a, ct_add(b, c))));
    ck_assert(ct_register_hook(at_leaf ? c : deep, fail_hook, "luck") == CT_OK);
    if (at_leaf) /* the hooks of leaves run after all nodes */
        ct_register_hook(a, fail_hook, "luck");
    ck_assert(ct_backward(y) == CT_ERR_NUMERIC);
    ck_assert(ct_backward(y) == CT_ERR_NUMERIC); /* a sink: refused */
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
    inner = ct_scope_begin(); /* takes the mode, */
    ck_assert(!ct_set_grad_enabled(true));
    ck_assert(ct_tensor_requires_grad(ct_square(x)));
    ck_assert(ct_scope_end(inner) == CT_OK);
    ck_assert(!ct_grad_enabled()); /* and gives it back */
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
    EXPECT(g[3], 2 * 3 * 3, 10 * 2 * 8 * 4); /* listed twice */
    EXPECT(g[4], 6 * 1 - exp(-3), 160 * 2 - exp(-4));
    ck_assert(!ct_tensor_requires_grad(g[0]));
    ck_assert_ptr_null(ct_tensor_grad(x));
    ck_assert_ptr_null(ct_tensor_grad(w));
    end_scope(s);
}
END_TEST

/* An input that is itself an output, and one whose own op has no derivative. */
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
    ct_backward(d2); /* to leaves, through history made by ct_grad */
    EXPECT(ct_tensor_grad(x), THIRD(0.3), THIRD(-1.2));
    end_scope(s);
}
END_TEST

/* The penalty of a gradient: backward through a gradient adds to the weights. */
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
    expect_error(CT_ERR_ARGUMENT, "ct_grad", "0 outputs");
    ct_grad(1, &y, 1, &x, (ct_tensor *[]){ ct_cast(c, CT_F32) }, false, &g);
    expect_error(CT_ERR_SHAPE, "ct_grad", "gradient");
    leave(s);
}
END_TEST

/* ---- hooks ---- */

static ct_tensor *count_calls(ct_tensor *gradient, void *context)
{
    (void)gradient;
    ++*(int *)context;
    return NULL;
}

static ct_tensor *times(ct_tensor *gradient, void *context)
{
    return ct_mul_scalar(gradient, *(double *)context);
}

static ct_tensor *wrong_shape(ct_tensor *gradient, void *context)
{
    (void)context;
    return ct_sum(gradient);
}

START_TEST(hooks_see_and_replace_gradients)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = LEAF(1, 2), *y = ct_square(x), *a = ct_mul_scalar(y, 3), *b = ct_neg(y);
    ct_tensor *loss = ct_sum(ct_add(a, b));
    double ten = 10, half = 0.5;
    int at_leaf = 0, inside = 0;

    ct_register_hook(y, count_calls, &inside);
    ct_register_hook(y, times, &ten);
    ct_register_hook(x, count_calls, &at_leaf);
    ct_register_hook(x, times, &half);
    ct_register_hook(x, times, &half);
    ct_backward(loss);
    ck_assert_int_eq(inside, 1); /* once, when complete, not for a and for b */
    ck_assert_int_eq(at_leaf, 1);
    EXPECT(ct_tensor_grad(x), 2 * 2 * 1 * 2.5, 2 * 2 * 2 * 2.5);
    ct_backward(loss); /* hooks see what comes, not what was there */
    EXPECT(ct_tensor_grad(x), 2 * 2 * 2 * 1 * 2.5, 2 * 2 * 2 * 2 * 2.5);
    end_scope(s);
}
END_TEST

static ct_tensor *wrong_dtype(ct_tensor *gradient, void *context)
{
    (void)context;
    return ct_cast(gradient, CT_F32);
}

START_TEST(hooks_are_checked)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = LEAF(1, 2), *y = ct_square(x), *z = ct_square(x);
    int n = 0;

    ct_register_hook(z, wrong_dtype, NULL);
    ct_backward(ct_sum(z));
    expect_error(CT_ERR_SHAPE, "ct_square", "f32[2]");
    ck_assert_ptr_null(ct_tensor_grad(x));

    ct_register_hook(y, wrong_shape, NULL);
    ct_backward(ct_sum(y));
    expect_error(CT_ERR_SHAPE, "ct_square", "f64[]");
    ck_assert_ptr_null(ct_tensor_grad(x));
    ct_register_hook(VECTOR(1), count_calls, &n);
    expect_error(CT_ERR_GRAD, "ct_register_hook", "gradient");
    ct_register_hook(x, NULL, &n);
    expect_error(CT_ERR_ARGUMENT, "ct_register_hook", "hook is NULL");
    leave(s);
}
END_TEST

static const ct_op underived_op = { .name = "underived", .inputs = 1, .outputs = 1 };

static ct_tensor *underived(ct_tensor *x)
{
    ct_tensor *y = ct_detach(x);

    return ct_record(&underived_op, 1, &x, 1, &y, NULL, 0) ? y : NULL;
}

/* ct_grad runs the nodes that lead to its inputs, and no others: not their hooks either. */
START_TEST(grad_runs_what_leads_to_its_inputs)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = LEAF(1, 2), *w = LEAF(3, 4), *aside = underived(w), *beyond = underived(w);
    ct_tensor *y = ct_mul(ct_square(x), ct_square(aside)), *outputs[] = { y, beyond }, *g[2];
    ct_tensor *given[] = { VECTOR(1, 10), VECTOR(5, 5) }, *inputs[] = { x, aside };
    int calls = 0;

    ct_register_hook(aside, count_calls, &calls);
    ct_register_hook(beyond, count_calls, &calls);
    ck_assert(ct_grad(2, outputs, 1, inputs, given, _i != 0, g) == CT_OK);
    EXPECT(g[0], 2 * 9, 10 * 4 * 16);
    ck_assert_int_eq(calls, 0);
    ck_assert(ct_grad(2, outputs, 2, inputs, given, _i != 0, g) == CT_OK); /* but not beyond it */
    EXPECT(g[0], 2 * 9, 10 * 4 * 16);
    EXPECT(g[1], 2 * 3, 10 * 4 * 2 * 4);
    ck_assert_int_eq(calls, 1);
    ct_backward(ct_sum(y));
    expect_error(CT_ERR_GRAD, "underived", "has no derivative");
    leave(s);
}
END_TEST

/* Two results of one op: x doubled, and tripled. */
static void both_backward(ct_node *n, ct_tensor *const *dout)
{
    if (dout[0])
        ct_node_add_grad(n, 0, ct_mul_scalar(dout[0], 2));
    if (dout[1])
        ct_node_add_grad(n, 0, ct_mul_scalar(dout[1], 3));
}

static const ct_op both_op = {
    .name = "both", .inputs = 1, .outputs = 2, .backward = both_backward
};

static void both(ct_tensor *x, ct_tensor *y[2])
{
    ct_tensor *d = ct_detach(x);

    y[0] = ct_mul_scalar(d, 2);
    y[1] = ct_mul_scalar(d, 3);
    ct_record(&both_op, 1, &x, 2, y, NULL, 0);
}

START_TEST(hooks_are_of_one_output)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = LEAF(1, 2), *y[2], *none[2], *in[3], *g[3];
    double ten = 10;
    int first = 0, second = 0;

    both(x, y);
    ct_register_hook(y[0], count_calls, &first);
    ct_register_hook(y[1], times, &ten);
    ct_register_hook(y[1], count_calls, &second);
    ct_backward(ct_sum(ct_add(y[0], ct_mul(y[1], VECTOR(1, -1)))));
    EXPECT(ct_tensor_grad(x), 2 + 30, 2 - 30);
    ck_assert(first == 1 && second == 1);
    ct_tensor_zero_grad(x);
    ct_backward_with(y[0], VECTOR(1, 5)); /* the other has no gradient, and no hook is run */
    EXPECT(ct_tensor_grad(x), 2, 10);
    ck_assert(first == 2 && second == 1);
    in[0] = y[1];
    in[1] = x;
    in[2] = y[0];
    ck_assert(ct_grad(2, y, 3, in, (ct_tensor *[]){ VECTOR(1, 1), VECTOR(2, 3) }, false, g) ==
              CT_OK);
    EXPECT(g[0], 20, 30);
    EXPECT(g[1], 2 + 60, 2 + 90);
    EXPECT(g[2], 1, 1);
    none[0] = none[1] = NULL; /* what could not be made is not recorded */
    ck_assert(!ct_record(&both_op, 1, &x, 2, none, NULL, 0));
    none[0] = ct_detach(x);
    ck_assert(!ct_record(&both_op, 1, &x, 2, none, NULL, 0));
    ck_assert(!ct_tensor_requires_grad(none[0]));
    end_scope(s);
}
END_TEST

START_TEST(no_hook_without_memory)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = LEAF(1, 2);
    int calls = 0;

    fail_allocation(1);
    ck_assert(ct_register_hook(x, count_calls, &calls) == CT_ERR_MEMORY);
    fail_nothing();
    ck_assert_int_eq(ct_error(), CT_ERR_MEMORY);
    ct_error_clear();
    ct_backward(ct_sum(x));
    ck_assert_int_eq(calls, 0);
    leave(s);
}
END_TEST

static ct_tensor *backward_inside(ct_tensor *gradient, void *context)
{
    (void)gradient;
    ct_backward(context);
    return NULL;
}

/* A hook that goes through the history that is being run is refused; through other history, not. */
START_TEST(backward_inside_a_hook)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = LEAF(1, 2), *z = LEAF(4), *y = ct_square(x), *loss = ct_sum(y);
    ct_tensor *other = ct_sum(ct_square(z));

    ct_register_hook(y, backward_inside, other);
    ct_backward(loss);
    EXPECT(ct_tensor_grad(x), 2, 4);
    EXPECT(ct_tensor_grad(z), 8);
    ct_register_hook(y, backward_inside, loss);
    ct_backward(loss);
    expect_error(CT_ERR_GRAD, "ct_sum", "backward");
    EXPECT(ct_tensor_grad(x), 2, 4);
    leave(s);
}
END_TEST

/* The same of a leaf that has got a part of its gradient; to all of it, or to what a view shows. */
START_TEST(backward_inside_to_the_same_leaf)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = LEAF(1, 2), *y = ct_square(x);
    ct_tensor *other = _i ? ct_select(x, 0, 0) : ct_sum(ct_square(x));
    ct_tensor *loss = ct_add(ct_sum(y), ct_sum(ct_mul(x, VECTOR(3, 4))));

    ct_register_hook(y, backward_inside, other);
    ct_backward(loss);
    expect_error(CT_ERR_GRAD, _i ? "ct_select" : "ct_square", "backward");
    ck_assert_ptr_null(ct_tensor_grad(x));
    ct_backward(other); /* and nothing is left of it */
    EXPECT(ct_tensor_grad(x), _i ? 1 : 2, _i ? 0 : 4);
    leave(s);
}
END_TEST

static ct_tensor *grad_inside(ct_tensor *gradient, void *context)
{
    ct_tensor **of = context, *g; /* a result and its leaf */

    ct_grad(1, &of[0], 1, &of[1], NULL, false, &g);
    return g ? ct_mul(gradient, g) : NULL;
}

/* ct_grad may run in a hook of ct_backward, not in one of ct_grad. */
START_TEST(grad_inside_a_hook)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *z = LEAF(4, 5), *x = LEAF(1, 2), *of[2] = { ct_sum(ct_square(z)), z };
    ct_tensor *y = ct_square(x), *loss = ct_sum(y), *g;

    ct_register_hook(y, grad_inside, of);
    ct_backward(loss);
    EXPECT(ct_tensor_grad(x), 2 * 8, 4 * 10);
    ck_assert_ptr_null(ct_tensor_grad(z));
    ct_grad(1, &loss, 1, &x, NULL, false, &g);
    expect_error(CT_ERR_GRAD, "ct_grad", "backward");
    ck_assert_ptr_null(g);
    leave(s);
}
END_TEST

/* A leaf given as the gradient of an output that is wanted comes back as it is. */
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
    ck_assert_msg(ct_ok(), "it is run while an error stands: %s", ct_error_message());
    ck_assert(inputs_count == 1 && outputs_count == 2);
    outputs[0] = ct_add(ct_square(inputs[0]), context);
    outputs[1] = ct_select(outputs[0], 0, 0);
    return true;
}

/* Shared gradients, windows, hooks, two outputs, a checkpoint; x (3), w (3). */
static ct_tensor *all_of_it(ct_tensor *x, ct_tensor *w)
{
    static double two = 2;
    ct_tensor *first = ct_select(x, 0, 0), *z = ct_add(x, w), *y[2], *out[2], *g, *loss;

    both(z, y);
    if (y[1])
        ct_register_hook(y[1], times, &two);
    ct_activation_checkpoint(square_twice, w, NULL, 1, &y[1], 2, out);
    loss = ct_add(ct_sum(ct_mul(out[0], y[0])), ct_mul(out[1], first));
    ct_grad(1, &loss, 1, &w, NULL, true, &g);
    return ct_add(loss, ct_sum(ct_mul(g, ct_slice(z, 0, 0, 3, 1))));
}

/* Each allocation in turn fails: that is the error, no gradient moves, and the next pass is as good
 * as ever. */
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

        if (_i == 0) { /* a sum with what is there, or a gradient of its own */
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
    ck_assert_int_gt(failed, 30); /* handles come from slabs, which the rounds before have made */
    free(want_x);
    free(want_w);
    leave(s);
}
END_TEST

/* ---- version counters ---- */

START_TEST(a_saved_tensor_modified_later_is_an_error)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = LEAF(1, 2), *data = VECTOR(3, 4), *y, *row;
    char made[64], wrote[64];

    /* each place is that of the call on its line */
    /* clang-format off */
    y = ct_sum(ct_mul(x, data)); snprintf(made, sizeof made, "%s", CT_HERE);
    row = ct_slice(data, 0, 0, 1, 1);
    ct_fill(row, 7); snprintf(wrote, sizeof wrote, "%s", CT_HERE); /* through a view */
    /* clang-format on */
    ct_backward(y);
    ck_assert(ct_error() == CT_ERR_GRAD);
    ck_assert_msg(strncmp(ct_error_message(), made, strlen(made)) == 0, "%s", ct_error_message());
    ck_assert_msg(strstr(ct_error_message(), wrote) != NULL, "%s", ct_error_message());
    expect_error(CT_ERR_GRAD, "ct_mul", "input 1 ... modified");
    ck_assert_ptr_null(ct_tensor_grad(x));
    leave(s);
}
END_TEST

static ct_generator writers_g;

static void write_fill(ct_tensor *t)
{
    ct_fill(t, 7);
}

static void write_data(ct_tensor *t)
{
    if (DEVICE == CT_CPU)
        ((double *)ct_mutable_data(t))[0] = 5;
    else
        write_fill(t); /* there its bytes are not to be had */
}

static void write_copy(ct_tensor *t)
{
    ct_copy_into(t, VECTOR(5, 6));
}

static void write_itself(ct_tensor *t)
{
    ct_copy_into(t, t);
}

static void write_apart(ct_tensor *t)
{
    ct_fill(ct_slice(t, 0, 0, 2, 2), 7);
}

static void write_uniform(ct_tensor *t)
{
    ct_uniform_into(t, 0, 1, &writers_g);
}

static void write_normal(ct_tensor *t)
{
    ct_normal_into(t, 0, 1, &writers_g);
}

/* Every way to write is seen, in data of its own and through a view of it. */
START_TEST(every_write_is_seen)
{
    static void (*const writers[])(ct_tensor * t) = { write_data,  write_copy,  write_itself,
                                                      write_fill,  write_apart, write_uniform,
                                                      write_normal };
    ct_scope s = ct_scope_begin();
    size_t k;
    int view;

    for (k = 0; k < sizeof writers / sizeof *writers; k++)
        for (view = 0; view < 2; view++) {
            ct_tensor *x = LEAF(1, 2), *data = VECTOR(3, 4), *y = ct_sum(ct_mul(x, data));

            writers[k](view ? ct_reshape(data, CT_SHAPE(2)) : data);
            ck_assert_msg(ct_ok(), "%s", ct_error_message());
            ct_backward(y);
            ck_assert_msg(ct_error() == CT_ERR_GRAD, "writer %d is not seen", (int)k);
            expect_error(CT_ERR_GRAD, "ct_mul", "modified");
        }
    leave(s);
}
END_TEST

/* What is not saved may be overwritten. */
START_TEST(an_unsaved_tensor_may_be_modified)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = LEAF(1, 2), *data = VECTOR(3, 4), *y = ct_sum(ct_add(x, data));

    ct_fill(data, 0);
    ct_backward(y);
    EXPECT(ct_tensor_grad(x), 1, 1);
    end_scope(s);
}
END_TEST

START_TEST(in_place_writes_are_for_leaves_and_data)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = LEAF(1, 2), *y = ct_square(x), *detached = ct_detach(y);

    ct_fill(y, 0);
    expect_error(CT_ERR_GRAD, "ct_fill", "history");
    ct_fill(x, 0);
    expect_error(CT_ERR_GRAD, "ct_fill", "leaf");
    ct_set_grad_enabled(false);
    ck_assert(ct_fill(x, 5) == CT_OK);
    ct_set_grad_enabled(true);
    EXPECT(x, 5, 5);
    ct_backward(ct_sum(y)); /* y saved x */
    ck_assert(ct_error() == CT_ERR_GRAD);
    ct_error_clear();
    EXPECT(detached, 1, 4);
    leave(s);
}
END_TEST

/* ---- large graphs ---- */

#define LARGE harness_rounds(3000, 100000)

START_TEST(a_chain_of_100000_nodes)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = LEAF(1, 2), *y = x, *g;
    int i;

    for (i = 0; i < LARGE; i++)
        y = ct_add_scalar(y, 0.5);
    y = ct_sum(ct_square(y));
    ck_assert(ct_backward(y) == CT_OK);
    EXPECT(ct_tensor_grad(x), 2 * (1 + 0.5 * LARGE), 2 * (2 + 0.5 * LARGE));
    ck_assert(ct_grad(1, &y, 1, &x, NULL, false, &g) == CT_OK);
    EXPECT(g, 2 * (1 + 0.5 * LARGE), 2 * (2 + 0.5 * LARGE));
    end_scope(s);
}
END_TEST

START_TEST(a_graph_100000_wide)
{
    ct_scope s = ct_scope_begin();
    const int wide = LARGE / 2;
    ct_tensor *x = LEAF(3), **parts = malloc(sizeof *parts * (size_t)wide), *y[2];
    double slope = 0;
    int i, k;

    for (k = 0; k < 2; k++) {
        for (i = 0; i < wide; i++) {
            parts[i] = ct_mul_scalar(x, i % 7);
            slope += i % 7;
        }
        y[k] = ct_sum(ct_cat(wide, parts, 0));
    }
    ck_assert(ct_backward(ct_add(y[0], y[1])) == CT_OK);
    EXPECT(ct_tensor_grad(x), slope);
    free(parts);
    end_scope(s);
}
END_TEST

/* T selects from one tensor: the gradient of each touches its own part only. Counted in bytes asked
 * of the pool: T copies of the whole would be T times as many. */
START_TEST(the_gradient_of_select_touches_its_part)
{
    enum { STEPS = 512, WIDTH = 64 };
    const size_t whole = STEPS * WIDTH * sizeof(double);
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_set_requires_grad(ct_ones(CT_SHAPE(STEPS, WIDTH), CT_F64, DEVICE), true);
    ct_tensor *y = NULL;
    ct_memory_stats before, after;
    double *g;
    int t;

    for (t = 0; t < STEPS; t++) {
        ct_tensor *part = ct_mul_scalar(ct_sum(ct_square(ct_select(x, 0, t))), t);

        y = y ? ct_add(y, part) : part;
    }
    ct_memory_trim();
    before = ct_memory_get_stats();
    ct_backward(y);
    after = ct_memory_get_stats();
    ck_assert_msg(after.peak_bytes <= before.peak_bytes + 2 * whole,
                  "backward took %zu bytes for a gradient of %zu",
                  after.peak_bytes - before.peak_bytes, whole);
    ck_assert_msg(after.system_allocations - before.system_allocations < 64,
                  "%llu requests to the system",
                  (unsigned long long)(after.system_allocations - before.system_allocations));
    g = values_of(ct_tensor_grad(x));
    for (t = 0; t < STEPS; t++)
        expect_close("element", g[t * WIDTH + 3], 2.0 * t, 0);
    free(g);
    end_scope(s);
}
END_TEST

/* A gradient that comes to one which is there is added in place: there are never more than the sum
 * and what comes, and the leaf takes the sum over. */
START_TEST(gradients_add_up_in_place)
{
    enum { WHOLE = 1 << 14 };
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_set_requires_grad(ct_ones(CT_SHAPE(WHOLE), CT_F64, DEVICE), true);
    size_t before, most;
    int uses, k, i;

    for (uses = 1; uses <= 5; uses += 4)
        for (k = 0; k < 2; k++) { /* none is there; one is */
            ct_scope inner = ct_scope_begin();
            ct_tensor *y = ct_zeros(CT_SCALAR, CT_F64, DEVICE);

            for (i = 0; i < uses; i++)
                y = ct_add(y, ct_dot(x, ct_full(CT_SHAPE(WHOLE), i, CT_F64, DEVICE)));
            ct_memory_trim();
            before = ct_memory_get_stats().live_bytes;
            ct_backward(y);
            most = ct_memory_get_stats().peak_bytes - before;
            ck_assert_msg(most < ((uses == 1 ? 1.5 : 2.5) + k) * WHOLE * sizeof(double),
                          "%d uses, %d: %zu bytes", uses, k, most);
            end_scope(inner);
        }
    end_scope(s);
}
END_TEST

static char large[4096];   /* attributes, */
static size_t large_bytes; /* so many of them */

static void large_backward(ct_node *n, ct_tensor *const *dout)
{
    ck_assert(memcmp(ct_node_attributes(n), large, large_bytes) == 0);
    ct_node_add_grad(n, 0, dout[0]);
}

/* How many requests for memory a node with those attributes makes where such a one was before. */
static int requests_of_node(void)
{
    static const ct_op op = {
        .name = "large", .inputs = 1, .outputs = 1, .backward = large_backward
    };
    ct_scope s = ct_scope_begin();
    ct_tensor *x = LEAF(1, 2), *y;
    int i, requests = 0;

    for (i = 0; i < 2; i++) {
        ct_scope inner = ct_scope_begin();

        y = ct_detach(x);
        fail_allocation(0);
        ck_assert(ct_record(&op, 1, &x, 1, &y, large, large_bytes));
        requests = allocations_seen;
        fail_nothing();
        ct_backward_with(y, VECTOR(3, i));
        end_scope(inner);
    }
    EXPECT(ct_tensor_grad(x), 6, 1);
    end_scope(s);
    return requests;
}

/* The memory of small nodes serves again; that of large ones is given back. */
START_TEST(nodes_take_the_place_of_others)
{
    size_t kept = 0;

    memset(large, 7, sizeof large);
    for (large_bytes = 0; large_bytes <= sizeof large; large_bytes += 32) {
        int requests = requests_of_node();

        if (requests == 0)
            kept = large_bytes;
        ck_assert_msg(requests == (kept != large_bytes), "%zu bytes: %d", large_bytes, requests);
    }
    ck_assert_msg(kept >= 1024 && kept < 2048, "%zu", kept);
}
END_TEST

/* ---- history stays in its scope and thread ---- */

START_TEST(history_of_an_ended_scope_cannot_leave)
{
    ct_scope s = ct_scope_begin(), inner = ct_scope_begin();
    ct_tensor *x = LEAF(1, 2), *out;

    ck_assert(ct_scope_return(inner, ct_square(x), &out) == CT_ERR_SCOPE);
    expect_error(CT_ERR_SCOPE, "ct_scope_return", "f64[2]");
    ck_assert_ptr_null(out);
    leave(s);
}
END_TEST

/* A result of the outer scope used in an inner one: its history is still there. */
START_TEST(an_inner_scope_extends_outer_history)
{
    ct_scope s = ct_scope_begin(), inner;
    ct_tensor *x = LEAF(1, 2), *y = ct_square(x);

    inner = ct_scope_begin();
    ct_backward(ct_sum(ct_mul(y, y)));
    end_scope(inner);
    EXPECT(ct_tensor_grad(x), 4, 32);
    inner = ct_scope_begin();
    ct_backward(ct_sum(y));
    end_scope(inner);
    EXPECT(ct_tensor_grad(x), 6, 36);
    end_scope(s);
}
END_TEST

enum { PICTURE = 65536 };

/* t's history as DOT, in text of that size. */
static void dot_of(ct_tensor *t, char *text)
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

static void *use_elsewhere(void *y)
{
    static char text[PICTURE];
    ct_scope s = ct_scope_begin();
    ct_tensor *own = LEAF(1), *g;

    own = ct_sum(ct_square(own)); /* history of this thread's own, at the same places */
    ct_square(y);
    expect_error(CT_ERR_SCOPE, "ct_square", "input 0 ... another thread");
    ct_backward(y);
    ck_assert(ct_error() == CT_ERR_SCOPE);
    ct_error_clear();
    dot_of(y, text);
    ck_assert(ct_error() == CT_ERR_SCOPE && !text[0]);
    ct_error_clear();
    g = own;
    ct_grad(1, (ct_tensor *[]){ y }, 1, &own, NULL, false, &g);
    ck_assert(ct_error() == CT_ERR_SCOPE && !g);
    ct_error_clear();
    g = own;
    ct_grad(1, &own, 1, (ct_tensor *[]){ y }, NULL, false, &g);
    ck_assert(ct_error() == CT_ERR_SCOPE && !g);
    ct_error_clear();
    ct_backward(own);
    ck_assert(ct_ok());
    leave(s);
    return NULL;
}

START_TEST(history_of_another_thread_is_an_error)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = LEAF(1, 2), *y = ct_sum(x);

    harness_on_thread(use_elsewhere, y);
    end_scope(s);
}
END_TEST

START_TEST(a_tensor_used_after_its_scope)
{
    ct_scope s = ct_scope_begin(), inner = ct_scope_begin();
    ct_tensor *x = VECTOR(1, 2), *kept = ct_keep(x);

    end_scope(inner);
    ct_neg(x);
    expect_error(CT_ERR_SCOPE, "ct_neg", "x is a dead tensor ... scope ended");
    EXPECT(kept, 1, 2);
    ct_free(kept);
    ct_neg(kept);
    expect_error(CT_ERR_SCOPE, "ct_neg", "x is a dead tensor ... freed");
    leave(s);
}
END_TEST

/* ---- one-hot tensors and their indices ---- */

/* y = x W^T + b of a remembered one-hot x, and the gradients, against a dense copy of x. */
START_TEST(linear_of_one_hot_equals_dense)
{
    ct_generator g = ct_generator_from_seed(3);
    ct_scope s = ct_scope_begin();
    ct_tensor *ids = ct_from_data((int32_t[]){ 1, 3, 1, 0, 4, 4 }, CT_SHAPE(2, 3), CT_I32, DEVICE);
    ct_tensor *hot = ct_one_hot_as(ids, 5, CT_F64), *dense = ct_clone(hot);
    ct_tensor *w = random_leaf(&g, CT_SHAPE(4, 5)), *b = random_leaf(&g, CT_SHAPE(4));
    ct_tensor *upon = ct_randn(CT_SHAPE(2, 3, 4), CT_F64, DEVICE, &g);
    double *want_y = values_of(ct_linear(dense, w, b)), *want_w, *want_b;

    ct_backward_with(ct_linear(dense, w, b), upon);
    want_w = values_of(ct_tensor_grad(w));
    want_b = values_of(ct_tensor_grad(b));
    ct_tensor_zero_grad(w);
    ct_tensor_zero_grad(b);
    ct_backward_with(ct_linear(hot, w, b), upon);
    expect_values("y", ct_linear(hot, w, b), want_y, 24, 1e-12);
    expect_values("dw", ct_tensor_grad(w), want_w, 20, 1e-12);
    expect_values("db", ct_tensor_grad(b), want_b, 4, 1e-12);
    free(want_y);
    free(want_w);
    free(want_b);
    end_scope(s);
}
END_TEST

/* A write makes it an ordinary tensor: the product sees what was written, also through a view. */
START_TEST(a_written_one_hot_forgets_its_indices)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *ids = ct_from_data((int32_t[]){ 1, 0 }, CT_SHAPE(2), CT_I32, DEVICE);
    ct_tensor *w = ct_from_data((double[]){ 1, 10, 100 }, CT_SHAPE(1, 3), CT_F64, DEVICE);
    ct_tensor *x = ct_one_hot_as(ids, 3, CT_F64), *z = ct_one_hot_as(ids, 3, CT_F64);

    EXPECT(ct_linear(x, w, NULL), 10, 1);
    ct_fill(ids, 2); /* it remembers a copy */
    EXPECT(ct_linear(x, w, NULL), 10, 1);
    ct_fill(ct_select(x, 0, 0), 2);
    EXPECT(ct_linear(x, w, NULL), 222, 1);
    ct_fill(ct_select(ct_select(z, 0, 1), 0, 2), 3);
    EXPECT(ct_linear(z, w, NULL), 10, 301);
    EXPECT(ct_linear(ct_mul_scalar(ct_one_hot_as(ct_argmax(z, 1, false), 3, CT_F64), 2), w, NULL),
           20, 200);
    end_scope(s);
}
END_TEST

enum { LATER_ROWS = 12, LATER_CLASSES = 3 };

static double later_index(int row)
{
    return row * 2 % LATER_CLASSES;
}

static void expect_hot(ct_tensor *hot)
{
    double *got = values_of(hot);
    int i;

    for (i = 0; i < LATER_ROWS * LATER_CLASSES; i++)
        ck_assert(got[i] == (later_index(i / LATER_CLASSES) == i % LATER_CLASSES));
    free(got);
}

static void *look(void *kept)
{
    ct_scope s = ct_scope_begin();

    expect_hot(kept);
    leave(s);
    return NULL;
}

/* The values of one-hot rows, and of a product with them, are made when somebody looks: they are
 * those of the time when they were asked for, whoever looks first and through whatever view. */
START_TEST(values_put_off)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *ids = ct_empty(CT_SHAPE(LATER_ROWS), CT_I64, DEVICE), *x, *y, *z, *kept;
    ct_tensor *w = ct_from_data((double[]){ 1, 10, 100 }, CT_SHAPE(1, 3), CT_F64, DEVICE);
    pthread_t thread[4];
    ct_scope inner;
    int i;

    for (i = 0; i < LATER_ROWS; i++)
        ct_fill(ct_select(ids, 0, i), later_index(i));
    x = ct_one_hot_as(ids, LATER_CLASSES, CT_F64);
    y = ct_linear(x, w, NULL);
    z = ct_linear(x, w, ct_ones(CT_SHAPE(1), CT_F64, DEVICE));
    ct_fill(ids, 0);
    ct_fill(w, 7);
    EXPECT(ct_narrow(y, 0, 1, 2), 100, 10);
    EXPECT(ct_slice(z, 0, 0, 3, 1), 2, 101, 11);
    expect_hot(x);
    EXPECT(ct_select(ct_one_hot_as(ct_argmax(x, 1, false), LATER_CLASSES, CT_F64), 0, 1), 0, 0, 1);

    inner = ct_scope_begin(); /* kept beyond the scope of its indices, freed without a look */
    kept = ct_keep(ct_one_hot_as(ct_argmax(x, 1, false), LATER_CLASSES, CT_F64));
    ct_free(ct_keep(ct_linear(kept, w, NULL)));
    end_scope(inner);
    ct_fill(x, 5);
    for (i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&thread[i], NULL, look, kept), 0);
    for (i = 0; i < 4; i++)
        pthread_join(thread[i], NULL);
    ct_free(kept);

    x = ct_one_hot_as(ct_argmax(ct_neg(z), 1, false), 1, CT_F32); /* written before any look */
    ct_fill(ct_select(x, 0, 2), 9);
    EXPECT(ct_narrow(x, 0, 1, 3), 1, 9, 1);
    ck_assert_int_eq(ct_numel(ct_one_hot(ct_zeros(CT_SHAPE(0), CT_I64, DEVICE), 4)), 0);
    end_scope(s);
}
END_TEST

/* ---- checkpointing ---- */

typedef struct layer {
    ct_tensor *w;
    ct_generator *g;
    int runs;
    bool other; /* gives another shape the next time */
    bool fails;
    bool forgets;  /* the last output */
    bool detaches; /* the last output */
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

/* The loss after three layers, with checkpoints or without. */
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

/* Parameters that only the function knows are reached by ct_grad too, and in second order. */
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

/* Sixteen wide layers: with checkpoints, the history of one at a time. */
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

/* Only g is set back for the second run: no other generator may draw, of tensors or of numbers. */
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
        expect_error(CT_ERR_ARGUMENT, "ct_randn", "draws without its generator");
        ct_activation_checkpoint(run_coin, &draws, wrong[i], 1, in, 1, out);
        expect_error(CT_ERR_ARGUMENT, "ct_activation_checkpoint", "draws without its generator");
    }
    ck_assert(ct_activation_checkpoint(run_coin, &draws, &draws, 1, in, 1, out) == CT_OK);
    ct_set_grad_enabled(false); /* no second run */
    ck_assert(ct_activation_checkpoint(run_layer, &l, NULL, 2, in, 2, out) == CT_OK);
    ct_set_grad_enabled(true);
    ck_assert(ct_isfinite(ct_randn(CT_SHAPE(2), CT_F64, DEVICE, &init)) != NULL);
    leave(s);
}
END_TEST

/* Filling one result of ct_grad changes neither another, nor the gradient that was given. */
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

/* loss = sum (h + z)^2: what a hook on h sees is z's gradient too. */
START_TEST(a_hook_cannot_write_its_gradient)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = LEAF(1, 2), *z = LEAF(0, 0), *h = ct_mul_scalar(x, 1), *g;

    ck_assert(ct_register_hook(h, fill_gradient, NULL) == CT_OK);
    ct_backward(ct_sum(ct_square(ct_add(h, z))));
    expect_error(CT_ERR_GRAD, "ct_fill", "read-only");
    ck_assert_ptr_null(ct_tensor_grad(z));
    g = ct_ones_like(x);
    ck_assert(ct_fill(g, 7) == CT_OK);
    leave(s);
}
END_TEST

/* The first run: no output may be left out, nor fail without an error. The second: as many have
 * history as had. */
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

/* ---- ops of one's own ---- */

static int composed_calls, fused_calls;

static void cube_backward(ct_node *n, ct_tensor *const *dout)
{
    composed_calls++;
    ct_node_add_grad(n, 0, ct_mul(dout[0], ct_mul_scalar(ct_square(ct_node_input(n, 0)), 3)));
}

static void cube_fused(ct_node *n, ct_tensor *const *dout)
{
    fused_calls++;
    ct_node_add_grad(n, 0, ct_mul(dout[0], ct_mul_scalar(ct_square(ct_node_input(n, 0)), 3)));
}

static const ct_op cube_op = { .name = "cube",
                               .inputs = 1,
                               .outputs = 1,
                               .saves = CT_SAVE_INPUTS,
                               .backward = cube_backward,
                               .fused_backward = cube_fused };

static ct_tensor *cube(ct_tensor *x)
{
    bool was = ct_set_grad_enabled(false);
    ct_tensor *y = ct_pow_scalar(x, 3);

    ct_set_grad_enabled(was);
    return ct_record(&cube_op, 1, &x, 1, &y, NULL, 0) ? y : NULL;
}

START_TEST(a_fused_backward_runs_where_nothing_is_recorded)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = LEAF(2), *y = cube(x), *g;

    composed_calls = fused_calls = 0;
    ct_backward(y);
    EXPECT(ct_tensor_grad(x), 12);
    ck_assert(fused_calls == 1 && composed_calls == 0);
    ct_grad(1, &y, 1, &x, NULL, true, &g);
    ck_assert(fused_calls == 1 && composed_calls == 1);
    ct_grad(1, &g, 1, &x, NULL, false, &g);
    EXPECT(g, 12);
    end_scope(s);
}
END_TEST

static void bad_backward(ct_node *n, ct_tensor *const *dout)
{
    switch (*(const int *)ct_node_attributes(n)) {
    case 0:
        ct_node_add_grad(n, 0, ct_sum(dout[0]));
        break;
    case 1:
        ct_node_add_grad(n, 1, dout[0]);
        break;
    case 2:
        ct_node_input(n, 0);
        break;
    case 3:
        ct_node_output(n, 3);
        break;
    default:
        ck_assert(!ct_node_needs_grad(n, -1) && !ct_node_needs_grad(n, 1) &&
                  ct_node_needs_grad(n, 0));
        ck_assert_int_eq(ct_node_input_shape(n, 5).rank, 0);
        ct_node_add_grad(n, 0, NULL);
    }
}

START_TEST(bad_ops_are_errors)
{
    static const struct {
        ct_status status;
        const char *function, *word;
    } want[] = {
        { CT_ERR_SHAPE, "bad", "f64[]" },
        { CT_ERR_ARGUMENT, "bad", "gradient" },
        { CT_ERR_GRAD, "bad", "saved" },
        { CT_ERR_ARGUMENT, "bad", "output 3" },
    };
    static const ct_op bad = { .name = "bad", .inputs = 1, .outputs = 1, .backward = bad_backward };
    static const ct_op source = { .name = "source", .inputs = 0, .outputs = 1 };
    static const ct_op sink = { .name = "sink", .inputs = 1, .outputs = 0 };
    static const ct_op many = { .name = "many", .inputs = -1, .outputs = -1 };
    ct_scope s = ct_scope_begin();
    ct_tensor *x = LEAF(1, 2), *two[] = { x, x }, *y;
    int i;

    for (i = 0; i < 5; i++) {
        y = ct_detach(x);
        ck_assert(ct_record(&bad, 1, &x, 1, &y, &i, sizeof i));
        ct_backward(ct_sum(y));
        if (i < 4)
            expect_error(want[i].status, want[i].function, want[i].word);
        ck_assert_ptr_null(ct_tensor_grad(x));
    }
    ck_assert(!ct_record(&bad, 2, two, 1, &y, &i, sizeof i));
    expect_error(CT_ERR_ARGUMENT, "bad", "2 inputs");
    y = ct_detach(x);
    ck_assert(!ct_record(&source, 1, &x, 1, &y, NULL, 0));
    expect_error(CT_ERR_ARGUMENT, "source", "1 inputs");
    ck_assert(!ct_record(&sink, 1, &x, 1, &y, NULL, 0));
    expect_error(CT_ERR_ARGUMENT, "sink", "1 inputs");
    ck_assert(!ct_record(&many, 1, &x, 0, &y, NULL, 0));
    expect_error(CT_ERR_ARGUMENT, "many", "1 inputs");
    ck_assert(ct_record(&many, 1, &x, 1, &y, NULL, 0));
    ck_assert(!ct_record(&bad, 1, &x, 1, &x, &i, sizeof i));
    expect_error(CT_ERR_ARGUMENT, "bad", "history");
    leave(s);
}
END_TEST

/* ---- gradcheck finds what is wrong ---- */

static void wrong_backward(ct_node *n, ct_tensor *const *dout)
{
    ct_node_add_grad(n, 0, ct_mul_scalar(ct_mul(dout[0], ct_node_input(n, 0)), 2.00001));
}

static const ct_op wrong_op = {
    .name = "wrong", .inputs = 1, .outputs = 1, .saves = CT_SAVE_INPUTS, .backward = wrong_backward
};

static ct_tensor *wrong_square(int count, ct_tensor *const *inputs, void *context)
{
    bool was = ct_set_grad_enabled(false);
    ct_tensor *y = ct_square(inputs[0]);

    (void)count, (void)context;
    ct_set_grad_enabled(was);
    return ct_record(&wrong_op, 1, inputs, 1, &y, NULL, 0) ? y : NULL;
}

/* right, but its derivative is not recorded: the second order is missing */
static void flat_backward(ct_node *n, ct_tensor *const *dout)
{
    ct_node_add_grad(n, 0, ct_mul(dout[0], ct_mul_scalar(ct_detach(ct_node_input(n, 0)), 2)));
}

static const ct_op flat_op = {
    .name = "flat", .inputs = 1, .outputs = 1, .saves = CT_SAVE_INPUTS, .backward = flat_backward
};

static ct_tensor *flat_square(int count, ct_tensor *const *inputs, void *context)
{
    bool was = ct_set_grad_enabled(false);
    ct_tensor *y = ct_square(inputs[0]);

    (void)count, (void)context;
    ct_set_grad_enabled(was);
    return ct_record(&flat_op, 1, inputs, 1, &y, NULL, 0) ? y : NULL;
}

static ct_tensor *product(int count, ct_tensor *const *inputs, void *context)
{
    (void)count, (void)context;
    return ct_mul(inputs[0], ct_exp(inputs[1]));
}

static ct_tensor *cube_of_second(int count, ct_tensor *const *inputs, void *context)
{
    (void)count, (void)context;
    return ct_mul(inputs[1], ct_square(inputs[1]));
}

/* Of the first input alone. */
static ct_tensor *cube_of_first(int count, ct_tensor *const *inputs, void *context)
{
    (void)count, (void)context;
    return ct_mul(inputs[0], ct_square(inputs[0]));
}

START_TEST(gradcheck_tells_right_from_wrong)
{
    ct_generator g = ct_generator_from_seed(1);
    uint64_t before;
    ct_scope s = ct_scope_begin();
    ct_tensor *in[] = { LEAF(1, 2, -1), LEAF(0.5, 0.1, 0.2) };

    before = g.position;
    ck_assert(ct_gradcheck(product, 2, in, NULL, &g, 0, 0));
    ck_assert(g.position != before); /* the next check draws other weights */
    ck_assert(ct_gradgradcheck(product, 2, in, NULL, &g, 0, 0));
    ck_assert(ct_gradcheck(cube_of_first, 2, in, NULL, &g, 0, 0)); /* the other's gradient is 0 */
    ck_assert(ct_gradgradcheck(cube_of_first, 2, in, NULL, &g, 0, 0));
    EXPECT(in[0], 1, 2, -1); /* put back */
    ck_assert(!ct_gradcheck(wrong_square, 1, in, NULL, &g, 0, 0));
    ck_assert(ct_error() == CT_ERR_NUMERIC);
    ct_error_clear();
    ck_assert(ct_gradcheck(wrong_square, 1, in, NULL, &g, 0, 1e-3));
    ck_assert(ct_gradcheck(flat_square, 1, in, NULL, &g, 0, 0));
    ck_assert(!ct_gradgradcheck(flat_square, 1, in, NULL, &g, 0, 0));
    ck_assert(ct_error() == CT_ERR_NUMERIC);
    ct_error_clear();
    leave(s);
}
END_TEST

/* The first, from which the slope in the last element of the second is context's. */
static void skew_backward(ct_node *n, ct_tensor *const *dout)
{
    ct_node_add_grad(n, 0, dout[0]);
    ct_node_add_grad(n, 1, ct_mul(dout[0], VECTOR(0, 0, *(const double *)ct_node_attributes(n))));
}

static const ct_op skew_op = {
    .name = "skew", .inputs = 2, .outputs = 1, .backward = skew_backward
};

static ct_tensor *skew(int count, ct_tensor *const *inputs, void *context)
{
    ct_tensor *y = ct_detach(inputs[0]);

    (void)count;
    return ct_record(&skew_op, 2, inputs, 1, &y, context, sizeof(double)) ? y : NULL;
}

/* The tolerance is a share of the largest derivative of an input, or of 1. */
START_TEST(gradcheck_tells_by_how_much)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *in[] = { LEAF(1, 2, -1), LEAF(0.5, 0.1, 0.2) };
    uint64_t seed;
    double slope;

    for (seed = 1; seed <= 8; seed++)
        for (slope = 0.5; slope < 8; slope *= 3) {
            ct_generator g = ct_generator_from_seed(seed);
            double *w = values_of(ct_randn(CT_SHAPE(3), CT_F64, DEVICE, &g));
            double there = fabs(w[2]) * slope, share = there / fmax(1, there);

            g = ct_generator_from_seed(seed);
            ck_assert(ct_gradcheck(skew, 2, in, &slope, &g, 0, 1.01 * share));
            g = ct_generator_from_seed(seed);
            ck_assert(!ct_gradcheck(skew, 2, in, &slope, &g, 0, 0.99 * share));
            expect_error(CT_ERR_NUMERIC, "ct_gradcheck", "input 1, element 2 ... numeric 0");
            free(w);
        }
    leave(s);
}
END_TEST

static ct_tensor *sum_of_all(int count, ct_tensor *const *inputs, void *context)
{
    ct_tensor *y = inputs[0];
    int i;

    (void)context;
    for (i = 1; i < count; i++)
        y = ct_add(y, inputs[i]);
    return ct_mul(y, ct_square(y));
}

static ct_tensor *none_at_all(int count, ct_tensor *const *inputs, void *context)
{
    (void)count, (void)inputs;
    return context ? NULL : ct_mul(inputs[0], ct_square(ct_ones(CT_SHAPE(7), CT_F64, DEVICE)));
}

static ct_tensor *without_derivative(int count, ct_tensor *const *inputs, void *context)
{
    (void)count, (void)context;
    return underived(inputs[0]);
}

typedef bool gradient_check(ct_gradcheck_function f, int count, ct_tensor *const *inputs,
                            void *context, ct_generator *g, double eps, double tolerance);

/* Every refusal is false, leaves the generator where it is, and what is no leaf is not moved. */
START_TEST(gradcheck_is_checked)
{
    static const struct {
        gradient_check *check;
        const char *name;
    } checks[] = { { ct_gradcheck, "ct_gradcheck" }, { ct_gradgradcheck, "ct_gradgradcheck" } };
    ct_generator g = ct_generator_from_seed(1);
    ct_scope s = ct_scope_begin();
    ct_tensor *x = LEAF(1, 2), *none = NULL, *wide, *mixed[2], *many[17];
    ct_tensor *single = ct_set_requires_grad(ct_ones(CT_SHAPE(2), CT_F32, DEVICE), true);
    int i, k;

    wide = ct_set_requires_grad(ct_keep(ct_slice(VECTOR(1, 2, 3), 0, 0, 3, 2)), true);
    for (k = 0; k < 17; k++)
        many[k] = k % 3 ? VECTOR(k, 1) : LEAF(k, 1);
    for (i = 0; i < 2; i++) {
        gradient_check *check = checks[i].check;
        uint64_t at = g.position;

        ck_assert(!check(product, 0, &x, NULL, &g, 0, 0));
        expect_error(CT_ERR_ARGUMENT, checks[i].name, "0 inputs");
        ck_assert(!check(product, 17, many, NULL, &g, 0, 0));
        expect_error(CT_ERR_ARGUMENT, checks[i].name, "17 inputs");
        ck_assert(!check(NULL, 1, &x, NULL, &g, 0, 0));
        expect_error(CT_ERR_ARGUMENT, checks[i].name, "generator is NULL");
        ck_assert(!check(product, 1, &x, NULL, NULL, 0, 0));
        expect_error(CT_ERR_ARGUMENT, checks[i].name, "generator is NULL");
        ck_assert(!check(product, 1, &none, NULL, &g, 0, 0));
        expect_error(CT_ERR_ARGUMENT, checks[i].name, "inputs[0] is NULL");
        ck_assert(!check(product, 1, &single, NULL, &g, 0, 0));
        expect_error(CT_ERR_DTYPE, checks[i].name, "contiguous f64");
        ck_assert(!check(product, 1, &wide, NULL, &g, 0, 0));
        expect_error(CT_ERR_DTYPE, checks[i].name, "contiguous f64");
        ct_raise(CT_ERR_NUMERIC, checks[i].name, "before");
        ck_assert(!check(product, 2, many, NULL, &g, 0, 0));
        ck_assert(!check(product, 2, many, NULL, &g, 0, 0));
        expect_error(CT_ERR_NUMERIC, checks[i].name, "before");
        ck_assert(g.position == at);
        ck_assert(!check(none_at_all, 1, &x, &g, &g, 0, 0)); /* no result, and no error either */
        ck_assert(ct_ok());
        ck_assert(!check(none_at_all, 1, &x, NULL, &g, 0, 0));
        ck_assert_int_eq(ct_error(), CT_ERR_SHAPE);
        ct_error_clear();
        ck_assert(!check(without_derivative, 1, &x, NULL, &g, 0, 0));
        expect_error(CT_ERR_GRAD, "underived", "has no derivative");
        at = g.position;
        mixed[0] = single; /* what requires no gradient may be anything */
        mixed[1] = x;
        ct_set_requires_grad(single, false);
        ck_assert(check(cube_of_second, 2, mixed, NULL, &g, 0, 0));
        ct_set_requires_grad(single, true);
        ck_assert(check(sum_of_all, 16, many, NULL, &g, 1e-4, 1e-5));
        ck_assert(g.position != at); /* the next check draws other weights */
    }
    ct_free(wide);
    leave(s);
}
END_TEST

/* ---- the picture of a graph ---- */

static int occurrences(const char *text, const char *what)
{
    int n = 0;

    for (text = strstr(text, what); text; text = strstr(text + 1, what))
        n++;
    return n;
}

START_TEST(a_graph_is_drawn)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = LEAF(1, 2),
              *w = ct_set_requires_grad(ct_ones(CT_SHAPE(3, 2), CT_F64, DEVICE), true);
    ct_tensor *y = ct_tanh(ct_matmul(w, x));
    static char text[PICTURE];

    ct_exp(x); /* not in y's history */
    dot_of(ct_add(y, y), text);
    ck_assert_msg(strncmp(text, "digraph history {\n", 18) == 0, "%s", text);
    ck_assert_int_eq(occurrences(text, "ct_tanh\\n"), 1);
    ck_assert_int_eq(occurrences(text, "ct_matmul\\n"), 1);
    ck_assert_int_eq(occurrences(text, "ct_add\\n"), 1);
    ck_assert_int_eq(occurrences(text, "ct_exp"), 0);
    ck_assert_int_eq(occurrences(text, "test_engine.c:"), 5); /* and two reshapes */
    ck_assert_int_eq(occurrences(text, "leaf\\nf64[2] "), 1);
    ck_assert_int_eq(occurrences(text, "leaf\\nf64[3,2] "), 1);
    ck_assert_int_eq(occurrences(text, " [label=\"f64[3] "), 3);
    ck_assert_str_eq(text + strlen(text) - 2, "}\n");
    dot_of(ct_rdiv_scalar(ct_sub_scalar(x, 2), 3), text); /* the names that the user knows */
    ck_assert_int_eq(occurrences(text, "ct_sub_scalar\\n"), 1);
    ck_assert_int_eq(occurrences(text, "ct_rdiv_scalar\\n"), 1);
    dot_of(x, text);
    ck_assert_int_eq(occurrences(text, "leaf"), 1);
    dot_of(VECTOR(1), text);
    expect_error(CT_ERR_GRAD, "ct_graph_dot", "history");
    ck_assert_str_eq(text, ""); /* nothing is written of what has none */
    dot_of(NULL, text);
    expect_error(CT_ERR_ARGUMENT, "ct_graph_dot", "t is NULL");
    ck_assert_str_eq(text, "");
    leave(s);
}
END_TEST

/* A site and a name with what DOT has uses for; and a file that cannot be written. */
START_TEST(a_graph_is_quoted)
{
    static const ct_op odd = {
        .name = "o\"d\\d", .inputs = 1, .outputs = 1, .backward = cube_backward
    };
    ct_scope s = ct_scope_begin();
    ct_tensor *x = LEAF(1, 2), *y = ct_detach(x), *z;
    static char text[PICTURE];
    FILE *full;

    *ct_site() = "C:\\\"a\".c:3";
    ck_assert((ct_record)(&odd, 1, &x, 1, &y, NULL, 0));
    *ct_site() = NULL;
    dot_of(y, text);
    ck_assert_msg(strstr(text, "label=\"o\\\"d\\\\d\\nC:\\\\\\\"a\\\".c:3\"];\n") != NULL, "%s",
                  text);
    z = ct_mul(VECTOR(1, 2), x); /* what wants no gradient is no part of it */
    dot_of(z, text);
    ck_assert_int_eq(occurrences(text, "leaf"), 1);
    ck_assert_int_eq(occurrences(text, " -> "), 2);
    full = fopen("/dev/full", "w");
    if (full) {
        ck_assert(ct_graph_dot(y, full) == CT_ERR_IO);
        expect_error(CT_ERR_IO, "ct_graph_dot", "graph");
        fclose(full);
    }
    fail_allocation(1);
    ck_assert(ct_graph_dot(y, stdout) == CT_ERR_MEMORY);
    ck_assert(ct_graph_dot(y, stdout) == CT_ERR_MEMORY); /* a sink */
    fail_nothing();
    ck_assert_int_eq(ct_error(), CT_ERR_MEMORY);
    ct_error_clear();
    leave(s);
}
END_TEST

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
    tc = harness_case(suite, "hooks");
    tcase_add_test(tc, hooks_see_and_replace_gradients);
    tcase_add_test(tc, hooks_are_checked);
    tcase_add_test(tc, hooks_are_of_one_output);
    tcase_add_loop_test(tc, grad_runs_what_leads_to_its_inputs, 0, 2);
    tcase_add_test(tc, no_hook_without_memory);
    tcase_add_test(tc, backward_inside_a_hook);
    tcase_add_loop_test(tc, backward_inside_to_the_same_leaf, 0, 2);
    tcase_add_test(tc, grad_inside_a_hook);
    tc = harness_case(suite, "versions");
    tcase_add_test(tc, a_saved_tensor_modified_later_is_an_error);
    tcase_add_test(tc, every_write_is_seen);
    tcase_add_test(tc, an_unsaved_tensor_may_be_modified);
    tcase_add_test(tc, in_place_writes_are_for_leaves_and_data);
    tc = harness_case(suite, "large");
    tcase_add_test(tc, a_chain_of_100000_nodes);
    tcase_add_test(tc, a_graph_100000_wide);
    tc = harness_pooled_case(suite, "pool");
    tcase_add_test(tc, the_gradient_of_select_touches_its_part);
    tcase_add_test(tc, gradients_add_up_in_place);
    tcase_add_test(tc, nodes_take_the_place_of_others);
    tc = harness_case(suite, "lifetimes");
    tcase_add_test(tc, history_of_an_ended_scope_cannot_leave);
    tcase_add_test(tc, an_inner_scope_extends_outer_history);
    tcase_add_test(tc, history_of_another_thread_is_an_error);
    tcase_add_test(tc, a_tensor_used_after_its_scope);
    tc = harness_case(suite, "one-hot");
    tcase_add_test(tc, linear_of_one_hot_equals_dense);
    tcase_add_test(tc, a_written_one_hot_forgets_its_indices);
    tcase_add_test(tc, values_put_off);
    tc = harness_case(suite, "checkpoint");
    tcase_add_test(tc, a_checkpoint_gives_the_same_bits);
    tcase_add_test(tc, a_checkpoint_under_grad);
    tcase_add_test(tc, a_checkpoint_saves_memory);
    tcase_add_test(tc, checkpoints_are_checked);
    tcase_add_test(tc, checkpoints_give_all_outputs);
    tcase_add_test(tc, a_checkpoint_without_recording_records_nothing);
    tc = harness_case(suite, "own ops");
    tcase_add_test(tc, a_fused_backward_runs_where_nothing_is_recorded);
    tcase_add_test(tc, bad_ops_are_errors);
    tc = harness_case(suite, "tools");
    tcase_add_test(tc, checkpoints_draw_from_their_generator);
    tcase_add_test(tc, gradients_are_the_callers_own);
    tcase_add_test(tc, a_hook_cannot_write_its_gradient);
    tcase_add_test(tc, gradcheck_tells_right_from_wrong);
    tcase_add_test(tc, gradcheck_tells_by_how_much);
    tcase_add_test(tc, gradcheck_is_checked);
    tcase_add_test(tc, a_graph_is_drawn);
    tcase_add_test(tc, a_graph_is_quoted);
    return harness_run(suite);
}
