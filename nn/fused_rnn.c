/* SPDX-License-Identifier: MIT */
/* fused_rnn.c - RNN, LSTM and GRU over a whole sequence in one op: one kernel forward, one
 * backward, and one product over all T B rows for the weight gradient.
 *
 *     dW = sum over t of dgates_t^T h_(t-1)      db = sum over t, rows of dgates_t */
#include "nn/fused_rnn.h"

#include "autograd/internal.h"
#include "nn/cell.h"
#include "nn/steps.h"

#include <cotangent/autograd/ops/matmul.h>
#include <cotangent/autograd/ops/reduce.h>
#include <cotangent/autograd/ops/views.h>
#include <cotangent/tensor/config.h>

/* The inputs of the op. IN_C is NULL except for an LSTM. IN_BIAS and IN_LENGTHS may be NULL. */
enum { IN_X, IN_W, IN_BIAS, IN_H, IN_C, IN_LENGTHS, IN_COUNT };

/* The outputs of the op. The first are y and the states after the last step. Backward reads the
 * others: the states after each step with the initial ones (T + 1, B, H), the gates (T, B, G H),
 * and a GRU's h W_n^T + b_n (T, B, H). An output that a kind does not have, or that backward will
 * not read, is an empty tensor. */
enum { OUT_Y, OUT_LAST_H, OUT_LAST_C, OUT_H, OUT_C, OUT_GATES, OUT_HN, OUT_COUNT };

/* The outputs that a kind of cell has, besides those that all kinds have. */
typedef struct fused_kind {
    int states;
    bool gates, hn;
} fused_kind;

static const fused_kind fused_kinds[] = {
    [CTI_CELL_TANH] = { .states = 1 },
    [CTI_CELL_RELU] = { .states = 1 },
    [CTI_CELL_LSTM] = { .states = 2, .gates = true },
    [CTI_CELL_GRU] = { .states = 1, .gates = true, .hn = true },
};

/* ---- the kernels' arguments ---- */

/* The tensors of one call of a kernel. All but x are contiguous. A tensor that the call does not
 * use is NULL. */
typedef struct fused_tensors {
    const ct_tensor *x; /* (T, B, G H); the call has its dtype and device */
    /* forward: the values of x; or a table, and for each (t, b) the number of its row */
    const ct_tensor *values, *index;
    const ct_tensor *w, *bias, *lengths;
    const ct_tensor *h, *c, *gates, *hn; /* outputs */
    ct_tensor *dy, *dh_last, *dc_last;   /* backward: the gradients of the outputs */
    ct_tensor *dx, *dhx, *dh0, *dc0; /* the gradients of the inputs; dhx is dx except for a GRU */
} fused_tensors;

static void *fused_data(const ct_tensor *t)
{
    return t ? cti_data(t) : NULL;
}

static cti_sequence fused_sequence(const cti_fused_attributes *a, const fused_tensors *t)
{
    return (cti_sequence){
        .kind = a->cell->kind,
        .dtype = t->x->dtype,
        .reverse = a->reverse,
        .steps = t->x->shape.dim[0],
        .batch = t->x->shape.dim[1],
        .hidden = t->w->shape.dim[1],
        .x = fused_data(t->values),
        .index = fused_data(t->index),
        .index_dtype = t->index ? t->index->dtype : CT_F32,
        .w = fused_data(t->w),
        .bias = fused_data(t->bias),
        .length = fused_data(t->lengths),
        .h = fused_data(t->h),
        .c = fused_data(t->c),
        .gates = fused_data(t->gates),
        .hn = fused_data(t->hn),
        .dy = fused_data(t->dy),
        .dh_last = fused_data(t->dh_last),
        .dc_last = fused_data(t->dc_last),
        .dx = fused_data(t->dx),
        .dhx = fused_data(t->dhx),
        .dh0 = fused_data(t->dh0),
        .dc0 = fused_data(t->dc0),
        .bf16 = ct_get_matmul_precision() == CT_MATMUL_PRECISION_BF16,
    };
}

