/* SPDX-License-Identifier: MIT */
/* transformer.c - encoders and decoders: layers of attention and feed-forward parts. */
#include "nn/attention_internal.h"

#include <cotangent/autograd/ops/elementwise.h>
#include <cotangent/autograd/ops/random.h>
#include <cotangent/nn/layer_norm.h>
#include <cotangent/nn/linear.h>
#include <cotangent/nn/transformer.h>

#include <string.h>

typedef struct transformer_layer {
    ct_attention *self, *cross; /* cross is NULL in an encoder */
    ct_module *linear1, *linear2;
    ct_module *norm[3]; /* the norms of self-attention, attention to the memory (in a decoder),
                   * feed-forward */
} transformer_layer;

struct ct_transformer {
    ct_params *params;
    bool decoder, norm_first;
    double dropout;
    ct_activation activation;
    int64_t d_model;
    int count;
    transformer_layer *layer;
    ct_module *norm; /* the norm after the last layer, or NULL */
};

/* ---- making ---- */

static ct_module *transformer_norm(ct_params *set, const char *name,
                                   const ct_nn_transformer_options *o)
{
    return ct_nn_layer_norm(set, name,
                            (ct_nn_layer_norm_options){ .size = o->d_model,
                                                        .eps = o->layer_norm_eps,
                                                        .no_bias = o->no_bias });
}

/* Registers a layer in its part of the set. */
static void transformer_add_layer(const ct_transformer *t, transformer_layer *l, ct_params *set,
                                  const ct_nn_transformer_options *o)
{
    static const char *const norms[3] = { "norm1", "norm2", "norm3" };
    ct_nn_multihead_attention_options attention = { .embed_dim = o->d_model,
                                                    .num_heads = o->num_heads,
                                                    .dropout = t->dropout,
                                                    .no_bias = o->no_bias };
    ct_nn_linear_options wide = { .in_features = o->d_model,
                                  .out_features = o->dim_feedforward,
                                  .no_bias = o->no_bias };
    ct_nn_linear_options narrow = { .in_features = o->dim_feedforward,
                                    .out_features = o->d_model,
                                    .no_bias = o->no_bias };
    int i;

    if (t->decoder)
        l->cross = ct_nn_multihead_attention(set, "multihead_attn", attention);
    attention.rotary_base = o->rotary_base;
    l->self = ct_nn_multihead_attention(set, "self_attn", attention);
    l->linear1 = ct_nn_linear(set, "linear1", wide);
    l->linear2 = ct_nn_linear(set, "linear2", narrow);
    for (i = 0; i < (t->decoder ? 3 : 2); i++)
        l->norm[i] = transformer_norm(set, norms[i], o);
}

static bool transformer_check(const char *me, const ct_nn_transformer_options *o, bool stack)
{
    int heads = o->num_heads >= 1 && o->d_model % o->num_heads == 0;

    if (!cti_at_least(me, "d_model", o->d_model, 1) ||
        !cti_at_least(me, "num_heads", o->num_heads, 1) ||
        !cti_at_least(me, "dim_feedforward", o->dim_feedforward, 0) ||
        !cti_is_eps(me, o->layer_norm_eps) ||
        !cti_is_probability(me, "dropout", cti_option(o->dropout, 0.1)))
        return false;
    if (!heads)
        ct_raise(CT_ERR_ARGUMENT, me, "num_heads is %lld; it must divide d_model, %lld",
                 (long long)o->num_heads, (long long)o->d_model);
    else if (!(o->rotary_base >= 0))
        ct_raise(CT_ERR_ARGUMENT, me, "rotary_base is %g; it must be at least 0", o->rotary_base);
    else if (o->rotary_base > 0 && o->d_model / o->num_heads % 2 != 0)
        ct_raise(CT_ERR_ARGUMENT, me, "a head has %lld features; rotary_base needs an even number",
                 (long long)(o->d_model / o->num_heads));
    else if (stack && (o->num_layers < 1 || o->num_layers > CTI_ATTENTION_LAYERS))
        ct_raise(CT_ERR_ARGUMENT, me, "num_layers is %d; it must be in 1..%d", o->num_layers,
                 CTI_ATTENTION_LAYERS);
    else if (o->activation < CT_ACTIVATION_RELU || o->activation > CT_ACTIVATION_GELU_TANH)
        ct_raise(CT_ERR_ARGUMENT, me, "activation is %d; it must be in 0..%d", (int)o->activation,
                 CT_ACTIVATION_GELU_TANH);
    else
        return true;
    return false;
}

