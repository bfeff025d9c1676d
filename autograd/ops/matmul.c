/* SPDX-License-Identifier: MIT */
/* matmul.c - matrix products.
 *
 *     matmul:  C = A B, for A (..., m, k) and B (..., k, n); leading dimensions broadcast
 *              dA = dC B^T      dB = A^T dC
 *     linear:  y = x W^T + b, for x (..., in), W (out, in) and b (out)
 *              dx = dy W        dW = dy^T x      db = dy summed over all but the last axis
 *     dot, outer: composed of other ops */
#include "autograd/ops/internal.h"

#include <cotangent/autograd/ops/copy.h>
#include <cotangent/autograd/ops/elementwise.h>
#include <cotangent/autograd/ops/matmul.h>
#include <cotangent/autograd/ops/reduce.h>
#include <cotangent/autograd/ops/views.h>
#include <cotangent/tensor/config.h>

#include <limits.h>

static void matmul_backward(ct_node *n, ct_tensor *const *dout)
{
    ct_tensor *a = ct_node_input(n, 0), *b = ct_node_input(n, 1), *dc = dout[0];

    if (!a || !b)
        return;
    if (ct_node_needs_grad(n, 0))
        ct_node_add_grad(n, 0, ct_sum_to_shape(ct_matmul(dc, ct_transpose(b, -1, -2)), a->shape));
    if (ct_node_needs_grad(n, 1))
        ct_node_add_grad(n, 1, ct_sum_to_shape(ct_matmul(ct_transpose(a, -1, -2), dc), b->shape));
}

static const ct_op matmul_op = { .name = "ct_matmul",
                                 .inputs = 2,
                                 .outputs = 1,
                                 .saves = CT_SAVE_INPUTS,
                                 .backward = CTI_TRAINING(matmul_backward) };

/* How BLAS reads the last two axes of a tensor: by a transposition and a leading dimension. */
typedef struct matmul_operand {
    ct_tensor *t;
    bool transposed;
    int64_t ld;
} matmul_operand;

/* Describes t to BLAS in *m. No copy is made if one of the last two axes is dense; otherwise m
 * describes a contiguous copy. False with an error. */
static bool matmul_as_operand(ct_tensor *t, matmul_operand *m)
{
    int r = t->shape.rank;
    int64_t rows = t->shape.dim[r - 2], columns = t->shape.dim[r - 1];
    int64_t row_step = t->stride[r - 2], column_step = t->stride[r - 1];

    *m = (matmul_operand){ .t = t, .ld = rows <= 1 ? columns : row_step };
    if (columns >= 1 && (columns == 1 || column_step == 1) && m->ld >= columns)
        return true;
    if (rows >= 1 && row_step == 1 && column_step >= rows) {
        *m = (matmul_operand){ .t = t, .transposed = true, .ld = column_step };
        return true;
    }
    *m = (matmul_operand){ .t = cti_contiguous(t), .ld = columns > 0 ? columns : 1 };
    return m->t != NULL;
}

/* BLAS takes sizes of type int. The columns of a are also a size of b. The kernel cuts the rows of
 * a, so they may be larger. */
static bool matmul_fits_blas(const char *function, const ct_tensor *a, const ct_tensor *b)
{
    int r = b->shape.rank;

    if (b->shape.dim[r - 1] <= INT_MAX && b->shape.dim[r - 2] <= INT_MAX)
        return true;
    ct_raise(CT_ERR_SHAPE, function, "a %s and b %s are too large: a size of b is above 2147483647",
             cti_describe(a).s, cti_describe(b).s);
    return false;
}

/* The offset, in elements, of matrix i of t, whose batch axes are broadcast to those of shape. */
static int64_t matmul_batch_offset(const ct_tensor *t, const ct_shape *shape, int64_t i)
{
    int lead = shape->rank - t->shape.rank, axis;
    int64_t offset = 0;

    for (axis = shape->rank - 3; axis >= 0; axis--) {
        int64_t at = i % shape->dim[axis];

        i /= shape->dim[axis];
        if (axis >= lead && t->shape.dim[axis - lead] != 1)
            offset += at * t->stride[axis - lead];
    }
    return offset;
}

