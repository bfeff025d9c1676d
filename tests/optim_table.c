/* SPDX-License-Identifier: MIT */
/* optim_table.c - user-defined optimisers (optimizer_table.h), and Lion's formula in plain C. */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "tests/harness.h"
#include "optim/internal.h"

#include <cotangent/autograd/autograd.h>
#include <cotangent/autograd/ops/copy.h>
#include <cotangent/autograd/ops/elementwise.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/test_optim.h"

/* ---- an optimiser of the test: w -= lr (sign(m) + weight_decay w) ---- */

typedef struct sign_options {
    double lr, momentum, weight_decay, start;
    bool maximize, counts;
    const char *note; /* not an option; it is only copied */
} sign_options;

static const ct_optimizer_option sign_fields[] = {
    CT_OPTIMIZER_OPTION(sign_options, lr, 1e-3, 0, INFINITY),
    CT_OPTIMIZER_OPTION(sign_options, momentum, 0.9, 0, 1),
    CT_OPTIMIZER_OPTION(sign_options, weight_decay, 0, 0, INFINITY),
    CT_OPTIMIZER_OPTION(sign_options, start, 0, -10, 10),
    CT_OPTIMIZER_FLAG(sign_options, maximize),
    CT_OPTIMIZER_FLAG(sign_options, counts),
    { .name = NULL },
};

/* The kind of fault that update makes for one parameter. */
static enum { NOTHING, NULL_ALONE, RAISES, SHAPE, DTYPE, DEAD, STATE_SHAPE, STATE_NULL } fault;
static const char *fault_at;
static char seen_note[16];

static ct_tensor *sign_fault(ct_optimizer_update *u, ct_tensor *result)
{
    if (fault == NULL_ALONE)
        return NULL;
    if (fault == RAISES)
        ct_raise(CT_ERR_NUMERIC, "sign_update", "enough");
    if (fault == SHAPE)
        return ct_zeros(CT_SHAPE(2), CT_F32, DEVICE);
    if (fault == DTYPE)
        return ct_cast(result, CT_F64);
    if (fault == STATE_SHAPE)
        u->state[0] = ct_zeros(CT_SHAPE(2), CT_F32, DEVICE);
    if (fault == STATE_NULL)
        u->state[0] = NULL;
    if (fault == DEAD) {
        ct_scope s = ct_scope_begin_no_grad();
        ct_tensor *t = ct_neg(result);

        ck_assert(ct_scope_end(s) == CT_OK);
        return t;
    }
    return result;
}

static ct_tensor *sign_update(ct_optimizer_update *u)
{
    const sign_options *o = u->options;
    ct_tensor *m =
        ct_add(ct_mul_scalar(u->state[0], o->momentum), ct_mul_scalar(u->grad, 1 - o->momentum));
    ct_tensor *d = ct_add(ct_sign(m), ct_mul_scalar(u->value, u->weight_decay)), *result;

    snprintf(seen_note, sizeof seen_note, "%s", o->note ? o->note : "");
    u->state[0] = m;
    if (o->counts)
        u->state[1] = ct_add_scalar(u->state[1], 1);
    result = ct_sub(u->value, ct_mul(d, ct_optimizer_rate(u, 0)));
    return fault && strcmp(u->name, fault_at) == 0 ? sign_fault(u, result) : result;
}

#define SIGN                                                                                       \
    .name = "Sign", .options_size = sizeof(sign_options), .options = sign_fields,                  \
    .states = { { .name = "mean", .initial_option = "start" },                                     \
                { .name = "count", .only = "counts", .initial = 0.5, .scalar = true } },           \
    .saves_step = true

static const ct_optimizer_table sign_table = { SIGN, .update = sign_update, .captures = true };

/* Updates one f32 parameter by a plain loop; value and state are on the CPU. */
static void sign_by_hand(const ct_optimizer_update *u, ct_tensor *value, ct_tensor *state)
{
    const sign_options *o = u->options;
    const float *g = ct_data(ct_to(u->grad, CT_CPU));
    float *w = ct_mutable_data(value), *m = ct_mutable_data(state);
    const float sign = o->maximize ? -1 : 1, lr = (float)u->rate[0];
    const float momentum = (float)o->momentum, rest = (float)(1 - o->momentum);
    const float decay = (float)u->weight_decay;

    for (int64_t k = 0; g && w && m && k < ct_numel(value); k++) {
        m[k] = m[k] * momentum + sign * g[k] * rest;
        w[k] = w[k] - ((float)((m[k] > 0) - (m[k] < 0)) + w[k] * decay) * lr;
    }
}

