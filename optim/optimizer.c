/* optimizer.c - what all rules share: slots, groups, rates, the step. */
#include "optim/internal.h"

#include "tensor/hooks.h"

#include <cotangent/autograd/ops/arrange.h>

#include <fnmatch.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- slots ---- */

static void slot_forget(cti_slot *slot)
{
    int k;

    for (k = 0; k < CTI_STATES; k++) {
        ct_free(slot->state[k]);
        slot->state[k] = NULL;
    }
    slot->steps = 0;
}

static void slot_free(cti_slot *slot)
{
    int k;

    slot_forget(slot);
    for (k = 0; k <= CTI_STATES; k++)
        cti_release(slot->name[k]);
}

static char *joined(const char *kind, const char *name)
{
    size_t n = strlen(kind) + strlen(name) + 2;
    char *s = cti_calloc(1, n);

    if (s)
        snprintf(s, n, "%s.%s", kind, name);
    return s;
}

static bool slot_new(const char *function, const ct_optimizer *o, ct_param *p, cti_slot *slot)
{
    size_t bytes = 0;
    bool good = true;
    int k;

    *slot = (cti_slot){ .param = p };
    for (k = 0; k <= CTI_STATES && good; k++) {
        const char *kind = k < CTI_STATES ? o->rule->state[k] : "step";

        if (k < CTI_STATES ? !o->uses[k] : !o->rule->counts)
            continue;
        bytes = strlen(kind) + strlen(ct_param_name(p)) + 2;
        slot->name[k] = joined(kind, ct_param_name(p));
        good = slot->name[k] != NULL;
    }
    if (!good) {
        cti_out_of_memory(function, bytes);
        slot_free(slot);
    }
    return good;
}

/* The last group whose pattern matches, or -1. */
static int group_of(const ct_optimizer *o, const char *name)
{
    int i = o->groups - 1;

    while (i >= 0 && fnmatch(o->group[i].pattern, name, 0) != 0)
        i--;
    return i;
}

bool cti_optimizer_slots(const char *function, ct_optimizer *o)
{
    int count = ct_params_count(o->set);

    while (o->count < count) {
        cti_slot *slot;

        if (!cti_grow(function, (void **)&o->slot, &o->room, (size_t)o->count, sizeof *o->slot))
            return false;
        slot = &o->slot[o->count];
        if (!slot_new(function, o, ct_params_at(o->set, o->count), slot))
            return false;
        slot->group = group_of(o, ct_param_name(slot->param));
        o->count++;
    }
    return true;
}

bool cti_slot_state(const ct_optimizer *o, cti_slot *slot)
{
    const ct_tensor *w = ct_param_value(slot->param);
    int k;

    for (k = 0; k < CTI_STATES && w; k++) {
        ct_tensor *there;
        ct_scope s;

        if (!o->uses[k] || (slot->state[k] && slot->state[k]->device == w->device))
            continue;
        s = cti_scope_push();
        there = slot->state[k] ? ct_keep(ct_to(slot->state[k], w->device)) /* the set has moved */
                               : ct_keep(ct_full(w->shape, o->initial, w->dtype, w->device));
        cti_scope_pop(s);
        if (!there)
            return false;
        ct_free(slot->state[k]);
        slot->state[k] = there;
    }
    return w != NULL;
}

void ct_optimizer_reset(ct_optimizer *o)
{
    int i;

    for (i = 0; o && i < o->count; i++)
        slot_forget(&o->slot[i]);
}

void ct_optimizer_free(ct_optimizer *o)
{
    int i;

    if (!o)
        return;
    for (i = 0; i < o->count; i++)
        slot_free(&o->slot[i]);
    for (i = 0; i < o->groups; i++)
        cti_release(o->group[i].pattern);
    cti_schedule_free(o->schedule);
    cti_release(o->group);
    cti_release(o->slot);
    cti_release(o);
}

/* ---- groups and rates ---- */

