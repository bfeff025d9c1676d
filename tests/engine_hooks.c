/* SPDX-License-Identifier: MIT */
/* engine_hooks.c - hooks of gradients, and backward passes inside hooks. */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "tests/files.h"
#include "tests/harness.h"

#include <cotangent.h>

#include "tests/test_engine.h"

/* ---- hooks ---- */

static ct_tensor *count_calls(ct_tensor *gradient, void *context)
{
    (void)gradient;
    ++*(int *)context;
    return NULL;
}

ct_tensor *times(ct_tensor *gradient, void *context)
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

    ct_register_hook(y, count_calls, &inside, NULL);
    ct_register_hook(y, times, &ten, NULL);
    ct_register_hook(x, count_calls, &at_leaf, NULL);
    ct_register_hook(x, times, &half, NULL);
    ct_register_hook(x, times, &half, NULL);
    ct_backward(loss);
    ck_assert_int_eq(inside, 1); /* called once with the complete gradient, not separately for a and
                                  * b */
    ck_assert_int_eq(at_leaf, 1);
    EXPECT(ct_tensor_grad(x), 2 * 2 * 1 * 2.5, 2 * 2 * 2 * 2.5);
    ct_backward(loss); /* hooks get the new gradient, not the sum with the old one */
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

    ct_register_hook(z, wrong_dtype, NULL, NULL);
    ct_backward(ct_sum(z));
    expect_error(CT_ERR_SHAPE, "ct_square", "f32[2]");
    ck_assert_ptr_null(ct_tensor_grad(x));

    ct_register_hook(y, wrong_shape, NULL, NULL);
    ct_backward(ct_sum(y));
    expect_error(CT_ERR_SHAPE, "ct_square", "f64[]");
    ck_assert_ptr_null(ct_tensor_grad(x));
    ct_register_hook(VECTOR(1), count_calls, &n, NULL);
    expect_error(CT_ERR_GRAD, "ct_register_hook", "gradient");
    ct_register_hook(x, NULL, &n, NULL);
    expect_error(CT_ERR_ARGUMENT, "ct_register_hook", "hook is NULL");
    leave(s);
}
END_TEST

/* ct_grad runs only the nodes and hooks on the paths to its inputs. */
START_TEST(grad_runs_what_leads_to_its_inputs)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = LEAF(1, 2), *w = LEAF(3, 4), *aside = underived(w), *beyond = underived(w);
    ct_tensor *y = ct_mul(ct_square(x), ct_square(aside)), *outputs[] = { y, beyond }, *g[2];
    ct_tensor *given[] = { VECTOR(1, 10), VECTOR(5, 5) }, *inputs[] = { x, aside };
    int calls = 0;

    ct_register_hook(aside, count_calls, &calls, NULL);
    ct_register_hook(beyond, count_calls, &calls, NULL);
    ck_assert(ct_grad(2, outputs, 1, inputs, given, _i != 0, g) == CT_OK);
    EXPECT(g[0], 2 * 9, 10 * 4 * 16);
    ck_assert_int_eq(calls, 0);
    ck_assert(ct_grad(2, outputs, 2, inputs, given, _i != 0, g) == CT_OK); /* hooks before the input
                                                                            * do not run */
    EXPECT(g[0], 2 * 9, 10 * 4 * 16);
    EXPECT(g[1], 2 * 3, 10 * 4 * 2 * 4);
    ck_assert_int_eq(calls, 1);
    ct_backward(ct_sum(y));
    expect_error(CT_ERR_GRAD, "underived", "has no derivative");
    leave(s);
}
END_TEST

START_TEST(hooks_are_of_one_output)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = LEAF(1, 2), *y[2], *none[2], *in[3], *g[3];
    double ten = 10;
    int first = 0, second = 0;

    both(x, y);
    ct_register_hook(y[0], count_calls, &first, NULL);
    ct_register_hook(y[1], times, &ten, NULL);
    ct_register_hook(y[1], count_calls, &second, NULL);
    ct_backward(ct_sum(ct_add(y[0], ct_mul(y[1], VECTOR(1, -1)))));
    EXPECT(ct_tensor_grad(x), 2 + 30, 2 - 30);
    ck_assert(first == 1 && second == 1);
    ct_tensor_zero_grad(x);
    ct_backward_with(y[0], VECTOR(1, 5)); /* the other output has no gradient, and its hook does not
                                           * run */
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
    none[0] = none[1] = NULL; /* an op that failed is not recorded */
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
    ck_assert(ct_register_hook(x, count_calls, &calls, NULL) == CT_ERR_MEMORY);
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

