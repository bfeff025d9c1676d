/* SPDX-License-Identifier: MIT */
/* test_edges.c - values and derivatives of ops at the edges of their domains (zeros, subnormals,
 * numbers near 1, the largest, infinities, NaN), against the right numbers in
 * tests/torch/edges.txt. edges.py there has the format, where the numbers come from, and the rules
 * for points where a function has no derivative.
 *
 * Infinities and NaNs must agree; the sign of a zero is not compared. A finite number may differ by
 * `ulps` units of the last place of the right one, plus `slack` in units of the dtype's epsilon if
 * an op is computed as a difference of larger numbers. make check uses every third number, make
 * check-full all. */
#include "tests/cases.h"
#include "tests/harness.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cotangent.h>

#define MOST_NUMBERS 2048
#define MOST_LISTS 128
#define MOST_OPERANDS 40 /* of one result */
/* Operands beyond this do not increase the tolerance, because the results are then 0, 1 or
 * large. */
static const double edge_far = 1e3;

#define MOST_SHOWN 12 /* failures of one line of the file */

typedef struct edge_numbers {
    int count;
    double at[MOST_NUMBERS];
    bool open[MOST_NUMBERS]; /* not compared */
} edge_numbers;

/* A line of operands. */
typedef struct edge_list {
    char name[16];
    edge_numbers n;
} edge_list;

/* The tolerances of an op: [0] values, [1] first derivatives, [2] second derivatives. */
typedef struct edge_tolerance {
    const char *name;
    double ulps[3], slack[3];
    bool of_first; /* slack is proportional to the first operand if that is larger than 1 */
    double lost; /* results below this many units of the smallest subnormal number may be 0; 0: 3 */
    bool power;  /* ulps grows with the logarithm of the first operand, because the exponent b - 1
                  * is rounded */
} edge_tolerance;

/* cti_sigmoidf returns 0 if the result is subnormal. */
#define NO_SUBNORMALS 8388608.0

static const edge_tolerance edge_tolerances[] = {
    /* 1 - y^2, y (1 - y) and y + 1 for y near 1 or -1 */
    { "ct_tanh", { 4, 4, 8 }, { 0, 4, 8 }, false, 0, false },
    { "ct_sigmoid", { 4, 8, 16 }, { 0, 2, 2 }, false, NO_SUBNORMALS, false },
    { "ct_softplus", { 4, 8, 16 }, { 0, 0, 2 }, false, NO_SUBNORMALS, false },
    { "ct_silu", { 4, 8, 16 }, { 0, 2, 4 }, true, NO_SUBNORMALS, false },
    { "ct_glu", { 4, 8, 16 }, { 0, 2, 4 }, true, NO_SUBNORMALS, false },
    { "ct_expm1", { 4, 8, 16 }, { 0, 1, 1 }, false, 0, false },
    /* 1 + erf loses digits for erf near -1; exp(-x^2) multiplies the rounding error of x^2 by x^2 /
     * 2 */
    { "ct_gelu", { 4, 8, 64 }, { 2, 4, 8 }, true, 0, false },
    { "ct_erf", { 4, 64, 64 }, { 0, 0, 0 }, false, 0, false },
    { "ct_erfc", { 8, 64, 64 }, { 0, 0, 0 }, false, 0, false },
    /* the exponent is rounded; products with 1 minus a sigmoid or a square near 1 */
    { "ct_gelu_tanh", { 128, 128, 256 }, { 2, 4, 16 }, true, NO_SUBNORMALS, false },
    { "ct_mish", { 8, 16, 32 }, { 0, 4, 8 }, true, 0, false },
    { "ct_log_sigmoid", { 4, 8, 16 }, { 0, 2, 2 }, false, NO_SUBNORMALS, false },
    { "ct_logaddexp", { 4, 8, 16 }, { 2, 2, 2 }, false, NO_SUBNORMALS, false },
    /* the power underflows before its product with log(s) does */
    { "ct_rpow_scalar", { 4, 8, 16 }, { 0, 0, 0 }, false, 1e4, false },
    { "ct_pow", { 4, 8, 16 }, { 0, 0, 0 }, false, 0, true },
    { NULL, { 4, 8, 16 }, { 0, 0, 0 }, false, 0, false },
};

