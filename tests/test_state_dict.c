/* SPDX-License-Identifier: MIT */
/* test_state_dict.c - tests of saving and loading models: names, shapes, tied names, failed loads
 * that change nothing. */
#include "tensor/internal.h"

#include "tests/files.h"
#include "tests/harness.h"

#include <cotangent/autograd/autograd.h>
#include <cotangent/autograd/ops/elementwise.h>
#include <cotangent/autograd/ops/reduce.h>
#include <cotangent/autograd/params/state_dict.h>
#include <cotangent/nn/init.h>
#include <cotangent/nn/linear.h>
#include <cotangent/nn/rnn.h>
#include <cotangent/optim/clip.h>
#include <cotangent/optim/optimizer.h>
#include <cotangent/tensor/safetensors.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STRICT ((ct_load_options){ 0 })
#define NON_STRICT ((ct_load_options){ .non_strict = true })

/* Returns a set of a.weight (2, 3), a.bias (2), b.weight (3), and the buffer b.mean (3). */
static ct_params *small_set(uint64_t seed)
{
    ct_params *set = new_params(seed, CT_F32);
    ct_init normal = ct_init_normal(0, 1);

    ct_params_add(set, "a.weight", CT_SHAPE(2, 3), normal);
    ct_params_add(set, "a.bias", CT_SHAPE(2), normal);
    ct_params_add(set, "b.weight", CT_SHAPE(3), normal);
    ct_params_add_buffer(set, "b.mean", CT_SHAPE(3), normal);
    expect_ok();
    return set;
}

/* Returns true if both sets have the same names, shapes and bits. */
static bool same_sets(const ct_params *a, const ct_params *b)
{
    int i;

    if (ct_params_count(a) != ct_params_count(b))
        return false;
    for (i = 0; i < ct_params_count(a); i++) {
        ct_param *p = ct_params_at(a, i), *q = ct_params_at(b, i);
        ct_tensor *x, *y;

        if (strcmp(ct_param_name(p), ct_param_name(q)) ||
            ct_param_is_lazy(p) != ct_param_is_lazy(q))
            return false;
        if (ct_param_is_lazy(p))
            continue;
        x = ct_param_value(p);
        y = ct_param_value(q);
        if (!cti_same_shape(&x->shape, &y->shape) || x->dtype != y->dtype || !same_bytes(x, y))
            return false;
    }
    return true;
}

static void expect_failed(ct_status got, ct_status status, const char *function, const char *word)
{
    ck_assert_int_eq(got, status);
    expect_error(status, function, word);
}

/* An entry of a list for write_ones, which a NULL name ends. */
typedef struct named {
    const char *name;
    ct_shape shape;
    ct_dtype dtype;
} named;

static void write_ones(const named *list)
{
    const char *names[64];
    ct_tensor *tensors[64];
    ct_scope s = ct_scope_begin();
    int n;

    for (n = 0; list[n].name; n++) {
        names[n] = list[n].name;
        tensors[n] = ct_ones(list[n].shape, list[n].dtype, DEVICE);
    }
    ck_assert_int_eq(ct_safetensors_write("x", n, names, tensors, NULL), CT_OK);
    ck_assert_int_eq(ct_scope_end(s), CT_OK);
}

/* ---- round trips ---- */

START_TEST(round_trip)
{
    ct_params *a = small_set(1), *b = small_set(2);
    ct_tensor *handle = ct_param_value(ct_params_get(b, "a.weight"));

    ck_assert(!same_sets(a, b));
    ct_params_freeze(b, "a.*", true);
    ck_assert_int_eq(ct_params_save(a, "x"), CT_OK);
    ck_assert_int_eq(ct_params_load(b, "x", STRICT), CT_OK);
    ck_assert(same_sets(a, b));
    ck_assert_ptr_eq(ct_param_value(ct_params_get(b, "a.weight")), handle);
    ck_assert(!ct_tensor_requires_grad(handle));
    ck_assert(ct_tensor_requires_grad(ct_param_value(ct_params_get(b, "b.weight"))));
    ck_assert(!ct_tensor_requires_grad(ct_param_value(ct_params_get(b, "b.mean"))));
    ck_assert_int_eq(count_files(), 1);
    ct_params_free(a);
    ct_params_free(b);
}
END_TEST

