/* SPDX-License-Identifier: MIT */
/* random.cu - uniforms, normals, integers, dropout and multinomial draws from Philox
 * (tensor/philox.h); each thread uses one block of four words. Also checks for elements that an op
 * does not allow. */
#include "cuda/cuda.h"
#include "cuda/device.h"

#undef CTI_INLINE
#define CTI_INLINE static __device__ inline
#include "tensor/philox.h"

/* Stores N numbers as elements N * block, N * block + 1, ..., but not beyond n. Uses one access if
 * all N fit and out is aligned. */
template <typename T, int N>
__device__ inline void store_block(T *out, int64_t n, int64_t block, const T *v)
{
    int64_t i = block * N;
    int k;

    if (i + N <= n && reinterpret_cast<uintptr_t>(out) % (N * sizeof(T)) == 0) {
        cu_pack<T, N> pack;

        for (k = 0; k < N; k++)
            pack.v[k] = v[k];
        reinterpret_cast<cu_pack<T, N> *>(out)[block] = pack;
        return;
    }
    for (k = 0; k < N; k++)
        if (i + k < n)
            out[i + k] = v[k];
}

/* ---- element i of an f32 takes word i, of an f64 words 2 i and 2 i + 1 ---- */

__device__ inline void draw_block(bool normal, double a, double b, const uint32_t w[4], float *v)
{
    cti_draw_f32(normal, a, b, w, v);
}

__device__ inline void draw_block(bool normal, double a, double b, const uint32_t w[4], double *v)
{
    cti_draw_f64(normal, a, b, w, v);
}

template <typename T>
__global__ void __launch_bounds__(CU_BLOCK)
    draw_blocks(int64_t n, T *out, bool normal, double a, double b, cti_position from)
{
    const uint64_t first = cti_first_block(&from);
    const int each = 16 / sizeof(T);
    int64_t block;

    for (block = cu_thread(); block * each < n; block += cu_threads()) {
        uint32_t w[4];
        T v[each];

        cti_philox(from.seed, from.stream, first + (uint64_t)block, w);
        draw_block(normal, a, b, w, v);
        store_block<T, each>(out, n, block, v);
    }
}

static void draw_start(const char *slot, bool normal, const cti_draw_args *a)
{
    if (a->dtype == CT_F64)
        cu_run(slot, draw_blocks<double>, cu_blocks((a->n + 1) / 2, CU_BLOCK), CU_BLOCK, a->n,
               static_cast<double *>(a->out), normal, a->a, a->b, a->from);
    else
        cu_run(slot, draw_blocks<float>, cu_blocks((a->n + 3) / 4, CU_BLOCK), CU_BLOCK, a->n,
               static_cast<float *>(a->out), normal, a->a, a->b, a->from);
}

void cu_uniform(const cti_draw_args *a)
{
    draw_start("uniform", false, a);
}

void cu_normal(const cti_draw_args *a)
{
    draw_start("normal", true, a);
}

/* ---- dropout: element i takes word i; a word below drops it ---- */

template <typename T>
__global__ void __launch_bounds__(CU_BLOCK)
    dropout(int64_t n, uint64_t below, T scale, cti_position from, const T *in, T *out)
{
    const uint64_t first = cti_first_block(&from);
    int64_t block, k;

    for (block = cu_thread(); block * 4 < n; block += cu_threads()) {
        uint32_t w[4];

        cti_philox(from.seed, from.stream, first + (uint64_t)block, w);
        for (k = 0; k < 4; k++) {
            int64_t i = block * 4 + k;

            if (i < n)
                out[i] = w[k] < below ? T(0) : in[i] * scale;
        }
    }
}

void cu_dropout(const cti_dropout_args *a)
{
    uint64_t below = (uint64_t)(a->p * 4294967296.0);
    double scale = 1 / (1 - a->p);
    int64_t blocks = cu_blocks((a->n + 3) / 4, CU_BLOCK);

    if (a->dtype == CT_F64)
        cu_run("dropout", dropout<double>, blocks, CU_BLOCK, a->n, below, scale, a->from,
               static_cast<const double *>(a->in), static_cast<double *>(a->out));
    else
        cu_run("dropout", dropout<float>, blocks, CU_BLOCK, a->n, below, static_cast<float>(scale),
               a->from, static_cast<const float *>(a->in), static_cast<float *>(a->out));
}

/* ---- integers: element i takes words 2 i and 2 i + 1 ---- */

