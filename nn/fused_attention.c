/* SPDX-License-Identifier: MIT */
/* fused_attention.c - attention without masks as one op. Its kernel does not store the scores.
 *
 *     w = softmax(scale q k^T)      y = w v
 *     dv = w^T d    dw = d v^T    dp = w (dw - sum(dw w))    dq = scale dp k    dk = scale dp^T q
 *
 * The backward kernel needs y, and for each query the greatest score and the sum of the
 * exponentials. The op stores them with its inputs. A backward pass that is recorded computes
 * the formula with ops. */
#include "nn/attention_internal.h"

#include "autograd/internal.h"

#include <cotangent/autograd/ops/compare.h>
#include <cotangent/autograd/ops/copy.h>
#include <cotangent/autograd/ops/elementwise.h>
#include <cotangent/autograd/ops/matmul.h>
#include <cotangent/autograd/ops/reduce.h>
#include <cotangent/autograd/ops/softmax.h>
#include <cotangent/autograd/ops/views.h>
#include <cotangent/tensor/config.h>

#include <float.h>

enum { IN_Q, IN_K, IN_V, IN_MOST, IN_SUM, IN_COUNT };

/* ---- with ops ---- */

/* Recomputes the weights w from q and k. */
static ct_tensor *fused_attention_weights(const cti_attention_rule *r, ct_tensor *q, ct_tensor *k)
{
    ct_tensor *p = ct_matmul(ct_mul_scalar(q, r->scale), ct_transpose(k, -1, -2));
    const double lowest = (q->dtype == CT_F64 ? -DBL_MAX : -FLT_MAX) / 2;

    if (p && r->causal)
        p = ct_masked_fill(p,
                           ct_logical_not(ct_causal_mask(ct_size(q, -2), ct_size(k, -2),
                                                         r->first_query, q->device)),
                           lowest);
    return ct_softmax(p, -1);
}

static void fused_attention_compose(ct_node *n, ct_tensor *const *dout)
{
    const cti_attention_rule *r = ct_node_attributes(n);
    ct_tensor *q = ct_node_input(n, IN_Q), *k = ct_node_input(n, IN_K), *v = ct_node_input(n, IN_V);
    ct_tensor *d = dout[0], *w, *dw, *dp;

    if (!q || !k || !v || !ct_ok())
        return;
    w = fused_attention_weights(r, q, k);
    if (ct_node_needs_grad(n, IN_V))
        ct_node_add_grad(n, IN_V, ct_matmul(ct_transpose(w, -1, -2), d));
    dw = ct_matmul(d, ct_transpose(v, -1, -2));
    dp = ct_mul(w, ct_sub(dw, ct_sum_axis(ct_mul(dw, w), -1, true)));
    if (ct_node_needs_grad(n, IN_Q))
        ct_node_add_grad(n, IN_Q, ct_mul_scalar(ct_matmul(dp, k), r->scale));
    if (ct_node_needs_grad(n, IN_K))
        ct_node_add_grad(n, IN_K, ct_mul_scalar(ct_matmul(ct_transpose(dp, -1, -2), q), r->scale));
}

/* ---- the op ---- */

/* The kernel's arguments; q, k and v are contiguous. */
static cti_attention_args fused_attention_args(const cti_attention_rule *r, ct_tensor *const *in,
                                               ct_tensor *y)
{
    return (cti_attention_args){ .dtype = y->dtype,
                                 .causal = r->causal,
                                 .batch = y->numel / (ct_size(y, -1) * ct_size(y, -2)),
                                 .queries = ct_size(y, -2),
                                 .keys = ct_size(in[IN_K], -2),
                                 .width = ct_size(in[IN_Q], -1),
                                 .value_width = ct_size(y, -1),
                                 .first_query = r->first_query,
                                 .scale = r->scale,
                                 .q = cti_data(in[IN_Q]),
                                 .k = cti_data(in[IN_K]),
                                 .v = cti_data(in[IN_V]),
                                 .y = cti_data(y),
                                 .most = cti_data(in[IN_MOST]),
                                 .sum = cti_data(in[IN_SUM]) };
}

