/* SPDX-License-Identifier: MIT */
/* test_init.c - initial values, their dialects, and the small modules. */
#include <cotangent.h>

#include "tests/harness.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- distributions ---- */

/* A distribution: uniform in [low, high], or a normal truncated to it. */
typedef struct distribution {
    const char *what;
    ct_init init;
    double mean, std, low, high; /* std 0: uniform */
} distribution;

/* Returns the integral of (x - centre)^k times the density over [low, high], not normalised. */
static double moment(const distribution *d, double centre, int k)
{
    const int n = 20000;
    double a = d->std > 0 && !isfinite(d->low) ? d->mean - 12 * d->std : d->low;
    double b = d->std > 0 && !isfinite(d->high) ? d->mean + 12 * d->std : d->high, sum = 0;

    for (int i = 0; i < n; i++) {
        double x = a + (b - a) * (i + 0.5) / n, u = d->std > 0 ? (x - d->mean) / d->std : 0;

        sum += pow(x - centre, k) * exp(-u * u / 2);
    }
    return sum * (b - a) / n;
}

/* Checks 100,000 draws: all are within the bounds, and mean and variance are within 4 standard
 * deviations of the expected ones. */
static void check_distribution(const distribution *d, ct_shape shape, ct_dtype dtype)
{
    ct_params *params = new_params(5, dtype);
    ct_scope s = ct_scope_begin_no_grad();
    ct_tensor *t = ct_param_value(ct_params_add(params, "w", shape, d->init));
    double n = (double)ct_numel(t), whole = moment(d, 0, 0), mean = moment(d, 0, 1) / whole;
    double variance = moment(d, mean, 2) / whole, fourth = moment(d, mean, 4) / whole;
    double got = 0, squares = 0, *v = values_of(t), slack = dtype == CT_F32 ? 1e-6 : 0;

    ck_assert(n == 100000);
    for (int64_t i = 0; i < ct_numel(t); i++)
        got += v[i] / n;
    for (int64_t i = 0; i < ct_numel(t); i++) {
        ck_assert_msg(v[i] >= d->low - slack && v[i] <= d->high + slack, "%s: %g", d->what, v[i]);
        squares += (v[i] - mean) * (v[i] - mean) / n;
    }
    expect_close(d->what, got, mean, 4 * sqrt(variance / n));
    expect_close(d->what, squares, variance, 4 * sqrt((fourth - variance * variance) / n));
    free(v);
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(params);
}

/* Weights are (200, 500): fan_in 500, fan_out 200. */
START_TEST(test_distributions)
{
    const double b = sqrt(6.0 / 700), x = sqrt(2.0 / 700), k = sqrt(2.0 / 500), o = sqrt(2.0 / 200);
    const double l = sqrt(1.0 / 500) / 0.87962566103423978, inf = INFINITY;
    const double five = sqrt(6 / (1 + 5.0) / 500);
    const distribution table[] = {
        { "uniform", ct_init_uniform(-2, 3), 0, 0, -2, 3 },
        { "normal", ct_init_normal(1, 2), 1, 2, -inf, inf },
        { "truncated normal", ct_init_truncated_normal(1, 2, -1, 2), 1, 2, -1, 2 },
        { "truncated normal, one side", ct_init_truncated_normal(0, 1, 1, 9), 0, 1, 1, 9 },
        { "xavier uniform", ct_init_xavier_uniform(1), 0, 0, -b, b },
        { "xavier uniform, gain 3", ct_init_xavier_uniform(3), 0, 0, -3 * b, 3 * b },
        { "xavier normal", ct_init_xavier_normal(1), 0, x, -inf, inf },
        { "kaiming normal", ct_init_kaiming_normal(0, CT_FAN_IN), 0, k, -inf, inf },
        { "kaiming normal, out", ct_init_kaiming_normal(0, CT_FAN_OUT), 0, o, -inf, inf },
        { "xavier normal, gain 3", ct_init_xavier_normal(3), 0, 3 * x, -inf, inf },
        { "kaiming normal, slope 2", ct_init_kaiming_normal(2, CT_FAN_IN), 0, k / sqrt(5), -inf,
          inf },
        { "kaiming uniform, out", ct_init_kaiming_uniform(0, CT_FAN_OUT), 0, 0, -sqrt(3) * o,
          sqrt(3) * o },
        { "kaiming uniform", ct_init_kaiming_uniform(sqrt(5), CT_FAN_IN), 0, 0, -five, five },
        { "lecun normal", ct_init_lecun_normal(), 0, l, -2 * l, 2 * l },
    };

    for (int i = 0; i < LENGTH(table); i++) {
        check_distribution(&table[i], CT_SHAPE(200, 500), CT_F64);
        check_distribution(&table[i], CT_SHAPE(200, 500), CT_F32);
    }
    /* the weight of a convolution: fan_in 250, fan_out 10000 */
    check_distribution(&(distribution){ "xavier, rank 4", ct_init_xavier_uniform(1), 0, 0,
                                        -sqrt(6.0 / 10250), sqrt(6.0 / 10250) },
                       CT_SHAPE(400, 10, 5, 5), CT_F64);
}
END_TEST

