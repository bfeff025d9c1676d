/* recurrent.c - the driver: any cell over time, layers and directions. */
#include "nn/cell.h"

#include "tensor/hooks.h"
#include "tensor/internal.h"

#include <cotangent/autograd/autograd.h>
#include <cotangent/autograd/ops/elementwise.h>
#include <cotangent/autograd/ops/shape.h>
#include <cotangent/nn/init.h>

#include <stdio.h>

#define MOST_OPEN 16 /* parameters whose shape has the input size in it */

struct ct_recurrent {
    const ct_cell *cell;
    ct_params *params; /* the module's part */
    ct_nn_recurrent_options options;
    int layers, directions;
    bool alone;                            /* a cell: names without a suffix */
    ct_param *initial[CT_MAX_CELL_STATES]; /* learn_state: (layers * directions, 1, size) */
    ct_param *open[MOST_OPEN];
    int open_axis[MOST_OPEN], open_count;
    void *self[]; /* layer * directions + direction */
};

/* ---- making one ---- */

static int64_t state_size(const ct_recurrent *r, int i)
{
    return r->cell->state_size ? r->cell->state_size(r->self[0], i) : r->options.hidden_size;
}

static int64_t output_size(const ct_recurrent *r)
{
    return r->cell->output_size ? r->cell->output_size(r->self[0]) : state_size(r, 0);
}

ct_param *ct_cell_param(const ct_cell_place *at, const char *what, ct_shape shape, ct_init init)
{
    ct_recurrent *r = at->module;
    char name[96];
    ct_param *p;
    int i, axis = -1;

    if (r->alone)
        snprintf(name, sizeof name, "%s", what);
    else
        snprintf(name, sizeof name, "%s_l%d%s", what, at->layer, at->direction ? "_reverse" : "");
    p = ct_params_add(r->params, name, shape, init);
    for (i = 0; i < shape.rank && i < CT_MAX_RANK; i++)
        axis = shape.dim[i] == -1 ? i : axis;
    if (!p || axis == -1)
        return p;
    if (r->open_count == MOST_OPEN) {
        ct_raise(CT_ERR_ARGUMENT, "ct_cell_param", "more than %d parameters have the input size",
                 MOST_OPEN);
        return NULL;
    }
    r->open_axis[r->open_count] = axis;
    r->open[r->open_count++] = p;
    return p;
}

ct_tensor *ct_cell_drop(const ct_cell_step *at, ct_tensor *h)
{
    if (!cti_usable("ct_cell_drop", h))
        return NULL;
    return at && at->drop ? ct_mul(h, at->drop) : h;
}

static bool is_probability(double p)
{
    return p >= 0 && p < 1;
}

static bool check_options(const char *me, const ct_cell *cell, const ct_nn_recurrent_options *o)
{
    if (!cell || !cell->step || cell->states < 1 || cell->states > CT_MAX_CELL_STATES) {
        ct_raise(CT_ERR_ARGUMENT, me, "the cell has no step or %d states", cell ? cell->states : 0);
    } else if (o->hidden_size < 1 || o->input_size < 0 || o->num_layers < 0 ||
               o->num_layers > CTI_MOST_LAYERS) {
        ct_raise(CT_ERR_ARGUMENT, me,
                 "hidden_size %lld (1 or more), input_size %lld (0 or more) or num_layers %d "
                 "(0 to %d) does not do",
                 (long long)o->hidden_size, (long long)o->input_size, o->num_layers,
                 CTI_MOST_LAYERS);
    } else if (!is_probability(o->dropout) || !is_probability(o->recurrent_dropout)) {
        ct_raise(CT_ERR_ARGUMENT, me, "dropout %g, recurrent_dropout %g: not in [0, 1)", o->dropout,
                 o->recurrent_dropout);
    } else if (o->reverse && o->bidirectional) {
        ct_raise(CT_ERR_ARGUMENT, me, "reverse does not go with bidirectional");
    } else if ((unsigned)o->dialect > CT_DIALECT_FLAX) {
        ct_raise(CT_ERR_ARGUMENT, me, "there is no dialect %d", (int)o->dialect);
    }
    return ct_ok();
}

