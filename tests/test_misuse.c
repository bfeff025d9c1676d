/* SPDX-License-Identifier: MIT */
/* test_misuse.c - the errors that wrong calls raise, with the file and line of the call. Each line
 * is one case: the status, the function, a key word of the message, the call. */
#include "tests/harness.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <cotangent.h>

/* The tensors that the wrong calls get. */
static struct {
    ct_tensor *f23, *f34, *d23, *i2, *b23, *scalar, *deep, *empty, *leaf;
} t;

static ct_scope scope;

static void setup(void)
{
    harness_setup();
    scope = ct_scope_begin();
    t.f23 = ct_ones(CT_SHAPE(2, 3), CT_F32, CT_CPU);
    t.f34 = ct_ones(CT_SHAPE(3, 4), CT_F32, CT_CPU);
    t.d23 = ct_ones(CT_SHAPE(2, 3), CT_F64, CT_CPU);
    t.i2 = ct_from_data((int32_t[]){ 0, 9 }, CT_SHAPE(2), CT_I32, CT_CPU);
    t.b23 = ct_ones(CT_SHAPE(2, 3), CT_BOOL, CT_CPU);
    t.scalar = ct_scalar(1, CT_F32);
    t.deep = ct_ones(CT_SHAPE(1, 1, 1, 1, 1, 1, 1, 1), CT_F32, CT_CPU);
    t.empty = ct_zeros(CT_SHAPE(0, 3), CT_F32, CT_CPU);
    t.leaf = ct_set_requires_grad(ct_ones(CT_SHAPE(2, 3), CT_F32, CT_CPU), true);
}

static void teardown(void)
{
    ck_assert(ct_scope_end(scope) == CT_OK);
    harness_teardown();
}

/* ---- elementwise ---- */

#define FLOATS_ONLY(f) REFUSED(CT_ERR_DTYPE, #f, "f32 or f64", f(t.i2))
#define FLOATS_AND(f, p) REFUSED(CT_ERR_DTYPE, #f, "f32 or f64", f(t.i2, p))
#define NUMBERS_ONLY(f) REFUSED(CT_ERR_DTYPE, #f, "i64", f(t.b23))
#define NUMBERS_AND(f, p) REFUSED(CT_ERR_DTYPE, #f, "i64", f(t.b23, p))

