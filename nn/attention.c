/* SPDX-License-Identifier: MIT */
/* attention.c - scaled dot-product attention and its masks, composed from ops; without masks it is one op
 * (fused_attention.c). */
#include "nn/attention_internal.h"

#include "autograd/internal.h"

#include <cotangent/autograd/ops/compare.h>
#include <cotangent/autograd/ops/copy.h>
#include <cotangent/autograd/ops/elementwise.h>
#include <cotangent/autograd/ops/matmul.h>
#include <cotangent/autograd/ops/random.h>
#include <cotangent/autograd/ops/softmax.h>
#include <cotangent/autograd/ops/views.h>

#include <float.h>
#include <math.h>

/* ---- masks ---- */

ct_tensor *ct_causal_mask(int64_t queries, int64_t keys, int64_t first_query, ct_device device)
{
    static const char *const me = "ct_causal_mask";
    ct_tensor *i, *j;

    if (!cti_at_least(me, "queries", queries, 0) || !cti_at_least(me, "keys", keys, 0) ||
        !cti_at_least(me, "first_query", first_query, 0))
        return NULL;
    i = ct_arange((double)first_query, (double)(first_query + queries), 1, CT_I64, device);
    j = ct_arange(0, (double)keys, 1, CT_I64, device);
    return ct_le(j, ct_unsqueeze(i, 1));
}

ct_tensor *ct_length_mask(ct_tensor *lengths, int64_t size)
{
    static const char *const me = "ct_length_mask";

    if (!cti_usable(me, lengths) || !cti_want_index(me, "lengths", lengths) ||
        !cti_at_least(me, "size", size, 0))
        return NULL;
    if (ct_rank(lengths) != 1) {
        ct_raise(CT_ERR_SHAPE, me, "lengths %s must have rank 1", cti_describe(lengths).s);
        return NULL;
    }
    return ct_lt(ct_arange(0, (double)size, 1, lengths->dtype, lengths->device),
                 ct_unsqueeze(lengths, 1));
}

/* ---- checks ---- */

/* Returns the shape of a without its last axes. */
static ct_shape attention_leading(const ct_tensor *a, int axes)
{
    return ct_shape_from_sizes(a->shape.rank - axes, a->shape.dim);
}

static bool attention_like(const char *me, const char *name, const ct_tensor *q, const ct_tensor *t)
{
    return cti_want_float(me, name, t) && cti_same_dtype(me, "q", q, name, t) &&
           cti_same_device(me, "q", q, name, t);
}

/* Checks the shapes of q, k and v, whose numbers of heads are equal by now. *scores becomes the
 * shape of the scores. */
static bool attention_shapes(const char *me, const ct_tensor *q, const ct_tensor *k,
                             const ct_tensor *v, ct_shape *scores)
{
    ct_shape lead_q = attention_leading(q, 2), lead_k = attention_leading(k, 2),
             lead_v = attention_leading(v, 2), lead;
    bool fits = cti_broadcast_shapes(&lead_q, &lead_k, scores) < 0 &&
                cti_broadcast_shapes(scores, &lead_v, &lead) < 0;

    if (!fits || ct_size(q, -1) != ct_size(k, -1) || ct_size(k, -2) != ct_size(v, -2)) {
        ct_raise(CT_ERR_SHAPE, me,
                 "q %s, k %s and v %s must be (..., Lq, D), (..., Lk, D) and (..., Lk, Dv)",
                 cti_describe(q).s, cti_describe(k).s, cti_describe(v).s);
        return false;
    }
    scores->dim[scores->rank++] = ct_size(q, -2);
    scores->dim[scores->rank++] = ct_size(k, -2);
    return true;
}

static bool attention_check_inputs(const char *me, const ct_tensor *q, const ct_tensor *k,
                                   const ct_tensor *v)
{
    if (!cti_usable(me, q) || !cti_usable(me, k) || !cti_usable(me, v) ||
        !cti_want_float(me, "q", q) || !attention_like(me, "k", q, k) ||
        !attention_like(me, "v", q, v))
        return false;
    if (q->shape.rank >= 2 && k->shape.rank == q->shape.rank && v->shape.rank == q->shape.rank)
        return true;
    ct_raise(CT_ERR_SHAPE, me, "q %s, k %s and v %s must have one rank, 2 or more",
             cti_describe(q).s, cti_describe(k).s, cti_describe(v).s);
    return false;
}

static bool attention_check_mask(const char *me, const ct_tensor *q, const ct_tensor *mask,
                                 const ct_shape *scores)
{
    ct_shape both;

    if (!mask)
        return true;
    if (mask->dtype != CT_BOOL && mask->dtype != q->dtype) {
        ct_raise(CT_ERR_DTYPE, me, "options.mask %s must be bool or have the dtype of q %s",
                 cti_describe(mask).s, cti_describe(q).s);
        return false;
    }
    if (!cti_same_device(me, "q", q, "options.mask", mask))
        return false;
    if (cti_broadcast_shapes(scores, &mask->shape, &both) < 0 && cti_same_shape(&both, scores))
        return true;
    ct_raise(CT_ERR_SHAPE, me, "options.mask %s does not broadcast to the scores %s",
             cti_describe(mask).s, cti_shape_text(scores).s);
    return false;
}

