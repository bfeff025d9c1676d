/* SPDX-License-Identifier: MIT */
/* positions.c - positional encodings. */
#include "nn/internal.h"

#include "autograd/internal.h"

#include <cotangent/autograd/ops/copy.h>
#include <cotangent/autograd/ops/elementwise.h>
#include <cotangent/autograd/ops/join.h>
#include <cotangent/autograd/ops/matmul.h>
#include <cotangent/autograd/ops/random.h>
#include <cotangent/autograd/ops/views.h>
#include <cotangent/nn/init.h>
#include <cotangent/nn/positions.h>

/* ---- functions ---- */

/* (length, half): p base^(-i / half), in f64 */
static ct_tensor *positions_angles(int64_t first, int64_t length, int64_t half, double base,
                                   ct_device device)
{
    ct_tensor *p = ct_arange((double)first, (double)(first + length), 1, CT_F64, device);
    ct_tensor *i = ct_arange(0, (double)half, 1, CT_F64, device);

    if (!half)
        return ct_zeros(CT_SHAPE(length, 0), CT_F64, device);
    return ct_outer(p, ct_rpow_scalar(ct_mul_scalar(i, -1 / (double)half), base));
}

ct_tensor *ct_sinusoidal_encoding(int64_t first, int64_t length, int64_t size, ct_dtype dtype,
                                  ct_device device)
{
    static const char *const me = "ct_sinusoidal_encoding";
    ct_tensor *a, *y;

    if (!cti_at_least(me, "first", first, 0) || !cti_at_least(me, "length", length, 0) ||
        !cti_at_least(me, "size", size, 0))
        return NULL;
    if (size % 2 || !cti_is_float(dtype)) {
        ct_raise(size % 2 ? CT_ERR_ARGUMENT : CT_ERR_DTYPE, me,
                 "size is %lld and dtype is %s; size must be even, and dtype f32 or f64",
                 (long long)size, ct_dtype_name(dtype));
        return NULL;
    }
    a = positions_angles(first, length, size / 2, 10000, device);
    y = ct_reshape(CT_STACK(-1, ct_sin(a), ct_cos(a)), CT_SHAPE(length, size));
    return ct_cast(y, dtype);
}

ct_tensor *ct_rotary_embedding(ct_tensor *x, int64_t first, double base)
{
    static const char *const me = "ct_rotary_embedding";
    ct_tensor *a, *sin, *cos, *low, *high;
    int64_t half;

    if (!cti_usable(me, x) || !cti_want_float(me, "x", x) || !cti_at_least(me, "first", first, 0))
        return NULL;
    if (ct_rank(x) < 2 || ct_size(x, -1) % 2) {
        ct_raise(CT_ERR_SHAPE, me, "x %s must be (..., L, D) with an even D", cti_describe(x).s);
        return NULL;
    }
    if (!(base > 0)) {
        ct_raise(CT_ERR_ARGUMENT, me, "base is %g; it must be above 0", base);
        return NULL;
    }
    half = ct_size(x, -1) / 2;
    a = positions_angles(first, ct_size(x, -2), half, base, x->device);
    sin = ct_cast(ct_sin(a), x->dtype);
    cos = ct_cast(ct_cos(a), x->dtype);
    low = ct_narrow(x, -1, 0, half);
    high = ct_narrow(x, -1, half, half);
    return CT_CAT(-1, ct_sub(ct_mul(low, cos), ct_mul(high, sin)),
                  ct_add(ct_mul(high, cos), ct_mul(low, sin)));
}

/* ---- modules ---- */

typedef struct positions {
    ct_params *params;
    ct_param *weight; /* NULL for sinusoids */
    double dropout;
} positions;

static ct_tensor *positions_forward(void *self, ct_tensor *x)
{
    const positions *m = self;
    int64_t length;
    ct_tensor *y;

    if (ct_rank(x) < 2) {
        ct_raise(CT_ERR_SHAPE, "ct_forward", "x %s must be (..., L, size)", cti_describe(x).s);
        return NULL;
    }
    length = ct_size(x, -2);
    if (m->weight && length > ct_param_shape(m->weight).dim[0]) {
        ct_raise(CT_ERR_SHAPE, "ct_forward", "x %s is longer than the %lld positions of %s",
                 cti_describe(x).s, (long long)ct_param_shape(m->weight).dim[0],
                 ct_param_name(m->weight));
        return NULL;
    }
    y = m->weight ? ct_narrow(ct_param_value(m->weight), 0, 0, length)
                  : ct_sinusoidal_encoding(0, length, ct_size(x, -1), x->dtype, x->device);
    y = ct_add(x, y);
    return m->dropout > 0 && ct_params_is_training(m->params)
               ? ct_dropout(y, m->dropout, ct_params_generator(m->params))
               : y;
}

static ct_module *positions_new(ct_params *params, ct_param *weight, double dropout)
{
    positions *m = cti_module_data(params, sizeof *m);

    if (!m)
        return NULL;
    *m = (positions){ params, weight, dropout };
    return ct_nn_module(params, m, positions_forward);
}

ct_module *ct_nn_sinusoidal_encoding(ct_params *params, double dropout)
{
    static const char *const me = "ct_nn_sinusoidal_encoding";

    return cti_given(me, "params", params) && cti_is_probability(me, "dropout", dropout)
               ? positions_new(params, NULL, dropout)
               : NULL;
}

ct_module *ct_nn_learned_encoding(ct_params *params, const char *name,
                                  ct_nn_learned_encoding_options o)
{
    static const char *const me = "ct_nn_learned_encoding";
    ct_params *mine;
    ct_param *weight;

    if (!cti_module_given(me, params, name) || !cti_at_least(me, "max_length", o.max_length, 1) ||
        !cti_at_least(me, "size", o.size, 1) || !cti_is_probability(me, "dropout", o.dropout))
        return NULL;
    mine = ct_params_sub(params, name);
    weight =
        mine ? ct_params_add(mine, "weight", CT_SHAPE(o.max_length, o.size), ct_init_normal(0, 1))
             : NULL;
    return weight ? positions_new(params, weight, o.dropout) : NULL;
}
