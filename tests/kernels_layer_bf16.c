/* SPDX-License-Identifier: MIT */
/* kernels_layer_bf16.c - recurrent layers whose products have operands in bf16, compared with plain
 * loops that round these operands. */
#include "tests/harness.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/cpu/cpu.h"

#include "tests/test_kernels.h"

/* Returns false, and prints why, if this processor has no bf16 instructions. */
static bool has_bf16(const char *test)
{
    if (cti_bf16_path_get())
        return true;
    printf("%s: skipped, this processor or code path has no AVX512-BF16\n", test);
    return false;
}

/* ---- the reference, in double ---- */

/* The numbers of a layer as doubles. Those whose names begin with r are operands of products: they are
 * rounded, unless `exact`. */
typedef struct plain_layer {
    const layer_numbers *n;
    bool exact;
    int64_t wide, gates; /* G H, G */
    double *rx, *rw_ih, *rw_hh;
    double *h, *c;     /* (T + 1, B, H), in the order of computation */
    double *state;     /* (T, B, G H): h W_hh^T + b_hh */
    double *input;     /* (T, B, G H): x W_ih^T + b_ih */
    double *d_s, *d_i; /* (T, B, G H): their gradients */
    double *out[LAYER_ARRAYS];
} plain_layer;

static double *plain_zeros(int64_t n)
{
    return calloc((size_t)n + 1, sizeof(double));
}

static double plain_operand(const plain_layer *p, double v)
{
    return p->exact ? v : bf16_of(v);
}

static double *plain_operands(const plain_layer *p, const float *in, int64_t n)
{
    double *out = plain_zeros(n);
    int64_t i;

    for (i = 0; i < n; i++)
        out[i] = plain_operand(p, (double)in[i]);
    return out;
}

/* The time of step k. */
static int64_t plain_time(const plain_layer *p, int64_t k)
{
    return p->n->l.reverse ? LAYER_STEPS - 1 - k : k;
}

/* out (m) += a (k) B^T (m, k) */
static void plain_times(int64_t m, int64_t k, const double *a, const double *b, double *out)
{
    int64_t i, j;

    for (i = 0; i < m; i++)
        for (j = 0; j < k; j++)
            out[i] += a[j] * b[i * k + j];
}

/* out (k) += a (m) B (m, k) */
static void plain_times_back(int64_t m, int64_t k, const double *a, const double *b, double *out)
{
    int64_t i, j;

    for (i = 0; i < m; i++)
        for (j = 0; j < k; j++)
            out[j] += a[i] * b[i * k + j];
}

/* out (m, k) += a (m)^T b (k) */
static void plain_outer(int64_t m, int64_t k, const double *a, const double *b, double *out)
{
    int64_t i, j;

    for (i = 0; i < m; i++)
        for (j = 0; j < k; j++)
            out[i * k + j] += a[i] * b[j];
}

static double plain_sigmoid(double v)
{
    return 1 / (1 + exp(-v));
}

/* One unit of one row: s and x are the parts of the state and of the input, H apart. */
static void plain_cell(const plain_layer *p, const double *s, const double *x, double h, double c,
                       double *h_after, double *c_after)
{
    const int64_t n = p->n->l.hidden;
    double v = s[0] + x[0];

    switch (p->n->l.kind) {
    case CTI_CELL_TANH:
        *h_after = tanh(v);
        return;
    case CTI_CELL_RELU:
        *h_after = v > 0 ? v : 0;
        return;
    case CTI_CELL_LSTM:
        *c_after = plain_sigmoid(s[n] + x[n]) * c + plain_sigmoid(v) * tanh(s[2 * n] + x[2 * n]);
        *h_after = plain_sigmoid(s[3 * n] + x[3 * n]) * tanh(*c_after);
        return;
    case CTI_CELL_GRU: {
        double z = plain_sigmoid(s[n] + x[n]);

        *h_after = (1 - z) * tanh(x[2 * n] + plain_sigmoid(v) * s[2 * n]) + z * h;
        return;
    }
    }
}

