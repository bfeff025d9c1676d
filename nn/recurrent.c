/* SPDX-License-Identifier: MIT */
/* recurrent.c - recurrent modules: cells over layers and directions. */
#include "nn/cell.h"
#include "nn/fused_rnn.h"
#include "nn/steps.h"

#include "tensor/hooks.h"
#include "tensor/internal.h"

#include <cotangent/autograd/ops/compare.h>
#include <cotangent/autograd/ops/elementwise.h>
#include <cotangent/autograd/ops/random.h>
#include <cotangent/autograd/ops/copy.h>
#include <cotangent/autograd/ops/join.h>
#include <cotangent/autograd/ops/rearrange.h>
#include <cotangent/autograd/ops/views.h>
#include <cotangent/nn/init.h>

#include <stdio.h>

#define MOST_OPEN 16 /* the most parameters of a module whose shape depends on the input size */

/* The value of at->input_size while the size is not known. It is far from all valid sizes. So the
 * library can tell from a size in a shape whether the cell computed it as the input size plus a
 * constant; any other use of the input size is refused. */
#define OPEN_SIZE (-(INT64_C(1) << 30))

/* A parameter that is lazy until the input size is known. */
typedef struct recurrent_open {
    ct_param *param;
    ct_shape given; /* a size that depends on the input size is OPEN_SIZE plus a constant */
} recurrent_open;

struct ct_recurrent {
    const ct_cell *cell;
    ct_params *params;    /* the part of the set with the module's name */
    const char *function; /* the one that made the module */
    ct_nn_recurrent_options options;
    int layers, directions;
    bool alone;                            /* a single cell, whose parameters have no suffix */
    ct_param *some;                        /* one of the parameters; NULL if the cells have none */
    ct_param *initial[CT_MAX_CELL_STATES]; /* learn_state: (layers * directions, 1, size) */
    recurrent_open open[MOST_OPEN];
    int open_count;
    void *self[]; /* the cells' data, with index layer * directions + direction */
};

static int64_t recurrent_state_size(const ct_recurrent *r, int i)
{
    return r->cell->state_size ? r->cell->state_size(r->self[0], i) : r->options.hidden_size;
}

static int64_t recurrent_output_size(const ct_recurrent *r)
{
    return r->cell->output_size ? r->cell->output_size(r->self[0]) : recurrent_state_size(r, 0);
}

static int recurrent_cells(const ct_recurrent *r)
{
    return r->layers * r->directions;
}

/* ---- for cells ---- */

static bool recurrent_is_open(int64_t size)
{
    return size >= OPEN_SIZE - CTI_MOST_SIZE && size <= OPEN_SIZE + CTI_MOST_SIZE;
}

/* Replaces each size of *shape that depends on the input size by -1, and sets *open to true if it
 * replaced one. False with an error for a size that depends on it in another way or is out of
 * range. */
static bool recurrent_open_axes(const ct_cell_place *at, const char *what, ct_shape *shape,
                                bool *open)
{
    static const char *const me = "ct_cell_param";
    int i;

    *open = false;
    if (!cti_rank_check(me, shape))
        return false;
    for (i = 0; i < shape->rank; i++) {
        const int64_t size = shape->dim[i];

        if (recurrent_is_open(at->input_size) && recurrent_is_open(size)) {
            shape->dim[i] = -1;
            *open = true;
        } else if (recurrent_is_open(at->input_size) && (size < 0 || size > CTI_MOST_SIZE)) {
            ct_raise(
                CT_ERR_SHAPE, me,
                "axis %d of %s is computed from the input size, which is not known yet; it may "
                "be at->input_size plus a constant, or input_size must be given",
                i, what);
            return false;
        } else if (size < 0 || size > CTI_MOST_SIZE) {
            ct_raise(CT_ERR_SHAPE, me, "%s cannot have the shape %s: a size must be in 0..%lld",
                     what, cti_shape_text(shape).s, (long long)CTI_MOST_SIZE);
            return false;
        }
    }
    return true;
}

