/* SPDX-License-Identifier: MIT */
/* state.c - the state of an optimiser as tensors by name, for checkpoints. */
#include "optim/internal.h"

#include "tensor/hooks.h"
#include "tensor/text.h"

#include <cotangent/autograd/ops/copy.h>

#include <math.h>
#include <string.h>

/* One entry: numbers of the optimiser itself, or state k of a slot; for k = CT_OPTIMIZER_STATES,
 * the slot's number of steps. */
typedef struct state_entry {
    enum { NONE, RATES, SCHEDULE, SLOT } kind;
    cti_slot *slot;
    int k;
} state_entry;

/* As in PyTorch, SGD has no entry "step"; its number of steps only says whether there was an
 * update. */
static bool state_slot_has(const cti_slot *slot, int k)
{
    return slot->stands && slot->steps > 0 && slot->name[k] &&
           (k == CT_OPTIMIZER_STATES || slot->state[k]);
}

/* Returns entry i. Its kind is NONE if i is too large. */
static state_entry state_entry_at(const ct_optimizer *o, int i)
{
    int j, k;

    if (i-- == 0)
        return (state_entry){ .kind = RATES };
    if (o->schedule && i-- == 0)
        return (state_entry){ .kind = SCHEDULE };
    for (j = 0; j < o->count; j++)
        for (k = 0; k <= CT_OPTIMIZER_STATES; k++)
            if (state_slot_has(&o->slot[j], k) && i-- == 0)
                return (state_entry){ .kind = SLOT, .slot = &o->slot[j], .k = k };
    return (state_entry){ .kind = NONE };
}

int ct_optimizer_state_count(const ct_optimizer *o)
{
    int n = o ? 1 + (o->schedule != NULL) : 0, j, k;

    for (j = 0; o && j < o->count; j++)
        for (k = 0; k <= CT_OPTIMIZER_STATES; k++)
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

/* Returns the rate of the optimiser and of each group; NaN for a group without its own rate. */
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
        if (e.k == CT_OPTIMIZER_STATES)
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
                 cti_shape_text(&t->shape).s, cti_shape_text(&shape).s);
    else if (t->dtype != dtype)
        ct_raise(CT_ERR_DTYPE, me, "%s is %s; it must be %s", name, ct_dtype_name(t->dtype),
                 ct_dtype_name(dtype));
    else
        return true;
    return false;
}

static ct_status state_bad_numbers(const char *name, const char *rule)
{
    return ct_raise(CT_ERR_FORMAT, "ct_optimizer_state_load", "%s: %s", name, rule);
}

/* True if numbers are possible rates of o: one of the optimiser and one of each group. */
static bool state_rates_fit(const ct_optimizer *o, const double *numbers)
{
    int i;

    for (i = 0; i <= o->groups; i++) {
        bool own = i == 0 || o->group[i - 1].own_lr;

        if (own ? !(numbers[i] >= 0 && numbers[i] < INFINITY) : !isnan(numbers[i]))
            return false;
    }
    return true;
}

static void state_set_rates(ct_optimizer *o, const double *numbers)
{
    int i;

    o->lr = numbers[0];
    for (i = 0; i < o->groups; i++)
        if (o->group[i].own_lr)
            o->group[i].lr = numbers[i + 1];
}