START_TEST(one_operand)
{
    NUMBERS_ONLY(ct_neg);
    NUMBERS_ONLY(ct_abs);
    NUMBERS_ONLY(ct_sign);
    NUMBERS_ONLY(ct_square);
    FLOATS_ONLY(ct_exp);
    FLOATS_ONLY(ct_expm1);
    FLOATS_ONLY(ct_log);
    FLOATS_ONLY(ct_log1p);
    FLOATS_ONLY(ct_sqrt);
    FLOATS_ONLY(ct_rsqrt);
    FLOATS_ONLY(ct_reciprocal);
    FLOATS_ONLY(ct_sin);
    FLOATS_ONLY(ct_cos);
    FLOATS_ONLY(ct_tanh);
    FLOATS_ONLY(ct_tan);
    FLOATS_ONLY(ct_asin);
    FLOATS_ONLY(ct_acos);
    FLOATS_ONLY(ct_atan);
    FLOATS_ONLY(ct_sinh);
    FLOATS_ONLY(ct_cosh);
    FLOATS_ONLY(ct_asinh);
    FLOATS_ONLY(ct_acosh);
    FLOATS_ONLY(ct_atanh);
    FLOATS_ONLY(ct_exp2);
    FLOATS_ONLY(ct_log2);
    FLOATS_ONLY(ct_log10);
    FLOATS_ONLY(ct_softsign);
    FLOATS_ONLY(ct_mish);
    FLOATS_ONLY(ct_hardsigmoid);
    FLOATS_ONLY(ct_hardswish);
    FLOATS_ONLY(ct_log_sigmoid);
    FLOATS_ONLY(ct_sigmoid);
    FLOATS_ONLY(ct_relu);
    FLOATS_ONLY(ct_silu);
    FLOATS_ONLY(ct_gelu);
    FLOATS_ONLY(ct_gelu_tanh);
    FLOATS_ONLY(ct_softplus);
    FLOATS_ONLY(ct_erf);
    FLOATS_ONLY(ct_erfc);
    FLOATS_ONLY(ct_floor);
    FLOATS_ONLY(ct_ceil);
    FLOATS_ONLY(ct_round);
    FLOATS_ONLY(ct_isfinite);
    FLOATS_ONLY(ct_isnan);
    FLOATS_AND(ct_leaky_relu, 0.1);
    FLOATS_AND(ct_elu, 1);
    NUMBERS_AND(ct_add_scalar, 1);
    NUMBERS_AND(ct_sub_scalar, 1);
    NUMBERS_AND(ct_mul_scalar, 1);
    FLOATS_AND(ct_div_scalar, 1);
    FLOATS_AND(ct_pow_scalar, 1);
    NUMBERS_AND(ct_rsub_scalar, 1);
    FLOATS_AND(ct_rdiv_scalar, 1);
    FLOATS_AND(ct_rpow_scalar, 1);
    REFUSED(CT_ERR_DTYPE, "ct_hardtanh", "f32 or f64", ct_hardtanh(t.i2, 0, 1));
    REFUSED(CT_ERR_ARGUMENT, "ct_hardtanh", "high", ct_hardtanh(t.f23, 2, 1));
    REFUSED(CT_ERR_ARGUMENT, "ct_hardtanh", "high is nan", ct_hardtanh(t.f23, 0, NAN));
    REFUSED(CT_ERR_DTYPE, "ct_clamp", "i64", ct_clamp(t.b23, 0, 1));
    REFUSED(CT_ERR_ARGUMENT, "ct_clamp", "high", ct_clamp(t.f23, 2, 1));
    REFUSED(CT_ERR_ARGUMENT, "ct_clamp", "low is nan", ct_clamp(t.f23, NAN, 1));
    REFUSED(CT_ERR_DTYPE, "ct_glu", "f32 or f64", ct_glu(t.i2, 0));
    REFUSED(CT_ERR_SHAPE, "ct_glu", "axis 2 is not", ct_glu(t.f23, 2));
    REFUSED(CT_ERR_SHAPE, "ct_glu", "axis 1 of x f32[2,3] cpu ... odd", ct_glu(t.f23, -1));
    REFUSED(CT_ERR_DTYPE, "ct_logical_not", "bool", ct_logical_not(t.f23));
}
END_TEST

#define DO_NOT_BROADCAST(f) REFUSED(CT_ERR_SHAPE, #f, "b ... broadcast", f(t.f23, t.f34))
#define DIFFER_IN_DTYPE(f) REFUSED(CT_ERR_DTYPE, #f, "b ... dtype", f(t.f23, t.d23))
#define NOT_BOOLS(f) REFUSED(CT_ERR_DTYPE, #f, "i64", f(t.b23, t.b23))
#define BOOLS_ONLY(f) REFUSED(CT_ERR_DTYPE, #f, "bool", f(t.f23, t.f23))

START_TEST(two_operands)
{
    DO_NOT_BROADCAST(ct_add);
    DO_NOT_BROADCAST(ct_sub);
    DO_NOT_BROADCAST(ct_mul);
    DO_NOT_BROADCAST(ct_div);
    DO_NOT_BROADCAST(ct_pow);
    DO_NOT_BROADCAST(ct_maximum);
    DO_NOT_BROADCAST(ct_atan2);
    DO_NOT_BROADCAST(ct_logaddexp);
    DO_NOT_BROADCAST(ct_minimum);
    DO_NOT_BROADCAST(ct_eq);
    DO_NOT_BROADCAST(ct_ne);
    DO_NOT_BROADCAST(ct_lt);
    DO_NOT_BROADCAST(ct_le);
    DO_NOT_BROADCAST(ct_gt);
    DO_NOT_BROADCAST(ct_ge);
    DIFFER_IN_DTYPE(ct_add);
    DIFFER_IN_DTYPE(ct_sub);
    DIFFER_IN_DTYPE(ct_mul);
    DIFFER_IN_DTYPE(ct_div);
    DIFFER_IN_DTYPE(ct_pow);
    DIFFER_IN_DTYPE(ct_maximum);
    DIFFER_IN_DTYPE(ct_atan2);
    DIFFER_IN_DTYPE(ct_logaddexp);
    DIFFER_IN_DTYPE(ct_minimum);
    DIFFER_IN_DTYPE(ct_eq);
    DIFFER_IN_DTYPE(ct_ge);
    NOT_BOOLS(ct_add);
    NOT_BOOLS(ct_remainder);
    NOT_BOOLS(ct_floor_divide);
    REFUSED(CT_ERR_DTYPE, "ct_div", "f32 or f64", ct_div(t.i2, t.i2));
    BOOLS_ONLY(ct_logical_and);
    BOOLS_ONLY(ct_logical_or);
    BOOLS_ONLY(ct_logical_xor);
}
END_TEST