/* A cell's own data, and its parameters. */
static ct_status add_cell(ct_recurrent *r, int layer, int direction)
{
    int64_t known = r->options.input_size ? r->options.input_size : -1;
    ct_cell_place at = {
        .module = r, .options = &r->options, .layer = layer, .direction = direction
    };
    void *self = cti_module_data(r->params, r->cell->size);

    if (!self)
        return ct_error();
    r->self[layer * r->directions + direction] = self;
    at.input_size = layer ? output_size(r) * r->directions : known;
    return r->cell->init ? r->cell->init(self, &at) : CT_OK;
}

static ct_status add_initial(ct_recurrent *r)
{
    static const char *const names[CT_MAX_CELL_STATES] = { "h_0",  "c_0",  "s2_0", "s3_0",
                                                           "s4_0", "s5_0", "s6_0", "s7_0" };
    int i;

    for (i = 0; r->options.learn_state && i < r->cell->states && ct_ok(); i++)
        r->initial[i] = ct_params_add(
            r->params, names[i], CT_SHAPE((int64_t)r->layers * r->directions, 1, state_size(r, i)),
            ct_init_constant(0));
    return ct_error();
}

static ct_recurrent *make(const char *me, ct_params *params, const char *name, const ct_cell *cell,
                          ct_nn_recurrent_options o, bool alone)
{
    int layers = o.num_layers ? o.num_layers : 1, directions = o.bidirectional ? 2 : 1, k;
    size_t n = (size_t)layers * (size_t)directions;
    ct_params *mine;
    ct_recurrent *r;

    if (!params || !check_options(me, cell, &o))
        return NULL;
    mine = ct_params_sub(params, name);
    r = mine ? cti_module_data(params, sizeof *r + n * sizeof *r->self) : NULL;
    if (!r)
        return NULL;
    r->cell = cell;
    r->params = mine;
    r->options = o;
    r->layers = layers;
    r->directions = directions;
    r->alone = alone;
    for (k = 0; k < (int)n && ct_ok(); k++)
        if (add_cell(r, k / directions, k % directions) != CT_OK)
            return NULL;
    return add_initial(r) == CT_OK ? r : NULL;
}

ct_recurrent *ct_nn_recurrent(ct_params *params, const char *name, const ct_cell *cell,
                              ct_nn_recurrent_options options)
{
    return make("ct_nn_recurrent", params, name, cell, options, false);
}

ct_recurrent *ct_nn_recurrent_cell(ct_params *params, const char *name, const ct_cell *cell,
                                   ct_nn_recurrent_options options)
{
    static const char *const me = "ct_nn_recurrent_cell";

    if (options.num_layers > 1 || options.bidirectional || options.reverse || options.batch_first ||
        options.dropout != 0) {
        ct_raise(CT_ERR_ARGUMENT, me, "a cell alone has one layer, one direction and no dropout");
        return NULL;
    }
    return make(me, params, name, cell, options, true);
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
    return r ? output_size(r) : 0;
}

/* ---- initial states ---- */

static ct_shape state_shape(const ct_recurrent *r, int i, int64_t batch)
{
    return CT_SHAPE((int64_t)r->layers * r->directions, batch, state_size(r, i));
}

/* State i of all cells, (layers * directions, B, size), before anything was seen. */
static ct_tensor *initial_state(const ct_recurrent *r, int i, int64_t batch, ct_dtype dtype,
                                ct_device device)
{
    ct_shape shape = state_shape(r, i, batch);

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
    if (batch < 0) {
        ct_raise(CT_ERR_ARGUMENT, "ct_recurrent_begin_state", "batch %lld is below 0",
                 (long long)batch);
        return NULL;
    }
    s = cti_scope_push();
    for (i = 0; i < r->cell->states; i++)
        first[i] =
            initial_state(r, i, batch, ct_params_dtype(r->params), ct_params_device(r->params));
    state = ct_ok() ? ct_state_new(r->cell->states, first) : NULL;
    cti_scope_pop(s);
    return state;
}

/* ---- one cell over time ---- */

/* Which steps of which rows count. */
typedef struct extent {
    int64_t shortest, longest; /* of all rows; T and T without lengths */
    ct_tensor *active;         /* (T, B, 1) bool; NULL if all do */
    ct_tensor *lengths;        /* (B) i64; NULL likewise */
} extent;

