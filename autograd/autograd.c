/* SPDX-License-Identifier: MIT */
/* autograd.c - the tape: recording ops, and the functions of a node that backward functions call.
 *
 * The tape of a thread is an array of nodes in the order of execution. A scope stores the length of
 * the tape when it begins; when it ends, it frees the nodes above that mark. A result stores the
 * address of its node and the node's place on the tape. If the node at that place has another
 * address, the history has ended or belongs to another thread (cti_on_this_tape).
 *
 * A node holds references: to inputs that require a gradient, since they say where the gradient
 * goes, and to the inputs and outputs that its op saves. The handles of the program may be dead
 * when backward runs (ct_free of a kept tensor), so backward functions get new handles. */
#include "autograd/engine.h"
#include "autograd/trace.h"

#include "tensor/hooks.h"

#include <stdio.h>
#include <string.h>

#define MOST_INPUTS 65536

/* ---- nodes ---- */

#define NODE_UNIT 128
#define NODE_CLASSES 16

typedef struct tape_pool {
    ct_node *idle[NODE_CLASSES];
} tape_pool;

/* The slots of a node that is freed are empty, because a pass empties every slot that it filled. */
static void tape_free_node(ct_thread *th, ct_node *n)
{
    tape_pool *pool = th->node_pool;
    size_t c = n->bytes / NODE_UNIT;
    int i;

    for (i = 0; i < n->inputs; i++)
        if (n->in[i].tensor)
            cti_unref(n->in[i].tensor);
    for (i = 0; i < n->outputs; i++)
        if (n->out[i].tensor)
            cti_unref(n->out[i].tensor);
    cti_hooks_free(n->hooks);
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
        tape_free_node(th, th->tape[--th->tape_count]);
}

