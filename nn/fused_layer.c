/* SPDX-License-Identifier: MIT */
/* fused_layer.c - a layer of an RNN, an LSTM or a GRU with its input in one op: one kernel forward, and one
 * backward. The backward kernel writes the gradients of the gates once and computes from them the
 * gradients of the input, of both weights and of both biases. Both directions of a layer are one op, and
 * so are stacked layers of one direction, so that the threads share the work of all. The op of fused_rnn.c
 * computes the layers that this op does not support. */
#include "nn/fused_rnn.h"

#include "autograd/internal.h"

#include <cotangent/autograd/ops/views.h>
#include <cotangent/tensor/config.h>

#include <string.h>

#define MOST CTI_MOST_STACKED
#define WIDE_RNN 256

/* The op has one cell for each direction of a layer, or for each stacked layer. The inputs of the op: x,
 * which all cells or the first layer read, and the others for each cell. C is NULL except for an LSTM. The
 * biases may be NULL. */
enum { IN_X, IN_W_IH, IN_B_IH, IN_W_HH, IN_B_HH, IN_H, IN_C, IN_COUNT };

#define IN(cell, input) ((input) == IN_X ? IN_X : (cell) * (IN_COUNT - 1) + (input))
#define IN_MOST (1 + MOST * (IN_COUNT - 1))

/* The outputs of the op, for each cell. The first are y and the states after the last step.
 * Backward reads the others: the states after each step with the initial ones (T + 1, B, H), and the
 * gates in the kernel's layout. An output that a kind does not have, or that backward will not read, is
 * an empty tensor. */
enum { OUT_Y, OUT_LAST_H, OUT_LAST_C, OUT_H, OUT_C, OUT_GATES, OUT_COUNT };

#define OUT(cell, output) ((cell)*OUT_COUNT + (output))
#define OUT_MOST (MOST * OUT_COUNT)

typedef struct fused_layer_attributes {
    int count; /* of the cells */
    bool stacked;
    cti_fused_attributes cell[MOST];
} fused_layer_attributes;

static void *fused_layer_data(const ct_tensor *t)
{
    return t ? cti_data(t) : NULL;
}

static ct_tensor *fused_layer_contiguous(ct_tensor *t)
{
    return t ? cti_contiguous(t) : NULL;
}

static ct_tensor *fused_layer_new(ct_shape shape)
{
    return cti_new("ct_recurrent_forward", shape, CT_F32, CT_CPU);
}

static int fused_layer_inputs(const fused_layer_attributes *a)
{
    return 1 + a->count * (IN_COUNT - 1);
}

/* Returns whether the input of a cell is the y of the cell before. */
static bool fused_layer_is_upper(const fused_layer_attributes *a, int d)
{
    return a->stacked && d > 0;
}

/* Returns the sizes and the inputs of cell d of the op, but no x if that is the y of the cell before. */
static cti_layer fused_layer_arguments(const fused_layer_attributes *a, int d, ct_tensor *const *in)
{
    const cti_fused_attributes *of = &a->cell[d];
    const bool upper = fused_layer_is_upper(a, d);
    const ct_tensor *x = in[IN_X];
    ct_tensor *values = upper || of->one_hot ? NULL : fused_layer_contiguous(in[IN_X]);
    ct_tensor *index = of->one_hot ? fused_layer_contiguous(x->indices) : NULL;

    return (cti_layer){
        .kind = of->cell->kind,
        .reverse = of->reverse,
        .bf16 = of->bf16,
        .steps = x->shape.dim[0],
        .batch = x->shape.dim[1],
        .input = upper ? of->cell->hidden : x->shape.dim[2],
        .hidden = of->cell->hidden,
        .x = fused_layer_data(values),
        .index = fused_layer_data(index),
        .index_dtype = index ? index->dtype : CT_I64,
        .w_ih = fused_layer_data(fused_layer_contiguous(in[IN(d, IN_W_IH)])),
        .b_ih = fused_layer_data(fused_layer_contiguous(in[IN(d, IN_B_IH)])),
        .w_hh = fused_layer_data(fused_layer_contiguous(in[IN(d, IN_W_HH)])),
        .b_hh = fused_layer_data(fused_layer_contiguous(in[IN(d, IN_B_HH)])),
    };
}

/* Makes the calls of the cells from number `first` on one call of the kernel, which is that of `first`. The
 * cell before it has its h. */
static void fused_layer_link(const fused_layer_attributes *a, cti_layer *l, int first)
{
    int d;

    for (d = first; d < a->count; d++) {
        l[d].next = d + 1 < a->count ? &l[d + 1] : NULL;
        l[d].stacked = a->stacked && d > first;
        if (fused_layer_is_upper(a, d))
            l[d].x = (float *)l[d - 1].h + (l[d].reverse ? 0 : l[d].batch * l[d].hidden);
    }
}

