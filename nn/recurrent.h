/* SPDX-License-Identifier: MIT */
/* recurrent.h - recurrent modules: one interface for RNN, LSTM, GRU and cells of your own.
 *
 * A module has layers * directions cells. A cell computes one step. The module runs its cells over
 * the steps of a sequence, layer by layer, forward and backward in time. Sequences are (T, B,
 * size), or (B, T, size) with batch_first, or (T, size) for a single sequence.
 * docs/recurrent_module.md shows how to write a cell. */
#ifndef COTANGENT_NN_RECURRENT_H
#define COTANGENT_NN_RECURRENT_H

#include <stdbool.h>

#include <cotangent/autograd/params/params.h>
#include <cotangent/nn/dialect.h>
#include <cotangent/nn/state.h>
#include <cotangent/tensor/random.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A recurrent module of any kind. It belongs to a parameter set and is freed with it. */
typedef struct ct_recurrent ct_recurrent;

typedef enum ct_nonlinearity {
    CT_NONLINEARITY_DEFAULT, /* tanh; relu in CT_DIALECT_GLUON */
    CT_NONLINEARITY_TANH,
    CT_NONLINEARITY_RELU
} ct_nonlinearity;

/* The options of all recurrent modules. hidden_size is required. A zero in any other field selects
 * the default. */
typedef struct ct_nn_recurrent_options {
    int64_t input_size; /* the size of x's last axis; 0: taken from the first forward or from a
                         * loaded file */
    int64_t hidden_size;
    int num_layers; /* default 1 */
    bool no_bias;
    bool bidirectional; /* y is (T, B, 2 output), the forward half first */
    bool reverse;       /* runs from the last step to the first; y keeps the order of x */
    bool batch_first;   /* x and y are (B, T, size); states are not affected */

    /* The initial states are the parameters NAME.h_0 and NAME.c_0 (layers * directions, 1, size),
     * initially 0. */
    bool learn_state;

    /* In [0, 1), while the set trains: dropout of the output of each layer but the last. */
    double dropout;

    /* In [0, 1), while the set trains: dropout of h in the product with the recurrent weights. A
     * call uses one mask for all steps (Gal and Ghahramani 2016). */
    double recurrent_dropout;

    ct_dialect dialect; /* the framework whose defaults are used; default CT_DIALECT_TORCH */

    /* Options that only some kinds of modules have. ct_nn_rnn, ct_nn_lstm and ct_nn_gru raise
     * CT_ERR_ARGUMENT for an option of another kind. */
    ct_nonlinearity nonlinearity; /* RNN */
    bool layer_norm;              /* RNN, LSTM, GRU: see rnn.h, lstm.h, gru.h */
    bool reset_before;            /* GRU: the reset gate acts before the matmul (Cho et al. 2014) */
    /* LSTM: h is projected to this size, which is below hidden_size; 0: no projection */
    int64_t proj_size;

    /* LSTM: the bias of the forget gate is initially forget_bias. If the cell has two biases, this
     * is the value of the first, and the second is 0. */
    bool has_forget_bias;
    double forget_bias;

    /* For the init of your own cell. The library's cells do not read it. What it points at need live
     * only until the constructor returns, unless the cell keeps the pointer. */
    const void *cell_options;
} ct_nn_recurrent_options;

/* Optional arguments of one call. Zero-initialise it to use none. */
typedef struct ct_recurrent_call {
    /* (B) i32 or i64, in 0..T and in any order: the number of steps of each row, as in PyTorch's
     * packed sequences. After the last step of a row, y is 0 and x is ignored, even if it is NaN.
     * The final state of a row is the state after its last step. The backward direction of a row
     * begins at its last step. */
    ct_tensor *lengths;
    /* (B) bool: true for rows that begin with the initial state instead of the given state. */
    ct_tensor *reset;
    void *data; /* handed to the cells as ct_cell_step.data */
} ct_recurrent_call;

/* Runs r on x (T, B, in). Returns y (T, B, directions * output), forward half first, a tensor of
 * the innermost scope. With T = 0, y is empty and the state after the last step equals the state
 * before the first. If next is not NULL, *next becomes the state after the last step, which the
 * innermost scope owns, or NULL after an error. state is not changed; NULL selects the initial
 * state: zeros, or the parameters of learn_state.
 *
 * An x (T, in) is a batch of one row, and y is (T, directions * output). The tensors of state may
 * then lack axis 1; those of *next have axis 1 only if state has it.
 *
 * CT_ERR_SHAPE if x or state have the wrong rank or size, CT_ERR_DTYPE if x, the state and the
 * parameters do not have the same dtype, CT_ERR_DEVICE if they are on different devices,
 * CT_ERR_INDEX if a length is not in 0..T. */