/* The group of a pattern, new or known; NULL with an error. */
static cti_group *group_for(const char *function, ct_optimizer *o, const char *pattern)
{
    cti_group *g;
    int i;

    for (i = 0; i < o->groups; i++)
        if (strcmp(o->group[i].pattern, pattern) == 0)
            return &o->group[i];
    if (!cti_grow(function, (void **)&o->group, &o->group_room, (size_t)o->groups,
                  sizeof *o->group))
        return NULL;
    g = &o->group[o->groups];
    *g = (cti_group){ .pattern = cti_strdup(pattern) };
    if (!g->pattern) {
        cti_out_of_memory(function, strlen(pattern) + 1);
        return NULL;
    }
    o->groups++;
    return g;
}

static bool is_rate(double v)
{
    return v >= 0 && v < INFINITY;
}

static bool check_group(const char *function, const ct_optimizer *o, const char *pattern,
                        const ct_optimizer_group_options *a)
{
    int count = ct_params_count(o->set), i = 0;

    while (i < count && fnmatch(pattern, ct_param_name(ct_params_at(o->set, i)), 0) != 0)
        i++;
    if (i == count)
        ct_raise(CT_ERR_ARGUMENT, function, "no parameter matches \"%s\"", pattern);
    else if (!is_rate(a->lr) || !is_rate(a->weight_decay))
        ct_raise(CT_ERR_ARGUMENT, function,
                 "\"%s\": lr %g, weight_decay %g: rates are finite and "
                 "at least 0",
                 pattern, a->lr, a->weight_decay);
    else if ((a->no_lr && a->lr != 0) || (a->no_weight_decay && a->weight_decay != 0))
        ct_raise(CT_ERR_ARGUMENT, function, "\"%s\": %s beside no_%s", pattern,
                 a->no_lr && a->lr != 0 ? "lr" : "weight_decay",
                 a->no_lr && a->lr != 0 ? "lr" : "weight_decay");
    else
        return true;
    return false;
}

ct_status ct_optimizer_group(ct_optimizer *o, const char *pattern, ct_optimizer_group_options a)
{
    static const char *const me = "ct_optimizer_group";
    cti_group *g;
    int i;

    if (!o || !pattern)
        return ct_raise(CT_ERR_ARGUMENT, me, "the %s is NULL", o ? "pattern" : "optimiser");
    if (!check_group(me, o, pattern, &a) || !cti_optimizer_slots(me, o))
        return ct_error();
    g = group_for(me, o, pattern);
    if (!g)
        return ct_error();
    g->own_lr = a.lr != 0 || a.no_lr;
    g->lr = a.lr;
    g->own_decay = a.weight_decay != 0 || a.no_weight_decay;
    g->weight_decay = a.weight_decay;
    for (i = 0; i < o->count; i++)
        o->slot[i].group = group_of(o, ct_param_name(o->slot[i].param));
    return CT_OK;
}

double cti_optimizer_rate(const ct_optimizer *o, int group)
{
    double lr = group >= 0 && o->group[group].own_lr ? o->group[group].lr : o->lr;

    return o->schedule ? cti_schedule_rate(o->schedule, lr) : lr;
}

double cti_optimizer_decay(const ct_optimizer *o, int group)
{
    return group >= 0 && o->group[group].own_decay ? o->group[group].weight_decay : o->weight_decay;
}

double ct_optimizer_lr(const ct_optimizer *o)
{
    return o ? cti_optimizer_rate(o, -1) : NAN;
}

double ct_optimizer_param_lr(const ct_optimizer *o, const char *name)
{
    int i, count = o && name ? ct_params_count(o->set) : 0;

    for (i = 0; i < count; i++)
        if (strcmp(ct_param_name(ct_params_at(o->set, i)), name) == 0)
            return cti_optimizer_rate(o, group_of(o, name));
    return NAN;
}

ct_status ct_optimizer_set_lr(ct_optimizer *o, double lr)
{
    if (!o || !is_rate(lr))
        return ct_raise(CT_ERR_ARGUMENT, "ct_optimizer_set_lr",
                        o ? "lr %g is not finite and at least 0" : "the optimiser is NULL", lr);
    o->lr = lr;
    return CT_OK;
}

/* ---- the step ---- */

/* Nothing moves before all memory is there. */
static bool prepare(ct_optimizer *o, const cti_table *t)
{
    int i;

    for (i = 0; i < t->count; i++) {
        cti_slot *slot = &o->slot[t->at[i]];

        if (!cti_slot_state(o, slot))
            return false;
        cti_rule_prepare(o, slot, &t->segment[i]);
    }
    return true;
}

