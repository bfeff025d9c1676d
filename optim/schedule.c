/* SPDX-License-Identifier: MIT */
/* schedule.c - learning rates over time. A schedule is a list of parts. Each is a function of a
 * rate and of the number of steps since its phase began. The state is the number of steps and the
 * numbers that plateau parts store. */
#include "optim/internal.h"

#include "tensor/hooks.h"

#include <math.h>
#include <string.h>

typedef enum schedule_kind {
    PHASE,
    STEP,
    MULTI_STEP,
    EXPONENTIAL,
    LINEAR,
    COSINE,
    ONE_CYCLE,
    LAMBDA,
    PLATEAU
} schedule_kind;

typedef struct schedule_part {
    schedule_kind kind;
    int64_t begins; /* the first step of its phase */
    int64_t every;  /* step_size, the number of milestones, total_iters, t_max */
    double a, b;    /* gamma, the factors, or eta_min */
    double (*factor)(int64_t t, void *context);
    void *context;
    int64_t *milestones; /* owned; `every` entries */
    ct_schedule_one_cycle_options cycle;
    ct_schedule_plateau_options plateau;
    double best;                /* the best metric so far */
    int64_t bad, cooling, cuts; /* the number of metrics since the best one, of metrics to skip, and
                                 * of cuts so far */
} schedule_part;

struct ct_schedule {
    int64_t t;
    int64_t phase; /* the first step of the newest phase */
    schedule_part *part;
    int count;
    size_t room;
};

#define NUMBERS 4 /* the numbers that a part stores */
#define SCHEDULE_PI 3.14159265358979323846

ct_schedule *ct_optimizer_schedule(ct_optimizer *o)
{
    if (!cti_given("ct_optimizer_schedule", "o", o))
        return NULL;
    if (!o->schedule) {
        o->schedule = cti_calloc(1, sizeof *o->schedule);
        if (!o->schedule)
            cti_out_of_memory("ct_optimizer_schedule", sizeof *o->schedule);
    }
    return o->schedule;
}

void cti_schedule_free(ct_schedule *s)
{
    for (int i = 0; s && i < s->count; i++)
        cti_release(s->part[i].milestones);
    if (s)
        cti_release(s->part);
    cti_release(s);
}

/* ---- the rate ---- */

static double schedule_after_plateau(const schedule_part *p, double lr)
{
    int64_t i;

    for (i = 0; i < p->cuts; i++) {
        double next = fmax(lr * p->plateau.factor, p->plateau.min_lr);

        if (!(lr - next > p->plateau.eps))
            break;
        lr = next;
    }
    return lr;
}

static double schedule_after_milestones(const schedule_part *p, double lr, int64_t t)
{
    for (int64_t i = 0; i < p->every && p->milestones[i] <= t; i++)
        lr *= p->a;
    return lr;
}

/* Returns the rate after a part (0 to 1) of the way between two rates, as OneCycleLR computes
 * it. */
static double schedule_anneal(bool linear, double from, double to, double part)
{
    if (linear)
        return (to - from) * part + from;
    return to + (from - to) / 2 * (cos(SCHEDULE_PI * part) + 1);
}

static double schedule_after_cycle(const ct_schedule_one_cycle_options *o, double lr, int64_t t)
{
    const double steps = (double)o->total_steps;
    const double most = o->max_lr > 0 ? o->max_lr : lr, first = most / o->div_factor;
    const double last = first / o->final_div_factor, top = o->pct_start * steps - 1;
    const double down = o->three_phase ? 2 * o->pct_start * steps - 2 : steps - 1;
    const double now = t < o->total_steps ? (double)t : steps - 1;

    if (now <= top)
        return schedule_anneal(o->linear, first, most, now / top);
    if (!o->three_phase)
        return schedule_anneal(o->linear, most, last, (now - top) / (down - top));
    if (now <= down)
        return schedule_anneal(o->linear, most, first, (now - top) / (down - top));
    return schedule_anneal(o->linear, first, last, (now - down) / (steps - 1 - down));
}

