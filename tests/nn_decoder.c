/* SPDX-License-Identifier: MIT */
/* nn_decoder.c - additive and Luong's attention, and recurrent decoders that use them. */
#include "tests/test_nn.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cotangent.h>

enum { ROWS = 3, SOURCE = 4, STEPS = 3, QUERY = 5, KEY = 6, VALUE = 2, IN = 4 };

static const int64_t source_lengths[ROWS] = { 2, SOURCE, 1 };

static ct_tensor *decoder_drawn(uint64_t seed, ct_shape shape)
{
    ct_generator g = ct_generator_from_seed(seed);

    return random_normal(&g, shape, CT_F64);
}

static ct_tensor *decoder_lengths(const int64_t *lengths)
{
    return ct_from_data(lengths, CT_SHAPE(ROWS), CT_I64, DEVICE);
}

/* ---- the scores, against loops over numbers ---- */

typedef enum kind { ADDITIVE, GENERAL, DOT, CONCAT, KINDS } kind;

static ct_attention *attention_of(ct_params *set, kind k, int64_t query, int64_t key)
{
    static const ct_attention_score scores[] = { [GENERAL] = CT_ATTENTION_SCORE_GENERAL,
                                                 [DOT] = CT_ATTENTION_SCORE_DOT,
                                                 [CONCAT] = CT_ATTENTION_SCORE_CONCAT };
    ct_nn_luong_attention_options o = { .query_size = query, .key_size = key };

    if (k == ADDITIVE)
        return ct_nn_additive_attention(set, "a",
                                        (ct_nn_additive_attention_options){ .query_size = query,
                                                                            .key_size = key,
                                                                            .hidden_size = 3 });
    o.score = scores[k];
    o.hidden_size = k == CONCAT ? 3 : 0;
    return ct_nn_luong_attention(set, "a", o);
}

static double *weight_of(ct_params *set, const char *name)
{
    ct_param *p = ct_params_get(set, name);

    return p ? values_of(ct_param_value(p)) : NULL;
}

/* The score of q and k by the formula of the kind; w: the weights in the order of the header. */
static double score_by_hand(kind kind, double *const *w, const double *q, const double *k)
{
    double sum = 0;

    if (kind == DOT)
        for (int i = 0; i < QUERY; i++)
            sum += q[i] * k[i];
    if (kind == GENERAL)
        for (int i = 0; i < QUERY; i++)
            for (int j = 0; j < KEY; j++)
                sum += q[i] * w[0][i * KEY + j] * k[j];
    for (int h = 0; (kind == ADDITIVE || kind == CONCAT) && h < 3; h++) {
        double inner = 0;

        for (int i = 0; i < QUERY; i++)
            inner += q[i] * (kind == ADDITIVE ? w[1][h * QUERY + i] : w[0][h * (QUERY + KEY) + i]);
        for (int j = 0; j < KEY; j++)
            inner +=
                k[j] * (kind == ADDITIVE ? w[0][h * KEY + j] : w[0][h * (QUERY + KEY) + QUERY + j]);
        sum += w[2][h] * tanh(inner);
    }
    return sum;
}

/* The weights of one query for the first n of SOURCE keys. */
static void weights_by_hand(kind kind, double *const *w, const double *q, const double *k,
                            int64_t size, int64_t n, double *out)
{
    double total = 0;

    for (int j = 0; j < SOURCE; j++) {
        out[j] = j < n ? exp(score_by_hand(kind, w, q, k + j * size)) : 0;
        total += out[j];
    }
    for (int j = 0; j < SOURCE; j++)
        out[j] /= total;
}

