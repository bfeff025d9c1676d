/* SPDX-License-Identifier: MIT */
/* transformer.h - Transformer encoders and decoders (Vaswani et al. 2017), single layers and stacks.
 *
 * A layer has the parts self-attention, attention to the memory (decoders only) and feed-forward.
 * With sub the function of a part and drop a dropout, each part computes
 *     x = norm(x + drop(sub(x)))        or with norm_first        x = x + drop(sub(norm(x)))
 *     feed-forward(x) = linear2(drop(activation(linear1(x))))
 * Tensors are (..., L, d_model): the batch comes first, as with PyTorch's batch_first=True. */
#ifndef COTANGENT_NN_TRANSFORMER_H
#define COTANGENT_NN_TRANSFORMER_H

#include <stdbool.h>

#include <cotangent/autograd/params/params.h>
#include <cotangent/nn/state.h>

#ifdef __cplusplus
extern "C" {
#endif

/* An encoder or a decoder, one layer or a stack. It belongs to a parameter set and is freed with it. */
typedef struct ct_transformer ct_transformer;

typedef enum ct_activation {
    CT_ACTIVATION_RELU,
    CT_ACTIVATION_GELU,
    CT_ACTIVATION_GELU_TANH
} ct_activation;

typedef struct ct_nn_transformer_options {
    int64_t d_model, num_heads; /* required; num_heads must divide d_model */
    int64_t dim_feedforward;    /* default 2048 */
    int num_layers;             /* for a stack: required, 1 to 32; for a layer: ignored */
    double dropout;             /* in [0, 1), while the set trains; default 0.1; CT_ZERO means 0 */
    ct_activation activation;   /* the activation of the feed-forward part */
    double layer_norm_eps;      /* default 1e-5 */
    bool norm_first; /* each part is normalised before it is applied, instead of afterwards */
    bool no_bias;    /* neither linear layers nor norms have a bias */
    bool final_norm; /* for a stack: adds NAME.norm after the last layer; usual with norm_first */
    /* the base of a rotary embedding in self-attention (ct_rotary_embedding); 0: none */
    double rotary_base;
} ct_nn_transformer_options;

/* Make PyTorch's nn.TransformerEncoderLayer and nn.TransformerDecoderLayer. They register, under
 * NAME, self_attn.* (as ct_nn_multihead_attention), linear1.*, linear2.*, norm1.* and norm2.*; a
 * decoder also multihead_attn.* and norm3.*. The module belongs to params. CT_ERR_ARGUMENT if an
 * option is out of range, or as ct_nn_multihead_attention. */
ct_transformer *ct_nn_transformer_encoder_layer(ct_params *params, const char *name,
                                                ct_nn_transformer_options options);
ct_transformer *ct_nn_transformer_decoder_layer(ct_params *params, const char *name,
                                                ct_nn_transformer_options options);

/* Make PyTorch's nn.TransformerEncoder and nn.TransformerDecoder: num_layers layers, registered
 * under NAME.layers.0, NAME.layers.1, ... In PyTorch all layers begin with the same initial values;
 * here each layer draws its own. */
ct_transformer *ct_nn_transformer_encoder(ct_params *params, const char *name,
                                          ct_nn_transformer_options options);
ct_transformer *ct_nn_transformer_decoder(ct_params *params, const char *name,
                                          ct_nn_transformer_options options);

/* Optional arguments of one call; masks are as in attention.h. Zero-initialise it to use none. */
typedef struct ct_transformer_call {
    ct_tensor *mask;    /* the mask of self-attention, for scores (..., num_heads, L, L) */
    ct_tensor *lengths; /* (B) i32 or i64: the lengths of the rows of x, which is (B, L, d_model) */
    bool causal;        /* a position attends only to itself and to earlier positions */
    /* the mask of attention to the memory, for scores (..., num_heads, L, length of memory) */
    ct_tensor *memory_mask;
    ct_tensor *memory_lengths; /* (B): the lengths of the memory's rows */
    /* For generation: the keys and values of the earlier steps, which are *next of the call before;
     * NULL if there are none. x (B, L, d_model) then has only the new steps. With causal the
     * outputs are those of one call with all steps. The state has two tensors (1, B, num_heads, L,
     * size of a head) for each layer and works with ct_state_copy_new and ct_state_select_new. */
    const ct_state *past;
    ct_state **next; /* belongs to the innermost scope; NULL after an error */
} ct_transformer_call;

/* x (..., L, d_model) -> (..., L, d_model), which belongs to the innermost scope. memory (..., M,
 * d_model) is the encoder's output, required by decoders and NULL for encoders (CT_ERR_ARGUMENT).
 * CT_ERR_SHAPE, CT_ERR_DTYPE, CT_ERR_DEVICE. */
ct_tensor *ct_transformer_forward(ct_transformer *t, ct_tensor *x, ct_tensor *memory,
                                  ct_transformer_call call);

#ifdef __cplusplus
}
#endif
#endif
