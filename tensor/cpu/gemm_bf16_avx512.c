/* SPDX-License-Identifier: MIT */
/* gemm_bf16_avx512.c - bf16 products by the AVX512-BF16 instructions, which multiply pairs.
 *
 * A pair is a 32-bit word: the lower half belongs to an even k, the upper half to the next k. Pairs
 * are added to an element of C in the order of k, whatever the tiling. VDPBF16PS adds the product
 * of the odd k, then that of the even k, rounds after each, and treats subnormals as 0, as the
 * conversion to bf16 does (Intel's manual, volume 2). Neither depends on MXCSR or changes it. */
#include "tensor/cpu/cpu.h"

#include "tensor/cpu/vectors.h"

#include <string.h>

#define VECTOR LANES                       /* floats, or pairs, in a register */
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

static inline __attribute__((always_inline)) vec avx512_multiply_add(vec row, vec column, vec sum)
{
    return _mm512_dpbf16_ps(sum, (__m512bh)row, (__m512bh)column);
}

#define TILE_MULTIPLY_ADD avx512_multiply_add
#include "tensor/cpu/gemm_tiles.h"

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
        tile_run(&t, (int)(m->m - i < most ? m->m - i : most), vectors);
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
                                             .rows = { ROWS_1, ROWS_2, ROWS_3, ROWS_4 },
                                             .run = tile_run,
                                             .pack = avx512_pack,
                                             .along = avx512_along,
                                             .across = avx512_across,
                                             .sum_across = CTI_TRAINING(avx512_sum_across) };
