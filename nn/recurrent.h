/* recurrent.h - recurrent modules: one interface for RNN, LSTM, GRU and cells of one's own.
 *
 * A module has layers * directions cells; a cell makes one step. The driver here runs cells over
 * time, layer on layer, forward and backward in time. Sequences are (T, B, size), or (B, T, size)
 * with batch_first, or (T, size) for one that is not batched. docs/recurrent_module.md shows how to
 * write a cell. */
#ifndef COTANGENT_NN_RECURRENT_H
#define COTANGENT_NN_RECURRENT_H

#include <stdbool.h>

#include <cotangent/autograd/params/params.h>
#include <cotangent/nn/dialect.h>
#include <cotangent/nn/state.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ct_recurrent ct_recurrent;

typedef enum ct_nonlinearity {
    CT_NONLINEARITY_DEFAULT,
    CT_NONLINEARITY_TANH,
    CT_NONLINEARITY_RELU
} ct_nonlinearity;

/* The options of all recurrent modules. Those below the line are for the kinds that are named;
 * given to another kind they are CT_ERR_ARGUMENT. */
typedef struct ct_nn_recurrent_options {
    int64_t input_size; /* 0: settled by the first forward */
    int64_t hidden_size;
    int num_layers; /* 0: 1 */
    bool no_bias;
    bool bidirectional;       /* y is (T, B, 2 output), forward half first */
    bool reverse;             /* runs from the last step to the first; y stays in the order of x */
    bool batch_first;         /* x and y are (B, T, size); states are not */
    bool learn_state;         /* NAME.h_0, NAME.c_0 (layers * directions, 1, size), begun as 0, are
                             * the initial state where none is given */
    double dropout;           /* [0, 1): of each layer's output but the last, while training */
    double recurrent_dropout; /* [0, 1): of h where a step multiplies it with weights, while
                             * training; one mask for all steps of a call (Gal, Ghahramani 2016) */
    ct_dialect dialect;       /* whose defaults: CT_DIALECT_TORCH (0), ... */
    /* ---- */
    ct_nonlinearity nonlinearity; /* RNN */
    bool layer_norm;              /* RNN, LSTM, GRU: as in rnn.h, lstm.h, gru.h */
    bool reset_before;    /* GRU: the reset gate acts before the matmul, as in Cho et al. 2014 */
    int64_t proj_size;    /* LSTM: h is W_hr h, of this size; 0: it is not */
    bool has_forget_bias; /* LSTM: the forget gate's bias begins as forget_bias (of two, the */
    double forget_bias;   /* first; the other as 0) */
} ct_nn_recurrent_options;

/* What one call may add; zero is none. */
typedef struct ct_recurrent_call {
    /* (B) i32 or i64, 0..T: row b has this many steps; in any order. Its y is 0 past them, its
     * final state the one at its last step (backward in time: it begins there), and what x holds
     * past them, even NaN, changes nothing. As PyTorch's packed sequences. */
    ct_tensor *lengths;
    /* (B) bool: rows that begin anew, from the initial state instead of the one given. */
    ct_tensor *reset;
    void *data; /* for the cells' step */
} ct_recurrent_call;

/* x (T, B, in) -> y (T, B, directions * output), forward half first; *next, if wanted, is the
 * state after the last step, of the innermost scope. state is never changed; NULL is the initial
 * state: zeros, or what was learned. x (T, in) is a batch of one: y (T, directions * output), and
 * states may leave out their axis 1, as *next does unless state had it. T is at least 1.
 * CT_ERR_SHAPE for an x of another rank or size, a state of other layers, directions, batch or
 * sizes; CT_ERR_DTYPE, CT_ERR_DEVICE for a state unlike x; CT_ERR_INDEX for a length out of
 * range. */
ct_tensor *ct_recurrent_forward(ct_recurrent *r, ct_tensor *x, const ct_state *state,
                                ct_state **next);
ct_tensor *ct_recurrent_forward_with(ct_recurrent *r, ct_tensor *x, const ct_state *state,
                                     ct_state **next, ct_recurrent_call call);

/* One step of a module that runs forward in time only: x (B, in) -> y (B, output). States are
 * (layers, B, size). Each step is a call: recurrent dropout draws a mask for each. */
ct_tensor *ct_recurrent_step(ct_recurrent *r, ct_tensor *x, const ct_state *state, ct_state **next);

