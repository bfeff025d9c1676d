/* SPDX-License-Identifier: MIT */
/* hello.c - a user's program: compares the slope of x tanh(x) at 0.5 with the formula. In a library for
 * inference only, which has no slopes, the value. */
#include <math.h>
#include <stdio.h>

#include <cotangent.h>

int main(void)
{
    ct_exit_on_error();

    ct_scope scope = ct_scope_begin();
#if CT_INFERENCE_ONLY
    ct_tensor *x = ct_scalar(0.5, CT_F64);
    double got = ct_item(ct_mul(x, ct_tanh(x)));
    double right = 0.5 * tanh(0.5);
#else
    ct_tensor *x = ct_set_requires_grad(ct_scalar(0.5, CT_F64), true);

    ct_backward(ct_mul(x, ct_tanh(x)));

    double got = ct_item(ct_tensor_grad(x));
    double right = tanh(0.5) + 0.5 * (1 - tanh(0.5) * tanh(0.5));
#endif
    printf("%.15g, by the formula %.15g\n", got, right);
    if (ct_scope_end(scope) != CT_OK)
        return 1;
    return !(fabs(got - right) <= 1e-12);
}
