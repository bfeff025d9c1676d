/* test_optim.c - optimisers, clipping and schedules: PyTorch's numbers (tests/torch/optim.py says
 * what both sides compute), errors, memory, checkpoints. */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "tests/files.h"
#include "tests/harness.h"

#include "optim/internal.h"
#include "tensor/hooks.h"

#include <cotangent/autograd/autograd.h>
#include <cotangent/autograd/ops/elementwise.h>
#include <cotangent/optim/clip.h>
#include <cotangent/optim/schedule.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEPS 50
#define TOTAL 45 /* elements of the set below */

static const struct {
    const char *name;
    int64_t size;
} entries[3] = { { "a.weight", 37 }, { "a.bias", 5 }, { "b.weight", 3 } };

/* ---- the formulas of optim.py ---- */

static double unit(int k, int64_t i)
{
    uint32_t x = (uint32_t)i * 2654435761u + (uint32_t)k * 40503u + 12345u;

    x ^= x >> 16;
    x *= 2246822519u;
    x ^= x >> 13;
    return x / 4294967296.0 * 2.0 - 1.0;
}

static double gradient_at(int k, int64_t i, int t)
{
    return (i + t) % 7 == 0 ? 0 : (float)(unit(k + 16 * t, i) * (i % 5 == 4 ? 0.001 : 1));
}

/* A tensor (n) of f(k, i, t), widened from float */
static ct_tensor *made(double (*f)(int k, int64_t i, int t), int k, int t, int64_t n,
                       ct_dtype dtype)
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

static ct_status fill(const ct_init *init, ct_tensor *t, ct_generator *g)
{
    (void)g;
    return ct_copy_into(t, made(value_at, (int)init->a, 0, ct_numel(t), ct_tensor_dtype(t)));
}

static ct_params *three_params(ct_dtype dtype)
{
    ct_params *set = ct_params_new((ct_params_options){ .device = DEVICE, .dtype = dtype });
    int k;

    for (k = 0; k < 3; k++)
        ct_params_add(set, entries[k].name, CT_SHAPE(entries[k].size),
                      (ct_init){ .fill = fill, .a = k });
    return set;
}

static ct_tensor *value(ct_params *set, int k)
{
    return ct_param_value(ct_params_at(set, k));
}

/* Adds to the gradient of parameter k in a scope of its own. */
static void give(ct_params *set, int k, int t)
{
    ct_scope s = ct_scope_begin();

    ct_backward_with(value(set, k),
                     made(gradient_at, k, t, ct_numel(value(set, k)), ct_params_dtype(set)));
    ck_assert_msg(ct_scope_end(s) == CT_OK, "%s", ct_error_message());
}

static void give_all(ct_params *set, int t)
{
    int k;

    for (k = 0; k < ct_params_count(set); k++)
        if (ct_param_is_trained(ct_params_at(set, k)))
            give(set, k, t);
}

/* Gives parameter k the gradient v everywhere. */
static void give_constant(ct_params *set, int k, double v)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *w = value(set, k);

    ct_backward_with(w, ct_full(ct_tensor_shape(w), v, ct_tensor_dtype(w), DEVICE));
    ck_assert(ct_scope_end(s) == CT_OK);
}

static bool has_gradient(ct_params *set, int k)
{
    ct_scope s = ct_scope_begin();
    bool there = ct_tensor_grad(value(set, k)) != NULL;

    ck_assert(ct_scope_end(s) == ct_error());
    return there;
}

/* All elements of the set, in order. */
static void all_values(ct_params *set, double out[TOTAL])
{
    int at = 0, k;

    for (k = 0; k < 3; k++) {
        double *v = values_of(value(set, k));

        memcpy(out + at, v, (size_t)entries[k].size * sizeof *v);
        at += (int)entries[k].size;
        free(v);
    }
}

static void expect_same_sets(const char *what, ct_params *a, ct_params *b)
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

/* A run's KEY=VALUE, or absent. */
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

/* The value of an option; zero where the line has "no_NAME". */
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