/* A part is saved and loaded without its prefix, as a submodule is in PyTorch. */
START_TEST(part)
{
    ct_params *a = small_set(1), *b = small_set(2), *c = small_set(2);
    ct_safetensors *f;

    ck_assert_int_eq(ct_params_save(ct_params_sub(a, "b"), "x"), CT_OK);
    f = ct_safetensors_open("x");
    ck_assert_int_eq(ct_safetensors_count(f), 2);
    ck_assert_int_ge(ct_safetensors_find(f, "weight"), 0);
    ck_assert_int_ge(ct_safetensors_find(f, "mean"), 0);
    ct_safetensors_close(f);
    ck_assert_int_eq(ct_params_load(ct_params_sub(b, "b"), "x", STRICT), CT_OK);
    ck_assert(same_sets(ct_params_sub(a, "b"), ct_params_sub(b, "b")));
    ck_assert(same_sets(ct_params_sub(c, "a"), ct_params_sub(b, "a")));
    ct_params_free(a);
    ct_params_free(b);
    ct_params_free(c);
}
END_TEST

typedef struct model {
    ct_params *set;
    ct_recurrent *rnn;
    ct_module *linear;
} model;

static model new_model(uint64_t seed, ct_dtype dtype, int64_t in)
{
    model m = { .set = new_params(seed, dtype) };

    m.rnn = ct_nn_rnn(m.set, "rnn",
                      (ct_nn_rnn_options){ .input_size = in, .hidden_size = 4, .num_layers = 2 });
    m.linear = ct_nn_linear(m.set, "linear",
                            (ct_nn_linear_options){ .in_features = in ? 4 : 0, .out_features = 3 });
    expect_ok();
    return m;
}

/* x (T, B, in) -> (T, B, 3) */
static ct_tensor *forward(const model *m, ct_tensor *x)
{
    return ct_forward(m->linear, ct_recurrent_forward(m->rnn, x, NULL, NULL));
}

/* Open sizes are taken from the file, and the parameters can be trained. */
START_TEST(settled_by_file)
{
    model a = new_model(1, CT_F64, 5), b = new_model(2, CT_F64, 0);
    ct_scope s = ct_scope_begin();
    ct_generator g = ct_generator_from_seed(1);
    ct_tensor *x = ct_randn(CT_SHAPE(2, 3, 5), CT_F64, DEVICE, &g), *y;
    double *want;

    expect_failed(ct_params_save(b.set, "x"), CT_ERR_SHAPE, "ct_param_value", "rnn.weight_ih_l0");
    ck_assert_int_eq(count_files(), 0);
    ck_assert_int_eq(ct_params_save(a.set, "x"), CT_OK);
    ck_assert_int_eq(ct_params_load(b.set, "x", STRICT), CT_OK);
    ck_assert(same_sets(a.set, b.set));
    ck_assert_int_eq(ct_size(ct_param_value(ct_params_get(b.set, "rnn.weight_ih_l0")), 1), 5);
    y = forward(&b, x);
    want = values_of(forward(&a, x));
    expect_values("y", y, want, 18, 0);
    free(want);
    ck_assert_int_eq(ct_backward(ct_sum(y)), CT_OK);
    ck_assert_ptr_nonnull(ct_tensor_grad(ct_param_value(ct_params_get(b.set, "rnn.weight_ih_l0"))));
    ck_assert_int_eq(ct_scope_end(s), CT_OK);
    ct_params_free(a.set);
    ct_params_free(b.set);
}
END_TEST

/* ---- what does not fit ---- */

