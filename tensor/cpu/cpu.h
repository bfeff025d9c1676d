/* SPDX-License-Identifier: MIT */
/* cpu.h - declarations that the files of the CPU's kernels share. (internal)
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
 * On a processor that is not x86-64 only base is built, and code that names another path must be
 * within #ifdef CT_HAVE_AVX2_PATH (or AVX512, BF16). */
#ifndef COTANGENT_TENSOR_CPU_H
#define COTANGENT_TENSOR_CPU_H

#include "tensor/internal.h"

/* One run of n elements of an elementwise op; strides in elements. */
typedef void (*cti_loop)(int64_t n, void *out, int64_t so, const void *a, int64_t sa, const void *b,
                         int64_t sb, const void *c, int64_t sc, const double *param);

#define CTI_CONV_ROWS 6 /* the most channels that a loop of a convolution computes at a time */

#define LOSS_ROWS 64   /* the most rows of class scores that a loop computes at a time */
#define ROW_COLUMNS 64 /* the most columns that a reduction computes at a time */
#define SHORT_ROW                                                                                  \
    128 /* the most scores of a row; rows of more scores do not share vectors with
                        * other rows */

/* A tile of the scores of attention: rows queries by keys, ld elements apart. Row r sees the first
 * `seen` keys, with grows `seen` + r; that may be below 0 or above keys. */
typedef struct cti_attention_tile {
    int64_t rows, keys, ld, seen, width;
    bool grows, first; /* first: nothing was summed up before */
    void *scores, *slopes;
    void *y;          /* (rows, width) */
    void *most, *sum; /* of each row: the greatest score, the sum of exp(score - most) */
    const void *dot;  /* of each row: the sum of dy y */
    double scale;     /* backward: a factor of the slopes */
} cti_attention_tile;

