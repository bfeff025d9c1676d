/* SPDX-License-Identifier: MIT */
/* kernels_gemm.c - products and whole sequences, in all precisions. */
#include "tests/harness.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/cpu/cpu.h"
#include "tensor/hooks.h"

#include <cotangent/tensor/build_info.h>
#include <cotangent/tensor/config.h>

#include "tests/test_kernels.h"

#ifdef HAVE_OPENBLAS_SET_NUM_THREADS
#include <cblas.h>
#endif

/* ---- gemm ---- */

/* Checks C = alpha op(A) op(B) + beta C, batch times, with padded rows; the padding must not
 * change. Some cases have a bias instead of beta C. If `bare` is true, alpha is 1, beta is 0 or 1,
 * and A has no padding. */
static void gemm_case(ct_generator *g, ct_dtype dtype, const int64_t *size_of, bool bare)
{
    static const double scales[] = { 0, 1, -0.5, 2 };
    const int64_t m = size_of[0], n = size_of[1], k = size_of[2], batch = size_of[3];
    cti_gemm p = {
        .dtype = dtype, .trans_a = ct_random_below(g, 2), .m = m, .n = n, .k = k, .batch = batch
    };
    int64_t rows_a, rows_b, size_a, size_b, size_c, i, j, l, b;
    real *before, eps = dtype == CT_F32 ? 0x1p-23L : 0x1p-52L;
    double bias[512];
    void *pa, *pb;

    p.trans_b = ct_random_below(g, 2);
    p.alpha = scales[1 + ct_random_below(g, bare ? 1 : 3)];
    p.beta = scales[ct_random_below(g, bare ? 2 : 4)];
    p.lda = (p.trans_a ? m : k) + (int64_t)ct_random_below(g, bare ? 1 : 4);
    p.ldb = (p.trans_b ? k : n) + (int64_t)ct_random_below(g, 4);
    p.ldc = n + (int64_t)ct_random_below(g, 4);
    p.lda += !p.lda;
    p.ldb += !p.ldb;
    p.ldc += !p.ldc;
    if (batch == 1 && p.beta == 0 && ct_random_below(g, 2)) {
        random_matrix(g, bias, dtype, n);
        p.bias = bias;
    }
    rows_a = p.trans_a ? k : m;
    rows_b = p.trans_b ? n : k;
    p.a_step = ct_random_below(g, 3) ? rows_a * p.lda : 0; /* 0: all products use the same A */
    p.b_step = ct_random_below(g, 3) ? rows_b * p.ldb : 0;
    p.c_step = m * p.ldc;
    size_a = batch * rows_a * p.lda + 1;
    size_b = batch * rows_b * p.ldb + 1;
    size_c = batch * p.c_step + 1;
    p.a = pa = malloc((size_t)size_a * 8);
    p.b = pb = malloc((size_t)size_b * 8);
    p.c = malloc((size_t)size_c * 8);
    before = malloc((size_t)size_c * sizeof *before);
    random_matrix(g, pa, dtype, size_a);
    random_matrix(g, pb, dtype, size_b);
    random_matrix(g, p.c, dtype, size_c);
    if (p.beta == 0) /* the old values of C must not matter, even if they are NaN */
        element_store(p.c, dtype, 0, (real)NAN);
    for (i = 0; i < size_c; i++)
        before[i] = element_load(p.c, dtype, i);
    cti_cpu_gemm(&p);
    for (b = 0; b < batch; b++)
        for (i = 0; i < m; i++)
            for (j = 0; j < p.ldc; j++) {
                int64_t at = b * p.c_step + i * p.ldc + j;
                real sum = 0, size = 1, want = before[at], got = element_load(p.c, dtype, at);

                for (l = 0; l < k && j < n; l++) {
                    real x = element_load(
                        p.a, dtype, b * p.a_step + (p.trans_a ? l * p.lda + i : i * p.lda + l));
                    real y = element_load(
                        p.b, dtype, b * p.b_step + (p.trans_b ? j * p.ldb + l : l * p.ldb + j));

                    sum += x * y;
                    size += fabsl(x * y);
                }
                if (j < n)
                    want = p.alpha * sum + (p.bias        ? element_load(bias, dtype, j)
                                            : p.beta == 0 ? 0
                                                          : p.beta * before[at]);
                if (j < n ? !(fabsl(got - want) <= 8 * eps * size)
                          : !(got == want || (isnan(got) && isnan(want))))
                    ck_abort_msg("gemm %s m %lld n %lld k %lld trans %d %d alpha %g beta %g%s at "
                                 "(%lld, %lld): got %Lg, expected %Lg",
                                 ct_dtype_name(dtype), (long long)m, (long long)n, (long long)k,
                                 p.trans_a, p.trans_b, p.alpha, p.beta, p.bias ? " bias" : "",
                                 (long long)i, (long long)j, got, want);
            }
    free(pa);
    free(pb);
    free(p.c);
    free(before);
}

