/* SPDX-License-Identifier: MIT */
/* kernels_packed.c - small products, and products of packed operands. */
#include "tests/harness.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/cpu/cpu.h"

#include <cotangent/tensor/config.h>

#include "tests/test_kernels.h"

/* ---- packed operands ---- */

static bool compiles(void)
{
    cti_small_gemm g = { .dtype = CT_F32, .m = 8, .n = 8, .k = 8, .lda = 8, .ldb = 8, .ldc = 8 };

    return cti_small_gemm_init(&g);
}

/* There are compiled kernels for products of all sizes except 0 and very large ones. */
START_TEST(small_products)
{
    static const struct {
        int m, n, k;
        bool kernel;
    } cases[] = {
        { 1, 1, 1, true },        { 0, 8, 8, false },       { 8, 0, 8, false },
        { 8, 8, 0, false },       { 64, 32, 70, true },     { 512, 512, 512, true },
        { 512, 513, 512, false }, { 513, 512, 512, false }, { 512, 512, 513, false },
    };
    double a[12], b[20], c[15], want;
    size_t i;
    int way, r, s, k;

    for (i = 0; i < 2 * sizeof cases / sizeof *cases; i++) {
        cti_small_gemm g = { .dtype = i % 2 ? CT_F64 : CT_F32,
                             .m = cases[i / 2].m,
                             .n = cases[i / 2].n,
                             .k = cases[i / 2].k,
                             .lda = 1024,
                             .ldb = 1024,
                             .ldc = 1024 };
        bool kernel = cases[i / 2].kernel && compiles();

        ck_assert_msg(cti_small_gemm_init(&g) == kernel && !g.kernel == !kernel, "case %zu", i);
        ct_set_portable(true);
        ck_assert(!cti_small_gemm_init(&g) && !g.kernel);
        ct_set_portable(false);
    }
    for (way = 0; way < 16; way++) { /* with and without a kernel: (3, 4) by (4, 5) */
        ct_dtype dtype = way & 1 ? CT_F64 : CT_F32;
        bool trans_a = way & 2, add = way & 4;
        cti_small_gemm g = { .dtype = dtype,
                             .m = 3,
                             .n = 5,
                             .k = 4,
                             .lda = trans_a ? 3 : 4,
                             .ldb = 5,
                             .ldc = 5,
                             .trans_a = trans_a,
                             .accumulate = add };

        if (way & 8)
            cti_small_gemm_init(&g);
        for (k = 0; k < 20; k++) {
            if (k < 12)
                element_store(a, dtype, k, k - 5);
            element_store(b, dtype, k, 2 * k - 11);
            if (k < 15)
                element_store(c, dtype, k, k);
        }
        cti_small_gemm_run(&g, a, b, c);
        for (r = 0; r < 3; r++)
            for (s = 0; s < 5; s++) {
                want = add ? r * 5 + s : 0;
                for (k = 0; k < 4; k++)
                    want += ((trans_a ? k * 3 + r : r * 4 + k) - 5) * (2 * (k * 5 + s) - 11);
                expect_close("small product", (double)element_load(c, dtype, r * 5 + s), want, 0);
            }
    }
}
END_TEST

/* Returns the position of element (i, j) of B in the packed data: chunks of rows consist of panels
 * of columns. */
static int64_t packed_at(const cti_packed *p, int64_t i, int64_t j)
{
    int64_t columns = cti_packed_columns(p), chunk = i / p->chunk, panel = j / p->width;
    int64_t rows = p->k - chunk * p->chunk < p->chunk ? p->k - chunk * p->chunk : p->chunk;
    int64_t width = p->n - panel * p->width <= p->width ? p->last : p->width;

    return chunk * p->chunk * columns + panel * p->width * rows + i % p->chunk * width +
           j % p->width;
}