static ct_tensor *fused_new(const ct_tensor *like, ct_shape shape)
{
    return cti_new("ct_recurrent_forward", shape, like->dtype, like->device);
}

/* ---- second derivatives ---- */

/* A second run of the steps, in which the cell reads the values of swap as its weight and bias. */
typedef struct fused_repeat {
    cti_steps steps;
    ct_tensor *x;
    bool projects; /* x is the input of the layer, not its contribution to the gates */
} fused_repeat;

/* What the steps read and may need gradients of. */
enum { READ_X, READ_W_IH, READ_B_IH, READ_W_HH, READ_B_HH, READ_H, READ_C, READ_COUNT };

static void *fused_run_steps(void *context)
{
    fused_repeat *r = context;
    ct_tensor *x = r->projects ? cti_cell_project(r->steps.self, r->x, &r->steps.at) : r->x;

    r->steps.batch = ct_size(r->x, 1);
    return x ? cti_run_steps(&r->steps, x) : NULL;
}

/* Returns the parameters that the cell of an op reads, and the values that they had in the forward
 * pass. These may be bound values that are no longer bound now. */
static cti_param_swap fused_values(ct_node *n, const cti_fused_op *op, const cti_cell *cell)
{
    cti_param_swap s = { .param = { cell->w_hh, cell->b_hh } };

    s.value[0] = ct_node_input(n, op->w_hh);
    s.value[1] = cell->b_hh ? ct_node_input(n, op->b_hh) : NULL;
    if (op->w_ih >= 0) {
        s.param[2] = cell->w_ih;
        s.param[3] = cell->b_ih;
        s.value[2] = ct_node_input(n, op->w_ih);
        s.value[3] = cell->b_ih ? ct_node_input(n, op->b_ih) : NULL;
    }
    return s;
}

/* Runs the steps of the forward pass again. Stores y and the states after the last step in made. */
static bool fused_repeat_steps(ct_node *n, const cti_fused_op *op, const cti_fused_attributes *a,
                               ct_tensor *const *in, ct_tensor **made)
{
    cti_extent extent = { .shortest = 0 };
    const cti_param_swap swap = fused_values(n, op, a->cell);
    fused_repeat r = { .steps = { .cell = a->cell->table,
                                  .self = a->cell,
                                  .extent = &extent,
                                  .reverse = a->reverse,
                                  .y_is_state = true },
                       .projects = op->w_ih >= 0 };

    extent.lengths = a->has_lengths ? ct_node_input(n, op->lengths) : NULL;
    if (!ct_ok())
        return false;
    extent.longest = ct_size(in[READ_X], 0);
    if (extent.lengths)
        extent.active = cti_active_steps(extent.lengths, extent.longest);
    else
        extent.shortest = extent.longest;
    r.steps.output = a->cell->hidden;
    r.steps.state[0] = in[READ_H];
    r.steps.state[1] = in[READ_C];
    r.x = in[READ_X];
    made[0] = cti_params_with(&swap, fused_run_steps, &r);
    made[1] = r.steps.state[0];
    made[2] = r.steps.state[1];
    return made[0] != NULL;
}

/* Takes what the steps read from the node, and its numbers in *input: -1 for what the op or the cell does
 * not have, and for a bias that needs no gradient. */
static void fused_take_read(ct_node *n, const cti_fused_op *op, bool lstm, ct_tensor **in,
                            int *input)
{
    const int all[READ_COUNT] = { op->x,    op->w_ih, op->b_ih,         op->w_hh,
                                  op->b_hh, op->h,    lstm ? op->c : -1 };
    int i;

    for (i = 0; i < READ_COUNT; i++) {
        const bool bias = i == READ_B_IH || i == READ_B_HH;

        input[i] = all[i] >= 0 && bias && !ct_node_needs_grad(n, all[i]) ? -1 : all[i];
        in[i] = input[i] >= 0 ? ct_node_input(n, input[i]) : NULL;
    }
}

/* What a second run of the steps differentiates, with which gradients, and by what. cti_grad finds the
 * gradient of a tensor that is several inputs, such as a bound weight, for one of them. */
