/* SPDX-License-Identifier: MIT */
/* scored_attention.c - modules of attention with one head: additive (Bahdanau et al. 2015) and the scores
 * of Luong et al. 2015.
 *
 * Each is a function of projected queries and keys:
 *     additive, concat:  w . tanh(q' + k')        general, dot:  q' . k'
 * For concat, W_a [q; k] is the sum of the products with its left and its right columns. */
#include "nn/attention_internal.h"
#include "nn/cell.h"

#include <cotangent/autograd/ops/matmul.h>
#include <cotangent/autograd/ops/views.h>
#include <cotangent/nn/init.h>

#include <math.h>

typedef struct scored_attention {
    ct_attention base;
    ct_param *query_weight, *key_weight; /* NULL: not projected */
    ct_param *both_weight;               /* concat: of both */
    ct_param *score_weight;              /* (1, hidden); NULL: the score is a dot product */
    int64_t query_size, key_size;
} scored_attention;

static ct_tensor *scored_project(ct_tensor *x, ct_param *weight)
{
    return weight ? ct_linear(x, ct_param_value(weight), NULL) : x;
}

/* The product with the columns of both_weight from number first on. */
static ct_tensor *scored_columns(const scored_attention *a, ct_tensor *x, int64_t first, int64_t n)
{
    return ct_linear(x, ct_narrow(ct_param_value(a->both_weight), 1, first, n), NULL);
}

static bool scored_check(const char *me, const char *name, const ct_tensor *x, int64_t size)
{
    if (ct_rank(x) >= 2 && ct_size(x, -1) == size)
        return true;
    ct_raise(CT_ERR_SHAPE, me, "%s %s must be (..., L, %lld)", name, cti_describe(x).s,
             (long long)size);
    return false;
}

static ct_tensor *scored_keys(ct_attention *base, ct_tensor *key)
{
    const scored_attention *a = (const scored_attention *)base;

    return a->both_weight ? scored_columns(a, key, a->query_size, a->key_size)
                          : scored_project(key, a->key_weight);
}

static ct_tensor *scored_forward(ct_attention *base, const char *me, ct_tensor *const *x,
                                 const ct_attention_call *call)
{
    const scored_attention *a = (const scored_attention *)base;
    ct_attention_options o = cti_attention_options(base, call);
    ct_tensor *qkv[3] = { NULL, x[1], x[2] };

    if (!scored_check(me, "query", x[0], a->query_size) ||
        (!call->projected_keys && !scored_check(me, "key", x[1], a->key_size)))
        return NULL;
    qkv[0] = a->both_weight ? scored_columns(a, x[0], 0, a->query_size)
                            : scored_project(x[0], a->query_weight);
    if (!call->projected_keys)
        qkv[1] = scored_keys(base, x[1]);
    if (!ct_ok())
        return NULL;
    if (a->score_weight)
        return cti_additive_attention(me, qkv, ct_select(ct_param_value(a->score_weight), 0, 0), &o,
                                      call->weights);
    o.scale = 1;
    return cti_attention(me, qkv, &o, call->weights);
}

ct_tensor *ct_attention_keys(ct_attention *a, ct_tensor *key)
{
    static const char *const me = "ct_attention_keys";

    if (!cti_given(me, "a", a) || !cti_usable(me, key))
        return NULL;
    if (!a->keys) {
        ct_raise(CT_ERR_ARGUMENT, me, "a is a MultiheadAttention; it projects keys in each call");
        return NULL;
    }
    return scored_check(me, "key", key, ((scored_attention *)a)->key_size) ? a->keys(a, key) : NULL;
}

/* ---- constructors ---- */

static bool scored_size(const char *me, const char *name, int64_t size)
{
    if (size >= 1 && size <= CTI_MOST_SIZE)
        return true;
    ct_raise(CT_ERR_ARGUMENT, me, "%s is %lld; it must be in 1..%lld", name, (long long)size,
             (long long)CTI_MOST_SIZE);
    return false;
}