START_TEST(does_not_fit)
{
    static const struct {
        named list[6];
        bool non_strict;
        ct_status status;
        const char *word;
    } cases[] = {
        { { { "a.weight", { 2, { 2, 3 } }, CT_F32 }, { "a.bias", { 1, { 2 } }, CT_F32 } },
          false,
          CT_ERR_FORMAT,
          "2 missing ... \"b.weight\"" },
        { { { "a.weight", { 2, { 2, 3 } }, CT_F32 },
            { "a.bias", { 1, { 2 } }, CT_F32 },
            { "b.weight", { 1, { 3 } }, CT_F32 },
            { "b.mean", { 1, { 3 } }, CT_F32 },
            { "c\nd", { 2, { 7, 0 } }, CT_I64 } },
          false,
          CT_ERR_FORMAT,
          "1 unexpected ... \"c?d\"" },
        { { { "a.weight", { 2, { 3, 2 } }, CT_F32 },
            { "a.bias", { 0, { 0 } }, CT_F32 },
            { "b.weight", { 2, { 1, 3 } }, CT_F32 },
            { "b.mean", { 1, { 4 } }, CT_F32 } },
          false,
          CT_ERR_SHAPE,
          "4 of another shape ... \"a.bias\" ... 1 more" },
        { { { "a.weight", { 2, { 2, 3 } }, CT_F64 },
            { "a.bias", { 1, { 2 } }, CT_I32 },
            { "b.weight", { 1, { 3 } }, CT_BF16 },
            { "b.mean", { 1, { 3 } }, CT_F32 } },
          false,
          CT_ERR_DTYPE,
          "3 of another dtype ... \"b.weight\" BF16" },
        { { { "a.weight", { 2, { 2, 4 } }, CT_F32 },
            { "a.bias", { 1, { 2 } }, CT_F64 },
            { "c.weight", { 1, { 3 } }, CT_F32 } },
          false,
          CT_ERR_SHAPE,
          "1 of another shape ... 1 of another dtype ... 2 missing ... 1 unexpected" },
        { { { "a.weight", { 2, { 2, 4 } }, CT_F32 }, { "c.weight", { 1, { 3 } }, CT_F32 } },
          true,
          CT_ERR_SHAPE,
          "1 of another shape ... \"a.weight\"" },
        { { { "a.bias", { 1, { 2 } }, CT_F64 }, { "c.weight", { 1, { 3 } }, CT_F32 } },
          true,
          CT_ERR_DTYPE,
          "1 of another dtype ... \"a.bias\"" },
    };
    ct_params *a = small_set(1), *b = small_set(1);
    int i;

    for (i = 0; i < LENGTH(cases); i++) {
        write_ones(cases[i].list);
        expect_failed(
            ct_params_load(a, "x", (ct_load_options){ .non_strict = cases[i].non_strict }),
            cases[i].status, "ct_params_load", cases[i].word);
        ck_assert(same_sets(a, b));
    }
    ct_params_free(a);
    ct_params_free(b);
}
END_TEST

/* With many long names the message is cut at its maximum length. */
START_TEST(many_names)
{
    ct_params *set = new_params(1, CT_F32);
    ct_load_report r = { 0 };
    char name[300];
    int i;

    for (i = 0; i < 200; i++) {
        snprintf(name, sizeof name, "%03d%0250d", i, 0);
        ct_params_add(set, name, CT_SHAPE(2), ct_init_constant(0));
    }
    write_ones((named[]){ { NULL, { 0, { 0 } }, CT_F32 } });
    ck_assert_int_eq(ct_params_load(set, "x", (ct_load_options){ .report = &r }), CT_ERR_FORMAT);
    expect_error(CT_ERR_FORMAT, "ct_params_load", "200 missing ... \" [2] and 197 more");
    ck_assert_int_eq(r.count, 200);
    ck_assert_str_eq(r.items[199].name, name);
    ct_load_report_clear(&r);
    ct_params_free(set);
}
END_TEST

START_TEST(report)
{
    static const named list[] = { { "a.weight", { 2, { 2, 4 } }, CT_F32 },
                                  { "a.bias", { 1, { 2 } }, CT_F64 },
                                  { "b.weight", { 1, { 3 } }, CT_F32 },
                                  { "c", { 1, { 7 } }, CT_I32 },
                                  { 0 } };
    ct_params *a = small_set(1);
    ct_load_report r = { 0 };
    int i, seen[4] = { 0 };

    write_ones(list);
    for (i = 0; i < 2; i++) { /* a second load replaces the report */
        ck_assert_int_eq(
            ct_params_load(a, "x", (ct_load_options){ .non_strict = true, .report = &r }),
            CT_ERR_SHAPE);
        ct_error_clear();
        ck_assert_int_eq(r.count, 4);
    }
    for (i = 0; i < 4; i++) {
        const ct_load_item *item = &r.items[i];

        seen[item->problem]++;
        switch (item->problem) {
        case CT_LOAD_PROBLEM_MISSING:
            ck_assert_str_eq(item->name, "b.mean");
            ck_assert_int_eq(item->in_set.dim[0], 3);
            ck_assert_ptr_null(item->file_dtype);
            break;
        case CT_LOAD_PROBLEM_UNEXPECTED:
            ck_assert_str_eq(item->name, "c");
            ck_assert_int_eq(item->in_file.dim[0], 7);
            ck_assert_str_eq(item->file_dtype, "I32");
            break;
        case CT_LOAD_PROBLEM_SHAPE:
            ck_assert_str_eq(item->name, "a.weight");
            ck_assert_int_eq(item->in_file.dim[1], 4);
            ck_assert_int_eq(item->in_set.dim[1], 3);
            break;
        case CT_LOAD_PROBLEM_DTYPE:
            ck_assert_str_eq(item->name, "a.bias");
            ck_assert_str_eq(item->file_dtype, "F64");
            break;
        }
    }
    for (i = 0; i < 4; i++)
        ck_assert_int_eq(seen[i], 1);
    ct_load_report_clear(NULL);
    ct_load_report_clear(&r);
    ck_assert(r.count == 0 && r.items == NULL);
    ct_load_report_clear(&r);
    ct_params_free(a);
}
END_TEST