/* Loops over rows of one dtype. */
typedef struct cti_row_loops {
    /* out[i] = sum over j of in[j * stride + i] for i < width; sums are in double */
    void (*sum_rows)(int64_t n, int64_t stride, int64_t width, const void *in, void *out);
    double (*sum)(int64_t n, const void *in);
    /* out[r] = the sum of row r of in (rows, n) */
    void (*sum_each)(int64_t rows, int64_t n, const void *in, void *out);
    /* the same for the squares of the elements */
    void (*squares_rows)(int64_t n, int64_t stride, int64_t width, const void *in, void *out);
    void (*squares_each)(int64_t rows, int64_t n, const void *in, void *out);
    void (*prod_each)(int64_t rows, int64_t n, const void *in, void *out); /* the products */
    double (*sum_squares)(int64_t n, const void *in);
    void (*softmax)(bool logarithm, int64_t rows, int64_t n, const void *in, void *out);
    /* for each row, the greatest element and the log of the sum of exp(x - most) */
    void (*log_sum_exp)(int64_t rows, int64_t n, const void *in, void *most, void *log_sum);
    /* for at most LOSS_ROWS rows; a target of -1 is ignored. See loops_loss.h. */
    void (*cross_entropy)(int64_t rows, int64_t n, const void *in, const int64_t *target,
                          double smoothing, void *loss, void *most, void *lse);
    void (*cross_entropy_backward)(int64_t rows, int64_t n, const void *in, const int64_t *target,
                                   double smoothing, const void *most, const void *lse,
                                   const void *dloss, int64_t dloss_step, void *din);
    /* for n <= SHORT_ROW: the losses and their gradients in one pass. The gradient of each loss is
     * scale, and din is transposed: (n, LOSS_ROWS) */
    void (*cross_entropy_tile)(int64_t rows, int64_t n, const void *in, const int64_t *target,
                               double smoothing, double scale, void *loss, void *din);
    void (*add_row)(int64_t n, void *dst, const void *src);
    /* for rows first .. end - 1. few has room for 2 n elements, sums for 2 n doubles. See
     * loops_norm.h. */
    void (*normalise)(const cti_normalise_args *a, int64_t first, int64_t end);
    void (*normalise_backward)(const cti_normalise_backward_args *a, int64_t first, int64_t end,
                               void *few, double *sums);

    /* add_bias: out = x + bias for rows of width elements, which are ldx and ldo apart; a NULL x or
     * bias counts as 0. start_rows: out = bias */
    void (*add_bias)(int64_t rows, int64_t width, const void *x, int64_t ldx, const void *bias,
                     void *out, int64_t ldo);
    /* out = rows of a table, selected by number, plus a bias (may be NULL) */
    void (*gather_rows)(int64_t rows, int64_t width, const void *table, const int64_t *row,
                        const void *bias, void *out);
    void (*start_rows)(int64_t rows, int64_t width, const void *bias, void *out, int64_t ldo);

    /* n elements, with the words from block number `block` on: out = in times scale, or 0 where the
     * word is less than below */
    void (*dropout)(const cti_dropout_args *a, uint64_t block, uint32_t below, int64_t n,
                    const void *in, void *out);
    /* out[r] = the greatest (or least) element of row r of in (rows, n), n > 0; NaN if the row has
     * a NaN. If place is not NULL, it receives the first position of that element, and out is not
     * written. */
    void (*extreme)(bool least, int64_t rows, int64_t n, const void *in, void *out, int64_t *place);
    /* out[i] = the greatest (or least) in[j * stride + i] over j < n, for i < width <= ROW_COLUMNS;
     * NaN if there is a NaN */
    void (*extreme_rows)(bool least, int64_t n, int64_t stride, int64_t width, const void *in,
                         void *out);

    /* Attention; see attention.c and loops_attention.h. */
    void (*attend)(const cti_attention_tile *t);
    void (*attend_finish)(const cti_attention_tile *t);
    void (*attend_backward)(const cti_attention_tile *t);
    void (*attend_dots)(int64_t rows, int64_t n, const void *a, const void *b, void *out);

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

    /* m rows of a product, added in the order of k; see loops_gemm.h */
    void (*gemm)(const cti_gemm *g, int64_t m, const void *a, const void *b, void *c);
    /* one row of a product with a transposed B: a sum along each row of B, in vectors */
    void (*gemm_row)(const cti_gemm *g, const void *a, const void *b, void *c);

    /* Convolution; see loops_conv.h. conv computes one vector of positions j, or four if wide:
     * out[i ldo + j] = sum over k of w[k rows + i] x[offset[k] + j]. If `more` is true, the sum is
     * added to out. */
    void (*conv)(int rows, bool wide, int64_t count, const void *w, const int64_t *offset,
                 const void *x, void *out, int64_t ldo, bool more);
    /* w[i ldw + k] += sum over j < n of y[i ldy + j] x[offset[k] + j]; n must be a multiple of a
     * vector's elements */
    void (*conv_weight)(int rows, int64_t count, int64_t n, const void *y, int64_t ldy,
                        const void *x, const int64_t *offset, void *w, int64_t ldw);
    /* conv_store: out = x + bias for n elements, which are step apart in out and from_step apart in
     * x. conv_load: out = x for n elements, which are step apart in x */
    void (*conv_store)(int64_t n, const void *x, int64_t from_step, const void *bias, void *out,
                       int64_t step);
    void (*conv_load)(int64_t n, const void *x, int64_t step, void *out);
    /* out[j] = x[index[j]] of n elements, or 0 where the index is negative */
    void (*conv_gather)(int64_t n, const int64_t *index, const void *x, void *out);

    /* the update of elements at .. at + n - 1 of a segment, for each rule */
    void (*update[CTI_RULES])(int64_t at, int64_t n, const cti_update *u, const cti_segment *s);
} cti_row_loops;

/* Common exponents of x^p, which have special loops: CTI_POWER(name, exponent, formula). Negative
 * powers are products of 1 / x, not the reciprocal of a product of x, because 1 / x underflows only
 * where the result does. Adding 0 to a square root turns -0 into 0. */
#define CTI_POWERS                                                                                 \
    CTI_POWER(power_m3, -3, 1 / x * (1 / x) * (1 / x))                                             \
    CTI_POWER(power_m2, -2, 1 / x * (1 / x))                                                       \
    CTI_POWER(power_m3_2, -1.5, x < -M(largest) ? 0 : 1 / x * M(sqrt)(1 / x))                      \
    CTI_POWER(power_m1, -1, 1 / x)                                                                 \
    CTI_POWER(power_m1_2, -0.5, x < -M(largest) ? 0 : 1 / (M(sqrt)(x) + 0))                        \
    CTI_POWER(power_1_2, 0.5, x < -M(largest) ? -x : M(sqrt)(x) + 0)                               \
    CTI_POWER(power_1, 1, x)                                                                       \
    CTI_POWER(power_3_2, 1.5, x < -M(largest) ? -x : x * M(sqrt)(x) + 0)                           \
    CTI_POWER(power_2, 2, x *x)                                                                    \
    CTI_POWER(power_3, 3, x *x *x)                                                                 \
    CTI_POWER(power_4, 4, x *x *(x * x))

