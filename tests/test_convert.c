/* SPDX-License-Identifier: MIT */
/* test_convert.c - conversion of other frameworks' weights: modules with converted weights give the
 * numbers of Keras, Flax and Gluon; conversions in both directions; errors. */
#include <cotangent.h>

#include "tests/files.h"
#include "tests/harness.h"
#include "tests/recurrent_file.h"

#include <stdlib.h>
#include <string.h>

#define MOST_TENSORS 64

static const ct_dialect dialects[] = { CT_DIALECT_TORCH, CT_DIALECT_GLUON, CT_DIALECT_KERAS,
                                       CT_DIALECT_FLAX };

static void expect_saved(ct_status status)
{
    ck_assert_msg(status == CT_OK, "%s", ct_error_message());
}

static void convert(const char *from, const char *to, ct_convert_options o)
{
    expect_saved(ct_convert(from, to, o));
}

/* ---- other frameworks' numbers ---- */

static ct_recurrent *module_in(const config *c, ct_dialect dialect, ct_params *params)
{
    return recurrent_of(c, params,
                        (ct_nn_recurrent_options){ .input_size = c->in, .dialect = dialect });
}

/* Writes a module's weights, with the formula's values, as the other framework's file. */
static void write_theirs(const config *c, ct_dialect theirs, ct_params *params, const char *path)
{
    ct_scope s = ct_scope_begin();
    const char *names[MOST_TENSORS];
    ct_tensor *tensors[MOST_TENSORS];
    ct_safetensors *f;
    int i, n;

    expect_saved(ct_params_save(params, "shapes"));
    convert("shapes", path,
            (ct_convert_options){ .to = theirs, .reset_before = is_variant(c, "reset_before") });
    f = ct_safetensors_open(path);
    n = ct_safetensors_count(f);
    ck_assert_int_le(n, MOST_TENSORS);
    for (i = 0; i < n; i++) {
        names[i] = ct_safetensors_name(f, i);
        tensors[i] =
            made(c->number, names[i] + 2, ct_safetensors_shape(f, i), ct_params_dtype(params), 0.5);
    }
    expect_saved(ct_safetensors_write(path, n, names, tensors, NULL));
    ct_safetensors_close(f);
    ck_assert(ct_scope_end(s) == CT_OK);
}

static void load_converted(const config *c, ct_dialect theirs, ct_dialect biases, ct_params *params)
{
    convert("theirs", "ours",
            (ct_convert_options){
                .from = theirs, .biases = biases, .reset_before = is_variant(c, "reset_before") });
    expect_saved(ct_params_load(params, "ours", (ct_load_options){ .report = NULL }));
}

/* Computes y for a configuration; a single cell runs step by step. */
static ct_tensor *run(const config *c, ct_recurrent *r, const call *k, ct_state **next)
{
    ct_tensor *y[16];
    const ct_state *state = k->given;
    int t;

    if (!is_variant(c, "cell"))
        return ct_recurrent_forward_with(r, k->x, k->given, next, k->more);
    for (t = 0; t < c->T; t++, state = *next)
        y[t] = ct_recurrent_step(r, ct_select(k->x, 0, t), state, next);
    return ct_stack((int)c->T, y, 0);
}

/* Compares the gradients in the other framework's layout with those of the configuration; their
 * numbers must agree too. */
static void expect_gradients(const config *c, ct_dialect theirs, ct_params *params,
                             const want *wants, int n, double tolerance)
{
    const char *names[MOST_TENSORS];
    ct_tensor *tensors[MOST_TENSORS];
    ct_safetensors *f;
    int i, count = ct_params_count(params), found = 0;
    char name[80];

    for (i = 0; i < count; i++) {
        names[i] = ct_param_name(ct_params_at(params, i));
        tensors[i] = gradient_of(ct_param_value(ct_params_at(params, i)));
    }
    expect_saved(ct_safetensors_write("gradients", count, names, tensors, NULL));
    convert("gradients", "gradients",
            (ct_convert_options){ .to = theirs, .reset_before = is_variant(c, "reset_before") });
    f = ct_safetensors_open("gradients");
    for (i = 0; i < n; i++) {
        snprintf(name, sizeof name, "m.%s", wants[i].name + 1);
        if (ct_safetensors_find(f, name) < 0)
            continue;
        expect_sums(c, &wants[i], ct_safetensors_get(f, name, CT_CPU), tolerance);
        found++;
    }
    ck_assert_int_eq(found, ct_safetensors_count(f));
    ct_safetensors_close(f);
}

