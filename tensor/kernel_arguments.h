/* SPDX-License-Identifier: MIT */
/* kernel_arguments.h - the structs that kernels take, in the order of the table in backend.h, which has
 * the rules for all kernels. Those of recurrent layers are in recurrent_kernels.h. (internal) */
#ifndef COTANGENT_TENSOR_KERNEL_ARGUMENTS_H
#define COTANGENT_TENSOR_KERNEL_ARGUMENTS_H

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
 * one of the inputs, with the same strides. Comparisons and tests write bool. The first input of
 * where is bool. */
typedef struct cti_ew {
    cti_ew_op op;
    ct_dtype dtype; /* the dtype of the numeric inputs; any dtype for where, bool for logical ops */
    int inputs;     /* the number of inputs: 1 to 3 */
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

/* The position in a Philox stream at which draws begin, in blocks of four words. In a captured step
 * the position moves with each replay: then `block` counts from *base, which is on the device. */
typedef struct cti_position {
    uint64_t seed, stream, block;
    const uint64_t *base; /* NULL: block counts from 0 */
} cti_position;

/* uniform: numbers in [a, b). normal: mean a and standard deviation b. Element i of an f32 array
 * uses word i after the position; of an f64 array, words 2 i and 2 i + 1. */
typedef struct cti_draw_args {
    void *out;      /* (n) */
    ct_dtype dtype; /* f32 or f64 */
    int64_t n;
    double a, b;
    cti_position from;
} cti_draw_args;

/* dropout: out[i] = 0 if word i after the position is below p 2^32, else in[i] / (1 - p). out may
 * be in. */
typedef struct cti_dropout_args {
    ct_dtype dtype; /* f32 or f64 */
    int64_t n;
    double p; /* 0 <= p < 1 */
    cti_position from;
    const void *in; /* (n) */
    void *out;      /* (n) */
} cti_dropout_args;

/* randint: low + a number in 0 .. range - 1, each equally likely. Element i takes words 2 i and
 * 2 i + 1; see cti_draw_integers in philox.h. */
typedef struct cti_randint_args {
    void *out;      /* (n) */
    ct_dtype dtype; /* i32 or i64, which holds low .. low + range - 1 */
    int64_t n, low;
    uint64_t range; /* at least 1 */
    cti_position from;
} cti_randint_args;

/* multinomial: draws k positions for each row, with replacement, with probabilities proportional to
 * the row's weights. There are rows k draws. Draw d makes a uniform number from words 2 d and 2 d +
 * 1, and returns the first position whose running sum is above the uniform times the total. The
 * running sums are added in order within chains of CTI_CHAIN weights, then chain by chain, so that
 * every device draws the same positions. CT_ERR_NUMERIC, with the row as position, for a weight
 * that is negative or not finite, and for a total that is 0 or not finite.
 *
 * multinomial_keys, for draws without replacement: weight i of all rows n becomes log(weight) -
 * log(-log(u)), where u is the uniform of words 2 i and 2 i + 1, or -inf for a weight of 0. The
 * positions of the k greatest keys, in falling order, are then distributed as k draws one after the
 * other (Efraimidis and Spirakis, 2006). CT_ERR_NUMERIC, with the row as position, for a weight
 * that is negative or not finite, and for fewer than k positive weights. out is not read. */
#define CTI_CHAIN 1024

typedef struct cti_multinomial_args {
    int64_t rows, n, k;
    double *weights; /* (rows, n); overwritten by running sums or by keys */
    cti_position from;
    int64_t *out; /* (rows, k) */
} cti_multinomial_args;

/* check_elements: returns CT_ERR_NUMERIC, with the first position, if an element is not allowed. */
typedef enum cti_check_kind {
    CTI_CHECK_DIVISOR,    /* 0 is not allowed; i32 or i64 */
    CTI_CHECK_PROBABILITY /* only 0 .. 1 is allowed; f32 or f64 */
} cti_check_kind;

typedef struct cti_check_args {
    cti_check_kind kind;
    ct_dtype dtype;
    int64_t n;
    const void *in; /* (n) */
} cti_check_args;

/* ---- gemm ---- */

/* gemm: C (m, n) = alpha op(A) op(B) + beta C, batch times; row-major, leading dimension = row
 * stride; *_step is the distance between consecutive matrices (0: all use the same matrix). With a
 * bias, batch is 1, beta is 0, and the bias is added to every row of C. */
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

/* ---- conv, max_pool ---- */

/* conv: computes one of the three arrays of a convolution from the other two. For image i, group g,
 * and the group's channels o (output) and c (input):
 *     y[i,o,p,q] = sum over c, r, s of w[o,c,r,s] x[i,c,p stride - padding + r dilation,q ...]
 * where x is 0 outside its size. OUTPUT computes y. INPUT computes the transpose: each element of x
 * becomes the sum of w[o,c,r,s] y[i,o,p,q] over all terms above in which it occurs. WEIGHT computes
 * each element of w as the sum of x y over the terms in which it occurs. Element 0 of size, kernel
 * and so on is for rows, element 1 for columns. CT_ERR_MEMORY, without an error raised, if the
 * device has no such kernel or no memory for it; the caller then composes it from other kernels. */
typedef enum cti_conv_part { CTI_CONV_OUTPUT, CTI_CONV_INPUT, CTI_CONV_WEIGHT } cti_conv_part;

typedef struct cti_conv {
    cti_conv_part part;
    ct_dtype dtype; /* f32 or f64 */
    int64_t images, groups;
    int64_t in, out;                       /* channels of a group */
    int64_t size[2], kernel[2], result[2]; /* the sizes of x, w and y */
    int64_t stride[2], padding[2], dilation[2];
    void *x;          /* (images, groups in, size) */
    void *w;          /* (groups out, in, kernel) */
    void *y;          /* (images, groups out, result) */
    const void *bias; /* OUTPUT: (groups out), added to y; INPUT: (groups in), to x (optional) */
} cti_conv;

/* max_pool: for each window of each plane, the position in the plane of the greatest element. Of
 * equal elements the first counts; a NaN is the greatest. Positions outside the plane do not count;
 * each window has at least one position inside. */
typedef struct cti_max_pool_args {
    ct_dtype dtype; /* f32 or f64 */
    int64_t planes;
    int64_t size[2], kernel[2], result[2];
    int64_t stride[2], padding[2], dilation[2];
    const void *in;   /* (planes, size) */
    int64_t *indices; /* (planes, result) */
} cti_max_pool_args;

/* ---- reduce ---- */

typedef enum cti_reduce_op {
    CTI_SUM,
    CTI_SUM_SQUARES,
    CTI_PROD,
    CTI_MAX,
    CTI_MIN,
    CTI_ARGMAX, /* out i64: the position of the first greatest element; a NaN is the greatest */
    CTI_ARGMIN,
    CTI_ANY, /* only for bool */
    CTI_ALL
} cti_reduce_op;

/* reduce: in (outer, n, inner) -> out (outer, inner). Over n = 0, PROD and ALL are 1, the others
 * are 0. f32 adds and multiplies in double; integers wrap. */
typedef struct cti_reduce_args {
    cti_reduce_op op;
    ct_dtype dtype; /* the dtype of in: f32, f64, i32, i64, or bool for ANY and ALL */
    int64_t outer, n, inner;
    const void *in;
    void *out; /* its dtype is that of in, or i64 for ARGMAX and ARGMIN */
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
 * likewise), in which no exponent is above 0. In double. out must not overlap an input. */
typedef struct cti_logcumsumexp_backward_args {
    ct_dtype dtype; /* f32, f64 */
    bool transposed;
    int64_t outer, n, inner;
    const void *d, *x, *y;
    void *out;
} cti_logcumsumexp_backward_args;

/* linear_scan: h_j = a_j h_(j-1) + b_j along n, with 0 before the first; all are (outer, n, inner).
 * f32 computes in double; integers wrap. out must not overlap an input. */
typedef struct cti_linear_scan_args {
    ct_dtype dtype; /* f32, f64, i32, i64 */
    bool reverse;   /* from the end: h_j = a_j h_(j+1) + b_j */
    int64_t outer, n, inner;
    const void *a;
    const void *b;       /* (optional) NULL: 0, which is not added */
    const void *initial; /* (optional) (outer, inner): h before the first; NULL: 0 */
    void *out;
} cti_linear_scan_args;

/* linear_scan_backward: with g_j = d_j + a_(j+1) g_(j+1), in double, db = g, and of g in the dtype da_j
 * = g_j h_(j-1) and dinitial = a_0 g_0; for reverse likewise from the other end. The outputs are none of
 * the inputs. */
typedef struct cti_linear_scan_backward_args {
    ct_dtype dtype; /* f32, f64 */
    bool reverse;   /* that of the forward scan */
    int64_t outer, n, inner;
    const void *a, *h, *d;
    const void *initial;      /* (optional) that of the forward scan */
    void *da, *db, *dinitial; /* each optional: (outer, n, inner), the last (outer, inner) */
} cti_linear_scan_backward_args;

/* prod_backward: dx_j = d times the product of the elements of x along n but x_j, in double. */
#define CTI_PROD_MOST 4096 /* n is at most this */
typedef struct cti_prod_backward_args {
    ct_dtype dtype; /* f32, f64 */
    int64_t outer, n, inner;
    const void *x, *d; /* (outer, n, inner), (outer, inner) */
    void *dx;          /* (outer, n, inner) */
} cti_prod_backward_args;

/* running_extreme: out_j = the position along n of the greatest, or least, element of in_0 .. in_j;
 * of equal ones the last. A NaN is the greatest and the least. */
typedef struct cti_running_extreme_args {
    ct_dtype dtype; /* the dtype of in: f32, f64, i32, i64 */
    bool least;
    int64_t outer, n, inner;
    const void *in;
    int64_t *out; /* (outer, n, inner) */
} cti_running_extreme_args;

/* ---- index: index_dtype is i32 or i64. An index out of range is CT_ERR_INDEX, with its position
 * in the index array ---- */

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

/* one_hot: out (count, width) is 0, except for a 1 at each row's index (count) */
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

/* scatter_add, the reverse of gather: dst (outer, n, inner) += src (outer, m, inner), in order of m:
 * dst[o,index[o,j,i],i] += src[o,j,i]
 * scatter: the same with = in place of +=; of several elements for one position the last is kept. */
typedef struct cti_scatter_add_args {
    ct_dtype dtype; /* f32, f64, i32, i64; for scatter any */
    ct_dtype index_dtype;
    int64_t outer, n, m, inner;
    const void *src;
    const void *index; /* (outer, m, inner) */
    void *dst;
} cti_scatter_add_args;

/* ---- sort ---- */

/* sort: the first k positions (0 to n) of the order in which each row would be sorted. Equal
 * elements keep their order; a NaN is the greatest. */
typedef struct cti_sort_args {
    ct_dtype dtype; /* f32, f64, i32, i64 */
    bool descending;
    int64_t rows, n, k;
    const void *in;   /* (rows, n) */
    int64_t *order;   /* (rows, k) */
    int64_t *scratch; /* (rows, 2 n) */
} cti_sort_args;

/* searchsorted: out (rows, m) = the number of elements in each row of sorted (rows, n), which is in
 * ascending order, that are below each of values (rows, m), or, if right is set, at most equal to
 * it. n for a NaN. */
typedef struct cti_searchsorted_args {
    ct_dtype dtype; /* f32, f64, i32, i64 */
    bool right;
    int64_t rows, n, m;
    const void *sorted, *values;
    int64_t *out;
} cti_searchsorted_args;

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
 * target is ignore. CT_ERR_INDEX, with the row as position, for any other target that is not in 0
 * .. n - 1. */
typedef struct cti_cross_entropy_args {
    ct_dtype dtype;       /* f32 or f64 */
    ct_dtype index_dtype; /* the dtype of target: i32 or i64 */
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
    const void *dloss;      /* (rows); or one number for all rows if dloss_step is 0 */
    int64_t dloss_step;     /* 1 or 0 */
    void *din;              /* (rows, n) */
} cti_cross_entropy_backward_args;

/* linear_cross_entropy: the losses of cross_entropy for the scores x weight^T + bias, and their
 * gradients. The gradients are those of the sum of the losses; with `mean`, those of their mean
 * over the targets that are not ignored. CT_ERR_INDEX as in cross_entropy. CT_ERR_MEMORY, without
 * an error raised, if the device has no such kernel or no memory for it: the caller then composes
 * it from other kernels. */
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
    bool gradients; /* if true, at least one of the following gradients is not NULL */
    void *loss;     /* (rows) */
    void *dx;       /* (rows, k) (optional) */
    void *dweight;  /* (n, k) (optional) */
    void *dbias;    /* (n) (optional) */
} cti_linear_cross_entropy_args;