typedef struct run {
    const ct_recurrent *r;
    void *self;
    ct_cell_step at;
    const extent *extent;
    bool reverse;
    int64_t batch, output;
    ct_tensor *state[CT_MAX_CELL_STATES]; /* in: before the first step; out: after the last */
} run;

/* y (B, output) and the states after step t, of which nothing is NULL or of a wrong shape */
static bool check_step(const run *c, const ct_tensor *y, ct_tensor *const *next)
{
    const char *what = "y";
    const ct_tensor *t = y;
    ct_shape want = CT_SHAPE(c->batch, c->output);
    int i;

    for (i = -1; i < c->r->cell->states; i++) {
        if (i >= 0) {
            what = "a next state";
            t = next[i];
            want = CT_SHAPE(c->batch, state_size(c->r, i));
        }
        if (t && cti_same_shape(&t->shape, &want))
            continue;
        ct_raise(CT_ERR_SHAPE, "ct_recurrent_forward",
                 "a step of the cell %s gave as %s %s, where it has the shape %s", c->r->cell->name,
                 what, t ? cti_describe(t).s : "nothing", cti_shape_text(&want).s);
        return false;
    }
    return true;
}

/* Step t of x, where rows that have ended stay as they are and give 0. */
static ct_tensor *step(run *c, ct_tensor *x, int64_t t, ct_tensor **next)
{
    const extent *e = c->extent;
    ct_tensor *y = c->r->cell->step(c->self, ct_select(x, 0, t), c->state, next, &c->at), *active;
    int i;

    if (!check_step(c, y, next))
        return NULL;
    if (t < e->shortest)
        return y;
    active = ct_select(e->active, 0, t); /* (B, 1) */
    for (i = 0; i < c->r->cell->states; i++)
        next[i] = ct_where(active, next[i], c->state[i]);
    return ct_where(active, y, ct_full(CT_SCALAR, 0, y->dtype, y->device));
}

static int64_t time_of(const run *c, int64_t k, int64_t steps)
{
    return c->reverse ? steps - 1 - k : k;
}

/* With history: everything stays until the scope ends. Steps that no row has are left out. */
static ct_tensor *run_recorded(run *c, ct_tensor *x, ct_tensor **out)
{
    int64_t steps = ct_size(x, 0), k;
    int i;

    for (k = 0; k < steps && ct_ok(); k++) {
        ct_tensor *next[CT_MAX_CELL_STATES] = { NULL };
        int64_t t = time_of(c, k, steps);

        if (t >= c->extent->longest) {
            out[t] = ct_zeros(CT_SHAPE(c->batch, c->output), x->dtype, x->device);
            continue;
        }
        out[t] = step(c, x, t, next);
        for (i = 0; i < c->r->cell->states; i++)
            c->state[i] = next[i];
    }
    return ct_ok() ? ct_stack((int)steps, out, 0) : NULL;
}

/* Without: a step's temporaries die with it, so that memory stays constant. States alternate
 * between two sets of buffers, as a cell may hand one state on as another. */
static ct_tensor *run_plain(run *c, ct_tensor *x)
{
    int64_t steps = ct_size(x, 0), k;
    ct_tensor *all = ct_zeros(CT_SHAPE(steps, c->batch, c->output), x->dtype, x->device);
    ct_tensor *other[CT_MAX_CELL_STATES];
    int i;

    for (i = 0; i < c->r->cell->states; i++) {
        c->state[i] = ct_clone(c->state[i]);
        other[i] = ct_clone(c->state[i]);
    }
    for (k = 0; k < steps && ct_ok(); k++) {
        ct_tensor *next[CT_MAX_CELL_STATES] = { NULL }, *y;
        int64_t t = time_of(c, k, steps);
        ct_scope s;

        if (t >= c->extent->longest)
            continue;
        s = cti_scope_push();
        y = step(c, x, t, next);
        ct_copy_into(ct_select(all, 0, t), y);
        for (i = 0; y && i < c->r->cell->states; i++) {
            ct_tensor *old = c->state[i];

            ct_copy_into(other[i], next[i]);
            c->state[i] = other[i];
            other[i] = old;
        }
        cti_scope_pop(s);
    }
    return ct_ok() ? all : NULL;
}

/* Memory of the innermost scope for count tensors. */
static ct_tensor **room_for(int64_t count)
{
    return cti_scope_alloc("ct_recurrent_forward", (size_t)count * sizeof(ct_tensor *));
}

