/* backend.h - a device is a table of kernels. (internal)
 *
 * Ops are written once, device-free, over this table. Copy and elementwise kernels take strides
 * (those of copies may be negative); gemm takes transpositions and leading dimensions; every other
 * kernel gets contiguous data. Sizes and strides count elements, 0 sizes are allowed everywhere
 * and do nothing. A kernel returns CT_OK, or CT_ERR_INDEX with *bad set to the first offending
 * position. */
#ifndef COTANGENT_TENSOR_BACKEND_H
#define COTANGENT_TENSOR_BACKEND_H

#include <stdbool.h>
#include <stdint.h>

#include <cotangent/tensor/tensor.h>

/* Elementwise ops. Their formulas are in tensor/formulas.h. */
typedef enum cti_ew_op {
#define X(name, expr) CTI_EW_##name,
#include "tensor/formulas.h"
#undef X
    CTI_EW_COUNT
} cti_ew_op;

/* One elementwise call: out[i] = op(in0[i], in1[i], in2[i]; param), over a common shape. */
typedef struct cti_ew {
    cti_ew_op op;
    ct_dtype dtype; /* of the numbers in it: f32, f64, i32, i64 */
    int inputs;
    int rank;
    int64_t dim[CT_MAX_RANK];
    void *out;
    int64_t out_stride[CT_MAX_RANK];
    const void *in[3];
    int64_t in_stride[3][CT_MAX_RANK];
    double param[2];
} cti_ew;

/* A strided array, for copies. */
typedef struct cti_array {
    void *data;
    ct_dtype dtype;
    int64_t stride[CT_MAX_RANK];
} cti_array;

/* C (m, n) = alpha op(A) op(B) + beta C, batch times; row-major, leading dimension = row stride;
 * *_step is the distance between consecutive matrices (0: the same one). */
typedef struct cti_gemm {
    ct_dtype dtype; /* f32 or f64 */
    bool trans_a, trans_b;
    int64_t m, n, k, batch;
    double alpha, beta;
    const void *a, *b;
    void *c;
    int64_t lda, ldb, ldc;
    int64_t a_step, b_step, c_step;
} cti_gemm;

typedef enum cti_reduce_op {
    CTI_SUM,
    CTI_PROD,
    CTI_MAX,
    CTI_MIN,
    CTI_ARGMAX, /* out i64: the first of the greatest; a NaN is the greatest */
    CTI_ARGMIN,
    CTI_ANY, /* of bool */
    CTI_ALL
} cti_reduce_op;

/* A segment of the optimiser's table: one parameter (or several under one tied name). What depends
 * on the group or on the number of updates so far is worked out before the call. */
typedef struct cti_segment {
    void *value;
    const void *grad;
    void *state[3]; /* as the rule has them; NULL where it has none */
    int64_t n;
    ct_dtype dtype;
    double lr;           /* Adam: over 1 - beta1^t; Adagrad: after its decay */
    double weight_decay; /* times the value, added to the gradient */
    double shrink;       /* the value is multiplied by it first: 1, AdamW 1 - lr weight_decay */
    double root;         /* Adam: sqrt(1 - beta2^t) */
    bool first;          /* its first update: SGD's momentum begins as the gradient */
} cti_segment;

/* g = scale grad + weight_decay value; then, elementwise,
 * SGD       state 0 momentum_buffer or NULL
 * ADAM      state 0 exp_avg, 1 exp_avg_sq, 2 max_exp_avg_sq or NULL
 * RMSPROP   state 0 square_avg, 1 momentum_buffer or NULL, 2 grad_avg or NULL (centred)
 * ADAGRAD   state 0 sum */
typedef enum cti_update_rule {
    CTI_SGD,
    CTI_ADAM,
    CTI_RMSPROP,
    CTI_ADAGRAD,
    CTI_RULES
} cti_update_rule;

typedef struct cti_update {
    cti_update_rule rule;
    bool nesterov;
    double scale;               /* gradients are multiplied by it first */
    double momentum, dampening; /* SGD; RMSprop's momentum */
    double beta1, beta2;        /* Adam; beta2 is RMSprop's alpha */
    double eps;
} cti_update;

