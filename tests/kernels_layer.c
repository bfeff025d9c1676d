/* SPDX-License-Identifier: MIT */
/* kernels_layer.c - recurrent layers by products in registers: they have the same bits with any number
 * of threads, on both code paths that have them, and for a row alone. */
#include "tests/harness.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/cpu/cpu.h"

#include <cotangent/tensor/config.h>

#include "tests/test_kernels.h"

static const int64_t layer_hidden[] = { 1, 7, 16, 17, 28, 72, 80, 100, 256 };
static const int64_t layer_batch[] = { 1, 2, 7, 16, 33, 129 };

static float *layer_random(ct_generator *g, int64_t n)
{
    float *p = malloc((size_t)(n + 1) * sizeof *p);

    random_matrix(g, p, CT_F32, n);
    return p;
}

void layer_numbers_make(layer_numbers *n, cti_cell_kind kind, int64_t hidden, int64_t batch)
{
    layer_numbers_make_with(n, kind, LAYER_INPUT, hidden, batch);
}

void layer_numbers_make_with(layer_numbers *n, cti_cell_kind kind, int64_t input, int64_t hidden,
                             int64_t batch)
{
    ct_generator g = ct_generator_from_seed(31);
    int64_t wide = cti_gates_of(kind) * hidden, rows = LAYER_STEPS * batch, state = batch * hidden,
            i;
    const int64_t size[LAYER_ARRAYS] = { (LAYER_STEPS + 1) * state,
                                         (LAYER_STEPS + 1) * state,
                                         rows * input,
                                         wide * input,
                                         wide * hidden,
                                         wide,
                                         wide,
                                         state,
                                         state,
                                         0 };

    memset(n, 0, sizeof *n);
    n->l = (cti_layer){
        .kind = kind, .steps = LAYER_STEPS, .batch = batch, .input = input, .hidden = hidden
    };
    memcpy(n->size, size, sizeof size);
    n->size[LAYER_ARRAYS - 1] = cti_layer_gates(&n->l);
    n->w_ih = layer_random(&g, wide * input);
    n->w_hh = layer_random(&g, wide * hidden);
    n->b_ih = layer_random(&g, wide);
    n->b_hh = layer_random(&g, wide);
    n->x = layer_random(&g, rows * input);
    n->dy = layer_random(&g, rows * hidden);
    n->dh_last = layer_random(&g, state);
    n->dc_last = layer_random(&g, state);
    n->h0 = layer_random(&g, state);
    n->c0 = layer_random(&g, state);
    n->index = malloc((size_t)rows * sizeof *n->index);
    for (i = 0; i < rows; i++)
        n->index[i] = i * i % input;
    for (i = 0; i < wide * hidden; i++)
        n->w_hh[i] /= (float)hidden;
    for (i = 0; i < LAYER_ARRAYS; i++)
        n->out[i] = malloc((size_t)(n->size[i] + 1) * sizeof(float));
}

void layer_numbers_unmake(layer_numbers *n)
{
    float *in[] = { n->x,  n->w_ih,    n->w_hh,    n->b_ih, n->b_hh,
                    n->dy, n->dh_last, n->dc_last, n->h0,   n->c0 };
    size_t i;

    for (i = 0; i < LENGTH(in); i++)
        free(in[i]);
    for (i = 0; i < LAYER_ARRAYS; i++)
        free(n->out[i]);
    free(n->index);
}

