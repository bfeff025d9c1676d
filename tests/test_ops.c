/* test_ops.c - every op against PyTorch's numbers (tests/torch/ops_parity.txt, whose format is in
 * ops_parity.py), what has no derivative to check, misuse (the whole message), and memory that runs
 * out. */
#include "tests/cases.h"
#include "tests/harness.h"

#include "tensor/hooks.h"
#include "tensor/internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cotangent.h>

/* ---- PyTorch's numbers ---- */

#define MOST_NUMBERS 256
#define LEAST_PER_OP 5

/* Ops with no cases there, and why. */
static const char *const not_there[] = {
    "ct_dropout",     /* draws from another generator */
    "ct_multinomial", /* the same */
    /* the forms over a list of axes have cases; one_axis compares */
    "ct_sum_axis",
    "ct_mean_axis",
    "ct_prod_axis",
    "ct_amax_axis",
    "ct_amin_axis",
    "ct_logsumexp_axis",
    "ct_any_axis",
    "ct_all_axis",
    "ct_var_axis",
    "ct_std_axis",
    "ct_norm_axis",
};

typedef struct numbers {
    int count;
    double at[MOST_NUMBERS];
} numbers;

typedef struct parity_case {
    int number; /* from 1, of the whole file */
    const op_row *row;
    op_draw draw; /* the row's options */
    char kind[OP_INPUTS];
    numbers in[OP_INPUTS], dy;
    ct_shape y_shape;
    numbers y[2], g[2][OP_INPUTS]; /* f64, f32 */
    int gradients[2];
} parity_case;

static const op_row *row_named(const char *name)
{
    int t, r;

    for (t = 0; op_tables[t]; t++)
        for (r = 0; op_tables[t][r].name; r++)
            if (strcmp(op_tables[t][r].name, name) == 0)
                return &op_tables[t][r];
    ck_abort_msg("ops_parity.txt has %s, the tables have not", name);
    return NULL;
}

static numbers read_numbers(char *text)
{
    numbers n = { 0 };
    char *word;

    for (word = strtok(text, " \n"); word; word = strtok(NULL, " \n")) {
        ck_assert_int_lt(n.count, MOST_NUMBERS);
        n.at[n.count++] = strtod(word, NULL);
    }
    return n;
}

/* Takes "2,3" or "-" from *text. */
static ct_shape read_shape(char **text)
{
    ct_shape s = ct_shape_from_sizes(0, NULL);

    if (**text == '-') {
        ++*text;
        return s;
    }
    for (;;) {
        s.dim[s.rank++] = strtoll(*text, text, 10);
        if (**text != ',')
            return s;
        ++*text;
    }
}

static void read_line(parity_case *c, char *line)
{
    char *space = strchr(line, ' '), *rest = space ? space + 1 : line + strlen(line) - 1;
    int f32 = line[0] == 'Y' || line[0] == 'G', k;
    numbers n;

    if (strncmp(line, "in ", 3) == 0) {
        k = c->draw.count++;
        ck_assert_int_lt(k, OP_INPUTS);
        c->kind[k] = line[3];
        rest = line + 5;
        c->draw.in[k].shape = read_shape(&rest);
        c->in[k] = read_numbers(rest);
        return;
    }
    if (line[0] == 'y')
        c->y_shape = read_shape(&rest);
    n = read_numbers(rest);
    for (k = 0; line[0] == 'i' && k < n.count; k++)
        c->draw.i[k] = (int64_t)n.at[k];
    for (k = 0; line[0] == 'p' && k < n.count; k++)
        c->draw.p[k] = n.at[k];
    if (line[0] == 'd')
        c->dy = n;
    else if (line[0] == 'y' || line[0] == 'Y')
        c->y[f32] = n;
    else if (line[0] == 'g' || line[0] == 'G')
        c->g[f32][c->gradients[f32]++] = n;
}

static ct_tensor *parity_input(const parity_case *c, int k, ct_dtype dtype)
{
    double scaled[MOST_NUMBERS];
    bool real = c->kind[k] == 'f';
    ct_tensor *t;
    int j;

    for (j = 0; j < c->in[k].count; j++)
        scaled[j] = real ? c->in[k].at[j] / 256 : c->in[k].at[j];
    t = ct_from_data(scaled, c->draw.in[k].shape, CT_F64, DEVICE);
    if (!real)
        return ct_cast(t, c->kind[k] == 'i' ? CT_I64 : c->kind[k] == 'j' ? CT_I32 : CT_BOOL);
    return ct_set_requires_grad(ct_cast(t, dtype), true);
}

/* |got - want| <= relative times the sum of the magnitudes. */
static void compare(const parity_case *c, const char *what, ct_dtype dtype, ct_tensor *t,
                    const numbers *want)
{
    double sum = 0;
    char text[160];
    int j;

    for (j = 0; j < want->count; j++)
        sum += isfinite(want->at[j]) ? fabs(want->at[j]) : 0;
    snprintf(text, sizeof text, "case %d, %s %s, %s", c->number, c->row->name, ct_dtype_name(dtype),
             what);
    expect_values(text, t, want->at, (size_t)want->count, sum * (dtype == CT_F64 ? 1e-12 : 1e-5));
}

static void compare_gradients(const parity_case *c, ct_dtype dtype, ct_tensor *y, ct_tensor **in)
{
    double scaled[MOST_NUMBERS];
    int f32 = dtype == CT_F32, n = 0, k;
    ct_tensor *dy;

    ck_assert_int_eq(c->dy.count, ct_numel(y));
    for (k = 0; k < c->dy.count; k++)
        scaled[k] = c->dy.at[k] / 256;
    dy = ct_cast(ct_from_data(scaled, ct_tensor_shape(y), CT_F64, DEVICE), ct_tensor_dtype(y));
    ck_assert_msg(ct_backward_with(y, dy) == CT_OK, "case %d, %s: %s", c->number, c->row->name,
                  ct_error_message());
    for (k = 0; k < c->draw.count; k++) {
        ct_tensor *g;

        if (c->kind[k] != 'f')
            continue;
        ck_assert_int_lt(n, c->gradients[f32]);
        g = ct_tensor_grad(in[k]);
        compare(c, "gradient", dtype, g ? g : ct_zeros_like(in[k]), &c->g[f32][n++]);
    }
    ck_assert_int_eq(n, c->gradients[f32]);
}

static void check_case(const parity_case *c, ct_dtype dtype)
{
    int f32 = dtype == CT_F32, k;
    ct_tensor *in[OP_INPUTS], *y;
    ct_scope s = ct_scope_begin();

    for (k = 0; k < c->draw.count; k++)
        in[k] = parity_input(c, k, dtype);
    y = op_call(c->row, &c->draw, in);
    ck_assert_msg(y != NULL, "case %d, %s: %s", c->number, c->row->name, ct_error_message());
    ck_assert_msg(cti_same_shape(&y->shape, &c->y_shape), "case %d, %s: another shape", c->number,
                  c->row->name);
    compare(c, "result", dtype, y, &c->y[f32 && c->y[1].count]);
    if (c->gradients[0])
        compare_gradients(c, dtype, y, in);
    ck_assert(ct_scope_end(s) == CT_OK);
}

/* The next case of the file into *c; false at its end. The line after it waits in line. */
static bool next_case(FILE *f, parity_case *c, char *line, int size)
{
    static int number;

    while (line[0] == '#' || line[0] == '\0')
        if (!fgets(line, size, f))
            return false;
    if (strncmp(line, "op ", 3) != 0)
        return false;
    line[strcspn(line, "\n")] = '\0';
    memset(c, 0, sizeof *c);
    c->number = ++number;
    c->row = row_named(line + 3);
    while (fgets(line, size, f)) {
        if (strncmp(line, "op ", 3) == 0)
            return true;
        read_line(c, line);
    }
    line[0] = '\0';
    return true;
}

static bool is_there(const char *name)
{
    size_t k;

    for (k = 0; k < sizeof not_there / sizeof *not_there; k++)
        if (strcmp(not_there[k], name) == 0)
            return false;
    return true;
}

/* How many cases a row has had, by its name. */
static int *count_of(const op_row *row)
{
    static int counts[512];
    int t, r, n = 0;

    for (t = 0; op_tables[t]; t++)
        for (r = 0; op_tables[t][r].name; r++, n++)
            if (strcmp(op_tables[t][r].name, row->name) == 0)
                return &counts[n];
    return NULL;
}

START_TEST(pytorch_gives_the_same)
{
    FILE *f = fopen(harness_source("tests/torch/ops_parity.txt"), "r");
    static parity_case c;
    char line[8192] = "";
    int cases = 0, t, r;

    ck_assert_msg(f != NULL, "cannot open tests/torch/ops_parity.txt");
    while (next_case(f, &c, line, sizeof line)) {
        check_case(&c, CT_F64);
        check_case(&c, CT_F32);
        ++*count_of(c.row);
        cases++;
    }
    fclose(f);
    for (t = 0; op_tables[t]; t++)
        for (r = 0; op_tables[t][r].name; r++)
            if (is_there(op_tables[t][r].name))
                ck_assert_msg(*count_of(&op_tables[t][r]) >= LEAST_PER_OP, "%s has %d cases",
                              op_tables[t][r].name, *count_of(&op_tables[t][r]));
    ck_assert_int_ge(cases, 1000);
}
END_TEST

/* ---- values that no derivative shows ---- */

#define F64(...)                                                                                   \
    ct_from_data((double[]){ __VA_ARGS__ },                                                        \
                 CT_SHAPE((int64_t)(sizeof((double[]){ __VA_ARGS__ }) / sizeof(double))), CT_F64,  \
                 DEVICE)
