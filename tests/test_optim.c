/* SPDX-License-Identifier: MIT */
/* test_optim.c - optimisers, clipping and schedules: PyTorch's numbers (tests/torch/optim.py says
 * what both sides compute), errors, memory, checkpoints. */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "tests/harness.h"
#include "optim/internal.h"

#include <cotangent/autograd/autograd.h>
#include <cotangent/autograd/ops/elementwise.h>
#include <cotangent/optim/clip.h>
#include <cotangent/optim/schedule.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/test_optim.h"

#define STEPS 50
const struct entry entries[3] = { { "a.weight", 37 }, { "a.bias", 5 }, { "b.weight", 3 } };

/* ---- the formulas of optim.py ---- */

static double unit(int k, int64_t i)
{
    uint32_t x = (uint32_t)i * 2654435761u + (uint32_t)k * 40503u + 12345u;

    x ^= x >> 16;
    x *= 2246822519u;
    x ^= x >> 13;
    return x / 4294967296.0 * 2.0 - 1.0;
}

double gradient_at(int k, int64_t i, int t)
{
    return (i + t) % 7 == 0 ? 0 : (float)(unit(k + 16 * t, i) * (i % 5 == 4 ? 0.001 : 1));
}

ct_tensor *made(double (*f)(int k, int64_t i, int t), int k, int t, int64_t n, ct_dtype dtype)
{
    double *d = calloc((size_t)n, sizeof *d);
    float *s = calloc((size_t)n, sizeof *s);
    ct_tensor *out;
    int64_t i;

    for (i = 0; i < n; i++)
        s[i] = (float)(d[i] = f(k, i, t));
    out = ct_from_data(dtype == CT_F64 ? (void *)d : (void *)s, CT_SHAPE(n), dtype, DEVICE);
    free(d);
    free(s);
    return out;
}

static double value_at(int k, int64_t i, int t)
{
    (void)t;
    return (float)(unit(k, i) * 0.5);
}

ct_status fill(const ct_init *init, ct_tensor *t, ct_generator *g)
{
    (void)g;
    return ct_copy_into(t, made(value_at, (int)init->a, 0, ct_numel(t), ct_tensor_dtype(t)));
}

ct_params *three_params(ct_dtype dtype)
{
    ct_params *set = ct_params_new((ct_params_options){ .device = DEVICE, .dtype = dtype });
    int k;

    for (k = 0; k < 3; k++)
        ct_params_add(set, entries[k].name, CT_SHAPE(entries[k].size),
                      (ct_init){ .fill = fill, .a = k });
    return set;
}

ct_tensor *value(ct_params *set, int k)
{
    return ct_param_value(ct_params_at(set, k));
}

void give(ct_params *set, int k, int t)
{
    ct_scope s = ct_scope_begin();

    ct_backward_with(value(set, k),
                     made(gradient_at, k, t, ct_numel(value(set, k)), ct_params_dtype(set)));
    ck_assert_msg(ct_scope_end(s) == CT_OK, "%s", ct_error_message());
}

void give_constant(ct_params *set, int k, double v)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *w = value(set, k);

    ct_backward_with(w, ct_full(ct_tensor_shape(w), v, ct_tensor_dtype(w), DEVICE));
    ck_assert(ct_scope_end(s) == CT_OK);
}

void all_values(ct_params *set, double out[TOTAL])
{
    int at = 0, k;

    for (k = 0; k < 3; k++) {
        double *v = values_of(value(set, k));

        memcpy(out + at, v, (size_t)entries[k].size * sizeof *v);
        at += (int)entries[k].size;
        free(v);
    }
}

void expect_same_sets(const char *what, ct_params *a, ct_params *b)
{
    double x[TOTAL], y[TOTAL];
    int i;

    all_values(a, x);
    all_values(b, y);
    for (i = 0; i < TOTAL; i++)
        ck_assert_msg(memcmp(&x[i], &y[i], sizeof *x) == 0, "%s: element %d is %.17g, not %.17g",
                      what, i, x[i], y[i]);
}

/* ---- PyTorch's numbers ---- */

/* Returns the value of KEY=VALUE in a run's line, or absent if there is no such key. */
static double key_or(const char *line, const char *key, double absent)
{
    char word[64];
    const char *p;

    snprintf(word, sizeof word, " %s=", key);
    p = strstr(line, word);
    return p ? strtod(p + strlen(word), NULL) : absent;
}

static double key(const char *line, const char *name)
{
    return key_or(line, name, 0);
}