enum {
#define CTI_POWER(name, exponent, formula) CTI_##name,
    CTI_POWERS
#undef CTI_POWER
        CTI_POWER_COUNT
};

/* ---- products in registers and the cells on their results (gemm_micro.c; used by rnn_layer.c) ---- */

#define CTI_MICRO_ROWS 9    /* the most rows of a tile */
#define CTI_MICRO_VECTORS 4 /* the most vectors of a tile */
#define CTI_MICRO_LANES 16  /* the most floats of a vector */

/* C (rows, columns) = or += A (rows, k) B (k, vectors), with B's columns in whole vectors. Each element
 * is one chain of fused multiply-adds in the order of k. A consists of `parts` blocks (rows, k), which
 * are step_part apart; the rows of B for them follow one another. In bf16, A and B hold pairs of
 * elements along k instead of floats (gemm_bf16_avx512.c), and k is the number of pairs. */
typedef struct cti_micro_tile {
    const float *a, *b;
    float *c;
    int64_t k, parts, step_part;
    int64_t step_i, step_k; /* A's elements are step_i apart in a column and step_k in a row */
    int64_t ldb, ldc;
    int spare;                /* the columns of the last vector that C does not have */
    bool accumulate;          /* without init: C begins with what is there, not with 0 */
    const float *const *init; /* (optional) C begins with these rows (vectors) */
    /* (optional) During each part p, fetch_lines times 16 floats from fetch + p fetch_step on are
     * fetched into the cache, 16 floats for each k. */
    const float *fetch;
    int64_t fetch_lines, fetch_step;
} cti_micro_tile;

/* Some rows of a product by a panel B (k, vectors): C(i, j) = sum over k of a[row[i] + offset[k]] B(k, j).
 * See conv_direct.c. */
typedef struct cti_conv_tile {
    const float *a, *b;
    float *c;
    int64_t k, ldb, ldc;
    const int64_t *row, *offset; /* (rows), (k) */
    const float *bias;           /* (optional) a row that is added at the end */
    enum {
        CTI_CONV_SET,   /* C becomes the sums */
        CTI_CONV_GO_ON, /* the chains of sums begin with C */
        CTI_CONV_ADD    /* the sums, which begin with 0, are added to C */
    } start;
} cti_conv_tile;

#define CTI_CELL_UNITS 16 /* hidden units of a block of gates */
#define CTI_CELL_WIDTH 64 /* floats of a block's row: its units' gates side by side */

/* Some rows of an LSTM or a GRU, for the hidden units of one vector. Rows of gates are CTI_CELL_WIDTH
 * apart, those of a state ld. */
typedef struct cti_cell_tile {
    int rows, units; /* units: 1 to the lanes of a vector */
    int64_t ld;
    const float *sum;      /* (rows, 4, lanes); a GRU's four are h W_n + b_n, r, z, x W_n + b_n */
    const float *const *x; /* (optional) GRU: the fourth of each row, instead of that in sum */
    float *gates;          /* i f g o; GRU: r z n and h W_n + b_n; or NULL */
    const float *before;   /* the cell state (LSTM) or the state (GRU) before the step */
    float *c, *h;          /* after it; c for an LSTM */
} cti_cell_tile;

/* Some rows of a layer backward, for all hidden units. Blocks of gates and of their gradients are `block`
 * apart. */
typedef struct cti_cell_back {
    int rows;
    int64_t units, ld, block;
    const float *gates, *before, *after; /* after: the cell state (LSTM), the state (RNN) */
    const float *dy;                     /* or NULL */
    float *dh, *dc;                      /* GRU: dh becomes dh z; LSTM: dc becomes dc f */
    float *dgates; /* di df dg do; GRU: d(h W_n + b_n), dr, dz, dn. 0 for lanes without a unit */
    float *last;   /* RNN: the last block, whose rows are ld_last apart */
    int64_t ld_last;
} cti_cell_back;

