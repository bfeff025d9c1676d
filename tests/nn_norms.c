/* SPDX-License-Identifier: MIT */
/* nn_norms.c - normalisation: kernels against the formulas, and the modules. */
#include "tests/files.h"
#include "tests/test_nn.h"

#include <math.h>

#include <cotangent.h>

/* ---- the kernels ---- */

/* Rows shorter and longer than the blocks of sums (1,024); one piece and several; more rows than
 * are summed in T (32). */
static const struct norm_size {
    int64_t rows, n;
} norm_sizes[] = { { 1, 1 },    { 3, 7 },      { 33, 16 },  { 64, 65 },    { 5, 1023 },
                   { 7, 1041 }, { 2, 20000 },  { 700, 30 }, { 20000, 3 },  { 2100, 64 },
                   { 1, 5000 }, { 300, 1024 }, { 31, 33 },  { 1100, 1037 } };

enum { IN_X, IN_WEIGHT, IN_BIAS, IN_COUNT };

/* A case; its number selects weight, bias and centring. */
typedef struct norm_case {
    ct_tensor *in[IN_COUNT];
    bool centred;
    double eps;
} norm_case;

static norm_case norm_draw(int i, ct_dtype dtype)
{
    const struct norm_size *s = &norm_sizes[i / 2];
    ct_generator g = ct_generator_from_seed((uint64_t)i);
    norm_case c = { .centred = i % 2 == 0, .eps = 1e-5 };
    int k;

    c.in[IN_X] = ct_add_scalar(random_normal(&g, CT_SHAPE(s->rows, s->n), dtype), 0.5);
    if (i % 5 != 4)
        c.in[IN_WEIGHT] = random_normal(&g, CT_SHAPE(s->n), dtype);
    if (c.centred && i % 3 != 2)
        c.in[IN_BIAS] = random_normal(&g, CT_SHAPE(s->n), dtype);
    for (k = 0; k < IN_COUNT; k++)
        c.in[k] = c.in[k] ? ct_set_requires_grad(ct_detach(c.in[k]), true) : NULL;
    return c;
}

static ct_tensor *norm_fused(const norm_case *c)
{
    return c->centred ? ct_layer_norm(c->in[IN_X], c->in[IN_WEIGHT], c->in[IN_BIAS], c->eps)
                      : ct_rms_norm(c->in[IN_X], c->in[IN_WEIGHT], c->eps);
}

static ct_tensor *norm_composed(const norm_case *c)
{
    ct_tensor *x = c->in[IN_X], *y;

    x = c->centred ? ct_sub(x, ct_mean_axis(x, -1, true)) : x;
    y = ct_div(x, ct_sqrt(ct_add_scalar(ct_mean_axis(ct_square(x), -1, true), c->eps)));
    y = c->in[IN_WEIGHT] ? ct_mul(y, c->in[IN_WEIGHT]) : y;
    return c->in[IN_BIAS] ? ct_add(y, c->in[IN_BIAS]) : y;
}

/* Fails unless each difference is within tolerance times the greatest element. */
static void expect_near(const char *what, ct_tensor *got, ct_tensor *want, double tolerance)
{
    expect_same(what, got, want, tolerance * (1 + ct_item(ct_max(ct_abs(want)))));
}