/* ---- orthogonal ---- */

/* Checks that the count rows of w, or the columns if there are fewer, are orthogonal and have
 * length gain. */
static void expect_orthogonal(const double *w, int64_t count, int64_t columns, double gain)
{
    const bool by_row = count <= columns;
    int64_t n = by_row ? count : columns, m = by_row ? columns : count;

    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j <= i; j++) {
            double dot = 0;

            for (int64_t k = 0; k < m; k++)
                dot += by_row ? w[i * columns + k] * w[j * columns + k]
                              : w[k * columns + i] * w[k * columns + j];
            expect_close("orthogonal", dot, i == j ? gain * gain : 0, 1e-5);
        }
}

START_TEST(test_orthogonal)
{
    static const struct {
        int64_t rows, columns;
        double gain;
        int parts;
    } cases[] = { { 64, 64, 1, 1 },  { 20, 70, 2, 1 }, { 128, 32, 1, 1 },
                  { 128, 32, 1, 4 }, { 1, 1, 1, 1 },   { 3, 1, 0.5, 1 } };

    for (int i = 0; i < LENGTH(cases); i++) {
        int64_t rows = cases[i].rows, columns = cases[i].columns;
        ct_params *params = new_params(3, CT_F32);
        ct_scope s = ct_scope_begin_no_grad();
        ct_param *p = ct_params_add(params, "w", CT_SHAPE(rows, columns),
                                    ct_init_orthogonal_parts(cases[i].gain, cases[i].parts));
        double *w = values_of(ct_param_value(p));

        for (int k = 0; k < cases[i].parts; k++)
            expect_orthogonal(w + k * rows / cases[i].parts * columns, rows / cases[i].parts,
                              columns, cases[i].gain);
        free(w);
        ck_assert(ct_scope_end(s) == CT_OK);
        ct_params_free(params);
    }
}
END_TEST

/* The matrices are uniform over the orthogonal ones: the first entry of a 2 x 2 matrix is the
 * cosine of a uniform angle, and the determinant is 1 or -1 equally often. */
START_TEST(test_orthogonal_is_uniform)
{
    const int n = harness_count(2000, 20000);
    double sum = 0, squares = 0, positive = 0;

    for (int i = 0; i < n; i++) {
        ct_params *params = new_params((uint64_t)i, CT_F64);
        ct_scope s = ct_scope_begin_no_grad();
        double *w = values_of(
            ct_param_value(ct_params_add(params, "w", CT_SHAPE(2, 2), ct_init_orthogonal(1))));

        sum += w[0] / n;
        squares += w[0] * w[0] / n;
        positive += w[0] * w[3] - w[1] * w[2] > 0;
        free(w);
        ck_assert(ct_scope_end(s) == CT_OK);
        ct_params_free(params);
    }
    expect_close("mean of cos", sum, 0, 4 * sqrt(0.5 / n));
    expect_close("mean of cos^2", squares, 0.5, 4 * sqrt(0.125 / n));
    expect_close("positive determinants", positive / n, 0.5, 4 * sqrt(0.25 / n));
}
END_TEST

/* Fans of 1 and of 0. */
START_TEST(test_small_fans)
{
    const ct_init inits[] = { ct_init_xavier_uniform(1),
                              ct_init_xavier_normal(1),
                              ct_init_kaiming_uniform(0, CT_FAN_IN),
                              ct_init_kaiming_normal(0, CT_FAN_OUT),
                              ct_init_lecun_normal(),
                              ct_init_orthogonal(1),
                              ct_init_truncated_normal(0, 1, -1, 1) };
    const ct_shape shapes[] = { CT_SHAPE(1, 1), CT_SHAPE(1, 5), CT_SHAPE(5, 1),
                                CT_SHAPE(0, 3), CT_SHAPE(3, 0), CT_SHAPE(0, 0) };
    ct_params *params = new_params(4, CT_F64);
    char name[32];

    for (int i = 0; i < LENGTH(inits); i++)
        for (int k = 0; k < LENGTH(shapes); k++) {
            ct_param *p;
            double *v;

            snprintf(name, sizeof name, "w%d_%d", i, k);
            p = ct_params_add(params, name, shapes[k], inits[i]);
            ck_assert_msg(p != NULL, "%s: %s", name, ct_error_message());
            v = values_of(ct_param_value(p));
            for (int64_t n = ct_numel(ct_param_value(p)) - 1; n >= 0; n--)
                ck_assert_msg(v[n] != 0 && fabs(v[n]) < 10, "%s: %g", name, v[n]);
            free(v);
        }
    ct_params_free(params);
}
END_TEST