/* ---- in a captured step (tensor/capture.h) ---- */

/* The step as it was noted. */
typedef struct noted_step {
    ct_optimizer *o;
    int count;
    struct {
        int slot;
        void *value, *state[CTI_STATES];
    } at[];
} noted_step;

/* Whether a slot's arrays are where they were. */
static bool is_as_noted(const noted_step *n, int i, const cti_segment *now)
{
    const cti_slot *slot = &n->o->slot[n->at[i].slot];
    int k;

    for (k = 0; k < CTI_STATES; k++)
        if (now->state[k] != n->at[i].state[k])
            return false;
    return ct_param_is_trained(slot->param) &&
           cti_ptr(ct_param_value(slot->param)) == n->at[i].value;
}

static bool renew_rates(void *context, double *numbers)
{
    const noted_step *n = context;
    cti_rates *rates = (cti_rates *)(void *)numbers;
    int i;

    for (i = 0; i < n->count; i++) {
        const cti_slot *slot = &n->o->slot[n->at[i].slot];
        cti_segment s = { .n = 0 };

        cti_rule_prepare(n->o, slot, &s);
        if (!is_as_noted(n, i, &s)) {
            ct_raise(CT_ERR_ARGUMENT, "ct_capture_run",
                     "%s or its optimiser's state was moved or "
                     "frozen after the step was captured",
                     ct_param_name(slot->param));
            return false;
        }
        rates[i] = (cti_rates){ s.lr, s.weight_decay, s.shrink, s.root, s.first };
    }
    for (i = 0; i < n->count; i++) {
        n->o->slot[n->at[i].slot].steps++;
        cti_written(ct_param_value(n->o->slot[n->at[i].slot].param));
    }
    return true;
}

/* The rates on the device, written anew for each repetition; NULL if nothing is noted, or with an
 * error. */
static const cti_rates *renewed_rates(ct_optimizer *o, const cti_table *t)
{
    size_t bytes = sizeof(noted_step) + (size_t)t->count * sizeof *((noted_step *)0)->at;
    noted_step *n;
    const double *there;
    int i, k;

    if (!cti_thread()->capturing)
        return NULL;
    n = cti_calloc(1, bytes);
    if (!n) {
        cti_out_of_memory("ct_optimizer_step", bytes);
        return NULL;
    }
    n->o = o;
    n->count = t->count;
    for (i = 0; i < t->count; i++) {
        n->at[i].slot = t->at[i];
        n->at[i].value = t->segment[i].value;
        for (k = 0; k < CTI_STATES; k++)
            n->at[i].state[k] = t->segment[i].state[k];
    }
    there = cti_capture_numbers((size_t)t->count * sizeof(cti_rates) / sizeof *there, renew_rates,
                                n, bytes);
    cti_release(n);
    return (const cti_rates *)(const void *)there;
}

static void apply(ct_optimizer *o, const cti_table *t)
{
    bool noted = cti_capture_noting(); /* not run: each repetition counts its step */
    cti_update update = o->update;
    int i;

    update.rates = renewed_rates(o, t);
    if (!ct_ok())
        return;
    cti_backend_of(ct_params_device(o->set))->update(&update, t->segment, t->count);
    for (i = 0; i < t->count; i++) {
        cti_slot *slot = &o->slot[t->at[i]];
        ct_tensor *w = ct_param_value(slot->param);

        if (!noted)
            slot->steps++;
        cti_written(w);
        ct_tensor_zero_grad(w);
    }
}

ct_status ct_optimizer_step(ct_optimizer *o)
{
    static const char *const me = "ct_optimizer_step";
    cti_table t;

    if (!cti_sink_allowed())
        return ct_error();
    if (!o)
        return ct_raise(CT_ERR_ARGUMENT, me, "the optimiser is NULL");
    if (!cti_optimizer_slots(me, o) || !cti_table_make(me, o->set, &t))
        return ct_error();
    if (prepare(o, &t))
        apply(o, &t);
    cti_table_free(&t);
    return ct_error();
}
