/* SPDX-License-Identifier: MIT */
/* normalise.c - layer, RMS, group and batch normalisation. Each is computed as a normalisation of
 * rows (rows, n):
 *
 *     z = (x - mean) s      s = 1 / sqrt(variance + eps)      y = z weight + bias
 *     g = dy weight         dx = s (g - mean(g) - z mean(g z))
 *     dweight = sum of dy z over the rows                     dbias = sum of dy over the rows
 *
 * For RMS norm, mean and mean(g) are 0. A device with a kernel computes forward and backward with
 * one call each; the op saves mean and variance as further inputs. For other devices the op is
 * composed of other ops. */
#include "autograd/ops/internal.h"

#include <cotangent/autograd/ops/copy.h>
#include <cotangent/autograd/ops/elementwise.h>
#include <cotangent/autograd/ops/normalise.h>
#include <cotangent/autograd/ops/reduce.h>
#include <cotangent/autograd/ops/views.h>

#include <float.h>
#include <math.h>

enum { IN_X, IN_WEIGHT, IN_BIAS, IN_MEAN, IN_VARIANCE, IN_COUNT };

/* How rows are normalised. */
typedef struct norm_rule {
    const char *me; /* the function that errors name */
    bool centred;
    double eps;
    bool weight; /* true if there is a weight; norm_rows sets it */
} norm_rule;

/* ---- composed of ops ---- */

/* The statistics of rows, (..., 1), and the normalised values z. */
typedef struct norm_parts {
    ct_tensor *mean; /* NULL if not centred, or if the rows are scaled */
    ct_tensor *variance, *scale, *z;
    ct_tensor *factor; /* of rows that are scaled; NULL: 1 */
} norm_parts;

static norm_parts norm_compose_parts(const norm_rule *r, ct_tensor *x)
{
    norm_parts p = { .mean = r->centred ? ct_mean_axis(x, -1, true) : NULL };
    ct_tensor *centred = r->centred ? ct_sub(x, p.mean) : x;

    p.variance = ct_mean_axis(ct_square(centred), -1, true);
    p.scale = ct_rsqrt(ct_add_scalar(p.variance, r->eps));
    p.z = ct_mul(centred, p.scale);
    return p;
}

/* Likewise for rows whose squares may overflow or underflow. Each row is multiplied by a power of two,
 * and eps by its square; z does not change. A centred row is halved, and its first element is
 * subtracted; so no difference overflows, and a row of equal numbers becomes 0. */
static norm_parts norm_compose_scaled(const norm_rule *r, ct_tensor *x)
{
    const double least = x->dtype == CT_F32 ? CTI_NORM_LEAST_F32 : CTI_NORM_LEAST_F64;
    int mask = 1 << (x->shape.rank - 1);
    norm_parts p = { NULL };
    ct_tensor *factor;

    x = ct_mul_scalar(x, 0.5);
    x = r->centred && ct_size(x, -1) ? ct_sub(x, ct_detach(ct_narrow(x, -1, 0, 1))) : x;
    factor = x ? cti_factor_of_rows(x, mask) : NULL;
    factor = r->eps > least ? ct_clamp(factor, 0, 1) : factor;
    x = ct_mul(x, factor);
    x = r->centred ? ct_sub(x, ct_mean_axis(x, -1, true)) : x;
    p.factor = ct_mul_scalar(factor, 0.5);
    p.variance = ct_mean_axis(ct_square(x), -1, true);
    p.scale = ct_rsqrt(ct_add(p.variance, ct_square(ct_mul_scalar(p.factor, sqrt(r->eps)))));
    p.z = ct_mul(x, p.scale);
    return p;
}

static ct_tensor *norm_affine(ct_tensor *z, ct_tensor *weight, ct_tensor *bias)
{
    z = weight ? ct_mul(z, weight) : z;
    return bias ? ct_add(z, bias) : z;
}

/* ---- the op ---- */

/* Returns the weight. NULL without an error if the op has no weight; NULL with an error if the weight
 * cannot be used. */
static ct_tensor *norm_weight(ct_node *n)
{
    return ((const norm_rule *)ct_node_attributes(n))->weight ? ct_node_input(n, IN_WEIGHT) : NULL;
}

/* True if the saved variances show that no square of x overflows, and that none that counts
 * underflows. */
