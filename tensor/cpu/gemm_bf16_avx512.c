/* SPDX-License-Identifier: MIT */
/* gemm_bf16_avx512.c - bf16 products by the AVX512-BF16 instructions, which multiply pairs.
 *
 * A pair is a 32-bit word: the lower half belongs to an even k, the upper half to the next k. Pairs
 * are added to an element of C in the order of k, whatever the tiling. VDPBF16PS adds the product
 * of the odd k, then that of the even k, rounds after each, and treats subnormals as 0 (Intel's
 * manual, volume 2). */
#include "tensor/cpu/cpu.h"

#include "tensor/convert.h"

#include <immintrin.h>
#include <string.h>

#define VECTOR 16 /* floats, or pairs, in a register */
#define PANEL 64  /* columns of a panel of B: with ROWS rows of C they fill the registers */
#define ROWS 6
/* pairs of k at a time, so that this part of a panel stays in the second-level cache */
#define DEPTH 512

/* ---- operands in pairs ---- */

static uint32_t pair(float even, float odd)
{
    return cti_bf16_of(even) | (uint32_t)cti_bf16_of(odd) << 16;
}

/* Packs elements 0 .. k - 1 of a row that runs along k. */
static void pairs_along(int64_t k, const float *x, uint32_t *out)
{
    int64_t p;

    for (p = 0; p < k / 2; p++)
        out[p] = pair(x[2 * p], x[2 * p + 1]);
    if (k % 2)
        out[p] = pair(x[k - 1], 0);
}

/* Packs two rows of n elements: that of an even k and that of the next k, which is NULL if there is
 * none. */
static void pairs_across(int64_t n, const float *even, const float *odd, uint32_t *out)
{
    int64_t j;

    for (j = 0; j < n; j++)
        out[j] = pair(even[j], odd ? odd[j] : 0);
}

static void avx512_pack_a(bool trans, int64_t m, int64_t k, const float *a, int64_t lda,
                          uint32_t *out)
{
    int64_t i;

    for (i = 0; !trans && i < m; i++)
        pairs_along(k, a + i * lda, out + i * cti_bf16_pairs(k));
    for (i = 0; trans && i < k; i += 2)
        pairs_across(m, a + i * lda, i + 1 < k ? a + (i + 1) * lda : NULL, out + i / 2 * m);
}

static int64_t whole_vectors(int64_t n)
{
    return (n + VECTOR - 1) / VECTOR * VECTOR;
}

/* Packs columns of B as a panel (pairs of k, width), with zeros beyond column n. */
static void avx512_pack_panel(bool trans, int64_t k, int64_t n, int64_t width, const float *b,
                              int64_t ldb, uint32_t *out)
{
    uint32_t row[DEPTH];
    int64_t i, j, p;

    if (n < width)
        memset(out, 0, (size_t)(cti_bf16_pairs(k) * width) * sizeof *out);
    for (i = 0; !trans && i < k; i += 2)
        pairs_across(n, b + i * ldb, i + 1 < k ? b + (i + 1) * ldb : NULL, out + i / 2 * width);
    for (i = 0; trans && i < k; i += 2 * DEPTH)
        for (j = 0; j < n; j++) {
            int64_t count = k - i < 2 * DEPTH ? k - i : 2 * DEPTH;

            pairs_along(count, b + j * ldb + i, row);
            for (p = 0; p < cti_bf16_pairs(count); p++)
                out[(i / 2 + p) * width + j] = row[p];
        }
}

static int64_t avx512_words_of_b(int64_t k, int64_t n)
{
    return cti_bf16_pairs(k) * whole_vectors(n);
}

static void avx512_pack_b(bool trans, int64_t k, int64_t n, const float *b, int64_t ldb,
                          uint32_t *out)
{
    int64_t j;

    for (j = 0; j < n; j += PANEL) {
        int64_t columns = n - j < PANEL ? n - j : PANEL;

        avx512_pack_panel(trans, k, columns, whole_vectors(columns), b + j * (trans ? ldb : 1), ldb,
                          out + j * cti_bf16_pairs(k));
    }
}

/* ---- the product ---- */

/* A block of the product: some rows of C, the columns of a panel, and a range of k. */
typedef struct block {
    /* step_i is the distance of a's pairs between rows of C, step_p between pairs of k */
    const uint32_t *a, *b;
    int64_t step_i, step_p, depth;
    float *c;
    int64_t ldc;
    bool accumulate;
    __mmask16 last; /* the columns of the last vector that belong to C */
} block;

