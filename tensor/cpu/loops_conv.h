/* SPDX-License-Identifier: MIT */
/* loops_conv.h - inner loops of convolutions, for f32 and f64; included by kernels.c after
 * loops_float.h. (internal, no guard)
 *
 * conv.c copies the image so that consecutive results read consecutive elements for each element k
 * of the filter. So element k only needs an offset into the image, and no unfolded copy. A block of
 * CTI_CONV_ROWS channels by four vectors of positions fills the registers of avx512; the other
 * paths use fewer vectors. */

#define CONV_WIDE (VECTOR_BYTES == 64 ? 4 : 2) /* the vectors of a block that fit into registers */
#define CONV_UNROLL _Pragma("GCC unroll 8")

/* Callers pass constants for rows and vectors, so the loops over them are unrolled. Each result is
 * added up in the order of k. */
static inline __attribute__((always_inline)) void FN(conv_block)(const int rows, const int vectors,
                                                                 int64_t count, const T *w,
                                                                 const int64_t *offset, const T *x,
                                                                 T *out, int64_t ldo, bool more)
{
    FN(vector) sum[CTI_CONV_ROWS][4];
    int64_t k;
    int i, v;

    CONV_UNROLL
    for (i = 0; i < rows; i++)
        CONV_UNROLL
    for (v = 0; v < vectors; v++) {
        sum[i][v] = (FN(vector)){ 0 };
        if (more)
            sum[i][v] = *(const FN(vector) *)(out + i * ldo + v * IN_VECTOR);
    }
    for (k = 0; k < count; k++, w += rows) {
        const T *from = x + offset[k];
        FN(vector) in[4];

        CONV_UNROLL
        for (v = 0; v < vectors; v++)
            in[v] = *(const FN(vector) *)(from + v * IN_VECTOR);
        CONV_UNROLL
        for (i = 0; i < rows; i++)
            CONV_UNROLL
        for (v = 0; v < vectors; v++)
            sum[i][v] += w[i] * in[v];
    }
    CONV_UNROLL
    for (i = 0; i < rows; i++)
        CONV_UNROLL
    for (v = 0; v < vectors; v++)
        *(FN(vector) *)(out + i * ldo + v * IN_VECTOR) = sum[i][v];
}

static void FN(conv)(int rows, bool wide, int64_t count, const void *w, const int64_t *offset,
                     const void *x_, void *out_, int64_t ldo, bool more)
{
    const T *x = x_;
    T *out = out_;
    int times = wide ? 4 / CONV_WIDE : 1;

#define CONV_BLOCK(n)                                                                              \
    case n:                                                                                        \
        if (wide)                                                                                  \
            FN(conv_block)(n, CONV_WIDE, count, w, offset, x, out, ldo, more);                     \
        else                                                                                       \
            FN(conv_block)(n, 1, count, w, offset, x, out, ldo, more);                             \
        break
    for (; times > 0; times--, x += CONV_WIDE * IN_VECTOR, out += CONV_WIDE * IN_VECTOR)
        switch (rows) {
            CONV_BLOCK(1);
            CONV_BLOCK(2);
            CONV_BLOCK(3);
            CONV_BLOCK(4);
            CONV_BLOCK(5);
            CONV_BLOCK(6);
        }
#undef CONV_BLOCK
}

/* Like conv_block, for the gradient of the filter: rows by four of its elements at a time. sum
 * receives vectors; the sum of a vector's lanes is the result. */
