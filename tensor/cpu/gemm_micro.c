/* SPDX-License-Identifier: MIT */
/* gemm_micro.c - products in registers (gemm_tiles.h), transposes and sums for recurrent layers and
 * convolutions. Compiled once per code path.
 *
 * Each element of C is one chain of fused multiply-adds in the order of k, which begins with 0, with a
 * bias, or with the old value of the element. So its bits depend neither on the rows and columns that
 * are computed with it nor on the width of the vectors: AVX2, AVX-512 and NEON give the same bits. */
#include "tensor/cpu/cpu.h"

#include "tensor/cpu/vectors.h"

#include <string.h>

#define PASTE2(a, b) a##b
#define PASTE(a, b) PASTE2(a, b)

#ifdef LANES

static inline __attribute__((always_inline)) vec micro_multiply_add(vec row, vec column, vec sum)
{
    return v_fma(row, column, sum);
}

#define TILE_MULTIPLY_ADD micro_multiply_add
#include "tensor/cpu/gemm_tiles.h"

/* out (rows, columns) = the transpose of in (columns, rows), element by element. */
static void micro_transpose_part(int64_t rows, int64_t columns, const float *in, int64_t ld_in,
                                 int64_t ld_out, float *out)
{
    int64_t i, j;

    for (j = 0; j < columns; j++)
        for (i = 0; i < rows; i++)
            out[i * ld_out + j] = in[j * ld_in + i];
}

#if LANES == 16

/* out (16, 16) = the transpose of in (16, 16). Pairs of rows, and then pairs of pairs, are interleaved
 * within 128-bit lanes. Then the lanes are put in order. */
static void micro_transpose_whole(const float *in, int64_t ld_in, int64_t ld_out, float *out)
{
    __m512 r[16], s[16];
    int i;

#pragma GCC unroll 16
    for (i = 0; i < 16; i++)
        r[i] = _mm512_loadu_ps(in + i * ld_in);
#pragma GCC unroll 8
    for (i = 0; i < 16; i += 2) {
        s[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
        s[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
    }
#pragma GCC unroll 4
    for (i = 0; i < 16; i += 4) {
        r[i] = _mm512_castpd_ps(
            _mm512_unpacklo_pd(_mm512_castps_pd(s[i]), _mm512_castps_pd(s[i + 2])));
        r[i + 1] = _mm512_castpd_ps(
            _mm512_unpackhi_pd(_mm512_castps_pd(s[i]), _mm512_castps_pd(s[i + 2])));
        r[i + 2] = _mm512_castpd_ps(
            _mm512_unpacklo_pd(_mm512_castps_pd(s[i + 1]), _mm512_castps_pd(s[i + 3])));
        r[i + 3] = _mm512_castpd_ps(
            _mm512_unpackhi_pd(_mm512_castps_pd(s[i + 1]), _mm512_castps_pd(s[i + 3])));
    }
#pragma GCC unroll 4
    for (i = 0; i < 4; i++) {
        s[i] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0x88);
        s[i + 4] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0xdd);
        s[i + 8] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0x88);
        s[i + 12] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0xdd);
    }
#pragma GCC unroll 4
    for (i = 0; i < 4; i++) {
        _mm512_storeu_ps(out + i * ld_out, _mm512_shuffle_f32x4(s[i], s[i + 8], 0x88));
        _mm512_storeu_ps(out + (i + 8) * ld_out, _mm512_shuffle_f32x4(s[i], s[i + 8], 0xdd));
        _mm512_storeu_ps(out + (i + 4) * ld_out, _mm512_shuffle_f32x4(s[i + 4], s[i + 12], 0x88));
        _mm512_storeu_ps(out + (i + 12) * ld_out, _mm512_shuffle_f32x4(s[i + 4], s[i + 12], 0xdd));
    }
}

#elif LANES == 8