static bool attention_check_lengths(const char *me, const ct_tensor *q, const ct_tensor *lengths,
                                    const ct_shape *scores)
{
    if (!lengths)
        return true;
    if (!cti_want_index(me, "options.key_lengths", lengths) ||
        !cti_same_device(me, "q", q, "options.key_lengths", lengths))
        return false;
    if (scores->rank >= 3 && lengths->shape.rank == 1 && lengths->shape.dim[0] == scores->dim[0])
        return true;
    ct_raise(CT_ERR_SHAPE, me,
             "options.key_lengths %s must be (B), for scores (B, ...); they are %s",
             cti_describe(lengths).s, cti_shape_text(scores).s);
    return false;
}

static bool attention_check_options(const char *me, const ct_attention_options *o)
{
    if (!cti_optional_as(me, "options.mask", o->mask) ||
        !cti_optional_as(me, "options.key_lengths", o->key_lengths) ||
        !cti_is_probability(me, "dropout", o->dropout) ||
        !cti_at_least(me, "first_query", o->first_query, 0) ||
        (o->dropout > 0 && !cti_given(me, "options.generator", o->generator)))
        return false;
    if (o->scale == o->scale)
        return true;
    ct_raise(CT_ERR_ARGUMENT, me, "scale is %g; it must be a number", o->scale);
    return false;
}

/* ---- attention ---- */

/* Returns k or v with each head repeated, once for each head of q that uses it. */
static ct_tensor *attention_repeat_heads(ct_tensor *t, int64_t heads)
{
    ct_shape shape = t->shape, wide = ct_shape_from_sizes(t->shape.rank - 2, t->shape.dim);
    int64_t times;

    if (t->shape.dim[t->shape.rank - 3] == heads)
        return t;
    times = heads / t->shape.dim[t->shape.rank - 3];
    wide.dim[wide.rank++] = times;
    wide.dim[wide.rank++] = ct_size(t, -2);
    wide.dim[wide.rank++] = ct_size(t, -1);
    shape.dim[shape.rank - 3] = heads;
    return ct_reshape(ct_expand(ct_unsqueeze(t, -3), wide), shape);
}

/* Repeats the heads of *t so that it has as many as q. */
static bool attention_group(const char *me, const ct_tensor *q, ct_tensor **t)
{
    int64_t heads = q->shape.rank >= 3 ? ct_size(q, -3) : 0;
    int64_t own = q->shape.rank >= 3 ? ct_size(*t, -3) : 0;

    if (own >= 1 && heads % own == 0 && (q->shape.rank < CT_MAX_RANK || own == heads)) {
        *t = attention_repeat_heads(*t, heads);
        return *t != NULL;
    }
    ct_raise(CT_ERR_SHAPE, me, "enable_gqa: the heads (axis -3) of %s do not divide those of q %s",
             cti_describe(*t).s, cti_describe(q).s);
    return false;
}

/* Returns a and b, or b if a is NULL. */
static ct_tensor *attention_and(ct_tensor *a, ct_tensor *b)
{
    return a ? ct_logical_and(a, b) : b;
}

/* Returns a bool tensor that broadcasts to the scores, true where a query may attend to a key; NULL
 * if no key is hidden, and NULL with an error. */
static ct_tensor *attention_seen(const ct_attention_options *o, const ct_shape *scores,
                                 ct_device device)
{
    int64_t keys = scores->dim[scores->rank - 1];
    ct_tensor *seen = NULL, *m = o->mask;
    ct_shape by_row = *scores;
    int i;

    if (m && m->dtype == CT_BOOL)
        seen = m;
    else if (m)
        seen = ct_ne(ct_detach(m), ct_full(CT_SCALAR, -INFINITY, m->dtype, device));
    if (o->key_lengths) {
        for (i = 1; i < by_row.rank - 1; i++)
            by_row.dim[i] = 1;
        seen = attention_and(seen, ct_reshape(ct_length_mask(o->key_lengths, keys), by_row));
    }
    if (o->causal)
        seen = attention_and(
            seen, ct_causal_mask(scores->dim[scores->rank - 2], keys, o->first_query, device));
    return seen;
}

/* Returns the softmax of the scores. Hidden keys get a very low finite score, so that their weight
 * is 0. If all keys of a row are hidden, the weights are set to 0 afterwards. No NaN occurs, so the
 * derivatives of hidden keys are 0. */