ct_param *ct_cell_param(const ct_cell_place *at, const char *what, ct_shape shape, ct_init init)
{
    static const char *const me = "ct_cell_param";
    const ct_shape given = shape;
    ct_recurrent *r;
    char name[96];
    ct_param *p;
    bool open;

    if (!cti_given(me, "at", at) || !cti_given(me, "what", what) ||
        !recurrent_open_axes(at, what, &shape, &open))
        return NULL;
    r = at->module;
    if (r->alone)
        snprintf(name, sizeof name, "%s", what);
    else
        snprintf(name, sizeof name, "%s_l%d%s", what, at->layer, at->direction ? "_reverse" : "");
    p = ct_params_add(r->params, name, shape, init);
    r->some = p ? p : r->some;
    if (!p || !open)
        return p;
    if (r->open_count == MOST_OPEN) {
        ct_raise(CT_ERR_ARGUMENT, me,
                 "%s is the %dth parameter whose shape has the input size; a module may have %d",
                 what, MOST_OPEN + 1, MOST_OPEN);
        return NULL;
    }
    r->open[r->open_count++] = (recurrent_open){ p, given };
    return p;
}

ct_tensor *ct_cell_drop(const ct_cell_step *at, ct_tensor *h)
{
    static const char *const me = "ct_cell_drop";

    if (!cti_usable(me, h) || !cti_given(me, "at", at) || !cti_optional_as(me, "drop", at->drop) ||
        !cti_optional_as(me, "lengths", at->lengths))
        return NULL;
    return at->drop ? ct_mul(h, at->drop) : h;
}

/* ---- construction ---- */

/* Makes a cell's data and its parameters. */
static ct_status recurrent_add_cell(ct_recurrent *r, int layer, int direction)
{
    int64_t known = r->options.input_size ? r->options.input_size : OPEN_SIZE;
    ct_cell_place at = {
        .module = r, .cell = r->cell, .options = &r->options, .layer = layer, .direction = direction
    };
    void *self = cti_module_data(r->params, r->cell->size);

    if (!self)
        return ct_error();
    r->self[layer * r->directions + direction] = self;
    at.input_size = layer ? recurrent_output_size(r) * r->directions : known;
    return r->cell->init ? r->cell->init(self, &at) : CT_OK;
}

/* Checks the sizes that the cell's functions return. */
static bool recurrent_check_sizes(const char *me, const ct_recurrent *r)
{
    int i;

    for (i = 0; i < r->cell->states; i++)
        if (!cti_recurrent_in_range(me, "state_size of the cell", recurrent_state_size(r, i),
                                    CTI_MOST_SIZE))
            return false;
    return cti_recurrent_in_range(me, "output_size of the cell", recurrent_output_size(r),
                                  CTI_MOST_SIZE);
}

/* Makes the parameters of learn_state. */
static ct_status recurrent_add_initial(ct_recurrent *r)
{
    static const char *const names[CT_MAX_CELL_STATES] = { "h_0",  "c_0",  "s2_0", "s3_0",
                                                           "s4_0", "s5_0", "s6_0", "s7_0" };
    int i;

    for (i = 0; r->options.learn_state && i < r->cell->states && ct_ok(); i++)
        r->some = r->initial[i] = ct_params_add(
            r->params, names[i], CT_SHAPE(recurrent_cells(r), 1, recurrent_state_size(r, i)),
            ct_init_constant(0));
    return ct_error();
}

