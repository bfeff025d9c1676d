/* SPDX-License-Identifier: MIT */
/* steps.h - runs one cell over the steps of a sequence. (internal) */
#ifndef COTANGENT_NN_STEPS_H
#define COTANGENT_NN_STEPS_H

#include <cotangent/nn/recurrent.h>

/* The number of steps of each row of a batch. */
typedef struct cti_extent {
    /* the least and the greatest number of steps of a row; T and T without lengths */
    int64_t shortest, longest;
    ct_tensor *active;  /* (T, B, 1) bool: true if row b has step t; NULL: all rows have T steps */
    ct_tensor *lengths; /* (B) i64, the number of steps of each row; NULL: all rows have T */
} cti_extent;

/* Makes the mask `active` from lengths (B) i64: true where t < lengths[b]. */
ct_tensor *cti_active_steps(ct_tensor *lengths, int64_t steps);

/* One cell, and the data for running it. */
typedef struct cti_steps {
    const ct_cell *cell;
    void *self; /* the cell's data */
    ct_cell_step at;
    const cti_extent *extent;
    bool reverse;    /* from the last step to the first */
    bool y_is_state; /* y is state 0; where a row has ended, y need only be finite */
    int64_t batch, output;
    /* input: the states before the first step; output: those after the last */
    ct_tensor *state[CT_MAX_CELL_STATES];
} cti_steps;

/* Runs cell->step on each step of x (T, B, ...), the result of cell->project. Returns y (T, B,
 * output), which is 0 where a row has ended, and replaces s->state by the states after the last
 * step. A row that has ended keeps its state. While gradients are recorded, all steps keep their
 * history. Otherwise, only y needs memory that grows with T. NULL after an error. */
ct_tensor *cti_run_steps(cti_steps *s, ct_tensor *x);

/* An array of count NULL pointers that belongs to the innermost scope; NULL with an error. */
ct_tensor **cti_tensor_array(int64_t count);

#endif
