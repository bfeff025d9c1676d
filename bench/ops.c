/* SPDX-License-Identifier: MIT */
/* ops.c - the time of single ops on one thread, forward and backward: bench ops [NAME] [ELEMENTS].
 *
 * A line for each op: its name, then nanoseconds for each element of its input: of the op without
 * recording, and of backward alone, into a leaf without a gradient. Each is the least of many short
 * runs. bench/peers/torch_ops.py runs this program and PyTorch in turns and prints both. */
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"

/* The operands of an op, all of one shape: (n / 100, 100), or (n / 2048, 8, 8, 2, 8, 2). */
typedef struct op_operands {
    ct_tensor *x, *y;         /* in 0.2..1.8 */
    ct_tensor *mask;          /* bool */
    ct_tensor *index;         /* i64 in 0..99 */
    ct_tensor *rows, *target; /* i64, one for each row: a row, and a column */
    ct_generator *g;
} op_operands;

typedef struct op_case {
    const char *name;
    ct_tensor *(*call)(const op_operands *o);
    bool axes; /* true: the operand has six axes instead of two */
    bool forward_only;
} op_case;

#define UNARY(id)                                                                                  \
    static ct_tensor *bench_##id(const op_operands *o)                                             \
    {                                                                                              \
        return ct_##id(o->x);                                                                      \
    }
#define OP(id, expr)                                                                               \
    static ct_tensor *bench_##id(const op_operands *o)                                             \
    {                                                                                              \
        return expr;                                                                               \
    }

UNARY(neg)
UNARY(abs)
UNARY(square)
UNARY(exp)
UNARY(expm1)
UNARY(log)
UNARY(log1p)
UNARY(sqrt)
UNARY(rsqrt)
UNARY(reciprocal)
UNARY(sin)
UNARY(cos)
UNARY(tanh)
UNARY(sigmoid)
UNARY(relu)
UNARY(silu)
UNARY(gelu)
UNARY(softplus)
UNARY(erf)
UNARY(erfc)
UNARY(floor)
UNARY(tan)
UNARY(atan)
UNARY(sinh)
UNARY(cosh)
UNARY(asinh)
UNARY(exp2)
UNARY(log2)
UNARY(log10)
UNARY(gelu_tanh)
UNARY(softsign)
UNARY(mish)
UNARY(hardsigmoid)
UNARY(hardswish)
UNARY(log_sigmoid)
OP(asin, ct_asin(ct_mul_scalar(o->x, 0.5)))
OP(acos, ct_acos(ct_mul_scalar(o->x, 0.5)))
OP(atanh, ct_atanh(ct_mul_scalar(o->x, 0.5)))
OP(acosh, ct_acosh(ct_add_scalar(o->x, 1)))
OP(atan2, ct_atan2(o->x, o->y))
OP(logaddexp, ct_logaddexp(o->x, o->y))
OP(remainder, ct_remainder(o->x, o->y))
OP(floor_divide, ct_floor_divide(o->x, o->y))
OP(hardtanh, ct_hardtanh(o->x, 0.5, 1.5))
OP(glu, ct_glu(o->x, 1))
OP(elu, ct_elu(ct_sub_scalar(o->x, 1), 1))
OP(leaky_relu, ct_leaky_relu(o->x, 0.1))
OP(clamp, ct_clamp(o->x, 0.5, 1.5))
OP(pow_2, ct_pow_scalar(o->x, 2))
OP(pow_3, ct_pow_scalar(o->x, 3))
OP(pow_half, ct_pow_scalar(o->x, 0.5))
OP(pow_inverse, ct_pow_scalar(o->x, -1))
OP(pow_1_7, ct_pow_scalar(o->x, 1.7))
OP(rpow, ct_rpow_scalar(o->x, 2))
OP(rdiv, ct_rdiv_scalar(o->x, 2))
OP(add, ct_add(o->x, o->y))
OP(mul, ct_mul(o->x, o->y))
OP(div, ct_div(o->x, o->y))
OP(pow, ct_pow(o->x, o->y))
OP(maximum, ct_maximum(o->x, o->y))
OP(where, ct_where(o->mask, o->x, o->y))
OP(masked_fill, ct_masked_fill(o->x, o->mask, 0))
OP(dropout, ct_dropout(o->x, 0.5, o->g))
OP(gather, ct_gather(o->x, 1, o->index))
OP(scatter_add, ct_scatter_add(o->x, 1, o->index, o->y))
OP(flip, ct_flip(o->x, 1, (int[]){ 1 }))
OP(roll, ct_roll(o->x, 3, 1))
OP(transpose, ct_clone(ct_transpose(o->x, 0, 1)))
OP(cat, ct_cat(2, (ct_tensor *[]){ o->x, o->y }, 1))
OP(sum, ct_sum(o->x))
OP(sum_0, ct_sum_axis(o->x, 0, false))
OP(sum_1, ct_sum_axis(o->x, 1, false))
OP(amax_0, ct_amax_axis(o->x, 0, false))
OP(amax_1, ct_amax_axis(o->x, 1, false))
OP(argmax_1, ct_argmax(o->x, 1, false))
OP(std_1, ct_std_axis(o->x, 1, 1, false))
OP(softmax, ct_softmax(o->x, 1))
OP(log_softmax, ct_log_softmax(o->x, 1))
OP(logsumexp_1, ct_logsumexp_axis(o->x, 1, false))
OP(cumsum, ct_cumsum(o->x, 1))
OP(prod_1, ct_prod_axis(o->x, 1, false))
OP(var_1, ct_var_axis(o->x, 1, 1, false))
OP(norm_1, ct_norm_axis(o->x, 2, 1, false))
OP(cumprod, ct_cumprod(o->x, 1))
OP(cummax, ct_cummax(o->x, 1, NULL))
OP(sort, ct_sort(o->x, 1, false, NULL))
OP(topk, ct_topk(o->x, 10, 1, true, NULL))
OP(index_select, ct_index_select(o->x, 0, o->rows))
OP(layer_norm, ct_layer_norm(o->x, NULL, NULL, 1e-5))
OP(rms_norm, ct_rms_norm(o->x, NULL, 1e-5))
OP(tril, ct_tril(o->x, 0))
OP(pad, ct_pad(o->x, 2, (int64_t[]){ 1, 1 }, 0))
OP(cross_entropy, ct_cross_entropy(o->x, o->target))
OP(mse_loss, ct_mse_loss(o->x, o->y, CT_REDUCTION_MEAN))
OP(sum_3_5, ct_sum_axes(o->x, 2, (int[]){ 3, 5 }, false))
OP(amax_3_5, ct_amax_axes(o->x, 2, (int[]){ 3, 5 }, false))
OP(logsumexp_3_5, ct_logsumexp_axes(o->x, 2, (int[]){ 3, 5 }, false))