/* Updates all parameters at once by plain loops, in place on the CPU. */
static ct_status sign_update_all(const ct_optimizer_update *u, int count)
{
    for (int i = 0; i < count; i++) {
        ct_tensor *value = u[i].value, *state = u[i].state[0];
        ct_device device = ct_tensor_device(value);

        if (device == CT_CPU) {
            sign_by_hand(&u[i], value, state);
        } else {
            value = ct_to(value, CT_CPU);
            state = ct_to(state, CT_CPU);
            sign_by_hand(&u[i], value, state);
            ct_copy_into(u[i].value, ct_to(value, device));
            ct_copy_into(u[i].state[0], ct_to(state, device));
        }
        if (((const sign_options *)u[i].options)->counts)
            ct_copy_into(u[i].state[1], ct_add_scalar(u[i].state[1], 1));
    }
    return ct_error();
}

static const ct_optimizer_table sign_all_table = { SIGN, .update_all = sign_update_all };

static ct_optimizer *sign_new(ct_params *set, const ct_optimizer_table *table, sign_options options)
{
    ct_optimizer *o = ct_optimizer_new(set, table, &options);

    ck_assert_msg(o != NULL, "%s", ct_error_message());
    ct_optimizer_group(o, "*.bias",
                       (ct_optimizer_group_options){ .lr = 0.05, .weight_decay = CT_ZERO });
    ct_schedule_exponential_lr(ct_optimizer_schedule(o), 0.9);
    return o;
}

static void sign_step(ct_params *set, ct_optimizer *o, int t)
{
    one_step(set, o, "run sign late=3", t);
    ct_schedule_step(ct_optimizer_schedule(o));
}

/* ---- results ---- */

/* The formula in double, from the options, groups and schedule that the library applies. */
START_TEST(formula)
{
    const sign_options options = { .lr = 0.1, .weight_decay = 0.2, .start = 0.01, .maximize = _i };
    ct_params *set = three_params(CT_F64);
    ct_optimizer *o = sign_new(set, &sign_table, options);
    double w[TOTAL], m[TOTAL], got[TOTAL];

    all_values(set, w);
    for (int i = 0; i < TOTAL; i++)
        m[i] = 0.01;
    for (int t = 1; t <= 20; t++) {
        int at = 0;

        sign_step(set, o, t);
        for (int k = 0; k < 3; k++)
            for (int i = 0; i < entries[k].size; i++, at++) {
                double lr = (k == 1 ? 0.05 : 0.1) * pow(0.9, t - 1), decay = k == 1 ? 0 : 0.2;

                if (k == 1 && t < 3)
                    continue;
                m[at] = 0.9 * m[at] + 0.1 * (_i ? -1 : 1) * gradient_at(k, i, t);
                w[at] -= lr * ((m[at] > 0) - (m[at] < 0) + decay * w[at]);
            }
        all_values(set, got);
        for (int i = 0; i < TOTAL; i++)
            expect_close("sign", got[i], w[i], 1e-13);
    }
    ct_optimizer_free(o);
    ct_params_free(set);
}
END_TEST