/* ---- ctc ---- */

/* ctc: for each of B sequences, minus the log of the probability of all paths that give its labels,
 * and the derivative of this loss. A path has a class for each of the first input_length[b] steps.
 * It gives the labels if equal neighbours are merged and then blanks are removed. With the extended
 * labels e = (blank, l_0, blank, l_1, ..., blank), of length S = 2 target_length[b] + 1 (Graves et
 * al., 2006), in logarithms and in double:
 *     alpha_ts = log_probs[t,b,e_s] + log sum over r of exp(alpha_(t-1)r)
 *     beta_ts  = log_probs[t,b,e_s] + log sum over r of exp(beta_(t+1)r)
 *     grad[t,b,c] = -sum over s with e_s = c of exp(alpha_ts + beta_ts - log_probs[t,b,c] + loss)
 * where r is s, s - 1 (for beta s + 1), and also s - 2 (s + 2) if e_s is neither blank nor equal to
 * e_r. If no path gives the labels, the loss is infinite and the gradient NaN; with zero_infinity
 * both are 0. The gradient is 0 after input_length. Lengths and targets have been checked. */
typedef struct cti_ctc_args {
    ct_dtype dtype; /* f32 or f64 */
    bool zero_infinity;
    int64_t steps, batch, classes, blank;
    int64_t width;                               /* the number of columns of target */
    const void *log_probs;                       /* (T, B, C) */
    const int64_t *target;                       /* (B, width) */
    const int64_t *input_length, *target_length; /* (B) */
    double *scratch;                             /* (B, 2, T, 2 width + 1) */
    void *loss;                                  /* (B) */
    void *grad;                                  /* (T, B, C) (optional) */
} cti_ctc_args;

