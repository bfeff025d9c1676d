/* matmul.c - C = A B, for A (..., m, k) and B (..., k, n); leading dimensions broadcast.
 *     dA = dC B^T      dB = A^T dC */
#include "autograd/internal.h"

#include <cotangent/autograd/ops/elementwise.h>
#include <cotangent/autograd/ops/index.h>
#include <cotangent/autograd/ops/matmul.h>
#include <cotangent/autograd/ops/reduce.h>
#include <cotangent/autograd/ops/shape.h>
#include <cotangent/tensor/precision.h>

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
                                 .backward = matmul_backward };

/* How BLAS reads the last two axes of a tensor. */
typedef struct matrix {
    ct_tensor *t;
    bool transposed;
    int64_t ld;
} matrix;

/* The matrix as it lies, if one of its axes is dense, else a copy. */
static bool as_matrix(ct_tensor *t, matrix *m)
{
    int r = t->shape.rank;
    int64_t rows = t->shape.dim[r - 2], columns = t->shape.dim[r - 1];
    int64_t row_step = t->stride[r - 2], column_step = t->stride[r - 1];

    *m = (matrix){ .t = t, .ld = rows <= 1 ? columns : row_step };
    if (columns >= 1 && (columns == 1 || column_step == 1) && m->ld >= columns)
        return true;
    if (rows >= 1 && row_step == 1 && column_step >= rows) {
        *m = (matrix){ .t = t, .transposed = true, .ld = column_step };
        return true;
    }
    *m = (matrix){ .t = cti_contiguous(t), .ld = columns > 0 ? columns : 1 };
    return m->t != NULL;
}

/* The columns of a are one of the sizes of b. */
static bool fits_blas(const char *function, const ct_tensor *a, const ct_tensor *b)
{
    int r = b->shape.rank;

    if (b->shape.dim[r - 1] <= INT_MAX && b->shape.dim[r - 2] <= INT_MAX)
        return true;
    ct_raise(CT_ERR_SHAPE, function, "a %s and b %s are too large for one product",
             cti_describe(a).s, cti_describe(b).s);
    return false;
}

/* Element offset of batch number i of t, whose batch axes are broadcast to shape's. */
static int64_t batch_offset(const ct_tensor *t, const ct_shape *shape, int64_t i)
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

/* True if the batch axes of t walk with one step, as many of them as shape has. */
static bool uniform(const ct_tensor *t, const ct_shape *shape, int64_t batch, int64_t *step)
{
    int64_t i;

    *step = batch > 1 ? batch_offset(t, shape, 1) : 0;
    if (batch > 4096)
        return false;
    for (i = 2; i < batch; i++)
        if (batch_offset(t, shape, i) != i * *step)
            return false;
    return true;
}

static void multiply(const matrix *a, const matrix *b, ct_tensor *c)
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
                   .a = cti_ptr(a->t),
                   .b = cti_ptr(b->t),
                   .c = cti_ptr(c),
                   .lda = a->ld,
                   .ldb = b->ld,
                   .ldc = c->shape.dim[r - 1],
                   .bf16 = ct_matmul_precision() == CT_BF16 };
    const cti_backend *be = cti_backend_of(c->device);

    for (i = 0; i < r - 2; i++)
        batch *= c->shape.dim[i];
    g.c_step = g.m * g.n;
    if (b->t->shape.rank == 2 && a->t->contiguous && !a->transposed) {
        g.m *= batch; /* one tall matrix */
        be->gemm(&g);
        return;
    }
    if (uniform(a->t, &c->shape, batch, &g.a_step) && uniform(b->t, &c->shape, batch, &g.b_step)) {
        g.batch = batch;
        be->gemm(&g);
        return;
    }
    for (i = 0; i < batch; i++) {
        g.a = cti_ptr(a->t) + batch_offset(a->t, &c->shape, i) * (int64_t)size;
        g.b = cti_ptr(b->t) + batch_offset(b->t, &c->shape, i) * (int64_t)size;
        g.c = cti_ptr(c) + i * g.c_step * (int64_t)size;
        be->gemm(&g);
    }
}

/* The product's shape, for a whose columns are as many as b's rows; false with an error. */
static bool product_shape(const char *me, const ct_tensor *a, const ct_tensor *b, ct_shape *out)
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