/* True if the matrices of t are a constant step apart. Then one call of the kernel computes all
 * products. */
static bool matmul_is_uniform(const ct_tensor *t, const ct_shape *shape, int64_t batch,
                              int64_t *step)
{
    int64_t i;

    *step = batch > 1 ? matmul_batch_offset(t, shape, 1) : 0;
    if (batch > 4096)
        return false;
    for (i = 2; i < batch; i++)
        if (matmul_batch_offset(t, shape, i) != i * *step)
            return false;
    return true;
}

static void matmul_run(const matmul_operand *a, const matmul_operand *b, ct_tensor *c)
{
    int r = c->shape.rank, ar = a->t->shape.rank;
    size_t size = ct_dtype_size(c->dtype);
    int64_t batch = 1, i;
    cti_gemm g = { .dtype = c->dtype,
                   .trans_a = a->transposed,
                   .trans_b = b->transposed,
                   .m = c->shape.dim[r - 2],
                   .n = c->shape.dim[r - 1],
                   .k = a->t->shape.dim[ar - 1],
                   .batch = 1,
                   .alpha = 1,
                   .beta = 0,
                   .a = cti_data(a->t),
                   .b = cti_data(b->t),
                   .c = cti_data(c),
                   .lda = a->ld,
                   .ldb = b->ld,
                   .ldc = c->shape.dim[r - 1],
                   .bf16 = ct_get_matmul_precision() == CT_MATMUL_PRECISION_BF16 };
    const cti_backend *be = cti_backend_of(c->device);

    if (!c->numel) /* returns before the loop over the batch, which may be very long */
        return;
    for (i = 0; i < r - 2; i++)
        batch *= c->shape.dim[i];
    g.c_step = g.m * g.n;
    if (b->t->shape.rank == 2 && a->t->contiguous && !a->transposed) {
        g.m *= batch; /* all batches of a are one tall matrix */
        be->gemm(&g);
        return;
    }
    if (matmul_is_uniform(a->t, &c->shape, batch, &g.a_step) &&
        matmul_is_uniform(b->t, &c->shape, batch, &g.b_step)) {
        g.batch = batch;
        be->gemm(&g);
        return;
    }
    for (i = 0; i < batch; i++) {
        g.a = cti_data(a->t) + matmul_batch_offset(a->t, &c->shape, i) * (int64_t)size;
        g.b = cti_data(b->t) + matmul_batch_offset(b->t, &c->shape, i) * (int64_t)size;
        g.c = cti_data(c) + i * g.c_step * (int64_t)size;
        be->gemm(&g);
    }
}

/* The shape of a b; false with an error. The caller has checked that the columns of a match the
 * rows of b. */
static bool matmul_shape(const char *me, const ct_tensor *a, const ct_tensor *b, ct_shape *out)
{
    ct_shape left = a->shape, right = b->shape;
    int ar = left.rank, br = right.rank, axis;

    left.dim[ar - 2] = left.dim[ar - 1] = 1;
    right.dim[br - 2] = right.dim[br - 1] = 1;
    axis = cti_broadcast_shapes(&left, &right, out);
    if (axis >= 0) {
        cti_no_broadcast(me, "a", a, "b", b, axis);
        return false;
    }
    out->dim[out->rank - 2] = a->shape.dim[ar - 2];
    out->dim[out->rank - 1] = b->shape.dim[br - 1];
    return true;
}

static ct_tensor *matmul_matrices(const char *me, ct_tensor *a, ct_tensor *b)
{
    ct_tensor *in[2] = { a, b }, *c;
    ct_shape shape;
    matmul_operand ma, mb;

    if (!matmul_shape(me, a, b, &shape) || !matmul_fits_blas(me, a, b))
        return NULL;
    c = cti_new(me, shape, a->dtype, a->device);
    if (!c || !matmul_as_operand(a, &ma) || !matmul_as_operand(b, &mb))
        return NULL;
    matmul_run(&ma, &mb, c);
    return cti_record_n(&matmul_op, 2, in, c);
}

