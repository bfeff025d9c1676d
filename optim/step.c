/* SPDX-License-Identifier: MIT */
/* step.c - one update of all parameters, by the functions of the optimiser's table. */
#include "optim/internal.h"

#include "tensor/hooks.h"

#include <cotangent/autograd/ops/elementwise.h>

static const char *const me = "ct_optimizer_step";

/* ---- the arguments of an update ---- */

static int step_rate_count(const ct_optimizer_table *table)
{
    return table->rates ? table->rate_count : 1;
}

/* Fills in the members of u that depend on the slot, except the tensors. */
static void update_prepare(const ct_optimizer *o, const cti_slot *slot, ct_optimizer_update *u)
{
    u->name = ct_param_name(slot->param);
    u->step = slot->steps + 1;
    u->options = o->options;
    u->lr = cti_optimizer_rate(o, slot->group);
    u->weight_decay = cti_optimizer_decay(o, slot->group);
    if (o->table->rates)
        o->table->rates(u, u->rate);
    else
        u->rate[0] = u->lr;
}

/* Fills in the update of segment i; false with an error. */
static bool update_begin(const ct_optimizer *o, const cti_param_table *t, int i,
                         ct_optimizer_update *u)
{
    const cti_slot *slot = &o->slot[t->at[i]];

    *u = (ct_optimizer_update){ .value = cti_param_own(slot->param) };
    update_prepare(o, slot, u);
    for (int k = 0; k < CT_OPTIMIZER_STATES; k++)
        u->state[k] = slot->state[k];
    /* The leaf's gradient is a dead handle, because the scope that made it has ended. Ops need a
     * live handle. */
    u->grad = cti_alias(cti_param_table_grad(t, i));
    if (u->grad && o->table->update && cti_option_value(o->table, o->options, "maximize") != 0)
        u->grad = ct_neg(u->grad);
    return u->grad != NULL;
}

/* Allocates the state of all parameters before anything changes; false with an error. */
static bool step_prepare(ct_optimizer *o, const cti_param_table *t)
{
    for (int i = 0; i < t->count; i++)
        if (!cti_slot_state(o, &o->slot[t->at[i]]))
            return false;
    return true;
}

ct_tensor *ct_optimizer_rate(const ct_optimizer_update *u, int i)
{
    static const char *const function = "ct_optimizer_rate";
    cti_array from, to;
    ct_tensor *rate;

    if (!cti_given(function, "u", u) || !cti_usable(function, u->value))
        return NULL;
    if (i < 0 || i >= CT_OPTIMIZER_RATES) {
        ct_raise(CT_ERR_INDEX, function, "i is %d; it must be in 0..%d", i, CT_OPTIMIZER_RATES - 1);
        return NULL;
    }
    if (!u->captured)
        return cti_filled(function, CT_SCALAR, u->rate[i], u->value->dtype, u->value->device);
    rate = cti_new(function, CT_SCALAR, u->value->dtype, u->value->device);
    if (!rate)
        return NULL;
    from = (cti_array){ .data = (void *)(uintptr_t)(u->captured + i), .dtype = CT_F64 };
    to = (cti_array){ .data = cti_data(rate), .dtype = rate->dtype };
    cti_backend_of(rate->device)->copy(0, NULL, &to, &from);
    return rate;
}

/* ---- in a captured step (tensor/capture.h) ---- */

/* A step as it was when it was captured. */
typedef struct noted_step {
    ct_optimizer *o;
    int count;
    struct {
        int slot;
        void *value, *state[CT_OPTIMIZER_STATES];
    } at[];
} noted_step;

static void *step_state_data(const cti_slot *slot, int k)
{
    return slot->state[k] ? cti_data(slot->state[k]) : NULL;
}

/* True if the arrays of a slot still have the addresses that were captured. */
static bool step_is_as_noted(const noted_step *n, int i)
{
    const cti_slot *slot = &n->o->slot[n->at[i].slot];

    for (int k = 0; k < CT_OPTIMIZER_STATES; k++)
        if (step_state_data(slot, k) != n->at[i].state[k])
            return false;
    return cti_params_trains(n->o->set, n->at[i].slot) &&
           cti_data(cti_param_own(slot->param)) == n->at[i].value;
}

