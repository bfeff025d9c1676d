/* SPDX-License-Identifier: MIT */
/* plan.c - planned steps: a recorded program (tensor/program.h) with inputs, outputs and a
 * state. */
#include "nn/plan_internal.h"

#include "nn/internal.h"
#include "tensor/hooks.h"

#include <cotangent/tensor/device.h>

#include <string.h>

size_t cti_plan_slot_bytes(const cti_plan_slot *s)
{
    size_t n = ct_dtype_size(s->dtype);

    for (int i = 0; i < s->shape.rank; i++)
        n *= (size_t)s->shape.dim[i];
    return n;
}

/* ---- making a plan ---- */

/* The arguments of the plan in progress. */
typedef struct plan_job {
    const char *me;
    ct_params *params;
    ct_plan_function function;
    void *context;
    const ct_plan_options *options;
    ct_plan *plan;
} plan_job;

static bool plan_check(const plan_job *j)
{
    const ct_plan_options *o = j->options;

    if (!cti_given(j->me, "function", (const void *)j->function) ||
        (o->state && !cti_state_usable(j->me, "options.state", o->state)))
        return false;
    if (o->inputs < 0 || o->inputs > CT_PLAN_MOST || o->outputs < 0 || o->outputs > CT_PLAN_MOST)
        ct_raise(CT_ERR_ARGUMENT, j->me, "inputs is %d and outputs is %d; both must be in 0..%d",
                 o->inputs, o->outputs, CT_PLAN_MOST);
    else if (j->params && ct_params_device(j->params) != CT_CPU)
        ct_raise(CT_ERR_DEVICE, j->me, "the parameters are on %s; a plan runs on the CPU",
                 ct_device_name(ct_params_device(j->params)));
    return ct_ok();
}

/* Calls the function and checks its outputs and its next state. */
static bool plan_call(const plan_job *j, ct_plan_call *call)
{
    const ct_plan *p = j->plan;
    int i;

    if (j->function(j->context, call) != CT_OK || !ct_ok()) {
        if (ct_ok())
            ct_raise(CT_ERR_ARGUMENT, j->me, "the function failed without an error");
        return false;
    }
    for (i = 0; i < p->outputs; i++)
        if (!cti_usable_as(j->me, "an output of the function", call->output[i]))
            return false;
    if (!p->states)
        return true;
    if (!cti_state_usable(j->me, "next of the function", call->next))
        return false;
    for (i = 0; i < p->states; i++) {
        const ct_tensor *t = i < ct_state_count(call->next) ? ct_state_get(call->next, i) : NULL;

        if (!t || !cti_same_shape(&t->shape, &p->state[i].shape) || t->dtype != p->state[i].dtype) {
            ct_raise(CT_ERR_SHAPE, j->me, "next does not have the shapes of state (tensor %d)", i);
            return false;
        }
    }
    return true;
}

/* Makes the first call. It materialises lazy parameters and finds errors of the function. */
static bool plan_try(const plan_job *j)
{
    ct_scope s = ct_scope_begin_inference();
    ct_plan_call call = { .state = j->options->state };
    const ct_plan *p = j->plan;

    for (int i = 0; i < p->inputs; i++)
        call.input[i] = ct_zeros(p->input[i].shape, p->input[i].dtype, CT_CPU);
    if (ct_ok())
        plan_call(j, &call);
    return ct_scope_end(s) == CT_OK;
}

static bool plan_add_params(const plan_job *j)
{
    int count = j->params ? ct_params_count(j->params) : 0;

    for (int i = 0; i < count && ct_ok(); i++) {
        ct_param *param = ct_params_at(j->params, i);

        if (!ct_param_is_lazy(param))
            cti_program_external(j->plan->program, ct_param_name(param), ct_param_value(param));
    }
    return ct_ok();
}

/* Makes the inputs and the state of the recorded call. */
static bool plan_add_inputs(const plan_job *j, ct_plan_call *call)
{
    ct_plan *p = j->plan;
    ct_tensor *state[CTI_PLAN_MOST_STATES];
    int i;

    for (i = 0; i < p->inputs && ct_ok(); i++)
        call->input[i] = cti_program_input(p->program, p->input[i].shape, p->input[i].dtype,
                                           &p->input[i].buffer);
    for (i = 0; i < p->states && ct_ok(); i++)
        state[i] = cti_program_input(p->program, p->state[i].shape, p->state[i].dtype,
                                     &p->state[i].buffer);
    if (ct_ok() && p->states)
        call->state = ct_state_from_tensors(p->states, state);
    return ct_ok();
}

