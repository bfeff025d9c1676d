/* cpu.h - what the files of the CPU's kernels share. (internal)
 *
 * A kernel of the table (cti_cpu_NAME, one file for each family, with the file names of cuda/)
 * checks its data, cuts its work into pieces by shape alone, and gives each piece to a loop. The
 * loops are in kernels.c, which is compiled once for each code path: base for any processor of the
 * kind, avx2 and avx512 for x86-64. Each copy fills one table, cti_cpu_path_base and so on; the
 * library chooses among those that were built when it runs (cti_cpu_path_get in backend.c).
 *
 *     kernels.c    includes loops_*.h once with T = float and once with T = double
 *                  (loops_number.h also with int32_t and int64_t), and fills the table
 *     loops_*.h    the loops, written for a type T; FN(name) is name_f32 or name_f64, M(exp) the
 *                  type's own function, from math.h
 *     Makefile.am  libcpu_base, libcpu_avx2, libcpu_avx512: the same sources with -DCT_CPU_PATH and
 *                  the processor's flags, which m4/ct_cpu.m4 finds. No other file gets such
 *                  flags, so the library runs where the processor has no such instructions.
 *
 * On a processor that is not x86-64 only base is built, and nothing may name another path but
 * between #ifdef CT_HAVE_AVX2_PATH (or AVX512, BF16). */
#ifndef COTANGENT_TENSOR_CPU_H
#define COTANGENT_TENSOR_CPU_H

#include "tensor/internal.h"

/* One run of n elements of an elementwise op; strides in elements. */
typedef void (*cti_loop)(int64_t n, void *out, int64_t so, const void *a, int64_t sa, const void *b,
                         int64_t sb, const void *c, int64_t sc, const double *param);

#define CTI_CONV_ROWS 6 /* channels of a convolution at a time, at most */

#define LOSS_ROWS 64  /* of class scores at a time, at most */
#define SHORT_ROW 128 /* of a row that stands beside others in vectors, at most */

/* Loops over rows of one dtype. */
typedef struct cti_row_loops {
    /* out[i] = sum over j of in[j * stride + i], i < width: sums in double */
    void (*sum_rows)(int64_t n, int64_t stride, int64_t width, const void *in, void *out);
    double (*sum)(int64_t n, const void *in);
    double (*sum_squares)(int64_t n, const void *in);
    void (*softmax)(bool logarithm, int64_t n, const void *in, void *out);
    /* of each row the greatest element and the log of the sum of exp(x - most) */
    void (*log_sum_exp)(int64_t rows, int64_t n, const void *in, void *most, void *log_sum);
    /* of rows up to LOSS_ROWS; target -1: ignored. See loops_loss.h. */
    void (*cross_entropy)(int64_t rows, int64_t n, const void *in, const int64_t *target,
                          double smoothing, void *loss, void *most, void *lse);
    void (*cross_entropy_backward)(int64_t rows, int64_t n, const void *in, const int64_t *target,
                                   double smoothing, const void *most, const void *lse,
                                   const void *dloss, int64_t dloss_step, void *din);
    /* n <= SHORT_ROW: both in one pass, all gradients of losses being scale, and din transposed:
     * (n, LOSS_ROWS) */
    void (*cross_entropy_tile)(int64_t rows, int64_t n, const void *in, const int64_t *target,
                               double smoothing, double scale, void *loss, void *din);
    void (*add_row)(int64_t n, void *dst, const void *src);

    /* rows of width elements, ldx and ldo apart: out = x + bias (NULL: x, bias is 0). start_rows:
     * of bias alone. */
    void (*add_bias)(int64_t rows, int64_t width, const void *x, int64_t ldx, const void *bias,
                     void *out, int64_t ldo);
    /* rows by number of a table, with a bias or NULL */
    void (*gather_rows)(int64_t rows, int64_t width, const void *table, const int64_t *row,
                        const void *bias, void *out);
    void (*start_rows)(int64_t rows, int64_t width, const void *bias, void *out, int64_t ldo);

    /* Recurrent cells, rows (rows, width) at a time; see rnn.c. */
    void (*activate)(bool relu, int64_t n, void *h);
    void (*activate_backward)(bool relu, int64_t n, const void *h, const void *dy, const void *dh,
                              void *dx);
    void (*lstm)(int64_t rows, int64_t hidden, void *gates, const void *c_before, void *c, void *h);
    void (*lstm_backward)(int64_t rows, int64_t hidden, const void *gates, const void *c_before,
                          const void *c, const void *dy, const void *dh, void *dc, void *dgates);
    void (*gru)(int64_t rows, int64_t hidden, const void *x, const void *hx, const void *h_before,
                void *gates, void *hn, void *h);
    void (*gru_backward)(int64_t rows, int64_t hidden, const void *gates, const void *hn,
                         const void *h_before, const void *dy, void *dh, void *dx, void *dhx);

    /* m rows of a product: the plain way, in the order of k; see loops_gemm.h */
    void (*gemm)(const cti_gemm *g, int64_t m, const void *a, const void *b, void *c);

    /* Convolution; see loops_conv.h. conv: of one or four vectors of positions, out[i ldo + j] =
     * sum over k of w[k rows + i] x[offset[k] + j], added to out if `more`. */
    void (*conv)(int rows, bool wide, int64_t count, const void *w, const int64_t *offset,
                 const void *x, void *out, int64_t ldo, bool more);
    /* w[i ldw + k] += sum over j < n of y[i ldy + j] x[offset[k] + j]; n is whole vectors */
    void (*conv_weight)(int rows, int64_t count, int64_t n, const void *y, int64_t ldy,
                        const void *x, const int64_t *offset, void *w, int64_t ldw);
    /* n elements, step apart in out and from_step in x: out = x + bias; and step apart in x: out = x */
    void (*conv_store)(int64_t n, const void *x, int64_t from_step, const void *bias, void *out,
                       int64_t step);
    void (*conv_load)(int64_t n, const void *x, int64_t step, void *out);

    /* elements at .. at + n - 1 of a segment, by rule */
    void (*update[CTI_RULES])(int64_t at, int64_t n, const cti_update *u, const cti_segment *s);
} cti_row_loops;

