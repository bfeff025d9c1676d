/* SPDX-License-Identifier: MIT */
/* loops_loss.h - softmax cross-entropy of rows of class scores, for f32 and f64; included by
 * kernels.c after loops_float.h. (internal, no guard)
 *
 *     lse = log(sum of exp(x - most))        most = max(x)
 *     loss = lse + (1 - s) (most - x[target]) + s mean(most - x)  s the label smoothing
 *     dx = dloss (exp(x - most - lse) - s / n - (1 - s) [target])
 *
 * Scores are subtracted from each other before anything is added, so a constant added to all scores
 * does not change the result.
 *
 * Most rows are short (an alphabet). Short rows are transposed, so that a vector holds one element
 * of each of IN_VECTOR rows, and their maxima, exponentials and sums are computed at once. */

#define LOSS_BLOCK 2048 /* elements that are computed at a time */

/* The greatest element of a row of any length, and the sum of exp(x - most). */
static void FN(long_exp_sum)(int64_t n, const T *x, T *most_, T *sum)
{
    T e[LOSS_BLOCK], most = FN(row_max)(n, x);
    double total = 0;
    int64_t at, i;

    for (at = 0; at < n; at += LOSS_BLOCK) {
        int64_t m = n - at < LOSS_BLOCK ? n - at : LOSS_BLOCK;

        INDEPENDENT
        for (i = 0; i < m; i++)
            e[i] = M(exp)(x[at + i] - most);
        total += FN(sum)(m, e);
    }
    *most_ = most;
    *sum = (T)total;
}

/* Transposes x (rows, n) to e (n, IN_VECTOR), with zeros in the columns beyond rows. */
static void FN(side_by_side)(int64_t rows, int64_t n, const T *x, T *e)
{
    int64_t i;
    int r;

    if (rows == IN_VECTOR) {
        (sizeof(T) == 4 ? transpose_4 : transpose_8)(n, IN_VECTOR, (char *)e, VECTOR_BYTES,
                                                     (const char *)x, n * (int64_t)sizeof(T));
        return;
    }
    for (i = 0; i < n; i++)
        for (r = 0; r < IN_VECTOR; r++)
            e[i * IN_VECTOR + r] = r < rows ? x[r * n + i] : 0;
}

/* Like long_exp_sum, for up to IN_VECTOR short rows (rows, n). A NaN counts as the greatest. */
static void FN(short_exp_sums)(int64_t rows, int64_t n, const T *x, T *most, T *sum)
{
    FN(vector) e[SHORT_ROW], total = { 0 }, top = total - (T)INFINITY;
    T *each = (T *)e;
    int64_t i;

    FN(side_by_side)(rows, n, x, each);
    for (i = 0; i < n; i++) {
        FN(mask) greater = (e[i] > top) | (e[i] != e[i]);

        top = (FN(vector))(((FN(mask))e[i] & greater) | ((FN(mask))top & ~greater));
    }
    for (i = 0; i < n; i++)
        e[i] -= top;
    INDEPENDENT
    for (i = 0; i < n * IN_VECTOR; i++)
        each[i] = M(exp)(each[i]);
    for (i = 0; i < n; i++)
        total += e[i];
    memcpy(most, &top, (size_t)rows * sizeof(T));
    memcpy(sum, &total, (size_t)rows * sizeof(T));
}

/* For each row: the greatest element, and the log of the sum of exp(x - most). */
static void FN(log_sum_exp)(int64_t rows, int64_t n, const void *in, void *most_, void *log_sum_)
{
    const T *x = in;
    T *most = most_, *log_sum = log_sum_;
    int64_t few = n <= SHORT_ROW ? IN_VECTOR : 1, r;

    for (r = 0; r < rows; r += few) {
        if (n <= SHORT_ROW)
            (FN(short_exp_sums))(rows - r < few ? rows - r : few, n, x + r * n, most + r,
                                 log_sum + r);
        else
            FN(long_exp_sum)(n, x + r * n, most + r, log_sum + r);
    }
    INDEPENDENT
    for (r = 0; r < rows; r++) { /* with infinite scores the sum is NaN */
        T l = M(log)(log_sum[r]);

        log_sum[r] = most[r] - most[r] == 0 || most[r] != most[r] ? l : 0;
    }
}

