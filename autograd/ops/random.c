/* random.c - dropout and multinomial.
 *
 * Dropout: y_i = x_i m_i / (1 - p), m_i = (word_i >= p 2^32);  dx_i = d_i m_i / (1 - p), the same
 * op at the same position of the stream. */
#include "autograd/internal.h"

#include <cotangent/autograd/ops/random.h>

static bool is_given(const char *me, const ct_generator *g)
{
    if (!g)
        ct_raise(CT_ERR_ARGUMENT, me, "g is NULL");
    return g != NULL;
}

/* ---- dropout ---- */

typedef struct drawn {
    double p;
    cti_position from;
} drawn;

static ct_tensor *dropout(ct_tensor *x, const drawn *w);

static void dropout_grad(ct_node *n, ct_tensor *const *dout)
{
    ct_node_add_grad(n, 0, dropout(dout[0], ct_node_attributes(n)));
}

static const ct_op dropout_op = {
    .name = "ct_dropout", .inputs = 1, .outputs = 1, .backward = dropout_grad
};

static ct_tensor *dropout(ct_tensor *x, const drawn *w)
{
    ct_tensor *y = cti_new("ct_dropout", x->shape, x->dtype, x->device);
    ct_tensor *c = y ? cti_contiguous(x) : NULL;

    if (!c)
        return NULL;
    cti_backend_of(x->device)->dropout(&(cti_dropout_args){ .dtype = x->dtype,
                                                            .n = x->numel,
                                                            .p = w->p,
                                                            .from = w->from,
                                                            .in = cti_ptr(c),
                                                            .out = cti_ptr(y) });
    return ct_record(&dropout_op, 1, &x, 1, &y, w, sizeof *w) ? y : NULL;
}

ct_tensor *ct_dropout(ct_tensor *x, double p, ct_generator *g)
{
    static const char *const me = "ct_dropout";
    drawn w;

    if (!cti_usable(me, x) || !cti_want_float(me, "x", x))
        return NULL;
    if (!is_given(me, g))
        return NULL;
    if (!(p >= 0 && p < 1)) {
        ct_raise(CT_ERR_ARGUMENT, me, "p %g is not in [0, 1)", p);
        return NULL;
    }
    w = (drawn){ p, cti_take_words(g, (uint64_t)x->numel, x->device) };
    return dropout(x, &w);
}

/* ---- multinomial ---- */

/* out (rows, k) of weights (rows, n), its own copy in f64. */
static bool draw(ct_tensor *weights, const ct_tensor *copy, int64_t k, bool replacement,
                 ct_generator *g, ct_tensor *out)
{
    cti_multinomial_args a = { .rows = k ? out->numel / k : 0,
                               .n = ct_size(weights, -1),
                               .k = k,
                               .replacement = replacement,
                               .weights = (double *)(void *)cti_ptr(copy),
                               .from = cti_take_words(g, (uint64_t)out->numel * 2, out->device),
                               .out = (int64_t *)(void *)cti_ptr(out) };
    cti_fault fault =
        cti_fault_at(out->device, CTI_FAULT_WEIGHTS, "ct_multinomial", replacement ? 1 : k);

    if (cti_backend_of(out->device)->multinomial(&a, &fault) == CT_OK)
        return true;
    ct_raise(CT_ERR_NUMERIC, "ct_multinomial",
             "row %lld of weights %s: one is negative or not finite, or fewer than %lld are "
             "positive",
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
    if (!is_given(me, g))
        return NULL;
    if (k < 1 || weights->shape.rank < 1) {
        ct_raise(k < 1 ? CT_ERR_ARGUMENT : CT_ERR_SHAPE, me, "k %lld for weights %s", (long long)k,
                 cti_describe(weights).s);
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
    good = copy && draw(weights, copy, k, replacement, g, out);
    cti_scope_pop(s);
    return good ? out : NULL;
}
