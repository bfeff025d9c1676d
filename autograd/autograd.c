/* autograd.c - the tape and the engine.
 *
 * The tape is in order of execution, so walking it backwards from a result meets every node after
 * all that used its outputs: no sorting, no recursion. Each node holds a slot for the gradient of
 * each output; leaves collect theirs in a pending slot that is added to the leaf only when the
 * whole pass went well. */
#include "autograd/internal.h"
#include "autograd/trace.h"

#include "tensor/hooks.h"

#include <cotangent/autograd/ops/elementwise.h>

#include <string.h>

#define MOST_INPUTS 65536

/* What hangs on a leaf. */
typedef struct leaf_state {
    cti_leaf base;
    ct_tensor *grad;       /* a reference, contiguous; NULL for none */
    ct_tensor *pending;    /* of the pass that is running */
    ct_tensor *next;       /* leaves touched by it, */
    struct cti_pass *pass; /* which it is */
    ct_tensor *sum;        /* what replaces grad when the pass went well; NULL: pending is added */
    cti_hook *hooks;
} leaf_state;

/* The pass that is running, if any. It meets nodes from number bottom of the tape on. */
typedef struct cti_pass {
    bool create_graph;
    bool to_leaves;    /* ct_backward; else ct_grad */
    ct_tensor *leaves; /* touched */
    int wanted;        /* ct_grad: inputs and where their gradients go */
    ct_tensor *const *want;
    ct_tensor **found;
    size_t bottom;
    int open; /* nodes with pending slots */
    struct cti_pass *outer;
} pass;

static _Thread_local pass *running;

/* ---- nodes ---- */

#define NODE_UNIT 128
#define NODE_CLASSES 16

typedef struct node_pool {
    ct_node *idle[NODE_CLASSES];
} node_pool;

static void free_hooks(cti_hook *h)
{
    while (h) {
        cti_hook *next = h->next;

        cti_release(h);
        h = next;
    }
}

/* Its slots are empty: a pass leaves none filled. */
static void node_free(ct_thread *th, ct_node *n)
{
    node_pool *pool = th->node_pool;
    size_t c = n->bytes / NODE_UNIT;
    int i;

    for (i = 0; i < n->inputs; i++)
        if (n->in[i].tensor)
            cti_unref(n->in[i].tensor);
    for (i = 0; i < n->outputs; i++)
        if (n->out[i].tensor)
            cti_unref(n->out[i].tensor);
    free_hooks(n->hooks);
    if (pool && c < NODE_CLASSES && th->keeps_idle) {
        n->next_free = pool->idle[c];
        pool->idle[c] = n;
    } else {
        cti_release(n);
    }
}

static void tape_pop(ct_thread *th, size_t mark)
{
    while (th->tape_count > mark)
        node_free(th, th->tape[--th->tape_count]);
}

static void tape_free(ct_thread *th)
{
    node_pool *pool = th->node_pool;
    int c;

    for (c = 0; pool && c < NODE_CLASSES; c++)
        while (pool->idle[c]) {
            ct_node *n = pool->idle[c];

            pool->idle[c] = n->next_free;
            cti_release(n);
        }
    cti_release(pool);
    th->node_pool = NULL;
}

static size_t align8(size_t n)
{
    return (n + 15) & ~(size_t)15;
}

static ct_node *node_new(int inputs, int outputs, size_t attributes)
{
    ct_thread *th = cti_thread();
    node_pool *pool = th->node_pool;
    size_t head = align8(sizeof(ct_node)), ins = align8((size_t)inputs * sizeof(cti_edge));
    size_t outs = align8((size_t)outputs * sizeof(cti_edge));
    size_t grads = align8((size_t)outputs * sizeof(ct_tensor *));
    size_t bytes = head + ins + outs + grads + align8(attributes), c;
    ct_node *n = NULL;
    char *p;

    if (!pool) {
        th->node_pool = pool = cti_calloc(1, sizeof *pool);
        th->tape_pop = tape_pop;
        th->tape_free = tape_free;
    }
    bytes = (bytes + NODE_UNIT - 1) / NODE_UNIT * NODE_UNIT;
    c = bytes / NODE_UNIT;
    if (pool && c < NODE_CLASSES && pool->idle[c]) {
        n = pool->idle[c];
        pool->idle[c] = n->next_free;
    } else {
        n = cti_memory_calls.allocate(sizeof(void *), bytes);
    }
    if (!n) {
        cti_out_of_memory("ct_record", bytes);
        return NULL;
    }
    memset(n, 0, head + ins + outs + grads);
    p = (char *)n;
    n->bytes = bytes;
    n->inputs = inputs;
    n->outputs = outputs;
    n->in = (cti_edge *)(p + head);
    n->out = (cti_edge *)(p + head + ins);
    n->grad = (ct_tensor **)(p + head + ins + outs);
    n->attributes = p + head + ins + outs + grads;
    return n;
}