ct_tensor *ct_matmul(ct_tensor *a, ct_tensor *b)
{
    static const char *const me = "ct_matmul";
    bool row, column;
    ct_tensor *c;

    if (!cti_usable(me, a) || !cti_usable(me, b) || !cti_want_float(me, "a", a) ||
        !cti_same_dtype(me, "a", a, "b", b) || !cti_same_device(me, "a", a, "b", b))
        return NULL;
    row = a->shape.rank == 1;
    column = b->shape.rank == 1;
    if (a->shape.rank == 0 || b->shape.rank == 0) {
        ct_raise(CT_ERR_SHAPE, me, "a %s and b %s: one is a scalar; use ct_mul", cti_describe(a).s,
                 cti_describe(b).s);
        return NULL;
    }
    if (a->shape.dim[a->shape.rank - 1] != b->shape.dim[column ? 0 : b->shape.rank - 2]) {
        ct_raise(CT_ERR_SHAPE, me, "a %s and b %s do not multiply (%lld columns vs %lld rows)",
                 cti_describe(a).s, cti_describe(b).s, (long long)a->shape.dim[a->shape.rank - 1],
                 (long long)b->shape.dim[column ? 0 : b->shape.rank - 2]);
        return NULL;
    }
    a = row ? ct_unsqueeze(a, 0) : a;
    b = column ? ct_unsqueeze(b, 1) : b;
    if (!a || !b)
        return NULL;
    c = matmul_matrices(me, a, b);
    c = column && c ? ct_squeeze(c, -1) : c;
    return row && c ? ct_squeeze(c, column ? -1 : -2) : c;
}

/* ---- linear: y = x W^T + b ---- */

static void linear_backward(ct_node *n, ct_tensor *const *dout)
{
    ct_tensor *x = ct_node_input(n, 0), *w = ct_node_input(n, 1), *dy = dout[0], *rows;
    int64_t count;
    int i;

    if (!x || !w)
        return;
    count = 1; /* the rows of x; ct_reshape cannot infer -1 if a size is 0 */
    for (i = 0; i < x->shape.rank - 1; i++)
        count *= x->shape.dim[i];
    rows = ct_reshape(dy, CT_SHAPE(count, w->shape.dim[0]));
    if (ct_node_needs_grad(n, 0))
        ct_node_add_grad(n, 0, ct_matmul(dy, w));
    if (ct_node_needs_grad(n, 1))
        ct_node_add_grad(
            n, 1,
            ct_matmul(ct_transpose(rows, 0, 1), ct_reshape(x, CT_SHAPE(count, w->shape.dim[1]))));
    if (ct_node_input_count(n) == 3 && ct_node_needs_grad(n, 2))
        ct_node_add_grad(n, 2, ct_sum_to_shape(rows, ct_node_input_shape(n, 2)));
}

static const ct_op linear_op = { .name = "ct_linear",
                                 .inputs = -1,
                                 .outputs = 1,
                                 .saves = CT_SAVE_INPUTS,
                                 .backward = CTI_TRAINING(linear_backward) };

bool cti_linear_check(const char *me, const ct_tensor *x, const ct_tensor *w, const ct_tensor *b)
{
    int r = x->shape.rank;

    if (!cti_want_float(me, "x", x) || !cti_same_dtype(me, "x", x, "weight", w) ||
        !cti_same_device(me, "x", x, "weight", w))
        return false;
    if (w->shape.rank != 2 || r < 1 || x->shape.dim[r - 1] != w->shape.dim[1]) {
        ct_raise(CT_ERR_SHAPE, me,
                 "the last axis of x %s must have the size of axis 1 of weight %s (out, in)",
                 cti_describe(x).s, cti_describe(w).s);
        return false;
    }
    if (!b)
        return true;
    if (b->shape.rank != 1 || b->shape.dim[0] != w->shape.dim[0]) {
        ct_raise(CT_ERR_SHAPE, me,
                 "bias %s must have one element for each row of weight %s (out, in)",
                 cti_describe(b).s, cti_describe(w).s);
        return false;
    }
    return cti_same_dtype(me, "x", x, "bias", b) && cti_same_device(me, "x", x, "bias", b);
}

/* For fewer rows than this, the product costs less than the table W^T + b. */
#define LINEAR_FEW_ROWS 8

/* For x = ct_one_hot(indices), y consists of the rows of the table W^T + b at indices. They are
 * gathered, not multiplied. Their derivatives are those of the ops below. */
