/* SPDX-License-Identifier: MIT */
/* dropout.c - the Dropout module. */
#include "nn/internal.h"

#include <cotangent/autograd/ops/random.h>
#include <cotangent/nn/dropout.h>

typedef struct dropout {
    ct_params *params;
    double p;
} dropout;

static ct_tensor *dropout_forward(void *self, ct_tensor *x)
{
    const dropout *d = self;

    if (d->p == 0 || !ct_params_is_training(d->params))
        return x;
    return ct_dropout(x, d->p, ct_params_generator(d->params));
}

ct_module *ct_nn_dropout(ct_params *params, double p)
{
    dropout *d;

    if (!cti_given("ct_nn_dropout", "params", params) ||
        !cti_is_probability("ct_nn_dropout", "p", p))
        return NULL;
    d = cti_module_data(params, sizeof *d);
    if (!d)
        return NULL;
    *d = (dropout){ params, p };
    return ct_nn_module(params, d, dropout_forward);
}
