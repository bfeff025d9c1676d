/* cuda.h - the plug-in's slots, its streams and memory, how kernels are started. (internal)
 *
 * Slots have the signatures of tensor/backend.h, where their meaning is. All work of a device goes
 * through one stream, in the order of the calls. */
#ifndef COTANGENT_CUDA_CUDA_H
#define COTANGENT_CUDA_CUDA_H

#include "cuda/launch.h"

#include "tensor/backend.h"

/* Bytes of an element. */
inline size_t cu_size_of(ct_dtype dtype)
{
    return dtype == CT_F64 || dtype == CT_I64   ? 8
           : dtype == CT_F32 || dtype == CT_I32 ? 4
           : dtype == CT_BF16                   ? 2
                                                : 1;
}

/* ---- backend.cu ---- */

/* The stream of all kernels. */
cudaStream_t cu_stream();

/* True for cudaSuccess; else raises the error with the slot's name. */
bool cu_check(cudaError_t error, const char *slot);
void cu_raise(ct_status status, const char *slot, const char *what);

/* Counts a launch that cu_run does not make: a routine of cuBLAS. */
void cu_count_launch();

/* Memory until the stream gets to its release; NULL with an error raised. */
void *cu_scratch(size_t bytes, const char *slot);
void cu_scratch_free(void *p);

/* The calling thread's fault word, in device memory. */
unsigned long long *cu_fault_word();

/* The device's copy of bytes from the host, which may change them at once. */
void cu_upload(void *device, const void *host, size_t bytes);

/* Blocks for n threads of work in blocks of block threads; kernels go on by grid strides. Few on the
 * emulated GPU, which has no use for more, so that tests of a thousand elements go on. */
#ifdef __CUDACC__
#define CU_MOST_BLOCKS (1 << 20)
#else
#define CU_MOST_BLOCKS 2
#endif

inline int64_t cu_blocks(int64_t n, int block)
{
    int64_t blocks = (n + block - 1) / block;

    return blocks < CU_MOST_BLOCKS ? blocks : CU_MOST_BLOCKS;
}

/* Starts a kernel on the stream; nothing for no blocks. */
template <typename... P, typename... A>
void cu_run(const char *slot, void (*kernel)(P...), int64_t blocks, int threads, A... args)
{
    if (blocks <= 0)
        return;
    cu_count_launch();
    cu_check(
        cu_launch(kernel, dim3((unsigned)blocks), dim3((unsigned)threads), 0, cu_stream(), args...),
        slot);
}

/* ---- the slots, by file ---- */

void cu_copy(int rank, const int64_t *dim, const cti_array *dst, const cti_array *src);
void cu_carry(int rank, const int64_t *dim, const cti_array *dst, const cti_array *src);
void cu_fill(void *data, ct_dtype dtype, int64_t n, double value);
void cu_arange(void *data, ct_dtype dtype, int64_t n, double start, double step);

void cu_elementwise(const cti_ew *e);

void cu_gemm(const cti_gemm *g);
bool cu_refuses_bf16(bool bf16, const char *what); /* true, with an error raised, if so */

void cu_reduce(cti_reduce_op op, ct_dtype dtype, int64_t outer, int64_t n, int64_t inner,
               const void *in, void *out);

void cu_cumsum(ct_dtype dtype, bool reverse, int64_t outer, int64_t n, int64_t inner,
               const void *in, void *out);

ct_status cu_gather_rows(ct_dtype dtype, ct_dtype index_dtype, int64_t count, int64_t width,
                         int64_t rows, const void *src, const void *index, void *out,
                         cti_fault *fault);
ct_status cu_scatter_add_rows(ct_dtype dtype, ct_dtype index_dtype, int64_t count, int64_t width,
                              int64_t rows, void *dst, const void *index, const void *src,
                              cti_fault *fault);
ct_status cu_one_hot(ct_dtype dtype, ct_dtype index_dtype, int64_t count, int64_t width,
                     const void *index, void *out, cti_fault *fault);
ct_status cu_gather(ct_dtype dtype, ct_dtype index_dtype, int64_t outer, int64_t n, int64_t m,
                    int64_t inner, const void *src, const void *index, void *out, cti_fault *fault);
ct_status cu_scatter_add(ct_dtype dtype, ct_dtype index_dtype, int64_t outer, int64_t n, int64_t m,
                         int64_t inner, void *dst, const void *index, const void *src,
                         cti_fault *fault);

void cu_sort(ct_dtype dtype, bool descending, int64_t rows, int64_t n, int64_t k, const void *in,
             int64_t *order, int64_t *scratch);

void cu_uniform(void *data, ct_dtype dtype, int64_t n, double low, double high,
                const cti_position *from);
void cu_normal(void *data, ct_dtype dtype, int64_t n, double mean, double std,
               const cti_position *from);
void cu_dropout(ct_dtype dtype, int64_t n, double p, const cti_position *from, const void *in,
                void *out);
ct_status cu_multinomial(int64_t rows, int64_t n, int64_t k, bool replacement, double *weights,
                         const cti_position *from, int64_t *out, cti_fault *fault);

void cu_softmax(ct_dtype dtype, bool logarithm, int64_t rows, int64_t n, const void *in, void *out);
ct_status cu_cross_entropy(ct_dtype dtype, ct_dtype index_dtype, int64_t rows, int64_t n,
                           const void *in, const void *target, int64_t ignore, double smoothing,
                           void *loss, void *lse, cti_fault *fault);
void cu_cross_entropy_backward(ct_dtype dtype, ct_dtype index_dtype, int64_t rows, int64_t n,
                               const void *in, const void *target, int64_t ignore, double smoothing,
                               const void *lse, const void *dloss, int64_t dloss_step, void *din);

void cu_sequence(const cti_sequence *s);
void cu_sequence_backward(const cti_sequence *s);

void cu_norm_squared(const cti_segment *segments, int count, double *out);
ct_status cu_clip_norm(const cti_segment *segments, int count, double max_norm, double *norm,
                       cti_fault *fault);
void cu_update(const cti_update *u, const cti_segment *segments, int count);

#endif
