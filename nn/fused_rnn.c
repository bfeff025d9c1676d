/* fused_rnn.c - recurrent layers over a whole sequence in one op: one kernel forward, one backward,
 * and one product over all T B rows for the weight gradient.
 *
 *     dW = sum over t of dgates_t^T h_(t-1)      db = sum over t, rows of dgates_t */
#include "nn/fused_rnn.h"

#include <cotangent/autograd/ops/elementwise.h>
#include <cotangent/autograd/ops/matmul.h>
#include <cotangent/autograd/ops/reduce.h>
#include <cotangent/autograd/ops/shape.h>
#include <cotangent/tensor/precision.h>

#include <string.h>

/* Outputs that a node saves beside y and the final states. */
enum { OUT_Y, OUT_LAST_H, OUT_LAST_C, OUT_H, OUT_C, OUT_GATES, OUT_EXTRA, OUT_COUNT };

typedef struct settings {
    cti_cell_kind kind;
    bool reverse, lengths; /* lengths: they are input 5 */
    cti_cell_step step;    /* of self, for second derivatives */
    void *self;
} settings;

static ct_tensor *fresh(const ct_tensor *like, ct_shape shape)
{
    return cti_new("ct_recurrent_forward", shape, like->dtype, like->device);
}

/* Stands for an output that is not wanted. */
static ct_tensor *nothing(const ct_tensor *like)
{
    return fresh(like, CT_SHAPE(0));
}

static void *data_of(const ct_tensor *t)
{
    return t ? cti_ptr(t) : NULL;
}

/* The layer's sizes and inputs; NULL tensors stay NULL. */
static cti_sequence describe(const settings *o, const ct_tensor *x, const ct_tensor *w,
                             const ct_tensor *bias, const ct_tensor *lengths)
{
    cti_sequence s;

    memset(&s, 0, sizeof s);
    s.kind = o->kind;
    s.dtype = x->dtype;
    s.reverse = o->reverse;
    s.steps = x->shape.dim[0];
    s.batch = x->shape.dim[1];
    s.hidden = w->shape.dim[1];
    s.w = data_of(w);
    s.bias = data_of(bias);
    s.length = data_of(lengths);
    s.bf16 = ct_matmul_precision() == CT_BF16;
    return s;
}

/* ---- backward ---- */

/* The states before each step, (T, B, H), of a buffer (T + 1, B, H). */
static ct_tensor *befores(ct_tensor *h, bool reverse)
{
    return ct_narrow(h, 0, reverse ? 1 : 0, h->shape.dim[0] - 1);
}

static ct_tensor *rows_of(ct_tensor *t)
{
    return ct_reshape(t, CT_SHAPE(-1, ct_size(t, -1)));
}

/* next is state where rows have ended at time t. */
static void hold_ended(const settings *o, ct_tensor *lengths, int64_t t, ct_tensor *const *state,
                       ct_tensor **next)
{
    ct_tensor *now = ct_full(CT_SCALAR, (double)t, CT_I64, lengths->device);
    ct_tensor *active = ct_unsqueeze(ct_gt(lengths, now), 1); /* (B, 1) */

    next[0] = ct_where(active, next[0], state[0]);
    if (o->kind == CTI_CELL_LSTM)
        next[1] = ct_where(active, next[1], state[1]);
}

/* The steps again by ordinary ops: outputs y, h and, for an LSTM, c after the last step. */
static bool steps_again(const settings *o, ct_tensor *x, ct_tensor *lengths, ct_tensor **state,
                        ct_tensor **outputs)
{
    const ct_cell_step at = { .lengths = NULL };
    int64_t steps = x->shape.dim[0], k;
    ct_tensor **y = cti_scope_alloc("ct_recurrent_forward", (size_t)steps * sizeof *y);

    for (k = 0; y && k < steps; k++) {
        int64_t t = o->reverse ? steps - 1 - k : k;
        ct_tensor *next[2] = { NULL, NULL };

        if (!o->step(o->self, ct_select(x, 0, t), state, next, &at))
            return false;
        if (lengths)
            hold_ended(o, lengths, t, state, next);
        y[t] = state[0] = next[0];
        state[1] = next[1];
    }
    outputs[OUT_Y] = y ? ct_stack((int)steps, y, 0) : NULL;
    outputs[OUT_LAST_H] = state[0];
    outputs[OUT_LAST_C] = state[1];
    return outputs[OUT_Y] != NULL;
}

