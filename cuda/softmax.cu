/* SPDX-License-Identifier: MIT */
/* softmax.cu - softmax, log-softmax and cross-entropy of rows (rows, n).
 *
 * `lanes` neighbouring threads of a block share a row, so that they read it together. Their number
 * depends on n alone. */
#include "cuda/cuda.h"
#include "cuda/device.h"

/* ---- reductions over the lanes of a row ---- */

struct row_max { /* a NaN is the greatest */
    template <typename T> static __device__ T combine(T a, T b)
    {
        return cu_after(b, a) ? b : a;
    }
};

struct row_sum {
    static __device__ double combine(double a, double b)
    {
        return a + b;
    }
};

/* Every lane of a row gets R::combine of the values of all its lanes. room has one entry for each
 * thread. */
template <typename R, typename T> __device__ inline T of_row(T value, int lanes, T *room)
{
    if (lanes == 1)
        return value;
    room[threadIdx.x] = value;
    cu_combine_lanes<R>(room, lanes);
    value = room[threadIdx.x / lanes * lanes];
    __syncthreads(); /* before the caller uses room again */
    return value;
}

/* The greatest element of a row x of n; -inf for an empty row. This lane reads every lanes-th
 * element. */
template <typename T>
__device__ inline T row_greatest(const T *x, int64_t n, int lane, int lanes, T *room)
{
    T most = -INFINITY;
    int64_t j;

    for (j = lane; j < n; j += lanes)
        most = row_max::combine(most, x[j]);
    return of_row<row_max>(most, lanes, room);
}

/* The sum of exp(x - most). */
template <typename T>
__device__ inline double row_exponentials(const T *x, T most, int64_t n, int lane, int lanes,
                                          double *room)
{
    double total = 0;
    int64_t j;

    for (j = lane; j < n; j += lanes)
        total += static_cast<double>(exp(x[j] - most));
    return of_row<row_sum>(total, lanes, room);
}

/* ---- softmax: exp(x - most) / total; its logarithm: (x - most) - log(total) ---- */

template <typename T>
__global__ void __launch_bounds__(CU_BLOCK)
    softmax(bool logarithm, int64_t rows, int64_t n, int lanes, const T *in, T *out)
{
    CU_SHARED(T, values, [CU_BLOCK]);
    CU_SHARED(double, totals, [CU_BLOCK]);
    int lane = threadIdx.x % lanes, per_block = CU_BLOCK / lanes;
    int64_t first = (int64_t)blockIdx.x * per_block, row, j;

    for (; first < rows; first += (int64_t)gridDim.x * per_block) {
        row = first + threadIdx.x / lanes;
        /* threads without a row must take part in the barriers */
        int64_t length = row < rows ? n : 0;
        const T *x = in + row * n;
        T *y = out + row * n;
        T most = row_greatest(x, length, lane, lanes, values);
        T total = static_cast<T>(row_exponentials(x, most, length, lane, lanes, totals));
        T log_total = logarithm ? log(total) : T(0);

        for (j = lane; j < length; j += lanes)
            y[j] = logarithm ? (x[j] - most) - log_total : exp(x[j] - most) / total;
    }
}

/* Returns the number of lanes for a row: 8 for rows of 17 to 128, so that a warp reads one sector
 * of each of four rows at a time. */
static int lanes_of(int64_t n)
{
    int lanes = 1;

    while (lanes < CU_BLOCK && (int64_t)lanes * (lanes < 8 ? 4 : 16) < n)
        lanes *= 2;
    return lanes;
}

template <typename T> static void softmax_start(const cti_softmax_args *a)
{
    int lanes = lanes_of(a->n);

    cu_run("softmax", softmax<T>, cu_blocks(a->rows, CU_BLOCK / lanes), CU_BLOCK, a->logarithm,
           a->rows, a->n, lanes, static_cast<const T *>(a->in), static_cast<T *>(a->out));
}

void cu_softmax(const cti_softmax_args *a)
{
    if (a->n == 0)
        return;
    if (a->dtype == CT_F64)
        softmax_start<double>(a);
    else
        softmax_start<float>(a);
}

/* ---- cross-entropy: loss = lse + (1 - s) (most - x[target]) + s mean(most - x), for the smoothing
 * s and the greatest score most. Scores are subtracted from each other before anything is added, so
 * a constant added to all scores does not change the result. ---- */

struct targets {
    const void *index;
    ct_dtype dtype;
    int64_t ignore;
    double smoothing;
};

