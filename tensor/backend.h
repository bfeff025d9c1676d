/* backend.h - a device is a table of kernels. (internal)
 *
 * Ops are written once, for every device, over this table. CTI_SLOTS below is the one list of the
 * kernels. To add one:
 *     here              a struct of its arguments, documented, and a line in CTI_SLOTS
 *     tensor/cpu/X.c    cti_cpu_NAME, for the CPU
 *     cuda/X.cu         cu_NAME, for GPUs (X: the file of the same family)
 * The members of cti_backend, both tables and all prototypes are made from the list.
 *
 * Rules for all kernels:
 *  - Sizes, strides and leading dimensions count elements. A size may be 0; then nothing is done.
 *  - Arrays are row-major and contiguous, but elementwise and copy take strides (those of copies
 *    may be negative), and gemm takes transpositions and leading dimensions.
 *  - What is written may not overlap what is read, unless the struct says that it may.
 *  - Pointers are to memory of the device. (optional) marks what may be NULL.
 *  - Arguments are read before the call returns.
 *
 * A device is synchronous (async is NULL: a kernel has run when it returns) or asynchronous: its
 * kernels run later, in the order of the calls. A kernel that can find fault with its data takes a
 * cti_fault. On a synchronous device it returns what is wrong, and the first offending position.
 * On an asynchronous one it returns CT_OK and, when it runs, notes ticket and position in the
 * thread's fault word, where the first ticket's first position wins; carry, clip_norm and update
 * kernels read the word and do nothing while it is set. The host learns of it, and clears it, when
 * it next waits for the device (download, synchronise).
 *
 * A device other than the CPU is a plug-in: a module that exports cti_plugin_open and binds to no
 * symbol of ours. What a kernel cannot do (a failed launch, no memory for scratch) it raises
 * through the host's table. */
#ifndef COTANGENT_TENSOR_BACKEND_H
#define COTANGENT_TENSOR_BACKEND_H

#include <stdbool.h>
#include <stdint.h>

#include <cotangent/tensor/tensor.h>

#include "tensor/dtypes.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- elementwise ---- */

/* Elementwise ops. Their formulas are in tensor/formulas.h. */
typedef enum cti_ew_op {
#define X(name, expr) CTI_EW_##name,
#include "tensor/formulas.h"
#undef X
    CTI_EW_COUNT
} cti_ew_op;

/* elementwise: out[i] = op(in[0][i], in[1][i], in[2][i]; param), over a common shape. out may be
 * one of the inputs, with the same strides. Ops that compare or test write bool; where reads a bool
 * first. */
typedef struct cti_ew {
    cti_ew_op op;
    ct_dtype dtype; /* of the numbers in it; any for where, bool for logical ops */
    int inputs;     /* how many of in are there: 1 to 3 */
    int rank;
    int64_t dim[CT_MAX_RANK];
    void *out;
    int64_t out_stride[CT_MAX_RANK];
    const void *in[3];
    int64_t in_stride[3][CT_MAX_RANK];
    double param[2];
} cti_ew;

/* ---- copy, carry, fill, arange ---- */

/* A strided array. */
typedef struct cti_array {
    void *data;
    ct_dtype dtype;
    int64_t stride[CT_MAX_RANK];
} cti_array;

/* arange: out[i] = start + i step */
typedef struct cti_arange_args {
    void *out; /* (n), of any dtype */
    ct_dtype dtype;
    int64_t n;
    double start, step;
} cti_arange_args;

/* ---- random ---- */

/* Where draws begin in a stream of Philox: with a block of four words. A captured step draws on
 * from repetition to repetition: then blocks are counted from *base on, on the device. */
typedef struct cti_position {
    uint64_t seed, stream, block;
    const uint64_t *base; /* NULL: from 0 on */
} cti_position;

/* uniform: a to b, b excluded. normal: of mean a and standard deviation b. Element i of an f32
 * takes word i from there on, of an f64 words 2 i and 2 i + 1. */
