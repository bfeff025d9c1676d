/* state.c - states of recurrent modules. */
#include "tensor/internal.h"

#include "tensor/hooks.h"

#include <cotangent/autograd/autograd.h>
#include <cotangent/autograd/ops/copy.h>
#include <cotangent/autograd/ops/index.h>
#include <cotangent/nn/state.h>

struct ct_state {
    int count;
    bool owned;
    ct_tensor *tensor[];
};

#define MOST_TENSORS 64

int ct_state_count(const ct_state *s)
{
    return s ? s->count : 0;
}

ct_tensor *ct_state_get(const ct_state *s, int i)
{
    if (!s)
        return NULL;
    if (i < 0 || i >= s->count) {
        ct_raise(CT_ERR_INDEX, "ct_state_get", "a state of %d tensors has no number %d", s->count,
                 i);
        return NULL;
    }
    return s->tensor[i];
}

static bool usable(const char *function, int count, ct_tensor *const *tensors)
{
    int i;

    if (count < 1 || count > MOST_TENSORS) {
        ct_raise(CT_ERR_ARGUMENT, function, "a state of %d tensors", count);
        return false;
    }
    for (i = 0; i < count; i++)
        if (!cti_usable(function, tensors[i]))
            return false;
    return true;
}

void ct_state_free(ct_state *s)
{
    int i;

    if (!s)
        return;
    if (!s->owned) {
        ct_raise(CT_ERR_SCOPE, "ct_state_free", "the state belongs to a scope, which frees it");
        return;
    }
    for (i = 0; i < s->count; i++)
        ct_free(s->tensor[i]);
    cti_release(s);
}

/* An owned copy of t. */
static ct_tensor *copy_kept(const char *function, const ct_tensor *t)
{
    ct_scope s = cti_scope_push();
    ct_tensor *c = cti_new(function, t->shape, t->dtype, t->device), *kept = NULL;

    if (c) {
        cti_copy(c, t);
        kept = ct_keep(c);
    }
    cti_scope_pop(s);
    return kept;
}

ct_state *ct_state_new(int count, ct_tensor *const *tensors)
{
    ct_state *s;
    size_t bytes;
    int i;

    if (!usable("ct_state_new", count, tensors))
        return NULL;
    bytes = sizeof *s + (size_t)count * sizeof *s->tensor;
    s = cti_calloc(1, bytes);
    if (!s) {
        cti_out_of_memory("ct_state_new", bytes);
        return NULL;
    }
    s->owned = true;
    for (i = 0; i < count; i++) {
        s->tensor[i] = copy_kept("ct_state_new", tensors[i]);
        if (!s->tensor[i]) {
            ct_state_free(s);
            return NULL;
        }
        s->count = i + 1;
    }
    return s;
}

ct_state *ct_state_copy_new(const ct_state *s)
{
    return s ? ct_state_new(s->count, s->tensor) : NULL;
}

ct_state *ct_state_from_tensors(int count, ct_tensor *const *tensors)
{
    ct_tensor *memory; /* of the scope: the state ends with it */
    ct_state *s;
    int i;

    if (!usable("ct_state_from_tensors", count, tensors))
        return NULL;
    memory = ct_empty(CT_SHAPE((int64_t)(sizeof *s + (size_t)count * sizeof *s->tensor)), CT_BOOL,
                      CT_CPU);
    if (!memory)
        return NULL;
    s = (ct_state *)(void *)cti_data(memory);
    s->count = count;
    s->owned = false;
    for (i = 0; i < count; i++)
        s->tensor[i] = tensors[i];
    return s;
}

ct_state *ct_state_detach(const ct_state *s)
{
    ct_tensor *cut[MOST_TENSORS];
    int i;

    if (!s)
        return NULL;
    for (i = 0; i < s->count; i++)
        cut[i] = ct_detach(s->tensor[i]);
    return ct_ok() ? ct_state_from_tensors(s->count, cut) : NULL;
}

ct_status ct_state_carry(ct_state *kept, const ct_state *next)
{
    static const char *const me = "ct_state_carry";
    bool was;
    int i;

    if (!cti_sink_allowed())
        return ct_error();
    if (!kept || !next || !kept->owned || kept->count != next->count)
        return ct_raise(CT_ERR_ARGUMENT, me, "kept (%d tensors%s) does not take next (%d)",
                        ct_state_count(kept), kept && !kept->owned ? ", not owned" : "",
                        ct_state_count(next));
    for (i = 0; i < kept->count; i++)
        if (!cti_same_shape(&kept->tensor[i]->shape, &next->tensor[i]->shape) ||
            kept->tensor[i]->dtype != next->tensor[i]->dtype)
            return ct_raise(CT_ERR_SHAPE, me, "kept %s does not take next %s (tensor %d)",
                            cti_describe(kept->tensor[i]).s, cti_describe(next->tensor[i]).s, i);
    was = ct_set_grad_enabled(false);
    for (i = 0; i < kept->count; i++)
        cti_carry_into(me, kept->tensor[i], next->tensor[i]);
    ct_set_grad_enabled(was);
    return ct_error();
}

ct_status ct_state_zero(ct_state *kept)
{
    int i;

    if (!kept)
        return ct_ok() ? ct_raise(CT_ERR_ARGUMENT, "ct_state_zero", "kept is NULL") : ct_error();
    for (i = 0; i < kept->count; i++)
        ct_fill(kept->tensor[i], 0);
    return ct_error();
}

ct_state *ct_state_to(const ct_state *s, ct_device device)
{
    ct_tensor *there[MOST_TENSORS];
    int i;

    if (!s)
        return NULL;
    for (i = 0; i < s->count; i++)
        there[i] = ct_to(s->tensor[i], device);
    return ct_ok() ? ct_state_from_tensors(s->count, there) : NULL;
}

ct_state *ct_state_select_new(const ct_state *s, ct_tensor *rows)
{
    ct_tensor *picked[MOST_TENSORS];
    ct_state *out;
    ct_scope scope;
    int i;

    if (!s || !rows)
        return NULL;
    scope = cti_scope_push();
    for (i = 0; i < s->count; i++)
        picked[i] = ct_index_select(s->tensor[i], 1, rows);
    out = ct_state_new(s->count, picked);
    cti_scope_pop(scope);
    return out;
}
