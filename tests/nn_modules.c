/* SPDX-License-Identifier: MIT */
/* nn_modules.c - modules with one input and one output beside PyTorch's: outputs and gradients of
 * tests/torch/modules.txt. modules.py there has the format and the formulas of the operands. */
#include "tests/test_nn.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cotangent.h>

#define MOST 1024 /* numbers of a line */

typedef struct module_row {
    const char *name;
    ct_shape x; /* the shape of the input */
    ct_module *(*make)(ct_params *set);
    bool ids;
} module_row;

static const ct_nn_conv_options conv1d_options = {
    .out_channels = 6, .kernel = { 3 }, .stride = { 2 }, .padding = { 1 }, .groups = 2
};
static const ct_nn_conv_options conv2d_options = { .out_channels = 6,
                                                   .kernel = { 3, 2 },
                                                   .stride = { 2, 1 },
                                                   .padding = { 1, CT_NO_PADDING },
                                                   .dilation = { 1, 2 },
                                                   .groups = 2 };
static const ct_nn_conv_options transpose_options = { .in_channels = 4,
                                                      .out_channels = 6,
                                                      .kernel = { 3, 2 },
                                                      .stride = { 2, 2 },
                                                      .padding = { 1, 1 },
                                                      .output_padding = { 1, 1 },
                                                      .groups = 2 };
static const ct_pool_options max_options = { .kernel = { 3, 3 },
                                             .stride = { 2, 2 },
                                             .padding = { 1, 1 } };
static const ct_pool_options avg_options = { .kernel = { 2, 3 }, .stride = { 1, 2 } };

static ct_module *make_linear(ct_params *set)
{
    return ct_nn_linear(set, "m", (ct_nn_linear_options){ .out_features = 4 });
}

static ct_module *make_embedding(ct_params *set)
{
    ct_nn_embedding_options o = { .rows = 6, .size = 4, .has_padding_idx = true, .padding_idx = 2 };

    return ct_nn_embedding(set, "m", o);
}

static ct_module *make_conv1d(ct_params *set)
{
    return ct_nn_conv1d(set, "m", conv1d_options);
}

static ct_module *make_conv2d(ct_params *set)
{
    return ct_nn_conv2d(set, "m", conv2d_options);
}

static ct_module *make_conv_transpose2d(ct_params *set)
{
    return ct_nn_conv_transpose2d(set, "m", transpose_options);
}

static ct_module *make_max_pool2d(ct_params *set)
{
    return ct_nn_max_pool2d(set, max_options);
}

static ct_module *make_avg_pool2d(ct_params *set)
{
    return ct_nn_avg_pool2d(set, avg_options);
}

static ct_module *make_adaptive_avg_pool2d(ct_params *set)
{
    return ct_nn_adaptive_avg_pool2d(set, 3, 2);
}

static ct_module *make_layer_norm(ct_params *set)
{
    return ct_nn_layer_norm(set, "m", (ct_nn_layer_norm_options){ .size = 6 });
}

static ct_module *make_rms_norm(ct_params *set)
{
    return ct_nn_rms_norm(set, "m", (ct_nn_rms_norm_options){ .size = 6 });
}

static ct_module *make_group_norm(ct_params *set)
{
    return ct_nn_group_norm(set, "m", (ct_nn_group_norm_options){ .groups = 2, .channels = 4 });
}

static ct_module *make_batch_norm(ct_params *set)
{
    return ct_nn_batch_norm(set, "m", (ct_nn_batch_norm_options){ .channels = 4 });
}

static ct_module *make_learned_encoding(ct_params *set)
{
    return ct_nn_learned_encoding(set, "m",
                                  (ct_nn_learned_encoding_options){ .max_length = 5, .size = 4 });
}