/* A weight (out, in) with the initial values of nn.Linear. */
static ct_param *scored_weight(ct_params *set, const char *name, int64_t out, int64_t in)
{
    const double bound = 1 / sqrt((double)in);

    return ct_params_add(set, name, CT_SHAPE(out, in), ct_init_uniform(-bound, bound));
}

/* The module without its weights; *mine becomes the set with its name. */
static scored_attention *scored_new(ct_params *params, const char *name, double dropout,
                                    ct_params **mine)
{
    scored_attention *a;

    *mine = ct_params_sub(params, name);
    a = *mine ? cti_module_data(params, sizeof *a) : NULL;
    if (a)
        a->base = (ct_attention){ params, dropout, scored_forward, scored_keys };
    return a;
}

ct_attention *ct_nn_additive_attention(ct_params *params, const char *name,
                                       ct_nn_additive_attention_options o)
{
    static const char *const me = "ct_nn_additive_attention";
    scored_attention *a;
    ct_params *mine;

    if (!cti_module_given(me, params, name) || !scored_size(me, "query_size", o.query_size) ||
        !scored_size(me, "key_size", o.key_size) ||
        !scored_size(me, "hidden_size", o.hidden_size) ||
        !cti_is_probability(me, "dropout", o.dropout) ||
        !(a = scored_new(params, name, o.dropout, &mine)))
        return NULL;
    a->query_size = o.query_size;
    a->key_size = o.key_size;
    a->key_weight = scored_weight(mine, "W_k.weight", o.hidden_size, o.key_size);
    a->query_weight = scored_weight(mine, "W_q.weight", o.hidden_size, o.query_size);
    a->score_weight = scored_weight(mine, "w_v.weight", 1, o.hidden_size);
    return ct_ok() ? &a->base : NULL;
}

static bool scored_check_luong(const char *me, const ct_nn_luong_attention_options *o)
{
    if ((unsigned)o->score > CT_ATTENTION_SCORE_CONCAT) {
        ct_raise(CT_ERR_ARGUMENT, me, "score is %d; it must be in 0..%d", (int)o->score,
                 (int)CT_ATTENTION_SCORE_CONCAT);
        return false;
    }
    if (!scored_size(me, "query_size", o->query_size) ||
        !scored_size(me, "key_size", o->key_size) || !cti_is_probability(me, "dropout", o->dropout))
        return false;
    if (o->score == CT_ATTENTION_SCORE_CONCAT)
        return scored_size(me, "hidden_size", o->hidden_size);
    if (o->hidden_size)
        ct_raise(CT_ERR_ARGUMENT, me, "hidden_size is %lld; only the score concat has one",
                 (long long)o->hidden_size);
    else if (o->score == CT_ATTENTION_SCORE_DOT && o->query_size != o->key_size)
        ct_raise(CT_ERR_ARGUMENT, me,
                 "query_size is %lld and key_size %lld; for dot they must be equal",
                 (long long)o->query_size, (long long)o->key_size);
    return ct_ok();
}

ct_attention *ct_nn_luong_attention(ct_params *params, const char *name,
                                    ct_nn_luong_attention_options o)
{
    static const char *const me = "ct_nn_luong_attention";
    scored_attention *a;
    ct_params *mine;

    if (!cti_module_given(me, params, name) || !scored_check_luong(me, &o) ||
        !(a = scored_new(params, name, o.dropout, &mine)))
        return NULL;
    a->query_size = o.query_size;
    a->key_size = o.key_size;
    if (o.score == CT_ATTENTION_SCORE_GENERAL)
        a->key_weight = scored_weight(mine, "W_a.weight", o.query_size, o.key_size);
    if (o.score == CT_ATTENTION_SCORE_CONCAT) {
        a->both_weight =
            scored_weight(mine, "W_a.weight", o.hidden_size, o.query_size + o.key_size);
        a->score_weight = scored_weight(mine, "v_a.weight", 1, o.hidden_size);
    }
    return ct_ok() ? &a->base : NULL;
}
