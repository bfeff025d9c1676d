/* SPDX-License-Identifier: MIT */
/* custom_op.c - two user-defined ops, which need only the installed header.
 *
 * log_cosh(x) = log(cosh(x)) = |x| + log(1 + exp(-2 |x|)) - log 2,   dx = d tanh(x)
 *     one output. Its backward is written in ops, so it has derivatives of any order. Its fused
 *     backward is a plain loop, which runs unless a gradient of the gradient is requested.
 * polar(x, y) = (r, a) with r = sqrt(x^2 + y^2) and a the angle,
 *     dx = dr x / r - da y / r^2,   dy = dr y / r + da x / r^2
 *     two outputs, of which the caller may use only one.
 *
 * Prints the results, a training run with them, and the results of gradcheck. */
#include <math.h>
#include <stdio.h>

#include <cotangent.h>

/* ---- log_cosh: x any shape -> y the same; f64 on the CPU ---- */

static void log_cosh_backward(ct_node *n, ct_tensor *const *dout)
{
    ct_node_add_grad(n, 0, ct_mul(dout[0], ct_tanh(ct_node_input(n, 0))));
}

static void log_cosh_fused_backward(ct_node *n, ct_tensor *const *dout)
{
    ct_tensor *x = ct_contiguous(ct_node_input(n, 0)), *d = ct_contiguous(dout[0]);
    ct_tensor *dx = ct_empty(ct_tensor_shape(x), CT_F64, CT_CPU);
    const double *px = ct_data(x), *pd = ct_data(d);
    double *out = ct_mutable_data(dx);
    int64_t i;

    for (i = 0; out && i < ct_numel(x); i++)
        out[i] = pd[i] * tanh(px[i]);
    ct_node_add_grad(n, 0, dx);
}

static const ct_op log_cosh_op = { .name = "log_cosh",
                                   .inputs = 1,
                                   .outputs = 1,
                                   .saves = CT_SAVE_INPUTS,
                                   .backward = log_cosh_backward,
                                   .fused_backward = log_cosh_fused_backward };

static ct_tensor *log_cosh(ct_tensor *x)
{
    ct_tensor *from = ct_contiguous(ct_detach(x)), *y;
    const double *px;
    double *out;
    int64_t i;

    if (!x)
        return NULL;
    if (ct_tensor_dtype(x) != CT_F64 || ct_tensor_device(x) != CT_CPU) {
        ct_raise(CT_ERR_DTYPE, "log_cosh", "x is %s on %s, not f64 on the cpu",
                 ct_dtype_name(ct_tensor_dtype(x)), ct_device_name(ct_tensor_device(x)));
        return NULL;
    }
    y = ct_empty(ct_tensor_shape(x), CT_F64, CT_CPU);
    px = ct_data(from);
    out = ct_mutable_data(y);
    for (i = 0; out && i < ct_numel(x); i++)
        out[i] = fabs(px[i]) + log1p(exp(-2 * fabs(px[i]))) - log(2);
    return ct_record(&log_cosh_op, 1, &x, 1, &y, NULL, 0) ? y : NULL;
}

/* ---- polar: x and y of one shape -> *r and *angle, of that shape ---- */

static void polar_backward(ct_node *n, ct_tensor *const *dout)
{
    ct_tensor *x = ct_node_input(n, 0), *y = ct_node_input(n, 1);
    ct_tensor *rr = ct_add(ct_square(x), ct_square(y)), *r = ct_sqrt(rr);

    if (dout[0]) {
        ct_node_add_grad(n, 0, ct_mul(dout[0], ct_div(x, r)));
        ct_node_add_grad(n, 1, ct_mul(dout[0], ct_div(y, r)));
    }
    if (dout[1]) {
        ct_node_add_grad(n, 0, ct_neg(ct_mul(dout[1], ct_div(y, rr))));
        ct_node_add_grad(n, 1, ct_mul(dout[1], ct_div(x, rr)));
    }
}

