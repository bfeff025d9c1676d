/* SPDX-License-Identifier: MIT */
/* rnn_scratch.c - the language model of d2l.ai's chapter "Recurrent Neural Network Implementation
 * from Scratch", from plain ops, compared with the concise one. Both start with the same weights
 * and train on the same batches.
 *
 *     from scratch: perplexity   5.79, validation   7.27, 343725 tokens/s
 *     concise:      perplexity   5.88, validation   7.27, 515295 tokens/s */
#include <stdio.h>
#include <stdlib.h>

#include <cotangent.h>

#include "common.h"
#include "lm.h"

typedef struct scratch {
    lm lm; /* the first member, because forward gets a pointer to it */
    ct_param *w_xh, *w_hh, *b_h, *w_hq, *b_q;
    int64_t hidden;
    ct_tensor **outputs; /* the outputs of each step */
} scratch;

/* ids (B, T) -> logits (B, T, vocab):  h = tanh(x W_xh + h W_hh + b_h),  o = h W_hq + b_q */
static ct_tensor *forward(lm *m, ct_tensor *ids, const ct_state *state, ct_state **next)
{
    const scratch *s = (const scratch *)m;
    ct_tensor *w_xh = ct_param_value(s->w_xh), *w_hh = ct_param_value(s->w_hh);
    ct_tensor *b_h = ct_param_value(s->b_h), *w_hq = ct_param_value(s->w_hq);
    ct_tensor *b_q = ct_param_value(s->b_q);
    ct_tensor *x = ct_one_hot(ids, m->vocab); /* (B, T, vocab) */
    ct_tensor *h =
        state ? ct_state_get(state, 0)
              : ct_zeros(CT_SHAPE(ct_size(ids, 0), s->hidden), CT_F32, ct_tensor_device(ids));
    int steps = (int)ct_size(ids, 1);

    for (int t = 0; t < steps; t++) {
        ct_tensor *from_x = ct_matmul(ct_select(x, 1, t), w_xh), *from_h = ct_matmul(h, w_hh);

        h = ct_tanh(ct_add(ct_add(from_x, from_h), b_h)); /* (B, hidden) */
        s->outputs[t] = ct_add(ct_matmul(h, w_hq), b_q);  /* (B, vocab) */
    }
    if (next)
        *next = ct_state_from_tensors(1, &h);
    return ct_stack(steps, s->outputs, 1);
}

static scratch scratch_new(const options *o, const ct_corpus *corpus)
{
    lm m = lm_begin(o, corpus);
    ct_init normal = ct_init_normal(0, 0.01), zero = ct_init_constant(0);
    int64_t hidden = o->hidden;
    scratch s = {
        .lm = m,
        .w_xh = ct_params_add(m.params, "W_xh", CT_SHAPE(m.vocab, hidden), normal),
        .w_hh = ct_params_add(m.params, "W_hh", CT_SHAPE(hidden, hidden), normal),
        .b_h = ct_params_add(m.params, "b_h", CT_SHAPE(hidden), zero),
        .w_hq = ct_params_add(m.params, "W_hq", CT_SHAPE(hidden, m.vocab), normal),
        .b_q = ct_params_add(m.params, "b_q", CT_SHAPE(m.vocab), zero),
        .hidden = hidden,
        .outputs = calloc((size_t)o->steps, sizeof *s.outputs),
    };

    if (!s.outputs)
        ct_raise(CT_ERR_MEMORY, "scratch_new", "out of memory");
    s.lm.forward = forward;
    return s;
}

/* Copies the weights of the concise model to s, which has one bias: the sum of the concise model's
 * two. */
static ct_status begin_alike(scratch *s, const lm *concise)
{
    ct_scope scope = ct_scope_begin_no_grad();
    ct_params *from = concise->params;
    ct_param *b_hh = ct_params_get(from, "rnn.bias_hh_l0");
    ct_tensor *w_xh = ct_param_value(ct_params_get(from, "rnn.weight_ih_l0"));
    ct_tensor *w_hh = ct_param_value(ct_params_get(from, "rnn.weight_hh_l0"));
    ct_tensor *b_h = ct_param_value(ct_params_get(from, "rnn.bias_ih_l0"));
    ct_tensor *w_hq = ct_param_value(ct_params_get(from, "linear.weight"));

    ct_copy_into(ct_param_value(s->w_xh), ct_transpose(w_xh, 0, 1));
    ct_copy_into(ct_param_value(s->w_hh), ct_transpose(w_hh, 0, 1));
    ct_copy_into(ct_param_value(s->b_h), b_hh ? ct_add(b_h, ct_param_value(b_hh)) : b_h);
    ct_copy_into(ct_param_value(s->w_hq), ct_transpose(w_hq, 0, 1));
    ct_copy_into(ct_param_value(s->b_q), ct_param_value(ct_params_get(from, "linear.bias")));
    return ct_scope_end(scope);
}

int main(int argc, char **argv)
{
    options o = options_parse_chapter(argc, argv,
                                      "Trains the language model of the chapter twice: written "
                                      "with plain ops, and with the library's modules.",
                                      "protocol dialect data hidden epochs lr clip batch steps "
                                      "random num-train num-val max-tokens seed threads device");
    ct_corpus *corpus = options_corpus(&o, NULL);
    lm concise =
        lm_new(&o, corpus, (ct_nn_recurrent_options){ .nonlinearity = CT_NONLINEARITY_TANH });
    scratch s = scratch_new(&o, corpus);
    lm *both[] = { &s.lm, &concise };

    begin_alike(&s, &concise);
    for (int i = 0; i < 2; i++) {
        ct_fit_result fit;

        lm_fit(both[i], &fit);
        printf("%-13s perplexity %6.2f", i ? "concise:" : "from scratch:", fit.perplexity);
        if (both[i]->val)
            printf(", validation %6.2f", fit.validation_perplexity);
        printf(", %.0f tokens/s\n", fit.tokens_per_second);
        fflush(stdout);
    }
    free(s.outputs);
    lm_free(&s.lm);
    lm_free(&concise);
    ct_corpus_free(corpus);
    return 0;
}