static void tape_end(ct_thread *th)
{
    tape_pool *pool = th->node_pool;
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

/* Parts of a node begin at multiples of 16, because attributes may have any type. */
static size_t tape_align16(size_t n)
{
    return (n + 15) & ~(size_t)15;
}

static ct_node *tape_new_node(int inputs, int outputs, size_t attributes)
{
    ct_thread *th = cti_thread();
    tape_pool *pool = th->node_pool;
    size_t head = tape_align16(sizeof(ct_node)),
           ins = tape_align16((size_t)inputs * sizeof(cti_edge));
    size_t outs = tape_align16((size_t)outputs * sizeof(cti_edge));
    size_t grads = tape_align16((size_t)outputs * sizeof(ct_tensor *));
    size_t bytes = head + ins + outs + grads + tape_align16(attributes), c;
    ct_node *n = NULL;
    char *p;

    if (!pool) {
        th->node_pool = pool = cti_calloc(1, sizeof *pool);
        th->tape_pop = tape_pop;
        th->tape_free = tape_end;
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

bool ct_tensor_requires_grad(const ct_tensor *t)
{
    return cti_present("ct_tensor_requires_grad", t) && t->requires_grad;
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

static unsigned tape_version(const ct_tensor *t)
{
    return atomic_load_explicit(&t->storage->version, memory_order_relaxed);
}

static void tape_hold(cti_edge *e, ct_tensor *t)
{
    cti_ref(t);
    e->tensor = t;
    e->version = tape_version(t);
}

bool cti_on_this_tape(const ct_thread *th, const ct_tensor *t)
{
    size_t low, high;

    if (t->node_scope < 1 || t->node_scope > th->depth)
        return false;
    low = th->frames[t->node_scope - 1].tape;
    high = t->node_scope < th->depth ? th->frames[t->node_scope].tape : th->tape_count;
    return t->node_at >= low && t->node_at < high && th->tape[t->node_at] == t->node;
}

static bool tape_check_record(const ct_op *op, int inputs_count, ct_tensor *const *inputs,
                              int outputs_count, ct_tensor *const *outputs)
{
    const ct_thread *th = cti_thread();
    int i;

    if ((op->inputs >= 0 && op->inputs != inputs_count) ||
        (op->outputs >= 0 && op->outputs != outputs_count) || inputs_count < 0 ||
        inputs_count > MOST_INPUTS || outputs_count < 1 || outputs_count > MOST_INPUTS) {
        cti_raise_within(CT_ERR_ARGUMENT, op->name,
                         "%d inputs and %d outputs were recorded; the op declares %d and %d",
                         inputs_count, outputs_count, op->inputs, op->outputs);
        return false;
    }
    for (i = 0; i < outputs_count; i++)
        if (outputs[i]->node || outputs[i]->requires_grad || outputs[i]->owner) {
            cti_raise_within(CT_ERR_ARGUMENT, op->name,
                             "output %d %s must be a new tensor, not one that has history, is a "
                             "leaf or is owned",
                             i, cti_describe(outputs[i]).s);
            return false;
        }
    for (i = 0; i < inputs_count; i++)
        if (inputs[i] && inputs[i]->node && !cti_on_this_tape(th, inputs[i])) {
            cti_raise_within(
                CT_ERR_SCOPE, op->name,
                "input %d %s has history of another thread or of an ended scope; detach it", i,
                cti_describe(inputs[i]).s);
            return false;
        }
    return true;
}

static bool tape_refuse_dead(const ct_op *op, const char *what, int i, const ct_tensor *t)
{
    char name[32];

    snprintf(name, sizeof name, "%s %d", what, i);
    return cti_refuse_tensor(op->name, name, t);
}

/* Checks the pointers that ct_record requires; false with an error if one is NULL. */
static bool tape_is_given(const ct_op *op, int inputs_count, const void *inputs, int outputs_count,
                          const void *outputs)
{
    static const char *const me = "ct_record";

    return cti_given(me, "op", op) && cti_given_array(me, "inputs", inputs_count, inputs) &&
           cti_given_array(me, "outputs", outputs_count, outputs);
}

/* Fills a node with the inputs and outputs that backward needs, and makes it the history of the
 * outputs. */
static void tape_fill_node(ct_thread *th, ct_node *n, ct_tensor *const *inputs,
                           ct_tensor *const *outputs)
{
    int i;

    for (i = 0; i < n->inputs; i++) {
        ct_tensor *t = inputs[i];

        if (!t)
            continue;
        n->in[i].wants = t->requires_grad;
        if (t->requires_grad || n->op->saves & CT_SAVE_INPUTS)
            tape_hold(&n->in[i], t);
    }
    for (i = 0; i < n->outputs; i++) {
        if (n->op->saves & CT_SAVE_OUTPUTS)
            tape_hold(&n->out[i], outputs[i]);
        outputs[i]->node = n;
        outputs[i]->output = i;
        outputs[i]->node_scope = th->depth;
        outputs[i]->node_at = th->tape_count;
        outputs[i]->requires_grad = 1;
    }
}

bool ct_record(const ct_op *op, int inputs_count, ct_tensor *const *inputs, int outputs_count,
               ct_tensor *const *outputs, const void *attributes, size_t bytes)
{
    ct_thread *th = cti_thread();
    bool wanted = false;
    ct_node *n;
    int i;

    if ((!op || !inputs || !outputs) &&
        !tape_is_given(op, inputs_count, inputs, outputs_count, outputs))
        return false;
    if (bytes && !cti_given("ct_record", "attributes", attributes))
        return false;
    for (i = 0; i < outputs_count; i++) {
        if (!outputs[i])
            return false;
        if (cti_is_dead(outputs[i]))
            return tape_refuse_dead(op, "output", i, outputs[i]);
    }
    for (i = 0; i < inputs_count; i++) {
        if (!inputs[i])
            continue;
        if (cti_is_dead(inputs[i]))
            return tape_refuse_dead(op, "input", i, inputs[i]);
        wanted |= inputs[i]->requires_grad;
    }
    if (cti_tracing)
        cti_trace_op(op->name, inputs_count, inputs, outputs_count, outputs);
    if (!wanted || !th->recording)
        return true;
    if (!tape_check_record(op, inputs_count, inputs, outputs_count, outputs) ||
        !cti_grow(op->name, (void **)&th->tape, &th->tape_room, th->tape_count, sizeof *th->tape))
        return false;
    n = tape_new_node(inputs_count, outputs_count, bytes);
    if (!n)
        return false;
    n->op = op;
    n->site = th->site;
    if (bytes)
        memcpy(n->attributes, attributes, bytes);
    tape_fill_node(th, n, inputs, outputs);
    th->tape[th->tape_count++] = n;
    return true;
}

void cti_not_recorded(const char *name, int inputs_count, ct_tensor *const *inputs, ct_tensor *y)
{
    if (cti_tracing)
        cti_trace_op(name, inputs_count, inputs, 1, &y);
}

/* ---- called by backward functions ---- */

static ct_tensor *tape_saved(ct_node *n, const cti_edge *edges, int count, bool allowed,
                             const char *what, int i)
{
    const cti_edge *e = &edges[i];

    if (i < 0 || i >= count) {
        cti_raise_within(CT_ERR_ARGUMENT, n->op->name,
                         "backward asked for %s %d, which the op does not have", what, i);
        return NULL;
    }
    if (!e->tensor || !allowed) {
        cti_raise_within(CT_ERR_GRAD, n->op->name, "%s %d was not saved for backward", what, i);
        return NULL;
    }
    if (e->version != tape_version(e->tensor)) {
        const char *at = e->tensor->storage->written_at;

        cti_raise_within(CT_ERR_GRAD, n->op->name,
                         "%s %d %s was needed by backward but was modified in place%s%s", what, i,
                         cti_describe(e->tensor).s, at ? " at " : "", at ? at : "");
        return NULL;
    }
    return cti_is_dead(e->tensor) ? cti_alias(e->tensor) : e->tensor;
}

ct_tensor *ct_node_input(ct_node *n, int i)
{
    if (!cti_given("ct_node_input", "n", n))
        return NULL;
    return tape_saved(n, n->in, n->inputs, n->op->saves & CT_SAVE_INPUTS, "input", i);
}

ct_tensor *ct_node_output(ct_node *n, int i)
{
    if (!cti_given("ct_node_output", "n", n))
        return NULL;
    return tape_saved(n, n->out, n->outputs, n->op->saves & CT_SAVE_OUTPUTS, "output", i);
}

ct_shape ct_node_input_shape(const ct_node *n, int i)
{
    if (!cti_given("ct_node_input_shape", "n", n))
        return CT_SCALAR;
    return i >= 0 && i < n->inputs && n->in[i].tensor ? n->in[i].tensor->shape : CT_SCALAR;
}

int ct_node_input_count(const ct_node *n)
{
    return cti_given("ct_node_input_count", "n", n) ? n->inputs : 0;
}

const void *ct_node_attributes(const ct_node *n)
{
    return cti_given("ct_node_attributes", "n", n) ? n->attributes : NULL;
}
