/* SPDX-License-Identifier: MIT */
/* attention.h - scaled dot-product attention (Vaswani et al. 2017), additive attention (Bahdanau et al.
 * 2015), masks, and modules of both and of Luong's scores (Luong et al. 2015).
 *
 * The weights of a query are the softmax of its scores with all keys. Its result is the sum of the
 * values with these weights:
 *     scores = q k^T scale        y = softmax(scores) v
 *
 * In every mask here, true means that a query may attend to a key, as in PyTorch's
 * scaled_dot_product_attention; the masks of PyTorch's nn.MultiheadAttention mean the opposite. The
 * result of a query that may attend to no key is 0 and has no gradient. */
#ifndef COTANGENT_NN_ATTENTION_H
#define COTANGENT_NN_ATTENTION_H

#include <stdbool.h>

#include <cotangent/autograd/params/params.h>
#include <cotangent/nn/state.h>
#include <cotangent/tensor/random.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- functions ---- */

/* Optional arguments of ct_scaled_dot_product_attention. Zero-initialise it to use none. A key is
 * hidden if any of them hides it. */
typedef struct ct_attention_options {
    /* Broadcasts to the scores (..., Lq, Lk). A bool mask is true where a query may attend to a
     * key. A mask of q's dtype is added to the scores; -INFINITY hides a key. */
    ct_tensor *mask;
    /* (B) i32 or i64, for q (B, ..., Lq, D): the keys key_lengths[b], key_lengths[b] + 1, ... are
     * hidden. */
    ct_tensor *key_lengths;
    bool causal;             /* query i attends only to the keys 0 .. first_query + i */
    int64_t first_query;     /* with causal: the position of query 0 among the keys; at least 0 */
    double dropout;          /* dropout of the weights, in [0, 1) */
    ct_generator *generator; /* required for dropout */
    double scale;            /* default: 1 / sqrt(D) */
    bool enable_gqa; /* k and v have fewer heads (axis -3); each serves several heads of q */
} ct_attention_options;

/* q (..., Lq, D), k (..., Lk, D) and v (..., Lk, Dv) -> (..., Lq, Dv), which belongs to the
 * innermost scope. f32 or f64, of one dtype, device and rank, at least 2; the leading axes
 * broadcast. With y the weights and d their gradient, dscores = y (d - sum(d y)). CT_ERR_SHAPE if
 * sizes differ or, with enable_gqa, the number of heads of k does not divide that of q;
 * CT_ERR_DTYPE, CT_ERR_DEVICE; CT_ERR_ARGUMENT if dropout is not in [0, 1) or has no generator, or
 * first_query is negative. */
ct_tensor *ct_scaled_dot_product_attention(ct_tensor *q, ct_tensor *k, ct_tensor *v,
                                           ct_attention_options options);

/* Attention with scores_ij = weight . tanh(q_i + k_j), for weight (D); everything else is as for
 * ct_scaled_dot_product_attention. q and k are projected to D features already. All of (..., Lq, Lk, D)
 * is in memory at once. The result belongs to the innermost scope. CT_ERR_SHAPE too if q has 8 axes; CT_ERR_ARGUMENT too if options.scale or
 * options.enable_gqa is set. */
ct_tensor *ct_additive_attention(ct_tensor *q, ct_tensor *k, ct_tensor *v, ct_tensor *weight,
                                 ct_attention_options options);

/* Returns a bool tensor (queries, keys) of the innermost scope, true where key j <= first_query + i, so
 * that query i attends to no later key. CT_ERR_ARGUMENT if a number is negative. */
ct_tensor *ct_causal_mask(int64_t queries, int64_t keys, int64_t first_query, ct_device device);

/* Returns a bool tensor (B, size) of the innermost scope, true where j < lengths[b]; lengths (B) is
 * i32 or i64 (CT_ERR_DTYPE, CT_ERR_SHAPE). To use it as a mask for scores of rank 4, ct_reshape it
 * to (B, 1, 1, size). CT_ERR_ARGUMENT if size is negative. */
ct_tensor *ct_length_mask(ct_tensor *lengths, int64_t size);

/* ---- modules ---- */

/* An attention module of any kind. It belongs to a parameter set and is freed with it. */
typedef struct ct_attention ct_attention;

typedef struct ct_nn_multihead_attention_options {
    int64_t embed_dim, num_heads; /* required; num_heads must divide embed_dim */
    int64_t kdim, vdim;           /* the features of key and of value; default embed_dim */
    double dropout;               /* dropout of the weights, while the set trains; in [0, 1) */
    bool no_bias;
    /* the base of a rotary embedding of q and k (ct_rotary_embedding), usually 10000; 0: none */
    double rotary_base;
} ct_nn_multihead_attention_options;

