/* clip.c - gradient clipping, and the table of segments. */
#include "optim/segments.h"

#include "tensor/host.h"

#include <cotangent/optim/clip.h>

#include <math.h>

int cti_segments(const char *function, const ct_params *set, cti_segment **table, int **at)
{
    int count = ct_params_count(set), n = 0, i;
    char *memory = cti_calloc((size_t)count + 1, sizeof **table + sizeof **at);

    *table = (cti_segment *)(void *)memory;
    if (!memory) {
        cti_out_of_memory(function, (size_t)count * sizeof **table);
        return -1;
    }
    *at = (int *)(void *)(memory + ((size_t)count + 1) * sizeof **table);
    for (i = 0; i < count; i++) {
        ct_param *p = ct_params_at(set, i);
        ct_tensor *w, *g;

        if (!ct_param_is_trained(p) || !ct_param_is_settled(p))
            continue;
        w = ct_param_value(p);
        g = cti_leaf_grad(w);
        if (!g)
            continue;
        (*table)[n].value = cti_ptr(w);
        (*table)[n].grad = cti_ptr(g);
        (*table)[n].n = w->numel;
        (*table)[n].dtype = w->dtype;
        (*at)[n++] = i;
    }
    return n;
}

static void scale_all(const ct_params *set, double scale)
{
    const double param[2] = { scale, 0 };
    int i;

    for (i = 0; i < ct_params_count(set); i++) {
        ct_param *p = ct_params_at(set, i);
        ct_tensor *g =
            ct_param_is_trained(p) && ct_param_is_settled(p) ? cti_leaf_grad(ct_param_value(p)) : NULL;

        if (g)
            cti_elementwise(CTI_EW_affine, g, 1, (const ct_tensor *[]){ g }, param);
    }
}

static ct_status not_finite(const ct_params *set, const cti_backend *be, const cti_segment *table,
                            const int *at, int n)
{
    int i;

    for (i = 0; i < n; i++)
        if (!isfinite(be->norm_squared(&table[i], 1)))
            return ct_raise(CT_ERR_NUMERIC, "ct_clip_grad_norm",
                            "the gradient of %s is not finite",
                            ct_param_name(ct_params_at(set, at[i])));
    return ct_raise(CT_ERR_NUMERIC, "ct_clip_grad_norm", "the gradients' norm overflows");
}

ct_status ct_clip_grad_norm(ct_params *set, double max_norm, double *norm)
{
    const cti_backend *be;
    cti_segment *table;
    double total;
    int *at, n;

    if (norm)
        *norm = NAN;
    if (!cti_sink_allowed())
        return ct_error();
    if (!set || !(max_norm > 0))
        return ct_raise(CT_ERR_ARGUMENT, "ct_clip_grad_norm", "max_norm %g is not above 0",
                        max_norm);
    n = cti_segments("ct_clip_grad_norm", set, &table, &at);
    if (n < 0)
        return ct_error();
    be = cti_backend_of(ct_params_device(set));
    total = sqrt(be->norm_squared(table, n));
    if (norm)
        *norm = total;
    if (!isfinite(total))
        not_finite(set, be, table, at, n);
    else if (total > max_norm)
        scale_all(set, max_norm / total);
    cti_release(table);
    return ct_error();
}