/* A truncated normal must contain at least 1% of the distribution. */
START_TEST(test_narrow_normals)
{
    static const struct {
        double std, low, high; /* the mean is 3 */
        bool fits;
    } cases[] = {
        { 1, 5.25, 12, true },  { 1, 5.4, 12, false }, { 2, -9, -1.5, true },
        { 2, -9, -1.8, false }, { 1, 3, 3.03, true },  { 1, 3, 3.02, false },
        { 0, 2, 4, false },     { -1, 2, 4, false },   { 1, 3.5, 2.5, false },
        { 1, 3, 3, false },     { 1, NAN, 4, false },  { 1, 2, NAN, false },
    };

    for (int i = 0; i < LENGTH(cases); i++) {
        ct_params *params = new_params(0, CT_F64);
        ct_param *p =
            ct_params_add(params, "w", CT_SHAPE(4),
                          ct_init_truncated_normal(3, cases[i].std, cases[i].low, cases[i].high));

        ck_assert_msg((p != NULL) == cases[i].fits, "row %d", i);
        ck_assert_int_eq(ct_error(), p ? CT_OK : CT_ERR_ARGUMENT);
        ct_error_clear();
        ct_params_free(params);
    }
}
END_TEST

START_TEST(test_bad_init)
{
    ct_params *params = new_params(0, CT_F32);

    ck_assert_ptr_null(ct_params_add(params, "a", CT_SHAPE(4), ct_init_xavier_uniform(1)));
    expect_error(CT_ERR_SHAPE, "ct_params_add", "rank");
    ck_assert_ptr_null(ct_params_add(params, "b", CT_SHAPE(5, 2), ct_init_orthogonal_parts(1, 2)));
    expect_error(CT_ERR_SHAPE, "ct_params_add", "2 equal matrices");
    for (int parts = -1; parts < 1; parts++) {
        ck_assert_ptr_null(
            ct_params_add(params, "b", CT_SHAPE(4, 2), ct_init_orthogonal_parts(1, parts)));
        expect_error(CT_ERR_SHAPE, "ct_params_add",
                     parts ? "-1 equal matrices" : "0 equal matrices");
    }
    ck_assert_ptr_null(ct_params_add(params, "b", CT_SHAPE(4), ct_init_orthogonal(1)));
    expect_error(CT_ERR_SHAPE, "ct_params_add", "1 equal matrices");
    ck_assert_ptr_null(
        ct_params_add(params, "c", CT_SHAPE(5), ct_init_truncated_normal(0, 1, 3, 9)));
    expect_error(CT_ERR_ARGUMENT, "ct_params_add", "mean 0");
    ck_assert_ptr_null(ct_params_add(params, "e", CT_SHAPE(5, 2), ct_init_orthogonal(NAN)));
    expect_error(CT_ERR_ARGUMENT, "ct_params_add", "nan");
    ck_assert_ptr_null(ct_params_add(params, "f", CT_SHAPE(5, 2), ct_init_xavier_uniform(NAN)));
    ck_assert_int_eq(ct_error(), CT_ERR_ARGUMENT);
    ct_error_clear();
    ck_assert_ptr_null(
        ct_params_add(params, "d", CT_SHAPE(5), ct_init_truncated_normal(0, NAN, -1, 1)));
    ck_assert_int_eq(ct_error(), CT_ERR_ARGUMENT);
    ct_error_clear();
    ct_params_free(params);
}
END_TEST

/* ---- ct_params_init ---- */

static double first_of(ct_params *params, const char *name)
{
    double *v = values_of(ct_param_value(ct_params_get(params, name))), first = v[0];

    free(v);
    return first;
}

/* ct_params_init before and after the sizes are known gives the same numbers. Biases and other
 * parts keep their own initialiser. A zeroed init initialises everything again with another
 * seed. */
START_TEST(test_init_at_any_time)
{
    ct_params *params = new_params(1, CT_F64);
    ct_module *a = ct_nn_linear(params, "a", (ct_nn_linear_options){ .out_features = 3 });
    ct_module *b = ct_nn_linear(params, "b", (ct_nn_linear_options){ .out_features = 3 });
    ct_scope s = ct_scope_begin_no_grad();
    ct_tensor *x = ct_ones(CT_SHAPE(1, 4), CT_F64, DEVICE);
    double weight, bias, other, *values;

    ck_assert(ct_params_init(ct_params_sub(params, "a"), ct_init_orthogonal(1), 9) == CT_OK);
    ct_forward(a, x);
    ct_forward(b, x);
    weight = first_of(params, "a.weight");
    bias = first_of(params, "a.bias");
    other = first_of(params, "b.weight");
    ck_assert(ct_params_seed(params) == 1);
    values = values_of(ct_param_value(ct_params_get(params, "a.weight")));
    expect_orthogonal(values, 3, 4, 1);
    free(values);
    ck_assert(ct_params_init(ct_params_sub(params, "a"), ct_init_orthogonal(1), 10) == CT_OK);
    ck_assert(first_of(params, "a.weight") != weight && first_of(params, "a.bias") != bias);
    ck_assert(fabs(first_of(params, "a.bias")) <= 0.5); /* the initial value of Linear's bias */
    ck_assert(ct_params_init(ct_params_sub(params, "a"), ct_init_orthogonal(1), 9) == CT_OK);
    ck_assert(first_of(params, "a.weight") == weight && first_of(params, "a.bias") == bias);
    ck_assert(first_of(params, "b.weight") == other);
    ck_assert(ct_params_init(params, (ct_init){ 0 }, 2) == CT_OK);
    ck_assert(ct_params_seed(params) == 2 && first_of(params, "b.weight") != other);
    ck_assert(ct_params_init(params, (ct_init){ 0 }, 1) == CT_OK);
    ck_assert(first_of(params, "b.weight") == other);
    ck_assert(ct_params_init(params, ct_init_constant(0.25), 1) == CT_OK);
    ck_assert(first_of(params, "b.weight") == 0.25 && first_of(params, "a.bias") == 0.25);
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(params);
}
END_TEST

