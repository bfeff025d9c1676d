/* SPDX-License-Identifier: MIT */
/* monitor.c - the metrics of a run, and the value by which its epochs are compared. The sums of metrics
 * stay on the model's device until the end of an epoch, so that a step does not wait for it. */
#include "tensor/internal.h"

#include "optim/internal.h"
#include "tensor/text.h"
#include "train/internal.h"

#include <cotangent/autograd/ops/copy.h>
#include <cotangent/autograd/ops/elementwise.h>
#include <cotangent/autograd/ops/join.h>
#include <cotangent/autograd/ops/views.h>

#include <math.h>
#include <string.h>

/* ---- checks ---- */

/* Whether no column has this name yet. */
static bool monitor_name_is_new(const cti_run *r, const char *name)
{
    static const char *const taken[] = { "loss", "perplexity", "bits" };

    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        if (strcmp(name, taken[i]) == 0)
            return false;
    for (int i = 0; i < r->metric_count; i++)
        if (strcmp(name, r->history.metric[i]) == 0)
            return false;
    return true;
}

static bool monitor_check_metric(const cti_run *r, const ct_metric *m)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
    const char *name = m->name ? m->name : "";

    if (!*name || name[strspn(name, allowed)] || strlen(name) > 64)
        ct_raise(CT_ERR_ARGUMENT, r->function,
                 "the metric %s: its name must have 1 to 64 letters, digits or '_'",
                 cti_quote(name).s);
    else if (m->sums < 1 || m->sums > CT_METRIC_SUMS)
        ct_raise(CT_ERR_ARGUMENT, r->function, "the metric %s: sums is %d; it must be in 1..%d",
                 name, m->sums, CT_METRIC_SUMS);
    else if (!m->update || !m->value)
        ct_raise(CT_ERR_ARGUMENT, r->function, "the metric %s: %s is NULL", name,
                 m->update ? "value" : "update");
    else
        return true;
    return false;
}

/* True if epochs can be compared by this column. */
static bool monitor_column_compares(int column)
{
    return (column >= CTI_LOSS && column <= CTI_VAL_BITS) || column >= CTI_METRIC;
}

static bool monitor_find(cti_run *r, const char *name)
{
    for (int i = 0; i < cti_history_columns(&r->history); i++) {
        const int column = cti_history_column_at(&r->history, i);

        if (!monitor_column_compares(column) ||
            strcmp(cti_history_column_name(&r->history, column).s, name) != 0)
            continue;
        if (strncmp(name, "val_", 4) == 0 && !r->val) {
            ct_raise(CT_ERR_ARGUMENT, r->function,
                     "monitor is %s, but there is no loader for validation", name);
            return false;
        }
        r->monitor.column = column;
        r->monitor.maximize =
            column >= CTI_METRIC && r->metric[(column - CTI_METRIC) / 2]->maximize;
        return true;
    }
    ct_raise(CT_ERR_ARGUMENT, r->function,
             "monitor is %s; it must be train_ or val_ with loss, perplexity, bits or a metric",
             cti_quote(name).s);
    return false;
}

/* ---- the losses of further optimisers ---- */

/* The mean, from the sum of loss times count and the sum of counts. */
static double monitor_mean(const void *self, const double *sums)
{
    (void)self;
    return sums[1] > 0 ? sums[0] / sums[1] : NAN;
}

static const ct_metric losses[CT_OPTIMIZERS - 1] = {
    { .name = "loss_1", .sums = 2, .value = monitor_mean },
    { .name = "loss_2", .sums = 2, .value = monitor_mean },
    { .name = "loss_3", .sums = 2, .value = monitor_mean },
    { .name = "loss_4", .sums = 2, .value = monitor_mean },
    { .name = "loss_5", .sums = 2, .value = monitor_mean },
    { .name = "loss_6", .sums = 2, .value = monitor_mean },
    { .name = "loss_7", .sums = 2, .value = monitor_mean },
};

/* Adds a metric to those of the run; false with an error. */
static bool monitor_add(cti_run *r, const ct_metric *m)
{
    const int i = r->metric_count;

    if (i == CT_METRICS) {
        ct_raise(CT_ERR_ARGUMENT, r->function,
                 "there are more than %d metrics, with the losses of further optimisers",
                 CT_METRICS);
        return false;
    }
    if (!monitor_name_is_new(r, m->name)) {
        ct_raise(CT_ERR_ARGUMENT, r->function, "the metric %s: another value has this name",
                 m->name);
        return false;
    }
    r->metric[i] = m;
    r->history.metric[i] = r->result.metric_names[i] = m->name;
    r->history.metrics = r->result.metric_count = ++r->metric_count;
    return true;
}

bool cti_monitor_begin(cti_run *r)
{
    const ct_metric *const *m = r->trainer->metrics;

    for (int i = 0; i < CT_METRICS; i++)
        r->result.metrics[i] = r->result.validation_metrics[i] = NAN;
    for (; m && *m; m++)
        if (!monitor_check_metric(r, *m) || !monitor_add(r, *m))
            return false;
    r->given_metrics = r->metric_count;
    for (int k = 1; k < r->optimizer_count; k++)
        if (!monitor_add(r, &losses[k - 1]))
            return false;
    return monitor_find(r, r->trainer->monitor ? r->trainer->monitor
                           : r->val            ? "val_loss"
                                               : "train_loss");
}