/* ---- recording ---- */

bool ct_grad_enabled(void)
{
    return cti_thread()->recording;
}

bool ct_set_grad_enabled(bool on)
{
    ct_thread *th = cti_thread();
    bool was = th->recording;

    th->recording = on;
    return was;
}

ct_scope ct_scope_begin_no_grad(void)
{
    return cti_scope_push();
}

bool ct_tensor_requires_grad(const ct_tensor *t)
{
    return t && t->requires_grad;
}

bool cti_will_record(int inputs_count, ct_tensor *const *inputs)
{
    int i;

    if (!cti_thread()->recording)
        return false;
    for (i = 0; i < inputs_count; i++)
        if (inputs[i] && inputs[i]->requires_grad)
            return true;
    return false;
}

static unsigned version_of(const ct_tensor *t)
{
    return atomic_load_explicit(&t->storage->version, memory_order_relaxed);
}

static void hold(cti_edge *e, ct_tensor *t)
{
    cti_ref(t);
    e->tensor = t;
    e->version = version_of(t);
}

/* History of another thread, or of a scope that has ended, is not on this tape. */
static bool on_this_tape(const ct_thread *th, const ct_tensor *t)
{
    size_t low, high;

    if (t->node_scope < 1 || t->node_scope > th->depth)
        return false;
    low = th->frames[t->node_scope - 1].tape;
    high = t->node_scope < th->depth ? th->frames[t->node_scope].tape : th->tape_count;
    return t->node_at >= low && t->node_at < high && th->tape[t->node_at] == t->node;
}

static bool check_record(const ct_op *op, int inputs_count, ct_tensor *const *inputs,
                         int outputs_count, ct_tensor *const *outputs)
{
    const ct_thread *th = cti_thread();
    int i;

    if ((op->inputs >= 0 && op->inputs != inputs_count) ||
        (op->outputs >= 0 && op->outputs != outputs_count) || inputs_count < 0 ||
        inputs_count > MOST_INPUTS || outputs_count < 1 || outputs_count > MOST_INPUTS) {
        cti_raise_within(CT_ERR_ARGUMENT, op->name,
                         "%d inputs and %d outputs recorded for an op of %d, %d", inputs_count,
                         outputs_count, op->inputs, op->outputs);
        return false;
    }
    for (i = 0; i < outputs_count; i++)
        if (outputs[i]->node || outputs[i]->requires_grad || outputs[i]->owned) {
            cti_raise_within(
                CT_ERR_ARGUMENT, op->name,
                "output %d %s is no fresh result: it has history, is a leaf or is owned", i,
                cti_describe(outputs[i]).s);
            return false;
        }
    for (i = 0; i < inputs_count; i++)
        if (inputs[i] && inputs[i]->node && !on_this_tape(th, inputs[i])) {
            cti_raise_within(
                CT_ERR_SCOPE, op->name,
                "input %d %s has history of another thread or of an ended scope; detach it", i,
                cti_describe(inputs[i]).s);
            return false;
        }
    return true;
}

bool ct_record(const ct_op *op, int inputs_count, ct_tensor *const *inputs, int outputs_count,
               ct_tensor *const *outputs, const void *attributes, size_t bytes)
{
    ct_thread *th = cti_thread();
    ct_node *n;
    int i;

    for (i = 0; i < outputs_count; i++)
        if (!outputs[i])
            return false;
    if (cti_tracing)
        cti_trace_op(op->name, inputs_count, inputs, outputs_count, outputs);
    if (!cti_will_record(inputs_count, inputs))
        return true;
    if (!check_record(op, inputs_count, inputs, outputs_count, outputs) ||
        !cti_grow((void **)&th->tape, &th->tape_room, th->tape_count, sizeof *th->tape))
        return false;
    n = node_new(inputs_count, outputs_count, bytes);
    if (!n)
        return false;
    n->op = op;
    n->site = th->site;
    if (bytes)
        memcpy(n->attributes, attributes, bytes);
    for (i = 0; i < inputs_count; i++) {
        ct_tensor *t = inputs[i];

        if (!t)
            continue;
        n->in[i].wants = t->requires_grad;
        if (t->requires_grad || op->saves & CT_SAVE_INPUTS)
            hold(&n->in[i], t);
    }
    for (i = 0; i < outputs_count; i++) {
        if (op->saves & CT_SAVE_OUTPUTS)
            hold(&n->out[i], outputs[i]);
        outputs[i]->node = n;
        outputs[i]->output = i;
        outputs[i]->node_scope = th->depth;
        outputs[i]->node_at = th->tape_count;
        outputs[i]->requires_grad = 1;
    }
    th->tape[th->tape_count++] = n;
    return true;
}