ct_recurrent *cti_recurrent_new(const char *function, ct_params *params, const char *name,
                                const ct_cell *cell, const ct_nn_recurrent_options *options,
                                bool alone)
{
    const int layers = options->num_layers ? options->num_layers : 1;
    const int directions = options->bidirectional ? 2 : 1;
    ct_params *part;
    ct_recurrent *r;
    int k;

    if (!cti_module_given(function, params, name) || !cti_cell_given(function, cell) ||
        !cti_recurrent_check_options(function, options, alone))
        return NULL;
    part = ct_params_sub(params, name);
    r = part ? cti_module_data(params,
                               sizeof *r + (size_t)layers * (size_t)directions * sizeof *r->self)
             : NULL;
    if (!r)
        return NULL;
    r->cell = cell;
    r->params = part;
    r->function = function;
    r->options = *options;
    r->layers = layers;
    r->directions = directions;
    r->alone = alone;
    for (k = 0; k < layers * directions && ct_ok(); k++)
        if (recurrent_add_cell(r, k / directions, k % directions) != CT_OK ||
            (k == 0 && !recurrent_check_sizes(function, r)))
            return NULL;
    return recurrent_add_initial(r) == CT_OK ? r : NULL;
}

ct_recurrent *ct_nn_recurrent(ct_params *params, const char *name, const ct_cell *cell,
                              ct_nn_recurrent_options options)
{
    return cti_recurrent_new("ct_nn_recurrent", params, name, cell, &options, false);
}

ct_recurrent *ct_nn_recurrent_cell(ct_params *params, const char *name, const ct_cell *cell,
                                   ct_nn_recurrent_options options)
{
    return cti_recurrent_new("ct_nn_recurrent_cell", params, name, cell, &options, true);
}

ct_params *cti_recurrent_params(const ct_recurrent *r)
{
    return r->params;
}

const char *cti_recurrent_maker(const ct_recurrent *r)
{
    return r->function;
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
    return r ? recurrent_output_size(r) : 0;
}

/* ---- initial states ---- */

static ct_shape recurrent_state_shape(const ct_recurrent *r, int i, int64_t batch)
{
    return CT_SHAPE(recurrent_cells(r), batch, recurrent_state_size(r, i));
}

/* Returns state i of all cells before the first step, (layers * directions, B, size). */
static ct_tensor *recurrent_initial_state(const ct_recurrent *r, int i, int64_t batch,
                                          ct_dtype dtype, ct_device device)
{
    ct_shape shape = recurrent_state_shape(r, i, batch);

    return r->initial[i] ? ct_expand(ct_param_value(r->initial[i]), shape)
                         : ct_zeros(shape, dtype, device);
}

ct_state *ct_recurrent_begin_state(const ct_recurrent *r, int64_t batch)
{
    ct_tensor *first[CT_MAX_CELL_STATES] = { NULL };
    ct_state *state;
    ct_scope s;
    int i;

    if (!cti_given("ct_recurrent_begin_state", "r", r))
        return NULL;
    if (!cti_at_least("ct_recurrent_begin_state", "batch", batch, 0))
        return NULL;
    s = cti_scope_push();
    for (i = 0; i < r->cell->states; i++)
        first[i] = recurrent_initial_state(r, i, batch, ct_params_dtype(r->params),
                                           ct_params_device(r->params));
    state = ct_ok() ? ct_state_new(r->cell->states, first) : NULL;
    cti_scope_pop(s);
    return state;
}

/* ---- the arguments of a call ---- */

/* One call of a module. */
typedef struct recurrent_call {
    const char *me; /* the function that the user called */
    ct_recurrent *r;
    const ct_tensor *x_given;
    ct_tensor *x;    /* (T, B, in) */
    bool is_single;  /* x was given as (T, in) */
    bool flat_state; /* *next has no batch axis, because x has none */
    /* the caller's x has T = 0; this x has one step instead, after the end of all rows */
    bool has_no_steps;
    const ct_state *state; /* may be NULL */
    ct_recurrent_call options;
    cti_extent extent;
    ct_tensor *first[CT_MAX_CELL_STATES]; /* states before the first step, as in ct_state */
    ct_tensor **last; /* after the last step: state i of cell k is last[i * cells + k] */
} recurrent_call;

int64_t cti_recurrent_input_size(const ct_recurrent *r)
{
    const ct_shape *given = &r->open[0].given;
    int axis = 0;

    if (r->options.input_size)
        return r->options.input_size;
    if (!r->open_count || ct_param_is_lazy(r->open[0].param))
        return -1;
    while (!recurrent_is_open(given->dim[axis]))
        axis++;
    return ct_param_shape(r->open[0].param).dim[axis] - (given->dim[axis] - OPEN_SIZE);
}

