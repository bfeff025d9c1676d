/* SPDX-License-Identifier: MIT */
/* scan.cu - running sums along n of (outer, n, inner).
 *
 * n is cut into chunks by shape alone. The first kernel sums each chunk, the second computes the
 * running sums of these, and the third the running sums within each chunk, from its start value on.
 * f32 adds in double; integers wrap. */
#include "cuda/cuda.h"
#include "cuda/device.h"

template <typename T> struct scan_wide {
    typedef double type;
};
template <> struct scan_wide<int32_t> {
    typedef uint32_t type;
};
template <> struct scan_wide<int64_t> {
    typedef uint64_t type;
};

struct columns {
    int64_t outer, n, inner, chunks, length;
    bool reverse; /* if true, element j of a column is at n - 1 - j in memory */
};

/* The index of element j of column i of outer index o. */
__device__ inline int64_t scan_place(const columns &c, int64_t o, int64_t j, int64_t i)
{
    return (o * c.n + (c.reverse ? c.n - 1 - j : j)) * c.inner + i;
}

__device__ inline int64_t chunk_end(const columns &c, int64_t chunk)
{
    int64_t end = (chunk + 1) * c.length;

    return end < c.n ? end : c.n;
}

/* sum (outer, chunks, inner) */
template <typename T, typename W>
__global__ void __launch_bounds__(CU_BLOCK) chunk_sums(columns c, const T *in, W *sum)
{
    int64_t at, j;

    for (at = cu_thread(); at < c.outer * c.chunks * c.inner; at += cu_threads()) {
        int64_t o = at, i = cu_split(&o, c.inner), chunk = cu_split(&o, c.chunks);
        W total = 0;

        for (j = chunk * c.length; j < chunk_end(c, chunk); j++)
            total += static_cast<W>(in[scan_place(c, o, j, i)]);
        sum[at] = total;
    }
}

/* Replaces each chunk's sum by the sum of the chunks before it. */
template <typename W> __global__ void __launch_bounds__(CU_BLOCK) sums_before(columns c, W *sum)
{
    int64_t at, chunk;

    for (at = cu_thread(); at < c.outer * c.inner; at += cu_threads()) {
        int64_t o = at, i = cu_split(&o, c.inner);
        W total = 0;

        for (chunk = 0; chunk < c.chunks; chunk++) {
            W *s = sum + (o * c.chunks + chunk) * c.inner + i, own = *s;

            *s = total;
            total += own;
        }
    }
}

/* before (outer, chunks, inner), or NULL for one chunk */
template <typename T, typename W>
__global__ void __launch_bounds__(CU_BLOCK)
    running_sums(columns c, const T *in, const W *before, T *out)
{
    int64_t at, j;

    for (at = cu_thread(); at < c.outer * c.chunks * c.inner; at += cu_threads()) {
        int64_t o = at, i = cu_split(&o, c.inner), chunk = cu_split(&o, c.chunks);
        W total = before ? before[at] : W(0);

        for (j = chunk * c.length; j < chunk_end(c, chunk); j++) {
            int64_t k = scan_place(c, o, j, i);

            total += static_cast<W>(in[k]);
            out[k] = static_cast<T>(total);
        }
    }
}

#define SHORT 64         /* the least number of elements of a chunk */
#define MANY_SCANS 16384 /* from this number of columns on there is enough work, so n is not cut */