typedef struct cti_micro {
    int lanes;                   /* floats of a vector; 0: there are no such kernels on this path */
    int rows[CTI_MICRO_VECTORS]; /* the most rows of a tile of 1, 2, ... vectors */
    int vectors;                 /* the vectors of a tile that fills the registers best */
    void (*run)(const cti_micro_tile *t, int rows, int vectors);
    /* out (rows, columns) = the transpose of in (columns, rows); their rows are ld_out and ld_in apart */
    void (*transpose)(int64_t rows, int64_t columns, const float *in, int64_t ld_in, int64_t ld_out,
                      float *out);
    /* One vector of a panel (k, width): the transpose of in (columns, k), with zeros in the place of the
     * columns up to a whole vector */
    void (*pack)(int64_t k, int64_t columns, const float *in, int64_t ld_in, int64_t width,
                 float *out);
    void (*lstm)(const cti_cell_tile *t);
    void (*gru)(const cti_cell_tile *t);
    /* tanh or ReLU, for up to CTI_MICRO_VECTORS vectors of units */
    void (*activate)(bool relu, const cti_cell_tile *t);
    void (*lstm_back)(const cti_cell_back *t);
    void (*gru_back)(const cti_cell_back *t);
    void (*activate_back)(bool relu, const cti_cell_back *t);
    /* out[j] = or += the sum of column j of in (n, width), whose rows are ld apart, in their order;
     * width is whole vectors */
    void (*sum)(bool more, int64_t n, int64_t ld, int64_t width, const float *in, float *out);
    /* out[at[i]] += row i of in (n, width), whose rows are ld apart, in their order; rows of out are
     * CTI_CELL_WIDTH apart */
    void (*scatter)(int64_t n, int64_t ld, int64_t width, const float *in, const int64_t *at,
                    float *out);
    void (*conv)(const cti_conv_tile *t, int rows, int vectors);
    /* copies n floats of each row; rows are ldi and ldo apart */
    void (*copy_rows)(int64_t rows, int64_t n, const float *in, int64_t ldi, float *out,
                      int64_t ldo);
} cti_micro;

/* If not NULL: the kernels that cti_micro_of returns for every path. For tests. */
extern const cti_micro *cti_micro_wanted;

extern const cti_micro cti_micro_base;
#ifdef CT_HAVE_AVX2_PATH
extern const cti_micro cti_micro_avx2;
#endif
#ifdef CT_HAVE_AVX512_PATH
extern const cti_micro cti_micro_avx512;
#endif

typedef struct cti_cpu_path {
    const char *name;
    const cti_micro *micro;
    int vector_bytes; /* the bytes of a vector register that its loops use */
    cti_loop f32[CTI_EW_COUNT], f64[CTI_EW_COUNT], i32[CTI_EW_COUNT], i64[CTI_EW_COUNT];
    cti_loop b8[CTI_EW_COUNT]; /* for bool; `where` also moves 2-byte elements, by w16 */
    cti_loop where16;
    cti_loop remainder_f32, floor_divide_f32; /* vector code, in the place of f32's entries */
    /* whether all of n indices are in 0 .. limit - 1 */
    bool (*below_i64)(int64_t n, uint64_t limit, const void *index);
    bool (*below_i32)(int64_t n, uint64_t limit, const void *index);
    /* move[size] copies n elements of size bytes, which are ds and ss bytes apart */
    void (*move[9])(int64_t n, char *d, int64_t ds, const char *s, int64_t ss);
    /* by the size of an element, 4 or 8: d (rows, columns), rows ds bytes apart, is the transpose of s
     * (columns, rows), rows ss bytes apart */
    void (*transpose[9])(int64_t rows, int64_t columns, char *d, int64_t ds, const char *s,
                         int64_t ss);
    cti_loop power_f32[CTI_POWER_COUNT],
        power_f64[CTI_POWER_COUNT]; /* loops for q x^p, for each p of CTI_POWERS */
    cti_row_loops rows_f32, rows_f64;
} cti_cpu_path;

extern const cti_cpu_path cti_cpu_path_base;
#ifdef CT_HAVE_AVX2_PATH
extern const cti_cpu_path cti_cpu_path_avx2;
#endif
#ifdef CT_HAVE_AVX512_PATH
extern const cti_cpu_path cti_cpu_path_avx512;
#endif

/* The best path for this processor. COTANGENT_CPU_PATH may choose a lesser one. */
const cti_cpu_path *cti_cpu_path_best(void);