/* Gradients with a history of their own: those of the steps made again. */
static void stepwise_backward(ct_node *n, ct_tensor *const *dout)
{
    const settings *o = ct_node_attributes(n);
    int states = o->kind == CTI_CELL_LSTM ? 2 : 1, count = 0, wanted = 0, i, which[5];
    ct_tensor *lengths = o->lengths ? ct_node_input(n, 5) : NULL;
    ct_tensor *in[5] = { NULL }, *out[3], *outputs[3], *douts[3], *state[2];
    ct_tensor *want[5], *found[5] = { NULL };
    size_t bottom = cti_thread()->tape_count;

    for (i = 0; i < 3 + states; i++)
        in[i] = i == 2 && !ct_node_needs_grad(n, 2) ? NULL : ct_node_input(n, i);
    state[0] = in[3];
    state[1] = in[4];
    if (!ct_ok() || !steps_again(o, in[0], lengths, state, out))
        return;
    for (i = OUT_Y; i <= OUT_LAST_H + states - 1; i++)
        if (dout[i]) {
            outputs[count] = out[i];
            douts[count++] = dout[i];
        }
    for (i = 0; i < 3 + states; i++)
        if (ct_node_needs_grad(n, i)) {
            which[wanted] = i;
            want[wanted++] = in[i];
        }
    cti_grad(bottom, count, outputs, wanted, want, douts, true, found);
    for (i = 0; i < wanted && ct_ok(); i++)
        ct_node_add_grad(n, which[i], found[i]);
}

static void sequence_backward(ct_node *n, ct_tensor *const *dout)
{
    const settings *o = ct_node_attributes(n);
    ct_tensor *x = ct_node_input(n, 0), *w = ct_node_input(n, 1), *dy = dout[OUT_Y], *rows;
    ct_tensor *dh_last = dout[OUT_LAST_H], *dc_last = dout[OUT_LAST_C];
    ct_tensor *h = ct_node_output(n, OUT_H), *c = ct_node_output(n, OUT_C);
    ct_tensor *gates = ct_node_output(n, OUT_GATES), *extra = ct_node_output(n, OUT_EXTRA);
    ct_tensor *lengths = o->lengths ? ct_node_input(n, 5) : NULL;
    ct_tensor *dx, *dhx, *dh0, *dc0;
    cti_sequence s;

    if (!x || !w || !h || !c || !gates || !extra || (o->lengths && !lengths))
        return;
    w = cti_contiguous(w);
    dy = dy ? cti_contiguous(dy) : NULL;
    dh_last = dh_last ? cti_contiguous(dh_last) : NULL;
    dc_last = dc_last ? cti_contiguous(dc_last) : NULL;
    s = describe(o, x, w, NULL, lengths);
    dx = fresh(x, x->shape);
    dhx = o->kind == CTI_CELL_GRU ? fresh(x, x->shape) : dx;
    dh0 = fresh(x, CT_SHAPE(s.batch, s.hidden));
    dc0 = o->kind == CTI_CELL_LSTM ? fresh(x, CT_SHAPE(s.batch, s.hidden)) : dh0;
    if (!w || !dx || !dhx || !dh0 || !dc0)
        return;
    s.h = data_of(h);
    s.c = data_of(c);
    s.gates = data_of(gates);
    s.hn = data_of(extra);
    s.dy = data_of(dy);
    s.dh_last = data_of(dh_last);
    s.dc_last = data_of(dc_last);
    s.dx = data_of(dx);
    s.dhx = data_of(dhx);
    s.dh0 = data_of(dh0);
    s.dc0 = o->kind == CTI_CELL_LSTM ? data_of(dc0) : NULL;
    cti_backend_of(x->device)->sequence_backward(&s);
    rows = rows_of(dhx);
    ct_node_add_grad(n, 0, dx);
    if (ct_node_needs_grad(n, 1))
        ct_node_add_grad(n, 1,
                         ct_matmul(ct_transpose(rows, 0, 1), rows_of(befores(h, o->reverse))));
    if (ct_node_needs_grad(n, 2))
        ct_node_add_grad(n, 2, ct_sum_to_shape(rows, ct_node_input_shape(n, 2)));
    ct_node_add_grad(n, 3, dh0);
    if (o->kind == CTI_CELL_LSTM)
        ct_node_add_grad(n, 4, dc0);
}