static bool plan_add_outputs(ct_plan *p, const ct_plan_call *call)
{
    int i;

    for (i = 0; i < p->states && ct_ok(); i++)
        p->state[i].next = cti_program_output(p->program, ct_state_get(call->next, i));
    for (i = 0; i < p->outputs && ct_ok(); i++) {
        cti_plan_slot *o = &p->output[i];

        o->shape = call->output[i]->shape;
        o->dtype = call->output[i]->dtype;
        o->buffer = cti_program_output(p->program, call->output[i]);
    }
    return ct_ok();
}

/* Makes the second call and records it. */
static bool plan_record(const plan_job *j)
{
    ct_scope s = ct_scope_begin_inference();
    ct_plan_call call = { .state = NULL };

    if (plan_add_params(j) && cti_program_begin(j->plan->program)) {
        if (plan_add_inputs(j, &call) && plan_call(j, &call))
            plan_add_outputs(j->plan, &call);
        cti_program_end(j->plan->program);
    }
    return ct_scope_end(s) == CT_OK && cti_program_finish(j->plan->program);
}

/* ---- the third call finds results that no kernel computed: the plan lacks them ---- */

/* Fills a buffer with values in 0.1 .. 0.9 if its dtype is a float. Other dtypes stay 0. */
static ct_tensor *plan_trial(ct_plan *p, const cti_plan_slot *s)
{
    void *data = cti_program_data(p->program, s->buffer);
    const int64_t n = (int64_t)(cti_plan_slot_bytes(s) / ct_dtype_size(s->dtype));

    for (int64_t i = 0; i < n; i++) {
        const double v = 0.1 + 0.8 * ((double)(i * 7919 % 997) / 997);

        if (s->dtype == CT_F32)
            ((float *)data)[i] = (float)v;
        else if (s->dtype == CT_F64)
            ((double *)data)[i] = v;
    }
    return ct_from_data(data, s->shape, s->dtype, CT_CPU);
}

/* True if t has the bits of the buffer. */
static bool plan_matches(const ct_plan *p, const ct_tensor *t, const cti_plan_slot *s, int buffer)
{
    const ct_tensor *c = t && cti_same_shape(&t->shape, &s->shape) && t->dtype == s->dtype
                             ? cti_contiguous(t)
                             : NULL;

    return c &&
           memcmp(cti_data(c), cti_program_data(p->program, buffer), cti_plan_slot_bytes(s)) == 0;
}

/* Compares the results of the plan with those of the function. */
static bool plan_same_results(const ct_plan *p, const ct_plan_call *call)
{
    bool same = true;
    int i;

    for (i = 0; i < p->outputs; i++)
        same &= plan_matches(p, call->output[i], &p->output[i], p->output[i].buffer);
    for (i = 0; i < p->states; i++)
        same &= plan_matches(p, ct_state_get(call->next, i), &p->state[i], p->state[i].next);
    return same;
}

/* Runs the plan and the function on values that differ from those of the recording. */
static bool plan_verify(const plan_job *j)
{
    ct_scope s = ct_scope_begin_inference();
    ct_plan_call call = { .state = NULL };
    ct_plan *p = j->plan;
    ct_tensor *state[CTI_PLAN_MOST_STATES];
    int i;

    for (i = 0; i < p->inputs; i++)
        call.input[i] = plan_trial(p, &p->input[i]);
    for (i = 0; i < p->states; i++)
        state[i] = plan_trial(p, &p->state[i]);
    if (ct_ok() && p->states)
        call.state = ct_state_from_tensors(p->states, state);
    if (ct_ok() && plan_call(j, &call) && cti_program_run(p->program) == CT_OK &&
        !plan_same_results(p, &call))
        cti_program_refuse(p->program, "computes or decides something outside of kernels");
    return ct_scope_end(s) == CT_OK;
}

/* Copies the initial state. */
static bool plan_keep_state(ct_plan *p, const ct_state *state)
{
    for (int i = 0; i < p->states; i++) {
        cti_plan_slot *s = &p->state[i];
        const size_t bytes = cti_plan_slot_bytes(s);

        s->begin = cti_calloc(1, bytes + 1);
        if (!s->begin)
            cti_out_of_memory(p->program->me, bytes);
        if (!s->begin || ct_to_host(ct_state_get(state, i), s->begin, bytes) != CT_OK)
            return false;
    }
    return true;
}