/* Replaces the gradients dh and dc of one unit after a step by the parts of those before it that do not
 * come from products. Stores the gradients of s and x. */
static void plain_cell_back(const plain_layer *p, const double *s, const double *x, double h_before,
                            double h_after, double c_before, double c_after, double *dh, double *dc,
                            double *d_s, double *d_x)
{
    const int64_t n = p->n->l.hidden;
    const double d = *dh;
    int64_t i;

    *dh = 0;
    if (p->n->l.kind == CTI_CELL_TANH || p->n->l.kind == CTI_CELL_RELU) {
        d_s[0] = p->n->l.kind == CTI_CELL_TANH ? d * (1 - h_after * h_after) : h_after > 0 ? d : 0;
    } else if (p->n->l.kind == CTI_CELL_LSTM) {
        double in = plain_sigmoid(s[0] + x[0]), forget = plain_sigmoid(s[n] + x[n]);
        double cell = tanh(s[2 * n] + x[2 * n]), out = plain_sigmoid(s[3 * n] + x[3 * n]);
        double all = *dc + d * out * (1 - tanh(c_after) * tanh(c_after));

        d_s[0] = all * cell * in * (1 - in);
        d_s[n] = all * c_before * forget * (1 - forget);
        d_s[2 * n] = all * in * (1 - cell * cell);
        d_s[3 * n] = d * tanh(c_after) * out * (1 - out);
        *dc = all * forget;
    } else {
        double reset = plain_sigmoid(s[0] + x[0]), z = plain_sigmoid(s[n] + x[n]);
        double fresh = tanh(x[2 * n] + reset * s[2 * n]);
        double dn = d * (1 - z) * (1 - fresh * fresh);

        d_s[0] = dn * s[2 * n] * reset * (1 - reset);
        d_s[n] = d * (h_before - fresh) * z * (1 - z);
        d_s[2 * n] = dn * reset;
        d_x[2 * n] = dn;
        *dh = d * z;
    }
    for (i = 0; i < p->gates; i++)
        if (p->n->l.kind != CTI_CELL_GRU || i < 2)
            d_x[i * n] = d_s[i * n];
}

/* Computes row b of step k. */
static void plain_step(plain_layer *p, int64_t k, int64_t b)
{
    const layer_numbers *n = p->n;
    int64_t h = n->l.hidden, t = plain_time(p, k), row = t * n->l.batch + b, i;
    int64_t before = (k * n->l.batch + b) * h, after = before + n->l.batch * h;
    double *s = p->state + row * p->wide, *x = p->input + row * p->wide, *operand = plain_zeros(h);

    for (i = 0; i < p->wide; i++) {
        s[i] = n->no_bias ? 0 : (double)n->b_hh[i];
        x[i] = n->no_bias ? 0 : (double)n->b_ih[i];
        if (!n->l.x)
            x[i] += (double)n->w_ih[i * LAYER_INPUT + n->index[row]];
    }
    for (i = 0; i < h; i++)
        operand[i] = plain_operand(p, p->h[before + i]);
    plain_times(p->wide, h, operand, p->rw_hh, s);
    if (n->l.x)
        plain_times(p->wide, LAYER_INPUT, p->rx + row * LAYER_INPUT, p->rw_ih, x);
    for (i = 0; i < h; i++)
        plain_cell(p, s + i, x + i, p->h[before + i], p->c[before + i], &p->h[after + i],
                   &p->c[after + i]);
    free(operand);
}