void layer_numbers_call(layer_numbers *n, bool one_hot, bool reverse)
{
    cti_layer *l = &n->l;
    int64_t state = l->batch * l->hidden, first = reverse ? LAYER_STEPS * state : 0, i;

    for (i = 0; i < LAYER_ARRAYS; i++)
        memset(n->out[i], 0, (size_t)n->size[i] * sizeof(float));
    memcpy(n->out[0] + first, n->h0, (size_t)state * sizeof(float));
    memcpy(n->out[1] + first, n->c0, (size_t)state * sizeof(float));
    l->reverse = reverse;
    l->x = one_hot ? NULL : n->x;
    l->index = one_hot ? n->index : NULL;
    l->index_dtype = CT_I64;
    l->w_ih = n->w_ih;
    l->w_hh = n->w_hh;
    l->b_ih = n->no_bias ? NULL : n->b_ih;
    l->b_hh = n->no_bias ? NULL : n->b_hh;
    l->dy = n->dy;
    l->dh_last = n->dh_last;
    l->dc_last = n->dc_last;
    l->h = n->out[0];
    l->c = n->out[1];
    l->dx = one_hot ? NULL : n->out[2];
    l->dw_ih = n->out[3];
    l->dw_hh = n->out[4];
    l->db_ih = n->no_bias ? NULL : n->out[5];
    l->db_hh = n->no_bias ? NULL : n->out[6];
    l->dh0 = n->out[7];
    l->dc0 = l->kind == CTI_CELL_LSTM ? n->out[8] : NULL;
    l->gates = n->out[9];
}

bool layer_numbers_run(layer_numbers *n, bool one_hot, bool reverse)
{
    layer_numbers_call(n, one_hot, reverse);
    return cti_cpu_layer(&n->l) == CT_OK && cti_cpu_layer_backward(&n->l) == CT_OK;
}

void expect_layer_numbers(const layer_numbers *a, const layer_numbers *b, const char *what)
{
    int i;

    for (i = 0; i < LAYER_ARRAYS - 1; i++)
        ck_assert_msg(memcmp(a->out[i], b->out[i], (size_t)a->size[i] * sizeof(float)) == 0,
                      "kind %d, hidden %lld, batch %lld: array %d differs %s", (int)a->l.kind,
                      (long long)a->l.hidden, (long long)a->l.batch, i, what);
}

/* Checks that the states of the last row, and the gradients of its input and of its first state, have
 * the bits of a batch of this row alone. */
static void expect_rows(const layer_numbers *a, bool one_hot, bool reverse)
{
    const cti_layer *l = &a->l;
    size_t bytes = (size_t)l->hidden * sizeof(float);
    layer_numbers one;
    int64_t row = l->batch - 1, t;

    layer_numbers_make(&one, l->kind, l->hidden, 1);
    one.l.bf16 = l->bf16;
    for (t = 0; t < LAYER_STEPS; t++) {
        memcpy(one.x + t * LAYER_INPUT, a->x + (t * l->batch + row) * LAYER_INPUT,
               LAYER_INPUT * sizeof(float));
        memcpy(one.dy + t * l->hidden, a->dy + (t * l->batch + row) * l->hidden, bytes);
        one.index[t] = a->index[t * l->batch + row];
    }
    memcpy(one.w_ih, a->w_ih, (size_t)a->size[3] * sizeof(float));
    memcpy(one.w_hh, a->w_hh, (size_t)a->size[4] * sizeof(float));
    memcpy(one.b_ih, a->b_ih, (size_t)a->size[5] * sizeof(float));
    memcpy(one.b_hh, a->b_hh, (size_t)a->size[6] * sizeof(float));
    memcpy(one.h0, a->h0 + row * l->hidden, bytes);
    memcpy(one.c0, a->c0 + row * l->hidden, bytes);
    memcpy(one.dh_last, a->dh_last + row * l->hidden, bytes);
    memcpy(one.dc_last, a->dc_last + row * l->hidden, bytes);
    ck_assert(layer_numbers_run(&one, one_hot, reverse));
    for (t = 0; t <= LAYER_STEPS; t++)
        ck_assert(memcmp(one.out[0] + t * l->hidden, a->out[0] + (t * l->batch + row) * l->hidden,
                         bytes) == 0);
    for (t = 0; t < LAYER_STEPS && !one_hot; t++)
        ck_assert(memcmp(one.out[2] + t * LAYER_INPUT,
                         a->out[2] + (t * l->batch + row) * LAYER_INPUT,
                         LAYER_INPUT * sizeof(float)) == 0);
    ck_assert(memcmp(one.out[7], a->out[7] + row * l->hidden, bytes) == 0);
    layer_numbers_unmake(&one);
}