/* update and update_all in plain C give the same results as the ops. */
START_TEST(all_at_once)
{
    const sign_options options = {
        .lr = 0.1, .weight_decay = 0.2, .maximize = _i, .counts = true, .note = "abc"
    };
    ct_params *a = three_params(CT_F32), *b = three_params(CT_F32);
    ct_optimizer *x = sign_new(a, &sign_table, options);
    ct_optimizer *y = sign_new(b, &sign_all_table, options);
    double v[TOTAL], w[TOTAL];
    ct_scope s = ct_scope_begin();

    for (int t = 1; t <= 12; t++) {
        sign_step(a, x, t);
        sign_step(b, y, t);
        all_values(a, v);
        all_values(b, w);
        for (int i = 0; i < TOTAL; i++)
            expect_close("all at once", w[i], v[i], 1e-6);
    }
    ck_assert_str_eq(seen_note, "abc");
    ck_assert_int_eq(ct_optimizer_state_count(x), 2 + 3 * 3);
    ck_assert_str_eq(ct_optimizer_state_name(x, 2), "mean.a.weight");
    ck_assert_str_eq(ct_optimizer_state_name(x, 3), "count.a.weight");
    ck_assert_str_eq(ct_optimizer_state_name(x, 4), "step.a.weight");
    expect_values("count", ct_optimizer_state_tensor(x, 3), (double[]){ 12.5 }, 1, 0);
    expect_values("count", ct_optimizer_state_tensor(y, 6), (double[]){ 10.5 }, 1, 0);
    ck_assert_int_eq(ct_rank(ct_optimizer_state_tensor(x, 3)), 0);
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_optimizer_free(x);
    ct_optimizer_free(y);
    ct_params_free(a);
    ct_params_free(b);
}
END_TEST

/* Copying the state by name to another optimiser gives the same bits in all later steps. */
START_TEST(resumes)
{
    const sign_options options = { .lr = 0.1, .weight_decay = 0.2, .counts = true };
    ct_params *a = three_params(CT_F32), *b = three_params(CT_F32);
    ct_optimizer *x = sign_new(a, &sign_table, options), *y = sign_new(b, &sign_table, options);
    ct_scope s = ct_scope_begin_no_grad();

    for (int t = 1; t <= 7; t++)
        sign_step(a, x, t);
    for (int k = 0; k < 3; k++)
        ct_copy_into(value(b, k), value(a, k));
    for (int i = 0; i < ct_optimizer_state_count(x); i++)
        ck_assert(ct_optimizer_state_load(y, ct_optimizer_state_name(x, i),
                                          ct_optimizer_state_tensor(x, i)) == CT_OK);
    ck_assert(ct_optimizer_state_load(y, "count.a.bias", ct_zeros(CT_SHAPE(5), CT_F32, DEVICE)) ==
              CT_ERR_SHAPE);
    expect_error(CT_ERR_SHAPE, "ct_optimizer_state_load", "count.a.bias ... [5] ... []");
    ck_assert(ct_scope_end(s) == CT_OK);
    for (int t = 8; t <= 15; t++) {
        sign_step(a, x, t);
        sign_step(b, y, t);
        expect_same_sets("resumed", a, b);
    }
    ct_optimizer_free(x);
    ct_optimizer_free(y);
    ct_params_free(a);
    ct_params_free(b);
}
END_TEST

/* Lion by algorithm 2 of its paper, in double. */
START_TEST(lion)
{
    const bool plain = _i == 0;
    const double lr = plain ? 1e-4 : 0.05, decay = plain ? 0 : 0.3;
    const double beta1 = plain ? 0.9 : 0.5, beta2 = plain ? 0.99 : 0.8;
    ct_params *set = three_params(CT_F64);
    ct_optimizer *o = ct_lion_new(set, plain ? (ct_lion_options){ 0 }
                                             : (ct_lion_options){ .lr = lr,
                                                                  .beta1 = beta1,
                                                                  .beta2 = beta2,
                                                                  .weight_decay = decay,
                                                                  .maximize = true });
    double w[TOTAL], m[TOTAL] = { 0 }, got[TOTAL];

    all_values(set, w);
    for (int t = 1; t <= 20; t++) {
        int at = 0;

        one_step(set, o, "", t);
        for (int k = 0; k < 3; k++)
            for (int i = 0; i < entries[k].size; i++, at++) {
                double g = (plain ? 1 : -1) * gradient_at(k, i, t);
                double c = beta1 * m[at] + (1 - beta1) * g;

                w[at] -= lr * ((c > 0) - (c < 0) + decay * w[at]);
                m[at] = beta2 * m[at] + (1 - beta2) * g;
            }
        all_values(set, got);
        for (int i = 0; i < TOTAL; i++)
            expect_close("lion", got[i], w[i], 1e-13);
    }
    ct_optimizer_free(o);
    ct_params_free(set);
}
END_TEST

/* RAdam without eps does not divide by 0 before it adapts: while all gradients are 0, nothing
 * changes. */
