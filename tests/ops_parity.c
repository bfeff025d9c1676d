/* SPDX-License-Identifier: MIT */
/* ops_parity.c - compares every op with PyTorch's numbers (tests/torch/ops_parity.txt, whose format
 * is in ops_parity.py). */
#include "tests/cases.h"
#include "tests/harness.h"
#include "tensor/internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cotangent.h>

#include "tests/test_ops.h"

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
    return leaf_from(ct_cast(t, dtype));
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
    if (c->gradients[0] && !CT_INFERENCE_ONLY)
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

void ops_parity_cases(Suite *suite)
{
    TCase *tc = harness_case(suite, "parity");

    tcase_add_test(tc, pytorch_gives_the_same);
}