/* MXNet's op for whole sequences computes relu in f32, but its cell does not. */
static double tolerance_of(const config *c, ct_dtype dtype)
{
    if (dtype == CT_F32)
        return 1e-5;
    return is_variant(c, "gluon") && strcmp(c->mode, "rnn_relu") == 0 ? 1e-6 : 1e-12;
}

static void check_config(const config *c, ct_dialect theirs, const want *wants, int n,
                         ct_dtype dtype)
{
    const double tolerance = tolerance_of(c, dtype);
    ct_params *params = ct_params_new((ct_params_options){ .dtype = dtype, .device = DEVICE });
    ct_recurrent *r = module_in(c, theirs, params);
    ct_scope s = ct_scope_begin();
    call k = call_of(c, dtype);
    int i, others = 0;
    ct_state *next;
    ct_tensor *y;

    write_theirs(c, theirs, params, "theirs");
    load_converted(c, theirs, theirs, params);
    y = run(c, r, &k, &next);
    expect_ok();
    go_back(c, y, next, dtype);
    for (i = 0; i < n; i++) {
        ct_tensor *t = result_of(wants[i].name, &k, y, next);

        if (t)
            expect_sums(c, &wants[i], t, tolerance);
        others += t != NULL;
    }
    ck_assert_int_eq(others, 2 + ct_state_count(next) * (c->state ? 2 : 1));
    expect_gradients(c, theirs, params, wants, n, tolerance);
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(params);
}

/* A module of PyTorch's dialect, with its two biases, gives the same outputs. */
static void check_two_biases(const config *c, ct_dialect theirs, const want *wants)
{
    ct_params *params = ct_params_new((ct_params_options){ .dtype = CT_F64, .device = DEVICE });
    ct_recurrent *r = module_in(c, CT_DIALECT_TORCH, params);
    ct_scope s = ct_scope_begin();
    call k = call_of(c, CT_F64);
    ct_state *next;

    load_converted(c, theirs, CT_DIALECT_TORCH, params);
    ck_assert_str_eq(wants[0].name, "y");
    expect_sums(c, &wants[0], run(c, r, &k, &next), tolerance_of(c, CT_F64));
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(params);
}

/* One third of the cases in f32, or all of them in the full test. */
START_TEST(test_numbers)
{
    static const struct {
        const char *path;
        ct_dialect dialect;
        int count;
    } peers[] = { { "tests/peers/gluon.txt", CT_DIALECT_GLUON, 68 },
                  { "tests/peers/keras.txt", CT_DIALECT_KERAS, 89 },
                  { "tests/peers/flax.txt", CT_DIALECT_FLAX, 40 } };
    config_file f = open_configs(peers[_i].path);
    config c = { .number = -1 };
    want wants[MOST_WANTS];
    int n;

    while ((n = read_config(&f, &c, wants)) > 0) {
        check_config(&c, peers[_i].dialect, wants, n, CT_F64);
        check_two_biases(&c, peers[_i].dialect, wants);
        if (harness_full() || c.number % 3 == 0)
            check_config(&c, peers[_i].dialect, wants, n, CT_F32);
    }
    fclose(f.f);
    ck_assert_int_eq(c.number + 1, peers[_i].count);
}
END_TEST

/* ---- conversions in both directions ---- */

typedef struct kind {
    ct_recurrent *(*make)(ct_params *, const char *, ct_nn_recurrent_options);
    bool reset_before;
} kind;

static const kind kinds[] = {
    { ct_nn_rnn, false }, { ct_nn_lstm, false }, { ct_nn_gru, false }, { ct_nn_gru, true }
};

/* True if a layout has this kind of module. */
static bool fits(const kind *k, ct_dialect layout)
{
    return !k->reset_before || layout == CT_DIALECT_TORCH || layout == CT_DIALECT_KERAS;
}

typedef struct model {
    ct_params *params;
    ct_recurrent *rnn;
} model;

/* Makes rnn, with two layers and directions, and linear; all values are random, also biases. */
static model new_model(const kind *k, ct_dialect dialect, bool no_bias)
{
    ct_generator g = ct_generator_from_seed(8);
    model m = { .params = ct_params_new((ct_params_options){ .dtype = CT_F64, .device = DEVICE }) };
    ct_scope s;
    int i;

    m.rnn = k->make(m.params, "rnn",
                    (ct_nn_recurrent_options){ .input_size = 3,
                                               .hidden_size = 4,
                                               .num_layers = 2,
                                               .bidirectional = true,
                                               .no_bias = no_bias,
                                               .dialect = dialect,
                                               .reset_before = k->reset_before,
                                               .nonlinearity = k->make == ct_nn_rnn
                                                                   ? CT_NONLINEARITY_TANH
                                                                   : CT_NONLINEARITY_DEFAULT });
    ct_nn_linear(m.params, "linear", (ct_nn_linear_options){ .in_features = 8, .out_features = 5 });
    s = ct_scope_begin_no_grad();
    for (i = 0; i < ct_params_count(m.params); i++)
        ck_assert(ct_normal_into(ct_param_value(ct_params_at(m.params, i)), 0, 0.5, &g) == CT_OK);
    ck_assert(ct_scope_end(s) == CT_OK);
    return m;
}