typedef struct cti_draw_args {
    void *out;      /* (n) */
    ct_dtype dtype; /* f32 or f64 */
    int64_t n;
    double a, b;
    cti_position from;
} cti_draw_args;

/* dropout: out[i] = 0 where word i from there on is below p 2^32, else in[i] / (1 - p). out may be
 * in. */
typedef struct cti_dropout_args {
    ct_dtype dtype; /* f32 or f64 */
    int64_t n;
    double p; /* 0 <= p < 1 */
    cti_position from;
    const void *in; /* (n) */
    void *out;      /* (n) */
} cti_dropout_args;

/* multinomial: k positions of each row, drawn by the row's weights, which need not sum to 1. Draw
 * number d, of rows k, takes words 2 d and 2 d + 1. CT_ERR_NUMERIC, the row its position, for a
 * weight that is negative or not finite, and where fewer positive ones are left than are asked for.
 * */
typedef struct cti_multinomial_args {
    int64_t rows, n, k;
    bool replacement;
    double *weights; /* (rows, n); overwritten without replacement */
    cti_position from;
    int64_t *out; /* (rows, k) */
} cti_multinomial_args;

/* ---- gemm ---- */

/* gemm: C (m, n) = alpha op(A) op(B) + beta C, batch times; row-major, leading dimension = row
 * stride; *_step is the distance between consecutive matrices (0: the same one). With a bias, batch
 * is 1, beta is 0, and every row of C begins as the bias. */
typedef struct cti_gemm {
    ct_dtype dtype; /* f32 or f64 */
    bool trans_a, trans_b;
    int64_t m, n, k, batch;
    double alpha, beta;
    const void *a, *b;
    const void *bias; /* (n) (optional) */
    void *c;
    int64_t lda, ldb, ldc;
    int64_t a_step, b_step, c_step;
    bool bf16; /* f32: operands are rounded to bf16 first, sums stay f32 */
} cti_gemm;

/* ---- reduce ---- */

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

/* reduce: in (outer, n, inner) -> out (outer, inner). Over n = 0, PROD and ALL are 1, the others
 * are 0. f32 adds and multiplies in double; integers wrap. */
typedef struct cti_reduce_args {
    cti_reduce_op op;
    ct_dtype dtype; /* of in: f32, f64, i32, i64, or bool for ANY and ALL */
    int64_t outer, n, inner;
    const void *in;
    void *out; /* of in's dtype, or i64 for ARGMAX and ARGMIN */
} cti_reduce_args;

/* ---- scan ---- */

/* cumsum: out = the running sums of in along n, both (outer, n, inner). f32 adds in double;
 * integers wrap. out may be in. */
typedef struct cti_cumsum_args {
    ct_dtype dtype; /* f32, f64, i32, i64 */
    bool reverse;   /* from the end */
    int64_t outer, n, inner;
    const void *in;
    void *out;
} cti_cumsum_args;

/* logcumsumexp_backward: products of d with W, the derivative of y = logcumsumexp(x), along n; all
 * are (outer, n, inner). W_ji = exp(x_i - y_j) for i <= j, and 0 for x_i = -inf.
 *     out_i = sum over j >= i of d_j W_ji        transposed: out_j = sum over i <= j of d_i W_ji
 * By the recurrence r_i = d_i + exp(y_i - y_(i+1)) r_(i+1), out_i = exp(x_i - y_i) r_i (transposed:
 * likewise), in which no exponent is above 0. In double. out is none of the others. */
typedef struct cti_logcumsumexp_backward_args {
    ct_dtype dtype; /* f32, f64 */
    bool transposed;
    int64_t outer, n, inner;
    const void *d, *x, *y;
    void *out;
} cti_logcumsumexp_backward_args;

/* ---- index: index_dtype is i32 or i64; CT_ERR_INDEX, the position one in index, for an index that
 * is out of range ---- */