#define SIZES(...)                                                                                 \
    {                                                                                              \
        sizeof((int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t),                                      \
        {                                                                                          \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }

static const module_row module_rows[] = {
    { "ct_nn_linear", SIZES(3, 5), make_linear, false },
    { "ct_nn_linear_cross_entropy", SIZES(3, 5), make_linear, false },
    { "ct_nn_embedding", SIZES(2, 5), make_embedding, true },
    { "ct_nn_conv1d", SIZES(2, 4, 9), make_conv1d, false },
    { "ct_nn_conv2d", SIZES(1, 4, 7, 6), make_conv2d, false },
    { "ct_nn_conv_transpose2d", SIZES(1, 4, 4, 3), make_conv_transpose2d, false },
    { "ct_nn_max_pool2d", SIZES(1, 2, 7, 6), make_max_pool2d, false },
    { "ct_nn_avg_pool2d", SIZES(1, 2, 7, 6), make_avg_pool2d, false },
    { "ct_nn_adaptive_avg_pool2d", SIZES(2, 2, 7, 5), make_adaptive_avg_pool2d, false },
    { "ct_nn_flatten", SIZES(2, 3, 4), ct_nn_flatten, false },
    { "ct_nn_layer_norm", SIZES(3, 6), make_layer_norm, false },
    { "ct_nn_rms_norm", SIZES(3, 6), make_rms_norm, false },
    { "ct_nn_group_norm", SIZES(2, 4, 3), make_group_norm, false },
    { "ct_nn_batch_norm", SIZES(5, 4, 2), make_batch_norm, false },
    { "ct_nn_learned_encoding", SIZES(2, 3, 4), make_learned_encoding, false },
};

/* Returns a tensor of ((k + add) times + plus) mod most - shift, divided by `by`, for each k. */
typedef struct module_formula {
    int64_t add, times, plus, most, shift, by;
} module_formula;

static ct_tensor *module_numbers(ct_shape shape, module_formula f, ct_dtype dtype)
{
    double v[MOST];
    int64_t n = 1, k;
    int i;

    for (i = 0; i < shape.rank; i++)
        n *= shape.dim[i];
    ck_assert_int_le(n, MOST);
    for (k = 0; k < n; k++)
        v[k] = (double)(((k + f.add) * f.times + f.plus) % f.most - f.shift) / (double)f.by;
    return ct_to(ct_cast(ct_from_data(v, shape, CT_F64, CT_CPU), dtype), DEVICE);
}

typedef struct module_run {
    const module_row *row;
    ct_params *set;
    ct_tensor *x, *y;
} module_run;

static const module_row *module_row_named(const char *name)
{
    size_t i;

    for (i = 0; i < sizeof module_rows / sizeof *module_rows; i++)
        if (strcmp(module_rows[i].name, name) == 0)
            return &module_rows[i];
    ck_abort_msg("modules.txt has %s, the table has not", name);
    return NULL;
}

/* Makes the module with its values, runs it, and computes the gradients. */
static module_run module_begin(const char *name, ct_dtype dtype)
{
    module_run r = { module_row_named(name), new_params(1, dtype), NULL, NULL };
    const module_formula ids = { 0, 1, 0, 6, 0, 1 }, of_x = { 0, 37, 11, 101, 50, 32 };
    ct_module *m = r.row->make(r.set);
    int64_t rows = r.row->x.dim[0];
    ct_tensor *dy;
    bool was;
    int p, k;

    r.x = module_numbers(r.row->x, r.row->ids ? ids : of_x, r.row->ids ? CT_I64 : dtype);
    r.x = r.row->ids ? r.x : ct_set_requires_grad(r.x, true);
    ct_forward(m, ct_detach(r.x)); /* settles lazy sizes */
    was = ct_set_grad_enabled(false);
    for (p = k = 0; p < ct_params_count(r.set); p++)
        if (ct_param_is_trained(ct_params_at(r.set, p)))
            ct_copy_into(ct_param_value(ct_params_at(r.set, p)),
                         module_numbers(ct_param_shape(ct_params_at(r.set, p)),
                                        (module_formula){ 1, 29 + 7 * k++, 0, 97, 48, 64 }, dtype));
    ct_set_grad_enabled(was);
    if (strcmp(name, "ct_nn_linear_cross_entropy") == 0)
        r.y = ct_nn_linear_cross_entropy(m, r.x, ct_arange(0, (double)rows, 1, CT_I64, DEVICE),
                                         (ct_cross_entropy_options){ 0 });
    else
        r.y = ct_forward(m, r.x);
    ck_assert_msg(r.y != NULL, "%s: %s", name, ct_error_message());
    dy = module_numbers(ct_tensor_shape(r.y), (module_formula){ 0, 53, 5, 89, 44, 32 }, dtype);
    ck_assert_msg(ct_backward_with(r.y, dy) == CT_OK, "%s: %s", name, ct_error_message());
    return r;
}

/* Compares the output, the gradient of x or that of a parameter, by the key of a line. An error is at
 * most 1e-12 (f32: 1e-5) times the sum of the numbers. */
static void module_compare(const module_run *r, const char *key, char *numbers, ct_dtype dtype)
{
    double want[MOST], sum = 0;
    char what[96], name[64];
    ct_tensor *t;
    char *save = NULL, *word;
    size_t n = 0;

    for (word = strtok_r(numbers, " \n", &save); word; word = strtok_r(NULL, " \n", &save)) {
        ck_assert_uint_lt(n, MOST);
        want[n] = strtod(word, NULL);
        sum += fabs(want[n++]);
    }
    snprintf(name, sizeof name, "m.%s", key);
    if (strcmp(key, "y") == 0)
        t = r->y;
    else if (strcmp(key, "x") == 0)
        t = ct_tensor_grad(r->x);
    else
        t = ct_tensor_grad(ct_param_value(ct_params_get(r->set, name)));
    snprintf(what, sizeof what, "%s %s %s", r->row->name, key, ct_dtype_name(dtype));
    expect_values(what, t, want, n, sum * (dtype == CT_F64 ? 1e-12 : 1e-5));
}

START_TEST(modules_give_pytorchs_numbers)
{
    const ct_dtype dtype = _i ? CT_F32 : CT_F64;
    FILE *f = fopen(harness_source("tests/torch/modules.txt"), "r");
    ct_scope scope = ct_scope_begin();
    module_run r = { NULL, NULL, NULL, NULL };
    char *line = NULL, *rest;
    size_t size = 0, modules = 0;

    ck_assert_msg(f != NULL, "cannot open tests/torch/modules.txt");
    while (getline(&line, &size, f) > 0) {
        rest = strchr(line, ' ');
        if (line[0] == '#' || !rest)
            continue;
        *rest++ = '\0';
        if (strcmp(line, "module") == 0) {
            ct_params_free(r.set);
            rest[strcspn(rest, "\n")] = '\0';
            r = module_begin(rest, dtype);
            modules++;
        } else {
            module_compare(&r, line, rest, dtype);
        }
    }
    ck_assert_uint_eq(modules, sizeof module_rows / sizeof *module_rows);
    ck_assert_msg(ct_scope_end(scope) == CT_OK, "%s", ct_error_message());
    ct_params_free(r.set);
    free(line);
    fclose(f);
}
END_TEST

void nn_modules_cases(Suite *suite)
{
    TCase *tc = harness_case(suite, "modules");

    tcase_add_loop_test(tc, modules_give_pytorchs_numbers, 0, 2);
}