template <typename T> static void cumsum_start(columns c, const void *data, void *result)
{
    typedef typename scan_wide<T>::type W;
    const T *in = static_cast<const T *>(data);
    T *out = static_cast<T *>(result);
    int64_t columns_count = c.outer * c.inner, blocks;
    W *sum = NULL;

    c.length = c.n;
    if (c.n > SHORT && columns_count < MANY_SCANS)
        for (c.length = SHORT; c.length * c.length < c.n;) /* near the square root of n */
            c.length *= 2;
    c.chunks = (c.n + c.length - 1) / c.length;
    blocks = cu_blocks(columns_count * c.chunks, CU_BLOCK);
    if (c.chunks > 1) {
        sum = static_cast<W *>(
            cu_scratch((size_t)(columns_count * c.chunks) * sizeof *sum, "cumsum"));
        if (!sum)
            return;
        cu_run("cumsum", chunk_sums<T, W>, blocks, CU_BLOCK, c, in, sum);
        cu_run("cumsum", sums_before<W>, cu_blocks(columns_count, CU_BLOCK), CU_BLOCK, c, sum);
    }
    cu_run("cumsum", running_sums<T, W>, blocks, CU_BLOCK, c, in, sum, out);
    if (sum)
        cu_scratch_free(sum);
}

void cu_cumsum(const cti_cumsum_args *a)
{
    columns c = { a->outer, a->n, a->inner, 1, a->n, a->reverse };

    if (a->outer == 0 || a->n == 0 || a->inner == 0)
        return;
    switch (a->dtype) {
    case CT_F32:
        cumsum_start<float>(c, a->in, a->out);
        break;
    case CT_F64:
        cumsum_start<double>(c, a->in, a->out);
        break;
    case CT_I32:
        cumsum_start<int32_t>(c, a->in, a->out);
        break;
    case CT_I64:
        cumsum_start<int64_t>(c, a->in, a->out);
        break;
    case CT_BOOL:
    case CT_BF16:
        break;
    }
}

/* ---- logcumsumexp: a thread for each column; tensor/cpu/scan.c explains the arithmetic ---- */

template <typename T>
__global__ void __launch_bounds__(CU_BLOCK) running_log_sums(cti_cumsum_args a)
{
    const T *in = static_cast<const T *>(a.in);
    T *out = static_cast<T *>(a.out);
    int64_t column, j;

    for (column = cu_thread(); column < a.outer * a.inner; column += cu_threads()) {
        int64_t o = column, i = cu_split(&o, a.inner), at = o * a.n * a.inner + i;
        double most = -INFINITY, rest = -1;

        for (j = 0; j < a.n; j++, at += a.inner) {
            double v = static_cast<double>(in[at]);

            if (v > most) {
                rest = (1 + rest) * exp(most - v);
                most = v;
            } else {
                rest += v == most ? 1 : exp(v - most);
            }
            out[at] = static_cast<T>(most + log1p(rest));
        }
    }
}

void cu_logcumsumexp(const cti_cumsum_args *a)
{
    int64_t columns_count = a->outer * a->inner, blocks = cu_blocks(columns_count, CU_BLOCK);

    if (columns_count == 0 || a->n == 0)
        return;
    if (a->dtype == CT_F32)
        cu_run("logcumsumexp", running_log_sums<float>, blocks, CU_BLOCK, *a);
    else
        cu_run("logcumsumexp", running_log_sums<double>, blocks, CU_BLOCK, *a);
}

/* exp(p - q) for p <= q, and 0 for p = -inf */
__device__ inline double scan_weight(double p, double q)
{
    return p == -INFINITY ? 0 : exp(p - q);
}

template <typename T>
__global__ void __launch_bounds__(CU_BLOCK)
    running_log_sums_backward(cti_logcumsumexp_backward_args a)
{
    const T *d = static_cast<const T *>(a.d), *x = static_cast<const T *>(a.x);
    const T *y = static_cast<const T *>(a.y);
    T *out = static_cast<T *>(a.out);
    int64_t column, k;

    for (column = cu_thread(); column < a.outer * a.inner; column += cu_threads()) {
        int64_t o = column, i = cu_split(&o, a.inner), first = o * a.n * a.inner + i;
        double sum = 0, before = 0;

        for (k = 0; k < a.n; k++) {
            int64_t at = first + (a.transposed ? k : a.n - 1 - k) * a.inner;
            double own = static_cast<double>(y[at]), w = scan_weight(x[at], own);

            if (a.transposed)
                sum = (k ? scan_weight(before, own) * sum : 0) + w * static_cast<double>(d[at]);
            else
                sum = (k ? scan_weight(own, before) * sum : 0) + static_cast<double>(d[at]);
            out[at] = static_cast<T>(a.transposed ? sum : w * sum);
            before = own;
        }
    }
}

