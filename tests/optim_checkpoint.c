/* SPDX-License-Identifier: MIT */
/* optim_checkpoint.c - the state of optimisers: saving, loading, failing allocations, threads. */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "tests/files.h"
#include "tests/harness.h"
#include "optim/internal.h"

#include <cotangent/autograd/autograd.h>
#include <cotangent/optim/clip.h>
#include <cotangent/optim/schedule.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/test_optim.h"

/* ---- checkpoints ---- */

/* Copies all entries of `from` to `to` in reverse order, because the order must not matter. */
static void load_all(ct_optimizer *to, ct_optimizer *from)
{
    ct_scope s = ct_scope_begin();
    int i;

    for (i = ct_optimizer_state_count(from) - 1; i >= 0; i--)
        ck_assert_msg(ct_optimizer_state_load(to, ct_optimizer_state_name(from, i),
                                              ct_optimizer_state_tensor(from, i)) == CT_OK,
                      "%s", ct_error_message());
    ck_assert(ct_optimizer_state_name(from, ct_optimizer_state_count(from)) == NULL);
    ck_assert(ct_optimizer_state_name(from, -1) == NULL);
    ck_assert(ct_scope_end(s) == CT_OK);
}

START_TEST(resume)
{
    const char *line = resumed[_i / 2];
    ct_dtype dtype = _i % 2 ? CT_F64 : CT_F32;
    ct_params *a = three_params(dtype), *b = three_params(dtype);
    ct_optimizer *x = optimizer_of(a, line), *y = optimizer_of(b, line);
    ct_scope s;
    int k, t;

    ct_schedule_plateau_lr(ct_optimizer_schedule(x),
                           (ct_schedule_plateau_options){ .patience = 1 });
    ct_schedule_plateau_lr(ct_optimizer_schedule(y),
                           (ct_schedule_plateau_options){ .patience = 1 });
    for (t = 1; t <= 14; t++) {
        one_step(a, x, line, t);
        ct_schedule_observe(ct_optimizer_schedule(x), t);
    }
    ct_optimizer_set_lr(x, 0.03);
    one_step(b, y, line, 40); /* earlier updates of y are reset or overwritten */
    ct_optimizer_reset(y);
    s = ct_scope_begin_no_grad();
    for (k = 0; k < 3; k++)
        ct_copy_into(value(b, k), value(a, k));
    ck_assert(ct_scope_end(s) == CT_OK);
    load_all(y, x);
    ck_assert_int_eq(ct_optimizer_state_count(x), ct_optimizer_state_count(y));
    for (; t <= 30; t++) {
        one_step(a, x, line, t);
        one_step(b, y, line, t);
        ct_schedule_observe(ct_optimizer_schedule(x), 1.0 / t);
        ct_schedule_observe(ct_optimizer_schedule(y), 1.0 / t);
        expect_same_sets(line, a, b);
        expect_close("the rate", ct_optimizer_lr(y), ct_optimizer_lr(x), 0);
    }
    ct_optimizer_free(x);
    ct_optimizer_free(y);
    ct_params_free(a);
    ct_params_free(b);
}
END_TEST

START_TEST(state_names)
{
    static const char *const want[] = { "lr",
                                        "schedule",
                                        "exp_avg.a.weight",
                                        "exp_avg_sq.a.weight",
                                        "max_exp_avg_sq.a.weight",
                                        "step.a.weight",
                                        "exp_avg.b.weight",
                                        "exp_avg_sq.b.weight",
                                        "max_exp_avg_sq.b.weight",
                                        "step.b.weight" };
    ct_params *set = three_params(CT_F32);
    ct_optimizer *o = ct_adam_new(set, (ct_adam_options){ .amsgrad = true });
    ct_scope s = ct_scope_begin();
    ct_tensor *t;
    int i;

    ck_assert_int_eq(ct_optimizer_state_count(NULL), 0);
    ck_assert_int_eq(ct_optimizer_state_count(o), 1);
    ct_schedule_step_lr(ct_optimizer_schedule(o), 3, 0.5);
    ct_optimizer_group(o, "*.bias", (ct_optimizer_group_options){ .lr = 0.5 });
    ct_optimizer_group(o, "b.*", (ct_optimizer_group_options){ .weight_decay = 0.5 });
    give(set, 0, 1);
    ct_optimizer_step(o);
    give(set, 0, 2);
    give(set, 2, 2);
    ct_optimizer_step(o);
    ct_params_freeze(set, "b.*", true); /* a frozen parameter keeps its state */
    ck_assert_int_eq(ct_optimizer_state_count(o), 10);
    for (i = 0; i < 10; i++)
        ck_assert_str_eq(ct_optimizer_state_name(o, i), want[i]);
    expect_values("lr", ct_optimizer_state_tensor(o, 0), (double[]){ 0.001, 0.5, NAN }, 3, 0);
    expect_values("schedule", ct_optimizer_state_tensor(o, 1), (double[]){ 0, 0, 0, 0, 0 }, 5, 0);
    t = ct_optimizer_state_tensor(o, 2);
    ck_assert(ct_numel(t) == 37 && ct_tensor_dtype(t) == CT_F32 && !ct_tensor_requires_grad(t));
    expect_values("step", ct_optimizer_state_tensor(o, 5), (double[]){ 2 }, 1, 0);
    expect_values("step", ct_optimizer_state_tensor(o, 9), (double[]){ 1 }, 1, 0);
    ct_optimizer_reset(o);
    ck_assert_int_eq(ct_optimizer_state_count(o), 2);
    ck_assert(!ct_optimizer_state_tensor(o, 2));
    expect_error(CT_ERR_INDEX, "ct_optimizer_state_tensor", "i is 2");
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_optimizer_free(o);
    ct_params_free(set);
}
END_TEST

