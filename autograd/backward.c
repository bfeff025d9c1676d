/* SPDX-License-Identifier: MIT */
/* backward.c - backward passes: ct_backward and ct_grad.
 *
 * The tape is in the order of execution. So a walk backwards from a result reaches each node only
 * after all nodes that used its outputs. This needs no sorting and no recursion. Each node holds a
 * slot for the gradient of each output; a slot holds a reference. The gradient of a leaf is
 * gathered in a pending slot, which is added to the leaf only when the whole pass has succeeded.
 *
 * Each node's backward function runs in its own scope, so that its temporaries are freed at once.
 * After that scope, the gradients that it computed are dead handles, to which only the slots refer;
 * grad_revive makes a handle usable again before the next function or hook gets it. */
#include "autograd/engine.h"
#include "autograd/trace.h"

#include "tensor/hooks.h"

#include <cotangent/autograd/ops/elementwise.h>

/* The running pass, if any. It covers the tape from place `bottom` on. */
typedef struct cti_pass {
    bool create_graph;
    bool to_leaves;    /* true for ct_backward, false for ct_grad */
    ct_tensor *leaves; /* the leaves that the pass has touched */
    int wanted;        /* for ct_grad: the number of inputs, the inputs, and the array for their
                        * gradients */
    ct_tensor *const *want;
    ct_tensor **found;
    size_t bottom;
    int open; /* the number of nodes with pending slots */
    struct cti_pass *outer;
} pass;

/* Returns the first index, from k on, of t among the inputs of ct_grad; their count if t is not an
 * input. */
static int pass_wanted_from(const pass *p, const ct_tensor *t, int k)
{
    for (; k < p->wanted; k++) {
        const ct_tensor *w = p->want[k];

        if (t->node ? w->node == t->node && w->output == t->output : w->leaf && w->leaf == t->leaf)
            break;
    }
    return k;
}

/* True if the pass needs the gradient of input i, which exists. */
static inline bool pass_needs(const pass *p, const ct_node *n, int i)
{
    const ct_tensor *t = n->in[i].tensor;

    if (!n->in[i].wants)
        return false;
    if (!p || p->to_leaves)
        return true;
    if (t->node && t->node_at >= p->bottom)
        return t->node->marked;
    return pass_wanted_from(p, t, 0) < p->wanted;
}

bool ct_node_needs_grad(const ct_node *n, int i)
{
    return cti_given("ct_node_needs_grad", "n", n) && i >= 0 && i < n->inputs &&
           pass_needs(cti_thread()->pass, n, i);
}

/* ---- gradients that are added up ---- */

/* True if no other handle or node shares the gradient, so that it may be added to in place. */
static bool grad_is_exclusive(const ct_tensor *g)
{
    return atomic_load(&g->refs) == 1 && atomic_load(&g->storage->refs) == 1 && g->contiguous &&
           !g->node && !g->storage->foreign;
}

static void grad_replace(ct_tensor **slot, ct_tensor *g)
{
    if (g)
        cti_ref(g);
    if (*slot)
        cti_unref(*slot);
    *slot = g;
}

/* Adds g to *slot and takes over the reference to g. */
static void grad_accumulate(ct_tensor **slot, ct_tensor *g)
{
    const ct_tensor *in[2] = { *slot, g };
    ct_tensor *sum;

    if (!*slot) {
        grad_replace(slot, g);
    } else if (cti_creates_graph()) {
        sum = ct_add(*slot, g);
        if (sum)
            grad_replace(slot, sum);
    } else if (grad_is_exclusive(*slot)) {
        cti_elementwise(CTI_EW_add, *slot, 2, in, NULL);
    } else {
        sum = cti_new("ct_backward", g->shape, g->dtype, g->device);
        if (sum) {
            cti_elementwise(CTI_EW_add, sum, 2, in, NULL);
            grad_replace(slot, sum);
        }
    }
}

/* Raises an error, because a pass within a pass reached a node or leaf whose slots the outer pass
 * fills. */
static ct_tensor **pass_refuse_nested(const char *function)
{
    cti_raise_within(
        CT_ERR_GRAD, function,
        "a hook or backward function called backward on history that backward is running");
    return NULL;
}