static atomic_bool stepwise;

void ct_set_fused_rnn(bool on)
{
    atomic_store(&stepwise, !on);
}

/* All steps by the cell's sequence; NULL, without an error, where it does not serve. */
static ct_tensor *run_sequence(run *c, ct_tensor *x)
{
    ct_tensor *active = c->extent->active, *y;

    if (!c->r->cell->sequence || (active && !c->r->cell->lengths) || atomic_load(&stepwise))
        return NULL;
    c->at.lengths = c->extent->lengths;
    y = c->r->cell->sequence(c->self, x, c->state, c->reverse, &c->at);
    c->at.lengths = NULL;
    return y && active ? ct_where(active, y, ct_full(CT_SCALAR, 0, y->dtype, y->device)) : y;
}

static ct_tensor *run_cell(run *c, ct_tensor *x)
{
    ct_tensor **out, *y;

    if (c->r->cell->project)
        x = c->r->cell->project(c->self, x, &c->at);
    if (!x)
        return NULL;
    y = run_sequence(c, x);
    if (y || !ct_ok())
        return y;
    if (!ct_grad_enabled())
        return run_plain(c, x);
    out = room_for(ct_size(x, 0));
    return out ? run_recorded(c, x, out) : NULL;
}

/* ---- what a call is given ---- */

static ct_status check_input(const char *me, const ct_recurrent *r, const ct_tensor *x)
{
    int time = r->options.batch_first && ct_rank(x) == 3 ? 1 : 0, i;

    if ((ct_rank(x) != 3 && ct_rank(x) != 2) || ct_size(x, time) < 1)
        return ct_raise(CT_ERR_SHAPE, me, "x %s is neither %s nor (T, size), with T of 1 or more",
                        cti_describe(x).s,
                        r->options.batch_first ? "(B, T, size)" : "(T, B, size)");
    if (r->options.input_size && ct_size(x, -1) != r->options.input_size)
        return ct_raise(CT_ERR_SHAPE, me, "x %s has %lld features; the module takes %lld",
                        cti_describe(x).s, (long long)ct_size(x, -1),
                        (long long)r->options.input_size);
    for (i = 0; i < r->open_count; i++) {
        ct_shape shape = ct_param_shape(r->open[i]);

        shape.dim[r->open_axis[i]] = ct_size(x, -1);
        ct_param_materialize(r->open[i], shape);
    }
    return ct_error();
}

/* batched: x (T, B, in) now; the caller's state may lack the batch if single */
static ct_status check_state(const char *me, const ct_recurrent *r, const ct_tensor *x, bool single,
                             const ct_state *state)
{
    int i;

    if (state && ct_state_count(state) != r->cell->states)
        return ct_raise(CT_ERR_SHAPE, me, "a state of %d tensors for a %s, whose state has %d",
                        ct_state_count(state), r->cell->name, r->cell->states);
    for (i = 0; state && i < r->cell->states; i++) {
        const ct_tensor *t = ct_state_get(state, i);
        ct_shape want = state_shape(r, i, ct_size(x, 1));
        ct_shape flat = CT_SHAPE(want.dim[0], want.dim[2]);

        if (!cti_same_shape(&t->shape, &want) && !(single && cti_same_shape(&t->shape, &flat)))
            return ct_raise(CT_ERR_SHAPE, me, "state %d %s should have the shape %s for x %s", i,
                            cti_describe(t).s, cti_shape_text(&want).s, cti_describe(x).s);
        if (cti_same_dtype(me, "x", x, "state", t))
            cti_same_device(me, "x", x, "state", t);
    }
    return ct_error();
}

/* first[i]: state i of all cells before the first step, (layers * directions, B, size) */
static ct_status start(const char *me, const ct_recurrent *r, const ct_tensor *x,
                       const ct_state *state, ct_tensor *reset, ct_tensor **first)
{
    ct_shape rows = CT_SHAPE(ct_size(x, 1));
    int i;

    if (reset && (ct_tensor_dtype(reset) != CT_BOOL || !cti_same_shape(&reset->shape, &rows)))
        return ct_raise(CT_ERR_SHAPE, me, "reset %s should be bool%s", cti_describe(reset).s,
                        cti_shape_text(&rows).s);
    for (i = 0; i < r->cell->states; i++) {
        ct_tensor *given = state ? ct_state_get(state, i) : NULL, *begun = NULL;

        if (given && ct_rank(given) == 2)
            given = ct_unsqueeze(given, 1);
        if (!given || reset)
            begun = initial_state(r, i, ct_size(x, 1), x->dtype, x->device);
        first[i] = !given ? begun : !reset ? given : ct_where(ct_unsqueeze(reset, 1), begun, given);
    }
    return ct_error();
}

