/* recurrent.c - the driver: any cell over time, layers and directions. */
#include "tensor/internal.h"

#include "tensor/host.h"

#include <cotangent/autograd/autograd.h>
#include <cotangent/autograd/shape.h>
#include <cotangent/nn/recurrent.h>

struct ct_recurrent {
    const ct_cell *cell;
    ct_params *params;
    int layers, directions;
    void *self[];
};

ct_recurrent *ct_recurrent_of(ct_params *params, const ct_cell *cell, int layers, int directions,
                              void *const *selves)
{
    static const char *const me = "ct_recurrent_of";
    ct_recurrent *r;
    int i, n = layers * directions;

    if (!params)
        return NULL;
    if (!cell || !cell->step || cell->states < 1 || cell->states > CT_MAX_CELL_STATES ||
        layers < 1 || layers > 4096 || directions < 1 || directions > 2) {
        ct_raise(CT_ERR_ARGUMENT, me, "%d layers, %d directions, %d states", layers, directions,
                 cell ? cell->states : 0);
        return NULL;
    }
    r = cti_calloc(1, sizeof *r + (size_t)n * sizeof *r->self);
    if (!r) {
        cti_out_of_memory(me, sizeof *r);
        return NULL;
    }
    r->cell = cell;
    r->params = params;
    r->layers = layers;
    r->directions = directions;
    for (i = 0; i < n; i++)
        r->self[i] = selves[i];
    return ct_params_own(params, r, cti_release) == CT_OK ? r : NULL;
}

int ct_recurrent_layers(const ct_recurrent *r)
{
    return r ? r->layers : 0;
}

int ct_recurrent_directions(const ct_recurrent *r)
{
    return r ? r->directions : 0;
}

int64_t ct_recurrent_hidden_size(const ct_recurrent *r)
{
    return r ? r->cell->output_size(r->self[0]) : 0;
}

static ct_shape state_shape(const ct_recurrent *r, int i, int64_t batch)
{
    return CT_SHAPE((int64_t)r->layers * r->directions, batch, r->cell->state_size(r->self[0], i));
}

ct_state *ct_begin_state(const ct_recurrent *r, int64_t batch)
{
    ct_tensor *zeros[CT_MAX_CELL_STATES] = { NULL };
    ct_state *state;
    ct_scope s;
    int i;

    if (!r)
        return NULL;
    if (batch < 0) {
        ct_raise(CT_ERR_ARGUMENT, "ct_begin_state", "batch %lld is below 0", (long long)batch);
        return NULL;
    }
    s = cti_scope_push();
    for (i = 0; i < r->cell->states; i++)
        zeros[i] = ct_zeros(state_shape(r, i, batch), ct_params_dtype(r->params),
                            ct_params_device(r->params));
    state = ct_state_new(r->cell->states, zeros);
    cti_scope_pop(s);
    return state;
}

/* ---- one cell over time ---- */

typedef struct run {
    const ct_cell *cell;
    void *self, *call;
    bool reverse;
    ct_tensor *state[CT_MAX_CELL_STATES]; /* in: before the first step; out: after the last */
} run;

static ct_tensor *step(run *r, ct_tensor *x, int64_t t, ct_tensor **next)
{
    ct_tensor *y = r->cell->step(r->self, ct_select(x, 0, t), r->state, next, r->call);
    int i;

    for (i = 0; y && i < r->cell->states; i++)
        y = next[i] ? y : NULL;
    if (!y && ct_ok())
        ct_raise(CT_ERR_ARGUMENT, "ct_recurrent_forward", "a step of the cell %s gave no tensor",
                 r->cell->name);
    return y;
}

/* With history: everything stays until the scope ends. */
static ct_tensor *run_recorded(run *r, ct_tensor *x, ct_tensor **out)
{
    int64_t steps = ct_dim(x, 0), k;
    int i;

    for (k = 0; k < steps; k++) {
        ct_tensor *next[CT_MAX_CELL_STATES] = { NULL };
        int64_t t = r->reverse ? steps - 1 - k : k;

        out[t] = step(r, x, t, next);
        if (!out[t])
            return NULL;
        for (i = 0; i < r->cell->states; i++)
            r->state[i] = next[i];
    }
    return ct_stack((int)steps, out, 0);
}

/* Without: a step's temporaries die with it, so that memory stays constant. */
static ct_tensor *run_plain(run *r, ct_tensor *x)
{
    int64_t steps = ct_dim(x, 0), k;
    ct_tensor *all = ct_empty(CT_SHAPE(steps, ct_dim(x, 1), r->cell->output_size(r->self)),
                              ct_dtype_get(r->state[0]), ct_device_get(r->state[0]));
    int i;

    for (i = 0; i < r->cell->states; i++)
        r->state[i] = ct_clone(r->state[i]);
    for (k = 0; k < steps && ct_ok(); k++) {
        ct_tensor *next[CT_MAX_CELL_STATES] = { NULL };
        int64_t t = r->reverse ? steps - 1 - k : k;
        ct_scope s = cti_scope_push();
        ct_tensor *y = step(r, x, t, next);

        if (y)
            ct_copy_into(ct_select(all, 0, t), y);
        for (i = 0; y && i < r->cell->states; i++)
            ct_copy_into(r->state[i], next[i]);
        cti_scope_pop(s);
    }
    return ct_ok() ? all : NULL;
}

