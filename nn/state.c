/* SPDX-License-Identifier: MIT */
/* state.c - states of recurrent modules.
 *
 * A ct_state is a handle, like a tensor (tensor/handle.h): a use after its free, or after the end
 * of its scope, is recognised. It holds references to its tensors, so that a dead tensor is
 * recognised as long as the state lives. */
#include "nn/internal.h"

#include "tensor/hooks.h"

#include <stdio.h>

#include <cotangent/autograd/autograd.h>
#include <cotangent/autograd/ops/copy.h>
#include <cotangent/autograd/ops/index.h>

#define FEW_TENSORS 4 /* the number of tensors that fit into the handle; more are in a buffer */
#define MOST_TENSORS 64

struct ct_state {
    cti_handle handle;
    cti_attached attached; /* for a state that a scope owns */
    bool owned;
    int count;
    ct_tensor **tensor; /* references */
    ct_tensor *few[FEW_TENSORS];
    ct_storage *many; /* the buffer of `tensor` if there are more than a few; otherwise NULL */
};

/* ---- checks ---- */

static bool state_refuse(const char *function, const char *name, const ct_state *s)
{
    if (s)
        cti_handle_raise_dead(function, name, "state", &s->handle, s->owned,
                              "use ct_state_copy_new or ct_state_carry to keep it");
    else
        cti_given(function, name, NULL);
    return false;
}

bool cti_state_usable(const char *function, const char *name, const ct_state *s)
{
    char entry[64];
    int i;

    if (!s || cti_handle_is_dead(&s->handle))
        return state_refuse(function, name, s);
    for (i = 0; i < s->count; i++)
        if (!s->tensor[i] || cti_is_dead(s->tensor[i])) {
            snprintf(entry, sizeof entry, "%s's tensor[%d]", name, i);
            return cti_refuse_tensor(function, entry, s->tensor[i]);
        }
    return true;
}

/* For functions that accept NULL. */
static bool state_present(const char *function, const ct_state *s)
{
    return s && (!cti_handle_is_dead(&s->handle) || state_refuse(function, "s", s));
}

static bool state_check_tensors(const char *function, int count, ct_tensor *const *tensors)
{
    if (count < 1 || count > MOST_TENSORS) {
        ct_raise(CT_ERR_ARGUMENT, function, "count is %d; it must be in 1..%d", count,
                 MOST_TENSORS);
        return false;
    }
    return cti_usable_all(function, "tensors", count, tensors);
}

/* ---- handles ---- */

int ct_state_count(const ct_state *s)
{
    return state_present("ct_state_count", s) ? s->count : 0;
}

ct_tensor *ct_state_get(const ct_state *s, int i)
{
    if (!s || cti_handle_is_dead(&s->handle)) {
        state_refuse("ct_state_get", "s", s);
        return NULL;
    }
    if (i < 0 || i >= s->count) {
        ct_raise(CT_ERR_INDEX, "ct_state_get", "i is %d; the state has %d tensors, counted from 0",
                 i, s->count);
        return NULL;
    }
    return s->tensor[i];
}

/* Makes an empty state with room for count tensors; NULL with an error. */
static ct_state *state_alloc(const char *function, int count, bool owned)
{
    ct_state *s = cti_handle_take(function, &cti_thread()->handles[CTI_HANDLE_STATE],
                                  CTI_HANDLE_STATE, sizeof *s);

    if (!s)
        return NULL;
    s->owned = owned;
    s->count = 0;
    s->tensor = s->few;
    s->many = NULL;
    if (count <= FEW_TENSORS)
        return s;
    s->many = cti_storage_new(CT_CPU, (size_t)count * sizeof *s->tensor);
    if (!s->many) {
        cti_handle_die(&s->handle, function, NULL);
        cti_handle_retire(&cti_thread()->handles[CTI_HANDLE_STATE], &s->handle);
        return NULL;
    }
    s->tensor = s->many->data;
    return s;
}

/* Marks the state as dead. If the state is owned, frees its tensors. */
static void state_end(ct_state *s, const char *function)
{
    int i;

    for (i = 0; i < s->count; i++)
        if (s->owned)
            cti_free(function, s->tensor[i]);
        else
            cti_unref(s->tensor[i]);
    if (s->many)
        cti_storage_unref(s->many);
    cti_handle_die(&s->handle, function, cti_thread()->site);
    cti_handle_retire(&cti_thread()->handles[CTI_HANDLE_STATE], &s->handle);
}

static void state_end_with_scope(cti_attached *a, const char *function)
{
    state_end((ct_state *)(void *)((char *)a - offsetof(ct_state, attached)), function);
}

void ct_state_free(ct_state *s)
{
    static const char *const me = "ct_state_free";

    if (!s)
        return;
    if (cti_handle_is_dead(&s->handle))
        state_refuse(me, "s", s);
    else if (!s->owned)
        ct_raise(CT_ERR_SCOPE, me, "the state belongs to a scope, which frees it");
    else
        state_end(s, me);
}