static void plan_begin_slots(ct_plan *p, const ct_plan_options *o)
{
    int i;

    p->inputs = o->inputs ? o->inputs : 1;
    p->outputs = o->outputs ? o->outputs : 1;
    p->states = o->state ? ct_state_count(o->state) : 0;
    for (i = 0; i < p->inputs; i++) {
        p->input[i].shape = o->shape[i];
        p->input[i].dtype = o->dtype[i];
    }
    for (i = 0; i < p->states; i++) {
        p->state[i].shape = ct_tensor_shape(ct_state_get(o->state, i));
        p->state[i].dtype = ct_tensor_dtype(ct_state_get(o->state, i));
    }
}

ct_plan *cti_plan_new(const char *me, ct_params *params, ct_plan_function function, void *context,
                      const ct_plan_options *options)
{
    plan_job j = { me, params, function, context, options, NULL };
    ct_plan *p;

    if (!ct_ok() || !plan_check(&j))
        return NULL;
    p = j.plan = cti_calloc(1, sizeof *p);
    if (!p) {
        cti_out_of_memory(me, sizeof *p);
        return NULL;
    }
    p->program = cti_program_new(me);
    if (p->program)
        plan_begin_slots(p, options);
    if (p->program && plan_try(&j) && plan_record(&j) && plan_verify(&j) &&
        plan_keep_state(p, options->state) && ct_plan_reset(p) == CT_OK)
        return p;
    ct_plan_free(p);
    return NULL;
}

ct_plan *ct_plan_new_function(ct_params *params, ct_plan_function function, void *context,
                              ct_plan_options options)
{
    return cti_plan_new("ct_plan_new_function", params, function, context, &options);
}

ct_status cti_plan_forward(void *module, ct_plan_call *call)
{
    call->output[0] = ct_forward(module, call->input[0]);
    return ct_error();
}

ct_plan *ct_plan_new(ct_params *params, ct_module *m, ct_shape shape, ct_dtype dtype)
{
    static const char *const me = "ct_plan_new";
    const ct_plan_options o = { .shape = { shape }, .dtype = { dtype } };

    return cti_given(me, "params", params) && cti_given(me, "m", m)
               ? cti_plan_new(me, params, cti_plan_forward, m, &o)
               : NULL;
}

ct_status cti_plan_recurrent_step(void *recurrent, ct_plan_call *call)
{
    call->output[0] = ct_recurrent_step(recurrent, call->input[0], call->state, &call->next);
    return ct_error();
}

ct_plan *ct_plan_new_step(ct_params *params, ct_recurrent *r, int64_t batch)
{
    static const char *const me = "ct_plan_new_step";
    ct_plan_options o = { .inputs = 0 };
    ct_state *begin;
    ct_plan *p;
    int64_t size;

    if (!cti_given(me, "params", params) || !cti_given(me, "r", r) ||
        !cti_at_least(me, "batch", batch, 0))
        return NULL;
    size = cti_recurrent_input_size(r);
    if (size < 0) {
        ct_raise(CT_ERR_SHAPE, me,
                 "the input size of r is not known yet; it is set by options, by a "
                 "forward pass or by a loaded file");
        return NULL;
    }
    begin = ct_recurrent_begin_state(r, batch);
    o.shape[0] = CT_SHAPE(batch, size);
    o.dtype[0] = ct_params_dtype(params);
    o.state = begin;
    p = begin ? cti_plan_new(me, params, cti_plan_recurrent_step, r, &o) : NULL;
    ct_state_free(begin);
    return p;
}

void ct_plan_free(ct_plan *p)
{
    if (!p)
        return;
    cti_program_free(p->program);
    for (int i = 0; i < p->states; i++)
        cti_release(p->state[i].begin);
    cti_release(p);
}

/* ---- using a plan ---- */

/* Returns input or output number i; NULL with an error. */
static const cti_plan_slot *plan_slot(const char *me, const ct_plan *p, bool input, int i)
{
    int count;

    if (!cti_given(me, "p", p))
        return NULL;
    count = input ? p->inputs : p->outputs;
    if (i >= 0 && i < count)
        return &(input ? p->input : p->output)[i];
    ct_raise(CT_ERR_INDEX, me, "i is %d; the plan has %d %s", i, count,
             input ? "inputs" : "outputs");
    return NULL;
}

void *ct_plan_input(ct_plan *p, int i)
{
    const cti_plan_slot *s = plan_slot("ct_plan_input", p, true, i);

    return s ? cti_program_data(p->program, s->buffer) : NULL;
}