static ct_tensor *composed_update(cti_composed *c)
{
    const ct_adam_options *a = c->options;
    double lr = c->lr / (1 - pow(a->beta1, (double)c->t));
    double root = sqrt(1 - pow(a->beta2, (double)c->t));
    ct_tensor *m =
        ct_add(ct_mul_scalar(c->state[0], a->beta1), ct_mul_scalar(c->grad, 1 - a->beta1));
    ct_tensor *v = ct_add(ct_mul_scalar(c->state[1], a->beta2),
                          ct_mul_scalar(ct_mul(c->grad, c->grad), 1 - a->beta2));
    ct_tensor *d = ct_add_scalar(ct_mul_scalar(ct_sqrt(v), 1 / root), a->eps);

    c->state[0] = m;
    c->state[1] = v;
    return ct_sub(c->value, ct_mul_scalar(ct_div(m, d), lr));
}

static cti_algorithm adam_from_ops; /* filled in by main */

static ct_optimizer *composed_of(ct_params *set, const char *line)
{
    const ct_adam_options o = { .lr = key(line, "lr"),
                                .weight_decay = key(line, "weight_decay"),
                                .maximize = flag(line, "maximize") };

    return cti_optimizer_new("composed", &adam_from_ops, set, &o);
}

static ct_optimizer *rule_of(ct_params *set, const char *line)
{
    double lr = option(line, "lr"), decay = key(line, "weight_decay");
    bool maximize = flag(line, "maximize");
    char rule[16];

    ck_assert(sscanf(line, "run %15s", rule) == 1);
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
    return adam_of(set, line, strcmp(rule, "adamw") == 0);
}

/* The optimiser of a run, with group, frozen parameter and schedule. */
static ct_optimizer *optimizer_of(ct_params *set, const char *line)
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

static void one_step(ct_params *set, ct_optimizer *o, const char *line, int t)
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

/* rows: after steps 1 and STEPS */
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

/* The next line of optim.txt without comments and newline; false at its end. */
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

/* On each code path: the process is Check's own, so the choice is still open. */
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
    ck_assert_int_ge(runs, 40);
}
END_TEST

/* ---- schedules ---- */

static void add_part(ct_schedule *s, const char *word)
{
    double v[7] = { 0 };
    char kind[16];

    ck_assert(sscanf(word, "%15[a-z]=%lf,%lf,%lf,%lf,%lf,%lf,%lf", kind, &v[0], &v[1], &v[2], &v[3],
                     &v[4], &v[5], &v[6]) >= 2);
    if (strcmp(kind, "step") == 0)
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
    ck_assert_int_ge(count, 15);
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
    ct_schedule_then(s, 6); /* the phase begins where the schedule stands, without parts */
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

static double grad_item(ct_params *set, int k, int64_t i)
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
    ct_clip_grad_norm(set, INFINITY, &norm); /* measures */
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

    ct_params_freeze(set, "a.weight", true); /* counts no more */
    ct_clip_grad_norm(set, 100, &norm);
    expect_close("frozen", norm, sqrt(5 + 6.75), 1e-6);
    ct_params_free(set);
}
END_TEST

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
    if (_i) { /* its square is infinite, it is not */
        give_constant(set, 1, 1e300);
        ck_assert(ct_clip_grad_value(set, 0.5) == CT_OK);
        expect_close("great", grad_item(set, 1, 0), 0.5, 0);
        give_constant(set, 1, 1e300);
        ct_clip_grad_norm(set, 1, NULL);
        ct_device_synchronize(DEVICE);
        expect_error(CT_ERR_NUMERIC, "ct_clip_grad_norm",
                     harness_later() ? "norm ... finite" : "norm ... overflows");
    }
    ct_params_free(set);
}
END_TEST

/* The first parameter whose gradient is not finite is named, but not by a device that works later;
 * nothing moves, then or in the step. */
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
        if (!harness_later()) /* else they may be in the range already */
            expect_close("unclipped", grad_item(set, 0, 3), 2, 0);
    }
    ct_optimizer_free(o);
    ct_params_free(set);
    ct_params_free(still);
}
END_TEST

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

    give_all(set, 2); /* ct_params_zero_grad forgets them */
    ct_params_zero_grad(set);
    ck_assert(!has_gradient(set, 0) && !has_gradient(set, 1));
    ck_assert(ct_optimizer_step(o) == CT_OK);
    all_values(set, after);
    ck_assert(memcmp(before, after, sizeof after) == 0);

    give(other, 0, 3); /* backward accumulates: twice the same is the double */
    give(other, 0, 3);
    expect_close("twice", grad_item(other, 0, 1), 2 * gradient_at(0, 1, 3), 1e-7);
    ct_optimizer_free(o);
    ct_params_free(set);
    ct_params_free(other);
}
END_TEST

