/* random.c - ops that draw random numbers.
 *
 *     dropout:      y_i = x_i m_i / (1 - p),  dx_i = d_i m_i / (1 - p),  m_i = (word_i >= p 2^32)
 *     multinomial:  positions, no derivative
 * Dropout stores no mask. Its derivative is the same op at the same position of the random stream,
 * which draws the same mask again. */
#include "autograd/ops/internal.h"

#include <cotangent/autograd/ops/random.h>

/* ---- dropout ---- */

/* What defines a mask: the probability, and the position of its first word. */
typedef struct dropout_mask {
    double p;
    cti_position from;
} dropout_mask;

static ct_tensor *dropout_run(ct_tensor *x, const dropout_mask *w);

static void dropout_grad(ct_node *n, ct_tensor *const *dout)
{
    ct_node_add_grad(n, 0, dropout_run(dout[0], ct_node_attributes(n)));
}

static const ct_op dropout_op = {
    .name = "ct_dropout", .inputs = 1, .outputs = 1, .backward = dropout_grad
};

static ct_tensor *dropout_run(ct_tensor *x, const dropout_mask *w)
{
    ct_tensor *y = cti_new("ct_dropout", x->shape, x->dtype, x->device);
    ct_tensor *c = y ? cti_contiguous(x) : NULL;

    if (!c)
        return NULL;
    cti_backend_of(x->device)->dropout(&(cti_dropout_args){ .dtype = x->dtype,
                                                            .n = x->numel,
                                                            .p = w->p,
                                                            .from = w->from,
                                                            .in = cti_data(c),
                                                            .out = cti_data(y) });
    return cti_record1_with(&dropout_op, x, y, w, sizeof *w);
}

ct_tensor *ct_dropout(ct_tensor *x, double p, ct_generator *g)
{
    static const char *const me = "ct_dropout";
    dropout_mask w;

    if (!cti_usable(me, x) || !cti_want_float(me, "x", x))
        return NULL;
    if (!cti_given(me, "g", g))
        return NULL;
    if (!(p >= 0 && p < 1)) {
        ct_raise(CT_ERR_ARGUMENT, me, "p is %g; it must be in [0, 1)", p);
        return NULL;
    }
    w = (dropout_mask){ p, cti_generator_take(g, (uint64_t)x->numel, x->device) };
    return dropout_run(x, &w);
}

/* ---- multinomial ---- */

/* Draws out (rows, k) for weights (rows, n). copy holds the weights in f64; the kernel changes
 * it. */
static bool multinomial_run(ct_tensor *weights, const ct_tensor *copy, int64_t k, bool replacement,
                            ct_generator *g, ct_tensor *out)
{
    cti_multinomial_args a = { .rows = k ? out->numel / k : 0,
                               .n = ct_size(weights, -1),
                               .k = k,
                               .replacement = replacement,
                               .weights = (double *)(void *)cti_data(copy),
                               .from = cti_generator_take(g, (uint64_t)out->numel * 2, out->device),
                               .out = (int64_t *)(void *)cti_data(out) };
    cti_fault fault =
        cti_fault_at(out->device, CTI_FAULT_WEIGHTS, "ct_multinomial", replacement ? 1 : k);

    if (cti_backend_of(out->device)->multinomial(&a, &fault) == CT_OK)
        return true;
    ct_raise(CT_ERR_NUMERIC, "ct_multinomial",
             "row %lld of weights %s must be finite, not negative, and have at least %lld positive",
             (long long)fault.position, cti_describe(weights).s, (long long)(replacement ? 1 : k));
    return false;
}

ct_tensor *ct_multinomial(ct_tensor *weights, int64_t k, bool replacement, ct_generator *g)
{
    static const char *const me = "ct_multinomial";
    ct_tensor *out, *copy;
    ct_scope s;
    ct_shape shape;
    bool good;

    if (!cti_usable(me, weights) || !cti_want_float(me, "weights", weights))
        return NULL;
    if (!cti_given(me, "g", g))
        return NULL;
    if (k < 1 || weights->shape.rank < 1) {
        ct_raise(k < 1 ? CT_ERR_ARGUMENT : CT_ERR_SHAPE, me,
                 "k is %lld and weights is %s; k must be at least 1 and the rank at least 1",
                 (long long)k, cti_describe(weights).s);
        return NULL;
    }
    shape = weights->shape;
    shape.dim[shape.rank - 1] = k;
    out = cti_new(me, shape, CT_I64, weights->device);
    if (!out)
        return NULL;
    s = cti_scope_push();
    copy = cti_new(me, weights->shape, CT_F64, weights->device);
    if (copy)
        cti_copy(copy, weights);
    good = copy && multinomial_run(weights, copy, k, replacement, g, out);
    cti_scope_pop(s);
    return good ? out : NULL;
}
