/* SPDX-License-Identifier: MIT */
/* test_arguments_cells.h - the cells that test_arguments.c passes. */
#ifndef TESTS_TEST_ARGUMENTS_CELLS_H
#define TESTS_TEST_ARGUMENTS_CELLS_H

#include <cotangent.h>

static ct_module_list *module_list;
static ct_attention *scored;
static ct_cell_inner *cell_inner; /* set when a module of `wrapper` is made */

static ct_tensor *cell_step(void *self, ct_tensor *x, ct_tensor *const *state, ct_tensor **next,
                            const ct_cell_step *at)
{
    (void)self, (void)state, (void)at;
    return next[0] = x;
}

static const ct_cell cell = { .name = "cell", .states = 1, .step = cell_step };

static ct_status wrapper_init(void *self, const ct_cell_place *at)
{
    static const ct_cell inner = { .name = "inner", .states = 2, .step = cell_step };

    (void)self;
    cell_inner = ct_cell_inner_add(at, &inner);
    return ct_error();
}

static const ct_cell wrapper = {
    .name = "wrapper", .states = 2, .init = wrapper_init, .step = cell_step
};
static const ct_nn_recurrent_options cell_options = { .hidden_size = 3, .input_size = 3 };

#endif