static bool step_renew_rates(void *context, double *numbers)
{
    const noted_step *n = context;
    int rates = step_rate_count(n->o->table), i;

    for (i = 0; i < n->count; i++) {
        const cti_slot *slot = &n->o->slot[n->at[i].slot];
        ct_optimizer_update u = { .name = NULL };

        if (!step_is_as_noted(n, i)) {
            ct_raise(CT_ERR_ARGUMENT, "ct_capture_run",
                     "%s or its optimiser's state was moved or "
                     "frozen after the step was captured",
                     ct_param_name(slot->param));
            return false;
        }
        update_prepare(n->o, slot, &u);
        for (int k = 0; k < rates; k++)
            *numbers++ = u.rate[k];
    }
    for (i = 0; i < n->count; i++) {
        n->o->slot[n->at[i].slot].steps++;
        cti_mark_written(cti_param_own(n->o->slot[n->at[i].slot].param));
    }
    return true;
}

/* Returns the rates on the device, which are rewritten before each replay of a captured step; NULL
 * if no step is being captured, and NULL with an error. */
static const double *step_renewed_rates(ct_optimizer *o, const cti_param_table *t)
{
    size_t bytes = sizeof(noted_step) + (size_t)t->count * sizeof *((noted_step *)0)->at;
    noted_step *n;
    const double *there;

    if (!cti_thread()->capturing)
        return NULL;
    n = cti_calloc(1, bytes);
    if (!n) {
        cti_out_of_memory(me, bytes);
        return NULL;
    }
    n->o = o;
    n->count = t->count;
    for (int i = 0; i < t->count; i++) {
        n->at[i].slot = t->at[i];
        n->at[i].value = t->segment[i].value;
        for (int k = 0; k < CT_OPTIMIZER_STATES; k++)
            n->at[i].state[k] = step_state_data(&o->slot[t->at[i]], k);
    }
    there = cti_capture_numbers((size_t)t->count * (size_t)step_rate_count(o->table),
                                step_renew_rates, n, bytes);
    cti_release(n);
    return there;
}

/* ---- update_all: by a kernel ---- */

ct_status cti_update_fused(cti_update *rule, const ct_optimizer_update *u, int count)
{
    size_t bytes = (size_t)count * sizeof(cti_segment);
    ct_storage *memory = cti_storage_new(CT_CPU, bytes); /* from the pool */
    cti_segment *segment;

    if (!memory) {
        cti_out_of_memory(me, bytes);
        return ct_error();
    }
    segment = memory->data;
    for (int i = 0; i < count; i++) {
        const ct_tensor *value = u[i].value;
        const cti_rates *r = (const cti_rates *)(const void *)u[i].rate;

        segment[i] = (cti_segment){ .value = cti_data(value),
                                    .grad = cti_data(u[i].grad),
                                    .n = value->numel,
                                    .dtype = value->dtype,
                                    .lr = r->lr,
                                    .weight_decay = r->weight_decay,
                                    .shrink = r->shrink,
                                    .root = r->root,
                                    .first = r->first != 0 };
        for (int k = 0; k < (int)(sizeof segment->state / sizeof *segment->state); k++)
            segment[i].state[k] = u[i].state[k] ? cti_data(u[i].state[k]) : NULL;
    }
    rule->rates = (const cti_rates *)(const void *)u->captured;
    cti_backend_of(u->value->device)->update(rule, segment, count);
    cti_storage_unref(memory);
    return ct_error();
}

/* ---- update: one parameter after another ---- */

/* True if a tensor that update returned has the shape, dtype and device of old; otherwise false
 * with an error. */
static bool update_fits(const ct_optimizer *o, const ct_optimizer_update *u,
                        const ct_tensor *result, const ct_tensor *old)
{
    if (result == old)
        return true;
    if (!cti_usable_as(me, "the result of update", result))
        return false;
    if (cti_same_shape(&result->shape, &old->shape) && result->dtype == old->dtype &&
        result->device == old->device)
        return true;
    ct_raise(CT_ERR_SHAPE, me, "%s: update returned %s for %s or its state; it must be %s",
             o->table->name, cti_describe(result).s, u->name, cti_describe(old).s);
    return false;
}

