/* SPDX-License-Identifier: MIT */
/* attention_internal.h - functions that the sources of attention and transformers share.
 * (internal) */
#ifndef COTANGENT_NN_ATTENTION_INTERNAL_H
#define COTANGENT_NN_ATTENTION_INTERNAL_H

#include "nn/internal.h"

#include <cotangent/nn/attention.h>

/* The first member of the struct of each kind. */
struct ct_attention {
    ct_params *params;
    double dropout;
    /* forward of query, key and value with checked pointers; NULL for MultiheadAttention */
    ct_tensor *(*forward)(ct_attention *a, const char *function, ct_tensor *const *query_key_value,
                          const ct_attention_call *call);
    ct_tensor *(*keys)(ct_attention *a, ct_tensor *key);
};

/* The options of a call, with the module's dropout while its set trains. */
ct_attention_options cti_attention_options(const ct_attention *a, const ct_attention_call *call);

/* Like ct_additive_attention, but errors name `function`; weights as below. */
ct_tensor *cti_additive_attention(const char *function, ct_tensor *const *qkv, ct_tensor *weight,
                                  const ct_attention_options *o, ct_tensor **weights);

/* Like ct_scaled_dot_product_attention, but errors name `function`. weights, if not NULL, receives
 * the weights (..., Lq, Lk) after dropout. */
ct_tensor *cti_attention(const char *function, ct_tensor *const *qkv, const ct_attention_options *o,
                         ct_tensor **weights);

/* What the fused attention does with the scores. */
typedef struct cti_attention_rule {
    double scale;
    bool causal;
    int64_t first_query;
} cti_attention_rule;

/* Attention of q, k and v without masks and dropout as one op. NULL without an error if the device has
 * no kernel for it, or the shapes or portable mode call for the composed form. (fused_attention.c) */
ct_tensor *cti_fused_attention(const char *function, ct_tensor *const *qkv,
                               const cti_attention_rule *rule);

/* The keys and values of one module, (B, heads, L, size of a head). past: those of earlier calls,
 * or NULL; next: those of all calls so far. */
typedef struct cti_attention_cache {
    ct_tensor *past[2], *next[2];
} cti_attention_cache;

/* ct_attention_forward for arguments that have been checked. call's past and next are not read;
 * cache takes their place, and may be NULL. */
ct_tensor *cti_attention_run(ct_attention *a, const char *function,
                             ct_tensor *const *query_key_value, const ct_attention_call *call,
                             cti_attention_cache *cache);

/* Checks that the arguments of call are alive or NULL; false with an error. */
bool cti_attention_call_usable(const char *function, const ct_attention_call *call);

/* cti_attention_read sets past of each cache from a state, or to NULL if the state is NULL; x (B,
 * L, ...) is the new part. False with an error. cti_attention_write makes a state of the caches. */
bool cti_attention_read(const char *function, const ct_state *past, const ct_tensor *x, int layers,
                        cti_attention_cache *cache);
ct_state *cti_attention_write(int layers, const cti_attention_cache *cache);

/* The most layers of a cache: a state has at most 64 tensors. */
#define CTI_ATTENTION_LAYERS 32

#endif