START_TEST(non_strict)
{
    static const named list[] = { { "a.bias", { 1, { 2 } }, CT_F32 },
                                  { "more", { 1, { 9 } }, CT_I64 },
                                  { 0 } };
    ct_params *a = small_set(1), *b = small_set(1);
    ct_load_report r = { 0 };

    write_ones(list);
    ck_assert_int_eq(ct_params_load(a, "x", (ct_load_options){ .non_strict = true, .report = &r }),
                     CT_OK);
    ck_assert_int_eq(r.count, 4); /* 3 missing, 1 unexpected */
    expect_values("a.bias", ct_param_value(ct_params_get(a, "a.bias")), (double[]){ 1, 1 }, 2, 0);
    ck_assert(same_sets(ct_params_sub(a, "b"), ct_params_sub(b, "b")));
    ct_load_report_clear(&r);
    ct_params_free(a);
    ct_params_free(b);
}
END_TEST

/* A report needs memory; without that memory nothing is loaded. */
START_TEST(reports_without_memory)
{
    const ct_status last = _i ? CT_OK : CT_ERR_SHAPE; /* b.weight fits or not */
    const named list[] = { { "a.bias", { 1, { 2 } }, CT_F32 },
                           { "more", { 1, { 9 } }, CT_I64 },
                           { "b.weight", { 1, { _i ? 3 : 4 } }, CT_F32 },
                           { 0 } };
    bool done = false;
    int k, failed = 0;

    write_ones(list);
    for (k = 1; !done; k++) {
        ct_params *a = small_set(1), *b = small_set(1);
        ct_load_report r = { 0 };
        ct_status got;

        fail_allocation(k);
        got = ct_params_load(a, "x", (ct_load_options){ .non_strict = true, .report = &r });
        done = allocations_seen < k;
        fail_nothing();
        failed += got == CT_ERR_MEMORY;
        ck_assert_msg(got == CT_ERR_MEMORY || got == last, "%d: %s", k, ct_error_message());
        ck_assert(got == ct_error());
        ck_assert_int_le(r.count, 4 - _i); /* 2 missing, 1 unexpected, the shape */
        ck_assert(got == CT_ERR_MEMORY || r.count == 4 - _i);
        ct_error_clear();
        ck_assert(same_sets(a, b) == (got != CT_OK));
        ct_load_report_clear(&r);
        ct_params_free(a);
        ct_params_free(b);
    }
    ck_assert_int_ge(failed, 6);
}
END_TEST

/* ---- names ---- */

/* One map translates between d2l's names and this library's. */
START_TEST(prefixes)
{
    static const ct_prefix map[] = { { "rnn.rnn.", "rnn." }, { "head.", "linear." }, { 0 } };
    static const char *const theirs[] = { "rnn.rnn.weight_ih_l0", "rnn.rnn.weight_hh_l0",
                                          "rnn.rnn.bias_ih_l0", "rnn.rnn.bias_hh_l0" };
    ct_load_options renamed = { .rename = map };
    int i, which;

    for (which = 0; which < 2; which++) {
        ct_params *set = new_params(3, CT_F32);
        ct_scope s = ct_scope_begin();
        ct_tensor *t[4];
        const char *names[4];

        ct_nn_rnn(set, "rnn", (ct_nn_rnn_options){ .hidden_size = 2 });
        for (i = 0; i < 4; i++) {
            names[i] = theirs[i] + (which ? 4 : 0);
            t[i] = ct_full(i == 0   ? CT_SHAPE(2, 3)
                           : i == 1 ? CT_SHAPE(2, 2)
                                    : CT_SHAPE(2),
                           i, CT_F32, DEVICE);
        }
        ck_assert_int_eq(ct_safetensors_write("x", 4, names, t, NULL), CT_OK);
        ck_assert_int_eq(ct_params_load(set, "x", renamed), CT_OK);
        expect_values("bias_hh", ct_param_value(ct_params_get(set, "rnn.bias_hh_l0")),
                      (double[]){ 3, 3 }, 2, 0);
        if (!which) {
            ck_assert_int_eq(ct_params_load(set, "x", STRICT), CT_ERR_FORMAT);
            expect_error(CT_ERR_FORMAT, "ct_params_load",
                         "4 missing ... 4 unexpected: \"rnn.rnn.weight_ih_l0\"");
        }
        ck_assert_int_eq(ct_scope_end(s), CT_OK);
        ct_params_free(set);
    }
}
END_TEST