/* Callers pass constants for rows and vectors, so the loops over them are unrolled. */
static inline __attribute__((always_inline)) void avx512_block(const block *t, const int rows,
                                                               const int vectors)
{
    __m512 sum[ROWS][PANEL / VECTOR];
    const uint32_t *a = t->a, *b = t->b;
    int64_t p;
    int i, v;

#pragma GCC unroll 6
    for (i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (v = 0; v < vectors; v++)
            sum[i][v] = t->accumulate ? _mm512_maskz_loadu_ps(v + 1 < vectors ? 0xffff : t->last,
                                                              t->c + i * t->ldc + v * VECTOR)
                                      : _mm512_setzero_ps();
    for (p = 0; p < t->depth; p++, a += t->step_p, b += vectors * VECTOR) {
        __m512bh column[PANEL / VECTOR];

#pragma GCC unroll 4
        for (v = 0; v < vectors; v++)
            column[v] = (__m512bh)_mm512_loadu_si512(b + v * VECTOR);
#pragma GCC unroll 6
        for (i = 0; i < rows; i++) {
            __m512bh row = (__m512bh)_mm512_set1_epi32((int)a[i * t->step_i]);

#pragma GCC unroll 4
            for (v = 0; v < vectors; v++)
                sum[i][v] = _mm512_dpbf16_ps(sum[i][v], row, column[v]);
        }
    }
#pragma GCC unroll 6
    for (i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (v = 0; v < vectors; v++)
            _mm512_mask_storeu_ps(t->c + i * t->ldc + v * VECTOR,
                                  v + 1 < vectors ? 0xffff : t->last, sum[i][v]);
}

/* Computes at most ROWS rows by a panel of `vectors` vectors. */
#define MULTIPLY_ROWS(vectors)                                                                     \
    static void multiply_##vectors(const block *t, int64_t rows)                                   \
    {                                                                                              \
        switch (rows) {                                                                            \
        case 1:                                                                                    \
            avx512_block(t, 1, vectors);                                                           \
            break;                                                                                 \
        case 2:                                                                                    \
            avx512_block(t, 2, vectors);                                                           \
            break;                                                                                 \
        case 3:                                                                                    \
            avx512_block(t, 3, vectors);                                                           \
            break;                                                                                 \
        case 4:                                                                                    \
            avx512_block(t, 4, vectors);                                                           \
            break;                                                                                 \
        case 5:                                                                                    \
            avx512_block(t, 5, vectors);                                                           \
            break;                                                                                 \
        default:                                                                                   \
            avx512_block(t, ROWS, vectors);                                                        \
        }                                                                                          \
    }
MULTIPLY_ROWS(1)
MULTIPLY_ROWS(2)
MULTIPLY_ROWS(3)
MULTIPLY_ROWS(4)

/* Computes the columns of a panel, which begins at column j, for the pairs from p on. The last
 * panel may be narrower. */
static void avx512_panel(const cti_bf16_product *m, int64_t j, int64_t p, const uint32_t *a,
                         const uint32_t *b, float *c)
{
    static void (*const by_vectors[])(const block *, int64_t) = { multiply_1, multiply_2,
                                                                  multiply_3, multiply_4 };
    int64_t pairs = cti_bf16_pairs(m->k), width = m->n - j < PANEL ? m->n - j : PANEL, i;
    int64_t vectors = whole_vectors(width) / VECTOR, spare = vectors * VECTOR - width;
    block t = { .step_i = m->step_i,
                .step_p = m->step_p,
                .ldc = m->ldc,
                .depth = pairs - p < DEPTH ? pairs - p : DEPTH,
                .accumulate = m->accumulate || p > 0,
                .last = (__mmask16)(0xffff >> spare) };

    t.b = b + j * pairs + p * vectors * VECTOR;
    for (i = 0; i < m->m; i += ROWS) {
        t.a = a + i * m->step_i + p * m->step_p;
        t.c = c + i * m->ldc + j;
        by_vectors[vectors - 1](&t, m->m - i < ROWS ? m->m - i : ROWS);
    }
}

static void avx512_multiply(const cti_bf16_product *m, const uint32_t *a, const uint32_t *b,
                            float *c)
{
    int64_t p, j;

    for (p = 0; p < cti_bf16_pairs(m->k); p += DEPTH)
        for (j = 0; j < m->n; j += PANEL)
            avx512_panel(m, j, p, a, b, c);
}

const cti_bf16_path cti_bf16_path_avx512 = { .pack_a = avx512_pack_a,
                                             .words_of_b = avx512_words_of_b,
                                             .pack_b = avx512_pack_b,
                                             .multiply = avx512_multiply };
