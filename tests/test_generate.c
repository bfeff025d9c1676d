/* SPDX-License-Identifier: MIT */
/* test_generate.c - generation: batches and single rows, prefixes, limits, stop tokens, emit. */
#include "tests/test_generate.h"

#include <stdlib.h>
#include <string.h>

/* ---- models ---- */

static ct_tensor *gru_step(void *self, ct_tensor *ids, const ct_state *state, ct_state **next)
{
    const model *m = self;
    ct_tensor *x = ct_forward(m->embedding, ids);

    return ct_forward(m->linear, ct_recurrent_step(m->gru, x, state, next));
}

static ct_state *gru_read(void *self, ct_tensor *ids, ct_tensor *lengths, const ct_state *state)
{
    const model *m = self;
    ct_tensor *x = ct_forward(m->embedding, ct_transpose(ids, 0, 1));
    ct_state *next;

    ct_recurrent_forward_with(m->gru, x, state, &next, (ct_recurrent_call){ .lengths = lengths });
    return next;
}

/* ids (N, T) -> (N, T, hidden) */
static ct_tensor *transformer_hidden(const model *m, ct_tensor *ids, const ct_state *past,
                                     ct_state **next)
{
    return ct_transformer_forward(
        m->layers, ct_forward(m->embedding, ids), NULL,
        (ct_transformer_call){ .causal = true, .past = past, .next = next });
}

static ct_tensor *transformer_step(void *self, ct_tensor *ids, const ct_state *state,
                                   ct_state **next)
{
    const model *m = self;
    ct_tensor *h = transformer_hidden(m, ct_unsqueeze(ids, 1), state, next);

    return ct_forward(m->linear, ct_select(h, 1, -1));
}

static ct_state *transformer_read(void *self, ct_tensor *ids, ct_tensor *lengths,
                                  const ct_state *state)
{
    ct_state *next;

    ck_assert_ptr_null(lengths);
    transformer_hidden(self, ids, state, &next);
    return next;
}

void model_init(model *m, kind k, int64_t vocab)
{
    static const ct_nn_transformer_options layers = {
        .d_model = 8, .num_heads = 2, .dim_feedforward = 16, .num_layers = 2, .rotary_base = 10000
    };
    int64_t v = vocab ? vocab : VOCAB;

    *m = (model){ .params = ct_params_new((ct_params_options){ .seed = 3 }) };
    m->embedding =
        ct_nn_embedding(m->params, "embedding", (ct_nn_embedding_options){ .rows = v, .size = 8 });
    if (k <= GRU_READ)
        m->gru =
            ct_nn_gru(m->params, "gru", (ct_nn_gru_options){ .input_size = 8, .hidden_size = 8 });
    else
        m->layers = ct_nn_transformer_encoder(m->params, "layers", layers);
    m->linear = ct_nn_linear(m->params, "linear",
                             (ct_nn_linear_options){ .in_features = 8, .out_features = v });
    ct_params_init(m->params, ct_init_uniform(-1.2, 1.2), 7);
    m->decoder = (ct_decoder){ .self = m,
                               .vocab = v,
                               .step = k <= GRU_READ ? gru_step : transformer_step,
                               .lengths = k == GRU_READ };
    if (k == GRU_READ || k == TRANSFORMER_READ)
        m->decoder.read = k == GRU_READ ? gru_read : transformer_read;
    expect_ok();
}

void model_free(model *m)
{
    ct_params_free(m->params);
}

ct_tensor *model_forward(const model *m, ct_tensor *ids)
{
    ct_tensor *y;

    if (m->layers)
        return ct_forward(m->linear, transformer_hidden(m, ids, NULL, NULL));
    y = ct_recurrent_forward(m->gru, ct_forward(m->embedding, ct_transpose(ids, 0, 1)), NULL, NULL);
    return ct_transpose(ct_forward(m->linear, y), 0, 1);
}

/* ---- comparisons ---- */

ct_generation *generated(const ct_decoder *d, int count, const ct_generation_row *rows,
                         ct_generation_options o)
{
    ct_generation *g = ct_generation_new(d, count, rows, NULL, o);

    ck_assert_msg(g != NULL, "%s", ct_error_message());
    expect_ok();
    return g;
}