START_TEST(choosing)
{
    REFUSED(CT_ERR_DTYPE, "ct_where", "bool", ct_where(t.f23, t.f23, t.f23));
    REFUSED(CT_ERR_DTYPE, "ct_where", "b ... dtype", ct_where(t.b23, t.f23, t.d23));
    REFUSED(CT_ERR_SHAPE, "ct_where", "b ... broadcast", ct_where(t.b23, t.f23, t.f34));
    REFUSED(CT_ERR_SHAPE, "ct_where", "a ... broadcast", ct_where(t.b23, t.f34, t.f34));
    REFUSED(CT_ERR_SHAPE, "ct_masked_fill", "broadcast", ct_masked_fill(t.f34, t.b23, 0));
    REFUSED(CT_ERR_SHAPE, "ct_masked_fill", "broadcast", ct_masked_fill(t.scalar, t.b23, 0));
    REFUSED(CT_ERR_DTYPE, "ct_masked_fill", "bool", ct_masked_fill(t.f23, t.f23, 0));
}
END_TEST

/* ---- shape ---- */

#define NO_AXIS(f) REFUSED(CT_ERR_SHAPE, #f, "axis 2", f(t.f23, 2))
#define NO_AXIS_AND(f, ...) REFUSED(CT_ERR_SHAPE, #f, "axis -3", f(t.f23, -3, __VA_ARGS__))

START_TEST(shapes)
{
    REFUSED(CT_ERR_SHAPE, "ct_reshape", "[4,2]", ct_reshape(t.f23, CT_SHAPE(4, 2)));
    REFUSED(CT_ERR_SHAPE, "ct_reshape", "[-1,-1]", ct_reshape(t.f23, CT_SHAPE(-1, -1)));
    REFUSED(CT_ERR_SHAPE, "ct_reshape", "[4,-1]", ct_reshape(t.f23, CT_SHAPE(4, -1)));
    REFUSED(CT_ERR_SHAPE, "ct_reshape", "[0,-1]", ct_reshape(t.empty, CT_SHAPE(0, -1)));
    REFUSED(CT_ERR_SHAPE, "ct_reshape", "rank 9",
            ct_reshape(t.f23, CT_SHAPE(1, 1, 1, 1, 1, 1, 1, 6, 1)));
    NO_AXIS_AND(ct_flatten, 1);
    REFUSED(CT_ERR_SHAPE, "ct_flatten", "axis 5", ct_flatten(t.f23, 0, 5));
    REFUSED(CT_ERR_SHAPE, "ct_flatten", "start 1", ct_flatten(t.f23, 1, 0));
    NO_AXIS_AND(ct_transpose, 0);
    REFUSED(CT_ERR_SHAPE, "ct_transpose", "axis 0", ct_transpose(t.scalar, 0, 0));
    REFUSED(CT_ERR_SHAPE, "ct_permute", "count is 1", ct_permute(t.f23, 1, (int[]){ 0 }));
    REFUSED(CT_ERR_SHAPE, "ct_permute", "twice", ct_permute(t.f23, 2, (int[]){ 0, -2 }));
    REFUSED(CT_ERR_SHAPE, "ct_permute", "axis 7", ct_permute(t.f23, 2, (int[]){ 0, 7 }));
    NO_AXIS(ct_squeeze);
    REFUSED(CT_ERR_SHAPE, "ct_squeeze", "size 1", ct_squeeze(t.f23, -1));
    REFUSED(CT_ERR_SHAPE, "ct_unsqueeze", "axis at 3", ct_unsqueeze(t.f23, 3));
    REFUSED(CT_ERR_SHAPE, "ct_unsqueeze", "rank 8", ct_unsqueeze(t.deep, 0));
    REFUSED(CT_ERR_SHAPE, "ct_expand", "[4,3]", ct_expand(t.f23, CT_SHAPE(4, 3)));
    REFUSED(CT_ERR_SHAPE, "ct_expand", "[3]", ct_expand(t.f23, CT_SHAPE(3)));
    REFUSED(CT_ERR_SHAPE, "ct_expand", "negative", ct_expand(t.f23, CT_SHAPE(-1, 2, 3)));
    REFUSED(CT_ERR_SHAPE, "ct_expand", "too large",
            ct_expand(t.f23, CT_SHAPE(INT64_MAX / 2 + 1, 2, 3)));
    NO_AXIS_AND(ct_slice, 0, 1, 1);
    REFUSED(CT_ERR_ARGUMENT, "ct_slice", "step is 0", ct_slice(t.f23, 0, 0, 1, 0));
    REFUSED(CT_ERR_ARGUMENT, "ct_slice", "step is -1", ct_slice(t.f23, 0, 0, 1, -1));
    NO_AXIS_AND(ct_narrow, 0, 1);
    REFUSED(CT_ERR_INDEX, "ct_narrow", "start 2", ct_narrow(t.f23, 1, 2, 2));
    REFUSED(CT_ERR_INDEX, "ct_narrow", "start -4", ct_narrow(t.f23, 1, -4, 1));
    REFUSED(CT_ERR_INDEX, "ct_narrow", "length -1", ct_narrow(t.f23, 1, 0, -1));
    NO_AXIS_AND(ct_select, 0);
    REFUSED(CT_ERR_INDEX, "ct_select", "index 2", ct_select(t.f23, 0, 2));
    REFUSED(CT_ERR_INDEX, "ct_select", "index -3", ct_select(t.f23, 0, -3));
    REFUSED(CT_ERR_INDEX, "ct_select", "index 0", ct_select(t.empty, 0, 0));
    REFUSED(CT_ERR_DTYPE, "ct_cast", "dtype 77", ct_cast(t.f23, (ct_dtype)77));
}
END_TEST

