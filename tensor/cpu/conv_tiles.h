/* SPDX-License-Identifier: MIT */
/* conv_tiles.h - the inner loops of conv_direct.c, by the vectors of a code path; included by
 * gemm_micro.c. (internal, no guard)
 *
 * A tile is a product like those of gemm_micro.c, but the elements of A lie at sums of two offsets:
 * A(i, k) = a[row[i] + offset[k]]. So A is never unfolded. Each element of C is one chain of fused
 * multiply-adds in the order of k. */

/* Callers pass constants for rows and vectors, so the loops over them are unrolled. */
static inline __attribute__((always_inline)) void conv_tiles_sum(const cti_conv_tile *t,
                                                                 const int rows, const int vectors)
{
    const int64_t ldb = t->ldb, *offset = t->offset;
    const float *a[CTI_MICRO_ROWS], *b = t->b;
    vec sum[CTI_MICRO_ROWS][4];
    int64_t k;
    int i, v;

#pragma GCC unroll 9
    for (i = 0; i < rows; i++) {
        a[i] = t->a + t->row[i];
#pragma GCC unroll 4
        for (v = 0; v < vectors; v++)
            sum[i][v] =
                t->start == CTI_CONV_GO_ON ? v_load(t->c + i * t->ldc + v * LANES) : v_all(0);
    }
    for (k = 0; k < t->k; k++, b += ldb) {
        const int64_t at = offset[k];
        vec column[4];

#pragma GCC unroll 4
        for (v = 0; v < vectors; v++)
            column[v] = v_load(b + v * LANES);
#pragma GCC unroll 9
        for (i = 0; i < rows; i++) {
            const vec row = v_all(a[i][at]);

#pragma GCC unroll 4
            for (v = 0; v < vectors; v++)
                sum[i][v] = v_fma(row, column[v], sum[i][v]);
        }
    }
#pragma GCC unroll 9
    for (i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (v = 0; v < vectors; v++) {
            float *c = t->c + i * t->ldc + v * LANES;

            if (t->bias)
                sum[i][v] = v_add(sum[i][v], v_load(t->bias + v * LANES));
            if (t->start == CTI_CONV_ADD)
                sum[i][v] = v_add(v_load(c), sum[i][v]);
            v_store(c, sum[i][v]);
        }
}

typedef void conv_tiles_function(const cti_conv_tile *t);

#define CONV_TILE(rows, vectors)                                                                   \
    static void conv_##rows##_##vectors(const cti_conv_tile *t)                                    \
    {                                                                                              \
        conv_tiles_sum(t, rows, vectors);                                                          \
    }
#define CONV_TILES(vectors)                                                                        \
    CONV_TILE(1, vectors)                                                                          \
    CONV_TILE(2, vectors)                                                                          \
    CONV_TILE(3, vectors)                                                                          \
    CONV_TILE(4, vectors)                                                                          \
    CONV_TILE(5, vectors)                                                                          \
    CONV_TILE(6, vectors)
#define CONV_TILES_TO_9(vectors)                                                                   \
    CONV_TILES(vectors)                                                                            \
    CONV_TILE(7, vectors)                                                                          \
    CONV_TILE(8, vectors)                                                                          \
    CONV_TILE(9, vectors)
#define CONV_NAMES(vectors)                                                                        \
    conv_1_##vectors, conv_2_##vectors, conv_3_##vectors, conv_4_##vectors, conv_5_##vectors,      \
        conv_6_##vectors
#define CONV_NAMES_TO_9(vectors)                                                                   \
    CONV_NAMES(vectors), conv_7_##vectors, conv_8_##vectors, conv_9_##vectors

CONV_TILES_TO_9(1)
#if LANES != 8
#define TILE_VECTORS 4
CONV_TILES_TO_9(2)
CONV_TILES_TO_9(3)
CONV_TILES(4)
#define CONV_TABLE                                                                                 \
    { CONV_NAMES_TO_9(1) }, { CONV_NAMES_TO_9(2) }, { CONV_NAMES_TO_9(3) },                        \
    {                                                                                              \
        CONV_NAMES(4)                                                                              \
    }
#else
/* 6 rows by 2 vectors: with 4 vectors the registers would only hold 3 rows. */
#define TILE_VECTORS 2
CONV_TILES(2)
#define CONV_TABLE                                                                                 \
    { CONV_NAMES_TO_9(1) },                                                                        \
    {                                                                                              \
        CONV_NAMES(2)                                                                              \
    }
#endif

static void conv_tiles_run(const cti_conv_tile *t, int rows, int vectors)
{
    static conv_tiles_function *const table[TILE_VECTORS][CTI_MICRO_ROWS] = { CONV_TABLE };

    table[vectors - 1][rows - 1](t);
}

/* Copies n floats of each row. */
static void conv_tiles_copy(int64_t rows, int64_t n, const float *in, int64_t ldi, float *out,
                            int64_t ldo)
{
    const int64_t whole = n / LANES * LANES;
    const vec_part part = v_part(n - whole);
    int64_t i;

    for (; rows > 0; rows--, in += ldi, out += ldo) {
        for (i = 0; i < whole; i += LANES)
            v_store(out + i, v_load(in + i));
        if (whole < n)
            v_store_part(out + whole, part, v_load_part(in + whole, part));
    }
}
