/* SPDX-License-Identifier: MIT */
/* nn_conv.c - the modules of convolution and pooling, and the errors of their ops. */
#include "tests/files.h"
#include "tests/test_nn.h"

#include <math.h>
#include <string.h>

#include <cotangent.h>

static ct_tensor *images(int64_t n, int64_t c, int64_t h, int64_t w)
{
    ct_generator g = ct_generator_from_seed(3);

    return random_normal(&g, CT_SHAPE(n, c, h, w), CT_F64);
}

/* ---- compared with sums by loops ---- */

START_TEST(conv_by_hand)
{
    const double x[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9 }, w[] = { 1, 0, 0, -1 }, b[] = { 10 };
    const double y[] = { 6, 6, 6, 6 }, padded[] = { 9, 8, 7, 6, 6, 6, 3, 6, 6 };
    const double through[] = { 1, 2, 3, 0, 4, 4, 4, -3, 7, 4, 4, -6, 0, -7, -8, -9 };
    ct_scope s = ct_scope_begin();
    ct_tensor *in = ct_from_data(x, CT_SHAPE(1, 1, 3, 3), CT_F64, DEVICE);
    ct_tensor *weight = ct_from_data(w, CT_SHAPE(1, 1, 2, 2), CT_F64, DEVICE);
    ct_tensor *bias = ct_from_data(b, CT_SHAPE(1), CT_F64, DEVICE);
    ct_tensor *out = ct_conv2d(in, weight, bias, (ct_conv_options){ .padding = { 1 } });

    expect_values("conv2d", ct_conv2d(in, weight, bias, (ct_conv_options){ 0 }), y, 4, 0);
    expect_values("padded", ct_narrow(ct_narrow(out, 2, 0, 3), 3, 0, 3), padded, 9, 0);
    out = ct_conv_transpose2d(in, weight, NULL, (ct_conv_options){ 0 });
    expect_values("conv_transpose2d", out, through, 16, 0);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* The convolution is the product of the filter and the unfolded x, also for sizes that need several
 * pieces of work: long rows, many channels, many images. */
START_TEST(conv_is_the_product_with_columns)
{
    static const int64_t sizes[][8] = {
        /* images, in, out, height, width, kernel, stride, padding */
        { 2, 3, 8, 5, 2600, 3, 1, 1 },
        { 43, 2, 7, 9, 9, 3, 2, 1 },
        { 1, 70, 65, 40, 40, 3, 1, 1 },
        { 3, 5, 13, 33, 70, 5, 3, 2 }
    };
    const int64_t *k = sizes[_i];
    ct_conv_options o = { .stride = { k[6] }, .padding = { k[7] } };
    ct_window_options window = { .kernel = { k[5] }, .stride = { k[6] }, .padding = { k[7] } };
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_set_requires_grad(images(k[0], k[1], k[3], k[4]), true);
    ct_tensor *w = ct_set_requires_grad(images(k[2], k[1], k[5], k[5]), true);
    ct_tensor *in[] = { x, w }, *got[2], *want[2], *y, *z, *dy;

    y = ct_conv2d(x, w, NULL, o);
    z = ct_matmul(ct_reshape(w, CT_SHAPE(k[2], k[1] * k[5] * k[5])), ct_unfold(x, window));
    z = ct_reshape(z, ct_tensor_shape(y));
    expect_same("y", y, z, 1e-11);
    dy = images(k[0], k[2], ct_size(y, 2), ct_size(y, 3));
    ck_assert(ct_grad(1, &y, 2, in, &dy, false, got) == CT_OK);
    ck_assert(ct_grad(1, &z, 2, in, &dy, false, want) == CT_OK);
    expect_same("dx", got[0], want[0], 1e-11);
    expect_same("dw", got[1], want[1], 1e-8);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* The bits do not depend on the number of threads. */
START_TEST(conv_bits_depend_on_no_threads)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_cast(images(5, 4, 30, 30), CT_F32), *w = ct_cast(images(9, 4, 3, 3), CT_F32);
    ct_tensor *first[3] = { NULL };
    int threads, i;

    x = ct_set_requires_grad(ct_detach(x), true);
    w = ct_set_requires_grad(ct_detach(w), true);
    for (threads = 1; threads <= 3; threads++) {
        ct_tensor *in[] = { x, w }, *out[3], *y, *sum;

        ck_assert(ct_set_num_threads(threads) == CT_OK);
        y = ct_conv2d(x, w, NULL, (ct_conv_options){ .padding = { 1 } });
        sum = ct_sum(ct_square(y));
        ck_assert(ct_grad(1, &sum, 2, in, NULL, false, out + 1) == CT_OK);
        out[0] = y;
        for (i = 0; i < 3; i++)
            if (threads == 1)
                first[i] = out[i];
            else
                expect_same_bits("conv", out[i], first[i]);
    }
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* f32 convolutions with many channels have kernels of their own: channels that do not divide by the
 * vectors, small and large images, strides, groups. */
static const struct wide_conv {
    int64_t images, in, out, height, width, kernel, stride, padding, dilation, groups;
    bool transposed;
} wide_convs[] = {
    { 1, 17, 30, 7, 7, 3, 1, 1, 1, 1, false },    { 3, 64, 64, 14, 14, 3, 1, 1, 1, 1, false },
    { 3, 70, 130, 7, 7, 3, 1, 1, 1, 1, false },   { 3, 32, 48, 15, 13, 3, 2, 1, 1, 1, false },
    { 5, 32, 64, 9, 10, 3, 1, 2, 2, 2, false },   { 40, 6, 16, 14, 14, 5, 1, 0, 1, 1, false },
    { 2, 700, 32, 9, 9, 1, 1, 0, 1, 1, false },   { 1, 16, 16, 3, 2600, 3, 1, 1, 1, 1, false },
    { 2, 16, 80, 114, 40, 3, 1, 1, 1, 1, false }, { 1, 20, 32, 20, 20, 3, 3, 4, 3, 1, false },
    { 3, 48, 32, 11, 7, 3, 2, 1, 1, 1, true },    { 1, 32, 64, 8, 8, 2, 1, 0, 1, 2, true },
    { 2, 16, 600, 7, 5, 3, 1, 1, 1, 1, false },   { 1, 16, 16, 40, 40, 33, 1, 20, 1, 1, false },
};

/* Computes dx, dw, db and y in a dtype; in has x, w, bias and dy, in f32. If dy is NULL, it is drawn. */
static void wide_conv_run(const struct wide_conv *c, ct_tensor **in, ct_dtype dtype,
                          ct_tensor **out)
{
    ct_generator g = ct_generator_from_seed(12);
    ct_conv_options o = { .stride = { c->stride },
                          .padding = { c->padding ? c->padding : CT_NO_PADDING },
                          .dilation = { c->dilation },
                          .groups = c->groups };
    ct_tensor *x[3], *dy;
    int i;

    for (i = 0; i < 3; i++)
        x[i] = ct_set_requires_grad(ct_detach(ct_cast(in[i], dtype)), true);
    out[3] = (c->transposed ? ct_conv_transpose2d : ct_conv2d)(x[0], x[1], x[2], o);
    if (!in[3])
        in[3] = random_normal(&g, ct_tensor_shape(out[3]), CT_F32);
    dy = ct_cast(in[3], dtype);
    ck_assert(ct_grad(1, &out[3], 3, x, &dy, false, out) == CT_OK);
}

/* They are compared with f64, and with themselves at 2 and 3 threads. */
START_TEST(conv_of_many_channels)
{
    static const char *const names[] = { "dx", "dw", "db", "y" };
    const struct wide_conv *c = &wide_convs[_i];
    int64_t rows = c->transposed ? c->in : c->out, columns = c->transposed ? c->out : c->in;
    ct_scope s = ct_scope_begin();
    ct_generator g = ct_generator_from_seed(11);
    ct_tensor *in[4] = { NULL }, *want[4], *first[4], *out[4];
    int threads, i;

    in[0] = random_normal(&g, CT_SHAPE(c->images, c->in, c->height, c->width), CT_F32);
    in[1] = random_normal(&g, CT_SHAPE(rows, columns / c->groups, c->kernel, c->kernel), CT_F32);
    in[2] = random_normal(&g, CT_SHAPE(c->out), CT_F32);
    wide_conv_run(c, in, CT_F64, want);
    for (threads = 1; threads <= 3; threads++) {
        ck_assert(ct_set_num_threads(threads) == CT_OK);
        wide_conv_run(c, in, CT_F32, threads == 1 ? first : out);
        for (i = 0; i < 4; i++)
            if (threads > 1)
                expect_same_bits(names[i], out[i], first[i]);
            else
                expect_same(names[i], ct_cast(first[i], CT_F64), want[i],
                            1e-5 * ct_item(ct_max(ct_abs(want[i]))));
    }
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* Of equal elements the first counts; a NaN is greater than all before it. */
START_TEST(max_pool_positions)
{
    const double x[] = { 1, 5, 5, 2, NAN, 0, 3, 5, -INFINITY, -INFINITY, 7, 7 };
    const double at[] = { 4, 1, 2, 4, 10, 10 };
    ct_scope s = ct_scope_begin();
    ct_tensor *in = ct_from_data(x, CT_SHAPE(1, 1, 3, 4), CT_F64, DEVICE), *indices;

    ct_max_pool2d(in, (ct_pool_options){ .kernel = { 2 }, .stride = { 1 } }, &indices);
    expect_values("positions", indices, at, 6, 0);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* ---- modules ---- */

START_TEST(conv_modules_have_pytorchs_names_and_shapes)
{
    ct_params *set = new_params(5, CT_F64), *late = new_params(5, CT_F64);
    ct_nn_conv_options o = { .out_channels = 6, .kernel = { 3, 2 }, .groups = 2 };
    ct_nn_conv_options known = o;
    ct_module *lazy[3];
    ct_scope s = ct_scope_begin();
    int i;

    known.in_channels = 4;
    ck_assert(ct_nn_conv2d(set, "a", known) && ct_nn_conv1d(set, "b", known) &&
              ct_nn_conv_transpose2d(set, "c", known));
    expect_param(set, 0, "a.weight", CT_SHAPE(6, 2, 3, 2));
    expect_param(set, 1, "a.bias", CT_SHAPE(6));
    expect_param(set, 2, "b.weight", CT_SHAPE(6, 2, 3));
    expect_param(set, 4, "c.weight", CT_SHAPE(4, 3, 3, 2));
    expect_uniform(set, "a.weight", 1 / sqrt(2 * 3 * 2));
    expect_uniform(set, "c.weight", 1 / sqrt(3 * 3 * 2));
    lazy[0] = ct_nn_conv2d(late, "a", o);
    lazy[1] = ct_nn_conv1d(late, "b", o);
    lazy[2] = ct_nn_conv_transpose2d(late, "c", o);
    expect_param(late, 0, "a.weight", CT_SHAPE(6, -1, 3, 2));
    expect_param(late, 4, "c.weight", CT_SHAPE(-1, 3, 3, 2));
    ck_assert(ct_forward(lazy[0], images(2, 4, 5, 5)) && ct_forward(lazy[2], images(2, 4, 5, 5)) &&
              ct_forward(lazy[1], ct_flatten(images(2, 4, 5, 1), 2, 3)));
    for (i = 0; i < 6; i++)
        expect_same_bits(ct_param_name(ct_params_at(set, i)), ct_param_value(ct_params_at(late, i)),
                         ct_param_value(ct_params_at(set, i)));
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(set);
    ct_params_free(late);
}
END_TEST

START_TEST(conv_dialects)
{
    static const ct_dialect dialect[] = { CT_DIALECT_GLUON, CT_DIALECT_KERAS, CT_DIALECT_FLAX };
    const double bound[] = { 0.07, sqrt(6.0 / (8 * 9 + 16 * 9)), 2 / 0.87962566 / sqrt(8 * 9) };
    ct_params *set = new_params(5, CT_F64);
    ct_scope s = ct_scope_begin();
    int i;

    for (i = 0; i < 3; i++) {
        char name[8] = { (char)('a' + i), 0 }, weight[16], bias[16];

        snprintf(weight, sizeof weight, "%s.weight", name);
        snprintf(bias, sizeof bias, "%s.bias", name);
        ct_nn_conv2d(
            set, name,
            (ct_nn_conv_options){
                .in_channels = 8, .out_channels = 16, .kernel = { 3 }, .dialect = dialect[i] });
        expect_uniform(set, weight, bound[i]);
        ck_assert(ct_item(ct_sum(ct_abs(ct_param_value(ct_params_get(set, bias))))) == 0);
    }
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(set);
}
END_TEST

START_TEST(pool_modules_run_their_ops)
{
    ct_params *set = new_params(5, CT_F64);
    ct_pool_options o = { .kernel = { 2 } };
    ct_scope s = ct_scope_begin();
    ct_tensor *x = images(2, 3, 6, 4);

    expect_same_bits("max", ct_forward(ct_nn_max_pool2d(set, o), x), ct_max_pool2d(x, o, NULL));
    expect_same_bits("avg", ct_forward(ct_nn_avg_pool2d(set, o), x), ct_avg_pool2d(x, o));
    expect_same_bits("adaptive", ct_forward(ct_nn_adaptive_avg_pool2d(set, 4, 3), x),
                     ct_adaptive_avg_pool2d(x, 4, 3));
    expect_same_bits("flatten", ct_forward(ct_nn_flatten(set), x), ct_flatten(x, 1, 3));
    ck_assert_int_eq(ct_params_count(set), 0);
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(set);
}
END_TEST

/* ---- errors ---- */

#define CONV(...) ct_conv2d(x, w, NULL, (ct_conv_options){ __VA_ARGS__ })
#define POOL(...) ct_max_pool2d(x, (ct_pool_options){ __VA_ARGS__ }, NULL)

START_TEST(conv_ops_refuse)
{
    static const char *const me = "ct_conv2d";
    ct_scope s = ct_scope_begin();
    ct_tensor *x = images(2, 4, 5, 5), *w = images(6, 4, 3, 3), *other = images(6, 3, 3, 3);
    ct_tensor *five = ct_zeros(CT_SHAPE(5), CT_F64, DEVICE);

    REFUSED(CT_ERR_SHAPE, me, "padding 0", CONV(.dilation = { 3 }));
    REFUSED(CT_ERR_ARGUMENT, me, "stride is -1", CONV(.stride = { -1 }));
    REFUSED(CT_ERR_ARGUMENT, me, "padding is -2", CONV(.padding = { 0, -2 }));
    REFUSED(CT_ERR_ARGUMENT, me, "dilation is -1", CONV(.dilation = { -1 }));
    REFUSED(CT_ERR_ARGUMENT, me, "groups is 3", CONV(.groups = 3));
    REFUSED(CT_ERR_ARGUMENT, me, "groups is -1", CONV(.groups = -1));
    REFUSED(CT_ERR_SHAPE, me, "axis 1 of weight", CONV(.groups = 2));
    REFUSED(CT_ERR_ARGUMENT, me, "output_padding is 1", CONV(.output_padding = { 1 }));
    REFUSED(CT_ERR_SHAPE, me, "overflow", CONV(.padding = { INT64_MAX / 2 }));
    REFUSED(CT_ERR_SHAPE, me, "overflow", CONV(.dilation = { INT64_MAX / 2 }));
    REFUSED(CT_ERR_SHAPE, me, "too large", CONV(.padding = { INT64_MAX / 16 }));
    REFUSED(CT_ERR_SHAPE, me, "3 channels",
            ct_conv2d(images(1, 3, 5, 5), w, NULL, (ct_conv_options){ 0 }));
    REFUSED(CT_ERR_SHAPE, me, "bias", ct_conv2d(x, w, five, (ct_conv_options){ 0 }));
    REFUSED(CT_ERR_SHAPE, me, "rank 4",
            ct_conv2d(ct_select(x, 0, 0), w, NULL, (ct_conv_options){ 0 }));
    REFUSED(CT_ERR_SHAPE, "ct_conv1d", "rank 3", ct_conv1d(x, w, NULL, (ct_conv_options){ 0 }));
    REFUSED(CT_ERR_DTYPE, me, "weight",
            ct_conv2d(x, ct_cast(w, CT_F32), NULL, (ct_conv_options){ 0 }));
    REFUSED(CT_ERR_DTYPE, me, "i64",
            ct_conv2d(ct_cast(x, CT_I64), w, NULL, (ct_conv_options){ 0 }));
    REFUSED(CT_ERR_ARGUMENT, me, "kernel is 0",
            ct_conv2d(x, ct_narrow(w, 3, 0, 0), NULL, (ct_conv_options){ 0 }));
    REFUSED(CT_ERR_SHAPE, "ct_conv_transpose2d", "axis 0 of weight",
            ct_conv_transpose2d(x, w, NULL, (ct_conv_options){ 0 }));
    REFUSED(CT_ERR_ARGUMENT, "ct_conv_transpose2d", "below the stride",
            ct_conv_transpose2d(ct_narrow(x, 1, 0, 3), ct_transpose(other, 0, 1), NULL,
                                (ct_conv_options){ .stride = { 2 }, .output_padding = { 2 } }));
    REFUSED(CT_ERR_SHAPE, "ct_conv_transpose2d", "result of size -",
            ct_conv_transpose2d(ct_narrow(x, 1, 0, 3), ct_transpose(other, 0, 1), NULL,
                                (ct_conv_options){ .padding = { 9 } }));
    REFUSED(CT_ERR_SHAPE, "ct_unfold", "spans 6",
            ct_unfold(x, (ct_window_options){ .kernel = { 6 } }));
    REFUSED(CT_ERR_SHAPE, "ct_unfold", "rank 4",
            ct_unfold(five, (ct_window_options){ .kernel = { 1 } }));
    REFUSED(CT_ERR_SHAPE, "ct_fold", "windows",
            ct_fold(ct_flatten(x, 2, 3), 5, 5, (ct_window_options){ .kernel = { 2 } }));
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

START_TEST(pool_ops_refuse)
{
    static const char *const me = "ct_max_pool2d";
    ct_params *set = new_params(5, CT_F64);
    ct_scope s = ct_scope_begin();
    ct_tensor *x = images(2, 4, 5, 5);

    REFUSED(CT_ERR_ARGUMENT, me, "kernel is 0", POOL(.kernel = { 0 }));
    REFUSED(CT_ERR_ARGUMENT, me, "half the kernel", POOL(.kernel = { 3 }, .padding = { 2 }));
    REFUSED(CT_ERR_SHAPE, me, "spans 6", POOL(.kernel = { 6 }));
    REFUSED(CT_ERR_ARGUMENT, me, "stride is -1", POOL(.kernel = { 2 }, .stride = { -1 }));
    REFUSED(CT_ERR_SHAPE, "ct_avg_pool1d", "rank 3",
            ct_avg_pool1d(x, (ct_pool_options){ .kernel = { 2 } }));
    REFUSED(CT_ERR_ARGUMENT, "ct_avg_pool2d", "dilation is 2",
            ct_avg_pool2d(x, (ct_pool_options){ .kernel = { 2 }, .dilation = { 2 } }));
    REFUSED(CT_ERR_ARGUMENT, "ct_adaptive_avg_pool2d", "height is 0",
            ct_adaptive_avg_pool2d(x, 0, 1));
    REFUSED(CT_ERR_SHAPE, "ct_adaptive_avg_pool2d", "no elements",
            ct_adaptive_avg_pool2d(ct_narrow(x, 2, 0, 0), 1, 1));
    REFUSED(CT_ERR_ARGUMENT, "ct_nn_conv2d", "out_channels is 0",
            ct_nn_conv2d(set, "a", (ct_nn_conv_options){ .kernel = { 1 } }));
    REFUSED(CT_ERR_ARGUMENT, "ct_nn_conv2d", "kernel is 0",
            ct_nn_conv2d(set, "a", (ct_nn_conv_options){ .out_channels = 1 }));
    REFUSED(CT_ERR_ARGUMENT, "ct_nn_conv2d", "groups is 2",
            ct_nn_conv2d(set, "a",
                         (ct_nn_conv_options){ .out_channels = 3, .kernel = { 1 }, .groups = 2 }));
    REFUSED(CT_ERR_ARGUMENT, "ct_nn_max_pool2d", "kernel is 0",
            ct_nn_max_pool2d(set, (ct_pool_options){ 0 }));
    REFUSED(CT_ERR_ARGUMENT, "ct_nn_adaptive_avg_pool2d", "width is 0",
            ct_nn_adaptive_avg_pool2d(set, 1, 0));
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(set);
}
END_TEST

void nn_conv_cases(Suite *suite)
{
    TCase *tc = harness_case(suite, "conv");

    tcase_add_test(tc, conv_by_hand);
    tcase_add_loop_test(tc, conv_is_the_product_with_columns, 0, 4);
    tcase_add_test(tc, conv_bits_depend_on_no_threads);
    tcase_add_loop_test(tc, conv_of_many_channels, 0,
                        (int)(sizeof wide_convs / sizeof *wide_convs));
    tcase_add_test(tc, max_pool_positions);
    tcase_add_test(tc, conv_modules_have_pytorchs_names_and_shapes);
    tcase_add_test(tc, conv_dialects);
    tcase_add_test(tc, pool_modules_run_their_ops);
    tcase_add_test(tc, conv_ops_refuse);
    tcase_add_test(tc, pool_ops_refuse);
}
