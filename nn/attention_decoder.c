/* SPDX-License-Identifier: MIT */
/* attention_decoder.c - a cell that attends to a memory, around another cell. */
#include "nn/attention_internal.h"
#include "nn/cell.h"
#include "nn/steps.h"

#include <cotangent/autograd/ops/elementwise.h>
#include <cotangent/autograd/ops/join.h>
#include <cotangent/autograd/ops/matmul.h>
#include <cotangent/autograd/ops/views.h>
#include <cotangent/nn/attention_decoder.h>
#include <cotangent/nn/init.h>

#include <math.h>

static const char decoder_function[] = "ct_recurrent_forward";

/* The data of a module; the cells share it. */
typedef struct decoder_module {
    ct_nn_attention_decoder_options options;
    const void *cell_options; /* the options of the inner cell */
    ct_cell table;
} decoder_module;

/* The data of a cell. Only one layer of a module attends. */
typedef struct decoder_cell {
    const decoder_module *module;
    ct_cell_inner *inner;
    bool before, after;
    ct_param *w_c;
} decoder_cell;

static ct_status decoder_init(void *self, const ct_cell_place *at)
{
    decoder_cell *c = self;
    const decoder_module *m = c->module = at->options->cell_options;
    const int last = at->options->num_layers > 1 ? at->options->num_layers - 1 : 0;
    const int64_t memory = m->options.memory_size;
    ct_nn_recurrent_options options = *at->options;
    ct_cell_place place = *at;
    int64_t wide, output;

    c->before = m->options.order == CT_ATTENTION_ORDER_BEFORE && at->layer == 0;
    c->after = m->options.order == CT_ATTENTION_ORDER_AFTER && at->layer == last;
    options.cell_options = m->cell_options;
    place.options = &options;
    if (c->before)
        place.input_size += memory;
    c->inner = ct_cell_inner_add(&place, m->options.cell);
    if (!c->inner || !c->after)
        return ct_error();
    output = ct_cell_inner_output_size(c->inner);
    wide = memory + output;
    c->w_c = ct_cell_param(at, "weight_c", CT_SHAPE(output, wide),
                           ct_init_uniform(-1 / sqrt((double)wide), 1 / sqrt((double)wide)));
    return ct_error();
}

static int64_t decoder_state_size(const void *self, int i)
{
    return ct_cell_inner_state_size(((const decoder_cell *)self)->inner, i);
}

static int64_t decoder_output_size(const void *self)
{
    return ct_cell_inner_output_size(((const decoder_cell *)self)->inner);
}

/* ---- attention ---- */

/* Returns the memory of the call and checks it against x (..., B, size). Returns NULL with an
 * error. */
static const ct_attention_memory *decoder_memory(const decoder_cell *c, const ct_tensor *x,
                                                 const ct_cell_step *at)
{
    const ct_attention_memory *m = at->data;
    const char *me = decoder_function;

    if (!m) {
        ct_raise(CT_ERR_ARGUMENT, me, "call.data is NULL; it must be a ct_attention_memory");
        return NULL;
    }
    if (!cti_usable_as(me, "memory.values", m->values) ||
        !cti_optional_as(me, "memory.keys", m->keys) ||
        !cti_optional_as(me, "memory.lengths", m->lengths))
        return NULL;
    if (ct_rank(m->values) == 3 && ct_size(m->values, 0) == ct_size(x, -2) &&
        ct_size(m->values, 2) == c->module->options.memory_size)
        return m;
    ct_raise(CT_ERR_SHAPE, me, "memory.values %s must be (%lld, S, %lld)",
             cti_describe(m->values).s, (long long)ct_size(x, -2),
             (long long)c->module->options.memory_size);
    return NULL;
}

/* query (B, L, size of h) -> the context (B, L, memory_size) */
static ct_tensor *decoder_attend(const decoder_cell *c, ct_tensor *query,
                                 const ct_attention_memory *m)
{
    const ct_attention_call call = { .key_lengths = m->lengths, .projected_keys = m->keys != NULL };

    return ct_attention_forward(c->module->options.attention, query, m->keys ? m->keys : m->values,
                                m->values, call);
}

/* h (..., L, size) and its context (..., L, memory_size) -> y */
static ct_tensor *decoder_combine(const decoder_cell *c, ct_tensor *context, ct_tensor *h)
{
    return ct_tanh(ct_linear(CT_CAT(-1, context, h), ct_param_value(c->w_c), NULL));
}

/* ---- the functions of the cell ---- */

static ct_tensor *decoder_project(void *self, ct_tensor *x, const ct_cell_step *at)
{
    const decoder_cell *c = self;

    return c->before ? x : ct_cell_inner_project(c->inner, x, at);
}

