/* SPDX-License-Identifier: MIT */
/* cases_create.c - rows for autograd/ops/create.h. */
#include "tests/cases.h"

#include <cotangent.h>

static ct_tensor *call_full_like(ct_tensor *const *in, const op_draw *d)
{
    (void)d;
    return ct_full_like(in[0], 1.5);
}

static ct_tensor *call_zeros_like(ct_tensor *const *in, const op_draw *d)
{
    (void)d;
    return ct_zeros_like(in[0]);
}

static ct_tensor *call_ones_like(ct_tensor *const *in, const op_draw *d)
{
    (void)d;
    return ct_ones_like(in[0]);
}

#define OF_SHAPE .no_gradient = "its result depends on the shape alone"

const op_row create_rows[] = {
    { "ct_full_like", op_draw_any, .call = call_full_like, OF_SHAPE },
    { "ct_zeros_like", op_draw_any, .call = call_zeros_like, OF_SHAPE },
    { "ct_ones_like", op_draw_any, .call = call_ones_like, OF_SHAPE },
    { 0 },
};
