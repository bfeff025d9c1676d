/* scan.c - running sums along an axis.
 *
 *     cumsum:  y_i = x_0 + ... + x_i;  dx_i = d_i + ... + d_(n-1), the running sum from the end */
#include "autograd/ops/internal.h"

#include <cotangent/autograd/ops/scan.h>

typedef struct scan_attributes {
    int axis;
    bool reverse; /* from the end: the derivative */
} scan_attributes;

static ct_tensor *scan_cumsum(ct_tensor *x, scan_attributes r);

static void cumsum_grad(ct_node *n, ct_tensor *const *dout)
{
    scan_attributes r = *(const scan_attributes *)ct_node_attributes(n);

    r.reverse = !r.reverse;
    ct_node_add_grad(n, 0, scan_cumsum(dout[0], r));
}

static const ct_op cumsum_op = {
    .name = "ct_cumsum", .inputs = 1, .outputs = 1, .backward = cumsum_grad
};

static ct_tensor *scan_cumsum(ct_tensor *x, scan_attributes r)
{
    ct_tensor *y = cti_new("ct_cumsum", x->shape, x->dtype, x->device);
    ct_tensor *c = y ? cti_contiguous(x) : NULL;
    int64_t outer, inner;

    if (!c)
        return NULL;
    cti_split_axis(&x->shape, r.axis, &outer, &inner);
    cti_backend_of(x->device)->cumsum(&(cti_cumsum_args){ .dtype = x->dtype,
                                                          .reverse = r.reverse,
                                                          .outer = outer,
                                                          .n = x->shape.dim[r.axis],
                                                          .inner = inner,
                                                          .in = cti_data(c),
                                                          .out = cti_data(y) });
    return cti_record1_with(&cumsum_op, x, y, &r, sizeof r);
}

ct_tensor *ct_cumsum(ct_tensor *x, int axis)
{
    if (!cti_usable("ct_cumsum", x) || !cti_want_number("ct_cumsum", "x", x))
        return NULL;
    axis = cti_axis("ct_cumsum", x, axis);
    return axis < 0 ? NULL : scan_cumsum(x, (scan_attributes){ .axis = axis });
}
