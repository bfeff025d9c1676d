/* SPDX-License-Identifier: MIT */
/* search.c - elements that are chosen by their values. The positions are found on the host; ops on
 * these positions then supply values and derivatives:
 *     masked_select:  y = x taken at the positions;  dx = d added at the positions
 *     bincount:       y = weights added at x;        dweights = d at x */
#include "autograd/ops/internal.h"

#include <cotangent/autograd/autograd.h>
#include <cotangent/autograd/ops/copy.h>
#include <cotangent/autograd/ops/create.h>
#include <cotangent/autograd/ops/index.h>
#include <cotangent/autograd/ops/search.h>
#include <cotangent/autograd/ops/sort.h>
#include <cotangent/autograd/ops/views.h>

/* Returns t as a contiguous tensor on the CPU, without history. */
static const ct_tensor *search_on_host(const char *me, const ct_tensor *t)
{
    ct_tensor *host;

    if (t->device == CT_CPU)
        return cti_contiguous(t);
    host = cti_new(me, t->shape, t->dtype, CT_CPU);
    return host && cti_copy_across(me, host, t) ? host : NULL;
}

/* Makes a tensor on a device from i64 numbers in host memory. */
static ct_tensor *search_positions(const int64_t *at, ct_shape shape, ct_device device)
{
    static const int64_t none = 0;

    return ct_from_data(at ? at : &none, shape, CT_I64, device);
}

/* Allocates `count` numbers that the innermost scope frees; NULL with an error. */
static int64_t *search_list(const char *me, int64_t count)
{
    ct_tensor *t = cti_new(me, CT_SHAPE(count), CT_I64, CT_CPU);

    return t ? (int64_t *)(void *)cti_data(t) : NULL;
}

/* True if element i of t, contiguous and on the CPU, is not 0. */
static bool search_is_set(const ct_tensor *t, int64_t i)
{
    const void *data = cti_data(t);

    switch (t->dtype) {
    case CT_F32:
        return ((const float *)data)[i] != 0;
    case CT_F64:
        return ((const double *)data)[i] != 0;
    case CT_I32:
        return ((const int32_t *)data)[i] != 0;
    case CT_I64:
        return ((const int64_t *)data)[i] != 0;
    case CT_BOOL:
        return ((const uint8_t *)data)[i] != 0;
    case CT_BF16:
        break;
    }
    return false;
}

/* Returns the flat positions of the elements of host that are not 0, and sets *count to their
 * number. NULL with an error. */
static int64_t *search_set(const char *me, const ct_tensor *host, int64_t *count)
{
    int64_t i, k = 0, *at;

    for (i = 0; i < host->numel; i++)
        k += search_is_set(host, i);
    *count = k;
    at = search_list(me, k);
    for (i = k = 0; at && i < host->numel; i++)
        if (search_is_set(host, i))
            at[k++] = i;
    return at;
}

ct_tensor *ct_masked_select(ct_tensor *x, ct_tensor *mask)
{
    static const char *const me = "ct_masked_select";
    const ct_tensor *host;
    ct_tensor *all;
    int64_t count, *at;
    ct_shape shape;
    int axis;

    if (!cti_usable(me, x) || !cti_usable(me, mask) ||
        !cti_elementwise_takes(me, "mask", mask, BOOLS) ||
        !cti_same_device(me, "x", x, "mask", mask))
        return NULL;
    axis = cti_broadcast_shapes(&x->shape, &mask->shape, &shape);
    if (axis >= 0) {
        cti_no_broadcast(me, "x", x, "mask", mask, axis);
        return NULL;
    }
    all = ct_expand(mask, shape);
    host = all ? search_on_host(me, all) : NULL;
    at = host ? search_set(me, host, &count) : NULL;
    return at ? ct_take(ct_expand(x, shape), search_positions(at, CT_SHAPE(count), x->device))
              : NULL;
}

