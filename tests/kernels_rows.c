/* SPDX-License-Identifier: MIT */
/* kernels_rows.c - loops over rows, softmax and reductions against plain formulas. */
#include "tests/harness.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/cpu/cpu.h"
#include "tests/test_kernels.h"

/* ---- rows ---- */

typedef struct rows_case {
    const cti_row_loops *loops;
    const char *path;
    ct_dtype dtype;
    real eps;
    int64_t n;
    real x[3000];
    _Alignas(64) char in[3000 * 8], out[3000 * 8], other[3000 * 8];
} rows_case;

static void near(const rows_case *c, const char *what, real got, real want, real scale)
{
    if ((isnan(got) && isnan(want)) || got == want)
        return;
    if (!(fabsl(got - want) <= scale))
        ck_abort_msg("%s, %s %s of %lld: got %.20Lg, expected %.20Lg", what, c->path,
                     ct_dtype_name(c->dtype), (long long)c->n, got, want);
}

static void rows_sums(rows_case *c)
{
    real sum = 0, squares = 0, size = 0;
    int64_t i;

    for (i = 0; i < c->n; i++) {
        sum += c->x[i];
        squares += c->x[i] * c->x[i];
        size += fabsl(c->x[i]);
    }
    near(c, "sum", c->loops->sum(c->n, c->in), sum, 8 * c->eps * size);
    near(c, "sum_squares", c->loops->sum_squares(c->n, c->in), squares, 0x1p-45L * squares);
}

/* Checks the loss and gradient of rows against the formulas; one target is ignored. */
static void rows_loss(rows_case *c, int64_t width, double smoothing, int64_t g_step)
{
    int64_t rows = c->n / width, target[64] = { 0 }, i, k;
    double loss[64], most[64], lse[64], g[64];

    rows = rows < 64 ? rows : 64;
    for (i = 0; i < rows; i++) {
        target[i] = i % 5 == 3 ? -1 : i * 7 % width;
        element_store(g, c->dtype, i, 0.5L + (real)i / 8);
    }
    c->loops->cross_entropy(rows, width, c->in, target, smoothing, loss, most, lse);
    c->loops->cross_entropy_backward(rows, width, c->in, target, smoothing, most, lse, g, g_step,
                                     c->out);
    for (i = 0; i < rows; i++) {
        const real *x = c->x + i * width, dloss = element_load(g, c->dtype, i * g_step);
        real total = 0, sum = 0, want_lse, want = 0;

        for (k = 0; k < width; k++) {
            total += expl(x[k]);
            sum += x[k];
        }
        want_lse = logl(total);
        if (target[i] >= 0)
            want = want_lse - (1 - (real)smoothing) * x[target[i]] - smoothing * sum / width;
        near(c, "lse", element_load(most, c->dtype, i) + element_load(lse, c->dtype, i), want_lse,
             16 * c->eps);
        near(c, "loss", element_load(loss, c->dtype, i), want, 32 * c->eps);
        for (k = 0; k < width; k++) {
            want = expl(x[k] - want_lse) - smoothing / width - (k == target[i]) * (1 - smoothing);
            near(c, "dx", element_load(c->out, c->dtype, i * width + k),
                 target[i] < 0 ? 0 : dloss * want, 64 * c->eps * dloss);
        }
    }
}

/* Several rows at once give the same result as each row alone. */
static void rows_several(rows_case *c, int64_t width)
{
    int64_t rows = c->n / width, i;
    size_t size = ct_dtype_size(c->dtype);
    double most[4096], all[4096], one_most, one;

    rows = rows < 4096 ? rows : 4096;
    c->loops->log_sum_exp(rows, width, c->in, most, all);
    for (i = 0; i < rows; i++) {
        c->loops->log_sum_exp(1, width, (const char *)c->in + (size_t)(i * width) * size, &one_most,
                              &one);
        near(c, "most of several rows", element_load(most, c->dtype, i),
             element_load(&one_most, c->dtype, 0), 0);
        near(c, "log_sum_exp of several rows", element_load(all, c->dtype, i),
             element_load(&one, c->dtype, 0), 0);
    }
}

