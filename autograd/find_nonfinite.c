/* SPDX-License-Identifier: MIT */
/* find_nonfinite.c - finds the op that first produced a value that is not finite. Until the scope
 * of a step ends, its results stay on the thread's stack of live tensors in the order in which they
 * were made, and the nodes stay on its tape in the same order. */
#include "autograd/internal.h"

#include "autograd/find_nonfinite.h"
#include "autograd/trace.h"
#include "tensor/hooks.h"

#include <stdio.h>

static cti_origin origin_node(const ct_node *n, const char *how)
{
    cti_origin o;

    snprintf(o.s, sizeof o.s, "; first in %s%s%s%s%s", how, n->op->name, n->site ? " (" : "",
             n->site ? n->site : "", n->site ? ")" : "");
    return o;
}

/* Returns the frame of the innermost scope, which has its marks on both stacks. */
static const cti_frame *origin_frame(void)
{
    const ct_thread *th = cti_thread();

    return &th->frames[th->depth - 1];
}

const ct_param *cti_find_nonfinite_param(const ct_params *params)
{
    double value;

    for (int i = 0; i < ct_params_count(params); i++) {
        ct_param *p = ct_params_at(params, i);

        if (!ct_param_is_lazy(p) && cti_find_non_finite(cti_param_own(p), &value) >= 0)
            return p;
    }
    return NULL;
}

cti_origin cti_find_nonfinite_input(const char *name, const ct_tensor *t)
{
    cti_origin o = { "" };
    double value;

    if (t && cti_find_non_finite(t, &value) >= 0)
        snprintf(o.s, sizeof o.s, "; %s of the batch is not finite", name);
    return o;
}

cti_origin cti_find_nonfinite_forward(void)
{
    const ct_thread *th = cti_thread();
    cti_origin o = { "" };
    double value;

    for (size_t i = origin_frame()->live; i < th->live_count; i++) {
        const ct_tensor *t = th->live[i];

        if (!t || cti_find_non_finite(t, &value) < 0)
            continue;
        if (t->node)
            return origin_node(t->node, "");
        if (t->requires_grad)
            continue; /* the gradient of a parameter */
        snprintf(o.s, sizeof o.s,
                 "; first in a result %s, whose op is not recorded: COTANGENT_DEBUG=3 names it",
                 cti_describe(t).s);
        return o;
    }
    return o;
}

/* ---- gradients: backward runs again, with a hook on every tensor ---- */

typedef struct origin_watch {
    const ct_tensor **first; /* the first tensor whose gradient is not finite */
    const ct_tensor *t;
} origin_watch;

static ct_tensor *origin_look(ct_tensor *gradient, void *context)
{
    origin_watch *w = context;
    double value;

    if (!*w->first && cti_find_non_finite(gradient, &value) >= 0)
        *w->first = w->t;
    return NULL;
}

/* True if edge e leads to t, whichever handle it has. */
static bool origin_is_edge(const cti_edge *e, const ct_tensor *t)
{
    return e->tensor &&
           (e->tensor == t ||
            (t->node && e->tensor->node == t->node && e->tensor->output == t->output) ||
            (t->leaf && e->tensor->leaf == t->leaf));
}

/* Returns the node whose backward function computed t's gradient first: of the nodes that read t,
 * the last one on the tape. */
static const ct_node *origin_reader(const ct_tensor *t)
{
    const ct_thread *th = cti_thread();

    for (size_t i = th->tape_count; i > origin_frame()->tape; i--)
        for (int k = 0; k < th->tape[i - 1]->inputs; k++)
            if (origin_is_edge(&th->tape[i - 1]->in[k], t))
                return th->tape[i - 1];
    return NULL;
}

cti_origin cti_find_nonfinite_backward(ct_tensor *loss, ct_tensor *leaf)
{
    const ct_thread *th = cti_thread();
    size_t from = origin_frame()->live, count = th->live_count - from;
    const ct_tensor *first = NULL;
    const ct_node *n;
    ct_tensor *gradient;
    origin_watch *w = cti_calloc(count + 1, sizeof *w);

    for (size_t i = 0; w && i < count; i++) {
        ct_tensor *t = th->live[from + i];

        if (!t || !t->node || t == loss)
            continue;
        w[i] = (origin_watch){ &first, t };
        ct_register_hook(t, origin_look, &w[i], NULL);
    }
    ct_grad(1, &loss, 1, &leaf, NULL, false, &gradient);
    for (size_t i = 0; w && i < count; i++)
        if (w[i].t)
            ct_remove_hook(th->live[from + i], origin_look, &w[i]);
    cti_release(w);
    n = origin_reader(first ? first : leaf);
    return n ? origin_node(n, "the backward of ") : (cti_origin){ "" };
}