/* A hook may run backward through other history, but not through the history of the running
 * pass. */
START_TEST(backward_inside_a_hook)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = LEAF(1, 2), *z = LEAF(4), *y = ct_square(x), *loss = ct_sum(y);
    ct_tensor *other = ct_sum(ct_square(z));

    ct_register_hook(y, backward_inside, other, NULL);
    ct_backward(loss);
    EXPECT(ct_tensor_grad(x), 2, 4);
    EXPECT(ct_tensor_grad(z), 8);
    ct_register_hook(y, backward_inside, loss, NULL);
    ct_backward(loss);
    expect_error(CT_ERR_GRAD, "ct_sum", "backward");
    EXPECT(ct_tensor_grad(x), 2, 4);
    leave(s);
}
END_TEST

/* A hook must not run backward to a leaf that already has a part of its gradient, and must not
 * write to the leaf or to a view of it. */
START_TEST(backward_inside_to_the_same_leaf)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = LEAF(1, 2), *y = ct_square(x);
    ct_tensor *other = _i ? ct_select(x, 0, 0) : ct_sum(ct_square(x));
    ct_tensor *loss = ct_add(ct_sum(y), ct_sum(ct_mul(x, VECTOR(3, 4))));

    ct_register_hook(y, backward_inside, other, NULL);
    ct_backward(loss);
    expect_error(CT_ERR_GRAD, _i ? "ct_select" : "ct_square", "backward");
    ck_assert_ptr_null(ct_tensor_grad(x));
    ct_backward(other); /* nothing of the refused pass remains */
    EXPECT(ct_tensor_grad(x), _i ? 1 : 2, _i ? 0 : 4);
    leave(s);
}
END_TEST

static ct_tensor *grad_inside(ct_tensor *gradient, void *context)
{
    ct_tensor **of = context, *g; /* a result and the leaf from which it was computed */

    ct_grad(1, &of[0], 1, &of[1], NULL, false, &g);
    return g ? ct_mul(gradient, g) : NULL;
}

/* ct_grad may run in a hook of ct_backward, but not in a hook of ct_grad. */
START_TEST(grad_inside_a_hook)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *z = LEAF(4, 5), *x = LEAF(1, 2), *of[2] = { ct_sum(ct_square(z)), z };
    ct_tensor *y = ct_square(x), *loss = ct_sum(y), *g;

    ct_register_hook(y, grad_inside, of, NULL);
    ct_backward(loss);
    EXPECT(ct_tensor_grad(x), 2 * 8, 4 * 10);
    ck_assert_ptr_null(ct_tensor_grad(z));
    ct_grad(1, &loss, 1, &x, NULL, false, &g);
    expect_error(CT_ERR_GRAD, "ct_grad", "backward");
    ck_assert_ptr_null(g);
    leave(s);
}
END_TEST

/* ---- removing, and contexts ---- */

/* The context of a hook, which counts its calls and its frees, and may remove another hook while it
 * runs. */
typedef struct watched {
    int calls, frees;
    ct_tensor *t;
    struct watched *removes; /* the hook to remove in the next call */
} watched;

static ct_tensor *watch(ct_tensor *gradient, void *context)
{
    watched *w = context, *removes = w->removes;

    (void)gradient;
    w->calls++;
    ck_assert_int_eq(w->frees, 0);
    w->removes = NULL;
    if (removes) {
        ck_assert(ct_remove_hook(w->t, watch, removes) == CT_OK);
        ck_assert_int_eq(removes->frees, removes != w); /* a running hook is freed after it
                                                         * returns */
        ck_assert(ct_remove_hook(w->t, watch, removes) == CT_ERR_ARGUMENT); /* the hook no longer
                                                                             * exists */
        expect_error(CT_ERR_ARGUMENT, "ct_remove_hook", "no such hook");
    }
    return NULL;
}

static void watch_free(void *context)
{
    ((watched *)context)->frees++;
}

static ct_tensor *leaf_or_result(ct_tensor *x, int i)
{
    return i ? ct_square(x) : x;
}