START_TEST(scores)
{
    static const char *const names[KINDS][3] = {
        [ADDITIVE] = { "a.W_k.weight", "a.W_q.weight", "a.w_v.weight" },
        [GENERAL] = { "a.W_a.weight" },
        [CONCAT] = { "a.W_a.weight", NULL, "a.v_a.weight" },
    };
    const kind kind = _i;
    const int64_t size = kind == DOT ? QUERY : KEY;
    ct_params *set = new_params(4, CT_F64);
    ct_attention *a = attention_of(set, kind, QUERY, size);
    ct_scope s = ct_scope_begin_no_grad();
    ct_tensor *q = decoder_drawn(1, CT_SHAPE(ROWS, 2, QUERY));
    ct_tensor *k = decoder_drawn(2, CT_SHAPE(ROWS, SOURCE, size));
    ct_tensor *v = decoder_drawn(3, CT_SHAPE(ROWS, SOURCE, VALUE)), *found, *y;
    double *w[3] = { NULL }, *dq = values_of(q), *dk = values_of(k);
    double want[ROWS * 2 * SOURCE];
    ct_attention_call call = { .key_lengths = decoder_lengths(source_lengths), .weights = &found };

    for (int i = 0; i < 3; i++)
        w[i] = names[kind][i] ? weight_of(set, names[kind][i]) : NULL;
    for (int i = 0; i < ROWS * 2; i++)
        weights_by_hand(kind, w, dq + i * QUERY, dk + i / 2 * SOURCE * size, size,
                        source_lengths[i / 2], want + i * SOURCE);
    y = ct_attention_forward(a, q, k, v, call);
    expect_ok();
    expect_values("weights", found, want, LENGTH(want), 1e-14);
    expect_same("y", y, ct_matmul(found, v), 1e-14);
    call.projected_keys = true;
    expect_same("projected", ct_attention_forward(a, q, ct_attention_keys(a, k), v, call), y,
                1e-14);
    for (int i = 0; i < 3; i++)
        free(w[i]);
    free(dq);
    free(dk);
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(set);
}
END_TEST

/* Parameters: names, shapes and initial values. */
START_TEST(attention_parameters)
{
    ct_params *set = new_params(4, CT_F64);

    attention_of(ct_params_sub(set, "x"), ADDITIVE, QUERY, KEY);
    attention_of(ct_params_sub(set, "y"), GENERAL, QUERY, KEY);
    attention_of(ct_params_sub(set, "z"), CONCAT, QUERY, KEY);
    attention_of(ct_params_sub(set, "d"), DOT, QUERY, QUERY);
    expect_ok();
    ck_assert_int_eq(ct_params_count(set), 6);
    expect_param(set, 0, "x.a.W_k.weight", CT_SHAPE(3, KEY));
    expect_param(set, 1, "x.a.W_q.weight", CT_SHAPE(3, QUERY));
    expect_param(set, 2, "x.a.w_v.weight", CT_SHAPE(1, 3));
    expect_param(set, 3, "y.a.W_a.weight", CT_SHAPE(QUERY, KEY));
    expect_param(set, 4, "z.a.W_a.weight", CT_SHAPE(3, QUERY + KEY));
    expect_param(set, 5, "z.a.v_a.weight", CT_SHAPE(1, 3));
    expect_uniform(set, "z.a.W_a.weight", 1 / sqrt(QUERY + KEY));
    ct_params_free(set);
}
END_TEST

/* Dropout of the weights, while the set trains only. */
START_TEST(attention_dropout)
{
    ct_params *set = new_params(4, CT_F64);
    ct_attention *a = ct_nn_additive_attention(
        set, "a",
        (ct_nn_additive_attention_options){
            .query_size = QUERY, .key_size = KEY, .hidden_size = 3, .dropout = 0.5 });
    ct_scope s = ct_scope_begin_no_grad();
    ct_tensor *q = decoder_drawn(1, CT_SHAPE(ROWS, 40, QUERY)), *weights;
    ct_tensor *k = decoder_drawn(2, CT_SHAPE(ROWS, SOURCE, KEY));
    const ct_attention_call call = { .weights = &weights };

    for (int train = 0; train < 2; train++) {
        ct_params_train(set, train);
        ct_attention_forward(a, q, k, k, call);
        expect_ok();
        ck_assert((ct_item(ct_min(weights)) == 0) == train);
    }
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(set);
}
END_TEST

/* ---- decoders ---- */

enum { HIDDEN = QUERY };

typedef struct decoder {
    ct_params *params;
    ct_attention *attention;
    ct_recurrent *r;
    ct_attention_order order;
    const int64_t *lengths; /* of x; may be NULL */
    bool give_keys;
} decoder;

