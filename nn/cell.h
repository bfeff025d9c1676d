/* cell.h - what the cells of RNN, LSTM and GRU share: their parameters and products. (internal) */
#ifndef COTANGENT_NN_CELL_H
#define COTANGENT_NN_CELL_H

#include "nn/internal.h"
#include "nn/fused_rnn.h"

#include <cotangent/nn/recurrent.h>

/* The data of one cell; what it has not is NULL. G gates of H hidden units; h is (B, R): R is
 * proj_size, or H. */
typedef struct cti_cell {
    int gates;
    int64_t hidden, proj; /* proj 0: none */
    bool relu, reset_before;
    ct_param *w_ih, *w_hh;   /* (G H, in), (G H, R) */
    ct_param *b_ih, *b_hh;   /* (G H) */
    ct_param *b_hn;          /* (H): Flax's GRU */
    ct_param *w_hr;          /* (R, H) */
    ct_param *ln_ih, *ln_hh; /* (G H) */
    ct_param *ln_c, *b_c;    /* (H): LSTM */
} cti_cell;

#define CTI_MOST_LAYERS 4096

/* Which of b_ih, b_hh and b_hn a cell with biases has in a dialect. */
typedef struct cti_biases {
    bool ih, hh, hn;
} cti_biases;
cti_biases cti_biases_of(ct_dialect dialect, int gates, bool reset_before);

/* Registers the parameters of a cell of G gates, as its dialect begins them. */
ct_status cti_cell_init(cti_cell *c, const ct_cell_place *at, int gates);

/* ct_cell's state_size and project: x (T, B, in) -> (T, B, G H), with b_ih */
int64_t cti_cell_state_size(const void *self, int i);
ct_tensor *cti_cell_project(void *self, ct_tensor *x, const ct_cell_step *at);

/* ct_cell's sequence, for a cell without dropout, norms, projection or other extras; else NULL.
 * step is the cell's own. */
ct_tensor *cti_cell_sequence(cti_cell *c, ct_tensor *x, ct_tensor **state, bool reverse,
                             const ct_cell_step *at, cti_cell_step step);

/* h (B, R) -> (B, G H): dropped, times W_hh, normalised, with b_hh */
ct_tensor *cti_cell_recur(const cti_cell *c, ct_tensor *h, const ct_cell_step *at);

/* Gate number i of (B, G H), or rows of W_hh (G H, R) or b_hh along axis 0; a view */
ct_tensor *cti_gate(const cti_cell *c, ct_tensor *t, int axis, int i);

/* True if no option is set that is another kind's; else CT_ERR_ARGUMENT. */
enum { CTI_NONLINEARITY = 1, CTI_RESET_BEFORE = 2, CTI_PROJ = 4, CTI_FORGET = 8 };
bool cti_options_fit(const char *function, const ct_nn_recurrent_options *o, unsigned allowed);

#define CTI_LN_EPS 1e-5 /* of the cells' layer norms */

#endif