static double schedule_rate_after(const schedule_part *p, double lr, int64_t t)
{
    double f;

    switch (p->kind) {
    case PHASE:
        return lr;
    case STEP:
        return lr * pow(p->a, (double)(t / p->every));
    case MULTI_STEP:
        return schedule_after_milestones(p, lr, t);
    case EXPONENTIAL:
        return lr * pow(p->a, (double)t);
    case ONE_CYCLE:
        return schedule_after_cycle(&p->cycle, lr, t);
    case LINEAR:
        return lr *
               (p->a + (p->b - p->a) * (double)(t < p->every ? t : p->every) / (double)p->every);
    case COSINE:
        return p->a + (lr - p->a) * (1 + cos(SCHEDULE_PI * (double)t / (double)p->every)) / 2;
    case LAMBDA:
        f = p->factor(t, p->context);
        return f >= 0 && f < INFINITY ? lr * f : 0;
    case PLATEAU:
        return schedule_after_plateau(p, lr);
    }
    return lr;
}

/* Returns the first step of the current phase. The parts are sorted by phase. */
static int64_t schedule_phase_now(const ct_schedule *s)
{
    int64_t phase = 0;
    int i;

    for (i = 0; i < s->count && s->part[i].begins <= s->t; i++)
        phase = s->part[i].begins;
    return phase;
}

double cti_schedule_rate(const ct_schedule *s, double lr)
{
    int64_t phase = schedule_phase_now(s);
    int i;

    for (i = 0; i < s->count; i++)
        if (s->part[i].begins == phase)
            lr = schedule_rate_after(&s->part[i], lr, s->t - phase);
    return lr;
}

/* ---- parts ---- */

static ct_status schedule_add(const char *function, ct_schedule *s, schedule_part p)
{
    if (!cti_grow(function, (void **)&s->part, &s->room, (size_t)s->count, sizeof *s->part))
        return ct_error();
    p.begins = s->phase;
    s->part[s->count++] = p;
    return CT_OK;
}

/* Checks that low <= v < INFINITY, or low < v < INFINITY if `open` is true. */
static bool schedule_bounded(const char *function, const char *name, double v, double low,
                             bool open)
{
    if (v < INFINITY && (open ? v > low : v >= low))
        return true;
    ct_raise(CT_ERR_ARGUMENT, function, "%s is %g; it must be finite and %s %g", name, v,
             open ? "above" : "at least", low);
    return false;
}

ct_status ct_schedule_step_lr(ct_schedule *s, int64_t step_size, double gamma)
{
    static const char *const me = "ct_schedule_step_lr";

    if (!cti_given(me, "s", s) || !cti_at_least(me, "step_size", step_size, 1) ||
        !schedule_bounded(me, "gamma", gamma, 0, true))
        return ct_error();
    return schedule_add(me, s, (schedule_part){ .kind = STEP, .every = step_size, .a = gamma });
}

ct_status ct_schedule_multi_step_lr(ct_schedule *s, int milestone_count, const int64_t *milestones,
                                    double gamma)
{
    static const char *const me = "ct_schedule_multi_step_lr";
    size_t bytes = (size_t)milestone_count * sizeof *milestones;
    int64_t *copy;

    if (!cti_given(me, "s", s) || !cti_at_least(me, "milestone_count", milestone_count, 1) ||
        !cti_given(me, "milestones", milestones) || !schedule_bounded(me, "gamma", gamma, 0, true))
        return ct_error();
    for (int i = 0; i < milestone_count; i++)
        if (milestones[i] < (i ? milestones[i - 1] : 1))
            return ct_raise(CT_ERR_ARGUMENT, me, "milestones[%d] is %lld; it must be at least %lld",
                            i, (long long)milestones[i], (long long)(i ? milestones[i - 1] : 1));
    copy = cti_calloc(1, bytes);
    if (!copy) {
        cti_out_of_memory(me, bytes);
        return ct_error();
    }
    memcpy(copy, milestones, bytes);
    if (schedule_add(me, s,
                     (schedule_part){ .kind = MULTI_STEP,
                                      .every = milestone_count,
                                      .milestones = copy,
                                      .a = gamma }) != CT_OK)
        cti_release(copy);
    return ct_error();
}