/* Returns y for the same x for every model; the caller frees it. */
static double *outputs(const model *m)
{
    ct_scope s = ct_scope_begin_no_grad();
    ct_generator g = ct_generator_from_seed(9);
    ct_tensor *x = random_normal(&g, CT_SHAPE(4, 3, 3), CT_F64);
    double *y = values_of(ct_recurrent_forward(m->rnn, x, NULL, NULL));

    ck_assert(ct_scope_end(s) == CT_OK);
    return y;
}

/* Checks that both files have the same names, shapes and bits, in any order. */
static void expect_same_tensors(const char *a, const char *b)
{
    ct_scope s = ct_scope_begin();
    ct_safetensors *f = ct_safetensors_open(a), *g = ct_safetensors_open(b);

    ck_assert_int_eq(ct_safetensors_count(f), ct_safetensors_count(g));
    for (int i = 0; i < ct_safetensors_count(f); i++) {
        ct_tensor *x = ct_safetensors_load(f, i, CT_CPU);
        ct_tensor *y = ct_safetensors_get(g, ct_safetensors_name(f, i), CT_CPU);

        expect_ok();
        ck_assert(ct_rank(x) == ct_rank(y) && ct_size(x, 0) == ct_size(y, 0));
        ck_assert(ct_numel(x) == ct_numel(y) && ct_tensor_dtype(y) == CT_F64);
        ck_assert(same_bytes(x, y));
    }
    ct_safetensors_close(f);
    ct_safetensors_close(g);
    ck_assert(ct_scope_end(s) == CT_OK);
}

/* A module's file is converted to its dialect's layout and back, with the same bits; also through
 * other layouts that have all its biases. */
START_TEST(test_there_and_back)
{
    const kind *k = &kinds[_i / 4];
    const ct_dialect dialect = dialects[_i % 4];
    model m = new_model(k, dialect, false);
    int i;

    expect_saved(ct_params_save(m.params, "a"));
    for (i = 0; i < LENGTH(dialects); i++) {
        const ct_dialect layout = dialects[i];

        if (!fits(k, layout) ||
            (layout != dialect && layout != CT_DIALECT_GLUON && layout != CT_DIALECT_TORCH))
            continue;
        convert(
            "a", "b",
            (ct_convert_options){ .to = layout,
                                  .biases = layout == CT_DIALECT_TORCH ? dialect : CT_DIALECT_TORCH,
                                  .reset_before = k->reset_before });
        convert("b", "c",
                (ct_convert_options){
                    .from = layout, .biases = dialect, .reset_before = k->reset_before });
        expect_same_tensors("a", "c");
    }
    ct_params_free(m.params);
}
END_TEST

/* Converting between modules of any two dialects through any layout changes the biases but not the
 * outputs. */
START_TEST(test_bias_counts)
{
    const kind *k = &kinds[_i / 4];
    int a, b;

    for (a = 0; a < LENGTH(dialects); a++) {
        const ct_dialect by = dialects[_i % 4];
        model m = new_model(k, dialects[a], false);
        double *want = outputs(&m);

        if (!fits(k, by)) {
            free(want);
            ct_params_free(m.params);
            continue;
        }
        expect_saved(ct_params_save(m.params, "a"));
        convert("a", "b", (ct_convert_options){ .to = by, .reset_before = k->reset_before });
        for (b = 0; b < LENGTH(dialects); b++) {
            model other = new_model(k, dialects[b], false);
            ct_scope s = ct_scope_begin();
            double *got;

            convert("b", "c",
                    (ct_convert_options){
                        .from = by, .biases = dialects[b], .reset_before = k->reset_before });
            expect_saved(ct_params_load(other.params, "c", (ct_load_options){ .report = NULL }));
            got = outputs(&other);
            expect_values("y", ct_from_data(got, CT_SHAPE(4, 3, 8), CT_F64, CT_CPU), want, 96,
                          1e-13);
            free(got);
            ck_assert(ct_scope_end(s) == CT_OK);
            ct_params_free(other.params);
        }
        free(want);
        ct_params_free(m.params);
    }
}
END_TEST