/* Makes PyTorch's nn.MultiheadAttention. Registers NAME.in_proj_weight (3 embed_dim, embed_dim), or
 * if kdim or vdim differs from embed_dim, NAME.q_proj_weight (embed_dim, embed_dim),
 * NAME.k_proj_weight (embed_dim, kdim) and NAME.v_proj_weight (embed_dim, vdim); NAME.in_proj_bias
 * (3 embed_dim); NAME.out_proj.weight (embed_dim, embed_dim) and NAME.out_proj.bias (embed_dim).
 * Initially the input weights are Xavier-uniform, out_proj.weight is uniform within 1 /
 * sqrt(embed_dim), and biases are 0. The module belongs to params. CT_ERR_ARGUMENT if a size is out
 * of range, num_heads does not divide embed_dim, dropout is not in [0, 1), or rotary_base is
 * negative or is set with heads of odd size. */
ct_attention *ct_nn_multihead_attention(ct_params *params, const char *name,
                                        ct_nn_multihead_attention_options options);

typedef struct ct_nn_additive_attention_options {
    int64_t query_size, key_size, hidden_size; /* required */
    double dropout; /* dropout of the weights, while the set trains; in [0, 1) */
} ct_nn_additive_attention_options;

/* Makes additive attention, which the set frees, with the names of d2l.ai's AdditiveAttention:
 *     score(q, k) = w_v . tanh(W_q q + W_k k)
 * Registers NAME.W_k.weight (hidden_size, key_size), NAME.W_q.weight (hidden_size, query_size) and
 * NAME.w_v.weight (1, hidden_size), initially uniform within 1 / sqrt(in), as nn.Linear. The features
 * of value may be any number. CT_ERR_ARGUMENT if a size is not in 1..2^28 or dropout is not in [0, 1). */
ct_attention *ct_nn_additive_attention(ct_params *params, const char *name,
                                       ct_nn_additive_attention_options options);

/* The score of a query q and a key k, as in Luong et al. 2015. */
typedef enum ct_attention_score {
    CT_ATTENTION_SCORE_GENERAL, /* q^T W_a k */
    CT_ATTENTION_SCORE_DOT,     /* q^T k, without a scale; query_size and key_size are equal */
    CT_ATTENTION_SCORE_CONCAT   /* v_a . tanh(W_a [q; k]) */
} ct_attention_score;

typedef struct ct_nn_luong_attention_options {
    ct_attention_score score;     /* 0: general */
    int64_t query_size, key_size; /* required */
    int64_t hidden_size;          /* required for concat, otherwise 0 */
    double dropout;               /* as above */
} ct_nn_luong_attention_options;

/* Makes Luong's attention, which the set frees. Registers for general NAME.W_a.weight (query_size, key_size), for concat
 * NAME.W_a.weight (hidden_size, query_size + key_size) and NAME.v_a.weight (1, hidden_size), for dot
 * nothing. Initial values and errors are those of ct_nn_additive_attention; CT_ERR_ARGUMENT too if the
 * score does not exist, dot has unequal sizes, or hidden_size is set without concat. */
ct_attention *ct_nn_luong_attention(ct_params *params, const char *name,
                                    ct_nn_luong_attention_options options);

/* Optional arguments of one call. Zero-initialise it to use none. */
typedef struct ct_attention_call {
    ct_tensor *mask; /* as in ct_attention_options, for scores (..., num_heads, Lq, Lk) */
    /* (B), as in ct_attention_options; with past, the keys of past count too */
    ct_tensor *key_lengths;
    bool causal; /* query i attends only to keys up to its own position, those of past included */
    /* A cache of keys and values for generation, for x (B, L, embed_dim): *next of the call before,
     * or NULL for an empty cache. Its keys and values come before those of this call. */
    const ct_state *past;
    /* receives the state with the keys and values of this call appended: two tensors (1, B,
     * num_heads, Lk, size of a head), of the innermost scope; NULL after an error */
    ct_state **next;
    ct_tensor **weights; /* receives the weights (..., Lq, Lk), averaged over the heads, after
                            dropout, or NULL after an error */
    bool projected_keys; /* key is a result of ct_attention_keys */
} ct_attention_call;

/* With MultiheadAttention, query (..., Lq, embed_dim), key (..., Lk, kdim) and value (..., Lk, vdim) -> (..., Lq, embed_dim): the
 * batch comes first, as with PyTorch's batch_first=True. For self-attention pass one tensor three
 * times. With another kind of attention, query (..., Lq, query_size), key (..., Lk, key_size) and value
 * (..., Lk, any) -> (..., Lq, any). The result belongs to the innermost scope. CT_ERR_SHAPE,
 * CT_ERR_DTYPE, CT_ERR_DEVICE; CT_ERR_ARGUMENT if call has a cache or projected keys that the kind of
 * attention does not have. */
ct_tensor *ct_attention_forward(ct_attention *a, ct_tensor *query, ct_tensor *key, ct_tensor *value,
                                ct_attention_call call);

/* The part of additive or Luong's attention that depends on the keys alone: (..., Lk, key_size) -> (...,
 * Lk, any). A decoder that takes many steps computes it once, and passes it as key with
 * call.projected_keys. CT_ERR_ARGUMENT for MultiheadAttention. */
ct_tensor *ct_attention_keys(ct_attention *a, ct_tensor *key);

#ifdef __cplusplus
}
#endif
#endif
