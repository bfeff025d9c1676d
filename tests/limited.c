/* SPDX-License-Identifier: MIT */
/* limited.c - products of many sizes, forward and backward, for tests/limits.sh: prints their sum, or the
 * error that a limit caused. */
#include <stdio.h>

#include <cotangent.h>

static double train_sizes(ct_dtype dtype)
{
    static const int64_t sizes[][3] = { { 1, 300, 200 },   { 16, 16, 16 },   { 35, 28, 256 },
                                        { 32, 256, 28 },   { 400, 60, 130 }, { 1024, 256, 256 },
                                        { 2000, 31, 257 }, { 7, 512, 512 } };
    double sum = 0;

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes && ct_error() == CT_OK; i++) {
        const int64_t m = sizes[i][0], k = sizes[i][1], n = sizes[i][2];
        ct_scope scope = ct_scope_begin();
        ct_tensor *a = ct_full(CT_SHAPE(m, k), 0.5, dtype, CT_CPU);
        ct_tensor *b = ct_full(CT_SHAPE(k, n), 0.25, dtype, CT_CPU);

        ct_set_requires_grad(a, true);
        ct_set_requires_grad(b, true);
        ct_tensor *loss = ct_mean(ct_matmul(a, b));
        ct_backward(loss);
        sum += ct_item(loss) - (double)k / 8 + ct_item(ct_sum(ct_tensor_grad(b))) - 0.5 * (double)k;
        sum += ct_item(ct_sum(ct_tensor_grad(a))) - 0.25 * (double)k;
        if (ct_scope_end(scope) != CT_OK)
            break;
    }
    return sum;
}

int main(void)
{
    double sum;

    ct_set_num_threads(8);
    sum = train_sizes(CT_F32) + train_sizes(CT_F64);
    if (ct_error() != CT_OK)
        return 3;
    printf("%s\n", sum > -1e-2 && sum < 1e-2 ? "right" : "wrong");
    return !(sum > -1e-2 && sum < 1e-2);
}