/* Adds what row b of step k gives to the gradients of the weights and biases. */
static void plain_weights_back(plain_layer *p, int64_t row, const double *before)
{
    const layer_numbers *n = p->n;
    const double *d_s = p->d_s + row * p->wide, *d_x = p->d_i + row * p->wide;
    double *r_s = plain_zeros(p->wide), *r_x = plain_zeros(p->wide),
           *operand = plain_zeros(n->l.hidden);
    int64_t i;

    for (i = 0; i < p->wide; i++) {
        r_s[i] = plain_operand(p, d_s[i]);
        r_x[i] = plain_operand(p, d_x[i]);
        p->out[5][i] += n->no_bias ? 0 : d_x[i];
        p->out[6][i] += n->no_bias ? 0 : d_s[i];
        if (!n->l.x)
            p->out[3][i * LAYER_INPUT + n->index[row]] += d_x[i];
    }
    for (i = 0; i < n->l.hidden; i++)
        operand[i] = plain_operand(p, before[i]);
    plain_outer(p->wide, n->l.hidden, r_s, operand, p->out[4]);
    if (n->l.x) {
        plain_outer(p->wide, LAYER_INPUT, r_x, p->rx + row * LAYER_INPUT, p->out[3]);
        plain_times_back(p->wide, LAYER_INPUT, r_x, p->rw_ih, p->out[2] + row * LAYER_INPUT);
    }
    plain_times_back(p->wide, n->l.hidden, r_s, p->rw_hh,
                     p->out[7] + row % n->l.batch * n->l.hidden);
    free(r_s);
    free(r_x);
    free(operand);
}

/* Differentiates row b of step k. */
static void plain_step_back(plain_layer *p, int64_t k, int64_t b)
{
    const layer_numbers *n = p->n;
    int64_t h = n->l.hidden, row = plain_time(p, k) * n->l.batch + b, i;
    int64_t before = (k * n->l.batch + b) * h, after = before + n->l.batch * h;
    double *dh = p->out[7] + b * h, *dc = p->out[8] + b * h;

    for (i = 0; i < h; i++) {
        int64_t at = row * p->wide + i;

        dh[i] += (double)n->dy[row * h + i];
        plain_cell_back(p, p->state + at, p->input + at, p->h[before + i], p->h[after + i],
                        p->c[before + i], p->c[after + i], &dh[i], &dc[i], p->d_s + at,
                        p->d_i + at);
    }
    plain_weights_back(p, row, p->h + before);
}

/* Computes all results of n, whose layer has run. h and c are stored as the kernel stores them. */
static void plain_run(plain_layer *p, const layer_numbers *n, bool exact)
{
    int64_t batch = n->l.batch, state = batch * n->l.hidden, rows = LAYER_STEPS * batch, i, k;

    memset(p, 0, sizeof *p);
    p->n = n;
    p->exact = exact;
    p->gates = cti_gates_of(n->l.kind);
    p->wide = p->gates * n->l.hidden;
    p->rx = plain_operands(p, n->x, rows * LAYER_INPUT);
    p->rw_ih = plain_operands(p, n->w_ih, n->size[3]);
    p->rw_hh = plain_operands(p, n->w_hh, n->size[4]);
    p->h = plain_zeros(n->size[0]);
    p->c = plain_zeros(n->size[1]);
    p->state = plain_zeros(rows * p->wide);
    p->input = plain_zeros(rows * p->wide);
    p->d_s = plain_zeros(rows * p->wide);
    p->d_i = plain_zeros(rows * p->wide);
    for (i = 0; i < LAYER_ARRAYS - 1; i++)
        p->out[i] = plain_zeros(n->size[i]);
    for (i = 0; i < state; i++) {
        p->h[i] = (double)n->h0[i];
        p->c[i] = (double)n->c0[i];
        p->out[7][i] = (double)n->dh_last[i];
        p->out[8][i] = n->l.kind == CTI_CELL_LSTM ? (double)n->dc_last[i] : 0;
    }
    for (k = 0; k < LAYER_STEPS; k++)
        for (i = 0; i < batch; i++)
            plain_step(p, k, i);
    for (k = LAYER_STEPS - 1; k >= 0; k--)
        for (i = 0; i < batch; i++)
            plain_step_back(p, k, i);
    for (k = 0; k <= LAYER_STEPS; k++)
        for (i = 0; i < state; i++) {
            int64_t to = (n->l.reverse ? LAYER_STEPS - k : k) * state + i;

            p->out[0][to] = p->h[k * state + i];
            p->out[1][to] = p->c[k * state + i];
        }
}