/* The common part of the constructors. A single layer is a stack of one layer whose names lack
 * "layers.0". */
static ct_transformer *transformer_new(const char *me, ct_params *params, const char *name,
                                       ct_nn_transformer_options o, bool decoder, bool stack)
{
    ct_params *mine;
    ct_transformer *t;
    int i;

    if (!cti_module_given(me, params, name) || !transformer_check(me, &o, stack))
        return NULL;
    mine = ct_params_sub(params, name);
    t = mine ? cti_module_data(params, sizeof *t) : NULL;
    if (!t)
        return NULL;
    o.dim_feedforward = o.dim_feedforward ? o.dim_feedforward : 2048;
    *t = (ct_transformer){ .params = params,
                           .decoder = decoder,
                           .norm_first = o.norm_first,
                           .dropout = cti_option(o.dropout, 0.1),
                           .activation = o.activation,
                           .d_model = o.d_model,
                           .count = stack ? o.num_layers : 1 };
    t->layer = cti_module_data(params, (size_t)t->count * sizeof *t->layer);
    for (i = 0; t->layer && i < t->count && ct_ok(); i++) {
        ct_params *part = stack ? ct_params_sub_index(mine, "layers", i) : mine;

        if (part)
            transformer_add_layer(t, &t->layer[i], part, &o);
    }
    if (stack && o.final_norm && ct_ok())
        t->norm = transformer_norm(mine, "norm", &o);
    return ct_ok() ? t : NULL;
}

ct_transformer *ct_nn_transformer_encoder_layer(ct_params *params, const char *name,
                                                ct_nn_transformer_options o)
{
    return transformer_new("ct_nn_transformer_encoder_layer", params, name, o, false, false);
}

ct_transformer *ct_nn_transformer_decoder_layer(ct_params *params, const char *name,
                                                ct_nn_transformer_options o)
{
    return transformer_new("ct_nn_transformer_decoder_layer", params, name, o, true, false);
}

ct_transformer *ct_nn_transformer_encoder(ct_params *params, const char *name,
                                          ct_nn_transformer_options o)
{
    return transformer_new("ct_nn_transformer_encoder", params, name, o, false, true);
}

ct_transformer *ct_nn_transformer_decoder(ct_params *params, const char *name,
                                          ct_nn_transformer_options o)
{
    return transformer_new("ct_nn_transformer_decoder", params, name, o, true, true);
}

/* ---- running ---- */

/* The data of a call, while it runs through the layers. */
typedef struct transformer_pass {
    const char *me;
    const ct_transformer *t;
    ct_tensor *memory;
    ct_attention_call self, cross;
    cti_attention_cache *cache; /* the cache of the current layer, or NULL */
} transformer_pass;

static ct_tensor *transformer_drop(const ct_transformer *t, ct_tensor *x)
{
    return t->dropout > 0 && ct_params_is_training(t->params)
               ? ct_dropout(x, t->dropout, ct_params_generator(t->params))
               : x;
}

static ct_tensor *transformer_activate(ct_activation activation, ct_tensor *x)
{
    switch (activation) {
    case CT_ACTIVATION_GELU:
        return ct_gelu(x);
    case CT_ACTIVATION_GELU_TANH:
        return ct_gelu_tanh(x);
    default:
        return ct_relu(x);
    }
}

enum { PART_SELF, PART_CROSS, PART_FEED_FORWARD };

