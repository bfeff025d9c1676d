/* index.cu - gathers and scatter-adds by index, one-hot.
 *
 * An index out of range sets the fault word; where it would have been read there is a 0. Sums go in
 * the order of the source, one thread each, so that they are the CPU's and do not depend on the
 * schedule: no atomics on numbers. */
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

template <typename U> static bool fits_unit(size_t bytes, const void *src, const void *out)
{
    return bytes % sizeof(U) == 0 && reinterpret_cast<uintptr_t>(src) % sizeof(U) == 0 &&
           reinterpret_cast<uintptr_t>(out) % sizeof(U) == 0;
}

template <typename U>
static void start_gather_rows(int64_t count, size_t bytes, int64_t rows, const void *src,
                              const void *index, ct_dtype index_dtype, void *out, uint32_t ticket)
{
    int64_t width = (int64_t)(bytes / sizeof(U));

    cu_run("gather_rows", gather_rows<U>, cu_blocks(count * width, CU_BLOCK), CU_BLOCK, count,
           width, rows, static_cast<const U *>(src), index, index_dtype, static_cast<U *>(out),
           cu_fault_word(), ticket);
}

/* Only whether indices are in range, for rows of nothing. */
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

static void start_check(const char *slot, int64_t count, int64_t rows, const void *index,
                        ct_dtype index_dtype, uint32_t ticket)
{
    cu_run(slot, check_indices, cu_blocks(count, CU_BLOCK), CU_BLOCK, count, rows, index,
           index_dtype, cu_fault_word(), ticket);
}

ct_status cu_gather_rows(ct_dtype dtype, ct_dtype index_dtype, int64_t count, int64_t width,
                         int64_t rows, const void *src, const void *index, void *out,
                         cti_fault *fault)
{
    typedef cu_pack<uint32_t, 4> sixteen;
    size_t bytes = (size_t)width * cu_size_of(dtype);
    uint32_t ticket = fault->ticket;

    if (width == 0)
        start_check("gather_rows", count, rows, index, index_dtype, ticket);
    else if (fits_unit<sixteen>(bytes, src, out))
        start_gather_rows<sixteen>(count, bytes, rows, src, index, index_dtype, out, ticket);
    else if (fits_unit<uint64_t>(bytes, src, out))
        start_gather_rows<uint64_t>(count, bytes, rows, src, index, index_dtype, out, ticket);
    else if (fits_unit<uint32_t>(bytes, src, out))
        start_gather_rows<uint32_t>(count, bytes, rows, src, index, index_dtype, out, ticket);
    else if (fits_unit<uint16_t>(bytes, src, out))
        start_gather_rows<uint16_t>(count, bytes, rows, src, index, index_dtype, out, ticket);
    else
        start_gather_rows<uint8_t>(count, bytes, rows, src, index, index_dtype, out, ticket);
    return CT_OK;
}

/* ---- sums of segments: dst (rows, width) += src (count, width), by key (count) ----
 *
 * order sorts the keys, and keeps the order of equal ones. The thread of the first position of each
 * key, and of a column, adds up all positions of that key. */

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

template <typename T>
__global__ void __launch_bounds__(CU_BLOCK)
    segment_sum(int64_t count, int64_t width, int64_t rows, T *dst, const void *key,
                ct_dtype key_dtype, const int64_t *order, const T *src, unsigned long long *fault,
                uint32_t ticket)
{
    int64_t i;

    for (i = cu_thread(); i < count * width; i += cu_threads()) {
        int64_t p = i, column = cu_split(&p, width), row = cu_index_at(key, key_dtype, order[p]);
        T total;

        if (p > 0 && cu_index_at(key, key_dtype, order[p - 1]) == row)
            continue;
        if (row < 0 || row >= rows) {
            if (column == 0)
                cu_fault(fault, ticket, order[p]);
            continue;
        }
        total = dst[row * width + column];
        do
            total = add(total, src[order[p++] * width + column]);
        while (p < count && cu_index_at(key, key_dtype, order[p]) == row);
        dst[row * width + column] = total;
    }
}

/* Room for the order of count keys and for sorting it. */
static int64_t *order_of(const char *slot, int64_t count, const void *key, ct_dtype key_dtype)
{
    int64_t *order = static_cast<int64_t *>(cu_scratch((size_t)count * 3 * sizeof *order, slot));

    if (order)
        cu_sort(key_dtype, false, 1, count, count, key, order, order + count);
    return order;
}