typedef struct fused_ends {
    int outputs, wanted;
    ct_tensor *output[CTI_MOST_STACKED * CTI_FUSED_RESULTS];
    ct_tensor *gradient[CTI_MOST_STACKED * CTI_FUSED_RESULTS];
    ct_tensor *by[CTI_MOST_STACKED * READ_COUNT];
    int input[CTI_MOST_STACKED * READ_COUNT]; /* the number of the node's input */
} fused_ends;

/* Runs the steps of a layer again. x is its input, or NULL if it is an input of the node. Returns y. */
static ct_tensor *fused_repeat_layer(ct_node *n, ct_tensor *const *dout,
                                     const cti_fused_attributes *a, const cti_fused_op *op,
                                     ct_tensor *x, fused_ends *e)
{
    const bool lstm = a->cell->kind == CTI_CELL_LSTM;
    ct_tensor *in[READ_COUNT], *made[CTI_FUSED_RESULTS];
    int input[READ_COUNT], i;

    fused_take_read(n, op, lstm, in, input);
    if (x)
        in[READ_X] = x;
    if (!ct_ok() || !fused_repeat_steps(n, op, a, in, made))
        return NULL;
    for (i = 0; i < 2 + lstm; i++)
        if (dout[op->y + i]) {
            e->output[e->outputs] = made[i];
            e->gradient[e->outputs++] = dout[op->y + i];
        }
    for (i = 0; i < READ_COUNT; i++)
        if (input[i] >= 0 && ct_node_needs_grad(n, input[i])) {
            e->input[e->wanted] = input[i];
            e->by[e->wanted++] = in[i];
        }
    return made[0];
}

void cti_fused_stepwise_backward(ct_node *n, ct_tensor *const *dout, int count,
                                 const cti_fused_attributes *a, const cti_fused_op *op)
{
    const size_t bottom = cti_thread()->tape_count;
    ct_tensor *found[CTI_MOST_STACKED * READ_COUNT] = { NULL }, *x = NULL;
    fused_ends e = { .outputs = 0 };
    int i;

    for (i = 0; i < count; i++) {
        x = fused_repeat_layer(n, dout, &a[i], &op[i], x, &e);
        if (!x)
            return;
    }
    if (!CT_INFERENCE_ONLY && e.outputs)
        cti_grad(bottom, e.outputs, e.output, e.wanted, e.by, e.gradient, true, found);
    for (i = 0; i < e.wanted && ct_ok(); i++)
        ct_node_add_grad(n, e.input[i], found[i]);
}

static const cti_fused_op fused_indices = { .x = IN_X,
                                            .w_ih = -1,
                                            .b_ih = -1,
                                            .w_hh = IN_W,
                                            .b_hh = IN_BIAS,
                                            .h = IN_H,
                                            .c = IN_C,
                                            .lengths = IN_LENGTHS,
                                            .y = OUT_Y };

static void fused_stepwise_backward(ct_node *n, ct_tensor *const *dout)
{
    cti_fused_stepwise_backward(n, dout, 1, ct_node_attributes(n), &fused_indices);
}

/* ---- backward ---- */

static ct_tensor *fused_contiguous_or_null(ct_tensor *t)
{
    return t ? cti_contiguous(t) : NULL;
}

/* Fills t with the tensors that forward saved and the gradients of the outputs. */
static bool fused_take_saved(ct_node *n, ct_tensor *const *dout, fused_tensors *t)
{
    const cti_fused_attributes *a = ct_node_attributes(n);
    const fused_kind *kind = &fused_kinds[a->cell->kind];

    t->x = ct_node_input(n, IN_X);
    t->w = fused_contiguous_or_null(ct_node_input(n, IN_W));
    t->lengths = a->has_lengths ? ct_node_input(n, IN_LENGTHS) : NULL;
    t->h = ct_node_output(n, OUT_H);
    t->c = kind->states == 2 ? ct_node_output(n, OUT_C) : NULL;
    t->gates = kind->gates ? ct_node_output(n, OUT_GATES) : NULL;
    t->hn = kind->hn ? ct_node_output(n, OUT_HN) : NULL;
    t->dy = fused_contiguous_or_null(dout[OUT_Y]);
    t->dh_last = fused_contiguous_or_null(dout[OUT_LAST_H]);
    t->dc_last = fused_contiguous_or_null(dout[OUT_LAST_C]);
    return ct_ok();
}