/* The initial state for a batch: h (layers * directions, batch, hidden or proj), index layer *
 * directions + direction; an LSTM's is (h, c), a user's cell has its own tensors. It is on the
 * device of r's parameters, the only one where a forward takes it; after ct_params_to, begin
 * another or move it with ct_state_to. Owned, yours to ct_state_free; without history: to learn an
 * initial state, hand NULL to forward. CT_ERR_ARGUMENT for a negative batch. */
ct_state *ct_recurrent_begin_state(const ct_recurrent *r, int64_t batch);

int ct_recurrent_layers(const ct_recurrent *r);
int ct_recurrent_directions(const ct_recurrent *r);
int64_t ct_recurrent_hidden_size(const ct_recurrent *r); /* of one direction's output */

/* ---- cells of one's own ---- */

#define CT_MAX_CELL_STATES 8

/* Where a cell stands, for its init. */
typedef struct ct_cell_place {
    ct_recurrent *module;
    const ct_nn_recurrent_options *options;
    int layer, direction; /* direction 1 runs backward in time */
    int64_t input_size;   /* -1: not known yet, a size like another for ct_cell_param */
} ct_cell_place;

/* What a step may want to know. */
typedef struct ct_cell_step {
    void *data;         /* ct_recurrent_call's */
    ct_tensor *drop;    /* recurrent dropout: (B, size of state 0), to multiply with; NULL: none */
    ct_tensor *lengths; /* for sequence: (B) i64, steps of each row; NULL: all have all. A step is
                         * not asked for less than the whole batch: the driver holds rows back. */
} ct_cell_step;

/* One kind of cell: a table of functions, static and constant. self is a cell's own data: size
 * bytes that are zero at first and belong to the set. What is left out takes the usual. */
typedef struct ct_cell {
    const char *name;
    size_t size;
    int states; /* tensors in its state, 1..CT_MAX_CELL_STATES */
    /* Registers the cell's parameters (ct_cell_param). */
    ct_status (*init)(void *self, const ct_cell_place *at);
    int64_t (*state_size)(const void *self, int i); /* the last size of state i; hidden_size */
    int64_t (*output_size)(const void *self);       /* of y; that of state 0 */
    /* x (B, in), or a step of what project gave; state[i] (B, size) -> y (B, out), next[i] (B,
     * size). NULL after an error. Must not change what it is given. */
    ct_tensor *(*step)(void *self, ct_tensor *x, ct_tensor *const *state, ct_tensor **next,
                       const ct_cell_step *at);
    /* Optional: the part of all steps that depends on the input alone, at once: x (T, B, in) ->
     * (T, B, anything). */
    ct_tensor *(*project)(void *self, ct_tensor *x, const ct_cell_step *at);
    /* Optional: all steps at once. x (T, B, ...) as step gets it a step at a time; state is
     * replaced by the one after the last. NULL without an error: not here, make the steps. Where
     * rows have different lengths it is asked only if lengths is set; then a row's state stays as
     * it is from its length on, and y there may be anything finite, without effect. */
    ct_tensor *(*sequence)(void *self, ct_tensor *x, ct_tensor **state, bool reverse,
                           const ct_cell_step *at);
    bool lengths; /* sequence heeds at->lengths */
} ct_cell;

/* Registers NAME.WHAT_lLAYER, with the suffix _reverse for direction 1: "rnn.weight_ih_l0". One
 * size of a shape may be at->input_size, even if that is not known yet: the first forward, or a
 * loaded file, settles it. */
ct_param *ct_cell_param(const ct_cell_place *at, const char *what, ct_shape shape, ct_init init);

/* h, or h * at->drop where there is one: for the product with recurrent weights. */
ct_tensor *ct_cell_drop(const ct_cell_step *at, ct_tensor *h);

/* A module of cells of one kind under params' part NAME. Belongs to params. CT_ERR_ARGUMENT for
 * sizes, layers or probabilities that cannot be. */
ct_recurrent *ct_nn_recurrent(ct_params *params, const char *name, const ct_cell *cell,
                              ct_nn_recurrent_options options);

/* One cell alone, to be run by ct_recurrent_step: its parameters are NAME.WHAT, without a suffix
 * (PyTorch's LSTMCell and kin). CT_ERR_ARGUMENT for options of layers or directions. */
ct_recurrent *ct_nn_recurrent_cell(ct_params *params, const char *name, const ct_cell *cell,
                                   ct_nn_recurrent_options options);

#ifdef __cplusplus
}
#endif
#endif