/* ---- normalise, normalise_backward ---- */

/* In a row whose variance + eps is less, squares may have lost digits, or become 0. */
#define CTI_NORM_LEAST_F32 0x1p-100
#define CTI_NORM_LEAST_F64 0x1p-960

/* normalise: of each row of n, y = (x - mean) / sqrt(variance + eps) weight + bias, where variance
 * is the mean of (x - mean)^2. If centred is false, 0 takes the place of the mean. CT_ERR_MEMORY,
 * without an error raised, if the device has no such kernel or no memory for it; the caller then
 * composes it from other kernels. */
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

/* normalise_backward: the gradients of normalise, from the mean and variance that it wrote.
 * CT_ERR_MEMORY as for normalise. */
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

/* y = softmax(scale q k^T) v; causal: query i sees keys 0 .. first_query + i. CT_ERR_MEMORY too. */
typedef struct cti_attention_args {
    ct_dtype dtype; /* f32 or f64 */
    bool causal;
    int64_t batch, queries, keys, width, value_width, first_query;
    double scale;
    const void *q, *k, *v, *dy; /* (batch, queries or keys, width or value_width); dy: backward */
    void *y, *dq, *dk, *dv;     /* the gradients: backward (optional) */
    void *most, *sum;           /* (batch, queries): greatest score, sum of exp(score - most) */
} cti_attention_args;

