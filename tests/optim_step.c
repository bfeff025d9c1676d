/* SPDX-License-Identifier: MIT */
/* optim_step.c - steps of optimisers: gradients, groups, options, errors. */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "tests/harness.h"
#include "optim/internal.h"

#include <cotangent/autograd/autograd.h>
#include <cotangent/autograd/ops/reduce.h>
#include <cotangent/autograd/ops/views.h>
#include <cotangent/nn/init.h>
#include <cotangent/optim/clip.h>
#include <cotangent/optim/schedule.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "tests/test_optim.h"

/* ---- the formulas of optim.py ---- */

static void give_all(ct_params *set, int t)
{
    int k;

    for (k = 0; k < ct_params_count(set); k++)
        if (ct_param_is_trained(ct_params_at(set, k)))
            give(set, k, t);
}

static bool has_gradient(ct_params *set, int k)
{
    ct_scope s = ct_scope_begin();
    bool there = ct_tensor_grad(value(set, k)) != NULL;

    ck_assert(ct_scope_end(s) == ct_error());
    return there;
}

/* ---- the step ---- */

START_TEST(gradients_cleared)
{
    ct_params *set = three_params(CT_F32), *other = three_params(CT_F32);
    ct_optimizer *o = ct_sgd_new(set, (ct_sgd_options){ .lr = 0.1, .weight_decay = 0.5 });
    double before[TOTAL], after[TOTAL];

    give(set, 0, 1);
    give(set, 2, 1);
    all_values(set, before);
    ck_assert(ct_optimizer_step(o) == CT_OK);
    all_values(set, after);
    ck_assert(!has_gradient(set, 0) && !has_gradient(set, 2));
    ck_assert(before[0] != after[0] && before[44] != after[44]);
    ck_assert_msg(memcmp(before + 37, after + 37, 5 * sizeof *after) == 0,
                  "a parameter without a gradient moved");
    memcpy(before, after, sizeof after);
    ck_assert(ct_optimizer_step(o) == CT_OK); /* nothing to apply */
    all_values(set, after);
    ck_assert(memcmp(before, after, sizeof after) == 0);

    give_all(set, 2); /* ct_params_zero_grad removes the gradients */
    ct_params_zero_grad(set);
    ck_assert(!has_gradient(set, 0) && !has_gradient(set, 1));
    ck_assert(ct_optimizer_step(o) == CT_OK);
    all_values(set, after);
    ck_assert(memcmp(before, after, sizeof after) == 0);

    give(other, 0, 3); /* backward accumulates: two equal passes give twice the gradient */
    give(other, 0, 3);
    expect_close("twice", grad_item(other, 0, 1), 2 * gradient_at(0, 1, 3), 1e-7);
    ct_optimizer_free(o);
    ct_params_free(set);
    ct_params_free(other);
}
END_TEST

/* While an error is recorded, no parameter changes and no gradient is cleared. */
START_TEST(error_stands)
{
    ct_params *set = three_params(CT_F64), *still = three_params(CT_F64);
    ct_optimizer *o = ct_adamw_new(set, (ct_adam_options){ .lr = 0.1 });
    ct_schedule *s = ct_optimizer_schedule(o);
    ct_scope scope = ct_scope_begin();
    double norm = 7;

    ct_schedule_step_lr(s, 1, 0.5);
    ct_schedule_plateau_lr(s, (ct_schedule_plateau_options){ .patience = -1 });
    give_constant(set, 0, 3);
    ct_raise(CT_ERR_ARGUMENT, "test", "stands");
    ck_assert(ct_clip_grad_norm(set, 0.1, &norm) == CT_ERR_ARGUMENT && isnan(norm));
    ck_assert(ct_clip_grad_value(set, 0.1) == CT_ERR_ARGUMENT);
    ck_assert(ct_optimizer_step(o) == CT_ERR_ARGUMENT);
    ck_assert(ct_schedule_step(s) == CT_ERR_ARGUMENT);
    ck_assert(ct_schedule_observe(s, 1) == CT_ERR_ARGUMENT);
    ck_assert(ct_schedule_observe(s, 2) == CT_ERR_ARGUMENT);
    ck_assert(ct_optimizer_step(NULL) == CT_ERR_ARGUMENT);
    ck_assert(ct_schedule_step(NULL) == CT_ERR_ARGUMENT);
    ck_assert(ct_optimizer_state_load(o, "lr", ct_full(CT_SHAPE(1), 5, CT_F64, DEVICE)) ==
              CT_ERR_ARGUMENT);
    expect_close("the rate", ct_optimizer_lr(o), 0.1, 0);
    ck_assert(ct_scope_end(scope) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "test", "stands");
    expect_same_sets("an error stood", set, still);
    expect_close("unclipped", grad_item(set, 0, 0), 3, 0);
    ck_assert(ct_optimizer_step(o) == CT_OK);
    ck_assert(!has_gradient(set, 0));
    ct_optimizer_free(o);
    ct_params_free(set);
    ct_params_free(still);
}
END_TEST

