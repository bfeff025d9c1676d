/* SPDX-License-Identifier: MIT */
/* byte_model.c - an embedding by one-hot rows, a GRU and a linear layer, trained on windows of the
 * bytes seen so far. */
#include "byte_model.h"

#define SCALE 65536 /* the approximate sum of the frequencies */
#define ROWS 8      /* the number of windows in a training step */
#define STEPS 32    /* the length of a window in symbols */

void byte_model_new(byte_model *m, const uint8_t occurs[256], int hidden, double dropout)
{
    int b;

    *m = (byte_model){ .draws = ct_generator_from_seed(1) };
    for (b = 0; b < 256; b++) {
        m->symbol[b] = occurs[b] ? m->symbols : -1;
        if (occurs[b])
            m->byte[m->symbols++] = (uint8_t)b;
    }
    m->params = ct_params_new((ct_params_options){ .seed = 1 });
    m->gru = ct_nn_gru(
        m->params, "gru",
        (ct_nn_gru_options){
            .input_size = m->symbols, .hidden_size = hidden, .num_layers = 2, .dropout = dropout });
    m->linear =
        ct_nn_linear(m->params, "linear",
                     (ct_nn_linear_options){ .in_features = hidden, .out_features = m->symbols });
    m->adam = ct_adam_new(m->params, (ct_adam_options){ .lr = 0.004, .beta2 = 0.99 });
    m->state = ct_recurrent_begin_state(m->gru, 1);
}

void byte_model_free(byte_model *m)
{
    ct_state_free(m->state);
    ct_optimizer_free(m->adam);
    ct_params_free(m->params);
}

/* ids (T, B) -> scores (T, B, symbols) */
static ct_tensor *scores(const byte_model *m, ct_tensor *ids, const ct_state *state,
                         ct_state **next)
{
    return ct_forward(m->linear,
                      ct_recurrent_forward(m->gru, ct_one_hot(ids, m->symbols), state, next));
}

uint32_t byte_model_next(byte_model *m, int previous, uint32_t *frequency)
{
    float p[256];
    ct_scope s = ct_scope_begin_inference();
    int32_t id = previous < 0 ? 0 : m->symbol[previous];
    ct_tensor *x = ct_from_data(&id, CT_SHAPE(1, 1), CT_I32, CT_CPU), *y;
    ct_state *next;
    uint32_t total = 0;
    int k;

    y = ct_softmax(scores(m, x, m->state, &next), -1);
    ct_to_host(y, p, (size_t)m->symbols * sizeof *p);
    ct_state_carry(m->state, next);
    if (ct_scope_end(s) != CT_OK)
        return 0;
    for (k = 0; k < m->symbols; k++)
        total += frequency[k] = 1 + (p[k] > 0 ? (uint32_t)(p[k] * SCALE) : 0); /* NaN counts as 0 */
    return total;
}

/* Windows of STEPS + 1 symbols: x is the first STEPS of them, y the last STEPS. */
static void draw_windows(byte_model *m, const uint8_t *seen, size_t size, size_t recent, int steps,
                         int32_t *x, int32_t *y)
{
    int r, t;

    for (r = 0; r < ROWS; r++) {
        uint64_t last = size - (size_t)steps - 1, begin;
        uint64_t span = r % 2 && recent < last ? recent : last;

        begin = last - ct_random_below(&m->draws, span + 1);
        for (t = 0; t < steps; t++) {
            x[t * ROWS + r] = m->symbol[seen[begin + (uint64_t)t]];
            y[t * ROWS + r] = m->symbol[seen[begin + (uint64_t)t + 1]];
        }
    }
}

ct_status byte_model_learn(byte_model *m, const uint8_t *seen, size_t size, size_t recent,
                           size_t count, double lr)
{
    int32_t x[ROWS * STEPS], y[ROWS * STEPS];
    int length = size > STEPS ? STEPS : (int)size - 1;
    size_t steps = (count + ROWS * STEPS / 2) / (ROWS * STEPS), i;
    ct_status status = CT_OK;

    ct_optimizer_set_lr(m->adam, lr);
    for (i = 0; i < steps && length > 0 && status == CT_OK; i++) {
        ct_scope s = ct_scope_begin();
        ct_shape shape = CT_SHAPE(length, ROWS);

        draw_windows(m, seen, size, recent, length, x, y);
        ct_backward(ct_cross_entropy(scores(m, ct_from_data(x, shape, CT_I32, CT_CPU), NULL, NULL),
                                     ct_from_data(y, shape, CT_I32, CT_CPU)));
        ct_clip_grad_norm(m->params, 1, NULL);
        ct_optimizer_step(m->adam);
        status = ct_scope_end(s);
    }
    return status;
}