static bool flag(const char *line, const char *name)
{
    return key(line, name) != 0;
}

/* Returns the value of an option; zero if the line has "no_NAME". */
static double option(const char *line, const char *name)
{
    char none[40];

    snprintf(none, sizeof none, "no_%s", name);
    return flag(line, none) ? CT_ZERO : key(line, name);
}

static ct_optimizer *adam_of(ct_params *set, const char *line, bool decoupled)
{
    ct_adam_options o = { .lr = key(line, "lr"),
                          .beta1 = option(line, "beta1"),
                          .beta2 = option(line, "beta2"),
                          .eps = key(line, "eps"),
                          .weight_decay = option(line, "weight_decay"),
                          .amsgrad = flag(line, "amsgrad"),
                          .maximize = flag(line, "maximize") };

    return decoupled ? ct_adamw_new(set, o) : ct_adam_new(set, o);
}

/* ---- Adam composed from ops ---- */

static ct_tensor *composed_update(ct_optimizer_update *u)
{
    const ct_adam_options *a = u->options;
    double lr = u->lr / (1 - pow(a->beta1, (double)u->step));
    double root = sqrt(1 - pow(a->beta2, (double)u->step));
    ct_tensor *g = ct_add(u->grad, ct_mul_scalar(u->value, u->weight_decay));
    ct_tensor *m = ct_add(ct_mul_scalar(u->state[0], a->beta1), ct_mul_scalar(g, 1 - a->beta1));
    ct_tensor *v =
        ct_add(ct_mul_scalar(u->state[1], a->beta2), ct_mul_scalar(ct_mul(g, g), 1 - a->beta2));
    ct_tensor *d = ct_add_scalar(ct_mul_scalar(ct_sqrt(v), 1 / root), a->eps);

    u->state[0] = m;
    u->state[1] = v;
    return ct_sub(u->value, ct_mul_scalar(ct_div(m, d), lr));
}

static ct_optimizer_table adam_from_ops; /* filled in by main */

static ct_optimizer *composed_of(ct_params *set, const char *line)
{
    const ct_adam_options o = { .lr = key(line, "lr"),
                                .weight_decay = key(line, "weight_decay"),
                                .maximize = flag(line, "maximize") };

    return ct_optimizer_new(set, &adam_from_ops, &o);
}

/* Makes Adadelta, NAdam, RAdam or Lion; returns NULL for another name. */
static ct_optimizer *newer_rule_of(ct_params *set, const char *rule, const char *line)
{
    const double lr = option(line, "lr"), decay = key(line, "weight_decay");
    const bool maximize = flag(line, "maximize"), decoupled = flag(line, "decoupled_weight_decay");
    const double beta1 = option(line, "beta1"), beta2 = option(line, "beta2");

    if (strcmp(rule, "adadelta") == 0)
        return ct_adadelta_new(set, (ct_adadelta_options){ .lr = lr,
                                                           .rho = option(line, "rho"),
                                                           .eps = key(line, "eps"),
                                                           .weight_decay = decay,
                                                           .maximize = maximize });
    if (strcmp(rule, "nadam") == 0)
        return ct_nadam_new(set,
                            (ct_nadam_options){ .lr = lr,
                                                .beta1 = beta1,
                                                .beta2 = beta2,
                                                .eps = key(line, "eps"),
                                                .momentum_decay = option(line, "momentum_decay"),
                                                .weight_decay = decay,
                                                .decoupled_weight_decay = decoupled,
                                                .maximize = maximize });
    if (strcmp(rule, "radam") == 0)
        return ct_radam_new(set, (ct_radam_options){ .lr = lr,
                                                     .beta1 = beta1,
                                                     .beta2 = beta2,
                                                     .eps = key(line, "eps"),
                                                     .weight_decay = decay,
                                                     .decoupled_weight_decay = decoupled,
                                                     .maximize = maximize });
    if (strcmp(rule, "lion") == 0)
        return ct_lion_new(set, (ct_lion_options){ .lr = lr,
                                                   .beta1 = beta1,
                                                   .beta2 = beta2,
                                                   .weight_decay = decay,
                                                   .maximize = maximize });
    return NULL;
}