void cti_not_recorded(const char *name, int inputs_count, ct_tensor *const *inputs, ct_tensor *y)
{
    if (cti_tracing)
        cti_trace_op(name, inputs_count, inputs, 1, &y);
}

/* ---- what backward functions ask ---- */

static ct_tensor *saved(ct_node *n, const cti_edge *edges, int count, bool allowed,
                        const char *what, int i)
{
    const cti_edge *e = &edges[i];

    if (i < 0 || i >= count) {
        cti_raise_within(CT_ERR_ARGUMENT, n->op->name, "there is no %s %d for backward", what, i);
        return NULL;
    }
    if (!e->tensor || !allowed) {
        cti_raise_within(CT_ERR_GRAD, n->op->name, "%s %d was not saved for backward", what, i);
        return NULL;
    }
    if (e->version != version_of(e->tensor)) {
        const char *at = e->tensor->storage->written_at;

        cti_raise_within(CT_ERR_GRAD, n->op->name,
                         "%s %d %s was needed by backward but was modified in place%s%s", what, i,
                         cti_describe(e->tensor).s, at ? " at " : "", at ? at : "");
        return NULL;
    }
    return e->tensor->popped ? cti_alias(e->tensor) : e->tensor;
}

ct_tensor *ct_node_input(ct_node *n, int i)
{
    return saved(n, n->in, n->inputs, n->op->saves & CT_SAVE_INPUTS, "input", i);
}

ct_tensor *ct_node_output(ct_node *n, int i)
{
    return saved(n, n->out, n->outputs, n->op->saves & CT_SAVE_OUTPUTS, "output", i);
}

ct_shape ct_node_input_shape(const ct_node *n, int i)
{
    return i >= 0 && i < n->inputs && n->in[i].tensor ? n->in[i].tensor->shape : CT_SCALAR;
}

int ct_node_input_count(const ct_node *n)
{
    return n->inputs;
}

const void *ct_node_attributes(const ct_node *n)
{
    return n->attributes;
}

/* The number of t among what ct_grad wants, from k on; the count of them if it is not there. */
static int wanted_from(const pass *p, const ct_tensor *t, int k)
{
    for (; k < p->wanted; k++) {
        const ct_tensor *w = p->want[k];

        if (t->node ? w->node == t->node && w->output == t->output : w->leaf && w->leaf == t->leaf)
            break;
    }
    return k;
}

bool ct_node_needs_grad(const ct_node *n, int i)
{
    const pass *p = running;
    const ct_tensor *t;

    if (i < 0 || i >= n->inputs || !n->in[i].wants)
        return false;
    t = n->in[i].tensor;
    if (!p || p->to_leaves)
        return true;
    if (t->node && t->node_at >= p->bottom)
        return t->node->marked;
    return wanted_from(p, t, 0) < p->wanted;
}

/* ---- leaves ---- */

static void leaf_free(cti_leaf *base)
{
    leaf_state *l = (leaf_state *)base;

    if (l->grad)
        cti_unref(l->grad);
    if (l->pending)
        cti_unref(l->pending);
    free_hooks(l->hooks);
    cti_release(l);
}

static leaf_state *leaf_of(const ct_tensor *t)
{
    return (leaf_state *)t->leaf;
}