static void rows_softmax(rows_case *c)
{
    real most = c->x[0], total = 0, lse;
    double got_most, got;
    int64_t i;

    for (i = 0; i < c->n; i++)
        most = fmaxl(most, c->x[i]);
    for (i = 0; i < c->n; i++)
        total += expl(c->x[i] - most);
    lse = most + logl(total);
    c->loops->log_sum_exp(1, c->n, c->in, &got_most, &got);
    near(c, "most", element_load(&got_most, c->dtype, 0), most, 0);
    near(c, "log_sum_exp", element_load(&got, c->dtype, 0), logl(total),
         8 * c->eps * (1 + fabsl(logl(total))));
    for (i = 0; i < 5; i++) { /* short rows are computed side by side */
        static const int64_t widths[] = { 0, 127, 128, 129, 300 };
        int64_t width = i ? widths[i] : 1 + c->n % 61;

        rows_several(c, width);
        rows_loss(c, width, 0, 0);
        rows_loss(c, width, 0, 1);
        rows_loss(c, width, 0.125, 1);
    }
    c->loops->softmax(false, 1, c->n, c->in, c->out);
    for (i = 0; i < c->n; i++)
        near(c, "softmax", element_load(c->out, c->dtype, i), expl(c->x[i] - lse),
             16 * c->eps * expl(c->x[i] - lse) * (1 + fabsl(c->x[i] - most)) + 1e-44L);
    c->loops->softmax(true, 1, c->n, c->in, c->out);
    for (i = 0; i < c->n; i++)
        near(c, "log_softmax", element_load(c->out, c->dtype, i), c->x[i] - lse,
             8 * c->eps * (1 + fabsl(c->x[i] - lse)));
}

static void rows_update(rows_case *c, bool momentum, bool nesterov)
{
    const double lr = 0.125, scale = 0.5, decay = 0.25, mu = 0.75, dampening = 0.5;
    const cti_update u = { .rule = CTI_SGD,
                           .nesterov = nesterov,
                           .scale = scale,
                           .momentum = mu,
                           .dampening = dampening };
    const cti_segment s = { .value = c->out,
                            .grad = c->in,
                            .state = { momentum ? c->other : NULL },
                            .n = c->n,
                            .dtype = c->dtype,
                            .lr = lr,
                            .weight_decay = decay,
                            .shrink = 1 };
    int64_t i;

    for (i = 0; i < c->n; i++) {
        element_store(c->out, c->dtype, i, c->x[c->n - 1 - i]);
        element_store(c->other, c->dtype, i, 0.5L * c->x[i]);
    }
    c->loops->update[CTI_SGD](0, c->n, &u, &s);
    for (i = 0; i < c->n; i++) {
        real w = c->x[c->n - 1 - i], t = scale * c->x[i] + decay * w;
        real m = mu * (c->dtype == CT_F32 ? (real)(float)(0.5L * c->x[i]) : 0.5L * c->x[i]) +
                 (1 - dampening) * t;
        real step = !momentum ? t : nesterov ? t + mu * m : m;
        real size = fabsl(w) + fabsl(c->x[i]);

        near(c, "sgd", element_load(c->out, c->dtype, i), w - lr * step, 8 * c->eps * size);
        if (momentum)
            near(c, "sgd's momentum", element_load(c->other, c->dtype, i), m, 8 * c->eps * size);
    }
}