/* Checks that both code paths give the results of `a`. */
static void expect_paths(const layer_numbers *a, layer_numbers *b, bool one_hot, bool reverse)
{
    int p;

    for (p = 0; p < path_count; p++) {
        cti_micro_wanted = paths[p]->micro;
        if (cti_micro_wanted->lanes) {
            ck_assert(layer_numbers_run(b, one_hot, reverse));
            expect_layer_numbers(a, b, "by the code path");
        }
        cti_micro_wanted = NULL;
    }
}

/* Checks that the other results have the same bits if the gradient of the first state is not needed. */
static void expect_without_dh0(const layer_numbers *a, layer_numbers *b, bool one_hot, bool reverse)
{
    int threads;

    b->l.no_dh0 = true;
    for (threads = 1; threads <= 4; threads += 3) {
        ck_assert(ct_set_num_threads(threads) == CT_OK);
        ck_assert(layer_numbers_run(b, one_hot, reverse));
        memcpy(b->out[7], a->out[7], (size_t)a->size[7] * sizeof(float));
        expect_layer_numbers(a, b, "without dh0");
    }
}

static void expect_bits(cti_cell_kind kind, int64_t hidden, int64_t batch, bool bf16, int form)
{
    static const int threads[] = { 2, 3, 5, 16 };
    const bool one_hot = form % 2, reverse = form / 2 % 2;
    int usual = ct_num_threads();
    layer_numbers a, b;
    size_t i;

    layer_numbers_make(&a, kind, hidden, batch);
    layer_numbers_make(&b, kind, hidden, batch);
    a.l.bf16 = b.l.bf16 = bf16;
    ck_assert(ct_set_num_threads(1) == CT_OK);
    if (layer_numbers_run(&a, one_hot, reverse)) {
        for (i = 0; i < LENGTH(threads); i++) {
            ck_assert(ct_set_num_threads(threads[i]) == CT_OK);
            ck_assert(layer_numbers_run(&b, one_hot, reverse));
            expect_layer_numbers(&a, &b, "by the number of threads");
        }
        if (!bf16)
            expect_paths(&a, &b, one_hot, reverse);
        expect_without_dh0(&a, &b, one_hot, reverse);
        expect_rows(&a, one_hot, reverse);
    } else {
        ck_assert(bf16 ? !cti_bf16_path_get() : !cti_micro_of(cti_cpu_path_get()));
    }
    layer_numbers_unmake(&a);
    layer_numbers_unmake(&b);
    ck_assert(ct_set_num_threads(usual) == CT_OK);
}

/* In f32 and, with the second half of the numbers, in bf16. */
START_TEST(layer_bits)
{
    const int cases = (int)(LENGTH(layer_hidden) * LENGTH(layer_batch)), i = _i % cases;
    const int64_t hidden = layer_hidden[i / (int)LENGTH(layer_batch)];
    const int64_t batch = layer_batch[i % (int)LENGTH(layer_batch)];
    int kind;

    for (kind = CTI_CELL_TANH; kind <= CTI_CELL_GRU; kind++)
        expect_bits((cti_cell_kind)kind, hidden, batch, _i >= cases, i + kind);
}
END_TEST

