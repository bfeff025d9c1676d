/* SPDX-License-Identifier: MIT */
/* leaf.c - leaves: whether a gradient is required, the gradient itself, and hooks. */
#include "autograd/engine.h"

#include "tensor/hooks.h"

static void hook_free(cti_hook *h)
{
    if (h->free_context)
        h->free_context(h->context);
    cti_release(h);
}

void cti_hooks_free(cti_hook *h)
{
    while (h) {
        cti_hook *next = h->next;

        hook_free(h);
        h = next;
    }
}

void cti_hook_drop(cti_hook **list, cti_hook *h)
{
    while (*list != h)
        list = &(*list)->next;
    *list = h->next;
    hook_free(h);
}

static void leaf_state_free(cti_leaf *base)
{
    cti_leaf_state *l = (cti_leaf_state *)base;

    if (l->grad)
        cti_unref(l->grad);
    if (l->pending)
        cti_unref(l->pending);
    cti_hooks_free(l->hooks);
    cti_release(l);
}

ct_tensor *ct_set_requires_grad(ct_tensor *t, bool on)
{
    cti_leaf_state *l;

    if (!cti_usable("ct_set_requires_grad", t))
        return NULL;
    if (t->node) {
        ct_raise(CT_ERR_GRAD, "ct_set_requires_grad", "t %s has history; it must be a leaf",
                 cti_describe(t).s);
        return NULL;
    }
    if (on && !cti_want_float("ct_set_requires_grad", "t", t))
        return NULL;
    if (on && !t->leaf) {
        l = cti_calloc(1, sizeof *l);
        if (!l) {
            cti_out_of_memory("ct_set_requires_grad", sizeof *l);
            return NULL;
        }
        l->base.free = leaf_state_free;
        t->leaf = &l->base;
    }
    t->requires_grad = on;
    return t;
}

ct_tensor *cti_leaf_train(ct_tensor *t, bool on)
{
    return ct_set_requires_grad(t, on);
}

ct_tensor *cti_leaf_grad(const ct_tensor *leaf)
{
    return leaf && leaf->leaf ? cti_leaf_of(leaf)->grad : NULL;
}

ct_tensor *cti_leaf_make_grad(const ct_tensor *leaf)
{
    cti_leaf_state *l = cti_leaf_of(leaf);
    ct_scope s;

    if (l->grad)
        return l->grad;
    s = cti_scope_push();
    l->grad = cti_new("ct_backward", leaf->shape, leaf->dtype, leaf->device);
    if (l->grad)
        cti_ref(l->grad);
    cti_scope_pop(s);
    return l->grad;
}

ct_tensor *ct_tensor_grad(ct_tensor *leaf)
{
    ct_tensor *g = cti_usable("ct_tensor_grad", leaf) ? cti_leaf_grad(leaf) : NULL;

    return g ? cti_view("ct_tensor_grad", g, g->shape, g->stride, g->offset) : NULL;
}

void ct_tensor_zero_grad(ct_tensor *leaf)
{
    if (cti_usable("ct_tensor_zero_grad", leaf) && cti_leaf_grad(leaf)) {
        cti_unref(cti_leaf_of(leaf)->grad);
        cti_leaf_of(leaf)->grad = NULL;
    }
}

/* Returns the list of hooks of t; NULL with an error if t cannot have hooks. */
static cti_hook **hook_list(const char *function, const ct_tensor *t)
{
    if (!cti_check_history(function, "t", t))
        return NULL;
    if (t->node)
        return &t->node->hooks;
    if (t->leaf)
        return &cti_leaf_of(t)->hooks;
    ct_raise(CT_ERR_GRAD, function, "t %s shares a leaf's memory, but is not the leaf",
             cti_describe(t).s);
    return NULL;
}

/* Appends a new hook to the list. */
static ct_status hook_add(const char *function, cti_hook **list, const cti_hook *like)
{
    cti_hook *h = cti_calloc(1, sizeof *h);

    if (!h) {
        cti_out_of_memory(function, sizeof *h);
        return CT_ERR_MEMORY;
    }
    *h = *like;
    while (*list)
        list = &(*list)->next;
    *list = h;
    return CT_OK;
}

ct_status ct_register_hook(ct_tensor *t, ct_grad_hook call, void *context,
                           void (*free_context)(void *context))
{
    static const char *const me = "ct_register_hook";
    cti_hook h = { .call = call, .context = context, .free_context = free_context };
    cti_hook **list = NULL;

    if (cti_usable(me, t) && cti_given(me, "hook", (const void *)call))
        list = hook_list(me, t);
    if (list) {
        h.output = t->output;
        if (hook_add(me, list, &h) == CT_OK)
            return CT_OK;
    }
    if (free_context)
        free_context(context);
    return ct_error();
}

ct_status ct_remove_hook(ct_tensor *t, ct_grad_hook call, void *context)
{
    static const char *const me = "ct_remove_hook";
    cti_hook **list, *h, *found = NULL;

    if (!cti_usable(me, t) || !cti_given(me, "hook", (const void *)call))
        return ct_error();
    list = hook_list(me, t);
    if (!list)
        return ct_error();
    for (h = *list; h; h = h->next)
        if (h->call == call && h->context == context && h->output == t->output && !h->removed)
            found = h;
    if (!found)
        return ct_raise(CT_ERR_ARGUMENT, me, "t %s has no such hook", cti_describe(t).s);
    found->removed = true;
    if (!found->running)
        cti_hook_drop(list, found);
    return CT_OK;
}