typedef struct cti_cpu_path {
    const char *name;
    int vector_bytes; /* of a vector register that its loops use */
    cti_loop f32[CTI_EW_COUNT], f64[CTI_EW_COUNT], i32[CTI_EW_COUNT], i64[CTI_EW_COUNT];
    cti_loop b8[CTI_EW_COUNT]; /* bool; where also moves 2-byte elements by w16 */
    cti_loop where16;
    cti_row_loops rows_f32, rows_f64;
} cti_cpu_path;

extern const cti_cpu_path cti_cpu_path_base;
#ifdef CT_HAVE_AVX2_PATH
extern const cti_cpu_path cti_cpu_path_avx2;
#endif
#ifdef CT_HAVE_AVX512_PATH
extern const cti_cpu_path cti_cpu_path_avx512;
#endif

/* The path in use: the best that this processor has, or base where ct_set_portable asks for it. */
const cti_cpu_path *cti_cpu_path_get(void);

/* Its loops over rows of a float dtype. */
static inline const cti_row_loops *cti_cpu_rows_of(ct_dtype dtype)
{
    const cti_cpu_path *path = cti_cpu_path_get();

    return dtype == CT_F64 ? &path->rows_f64 : &path->rows_f32;
}

/* Elements of elementwise work in a piece. Pieces depend on shapes alone, never on the number of
 * threads. */
#define CTI_CPU_PIECE 16384

/* The kernels of the table: cti_cpu_fill, ... */
#define CTI_CPU_PROTOTYPE(result, name, parameters) result cti_cpu_##name parameters;
CTI_SLOTS(CTI_CPU_PROTOTYPE)
#undef CTI_CPU_PROTOTYPE

/* Writes v as an element of dtype, by the rules of conversions. (copy.c) */
void cti_cpu_store(void *p, ct_dtype dtype, double v);

/* C (m, n) = A (m, k) B (k, n), or added to C, of operands in bf16 by the processor's own
 * instructions: A in pairs of k, step_i apart by rows and step_p by pairs; B packed. */
typedef struct cti_bf16_product {
    int64_t m, n, k, step_i, step_p, ldc;
    bool accumulate;
} cti_bf16_product;

static inline int64_t cti_bf16_pairs(int64_t k)
{
    return (k + 1) / 2;
}

/* pack_a: A (m, k) to (m, pairs), or if trans A (k, m) to (pairs, m). pack_b: B (k, n), or (n, k)
 * if trans, to words_of_b(k, n) words. See bf16_avx512.c. */
typedef struct cti_bf16_path {
    void (*pack_a)(bool trans, int64_t m, int64_t k, const float *a, int64_t lda, uint32_t *out);
    int64_t (*words_of_b)(int64_t k, int64_t n);
    void (*pack_b)(bool trans, int64_t k, int64_t n, const float *b, int64_t ldb, uint32_t *out);
    void (*multiply)(const cti_bf16_product *p, const uint32_t *a, const uint32_t *b, float *c);
} cti_bf16_path;

#ifdef CT_HAVE_BF16_PATH
extern const cti_bf16_path cti_bf16_path_avx512;
#endif

/* The one in use; NULL where the processor has none. */
const cti_bf16_path *cti_bf16_path_get(void);

/* Rounds n floats to bf16, in place or not. */
void cti_round_bf16(int64_t n, const float *in, float *out);

/* The first m rows of one matrix of g, by BLAS or plain loops, on this thread. */
void cti_multiply(const cti_gemm *g, int64_t m, const void *a, const void *b, void *c);

