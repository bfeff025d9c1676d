/* SPDX-License-Identifier: MIT */
/* activation_checkpoint.c - a function recorded as one node, whose backward runs the function
 * again.
 *
 * Forward runs the function with recording on, in an inner scope. Every tensor outside that scope
 * to which its history refers (inputs, parameters, results of earlier ops) becomes an input of the
 * node. Then the inner scope ends and its history is dropped. Backward runs the function once more,
 * which records the history again, and differentiates it with respect to the node's inputs. */
#include "autograd/internal.h"

#include "tensor/hooks.h"

#include <cotangent/autograd/activation_checkpoint.h>

static const char *const recompute_name = "ct_activation_checkpoint";

/* The attributes of the node: the function and the data for its second run. */
typedef struct recompute {
    ct_recomputed_function function;
    void *context;
    ct_generator *g, start;      /* the generator, or NULL, and its value before the first run */
    const cti_binding *bindings; /* the bindings during the first run */
    int inputs_given;  /* the inputs of the function, which are the first inputs of the node */
    int outputs_count; /* the outputs of the function; the node has only those with history */
} recompute;

/* A growing array of tensors. It holds no references unless its user takes them. */
typedef struct recompute_list {
    ct_tensor **at;
    int count;
    size_t room;
} recompute_list;

static bool recompute_list_add(recompute_list *l, ct_tensor *t)
{
    if (!cti_grow(recompute_name, (void **)&l->at, &l->room, (size_t)l->count, sizeof *l->at))
        return false;
    l->at[l->count++] = t;
    return true;
}

/* True if a and b are the same tensor for autograd: one handle, one result of a node, or one
 * leaf. */
static bool recompute_same_place(const ct_tensor *a, const ct_tensor *b)
{
    return a == b ||
           (a->node ? a->node == b->node && a->output == b->output : a->leaf && a->leaf == b->leaf);
}

static bool recompute_list_has(const recompute_list *l, const ct_tensor *t)
{
    int i;

    for (i = 0; i < l->count; i++)
        if (l->at[i] && recompute_same_place(l->at[i], t))
            return true;
    return false;
}

/* Adds to l each tensor that needs a gradient and was not made by the history above `bottom`, but
 * is an input of it. */
static bool recompute_find_outside(recompute_list *l, size_t bottom)
{
    const ct_thread *th = cti_thread();
    size_t at;
    int i;

    for (at = bottom; at < th->tape_count; at++)
        for (i = 0; i < th->tape[at]->inputs; i++) {
            const cti_edge *e = &th->tape[at]->in[i];

            if (!e->wants || cti_is_dead(e->tensor) ||
                (e->tensor->node && e->tensor->node_at >= bottom) ||
                recompute_list_has(l, e->tensor))
                continue;
            if (!recompute_list_add(l, e->tensor))
                return false;
        }
    return true;
}

/* ---- backward ---- */

/* Runs the function a second time, with the same inputs and the same random numbers. */
static bool recompute_run_again(ct_node *n, const recompute *r, ct_tensor **outputs)
{
    recompute_list given = { 0 };
    ct_thread *th = cti_thread();
    const cti_draws *draws = th->draws;
    const cti_binding *bindings = th->bindings;
    ct_generator now = { 0 };
    bool good = true;
    int i;

    for (i = 0; i < r->inputs_given && good; i++)
        good = recompute_list_add(&given, n->in[i].tensor ? ct_node_input(n, i) : NULL);
    if (r->g) {
        now = *r->g;
        *r->g = r->start;
    }
    /* the first run has checked the draws; g is set back to its current value below */
    th->draws = NULL;
    ct_set_grad_enabled(true); /* the engine restores the mode after each node */
    th->bindings = r->bindings;
    good = good && ct_ok() &&
           r->function(r->context, r->inputs_given, given.at, r->outputs_count, outputs);
    th->bindings = bindings;
    th->draws = draws;
    if (r->g)
        *r->g = now;
    cti_release(given.at);
    if (!good) /* does not replace an error that is already recorded */
        ct_raise(CT_ERR_GRAD, recompute_name,
                 "the function failed in its second run but raised no error");
    return ct_ok();
}

/* Moves each output that has history and a gradient to the front of outputs, and its gradient to
 * the front of gradients. Sets *count to their number. False with an error if the outputs differ
 * from those of the first run. */
