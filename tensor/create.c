/* SPDX-License-Identifier: MIT */
/* create.c - tensors of the innermost scope with given values. */
#include "tensor/internal.h"

#include <math.h>

ct_tensor *ct_empty(ct_shape shape, ct_dtype dtype, ct_device device)
{
    return cti_new("ct_empty", shape, dtype, device);
}

ct_tensor *cti_filled(const char *function, ct_shape shape, double value, ct_dtype dtype,
                      ct_device device)
{
    ct_tensor *t = cti_new(function, shape, dtype, device);

    if (t)
        cti_backend_of(device)->fill(cti_data(t), dtype, t->numel, value);
    return t;
}

ct_tensor *ct_zeros(ct_shape shape, ct_dtype dtype, ct_device device)
{
    return cti_filled("ct_zeros", shape, 0, dtype, device);
}

ct_tensor *ct_ones(ct_shape shape, ct_dtype dtype, ct_device device)
{
    return cti_filled("ct_ones", shape, 1, dtype, device);
}

ct_tensor *ct_full(ct_shape shape, double value, ct_dtype dtype, ct_device device)
{
    return cti_filled("ct_full", shape, value, dtype, device);
}

ct_tensor *ct_scalar(double value, ct_dtype dtype)
{
    return cti_filled("ct_scalar", CT_SCALAR, value, dtype, CT_CPU);
}

ct_tensor *ct_from_data(const void *data, ct_shape shape, ct_dtype dtype, ct_device device)
{
    ct_tensor *t = cti_new("ct_from_data", shape, dtype, device);

    if (!t)
        return NULL;
    if (!cti_given_array("ct_from_data", "data", t->numel, data))
        return NULL;
    if (!cti_capture_allows(device, "ct_from_data", "take data from the host"))
        return NULL;
    if (t->numel)
        cti_backend_of(device)->upload(cti_data(t), data, (size_t)t->numel * ct_dtype_size(dtype));
    return t;
}

/* n values start + i step. Checks n, which ct_arange and ct_linspace compute in floating point. */
static ct_tensor *ramp(const char *function, double n, double start, double step, ct_dtype dtype,
                       ct_device device)
{
    ct_tensor *t;

    if (!(n < 9e18) || !isfinite(start) || !isfinite(step)) {
        ct_raise(CT_ERR_ARGUMENT, function,
                 "n is %g, start is %g and step is %g; all must be finite and n below 9e18", n,
                 start, step);
        return NULL;
    }
    if (dtype == CT_BOOL || cti_is_storage(dtype)) {
        ct_raise(CT_ERR_DTYPE, function, "dtype is %s; it must be f32, f64, i32 or i64",
                 ct_dtype_name(dtype));
        return NULL;
    }
    t = cti_new(function, CT_SHAPE((int64_t)n), dtype, device);
    if (t)
        cti_backend_of(device)->arange(&(cti_arange_args){
            .out = cti_data(t), .dtype = dtype, .n = t->numel, .start = start, .step = step });
    return t;
}

ct_tensor *ct_arange(double start, double end, double step, ct_dtype dtype, ct_device device)
{
    double n = ceil((end - start) / step);

    if (step == 0) {
        ct_raise(CT_ERR_ARGUMENT, "ct_arange", "step is 0; it must not be 0");
        return NULL;
    }
    return ramp("ct_arange", n < 0 ? 0 : n, start, step, dtype, device);
}

ct_tensor *ct_linspace(double start, double end, int64_t n, ct_dtype dtype, ct_device device)
{
    double step = n > 1 ? (end - start) / (double)(n - 1) : 0;
    ct_tensor *t;

    if (n < 0) {
        ct_raise(CT_ERR_SHAPE, "ct_linspace", "n is %lld; it must be at least 0", (long long)n);
        return NULL;
    }
    t = ramp("ct_linspace", (double)n, start, step, dtype, device);
    if (t && n > 1) /* start + (n - 1) step may differ from end by rounding */
        cti_backend_of(device)->fill(cti_data(t) + (n - 1) * (int64_t)ct_dtype_size(dtype), dtype,
                                     1, end);
    return t;
}

ct_tensor *ct_eye(int64_t n, ct_dtype dtype, ct_device device)
{
    ct_tensor *t = cti_filled("ct_eye", CT_SHAPE(n, n), 0, dtype, device);
    ct_scope s;
    ct_tensor *diagonal, *ones;
    int64_t step;

    if (!t)
        return NULL;
    step = n + 1;
    s = cti_scope_push();
    diagonal = cti_view("ct_eye", t, CT_SHAPE(n), &step, 0);
    ones = cti_filled("ct_eye", CT_SHAPE(n), 1, dtype, device);
    if (diagonal && ones)
        cti_copy(diagonal, ones);
    cti_scope_pop(s);
    return diagonal && ones ? t : NULL;
}