/* Keras has modules without biases; Gluon and Flax have zeros. */
START_TEST(test_no_bias)
{
    const kind *k = &kinds[_i / 4];
    const ct_dialect by = dialects[_i % 4];
    const bool zeros = by == CT_DIALECT_GLUON || by == CT_DIALECT_FLAX;
    model m = new_model(k, CT_DIALECT_TORCH, true), other = new_model(k, CT_DIALECT_TORCH, !zeros);
    double *want = outputs(&m), *got;
    ct_scope s = ct_scope_begin();

    if (fits(k, by)) {
        expect_saved(ct_params_save(m.params, "a"));
        convert("a", "b", (ct_convert_options){ .to = by, .reset_before = k->reset_before });
        convert("b", "c", (ct_convert_options){ .from = by, .reset_before = k->reset_before });
        expect_saved(ct_params_load(other.params, "c", (ct_load_options){ .report = NULL }));
        got = outputs(&other);
        expect_values("y", ct_from_data(got, CT_SHAPE(4, 3, 8), CT_F64, CT_CPU), want, 96, 1e-13);
        free(got);
    }
    free(want);
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(m.params);
    ct_params_free(other.params);
}
END_TEST

/* ---- names ---- */

/* Writes the tensors that text describes: "kernel 3x8 bias 8 step -", - a scalar. Element i of
 * tensor k is 100 k + i. */
static void write_tensors(const char *path, const char *text)
{
    ct_scope s = ct_scope_begin();
    char name[MOST_TENSORS][64], shape[64];
    const char *names[MOST_TENSORS];
    ct_tensor *t[MOST_TENSORS];
    int n, used;

    for (n = 0; sscanf(text, "%63s %63s%n", name[n], shape, &used) == 2; n++, text += used) {
        long rows = 1, columns = 1;
        int rank = sscanf(shape, "%ldx%ld", &rows, &columns);

        names[n] = name[n];
        t[n] = ct_reshape(ct_arange(100 * n, 100 * n + (double)(rows * columns), 1, CT_F64, CT_CPU),
                          rank == 2   ? CT_SHAPE(rows, columns)
                          : rank == 1 ? CT_SHAPE(rows)
                                      : CT_SCALAR);
    }
    expect_saved(ct_safetensors_write(path, n, names, t, NULL));
    ck_assert(ct_scope_end(s) == CT_OK);
}

static void expect_names(const char *path, const char *text)
{
    ct_safetensors *f = ct_safetensors_open(path);
    char name[64];
    int n, used;

    for (n = 0; sscanf(text, "%63s%n", name, &used) == 1; n++, text += used)
        ck_assert_msg(ct_safetensors_find(f, name) >= 0, "no %s", name);
    ck_assert_int_eq(ct_safetensors_count(f), n);
    ct_safetensors_close(f);
}

#define NAMES 14 /* the number of cases */