const void *ct_plan_output(const ct_plan *p, int i)
{
    const cti_plan_slot *s = plan_slot("ct_plan_output", p, false, i);

    return s ? cti_program_data(p->program, s->buffer) : NULL;
}

ct_shape ct_plan_output_shape(const ct_plan *p, int i)
{
    const cti_plan_slot *s = plan_slot("ct_plan_output_shape", p, false, i);

    return s ? s->shape : CT_SCALAR;
}

ct_dtype ct_plan_output_dtype(const ct_plan *p, int i)
{
    const cti_plan_slot *s = plan_slot("ct_plan_output_dtype", p, false, i);

    return s ? s->dtype : CT_F32;
}

/* A thread that never called the library has no recorded error. This check must not allocate its
 * record of errors. */
static bool plan_may_run(void)
{
    return !cti_current || cti_sink_allowed();
}

ct_status ct_plan_run(ct_plan *p)
{
    static const char *const me = "ct_plan_run";
    ct_status status;

    if (!p || !plan_may_run())
        return cti_given(me, "p", p) ? ct_error() : CT_ERR_ARGUMENT;
    if (p->program->portable != ct_portable())
        return ct_raise(CT_ERR_ARGUMENT, me, "ct_set_portable was changed since the plan was made");
    status = cti_program_run(p->program);
    for (int i = 0; status == CT_OK && i < p->states; i++)
        memcpy(cti_program_data(p->program, p->state[i].buffer),
               cti_program_data(p->program, p->state[i].next), cti_plan_slot_bytes(&p->state[i]));
    return status;
}

ct_status ct_plan_reset(ct_plan *p)
{
    if (!cti_given("ct_plan_reset", "p", p))
        return ct_error();
    for (int i = 0; i < p->states; i++)
        memcpy(cti_program_data(p->program, p->state[i].buffer), p->state[i].begin,
               cti_plan_slot_bytes(&p->state[i]));
    return CT_OK;
}

static bool plan_has_state(const char *me, const ct_plan *p)
{
    if (!cti_given(me, "p", p))
        return false;
    if (!p->states)
        ct_raise(CT_ERR_ARGUMENT, me, "the plan has no state");
    return p->states > 0;
}

ct_status ct_plan_set_state(ct_plan *p, const ct_state *state)
{
    static const char *const me = "ct_plan_set_state";
    int i;

    if (!plan_has_state(me, p) || !cti_state_usable(me, "state", state))
        return ct_error();
    if (ct_state_count(state) != p->states)
        return ct_raise(CT_ERR_SHAPE, me, "state has %d tensors; that of the plan has %d",
                        ct_state_count(state), p->states);
    for (i = 0; i < p->states; i++) {
        const ct_tensor *t = ct_state_get(state, i);

        if (!cti_same_shape(&t->shape, &p->state[i].shape) || t->dtype != p->state[i].dtype)
            return ct_raise(CT_ERR_SHAPE, me, "tensor %d of state is %s; that of the plan is %s %s",
                            i, cti_describe(t).s, ct_dtype_name(p->state[i].dtype),
                            cti_shape_text(&p->state[i].shape).s);
    }
    for (i = 0; i < p->states && ct_ok(); i++)
        ct_to_host(ct_state_get(state, i), cti_program_data(p->program, p->state[i].buffer),
                   cti_plan_slot_bytes(&p->state[i]));
    return ct_error();
}

ct_state *ct_plan_state_new(const ct_plan *p)
{
    ct_tensor *t[CTI_PLAN_MOST_STATES] = { NULL };
    ct_state *state;
    ct_scope s;

    if (!plan_has_state("ct_plan_state_new", p))
        return NULL;
    s = cti_scope_push();
    for (int i = 0; i < p->states; i++)
        t[i] = ct_from_data(cti_program_data(p->program, p->state[i].buffer), p->state[i].shape,
                            p->state[i].dtype, CT_CPU);
    state = ct_ok() ? ct_state_new(p->states, t) : NULL;
    cti_scope_pop(s);
    return state;
}

size_t ct_plan_bytes(const ct_plan *p)
{
    const cti_program *g = p ? p->program : NULL;
    size_t bytes;

    if (!g)
        return 0;
    bytes = sizeof *p + sizeof *g + g->bytes + g->scratch + g->call_room * sizeof *g->calls +
            g->buffer_room * sizeof *g->buffers + g->external_room * sizeof *g->externals;
    for (int i = 0; i < p->states; i++)
        bytes += cti_plan_slot_bytes(&p->state[i]);
    return bytes;
}
