/* leaf.c - leaves: whether they require a gradient, the gradient itself, and hooks. */
#include "autograd/engine.h"

#include "tensor/hooks.h"

void cti_hooks_free(cti_hook *h)
{
    while (h) {
        cti_hook *next = h->next;

        cti_release(h);
        h = next;
    }
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

ct_tensor *cti_leaf_grad(const ct_tensor *leaf)
{
    return leaf && leaf->leaf ? cti_leaf_of(leaf)->grad : NULL;
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

ct_status ct_register_hook(ct_tensor *t, ct_grad_hook call, void *context)
{
    cti_hook *h, **end;

    if (!cti_usable("ct_register_hook", t) ||
        !cti_given("ct_register_hook", "hook", (const void *)call))
        return ct_error();
    if (!t->requires_grad || (!t->node && !t->leaf))
        return ct_raise(CT_ERR_GRAD, "ct_register_hook", "t %s requires no gradient",
                        cti_describe(t).s);
    h = cti_calloc(1, sizeof *h);
    if (!h) {
        cti_out_of_memory("ct_register_hook", sizeof *h);
        return CT_ERR_MEMORY;
    }
    h->call = call;
    h->context = context;
    h->output = t->output;
    end = t->node ? &t->node->hooks : &cti_leaf_of(t)->hooks;
    while (*end)
        end = &(*end)->next;
    *end = h;
    return CT_OK;
}

ct_tensor *ct_detach(ct_tensor *t)
{
    return cti_usable("ct_detach", t) ? cti_view("ct_detach", t, t->shape, t->stride, t->offset)
                                      : NULL;
}