template <typename T>
__global__ void __launch_bounds__(CU_BLOCK) draw_integers(cti_randint_args a, T *out)
{
    const uint64_t first = cti_first_block(&a.from);
    int64_t block, k;

    for (block = cu_thread(); block * 2 < a.n; block += cu_threads()) {
        uint64_t pair[2];

        cti_draw_integers(&a.from, first + (uint64_t)block, a.range, pair);
        for (k = 0; k < 2; k++)
            if (block * 2 + k < a.n)
                out[block * 2 + k] = static_cast<T>((uint64_t)a.low + pair[k]);
    }
}

void cu_randint(const cti_randint_args *a)
{
    int64_t blocks = cu_blocks((a->n + 1) / 2, CU_BLOCK);

    if (a->dtype == CT_I64)
        cu_run("randint", draw_integers<int64_t>, blocks, CU_BLOCK, *a,
               static_cast<int64_t *>(a->out));
    else
        cu_run("randint", draw_integers<int32_t>, blocks, CU_BLOCK, *a,
               static_cast<int32_t *>(a->out));
}

/* ---- multinomial: running sums in place, then a binary search for each draw ---- */

__device__ inline bool is_weight(double w)
{
    return w >= 0 && isfinite(w);
}

/* The running sums within each chain. One thread adds in order, so that they have the CPU's
 * bits. */
__global__ void __launch_bounds__(CU_BLOCK)
    sum_chains(cti_multinomial_args a, int64_t chains, unsigned long long *fault, uint32_t ticket)
{
    int64_t at, i;

    for (at = cu_thread(); at < a.rows * chains; at += cu_threads()) {
        int64_t row = at, chain = cu_split(&row, chains), end = (chain + 1) * CTI_CHAIN;
        double *w = a.weights + row * a.n, sum = 0;
        bool good = true;

        for (i = chain * CTI_CHAIN; i < end && i < a.n; i++) {
            good = good && is_weight(w[i]);
            sum += w[i];
            w[i] = sum;
        }
        if (!good)
            cu_fault(fault, ticket, row);
    }
}

/* Replaces the last sum of each chain by the running sum of the row. */
__global__ void __launch_bounds__(CU_BLOCK)
    sum_totals(cti_multinomial_args a, int64_t chains, unsigned long long *fault, uint32_t ticket)
{
    int64_t row, chain;

    for (row = cu_thread(); row < a.rows; row += cu_threads()) {
        double before = 0;

        for (chain = 0; chain < chains; chain++) {
            int64_t end = (chain + 1) * CTI_CHAIN < a.n ? (chain + 1) * CTI_CHAIN : a.n;
            double *last = a.weights + row * a.n + end - 1;

            before += *last;
            *last = before;
        }
        if (!(before > 0 && isfinite(before)))
            cu_fault(fault, ticket, row);
    }
}

/* Adds the last sum of the previous chain to all sums of a chain but its last one, so no thread
 * reads a sum that this kernel writes. */
__global__ void __launch_bounds__(CU_BLOCK) sum_within(cti_multinomial_args a)
{
    int64_t at;

    for (at = cu_thread(); at < a.rows * a.n; at += cu_threads()) {
        int64_t row = at, i = cu_split(&row, a.n), chain = i / CTI_CHAIN;

        if (chain > 0 && i + 1 < a.n && (i + 1) % CTI_CHAIN != 0)
            a.weights[at] += a.weights[row * a.n + chain * CTI_CHAIN - 1];
    }
}