void expect_same_row(const char *what, const ct_generation *a, int row_a, const ct_generation *b,
                     int row_b)
{
    int i, n = ct_generation_count(a, row_a);

    ck_assert_int_eq(ct_generation_status(a, row_a), ct_generation_status(b, row_b));
    ck_assert_int_eq(n, ct_generation_count(b, row_b));
    for (i = 0; i < n; i++) {
        ct_generated x = ct_generation_get(a, row_a, i), y = ct_generation_get(b, row_b, i);

        ck_assert_msg(x.count == y.count && x.end == y.end && x.score == y.score,
                      "%s, row %d, number %d: %lld tokens, end %d, score %.17g; alone %lld, %d, "
                      "%.17g",
                      what, row_a, i, (long long)x.count, (int)x.end, x.score, (long long)y.count,
                      (int)y.end, y.score);
        ck_assert_msg(memcmp(x.ids, y.ids, (size_t)x.count * sizeof *x.ids) == 0,
                      "%s, row %d, number %d: other tokens than alone", what, row_a, i);
    }
}

/* ---- a batch ---- */

static const int32_t stops[] = { 5 };

static const struct {
    const char *name;
    ct_generation_options options;
} searches[] = {
    { "greedy", { .max_tokens = 12 } },
    { "sampled", { .max_tokens = 12, .temperature = 1 } },
    { "top-k", { .max_tokens = 12, .temperature = 1.5, .top_k = 3 } },
    { "top-p", { .max_tokens = 12, .temperature = 1.2, .top_p = 0.8 } },
    { "stop", { .max_tokens = 30, .temperature = 2, .stop = stops, .stop_count = 1 } },
    { "banned", { .max_tokens = 12, .temperature = 1, .banned = stops, .banned_count = 1 } },
    { "beams", { .max_tokens = 9, .beams = 4, .n_best = 3, .stop = stops, .stop_count = 1 } },
    { "early",
      { .max_tokens = 9, .beams = 3, .early_stop = true, .stop = stops, .stop_count = 1 } },
};

/* Prefixes of the lengths 4, 1, 6, 1, 2, 4; row 3 is bad. */
static const int32_t tokens[] = { 1, 2, 0, 4, 3, 1, 5, 2, 2, 0, 99, 4, 4, 1, 2, 0, 3 };
static const ct_generation_row rows[] = {
    { .prefix = tokens, .prefix_count = 4, .seed = 11 },
    { .prefix = tokens + 4, .prefix_count = 1, .seed = 12 },
    { .prefix = tokens + 4, .prefix_count = 6, .seed = 13 },
    { .prefix = tokens + 10, .prefix_count = 1, .seed = 14 },
    { .prefix = tokens + 11, .prefix_count = 2, .seed = 12, .max_tokens = 3 },
    { .prefix = tokens + 13, .prefix_count = 4, .seed = 0xffffffffffffffff },
};

/* A row of a batch is the row alone, in every bit, in any order of the rows. */
START_TEST(batch_is_rows)
{
    const char *what = searches[_i % LENGTH(searches)].name;
    ct_generation_options o = searches[_i % LENGTH(searches)].options;
    ct_generation_row reversed[LENGTH(rows)];
    ct_generation *all, *backward;
    model m;
    int i;

    ct_set_portable(true);
    model_init(&m, (kind)(_i / LENGTH(searches)), 0);
    for (i = 0; i < LENGTH(rows); i++)
        reversed[i] = rows[LENGTH(rows) - 1 - i];
    all = generated(&m.decoder, LENGTH(rows), rows, o);
    backward = generated(&m.decoder, LENGTH(rows), reversed, o);
    for (i = 0; i < LENGTH(rows); i++) {
        ct_generation *one = generated(&m.decoder, 1, &rows[i], o);

        expect_same_row(what, all, i, one, 0);
        expect_same_row(what, backward, LENGTH(rows) - 1 - i, one, 0);
        ct_generation_free(one);
    }
    ck_assert(ct_generation_status(all, 3) == CT_ERR_INDEX);
    ck_assert(strstr(ct_generation_message(all, 3), "token 0 of the prefix is 99"));
    ck_assert_int_eq(ct_generation_get(all, 4, 0).count <= 3, 1);
    ct_generation_free(all);
    ct_generation_free(backward);
    model_free(&m);
    ct_set_portable(false);
}
END_TEST

/* A prefix that is read in several parts, beside a short one. */
START_TEST(long_prefixes)
{
    int32_t *ids = malloc(600 * sizeof *ids);
    ct_generation_row both[2] = { { .prefix = ids, .prefix_count = 600, .seed = 1 },
                                  { .prefix = ids, .prefix_count = 7, .seed = 2 } };
    const ct_generation_options o = { .max_tokens = 20, .temperature = 1 };
    ct_generation *g, *one, *stepped;
    model m, steps;
    int i;

    for (i = 0; i < 600; i++)
        ids[i] = (i * i + 3 * i) % VOCAB;
    ct_set_portable(true);
    model_init(&m, GRU_READ, 0);
    model_init(&steps, GRU, 0);
    g = generated(&m.decoder, 2, both, o);
    stepped = generated(&steps.decoder, 2, both, o);
    for (i = 0; i < 2; i++) {
        one = generated(&m.decoder, 1, &both[i], o);
        expect_same_row("read in parts", g, i, one, 0);
        expect_same_row("read in steps", g, i, stepped, i);
        ct_generation_free(one);
    }
    ct_generation_free(g);
    ct_generation_free(stepped);
    model_free(&m);
    model_free(&steps);
    free(ids);
    ct_set_portable(false);
}
END_TEST

