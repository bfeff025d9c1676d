/* SPDX-License-Identifier: MIT */
/* index.cu - gathers and scatter-adds by index, one-hot.
 *
 * An index out of range sets the fault word, and the element that it would have read is 0. One
 * thread computes each sum, in the order of the source. So it has the same bits as on the CPU and
 * does not depend on the schedule. Floating-point atomics are not used. */
#include "cuda/cuda.h"
#include "cuda/device.h"

/* ---- rows: out (count, width) <- src (rows, width), in units of up to 16 bytes ---- */

template <typename U>
__global__ void __launch_bounds__(CU_BLOCK)
    gather_rows(int64_t count, int64_t width, int64_t rows, const U *src, const void *index,
                ct_dtype index_dtype, U *out, unsigned long long *fault, uint32_t ticket)
{
    int64_t i;

    for (i = cu_thread(); i < count * width; i += cu_threads()) {
        int64_t at = i, column = cu_split(&at, width), row = cu_index_at(index, index_dtype, at);
        U value = {};

        if (row >= 0 && row < rows)
            value = src[row * width + column];
        else if (column == 0)
            cu_fault(fault, ticket, at);
        out[i] = value;
    }
}

/* For rows of width 0: only checks the indices. */
__global__ void __launch_bounds__(CU_BLOCK)
    check_indices(int64_t count, int64_t rows, const void *index, ct_dtype index_dtype,
                  unsigned long long *fault, uint32_t ticket)
{
    int64_t i;

    for (i = cu_thread(); i < count; i += cu_threads()) {
        int64_t row = cu_index_at(index, index_dtype, i);

        if (row < 0 || row >= rows)
            cu_fault(fault, ticket, i);
    }
}

static void check_start(const char *slot, int64_t count, int64_t rows, const void *index,
                        ct_dtype index_dtype, uint32_t ticket)
{
    cu_run(slot, check_indices, cu_blocks(count, CU_BLOCK), CU_BLOCK, count, rows, index,
           index_dtype, cu_fault_word(), ticket);
}

template <typename U> static bool fits_unit(size_t bytes, const void *src, const void *out)
{
    return bytes % sizeof(U) == 0 && reinterpret_cast<uintptr_t>(src) % sizeof(U) == 0 &&
           reinterpret_cast<uintptr_t>(out) % sizeof(U) == 0;
}

/* Copies rows in units of type U. False if the width or the alignment does not allow it. */
template <typename U>
static bool gather_rows_start(const cti_gather_rows_args *a, size_t bytes, uint32_t ticket)
{
    int64_t width = (int64_t)(bytes / sizeof(U));

    if (!fits_unit<U>(bytes, a->src, a->out))
        return false;
    cu_run("gather_rows", gather_rows<U>, cu_blocks(a->count * width, CU_BLOCK), CU_BLOCK, a->count,
           width, a->rows, static_cast<const U *>(a->src), a->index, a->index_dtype,
           static_cast<U *>(a->out), cu_fault_word(), ticket);
    return true;
}

ct_status cu_gather_rows(const cti_gather_rows_args *a, cti_fault *fault)
{
    typedef cu_pack<uint32_t, 4> sixteen;
    size_t bytes = (size_t)a->width * cu_size_of(a->dtype);
    uint32_t ticket = fault->ticket;

    if (a->width == 0)
        check_start("gather_rows", a->count, a->rows, a->index, a->index_dtype, ticket);
    else if (!gather_rows_start<sixteen>(a, bytes, ticket) &&
             !gather_rows_start<uint64_t>(a, bytes, ticket) &&
             !gather_rows_start<uint32_t>(a, bytes, ticket) &&
             !gather_rows_start<uint16_t>(a, bytes, ticket))
        gather_rows_start<uint8_t>(a, bytes, ticket);
    return CT_OK;
}

/* ---- sums of segments: dst (rows, width) += src (count, width), by key (count) ----
 *
 * order holds the positions sorted by key; equal keys keep their order. For each key and column,
 * the thread at the first position of the key adds up all positions of that key. */

