/* SPDX-License-Identifier: MIT */
/* test_loss.c - cross-entropy: values, gradients, misuse. */
#include "tests/harness.h"
#include "tests/test_loss.h"
#include "tensor/internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cotangent.h>

/* ---- cross-entropy ---- */

static const double logits[12] = { 0.5, -1, 2, 0, 3, 3, 3, 3, -2, 0.25, 1, 1.5 };
static const int32_t targets[3] = { 2, 0, 1 };
static const ct_cross_entropy_options each = { .reduction = CT_REDUCTION_NONE };

/* Returns -log softmax(row)[target], or with smoothing s: 1 - s times that, plus s times the mean
 * of -log softmax(row) over all classes. */
static double row_loss(const double *row, int target, double smoothing)
{
    double sum = 0, mean = 0;
    int c;

    for (c = 0; c < 4; c++)
        sum += exp(row[c]);
    for (c = 0; c < 4; c++)
        mean += (log(sum) - row[c]) / 4;
    return (1 - smoothing) * (log(sum) - row[target]) + smoothing * mean;
}

START_TEST(cross_entropy_by_hand)
{
    double l[3], plain[3], grad[12], sum;
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_set_requires_grad(ct_from_data(logits, CT_SHAPE(3, 4), CT_F64, DEVICE), true);
    ct_tensor *y = ct_from_data(targets, CT_SHAPE(3), CT_I32, DEVICE);
    int r, c;

    for (r = 0; r < 3; r++) {
        plain[r] = row_loss(logits + 4 * r, targets[r], 0);
        l[r] = row_loss(logits + 4 * r, targets[r], 0.3);
        for (sum = 0, c = 0; c < 4; c++)
            sum += exp(logits[4 * r + c]);
        for (c = 0; c < 4; c++)
            grad[4 * r + c] = (exp(logits[4 * r + c]) / sum - (c == targets[r])) / 3;
    }
    ct_backward(ct_cross_entropy(x, y));
    expect_values("gradient", ct_tensor_grad(x), grad, 12, 1e-15);
    expect_close("mean", ct_item(ct_cross_entropy(x, y)), (plain[0] + plain[1] + plain[2]) / 3,
                 1e-15);
    expect_values("none", ct_cross_entropy_with(x, y, each), plain, 3, 1e-15);
    expect_values("smoothed",
                  ct_cross_entropy_with(x, y,
                                        (ct_cross_entropy_options){ .reduction = CT_REDUCTION_NONE,
                                                                    .label_smoothing = 0.3 }),
                  l, 3, 1e-15);
    expect_close("sum",
                 ct_item(ct_cross_entropy_with(
                     x, y, (ct_cross_entropy_options){ .reduction = CT_REDUCTION_SUM })),
                 plain[0] + plain[1] + plain[2], 1e-14);
    expect_close(
        "ignoring",
        ct_item(ct_cross_entropy_with(
            x, y, (ct_cross_entropy_options){ .has_ignore_index = true, .ignore_index = 0 })),
        (plain[0] + plain[2]) / 2, 1e-15);
    expect_close("f32", ct_item(ct_cross_entropy(ct_cast(x, CT_F32), ct_cast(y, CT_I64))),
                 (plain[0] + plain[1] + plain[2]) / 3, 1e-6);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* Scores that differ by thousands give finite, exact losses. */
START_TEST(cross_entropy_of_large_scores)
{
    const float far[6] = { 1e4f, 0, -1e4f, -3e38f, 0, 3e38f };
    const int32_t worst[2] = { 2, 2 };
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_from_data(far, CT_SHAPE(2, 3), CT_F32, DEVICE);
    ct_tensor *y = ct_from_data(worst, CT_SHAPE(2), CT_I32, DEVICE);

    expect_values("loss", ct_cross_entropy_with(x, y, each), (double[]){ 2e4, 0 }, 2, 0);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* A class that is ruled out by a score of -inf leaves the losses of the others finite. */
START_TEST(cross_entropy_without_a_class)
{
    const double scores[8] = { 1, -INFINITY, 2, 0, 0, 3, -INFINITY, 1 };
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_set_requires_grad(ct_from_data(scores, CT_SHAPE(2, 4), CT_F64, DEVICE), true);
    ct_tensor *y = ct_from_data((int64_t[]){ 2, 1 }, CT_SHAPE(2), CT_I64, DEVICE);
    ct_tensor *weight = ct_from_data((double[]){ 1, 2, 3, 4 }, CT_SHAPE(4), CT_F64, DEVICE);
    const double plain[2] = { log(exp(1) + exp(2) + 1) - 2, log(1 + exp(3) + exp(1)) - 3 };
    const double weighted[2] = { 3 * plain[0], 2 * plain[1] };

    expect_values("loss", ct_cross_entropy_with(x, y, each), plain, 2, 1e-15);
    expect_values(
        "weighted",
        ct_cross_entropy_with(
            x, y, (ct_cross_entropy_options){ .reduction = CT_REDUCTION_NONE, .weight = weight }),
        weighted, 2, 1e-14);
    ck_assert(ct_backward(ct_cross_entropy(x, y)) == CT_OK);
    ck_assert(isfinite(ct_item(ct_sum(ct_tensor_grad(x)))));
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* Few and many rows, short and long, agree with the formula. */
START_TEST(cross_entropy_of_any_width)
{
    static const int widths[] = { 1, 2, 7, 8, 9, 28, 63, 64, 65, 127, 129, 256, 257, 1000, 2049 };
    ct_dtype dtype = _i ? CT_F64 : CT_F32;
    ct_generator g = ct_generator_from_seed(14);
    size_t w;

    for (w = 0; w < sizeof widths / sizeof *widths; w++) {
        int C = widths[w], rows = 1 + (int)ct_random_below(&g, C < 100 ? 150 : 9), r, c;
        double smoothing = w % 3 ? 0.3 : 0, *x, *d, *want, *grad;
        ct_scope s = ct_scope_begin();
        ct_tensor *logits = ct_randn(CT_SHAPE(rows, C), dtype, DEVICE, &g), *loss, *given;
        int64_t *target = malloc((size_t)rows * sizeof *target);

        logits = ct_set_requires_grad(ct_mul_scalar(logits, 3), true);
        given = ct_randn(CT_SHAPE(rows), dtype, DEVICE, &g);
        x = values_of(logits);
        d = values_of(given);
        want = calloc((size_t)rows, sizeof *want);
        grad = calloc((size_t)rows * (size_t)C, sizeof *grad);
        for (r = 0; r < rows; r++) {
            const double *row = x + r * C;
            double sum = 0, lse;

            target[r] = ct_random_below(&g, 5) ? (int64_t)ct_random_below(&g, (uint64_t)C) : -7;
            for (c = 0; c < C; c++)
                sum += exp(row[c]);
            lse = log(sum);
            for (c = 0; c < C && target[r] >= 0; c++) {
                double q = smoothing / C + (c == target[r] ? 1 - smoothing : 0);

                want[r] += q * (lse - row[c]);
                grad[r * C + c] = d[r] * (exp(row[c] - lse) - q);
            }
        }
        loss = ct_cross_entropy_with(logits, ct_from_data(target, CT_SHAPE(rows), CT_I64, DEVICE),
                                     (ct_cross_entropy_options){ .reduction = CT_REDUCTION_NONE,
                                                                 .label_smoothing = smoothing,
                                                                 .has_ignore_index = true,
                                                                 .ignore_index = -7 });
        expect_values("loss", loss, want, (size_t)rows, _i ? 1e-12 : 2e-5);
        ck_assert(ct_backward_with(loss, given) == CT_OK);
        expect_values("gradient", ct_tensor_grad(logits), grad, (size_t)(rows * C),
                      _i ? 1e-13 : 1e-5);
        ct_tensor_zero_grad(logits); /* now one output gradient for all rows */
        for (r = 0; r < rows * C; r++)
            grad[r] = d[r / C] ? grad[r] / d[r / C] : 0;
        ck_assert(ct_backward(ct_sum(ct_cross_entropy_with(
                      logits, ct_from_data(target, CT_SHAPE(rows), CT_I64, DEVICE),
                      (ct_cross_entropy_options){ .reduction = CT_REDUCTION_SUM,
                                                  .label_smoothing = smoothing,
                                                  .has_ignore_index = true,
                                                  .ignore_index = -7 }))) == CT_OK);
        expect_values("gradient of the sum", ct_tensor_grad(logits), grad, (size_t)(rows * C),
                      _i ? 1e-11 : 1e-5);
        free(target);
        free(x);
        free(d);
        free(want);
        free(grad);
        ck_assert_msg(ct_scope_end(s) == CT_OK, "%s", ct_error_message());
    }
}
END_TEST

/* The loss may be an input of further ops: its output gradient is then not 1, and second
 * derivatives exist. */
static const struct further {
    ct_reduction reduction;
    bool ignores;
    double smoothing;
} furthers[] = {
    { CT_REDUCTION_NONE, false, 0 },   { CT_REDUCTION_NONE, true, 0.1 },
    { CT_REDUCTION_MEAN, true, 0 },    { CT_REDUCTION_SUM, false, 0.25 },
    { CT_REDUCTION_MEAN, false, 0.1 },
};

static ct_tensor *further_on(int count, ct_tensor *const *inputs, void *context)
{
    const struct further *f = context;
    ct_tensor *y = ct_from_data(targets, CT_SHAPE(3), CT_I32, DEVICE);
    ct_tensor *loss =
        ct_cross_entropy_with(inputs[0], y,
                              (ct_cross_entropy_options){ .reduction = f->reduction,
                                                          .label_smoothing = f->smoothing,
                                                          .has_ignore_index = f->ignores,
                                                          .ignore_index = targets[1] });

    (void)count;
    return ct_mul(ct_square(loss), inputs[1]);
}

START_TEST(cross_entropy_of_second_order)
{
    ct_scope s = ct_scope_begin();
    ct_generator g = ct_generator_from_seed(4);
    ct_tensor *in[2] = { ct_from_data(logits, CT_SHAPE(3, 4), CT_F64, DEVICE),
                         ct_from_data((double[]){ 0.5, -1, 2 }, CT_SHAPE(3), CT_F64, DEVICE) };

    ct_set_requires_grad(in[0], true);
    ct_set_requires_grad(in[1], true);
    ck_assert_msg(ct_gradcheck(further_on, 2, in, (void *)&furthers[_i], &g, 0, 0) &&
                      ct_gradgradcheck(further_on, 2, in, (void *)&furthers[_i], &g, 0, 0),
                  "%s", ct_error_message());
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

START_TEST(cross_entropy_misuse)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_from_data(logits, CT_SHAPE(3, 4), CT_F64, DEVICE);
    ct_tensor *y = ct_from_data(targets, CT_SHAPE(3), CT_I32, DEVICE), *wrong;
    int i, k;

    wrong = ct_from_data((int32_t[]){ 1, 4, 0 }, CT_SHAPE(3), CT_I32, DEVICE);
    expect_fault(ct_cross_entropy(x, wrong), CT_ERR_INDEX, "ct_cross_entropy", "target 4");
    wrong = ct_from_data((int32_t[]){ 1, 2, -1 }, CT_SHAPE(3), CT_I32, DEVICE);
    expect_fault(ct_cross_entropy(x, wrong), CT_ERR_INDEX, "ct_cross_entropy", "target -1");
    ck_assert(ct_cross_entropy(x, ct_narrow(y, 0, 0, 2)) == NULL);
    expect_error(CT_ERR_SHAPE, "ct_cross_entropy", "f64[3,4]");
    ck_assert(ct_cross_entropy(x, ct_cast(y, CT_BOOL)) == NULL);
    expect_error(CT_ERR_DTYPE, "ct_cross_entropy", "i32 or i64");
    ck_assert(ct_cross_entropy(y, y) == NULL);
    expect_error(CT_ERR_DTYPE, "ct_cross_entropy", "f32 or f64");
    ck_assert(ct_cross_entropy_with(x, y, (ct_cross_entropy_options){ .label_smoothing = 1.5 }) ==
              NULL);
    expect_error(CT_ERR_ARGUMENT, "ct_cross_entropy_with", "label_smoothing is 1.5");
    for (i = 0; i < 3; i++) {
        ck_assert(ct_cross_entropy_with(x, y,
                                        (ct_cross_entropy_options){
                                            .label_smoothing = (double[]){ -0.1, 1.1, NAN }[i] }) ==
                  NULL);
        ck_assert_int_eq(ct_error(), CT_ERR_ARGUMENT);
        ct_error_clear();
    }
    ck_assert(ct_cross_entropy_with(x, y, (ct_cross_entropy_options){ .label_smoothing = 1 }));
    for (i = 0; i < 3; i++) { /* no classes, no axis of classes, two such axes */
        ct_tensor *odd =
            ct_zeros((ct_shape[]){ CT_SHAPE(3, 0), CT_SCALAR, CT_SHAPE(4, 3) }[i], CT_F64, DEVICE);
        ct_tensor *of[2] = { i == 1 ? ct_zeros(CT_SCALAR, CT_I32, DEVICE) : y, i < 2 ? odd : x };

        for (k = 0; k < 2; k++) {
            ck_assert(ct_cross_entropy(odd, of[k]) == NULL);
            ck_assert_int_eq(ct_error(), CT_ERR_SHAPE);
            ct_error_clear();
        }
    }
    for (i = 0; i < 2; i++) /* a weight for each class */
        for (k = 0; k < 2; k++) {
            wrong = ct_ones(i ? CT_SHAPE(3) : CT_SHAPE(4, 1), CT_F64, DEVICE);
            ck_assert(ct_cross_entropy_with(x, k ? ct_ones(CT_SHAPE(3, 4), CT_F64, DEVICE) : y,
                                            (ct_cross_entropy_options){ .weight = wrong }) == NULL);
            ck_assert_int_eq(ct_error(), CT_ERR_SHAPE);
            ct_error_clear();
        }
    ck_assert(ct_cross_entropy_with(x, ct_ones(CT_SHAPE(3, 4), CT_F64, DEVICE),
                                    (ct_cross_entropy_options){ .has_ignore_index = true }) ==
              NULL);
    ck_assert_int_eq(ct_error(), CT_ERR_ARGUMENT);
    ct_error_clear();
    for (i = 0; i < 2; i++) { /* does not broadcast, or broadcasts to a larger shape */
        wrong = ct_ones(i ? CT_SHAPE(2, 3, 4) : CT_SHAPE(3), CT_F64, DEVICE);
        ck_assert(ct_bce_with_logits(x, x, (ct_bce_options){ .weight = wrong }) == NULL);
        ck_assert_int_eq(ct_error(), CT_ERR_SHAPE);
        ct_error_clear();
    }
    EXPECT_NO_VALUE(ct_cross_entropy(NULL, y));
    EXPECT_NO_VALUE(ct_cross_entropy(x, NULL));
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("loss");
    TCase *tc = harness_case(suite, "cross_entropy");

    tcase_add_test(tc, cross_entropy_by_hand);
    tcase_add_test(tc, cross_entropy_of_large_scores);
    tcase_add_test(tc, cross_entropy_without_a_class);
    tcase_add_loop_test(tc, cross_entropy_of_any_width, 0, 2);
    tcase_add_loop_test(tc, cross_entropy_of_second_order, 0, LENGTH(furthers));
    tcase_add_test(tc, cross_entropy_misuse);
    loss_linear_cases(suite);
    return harness_run(suite);
}