/* The mean of most - x. */
static T FN(mean_below)(int64_t n, const T *x, T most)
{
    T below[LOSS_BLOCK];
    double total = 0;
    int64_t at, i;

    for (at = 0; at < n; at += LOSS_BLOCK) {
        int64_t m = n - at < LOSS_BLOCK ? n - at : LOSS_BLOCK;

        for (i = 0; i < m; i++)
            below[i] = most - x[at + i];
        total += FN(sum)(m, below);
    }
    return (T)(total / (double)n);
}

/* The losses of up to LOSS_ROWS rows. A target of -1 is ignored: its loss is 0. */
static void FN(cross_entropy)(int64_t rows, int64_t n, const void *in, const int64_t *target,
                              double smoothing, void *loss_, void *most_, void *lse_)
{
    const T *x = in;
    T *loss = loss_, *most = most_, *lse = lse_, s = (T)smoothing;
    int64_t r;

    FN(log_sum_exp)(rows, n, in, most, lse);
    for (r = 0; r < rows; r++) {
        if (target[r] < 0)
            loss[r] = 0;
        else if (s == 0)
            loss[r] = lse[r] + (most[r] - x[r * n + target[r]]);
        else
            loss[r] = lse[r] + (1 - s) * (most[r] - x[r * n + target[r]]) +
                      s * FN(mean_below)(n, x + r * n, most[r]);
    }
}

/* Sets n elements to v; it may write up to LANES - 1 more. */
static void FN(spread)(int64_t n, T v, T *to)
{
    int64_t i;
    int l;

    for (i = 0; i < n; i += LANES)
        for (l = 0; l < LANES; l++)
            to[i + l] = v;
}

/* The operands of the derivative: scores (rows, n), and most, lse and g for each row. If g_step is
 * 0, all rows share one g. */
typedef struct FN(loss_rows) {
    const T *x, *most, *lse, *g;
    int64_t g_step;
} FN(loss_rows);

/* out = g (exp(x - most - lse) - base) for `rows` rows from row `first` on; rows n <= LOSS_BLOCK.
 * The numbers of a row are first copied to each of its elements, so that one loop can compute all
 * rows. */
static void FN(softmax_minus)(const FN(loss_rows) * l, int64_t first, int64_t rows, int64_t n,
                              T base, T *out)
{
    T top[LOSS_BLOCK + LANES], from[LOSS_BLOCK + LANES], scale[LOSS_BLOCK + LANES];
    const T *x = l->x + first * n;
    int64_t r, i;

    for (r = 0; r < rows; r++) {
        FN(spread)(n, l->most[first + r], top + r * n);
        FN(spread)(n, l->lse[first + r], from + r * n);
        FN(spread)(n, l->g[(first + r) * l->g_step], scale + r * n);
    }
    INDEPENDENT
    for (i = 0; i < rows * n; i++)
        out[i] = scale[i] * (M(exp)(x[i] - top[i] - from[i]) - base);
}

/* Like softmax_minus, for one row of any length. */
static void FN(long_softmax_minus)(const FN(loss_rows) * l, int64_t row, int64_t n, T base, T *out)
{
    const T *x = l->x + row * n, most = l->most[row], lse = l->lse[row], g = l->g[row * l->g_step];
    int64_t i;

    INDEPENDENT
    for (i = 0; i < n; i++)
        out[i] = g * (M(exp)(x[i] - most - lse) - base);
}

/* The gradients of up to LOSS_ROWS rows. */
static void FN(cross_entropy_backward)(int64_t rows, int64_t n, const void *in,
                                       const int64_t *target, double smoothing, const void *most,
                                       const void *lse, const void *g_, int64_t g_step, void *out_)
{
    const T *g = g_;
    const FN(loss_rows) l = { in, most, lse, g, g_step };
    T *out = out_, base = (T)(smoothing / (double)n);
    int64_t few = n <= SHORT_ROW ? LOSS_BLOCK / n : 1, r, i;

    for (r = 0; r < rows; r += few) {
        if (n <= SHORT_ROW)
            (FN(softmax_minus))(&l, r, rows - r < few ? rows - r : few, n, base, out + r * n);
        else
            FN(long_softmax_minus)(&l, r, n, base, out + r * n);
    }
    for (r = 0; r < rows; r++) {
        if (target[r] >= 0)
            out[r * n + target[r]] -= g[r * g_step] * (T)(1 - smoothing);
        else
            for (i = 0; i < n; i++)
                out[r * n + i] = 0;
    }
}