static void plain_free(plain_layer *p)
{
    double *all[] = { p->rx, p->rw_ih, p->rw_hh, p->h, p->c, p->state, p->input, p->d_s, p->d_i };
    size_t i;

    for (i = 0; i < LENGTH(all); i++)
        free(all[i]);
    for (i = 0; i < LAYER_ARRAYS - 1; i++)
        free(p->out[i]);
}

/* ---- cases ---- */

/* The root of the mean square of the differences, divided by that of the numbers. Sums in another
 * order cost 1e-6. Because of them a few numbers are rounded to bf16 the other way, which costs up to 3e-4.
 * Without rounding, the gradient of W_hh differs by at least 1.4e-3. */
static double plain_distance(const layer_numbers *n, const plain_layer *p, int array)
{
    double square = 0, size = 0;
    int64_t i;

    for (i = 0; i < n->size[array]; i++) {
        double d = (double)n->out[array][i] - p->out[array][i];

        square += d * d;
        size += p->out[array][i] * p->out[array][i];
    }
    return size > 0 ? sqrt(square / size) : sqrt(square);
}

static void expect_plain(cti_cell_kind kind, int64_t hidden, int64_t batch, int form)
{
    layer_numbers n;
    plain_layer rounded, exact;
    int i;

    layer_numbers_make(&n, kind, hidden, batch);
    n.l.bf16 = true;
    n.no_bias = form / 4;
    ck_assert(layer_numbers_run(&n, form % 2, form / 2 % 2));
    plain_run(&rounded, &n, false);
    plain_run(&exact, &n, true);
    for (i = 0; i < LAYER_ARRAYS - 1; i++) {
        bool has = (i != 1 && i != 8) || kind == CTI_CELL_LSTM;
        double d = plain_distance(&n, &rounded, i);

        if (has && !(d <= 5e-4))
            ck_abort_msg("kind %d, hidden %d, batch %d, form %d: array %d differs by %g", (int)kind,
                         (int)hidden, (int)batch, form, i, d);
        d = plain_distance(&n, &exact, i);
        if (hidden >= 16 && i == 4 && !(d >= 1e-3))
            ck_abort_msg("kind %d, hidden %d, batch %d, form %d: not rounded, %g", (int)kind,
                         (int)hidden, (int)batch, form, d);
    }
    plain_free(&rounded);
    plain_free(&exact);
    layer_numbers_unmake(&n);
}

/* All results, with x dense and one-hot, forward and in reverse, with and without biases. */
START_TEST(layer_bf16_values)
{
    static const int64_t hidden[] = { 1, 7, 16, 17, 28, 72, 80, 100 }, batch[] = { 1, 2, 7, 33 };
    int kind = _i % 4, form;
    size_t i;

    if (!has_bf16("layer_bf16_values"))
        return;
    for (i = 0; i < LENGTH(hidden); i++)
        for (form = 0; form < 8; form++)
            if (hidden[i] < 72 || form == (int)i % 8)
                expect_plain((cti_cell_kind)kind, hidden[i], batch[(i + (size_t)form) % 4], form);
    expect_plain((cti_cell_kind)kind, 256, 16, kind);
}
END_TEST

/* Subnormal numbers are 0 in products, and the kernels do not change the mode of the processor. */
START_TEST(layer_bf16_subnormal)
{
    const unsigned mode = layer_float_mode();
    layer_numbers n;
    int64_t i;

    if (!has_bf16("layer_bf16_subnormal"))
        return;
    layer_numbers_make(&n, CTI_CELL_RELU, 17, 16);
    n.l.bf16 = n.no_bias = true;
    memset(n.h0, 0, (size_t)n.size[7] * sizeof(float));
    for (i = 0; i < n.size[3]; i++)
        n.w_ih[i] = i % 2 ? 0x1p-130f : 0x1.fffffp-127f;
    for (i = 0; i < LAYER_STEPS * n.l.batch * LAYER_INPUT; i++)
        n.x[i] = 0x1p100f;
    ck_assert(layer_numbers_run(&n, false, false));
    ck_assert_uint_eq(layer_float_mode(), mode);
    for (i = 0; i < n.size[0]; i++)
        if (!(n.out[0][i] == 0))
            ck_abort_msg("element %d is %a", (int)i, (double)n.out[0][i]);
    layer_numbers_unmake(&n);
}
END_TEST

