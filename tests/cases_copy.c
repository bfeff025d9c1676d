/* SPDX-License-Identifier: MIT */
/* cases_copy.c - rows for autograd/ops/copy.h. */
#include "tests/cases.h"

#include <cotangent.h>

static ct_tensor *call_cast(ct_tensor *const *in, const op_draw *d)
{
    (void)d;
    return ct_cast(in[0], CT_F64);
}

static ct_tensor *call_to(ct_tensor *const *in, const op_draw *d)
{
    (void)d;
    return ct_to(in[0], ct_tensor_device(in[0]));
}

const op_row copy_rows[] = {
    { "ct_contiguous", op_draw_any, .one = ct_contiguous },
    { "ct_clone", op_draw_any, .one = ct_clone },
    { "ct_cast", op_draw_any, .call = call_cast },
    { "ct_to", op_draw_any, .call = call_to },
    { 0 },
};