/* One recurrent layer in one direction over a whole sequence of T steps, B rows, H hidden units; G
 * gates (RNN 1, LSTM 4: i f g o, GRU 3: r z n, reset after the matmul). All arrays contiguous.
 * At time t the state before is h[t], the one after h[t + 1] (reverse: h[t + 1] and h[t]). */
typedef enum cti_cell_kind {
    CTI_CELL_TANH,
    CTI_CELL_RELU,
    CTI_CELL_LSTM,
    CTI_CELL_GRU
} cti_cell_kind;

typedef struct cti_sequence {
    cti_cell_kind kind;
    ct_dtype dtype; /* f32 or f64 */
    bool reverse;
    int64_t steps, batch, hidden;
    const void *x;    /* (T, B, G H): what the input adds to the gates */
    const void *w;    /* (G H, H) */
    const void *bias; /* (G H), or NULL */
    /* (B), each 0..T, or NULL: T for all rows. At times from length[b] on row b stays as it is: the
     * state after is the state before, gates and hn are anything; backward, dx and dhx are 0
     * there, dy is added to what goes on to the state before, and dh, dc pass unchanged. */
    const int64_t *length;
    void *h;          /* (T + 1, B, H), the initial state in place */
    void *c;          /* LSTM: the same of the cell state */
    void *gates;      /* LSTM, GRU: (T, B, G H) after their activations */
    void *hn;         /* GRU: (T, B, H), h W_n^T + b_n */
    void *scratch;    /* forward: cti_sequence_scratch elements */
    /* backward */
    const void *dy;                /* (T, B, H), or NULL */
    const void *dh_last, *dc_last; /* (B, H), or NULL */
    void *dx;                      /* (T, B, G H): of x, and (but for GRU) of h W^T */
    void *dhx;                     /* GRU: (T, B, G H), of h W^T + bias */
    void *dh0, *dc0;               /* (B, H) */
} cti_sequence;

/* Elements of scratch that forward needs. */
static inline int64_t cti_gates_of(cti_cell_kind kind)
{
    return kind == CTI_CELL_LSTM ? 4 : kind == CTI_CELL_GRU ? 3 : 1;
}

static inline int64_t cti_sequence_scratch(const cti_sequence *s)
{
    int64_t width = cti_gates_of(s->kind) * s->hidden;

    return width * s->hidden + s->batch * (width + s->hidden);
}