ct_optimizer *rule_of(ct_params *set, const char *line)
{
    double lr = option(line, "lr"), decay = key(line, "weight_decay");
    bool maximize = flag(line, "maximize");
    ct_optimizer *newer;
    char rule[16];

    ck_assert(sscanf(line, "run %15s", rule) == 1);
    newer = newer_rule_of(set, rule, line);
    if (newer)
        return newer;
    if (strcmp(rule, "composed") == 0)
        return composed_of(set, line);
    if (strcmp(rule, "sgd") == 0)
        return ct_sgd_new(set, (ct_sgd_options){ .lr = lr,
                                                 .momentum = key(line, "momentum"),
                                                 .dampening = key(line, "dampening"),
                                                 .weight_decay = decay,
                                                 .maximize = maximize,
                                                 .nesterov = flag(line, "nesterov") });
    if (strcmp(rule, "rmsprop") == 0)
        return ct_rmsprop_new(set, (ct_rmsprop_options){ .lr = lr,
                                                         .alpha = option(line, "alpha"),
                                                         .eps = key(line, "eps"),
                                                         .momentum = key(line, "momentum"),
                                                         .weight_decay = decay,
                                                         .centered = flag(line, "centered"),
                                                         .maximize = maximize });
    if (strcmp(rule, "adagrad") == 0)
        return ct_adagrad_new(set, (ct_adagrad_options){ .lr = lr,
                                                         .eps = key(line, "eps"),
                                                         .lr_decay = key(line, "lr_decay"),
                                                         .weight_decay = decay,
                                                         .initial_accumulator_value =
                                                             key(line, "initial_accumulator_value"),
                                                         .maximize = maximize });
    if (strcmp(rule, "adamax") == 0)
        return ct_adamax_new(set, (ct_adamax_options){ .lr = lr,
                                                       .beta1 = option(line, "beta1"),
                                                       .beta2 = option(line, "beta2"),
                                                       .eps = key(line, "eps"),
                                                       .weight_decay = decay,
                                                       .maximize = maximize });
    return adam_of(set, line, strcmp(rule, "adamw") == 0);
}

ct_optimizer *optimizer_of(ct_params *set, const char *line)
{
    ct_optimizer *o = rule_of(set, line);

    if (strstr(line, " bias_"))
        ct_optimizer_group(
            o, "*.bias",
            (ct_optimizer_group_options){ .lr = key(line, "bias_lr"),
                                          .weight_decay = flag(line, "bias_no_weight_decay")
                                                              ? CT_ZERO
                                                              : key(line, "bias_weight_decay") });
    if (flag(line, "freeze"))
        ck_assert_int_eq(ct_params_freeze(set, "b.*", true), 1);
    if (flag(line, "step_size"))
        ct_schedule_step_lr(ct_optimizer_schedule(o), (int64_t)key(line, "step_size"),
                            key(line, "schedule_gamma"));
    expect_ok();
    return o;
}

void one_step(ct_params *set, ct_optimizer *o, const char *line, int t)
{
    int k;

    for (k = 0; k < 3; k++)
        if (ct_param_is_trained(ct_params_at(set, k)) && !(k == 1 && t < key(line, "late")))
            give(set, k, t);
    if (flag(line, "clip_value"))
        ct_clip_grad_value(set, key(line, "clip_value"));
    if (flag(line, "clip_norm"))
        ct_clip_grad_norm(set, key(line, "clip_norm"), NULL);
    ct_optimizer_step(o);
    if (flag(line, "step_size"))
        ct_schedule_step(ct_optimizer_schedule(o));
    expect_ok();
}

static void expect_row(const char *line, ct_dtype dtype, int t, ct_params *set, const char *row)
{
    double all[TOTAL], got[6], want;
    char what[256], *next = (char *)row;
    int i;

    all_values(set, all);
    memcpy(got, (double[6]){ all[0], all[4], all[36], all[37], all[42], 0 }, sizeof got);
    for (i = 0; i < TOTAL; i++)
        got[5] += unit(99, i) * all[i];
    for (i = 0; i < 6; i++) {
        want = strtod(row, &next);
        ck_assert_msg(next != row, "%s: no number %d in \"%s\"", line, i, row);
        row = next;
        snprintf(what, sizeof what, "%.180s, %s, step %d, number %d", line, ct_dtype_name(dtype), t,
                 i);
        expect_close(what, got[i], want, dtype == CT_F64 ? 1e-12 : 1e-5);
    }
}

/* rows: the values after steps 1 and STEPS. */
static void check_run(const char *line, ct_dtype dtype, char rows[2][1024])
{
    ct_params *set = three_params(dtype);
    ct_optimizer *o = optimizer_of(set, line);
    int t;

    for (t = 1; t <= STEPS; t++) {
        one_step(set, o, line, t);
        if (t == 1 || t == STEPS)
            expect_row(line, dtype, t, set, rows[t == STEPS]);
    }
    ct_optimizer_free(o);
    ct_params_free(set);
}