ct_status ct_schedule_exponential_lr(ct_schedule *s, double gamma)
{
    static const char *const me = "ct_schedule_exponential_lr";

    if (!cti_given(me, "s", s) || !schedule_bounded(me, "gamma", gamma, 0, true))
        return ct_error();
    return schedule_add(me, s, (schedule_part){ .kind = EXPONENTIAL, .a = gamma });
}

/* Checks that each part of a cycle has a positive length; false with an error. */
static bool schedule_check_cycle(const char *function, const ct_schedule_one_cycle_options *o)
{
    const double steps = (double)o->total_steps, top = o->pct_start * steps - 1;
    const double down = o->three_phase ? 2 * top : top;

    if (!cti_at_least(function, "total_steps", o->total_steps, 2) ||
        !schedule_bounded(function, "max_lr", o->max_lr, 0, false) ||
        !schedule_bounded(function, "div_factor", o->div_factor, 0, true) ||
        !schedule_bounded(function, "final_div_factor", o->final_div_factor, 0, true))
        return false;
    if (top > 0 && down < steps - 1)
        return true;
    ct_raise(CT_ERR_ARGUMENT, function,
             "pct_start is %g; with total_steps %lld a part of the cycle would have no step",
             o->pct_start, (long long)o->total_steps);
    return false;
}

ct_status ct_schedule_one_cycle_lr(ct_schedule *s, ct_schedule_one_cycle_options o)
{
    static const char *const me = "ct_schedule_one_cycle_lr";

    if (!cti_given(me, "s", s))
        return ct_error();
    o.pct_start = cti_option(o.pct_start, 0.3);
    o.div_factor = cti_option(o.div_factor, 25);
    o.final_div_factor = cti_option(o.final_div_factor, 1e4);
    o.max_lr = cti_option(o.max_lr, 0);
    if (!schedule_check_cycle(me, &o))
        return ct_error();
    return schedule_add(me, s, (schedule_part){ .kind = ONE_CYCLE, .cycle = o });
}

ct_status ct_schedule_linear_lr(ct_schedule *s, double start_factor, double end_factor,
                                int64_t total_iters)
{
    static const char *const me = "ct_schedule_linear_lr";

    if (!cti_given(me, "s", s) || !schedule_bounded(me, "start_factor", start_factor, 0, false) ||
        !schedule_bounded(me, "end_factor", end_factor, 0, false) ||
        !cti_at_least(me, "total_iters", total_iters, 1))
        return ct_error();
    return schedule_add(
        me, s,
        (schedule_part){
            .kind = LINEAR, .every = total_iters, .a = start_factor, .b = end_factor });
}

ct_status ct_schedule_cosine_lr(ct_schedule *s, int64_t t_max, double eta_min)
{
    static const char *const me = "ct_schedule_cosine_lr";

    if (!cti_given(me, "s", s) || !cti_at_least(me, "t_max", t_max, 1) ||
        !schedule_bounded(me, "eta_min", eta_min, 0, false))
        return ct_error();
    return schedule_add(me, s, (schedule_part){ .kind = COSINE, .every = t_max, .a = eta_min });
}

ct_status ct_schedule_lambda_lr(ct_schedule *s, double (*factor)(int64_t t, void *context),
                                void *context)
{
    static const char *const me = "ct_schedule_lambda_lr";

    if (!cti_given(me, "s", s) || !cti_given(me, "factor", (const void *)factor))
        return ct_error();
    return schedule_add(me, s,
                        (schedule_part){ .kind = LAMBDA, .factor = factor, .context = context });
}