/* A buffer keeps its own initialiser, and a constant that is chosen before the size is known is
 * used later. */
START_TEST(test_init_of_buffers_and_the_unsettled)
{
    ct_params *params = new_params(1, CT_F32);
    ct_module *a = ct_nn_linear(params, "a", (ct_nn_linear_options){ .out_features = 2 });
    ct_scope s = ct_scope_begin_no_grad();

    ct_params_add_buffer(params, "buffer", CT_SHAPE(2), ct_init_constant(7));
    ck_assert(ct_params_init(params, ct_init_constant(3), 4) == CT_OK);
    ct_forward(a, ct_ones(CT_SHAPE(1, 4), CT_F32, DEVICE));
    ck_assert(first_of(params, "buffer") == 7);
    ck_assert(first_of(params, "a.weight") == 3 && first_of(params, "a.bias") == 3);
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(params);
}
END_TEST

/* ---- dialects ---- */

typedef ct_recurrent *(*maker)(ct_params *, const char *, ct_nn_recurrent_options);

/* Returns all values of a parameter, or NULL if the set does not have it. */
static double *of(ct_params *params, const char *name)
{
    ct_param *p = ct_params_get(params, name);

    return p ? values_of(ct_param_value(p)) : NULL;
}

/* Checks that all values are within +-bound and some are beyond 0.7 bound; for a bound of 0, that
 * all are 0. */
static void expect_spread(const char *what, const double *v, int64_t n, double bound)
{
    double least = 0, most = 0;

    ck_assert_msg(v != NULL, "%s is missing", what);
    for (int64_t i = 0; i < n; i++) {
        least = fmin(least, v[i]);
        most = fmax(most, v[i]);
    }
    ck_assert_msg(most <= bound && most >= 0.6 * bound && least >= -bound && least <= -0.6 * bound,
                  "%s: %g to %g, bound %g", what, least, most, bound);
}

/* Checks a module with 16 hidden units and 24 inputs. */
static void check_dialect(maker make, int gates, ct_dialect dialect)
{
    static const bool ih[4][5] = {
        { 0, 1, 0, 1, 1 }, { 0, 1, 0, 1, 1 }, { 0, 1, 0, 1, 1 }, { 0, 1, 0, 1, 0 }
    };
    static const bool hh[4][5] = {
        { 0, 1, 0, 1, 1 }, { 0, 1, 0, 1, 1 }, { 0, 0, 0, 1, 0 }, { 0, 0, 0, 0, 1 }
    };
    static const bool hn[4][5] = { [CT_DIALECT_FLAX] = { [3] = true } };
    const double input[] = { 0.25, 0.07, sqrt(6.0 / (24 + 16 * gates)),
                             2 * sqrt(1.0 / 24) / 0.87962566103423978 };
    const double forget = dialect == CT_DIALECT_KERAS && gates == 4;
    ct_params *params = new_params(2, CT_F64);
    double *w, *u, *b[3];

    make(params, "m",
         (ct_nn_recurrent_options){ .input_size = 24, .hidden_size = 16, .dialect = dialect });
    expect_ok();
    w = of(params, "m.weight_ih_l0");
    u = of(params, "m.weight_hh_l0");
    b[0] = of(params, "m.bias_ih_l0");
    b[1] = of(params, "m.bias_hh_l0");
    b[2] = of(params, "m.bias_hn_l0");
    expect_spread("input weights", w, 24 * 16 * gates, input[dialect]);
    if (dialect == CT_DIALECT_KERAS)
        expect_orthogonal(u, 16 * gates, 16, 1);
    for (int k = 0; dialect == CT_DIALECT_FLAX && k < gates; k++)
        expect_orthogonal(u + k * 256, 16, 16, 1);
    if (dialect < CT_DIALECT_KERAS)
        expect_spread("recurrent weights", u, 256 * gates, input[dialect]);
    ck_assert((b[0] != NULL) == ih[dialect][gates] && (b[1] != NULL) == hh[dialect][gates] &&
              (b[2] != NULL) == hn[dialect][gates]);
    for (int k = 0; k < 2; k++)
        for (int gate = 0; b[k] && gate < gates; gate++) {
            if (gate == 1 && forget != 0)
                for (int i = 16; i < 32; i++)
                    ck_assert(b[k][i] == forget);
            else
                expect_spread("bias", b[k] + 16 * gate, 16, dialect == CT_DIALECT_TORCH ? 0.25 : 0);
        }
    if (b[2])
        expect_spread("b_hn", b[2], 16, 0);
    free(w);
    free(u);
    for (int k = 0; k < 3; k++)
        free(b[k]);
    ct_params_free(params);
}