typedef struct cti_backend {
    uint32_t version, size; /* of this table, checked when a plug-in is opened */
    const char *name;

    void *(*allocate)(size_t bytes);
    void (*release)(void *data, size_t bytes);
    /* device <- host and host <- device, contiguous bytes */
    void (*upload)(void *device, const void *host, size_t bytes);
    void (*download)(void *host, const void *device, size_t bytes);

    /* dst <- src over a common shape, converting between any two dtypes. Float to integer
     * truncates; what does not fit gives the smallest or largest value, NaN gives 0. */
    void (*copy)(int rank, const int64_t *dim, const cti_array *dst, const cti_array *src);
    void (*fill)(void *data, ct_dtype dtype, int64_t n, double value);
    void (*arange)(void *data, ct_dtype dtype, int64_t n, double start, double step);
    void (*uniform)(void *data, ct_dtype dtype, int64_t n, double low, double high, uint64_t seed,
                    uint64_t stream, uint64_t block);
    void (*normal)(void *data, ct_dtype dtype, int64_t n, double mean, double std, uint64_t seed,
                   uint64_t stream, uint64_t block);

    void (*elementwise)(const cti_ew *e);
    void (*gemm)(const cti_gemm *g);

    /* in (outer, n, inner) -> out (outer, inner) */
    void (*reduce)(cti_reduce_op op, ct_dtype dtype, int64_t outer, int64_t n, int64_t inner,
                   const void *in, void *out);

    /* out (count, width) <- rows of src (rows, width) by index (count), i32 or i64 */
    ct_status (*gather_rows)(ct_dtype dtype, ct_dtype index_dtype, int64_t count, int64_t width,
                             int64_t rows, const void *src, const void *index, void *out,
                             int64_t *bad);
    /* dst (rows, width) += src (count, width) by index, in order of the rows of src */
    ct_status (*scatter_add_rows)(ct_dtype dtype, ct_dtype index_dtype, int64_t count,
                                  int64_t width, int64_t rows, void *dst, const void *index,
                                  const void *src, int64_t *bad);
    /* out (count, width) bool, i32, i64, f32 or f64, all 0 but for a 1 at each row's index */
    ct_status (*one_hot)(ct_dtype dtype, ct_dtype index_dtype, int64_t count, int64_t width,
                         const void *index, void *out, int64_t *bad);

    /* out = running sums of in along n, both (outer, n, inner), from the end if reverse */
    void (*cumsum)(ct_dtype dtype, bool reverse, int64_t outer, int64_t n, int64_t inner,
                   const void *in, void *out);
    /* out (outer, m, inner) <- src (outer, n, inner), of any dtype: out[o,j,i] is
     * src[o,index[o,j,i],i]. bad is a position in index. */
    ct_status (*gather)(ct_dtype dtype, ct_dtype index_dtype, int64_t outer, int64_t n, int64_t m,
                        int64_t inner, const void *src, const void *index, void *out, int64_t *bad);
    /* dst (outer, n, inner) += src (outer, m, inner) of numbers, its reverse; in order of m */
    ct_status (*scatter_add)(ct_dtype dtype, ct_dtype index_dtype, int64_t outer, int64_t n,
                             int64_t m, int64_t inner, void *dst, const void *index,
                             const void *src, int64_t *bad);
    /* order (rows, k): the positions of the first k, 0 to n, when each row of in (rows, n), of
     * numbers, is sorted; equal elements keep their order, a NaN is the greatest. scratch has
     * room for (rows, 2 n). */
    void (*sort)(ct_dtype dtype, bool descending, int64_t rows, int64_t n, int64_t k,
                 const void *in, int64_t *order, int64_t *scratch);

    /* out[i] = 0 where word i, counted from the start of block, is below p 2^32, else
     * in[i] / (1 - p); n elements, f32 or f64 */
    void (*dropout)(ct_dtype dtype, int64_t n, double p, uint64_t seed, uint64_t stream,
                    uint64_t block, const void *in, void *out);
    /* out (rows, k): positions drawn by weights (rows, n), which need not sum to 1; without
     * replacement weights are overwritten. Draw number d, of rows k, takes words 2 d and 2 d + 1.
     * CT_ERR_NUMERIC, and bad the row, for a weight that is negative or not finite, and where
     * fewer positive ones are left than are asked for. */
    ct_status (*multinomial)(int64_t rows, int64_t n, int64_t k, bool replacement, double *weights,
                             uint64_t seed, uint64_t stream, uint64_t block, int64_t *out,
                             int64_t *bad);

    /* softmax or log-softmax of each of rows rows of n */
    void (*softmax)(ct_dtype dtype, bool logarithm, int64_t rows, int64_t n, const void *in,
                    void *out);

    /* Class scores in (rows, n), target (rows) of index_dtype. loss (rows): minus the log of the
     * target's probability, with label smoothing; 0 where the target is ignore. lse (rows): the
     * log of the sum of exponentials. */
    ct_status (*cross_entropy)(ct_dtype dtype, ct_dtype index_dtype, int64_t rows, int64_t n,
                               const void *in, const void *target, int64_t ignore,
                               double smoothing, void *loss, void *lse, int64_t *bad);
    /* din (rows, n) = dloss[row] (softmax(in) - smoothed target); 0 where ignored. dloss has
     * rows elements, or 1 for all rows when dloss_step is 0. */
    void (*cross_entropy_backward)(ct_dtype dtype, ct_dtype index_dtype, int64_t rows, int64_t n,
                                   const void *in, const void *target, int64_t ignore,
                                   double smoothing, const void *lse, const void *dloss,
                                   int64_t dloss_step, void *din);

    /* Fills h (and c, gates, hn) from the initial states. */
    void (*sequence)(const cti_sequence *s);
    /* Fills dx, dhx, dh0 and dc0 from what the forward left. */
    void (*sequence_backward)(const cti_sequence *s);

    /* The sum of squares of all gradients, in double. */
    double (*norm_squared)(const cti_segment *segments, int count);
    void (*update)(const cti_update *u, const cti_segment *segments, int count);
} cti_backend;

#define CTI_BACKEND_VERSION 1

/* The table of a device, or NULL. */
const cti_backend *cti_backend_of(ct_device device);

/* The CPU's own, for the dispatch and for tests of it. */
extern const cti_backend cti_cpu_backend;

#endif