/* Returns an owned copy of t. */
static ct_tensor *copy_kept(const char *function, const ct_tensor *t)
{
    ct_scope s = cti_scope_push();
    ct_tensor *c = cti_new(function, t->shape, t->dtype, t->device), *kept = NULL;

    if (c) {
        cti_copy(c, t);
        kept = cti_keep(function, c, cti_owner_state);
    }
    cti_scope_pop(s);
    return kept;
}

/* An owned state of copies, or sharing the values. The caller has checked the tensors. */
static ct_state *state_own(const char *function, int count, ct_tensor *const *tensors, bool copy)
{
    ct_state *s = state_alloc(function, count, true);
    int i;

    for (i = 0; s && i < count; i++) {
        s->tensor[i] = copy ? copy_kept(function, tensors[i])
                            : cti_keep(function, tensors[i], cti_owner_state);
        if (!s->tensor[i]) {
            state_end(s, function);
            return NULL;
        }
        s->count = i + 1;
    }
    return s;
}

/* An owned state of copies. The caller has checked the tensors. */
static ct_state *state_copy(const char *function, int count, ct_tensor *const *tensors)
{
    return state_own(function, count, tensors, true);
}

ct_state *cti_state_keep(const char *function, const ct_state *s)
{
    return state_own(function, s->count, s->tensor, false);
}

ct_state *ct_state_new(int count, ct_tensor *const *tensors)
{
    return state_check_tensors("ct_state_new", count, tensors)
               ? state_copy("ct_state_new", count, tensors)
               : NULL;
}

ct_state *ct_state_copy_new(const ct_state *s)
{
    return cti_state_usable("ct_state_copy_new", "s", s)
               ? state_copy("ct_state_copy_new", s->count, s->tensor)
               : NULL;
}

ct_state *ct_state_from_tensors(int count, ct_tensor *const *tensors)
{
    static const char *const me = "ct_state_from_tensors";
    ct_state *s;
    int i;

    if (!state_check_tensors(me, count, tensors))
        return NULL;
    s = state_alloc(me, count, false);
    if (!s)
        return NULL;
    s->attached.end = state_end_with_scope;
    if (!cti_scope_attach(me, &s->attached)) {
        state_end(s, me);
        return NULL;
    }
    for (i = 0; i < count; i++) {
        cti_ref(tensors[i]);
        s->tensor[i] = tensors[i];
    }
    s->count = count;
    return s;
}

/* ---- states from states ---- */

ct_state *ct_state_detach(const ct_state *s)
{
    ct_tensor *cut[MOST_TENSORS];
    int i;

    if (!cti_state_usable("ct_state_detach", "s", s))
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

    if (!cti_sink_allowed() || !cti_state_usable(me, "kept", kept) ||
        !cti_state_usable(me, "next", next))
        return ct_error();
    if (!kept->owned)
        return ct_raise(CT_ERR_ARGUMENT, me, "kept is not owned; make it with ct_state_new");
    if (kept->count != next->count)
        return ct_raise(CT_ERR_ARGUMENT, me, "kept has %d tensors; next has %d", kept->count,
                        next->count);
    for (i = 0; i < kept->count; i++)
        if (!cti_same_shape(&kept->tensor[i]->shape, &next->tensor[i]->shape) ||
            kept->tensor[i]->dtype != next->tensor[i]->dtype)
            return ct_raise(CT_ERR_SHAPE, me,
                            "kept %s and next %s differ in shape or dtype (tensor %d)",
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

    if (!cti_state_usable("ct_state_zero", "kept", kept))
        return ct_error();
    for (i = 0; i < kept->count; i++)
        ct_fill(kept->tensor[i], 0);
    return ct_error();
}

ct_state *ct_state_to(const ct_state *s, ct_device device)
{
    ct_tensor *there[MOST_TENSORS];
    int i;

    if (!cti_state_usable("ct_state_to", "s", s))
        return NULL;
    for (i = 0; i < s->count; i++)
        there[i] = ct_to(s->tensor[i], device);
    return ct_ok() ? ct_state_from_tensors(s->count, there) : NULL;
}

ct_state *ct_state_select_new(const ct_state *s, ct_tensor *rows)
{
    static const char *const me = "ct_state_select_new";
    ct_tensor *picked[MOST_TENSORS];
    ct_state *out;
    ct_scope scope;
    int i;

    if (!cti_state_usable(me, "s", s) || !cti_usable(me, rows))
        return NULL;
    scope = cti_scope_push();
    for (i = 0; i < s->count; i++)
        picked[i] = ct_index_select(s->tensor[i], 1, rows);
    out = ct_ok() ? state_copy(me, s->count, picked) : NULL;
    cti_scope_pop(scope);
    return out;
}