/* The path in use: the best one, or base while ct_set_portable is on. */
const cti_cpu_path *cti_cpu_path_get(void);

/* Returns the products in registers of a path; NULL if it has none. */
const cti_micro *cti_micro_of(const cti_cpu_path *path);

/* The path's loops over rows of a float dtype. */
static inline const cti_row_loops *cti_cpu_rows_of(ct_dtype dtype)
{
    const cti_cpu_path *path = cti_cpu_path_get();

    return dtype == CT_F64 ? &path->rows_f64 : &path->rows_f32;
}

/* The number of elements in a piece of elementwise work. Pieces depend on shapes alone, never on
 * the number of threads. */
#define CTI_CPU_PIECE 16384

/* The kernels of the table: cti_cpu_fill, ... */
#define CTI_CPU_PROTOTYPE(result, name, parameters) result cti_cpu_##name parameters;
CTI_SLOTS(CTI_CPU_PROTOTYPE)
#undef CTI_CPU_PROTOTYPE

/* Writes v as an element of dtype, by the rules of conversions. (copy.c) */
void cti_cpu_store(void *p, ct_dtype dtype, double v);

/* C (m, n) = A (m, k) B (k, n), or C += A B, with operands in bf16, by the processor's bf16
 * instructions. A holds pairs of elements along k; step_i is the distance between rows, step_p
 * between pairs. B is packed. */
typedef struct cti_bf16_product {
    int64_t m, n, k, step_i, step_p, ldc;
    bool accumulate;
} cti_bf16_product;

static inline int64_t cti_bf16_pairs(int64_t k)
{
    return (k + 1) / 2;
}

/* The kernels for products in bf16, for vectors of CTI_MICRO_LANES floats or pairs (gemm_bf16_avx512.c).
 * pack_a packs A (m, k) as (m, pairs); with trans, A (k, m) as (pairs, m). pack_b packs B (k, n),
 * with trans (n, k), into words_of_b(k, n) words. The others are for rnn_layer.c; a float of their
 * `out` is a pair. */
typedef struct cti_bf16_path {
    void (*pack_a)(bool trans, int64_t m, int64_t k, const float *a, int64_t lda, uint32_t *out);
    int64_t (*words_of_b)(int64_t k, int64_t n);
    void (*pack_b)(bool trans, int64_t k, int64_t n, const float *b, int64_t ldb, uint32_t *out);
    void (*multiply)(const cti_bf16_product *p, const uint32_t *a, const uint32_t *b, float *c);
    int rows
        [CTI_MICRO_VECTORS]; /* this, run and pack: as in cti_micro; k of pack counts elements */
    void (*run)(const cti_micro_tile *t, int rows, int vectors);
    void (*pack)(int64_t k, int64_t columns, const float *in, int64_t ld_in, int64_t width,
                 float *out);
    /* out (rows, pairs of n) = the pairs of neighbouring elements of the rows of in (rows, n). Rows are
     * ld_in and ld_out apart. The last pair of an odd number has a 0. */
    void (*along)(int64_t rows, int64_t n, const float *in, int64_t ld_in, float *out,
                  int64_t ld_out);
    /* out (pairs of rows, n) = the pairs of elements of neighbouring rows of in (rows, n) */
    void (*across)(int64_t rows, int64_t n, const float *in, int64_t ld_in, float *out,
                   int64_t ld_out);
    /* The same for n of 1 to CTI_MICRO_VECTORS vectors and rows of out that are n apart; sums (n) += the
     * columns of in, in the order of the rows */
    void (*sum_across)(int64_t rows, int64_t n, const float *in, int64_t ld_in, float *sums,
                       float *out);
} cti_bf16_path;

#ifdef CT_HAVE_BF16_PATH
extern const cti_bf16_path cti_bf16_path_avx512;
#endif

/* The functions for bf16 products; NULL if the processor has no bf16 instructions. cti_bf16_path_get
 * also returns NULL while ct_set_portable is on. */
const cti_bf16_path *cti_bf16_path_best(void);
const cti_bf16_path *cti_bf16_path_get(void);

/* Rounds n floats to bf16. out may be in. */
void cti_round_bf16(int64_t n, const float *in, float *out);

/* Computes the first m rows of one matrix of g, by BLAS or plain loops, on this thread. */
void cti_multiply(const cti_gemm *g, int64_t m, const void *a, const void *b, void *c);

