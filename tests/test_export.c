/* SPDX-License-Identifier: MIT */
/* test_export.c - exported C code compiles with the strictest flags, needs no function of a
 * library, and has the bits of the plan in portable mode. */
#include "tests/export_models.h"
#include "tests/harness.h"
#include "tests/plan_models.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cotangent.h>

static const char *compiler(int i)
{
    const char *cc = getenv("CC");

    if (i % 4 == 3 && system("clang --version >/dev/null 2>&1") == 0)
        return "clang";
    return cc && *cc ? cc : "cc";
}

static ct_plan *plan_of(plan_model *m)
{
    ct_state *begin;
    ct_plan_options o = plan_model_options(m, &begin);
    ct_plan *p = ct_plan_new_function(m->params, plan_model_step, m, o);

    ct_state_free(begin);
    ck_assert_msg(p != NULL, "%s: %s", m->what, ct_error_message());
    return p;
}

/* True if the exported code and the plan return the same bits in `steps` steps. */
static bool same_steps(const exported *e, ct_plan *p, const plan_model *m, int steps)
{
    ct_generator g = ct_generator_from_seed(9);
    const ct_shape shape = ct_plan_output_shape(p, 0);
    size_t n = sizeof(float);
    bool same = true;
    float *y;

    for (int i = 0; i < shape.rank; i++)
        n *= (size_t)shape.dim[i];
    y = malloc(n);
    ck_assert(y && ct_plan_reset(p) == CT_OK);
    for (int t = 0; t < steps && same; t++) {
        plan_model_draw(m, &g, ct_plan_input(p, 0));
        ck_assert(ct_plan_run(p) == CT_OK);
        ck_assert(e->step(e->state, ct_plan_input(p, 0), y) == 0);
        same = memcmp(y, ct_plan_output(p, 0), n) == 0;
    }
    free(y);
    return same;
}

START_TEST(bits_of_portable_mode)
{
    int count = harness_count(8, 120);

    ct_set_portable(true);
    for (int i = 0; i < count; i++) {
        const ct_export_options o = { .separate_weights = i % 3 == 2 };
        plan_model m = plan_model_new((uint64_t)(100 + i), 0);
        ct_plan *p = plan_of(&m);
        exported e;

        exported_begin(&e);
        ck_assert_msg(ct_export_c(p, exported_path(&e, "m.c"), o) == CT_OK, "%s: %s", m.what,
                      ct_error_message());
        exported_open(&e, compiler(i), o.separate_weights);
        ck_assert_msg(same_steps(&e, p, &m, 20), "%s", m.what);
        exported_end(&e);
        ct_plan_free(p);
        plan_model_free(&m);
    }
    ct_set_portable(false);
}
END_TEST

/* ---- the tests detect wrong code ---- */

static plan_model model_of(ct_recurrent *(*make)(ct_params *, const char *,
                                                 ct_nn_recurrent_options))
{
    plan_model m = { .params = new_params(5, CT_F32), .batch = 1, .size = 6, .what = "one layer" };

    m.recurrent =
        make(m.params, "rnn", (ct_nn_recurrent_options){ .input_size = 6, .hidden_size = 12 });
    return m;
}

START_TEST(wrong_code_is_found)
{
    static const struct {
        ct_recurrent *(*make)(ct_params *, const char *, ct_nn_recurrent_options);
        const char *from, *to;
    } table[] = {
        { ct_nn_lstm, "nn_sigmoidf(gates[n + i])", "nn_sigmoidf(gates[3 * n + i])" },
        { ct_nn_lstm, "b ? x[i] + b[i] : x[i]", "x[i]" },
        { ct_nn_gru, "nn_tanhf(x[2 * n + i] + reset * gates[2 * n + i])",
          "nn_tanhf(x[2 * n + i] + gates[2 * n + i])" },
        { ct_nn_gru, "b ? b[i] : 0", "0" },
        { ct_nn_rnn, "b ? x[i] + b[i] : x[i]", "b ? x[i] - b[i] : x[i]" },
        { ct_nn_rnn, "c[j] + a0 * w0[j] + a1 * w1[j]", "c[j] + a1 * w1[j] + a0 * w0[j]" },
    };

    ct_set_portable(true);
    for (int i = 0; i < LENGTH(table); i++) {
        plan_model m = model_of(table[i].make);
        ct_plan *p = plan_of(&m);

        for (int changed = 0; changed < 2; changed++) {
            exported e;

            exported_begin(&e);
            ck_assert(ct_export_c(p, exported_path(&e, "m.c"), (ct_export_options){ 0 }) == CT_OK);
            if (changed)
                ck_assert_msg(exported_change(&e, table[i].from, table[i].to), "%s", table[i].from);
            /* the changed code may have unused variables */
            exported_open(&e, changed ? "cc -w" : "cc", false);
            ck_assert_msg(same_steps(&e, p, &m, 20) == !changed, "%s", table[i].from);
            exported_end(&e);
        }
        ct_plan_free(p);
        plan_model_free(&m);
    }
    ct_set_portable(false);
}
END_TEST

/* ---- plans that cannot be exported ---- */