/* Reads the next line of optim.txt that is not a comment, without its newline. Returns false at the
 * end. */
static bool next_line(FILE *f, char line[2048])
{
    do {
        if (!fgets(line, 2048, f))
            return false;
        line[strcspn(line, "\n")] = 0;
    } while (line[0] == '#');
    return true;
}

static FILE *open_numbers(void)
{
    FILE *f = fopen(harness_source("tests/torch/optim.txt"), "r");

    ck_assert_msg(f != NULL, "no tests/torch/optim.txt");
    return f;
}

/* Runs on each code path. Check starts a process for each case, so the path is not yet chosen. */
START_TEST(torch_numbers)
{
    static const char *const paths[] = { "base", "avx2", "avx512" };
    char line[2048], rows[2][1024], text[2048];
    FILE *f = open_numbers();
    int runs = 0, d, i;

    setenv("COTANGENT_CPU_PATH", paths[_i], 1);
    while (next_line(f, line))
        if (strncmp(line, "run ", 4) == 0) {
            for (d = 0; d < 2; d++) {
                for (i = 0; i < 2; i++) {
                    ck_assert(next_line(f, text));
                    snprintf(rows[i], sizeof rows[i], "%.1000s", text);
                }
                check_run(line, d ? CT_F64 : CT_F32, rows);
            }
            runs++;
        }
    fclose(f);
    ck_assert_int_ge(runs, 75);
}
END_TEST

/* ---- schedules ---- */

#define CYCLE(...) ((ct_schedule_one_cycle_options){ .total_steps = 10, __VA_ARGS__ })

static void add_part(ct_schedule *s, const char *word)
{
    double v[7] = { 0 };
    char kind[16];
    int count = sscanf(word, "%15[a-z]=%lf,%lf,%lf,%lf,%lf,%lf,%lf", kind, &v[0], &v[1], &v[2],
                       &v[3], &v[4], &v[5], &v[6]) -
                1;
    int64_t at[6];

    ck_assert(count >= 1);
    for (int i = 0; i < 6; i++)
        at[i] = (int64_t)v[i + 1];
    if (strcmp(kind, "multistep") == 0)
        ct_schedule_multi_step_lr(s, count - 1, at, v[0]);
    else if (strcmp(kind, "exponential") == 0)
        ct_schedule_exponential_lr(s, v[0]);
    else if (strcmp(kind, "onecycle") == 0)
        ct_schedule_one_cycle_lr(s, (ct_schedule_one_cycle_options){ .max_lr = v[0],
                                                                     .total_steps = (int64_t)v[1],
                                                                     .pct_start = v[2],
                                                                     .div_factor = v[3],
                                                                     .final_div_factor = v[4],
                                                                     .linear = v[5] != 0,
                                                                     .three_phase = v[6] != 0 });
    else if (strcmp(kind, "step") == 0)
        ct_schedule_step_lr(s, (int64_t)v[0], v[1]);
    else if (strcmp(kind, "linear") == 0)
        ct_schedule_linear_lr(s, v[0], v[1], (int64_t)v[2]);
    else if (strcmp(kind, "cosine") == 0)
        ct_schedule_cosine_lr(s, (int64_t)v[0], v[1]);
    else if (strcmp(kind, "then") == 0)
        ct_schedule_then(s, (int64_t)v[0]);
    else
        ct_schedule_plateau_lr(
            s, (ct_schedule_plateau_options){ .factor = v[0],
                                              .patience = v[1] ? (int64_t)v[1] : -1,
                                              .threshold = v[2] != 0 ? v[2] : CT_ZERO,
                                              .cooldown = (int64_t)v[3],
                                              .min_lr = v[4],
                                              .maximize = v[5] != 0,
                                              .absolute = v[6] != 0 });
    expect_ok();
}

static void add_parts(ct_schedule *s, const char *line)
{
    char copy[2048], *word, *rest;

    snprintf(copy, sizeof copy, "%s", line);
    strtok_r(copy, " ", &rest); /* "schedule" */
    while ((word = strtok_r(NULL, " ", &rest)))
        add_part(s, word);
}

static void pass(ct_schedule *s, const char *line, int t)
{
    double metric = 1.0 / (1.0 + t) + 0.05 * unit(77, t);
    const char *p = strstr(line, "plateau=");
    double v[6] = { 0 };

    if (p)
        sscanf(p, "plateau=%lf,%lf,%lf,%lf,%lf,%lf", &v[0], &v[1], &v[2], &v[3], &v[4], &v[5]);
    ct_schedule_step(s);
    ct_schedule_observe(s, v[5] != 0 ? -metric : metric);
    expect_ok();
}

