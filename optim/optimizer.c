/* SPDX-License-Identifier: MIT */
/* optimizer.c - the common part of all optimisers: creation, slots, groups, rates. */
#include "optim/internal.h"

#include "tensor/hooks.h"
#include "tensor/text.h"

#include <cotangent/autograd/ops/copy.h>

#include <fnmatch.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- creation ---- */

/* Makes the optimiser from options in which the defaults are filled in. Takes over options, also
 * after an error. */
static ct_optimizer *optimizer_from(const char *function, ct_params *set,
                                    const ct_optimizer_table *table, void *options)
{
    ct_optimizer *o = cti_calloc(1, sizeof *o);

    if (!o) {
        cti_out_of_memory(function, sizeof *o);
        cti_release(options);
        return NULL;
    }
    o->set = set;
    o->table = table;
    o->options = options;
    o->lr = cti_option_value(table, options, "lr");
    o->weight_decay = cti_option_value(table, options, "weight_decay");
    for (int k = 0; k < CT_OPTIMIZER_STATES && table->states[k].name; k++) {
        const ct_optimizer_state_kind *kind = &table->states[k];

        o->keeps[k] = !kind->only || cti_option_value(table, options, kind->only) != 0;
        o->begins[k] = kind->initial_option ? cti_option_value(table, options, kind->initial_option)
                                            : kind->initial;
    }
    return o;
}

/* Copies options (NULL counts as zeros) and fills in the defaults; NULL with an error. */
static void *options_copy(const char *function, const ct_optimizer_table *table,
                          const void *options)
{
    void *copy = cti_calloc(1, table->options_size);

    if (!copy) {
        cti_out_of_memory(function, table->options_size);
        return NULL;
    }
    if (options)
        memcpy(copy, options, table->options_size);
    if (cti_options_settle(function, table, copy))
        return copy;
    cti_release(copy);
    return NULL;
}

ct_optimizer *cti_optimizer_new(const char *function, ct_params *set,
                                const ct_optimizer_table *table, const void *options)
{
    void *copy;

    if (!cti_given(function, "set", set))
        return NULL;
    copy = options_copy(function, table, options);
    return copy ? optimizer_from(function, set, table, copy) : NULL;
}

ct_optimizer *ct_optimizer_new(ct_params *set, const ct_optimizer_table *table, const void *options)
{
    static const char *const me = "ct_optimizer_new";

    if (!cti_given(me, "set", set) || !cti_given(me, "table", table) ||
        !cti_optimizer_table_check(me, table))
        return NULL;
    return cti_optimizer_new(me, set, table, options);
}

/* Sets the options that values names; false with an error. */
static bool options_set(const char *function, const ct_optimizer_table *table,
                        const ct_optimizer_value *value, void *options)
{
    for (; value && value->name; value++) {
        const ct_optimizer_option *option = cti_option_find(table, value->name);

        if (!option) {
            ct_raise(CT_ERR_ARGUMENT, function, "%s has no option %s", table->name,
                     cti_quote(value->name).s);
            return false;
        }
        cti_option_set(option, options, value->value);
    }
    return true;
}

ct_optimizer *ct_optimizer_new_from_name(ct_params *set, const char *algorithm,
                                         const ct_optimizer_value *values)
{
    static const char *const me = "ct_optimizer_new_from_name";
    const ct_optimizer_table *table;
    ct_optimizer *o = NULL;
    void *options;

    if (!cti_given(me, "set", set) || !cti_given(me, "algorithm", algorithm))
        return NULL;
    table = ct_optimizer_table_from_name(algorithm);
    if (!table) {
        ct_raise(CT_ERR_ARGUMENT, me, "algorithm is %s; no optimiser has this name",
                 cti_quote(algorithm).s);
        return NULL;
    }
    options = cti_calloc(1, table->options_size);
    if (!options)
        cti_out_of_memory(me, table->options_size);
    else if (options_set(me, table, values, options))
        o = cti_optimizer_new(me, set, table, options);
    cti_release(options);
    return o;
}

/* ---- slots ---- */

static void slot_forget(cti_slot *slot)
{
    int k;

    for (k = 0; k < CT_OPTIMIZER_STATES; k++) {
        ct_free(slot->state[k]);
        slot->state[k] = NULL;
    }
    slot->steps = 0;
}