#define I64(...)                                                                                   \
    ct_from_data((int64_t[]){ __VA_ARGS__ },                                                       \
                 CT_SHAPE((int64_t)(sizeof((int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t))),        \
                 CT_I64, DEVICE)

/* Fails unless t's elements are exactly these. */
#define EXPECT(t, ...)                                                                             \
    expect_values(#t, t, (double[]){ __VA_ARGS__ },                                                \
                  sizeof((double[]){ __VA_ARGS__ }) / sizeof(double), 0)

static ct_tensor *leaf(ct_tensor *t)
{
    return ct_set_requires_grad(t, true);
}

/* The gradient of <y, dy> with respect to x. */
static ct_tensor *gradient(ct_tensor *y, ct_tensor *x, ct_tensor *dy)
{
    ct_tensor *g = NULL;

    ck_assert_msg(ct_grad(1, &y, 1, &x, dy ? &dy : NULL, false, &g) == CT_OK, "%s",
                  ct_error_message());
    return g;
}

START_TEST(extremes_give_values_and_indices)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = leaf(ct_reshape(F64(3, 7, 7, 5, 5, -1), CT_SHAPE(2, 3))), *k, *y;
    const ct_shape kept = CT_SHAPE(2, 1);
    const int both[] = { 0, 1 };

    EXPECT(ct_max_axis(x, 1, false, &k), 7, 5);
    EXPECT(k, 1, 0); /* the first of equals */
    ck_assert_int_eq(ct_tensor_dtype(k), CT_I64);
    y = ct_max_axis(x, -1, true, &k);
    ck_assert(cti_same_shape(&y->shape, &kept) && cti_same_shape(&k->shape, &kept));
    EXPECT(gradient(y, x, ct_ones_like(y)), 0, 1, 0, 1, 0, 0);
    EXPECT(ct_min_axis(x, 0, false, &k), 3, 5, -1);
    EXPECT(k, 0, 1, 1);
    /* without positions the gradient is shared by equals */
    EXPECT(gradient(ct_max(x), x, NULL), 0, 0.5, 0.5, 0, 0, 0);
    y = ct_amax_axes(x, 1, both + 1, false);
    EXPECT(y, 7, 5);
    EXPECT(gradient(y, x, F64(2, 6)), 0, 1, 1, 3, 3, 0);
    EXPECT(ct_amin_axes(x, 2, both, true), -1);
    EXPECT(ct_max(F64(1, NAN, 2)), NAN);
    EXPECT(ct_max_axis(F64(1, NAN, NAN), 0, false, &k), NAN);
    EXPECT(k, 1);
    EXPECT(ct_max(I64(-3, 4, 2)), 4);
    EXPECT(ct_min_axis(I64(-3, 4, -5), 0, false, NULL), -5);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

START_TEST(products_have_derivatives_at_zero)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = leaf(F64(2, 0, 3)), *z = leaf(F64(0, 5, 0)), *y, *g, *h;
    ct_tensor *one = leaf(F64(4)), *five = leaf(F64(1, 2, 0, 4, 5));

    EXPECT(gradient(ct_prod(x), x, NULL), 0, 6, 0);
    EXPECT(gradient(ct_prod(z), z, NULL), 0, 0, 0);
    EXPECT(gradient(ct_prod(one), one, NULL), 1);
    EXPECT(gradient(ct_prod(five), five, NULL), 0, 0, 40, 0, 0);
    y = ct_prod(z); /* d2 y / dz0 dz2 = z1 */
    ck_assert(ct_grad(1, &y, 1, &z, NULL, true, &g) == CT_OK);
    h = gradient(g, z, F64(1, 0, 0));
    EXPECT(h, 0, 0, 5);
    EXPECT(ct_prod(ct_zeros(CT_SHAPE(0), CT_F32, DEVICE)), 1);
    EXPECT(ct_prod(I64(3, -4)), -12);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* d/da a^b = b a^(b-1), 0 where b is; d/db a^b = a^b log a, 0 where a is and b >= 0. */
START_TEST(powers_have_derivatives_at_zero)
{
    static const double a[] = { 0, 0, 0, 0, 2, 1 }, b[] = { 0, 1, 2, 0.5, 0, 0 };
    static const double da[] = { 0, 1, 0, INFINITY, 0, 0 };
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_set_requires_grad(ct_from_data(a, CT_SHAPE(6), CT_F64, DEVICE), true);
    ct_tensor *y = ct_set_requires_grad(ct_from_data(b, CT_SHAPE(6), CT_F64, DEVICE), true);

    ck_assert(ct_backward(ct_sum(ct_pow(x, y))) == CT_OK);
    expect_values("da", ct_tensor_grad(x), da, 6, 1e-15);
    expect_values("db", ct_tensor_grad(y), (double[]){ 0, 0, 0, 0, 0.69314718055994531, 0 }, 6,
                  1e-15);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* da, and then db of it; and the other way round. */
static void check_pow(double a, double b, double da, double mixed, ct_dtype dtype)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = leaf(ct_cast(F64(a), dtype)), *y = leaf(ct_cast(F64(b), dtype)), *p, *g;

    p = ct_sum(ct_pow(x, y));
    ck_assert(ct_grad(1, &p, 1, &x, NULL, true, &g) == CT_OK);
    expect_close("da", ct_item(g), da, 0);
    g = ct_sum(g);
    expect_close("da, then db", ct_item(gradient(g, y, NULL)), mixed, 0);
    ck_assert(ct_grad(1, &p, 1, &y, NULL, true, &g) == CT_OK);
    g = ct_sum(g);
    expect_close("db, then da", ct_item(gradient(g, x, NULL)), mixed, 0);
    ck_assert(ct_scope_end(s) == CT_OK);
}

START_TEST(powers_are_flat_at_exponent_zero)
{
    int d;

    for (d = 0; d < 2; d++) {
        ct_dtype dtype = d ? CT_F64 : CT_F32;
        ct_scope s = ct_scope_begin();
        ct_tensor *x = leaf(ct_cast(F64(-2, -0.0, 0, 1e-40, 1, 3, INFINITY), dtype)), *y, *g;

        check_pow(-2, 0, 0, -0.5, dtype);
        check_pow(4, 0, 0, 0.25, dtype);
        check_pow(INFINITY, 0, 0, 0, dtype);
        check_pow(d ? 0x1p-1070 : 0x1p-140, 0, 0, INFINITY, dtype);
        check_pow(NAN, 0, 0, NAN, dtype);
        check_pow(0, 0, 0, INFINITY, dtype);
        check_pow(0, 2, 0, 0, dtype);
        check_pow(1, 3, 3, 1, dtype);
        y = ct_sum(ct_rpow_scalar(x, 0));
        ck_assert(ct_grad(1, &y, 1, &x, NULL, true, &g) == CT_OK);
        EXPECT(g, -INFINITY, 0, 0, 0, 0, 0, 0);
        EXPECT(gradient(ct_sum(g), x, NULL), INFINITY, 0, 0, 0, 0, 0, 0);
        ck_assert(ct_scope_end(s) == CT_OK);
    }
}
END_TEST

/* The gradient goes to the NaN, which was chosen. */
START_TEST(extremes_follow_a_nan)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *a = leaf(F64(NAN, 1, 1, 2)), *b = leaf(F64(1, NAN, 1, 3));

    EXPECT(gradient(ct_sum(ct_maximum(a, b)), a, NULL), 1, 0, 0.5, 0);
    EXPECT(gradient(ct_sum(ct_maximum(a, b)), b, NULL), 0, 1, 0.5, 1);
    EXPECT(gradient(ct_sum(ct_minimum(a, b)), a, NULL), 1, 0, 0.5, 1);
    EXPECT(gradient(ct_sum(ct_minimum(a, b)), b, NULL), 0, 1, 0.5, 0);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

START_TEST(roots_are_flat_where_they_are_zero)
{
    static const double norms[] = { 1, 2, 1.5, 3, 0.5, 0, -1 };
    ct_scope s = ct_scope_begin();
    ct_tensor *x = leaf(ct_zeros(CT_SHAPE(3), CT_F64, DEVICE)), *same = leaf(F64(2, 2, 2));
    ct_tensor *some = leaf(F64(0, -4, 0, 9));
    int k;

    for (k = 0; k < 7; k++) {
        EXPECT(ct_norm(x, norms[k]), 0);
        EXPECT(gradient(ct_norm(x, norms[k]), x, NULL), 0, 0, 0);
    }
    EXPECT(ct_norm(some, 0), 2);
    EXPECT(gradient(ct_norm(some, 0), some, NULL), 0, 0, 0, 0);
    EXPECT(ct_norm(some, 0.5), 25);
    EXPECT(gradient(ct_norm(some, 0.5), some, NULL), 0, -2.5, 0, 5.0 / 3);
    EXPECT(ct_norm(some, -1), 0);
    EXPECT(gradient(ct_norm(some, -1), some, NULL), 0, 0, 0, 0);
    EXPECT(ct_norm(F64(3, -1, 2), -INFINITY), 1);
    EXPECT(ct_norm(F64((double)NAN, 1, 0), 0), 2); /* a NaN is not 0 */
    EXPECT(ct_std(same), 0);
    EXPECT(gradient(ct_std(same), same, NULL), 0, 0, 0);
    EXPECT(ct_var(F64(1)), NAN); /* 0 / 0, as in PyTorch */
    EXPECT(ct_var_axes(F64(1, 3), 1, (int[]){ 0 }, 5, false), INFINITY);
    EXPECT(ct_norm(F64(3, -4, 0), INFINITY), 4);
    EXPECT(ct_norm(ct_zeros(CT_SHAPE(0), CT_F64, DEVICE), 2), 0);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* A mean divides by n; a product with 1 / n, which is rounded, is not 1 for some n. */
START_TEST(means_of_ones_are_one)
{
    /* 41 and 49 are wrong with a product, in f32 and f64 */
    const int step = harness_rounds(8, 1), most = harness_rounds(100, 2000);
    int n, d;

    for (n = 1; n <= most; n += step)
        for (d = 0; d < 2; d++) {
            ct_scope s = ct_scope_begin();
            ct_tensor *x = leaf(ct_ones(CT_SHAPE(n), d ? CT_F64 : CT_F32, DEVICE)), *g;
            double mean = ct_item(ct_mean(x)), share;

            ck_assert_msg(mean == 1, "the mean of %d ones is %.17g", n, mean);
            g = gradient(ct_mean(x), x, NULL);
            share = ct_item(ct_select(g, 0, n - 1));
            ck_assert_msg(share == (d ? 1.0 / n : (double)(1.0f / (float)n)), "1 / %d is %.17g", n,
                          share);
            ck_assert(ct_item(ct_mse_loss(x, ct_zeros_like(x), CT_REDUCTION_MEAN)) == 1);
            ck_assert(ct_item(ct_select(ct_div_scalar(ct_mul_scalar(x, n), n), 0, 0)) == 1);
            if (n > 1)
                ck_assert(ct_item(ct_var(x)) == 0);
            ck_assert(ct_scope_end(s) == CT_OK);
        }
}
END_TEST

START_TEST(logsumexp_does_not_overflow)
{
    const int axis = 0;
    ct_scope s = ct_scope_begin();
    ct_tensor *none = leaf(F64(-INFINITY, -INFINITY)),
              *y = ct_logsumexp_axes(none, 1, &axis, false);
    ct_tensor *some = leaf(F64(0, -INFINITY));

    EXPECT(y, -INFINITY);
    EXPECT(gradient(y, none, NULL), 0, 0);
    EXPECT(gradient(ct_logsumexp_axes(some, 1, &axis, false), some, NULL), 1, 0);
    expect_close("large", ct_item(ct_logsumexp_axes(F64(1000, 1000), 1, &axis, false)),
                 1000 + log(2), 1e-12);
    expect_close("small", ct_item(ct_logsumexp_axes(F64(-1000, -1000), 1, &axis, false)),
                 -1000 + log(2), 1e-12);
    EXPECT(ct_logsumexp_axes(F64(1, INFINITY), 1, &axis, false), INFINITY);
    EXPECT(ct_logsumexp_axes(F64(1, NAN), 1, &axis, false), NAN);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

START_TEST(any_and_all)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *b = ct_reshape(ct_cast(I64(0, 1, 1, 0, 0, 0), CT_BOOL), CT_SHAPE(3, 2));
    ct_tensor *none = ct_zeros(CT_SHAPE(2, 0), CT_BOOL, DEVICE);
    const int axes[] = { 1, 0 };

    EXPECT(ct_any(b), 1);
    EXPECT(ct_all(b), 0);
    EXPECT(ct_any_axes(b, 1, axes, false), 1, 1, 0);
    EXPECT(ct_all_axes(ct_slice(b, 0, 0, 2, 1), 1, axes + 1, false), 0, 0);
    EXPECT(ct_all_axes(b, 2, axes, true), 0);
    EXPECT(ct_any_axes(none, 1, axes, false), 0, 0);
    EXPECT(ct_all_axes(none, 1, axes, false), 1, 1);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

START_TEST(sorting_is_stable)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = F64(2, NAN, 1, 2, -0.0, 0, NAN, 1), *k;

    EXPECT(ct_sort(x, 0, false, &k), 0, 0, 1, 1, 2, 2, NAN, NAN);
    EXPECT(k, 4, 5, 2, 7, 0, 3, 1, 6);
    EXPECT(ct_argsort(x, 0, true), 1, 6, 0, 3, 2, 7, 4, 5);
    EXPECT(ct_topk(x, 3, 0, true, &k), NAN, NAN, 2);
    EXPECT(k, 1, 6, 0);
    EXPECT(ct_topk(x, 3, 0, false, &k), 0, 0, 1);
    EXPECT(k, 4, 5, 2);
    ck_assert_int_eq(ct_numel(ct_topk(x, 0, 0, false, &k)), 0);
    EXPECT(ct_sort(ct_cast(I64(3, -1, 3, 2), CT_I32), -1, true, &k), 3, 3, 2, -1);
    EXPECT(k, 0, 2, 3, 1);
    EXPECT(ct_sort(I64(INT64_C(1) << 40, -(INT64_C(1) << 40)), 0, false, NULL), -0x1p40, 0x1p40);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

START_TEST(long_rows_are_sorted)
{
    ct_generator g = ct_generator_from_seed(_i);
    ct_scope s = ct_scope_begin();
    int64_t n = 1 + (int64_t)ct_random_below(&g, 1000), i, last = -1;
    ct_tensor *x = ct_floor(ct_mul_scalar(ct_rand(CT_SHAPE(n), CT_F32, DEVICE, &g), 50)), *k;
    double *v = values_of(ct_sort(x, 0, _i % 2, &k)), *at = values_of(k), *was = values_of(x);
    int64_t most = (int64_t)ct_random_below(&g, (uint64_t)(n < 64 ? n : 64) + 1);
    char *seen = calloc((size_t)n, 1);

    for (i = 0; i < n; i++) {
        bool tie = i > 0 && v[i] == v[i - 1];

        ck_assert(i == 0 || tie || (v[i] < v[i - 1]) == (_i % 2));
        ck_assert(!tie || at[i] > (double)last);
        last = (int64_t)at[i];
        ck_assert(!seen[last]++);
        ck_assert(was[last] == v[i]);
    }
    ck_assert_ptr_nonnull(ct_topk(x, most, 0, _i % 2, &k)); /* few are chosen another way */
    expect_values("topk", k, at, (size_t)most, 0);
    free(v);
    free(at);
    free(was);
    free(seen);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* |x| by way of a root, whose derivative at 0 is no number: 0 / 0 */
static ct_tensor *bad_abs(int count, ct_tensor *const *in, void *context)
{
    (void)count;
    (void)context;
    return ct_sqrt(ct_square(in[0]));
}

START_TEST(gradcheck_sees_a_nan_among_right_derivatives)
{
    ct_generator g = ct_generator_from_seed(1);
    ct_scope s = ct_scope_begin();
    ct_tensor *good = leaf(F64(1, -2)), *bad = leaf(F64(0, 1, -2));

    ck_assert(ct_gradcheck(bad_abs, 1, &good, NULL, &g, 0, 0));
    ck_assert(!ct_gradcheck(bad_abs, 1, &bad, NULL, &g, 0, 0));
    ck_assert_int_eq(ct_error(), CT_ERR_NUMERIC);
    ct_error_clear();
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* ---- arrangements of other dtypes, and views ---- */

/* More matrices than are looked through for a common step: 70 x 70, either factor repeated. */
START_TEST(products_of_many_matrices)
{
    ct_generator g = ct_generator_from_seed(13);
    ct_scope s = ct_scope_begin();
    ct_tensor *few = ct_randn(CT_SHAPE(70, 1, 1, 2), CT_F64, DEVICE, &g);
    ct_tensor *many = ct_randn(CT_SHAPE(70, 70, 2, 1), CT_F64, DEVICE, &g);
    double *a = values_of(few), *b = values_of(many), want[4900];
    int i;

    for (i = 0; i < 4900; i++)
        want[i] = a[i / 70 * 2] * b[2 * i] + a[i / 70 * 2 + 1] * b[2 * i + 1];
    expect_values("repeated on the left", ct_matmul(few, many), want, 4900, 1e-12);
    expect_values("on the right", ct_matmul(ct_transpose(many, 2, 3), ct_transpose(few, 2, 3)),
                  want, 4900, 1e-12);
    free(a);
    free(b);
    few = ct_randn(CT_SHAPE(2, 3), CT_F64, DEVICE, &g); /* of as many axes as there can be */
    many = ct_randn(CT_SHAPE(3, 2), CT_F64, DEVICE, &g);
    a = values_of(ct_matmul(few, many));
    expect_values("of rank 8",
                  ct_matmul(ct_reshape(few, CT_SHAPE(1, 1, 1, 1, 1, 1, 2, 3)),
                            ct_reshape(many, CT_SHAPE(1, 1, 1, 1, 1, 1, 3, 2))),
                  a, 4, 1e-15);
    free(a);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* One element more than whole pieces of work: what is cut into pieces has its last. */
START_TEST(one_more_than_whole_pieces)
{
    static const int64_t pieces[] = { 1, 64, 256, 512, 1024, 4096, 8192, 16384, 32768 };
    ct_generator g = ct_generator_from_seed(15);
    size_t k;
    int64_t i;

    for (k = 0; k < sizeof pieces / sizeof *pieces; k++) {
        const int64_t n = pieces[k] + 1;
        ct_scope s = ct_scope_begin();
        ct_tensor *x = ct_randn(CT_SHAPE(n), CT_F64, DEVICE, &g), *two, *m;
        double *v = values_of(x), *w, sum = 0, squares = 0, norm;
        ct_params *set = ct_params_new((ct_params_options){ .dtype = CT_F64, .device = DEVICE });
        ct_optimizer *sgd;

        for (i = 0; i < n; i++) {
            sum += v[i];
            squares += v[i] * v[i];
        }
        expect_close("sum", ct_item(ct_sum(x)), sum, 1e-9);
        expect_close(
            "least",
            ct_item(ct_min(ct_slice(
                ct_cat(2, (ct_tensor *[]){ x, ct_full(CT_SHAPE(1), -99, CT_F64, DEVICE) }, 0), 0, 0,
                n + 1, 1))),
            -99, 0);
        w = values_of(ct_mul_scalar(ct_add(x, x), 0.5)); /* elementwise */
        ck_assert(memcmp(v, w, (size_t)n * sizeof *v) == 0);
        free(w);
        two =
            ct_stack(2, (ct_tensor *[]){ x, ct_neg(x) }, 1); /* (n, 2): rows, and a wide product */
        w = values_of(ct_contiguous(ct_transpose(two, 0, 1)));
        ck_assert(memcmp(v, w, (size_t)n * sizeof *v) == 0);
        free(w);
        expect_close("softmax of the last row",
                     ct_item(ct_select(ct_select(ct_softmax(two, 1), 0, n - 1), 0, 0)),
                     1 / (1 + exp(-2 * v[n - 1])), 1e-12);
        expect_close("sum of the last row",
                     ct_item(ct_select(ct_sum_axes(two, 1, (int[]){ 1 }, false), 0, n - 1)), 0, 0);
        expect_close("column", ct_item(ct_select(ct_sum_axes(two, 1, (int[]){ 0 }, false), 0, 1)),
                     -sum, 1e-9);
        m = ct_matmul(two, ct_from_data((double[]){ 2, 3, 1, 1 }, CT_SHAPE(2, 2), CT_F64, DEVICE));
        for (i = 0; i < n; i += i < n - 3 ? n / 3 + 1 : 1)
            expect_close("product", ct_item(ct_select(ct_select(m, 0, i), 0, 1)), 2 * v[i], 1e-12);
        expect_close("the last product", ct_item(ct_select(ct_select(m, 0, n - 1), 0, 0)), v[n - 1],
                     1e-12);

        ct_params_add(set, "x", CT_SHAPE(n), ct_init_constant(0)); /* the norm and the update */
        sgd = ct_sgd_new(set, (ct_sgd_options){ .lr = 1 });
        ct_backward_with(ct_param_value(ct_params_get(set, "x")), x);
        ck_assert(ct_clip_grad_norm(set, 1e30, &norm) == CT_OK);
        expect_close("norm", norm, sqrt(squares), 1e-9);
        ck_assert(ct_optimizer_step(sgd) == CT_OK);
        w = values_of(ct_neg(ct_param_value(ct_params_get(set, "x"))));
        ck_assert(memcmp(v, w, (size_t)n * sizeof *v) == 0);
        free(w);
        ct_optimizer_free(sgd);
        ct_params_free(set);
        w = values_of(ct_dropout(ct_ones(CT_SHAPE(n), CT_F32, DEVICE), 0.5, &g));
        for (i = 0; i < n; i++)
            if (w[i] != 0 && w[i] != 2)
                ck_abort_msg("dropout made %g of element %lld of %lld", w[i], (long long)i,
                             (long long)n);
        free(w);
        free(v);
        ck_assert_msg(ct_scope_end(s) == CT_OK, "%s", ct_error_message());
    }
}
END_TEST

/* A batch of matrices (.., rows, columns) whose axes may be 1, missing, expanded, out of order and
 * with steps; *values are those of the whole batch, each axis broadcast. */
static ct_tensor *some_matrices(ct_generator *g, ct_shape batch, int64_t rows, int64_t columns,
                                double **values)
{
    ct_shape own = batch, whole = batch;
    int i, lead = (int)ct_random_below(g, (uint64_t)batch.rank + 1);
    ct_tensor *t;

    for (i = 0; i < batch.rank; i++)
        if (ct_random_below(g, 3) == 0)
            own.dim[i] = 1;
    for (i = 0; i < batch.rank - lead; i++)
        own.dim[i] = own.dim[i + lead];
    own.rank -= lead;
    own.dim[own.rank++] = ct_random_below(g, 2) ? rows : -rows;
    own.dim[own.rank++] = columns;
    i = own.rank - 2;
    if (own.dim[i] < 0) { /* transposed */
        own.dim[i] = columns;
        own.dim[i + 1] = rows;
        t = ct_transpose(ct_randn(own, CT_F64, DEVICE, g), -1, -2);
    } else {
        own.dim[i] = 2 * rows; /* every second row */
        t = ct_slice(ct_randn(own, CT_F64, DEVICE, g), i, 0, 2 * rows, 2);
    }
    if (own.rank > 3 && ct_random_below(g, 2)) {
        own = ct_tensor_shape(t);
        t = ct_clone(ct_transpose(t, 0, 1));
        t = ct_transpose(t, 0, 1);
    }
    whole.dim[whole.rank++] = rows;
    whole.dim[whole.rank++] = columns;
    *values = values_of(ct_contiguous(ct_expand(t, whole)));
    if (ct_random_below(g, 3) == 0) { /* an axis that is expanded, not 1 */
        own = ct_tensor_shape(t);
        for (i = 1; i <= own.rank - 2; i++)
            own.dim[own.rank - 2 - i] = batch.dim[batch.rank - i];
        t = ct_expand(t, own);
    }
    return t;
}

START_TEST(products_of_any_batches)
{
    ct_generator g = ct_generator_from_seed(12);
    int round, i;

    for (round = 0; round < harness_count(harness_rounds(10, 120), 2000); round++) {
        ct_scope s = ct_scope_begin();
        ct_shape batch = { .rank = 1 + (int)ct_random_below(&g, 3) };
        int64_t m = 1 + (int64_t)ct_random_below(&g, 4), n = 1 + (int64_t)ct_random_below(&g, 4);
        int64_t k = (int64_t)ct_random_below(&g, 5), count = 1, r, c, l;
        double *a, *b, *want, sum;
        ct_tensor *x, *y, *z;

        for (i = 0; i < batch.rank; i++) {
            batch.dim[i] = 1 + (int64_t)ct_random_below(&g, 3);
            count *= batch.dim[i];
        }
        k += round % 11 != 0;
        x = some_matrices(&g, batch, m, k, &a);
        y = some_matrices(&g, batch, k, n, &b);
        want = calloc((size_t)(count * m * n) + 1, sizeof *want);
        for (i = 0; i < count; i++)
            for (r = 0; r < m; r++)
                for (c = 0; c < n; c++) {
                    for (l = 0, sum = 0; l < k; l++)
                        sum += a[(i * m + r) * k + l] * b[(i * k + l) * n + c];
                    want[(i * m + r) * n + c] = sum;
                }
        z = ct_matmul(x, y);
        ck_assert_msg(z != NULL, "%s", ct_error_message());
        batch.dim[batch.rank++] = m;
        batch.dim[batch.rank++] = n;
        z = ct_expand(z, batch); /* where both are narrower */
        expect_values("product", z, want, (size_t)(count * m * n), 1e-12);
        free(a);
        free(b);
        free(want);
        ck_assert_msg(ct_scope_end(s) == CT_OK, "%s", ct_error_message());
    }
}
END_TEST

START_TEST(arrangements_take_any_dtype)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *b = ct_cast(I64(1, 0, 0), CT_BOOL), *h = ct_cast(F64(1, 2, 3), CT_BF16);
    ct_tensor *m = ct_reshape(ct_arange(1, 7, 1, CT_I32, DEVICE), CT_SHAPE(2, 3));
    const int axes[] = { 0, -1 };

    EXPECT(ct_flip(b, 1, axes), 0, 0, 1);
    EXPECT(ct_cast(ct_flip(h, 1, axes), CT_F32), 3, 2, 1);
    EXPECT(ct_flip(m, 2, axes), 6, 5, 4, 3, 2, 1);
    EXPECT(ct_flip(m, 0, NULL), 1, 2, 3, 4, 5, 6);
    EXPECT(ct_roll(m, -4, 1), 2, 3, 1, 5, 6, 4);
    EXPECT(ct_tril(m, 0), 1, 0, 0, 4, 5, 0);
    EXPECT(ct_triu(m, INT64_MAX), 0, 0, 0, 0, 0, 0);
    EXPECT(ct_triu(m, INT64_MIN), 1, 2, 3, 4, 5, 6);
    EXPECT(ct_pad(b, 2, (int64_t[]){ 1, 2 }, 1), 1, 1, 0, 0, 1, 1);
    EXPECT(ct_repeat(I64(1, 2), 2, (int64_t[]){ 2, 2 }), 1, 2, 1, 2, 1, 2, 1, 2);
    EXPECT(ct_gather(b, 0, I64(0, 0, 2, 0)), 1, 1, 0, 1);
    EXPECT(ct_take(m, I64(5, 0)), 6, 1);
    EXPECT(ct_scatter_add(I64(1, 1), 0, I64(1, 1, 0), I64(5, 6, 7)), 8, 12);
    EXPECT(ct_cumsum(m, 0), 1, 2, 3, 5, 7, 9);
    EXPECT(ct_outer(I64(1, 2), I64(3, 4)), 3, 4, 6, 8);
    EXPECT(ct_full_like(m, 7), 7, 7, 7, 7, 7, 7);
    ck_assert_int_eq(ct_tensor_dtype(ct_zeros_like(b)), CT_BOOL);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* Parts of different lengths, around the number whose lengths fit in a stack buffer: each part gets
 * its own range of the gradient. */
START_TEST(many_parts_of_a_cat)
{
    static const int counts[] = { 255, 256, 257, 600 };
    ct_scope s = ct_scope_begin();
    ct_tensor *parts[600], *y;
    int64_t length = 0;
    int i;

    for (i = 0; i < counts[_i]; i++) {
        parts[i] = ct_set_requires_grad(ct_zeros(CT_SHAPE(i % 4), CT_F64, DEVICE), i % 3 != 1);
        length += i % 4;
    }
    y = ct_cat(counts[_i], parts, 0);
    ck_assert_int_eq(ct_numel(y), length);
    ck_assert(ct_backward_with(y, ct_arange(0, (double)length, 1, CT_F64, DEVICE)) == CT_OK);
    for (i = 0, length = 0; i < counts[_i]; length += i++ % 4) {
        const double d = (double)length;

        if (i % 3 == 1)
            ck_assert_ptr_null(ct_tensor_grad(parts[i]));
        else
            expect_values("part", ct_tensor_grad(parts[i]), (double[]){ d, d + 1, d + 2 },
                          (size_t)(i % 4), 0);
    }
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

START_TEST(a_repeat_is_no_view)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = F64(1, 2), *y = ct_repeat(x, 1, (int64_t[]){ 1 });

    ck_assert(ct_fill(x, 9) == CT_OK);
    EXPECT(y, 1, 2);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* A view of (4, 6, 4) with strides of any kind. */
static ct_tensor *strange_view(ct_generator *g)
{
    ct_tensor *x = ct_randn(CT_SHAPE(4, 6, 4), CT_F64, DEVICE, g);
    int k;

    for (k = 0; k < 3; k++) {
        int axis = (int)ct_random_below(g, (uint64_t)ct_rank(x));

        switch (ct_random_below(g, 6)) {
        case 0:
            x = ct_transpose(x, axis, 0);
            break;
        case 1:
            x = ct_narrow(x, axis, 0, 1 + ct_size(x, axis) / 2);
            break;
        case 2:
            x = ct_slice(x, axis, 0, ct_size(x, axis), 2);
            break;
        case 3:
            x = ct_rank(x) < 5 ? ct_unsqueeze(x, axis) : x;
            break;
        case 4:
            x = ct_rank(x) > 1 ? ct_select(x, axis, 0) : x;
            break;
        default:
            break;
        }
    }
    return x;
}

/* A random shape of n elements. */
static ct_shape random_factors(int64_t n, ct_generator *g)
{
    ct_shape shape = CT_SCALAR;

    while (shape.rank < 5 && (n > 1 || ct_random_below(g, 2))) {
        int64_t d = 1 + (int64_t)ct_random_below(g, (uint64_t)n);

        d = shape.rank == 4 ? n : d;
        while (n % d)
            d--;
        shape.dim[shape.rank++] = d;
        n /= d;
    }
    return shape;
}

/* Where element number i of t lies, by its strides; strides NULL: row-major ones. */
static int64_t place_of(const ct_shape *shape, const int64_t *stride, int64_t i)
{
    int64_t at = 0;
    int k;

    for (k = shape->rank - 1; k >= 0; k--) {
        at += i % shape->dim[k] * stride[k];
        i /= shape->dim[k];
    }
    return at;
}

/* Whether strides exist for shape that give x's elements in order: those of a step along each axis,
 * then, must do. */
static bool can_be_view(const ct_tensor *x, const ct_shape *shape)
{
    int64_t stride[CT_MAX_RANK], step = 1, i;
    int k;

    for (k = shape->rank - 1; k >= 0; k--) {
        stride[k] = shape->dim[k] > 1 ? place_of(&x->shape, x->stride, step) : 0;
        step *= shape->dim[k];
    }
    for (i = 0; i < x->numel; i++)
        if (place_of(shape, stride, i) != place_of(&x->shape, x->stride, i))
            return false;
    return true;
}

START_TEST(a_reshape_is_a_view_where_it_can_be)
{
    ct_generator g = ct_generator_from_seed(8);
    int rounds = harness_count(2000, 50000), views = 0, copies = 0, round;

    for (round = 0; round < rounds; round++) {
        ct_scope s = ct_scope_begin();
        ct_tensor *x = strange_view(&g), *y = ct_reshape(x, random_factors(ct_numel(x), &g));
        bool view = y && y->storage == x->storage;
        double *a, *b;

        ck_assert_msg(y && view == can_be_view(x, &y->shape), "round %d: %s is %s: %s", round,
                      cti_describe(x).s, view ? "a view" : "copied", ct_error_message());
        views += view;
        copies += !view;
        a = values_of(ct_contiguous(x));
        b = values_of(ct_contiguous(y));
        ck_assert_mem_eq(a, b, (size_t)ct_numel(x) * sizeof *a);
        free(a);
        free(b);
        ck_assert(ct_scope_end(s) == CT_OK);
    }
    ck_assert(views > rounds / 5 && copies > rounds / 5);
}
END_TEST

START_TEST(parts_of_a_split_are_views)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = F64(1, 2, 3, 4, 5, 6), *parts[3];

    ck_assert(ct_split(x, 3, NULL, 0, parts) == CT_OK);
    EXPECT(parts[2], 5, 6);
    ck_assert(ct_split(x, 3, (int64_t[]){ 1, 0, 5 }, -1, parts) == CT_OK);
    ck_assert_int_eq(ct_numel(parts[1]), 0);
    ck_assert(ct_fill(parts[0], 9) == CT_OK);
    EXPECT(x, 9, 2, 3, 4, 5, 6);
    ck_assert(ct_to(x, DEVICE) == x);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* ---- draws ---- */

START_TEST(dropout_drops_and_scales)
{
    const int64_t n = 40001;
    const double p = 0.3;
    ct_generator g = ct_generator_from_seed(7), again = g, later;
    ct_scope s = ct_scope_begin();
    ct_tensor *x = leaf(ct_ones(CT_SHAPE(n), CT_F64, DEVICE)), *y = ct_dropout(x, p, &g);
    double *v = values_of(y), *w, *d;
    int64_t dropped = 0, i;

    later = g;
    ck_assert_int_eq(g.position, (uint64_t)(n + 3) / 4 * 4);
    for (i = 0; i < n; i++) {
        ck_assert(v[i] == 0 || v[i] == 1 / (1 - p));
        dropped += v[i] == 0;
    }
    /* 5 standard deviations */
    expect_close("share", (double)dropped, p * (double)n, 5 * sqrt((double)n * p * (1 - p)));
    ck_assert(ct_set_num_threads(3) == CT_OK);
    w = values_of(ct_dropout(x, p, &again));
    ck_assert(ct_set_num_threads(1) == CT_OK);
    ck_assert_mem_eq(v, w, (size_t)n * sizeof *v); /* the same places */
    d = values_of(gradient(y, x, ct_ones_like(x)));
    ck_assert_mem_eq(v, d, (size_t)n * sizeof *v);
    free(w);
    w = values_of(ct_dropout(x, p, &later));
    ck_assert_mem_ne(v, w, (size_t)n * sizeof *v);
    free(v);
    free(w);
    free(d);
    EXPECT(ct_dropout(F64(1, 2, 3), 0, &g), 1, 2, 3);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

START_TEST(dropout_of_f32_takes_the_same_places)
{
    ct_generator g = ct_generator_from_seed(3), again = g;
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_full(CT_SHAPE(5, 7), 3, CT_F32, DEVICE);
    double *v = values_of(ct_dropout(x, 0.5, &g));
    double *w = values_of(ct_dropout(ct_cast(x, CT_F64), 0.5, &again));

    ck_assert_mem_eq(v, w, 35 * sizeof *v);
    free(v);
    free(w);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* Draws begin with a whole block of four words, and take whole ones: one word for each element that
 * may be dropped, two for each position drawn. */
START_TEST(draws_take_whole_blocks)
{
    ct_scope s = ct_scope_begin();
    uint64_t at;
    int n;

    for (at = 0; at <= 5; at++)
        for (n = 0; n <= 9; n++) {
            const uint64_t first = (at + 3) / 4 * 4;
            ct_tensor *x = ct_ones(CT_SHAPE(n), CT_F64, DEVICE), *w, *y;
            ct_generator g = ct_generator_from_seed(3), whole = ct_generator_from_seed(3);

            g.position = at;
            whole.position = first;
            y = ct_dropout(x, 0.5, &g);
            ck_assert(same_bytes(y, ct_dropout(x, 0.5, &whole)));
            ck_assert_uint_eq(g.position, first + ((uint64_t)n + 3) / 4 * 4);
            w = ct_ones(CT_SHAPE(n, 5), CT_F64, DEVICE);
            g.position = at;
            whole.position = first;
            y = ct_multinomial(w, 3, true, &g);
            ck_assert(same_bytes(y, ct_multinomial(w, 3, true, &whole)));
            ck_assert_uint_eq(g.position, first + ((uint64_t)n * 6 + 3) / 4 * 4);
            ck_assert_uint_eq(whole.position, g.position);
            REFUSED(CT_ERR_ARGUMENT, "ct_dropout", "p 1", ct_dropout(x, 1, &g));
            ck_assert_uint_eq(whole.position, g.position); /* what is refused draws nothing */
        }
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

START_TEST(multinomial_follows_the_weights)
{
    const int64_t n = 20000;
    const double share[] = { 0.1, 0, 0.6, 0.3 };
    ct_generator g = ct_generator_from_seed(5), again = g;
    ct_scope s = ct_scope_begin();
    ct_tensor *w = ct_cast(F64(1, 0, 6, 3), CT_F32);
    double *v = values_of(ct_multinomial(w, n, true, &g)), count[4] = { 0 };
    double *u = values_of(ct_multinomial(w, n, true, &again));
    int64_t i;

    ck_assert_mem_eq(u, v, (size_t)n * sizeof *v);
    ck_assert_int_eq(g.position, 2 * (uint64_t)n);
    for (i = 0; i < n; i++)
        count[(int)v[i]]++;
    for (i = 0; i < 4; i++)
        expect_close("share", count[i], share[i] * (double)n,
                     5 * sqrt((double)n * share[i] * (1 - share[i])));
    free(v);
    free(u);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

START_TEST(multinomial_draws_are_independent)
{
    const int n = 8000;
    ct_generator g = ct_generator_from_seed(9);
    ct_scope s = ct_scope_begin();
    double *v = values_of(ct_multinomial(ct_ones(CT_SHAPE(16), CT_F64, DEVICE), n, true, &g));
    int gap, i;

    for (gap = 1; gap <= 4; gap++) { /* pairs of which both are the same: 1 in 16 */
        double same = 0;

        for (i = 0; i + gap < n; i++)
            same += v[i] == v[i + gap];
        expect_close("pairs", same, n / 16.0, 6 * sqrt(n * 15 / 256.0));
    }
    free(v);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

START_TEST(multinomial_without_replacement_repeats_none)
{
    ct_generator g = ct_generator_from_seed(6);
    ct_scope s = ct_scope_begin();
    ct_tensor *w = F64(1, 0, 6, 3, 1), *rows = ct_expand(w, CT_SHAPE(500, 5));
    double *v = values_of(ct_multinomial(rows, 4, false, &g)), first = 0;
    int i, j;

    for (i = 0; i < 500; i++) {
        int seen = 0;

        for (j = 0; j < 4; j++)
            seen |= 1 << (int)v[4 * i + j];
        ck_assert_int_eq(seen, 1 | 4 | 8 | 16);
        first += v[4 * i] == 2;
    }
    expect_close("first", first, 500 * 6 / 11.0, 5 * sqrt(500 * 6 * 5 / 121.0));
    free(v);
    EXPECT(w, 1, 0, 6, 3, 1); /* not written */
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* ---- losses at their edges ---- */

START_TEST(losses_stay_finite)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = leaf(F64(1000, -1000, 1000, -1000, 0)), *t = F64(1, 0, 0, 1, 1);
    ct_tensor *y = ct_bce_with_logits(x, t, (ct_bce_options){ .reduction = CT_REDUCTION_NONE }), *g,
              *two, *last;
    ct_cross_entropy_options skip = { .has_ignore_index = true, .ignore_index = -100 };

    expect_values("bce", y, (double[]){ 0, 0, 1000, 1000, log(2) }, 5, 1e-12);
    g = gradient(y, x, ct_ones_like(x));
    EXPECT(g, 0, 0, 1, -1, -0.5);
    two = leaf(ct_reshape(F64(-1, -2, -3, -4), CT_SHAPE(2, 2)));
    last = ct_nll_loss(two, I64(-100, 1), skip);
    EXPECT(last, 4);
    EXPECT(gradient(last, two, NULL), 0, 0, 0, -1);
    EXPECT(ct_nll_loss(two, I64(-100, -100), skip), NAN); /* the mean of nothing */
    skip.reduction = CT_REDUCTION_SUM;
    EXPECT(ct_nll_loss(two, I64(-100, -100), skip), 0);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* Cross-entropy and logsumexp of {c, c + 1, c - 2}: neither loss - c nor gradient depends on c. The
 * values are from 200-bit arithmetic. */
static void check_offset(double c, ct_dtype dtype)
{
    const double p[3] = { 0.25949646034241911748, 0.70538451269824115833, 0.035119026959339724188 };
    const double turn[3] = { 0.19215804741217441972, -0.18304478422555577114,
                             -0.0091132631866186485824 }; /* of p[0] */
    const double near = dtype == CT_F32 ? 2e-6 : 1e-14;
    static const int axis = 1;
    ct_scope s = ct_scope_begin();
    ct_tensor *x =
        leaf(ct_cast(ct_reshape(F64(c, c + 1, c - 2, c, c + 1, c - 2), CT_SHAPE(2, 3)), dtype));
    ct_tensor *target = I64(0, -100), *weight = ct_cast(F64(1, 1, 1), dtype), *loss, *g, *h;
    int weighted, smooth, reduction, i;

    for (i = 0; i < 12; i++) {
        weighted = i / 6;
        smooth = i / 3 % 2;
        reduction = i % 3;
        loss =
            ct_cross_entropy_with(x, target,
                                  (ct_cross_entropy_options){ .reduction = (ct_reduction)reduction,
                                                              .label_smoothing = smooth ? 0.1 : 0,
                                                              .has_ignore_index = true,
                                                              .ignore_index = -100,
                                                              .weight = weighted ? weight : NULL });
        if (reduction == CT_REDUCTION_NONE)
            loss = ct_sum(loss);
        expect_close("loss", ct_item(loss), smooth ? 1.3823455501015197188 : 1.3490122167681863854,
                     near);
        ck_assert(ct_grad(1, &loss, 1, &x, NULL, true, &g) == CT_OK);
        h = ct_sum(ct_select(ct_select(g, 0, 0), 0, 0));
        expect_values("gradient", ct_select(g, 0, 0),
                      smooth ? (double[]){ p[0] - 0.9 - 0.1 / 3, p[1] - 0.1 / 3, p[2] - 0.1 / 3 }
                             : (double[]){ p[0] - 1, p[1], p[2] },
                      3, near);
        EXPECT(ct_select(g, 0, 1), 0, 0, 0); /* ignored */
        expect_values("second derivative", ct_select(gradient(h, x, NULL), 0, 0), turn, 3, near);
    }
    loss = ct_sum(ct_logsumexp_axes(x, 1, &axis, false));
    expect_values("logsumexp", ct_select(gradient(loss, x, NULL), 0, 1), p, 3, near);
    ck_assert(ct_scope_end(s) == CT_OK);
}

START_TEST(an_offset_of_the_scores_changes_nothing)
{
    static const double f32[] = { 0, 1e4, -1e4, 1e5, 1e6, 1e7 }, f64[] = { 0, 1e4, 1e15, -1e15 };
    size_t i;

    for (i = 0; i < sizeof f32 / sizeof *f32; i++)
        check_offset(f32[i], CT_F32);
    for (i = 0; i < sizeof f64 / sizeof *f64; i++)
        check_offset(f64[i], CT_F64);
}
END_TEST

/* Every target ignored, with a weight and smoothing: the loss is the mean of nothing, and no logit
 * has a part in it. */
START_TEST(ignored_targets_have_no_gradient)
{
    int i;

    for (i = 0; i < 8; i++) {
        ct_scope s = ct_scope_begin();
        ct_tensor *x = leaf(ct_reshape(F64(1, 2, 3, 4), CT_SHAPE(2, 2))), *g, *loss;
        ct_cross_entropy_options o = { .reduction = i & 4 ? CT_REDUCTION_SUM : CT_REDUCTION_MEAN,
                                       .label_smoothing = i & 1 ? 0.1 : 0,
                                       .has_ignore_index = true,
                                       .ignore_index = -100,
                                       .weight = i & 2 ? F64(1, 2) : NULL };

        loss = ct_cross_entropy_with(x, I64(-100, -100), o);
        EXPECT(loss, i & 4 ? 0 : NAN);
        ck_assert(ct_grad(1, &loss, 1, &x, NULL, true, &g) == CT_OK);
        EXPECT(g, 0, 0, 0, 0);
        EXPECT(gradient(ct_sum(g), x, NULL), 0, 0, 0, 0);
        ck_assert(ct_scope_end(s) == CT_OK);
    }
}
END_TEST

/* ---- memory that is counted, and fails ---- */

static struct {
    void *(*allocate)(size_t alignment, size_t bytes);
    int64_t made;
    size_t bytes; /* of those */
    int64_t left; /* until one fails; -1: none does */
    bool failed;
} memory;

static void *counting(size_t alignment, size_t bytes)
{
    memory.made++;
    memory.bytes += bytes;
    return memory.allocate(alignment, bytes);
}

static void count_memory(bool on)
{
    if (on) {
        memory.allocate = cti_memory_calls.allocate;
        cti_memory_calls.allocate = counting;
    } else {
        cti_memory_calls.allocate = memory.allocate;
    }
}

/* ---- misuse ---- */

static const int no_axis[] = { 0, 5 }, twice[] = { 1, -1 }, first[] = { 0 };

/* Shapes that differ in one axis, wherever it is and whichever has more axes. */
START_TEST(broadcasts_refuse)
{
    static const int64_t whole[] = { 2, 3, 4, 5 };
    int rank, less, axis;

    for (rank = 1; rank <= 4; rank++)
        for (less = 0; less < rank; less++)
            for (axis = less; axis < rank; axis++) {
                ct_scope s = ct_scope_begin();
                ct_shape a = ct_shape_from_sizes(rank, whole),
                         b = ct_shape_from_sizes(rank - less, whole + less);
                ct_tensor *x, *y;
                char word[100];

                b.dim[axis - less] = 7;
                x = ct_zeros(a, CT_F32, DEVICE);
                y = ct_zeros(b, CT_F32, DEVICE);
                snprintf(word, sizeof word, "broadcast ... axis %d: %d vs 7", axis,
                         (int)whole[axis]);
                REFUSED(CT_ERR_SHAPE, "ct_add", word, ct_add(x, y));
                snprintf(word, sizeof word, "broadcast ... axis %d: 7 vs %d", axis,
                         (int)whole[axis]);
                REFUSED(CT_ERR_SHAPE, "ct_maximum", word, ct_maximum(y, x));
                ck_assert(ct_where(ct_ones(CT_SCALAR, CT_BOOL, DEVICE), x, y) == NULL);
                ck_assert_int_eq(ct_error(), CT_ERR_SHAPE);
                ct_error_clear();
                ck_assert(ct_scope_end(s) == CT_OK || ct_ok());
            }
}
END_TEST

/* Along one axis: the same bits as over a list of one axis. */
START_TEST(one_axis)
{
    ct_scope s = ct_scope_begin();
    ct_generator g = ct_generator_from_seed(3);

    for (int axis = -3; axis < 3; axis++)
        for (int keep = 0; keep < 2; keep++) {
            ct_tensor *x = ct_randn(CT_SHAPE(2, 5, 3), CT_F64, DEVICE, &g);
            ct_tensor *b = ct_gt(x, ct_zeros_like(x));
            ct_tensor *pairs[][2] = {
                { ct_sum_axis(x, axis, keep), ct_sum_axes(x, 1, &axis, keep) },
                { ct_mean_axis(x, axis, keep), ct_mean_axes(x, 1, &axis, keep) },
                { ct_prod_axis(x, axis, keep), ct_prod_axes(x, 1, &axis, keep) },
                { ct_amax_axis(x, axis, keep), ct_amax_axes(x, 1, &axis, keep) },
                { ct_amin_axis(x, axis, keep), ct_amin_axes(x, 1, &axis, keep) },
                { ct_logsumexp_axis(x, axis, keep), ct_logsumexp_axes(x, 1, &axis, keep) },
                { ct_any_axis(b, axis, keep), ct_any_axes(b, 1, &axis, keep) },
                { ct_all_axis(b, axis, keep), ct_all_axes(b, 1, &axis, keep) },
                { ct_var_axis(x, axis, 0.5, keep), ct_var_axes(x, 1, &axis, 0.5, keep) },
                { ct_std_axis(x, axis, 0.5, keep), ct_std_axes(x, 1, &axis, 0.5, keep) },
                { ct_norm_axis(x, 3, axis, keep), ct_norm_axes(x, 3, 1, &axis, keep) },
            };

            for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
                ck_assert(pairs[i][0] && pairs[i][1]);
                ck_assert_int_eq(ct_rank(pairs[i][0]), keep ? 3 : 2);
                ck_assert_msg(same_bytes(pairs[i][0], pairs[i][1]), "number %zu", i);
            }
        }
    REFUSED(CT_ERR_SHAPE, "ct_sum_axis", "axis 3",
            ct_sum_axis(ct_zeros(CT_SHAPE(2, 5, 3), CT_F64, DEVICE), 3, false));
    EXPECT_NO_VALUE(ct_sum_axis(NULL, 0, false));
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

START_TEST(reductions_refuse)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_ones(CT_SHAPE(2, 3), CT_F32, DEVICE), *i = ct_cast(x, CT_I64), *k = x;
    ct_tensor *b = ct_cast(x, CT_BOOL), *none = ct_ones(CT_SHAPE(2, 0), CT_F64, DEVICE);

    REFUSED(CT_ERR_SHAPE, "ct_prod_axes", "axis 5", ct_prod_axes(x, 2, no_axis, false));
    REFUSED(CT_ERR_SHAPE, "ct_prod_axes", "twice", ct_prod_axes(x, 2, twice, false));
    REFUSED(CT_ERR_DTYPE, "ct_prod", "numbers", ct_prod(b));
    REFUSED(CT_ERR_DTYPE, "ct_max", "numbers", ct_max(b));
    REFUSED(CT_ERR_SHAPE, "ct_max", "size 0", ct_max(none));
    REFUSED(CT_ERR_SHAPE, "ct_min", "size 0", ct_min(none));
    REFUSED(CT_ERR_SHAPE, "ct_amax_axes", "axis 5", ct_amax_axes(x, 2, no_axis, true));
    REFUSED(CT_ERR_SHAPE, "ct_amin_axes", "size 0", ct_amin_axes(none, 1, twice, true));
    REFUSED(CT_ERR_SHAPE, "ct_max_axis", "axis 2", ct_max_axis(x, 2, false, &k));
    ck_assert_ptr_null(k);
    REFUSED(CT_ERR_SHAPE, "ct_min_axis", "size 0", ct_min_axis(none, 1, false, NULL));
    REFUSED(CT_ERR_DTYPE, "ct_var", "f32 or f64", ct_var(i));
    REFUSED(CT_ERR_DTYPE, "ct_std", "f32 or f64", ct_std(i));
    REFUSED(CT_ERR_ARGUMENT, "ct_var_axes", "correction nan",
            ct_var_axes(x, 1, first, (double)NAN, false));
    REFUSED(CT_ERR_SHAPE, "ct_std_axes", "axis -1 of f32[2,3]", ct_std_axes(x, 2, twice, 1, false));
    REFUSED(CT_ERR_ARGUMENT, "ct_norm", "p is not a number", ct_norm(x, (double)NAN));
    REFUSED(CT_ERR_SHAPE, "ct_norm", "axis 1 of x f64[2,0]", ct_norm(none, -0.5));
    REFUSED(CT_ERR_DTYPE, "ct_norm", "x bool[2,3] cpu must be f32 or f64", ct_norm(b, 2));
    REFUSED(CT_ERR_ARGUMENT, "ct_norm_axes", "p is not a number",
            ct_norm_axes(x, (double)NAN, 1, first, false));
    REFUSED(CT_ERR_SHAPE, "ct_norm_axes", "axis 1 of x f64[2,0]",
            ct_norm_axes(none, INFINITY, 1, twice, false));
    REFUSED(CT_ERR_SHAPE, "ct_logsumexp_axes", "axis 1 of x f64[2,0]",
            ct_logsumexp_axes(none, 1, twice, false));
    REFUSED(CT_ERR_DTYPE, "ct_logsumexp_axes", "x i64[2,3]", ct_logsumexp_axes(i, 1, first, false));
    REFUSED(CT_ERR_DTYPE, "ct_any", "x f32[2,3]", ct_any(x));
    REFUSED(CT_ERR_DTYPE, "ct_all", "x i64[2,3]", ct_all(i));
    REFUSED(CT_ERR_SHAPE, "ct_any_axes", "axis 5 is not an axis of bool[2,3] cpu",
            ct_any_axes(b, 2, no_axis, false));
    REFUSED(CT_ERR_SHAPE, "ct_all_axes", "axis -1 of bool[2,3] cpu is listed twice",
            ct_all_axes(b, 2, twice, false));
    REFUSED(CT_ERR_SHAPE, "ct_cumsum", "axis -3 is not an axis of f32[2,3]", ct_cumsum(x, -3));
    REFUSED(CT_ERR_DTYPE, "ct_cumsum", "x bool[2,3] cpu must be of numbers", ct_cumsum(b, 0));
    EXPECT_NO_VALUE(ct_prod(NULL));
    EXPECT_NO_VALUE(ct_amax_axes(NULL, 0, NULL, false));
    EXPECT_NO_VALUE(ct_var_axes(NULL, 0, NULL, 1, false));
    EXPECT_NO_VALUE(ct_norm(NULL, 0));
    EXPECT_NO_VALUE(ct_logsumexp_axes(NULL, 0, NULL, false));
    EXPECT_NO_VALUE(ct_any(NULL));
    EXPECT_NO_VALUE(ct_cumsum(NULL, 0));
    k = x;
    EXPECT_NO_VALUE(ct_max_axis(NULL, 0, false, &k));
    ck_assert_ptr_null(k);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* Sizes that BLAS cannot take, of tensors without elements; the largest that it can. */
START_TEST(products_that_are_too_large)
{
    const int64_t most = INT32_MAX, more = most + 1;
    ct_scope s = ct_scope_begin();
    int i;

#define NOTHING(rows, columns) ct_zeros(CT_SHAPE(rows, columns), CT_F32, DEVICE)
    REFUSED(CT_ERR_SHAPE, "ct_matmul", "too large", ct_matmul(NOTHING(0, more), NOTHING(more, 0)));
    REFUSED(CT_ERR_SHAPE, "ct_matmul", "too large", ct_matmul(NOTHING(0, 0), NOTHING(0, more)));
    REFUSED(CT_ERR_SHAPE, "ct_linear", "too large",
            ct_linear(NOTHING(0, more), NOTHING(0, more), NULL));
    REFUSED(CT_ERR_SHAPE, "ct_linear", "too large",
            ct_linear(NOTHING(0, 0), NOTHING(more, 0), NULL));
    for (i = 0; i < 2; i++) { /* as many rows as you like */
        ck_assert(ct_matmul(NOTHING(i ? more : 0, i ? 0 : most), NOTHING(i ? 0 : most, 0)));
        ck_assert(ct_matmul(NOTHING(0, 0), NOTHING(0, most)));
        ck_assert(ct_linear(NOTHING(i ? more : 0, i ? 0 : most), NOTHING(0, i ? 0 : most), NULL));
        ck_assert(ct_linear(NOTHING(0, 0), NOTHING(most, 0), NULL));
    }
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

static size_t taken_by_product(ct_tensor *a, ct_tensor *b, ct_tensor **y)
{
    memory.bytes = 0;
    *y = ct_matmul(a, b);
    return memory.bytes;
}

/* Views of a matrix, by the strides; and whether BLAS can read them as they lie. */
START_TEST(products_copy_no_matrix_that_has_a_dense_axis)
{
    enum { N = 16384 };
    static const struct {
        const char *what;
        int64_t rows, columns; /* of the buffer */
        bool transposed;
        int64_t from_row, rows_shown, from_column, columns_shown, step; /* of the columns */
        bool copied;
        int64_t times; /* the first row, so many times */
    } cases[] = {
        { "whole", N, 4, false, 0, N, 0, 4, 1, false, 0 },
        { "transposed", 4, N, true, 0, 4, 0, N, 1, false, 0 },
        { "wide, transposed", N, 4, true, 0, N, 0, 4, 1, false, 0 },
        { "some columns", N, 6, false, 0, N, 1, 4, 1, false, 0 },
        { "some columns, transposed", 6, N, true, 1, 4, 0, N, 1, false, 0 },
        { "one column", N, 3, false, 0, N, 1, 1, 1, false, 0 },
        { "one column as a row", N, 3, true, 0, N, 1, 1, 1, false, 0 },
        { "one row", 3, N, false, 1, 1, 0, N, 1, false, 0 },
        { "one row as a column", 3, N, true, 1, 1, 0, N, 1, false, 0 },
        { "one column by steps", N, 3, false, 0, N, 0, 3, 3, false, 0 },
        { "one column by steps as a row", N, 3, true, 0, N, 0, 3, 3, true, 0 },
        { "one row, made of a vector", 3, N, false, 1, 1, 0, N, 1, false, 1 },
        { "one row, made of a part of it", 3, N, false, 1, 1, 0, N, 2, true, 1 },
        { "one row, made of a vector, as a column", 3, N, true, 1, 1, 0, N, 1, false, 1 },
        { "one row four times", 3, N, false, 1, 1, 0, N, 1, true, 4 },
        { "one row four times, transposed", 3, N, true, 1, 1, 0, N, 1, true, 4 },
        { "every second column", N, 8, false, 0, N, 0, 8, 2, true, 0 },
        { "every second column, transposed", N, 8, true, 0, N, 0, 8, 2, true, 0 },
    };
    ct_generator g = ct_generator_from_seed(4);
    size_t i;

    count_memory(true);
    for (i = 0; i < sizeof cases / sizeof *cases; i++) {
        ct_scope s = ct_scope_begin();
        ct_tensor *x = ct_randn(CT_SHAPE(cases[i].rows, cases[i].columns), CT_F64, DEVICE, &g);
        ct_tensor *v, *y, *lies;
        size_t plain, taken;
        double *want;

        x = ct_narrow(x, 0, cases[i].from_row, cases[i].rows_shown);
        x = ct_slice(x, 1, cases[i].from_column, cases[i].from_column + cases[i].columns_shown,
                     cases[i].step);
        if (cases[i].times)
            x = ct_expand(ct_select(x, 0, 0), CT_SHAPE(cases[i].times, ct_size(x, 1)));
        x = cases[i].transposed ? ct_transpose(x, 0, 1) : x;
        v = ct_randn(CT_SHAPE(ct_size(x, 1), 1), CT_F64, DEVICE, &g);
        want = values_of(ct_sum_axes(ct_mul(x, ct_transpose(v, 0, 1)), 1, (int[]){ 1 }, true));
        lies = ct_clone(x);
        plain = taken_by_product(lies, v, &y);
        taken = taken_by_product(x, v, &y);
        expect_values(cases[i].what, y, want, (size_t)ct_size(x, 0), 1e-9);
        ck_assert_msg(DEVICE != CT_CPU || /* whose memory is not counted */
                          (taken >= plain + (size_t)ct_numel(x) * sizeof(double)) ==
                              cases[i].copied,
                      "%s: %zu bytes, in order %zu", cases[i].what, taken, plain);
        free(want);
        ck_assert(ct_scope_end(s) == CT_OK);
    }
    count_memory(false);
}
END_TEST

START_TEST(vectors_refuse)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *a = ct_ones(CT_SHAPE(3), CT_F32, DEVICE), *b = ct_ones(CT_SHAPE(4), CT_F32, DEVICE);
    ct_tensor *m = ct_ones(CT_SHAPE(2, 3), CT_F32, DEVICE), *d = ct_cast(a, CT_F64);

    REFUSED(CT_ERR_SHAPE, "ct_dot", "length", ct_dot(a, b));
    REFUSED(CT_ERR_SHAPE, "ct_dot", "rank 1", ct_dot(m, a));
    REFUSED(CT_ERR_DTYPE, "ct_dot", "b ... dtype", ct_dot(a, d));
    REFUSED(CT_ERR_DTYPE, "ct_dot", "f32 or f64", ct_dot(ct_cast(a, CT_I32), ct_cast(a, CT_I32)));
    REFUSED(CT_ERR_SHAPE, "ct_outer", "rank 1", ct_outer(a, m));
    REFUSED(CT_ERR_DTYPE, "ct_outer", "b ... dtype", ct_outer(d, a));
    m = ct_ones(CT_SHAPE(1, 3), CT_F32, DEVICE); /* as many elements, and what would broadcast */
    REFUSED(CT_ERR_SHAPE, "ct_dot", "a f32[3]", ct_dot(a, m));
    REFUSED(CT_ERR_SHAPE, "ct_dot", "a f32[1,3]", ct_dot(m, a));
    REFUSED(CT_ERR_SHAPE, "ct_outer", "a f32[1,3]", ct_outer(m, a));
    REFUSED(CT_ERR_SHAPE, "ct_outer", "a f32[3]", ct_outer(a, m));
    EXPECT_NO_VALUE(ct_dot(NULL, a));
    EXPECT_NO_VALUE(ct_outer(a, NULL));
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

START_TEST(arrangements_refuse)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_ones(CT_SHAPE(2, 3), CT_F32, DEVICE), *parts[3] = { x, x, x };
    ct_tensor *v = ct_ones(CT_SHAPE(3), CT_F32, DEVICE);

    ck_assert(ct_split(x, 2, NULL, 1, parts) == CT_ERR_SHAPE);
    ck_assert(!parts[0] && !parts[1] && parts[2] == x);
    expect_error(CT_ERR_SHAPE, "ct_split", "split ... 2");
    ck_assert(ct_split(x, 3, (int64_t[]){ 1, 1, 2 }, -1, parts) == CT_ERR_SHAPE);
    expect_error(CT_ERR_SHAPE, "ct_split", "split ... 3");
    ck_assert(ct_split(x, 3, (int64_t[]){ 4, -1, 0 }, 1, parts) == CT_ERR_SHAPE);
    expect_error(CT_ERR_SHAPE, "ct_split", "split ... 3");
    ck_assert(ct_split(x, 0, NULL, 1, parts) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_split", "0 parts");
    ck_assert(ct_split(x, 1, NULL, 1, NULL) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_split", "parts is NULL");
    ck_assert(ct_split(NULL, 1, NULL, 1, parts) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_split", "x is NULL");
    ck_assert(ct_split(x, 1, NULL, 2, parts) == CT_ERR_SHAPE);
    expect_error(CT_ERR_SHAPE, "ct_split", "axis 2");
    REFUSED(CT_ERR_SHAPE, "ct_flip", "twice", ct_flip(x, 2, twice));
    REFUSED(CT_ERR_SHAPE, "ct_flip", "axis 5", ct_flip(x, 2, no_axis));
    REFUSED(CT_ERR_SHAPE, "ct_roll", "axis 2", ct_roll(x, 1, 2));
    REFUSED(CT_ERR_SHAPE, "ct_pad", "3 sizes", ct_pad(x, 3, (int64_t[]){ 1, 1, 1 }, 0));
    REFUSED(CT_ERR_SHAPE, "ct_pad", "4 sizes", ct_pad(v, 4, (int64_t[]){ 1, 1, 1, 1 }, 0));
    REFUSED(CT_ERR_ARGUMENT, "ct_pad", "size -1", ct_pad(v, 2, (int64_t[]){ 1, -1 }, 0));
    REFUSED(CT_ERR_ARGUMENT, "ct_pad", "size 9223372036854775807",
            ct_pad(v, 2, (int64_t[]){ INT64_MAX, 0 }, 0));
    REFUSED(CT_ERR_SHAPE, "ct_repeat", "1 times", ct_repeat(x, 1, (int64_t[]){ 2 }));
    REFUSED(CT_ERR_ARGUMENT, "ct_repeat", "-2 times", ct_repeat(x, 2, (int64_t[]){ 1, -2 }));
    REFUSED(CT_ERR_ARGUMENT, "ct_repeat", "too large",
            ct_repeat(x, 2, (int64_t[]){ INT64_MAX, 1 }));
    REFUSED(CT_ERR_SHAPE, "ct_repeat", "too large",
            ct_repeat(x, 2, (int64_t[]){ INT64_C(1) << 60, 3 }));
    REFUSED(CT_ERR_SHAPE, "ct_tril", "x f32[3]", ct_tril(v, 0));
    REFUSED(CT_ERR_SHAPE, "ct_triu", "x f32[3]", ct_triu(v, 0));
    REFUSED(CT_ERR_DEVICE, "ct_to", "x f32[2,3]", ct_to(x, 77));
    EXPECT_NO_VALUE(ct_flip(NULL, 0, NULL));
    EXPECT_NO_VALUE(ct_roll(NULL, 0, 0));
    EXPECT_NO_VALUE(ct_pad(NULL, 0, NULL, 0));
    EXPECT_NO_VALUE(ct_repeat(NULL, 0, NULL));
    EXPECT_NO_VALUE(ct_tril(NULL, 0));
    EXPECT_NO_VALUE(ct_to(NULL, 77));
    EXPECT_NO_VALUE(ct_full_like(NULL, 0));
    EXPECT_NO_VALUE(ct_zeros_like(NULL));
    EXPECT_NO_VALUE(ct_ones_like(NULL));
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* Shapes asked of one with so many elements, and the size that -1 comes to (0 where there is none);
 * or they are refused. */
START_TEST(shapes_asked_for)
{
    static const struct {
        int64_t numel;
        ct_shape asked;
        bool refused;
        int64_t open;
    } cases[] = {
        { 6, { 1, { 6 } }, false, 0 },
        { 6, { 1, { -1 } }, false, 6 },
        { 6, { 2, { -1, 6 } }, false, 1 },
        { 6, { 3, { 3, -1, 2 } }, false, 1 },
        { 6, { 8, { 1, 1, 1, 1, 1, 1, 2, -1 } }, false, 3 },
        { 1, { 0, { 0 } }, false, 0 },
        { 1, { 2, { -1, 1 } }, false, 1 },
        { 0, { 1, { 0 } }, false, 0 },
        { 0, { 3, { 4, 0, 7 } }, false, 0 },
        { 0, { 1, { -1 } }, false, 0 },
        { 0, { 2, { 5, -1 } }, false, 0 },
        { 0, { 2, { 0, INT64_MAX } }, false, 0 },
        { 6, { 0, { 0 } }, true, 0 },
        { 6, { 1, { 7 } }, true, 0 },
        { 6, { 2, { 4, -1 } }, true, 0 },
        { 6, { 2, { 12, -1 } }, true, 0 },
        { 6, { 2, { -1, -1 } }, true, 0 },
        { 6, { 2, { -2, -3 } }, true, 0 },
        { 6, { 2, { -2, 3 } }, true, 0 },
        { 6, { 2, { 0, -1 } }, true, 0 },
        { 6, { 2, { INT64_MAX, 2 } }, true, 0 },
        { 6, { 3, { INT64_C(1) << 32, INT64_C(1) << 32, -1 } }, true, 0 },
        { 6, { -1, { 0 } }, true, 0 },
        { 6, { 9, { 1, 1, 1, 1, 1, 1, 1, 6 } }, true, 0 },
        { 1, { -1, { 0 } }, true, 0 },
        { 0, { 2, { 0, -1 } }, true, 0 },
        { 0, { 2, { -2, 0 } }, true, 0 },
        { 0, { 3, { -1, -1, 0 } }, true, 0 },
        { 0, { 3, { INT64_MAX, 2, 0 } }, true, 0 },
    };
    size_t i;
    int k;

    for (i = 0; i < sizeof cases / sizeof *cases; i++) {
        ct_scope s = ct_scope_begin();
        ct_tensor *x = ct_ones(CT_SHAPE(cases[i].numel), CT_F32, DEVICE);
        ct_tensor *y = ct_reshape(x, cases[i].asked);

        ck_assert_msg(!y == cases[i].refused, "case %d", (int)i);
        if (cases[i].refused) {
            ck_assert_int_eq(ct_error(), CT_ERR_SHAPE);
            ct_error_clear();
        } else {
            ck_assert_int_eq(ct_rank(y), cases[i].asked.rank);
            for (k = 0; k < cases[i].asked.rank; k++)
                ck_assert_int_eq(ct_size(y, k), cases[i].asked.dim[k] == -1
                                                    ? cases[i].open
                                                    : cases[i].asked.dim[k]);
        }
        ck_assert(ct_scope_end(s) == ct_error() || cases[i].refused);
    }
}
END_TEST

START_TEST(indexing_refuses)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_ones(CT_SHAPE(2, 3), CT_F32, DEVICE), *k = I64(0, 2, 1), *v = F64(1, 2);
    ct_tensor *kk = ct_reshape(k, CT_SHAPE(1, 3)), *b = ct_cast(x, CT_BOOL);

    REFUSED(CT_ERR_INDEX, "ct_gather", "index 2", ct_gather(v, 0, k));
    REFUSED(CT_ERR_INDEX, "ct_gather", "index -1", ct_gather(v, 0, I64(-1)));
    REFUSED(CT_ERR_SHAPE, "ct_gather", "index ... fit", ct_gather(x, -1, k));
    REFUSED(CT_ERR_SHAPE, "ct_gather", "index ... fit",
            ct_gather(x, 1, ct_reshape(k, CT_SHAPE(3, 1))));
    REFUSED(CT_ERR_DTYPE, "ct_gather", "i32 or i64", ct_gather(v, 0, v));
    REFUSED(CT_ERR_SHAPE, "ct_gather", "axis 2", ct_gather(x, 2, kk));
    REFUSED(CT_ERR_INDEX, "ct_scatter_add", "index 2", ct_scatter_add(x, 0, kk, x));
    REFUSED(CT_ERR_SHAPE, "ct_scatter_add", "index ... fit",
            ct_scatter_add(x, 1, kk, ct_narrow(x, 1, 0, 2)));
    REFUSED(CT_ERR_DTYPE, "ct_scatter_add", "src ... dtype",
            ct_scatter_add(x, 1, kk, ct_cast(x, CT_F64)));
    REFUSED(CT_ERR_DTYPE, "ct_scatter_add", "x bool[2,3] cpu must be of numbers",
            ct_scatter_add(b, 1, kk, b));
    REFUSED(CT_ERR_INDEX, "ct_take", "index 2, number 1 of i64[3]", ct_take(v, k));
    REFUSED(CT_ERR_DTYPE, "ct_take", "indices f64[2]", ct_take(x, v));
    REFUSED(CT_ERR_INDEX, "ct_index_add", "index 2, number 1 of i64[3]",
            ct_index_add(v, 0, k, F64(1, 2, 3)));
    REFUSED(CT_ERR_SHAPE, "ct_index_add", "x f64[2]", ct_index_add(v, 0, k, v));
    REFUSED(CT_ERR_DTYPE, "ct_index_add", "x i64[3]", ct_index_add(k, 0, k, k));
    EXPECT_NO_VALUE(ct_gather(NULL, 0, k));
    EXPECT_NO_VALUE(ct_scatter_add(x, 0, kk, NULL));
    EXPECT_NO_VALUE(ct_take(x, NULL));
    EXPECT_NO_VALUE(ct_index_add(NULL, 0, k, x));
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

START_TEST(sorting_and_draws_refuse)
{
    ct_generator g = ct_generator_from_seed(1);
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_ones(CT_SHAPE(2, 3), CT_F32, DEVICE), *b = ct_cast(x, CT_BOOL), *k = x;
    ct_tensor *w = ct_reshape(F64(1, 2, 0, 3, -1, 1), CT_SHAPE(2, 3));

    REFUSED(CT_ERR_DTYPE, "ct_sort", "numbers", ct_sort(b, 0, false, &k));
    ck_assert_ptr_null(k);
    REFUSED(CT_ERR_SHAPE, "ct_sort", "axis 2", ct_sort(x, 2, false, NULL));
    REFUSED(CT_ERR_SHAPE, "ct_argsort", "axis -3", ct_argsort(x, -3, false));
    REFUSED(CT_ERR_ARGUMENT, "ct_topk", "k 4", ct_topk(x, 4, -1, true, NULL));
    REFUSED(CT_ERR_ARGUMENT, "ct_topk", "k -1", ct_topk(x, -1, 0, true, NULL));
    REFUSED(CT_ERR_ARGUMENT, "ct_dropout", "p 1", ct_dropout(x, 1, &g));
    REFUSED(CT_ERR_ARGUMENT, "ct_dropout", "p nan", ct_dropout(x, (double)NAN, &g));
    REFUSED(CT_ERR_ARGUMENT, "ct_dropout", "g is NULL", ct_dropout(x, 0.5, NULL));
    REFUSED(CT_ERR_DTYPE, "ct_dropout", "f32 or f64", ct_dropout(b, 0.5, &g));
    ck_assert_int_eq(g.position, 0); /* nothing was drawn */
    REFUSED(CT_ERR_ARGUMENT, "ct_multinomial", "k 0", ct_multinomial(w, 0, true, &g));
    REFUSED(CT_ERR_ARGUMENT, "ct_multinomial", "g is NULL", ct_multinomial(w, 1, true, NULL));
    REFUSED(CT_ERR_SHAPE, "ct_multinomial", "k 1",
            ct_multinomial(ct_scalar(1, CT_F64), 1, true, &g));
    REFUSED(CT_ERR_NUMERIC, "ct_multinomial", "f64[2,3]", ct_multinomial(w, 1, true, &g));
    REFUSED(CT_ERR_NUMERIC, "ct_multinomial", "f64[1,3]",
            ct_multinomial(ct_narrow(w, 0, 0, 1), 3, false, &g));
    REFUSED(CT_ERR_NUMERIC, "ct_multinomial", "f64[2]", ct_multinomial(F64(0, 0), 1, true, &g));
    REFUSED(CT_ERR_DTYPE, "ct_multinomial", "f32 or f64", ct_multinomial(b, 1, true, &g));
    k = x;
    EXPECT_NO_VALUE(ct_sort(NULL, 0, false, &k));
    ck_assert_ptr_null(k);
    EXPECT_NO_VALUE(ct_argsort(NULL, 0, false));
    EXPECT_NO_VALUE(ct_topk(NULL, 1, 0, true, NULL));
    EXPECT_NO_VALUE(ct_dropout(NULL, 0.5, &g));
    EXPECT_NO_VALUE(ct_multinomial(NULL, 1, true, &g));
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

START_TEST(losses_refuse)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_ones(CT_SHAPE(2, 3), CT_F32, DEVICE), *d = ct_cast(x, CT_F64);
    ct_tensor *v = ct_ones(CT_SHAPE(3), CT_F32, DEVICE), *t = I64(0, 3);
    ct_cross_entropy_options plain = { 0 }, smooth = { .label_smoothing = 0.1 };
    ct_cross_entropy_options skip = { .has_ignore_index = true, .ignore_index = 1 };
    ct_cross_entropy_options wrong = { .reduction = (ct_reduction)7 };
    ct_cross_entropy_options short_weight = { .weight = ct_ones(CT_SHAPE(2), CT_F32, DEVICE) };
    ct_cross_entropy_options double_weight = { .weight = ct_cast(v, CT_F64) };
    ct_cross_entropy_options weight = { .weight = v };

    REFUSED(CT_ERR_SHAPE, "ct_mse_loss", "shape", ct_mse_loss(x, v, CT_REDUCTION_MEAN));
    REFUSED(CT_ERR_DTYPE, "ct_l1_loss", "target ... dtype", ct_l1_loss(x, d, CT_REDUCTION_MEAN));
    REFUSED(CT_ERR_ARGUMENT, "ct_huber_loss", "delta 0", ct_huber_loss(x, x, 0, CT_REDUCTION_SUM));
    REFUSED(CT_ERR_ARGUMENT, "ct_mse_loss", "reduction 7", ct_mse_loss(x, x, (ct_reduction)7));
    REFUSED(CT_ERR_SHAPE, "ct_bce_with_logits", "shape",
            ct_bce_with_logits(x, v, (ct_bce_options){ .reduction = CT_REDUCTION_NONE }));
    REFUSED(CT_ERR_DTYPE, "ct_l1_loss", "f32 or f64", ct_l1_loss(t, t, CT_REDUCTION_SUM));
    REFUSED(CT_ERR_SHAPE, "ct_cross_entropy", "f32[3]", ct_cross_entropy(x, v));
    REFUSED(CT_ERR_DTYPE, "ct_cross_entropy", "targets ... dtype", ct_cross_entropy(x, d));
    REFUSED(CT_ERR_ARGUMENT, "ct_cross_entropy_with", "ignore_index",
            ct_cross_entropy_with(x, x, skip));
    REFUSED(CT_ERR_ARGUMENT, "ct_cross_entropy_with", "reduction 7",
            ct_cross_entropy_with(x, x, wrong));
    REFUSED(CT_ERR_ARGUMENT, "ct_nll_loss", "label_smoothing", ct_nll_loss(x, t, smooth));
    REFUSED(CT_ERR_ARGUMENT, "ct_nll_loss", "reduction 7", ct_nll_loss(x, t, wrong));
    REFUSED(CT_ERR_INDEX, "ct_nll_loss", "index 3", ct_nll_loss(x, t, plain));
    REFUSED(CT_ERR_SHAPE, "ct_nll_loss", "targets ... fit", ct_nll_loss(x, I64(1), plain));
    REFUSED(CT_ERR_SHAPE, "ct_cross_entropy_with", "weight ... class",
            ct_cross_entropy_with(x, I64(0, 1), short_weight));
    REFUSED(CT_ERR_SHAPE, "ct_cross_entropy_with", "weight ... class",
            ct_cross_entropy_with(x, x, short_weight));
    REFUSED(CT_ERR_DTYPE, "ct_nll_loss", "weight ... dtype",
            ct_nll_loss(x, I64(0, 1), double_weight));
    REFUSED(CT_ERR_INDEX, "ct_cross_entropy_with", "target 3", ct_cross_entropy_with(x, t, weight));
    REFUSED(CT_ERR_SHAPE, "ct_bce_with_logits", "broadcast",
            ct_bce_with_logits(x, x, (ct_bce_options){ .pos_weight = short_weight.weight }));
    REFUSED(CT_ERR_DTYPE, "ct_bce_with_logits", "weight ... dtype",
            ct_bce_with_logits(x, x, (ct_bce_options){ .weight = double_weight.weight }));
    EXPECT_NO_VALUE(ct_bce_with_logits(x, NULL, (ct_bce_options){ .reduction = CT_REDUCTION_SUM }));
    EXPECT_NO_VALUE(ct_mse_loss(NULL, x, CT_REDUCTION_MEAN));
    EXPECT_NO_VALUE(ct_huber_loss(x, NULL, -1, CT_REDUCTION_MEAN));
    EXPECT_NO_VALUE(ct_nll_loss(NULL, t, plain));
    EXPECT_NO_VALUE(ct_bce_with_logits(NULL, x, (ct_bce_options){ .reduction = CT_REDUCTION_SUM }));
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* Input k of another dtype: of f64 and the like among several, f32; for an index, bool; for a bool,
 * i64. NULL where any dtype would do. */
static ct_tensor *of_another_dtype(const op_draw *d, int k, ct_tensor *t)
{
    switch (d->in[k].values) {
    case OP_INDEX:
        return ct_cast(t, CT_BOOL);
    case OP_BOOL:
        return ct_cast(t, CT_I64);
    default:
        return k ? ct_cast(ct_detach(t), CT_F32) : NULL;
    }
}

/* Input k is NULL, which is an error unless the op can do without it. */
static void check_null_input(const op_row *row, const op_draw *d, int n, int k, ct_tensor **in)
{
    bool optional = row->optional && k >= row->optional;
    ct_tensor *kept = in[k], *y;

    in[k] = NULL;
    y = op_call(row, d, in);
    ck_assert_msg(optional ? y && ct_ok() : !y && ct_error() == CT_ERR_ARGUMENT,
                  "%s: input %d is NULL: %s", op_describe(row, n, d), k, ct_error_message());
    ck_assert_msg(optional || strstr(ct_error_message(), " is NULL"), "%s", ct_error_message());
    ct_error_clear();
    in[k] = kept;
}

/* Input k is a tensor of a scope that has ended. */
static void check_dead_input(const op_row *row, const op_draw *d, int n, int k, ct_tensor **in)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *kept = in[k];

    in[k] = ct_clone(kept);
    ck_assert(ct_scope_end(s) == CT_OK);
    ck_assert_msg(op_call(row, d, in) == NULL && ct_error() == CT_ERR_SCOPE &&
                      strstr(ct_error_message(), " is a dead tensor: its scope ended "),
                  "%s: input %d is dead: %s", op_describe(row, n, d), k, ct_error_message());
    ct_error_clear();
    in[k] = kept;
}

/* Every input, in turn: a NULL, a dead tensor and another dtype are refused. */
START_TEST(every_op_looks_at_each_input)
{
    int numbers = harness_count(6, 60), t, r, n, k;

    for (t = 0; op_tables[t]; t++)
        for (r = 0; op_tables[t][r].name; r++)
            for (n = 0; n < numbers; n++) {
                const op_row *row = &op_tables[t][r];
                op_draw d = op_draw_call(row, n, 12);
                ct_scope s = ct_scope_begin();
                ct_tensor *in[OP_INPUTS], *kept, *other;

                d.strided = false;
                op_make_inputs(&d, in);
                for (k = 0; k < d.count; k++) {
                    if (d.in[k].same_as >= 0 || d.in[k].unused)
                        continue;
                    check_null_input(row, &d, n, k, in);
                    check_dead_input(row, &d, n, k, in);
                    kept = in[k];
                    other = in[k] = of_another_dtype(&d, k, kept);
                    if (other)
                        ck_assert_msg(op_call(row, &d, in) == NULL && ct_error() == CT_ERR_DTYPE,
                                      "%s: input %d is %s: %s", op_describe(row, n, &d), k,
                                      ct_dtype_name(ct_tensor_dtype(other)), ct_error_message());
                    ct_error_clear();
                    in[k] = kept;
                }
                ck_assert(ct_scope_end(s) == CT_OK);
            }
}
END_TEST

/* Writes into input k between y and its backward: an error where it was saved, else none. */
static bool written_to(const op_row *row, const op_draw *d, int n, int k)
{
    ct_scope s = ct_scope_begin(), off;
    ct_tensor *in[OP_INPUTS], *y;
    bool refused;

    op_make_inputs(d, in);
    y = op_call(row, d, in);
    ck_assert_msg(y != NULL, "%s: %s", op_describe(row, n, d), ct_error_message());
    off = ct_scope_begin_no_grad();
    ck_assert(ct_fill(in[k], 0) == CT_OK);
    ck_assert(ct_scope_end(off) == CT_OK);
    refused =
        y->requires_grad && ct_backward_with(y, ct_ones(y->shape, y->dtype, y->device)) != CT_OK;
    ck_assert_msg(!refused || (ct_error() == CT_ERR_GRAD && strstr(ct_error_message(), "modified")),
                  "%s: input %d: %s", op_describe(row, n, d), k, ct_error_message());
    ct_error_clear();
    ck_assert(ct_scope_end(s) == CT_OK);
    return refused;
}

/* What an op has saved is not to change; every other input may. */
START_TEST(every_op_sees_writes_to_what_it_saved)
{
    int t, r, n, k, refused = 0;

    for (t = 0; op_tables[t]; t++)
        for (r = 0; op_tables[t][r].name; r++)
            for (n = 0; n < 3; n++) {
                const op_row *row = &op_tables[t][r];
                op_draw d = op_draw_call(row, n, 12);

                d.strided = false;
                for (k = 0; k < d.count; k++)
                    if (d.in[k].same_as < 0 && !d.in[k].unused)
                        refused += written_to(row, &d, n, k);
            }
    ck_assert_int_gt(refused, 150);
}
END_TEST

/* ---- each leaf alone ---- */

/* Of a sum or a difference, which hands on what it is given: there a leaf alone costs as much. */
static bool hands_on(const char *name)
{
    static const char *const names[] = { "ct_add", "ct_sub", "ct_mse_loss", "ct_l1_loss",
                                         "ct_huber_loss" };
    size_t i;

    for (i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

/* The gradients of the op's leaves under a random output gradient, as bytes of f64; those of the
 * inputs that require one, which are leaves. Returns how many tensors backward made. */
static int64_t gradients_of(const op_row *row, const op_draw *d, ct_tensor *const *in,
                            double **gradient)
{
    ct_generator g = ct_generator_stream(d->g, "output gradient");
    ct_tensor *y = op_call(row, d, in);
    int64_t made;
    int k;

    ck_assert_msg(y != NULL, "%s: %s", row->name, ct_error_message());
    memory.made = 0;
    ck_assert_msg(ct_backward_with(y, ct_randn(y->shape, y->dtype, y->device, &g)) == CT_OK,
                  "%s: %s", row->name, ct_error_message());
    made = memory.made;
    for (k = 0; k < d->count; k++) {
        ct_tensor *grad = d->in[k].same_as < 0 && in[k] ? ct_tensor_grad(in[k]) : NULL;

        gradient[k] = grad ? values_of(grad) : NULL;
        if (grad)
            ct_tensor_zero_grad(in[k]);
    }
    return made;
}

/* Leaf k alone: its gradient has the same bits as among the others, which get none; and less is
 * made, if theirs cost anything. Returns whether less is made. */
static bool alone(const op_row *row, const op_draw *d, ct_tensor *const *in, int k,
                  double *const *want, int64_t all)
{
    double *gradient[OP_INPUTS] = { NULL };
    int64_t made;
    int i;

    for (i = 0; i < d->count; i++)
        if (i != k && want[i])
            ct_set_requires_grad(in[i], false);
    made = gradients_of(row, d, in, gradient);
    for (i = 0; i < d->count; i++) {
        ck_assert_msg(!gradient[i] == (i != k), "%s: leaf %d alone, %d", row->name, k, i);
        if (i == k)
            ck_assert_msg(memcmp(gradient[k], want[k], (size_t)in[k]->numel * sizeof **gradient) ==
                              0,
                          "%s: leaf %d alone has another gradient", row->name, k);
        free(gradient[i]);
        if (want[i])
            ct_set_requires_grad(in[i], true);
    }
    return made < all || DEVICE != CT_CPU; /* whose memory is not counted */
}

static void each_alone(const op_row *row, int number)
{
    ct_scope s = ct_scope_begin();
    op_draw d = op_draw_call(row, number, 12);
    double *want[OP_INPUTS] = { NULL };
    ct_tensor *in[OP_INPUTS];
    int64_t all;
    int k, leaves = 0;

    d.strided = false;
    op_make_inputs(&d, in);
    all = gradients_of(row, &d, in, want);
    for (k = 0; k < d.count; k++)
        leaves += want[k] != NULL;
    for (k = 0; k < d.count; k++)
        if (want[k] && leaves > 1)
            ck_assert_msg(alone(row, &d, in, k, want, all) || hands_on(row->name),
                          "%s: leaf %d alone costs as much as all", op_describe(row, number, &d),
                          k);
    for (k = 0; k < d.count; k++)
        free(want[k]);
    ck_assert(ct_scope_end(s) == CT_OK);
}

START_TEST(every_op_differentiates_what_is_wanted)
{
    int numbers = harness_count(harness_rounds(2, 6), 40), t, r, n;

    count_memory(true);
    for (t = 0; op_tables[t]; t++)
        for (r = 0; op_tables[t][r].name; r++)
            for (n = 0; n < numbers && !op_tables[t][r].no_gradient; n++)
                each_alone(&op_tables[t][r], n);
    count_memory(false);
}
END_TEST

START_TEST(messages_name_the_call)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_ones(CT_SHAPE(3), CT_F32, DEVICE);

    REFUSED(CT_ERR_ARGUMENT, "ct_topk", "k 9", ct_topk(x, 9, 0, true, NULL));
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* ---- out of memory: the k-th allocation fails, each k, in every op and its derivatives ---- */

static void *failing(size_t alignment, size_t bytes)
{
    if (memory.left == 0) {
        memory.failed = true;
        harness_refused = bytes;
        return NULL;
    }
    memory.left -= memory.left > 0;
    return memory.allocate(alignment, bytes);
}

/* The op, its gradient and the gradient of that, of the first input. */
static void run_to_second_order(const op_row *row, const op_draw *d, ct_tensor *const *in)
{
    ct_tensor *y = op_call(row, d, in), *w, *x = NULL, *g, *h;
    int i;

    for (i = d->count - 1; i >= 0; i--)
        x = ct_tensor_requires_grad(in[i]) ? in[i] : x;
    if (!y || !x || !ct_tensor_requires_grad(y))
        return;
    w = ct_ones_like(y);
    if (!w || ct_grad(1, &y, 1, &x, &w, true, &g) != CT_OK || !ct_tensor_requires_grad(g))
        return;
    w = ct_ones_like(g);
    if (w)
        ct_grad(1, &g, 1, &x, &w, false, &h);
}

/* Allocation number at fails; false when there was none. */
static bool with_failure(const op_row *row, int number, int64_t at)
{
    ct_scope s = ct_scope_begin();
    op_draw d = op_draw_call(row, number, 12);
    ct_tensor *in[OP_INPUTS];

    op_make_inputs(&d, in);
    memory.failed = false;
    memory.left = at;
    run_to_second_order(row, &d, in);
    memory.left = -1;
    ck_assert_msg((ct_scope_end(s) == CT_ERR_MEMORY) == memory.failed, "%s #%d, allocation %d: %s",
                  row->name, number, (int)at, ct_error_message());
    ct_error_clear();
    return memory.failed;
}

START_TEST(every_op_bears_failing_allocations)
{
    int numbers = harness_count(6, 20), t, r, k, failures = 0;

    memory.allocate = cti_memory_calls.allocate;
    memory.left = -1;
    cti_memory_calls.allocate = failing;
    for (t = 0; op_tables[t]; t++)
        for (r = 0; op_tables[t][r].name; r++)
            for (k = 0; k < numbers; k++) {
                int64_t at = 0;

                while (with_failure(&op_tables[t][r], k, at))
                    at++;
                failures += (int)at;
            }
    cti_memory_calls.allocate = memory.allocate;
    ck_assert_int_gt(failures, 1000);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ops");
    TCase *tc = harness_case(suite, "parity");

    tcase_add_test(tc, pytorch_gives_the_same);
    tc = harness_case(suite, "values");
    tcase_add_test(tc, extremes_give_values_and_indices);
    tcase_add_test(tc, products_have_derivatives_at_zero);
    tcase_add_test(tc, powers_have_derivatives_at_zero);
    tcase_add_test(tc, powers_are_flat_at_exponent_zero);
    tcase_add_test(tc, extremes_follow_a_nan);
    tcase_add_test(tc, roots_are_flat_where_they_are_zero);
    tcase_add_test(tc, means_of_ones_are_one);
    tcase_add_test(tc, logsumexp_does_not_overflow);
    tcase_add_test(tc, any_and_all);
    tcase_add_test(tc, sorting_is_stable);
    tcase_add_loop_test(tc, long_rows_are_sorted, 0, harness_count(8, 100));
    tcase_add_test(tc, gradcheck_sees_a_nan_among_right_derivatives);
    tcase_add_test(tc, products_of_any_batches);
    tcase_add_test(tc, products_of_many_matrices);
    tcase_add_test(tc, one_more_than_whole_pieces);
    tcase_add_test(tc, arrangements_take_any_dtype);
    tcase_add_loop_test(tc, many_parts_of_a_cat, 0, 4);
    tcase_add_test(tc, a_repeat_is_no_view);
    tcase_add_test(tc, a_reshape_is_a_view_where_it_can_be);
    tcase_add_test(tc, parts_of_a_split_are_views);
    tcase_add_test(tc, dropout_drops_and_scales);
    tcase_add_test(tc, dropout_of_f32_takes_the_same_places);
    tcase_add_test(tc, draws_take_whole_blocks);
    tcase_add_test(tc, multinomial_follows_the_weights);
    tcase_add_test(tc, multinomial_draws_are_independent);
    tcase_add_test(tc, multinomial_without_replacement_repeats_none);
    tcase_add_test(tc, losses_stay_finite);
    tcase_add_test(tc, an_offset_of_the_scores_changes_nothing);
    tcase_add_test(tc, ignored_targets_have_no_gradient);
    tc = harness_case(suite, "misuse");
    tcase_add_test(tc, broadcasts_refuse);
    tcase_add_test(tc, one_axis);
    tcase_add_test(tc, reductions_refuse);
    tcase_add_test(tc, vectors_refuse);
    tcase_add_test(tc, arrangements_refuse);
    tcase_add_test(tc, shapes_asked_for);
    tcase_add_test(tc, indexing_refuses);
    tcase_add_test(tc, sorting_and_draws_refuse);
    tcase_add_test(tc, losses_refuse);
    tcase_add_test(tc, every_op_looks_at_each_input);
    tcase_add_test(tc, every_op_sees_writes_to_what_it_saved);
    tcase_add_test(tc, products_that_are_too_large);
    tcase_add_test(tc, messages_name_the_call);
    tc = harness_case(suite, "memory");
    tcase_add_test(tc, products_copy_no_matrix_that_has_a_dense_axis);
    tcase_add_test(tc, every_op_differentiates_what_is_wanted);
    tcase_add_test(tc, every_op_bears_failing_allocations);
    return harness_run(suite);
}