/* Parameters that are materialized or registered after the optimiser and its group were made. */
START_TEST(settled_later)
{
    static const char line[] = "run adam lr=0.05 weight_decay=0.2 bias_lr=0.1";
    ct_params *whole = three_params(CT_F32);
    ct_params *set = ct_params_new((ct_params_options){ .device = DEVICE });
    ct_optimizer *want = optimizer_of(whole, line), *o;
    int k, t;

    for (k = 0; k < 2; k++)
        ct_params_add(set, entries[k].name, CT_SHAPE(-1), (ct_init){ .fill = fill, .a = k });
    o = optimizer_of(set, line);
    ck_assert(ct_optimizer_step(o) == CT_OK);
    for (k = 0; k < 2; k++)
        ck_assert(ct_param_materialize(ct_params_at(set, k), CT_SHAPE(entries[k].size)) == CT_OK);
    ct_params_add(set, entries[2].name, CT_SHAPE(entries[2].size),
                  (ct_init){ .fill = fill, .a = 2 });
    for (t = 1; t < 5; t++) {
        one_step(set, o, line, t);
        one_step(whole, want, line, t);
    }
    expect_same_sets("sizes known later", set, whole);
    ct_optimizer_free(o);
    ct_optimizer_free(want);
    ct_params_free(set);
    ct_params_free(whole);
}
END_TEST

START_TEST(groups)
{
    ct_params *set = three_params(CT_F32);
    ct_optimizer *o = ct_sgd_new(set, (ct_sgd_options){ .lr = 1 });

    ct_optimizer_group(o, "a.*", (ct_optimizer_group_options){ .lr = 2 });
    ct_optimizer_group(o, "*.bias", (ct_optimizer_group_options){ .lr = 3 });
    expect_close("first", ct_optimizer_param_lr(o, "a.weight"), 2, 0);
    expect_close("the last given holds", ct_optimizer_param_lr(o, "a.bias"), 3, 0);
    expect_close("none", ct_optimizer_param_lr(o, "b.weight"), 1, 0);
    ct_optimizer_set_lr(o, 4);
    expect_close("follows", ct_optimizer_param_lr(o, "b.weight"), 4, 0);
    expect_close("its own", ct_optimizer_param_lr(o, "a.bias"), 3, 0);
    ct_optimizer_group(o, "a.*", (ct_optimizer_group_options){ .lr = CT_ZERO });
    expect_close("replaced", ct_optimizer_param_lr(o, "a.weight"), 0, 0);
    ct_optimizer_group(o, "*.bias", (ct_optimizer_group_options){ .weight_decay = CT_ZERO });
    expect_close("the optimiser's again", ct_optimizer_param_lr(o, "a.bias"), 4, 0);
    ct_optimizer_free(o);
    ct_params_free(set);
}
END_TEST

/* ---- errors ---- */

