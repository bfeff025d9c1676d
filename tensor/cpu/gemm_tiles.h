/* SPDX-License-Identifier: MIT */
/* gemm_tiles.h - products of a few rows by a few vectors of columns, in registers. Included after
 * vectors.h, by gemm_micro.c for each code path and by gemm_bf16_avx512.c, in which a float is a pair of
 * elements in bf16. TILE_MULTIPLY_ADD is a function: (row, column, sum) -> sum + row column. (internal,
 * no guard)
 *
 *                    B: one panel of at most 4 vectors
 *                  +------------------------------+
 *                k |  b0   |  b1   |  b2   |  b3   |   loaded once for each k
 *                  +------------------------------+
 *         A(i, k)  |  c00  |  c01  |  c02  |  c03  |   the sums stay in registers: 6 rows by 4
 *         A(i+1, k)|  c10  |  ...                  |   vectors, with AVX2 3 by 4 */

/* The greatest number of rows for each number of vectors: as many as the registers hold, but at most
 * CTI_MICRO_ROWS. */
#if LANES != 8
#define ROWS_1 9
#define ROWS_2 9
#define ROWS_3 9
#define ROWS_4 6
#else
#define ROWS_1 9
#define ROWS_2 6
#define ROWS_3 4
#define ROWS_4 3
#endif

/* Returns whether C does not have all columns of vector v. */
static inline __attribute__((always_inline)) bool tile_is_part(const cti_micro_tile *t, int v,
                                                               const int vectors)
{
    return v + 1 == vectors && t->spare;
}

/* Returns the vector with which sum v of row i begins. */
static inline __attribute__((always_inline)) vec tile_start(const cti_micro_tile *t, int i, int v,
                                                            const int vectors)
{
    const float *c = t->c + i * t->ldc + v * LANES;

    if (t->init)
        return v_load(t->init[i] + v * LANES);
    if (!t->accumulate)
        return v_all(0);
    return tile_is_part(t, v, vectors) ? v_load_part(c, v_part(LANES - t->spare)) : v_load(c);
}

static inline __attribute__((always_inline)) void tile_store(const cti_micro_tile *t, int i, int v,
                                                             const int vectors, vec sum)
{
    float *c = t->c + i * t->ldc + v * LANES;

    if (tile_is_part(t, v, vectors))
        v_store_part(c, v_part(LANES - t->spare), sum);
    else
        v_store(c, sum);
}

/* sum += part `part` of A times its rows of B. */
static inline __attribute__((always_inline)) void tile_multiply(const cti_micro_tile *t,
                                                                int64_t part, const int rows,
                                                                const int vectors,
                                                                vec sum[CTI_MICRO_ROWS][4])
{
    const int64_t step_i = t->step_i, step_k = t->step_k, ldb = t->ldb;
    const float *b = t->b + part * t->k * ldb;
    const float
        *a[CTI_MICRO_ROWS / 3]; /* rows 0, 3 and 6: this needs fewer registers than all rows */
    const float *fetch = t->fetch ? t->fetch + part * t->fetch_step : b;
    const float *end = fetch + (t->fetch ? 16 * (t->fetch_lines - 1) : 0);
    int64_t k;
    int i, v;

#pragma GCC unroll 3
    for (i = 0; i < CTI_MICRO_ROWS / 3; i++)
        a[i] = t->a + part * t->step_part + 3 * i * step_i;
    for (k = 0; k < t->k; k++, b += ldb) {
        vec column[4];

        __builtin_prefetch(fetch);
        fetch += fetch < end ? 16 : 0;
#pragma GCC unroll 4
        for (v = 0; v < vectors; v++)
            column[v] = v_load(b + v * LANES);
#pragma GCC unroll 9
        for (i = 0; i < rows; i++) {
            const vec row = v_all(a[i / 3][i % 3 * step_i]);

#pragma GCC unroll 4
            for (v = 0; v < vectors; v++)
                sum[i][v] = TILE_MULTIPLY_ADD(row, column[v], sum[i][v]);
        }
#pragma GCC unroll 3
        for (i = 0; 3 * i < rows; i++)
            a[i] += step_k;
    }
}

/* Callers pass constants for rows and vectors, so the loops over them are unrolled. */
static inline __attribute__((always_inline)) void tile_all(const cti_micro_tile *t, const int rows,
                                                           const int vectors)
{
    vec sum[CTI_MICRO_ROWS][4];
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
            tile_store(t, i, v, vectors, sum[i][v]);
}

#define TILE(rows, vectors)                                                                        \
    static void tile_##rows##_##vectors(const cti_micro_tile *t)                                   \
    {                                                                                              \
        tile_all(t, rows, vectors);                                                                \
    }

#define TILES(vectors)                                                                             \
    TILE(1, vectors)                                                                               \
    TILE(2, vectors)                                                                               \
    TILE(3, vectors)
#define TILES_TO_4(vectors) TILES(vectors) TILE(4, vectors)
#define TILES_TO_6(vectors) TILES_TO_4(vectors) TILE(5, vectors) TILE(6, vectors)
#define TILES_TO_9(vectors) TILES_TO_6(vectors) TILE(7, vectors) TILE(8, vectors) TILE(9, vectors)

typedef void tile_function(const cti_micro_tile *t);

#define NAMES(vectors) tile_1_##vectors, tile_2_##vectors, tile_3_##vectors
#define NAMES_TO_4(vectors) NAMES(vectors), tile_4_##vectors
#define NAMES_TO_6(vectors) NAMES_TO_4(vectors), tile_5_##vectors, tile_6_##vectors
#define NAMES_TO_9(vectors)                                                                        \
    NAMES_TO_6(vectors), tile_7_##vectors, tile_8_##vectors, tile_9_##vectors

#if LANES != 8
TILES_TO_9(1)
TILES_TO_9(2)
TILES_TO_9(3)
TILES_TO_6(4)
#define TABLE                                                                                      \
    { NAMES_TO_9(1) }, { NAMES_TO_9(2) }, { NAMES_TO_9(3) },                                       \
    {                                                                                              \
        NAMES_TO_6(4)                                                                              \
    }
#else
TILES_TO_9(1)
TILES_TO_6(2)
TILES_TO_4(3)
TILES(4)
#define TABLE                                                                                      \
    { NAMES_TO_9(1) }, { NAMES_TO_6(2) }, { NAMES_TO_4(3) },                                       \
    {                                                                                              \
        NAMES(4)                                                                                   \
    }
#endif

static void tile_run(const cti_micro_tile *t, int rows, int vectors)
{
    static tile_function *const table[4][CTI_MICRO_ROWS] = { TABLE };

    table[vectors - 1][rows - 1](t);
}