ct_status ct_schedule_plateau_lr(ct_schedule *s, ct_schedule_plateau_options a)
{
    static const char *const me = "ct_schedule_plateau_lr";

    if (!cti_given(me, "s", s))
        return ct_error();
    a.factor = cti_option(a.factor, 0.1);
    a.threshold = cti_option(a.threshold, 1e-4);
    a.min_lr = cti_option(a.min_lr, 0);
    a.eps = cti_option(a.eps, 1e-8);
    a.patience = a.patience < 0 ? 0 : a.patience > 0 ? a.patience : 10;
    if (!(a.factor > 0 && a.factor < 1))
        return ct_raise(CT_ERR_ARGUMENT, me, "factor is %g; it must be above 0 and less than 1",
                        a.factor);
    if (!schedule_bounded(me, "threshold", a.threshold, 0, false) ||
        !schedule_bounded(me, "min_lr", a.min_lr, 0, false) ||
        !schedule_bounded(me, "eps", a.eps, 0, false) ||
        !cti_at_least(me, "cooldown", a.cooldown, 0))
        return ct_error();
    return schedule_add(me, s,
                        (schedule_part){ .kind = PLATEAU,
                                         .plateau = a,
                                         .best = a.maximize ? -INFINITY : INFINITY });
}

ct_status ct_schedule_then(ct_schedule *s, int64_t at)
{
    static const char *const me = "ct_schedule_then";

    if (!cti_given(me, "s", s) || !cti_at_least(me, "at", at, s->phase + 1))
        return ct_error();
    s->phase = at;
    return schedule_add(me, s, (schedule_part){ .kind = PHASE });
}

/* ---- steps and metrics ---- */

static bool schedule_renew_time(void *context, double *numbers)
{
    (void)numbers;
    (*(ct_schedule **)context)->t++;
    return true;
}

ct_status ct_schedule_step(ct_schedule *s)
{
    if (!cti_sink_allowed() || !cti_given("ct_schedule_step", "s", s))
        return ct_error();
    if (cti_capture_noting()) /* each replay of the captured step counts as a step */
        cti_capture_numbers(0, schedule_renew_time, &s, sizeof s);
    else
        s->t++;
    return ct_error();
}

static bool schedule_is_better(const schedule_part *p, double metric)
{
    double by = p->plateau.threshold;

    if (p->plateau.maximize)
        return metric > (p->plateau.absolute ? p->best + by : p->best * (1 + by));
    return metric < (p->plateau.absolute ? p->best - by : p->best * (1 - by));
}

/* The algorithm of PyTorch's ReduceLROnPlateau.step. */
static void schedule_see(schedule_part *p, double metric)
{
    if (schedule_is_better(p, metric)) {
        p->best = metric;
        p->bad = 0;
    } else {
        p->bad++;
    }
    if (p->cooling > 0) {
        p->cooling--;
        p->bad = 0;
    }
    if (p->bad > p->plateau.patience) {
        p->cuts++;
        p->cooling = p->plateau.cooldown;
        p->bad = 0;
    }
}

ct_status ct_schedule_observe(ct_schedule *s, double metric)
{
    int64_t phase;
    int i;

    if (!cti_sink_allowed() || !cti_given("ct_schedule_observe", "s", s))
        return ct_error();
    phase = schedule_phase_now(s);
    for (i = 0; i < s->count; i++)
        if (s->part[i].kind == PLATEAU && s->part[i].begins == phase)
            schedule_see(&s->part[i], metric);
    return ct_error();
}

bool cti_schedule_plateau_fits(const ct_schedule *s, bool maximize)
{
    for (int i = 0; i < s->count; i++)
        if (s->part[i].kind == PLATEAU && s->part[i].plateau.maximize != maximize)
            return false;
    return true;
}

/* ---- state and description ---- */

int cti_schedule_count(const ct_schedule *s)
{
    return 1 + s->count * NUMBERS;
}

void cti_schedule_save(const ct_schedule *s, double *numbers)
{
    int i;

    *numbers++ = (double)s->t;
    for (i = 0; i < s->count; i++) {
        *numbers++ = s->part[i].best;
        *numbers++ = (double)s->part[i].bad;
        *numbers++ = (double)s->part[i].cooling;
        *numbers++ = (double)s->part[i].cuts;
    }
}