static ct_tensor *run_cell(run *r, ct_tensor *x)
{
    ct_tensor *memory, *y;
    bool records = ct_grad_enabled();

    if (r->cell->project)
        x = r->cell->project(r->self, x, r->call);
    if (!x)
        return NULL;
    if (!records)
        return run_plain(r, x);
    memory = ct_empty(CT_SHAPE(ct_dim(x, 0) * (int64_t)sizeof(ct_tensor *)), CT_BOOL, CT_CPU);
    y = memory ? run_recorded(r, x, (ct_tensor **)(void *)cti_ptr(memory)) : NULL;
    return y;
}

/* ---- the module ---- */

static bool check_call(const char *me, const ct_recurrent *r, const ct_tensor *x,
                       const ct_state *state)
{
    int i;

    if (ct_rank(x) != 3 || ct_dim(x, 0) < 1) {
        ct_raise(CT_ERR_SHAPE, me, "x %s is not (T, B, size) with T of 1 or more",
                 cti_describe(x).s);
        return false;
    }
    if (state && ct_state_count(state) != r->cell->states) {
        ct_raise(CT_ERR_SHAPE, me, "a state of %d tensors for a %s, whose state has %d",
                 ct_state_count(state), r->cell->name, r->cell->states);
        return false;
    }
    for (i = 0; state && i < r->cell->states; i++) {
        const ct_tensor *t = ct_state_get(state, i);
        ct_shape want = state_shape(r, i, ct_dim(x, 1));

        if (!cti_same_shape(&t->shape, &want)) {
            ct_raise(CT_ERR_SHAPE, me, "state %d %s should have the shape %s for x %s", i,
                     cti_describe(t).s, cti_shape_text(&want).s, cti_describe(x).s);
            return false;
        }
        if (!cti_same_dtype(me, "x", x, "state", t) || !cti_same_device(me, "x", x, "state", t))
            return false;
    }
    return true;
}

/* The initial state of cell number k. */
static bool start(const ct_recurrent *r, const ct_tensor *x, const ct_state *state, int k, run *c)
{
    int i;

    for (i = 0; i < r->cell->states; i++) {
        ct_shape shape = state_shape(r, i, ct_dim(x, 1));

        if (state)
            c->state[i] = ct_select(ct_state_get(state, i), 0, k);
        else
            c->state[i] = ct_zeros(CT_SHAPE(shape.dim[1], shape.dim[2]), x->dtype, x->device);
        if (!c->state[i])
            return false;
    }
    return true;
}

/* *next from the final states, finals[k * states + i]. */
static bool gather_state(const ct_recurrent *r, ct_tensor **finals, ct_state **next)
{
    ct_tensor *whole[CT_MAX_CELL_STATES], *memory;
    int n = r->layers * r->directions, i, k;
    ct_tensor **list;

    memory = ct_empty(CT_SHAPE(n * (int64_t)sizeof(ct_tensor *)), CT_BOOL, CT_CPU);
    if (!memory)
        return false;
    list = (ct_tensor **)(void *)cti_ptr(memory);
    for (i = 0; i < r->cell->states; i++) {
        for (k = 0; k < n; k++)
            list[k] = finals[k * r->cell->states + i];
        whole[i] = ct_stack(n, list, 0);
    }
    *next = ct_state_of(r->cell->states, whole);
    return *next != NULL;
}

static ct_tensor *forward(const char *me, ct_recurrent *r, ct_tensor *x, const ct_state *state,
                          ct_state **next, void *call)
{
    ct_tensor *memory, **finals, *first_x = x;
    int layer, d, i;

    if (next)
        *next = NULL;
    if (!r || !cti_usable(me, x) || !check_call(me, r, x, state))
        return NULL;
    memory = ct_empty(CT_SHAPE((int64_t)r->layers * r->directions * r->cell->states *
                               (int64_t)sizeof(ct_tensor *)),
                      CT_BOOL, CT_CPU);
    if (!memory)
        return NULL;
    finals = (ct_tensor **)(void *)cti_ptr(memory);
    for (layer = 0; layer < r->layers; layer++) {
        ct_tensor *half[2] = { NULL };

        for (d = 0; d < r->directions; d++) {
            int k = layer * r->directions + d;
            run c = { .cell = r->cell, .self = r->self[k], .call = call, .reverse = d == 1 };

            if (!start(r, first_x, state, k, &c))
                return NULL;
            half[d] = run_cell(&c, x);
            if (!half[d])
                return NULL;
            for (i = 0; i < r->cell->states; i++)
                finals[k * r->cell->states + i] = c.state[i];
        }
        x = r->directions == 2 ? ct_cat(2, half, 2) : half[0];
    }
    return !next || gather_state(r, finals, next) ? x : NULL;
}

ct_tensor *ct_recurrent_forward(ct_recurrent *r, ct_tensor *x, const ct_state *state,
                                ct_state **next)
{
    return forward("ct_recurrent_forward", r, x, state, next, NULL);
}

ct_tensor *ct_recurrent_forward_with(ct_recurrent *r, ct_tensor *x, const ct_state *state,
                                     ct_state **next, void *call)
{
    return forward("ct_recurrent_forward_with", r, x, state, next, call);
}