/* Allocates the gradients of the inputs. */
static bool fused_new_gradients(cti_cell_kind kind, fused_tensors *t)
{
    const ct_shape state = CT_SHAPE(ct_size(t->x, 1), ct_size(t->w, 1));

    t->dx = fused_new(t->x, t->x->shape);
    t->dhx = kind == CTI_CELL_GRU ? fused_new(t->x, t->x->shape) : t->dx;
    t->dh0 = fused_new(t->x, state);
    t->dc0 = kind == CTI_CELL_LSTM ? fused_new(t->x, state) : NULL;
    return ct_ok();
}

static ct_tensor *fused_rows(ct_tensor *t)
{
    return ct_reshape(t, CT_SHAPE(-1, ct_size(t, -1)));
}

/* dW = dhx^T h over all T B rows, where h is the state before each step. */
static ct_tensor *fused_weight_gradient(const fused_tensors *t, bool reverse)
{
    ct_tensor *before = ct_narrow((ct_tensor *)t->h, 0, reverse ? 1 : 0, ct_size(t->x, 0));

    return ct_matmul(ct_transpose(fused_rows(t->dhx), 0, 1), fused_rows(before));
}

static void fused_backward(ct_node *n, ct_tensor *const *dout)
{
    const cti_fused_attributes *a = ct_node_attributes(n);
    fused_tensors t = { .x = NULL };
    cti_sequence s;

    if (!fused_take_saved(n, dout, &t) || !fused_new_gradients(a->cell->kind, &t))
        return;
    s = fused_sequence(a, &t);
    cti_backend_of(t.x->device)->sequence_backward(&s);
    ct_node_add_grad(n, IN_X, t.dx);
    if (ct_node_needs_grad(n, IN_W))
        ct_node_add_grad(n, IN_W, fused_weight_gradient(&t, a->reverse));
    if (ct_node_needs_grad(n, IN_BIAS))
        ct_node_add_grad(n, IN_BIAS,
                         ct_sum_to_shape(fused_rows(t.dhx), ct_node_input_shape(n, IN_BIAS)));
    ct_node_add_grad(n, IN_H, t.dh0);
    if (t.dc0)
        ct_node_add_grad(n, IN_C, t.dc0);
}

static const ct_op fused_op = { .name = "ct_recurrent_forward",
                                .inputs = IN_COUNT,
                                .outputs = OUT_COUNT,
                                .saves = CT_SAVE_INPUTS | CT_SAVE_OUTPUTS,
                                .backward = CTI_TRAINING(fused_stepwise_backward),
                                .fused_backward = CTI_TRAINING(fused_backward) };

/* ---- forward ---- */

bool cti_fused_can_run(const cti_cell *c, const ct_cell_step *at)
{
    return !at->drop && !c->ln_hh && !c->w_hr && !c->b_hn && !c->reset_before;
}

/* Returns the inputs as contiguous tensors. If x consists of lazy rows of a table, returns the
 * table and the indices instead. */
static bool fused_take_inputs(ct_tensor *const *in, fused_tensors *t)
{
    ct_tensor *table, *index;

    t->x = in[IN_X];
    t->w = cti_contiguous(in[IN_W]);
    t->bias = fused_contiguous_or_null(in[IN_BIAS]);
    t->lengths = in[IN_LENGTHS];
    if (ct_ok() && cti_lazy_rows_get(in[IN_X], &table, &index)) {
        t->values = table;
        t->index = index;
    } else if (ct_ok()) {
        t->values = cti_contiguous(in[IN_X]);
    }
    return ct_ok();
}