START_TEST(removed_hooks_run_no_more)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = LEAF(1, 2), *t = leaf_or_result(x, _i), *loss = ct_sum(t);
    watched a = { 0 }, b = { 0 };
    double ten = 10;

    ct_register_hook(t, watch, &a, watch_free);
    ct_register_hook(t, times, &ten, NULL);
    ct_register_hook(t, watch, &b, watch_free);
    ct_register_hook(t, times, &ten, NULL);
    ct_backward(loss);
    EXPECT(ct_tensor_grad(x), _i ? 200 : 100, _i ? 400 : 100);
    ck_assert(ct_remove_hook(t, watch, &a) == CT_OK && a.frees == 1);
    ck_assert(ct_remove_hook(t, times, &ten) == CT_OK); /* removes one of the two hooks */
    ct_tensor_zero_grad(x);
    ct_backward(loss);
    EXPECT(ct_tensor_grad(x), _i ? 20 : 10, _i ? 40 : 10);
    ck_assert(a.calls == 1 && b.calls == 2 && a.frees == 1 && b.frees == 0);
    ck_assert(ct_remove_hook(t, watch, &a) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_remove_hook", "no such hook");
    ck_assert(ct_remove_hook(VECTOR(1), watch, &a) == CT_ERR_GRAD);
    expect_error(CT_ERR_GRAD, "ct_remove_hook", "requires no gradient");
    leave(s);
    ck_assert(a.frees == 1 && b.frees == 1); /* freed with the leaf or the history */
}
END_TEST

/* Hook i of three removes hook j while it runs. */
START_TEST(hooks_remove_hooks)
{
    const int remover = _i / 2 / 3, removed = _i / 2 % 3;
    ct_scope s = ct_scope_begin();
    ct_tensor *x = LEAF(1, 2), *t = leaf_or_result(x, _i % 2), *loss = ct_sum(t);
    watched w[3] = { { .t = t }, { .t = t }, { .t = t } };
    int i;

    for (i = 0; i < 3; i++)
        ct_register_hook(t, watch, &w[i], watch_free);
    w[remover].removes = &w[removed];
    ct_backward(loss);
    expect_ok();
    for (i = 0; i < 3; i++) { /* a later hook that was removed does not run */
        ck_assert_int_eq(w[i].calls, !(i == removed && removed > remover));
        ck_assert_int_eq(w[i].frees, i == removed);
    }
    ct_backward(loss);
    for (i = 0; i < 3; i++)
        ck_assert_int_eq(w[i].calls, i != removed ? 2 : removed <= remover);
    end_scope(s);
    for (i = 0; i < 3; i++)
        ck_assert_int_eq(w[i].frees, 1);
}
END_TEST

/* The context of a hook that could not be registered is freed at once. */
START_TEST(contexts_of_refused_hooks_are_freed)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = LEAF(1, 2);
    watched w = { 0 };

    ct_register_hook(VECTOR(1), watch, &w, watch_free);
    expect_error(CT_ERR_GRAD, "ct_register_hook", "gradient");
    ck_assert_int_eq(w.frees, 1);
    ct_register_hook(x, NULL, &w, watch_free);
    expect_error(CT_ERR_ARGUMENT, "ct_register_hook", "hook is NULL");
    ck_assert_int_eq(w.frees, 2);
    fail_allocation(1);
    ck_assert(ct_register_hook(x, watch, &w, watch_free) == CT_ERR_MEMORY);
    fail_nothing();
    ct_error_clear();
    ck_assert_int_eq(w.frees, 3);
    leave(s);
    ck_assert_int_eq(w.frees, 3);
}
END_TEST

void engine_hooks_cases(Suite *suite)
{
    TCase *tc = harness_case(suite, "hooks");

    tcase_add_test(tc, hooks_see_and_replace_gradients);
    tcase_add_test(tc, hooks_are_checked);
    tcase_add_test(tc, hooks_are_of_one_output);
    tcase_add_loop_test(tc, grad_runs_what_leads_to_its_inputs, 0, 2);
    tcase_add_test(tc, no_hook_without_memory);
    tcase_add_test(tc, backward_inside_a_hook);
    tcase_add_loop_test(tc, backward_inside_to_the_same_leaf, 0, 2);
    tcase_add_test(tc, grad_inside_a_hook);
    tcase_add_loop_test(tc, removed_hooks_run_no_more, 0, 2);
    tcase_add_loop_test(tc, hooks_remove_hooks, 0, 18);
    tcase_add_test(tc, contexts_of_refused_hooks_are_freed);
}