void cu_logcumsumexp_backward(const cti_logcumsumexp_backward_args *a)
{
    int64_t columns_count = a->outer * a->inner, blocks = cu_blocks(columns_count, CU_BLOCK);

    if (columns_count == 0 || a->n == 0)
        return;
    if (a->dtype == CT_F32)
        cu_run("logcumsumexp_backward", running_log_sums_backward<float>, blocks, CU_BLOCK, *a);
    else
        cu_run("logcumsumexp_backward", running_log_sums_backward<double>, blocks, CU_BLOCK, *a);
}

/* ---- linear recurrences and running extremes: a thread for each column ---- */

template <typename T, typename W>
__global__ void __launch_bounds__(CU_BLOCK) linear_scan(cti_linear_scan_args s)
{
    const T *a = static_cast<const T *>(s.a), *b = static_cast<const T *>(s.b);
    const T *initial = static_cast<const T *>(s.initial);
    T *out = static_cast<T *>(s.out);
    int64_t column, j;

    for (column = cu_thread(); column < s.outer * s.inner; column += cu_threads()) {
        int64_t o = column, i = cu_split(&o, s.inner), first = o * s.n * s.inner + i;
        W h = initial ? static_cast<W>(initial[column]) : 0;

        for (j = 0; j < s.n; j++) {
            int64_t k = first + (s.reverse ? s.n - 1 - j : j) * s.inner;

            h = b ? static_cast<W>(a[k]) * h + static_cast<W>(b[k]) : static_cast<W>(a[k]) * h;
            out[k] = static_cast<T>(h);
        }
    }
}

template <typename T> static void linear_scan_start(const cti_linear_scan_args *a)
{
    cu_run("linear_scan", linear_scan<T, typename scan_wide<T>::type>,
           cu_blocks(a->outer * a->inner, CU_BLOCK), CU_BLOCK, *a);
}

void cu_linear_scan(const cti_linear_scan_args *a)
{
    if (a->outer == 0 || a->n == 0 || a->inner == 0)
        return;
    switch (a->dtype) {
    case CT_F32:
        linear_scan_start<float>(a);
        break;
    case CT_F64:
        linear_scan_start<double>(a);
        break;
    case CT_I32:
        linear_scan_start<int32_t>(a);
        break;
    case CT_I64:
        linear_scan_start<int64_t>(a);
        break;
    case CT_BOOL:
    case CT_BF16:
        break;
    }
}

/* Runs against the order of the forward scan; next: a of the step that was just run. */
template <typename T>
__global__ void __launch_bounds__(CU_BLOCK) linear_scan_backward(cti_linear_scan_backward_args s)
{
    const T *a = static_cast<const T *>(s.a), *h = static_cast<const T *>(s.h);
    const T *d = static_cast<const T *>(s.d), *initial = static_cast<const T *>(s.initial);
    T *da = static_cast<T *>(s.da), *db = static_cast<T *>(s.db);
    T *dinitial = static_cast<T *>(s.dinitial);
    int64_t column, j;

    for (column = cu_thread(); column < s.outer * s.inner; column += cu_threads()) {
        int64_t o = column, i = cu_split(&o, s.inner), first = o * s.n * s.inner + i;
        double g = 0;
        T next = 0, rounded = 0;

        for (j = s.n - 1; j >= 0; j--) {
            int64_t k = first + (s.reverse ? s.n - 1 - j : j) * s.inner;
            T before = initial ? initial[column] : T(0);

            if (j > 0)
                before = h[s.reverse ? k + s.inner : k - s.inner];
            g = static_cast<double>(next) * g + static_cast<double>(d[k]);
            next = a[k];
            rounded = static_cast<T>(g);
            if (db)
                db[k] = rounded;
            if (da)
                da[k] = rounded * before;
        }
        if (dinitial)
            dinitial[column] = rounded * next;
    }
}