static ct_tensor *two_to_one(ct_tensor *x)
{
    return ct_sum_axis(x, 0, true);
}

static ct_tensor *sine(ct_tensor *x)
{
    return ct_sin(x);
}

static ct_status whole_sequence(void *r, ct_plan_call *call)
{
    call->output[0] = ct_recurrent_forward(r, call->input[0], NULL, NULL);
    return ct_error();
}

/* One op computes the layer, or, if loops are portable, a product and another op. */
START_TEST(many_steps_cannot_be_exported)
{
    ct_params *set = new_params(3, CT_F32);
    ct_recurrent *r =
        ct_nn_gru(set, "rnn", (ct_nn_gru_options){ .input_size = 5, .hidden_size = 9 });
    const ct_plan_options o = { .shape = { CT_SHAPE(80, 1, 5) } };
    exported e;

    exported_begin(&e);
    for (int portable = 0; portable < 2; portable++) {
        ct_plan *p;

        ct_set_portable(portable);
        p = ct_plan_new_function(set, whole_sequence, r, o);
        if (!p && !portable) /* BLAS computes the product */
            expect_error(CT_ERR_ARGUMENT, "ct_plan_new_function", "BLAS");
        else
            REFUSED(CT_ERR_ARGUMENT, "ct_export_c", "many steps",
                    ct_export_c(p, exported_path(&e, "m.c"), (ct_export_options){ 0 }));
        ct_plan_free(p);
    }
    ct_set_portable(false);
    exported_end(&e);
    ct_params_free(set);
}
END_TEST

START_TEST(what_cannot_be_exported)
{
    ct_params *set = new_params(1, CT_F32);
    ct_plan *p = ct_plan_new(set, ct_nn_op(set, two_to_one), CT_SHAPE(2), CT_F32);
    ct_plan *q = ct_plan_new(set, ct_nn_op(set, sine), CT_SHAPE(2), CT_F32);
    ct_plan *good = ct_plan_new(set, ct_nn_op(set, ct_relu), CT_SHAPE(2), CT_F32);
    ct_plan *doubles = ct_plan_new(set, ct_nn_op(set, ct_relu), CT_SHAPE(2), CT_F64);
    const ct_export_options o = { 0 };
    struct stat s;
    exported e;

    exported_begin(&e);
    ck_assert(p && q && good && doubles);
    REFUSED(CT_ERR_ARGUMENT, "ct_export_c", "a reduction",
            ct_export_c(p, exported_path(&e, "m.c"), o));
    REFUSED(CT_ERR_ARGUMENT, "ct_export_c", "C library",
            ct_export_c(q, exported_path(&e, "m.c"), o));
    REFUSED(CT_ERR_ARGUMENT, "ct_export_c", "dtype other than f32",
            ct_export_c(doubles, exported_path(&e, "m.c"), o));
    REFUSED(CT_ERR_ARGUMENT, "ct_export_c", "must end in .c",
            ct_export_c(good, exported_path(&e, "m.cc"), o));
    REFUSED(CT_ERR_ARGUMENT, "ct_export_c", "identifier",
            ct_export_c(good, exported_path(&e, "1-m.c"), o));
    REFUSED(
        CT_ERR_ARGUMENT, "ct_export_c", "identifier",
        ct_export_c(good, exported_path(&e, "m.c"), (ct_export_options){ .name = "int main(" }));
    ck_assert(stat(exported_path(&e, "m.c"), &s) != 0 && stat(exported_path(&e, "m.h"), &s) != 0);
    ck_assert(ct_export_c(good, exported_path(&e, "m.c"), o) == CT_OK);
    exported_end(&e);
    ct_plan_free(p);
    ct_plan_free(q);
    ct_plan_free(good);
    ct_plan_free(doubles);
    ct_params_free(set);
}
END_TEST

START_TEST(weights_must_be_finite)
{
    ct_params *set = new_params(1, CT_F32);
    ct_module *l =
        ct_nn_linear(set, "out", (ct_nn_linear_options){ .in_features = 2, .out_features = 2 });
    ct_plan *p = ct_plan_new(set, l, CT_SHAPE(1, 2), CT_F32);
    exported e;

    exported_begin(&e);
    put_value(ct_param_value(ct_params_get(set, "out.weight")), 1, 1e39);
    REFUSED(CT_ERR_ARGUMENT, "ct_export_c", "out.weight",
            ct_export_c(p, exported_path(&e, "m.c"), (ct_export_options){ 0 }));
    exported_end(&e);
    ct_plan_free(p);
    ct_params_free(set);
}
END_TEST

static Suite *export_suite(void)
{
    Suite *s = suite_create("export");
    TCase *t = harness_case(s, "export");

    tcase_set_timeout(t, 600);
    tcase_add_test(t, bits_of_portable_mode);
    tcase_add_test(t, wrong_code_is_found);
    tcase_add_test(t, what_cannot_be_exported);
    tcase_add_test(t, many_steps_cannot_be_exported);
    tcase_add_test(t, weights_must_be_finite);
    return s;
}

int main(void)
{
    return harness_run(export_suite());
}