static bool recurrent_check_x(const recurrent_call *c)
{
    const ct_recurrent *r = c->r;
    const ct_tensor *x = c->x;
    const int rank = ct_rank(x);
    const int64_t size = cti_recurrent_input_size(r);
    const ct_dtype dtype = ct_params_dtype(r->params);

    if (rank != 2 && rank != 3)
        ct_raise(CT_ERR_SHAPE, c->me, "x %s has rank %d; it must be %s or (T, size)",
                 cti_describe(c->x_given).s, rank,
                 r->options.batch_first ? "(B, T, size)" : "(T, B, size)");
    else if (size >= 0 && ct_size(x, -1) != size)
        ct_raise(CT_ERR_SHAPE, c->me, "x %s has %lld features; the module expects %lld",
                 cti_describe(c->x_given).s, (long long)ct_size(x, -1), (long long)size);
    else if (r->some && x->dtype != dtype)
        ct_raise(CT_ERR_DTYPE, c->me, "x %s must have the dtype of the parameters, %s",
                 cti_describe(c->x_given).s, ct_dtype_name(dtype));
    return ct_ok();
}

/* Materializes the parameters whose shapes depend on the input size. */
static bool recurrent_settle(const recurrent_call *c)
{
    const ct_recurrent *r = c->r;
    int i, axis;

    for (i = 0; i < r->open_count; i++) {
        ct_shape shape = r->open[i].given;

        for (axis = 0; axis < shape.rank; axis++)
            if (recurrent_is_open(shape.dim[axis]))
                shape.dim[axis] += ct_size(c->x, -1) - OPEN_SIZE;
        ct_param_materialize(r->open[i].param, shape);
    }
    return ct_ok();
}

/* Returns x as (T, B, in). */
static bool recurrent_time_major(recurrent_call *c)
{
    c->is_single = ct_rank(c->x) == 2;
    c->flat_state = c->is_single && !(c->state && ct_rank(ct_state_get(c->state, 0)) == 3);
    if (c->is_single)
        c->x = ct_unsqueeze(c->x, 1);
    else if (c->r->options.batch_first)
        c->x = ct_transpose(c->x, 0, 1);
    return c->x != NULL;
}

/* Returns y (T, B, size) with the axes in the order of the caller's x. */
static ct_tensor *recurrent_as_given(const recurrent_call *c, ct_tensor *y)
{
    if (c->is_single)
        return ct_squeeze(y, 1);
    return c->r->options.batch_first ? ct_transpose(y, 0, 1) : y;
}

static bool recurrent_check_state(const recurrent_call *c, int i)
{
    const ct_tensor *t = ct_state_get(c->state, i);
    const ct_shape want = recurrent_state_shape(c->r, i, ct_size(c->x, 1));
    const ct_shape flat = CT_SHAPE(want.dim[0], want.dim[2]);

    if (!cti_same_shape(&t->shape, &want) && !(c->is_single && cti_same_shape(&t->shape, &flat))) {
        ct_raise(CT_ERR_SHAPE, c->me, "state %d %s must have the shape %s for x %s", i,
                 cti_describe(t).s, cti_shape_text(&want).s, cti_describe(c->x_given).s);
        return false;
    }
    return cti_same_dtype(c->me, "x", c->x_given, "state", t) &&
           cti_same_device(c->me, "x", c->x_given, "state", t);
}

static bool recurrent_check_states(const recurrent_call *c)
{
    const int states = c->r->cell->states;
    int i;

    if (!c->state)
        return true;
    if (ct_state_count(c->state) != states) {
        ct_raise(CT_ERR_SHAPE, c->me, "state has %d tensors; the state of %s has %d",
                 ct_state_count(c->state), c->r->cell->name, states);
        return false;
    }
    for (i = 0; i < states; i++)
        if (!recurrent_check_state(c, i))
            return false;
    return true;
}