/* Two directions at the same time have the bits of each alone. One has no gradients of its weights. */
START_TEST(layer_directions)
{
    static const int threads[] = { 1, 2, 3, 5, 16 };
    const int64_t hidden = layer_hidden[_i / (int)LENGTH(layer_batch)];
    const int64_t batch = layer_batch[_i % (int)LENGTH(layer_batch)];
    const cti_cell_kind kind = (cti_cell_kind)(_i % (CTI_CELL_GRU + 1));
    const bool bf16 = _i % 3 == 0 && cti_bf16_path_get();
    const int usual = ct_num_threads();
    layer_numbers a[2], b[2];
    size_t i;
    int d;

    for (d = 0; d < 2; d++) {
        layer_numbers_make(&a[d], kind, hidden, batch);
        layer_numbers_make(&b[d], kind, hidden, batch);
        a[d].l.bf16 = b[d].l.bf16 = bf16;
    }
    for (i = 0; i < (size_t)a[0].size[4]; i++) /* the directions have different weights */
        a[1].w_hh[i] = b[1].w_hh[i] = -a[0].w_hh[i];
    ck_assert(ct_set_num_threads(1) == CT_OK);
    if (layer_numbers_run(&a[0], _i % 2, false) && layer_numbers_run(&a[1], _i % 2, true))
        for (i = 0; i < LENGTH(threads); i++) {
            ck_assert(ct_set_num_threads(threads[i]) == CT_OK);
            layer_numbers_call(&b[0], _i % 2, false);
            layer_numbers_call(&b[1], _i % 2, true);
            b[0].l.next = &b[1].l;
            ck_assert(cti_cpu_layer(&b[0].l) == CT_OK);
            b[1].l.dw_ih = b[1].l.dw_hh = NULL;
            ck_assert(cti_cpu_layer_backward(&b[0].l) == CT_OK);
            expect_layer_numbers(&a[0], &b[0], "beside the other direction");
            memcpy(b[1].out[3], a[1].out[3], (size_t)a[1].size[3] * sizeof(float));
            memcpy(b[1].out[4], a[1].out[4], (size_t)a[1].size[4] * sizeof(float));
            expect_layer_numbers(&a[1], &b[1], "in the other direction");
        }
    for (d = 0; d < 2; d++) {
        layer_numbers_unmake(&a[d]);
        layer_numbers_unmake(&b[d]);
    }
    ck_assert(ct_set_num_threads(usual) == CT_OK);
}
END_TEST

unsigned layer_float_mode(void)
{
#if defined(__SSE__)
    return __builtin_ia32_stmxcsr() & 0xffc0;
#else
    return 0;
#endif
}

/* The kernels do not change the mode. Subnormal numbers are not treated as 0. */
START_TEST(layer_mode)
{
    const float tiny = 0x1p-130f;
    const unsigned mode = layer_float_mode();
    layer_numbers n;
    int64_t i;

    layer_numbers_make(&n, CTI_CELL_RELU, 17, 16);
    memset(n.b_ih, 0, (size_t)n.size[5] * sizeof(float));
    memset(n.b_hh, 0, (size_t)n.size[6] * sizeof(float));
    memset(n.h0, 0, (size_t)n.size[7] * sizeof(float));
    memset(n.w_hh, 0, (size_t)n.size[4] * sizeof(float));
    for (i = 0; i < n.size[3]; i++)
        n.w_ih[i] = i % LAYER_INPUT == 0 ? tiny : 0;
    for (i = 0; i < LAYER_STEPS * n.l.batch * LAYER_INPUT; i++)
        n.x[i] = 0.5f;
    if (layer_numbers_run(&n, false, false)) {
        ck_assert_uint_eq(layer_float_mode(), mode);
        for (i = n.size[7]; i < n.size[0]; i++)
            ck_assert_msg(n.out[0][i] == 0x1p-131f, "element %d is %a", (int)i, n.out[0][i]);
    } else {
        ck_assert(!cti_micro_of(cti_cpu_path_get()));
    }
    layer_numbers_unmake(&n);
}
END_TEST

/* Sequences that the kernels do not support. */
START_TEST(layer_refusals)
{
    layer_numbers n;

    layer_numbers_make(&n, CTI_CELL_LSTM, 7, 3);
    n.l.steps = 3;
    ck_assert(!layer_numbers_run(&n, false, false));
    n.l.steps = LAYER_STEPS;
    n.l.batch = 0;
    ck_assert(!layer_numbers_run(&n, false, false));
    n.l.batch = 3;
    ct_set_portable(true);
    ck_assert(!layer_numbers_run(&n, false, false));
    n.l.bf16 = true;
    ck_assert(!layer_numbers_run(&n, false, false));
    ct_set_portable(false);
    layer_numbers_unmake(&n);
}
END_TEST

void kernels_layer_cases(Suite *suite)
{
    TCase *tc = harness_case(suite, "layer");

    tcase_add_loop_test(tc, layer_bits, 0, 2 * (int)(LENGTH(layer_hidden) * LENGTH(layer_batch)));
    tcase_add_loop_test(tc, layer_directions, 0, (int)(LENGTH(layer_hidden) * LENGTH(layer_batch)));
    tcase_add_test(tc, layer_mode);
    tcase_add_test(tc, layer_refusals);
}