template <typename T> struct wrapping { /* integers wrap */
    typedef T type;
};
template <> struct wrapping<int32_t> {
    typedef uint32_t type;
};
template <> struct wrapping<int64_t> {
    typedef uint64_t type;
};

template <typename T> __device__ inline T add(T a, T b)
{
    typedef typename wrapping<T>::type W;

    return static_cast<T>(static_cast<W>(a) + static_cast<W>(b));
}

struct segments {
    int64_t count, width, rows;
    const void *key; /* (count) */
    ct_dtype key_dtype;
};

template <typename T>
__global__ void __launch_bounds__(CU_BLOCK)
    segment_sum(segments s, T *dst, const int64_t *order, const T *src, unsigned long long *fault,
                uint32_t ticket)
{
    int64_t i;

    for (i = cu_thread(); i < s.count * s.width; i += cu_threads()) {
        int64_t p = i, column = cu_split(&p, s.width);
        int64_t row = cu_index_at(s.key, s.key_dtype, order[p]);
        T total;

        if (p > 0 && cu_index_at(s.key, s.key_dtype, order[p - 1]) == row)
            continue;
        if (row < 0 || row >= s.rows) {
            if (column == 0)
                cu_fault(fault, ticket, order[p]);
            continue;
        }
        total = dst[row * s.width + column];
        do
            total = add(total, src[order[p++] * s.width + column]);
        while (p < s.count && cu_index_at(s.key, s.key_dtype, order[p]) == row);
        dst[row * s.width + column] = total;
    }
}

template <typename T>
static void segments_start(const char *slot, const segments *s, void *dst, const void *src,
                           uint32_t ticket)
{
    /* memory for the order of the keys, and for sorting it */
    int64_t *order = static_cast<int64_t *>(cu_scratch((size_t)s->count * 3 * sizeof *order, slot));
    cti_sort_args sort = { s->key_dtype, false,  1,     s->count,
                           s->count,     s->key, order, order + s->count };

    if (!order)
        return;
    cu_sort(&sort);
    cu_run(slot, segment_sum<T>, cu_blocks(s->count * s->width, CU_BLOCK), CU_BLOCK, *s,
           static_cast<T *>(dst), order, static_cast<const T *>(src), cu_fault_word(), ticket);
    cu_scratch_free(order);
}

ct_status cu_scatter_add_rows(const cti_scatter_add_rows_args *a, cti_fault *fault)
{
    static const char *const slot = "scatter_add_rows";
    segments s = { a->count, a->width, a->rows, a->index, a->index_dtype };

    if (a->count == 0)
        return CT_OK;
    if (a->width == 0)
        check_start(slot, a->count, a->rows, a->index, a->index_dtype, fault->ticket);
    else if (a->dtype == CT_F64)
        segments_start<double>(slot, &s, a->dst, a->src, fault->ticket);
    else
        segments_start<float>(slot, &s, a->dst, a->src, fault->ticket);
    return CT_OK;
}

/* ---- one_hot: out (count, width) ---- */

template <typename T>
__global__ void __launch_bounds__(CU_BLOCK)
    one_hot(int64_t count, int64_t width, const void *index, ct_dtype index_dtype, T *out,
            unsigned long long *fault, uint32_t ticket)
{
    int64_t i;

    for (i = cu_thread(); i < count * width; i += cu_threads()) {
        int64_t at = i, column = cu_split(&at, width), k = cu_index_at(index, index_dtype, at);

        if (column == 0 && (k < 0 || k >= width))
            cu_fault(fault, ticket, at);
        out[i] = column == k ? T(1) : T(0);
    }
}

template <typename T> static void one_hot_start(const cti_one_hot_args *a, uint32_t ticket)
{
    cu_run("one_hot", one_hot<T>, cu_blocks(a->count * a->width, CU_BLOCK), CU_BLOCK, a->count,
           a->width, a->index, a->index_dtype, static_cast<T *>(a->out), cu_fault_word(), ticket);
}

