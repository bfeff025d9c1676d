/* SPDX-License-Identifier: MIT */
/* init.c - initialisers. */
#include <cotangent/nn/init.h>

#include "tensor/hooks.h"
#include "tensor/internal.h"

#include <cotangent/tensor/random.h>

#include <math.h>
#include <string.h>

static ct_status init_fill_constant(const ct_init *init, ct_tensor *t, ct_generator *g)
{
    (void)g;
    return ct_fill(t, init->a);
}

static ct_status init_fill_uniform(const ct_init *init, ct_tensor *t, ct_generator *g)
{
    return ct_uniform_into(t, init->a, init->b, g);
}

static ct_status init_fill_normal(const ct_init *init, ct_tensor *t, ct_generator *g)
{
    return ct_normal_into(t, init->a, init->b, g);
}

ct_init ct_init_constant(double value)
{
    return (ct_init){ .fill = init_fill_constant, .a = value };
}

ct_init ct_init_uniform(double low, double high)
{
    return (ct_init){ .fill = init_fill_uniform, .a = low, .b = high };
}

ct_init ct_init_normal(double mean, double std)
{
    return (ct_init){ .fill = init_fill_normal, .a = mean, .b = std };
}

/* ---- values made on the host ---- */

/* Copies values, one for each element, to t. */
static ct_status init_put(ct_tensor *t, double *values)
{
    ct_scope s = cti_scope_push();
    int64_t i, n = ct_numel(t);

    if (ct_tensor_dtype(t) == CT_F32)
        /* works in place, because float i ends before double i + 1 begins */
        for (i = 0; i < n; i++) {
            float f = (float)values[i];

            memcpy((char *)values + i * (int64_t)sizeof f, &f, sizeof f);
        }
    ct_copy_into(t,
                 ct_from_data(values, ct_tensor_shape(t), ct_tensor_dtype(t), ct_tensor_device(t)));
    cti_scope_pop(s);
    return ct_error();
}

static double *init_room(int64_t count)
{
    size_t bytes = (size_t)(count ? count : 1) * sizeof(double);
    double *values = cti_calloc(1, bytes);

    if (!values)
        cti_out_of_memory("ct_init", bytes);
    return values;
}

/* A standard normal number by Box-Muller; only one number of the pair is used. */
static double init_normal(ct_generator *g)
{
    double u = 1 - ct_random_uniform(g), v = ct_random_uniform(g);

    return sqrt(-2 * log(u)) * cos(2 * acos(-1) * v);
}

static ct_status init_truncated(ct_tensor *t, double mean, double std, double low, double high,
                                ct_generator *g)
{
    double a = (low - mean) / std, b = (high - mean) / std, x, *values;
    int64_t i, n = ct_numel(t);
    ct_status status;

    if (!(std > 0) || !(erf(b / sqrt(2)) - erf(a / sqrt(2)) >= 0.02))
        return ct_raise(CT_ERR_ARGUMENT, "ct_init_truncated_normal",
                        "[low, high] is [%g, %g]; it must hold at least 1%% of the normal "
                        "distribution with mean %g and std %g",
                        low, high, mean, std);
    values = init_room(n);
    if (!values)
        return ct_error();
    for (i = 0; i < n; i++) {
        do
            x = init_normal(g);
        while (x < a || x > b);
        values[i] = mean + std * x;
    }
    status = init_put(t, values);
    cti_release(values);
    return status;
}

static ct_status init_fill_truncated(const ct_init *init, ct_tensor *t, ct_generator *g)
{
    return init_truncated(t, init->a, init->b, init->c, init->d, g);
}

ct_init ct_init_truncated_normal(double mean, double std, double low, double high)
{
    return (ct_init){ .fill = init_fill_truncated, .a = mean, .b = std, .c = low, .d = high };
}

/* ---- scaled by fans ---- */

static bool init_fans(const char *function, const ct_tensor *t, double *in, double *out)
{
    if (ct_rank(t) < 2) {
        ct_raise(CT_ERR_SHAPE, function, "%s has no fan: its rank must be at least 2",
                 cti_describe(t).s);
        return false;
    }
    *in = *out = 1;
    for (int i = 0; i < ct_rank(t); i++) {
        *in *= i == 0 ? 1 : (double)ct_size(t, i);
        *out *= i == 1 ? 1 : (double)ct_size(t, i);
    }
    return true;
}

/* The variance is init->a / fan. init->b selects the fan: 0 fan_in + fan_out, 1 fan_in, 2 fan_out.
 * init->c selects the distribution: 0 uniform, 1 normal, 2 truncated normal. */