/* bit 0 of way: after; bit 1: LSTM */
static decoder decoder_new(int way, int layers)
{
    decoder d = { .params = new_params(6, CT_F64),
                  .order = way & 1 ? CT_ATTENTION_ORDER_AFTER : CT_ATTENTION_ORDER_BEFORE };

    d.attention = attention_of(d.params, ADDITIVE, HIDDEN, VALUE);
    d.r = ct_nn_attention_decoder(
        d.params, "rnn",
        (ct_nn_attention_decoder_options){ .attention = d.attention,
                                           .cell = way & 2 ? ct_cell_lstm() : NULL,
                                           .memory_size = VALUE,
                                           .order = d.order },
        (ct_nn_recurrent_options){ .hidden_size = HIDDEN, .num_layers = layers });
    expect_ok();
    return d;
}

static ct_tensor *decoder_run(const decoder *d, ct_tensor *x, ct_tensor *values,
                              const ct_state *state, ct_state **next)
{
    ct_attention_memory memory = { .values = values, .lengths = decoder_lengths(source_lengths) };
    ct_recurrent_call call = { .data = &memory };

    if (d->give_keys)
        memory.keys = ct_attention_keys(d->attention, values);
    if (d->lengths)
        call.lengths = decoder_lengths(d->lengths);
    return ct_recurrent_forward_with(d->r, x, state, next, call);
}

static ct_tensor *decoder_x(void)
{
    return decoder_drawn(8, CT_SHAPE(STEPS, ROWS, IN));
}

static ct_tensor *decoder_values(void)
{
    return decoder_drawn(9, CT_SHAPE(ROWS, SOURCE, VALUE));
}

static ct_tensor *attend(const decoder *d, ct_tensor *h)
{
    const ct_attention_call call = { .key_lengths = decoder_lengths(source_lengths) };

    return ct_squeeze(ct_attention_forward(d->attention, ct_unsqueeze(h, 1), decoder_values(),
                                           decoder_values(), call),
                      1);
}

/* The formulas of the header, with a module of the library for the cell. */
static ct_tensor *decoder_by_hand(const decoder *d, ct_recurrent *cell, ct_tensor *x)
{
    ct_tensor *y[STEPS], *h = ct_zeros(CT_SHAPE(ROWS, HIDDEN), CT_F64, DEVICE), *w_c, *x_t;
    ct_state *state = NULL;

    for (int t = 0; t < STEPS; t++) {
        x_t = ct_select(x, 0, t);
        if (d->order == CT_ATTENTION_ORDER_BEFORE)
            x_t = CT_CAT(1, attend(d, h), x_t);
        y[t] = h = ct_recurrent_step(cell, x_t, state, &state);
        if (d->order == CT_ATTENTION_ORDER_BEFORE)
            continue;
        w_c = ct_param_value(ct_params_get(d->params, "rnn.weight_c_l0"));
        y[t] = ct_tanh(ct_linear(CT_CAT(1, attend(d, h), h), w_c, NULL));
    }
    return ct_stack(STEPS, y, 0);
}

START_TEST(decoder_formulas)
{
    decoder d = decoder_new(_i, 1);
    ct_params *other = new_params(1, CT_F64);
    const ct_nn_recurrent_options o = { .hidden_size = HIDDEN,
                                        .input_size = _i & 1 ? IN : IN + VALUE };
    ct_recurrent *cell = (_i & 2 ? ct_nn_lstm : ct_nn_gru)(other, "rnn", o);
    ct_scope s = ct_scope_begin_no_grad();
    ct_tensor *y;

    y = decoder_run(&d, decoder_x(), decoder_values(), NULL, NULL);
    expect_ok();
    for (int i = 0; i < ct_params_count(other); i++) {
        ct_param *p = ct_params_at(other, i);

        ct_copy_into(ct_param_value(p), ct_param_value(ct_params_get(d.params, ct_param_name(p))));
    }
    expect_same("y", y, decoder_by_hand(&d, cell, decoder_x()), 1e-13);
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(d.params);
    ct_params_free(other);
}
END_TEST

/* One call for each step, with keys computed once, gives what one call gives; so do steps one by one. Bit 2:
 * two layers. */