START_TEST(test_dialects)
{
    for (int d = CT_DIALECT_TORCH; d <= CT_DIALECT_FLAX; d++) {
        check_dialect(ct_nn_rnn, 1, (ct_dialect)d);
        check_dialect(ct_nn_gru, 3, (ct_dialect)d);
        check_dialect(ct_nn_lstm, 4, (ct_dialect)d);
        ck_assert_int_eq(ct_dialect_from_name(ct_dialect_name((ct_dialect)d)), d);
    }
    ck_assert_int_eq(ct_dialect_from_name("mxnet"), -1);
    ck_assert_int_eq(ct_dialect_from_name(NULL), -1);
    ck_assert_str_eq(ct_dialect_name((ct_dialect)-1), "?");
    ck_assert_str_eq(ct_dialect_name((ct_dialect)(CT_DIALECT_FLAX + 1)), "?");
}
END_TEST

/* Linear from 300 to 100: PyTorch's weight and bias are U(1/sqrt(300)); the others are U(0.07),
 * glorot and lecun with a bias of 0. */
START_TEST(test_linear_dialects)
{
    const double bound[] = { 1 / sqrt(300), 0.07, sqrt(6.0 / 400),
                             2 / sqrt(300) / 0.87962566103423978 };

    for (int d = CT_DIALECT_TORCH; d <= CT_DIALECT_FLAX; d++) {
        ct_params *params = new_params(2, CT_F64);
        double *w, *b;

        ct_nn_linear(params, "l",
                     (ct_nn_linear_options){
                         .in_features = 300, .out_features = 100, .dialect = (ct_dialect)d });
        w = of(params, "l.weight");
        b = of(params, "l.bias");
        expect_spread("weight", w, 30000, bound[d]);
        expect_spread("bias", b, 100, d == CT_DIALECT_TORCH ? bound[0] : 0);
        free(w);
        free(b);
        ct_params_free(params);
    }
}
END_TEST

/* The default activation of Gluon's RNN is relu, that of the others tanh. */
START_TEST(test_dialect_activation)
{
    for (int d = CT_DIALECT_TORCH; d <= CT_DIALECT_FLAX; d++)
        for (int told = 0; told < 2; told++) {
            ct_params *params = new_params(1, CT_F64);
            ct_recurrent *r =
                ct_nn_rnn(params, "m",
                          (ct_nn_rnn_options){ .input_size = 1,
                                               .hidden_size = 1,
                                               .dialect = (ct_dialect)d,
                                               .nonlinearity = told ? CT_NONLINEARITY_TANH
                                                                    : CT_NONLINEARITY_DEFAULT });
            ct_scope s = ct_scope_begin_no_grad();
            ct_tensor *x = ct_full(CT_SHAPE(1, 1, 1), 3, CT_F64, DEVICE);

            ct_params_init(params, ct_init_constant(0), 0);
            ct_fill(ct_param_value(ct_params_get(params, "m.weight_ih_l0")), 1);
            expect_close("y", ct_item(ct_recurrent_forward(r, x, NULL, NULL)),
                         d == CT_DIALECT_GLUON && !told ? 3 : tanh(3), 1e-15);
            ck_assert(ct_scope_end(s) == CT_OK);
            ct_params_free(params);
        }
}
END_TEST

/* The first of two biases has the value of the forget gate, the second 0; other gates do not
 * change. */
START_TEST(test_forget_bias)
{
    ct_params *params = new_params(1, CT_F64);
    double *b;

    ct_nn_lstm(
        params, "m",
        (ct_nn_lstm_options){
            .input_size = 3, .hidden_size = 16, .has_forget_bias = true, .forget_bias = 2.5 });
    for (int k = 0; k < 2; k++) {
        b = of(params, k ? "m.bias_hh_l0" : "m.bias_ih_l0");
        for (int i = 16; i < 32; i++)
            ck_assert(b[i] == (k ? 0 : 2.5));
        expect_spread("i", b, 16, 0.25);
        expect_spread("g, o", b + 32, 32, 0.25);
        free(b);
    }
    ct_params_free(params);
}
END_TEST

/* ---- the small modules ---- */