/* Returns the slot for the gradient of a tensor with history. */
static ct_tensor **pass_node_slot(pass *p, const ct_tensor *t)
{
    ct_node *n = t->node;

    if (!p->to_leaves && !n->marked)
        return NULL;
    if (n->pending && n->pass != p)
        return pass_refuse_nested(n->op->name);
    if (!n->grad[t->output] && n->pending++ == 0) {
        n->pass = p;
        p->open++;
    }
    return &n->grad[t->output];
}

/* Returns the slot that gathers the gradient of t during this pass; NULL if the pass does not need
 * it. */
static ct_tensor **pass_slot_of(ct_tensor *t)
{
    pass *p = cti_thread()->pass;
    int k;

    if (t->node && t->node_at >= p->bottom)
        return pass_node_slot(p, t);
    if (!t->node && (!t->leaf || !t->requires_grad))
        return NULL;
    if (p->to_leaves) {
        cti_leaf_state *l = cti_leaf_of(t);

        if (l->pass && l->pass != p)
            return pass_refuse_nested("ct_backward");
        if (!l->pass) {
            cti_ref(t);
            l->pass = p;
            l->next = p->leaves;
            p->leaves = t;
        }
        return &l->pending;
    }
    k = pass_wanted_from(p, t, 0);
    return k < p->wanted ? &p->found[k] : NULL;
}

/* Adds g to the slot of t. If that fails, an empty slot stays empty and must not count as
 * filled. */
static void pass_give(ct_tensor *t, ct_tensor *g)
{
    ct_tensor **slot;

    if (!cti_ok())
        return;
    slot = pass_slot_of(t);
    if (slot)
        grad_accumulate(slot, g);
}

void ct_node_add_grad(ct_node *n, int i, ct_tensor *g)
{
    const ct_tensor *t;

    if (!cti_given("ct_node_add_grad", "n", n))
        return;
    if (i < 0 || i >= n->inputs) {
        cti_raise_within(CT_ERR_ARGUMENT, n->op->name,
                         "backward gave a gradient of input %d; the op has %d inputs", i,
                         n->inputs);
        return;
    }
    if (!g || !cti_usable_as(n->op->name, "a gradient", g) || !pass_needs(cti_thread()->pass, n, i))
        return;
    t = n->in[i].tensor;
    if (!cti_same_shape(&g->shape, &t->shape) || g->dtype != t->dtype || g->device != t->device) {
        cti_raise_within(CT_ERR_SHAPE, n->op->name,
                         "backward gave %s as the gradient of input %d %s; they must agree",
                         cti_describe(g).s, i, cti_describe(t).s);
        return;
    }
    if (cti_tracing)
        cti_trace_gradient(n, i, g);
    pass_give(n->in[i].tensor, g);
}

/* Returns the gradient in the slot as a contiguous tensor of t's shape that may be written in
 * place. An empty slot is filled with zeros. */
static ct_tensor *pass_own_slot(ct_tensor **slot, const ct_tensor *t)
{
    ct_tensor *own;

    if (*slot && grad_is_exclusive(*slot))
        return *slot;
    own = *slot ? cti_new("ct_backward", t->shape, t->dtype, t->device)
                : ct_zeros(t->shape, t->dtype, t->device);
    if (!own)
        return NULL;
    if (*slot)
        cti_copy(own, *slot);
    grad_replace(slot, own);
    return own;
}

void cti_add_grad_window(ct_node *n, int i, const cti_window *w, ct_tensor *d,
                         ct_tensor *(*scatter)(ct_node *n, ct_tensor *d))
{
    ct_tensor *t = n->in[i].tensor, *own, *part, **slot;
    const ct_tensor *in[2];

    if (!d || !ct_node_needs_grad(n, i))
        return;
    if (cti_creates_graph()) {
        ct_node_add_grad(n, i, scatter(n, d));
        return;
    }
    slot = cti_ok() ? pass_slot_of(t) : NULL;
    if (!slot)
        return;
    own = pass_own_slot(slot, t);
    part = own ? cti_view("ct_backward", own, w->shape, w->stride, w->offset) : NULL;
    if (!part)
        return;
    in[0] = part;
    in[1] = d;
    cti_elementwise(CTI_EW_add, part, 2, in, NULL);
}