/* gather_rows: out (count, width) <- rows of src (rows, width) by index (count) */
typedef struct cti_gather_rows_args {
    ct_dtype dtype; /* any */
    ct_dtype index_dtype;
    int64_t count, width, rows;
    const void *src, *index;
    void *out;
} cti_gather_rows_args;

/* scatter_add_rows: dst (rows, width) += src (count, width) by index (count), in order of the rows
 * of src */
typedef struct cti_scatter_add_rows_args {
    ct_dtype dtype; /* f32 or f64 */
    ct_dtype index_dtype;
    int64_t count, width, rows;
    const void *src, *index;
    void *dst;
} cti_scatter_add_rows_args;

/* one_hot: out (count, width), all 0 but for a 1 at each row's index (count) */
typedef struct cti_one_hot_args {
    ct_dtype dtype; /* any but bf16 */
    ct_dtype index_dtype;
    int64_t count, width;
    const void *index;
    void *out;
} cti_one_hot_args;

/* gather: out (outer, m, inner) <- src (outer, n, inner):
 * out[o,j,i] = src[o,index[o,j,i],i] */
typedef struct cti_gather_args {
    ct_dtype dtype; /* any */
    ct_dtype index_dtype;
    int64_t outer, n, m, inner;
    const void *src;
    const void *index; /* (outer, m, inner) */
    void *out;
} cti_gather_args;

/* scatter_add, its reverse: dst (outer, n, inner) += src (outer, m, inner), in order of m:
 * dst[o,index[o,j,i],i] += src[o,j,i] */
typedef struct cti_scatter_add_args {
    ct_dtype dtype; /* f32, f64, i32, i64 */
    ct_dtype index_dtype;
    int64_t outer, n, m, inner;
    const void *src;
    const void *index; /* (outer, m, inner) */
    void *dst;
} cti_scatter_add_args;

/* ---- sort ---- */

/* sort: the positions of the first k, 0 to n, when each row is sorted; equal elements keep their
 * order, a NaN is the greatest. */
typedef struct cti_sort_args {
    ct_dtype dtype; /* f32, f64, i32, i64 */
    bool descending;
    int64_t rows, n, k;
    const void *in;   /* (rows, n) */
    int64_t *order;   /* (rows, k) */
    int64_t *scratch; /* (rows, 2 n) */
} cti_sort_args;

/* ---- softmax and cross-entropy ---- */

/* softmax: softmax or log-softmax of each row. */
typedef struct cti_softmax_args {
    ct_dtype dtype; /* f32 or f64 */
    bool logarithm;
    int64_t rows, n;
    const void *in; /* (rows, n) */
    void *out;      /* (rows, n) */
} cti_softmax_args;

/* cross_entropy: minus the log of the target's probability, with label smoothing; 0 where the
 * target is ignore. CT_ERR_INDEX, the row its position, for another target that is not in 0 .. n -
 * 1. */
typedef struct cti_cross_entropy_args {
    ct_dtype dtype;       /* f32 or f64 */
    ct_dtype index_dtype; /* of target: i32 or i64 */
    int64_t rows, n;
    const void *in;     /* (rows, n), class scores */
    const void *target; /* (rows) */
    int64_t ignore;
    double smoothing;
    void *loss; /* (rows) */
    void *most; /* (rows): the greatest score */
    void *lse;  /* (rows): the log of the sum of exp(score - most) */
} cti_cross_entropy_args;

/* cross_entropy_backward: din = dloss[row] (softmax(in) - smoothed target); 0 where ignored. The
 * targets have been checked by cross_entropy. */
typedef struct cti_cross_entropy_backward_args {
    ct_dtype dtype, index_dtype;
    int64_t rows, n;
    const void *in, *target;
    int64_t ignore;
    double smoothing;
    const void *most, *lse; /* (rows), of cross_entropy */
    const void *dloss;      /* (rows), or one number for all rows: */
    int64_t dloss_step;     /* 1, or 0 */
    void *din;              /* (rows, n) */
} cti_cross_entropy_backward_args;