START_TEST(test_layer_norm)
{
    ct_generator g = ct_generator_from_seed(8);
    ct_params *params = new_params(1, CT_F64);
    ct_module *m = ct_nn_layer_norm(params, "ln", (ct_nn_layer_norm_options){ .eps = 0.5 });
    ct_module *plain =
        ct_nn_layer_norm(params, "p", (ct_nn_layer_norm_options){ .no_affine = true });
    ct_module *exact = ct_nn_layer_norm(
        params, "z", (ct_nn_layer_norm_options){ .no_affine = true, .eps = CT_ZERO });
    ct_scope s = ct_scope_begin_no_grad();
    ct_tensor *x =
        ct_from_data((double[]){ 1, 2, 3, 6, 0, 0, 0, 4 }, CT_SHAPE(2, 4), CT_F64, DEVICE);
    double want[8] = { -2, -1, 0, 3, -1, -1, -1, 3 }, want_exact[8];

    for (int i = 0; i < 8; i++)
        want[i] /= sqrt((i < 4 ? 3.5 : 3) + 0.5);
    expect_values("y", ct_forward(m, x), want, 8, 1e-15);
    for (int i = 0; i < 8; i++)
        want_exact[i] = want[i] * sqrt((i < 4 ? 4 : 3.5) / (i < 4 ? 3.5 : 3));
    expect_values("eps 0", ct_forward(exact, x), want_exact, 8, 1e-15);
    ct_fill(ct_param_value(ct_params_get(params, "ln.weight")), 2);
    ct_fill(ct_param_value(ct_params_get(params, "ln.bias")), 1);
    for (int i = 0; i < 8; i++)
        want[i] = want[i] * 2 + 1;
    expect_values("scaled", ct_forward(m, x), want, 8, 1e-15);
    ck_assert_int_eq(ct_params_count(params), 2);
    x = random_normal(&g, CT_SHAPE(2, 1000), CT_F64);
    x = ct_select(ct_forward(plain, x), 0, 1);
    expect_close("mean", ct_item(ct_mean(x)), 0, 1e-14);
    expect_close("variance", ct_item(ct_mean(ct_square(x))), 1, 1e-4);
    x = ct_from_data((double[]){ 0, 0.02 }, CT_SHAPE(1, 1, 2), CT_F64, DEVICE); /* eps is 1e-5 */
    expect_values("eps", ct_forward(plain, x),
                  (double[]){ -0.01 / sqrt(1.1e-4), 0.01 / sqrt(1.1e-4) }, 2, 1e-13);
    m = ct_nn_layer_norm(params, "w", (ct_nn_layer_norm_options){ .no_bias = true });
    expect_values(
        "rank 3",
        ct_forward(m, ct_reshape(ct_from_data((double[]){ -1e4, 1e4, 1e4, -1e4, -1e4, 1e4 },
                                              CT_SHAPE(6), CT_F64, DEVICE),
                                 CT_SHAPE(1, 3, 2))),
        (double[]){ -1, 1, 1, -1, -1, 1 }, 6, 1e-12);
    ck_assert_int_eq(ct_params_count(params), 3);
    m = ct_nn_layer_norm(params, "late", (ct_nn_layer_norm_options){ .size = 0 });
    ck_assert_ptr_nonnull(ct_forward(m, ct_ones(CT_SHAPE(1, 3, 2), CT_F64, DEVICE)));
    ck_assert_int_eq(ct_param_shape(ct_params_get(params, "late.bias")).dim[0], 2);
    m = ct_nn_layer_norm(params, "ln2", (ct_nn_layer_norm_options){ .size = 4 });
    ct_forward(m, ct_zeros(CT_SHAPE(2, 3), CT_F64, DEVICE));
    expect_error(CT_ERR_SHAPE, "ct_forward", "f64[2,3] ... ln2.weight ... [3]");
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(params);
}
END_TEST

START_TEST(test_dropout)
{
    ct_params *params = new_params(1, CT_F32);
    ct_module *m = ct_nn_dropout(params, 0.25);
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_set_requires_grad(ct_full(CT_SHAPE(40, 50), 3, CT_F32, DEVICE), true);
    ct_tensor *y = ct_forward(m, x);
    double *v = values_of(y), *d, kept = 0;

    ck_assert(ct_backward(ct_sum(y)) == CT_OK);
    d = values_of(ct_tensor_grad(x));
    for (int i = 0; i < 2000; i++) {
        ck_assert(v[i] == 0 || v[i] == 4);
        expect_close("derivative", d[i], v[i] / 3, 1e-6);
        kept += v[i] != 0;
    }
    expect_close("kept", kept / 2000, 0.75, 4 * sqrt(0.1875 / 2000));
    free(v);
    free(d);
    ck_assert_ptr_eq(ct_forward(ct_nn_dropout(params, 0), x), x);
    ct_params_train(params, false);
    ck_assert_ptr_eq(ct_forward(m, x), x);
    ck_assert_ptr_null(ct_nn_dropout(params, -0.1));
    expect_error(CT_ERR_ARGUMENT, "ct_nn_dropout", "p ... -0.1");
    ck_assert_ptr_null(ct_nn_dropout(params, 1));
    expect_error(CT_ERR_ARGUMENT, "ct_nn_dropout", "p ... 1");
    ck_assert_ptr_null(ct_nn_dropout(params, NAN));
    expect_error(CT_ERR_ARGUMENT, "ct_nn_dropout", "p ... nan");
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(params);
}
END_TEST