static ct_tensor *matrices(const char *me, ct_tensor *a, ct_tensor *b)
{
    ct_tensor *in[2] = { a, b }, *c;
    ct_shape shape;
    matrix ma, mb;

    if (!product_shape(me, a, b, &shape) || !fits_blas(me, a, b))
        return NULL;
    c = cti_new(me, shape, a->dtype, a->device);
    if (!c || !as_matrix(a, &ma) || !as_matrix(b, &mb))
        return NULL;
    multiply(&ma, &mb, c);
    return ct_record(&matmul_op, 2, in, 1, &c, NULL, 0) ? c : NULL;
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
        ct_raise(CT_ERR_SHAPE, me, "a %s and b %s: a scalar is no matrix (ct_mul)",
                 cti_describe(a).s, cti_describe(b).s);
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
    c = matrices(me, a, b);
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
    count = 1; /* of rows; no size can be left to follow from the others if one is 0 */
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
                                 .backward = linear_backward };

static bool check_linear(const char *me, const ct_tensor *x, const ct_tensor *w, const ct_tensor *b)
{
    int r = x->shape.rank;

    if (!cti_want_float(me, "x", x) || !cti_same_dtype(me, "x", x, "weight", w) ||
        !cti_same_device(me, "x", x, "weight", w))
        return false;
    if (w->shape.rank != 2 || r < 1 || x->shape.dim[r - 1] != w->shape.dim[1]) {
        ct_raise(CT_ERR_SHAPE, me, "x %s and weight %s (out, in) do not fit", cti_describe(x).s,
                 cti_describe(w).s);
        return false;
    }
    if (!b)
        return true;
    if (b->shape.rank != 1 || b->shape.dim[0] != w->shape.dim[0]) {
        ct_raise(CT_ERR_SHAPE, me, "bias %s does not fit weight %s (out, in)", cti_describe(b).s,
                 cti_describe(w).s);
        return false;
    }
    return cti_same_dtype(me, "x", x, "bias", b) && cti_same_device(me, "x", x, "bias", b);
}

/* For fewer rows than this the product costs less than the table W^T + b. */
#define FEW_ROWS 8

/* Rows of W^T + b, by the indices that x was made from. */
static ct_tensor *linear_of_one_hot(ct_tensor *indices, ct_tensor *w, ct_tensor *b)
{
    ct_tensor *table = ct_transpose(w, 0, 1);

    table = table && b ? ct_add(table, b) : ct_clone(table);
    return table ? cti_rows_later(table, indices) : NULL;
}

ct_tensor *ct_linear(ct_tensor *x, ct_tensor *w, ct_tensor *b)
{
    static const char *const me = "ct_linear";
    ct_tensor *in[3] = { x, w, b }, *y, *c, *row, *indices;
    const cti_backend *be;
    ct_shape shape;
    matrix mw;
    cti_gemm g;

    if (!cti_usable(me, x) || !cti_usable_as(me, "weight", w) || !cti_optional_as(me, "bias", b) ||
        !check_linear(me, x, w, b) || !fits_blas(me, x, w))
        return NULL;
    indices = cti_one_hot_of(x);
    if (indices && indices->numel >= FEW_ROWS)
        return linear_of_one_hot(indices, w, b);
    shape = x->shape;
    shape.dim[shape.rank - 1] = w->shape.dim[0];
    y = cti_new(me, shape, x->dtype, x->device);
    c = y ? cti_contiguous(x) : NULL;
    row = b ? cti_contiguous(b) : NULL;
    if (!c || (b && !row) || !as_matrix(w, &mw))
        return NULL;
    be = cti_backend_of(x->device);
    g = (cti_gemm){ .dtype = x->dtype,
                    .trans_a = false,
                    .trans_b = !mw.transposed,
                    .n = w->shape.dim[0],
                    .k = w->shape.dim[1],
                    .batch = 1,
                    .alpha = 1,
                    .a = cti_ptr(c),
                    .b = cti_ptr(mw.t),
                    .c = cti_ptr(y),
                    .bias = row ? cti_ptr(row) : NULL,
                    .lda = w->shape.dim[1] ? w->shape.dim[1] : 1,
                    .ldb = mw.ld,
                    .ldc = w->shape.dim[0],
                    .bf16 = ct_matmul_precision() == CT_BF16 };
    g.m = g.n ? y->numel / g.n : 0;
    be->gemm(&g);
    return ct_record(&linear_op, b ? 3 : 2, in, 1, &y, NULL, 0) ? y : NULL;
}

/* ---- vectors ---- */

static bool are_vectors(const char *me, const ct_tensor *a, const ct_tensor *b)
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
        !are_vectors(me, a, b))
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
        !cti_same_device(me, "a", a, "b", b) || !are_vectors(me, a, b))
        return NULL;
    return ct_mul(ct_unsqueeze(a, 1), b);
}