/* linear_cross_entropy: the cross-entropy of the scores x weight^T + bias, and the gradients of the
 * sum of the rows' losses, or with mean of their mean over the targets that are not ignored.
 * CT_ERR_INDEX as cross_entropy. CT_ERR_MEMORY, without an error raised, if the device has no such
 * kernel or no room; the caller composes it from other kernels then. */
typedef struct cti_linear_cross_entropy_args {
    ct_dtype dtype, index_dtype;
    int64_t rows, n, k; /* n classes */
    const void *x;      /* (rows, k) */
    const void *weight; /* (n, k) */
    const void *bias;   /* (n) (optional) */
    const void *target; /* (rows) */
    int64_t ignore;
    double smoothing;
    bool mean;
    bool gradients; /* any of these is wanted: */
    void *loss;     /* (rows) */
    void *dx;       /* (rows, k) (optional) */
    void *dweight;  /* (n, k) (optional) */
    void *dbias;    /* (n) (optional) */
} cti_linear_cross_entropy_args;

/* ---- normalise, normalise_backward ---- */

/* normalise: of each row of n, y = (x - mean) / sqrt(variance + eps) weight + bias, where variance
 * is the mean of (x - mean)^2; not centred, the mean is taken as 0. CT_ERR_MEMORY, without an error
 * raised, if the device has no such kernel or no room; the caller composes it from other kernels
 * then. */
typedef struct cti_normalise_args {
    ct_dtype dtype; /* f32 or f64 */
    bool centred;
    int64_t rows, n;
    double eps;
    const void *x;             /* (rows, n) */
    const void *weight, *bias; /* (n) (optional) */
    void *y;                   /* (rows, n) */
    void *mean, *variance;     /* (rows) (optional) */
} cti_normalise_args;

/* normalise_backward: its gradients, from what it left. CT_ERR_MEMORY likewise. */
typedef struct cti_normalise_backward_args {
    ct_dtype dtype;
    bool centred;
    int64_t rows, n;
    double eps;
    const void *x, *dy;          /* (rows, n) */
    const void *weight;          /* (n) (optional) */
    const void *mean, *variance; /* (rows) */
    void *dx;                    /* (rows, n) (optional) */
    void *dweight, *dbias;       /* (n) (optional) */
} cti_normalise_backward_args;

/* ---- sequence, sequence_backward ---- */

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
    const void *x; /* (T, B, G H): what the input adds to the gates; with an index, on the CPU
                       * alone, a table of rows of it, those being chosen by (T, B) numbers */
    const void *index;
    ct_dtype index_dtype; /* i32 or i64 */
    const void *w;        /* (G H, H) */
    const void *bias;     /* (G H), or NULL */
    /* (B), each 0..T, or NULL: T for all rows. At times from length[b] on row b stays as it is: the
     * state after is the state before, gates and hn are anything; backward, dx and dhx are 0
     * there, dy is added to what goes on to the state before, and dh, dc pass unchanged. */
    const int64_t *length;
    void *h;       /* (T + 1, B, H), the initial state in place */
    void *c;       /* LSTM: the same of the cell state */
    void *gates;   /* LSTM, GRU: (T, B, G H) after their activations */
    void *hn;      /* GRU: (T, B, H), h W_n^T + b_n */
    void *scratch; /* forward: cti_sequence_scratch elements */
    /* backward */
    const void *dy;                /* (T, B, H), or NULL */
    const void *dh_last, *dc_last; /* (B, H), or NULL */
    void *dx;                      /* (T, B, G H): of x, and (but for GRU) of h W^T */
    void *dhx;                     /* GRU: (T, B, G H), of h W^T + bias */
    void *dh0, *dc0;               /* (B, H) */
    bool bf16;                     /* as in cti_gemm, for the products with w */
} cti_sequence;

static inline int64_t cti_gates_of(cti_cell_kind kind)
{
    return kind == CTI_CELL_LSTM ? 4 : kind == CTI_CELL_GRU ? 3 : 1;
}

