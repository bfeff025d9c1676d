/* SPDX-License-Identifier: MIT */
/* language_model_plan.c - generates one text by a planned step. The model and the weights of the
 * tokens are one recorded program. The text has the same bits as with nn/generate.c. */
#include "train/language_model_internal.h"

#include "nn/generate_internal.h"
#include "nn/plan_internal.h"
#include "tensor/hooks.h"

#include <math.h>

#define FEW 32    /* with fewer tokens, making the plan takes more time than it saves */
#define CHUNK 256 /* the tokens of the prefix that are read at once, as in nn/generate.c */

static const char *const me = "ct_lm_generate";

/* The planned step and its context. */
typedef struct lm_planned {
    const ct_lm *m;
    const ct_generation_options *o;
    ct_plan *plan;
    double *weights;
    int64_t n; /* the number of weights of the tokens */
    ct_generator g;
} lm_planned;

static ct_status lm_planned_step(void *context, ct_plan_call *call)
{
    const lm_planned *p = context;
    ct_tensor *logits = ct_lm_step(p->m, call->input[0], call->state, &call->next);

    call->output[0] = logits ? cti_sampling_weights(p->o, logits, &call->output[1]) : NULL;
    if (!call->output[1])
        call->output[1] = call->input[0]; /* all tokens in their order */
    return ct_error();
}

bool cti_lm_may_plan(const ct_lm *m, const ct_generation_options *o)
{
    const ct_thread *th = cti_thread();

    return ct_ok() && o->max_tokens >= FEW && o->banned_count == 0 && !cti_tracing &&
           !th->bindings && !th->program && !th->capturing && !th->draws &&
           ct_params_device(m->params) == CT_CPU &&
           ct_get_matmul_precision() != CT_MATMUL_PRECISION_BF16;
}

/* Reads the prefix except its last token. */
static bool lm_planned_read(const lm_planned *p, ct_state *state, const int32_t *ids, int64_t count)
{
    int64_t at, n;

    for (at = 0; at + 1 < count && ct_ok(); at += n) {
        ct_scope scope = ct_scope_begin_inference();
        ct_state *next = NULL;
        ct_tensor *x;

        n = count - 1 - at < CHUNK ? count - 1 - at : CHUNK;
        x = ct_from_data(ids + at, CT_SHAPE(n, 1), CT_I32, CT_CPU);
        ct_recurrent_forward(p->m->rnn, cti_lm_inputs(p->m, x), state, &next);
        ct_state_carry(state, next);
        if (ct_scope_end(scope) != CT_OK)
            return false;
    }
    return ct_ok();
}

static bool lm_planned_begin(lm_planned *p, const int32_t *ids, int64_t count)
{
    ct_state *state = ct_recurrent_begin_state(p->m->rnn, 1);
    ct_plan_options o = { .outputs = 2, .dtype = { CT_I32 }, .state = state };

    o.shape[0] = CT_SHAPE(1);
    p->plan = state ? cti_plan_new(me, p->m->params, lm_planned_step, p, &o) : NULL;
    if (p->plan && lm_planned_read(p, state, ids, count))
        ct_plan_set_state(p->plan, state);
    ct_state_free(state);
    if (!p->plan || !ct_ok())
        return false;
    p->n = ct_plan_output_shape(p->plan, 0).dim[1];
    p->weights = cti_calloc((size_t)p->n, sizeof *p->weights);
    if (!p->weights)
        cti_out_of_memory(me, (size_t)p->n * sizeof *p->weights);
    return p->weights != NULL;
}

/* Returns the token after `token`; -1 with an error. */
static int32_t lm_planned_next(lm_planned *p, int32_t token)
{
    const float *w = ct_plan_output(p->plan, 0);
    const int64_t *which = ct_plan_output(p->plan, 1);
    int64_t at = -1;

    *(int32_t *)ct_plan_input(p->plan, 0) = token;
    if (ct_plan_run(p->plan) != CT_OK)
        return -1;
    for (int64_t i = 0; i < p->n; i++)
        p->weights[i] = (double)w[i];
    if (p->o->temperature == 0)
        at = isfinite(p->weights[0]) ? 0 : -1;
    else
        at = cti_sampling_draw(p->weights, p->n, &p->g);
    if (at < 0) {
        ct_raise(CT_ERR_NUMERIC, me, "the model's logits are not finite");
        return -1;
    }
    return ct_plan_output_dtype(p->plan, 1) == CT_I64 ? (int32_t)which[at] : (int32_t)at;
}

void cti_lm_generate_planned(const ct_lm *m, const ct_generation_options *o,
                             const ct_generation_row *row)
{
    lm_planned p = { .m = m, .o = o };
    int32_t token = row->prefix[row->prefix_count - 1];

    p.g = ct_generator_stream(ct_generator_from_seed(row->seed), "generate");
    if (lm_planned_begin(&p, row->prefix, row->prefix_count))
        for (int64_t i = 0; i < o->max_tokens; i++) {
            token = lm_planned_next(&p, token);
            if (token < 0 || cti_generation_has(o->stop_count, o->stop, token) ||
                !o->emit(o->context, 0, token))
                break;
        }
    cti_release(p.weights);
    ct_plan_free(p.plan);
}