START_TEST(joining)
{
    ct_tensor *two[] = { t.f23, t.f34 }, *mixed[] = { t.f23, t.d23 };

    REFUSED(CT_ERR_ARGUMENT, "ct_cat", "count is 0", ct_cat(0, two, 0));
    REFUSED(CT_ERR_SHAPE, "ct_cat", "axis", ct_cat(2, two, 0));
    REFUSED(CT_ERR_DTYPE, "ct_cat", "dtype", ct_cat(2, mixed, 0));
    REFUSED(CT_ERR_SHAPE, "ct_cat", "axis 2", ct_cat(2, two, 2));
    REFUSED(CT_ERR_ARGUMENT, "ct_stack", "count is -1", ct_stack(-1, two, 0));
    REFUSED(CT_ERR_SHAPE, "ct_stack", "one shape", ct_stack(2, two, 0));
    REFUSED(CT_ERR_DTYPE, "ct_stack", "dtype", ct_stack(2, mixed, 0));
    REFUSED(CT_ERR_SHAPE, "ct_stack", "axis at 3", ct_stack(1, two, 3));
}
END_TEST

/* ---- reductions, softmax, products ---- */

START_TEST(reductions)
{
    REFUSED(CT_ERR_DTYPE, "ct_sum", "i64", ct_sum(ct_cast(t.f23, CT_BF16)));
    REFUSED(CT_ERR_DTYPE, "ct_mean", "f32 or f64", ct_mean(t.i2));
    REFUSED(CT_ERR_SHAPE, "ct_sum_axes", "axis 2", ct_sum_axes(t.f23, 1, (int[]){ 2 }, false));
    REFUSED(CT_ERR_SHAPE, "ct_sum_axes", "twice", ct_sum_axes(t.f23, 2, (int[]){ 1, -1 }, false));
    REFUSED(CT_ERR_SHAPE, "ct_mean_axes", "axis 2", ct_mean_axes(t.f23, 1, (int[]){ 2 }, true));
    REFUSED(CT_ERR_DTYPE, "ct_mean_axes", "f32 or f64", ct_mean_axes(t.i2, 1, (int[]){ 0 }, true));
    NO_AXIS_AND(ct_argmax, false);
    NO_AXIS_AND(ct_argmin, false);
    REFUSED(CT_ERR_SHAPE, "ct_argmax", "size 0", ct_argmax(t.empty, 0, false));
    REFUSED(CT_ERR_SHAPE, "ct_argmin", "size 0", ct_argmin(t.empty, -2, true));
    REFUSED(CT_ERR_DTYPE, "ct_argmax", "i64", ct_argmax(t.b23, 0, false));
    REFUSED(CT_ERR_SHAPE, "ct_sum_to_shape", "summed", ct_sum_to_shape(t.f23, CT_SHAPE(4)));
    REFUSED(CT_ERR_SHAPE, "ct_sum_to_shape", "summed", ct_sum_to_shape(t.f23, CT_SHAPE(1, 2, 3)));
    NO_AXIS(ct_softmax);
    NO_AXIS(ct_log_softmax);
    REFUSED(CT_ERR_DTYPE, "ct_softmax", "f32 or f64", ct_softmax(t.i2, 0));
    REFUSED(CT_ERR_DTYPE, "ct_log_softmax", "f32 or f64", ct_log_softmax(t.i2, 0));
    REFUSED(CT_ERR_SHAPE, "ct_softmax", "axis 0", ct_softmax(t.scalar, 0));
}
END_TEST