static void pack_case(ct_dtype dtype, int64_t k, int64_t n, int64_t chunk, bool pad, bool trans)
{
    int64_t size = (int64_t)ct_dtype_size(dtype), ld = (trans ? k : n) + 3, i, j, used;
    int64_t panel = 4 * cti_cpu_path_get()->vector_bytes / size;
    int64_t width = compiles() && panel < n ? panel : n,
            left = width && n % width ? n % width : width;
    int64_t last =
        pad && compiles() && chunk >= k ? (left + panel / 4 - 1) / (panel / 4) * (panel / 4) : left;
    cti_packed p = cti_packed_layout(dtype, k, n, chunk);
    char *b = malloc((size_t)((trans ? n : k) * ld * size + 1)), *room, *seen;

    if (pad)
        cti_packed_pad(&p);
    ck_assert_msg(p.dtype == dtype && p.k == k && p.n == n && p.width == width && p.last == last &&
                      p.chunk == (compiles() && chunk < k ? chunk : k) && !p.data,
                  "layout of %lld by %lld", (long long)k, (long long)n);
    ck_assert_int_eq(cti_packed_columns(&p), n - left + last);
    used = k * cti_packed_columns(&p);
    room = malloc((size_t)(used * size) + 8);
    seen = calloc((size_t)used + 1, 1);
    memset(room, 0x5a, (size_t)(used * size) + 8);
    for (i = 0; i < (trans ? n : k) * ld; i++)
        element_store(b, dtype, i, i + 1);
    cti_pack(&p, trans, b, ld, room);
    ck_assert_ptr_eq(p.data, room);
    for (i = 0; i < k; i++)
        for (j = 0; j < n; j++) {
            int64_t at = packed_at(&p, i, j);

            if (element_load(room, dtype, at) != (trans ? j * ld + i : i * ld + j) + 1)
                ck_abort_msg("(%lld, %lld) of %lld by %lld", (long long)i, (long long)j,
                             (long long)k, (long long)n);
            seen[at] = 1;
        }
    for (i = 0; i < used; i++)
        ck_assert(seen[i] || element_load(room, dtype, i) == 0);
    for (i = used * size; i < used * size + 8; i++)
        ck_assert_int_eq(room[i], 0x5a);
    free(b);
    free(room);
    free(seen);
}

