/* SPDX-License-Identifier: MIT */
/* test_autograd.c - every op against finite differences, from the table of cases.
 *
 * For calls drawn for each row, checks in f64: the Jacobian under random output gradients, |numeric
 * - analytic| <= 1e-6 max(1, largest entry); second order; the same bits from two backward passes;
 * the same values from strided inputs. Every public op must have a row, and the opt-outs of a row
 * must be in tests/opt_outs.txt. */
#include "tests/cases.h"
#include "tests/harness.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cotangent.h>

/* Public functions that return a tensor but are not ops on the values of their inputs. */
static const struct {
    const char *name, *reason;
} not_ops[] = {
    { "ct_set_requires_grad", "returns its argument" },
    { "ct_detach", "cuts history, by definition" },
    { "ct_tensor_grad", "reads a leaf's gradient" },
    { "ct_node_input", "reads what a node saved" },
    { "ct_node_output", "reads what a node saved" },
    { "ct_param_value", "reads a parameter" },
};

#define NOT_OPS (sizeof not_ops / sizeof *not_ops)

static int rows_count(void)
{
    int n = 0, t, r;

    for (t = 0; op_tables[t]; t++)
        for (r = 0; op_tables[t][r].name; r++)
            n++;
    return n;
}

static const op_row *row_at(int i)
{
    int t, r;

    for (t = 0; op_tables[t]; t++)
        for (r = 0; op_tables[t][r].name; r++)
            if (i-- == 0)
                return &op_tables[t][r];
    return NULL;
}

/* The call that is checked. */
typedef struct checked {
    const op_row *row;
    op_draw draw;
    const char *what;
    ct_tensor *in[OP_INPUTS];
    ct_tensor *leaf[OP_INPUTS]; /* the inputs that require a gradient, each once */
    int leaves;
} checked;

static void checked_begin(checked *c, const op_row *row, int number, int64_t most)
{
    int i;

    c->row = row;
    c->draw = op_draw_call(row, number, most);
    c->what = op_describe(row, number, &c->draw);
    c->leaves = 0;
    op_make_inputs(&c->draw, c->in);
    for (i = 0; i < c->draw.count; i++)
        if (c->draw.in[i].same_as < 0 && ct_tensor_requires_grad(c->in[i]))
            c->leaf[c->leaves++] = c->in[i];
}

static ct_tensor *call(const checked *c)
{
    ct_tensor *y = op_call(c->row, &c->draw, c->in);

    ck_assert_msg(y != NULL, "%s: %s", c->what, ct_error_message());
    return y;
}

static void checked_end(const checked *c, ct_scope s)
{
    ck_assert_msg(ct_scope_end(s) == CT_OK, "%s: %s", c->what, ct_error_message());
}

/* ---- the Jacobian ---- */

/* Results with more elements are checked through random combinations of all elements. */
#define MOST_ROWS 64

/* Returns the values of the result after adding delta to element `at` of a leaf. */
static double *moved(const checked *c, ct_tensor *leaf, int64_t at, double delta)
{
    ct_scope s = ct_scope_begin_no_grad();
    double *x = values_of(leaf), *y;

    put_value(leaf, at, x[at] + delta);
    y = values_of(call(c));
    put_value(leaf, at, x[at]);
    free(x);
    ck_assert(ct_scope_end(s) == CT_OK);
    return y;
}

/* Returns the number of elements of the result. */
static int64_t result_size(const checked *c)
{
    ct_scope s = ct_scope_begin_no_grad();
    int64_t n = ct_numel(call(c));

    checked_end(c, s);
    return n;
}

/* Computes jacobian[o * inputs + i] by central differences. */
static double *numeric_jacobian(const checked *c, int64_t inputs, int64_t outputs)
{
    const double eps = 1e-6;
    double *j = malloc((size_t)(inputs * outputs + 1) * sizeof *j);
    int64_t i = 0, k, o;
    int l;

    for (l = 0; l < c->leaves; l++)
        for (k = 0; k < ct_numel(c->leaf[l]); k++, i++) {
            double *up = moved(c, c->leaf[l], k, eps), *down = moved(c, c->leaf[l], k, -eps);

            for (o = 0; o < outputs; o++)
                j[o * inputs + i] = (up[o] - down[o]) / (2 * eps);
            free(up);
            free(down);
        }
    return j;
}

