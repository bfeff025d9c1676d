/* recurrent.h - recurrent modules: one interface for RNN, LSTM, GRU and cells of one's own.
 *
 * A module has layers * directions cells; a cell makes one step. The driver here runs cells over
 * time, layer on layer, forward and backward in time. Sequences are (T, B, size). */
#ifndef COTANGENT_NN_RECURRENT_H
#define COTANGENT_NN_RECURRENT_H

#include <stdbool.h>

#include <cotangent/autograd/params.h>
#include <cotangent/nn/state.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CT_MAX_CELL_STATES 8

/* One kind of cell: a table of functions, static and constant. self is the cell's own data, its
 * parameters above all; call is the pointer given to ct_recurrent_forward_with, or NULL. */
typedef struct ct_cell {
    const char *name;
    int states; /* tensors in its state, 1..CT_MAX_CELL_STATES */
    int64_t (*state_size)(const void *self, int i); /* the last size of state i */
    int64_t (*output_size)(const void *self);
    /* x (B, in), or a step of what project gave; state[i] (B, size) -> y (B, out), next[i] (B,
     * size). NULL after an error. */
    ct_tensor *(*step)(void *self, ct_tensor *x, ct_tensor *const *state, ct_tensor **next,
                       void *call);
    /* Optional: the part of all steps that depends on the input alone, at once: x (T, B, in) ->
     * (T, B, anything). */
    ct_tensor *(*project)(void *self, ct_tensor *x, void *call);
    void *reserved[4];
} ct_cell;

typedef struct ct_recurrent ct_recurrent;

/* A module of layers * directions cells of one kind; selves[layer * directions + direction] are
 * their data, which whoever made them owns (ct_params_own). Belongs to params. */
ct_recurrent *ct_recurrent_of(ct_params *params, const ct_cell *cell, int layers, int directions,
                              void *const *selves);

/* x (T, B, in) -> y (T, B, directions * output), forward half first; *next, if wanted, is the
 * state after the last step, of the innermost scope. state is never changed; NULL is zeros.
 * CT_ERR_SHAPE for an x of another rank or a state that does not fit. */
ct_tensor *ct_recurrent_forward(ct_recurrent *r, ct_tensor *x, const ct_state *state,
                                ct_state **next);
ct_tensor *ct_recurrent_forward_with(ct_recurrent *r, ct_tensor *x, const ct_state *state,
                                     ct_state **next, void *call);

/* A state of zeros for a batch of 0 or more; owned, yours to ct_state_free. */
ct_state *ct_begin_state(const ct_recurrent *r, int64_t batch);

int ct_recurrent_layers(const ct_recurrent *r) CT_NOSITE;
int ct_recurrent_directions(const ct_recurrent *r) CT_NOSITE;
int64_t ct_recurrent_hidden_size(const ct_recurrent *r) CT_NOSITE; /* of one direction's output */

#ifdef __cplusplus
}
#endif
#endif