static bool schedule_is_count(double v)
{
    return v >= 0 && v <= 0x1p53 && floor(v) == v;
}

bool cti_schedule_fits(const ct_schedule *s, const double *numbers)
{
    const double *n = numbers + 1;
    int i;

    for (i = 0; i < s->count; i++, n += NUMBERS)
        if (isnan(n[0]) || !schedule_is_count(n[1]) || !schedule_is_count(n[2]) ||
            !schedule_is_count(n[3]))
            return false;
    return schedule_is_count(numbers[0]);
}

void cti_schedule_load(ct_schedule *s, const double *numbers)
{
    const double *n = numbers + 1;
    int i;

    s->t = (int64_t)numbers[0];
    for (i = 0; i < s->count; i++, n += NUMBERS) {
        s->part[i].best = n[0];
        s->part[i].bad = (int64_t)n[1];
        s->part[i].cooling = (int64_t)n[2];
        s->part[i].cuts = (int64_t)n[3];
    }
}

static void schedule_add_numbers(cti_buffer *b, const double *numbers, int count)
{
    for (int i = 0; i < count; i++) {
        cti_buffer_print(b, " ");
        cti_buffer_number(b, numbers[i]);
    }
}

static void schedule_describe_plateau(const ct_schedule_plateau_options *o, cti_buffer *b)
{
    cti_buffer_print(b, "plateau_lr");
    schedule_add_numbers(b,
                         (const double[]){ o->factor, o->threshold, o->min_lr, o->eps,
                                           (double)o->patience, (double)o->cooldown },
                         6);
    cti_buffer_print(b, "%s%s", o->maximize ? " maximize" : "", o->absolute ? " absolute" : "");
}

static void schedule_describe_cycle(const ct_schedule_one_cycle_options *o, cti_buffer *b)
{
    cti_buffer_print(b, "one_cycle_lr");
    schedule_add_numbers(b,
                         (const double[]){ (double)o->total_steps, o->max_lr, o->pct_start,
                                           o->div_factor, o->final_div_factor },
                         5);
    cti_buffer_print(b, "%s%s", o->linear ? " linear" : "", o->three_phase ? " three_phase" : "");
}

static void schedule_describe_milestones(const schedule_part *p, cti_buffer *b)
{
    cti_buffer_print(b, "multi_step_lr");
    schedule_add_numbers(b, &p->a, 1);
    for (int64_t i = 0; i < p->every; i++)
        cti_buffer_print(b, " %lld", (long long)p->milestones[i]);
}

static void schedule_describe_part(const schedule_part *p, cti_buffer *b)
{
    const double every = (double)p->every, begins = (double)p->begins;

    switch (p->kind) {
    case PHASE:
        cti_buffer_print(b, "from");
        schedule_add_numbers(b, &begins, 1);
        return;
    case STEP:
        cti_buffer_print(b, "step_lr");
        schedule_add_numbers(b, (const double[]){ every, p->a }, 2);
        return;
    case LINEAR:
        cti_buffer_print(b, "linear_lr");
        schedule_add_numbers(b, (const double[]){ p->a, p->b, every }, 3);
        return;
    case COSINE:
        cti_buffer_print(b, "cosine_lr");
        schedule_add_numbers(b, (const double[]){ every, p->a }, 2);
        return;
    case LAMBDA:
        cti_buffer_print(b, "lambda_lr");
        return;
    case MULTI_STEP:
        schedule_describe_milestones(p, b);
        return;
    case EXPONENTIAL:
        cti_buffer_print(b, "exponential_lr");
        schedule_add_numbers(b, &p->a, 1);
        return;
    case ONE_CYCLE:
        schedule_describe_cycle(&p->cycle, b);
        return;
    case PLATEAU:
        schedule_describe_plateau(&p->plateau, b);
        return;
    }
}

void cti_schedule_describe(const ct_schedule *s, cti_buffer *b)
{
    for (int i = 0; i < s->count; i++) {
        cti_buffer_print(b, "%s", i ? ", " : "");
        schedule_describe_part(&s->part[i], b);
    }
}
