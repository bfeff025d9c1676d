/* SPDX-License-Identifier: MIT */
/* trace.c - the reports of COTANGENT_DEBUG and COTANGENT_PROFILE: lines, totals, and the first
 * value that is not finite. */
#include "autograd/trace.h"

#include "tensor/environment.h"
#include "tensor/hooks.h"
#include "tensor/log.h"
#include "tensor/text.h"

#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int trace_level; /* the value of COTANGENT_DEBUG */
static bool trace_profiling;
static pthread_mutex_t trace_lock = PTHREAD_MUTEX_INITIALIZER;

/* ---- totals ---- */

#define TRACE_MOST_OPS 512

typedef struct trace_total {
    const char *name;
    uint64_t calls[2], time[2]; /* the total time in ns: in forward, in backward */
} trace_total;

static trace_total trace_totals[TRACE_MOST_OPS];
static int trace_totals_count;

static void trace_add_total(const char *name, bool backward, uint64_t time)
{
    int i;

    pthread_mutex_lock(&trace_lock);
    for (i = 0; i < trace_totals_count && strcmp(trace_totals[i].name, name) != 0; i++)
        ;
    if (i < TRACE_MOST_OPS) {
        trace_totals[i].name = name;
        trace_totals[i].calls[backward]++;
        trace_totals[i].time[backward] += time;
        trace_totals_count = i < trace_totals_count ? trace_totals_count : i + 1;
    }
    pthread_mutex_unlock(&trace_lock);
}

static int trace_by_time(const void *a, const void *b)
{
    const trace_total *x = a, *y = b;
    uint64_t s = x->time[0] + x->time[1], t = y->time[0] + y->time[1];

    return s < t ? 1 : s > t ? -1 : strcmp(x->name, y->name);
}

static void trace_print_profile(void)
{
    uint64_t all = 0;
    int i;

    qsort(trace_totals, (size_t)trace_totals_count, sizeof *trace_totals, trace_by_time);
    for (i = 0; i < trace_totals_count; i++)
        all += trace_totals[i].time[0] + trace_totals[i].time[1];
    cti_log("cotangent: profile: %-28s %10s %12s %10s %12s %7s", "op", "forward", "ms", "backward",
            "ms", "share");
    for (i = 0; i < trace_totals_count; i++) {
        const trace_total *t = &trace_totals[i];

        cti_log("cotangent: profile: %-28s %10" PRIu64 " %12.3f %10" PRIu64 " %12.3f %6.1f%%",
                t->name, t->calls[0], (double)t->time[0] / 1e6, t->calls[1],
                (double)t->time[1] / 1e6,
                all ? 100 * (double)(t->time[0] + t->time[1]) / (double)all : 0);
    }
}

static void trace_print_memory(void)
{
    ct_memory_stats m = ct_memory_get_stats();

    cti_log("cotangent: memory: peak %zu bytes, open %zu, idle %zu, %" PRIu64
            " requests to the system",
            m.peak_bytes, m.live_bytes, m.idle_bytes, m.system_allocations);
}

static void trace_report(void)
{
    if (trace_level >= 1)
        trace_print_memory();
    if (trace_profiling)
        trace_print_profile();
}

__attribute__((constructor)) static void trace_read_environment(void)
{
    const char *debug = cti_environment("COTANGENT_DEBUG");
    const char *profile = cti_environment("COTANGENT_PROFILE");

    trace_level = debug ? atoi(debug) : 0;
    trace_profiling = profile && atoi(profile) > 0;
    cti_tracing = trace_level >= 2 || trace_profiling;
    if (trace_level >= 1 || trace_profiling)
        cti_at_end = trace_report;
}

/* ---- lines ---- */

static void trace_add_tensors(cti_line *l, int count, ct_tensor *const *t)
{
    int i;

    for (i = 0; i < count && i < 8; i++) {
        cti_line_add(l, "%s%s", i ? ", " : " ", t[i] ? cti_describe(t[i]).s : "none");
    }
    if (count > 8)
        cti_line_add(l, ", ...");
}

/* Writes "train.c:41: ct_forward: ct_linear". An op that the site already names is written once. */
typedef struct op_place {
    char s[256];
} op_place;

static op_place trace_place(const char *site, const char *name)
{
    op_place p;

    snprintf(p.s, sizeof p.s, "%.*s%s%s", site ? cti_site_length(site, name) : 0, site ? site : "",
             site ? ": " : "", name);
    return p;
}