START_TEST(decoder_ways)
{
    decoder d = decoder_new(_i & 3, _i & 4 ? 2 : 1);
    ct_scope s = ct_scope_begin_no_grad();
    ct_state *state = NULL, *last;
    ct_tensor *whole = decoder_run(&d, decoder_x(), decoder_values(), NULL, &last), *y[STEPS];

    d.give_keys = true;
    for (int t = 0; t < STEPS; t++)
        y[t] = decoder_run(&d, ct_narrow(decoder_x(), 0, t, 1), decoder_values(), state, &state);
    expect_same("a call for each step", ct_cat(STEPS, y, 0), whole, 1e-13);
    for (int i = 0; i < ct_state_count(last); i++)
        expect_same("state", ct_state_get(state, i), ct_state_get(last, i), 1e-13);
    ct_set_fused_rnn(false);
    d.give_keys = false;
    expect_same("fused_rnn off", decoder_run(&d, decoder_x(), decoder_values(), NULL, NULL), whole,
                1e-13);
    ct_set_fused_rnn(true);
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(d.params);
}
END_TEST

/* Rows of unequal length: padding of x and of the memory has no effect, and y is 0 past a row's end. */
START_TEST(decoder_padding)
{
    static const int64_t lengths[ROWS] = { 1, STEPS, 2 };
    decoder d = decoder_new(_i, 1);
    ct_scope s = ct_scope_begin_no_grad();
    ct_tensor *x = decoder_x(), *values = decoder_values(), *y, *again;

    d.lengths = lengths;
    y = decoder_run(&d, x, values, NULL, NULL);
    expect_same("past the end", ct_select(ct_select(y, 0, 1), 0, 0),
                ct_zeros(CT_SHAPE(HIDDEN), CT_F64, DEVICE), 0);
    ct_fill(ct_narrow(ct_select(values, 0, 2), 0, 1, SOURCE - 1), 7);
    ct_fill(ct_narrow(ct_select(x, 1, 0), 0, 1, STEPS - 1), 7);
    again = decoder_run(&d, x, values, NULL, NULL);
    expect_same("other padding", again, y, 1e-14);
    ct_set_fused_rnn(false);
    expect_same("fused_rnn off", decoder_run(&d, x, values, NULL, NULL), y, 1e-13);
    ct_set_fused_rnn(true);
    d.lengths = NULL;
    expect_same("the first step", ct_select(decoder_run(&d, x, values, NULL, NULL), 0, 0),
                ct_select(y, 0, 0), 1e-13);
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(d.params);
}
END_TEST

static ct_tensor *decoder_called(int count, ct_tensor *const *in, void *context)
{
    (void)count;
    return decoder_run(context, in[0], in[1], NULL, NULL);
}

/* Derivatives to second order, of x, the memory and a weight of the attention. */
START_TEST(decoder_gradcheck)
{
    decoder d = decoder_new(_i, 1);
    ct_scope s = ct_scope_begin();
    ct_tensor *in[3] = { ct_set_requires_grad(decoder_x(), true),
                         ct_set_requires_grad(decoder_values(), true) };
    ct_generator g = ct_generator_from_seed(12);

    decoder_run(&d, in[0], in[1], NULL, NULL); /* settles the input size */
    in[2] = ct_param_value(ct_params_get(d.params, "a.W_q.weight"));
    ck_assert(ct_gradcheck(decoder_called, 3, in, &d, &g, 0, 0));
    ck_assert(ct_gradgradcheck(decoder_called, 3, in, &d, &g, 0, 0));
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(d.params);
}
END_TEST

static bool decoder_recomputed(void *context, int n, ct_tensor *const *in, int m, ct_tensor **out)
{
    (void)n, (void)m;
    out[0] = decoder_run(context, in[0], in[1], NULL, NULL);
    return out[0] != NULL;
}

START_TEST(decoder_checkpointed)
{
    decoder d = decoder_new(_i, 1);
    ct_scope s = ct_scope_begin();
    ct_tensor *in[2] = { ct_set_requires_grad(decoder_x(), true),
                         ct_set_requires_grad(decoder_values(), true) };
    ct_tensor *y = decoder_run(&d, in[0], in[1], NULL, NULL), *plain[2], *found[2];

    y = ct_sum(ct_square(y));
    ck_assert(ct_grad(1, &y, 2, in, NULL, false, plain) == CT_OK);
    ct_activation_checkpoint(decoder_recomputed, &d, NULL, 2, in, 1, &y);
    y = ct_sum(ct_square(y));
    ck_assert(ct_grad(1, &y, 2, in, NULL, false, found) == CT_OK);
    for (int i = 0; i < 2; i++)
        expect_same("gradient", found[i], plain[i], 1e-14);
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(d.params);
}
END_TEST

