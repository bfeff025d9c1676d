/* random.cu - uniforms, normals, dropout and multinomial draws from Philox (tensor/philox.h): a
 * block of four words each thread. */
#include "cuda/cuda.h"
#include "cuda/device.h"

#undef CTI_INLINE
#define CTI_INLINE static __device__ inline
#include "tensor/philox.h"

/* N numbers to elements N block.. of n: in one access where all are there and out is aligned. */
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
    draw(int64_t n, T *out, bool normal, double a, double b, cti_position from)
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

static void start(const char *slot, bool normal, void *data, ct_dtype dtype, int64_t n, double a,
                  double b, const cti_position *from)
{
    if (dtype == CT_F64)
        cu_run(slot, draw<double>, cu_blocks((n + 1) / 2, CU_BLOCK), CU_BLOCK, n,
               static_cast<double *>(data), normal, a, b, *from);
    else
        cu_run(slot, draw<float>, cu_blocks((n + 3) / 4, CU_BLOCK), CU_BLOCK, n,
               static_cast<float *>(data), normal, a, b, *from);
}

void cu_uniform(void *data, ct_dtype dtype, int64_t n, double low, double high,
                const cti_position *from)
{
    start("uniform", false, data, dtype, n, low, high, from);
}

void cu_normal(void *data, ct_dtype dtype, int64_t n, double mean, double std,
               const cti_position *from)
{
    start("normal", true, data, dtype, n, mean, std, from);
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

void cu_dropout(ct_dtype dtype, int64_t n, double p, const cti_position *from, const void *in,
                void *out)
{
    uint64_t below = (uint64_t)(p * 4294967296.0);
    double scale = 1 / (1 - p);
    int64_t blocks = cu_blocks((n + 3) / 4, CU_BLOCK);

    if (dtype == CT_F64)
        cu_run("dropout", dropout<double>, blocks, CU_BLOCK, n, below, scale, *from,
               static_cast<const double *>(in), static_cast<double *>(out));
    else
        cu_run("dropout", dropout<float>, blocks, CU_BLOCK, n, below, static_cast<float>(scale),
               *from, static_cast<const float *>(in), static_cast<float *>(out));
}

/* ---- multinomial: a row each thread, summed in order, so that draws are the CPU's ---- */

struct choice {
    int64_t rows, n, k;
    bool replacement;
};

__device__ inline double total_of(const double *weight, int64_t n)
{
    double total = 0;
    int64_t i;

    for (i = 0; i < n; i++)
        total += weight[i];
    return total;
}

/* Where the running sum of the weights passes `most`; else the last positive one, or -1. */
__device__ inline int64_t position_of(const double *weight, int64_t n, double most)
{
    double sum = 0;
    int64_t i, last = -1;

    for (i = 0; i < n; i++) {
        sum += weight[i];
        if (weight[i] > 0) {
            last = i;
            if (sum > most)
                break;
        }
    }
    return last;
}

/* Draw number d takes words 2 d and 2 d + 1. */
__device__ inline double uniform_of_draw(const cti_position &from, int64_t d)
{
    uint32_t w[4];

    cti_philox(from.seed, from.stream, cti_first_block(&from) + (uint64_t)(d / 2), w);
    return d % 2 ? cti_uniform_of_words(w[2], w[3]) : cti_uniform_of_words(w[0], w[1]);
}

__global__ void __launch_bounds__(CU_BLOCK)
    multinomial(choice c, double *weights, cti_position from, int64_t *out,
                unsigned long long *fault, uint32_t ticket)
{
    int64_t row, i, d;

    for (row = cu_thread(); row < c.rows; row += cu_threads()) {
        double *weight = weights + row * c.n, total = 0;
        bool good = true;

        for (i = 0; i < c.n; i++)
            good = good && weight[i] >= 0 && isfinite(weight[i]);
        for (d = row * c.k; d < row * c.k + c.k; d++) {
            int64_t at = -1;

            if (!c.replacement || d == row * c.k)
                total = total_of(weight, c.n);
            if (good)
                at = position_of(weight, c.n, CTI_MUL(uniform_of_draw(from, d), total));
            good = at >= 0;
            out[d] = good ? at : 0;
            if (good && !c.replacement)
                weight[at] = 0;
        }
        if (!good)
            cu_fault(fault, ticket, row);
    }
}

ct_status cu_multinomial(int64_t rows, int64_t n, int64_t k, bool replacement, double *weights,
                         const cti_position *from, int64_t *out, cti_fault *fault)
{
    choice c = { rows, n, k, replacement };

    cu_run("multinomial", multinomial, cu_blocks(rows, CU_BLOCK), CU_BLOCK, c, weights, *from, out,
           cu_fault_word(), fault->ticket);
    return CT_OK;
}