/* The module gives the values of the op with the set's generator, and keeps no mask for
 * backward. */
START_TEST(test_dropout_is_the_op)
{
    ct_params *params = new_params(1, CT_F32);
    ct_module *m = ct_nn_dropout(params, 0.25);
    ct_scope s = ct_scope_begin();
    ct_generator g = *ct_params_generator(params), draws = ct_generator_from_seed(3);
    ct_tensor *x = ct_set_requires_grad(ct_randn(CT_SHAPE(64, 512), CT_F32, DEVICE, &draws), true);
    const size_t before = ct_memory_get_stats().live_bytes;
    ct_tensor *y = ct_forward(m, x);
    const size_t held = ct_memory_get_stats().live_bytes - before;
    double *v = values_of(ct_dropout(x, 0.25, &g));

    expect_values("y", y, v, (size_t)ct_numel(x), 0);
    ck_assert(memcmp(&g, ct_params_generator(params), sizeof g) == 0);
    ck_assert_uint_le(held, 64 * 512 * sizeof(float) * 9 / 8);
    free(v);
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(params);
}
END_TEST

/* A chain of Embedding, an op and Linear; each row of the table gets its gradient. */
START_TEST(test_sequential)
{
    ct_params *params = new_params(1, CT_F64);
    ct_module *net = ct_nn_sequential(
        params, 3,
        (ct_module *[]){
            ct_nn_embedding(params, "embedding", (ct_nn_embedding_options){ .rows = 3, .size = 2 }),
            ct_nn_op(params, ct_neg),
            ct_nn_linear(params, "linear", (ct_nn_linear_options){ .out_features = 1 }) });
    ct_scope s = ct_scope_begin();
    ct_tensor *ids = ct_from_data((int32_t[]){ 2, 0, 2 }, CT_SHAPE(3), CT_I32, DEVICE), *y;
    ct_param *table = ct_params_get(params, "embedding.weight");

    ct_forward(net, ids);
    ck_assert(ct_params_init(params, ct_init_constant(2), 0) == CT_OK);
    y = ct_forward(net, ids); /* 2 - 2 (2 + 2) */
    expect_values("y", y, (double[]){ -6, -6, -6 }, 3, 0);
    ck_assert(ct_backward(ct_sum(y)) == CT_OK);
    expect_values("table", ct_tensor_grad(ct_param_value(table)),
                  (double[]){ -2, -2, 0, 0, -4, -4 }, 6, 0);
    EXPECT_NO_VALUE(ct_nn_sequential(params, 1, (ct_module *[]){ NULL }));
    ck_assert_ptr_null(ct_nn_sequential(params, -1, NULL));
    expect_error(CT_ERR_ARGUMENT, "ct_nn_sequential", "count is -1");
    ck_assert_ptr_eq(ct_forward(ct_nn_sequential(params, 0, NULL), ids), ids);
    ck_assert_ptr_null(ct_nn_embedding(params, "e", (ct_nn_embedding_options){ .rows = 3 }));
    expect_error(CT_ERR_ARGUMENT, "ct_nn_embedding", "size is 0");
    ck_assert_ptr_null(ct_nn_embedding(params, "e", (ct_nn_embedding_options){ .size = 3 }));
    expect_error(CT_ERR_ARGUMENT, "ct_nn_embedding", "rows is 0");
    ck_assert_ptr_nonnull(
        ct_nn_embedding(params, "e", (ct_nn_embedding_options){ .rows = 1, .size = 1 }));
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(params);
}
END_TEST

/* The padding row is initially 0 and is not trained. All other rows are those of a table without
 * padding. */
