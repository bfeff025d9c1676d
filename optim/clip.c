/* clip.c - gradient clipping: by norm, g = g max_norm / norm where norm > max_norm; by value,
 * g = min(max(g, -c), c). */
#include "optim/internal.h"

#include <cotangent/optim/clip.h>

#include <math.h>

/* Every gradient becomes op of itself. */
static void change_all(const ct_params *set, const cti_table *t, cti_ew_op op, double p, double q)
{
    const double param[2] = { p, q };
    int i;

    for (i = 0; i < t->count; i++) {
        ct_tensor *g = cti_table_grad(set, t, i);

        cti_elementwise(op, g, 1, (const ct_tensor *[]){ g }, param);
    }
}

/* A sum of squares that is finite shows that all elements are; one that is not may have overflowed.
 * Then the extremes tell (a NaN counts as both). */
static bool is_finite(const cti_backend *be, const ct_tensor *g, const cti_segment *segment)
{
    ct_scope s;
    ct_tensor *extreme;
    double most, least;

    if (isfinite(be->norm_squared(segment, 1)) || segment->n == 0)
        return true;
    s = cti_scope_push();
    extreme = cti_new("ct_clip_grad", CT_SCALAR, g->dtype, g->device);
    if (!extreme) {
        cti_scope_pop(s);
        return true; /* the error stands */
    }
    be->reduce(CTI_MAX, g->dtype, 1, g->numel, 1, cti_ptr(g), cti_ptr(extreme));
    most = ct_item(extreme);
    be->reduce(CTI_MIN, g->dtype, 1, g->numel, 1, cti_ptr(g), cti_ptr(extreme));
    least = ct_item(extreme);
    cti_scope_pop(s);
    return isfinite(most) && isfinite(least);
}

/* Raises for the first gradient that is not finite. */
static void check_finite(const char *function, const ct_params *set, const cti_backend *be,
                         const cti_table *t)
{
    int i;

    for (i = 0; i < t->count && ct_ok(); i++)
        if (!is_finite(be, cti_table_grad(set, t, i), &t->segment[i]))
            ct_raise(CT_ERR_NUMERIC, function, "the gradient of %s is not finite",
                     ct_param_name(ct_params_at(set, t->at[i])));
}

static bool may_clip(const char *function, const ct_params *set, const char *name, double bound)
{
    if (!cti_sink_allowed())
        return false;
    if (!set)
        ct_raise(CT_ERR_ARGUMENT, function, "the set is NULL");
    else if (!(bound > 0))
        ct_raise(CT_ERR_ARGUMENT, function, "%s %g is not above 0", name, bound);
    return ct_ok();
}

ct_status ct_clip_grad_norm(ct_params *set, double max_norm, double *norm)
{
    static const char *const me = "ct_clip_grad_norm";
    const cti_backend *be;
    cti_table t;
    double total;

    if (norm)
        *norm = NAN;
    if (!may_clip(me, set, "max_norm", max_norm) || !cti_table_make(me, set, &t))
        return ct_error();
    be = cti_backend_of(ct_params_device(set));
    total = sqrt(be->norm_squared(t.segment, t.count));
    if (!isfinite(total)) {
        check_finite(me, set, be, &t);
        ct_raise(CT_ERR_NUMERIC, me, "the gradients' norm overflows");
    } else {
        if (norm)
            *norm = total;
        if (total > max_norm)
            change_all(set, &t, CTI_EW_affine, max_norm / total, 0);
    }
    cti_table_free(&t);
    return ct_error();
}

ct_status ct_clip_grad_value(ct_params *set, double clip_value)
{
    static const char *const me = "ct_clip_grad_value";
    cti_table t;

    if (!may_clip(me, set, "clip_value", clip_value) || !cti_table_make(me, set, &t))
        return ct_error();
    check_finite(me, set, cti_backend_of(ct_params_device(set)), &t);
    if (ct_ok())
        change_all(set, &t, CTI_EW_clamp, -clip_value, clip_value);
    cti_table_free(&t);
    return ct_error();
}