START_TEST(radam_of_zeros)
{
    ct_params *set = three_params(CT_F32), *still = three_params(CT_F32);
    ct_optimizer *o = ct_radam_new(set, (ct_radam_options){ .eps = CT_ZERO });

    for (int t = 0; t < 4; t++) {
        give_constant(set, 0, 0);
        ck_assert(ct_optimizer_step(o) == CT_OK);
    }
    expect_same_sets("zero gradients", set, still);
    ct_optimizer_free(o);
    ct_params_free(set);
    ct_params_free(still);
}
END_TEST

/* ---- errors ---- */

/* An error in the update of one parameter changes no parameter. */
START_TEST(faults)
{
    static const struct {
        int fault;
        ct_status status;
        const char *function, *word;
    } cases[] = {
        { NULL_ALONE, CT_ERR_ARGUMENT, "ct_optimizer_step", "Sign ... NULL for a.bias" },
        { RAISES, CT_ERR_NUMERIC, "sign_update", "enough" },
        { SHAPE, CT_ERR_SHAPE, "ct_optimizer_step", "Sign ... [2] ... a.bias ... [5]" },
        { DTYPE, CT_ERR_SHAPE, "ct_optimizer_step", "Sign ... f64 ... a.bias ... f32" },
        { DEAD, CT_ERR_SCOPE, "ct_optimizer_step", "dead" },
        { STATE_SHAPE, CT_ERR_SHAPE, "ct_optimizer_step", "Sign ... [2] ... a.bias ... [5]" },
        { STATE_NULL, CT_ERR_ARGUMENT, "ct_optimizer_step", "NULL" },
    };
    ct_params *set = three_params(CT_F32), *still = three_params(CT_F32);
    ct_optimizer *o = sign_new(set, &sign_table, (sign_options){ .lr = 0.1 });
    ct_optimizer *want = sign_new(still, &sign_table, (sign_options){ .lr = 0.1 });

    fault_at = "a.bias";
    for (int i = 0; i < LENGTH(cases); i++) {
        for (int k = 0; k < 3; k++)
            give(set, k, 1);
        fault = cases[i].fault;
        ck_assert(ct_optimizer_step(o) == cases[i].status);
        expect_error(cases[i].status, cases[i].function, cases[i].word);
        expect_same_sets("a fault", set, still);
        ct_params_zero_grad(set);
    }
    fault = NOTHING;
    sign_step(set, o, 3); /* the failed steps were not counted */
    sign_step(still, want, 3);
    expect_same_sets("after the faults", set, still);
    ct_optimizer_free(o);
    ct_optimizer_free(want);
    ct_params_free(set);
    ct_params_free(still);
}
END_TEST

static ct_status fail_silently(const ct_optimizer_update *u, int count)
{
    (void)u, (void)count;
    return CT_ERR_IO;
}

static bool refuse_silently(const char *function, const void *options)
{
    (void)function, (void)options;
    return false;
}

static void no_rates(const ct_optimizer_update *u, double *rate)
{
    *rate = u->lr;
}

static const ct_optimizer_option twice[] = { CT_OPTIMIZER_OPTION(sign_options, lr, 0, 0, 1),
                                             CT_OPTIMIZER_OPTION(sign_options, lr, 0, 0, 1),
                                             { .name = NULL } };
static const ct_optimizer_option unusual[] = { CT_OPTIMIZER_OPTION(sign_options, lr, 2, 0, 1),
                                               { .name = NULL } };
static const ct_optimizer_option no_lr[] = { CT_OPTIMIZER_OPTION(sign_options, momentum, 0, 0, 1),
                                             { .name = NULL } };
static const ct_optimizer_option negative_lr[] = { CT_OPTIMIZER_OPTION(sign_options, lr, 0, -1, 1),
                                                   { .name = NULL } };
static const ct_optimizer_option odd[] = { { "lr", 3, false, 0, 0, 1 }, { .name = NULL } };

