/* SPDX-License-Identifier: MIT */
/* multihead_attention.c - the MultiheadAttention module, with a cache of keys and values. */
#include "nn/attention_internal.h"

#include "autograd/internal.h"

#include <cotangent/autograd/ops/join.h>
#include <cotangent/autograd/ops/matmul.h>
#include <cotangent/autograd/ops/reduce.h>
#include <cotangent/autograd/ops/views.h>
#include <cotangent/nn/init.h>
#include <cotangent/nn/positions.h>

#include <math.h>

enum { QUERY, KEY, VALUE, INPUTS };

typedef struct multihead {
    ct_attention base;
    int64_t embed, heads;
    double rotary_base;
    ct_param *in_weight;       /* of all three; or NULL, and one each: */
    ct_param *weights[INPUTS]; /* (embed, features) */
    ct_param *in_bias, *out_weight, *out_bias;
} multihead;

/* ---- the module ---- */

static void attention_register(multihead *a, ct_params *mine,
                               const ct_nn_multihead_attention_options *o)
{
    static const char *const names[INPUTS] = { "q_proj_weight", "k_proj_weight", "v_proj_weight" };
    const int64_t features[INPUTS] = { o->embed_dim, o->kdim, o->vdim };
    const ct_init zero = ct_init_constant(0), xavier = ct_init_xavier_uniform(1);
    double bound = 1 / sqrt((double)o->embed_dim);
    int i;

    if (o->kdim == o->embed_dim && o->vdim == o->embed_dim)
        a->in_weight =
            ct_params_add(mine, "in_proj_weight", CT_SHAPE(3 * o->embed_dim, o->embed_dim), xavier);
    for (i = 0; !a->in_weight && i < INPUTS && ct_ok(); i++)
        a->weights[i] = ct_params_add(mine, names[i], CT_SHAPE(o->embed_dim, features[i]), xavier);
    if (!o->no_bias)
        a->in_bias = ct_params_add(mine, "in_proj_bias", CT_SHAPE(3 * o->embed_dim), zero);
    a->out_weight = ct_params_add(mine, "out_proj.weight", CT_SHAPE(o->embed_dim, o->embed_dim),
                                  ct_init_uniform(-bound, bound));
    if (!o->no_bias)
        a->out_bias = ct_params_add(mine, "out_proj.bias", CT_SHAPE(o->embed_dim), zero);
}

static bool attention_module_check(const char *me, const ct_nn_multihead_attention_options *o)
{
    if (!cti_at_least(me, "embed_dim", o->embed_dim, 1) ||
        !cti_at_least(me, "num_heads", o->num_heads, 1) || !cti_at_least(me, "kdim", o->kdim, 0) ||
        !cti_at_least(me, "vdim", o->vdim, 0) || !cti_is_probability(me, "dropout", o->dropout))
        return false;
    if (o->embed_dim > INT64_MAX / 3) {
        ct_raise(CT_ERR_SHAPE, me, "embed_dim is %lld; it must be at most %lld",
                 (long long)o->embed_dim, (long long)INT64_MAX / 3);
        return false;
    }
    if (o->embed_dim % o->num_heads) {
        ct_raise(CT_ERR_ARGUMENT, me, "num_heads is %lld; it must divide embed_dim, %lld",
                 (long long)o->num_heads, (long long)o->embed_dim);
        return false;
    }
    if (!(o->rotary_base >= 0)) {
        ct_raise(CT_ERR_ARGUMENT, me, "rotary_base is %g; it must be at least 0", o->rotary_base);
        return false;
    }
    if (o->rotary_base > 0 && o->embed_dim / o->num_heads % 2 != 0) {
        ct_raise(CT_ERR_ARGUMENT, me, "a head has %lld features; rotary_base needs an even number",
                 (long long)(o->embed_dim / o->num_heads));
        return false;
    }
    return true;
}

ct_attention *ct_nn_multihead_attention(ct_params *params, const char *name,
                                        ct_nn_multihead_attention_options o)
{
    static const char *const me = "ct_nn_multihead_attention";
    ct_params *mine;
    multihead *a;

    if (!cti_module_given(me, params, name) || !attention_module_check(me, &o))
        return NULL;
    o.kdim = o.kdim ? o.kdim : o.embed_dim;
    o.vdim = o.vdim ? o.vdim : o.embed_dim;
    mine = ct_params_sub(params, name);
    a = mine ? cti_module_data(params, sizeof *a) : NULL;
    if (!a)
        return NULL;
    a->base.params = params;
    a->base.dropout = o.dropout;
    a->embed = o.embed_dim;
    a->heads = o.num_heads;
    a->rotary_base = o.rotary_base;
    attention_register(a, mine, &o);
    return ct_ok() ? &a->base : NULL;
}

