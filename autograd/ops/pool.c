/* SPDX-License-Identifier: MIT */
/* pool.c - pooling.
 *
 *     max_pool:           a kernel finds the positions; ct_gather takes the elements and supplies the
 *                         derivative: dx = d added back at the positions
 *     avg_pool:           a convolution of each plane with a filter of equal weights
 *     adaptive_avg_pool:  A x B^T, with the matrices A and B that average rows and columns */
#include "autograd/ops/conv_internal.h"

#include <cotangent/autograd/ops/copy.h>
#include <cotangent/autograd/ops/elementwise.h>
#include <cotangent/autograd/ops/matmul.h>
#include <cotangent/autograd/ops/pool.h>
#include <cotangent/autograd/ops/views.h>

/* x must be a float of rank axes + 2. */
static bool pool_check(const char *me, const ct_tensor *x, int axes)
{
    if (!cti_usable(me, x) || !cti_want_float(me, "x", x))
        return false;
    if (x->shape.rank == axes + 2)
        return true;
    ct_raise(CT_ERR_SHAPE, me, "x %s must have rank %d %s", cti_describe(x).s, axes + 2,
             axes == 1 ? "(N, C, L)" : "(N, C, H, W)");
    return false;
}

/* Computes the windows over x, which pool_check has accepted. */
static bool pool_windows(const char *me, const ct_tensor *x, int axes, const ct_pool_options *o,
                         cti_conv *c)
{
    const int64_t *stride = o->stride[0] || o->stride[1] ? o->stride : o->kernel;
    int last = axes + 1, i;

    *c = (cti_conv){ .groups = 1, .in = 1, .out = 1 };
    c->size[0] = axes == 2 ? x->shape.dim[2] : 1;
    c->size[1] = x->shape.dim[last];
    if (!cti_window_read(
            me, &(cti_window_options){ o->kernel, stride, o->padding, o->dilation, axes }, c))
        return false;
    for (i = 0; i < 2; i++)
        if (c->padding[i] > c->kernel[i] / 2) {
            ct_raise(CT_ERR_ARGUMENT, me,
                     "padding is %lld; it must be at most half the kernel, %lld",
                     (long long)c->padding[i], (long long)c->kernel[i]);
            return false;
        }
    if (!cti_window_result(me, x, o->ceil_mode, c))
        return false;
    for (i = 2 - axes; i < 2; i++)
        if (c->size[i] == 0) {
            ct_raise(CT_ERR_SHAPE, me, "x %s has no elements to pool", cti_describe(x).s);
            return false;
        }
    c->images = x->shape.dim[0] * x->shape.dim[1];
    return true;
}

/* Returns the shape of the result. */
static ct_shape pool_shape(const ct_tensor *x, int axes, const cti_conv *c)
{
    ct_shape shape = x->shape;

    if (axes == 2)
        shape.dim[2] = c->result[0];
    shape.dim[axes + 1] = c->result[1];
    return shape;
}

/* ---- max_pool ---- */

/* Returns the positions of the greatest elements, (planes, results). */
static ct_tensor *pool_positions(const char *me, const cti_conv *c, const ct_tensor *x)
{
    ct_tensor *at = cti_new(me, CT_SHAPE(c->images, c->result[0], c->result[1]), CT_I64, x->device);
    ct_tensor *dense = at ? cti_contiguous(x) : NULL;
    cti_max_pool_args a = { .dtype = x->dtype, .planes = c->images };
    int i;

    if (!dense)
        return NULL;
    for (i = 0; i < 2; i++) {
        a.size[i] = c->size[i];
        a.kernel[i] = c->kernel[i];
        a.result[i] = c->result[i];
        a.stride[i] = c->stride[i];
        a.padding[i] = c->padding[i];
        a.dilation[i] = c->dilation[i];
    }
    a.in = cti_data(dense);
    a.indices = (int64_t *)(void *)cti_data(at);
    cti_backend_of(x->device)->max_pool(&a);
    return ct_reshape(at, CT_SHAPE(c->images, c->result[0] * c->result[1]));
}