static const ct_op sequence_op = { .name = "ct_recurrent_forward",
                                   .inputs = 6,
                                   .outputs = OUT_COUNT,
                                   .saves = CT_SAVE_INPUTS | CT_SAVE_OUTPUTS,
                                   .backward = stepwise_backward,
                                   .fused_backward = sequence_backward };

/* ---- forward ---- */

/* Where x is, or rows of a table by index that stand for it. False without memory. */
static bool take_input(cti_sequence *s, ct_tensor *x)
{
    ct_tensor *table, *indices;

    if (cti_is_put_off(x, &table, &indices)) {
        s->x = cti_ptr(table);
        s->index = cti_ptr(indices);
        s->index_dtype = indices->dtype;
        return true;
    }
    x = ct_ok() ? cti_contiguous(x) : NULL;
    if (!x)
        return false;
    s->x = cti_ptr(x);
    return true;
}

/* A buffer (T + 1, B, H) with the initial state in its place. */
static ct_tensor *state_buffer(const ct_tensor *x, const ct_tensor *initial, bool reverse)
{
    int64_t steps = x->shape.dim[0];
    ct_tensor *h = fresh(x, CT_SHAPE(steps + 1, initial->shape.dim[0], initial->shape.dim[1]));
    ct_tensor *first = h ? ct_select(h, 0, reverse ? steps : 0) : NULL;

    if (!first)
        return NULL;
    cti_copy(first, initial);
    return h;
}

/* Runs the kernel. Its scratch, part of which it may never fill, is gone when it returns. */
static bool run(const ct_tensor *x, cti_sequence *s)
{
    ct_scope inner = cti_scope_push();
    ct_tensor *scratch = inner.id ? fresh(x, CT_SHAPE(cti_sequence_scratch(s))) : NULL;

    s->scratch = data_of(scratch);
    if (scratch)
        cti_backend_of(x->device)->sequence(s);
    cti_scope_pop(inner);
    return scratch != NULL;
}

ct_tensor *cti_sequence_forward(cti_cell_kind kind, bool reverse, ct_tensor *x, ct_tensor *w,
                                ct_tensor *bias, ct_tensor *lengths, ct_tensor **state,
                                cti_cell_step step, void *self)
{
    const settings o = { kind, reverse, lengths != NULL, step, self };
    bool lstm = kind == CTI_CELL_LSTM, gru = kind == CTI_CELL_GRU;
    ct_tensor *in[6] = { x, w, bias, state[0], lstm ? state[1] : NULL, lengths };
    ct_tensor *out[OUT_COUNT], *cw, *cb = NULL;
    bool keep = cti_will_record(6, in);
    cti_sequence s;
    int64_t last;

    cw = cti_contiguous(w);
    cb = bias ? cti_contiguous(bias) : NULL;
    if (!cw || (bias && !cb))
        return NULL;
    s = describe(&o, x, cw, cb, lengths);
    if (!take_input(&s, x))
        return NULL;
    last = reverse ? 0 : s.steps;
    out[OUT_H] = state_buffer(x, state[0], reverse);
    out[OUT_C] = lstm ? state_buffer(x, state[1], reverse) : nothing(x);
    out[OUT_GATES] = keep && (lstm || gru) ? fresh(x, x->shape) : nothing(x);
    out[OUT_EXTRA] = keep && gru ? fresh(x, CT_SHAPE(s.steps, s.batch, s.hidden)) : nothing(x);
    if (!out[OUT_H] || !out[OUT_C] || !out[OUT_GATES] || !out[OUT_EXTRA])
        return NULL;
    s.h = data_of(out[OUT_H]);
    s.c = lstm ? data_of(out[OUT_C]) : NULL;
    s.gates = keep && (lstm || gru) ? data_of(out[OUT_GATES]) : NULL;
    s.hn = keep && gru ? data_of(out[OUT_EXTRA]) : NULL;
    if (!run(x, &s))
        return NULL;
    out[OUT_Y] = ct_narrow(out[OUT_H], 0, reverse ? 0 : 1, s.steps);
    out[OUT_LAST_H] = ct_select(out[OUT_H], 0, last);
    out[OUT_LAST_C] = lstm ? ct_select(out[OUT_C], 0, last) : nothing(x);
    if (!ct_record(&sequence_op, 6, in, OUT_COUNT, out, &o, sizeof o))
        return NULL;
    state[0] = out[OUT_LAST_H];
    if (lstm)
        state[1] = out[OUT_LAST_C];
    return out[OUT_Y];
}
