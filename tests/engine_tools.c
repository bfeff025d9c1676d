/* SPDX-License-Identifier: MIT */
/* engine_tools.c - a user's ops, gradcheck, and graphs in the DOT language. */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "tests/files.h"
#include "tests/harness.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cotangent.h>

#include "tests/test_engine.h"

/* ---- a user's ops ---- */

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

/* ---- gradcheck finds wrong derivatives ---- */

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

/* right, but not recorded, so second derivatives are missing */
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

/* Returns the cube of the first input and ignores the others. */
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
    ck_assert(g.position != before); /* so that the next check uses other weights */
    ck_assert(ct_gradgradcheck(product, 2, in, NULL, &g, 0, 0));
    ck_assert(ct_gradcheck(cube_of_first, 2, in, NULL, &g, 0, 0)); /* the gradient of the other
                                                                    * input is 0 */
    ck_assert(ct_gradgradcheck(cube_of_first, 2, in, NULL, &g, 0, 0));
    EXPECT(in[0], 1, 2, -1); /* the values are restored */
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

/* An op that returns its first input, but whose backward gives the last element of the second input
 * a slope from context. */
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

/* The tolerance is relative to the largest derivative of an input, but at least to 1. */
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

/* Every refusal returns false and leaves the generator and tensors that are not leaves
 * unchanged. */
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
        expect_error(CT_ERR_ARGUMENT, checks[i].name, "inputs_count is 0");
        ck_assert(!check(product, 17, many, NULL, &g, 0, 0));
        expect_error(CT_ERR_ARGUMENT, checks[i].name, "inputs_count is 17");
        ck_assert(!check(NULL, 1, &x, NULL, &g, 0, 0));
        expect_error(CT_ERR_ARGUMENT, checks[i].name, "f is NULL");
        ck_assert(!check(product, 1, &x, NULL, NULL, 0, 0));
        expect_error(CT_ERR_ARGUMENT, checks[i].name, "g is NULL");
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
        ck_assert(!check(none_at_all, 1, &x, &g, &g, 0, 0)); /* the function returns NULL without an
                                                              * error */
        ck_assert(ct_ok());
        ck_assert(!check(none_at_all, 1, &x, NULL, &g, 0, 0));
        ck_assert_int_eq(ct_error(), CT_ERR_SHAPE);
        ct_error_clear();
        ck_assert(!check(without_derivative, 1, &x, NULL, &g, 0, 0));
        expect_error(CT_ERR_GRAD, "underived", "has no derivative");
        at = g.position;
        mixed[0] = single; /* an input that requires no gradient may have any dtype */
        mixed[1] = x;
        ct_set_requires_grad(single, false);
        ck_assert(check(cube_of_second, 2, mixed, NULL, &g, 0, 0));
        ct_set_requires_grad(single, true);
        ck_assert(check(sum_of_all, 16, many, NULL, &g, 1e-4, 1e-5));
        ck_assert(g.position != at); /* so that the next check uses other weights */
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

    ct_exp(x); /* this op is not in y's history */
    dot_of(ct_add(y, y), text);
    ck_assert_msg(strncmp(text, "digraph history {\n", 18) == 0, "%s", text);
    ck_assert_int_eq(occurrences(text, "ct_tanh\\n"), 1);
    ck_assert_int_eq(occurrences(text, "ct_matmul\\n"), 1);
    ck_assert_int_eq(occurrences(text, "ct_add\\n"), 1);
    ck_assert_int_eq(occurrences(text, "ct_exp"), 0);
    ck_assert_int_eq(occurrences(text, "engine_tools.c:"), 5); /* including two reshapes */
    ck_assert_int_eq(occurrences(text, "leaf\\nf64[2] "), 1);
    ck_assert_int_eq(occurrences(text, "leaf\\nf64[3,2] "), 1);
    ck_assert_int_eq(occurrences(text, " [label=\"f64[3] "), 3);
    ck_assert_str_eq(text + strlen(text) - 2, "}\n");
    dot_of(ct_rdiv_scalar(ct_sub_scalar(x, 2), 3), text); /* the graph shows the names of public
                                                           * functions */
    ck_assert_int_eq(occurrences(text, "ct_sub_scalar\\n"), 1);
    ck_assert_int_eq(occurrences(text, "ct_rdiv_scalar\\n"), 1);
    dot_of(x, text);
    ck_assert_int_eq(occurrences(text, "leaf"), 1);
    dot_of(VECTOR(1), text);
    expect_error(CT_ERR_GRAD, "ct_graph_dot", "history");
    ck_assert_str_eq(text, ""); /* nothing is written for a tensor without history */
    dot_of(NULL, text);
    expect_error(CT_ERR_ARGUMENT, "ct_graph_dot", "t is NULL");
    ck_assert_str_eq(text, "");
    leave(s);
}
END_TEST

/* A site and a name with characters that DOT treats specially, and a file that cannot be
 * written. */
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
    z = ct_mul(VECTOR(1, 2), x); /* a tensor that requires no gradient is not in the graph */
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
    ck_assert(ct_graph_dot(y, stdout) == CT_ERR_MEMORY); /* refused, because writing is a side
                                                          * effect */
    fail_nothing();
    ck_assert_int_eq(ct_error(), CT_ERR_MEMORY);
    ct_error_clear();
    leave(s);
}
END_TEST

void engine_tools_cases(Suite *suite)
{
    TCase *tc = harness_case(suite, "own ops");

    tcase_add_test(tc, a_fused_backward_runs_where_nothing_is_recorded);
    tcase_add_test(tc, bad_ops_are_errors);
    tc = harness_case(suite, "tools");
    tcase_add_test(tc, gradcheck_tells_right_from_wrong);
    tcase_add_test(tc, gradcheck_tells_by_how_much);
    tcase_add_test(tc, gradcheck_is_checked);
    tcase_add_test(tc, a_graph_is_drawn);
    tcase_add_test(tc, a_graph_is_quoted);
}
