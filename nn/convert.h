/* SPDX-License-Identifier: MIT */
/* convert.h - converts state dicts from one framework's layout to another's.
 *
 *     ct_convert("keras.safetensors", "ours.safetensors", (ct_convert_options){
 *         .from = CT_DIALECT_KERAS, .biases = CT_DIALECT_KERAS, .rename = (ct_prefix[]){
 *             { "sequential/lstm/lstm_cell/", "rnn.l0." },
 *             { "sequential/dense/", "linear." }, { NULL, NULL } } });
 *
 * writes a file that ct_params_load accepts for a model with ct_nn_lstm(params, "rnn", { .dialect =
 * CT_DIALECT_KERAS, ... }) and ct_nn_linear(params, "linear", ...).
 *
 * The files are safetensors with the names below. P is any prefix, such as "rnn."; K is a layer,
 * from 0; G is the number of gates (RNN 1, GRU 3, LSTM 4), which identifies the kind of a module.
 *
 *     |                     | torch                    | gluon            | keras                |
 *     |---------------------|--------------------------|------------------|----------------------|
 *     | input weights       | Pweight_ih_lK (G H, in)  | PlK_i2h_weight   | PlK.kernel (in, G H) |
 *     | recurrent weights   | Pweight_hh_lK (G H, H)   | PlK_h2h_weight   | PlK.recurrent_kernel |
 *     | biases              | Pbias_ih_lK, Pbias_hh_lK | PlK_i2h_bias,    | PlK.bias (G H) or    |
 *     |                     |   (G H)                  |   PlK_h2h_bias   |   (2, G H)           |
 *     | backward in time    | ..._lK_reverse           | PrK_...          | PrK....              |
 *     | single cell         | Pweight_ih, ...          | Pi2h_weight, ... | Pkernel, ...         |
 *     | LSTM gates          | i f g o                  | i f g o          | i f g o              |
 *     | GRU gates           | r z n                    | r z n            | z r n                |
 *     | LSTM projection     | Pweight_hr_lK            | PlK_h2r_weight   |                      |
 *     | Linear              | Pweight (out, in)        | Pweight          | Pkernel (in, out)    |
 *
 * Flax (linen) has a kernel (in, H) for each gate:
 *     |                  | LSTM                         | GRU                    | RNN          |
 *     |------------------|------------------------------|------------------------|--------------|
 *     | input kernels    | PlK.ii.kernel, .if, .ig, .io | PlK.ir.kernel, .iz, .in| PlK.i.kernel |
 *     | recurrent kernels| PlK.hi.kernel, .hf, .hg, .ho | PlK.hr.kernel, .hz, .hn| PlK.h.kernel |
 *     | biases           | PlK.hi.bias, .hf, .hg, .ho   | PlK.ir.bias, .iz, .in, | PlK.i.bias   |
 *     |                  |                              |   PlK.hn.bias          |              |
 *
 * For the backward direction the names begin with PrK. A Linear is Pkernel (in, out). Keras and
 * Flax have no module with several layers; .rename gives each of their cells a layer, as in the
 * example.
 *
 * The modules of this library use the layout CT_DIALECT_TORCH in every dialect; dialects differ in
 * their biases (nn/dialect.h). If the result has a second bias that the file does not have, it is
 * 0. If the result has one bias and the file two, the result's bias is their sum. A GRU that resets
 * after the matmul needs both biases of the gate n, so its biases are never summed. */
#ifndef COTANGENT_NN_CONVERT_H
#define COTANGENT_NN_CONVERT_H

#include <stdbool.h>

#include <cotangent/autograd/params/state_dict.h>
#include <cotangent/nn/dialect.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ct_convert_options {
    ct_dialect from, to; /* the layouts of the two files */

    /* For a result in the layout CT_DIALECT_TORCH: it gets the biases of a module of this dialect.
     * For another layout it must be CT_DIALECT_TORCH (0). */
    ct_dialect biases;

    /* The GRUs of the file reset before the matmul: reset_after=False in Keras, .reset_before in
     * this library. */
    bool reset_before;

    /* Applied to the names of the file before anything else, as in ct_params_load. NULL: none. */
    const ct_prefix *rename;

    /* A shell pattern, such as "embed.*". Tensors whose names match are copied unchanged. Use it
     * for the table of an Embedding, which otherwise looks like the weight of a Linear. NULL:
     * none. */
    const char *keep;
} ct_convert_options;

/* Reads the safetensors file `from` and writes the file `to`: each recurrent cell and each Linear
 * in the layout .to, all other tensors unchanged. Metadata are not copied. After an error `to` is
 * not changed. Does nothing while an error is recorded.
 *
 * CT_ERR_ARGUMENT if from or to is NULL; if a dialect is not in the enumeration; if the layout .to
 * cannot hold a cell (a projection, layer norm, or a GRU that resets before the matmul in Gluon or
 * Flax); if the file's biases contradict .reset_before (a reset-after GRU has two biases that
 * cannot be merged, a reset-before GRU has one). CT_ERR_FORMAT if parts of a cell are missing,
 * CT_ERR_SHAPE if their shapes do not agree; and the errors of ct_safetensors_open,
 * ct_safetensors_load and ct_safetensors_write. */
ct_status ct_convert(const char *from, const char *to, ct_convert_options options) CT_WARN_UNUSED;

#ifdef __cplusplus
}
#endif
#endif