static const ct_op polar_op = {
    .name = "polar", .inputs = 2, .outputs = 2, .saves = CT_SAVE_INPUTS, .backward = polar_backward
};

static ct_tensor *angle_of(ct_tensor *x, ct_tensor *y)
{
    ct_tensor *cx = ct_contiguous(x), *cy = ct_contiguous(y);
    ct_tensor *angle = ct_empty(ct_tensor_shape(x), CT_F64, CT_CPU);
    const double *px = ct_data(cx), *py = ct_data(cy);
    double *out = ct_mutable_data(angle);
    int64_t i;

    for (i = 0; px && py && out && i < ct_numel(x); i++)
        out[i] = atan2(py[i], px[i]);
    return angle;
}

static bool polar(ct_tensor *x, ct_tensor *y, ct_tensor **r, ct_tensor **angle)
{
    ct_tensor *in[2] = { x, y }, *out[2];
    bool was = ct_set_grad_enabled(false);

    out[0] = ct_sqrt(ct_add(ct_square(x), ct_square(y)));
    out[1] = out[0] ? angle_of(x, y) : NULL;
    ct_set_grad_enabled(was);
    *r = *angle = NULL;
    if (!ct_record(&polar_op, 2, in, 2, out, NULL, 0))
        return false;
    *r = out[0];
    *angle = out[1];
    return true;
}

/* ---- use of the ops ---- */

static ct_tensor *both(int count, ct_tensor *const *in, void *context)
{
    ct_tensor *r, *angle;

    (void)count, (void)context;
    return polar(in[0], in[1], &r, &angle) ? ct_add(log_cosh(r), ct_mul(angle, r)) : NULL;
}

static ct_status check(void)
{
    ct_generator g = ct_generator_from_seed(1);
    ct_scope s = ct_scope_begin();
    ct_tensor *in[2];
    int i;

    for (i = 0; i < 2; i++)
        in[i] = ct_set_requires_grad(ct_rand(CT_SHAPE(3, 4), CT_F64, CT_CPU, &g), true);
    printf("gradcheck: %s\n", ct_gradcheck(both, 2, in, NULL, &g, 0, 0) ? "right" : "wrong");
    printf("gradgradcheck: %s\n",
           ct_gradgradcheck(both, 2, in, NULL, &g, 0, 0) ? "right" : "wrong");
    return ct_scope_end(s);
}

/* Moves a point (x, y) to radius 2 and angle 1 by gradient descent on log_cosh of the errors. */
static ct_status train(void)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_set_requires_grad(ct_keep(ct_ones(CT_SCALAR, CT_F64, CT_CPU)), true);
    ct_tensor *y = ct_set_requires_grad(ct_keep(ct_ones(CT_SCALAR, CT_F64, CT_CPU)), true);
    ct_tensor *point[2] = { x, y }, *r = NULL, *angle = NULL, *grads[2];
    int step, i;

    for (step = 0; step < 200; step++) {
        ct_scope inner = ct_scope_begin();
        ct_tensor *loss;

        polar(x, y, &r, &angle);
        loss = ct_add(log_cosh(ct_sub_scalar(r, 2)), log_cosh(ct_sub_scalar(angle, 1)));
        ct_grad(1, &loss, 2, point, NULL, false, grads);
        ct_set_grad_enabled(false);
        for (i = 0; i < 2; i++)
            ct_copy_into(point[i], ct_sub(point[i], ct_mul_scalar(grads[i], 0.3)));
        if (ct_scope_end(inner) != CT_OK)
            break;
    }
    printf("x %.4f, y %.4f (2 cos 1 = %.4f, 2 sin 1 = %.4f)\n", ct_item(x), ct_item(y), 2 * cos(1),
           2 * sin(1));
    ct_free(x);
    ct_free(y);
    return ct_scope_end(s);
}

int main(void)
{
    ct_exit_on_error();
    return check() != CT_OK || train() != CT_OK;
}