static ct_tensor *decoder_step(void *self, ct_tensor *x, ct_tensor *const *state, ct_tensor **next,
                               const ct_cell_step *at)
{
    const decoder_cell *c = self;
    const ct_attention_memory *m = NULL;
    ct_tensor *context, *h;

    if ((c->before || c->after) && !(m = decoder_memory(c, x, at)))
        return NULL;
    if (c->before) {
        context = ct_squeeze(decoder_attend(c, ct_unsqueeze(state[0], 1), m), 1);
        x = ct_cell_inner_project(c->inner, CT_CAT(1, context, x), at);
    }
    h = x ? ct_cell_inner_step(c->inner, x, state, next, at) : NULL;
    if (!h || !c->after)
        return h;
    context = ct_squeeze(decoder_attend(c, ct_unsqueeze(h, 1), m), 1);
    return decoder_combine(c, context, h);
}

/* Runs the steps one by one. The keys are computed once. */
static ct_tensor *decoder_run_steps(decoder_cell *c, ct_tensor *x, ct_tensor **state, bool reverse,
                                    const ct_cell_step *at)
{
    ct_attention_memory memory = *(const ct_attention_memory *)at->data;
    cti_extent extent = { .shortest = ct_size(x, 0), .longest = ct_size(x, 0) };
    cti_steps s = { .cell = &c->module->table,
                    .self = c,
                    .at = *at,
                    .extent = &extent,
                    .reverse = reverse,
                    .batch = ct_size(x, 1),
                    .output = decoder_output_size(c) };
    ct_tensor *y;
    int i;

    if (!memory.keys)
        memory.keys = ct_attention_keys(c->module->options.attention, memory.values);
    if (!memory.keys)
        return NULL;
    s.at.data = &memory;
    s.at.lengths = NULL;
    if (at->lengths) {
        extent.lengths = at->lengths;
        extent.shortest = 0;
        extent.active = cti_active_steps(at->lengths, extent.longest);
    }
    for (i = 0; i < c->module->table.states; i++)
        s.state[i] = state[i];
    y = ct_ok() ? cti_run_steps(&s, x) : NULL;
    for (i = 0; y && i < c->module->table.states; i++)
        state[i] = s.state[i];
    return y;
}

static ct_tensor *decoder_sequence(void *self, ct_tensor *x, ct_tensor **state, bool reverse,
                                   const ct_cell_step *at)
{
    decoder_cell *c = self;
    const ct_attention_memory *m = NULL;
    ct_tensor *h, *context;

    if ((c->before || c->after) && !(m = decoder_memory(c, x, at)))
        return NULL;
    if (c->before)
        return decoder_run_steps(c, x, state, reverse, at);
    h = ct_cell_inner_sequence(c->inner, x, state, reverse, at); /* (T, B, size) */
    if (!h && c->after && ct_ok())
        return decoder_run_steps(c, x, state, reverse, at);
    if (!h || !c->after)
        return h;
    context = ct_transpose(decoder_attend(c, ct_transpose(h, 0, 1), m), 0, 1);
    return decoder_combine(c, context, h);
}

/* ---- the module ---- */

static bool decoder_check(const char *me, const ct_nn_attention_decoder_options *d,
                          const ct_nn_recurrent_options *o)
{
    if (!cti_given(me, "decoder.attention", d->attention))
        return false;
    if (!d->attention->forward)
        ct_raise(CT_ERR_ARGUMENT, me,
                 "decoder.attention is a MultiheadAttention; it must be additive or Luong's");
    else if (d->memory_size < 1 || d->memory_size > CTI_MOST_SIZE)
        ct_raise(CT_ERR_ARGUMENT, me, "decoder.memory_size is %lld; it must be in 1..%lld",
                 (long long)d->memory_size, (long long)CTI_MOST_SIZE);
    else if ((unsigned)d->order > CT_ATTENTION_ORDER_AFTER)
        ct_raise(CT_ERR_ARGUMENT, me, "decoder.order is %d; it must be in 0..%d", (int)d->order,
                 (int)CT_ATTENTION_ORDER_AFTER);
    else if (o->bidirectional)
        ct_raise(CT_ERR_ARGUMENT, me, "bidirectional is set; a decoder has one direction");
    else
        return true;
    return false;
}

ct_recurrent *ct_nn_attention_decoder(ct_params *params, const char *name,
                                      ct_nn_attention_decoder_options decoder,
                                      ct_nn_recurrent_options options)
{
    static const char *const me = "ct_nn_attention_decoder";
    decoder_module *m;

    if (!decoder.cell)
        decoder.cell = ct_cell_gru();
    if (!cti_module_given(me, params, name) || !decoder_check(me, &decoder, &options) ||
        !cti_cell_given(me, decoder.cell) || !(m = cti_module_data(params, sizeof *m)))
        return NULL;
    m->options = decoder;
    m->cell_options = options.cell_options;
    m->table = (ct_cell){ .name = "attention decoder",
                          .size = sizeof(decoder_cell),
                          .states = decoder.cell->states,
                          .init = decoder_init,
                          .state_size = decoder_state_size,
                          .output_size = decoder_output_size,
                          .step = decoder_step,
                          .project = decoder_project,
                          .sequence = decoder_sequence,
                          .lengths = true };
    options.cell_options = m;
    return cti_recurrent_new(me, params, name, &m->table, &options, false);
}