/* Checks a step of the other rules, from element `at` on, against the formulas. */
static void rows_rule(rows_case *c, int variant, int64_t at)
{
    static const cti_update_rule rules[] = { CTI_ADAM,    CTI_ADAM,    CTI_RMSPROP,
                                             CTI_RMSPROP, CTI_RMSPROP, CTI_ADAGRAD };
    const double lr = 0.125, scale = 0.5, decay = 0.25, mu = 0.75, b1 = 0.5, b2 = 0.75;
    const double eps = 0.125, shrink = 0.875, root = 0.5;
    const cti_update_rule rule = rules[variant];
    const cti_update u = {
        .rule = rule, .scale = scale, .momentum = mu, .beta1 = b1, .beta2 = b2, .eps = eps
    };
    static _Alignas(64) char state[3][3000 * 8];
    bool third = variant == 1 || variant == 3, second = rule == CTI_ADAM || variant >= 3;
    const cti_segment s = { .value = c->out,
                            .grad = c->in,
                            .n = c->n,
                            .dtype = c->dtype,
                            .lr = lr,
                            .state = { state[0], second ? state[1] : NULL,
                                       third ? state[2] : NULL },
                            .weight_decay = decay,
                            .shrink = shrink,
                            .root = root };
    int64_t i;

    for (i = 0; i < c->n; i++) { /* exact in f32 */
        element_store(c->out, c->dtype, i, 1 + i % 7);
        element_store(state[0], c->dtype, i, 0.25L + (real)(i % 5) / 8);
        element_store(state[1], c->dtype, i, 2 + i % 3);
        element_store(state[2], c->dtype, i, (real)(i % 4) / 8);
    }
    c->loops->update[rule](at, c->n - at, &u, &s);
    for (i = 0; i < c->n; i++) {
        real w = 1 + i % 7, s0 = 0.25L + (real)(i % 5) / 8, s1 = 2 + i % 3, s2 = (real)(i % 4) / 8;
        real t = scale * c->x[i] + decay * w, step, want, size = (1 + fabsl(c->x[i])) * (1 + w);
        real n0 = s0, n1 = s1, n2 = s2;

        if (rule == CTI_ADAM) {
            n0 = s0 + (1 - b1) * (t - s0);
            n1 = b2 * s1 + (1 - b2) * t * t;
            n2 = third ? fmaxl(s2, n1) : s2;
            step = n0 / (sqrtl(third ? n2 : n1) / root + eps);
        } else if (rule == CTI_RMSPROP) {
            n0 = b2 * s0 + (1 - b2) * t * t;
            n2 = third ? s2 + (1 - b2) * (t - s2) : s2;
            step = t / (sqrtl(fmaxl(n0 - (third ? n2 * n2 : 0), 0)) + eps);
            n1 = second ? mu * s1 + step : s1;
            step = second ? n1 : step;
        } else {
            n0 = s0 + t * t;
            step = t / (sqrtl(n0) + eps);
        }
        want = (rule == CTI_ADAM ? shrink * w : w) - lr * step;
        size *= size;
        near(c, "value", element_load(c->out, c->dtype, i), i < at ? w : want, 64 * c->eps * size);
        near(c, "state 0", element_load(state[0], c->dtype, i), i < at ? s0 : n0,
             64 * c->eps * size);
        near(c, "state 1", element_load(state[1], c->dtype, i), i < at ? s1 : n1,
             64 * c->eps * size);
        near(c, "state 2", element_load(state[2], c->dtype, i), i < at ? s2 : n2,
             64 * c->eps * size);
    }
}

static void rows_columns(rows_case *c)
{
    int64_t width = 1 + c->n % 150, height = c->n / width, stride = width, i, j;

    c->loops->sum_rows(height, stride, width, c->in, c->out);
    for (i = 0; i < width; i++) {
        real sum = 0, size = 0;

        for (j = 0; j < height; j++) {
            sum += c->x[j * stride + i];
            size += fabsl(c->x[j * stride + i]);
        }
        near(c, "sum_rows", element_load(c->out, c->dtype, i), sum,
             2 * c->eps * (size + fabsl(sum)));
    }
    memcpy(c->out, c->in, sizeof c->out);
    c->loops->add_row(c->n, c->out, c->in);
    for (i = 0; i < c->n; i++)
        near(c, "add_row", element_load(c->out, c->dtype, i), 2 * c->x[i], 0);
}

