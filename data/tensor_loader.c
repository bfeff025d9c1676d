/* tensor_loader.c - loaders of numbers: windows of a time series, and rows of two tensors. */
#include "tensor/internal.h"

#include <cotangent/data/tensor_loader.h>

#include "data/internal.h"
#include "tensor/hooks.h"

/* The elements of t in memory of the host, row-major; NULL with an error. */
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

/* Cuts the rows to first .. first + count - 1, or to the end. False with an error. */
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

static ct_loader *tensor_loader_make(ct_loader *draft, uint64_t seed, const char *stream,
                                     bool shuffle)
{
    draft->cut = CTI_WINDOWS;
    draft->stream = ct_generator_stream(ct_generator_from_seed(seed), stream);
    return cti_loader_new(draft, shuffle ? draft->rows : 0);
}

/* ---- windows ---- */

/* A row is length values of the series, of one stride each, from value number start. */
static cti_side tensor_loader_side(const ct_tensor *series, const char *values, int64_t start,
                                   int64_t length)
{
    size_t unit = ct_dtype_size(ct_tensor_dtype(series));
    cti_side side = { .shape = CT_SHAPE(0, length), .dtype = ct_tensor_dtype(series) };

    if (ct_rank(series) == 2) {
        side.shape = CT_SHAPE(0, length, ct_size(series, 1));
        unit *= (size_t)ct_size(series, 1);
    }
    side.unit = unit;
    side.row_bytes = (size_t)length * unit;
    side.from = values + (size_t)start * unit;
    return side;
}

ct_loader *ct_loader_series_new(const ct_tensor *series, ct_loader_series_options o)
{
    ct_loader draft = { .function = "ct_loader_series_new",
                        .kind = "series",
                        .batch = o.batch_size,
                        .steps = o.steps,
                        .device = o.device };
    int64_t targets = o.targets ? o.targets : 1, ahead = o.ahead ? o.ahead : 1;
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
    if (!cti_at_least(draft.function, "steps", o.steps, 1) ||
        !cti_at_least(draft.function, "targets", targets, 1) ||
        !cti_at_least(draft.function, "ahead", ahead, 1))
        return NULL;
    if (targets - ahead > o.steps) {
        ct_raise(CT_ERR_ARGUMENT, draft.function,
                 "targets is %lld; it must be at most steps + ahead, %lld + %lld",
                 (long long)targets, (long long)o.steps, (long long)ahead);
        return NULL;
    }
    if (o.steps > n || ahead > n - o.steps) {
        ct_raise(CT_ERR_SHAPE, draft.function,
                 "%lld values are too few for a window of %lld and %lld ahead", (long long)n,
                 (long long)o.steps, (long long)ahead);
        return NULL;
    }
    if (!tensor_loader_part(&draft, o.first, o.count, n - o.steps - ahead + 1))
        return NULL;
    draft.values[0] = values = tensor_loader_copy(draft.function, series);
    if (!values)
        return NULL;
    draft.row_tokens = targets;
    draft.x = tensor_loader_side(series, values, 0, o.steps);
    draft.y = tensor_loader_side(series, values, o.steps + ahead - targets, targets);
    return tensor_loader_make(&draft, o.seed, "loader.series", o.shuffle);
}

/* ---- rows ---- */

/* Index i is row i of t. */
static cti_side tensor_loader_rows(const ct_tensor *t, const char *values)
{
    cti_side side = { .from = values, .shape = ct_tensor_shape(t), .dtype = ct_tensor_dtype(t) };

    side.unit = (size_t)(ct_numel(t) / ct_size(t, 0)) * ct_dtype_size(ct_tensor_dtype(t));
    side.row_bytes = side.unit;
    return side;
}

ct_loader *ct_loader_tensors_new(const ct_tensor *x, const ct_tensor *y,
                                 ct_loader_tensors_options o)
{
    ct_loader draft = { .function = "ct_loader_tensors_new",
                        .kind = "tensors",
                        .batch = o.batch_size,
                        .steps = 1,
                        .row_tokens = 1,
                        .device = o.device };

    if (!cti_usable(draft.function, x) || !cti_usable(draft.function, y))
        return NULL;
    if (ct_rank(x) < 1 || ct_rank(y) < 1 || ct_size(x, 0) != ct_size(y, 0)) {
        ct_raise(CT_ERR_SHAPE, draft.function, "x %s and y %s must be (N, ...) with the same N",
                 cti_describe(x).s, cti_describe(y).s);
        return NULL;
    }
    if (!tensor_loader_part(&draft, o.first, o.count, ct_size(x, 0)))
        return NULL;
    draft.values[0] = tensor_loader_copy(draft.function, x);
    draft.values[1] = draft.values[0] ? tensor_loader_copy(draft.function, y) : NULL;
    if (!draft.values[1]) {
        cti_release(draft.values[0]);
        return NULL;
    }
    draft.x = tensor_loader_rows(x, draft.values[0]);
    draft.y = tensor_loader_rows(y, draft.values[1]);
    return tensor_loader_make(&draft, o.seed, "loader.rows", o.shuffle);
}