/* While an error stands, nothing moves and nothing is cleared. */
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

/* Sizes settled, and parameters registered, after the optimiser and its group were made. */
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
    expect_same_sets("settled later", set, whole);
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
    for (i = 0; i < 3; i++) { /* a NaN, whose sign printf shows, is no rate */
        double nan = NAN;

        ck_assert(i == 0   ? !ct_sgd_new(set, (ct_sgd_options){ .lr = nan })
                  : i == 1 ? !ct_adam_new(set, (ct_adam_options){ .beta1 = nan })
                           : !ct_sgd_new(set, (ct_sgd_options){ .dampening = nan }));
        ck_assert(ct_error() == CT_ERR_ARGUMENT);
        ct_error_clear();
    }
    ck_assert(!ct_sgd_new(NULL, (ct_sgd_options){ .lr = 1 }));
    expect_error(CT_ERR_ARGUMENT, "ct_sgd_new", "the set is NULL");
    ct_params_free(set);
}
END_TEST

/* A composed update gives the numbers of the fused one, state included; and loads its state. */
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

/* The table of an algorithm describes each field of its struct, up to the last one that it has. */
static void check_table(const cti_algorithm *a)
{
    unsigned char *covered = calloc(1, a->size + 1);
    size_t last = 0, hole = 0;

    for (const cti_option_field *o = a->option; o->name; o++) {
        size_t size = o->flag ? sizeof(bool) : sizeof(double);

        ck_assert(o->offset + size <= a->size);
        memset(covered + o->offset, 1, size);
        last = o->offset + size > last ? o->offset + size : last;
    }
    for (size_t i = 0; i < last; i++) {
        hole = covered[i] ? 0 : hole + 1;
        ck_assert_msg(hole < sizeof(double), "%s: no option at offset %zu", a->name, i - 7);
    }
    free(covered);
}

/* What a checkpoint says of an optimiser: "name value;..." */
static void description_of(const ct_optimizer *o, char to[2000])
{
    cti_entries e = { 0 };

    cti_optimizer_describe(o, &e);
    ck_assert(!cti_entries_failed(&e));
    *to = '\0';
    for (size_t i = 0; i < e.count; i++)
        sprintf(to + strlen(to), "%s %s;", e.at[i].name.bytes, e.at[i].value.bytes);
    cti_entries_free(&e);
}

/* Every option of every algorithm is told apart in a checkpoint, and by ct_optimizer_new; but for the
 * rate, which is part of the state. */