/* ---- backward ---- */

/* Returns the number of the first cell that backward computes: of stacked layers, the first with an input
 * that needs a gradient. */
static int fused_layer_first(ct_node *n)
{
    const fused_layer_attributes *a = ct_node_attributes(n);
    int i;

    for (i = 0; a->stacked && i < IN(a->count - 1, IN_X + 1) && !ct_node_needs_grad(n, i); i++)
        ;
    return i > 0 ? (i - 1) / (IN_COUNT - 1) : 0;
}

static void fused_layer_stepwise_backward(ct_node *n, ct_tensor *const *dout)
{
    const fused_layer_attributes *a = ct_node_attributes(n);
    cti_fused_op op[MOST];
    int d;

    for (d = 0; d < a->count; d++)
        op[d] = (cti_fused_op){ .x = fused_layer_is_upper(a, d) ? -1 : IN_X,
                                .w_ih = IN(d, IN_W_IH),
                                .b_ih = IN(d, IN_B_IH),
                                .w_hh = IN(d, IN_W_HH),
                                .b_hh = IN(d, IN_B_HH),
                                .h = IN(d, IN_H),
                                .c = IN(d, IN_C),
                                .lengths = -1,
                                .y = OUT(d, OUT_Y) };
    if (a->stacked)
        cti_fused_stepwise_backward(n, dout, a->count, a->cell, op);
    for (d = 0; !a->stacked && d < a->count && ct_ok(); d++)
        cti_fused_stepwise_backward(n, dout, 1, &a->cell[d], &op[d]);
}

/* Returns a tensor for the gradient of an input of cell d, or NULL if none is needed. The kernel always
 * writes those of the states. */
static ct_tensor *fused_layer_gradient(ct_node *n, int d, int input, bool lstm, const ct_tensor *h)
{
    bool state = input == IN_H || (input == IN_C && lstm);
    int i = IN(d, input);

    if (state)
        return fused_layer_new(h->shape);
    return input < IN_H && ct_node_needs_grad(n, i) ? fused_layer_new(ct_node_input_shape(n, i))
                                                    : NULL;
}

/* Fills l with the arguments of the backward kernel for cell d, and grad with the gradients that it
 * will write. */
static void fused_layer_prepare(ct_node *n, int d, ct_tensor *const *dout, cti_layer *l,
                                ct_tensor **grad)
{
    const fused_layer_attributes *a = ct_node_attributes(n);
    const bool lstm = a->cell[d].cell->kind == CTI_CELL_LSTM;
    ct_tensor *in[IN_MOST] = { NULL };
    int i;

    for (i = 0; i < IN_C + lstm; i++)
        if (i != IN_B_IH && i != IN_B_HH)
            in[IN(d, i)] = ct_node_input(n, IN(d, i));
    for (i = fused_layer_is_upper(a, d) ? IN_W_IH : IN_X; ct_ok() && i < IN_COUNT; i++)
        grad[i] = fused_layer_gradient(n, d, i, lstm, in[IN(d, IN_H)]);
    if (!ct_ok())
        return;
    *l = fused_layer_arguments(a, d, in);
    l->h = fused_layer_data(ct_node_output(n, OUT(d, OUT_H)));
    l->c = lstm ? fused_layer_data(ct_node_output(n, OUT(d, OUT_C))) : NULL;
    l->gates = fused_layer_data(ct_node_output(n, OUT(d, OUT_GATES)));
    l->dy = fused_layer_data(fused_layer_contiguous(dout[OUT(d, OUT_Y)]));
    l->dh_last = fused_layer_data(fused_layer_contiguous(dout[OUT(d, OUT_LAST_H)]));
    l->dc_last = fused_layer_data(fused_layer_contiguous(dout[OUT(d, OUT_LAST_C)]));
    l->dx = fused_layer_data(grad[IN_X]);
    l->dw_ih = fused_layer_data(grad[IN_W_IH]);
    l->db_ih = fused_layer_data(grad[IN_B_IH]);
    l->dw_hh = fused_layer_data(grad[IN_W_HH]);
    l->db_hh = fused_layer_data(grad[IN_B_HH]);
    l->dh0 = fused_layer_data(grad[IN_H]);
    l->no_dh0 = !ct_node_needs_grad(n, IN(d, IN_H));
    l->dc0 = fused_layer_data(grad[IN_C]);
}