/* Rows of the tables of elementwise ops that edges.txt does not have, with the reason. */
static const struct {
    const char *name, *reason;
} edge_opt_outs[] = {
    { "ct_logical_not", "bool operands have no edges" },
    { "ct_logical_and", "bool operands have no edges" },
    { "ct_logical_or", "bool operands have no edges" },
    { "ct_logical_xor", "bool operands have no edges" },
    { "ct_where", "copies elements; a bool chooses" },
    { "ct_where_scalar", "copies elements; a bool chooses" },
    { "ct_rwhere_scalar", "copies elements; a bool chooses" },
    { "ct_where_scalars", "copies elements; a bool chooses" },
    { "ct_masked_fill", "copies elements; a bool chooses" },
};

static struct {
    edge_list lists[MOST_LISTS];
    int lists_count;
    ct_dtype dtype;
    int64_t cases; /* the number of different (op, dtype, operands, order) that were compared */
    int64_t wrong;
    int step, phase; /* of every `step` numbers of a line, number `phase` is compared */
} edges;

static const op_row *edge_row(const char *name)
{
    int t, r;

    for (t = 0; op_tables[t]; t++)
        for (r = 0; op_tables[t][r].name; r++)
            if (strcmp(op_tables[t][r].name, name) == 0)
                return &op_tables[t][r];
    ck_abort_msg("edges.txt has %s, the tables have not", name);
    return NULL;
}

static const edge_tolerance *edge_tolerance_of(const char *name)
{
    const edge_tolerance *t = edge_tolerances;

    while (t->name && strcmp(t->name, name) != 0)
        t++;
    return t;
}

/* ---- the file ---- */

/* "3*0 1.5 ? inf" */
static void edge_read_numbers(char *text, edge_numbers *n)
{
    char *word, *star, *save = NULL;

    n->count = 0;
    for (word = strtok_r(text, " \n", &save); word; word = strtok_r(NULL, " \n", &save)) {
        int times = 1;

        star = strchr(word, '*');
        if (star) {
            times = atoi(word);
            word = star + 1;
        }
        for (; times > 0; times--) {
            ck_assert_int_lt(n->count, MOST_NUMBERS);
            n->open[n->count] = word[0] == '?';
            n->at[n->count++] = strtod(word, NULL);
        }
    }
}

static ct_dtype edge_read_dtype(const char *word)
{
    ck_assert(strcmp(word, "f32") == 0 || strcmp(word, "f64") == 0);
    return word[1] == '3' ? CT_F32 : CT_F64;
}

static const edge_numbers *edge_list_named(const char *name)
{
    int i;

    for (i = 0; i < edges.lists_count; i++)
        if (strcmp(edges.lists[i].name, name) == 0)
            return &edges.lists[i].n;
    ck_abort_msg("no list %s", name);
    return NULL;
}

/* ---- comparison ---- */

/* Identifies one number of a line, for messages. */
typedef struct edge_place {
    const char *name, *key;
    const double *p; /* the op's numbers */
    int operands;
    double operand[MOST_OPERANDS];
} edge_place;

