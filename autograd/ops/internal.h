/* SPDX-License-Identifier: MIT */
/* internal.h - functions that the files of autograd/ops share. (internal)
 *
 * Functions that nn/ uses too are in autograd/internal.h. */
#ifndef COTANGENT_AUTOGRAD_OPS_INTERNAL_H
#define COTANGENT_AUTOGRAD_OPS_INTERNAL_H

#include "autograd/internal.h"

/* ---- recording: ct_record for an op with one output ---- */

/* Records y = op(x) and returns y. Returns NULL for a NULL y, and NULL with an error if recording
 * fails. */
static inline ct_tensor *cti_record1(const ct_op *op, ct_tensor *x, ct_tensor *y)
{
    return y && ct_record(op, 1, &x, 1, &y, NULL, 0) ? y : NULL;
}

/* Like cti_record1, with attributes for backward: `bytes` bytes, which are copied. */
static inline ct_tensor *cti_record1_with(const ct_op *op, ct_tensor *x, ct_tensor *y,
                                          const void *attributes, size_t bytes)
{
    return y && ct_record(op, 1, &x, 1, &y, attributes, bytes) ? y : NULL;
}

/* Records y = op(in[0], ... in[count - 1]) and returns y; NULL as for cti_record1. */
static inline ct_tensor *cti_record_n(const ct_op *op, int count, ct_tensor *const *in,
                                      ct_tensor *y)
{
    return y && ct_record(op, count, in, 1, &y, NULL, 0) ? y : NULL;
}

static inline ct_tensor *cti_record_n_with(const ct_op *op, int count, ct_tensor *const *in,
                                           ct_tensor *y, const void *attributes, size_t bytes)
{
    return y && ct_record(op, count, in, 1, &y, attributes, bytes) ? y : NULL;
}

/* ---- checks ---- */

/* True for f32, f64, i32 and i64; otherwise raises CT_ERR_DTYPE and returns false. */
bool cti_want_number(const char *function, const char *name, const ct_tensor *t);

/* d, a gradient of the op's broadcast shape, summed to the shape of input i. Returns d itself if it
 * has that shape. The input must require a gradient. (reduce.c) */
ct_tensor *cti_sum_to_input(const ct_node *n, int i, ct_tensor *d);

/* ---- elementwise ops (elementwise.c) ---- */

/* The dtypes that an op takes. FLOATS: f32, f64. NUMBERS: also i32, i64. COMPARABLE: also bool.
 * BOOLS: only bool. */
typedef enum cti_domain { FLOATS, NUMBERS, COMPARABLE, BOOLS } cti_domain;

/* The description of an op for the elementwise functions. */
typedef struct cti_elementwise_op {
    const char *function; /* the public name, for errors */
    cti_ew_op kernel;
    cti_domain domain;
    const ct_op *record; /* NULL: the result has no derivative */
    bool gives_bool;     /* true if the result is bool instead of the inputs' dtype */
} cti_elementwise_op;

/* True if the domain includes t's dtype; else raises CT_ERR_DTYPE. */
bool cti_elementwise_takes(const char *function, const char *name, const ct_tensor *t,
                           cti_domain domain);

/* Checks the operands, runs the kernel and records op. numbers points to the two numbers of the
 * kernel and its derivative; NULL if it has none. */
ct_tensor *cti_elementwise_unary(const cti_elementwise_op *op, ct_tensor *x, const double *numbers);
ct_tensor *cti_elementwise_binary(const cti_elementwise_op *op, ct_tensor *a, ct_tensor *b,
                                  const double *numbers);

/* op(x, s), where s becomes a tensor of one element. The caller has checked x and that s is a value
 * of its dtype. */
ct_tensor *cti_elementwise_with_number(const cti_elementwise_op *op, ct_tensor *x, double s);

/* True if s may be an operand for elements of dtype. For f32 and f64, any number may. For integers,
 * s must be a whole number that the dtype holds and of a magnitude below 2^53, because from there
 * on a double does not hold every whole number. For bool, it must be 0 or 1. Otherwise raises
 * CT_ERR_ARGUMENT. */
bool cti_number_fits(const char *function, const char *name, double s, ct_dtype dtype);

/* ---- reductions (reduce.c) ----
 *
 * The axes to reduce are a mask: bit i stands for axis i. A mask of -1 means that an error has been
 * raised; the functions then return NULL. */

/* The mask of a list of axes; -1 with an error if an axis is wrong or listed twice. */
int cti_reduce_mask(const char *function, const ct_tensor *x, int count, const int *axes);

/* The mask of all axes of x. */
int cti_reduce_all(const ct_tensor *x);

/* The number of elements of shape that are reduced to one. */
int64_t cti_reduce_count(const ct_shape *shape, int mask);

/* The shape of the result; keepdim keeps the reduced axes with size 1. */
ct_shape cti_reduce_shape(const ct_shape *shape, int mask, bool keepdim);

/* False with CT_ERR_SHAPE if a reduced axis has size 0. */
bool cti_reduce_has_elements(const char *function, const ct_tensor *x, int mask);

/* d, of the reduced shape, broadcast back to shape: the derivative of a sum. */
ct_tensor *cti_reduce_spread(ct_tensor *d, ct_shape shape, int mask);

/* Recorded reductions. `function` is the name in messages. op is CTI_MAX or CTI_MIN. */
ct_tensor *cti_reduce_sum(const char *function, ct_tensor *x, int mask, bool keepdim);
/* The sum of the squares of x; it is not recorded. */
ct_tensor *cti_reduce_squares(const char *function, ct_tensor *x, int mask, bool keepdim);
ct_tensor *cti_reduce_mean(const char *function, ct_tensor *x, int mask, bool keepdim);
ct_tensor *cti_reduce_extreme(const char *function, cti_reduce_op op, ct_tensor *x, int mask,
                              bool keepdim);

#endif