#define CASE(id)                                                                                   \
    {                                                                                              \
#id, bench_##id, false, false                                                              \
    }
static const op_case op_cases[] = {
    CASE(neg),
    CASE(abs),
    CASE(square),
    CASE(exp),
    CASE(expm1),
    CASE(log),
    CASE(log1p),
    CASE(sqrt),
    CASE(rsqrt),
    CASE(reciprocal),
    CASE(sin),
    CASE(cos),
    CASE(tanh),
    CASE(sigmoid),
    CASE(relu),
    CASE(silu),
    CASE(gelu),
    CASE(softplus),
    CASE(erf),
    CASE(erfc),
    CASE(floor),
    CASE(tan),
    CASE(asin),
    CASE(acos),
    CASE(atan),
    CASE(sinh),
    CASE(cosh),
    CASE(asinh),
    CASE(acosh),
    CASE(atanh),
    CASE(exp2),
    CASE(log2),
    CASE(log10),
    CASE(gelu_tanh),
    CASE(softsign),
    CASE(mish),
    CASE(hardsigmoid),
    CASE(hardswish),
    CASE(log_sigmoid),
    CASE(atan2),
    CASE(logaddexp),
    CASE(remainder),
    CASE(hardtanh),
    CASE(glu),
    { "floor_divide", bench_floor_divide, false, true },
    CASE(elu),
    CASE(leaky_relu),
    CASE(clamp),
    CASE(pow_2),
    CASE(pow_3),
    CASE(pow_half),
    CASE(pow_inverse),
    CASE(pow_1_7),
    CASE(rpow),
    CASE(rdiv),
    CASE(add),
    CASE(mul),
    CASE(div),
    CASE(pow),
    CASE(maximum),
    CASE(where),
    CASE(masked_fill),
    CASE(dropout),
    CASE(gather),
    CASE(scatter_add),
    CASE(flip),
    CASE(roll),
    CASE(transpose),
    CASE(cat),
    CASE(sum),
    CASE(sum_0),
    CASE(sum_1),
    CASE(amax_0),
    CASE(amax_1),
    { "argmax_1", bench_argmax_1, false, true },
    CASE(std_1),
    CASE(softmax),
    CASE(log_softmax),
    CASE(logsumexp_1),
    CASE(cumsum),
    CASE(prod_1),
    CASE(var_1),
    CASE(norm_1),
    CASE(cumprod),
    CASE(cummax),
    CASE(sort),
    CASE(topk),
    CASE(index_select),
    CASE(layer_norm),
    CASE(rms_norm),
    CASE(tril),
    CASE(pad),
    CASE(cross_entropy),
    CASE(mse_loss),
    { "sum_3_5", bench_sum_3_5, true, false },
    { "amax_3_5", bench_amax_3_5, true, false },
    { "logsumexp_3_5", bench_logsumexp_3_5, true, false },
};