/* m rows of C as g's bias. */
void cti_start_from_bias(const cti_gemm *g, int64_t m, void *c);

/* All of g with its operands rounded to bf16; false if memory for their copies runs out.
 * (bf16.c) */
bool cti_gemm_bf16(const cti_gemm *g);

/* All of g by compiled kernels, or false: not this way. (packed.c) */
bool cti_gemm_packed(const cti_gemm *g);

/* Whether memory may be made executable. Hardened systems refuse it (SELinux's execmem, prctl's
 * PR_SET_MDWE), and LIBXSMM 1.17 crashes there: it is not used then. */
bool cti_may_generate_code(void);

/* Whether LIBXSMM is in use: its version, or "none", or the version and why it is off. *in_use may be
 * NULL. */
const char *cti_libxsmm_name(bool *in_use);

/* ---- packed products: three layers, each made of the one before (gemm_packed.c) ----
 *
 *     cti_small_gemm   one product of fixed small sizes, by a kernel that LIBXSMM compiled for them
 *     cti_packed       a matrix B cut into panels that such a kernel reads from front to back
 *     cti_product      some rows of A times a packed B: a loop over its panels
 */

/* C (m, n) = A (m, k) B (k, n), or A^T B for A (k, m), added to C where accumulate is set;
 * row-major, leading dimensions as given. */
typedef struct cti_small_gemm {
    ct_dtype dtype;
    int m, n, k, lda, ldb, ldc;
    bool trans_a, accumulate;
    void (*kernel)(void); /* LIBXSMM's, or NULL */
} cti_small_gemm;

/* Completes g, whose other fields are set. True if there is a kernel compiled for it. */
bool cti_small_gemm_init(cti_small_gemm *g);
void cti_small_gemm_run(const cti_small_gemm *g, const void *a, const void *b, void *c);

/* A matrix B (k, n) for many products, in chunks of k and panels of columns:
 *
 *                  width      width    last
 *               +----------+----------+-----+
 *         chunk |    0     |    1     |  2  |     Panels lie in memory in this order. Each is
 *               +----------+----------+-----+     contiguous and row-major: the rows of its chunk
 *         chunk |    3     |    4     |  5  |     by its columns.
 *               +----------+----------+-----+
 *     k % chunk |    6     |    7     |  8  |
 *               +----------+----------+-----+
 *
 * width is four vector registers: with rows of C those fill the registers of a kernel. In a panel
 * the rows of B are adjacent, so rows that were a power of two apart no longer share their place in
 * the caches. last is what is left of n, or more: padding of zeros makes it whole vectors. Where
 * nothing is compiled there is one chunk and one panel: B as it is. */
typedef struct cti_packed {
    ct_dtype dtype;
    int64_t k, n;
    int64_t chunk, width; /* of a chunk and of a panel; the last chunk may be less */
    int64_t last;         /* columns of the last panel */
    const void *data;     /* k * cti_packed_columns elements */
} cti_packed;

int64_t cti_packed_columns(const cti_packed *p); /* with padding */

/* How B is to be packed, data being NULL; then from b (k, n), or (n, k) if trans, into room.
 * cti_packed_pad pads the last panel of one chunk: kernels write parts of vectors slowly. */
cti_packed cti_packed_layout(ct_dtype dtype, int64_t k, int64_t n, int64_t chunk);
void cti_packed_pad(cti_packed *p);
void cti_pack(cti_packed *p, bool trans, const void *b, int64_t ldb, void *room);

/* C (m, n) = A B, or A^T B for A (k, m), added to C where accumulate is set, or to the bias (n) in
 * every row; with padding it is not accumulated. */
#define CTI_PRODUCT_ROWS 64   /* rows of C at a time, where there are many */
#define CTI_PRODUCT_CHUNK 128 /* of k at a time, where A is transposed */
typedef struct cti_product {
    const cti_packed *b;
    int64_t m, lda, ldc;
    const void *bias; /* (optional) */
    bool trans_a, accumulate;
    /* what cti_product_init adds: */
    bool gather;               /* rows of A^T are copied together first */
    cti_small_gemm part[2][2]; /* a whole or the last chunk, by a whole or the last panel */
} cti_product;

void cti_product_init(cti_product *p);
void cti_product_run(const cti_product *p, const void *a, void *c);

/* Element i of an array of indices. */
static inline int64_t cti_cpu_index_at(const void *index, ct_dtype dtype, int64_t i)
{
    return dtype == CT_I64 ? ((const int64_t *)index)[i] : ((const int32_t *)index)[i];
}

/* Whether each of count indices is in 0 .. rows - 1; *bad is the first place where not. */
bool cti_cpu_are_indices(ct_dtype dtype, int64_t count, int64_t rows, const void *index,
                         int64_t *bad);

#endif
