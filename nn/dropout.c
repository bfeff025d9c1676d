/* dropout.c - dropout. */
#include "nn/internal.h"

#include "tensor/internal.h"

#include <cotangent/autograd/ops/copy.h>
#include <cotangent/autograd/ops/elementwise.h>
#include <cotangent/nn/dropout.h>

typedef struct dropout {
    ct_params *params;
    double p;
} dropout;

ct_tensor *cti_dropout_mask(ct_shape shape, ct_dtype dtype, ct_device device, double p,
                            ct_generator *g)
{
    ct_tensor *u = ct_rand(shape, dtype, device, g);
    ct_tensor *kept = u ? ct_ge(u, ct_full(CT_SCALAR, p, dtype, device)) : NULL;

    return kept ? ct_mul_scalar(ct_cast(kept, dtype), 1 / (1 - p)) : NULL;
}

static ct_tensor *forward(void *self, ct_tensor *x)
{
    const dropout *d = self;

    if (d->p == 0 || !ct_params_is_training(d->params))
        return x;
    return ct_mul(x, cti_dropout_mask(ct_tensor_shape(x), ct_tensor_dtype(x), ct_tensor_device(x),
                                      d->p, ct_params_generator(d->params)));
}

ct_module *ct_nn_dropout(ct_params *params, double p)
{
    dropout *d;

    if (!params)
        return NULL;
    if (!(p >= 0 && p < 1)) {
        ct_raise(CT_ERR_ARGUMENT, "ct_nn_dropout", "p is %g, not in [0, 1)", p);
        return NULL;
    }
    d = cti_module_data(params, sizeof *d);
    if (!d)
        return NULL;
    *d = (dropout){ params, p };
    return ct_nn_module(params, d, forward);
}
