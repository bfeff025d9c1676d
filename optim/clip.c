/* SPDX-License-Identifier: MIT */
/* clip.c - gradient clipping: by norm, g = g max_norm / norm where norm > max_norm; by value,
 * g = min(max(g, -c), c). */
#include "optim/internal.h"

#include <cotangent/optim/clip.h>

#include <math.h>

/* Clamps every gradient to [-bound, bound]. */
static void clip_clamp_all(const cti_param_table *t, double bound)
{
    const double param[2] = { -bound, bound };
    int i;

    for (i = 0; i < t->count; i++) {
        ct_tensor *g = cti_param_table_grad(t, i);

        cti_elementwise(CTI_EW_clamp, g, 1, (const ct_tensor *[]){ g }, param);
    }
}

/* Computes and reads a number: the reduction op over the elements of g, or the sum of their squares
 * if op is NULL. */
static double clip_measure(const ct_tensor *g, const cti_segment *segment, const cti_reduce_op *op)
{
    ct_scope s = cti_scope_push();
    ct_tensor *out = cti_new("ct_clip_grad", CT_SCALAR, op ? g->dtype : CT_F64, g->device);
    const cti_backend *be = cti_backend_of(g->device);
    double v = 0; /* the result if memory runs out; the error has been raised */

    if (out && op)
        be->reduce(&(cti_reduce_args){ .op = *op,
                                       .dtype = g->dtype,
                                       .outer = 1,
                                       .n = g->numel,
                                       .inner = 1,
                                       .in = cti_data(g),
                                       .out = cti_data(out) });
    else if (out)
        be->norm_squared(segment, 1, (double *)(void *)cti_data(out));
    if (out)
        v = ct_item(out);
    cti_scope_pop(s);
    return v;
}

/* A finite sum of squares shows that all elements are finite. A sum that is not finite may have
 * overflowed; then the largest and the smallest element decide (NaN counts as both). */
static bool clip_is_finite(const ct_tensor *g, const cti_segment *segment)
{
    const cti_reduce_op most = CTI_MAX, least = CTI_MIN;

    return segment->n == 0 || isfinite(clip_measure(g, segment, NULL)) ||
           (isfinite(clip_measure(g, segment, &most)) &&
            isfinite(clip_measure(g, segment, &least)));
}

/* Returns the first parameter whose gradient is not finite; NULL if there is none. */
static const ct_param *clip_first_not_finite(const cti_param_table *t)
{
    int i;

    for (i = 0; i < t->count && ct_ok(); i++)
        if (!clip_is_finite(cti_param_table_grad(t, i), &t->segment[i]))
            return cti_param_table_param(t, i);
    return NULL;
}

static void clip_check_finite(const char *function, const ct_param *bad)
{
    if (bad)
        ct_raise(CT_ERR_NUMERIC, function, "the gradient of %s is not finite", ct_param_name(bad));
}

static bool clip_may_clip(const char *function, const ct_params *set, const char *name,
                          double bound)
{
    if (!cti_sink_allowed())
        return false;
    if (!cti_given(function, "set", set))
        return false;
    if (!(bound > 0))
        ct_raise(CT_ERR_ARGUMENT, function, "%s is %g; it must be above 0", name, bound);
    return ct_ok();
}

/* Clips by norm on the device. If the norm is not finite, returns a parameter whose gradient is not
 * finite; an asynchronous device reports a fault later. Writes the norm to *norm unless norm is
 * NULL. */
static const ct_param *clip_norm(const char *me, const cti_param_table *t, double max_norm,
                                 ct_tensor *norm, cti_fault_kind kind, int64_t step)
{
    const ct_param *bad = NULL;
    ct_device device = ct_params_device(t->set);
    cti_fault fault = cti_fault_at(device, kind, me, step);
    cti_clip_norm_args a = { .segments = t->segment,
                             .count = t->count,
                             .max_norm = max_norm,
                             .norm = norm ? (double *)(void *)cti_data(norm) : NULL };

    if (ct_ok() && cti_backend_of(device)->clip_norm(&a, &fault) != CT_OK) {
        bad = clip_first_not_finite(t);
        if (!bad)
            ct_raise(CT_ERR_NUMERIC, me, "the norm of the gradients overflows");
    }
    return bad;
}

const ct_param *cti_clip_grad_norm(const char *function, const cti_param_table *t, double max_norm,
                                   ct_tensor *norm, int64_t step)
{
    return clip_norm(function, t, max_norm, norm, CTI_FAULT_NORM, step);
}

ct_status ct_clip_grad_norm(ct_params *set, double max_norm, double *norm)
{
    static const char *const me = "ct_clip_grad_norm";
    ct_scope s = cti_scope_push();
    ct_tensor *there = norm && set ? cti_new(me, CT_SCALAR, CT_F64, ct_params_device(set)) : NULL;
    cti_param_table t;

    if (clip_may_clip(me, set, "max_norm", max_norm) && cti_param_table_make(me, set, &t)) {
        clip_check_finite(me, cti_clip_grad_norm(me, &t, max_norm, there, 0));
        cti_param_table_free(&t);
    }
    if (norm)
        *norm = there && ct_ok() ? ct_item(there) : NAN;
    cti_scope_pop(s);
    return ct_error();
}

/* Makes an asynchronous device report a fault if an element is not finite. For this it computes the
 * norm of 0 times each gradient, which is 0 or NaN. The norm of the gradients themselves could
 * overflow. */
static void clip_fault_not_finite(const char *me, cti_param_table *t)
{
    const double nothing[2] = { 0, 0 };
    ct_scope s = cti_scope_push();
    int i;

    for (i = 0; i < t->count && ct_ok(); i++) {
        const ct_tensor *g = cti_param_table_grad(t, i);
        ct_tensor *zeros = cti_new(me, g->shape, g->dtype, g->device);

        if (!zeros)
            break; /* ct_ok is false now */
        cti_elementwise(CTI_EW_affine, zeros, 1, &g, nothing);
        t->segment[i].grad = cti_data(zeros);
    }
    if (ct_ok())
        clip_norm(me, t, INFINITY, NULL, CTI_FAULT_VALUE, 0);
    cti_scope_pop(s);
}

ct_status ct_clip_grad_value(ct_params *set, double clip_value)
{
    static const char *const me = "ct_clip_grad_value";
    cti_param_table t;

    if (!clip_may_clip(me, set, "clip_value", clip_value) || !cti_param_table_make(me, set, &t))
        return ct_error();
    if (cti_backend_of(ct_params_device(set))->async)
        clip_fault_not_finite(me, &t);
    else
        clip_check_finite(me, clip_first_not_finite(&t));
    if (ct_ok())
        clip_clamp_all(&t, clip_value);
    cti_param_table_free(&t);
    return ct_error();
}