static ct_tensor *attention_weights(const ct_attention_options *o, ct_tensor *scores)
{
    const double lowest = (scores->dtype == CT_F64 ? -DBL_MAX : -FLT_MAX) / 2;
    ct_tensor *seen = attention_seen(o, &scores->shape, scores->device), *hidden, *y;

    if (!seen)
        return ct_ok() ? ct_softmax(scores, -1) : NULL;
    if (o->mask && o->mask->dtype != CT_BOOL)
        scores = ct_add(scores, o->mask);
    hidden = ct_logical_not(seen);
    y = ct_softmax(ct_masked_fill(scores, hidden, lowest), -1);
    return o->mask || o->key_lengths ? ct_masked_fill(y, hidden, 0) : y;
}

/* The sum of v with the weights of the scores. */
static ct_tensor *attention_sum(const ct_attention_options *o, ct_tensor *scores, ct_tensor *v,
                                ct_tensor **weights)
{
    ct_tensor *y = scores ? attention_weights(o, scores) : NULL;

    y = y && o->dropout > 0 ? ct_dropout(y, o->dropout, o->generator) : y;
    if (weights)
        *weights = y;
    return ct_matmul(y, v);
}

ct_tensor *cti_attention(const char *me, ct_tensor *const *qkv, const ct_attention_options *o,
                         ct_tensor **weights)
{
    ct_tensor *q = qkv[0], *k = qkv[1], *v = qkv[2], *y;
    double scale;
    ct_shape scores;

    if (!attention_check_inputs(me, q, k, v) || !attention_check_options(me, o) ||
        (o->enable_gqa && (!attention_group(me, q, &k) || !attention_group(me, q, &v))) ||
        !attention_shapes(me, q, k, v, &scores) || !attention_check_mask(me, q, o->mask, &scores) ||
        !attention_check_lengths(me, q, o->key_lengths, &scores))
        return NULL;
    scale = o->scale != 0 ? o->scale : ct_size(q, -1) ? 1 / sqrt((double)ct_size(q, -1)) : 1;
    if (!weights && !o->mask && !o->key_lengths && o->dropout == 0) {
        y = cti_fused_attention(me, (ct_tensor *[]){ q, k, v },
                                &(cti_attention_rule){ scale, o->causal, o->first_query });
        if (y || !ct_ok())
            return y;
    }
    return attention_sum(o, ct_matmul(ct_mul_scalar(q, scale), ct_transpose(k, -1, -2)), v,
                         weights);
}

ct_tensor *ct_scaled_dot_product_attention(ct_tensor *q, ct_tensor *k, ct_tensor *v,
                                           ct_attention_options options)
{
    return cti_attention("ct_scaled_dot_product_attention", (ct_tensor *[]){ q, k, v }, &options,
                         NULL);
}

/* ---- additive attention ---- */

static bool additive_check(const char *me, const ct_tensor *q, const ct_tensor *weight,
                           const ct_attention_options *o)
{
    const ct_shape want = CT_SHAPE(ct_size(q, -1));

    if (o->scale != 0 || o->enable_gqa)
        ct_raise(CT_ERR_ARGUMENT, me, "options.%s is set; additive attention does not have it",
                 o->scale != 0 ? "scale" : "enable_gqa");
    else if (ct_rank(q) == CT_MAX_RANK)
        ct_raise(CT_ERR_SHAPE, me, "q %s has %d axes; it may have %d", cti_describe(q).s,
                 CT_MAX_RANK, CT_MAX_RANK - 1);
    else if (!cti_same_shape(&weight->shape, &want))
        ct_raise(CT_ERR_SHAPE, me, "weight %s must have the shape %s, for q %s",
                 cti_describe(weight).s, cti_shape_text(&want).s, cti_describe(q).s);
    return ct_ok() && attention_like(me, "weight", q, weight);
}

ct_tensor *cti_additive_attention(const char *me, ct_tensor *const *qkv, ct_tensor *weight,
                                  const ct_attention_options *o, ct_tensor **weights)
{
    ct_tensor *q = qkv[0], *k = qkv[1], *v = qkv[2], *sum;
    ct_shape scores;

    if (!attention_check_inputs(me, q, k, v) || !cti_usable_as(me, "weight", weight) ||
        !attention_check_options(me, o) || !additive_check(me, q, weight, o) ||
        !attention_shapes(me, q, k, v, &scores) || !attention_check_mask(me, q, o->mask, &scores) ||
        !attention_check_lengths(me, q, o->key_lengths, &scores))
        return NULL;
    sum = ct_tanh(ct_add(ct_unsqueeze(q, -2), ct_unsqueeze(k, -3))); /* (..., Lq, Lk, D) */
    return attention_sum(o, ct_squeeze(ct_linear(sum, ct_unsqueeze(weight, 0), NULL), -1), v,
                         weights);
}

ct_tensor *ct_additive_attention(ct_tensor *q, ct_tensor *k, ct_tensor *v, ct_tensor *weight,
                                 ct_attention_options options)
{
    return cti_additive_attention("ct_additive_attention", (ct_tensor *[]){ q, k, v }, weight,
                                  &options, NULL);
}