static inline __attribute__((always_inline)) void
FN(conv_weight_block)(const int rows, int64_t n, const T *y, int64_t ldy, const T *x,
                      const int64_t *offset, FN(vector) (*sum)[4])
{
    const T *x0 = x + offset[0], *x1 = x + offset[1], *x2 = x + offset[2], *x3 = x + offset[3];
    FN(vector) s[CTI_CONV_ROWS][4];
    int64_t j;
    int i, k;

    CONV_UNROLL
    for (i = 0; i < rows; i++)
        CONV_UNROLL
    for (k = 0; k < 4; k++)
        s[i][k] = (FN(vector)){ 0 };
    for (j = 0; j < n; j += IN_VECTOR) {
        FN(vector) a = *(const FN(vector) *)(x0 + j), b = *(const FN(vector) *)(x1 + j);
        FN(vector) c = *(const FN(vector) *)(x2 + j), d = *(const FN(vector) *)(x3 + j);

        CONV_UNROLL
        for (i = 0; i < rows; i++) {
            FN(vector) from = *(const FN(vector) *)(y + i * ldy + j);

            s[i][0] += from * a;
            s[i][1] += from * b;
            s[i][2] += from * c;
            s[i][3] += from * d;
        }
    }
    CONV_UNROLL
    for (i = 0; i < rows; i++)
        CONV_UNROLL
    for (k = 0; k < 4; k++)
        sum[i][k] = s[i][k];
}

/* Returns the sum of the lanes. Each step adds the upper half to the lower half. */
static inline T FN(conv_lanes)(FN(vector) v)
{
    int half;

    CONV_UNROLL
    for (half = IN_VECTOR / 2; half > 0; half /= 2)
        v += FN(swap)(v, half);
    return v[0];
}

/* Adds to w[i ldw + k] the sums for rows by `left` elements of the filter, at most four. */
static void FN(conv_weight_sums)(int rows, int64_t n, const T *y, int64_t ldy, const T *x,
                                 const int64_t *offset, int left, T *w, int64_t ldw)
{
    FN(vector) sum[CTI_CONV_ROWS][4];
    int64_t four[4];
    int i, j;

    for (j = 0; j < 4; j++)
        four[j] = offset[j < left ? j : 0];
#define CONV_BLOCK(rows)                                                                           \
    case rows:                                                                                     \
        FN(conv_weight_block)(rows, n, y, ldy, x, four, sum);                                      \
        break
    switch (rows) {
        CONV_BLOCK(1);
        CONV_BLOCK(2);
        CONV_BLOCK(3);
        CONV_BLOCK(4);
        CONV_BLOCK(5);
        CONV_BLOCK(6);
    }
#undef CONV_BLOCK
    for (i = 0; i < rows; i++)
        for (j = 0; j < left; j++)
            w[i * ldw + j] += FN(conv_lanes)(sum[i][j]);
}

static void FN(conv_weight)(int rows, int64_t count, int64_t n, const void *y_, int64_t ldy,
                            const void *x, const int64_t *offset, void *w_, int64_t ldw)
{
    const int most = CONV_WIDE == 4 ? CTI_CONV_ROWS : CTI_CONV_ROWS / 2; /* the most rows whose sums
                                                                          * fit into registers */
    const T *y = y_;
    T *w = w_;
    int64_t k;
    int i;

    for (i = 0; i < rows; i += most)
        for (k = 0; k < count; k += 4)
            FN(conv_weight_sums)
    (rows - i < most ? rows - i : most, n, y + i * ldy, ldy, x, offset + k,
     count - k < 4 ? (int)(count - k) : 4, w + i * ldw + k, ldw);
}

static void FN(conv_store)(int64_t n, const void *x_, int64_t from_step, const void *bias,
                           void *out_, int64_t step)
{
    const T *x = x_, add = bias ? *(const T *)bias : 0;
    T *out = out_;
    int64_t j;

    if (step == 1 && from_step == 1)
        for (j = 0; j < n; j++)
            out[j] = x[j] + add;
    else
        for (j = 0; j < n; j++)
            out[j * step] = x[j * from_step] + add;
}

static void FN(conv_load)(int64_t n, const void *x_, int64_t step, void *out_)
{
    const T *x = x_;
    T *out = out_;
    int64_t j;

    for (j = 0; j < n; j++)
        out[j] = x[j * step];
}

/* out[j] = x[index[j]], or 0 where the index is negative */
static void FN(conv_gather)(int64_t n, const int64_t *index, const void *x_, void *out_)
{
    const T *x = x_;
    T *out = out_;
    int64_t j;

    INDEPENDENT
    for (j = 0; j < n; j++)
        out[j] = index[j] < 0 ? 0 : x[index[j]];
}

#undef CONV_WIDE
#undef CONV_UNROLL
