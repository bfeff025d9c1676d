/* state.c - the state of an optimiser as tensors by name, for checkpoints. */
#include "optim/internal.h"

#include "tensor/hooks.h"
#include "tensor/text.h"

#include <math.h>
#include <string.h>

/* One entry: numbers of the optimiser itself, or state k of a slot (CTI_STATES: its steps). */
typedef struct state_entry {
    enum { NONE, RATES, SCHEDULE, SLOT } kind;
    cti_slot *slot;
    int k;
} state_entry;

/* SGD has no "step", as in PyTorch; its steps only tell whether there was an update. */
static bool state_slot_has(const cti_slot *slot, int k)
{
    return slot->steps > 0 && slot->name[k] && (k == CTI_STATES || slot->state[k]);
}

/* Entry i, or NONE. */
static state_entry state_entry_at(const ct_optimizer *o, int i)
{
    int j, k;

    if (i-- == 0)
        return (state_entry){ .kind = RATES };
    if (o->schedule && i-- == 0)
        return (state_entry){ .kind = SCHEDULE };
    for (j = 0; j < o->count; j++)
        for (k = 0; k <= CTI_STATES; k++)
            if (state_slot_has(&o->slot[j], k) && i-- == 0)
                return (state_entry){ .kind = SLOT, .slot = &o->slot[j], .k = k };
    return (state_entry){ .kind = NONE };
}

int ct_optimizer_state_count(const ct_optimizer *o)
{
    int n = o ? 1 + (o->schedule != NULL) : 0, j, k;

    for (j = 0; o && j < o->count; j++)
        for (k = 0; k <= CTI_STATES; k++)
            n += state_slot_has(&o->slot[j], k);
    return n;
}

const char *ct_optimizer_state_name(const ct_optimizer *o, int i)
{
    state_entry e = { .kind = NONE };

    if (o && i >= 0)
        e = state_entry_at(o, i);
    switch (e.kind) {
    case RATES:
        return "lr";
    case SCHEDULE:
        return "schedule";
    case SLOT:
        return e.slot->name[e.k];
    case NONE:
        break;
    }
    return NULL;
}

/* The rate of the optimiser, then of each group: NaN without one of its own. */
static ct_tensor *state_save_rates(const ct_optimizer *o)
{
    ct_tensor *t = cti_new("ct_optimizer_state_tensor", CT_SHAPE(1 + o->groups), CT_F64, CT_CPU);
    double *numbers = t ? (double *)(void *)cti_data(t) : NULL;
    int i;

    for (i = 0; t && i <= o->groups; i++)
        numbers[i] = i == 0 ? o->lr : o->group[i - 1].own_lr ? o->group[i - 1].lr : (double)NAN;
    return t;
}

static ct_tensor *state_save_schedule(const ct_schedule *s)
{
    ct_tensor *t =
        cti_new("ct_optimizer_state_tensor", CT_SHAPE(cti_schedule_count(s)), CT_F64, CT_CPU);

    if (t)
        cti_schedule_save(s, (double *)(void *)cti_data(t));
    return t;
}

ct_tensor *ct_optimizer_state_tensor(ct_optimizer *o, int i)
{
    static const char *const me = "ct_optimizer_state_tensor";
    state_entry e = { .kind = NONE };
    const ct_tensor *state;

    if (!cti_given(me, "o", o))
        return NULL;
    if (i >= 0)
        e = state_entry_at(o, i);
    switch (e.kind) {
    case RATES:
        return state_save_rates(o);
    case SCHEDULE:
        return state_save_schedule(o->schedule);
    case SLOT:
        if (e.k == CTI_STATES)
            return ct_from_data(&e.slot->steps, CT_SCALAR, CT_I64, CT_CPU);
        state = e.slot->state[e.k];
        return cti_view(me, state, state->shape, state->stride, state->offset);
    case NONE:
        ct_raise(CT_ERR_INDEX, me, "i is %d; the state has %d entries", i,
                 ct_optimizer_state_count(o));
    }
    return NULL;
}

/* ---- loading ---- */

