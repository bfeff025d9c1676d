/* SPDX-License-Identifier: MIT */
/* gemm_bf16_avx512.c - bf16 products by the AVX512-BF16 instructions, which multiply pairs.
 *
 * A pair is a 32-bit word: the lower half belongs to an even k, the upper half to the next k. Pairs
 * are added to an element of C in the order of k, whatever the tiling. VDPBF16PS adds the product
 * of the odd k, then that of the even k, rounds after each, and treats subnormals as 0, as the
 * conversion to bf16 does (Intel's manual, volume 2). Neither depends on MXCSR or changes it. */
#include "tensor/cpu/cpu.h"

#include <immintrin.h>
#include <string.h>

#define VECTOR CTI_MICRO_LANES             /* floats, or pairs, in a register */
#define PANEL (CTI_MICRO_VECTORS * VECTOR) /* columns of a panel of B */
/* pairs of k at a time, so that this part of a panel stays in the second-level cache */
#define DEPTH 512

/* ---- operands in pairs ---- */

/* The first n lanes of a vector, at most all. */
static inline __mmask16 avx512_lanes(int64_t n)
{
    return (__mmask16)(n < VECTOR ? (1 << (n > 0 ? n : 0)) - 1 : 0xffff);
}

/* The pairs of n <= 2 VECTOR neighbouring elements, and of zeros. */
static inline __m512i avx512_pairs_along(const float *in, int64_t n)
{
    __m512 low = _mm512_maskz_loadu_ps(avx512_lanes(n), in);
    __m512 high = _mm512_maskz_loadu_ps(avx512_lanes(n - VECTOR), in + VECTOR);

    return (__m512i)_mm512_cvtne2ps_pbh(high, low);
}

static void avx512_along(int64_t rows, int64_t n, const float *in, int64_t ld_in, float *out,
                         int64_t ld_out)
{
    int64_t i, j;

    for (i = 0; i < rows; i++, in += ld_in, out += ld_out) {
        for (j = 0; j + 2 * VECTOR <= n; j += 2 * VECTOR)
            _mm512_storeu_si512(out + j / 2,
                                (__m512i)_mm512_cvtne2ps_pbh(_mm512_loadu_ps(in + j + VECTOR),
                                                             _mm512_loadu_ps(in + j)));
        if (j < n)
            _mm512_mask_storeu_epi32(out + j / 2, avx512_lanes(cti_bf16_pairs(n - j)),
                                     avx512_pairs_along(in + j, n - j));
    }
}

/* The pairs of the elements of two rows. A conversion puts one row behind the other. */
static inline __m512i avx512_pairs_across(__m512 even, __m512 odd)
{
    static const uint16_t order[2 * VECTOR] = { 0,  16, 1,  17, 2,  18, 3,  19, 4,  20, 5,
                                                21, 6,  22, 7,  23, 8,  24, 9,  25, 10, 26,
                                                11, 27, 12, 28, 13, 29, 14, 30, 15, 31 };

    return _mm512_permutexvar_epi16(_mm512_loadu_si512(order),
                                    (__m512i)_mm512_cvtne2ps_pbh(odd, even));
}

static void avx512_across(int64_t rows, int64_t n, const float *in, int64_t ld_in, float *out,
                          int64_t ld_out)
{
    int64_t i, j;

    for (i = 0; i < rows; i += 2, in += 2 * ld_in, out += ld_out) {
        const float *odd = i + 1 < rows ? in + ld_in : in;
        const __mmask16 all = i + 1 < rows ? 0xffff : 0;

        for (j = 0; j + VECTOR <= n; j += VECTOR)
            _mm512_storeu_si512(out + j, avx512_pairs_across(_mm512_loadu_ps(in + j),
                                                             _mm512_maskz_loadu_ps(all, odd + j)));
        if (j < n) {
            const __mmask16 part = avx512_lanes(n - j);

            _mm512_mask_storeu_epi32(
                out + j, part,
                avx512_pairs_across(_mm512_maskz_loadu_ps(part, in + j),
                                    _mm512_maskz_loadu_ps(part & all, odd + j)));
        }
    }
}

/* Callers pass a constant for vectors. */
static inline __attribute__((always_inline)) void sum_across_vectors(const int vectors,
                                                                     int64_t rows, const float *in,
                                                                     int64_t ld_in, float *sums,
                                                                     float *out)
{
    __m512 all[CTI_MICRO_VECTORS];
    int64_t i;
    int v;

    for (v = 0; v < vectors; v++)
        all[v] = _mm512_loadu_ps(sums + v * VECTOR);
    for (i = 0; i < rows; i += 2, in += 2 * ld_in, out += vectors * VECTOR) {
        const bool two = i + 1 < rows;

        for (v = 0; v < vectors; v++) {
            __m512 even = _mm512_loadu_ps(in + v * VECTOR), odd = _mm512_setzero_ps();

            all[v] = _mm512_add_ps(all[v], even);
            if (two) {
                odd = _mm512_loadu_ps(in + ld_in + v * VECTOR);
                all[v] = _mm512_add_ps(all[v], odd);
            }
            _mm512_storeu_si512(out + v * VECTOR, avx512_pairs_across(even, odd));
        }
    }
    for (v = 0; v < vectors; v++)
        _mm512_storeu_ps(sums + v * VECTOR, all[v]);
}