/* Elements of scratch that forward needs. */
static inline int64_t cti_sequence_scratch(const cti_sequence *s)
{
    int64_t width = cti_gates_of(s->kind) * s->hidden;

    return width * s->hidden + s->batch * ((s->index ? 2 : 1) * width + s->hidden);
}

/* ---- norm_squared, clip_norm, update ---- */

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

/* What changes from update to update, for a captured step. */
typedef struct cti_rates {
    double lr, weight_decay, shrink, root;
    double first; /* 0 or 1 */
} cti_rates;

/* g = scale grad + weight_decay value; then, elementwise,
 * SGD       state 0 momentum_buffer or NULL
 * ADAM      state 0 exp_avg, 1 exp_avg_sq, 2 max_exp_avg_sq or NULL
 * RMSPROP   state 0 square_avg, 1 momentum_buffer or NULL, 2 grad_avg or NULL (centred)
 * ADAGRAD   state 0 sum */
#define CTI_UPDATE_RULES(RULE)                                                                     \
    RULE(SGD, sgd)                                                                                 \
    RULE(ADAM, adam)                                                                               \
    RULE(RMSPROP, rmsprop)                                                                         \
    RULE(ADAGRAD, adagrad)

typedef enum cti_update_rule {
#define CTI_RULE_ENTRY(NAME, name) CTI_##NAME,
    CTI_UPDATE_RULES(CTI_RULE_ENTRY)
#undef CTI_RULE_ENTRY
        CTI_RULES /* how many there are */
} cti_update_rule;

typedef struct cti_update {
    cti_update_rule rule;
    bool nesterov;
    double scale;               /* gradients are multiplied by it first */
    double momentum, dampening; /* SGD; RMSprop's momentum */
    double beta1, beta2;        /* Adam; beta2 is RMSprop's alpha */
    double eps;
    /* one for each segment, on the device: what the segments say of these is not read then. NULL on
     * a synchronous device. */
    const cti_rates *rates;
} cti_update;

/* clip_norm: scales all gradients by max_norm / norm where norm, of all of them together, is above
 * max_norm. CT_ERR_NUMERIC, and no gradient changes, where it is not finite. */
typedef struct cti_clip_norm_args {
    const cti_segment *segments;
    int count;
    double max_norm;
    double *norm; /* (1), on the device: the norm before (optional) */
} cti_clip_norm_args;

/* ---- faults, and what only an asynchronous device has ---- */

typedef struct cti_fault {
    uint32_t ticket;  /* in: the number of the call; increases on each thread */
    int64_t position; /* out */
} cti_fault;

/* What a device did since the process began. */
typedef struct cti_counters {
    uint64_t launches;         /* of kernels, of the vendor's routines and of graphs */
    uint64_t synchronisations; /* the host waited for the device */
    uint64_t uploads, downloads;
    uint64_t upload_bytes, download_bytes;
    uint64_t allocations;
} cti_counters;

/* The two queues of an asynchronous device: what is in one runs in order. */
typedef enum cti_queue {
    CTI_COMPUTE, /* all kernels, upload and download */
    CTI_COPIES   /* upload_ahead */
} cti_queue;

/* What only an asynchronous device has. */
typedef struct cti_async {
    /* Waits for all of the device's work. CT_OK, or not with *fault as the fault word has it; the
     * device's own errors are raised. */
    ct_status (*synchronise)(cti_fault *fault);

    /* A mark in a queue, and a queue that goes on only when the mark has been passed. */
    void *(*event_new)(void); /* NULL with an error raised */
    void (*event_free)(void *event);
    void (*event_record)(void *event, cti_queue queue);
    void (*event_wait)(void *event, cti_queue queue);

    /* upload, in the queue of copies; host may change at once. */
    void (*upload_ahead)(void *device, const void *host, size_t bytes);

    /* Between begin and end the thread's kernels are noted, not run; replay runs them again, with
     * the same addresses and numbers. false and NULL with an error raised. */
    bool (*capture_begin)(void);
    void *(*capture_end)(void);
    void (*replay)(void *graph);
    void (*graph_free)(void *graph);

    void (*counters)(cti_counters *counters);
} cti_async;

