/* SPDX-License-Identifier: MIT */
/* cuda_kernels_gemm.c - products and whole sequences of a GPU against the CPU's. */
#include "tests/harness.h"

#include <stdint.h>
#include <string.h>

#include "tensor/backend.h"
#include "tests/test_cuda_kernels.h"

/* ---- products ---- */

static void gemm_case(run *t, ct_dtype dtype, const int64_t *s, int way, double beta)
{
    int64_t m = s[0], n = s[1], k = s[2], batch = s[3];
    bool ta = way & 1, tb = way & 2, apart = way & 4;
    cti_gemm g = { .dtype = dtype,
                   .trans_a = ta,
                   .trans_b = tb,
                   .m = m,
                   .n = n,
                   .k = k,
                   .batch = batch,
                   .alpha = apart ? 1.5 : 1,
                   .beta = beta };
    int64_t extra = apart ? 3 : 0, rows_a = ta ? k : m, rows_b = tb ? n : k;
    void *c;

    g.lda = (ta ? m : k) + extra;
    g.ldb = (tb ? k : n) + extra;
    g.ldc = n + extra;
    g.lda += g.lda == 0;
    g.ldb += g.ldb == 0;
    g.ldc += g.ldc == 0;
    g.a_step = rows_a * g.lda;
    g.b_step = apart ? 0 : rows_b * g.ldb;
    g.c_step = m * g.ldc;
    g.a = put(t, dtype, batch * g.a_step);
    g.b = put(t, dtype, apart ? rows_b * g.ldb : batch * g.b_step);
    g.c = c = put(t, dtype, batch * g.c_step);
    g.bias = batch == 1 && beta == 0 && apart ? put(t, dtype, n) : NULL;
    t->be->gemm(&g);
    get(t, "c", c, dtype, batch * g.c_step, tolerance_of(dtype) * 10);
}

START_TEST(products)
{
    static const int64_t shapes[][4] = { { 0, 3, 2, 1 },    { 3, 0, 2, 1 },   { 3, 2, 0, 2 },
                                         { 1, 1, 1, 1 },    { 1, 33, 31, 1 }, { 33, 1, 32, 1 },
                                         { 33, 28, 17, 1 }, { 5, 7, 3, 4 },   { 2, 3, 4, 0 },
                                         { 65, 40, 33, 2 }, { 65, 40, 0, 1 }, { 31, 20, 0, 2 },
                                         { 2, 40, 0, 1 } };
    int d, s, way, b;

    for (d = 0; d < 2; d++)
        for (s = 0; s < 13; s++)
            for (way = 0; way < 8; way++)
                for (b = 0; b < 3; b++)
                    BOTH(SAY("gemm %s shape %d way %d beta %g", ct_dtype_name(floats[d]), s, way,
                             b * 0.5),
                         { gemm_case(t, floats[d], shapes[s], way, b * 0.5); });
}
END_TEST

/* ---- sequences ---- */

/* Bits of way: reverse, no bias, rows of different lengths, no dy, no gradients of the last states,
 * nothing kept for backward. */