/* Loads "lr" or "schedule". */
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
        if (rates ? !state_rates_fit(o, numbers) : !cti_schedule_fits(o->schedule, numbers))
            state_bad_numbers(name, rates ? "a rate must be finite and at least 0, or NaN for a "
                                            "group without one of its own"
                                          : "this schedule cannot have these numbers");
        else if (rates)
            state_set_rates(o, numbers);
        else
            cti_schedule_load(o->schedule, numbers);
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
    } else if (k == CT_OPTIMIZER_STATES) {
        if (!state_fits(name, t, CT_SCALAR, CT_I64) ||
            ct_to_host(t, &steps, sizeof steps) != CT_OK || !cti_slot_state(o, slot))
            return;
        if (steps < 1)
            state_bad_numbers(name, "the number of updates must be at least 1");
        else
            slot->steps = steps;
    } else if (state_fits(name, t, cti_slot_shape(o, k, ct_param_shape(slot->param)),
                          ct_params_dtype(o->set)) &&
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
        for (k = 0; k <= CT_OPTIMIZER_STATES; k++)
            if (o->slot[i].stands && o->slot[i].name[k] && strcmp(o->slot[i].name[k], name) == 0) {
                state_load_slot(o, &o->slot[i], k, t);
                return ct_error();
            }
    return ct_raise(CT_ERR_ARGUMENT, me, "%s has no state %s with these options", o->table->name,
                    cti_quote(name).s);
}

/* ---- the section of a checkpoint ---- */

/* A state that has been read and checked. */
struct cti_optimizer_staged {
    double *rates, *schedule; /* NULL: no schedule */
    int64_t *updates;         /* the number of updates of each slot */
    ct_tensor **state; /* owned; CT_OPTIMIZER_STATES for each slot, NULL if the slot does not have
                        * the state */
    int count;         /* the number of slots */
};

void cti_optimizer_state_write(ct_optimizer *o, const char *prefix, cti_named_tensors *l)
{
    int64_t *updates;
    ct_tensor *t;
    int i, count;

    if (!cti_optimizer_slots(l->function, o))
        return;
    t = cti_new(l->function, CT_SHAPE(o->count), CT_I64, CT_CPU);
    if (!t)
        return;
    updates = (int64_t *)(void *)cti_data(t);
    for (i = 0; i < o->count; i++)
        updates[i] = o->slot[i].stands ? o->slot[i].steps : 0;
    cti_named_tensors_add(l, prefix, "updates", t);
    count = ct_optimizer_state_count(o);
    for (i = 0; i < count; i++)
        cti_named_tensors_add(l, prefix, ct_optimizer_state_name(o, i),
                              ct_optimizer_state_tensor(o, i));
}

void cti_optimizer_staged_free(cti_optimizer_staged *s)
{
    int i;

    for (i = 0; s && s->state && i < s->count * CT_OPTIMIZER_STATES; i++)
        ct_free(s->state[i]);
    if (s) {
        cti_release(s->rates);
        cti_release(s->schedule);
        cti_release(s->updates);
        cti_release(s->state);
    }
    cti_release(s);
}

/* Reads a tensor of rank 1, whose elements have 8 bytes, into new memory; NULL with an error. */
static void *staged_numbers(cti_claims *c, const char *prefix, const char *name, int count,
                            ct_dtype dtype)
{
    size_t bytes = ((size_t)count + 1) * 8;
    const ct_tensor *t = cti_claims_tensor(c, prefix, name, CT_SHAPE(count), dtype, CT_CPU);
    void *numbers = t ? cti_calloc(1, bytes) : NULL;

    if (t && !numbers)
        cti_out_of_memory(c->function, bytes);
    if (numbers)
        memcpy(numbers, cti_data(t), (size_t)count * 8);
    return numbers;
}

/* Reads the rates, the schedule and the numbers of updates; false with an error. */
static bool staged_read_numbers(cti_optimizer_staged *s, const ct_optimizer *o, cti_claims *c,
                                const char *prefix)
{
    s->rates = staged_numbers(c, prefix, "lr", 1 + o->groups, CT_F64);
    if (s->rates && o->schedule)
        s->schedule =
            staged_numbers(c, prefix, "schedule", cti_schedule_count(o->schedule), CT_F64);
    if (ct_ok())
        s->updates = staged_numbers(c, prefix, "updates", s->count, CT_I64);
    if (!ct_ok())
        return false;
    if (!state_rates_fit(o, s->rates))
        return cti_claims_refuse(c, prefix, "lr", "has values that are not valid");
    if (s->schedule && !cti_schedule_fits(o->schedule, s->schedule))
        return cti_claims_refuse(c, prefix, "schedule", "has values that are not valid");
    for (int i = 0; i < s->count; i++)
        if (s->updates[i] < 0 || (s->updates[i] > 0 && !o->slot[i].stands))
            return cti_claims_refuse(c, prefix, "updates", "has values that are not valid");
    return true;
}