/* Links the calls of the cells from number `first` on. dx of a stacked layer is dy of the one below. */
static void fused_layer_link_back(ct_node *n, cti_layer *l, int first)
{
    const fused_layer_attributes *a = ct_node_attributes(n);
    int d;

    if (fused_layer_is_upper(a, first))
        l[first - 1].h = fused_layer_data(ct_node_output(n, OUT(first - 1, OUT_H)));
    fused_layer_link(a, l, first);
    for (d = first + 1; a->stacked && ct_ok() && d < a->count; d++) {
        ct_tensor *between = fused_layer_new(CT_SHAPE(l[d].steps, l[d].batch, l[d].hidden));

        l[d].dx = fused_layer_data(between);
        l[d - 1].dy = l[d].dx;
    }
}

static void fused_layer_backward(ct_node *n, ct_tensor *const *dout)
{
    const fused_layer_attributes *a = ct_node_attributes(n);
    const int first = fused_layer_first(n), last = a->count - 1;
    ct_tensor *grad[MOST][IN_COUNT] = { { NULL } };
    cti_layer l[MOST];
    int d, i, k;

    for (d = first; d <= last && ct_ok(); d++)
        fused_layer_prepare(n, d, dout, &l[d], grad[d]);
    if (ct_ok())
        fused_layer_link_back(n, l, first);
    if (!ct_ok())
        return;
    if (cti_backend_of(CT_CPU)->layer_backward(&l[first]) != CT_OK)
        cti_out_of_memory("ct_recurrent_forward",
                          (size_t)cti_layer_gates(&l[first]) * sizeof(float));
    for (k = first; k <= last; k++) {
        d = a->stacked ? first + last - k : k; /* as if each layer had its own op */
        for (i = 0; ct_ok() && i < IN_COUNT; i++)
            if (grad[d][i])
                ct_node_add_grad(n, IN(d, i), grad[d][i]);
    }
}

static const ct_op fused_layer_op = { .name = "ct_recurrent_forward",
                                      .inputs = -1,
                                      .outputs = -1,
                                      .saves = CT_SAVE_INPUTS | CT_SAVE_OUTPUTS,
                                      .backward = CTI_TRAINING(fused_layer_stepwise_backward),
                                      .fused_backward = CTI_TRAINING(fused_layer_backward) };

/* ---- forward ---- */

/* Returns whether this op is at least as fast in bf16 as that of fused_rnn.c (bench/README.md). */
static bool fused_layer_pays_in_bf16(const cti_fused_attributes *a, const ct_tensor *x)
{
    enum { LEAST_BATCH = 3, LEAST_HIDDEN = 9, LEAST_ONE_HOT_ROWS = 512 };
    const int64_t batch = ct_size(x, 1);

    return batch >= LEAST_BATCH && a->cell->hidden >= LEAST_HIDDEN &&
           (!a->one_hot || ct_size(x, 0) * batch >= LEAST_ONE_HOT_ROWS);
}

bool cti_fused_layer_takes(const ct_tensor *x)
{
    return x->device == CT_CPU && x->dtype == CT_F32 && ct_size(x, 0) >= CTI_FEW_STEPS &&
           ct_size(x, 0) * ct_size(x, 1) > CTI_FEW_ROWS;
}

/* A narrow RNN layer whose x is one-hot stays with the op of fused_rnn.c, which is faster (bench/README.md). */
static bool fused_layer_can_run(const cti_fused_attributes *a, const ct_tensor *x,
                                const ct_cell_step *at)
{
    const cti_cell *c = a->cell;
    const bool is_gated = c->kind == CTI_CELL_LSTM || c->kind == CTI_CELL_GRU;
    const bool wide = c->hidden >= WIDE_RNN && !a->bf16;

    return cti_fused_can_run(c, at) && (is_gated || !a->one_hot || wide) && !c->ln_ih &&
           !at->lengths && cti_fused_layer_takes(x) && (!a->bf16 || fused_layer_pays_in_bf16(a, x));
}

/* Makes a buffer (T + 1, B, H) with the initial state at the index that the first step reads. */
static ct_tensor *fused_layer_states(int64_t steps, const ct_tensor *initial, bool reverse)
{
    ct_tensor *all =
        fused_layer_new(CT_SHAPE(steps + 1, initial->shape.dim[0], initial->shape.dim[1]));
    ct_tensor *first = all ? ct_select(all, 0, reverse ? steps : 0) : NULL;

    if (!first)
        return NULL;
    cti_copy(first, initial);
    return all;
}