START_TEST(bad_tables)
{
#define TABLE(...)                                                                                 \
    {                                                                                              \
        SIGN, .update = sign_update, __VA_ARGS__                                                   \
    }
    /* clang-format off */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init"
    const struct { ct_optimizer_table table; const char *word; } cases[] = {
        { TABLE(.name = NULL), "name is NULL" },
        { TABLE(.name = ""), "name is NULL or empty" },
        { TABLE(.options = NULL), "\"Sign\": options is NULL" },
        { TABLE(.options_size = 20), "weight_decay ... outside" },
        { TABLE(.options = odd), "lr ... outside" },
        { TABLE(.options = twice), "lr is listed twice" },
        { TABLE(.options = unusual), "lr has a default outside" },
        { TABLE(.options = no_lr), "lr must be an option" },
        { TABLE(.options = negative_lr), "lr must be an option" },
        { TABLE(.states = { { .name = "a" }, { .name = "a" } }), "a is the name of another" },
        { TABLE(.states = { { .name = "step" } }), "step is the name of another" },
        { TABLE(.states = { { .name = "a.b" } }), "state ... dot" },
        { TABLE(.states = { { .name = "" } }), "state is empty" },
        { TABLE(.states = { { .name = "a", .only = "gamma" } }), "a refers to an option" },
        { TABLE(.states = { { .name = "a", .initial_option = "gamma" } }), "a refers to an option" },
        { TABLE(.update = NULL), "both NULL" },
        { TABLE(.update_all = sign_update_all), "both given" },
        { TABLE(.rates = no_rates), "rate_count" },
        { TABLE(.rate_count = 1), "rate_count" },
        { TABLE(.rates = no_rates, .rate_count = CT_OPTIMIZER_RATES + 1), "rate_count" },
        { TABLE(.check = refuse_silently), "\"Sign\" ... without raising" },
    };
#pragma GCC diagnostic pop
    /* clang-format on */
    ct_params *set = three_params(CT_F32);
    ct_optimizer *o;

    for (int i = 0; i < LENGTH(cases); i++) {
        ck_assert_msg(!ct_optimizer_new(set, &cases[i].table, NULL), "%s", cases[i].word);
        expect_error(CT_ERR_ARGUMENT, "ct_optimizer_new", cases[i].word);
    }
    ck_assert(!ct_optimizer_new(set, &sign_table, &(sign_options){ .momentum = 1 }));
    expect_error(CT_ERR_ARGUMENT, "ct_optimizer_new", "momentum is 1 ... less than 1");
    ck_assert(!ct_optimizer_new(set, &sign_table, &(sign_options){ .start = -11 }));
    expect_error(CT_ERR_ARGUMENT, "ct_optimizer_new", "start is -11");
    o = ct_optimizer_new(set, &(ct_optimizer_table){ SIGN, .update_all = fail_silently }, NULL);
    give(set, 0, 1);
    ck_assert(ct_optimizer_step(o) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_optimizer_step", "Sign: update_all ... without raising");
    ct_optimizer_free(o);
    ct_params_free(set);
}
END_TEST

/* The rates of an update as tensors of the parameter's dtype. */
START_TEST(rate_tensors)
{
    const ct_dtype dtype = _i ? CT_F64 : CT_F32;
    ct_scope s = ct_scope_begin();
    ct_optimizer_update u = { .value = ct_zeros(CT_SHAPE(2), dtype, DEVICE), .rate = { 0.1, -7 } };

    expect_values("rate 0", ct_optimizer_rate(&u, 0), (double[]){ _i ? 0.1 : (double)0.1f }, 1, 0);
    expect_values("rate 1", ct_optimizer_rate(&u, 1), (double[]){ -7 }, 1, 0);
    ck_assert(ct_tensor_dtype(ct_optimizer_rate(&u, 0)) == dtype);
    for (int i = -1; i < 9; i += 9) {
        ck_assert(!ct_optimizer_rate(&u, i));
        expect_error(CT_ERR_INDEX, "ct_optimizer_rate", i < 0 ? "i is -1" : "i is 8");
    }
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

void optim_table_cases(Suite *suite)
{
    TCase *tc = harness_case(suite, "table");

    tcase_add_loop_test(tc, formula, 0, 2);
    tcase_add_loop_test(tc, all_at_once, 0, 2);
    tcase_add_test(tc, resumes);
    tcase_add_loop_test(tc, lion, 0, 2);
    tcase_add_test(tc, radam_of_zeros);
    tcase_add_test(tc, faults);
    tcase_add_test(tc, bad_tables);
    tcase_add_loop_test(tc, rate_tensors, 0, 2);
}