static bool norm_saved_is_ordinary(ct_node *n)
{
    const norm_rule *r = ct_node_attributes(n);
    const ct_tensor *v = ct_node_input(n, IN_VARIANCE);

    if (!v)
        return true;
    return v->dtype == CT_F32 ? cti_all_within(v, CTI_NORM_LEAST_F32 - r->eps, (double)FLT_MAX)
                              : cti_all_within(v, CTI_NORM_LEAST_F64 - r->eps, DBL_MAX);
}

static void norm_backward(ct_node *n, ct_tensor *const *dout)
{
    const norm_rule *r = ct_node_attributes(n);
    ct_tensor *x = ct_node_input(n, IN_X), *w = norm_weight(n), *d = dout[0], *g, *dx;
    norm_parts p;

    if (!x || !ct_ok())
        return;
    p = norm_saved_is_ordinary(n) ? norm_compose_parts(r, x) : norm_compose_scaled(r, x);
    if (ct_node_needs_grad(n, IN_X)) {
        g = w ? ct_mul(d, w) : d;
        dx = ct_sub(g, ct_mul(p.z, ct_mean_axis(ct_mul(g, p.z), -1, true)));
        dx = r->centred ? ct_sub(dx, ct_mean_axis(g, -1, true)) : dx;
        dx = ct_mul(p.scale, dx);
        ct_node_add_grad(n, IN_X, p.factor ? ct_mul(dx, p.factor) : dx);
    }
    if (ct_node_needs_grad(n, IN_WEIGHT))
        ct_node_add_grad(n, IN_WEIGHT,
                         ct_sum_to_shape(ct_mul(d, p.z), ct_node_input_shape(n, IN_WEIGHT)));
    if (ct_node_needs_grad(n, IN_BIAS))
        ct_node_add_grad(n, IN_BIAS, ct_sum_to_shape(d, ct_node_input_shape(n, IN_BIAS)));
}

/* Makes a tensor for the gradient of input i; NULL if it needs no gradient, and NULL with an
 * error. */
static ct_tensor *norm_gradient(ct_node *n, int i)
{
    const norm_rule *r = ct_node_attributes(n);
    ct_tensor *x = ct_node_input(n, IN_X);

    return x && ct_node_needs_grad(n, i)
               ? cti_new(r->me, ct_node_input_shape(n, i), x->dtype, x->device)
               : NULL;
}

static void norm_fused_backward(ct_node *n, ct_tensor *const *dout)
{
    const norm_rule *r = ct_node_attributes(n);
    ct_tensor *x = ct_node_input(n, IN_X), *w = norm_weight(n), *dx, *dw, *db;
    ct_tensor *mean = ct_node_input(n, IN_MEAN), *variance = ct_node_input(n, IN_VARIANCE);
    ct_tensor *d = cti_contiguous(dout[0]);
    cti_normalise_backward_args a;

    x = x ? cti_contiguous(x) : NULL;
    w = w ? cti_contiguous(w) : NULL;
    dx = norm_gradient(n, IN_X);
    dw = norm_gradient(n, IN_WEIGHT);
    db = norm_gradient(n, IN_BIAS);
    if (!x || !d || !mean || !variance || !ct_ok())
        return;
    a = (cti_normalise_backward_args){ .dtype = x->dtype,
                                       .centred = r->centred,
                                       .rows = mean->numel,
                                       .n = ct_size(x, -1),
                                       .eps = r->eps,
                                       .x = cti_data(x),
                                       .dy = cti_data(d),
                                       .weight = w ? cti_data(w) : NULL,
                                       .mean = cti_data(mean),
                                       .variance = cti_data(variance),
                                       .dx = dx ? cti_data(dx) : NULL,
                                       .dweight = dw ? cti_data(dw) : NULL,
                                       .dbias = db ? cti_data(db) : NULL };
    if (cti_backend_of(x->device)->normalise_backward(&a) != CT_OK) {
        norm_backward(n, dout);
        return;
    }
    ct_node_add_grad(n, IN_X, dx);
    if (dw)
        ct_node_add_grad(n, IN_WEIGHT, dw);
    if (db)
        ct_node_add_grad(n, IN_BIAS, db);
}

static const ct_op layer_norm_op = { .name = "ct_layer_norm",
                                     .inputs = IN_COUNT,
                                     .outputs = 1,
                                     .saves = CT_SAVE_INPUTS,
                                     .backward = CTI_TRAINING(norm_backward),
                                     .fused_backward = CTI_TRAINING(norm_fused_backward) };
static const ct_op rms_norm_op = { .name = "ct_rms_norm",
                                   .inputs = IN_COUNT,
                                   .outputs = 1,
                                   .saves = CT_SAVE_INPUTS,
                                   .backward = CTI_TRAINING(norm_backward),
                                   .fused_backward = CTI_TRAINING(norm_fused_backward) };