/* Returns the shape of a parameter or, if it is lazy, the shape of its tensor in the file. */
static ct_shape staged_shape(cti_claims *c, const char *model, const ct_param *p)
{
    size_t n = strlen(model);
    const char *name = ct_param_name(p);

    if (!ct_param_is_lazy(p) || strncmp(name, model, n) != 0)
        return ct_param_shape(p);
    return ct_safetensors_shape(c->file, ct_safetensors_find(c->file, name + n));
}

/* Reads the state of slot i, which has been updated; false with an error. */
static bool staged_read_slot(cti_optimizer_staged *s, const ct_optimizer *o, cti_claims *c,
                             const cti_optimizer_names *names, int i)
{
    const cti_slot *slot = &o->slot[i];
    ct_shape shape = staged_shape(c, names->model, slot->param);
    ct_device device = ct_params_device(o->set);
    ct_tensor *t;

    for (int k = 0; k < CT_OPTIMIZER_STATES; k++) {
        if (!slot->name[k])
            continue;
        t = cti_claims_tensor(c, names->prefix, slot->name[k], cti_slot_shape(o, k, shape),
                              ct_params_dtype(o->set), device);
        s->state[i * CT_OPTIMIZER_STATES + k] = t ? ct_keep(t) : NULL;
        if (!s->state[i * CT_OPTIMIZER_STATES + k])
            return false;
    }
    if (!slot->name[CT_OPTIMIZER_STATES])
        return true;
    t = cti_claims_tensor(c, names->prefix, slot->name[CT_OPTIMIZER_STATES], CT_SCALAR, CT_I64,
                          CT_CPU);
    if (t && *(const int64_t *)(const void *)cti_data(t) != s->updates[i])
        cti_claims_refuse(c, names->prefix, slot->name[CT_OPTIMIZER_STATES],
                          "is not the number of updates of the parameter");
    return ct_ok();
}

cti_optimizer_staged *cti_optimizer_state_judge(ct_optimizer *o, cti_claims *c,
                                                const cti_optimizer_names *names)
{
    cti_optimizer_staged *s;
    size_t bytes;
    int i;

    if (!cti_optimizer_slots(c->function, o))
        return NULL;
    bytes = ((size_t)o->count * CT_OPTIMIZER_STATES + 1) * sizeof *s->state;
    s = cti_calloc(1, sizeof *s);
    if (s) {
        s->count = o->count;
        s->state = cti_calloc(1, bytes);
    }
    if (!s || !s->state)
        cti_out_of_memory(c->function, s ? bytes : sizeof *s);
    else if (staged_read_numbers(s, o, c, names->prefix))
        for (i = 0; i < s->count && ct_ok(); i++)
            if (s->updates[i] > 0)
                staged_read_slot(s, o, c, names, i);
    if (ct_ok())
        return s;
    cti_optimizer_staged_free(s);
    return NULL;
}

void cti_optimizer_state_apply(ct_optimizer *o, cti_optimizer_staged *s)
{
    state_set_rates(o, s->rates);
    if (s->schedule)
        cti_schedule_load(o->schedule, s->schedule);
    for (int i = 0; i < s->count; i++) {
        cti_slot *slot = &o->slot[i];

        for (int k = 0; k < CT_OPTIMIZER_STATES; k++) {
            ct_tensor *old = slot->state[k];

            slot->state[k] = s->state[i * CT_OPTIMIZER_STATES + k];
            s->state[i * CT_OPTIMIZER_STATES + k] = old;
        }
        slot->steps = s->updates[i];
    }
    cti_optimizer_staged_free(s);
}