/* ---- norm_squared, clip_norm, update ---- */

/* A segment of the optimiser's table: one parameter, or several that are tied. Numbers that depend
 * on the group or on the count of updates are computed before the call. */
typedef struct cti_segment {
    void *value;
    const void *grad;
    void *state[3]; /* in the order of the rule below; NULL if the rule does not use it */
    int64_t n;
    ct_dtype dtype;
    double lr;           /* Adam: divided by 1 - beta1^t; Adagrad: after lr_decay */
    double weight_decay; /* this times the value is added to the gradient */
    double shrink;       /* the value is first multiplied by this: 1; AdamW: 1 - lr weight_decay */
    double root;         /* Adam: sqrt(1 - beta2^t) */
    bool first; /* the first update of the parameter: SGD's momentum starts as the gradient */
} cti_segment;

/* The members of a segment that change from update to update, for a captured step. */
typedef struct cti_rates {
    double lr, weight_decay, shrink, root;
    double first; /* 0 or 1 */
} cti_rates;

/* The rules. Each first computes g = scale grad + weight_decay value. The states of SGD: 0
 * momentum_buffer or NULL. ADAM: 0 exp_avg, 1 exp_avg_sq, 2 max_exp_avg_sq or NULL. RMSPROP: 0
 * square_avg, 1 momentum_buffer or NULL, 2 grad_avg or NULL (centred). ADAGRAD: 0 sum. */
#define CTI_UPDATE_RULES(RULE)                                                                     \
    RULE(SGD, sgd)                                                                                 \
    RULE(ADAM, adam)                                                                               \
    RULE(RMSPROP, rmsprop)                                                                         \
    RULE(ADAGRAD, adagrad)

typedef enum cti_update_rule {
#define CTI_RULE_ENTRY(NAME, name) CTI_##NAME,
    CTI_UPDATE_RULES(CTI_RULE_ENTRY)
#undef CTI_RULE_ENTRY
        CTI_RULES /* the number of rules */
} cti_update_rule;

typedef struct cti_update {
    cti_update_rule rule;
    bool nesterov;
    double scale;               /* gradients are first multiplied by this */
    double momentum, dampening; /* SGD; momentum also RMSprop */
    double beta1, beta2;        /* Adam; beta2 is RMSprop's alpha */
    double eps;
    /* One entry for each segment, on the device. If not NULL, it replaces the members of the same
     * names in the segments. NULL on a synchronous device. */
    const cti_rates *rates;
} cti_update;

/* clip_norm: if the norm of all gradients together is above max_norm, multiplies them by max_norm /
 * norm. If the norm is not finite, changes no gradient and returns CT_ERR_NUMERIC. */
typedef struct cti_clip_norm_args {
    const cti_segment *segments;
    int count;
    double max_norm;
    double *norm; /* (1), on the device: the norm before (optional) */
} cti_clip_norm_args;

#ifdef __cplusplus
}
#endif
#endif