ct_tensor *ct_nonzero(ct_tensor *x)
{
    static const char *const me = "ct_nonzero";
    int64_t count, i, *at, *out;
    const ct_tensor *host;
    ct_tensor *y;
    int k;

    if (!cti_usable(me, x))
        return NULL;
    if (cti_is_storage(x->dtype)) {
        ct_raise(CT_ERR_DTYPE, me, "x %s must be f32, f64, i32, i64 or bool", cti_describe(x).s);
        return NULL;
    }
    host = search_on_host(me, x);
    at = host ? search_set(me, host, &count) : NULL;
    out = at ? search_list(me, count * x->shape.rank) : NULL;
    if (!out)
        return NULL;
    for (i = 0; i < count; i++)
        for (k = x->shape.rank - 1; k >= 0; k--) {
            out[i * x->shape.rank + k] = at[i] % x->shape.dim[k];
            at[i] /= x->shape.dim[k];
        }
    y = search_positions(out, CT_SHAPE(count, x->shape.rank), x->device);
    if (y)
        cti_not_recorded(me, 1, &x, y);
    return y;
}

/* ---- unique ---- */

/* True if elements i and j of t, contiguous and on the CPU, are equal. */
static bool unique_equal(const ct_tensor *t, int64_t i, int64_t j)
{
    const void *data = cti_data(t);

    switch (t->dtype) {
    case CT_F32:
        return ((const float *)data)[i] == ((const float *)data)[j];
    case CT_F64:
        return ((const double *)data)[i] == ((const double *)data)[j];
    case CT_I32:
        return ((const int32_t *)data)[i] == ((const int32_t *)data)[j];
    case CT_I64:
        return ((const int64_t *)data)[i] == ((const int64_t *)data)[j];
    case CT_BOOL:
    case CT_BF16:
        break;
    }
    return false;
}

/* The results that the host finds in the sorted elements. */
typedef struct unique_lists {
    int64_t count;
    int64_t *first;   /* for each different element, the position of its first occurrence */
    int64_t *inverse; /* for each element, the number of the different element that equals it */
    int64_t *counts;
} unique_lists;

static bool unique_find(const char *me, const ct_tensor *flat, const int64_t *order,
                        unique_lists *u)
{
    int64_t i, k = -1, n = flat->numel;

    u->first = search_list(me, n);
    u->inverse = search_list(me, n);
    u->counts = search_list(me, n);
    if (!u->first || !u->inverse || !u->counts)
        return false;
    for (i = 0; i < n; i++) {
        if (i == 0 || !unique_equal(flat, order[i - 1], order[i])) {
            u->first[++k] = order[i];
            u->counts[k] = 0;
        }
        u->inverse[order[i]] = k;
        u->counts[k]++;
    }
    u->count = k + 1;
    return true;
}

/* ct_unique for all dtypes but bool. The lists become tensors on x's device. */
static ct_tensor *unique_of(const char *me, ct_tensor *x, ct_tensor **inverse, ct_tensor **counts)
{
    ct_tensor *flat = ct_reshape(ct_detach(x), CT_SHAPE(x->numel)), *order, *y;
    const ct_tensor *values, *sorted;
    unique_lists u;

    order = flat ? ct_argsort(flat, 0, false) : NULL;
    values = order ? search_on_host(me, flat) : NULL;
    sorted = values ? search_on_host(me, order) : NULL;
    if (!sorted || !unique_find(me, values, (const int64_t *)(const void *)cti_data(sorted), &u))
        return NULL;
    y = ct_take(flat, search_positions(u.first, CT_SHAPE(u.count), x->device));
    if (y && inverse)
        *inverse = search_positions(u.inverse, x->shape, x->device);
    if (y && counts)
        *counts = search_positions(u.counts, CT_SHAPE(u.count), x->device);
    if (!y || (inverse && !*inverse) || (counts && !*counts))
        return NULL;
    cti_not_recorded(me, 1, &x, y);
    return y;
}

ct_tensor *ct_unique(ct_tensor *x, ct_tensor **inverse, ct_tensor **counts)
{
    static const char *const me = "ct_unique";
    ct_tensor *y;

    if (inverse)
        *inverse = NULL;
    if (counts)
        *counts = NULL;
    if (!cti_usable(me, x))
        return NULL;
    if (x->dtype == CT_BOOL) {
        y = ct_cast(x, CT_I32);
        y = y ? ct_cast(unique_of(me, y, inverse, counts), CT_BOOL) : NULL;
    } else {
        y = cti_want_number(me, "x", x) ? unique_of(me, x, inverse, counts) : NULL;
    }
    if (!y && inverse)
        *inverse = NULL;
    if (!y && counts)
        *counts = NULL;
    return y;
}

/* ---- bincount ---- */

