/* SPDX-License-Identifier: MIT */
/* generate_search.c - beam search against all sequences, and the probabilities of sampling. */
#include "tests/test_generate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- beam search ---- */

enum { SMALL = 4, LONGEST = 4, ALL = 512 }; /* vocabulary, tokens, sequences */

typedef struct sequence {
    int32_t ids[LONGEST];
    int count;
    double score;
    ct_generation_end end;
} sequence;

static int better(const void *a, const void *b)
{
    const sequence *x = a, *y = b;

    return (x->score < y->score) - (x->score > y->score);
}

/* All sequences after the prefix, best first: those that end with token 3, and those of LONGEST
 * tokens. Returns their number. */
static int all_sequences(const model *m, const ct_generation_row *row, double penalty, sequence *to)
{
    int n = 0, code, i;

    for (code = 0; code < SMALL * SMALL * SMALL * SMALL; code++) {
        int32_t ids[16];
        int at = row->prefix_count, rest = code, length = 0;
        double logp = 0, *p;
        ct_scope s = ct_scope_begin_inference();
        ct_tensor *x;

        memcpy(ids, row->prefix, (size_t)at * sizeof *ids);
        while (length < LONGEST) {
            ids[at + length++] = rest % SMALL;
            rest /= SMALL;
            if (ids[at + length - 1] == 3)
                break;
        }
        x = ct_from_data(ids, CT_SHAPE(1, at + length), CT_I32, CT_CPU);
        p = values_of(ct_log_softmax(model_forward(m, x), 2));
        ck_assert(ct_scope_end(s) == CT_OK);
        for (i = 0; i < length; i++)
            logp += p[(at + i - 1) * SMALL + ids[at + i]];
        free(p);
        if (rest > 0)
            continue; /* the same sequence as with rest 0 */
        to[n] = (sequence){ .count = length, .end = CT_GENERATION_END_LENGTH };
        memcpy(to[n].ids, ids + at, (size_t)length * sizeof *ids);
        to[n].score = logp / pow(length, penalty);
        if (ids[at + length - 1] == 3) {
            to[n].count--;
            to[n].end = CT_GENERATION_END_STOP;
        }
        n++;
    }
    qsort(to, (size_t)n, sizeof *to, better);
    return n;
}

static const double penalties[] = { 1, 0.6, 0, -0.5, 2 };

/* The n best are the first n of all sequences. */
static void expect_best(const ct_generation *g, int n, const sequence *want)
{
    int i;

    ck_assert_int_eq(ct_generation_count(g, 0), n);
    for (i = 0; i < n; i++) {
        ct_generated got = ct_generation_get(g, 0, i);

        expect_close("score", got.score, want[i].score, 1e-5);
        if (want[i + 1].score < want[i].score - 1e-5 &&
            (i == 0 || want[i].score < want[i - 1].score - 1e-5)) {
            ck_assert_int_eq(got.count, want[i].count);
            ck_assert_int_eq(got.end, want[i].end);
            ck_assert(memcmp(got.ids, want[i].ids, (size_t)got.count * sizeof *got.ids) == 0);
        }
    }
}

/* With as many beams as there are sequences, the n best are the n best of all: a search that ends before
 * the last step misses none. */
START_TEST(wide_beams)
{
    static const int best[] = { 1, 4, 60 };
    static const int32_t prefix[] = { 1, 0, 2 }, stop[] = { 3 };
    const double penalty = penalties[_i % LENGTH(penalties)];
    const ct_generation_row row = { .prefix = prefix, .prefix_count = 1 + _i % 3 };
    static sequence want[ALL];
    ct_generation_options o = { .max_tokens = LONGEST,
                                .beams = ALL,
                                .length_penalty = penalty == 0 ? CT_ZERO : penalty,
                                .stop = stop,
                                .stop_count = 1 };
    ct_generation *g;
    model m;
    int i, n;

    model_init(&m, (kind)(_i / LENGTH(penalties)), SMALL);
    n = all_sequences(&m, &row, penalty, want);
    ck_assert_int_eq(n, 121); /* 1 + 3 + 9 + 27 that end, 81 that do not */
    for (i = 0; i < LENGTH(best); i++) {
        o.n_best = best[i];
        g = generated(&m.decoder, 1, &row, o);
        expect_best(g, best[i], want);
        ct_generation_free(g);
    }
    model_free(&m);
}
END_TEST

/* After token 2, token 1 with 0.6 and token 0 with 0.35; after token 0, token 0 with 0.999. */
static ct_tensor *late_step(void *self, ct_tensor *ids, const ct_state *state, ct_state **next)
{
    static const double p[3][3] = { { 0.999, 0.0005, 0.0005 },
                                    { 0.2, 0.3, 0.5 },
                                    { 0.35, 0.6, 0.05 } };

    (void)self, (void)state, (void)next;
    return ct_embedding(ct_log(ct_from_data(p, CT_SHAPE(3, 3), CT_F64, CT_CPU)), ids);
}