static void avx512_sum_across(int64_t rows, int64_t n, const float *in, int64_t ld_in, float *sums,
                              float *out)
{
    switch (n / VECTOR) {
    case 1:
        sum_across_vectors(1, rows, in, ld_in, sums, out);
        break;
    case 2:
        sum_across_vectors(2, rows, in, ld_in, sums, out);
        break;
    case 3:
        sum_across_vectors(3, rows, in, ld_in, sums, out);
        break;
    default:
        sum_across_vectors(CTI_MICRO_VECTORS, rows, in, ld_in, sums, out);
    }
}

static void avx512_pack(int64_t k, int64_t columns, const float *in, int64_t ld_in, int64_t width,
                        float *out)
{
    float pairs[VECTOR * VECTOR];
    int64_t i;

    memset(pairs + columns * VECTOR, 0, (size_t)(VECTOR - columns) * VECTOR * sizeof *pairs);
    for (i = 0; i < k; i += 2 * VECTOR, out += VECTOR * width) {
        int64_t count = k - i < 2 * VECTOR ? k - i : 2 * VECTOR;

        avx512_along(columns, count, in + i, ld_in, pairs, VECTOR);
        cti_micro_avx512.pack(cti_bf16_pairs(count), VECTOR, pairs, VECTOR, width, out);
    }
}

static void avx512_pack_a(bool trans, int64_t m, int64_t k, const float *a, int64_t lda,
                          uint32_t *out)
{
    if (trans)
        avx512_across(k, m, a, lda, (float *)out, m);
    else
        avx512_along(m, k, a, lda, (float *)out, cti_bf16_pairs(k));
}

static int64_t whole_vectors(int64_t n)
{
    return (n + VECTOR - 1) / VECTOR * VECTOR;
}

/* Packs columns of B as a panel (pairs of k, width), with zeros beyond column n. */
static void avx512_pack_panel(bool trans, int64_t k, int64_t n, int64_t width, const float *b,
                              int64_t ldb, float *out)
{
    int64_t i, j;

    for (j = 0; trans && j < n; j += VECTOR)
        avx512_pack(k, n - j < VECTOR ? n - j : VECTOR, b + j * ldb, ldb, width, out + j);
    if (trans)
        return;
    avx512_across(k, n, b, ldb, out, width);
    for (i = 0; n < width && i < cti_bf16_pairs(k); i++)
        memset(out + i * width + n, 0, (size_t)(width - n) * sizeof *out);
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
                          (float *)out + j * cti_bf16_pairs(k));
    }
}

/* ---- tiles in registers ---- */

/* The columns of vector v that C has. */
static inline __attribute__((always_inline)) __mmask16 tile_mask(const cti_micro_tile *t, int v,
                                                                 const int vectors)
{
    return v + 1 < vectors ? 0xffff : (__mmask16)(0xffff >> t->spare);
}

/* Returns the vector with which sum v of row i begins. */
static inline __attribute__((always_inline)) __m512 tile_start(const cti_micro_tile *t, int i,
                                                               int v, const int vectors)
{
    if (t->init)
        return _mm512_loadu_ps(t->init[i] + v * VECTOR);
    return t->accumulate
               ? _mm512_maskz_loadu_ps(tile_mask(t, v, vectors), t->c + i * t->ldc + v * VECTOR)
               : _mm512_setzero_ps();
}

/* sum += part `part` of A times its rows of B. */
static inline __attribute__((always_inline)) void tile_multiply(const cti_micro_tile *t,
                                                                int64_t part, const int rows,
                                                                const int vectors,
                                                                __m512 sum[CTI_MICRO_ROWS][4])
{
    const int64_t step_i = t->step_i, step_k = t->step_k, ldb = t->ldb;
    const float *b = t->b + part * t->k * ldb;
    const float *a[CTI_MICRO_ROWS / 3]; /* rows 0, 3 and 6: fewer registers than for all rows */
    const float *fetch = t->fetch ? t->fetch + part * t->fetch_step : b;
    const float *end = fetch + (t->fetch ? 16 * (t->fetch_lines - 1) : 0);
    int64_t k;
    int i, v;

#pragma GCC unroll 3
    for (i = 0; i < CTI_MICRO_ROWS / 3; i++)
        a[i] = t->a + part * t->step_part + 3 * i * step_i;
    for (k = 0; k < t->k; k++, b += ldb) {
        __m512bh column[4];

        __builtin_prefetch(fetch);
        fetch += fetch < end ? 16 : 0;
#pragma GCC unroll 4
        for (v = 0; v < vectors; v++)
            column[v] = (__m512bh)_mm512_loadu_ps(b + v * VECTOR);
#pragma GCC unroll 9
        for (i = 0; i < rows; i++) {
            const __m512bh row = (__m512bh)_mm512_set1_ps(a[i / 3][i % 3 * step_i]);

#pragma GCC unroll 4
            for (v = 0; v < vectors; v++)
                sum[i][v] = _mm512_dpbf16_ps(sum[i][v], row, column[v]);
        }
#pragma GCC unroll 3
        for (i = 0; 3 * i < rows; i++)
            a[i] += step_k;
    }
}

