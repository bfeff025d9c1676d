/* SPDX-License-Identifier: MIT */
/* random.c - ops that draw random numbers.
 *
 *     dropout:      y_i = x_i m_i / (1 - p),  dx_i = d_i m_i / (1 - p),  m_i = (word_i >= p 2^32)
 *     multinomial:  positions, no derivative      bernoulli:  0 or 1, no derivative
 * Dropout stores no mask. Its derivative is the same op at the same position of the random stream,
 * which draws the same mask again. */
#include "autograd/ops/internal.h"

#include <cotangent/autograd/autograd.h>
#include <cotangent/autograd/ops/compare.h>
#include <cotangent/autograd/ops/copy.h>
#include <cotangent/autograd/ops/random.h>

/* ---- dropout ---- */

/* The definition of a mask: the probability, and the position of its first word. */
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
    .name = "ct_dropout", .inputs = 1, .outputs = 1, .backward = CTI_TRAINING(dropout_grad)
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

/* The arguments of a call: weights (rows, n), and a copy of them in f64 that the kernels
 * overwrite. */
typedef struct multinomial_call {
    ct_tensor *weights, *copy, *out;
    int64_t rows, n, k;
    bool replacement;
    ct_generator *g;
} multinomial_call;

/* With replacement, the kernel draws the positions. Without, it computes a key for each weight; the
 * positions of the k greatest keys are the result. */
static bool multinomial_run(const multinomial_call *m)
{
    static const char *const me = "ct_multinomial";
    const cti_backend *be = cti_backend_of(m->out->device);
    int64_t draws = m->rows * (m->replacement ? m->k : m->n), least = m->replacement ? 1 : m->k;
    cti_multinomial_args a = { .rows = m->rows,
                               .n = m->n,
                               .k = m->k,
                               .weights = (double *)(void *)cti_data(m->copy),
                               .from =
                                   cti_generator_take(m->g, (uint64_t)draws * 2, m->out->device),
                               .out = (int64_t *)(void *)cti_data(m->out) };
    cti_fault fault = cti_fault_at(m->out->device, CTI_FAULT_WEIGHTS, me, least);
    ct_status found = (m->replacement ? be->multinomial : be->multinomial_keys)(&a, &fault);
    ct_tensor *scratch;

    if (found != CT_OK) {
        ct_raise(CT_ERR_NUMERIC, me,
                 "row %lld of weights %s must have finite values of at least 0, a finite sum and "
                 "at least %lld values above 0",
                 (long long)fault.position, cti_describe(m->weights).s, (long long)least);
        return false;
    }
    if (m->replacement)
        return true;
    scratch = cti_new(me, CT_SHAPE(m->rows * m->n, 2), CT_I64, m->out->device);
    if (!scratch)
        return false;
    be->sort(&(cti_sort_args){ .dtype = CT_F64,
                               .descending = true,
                               .rows = m->rows,
                               .n = m->n,
                               .k = m->k,
                               .in = a.weights,
                               .order = a.out,
                               .scratch = (int64_t *)(void *)cti_data(scratch) });
    return true;
}

/* Checks the arguments; false with an error. */
static bool multinomial_check(const ct_tensor *weights, int64_t k, bool replacement,
                              const ct_generator *g)
{
    static const char *const me = "ct_multinomial";

    if (!cti_usable(me, weights) || !cti_want_float(me, "weights", weights) ||
        !cti_given(me, "g", g))
        return false;
    if (!cti_at_least(me, "k", k, 1))
        return false;
    if (weights->shape.rank < 1) {
        ct_raise(CT_ERR_SHAPE, me, "weights %s must have at least rank 1", cti_describe(weights).s);
        return false;
    }
    if (!replacement && k > ct_size(weights, -1)) {
        ct_raise(CT_ERR_ARGUMENT, me,
                 "k is %lld; without replacement it must be at most %lld, the last size of weights "
                 "%s",
                 (long long)k, (long long)ct_size(weights, -1), cti_describe(weights).s);
        return false;
    }
    return true;
}

ct_tensor *ct_multinomial(ct_tensor *weights, int64_t k, bool replacement, ct_generator *g)
{
    static const char *const me = "ct_multinomial";
    multinomial_call m = { .weights = weights, .k = k, .replacement = replacement, .g = g };
    ct_scope s;
    ct_shape shape;
    bool good;

    if (!multinomial_check(weights, k, replacement, g))
        return NULL;
    shape = weights->shape;
    m.n = ct_size(weights, -1);
    shape.dim[shape.rank - 1] = k;
    m.out = cti_new(me, shape, CT_I64, weights->device);
    if (!m.out)
        return NULL;
    m.rows = m.out->numel / k;
    s = cti_scope_push();
    m.copy = cti_new(me, weights->shape, CT_F64, weights->device);
    if (m.copy)
        cti_copy(m.copy, weights);
    good = m.copy && multinomial_run(&m);
    cti_scope_pop(s);
    return good ? m.out : NULL;
}

/* ---- like another tensor ---- */

ct_tensor *ct_rand_like(const ct_tensor *x, ct_generator *g)
{
    static const char *const me = "ct_rand_like";

    if (!cti_usable(me, x) || !cti_want_float(me, "x", x) || !cti_given(me, "g", g))
        return NULL;
    return ct_rand(x->shape, x->dtype, x->device, g);
}

ct_tensor *ct_randn_like(const ct_tensor *x, ct_generator *g)
{
    static const char *const me = "ct_randn_like";

    if (!cti_usable(me, x) || !cti_want_float(me, "x", x) || !cti_given(me, "g", g))
        return NULL;
    return ct_randn(x->shape, x->dtype, x->device, g);
}

/* ---- bernoulli: u < p for uniforms u of 53 bits, in either dtype ---- */

/* Returns p as a contiguous tensor if every element is a probability; NULL with an error
 * otherwise. */
static ct_tensor *bernoulli_check(const ct_tensor *p)
{
    static const char *const me = "ct_bernoulli";
    ct_tensor *c = cti_contiguous(p);
    cti_fault fault = cti_fault_at(p->device, CTI_FAULT_PROBABILITY, me, 0);

    if (c && cti_backend_of(p->device)->check_elements(
                 &(cti_check_args){ CTI_CHECK_PROBABILITY, c->dtype, c->numel, cti_data(c) },
                 &fault) != CT_OK) {
        ct_raise(CT_ERR_NUMERIC, me, "element %lld of p %s is not in 0..1",
                 (long long)fault.position, cti_describe(p).s);
        return NULL;
    }
    return c;
}

ct_tensor *ct_bernoulli(ct_tensor *p, ct_generator *g)
{
    static const char *const me = "ct_bernoulli";
    ct_tensor *y, *c, *u, *less = NULL;
    ct_scope s;

    if (!cti_usable(me, p) || !cti_want_float(me, "p", p) || !cti_given(me, "g", g))
        return NULL;
    y = cti_new(me, p->shape, p->dtype, p->device);
    if (!y)
        return NULL;
    s = cti_scope_push();
    c = bernoulli_check(p);
    u = c ? ct_rand(p->shape, CT_F64, p->device, g) : NULL;
    less = u ? ct_lt(u, ct_cast(ct_detach(c), CT_F64)) : NULL;
    if (less)
        cti_copy(y, less);
    cti_scope_pop(s);
    if (less)
        cti_not_recorded(me, 1, &p, y);
    return less ? y : NULL;
}
