/* SPDX-License-Identifier: MIT */
/* loss_linear.c - ct_linear_cross_entropy against ct_cross_entropy of ct_linear. */
#include "tests/harness.h"
#include "tests/test_loss.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

#include <cotangent.h>

/* The kernel has three ways: transposed gradients for up to 128 classes, tiles for more classes,
 * and blocks for a large weight. Tiles have 64 rows, pieces at least 512. */
static const struct linear_size {
    int64_t rows, classes, in;
} sizes[] = {
    { 1, 1, 1 },     { 1, 28, 32 },    { 63, 5, 3 },      { 64, 28, 32 },   { 65, 128, 7 },
    { 130, 129, 9 }, { 513, 17, 16 },  { 1100, 28, 80 },  { 40, 1000, 65 }, { 70, 1030, 64 },
    { 9000, 3, 2 },  { 20000, 28, 8 }, { 5000, 1300, 3 },
};

enum { IN_X, IN_WEIGHT, IN_BIAS, IN_COUNT };

typedef struct linear_case {
    ct_tensor *in[IN_COUNT], *targets;
    ct_cross_entropy_options options;
} linear_case;

/* Makes case number i, which selects the size, a bias, smoothing and an ignored class. */
static linear_case linear_draw(int i, ct_dtype dtype)
{
    const struct linear_size *s = &sizes[i];
    ct_generator g = ct_generator_from_seed((uint64_t)i);
    linear_case c = { .in = { random_normal(&g, CT_SHAPE(s->rows, s->in), dtype),
                              random_normal(&g, CT_SHAPE(s->classes, s->in), dtype),
                              random_normal(&g, CT_SHAPE(s->classes), dtype) } };
    int32_t *targets = calloc((size_t)s->rows, sizeof *targets);
    int64_t k;

    ck_assert(targets);
    for (k = 0; k < s->rows; k++)
        targets[k] = (int32_t)(ct_random_u32(&g) % (uint32_t)s->classes);
    c.targets = ct_from_data(targets, CT_SHAPE(s->rows), CT_I32, DEVICE);
    free(targets);
    for (k = 0; k < IN_COUNT; k++)
        ct_set_requires_grad(c.in[k], true);
    if (i % 3 == 2)
        c.in[IN_BIAS] = NULL;
    c.options = (ct_cross_entropy_options){
        .reduction = i % 2 ? CT_REDUCTION_SUM : CT_REDUCTION_MEAN,
        .label_smoothing = i % 4 == 1 ? 0.3 : 0,
        .has_ignore_index = i % 5 == 3,
        .ignore_index = s->classes / 2,
    };
    return c;
}

static ct_tensor *linear_fused(const linear_case *c)
{
    return ct_linear_cross_entropy(c->in[IN_X], c->in[IN_WEIGHT], c->in[IN_BIAS], c->targets,
                                   c->options);
}

static ct_tensor *linear_composed(const linear_case *c)
{
    return ct_cross_entropy_with(ct_linear(c->in[IN_X], c->in[IN_WEIGHT], c->in[IN_BIAS]),
                                 c->targets, c->options);
}

/* Computes the gradients of 3 times the loss. */
static void linear_gradients(const linear_case *c, ct_tensor *loss, ct_tensor **gradient)
{
    loss = ct_mul_scalar(loss, 3);
    ck_assert_int_eq(
        ct_grad(1, &loss, c->in[IN_BIAS] ? IN_COUNT : IN_BIAS, c->in, NULL, false, gradient),
        CT_OK);
}