bool cti_monitor_fits(const cti_run *r)
{
    for (int k = 0; k < r->optimizer_count; k++) {
        const ct_schedule *s = r->optimizer[k]->schedule;

        if (!s || cti_schedule_plateau_fits(s, r->monitor.maximize))
            continue;
        ct_raise(
            CT_ERR_ARGUMENT, r->function,
            "the plateau schedule's maximize is %s, but larger values of the monitored %s are %s",
            r->monitor.maximize ? "false" : "true",
            cti_history_column_name(&r->history, r->monitor.column).s,
            r->monitor.maximize ? "better" : "worse");
        return false;
    }
    return true;
}

/* ---- comparing ---- */

bool cti_monitor_value(const cti_run *r, double *value)
{
    *value = r->history.row[r->history.count - 1][r->monitor.column];
    if (isfinite(*value))
        return true;
    ct_raise(CT_ERR_NUMERIC, r->function, "the monitored %s is %g in epoch %lld",
             cti_history_column_name(&r->history, r->monitor.column).s,
             isnan(*value) ? NAN : *value, (long long)r->result.epochs);
    return false;
}

bool cti_monitor_better(const cti_monitor *m, double a, double b, double delta)
{
    return m->maximize ? !(a <= b + delta) : !(a >= b - delta);
}

double ct_fit_value(const ct_fit_result *r, const char *name)
{
    cti_history h = { 0 };
    double value = NAN;

    if (!r || !name || r->metric_count < 0 || r->metric_count > CT_METRICS)
        return NAN;
    h.metrics = r->metric_count;
    memcpy(h.metric, r->metric_names, sizeof h.metric);
    if (!cti_history_add(&h, r))
        return NAN;
    for (int i = 0; i < cti_history_columns(&h); i++) {
        const int column = cti_history_column_at(&h, i);

        if (strcmp(cti_history_column_name(&h, column).s, name) == 0)
            value = h.row[0][column];
    }
    cti_history_free(&h);
    return value;
}

/* ---- sums ---- */

/* True if t has the shape, dtype and device that update of m must return; otherwise false with an
 * error. */
static bool metric_check_sums(const cti_run *r, const ct_metric *m, const ct_tensor *t)
{
    if (!t && ct_ok())
        ct_raise(CT_ERR_ARGUMENT, r->function,
                 "the metric %s: update returned NULL without raising an error", m->name);
    if (!ct_ok() || !cti_usable_as(r->function, "the result of a metric's update", t))
        return false;
    if (t->dtype == CT_F64 && t->shape.rank == 1 && t->shape.dim[0] == m->sums &&
        t->device == ct_params_device(r->model->params))
        return true;
    ct_raise(CT_ERR_SHAPE, r->function,
             "the metric %s: update returned %s; it must be f64[%d] on the model's device", m->name,
             cti_describe(t).s, m->sums);
    return false;
}

static void metric_add_to(ct_tensor **sums, ct_tensor *t)
{
    if (*sums)
        ct_copy_into(*sums, ct_add(*sums, t));
    else
        *sums = ct_keep(ct_clone(t));
}

static void metric_add(const cti_run *r, int i, ct_tensor **sums, const ct_step *step)
{
    const ct_metric *m = r->metric[i];
    ct_tensor *t = m->update(m->self, step->prediction, step->target);

    if (metric_check_sums(r, m, t))
        metric_add_to(sums, t);
}

void cti_metrics_add(const cti_run *r, cti_metric_sums *sums, const ct_step *step)
{
    ct_scope s;

    if (!r->given_metrics || !ct_ok())
        return;
    if (!step->prediction || !step->target) {
        ct_raise(CT_ERR_ARGUMENT, r->function,
                 "the model's step did not set %s, which the metrics of the trainer need",
                 step->prediction ? "target" : "prediction");
        return;
    }
    s = cti_scope_push();
    for (int i = 0; i < r->given_metrics && ct_ok(); i++)
        metric_add(r, i, &sums->of[i], step);
    cti_scope_pop(s);
}

void cti_metrics_add_loss(const cti_run *r, cti_metric_sums *sums, const ct_step *step,
                          ct_tensor *loss)
{
    ct_scope s = cti_scope_push();
    ct_tensor *sum = ct_mul_scalar(ct_cast(ct_reshape(loss, CT_SCALAR), CT_F64), step->count);
    ct_tensor *count = ct_full(CT_SCALAR, step->count, CT_F64, ct_params_device(r->model->params));

    metric_add_to(&sums->of[r->given_metrics + step->optimizer - 1], CT_STACK(0, sum, count));
    cti_scope_pop(s);
}

void cti_metrics_add_numbers(const cti_run *r, cti_metric_sums *sums, int i, const double *numbers)
{
    ct_scope s = cti_scope_push();
    ct_tensor *t = ct_from_data(numbers, CT_SHAPE(r->metric[i]->sums), CT_F64,
                                ct_params_device(r->model->params));

    if (t)
        metric_add_to(&sums->of[i], t);
    cti_scope_pop(s);
}

void cti_metrics_read(const cti_run *r, const cti_metric_sums *sums, double *values)
{
    for (int i = 0; i < r->metric_count && ct_ok(); i++) {
        const ct_metric *m = r->metric[i];
        double numbers[CT_METRIC_SUMS] = { 0 };

        values[i] = NAN;
        if (sums->of[i] &&
            ct_to_host(sums->of[i], numbers, (size_t)m->sums * sizeof *numbers) == CT_OK)
            values[i] = m->value(m->self, numbers);
    }
}

void cti_metrics_drop(cti_metric_sums *sums)
{
    for (int i = 0; i < CT_METRICS; i++) {
        ct_free(sums->of[i]);
        sums->of[i] = NULL;
    }
}