/* True if each window contains an element of x. A dilated window may contain none. */
static bool pool_hits(const char *me, const cti_conv *c)
{
    int i;
    int64_t q;

    for (i = 0; i < 2; i++)
        for (q = 0; c->dilation[i] > 1 && q < c->result[i]; q++) {
            int64_t at = q * c->stride[i] - c->padding[i], skip;

            skip = at < 0 ? (-at + c->dilation[i] - 1) / c->dilation[i] : 0;
            if (skip >= c->kernel[i] || at + skip * c->dilation[i] >= c->size[i]) {
                ct_raise(CT_ERR_SHAPE, me,
                         "window %lld has no element of x: dilation %lld, padding %lld",
                         (long long)q, (long long)c->dilation[i], (long long)c->padding[i]);
                return false;
            }
        }
    return true;
}

static ct_tensor *pool_max(const char *me, ct_tensor *x, int axes, const ct_pool_options *o,
                           ct_tensor **indices)
{
    ct_tensor *at, *planes, *y;
    cti_conv c;

    if (indices)
        *indices = NULL;
    if (!pool_check(me, x, axes) || !pool_windows(me, x, axes, o, &c) || !pool_hits(me, &c))
        return NULL;
    at = pool_positions(me, &c, x);
    planes = at ? ct_reshape(x, CT_SHAPE(c.images, c.size[0] * c.size[1])) : NULL;
    y = planes ? ct_reshape(cti_gather(me, planes, 1, at), pool_shape(x, axes, &c)) : NULL;
    if (indices && y)
        *indices = ct_reshape(at, y->shape);
    return y;
}

ct_tensor *ct_max_pool2d(ct_tensor *x, ct_pool_options o, ct_tensor **indices)
{
    return pool_max("ct_max_pool2d", x, 2, &o, indices);
}

ct_tensor *ct_max_pool1d(ct_tensor *x, ct_pool_options o, ct_tensor **indices)
{
    return pool_max("ct_max_pool1d", x, 1, &o, indices);
}

/* ---- avg_pool ---- */

/* Returns the number of positions of window q along an axis that count. */
static int64_t pool_counted(const cti_conv *c, int i, int64_t q, bool exclude_pad)
{
    int64_t begin = q * c->stride[i] - c->padding[i], end = begin + c->kernel[i];
    int64_t margin = exclude_pad ? 0 : c->padding[i];

    begin = begin < -margin ? -margin : begin;
    end = end > c->size[i] + margin ? c->size[i] + margin : end;
    return end - begin;
}

/* Returns 1 / (the number of positions that count) for each window, (1, result, result). NULL with
 * an error. */
static ct_tensor *pool_shares(const char *me, const cti_conv *c, const ct_tensor *x, bool exclude)
{
    ct_tensor *share = cti_new(me, CT_SHAPE(1, c->result[0], c->result[1]), x->dtype, CT_CPU);
    int64_t p, q, n = 0;

    for (p = 0; share && p < c->result[0]; p++)
        for (q = 0; q < c->result[1]; q++, n++) {
            double v =
                1 / (double)(pool_counted(c, 0, p, exclude) * pool_counted(c, 1, q, exclude));

            if (x->dtype == CT_F32)
                ((float *)(void *)cti_data(share))[n] = (float)v;
            else
                ((double *)(void *)cti_data(share))[n] = v;
        }
    return share ? ct_to(share, x->device) : NULL;
}

/* True if the same number of positions counts in all windows. The filter can then contain the
 * factor. */
static bool pool_is_even(const cti_conv *c, bool exclude)
{
    int i;

    for (i = 0; i < 2; i++)
        if (pool_counted(c, i, 0, exclude) != c->kernel[i] ||
            pool_counted(c, i, c->result[i] - 1, exclude) != c->kernel[i])
            return false;
    return true;
}

static ct_tensor *pool_average(const char *me, ct_tensor *x, int axes, const ct_pool_options *o)
{
    ct_tensor *role[3] = { NULL }, *y, *shares = NULL;
    cti_conv c;
    bool even;

    if (!pool_check(me, x, axes))
        return NULL;
    if (o->dilation[0] > 1 || o->dilation[1] > 1) {
        ct_raise(CT_ERR_ARGUMENT, me, "dilation is %lld; it must be 1, except in max pooling",
                 (long long)(o->dilation[0] > 1 ? o->dilation[0] : o->dilation[1]));
        return NULL;
    }
    if (!pool_windows(me, x, axes, o, &c))
        return NULL;
    even = pool_is_even(&c, o->exclude_pad);
    if (!even && !(shares = pool_shares(me, &c, x, o->exclude_pad)))
        return NULL;
    role[CTI_CONV_WEIGHT] =
        cti_filled(me, CT_SHAPE(1, 1, c.kernel[0], c.kernel[1]),
                   even ? 1 / ((double)c.kernel[0] * (double)c.kernel[1]) : 1, x->dtype, x->device);
    role[CTI_CONV_INPUT] = ct_reshape(x, CT_SHAPE(c.images, 1, c.size[0], c.size[1]));
    y = cti_conv_part_of(me, &c, role, NULL);
    y = y && !even ? ct_mul(y, shares) : y;
    return y ? ct_reshape(y, pool_shape(x, axes, &c)) : NULL;
}

