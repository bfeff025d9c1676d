/* SPDX-License-Identifier: MIT */
/* inner_cell.c - functions for cells that contain another cell. */
#include "nn/cell.h"

#include "tensor/internal.h"

struct ct_cell_inner {
    const ct_cell *cell;
    void *self;
    int64_t hidden; /* hidden_size of the module's options */
};

bool cti_cell_given(const char *me, const ct_cell *cell)
{
    if (!cti_given(me, "cell", cell))
        return false;
    if (!cell->step)
        ct_raise(CT_ERR_ARGUMENT, me, "cell->step is NULL");
    else if (cell->states < 1 || cell->states > CT_MAX_CELL_STATES)
        ct_raise(CT_ERR_ARGUMENT, me, "cell->states is %d; it must be in 1..%d", cell->states,
                 CT_MAX_CELL_STATES);
    return ct_ok();
}

ct_cell_inner *ct_cell_inner_add(const ct_cell_place *at, const ct_cell *cell)
{
    static const char *const me = "ct_cell_inner_add";
    ct_cell_place place;
    ct_params *params;
    ct_cell_inner *c;

    if (!cti_given(me, "at", at) || !cti_cell_given(me, cell))
        return NULL;
    if (cell->states > at->cell->states) {
        ct_raise(CT_ERR_ARGUMENT, me, "the cell %s has %d states; %s around it has %d", cell->name,
                 cell->states, at->cell->name, at->cell->states);
        return NULL;
    }
    params = cti_recurrent_params(at->module);
    c = cti_module_data(params, sizeof *c);
    if (!c || !(c->self = cti_module_data(params, cell->size)))
        return NULL;
    c->cell = cell;
    c->hidden = at->options->hidden_size;
    place = *at;
    place.cell = cell;
    if (cell->init && cell->init(c->self, &place) != CT_OK)
        return NULL;
    return ct_ok() ? c : NULL;
}

static bool inner_cell_usable(const char *me, const ct_cell_inner *c, const ct_tensor *x,
                              const ct_cell_step *at)
{
    return cti_given(me, "c", c) && cti_usable(me, x) && cti_given(me, "at", at) &&
           cti_optional_as(me, "at->drop", at->drop) &&
           cti_optional_as(me, "at->lengths", at->lengths);
}

ct_tensor *ct_cell_inner_project(ct_cell_inner *c, ct_tensor *x, const ct_cell_step *at)
{
    if (!inner_cell_usable("ct_cell_inner_project", c, x, at))
        return NULL;
    return c->cell->project ? c->cell->project(c->self, x, at) : x;
}

/* True if each state of the inner cell may be used. */
static bool inner_cell_states(const char *me, const ct_cell_inner *c, ct_tensor *const *state)
{
    int i;

    if (!cti_given(me, "state", state))
        return false;
    for (i = 0; i < c->cell->states; i++)
        if (!cti_usable_as(me, "state", state[i]))
            return false;
    return true;
}

ct_tensor *ct_cell_inner_step(ct_cell_inner *c, ct_tensor *x, ct_tensor *const *state,
                              ct_tensor **next, const ct_cell_step *at)
{
    static const char *const me = "ct_cell_inner_step";
    ct_tensor *y;

    if (!inner_cell_usable(me, c, x, at) || !inner_cell_states(me, c, state) ||
        !cti_given(me, "next", next))
        return NULL;
    y = c->cell->step(c->self, x, state, next, at);
    return ct_ok() ? y : NULL;
}

ct_tensor *ct_cell_inner_sequence(ct_cell_inner *c, ct_tensor *x, ct_tensor **state, bool reverse,
                                  const ct_cell_step *at)
{
    static const char *const me = "ct_cell_inner_sequence";

    if (!inner_cell_usable(me, c, x, at) || !inner_cell_states(me, c, state) ||
        !c->cell->sequence || (at->lengths && !c->cell->lengths))
        return NULL;
    return c->cell->sequence(c->self, x, state, reverse, at);
}

int64_t ct_cell_inner_state_size(const ct_cell_inner *c, int i)
{
    if (!c || i < 0 || i >= c->cell->states)
        return 0;
    return c->cell->state_size ? c->cell->state_size(c->self, i) : c->hidden;
}

int64_t ct_cell_inner_output_size(const ct_cell_inner *c)
{
    return !c                     ? 0
           : c->cell->output_size ? c->cell->output_size(c->self)
                                  : ct_cell_inner_state_size(c, 0);
}