/* Tensors are assigned to a cell, a Linear, or neither, by their names. */
START_TEST(test_names)
{
    static const struct {
        ct_dialect from, to;
        const char *keep, *in, *out;
    } cases[] = {
        { CT_DIALECT_KERAS, CT_DIALECT_TORCH,
          NULL, /* a single cell without a prefix; a Dense; a norm */
          "kernel 3x8 recurrent_kernel 2x8 dense.kernel 2x5 dense.bias 5 norm.gamma 2",
          "weight_ih weight_hh dense.weight dense.bias norm.gamma" },
        { CT_DIALECT_KERAS, CT_DIALECT_GLUON, NULL, /* layers; l01 is not a layer */
          "a.l12.kernel 3x2 a.l12.recurrent_kernel 2x2 a.r0.kernel 3x2 a.r0.recurrent_kernel 2x2 "
          "a.l01.kernel 3x2 a.l01.recurrent_kernel 2x2",
          "a.l12_i2h_weight a.l12_h2h_weight a.l12_i2h_bias a.l12_h2h_bias a.r0_i2h_weight "
          "a.r0_h2h_weight a.r0_i2h_bias a.r0_h2h_bias a.l01.i2h_weight a.l01.h2h_weight "
          "a.l01.i2h_bias a.l01.h2h_bias" },
        { CT_DIALECT_GLUON, CT_DIALECT_KERAS, "embed.*",
          "r.l0_i2h_weight 2x3 r.l0_h2h_weight 2x2 r.l0_i2h_bias 2 r.l0_h2h_bias 2 "
          "embed.weight 9x3 out.weight 9x2 out.bias 9 step -",
          "r.l0.kernel r.l0.recurrent_kernel r.l0.bias embed.weight out.kernel out.bias step" },
        { CT_DIALECT_TORCH, CT_DIALECT_FLAX, NULL,
          "weight_ih_l0_reverse 6x3 weight_hh_l0_reverse 6x2 h_0 2x2",
          "r0.ir.kernel r0.iz.kernel r0.in.kernel r0.hr.kernel r0.hz.kernel r0.hn.kernel "
          "r0.ir.bias r0.iz.bias r0.in.bias r0.hn.bias h_0" },
        { CT_DIALECT_FLAX, CT_DIALECT_TORCH, NULL, /* Dense layers named h and hi */
          "a.h.kernel 2x2 a.h.bias 2 hi.kernel 3x2 c.l0.i.kernel 3x2 c.l0.h.kernel 2x2 "
          "c.l0.i.bias 2",
          "a.h.weight a.h.bias hi.weight c.weight_ih_l0 c.weight_hh_l0 c.bias_ih_l0 c.bias_hh_l0" },
        { CT_DIALECT_TORCH, CT_DIALECT_TORCH, NULL, /* names that only look like a cell's */
          "xweight_hh_l0 2x2 weight_hh_l 2x2 weight_hh_l0_back 2x2 weight_hh_l5000 2x2",
          "xweight_hh_l0 weight_hh_l weight_hh_l0_back weight_hh_l5000" },
        { CT_DIALECT_GLUON, CT_DIALECT_TORCH, NULL, /* such names in the other layouts */
          "xh2h_weight 2x2 a.xh2h_weight 2x2 q0_h2h_weight 2x2 a.l_h2h_weight 2x2 "
          "a.l0xh2h_weight 2x2",
          "xh2h_weight a.xh2h_weight q0_h2h_weight a.l_h2h_weight a.l0xh2h_weight" },
        { CT_DIALECT_KERAS, CT_DIALECT_TORCH, NULL, "xrecurrent_kernel 2x2 a.xrecurrent_kernel 2x2",
          "xrecurrent_kernel a.xrecurrent_kernel" },
        { CT_DIALECT_FLAX, CT_DIALECT_TORCH, NULL, "xhr.kernel 2x2 xir.kernel 2x2 a.h.kernels 2x2",
          "xhr.weight xir.weight a.h.kernels" },
        { CT_DIALECT_KERAS, CT_DIALECT_TORCH,
          NULL, /* tensors of other ranks; a state; a name that no cell has */
          "kernel 3 a.kernel 3x3 a.r1.dense.kernel 1x2 l0.state -",
          "kernel a.weight a.r1.dense.weight l0.state" },
        { CT_DIALECT_GLUON, CT_DIALECT_TORCH, NULL, "a.l0x_h2h_weight 2x2", "a.l0x_h2h_weight" },
        { CT_DIALECT_KERAS, CT_DIALECT_GLUON, NULL, "a.l0x.kernel 3x2 a.l0x.recurrent_kernel 2x2",
          "a.l0x.i2h_weight a.l0x.h2h_weight a.l0x.i2h_bias a.l0x.h2h_bias" },
        { CT_DIALECT_TORCH, CT_DIALECT_KERAS, NULL, /* the largest allowed layer, and one more */
          "weight_ih_l4095 3x2 weight_hh_l4095 3x3 weight_hh_l4096 3x3",
          "l4095.kernel l4095.recurrent_kernel weight_hh_l4096" },
        { CT_DIALECT_TORCH, CT_DIALECT_TORCH, NULL, "", "" },
    };

    ck_assert_int_eq(LENGTH(cases), NAMES);
    write_tensors("a", cases[_i].in);
    convert(
        "a", "b",
        (ct_convert_options){ .from = cases[_i].from, .to = cases[_i].to, .keep = cases[_i].keep });
    expect_names("b", cases[_i].out);
}
END_TEST