START_TEST(fused_and_composed_agree)
{
    const ct_dtype dtype = _i % 2 ? CT_F64 : CT_F32;
    const double tolerance = dtype == CT_F64 ? 1e-12 : 2e-5;
    ct_scope s = ct_scope_begin();
    linear_case c = linear_draw(_i / 2, dtype);
    ct_tensor *fused = linear_fused(&c), *composed = linear_composed(&c);
    ct_tensor *got[IN_COUNT] = { NULL }, *want[IN_COUNT] = { NULL };
    int k;

    ck_assert_msg(fused != NULL, "%s", ct_error_message());
    expect_close("loss", ct_item(fused), ct_item(composed),
                 tolerance * (1 + fabs(ct_item(composed))));
    linear_gradients(&c, fused, got);
    linear_gradients(&c, composed, want);
    for (k = 0; k < (c.in[IN_BIAS] ? IN_COUNT : IN_BIAS); k++)
        expect_same("gradient", got[k], want[k],
                    tolerance * (1 + ct_item(ct_max(ct_abs(want[k])))));
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

START_TEST(threads_change_no_bit)
{
    ct_scope s = ct_scope_begin();
    linear_case c = linear_draw(_i, CT_F32);
    ct_tensor *one[IN_COUNT] = { NULL }, *many[IN_COUNT] = { NULL }, *loss = linear_fused(&c);
    int threads, k;

    linear_gradients(&c, loss, one);
    for (threads = 2; threads <= 5; threads++) {
        ct_set_num_threads(threads);
        expect_same_bits("loss", linear_fused(&c), loss);
        linear_gradients(&c, linear_fused(&c), many);
        for (k = 0; k < (c.in[IN_BIAS] ? IN_COUNT : IN_BIAS); k++)
            expect_same_bits("gradient", many[k], one[k]);
    }
    ct_set_num_threads(1);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* The first backward pass uses the gradients of the forward pass and may write to them, so a second
 * pass must compute them again. */
START_TEST(history_can_be_used_again)
{
    ct_scope s = ct_scope_begin();
    linear_case c = linear_draw(3, CT_F64);
    ct_tensor *loss = linear_fused(&c), *first[IN_COUNT], *second[IN_COUNT];
    int k;

    ck_assert_int_eq(ct_grad(1, &loss, IN_COUNT, c.in, NULL, false, first), CT_OK);
    for (k = 0; k < IN_COUNT; k++)
        ck_assert_int_eq(ct_fill(first[k], 7), CT_OK);
    ck_assert_int_eq(ct_grad(1, &loss, IN_COUNT, c.in, NULL, false, second), CT_OK);
    linear_gradients(&c, loss, first);
    for (k = 0; k < IN_COUNT; k++)
        expect_same("again", ct_mul_scalar(second[k], 3), first[k], 1e-12);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* Only inputs that require a gradient get one, and nothing is recorded if none does. */
START_TEST(gradients_that_are_wanted)
{
    ct_scope s = ct_scope_begin();
    linear_case c = linear_draw(7, CT_F64);
    ct_tensor *loss, *got, *want;
    int k;

    for (k = 0; k < IN_COUNT; k++)
        ct_set_requires_grad(c.in[k], false);
    ck_assert(!ct_tensor_requires_grad(linear_fused(&c)));
    for (k = 0; k < IN_COUNT; k++) {
        ct_set_requires_grad(c.in[k], true);
        loss = linear_fused(&c);
        ck_assert_int_eq(ct_grad(1, &loss, 1, &c.in[k], NULL, false, &got), CT_OK);
        loss = linear_composed(&c);
        ck_assert_int_eq(ct_grad(1, &loss, 1, &c.in[k], NULL, false, &want), CT_OK);
        expect_same("gradient", got, want, 1e-12);
        ct_set_requires_grad(c.in[k], false);
    }
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* Scores with a large common offset, ignored rows, and scores that are not finite. */
START_TEST(edges_of_the_scores)
{
    ct_scope s = ct_scope_begin();
    linear_case c = linear_draw(3, CT_F32);
    ct_tensor *got, *want, *loss;

    c.in[IN_BIAS] = ct_set_requires_grad(ct_full(CT_SHAPE(28), 1e5, CT_F32, DEVICE), true);
    loss = linear_fused(&c);
    ck_assert_int_eq(ct_grad(1, &loss, 1, &c.in[IN_X], NULL, false, &got), CT_OK);
    loss = linear_composed(&c);
    ck_assert_int_eq(ct_grad(1, &loss, 1, &c.in[IN_X], NULL, false, &want), CT_OK);
    expect_same("offset", got, want, 1e-6 * 64);

    c.targets = ct_full(CT_SHAPE(64), 5, CT_I32, DEVICE);
    c.options = (ct_cross_entropy_options){ .has_ignore_index = true, .ignore_index = 5 };
    put_value(c.in[IN_BIAS], 3, INFINITY);
    loss = linear_fused(&c);
    ck_assert(isnan(ct_item(loss)));
    ck_assert_int_eq(ct_grad(1, &loss, 1, &c.in[IN_WEIGHT], NULL, false, &got), CT_OK);
    expect_same("all ignored", got, ct_zeros(CT_SHAPE(28, 32), CT_F32, DEVICE), 0);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

START_TEST(linear_module)
{
    ct_scope s = ct_scope_begin();
    ct_params *p = new_params(3, CT_F32);
    ct_module *linear = ct_nn_linear(p, "linear", (ct_nn_linear_options){ .out_features = 6 });
    ct_generator g = ct_generator_from_seed(1);
    ct_tensor *x = random_normal(&g, CT_SHAPE(4, 5, 3), CT_F32);
    ct_tensor *y = ct_full(CT_SHAPE(4, 5), 2, CT_I64, DEVICE);
    ct_cross_entropy_options sum = { .reduction = CT_REDUCTION_SUM };
    ct_tensor *loss = ct_nn_linear_cross_entropy(linear, x, y, sum); /* materializes the lazy
                                                                      * weight */

    ck_assert_msg(loss != NULL, "%s", ct_error_message());
    expect_close("loss", ct_item(loss),
                 ct_item(ct_cross_entropy_with(ct_forward(linear, x), y, sum)), 1e-5);
    REFUSED(CT_ERR_ARGUMENT, "ct_nn_linear_cross_entropy", "ct_nn_linear",
            ct_nn_linear_cross_entropy(ct_nn_op(p, ct_tanh), x, y, sum));
    REFUSED(CT_ERR_SHAPE, "ct_nn_linear_cross_entropy", "targets",
            ct_nn_linear_cross_entropy(linear, x, ct_narrow(y, 0, 0, 3), sum));
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(p);
}
END_TEST

START_TEST(linear_misuse)
{
    static const char *const me = "ct_linear_cross_entropy";
    ct_scope s = ct_scope_begin();
    linear_case c = linear_draw(3, CT_F32);
    ct_tensor *x = c.in[IN_X], *w = c.in[IN_WEIGHT], *b = c.in[IN_BIAS], *y = c.targets;
    ct_cross_entropy_options mean = { .reduction = CT_REDUCTION_MEAN };

    REFUSED(CT_ERR_SHAPE, me, "weight",
            ct_linear_cross_entropy(ct_narrow(x, 1, 0, 9), w, b, y, mean));
    REFUSED(CT_ERR_SHAPE, me, "bias",
            ct_linear_cross_entropy(x, w, ct_narrow(b, 0, 0, 9), y, mean));
    REFUSED(CT_ERR_SHAPE, me, "targets",
            ct_linear_cross_entropy(x, w, b, ct_narrow(y, 0, 0, 9), mean));
    REFUSED(CT_ERR_DTYPE, me, "weight", ct_linear_cross_entropy(x, ct_cast(w, CT_F64), b, y, mean));
    REFUSED(CT_ERR_DTYPE, me, "i32 or i64",
            ct_linear_cross_entropy(x, w, b, ct_cast(y, CT_BOOL), mean));
    expect_fault(ct_linear_cross_entropy(x, w, b, ct_full(CT_SHAPE(64), 28, CT_I64, DEVICE), mean),
                 CT_ERR_INDEX, me, "target 28");
    expect_fault(ct_linear_cross_entropy(x, w, b, ct_full(CT_SHAPE(64), -1, CT_I32, DEVICE), mean),
                 CT_ERR_INDEX, me, "target -1");
    mean.label_smoothing = 2;
    REFUSED(CT_ERR_ARGUMENT, me, "label_smoothing", ct_linear_cross_entropy(x, w, b, y, mean));
    EXPECT_NO_VALUE(ct_linear_cross_entropy(NULL, w, b, y, c.options));
    EXPECT_NO_VALUE(ct_linear_cross_entropy(x, NULL, b, y, c.options));
    EXPECT_NO_VALUE(ct_linear_cross_entropy(x, w, b, NULL, c.options));
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

void loss_linear_cases(Suite *suite)
{
    TCase *tc = harness_case(suite, "linear_cross_entropy");

    tcase_add_loop_test(tc, fused_and_composed_agree, 0, 2 * LENGTH(sizes));
    tcase_add_loop_test(tc, threads_change_no_bit, 0, LENGTH(sizes));
    tcase_add_test(tc, history_can_be_used_again);
    tcase_add_test(tc, gradients_that_are_wanted);
    tcase_add_test(tc, edges_of_the_scores);
    tcase_add_test(tc, linear_module);
    tcase_add_test(tc, linear_misuse);
}