START_TEST(row_loops)
{
    static const int64_t lengths[] = { 1,  2,   3,   15,  16,   17,   63,   64,
                                       65, 200, 255, 257, 1000, 1024, 1025, 2999 };
    static rows_case c;
    ct_generator g = ct_generator_from_seed(13);
    size_t l;
    int k, d;
    int64_t i;

    for (k = 0; k < path_count; k++)
        for (d = 0; d < 2; d++)
            for (l = 0; l < sizeof lengths / sizeof *lengths; l++) {
                c.path = paths[k]->name;
                c.dtype = d ? CT_F64 : CT_F32;
                c.loops = d ? &paths[k]->rows_f64 : &paths[k]->rows_f32;
                c.eps = d ? 0x1p-52L : 0x1p-23L;
                c.n = lengths[l];
                for (i = 0; i < c.n; i++) {
                    element_store(c.in, c.dtype, i, (ct_random_uniform(&g) - 0.5) * 12);
                    c.x[i] = element_load(c.in, c.dtype, i);
                }
                rows_sums(&c);
                rows_softmax(&c);
                rows_columns(&c);
                rows_update(&c, false, false);
                rows_update(&c, true, false);
                rows_update(&c, true, true);
                for (i = 0; i < 6; i++)
                    rows_rule(&c, (int)i, c.n > 20 ? 5 : 0);
            }
}
END_TEST

/* Large offsets, infinities and NaN give the results of the formula of softmax. */
START_TEST(softmax_specials)
{
    float most, lse;
    int k;

    for (k = 0; k < path_count; k++) {
        const cti_row_loops *l = &paths[k]->rows_f32;
        float far[3] = { 10000.0f, 10001.0f, 9999.0f }, out[3];
        float masked[3] = { -INFINITY, 1.0f, 1.0f }, none[2] = { -INFINITY, -INFINITY };
        float nan[2] = { 1.0f, NAN }, most_of_all[2] = { 1.0f, INFINITY };

        l->softmax(true, 1, 3, far, out);
        expect_close("log_softmax far from 0", (double)out[1], -0.40760596444438013, 1e-6);
        l->softmax(false, 1, 3, masked, out);
        ck_assert(out[0] == 0 && out[1] == 0.5f && out[2] == 0.5f);
        l->softmax(true, 1, 3, masked, out);
        ck_assert(out[0] == -INFINITY);
        expect_close("log 1/2", (double)out[1], log(0.5), 1e-6);
        l->softmax(false, 1, 2, none, out);
        ck_assert(isnan(out[0]) && isnan(out[1]));
        l->softmax(false, 1, 2, nan, out);
        ck_assert(isnan(out[0]) && isnan(out[1]));
        l->log_sum_exp(1, 2, none, &most, &lse);
        ck_assert(most + lse == -INFINITY);
        l->log_sum_exp(1, 2, nan, &most, &lse);
        ck_assert(isnan(most + lse));
        l->log_sum_exp(1, 2, most_of_all, &most, &lse);
        ck_assert(most + lse == INFINITY);
        l->cross_entropy(1, 3, masked, (int64_t[]){ 1 }, 0, out, &most,
                         &lse); /* masked scores do not count */
        expect_close("loss", (double)out[0], log(2), 1e-6);
        expect_close("lse", (double)most + (double)lse, 1 + log(2), 1e-6);
    }
}
END_TEST

/* ---- reductions ---- */

static real reduce_reference(cti_reduce_op op, int64_t n, int64_t step, const void *in,
                             ct_dtype dtype, int64_t from)
{
    real acc = op == CTI_PROD || op == CTI_ALL ? 1 : 0,
         best = n ? element_load(in, dtype, from) : 0;
    int64_t i, at = 0;

    for (i = 0; i < n; i++) {
        real v = element_load(in, dtype, from + i * step);
        bool better = op == CTI_MAX || op == CTI_ARGMAX ? v > best : v < best;

        if (!isnan(best) && (isnan(v) || better)) {
            best = v;
            at = i;
        }
        acc = op == CTI_PROD          ? acc * v
              : op == CTI_SUM_SQUARES ? acc + v * v
              : op == CTI_ANY         ? acc || v
              : op == CTI_ALL         ? acc && v
                                      : acc + v;
    }
    if (op == CTI_ARGMAX || op == CTI_ARGMIN)
        return at;
    return op == CTI_MAX || op == CTI_MIN ? best : acc;
}