/* The names of a Keras model, as in nn/convert.h; the weight of a Linear is transposed. */
START_TEST(test_rename)
{
    static const ct_prefix map[] = { { "sequential/lstm/lstm_cell/", "rnn.l0." },
                                     { "sequential/dense/", "linear." },
                                     { NULL, NULL } };
    ct_params *params = ct_params_new((ct_params_options){ .dtype = CT_F64, .device = DEVICE });
    ct_scope s = ct_scope_begin();

    ct_nn_lstm(params, "rnn",
               (ct_nn_lstm_options){ .hidden_size = 2, .dialect = CT_DIALECT_KERAS });
    ct_nn_linear(params, "linear", (ct_nn_linear_options){ .out_features = 2 });
    write_tensors("a", "sequential/lstm/lstm_cell/kernel 3x8 "
                       "sequential/lstm/lstm_cell/recurrent_kernel 2x8 "
                       "sequential/lstm/lstm_cell/bias 8 sequential/dense/kernel 2x2 "
                       "sequential/dense/bias 2");
    convert("a", "b",
            (ct_convert_options){
                .rename = (ct_prefix[]){ { NULL, "x" }, { "sequential/", "" }, { NULL, NULL } } });
    expect_same_tensors("a", "b"); /* a NULL in either member ends the list */
    convert("a", "b",
            (ct_convert_options){ .rename = (ct_prefix[]){ { "sequential/lstm", NULL },
                                                           { "sequential/", "" },
                                                           { NULL, NULL } } });
    expect_same_tensors("a", "b");
    convert("a", "a",
            (ct_convert_options){
                .from = CT_DIALECT_KERAS, .biases = CT_DIALECT_KERAS, .rename = map });
    expect_saved(ct_params_load(params, "a", (ct_load_options){ .report = NULL }));
    expect_values("linear.weight", ct_param_value(ct_params_get(params, "linear.weight")),
                  (double[]){ 300, 302, 301, 303 }, 4, 0);
    expect_values("rnn.bias_ih_l0", ct_param_value(ct_params_get(params, "rnn.bias_ih_l0")),
                  (double[]){ 200, 201, 202, 203, 204, 205, 206, 207 }, 8, 0);
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(params);
}
END_TEST

/* ---- refusals ---- */

#define GRU_OF_TORCH "r.weight_ih_l0 6x3 r.weight_hh_l0 6x2 r.bias_ih_l0 6 r.bias_hh_l0 6"
#define REFUSALS 35 /* the number of cases */

