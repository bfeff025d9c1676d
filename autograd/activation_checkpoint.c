/* activation_checkpoint.c - a segment as one node, whose backward runs it again.
 *
 * The segment is run with recording on in a scope of its own. What its history refers to outside
 * - inputs, parameters, results of earlier ops - becomes the node's inputs; then the history is
 * dropped. */
#include "autograd/internal.h"

#include "tensor/hooks.h"

#include <cotangent/autograd/activation_checkpoint.h>

#include <string.h>

static const char *const me = "ct_activation_checkpoint";

/* What backward needs; copied into the node. */
typedef struct segment {
    ct_recomputed_function run;
    void *context;
    ct_generator *g, start;
    int given;   /* the first inputs of the node are those that segment gets, */
    int outputs; /* of the segment; the node has those with history */
} segment;

/* An array of tensors that grows. */
typedef struct list {
    ct_tensor **at;
    int count;
    size_t room;
} list;

static bool list_add(list *l, ct_tensor *t)
{
    if (!cti_grow(me, (void **)&l->at, &l->room, (size_t)l->count, sizeof *l->at))
        return false;
    l->at[l->count++] = t;
    return true;
}

static bool same_place(const ct_tensor *a, const ct_tensor *b)
{
    return a == b ||
           (a->node ? a->node == b->node && a->output == b->output : a->leaf && a->leaf == b->leaf);
}

static bool list_has(const list *l, const ct_tensor *t)
{
    int i;

    for (i = 0; i < l->count; i++)
        if (l->at[i] && same_place(l->at[i], t))
            return true;
    return false;
}

/* Adds what history from number bottom of the tape on wants a gradient for and is not part of. A dead
 * tensor is a leaf that the segment itself has freed: nobody can ask for its gradient. */
static bool find_outside(list *l, size_t bottom)
{
    const ct_thread *th = cti_thread();
    size_t at;
    int i;

    for (at = bottom; at < th->tape_count; at++)
        for (i = 0; i < th->tape[at]->inputs; i++) {
            const cti_edge *e = &th->tape[at]->in[i];

            if (!e->wants || cti_is_dead(e->tensor) ||
                (e->tensor->node && e->tensor->node_at >= bottom) || list_has(l, e->tensor))
                continue;
            if (!list_add(l, e->tensor))
                return false;
        }
    return true;
}

/* ---- backward ---- */

/* Runs the segment as it ran the first time. */
static bool run_again(ct_node *n, const segment *s, ct_tensor **outputs)
{
    list given = { 0 };
    ct_generator now = { 0 };
    bool good = true;
    int i;

    for (i = 0; i < s->given && good; i++)
        good = list_add(&given, n->in[i].tensor ? ct_node_input(n, i) : NULL);
    if (s->g) {
        now = *s->g;
        *s->g = s->start;
    }
    ct_set_grad_enabled(true); /* the engine gives the mode back after each node */
    good = good && ct_ok() && s->run(s->context, s->given, given.at, s->outputs, outputs);
    if (s->g)
        *s->g = now;
    cti_release(given.at);
    if (!good) /* an error that stands stays */
        ct_raise(CT_ERR_GRAD, me, "the segment failed without an error in its second run");
    return ct_ok();
}

/* The outputs that have history, and the gradients that came for them, drawn together. False with
 * an error if they are not those of the first run. */
static bool pair_up(const ct_node *n, const segment *s, ct_tensor *const *dout, ct_tensor **outputs,
                    ct_tensor **gradients, int *count)
{
    int i, k = 0;

    *count = 0;
    for (i = 0; i < s->outputs; i++) {
        ct_tensor *d;

        if (!outputs[i] || !outputs[i]->requires_grad)
            continue;
        d = k < n->outputs ? dout[k] : NULL;
        k++;
        if (!d)
            continue;
        if (!cti_same_shape(&d->shape, &outputs[i]->shape) || d->dtype != outputs[i]->dtype) {
            ct_raise(CT_ERR_GRAD, me, "the second run gave %s for output %d, the first %s",
                     cti_describe(outputs[i]).s, i, cti_describe(d).s);
            return false;
        }
        outputs[*count] = outputs[i];
        gradients[(*count)++] = d;
    }
    if (k != n->outputs)
        ct_raise(CT_ERR_GRAD, me, "the second run gave %d outputs with history, the first %d", k,
                 n->outputs);
    return k == n->outputs;
}

static void differentiate(ct_node *n, const segment *s, ct_tensor *const *dout, ct_tensor **work)
{
    ct_tensor **outputs = work, **gradients = work + s->outputs;
    ct_tensor **want = gradients + s->outputs, **found = want + n->inputs;
    size_t bottom = cti_thread()->tape_count;
    int count, wanted = 0, i;

    if (!run_again(n, s, outputs) || !pair_up(n, s, dout, outputs, gradients, &count))
        return;
    for (i = 0; i < n->inputs; i++)
        if (ct_node_needs_grad(n, i))
            want[wanted++] = n->in[i].tensor;
    cti_grad(bottom, count, outputs, wanted, want, gradients, cti_creates_graph(), found);
    for (i = 0, wanted = 0; i < n->inputs; i++)
        if (ct_node_needs_grad(n, i))
            ct_node_add_grad(n, i, found[wanted++]);
}

