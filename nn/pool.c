/* SPDX-License-Identifier: MIT */
/* pool.c - the modules of pooling, and Flatten. */
#include "nn/internal.h"

#include <cotangent/autograd/ops/views.h>
#include <cotangent/nn/pool.h>

typedef struct pool {
    ct_pool_options options;
    int64_t height, width; /* only for adaptive pooling */
} pool;

static ct_tensor *pool_forward_max(void *self, ct_tensor *x)
{
    return ct_max_pool2d(x, ((const pool *)self)->options, NULL);
}

static ct_tensor *pool_forward_average(void *self, ct_tensor *x)
{
    return ct_avg_pool2d(x, ((const pool *)self)->options);
}

static ct_tensor *pool_forward_adaptive(void *self, ct_tensor *x)
{
    const pool *p = self;

    return ct_adaptive_avg_pool2d(x, p->height, p->width);
}

static ct_module *pool_make(ct_params *params, const pool *given,
                            ct_tensor *(*forward)(void *self, ct_tensor *x))
{
    pool *p = cti_module_data(params, sizeof *p);

    if (!p)
        return NULL;
    *p = *given;
    return ct_nn_module(params, p, forward);
}

ct_module *ct_nn_max_pool2d(ct_params *params, ct_pool_options options)
{
    static const char *const me = "ct_nn_max_pool2d";

    if (!cti_given(me, "params", params) || !cti_at_least(me, "kernel", options.kernel[0], 1))
        return NULL;
    return pool_make(params, &(pool){ .options = options }, pool_forward_max);
}

ct_module *ct_nn_avg_pool2d(ct_params *params, ct_pool_options options)
{
    static const char *const me = "ct_nn_avg_pool2d";

    if (!cti_given(me, "params", params) || !cti_at_least(me, "kernel", options.kernel[0], 1))
        return NULL;
    return pool_make(params, &(pool){ .options = options }, pool_forward_average);
}

ct_module *ct_nn_adaptive_avg_pool2d(ct_params *params, int64_t height, int64_t width)
{
    static const char *const me = "ct_nn_adaptive_avg_pool2d";

    if (!cti_given(me, "params", params) || !cti_at_least(me, "height", height, 1) ||
        !cti_at_least(me, "width", width, 1))
        return NULL;
    return pool_make(params, &(pool){ .height = height, .width = width }, pool_forward_adaptive);
}

static ct_tensor *flatten_forward(void *self, ct_tensor *x)
{
    (void)self;
    return ct_flatten(x, 1, -1);
}

ct_module *ct_nn_flatten(ct_params *params)
{
    return cti_given("ct_nn_flatten", "params", params)
               ? ct_nn_module(params, NULL, flatten_forward)
               : NULL;
}