/* Compares the gradients for an output gradient w with the product of w and the Jacobian. */
static void compare_row(const checked *c, ct_tensor *y, const double *w, const double *jacobian,
                        int64_t inputs)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *gradient = ct_from_data(w, ct_tensor_shape(y), CT_F64, DEVICE), *got[OP_INPUTS];
    int64_t outputs = ct_numel(y), i = 0, k, o;
    double largest = 1;
    int l;

    ck_assert_msg(ct_grad(1, &y, c->leaves, c->leaf, &gradient, false, got) == CT_OK, "%s: %s",
                  c->what, ct_error_message());
    for (o = 0; o < outputs; o++)
        for (i = 0; i < inputs; i++)
            largest = fmax(largest, fabs(w[o] * jacobian[o * inputs + i]));
    for (l = 0, i = 0; l < c->leaves; l++) {
        double *a = values_of(got[l]);

        for (k = 0; k < ct_numel(got[l]); k++, i++) {
            double n = 0;

            for (o = 0; o < outputs; o++)
                n += w[o] * jacobian[o * inputs + i];
            if (!(fabs(n - a[k]) <= 1e-6 * largest))
                ck_abort_msg("%s: leaf %d, element %lld: numeric %.12g, analytic %.12g", c->what, l,
                             (long long)k, n, a[k]);
        }
        free(a);
    }
    checked_end(c, s);
}

static void check_jacobian(const checked *c)
{
    ct_generator g = ct_generator_stream(c->draw.g, "output gradients");
    int64_t inputs = 0, outputs = result_size(c), o, k;
    double *jacobian, *w = calloc((size_t)outputs + 1, sizeof *w);
    ct_tensor *y;
    int l;

    for (l = 0; l < c->leaves; l++)
        inputs += ct_numel(c->leaf[l]);
    jacobian = numeric_jacobian(c, inputs, outputs); /* must come before the forward, because it
                                                      * writes to the leaves */
    y = call(c);
    ck_assert_msg(c->leaves && ct_tensor_requires_grad(y), "%s: the result has no history",
                  c->what);
    for (o = 0; o < outputs && outputs <= MOST_ROWS; o++) {
        memset(w, 0, (size_t)outputs * sizeof *w);
        w[o] = 0.5 + ct_random_uniform(&g);
        compare_row(c, y, w, jacobian, inputs);
    }
    for (k = 0; k < 2; k++) {
        for (o = 0; o < outputs; o++)
            w[o] = 4 * ct_random_uniform(&g) - 2;
        compare_row(c, y, w, jacobian, inputs);
    }
    free(jacobian);
    free(w);
}

START_TEST(the_jacobian_is_right)
{
    const op_row *row = row_at(_i);
    int count = row->no_gradient ? 0 : harness_count(8, 200), k;

    for (k = 0; k < count; k++) {
        ct_scope s = ct_scope_begin();
        checked c;

        checked_begin(&c, row, k, 64);
        check_jacobian(&c);
        checked_end(&c, s);
    }
}
END_TEST

/* ---- second order ---- */

static ct_tensor *as_function(int count, ct_tensor *const *inputs, void *context)
{
    const checked *c = context;

    (void)count;
    (void)inputs;
    return op_call(c->row, &c->draw, c->in);
}

START_TEST(the_second_derivative_is_right)
{
    const op_row *row = row_at(_i);
    int count = row->no_gradient || row->no_second ? 0 : harness_count(4, 200), k;

    for (k = 0; k < count; k++) {
        ct_scope s = ct_scope_begin();
        checked c;

        checked_begin(&c, row, k, 12);
        ck_assert_msg(ct_gradcheck(as_function, c.leaves, c.leaf, &c, &c.draw.g, 0, 0), "%s: %s",
                      c.what, ct_error_message());
        ck_assert_msg(ct_gradgradcheck(as_function, c.leaves, c.leaf, &c, &c.draw.g, 0, 0),
                      "%s: %s", c.what, ct_error_message());
        checked_end(&c, s);
    }
}
END_TEST

/* ---- the same bits ---- */