/* Sets first[i] to the given state or the initial one. With reset, each row gets one of the two. */
static bool recurrent_first_states(recurrent_call *c)
{
    const ct_tensor *x = c->x;
    const ct_shape rows = CT_SHAPE(ct_size(x, 1));
    ct_tensor *reset = c->options.reset;
    int i;

    if (reset && (reset->dtype != CT_BOOL || !cti_same_shape(&reset->shape, &rows))) {
        ct_raise(CT_ERR_SHAPE, c->me, "reset %s must be bool%s", cti_describe(reset).s,
                 cti_shape_text(&rows).s);
        return false;
    }
    for (i = 0; i < c->r->cell->states; i++) {
        ct_tensor *given = c->state ? ct_state_get(c->state, i) : NULL, *initial;

        if (ct_rank(given) == 2)
            given = ct_unsqueeze(given, 1);
        c->first[i] = given;
        if (given && !reset)
            continue;
        initial = recurrent_initial_state(c->r, i, ct_size(x, 1), x->dtype, x->device);
        c->first[i] = given ? ct_where(ct_unsqueeze(reset, 1), initial, given) : initial;
    }
    return ct_ok();
}

/* Checks the lengths (B), which are on the host, and sets shortest and longest. */
static bool recurrent_check_lengths(const char *me, const int64_t *length, int64_t batch,
                                    cti_extent *e)
{
    const int64_t steps = e->longest;
    int64_t b;

    /* at least 1: even if all rows are empty, one step runs, so that y has history */
    e->longest = 1;
    for (b = 0; b < batch; b++) {
        if (length[b] < 0 || length[b] > steps) {
            ct_raise(CT_ERR_INDEX, me, "lengths[%lld] is %lld; it must be in 0..%lld", (long long)b,
                     (long long)length[b], (long long)steps);
            return false;
        }
        e->shortest = length[b] < e->shortest ? length[b] : e->shortest;
        e->longest = length[b] > e->longest ? length[b] : e->longest;
    }
    return true;
}

/* Reads options.lengths. Sets x to 0 past the lengths, so that its values there, and NaNs, have no
 * effect on results and gradients. */
static bool recurrent_read_lengths(recurrent_call *c)
{
    ct_tensor *lengths = c->options.lengths, *host;
    const int64_t steps = ct_size(c->x, 0), batch = ct_size(c->x, 1);
    const ct_shape rows = CT_SHAPE(batch);
    cti_extent *e = &c->extent;

    *e = (cti_extent){ .shortest = steps, .longest = steps };
    if (batch == 0 && steps > 1) /* with an empty batch, one step is enough */
        e->shortest = e->longest = 1;
    if (!lengths)
        return true;
    if (!cti_want_index(c->me, "lengths", lengths))
        return false;
    if (!cti_same_shape(&lengths->shape, &rows)) {
        ct_raise(CT_ERR_SHAPE, c->me, "lengths %s must have the shape %s for x %s",
                 cti_describe(lengths).s, cti_shape_text(&rows).s, cti_describe(c->x_given).s);
        return false;
    }
    host = ct_empty(rows, CT_I64, CT_CPU);
    lengths = ct_cast(lengths, CT_I64);
    if (!host || ct_to_host(lengths, cti_data(host), (size_t)batch * sizeof(int64_t)) != CT_OK ||
        !recurrent_check_lengths(c->me, (const int64_t *)(const void *)cti_data(host), batch, e))
        return false;
    if (e->shortest == steps)
        return true;
    e->lengths = ct_from_data(cti_data(host), rows, CT_I64, c->x->device);
    e->active = e->lengths ? cti_active_steps(e->lengths, steps) : NULL;
    c->x = ct_where(e->active, c->x, ct_full(CT_SCALAR, 0, c->x->dtype, c->x->device));
    return ct_ok();
}

/* Replaces a sequence without steps by one step that lies after the end of every row. So the states
 * keep their values and history, and y has history. The step is removed from y at the end. */
