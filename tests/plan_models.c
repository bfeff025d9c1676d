/* SPDX-License-Identifier: MIT */
/* plan_models.c - random models that compute a step. */
#include "tests/plan_models.h"

#include "tests/harness.h"

#include <stdio.h>
#include <string.h>

#include <cotangent.h>

static int64_t pick(ct_generator *g, int64_t low, int64_t high)
{
    return low + (int64_t)ct_random_below(g, (uint64_t)(high - low + 1));
}

static bool coin(ct_generator *g)
{
    return ct_random_below(g, 2) == 1;
}

static void note(plan_model *m, const char *word)
{
    size_t n = strlen(m->what);

    snprintf(m->what + n, sizeof m->what - n, " %s", word);
}

static ct_module *new_activation(plan_model *m, ct_generator *g)
{
    static const struct {
        const char *name;
        ct_tensor *(*op)(ct_tensor *x);
    } ops[] = { { "tanh", ct_tanh },         { "relu", ct_relu }, { "sigmoid", ct_sigmoid },
                { "gelu", ct_gelu },         { "silu", ct_silu }, { "softplus", ct_softplus },
                { "softsign", ct_softsign }, { "mish", ct_mish }, { "hardsigmoid", ct_hardsigmoid },
                { "erfc", ct_erfc } };
    int64_t i = pick(g, 0, LENGTH(ops) - 1);

    note(m, ops[i].name);
    return ct_nn_op(m->params, ops[i].op);
}

static ct_recurrent *new_recurrent(plan_model *m, ct_generator *g, int64_t in)
{
    static const char *const kinds[] = { "rnn", "lstm", "gru" };
    int64_t kind = pick(g, 0, 2);
    ct_nn_recurrent_options o = { .input_size = in,
                                  .hidden_size = pick(g, 2, 40),
                                  .num_layers = (int)pick(g, 1, 3),
                                  .no_bias = pick(g, 0, 4) == 0,
                                  .layer_norm = pick(g, 0, 3) == 0,
                                  .batch_first = coin(g),
                                  .learn_state = pick(g, 0, 3) == 0,
                                  .dialect = (ct_dialect)pick(g, 0, 3) };

    note(m, kinds[kind]);
    if (kind == 0 && coin(g))
        o.nonlinearity = CT_NONLINEARITY_RELU;
    if (kind == 1 && coin(g))
        o.proj_size = pick(g, 1, o.hidden_size - 1);
    if (kind == 2 && coin(g))
        o.reset_before = true;
    note(m, o.layer_norm ? "layer_norm" : "");
    note(m, o.proj_size ? "proj" : "");
    note(m, o.reset_before ? "reset_before" : "");
    return kind == 0   ? ct_nn_rnn(m->params, "rnn", o)
           : kind == 1 ? ct_nn_lstm(m->params, "rnn", o)
                       : ct_nn_gru(m->params, "rnn", o);
}

/* Makes a chain of a Linear and, depending on the seed, LayerNorm, activations and a second
 * Linear. */
static ct_module *new_chain(plan_model *m, ct_generator *g, const char *name, int64_t in,
                            int64_t *out)
{
    ct_params *part = ct_params_sub(m->params, name);
    ct_module *list[6];
    int n = 0;

    *out = pick(g, 1, 20);
    if (coin(g))
        list[n++] = ct_nn_layer_norm(
            part, "norm", (ct_nn_layer_norm_options){ .no_bias = coin(g), .no_affine = coin(g) });
    list[n++] = ct_nn_linear(
        part, "linear",
        (ct_nn_linear_options){ .in_features = in, .out_features = *out, .no_bias = coin(g) });
    if (coin(g))
        list[n++] = new_activation(m, g);
    if (coin(g))
        list[n++] = ct_nn_linear(
            part, "last", (ct_nn_linear_options){ .in_features = *out, .out_features = *out });
    return ct_nn_sequential(m->params, n, list);
}

/* Adds noise to every parameter, so that norms, biases and states do not keep their initial
 * values. */