void cu_linear_scan_backward(const cti_linear_scan_backward_args *a)
{
    const int64_t blocks = cu_blocks(a->outer * a->inner, CU_BLOCK);

    if (a->outer == 0 || a->n == 0 || a->inner == 0)
        return;
    if (a->dtype == CT_F32)
        cu_run("linear_scan_backward", linear_scan_backward<float>, blocks, CU_BLOCK, *a);
    else
        cu_run("linear_scan_backward", linear_scan_backward<double>, blocks, CU_BLOCK, *a);
}

/* before: room for the products before each element */
template <typename T>
__global__ void __launch_bounds__(CU_BLOCK) prod_backward(cti_prod_backward_args a, double *before)
{
    const T *x = static_cast<const T *>(a.x), *d = static_cast<const T *>(a.d);
    T *dx = static_cast<T *>(a.dx);
    int64_t column, j;

    for (column = cu_thread(); column < a.outer * a.inner; column += cu_threads()) {
        int64_t o = column, i = cu_split(&o, a.inner), first = o * a.n * a.inner + i;
        double h = 1, g = static_cast<double>(d[column]);

        for (j = 0; j < a.n; j++) {
            before[first + j * a.inner] = h;
            h *= static_cast<double>(x[first + j * a.inner]);
        }
        for (j = a.n - 1; j >= 0; j--) {
            dx[first + j * a.inner] = static_cast<T>(before[first + j * a.inner] * g);
            g *= static_cast<double>(x[first + j * a.inner]);
        }
    }
}

void cu_prod_backward(const cti_prod_backward_args *a)
{
    const int64_t blocks = cu_blocks(a->outer * a->inner, CU_BLOCK);
    double *before;

    if (a->outer == 0 || a->n == 0 || a->inner == 0)
        return;
    before = static_cast<double *>(
        cu_scratch((size_t)(a->outer * a->n * a->inner) * sizeof(double), "prod_backward"));
    if (!before)
        return;
    if (a->dtype == CT_F32)
        cu_run("prod_backward", prod_backward<float>, blocks, CU_BLOCK, *a, before);
    else
        cu_run("prod_backward", prod_backward<double>, blocks, CU_BLOCK, *a, before);
    cu_scratch_free(before);
}

template <typename T>
__global__ void __launch_bounds__(CU_BLOCK) running_extreme(cti_running_extreme_args a)
{
    int64_t column, j;

    for (column = cu_thread(); column < a.outer * a.inner; column += cu_threads()) {
        int64_t o = column, i = cu_split(&o, a.inner), first = o * a.n * a.inner + i, best = 0;
        const T *x = static_cast<const T *>(a.in) + first;
        T most = x[0];

        for (j = 0; j < a.n; j++) {
            T v = x[j * a.inner];

            if (v != v || (most == most && (a.least ? v <= most : v >= most))) {
                best = j;
                most = v;
            }
            a.out[first + j * a.inner] = best;
        }
    }
}

template <typename T> static void running_extreme_start(const cti_running_extreme_args *a)
{
    cu_run("running_extreme", running_extreme<T>, cu_blocks(a->outer * a->inner, CU_BLOCK),
           CU_BLOCK, *a);
}

void cu_running_extreme(const cti_running_extreme_args *a)
{
    if (a->outer == 0 || a->n == 0 || a->inner == 0)
        return;
    switch (a->dtype) {
    case CT_F32:
        running_extreme_start<float>(a);
        break;
    case CT_F64:
        running_extreme_start<double>(a);
        break;
    case CT_I32:
        running_extreme_start<int32_t>(a);
        break;
    case CT_I64:
        running_extreme_start<int64_t>(a);
        break;
    case CT_BOOL:
    case CT_BF16:
        break;
    }
}