START_TEST(described)
{
    ct_params *set = three_params(CT_F32);

    for (int i = 0; ct_optimizer_algorithm(i); i++) {
        const cti_algorithm *a = cti_algorithms[i];
        char usual[2000], other[2000];
        ct_optimizer *o = ct_optimizer_new(set, a->name, NULL);

        check_table(a);
        ck_assert_str_eq(ct_optimizer_algorithm(i), a->name);
        description_of(o, usual);
        ct_optimizer_free(o);
        for (const cti_option_field *option = a->option; option->name; option++) {
            const ct_optimizer_value values[] = {
                { option->name, option->flag ? 1 : 0.25 },
                { strcmp(option->name, "nesterov") == 0 ? "momentum" : NULL, 0.5 },
                { NULL, 0 }
            };

            o = ct_optimizer_new(set, a->name, values);
            ck_assert_msg(o != NULL, "%s %s: %s", a->name, option->name, ct_error_message());
            ck_assert(cti_option_get(option, o->options) == values[0].value);
            description_of(o, other);
            ck_assert_msg((strcmp(usual, other) != 0) == (strcmp(option->name, "lr") != 0),
                          "%s %s: %s", a->name, option->name, other);
            ct_optimizer_free(o);
        }
    }
    ck_assert(ct_optimizer_algorithm(-1) == NULL);
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
    ct_optimizer *y = ct_optimizer_new(b, "adam", zero); /* 0 is 0 */

    for (int t = 1; t <= 3; t++) {
        one_step(a, x, "", t);
        one_step(b, y, "", t);
    }
    expect_same_sets("adam by name", a, b);
    ck_assert(!ct_optimizer_new(a, "adamant", NULL));
    expect_error(CT_ERR_ARGUMENT, "ct_optimizer_new", "there is no algorithm \"adamant\"");
    ck_assert(!ct_optimizer_new(a, "sgd", unknown));
    expect_error(CT_ERR_ARGUMENT, "ct_optimizer_new", "SGD has no option \"gamma\"");
    ck_assert(!ct_optimizer_new(a, "adam", wrong));
    expect_error(CT_ERR_ARGUMENT, "ct_optimizer_new",
                 "beta1 is 2; it must be at least 0 and less than 1");
    ck_assert(!ct_optimizer_new(a, NULL, NULL));
    expect_error(CT_ERR_ARGUMENT, "ct_optimizer_new", "the name of the algorithm is NULL");
    ck_assert(!ct_optimizer_new(NULL, "sgd", NULL));
    expect_error(CT_ERR_ARGUMENT, "ct_optimizer_new", "the set is NULL");
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
    expect_error(CT_ERR_ARGUMENT, "ct_optimizer_step", "optimiser is NULL");
    ct_optimizer_set_lr(NULL, 1);
    expect_error(CT_ERR_ARGUMENT, "ct_optimizer_set_lr", "optimiser is NULL");
    ct_optimizer_set_lr(o, -2);
    expect_error(CT_ERR_ARGUMENT, "ct_optimizer_set_lr", "lr is -2");
    expect_close("kept", ct_optimizer_lr(o), 1, 0);
    ct_optimizer_group(o, "*.bais", (ct_optimizer_group_options){ .lr = 1 });
    expect_error(CT_ERR_ARGUMENT, "ct_optimizer_group", "\"*.bais\"");
    ct_optimizer_group(o, "*", (ct_optimizer_group_options){ .lr = -1 });
    expect_error(CT_ERR_ARGUMENT, "ct_optimizer_group", "lr is -1");
    ct_optimizer_group(NULL, "*", (ct_optimizer_group_options){ .lr = 1 });
    expect_error(CT_ERR_ARGUMENT, "ct_optimizer_group", "optimiser is NULL");
    ct_optimizer_group(o, NULL, (ct_optimizer_group_options){ .lr = 1 });
    expect_error(CT_ERR_ARGUMENT, "ct_optimizer_group", "pattern is NULL");
    ct_optimizer_free(o);
    ct_optimizer_free(NULL);
    ct_optimizer_reset(NULL);
    ct_params_free(set);
}
END_TEST

START_TEST(schedule_errors)
{
    ct_params *set = three_params(CT_F32);
    ct_optimizer *o = ct_sgd_new(set, (ct_sgd_options){ .lr = 1 });
    ct_schedule *s = ct_optimizer_schedule(o);

    ck_assert(!ct_optimizer_schedule(NULL) && ct_ok());
    ct_schedule_step(NULL);
    expect_error(CT_ERR_ARGUMENT, "ct_schedule_step", "schedule is NULL");
    ct_schedule_observe(NULL, 1);
    expect_error(CT_ERR_ARGUMENT, "ct_schedule_observe", "schedule is NULL");
    ct_schedule_step_lr(NULL, 1, 1);
    expect_error(CT_ERR_ARGUMENT, "ct_schedule_step_lr", "schedule is NULL");
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
    ct_schedule_then(s, 5);
    ct_schedule_then(s, 5);
    expect_error(CT_ERR_ARGUMENT, "ct_schedule_then", "at is 5");
    expect_close("no part was added", ct_optimizer_lr(o), 1, 0);
    ct_optimizer_free(o);
    ct_params_free(set);
}
END_TEST

/* ---- checkpoints ---- */

static const char *const resumed[] = {
    "run sgd lr=0.1 momentum=0.9 dampening=0.5 late=20 bias_lr=0.2",
    "run adam lr=0.05 amsgrad=1 late=9 step_size=7 schedule_gamma=0.8",
    "run adamw lr=0.05 weight_decay=0.5 late=15 bias_no_weight_decay=1",
    "run rmsprop lr=0.02 centered=1 momentum=0.5 weight_decay=0.1",
    "run adagrad lr=0.1 lr_decay=0.05 initial_accumulator_value=0.5 late=12",
    "run composed lr=0.05 weight_decay=0.1 late=9 step_size=7 schedule_gamma=0.8"
};