/* Runs the kernel; in[IN_MEAN] and in[IN_VARIANCE] may be NULL. Returns NULL, without an error, if
 * the device has no kernel. */
static ct_tensor *norm_run(const norm_rule *r, ct_tensor *const *in)
{
    ct_tensor *x = cti_contiguous(in[IN_X]), *w = in[IN_WEIGHT], *b = in[IN_BIAS];
    ct_tensor *y = cti_new(r->me, in[IN_X]->shape, in[IN_X]->dtype, in[IN_X]->device);
    cti_normalise_args a = { .dtype = in[IN_X]->dtype, .centred = r->centred, .eps = r->eps };

    w = w ? cti_contiguous(w) : NULL;
    b = b ? cti_contiguous(b) : NULL;
    if (!x || !y || !ct_ok())
        return NULL;
    a.n = ct_size(x, -1);
    a.rows = a.n ? x->numel / a.n : 0;
    a.x = cti_data(x);
    a.weight = w ? cti_data(w) : NULL;
    a.bias = b ? cti_data(b) : NULL;
    a.y = cti_data(y);
    a.mean = in[IN_MEAN] ? cti_data(in[IN_MEAN]) : NULL;
    a.variance = in[IN_VARIANCE] ? cti_data(in[IN_VARIANCE]) : NULL;
    return cti_backend_of(x->device)->normalise(&a) == CT_OK ? y : NULL;
}

/* Normalises the last axis of x. weight and bias are (n) or NULL. If variance is not NULL, *mean
 * and *variance receive the statistics of the rows, without history. */
static ct_tensor *norm_rows(norm_rule *r, ct_tensor *const *x_weight_bias, ct_tensor **mean,
                            ct_tensor **variance)
{
    ct_tensor *in[IN_COUNT] = { x_weight_bias[0], x_weight_bias[1], x_weight_bias[2] }, *y;
    bool recorded = cti_will_record(IN_MEAN, in);
    ct_shape rows = in[IN_X]->shape;
    norm_parts p;

    r->weight = in[IN_WEIGHT] != NULL;
    rows.dim[rows.rank - 1] = 1;
    if (recorded || variance) {
        in[IN_MEAN] = cti_new(r->me, rows, in[IN_X]->dtype, in[IN_X]->device);
        in[IN_VARIANCE] = cti_new(r->me, rows, in[IN_X]->dtype, in[IN_X]->device);
    }
    y = norm_run(r, in);
    if (y) {
        if (variance) {
            *mean = in[IN_MEAN];
            *variance = in[IN_VARIANCE];
        }
        return cti_record_n_with(r->centred ? &layer_norm_op : &rms_norm_op, IN_COUNT, in, y, r,
                                 sizeof *r);
    }
    if (!ct_ok())
        return NULL;
    p = norm_compose_parts(r, in[IN_X]);
    if (variance) {
        *mean = ct_detach(p.mean);
        *variance = ct_detach(p.variance);
    }
    return norm_affine(p.z, in[IN_WEIGHT], in[IN_BIAS]);
}

/* ---- checks ---- */

static bool norm_check_eps(const char *me, double eps)
{
    if (eps >= 0)
        return true;
    ct_raise(CT_ERR_ARGUMENT, me, "eps is %g; it must be at least 0", eps);
    return false;
}

/* True if a weight or bias is NULL or has x's dtype and device. */
static bool norm_check_like(const char *me, const char *name, const ct_tensor *x,
                            const ct_tensor *t)
{
    return !t || (cti_same_dtype(me, "x", x, name, t) && cti_same_device(me, "x", x, name, t));
}

/* True if t is NULL or has one element for each channel of x. */
static bool norm_check_channels(const char *me, const char *name, const ct_tensor *x,
                                const ct_tensor *t)
{
    if (!norm_check_like(me, name, x, t))
        return false;
    if (!t || (t->shape.rank == 1 && t->shape.dim[0] == x->shape.dim[1]))
        return true;
    ct_raise(CT_ERR_SHAPE, me, "%s %s must have the %lld channels (axis 1) of x %s", name,
             cti_describe(t).s, (long long)x->shape.dim[1], cti_describe(x).s);
    return false;
}

static bool norm_check_x(const char *me, const ct_tensor *x, int least)
{
    if (!cti_usable(me, x) || !cti_want_float(me, "x", x))
        return false;
    if (x->shape.rank >= least)
        return true;
    ct_raise(CT_ERR_SHAPE, me, "x %s must have rank %d or more", cti_describe(x).s, least);
    return false;
}