static bool recurrent_add_step(recurrent_call *c)
{
    cti_extent *e = &c->extent;

    c->has_no_steps = ct_size(c->x, 0) == 0;
    if (!c->has_no_steps)
        return true;
    c->x = ct_pad(c->x, 6, (int64_t[]){ 0, 0, 0, 0, 0, 1 }, 0);
    *e = (cti_extent){ .shortest = 0, .longest = 1 };
    e->lengths = c->x ? ct_zeros(CT_SHAPE(ct_size(c->x, 1)), CT_I64, c->x->device) : NULL;
    e->active = e->lengths ? cti_active_steps(e->lengths, 1) : NULL;
    return e->active != NULL;
}

/* ---- running the cells ---- */

static atomic_bool recurrent_stepwise;

void ct_set_fused_rnn(bool on)
{
    atomic_store(&recurrent_stepwise, !on);
}

/* Runs all steps with the cell's sequence function. NULL without an error if they must be run one
 * by one. */
static ct_tensor *recurrent_run_sequence(cti_steps *s, ct_tensor *x)
{
    const cti_extent *e = s->extent;
    ct_tensor *y;

    if (!s->cell->sequence || (e->active && !s->cell->lengths) || atomic_load(&recurrent_stepwise))
        return NULL;
    s->at.lengths = e->lengths;
    y = s->cell->sequence(s->self, x, s->state, s->reverse, &s->at);
    s->at.lengths = NULL;
    return y && e->active ? ct_where(e->active, y, ct_full(CT_SCALAR, 0, y->dtype, y->device)) : y;
}

/* Returns false if cells of the module cannot run in one op together with their input x. */
static bool recurrent_can_fuse(const recurrent_call *c, const ct_tensor *x)
{
    return c->r->cell->sequence == cti_fused_rnn && !c->extent.active &&
           !atomic_load(&recurrent_stepwise) && cti_fused_layer_takes(x);
}

/* Runs the directions of a layer of the library's own cells, or stacked layers, together with their input.
 * Returns false without an error if no op supports them. Then the caller must project the input first. */
static bool recurrent_run_layer(int count, bool stacked, cti_steps *s, ct_tensor *x, ct_tensor **y)
{
    cti_fused_cell cell[CTI_MOST_STACKED];
    int d;

    for (d = 0; d < count; d++)
        cell[d] = (cti_fused_cell){ s[d].self, s[d].state, s[d].reverse, NULL };
    if (!cti_fused_layer(count, stacked, cell, x, &s->at))
        return false;
    for (d = 0; d < count; d++)
        y[d] = cell[d].y;
    return true;
}

/* Makes the mask of recurrent dropout for all steps of a cell; NULL without dropout. */
static ct_tensor *recurrent_drop_mask(const ct_recurrent *r, const ct_tensor *x)
{
    const double p = r->options.recurrent_dropout;
    const ct_shape shape = CT_SHAPE(ct_size(x, 1), recurrent_state_size(r, 0));

    if (p == 0 || !ct_params_is_training(r->params))
        return NULL;
    return ct_dropout(ct_ones(shape, x->dtype, x->device), p, ct_params_generator(r->params));
}

/* Returns what cell k starts with. */
static cti_steps recurrent_begin(recurrent_call *c, const ct_tensor *x, int k)
{
    ct_recurrent *r = c->r;
    cti_steps s = { .cell = r->cell,
                    .self = r->self[k],
                    .at = { .data = c->options.data,
                            .drop = recurrent_drop_mask(r, x),
                            .training = ct_params_is_training(r->params),
                            .generator = ct_params_generator(r->params) },
                    .extent = &c->extent,
                    .reverse = r->options.reverse || k % r->directions == 1,
                    .batch = ct_size(x, 1),
                    .output = recurrent_output_size(r) };
    int i;

    for (i = 0; i < r->cell->states; i++)
        s.state[i] = ct_select(c->first[i], 0, k);
    return s;
}

