/* steps.h - runs one cell over the steps of a sequence. (internal) */
#ifndef COTANGENT_NN_STEPS_H
#define COTANGENT_NN_STEPS_H

#include <cotangent/nn/recurrent.h>

/* Which steps each row of a batch has. */
typedef struct cti_extent {
    int64_t shortest, longest; /* the fewest and the most steps of a row; T and T without lengths */
    ct_tensor *active;         /* (T, B, 1) bool: row b has a step t; NULL: all rows have T steps */
    ct_tensor *lengths;        /* (B) i64, the steps of each row; NULL likewise */
} cti_extent;

/* The mask active of an extent, from lengths (B) i64: true where t < lengths[b]. */
ct_tensor *cti_active_steps(ct_tensor *lengths, int64_t steps);

/* One cell and what it runs with. */
typedef struct cti_steps {
    const ct_cell *cell;
    void *self; /* the cell's data */
    ct_cell_step at;
    const cti_extent *extent;
    bool reverse;    /* from the last step to the first */
    bool y_is_state; /* y is state 0; where a row has ended, y may be anything finite */
    int64_t batch, output;
    ct_tensor *state[CT_MAX_CELL_STATES]; /* in: before the first step; out: after the last */
} cti_steps;

/* Runs cell->step on each step of x (T, B, ...), which is what cell->project returned. Returns y
 * (T, B, output), 0 where a row has ended, and replaces s->state by the states after the last step.
 * A row that has ended keeps its state. With gradients enabled all steps keep their history;
 * without, memory does not grow with T, y and the states apart. NULL after an error. */
ct_tensor *cti_run_steps(cti_steps *s, ct_tensor *x);

/* An array of count NULL pointers that belongs to the innermost scope; NULL with an error. */
ct_tensor **cti_tensor_array(int64_t count);

#endif