static void checkpoint_backward(ct_node *n, ct_tensor *const *dout)
{
    const segment *s = ct_node_attributes(n);
    size_t room = 2 * (size_t)s->outputs + 2 * (size_t)n->inputs;
    ct_tensor **work = cti_calloc(room, sizeof *work);
    int i;

    for (i = s->given; i < n->inputs; i++)
        if (!ct_node_input(n, i)) /* modified since */
            break;
    if (!work)
        cti_out_of_memory(me, room * sizeof *work);
    else if (i >= n->inputs)
        differentiate(n, s, dout, work);
    cti_release(work);
}

/* ---- forward ---- */

/* A handle of the innermost scope on each output, without history, in place of a reference to one
 * of a scope that has ended. */
static void take_outputs(int count, ct_tensor **outputs)
{
    int i;

    for (i = 0; i < count; i++) {
        ct_tensor *t = outputs[i];

        outputs[i] = ct_ok() ? cti_view(me, t, t->shape, t->stride, t->offset) : NULL;
        cti_unref(t);
    }
}

static bool check_outputs(int count, ct_tensor *const *outputs)
{
    int i;

    for (i = 0; i < count && ct_ok(); i++)
        if (!outputs[i])
            ct_raise(CT_ERR_ARGUMENT, me, "the segment left output %d NULL", i);
    return ct_ok();
}

static const ct_op checkpoint_op = { .name = "ct_activation_checkpoint",
                                     .inputs = -1,
                                     .outputs = -1,
                                     .saves = CT_SAVE_INPUTS,
                                     .backward = checkpoint_backward };

/* Runs the segment in a scope of its own. On success outputs are references, inputs the node's
 * inputs (references beyond the first s->given) and tracked[i] is not NULL if output i has
 * history (it may no longer be used). */
static bool run_first(const segment *s, ct_tensor *const *given, ct_tensor **outputs, list *inputs,
                      list *tracked)
{
    bool was = ct_grad_enabled(), good;
    ct_scope scope = cti_scope_push();
    size_t bottom = cti_thread()->tape_count;
    int i;

    ct_set_grad_enabled(was);
    if (!s->run(s->context, s->given, given, s->outputs, outputs)) /* an error that stands stays */
        ct_raise(CT_ERR_ARGUMENT, me, "the segment failed without an error");
    good = check_outputs(s->outputs, outputs) && find_outside(inputs, bottom);
    for (i = 0; i < s->outputs && good; i++)
        good = list_add(tracked, outputs[i]->requires_grad ? outputs[i] : NULL);
    for (i = s->given; i < inputs->count && good; i++)
        cti_ref(inputs->at[i]);
    for (i = 0; i < s->outputs && good; i++)
        cti_ref(outputs[i]);
    cti_scope_pop(scope);
    return good;
}

/* Records the outputs that had history as results of one node. */
static bool record(const segment *s, const list *inputs, const list *tracked, ct_tensor **outputs)
{
    list results = { 0 };
    bool good = true;
    int i;

    for (i = 0; i < s->outputs && good; i++)
        if (tracked->at[i])
            good = list_add(&results, outputs[i]);
    good = good && (!results.count || ct_record(&checkpoint_op, inputs->count, inputs->at,
                                                results.count, results.at, s, sizeof *s));
    cti_release(results.at);
    return good;
}

ct_status ct_activation_checkpoint(ct_recomputed_function run, void *context, ct_generator *g,
                                   int inputs_count, ct_tensor *const *inputs, int outputs_count,
                                   ct_tensor **outputs)
{
    segment s = { run, context, g, { 0, 0, 0 }, inputs_count, outputs_count };
    list all = { 0 }, tracked = { 0 };
    bool good = true;
    int i;

    for (i = 0; i < outputs_count; i++)
        outputs[i] = NULL;
    if (!ct_ok())
        return ct_error();
    if (!run || inputs_count < 0 || outputs_count < 1)
        return ct_raise(CT_ERR_ARGUMENT, me, "%s, %d inputs, %d outputs",
                        run ? "a segment" : "no segment", inputs_count, outputs_count);
    if (!cti_optional_all(me, "inputs", inputs_count, inputs))
        return ct_error();
    if (g)
        s.start = *g;
    for (i = 0; i < inputs_count && good; i++)
        good = list_add(&all, inputs[i]);
    if (good && run_first(&s, inputs, outputs, &all, &tracked)) {
        take_outputs(outputs_count, outputs);
        good = ct_ok() && record(&s, &all, &tracked, outputs);
        for (i = inputs_count; i < all.count; i++)
            cti_unref(all.at[i]);
    }
    for (i = 0; i < outputs_count && !(good && ct_ok()); i++)
        outputs[i] = NULL;
    cti_release(all.at);
    cti_release(tracked.at);
    return ct_ok() ? CT_OK : ct_error();
}