ct_tensor *ct_set_requires_grad(ct_tensor *t, bool on)
{
    leaf_state *l;

    if (!cti_usable("ct_set_requires_grad", t))
        return NULL;
    if (t->node) {
        ct_raise(CT_ERR_GRAD, "ct_set_requires_grad", "t %s has history, so is no leaf",
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
        l->base.free = leaf_free;
        t->leaf = &l->base;
    }
    t->requires_grad = on;
    return t;
}

ct_tensor *cti_leaf_grad(const ct_tensor *leaf)
{
    return leaf && leaf->leaf ? leaf_of(leaf)->grad : NULL;
}

ct_tensor *ct_tensor_grad(ct_tensor *leaf)
{
    ct_tensor *g = cti_leaf_grad(leaf);

    return g ? cti_view("ct_tensor_grad", g, g->shape, g->stride, g->offset) : NULL;
}

void ct_tensor_zero_grad(ct_tensor *leaf)
{
    if (cti_leaf_grad(leaf)) {
        cti_unref(leaf_of(leaf)->grad);
        leaf_of(leaf)->grad = NULL;
    }
}

ct_status ct_register_hook(ct_tensor *t, ct_grad_hook call, void *context)
{
    cti_hook *h, **end;

    if (!cti_usable("ct_register_hook", t) || !call)
        return ct_ok() ? ct_raise(CT_ERR_ARGUMENT, "ct_register_hook", "t or hook is NULL")
                       : ct_error();
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
    end = t->node ? &t->node->hooks : &leaf_of(t)->hooks;
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

/* ---- gradients that add up ---- */

/* Nobody else can see it, so it may be added to in place. */
static bool exclusive(const ct_tensor *g)
{
    return atomic_load(&g->refs) == 1 && atomic_load(&g->storage->refs) == 1 && g->contiguous &&
           !g->node;
}

static void replace(ct_tensor **slot, ct_tensor *g)
{
    if (g)
        cti_ref(g);
    if (*slot)
        cti_unref(*slot);
    *slot = g;
}

/* *slot += g */
static void accumulate(ct_tensor **slot, ct_tensor *g)
{
    const ct_tensor *in[2] = { *slot, g };
    ct_tensor *sum;

    if (!*slot) {
        replace(slot, g);
    } else if (running && running->create_graph) {
        sum = ct_add(*slot, g);
        if (sum)
            replace(slot, sum);
    } else if (exclusive(*slot)) {
        cti_elementwise(CTI_EW_add, *slot, 2, in, NULL);
    } else {
        sum = cti_new("ct_backward", g->shape, g->dtype, g->device);
        if (sum) {
            cti_elementwise(CTI_EW_add, sum, 2, in, NULL);
            replace(slot, sum);
        }
    }
}

/* One pass at a time may fill the slots of a node or a leaf. */
static ct_tensor **refuse_nested(const char *function)
{
    cti_raise_within(CT_ERR_GRAD, function,
                     "a hook or backward function runs backward through history that is being run");
    return NULL;
}

/* The slot of a result with history. */
static ct_tensor **node_slot(pass *p, const ct_tensor *t)
{
    ct_node *n = t->node;

    if (!p->to_leaves && !n->marked)
        return NULL;
    if (n->pending && n->pass != p)
        return refuse_nested(n->op->name);
    if (!n->grad[t->output] && n->pending++ == 0) {
        n->pass = p;
        p->open++;
    }
    return &n->grad[t->output];
}

/* Where the gradient of t is gathered during this pass; NULL if nobody wants it. */
static ct_tensor **slot_of(ct_tensor *t)
{
    pass *p = running;
    int k;

    if (t->node && t->node_at >= p->bottom)
        return node_slot(p, t);
    if (!t->node && (!t->leaf || !t->requires_grad))
        return NULL;
    if (p->to_leaves) {
        leaf_state *l = leaf_of(t);

        if (l->pass && l->pass != p)
            return refuse_nested("ct_backward");
        if (!l->pass) {
            cti_ref(t);
            l->pass = p;
            l->next = p->leaves;
            p->leaves = t;
        }
        return &l->pending;
    }
    k = wanted_from(p, t, 0);
    return k < p->wanted ? &p->found[k] : NULL;
}

/* A slot that stays empty must not count as filled. */
static void give(ct_tensor *t, ct_tensor *g)
{
    ct_tensor **slot;

    if (!ct_ok())
        return;
    slot = slot_of(t);
    if (slot)
        accumulate(slot, g);
}

void ct_node_add_grad(ct_node *n, int i, ct_tensor *g)
{
    const ct_tensor *t;

    if (i < 0 || i >= n->inputs) {
        cti_raise_within(CT_ERR_ARGUMENT, n->op->name, "backward gave a gradient of input %d of %d",
                         i, n->inputs);
        return;
    }
    if (!g || !ct_node_needs_grad(n, i))
        return;
    t = n->in[i].tensor;
    if (!cti_same_shape(&g->shape, &t->shape) || g->dtype != t->dtype || g->device != t->device) {
        cti_raise_within(CT_ERR_SHAPE, n->op->name,
                         "backward gave %s as the gradient of input %d %s", cti_describe(g).s, i,
                         cti_describe(t).s);
        return;
    }
    if (cti_tracing)
        cti_trace_gradient(n, i, g);
    give(n->in[i].tensor, g);
}

/* A contiguous gradient of t's shape in its slot that may be written in place. */
static ct_tensor *own_slot(ct_tensor **slot, const ct_tensor *t)
{
    ct_tensor *own;

    if (*slot && exclusive(*slot))
        return *slot;
    own = *slot ? cti_new("ct_backward", t->shape, t->dtype, t->device)
                : ct_zeros(t->shape, t->dtype, t->device);
    if (!own)
        return NULL;
    if (*slot)
        cti_copy(own, *slot);
    replace(slot, own);
    return own;
}

void cti_add_grad_window(ct_node *n, int i, const cti_window *w, ct_tensor *d,
                         ct_tensor *(*scatter)(ct_node *n, ct_tensor *d))
{
    ct_tensor *t = n->in[i].tensor, *own, *part, **slot;
    const ct_tensor *in[2];

    if (!d || !ct_node_needs_grad(n, i))
        return;
    if (running->create_graph) {
        ct_node_add_grad(n, i, scatter(n, d));
        return;
    }
    slot = ct_ok() ? slot_of(t) : NULL;
    if (!slot)
        return;
    own = own_slot(slot, t);
    part = own ? cti_view("ct_backward", own, w->shape, w->stride, w->offset) : NULL;
    if (!part)
        return;
    in[0] = part;
    in[1] = d;
    cti_elementwise(CTI_EW_add, part, 2, in, NULL);
}

/* ---- the pass ---- */

static ct_tensor *run_hooks(cti_hook *h, int output, ct_tensor *g)
{
    for (; h && g; h = h->next) {
        ct_tensor *r;

        if (h->output != output)
            continue;
        r = h->call(g, h->context);
        if (!r)
            continue;
        if (!cti_same_shape(&r->shape, &g->shape) || r->dtype != g->dtype ||
            r->device != g->device) {
            ct_raise(CT_ERR_SHAPE, "ct_register_hook", "a hook gave %s for a gradient %s",
                     cti_describe(r).s, cti_describe(g).s);
            return g;
        }
        g = r;
    }
    return g;
}

/* ct_grad: an input with history takes the gradient that has gathered in its slot. */
static void take_wanted(pass *p, const ct_node *n)
{
    int k;

    for (k = 0; k < p->wanted; k++) {
        const ct_tensor *w = p->want[k];

        if (w->node == n && n->grad[w->output])
            accumulate(&p->found[k], n->grad[w->output]);
    }
}

static bool needs_any(const ct_node *n)
{
    int i;

    for (i = 0; i < n->inputs; i++)
        if (ct_node_needs_grad(n, i))
            return true;
    return false;
}

static void call_backward(const pass *p, ct_node *n)
{
    if (!ct_ok() || !needs_any(n))
        return;
    if (!p->create_graph && n->op->fused_backward)
        n->op->fused_backward(n, n->grad);
    else if (n->op->backward)
        n->op->backward(n, n->grad);
    else
        cti_raise_within(CT_ERR_GRAD, n->op->name, "has no derivative%s",
                         n->op->fused_backward ? " of its derivative" : "");
}

/* A gradient outlives the scope of the node that gave it: its slot owns it now, so that it may be
 * used (debug builds look at this). */
static void own_gradient(ct_tensor *g)
{
    if (g)
        g->popped = 0;
}

static void run_node(pass *p, ct_node *n)
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
        own_gradient(n->grad[i]);
    if (n->hooks)
        for (i = 0; i < n->outputs; i++) {
            ct_tensor *g = run_hooks(n->hooks, i, n->grad[i]);

            if (g != n->grad[i])
                replace(&n->grad[i], g);
        }
    take_wanted(p, n);
    call_backward(p, n);
    if (cti_tracing && !p->outer)
        cti_trace_backward(n, began);
    cti_scope_pop(s); /* nothing, if none was begun */
    th->site = site;
}

static void drop_grads(ct_node *n)
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
static void walk_tape(pass *p, size_t top)
{
    ct_thread *th = cti_thread();

    while (p->open > 0 && top > 0) {
        ct_node *n = th->tape[--top];

        if (!n->pending)
            continue;
        if (ct_ok())
            run_node(p, n);
        drop_grads(n);
        p->open--;
    }
}

static void begin_pass(pass *p)
{
    p->outer = running;
    running = p;
}

static void end_pass(pass *p)
{
    running = p->outer;
}

bool cti_in_pass(void)
{
    return running != NULL;
}

bool cti_creates_graph(void)
{
    return running && running->create_graph;
}

/* Makes all that adding l->pending to l->grad needs: it must not fail half way through the leaves.
 * A leaf's gradient is its own: nothing else shares its storage, so it may be scaled in place. */
static void prepare_leaf(leaf_state *l)
{
    ct_tensor *final, *sum;

    own_gradient(l->pending);
    final = run_hooks(l->hooks, 0, l->pending);
    replace(&l->pending, final);
    if (!ct_ok() || (l->grad && exclusive(l->grad)))
        return;
    if (!l->grad && exclusive(final)) {
        l->sum = l->pending; /* the reference moves */
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
    replace(&l->sum, sum);
}

/* Cannot fail. */
static void commit_leaf(leaf_state *l)
{
    if (l->sum)
        replace(&l->grad, l->sum);
    else if (l->pending)
        cti_elementwise(CTI_EW_add, l->grad, 2, (const ct_tensor *[]){ l->grad, l->pending }, NULL);
}

/* Adds what leaves have gathered to their gradients: to all of them, or after an error to none. */
static void settle_leaves(pass *p)
{
    ct_scope s = cti_scope_push();
    ct_tensor *t;
    bool good;

    for (t = p->leaves; t && ct_ok(); t = leaf_of(t)->next)
        if (leaf_of(t)->pending)
            prepare_leaf(leaf_of(t));
    good = ct_ok();
    while (p->leaves) {
        leaf_state *l = leaf_of(t = p->leaves);

        if (good)
            commit_leaf(l);
        replace(&l->pending, NULL);
        replace(&l->sum, NULL);
        p->leaves = l->next;
        l->next = NULL;
        l->pass = NULL;
        cti_unref(t);
    }
    cti_scope_pop(s);
}

static ct_tensor *root_gradient(const char *function, const ct_tensor *t, ct_tensor *given)
{
    if (!given) {
        if (t->numel != 1) {
            ct_raise(CT_ERR_SHAPE, function,
                     "%s has more than one element: its gradient must be given", cti_describe(t).s);
            return NULL;
        }
        return ct_ones(t->shape, t->dtype, t->device);
    }
    if (!cti_same_shape(&given->shape, &t->shape) || given->dtype != t->dtype ||
        given->device != t->device) {
        ct_raise(CT_ERR_SHAPE, function, "the gradient given for %s is %s", cti_describe(t).s,
                 cti_describe(given).s);
        return NULL;
    }
    return given;
}

bool cti_check_history(const char *function, const ct_tensor *t)
{
    if (!cti_usable(function, t)) {
        if (ct_ok())
            ct_raise(CT_ERR_ARGUMENT, function, "the tensor is NULL");
        return false;
    }
    if (!t->requires_grad) {
        ct_raise(CT_ERR_GRAD, function, "%s has no history and requires no gradient",
                 cti_describe(t).s);
        return false;
    }
    if (t->node && !on_this_tape(cti_thread(), t)) {
        ct_raise(CT_ERR_SCOPE, function, "%s has history of another thread or of an ended scope",
                 cti_describe(t).s);
        return false;
    }
    return true;
}

static ct_status backward(const char *function, ct_tensor *t, ct_tensor *given)
{
    pass p = { .to_leaves = true };
    ct_scope s;
    ct_tensor *g;

    if (!cti_sink_allowed())
        return ct_error();
    if (!cti_check_history(function, t))
        return ct_error();
    s = cti_scope_push();
    g = root_gradient(function, t, given);
    if (g) {
        begin_pass(&p);
        give(t, g);
        walk_tape(&p, t->node ? t->node_at + 1 : 0);
        settle_leaves(&p);
        end_pass(&p);
    }
    cti_scope_pop(s);
    return ct_error();
}

ct_status ct_backward(ct_tensor *loss)
{
    return backward("ct_backward", loss, NULL);
}

ct_status ct_backward_with(ct_tensor *t, ct_tensor *gradient)
{
    if (!gradient && ct_ok())
        return ct_raise(CT_ERR_ARGUMENT, "ct_backward_with", "the gradient is NULL");
    return backward("ct_backward_with", t, gradient);
}

/* Marks the nodes through which an output can reach a wanted input. */
static void mark_paths(const pass *p, size_t top)
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
            n->marked = n->in[i].wants && ct_node_needs_grad(n, i);
    }
}

