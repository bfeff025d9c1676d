/* SPDX-License-Identifier: MIT */
/* fused_layer.c - a layer of an RNN, an LSTM or a GRU with its input in one op: one kernel forward, and one
 * backward. The backward kernel writes the gradients of the gates once and computes from them the
 * gradients of the input, of both weights and of both biases. The op of fused_rnn.c computes the
 * layers that this op does not support. */
#include "nn/fused_rnn.h"

#include "autograd/internal.h"

#include <cotangent/autograd/ops/views.h>
#include <cotangent/tensor/config.h>

/* The inputs of the op. IN_C is NULL except for an LSTM. The biases may be NULL. */
enum { IN_X, IN_W_IH, IN_B_IH, IN_W_HH, IN_B_HH, IN_H, IN_C, IN_COUNT };

/* The outputs of the op. The first are y and the states after the last step. Backward reads the
 * others: the states after each step with the initial ones (T + 1, B, H), and the gates in the
 * kernel's layout. An output that a kind does not have, or that backward will not read, is an empty
 * tensor. */
enum { OUT_Y, OUT_LAST_H, OUT_LAST_C, OUT_H, OUT_C, OUT_GATES, OUT_COUNT };

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

/* Returns the sizes and the inputs of the op. */
static cti_layer fused_layer_arguments(const cti_fused_attributes *a, ct_tensor *const *in)
{
    const ct_tensor *x = in[IN_X];
    ct_tensor *index = a->one_hot ? fused_layer_contiguous(x->indices) : NULL;

    return (cti_layer){
        .kind = a->cell->kind,
        .reverse = a->reverse,
        .bf16 = a->bf16,
        .steps = x->shape.dim[0],
        .batch = x->shape.dim[1],
        .input = x->shape.dim[2],
        .hidden = a->cell->hidden,
        .x = a->one_hot ? NULL : fused_layer_data(fused_layer_contiguous(in[IN_X])),
        .index = fused_layer_data(index),
        .index_dtype = index ? index->dtype : CT_I64,
        .w_ih = fused_layer_data(fused_layer_contiguous(in[IN_W_IH])),
        .b_ih = fused_layer_data(fused_layer_contiguous(in[IN_B_IH])),
        .w_hh = fused_layer_data(fused_layer_contiguous(in[IN_W_HH])),
        .b_hh = fused_layer_data(fused_layer_contiguous(in[IN_B_HH])),
    };
}

/* ---- backward ---- */

static const cti_fused_op fused_layer_indices = { .x = IN_X,
                                                  .w_ih = IN_W_IH,
                                                  .b_ih = IN_B_IH,
                                                  .w_hh = IN_W_HH,
                                                  .b_hh = IN_B_HH,
                                                  .h = IN_H,
                                                  .c = IN_C,
                                                  .optional = 1 << IN_B_IH | 1 << IN_B_HH,
                                                  .projects = true };

static void fused_layer_stepwise_backward(ct_node *n, ct_tensor *const *dout)
{
    cti_fused_stepwise_backward(n, dout, &fused_layer_indices);
}

/* Makes tensors for the gradients of the inputs that need one. The kernel always writes those of the
 * states. */
static bool fused_layer_new_gradients(ct_node *n, bool lstm, ct_tensor *const *in, ct_tensor **grad)
{
    int i;

    for (i = 0; i < IN_COUNT; i++) {
        bool state = i == IN_H || (i == IN_C && lstm);

        if (state || (i < IN_H && ct_node_needs_grad(n, i)))
            grad[i] = fused_layer_new(state ? in[IN_H]->shape : ct_node_input_shape(n, i));
    }
    return ct_ok();
}

static void fused_layer_backward(ct_node *n, ct_tensor *const *dout)
{
    const cti_fused_attributes *a = ct_node_attributes(n);
    const bool lstm = a->cell->kind == CTI_CELL_LSTM;
    ct_tensor *in[IN_COUNT] = { NULL }, *grad[IN_COUNT] = { NULL };
    cti_layer l;
    int i;

    for (i = 0; i < IN_C + lstm; i++)
        if (i != IN_B_IH && i != IN_B_HH)
            in[i] = ct_node_input(n, i);
    if (!ct_ok() || !fused_layer_new_gradients(n, lstm, in, grad))
        return;
    l = fused_layer_arguments(a, in);
    l.h = fused_layer_data(ct_node_output(n, OUT_H));
    l.c = lstm ? fused_layer_data(ct_node_output(n, OUT_C)) : NULL;
    l.gates = fused_layer_data(ct_node_output(n, OUT_GATES));
    l.dy = fused_layer_data(fused_layer_contiguous(dout[OUT_Y]));
    l.dh_last = fused_layer_data(fused_layer_contiguous(dout[OUT_LAST_H]));
    l.dc_last = fused_layer_data(fused_layer_contiguous(dout[OUT_LAST_C]));
    l.dx = fused_layer_data(grad[IN_X]);
    l.dw_ih = fused_layer_data(grad[IN_W_IH]);
    l.db_ih = fused_layer_data(grad[IN_B_IH]);
    l.dw_hh = fused_layer_data(grad[IN_W_HH]);
    l.db_hh = fused_layer_data(grad[IN_B_HH]);
    l.dh0 = fused_layer_data(grad[IN_H]);
    l.dc0 = fused_layer_data(grad[IN_C]);
    if (ct_ok() && cti_backend_of(CT_CPU)->layer_backward(&l) != CT_OK)
        cti_out_of_memory("ct_recurrent_forward", (size_t)cti_layer_gates(&l) * sizeof(float));
    for (i = 0; ct_ok() && i < IN_COUNT; i++)
        if (grad[i])
            ct_node_add_grad(n, i, grad[i]);
}