/* ---- layer norm and RMS norm ---- */

/* True if t is NULL or has the sizes of the last axes of x. */
static bool norm_check_trailing(const char *me, const char *name, const ct_tensor *x,
                                const ct_tensor *t, int axes)
{
    int lead = x->shape.rank - axes, i;
    bool fits = t && t->shape.rank == axes && axes >= 1 && lead >= 0;

    if (!t)
        return true;
    if (!norm_check_like(me, name, x, t))
        return false;
    for (i = 0; fits && i < axes; i++)
        fits = t->shape.dim[i] == x->shape.dim[lead + i];
    if (fits)
        return true;
    ct_raise(CT_ERR_SHAPE, me, "%s %s must have the sizes of the last axes of x %s", name,
             cti_describe(t).s, cti_describe(x).s);
    return false;
}

static ct_tensor *norm_trailing(norm_rule *r, ct_tensor *x, ct_tensor *weight, ct_tensor *bias)
{
    ct_tensor *in[3] = { x, weight, bias }, *first = weight ? weight : bias, *y;
    ct_shape shape;
    int axes, i;

    if (!norm_check_x(r->me, x, 1) || !cti_optional(r->me, weight) || !cti_optional(r->me, bias))
        return NULL;
    axes = first ? first->shape.rank : 1;
    if (!norm_check_trailing(r->me, "weight", x, weight, axes) ||
        !norm_check_trailing(r->me, "bias", x, bias, axes) || !norm_check_eps(r->me, r->eps))
        return NULL;
    if (axes == 1)
        return norm_rows(r, in, NULL, NULL);
    shape = ct_shape_from_sizes(x->shape.rank - axes, x->shape.dim);
    shape.dim[shape.rank++] = first->numel;
    in[0] = ct_reshape(x, shape);
    for (i = 1; i < 3; i++)
        in[i] = in[i] ? ct_reshape(in[i], CT_SHAPE(first->numel)) : NULL;
    y = ct_ok() ? norm_rows(r, in, NULL, NULL) : NULL;
    return y ? ct_reshape(y, x->shape) : NULL;
}

ct_tensor *ct_layer_norm(ct_tensor *x, ct_tensor *weight, ct_tensor *bias, double eps)
{
    norm_rule r = { .me = "ct_layer_norm", .centred = true, .eps = eps };

    return norm_trailing(&r, x, weight, bias);
}

ct_tensor *ct_rms_norm(ct_tensor *x, ct_tensor *weight, double eps)
{
    norm_rule r = { .me = "ct_rms_norm", .eps = eps };

    return norm_trailing(&r, x, weight, NULL);
}

/* ---- group norm ---- */

/* Returns t (C) as (C, 1, ...), which broadcasts to (N, C, ...) of this rank; NULL for NULL. */
static ct_tensor *norm_by_channel(ct_tensor *t, int rank)
{
    ct_shape shape = ct_shape_from_sizes(0, NULL);
    int i;

    if (!t)
        return NULL;
    shape.rank = rank - 1;
    shape.dim[0] = t->numel;
    for (i = 1; i < shape.rank; i++)
        shape.dim[i] = 1;
    return ct_reshape(t, shape);
}

ct_tensor *ct_group_norm(ct_tensor *x, int64_t groups, ct_tensor *weight, ct_tensor *bias,
                         double eps)
{
    norm_rule r = { .me = "ct_group_norm", .centred = true, .eps = eps };
    ct_tensor *in[3] = { NULL, NULL, NULL }, *y;
    int64_t n;

    if (!norm_check_x(r.me, x, 2) || !cti_optional(r.me, weight) || !cti_optional(r.me, bias) ||
        !norm_check_channels(r.me, "weight", x, weight) ||
        !norm_check_channels(r.me, "bias", x, bias) || !norm_check_eps(r.me, eps))
        return NULL;
    if (groups < 1 || x->shape.dim[1] % groups) {
        ct_raise(CT_ERR_ARGUMENT, r.me, "groups is %lld; it must divide the %lld channels of x %s",
                 (long long)groups, (long long)x->shape.dim[1], cti_describe(x).s);
        return NULL;
    }
    n = x->shape.dim[0] ? x->numel / x->shape.dim[0] / groups : 0;
    in[0] = ct_reshape(x, CT_SHAPE(x->shape.dim[0], groups, n));
    y = in[0] ? norm_rows(&r, in, NULL, NULL) : NULL;
    y = y ? ct_reshape(y, x->shape) : NULL;
    return norm_affine(y, norm_by_channel(weight, x->shape.rank),
                       norm_by_channel(bias, x->shape.rank));
}

