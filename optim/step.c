/* step.c - one update of all parameters: fused, by a kernel of the device, or composed from ops. */
#include "optim/internal.h"

#include "tensor/hooks.h"

#include <cotangent/autograd/ops/elementwise.h>

/* ---- what a fused update is given ---- */

/* What the fused update of a segment needs besides the addresses of its value and gradient. */
static void segment_prepare(const ct_optimizer *o, const cti_slot *slot, cti_segment *s)
{
    int k;

    for (k = 0; k < CTI_STATES; k++)
        s->state[k] = slot->state[k] ? cti_data(slot->state[k]) : NULL;
    s->lr = cti_optimizer_rate(o, slot->group);
    s->weight_decay = cti_optimizer_decay(o, slot->group);
    s->shrink = 1;
    s->root = 1;
    s->first = slot->steps == 0;
    if (o->algorithm->rates)
        o->algorithm->rates(o->options, slot->steps + 1, s);
}

/* Allocates all memory before anything changes; false with an error. */
static bool optimizer_prepare(ct_optimizer *o, const cti_param_table *t)
{
    int i;

    for (i = 0; i < t->count; i++) {
        cti_slot *slot = &o->slot[t->at[i]];

        if (!cti_slot_state(o, slot))
            return false;
        segment_prepare(o, slot, &t->segment[i]);
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

/* Whether the arrays of a slot have the addresses that were captured. */
static bool step_is_as_noted(const noted_step *n, int i, const cti_segment *now)
{
    const cti_slot *slot = &n->o->slot[n->at[i].slot];
    int k;

    for (k = 0; k < CTI_STATES; k++)
        if (now->state[k] != n->at[i].state[k])
            return false;
    return cti_params_trains(n->o->set, n->at[i].slot) &&
           cti_data(cti_param_own(slot->param)) == n->at[i].value;
}

static bool step_renew_rates(void *context, double *numbers)
{
    const noted_step *n = context;
    cti_rates *rates = (cti_rates *)(void *)numbers;
    int i;

    for (i = 0; i < n->count; i++) {
        const cti_slot *slot = &n->o->slot[n->at[i].slot];
        cti_segment s = { .n = 0 };

        segment_prepare(n->o, slot, &s);
        if (!step_is_as_noted(n, i, &s)) {
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
        cti_mark_written(cti_param_own(n->o->slot[n->at[i].slot].param));
    }
    return true;
}

/* The rates on the device, which are rewritten before each repetition of a captured step; NULL if
 * nothing is captured, or with an error. */
static const cti_rates *step_renewed_rates(ct_optimizer *o, const cti_param_table *t)
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
    there = cti_capture_numbers((size_t)t->count * sizeof(cti_rates) / sizeof *there,
                                step_renew_rates, n, bytes);
    cti_release(n);
    return (const cti_rates *)(const void *)there;
}

/* ---- the update ---- */

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

static void step_update_fused(ct_optimizer *o, const cti_param_table *t)
{
    bool noted = cti_capture_noting(); /* captured, not run: each repetition counts its step */
    cti_update update = { .rule = o->algorithm->kernel };
    int i;

    update.scale = cti_option_value(o->algorithm, o->options, "maximize") ? -1 : 1;
    if (o->algorithm->fill)
        o->algorithm->fill(o->options, &update);
    update.rates = step_renewed_rates(o, t);
    if (!ct_ok())
        return;
    cti_backend_of(ct_params_device(o->set))->update(&update, t->segment, t->count);
    for (i = 0; i < t->count; i++)
        segment_finish(o, t, i, !noted);
}

/* Computes the new value of segment i, and its new state in c->state; NULL with an error. */
static ct_tensor *segment_compose(const ct_optimizer *o, const cti_param_table *t, int i,
                                  cti_composed *c)
{
    const cti_slot *slot = &o->slot[t->at[i]];
    /* The leaf owns its gradient, whose handle died with the scope that made it: ops need a live one. */
    ct_tensor *grad = cti_alias(cti_param_table_grad(t, i));
    int k;

    *c = (cti_composed){ .options = o->options,
                         .lr = cti_optimizer_rate(o, slot->group),
                         .weight_decay = cti_optimizer_decay(o, slot->group),
                         .t = slot->steps + 1,
                         .value = cti_param_own(slot->param) };
    for (k = 0; k < CTI_STATES; k++)
        c->state[k] = slot->state[k];
    if (cti_option_value(o->algorithm, o->options, "maximize"))
        grad = ct_neg(grad);
    if (c->weight_decay != 0)
        grad = ct_add(grad, ct_mul_scalar(c->value, c->weight_decay));
    c->grad = grad;
    return grad ? o->algorithm->compose(c) : NULL;
}

/* Stores what segment_compose has computed. */
static void segment_store(const ct_optimizer *o, const cti_param_table *t, int i,
                          const cti_composed *c)
{
    static const char *const me = "ct_optimizer_step";
    const cti_slot *slot = &o->slot[t->at[i]];
    int k;

    for (k = 0; k < CTI_STATES; k++)
        if (slot->state[k])
            cti_carry_into(me, slot->state[k], c->state[k]);
    cti_carry_into(me, cti_param_own(slot->param), c->value);
}

/* All new values are computed before any is stored, so that an error changes no parameter. */
static void step_update_composed(ct_optimizer *o, const cti_param_table *t)
{
    static const char *const me = "ct_optimizer_step";
    size_t bytes = ((size_t)t->count + 1) * sizeof(cti_composed);
    ct_storage *memory;
    cti_composed *c;
    ct_scope s;
    int i;

    if (!cti_capture_allows(ct_params_device(o->set), me, "use an optimiser composed from ops"))
        return;
    memory = cti_storage_new(CT_CPU, bytes); /* pooled */
    if (!memory) {
        cti_out_of_memory(me, bytes);
        return;
    }
    c = memory->data;
    s = cti_scope_push();
    for (i = 0; i < t->count && ct_ok(); i++)
        c[i].value = segment_compose(o, t, i, &c[i]);
    for (i = 0; i < t->count && ct_ok(); i++) {
        segment_store(o, t, i, &c[i]);
        segment_finish(o, t, i, ct_ok());
    }
    cti_scope_pop(s);
    cti_storage_unref(memory);
}

ct_status cti_optimizer_step(ct_optimizer *o, cti_param_table *t)
{
    static const char *const me = "ct_optimizer_step";
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
    } else if (optimizer_prepare(o, t)) {
        (o->algorithm->compose ? step_update_composed : step_update_fused)(o, t);
    }
    return ct_error();
}

ct_status ct_optimizer_step(ct_optimizer *o)
{
    return cti_optimizer_step(o, NULL);
}