static bool recompute_pair(const ct_node *n, const recompute *r, ct_tensor *const *dout,
                           ct_tensor **outputs, ct_tensor **gradients, int *count)
{
    int i, k = 0; /* k numbers the outputs with history, as the node does */

    *count = 0;
    for (i = 0; i < r->outputs_count; i++) {
        ct_tensor *d;

        if (!outputs[i] || !outputs[i]->requires_grad)
            continue;
        d = k < n->outputs ? dout[k] : NULL;
        k++;
        if (!d)
            continue;
        if (!cti_same_shape(&d->shape, &outputs[i]->shape) || d->dtype != outputs[i]->dtype) {
            ct_raise(CT_ERR_GRAD, recompute_name,
                     "the second run returned %s as output %d; the first returned %s",
                     cti_describe(outputs[i]).s, i, cti_describe(d).s);
            return false;
        }
        outputs[*count] = outputs[i];
        gradients[(*count)++] = d;
    }
    if (k != n->outputs)
        ct_raise(CT_ERR_GRAD, recompute_name,
                 "%d outputs have history in the second run; %d had it in the first", k,
                 n->outputs);
    return k == n->outputs;
}

/* Runs the function again and differentiates it. work has room for 2 outputs_count + 2 inputs
 * tensors. */
static void recompute_differentiate(ct_node *n, const recompute *r, ct_tensor *const *dout,
                                    ct_tensor **work)
{
    ct_tensor **outputs = work, **gradients = outputs + r->outputs_count;
    ct_tensor **wanted = gradients + r->outputs_count, **found = wanted + n->inputs;
    size_t bottom = cti_thread()->tape_count;
    int outputs_count, wanted_count = 0, i;

    if (!recompute_run_again(n, r, outputs) ||
        !recompute_pair(n, r, dout, outputs, gradients, &outputs_count))
        return;
    for (i = 0; i < n->inputs; i++)
        if (ct_node_needs_grad(n, i))
            wanted[wanted_count++] = n->in[i].tensor;
    cti_grad(bottom, outputs_count, outputs, wanted_count, wanted, gradients, cti_creates_graph(),
             found);
    for (i = 0, wanted_count = 0; i < n->inputs; i++)
        if (ct_node_needs_grad(n, i))
            ct_node_add_grad(n, i, found[wanted_count++]);
}

static void activation_checkpoint_grad(ct_node *n, ct_tensor *const *dout)
{
    const recompute *r = ct_node_attributes(n);
    size_t room = 2 * (size_t)r->outputs_count + 2 * (size_t)n->inputs;
    ct_tensor **work = cti_calloc(room, sizeof *work);
    int i;

    /* The function reads these tensors through its context, so check that their values have not
     * changed. */
    for (i = r->inputs_given; i < n->inputs; i++)
        if (!ct_node_input(n, i))
            break;
    if (!work)
        cti_out_of_memory(recompute_name, room * sizeof *work);
    else if (i >= n->inputs)
        recompute_differentiate(n, r, dout, work);
    cti_release(work);
}

static const ct_op activation_checkpoint_op = { .name = "ct_activation_checkpoint",
                                                .inputs = -1,
                                                .outputs = -1,
                                                .saves = CT_SAVE_INPUTS,
                                                .backward = activation_checkpoint_grad };

/* ---- forward, in three stages: first run, detach, record ---- */

/* One call of ct_activation_checkpoint. */
typedef struct recompute_call {
    recompute r;
    /* The caller's array. After the first run: references to tensors of a scope that has ended.
     * After detach: handles of the caller's scope. */
    ct_tensor **outputs;
    bool *has_history; /* true if output i had history in the first run */
    /* The inputs of the node. The first are the caller's, borrowed. The first run appends those
     * that it finds outside, as references until the call ends. */
    recompute_list inputs;
} recompute_call;

/* Stage 1: runs the function in an inner scope, and takes references to the tensors that must
 * outlive the scope. On failure no references are left. */