/* The sequence that ends first, 1, is not the best per token: 0 0 0 0 is. */
START_TEST(late_best)
{
    static const int32_t two[] = { 2 }, one[] = { 1 }, zeros[4];
    const ct_decoder d = { .vocab = 3, .step = late_step };
    const ct_generation_row row = { .prefix = two, .prefix_count = 1 };
    ct_generation_options o = { .max_tokens = 4, .beams = 2, .stop = one, .stop_count = 1 };
    ct_generation *g = generated(&d, 1, &row, o);
    ct_generated got = ct_generation_get(g, 0, 0);

    ck_assert_int_eq(got.count, 4);
    ck_assert(memcmp(got.ids, zeros, sizeof zeros) == 0);
    expect_close("score", got.score, (log(0.35) + 3 * log(0.999)) / 4, 1e-12);
    ct_generation_free(g);
    o.length_penalty = CT_ZERO;
    g = generated(&d, 1, &row, o);
    got = ct_generation_get(g, 0, 0);
    ck_assert(got.count == 0 && got.end == CT_GENERATION_END_STOP);
    expect_close("score", got.score, log(0.6), 1e-12);
    ct_generation_free(g);
}
END_TEST

/* Beams of one are greedy search. */
START_TEST(one_beam)
{
    static const int32_t prefix[] = { 1, 0, 2 };
    const ct_generation_row row = { .prefix = prefix, .prefix_count = 3 };
    ct_generation *a, *b;
    model m;

    model_init(&m, (kind)_i, 0);
    a = generated(&m.decoder, 1, &row, (ct_generation_options){ .max_tokens = 9, .beams = 1 });
    b = generated(&m.decoder, 1, &row, (ct_generation_options){ .max_tokens = 9 });
    expect_same_row("one beam", a, 0, b, 0);
    ct_generation_free(a);
    ct_generation_free(b);
    model_free(&m);
}
END_TEST

/* ---- sampling ---- */

static const double scores[2][7] = { { 1, 2.5, -1, 0.5, 2.25, -3, 1.75 },
                                     { -0.25, 0.125, 3, -2, 1, 1, -0.5 } };

static bool is_banned(const ct_generation_options *o, int token)
{
    for (int i = 0; i < o->banned_count; i++)
        if (o->banned[i] == token)
            return true;
    return false;
}

/* The probabilities of the 7 tokens in double, token by token. */
static void probabilities_of(const double *score, const ct_generation_options *o, double *p)
{
    double top_p = o->top_p == 0 ? 1 : o->top_p, sum = 0, all = 0, kept = 0;
    int order[7], n = 0, i, j;

    for (i = 0; i < 7; i++) {
        p[i] = 0;
        if (is_banned(o, i))
            continue;
        for (j = n++; j > 0 && score[order[j - 1]] < score[i]; j--)
            order[j] = order[j - 1];
        order[j] = i;
    }
    n = o->top_k > 0 && o->top_k < n ? (int)o->top_k : n;
    if (o->temperature == 0) {
        p[order[0]] = 1;
        return;
    }
    for (i = 0; i < n; i++)
        all += exp((score[order[i]] - score[order[0]]) / o->temperature);
    for (i = 0; i < n && sum < top_p; i++) {
        p[order[i]] = exp((score[order[i]] - score[order[0]]) / o->temperature) / all;
        sum += p[order[i]];
        kept += p[order[i]];
    }
    for (i = 0; i < 7; i++)
        p[i] /= kept;
}

static const int32_t some[] = { 1, 4, 4 };
static const ct_generation_options samplings[] = {
    { .temperature = 0 },
    { .temperature = 1 },
    { .temperature = 0.5 },
    { .temperature = 1e-300 },
    { .temperature = 1, .top_k = 3 },
    { .temperature = 2, .top_k = 100 },
    { .temperature = 1, .top_p = 0.5 },
    { .temperature = 1, .top_p = 1e-9 },
    { .temperature = 1, .top_p = 0.999 },
    { .temperature = 1.5, .top_k = 4, .top_p = 0.7 },
    { .temperature = 1, .banned = some, .banned_count = 3 },
    { .temperature = 0, .banned = some, .banned_count = 3 },
    { .temperature = 0.8, .top_k = 3, .top_p = 0.9, .banned = some, .banned_count = 3 },
};

