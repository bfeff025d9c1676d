/* SPDX-License-Identifier: MIT */
/* test_ops.c - compares every op with PyTorch's numbers (tests/torch/ops_parity.txt, whose format
 * is in ops_parity.py); then ops without derivatives, wrong calls (the whole message), and memory
 * that runs out. */
#include "tests/cases.h"
#include "tests/harness.h"
#include "tensor/hooks.h"
#include "tensor/internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cotangent.h>

#include "tests/test_ops.h"

/* ---- PyTorch's numbers ---- */

#define MOST_NUMBERS 256
#define LEAST_PER_OP 5

typedef struct numbers {
    int count;
    double at[MOST_NUMBERS];
} numbers;

typedef struct parity_case {
    int number; /* counts from 1 over the whole file */
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

/* Checks that the error of each element of t is at most 1e-12 (f32: 1e-5) times the sum of the
 * expected magnitudes. */
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

/* Reads the next case of the file into *c and the line after it into line. Returns false at the end
 * of the file. */
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

/* Returns the text of tests/torch/no_parity.txt, which has the ops without cases in ops_parity.txt and
 * the reasons after a comment; the caller frees it. */
static char *ops_without_cases(void)
{
    FILE *f = fopen(harness_source("tests/torch/no_parity.txt"), "r");
    char *text = NULL;
    size_t size = 0;

    ck_assert_msg(f != NULL, "cannot open tests/torch/no_parity.txt");
    ck_assert(getdelim(&text, &size, '\0', f) > 0);
    fclose(f);
    return text;
}

static bool is_there(const char *without, const char *name)
{
    char entry[80];

    snprintf(entry, sizeof entry, "\n%s: ", name);
    return strstr(without, entry) == NULL;
}

/* Returns the counter of a row's cases, found by the row's name. */
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
    char *without;
    int cases = 0, t, r;

    ck_assert_msg(f != NULL, "cannot open tests/torch/ops_parity.txt");
    while (next_case(f, &c, line, sizeof line)) {
        check_case(&c, CT_F64);
        check_case(&c, CT_F32);
        ++*count_of(c.row);
        cases++;
    }
    fclose(f);
    without = ops_without_cases();
    for (t = 0; op_tables[t]; t++)
        for (r = 0; op_tables[t][r].name; r++)
            if (is_there(without, op_tables[t][r].name))
                ck_assert_msg(*count_of(&op_tables[t][r]) >= LEAST_PER_OP, "%s has %d cases",
                              op_tables[t][r].name, *count_of(&op_tables[t][r]));
    free(without);
    ck_assert_int_ge(cases, 1000);
}
END_TEST

/* ---- memory that counts requests and fails ---- */

static struct {
    void *(*allocate)(size_t alignment, size_t bytes);
    int64_t made;
    size_t bytes; /* of those requests */
    int64_t left; /* requests until one fails; -1: none fails */
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

static size_t taken_by_product(ct_tensor *a, ct_tensor *b, ct_tensor **y)
{
    memory.bytes = 0;
    *y = ct_matmul(a, b);
    return memory.bytes;
}

/* Views of a matrix with several strides, and whether BLAS can read them without a copy. */
START_TEST(products_copy_no_matrix_that_has_a_dense_axis)
{
    enum { N = 16384 };
    static const struct {
        const char *what;
        int64_t rows, columns; /* sizes of the buffer */
        bool transposed;
        int64_t from_row, rows_shown, from_column, columns_shown, step; /* step: of the columns */
        bool copied;
        int64_t times; /* how often the first row is repeated; 0: not */
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
        ck_assert_msg(DEVICE != CT_CPU || /* the memory of other devices is not counted */
                          (taken >= plain + (size_t)ct_numel(x) * sizeof(double)) ==
                              cases[i].copied,
                      "%s: %zu bytes, in order %zu", cases[i].what, taken, plain);
        free(want);
        ck_assert(ct_scope_end(s) == CT_OK);
    }
    count_memory(false);
}
END_TEST

/* Returns true if an input before k is neither an index nor a bool. */
static bool has_number_before(const op_draw *d, int k)
{
    while (--k >= 0)
        if (d->in[k].values != OP_INDEX && d->in[k].values != OP_BOOL)
            return true;
    return false;
}

/* Returns input k with a wrong dtype: bool for an index, i64 for a bool, f32 for a number after
 * another number. Returns NULL where any dtype is right. */
static ct_tensor *of_another_dtype(const op_draw *d, int k, ct_tensor *t)
{
    switch (d->in[k].values) {
    case OP_INDEX:
        return ct_cast(t, CT_BOOL);
    case OP_BOOL:
        return ct_cast(t, CT_I64);
    default:
        return has_number_before(d, k) ? ct_cast(ct_detach(t), CT_F32) : NULL;
    }
}

/* Input k is NULL, which is an error unless that input is optional. */
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

/* NULL, a dead tensor and a wrong dtype are refused, for every input in turn. */
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

/* Writes into input k between the op and its backward. Returns true if backward then fails, as it
 * must if the op saved the input. */
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

/* A tensor that an op saved must not change before backward; every other input may. */
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

/* Returns true for a sum or a difference, which passes its output gradient on: there one leaf alone
 * costs as much as all. */
static bool hands_on(const char *name)
{
    static const char *const names[] = { "ct_add",     "ct_sub",        "ct_mse_loss",
                                         "ct_l1_loss", "ct_huber_loss", "ct_smooth_l1_loss" };
    size_t i;

    for (i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

/* Writes the gradients of the inputs that require one, which are leaves, under a random output
 * gradient, as f64. Returns the number of tensors that backward made. */
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

/* Requires the gradient of leaf k alone: it has the same bits as with all leaves, and the others
 * get none. Returns true if backward makes fewer tensors. */
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

    REFUSED(CT_ERR_ARGUMENT, "ct_topk", "k is 9", ct_topk(x, 9, 0, true, NULL));
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* ---- out of memory: each allocation fails in turn, in every op and its derivatives ---- */

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

/* Runs the op, its gradient and the second derivative with respect to the first input. */
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

/* Runs with a failure of allocation number at. Returns false if there were fewer allocations. */
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
    tc = harness_case(suite, "misuse");
    tcase_add_test(tc, every_op_looks_at_each_input);
    tcase_add_test(tc, every_op_sees_writes_to_what_it_saved);
    tcase_add_test(tc, messages_name_the_call);
    tc = harness_case(suite, "memory");
    tcase_add_test(tc, products_copy_no_matrix_that_has_a_dense_axis);
    tcase_add_test(tc, every_op_differentiates_what_is_wanted);
    tcase_add_test(tc, every_op_bears_failing_allocations);
    ops_values_cases(suite);
    ops_arrangements_cases(suite);
    ops_misuse_cases(suite);
    ops_numbers_cases(suite);
    ops_random_cases(suite);
    ops_search_cases(suite);
    ops_zero_sizes_cases(suite);
    return harness_run(suite);
}