static void load_refused(ct_optimizer *o, const char *name, ct_tensor *t, ct_status status,
                         const char *word)
{
    ck_assert(ct_optimizer_state_load(o, name, t) == status);
    expect_error(status, "ct_optimizer_state_load", word);
}

START_TEST(load_errors)
{
    ct_params *set = three_params(CT_F32);
    ct_optimizer *o = ct_adam_new(set, (ct_adam_options){ .lr = 0.5 });
    ct_scope s = ct_scope_begin();
    ct_tensor *one = ct_ones(CT_SHAPE(5), CT_F32, DEVICE), *zero;
    int i;

    zero = ct_zeros(CT_SCALAR, CT_I64, DEVICE);
    ct_params_add(set, "c", CT_SHAPE(-1), (ct_init){ .fill = fill });
    load_refused(NULL, "lr", one, CT_ERR_ARGUMENT, "o is NULL");
    load_refused(o, NULL, one, CT_ERR_ARGUMENT, "name is NULL");
    load_refused(o, "lr", NULL, CT_ERR_ARGUMENT, "t is NULL");
    load_refused(o, "max_exp_avg_sq.a.bias", one, CT_ERR_ARGUMENT, "\"max_exp_avg_sq.a.bias\"");
    load_refused(o, "schedule", one, CT_ERR_ARGUMENT, "\"schedule\"");
    load_refused(o, "exp_avg.a.weight", one, CT_ERR_SHAPE,
                 "exp_avg.a.weight has the shape [5] ... [37]");
    load_refused(o, "exp_avg.c", one, CT_ERR_SHAPE, "shape of c");
    load_refused(o, "exp_avg.a.bias", ct_ones(CT_SHAPE(5), CT_F64, DEVICE), CT_ERR_DTYPE,
                 "exp_avg.a.bias is f64 ... f32");
    load_refused(o, "step.a.bias", one, CT_ERR_SHAPE, "step.a.bias ... [5]");
    load_refused(o, "step.a.bias", zero, CT_ERR_FORMAT, "step.a.bias");
    load_refused(o, "lr", ct_full(CT_SHAPE(1), -1, CT_F64, DEVICE), CT_ERR_FORMAT, "lr");
    load_refused(o, "lr", ct_ones(CT_SHAPE(2), CT_F64, DEVICE), CT_ERR_SHAPE, "lr ... [2]");
    ct_schedule_plateau_lr(ct_optimizer_schedule(o),
                           (ct_schedule_plateau_options){ .factor = 0.5 });
    for (i = 0; i < 5; i++) {
        double n[5] = { 1, 0.5, 1, 1, 1 };

        n[i] = i == 1 ? NAN : 0.5;
        load_refused(o, "schedule", ct_from_data(n, CT_SHAPE(5), CT_F64, DEVICE), CT_ERR_FORMAT,
                     "schedule");
    }
    ck_assert_int_eq(ct_optimizer_state_count(o), 2);
    expect_close("the rate", ct_optimizer_lr(o), 0.5, 0);
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_optimizer_free(o);
    ct_params_free(set);
}
END_TEST

/* ---- memory and threads ---- */

static void clipped_steps(ct_params *set, ct_optimizer *o, int t, int end)
{
    int k;

    for (; t < end; t++) {
        for (k = 0; k < 3; k++)
            give(set, k, t);
        ct_clip_grad_norm(set, 0.1, NULL);
        ct_clip_grad_value(set, 0.01);
        ct_optimizer_step(o);
    }
}

START_TEST(no_allocation)
{
    ct_params *set = three_params(CT_F32);
    ct_optimizer *o = optimizer_of(set, resumed[_i]);
    uint64_t before;

    harness_fill_handles();
    clipped_steps(set, o, 20, 22);
    before = ct_memory_get_stats().system_allocations;
    fail_allocation(0); /* only counts allocations */
    clipped_steps(set, o, 22, 30);
    fail_nothing();
    ck_assert_int_eq(allocations_seen, 0);
    ck_assert(ct_memory_get_stats().system_allocations == before);
    ct_optimizer_free(o);
    ct_params_free(set);
}
END_TEST