ct_tensor *ct_recurrent_forward(ct_recurrent *r, ct_tensor *x, const ct_state *state,
                                ct_state **next);
ct_tensor *ct_recurrent_forward_with(ct_recurrent *r, ct_tensor *x, const ct_state *state,
                                     ct_state **next, ct_recurrent_call call);

/* Runs one step of a module that has one direction and is not reversed: x (B, in) -> y (B, output).
 * States are (layers, B, size). Recurrent dropout draws a new mask in each step. Errors are those
 * of ct_recurrent_forward, and CT_ERR_ARGUMENT if the module is bidirectional or reversed. */
ct_tensor *ct_recurrent_step(ct_recurrent *r, ct_tensor *x, const ct_state *state, ct_state **next);

/* Returns the initial state for a batch: each tensor is (layers * directions, batch, size), with
 * index layer * directions + direction. The state is h; that of an LSTM is (h, c); your own cell
 * has its own tensors. You own the state and must free it with ct_state_free. It is on the device
 * of r's parameters; after ct_params_to, make another one or move it with ct_state_to. It has no
 * history: to train the parameters of learn_state, pass NULL to forward. CT_ERR_ARGUMENT if batch
 * is negative. */
ct_state *ct_recurrent_begin_state(const ct_recurrent *r, int64_t batch);

/* Sizes of r; 0 if r is NULL. The hidden size is the size of y for one direction: with a projection
 * proj_size. */
int ct_recurrent_layers(const ct_recurrent *r);
int ct_recurrent_directions(const ct_recurrent *r);
int64_t ct_recurrent_hidden_size(const ct_recurrent *r);

/* ---- cells of your own ---- */

#define CT_MAX_CELL_STATES 8

typedef struct ct_cell ct_cell;

/* The place of the cell that init makes. */
typedef struct ct_cell_place {
    ct_recurrent *module;
    const ct_cell *cell; /* the table with which the module was made */
    const ct_nn_recurrent_options *options;
    int layer, direction; /* direction 1 runs backward in time */

    /* The size of the last axis of the cell's x. While it is not known, the value is a large
     * negative number; then pass it only to ct_cell_param, unchanged or plus a constant. */
    int64_t input_size;
} ct_cell_place;

/* The data of a call that a cell gets in each step. */
typedef struct ct_cell_step {
    void *data;      /* the data of ct_recurrent_call */
    ct_tensor *drop; /* recurrent dropout: a factor for h (B, size of state 0); NULL: no dropout */
    /* For sequence(): (B) i64, the number of steps of each row; NULL: all rows have T. step()
     * always receives the whole batch; the driver masks rows that have ended. */
    ct_tensor *lengths;
    bool training;           /* ct_params_is_training of the module's set */
    ct_generator *generator; /* that of the set, for random draws in training */
} ct_cell_step;

/* One kind of cell: a table of functions. It must stay valid as long as the modules made with it;
 * make it static. self is the cell's own data: size bytes, initially zero, freed with the parameter
 * set. */
struct ct_cell {
    const char *name; /* for messages */
    size_t size;
    int states; /* the number of state tensors, 1..CT_MAX_CELL_STATES */

    /* Optional. Registers the cell's parameters with ct_cell_param. */
    ct_status (*init)(void *self, const ct_cell_place *at);

    /* Optional. The last size of state i; NULL: hidden_size. */
    int64_t (*state_size)(const void *self, int i);

    /* Optional. The last size of y; NULL: that of state 0. */
    int64_t (*output_size)(const void *self);

    /* One step: x (B, in), or one step of what project returned, and state[i] (B, size) ->
     * y (B, output) and next[i] (B, size). Returns NULL after an error. Must not change its
     * inputs. */
    ct_tensor *(*step)(void *self, ct_tensor *x, ct_tensor *const *state, ct_tensor **next,
                       const ct_cell_step *at);

    /* Optional. Computes the part of a step that depends on the input alone, for all steps at once:
     * x (T, B, in) -> (T, B, any size). */
    ct_tensor *(*project)(void *self, ct_tensor *x, const ct_cell_step *at);

    /* Optional. Runs all steps at once: x (T, B, ...) has the values that step() would get one step
     * at a time. Returns y (T, B, output) and replaces state[i] by the states after the last step.
     * Returns NULL without raising an error to fall back to step(). Called for rows of unequal
     * length only if .lengths is true; it must then keep a row's state after its last step. Outputs
     * past a row's length are ignored but must be finite. */
    ct_tensor *(*sequence)(void *self, ct_tensor *x, ct_tensor **state, bool reverse,
                           const ct_cell_step *at);
    bool lengths; /* sequence supports at->lengths */
};