/* ---- PyTorch's numbers: the model of tests/torch/seq2seq.py ---- */

enum { UNITS = 4, SOURCE_TOKENS = 7, TARGET_TOKENS = 9, TIMES = 5, PARAMETERS = 15 };

typedef struct seq2seq {
    ct_params *params;
    ct_module *src, *tgt, *dense;
    ct_recurrent *encoder, *decoder;
} seq2seq;

static seq2seq seq2seq_new(void)
{
    seq2seq m = { .params = new_params(1, CT_F64) };
    ct_params *e = ct_params_sub(m.params, "encoder"), *d = ct_params_sub(m.params, "decoder");
    const ct_nn_recurrent_options o = { .input_size = UNITS, .hidden_size = UNITS };
    ct_nn_attention_decoder_options with = { .memory_size = UNITS };

    m.src = ct_nn_embedding(e, "embedding",
                            (ct_nn_embedding_options){ .rows = SOURCE_TOKENS, .size = UNITS });
    m.encoder = ct_nn_gru(e, "rnn.rnn", o);
    with.attention = ct_nn_additive_attention(
        d, "attention", (ct_nn_additive_attention_options){ UNITS, UNITS, UNITS, 0 });
    m.tgt = ct_nn_embedding(d, "embedding",
                            (ct_nn_embedding_options){ .rows = TARGET_TOKENS, .size = UNITS });
    m.decoder = ct_nn_attention_decoder(d, "rnn.rnn", with, o);
    m.dense = ct_nn_linear(
        d, "dense", (ct_nn_linear_options){ .in_features = UNITS, .out_features = TARGET_TOKENS });
    expect_ok();
    return m;
}

static ct_tensor *seq2seq_loss(const seq2seq *m)
{
    static const int64_t lengths[ROWS] = { 3, 5, 2 };
    static const int ends[ROWS] = { 4, 3, 5 };
    int64_t src[TIMES * ROWS], tgt[TIMES * ROWS];
    ct_recurrent_call call = { .lengths = decoder_lengths(lengths) };
    ct_attention_memory memory = { .lengths = call.lengths };
    ct_tensor *ids, *y;
    ct_state *state;

    for (int t = 0; t < TIMES; t++)
        for (int b = 0; b < ROWS; b++) {
            src[t * ROWS + b] = (2 * t + 3 * b) % SOURCE_TOKENS;
            tgt[t * ROWS + b] = t < ends[b] ? (t + 2 * b) % TARGET_TOKENS : 1;
        }
    ids = ct_from_data(src, CT_SHAPE(TIMES, ROWS), CT_I64, DEVICE);
    y = ct_recurrent_forward_with(m->encoder, ct_forward(m->src, ids), NULL, &state, call);
    memory.values = ct_transpose(y, 0, 1);
    ids = ct_from_data(tgt, CT_SHAPE(TIMES, ROWS), CT_I64, DEVICE);
    call = (ct_recurrent_call){ .data = &memory };
    y = ct_recurrent_forward_with(m->decoder, ct_forward(m->tgt, ct_narrow(ids, 0, 0, TIMES - 1)),
                                  state, NULL, call);
    return ct_cross_entropy_with(
        ct_forward(m->dense, y), ct_narrow(ids, 0, 1, TIMES - 1),
        (ct_cross_entropy_options){ .has_ignore_index = true, .ignore_index = 1 });
}

/* The sum of the elements, element i times cos(0.7 i). */
static double seq2seq_sum(ct_tensor *t)
{
    double *v = values_of(t), sum = 0;

    for (int64_t i = 0; i < ct_numel(t); i++)
        sum += v[i] * cos(0.7 * (double)i);
    free(v);
    return sum;
}