template <typename T>
__global__ void __launch_bounds__(CU_BLOCK)
    cross_entropy(int64_t rows, int64_t n, int lanes, const T *in, targets t, T *loss, T *greatest,
                  T *lse, unsigned long long *fault, uint32_t ticket)
{
    CU_SHARED(T, values, [CU_BLOCK]);
    CU_SHARED(double, totals, [CU_BLOCK]);
    int lane = threadIdx.x % lanes, per_block = CU_BLOCK / lanes;
    int64_t first = (int64_t)blockIdx.x * per_block, row, j;

    for (; first < rows; first += (int64_t)gridDim.x * per_block) {
        row = first + threadIdx.x / lanes;
        int64_t length = row < rows ? n : 0;
        const T *x = in + row * n;
        T most = row_greatest(x, length, lane, lanes, values);
        double total = row_exponentials(x, most, length, lane, lanes, totals), mean = 0, l;

        if (t.smoothing != 0) {
            for (j = lane; j < length; j += lanes)
                mean += static_cast<double>(most - x[j]);
            mean = of_row<row_sum>(mean, lanes, totals) / static_cast<double>(n);
        }
        if (lane != 0 || row >= rows)
            continue;
        l = isinf(most) ? 0 : log(total); /* with infinite scores the sum is not finite */
        greatest[row] = most;
        lse[row] = static_cast<T>(l);
        j = cu_index_at(t.index, t.dtype, row);
        if (j != t.ignore && (j < 0 || j >= n)) {
            cu_fault(fault, ticket, row);
            j = t.ignore;
        }
        loss[row] = j == t.ignore
                        ? T(0)
                        : static_cast<T>(l + (1 - t.smoothing) * static_cast<double>(most - x[j]) +
                                         t.smoothing * mean);
    }
}

template <typename T>
static void cross_entropy_start(const cti_cross_entropy_args *a, uint32_t ticket)
{
    targets t = { a->target, a->index_dtype, a->ignore, a->smoothing };
    int lanes = lanes_of(a->n);

    cu_run("cross_entropy", cross_entropy<T>, cu_blocks(a->rows, CU_BLOCK / lanes), CU_BLOCK,
           a->rows, a->n, lanes, static_cast<const T *>(a->in), t, static_cast<T *>(a->loss),
           static_cast<T *>(a->most), static_cast<T *>(a->lse), cu_fault_word(), ticket);
}

ct_status cu_cross_entropy(const cti_cross_entropy_args *a, cti_fault *fault)
{
    if (a->dtype == CT_F64)
        cross_entropy_start<double>(a, fault->ticket);
    else
        cross_entropy_start<float>(a, fault->ticket);
    return CT_OK;
}

/* ---- its derivative: din = dloss (softmax - smoothed target), one thread for each element ---- */

template <typename T>
__global__ void __launch_bounds__(CU_BLOCK)
    cross_entropy_backward(int64_t rows, int64_t n, const T *in, targets t, const T *most,
                           const T *lse, const T *dloss, int64_t dloss_step, T *din)
{
    T shift = static_cast<T>(t.smoothing / static_cast<double>(n));
    int64_t i;

    for (i = cu_thread(); i < rows * n; i += cu_threads()) {
        int64_t row = i, j = cu_split(&row, n), k = cu_index_at(t.index, t.dtype, row);
        T g = dloss[row * dloss_step], d = g * (exp(in[i] - most[row] - lse[row]) - shift);

        if (j == k)
            d = static_cast<T>(static_cast<double>(d) - static_cast<double>(g) * (1 - t.smoothing));
        din[i] = k == t.ignore ? T(0) : d;
    }
}

template <typename T>
static void cross_entropy_backward_start(const cti_cross_entropy_backward_args *a)
{
    targets t = { a->target, a->index_dtype, a->ignore, a->smoothing };

    cu_run("cross_entropy_backward", cross_entropy_backward<T>, cu_blocks(a->rows * a->n, CU_BLOCK),
           CU_BLOCK, a->rows, a->n, static_cast<const T *>(a->in), t,
           static_cast<const T *>(a->most), static_cast<const T *>(a->lse),
           static_cast<const T *>(a->dloss), a->dloss_step, static_cast<T *>(a->din));
}

void cu_cross_entropy_backward(const cti_cross_entropy_backward_args *a)
{
    if (a->dtype == CT_F64)
        cross_entropy_backward_start<double>(a);
    else
        cross_entropy_backward_start<float>(a);
}

/* ---- linear_cross_entropy: composed from the product and the kernels above ---- */

ct_status cu_linear_cross_entropy(const cti_linear_cross_entropy_args *a, cti_fault *fault)
{
    (void)a, (void)fault;
    return CT_ERR_MEMORY;
}
