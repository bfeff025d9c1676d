/* SPDX-License-Identifier: MIT */
/* loops_norm.h - rows normalised by their mean and variance, for f32 and f64; included by kernels.c
 * after loops_float.h. (internal, no guard)
 *
 *     z = (x - mean) s      s = 1 / sqrt(variance + eps)      y = z weight + bias
 *     g = dy weight         dx = s (g - mean(g) - z mean(g z))
 *     dweight = sum of dy z over the rows                     dbias = sum of dy over the rows
 *
 * If centred is false (RMS norm), mean and mean(g) are 0. A row is read several times while it is
 * in the cache. Rows whose squares overflow or underflow are scaled first. */

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

/* True if no square of a row with this variance has overflowed, and none that counts beside the sum
 * has underflowed. */
static bool FN(norm_is_ordinary)(double variance, double eps)
{
    bool is_f32 = sizeof(T) == sizeof(float);

    return variance <= (is_f32 ? (double)FLT_MAX : DBL_MAX) &&
           variance + eps >= (is_f32 ? CTI_NORM_LEAST_F32 : CTI_NORM_LEAST_F64);
}

/* A row as t = (x half - base) factor, whose largest element is about 1; half and factor are powers
 * of two. Then z = (t - mean) scale, and the derivative of z by x contains slope. */
typedef struct FN(norm_scaled) {
    double half, base, factor, mean, scale, slope;
    double mean_of_x, variance_of_x;
} FN(norm_scaled);

/* z of element i. */
static double FN(norm_scaled_z)(const FN(norm_scaled) * s, const T *x, int64_t i)
{
    return (((double)x[i] * s->half - s->base) * s->factor - s->mean) * s->scale;
}

/* Returns the largest |x half - base|; infinity or NaN if an element is not finite. */
static double FN(norm_largest)(int64_t n, const T *x, double half, double base)
{
    double most = 0;
    int64_t i;

    for (i = 0; i < n; i++) {
        double size = fabs((double)x[i] * half - base);

        if (!(size <= most))
            most = size;
        if (isnan(size))
            break;
    }
    return most;
}

/* Finds the scaled form of a row. Returns false if there is none: an element is not finite, or all
 * are equal and eps is 0. */
static bool FN(norm_scale)(int64_t n, const T *x, bool centred, double eps, FN(norm_scaled) * s)
{
    double most = FN(norm_largest)(n, x, 1, 0), d, root;
    int64_t i;
    int exponent;

    if (!isfinite(most))
        return false;
    *s = (FN(norm_scaled)){ .half = most > 1 ? 0.5 : 1, .scale = 1 };
    s->base = centred ? (double)x[0] * s->half : 0;
    most = fmax(FN(norm_largest)(n, x, s->half, s->base), sqrt(eps) * s->half);
    if (most == 0)
        return false;
    frexp(most, &exponent);
    s->factor = ldexp(1, exponent < -1000 ? 1000 : -exponent);
    for (i = 0, d = 0; centred && i < n; i++)
        d += FN(norm_scaled_z)(s, x, i);
    s->mean = d / (double)n;
    for (i = 0, d = 0; i < n; i++)
        d += FN(norm_scaled_z)(s, x, i) * FN(norm_scaled_z)(s, x, i);
    d /= (double)n;
    s->mean_of_x = s->base / s->half + s->mean / s->factor / s->half;
    s->variance_of_x = d / s->factor / s->factor / s->half / s->half;
    root = sqrt(eps) * s->half * s->factor;
    s->scale = 1 / sqrt(d + root * root);
    s->slope = s->scale * s->factor * s->half;
    return true;
}

/* One row in its scaled form; false if there is none. */
static bool FN(normalise_scaled)(const cti_normalise_args *a, int64_t r)
{
    const T *x = (const T *)a->x + r * a->n, *w = a->weight, *b = a->bias;
    T *y = (T *)a->y + r * a->n, *mean = a->mean, *variance = a->variance;
    FN(norm_scaled) s;
    int64_t i;

    if (!FN(norm_scale)(a->n, x, a->centred, a->eps, &s))
        return false;
    for (i = 0; i < a->n; i++)
        y[i] = (T)(FN(norm_scaled_z)(&s, x, i) * (w ? (double)w[i] : 1) + (b ? (double)b[i] : 0));
    if (mean)
        mean[r] = (T)s.mean_of_x;
    if (variance)
        variance[r] = (T)s.variance_of_x;
    return true;
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

        if (!FN(norm_is_ordinary)(v, a->eps) && FN(normalise_scaled)(a, r))
            continue;
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

/* One row's dx, and its part of dweight and dbias if few is not NULL, in the row's scaled form; false
 * if there is none. */
static bool FN(normalise_scaled_backward)(const cti_normalise_backward_args *a, int64_t r, T *few)
{
    const T *x = (const T *)a->x + r * a->n, *dy = (const T *)a->dy + r * a->n, *w = a->weight;
    T *dx = a->dx ? (T *)a->dx + r * a->n : NULL;
    double sum = 0, product = 0, n = (double)a->n;
    FN(norm_scaled) s;
    int64_t i;

    if (!FN(norm_scale)(a->n, x, a->centred, a->eps, &s))
        return false;
    for (i = 0; i < a->n; i++) {
        double z = FN(norm_scaled_z)(&s, x, i), g = (double)dy[i] * (w ? (double)w[i] : 1);

        sum += a->centred ? g : 0;
        product += g * z;
        if (few) {
            few[i] += (T)((double)dy[i] * z);
            few[a->n + i] += dy[i];
        }
    }
    for (i = 0; dx && i < a->n; i++) {
        double z = FN(norm_scaled_z)(&s, x, i), g = (double)dy[i] * (w ? (double)w[i] : 1);

        dx[i] = (T)(s.slope * (g - sum / n - z * (product / n)));
    }
    return true;
}

/* One row, likewise. */
static void FN(normalise_row_backward)(const cti_normalise_backward_args *a, int64_t r, T *few)
{
    const T *mean = a->mean, *variance = a->variance;
    double scale = 1 / sqrt((double)variance[r] + a->eps), sum, product;
    int64_t n = a->n;
    const FN(norm_view)
        v = { (const T *)a->x + r * n, (const T *)a->dy + r * n, a->weight, mean[r], (T)scale };

    if (!FN(norm_is_ordinary)((double)variance[r], a->eps) &&
        FN(normalise_scaled_backward)(a, r, few))
        return;
    if (a->dx) {
        FN(norm_sums)(n, &v, &sum, &product);
        FN(norm_dx)
        (n, &v, a->centred ? (T)(sum / (double)n) : 0, (T)(product * scale * scale / (double)n),
         (T *)a->dx + r * n);
    }
    if (few)
        FN(norm_add_weights)(n, &v, few);
}

/* For rows first .. end - 1. If sums is not NULL, sums (2 n) receives dweight and dbias; few (2 n)
 * is scratch. */
static void FN(normalise_backward)(const cti_normalise_backward_args *a, int64_t first, int64_t end,
                                   void *few_, double *sums)
{
    T *few = sums ? few_ : NULL;
    int64_t n = a->n, r, i;

    for (r = first; r < end; r++) {
        if (few && (r - first) % NORM_ROWS == 0)
            memset(few, 0, (size_t)(2 * n) * sizeof(T));
        FN(normalise_row_backward)(a, r, few);
        if (few && ((r - first) % NORM_ROWS == NORM_ROWS - 1 || r == end - 1))
            for (i = 0; i < 2 * n; i++)
                sums[i] += (double)few[i];
    }
}