/* All entries of from into to, last first: no order is asked for. */
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
    one_step(b, y, line, 40); /* what y did before is forgotten or overwritten */
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
    ct_params_freeze(set, "b.*", true); /* its state stays */
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
    load_refused(NULL, "lr", one, CT_ERR_ARGUMENT, "optimiser is NULL");
    load_refused(o, NULL, one, CT_ERR_ARGUMENT, "name is NULL");
    load_refused(o, "lr", NULL, CT_ERR_ARGUMENT, "tensor is NULL");
    load_refused(o, "max_exp_avg_sq.a.bias", one, CT_ERR_ARGUMENT, "\"max_exp_avg_sq.a.bias\"");
    load_refused(o, "schedule", one, CT_ERR_ARGUMENT, "\"schedule\"");
    load_refused(o, "exp_avg.a.weight", one, CT_ERR_SHAPE, "exp_avg.a.weight ... [5]");
    load_refused(o, "exp_avg.c", one, CT_ERR_SHAPE, "shape of c");
    load_refused(o, "exp_avg.a.bias", ct_ones(CT_SHAPE(5), CT_F64, DEVICE), CT_ERR_DTYPE,
                 "exp_avg.a.bias");
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

/* A value of two names gets one update, of the sum of both uses' gradients, whichever name holds
 * it; the other has no state. */
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
    fail_allocation(0); /* counts */
    clipped_steps(set, o, 22, 30);
    fail_nothing();
#ifndef CT_DEBUG_HANDLES /* which hold handles back */
    ck_assert_int_eq(allocations_seen, 0);
#endif
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

/* Makes an optimiser, a group, a schedule, and runs steps until one fails, in which nothing must
 * have moved. */
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

/* Every allocation fails once, alone (a buffer is asked for again) and with all that follow. */
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
        ck_assert_msg(k < 1000, "it goes on failing");
    }
    ck_assert(ever);
}
END_TEST

/* The bits do not depend on the threads, nor an element on where in a segment it is. */
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

int main(void)
{
    const int rules = LENGTH(resumed);
    Suite *suite = suite_create("optim");
    TCase *tc = harness_case(suite, "torch");

    adam_from_ops = *cti_algorithms[1];
    adam_from_ops.state[2] = (cti_state_kind){ .name = NULL };
    adam_from_ops.compose = composed_update;
    tcase_add_loop_test(tc, torch_numbers, 0, 3);
    tcase_add_test(tc, torch_schedules);
    tc = harness_case(suite, "schedule");
    tcase_add_test(tc, lambda_and_set_lr);
    tcase_add_test(tc, schedule_errors);
    tc = harness_case(suite, "clip");
    tcase_add_loop_test(tc, clip_norm, 0, 2);
    tcase_add_loop_test(tc, clip_value, 0, 2);
    tcase_add_loop_test(tc, not_finite, 0, 6);
    tc = harness_case(suite, "step");
    tcase_add_test(tc, gradients_cleared);
    tcase_add_test(tc, error_stands);
    tcase_add_test(tc, settled_later);
    tcase_add_test(tc, groups);
    tcase_add_loop_test(tc, tied, 0, rules);
    tcase_add_test(tc, option_errors);
    tcase_add_loop_test(tc, composed, 0, 2);
    tcase_add_test(tc, described);
    tcase_add_test(tc, by_name);
    tcase_add_test(tc, call_errors);
    tc = harness_case(suite, "checkpoint");
    tcase_add_loop_test(tc, resume, 0, 2 * rules);
    tcase_add_test(tc, state_names);
    tcase_add_test(tc, load_errors);
    tc = harness_case(suite, "memory");
    tcase_add_loop_test(tc, allocation_failures, 0, 2 * rules);
    tcase_add_loop_test(tc, threads, 0, rules);
    tc = harness_pooled_case(suite, "pool");
    tcase_add_loop_test(tc, no_allocation, 0, rules);
    return harness_run(suite);
}
