/* SPDX-License-Identifier: MIT */
/* attention_decoder.h - recurrent decoders that attend to a source sequence.
 *
 *     ct_attention *attention = ct_nn_additive_attention(params, "attention", ...);
 *     ct_recurrent *decoder = ct_nn_attention_decoder(params, "rnn",
 *         (ct_nn_attention_decoder_options){ .attention = attention, .memory_size = 64 },
 *         (ct_nn_recurrent_options){ .hidden_size = 64 });
 *     ct_attention_memory memory = { .values = encoded, .lengths = lengths };
 *     ct_tensor *y = ct_recurrent_forward_with(decoder, x, state, &next,
 *                                              (ct_recurrent_call){ .data = &memory }); */
#ifndef COTANGENT_NN_ATTENTION_DECODER_H
#define COTANGENT_NN_ATTENTION_DECODER_H

#include <cotangent/nn/attention.h>
#include <cotangent/nn/recurrent.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The source sequence of a decoder. Every call must have one as ct_recurrent_call.data. It must
 * live until the call returns. Its tensors must live until the history of the call ends. */
typedef struct ct_attention_memory {
    ct_tensor *values; /* (B, S, memory_size), usually the outputs of an encoder */
    /* The result of ct_attention_keys for the values, or for other keys. If it is NULL, each
     * call computes it from the values. A program that makes a call for each step should set it. */
    ct_tensor *keys;
    /* (B) i32 or i64: the number of valid positions of each row; default all S. */
    ct_tensor *lengths;
} ct_attention_memory;

typedef enum ct_attention_order {
    /* Bahdanau et al. 2015, as in d2l.ai: c = attend(h_(t-1)), h_t = cell([c; x_t], h_(t-1)),
     * y_t = h_t */
    CT_ATTENTION_ORDER_BEFORE,
    /* Luong et al. 2015: h_t = cell(x_t, h_(t-1)), c = attend(h_t), y_t = tanh(W_c [c; h_t]).
     * The cell runs as a whole sequence, and all steps attend at once. */
    CT_ATTENTION_ORDER_AFTER
} ct_attention_order;

typedef struct ct_nn_attention_decoder_options {
    ct_attention *attention; /* required: additive or Luong's; its query_size is the size of h */
    const ct_cell *cell;     /* the inner cell; default ct_cell_gru() */
    int64_t memory_size;     /* required: the last size of the values */
    ct_attention_order order;
} ct_nn_attention_decoder_options;

/* Makes a recurrent module of the cell with attention. Attention runs before the cell of the first
 * layer, or after the cell of the last layer. If it runs before, h is state 0 of that layer; if
 * after, h is the output of its cell. The parameters of the cell have their usual names. If
 * attention runs before, weight_ih of the first layer has memory_size further columns on the left.
 * If it runs after, NAME.weight_c_lLAYER (size of h, memory_size + size of h) is W_c, initially
 * uniform within 1 / sqrt(its columns). The parameters of the attention keep their names.
 *
 * A call without a memory raises CT_ERR_ARGUMENT. ct_recurrent_step cannot pass a memory: use
 * ct_recurrent_forward_with and x (1, B, in) for a single step.
 *
 * CT_ERR_ARGUMENT as for ct_nn_recurrent, and if attention is NULL or a MultiheadAttention,
 * memory_size is not in 1..2^28, order is not a value of ct_attention_order, or bidirectional is
 * set. */
ct_recurrent *ct_nn_attention_decoder(ct_params *params, const char *name,
                                      ct_nn_attention_decoder_options decoder,
                                      ct_nn_recurrent_options options);

#ifdef __cplusplus
}
#endif
#endif