static double *gradients_of(const checked *c, ct_tensor *y, ct_tensor *w, size_t *bytes)
{
    double *all = NULL;
    size_t n = 0;
    int l;

    ck_assert_msg(ct_backward_with(y, w) == CT_OK, "%s: %s", c->what, ct_error_message());
    for (l = 0; l < c->leaves; l++) {
        ct_tensor *grad = ct_tensor_grad(c->leaf[l]);
        double *v;

        if (!grad)
            continue;
        v = values_of(grad);
        all = realloc(all, (n + (size_t)ct_numel(grad) + 1) * sizeof *all);
        memcpy(all + n, v, (size_t)ct_numel(grad) * sizeof *all);
        n += (size_t)ct_numel(grad);
        free(v);
        ct_tensor_zero_grad(c->leaf[l]);
    }
    *bytes = n * sizeof *all;
    return all;
}

START_TEST(backward_twice_gives_the_same_bits)
{
    const op_row *row = row_at(_i);
    int count = row->no_gradient ? 0 : harness_count(4, 200), k;

    for (k = 0; k < count; k++) {
        ct_scope s = ct_scope_begin();
        size_t first_bytes, second_bytes;
        double *first, *second;
        ct_tensor *y, *w;
        checked c;

        checked_begin(&c, row, k, 64);
        y = call(&c);
        w = ct_randn(ct_tensor_shape(y), CT_F64, DEVICE, &c.draw.g);
        first = gradients_of(&c, y, w, &first_bytes);
        second = gradients_of(&c, y, w, &second_bytes);
        ck_assert_msg(first_bytes == second_bytes, "%s", c.what);
        ck_assert_msg(!first_bytes || memcmp(first, second, first_bytes) == 0, "%s: other bits",
                      c.what);
        free(first);
        free(second);
        checked_end(&c, s);
    }
}
END_TEST

/* ---- strided inputs ---- */

START_TEST(strides_change_no_value)
{
    const op_row *row = row_at(_i);
    int count = harness_count(8, 200), k;

    for (k = 0; k < count; k++) {
        ct_scope s = ct_scope_begin();
        double *plain;
        ct_tensor *y;
        checked c;

        checked_begin(&c, row, k, 64);
        c.draw.strided = false;
        y = call(&c);
        plain = values_of(y);
        c.draw.strided = true;
        expect_values(c.what, call(&c), plain, (size_t)ct_numel(y), 1e-12);
        free(plain);
        checked_end(&c, s);
    }
}
END_TEST

/* ---- NULL arguments ---- */

/* A NULL raises an error, but only if none is recorded. */
START_TEST(null_gives_null)
{
    const op_row *row = row_at(_i);
    ct_tensor *none[OP_INPUTS] = { NULL };
    op_draw d = op_draw_call(row, 0, 64);
    ct_scope s = ct_scope_begin();
    int k;

    d.strided = false;
    for (k = 0; k < 2; k++) {
        if (row->one || row->two)
            ck_assert_msg(!(row->one ? row->one(NULL) : row->two(NULL, NULL)), "%s", row->name);
        else
            ck_assert_msg(!row->call(none, &d), "%s", row->name);
        if (k == 0)
            harness_no_value(row->name);
        else
            harness_no_second_error(row->name);
    }
    ck_assert(ct_scope_end(s) == CT_OK || ct_ok());
}
END_TEST

/* ---- the table is complete ---- */

static bool has_row(const char *name)
{
    int i, n = rows_count();

    for (i = 0; i < n; i++)
        if (strcmp(row_at(i)->name, name) == 0)
            return true;
    for (i = 0; i < (int)NOT_OPS; i++)
        if (strcmp(not_ops[i].name, name) == 0)
            return true;
    return false;
}

/* Checks that each prototype "ct_tensor *ct_name(" at the beginning of a line has a row. Returns
 * their number. */
static int look_at_header(const char *header)
{
    static const char start[] = "ct_tensor *";
    char line[512];
    FILE *f = fopen(harness_source(header), "r");
    int seen = 0;

    ck_assert_msg(f != NULL, "cannot open %s", harness_source(header));
    while (fgets(line, sizeof line, f)) {
        char *name = line + sizeof start - 1, *end;

        if (strncmp(line, start, sizeof start - 1) != 0 || strncmp(name, "ct_", 3) != 0)
            continue;
        end = strchr(name, '(');
        ck_assert_msg(end != NULL, "%s: %s", header, line);
        *end = '\0';
        ck_assert_msg(has_row(name), "%s of %s has no row in tests/cases_*.c", name, header);
        seen++;
    }
    fclose(f);
    return seen;
}