static void sequence_case(run *t, ct_dtype dtype, cti_cell_kind kind, const int64_t *shape, int way)
{
    int64_t steps = shape[0], batch = shape[1], n = shape[2], gates = cti_gates_of(kind), b;
    int64_t state = batch * n, lengths[64];
    double tolerance = tolerance_of(dtype) * 10;
    bool lstm = kind == CTI_CELL_LSTM, gru = kind == CTI_CELL_GRU, keep = !(way & 32);
    cti_sequence s = { .kind = kind,
                       .dtype = dtype,
                       .reverse = way & 1,
                       .steps = steps,
                       .batch = batch,
                       .hidden = n };

    s.x = put(t, dtype, steps * batch * gates * n);
    s.w = put(t, dtype, gates * n * n);
    change(t, CTI_EW_affine, dtype, gates * n * n, (void *)(uintptr_t)s.w, 0.1); /* small weights,
                                                                                  * so that
                                                                                  * differences do
                                                                                  * not grow */
    s.bias = way & 2 ? NULL : put(t, dtype, gates * n);
    for (b = 0; b < batch; b++)
        lengths[b] = draw_below(&t->r, steps + 1);
    if (way & 4)
        s.length = put_bytes(t, lengths, (size_t)batch * sizeof *lengths);
    s.h = put(t, dtype, (steps + 1) * state);
    s.c = lstm ? put(t, dtype, (steps + 1) * state) : NULL;
    s.gates = keep && (lstm || gru) ? put(t, dtype, steps * batch * gates * n) : NULL;
    s.hn = keep && gru ? put(t, dtype, steps * state) : NULL;
    s.scratch = put(t, dtype, cti_sequence_scratch(&s));
    t->be->sequence(&s);
    get(t, "h", s.h, dtype, (steps + 1) * state, tolerance);
    if (lstm)
        get(t, "c", s.c, dtype, (steps + 1) * state, tolerance);
    if (!keep && (lstm || gru))
        return;
    s.dy = way & 8 ? NULL : put(t, dtype, steps * state);
    s.dh_last = way & 16 ? NULL : put(t, dtype, state);
    s.dc_last = way & 16 || !lstm ? NULL : put(t, dtype, state);
    s.dx = put(t, dtype, steps * batch * gates * n);
    s.dhx = gru ? put(t, dtype, steps * batch * gates * n) : NULL;
    s.dh0 = put(t, dtype, state);
    s.dc0 = lstm ? put(t, dtype, state) : NULL;
    t->be->sequence_backward(&s);
    get(t, "dx", s.dx, dtype, steps * batch * gates * n, tolerance);
    if (gru)
        get(t, "dhx", s.dhx, dtype, steps * batch * gates * n, tolerance);
    get(t, "dh0", s.dh0, dtype, state, tolerance);
    if (lstm)
        get(t, "dc0", s.dc0, dtype, state, tolerance);
}

START_TEST(sequences)
{
    static const int64_t shapes[][3] = { { 0, 2, 3 }, { 1, 1, 1 }, { 5, 33, 7 }, { 3, 2, 33 } };
    int kind = _i, d, s, way;

    for (d = 0; d < 2; d++)
        for (s = 0; s < 4; s++)
            for (way = 0; way < 64; way++) {
                if (s > 0 && !chosen(way / 16 + way + s + d))
                    continue;
                BOTH(SAY("sequence %d %s shape %d way %d", kind, ct_dtype_name(floats[d]), s, way),
                     { sequence_case(t, floats[d], (cti_cell_kind)kind, shapes[s], way); });
            }
}
END_TEST

/* A GPU refuses bf16 products; it does not compute them in f32. */
START_TEST(bf16_is_refused)
{
    const cti_gemm g = { .dtype = CT_F32,
                         .m = 1,
                         .n = 1,
                         .k = 1,
                         .batch = 1,
                         .lda = 1,
                         .ldb = 1,
                         .ldc = 1,
                         .bf16 = true };
    const cti_sequence s = { .dtype = CT_F32, .steps = 1, .batch = 1, .hidden = 1, .bf16 = true };
    int i;

    for (i = 0; i < 3; i++) {
        if (i == 0)
            device->gemm(&g);
        else if (i == 1)
            device->sequence(&s);
        else
            device->sequence_backward(&s);
        ck_assert(ct_error() == CT_ERR_ARGUMENT);
        ck_assert(strstr(ct_error_message(), "bf16") != NULL);
        ct_error_clear();
    }
}
END_TEST

void cuda_kernels_gemm_cases(Suite *suite)
{

    add(suite, "products", products, 1);
    add(suite, "sequences", sequences, CTI_CELL_GRU + 1);
    add(suite, "bf16", bf16_is_refused, 1);
}