/* ---- the pass ---- */

/* Calls the hook for the gradient g. Returns the result, which may be NULL. The hook may remove
 * itself or other hooks. */
static ct_tensor *pass_call_hook(cti_hook *h, ct_tensor *g)
{
    ct_storage *lent = g->storage; /* read-only: other gradients may share its memory */
    ct_tensor *r;

    h->running++;
    lent->read_only++;
    r = h->call(g, h->context);
    lent->read_only--;
    h->running--;
    return r;
}

static bool pass_check_hook(const ct_tensor *r, const ct_tensor *g)
{
    if (!cti_usable_as("ct_register_hook", "what a hook returned", r))
        return false;
    if (cti_same_shape(&r->shape, &g->shape) && r->dtype == g->dtype && r->device == g->device)
        return true;
    ct_raise(CT_ERR_SHAPE, "ct_register_hook",
             "a hook returned %s for a gradient %s; they must agree", cti_describe(r).s,
             cti_describe(g).s);
    return false;
}

static ct_tensor *pass_run_hooks(cti_hook **list, int output, ct_tensor *g)
{
    cti_hook *h = *list, *next;
    ct_tensor *r;

    for (; h && g; h = next) {
        r = h->output == output && !h->removed ? pass_call_hook(h, g) : NULL;
        next = h->next; /* read after the call, which may have changed the list */
        if (h->removed && !h->running)
            cti_hook_drop(list, h);
        if (!r)
            continue;
        if (!pass_check_hook(r, g))
            return g;
        g = r;
    }
    return g;
}

/* ct_grad: moves the gradient in the slot of an input with history to its result. */
static void pass_take_wanted(pass *p, const ct_node *n)
{
    int k;

    for (k = 0; k < p->wanted; k++) {
        const ct_tensor *w = p->want[k];

        if (w->node == n && n->grad[w->output])
            grad_accumulate(&p->found[k], n->grad[w->output]);
    }
}

static bool pass_needs_any(const pass *p, const ct_node *n)
{
    int i;

    for (i = 0; i < n->inputs; i++)
        if (pass_needs(p, n, i))
            return true;
    return false;
}

static void pass_call_backward(const pass *p, ct_node *n)
{
    if (!cti_ok() || !pass_needs_any(p, n))
        return;
    if (!p->create_graph && n->op->fused_backward)
        n->op->fused_backward(n, n->grad);
    else if (n->op->backward)
        n->op->backward(n, n->grad);
    else
        cti_raise_within(CT_ERR_GRAD, n->op->name, "has no %sderivative",
                         n->op->fused_backward ? "second " : "");
}

/* Makes the handle of a gradient in a slot usable again. It died with the scope of the node that
 * computed it, but the slot still refers to it. A tensor that a hook returned and the program then
 * freed stays dead. */
static void grad_revive(ct_tensor *g)
{
    if (g && !g->owner)
        cti_handle_revive(&g->handle);
}

static void pass_run_node(pass *p, ct_node *n)
{
    ct_thread *th = cti_thread();
    const char *site = th->site;
    ct_scope s = { 0, 0, 0 };
    uint64_t began = cti_tracing ? cti_nanoseconds() : 0;
    int i;

    th->site = n->site;
    if (!p->create_graph)
        s = cti_scope_push();
    for (i = 0; i < n->outputs; i++)
        grad_revive(n->grad[i]);
    if (n->hooks)
        for (i = 0; i < n->outputs; i++) {
            ct_tensor *g = pass_run_hooks(&n->hooks, i, n->grad[i]);

            if (g != n->grad[i])
                grad_replace(&n->grad[i], g);
        }
    pass_take_wanted(p, n);
    pass_call_backward(p, n);
    if (cti_tracing && !p->outer)
        cti_trace_backward(n, began);
    cti_scope_pop(s); /* does nothing if no scope was opened */
    th->site = site;
}