START_TEST(test_refusals)
{
    static const ct_prefix clash[] = { { "a.", "b." }, { NULL, NULL } };
    static const struct {
        ct_convert_options o;
        const char *in;
        ct_status status;
        const char *word;
    } cases[] = {
        { { .from = CT_DIALECT_KERAS, .reset_before = true },
          "r.l0.kernel 3x6 r.l0.recurrent_kernel 2x6 r.l0.bias 2x6",
          CT_ERR_ARGUMENT,
          "\"r.l0.recurrent_kernel\" ... two biases" },
        { { .from = CT_DIALECT_KERAS },
          "r.l0.kernel 3x6 r.l0.recurrent_kernel 2x6 r.l0.bias 6",
          CT_ERR_ARGUMENT,
          "\"r.l0.recurrent_kernel\" ... bias" },
        { { .from = CT_DIALECT_GLUON, .to = CT_DIALECT_KERAS, .reset_before = true },
          "l0_i2h_weight 6x3 l0_h2h_weight 6x2",
          CT_ERR_ARGUMENT,
          "\"l0_h2h_weight\" ... two biases" },
        { { .biases = CT_DIALECT_KERAS, .reset_before = true },
          "weight_ih 6x3 weight_hh 6x2 bias_ih 6 bias_hn 2",
          CT_ERR_ARGUMENT,
          "\"weight_hh\" ... two biases" },
        { { .from = CT_DIALECT_FLAX, .to = CT_DIALECT_KERAS, .reset_before = true },
          "ir.kernel 3x2 iz.kernel 3x2 in.kernel 3x2 hr.kernel 2x2 hz.kernel 2x2 hn.kernel 2x2",
          CT_ERR_ARGUMENT,
          "\"hr.kernel\" ... two biases" },
        { { .to = CT_DIALECT_GLUON, .reset_before = true },
          GRU_OF_TORCH,
          CT_ERR_ARGUMENT,
          "\"r.weight_hh_l0\" ... resets" },
        { { .to = CT_DIALECT_FLAX, .reset_before = true },
          GRU_OF_TORCH,
          CT_ERR_ARGUMENT,
          "\"r.weight_hh_l0\" ... resets" },
        { { .to = CT_DIALECT_KERAS },
          "weight_ih_l0 16x3 weight_hh_l0 16x2 weight_hr_l0 2x4",
          CT_ERR_ARGUMENT,
          "\"weight_hh_l0\" ... projection" },
        { { .to = CT_DIALECT_GLUON },
          "weight_ih_l0 2x3 weight_hh_l0 2x2 ln_ih_l0 2 ln_hh_l0 2",
          CT_ERR_ARGUMENT,
          "\"weight_hh_l0\" ... projection" },
        { { .to = CT_DIALECT_KERAS },
          "r.weight_hh_l0 6x2",
          CT_ERR_FORMAT,
          "\"r.weight_hh_l0\" ... input weights" },
        { { .from = CT_DIALECT_KERAS },
          "r.recurrent_kernel 2x6",
          CT_ERR_FORMAT,
          "\"r.recurrent_kernel\" ... input weights" },
        { { .from = CT_DIALECT_FLAX },
          "l0.ii.kernel 3x2 l0.hi.kernel 2x2 l0.if.kernel 3x2 l0.ig.kernel 3x2",
          CT_ERR_FORMAT,
          "\"l0.hi.kernel\" ... gate ... missing" },
        { { .from = CT_DIALECT_FLAX },
          "l0.ii.kernel 3 l0.hi.kernel 2",
          CT_ERR_FORMAT,
          "\"l0.hi.kernel\" ... gate ... missing" },
        { { .from = CT_DIALECT_FLAX },
          "l0.i.kernel 3 l0.h.kernel 2",
          CT_ERR_SHAPE,
          "\"l0.h.kernel\" ... rank 2" },
        { { .from = CT_DIALECT_FLAX },
          "l0.i.kernel 3x6 l0.h.kernel 2x6",
          CT_ERR_SHAPE,
          "\"l0.h.kernel\" ... one gate" },
        { { .to = CT_DIALECT_KERAS },
          "weight_ih_l0 4x3 weight_hh_l0 4x2",
          CT_ERR_SHAPE,
          "\"weight_hh_l0\" ... gates" },
        { { .to = CT_DIALECT_KERAS },
          "weight_ih_l0 0x3 weight_hh_l0 0x0",
          CT_ERR_SHAPE,
          "\"weight_hh_l0\" ... gates" },
        { { .to = CT_DIALECT_KERAS },
          "weight_ih_l0 6x3 weight_hh_l0 12",
          CT_ERR_SHAPE,
          "\"weight_hh_l0\" ... rank 2" },
        { { .from = CT_DIALECT_KERAS },
          "kernel 6 recurrent_kernel 2x6",
          CT_ERR_SHAPE,
          "\"recurrent_kernel\" ... rank 2" },
        { { .from = CT_DIALECT_KERAS },
          "kernel 3x6 recurrent_kernel 2x6 bias 3x6",
          CT_ERR_SHAPE,
          "\"recurrent_kernel\" ... agree" },
        { { .from = CT_DIALECT_GLUON },
          "i2h_weight 6x3 h2h_weight 6x2 i2h_bias 5",
          CT_ERR_SHAPE,
          "\"h2h_weight\" ... agree" },
        { { .from = CT_DIALECT_KERAS },
          "kernel 3x6 recurrent_kernel 12",
          CT_ERR_SHAPE,
          "\"recurrent_kernel\" ... rank 2" },
        { { .to = CT_DIALECT_KERAS },
          "weight_ih 6 weight_hh 6x2",
          CT_ERR_SHAPE,
          "\"weight_hh\" ... rank 2" },
        { { .to = CT_DIALECT_KERAS },
          "weight_ih 8x3 weight_hh 8x1 weight_hr 2",
          CT_ERR_SHAPE,
          "\"weight_hh\" ... rank 2" },
        { { .to = CT_DIALECT_KERAS },
          "weight_ih 4x3 weight_hh 6x2",
          CT_ERR_SHAPE,
          "\"weight_hh\" ... agree" },
        { { .to = CT_DIALECT_KERAS },
          "weight_ih 8x3 weight_hh 8x1 weight_hr 3x2",
          CT_ERR_SHAPE,
          "\"weight_hh\" ... agree" },
        { { .to = CT_DIALECT_KERAS },
          "weight_ih 6x3 weight_hh 6x2 bias_hh 3",
          CT_ERR_SHAPE,
          "\"weight_hh\" ... agree" },
        { { .to = CT_DIALECT_KERAS },
          "weight_ih 6x3 weight_hh 6x2 bias_hn 6",
          CT_ERR_SHAPE,
          "\"weight_hh\" ... agree" },
        { { .to = CT_DIALECT_KERAS },
          "weight_ih 8x3 weight_hh 8x2 bias_hn 2",
          CT_ERR_SHAPE,
          "\"weight_hh\" ... agree" },
        { { .to = (ct_dialect)4 }, GRU_OF_TORCH, CT_ERR_ARGUMENT, "options.to is 4" },
        { { .biases = (ct_dialect)-1 }, GRU_OF_TORCH, CT_ERR_ARGUMENT, "options.biases is -1" },
        { { .rename = clash }, "a.x 1 b.x 1", CT_ERR_FORMAT, "\"b.x\"" },
        { { .from = CT_DIALECT_KERAS }, "d.kernel 2x2 d.weight 2x2", CT_ERR_ARGUMENT, NULL },
        { { .to = CT_DIALECT_KERAS, .biases = CT_DIALECT_FLAX },
          GRU_OF_TORCH,
          CT_ERR_ARGUMENT,
          "biases" },
        { { .from = (ct_dialect)7 }, GRU_OF_TORCH, CT_ERR_ARGUMENT, "options.from is 7" },
    };
    char *left;
    size_t n;

    ck_assert_int_eq(LENGTH(cases), REFUSALS);
    write_bytes("b", "old", 3);
    write_tensors("a", cases[_i].in);
    ck_assert_int_eq(ct_convert("a", "b", cases[_i].o), cases[_i].status);
    if (cases[_i].word)
        expect_error(cases[_i].status, "ct_convert", cases[_i].word);
    ct_error_clear();
    left = read_bytes("b", &n);
    ck_assert(n == 3 && memcmp(left, "old", 3) == 0);
    free(left);
    ck_assert_int_eq(count_files(), 2);
}
END_TEST

