/* SPDX-License-Identifier: MIT */
/* test_inference.c - a library for inference only: every op computes without a function that was left
 * out, has PyTorch's values (ops_parity.c), and a request for gradients is an error. */
#include "tests/cases.h"
#include "tests/harness.h"
#include "tensor/internal.h"

#include <cotangent.h>

#include "tests/test_ops.h"

#define WORD "inference-only"

_Static_assert(CT_INFERENCE_ONLY, "this program tests a library for inference only");

/* ---- ops ---- */

static void run_op(const op_row *row, int number)
{
    op_draw d = op_draw_call(row, number, 200);
    ct_scope s = ct_scope_begin();
    ct_tensor *in[OP_INPUTS], *y;

    op_make_inputs(&d, in);
    y = op_call(row, &d, in);
    ck_assert_msg(y != NULL, "%s: %s", op_describe(row, number, &d), ct_error_message());
    ck_assert(!ct_tensor_requires_grad(y));
    ck_assert(ct_scope_end(s) == CT_OK);
}

START_TEST(every_op_computes)
{
    int numbers = harness_count(12, 100), calls = 0;

    for (int t = 0; op_tables[t]; t++)
        for (int r = 0; op_tables[t][r].name; r++)
            for (int n = 0; n < numbers; n++, calls++)
                run_op(&op_tables[t][r], n);
    ck_assert_int_ge(calls, 200 * numbers);
}
END_TEST

/* ---- requests for gradients ---- */

static ct_tensor *keep_gradient(ct_tensor *gradient, void *context)
{
    (void)context;
    return gradient;
}

static void count_call(void *context)
{
    ++*(int *)context;
}

START_TEST(gradients_are_refused)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_ones(CT_SHAPE(3), CT_F32, CT_CPU), *y = ct_sum(ct_square(x)), *g = x;
    int freed = 0;

    REFUSED(CT_ERR_UNSUPPORTED, "ct_set_requires_grad", WORD, ct_set_requires_grad(x, true));
    ck_assert_int_eq(ct_backward(y), CT_ERR_UNSUPPORTED);
    expect_error(CT_ERR_UNSUPPORTED, "ct_backward", WORD);
    ck_assert_int_eq(ct_backward_with(y, y), CT_ERR_UNSUPPORTED);
    expect_error(CT_ERR_UNSUPPORTED, "ct_backward_with", WORD);
    ck_assert_int_eq(ct_grad(CT_TENSORS(y), CT_TENSORS(x), NULL, false, &g), CT_ERR_UNSUPPORTED);
    expect_error(CT_ERR_UNSUPPORTED, "ct_grad", WORD);
    ck_assert_ptr_null(g);
    ck_assert_int_eq(ct_register_hook(x, keep_gradient, &freed, count_call), CT_ERR_UNSUPPORTED);
    expect_error(CT_ERR_UNSUPPORTED, "ct_register_hook", WORD);
    ck_assert_int_eq(freed, 1);
    ck_assert_int_eq(ct_remove_hook(x, keep_gradient, NULL), CT_ERR_UNSUPPORTED);
    expect_error(CT_ERR_UNSUPPORTED, "ct_remove_hook", WORD);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

