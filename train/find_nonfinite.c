/* find_nonfinite.c - which op first gave a value that is not finite. Until the scope of a step ends, all
 * its results are on the thread's stack of live tensors, in the order they were made; so are the
 * nodes on its tape. */
#include "autograd/trace.h"
#include "tensor/hooks.h"
#include "train/internal.h"

#include <math.h>
#include <stdio.h>

/* Where it began, for a message: "; first in ct_log (train.c:41)". */
typedef struct origin {
    char s[240];
} origin;

static origin origin_of(const ct_node *n, const char *how)
{
    origin o;

    snprintf(o.s, sizeof o.s, "; first in %s%s%s%.*s%s", how, n->op->name, n->site ? " (" : "",
             n->site ? cti_site_length(n->site, n->op->name) : 0, n->site ? n->site : "",
             n->site ? ")" : "");
    return o;
}

/* The marks of the innermost scope. */
static const cti_frame *frame(void)
{
    const ct_thread *th = cti_thread();

    return &th->frames[th->depth - 1];
}

/* A parameter that holds such a value already; NULL if none does. */
static const ct_param *bad_parameter(const ct_params *params)
{
    double value;

    for (int i = 0; i < ct_params_count(params); i++) {
        ct_param *p = ct_params_at(params, i);

        if (!ct_param_is_lazy(p) && cti_find_non_finite(ct_param_value(p), &value) >= 0)
            return p;
    }
    return NULL;
}

/* Of the forward pass. */
static origin forward_origin(void)
{
    const ct_thread *th = cti_thread();
    origin o = { "" };
    double value;

    for (size_t i = frame()->live; i < th->live_count; i++) {
        const ct_tensor *t = th->live[i];

        if (!t || cti_find_non_finite(t, &value) < 0)
            continue;
        if (t->node)
            return origin_of(t->node, "");
        if (t->requires_grad)
            continue; /* a parameter's */
        snprintf(o.s, sizeof o.s, "; first in %s, which no recorded op made", cti_describe(t).s);
        return o;
    }
    return o;
}

void cti_raise_loss(const ct_params *params, bool training, bool at_hand, double loss,
                    const char *when)
{
    const ct_param *p = bad_parameter(params);
    origin o = { "" };

    if (p)
        snprintf(o.s, sizeof o.s, "; %.200s is not finite", ct_param_name(p));
    else if (at_hand)
        o = forward_origin();
    ct_raise(CT_ERR_NUMERIC, "ct_fit", "the %s loss is %g in %s%s",
             training ? "training" : "validation", isnan(loss) ? NAN : loss, when, o.s);
}

/* ---- gradients: backward runs once more, watched ---- */

typedef struct watch {
    const ct_tensor **first; /* the first whose gradient is not finite */
    const ct_tensor *t;
} watch;

static ct_tensor *look(ct_tensor *gradient, void *context)
{
    watch *w = context;
    double value;

    if (!*w->first && cti_find_non_finite(gradient, &value) >= 0)
        *w->first = w->t;
    return NULL;
}

/* True if edge e is t, by whatever handle. */
static bool is(const cti_edge *e, const ct_tensor *t)
{
    return e->tensor &&
           (e->tensor == t ||
            (t->node && e->tensor->node == t->node && e->tensor->output == t->output) ||
            (t->leaf && e->tensor->leaf == t->leaf));
}

/* The node that gave t's gradient: the last one that read it, the first to run backward. */
static const ct_node *reader(const ct_tensor *t)
{
    const ct_thread *th = cti_thread();

    for (size_t i = th->tape_count; i > frame()->tape; i--)
        for (int k = 0; k < th->tape[i - 1]->inputs; k++)
            if (is(&th->tape[i - 1]->in[k], t))
                return th->tape[i - 1];
    return NULL;
}

static origin backward_origin(ct_tensor *loss, ct_tensor *leaf)
{
    const ct_thread *th = cti_thread();
    size_t from = frame()->live, count = th->live_count - from;
    const ct_tensor *first = NULL;
    const ct_node *n;
    ct_tensor *gradient;
    watch *w = cti_calloc(count + 1, sizeof *w);

    for (size_t i = 0; w && i < count; i++) {
        ct_tensor *t = th->live[from + i];

        if (!t || !t->node || t == loss)
            continue;
        w[i] = (watch){ &first, t };
        ct_register_hook(t, look, &w[i]);
    }
    ct_grad(1, &loss, 1, &leaf, NULL, false, &gradient);
    cti_release(w); /* no backward runs after it */
    n = reader(first ? first : leaf);
    return n ? origin_of(n, "the backward of ") : (origin){ "" };
}

void cti_raise_gradient(ct_tensor *loss, const ct_param *p, const char *when)
{
    origin o = backward_origin(loss, ct_param_value((ct_param *)p));

    if (ct_ok())
        ct_raise(CT_ERR_NUMERIC, "ct_fit", "the gradient of %.200s is not finite in %s%s",
                 ct_param_name(p), when, o.s);
}