static void pass_drop_grads(ct_node *n)
{
    int i;

    for (i = 0; i < n->outputs; i++)
        if (n->grad[i]) {
            cti_unref(n->grad[i]);
            n->grad[i] = NULL;
        }
    n->pending = 0;
}

/* Walks the tape down from its top at the start of the pass until nothing is pending. */
static void pass_walk(pass *p, size_t top)
{
    ct_thread *th = cti_thread();

    while (p->open > 0 && top > 0) {
        ct_node *n = th->tape[--top];

        if (!n->pending)
            continue;
        if (cti_ok())
            pass_run_node(p, n);
        pass_drop_grads(n);
        p->open--;
    }
}

static void pass_begin(pass *p)
{
    ct_thread *th = cti_thread();

    p->outer = th->pass;
    th->pass = p;
}

static void pass_end(pass *p)
{
    cti_thread()->pass = p->outer;
}

bool cti_in_pass(void)
{
    return cti_thread()->pass != NULL;
}

bool cti_creates_graph(void)
{
    const pass *p = cti_thread()->pass;

    return p && p->create_graph;
}

/* Prepares all memory for adding l->pending to l->grad, because the commit over all leaves must not
 * fail half way. A leaf's gradient shares its storage with no other tensor, so it may be scaled in
 * place. */
static void leaf_prepare(cti_leaf_state *l)
{
    ct_tensor *final, *sum;

    grad_revive(l->pending);
    final = pass_run_hooks(&l->hooks, 0, l->pending);
    grad_replace(&l->pending, final);
    if (!cti_ok() || (l->grad && grad_is_exclusive(l->grad)))
        return;
    if (!l->grad && grad_is_exclusive(final)) {
        l->sum = l->pending; /* takes over the reference */
        l->pending = NULL;
        return;
    }
    sum = cti_new("ct_backward", final->shape, final->dtype, final->device);
    if (!sum)
        return;
    if (l->grad)
        cti_elementwise(CTI_EW_add, sum, 2, (const ct_tensor *[]){ l->grad, final }, NULL);
    else
        cti_copy(sum, final);
    grad_replace(&l->sum, sum);
}

/* Adds the pending gradient. Cannot fail, because leaf_prepare has allocated all memory. */
static void leaf_commit(cti_leaf_state *l)
{
    if (l->sum)
        grad_replace(&l->grad, l->sum);
    else if (l->pending)
        cti_elementwise(CTI_EW_add, l->grad, 2, (const ct_tensor *[]){ l->grad, l->pending }, NULL);
}

/* Adds the pending gradients to the gradients of the leaves. After an error, no gradient
 * changes. */
static void pass_settle_leaves(pass *p)
{
    ct_scope s = cti_scope_push();
    ct_tensor *t;
    bool good;

    for (t = p->leaves; t && cti_ok(); t = cti_leaf_of(t)->next)
        if (cti_leaf_of(t)->pending)
            leaf_prepare(cti_leaf_of(t));
    good = cti_ok();
    while (p->leaves) {
        cti_leaf_state *l = cti_leaf_of(t = p->leaves);

        if (good)
            leaf_commit(l);
        grad_replace(&l->pending, NULL);
        grad_replace(&l->sum, NULL);
        p->leaves = l->next;
        l->next = NULL;
        l->pass = NULL;
        cti_unref(t);
    }
    cti_scope_pop(s);
}

static ct_tensor *pass_root_gradient(const char *function, const ct_tensor *t, ct_tensor *given)
{
    if (!given) {
        if (t->numel != 1) {
            ct_raise(CT_ERR_SHAPE, function,
                     "%s has more than one element; its gradient must be given", cti_describe(t).s);
            return NULL;
        }
        return ct_ones(t->shape, t->dtype, t->device);
    }
    if (!cti_usable_as(function, "the gradient", given))
        return NULL;
    if (!cti_same_shape(&given->shape, &t->shape) || given->dtype != t->dtype ||
        given->device != t->device) {
        ct_raise(CT_ERR_SHAPE, function, "the gradient given for %s is %s; they must agree",
                 cti_describe(t).s, cti_describe(given).s);
        return NULL;
    }
    return given;
}