/* A NaN of x makes its row NaN from its step on, and no other row. An infinite weight saturates its unit. */
START_TEST(layer_bf16_special)
{
    const int64_t hidden = 17, batch = 7, row = 3, step = 2;
    cti_cell_kind kind = _i == 0 ? CTI_CELL_TANH : _i == 1 ? CTI_CELL_LSTM : CTI_CELL_GRU;
    layer_numbers n;
    int64_t t, b, i;

    if (!has_bf16("layer_bf16_special"))
        return;
    layer_numbers_make(&n, kind, hidden, batch);
    n.l.bf16 = true;
    n.x[(step * batch + row) * LAYER_INPUT + 5] = NAN;
    ck_assert(layer_numbers_run(&n, false, false));
    for (t = 0; t <= LAYER_STEPS; t++)
        for (b = 0; b < batch; b++)
            for (i = 0; i < hidden; i++)
                if (isnan(n.out[0][(t * batch + b) * hidden + i]) != (b == row && t > step))
                    ck_abort_msg("step %d, row %d, unit %d is %g", (int)t, (int)b, (int)i,
                                 (double)n.out[0][(t * batch + b) * hidden + i]);
    for (i = 0; i < n.size[4]; i++)
        if (!isnan(n.out[4][i]))
            ck_abort_msg("gradient %d of W_hh is %g", (int)i, (double)n.out[4][i]);
    layer_numbers_unmake(&n);
    if (kind != CTI_CELL_TANH)
        return;
    layer_numbers_make(&n, kind, hidden, batch);
    n.l.bf16 = true;
    n.w_ih[4 * LAYER_INPUT + 1] = INFINITY;
    n.w_ih[5 * LAYER_INPUT + 1] = 3.4e38f; /* rounds to infinity */
    ck_assert(layer_numbers_run(&n, false, false));
    for (b = 0; b < batch; b++) {
        double sign = n.x[b * LAYER_INPUT + 1] > 0 ? 1 : -1;

        ck_assert((double)n.out[0][(batch + b) * hidden + 4] == sign);
        ck_assert((double)n.out[0][(batch + b) * hidden + 5] == sign);
    }
    layer_numbers_unmake(&n);
}
END_TEST

/* Backward runs after ct_set_portable(true), too, with the same bits. */
START_TEST(layer_bf16_portable)
{
    layer_numbers a, b;
    int i;

    if (!has_bf16("layer_bf16_portable"))
        return;
    layer_numbers_make(&a, CTI_CELL_LSTM, 28, 7);
    layer_numbers_make(&b, CTI_CELL_LSTM, 28, 7);
    a.l.bf16 = b.l.bf16 = true;
    ck_assert(layer_numbers_run(&a, false, false));
    ck_assert(layer_numbers_run(&b, false, false));
    for (i = 2; i < LAYER_ARRAYS - 1; i++)
        memset(b.out[i], 0xff, (size_t)b.size[i] * sizeof(float));
    ct_set_portable(true);
    ck_assert(cti_cpu_layer(&b.l) == CT_ERR_MEMORY);
    ck_assert(cti_cpu_layer_backward(&b.l) == CT_OK);
    ct_set_portable(false);
    for (i = 2; i < LAYER_ARRAYS - 1; i++)
        ck_assert_msg(memcmp(a.out[i], b.out[i], (size_t)a.size[i] * sizeof(float)) == 0,
                      "array %d", i);
    layer_numbers_unmake(&a);
    layer_numbers_unmake(&b);
}
END_TEST

void kernels_layer_bf16_cases(Suite *suite)
{
    TCase *tc = harness_case(suite, "layer_bf16");

    tcase_add_loop_test(tc, layer_bf16_values, 0, 4);
    tcase_add_test(tc, layer_bf16_subnormal);
    tcase_add_loop_test(tc, layer_bf16_special, 0, 3);
    tcase_add_test(tc, layer_bf16_portable);
}