/* Computes the new value and state of a parameter; false with an error. */
static bool update_compute(const ct_optimizer *o, const cti_slot *slot, ct_optimizer_update *u)
{
    ct_tensor *value = o->table->update(u);

    if (!value && ct_ok())
        ct_raise(CT_ERR_ARGUMENT, me, "%s: update returned NULL for %s without raising an error",
                 o->table->name, u->name);
    if (!ct_ok() || !update_fits(o, u, value, cti_param_own(slot->param)))
        return false;
    for (int k = 0; k < CT_OPTIMIZER_STATES; k++)
        if (slot->state[k] && !update_fits(o, u, u->state[k], slot->state[k]))
            return false;
    u->value = value;
    return true;
}

/* Stores the results of update_compute. */
static void update_store(const cti_slot *slot, const ct_optimizer_update *u)
{
    for (int k = 0; k < CT_OPTIMIZER_STATES; k++)
        if (slot->state[k])
            cti_carry_into(me, slot->state[k], u->state[k]);
    cti_carry_into(me, cti_param_own(slot->param), u->value);
}

/* All new values are computed before any is stored, so that an error changes no parameter. */
static void step_update_each(const ct_optimizer *o, const cti_param_table *t,
                             ct_optimizer_update *u)
{
    for (int i = 0; i < t->count; i++)
        if (!update_compute(o, &o->slot[t->at[i]], &u[i]))
            return;
    for (int i = 0; i < t->count; i++)
        update_store(&o->slot[t->at[i]], &u[i]);
}

static void step_update_all(const ct_optimizer *o, const ct_optimizer_update *u, int count)
{
    ct_status status = o->table->update_all(u, count);

    if (status != CT_OK && ct_ok())
        ct_raise(CT_ERR_ARGUMENT, me, "%s: update_all returned an error without raising one",
                 o->table->name);
}

/* ---- the step ---- */

/* Counts the update of segment i, and clears its gradient. */
static void segment_finish(ct_optimizer *o, const cti_param_table *t, int i, bool count)
{
    cti_slot *slot = &o->slot[t->at[i]];
    ct_tensor *w = cti_param_own(slot->param);

    if (count)
        slot->steps++;
    cti_mark_written(w);
    ct_tensor_zero_grad(w);
}

static void step_update(ct_optimizer *o, const cti_param_table *t, ct_optimizer_update *u)
{
    bool noted = cti_capture_noting(); /* while the step is captured, nothing is updated; each
                                        * replay counts its own step */
    const double *captured;

    for (int i = 0; i < t->count; i++)
        if (!update_begin(o, t, i, &u[i]))
            return;
    captured = step_renewed_rates(o, t);
    for (int i = 0; i < t->count && captured; i++)
        u[i].captured = captured + i * step_rate_count(o->table);
    if (!ct_ok())
        return;
    if (o->table->update_all)
        step_update_all(o, u, t->count);
    else
        step_update_each(o, t, u);
    for (int i = 0; i < t->count && ct_ok(); i++)
        segment_finish(o, t, i, !noted);
}

static void step_run(ct_optimizer *o, const cti_param_table *t)
{
    size_t bytes = (size_t)t->count * sizeof(ct_optimizer_update);
    ct_storage *memory;
    ct_scope s;

    if (!t->count || (!o->table->captures &&
                      !cti_capture_allows(ct_params_device(o->set), me,
                                          "use an optimiser whose table does not set captures")))
        return;
    memory = cti_storage_new(CT_CPU, bytes); /* from the pool */
    if (!memory) {
        cti_out_of_memory(me, bytes);
        return;
    }
    s = cti_scope_push();
    step_update(o, t, memory->data);
    cti_scope_pop(s);
    cti_storage_unref(memory);
}

ct_status cti_optimizer_step(ct_optimizer *o, cti_param_table *t)
{
    cti_param_table own;

    if (!cti_sink_allowed())
        return ct_error();
    if (!cti_given(me, "o", o) || !cti_optimizer_slots(me, o))
        return ct_error();
    if (!t || t->set != o->set) {
        if (cti_param_table_make(me, o->set, &own)) {
            cti_optimizer_step(o, &own);
            cti_param_table_free(&own);
        }
    } else if (step_prepare(o, t)) {
        step_run(o, t);
    }
    return ct_error();
}

ct_status ct_optimizer_step(ct_optimizer *o)
{
    return cti_optimizer_step(o, NULL);
}