template <typename T>
static void start_segments(const char *slot, int64_t count, int64_t width, int64_t rows, void *dst,
                           const void *key, ct_dtype key_dtype, const void *src, uint32_t ticket)
{
    int64_t *order = order_of(slot, count, key, key_dtype);

    if (!order)
        return;
    cu_run(slot, segment_sum<T>, cu_blocks(count * width, CU_BLOCK), CU_BLOCK, count, width, rows,
           static_cast<T *>(dst), key, key_dtype, order, static_cast<const T *>(src),
           cu_fault_word(), ticket);
    cu_scratch_free(order);
}

ct_status cu_scatter_add_rows(ct_dtype dtype, ct_dtype index_dtype, int64_t count, int64_t width,
                              int64_t rows, void *dst, const void *index, const void *src,
                              cti_fault *fault)
{
    static const char *const slot = "scatter_add_rows";

    if (count == 0)
        return CT_OK;
    if (width == 0)
        start_check(slot, count, rows, index, index_dtype, fault->ticket);
    else if (dtype == CT_F64)
        start_segments<double>(slot, count, width, rows, dst, index, index_dtype, src,
                               fault->ticket);
    else
        start_segments<float>(slot, count, width, rows, dst, index, index_dtype, src,
                              fault->ticket);
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

template <typename T>
static void start_one_hot(int64_t count, int64_t width, const void *index, ct_dtype index_dtype,
                          void *out, uint32_t ticket)
{
    cu_run("one_hot", one_hot<T>, cu_blocks(count * width, CU_BLOCK), CU_BLOCK, count, width, index,
           index_dtype, static_cast<T *>(out), cu_fault_word(), ticket);
}

ct_status cu_one_hot(ct_dtype dtype, ct_dtype index_dtype, int64_t count, int64_t width,
                     const void *index, void *out, cti_fault *fault)
{
    uint32_t ticket = fault->ticket;

    if (width == 0)
        start_check("one_hot", count, 0, index, index_dtype, ticket);
    else if (dtype == CT_F32)
        start_one_hot<float>(count, width, index, index_dtype, out, ticket);
    else if (dtype == CT_F64)
        start_one_hot<double>(count, width, index, index_dtype, out, ticket);
    else if (dtype == CT_I32)
        start_one_hot<int32_t>(count, width, index, index_dtype, out, ticket);
    else if (dtype == CT_I64)
        start_one_hot<int64_t>(count, width, index, index_dtype, out, ticket);
    else
        start_one_hot<uint8_t>(count, width, index, index_dtype, out, ticket);
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
static void start_gather(const axis *a, const void *src, void *out, uint32_t ticket)
{
    cu_run("gather", gather<T>, cu_blocks(a->outer * a->m * a->inner, CU_BLOCK), CU_BLOCK, *a,
           static_cast<const T *>(src), static_cast<T *>(out), cu_fault_word(), ticket);
}

ct_status cu_gather(ct_dtype dtype, ct_dtype index_dtype, int64_t outer, int64_t n, int64_t m,
                    int64_t inner, const void *src, const void *index, void *out, cti_fault *fault)
{
    axis a = { outer, n, m, inner, index, index_dtype };
    size_t size = cu_size_of(dtype);

    if (size == 1)
        start_gather<uint8_t>(&a, src, out, fault->ticket);
    else if (size == 2)
        start_gather<uint16_t>(&a, src, out, fault->ticket);
    else if (size == 4)
        start_gather<uint32_t>(&a, src, out, fault->ticket);
    else
        start_gather<uint64_t>(&a, src, out, fault->ticket);
    return CT_OK;
}

/* ---- its reverse: dst (outer, n, inner) += src (outer, m, inner) ----
 *
 * Where there are columns enough, or m is short, a thread goes down a column; else by segments, the
 * key being the position in dst. */

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

/* An index out of range has no key: -1. */
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
static void start_scatter_add(const axis *a, const void *src, void *dst, uint32_t ticket)
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
    start_segments<T>(slot, count, 1, a->outer * a->n * a->inner, dst, key, CT_I64, src, ticket);
    cu_scratch_free(key);
}

ct_status cu_scatter_add(ct_dtype dtype, ct_dtype index_dtype, int64_t outer, int64_t n, int64_t m,
                         int64_t inner, void *dst, const void *index, const void *src,
                         cti_fault *fault)
{
    axis a = { outer, n, m, inner, index, index_dtype };

    if (dtype == CT_F32)
        start_scatter_add<float>(&a, src, dst, fault->ticket);
    else if (dtype == CT_F64)
        start_scatter_add<double>(&a, src, dst, fault->ticket);
    else if (dtype == CT_I32)
        start_scatter_add<int32_t>(&a, src, dst, fault->ticket);
    else
        start_scatter_add<int64_t>(&a, src, dst, fault->ticket);
    return CT_OK;
}
