/* SPDX-License-Identifier: MIT */
/* tensor_loader.c - loaders of numbers: windows of a time series, and rows of two tensors. */
#include "tensor/internal.h"

#include <cotangent/data/tensor_loader.h>

#include "data/internal.h"
#include "tensor/hooks.h"

/* Copies the elements of t to host memory, row-major; NULL with an error. */
static void *tensor_loader_copy(const char *function, const ct_tensor *t)
{
    size_t bytes = (size_t)ct_numel(t) * ct_dtype_size(ct_tensor_dtype(t));
    void *copy = cti_calloc(1, bytes ? bytes : 1);

    if (!copy)
        ct_raise(CT_ERR_MEMORY, function, "out of memory (a copy of %s)", cti_describe(t).s);
    if (copy && ct_to_host(t, copy, bytes) == CT_OK)
        return copy;
    cti_release(copy);
    return NULL;
}

/* Sets the rows of draft to first .. first + count - 1, at most to the end. False with an error. */
static bool tensor_loader_part(ct_loader *draft, int64_t first, int64_t count, int64_t there)
{
    if (!cti_at_least(draft->function, "batch_size", draft->batch, 1) ||
        !cti_at_least(draft->function, "first", first, 0) ||
        !cti_at_least(draft->function, "count", count, 0))
        return false;
    if (first >= there) {
        ct_raise(CT_ERR_SHAPE, draft->function,
                 "first is %lld; it must be below %lld, the number of samples", (long long)first,
                 (long long)there);
        return false;
    }
    draft->first = first;
    draft->rows = count && count < there - first ? count : there - first;
    return true;
}

/* Makes a loader over the samples of spans, which it takes over. */
static ct_loader *tensor_loader_make(ct_loader *draft, cti_spans *spans, const ct_field *fields,
                                     uint64_t seed, const char *stream)
{
    for (int k = 0; k < 2; k++)
        spans->span[k].from += (size_t)draft->first * spans->span[k].unit;
    spans->count = 2;
    spans->samples = draft->rows;
    draft->cut = CTI_ROWS;
    draft->counted = -1;
    draft->stream = ct_generator_stream(ct_generator_from_seed(seed), stream);
    draft->data = cti_spans_new(draft->function, spans, fields);
    return draft->data ? cti_loader_new(draft, draft->shuffle ? draft->rows : 0) : NULL;
}

/* ---- windows ---- */

/* A row of the field: length consecutive values of the series. Sample i begins at value start + i. */
static cti_span tensor_loader_span(const ct_tensor *series, const char *values, int64_t start,
                                   int64_t length, ct_field *f)
{
    size_t unit = ct_dtype_size(ct_tensor_dtype(series));

    f->dtype = ct_tensor_dtype(series);
    f->shape = (ct_shape){ .rank = 1, .dim = { length } };
    if (ct_rank(series) == 2) {
        f->shape = (ct_shape){ .rank = 2, .dim = { length, ct_size(series, 1) } };
        unit *= (size_t)ct_size(series, 1);
    }
    return (cti_span){ values + (size_t)start * unit, unit, (size_t)length * unit };
}

ct_loader *ct_loader_series_new(const ct_tensor *series, ct_loader_series_options o)
{
    ct_loader draft = { .function = "ct_loader_series_new",
                        .kind = "series",
                        .batch = o.batch_size,
                        .steps = o.steps,
                        .shuffle = o.shuffle,
                        .device = o.device };
    ct_dataset_windows_options w = { .steps = o.steps, .targets = o.targets, .ahead = o.ahead };
    ct_field fields[2] = { { .name = "x" }, { .name = "y" } };
    cti_spans spans = { .count = 2 };
    int64_t n;
    char *values;

    if (!cti_usable(draft.function, series))
        return NULL;
    n = ct_size(series, 0);
    if (ct_rank(series) != 1 && ct_rank(series) != 2) {
        ct_raise(CT_ERR_SHAPE, draft.function, "series %s must be (n) or (n, channels)",
                 cti_describe(series).s);
        return NULL;
    }
    if (!cti_windows_check(draft.function, &w, n))
        return NULL;
    if (!tensor_loader_part(&draft, o.first, o.count, n - w.steps - w.ahead + 1))
        return NULL;
    spans.owned[0] = values = tensor_loader_copy(draft.function, series);
    if (!values)
        return NULL;
    draft.row_tokens = w.targets;
    spans.span[0] = tensor_loader_span(series, values, 0, w.steps, &fields[0]);
    spans.span[1] =
        tensor_loader_span(series, values, w.steps + w.ahead - w.targets, w.targets, &fields[1]);
    return tensor_loader_make(&draft, &spans, fields, o.seed, "loader.series");
}

/* ---- rows ---- */

/* Sample i is row i of t. */
static cti_span tensor_loader_rows(const ct_tensor *t, const char *values, ct_field *f)
{
    ct_shape shape = ct_tensor_shape(t);
    size_t unit = (size_t)(ct_numel(t) / ct_size(t, 0)) * ct_dtype_size(ct_tensor_dtype(t));

    f->dtype = ct_tensor_dtype(t);
    f->shape = ct_shape_from_sizes(shape.rank - 1, shape.dim + 1);
    return (cti_span){ values, unit, unit };
}

ct_loader *ct_loader_tensors_new(const ct_tensor *x, const ct_tensor *y,
                                 ct_loader_tensors_options o)
{
    ct_loader draft = { .function = "ct_loader_tensors_new",
                        .kind = "tensors",
                        .batch = o.batch_size,
                        .steps = 1,
                        .row_tokens = 1,
                        .shuffle = o.shuffle,
                        .device = o.device };
    ct_field fields[2] = { { .name = "x" }, { .name = "y" } };
    cti_spans spans = { .count = 2 };

    if (!cti_usable(draft.function, x) || !cti_usable(draft.function, y))
        return NULL;
    if (ct_rank(x) < 1 || ct_rank(y) < 1 || ct_size(x, 0) != ct_size(y, 0)) {
        ct_raise(CT_ERR_SHAPE, draft.function, "x %s and y %s must be (N, ...) with the same N",
                 cti_describe(x).s, cti_describe(y).s);
        return NULL;
    }
    if (!tensor_loader_part(&draft, o.first, o.count, ct_size(x, 0)))
        return NULL;
    spans.owned[0] = tensor_loader_copy(draft.function, x);
    spans.owned[1] = spans.owned[0] ? tensor_loader_copy(draft.function, y) : NULL;
    if (!spans.owned[1]) {
        cti_release(spans.owned[0]);
        return NULL;
    }
    spans.span[0] = tensor_loader_rows(x, spans.owned[0], &fields[0]);
    spans.span[1] = tensor_loader_rows(y, spans.owned[1], &fields[1]);
    return tensor_loader_make(&draft, &spans, fields, o.seed, "loader.rows");
}