ct_tensor *ct_avg_pool2d(ct_tensor *x, ct_pool_options o)
{
    return pool_average("ct_avg_pool2d", x, 2, &o);
}

ct_tensor *ct_avg_pool1d(ct_tensor *x, ct_pool_options o)
{
    return pool_average("ct_avg_pool1d", x, 1, &o);
}

/* ---- adaptive_avg_pool ---- */

/* Returns a matrix (result, n) on the device of x: its product with n elements gives the means of
 * their groups. NULL with an error. */
static ct_tensor *pool_averages(const char *me, int64_t n, int64_t result, const ct_tensor *x)
{
    ct_tensor *m = cti_filled(me, CT_SHAPE(result, n), 0, x->dtype, CT_CPU);
    int64_t i, k;

    for (i = 0; m && i < result; i++) {
        int64_t rest = n % result, whole = n / result;
        int64_t begin = i * whole + i * rest / result;
        int64_t end = (i + 1) * whole + ((i + 1) * rest + result - 1) / result;

        for (k = begin; k < end; k++)
            if (x->dtype == CT_F32)
                ((float *)(void *)cti_data(m))[i * n + k] = 1 / (float)(end - begin);
            else
                ((double *)(void *)cti_data(m))[i * n + k] = 1 / (double)(end - begin);
    }
    return m ? ct_to(m, x->device) : NULL;
}

/* Computes the means along the last axis. */
static ct_tensor *pool_adapt(const char *me, ct_tensor *x, int64_t result)
{
    ct_tensor *m = x ? pool_averages(me, ct_size(x, -1), result, x) : NULL;

    return m ? ct_matmul(x, ct_transpose(m, 0, 1)) : NULL;
}

static bool pool_has_elements(const char *me, const ct_tensor *x, int axes)
{
    int i;

    for (i = 2; i < axes + 2; i++)
        if (x->shape.dim[i] == 0) {
            ct_raise(CT_ERR_SHAPE, me, "x %s has no elements to pool", cti_describe(x).s);
            return false;
        }
    return true;
}

/* If the sizes of the result divide those of x, the windows do not overlap, and avg_pool computes
 * them. */
static ct_tensor *pool_adaptive(const char *me, ct_tensor *x, int axes, const int64_t *result)
{
    int64_t h = x->shape.dim[2], w = x->shape.dim[axes + 1];
    ct_tensor *y;

    if (h % result[0] == 0 && w % result[axes - 1] == 0)
        return pool_average(
            me, x, axes, &(ct_pool_options){ .kernel = { h / result[0], w / result[axes - 1] } });
    y = pool_adapt(me, x, result[axes - 1]);
    if (axes == 1 || !y)
        return y;
    y = pool_adapt(me, ct_transpose(y, 2, 3), result[0]);
    return y ? ct_transpose(y, 2, 3) : NULL;
}

ct_tensor *ct_adaptive_avg_pool2d(ct_tensor *x, int64_t height, int64_t width)
{
    static const char *const me = "ct_adaptive_avg_pool2d";
    const int64_t result[] = { height, width };

    if (!pool_check(me, x, 2) || !cti_at_least(me, "height", height, 1) ||
        !cti_at_least(me, "width", width, 1) || !pool_has_elements(me, x, 2))
        return NULL;
    return pool_adaptive(me, x, 2, result);
}

ct_tensor *ct_adaptive_avg_pool1d(ct_tensor *x, int64_t length)
{
    static const char *const me = "ct_adaptive_avg_pool1d";

    if (!pool_check(me, x, 1) || !cti_at_least(me, "length", length, 1) ||
        !pool_has_elements(me, x, 1))
        return NULL;
    return pool_adaptive(me, x, 1, &length);
}