/* The same search as the CPU's multinomial_search. */
__device__ inline int64_t position_of(const double *sum, int64_t n, double u)
{
    double total = sum[n - 1], most = CTI_MUL(u, total);
    int64_t low = 0, high = n - 1;

    while (low < high) {
        int64_t middle = low + (high - low) / 2;

        if (sum[middle] > most || sum[middle] >= total)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

__global__ void __launch_bounds__(CU_BLOCK) draw_positions(cti_multinomial_args a)
{
    const uint64_t first = cti_first_block(&a.from);
    int64_t d;

    for (d = cu_thread(); d < a.rows * a.k; d += cu_threads()) {
        uint32_t w[4];
        int half = (int)(d % 2) * 2;

        cti_philox(a.from.seed, a.from.stream, first + (uint64_t)(d / 2), w);
        a.out[d] = a.n ? position_of(a.weights + d / a.k * a.n, a.n,
                                     cti_uniform_of_words(w[half], w[half + 1]))
                       : 0;
    }
}

ct_status cu_multinomial(const cti_multinomial_args *a, cti_fault *fault)
{
    int64_t chains = (a->n + CTI_CHAIN - 1) / CTI_CHAIN;
    unsigned long long *word = cu_fault_word();

    cu_run("multinomial", sum_chains, cu_blocks(a->rows * chains, CU_BLOCK), CU_BLOCK, *a, chains,
           word, fault->ticket);
    cu_run("multinomial", sum_totals, cu_blocks(a->rows, CU_BLOCK), CU_BLOCK, *a, chains, word,
           fault->ticket);
    if (chains > 1)
        cu_run("multinomial", sum_within, cu_blocks(a->rows * a->n, CU_BLOCK), CU_BLOCK, *a);
    cu_run("multinomial", draw_positions, cu_blocks(a->rows * a->k, CU_BLOCK), CU_BLOCK, *a);
    return CT_OK;
}

/* ---- multinomial_keys ---- */

struct count_positive {
    static __device__ int64_t combine(int64_t a, int64_t b)
    {
        return a + b;
    }
};

/* One block for each row: checks its weights and counts the positive ones. */
__global__ void __launch_bounds__(CU_BLOCK)
    check_weights(cti_multinomial_args a, unsigned long long *fault, uint32_t ticket)
{
    CU_SHARED(int64_t, value, [CU_BLOCK]);
    int64_t row, i;

    for (row = blockIdx.x; row < a.rows; row += gridDim.x) {
        const double *w = a.weights + row * a.n;
        int64_t positive = 0;
        bool good = true;

        for (i = threadIdx.x; i < a.n; i += CU_BLOCK) {
            good = good && is_weight(w[i]);
            positive += w[i] > 0;
        }
        value[threadIdx.x] = positive;
        cu_combine_lanes<count_positive>(value, CU_BLOCK);
        if (!good || (threadIdx.x == 0 && value[0] < a.k))
            cu_fault(fault, ticket, row);
        __syncthreads();
    }
}

__global__ void __launch_bounds__(CU_BLOCK) draw_keys(cti_multinomial_args a)
{
    const uint64_t first = cti_first_block(&a.from);
    int64_t n = a.rows * a.n, block, k;

    for (block = cu_thread(); block * 2 < n; block += cu_threads()) {
        uint32_t w[4];

        cti_philox(a.from.seed, a.from.stream, first + (uint64_t)block, w);
        for (k = 0; k < 2; k++)
            if (block * 2 + k < n)
                a.weights[block * 2 + k] =
                    cti_key_of_weight(a.weights[block * 2 + k], w[2 * k], w[2 * k + 1]);
    }
}

ct_status cu_multinomial_keys(const cti_multinomial_args *a, cti_fault *fault)
{
    int64_t rows = a->rows < CU_MOST_BLOCKS ? a->rows : CU_MOST_BLOCKS;

    cu_run("multinomial_keys", check_weights, rows, CU_BLOCK, *a, cu_fault_word(), fault->ticket);
    cu_run("multinomial_keys", draw_keys, cu_blocks((a->rows * a->n + 1) / 2, CU_BLOCK), CU_BLOCK,
           *a);
    return CT_OK;
}

/* ---- checks ---- */

template <typename T>
__global__ void __launch_bounds__(CU_BLOCK)
    refuse_elements(cti_check_kind kind, int64_t n, const T *in, unsigned long long *fault,
                    uint32_t ticket)
{
    int64_t i;

    for (i = cu_thread(); i < n; i += cu_threads())
        if (kind == CTI_CHECK_DIVISOR ? in[i] == 0 : !(in[i] >= 0 && in[i] <= 1))
            cu_fault(fault, ticket, i);
}

template <typename T> static void check_start(const cti_check_args *a, uint32_t ticket)
{
    cu_run("check_elements", refuse_elements<T>, cu_blocks(a->n, CU_BLOCK), CU_BLOCK, a->kind, a->n,
           static_cast<const T *>(a->in), cu_fault_word(), ticket);
}

ct_status cu_check_elements(const cti_check_args *a, cti_fault *fault)
{
    switch (a->dtype) {
    case CT_F32:
        check_start<float>(a, fault->ticket);
        break;
    case CT_F64:
        check_start<double>(a, fault->ticket);
        break;
    case CT_I32:
        check_start<int32_t>(a, fault->ticket);
        break;
    case CT_I64:
        check_start<int64_t>(a, fault->ticket);
        break;
    case CT_BOOL:
    case CT_BF16:
        break;
    }
    return CT_OK;
}