/* Makes the outputs of cell d. */
static cti_layer fused_layer_outputs(const fused_layer_attributes *a, int d, bool keep,
                                     ct_tensor *const *in, ct_tensor **out)
{
    const bool reverse = a->cell[d].reverse;
    const int64_t steps = ct_size(in[IN_X], 0);
    ct_tensor *c = in[IN(d, IN_C)];
    cti_layer l = fused_layer_arguments(a, d, in);
    int64_t gates = keep ? cti_layer_gates(&l) : 0;

    out += OUT(d, 0);
    out[OUT_H] = fused_layer_states(steps, in[IN(d, IN_H)], reverse);
    out[OUT_C] = c ? fused_layer_states(steps, c, reverse) : fused_layer_new(CT_SHAPE(0));
    out[OUT_GATES] = fused_layer_new(CT_SHAPE(gates));
    l.h = fused_layer_data(out[OUT_H]);
    l.c = c ? fused_layer_data(out[OUT_C]) : NULL;
    l.gates = gates ? fused_layer_data(out[OUT_GATES]) : NULL;
    return l;
}

/* Makes the outputs and runs the kernel. Returns false without an error if the device has no kernel
 * for the layer. */
static bool fused_layer_run(const fused_layer_attributes *a, ct_tensor *const *in, ct_tensor **out)
{
    const bool keep = cti_will_record(fused_layer_inputs(a), in);
    cti_layer l[MOST];
    int d;

    if (a->stacked && keep != cti_will_record(IN_COUNT, in))
        return false;
    for (d = 0; d < a->count; d++)
        l[d] = fused_layer_outputs(a, d, keep, in, out);
    if (!ct_ok())
        return false;
    fused_layer_link(a, l, 0);
    return cti_backend_of(CT_CPU)->layer(l) == CT_OK;
}

/* Takes the inputs of cell d. */
static void fused_layer_take(const cti_fused_cell *from, int d, ct_tensor **in)
{
    cti_cell *cell = from->self;

    in[IN(d, IN_W_IH)] = ct_param_value(cell->w_ih);
    in[IN(d, IN_B_IH)] = cti_value(cell->b_ih);
    in[IN(d, IN_W_HH)] = ct_param_value(cell->w_hh);
    in[IN(d, IN_B_HH)] = cti_value(cell->b_hh);
    in[IN(d, IN_H)] = from->state[0];
    in[IN(d, IN_C)] = cell->kind == CTI_CELL_LSTM ? from->state[1] : NULL;
}

/* Makes the views of the states that are results of cell d. */
static void fused_layer_results(const fused_layer_attributes *a, int d, ct_tensor *const *in,
                                ct_tensor **out)
{
    const bool reverse = a->cell[d].reverse, lstm = in[IN(d, IN_C)] != NULL;
    const int64_t steps = ct_size(in[IN_X], 0), last = reverse ? 0 : steps;

    out += OUT(d, 0);
    out[OUT_Y] = ct_narrow(out[OUT_H], 0, reverse ? 0 : 1, steps);
    out[OUT_LAST_H] = ct_select(out[OUT_H], 0, last);
    out[OUT_LAST_C] = lstm ? ct_select(out[OUT_C], 0, last) : fused_layer_new(CT_SHAPE(0));
}

/* Takes all cells and their inputs. Returns false if this op does not run one of them. */
static bool fused_layer_take_all(fused_layer_attributes *a, const cti_fused_cell *cells,
                                 const ct_cell_step *at, ct_tensor **in)
{
    const bool one_hot = in[IN_X]->indices && !in[IN_X]->requires_grad;
    int d;

    for (d = 0; d < a->count; d++) {
        a->cell[d] =
            (cti_fused_attributes){ .cell = cells[d].self,
                                    .reverse = cells[d].reverse,
                                    .one_hot = one_hot && !fused_layer_is_upper(a, d),
                                    .bf16 = ct_get_matmul_precision() == CT_MATMUL_PRECISION_BF16 };
        if (!fused_layer_can_run(&a->cell[d], in[IN_X], at))
            return false;
        fused_layer_take(&cells[d], d, in);
    }
    return ct_ok();
}

bool cti_fused_layer(int count, bool stacked, cti_fused_cell *cells, ct_tensor *x,
                     const ct_cell_step *at)
{
    ct_tensor *in[IN_MOST] = { x, NULL }, *out[OUT_MOST];
    fused_layer_attributes a;
    int d;

    memset(&a, 0, sizeof a);
    a.count = count;
    a.stacked = stacked;
    if (!fused_layer_take_all(&a, cells, at, in) || !fused_layer_run(&a, in, out))
        return false;
    for (d = 0; d < count; d++)
        fused_layer_results(&a, d, in, out);
    if (!ct_record(&fused_layer_op, fused_layer_inputs(&a), in, count * OUT_COUNT, out, &a,
                   sizeof a))
        return false;
    for (d = 0; d < count; d++) {
        cells[d].y = out[OUT(d, OUT_Y)];
        cells[d].state[0] = out[OUT(d, OUT_LAST_H)];
        if (in[IN(d, IN_C)])
            cells[d].state[1] = out[OUT(d, OUT_LAST_C)];
    }
    return true;
}