START_TEST(option_errors)
{
    ct_params *set = three_params(CT_F32);
    int i;
#define BAD(rule, options, word)                                                                   \
    do {                                                                                           \
        ck_assert(ct_##rule##_new(set, (ct_##options##_options)CASE) == NULL);                     \
        expect_error(CT_ERR_ARGUMENT, "ct_" #rule "_new", word);                                   \
    } while (0)
#define CASE { .lr = -1 }
    BAD(sgd, sgd, "lr is -1");
    BAD(adagrad, adagrad, "lr is -1");
#undef CASE
#define CASE { .lr = INFINITY }
    BAD(rmsprop, rmsprop, "lr is inf");
#undef CASE
#define CASE { .lr = CT_ZERO * 2 }
    BAD(adamw, adam, "lr is -");
#undef CASE
#define CASE { .momentum = -0.5 }
    BAD(sgd, sgd, "momentum is -0.5");
    BAD(rmsprop, rmsprop, "momentum is -0.5");
#undef CASE
#define CASE { .dampening = INFINITY }
    BAD(sgd, sgd, "dampening is inf");
#undef CASE
#define CASE { .nesterov = true }
    BAD(sgd, sgd, "momentum is 0 ... nesterov");
#undef CASE
#define CASE { .nesterov = true, .momentum = 0.9, .dampening = 0.1 }
    BAD(sgd, sgd, "dampening is 0.1 ... nesterov");
#undef CASE
#define CASE { .beta1 = 1 }
    BAD(adam, adam, "beta1 is 1");
#undef CASE
#define CASE { .beta2 = -0.1 }
    BAD(adamw, adam, "beta2 is -0.1");
    BAD(adamax, adamax, "beta2 is -0.1");
    BAD(nadam, nadam, "beta2 is -0.1");
    BAD(radam, radam, "beta2 is -0.1");
    BAD(lion, lion, "beta2 is -0.1");
#undef CASE
#define CASE { .rho = 1 }
    BAD(adadelta, adadelta, "rho is 1");
#undef CASE
#define CASE { .momentum_decay = -1 }
    BAD(nadam, nadam, "momentum_decay is -1");
#undef CASE
#define CASE { .alpha = 1.5 }
    BAD(rmsprop, rmsprop, "alpha is 1.5");
#undef CASE
#define CASE { .eps = -1 }
    BAD(adam, adam, "eps is -1");
    BAD(rmsprop, rmsprop, "eps is -1");
    BAD(adagrad, adagrad, "eps is -1");
#undef CASE
#define CASE { .weight_decay = -1 }
    BAD(sgd, sgd, "weight_decay is -1");
    BAD(adam, adam, "weight_decay is -1");
    BAD(adagrad, adagrad, "weight_decay is -1");
#undef CASE
#define CASE { .lr_decay = -1 }
    BAD(adagrad, adagrad, "lr_decay is -1");
#undef CASE
#define CASE { .initial_accumulator_value = -2 }
    BAD(adagrad, adagrad, "initial_accumulator_value is -2");
#undef CASE
    for (i = 0; i < 3; i++) { /* NaN is not allowed as a rate (printf shows its sign) */
        double nan = NAN;

        ck_assert(i == 0   ? !ct_sgd_new(set, (ct_sgd_options){ .lr = nan })
                  : i == 1 ? !ct_adam_new(set, (ct_adam_options){ .beta1 = nan })
                           : !ct_sgd_new(set, (ct_sgd_options){ .dampening = nan }));
        ck_assert(ct_error() == CT_ERR_ARGUMENT);
        ct_error_clear();
    }
    ck_assert(!ct_sgd_new(NULL, (ct_sgd_options){ .lr = 1 }));
    expect_error(CT_ERR_ARGUMENT, "ct_sgd_new", "set is NULL");
    ct_params_free(set);
}
END_TEST

/* A composed update gives the same numbers and states as the fused one, and can load its state. */
START_TEST(composed)
{
    static const char *const lines[2] = {
        "run adam lr=0.1 weight_decay=0.01 bias_lr=0.01 late=3 step_size=4 schedule_gamma=0.5",
        "run adam lr=0.1 maximize=1 bias_no_weight_decay=1 weight_decay=0.2 freeze=1"
    };
    ct_params *a = three_params(CT_F64), *b = three_params(CT_F64);
    ct_optimizer *x = optimizer_of(a, lines[_i]), *y;
    double v[TOTAL], w[TOTAL];
    char line[200];
    ct_scope s;

    snprintf(line, sizeof line, "run composed%s", lines[_i] + strlen("run adam"));
    y = optimizer_of(b, line);
    for (int t = 1; t <= 20; t++) {
        one_step(a, x, line, t);
        one_step(b, y, line, t);
        all_values(a, v);
        all_values(b, w);
        for (int i = 0; i < TOTAL; i++)
            expect_close("composed", w[i], v[i], 1e-12);
    }
    s = ct_scope_begin();
    ck_assert_int_eq(ct_optimizer_state_count(x), ct_optimizer_state_count(y));
    for (int i = 0; i < ct_optimizer_state_count(x); i++) {
        ck_assert_str_eq(ct_optimizer_state_name(x, i), ct_optimizer_state_name(y, i));
        ck_assert(ct_optimizer_state_load(y, ct_optimizer_state_name(x, i),
                                          ct_optimizer_state_tensor(x, i)) == CT_OK);
    }
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_optimizer_free(x);
    ct_optimizer_free(y);
    ct_params_free(a);
    ct_params_free(b);
}
END_TEST

/* Checks that the table describes every field of the struct up to the last option of the
 * algorithm. */
static void check_table(const ct_optimizer_table *table)
{
    unsigned char *covered = calloc(1, table->options_size + 1);
    size_t last = 0, hole = 0;

    ck_assert(cti_optimizer_table_check("test", table));
    for (const ct_optimizer_option *o = table->options; o->name; o++) {
        size_t size = o->is_flag ? sizeof(bool) : sizeof(double);

        memset(covered + o->offset, 1, size);
        last = o->offset + size > last ? o->offset + size : last;
    }
    for (size_t i = 0; i < last; i++) {
        hole = covered[i] ? 0 : hole + 1;
        ck_assert_msg(hole < sizeof(double), "%s: no option at offset %zu", table->name, i - 7);
    }
    free(covered);
}

/* Writes the description of an optimiser in a checkpoint: "name value;..." */
static void description_of(const ct_optimizer *o, char to[2000])
{
    cti_entries e = { 0 };

    cti_optimizer_describe(o, &e, true);
    ck_assert(!cti_entries_failed(&e));
    *to = '\0';
    for (size_t i = 0; i < e.count; i++)
        sprintf(to + strlen(to), "%s %s;", e.at[i].name.bytes, e.at[i].value.bytes);
    cti_entries_free(&e);
}

/* Every option of every algorithm changes the description, and ct_optimizer_new_from_name accepts
 * it. */
START_TEST(described)
{
    ct_params *set = three_params(CT_F32);

    for (int i = 0; ct_optimizer_algorithm(i); i++) {
        const char *name = ct_optimizer_algorithm(i);
        const ct_optimizer_table *table = ct_optimizer_table_from_name(name);
        char usual[2000], other[2000];
        ct_optimizer *o = ct_optimizer_new_from_name(set, name, NULL);

        check_table(table);
        ck_assert(strcasecmp(table->name, name) == 0);
        description_of(o, usual);
        ct_optimizer_free(o);
        for (const ct_optimizer_option *option = table->options; option->name; option++) {
            const ct_optimizer_value values[] = {
                { option->name, option->is_flag ? 1 : 0.25 },
                { strcmp(option->name, "nesterov") == 0 ? "momentum" : NULL, 0.5 },
                { NULL, 0 }
            };

            o = ct_optimizer_new_from_name(set, name, values);
            ck_assert_msg(o != NULL, "%s %s: %s", name, option->name, ct_error_message());
            ck_assert(cti_option_get(option, o->options) == values[0].value);
            description_of(o, other);
            ck_assert_msg(strcmp(usual, other) != 0, "%s %s: %s", name, option->name, other);
            ct_optimizer_free(o);
        }
    }
    ck_assert(ct_optimizer_algorithm(-1) == NULL);
    ck_assert(!ct_optimizer_table_from_name("adamant") && !ct_optimizer_table_from_name(NULL));
    ct_params_free(set);
}
END_TEST

START_TEST(by_name)
{
    ct_params *a = three_params(CT_F32), *b = three_params(CT_F32);
    const ct_optimizer_value zero[] = { { "beta1", 0 }, { "lr", 0.1 }, { NULL, 0 } };
    const ct_optimizer_value unknown[] = { { "gamma", 1 }, { NULL, 0 } };
    const ct_optimizer_value wrong[] = { { "beta1", 2 }, { NULL, 0 } };
    ct_optimizer *x = ct_adam_new(a, (ct_adam_options){ .lr = 0.1, .beta1 = CT_ZERO });
    ct_optimizer *y = ct_optimizer_new_from_name(b, "adam", zero); /* here 0 means 0, not the
                                                                    * default */

    for (int t = 1; t <= 3; t++) {
        one_step(a, x, "", t);
        one_step(b, y, "", t);
    }
    expect_same_sets("adam by name", a, b);
    ck_assert(!ct_optimizer_new_from_name(a, "adamant", NULL));
    expect_error(CT_ERR_ARGUMENT, "ct_optimizer_new_from_name",
                 "algorithm is \"adamant\"; no optimiser has this name");
    ck_assert(!ct_optimizer_new_from_name(a, "sgd", unknown));
    expect_error(CT_ERR_ARGUMENT, "ct_optimizer_new_from_name", "SGD has no option \"gamma\"");
    ck_assert(!ct_optimizer_new_from_name(a, "adam", wrong));
    expect_error(CT_ERR_ARGUMENT, "ct_optimizer_new_from_name",
                 "beta1 is 2; it must be at least 0 and less than 1");
    ck_assert(!ct_optimizer_new_from_name(a, NULL, NULL));
    expect_error(CT_ERR_ARGUMENT, "ct_optimizer_new_from_name", "algorithm is NULL");
    ck_assert(!ct_optimizer_new_from_name(NULL, "sgd", NULL));
    expect_error(CT_ERR_ARGUMENT, "ct_optimizer_new_from_name", "set is NULL");
    ct_optimizer_free(x);
    ct_optimizer_free(y);
    ct_params_free(a);
    ct_params_free(b);
}
END_TEST

START_TEST(call_errors)
{
    ct_params *set = three_params(CT_F32);
    ct_optimizer *o = ct_sgd_new(set, (ct_sgd_options){ .lr = 1 });

    ct_clip_grad_norm(set, 0, NULL);
    expect_error(CT_ERR_ARGUMENT, "ct_clip_grad_norm", "max_norm is 0");
    ct_clip_grad_value(set, -1);
    expect_error(CT_ERR_ARGUMENT, "ct_clip_grad_value", "clip_value is -1");
    ct_clip_grad_norm(NULL, 1, NULL);
    expect_error(CT_ERR_ARGUMENT, "ct_clip_grad_norm", "set is NULL");
    ct_optimizer_step(NULL);
    expect_error(CT_ERR_ARGUMENT, "ct_optimizer_step", "o is NULL");
    ct_optimizer_set_lr(NULL, 1);
    expect_error(CT_ERR_ARGUMENT, "ct_optimizer_set_lr", "o is NULL");
    ct_optimizer_set_lr(o, -2);
    expect_error(CT_ERR_ARGUMENT, "ct_optimizer_set_lr", "lr is -2");
    expect_close("kept", ct_optimizer_lr(o), 1, 0);
    ct_optimizer_group(o, "*.bais", (ct_optimizer_group_options){ .lr = 1 });
    expect_error(CT_ERR_ARGUMENT, "ct_optimizer_group", "\"*.bais\"");
    ct_optimizer_group(o, "*", (ct_optimizer_group_options){ .lr = -1 });
    expect_error(CT_ERR_ARGUMENT, "ct_optimizer_group", "lr is -1");
    ct_optimizer_group(NULL, "*", (ct_optimizer_group_options){ .lr = 1 });
    expect_error(CT_ERR_ARGUMENT, "ct_optimizer_group", "o is NULL");
    ct_optimizer_group(o, NULL, (ct_optimizer_group_options){ .lr = 1 });
    expect_error(CT_ERR_ARGUMENT, "ct_optimizer_group", "pattern is NULL");
    ct_optimizer_free(o);
    ct_optimizer_free(NULL);
    ct_optimizer_reset(NULL);
    expect_error(CT_ERR_ARGUMENT, "ct_optimizer_reset", "o is NULL");
    ct_params_free(set);
}
END_TEST

/* ---- checkpoints ---- */

/* A value with two names gets one update, with the sum of the gradients of both uses, whichever
 * name stores it; the other name has no state. */
START_TEST(tied)
{
    ct_params *set = three_params(CT_F64), *alone = three_params(CT_F64);
    ct_optimizer *o, *want;
    ct_scope s;
    int t;

    ct_params_add(set, "tied", CT_SHAPE(37), (ct_init){ .fill = fill, .a = 5 });
    o = rule_of(set, resumed[_i]);
    want = rule_of(alone, resumed[_i]);
    ck_assert(ct_params_tie(set, "a.weight", "tied") == CT_OK);
    for (t = 1; t < 5; t++) {
        give(set, 0, t);
        give(set, 3, t + 1);
        give(alone, 0, t);
        s = ct_scope_begin();
        ct_backward_with(value(alone, 0), made(gradient_at, 3, t + 1, 37, CT_F64));
        ck_assert(ct_scope_end(s) == CT_OK);
        ct_clip_grad_norm(set, 1, NULL);
        ct_clip_grad_norm(alone, 1, NULL);
        ct_optimizer_step(o);
        ct_optimizer_step(want);
        ck_assert(!has_gradient(set, 3));
    }
    expect_same_sets("tied", set, alone);
    ck_assert_int_eq(ct_optimizer_state_count(o), ct_optimizer_state_count(want));
    ct_optimizer_free(o);
    ct_optimizer_free(want);
    ct_params_free(set);
    ct_params_free(alone);
}
END_TEST

/* Makes a set with "e.w" and its second name "d.w", which are tied before or after the optimiser is
 * made. */
static ct_params *tied_set(ct_params **part)
{
    ct_params *set = ct_params_new((ct_params_options){ .device = DEVICE });

    ct_params_add(set, "e.w", CT_SHAPE(2), (ct_init){ .fill = fill, .a = 0 });
    ct_params_add(set, "d.w", CT_SHAPE(2), (ct_init){ .fill = fill, .a = 1 });
    *part = ct_params_sub(set, "d");
    return set;
}

/* Returns the change of the value by one update with a gradient of 1. */
static double moved_by(ct_params *set, ct_optimizer *o)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *w = ct_param_value(ct_params_get(set, "e.w"));
    double before = ct_item(ct_select(w, 0, 0)), after;

    ct_backward(ct_sum(w));
    ck_assert(ct_optimizer_step(o) == CT_OK);
    ck_assert(!has_gradient(set, 0));
    after = ct_item(ct_select(w, 0, 0));
    ck_assert(ct_scope_end(s) == CT_OK);
    return before - after;
}

/* A group for either name applies to the shared value. Of two groups the one that was added last
 * applies. Both names return the same rate. */
START_TEST(tied_groups)
{
    static const struct {
        const char *pattern[2];
        double lr;
    } cases[] = { { { "e.w", NULL }, 0.25 },
                  { { "d.w", NULL }, 0.25 },
                  { { "d.*", "e.*" }, 0.5 },
                  { { "e.*", "d.*" }, 0.5 },
                  { { "d.*", "d.w" }, 0.5 } };

    for (int i = 0; i < 2 * LENGTH(cases); i++) {
        const char *const *pattern = cases[i / 2].pattern;
        ct_params *part, *set = tied_set(&part);
        ct_optimizer *o = ct_sgd_new(set, (ct_sgd_options){ .lr = 1 });

        if (i % 2)
            ck_assert(ct_params_tie(set, "e.w", "d.w") == CT_OK);
        for (int k = 0; k < 2 && pattern[k]; k++)
            ck_assert(ct_optimizer_group(o, pattern[k],
                                         (ct_optimizer_group_options){ .lr = k ? 0.5 : 0.25 }) ==
                      CT_OK);
        if (i % 2 == 0)
            ck_assert(ct_params_tie(set, "e.w", "d.w") == CT_OK);
        expect_close("first", ct_optimizer_param_lr(o, "e.w"), cases[i / 2].lr, 0);
        expect_close("second", ct_optimizer_param_lr(o, "d.w"), cases[i / 2].lr, 0);
        expect_close(pattern[0], moved_by(set, o), cases[i / 2].lr, 1e-6);
        ct_optimizer_free(o);
        ct_params_free(set);
    }
}
END_TEST

/* In a part of the set that has only the second name, that name represents the value. */
START_TEST(tied_part)
{
    ct_params *part, *set = tied_set(&part);
    ct_optimizer *o = ct_sgd_new(part, (ct_sgd_options){ .lr = 0.5, .momentum = 0.5 });
    ct_optimizer *both = ct_sgd_new(set, (ct_sgd_options){ .momentum = 0.5 });
    ct_scope s = ct_scope_begin();
    double norm = 0;

    ck_assert(ct_params_tie(set, "e.w", "d.w") == CT_OK);
    ck_assert_int_eq(ct_params_numel(set), 2);
    ck_assert_int_eq(ct_params_numel(part), 2);
    ct_backward(ct_sum(ct_param_value(ct_params_get(set, "e.w"))));
    ck_assert(ct_clip_grad_norm(part, 100, &norm) == CT_OK);
    expect_close("norm", norm, sqrt(2), 1e-6);
    ct_params_zero_grad(part);
    expect_close("moved", moved_by(set, o), 0.5, 1e-6);
    ck_assert_str_eq(ct_optimizer_state_name(o, 1), "momentum_buffer.d.w");
    moved_by(set, both);
    ck_assert_str_eq(ct_optimizer_state_name(both, 1), "momentum_buffer.e.w");
    ck_assert(ct_optimizer_state_name(both, 2) == NULL);
    ck_assert(ct_optimizer_state_load(both, "momentum_buffer.d.w",
                                      ct_optimizer_state_tensor(both, 1)) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_optimizer_state_load",
                 "has no state ... momentum_buffer.d.w");
    ck_assert(ct_params_init(part, ct_init_constant(3), 1) == CT_OK);
    expect_close("init", ct_item(ct_sum(ct_param_value(ct_params_get(set, "e.w")))), 6, 0);
    ck_assert(ct_params_freeze(part, "w", true) == 1);
    ck_assert(ct_params_numel(set) == 0 && ct_params_numel(part) == 0);
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_optimizer_free(o);
    ct_optimizer_free(both);
    ct_params_free(set);
}
END_TEST

void optim_step_cases(Suite *suite)
{
    const int rules = LENGTH(resumed);
    TCase *tc = harness_case(suite, "step");

    tcase_add_test(tc, gradients_cleared);
    tcase_add_test(tc, error_stands);
    tcase_add_test(tc, settled_later);
    tcase_add_test(tc, groups);
    tcase_add_loop_test(tc, tied, 0, rules);
    tcase_add_test(tc, tied_groups);
    tcase_add_test(tc, tied_part);
    tcase_add_test(tc, option_errors);
    tcase_add_loop_test(tc, composed, 0, 2);
    tcase_add_test(tc, described);
    tcase_add_test(tc, by_name);
    tcase_add_test(tc, call_errors);
}