START_TEST(test_padding)
{
    const int64_t asked = _i ? -2 : 1;
    ct_params *params = new_params(1, CT_F64), *plain = new_params(1, CT_F64);
    const ct_nn_embedding_options o = { .rows = 3, .size = 2 };
    ct_module *e =
        ct_nn_embedding(params, "e",
                        (ct_nn_embedding_options){
                            .rows = 3, .size = 2, .has_padding_idx = true, .padding_idx = asked });
    ct_optimizer *sgd = ct_sgd_new(params, (ct_sgd_options){ .lr = 1, .weight_decay = 0.1 });
    ct_scope s = ct_scope_begin();
    ct_tensor *ids = ct_from_data((int64_t[]){ 1, 2, 1, 2 }, CT_SHAPE(2, 2), CT_I64, DEVICE);
    ct_tensor *weight = ct_param_value(ct_params_get(params, "e.weight")), *same, *y;

    ck_assert_ptr_nonnull(ct_nn_embedding(plain, "e", o));
    same = ct_clone(ct_detach(ct_param_value(ct_params_get(plain, "e.weight"))));
    ck_assert(ct_fill(ct_select(same, 0, 1), 0) == CT_OK);
    expect_same("initial values", weight, same, 0);
    y = ct_forward(e, ids);
    ck_assert(ct_backward(ct_sum(ct_square(ct_add_scalar(y, 1)))) == CT_OK);
    y = ct_tensor_grad(weight);
    expect_values("unused and padding", ct_narrow(y, 0, 0, 2), (double[]){ 0, 0, 0, 0 }, 4, 0);
    expect_same("row 2", ct_select(y, 0, 2),
                ct_mul_scalar(ct_add_scalar(ct_select(weight, 0, 2), 1), 4), 1e-15);
    ck_assert(ct_optimizer_step(sgd) == CT_OK);
    expect_values("padding", ct_select(weight, 0, 1), (double[]){ 0, 0 }, 2, 0);
    ck_assert(ct_params_init(params, ct_init_constant(2), 0) == CT_OK);
    expect_values("padding of another init", ct_select(weight, 0, 1), (double[]){ 2, 2 }, 2, 0);
    ck_assert(ct_params_init(params, (ct_init){ 0 }, 0) == CT_OK);
    expect_values("padding again", ct_select(weight, 0, 1), (double[]){ 0, 0 }, 2, 0);
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_optimizer_free(sgd);
    ct_params_free(plain);
    ct_params_free(params);
}
END_TEST

/* Neither first nor second derivatives reach the padding row. */
START_TEST(test_padding_in_second_derivatives)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *w = ct_set_requires_grad(
        ct_from_data((double[]){ 1, 2, 3 }, CT_SHAPE(3, 1), CT_F64, DEVICE), true);
    ct_tensor *ids = ct_from_data((int32_t[]){ 0, 1, 1, 2 }, CT_SHAPE(4), CT_I32, DEVICE);
    ct_tensor *y = ct_embedding_padded(w, ids, -2), *loss = ct_sum(ct_mul(ct_square(y), y)), *g;

    ck_assert(ct_grad(1, &loss, 1, &w, NULL, true, &g) == CT_OK);
    expect_values("first", g, (double[]){ 3, 0, 27 }, 3, 0);
    ck_assert(ct_backward(ct_sum(g)) == CT_OK);
    expect_values("second", ct_tensor_grad(w), (double[]){ 6, 0, 18 }, 3, 0);
    REFUSED(CT_ERR_ARGUMENT, "ct_embedding_padded", "padding_idx is 3",
            ct_embedding_padded(w, ids, 3));
    REFUSED(CT_ERR_ARGUMENT, "ct_embedding_padded", "padding_idx is -4",
            ct_embedding_padded(w, ids, -4));
    REFUSED(CT_ERR_ARGUMENT, "ct_embedding_padded", "row of weight",
            ct_embedding_padded(ct_scalar(1, CT_F64), ids, 0));
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

START_TEST(test_bad_padding)
{
    const struct {
        ct_nn_embedding_options o;
        const char *word;
    } cases[] = {
        { { .rows = 3, .size = 2, .has_padding_idx = true, .padding_idx = 3 }, "-3..2" },
        { { .rows = 3, .size = 2, .has_padding_idx = true, .padding_idx = -4 }, "-3..2" },
        { { .rows = 3, .size = 2, .padding_idx = 1 }, "requires has_padding_idx" },
    };
    ct_params *params = new_params(1, CT_F32);

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ck_assert_ptr_null(ct_nn_embedding(params, "e", cases[i].o));
        expect_error(CT_ERR_ARGUMENT, "ct_nn_embedding", cases[i].word);
    }
    ck_assert_int_eq(ct_params_count(params), 0);
    ct_params_free(params);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("init");
    TCase *tc = harness_case(suite, "distributions");

    tcase_add_test(tc, test_distributions);
    tcase_add_test(tc, test_orthogonal);
    tcase_add_test(tc, test_orthogonal_is_uniform);
    tcase_add_test(tc, test_small_fans);
    tcase_add_test(tc, test_narrow_normals);
    tcase_add_test(tc, test_bad_init);
    tc = harness_case(suite, "sets");
    tcase_add_test(tc, test_init_at_any_time);
    tcase_add_test(tc, test_init_of_buffers_and_the_unsettled);
    tc = harness_case(suite, "dialects");
    tcase_add_test(tc, test_dialects);
    tcase_add_test(tc, test_linear_dialects);
    tcase_add_test(tc, test_dialect_activation);
    tcase_add_test(tc, test_forget_bias);
    tc = harness_case(suite, "modules");
    tcase_add_test(tc, test_layer_norm);
    tcase_add_test(tc, test_dropout);
    tcase_add_test(tc, test_dropout_is_the_op);
    tcase_add_test(tc, test_sequential);
    tc = harness_case(suite, "padding");
    tcase_add_loop_test(tc, test_padding, 0, 2);
    tcase_add_test(tc, test_padding_in_second_derivatives);
    tcase_add_test(tc, test_bad_padding);
    return harness_run(suite);
}
