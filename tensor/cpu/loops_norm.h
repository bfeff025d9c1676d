/* SPDX-License-Identifier: MIT */
/* loops_norm.h - rows normalised by their mean and variance, for f32 and f64; included by kernels.c
 * after loops_float.h. (internal, no guard)
 *
 *     z = (x - mean) s      s = 1 / sqrt(variance + eps)      y = z weight + bias
 *     g = dy weight         dx = s (g - mean(g) - z mean(g z))
 *     dweight = sum of dy z over the rows                     dbias = sum of dy over the rows
 *
 * If centred is false (RMS norm), mean and mean(g) are 0. A row is read several times while it is
 * in the cache. */

#define NORM_ROWS 32 /* rows whose dweight is summed in T before the sum is added in double */

/* The sum of (x - mean)^2, with the same partial sums as FN(sum). */
static double FN(sum_squares_about)(int64_t n, const T *x, T mean)
{
    double total = 0;
    int64_t i, j;

    for (i = 0; i < n; i += BLOCK) {
        FN(vector) lane[LANE_VECTORS] = { { 0 } };
        int64_t m = n - i < BLOCK ? n - i : BLOCK;

        for (j = 0; j + LANES <= m; j += LANES)
            UNROLL_LANES
        for (int v = 0; v < LANE_VECTORS; v++) {
            FN(vector) d = FN(load)(x + i + j + v * IN_VECTOR) - mean;

            lane[v] += d * d;
        }
        total = FN(add_lanes)(total, lane);
        for (; j < m; j++)
            total += (double)(x[i + j] - mean) * (double)(x[i + j] - mean);
    }
    return total;
}

static void FN(norm_row)(int64_t n, const T *x, T mean, T scale, const T *w, const T *b, T *y)
{
    int64_t i;

    if (w && b) {
        INDEPENDENT
        for (i = 0; i < n; i++)
            y[i] = (x[i] - mean) * scale * w[i] + b[i];
    } else if (w) {
        INDEPENDENT
        for (i = 0; i < n; i++)
            y[i] = (x[i] - mean) * scale * w[i];
    } else {
        INDEPENDENT
        for (i = 0; i < n; i++)
            y[i] = (x[i] - mean) * scale;
    }
    if (b && !w) {
        INDEPENDENT
        for (i = 0; i < n; i++)
            y[i] += b[i];
    }
}

/* For rows first .. end - 1. */
static void FN(normalise)(const cti_normalise_args *a, int64_t first, int64_t end)
{
    const T *x = a->x;
    T *mean = a->mean, *variance = a->variance, *y = a->y;
    int64_t n = a->n, r;

    for (r = first; r < end; r++) {
        T m = a->centred ? (T)(FN(sum)(n, x + r * n) / (double)n) : 0;
        double v = FN(sum_squares_about)(n, x + r * n, m) / (double)n;

        FN(norm_row)(n, x + r * n, m, (T)(1 / sqrt(v + a->eps)), a->weight, a->bias, y + r * n);
        if (mean)
            mean[r] = m;
        if (variance)
            variance[r] = (T)v;
    }
}

/* The operands of backward for one row. */
typedef struct FN(norm_view) {
    const T *x, *dy, *w; /* w or NULL */
    T mean, scale;
} FN(norm_view);

/* The sums of g and of g (x - mean). */
static void FN(norm_sums)(int64_t n, const FN(norm_view) * v, double *sum, double *product)
{
    const T *x = v->x, *dy = v->dy, *w = v->w, mean = v->mean;
    int64_t i, j;

    *sum = *product = 0;
    for (i = 0; i < n; i += BLOCK) {
        FN(vector) a[LANE_VECTORS] = { { 0 } }, b[LANE_VECTORS] = { { 0 } };
        int64_t m = n - i < BLOCK ? n - i : BLOCK;

        for (j = i; j + LANES <= i + m; j += LANES)
            UNROLL_LANES
        for (int k = 0; k < LANE_VECTORS; k++) {
            int64_t at = j + k * IN_VECTOR;
            FN(vector) g = FN(load)(dy + at);

            if (w)
                g *= FN(load)(w + at);
            a[k] += g;
            b[k] += g * (FN(load)(x + at) - mean);
        }
        *sum = FN(add_lanes)(*sum, a);
        *product = FN(add_lanes)(*product, b);
        for (; j < i + m; j++) {
            T g = w ? dy[j] * w[j] : dy[j];

            *sum += (double)g;
            *product += (double)g * (double)(x[j] - mean);
        }
    }
}

/* dx = s (g - shift - (x - mean) slope) */
static void FN(norm_dx)(int64_t n, const FN(norm_view) * v, T shift, T slope, T *dx)
{
    const T *x = v->x, *dy = v->dy, *w = v->w, mean = v->mean, s = v->scale;
    int64_t i;

    if (w) {
        INDEPENDENT
        for (i = 0; i < n; i++)
            dx[i] = s * (dy[i] * w[i] - shift - (x[i] - mean) * slope);
    } else {
        INDEPENDENT
        for (i = 0; i < n; i++)
            dx[i] = s * (dy[i] - shift - (x[i] - mean) * slope);
    }
}

/* Adds one row's part of dweight (n) and dbias (n) to `to`, which holds both. */
static void FN(norm_add_weights)(int64_t n, const FN(norm_view) * v, T *to)
{
    const T *x = v->x, *dy = v->dy, mean = v->mean, s = v->scale;
    int64_t i;

    INDEPENDENT
    for (i = 0; i < n; i++) {
        to[i] += dy[i] * ((x[i] - mean) * s);
        to[n + i] += dy[i];
    }
}

/* For rows first .. end - 1. If sums is not NULL, sums (2 n) receives dweight and dbias; few (2 n)
 * is scratch. */
static void FN(normalise_backward)(const cti_normalise_backward_args *a, int64_t first, int64_t end,
                                   void *few_, double *sums)
{
    const T *mean = a->mean, *variance = a->variance;
    T *few = few_, *dx = a->dx;
    int64_t n = a->n, r, i;

    for (r = first; r < end; r++) {
        double scale = 1 / sqrt((double)variance[r] + a->eps), sum, product;
        const FN(norm_view)
            v = { (const T *)a->x + r * n, (const T *)a->dy + r * n, a->weight, mean[r], (T)scale };

        if (dx) {
            FN(norm_sums)(n, &v, &sum, &product);
            FN(norm_dx)
            (n, &v, a->centred ? (T)(sum / (double)n) : 0, (T)(product * scale * scale / (double)n),
             dx + r * n);
        }
        if (!sums)
            continue;
        if ((r - first) % NORM_ROWS == 0)
            memset(few, 0, (size_t)(2 * n) * sizeof(T));
        FN(norm_add_weights)(n, &v, few);
        if ((r - first) % NORM_ROWS == NORM_ROWS - 1 || r == end - 1)
            for (i = 0; i < 2 * n; i++)
                sums[i] += (double)few[i];
    }
}
