/* loops_loss.h - softmax cross-entropy of rows of class scores, for f32 and f64; included by
 * kernels.c after loops_float.h. (internal, no guard)
 *
 *     lse = most + log(sum of exp(x - most))      most = max(x)
 *     loss = lse - (1 - s) x[target] - s mean(x)  s the label smoothing
 *     dx = dloss (exp(x - lse) - s / n - (1 - s) [target])
 *
 * Rows are short as a rule (an alphabet): several go through exp and log together, so that both
 * fill vectors, each row begun at a whole vector and filled up with what exp makes 0. */

#define LOSS_BLOCK 2048 /* elements at a time */
#define LOSS_ROWS 64    /* rows at a time, at most */

/* The sum of n elements, n a multiple of LANES. */
static T FN(lanes_sum)(int64_t n, const T *e)
{
    T lane[LANES];
    int64_t i;
    int l, half;

    for (l = 0; l < LANES; l++)
        lane[l] = e[l];
    for (i = LANES; i < n; i += LANES)
        for (l = 0; l < LANES; l++)
            lane[l] += e[i + l];
    for (half = LANES / 2; half > 0; half /= 2)
        for (l = 0; l < half; l++)
            lane[l] += lane[l + half];
    return lane[0];
}

/* The sum of exp(x - most) of a row of any length. */
static T FN(long_exp_sum)(int64_t n, const T *x, T most)
{
    T e[LOSS_BLOCK];
    double total = 0;
    int64_t at, i;

    for (at = 0; at < n; at += LOSS_BLOCK) {
        int64_t m = n - at < LOSS_BLOCK ? n - at : LOSS_BLOCK;

        INDEPENDENT
        for (i = 0; i < m; i++)
            e[i] = M(exp)(x[at + i] - most);
        total += FN(sum)(m, e);
    }
    return (T)total;
}

/* The same of rows of width <= LOSS_BLOCK / rows elements with their filling. */
static void FN(exp_sums)(int64_t rows, int64_t n, int64_t width, const T *x, const T *most,
                         T *total)
{
    T e[LOSS_BLOCK];
    int64_t r, i;

    for (r = 0; r < rows; r++) {
        T m = most[r];

        INDEPENDENT
        for (i = 0; i < n; i++)
            e[r * width + i] = x[r * n + i] - m;
        for (; i < width; i++)
            e[r * width + i] = -(T)INFINITY;
    }
    INDEPENDENT
    for (i = 0; i < rows * width; i++)
        e[i] = M(exp)(e[i]);
    for (r = 0; r < rows; r++)
        total[r] = FN(lanes_sum)(width, e + r * width);
}

/* Of each row its greatest element and the log of the sum of exp(x - most). */
static void FN(log_sum_exp)(int64_t rows, int64_t n, const void *in, void *most_, void *log_sum_)
{
    const T *x = in;
    T *most = most_, *log_sum = log_sum_;
    int64_t width = (n + LANES - 1) / LANES * LANES, r;
    int64_t few = width < LOSS_BLOCK ? LOSS_BLOCK / width : 1;

    for (r = 0; r < rows; r++)
        most[r] = FN(row_max)(n, x + r * n);
    for (r = 0; r < rows; r += few) {
        int64_t count = rows - r < few ? rows - r : few;

        if (width > LOSS_BLOCK)
            log_sum[r] = FN(long_exp_sum)(n, x + r * n, most[r]);
        else
            FN(exp_sums)(count, n, width, x + r * n, most + r, log_sum + r);
    }
    INDEPENDENT
    for (r = 0; r < rows; r++) { /* infinite scores have no sum */
        T l = M(log)(log_sum[r]);

        log_sum[r] = most[r] - most[r] == 0 || most[r] != most[r] ? l : 0;
    }
}

/* rows up to LOSS_ROWS; a target of -1 is ignored */
static void FN(cross_entropy)(int64_t rows, int64_t n, const void *in, const int64_t *target,
                              double smoothing, void *loss_, void *lse_)
{
    const T *x = in;
    T *loss = loss_, *lse = lse_, most[LOSS_ROWS], log_sum[LOSS_ROWS], s = (T)smoothing;
    int64_t r;

    FN(log_sum_exp)(rows, n, in, most, log_sum);
    for (r = 0; r < rows; r++) {
        lse[r] = most[r] + log_sum[r];
        if (target[r] < 0)
            loss[r] = 0;
        else if (s == 0)
            loss[r] = log_sum[r] + (most[r] - x[r * n + target[r]]);
        else
            loss[r] = log_sum[r] + (1 - s) * (most[r] - x[r * n + target[r]]) +
                      s * (most[r] - (T)(FN(sum)(n, x + r * n) / (double)n));
    }
}

/* rows of a block: out = g (exp(in - lse) - base), g of each row or one for all (g_step 0) */
static void FN(softmax_minus)(int64_t rows, int64_t n, const T *x, const T *lse, T base, const T *g,
                              int64_t g_step, T *out)
{
    int64_t r, i;

    for (r = 0; r < rows; r++) {
        T l = lse[r];

        INDEPENDENT
        for (i = 0; i < n; i++)
            out[r * n + i] = x[r * n + i] - l;
    }
    if (g_step == 0) {
        T scale = g[0];

        INDEPENDENT
        for (i = 0; i < rows * n; i++)
            out[i] = scale * (M(exp)(out[i]) - base);
        return;
    }
    INDEPENDENT
    for (i = 0; i < rows * n; i++)
        out[i] = M(exp)(out[i]) - base;
    for (r = 0; r < rows; r++)
        for (i = 0; i < n; i++)
            out[r * n + i] *= g[r * g_step];
}

/* rows up to LOSS_ROWS */
static void FN(cross_entropy_backward)(int64_t rows, int64_t n, const void *in,
                                       const int64_t *target, double smoothing, const void *lse_,
                                       const void *g_, int64_t g_step, void *out_)
{
    const T *x = in, *lse = lse_, *g = g_;
    T *out = out_;
    int64_t few = n < LOSS_BLOCK ? LOSS_BLOCK / n : 1, r, i;

    for (r = 0; r < rows; r += few)
        FN(softmax_minus)(rows - r < few ? rows - r : few, n, x + r * n, lse + r,
                          (T)(smoothing / (double)n), g + r * g_step, g_step, out + r * n);
    for (r = 0; r < rows; r++) {
        if (target[r] >= 0)
            out[r * n + target[r]] -= g[r * g_step] * (T)(1 - smoothing);
        else
            for (i = 0; i < n; i++)
                out[r * n + i] = 0;
    }
}