START_TEST(test_bad_files)
{
    ct_convert_options o = { .from = CT_DIALECT_KERAS };

    ck_assert_int_eq(ct_convert(NULL, "b", o), CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_convert", "from is NULL");
    ck_assert_int_eq(ct_convert("a", NULL, o), CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_convert", "to is NULL");
    ck_assert_int_eq(ct_convert("a", "b", o), CT_ERR_IO);
    ct_error_clear();
    write_bytes("a", "no safetensors", 14);
    ck_assert_int_eq(ct_convert("a", "b", o), CT_ERR_FORMAT);
    ck_assert_int_eq(ct_convert("a", "b", o), CT_ERR_FORMAT); /* the first error stays recorded */
    ct_error_clear();
    ck_assert_int_eq(count_files(), 1);
}
END_TEST

/* Each call fails in turn: an error is raised, no file is written, and nothing leaks. */
static void fail_each(void (*arm)(int k), const int *seen, ct_status status, int at_least)
{
    static const ct_prefix map[] = { { "r.", "another." }, { NULL, NULL } };
    int k, done = 0;

    for (k = 1; !done; k++) {
        ct_status got;

        ct_memory_trim();
        arm(k);
        got = ct_convert("a", "b", (ct_convert_options){ .to = CT_DIALECT_FLAX, .rename = map });
        done = *seen < k;
        fail_nothing();
        if (got != CT_OK)
            ck_assert_msg(got == status, "call %d: %s", k, ct_error_message());
        ct_error_clear();
        if (got == CT_OK) {
            ck_assert_int_eq(count_files(), 2);
            remove("b");
        }
        ck_assert_int_le(count_files(), status == CT_ERR_IO ? 2 : 1);
        remove("b");
    }
    ck_assert_int_ge(k, at_least);
}

START_TEST(test_calls_fail)
{
    write_tensors("a", GRU_OF_TORCH " out.weight 5x2 out.bias 5 step -");
    fail_each(fail_file_call, &files_seen, CT_ERR_IO, 10);
    fail_each(fail_allocation, &allocations_seen, CT_ERR_MEMORY, 20);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("convert");
    TCase *tc = harness_case(suite, "numbers");

    tcase_add_checked_fixture(tc, files_setup, files_teardown);
    tcase_add_loop_test(tc, test_numbers, 0, 3);
    tc = harness_case(suite, "there and back");
    tcase_add_checked_fixture(tc, files_setup, files_teardown);
    tcase_add_loop_test(tc, test_there_and_back, 0, 16);
    tcase_add_loop_test(tc, test_bias_counts, 0, 16);
    tcase_add_loop_test(tc, test_no_bias, 0, 16);
    tc = harness_case(suite, "names");
    tcase_add_checked_fixture(tc, files_setup, files_teardown);
    tcase_add_loop_test(tc, test_names, 0, NAMES);
    tcase_add_test(tc, test_rename);
    tc = harness_case(suite, "errors");
    tcase_add_checked_fixture(tc, files_setup, files_teardown);
    tcase_add_loop_test(tc, test_refusals, 0, REFUSALS);
    tcase_add_test(tc, test_bad_files);
    tcase_add_test(tc, test_calls_fail);
    return harness_run(suite);
}