static void slot_free(cti_slot *slot)
{
    int k;

    slot_forget(slot);
    for (k = 0; k <= CT_OPTIMIZER_STATES; k++)
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
    for (k = 0; k <= CT_OPTIMIZER_STATES && good; k++) {
        const char *kind = k < CT_OPTIMIZER_STATES ? o->table->states[k].name : "step";

        if (k < CT_OPTIMIZER_STATES ? !o->keeps[k] : !o->table->saves_step)
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

/* Returns the last group whose pattern matches name, or -1. */
static int group_of(const ct_optimizer *o, const char *name)
{
    int i = o->groups - 1;

    while (i >= 0 && fnmatch(o->group[i].pattern, name, 0) != 0)
        i--;
    return i;
}

/* Returns the last group whose pattern matches any name of p's value, or -1. */
static int group_of_value(const ct_optimizer *o, const ct_param *p)
{
    const ct_param *real = cti_param_real(p);
    int count = ct_params_count(o->set), last = -1;

    for (int i = 0; i < count && o->groups; i++) {
        const ct_param *other = ct_params_at(o->set, i);
        int group = cti_param_real(other) == real ? group_of(o, ct_param_name(other)) : -1;

        last = group > last ? group : last;
    }
    return last;
}

/* Sets the group of each slot, and whether the slot represents its value. */
static void optimizer_assign(ct_optimizer *o)
{
    for (int i = 0; i < o->count; i++) {
        o->slot[i].group = group_of_value(o, o->slot[i].param);
        o->slot[i].stands = cti_params_stands(o->set, i);
    }
    o->ties = cti_params_ties(o->set);
}

bool cti_optimizer_slots(const char *function, ct_optimizer *o)
{
    int count = ct_params_count(o->set);
    bool assigned = o->count == count && o->ties == cti_params_ties(o->set);

    while (o->count < count) {
        cti_slot *slot;

        if (!cti_grow(function, (void **)&o->slot, &o->room, (size_t)o->count, sizeof *o->slot))
            return false;
        slot = &o->slot[o->count];
        if (!slot_new(function, o, ct_params_at(o->set, o->count), slot))
            return false;
        o->count++;
    }
    if (!assigned)
        optimizer_assign(o);
    return true;
}

ct_shape cti_slot_shape(const ct_optimizer *o, int k, ct_shape shape)
{
    return o->table->states[k].scalar ? CT_SCALAR : shape;
}

bool cti_slot_state(const ct_optimizer *o, cti_slot *slot)
{
    const ct_tensor *w = cti_param_own(slot->param);
    int k;

    for (k = 0; k < CT_OPTIMIZER_STATES && w; k++) {
        ct_tensor *there;
        ct_scope s;

        if (!o->keeps[k] || (slot->state[k] && slot->state[k]->device == w->device))
            continue;
        s = cti_scope_push();
        there = slot->state[k] ? ct_keep(ct_to(slot->state[k], w->device)) /* the set may have moved
                                                                            * to another device */
                               : ct_keep(ct_full(cti_slot_shape(o, k, w->shape), o->begins[k],
                                                 w->dtype, w->device));
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

    if (!cti_given("ct_optimizer_reset", "o", o))
        return;
    for (i = 0; i < o->count; i++)
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
    cti_release(o->options);
    cti_release(o->group);
    cti_release(o->slot);
    cti_release(o);
}

/* ---- groups and rates ---- */

/* Returns the group of a pattern, and adds it if necessary; NULL with an error. */
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

/* True if the value of a group's option is allowed; otherwise false with an error. */
static bool group_check_value(const char *function, const ct_optimizer *o, const char *name,
                              double v)
{
    const ct_optimizer_option *option = cti_option_find(o->table, name);

    if (option)
        return cti_option_check(function, option, cti_option(v, 0));
    if (v != 0)
        ct_raise(CT_ERR_ARGUMENT, function, "%s has no option %s", o->table->name, name);
    return v == 0;
}

static bool group_check(const char *function, const ct_optimizer *o, const char *pattern,
                        const ct_optimizer_group_options *a)
{
    int count = ct_params_count(o->set), i = 0;

    while (i < count && fnmatch(pattern, ct_param_name(ct_params_at(o->set, i)), 0) != 0)
        i++;
    if (i == count) {
        ct_raise(CT_ERR_ARGUMENT, function, "no parameter matches %s", cti_quote(pattern).s);
        return false;
    }
    return group_check_value(function, o, "lr", a->lr) &&
           group_check_value(function, o, "weight_decay", a->weight_decay);
}

ct_status ct_optimizer_group(ct_optimizer *o, const char *pattern, ct_optimizer_group_options a)
{
    static const char *const me = "ct_optimizer_group";
    cti_group *g;

    if (!cti_given(me, "o", o) || !cti_given(me, "pattern", pattern))
        return ct_error();
    if (!group_check(me, o, pattern, &a) || !cti_optimizer_slots(me, o))
        return ct_error();
    g = group_for(me, o, pattern);
    if (!g)
        return ct_error();
    g->own_lr = a.lr != 0;
    g->lr = cti_option(a.lr, 0);
    g->own_decay = a.weight_decay != 0;
    g->weight_decay = cti_option(a.weight_decay, 0);
    optimizer_assign(o);
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
            return cti_optimizer_rate(o, group_of_value(o, ct_params_at(o->set, i)));
    return NAN;
}

ct_status ct_optimizer_set_lr(ct_optimizer *o, double lr)
{
    static const char *const me = "ct_optimizer_set_lr";

    if (!cti_given(me, "o", o))
        return ct_error();
    if (!(lr >= 0 && lr < INFINITY))
        return ct_raise(CT_ERR_ARGUMENT, me, "lr is %g; it must be finite and at least 0", lr);
    o->lr = lr;
    return CT_OK;
}