static bool recompute_first_run(recompute_call *c, ct_tensor *const *given)
{
    const recompute *r = &c->r;
    bool was = ct_grad_enabled(), good;
    ct_scope scope = cti_scope_push();
    ct_thread *th = cti_thread();
    const cti_draws draws = { r->g, recompute_name, th->draws };
    size_t bottom = th->tape_count;
    int i;

    ct_set_grad_enabled(was);
    if (was) /* backward repeats only recorded runs */
        th->draws = &draws;
    if (!r->function(r->context, r->inputs_given, given, r->outputs_count, c->outputs))
        ct_raise(CT_ERR_ARGUMENT, recompute_name, "the function failed but raised no error");
    th->draws = draws.outer;
    for (i = 0; i < r->outputs_count && ct_ok(); i++)
        if (!c->outputs[i])
            ct_raise(CT_ERR_ARGUMENT, recompute_name, "the function left output %d NULL", i);
    good = ct_ok() && recompute_find_outside(&c->inputs, bottom);
    for (i = r->inputs_given; i < c->inputs.count && good; i++)
        cti_ref(c->inputs.at[i]);
    for (i = 0; i < r->outputs_count && good; i++) {
        c->has_history[i] = c->outputs[i]->requires_grad;
        cti_ref(c->outputs[i]);
    }
    cti_scope_pop(scope);
    return good;
}

/* Stage 2: replaces each output by a handle of the caller's scope without history, and drops the
 * reference. After an error, outputs are NULL. */
static bool recompute_detach(recompute_call *c)
{
    int i;

    for (i = 0; i < c->r.outputs_count; i++) {
        ct_tensor *t = c->outputs[i];

        c->outputs[i] =
            ct_ok() ? cti_view(recompute_name, t, t->shape, t->stride, t->offset) : NULL;
        cti_unref(t);
    }
    return ct_ok();
}

/* Stage 3: records the outputs that had history as results of one node. */
static bool recompute_record(recompute_call *c)
{
    recompute_list results = { 0 };
    bool good = true;
    int i;

    for (i = 0; i < c->r.outputs_count && good; i++)
        if (c->has_history[i])
            good = recompute_list_add(&results, c->outputs[i]);
    good = good &&
           (!results.count || ct_record(&activation_checkpoint_op, c->inputs.count, c->inputs.at,
                                        results.count, results.at, &c->r, sizeof c->r));
    cti_release(results.at);
    return good;
}

static bool recompute_forward(recompute_call *c, ct_tensor *const *inputs)
{
    bool good = true;
    int i;

    c->has_history = cti_calloc((size_t)c->r.outputs_count, sizeof *c->has_history);
    if (!c->has_history) {
        cti_out_of_memory(recompute_name, (size_t)c->r.outputs_count * sizeof *c->has_history);
        return false;
    }
    for (i = 0; i < c->r.inputs_given && good; i++)
        good = recompute_list_add(&c->inputs, inputs[i]);
    if (!good || !recompute_first_run(c, inputs))
        return false;
    good = recompute_detach(c) && recompute_record(c);
    for (i = c->r.inputs_given; i < c->inputs.count; i++)
        cti_unref(c->inputs.at[i]);
    return good;
}

ct_status ct_activation_checkpoint(ct_recomputed_function function, void *context, ct_generator *g,
                                   int inputs_count, ct_tensor *const *inputs, int outputs_count,
                                   ct_tensor **outputs)
{
    recompute_call c = { .r = { .function = function,
                                .context = context,
                                .g = g,
                                .bindings = cti_thread()->bindings,
                                .inputs_given = inputs_count,
                                .outputs_count = outputs_count },
                         .outputs = outputs };
    bool good;
    int i;

    if (!cti_given_array(recompute_name, "outputs", outputs_count, outputs))
        return ct_error();
    for (i = 0; i < outputs_count; i++)
        outputs[i] = NULL;
    if (!ct_ok())
        return ct_error();
    if (!function)
        return ct_raise(CT_ERR_ARGUMENT, recompute_name, "function is NULL");
    if (inputs_count < 0)
        return ct_raise(CT_ERR_ARGUMENT, recompute_name,
                        "inputs_count is %d; it must be at least 0", inputs_count);
    if (outputs_count < 1)
        return ct_raise(CT_ERR_ARGUMENT, recompute_name,
                        "outputs_count is %d; it must be at least 1", outputs_count);
    if (!cti_optional_all(recompute_name, "inputs", inputs_count, inputs))
        return ct_error();
    if (g)
        c.r.start = *g;
    good = recompute_forward(&c, inputs) && ct_ok();
    for (i = 0; i < outputs_count && !good; i++)
        outputs[i] = NULL;
    cti_release(c.inputs.at);
    cti_release(c.has_history);
    return ct_ok() ? CT_OK : ct_error();
}
