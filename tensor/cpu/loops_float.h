/* loops_float.h - elementwise and row loops for f32 and f64; included by kernels.c after
 * loops_number.h, with T, FN, M and K defined. (internal, no guard) */

#define RUN3(fn, expr)                                                                            \
    static void fn(LOOP_ARGS)                                                                     \
    {                                                                                             \
        T *o = out;                                                                               \
        const T *xs = a, *ys = b, *zs = c;                                                        \
        int64_t i;                                                                                \
        UNUSED;                                                                                   \
        if (so == 1 && sa == 1 && sb == 1 && sc == 1) {                                           \
            INDEPENDENT                                                                           \
            for (i = 0; i < n; i++) {                                                             \
                T x = xs[i], y = ys[i], z = zs[i];                                                \
                o[i] = (expr);                                                                    \
            }                                                                                     \
            return;                                                                               \
        }                                                                                         \
        for (i = 0; i < n; i++) {                                                                 \
            T x = xs[i * sa], y = ys[i * sb], z = zs[i * sc];                                     \
            o[i * so] = (expr);                                                                   \
        }                                                                                         \
    }

#define NUMBER1(name, expr)
#define NUMBER2(name, expr)
#define FLOAT1(name, expr) RUN1(FN(name), T, expr)
#define FLOAT2(name, expr) RUN2(FN(name), T, expr)
#define FLOAT3(name, expr) RUN3(FN(name), expr)
#define COMPARE(name, expr)
#define TEST(name, expr) RUN1(FN(name), uint8_t, expr)
#define LOGIC1(name, expr)
#define LOGIC2(name, expr)
#define SELECT(name, expr)
#include "tensor/formulas.h"

#define LANES 16
#define BLOCK 1024

/* Sixteen partial sums within a block, blocks in double: the order depends on n alone. */
static double FN(sum)(int64_t n, const void *in)
{
    const T *x = in;
    double total = 0;
    int64_t i, j;

    for (i = 0; i < n; i += BLOCK) {
        T lane[LANES] = { 0 };
        int64_t m = n - i < BLOCK ? n - i : BLOCK;

        for (j = 0; j + LANES <= m; j += LANES)
            for (int l = 0; l < LANES; l++)
                lane[l] += x[i + j + l];
        for (int l = 0; l < LANES; l++)
            total += (double)lane[l];
        for (; j < m; j++)
            total += (double)x[i + j];
    }
    return total;
}

static double FN(sum_squares)(int64_t n, const void *in)
{
    const T *x = in;
    double total = 0;
    int64_t i, j;

    for (i = 0; i < n; i += BLOCK) {
        double lane[LANES] = { 0 };
        int64_t m = n - i < BLOCK ? n - i : BLOCK;

        for (j = 0; j + LANES <= m; j += LANES)
            for (int l = 0; l < LANES; l++)
                lane[l] += (double)x[i + j + l] * (double)x[i + j + l];
        for (int l = 0; l < LANES; l++)
            total += lane[l];
        for (; j < m; j++)
            total += (double)x[i + j] * (double)x[i + j];
    }
    return total;
}

/* Columns are taken 64 at a time, each with a sum in double. */
static void FN(sum_rows)(int64_t n, int64_t stride, int64_t width, const void *in, void *out)
{
    const T *x = in;
    T *o = out;
    int64_t i, j, k;

    for (i = 0; i < width; i += 64) {
        double total[64] = { 0 };
        int64_t m = width - i < 64 ? width - i : 64;

        for (j = 0; j < n; j++) {
            const T *row = x + j * stride + i;

            if (m == 64)
                for (k = 0; k < 64; k++)
                    total[k] += (double)row[k];
            else
                for (k = 0; k < m; k++)
                    total[k] += (double)row[k];
        }
        for (k = 0; k < m; k++)
            o[i + k] = (T)total[k];
    }
}

static T FN(row_max)(int64_t n, const T *x)
{
    T most = x[0];
    bool nan = most != most;
    int64_t i;

    for (i = 1; i < n; i++) {
        most = x[i] > most ? x[i] : most;
        nan |= x[i] != x[i];
    }
    return nan ? K(NAN) : most;
}

static void FN(softmax)(bool logarithm, int64_t n, const void *in, void *out)
{
    const T *x = in;
    T *o = out;
    T most = FN(row_max)(n, x), total = 0;
    int64_t i;

    INDEPENDENT
    for (i = 0; i < n; i++)
        o[i] = M(exp)(x[i] - most);
    total = (T)FN(sum)(n, o);
    if (logarithm) {
        T l = M(log)(total);

        INDEPENDENT
        for (i = 0; i < n; i++)
            o[i] = (x[i] - most) - l; /* most + l would lose the digits of l */
    } else {
        INDEPENDENT
        for (i = 0; i < n; i++)
            o[i] = o[i] / total;
    }
}

static double FN(log_sum_exp)(int64_t n, const void *in, double *sum)
{
    const T *x = in;
    T most = FN(row_max)(n, x), e[256];
    double total = 0;
    int64_t i, j;

    if (sum)
        *sum = FN(sum)(n, in);
    if (most == K(-INFINITY) || most == K(INFINITY))
        return (double)most;
    for (i = 0; i < n; i += 256) {
        int64_t m = n - i < 256 ? n - i : 256;

        INDEPENDENT
        for (j = 0; j < m; j++)
            e[j] = M(exp)(x[i + j] - most);
        total += FN(sum)(m, e);
    }
    return (double)most + log(total);
}

static void FN(softmax_minus)(int64_t n, const void *in, double lse, double base, double g,
                              void *out)
{
    const T *x = in;
    T *o = out;
    T l = (T)lse, shift = (T)base, scale = (T)g;
    int64_t i;

    INDEPENDENT
    for (i = 0; i < n; i++)
        o[i] = scale * (M(exp)(x[i] - l) - shift);
}

static void FN(add_row)(int64_t n, void *dst, const void *src)
{
    T *d = dst;
    const T *s = src;
    int64_t i;

    INDEPENDENT
    for (i = 0; i < n; i++)
        d[i] += s[i];
}

/* PyTorch's SGD: g = scale grad + weight_decay w; m = mu m + (1 - dampening) g; w -= lr (g + mu m)
 * (Nesterov) or lr m */
static void FN(sgd)(int64_t n, void *value, const void *grad, void *momentum, double lr,
                    double scale, double weight_decay, double mu, double dampening, bool nesterov)
{
    T *w = value, *m = momentum;
    const T *g = grad;
    T s = (T)scale, d = (T)weight_decay, r = (T)lr, u = (T)mu, v = (T)(1 - dampening);
    int64_t i;

    if (!m) {
        INDEPENDENT
        for (i = 0; i < n; i++)
            w[i] -= r * (s * g[i] + d * w[i]);
        return;
    }
    INDEPENDENT
    for (i = 0; i < n; i++) {
        T t = s * g[i] + d * w[i];

        m[i] = u * m[i] + v * t;
        w[i] -= r * (nesterov ? t + u * m[i] : m[i]);
    }
}

#undef RUN1
#undef RUN2
#undef RUN3