START_TEST(collision)
{
    static const named list[] = { { "w", { 1, { 2 } }, CT_F32 },
                                  { "old.w", { 1, { 2 } }, CT_F32 },
                                  { 0 } };
    static const ct_prefix map[] = { { "old.", "" }, { 0 } };
    ct_params *set = new_params(1, CT_F32);

    ct_params_add(set, "w", CT_SHAPE(2), ct_init_constant(5));
    write_ones(list);
    expect_failed(ct_params_load(set, "x", (ct_load_options){ .rename = map, .non_strict = true }),
                  CT_ERR_FORMAT, "ct_params_load", "become");
    ck_assert_int_eq(ct_params_load(set, "x", NON_STRICT), CT_OK);
    ct_params_free(set);
}
END_TEST

/* ---- tying ---- */

/* Returns a set of first and second, both (2), which are tied if tie is true. */
static ct_params *tied_set(bool tie)
{
    ct_params *set = new_params(1, CT_F64);

    ct_params_add(set, "first", CT_SHAPE(2), ct_init_normal(0, 1));
    ct_params_add(set, "second", CT_SHAPE(2), ct_init_normal(0, 1));
    if (tie)
        ck_assert_int_eq(ct_params_tie(set, "first", "second"), CT_OK);
    return set;
}

START_TEST(tied)
{
    ct_params *set = tied_set(true);
    ct_tensor *a = ct_param_value(ct_params_get(set, "first")),
              *b = ct_param_value(ct_params_get(set, "second"));
    ct_optimizer *sgd = ct_sgd_new(set, (ct_sgd_options){ .lr = 0.5 });
    ct_scope s = ct_scope_begin();
    double before[2], norm;

    ck_assert_ptr_eq(a, b);
    ck_assert_int_eq(ct_params_count(set), 2);
    ck_assert_int_eq(ct_params_numel(set), 2);
    ck_assert(ct_to_host(a, before, sizeof before) == CT_OK);
    ck_assert_int_eq(ct_backward(ct_sum(ct_mul(a, b))), CT_OK);
    ck_assert_int_eq(ct_clip_grad_norm(set, 1e9, &norm), CT_OK);
    expect_close("norm", norm * norm, 4 * (before[0] * before[0] + before[1] * before[1]), 1e-12);
    ck_assert_int_eq(ct_optimizer_step(sgd), CT_OK); /* w - 0.5 * 2 w, once */
    expect_values("stepped", a, (double[]){ 0, 0 }, 2, 1e-15);
    ck_assert_int_eq(ct_scope_end(s), CT_OK);
    ck_assert_int_eq(ct_params_freeze(set, "second", true), 1);
    ck_assert(!ct_tensor_requires_grad(a));
    ck_assert(!ct_param_is_trained(ct_params_get(set, "first")));
    ct_optimizer_free(sgd);
    ct_params_free(set);
}
END_TEST