static void fused_attention_backward(ct_node *n, ct_tensor *const *dout)
{
    const cti_attention_rule *r = ct_node_attributes(n);
    ct_tensor *in[IN_COUNT], *grad[3], *y = ct_node_output(n, 0), *d = cti_contiguous(dout[0]);
    cti_attention_args a;
    int i;

    for (i = 0; i < IN_COUNT; i++) {
        in[i] = ct_node_input(n, i);
        in[i] = in[i] ? cti_contiguous(in[i]) : NULL;
        if (i < 3)
            grad[i] = in[i] && ct_node_needs_grad(n, i)
                          ? cti_new(n->op->name, in[i]->shape, in[i]->dtype, in[i]->device)
                          : NULL;
    }
    if (!y || !d || !ct_ok())
        return;
    a = fused_attention_args(r, in, y);
    a.dy = cti_data(d);
    a.dq = grad[IN_Q] ? cti_data(grad[IN_Q]) : NULL;
    a.dk = grad[IN_K] ? cti_data(grad[IN_K]) : NULL;
    a.dv = grad[IN_V] ? cti_data(grad[IN_V]) : NULL;
    if (cti_backend_of(y->device)->attention_backward(&a) != CT_OK) {
        fused_attention_compose(n, dout);
        return;
    }
    for (i = 0; i < 3; i++)
        if (grad[i])
            ct_node_add_grad(n, i, grad[i]);
}

static const ct_op attention_op = { .name = "ct_scaled_dot_product_attention",
                                    .inputs = IN_COUNT,
                                    .outputs = 1,
                                    .saves = CT_SAVE_INPUTS | CT_SAVE_OUTPUTS,
                                    .backward = CTI_TRAINING(fused_attention_compose),
                                    .fused_backward = CTI_TRAINING(fused_attention_backward) };

/* True if the kernel supports these shapes: the leading axes must be equal, and no size may be
 * 0. */
static bool fused_attention_fits(ct_tensor *const *qkv)
{
    int rank = qkv[IN_Q]->shape.rank, i, k;

    for (k = IN_Q; k <= IN_V; k++) {
        if (qkv[k]->numel == 0)
            return false;
        for (i = 0; i < rank - 2; i++)
            if (qkv[k]->shape.dim[i] != qkv[IN_Q]->shape.dim[i])
                return false;
    }
    return true;
}

ct_tensor *cti_fused_attention(const char *me, ct_tensor *const *qkv, const cti_attention_rule *r)
{
    ct_tensor *in[IN_COUNT], *y;
    cti_attention_args a;
    ct_shape shape = qkv[IN_Q]->shape;
    int i;

    if (ct_portable() || !fused_attention_fits(qkv))
        return NULL;
    for (i = IN_Q; i <= IN_V; i++)
        in[i] = cti_contiguous(qkv[i]);
    shape.dim[shape.rank - 1] = ct_size(qkv[IN_V], -1);
    y = cti_new(me, shape, qkv[IN_Q]->dtype, qkv[IN_Q]->device);
    shape.dim[shape.rank - 1] = 1;
    in[IN_MOST] = cti_new(me, shape, qkv[IN_Q]->dtype, qkv[IN_Q]->device);
    in[IN_SUM] = cti_new(me, shape, qkv[IN_Q]->dtype, qkv[IN_Q]->device);
    if (!y || !ct_ok())
        return NULL;
    a = fused_attention_args(r, in, y);
    if (cti_backend_of(y->device)->attention(&a) != CT_OK)
        return NULL;
    for (i = IN_Q; i <= IN_V; i++)
        in[i] = qkv[i];
    return ct_record(&attention_op, IN_COUNT, in, 1, &y, r, sizeof *r) ? y : NULL;
}