START_TEST(wrong_arguments_come_first)
{
    ct_scope s = ct_scope_begin(), inner = ct_scope_begin();
    ct_tensor *dead = ct_ones(CT_SHAPE(3), CT_F32, CT_CPU);

    ck_assert(ct_scope_end(inner) == CT_OK);
    EXPECT_NO_VALUE(ct_set_requires_grad(NULL, true));
    ck_assert_int_eq(ct_backward(NULL), CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_backward", "NULL");
    ck_assert_int_eq(ct_backward(dead), CT_ERR_SCOPE);
    expect_error(CT_ERR_SCOPE, "ct_backward", "ended");
    ck_assert_int_eq(ct_register_hook(dead, keep_gradient, NULL, NULL), CT_ERR_SCOPE);
    expect_error(CT_ERR_SCOPE, "ct_register_hook", "ended");
    ck_assert_int_eq(ct_grad(1, NULL, 1, NULL, NULL, false, NULL), CT_ERR_UNSUPPORTED);
    expect_error(CT_ERR_UNSUPPORTED, "ct_grad", WORD);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* ---- what works as without history ---- */

START_TEST(nothing_requires_a_gradient)
{
    ct_params *params = ct_params_new((ct_params_options){ .seed = 1 });
    ct_module *linear = ct_nn_linear(params, "linear",
                                     (ct_nn_linear_options){ .in_features = 3, .out_features = 2 });
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_ones(CT_SHAPE(4, 3), CT_F32, CT_CPU), *y = ct_forward(linear, x);

    ck_assert(y && !ct_tensor_requires_grad(y));
    ck_assert(!ct_tensor_requires_grad(ct_param_value(ct_params_at(params, 0))));
    ck_assert(!ct_tensor_requires_grad(ct_detach(x)));
    ck_assert_ptr_eq(ct_set_requires_grad(x, false), x);
    ck_assert(!ct_set_grad_enabled(true) && !ct_grad_enabled());
    ck_assert_ptr_null(ct_tensor_grad(x));
    ct_tensor_zero_grad(x);
    ck_assert_int_eq(ct_params_freeze(params, "linear.*", true), 2);
    ck_assert_int_eq(ct_params_freeze(params, "linear.*", false), 2);
    ct_params_zero_grad(params);
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(params);
}
END_TEST

/* An op of a user's: its table has a derivative, which is not called. */
static void twice_backward(ct_node *n, ct_tensor *const *dout)
{
    ct_node_add_grad(n, 0, ct_mul_scalar(dout[0], 2));
}

START_TEST(an_op_of_a_user_computes)
{
    static const ct_op twice = {
        .name = "twice", .inputs = 1, .outputs = 1, .backward = twice_backward
    };
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_ones(CT_SHAPE(3), CT_F32, CT_CPU), *y = ct_mul_scalar(x, 2), *none = NULL;
    ct_tensor *dead;
    ct_scope inner = ct_scope_begin();

    dead = ct_ones(CT_SHAPE(3), CT_F32, CT_CPU);
    ck_assert(ct_scope_end(inner) == CT_OK);
    ck_assert(ct_record(&twice, 1, &x, 1, &y, NULL, 0));
    ck_assert(ct_record(&twice, 1, &none, 1, &y, NULL, 0));
    ck_assert(!ct_record(&twice, 1, &x, 1, &none, NULL, 0) && ct_ok());
    ck_assert(!ct_record(&twice, 1, &dead, 1, &y, NULL, 0));
    expect_error(CT_ERR_SCOPE, "ct_record", "ended");
    ck_assert(!ct_record(&twice, 1, &x, 1, &dead, NULL, 0));
    expect_error(CT_ERR_SCOPE, "ct_record", "ended");
    ck_assert(!ct_record(NULL, 1, &x, 1, &y, NULL, 0));
    expect_error(CT_ERR_ARGUMENT, "ct_record", "op is NULL");
    ck_assert(!ct_record(&twice, 1, &x, 1, &y, NULL, 8));
    expect_error(CT_ERR_ARGUMENT, "ct_record", "attributes is NULL");
    EXPECT_NO_VALUE(ct_node_input(NULL, 0));
    EXPECT_NO_VALUE(ct_node_output(NULL, 0));
    EXPECT_NO_VALUE(ct_node_attributes(NULL));
    ct_node_add_grad(NULL, 0, x);
    expect_error(CT_ERR_ARGUMENT, "ct_node_add_grad", "n is NULL");
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("inference");
    TCase *tc = harness_case(suite, "ops");

    tcase_add_test(tc, every_op_computes);
    tc = harness_case(suite, "gradients");
    tcase_add_test(tc, gradients_are_refused);
    tcase_add_test(tc, wrong_arguments_come_first);
    tcase_add_test(tc, nothing_requires_a_gradient);
    tcase_add_test(tc, an_op_of_a_user_computes);
    ops_parity_cases(suite);
    return harness_run(suite);
}