static const ct_op fused_layer_op = { .name = "ct_recurrent_forward",
                                      .inputs = IN_COUNT,
                                      .outputs = OUT_COUNT,
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

/* An RNN layer whose x is one-hot stays with the op of fused_rnn.c, which is faster (bench/README.md). */
static bool fused_layer_can_run(const cti_fused_attributes *a, const ct_tensor *x,
                                const ct_cell_step *at)
{
    const cti_cell *c = a->cell;
    const bool is_gated = c->kind == CTI_CELL_LSTM || c->kind == CTI_CELL_GRU;

    return cti_fused_can_run(c, at) && (is_gated || !a->one_hot) && !c->ln_ih && !at->lengths &&
           x->device == CT_CPU && x->dtype == CT_F32 && ct_size(x, 0) >= CTI_FEW_STEPS &&
           ct_size(x, 0) * ct_size(x, 1) > CTI_FEW_ROWS &&
           (!a->bf16 || fused_layer_pays_in_bf16(a, x));
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

/* Makes the outputs and runs the kernel. Returns false without an error if the device has no kernel
 * for the layer. */
static bool fused_layer_run(const cti_fused_attributes *a, ct_tensor *const *in, ct_tensor **out)
{
    const bool keep = cti_will_record(IN_COUNT, in);
    const int64_t steps = ct_size(in[IN_X], 0);
    cti_layer l = fused_layer_arguments(a, in);
    int64_t gates = keep ? cti_layer_gates(&l) : 0;

    out[OUT_H] = fused_layer_states(steps, in[IN_H], a->reverse);
    out[OUT_C] =
        in[IN_C] ? fused_layer_states(steps, in[IN_C], a->reverse) : fused_layer_new(CT_SHAPE(0));
    out[OUT_GATES] = fused_layer_new(CT_SHAPE(gates));
    if (!ct_ok())
        return false;
    l.h = fused_layer_data(out[OUT_H]);
    l.c = in[IN_C] ? fused_layer_data(out[OUT_C]) : NULL;
    l.gates = gates ? fused_layer_data(out[OUT_GATES]) : NULL;
    return cti_backend_of(CT_CPU)->layer(&l) == CT_OK;
}

ct_tensor *cti_fused_layer(void *self, ct_tensor *x, ct_tensor **state, bool reverse,
                           const ct_cell_step *at)
{
    cti_cell *cell = self;
    const cti_fused_attributes a = { .cell = cell,
                                     .reverse = reverse,
                                     .one_hot = x->indices && !x->requires_grad,
                                     .bf16 =
                                         ct_get_matmul_precision() == CT_MATMUL_PRECISION_BF16 };
    const bool lstm = cell->kind == CTI_CELL_LSTM;
    ct_tensor *in[IN_COUNT] = { x, NULL }, *out[OUT_COUNT];
    const int64_t steps = ct_size(x, 0), last = reverse ? 0 : steps;

    if (!fused_layer_can_run(&a, x, at))
        return NULL;
    in[IN_W_IH] = ct_param_value(cell->w_ih);
    in[IN_B_IH] = cti_value(cell->b_ih);
    in[IN_W_HH] = ct_param_value(cell->w_hh);
    in[IN_B_HH] = cti_value(cell->b_hh);
    in[IN_H] = state[0];
    in[IN_C] = lstm ? state[1] : NULL;
    if (!ct_ok() || !fused_layer_run(&a, in, out))
        return NULL;
    out[OUT_Y] = ct_narrow(out[OUT_H], 0, reverse ? 0 : 1, steps);
    out[OUT_LAST_H] = ct_select(out[OUT_H], 0, last);
    out[OUT_LAST_C] = lstm ? ct_select(out[OUT_C], 0, last) : fused_layer_new(CT_SHAPE(0));
    if (!ct_record(&fused_layer_op, IN_COUNT, in, OUT_COUNT, out, &a, sizeof a))
        return NULL;
    state[0] = out[OUT_LAST_H];
    if (lstm)
        state[1] = out[OUT_LAST_C];
    return out[OUT_Y];
}