START_TEST(sampling_probabilities)
{
    const ct_generation_options o = samplings[_i];
    ct_dtype dtypes[] = { CT_F32, CT_F64 };
    double want[2][7];
    int k;

    probabilities_of(scores[0], &o, want[0]);
    probabilities_of(scores[1], &o, want[1]);
    for (k = 0; k < 2; k++) {
        ct_scope s = ct_scope_begin();
        ct_tensor *x = ct_to(ct_from_data(scores, CT_SHAPE(2, 1, 7), CT_F64, CT_CPU), DEVICE);
        ct_tensor *p = ct_sampling_probabilities(ct_cast(x, dtypes[k]), o);

        ck_assert_int_eq(ct_rank(p), 3);
        ck_assert_int_eq(ct_tensor_dtype(p), dtypes[k]);
        expect_values("probabilities", p, want[0], 14, k ? 1e-12 : 1e-6);
        x = leaf_from(ct_reshape(x, CT_SHAPE(7, 2)));
        p = ct_sampling_probabilities(ct_transpose(x, 0, 1), (ct_generation_options){ 0 });
        ck_assert_int_eq(ct_size(p, 0), 2);
        ck_assert(!ct_tensor_requires_grad(p));
        ck_assert(ct_scope_end(s) == CT_OK);
    }
}
END_TEST

START_TEST(odd_logits)
{
    static const double odd[4][3] = {
        { 0, NAN, 1 }, { 0, 1, INFINITY }, { -INFINITY, -INFINITY, -INFINITY }, { 0, -INFINITY, 0 }
    };
    ct_generation_options o = { .temperature = _i % 2, .top_p = _i & 2 ? 0.9 : 0 };
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_from_data(odd, CT_SHAPE(4, 3), CT_F64, CT_CPU);
    double *p = values_of(ct_sampling_probabilities(x, o));
    int i;

    for (i = 0; i < 9; i++)
        ck_assert(_i % 2 ? isnan(p[i]) : isnan(p[i]) || p[i] == 0);
    for (i = 0; i < 3; i++)
        ck_assert(isnan(p[3 * i]) || isnan(p[3 * i + 1]) || isnan(p[3 * i + 2]));
    ck_assert(p[9] == (_i % 2 ? 0.5 : 1) && p[10] == 0 && p[11] == (_i % 2 ? 0.5 : 0));
    free(p);
    x = ct_sampling_probabilities(ct_zeros(CT_SHAPE(0, 3), CT_F32, CT_CPU), o);
    ck_assert_int_eq(ct_numel(x), 0);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* A model of one step: its logits are those of scores[0]. */
static ct_tensor *fixed_step(void *self, ct_tensor *ids, const ct_state *state, ct_state **next)
{
    ct_tensor *one = ct_from_data(scores[0], CT_SHAPE(1, 7), CT_F64, CT_CPU);

    (void)self, (void)state, (void)next;
    return ct_expand(one, CT_SHAPE(ct_numel(ids), 7));
}

/* How often each token is drawn is how probable it is. */
START_TEST(draws)
{
    enum { DRAWS = 4000 };
    static const int32_t zero[] = { 0 };
    static ct_generation_row many[DRAWS];
    const ct_decoder d = { .vocab = 7, .step = fixed_step };
    ct_generation_options o = samplings[_i];
    double p[7], chi = 0;
    int seen[7] = { 0 }, kinds = 0, i;
    ct_generation *g;

    probabilities_of(scores[0], &o, p);
    for (i = 0; i < DRAWS; i++)
        many[i] = (ct_generation_row){ .prefix = zero, .prefix_count = 1, .seed = (uint64_t)i };
    o.max_tokens = 1;
    g = generated(&d, DRAWS, many, o);
    for (i = 0; i < DRAWS; i++)
        seen[ct_generation_get(g, i, 0).ids[0]]++;
    for (i = 0; i < 7; i++) {
        double want = DRAWS * p[i];

        if (want == 0)
            ck_assert_msg(seen[i] == 0, "token %d came %d times", i, seen[i]);
        else if (want >= 5) {
            chi += (seen[i] - want) * (seen[i] - want) / want;
            kinds++;
        }
    }
    /* the mean of chi squared is kinds - 1; 6 standard deviations above it */
    ck_assert_msg(chi < kinds + 6 * sqrt(2.0 * kinds), "chi squared %g of %d", chi, kinds);
    ct_generation_free(g);
}
END_TEST

void generate_search_cases(Suite *suite)
{
    TCase *tc = harness_case(suite, "beam search");

    tcase_add_loop_test(tc, wide_beams, 0, KINDS * LENGTH(penalties));
    tcase_add_test(tc, late_best);
    tcase_add_loop_test(tc, one_beam, 0, KINDS);
    tc = harness_case(suite, "sampling");
    tcase_add_loop_test(tc, sampling_probabilities, 0, LENGTH(samplings));
    tcase_add_loop_test(tc, odd_logits, 0, 4);
    tcase_add_loop_test(tc, draws, 0, LENGTH(samplings));
}