/* The greedy tokens are those that a forward over the whole text finds. */
START_TEST(greedy_is_forward)
{
    ct_generation_options o = { .max_tokens = 10 };
    int32_t ids[20];
    ct_generation *g;
    ct_generated got;
    int i, n;
    model m;

    model_init(&m, (kind)_i, 0);
    g = generated(&m.decoder, 1, &rows[2], o);
    got = ct_generation_get(g, 0, 0);
    ck_assert_int_eq(got.count, 10);
    ck_assert(got.end == CT_GENERATION_END_LENGTH && got.score == 0);
    memcpy(ids, rows[2].prefix, 6 * sizeof *ids);
    for (i = 0, n = 6; i < 10; i++, n++) {
        ct_scope s = ct_scope_begin_inference();
        ct_tensor *x = ct_from_data(ids, CT_SHAPE(1, n), CT_I32, CT_CPU);
        ct_tensor *last = ct_select(model_forward(&m, x), 1, -1);

        ids[n] = (int32_t)ct_item(ct_argmax(last, 1, false));
        ck_assert(ct_scope_end(s) == CT_OK);
        ck_assert_int_eq(got.ids[i], ids[n]);
    }
    ct_generation_free(g);
    model_free(&m);
}
END_TEST

/* ---- where a row ends ---- */

/* Counts upwards from the token that it has read: 3 -> 4 -> 5 -> 0. It has no state. */
static ct_tensor *count_step(void *self, ct_tensor *ids, const ct_state *state, ct_state **next)
{
    (void)self, (void)next;
    ck_assert_ptr_null(state);
    ids = ct_remainder_scalar(ct_add_scalar(ids, 1), VOCAB);
    return ct_mul_scalar(ct_one_hot(ids, VOCAB), 3);
}

static const ct_decoder counter = { .vocab = VOCAB, .step = count_step };

static void expect_ids(ct_generated got, int count, const int32_t *want, ct_generation_end end)
{
    ck_assert_int_eq(got.count, count);
    ck_assert_int_eq(got.end, end);
    ck_assert(memcmp(got.ids, want, (size_t)count * sizeof *want) == 0);
}

START_TEST(ends)
{
    static const int32_t two[] = { 1, 2 }, after[] = { 3, 4, 5, 0, 1, 2, 3, 4 };
    static const int32_t without[] = { 4, 5, 4, 5 }, three[] = { 3 };
    const ct_generation_row row = { .prefix = two, .prefix_count = 2 };
    ct_generation_options o = { .max_tokens = 8 };
    ct_decoder d = counter;
    ct_generation *g = generated(&d, 1, &row, o);

    expect_ids(ct_generation_get(g, 0, 0), 8, after, CT_GENERATION_END_LENGTH);
    ct_generation_free(g);
    o.stop = stops;
    o.stop_count = 1;
    g = generated(&d, 1, &row, o);
    expect_ids(ct_generation_get(g, 0, 0), 2, after, CT_GENERATION_END_STOP);
    ct_generation_free(g);
    o.stop = three;
    g = generated(&d, 1, &row, o);
    expect_ids(ct_generation_get(g, 0, 0), 0, after, CT_GENERATION_END_STOP);
    ct_generation_free(g);
    d.max_tokens = 4; /* reads 1, 2, 3, 4 and thus generates 5 */
    g = generated(&d, 1, &row, (ct_generation_options){ .max_tokens = 8 });
    expect_ids(ct_generation_get(g, 0, 0), 3, after, CT_GENERATION_END_LENGTH);
    ct_generation_free(g);
    /* of 3 the next is 4; without 0, 1 and 2 all others have the same logit after 5, and 3 is banned */
    o = (ct_generation_options){ .max_tokens = 4,
                                 .banned = (const int32_t[]){ 0, 1, 2, 3 },
                                 .banned_count = 4 };
    g = generated(&counter, 1, &(ct_generation_row){ .prefix = three, .prefix_count = 1 }, o);
    expect_ids(ct_generation_get(g, 0, 0), 4, without, CT_GENERATION_END_LENGTH);
    ct_generation_free(g);
}
END_TEST

typedef struct listener {
    int32_t heard[2][40];
    int count[2], stop_after;
} listener;