START_TEST(tied_files)
{
    ct_params *set = tied_set(true), *loose = tied_set(false);
    static const char *const names[] = { "first", "second" };
    ct_scope s = ct_scope_begin();
    ct_tensor *one = ct_ones(CT_SHAPE(2), CT_F64, DEVICE);
    int i;

    ck_assert_int_eq(ct_params_save(set, "x"), CT_OK); /* both names */
    ck_assert_int_eq(ct_params_load(loose, "x", STRICT), CT_OK);
    ck_assert(same_sets(set, loose));

    ct_fill(ct_param_value(ct_params_get(loose, "second")), 7); /* recording is on */
    expect_error(CT_ERR_GRAD, "ct_fill", "leaf");
    ct_set_grad_enabled(false);
    ct_fill(ct_param_value(ct_params_get(loose, "second")), 7);
    ck_assert_int_eq(ct_params_save(loose, "x"), CT_OK);
    expect_failed(ct_params_load(set, "x", STRICT), CT_ERR_FORMAT, "ct_params_load", "tied");

    for (i = 0; i < 2; i++) { /* one of the names is enough */
        ct_fill(one, i + 3);
        ck_assert_int_eq(ct_safetensors_write("x", 1, names + i, &one, NULL), CT_OK);
        ck_assert_int_eq(ct_params_load(set, "x", STRICT), CT_OK);
        expect_values("loaded", ct_param_value(ct_params_get(set, "second")),
                      (double[]){ i + 3, i + 3 }, 2, 0);
    }
    ck_assert_int_eq(ct_safetensors_write("x", 0, NULL, NULL, NULL), CT_OK);
    expect_failed(ct_params_load(set, "x", STRICT), CT_ERR_FORMAT, "ct_params_load",
                  "2 missing ... \"second\"");
    ck_assert_int_eq(ct_scope_end(s), CT_OK);
    ct_params_free(set);
    ct_params_free(loose);
}
END_TEST

/* Tied values without elements agree. */
START_TEST(tied_and_empty)
{
    static const named list[] = { { "a", { 2, { 0, 3 } }, CT_F32 },
                                  { "b", { 2, { 0, 3 } }, CT_F32 },
                                  { 0 } };
    ct_params *set = new_params(1, CT_F32);

    ct_params_add(set, "a", CT_SHAPE(-1, 3), ct_init_constant(1));
    ct_params_add(set, "b", CT_SHAPE(0, -1), ct_init_constant(1));
    ck_assert_int_eq(ct_params_tie(set, "a", "b"), CT_OK);
    write_ones(list);
    ck_assert_int_eq(ct_params_load(set, "x", STRICT), CT_OK);
    ck_assert_int_eq(ct_numel(ct_param_value(ct_params_get(set, "b"))), 0);
    ct_params_free(set);
}
END_TEST

/* Names may be tied before their sizes are known, and in chains. */
START_TEST(tied_early)
{
    ct_params *set = new_params(1, CT_F32);
    ct_init one = ct_init_constant(1);
    ct_param *a = ct_params_add(set, "a", CT_SHAPE(2, -1), one),
             *b = ct_params_add(set, "b", CT_SHAPE(-1, 3), one),
             *c = ct_params_add(set, "c", CT_SHAPE(2, 3), ct_init_constant(5)),
             *d = ct_params_add(set, "d", CT_SHAPE(3, 2), one);

    ct_params_add_buffer(set, "e", CT_SHAPE(2, 3), one);
    ck_assert_int_eq(ct_params_tie(set, "b", "c"), CT_OK); /* b takes c's value */
    ck_assert_ptr_eq(ct_param_value(b), ct_param_value(c));
    ck_assert_int_eq(ct_params_tie(set, "a", "b"), CT_OK);
    ck_assert_ptr_eq(ct_param_value(a), ct_param_value(c));
    ck_assert_int_eq(ct_params_tie(set, "c", "a"), CT_OK); /* they are tied already */
    ck_assert_int_eq(ct_item(ct_param_value(a)) == 5, 0);  /* not one element */
    expect_error(CT_ERR_SHAPE, "ct_item", "element");
    ck_assert_int_eq(ct_params_numel(set), 12);
    expect_failed(ct_params_tie(set, "a", "d"), CT_ERR_SHAPE, "ct_params_tie", "shape");
    ck_assert(ct_param_is_trained(d));
    expect_failed(ct_params_tie(set, "a", "e"), CT_ERR_ARGUMENT, "ct_params_tie", "no parameter e");
    expect_failed(ct_params_tie(set, "x", "a"), CT_ERR_ARGUMENT, "ct_params_tie", "no parameter x");
    expect_failed(ct_params_tie(set, "a", NULL), CT_ERR_ARGUMENT, "ct_params_tie",
                  "second is NULL");
    expect_failed(ct_params_tie(NULL, "a", "b"), CT_ERR_ARGUMENT, "ct_params_tie", "set is NULL");
    ct_params_free(set);

    set = new_params(1, CT_F32); /* neither has a value: the file sets both */
    a = ct_params_add(set, "a", CT_SHAPE(2, -1), one);
    b = ct_params_add(set, "b", CT_SHAPE(-1, 3), one);
    ck_assert_int_eq(ct_params_tie(set, "a", "b"), CT_OK);
    ck_assert(ct_param_is_lazy(b));
    write_ones(
        (named[]){ { "a", { 2, { 2, 3 } }, CT_F32 }, { "b", { 2, { 2, 3 } }, CT_F32 }, { 0 } });
    ck_assert_int_eq(ct_params_load(set, "x", STRICT), CT_OK);
    ck_assert_ptr_eq(ct_param_value(a), ct_param_value(b));
    ck_assert_ptr_nonnull(ct_param_value(a));
    ct_params_free(set);
}
END_TEST