#define OPS_LEAST_RUNS 5 /* the first runs of a large op wait for pages of the system */

/* The seconds of one forward, or of one backward. */
static double op_run(const op_case *c, const op_operands *o, bool backward)
{
    ct_scope s = backward ? ct_scope_begin() : ct_scope_begin_no_grad();
    ct_tensor *y = NULL, *d = NULL;
    double start;

    if (backward) {
        y = c->call(o);
        d = ct_ones(ct_tensor_shape(y), CT_F32, CT_CPU);
        ct_tensor_zero_grad(o->x);
    }
    start = cpu_time();
    if (backward)
        (void)!ct_backward_with(y, d);
    else
        c->call(o);
    start = cpu_time() - start;
    (void)!ct_scope_end(s);
    return start;
}

/* The least of many runs, for about `seconds`. */
static double op_seconds(const op_case *c, const op_operands *o, bool backward, double seconds)
{
    double best = 1e9, end = now() + seconds;
    int runs;

    for (runs = 0; runs < OPS_LEAST_RUNS || now() < end; runs++) {
        double spent = op_run(c, o, backward);

        best = spent < best ? spent : best;
    }
    return best;
}

static void op_line(const op_case *c, int64_t n, double seconds)
{
    ct_scope s = ct_scope_begin();
    ct_generator g = ct_generator_from_seed(1);
    ct_shape shape = c->axes ? CT_SHAPE(n / 2048 + 1, 8, 8, 2, 8, 2) : CT_SHAPE(n / 100, 100);
    op_operands o = { .g = &g };
    double forward, backward = 0;

    o.x = ct_add_scalar(ct_mul_scalar(ct_rand(shape, CT_F32, CT_CPU, &g), 1.6), 0.2);
    o.y = ct_add_scalar(ct_mul_scalar(ct_rand(shape, CT_F32, CT_CPU, &g), 1.6), 0.2);
    o.mask = ct_gt(o.x, o.y);
    o.index = ct_randint(0, 100, shape, CT_I64, CT_CPU, &g);
    if (!c->axes) {
        o.rows = ct_randint(0, n / 100, CT_SHAPE(n / 100), CT_I64, CT_CPU, &g);
        o.target = ct_randint(0, 100, CT_SHAPE(n / 100), CT_I64, CT_CPU, &g);
    }
    n = ct_numel(o.x);
    o.x = ct_set_requires_grad(o.x, true);
    forward = op_seconds(c, &o, false, seconds) * 1e9 / (double)n;
    if (!c->forward_only)
        backward = op_seconds(c, &o, true, seconds) * 1e9 / (double)n;
    printf("%s %.4g %.4g\n", c->name, forward, backward);
    fflush(stdout);
    (void)!ct_scope_end(s);
}

void ops(const char *name, int64_t n, double seconds)
{
    size_t i;

    for (i = 0; i < sizeof op_cases / sizeof *op_cases; i++)
        if (!name || strcmp(name, op_cases[i].name) == 0)
            op_line(&op_cases[i], n, seconds);
}
