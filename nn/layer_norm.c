/* layer_norm.c - layer normalisation, composed from ops. */
#include "nn/internal.h"

#include "tensor/hooks.h"
#include "tensor/internal.h"

#include <cotangent/autograd/ops/elementwise.h>
#include <cotangent/autograd/ops/reduce.h>
#include <cotangent/nn/init.h>
#include <cotangent/nn/layer_norm.h>

typedef struct layer_norm {
    ct_param *weight, *bias; /* NULL for none */
    double eps;
} layer_norm;

ct_tensor *cti_layer_norm(ct_tensor *x, ct_tensor *weight, ct_tensor *bias, double eps)
{
    ct_tensor *centred = ct_sub(x, ct_mean_axis(x, -1, true));
    ct_tensor *variance = ct_mean_axis(ct_square(centred), -1, true);
    ct_tensor *y = ct_mul(centred, ct_rsqrt(ct_add_scalar(variance, eps)));

    y = weight ? ct_mul(y, weight) : y;
    return bias ? ct_add(y, bias) : y;
}

static ct_tensor *layer_norm_forward(void *self, ct_tensor *x)
{
    layer_norm *l = self;

    if (!cti_materialize_for(l->weight, CT_SHAPE(ct_size(x, -1)), x) ||
        !cti_materialize_for(l->bias, CT_SHAPE(ct_size(x, -1)), x))
        return NULL;
    return cti_layer_norm(x, cti_value(l->weight), cti_value(l->bias), l->eps);
}

ct_module *ct_nn_layer_norm(ct_params *params, const char *name, ct_nn_layer_norm_options o)
{
    static const char *const me = "ct_nn_layer_norm";
    ct_shape shape = CT_SHAPE(o.size ? o.size : -1);
    ct_params *mine;
    layer_norm *l;

    if (!cti_module_given(me, params, name) || !cti_at_least(me, "size", o.size, 0))
        return NULL;
    o.eps = cti_option(o.eps, 1e-5);
    if (!(o.eps >= 0)) {
        ct_raise(CT_ERR_ARGUMENT, me, "eps is %g; it must be at least 0", o.eps);
        return NULL;
    }
    mine = ct_params_sub(params, name);
    l = mine ? cti_module_data(params, sizeof *l) : NULL;
    if (!l)
        return NULL;
    l->eps = o.eps;
    if (!o.no_affine)
        l->weight = ct_params_add(mine, "weight", shape, ct_init_constant(1));
    if (!o.no_affine && !o.no_bias)
        l->bias = ct_params_add(mine, "bias", shape, ct_init_constant(0));
    return ct_ok() ? ct_nn_module(params, l, layer_norm_forward) : NULL;
}