START_TEST(norms_and_formulas_agree)
{
    const ct_dtype dtype = _i % 2 ? CT_F64 : CT_F32;
    const double tolerance = dtype == CT_F64 ? 1e-12 : 1e-5;
    ct_scope s = ct_scope_begin();
    norm_case c = norm_draw(_i / 2, dtype);
    ct_tensor *in[IN_COUNT], *got[IN_COUNT] = { NULL }, *want[IN_COUNT] = { NULL };
    ct_tensor *fused = norm_fused(&c), *composed = norm_composed(&c), *dy;
    ct_generator g = ct_generator_from_seed(7);
    int k, count = 0;

    ck_assert_msg(fused != NULL, "%s", ct_error_message());
    expect_near("y", fused, composed, tolerance);
    for (k = 0; k < IN_COUNT; k++)
        if (c.in[k])
            in[count++] = c.in[k];
    dy = random_normal(&g, ct_tensor_shape(fused), dtype);
    ck_assert(ct_grad(1, &fused, count, in, &dy, false, got) == CT_OK);
    ck_assert(ct_grad(1, &composed, count, in, &dy, false, want) == CT_OK);
    for (k = 0; k < count; k++)
        expect_near("gradient", got[k], want[k], tolerance * (k ? 10 : 1));
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* Only some gradients are required; x and the gradient of y are strided. */
START_TEST(norms_of_parts)
{
    ct_scope s = ct_scope_begin();
    ct_generator g = ct_generator_from_seed(3);
    ct_tensor *x = ct_transpose(random_normal(&g, CT_SHAPE(5, 4), CT_F64), 0, 1);
    ct_tensor *w = ct_set_requires_grad(random_normal(&g, CT_SHAPE(5), CT_F64), true);
    ct_tensor *y = ct_layer_norm(x, w, NULL, 1e-5), *dw, *z = ct_layer_norm(x, NULL, NULL, 1e-5);
    ct_tensor *d = ct_transpose(random_normal(&g, CT_SHAPE(5, 4), CT_F64), 0, 1);

    ck_assert(ct_grad(1, &y, 1, &w, &d, false, &dw) == CT_OK);
    expect_same("dweight", dw, ct_sum_axis(ct_mul(d, z), 0, false), 1e-14);
    expect_same("again", ct_layer_norm(ct_contiguous(x), w, NULL, 1e-5), y, 0);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

START_TEST(norms_over_several_axes)
{
    ct_scope s = ct_scope_begin();
    ct_generator g = ct_generator_from_seed(4);
    ct_tensor *x = random_normal(&g, CT_SHAPE(2, 3, 4), CT_F64);
    ct_tensor *w = random_normal(&g, CT_SHAPE(3, 4), CT_F64), *flat = ct_flatten(x, 1, 2);

    expect_same("layer norm", ct_layer_norm(x, w, w, 0.1),
                ct_reshape(ct_layer_norm(flat, ct_flatten(w, 0, 1), ct_flatten(w, 0, 1), 0.1),
                           CT_SHAPE(2, 3, 4)),
                0);
    expect_same("rms norm", ct_rms_norm(x, w, 0.1),
                ct_reshape(ct_rms_norm(flat, ct_flatten(w, 0, 1), 0.1), CT_SHAPE(2, 3, 4)), 0);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* With a common offset of 1e4, f32 loses only the digits of the offset. */
START_TEST(norms_far_from_zero)
{
    const float far[4] = { 10000, 10001, 10002, 10003 };
    const double root = sqrt(1.25);
    ct_scope s = ct_scope_begin();

    expect_values("y", ct_layer_norm(ct_from_data(far, CT_SHAPE(4), CT_F32, DEVICE), NULL, NULL, 0),
                  (double[]){ -1.5 / root, -0.5 / root, 0.5 / root, 1.5 / root }, 4, 1e-6);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

START_TEST(norms_misuse)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_ones(CT_SHAPE(2, 6), CT_F32, DEVICE);
    ct_tensor *six = ct_ones(CT_SHAPE(6), CT_F32, DEVICE),
              *two = ct_ones(CT_SHAPE(2), CT_F32, DEVICE);
    ct_tensor *whole = ct_ones(CT_SHAPE(6), CT_I64, DEVICE),
              *wide = ct_ones(CT_SHAPE(6), CT_F64, DEVICE);
    ct_batch_norm_options both = { .running_mean = six, .running_var = six }, one = both, o = both;

    REFUSED(CT_ERR_DTYPE, "ct_layer_norm", "x", ct_layer_norm(whole, NULL, NULL, 0));
    REFUSED(CT_ERR_DTYPE, "ct_layer_norm", "weight", ct_layer_norm(x, wide, NULL, 0));
    REFUSED(CT_ERR_SHAPE, "ct_layer_norm", "weight ... last axes", ct_layer_norm(x, two, NULL, 0));
    REFUSED(CT_ERR_SHAPE, "ct_layer_norm", "bias ... last axes", ct_layer_norm(x, six, two, 0));
    REFUSED(CT_ERR_SHAPE, "ct_layer_norm", "rank 1",
            ct_layer_norm(ct_full(CT_SCALAR, 1, CT_F32, DEVICE), NULL, NULL, 0));
    REFUSED(CT_ERR_ARGUMENT, "ct_layer_norm", "eps is -1", ct_layer_norm(x, NULL, NULL, -1));
    REFUSED(CT_ERR_ARGUMENT, "ct_rms_norm", "eps", ct_rms_norm(x, NULL, NAN));
    REFUSED(CT_ERR_SHAPE, "ct_rms_norm", "weight", ct_rms_norm(x, two, 0));
    REFUSED(CT_ERR_ARGUMENT, "ct_group_norm", "groups is 4", ct_group_norm(x, 4, NULL, NULL, 0));
    REFUSED(CT_ERR_ARGUMENT, "ct_group_norm", "groups is 0", ct_group_norm(x, 0, NULL, NULL, 0));
    REFUSED(CT_ERR_SHAPE, "ct_group_norm", "weight ... channels",
            ct_group_norm(x, 2, two, NULL, 0));
    REFUSED(CT_ERR_SHAPE, "ct_group_norm", "rank 2", ct_group_norm(six, 2, NULL, NULL, 0));
    REFUSED(CT_ERR_ARGUMENT, "ct_batch_norm", "running_mean",
            ct_batch_norm(x, (ct_batch_norm_options){ 0 }));
    one.running_var = NULL;
    one.training = true;
    REFUSED(CT_ERR_ARGUMENT, "ct_batch_norm", "options.running_var is NULL", ct_batch_norm(x, one));
    o.running_var = two;
    REFUSED(CT_ERR_SHAPE, "ct_batch_norm", "options.running_var", ct_batch_norm(x, o));
    o = both;
    o.momentum = 1.5;
    REFUSED(CT_ERR_ARGUMENT, "ct_batch_norm", "momentum is 1.5", ct_batch_norm(x, o));
    o.momentum = 0;
    o.eps = -2;
    REFUSED(CT_ERR_ARGUMENT, "ct_batch_norm", "eps is -2", ct_batch_norm(x, o));
    REFUSED(CT_ERR_SHAPE, "ct_batch_norm", "1 values in a channel",
            ct_batch_norm(ct_ones(CT_SHAPE(1, 6), CT_F32, DEVICE),
                          (ct_batch_norm_options){ .training = true }));
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* ---- the modules ---- */

START_TEST(group_norm_module)
{
    ct_params *set = new_params(1, CT_F64);
    ct_module *m =
        ct_nn_group_norm(set, "gn", (ct_nn_group_norm_options){ .groups = 2, .eps = 0.5 });
    ct_module *plain =
        ct_nn_group_norm(set, "p", (ct_nn_group_norm_options){ .groups = 1, .no_affine = true });
    ct_scope s = ct_scope_begin();
    ct_generator g = ct_generator_from_seed(5);
    ct_tensor *x = random_normal(&g, CT_SHAPE(3, 4, 5), CT_F64);
    ct_tensor *rows = ct_reshape(x, CT_SHAPE(3, 2, 10));

    expect_same("y", ct_forward(m, x),
                ct_reshape(ct_layer_norm(rows, NULL, NULL, 0.5), CT_SHAPE(3, 4, 5)), 1e-15);
    ck_assert_int_eq(ct_params_count(set), 2);
    expect_param(set, 0, "gn.weight", CT_SHAPE(4));
    expect_param(set, 1, "gn.bias", CT_SHAPE(4));
    expect_same("plain", ct_forward(plain, x),
                ct_reshape(ct_layer_norm(ct_flatten(x, 1, 2), NULL, NULL, 1e-5), CT_SHAPE(3, 4, 5)),
                1e-15);
    ck_assert(ct_scope_end(s) == CT_OK);
    REFUSED(CT_ERR_ARGUMENT, "ct_nn_group_norm", "groups",
            ct_nn_group_norm(set, "q", (ct_nn_group_norm_options){ .channels = 4 }));
    REFUSED(CT_ERR_ARGUMENT, "ct_nn_group_norm", "must divide",
            ct_nn_group_norm(set, "q", (ct_nn_group_norm_options){ .groups = 3, .channels = 4 }));
    REFUSED(CT_ERR_ARGUMENT, "ct_nn_group_norm", "channels is -4",
            ct_nn_group_norm(set, "q", (ct_nn_group_norm_options){ .groups = 2, .channels = -4 }));
    REFUSED(CT_ERR_ARGUMENT, "ct_nn_group_norm", "eps",
            ct_nn_group_norm(set, "q", (ct_nn_group_norm_options){ .groups = 2, .eps = NAN }));
    ct_params_free(set);
}
END_TEST

START_TEST(rms_norm_module)
{
    ct_params *set = new_params(1, CT_F32);
    ct_module *m = ct_nn_rms_norm(set, "rn", (ct_nn_rms_norm_options){ 0 });
    ct_module *plain = ct_nn_rms_norm(set, "p", (ct_nn_rms_norm_options){ .no_affine = true });
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_from_data((float[]){ 3, 4 }, CT_SHAPE(1, 2), CT_F32, DEVICE);
    ct_tensor *tiny = ct_zeros(CT_SHAPE(1, 2), CT_F32, DEVICE);
    const double root = sqrt(12.5);

    expect_values("y", ct_forward(m, x), (double[]){ 3 / root, 4 / root }, 2, 1e-6);
    ck_assert_int_eq(ct_params_count(set), 1);
    expect_param(set, 0, "rn.weight", CT_SHAPE(2));
    put_value(tiny, 0, 1e-3);
    expect_values("eps is the dtype's", ct_forward(plain, tiny),
                  (double[]){ 1e-3 / sqrt(0.5e-6 + 1.1920928955078125e-07), 0 }, 2, 1e-6);
    ck_assert(ct_scope_end(s) == CT_OK);
    REFUSED(CT_ERR_ARGUMENT, "ct_nn_rms_norm", "size is -1",
            ct_nn_rms_norm(set, "q", (ct_nn_rms_norm_options){ .size = -1 }));
    REFUSED(CT_ERR_ARGUMENT, "ct_nn_rms_norm", "eps is -3",
            ct_nn_rms_norm(set, "q", (ct_nn_rms_norm_options){ .eps = -3 }));
    ct_params_free(set);
}
END_TEST

/* Two batches (2, 2): channel means 1, 10 and 3, 20; unbiased variances 2, 8 and 0, 2. */
static const double batches[2][4] = { { 0, 8, 2, 12 }, { 3, 19, 3, 21 } };

static ct_tensor *batch(int i)
{
    return ct_from_data(batches[i], CT_SHAPE(2, 2), CT_F64, DEVICE);
}

START_TEST(batch_norm_module)
{
    ct_params *set = new_params(1, CT_F64), *other = new_params(2, CT_F64);
    const ct_nn_batch_norm_options options = { .momentum = 0.25, .eps = 0.5 };
    ct_module *m = ct_nn_batch_norm(set, "bn", options);
    ct_scope s = ct_scope_begin(), inference;
    ct_tensor *y = ct_forward(m, batch(0));
    /* means: 3/4 of 3/4 of 0 and 1/4 of the first, and 1/4 of the second */
    const double mean[2] = { 0.75 * 0.25 + 0.75, 0.75 * 2.5 + 5 };
    const double variance[2] = { 0.75 * (0.75 + 0.5), 0.75 * (0.75 + 2) + 0.5 };
    const double root[2] = { sqrt(variance[0] + 0.5), sqrt(variance[1] + 0.5) };
    double want[4];

    for (int i = 0; i < 4; i++)
        want[i] = (i < 2 ? -1 : 1) * (i % 2 ? 2 / sqrt(4.5) : 1 / sqrt(1.5));
    expect_values("a batch", y, want, 4, 1e-14);
    ct_forward(m, batch(1));
    expect_ok();
    ck_assert_int_eq(ct_params_count(set), 5);
    expect_param(set, 2, "bn.running_mean", CT_SHAPE(2));
    expect_param(set, 4, "bn.num_batches_tracked", CT_SCALAR);
    expect_values("mean", ct_param_value(ct_params_at(set, 2)), mean, 2, 1e-14);
    expect_values("variance", ct_param_value(ct_params_at(set, 3)), variance, 2, 1e-14);
    ck_assert_int_eq(ct_tensor_dtype(ct_param_value(ct_params_at(set, 4))), CT_I64);
    expect_values("batches", ct_param_value(ct_params_at(set, 4)), (double[]){ 2 }, 1, 0);
    for (int i = 0; i < 4; i++)
        want[i] = (batches[1][i] - mean[i % 2]) / root[i % 2];
    inference = ct_scope_begin_inference();
    expect_values("in an inference scope", ct_forward(m, batch(1)), want, 4, 1e-14);
    ck_assert(ct_scope_end(inference) == CT_OK);
    ck_assert(ct_params_save(set, "bn.safetensors") == CT_OK);
    m = ct_nn_batch_norm(other, "bn", options);
    ck_assert(ct_params_load(other, "bn.safetensors", (ct_load_options){ 0 }) == CT_OK);
    ct_params_train(other, false);
    expect_values("from a file", ct_forward(m, batch(1)), want, 4, 1e-14);
    expect_values("batches", ct_param_value(ct_params_at(other, 4)), (double[]){ 2 }, 1, 0);
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(set);
    ct_params_free(other);
}
END_TEST

START_TEST(batch_norm_without_statistics)
{
    ct_params *set = new_params(1, CT_F64);
    ct_module *m = ct_nn_batch_norm(
        set, "bn", (ct_nn_batch_norm_options){ .no_running_stats = true, .no_affine = true });
    ct_scope s = ct_scope_begin();

    ct_params_train(set, false);
    expect_values("y", ct_forward(m, batch(0)),
                  (double[]){ -1 / sqrt(1 + 1e-5), -2 / sqrt(4 + 1e-5), 1 / sqrt(1 + 1e-5),
                              2 / sqrt(4 + 1e-5) },
                  4, 1e-14);
    ck_assert_int_eq(ct_params_count(set), 0);
    ck_assert(ct_scope_end(s) == CT_OK);
    REFUSED(CT_ERR_ARGUMENT, "ct_nn_batch_norm", "channels is -1",
            ct_nn_batch_norm(set, "q", (ct_nn_batch_norm_options){ .channels = -1 }));
    REFUSED(CT_ERR_ARGUMENT, "ct_nn_batch_norm", "momentum is 2",
            ct_nn_batch_norm(set, "q", (ct_nn_batch_norm_options){ .momentum = 2 }));
    REFUSED(CT_ERR_ARGUMENT, "ct_nn_batch_norm", "eps",
            ct_nn_batch_norm(set, "q", (ct_nn_batch_norm_options){ .eps = -1 }));
    ct_params_free(set);
}
END_TEST

/* A file whose counter has the set's dtype instead of its own. */
START_TEST(batch_norm_of_another_dtype)
{
    static const char *const names[] = { "bn.running_mean", "bn.running_var",
                                         "bn.num_batches_tracked" };
    ct_params *set = new_params(1, CT_F32);
    ct_scope s = ct_scope_begin();
    ct_tensor *ones = ct_ones(CT_SHAPE(2), CT_F32, CT_CPU);
    ct_tensor *tensors[] = { ones, ones, ct_ones(CT_SCALAR, CT_F32, CT_CPU) };

    ct_nn_batch_norm(set, "bn", (ct_nn_batch_norm_options){ .no_affine = true });
    ck_assert(ct_safetensors_write("f.safetensors", 3, names, tensors, NULL) == CT_OK);
    ck_assert(ct_params_load(set, "f.safetensors", (ct_load_options){ 0 }) == CT_ERR_DTYPE);
    expect_error(CT_ERR_DTYPE, "ct_params_load",
                 "num_batches_tracked ... F32 in the file, I64 here");
    ck_assert(ct_scope_end(s) == CT_OK);
    REFUSED(CT_ERR_DTYPE, "ct_params_add_buffer_as", "dtype 77",
            ct_params_add_buffer_as(set, "b", CT_SCALAR, (ct_dtype)77, ct_init_constant(0)));
    ct_params_free(set);
}
END_TEST

void nn_norms_cases(Suite *suite)
{
    TCase *tc = harness_case(suite, "norms");

    tcase_add_checked_fixture(tc, files_setup, files_teardown);
    tcase_add_loop_test(tc, norms_and_formulas_agree, 0, 4 * LENGTH(norm_sizes));
    tcase_add_test(tc, norms_of_parts);
    tcase_add_test(tc, norms_over_several_axes);
    tcase_add_test(tc, norms_far_from_zero);
    tcase_add_test(tc, norms_misuse);
    tcase_add_test(tc, group_norm_module);
    tcase_add_test(tc, rms_norm_module);
    tcase_add_test(tc, batch_norm_module);
    tcase_add_test(tc, batch_norm_without_statistics);
    tcase_add_test(tc, batch_norm_of_another_dtype);
}