/* One step of SGD: losses, gradients and new weights. _i: steps one by one. */
START_TEST(seq2seq_has_torchs_numbers)
{
    FILE *f = fopen(harness_source("tests/torch/seq2seq.txt"), "r");
    seq2seq m = seq2seq_new();
    ct_optimizer *sgd = ct_sgd_new(m.params, (ct_sgd_options){ .lr = 0.5 });
    ct_scope s = ct_scope_begin();
    char name[PARAMETERS][64];
    double before, after, gradient[PARAMETERS], value[PARAMETERS];
    ct_tensor *loss;

    ck_assert(f && fscanf(f, "#%*[^\n]") == 0);
    ck_assert_int_eq(fscanf(f, " loss %lf %lf", &before, &after), 2);
    ck_assert_int_eq(ct_params_count(m.params), PARAMETERS);
    for (int k = 0; k < PARAMETERS; k++) {
        ct_tensor *p;

        ck_assert_int_eq(fscanf(f, "%63s %lf %lf", name[k], &gradient[k], &value[k]), 3);
        p = ct_param_value(ct_params_get(m.params, name[k]));
        for (int64_t i = 0; i < ct_numel(p); i++)
            put_value(p, i, 0.5 * sin(1.3 * (double)i + 2.1 * k + 0.4));
    }
    fclose(f);
    ct_set_fused_rnn(!_i);
    loss = seq2seq_loss(&m);
    expect_close("loss", ct_item(loss), before, 1e-12);
    ck_assert(ct_backward(loss) == CT_OK);
    for (int k = 0; k < PARAMETERS; k++)
        expect_close(name[k],
                     seq2seq_sum(ct_tensor_grad(ct_param_value(ct_params_get(m.params, name[k])))),
                     gradient[k], 1e-12);
    ck_assert(ct_optimizer_step(sgd) == CT_OK);
    for (int k = 0; k < PARAMETERS; k++)
        expect_close(name[k], seq2seq_sum(ct_param_value(ct_params_get(m.params, name[k]))),
                     value[k], 1e-12);
    expect_close("the next loss", ct_item(seq2seq_loss(&m)), after, 1e-12);
    ct_set_fused_rnn(true);
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_optimizer_free(sgd);
    ct_params_free(m.params);
}
END_TEST

/* ---- misuse ---- */

START_TEST(attention_misuse)
{
    typedef ct_nn_additive_attention_options additive;
    typedef ct_nn_luong_attention_options luong;
    ct_params *set = new_params(4, CT_F64);
    ct_attention *a = attention_of(set, GENERAL, QUERY, KEY), *heads;
    ct_scope s = ct_scope_begin();
    ct_tensor *q = decoder_drawn(1, CT_SHAPE(ROWS, 2, QUERY)), *w = ct_select(q, 0, 0);
    ct_tensor *k = decoder_drawn(2, CT_SHAPE(ROWS, SOURCE, KEY));
    ct_state *state;

    heads = ct_nn_multihead_attention(
        set, "m", (ct_nn_multihead_attention_options){ .embed_dim = QUERY, .num_heads = 1 });
    REFUSED(CT_ERR_ARGUMENT, "ct_nn_additive_attention", "hidden_size is 0",
            ct_nn_additive_attention(set, "b", (additive){ .query_size = 1, .key_size = 1 }));
    REFUSED(CT_ERR_ARGUMENT, "ct_nn_additive_attention", "dropout is 1",
            ct_nn_additive_attention(
                set, "b",
                (additive){ .query_size = 1, .key_size = 1, .hidden_size = 1, .dropout = 1 }));
    REFUSED(CT_ERR_ARGUMENT, "ct_nn_luong_attention", "score is 3",
            ct_nn_luong_attention(set, "b", (luong){ .score = (ct_attention_score)3 }));
    REFUSED(
        CT_ERR_ARGUMENT, "ct_nn_luong_attention", "must be equal",
        ct_nn_luong_attention(
            set, "b", (luong){ .score = CT_ATTENTION_SCORE_DOT, .query_size = 1, .key_size = 2 }));
    REFUSED(CT_ERR_ARGUMENT, "ct_nn_luong_attention", "hidden_size is 3",
            ct_nn_luong_attention(set, "b",
                                  (luong){ .query_size = 1, .key_size = 2, .hidden_size = 3 }));
    REFUSED(CT_ERR_SHAPE, "ct_attention_forward", "query ... (..., L, 5)",
            ct_attention_forward(a, k, k, k, (ct_attention_call){ 0 }));
    REFUSED(CT_ERR_SHAPE, "ct_attention_forward", "key ... (..., L, 6)",
            ct_attention_forward(a, q, q, q, (ct_attention_call){ 0 }));
    REFUSED(CT_ERR_SHAPE, "ct_attention_keys", "key ... (..., L, 6)", ct_attention_keys(a, q));
    REFUSED(CT_ERR_ARGUMENT, "ct_attention_forward", "cache",
            ct_attention_forward(a, q, k, k, (ct_attention_call){ .next = &state }));
    REFUSED(CT_ERR_ARGUMENT, "ct_attention_forward", "projected_keys",
            ct_attention_forward(heads, q, q, q, (ct_attention_call){ .projected_keys = true }));
    REFUSED(CT_ERR_ARGUMENT, "ct_attention_keys", "MultiheadAttention",
            ct_attention_keys(heads, q));
    REFUSED(CT_ERR_ARGUMENT, "ct_additive_attention", "options.scale",
            ct_additive_attention(q, q, q, w, (ct_attention_options){ .scale = 2 }));
    REFUSED(CT_ERR_SHAPE, "ct_additive_attention", "weight ... [5]",
            ct_additive_attention(q, q, q, w, (ct_attention_options){ 0 }));
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(set);
}
END_TEST