START_TEST(products)
{
    ct_tensor *bias = ct_ones(CT_SHAPE(3), CT_F32, CT_CPU), *w = t.f34,
              *x = ct_ones(CT_SHAPE(5, 4), CT_F32, CT_CPU);

    REFUSED(CT_ERR_SHAPE, "ct_matmul", "multiply", ct_matmul(t.f23, t.f23));
    REFUSED(CT_ERR_SHAPE, "ct_matmul", "multiply", ct_matmul(bias, t.f23));
    REFUSED(CT_ERR_SHAPE, "ct_matmul", "multiply", ct_matmul(t.f34, bias));
    REFUSED(CT_ERR_SHAPE, "ct_matmul", "scalar", ct_matmul(t.scalar, t.f23));
    REFUSED(CT_ERR_DTYPE, "ct_matmul", "b ... dtype", ct_matmul(t.f23, t.d23));
    REFUSED(CT_ERR_DTYPE, "ct_matmul", "f32 or f64", ct_matmul(t.i2, t.i2));
    REFUSED(CT_ERR_SHAPE, "ct_matmul", "b ... broadcast",
            ct_matmul(ct_ones(CT_SHAPE(2, 4, 3), CT_F32, CT_CPU),
                      ct_ones(CT_SHAPE(5, 3, 4), CT_F32, CT_CPU)));
    REFUSED(CT_ERR_SHAPE, "ct_linear", "f32[2,3]", ct_linear(t.f23, w, NULL));
    REFUSED(CT_ERR_SHAPE, "ct_linear", "bias", ct_linear(x, w, t.f23));
    REFUSED(CT_ERR_DTYPE, "ct_linear", "weight ... dtype", ct_linear(x, t.d23, bias));
    REFUSED(CT_ERR_DTYPE, "ct_linear", "bias ... dtype", ct_linear(x, w, ct_cast(bias, CT_F64)));
    REFUSED(CT_ERR_SHAPE, "ct_linear", "f32[]", ct_linear(t.scalar, w, NULL));
}
END_TEST

/* ---- indices and losses ---- */