static bool check_grad_arguments(int outputs_count, ct_tensor *const *outputs, int inputs_count,
                                 ct_tensor *const *inputs)
{
    const pass *p;
    int i;

    if (outputs_count < 1 || inputs_count < 1) {
        ct_raise(CT_ERR_ARGUMENT, "ct_grad", "%d outputs and %d inputs", outputs_count,
                 inputs_count);
        return false;
    }
    for (p = running; p; p = p->outer)
        if (!p->to_leaves) {
            ct_raise(CT_ERR_GRAD, "ct_grad", "called from a hook or backward function of ct_grad");
            return false;
        }
    for (i = 0; i < outputs_count; i++)
        if (!cti_check_history("ct_grad", outputs[i]))
            return false;
    for (i = 0; i < inputs_count; i++)
        if (!cti_check_history("ct_grad", inputs[i]))
            return false;
    return true;
}

/* The places after the last output on the tape. */
static size_t top_of(int count, ct_tensor *const *outputs)
{
    size_t top = 0;
    int i;

    for (i = 0; i < count; i++)
        if (outputs[i]->node && outputs[i]->node_at >= top)
            top = outputs[i]->node_at + 1;
    return top;
}

/* A handle of the innermost scope for a gradient that was found; takes the reference to it. */
static ct_tensor *hand_out(ct_tensor *g)
{
    ct_tensor *out;

    if (g->node)
        out = cti_alias(g);
    else if (g->requires_grad)
        out = g; /* a leaf given as the gradient of an output */
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
    size_t top = top_of(outputs_count, outputs);
    bool was = ct_set_grad_enabled(create_graph);
    int i;

    begin_pass(&p);
    mark_paths(&p, top);
    for (i = 0; i < outputs_count; i++) {
        ct_tensor *g = root_gradient("ct_grad", outputs[i], grad_outputs ? grad_outputs[i] : NULL);

        if (g)
            give(outputs[i], g);
    }
    walk_tape(&p, top);
    for (i = 0; i < inputs_count; i++)
        if (grads[i])
            grads[i] = hand_out(grads[i]);
    end_pass(&p);
    ct_set_grad_enabled(was);
}