START_TEST(gemm)
{
    static const int64_t sizes[][4] = { { 1, 1, 1, 1 },   { 3, 4, 5, 1 },   { 5, 1, 7, 2 },
                                        { 1, 9, 3, 3 },   { 0, 4, 3, 1 },   { 4, 0, 3, 2 },
                                        { 4, 3, 0, 2 },   { 4, 3, 2, 0 },   { 17, 31, 33, 1 },
                                        { 64, 28, 9, 2 }, { 257, 5, 3, 1 }, { 600, 3, 17, 2 },
                                        { 6, 9, 520, 1 } };
    ct_generator g = ct_generator_from_seed(15);
    size_t i;
    int round;

    for (i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (round = 0; round < harness_count(6, 60); round++) {
            ct_set_portable(round % 2);
            gemm_case(&g, CT_F32, sizes[i], false);
            gemm_case(&g, CT_F64, sizes[i], false);
        }
    ct_set_portable(false);
}
END_TEST

/* The bits of the portable product are those of additions in the order of k. */
START_TEST(portable_gemm)
{
    enum { M = 7, N = 19, K = 300 };
    static float a[M * K], b[K * N], c[M * N];
    ct_generator g = ct_generator_from_seed(16);
    cti_gemm p = { .dtype = CT_F32,
                   .m = M,
                   .n = N,
                   .k = K,
                   .batch = 1,
                   .alpha = 0.75,
                   .a = a,
                   .b = b,
                   .c = c,
                   .lda = K,
                   .ldb = N,
                   .ldc = N };
    int i, j, k;

    random_matrix(&g, a, CT_F32, M * K);
    random_matrix(&g, b, CT_F32, K * N);
    ct_set_portable(true);
    cti_cpu_gemm(&p);
    ct_set_portable(false);
    for (i = 0; i < M; i++)
        for (j = 0; j < N; j++) {
            volatile float sum = 0, term; /* volatile: rounded at each step */

            for (k = 0; k < K; k++) {
                term = 0.75f * a[i * K + k];
                term = term * b[k * N + j];
                sum = sum + term;
            }
            ck_assert_msg(c[i * N + j] == sum, "(%d, %d): %a, expected %a", i, j,
                          (double)c[i * N + j], (double)sum);
        }
}
END_TEST

/* Whole and partial tiles of rows, panels of columns and chunks of k; rows a page apart. */
START_TEST(gemm_packed)
{
    static const int64_t sizes[][4] = { { 64, 32, 128, 1 },  { 65, 33, 129, 1 },
                                        { 130, 100, 70, 1 }, { 1024, 40, 150, 1 },
                                        { 63, 70, 300, 1 },  { 20, 300, 20, 1 },
                                        { 300, 1, 257, 1 },  { 70, 64, 1, 1 },
                                        { 129, 28, 40, 1 } };
    ct_generator g = ct_generator_from_seed(16);
    size_t i;
    int round;

    for (i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (round = 0; round < harness_count(4, 40); round++) {
            gemm_case(&g, CT_F32, sizes[i], true);
            gemm_case(&g, CT_F64, sizes[i], true);
        }
}
END_TEST

double bf16_of(double v)
{
    uint32_t bits = bits_of((float)v);

    bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000u;
    return (double)float_of(bits);
}

/* ---- bf16 products by the processor's instructions, which plain loops can imitate ---- */

static bool plays_bf16;

static uint32_t pair_of(float even, float odd)
{
    return bits_of((float)bf16_of((double)even)) >> 16 |
           (bits_of((float)bf16_of((double)odd)) & 0xffff0000u);
}

/* (m, pairs), or of A^T (pairs, m) */
static void plain_pack_a(bool trans, int64_t m, int64_t k, const float *a, int64_t lda,
                         uint32_t *out)
{
    int64_t i, p, pairs = cti_bf16_pairs(k), along = trans ? lda : 1, across = trans ? 1 : lda;

    for (i = 0; i < m; i++)
        for (p = 0; p < pairs; p++) {
            const float *x = a + i * across + 2 * p * along;

            out[trans ? p * m + i : i * pairs + p] = pair_of(*x, 2 * p + 1 < k ? x[along] : 0);
        }
}

static int64_t plain_words_of_b(int64_t k, int64_t n)
{
    return n * cti_bf16_pairs(k);
}

/* (n, pairs) */
static void plain_pack_b(bool trans, int64_t k, int64_t n, const float *b, int64_t ldb,
                         uint32_t *out)
{
    plain_pack_a(!trans, n, k, b, ldb, out);
    if (!trans) { /* the result so far is (pairs, n) */
        int64_t j, p, pairs = cti_bf16_pairs(k);
        uint32_t *turned = malloc((size_t)(n * pairs) * sizeof *turned);

        for (j = 0; j < n; j++)
            for (p = 0; p < pairs; p++)
                turned[j * pairs + p] = out[p * n + j];
        memcpy(out, turned, (size_t)(n * pairs) * sizeof *turned);
        free(turned);
    }
}

static void plain_multiply(const cti_bf16_product *m, const uint32_t *a, const uint32_t *b,
                           float *c)
{
    int64_t i, j, p, pairs = cti_bf16_pairs(m->k);

    for (i = 0; i < m->m; i++)
        for (j = 0; j < m->n; j++) {
            double sum = m->accumulate ? (double)c[i * m->ldc + j] : 0;

            for (p = 0; p < pairs; p++) {
                uint32_t x = a[i * m->step_i + p * m->step_p], y = b[j * pairs + p];

                sum += (double)float_of(x << 16) * (double)float_of(y << 16) +
                       (double)float_of(x & 0xffff0000u) * (double)float_of(y & 0xffff0000u);
            }
            c[i * m->ldc + j] = (float)sum;
        }
}

static const cti_bf16_path plain_bf16 = { .pack_a = plain_pack_a,
                                          .words_of_b = plain_words_of_b,
                                          .pack_b = plain_pack_b,
                                          .multiply = plain_multiply };

const cti_bf16_path *__real_cti_bf16_path_get(void);
const cti_bf16_path *__wrap_cti_bf16_path_get(void);

const cti_bf16_path *__wrap_cti_bf16_path_get(void)
{
    return plays_bf16 ? &plain_bf16 : __real_cti_bf16_path_get();
}

/* A bf16 product is the f32 product of the rounded operands. The old values of C, or a bias, are
 * not rounded. */
static void gemm_bf16_case(ct_generator *g, int64_t m, int64_t n, int64_t k, int64_t batch)
{
    cti_gemm p = { .dtype = CT_F32,
                   .trans_a = ct_random_below(g, 2),
                   .m = m,
                   .n = n,
                   .k = k,
                   .batch = batch,
                   .alpha = ct_random_below(g, 4) ? 1 : -0.5,
                   .beta = (double)ct_random_below(g, 3) / 2,
                   .ldc = n + 3,
                   .bf16 = true };
    int64_t b, i, j, l;
    float *x, *y, *c, *bias = malloc((size_t)n * sizeof *bias);

    p.trans_b = ct_random_below(g, 2);
    p.lda = (p.trans_a ? m : k) + (int64_t)ct_random_below(g, 4);
    p.ldb = (p.trans_b ? k : n) + (int64_t)ct_random_below(g, 4);
    p.a_step = ct_random_below(g, 2) ? (p.trans_a ? k : m) * p.lda : 0;
    p.b_step = ct_random_below(g, 2) ? (p.trans_b ? n : k) * p.ldb : 0;
    p.a = x = malloc((size_t)(batch * (p.trans_a ? k : m) * p.lda) * sizeof *x);
    p.b = y = malloc((size_t)(batch * (p.trans_b ? n : k) * p.ldb) * sizeof *y);
    p.c_step = m * p.ldc;
    p.c = malloc((size_t)(batch * p.c_step) * sizeof(float));
    c = malloc((size_t)(batch * p.c_step) * sizeof(float));
    random_matrix(g, x, CT_F32, batch * (p.trans_a ? k : m) * p.lda);
    random_matrix(g, y, CT_F32, batch * (p.trans_b ? n : k) * p.ldb);
    random_matrix(g, c, CT_F32, batch * p.c_step);
    random_matrix(g, bias, CT_F32, n);
    memcpy(p.c, c, (size_t)(batch * p.c_step) * sizeof(float));
    if (p.beta == 0 && ct_random_below(g, 2))
        p.bias = bias;
    cti_cpu_gemm(&p);
    for (b = 0; b < batch; b++)
        for (i = 0; i < m; i++)
            for (j = 0; j < p.ldc; j++) {
                double before = (double)c[b * p.c_step + i * p.ldc + j];
                double got = (double)((float *)p.c)[b * p.c_step + i * p.ldc + j];
                double want = p.beta * before + (p.bias && j < n ? (double)bias[j] : 0), sum = 0;

                if (j >= n) {
                    ck_assert(got == before);
                    continue;
                }

                for (l = 0; l < k; l++)
                    sum +=
                        bf16_of(
                            (double)x[b * p.a_step + (p.trans_a ? l * p.lda + i : i * p.lda + l)]) *
                        bf16_of(
                            (double)y[b * p.b_step + (p.trans_b ? j * p.ldb + l : l * p.ldb + j)]);
                want += p.alpha * sum;
                if (!(fabs(got - want) <= 1e-6 * (double)(k + 1)))
                    ck_abort_msg("m %lld n %lld k %lld: got %g, expected %g", (long long)m,
                                 (long long)n, (long long)k, got, want);
            }
    free(x);
    free(y);
    free(c);
    free(bias);
    free(p.c);
}

START_TEST(gemm_bf16)
{
    ct_generator g = ct_generator_from_seed(17);
    int round;

    plays_bf16 = _i;
    for (round = 0; round < harness_count(6, 60); round++) {
        gemm_bf16_case(&g, 3, 4, 5, 2);
        gemm_bf16_case(&g, 70, 40, 33, 1);
        gemm_bf16_case(&g, 1, 20, 30, 3);
        gemm_bf16_case(&g, 6 + (int64_t)ct_random_below(&g, 7), 64, 1 + 2 * round, 1);
        gemm_bf16_case(&g, 67, 65 + (int64_t)ct_random_below(&g, 70), 16, 2);
    }
    gemm_bf16_case(&g, 5, 33, 1025, 1);
    gemm_bf16_case(&g, 14, 16, 2050, 1);
    gemm_bf16_case(&g, 130, 129, 67, 2); /* three pieces of each, the last short */
    gemm_bf16_case(&g, 64, 64, 64, 3);
    gemm_bf16_case(&g, 128, 2, 131, 1);
}
END_TEST

START_TEST(scratch_of_sequences)
{
    static const int gates[] = { 1, 1, 4, 3 };
    int k;

    for (k = 0; k < 4; k++) {
        cti_sequence s = { .kind = (cti_cell_kind)k, .batch = 5, .hidden = 7 };
        int64_t width = gates[k] * 7;

        ck_assert_int_eq(cti_gates_of(s.kind), gates[k]);
        ck_assert_int_eq(cti_sequence_scratch(&s), width * 7 + 5 * (width + 7));
        s.index = gates;
        ck_assert_int_eq(cti_sequence_scratch(&s), width * 7 + 5 * (2 * width + 7));
    }
}
END_TEST

/* A step of a ReLU layer in bf16, forward and backward, rounds the state, the gradient and the
 * weights. */
START_TEST(sequence_bf16)
{
    enum { B = 37, H = 37 }; /* three tiles of rows, the last short */
    static float x[B * H], w[H * H], h[2 * B * H], dy[B * H], dx[B * H], dh0[B * H];
    static float scratch[H * H + B * (H + H)];
    cti_sequence s = { .kind = CTI_CELL_RELU,
                       .dtype = CT_F32,
                       .steps = 1,
                       .batch = B,
                       .hidden = H,
                       .x = x,
                       .w = w,
                       .h = h,
                       .scratch = scratch,
                       .dy = dy,
                       .dx = dx,
                       .dh0 = dh0,
                       .bf16 = true };
    ct_generator g = ct_generator_from_seed(18);
    int b, i, j;

    plays_bf16 = _i;
    ck_assert(sizeof scratch == (size_t)cti_sequence_scratch(&s) * sizeof *scratch);
    random_matrix(&g, x, CT_F32, B * H);
    random_matrix(&g, w, CT_F32, H * H);
    random_matrix(&g, h, CT_F32, B * H);
    random_matrix(&g, dy, CT_F32, B * H);
    cti_cpu_sequence(&s);
    cti_cpu_sequence_backward(&s);
    for (b = 0; b < B; b++)
        for (i = 0; i < H; i++) {
            double sum = (double)x[b * H + i], back = 0;

            for (j = 0; j < H; j++) {
                double d = h[(B + b) * H + j] > 0 ? (double)dy[b * H + j] : 0;

                sum += bf16_of((double)h[b * H + j]) * bf16_of((double)w[i * H + j]);
                back += bf16_of(d) * bf16_of((double)w[j * H + i]);
            }
            expect_close("h", (double)h[(B + b) * H + i], sum > 0 ? sum : 0, 1e-4);
            expect_close("dh0", (double)dh0[b * H + i], back, 1e-4);
        }
}
END_TEST

static cti_memory_table usual_memory;
static long asked, refused_at;

static void *refuse_one(size_t alignment, size_t bytes)
{
    return ++asked == refused_at ? NULL : usual_memory.allocate(alignment, bytes);
}

enum { ROOM_M = 70, ROOM_N = 40, ROOM_K = 90, ROOM_STEPS = 5 };

/* Computes C = A B^T or A^T B in one of several ways. */
static void product_of_way(int way, const float *a, const float *b, float *c)
{
    bool trans = way & 1;
    cti_gemm p = { .dtype = CT_F32,
                   .trans_a = !trans,
                   .trans_b = trans,
                   .m = ROOM_M,
                   .n = ROOM_N,
                   .k = ROOM_K,
                   .batch = 1,
                   .alpha = 1,
                   .a = a,
                   .b = b,
                   .c = c,
                   .lda = trans ? ROOM_K : ROOM_M,
                   .ldb = trans ? ROOM_K : ROOM_N,
                   .ldc = ROOM_N,
                   .bf16 = way >= 2 };

    plays_bf16 = way >= 4;
    cti_cpu_gemm(&p);
    plays_bf16 = false;
}

/* Without memory for a copy of an operand, the product is computed without the copy. */
START_TEST(products_without_memory)
{
    static float a[ROOM_M * ROOM_K], b[ROOM_N * ROOM_K], c[ROOM_M * ROOM_N];
    ct_generator g = ct_generator_from_seed(19);
    long most = 0;
    int i, j, k;

    random_matrix(&g, a, CT_F32, ROOM_M * ROOM_K);
    random_matrix(&g, b, CT_F32, ROOM_N * ROOM_K);
    usual_memory = cti_memory_calls;
    cti_memory_calls.allocate = refuse_one;
    for (refused_at = 1; refused_at == 1 || asked >= refused_at; refused_at++) {
        for (i = 0; i < ROOM_M * ROOM_N; i++)
            c[i] = NAN;
        asked = 0;
        product_of_way(_i, a, b, c);
        most = asked > most ? asked : most;
        for (i = 0; i < ROOM_M; i++)
            for (j = 0; j < ROOM_N; j++) {
                double want = 0;

                for (k = 0; k < ROOM_K; k++)
                    want += _i & 1 ? (double)a[i * ROOM_K + k] * (double)b[j * ROOM_K + k]
                                   : (double)a[k * ROOM_M + i] * (double)b[k * ROOM_N + j];
                expect_close("product", (double)c[i * ROOM_N + j], want, _i >= 2 ? 0.1 : 1e-4);
            }
    }
    cti_memory_calls = usual_memory;
    ck_assert(_i < 2 || most > 0);
}
END_TEST

/* Without memory, sequences are computed with weights that are not packed. */
START_TEST(sequences_without_memory)
{
    enum { B = 20, H = 12 };
    static float x[ROOM_STEPS * B * H], w[H * H], h[(ROOM_STEPS + 1) * B * H];
    static float dx[ROOM_STEPS * B * H], dh0[B * H], kept[2][B * H], scratch[H * H + B * (H + H)];
    cti_sequence s = { .kind = CTI_CELL_TANH,
                       .dtype = CT_F32,
                       .steps = ROOM_STEPS,
                       .batch = B,
                       .hidden = H,
                       .x = x,
                       .w = w,
                       .h = h,
                       .scratch = scratch,
                       .dy = x,
                       .dx = dx,
                       .dh0 = dh0,
                       .bf16 = _i > 0 };
    ct_generator g = ct_generator_from_seed(20);
    int i;

    plays_bf16 = _i == 2;
    random_matrix(&g, x, CT_F32, ROOM_STEPS * B * H);
    random_matrix(&g, w, CT_F32, H * H);
    random_matrix(&g, h, CT_F32, B * H);
    usual_memory = cti_memory_calls;
    cti_memory_calls.allocate = refuse_one;
    for (refused_at = 0; refused_at == 0 || asked >= refused_at; refused_at++) {
        asked = 0;
        cti_cpu_sequence(&s);
        cti_cpu_sequence_backward(&s);
        if (refused_at == 0) {
            memcpy(kept[0], h + ROOM_STEPS * B * H, sizeof kept[0]);
            memcpy(kept[1], dh0, sizeof kept[1]);
        }
        for (i = 0; i < B * H; i++) {
            double tolerance = _i ? 0.2 : 1e-4;

            expect_close("h", (double)h[ROOM_STEPS * B * H + i], (double)kept[0][i], tolerance);
            expect_close("dh0", (double)dh0[i], (double)kept[1][i], tolerance);
        }
    }
    cti_memory_calls = usual_memory;
    ck_assert_int_gt(refused_at, 2);
}
END_TEST

/* On a processor without bf16 instructions, bf16 is refused with a message until emulation is
 * allowed. */
START_TEST(precision)
{
    ct_matmul_precision left =
        cti_bf16_path_get() ? CT_MATMUL_PRECISION_BF16 : CT_MATMUL_PRECISION_F32;

    ck_assert(ct_get_matmul_precision() == CT_MATMUL_PRECISION_F32);
    if (cti_bf16_path_get()) {
        ck_assert(ct_set_matmul_precision(CT_MATMUL_PRECISION_BF16) == CT_OK);
        ck_assert(ct_set_matmul_precision(CT_MATMUL_PRECISION_F32) == CT_OK);
        ck_assert_str_eq(ct_build_get_info().bf16, "AVX512-BF16");
    } else {
        ck_assert(ct_set_matmul_precision(CT_MATMUL_PRECISION_BF16) == CT_ERR_ARGUMENT);
        expect_error(CT_ERR_ARGUMENT, "ct_set_matmul_precision", "ct_set_bf16_emulation");
        ck_assert_str_eq(ct_build_get_info().bf16, "emulated where allowed");
    }
    ct_error_clear();
    ck_assert(ct_set_matmul_precision((ct_matmul_precision)3) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_set_matmul_precision", "precision is 3");
    ct_error_clear();
    ct_set_bf16_emulation(true);
    ck_assert(ct_set_matmul_precision(CT_MATMUL_PRECISION_BF16) == CT_OK);
    ck_assert(ct_get_matmul_precision() == CT_MATMUL_PRECISION_BF16);
    ct_set_bf16_emulation(true); /* a second call changes nothing */
    ck_assert(ct_get_matmul_precision() == CT_MATMUL_PRECISION_BF16);
    ct_set_bf16_emulation(false);
    ck_assert(ct_get_matmul_precision() == left);
}
END_TEST

/* Row strides that are too large for the int of a BLAS. One row suffices, so no such memory is
 * needed. */
START_TEST(gemm_large_stride)
{
    const int64_t large = (int64_t)1 << 32;
    float a[4] = { 1, 2, 3, 4 }, b[8] = { 1, 2, 3, 4, 5, 6, 7, 8 }, c[2];
    int i;

#ifdef HAVE_OPENBLAS_SET_NUM_THREADS
    { /* the first product by OpenBLAS sets its threads to one */
        cti_gemm p = { .dtype = CT_F32,
                       .m = 1,
                       .n = 2,
                       .k = 4,
                       .batch = 1,
                       .alpha = 1,
                       .a = a,
                       .b = b,
                       .c = c,
                       .lda = 4,
                       .ldb = 2,
                       .ldc = 2 };

        openblas_set_num_threads(2);
        cti_multiply(&p, 1, a, b, c);
        ck_assert(c[0] == 50 && c[1] == 60);
        ck_assert_int_eq(openblas_get_num_threads(), ct_portable() ? 2 : 1);
    }
#endif
    for (i = 0; i < 8; i++) {
        bool one = i & 4; /* B has one row too */
        cti_gemm p = { .dtype = CT_F32,
                       .m = 1,
                       .n = 2,
                       .k = one ? 1 : 4,
                       .batch = 1,
                       .alpha = 1,
                       .a = a,
                       .b = b,
                       .c = c,
                       .lda = i & 1 ? large : 4,
                       .ldb = one ? large : 2,
                       .ldc = i & 2 ? large : 2 };

        c[0] = c[1] = 0;
        cti_cpu_gemm(&p);
        ck_assert_msg(c[0] == (one ? 1.0f : 50.0f) && c[1] == (one ? 2.0f : 60.0f),
                      "case %d: %g, %g", i, (double)c[0], (double)c[1]);
    }
}
END_TEST

void kernels_gemm_cases(Suite *suite)
{
    TCase *tc = harness_case(suite, "gemm");

    tcase_add_test(tc, gemm);
    tcase_add_test(tc, gemm_packed);
    tcase_add_loop_test(tc, gemm_bf16, 0, 2);
    tcase_add_test(tc, scratch_of_sequences);
    tcase_add_loop_test(tc, sequence_bf16, 0, 2);
    tcase_add_loop_test(tc, products_without_memory, 0, 6);
    tcase_add_loop_test(tc, sequences_without_memory, 0, 3);
    tcase_add_test(tc, precision);
    tcase_add_test(tc, portable_gemm);
    tcase_add_test(tc, gemm_large_stride);
}