START_TEST(indices)
{
    ct_tensor *negative = ct_from_data((int64_t[]){ 1, -1 }, CT_SHAPE(2), CT_I64, CT_CPU);
    ct_cross_entropy_options smooth = { .label_smoothing = 1.5 };

    REFUSED(CT_ERR_INDEX, "ct_embedding", "index 9", ct_embedding(t.f34, t.i2));
    REFUSED(CT_ERR_INDEX, "ct_embedding_padded", "index 9", ct_embedding_padded(t.f34, t.i2, 0));
    REFUSED(CT_ERR_INDEX, "ct_embedding", "index -1", ct_embedding(t.f34, negative));
    REFUSED(CT_ERR_DTYPE, "ct_embedding", "i32 or i64", ct_embedding(t.f34, t.f23));
    REFUSED(CT_ERR_SHAPE, "ct_embedding", "rank", ct_embedding(t.scalar, t.i2));
    REFUSED(CT_ERR_INDEX, "ct_index_select", "index 9", ct_index_select(t.f34, 1, t.i2));
    REFUSED(CT_ERR_SHAPE, "ct_index_select", "rank 1", ct_index_select(t.f34, 1, t.f23));
    REFUSED(CT_ERR_SHAPE, "ct_index_select", "axis 2", ct_index_select(t.f34, 2, t.i2));
    REFUSED(CT_ERR_INDEX, "ct_one_hot", "index 9", ct_one_hot(t.i2, 9));
    REFUSED(CT_ERR_ARGUMENT, "ct_one_hot", "classes is 0", ct_one_hot(t.i2, 0));
    REFUSED(CT_ERR_DTYPE, "ct_one_hot", "i32 or i64", ct_one_hot(t.f23, 3));
    REFUSED(CT_ERR_DTYPE, "ct_one_hot_as", "dtype", ct_one_hot_as(t.i2, 10, CT_BF16));
    REFUSED(CT_ERR_SHAPE, "ct_cross_entropy", "i32[3]",
            ct_cross_entropy(t.f23, ct_ones(CT_SHAPE(3), CT_I32, CT_CPU)));
    REFUSED(CT_ERR_INDEX, "ct_cross_entropy", "target 9", ct_cross_entropy(t.f23, t.i2));
    REFUSED(CT_ERR_DTYPE, "ct_cross_entropy", "f32 or f64", ct_cross_entropy(t.i2, t.i2));
    REFUSED(CT_ERR_ARGUMENT, "ct_cross_entropy_with", "label_smoothing is 1.5",
            ct_cross_entropy_with(t.f23, t.i2, smooth));
}
END_TEST

/* ---- making and reading tensors ---- */

START_TEST(tensors)
{
    ct_generator g = ct_generator_from_seed(1);
    float value;

    REFUSED(CT_ERR_SHAPE, "ct_empty", "shape", ct_empty(CT_SHAPE(2, -1), CT_F32, CT_CPU));
    REFUSED(CT_ERR_SHAPE, "ct_zeros", "rank 9",
            ct_zeros(CT_SHAPE(1, 1, 1, 1, 1, 1, 1, 1, 1), CT_F32, CT_CPU));
    REFUSED(CT_ERR_SHAPE, "ct_ones", "too large",
            ct_ones(CT_SHAPE(3037000500, 3037000500), CT_F32, CT_CPU));
    REFUSED(CT_ERR_DEVICE, "ct_full", "device 99", ct_full(CT_SHAPE(2), 1, CT_F32, 99));
    REFUSED(CT_ERR_DTYPE, "ct_scalar", "dtype -1", ct_scalar(1, (ct_dtype)-1));
    REFUSED(CT_ERR_ARGUMENT, "ct_from_data", "data is NULL",
            ct_from_data(NULL, CT_SHAPE(2), CT_F32, CT_CPU));
    REFUSED(CT_ERR_ARGUMENT, "ct_arange", "step", ct_arange(0, 1, 0, CT_F32, CT_CPU));
    REFUSED(CT_ERR_ARGUMENT, "ct_arange", "finite", ct_arange(0, INFINITY, 1, CT_F32, CT_CPU));
    REFUSED(CT_ERR_SHAPE, "ct_linspace", "n is -1", ct_linspace(0, 1, -1, CT_F32, CT_CPU));
    REFUSED(CT_ERR_DTYPE, "ct_arange", "bool", ct_arange(0, 1, 1, CT_BOOL, CT_CPU));
    REFUSED(CT_ERR_SHAPE, "ct_eye", "shape", ct_eye(-1, CT_F32, CT_CPU));
    REFUSED(CT_ERR_SHAPE, "ct_item", "element", ct_item(t.f23));
    REFUSED(CT_ERR_ARGUMENT, "ct_to_host", "has 4", ct_to_host(t.f23, &value, 4));
    REFUSED(CT_ERR_ARGUMENT, "ct_to_host", "t is NULL", ct_to_host(NULL, &value, 4));
    REFUSED(CT_ERR_SHAPE, "ct_data", "contiguous", ct_data(ct_transpose(t.f23, 0, 1)));
    REFUSED(CT_ERR_GRAD, "ct_mutable_data", "leaf", ct_mutable_data(t.leaf));
    REFUSED(CT_ERR_SHAPE, "ct_copy_into", "shape", ct_copy_into(t.f23, t.f34));
    REFUSED(CT_ERR_DTYPE, "ct_copy_into", "src ... dtype", ct_copy_into(t.f23, t.d23));
    REFUSED(CT_ERR_ARGUMENT, "ct_copy_into", "t is NULL", ct_copy_into(NULL, t.d23));
    REFUSED(CT_ERR_ARGUMENT, "ct_fill", "t is NULL", ct_fill(NULL, 1));
    REFUSED(CT_ERR_DTYPE, "ct_uniform_into", "f32 or f64", ct_uniform_into(t.i2, 0, 1, &g));
    REFUSED(CT_ERR_ARGUMENT, "ct_uniform_into", "g is NULL", ct_uniform_into(t.f23, 0, 1, NULL));
    REFUSED(CT_ERR_ARGUMENT, "ct_normal_into", "std is -1", ct_normal_into(t.f23, 0, -1, &g));
    REFUSED(CT_ERR_DTYPE, "ct_rand", "f32 or f64", ct_rand(CT_SHAPE(2), CT_BOOL, CT_CPU, &g));
    REFUSED(CT_ERR_ARGUMENT, "ct_randn", "g is NULL", ct_randn(CT_SHAPE(2), CT_F32, CT_CPU, NULL));
    REFUSED(CT_ERR_DEVICE, "ct_device_from_name", "device \"abacus\"",
            ct_device_from_name("abacus"));
}
END_TEST