/* ---- the products around attention ---- */

/* x (..., L, features) times rows of the input weights and bias, `count` parts from number first on. */
static ct_tensor *attention_project(const multihead *a, ct_tensor *x, int first, int count)
{
    ct_tensor *w = a->in_weight ? ct_param_value(a->in_weight) : ct_param_value(a->weights[first]);
    ct_tensor *b = cti_value(a->in_bias);

    if (a->in_weight && count < INPUTS)
        w = ct_narrow(w, 0, first * a->embed, count * a->embed);
    if (b && count < INPUTS)
        b = ct_narrow(b, 0, first * a->embed, count * a->embed);
    return ct_linear(x, w, b);
}

/* (..., L, embed) -> (..., heads, L, size of a head), a view */
static ct_tensor *attention_split(const multihead *a, ct_tensor *x)
{
    ct_shape shape;

    if (!x)
        return NULL;
    shape = x->shape;
    shape.dim[shape.rank - 1] = a->heads;
    shape.dim[shape.rank++] = a->embed / a->heads;
    return ct_transpose(ct_reshape(x, shape), -2, -3);
}

static bool attention_check_rank(const char *me, const char *name, const ct_tensor *x,
                                 const ct_tensor *query)
{
    if (x->shape.rank >= 2 && x->shape.rank == query->shape.rank && x->shape.rank < CT_MAX_RANK)
        return true;
    ct_raise(CT_ERR_SHAPE, me, "%s %s must be (..., L, features), with the rank of query %s", name,
             cti_describe(x).s, cti_describe(query).s);
    return false;
}

/* Sets qkv to the heads of query, key and value. */
static bool attention_inputs(const multihead *a, const char *me, ct_tensor *const *x,
                             ct_tensor **qkv)
{
    static const char *const names[INPUTS] = { "query", "key", "value" };
    ct_tensor *all;
    int i;

    for (i = 0; i < INPUTS; i++)
        if (!cti_usable_as(me, names[i], x[i]) || !attention_check_rank(me, names[i], x[i], x[0]))
            return false;
    all = x[QUERY] == x[KEY] && x[KEY] == x[VALUE] && a->in_weight
              ? attention_project(a, x[QUERY], 0, INPUTS)
              : NULL;
    for (i = 0; i < INPUTS && ct_ok(); i++)
        qkv[i] = attention_split(a, all ? ct_narrow(all, -1, i * a->embed, a->embed)
                                        : attention_project(a, x[i], i, 1));
    return ct_ok();
}

/* ---- the cache ---- */

bool cti_attention_call_usable(const char *me, const ct_attention_call *call)
{
    return cti_optional_as(me, "call.mask", call->mask) &&
           cti_optional_as(me, "call.key_lengths", call->key_lengths) &&
           (!call->past || cti_state_usable(me, "call.past", call->past));
}

bool cti_attention_read(const char *me, const ct_state *past, const ct_tensor *x, int layers,
                        cti_attention_cache *cache)
{
    int i;

    if (layers > CTI_ATTENTION_LAYERS || ct_rank(x) != 3) {
        ct_raise(CT_ERR_SHAPE, me,
                 "a cache needs x (B, L, features), and at most %d layers; x is %s",
                 CTI_ATTENTION_LAYERS, cti_describe(x).s);
        return false;
    }
    if (past && ct_state_count(past) != 2 * layers) {
        ct_raise(CT_ERR_SHAPE, me, "call.past has %d tensors; it must have %d",
                 ct_state_count(past), 2 * layers);
        return false;
    }
    for (i = 0; i < 2 * layers; i++) {
        const ct_tensor *t = past ? ct_state_get(past, i) : NULL;

        if (t && (ct_rank(t) != 5 || ct_size(t, 0) != 1 || ct_size(t, 1) != ct_size(x, 0))) {
            ct_raise(CT_ERR_SHAPE, me,
                     "call.past has a tensor %s; it must be (1, %lld, heads, L, "
                     "size)",
                     cti_describe(t).s, (long long)ct_size(x, 0));
            return false;
        }
        cache[i / 2].past[i % 2] = t ? ct_select(ct_state_get(past, i), 0, 0) : NULL;
    }
    return ct_ok();
}

