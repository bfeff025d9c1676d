/* SPDX-License-Identifier: MIT */
/* loops_attention.h - the loops of attention.c over the rows of a tile, for f32 and f64.
 * kernels.c includes it after loops_float.h. (internal, no guard) */

/* The number of keys that the query of row r attends to. */
static inline int64_t FN(attend_seen)(const cti_attention_tile *t, int64_t r)
{
    int64_t seen = t->seen + (t->grows ? r : 0);

    return seen < 0 ? 0 : seen < t->keys ? seen : t->keys;
}

/* Sets the first n of `all` elements to exp(x - most), and the others to 0. */
static void FN(attend_exp)(int64_t n, int64_t all, T most, T *x)
{
    int64_t i;

    INDEPENDENT
    for (i = 0; i < n; i++)
        x[i] = M(exp)(x[i] - most);
    for (i = n; i < all; i++)
        x[i] = 0;
}

/* y = factor y */
static void FN(attend_scale)(int64_t n, T factor, T *y)
{
    int64_t i;

    INDEPENDENT
    for (i = 0; i < n; i++)
        y[i] = factor * y[i];
}

/* Replaces the scores by exp(score - most), updates most and sum, and scales y. */
static void FN(attend)(const cti_attention_tile *t)
{
    T *most = t->most, *sum = t->sum, *y = t->y;
    int64_t r;

    for (r = 0; r < t->rows; r++) {
        T *x = (T *)t->scores + r * t->ld, before = t->first ? 0 : most[r], top, factor;
        int64_t n = FN(attend_seen)(t, r);

        if (n == 0) {
            FN(attend_exp)(0, t->keys, 0, x);
            continue;
        }
        top = FN(row_max)(n, x);
        top = !t->first && !(top > before || top != top) ? before : top;
        FN(attend_exp)(n, t->keys, top, x);
        factor = t->first || top == before ? 1 : M(exp)(before - top);
        most[r] = top;
        sum[r] = (t->first ? 0 : factor * sum[r]) + (T)FN(sum)(n, x);
        if (factor != 1)
            FN(attend_scale)(t->width, factor, y + r * t->width);
    }
}

/* y = y / sum */
static void FN(attend_finish)(const cti_attention_tile *t)
{
    const T *sum = t->sum;
    int64_t r;

    for (r = 0; r < t->rows; r++)
        FN(attend_scale)(t->width, 1 / sum[r], (T *)t->y + r * t->width);
}

/* out[r] = the sum of a b over row r */
static void FN(attend_dots)(int64_t rows, int64_t n, const void *a_, const void *b_, void *out)
{
    const T *a = a_, *b = b_;
    int64_t r, i;

    for (r = 0; r < rows; r++, a += n, b += n) {
        FN(vector) lane[LANE_VECTORS] = { { 0 } };
        double total;

        for (i = 0; i + LANES <= n; i += LANES)
            UNROLL_LANES
        for (int v = 0; v < LANE_VECTORS; v++)
            lane[v] += FN(load)(a + i + v * IN_VECTOR) * FN(load)(b + i + v * IN_VECTOR);
        total = FN(add_lanes)(0, lane);
        for (; i < n; i++)
            total += (double)a[i] * (double)b[i];
        ((T *)out)[r] = (T)total;
    }
}

/* Replaces the scores by the weights w = exp(score - most) / sum. Replaces the slopes dw by w
 * (dw - dot) scale, unless slopes is NULL. */
static void FN(attend_backward)(const cti_attention_tile *t)
{
    const T *most = t->most, *sum = t->sum, *dot = t->dot;
    int64_t r, i;

    for (r = 0; r < t->rows; r++) {
        T *x = (T *)t->scores + r * t->ld, *d = t->slopes ? (T *)t->slopes + r * t->ld : NULL;
        const T top = most[r], inverse = 1 / sum[r], shift = dot[r], scale = (T)t->scale;
        int64_t n = FN(attend_seen)(t, r);

        INDEPENDENT
        for (i = 0; i < n; i++)
            x[i] = M(exp)(x[i] - top) * inverse;
        for (i = n; i < t->keys; i++)
            x[i] = 0;
        if (!d)
            continue;
        INDEPENDENT
        for (i = 0; i < n; i++)
            d[i] = x[i] * (d[i] - shift) * scale;
        for (i = n; i < t->keys; i++)
            d[i] = 0;
    }
}