/* Makes a buffer (T + 1, B, H) with the initial state at the index that the first step reads. */
static ct_tensor *fused_new_states(const ct_tensor *x, const ct_tensor *initial, bool reverse)
{
    const int64_t steps = x->shape.dim[0];
    ct_tensor *all = fused_new(x, CT_SHAPE(steps + 1, ct_size(initial, 0), ct_size(initial, 1)));
    ct_tensor *first = ct_select(all, 0, reverse ? steps : 0);

    if (!first)
        return NULL;
    cti_copy(first, initial);
    return all;
}

/* If an output is wanted, makes it and stores it in *out and *t; otherwise stores an empty tensor
 * in *out. */
static void fused_add_output(const ct_tensor *x, bool wanted, ct_shape shape, ct_tensor **out,
                             const ct_tensor **t)
{
    *out = fused_new(x, wanted ? shape : CT_SHAPE(0));
    *t = wanted ? *out : NULL;
}

/* Makes the outputs. keep is true if backward will read them. */
static bool fused_new_outputs(const cti_fused_attributes *a, bool keep, ct_tensor *const *in,
                              ct_tensor **out, fused_tensors *t)
{
    const fused_kind *kind = &fused_kinds[a->cell->kind];
    ct_shape state = t->x->shape;

    state.dim[2] = ct_size(t->w, 1);
    t->h = out[OUT_H] = fused_new_states(t->x, in[IN_H], a->reverse);
    if (kind->states == 2)
        t->c = out[OUT_C] = fused_new_states(t->x, in[IN_C], a->reverse);
    else
        out[OUT_C] = fused_new(t->x, CT_SHAPE(0));
    fused_add_output(t->x, keep && kind->gates, t->x->shape, &out[OUT_GATES], &t->gates);
    fused_add_output(t->x, keep && kind->hn, state, &out[OUT_HN], &t->hn);
    return ct_ok();
}

/* Runs the kernel. Its scratch memory is freed at once. */
static bool fused_run(const cti_fused_attributes *a, const fused_tensors *t)
{
    cti_sequence s = fused_sequence(a, t);
    ct_scope inner = cti_scope_push();
    ct_tensor *scratch = inner.id ? fused_new(t->x, CT_SHAPE(cti_sequence_scratch(&s))) : NULL;

    s.scratch = fused_data(scratch);
    if (scratch)
        cti_backend_of(t->x->device)->sequence(&s);
    cti_scope_pop(inner);
    return scratch != NULL;
}

ct_tensor *cti_fused_rnn(void *self, ct_tensor *x, ct_tensor **state, bool reverse,
                         const ct_cell_step *at)
{
    cti_cell *cell = self;
    const cti_fused_attributes a = { .cell = cell,
                                     .reverse = reverse,
                                     .has_lengths = at->lengths != NULL };
    const int states = fused_kinds[cell->kind].states;
    const int64_t steps = ct_size(x, 0), last = reverse ? 0 : steps;
    ct_tensor *in[IN_COUNT] = { x, NULL }, *out[OUT_COUNT];
    fused_tensors t = { .x = NULL };

    if (!cti_fused_can_run(cell, at))
        return NULL;
    in[IN_W] = ct_param_value(cell->w_hh);
    in[IN_BIAS] = cti_value(cell->b_hh);
    in[IN_H] = state[0];
    in[IN_C] = states == 2 ? state[1] : NULL;
    in[IN_LENGTHS] = at->lengths;
    if (!fused_take_inputs(in, &t) ||
        !fused_new_outputs(&a, cti_will_record(IN_COUNT, in), in, out, &t) || !fused_run(&a, &t))
        return NULL;
    out[OUT_Y] = ct_narrow(out[OUT_H], 0, reverse ? 0 : 1, steps);
    out[OUT_LAST_H] = ct_select(out[OUT_H], 0, last);
    out[OUT_LAST_C] = states == 2 ? ct_select(out[OUT_C], 0, last) : fused_new(x, CT_SHAPE(0));
    if (!ct_record(&fused_op, IN_COUNT, in, OUT_COUNT, out, &a, sizeof a))
        return NULL;
    state[0] = out[OUT_LAST_H];
    if (states == 2)
        state[1] = out[OUT_LAST_C];
    return out[OUT_Y];
}