/* Keeps the states of cell k after the last step. */
static void recurrent_end(recurrent_call *c, const cti_steps *s, int k)
{
    int i;

    for (i = 0; i < c->r->cell->states; i++)
        c->last[i * recurrent_cells(c->r) + k] = s->state[i];
}

/* Runs cell k: x (T, B, in) -> (T, B, output) */
static ct_tensor *recurrent_run_cell(recurrent_call *c, ct_tensor *x, int k)
{
    const ct_recurrent *r = c->r;
    cti_steps s = recurrent_begin(c, x, k);
    ct_tensor *y = NULL;
    const bool done =
        ct_ok() && recurrent_can_fuse(c, x) && recurrent_run_layer(1, false, &s, x, &y);

    if (!done && r->cell->project)
        x = ct_ok() ? r->cell->project(s.self, x, &s.at) : NULL;
    if (!done)
        y = x && ct_ok() ? recurrent_run_sequence(&s, x) : NULL;
    if (!y && ct_ok())
        y = cti_run_steps(&s, x);
    if (y)
        recurrent_end(c, &s, k);
    return y;
}

/* Runs both cells of a layer at the same time. Returns false if they must be run one after the other. */
static bool recurrent_run_both(recurrent_call *c, ct_tensor *x, int layer, ct_tensor **y)
{
    const int k = 2 * layer;
    cti_steps s[2];
    int d;

    if (c->r->directions != 2 || c->r->options.recurrent_dropout > 0 || !recurrent_can_fuse(c, x))
        return false;
    for (d = 0; d < 2; d++)
        s[d] = recurrent_begin(c, x, k + d);
    if (!ct_ok() || !recurrent_run_layer(2, false, s, x, y))
        return false;
    for (d = 0; d < 2; d++)
        recurrent_end(c, &s[d], k + d);
    return true;
}

static bool recurrent_drops(const ct_recurrent *r)
{
    return r->options.dropout > 0 && ct_params_is_training(r->params);
}

/* Runs the layers from number `layer` on at the same time, and replaces *x by the y of the last. Returns how
 * many; 0 if they must be run one after the other. */
static int recurrent_run_stack(recurrent_call *c, int layer, ct_tensor **x)
{
    const ct_recurrent *r = c->r;
    const int left = r->layers - layer, count = left < CTI_MOST_STACKED ? left : CTI_MOST_STACKED;
    cti_steps s[CTI_MOST_STACKED];
    ct_tensor *y[CTI_MOST_STACKED];
    int i;

    if (r->directions != 1 || count < 2 || r->options.recurrent_dropout > 0 || recurrent_drops(r) ||
        !recurrent_can_fuse(c, *x))
        return 0;
    for (i = 0; i < count; i++)
        s[i] = recurrent_begin(c, *x, layer + i);
    if (!ct_ok() || !recurrent_run_layer(count, true, s, *x, y))
        return 0;
    for (i = 0; i < count; i++)
        recurrent_end(c, &s[i], layer + i);
    *x = y[count - 1];
    return count;
}

/* Runs one layer: x (T, B, in) -> (T, B, directions * output) */
static ct_tensor *recurrent_run_one(recurrent_call *c, ct_tensor *x, int layer)
{
    const ct_recurrent *r = c->r;
    ct_tensor *half[2] = { NULL };
    int d;

    if (layer && recurrent_drops(r))
        x = ct_dropout(x, r->options.dropout, ct_params_generator(r->params));
    if (!x)
        return NULL;
    if (!recurrent_run_both(c, x, layer, half))
        for (d = 0; d < r->directions; d++)
            half[d] = recurrent_run_cell(c, x, layer * r->directions + d);
    return r->directions == 2 ? ct_cat(2, half, 2) : half[0];
}

static ct_tensor *recurrent_run_layers(recurrent_call *c)
{
    ct_tensor *x = c->x;
    int layer, count;

    for (layer = 0; x && layer < c->r->layers; layer += count) {
        count = recurrent_run_stack(c, layer, &x);
        if (count == 0 && ct_ok()) {
            x = recurrent_run_one(c, x, layer);
            count = 1;
        }
        if (!ct_ok())
            return NULL;
    }
    return x;
}

