/* SPDX-License-Identifier: MIT */
/* steps.c - runs one cell over the steps of a sequence. */
#include "nn/steps.h"

#include "tensor/internal.h"

#include <cotangent/autograd/autograd.h>
#include <cotangent/autograd/ops/compare.h>
#include <cotangent/autograd/ops/elementwise.h>
#include <cotangent/autograd/ops/copy.h>
#include <cotangent/autograd/ops/join.h>
#include <cotangent/autograd/ops/views.h>

#define MOST_STEPS 65536 /* the most tensors that ct_stack accepts */

ct_tensor **cti_tensor_array(int64_t count)
{
    return cti_scope_alloc("ct_recurrent_forward", (size_t)count * sizeof(ct_tensor *));
}

ct_tensor *cti_active_steps(ct_tensor *lengths, int64_t steps)
{
    ct_tensor *time = ct_arange(0, (double)steps, 1, CT_I64, lengths->device);

    return ct_gt(ct_reshape(lengths, CT_SHAPE(1, -1, 1)), ct_reshape(time, CT_SHAPE(-1, 1, 1)));
}

/* Checks that t, which the cell returned as `what`, has the shape want; otherwise raises an error
 * and returns false. */
static bool steps_check(const cti_steps *s, const char *what, const ct_tensor *t, ct_shape want)
{
    if (t && cti_same_shape(&t->shape, &want))
        return true;
    ct_raise(CT_ERR_SHAPE, "ct_recurrent_forward",
             "step of the cell %s returned %s as %s; it must have the shape %s", s->cell->name,
             t ? cti_describe(t).s : "NULL", what, cti_shape_text(&want).s);
    return false;
}

/* Runs step t: returns y (B, output), and the states after it in next. For rows that have ended,
 * the states stay and y is 0. */
static ct_tensor *steps_one(const cti_steps *s, ct_tensor *x, int64_t t, ct_tensor **next)
{
    const int states = s->cell->states;
    ct_tensor *y = s->cell->step(s->self, ct_select(x, 0, t), s->state, next, &s->at), *active;
    int i;

    if (!steps_check(s, "y", y, CT_SHAPE(s->batch, s->output)))
        return NULL;
    for (i = 0; i < states; i++)
        if (!steps_check(s, "a next state", next[i], ct_tensor_shape(s->state[i])))
            return NULL;
    if (t < s->extent->shortest)
        return y;
    active = ct_select(s->extent->active, 0, t); /* (B, 1) */
    for (i = 0; i < states; i++)
        next[i] = ct_where(active, next[i], s->state[i]);
    if (s->y_is_state)
        return next[0];
    return ct_where(active, y, ct_full(CT_SCALAR, 0, y->dtype, y->device));
}

/* Where the outputs are stored. */
typedef struct steps_results {
    ct_tensor **y;                        /* while gradients are recorded: the output of each
                                           * step */
    ct_tensor *all;                       /* otherwise: (T, B, output) */
    ct_tensor *spare[CT_MAX_CELL_STATES]; /* otherwise: buffers for the next states */
} steps_results;

static bool steps_prepare(cti_steps *s, const ct_tensor *x, bool recorded, steps_results *r)
{
    const int64_t steps = ct_size(x, 0);
    int i;

    *r = (steps_results){ .y = NULL };
    if (recorded && steps > MOST_STEPS) {
        ct_raise(CT_ERR_SHAPE, "ct_recurrent_forward",
                 "x has %lld steps; at most %d can be recorded one by one", (long long)steps,
                 MOST_STEPS);
        return false;
    }
    if (recorded) {
        r->y = cti_tensor_array(steps);
        return r->y != NULL;
    }
    r->all = ct_zeros(CT_SHAPE(steps, s->batch, s->output), x->dtype, x->device);
    for (i = 0; i < s->cell->states; i++) {
        s->state[i] = ct_clone(s->state[i]);
        r->spare[i] = ct_clone(s->state[i]);
    }
    return ct_ok();
}

/* Runs step t with history. Its tensors stay until the scope ends. */
static void steps_record(cti_steps *s, ct_tensor *x, int64_t t, steps_results *r)
{
    ct_tensor *next[CT_MAX_CELL_STATES] = { NULL };
    int i;

    if (t >= s->extent->longest) {
        r->y[t] = ct_zeros(CT_SHAPE(s->batch, s->output), x->dtype, x->device);
        return;
    }
    r->y[t] = steps_one(s, x, t, next);
    for (i = 0; i < s->cell->states; i++)
        s->state[i] = next[i];
}

/* Runs step t without history, unless all rows have ended. Frees its temporaries at once and keeps
 * copies of the results. The states alternate between two sets of buffers, because a cell may
 * return one state as another. */
static void steps_overwrite(cti_steps *s, ct_tensor *x, int64_t t, steps_results *r)
{
    ct_tensor *next[CT_MAX_CELL_STATES] = { NULL }, *y;
    ct_scope scope = cti_scope_push();
    int i;

    y = steps_one(s, x, t, next);
    ct_copy_into(ct_select(r->all, 0, t), y);
    for (i = 0; y && i < s->cell->states; i++) {
        ct_tensor *old = s->state[i];

        ct_copy_into(r->spare[i], next[i]);
        s->state[i] = r->spare[i];
        r->spare[i] = old;
    }
    cti_scope_pop(scope);
}

ct_tensor *cti_run_steps(cti_steps *s, ct_tensor *x)
{
    const bool recorded = ct_grad_enabled();
    const int64_t steps = ct_size(x, 0), longest = s->extent->longest;
    const int64_t count = recorded || steps < longest ? steps : longest;
    steps_results r;
    int64_t k;

    if (!steps_prepare(s, x, recorded, &r))
        return NULL;
    for (k = 0; k < count && ct_ok(); k++)
        (recorded ? steps_record : steps_overwrite)(s, x, s->reverse ? count - 1 - k : k, &r);
    if (!ct_ok())
        return NULL;
    return recorded ? ct_stack((int)steps, r.y, 0) : r.all;
}