ct_state *cti_attention_write(int layers, const cti_attention_cache *cache)
{
    ct_tensor *tensor[2 * CTI_ATTENTION_LAYERS];
    int i;

    for (i = 0; i < 2 * layers; i++)
        tensor[i] = ct_unsqueeze(cache[i / 2].next[i % 2], 0);
    return ct_ok() ? ct_state_from_tensors(2 * layers, tensor) : NULL;
}

/* Joins the cached keys and values and those of the call. */
static bool attention_use_cache(const char *me, cti_attention_cache *cache, ct_tensor **kv)
{
    int i;

    for (i = 0; i < 2; i++) {
        ct_tensor *past = cache->past[i];

        if (past && (ct_size(past, 1) != ct_size(kv[i], 1) ||
                     ct_size(past, 3) != ct_size(kv[i], 3) || past->dtype != kv[i]->dtype)) {
            ct_raise(CT_ERR_SHAPE, me, "call.past %s does not fit keys or values %s",
                     cti_describe(past).s, cti_describe(kv[i]).s);
            return false;
        }
        kv[i] = cache->next[i] = past ? CT_CAT(-2, past, kv[i]) : kv[i];
    }
    return ct_ok();
}

/* ---- a call ---- */

ct_attention_options cti_attention_options(const ct_attention *a, const ct_attention_call *call)
{
    ct_attention_options o = { .mask = call->mask,
                               .key_lengths = call->key_lengths,
                               .causal = call->causal };

    if (a->dropout > 0 && ct_params_is_training(a->params)) {
        o.dropout = a->dropout;
        o.generator = ct_params_generator(a->params);
    }
    return o;
}

ct_tensor *cti_attention_run(ct_attention *module, const char *me, ct_tensor *const *x,
                             const ct_attention_call *call, cti_attention_cache *cache)
{
    const multihead *a = (const multihead *)module;
    ct_attention_options o = cti_attention_options(module, call);
    ct_tensor *qkv[INPUTS], *y, *weights = NULL;
    ct_shape shape;

    if (call->weights)
        *call->weights = NULL;
    if (!attention_inputs(a, me, x, qkv))
        return NULL;
    o.first_query = cache && cache->past[0] ? ct_size(cache->past[0], -2) : 0;
    if (a->rotary_base > 0) {
        qkv[QUERY] = ct_rotary_embedding(qkv[QUERY], o.first_query, a->rotary_base);
        qkv[KEY] = ct_rotary_embedding(qkv[KEY], o.first_query, a->rotary_base);
    }
    if (!ct_ok() || (cache && !attention_use_cache(me, cache, qkv + KEY)))
        return NULL;
    y = cti_attention(me, qkv, &o, call->weights ? &weights : NULL);
    if (!y)
        return NULL;
    if (call->weights)
        *call->weights = ct_mean_axis(weights, -3, false);
    shape = x[QUERY]->shape;
    shape.dim[shape.rank - 1] = a->embed;
    return ct_linear(ct_reshape(ct_transpose(y, -2, -3), shape), ct_param_value(a->out_weight),
                     cti_value(a->out_bias));
}

/* Refuses what a kind of attention does not have. */
static bool attention_has(const char *me, const ct_attention *a, const ct_attention_call *call)
{
    if (a->forward && (call->past || call->next))
        ct_raise(CT_ERR_ARGUMENT, me, "call.%s is set; only MultiheadAttention has a cache",
                 call->past ? "past" : "next");
    else if (!a->forward && call->projected_keys)
        ct_raise(CT_ERR_ARGUMENT, me,
                 "call.projected_keys is set; MultiheadAttention does not have it");
    else
        return true;
    return false;
}

ct_tensor *ct_attention_forward(ct_attention *a, ct_tensor *query, ct_tensor *key, ct_tensor *value,
                                ct_attention_call call)
{
    static const char *const me = "ct_attention_forward";
    ct_tensor *x[INPUTS] = { query, key, value }, *y;
    cti_attention_cache cache = { { NULL, NULL }, { NULL, NULL } };
    bool cached = call.past || call.next;

    if (call.next)
        *call.next = NULL;
    if (call.weights)
        *call.weights = NULL;
    if (!cti_given(me, "a", a) || !cti_usable(me, query) || !cti_usable(me, key) ||
        !cti_usable(me, value) || !cti_attention_call_usable(me, &call) ||
        !attention_has(me, a, &call))
        return NULL;
    if (a->forward)
        return a->forward(a, me, x, &call);
    if ((cached && !cti_attention_read(me, call.past, query, 1, &cache)))
        return NULL;
    y = cti_attention_run(a, me, x, &call, cached ? &cache : NULL);
    if (y && call.next)
        *call.next = cti_attention_write(1, &cache);
    return y && ct_ok() ? y : NULL;
}