/* Makes *next from the states after the last step. */
static bool recurrent_gather_state(const recurrent_call *c, ct_state **next)
{
    const int n = recurrent_cells(c->r), states = c->r->cell->states;
    ct_tensor *whole[CT_MAX_CELL_STATES];
    int i;

    for (i = 0; i < states; i++) {
        whole[i] = ct_stack(n, c->last + i * n, 0);
        if (c->flat_state)
            whole[i] = ct_squeeze(whole[i], 1);
    }
    *next = ct_state_from_tensors(states, whole);
    return *next != NULL;
}

static ct_tensor *recurrent_forward(recurrent_call *c, ct_state **next)
{
    const ct_recurrent *r = c->r;
    ct_tensor *y;

    if (next)
        *next = NULL;
    if (!cti_given(c->me, "r", r) || !cti_usable(c->me, c->x) ||
        (c->state && !cti_state_usable(c->me, "state", c->state)) ||
        !cti_optional_as(c->me, "lengths", c->options.lengths) ||
        !cti_optional_as(c->me, "reset", c->options.reset) || !recurrent_check_x(c) ||
        !recurrent_settle(c) || !recurrent_time_major(c) || !recurrent_check_states(c) ||
        !recurrent_read_lengths(c) || !recurrent_add_step(c) || !recurrent_first_states(c))
        return NULL;
    c->last = cti_tensor_array((int64_t)recurrent_cells(r) * r->cell->states);
    y = c->last ? recurrent_run_layers(c) : NULL;
    if (!y || (next && !recurrent_gather_state(c, next)))
        return NULL;
    if (c->has_no_steps)
        y = ct_narrow(y, 0, 0, 0);
    return recurrent_as_given(c, y);
}

ct_tensor *ct_recurrent_forward(ct_recurrent *r, ct_tensor *x, const ct_state *state,
                                ct_state **next)
{
    recurrent_call c = {
        .me = "ct_recurrent_forward", .r = r, .x = x, .x_given = x, .state = state
    };

    return recurrent_forward(&c, next);
}

ct_tensor *ct_recurrent_forward_with(ct_recurrent *r, ct_tensor *x, const ct_state *state,
                                     ct_state **next, ct_recurrent_call call)
{
    recurrent_call c = { .me = "ct_recurrent_forward_with",
                         .r = r,
                         .x = x,
                         .x_given = x,
                         .state = state,
                         .options = call };

    return recurrent_forward(&c, next);
}

static bool recurrent_check_step(const char *me, const ct_recurrent *r, const ct_tensor *x)
{
    if (r->directions != 1)
        ct_raise(CT_ERR_ARGUMENT, me,
                 "the module is bidirectional; a step needs a single direction");
    else if (r->options.reverse)
        ct_raise(CT_ERR_ARGUMENT, me, "the module runs in reverse; a step runs forward");
    else if (ct_rank(x) != 2)
        ct_raise(CT_ERR_SHAPE, me, "x %s has rank %d; it must be (B, size)", cti_describe(x).s,
                 ct_rank(x));
    return ct_ok();
}

ct_tensor *ct_recurrent_step(ct_recurrent *r, ct_tensor *x, const ct_state *state, ct_state **next)
{
    recurrent_call c = { .me = "ct_recurrent_step", .r = r, .x_given = x, .state = state };
    ct_tensor *y;
    int axis;

    if (next)
        *next = NULL;
    if (!cti_given(c.me, "r", r) || !cti_usable(c.me, x) || !recurrent_check_step(c.me, r, x))
        return NULL;
    axis = r->options.batch_first ? 1 : 0;
    c.x = ct_unsqueeze(x, axis);
    y = c.x ? recurrent_forward(&c, next) : NULL;
    return y ? ct_squeeze(y, axis) : NULL;
}