bool cti_check_history(const char *function, const char *name, const ct_tensor *t)
{
    if (!cti_usable_as(function, name, t))
        return false;
    if (!t->requires_grad) {
        ct_raise(CT_ERR_GRAD, function, "%s has no history and requires no gradient",
                 cti_describe(t).s);
        return false;
    }
    if (t->node && !cti_on_this_tape(cti_thread(), t)) {
        ct_raise(CT_ERR_SCOPE, function, "%s has history of another thread or of an ended scope",
                 cti_describe(t).s);
        return false;
    }
    return true;
}

static ct_status backward_run(const char *function, const char *name, ct_tensor *t,
                              ct_tensor *given)
{
    pass p = { .to_leaves = true };
    ct_scope s;
    ct_tensor *g;

    if (!cti_sink_allowed())
        return ct_error();
    if (!cti_check_history(function, name, t))
        return ct_error();
    s = cti_scope_push();
    g = pass_root_gradient(function, t, given);
    if (g) {
        pass_begin(&p);
        pass_give(t, g);
        pass_walk(&p, t->node ? t->node_at + 1 : 0);
        pass_settle_leaves(&p);
        pass_end(&p);
    }
    cti_scope_pop(s);
    return ct_error();
}

ct_status ct_backward(ct_tensor *loss)
{
    if (!loss && cti_ok())
        return ct_raise(CT_ERR_ARGUMENT, "ct_backward",
                        "loss is NULL; a function returned NULL without an error");
    return backward_run("ct_backward", "loss", loss, NULL);
}

ct_status ct_backward_with(ct_tensor *t, ct_tensor *gradient)
{
    static const char *const me = "ct_backward_with";

    if (!cti_sink_allowed() || !cti_given(me, "gradient", gradient) ||
        !cti_optional_as(me, "the gradient", gradient))
        return ct_error();
    return backward_run(me, "t", t, gradient);
}

/* Marks the nodes that lie on a path from an output to an input of ct_grad. */
static void pass_mark_paths(const pass *p, size_t top)
{
    const ct_thread *th = cti_thread();
    size_t at;
    int i, k;

    for (at = p->bottom; at < top; at++) {
        ct_node *n = th->tape[at];

        n->marked = false;
        for (k = 0; k < p->wanted && !n->marked; k++)
            n->marked = p->want[k]->node == n;
        for (i = 0; i < n->inputs && !n->marked; i++)
            n->marked = pass_needs(p, n, i);
    }
}

static bool grad_check_arguments(int outputs_count, ct_tensor *const *outputs, int inputs_count,
                                 ct_tensor *const *inputs, ct_tensor *const *grad_outputs)
{
    const pass *p;
    int i;

    if (outputs_count < 1 || inputs_count < 1) {
        ct_raise(CT_ERR_ARGUMENT, "ct_grad", "%s is %d; it must be at least 1",
                 outputs_count < 1 ? "outputs_count" : "inputs_count",
                 outputs_count < 1 ? outputs_count : inputs_count);
        return false;
    }
    for (p = cti_thread()->pass; p; p = p->outer)
        if (!p->to_leaves) {
            ct_raise(CT_ERR_GRAD, "ct_grad",
                     "a hook or backward function of ct_grad must not call ct_grad");
            return false;
        }
    if (!cti_usable_all("ct_grad", "outputs", outputs_count, outputs) ||
        !cti_usable_all("ct_grad", "inputs", inputs_count, inputs))
        return false;
    for (i = 0; grad_outputs && i < outputs_count; i++)
        if (!cti_optional_as("ct_grad", "the gradient", grad_outputs[i]))
            return false;
    for (i = 0; i < outputs_count; i++)
        if (!cti_check_history("ct_grad", "an output", outputs[i]))
            return false;
    for (i = 0; i < inputs_count; i++)
        if (!cti_check_history("ct_grad", "an input", inputs[i]))
            return false;
    return true;
}

/* Returns the position on the tape after the node of the newest output. */
static size_t pass_top_of(int count, ct_tensor *const *outputs)
{
    size_t top = 0;
    int i;

    for (i = 0; i < count; i++)
        if (outputs[i]->node && outputs[i]->node_at >= top)
            top = outputs[i]->node_at + 1;
    return top;
}