/* ---- batch norm ---- */

/* True if each tensor is alive, and none that is required is NULL. */
static bool batch_norm_check_usable(const char *me, const ct_batch_norm_options *o)
{
    if (!cti_optional_as(me, "options.weight", o->weight) ||
        !cti_optional_as(me, "options.bias", o->bias) ||
        !cti_optional_as(me, "options.running_mean", o->running_mean) ||
        !cti_optional_as(me, "options.running_var", o->running_var))
        return false;
    return (o->training && !o->running_mean && !o->running_var) ||
           (cti_usable_as(me, "options.running_mean", o->running_mean) &&
            cti_usable_as(me, "options.running_var", o->running_var));
}

static bool batch_norm_check(const char *me, const ct_tensor *x, const ct_batch_norm_options *o)
{
    if (!norm_check_x(me, x, 2) || !batch_norm_check_usable(me, o) ||
        !norm_check_channels(me, "options.weight", x, o->weight) ||
        !norm_check_channels(me, "options.bias", x, o->bias) ||
        !norm_check_channels(me, "options.running_mean", x, o->running_mean) ||
        !norm_check_channels(me, "options.running_var", x, o->running_var) ||
        !norm_check_eps(me, o->eps))
        return false;
    if (o->momentum >= 0 && o->momentum <= 1)
        return true;
    ct_raise(CT_ERR_ARGUMENT, me, "momentum is %g; it must be in [0, 1]", o->momentum);
    return false;
}

/* running = (1 - momentum) running + momentum batch, where batch (C, 1) is scaled first */
static void batch_norm_update(const ct_batch_norm_options *o, ct_tensor *running, ct_tensor *batch,
                              double scale)
{
    bool was = ct_set_grad_enabled(false);
    ct_tensor *new =
        batch ? ct_mul_scalar(ct_reshape(batch, running->shape), o->momentum * scale) : NULL;

    new = ct_add(ct_mul_scalar(running, 1 - o->momentum), new);
    if (new)
        cti_carry_into("ct_batch_norm", running, new);
    ct_set_grad_enabled(was);
}

/* Permutes (N, C, ...) to (C, N ...), so that channels become rows, normalises them, and permutes
 * back. */
static ct_tensor *batch_norm_by_batch(const char *me, ct_tensor *x, const ct_batch_norm_options *o)
{
    norm_rule r = { .me = me, .centred = true, .eps = o->eps };
    int64_t channels = x->shape.dim[1], n = channels ? x->numel / channels : 0;
    ct_tensor *in[3] = { NULL, NULL, NULL }, *mean = NULL, *variance = NULL, *t, *y;

    if (channels && n < 2) {
        ct_raise(CT_ERR_SHAPE, me, "x %s has %lld values in a channel; training needs two or more",
                 cti_describe(x).s, (long long)n);
        return NULL;
    }
    t = ct_contiguous(ct_transpose(x, 0, 1));
    in[0] = t ? ct_reshape(t, CT_SHAPE(channels, n)) : NULL;
    y = in[0] ? norm_rows(&r, in, &mean, &variance) : NULL;
    if (y && o->running_mean) {
        batch_norm_update(o, o->running_mean, mean, 1);
        batch_norm_update(o, o->running_var, variance, (double)n / (double)(n - 1));
    }
    return y && ct_ok() ? ct_transpose(ct_reshape(y, t->shape), 0, 1) : NULL;
}

ct_tensor *ct_batch_norm(ct_tensor *x, ct_batch_norm_options o)
{
    static const char *const me = "ct_batch_norm";
    ct_tensor *weight, *bias, *scale;
    int rank;

    o.momentum = cti_option(o.momentum, 0.1);
    o.eps = cti_option(o.eps, 1e-5);
    if (!batch_norm_check(me, x, &o))
        return NULL;
    rank = x->shape.rank;
    weight = norm_by_channel(o.weight, rank);
    bias = norm_by_channel(o.bias, rank);
    if (o.training)
        return norm_affine(batch_norm_by_batch(me, x, &o), weight, bias);
    scale = ct_rsqrt(ct_add_scalar(norm_by_channel(ct_detach(o.running_var), rank), o.eps));
    x = ct_sub(x, norm_by_channel(ct_detach(o.running_mean), rank));
    return norm_affine(ct_mul(x, scale), weight, bias);
}