/* ---- the table ---- */

/* SLOT(what it returns, its name, its parameters). All are required. */
#define CTI_SLOTS(SLOT)                                                                            \
    /* The calls of this thread that follow are for device ordinal. */                             \
    SLOT(void, select, (int ordinal))                                                              \
    /* NULL without an error if there is no memory: the caller may try again. */                   \
    SLOT(void *, allocate, (size_t bytes))                                                         \
    SLOT(void, release, (void *data, size_t bytes))                                                \
    /* device <- host, contiguous bytes; host may change at once. */                               \
    SLOT(void, upload, (void *device, const void *host, size_t bytes))                             \
    /* host <- device, there at once. CT_OK, or not with *fault as cti_async's synchronise. */     \
    SLOT(ct_status, download, (void *host, const void *device, size_t bytes, cti_fault *fault))    \
    /* dst <- src over a common shape, between any two dtypes as tensor/convert.h says. */         \
    SLOT(void, copy, (int rank, const int64_t *dim, const cti_array *dst, const cti_array *src))   \
    /* copy of the same dtype, but nothing while the fault word is set. */                         \
    SLOT(void, carry, (int rank, const int64_t *dim, const cti_array *dst, const cti_array *src))  \
    /* n elements of any dtype become value. */                                                    \
    SLOT(void, fill, (void *data, ct_dtype dtype, int64_t n, double value))                        \
    SLOT(void, arange, (const cti_arange_args *a))                                                 \
    SLOT(void, uniform, (const cti_draw_args *a))                                                  \
    SLOT(void, normal, (const cti_draw_args *a))                                                   \
    SLOT(void, dropout, (const cti_dropout_args *a))                                               \
    SLOT(ct_status, multinomial, (const cti_multinomial_args *a, cti_fault *fault))                \
    SLOT(void, elementwise, (const cti_ew *e))                                                     \
    SLOT(void, gemm, (const cti_gemm *g))                                                          \
    SLOT(void, reduce, (const cti_reduce_args *a))                                                 \
    SLOT(void, cumsum, (const cti_cumsum_args *a))                                                 \
    /* out_i = log(exp(in_0) + ... + exp(in_i)), in double; f32 or f64, never reverse. */          \
    SLOT(void, logcumsumexp, (const cti_cumsum_args *a))                                           \
    SLOT(void, logcumsumexp_backward, (const cti_logcumsumexp_backward_args *a))                   \
    SLOT(ct_status, gather_rows, (const cti_gather_rows_args *a, cti_fault *fault))                \
    SLOT(ct_status, scatter_add_rows, (const cti_scatter_add_rows_args *a, cti_fault *fault))      \
    SLOT(ct_status, one_hot, (const cti_one_hot_args *a, cti_fault *fault))                        \
    SLOT(ct_status, gather, (const cti_gather_args *a, cti_fault *fault))                          \
    SLOT(ct_status, scatter_add, (const cti_scatter_add_args *a, cti_fault *fault))                \
    SLOT(void, sort, (const cti_sort_args *a))                                                     \
    SLOT(void, softmax, (const cti_softmax_args *a))                                               \
    SLOT(ct_status, cross_entropy, (const cti_cross_entropy_args *a, cti_fault *fault))            \
    SLOT(void, cross_entropy_backward, (const cti_cross_entropy_backward_args *a))                 \
    SLOT(ct_status, linear_cross_entropy,                                                          \
         (const cti_linear_cross_entropy_args *a, cti_fault *fault))                               \
    SLOT(ct_status, normalise, (const cti_normalise_args *a))                                      \
    SLOT(ct_status, normalise_backward, (const cti_normalise_backward_args *a))                    \
    /* Fills h (and c, gates, hn) from the initial states. */                                      \
    SLOT(void, sequence, (const cti_sequence *s))                                                  \
    /* Fills dx, dhx, dh0 and dc0 from what the forward left. */                                   \
    SLOT(void, sequence_backward, (const cti_sequence *s))                                         \
    /* *out, on the device: the sum of squares of all gradients. */                                \
    SLOT(void, norm_squared, (const cti_segment *segments, int count, double *out))                \
    SLOT(ct_status, clip_norm, (const cti_clip_norm_args *a, cti_fault *fault))                    \
    SLOT(void, update, (const cti_update *u, const cti_segment *segments, int count))