static ct_status init_fill_scaled(const ct_init *init, ct_tensor *t, ct_generator *g)
{
    double in, out, fan, std;

    if (!init_fans("ct_init", t, &in, &out))
        return ct_error();
    fan = init->b == 0 ? in + out : init->b == 1 ? in : out;
    std = fan > 0 ? sqrt(init->a / fan) : 0;
    if (init->c == 0)
        return ct_uniform_into(t, -sqrt(3) * std, sqrt(3) * std, g);
    if (init->c == 1)
        return ct_normal_into(t, 0, std, g);
    /* the standard deviation of a standard normal that is truncated at -2 and 2 */
    std /= 0.87962566103423978;
    return std > 0 ? init_truncated(t, 0, std, -2 * std, 2 * std, g)
                   : CT_OK; /* if a fan is 0, t has no elements */
}

static ct_init init_scaled(double variance, int fan, int kind)
{
    return (ct_init){ .fill = init_fill_scaled, .a = variance, .b = fan, .c = kind, .min_rank = 2 };
}

ct_init ct_init_xavier_uniform(double gain)
{
    return init_scaled(2 * gain * gain, 0, 0);
}

ct_init ct_init_xavier_normal(double gain)
{
    return init_scaled(2 * gain * gain, 0, 1);
}

ct_init ct_init_kaiming_uniform(double slope, ct_fan fan)
{
    return init_scaled(2 / (1 + slope * slope), fan == CT_FAN_OUT ? 2 : 1, 0);
}

ct_init ct_init_kaiming_normal(double slope, ct_fan fan)
{
    return init_scaled(2 / (1 + slope * slope), fan == CT_FAN_OUT ? 2 : 1, 1);
}

ct_init ct_init_lecun_normal(void)
{
    return init_scaled(1, 1, 2);
}

/* ---- orthogonal ---- */

static double init_dot(const double *a, const double *b, int64_t n)
{
    double sum = 0;

    for (int64_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

/* Makes n <= m random orthonormal vectors of m numbers: normal random vectors, orthogonalised by
 * Gram-Schmidt. Each is projected twice, which keeps them orthogonal to rounding error. The result
 * is the Q of a QR decomposition whose R has a positive diagonal. */
static void init_orthonormal(double *v, int64_t n, int64_t m, ct_generator *g)
{
    for (int64_t i = 0; i < n; i++) {
        double *x = v + i * m, norm, drawn;

        do {
            for (int64_t k = 0; k < m; k++)
                x[k] = init_normal(g);
            drawn = sqrt(init_dot(x, x, m));
            for (int64_t j = 0; j < 2 * i; j++) {
                const double *q = v + j % i * m;
                double along = init_dot(q, x, m);

                for (int64_t k = 0; k < m; k++)
                    x[k] -= along * q[k];
            }
            norm = sqrt(init_dot(x, x, m));
            /* otherwise x is in the span of the earlier vectors; draw again */
        } while (!(norm > 1e-6 * drawn));
        for (int64_t k = 0; k < m; k++)
            x[k] /= norm;
    }
}

/* out (rows, columns): gain times a matrix with orthonormal rows, or columns if there are fewer of
 * these. v is scratch of the same size. */
static void init_orthogonal_block(double *out, double *v, int64_t rows, int64_t columns,
                                  double gain, ct_generator *g)
{
    int64_t n = rows < columns ? rows : columns, m = rows < columns ? columns : rows;

    init_orthonormal(v, n, m, g);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++)
            out[i * columns + j] = gain * (rows < columns ? v[i * m + j] : v[j * m + i]);
}

static ct_status init_fill_orthogonal(const ct_init *init, ct_tensor *t, ct_generator *g)
{
    int64_t n = ct_numel(t), parts = (int64_t)init->b, rows, columns;
    double *values;
    ct_status status;

    if (ct_rank(t) < 2 || parts < 1 || ct_size(t, 0) % parts)
        return ct_raise(CT_ERR_SHAPE, "ct_init_orthogonal",
                        "%s cannot be cut into %lld equal matrices along axis 0", cti_describe(t).s,
                        (long long)parts);
    if (!isfinite(init->a))
        return ct_raise(CT_ERR_ARGUMENT, "ct_init_orthogonal", "gain is %g; it must be finite",
                        init->a);
    if (!n)
        return CT_OK;
    rows = ct_size(t, 0) / parts;
    columns = n / ct_size(t, 0);
    values = init_room(2 * n);
    if (!values)
        return ct_error();
    for (int64_t i = 0; i < parts; i++)
        init_orthogonal_block(values + i * rows * columns, values + n, rows, columns, init->a, g);
    status = init_put(t, values);
    cti_release(values);
    return status;
}

ct_init ct_init_orthogonal_parts(double gain, int parts)
{
    return (ct_init){ .fill = init_fill_orthogonal, .a = gain, .b = parts, .min_rank = 2 };
}

ct_init ct_init_orthogonal(double gain)
{
    return ct_init_orthogonal_parts(gain, 1);
}