static bool listen(void *context, int row, int32_t token)
{
    listener *l = context;

    l->heard[row][l->count[row]++] = token;
    return row != 1 || l->count[1] != l->stop_after;
}

START_TEST(emits)
{
    listener l = { .stop_after = -1 };
    ct_generation_options o = { .max_tokens = 20, .temperature = 1 };
    ct_generation *kept, *g;
    model m;
    int i, k;

    ct_set_portable(true);
    model_init(&m, GRU, 0);
    kept = generated(&m.decoder, 2, rows, o);
    o.emit = listen;
    o.context = &l;
    for (k = 0; k < 2; k++) {
        g = generated(&m.decoder, 2, rows, o);
        for (i = 0; i < 2; i++) {
            ct_generated want = ct_generation_get(kept, i, 0), got = ct_generation_get(g, i, 0);
            bool stopped = k == 1 && i == 1;

            ck_assert_int_eq(got.count, 0);
            ck_assert(got.end == (stopped ? CT_GENERATION_END_EMIT : CT_GENERATION_END_LENGTH));
            ck_assert_int_eq(l.count[i], stopped ? 7 : 20);
            ck_assert(memcmp(l.heard[i], want.ids, (size_t)l.count[i] * sizeof *want.ids) == 0);
        }
        ct_generation_free(g);
        l = (listener){ .stop_after = 7 };
    }
    ct_generation_free(kept);
    model_free(&m);
    ct_set_portable(false);
}
END_TEST

/* ---- states ---- */

/* The state is a number for each row, on axis 0, and the logits are largest at its token. */
static ct_tensor *own_step(void *self, ct_tensor *ids, const ct_state *state, ct_state **next)
{
    ct_tensor *sum = ct_remainder_scalar(ct_add(ids, ct_state_get(state, 0)), VOCAB);

    (void)self;
    *next = ct_state_from_tensors(1, &sum);
    return ct_one_hot(sum, VOCAB);
}

static ct_state *own_select(void *self, const ct_state *state, ct_tensor *at)
{
    ct_tensor *t = ct_index_select(ct_state_get(state, 0), 0, at);

    ++*(int *)self;
    return ct_state_from_tensors(1, &t);
}

/* A state that the caller gives, whose rows are on axis 0. The empty row is left out of it. */
START_TEST(states_of_ones_own)
{
    static const int32_t one[] = { 1 }, numbers[] = { 2, 3, 0, 4 };
    static const int32_t first[] = { 3, 0, 0 }, last[] = { 5, 4, 2 };
    const ct_generation_row asked[] = {
        { .prefix = one, .prefix_count = 1 },
        { .prefix_count = 0 },
        { .prefix = one, .prefix_count = 1, .max_tokens = 1 },
        { .prefix = one, .prefix_count = 1 },
    };
    int selected = 0;
    ct_decoder d = { .self = &selected, .vocab = VOCAB, .step = own_step, .select = own_select };
    ct_scope s = ct_scope_begin();
    ct_tensor *t = ct_from_data(numbers, CT_SHAPE(4), CT_I32, CT_CPU);
    ct_state *state = ct_state_from_tensors(1, &t);
    ct_generation *g =
        ct_generation_new(&d, 4, asked, state, (ct_generation_options){ .max_tokens = 3 });

    ck_assert_msg(g != NULL, "%s", ct_error_message());
    ck_assert_int_eq(selected, 2);
    expect_ids(ct_generation_get(g, 0, 0), 3, first, CT_GENERATION_END_LENGTH);
    expect_ids(ct_generation_get(g, 2, 0), 1, one, CT_GENERATION_END_LENGTH);
    expect_ids(ct_generation_get(g, 3, 0), 3, last, CT_GENERATION_END_LENGTH);
    expect_values("the caller's state", t, (const double[]){ 2, 3, 0, 4 }, 4, 0);
    ct_generation_free(g);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

START_TEST(no_rows)
{
    ct_generation *g =
        generated(&counter, 0, NULL, (ct_generation_options){ .max_tokens = 3, .beams = 2 });

    ck_assert_int_eq(ct_generation_count(g, 0), 0);
    ct_generation_free(g);
    ct_generation_free(NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("generate");
    TCase *tc = harness_case(suite, "rows");

    tcase_add_loop_test(tc, batch_is_rows, 0, KINDS * LENGTH(searches));
    tcase_add_test(tc, long_prefixes);
    tcase_add_loop_test(tc, greedy_is_forward, 0, KINDS);
    tcase_add_test(tc, ends);
    tcase_add_test(tc, emits);
    tcase_add_test(tc, states_of_ones_own);
    tcase_add_test(tc, no_rows);
    generate_search_cases(suite);
    generate_errors_cases(suite);
    generate_torch_cases(suite);
    return harness_run(suite);
}