typedef struct cti_backend {
    uint32_t version, size; /* of this table, checked when a plug-in is opened */
    const char *name;
    const cti_async *async; /* (optional) NULL: synchronous */
#define CTI_SLOT_MEMBER(result, name, parameters) result(*name) parameters;
    CTI_SLOTS(CTI_SLOT_MEMBER)
#undef CTI_SLOT_MEMBER
} cti_backend;

#define CTI_BACKEND_VERSION 8

/* ---- plug-ins ---- */

/* What the library gives a plug-in. */
typedef struct cti_host {
    uint32_t version, size; /* CTI_BACKEND_VERSION, and of this table */

    void *(*allocate)(size_t bytes); /* host memory; NULL when there is none */
    void (*release)(void *p);
    /* ct_raise: the thread keeps its first error; function is what the message names */
    ct_status (*raise)(ct_status status, const char *function, const char *format, ...)
        CT_PRINTF(3, 4);
    bool (*ok)(void); /* no error is recorded */
} cti_host;

/* What a plug-in gives. */
typedef struct cti_plugin {
    uint32_t version, size; /* CTI_BACKEND_VERSION, and of this table */
    int devices;            /* 0: reason says why, "driver missing" */
    char reason[128];
    const cti_backend *backend; /* of all its devices */
} cti_plugin;

/* The one function that a plug-in exports, called once; false if host is of another version. */
typedef bool (*cti_plugin_open_function)(const cti_host *host, cti_plugin *plugin);
#define CTI_PLUGIN_SYMBOL "cti_plugin_open"

#define CTI_PLUGIN_DEVICES 16 /* the most of one plug-in */

/* The plug-ins: PLUGIN(the name of the file and of the device, what a message calls the device). */
#define CTI_PLUGINS(PLUGIN)                                                                        \
    PLUGIN("cuda", "CUDA device")                                                                  \
    PLUGIN("cuda-emu", "emulated CUDA device")

/* ---- for the library (device.c) ---- */

#define CTI_DEVICES 32 /* the most, the CPU among them */

/* The table of a device, which is current on this thread from now on; or NULL. */
const cti_backend *cti_backend_of(ct_device device);

/* What a kernel finds fault with. */
typedef enum cti_fault_kind {
    CTI_FAULT_INDEX,   /* an index that is not in 0..limit-1 */
    CTI_FAULT_TARGET,  /* a class, the same */
    CTI_FAULT_WEIGHTS, /* a row of weights of which limit must be positive */
    CTI_FAULT_NORM,    /* a norm that is not finite; limit is the number of the step, or 0 */
    CTI_FAULT_VALUE    /* a gradient that is not finite */
} cti_fault_kind;

/* For a call of a kernel of device. Its ticket keeps what a message needs: the public function, the
 * user's place, the limit. */
cti_fault cti_fault_at(ct_device device, cti_fault_kind kind, const char *function, int64_t limit);

/* Host <- device, and waiting for a device; false with the error of a fault raised. */
bool cti_to_host(ct_device device, void *host, const void *data, size_t bytes);
bool cti_synchronise(ct_device device);

/* The CPU's own, for the dispatch and for tests of it. */
extern const cti_backend cti_cpu_backend;

#ifdef __cplusplus
}
#endif

#endif