static void edge_wrong(const edge_place *at, double got, double want, double allowed)
{
    char text[MOST_OPERANDS * 24] = "";
    size_t n = 0;
    int k;

    for (k = 0; k < at->operands; k++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%.9g", k ? ", " : "", at->operand[k]);
    printf("%s %s(%s; %g, %g), %s: %.17g, right is %.17g (off by at most %.3g)\n",
           ct_dtype_name(edges.dtype), at->name, text, at->p[0], at->p[1], at->key, got, want,
           allowed);
    edges.wrong++;
}

static double edge_epsilon(void)
{
    return edges.dtype == CT_F32 ? (double)FLT_EPSILON : DBL_EPSILON;
}

/* The rounding error that is allowed, in units of the smallest subnormal number; 0: 3. */
static double edge_floor(double lost)
{
    return (edges.dtype == CT_F32 ? 0x1p-149 : 0x1p-1074) * (lost > 0 ? lost : 3);
}

static bool edge_is_right(double got, double want, double allowed)
{
    if (isnan(want) || isinf(want))
        return isnan(want) ? isnan(got) : got == want;
    if (isinf(got)) /* allowed if the tolerance reaches beyond the largest number */
        return allowed > (edges.dtype == CT_F32 ? (double)FLT_MAX : DBL_MAX);
    return fabs(got - want) <= allowed;
}

/* ---- elementwise ops ---- */

/* A call: an op with its operands as leaves. */
typedef struct edge_call {
    const op_row *row;
    op_draw draw; /* the op's numbers */
    int operands;
    const edge_numbers *list[2];
    int count; /* the number of results */
    ct_tensor *leaf[2], *y, *first[2], *second[2][2];
} edge_call;

static double edge_operand(const edge_call *c, int k, int i)
{
    int wide = c->operands > 1 ? c->list[1]->count : 1;

    return k ? c->list[1]->at[i % wide] : c->list[0]->at[i / wide];
}

static ct_tensor *edge_leaf(const double *values, int count)
{
    ct_tensor *t = ct_from_data(values, CT_SHAPE(count), CT_F64, CT_CPU);

    return ct_set_requires_grad(ct_to(ct_cast(t, edges.dtype), DEVICE), true);
}

/* Returns the gradient of sum(y) by x, with history; zeros if y does not depend on x. */
static ct_tensor *edge_derivative(ct_tensor *y, ct_tensor *x)
{
    ct_tensor *g = NULL, *ones = ct_ones_like(y);

    if (!ct_tensor_requires_grad(y))
        return ct_zeros_like(x);
    ck_assert_msg(ct_grad(1, &y, 1, &x, &ones, true, &g) == CT_OK, "%s", ct_error_message());
    return g;
}

static ct_tensor *edge_value(edge_call *c)
{
    ct_tensor *both;

    if (strcmp(c->row->name, "ct_glu") != 0)
        return op_call(c->row, &c->draw, c->leaf);
    both = ct_cat(2, c->leaf, 0);
    return ct_glu(both, 0);
}

static void edge_run(edge_call *c)
{
    double values[MOST_NUMBERS];
    int i, k, j;

    for (k = 0; k < c->operands; k++) {
        for (i = 0; i < c->count; i++)
            values[i] = edge_operand(c, k, i);
        c->leaf[k] = edge_leaf(values, c->count);
    }
    c->draw.count = c->operands;
    c->y = edge_value(c);
    ck_assert_msg(c->y != NULL, "%s: %s", c->row->name, ct_error_message());
    for (k = 0; k < c->operands && !c->row->no_gradient; k++) {
        c->first[k] = edge_derivative(c->y, c->leaf[k]);
        for (j = 0; j < c->operands; j++)
            c->second[k][j] = edge_derivative(c->first[k], c->leaf[j]);
    }
}

/* |log |a||, at least 1 */
static double edge_log(double a)
{
    return a == 0 || !isfinite(a) ? 1 : fmax(1, fabs(log(fabs(a))));
}

static void edge_compare(const edge_call *c, const char *key, ct_tensor *t, int order,
                         const edge_numbers *want)
{
    const edge_tolerance *may = edge_tolerance_of(c->row->name);
    edge_place at = { c->row->name, key, c->draw.p, c->operands, { 0 } };
    double *got = values_of(t), allowed, size, logs;
    int64_t wrong = edges.wrong;
    int i, k;

    ck_assert_int_eq(want->count, c->count);
    ck_assert_int_eq(ct_numel(t), c->count);
    for (i = edges.phase; i < c->count && edges.wrong < wrong + MOST_SHOWN; i += edges.step) {
        for (k = 0; k < c->operands; k++)
            at.operand[k] = edge_operand(c, k, i);
        size = fmin(fmax(1, fabs(at.operand[0])), edge_far);
        logs = may->power ? edge_log(at.operand[0]) : 1;
        allowed = may->ulps[order] * logs * edge_epsilon() * fabs(want->at[i]) +
                  may->slack[order] * edge_epsilon() * (may->of_first ? size : 1) +
                  edge_floor(may->lost) * size * logs * logs;
        if (want->open[i])
            continue;
        if (!edge_is_right(got[i], want->at[i], allowed))
            edge_wrong(&at, got[i], want->at[i], allowed);
        edges.cases++;
    }
    free(got);
}

/* Compares the result with a key: y; x xx; a b aa ab bb. A mixed derivative is compared in both
 * orders. */
static void edge_compare_key(const edge_call *c, const char *key, const edge_numbers *want)
{
    int k = key[0] == 'b', j = key[1] == 'b';

    if (key[0] == 'y')
        edge_compare(c, key, c->y, 0, want);
    else if (key[1] == '\0')
        edge_compare(c, key, c->first[k], 1, want);
    else
        edge_compare(c, key, c->second[k][j], 2, want);
    if (strcmp(key, "ab") == 0)
        edge_compare(c, "ba", c->second[1][0], 2, want);
}

/* "ct_pow f64 L1 L2 ; 2" */
static void edge_begin(edge_call *c, char *text)
{
    char *save = NULL, *word = strtok_r(text, " \n", &save);

    memset(c, 0, sizeof *c);
    c->row = edge_row(word);
    edges.dtype = edge_read_dtype(strtok_r(NULL, " \n", &save));
    c->count = 1;
    for (word = strtok_r(NULL, " \n", &save); word && *word != ';';
         word = strtok_r(NULL, " \n", &save)) {
        c->list[c->operands] = edge_list_named(word);
        c->count *= c->list[c->operands++]->count;
    }
    for (; word && (word = strtok_r(NULL, " \n", &save)) != NULL;)
        c->draw.p[c->draw.i[0]++] = strtod(word, NULL);
    edge_run(c);
}

/* ---- functions of rows ---- */

enum { EDGE_VALUES, EDGE_FIRST, EDGE_SECOND, EDGE_ORDERS };

typedef struct edge_rows {
    char name[32];
    int width;
    double p[2];
    edge_numbers in;
    edge_numbers y;
    edge_numbers size[EDGE_ORDERS]; /* sy, sg, sh; a count of 0 if the file has none */
    ct_tensor *leaf, *value, *g, *h;
    ct_tensor *fused; /* the first derivative without history, which has kernels of its own */
} edge_rows;

typedef struct edge_function {
    const char *name;
    ct_tensor *(*run)(const edge_rows *r, ct_tensor *x);
} edge_function;

/* Operand `which` of `count` that lie side by side in rows x. */
static ct_tensor *edge_part(ct_tensor *x, int which, int count)
{
    int64_t n = ct_size(x, 1) / count;

    return ct_narrow(x, 1, which * n, n);
}

static ct_tensor *edge_norm(const edge_rows *r, ct_tensor *x)
{
    return ct_norm_axis(x, r->p[0], 1, false);
}

static ct_tensor *edge_std(const edge_rows *r, ct_tensor *x)
{
    return ct_std_axis(x, 1, r->p[0], false);
}

static ct_tensor *edge_var(const edge_rows *r, ct_tensor *x)
{
    return ct_var_axis(x, 1, r->p[0], false);
}

static ct_tensor *edge_logsumexp(const edge_rows *r, ct_tensor *x)
{
    (void)r;
    return ct_logsumexp_axis(x, 1, false);
}

static ct_tensor *edge_softmax(const edge_rows *r, ct_tensor *x)
{
    (void)r;
    return ct_softmax(x, 1);
}

static ct_tensor *edge_log_softmax(const edge_rows *r, ct_tensor *x)
{
    (void)r;
    return ct_log_softmax(x, 1);
}

static ct_tensor *edge_layer_norm(const edge_rows *r, ct_tensor *x)
{
    return ct_layer_norm(x, NULL, NULL, r->p[0]);
}

static ct_tensor *edge_rms_norm(const edge_rows *r, ct_tensor *x)
{
    return ct_rms_norm(x, NULL, r->p[0]);
}

static ct_tensor *edge_group_norm(const edge_rows *r, ct_tensor *x)
{
    return ct_group_norm(x, 2, NULL, NULL, r->p[0]);
}

static ct_tensor *edge_batch_norm(const edge_rows *r, ct_tensor *x)
{
    ct_batch_norm_options o = { .training = true, .eps = r->p[0] };

    return ct_transpose(ct_batch_norm(ct_transpose(x, 0, 1), o), 0, 1);
}

static ct_tensor *edge_cosine(const edge_rows *r, ct_tensor *x)
{
    return ct_cosine_similarity(edge_part(x, 0, 2), edge_part(x, 1, 2), 1, r->p[0]);
}

static ct_tensor *edge_cosine_embedding(const edge_rows *r, ct_tensor *x)
{
    ct_tensor *ones = ct_ones(CT_SHAPE(ct_size(x, 0)), ct_tensor_dtype(x), DEVICE);

    (void)r;
    return ct_cosine_embedding_loss(edge_part(x, 0, 2), edge_part(x, 1, 2), ones, 0,
                                    CT_REDUCTION_NONE);
}

static ct_tensor *edge_gaussian(const edge_rows *r, ct_tensor *x)
{
    ct_gaussian_nll_options o = { .reduction = CT_REDUCTION_NONE, .eps = r->p[0] };

    return ct_gaussian_nll_loss(edge_part(x, 0, 3), edge_part(x, 1, 3), edge_part(x, 2, 3), o);
}

static ct_tensor *edge_triplet(const edge_rows *r, ct_tensor *x)
{
    ct_triplet_margin_options o = { .reduction = CT_REDUCTION_NONE };

    (void)r;
    return ct_triplet_margin_loss(edge_part(x, 0, 3), edge_part(x, 1, 3), edge_part(x, 2, 3), o);
}

static const edge_function edge_functions[] = {
    { "ct_norm_axis", edge_norm },
    { "ct_std_axis", edge_std },
    { "ct_var_axis", edge_var },
    { "ct_logsumexp_axis", edge_logsumexp },
    { "ct_softmax", edge_softmax },
    { "ct_log_softmax", edge_log_softmax },
    { "ct_layer_norm", edge_layer_norm },
    { "ct_rms_norm", edge_rms_norm },
    { "ct_group_norm", edge_group_norm },
    { "ct_batch_norm", edge_batch_norm },
    { "ct_cosine_similarity", edge_cosine },
    { "ct_cosine_embedding_loss", edge_cosine_embedding },
    { "ct_gaussian_nll_loss", edge_gaussian },
    { "ct_triplet_margin_loss", edge_triplet },
};

/* Returns the values (rows, M). */
static ct_tensor *edge_values(const edge_rows *r, ct_tensor *x)
{
    size_t i;

    for (i = 0; i < sizeof edge_functions / sizeof *edge_functions; i++)
        if (strcmp(edge_functions[i].name, r->name) == 0)
            return ct_reshape(edge_functions[i].run(r, x), CT_SHAPE(ct_size(x, 0), -1));
    ck_abort_msg("no function %s", r->name);
    return NULL;
}

/* The weights of the values of a row (M), as ROW_WEIGHTS of edges.py. */
static ct_tensor *edge_weights(const ct_tensor *y)
{
    static const double weights[] = { 1, -0.5, 2 };
    double w[MOST_NUMBERS];
    int i;

    for (i = 0; i < ct_size(y, 1); i++)
        w[i] = weights[i % 3];
    return ct_detach(edge_leaf(w, i));
}

static void edge_rows_run(edge_rows *r)
{
    int64_t rows = r->in.count / r->width;
    ct_tensor *y, *ones;

    r->leaf = ct_set_requires_grad(
        ct_reshape(ct_detach(edge_leaf(r->in.at, r->in.count)), CT_SHAPE(rows, r->width)), true);
    r->value = edge_values(r, r->leaf);
    ck_assert_msg(r->value != NULL, "%s: %s", r->name, ct_error_message());
    y = ct_mul(r->value, edge_weights(r->value));
    ones = ct_ones_like(y);
    r->g = edge_derivative(y, r->leaf);
    r->h = edge_derivative(ct_sum(ct_narrow(r->g, 1, 0, 1)), r->leaf);
    ck_assert_msg(ct_grad(1, &y, 1, &r->leaf, &ones, false, &r->fused) == CT_OK, "%s",
                  ct_error_message());
}

/* Returns the factor by which a power of p increases an error, because 1 / p is rounded. */
static double edge_power_condition(double p, double y)
{
    return 1 + fabs(p) * (1 + (y > 0 ? fabs(log(fmin(y, DBL_MAX))) / 8 : 0));
}

/* Returns the scale of the tolerance for a result of row i: the size of the result or, if it is a
 * difference, of its operands. */
static double edge_row_scale(const edge_rows *r, int order, int64_t i, double want)
{
    double y = fabs(r->y.at[i]), most = 0, size = fabs(want), condition;
    int k;

    for (k = 0; k < r->width; k++)
        most = fmax(most, fabs(r->in.at[i * r->width + k]));
    if (strcmp(r->name, "ct_var_axis") == 0)
        return order == 0 ? y + most * sqrt(y) : order == 1 ? fmax(most, size) : 1;
    if (strcmp(r->name, "ct_logsumexp_axis") == 0)
        return order ? 1 : size;
    if (strcmp(r->name, "ct_norm_axis") == 0) /* (sum)^(1 / p) and (|x| / y)^(p - 1) */
        condition = isinf(r->p[0]) || r->p[0] == 2 ? 1 : edge_power_condition(r->p[0], y);
    else
        condition = y > 0 ? fmax(1, most / y) : 1;
    return condition * (order == 0 ? y : order == 1 ? fmax(1, size) : fmax(1 / y, size));
}

/* True if the function squares its rows without scaling them: normalisation on a GPU, which has no
 * kernel for it (normalise.h). */
static bool edge_squares(const edge_rows *r)
{
    size_t n = strlen(r->name);

    return harness_later() && n > 5 && strcmp(r->name + n - 5, "_norm") == 0;
}

static void edge_rows_compare(const edge_rows *r, const char *key, ct_tensor *t, int order,
                              const edge_numbers *want)
{
    edge_place at = { r->name, key, r->p, r->width, { 0 } };
    int wide = (int)ct_size(t, -1), i, k;
    double *got = values_of(t);
    int64_t wrong = edges.wrong;

    ck_assert_int_eq(want->count, ct_numel(t));
    for (i = edges.phase; i < want->count && edges.wrong < wrong + MOST_SHOWN && !edge_squares(r);
         i += edges.step) {
        double scale = r->size[order].count ? fmax(r->size[order].at[i], fabs(want->at[i]))
                                            : edge_row_scale(r, order, i / wide, want->at[i]);
        double allowed = 16 * edge_epsilon() * scale;

        if (want->open[i])
            continue;
        for (k = 0; k < r->width; k++)
            at.operand[k] = r->in.at[i / wide * r->width + k];
        allowed += edge_floor(0);
        if (!edge_is_right(got[i], want->at[i], allowed))
            edge_wrong(&at, got[i], want->at[i], allowed);
        edges.cases++;
    }
    free(got);
}

/* "ct_std_axis f32 3 1" */
static void edge_rows_begin(edge_rows *r, char *text)
{
    char dtype[8], number[32];

    memset(r, 0, sizeof *r);
    ck_assert_int_eq(sscanf(text, "%31s %7s %d %31s", r->name, dtype, &r->width, number), 4);
    edges.dtype = edge_read_dtype(dtype);
    r->p[0] = strtod(number, NULL);
}

/* in, sy, sg, sh, y, g or h */
static void edge_rows_key(edge_rows *r, const char *key, const edge_numbers *n)
{
    static const char orders[] = "ygh";
    int order = (int)(strchr(orders, key[key[0] == 's']) - orders);

    if (strcmp(key, "in") == 0) {
        r->in = *n;
        edge_rows_run(r);
    } else if (key[0] == 's') {
        r->size[order] = *n;
    } else {
        if (order == EDGE_VALUES)
            r->y = *n;
        edge_rows_compare(r, key, (ct_tensor *[]){ r->value, r->g, r->h }[order], order, n);
        if (order == EDGE_FIRST)
            edge_rows_compare(r, "g without history", r->fused, order, n);
    }
}

/* ---- the whole file ---- */

static edge_call edge_current;
static edge_rows edge_current_rows;
static bool edge_in_rows;

/* Handles a line that is not a comment: its first word, and the rest. */
static void edge_line(const char *key, char *rest)
{
    static edge_numbers n;
    char name[16], dtype[8];
    int used;

    if (strcmp(key, "list") == 0) {
        ck_assert_int_lt(edges.lists_count, MOST_LISTS);
        ck_assert_int_eq(sscanf(rest, "%15s %7s %n", name, dtype, &used), 2);
        strcpy(edges.lists[edges.lists_count].name, name);
        edge_read_numbers(rest + used, &edges.lists[edges.lists_count++].n);
    } else if (strcmp(key, "op") == 0) {
        edge_in_rows = false;
        edge_begin(&edge_current, rest);
    } else if (strcmp(key, "rows") == 0) {
        edge_in_rows = true;
        edge_rows_begin(&edge_current_rows, rest);
    } else {
        edge_read_numbers(rest, &n);
        if (edge_in_rows)
            edge_rows_key(&edge_current_rows, key, &n);
        else
            edge_compare_key(&edge_current, key, &n);
    }
}

START_TEST(edges_give_the_right_numbers)
{
    FILE *f = fopen(harness_source("tests/torch/edges.txt"), "r");
    ct_scope all = ct_scope_begin();
    char *line = NULL, *space;
    size_t size = 0;

    ck_assert_msg(f != NULL, "cannot open tests/torch/edges.txt");
    edges.step = harness_count(harness_rounds(31, 3), 1);
    while (getline(&line, &size, f) > 0) {
        space = strchr(line, ' ');
        if (line[0] == '#' || !space)
            continue;
        *space = '\0';
        if (strcmp(line, "op") == 0 || strcmp(line, "rows") == 0) {
            ck_assert_msg(ct_scope_end(all) == CT_OK, "%s", ct_error_message());
            all = ct_scope_begin();
            edges.phase = (edges.phase + 1) % edges.step;
        }
        edge_line(line, space + 1);
    }
    ck_assert_msg(ct_scope_end(all) == CT_OK, "%s", ct_error_message());
    free(line);
    fclose(f);
    printf("%lld cases, distinct (op, dtype, operands, order); %lld wrong\n",
           (long long)edges.cases, (long long)edges.wrong);
    fflush(stdout); /* a failed assertion loses what is not written */
    ck_assert_int_eq(edges.wrong, 0);
    ck_assert_int_ge(edges.cases, harness_count(harness_rounds(2000, 20000), 60000));
}
END_TEST

static bool edge_is_opted_out(const char *name)
{
    size_t i;

    for (i = 0; i < sizeof edge_opt_outs / sizeof *edge_opt_outs; i++)
        if (strcmp(edge_opt_outs[i].name, name) == 0)
            return true;
    return false;
}

/* True if the file has a line "KIND NAME ...". */
static bool edge_is_in_file(const char *kind, const char *name)
{
    FILE *f = fopen(harness_source("tests/torch/edges.txt"), "r");
    char first[8], word[64], *line = NULL;
    size_t size = 0;
    bool found = false;

    ck_assert_msg(f != NULL, "cannot open tests/torch/edges.txt");
    while (!found && getline(&line, &size, f) > 0)
        found = sscanf(line, "%7s %63s", first, word) == 2 && strcmp(first, kind) == 0 &&
                strcmp(word, name) == 0;
    free(line);
    fclose(f);
    return found;
}

/* Each elementwise op is in the file or has a reason why not; each function of rows is in it. */
START_TEST(every_op_has_edges)
{
    const op_row *const tables[] = { elementwise_rows, compare_rows };
    size_t t, r;

    for (t = 0; t < sizeof tables / sizeof *tables; t++)
        for (r = 0; tables[t][r].name; r++)
            ck_assert_msg(edge_is_in_file("op", tables[t][r].name) !=
                              edge_is_opted_out(tables[t][r].name),
                          "%s must be in tests/torch/edges.py or in edge_opt_outs, not in both",
                          tables[t][r].name);
    for (t = 0; t < sizeof edge_functions / sizeof *edge_functions; t++)
        ck_assert_msg(edge_is_in_file("rows", edge_functions[t].name), "%s",
                      edge_functions[t].name);
}
END_TEST

/* Sums of squares that overflow although no square does: a power of two as each element. */
START_TEST(norms_of_many_numbers)
{
    ct_scope scope = ct_scope_begin();
    ct_dtype dtype = _i ? CT_F64 : CT_F32;
    double each = _i ? 0x1p511 : 0x1p59;
    ct_tensor *x = ct_full(CT_SHAPE(2, 4096), each, dtype, DEVICE);

    ck_assert_double_eq(ct_item(ct_norm(ct_narrow(x, 0, 0, 1), 2)), each * 64);
    x = CT_CAT(0, x, ct_neg(x));
    ck_assert_double_eq(ct_item(ct_std_axes(x, 2, (int[]){ 0, 1 }, 0, false)), each);
    ck_assert(ct_scope_end(scope) == CT_OK);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("edges");
    TCase *tc = harness_case(suite, "edges");

    tcase_add_test(tc, edges_give_the_right_numbers);
    tcase_add_test(tc, every_op_has_edges);
    tcase_add_loop_test(tc, norms_of_many_numbers, 0, 2);
    return harness_run(suite);
}