static void check_schedule(const char *line, const char *first, const char *second)
{
    ct_params *set = three_params(CT_F32);
    ct_optimizer *o = ct_sgd_new(set, (ct_sgd_options){ .lr = 0.5 });
    char what[2200], *next;
    int t;

    ct_optimizer_group(o, "a.bias", (ct_optimizer_group_options){ .lr = 0.02 });
    add_parts(ct_optimizer_schedule(o), line);
    for (t = 0; t < 40; t++) {
        snprintf(what, sizeof what, "%s, t = %d", line, t);
        expect_close(what, ct_optimizer_lr(o), strtod(first, &next), 1e-14);
        first = next;
        expect_close(what, ct_optimizer_param_lr(o, "a.bias"), strtod(second, &next), 1e-14);
        second = next;
        expect_close(what, ct_optimizer_param_lr(o, "b.weight"), ct_optimizer_lr(o), 0);
        pass(ct_optimizer_schedule(o), line, t);
    }
    ct_optimizer_free(o);
    ct_params_free(set);
}

START_TEST(torch_schedules)
{
    char line[2048], first[2048], second[2048];
    FILE *f = open_numbers();
    int count = 0;

    while (next_line(f, line))
        if (strncmp(line, "schedule ", 9) == 0) {
            ck_assert(next_line(f, first) && next_line(f, second));
            check_schedule(line, first, second);
            count++;
        }
    fclose(f);
    ck_assert_int_ge(count, 25);
}
END_TEST

static double halves(int64_t t, void *context)
{
    return t == 3 ? NAN : t == 4 ? -1 : *(double *)context / (double)(t + 1);
}

START_TEST(lambda_and_set_lr)
{
    ct_params *set = three_params(CT_F32);
    ct_optimizer *o = ct_sgd_new(set, (ct_sgd_options){ .lr = 1 });
    ct_schedule *s = ct_optimizer_schedule(o);
    double context = 3;
    const double want[6] = { 3, 1.5, 1, 0, 0, 0.5 };
    int t;

    ck_assert_ptr_eq(s, ct_optimizer_schedule(o));
    expect_close("no parts", ct_optimizer_lr(o), 1, 0);
    ct_schedule_lambda_lr(s, halves, &context);
    for (t = 0; t < 6; t++, ct_schedule_step(s))
        expect_close("lambda", ct_optimizer_lr(o), want[t], 0);
    ct_optimizer_set_lr(o, 14); /* before the schedule: 14 * 3 / 7 */
    expect_close("set_lr", ct_optimizer_lr(o), 6, 1e-15);
    ct_schedule_then(s, 6); /* the phase begins at the current step and has no parts */
    expect_close("an empty phase", ct_optimizer_lr(o), 14, 0);
    ct_optimizer_set_lr(o, 0);
    expect_close("0", ct_optimizer_lr(o), 0, 0);
    ck_assert(isnan(ct_optimizer_lr(NULL)) && isnan(ct_optimizer_param_lr(o, "c")) &&
              isnan(ct_optimizer_param_lr(o, NULL)));
    ct_optimizer_free(o);
    ct_params_free(set);
}
END_TEST

/* ---- clipping ---- */

double grad_item(ct_params *set, int k, int64_t i)
{
    ct_scope s = ct_scope_begin();
    double *v = values_of(ct_tensor_grad(value(set, k))), out = v[i];

    free(v);
    ck_assert(ct_scope_end(s) == ct_error());
    return out;
}

