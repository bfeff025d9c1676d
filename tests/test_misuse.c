/* test_misuse.c - what functions say when they are misused: the whole message, with the file and
 * line of the call. Each line is one case: the status, the message, the call. */
#include "tests/harness.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cotangent.h>

static int failures;

/* Compares the error that stands with what was expected, prints a difference, and clears it. What a
 * call gives that failed is no tensor. */
static void compare(ct_status status, const char *message, const void *returned)
{
    if (returned) {
        printf("%s\n    but something is returned\n", message);
        failures++;
    }
    if (ct_error() != status || strcmp(ct_error_message(), message) != 0) {
        printf("expected %s %s\n     got %s %s\n", ct_status_name(status), message,
               ct_status_name(ct_error()), ct_error_message());
        failures++;
    }
    ct_error_clear();
}

/* The call, on one line, whose message is "FILE:LINE: " and text. */
/* clang-format off */
#define MISUSE(status, text, call)                                                                \
    do {                                                                                          \
        const void *returned = _Generic((call), ct_tensor *: (call), ct_param *: (call),          \
                                        ct_params *: (call), default: ((void)(call), NULL));      \
                                                                                                  \
        compare(status, CT_HERE ": " text, returned);                                             \
    } while (0)
/* clang-format on */

/* The tensors that are misused. */
static struct {
    ct_tensor *f23, *f34, *d23, *i2, *b23, *scalar, *deep, *empty, *leaf;
} t;

static ct_scope scope;

static void setup(void)
{
    harness_setup();
    failures = 0;
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
    fflush(stdout);
    ck_assert_msg(failures == 0, "%d messages are others, see above", failures);
}

/* ---- elementwise ---- */

#define FLOATS_ONLY(f) MISUSE(CT_ERR_DTYPE, #f ": x i32[2] cpu must be f32 or f64", f(t.i2))
#define FLOATS_AND(f, p) MISUSE(CT_ERR_DTYPE, #f ": x i32[2] cpu must be f32 or f64", f(t.i2, p))
#define NUMBERS_ONLY(f) MISUSE(CT_ERR_DTYPE, #f ": x bool[2,3] cpu must be of numbers", f(t.b23))

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
    FLOATS_ONLY(ct_sigmoid);
    FLOATS_ONLY(ct_relu);
    FLOATS_ONLY(ct_silu);
    FLOATS_ONLY(ct_gelu);
    FLOATS_ONLY(ct_softplus);
    FLOATS_ONLY(ct_erf);
    FLOATS_ONLY(ct_floor);
    FLOATS_ONLY(ct_ceil);
    FLOATS_ONLY(ct_round);
    FLOATS_ONLY(ct_isfinite);
    FLOATS_ONLY(ct_isnan);
    FLOATS_AND(ct_leaky_relu, 0.1);
    FLOATS_AND(ct_elu, 1);
    FLOATS_AND(ct_add_scalar, 1);
    FLOATS_AND(ct_sub_scalar, 1);
    FLOATS_AND(ct_mul_scalar, 1);
    FLOATS_AND(ct_div_scalar, 1);
    FLOATS_AND(ct_pow_scalar, 1);
    FLOATS_AND(ct_rsub_scalar, 1);
    FLOATS_AND(ct_rdiv_scalar, 1);
    FLOATS_AND(ct_rpow_scalar, 1);
    MISUSE(CT_ERR_DTYPE, "ct_clamp: x i32[2] cpu must be f32 or f64", ct_clamp(t.i2, 0, 1));
    MISUSE(CT_ERR_ARGUMENT, "ct_clamp: low 2 and high 1 are no range", ct_clamp(t.f23, 2, 1));
    MISUSE(CT_ERR_ARGUMENT, "ct_clamp: low nan and high 1 are no range", ct_clamp(t.f23, NAN, 1));
    MISUSE(CT_ERR_DTYPE, "ct_logical_not: x f32[2,3] cpu must be bool", ct_logical_not(t.f23));
}
END_TEST

#define DO_NOT_BROADCAST(f)                                                                        \
    MISUSE(CT_ERR_SHAPE,                                                                           \
           #f ": a f32[2,3] cpu and b f32[3,4] cpu do not broadcast (axis 0: 2 vs 3)",             \
           f(t.f23, t.f34))
#define DIFFER_IN_DTYPE(f)                                                                         \
    MISUSE(CT_ERR_DTYPE,                                                                           \
           #f ": a f32[2,3] cpu and b f64[2,3] cpu differ in dtype (no promotion: "                \
              "ct_cast one)",                                                                      \
           f(t.f23, t.d23))