/* Callers pass constants for rows and vectors, so the loops over them are unrolled. */
static inline __attribute__((always_inline)) void tile_run(const cti_micro_tile *t, const int rows,
                                                           const int vectors)
{
    __m512 sum[CTI_MICRO_ROWS][4];
    int64_t part;
    int i, v;

#pragma GCC unroll 9
    for (i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (v = 0; v < vectors; v++)
            sum[i][v] = tile_start(t, i, v, vectors);
    for (part = 0; part < t->parts; part++)
        tile_multiply(t, part, rows, vectors, sum);
#pragma GCC unroll 9
    for (i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (v = 0; v < vectors; v++)
            _mm512_mask_storeu_ps(t->c + i * t->ldc + v * VECTOR, tile_mask(t, v, vectors),
                                  sum[i][v]);
}

#define TILE(rows, vectors)                                                                        \
    static void tile_##rows##_##vectors(const cti_micro_tile *t)                                   \
    {                                                                                              \
        tile_run(t, rows, vectors);                                                                \
    }
#define TILES_TO_6(vectors)                                                                        \
    TILE(1, vectors)                                                                               \
    TILE(2, vectors) TILE(3, vectors) TILE(4, vectors) TILE(5, vectors) TILE(6, vectors)
#define TILES_TO_9(vectors) TILES_TO_6(vectors) TILE(7, vectors) TILE(8, vectors) TILE(9, vectors)
TILES_TO_9(1)
TILES_TO_9(2)
TILES_TO_9(3)
TILES_TO_6(4)

#define NAMES_TO_6(vectors)                                                                        \
    tile_1_##vectors, tile_2_##vectors, tile_3_##vectors, tile_4_##vectors, tile_5_##vectors,      \
        tile_6_##vectors
#define NAMES_TO_9(vectors)                                                                        \
    NAMES_TO_6(vectors), tile_7_##vectors, tile_8_##vectors, tile_9_##vectors

static void avx512_run(const cti_micro_tile *t, int rows, int vectors)
{
    static void (*const table[4][CTI_MICRO_ROWS])(const cti_micro_tile *) = {
        { NAMES_TO_9(1) }, { NAMES_TO_9(2) }, { NAMES_TO_9(3) }, { NAMES_TO_6(4) }
    };

    table[vectors - 1][rows - 1](t);
}

/* ---- the product ---- */

/* Computes the columns of a panel, which begins at column j, for the pairs from p on. The last
 * panel may be narrower. */
static void avx512_panel(const cti_bf16_product *m, int64_t j, int64_t p, const float *a,
                         const float *b, float *c)
{
    int64_t pairs = cti_bf16_pairs(m->k), width = m->n - j < PANEL ? m->n - j : PANEL, i;
    int vectors = (int)(whole_vectors(width) / VECTOR),
        most = cti_bf16_path_avx512.rows[vectors - 1];
    cti_micro_tile t = { .step_i = m->step_i,
                         .step_k = m->step_p,
                         .ldb = vectors * VECTOR,
                         .ldc = m->ldc,
                         .parts = 1,
                         .k = pairs - p < DEPTH ? pairs - p : DEPTH,
                         .spare = (int)(vectors * VECTOR - width),
                         .accumulate = m->accumulate || p > 0 };

    t.b = b + j * pairs + p * t.ldb;
    for (i = 0; i < m->m; i += most) {
        t.a = a + i * m->step_i + p * m->step_p;
        t.c = c + i * m->ldc + j;
        avx512_run(&t, (int)(m->m - i < most ? m->m - i : most), vectors);
    }
}

static void avx512_multiply(const cti_bf16_product *m, const uint32_t *a, const uint32_t *b,
                            float *c)
{
    int64_t p, j;

    for (p = 0; p < cti_bf16_pairs(m->k); p += DEPTH)
        for (j = 0; j < m->n; j += PANEL)
            avx512_panel(m, j, p, (const float *)a, (const float *)b, c);
}

const cti_bf16_path cti_bf16_path_avx512 = { .pack_a = avx512_pack_a,
                                             .words_of_b = avx512_words_of_b,
                                             .pack_b = avx512_pack_b,
                                             .multiply = avx512_multiply,
                                             .rows = { 9, 9, 9, 6 },
                                             .run = avx512_run,
                                             .pack = avx512_pack,
                                             .along = avx512_along,
                                             .across = avx512_across,
                                             .sum_across = CTI_TRAINING(avx512_sum_across) };