START_TEST(clip_norm)
{
    ct_dtype dtype = _i ? CT_F64 : CT_F32;
    ct_params *set = three_params(dtype);
    double norm;

    ct_clip_grad_norm(set, 1, &norm); /* no gradients */
    expect_close("none", norm, 0, 0);
    give_constant(set, 2, 0);
    ct_clip_grad_norm(set, 1, &norm);
    expect_close("zero gradients", norm, 0, 0);
    expect_close("zero", grad_item(set, 2, 0), 0, 0);

    give_constant(set, 0, -1);               /* 37 */
    give_constant(set, 1, 2);                /* 20 */
    give_constant(set, 2, 3);                /* 27 */
    ct_clip_grad_norm(set, INFINITY, &norm); /* only measures */
    expect_close("norm", norm, sqrt(84), 1e-13);
    ct_clip_grad_norm(set, sqrt(84) + 1e-9, NULL);
    expect_close("below", grad_item(set, 1, 4), 2, 0);
    ct_clip_grad_norm(set, sqrt(21), &norm);
    expect_close("the norm before", norm, sqrt(84), 1e-13);
    expect_close("above 0", grad_item(set, 0, 36), -0.5, 1e-7);
    expect_close("above 1", grad_item(set, 1, 0), 1, 1e-7);
    expect_close("above 2", grad_item(set, 2, 2), 1.5, 1e-7);
    ct_clip_grad_norm(set, 100, &norm);
    expect_close("after", norm, sqrt(21), 1e-6);

    ct_params_freeze(set, "a.weight", true); /* no longer counts */
    ct_clip_grad_norm(set, 100, &norm);
    expect_close("frozen", norm, sqrt(5 + 6.75), 1e-6);
    ct_params_free(set);
}
END_TEST

/* Gradients whose squares overflow, and then gradients whose norm does; a.bias has 5 elements. */
static void clip_large(ct_params *set)
{
    double norm;

    ck_assert(ct_clip_grad_norm(set, 2, &norm) == CT_OK);
    expect_close("large norm", norm, sqrt(5) * 1e300, 1e287);
    expect_close("large", grad_item(set, 1, 4), 2 / sqrt(5), 1e-15);
    give_constant(set, 1, 1.5e308);
    ct_clip_grad_norm(set, 1, NULL);
    ct_device_synchronize(DEVICE);
    expect_error(CT_ERR_NUMERIC, "ct_clip_grad_norm",
                 harness_later() ? "norm ... finite" : "norm ... overflows");
}

START_TEST(clip_value)
{
    ct_params *set = three_params(_i ? CT_F64 : CT_F32);

    give_constant(set, 0, -1);
    give_constant(set, 1, 0.25);
    give_constant(set, 2, 1e30);
    ck_assert(ct_clip_grad_value(set, 0.5) == CT_OK);
    expect_close("low", grad_item(set, 0, 36), -0.5, 0);
    expect_close("inside", grad_item(set, 1, 0), 0.25, 0);
    expect_close("high", grad_item(set, 2, 1), 0.5, 0);
    if (_i) { /* finite, but its square is infinite */
        give_constant(set, 1, 1e300);
        ck_assert(ct_clip_grad_value(set, 0.5) == CT_OK);
        expect_close("great", grad_item(set, 1, 0), 0.5, 0);
        give_constant(set, 1, 1e300);
        clip_large(set);
    }
    ct_params_free(set);
}
END_TEST

/* The message names the first parameter whose gradient is not finite, except on an asynchronous
 * device. Neither the clipping nor the step changes a parameter. */
START_TEST(not_finite)
{
    static const char *const functions[2] = { "ct_clip_grad_norm", "ct_clip_grad_value" };
    static const char *const words[2][2] = { { "a.bias", "a.bias" },
                                             { "norm ... finite", "gradient ... finite" } };
    const double bad[3] = { NAN, INFINITY, -INFINITY };
    ct_dtype dtype = _i % 2 ? CT_F64 : CT_F32;
    ct_params *set = three_params(dtype), *still = three_params(dtype);
    ct_optimizer *o = ct_adam_new(set, (ct_adam_options){ .lr = 1 });
    double norm = 0;
    int round;

    for (round = 0; round < 2; round++) {
        ct_params_zero_grad(set);
        give_constant(set, 0, 2);
        give_constant(set, 1, bad[_i / 2]);
        give_constant(set, 2, NAN);
        if (round == 0)
            ct_clip_grad_norm(set, 1, &norm);
        else
            ct_clip_grad_value(set, 1);
        if (ct_optimizer_step(o) == CT_OK)
            ck_assert(harness_later() && round && ct_device_synchronize(DEVICE) == CT_ERR_NUMERIC);
        expect_error(CT_ERR_NUMERIC, functions[round], words[harness_later()][round]);
        ck_assert(isnan(norm));
        expect_same_sets("not finite", set, still);
        if (!harness_later()) /* else they may be clipped already */
            expect_close("unclipped", grad_item(set, 0, 3), 2, 0);
    }
    ct_optimizer_free(o);
    ct_params_free(set);
    ct_params_free(still);
}
END_TEST

/* ---- errors ---- */

