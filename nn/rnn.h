/* rnn.h - the RNN module (Elman): h' = act(x W_ih^T + b_ih + h W_hh^T + b_hh), y = h'. */
#ifndef COTANGENT_NN_RNN_H
#define COTANGENT_NN_RNN_H

#include <cotangent/nn/recurrent.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum ct_nonlinearity { CT_TANH, CT_RELU } ct_nonlinearity;

typedef struct ct_rnn_options {
    int64_t input_size;  /* 0: settled by the first forward */
    int64_t hidden_size;
    int num_layers;      /* 0: 1 */
    ct_nonlinearity nonlinearity;
    bool no_bias;
    bool bidirectional;
    void *reserved[8];
} ct_rnn_options;

/* Registers, for each layer k, NAME.weight_ih_lk (hidden, in), NAME.weight_hh_lk (hidden, hidden),
 * NAME.bias_ih_lk and NAME.bias_hh_lk (hidden), with the suffix _reverse for the backward
 * direction, begun as in PyTorch: U(-1/sqrt(hidden), 1/sqrt(hidden)). Its state is one tensor h.
 * Belongs to params. CT_ERR_ARGUMENT for a hidden size below 1 or negative sizes. */
ct_recurrent *ct_rnn(ct_params *params, const char *name, ct_rnn_options options);

#ifdef __cplusplus
}
#endif
#endif