/* ---- gradients and history ---- */

START_TEST(gradients)
{
    ct_tensor *y = ct_square(t.leaf), *given = t.d23, *out;
    ct_generator g = ct_generator_from_seed(1);

    REFUSED(CT_ERR_DTYPE, "ct_set_requires_grad", "f32 or f64", ct_set_requires_grad(t.i2, true));
    REFUSED(CT_ERR_GRAD, "ct_set_requires_grad", "history", ct_set_requires_grad(y, true));
    REFUSED(CT_ERR_SHAPE, "ct_backward", "one element", ct_backward(y));
    REFUSED(CT_ERR_GRAD, "ct_backward", "history", ct_backward(t.scalar));
    REFUSED(CT_ERR_ARGUMENT, "ct_backward", "loss is NULL", ct_backward(NULL));
    REFUSED(CT_ERR_ARGUMENT, "ct_backward_with", "gradient is NULL", ct_backward_with(y, NULL));
    REFUSED(CT_ERR_SHAPE, "ct_backward_with", "gradient", ct_backward_with(y, given));
    REFUSED(CT_ERR_ARGUMENT, "ct_grad", "outputs[0] is NULL",
            ct_grad(1, (ct_tensor *[]){ NULL }, 1, &t.leaf, NULL, false, &out));
    REFUSED(CT_ERR_GRAD, "ct_grad", "history", ct_grad(1, &y, 1, &t.scalar, NULL, false, &out));
    REFUSED(CT_ERR_SHAPE, "ct_grad", "gradient", ct_grad(1, &y, 1, &t.leaf, &given, false, &out));
    REFUSED(CT_ERR_ARGUMENT, "ct_grad", "inputs_count is 0",
            ct_grad(1, &y, 0, &t.leaf, NULL, false, &out));
    REFUSED(CT_ERR_GRAD, "ct_register_hook", "gradient",
            ct_register_hook(t.f23, (ct_grad_hook)(void (*)(void))ct_backward, NULL, NULL));
    REFUSED(CT_ERR_ARGUMENT, "ct_register_hook", "hook is NULL",
            ct_register_hook(t.leaf, NULL, NULL, NULL));
    REFUSED(CT_ERR_SCOPE, "ct_free", "scope", (ct_free(t.f23), 0));
    REFUSED(CT_ERR_GRAD, "ct_graph_dot", "history", ct_graph_dot(t.f23, stdout));
    REFUSED(CT_ERR_ARGUMENT, "ct_graph_dot", "t is NULL", ct_graph_dot(NULL, stdout));
    REFUSED(CT_ERR_ARGUMENT, "ct_activation_checkpoint", "function is NULL",
            ct_activation_checkpoint(NULL, NULL, NULL, 1, &y, 1, &out));
    REFUSED(CT_ERR_ARGUMENT, "ct_gradcheck", "f is NULL",
            ct_gradcheck(NULL, 1, &t.leaf, NULL, &g, 0, 0));
    REFUSED(CT_ERR_ARGUMENT, "ct_gradgradcheck", "f is NULL",
            ct_gradgradcheck(NULL, 1, &t.leaf, NULL, &g, 0, 0));
}
END_TEST