/* Sets m rows of C to g's bias. */
void cti_start_from_bias(const cti_gemm *g, int64_t m, void *c);

/* Computes g with its operands rounded to bf16. False if memory for the rounded copies runs out.
 * (gemm_bf16.c) */
bool cti_gemm_bf16(const cti_gemm *g);

/* Computes g with compiled kernels. False if it is not suitable for them. (gemm_packed.c) */
bool cti_gemm_packed(const cti_gemm *g);

/* True if memory may be made executable. If false, LIBXSMM is not used: hardened systems forbid
 * executable memory (SELinux's execmem, prctl's PR_SET_MDWE), and LIBXSMM 1.17 then crashes. */
bool cti_may_generate_code(void);

/* Describes LIBXSMM: its version, "none", or its version and the reason why it is off. *in_use,
 * unless in_use is NULL, becomes true if it is used. */
const char *cti_libxsmm_name(bool *in_use);

/* ---- packed products, in three layers; each uses the one before (gemm_packed.c) ----
 *
 *     cti_small_gemm   one product of fixed small sizes, by a kernel that LIBXSMM compiled for them
 *     cti_packed       a matrix B cut into panels that such a kernel reads from front to back
 *     cti_product      some rows of A times a packed B: a loop over its panels
 */

/* C (m, n) = A (m, k) B (k, n), or A^T B for A (k, m). With accumulate, the product is added to C.
 * Row-major, with the given leading dimensions. */
typedef struct cti_small_gemm {
    ct_dtype dtype;
    int m, n, k, lda, ldb, ldc;
    bool trans_a, accumulate;
    void (*kernel)(void); /* a kernel of LIBXSMM, or NULL */
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
 * width is that of four vector registers; with several rows of C they fill the registers of a
 * kernel. The rows of a panel are adjacent. In B, rows that are a power of two apart would fall
 * into the same sets of the caches. last is the number of remaining columns, or this number rounded
 * up to whole vectors, with columns of zeros. If no kernel can be compiled, there is one chunk and
 * one panel: B itself. */
typedef struct cti_packed {
    ct_dtype dtype;
    int64_t k, n;
    /* the rows of a chunk and the columns of a panel; the last chunk may have fewer */
    int64_t chunk, width;
    int64_t last;     /* columns of the last panel */
    const void *data; /* k * cti_packed_columns elements */
} cti_packed;

int64_t cti_packed_columns(const cti_packed *p); /* n with padding */

/* cti_packed_layout decides how B will be packed and leaves data NULL. cti_pack packs b (k, n), or
 * (n, k) with trans, into room. cti_packed_pad pads the last panel of a layout of one chunk to
 * whole vectors, because kernels are slow at writing parts of vectors. */
cti_packed cti_packed_layout(ct_dtype dtype, int64_t k, int64_t n, int64_t chunk);
void cti_packed_pad(cti_packed *p);
void cti_pack(cti_packed *p, bool trans, const void *b, int64_t ldb, void *room);

/* C (m, n) = A B, or A^T B for A (k, m). With accumulate, the product is added to C; with a bias
 * (n), to the bias in every row. A product with padding cannot accumulate. */
#define CTI_PRODUCT_ROWS 64   /* the rows of C that are computed at a time, if there are many */
#define CTI_PRODUCT_CHUNK 128 /* the size of a chunk of k, if A is transposed */
typedef struct cti_product {
    const cti_packed *b;
    int64_t m, lda, ldc;
    const void *bias; /* (optional) */
    bool trans_a, accumulate;
    /* set by cti_product_init: */
    bool gather;               /* rows of A^T are copied to neighbouring memory first */
    cti_small_gemm part[2][2]; /* the kernels for [whole, last] chunk and [whole, last] panel */
} cti_product;

void cti_product_init(cti_product *p);
void cti_product_run(const cti_product *p, const void *a, void *c);

/* Element i of an array of indices. */
static inline int64_t cti_cpu_index_at(const void *index, ct_dtype dtype, int64_t i)
{
    return dtype == CT_I64 ? ((const int64_t *)index)[i] : ((const int32_t *)index)[i];
}

/* True if each of count indices is in 0 .. rows - 1. Otherwise *bad becomes the position of the
 * first that is not. */
bool cti_cpu_are_indices(ct_dtype dtype, int64_t count, int64_t rows, const void *index,
                         int64_t *bad);

#endif