static bool state_fits(const char *name, const ct_tensor *t, ct_shape shape, ct_dtype dtype)
{
    static const char *const me = "ct_optimizer_state_load";

    if (!cti_same_shape(&t->shape, &shape))
        ct_raise(CT_ERR_SHAPE, me, "%s has the shape %s; it must be %s", name,
                 cti_shape_text(&shape).s, cti_shape_text(&t->shape).s);
    else if (t->dtype != dtype)
        ct_raise(CT_ERR_DTYPE, me, "%s is %s; it must be %s", name, ct_dtype_name(dtype),
                 ct_dtype_name(t->dtype));
    else
        return true;
    return false;
}

static ct_status state_bad_numbers(const char *name)
{
    return ct_raise(CT_ERR_FORMAT, "ct_optimizer_state_load", "%s has values that are not valid",
                    name);
}

/* numbers are the elements of the tensor, in host memory. */
static void state_load_rates(ct_optimizer *o, const double *numbers)
{
    int i;

    for (i = 0; i <= o->groups; i++) {
        bool own = i == 0 || o->group[i - 1].own_lr;

        if (own ? !(numbers[i] >= 0 && numbers[i] < INFINITY) : !isnan(numbers[i])) {
            state_bad_numbers("lr");
            return;
        }
    }
    o->lr = numbers[0];
    for (i = 0; i < o->groups; i++)
        if (o->group[i].own_lr)
            o->group[i].lr = numbers[i + 1];
}

/* "lr" or "schedule" */
static void state_load_numbers(ct_optimizer *o, const char *name, const ct_tensor *t)
{
    bool rates = strcmp(name, "lr") == 0;
    int count = rates ? 1 + o->groups : cti_schedule_count(o->schedule);
    double *numbers;

    if (!state_fits(name, t, CT_SHAPE(count), CT_F64))
        return;
    numbers = cti_calloc((size_t)count, sizeof *numbers);
    if (!numbers) {
        cti_out_of_memory("ct_optimizer_state_load", (size_t)count * sizeof *numbers);
        return;
    }
    if (ct_to_host(t, numbers, (size_t)count * sizeof *numbers) == CT_OK) {
        if (rates)
            state_load_rates(o, numbers);
        else if (!cti_schedule_load(o->schedule, numbers))
            state_bad_numbers(name);
    }
    cti_release(numbers);
}

/* Copies t, which may be on another device, to state. */
static bool state_take(ct_tensor *state, const ct_tensor *t)
{
    bool good = cti_copy_across("ct_optimizer_state_load", state, t);

    if (good)
        cti_mark_written(state);
    return good;
}

static void state_load_slot(const ct_optimizer *o, cti_slot *slot, int k, const ct_tensor *t)
{
    const char *name = slot->name[k];
    int64_t steps;

    if (ct_param_is_lazy(slot->param)) {
        ct_raise(CT_ERR_SHAPE, "ct_optimizer_state_load", "%s: the shape of %s is not known yet",
                 name, ct_param_name(slot->param));
    } else if (k == CTI_STATES) {
        if (!state_fits(name, t, CT_SCALAR, CT_I64) ||
            ct_to_host(t, &steps, sizeof steps) != CT_OK || !cti_slot_state(o, slot))
            return;
        if (steps < 1)
            state_bad_numbers(name);
        else
            slot->steps = steps;
    } else if (state_fits(name, t, ct_param_shape(slot->param), ct_params_dtype(o->set)) &&
               cti_slot_state(o, slot) && state_take(slot->state[k], t) && slot->steps == 0) {
        slot->steps = 1; /* until "step" is loaded; SGD has none */
    }
}

ct_status ct_optimizer_state_load(ct_optimizer *o, const char *name, const ct_tensor *t)
{
    static const char *const me = "ct_optimizer_state_load";
    int i, k;

    if (!cti_sink_allowed())
        return ct_error();
    if (!cti_given(me, "o", o) || !cti_given(me, "name", name) || !cti_usable(me, t))
        return ct_error();
    if (!cti_optimizer_slots(me, o))
        return ct_error();
    if (strcmp(name, "lr") == 0 || (o->schedule && strcmp(name, "schedule") == 0)) {
        state_load_numbers(o, name, t);
        return ct_error();
    }
    for (i = 0; i < o->count; i++)
        for (k = 0; k <= CTI_STATES; k++)
            if (o->slot[i].name[k] && strcmp(o->slot[i].name[k], name) == 0) {
                state_load_slot(o, &o->slot[i], k, t);
                return ct_error();
            }
    return ct_raise(CT_ERR_ARGUMENT, me, "%s with these options has no %s", o->algorithm->title,
                    cti_quote(name).s);
}