static void reduce_case(cti_reduce_op op, ct_dtype dtype, int64_t outer, int64_t n, int64_t inner,
                        ct_generator *g)
{
    bool index = op == CTI_ARGMAX || op == CTI_ARGMIN, floats = dtype == CT_F32 || dtype == CT_F64;
    ct_dtype out_dtype = index ? CT_I64 : dtype;
    int64_t count = outer * n * inner, i;
    void *in = calloc((size_t)count + 1, 8), *out = calloc((size_t)(outer * inner) + 1, 8);

    for (i = 0; i < count; i++) {
        real v = dtype == CT_BOOL ? ct_random_below(g, 2) : (real)(ct_random_uniform(g) * 6 - 3);

        if (!floats)
            v = floorl(v);
        if (floats && op != CTI_SUM && ct_random_below(g, 60) == 0)
            v = (real)NAN;
        element_store(in, dtype, i, v);
    }
    cti_cpu_backend.reduce(&(cti_reduce_args){
        .op = op, .dtype = dtype, .outer = outer, .n = n, .inner = inner, .in = in, .out = out });
    for (i = 0; i < outer * inner; i++) {
        real want = reduce_reference(op, n, inner, in, dtype, i / inner * n * inner + i % inner);
        real got = element_load(out, out_dtype, i);
        real slack = floats && !index ? (fabsl(want) + (op == CTI_SUM_SQUARES ? 9 : 3) * (real)n) *
                                            (dtype == CT_F32 ? 0x1p-22L : 0x1p-50L)
                                      : 0;

        if (!(isnan(got) && isnan(want)) && !(fabsl(got - want) <= slack))
            ck_abort_msg("reduction %d of %s (%lld, %lld, %lld) at %lld: got %Lg, expected %Lg", op,
                         ct_dtype_name(dtype), (long long)outer, (long long)n, (long long)inner,
                         (long long)i, got, want);
    }
    free(in);
    free(out);
}

START_TEST(reductions)
{
    static const ct_dtype dtypes[] = { CT_F32, CT_F64, CT_I32, CT_I64 };
    static const int64_t sizes[][3] = { { 1, 1, 1 },  { 3, 5, 1 },    { 2, 7, 3 },   { 0, 4, 2 },
                                        { 4, 3, 0 },  { 1, 2500, 1 }, { 19, 33, 1 }, { 2, 40, 65 },
                                        { 5, 1, 64 }, { 1, 33, 131 } };
    ct_generator g = ct_generator_from_seed(14);
    size_t i, d;
    int op;

    for (i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (op = CTI_SUM; op <= CTI_ARGMIN; op++)
            for (d = 0; d < 4; d++)
                if (op != CTI_PROD || sizes[i][1] < 20)
                    reduce_case((cti_reduce_op)op, dtypes[d], sizes[i][0], sizes[i][1], sizes[i][2],
                                &g);
        reduce_case(CTI_ANY, CT_BOOL, sizes[i][0], sizes[i][1], sizes[i][2], &g);
        reduce_case(CTI_ALL, CT_BOOL, sizes[i][0], sizes[i][1], sizes[i][2], &g);
    }
    reduce_case(CTI_SUM, CT_F32, 3, 0, 2, &g);
    reduce_case(CTI_PROD, CT_F32, 3, 0, 2, &g);
    reduce_case(CTI_ALL, CT_BOOL, 3, 0, 2, &g);
}
END_TEST

void kernels_rows_cases(Suite *suite)
{
    TCase *tc = harness_case(suite, "rows");

    tcase_add_test(tc, row_loops);
    tcase_add_test(tc, softmax_specials);
    tcase_add_test(tc, reductions);
}