/* ---- all or nothing ---- */

/* Whichever allocation fails, a load of tied names, with a report, changes nothing. */
START_TEST(tied_load_out_of_memory)
{
    ct_params *a = tied_set(true);
    bool done = false;
    int k, failed = 0;

    ct_set_grad_enabled(false);
    ck_assert(ct_params_init(a, ct_init_constant(3), 1) == CT_OK);
    ck_assert(ct_params_save(a, "x") == CT_OK);
    for (k = 1; !done; k++) {
        ct_params *b = tied_set(true), *before = tied_set(true);
        ct_load_report report = { 0 };
        ct_status got;

        fail_allocation(k);
        got = ct_params_load(b, "x", (ct_load_options){ .report = &report });
        done = allocations_seen < k;
        fail_nothing();
        failed += got != CT_OK; /* but the request for a buffer is repeated */
        ck_assert_msg(got == ct_error() && (got == CT_OK || got == CT_ERR_MEMORY),
                      "allocation %d: %s", k, ct_error_message());
        ck_assert_msg(same_sets(b, got == CT_OK ? a : before), "allocation %d", k);
        ct_error_clear();
        ct_load_report_clear(&report);
        ct_params_free(before);
        ct_params_free(b);
    }
    ck_assert_int_ge(failed, 6); /* few, because handles come from slabs */
    ct_params_free(a);
}
END_TEST

/* A load is an in-place write, so backward of a history that saved a value fails. */
START_TEST(history_notices)
{
    ct_params *set = tied_set(false);
    ct_scope s = ct_scope_begin();
    ct_tensor *w = ct_param_value(ct_params_get(set, "first")), *loss;

    ck_assert_int_eq(ct_params_save(set, "x"), CT_OK);
    loss = ct_sum(ct_mul(w, w));
    ck_assert_int_eq(ct_params_load(set, "x", STRICT), CT_OK);
    ck_assert_int_eq(ct_backward(loss), CT_ERR_GRAD);
    ct_error_clear();
    ck_assert_int_eq(ct_scope_end(s), CT_OK);
    ct_params_free(set);
}
END_TEST

START_TEST(sinks)
{
    ct_params *a = small_set(1), *b = small_set(2), *c = small_set(2);

    ck_assert_int_eq(ct_params_save(a, "x"), CT_OK);
    ct_raise(CT_ERR_ARGUMENT, "test", "stands");
    ck_assert_int_eq(ct_params_load(b, "x", STRICT), CT_ERR_ARGUMENT);
    ck_assert_int_eq(ct_params_save(b, "y"), CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "test", "stands");
    ck_assert(same_sets(b, c));
    ck_assert_int_eq(count_files(), 1);
    expect_failed(ct_params_load(NULL, "x", STRICT), CT_ERR_ARGUMENT, "ct_params_load",
                  "set is NULL");
    expect_failed(ct_params_load(b, NULL, STRICT), CT_ERR_ARGUMENT, "ct_params_load",
                  "path is NULL");
    expect_failed(ct_params_save(NULL, "x"), CT_ERR_ARGUMENT, "ct_params_save", "set is NULL");
    expect_failed(ct_params_save(b, NULL), CT_ERR_ARGUMENT, "ct_params_save", "path is NULL");
    expect_failed(ct_params_load(b, "none", STRICT), CT_ERR_IO, "ct_safetensors_open",
                  "No such file");
    ct_params_free(a);
    ct_params_free(b);
    ct_params_free(c);
}
END_TEST

/* A changed payload, and a file that ends within it, change nothing. */
START_TEST(damaged)
{
    ct_params *a = small_set(1), *b = small_set(2), *c = small_set(2);
    size_t n;
    char *bytes;

    ck_assert_int_eq(ct_params_save(a, "x"), CT_OK);
    bytes = read_bytes("x", &n);
    bytes[n - 1] ^= 1;
    write_bytes("x", bytes, n);
    ck_assert_int_eq(ct_params_load(b, "x", STRICT), CT_ERR_FORMAT);
    ct_error_clear();
    write_bytes("x", bytes, n - 1);
    ck_assert_int_eq(ct_params_load(b, "x", STRICT), CT_ERR_FORMAT);
    ct_error_clear();
    ck_assert(same_sets(b, c));
    free(bytes);
    ct_params_free(a);
    ct_params_free(b);
    ct_params_free(c);
}
END_TEST