ct_status cu_one_hot(const cti_one_hot_args *a, cti_fault *fault)
{
    if (a->width == 0) {
        check_start("one_hot", a->count, 0, a->index, a->index_dtype, fault->ticket);
        return CT_OK;
    }
    switch (a->dtype) {
    case CT_F32:
        one_hot_start<float>(a, fault->ticket);
        break;
    case CT_F64:
        one_hot_start<double>(a, fault->ticket);
        break;
    case CT_I32:
        one_hot_start<int32_t>(a, fault->ticket);
        break;
    case CT_I64:
        one_hot_start<int64_t>(a, fault->ticket);
        break;
    case CT_BOOL:
        one_hot_start<uint8_t>(a, fault->ticket);
        break;
    case CT_BF16: /* bf16 is only stored, never computed with */
        break;
    }
    return CT_OK;
}

/* ---- along an axis: out (outer, m, inner) <- src (outer, n, inner) ---- */

struct axis {
    int64_t outer, n, m, inner;
    const void *index; /* (outer, m, inner) */
    ct_dtype dtype;
};

template <typename T>
__global__ void __launch_bounds__(CU_BLOCK)
    gather(axis a, const T *src, T *out, unsigned long long *fault, uint32_t ticket)
{
    int64_t count = a.outer * a.m * a.inner, at;

    for (at = cu_thread(); at < count; at += cu_threads()) {
        int64_t o = at, i = cu_split(&o, a.inner), k = cu_index_at(a.index, a.dtype, at);

        o /= a.m;
        if (k < 0 || k >= a.n) {
            cu_fault(fault, ticket, at);
            out[at] = 0;
        } else {
            out[at] = src[(o * a.n + k) * a.inner + i];
        }
    }
}

template <typename T>
static void gather_start(const axis *a, const void *src, void *out, uint32_t ticket)
{
    cu_run("gather", gather<T>, cu_blocks(a->outer * a->m * a->inner, CU_BLOCK), CU_BLOCK, *a,
           static_cast<const T *>(src), static_cast<T *>(out), cu_fault_word(), ticket);
}

ct_status cu_gather(const cti_gather_args *call, cti_fault *fault)
{
    axis a = { call->outer, call->n, call->m, call->inner, call->index, call->index_dtype };
    size_t size = cu_size_of(call->dtype);

    if (size == 1)
        gather_start<uint8_t>(&a, call->src, call->out, fault->ticket);
    else if (size == 2)
        gather_start<uint16_t>(&a, call->src, call->out, fault->ticket);
    else if (size == 4)
        gather_start<uint32_t>(&a, call->src, call->out, fault->ticket);
    else
        gather_start<uint64_t>(&a, call->src, call->out, fault->ticket);
    return CT_OK;
}

/* ---- the reverse: dst (outer, n, inner) += src (outer, m, inner) ----
 *
 * If there are enough columns, or m is small, one thread computes each column. Otherwise it is
 * computed as sums of segments, in which the key is the position in dst. */

template <typename T>
__global__ void __launch_bounds__(CU_BLOCK)
    scatter_add_columns(axis a, const T *src, T *dst, unsigned long long *fault, uint32_t ticket)
{
    int64_t column, j;

    for (column = cu_thread(); column < a.outer * a.inner; column += cu_threads()) {
        int64_t o = column, i = cu_split(&o, a.inner);

        for (j = 0; j < a.m; j++) {
            int64_t at = (o * a.m + j) * a.inner + i, k = cu_index_at(a.index, a.dtype, at);

            if (k < 0 || k >= a.n) {
                cu_fault(fault, ticket, at);
            } else {
                T *d = dst + (o * a.n + k) * a.inner + i;

                *d = add(*d, src[at]);
            }
        }
    }
}

/* The key of an index out of range is -1. */
__global__ void __launch_bounds__(CU_BLOCK) make_keys(axis a, int64_t *key)
{
    int64_t count = a.outer * a.m * a.inner, at;

    for (at = cu_thread(); at < count; at += cu_threads()) {
        int64_t o = at, i = cu_split(&o, a.inner), k = cu_index_at(a.index, a.dtype, at);

        o /= a.m;
        key[at] = k < 0 || k >= a.n ? -1 : (o * a.n + k) * a.inner + i;
    }
}