/* Returns the size of the result; -1 with an error. */
static int64_t bincount_size(const char *me, const ct_tensor *x, int64_t minlength)
{
    const ct_tensor *host = search_on_host(me, x);
    int64_t i, size = minlength;

    for (i = 0; host && i < host->numel; i++) {
        int64_t v = host->dtype == CT_I64 ? ((const int64_t *)(const void *)cti_data(host))[i]
                                          : ((const int32_t *)(const void *)cti_data(host))[i];

        if (v < 0 || v == INT64_MAX) {
            ct_raise(CT_ERR_INDEX, me, "element %lld of x %s is %lld; it must be at least 0%s",
                     (long long)i, cti_describe(x).s, (long long)v, v < 0 ? "" : " and smaller");
            return -1;
        }
        size = v >= size ? v + 1 : size;
    }
    return host ? size : -1;
}

ct_tensor *ct_bincount(ct_tensor *x, ct_tensor *weights, int64_t minlength)
{
    static const char *const me = "ct_bincount";
    ct_dtype dtype = CT_I64;
    int64_t size;

    if (!cti_usable(me, x) || !cti_optional_as(me, "weights", weights) ||
        !cti_want_index(me, "x", x) ||
        (weights && (!cti_want_float(me, "weights", weights) ||
                     !cti_same_device(me, "x", x, "weights", weights))))
        return NULL;
    if (x->shape.rank != 1 || (weights && !cti_same_shape(&x->shape, &weights->shape))) {
        ct_raise(CT_ERR_SHAPE, me, "x %s%s%s must have rank 1%s", cti_describe(x).s,
                 weights ? " and weights " : "", weights ? cti_describe(weights).s : "",
                 weights ? " and the same size" : "");
        return NULL;
    }
    if (minlength < 0) {
        ct_raise(CT_ERR_ARGUMENT, me, "minlength is %lld; it must be at least 0",
                 (long long)minlength);
        return NULL;
    }
    size = bincount_size(me, x, minlength);
    if (size < 0)
        return NULL;
    if (weights)
        dtype = weights->dtype;
    else
        weights = ct_ones(x->shape, CT_I64, x->device);
    return weights ? ct_scatter_add(ct_zeros(CT_SHAPE(size), dtype, x->device), 0, x, weights)
                   : NULL;
}

/* ---- searchsorted ---- */

/* True if sorted has rank 1, or values' shape except for the last size. */
static bool searchsorted_fits(const ct_tensor *sorted, const ct_tensor *values)
{
    ct_shape rows = sorted->shape;

    if (rows.rank == 1)
        return true;
    if (rows.rank == 0 || rows.rank != values->shape.rank)
        return false;
    rows.dim[rows.rank - 1] = values->shape.dim[rows.rank - 1];
    return cti_same_shape(&rows, &values->shape);
}

ct_tensor *ct_searchsorted(ct_tensor *sorted, ct_tensor *values, bool right)
{
    static const char *const me = "ct_searchsorted";
    ct_tensor *in[2] = { sorted, values }, *y, *s, *v;
    int64_t n, m;

    if (!cti_usable(me, sorted) || !cti_usable(me, values) ||
        !cti_want_number(me, "sorted", sorted) ||
        !cti_same_dtype(me, "sorted", sorted, "values", values) ||
        !cti_same_device(me, "sorted", sorted, "values", values))
        return NULL;
    if (!searchsorted_fits(sorted, values)) {
        ct_raise(CT_ERR_SHAPE, me,
                 "sorted %s must have rank 1, or the shape of values %s except for the last size",
                 cti_describe(sorted).s, cti_describe(values).s);
        return NULL;
    }
    y = cti_new(me, values->shape, CT_I64, values->device);
    s = y ? cti_contiguous(sorted) : NULL;
    v = s ? cti_contiguous(values) : NULL;
    if (!v)
        return NULL;
    n = s->shape.dim[s->shape.rank - 1];
    m = s->shape.rank == 1 ? v->numel : v->shape.dim[v->shape.rank - 1];
    if (v->numel)
        cti_backend_of(y->device)->searchsorted(
            &(cti_searchsorted_args){ .dtype = s->dtype,
                                      .right = right,
                                      .rows = v->numel / m,
                                      .n = n,
                                      .m = m,
                                      .sorted = cti_data(s),
                                      .values = cti_data(v),
                                      .out = (int64_t *)(void *)cti_data(y) });
    cti_not_recorded(me, 2, in, y);
    return y;
}