static ct_tensor *linear_from_one_hot(ct_tensor *indices, ct_tensor *w, ct_tensor *b)
{
    ct_tensor *table = ct_transpose(w, 0, 1);

    table = table && b ? ct_add(table, b) : ct_clone(table);
    return table ? cti_lazy_gather(table, indices) : NULL;
}

/* y = x W^T + b in one product, for contiguous x and b; b may be NULL. */
static void linear_run(const ct_tensor *x, const matmul_operand *w, const ct_tensor *b,
                       ct_tensor *y)
{
    int64_t in = ct_size(x, -1), out = ct_size(y, -1);
    cti_gemm g = { .dtype = y->dtype,
                   .trans_a = false,
                   .trans_b = !w->transposed,
                   .m = out ? y->numel / out : 0,
                   .n = out,
                   .k = in,
                   .batch = 1,
                   .alpha = 1,
                   .a = cti_data(x),
                   .b = cti_data(w->t),
                   .c = cti_data(y),
                   .bias = b ? cti_data(b) : NULL,
                   .lda = in ? in : 1,
                   .ldb = w->ld,
                   .ldc = out,
                   .bf16 = ct_get_matmul_precision() == CT_MATMUL_PRECISION_BF16 };

    cti_backend_of(y->device)->gemm(&g);
}

static ct_tensor *linear_dense(const char *me, ct_tensor *x, ct_tensor *w, ct_tensor *b)
{
    ct_tensor *in[3] = { x, w, b }, *y, *rows, *bias;
    ct_shape shape = x->shape;
    matmul_operand weight;

    shape.dim[shape.rank - 1] = w->shape.dim[0];
    y = cti_new(me, shape, x->dtype, x->device);
    rows = y ? cti_contiguous(x) : NULL;
    bias = b ? cti_contiguous(b) : NULL;
    if (!rows || (b && !bias) || !matmul_as_operand(w, &weight))
        return NULL;
    linear_run(rows, &weight, bias, y);
    return cti_record_n(&linear_op, b ? 3 : 2, in, y);
}

ct_tensor *ct_linear(ct_tensor *x, ct_tensor *w, ct_tensor *b)
{
    static const char *const me = "ct_linear";
    ct_tensor *indices;

    if (!cti_usable(me, x) || !cti_usable_as(me, "weight", w) || !cti_optional_as(me, "bias", b) ||
        !cti_linear_check(me, x, w, b) || !matmul_fits_blas(me, x, w))
        return NULL;
    indices = cti_one_hot_of(x);
    if (indices && indices->numel >= LINEAR_FEW_ROWS)
        return linear_from_one_hot(indices, w, b);
    return linear_dense(me, x, w, b);
}

/* ---- vectors ---- */

static bool matmul_are_vectors(const char *me, const ct_tensor *a, const ct_tensor *b)
{
    if (a->shape.rank == 1 && b->shape.rank == 1)
        return true;
    ct_raise(CT_ERR_SHAPE, me, "a %s and b %s must have rank 1", cti_describe(a).s,
             cti_describe(b).s);
    return false;
}

ct_tensor *ct_dot(ct_tensor *a, ct_tensor *b)
{
    static const char *const me = "ct_dot";

    if (!cti_usable(me, a) || !cti_usable(me, b) || !cti_want_float(me, "a", a) ||
        !cti_same_dtype(me, "a", a, "b", b) || !cti_same_device(me, "a", a, "b", b) ||
        !matmul_are_vectors(me, a, b))
        return NULL;
    if (a->numel != b->numel) {
        ct_raise(CT_ERR_SHAPE, me, "a %s and b %s differ in length", cti_describe(a).s,
                 cti_describe(b).s);
        return NULL;
    }
    return ct_sum(ct_mul(a, b));
}

ct_tensor *ct_outer(ct_tensor *a, ct_tensor *b)
{
    static const char *const me = "ct_outer";

    if (!cti_usable(me, a) || !cti_usable(me, b) || !cti_same_dtype(me, "a", a, "b", b) ||
        !cti_same_device(me, "a", a, "b", b) || !matmul_are_vectors(me, a, b))
        return NULL;
    return ct_mul(ct_unsqueeze(a, 1), b);
}