START_TEST(packing)
{
    static const int64_t sizes[][3] = { { 5, 7, 5 },     { 16, 32, 16 },   { 17, 33, 17 },
                                        { 33, 100, 16 }, { 64, 16, 32 },   { 130, 15, 128 },
                                        { 3, 70, 128 },  { 128, 65, 128 }, { 1, 1, 1 },
                                        { 0, 5, 8 },     { 5, 0, 8 } };
    size_t i;
    int way;

    for (i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (way = 0; way < 16; way++) {
            ct_set_portable(way & 8);
            pack_case(way & 1 ? CT_F64 : CT_F32, sizes[i][0], sizes[i][1], sizes[i][2], way & 2,
                      way & 4);
        }
    ct_set_portable(false);
}
END_TEST

/* Checks a product in all its parts, each with its kernel; rows of A that are a page apart are
 * gathered. */
static void product_case(const int64_t *c, ct_dtype dtype, bool trans, bool add, bool bias)
{
    int64_t k = c[0], n = c[1], chunk = c[2], m = c[3], lda = c[4], ldc = n + 1;
    cti_packed b = cti_packed_layout(dtype, k, n, chunk);
    cti_product p;
    int i, j;

    if (!add)
        cti_packed_pad(&b);
    p = (cti_product){ .b = &b,
                       .m = m,
                       .lda = lda,
                       .ldc = ldc,
                       .bias = bias ? &b : NULL,
                       .trans_a = trans,
                       .accumulate = add };
    cti_product_init(&p);
    ck_assert(p.b == &b && p.m == m && p.lda == lda && p.ldc == ldc && p.trans_a == trans &&
              p.accumulate == add && !p.bias == !bias);
    ck_assert_int_eq(p.gather, compiles() && trans && m <= 64 && b.chunk <= 128 &&
                                   lda * (int64_t)ct_dtype_size(dtype) % 4096 == 0);
    for (i = 0; i < 2; i++)
        for (j = 0; j < 2; j++) {
            const cti_small_gemm *g = &p.part[i][j];
            int64_t left = b.width && n % b.width ? n % b.width : b.width;
            bool aside = j && b.last != left;

            ck_assert(g->dtype == dtype && g->m == m && g->n == (j ? b.last : b.width));
            ck_assert_int_eq(g->k, i == 0 ? b.chunk : b.chunk ? k % b.chunk : 0);
            ck_assert_int_eq(g->lda, p.gather ? m : lda);
            ck_assert(g->ldb == g->n && g->ldc == (aside ? g->n : ldc));
            ck_assert(g->trans_a == trans);
            ck_assert_int_eq(g->accumulate, !aside && (add || bias || b.chunk < k));
            ck_assert_int_eq(g->kernel != NULL, compiles() && g->m && g->n && g->k);
        }
}

START_TEST(products)
{
    static const int64_t cases[][5] = {
        /* k, n, chunk, m, lda */
        { 130, 70, 128, 64, 1024 }, { 130, 70, 128, 64, 512 },  { 130, 70, 128, 64, 1025 },
        { 130, 70, 128, 65, 1024 }, { 128, 32, 128, 64, 2048 }, { 129, 33, 129, 64, 1024 },
        { 127, 33, 128, 3, 1024 },  { 40, 40, 20, 0, 1024 },    { 0, 40, 128, 8, 1024 },
    };
    size_t i;
    int way;

    for (i = 0; i < sizeof cases / sizeof *cases; i++)
        for (way = 0; way < 32; way++) {
            ct_set_portable(way & 16);
            product_case(cases[i], way & 1 ? CT_F64 : CT_F32, way & 2, way & 4, way & 8);
        }
    ct_set_portable(false);
}
END_TEST

/* Operands are packed only for sizes for which that is faster. */
START_TEST(packed_or_not)
{
#ifdef CT_HAVE_BLAS
    enum { FEW = 64 };
#else
    enum { FEW = 4 };
#endif
    const int64_t large = (int64_t)1 << 32;
    const struct {
        bool yes;
        int64_t m, n, k;
        bool trans_a, trans_b;
        cti_gemm but; /* members that differ from a usual product; 0: usual */
    } cases[] = {
        { true, 64, 40, 70, false, false, { 0 } },
        { true, 64, 40, 70, true, true, { 0 } },
        { true, 64, 1024, 3, false, false, { 0 } },
        { false, 64, 1025, 3, false, false, { 0 } },
        { true, 64, 3, 1024, false, false, { 0 } },
        { false, 64, 3, 1025, false, false, { 0 } },
        { true, 64, 3, 1025, true, false, { 0 } },
        { true, 1024, 3, 3, true, false, { 0 } },
        { false, 1025, 3, 3, true, false, { 0 } },
        { true, 1025, 3, 3, false, false, { 0 } },
        { true, 63, 256, 128, false, false, { 0 } },
        { false, 63, 257, 128, false, false, { 0 } },
        { true, 63, 257, 129, false, false, { 0 } },
        { true, 64, 257, 128, false, false, { 0 } },
        { false, 1, 20, 20, false, true, { 0 } },
        { FEW < 63, 63, 20, 129, false, true, { 0 } },
        { true, FEW, 20, 129, false, true, { 0 } },
        { false, FEW - 1, 20, 129, false, true, { 0 } },
        { true, 1, 20, 20, false, false, { 0 } },
        { true, 5, 20, 20, true, false, { 0 } },
        { false, 64, 40, 70, false, false, { .batch = 2 } },
        { false, 64, 40, 70, false, false, { .alpha = 2 } },
        { false, 64, 40, 70, false, false, { .beta = 0.5 } },
        { true, 64, 40, 70, false, false, { .beta = 1 } },
        { true, 20, 40, 70, false, false, { .beta = 1 } },
        { false, 1, 40, 70, false, false, { .lda = large } },
        { false, 64, 40, 1, false, false, { .ldb = large } },
        { false, 1, 40, 70, false, false, { .ldc = large } },
    };
    static float a[70 * 1200], b[70 * 1200], c[1200 * 1200];
    ct_generator g = ct_generator_from_seed(21);
    size_t i;
    int way;

    random_matrix(&g, a, CT_F32, 70 * 1200);
    random_matrix(&g, b, CT_F32, 70 * 1200);
    for (i = 0; i < sizeof cases / sizeof *cases; i++)
        for (way = 0; way < 2; way++) {
            cti_gemm p = cases[i].but;
            int64_t at, l;

            p.dtype = CT_F32;
            p.m = cases[i].m;
            p.n = cases[i].n;
            p.k = cases[i].k;
            p.trans_a = cases[i].trans_a;
            p.trans_b = cases[i].trans_b;
            p.batch += !p.batch;
            p.alpha += !p.alpha;
            p.lda += p.lda ? 0 : p.trans_a ? p.m : p.k;
            p.ldb += p.ldb ? 0 : p.trans_b ? p.k : p.n;
            p.ldc += p.ldc ? 0 : p.n;
            p.a = a;
            p.b = b;
            p.c = c;
            memset(c, 0, sizeof c);
            ct_set_portable(way);
            ck_assert_msg(cti_gemm_packed(&p) == (cases[i].yes && compiles() && !way), "case %zu",
                          i);
            if (!cases[i].yes || !compiles())
                continue;
            for (at = 0; at < p.m * p.n; at++) {
                double want = 0;

                for (l = 0; l < p.k; l++)
                    want += (double)a[p.trans_a ? l * p.lda + at / p.n : at / p.n * p.lda + l] *
                            (double)b[p.trans_b ? at % p.n * p.ldb + l : l * p.ldb + at % p.n];
                if (!(fabs((double)c[at] - want) <= 1e-4))
                    ck_abort_msg("case %zu: %g, expected %g", i, (double)c[at], want);
            }
        }
    ct_set_portable(false);
}
END_TEST

void kernels_packed_cases(Suite *suite)
{
    TCase *tc = harness_case(suite, "packed");

    tcase_add_test(tc, small_products);
    tcase_add_test(tc, packing);
    tcase_add_test(tc, products);
    tcase_add_test(tc, packed_or_not);
}