static ct_tensor *transformer_part(const transformer_pass *p, const transformer_layer *l, int part,
                                   ct_tensor *x)
{
    ct_tensor *self[3] = { x, x, x }, *cross[3] = { x, p->memory, p->memory };

    if (part == PART_SELF)
        return cti_attention_run(l->self, p->me, self, &p->self, p->cache);
    if (part == PART_CROSS)
        return cti_attention_run(l->cross, p->me, cross, &p->cross, NULL);
    x = transformer_activate(p->t->activation, ct_forward(l->linear1, x));
    return x ? ct_forward(l->linear2, transformer_drop(p->t, x)) : NULL;
}

static ct_tensor *transformer_layer_forward(const transformer_pass *p, const transformer_layer *l,
                                            ct_tensor *x)
{
    int part, norm = 0;

    for (part = PART_SELF; part <= PART_FEED_FORWARD && ct_ok(); part++) {
        ct_tensor *y = x;

        if (part == PART_CROSS && !l->cross)
            continue;
        if (p->t->norm_first)
            y = ct_forward(l->norm[norm], y);
        y = y ? transformer_part(p, l, part, y) : NULL;
        x = y ? ct_add(x, transformer_drop(p->t, y)) : NULL;
        if (x && !p->t->norm_first)
            x = ct_forward(l->norm[norm], x);
        norm++;
    }
    return x;
}

static bool transformer_check_input(const char *me, const ct_transformer *t, const char *name,
                                    const ct_tensor *x)
{
    if (!cti_usable_as(me, name, x) || !cti_want_float(me, name, x))
        return false;
    if (ct_rank(x) >= 2 && ct_size(x, -1) == t->d_model)
        return true;
    ct_raise(CT_ERR_SHAPE, me, "%s %s must be (..., L, %lld)", name, cti_describe(x).s,
             (long long)t->d_model);
    return false;
}

static bool transformer_check_call(const char *me, const ct_transformer *t, const ct_tensor *x,
                                   const ct_tensor *memory, const ct_transformer_call *call)
{
    const ct_attention_call self = { .mask = call->mask,
                                     .key_lengths = call->lengths,
                                     .past = call->past };

    if (!cti_given(me, "t", t) || !transformer_check_input(me, t, "x", x) ||
        !cti_optional(me, memory) || !cti_attention_call_usable(me, &self) ||
        !cti_optional_as(me, "call.memory_mask", call->memory_mask) ||
        !cti_optional_as(me, "call.memory_lengths", call->memory_lengths))
        return false;
    if (t->decoder)
        return transformer_check_input(me, t, "memory", memory);
    if (!memory && !call->memory_mask && !call->memory_lengths)
        return true;
    ct_raise(CT_ERR_ARGUMENT, me,
             "t is an encoder; memory, call.memory_mask and call.memory_lengths must be NULL");
    return false;
}

ct_tensor *ct_transformer_forward(ct_transformer *t, ct_tensor *x, ct_tensor *memory,
                                  ct_transformer_call call)
{
    static const char *const me = "ct_transformer_forward";
    transformer_pass p = {
        .me = me,
        .t = t,
        .memory = memory,
        .self = { .mask = call.mask, .key_lengths = call.lengths, .causal = call.causal },
        .cross = { .mask = call.memory_mask, .key_lengths = call.memory_lengths }
    };
    cti_attention_cache cache[CTI_ATTENTION_LAYERS];
    bool cached = call.past || call.next;
    int i;

    if (call.next)
        *call.next = NULL;
    if (!transformer_check_call(me, t, x, memory, &call))
        return NULL;
    memset(cache, 0, sizeof cache);
    if (cached && !cti_attention_read(me, call.past, x, t->count, cache))
        return NULL;
    for (i = 0; x && i < t->count; i++) {
        p.cache = cached ? &cache[i] : NULL;
        x = transformer_layer_forward(&p, &t->layer[i], x);
    }
    if (x && t->norm)
        x = ct_forward(t->norm, x);
    if (x && call.next)
        *call.next = cti_attention_write(t->count, cache);
    return x && ct_ok() ? x : NULL;
}