static void perturb(plan_model *m, ct_generator *g)
{
    ct_scope s = ct_scope_begin_inference();

    for (int i = 0; i < ct_params_count(m->params); i++) {
        ct_tensor *t = ct_param_value(ct_params_at(m->params, i));
        ct_tensor *noise = ct_empty(ct_tensor_shape(t), CT_F32, CT_CPU);

        ct_normal_into(noise, 0, 0.3, g);
        ct_copy_into(t, ct_add(t, noise));
    }
    ck_assert_msg(ct_scope_end(s) == CT_OK, "%s", ct_error_message());
}

plan_model plan_model_new(uint64_t seed, int64_t batch)
{
    ct_generator g = ct_generator_stream(ct_generator_from_seed(seed), "plan models");
    plan_model m = { .params = ct_params_new((ct_params_options){ .seed = seed }) };
    int64_t in = pick(&g, 1, 30), out;

    m.ids = pick(&g, 0, 2) == 0;
    m.batch = batch ? batch : pick(&g, 1, 3);
    m.size = in;
    snprintf(m.what, sizeof m.what, "seed %llu:", (unsigned long long)seed);
    if (m.ids) {
        note(&m, "embedding");
        m.size = pick(&g, 2, 40);
        m.front = ct_nn_embedding(m.params, "embedding",
                                  (ct_nn_embedding_options){ .rows = m.size, .size = in });
    } else if (coin(&g)) {
        m.front = new_chain(&m, &g, "front", in, &in);
    }
    if (pick(&g, 0, 5))
        m.recurrent = new_recurrent(&m, &g, in);
    if (m.recurrent)
        in = ct_recurrent_hidden_size(m.recurrent);
    if (coin(&g) || !m.recurrent)
        m.back = new_chain(&m, &g, "back", in, &out);
    if (m.back && !m.recurrent) { /* materialises lazy norms */
        ct_plan_call call = { .state = NULL };
        ct_scope s = ct_scope_begin_inference();

        call.input[0] = m.ids ? ct_zeros(CT_SHAPE(m.batch), CT_I32, CT_CPU)
                              : ct_zeros(CT_SHAPE(m.batch, m.size), CT_F32, CT_CPU);
        plan_model_step(&m, &call);
        ck_assert(ct_scope_end(s) == CT_OK);
    } else {
        ct_scope s = ct_scope_begin_inference();
        ct_plan_call call = { .state = ct_recurrent_begin_state(m.recurrent, m.batch) };

        call.input[0] = m.ids ? ct_zeros(CT_SHAPE(m.batch), CT_I32, CT_CPU)
                              : ct_zeros(CT_SHAPE(m.batch, m.size), CT_F32, CT_CPU);
        plan_model_step(&m, &call);
        ct_state_free((ct_state *)call.state);
        ck_assert_msg(ct_scope_end(s) == CT_OK, "%s: %s", m.what, ct_error_message());
    }
    perturb(&m, &g);
    return m;
}

void plan_model_free(plan_model *m)
{
    ct_params_free(m->params);
}

ct_status plan_model_step(void *model, ct_plan_call *call)
{
    plan_model *m = model;
    ct_tensor *x = call->input[0];

    x = m->front ? ct_forward(m->front, x) : x;
    if (m->recurrent)
        x = ct_recurrent_step(m->recurrent, x, call->state, &call->next);
    call->output[0] = m->back ? ct_forward(m->back, x) : x;
    return ct_error();
}

ct_plan_options plan_model_options(const plan_model *m, ct_state **state)
{
    ct_plan_options o = { .inputs = 1 };

    o.shape[0] = m->ids ? CT_SHAPE(m->batch) : CT_SHAPE(m->batch, m->size);
    o.dtype[0] = m->ids ? CT_I32 : CT_F32;
    *state = m->recurrent ? ct_recurrent_begin_state(m->recurrent, m->batch) : NULL;
    o.state = *state;
    return o;
}

void plan_model_draw(const plan_model *m, ct_generator *g, void *x)
{
    int64_t n = m->ids ? m->batch : m->batch * m->size;

    for (int64_t i = 0; i < n; i++)
        if (m->ids)
            ((int32_t *)x)[i] = (int32_t)ct_random_below(g, (uint64_t)m->size);
        else
            ((float *)x)[i] = (float)(4 * ct_random_uniform(g) - 2);
}
