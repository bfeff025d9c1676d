/* SPDX-License-Identifier: MIT */
/* traced.c - runs a few ops whose trace trace.sh reads. TRACED=backward: the forward is finite, a
 * derivative is not. TRACED=data: the data is not finite. TRACED=double: ops of doubles, twice, and
 * ops with two and with nine results, of which one is used. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cotangent.h>

static void split2_backward(ct_node *n, ct_tensor *const *dout)
{
    ct_node_add_grad(n, 0, dout[0] ? dout[0] : dout[1]);
}

static void of_doubles(void)
{
    static const ct_op split9 = {
        .name = "ct_split9", .inputs = 1, .outputs = 9, .backward = split2_backward
    };
    static const ct_op split2 = {
        .name = "ct_split2", .inputs = 1, .outputs = 2, .backward = split2_backward
    };
    ct_tensor *x = ct_from_data((double[]){ 1, 2, 0 }, CT_SHAPE(3), CT_F64, CT_CPU), *y[9];
    int i;

    ct_set_requires_grad(x, true);
    ct_backward(ct_sum(ct_reciprocal(x)));
    ct_log(x);
    for (i = 0; i < 2; i++) {
        y[0] = ct_detach(x);
        y[1] = ct_detach(x);
        ct_record(&split2, 1, &x, 2, y, NULL, 0);
        ct_backward(ct_sum(y[i]));
    }
    for (i = 0; i < 9; i++)
        y[i] = ct_detach(x);
    ct_record(&split9, 1, &x, 9, y, NULL, 0);
    ct_backward(ct_sum(y[0]));
}

int main(void)
{
    const char *what = getenv("TRACED");
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_from_data((float[]){ 1, 0 }, CT_SHAPE(2), CT_F32, CT_CPU);
    ct_tensor *w = ct_ones(CT_SHAPE(3, 2), CT_F32, CT_CPU), *nine[9];
    int i;

    ct_set_requires_grad(x, true);
    if (what && strcmp(what, "backward") == 0) {
        ct_backward(ct_sum(ct_sqrt(x)));
    } else if (what && strcmp(what, "data") == 0) {
        ct_square(ct_from_data((float[]){ NAN, 0 }, CT_SHAPE(2), CT_F32, CT_CPU));
    } else if (what && strcmp(what, "double") == 0) {
        of_doubles();
    } else {
        ct_backward(ct_sum(ct_mul(ct_log(x), w)));
        ct_gt(x, x);
        ct_isnan(x);
        ct_floor(x);
        ct_one_hot(ct_zeros(CT_SHAPE(2), CT_I32, CT_CPU), 5);
        ct_argmax(x, 0, false);
        for (i = 0; i < 3; i++)
            ct_square(w);
        for (i = 0; i < 9; i++)
            nine[i] = w;
        ct_cat(8, nine, 0);
        ct_stack(9, nine, 0);
    }
    return ct_scope_end(s) != CT_OK;
}
