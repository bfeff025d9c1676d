/* random.cu - uniforms, normals, dropout and multinomial draws from Philox (tensor/philox.h): a
 * block of four words each thread. */
#include "cuda/cuda.h"
#include "cuda/device.h"

#undef CTI_INLINE
#define CTI_INLINE static __device__ inline
#include "tensor/philox.h"

/* Stores N numbers as elements N * block and the following, up to n: in one access where all N fit
 * and out is aligned. */
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

/* ---- multinomial: a thread for each row, which sums in order, so that the CPU draws the same ----
 * */

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
    multinomial(cti_multinomial_args a, unsigned long long *fault, uint32_t ticket)
{
    int64_t row, i, d;

    for (row = cu_thread(); row < a.rows; row += cu_threads()) {
        double *weight = a.weights + row * a.n, total = 0;
        bool good = true;

        for (i = 0; i < a.n; i++)
            good = good && weight[i] >= 0 && isfinite(weight[i]);
        for (d = row * a.k; d < row * a.k + a.k; d++) {
            int64_t at = -1;

            if (!a.replacement || d == row * a.k)
                total = total_of(weight, a.n);
            if (good)
                at = position_of(weight, a.n, CTI_MUL(uniform_of_draw(a.from, d), total));
            good = at >= 0;
            a.out[d] = good ? at : 0;
            if (good && !a.replacement)
                weight[at] = 0;
        }
        if (!good)
            cu_fault(fault, ticket, row);
    }
}

ct_status cu_multinomial(const cti_multinomial_args *a, cti_fault *fault)
{
    cu_run("multinomial", multinomial, cu_blocks(a->rows, CU_BLOCK), CU_BLOCK, *a, cu_fault_word(),
           fault->ticket);
    return CT_OK;
}