static void trace_print_line(const char *site, const char *name, const char *rest, uint64_t time)
{
    cti_log("cotangent: %s%s, %.1f us", trace_place(site, name).s, rest, (double)time / 1e3);
}

/* ---- values that are not finite ---- */

int64_t cti_find_non_finite(const ct_tensor *t, double *value)
{
    ct_scope s = cti_scope_push();
    size_t size = ct_dtype_size(t->dtype);
    char *host = cti_is_float(t->dtype) ? cti_calloc((size_t)t->numel + 1, size) : NULL;
    const ct_tensor *c = host ? cti_contiguous(t) : NULL;
    int64_t i, found = -1;

    if (c && !cti_to_host(t->device, host, cti_data(c), (size_t)t->numel * size))
        c = NULL;
    for (i = 0; c && i < t->numel && found < 0; i++) {
        *value =
            t->dtype == CT_F32 ? (double)((float *)(void *)host)[i] : ((double *)(void *)host)[i];
        if (!isfinite(*value))
            found = i;
    }
    cti_release(host);
    cti_scope_pop(s);
    return found;
}

static atomic_bool trace_reported;

/* The value of one element. */
typedef struct element {
    int64_t at;
    double value;
} element;

/* what is "" or ", gradient of input 1,". culprit is the number of the input that holds such a
 * value, or -1. */
static void trace_report_non_finite(const char *site, const char *name, const char *what,
                                    const ct_tensor *t, element found, int culprit)
{
    char from[64] = "";

    if (atomic_exchange(&trace_reported, true))
        return;
    if (culprit >= 0)
        snprintf(from, sizeof from, " (its input %d holds one already)", culprit);
    cti_log("cotangent: %s%s made the first value that is not finite: %g, element %lld of %s%s",
            trace_place(site, name).s, what, found.value, (long long)found.at, cti_describe(t).s,
            from);
}

/* ---- called by ops and by the engine ---- */

static uint64_t trace_elapsed(uint64_t began, uint64_t now)
{
    return began && now > began ? now - began : 0;
}

void cti_trace_op(const char *name, int inputs_count, ct_tensor *const *inputs, int outputs_count,
                  ct_tensor *const *outputs)
{
    ct_thread *th = cti_thread();
    uint64_t time = trace_elapsed(th->op_began, cti_nanoseconds());
    cti_line l = { .n = 0 };
    int i, k;

    if (cti_in_pass())
        return;
    if (trace_profiling)
        trace_add_total(name, false, time);
    if (trace_level >= 2) {
        trace_add_tensors(&l, inputs_count, inputs);
        cti_line_add(&l, " ->");
        trace_add_tensors(&l, outputs_count, outputs);
        trace_print_line(th->site, name, l.s, time);
    }
    for (i = 0; i < outputs_count && trace_level >= 3 && !atomic_load(&trace_reported); i++) {
        element e;
        double other;

        e.at = cti_find_non_finite(outputs[i], &e.value);
        if (e.at < 0)
            continue;
        for (k = 0; k < inputs_count; k++)
            if (inputs[k] && cti_find_non_finite(inputs[k], &other) >= 0)
                break;
        trace_report_non_finite(th->site, name, "", outputs[i], e, k < inputs_count ? k : -1);
    }
    th->op_began = cti_nanoseconds();
}

void cti_trace_backward(const ct_node *n, uint64_t began)
{
    ct_thread *th = cti_thread();
    uint64_t time = trace_elapsed(began, cti_nanoseconds());
    cti_line l = { .n = 0 };
    int i;

    if (trace_profiling)
        trace_add_total(n->op->name, true, time);
    if (trace_level >= 2) {
        cti_line_add(&l, " backward");
        for (i = 0; i < n->outputs && i < 8; i++)
            trace_add_tensors(&l, 1, &n->grad[i]);
        trace_print_line(n->site, n->op->name, l.s, time);
    }
    th->op_began = cti_nanoseconds();
}

void cti_trace_gradient(const ct_node *n, int i, const ct_tensor *g)
{
    char what[40];
    element e;

    if (trace_level < 3 || atomic_load(&trace_reported))
        return;
    e.at = cti_find_non_finite(g, &e.value);
    if (e.at < 0)
        return;
    snprintf(what, sizeof what, ", gradient of input %d,", i);
    trace_report_non_finite(n->site, n->op->name, what, g, e, -1);
}