/* Returns a handle of the innermost scope for gradient g, and takes over the reference to g. */
static ct_tensor *grad_hand_out(ct_tensor *g)
{
    ct_tensor *out;

    if (g->node)
        out = cti_alias(g);
    else if (g->requires_grad)
        out = g; /* g is a leaf that the caller gave as the gradient of an output */
    else
        out = cti_view("ct_grad", g, g->shape, g->stride, g->offset);
    cti_unref(g);
    return out;
}

void cti_grad(size_t bottom, int outputs_count, ct_tensor *const *outputs, int inputs_count,
              ct_tensor *const *inputs, ct_tensor *const *grad_outputs, bool create_graph,
              ct_tensor **grads)
{
    pass p = { .create_graph = create_graph,
               .wanted = inputs_count,
               .want = inputs,
               .found = grads,
               .bottom = bottom };
    size_t top = pass_top_of(outputs_count, outputs);
    bool was = ct_set_grad_enabled(create_graph);
    int i;

    pass_begin(&p);
    pass_mark_paths(&p, top);
    for (i = 0; i < outputs_count; i++) {
        ct_tensor *given = grad_outputs ? grad_outputs[i] : NULL;
        ct_tensor *g = pass_root_gradient("ct_grad", outputs[i], given);

        if (g)
            pass_give(outputs[i], g);
    }
    pass_walk(&p, top);
    for (i = 0; i < inputs_count; i++)
        if (grads[i])
            grads[i] = grad_hand_out(grads[i]);
    pass_end(&p);
    ct_set_grad_enabled(was);
}

/* Returns g, or a copy if another result, the tape or a given gradient shares its memory. A
 * gradient with history keeps its history and needs no copy, because in-place writes of it are
 * refused. */
static ct_tensor *grad_own(ct_tensor *g, bool create_graph)
{
    ct_tensor *own;

    if (g->node || (create_graph && g->requires_grad) ||
        (!g->requires_grad && grad_is_exclusive(g)))
        return g;
    own = cti_new("ct_grad", g->shape, g->dtype, g->device);
    if (own)
        cti_copy(own, g);
    return own;
}

/* Makes every result a tensor of the caller's scope. An input that no gradient reached gets zeros.
 * An input that is listed twice gets the same gradient twice. */
static void grad_finish(int count, ct_tensor *const *inputs, ct_tensor **found, bool create_graph)
{
    int i, k;

    for (i = 0; i < count && cti_ok(); i++) {
        if (found[i]) {
            found[i] = grad_own(found[i], create_graph);
            continue;
        }
        for (k = 0; k < i && !(inputs[i]->leaf && inputs[k]->leaf == inputs[i]->leaf); k++)
            ;
        found[i] = ct_zeros(inputs[i]->shape, inputs[i]->dtype, inputs[i]->device);
        if (k < i && found[i] && found[k]->node)
            found[i] = found[k];
        else if (k < i && found[i])
            cti_copy(found[i], found[k]);
    }
}

ct_status ct_grad(int outputs_count, ct_tensor *const *outputs, int inputs_count,
                  ct_tensor *const *inputs, ct_tensor *const *grad_outputs, bool create_graph,
                  ct_tensor **grads)
{
    ct_tensor **found = NULL; /* a separate array, because grads may be the same array as outputs */
    int i;

    if (!cti_given_array("ct_grad", "grads", inputs_count, grads))
        return ct_error();
    if (cti_sink_allowed() &&
        grad_check_arguments(outputs_count, outputs, inputs_count, inputs, grad_outputs)) {
        found = cti_calloc((size_t)inputs_count, sizeof *found);
        if (!found)
            cti_out_of_memory("ct_grad", (size_t)inputs_count * sizeof *found);
    }
    if (found) {
        cti_grad(0, outputs_count, outputs, inputs_count, inputs, grad_outputs, create_graph,
                 found);
        grad_finish(inputs_count, inputs, found, create_graph);
    }
    for (i = 0; i < inputs_count; i++)
        grads[i] = found && cti_ok() ? found[i] : NULL;
    cti_release(found);
    return ct_error();
}
