/* convert.h - state dicts from one framework's layout to another's.
 *
 *     ct_convert("keras.safetensors", "ours.safetensors", (ct_convert_options){
 *         .from = CT_DIALECT_KERAS, .biases = CT_DIALECT_KERAS, .rename = (ct_prefix[]){
 *             { "sequential/lstm/lstm_cell/", "rnn.l0." },
 *             { "sequential/dense/", "linear." }, { NULL, NULL } } });
 *
 * makes of Keras's weights what ct_params_load takes for a model with ct_nn_lstm(params, "rnn",
 * { .dialect = CT_DIALECT_KERAS, ... }) and ct_nn_linear(params, "linear", ...). Files are safetensors
 * of these names (P: anything, "rnn." say; K: a layer, from 0):
 *
 *     |                     | CT_DIALECT_TORCH                 | CT_DIALECT_GLUON         | CT_DIALECT_KERAS             |
 *     |---------------------|--------------------------|------------------|----------------------|
 *     | input weights       | Pweight_ih_lK (G H, in)  | PlK_i2h_weight   | PlK.kernel (in, G H) |
 *     | recurrent weights   | Pweight_hh_lK (G H, H)   | PlK_h2h_weight   | PlK.recurrent_kernel |
 *     | biases              | Pbias_ih_lK, Pbias_hh_lK | PlK_i2h_bias,    | PlK.bias (G H) or    |
 *     |                     |   (G H)                  |   PlK_h2h_bias   |   (2, G H)           |
 *     | backward in time    | ..._lK_reverse           | PrK_...          | PrK....              |
 *     | a cell alone        | Pweight_ih, ...          | Pi2h_weight, ... | Pkernel, ...         |
 *     | LSTM's gates        | i f g o                  | i f g o          | i f g o              |
 *     | GRU's gates         | r z n                    | r z n            | z r n                |
 *     | LSTM's projection   | Pweight_hr_lK            | PlK_h2r_weight   |                      |
 *     | Linear              | Pweight (out, in)        | Pweight          | Pkernel (in, out)    |
 *
 * CT_DIALECT_FLAX (linen) has a kernel (in, H) for each gate: PlK.ii.kernel, .if., .ig., .io. and
 * PlK.hi.kernel, ... of an LSTM, .ir., .iz., .in., .hr., .hz., .hn. of a GRU, .i., .h. of an RNN;
 * the biases PlK.hi.bias, ... of an LSTM, .ir.bias, .iz.bias, .in.bias and .hn.bias of a GRU,
 * .i.bias of an RNN; backward in time PrK....; Linear is Pkernel, as Keras's. Keras and Flax have
 * no module of several layers: .rename gives their cells places, as above.
 *
 * CT_DIALECT_TORCH is the layout of all modules here, whatever their dialect; dialects differ in which
 * biases there are (nn/dialect.h). Of one bias made two, the other is 0. Two make their sum, where
 * that is the same module: it is not for a GRU that resets after the matmul, whose n gate keeps
 * both. A kind of module is known by its shapes: G, the gates, is 1, 3 or 4. */
#ifndef COTANGENT_NN_CONVERT_H
#define COTANGENT_NN_CONVERT_H

#include <stdbool.h>

#include <cotangent/autograd/params/state_dict.h>
#include <cotangent/nn/dialect.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ct_convert_options {
    ct_dialect from, to; /* layouts of the files */
    ct_dialect
        biases; /* of a result in CT_DIALECT_TORCH's layout: those of a module of this dialect;
                              * with another layout: CT_DIALECT_TORCH (0) */
    bool reset_before;       /* the file's GRUs reset before the matmul (Keras's reset_after=False,
                              * modules here with .reset_before) */
    const ct_prefix *rename; /* of the names of the file, first of all; as in ct_params_load */
    const char *keep;        /* names that match this shell pattern ("embed.*") are copied as they
                              * are: the table of an Embedding looks like a Linear's weight */
} ct_convert_options;

/* Reads the safetensors file from and writes to: each cell and Linear in the layout .to, whatever
 * is neither as it is. Whole or not at all. Metadata do not come along. Does nothing while an error
 * stands. CT_ERR_ARGUMENT for a NULL or no dialect; for what the layout .to has no place for: a
 * projection or layer norm, a GRU that resets before the matmul in Gluon or Flax; and for biases
 * that say that a GRU resets otherwise than .reset_before has it: two that have no sum, or one that
 * is one. CT_ERR_FORMAT for a cell with parts missing, CT_ERR_SHAPE for parts that do not fit
 * together; else the errors of ct_safetensors_open, ct_safetensors_load, ct_safetensors_write. */
ct_status ct_convert(const char *from, const char *to, ct_convert_options options) CT_WARN_UNUSED;

#ifdef __cplusplus
}
#endif
#endif