static void remember(ct_params *set, double out[TOTAL])
{
    int k;

    for (k = 0; k < 3; k++)
        if (ct_param_is_lazy(ct_params_at(set, k)))
            return;
    all_values(set, out);
}

/* Makes an optimiser, a group and a schedule, and runs steps until one fails; a failed step must
 * not change anything. */
static void steps_under_failure(ct_params *set, const char *line)
{
    ct_optimizer *o = rule_of(set, line);
    double before[TOTAL], after[TOTAL];
    int t;

    ct_optimizer_group(o, "*.bias", (ct_optimizer_group_options){ .lr = 0.5 });
    ct_schedule_linear_lr(ct_optimizer_schedule(o), 0.1, 1, 5);
    for (t = 1; t < 4 && ct_ok(); t++) {
        ct_scope s = ct_scope_begin();
        int k;

        for (k = 0; k < 3; k++)
            ct_backward_with(value(set, k), made(gradient_at, k, t, entries[k].size, CT_F32));
        remember(set, before);
        ct_clip_grad_norm(set, 0.5, NULL);
        if (ct_optimizer_step(o) != CT_OK) {
            remember(set, after);
            ck_assert_msg(memcmp(before, after, sizeof after) == 0, "moved after %s",
                          ct_error_message());
        }
        ct_schedule_step(ct_optimizer_schedule(o));
        if (ct_optimizer_state_count(o) > 3 &&
            ct_optimizer_state_load(o, ct_optimizer_state_name(o, 2),
                                    ct_optimizer_state_tensor(o, 2)) != CT_OK)
            ck_assert(!ct_ok());
        if (ct_scope_end(s) != CT_OK)
            ck_assert(!ct_ok());
    }
    ct_optimizer_free(o);
}

/* Every allocation fails once, alone (a failed buffer is requested again) and together with all
 * later ones. */
START_TEST(allocation_failures)
{
    const char *line = resumed[_i / 2];
    int k = 1;
    bool failed = true, ever = false;

    for (; failed || allocations_seen >= k - 1; k++) {
        ct_params *set = three_params(CT_F32);

        expect_ok();
        ct_memory_trim();
        (_i % 2 ? fail_allocations_from : fail_allocation)(k);
        steps_under_failure(set, line);
        fail_nothing();
        failed = !ct_ok();
        ever |= failed;
        if (failed)
            ck_assert_msg(ct_error() == CT_ERR_MEMORY, "call %d: %s", k, ct_error_message());
        ct_error_clear();
        ct_params_free(set);
        ck_assert_msg(k < 1000, "it keeps failing");
    }
    ck_assert(ever);
}
END_TEST

/* The bits depend neither on the number of threads nor on the position of an element in its
 * segment. */
START_TEST(threads)
{
    static const int counts[] = { 1, 3, 8 };
    const int64_t n = 100003;
    double *first = NULL, *v;
    size_t bytes = (size_t)n * sizeof *v;
    int c, t;

    for (c = 0; c < 3; c++) {
        ct_params *set = ct_params_new((ct_params_options){ .device = DEVICE, .seed = 0 });
        ct_optimizer *o;
        double norm;

        ck_assert(ct_set_num_threads(counts[c]) == CT_OK);
        ct_params_add(set, "small", CT_SHAPE(1001), (ct_init){ .fill = fill });
        ct_params_add(set, "empty", CT_SHAPE(0), (ct_init){ .fill = fill });
        ct_params_add(set, "large", CT_SHAPE(n), (ct_init){ .fill = fill });
        o = rule_of(set, resumed[_i]);
        for (t = 1; t < 4; t++) {
            ct_scope s = ct_scope_begin();

            ct_backward_with(value(set, 0), made(gradient_at, 0, t, 1001, CT_F32));
            give_constant(set, 1, 1);
            ct_backward_with(value(set, 2), made(gradient_at, 0, t, n, CT_F32));
            ct_clip_grad_norm(set, 2, &norm);
            ct_optimizer_step(o);
            ck_assert_msg(ct_scope_end(s) == CT_OK, "%s", ct_error_message());
        }
        v = values_of(value(set, 2));
        if (first)
            ck_assert(memcmp(first, v, bytes) == 0);
        else
            expect_values("small", value(set, 0), v, 1001, 1e-6);
        if (first)
            free(v);
        else
            first = v;
        ct_optimizer_free(o);
        ct_params_free(set);
    }
    free(first);
    ct_set_num_threads(1);
}
END_TEST

void optim_checkpoint_cases(Suite *suite)
{
    const int rules = LENGTH(resumed);
    TCase *tc = harness_case(suite, "checkpoint");

    tcase_add_loop_test(tc, resume, 0, 2 * rules);
    tcase_add_test(tc, state_names);
    tcase_add_test(tc, load_errors);
    tc = harness_case(suite, "memory");
    tcase_add_loop_test(tc, allocation_failures, 0, 2 * rules);
    tcase_add_loop_test(tc, threads, 0, rules);
    tc = harness_pooled_case(suite, "pool");
    tcase_add_loop_test(tc, no_allocation, 0, rules);
}