#define SHORT_COLUMN 64
#define MANY_COLUMNS 8192

template <typename T>
static void scatter_add_start(const axis *a, const void *src, void *dst, uint32_t ticket)
{
    static const char *const slot = "scatter_add";
    int64_t count = a->outer * a->m * a->inner, columns = a->outer * a->inner;
    void *key;

    if (count == 0)
        return;
    if (a->m <= SHORT_COLUMN || columns >= MANY_COLUMNS) {
        cu_run(slot, scatter_add_columns<T>, cu_blocks(columns, CU_BLOCK), CU_BLOCK, *a,
               static_cast<const T *>(src), static_cast<T *>(dst), cu_fault_word(), ticket);
        return;
    }
    key = cu_scratch((size_t)count * sizeof(int64_t), slot);
    if (!key)
        return;
    cu_run(slot, make_keys, cu_blocks(count, CU_BLOCK), CU_BLOCK, *a, static_cast<int64_t *>(key));
    segments s = { count, 1, a->outer * a->n * a->inner, key, CT_I64 };
    segments_start<T>(slot, &s, dst, src, ticket);
    cu_scratch_free(key);
}

ct_status cu_scatter_add(const cti_scatter_add_args *call, cti_fault *fault)
{
    axis a = { call->outer, call->n, call->m, call->inner, call->index, call->index_dtype };

    switch (call->dtype) {
    case CT_F32:
        scatter_add_start<float>(&a, call->src, call->dst, fault->ticket);
        break;
    case CT_F64:
        scatter_add_start<double>(&a, call->src, call->dst, fault->ticket);
        break;
    case CT_I32:
        scatter_add_start<int32_t>(&a, call->src, call->dst, fault->ticket);
        break;
    case CT_I64:
        scatter_add_start<int64_t>(&a, call->src, call->dst, fault->ticket);
        break;
    case CT_BOOL:
    case CT_BF16:
        break;
    }
    return CT_OK;
}

/* ---- scatter: one thread computes each column in order, so the last of several values is kept
 * ---- */

template <typename T>
__global__ void __launch_bounds__(CU_BLOCK)
    scatter(axis a, const T *src, T *dst, unsigned long long *fault, uint32_t ticket)
{
    int64_t column, j;

    for (column = cu_thread(); column < a.outer * a.inner; column += cu_threads()) {
        int64_t o = column, i = cu_split(&o, a.inner);

        for (j = 0; j < a.m; j++) {
            int64_t at = (o * a.m + j) * a.inner + i, k = cu_index_at(a.index, a.dtype, at);

            if (k < 0 || k >= a.n)
                cu_fault(fault, ticket, at);
            else
                dst[(o * a.n + k) * a.inner + i] = src[at];
        }
    }
}

template <typename T>
static void scatter_start(const axis *a, const void *src, void *dst, uint32_t ticket)
{
    cu_run("scatter", scatter<T>, cu_blocks(a->outer * a->inner, CU_BLOCK), CU_BLOCK, *a,
           static_cast<const T *>(src), static_cast<T *>(dst), cu_fault_word(), ticket);
}

ct_status cu_scatter(const cti_scatter_add_args *call, cti_fault *fault)
{
    axis a = { call->outer, call->n, call->m, call->inner, call->index, call->index_dtype };
    size_t size = cu_size_of(call->dtype);

    if (a.outer == 0 || a.m == 0 || a.inner == 0)
        return CT_OK;
    if (size == 1)
        scatter_start<uint8_t>(&a, call->src, call->dst, fault->ticket);
    else if (size == 2)
        scatter_start<uint16_t>(&a, call->src, call->dst, fault->ticket);
    else if (size == 4)
        scatter_start<uint32_t>(&a, call->src, call->dst, fault->ticket);
    else
        scatter_start<uint64_t>(&a, call->src, call->dst, fault->ticket);
    return CT_OK;
}