/* ---- parameters and modules ---- */

static ct_status no_fill(const ct_init *init, ct_tensor *x, ct_generator *g)
{
    (void)init, (void)x, (void)g;
    return ct_raise(CT_ERR_NUMERIC, "no_fill", "no values today");
}

START_TEST(parameters)
{
    ct_params *set = ct_params_new((ct_params_options){ .seed = 1 });
    ct_init zero = ct_init_constant(0);
    ct_param *open = ct_params_add(set, "open", CT_SHAPE(-1, 3), zero);

    REFUSED(CT_ERR_DTYPE, "ct_params_new", "dtype is i32",
            ct_params_new((ct_params_options){ .dtype = CT_I32 }));
    REFUSED(CT_ERR_DEVICE, "ct_params_new", "device 99",
            ct_params_new((ct_params_options){ .device = 99 }));
    REFUSED(CT_ERR_ARGUMENT, "ct_params_sub", "\"\"", ct_params_sub(set, ""));
    REFUSED(CT_ERR_ARGUMENT, "ct_params_sub", "name is NULL", ct_params_sub(set, NULL));
    REFUSED(CT_ERR_ARGUMENT, "ct_params_add", "\"a.\"",
            ct_params_add(set, "a.", CT_SHAPE(2), zero));
    REFUSED(CT_ERR_ARGUMENT, "ct_params_add", "open",
            ct_params_add(set, "open", CT_SHAPE(2), zero));
    REFUSED(CT_ERR_SHAPE, "ct_params_add", "[2,-2]",
            ct_params_add(set, "w", CT_SHAPE(2, -2), zero));
    ck_assert(!ct_params_add(set, "w", CT_SHAPE(2), (ct_init){ .fill = no_fill }));
    expect_error(CT_ERR_NUMERIC, "no_fill", "no values today"); /* the error names the user's
                                                                 * function */
    REFUSED(CT_ERR_ARGUMENT, "ct_params_add", "init",
            ct_params_add(set, "w", CT_SHAPE(2), (ct_init){ 0 }));
    REFUSED(CT_ERR_ARGUMENT, "ct_params_add_buffer", "open",
            ct_params_add_buffer(set, "open", CT_SHAPE(2), zero));
    REFUSED(CT_ERR_SHAPE, "ct_param_value", "[-1,3]", ct_param_value(open));
    REFUSED(CT_ERR_SHAPE, "ct_param_materialize", "open ... [2,4]",
            ct_param_materialize(open, CT_SHAPE(2, 4)));
    REFUSED(CT_ERR_ARGUMENT, "ct_param_materialize", "p is NULL",
            ct_param_materialize(NULL, CT_SHAPE(2, 4)));
    REFUSED(CT_ERR_SHAPE, "ct_param_materialize", "negative",
            ct_param_materialize(open, CT_SHAPE(-1, 3)));
    REFUSED(CT_ERR_ARGUMENT, "ct_nn_linear", "out_features is 0",
            ct_nn_linear(set, "l", (ct_nn_linear_options){ 0 }));
    REFUSED(CT_ERR_ARGUMENT, "ct_nn_rnn", "hidden_size",
            ct_nn_rnn(set, "r", (ct_nn_rnn_options){ 0 }));
    REFUSED(CT_ERR_ARGUMENT, "ct_sgd_new", "lr is -1",
            ct_sgd_new(set, (ct_sgd_options){ .lr = -1 }));
    REFUSED(CT_ERR_ARGUMENT, "ct_clip_grad_norm", "max_norm is 0", ct_clip_grad_norm(set, 0, NULL));
    ck_assert_int_eq(ct_params_count(set), 1); /* the failed calls added nothing */
    ct_params_free(set);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("misuse");
    TCase *tc = tcase_create("messages");

    tcase_add_checked_fixture(tc, setup, teardown);
    suite_add_tcase(suite, tc);
    tcase_add_test(tc, one_operand);
    tcase_add_test(tc, two_operands);
    tcase_add_test(tc, choosing);
    tcase_add_test(tc, shapes);
    tcase_add_test(tc, joining);
    tcase_add_test(tc, reductions);
    tcase_add_test(tc, products);
    tcase_add_test(tc, indices);
    tcase_add_test(tc, tensors);
    tcase_add_test(tc, gradients);
    tcase_add_test(tc, parameters);
    return harness_run(suite);
}