/* The results of short_softmax for each row. */
typedef struct FN(short_rows) {
    T most[IN_VECTOR], log_sum[IN_VECTOR], below[IN_VECTOR]; /* below: the sum of most - x */
} FN(short_rows);

/* For up to IN_VECTOR rows of n <= SHORT_ROW elements, transposed, so that a vector holds an
 * element of each row:
 *     out (n, ld) = scale (e / sum of e - base)      e = exp(x - most)
 * The loss and the gradient share one exponential. scale (IN_VECTOR) is 0 beyond the rows. */
static void FN(short_softmax)(int64_t rows, int64_t n, const T *x, const T *scale, T base, T *out,
                              int64_t ld, FN(short_rows) * left)
{
    FN(vector) e[SHORT_ROW], total = { 0 }, below = { 0 }, top = total - (T)INFINITY, s, g;
    T *each = (T *)e;
    int64_t i;
    int r;

    FN(side_by_side)(rows, n, x, each);
    for (i = 0; i < n; i++) {
        FN(mask) greater = (e[i] > top) | (e[i] != e[i]);

        top = (FN(vector))(((FN(mask))e[i] & greater) | ((FN(mask))top & ~greater));
    }
    for (i = 0; i < n; i++) {
        e[i] -= top;
        below -= e[i];
    }
    INDEPENDENT
    for (i = 0; i < n * IN_VECTOR; i++)
        each[i] = M(exp)(each[i]);
    for (i = 0; i < n; i++)
        total += e[i];
    memcpy(&s, scale, sizeof s);
    g = s / total;
    for (i = 0; i < n; i++) {
        FN(vector) d = e[i] * g - s * base;

        memcpy(out + i * ld, &d, sizeof d);
    }
    memcpy(left->most, &top, sizeof top);
    memcpy(left->below, &below, sizeof below);
    memcpy(left->log_sum, &total, sizeof total);
    INDEPENDENT
    for (r = 0; r < IN_VECTOR; r++)
        left->log_sum[r] = M(log)(left->log_sum[r]);
}

/* Computes cross_entropy and its backward in one pass, for up to LOSS_ROWS rows of n <= SHORT_ROW
 * elements. scale is the gradient of each row's loss. The result is transposed: out (n,
 * LOSS_ROWS). */
static void FN(cross_entropy_tile)(int64_t rows, int64_t n, const void *in, const int64_t *target,
                                   double smoothing, double scale, void *loss_, void *out_)
{
    const T *x = in, s = (T)smoothing, g = (T)scale;
    T *loss = loss_, *out = out_, each[IN_VECTOR];
    FN(short_rows) left;
    int64_t at, r, i;

    for (at = 0; at < rows; at += IN_VECTOR) {
        int64_t few = rows - at < IN_VECTOR ? rows - at : IN_VECTOR;

        for (r = 0; r < IN_VECTOR; r++)
            each[r] = r < few && target[at + r] >= 0 ? g : 0;
        FN(short_softmax)(few, n, x + at * n, each, s / (T)n, out + at, LOSS_ROWS, &left);
        for (r = 0; r < few; r++) {
            T most = left.most[r];
            int64_t k = target[at + r];

            if (k < 0) {
                loss[at + r] = 0;
                for (i = 0; i < n; i++)
                    out[i * LOSS_ROWS + at + r] = 0; /* short_softmax wrote NaN if the scores are
                                                      * not finite */
                continue;
            }
            loss[at + r] = (most - most == 0 || most != most ? left.log_sum[r] : 0) +
                           (1 - s) * (most - x[(at + r) * n + k]);
            if (s != 0)
                loss[at + r] += s * left.below[r] / (T)n;
            out[k * LOSS_ROWS + at + r] -= g * (1 - s);
        }
    }
}