START_TEST(every_op_has_a_row)
{
    const char *list = getenv("public_headers");
    char *headers, *h;
    int seen = 0;

    ck_assert_msg(list != NULL, "run this by make check: public_headers is not set");
    headers = strdup(list);
    for (h = strtok(headers, " "); h; h = strtok(NULL, " "))
        if (strncmp(h, "autograd/", 9) == 0 || strcmp(h, "nn/loss.h") == 0)
            seen += look_at_header(h);
    free(headers);
    ck_assert_int_ge(seen, 80);
}
END_TEST

/* The draws contain enough strided calls, zero sizes and broadcasts, ranks 0 to 5, and calls with
 * one tensor twice. */
START_TEST(draws_take_all_forms)
{
    int all = 0, strided = 0, zero = 0, pairs = 0, same = 0, broadcast = 0, rank[6] = { 0 }, i, k,
        n;

    for (i = 0; i < rows_count(); i++)
        for (k = 0; k < 200; k++) {
            op_draw d = op_draw_call(row_at(i), k, 64);
            bool empty = false, other = false;

            for (n = 0; n < d.count; n++) {
                int64_t elements = 1;
                int a;

                for (a = 0; a < d.in[n].shape.rank; a++)
                    elements *= d.in[n].shape.dim[a];
                ck_assert_msg(elements <= 64, "%s", op_describe(row_at(i), k, &d));
                empty |= elements == 0;
                other |= memcmp(&d.in[n].shape, &d.in[0].shape, sizeof d.in[n].shape) != 0;
                same += d.in[n].same_as >= 0;
            }
            all++;
            strided += d.strided;
            zero += empty;
            rank[d.in[0].shape.rank]++;
            pairs += row_at(i)->two != NULL;
            broadcast += row_at(i)->two != NULL && other;
        }
    ck_assert(strided > 0.2 * all && strided < 0.3 * all);
    ck_assert(zero > 0.05 * all && zero < 0.15 * all);
    ck_assert(broadcast > 0.15 * pairs);
    ck_assert(same > 0.03 * pairs);
    for (k = 0; k < 6; k++)
        ck_assert_msg(rank[k] > 0.05 * all, "rank %d: %d of %d", k, rank[k], all);
}
END_TEST

/* ---- opt-outs ---- */

static void add_line(char *text, size_t size, const char *name, const char *check,
                     const char *reason)
{
    size_t n = strlen(text);

    snprintf(text + n, size - n, "%s: %s: %s\n", name, check, reason);
}

/* The opt-outs of the tables are those of the committed list. */
START_TEST(opt_outs_are_the_committed_ones)
{
    static char have[65536], want[65536];
    FILE *f = fopen(harness_source("tests/opt_outs.txt"), "r");
    size_t n, i;

    for (i = 0; i < NOT_OPS; i++)
        add_line(have, sizeof have, not_ops[i].name, "no op", not_ops[i].reason);
    for (i = 0; i < (size_t)rows_count(); i++) {
        const op_row *row = row_at((int)i);

        if (row->no_gradient)
            add_line(have, sizeof have, row->name, "no gradient", row->no_gradient);
        if (row->no_second)
            add_line(have, sizeof have, row->name, "no second order", row->no_second);
    }
    printf("opt-outs:\n%s", have);
    fflush(stdout);
    ck_assert_msg(f != NULL, "cannot open tests/opt_outs.txt");
    n = fread(want, 1, sizeof want - 1, f);
    fclose(f);
    want[n] = '\0';
    ck_assert_msg(strcmp(have, want) == 0, "the opt-outs are not those of tests/opt_outs.txt:\n%s",
                  have);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("autograd");
    TCase *tc = harness_case(suite, "ops");
    int n = rows_count();

    tcase_add_loop_test(tc, the_jacobian_is_right, 0, n);
    tcase_add_loop_test(tc, the_second_derivative_is_right, 0, n);
    tcase_add_loop_test(tc, backward_twice_gives_the_same_bits, 0, n);
    tcase_add_loop_test(tc, strides_change_no_value, 0, n);
    tcase_add_loop_test(tc, null_gives_null, 0, n);
    tc = harness_case(suite, "table");
    tcase_add_test(tc, every_op_has_a_row);
    tcase_add_test(tc, draws_take_all_forms);
    tcase_add_test(tc, opt_outs_are_the_committed_ones);
    return harness_run(suite);
}