/* Reads lengths (B); x is (T, B, in). */
static ct_status measure(const char *me, const ct_tensor *x, ct_tensor *lengths, extent *e)
{
    int64_t steps = ct_size(x, 0), batch = ct_size(x, 1), b, t;
    ct_shape rows = CT_SHAPE(batch);
    ct_tensor *host, *table;
    const int64_t *length;
    uint8_t *on;

    *e = (extent){ steps, steps, NULL, NULL };
    if (!lengths)
        return CT_OK;
    if (!cti_want_index(me, "lengths", lengths))
        return ct_error();
    if (!cti_same_shape(&lengths->shape, &rows))
        return ct_raise(CT_ERR_SHAPE, me, "lengths %s should have the shape %s for x %s",
                        cti_describe(lengths).s, cti_shape_text(&rows).s, cti_describe(x).s);
    host = ct_empty(rows, CT_I64, CT_CPU);
    table = ct_empty(CT_SHAPE(steps, batch, 1), CT_BOOL, CT_CPU);
    lengths = ct_cast(lengths, CT_I64);
    if (!host || !table ||
        ct_to_host(lengths, cti_ptr(host), (size_t)batch * sizeof *length) != CT_OK)
        return ct_error();
    length = (const int64_t *)(const void *)cti_ptr(host);
    on = (uint8_t *)cti_ptr(table);
    e->longest = 1; /* of the first step y has its history, if no row has any */
    for (b = 0; b < batch; b++) {
        if (length[b] < 0 || length[b] > steps)
            return ct_raise(CT_ERR_INDEX, me, "lengths[%lld] is %lld, not in 0..%lld", (long long)b,
                            (long long)length[b], (long long)steps);
        e->shortest = length[b] < e->shortest ? length[b] : e->shortest;
        e->longest = length[b] > e->longest ? length[b] : e->longest;
        for (t = 0; t < steps; t++)
            on[t * batch + b] = t < length[b];
    }
    if (e->shortest == steps)
        return CT_OK;
    e->active = ct_from_data(on, CT_SHAPE(steps, batch, 1), CT_BOOL, x->device);
    e->lengths = ct_from_data(length, rows, CT_I64, x->device);
    return ct_error();
}

/* ---- forward ---- */

/* What a call comes down to. */
typedef struct job {
    ct_recurrent *r;
    extent extent;
    void *data;
    ct_tensor *first[CT_MAX_CELL_STATES];
    ct_tensor **finals; /* finals[i * layers * directions + k]: state i of cell k */
} job;

/* Cell k over x (T, B, in) -> (T, B, output) */
static ct_tensor *run_one(job *j, ct_tensor *x, int k)
{
    ct_recurrent *r = j->r;
    int n = r->layers * r->directions, i;
    run c = { .r = r,
              .self = r->self[k],
              .at = { .data = j->data },
              .extent = &j->extent,
              .reverse = r->options.reverse || k % r->directions == 1,
              .batch = ct_size(x, 1),
              .output = output_size(r) };
    ct_tensor *y;

    for (i = 0; i < r->cell->states; i++)
        c.state[i] = ct_select(j->first[i], 0, k);
    if (r->options.recurrent_dropout > 0 && ct_params_is_training(r->params))
        c.at.drop = cti_dropout_mask(CT_SHAPE(c.batch, state_size(r, 0)), x->dtype, x->device,
                                     r->options.recurrent_dropout, ct_params_generator(r->params));
    y = ct_ok() ? run_cell(&c, x) : NULL;
    for (i = 0; y && i < r->cell->states; i++)
        j->finals[i * n + k] = c.state[i];
    return y;
}

