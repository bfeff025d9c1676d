/* SPDX-License-Identifier: MIT */
/* cell.h - parameters and products that the cells of RNN, LSTM and GRU share. (internal) */
#ifndef COTANGENT_NN_CELL_H
#define COTANGENT_NN_CELL_H

#include "nn/internal.h"
#include "tensor/backend.h"

#include <cotangent/nn/recurrent.h>

/* One kind of cell. The table comes first, so that init finds the kind through at->cell. */
typedef struct cti_cell_type {
    ct_cell table;
    cti_cell_kind kind; /* for an RNN CTI_CELL_TANH; the options may choose CTI_CELL_RELU */
} cti_cell_type;

/* The data of one cell with G gates and H hidden units; h is (B, R), where R is proj_size or H.
 * Parameters that the cell does not have are NULL. */
typedef struct cti_cell {
    const ct_cell *table;
    cti_cell_kind kind;
    int64_t hidden, proj; /* proj 0: no projection */
    bool reset_before;
    ct_param *w_ih, *w_hh;   /* (G H, in), (G H, R) */
    ct_param *b_ih, *b_hh;   /* (G H) */
    ct_param *b_hn;          /* (H): Flax's GRU */
    ct_param *w_hr;          /* (R, H) */
    ct_param *ln_ih, *ln_hh; /* (G H) */
    ct_param *ln_c, *b_c;    /* (H): LSTM */
} cti_cell;

#define CTI_MOST_LAYERS 4096

/* The largest size of a recurrent module. Products of sizes with a few gates and layers stay far from an
 * overflow. */
#define CTI_MOST_SIZE (INT64_C(1) << 28)

#define CTI_LN_EPS 1e-5 /* the eps of the cells' layer norms */

/* Which of b_ih, b_hh and b_hn a cell with biases has in a dialect. */
typedef struct cti_biases {
    bool ih, hh, hn;
} cti_biases;
cti_biases cti_cell_biases(ct_dialect dialect, cti_cell_kind kind, bool reset_before);

/* Functions for tables of ct_cell. init registers the parameters with the initial values of the
 * dialect; project computes x W_ih^T + b_ih: (T, B, in) -> (T, B, G H). */
ct_status cti_cell_init(void *self, const ct_cell_place *at);
int64_t cti_cell_state_size(const void *self, int i);
ct_tensor *cti_cell_project(void *self, ct_tensor *x, const ct_cell_step *at);

/* h W_hh^T + b_hh, with recurrent dropout and layer norm: (B, R) -> (B, G H) */
ct_tensor *cti_cell_recur(const cti_cell *c, ct_tensor *h, const ct_cell_step *at);

/* A view of gate i of t (B, G H). */
ct_tensor *cti_cell_gate(const cti_cell *c, ct_tensor *t, int i);

/* Makes a module of a kind or, if `alone` is true, a single cell. Errors name `function`.
 * CT_ERR_ARGUMENT as for ct_nn_recurrent, and for options that only another kind has. */
ct_recurrent *cti_cell_module(const char *function, ct_params *params, const char *name,
                              const cti_cell_type *type, const ct_nn_recurrent_options *options,
                              bool alone);

/* ct_nn_recurrent or, if `alone` is true, ct_nn_recurrent_cell. Errors name `function`.
 * (recurrent.c) */
ct_recurrent *cti_recurrent_new(const char *function, ct_params *params, const char *name,
                                const ct_cell *cell, const ct_nn_recurrent_options *options,
                                bool alone);

/* Return false with an error for options that a module may not have; alone: for a single cell.
 * cti_recurrent_in_range is for a value that must be in 0..most. (recurrent_options.c) */
bool cti_recurrent_check_options(const char *me, const ct_nn_recurrent_options *o, bool alone);
bool cti_recurrent_in_range(const char *me, const char *name, int64_t value, int64_t most);

/* The set with the module's name, and the function that the user called to make it. */
ct_params *cti_recurrent_params(const ct_recurrent *r);
const char *cti_recurrent_maker(const ct_recurrent *r);

/* inner_cell.c: true for a cell with a step and a valid number of states; else false with an error. */
bool cti_cell_given(const char *function, const ct_cell *cell);

#endif