#define NOT_BOOLS(f)                                                                               \
    MISUSE(CT_ERR_DTYPE, #f ": a bool[2,3] cpu must be of numbers", f(t.b23, t.b23))
#define BOOLS_ONLY(f) MISUSE(CT_ERR_DTYPE, #f ": a f32[2,3] cpu must be bool", f(t.f23, t.f23))

START_TEST(two_operands)
{
    DO_NOT_BROADCAST(ct_add);
    DO_NOT_BROADCAST(ct_sub);
    DO_NOT_BROADCAST(ct_mul);
    DO_NOT_BROADCAST(ct_div);
    DO_NOT_BROADCAST(ct_pow);
    DO_NOT_BROADCAST(ct_maximum);
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
    DIFFER_IN_DTYPE(ct_minimum);
    DIFFER_IN_DTYPE(ct_eq);
    DIFFER_IN_DTYPE(ct_ge);
    NOT_BOOLS(ct_add);
    NOT_BOOLS(ct_lt);
    MISUSE(CT_ERR_DTYPE, "ct_div: a i32[2] cpu must be f32 or f64", ct_div(t.i2, t.i2));
    BOOLS_ONLY(ct_logical_and);
    BOOLS_ONLY(ct_logical_or);
    BOOLS_ONLY(ct_logical_xor);
}
END_TEST

START_TEST(choosing)
{
    MISUSE(CT_ERR_DTYPE, "ct_where: condition f32[2,3] cpu must be bool",
           ct_where(t.f23, t.f23, t.f23));
    MISUSE(
        CT_ERR_DTYPE,
        "ct_where: a f32[2,3] cpu and b f64[2,3] cpu differ in dtype (no promotion: ct_cast one)",
        ct_where(t.b23, t.f23, t.d23));
    MISUSE(CT_ERR_SHAPE,
           "ct_where: a f32[2,3] cpu and b f32[3,4] cpu do not broadcast (axis 0: 2 vs 3)",
           ct_where(t.b23, t.f23, t.f34));
    MISUSE(CT_ERR_SHAPE,
           "ct_where: condition bool[2,3] cpu and a with b f32[3,4] cpu do not broadcast (axis 0: "
           "2 vs 3)",
           ct_where(t.b23, t.f34, t.f34));
    MISUSE(CT_ERR_SHAPE, "ct_masked_fill: mask bool[2,3] cpu does not broadcast to x f32[3,4] cpu",
           ct_masked_fill(t.f34, t.b23, 0));
    MISUSE(CT_ERR_SHAPE, "ct_masked_fill: mask bool[2,3] cpu does not broadcast to x f32[] cpu",
           ct_masked_fill(t.scalar, t.b23, 0));
    MISUSE(CT_ERR_DTYPE, "ct_masked_fill: mask f32[2,3] cpu must be bool",
           ct_masked_fill(t.f23, t.f23, 0));
}
END_TEST

/* ---- shape ---- */

#define NO_AXIS(f) MISUSE(CT_ERR_SHAPE, #f ": axis 2 is not an axis of f32[2,3] cpu", f(t.f23, 2))
#define NO_AXIS_AND(f, ...)                                                                        \
    MISUSE(CT_ERR_SHAPE, #f ": axis -3 is not an axis of f32[2,3] cpu", f(t.f23, -3, __VA_ARGS__))

START_TEST(shapes)
{
    MISUSE(CT_ERR_SHAPE, "ct_reshape: x f32[2,3] cpu cannot have the shape [4,2]",
           ct_reshape(t.f23, CT_SHAPE(4, 2)));
    MISUSE(CT_ERR_SHAPE, "ct_reshape: x f32[2,3] cpu cannot have the shape [-1,-1]",
           ct_reshape(t.f23, CT_SHAPE(-1, -1)));
    MISUSE(CT_ERR_SHAPE, "ct_reshape: x f32[2,3] cpu cannot have the shape [4,-1]",
           ct_reshape(t.f23, CT_SHAPE(4, -1)));
    MISUSE(CT_ERR_SHAPE, "ct_reshape: x f32[0,3] cpu cannot have the shape [0,-1]",
           ct_reshape(t.empty, CT_SHAPE(0, -1)));
    MISUSE(CT_ERR_SHAPE, "ct_reshape: x f32[2,3] cpu cannot have the shape [1,1,1,1,1,1,1,6]",
           ct_reshape(t.f23, CT_SHAPE(1, 1, 1, 1, 1, 1, 1, 6, 1)));
    NO_AXIS_AND(ct_flatten, 1);
    MISUSE(CT_ERR_SHAPE, "ct_flatten: axis 5 is not an axis of f32[2,3] cpu",
           ct_flatten(t.f23, 0, 5));
    MISUSE(CT_ERR_SHAPE, "ct_flatten: start 1 comes after end 0 in x f32[2,3] cpu",
           ct_flatten(t.f23, 1, 0));
    NO_AXIS_AND(ct_transpose, 0);
    MISUSE(CT_ERR_SHAPE, "ct_transpose: axis 0 is not an axis of f32[] cpu",
           ct_transpose(t.scalar, 0, 0));
    MISUSE(CT_ERR_SHAPE, "ct_permute: 1 axes for x f32[2,3] cpu",
           ct_permute(t.f23, 1, (int[]){ 0 }));
    MISUSE(CT_ERR_SHAPE, "ct_permute: axis -2 of x f32[2,3] cpu is listed twice",
           ct_permute(t.f23, 2, (int[]){ 0, -2 }));
    MISUSE(CT_ERR_SHAPE, "ct_permute: axis 7 is not an axis of f32[2,3] cpu",
           ct_permute(t.f23, 2, (int[]){ 0, 7 }));
    NO_AXIS(ct_squeeze);
    MISUSE(CT_ERR_SHAPE, "ct_squeeze: axis 1 of x f32[2,3] cpu has not size 1",
           ct_squeeze(t.f23, -1));
    MISUSE(CT_ERR_SHAPE, "ct_unsqueeze: axis 3 is no place for an axis of x f32[2,3] cpu",
           ct_unsqueeze(t.f23, 3));
    MISUSE(CT_ERR_SHAPE,
           "ct_unsqueeze: axis 0 is no place for an axis of x f32[1,1,1,1,1,1,1,1] cpu",
           ct_unsqueeze(t.deep, 0));
    MISUSE(CT_ERR_SHAPE, "ct_expand: x f32[2,3] cpu does not expand to [4,3]",
           ct_expand(t.f23, CT_SHAPE(4, 3)));
    MISUSE(CT_ERR_SHAPE, "ct_expand: x f32[2,3] cpu does not expand to [3]",
           ct_expand(t.f23, CT_SHAPE(3)));
    MISUSE(CT_ERR_SHAPE, "ct_expand: shape [-1,2,3] has a negative size (axis 0)",
           ct_expand(t.f23, CT_SHAPE(-1, 2, 3)));
    MISUSE(CT_ERR_SHAPE,
           "ct_expand: shape [4611686018427387904,2,3] is too large: its size overflows",
           ct_expand(t.f23, CT_SHAPE(INT64_MAX / 2 + 1, 2, 3)));
    NO_AXIS_AND(ct_slice, 0, 1, 1);
    MISUSE(CT_ERR_ARGUMENT, "ct_slice: step 0 is below 1", ct_slice(t.f23, 0, 0, 1, 0));
    MISUSE(CT_ERR_ARGUMENT, "ct_slice: step -1 is below 1", ct_slice(t.f23, 0, 0, 1, -1));
    NO_AXIS_AND(ct_narrow, 0, 1);
    MISUSE(CT_ERR_INDEX, "ct_narrow: start 2, length 2 is outside axis 1 of x f32[2,3] cpu",
           ct_narrow(t.f23, 1, 2, 2));
    MISUSE(CT_ERR_INDEX, "ct_narrow: start -4, length 1 is outside axis 1 of x f32[2,3] cpu",
           ct_narrow(t.f23, 1, -4, 1));
    MISUSE(CT_ERR_INDEX, "ct_narrow: start 0, length -1 is outside axis 1 of x f32[2,3] cpu",
           ct_narrow(t.f23, 1, 0, -1));
    NO_AXIS_AND(ct_select, 0);
    MISUSE(CT_ERR_INDEX, "ct_select: index 2 is outside axis 0 of x f32[2,3] cpu",
           ct_select(t.f23, 0, 2));
    MISUSE(CT_ERR_INDEX, "ct_select: index -3 is outside axis 0 of x f32[2,3] cpu",
           ct_select(t.f23, 0, -3));
    MISUSE(CT_ERR_INDEX, "ct_select: index 0 is outside axis 0 of x f32[0,3] cpu",
           ct_select(t.empty, 0, 0));
    MISUSE(CT_ERR_DTYPE, "ct_cast: there is no dtype 77", ct_cast(t.f23, (ct_dtype)77));
}
END_TEST

START_TEST(joining)
{
    ct_tensor *two[] = { t.f23, t.f34 }, *mixed[] = { t.f23, t.d23 };

    MISUSE(CT_ERR_ARGUMENT, "ct_cat: 0 parts", ct_cat(0, two, 0));
    MISUSE(CT_ERR_SHAPE, "ct_cat: part 0 f32[2,3] cpu and part 1 f32[3,4] cpu do not fit",
           ct_cat(2, two, 0));
    MISUSE(CT_ERR_DTYPE, "ct_cat: part 0 f32[2,3] cpu and part 1 f64[2,3] cpu differ",
           ct_cat(2, mixed, 0));
    MISUSE(CT_ERR_SHAPE, "ct_cat: axis 2 is not an axis of f32[2,3] cpu", ct_cat(2, two, 2));
    MISUSE(CT_ERR_ARGUMENT, "ct_stack: -1 parts", ct_stack(-1, two, 0));
    MISUSE(CT_ERR_SHAPE, "ct_stack: part 0 f32[2,3] cpu and part 1 f32[3,4] cpu do not fit",
           ct_stack(2, two, 0));
    MISUSE(CT_ERR_DTYPE, "ct_stack: part 0 f32[2,3] cpu and part 1 f64[2,3] cpu differ",
           ct_stack(2, mixed, 0));
    MISUSE(CT_ERR_SHAPE, "ct_stack: axis 3 is no place for an axis of f32[2,3] cpu",
           ct_stack(1, two, 3));
}
END_TEST

/* ---- reductions, softmax, products ---- */

START_TEST(reductions)
{
    MISUSE(CT_ERR_DTYPE, "ct_sum: x bool[2,3] cpu must be of numbers", ct_sum(t.b23));
    MISUSE(CT_ERR_DTYPE, "ct_mean: x i32[2] cpu must be f32 or f64", ct_mean(t.i2));
    MISUSE(CT_ERR_SHAPE, "ct_sum_axes: axis 2 is not an axis of f32[2,3] cpu",
           ct_sum_axes(t.f23, 1, (int[]){ 2 }, false));
    MISUSE(CT_ERR_SHAPE, "ct_sum_axes: axis -1 of f32[2,3] cpu is listed twice",
           ct_sum_axes(t.f23, 2, (int[]){ 1, -1 }, false));
    MISUSE(CT_ERR_SHAPE, "ct_mean_axes: axis 2 is not an axis of f32[2,3] cpu",
           ct_mean_axes(t.f23, 1, (int[]){ 2 }, true));
    MISUSE(CT_ERR_DTYPE, "ct_mean_axes: x i32[2] cpu must be f32 or f64",
           ct_mean_axes(t.i2, 1, (int[]){ 0 }, true));
    NO_AXIS_AND(ct_argmax, false);
    NO_AXIS_AND(ct_argmin, false);
    MISUSE(CT_ERR_SHAPE, "ct_argmax: axis 0 of x f32[0,3] cpu has size 0",
           ct_argmax(t.empty, 0, false));
    MISUSE(CT_ERR_SHAPE, "ct_argmin: axis 0 of x f32[0,3] cpu has size 0",
           ct_argmin(t.empty, -2, true));
    MISUSE(CT_ERR_DTYPE, "ct_argmax: x bool[2,3] cpu must be of numbers",
           ct_argmax(t.b23, 0, false));
    MISUSE(CT_ERR_SHAPE, "ct_sum_to_shape: x f32[2,3] cpu is no broadcast of [4]",
           ct_sum_to_shape(t.f23, CT_SHAPE(4)));
    MISUSE(CT_ERR_SHAPE, "ct_sum_to_shape: x f32[2,3] cpu is no broadcast of [1,2,3]",
           ct_sum_to_shape(t.f23, CT_SHAPE(1, 2, 3)));
    NO_AXIS(ct_softmax);
    NO_AXIS(ct_log_softmax);
    MISUSE(CT_ERR_DTYPE, "ct_softmax: x i32[2] cpu must be f32 or f64", ct_softmax(t.i2, 0));
    MISUSE(CT_ERR_DTYPE, "ct_log_softmax: x i32[2] cpu must be f32 or f64",
           ct_log_softmax(t.i2, 0));
    MISUSE(CT_ERR_SHAPE, "ct_softmax: axis 0 is not an axis of f32[] cpu", ct_softmax(t.scalar, 0));
}
END_TEST

START_TEST(products)
{
    ct_tensor *bias = ct_ones(CT_SHAPE(3), CT_F32, CT_CPU), *w = t.f34,
              *x = ct_ones(CT_SHAPE(5, 4), CT_F32, CT_CPU);

    MISUSE(CT_ERR_SHAPE,
           "ct_matmul: a f32[2,3] cpu and b f32[2,3] cpu do not multiply (3 columns vs 2 rows)",
           ct_matmul(t.f23, t.f23));
    MISUSE(CT_ERR_SHAPE,
           "ct_matmul: a f32[3] cpu and b f32[2,3] cpu do not multiply (3 columns vs 2 rows)",
           ct_matmul(bias, t.f23));
    MISUSE(CT_ERR_SHAPE,
           "ct_matmul: a f32[3,4] cpu and b f32[3] cpu do not multiply (4 columns vs 3 rows)",
           ct_matmul(t.f34, bias));
    MISUSE(CT_ERR_SHAPE,
           "ct_matmul: a f32[] cpu and b f32[2,3] cpu: a scalar is no matrix (ct_mul)",
           ct_matmul(t.scalar, t.f23));
    MISUSE(
        CT_ERR_DTYPE,
        "ct_matmul: a f32[2,3] cpu and b f64[2,3] cpu differ in dtype (no promotion: ct_cast one)",
        ct_matmul(t.f23, t.d23));
    MISUSE(CT_ERR_DTYPE, "ct_matmul: a i32[2] cpu must be f32 or f64", ct_matmul(t.i2, t.i2));
    MISUSE(CT_ERR_SHAPE,
           "ct_matmul: a f32[2,4,3] cpu and b f32[5,3,4] cpu do not broadcast (axis 0: 2 vs 5)",
           ct_matmul(ct_ones(CT_SHAPE(2, 4, 3), CT_F32, CT_CPU),
                     ct_ones(CT_SHAPE(5, 3, 4), CT_F32, CT_CPU)));
    MISUSE(CT_ERR_SHAPE, "ct_linear: x f32[2,3] cpu and weight f32[3,4] cpu (out, in) do not fit",
           ct_linear(t.f23, w, NULL));
    MISUSE(CT_ERR_SHAPE, "ct_linear: bias f32[2,3] cpu does not fit weight f32[3,4] cpu (out, in)",
           ct_linear(x, w, t.f23));
    MISUSE(CT_ERR_DTYPE,
           "ct_linear: x f32[5,4] cpu and weight f64[2,3] cpu differ in dtype (no promotion: "
           "ct_cast one)",
           ct_linear(x, t.d23, bias));
    MISUSE(CT_ERR_DTYPE,
           "ct_linear: x f32[5,4] cpu and bias f64[3] cpu differ in dtype (no promotion: "
           "ct_cast one)",
           ct_linear(x, w, ct_cast(bias, CT_F64)));
    MISUSE(CT_ERR_SHAPE, "ct_linear: x f32[] cpu and weight f32[3,4] cpu (out, in) do not fit",
           ct_linear(t.scalar, w, NULL));
}
END_TEST

/* ---- indices and losses ---- */

START_TEST(indices)
{
    ct_tensor *negative = ct_from_data((int64_t[]){ 1, -1 }, CT_SHAPE(2), CT_I64, CT_CPU);
    ct_cross_entropy_options smooth = { .label_smoothing = 1.5 };

    MISUSE(CT_ERR_INDEX, "ct_embedding: index 9, number 1 of i32[2] cpu, is not in 0..2",
           ct_embedding(t.f34, t.i2));
    MISUSE(CT_ERR_INDEX, "ct_embedding: index -1, number 1 of i64[2] cpu, is not in 0..2",
           ct_embedding(t.f34, negative));
    MISUSE(CT_ERR_DTYPE, "ct_embedding: indices f32[2,3] cpu must be i32 or i64",
           ct_embedding(t.f34, t.f23));
    MISUSE(CT_ERR_SHAPE,
           "ct_embedding: weight f32[] cpu and indices i32[2] cpu: the result has no rank in 0..8",
           ct_embedding(t.scalar, t.i2));
    MISUSE(CT_ERR_INDEX, "ct_index_select: index 9, number 1 of i32[2] cpu, is not in 0..3",
           ct_index_select(t.f34, 1, t.i2));
    MISUSE(CT_ERR_SHAPE, "ct_index_select: indices f32[2,3] cpu must have rank 1",
           ct_index_select(t.f34, 1, t.f23));
    MISUSE(CT_ERR_SHAPE, "ct_index_select: axis 2 is not an axis of f32[3,4] cpu",
           ct_index_select(t.f34, 2, t.i2));
    MISUSE(CT_ERR_INDEX, "ct_one_hot: index 9, number 1 of i32[2] cpu, is not in 0..8",
           ct_one_hot(t.i2, 9));
    MISUSE(CT_ERR_ARGUMENT, "ct_one_hot: 0 classes for indices i32[2] cpu", ct_one_hot(t.i2, 0));
    MISUSE(CT_ERR_DTYPE, "ct_one_hot: indices f32[2,3] cpu must be i32 or i64",
           ct_one_hot(t.f23, 3));
    MISUSE(CT_ERR_DTYPE, "ct_one_hot_as: dtype bf16 has no one-hot",
           ct_one_hot_as(t.i2, 10, CT_BF16));
    MISUSE(CT_ERR_SHAPE,
           "ct_cross_entropy: logits f32[2,3] cpu (..., classes) and targets i32[3] cpu do not fit",
           ct_cross_entropy(t.f23, ct_ones(CT_SHAPE(3), CT_I32, CT_CPU)));
    MISUSE(CT_ERR_INDEX, "ct_cross_entropy: target 9, number 1, is not in 0..2",
           ct_cross_entropy(t.f23, t.i2));
    MISUSE(CT_ERR_DTYPE, "ct_cross_entropy: logits i32[2] cpu must be f32 or f64",
           ct_cross_entropy(t.i2, t.i2));
    MISUSE(CT_ERR_ARGUMENT, "ct_cross_entropy: label_smoothing 1.5 is not in 0..1",
           ct_cross_entropy_with(t.f23, t.i2, smooth));
}
END_TEST

/* ---- making and reading tensors ---- */

START_TEST(tensors)
{
    ct_generator g = ct_generator_from_seed(1);
    float value;

    MISUSE(CT_ERR_SHAPE, "ct_empty: shape [2,-1] has a negative size (axis 1)",
           ct_empty(CT_SHAPE(2, -1), CT_F32, CT_CPU));
    MISUSE(CT_ERR_SHAPE, "ct_zeros: rank 9 is not in 0..8",
           ct_zeros(CT_SHAPE(1, 1, 1, 1, 1, 1, 1, 1, 1), CT_F32, CT_CPU));
    MISUSE(CT_ERR_SHAPE, "ct_ones: shape [3037000500,3037000500] is too large: its size overflows",
           ct_ones(CT_SHAPE(3037000500, 3037000500), CT_F32, CT_CPU));
    MISUSE(CT_ERR_DEVICE, "ct_full: there is no device 99", ct_full(CT_SHAPE(2), 1, CT_F32, 99));
    MISUSE(CT_ERR_DTYPE, "ct_scalar: there is no dtype -1", ct_scalar(1, (ct_dtype)-1));
    MISUSE(CT_ERR_ARGUMENT, "ct_from_data: data is NULL",
           ct_from_data(NULL, CT_SHAPE(2), CT_F32, CT_CPU));
    MISUSE(CT_ERR_ARGUMENT, "ct_arange: step is 0", ct_arange(0, 1, 0, CT_F32, CT_CPU));
    MISUSE(CT_ERR_ARGUMENT, "ct_arange: start, end and step do not give a finite range",
           ct_arange(0, INFINITY, 1, CT_F32, CT_CPU));
    MISUSE(CT_ERR_SHAPE, "ct_linspace: n -1 is negative", ct_linspace(0, 1, -1, CT_F32, CT_CPU));
    MISUSE(CT_ERR_DTYPE, "ct_arange: dtype bool has no ranges",
           ct_arange(0, 1, 1, CT_BOOL, CT_CPU));
    MISUSE(CT_ERR_SHAPE, "ct_eye: shape [-1,-1] has a negative size (axis 0)",
           ct_eye(-1, CT_F32, CT_CPU));
    MISUSE(CT_ERR_SHAPE, "ct_item: t f32[2,3] cpu has not one element", ct_item(t.f23));
    MISUSE(CT_ERR_ARGUMENT, "ct_to_host: t f32[2,3] cpu takes 24 bytes, not 4",
           ct_to_host(t.f23, &value, 4));
    MISUSE(CT_ERR_ARGUMENT, "ct_to_host: t is NULL", ct_to_host(NULL, &value, 4));
    MISUSE(CT_ERR_SHAPE, "ct_data: t f32[3,2] cpu is not a contiguous tensor on the CPU",
           ct_data(ct_transpose(t.f23, 0, 1)));
    MISUSE(CT_ERR_GRAD,
           "ct_mutable_data: t f32[2,3] cpu is a leaf that requires a gradient; write it while "
           "recording is off",
           ct_mutable_data(t.leaf));
    MISUSE(CT_ERR_SHAPE, "ct_copy_into: t f32[2,3] cpu and src f32[3,4] cpu differ in shape",
           ct_copy_into(t.f23, t.f34));
    MISUSE(CT_ERR_DTYPE,
           "ct_copy_into: t f32[2,3] cpu and src f64[2,3] cpu differ in dtype (no promotion: "
           "ct_cast one)",
           ct_copy_into(t.f23, t.d23));
    MISUSE(CT_ERR_ARGUMENT, "ct_copy_into: t or src is NULL", ct_copy_into(NULL, t.d23));
    MISUSE(CT_ERR_ARGUMENT, "ct_fill: t is NULL", ct_fill(NULL, 1));
    MISUSE(CT_ERR_DTYPE, "ct_uniform_into: t i32[2] cpu must be f32 or f64",
           ct_uniform_into(t.i2, 0, 1, &g));
    MISUSE(CT_ERR_ARGUMENT, "ct_uniform_into: t or g is NULL", ct_uniform_into(t.f23, 0, 1, NULL));
    MISUSE(CT_ERR_ARGUMENT, "ct_normal_into: mean 0 and std -1: finite, std >= 0",
           ct_normal_into(t.f23, 0, -1, &g));
    MISUSE(CT_ERR_DTYPE, "ct_rand: t bool[2] cpu must be f32 or f64",
           ct_rand(CT_SHAPE(2), CT_BOOL, CT_CPU, &g));
    MISUSE(CT_ERR_ARGUMENT, "ct_randn: t or g is NULL",
           ct_randn(CT_SHAPE(2), CT_F32, CT_CPU, NULL));
    MISUSE(CT_ERR_DEVICE,
           "ct_device_from_name: there is no device \"abacus\" (there are: cpu, cuda, cuda:1, "
           "cuda-emu)",
           ct_device_from_name("abacus"));
}
END_TEST

/* ---- gradients and history ---- */

START_TEST(gradients)
{
    ct_tensor *y = ct_square(t.leaf), *given = t.d23, *out;
    ct_generator g = ct_generator_from_seed(1);

    MISUSE(CT_ERR_DTYPE, "ct_set_requires_grad: t i32[2] cpu must be f32 or f64",
           ct_set_requires_grad(t.i2, true));
    MISUSE(CT_ERR_GRAD, "ct_set_requires_grad: t f32[2,3] cpu has history, so is no leaf",
           ct_set_requires_grad(y, true));
    MISUSE(CT_ERR_SHAPE,
           "ct_backward: f32[2,3] cpu has more than one element: its gradient must be given",
           ct_backward(y));
    MISUSE(CT_ERR_GRAD, "ct_backward: f32[] cpu has no history and requires no gradient",
           ct_backward(t.scalar));
    MISUSE(CT_ERR_ARGUMENT, "ct_backward: the tensor is NULL", ct_backward(NULL));
    MISUSE(CT_ERR_ARGUMENT, "ct_backward_with: the gradient is NULL", ct_backward_with(y, NULL));
    MISUSE(CT_ERR_SHAPE, "ct_backward_with: the gradient given for f32[2,3] cpu is f64[2,3] cpu",
           ct_backward_with(y, given));
    MISUSE(CT_ERR_ARGUMENT, "ct_grad: the tensor is NULL",
           ct_grad(1, (ct_tensor *[]){ NULL }, 1, &t.leaf, NULL, false, &out));
    MISUSE(CT_ERR_GRAD, "ct_grad: f32[] cpu has no history and requires no gradient",
           ct_grad(1, &y, 1, &t.scalar, NULL, false, &out));
    MISUSE(CT_ERR_SHAPE, "ct_grad: the gradient given for f32[2,3] cpu is f64[2,3] cpu",
           ct_grad(1, &y, 1, &t.leaf, &given, false, &out));
    MISUSE(CT_ERR_ARGUMENT, "ct_grad: 1 outputs and 0 inputs",
           ct_grad(1, &y, 0, &t.leaf, NULL, false, &out));
    MISUSE(CT_ERR_GRAD, "ct_register_hook: t f32[2,3] cpu requires no gradient",
           ct_register_hook(t.f23, (ct_grad_hook)(void (*)(void))ct_backward, NULL));
    MISUSE(CT_ERR_ARGUMENT, "ct_register_hook: t or hook is NULL",
           ct_register_hook(t.leaf, NULL, NULL));
    MISUSE(CT_ERR_SCOPE, "ct_free: t f32[2,3] cpu belongs to a scope, which frees it",
           (ct_free(t.f23), 0));
    MISUSE(CT_ERR_GRAD, "ct_graph_dot: f32[2,3] cpu has no history and requires no gradient",
           ct_graph_dot(t.f23, stdout));
    MISUSE(CT_ERR_ARGUMENT, "ct_graph_dot: the tensor is NULL", ct_graph_dot(NULL, stdout));
    MISUSE(CT_ERR_ARGUMENT, "ct_activation_checkpoint: no segment, 1 inputs, 1 outputs",
           ct_activation_checkpoint(NULL, NULL, NULL, 1, &y, 1, &out));
    MISUSE(CT_ERR_ARGUMENT, "ct_gradcheck: the function or the generator is NULL",
           ct_gradcheck(NULL, 1, &t.leaf, NULL, &g, 0, 0));
    MISUSE(CT_ERR_ARGUMENT, "ct_gradgradcheck: the function or the generator is NULL",
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

    MISUSE(
        CT_ERR_DTYPE,
        "ct_params_new: dtype i32, device 0: parameters are f32 or f64, on a device that is there",
        ct_params_new((ct_params_options){ .dtype = CT_I32 }));
    MISUSE(
        CT_ERR_DEVICE,
        "ct_params_new: dtype f32, device 99: parameters are f32 or f64, on a device that is there",
        ct_params_new((ct_params_options){ .device = 99 }));
    MISUSE(CT_ERR_ARGUMENT, "ct_params_sub: \"\" is no name", ct_params_sub(set, ""));
    MISUSE(CT_ERR_ARGUMENT, "ct_params_sub: \"(null)\" is no name", ct_params_sub(set, NULL));
    MISUSE(CT_ERR_ARGUMENT, "ct_params_add: \"a.\" is no name",
           ct_params_add(set, "a.", CT_SHAPE(2), zero));
    MISUSE(CT_ERR_ARGUMENT, "ct_params_add: the name open is taken",
           ct_params_add(set, "open", CT_SHAPE(2), zero));
    MISUSE(CT_ERR_SHAPE, "ct_params_add: w cannot have the shape [2,-2]",
           ct_params_add(set, "w", CT_SHAPE(2, -2), zero));
    MISUSE(CT_ERR_NUMERIC, "no_fill: no values today",
           ct_params_add(set, "w", CT_SHAPE(2), (ct_init){ .fill = no_fill }));
    MISUSE(CT_ERR_ARGUMENT, "ct_params_add: w has no init",
           ct_params_add(set, "w", CT_SHAPE(2), (ct_init){ 0 }));
    MISUSE(CT_ERR_ARGUMENT, "ct_params_add_buffer: the name open is taken",
           ct_params_add_buffer(set, "open", CT_SHAPE(2), zero));
    MISUSE(CT_ERR_SHAPE, "ct_param_value: open is not settled: its shape is [-1,3]",
           ct_param_value(open));
    MISUSE(CT_ERR_SHAPE, "ct_param_materialize: open has the shape [-1,3], not [2,4]",
           ct_param_materialize(open, CT_SHAPE(2, 4)));
    MISUSE(CT_ERR_ARGUMENT, "ct_param_materialize: p is NULL",
           ct_param_materialize(NULL, CT_SHAPE(2, 4)));
    MISUSE(CT_ERR_SHAPE, "ct_param_materialize: shape [-1,3] has a negative size (axis 0)",
           ct_param_materialize(open, CT_SHAPE(-1, 3)));
    MISUSE(CT_ERR_ARGUMENT, "ct_nn_linear: in_features 0 is below 0, or out_features 0 below 1",
           ct_nn_linear(set, "l", (ct_nn_linear_options){ 0 }));
    MISUSE(CT_ERR_ARGUMENT,
           "ct_nn_recurrent: hidden_size 0 (1 or more), input_size 0 (0 or more) or num_layers 0 "
           "(0 to 4096) does not do",
           ct_nn_rnn(set, "r", (ct_nn_rnn_options){ 0 }));
    MISUSE(CT_ERR_ARGUMENT, "ct_sgd_new: lr is -1; it must be finite and at least 0",
           ct_sgd_new(set, (ct_sgd_options){ .lr = -1 }));
    MISUSE(CT_ERR_ARGUMENT, "ct_clip_grad_norm: max_norm is 0; it must be above 0",
           ct_clip_grad_norm(set, 0, NULL));
    ck_assert_int_eq(ct_params_count(set), 1); /* nothing was left behind by those that failed */
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
