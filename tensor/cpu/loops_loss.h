/* loops_loss.h - softmax cross-entropy of rows of class scores, for f32 and f64; included by
 * kernels.c after loops_float.h. (internal, no guard)
 *
 *     lse = most + log(sum of exp(x - most))      most = max(x)
 *     loss = lse - (1 - s) x[target] - s mean(x)  s the label smoothing
 *     dx = dloss (exp(x - lse) - s / n - (1 - s) [target])
 *
 * Rows are short as a rule (an alphabet): as many as a vector has elements stand side by side then,
 * so that greatest elements, exponentials and sums are each taken of all of them at once. */

#define LOSS_BLOCK 2048 /* elements at a time */
#define LOSS_ROWS 64    /* rows at a time, at most */
#define SHORT_ROW 128   /* of a row that stands beside others, at most */

typedef __typeof__((FN(vector)){ 0 } > (FN(vector)){ 0 }) FN(mask);

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

/* (rows, n) -> (n, IN_VECTOR), zeros beyond the rows. */
static void FN(side_by_side)(int64_t rows, int64_t n, const T *x, T *e)
{
    int64_t i;
    int r;

    if (rows == IN_VECTOR) {
        for (i = 0; i < n; i++)
            for (r = 0; r < IN_VECTOR; r++)
                e[i * IN_VECTOR + r] = x[r * n + i];
        return;
    }
    for (i = 0; i < n; i++)
        for (r = 0; r < IN_VECTOR; r++)
            e[i * IN_VECTOR + r] = r < rows ? x[r * n + i] : 0;
}

/* The same of rows up to IN_VECTOR, (rows, n); a NaN is the greatest. */
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

/* Of each row its greatest element and the log of the sum of exp(x - most). */
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

/* v in n elements and up to LANES - 1 more */
static void FN(spread)(int64_t n, T v, T *to)
{
    int64_t i;
    int l;

    for (i = 0; i < n; i += LANES)
        for (l = 0; l < LANES; l++)
            to[i + l] = v;
}

/* out = g (exp(in - lse) - base) of rows, g of each or one for all (g_step 0); rows n <=
 * LOSS_BLOCK. What belongs to a row is spread over its elements first. */
static void FN(softmax_minus)(int64_t rows, int64_t n, const T *x, const T *lse, T base, const T *g,
                              int64_t g_step, T *out)
{
    T from[LOSS_BLOCK + LANES], scale[LOSS_BLOCK + LANES];
    int64_t r, i;

    for (r = 0; r < rows; r++) {
        FN(spread)(n, lse[r], from + r * n);
        FN(spread)(n, g[r * g_step], scale + r * n);
    }
    INDEPENDENT
    for (i = 0; i < rows * n; i++)
        out[i] = scale[i] * (M(exp)(x[i] - from[i]) - base);
}

/* The same of one row of any length. */
static void FN(long_softmax_minus)(int64_t n, const T *x, T lse, T base, T g, T *out)
{
    int64_t i;

    INDEPENDENT
    for (i = 0; i < n; i++)
        out[i] = g * (M(exp)(x[i] - lse) - base);
}

/* rows up to LOSS_ROWS */
static void FN(cross_entropy_backward)(int64_t rows, int64_t n, const void *in,
                                       const int64_t *target, double smoothing, const void *lse_,
                                       const void *g_, int64_t g_step, void *out_)
{
    const T *x = in, *lse = lse_, *g = g_;
    T *out = out_, base = (T)(smoothing / (double)n);
    int64_t few = n <= SHORT_ROW ? LOSS_BLOCK / n : 1, r, i;

    for (r = 0; r < rows; r += few) {
        if (n <= SHORT_ROW)
            (FN(softmax_minus))(rows - r < few ? rows - r : few, n, x + r * n, lse + r, base,
                                g + r * g_step, g_step, out + r * n);
        else
            FN(long_softmax_minus)(n, x + r * n, lse[r], base, g[r * g_step], out + r * n);
    }
    for (r = 0; r < rows; r++) {
        if (target[r] >= 0)
            out[r * n + target[r]] -= g[r * g_step] * (T)(1 - smoothing);
        else
            for (i = 0; i < n; i++)
                out[r * n + i] = 0;
    }
}