/* Loads a's file into fresh models, failing another call each time, until none fails. */
static void load_failing(void (*arm)(int k), const int *seen, ct_status status, int at_least)
{
    model a = new_model(1, CT_F32, 5);
    int k, done = 0;

    ck_assert_int_eq(ct_params_save(a.set, "x"), CT_OK);
    for (k = 1; !done; k++) {
        model b = new_model(2, CT_F32, 0), c = new_model(2, CT_F32, 0);
        ct_status got;

        ct_memory_trim();
        arm(k);
        got = ct_params_load(b.set, "x", STRICT);
        done = *seen < k;
        fail_nothing();
        if (got == CT_OK) {
            ck_assert(same_sets(b.set, a.set));
        } else {
            ck_assert_msg(got == status, "call %d: %s", k, ct_error_message());
            ck_assert_msg(same_sets(b.set, c.set), "call %d", k);
            ct_error_clear();
        }
        ct_params_free(b.set);
        ct_params_free(c.set);
    }
    ck_assert_int_ge(k, at_least);
    ct_params_free(a.set);
}

START_TEST(load_calls_fail)
{
    load_failing(fail_file_call, &files_seen, CT_ERR_IO, 20);
    load_failing(fail_allocation, &allocations_seen, CT_ERR_MEMORY, 20);
}
END_TEST

START_TEST(save_calls_fail)
{
    ct_params *a = small_set(1), *b = small_set(2), *c = small_set(2);
    int k, done = 0, failed = 0;

    ck_assert_int_eq(ct_params_save(a, "x"), CT_OK);
    for (k = 1; !done; k++) {
        ct_status got;

        fail_file_call(k);
        got = ct_params_save(c, "x");
        done = files_seen < k;
        fail_nothing();
        failed += got != CT_OK;
        ck_assert(got == CT_OK || ct_error() == CT_ERR_IO);
        ct_error_clear();
        ck_assert_int_eq(count_files(), 1);
        ck_assert_int_eq(ct_params_load(b, "x", STRICT), CT_OK); /* the old one or the new one */
        ck_assert(same_sets(b, a) || same_sets(b, c));
        ck_assert(got != CT_OK || same_sets(b, c));
        ck_assert_int_eq(ct_params_save(a, "x"), CT_OK);
    }
    ck_assert_int_ge(failed, 15);
    for (k = 1, done = 0; !done; k++) {
        ct_status got;

        fail_allocation(k);
        got = ct_params_save(c, "x");
        done = allocations_seen < k;
        fail_nothing();
        ck_assert(got == (done ? CT_OK : CT_ERR_MEMORY) && got == ct_error());
        ct_error_clear();
        ck_assert_int_eq(count_files(), 1);
        ck_assert_int_eq(ct_params_load(b, "x", STRICT), CT_OK);
        ck_assert(same_sets(b, done ? c : a));
    }
    ct_params_free(a);
    ct_params_free(b);
    ct_params_free(c);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("state_dict");
    TCase *tc = harness_case(suite, "state_dict");

    tcase_add_checked_fixture(tc, files_setup, files_teardown);
    tcase_add_test(tc, round_trip);
    tcase_add_test(tc, part);
    tcase_add_test(tc, settled_by_file);
    tcase_add_test(tc, does_not_fit);
    tcase_add_test(tc, many_names);
    tcase_add_test(tc, report);
    tcase_add_test(tc, non_strict);
    tcase_add_loop_test(tc, reports_without_memory, 0, 2);
    tcase_add_test(tc, prefixes);
    tcase_add_test(tc, collision);
    tcase_add_test(tc, tied);
    tcase_add_test(tc, tied_files);
    tcase_add_test(tc, tied_and_empty);
    tcase_add_test(tc, tied_early);
    tcase_add_test(tc, tied_load_out_of_memory);
    tcase_add_test(tc, history_notices);
    tcase_add_test(tc, sinks);
    tcase_add_test(tc, damaged);
    tcase_add_test(tc, load_calls_fail);
    tcase_add_test(tc, save_calls_fail);
    return harness_run(suite);
}