START_TEST(decoder_misuse)
{
    typedef ct_nn_attention_decoder_options options;
    const ct_nn_recurrent_options o = { .hidden_size = HIDDEN };
    decoder d = decoder_new(0, 1);
    ct_scope s = ct_scope_begin();
    ct_attention_memory memory = { .values = decoder_x() };
    ct_attention *heads = ct_nn_multihead_attention(
        d.params, "m", (ct_nn_multihead_attention_options){ .embed_dim = QUERY, .num_heads = 1 });

    REFUSED(CT_ERR_ARGUMENT, "ct_recurrent_forward", "call.data is NULL",
            ct_recurrent_forward(d.r, decoder_x(), NULL, NULL));
    REFUSED(CT_ERR_SHAPE, "ct_recurrent_forward_with", "memory.values ... (3, S, 2)",
            ct_recurrent_forward_with(d.r, decoder_x(), NULL, NULL,
                                      (ct_recurrent_call){ .data = &memory }));
    REFUSED(CT_ERR_ARGUMENT, "ct_nn_attention_decoder", "decoder.attention is NULL",
            ct_nn_attention_decoder(d.params, "b", (options){ .memory_size = 1 }, o));
    REFUSED(CT_ERR_ARGUMENT, "ct_nn_attention_decoder", "MultiheadAttention",
            ct_nn_attention_decoder(d.params, "b",
                                    (options){ .attention = heads, .memory_size = 1 }, o));
    REFUSED(CT_ERR_ARGUMENT, "ct_nn_attention_decoder", "memory_size is 0",
            ct_nn_attention_decoder(d.params, "b", (options){ .attention = d.attention }, o));
    REFUSED(
        CT_ERR_ARGUMENT, "ct_nn_attention_decoder", "order is 2",
        ct_nn_attention_decoder(
            d.params, "b",
            (options){ .attention = d.attention, .memory_size = 1, .order = (ct_attention_order)2 },
            o));
    REFUSED(CT_ERR_ARGUMENT, "ct_nn_attention_decoder", "bidirectional",
            ct_nn_attention_decoder(
                d.params, "b", (options){ .attention = d.attention, .memory_size = 1 },
                (ct_nn_recurrent_options){ .hidden_size = 2, .bidirectional = true }));
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(d.params);
}
END_TEST

void nn_decoder_cases(Suite *suite)
{
    TCase *tc = harness_case(suite, "decoder");

    tcase_add_loop_test(tc, scores, 0, KINDS);
    tcase_add_test(tc, attention_parameters);
    tcase_add_test(tc, attention_dropout);
    tcase_add_loop_test(tc, decoder_formulas, 0, 4);
    tcase_add_loop_test(tc, decoder_ways, 0, 8);
    tcase_add_loop_test(tc, decoder_padding, 0, 4);
    tcase_add_loop_test(tc, decoder_gradcheck, 0, 4);
    tcase_add_loop_test(tc, decoder_checkpointed, 0, 2);
    tcase_add_loop_test(tc, seq2seq_has_torchs_numbers, 0, 2);
    tcase_add_test(tc, attention_misuse);
    tcase_add_test(tc, decoder_misuse);
}