/* The same for (8, 8). */
static void micro_transpose_whole(const float *in, int64_t ld_in, int64_t ld_out, float *out)
{
    __m256 r[8], s[8];
    int i;

#pragma GCC unroll 8
    for (i = 0; i < 8; i++)
        r[i] = _mm256_loadu_ps(in + i * ld_in);
#pragma GCC unroll 4
    for (i = 0; i < 8; i += 2) {
        s[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
        s[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    }
#pragma GCC unroll 2
    for (i = 0; i < 8; i += 4) {
        r[i] = _mm256_shuffle_ps(s[i], s[i + 2], 0x44);
        r[i + 1] = _mm256_shuffle_ps(s[i], s[i + 2], 0xee);
        r[i + 2] = _mm256_shuffle_ps(s[i + 1], s[i + 3], 0x44);
        r[i + 3] = _mm256_shuffle_ps(s[i + 1], s[i + 3], 0xee);
    }
#pragma GCC unroll 4
    for (i = 0; i < 4; i++) {
        _mm256_storeu_ps(out + i * ld_out, _mm256_permute2f128_ps(r[i], r[i + 4], 0x20));
        _mm256_storeu_ps(out + (i + 4) * ld_out, _mm256_permute2f128_ps(r[i], r[i + 4], 0x31));
    }
}

#else

static void micro_transpose_whole(const float *in, int64_t ld_in, int64_t ld_out, float *out)
{
    micro_transpose_part(LANES, LANES, in, ld_in, ld_out, out);
}

#endif

/* See cti_micro. A block of rows is written from front to back, because rows of out may fall into the
 * same sets of the caches. */
static void micro_transpose(int64_t rows, int64_t columns, const float *in, int64_t ld_in,
                            int64_t ld_out, float *out)
{
    int64_t i, j;

    for (i = 0; i < rows; i += LANES)
        for (j = 0; j < columns; j += LANES) {
            const float *from = in + j * ld_in + i;
            float *to = out + i * ld_out + j;
            int64_t high = rows - i < LANES ? rows - i : LANES;
            int64_t wide = columns - j < LANES ? columns - j : LANES;

            if (high == LANES && wide == LANES)
                micro_transpose_whole(from, ld_in, ld_out, to);
            else
                micro_transpose_part(high, wide, from, ld_in, ld_out, to);
        }
}

static void micro_pack(int64_t k, int64_t columns, const float *in, int64_t ld_in, int64_t width,
                       float *out)
{
    int64_t i;

    micro_transpose(k, columns, in, ld_in, width, out);
    for (i = 0; columns < LANES && i < k; i++)
        memset(out + i * width + columns, 0, (size_t)(LANES - columns) * sizeof *out);
}

/* Sums `vectors` vectors of columns; see cti_micro. Callers pass a constant. */
static inline __attribute__((always_inline)) void
micro_sum_columns(bool more, int64_t n, int64_t ld, const int vectors, const float *in, float *out)
{
    vec all[4];
    int64_t i;
    int v;

    for (v = 0; v < vectors; v++)
        all[v] = more ? v_load(out + v * LANES) : v_all(0);
    for (i = 0; i < n; i++, in += ld)
        for (v = 0; v < vectors; v++)
            all[v] = v_add(all[v], v_load(in + v * LANES));
    for (v = 0; v < vectors; v++)
        v_store(out + v * LANES, all[v]);
}

static void micro_sum(bool more, int64_t n, int64_t ld, int64_t width, const float *in, float *out)
{
    int64_t j = 0;

    for (; j + 4 * LANES <= width; j += 4 * LANES)
        micro_sum_columns(more, n, ld, 4, in + j, out + j);
    for (; j < width; j += LANES)
        micro_sum_columns(more, n, ld, 1, in + j, out + j);
}

static void micro_scatter(int64_t n, int64_t ld, int64_t width, const float *in, const int64_t *at,
                          float *out)
{
    int64_t i, j;

    for (i = 0; i < n; i++, in += ld) {
        float *to = out + at[i] * CTI_CELL_WIDTH;

        for (j = 0; j < width; j += LANES)
            v_store(to + j, v_add(v_load(to + j), v_load(in + j)));
    }
}

#include "tensor/cpu/conv_tiles.h"
#include "tensor/cpu/rnn_cells.h"

const cti_micro PASTE(cti_micro_, CT_CPU_PATH) = {
    .lanes = LANES,
    .rows = { ROWS_1, ROWS_2, ROWS_3, ROWS_4 },
    .vectors = TILE_VECTORS,
    .run = tile_run,
    .transpose = micro_transpose,
    .pack = micro_pack,
    .lstm = cell_lstm,
    .gru = cell_gru,
    .activate = cell_activate,
    .lstm_back = CTI_TRAINING(cell_lstm_back),
    .gru_back = CTI_TRAINING(cell_gru_back),
    .activate_back = CTI_TRAINING(cell_activate_back),
    .sum = CTI_TRAINING(micro_sum),
    .scatter = CTI_TRAINING(micro_scatter),
    .conv = conv_tiles_run,
    .copy_rows = conv_tiles_copy,
};

#else

const cti_micro PASTE(cti_micro_, CT_CPU_PATH) = { .lanes = 0 };

#endif