/* Registers the parameter NAME.WHAT_lLAYER, with the suffix _reverse for direction 1, such as
 * "rnn.weight_ih_l0". For a single cell the name is NAME.WHAT. A size of shape may be
 * at->input_size, or at->input_size plus a constant, as in (hidden, at->input_size + hidden) for
 * the weight of [x, h]. While the input size is not known, the parameter is lazy: it gets its shape
 * from the first forward or from a loaded file.
 *
 * Returns NULL with an error as for ct_params_add; CT_ERR_SHAPE if a size is negative or above
 * 2^28, or was computed in another way from an unknown input size; CT_ERR_ARGUMENT if more than 16
 * parameters of a module depend on an unknown input size. */
ct_param *ct_cell_param(const ct_cell_place *at, const char *what, ct_shape shape, ct_init init);

/* Applies recurrent dropout: returns h * at->drop, or h if at->drop is NULL. at must not be NULL.
 * Call it for h before the product with the recurrent weights. */
ct_tensor *ct_cell_drop(const ct_cell_step *at, ct_tensor *h);

/* ---- cells around cells ----
 *
 * A wrapper is a cell that runs another one: zoneout, a residual connection, attention. Its init adds the
 * inner cell, and its step runs it. docs/recurrent_module.md shows one. */

/* The cells of ct_nn_rnn, ct_nn_lstm and ct_nn_gru. ct_nn_recurrent makes the same modules from them. The
 * state of an LSTM is (h, c), that of the others h. */
const ct_cell *ct_cell_rnn(void);
const ct_cell *ct_cell_lstm(void);
const ct_cell *ct_cell_gru(void);

/* A cell inside of another one. It belongs to the parameter set. */
typedef struct ct_cell_inner ct_cell_inner;

/* For init: makes a cell at the place of the wrapper, with the options of the module. Its parameters have
 * the names that they have without the wrapper. To give it another input size or other options, pass a
 * changed copy of the place. CT_ERR_ARGUMENT if the cell has no step or more states than the wrapper;
 * otherwise errors are those of the cell's init. */
ct_cell_inner *ct_cell_inner_add(const ct_cell_place *at, const ct_cell *cell);

/* Runs the functions of the inner cell; at is what the wrapper's function received.
 *
 * project returns the part of the steps that depends on x alone, for x (..., in), or x itself if the
 * cell has no such function. step takes one step of it. A wrapper without a project of its own must
 * call both in its step.
 *
 * sequence takes all steps (T, B, ...) of what project returned, and replaces state[i] by the states
 * after the last step. Returns NULL without an error if the steps must be run one by one; return NULL
 * then, too. A wrapper that changes states between the steps must not have a sequence function; one that
 * changes y alone, after the last step, keeps the speed of whole sequences with it. Set .lengths of the
 * wrapper only if the inner cell's table sets it. */
ct_tensor *ct_cell_inner_project(ct_cell_inner *c, ct_tensor *x, const ct_cell_step *at);
ct_tensor *ct_cell_inner_step(ct_cell_inner *c, ct_tensor *x, ct_tensor *const *state,
                              ct_tensor **next, const ct_cell_step *at);
ct_tensor *ct_cell_inner_sequence(ct_cell_inner *c, ct_tensor *x, ct_tensor **state, bool reverse,
                                  const ct_cell_step *at);

/* The last sizes of state i and of y of the inner cell; 0 if c is NULL or i is out of range. A wrapper
 * needs them for its state_size and output_size if the inner cell may have a projection. */
int64_t ct_cell_inner_state_size(const ct_cell_inner *c, int i);
int64_t ct_cell_inner_output_size(const ct_cell_inner *c);

/* Makes a module of cells of one kind, with the parameters NAME.*. It belongs to params.
 * CT_ERR_ARGUMENT if the cell has no step or an invalid number of states, if hidden_size is not in
 * 1..2^28, if input_size or a size that a function of the cell returns is not in 0..2^28, if
 * num_layers is not in 0..4096, if the dialect is not in the enumeration, if a dropout is not in
 * [0, 1), or if both reverse and bidirectional are set. */
ct_recurrent *ct_nn_recurrent(ct_params *params, const char *name, const ct_cell *cell,
                              ct_nn_recurrent_options options);

/* Makes a single cell, to be run by ct_recurrent_step, like PyTorch's LSTMCell. Its parameters are
 * NAME.WHAT, without a suffix. CT_ERR_ARGUMENT as for ct_nn_recurrent, and if num_layers is above 1
 * or bidirectional, reverse, batch_first or dropout is set. */
ct_recurrent *ct_nn_recurrent_cell(ct_params *params, const char *name, const ct_cell *cell,
                                   ct_nn_recurrent_options options);

#ifdef __cplusplus
}
#endif
#endif