/* max_lr 0 means the rate of each group; after the last step the rate stays. */
START_TEST(cycle_of_base_rates)
{
    ct_params *set = three_params(CT_F32);
    ct_optimizer *o = ct_sgd_new(set, (ct_sgd_options){ .lr = 1 });
    ct_schedule *s = ct_optimizer_schedule(o);

    ct_optimizer_group(o, "a.bias", (ct_optimizer_group_options){ .lr = 2 });
    ct_schedule_one_cycle_lr(s, CYCLE(.pct_start = 0.5, .linear = true));
    expect_close("first", ct_optimizer_lr(o), 0.04, 1e-15);
    expect_close("first of the group", ct_optimizer_param_lr(o, "a.bias"), 0.08, 1e-15);
    for (int t = 0; t < 4; t++)
        ct_schedule_step(s);
    expect_close("top", ct_optimizer_lr(o), 1, 1e-15);
    expect_close("top of the group", ct_optimizer_param_lr(o, "a.bias"), 2, 1e-15);
    for (int t = 0; t < 20; t++)
        ct_schedule_step(s);
    expect_close("last", ct_optimizer_lr(o), 4e-6, 1e-15);
    ct_optimizer_free(o);
    ct_params_free(set);
}
END_TEST

START_TEST(schedule_errors)
{
    ct_params *set = three_params(CT_F32);
    ct_optimizer *o = ct_sgd_new(set, (ct_sgd_options){ .lr = 1 });
    ct_schedule *s = ct_optimizer_schedule(o);

    ck_assert(!ct_optimizer_schedule(NULL));
    expect_error(CT_ERR_ARGUMENT, "ct_optimizer_schedule", "o is NULL");
    ct_schedule_step(NULL);
    expect_error(CT_ERR_ARGUMENT, "ct_schedule_step", "s is NULL");
    ct_schedule_observe(NULL, 1);
    expect_error(CT_ERR_ARGUMENT, "ct_schedule_observe", "s is NULL");
    ct_schedule_step_lr(NULL, 1, 1);
    expect_error(CT_ERR_ARGUMENT, "ct_schedule_step_lr", "s is NULL");
    ct_schedule_step_lr(s, 0, 1);
    expect_error(CT_ERR_ARGUMENT, "ct_schedule_step_lr", "step_size is 0");
    ct_schedule_step_lr(s, 1, 0);
    expect_error(CT_ERR_ARGUMENT, "ct_schedule_step_lr", "gamma is 0");
    ct_schedule_linear_lr(s, -1, 1, 5);
    expect_error(CT_ERR_ARGUMENT, "ct_schedule_linear_lr", "start_factor is -1");
    ct_schedule_linear_lr(s, 0, INFINITY, 5);
    expect_error(CT_ERR_ARGUMENT, "ct_schedule_linear_lr", "end_factor is inf");
    ct_schedule_linear_lr(s, 0, 1, 0);
    expect_error(CT_ERR_ARGUMENT, "ct_schedule_linear_lr", "total_iters is 0");
    ct_schedule_cosine_lr(s, -3, 0);
    expect_error(CT_ERR_ARGUMENT, "ct_schedule_cosine_lr", "t_max is -3");
    ct_schedule_cosine_lr(s, 3, -1);
    expect_error(CT_ERR_ARGUMENT, "ct_schedule_cosine_lr", "eta_min is -1");
    ct_schedule_lambda_lr(s, NULL, NULL);
    expect_error(CT_ERR_ARGUMENT, "ct_schedule_lambda_lr", "factor is NULL");
    ct_schedule_plateau_lr(s, (ct_schedule_plateau_options){ .factor = 1 });
    expect_error(CT_ERR_ARGUMENT, "ct_schedule_plateau_lr", "factor is 1");
    ct_schedule_plateau_lr(s, (ct_schedule_plateau_options){ .factor = CT_ZERO });
    expect_error(CT_ERR_ARGUMENT, "ct_schedule_plateau_lr", "factor is 0");
    ct_schedule_plateau_lr(s, (ct_schedule_plateau_options){ .cooldown = -1 });
    expect_error(CT_ERR_ARGUMENT, "ct_schedule_plateau_lr", "cooldown is -1");
    ct_schedule_plateau_lr(s, (ct_schedule_plateau_options){ .threshold = -1 });
    expect_error(CT_ERR_ARGUMENT, "ct_schedule_plateau_lr", "threshold is -1");
    ct_schedule_plateau_lr(s, (ct_schedule_plateau_options){ .min_lr = -1 });
    expect_error(CT_ERR_ARGUMENT, "ct_schedule_plateau_lr", "min_lr is -1");
    ct_schedule_plateau_lr(s, (ct_schedule_plateau_options){ .eps = -1 });
    expect_error(CT_ERR_ARGUMENT, "ct_schedule_plateau_lr", "eps is -1");
    ct_schedule_multi_step_lr(s, 0, (int64_t[]){ 1 }, 1);
    expect_error(CT_ERR_ARGUMENT, "ct_schedule_multi_step_lr", "milestone_count is 0");
    ct_schedule_multi_step_lr(s, 1, NULL, 1);
    expect_error(CT_ERR_ARGUMENT, "ct_schedule_multi_step_lr", "milestones is NULL");
    ct_schedule_multi_step_lr(s, 2, (int64_t[]){ 5, 4 }, 1);
    expect_error(CT_ERR_ARGUMENT, "ct_schedule_multi_step_lr", "milestones[1] is 4 ... 5");
    ct_schedule_multi_step_lr(s, 1, (int64_t[]){ 0 }, 1);
    expect_error(CT_ERR_ARGUMENT, "ct_schedule_multi_step_lr", "milestones[0] is 0 ... 1");
    ct_schedule_multi_step_lr(s, 1, (int64_t[]){ 1 }, 0);
    expect_error(CT_ERR_ARGUMENT, "ct_schedule_multi_step_lr", "gamma is 0");
    ct_schedule_exponential_lr(s, -1);
    expect_error(CT_ERR_ARGUMENT, "ct_schedule_exponential_lr", "gamma is -1");
    ct_schedule_one_cycle_lr(s, (ct_schedule_one_cycle_options){ .max_lr = 1 });
    expect_error(CT_ERR_ARGUMENT, "ct_schedule_one_cycle_lr", "total_steps is 0");
    ct_schedule_one_cycle_lr(s, CYCLE(.max_lr = -1));
    expect_error(CT_ERR_ARGUMENT, "ct_schedule_one_cycle_lr", "max_lr is -1");
    ct_schedule_one_cycle_lr(s, CYCLE(.div_factor = -1));
    expect_error(CT_ERR_ARGUMENT, "ct_schedule_one_cycle_lr", "div_factor is -1");
    ct_schedule_one_cycle_lr(s, CYCLE(.final_div_factor = CT_ZERO));
    expect_error(CT_ERR_ARGUMENT, "ct_schedule_one_cycle_lr", "final_div_factor is 0");
    ct_schedule_one_cycle_lr(s, CYCLE(.pct_start = 0.1));
    expect_error(CT_ERR_ARGUMENT, "ct_schedule_one_cycle_lr", "pct_start is 0.1");
    ct_schedule_one_cycle_lr(s, CYCLE(.pct_start = 0.6, .three_phase = true));
    expect_error(CT_ERR_ARGUMENT, "ct_schedule_one_cycle_lr", "pct_start is 0.6");
    ct_schedule_one_cycle_lr(s, CYCLE(.pct_start = 1));
    expect_error(CT_ERR_ARGUMENT, "ct_schedule_one_cycle_lr", "pct_start is 1");
    ct_schedule_then(s, 5);
    ct_schedule_then(s, 5);
    expect_error(CT_ERR_ARGUMENT, "ct_schedule_then", "at is 5");
    expect_close("no part was added", ct_optimizer_lr(o), 1, 0);
    ct_optimizer_free(o);
    ct_params_free(set);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("optim");
    TCase *tc;

    adam_from_ops = *ct_optimizer_table_from_name("adam");
    adam_from_ops.states[2] = (ct_optimizer_state_kind){ .name = NULL };
    adam_from_ops.rates = NULL;
    adam_from_ops.rate_count = 0;
    adam_from_ops.update_all = NULL;
    adam_from_ops.update = composed_update;
    adam_from_ops.captures = false;
    tc = harness_case(suite, "torch");
    tcase_add_loop_test(tc, torch_numbers, 0, 3);
    tcase_add_test(tc, torch_schedules);
    tc = harness_case(suite, "schedule");
    tcase_add_test(tc, lambda_and_set_lr);
    tcase_add_test(tc, cycle_of_base_rates);
    tcase_add_test(tc, schedule_errors);
    tc = harness_case(suite, "clip");
    tcase_add_loop_test(tc, clip_norm, 0, 2);
    tcase_add_loop_test(tc, clip_value, 0, 2);
    tcase_add_loop_test(tc, not_finite, 0, 6);
    optim_step_cases(suite);
    optim_checkpoint_cases(suite);
    optim_table_cases(suite);
    return harness_run(suite);
}