/* x (T, B, in) -> (T, B, directions * output) */
static ct_tensor *run_layers(job *j, ct_tensor *x)
{
    ct_recurrent *r = j->r;
    const double p = r->options.dropout;
    int layer, d;

    for (layer = 0; x && layer < r->layers; layer++) {
        ct_tensor *half[2] = { NULL };

        if (layer && p > 0 && ct_params_is_training(r->params))
            x = ct_mul(x, cti_dropout_mask(ct_tensor_shape(x), x->dtype, x->device, p,
                                           ct_params_generator(r->params)));
        for (d = 0; x && d < r->directions; d++)
            half[d] = run_one(j, x, layer * r->directions + d);
        x = r->directions == 2 ? ct_cat(2, half, 2) : half[0];
    }
    return x;
}

/* *next from the final states; flat: without their axis 1 */
static bool gather_state(const job *j, bool flat, ct_state **next)
{
    ct_tensor *whole[CT_MAX_CELL_STATES];
    int n = j->r->layers * j->r->directions, i;

    for (i = 0; i < j->r->cell->states; i++) {
        whole[i] = ct_stack(n, j->finals + i * n, 0);
        if (flat)
            whole[i] = ct_squeeze(whole[i], 1);
    }
    *next = ct_state_from_tensors(j->r->cell->states, whole);
    return *next != NULL;
}

static ct_tensor *forward(const char *me, ct_recurrent *r, ct_tensor *x, const ct_state *state,
                          ct_state **next, const ct_recurrent_call *call)
{
    job j = { .r = r, .data = call ? call->data : NULL };
    bool single, flat;

    if (next)
        *next = NULL;
    if (!cti_given(me, "r", r) || !cti_usable(me, x) ||
        (state && !cti_state_usable(me, "state", state)) ||
        (call && (!cti_optional_as(me, "lengths", call->lengths) ||
                  !cti_optional_as(me, "reset", call->reset))) ||
        check_input(me, r, x) != CT_OK)
        return NULL;
    single = ct_rank(x) == 2;
    flat = single && !(state && ct_rank(ct_state_get(state, 0)) == 3);
    x = single ? ct_unsqueeze(x, 1) : r->options.batch_first ? ct_transpose(x, 0, 1) : x;
    if (!x || check_state(me, r, x, single, state) != CT_OK ||
        measure(me, x, call ? call->lengths : NULL, &j.extent) != CT_OK ||
        start(me, r, x, state, call ? call->reset : NULL, j.first) != CT_OK)
        return NULL;
    if (j.extent.active) /* so that nothing comes from what stands there, nor goes to it */
        x = ct_where(j.extent.active, x, ct_full(CT_SCALAR, 0, x->dtype, x->device));
    j.finals = room_for((int64_t)r->layers * r->directions * r->cell->states);
    x = j.finals ? run_layers(&j, x) : NULL;
    if (!x || (next && !gather_state(&j, flat, next)))
        return NULL;
    return single ? ct_squeeze(x, 1) : r->options.batch_first ? ct_transpose(x, 0, 1) : x;
}

ct_tensor *ct_recurrent_forward(ct_recurrent *r, ct_tensor *x, const ct_state *state,
                                ct_state **next)
{
    return forward("ct_recurrent_forward", r, x, state, next, NULL);
}

ct_tensor *ct_recurrent_forward_with(ct_recurrent *r, ct_tensor *x, const ct_state *state,
                                     ct_state **next, ct_recurrent_call call)
{
    return forward("ct_recurrent_forward_with", r, x, state, next, &call);
}

ct_tensor *ct_recurrent_step(ct_recurrent *r, ct_tensor *x, const ct_state *state, ct_state **next)
{
    static const char *const me = "ct_recurrent_step";
    ct_tensor *y;
    int axis;

    if (next)
        *next = NULL;
    if (!cti_given(me, "r", r) || !cti_usable(me, x))
        return NULL;
    if (ct_rank(x) != 2 || r->directions != 1 || r->options.reverse) {
        ct_raise(CT_ERR_SHAPE, me, "x %s should be (B, size), the module of one direction, forward",
                 cti_describe(x).s);
        return NULL;
    }
    axis = r->options.batch_first ? 1 : 0;
    x = ct_unsqueeze(x, axis);
    y = x ? forward(me, r, x, state, next, NULL) : NULL;
    return y ? ct_squeeze(y, axis) : NULL;
}