/* Inputs that nothing reached: zeros, or what the same leaf got where it was listed before. */
static void fill_in(int count, ct_tensor *const *inputs, ct_tensor **found)
{
    int i, k;

    for (i = 0; i < count && ct_ok(); i++) {
        if (found[i])
            continue;
        for (k = 0; k < i && !(inputs[i]->leaf && inputs[k]->leaf == inputs[i]->leaf); k++)
            ;
        found[i] =
            k < i ? found[k] : ct_zeros(inputs[i]->shape, inputs[i]->dtype, inputs[i]->device);
    }
}

ct_status ct_grad(int outputs_count, ct_tensor *const *outputs, int inputs_count,
                  ct_tensor *const *inputs, ct_tensor *const *grad_outputs, bool create_graph,
                  ct_tensor **grads)
{
    ct_tensor **found = NULL; /* not grads itself, which may be one array with outputs */
    int i;

    if (cti_sink_allowed() && check_grad_arguments(outputs_count, outputs, inputs_count, inputs)) {
        found = cti_calloc((size_t)inputs_count, sizeof *found);
        if (!found)
            cti_out_of_memory("ct_grad", (size_t)inputs_count * sizeof *found);
    }
    if (found) {
        cti_grad(0, outputs_count, outputs, inputs_count, inputs, grad_outputs, create_graph,
                 found);
        fill_in(inputs_count, inputs, found);
    }
    for (i = 0; i < inputs_count; i++)
        grads[i] = found && ct_ok() ? found[i] : NULL;
    cti_release(found);
    return ct_error();
}
