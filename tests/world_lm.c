/* SPDX-License-Identifier: MIT */
/* world_lm.c - tests evaluation and generation by a language model on several ranks, which are threads
 * here. */
#include "tests/files.h"
#include "tests/test_world.h"
#include "tests/world_hub.h"

#include <cotangent.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define REQUESTS 7
#define LONGEST 2000

/* The work of all ranks, and the results of each. */
typedef struct shared {
    int shards, requests, size;
    int other_model, other_seed; /* the rank that has another model, or another seed; -1: none */
    double temperature;
    char text[LONGEST];
    ct_lm_score score[HUB_RANKS];
    char *answer[HUB_RANKS][REQUESTS];
    ct_status status[HUB_RANKS][REQUESTS];
    char message[HUB_RANKS][REQUESTS][160];
} shared;

static ct_lm *lm_of(const shared *s, int rank)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz the quick brown fox";
    ct_text *text = ct_text_new_from_bytes(letters, sizeof letters - 1, "test");
    ct_corpus *c = ct_corpus_new(text, (ct_corpus_options){ .clean = CT_CLEAN_LETTERS });
    ct_lm *m = ct_lm_new(c, (ct_lm_options){ .cell = CT_LM_CELL_GRU, .hidden_size = 9 });

    ct_params_init(ct_lm_params(m), ct_init_uniform(-0.9, 0.9), rank == s->other_model ? 6 : 5);
    ct_corpus_free(c);
    ct_text_free(text);
    return m;
}

static ct_world *world_of(const shared *s, const hub_rank *r)
{
    return cti_world_new_on("ct_world_new", r->ranks > 1 ? r->link : NULL,
                            (ct_world_options){ .shards = s->shards });
}

/* ---- evaluation ---- */

static void evaluates(hub_rank *r)
{
    shared *s = r->context;
    ct_world *w = world_of(s, r);
    ct_text *text = ct_text_new_from_bytes(s->text, (size_t)s->size, "test");
    ct_lm *m = lm_of(s, r->rank);

    if (w)
        ct_lm_evaluate(m, text, w, &s->score[r->rank]);
    ct_lm_free(m);
    ct_text_free(text);
    ct_world_free(w);
}

static shared shared_of(int shards, int size)
{
    shared s = { .shards = shards, .size = size, .other_model = -1, .other_seed = -1 };

    for (int i = 0; i < size; i++)
        s.text[i] = (char)('a' + i * i % 23);
    return s;
}

/* The loss that the header describes, from the whole text and from its parts. */
static double loss_of_parts(const shared *s)
{
    const int tokens = s->size - 1;
    ct_lm *m = lm_of(s, 0);
    double nats = 0;

    for (int k = 0; k < s->shards; k++) {
        const int from = k * tokens / s->shards, to = (k + 1) * tokens / s->shards;
        const int begin = from < 256 ? 0 : from - 256;
        double part[2] = { 0, 0 };

        for (int i = 0; i < 2; i++) { /* the losses up to `to`, and those before `from` */
            const int end = i ? from : to;
            ct_text *text = ct_text_new_from_bytes(s->text + begin, (size_t)(end - begin + 1), "");
            ct_lm_score score;

            if (end > begin && to > from) {
                ck_assert(ct_lm_evaluate(m, text, NULL, &score) == CT_OK);
                part[i] = score.loss * (double)score.tokens;
            }
            ct_text_free(text);
        }
        nats += part[0] - part[1];
    }
    ct_lm_free(m);
    return nats / tokens;
}

START_TEST(test_a_score_has_the_same_bits_for_any_number_of_ranks)
{
    static const int sizes[] = { 1999, 700, 6, 3 };
    static shared s;
    double one = 0;

    for (int i = 0; i < LENGTH(sizes); i++)
        for (int shards = 1; shards <= 6; shards++)
            for (int ranks = 1; ranks <= 4 && ranks <= shards; ranks++) {
                hub_rank rank[HUB_RANKS];

                s = shared_of(shards, sizes[i]);
                hub_run(ranks, evaluates, &s, rank);
                hub_expect_ok(rank, ranks);
                if (ranks == 1) {
                    one = s.score[0].loss;
                    expect_close("loss", one, loss_of_parts(&s), 1e-6);
                }
                for (int r = 0; r < ranks; r++) {
                    ck_assert_int_eq(s.score[r].tokens, sizes[i] - 1);
                    ck_assert(s.score[r].perplexity == exp(one));
                    ck_assert_msg(memcmp(&one, &s.score[r].loss, sizeof one) == 0,
                                  "%d shards, rank %d of %d: %a is not %a", shards, r, ranks,
                                  s.score[r].loss, one);
                }
            }
}
END_TEST

/* ---- generation ---- */

static void generates(hub_rank *r)
{
    static const char *const prefixes[REQUESTS] = { "the ", "q", "brown fox", "a", "", "zz", "fi" };
    shared *s = r->context;
    ct_world *w = world_of(s, r);
    ct_lm *m = lm_of(s, r->rank);
    ct_lm_request ask[REQUESTS] = { { .prefix = NULL } };

    for (int i = 0; i < s->requests; i++) {
        ask[i].prefix = prefixes[i];
        ask[i].seed = (uint64_t)(i + (r->rank == s->other_seed));
        ask[i].count = i % 3;
    }
    if (w)
        ct_lm_generate_batch(
            m, s->requests, ask,
            (ct_lm_generate_options){ .count = 9, .temperature = s->temperature, .world = w });
    for (int i = 0; i < s->requests; i++) {
        s->answer[r->rank][i] = ask[i].text;
        s->status[r->rank][i] = ask[i].status;
        strcpy(s->message[r->rank][i], ask[i].message);
    }
    ct_lm_free(m);
    ct_world_free(w);
}

static void free_answers(shared *s)
{
    for (int r = 0; r < HUB_RANKS; r++)
        for (int i = 0; i < REQUESTS; i++) {
            harness_free(s->answer[r][i]);
            s->answer[r][i] = NULL;
        }
}

static void expect_answers(const shared *got, int ranks, const shared *want)
{
    for (int r = 0; r < ranks; r++)
        for (int i = 0; i < got->requests; i++) {
            const char *a = got->answer[r][i], *b = want->answer[0][i];

            ck_assert_int_eq(got->status[r][i], want->status[0][i]);
            ck_assert_str_eq(got->message[r][i], want->message[0][i]);
            ck_assert_msg((!a && !b) || (a && b && strcmp(a, b) == 0),
                          "request %d, rank %d of %d: %s is not %s", i, r, ranks, a ? a : "none",
                          b ? b : "none");
        }
}

START_TEST(test_texts_are_the_same_for_any_number_of_ranks)
{
    static shared one, many;

    for (int requests = 0; requests <= REQUESTS; requests += requests < 2 ? 1 : 5)
        for (int shards = 1; shards <= 6; shards++) {
            for (int ranks = 1; ranks <= 4 && ranks <= shards; ranks++) {
                hub_rank rank[HUB_RANKS];

                many = shared_of(shards, 0);
                many.requests = requests;
                many.temperature = 0.9;
                hub_run(ranks, generates, &many, rank);
                hub_expect_ok(rank, ranks);
                if (ranks == 1)
                    one = many;
                expect_answers(&many, ranks, &one);
                if (ranks > 1)
                    free_answers(&many);
            }
            if (requests == REQUESTS) {
                ck_assert(strlen(one.answer[0][3]) >= 1 + 9);
                ck_assert(one.status[0][4] == CT_ERR_ARGUMENT && one.answer[0][4] == NULL);
            }
            free_answers(&one);
        }
}
END_TEST

/* ---- errors ---- */

static void uses_an_open_step(hub_rank *r)
{
    shared *s = r->context;
    ct_world *w = world_of(s, r);
    ct_lm *m = lm_of(s, 0);
    ct_scope scope = ct_scope_begin();
    ct_batch b = { .x = ct_ones(CT_SHAPE(4, 1), CT_F32, CT_CPU), .rows = 4, .tokens = 4 }, part;
    ct_text *text = ct_text_new_from_bytes("abc", 3, "test");
    ct_lm_score score;

    ct_world_shard(w, ct_lm_params(m), &b, &part);
    ct_lm_evaluate(m, text, w, &score);
    ct_text_free(text);
    ct_world_free(w);
    ct_lm_free(m);
    if (ct_scope_end(scope) != CT_OK)
        return;
}

START_TEST(test_ranks_with_other_inputs_are_refused)
{
    static const struct {
        void (*program)(hub_rank *r);
        int other_model, other_seed;
        double temperature;
        ct_status status;
        const char *words; /* the words that must appear in the message of every rank */
    } cases[] = {
        { evaluates, 2, -1, 0, CT_ERR_WORLD, "the model or the input of rank 2 differs" },
        { generates, 1, -1, 0, CT_ERR_WORLD, "the model or the input of rank 1 differs" },
        { generates, -1, 2, 0, CT_ERR_WORLD, "the model or the input of rank 2 differs" },
        { generates, -1, -1, -1, CT_ERR_ARGUMENT, "temperature" },
        { uses_an_open_step, -1, -1, 0, CT_ERR_ARGUMENT, "not reduced yet" },
    };

    for (int i = 0; i < LENGTH(cases); i++) {
        hub_rank rank[HUB_RANKS];
        static shared s;

        s = shared_of(3, 50);
        s.requests = 3;
        s.other_model = cases[i].other_model;
        s.other_seed = cases[i].other_seed;
        s.temperature = cases[i].temperature;
        hub_run(3, cases[i].program, &s, rank);
        for (int k = 0; k < 3; k++) {
            ck_assert_msg(rank[k].status == cases[i].status || rank[k].status == CT_ERR_WORLD,
                          "case %d, rank %d: status %d", i, k, rank[k].status);
            ck_assert_msg(strstr(rank[k].message, cases[i].words), "case %d, rank %d: %s", i, k,
                          rank[k].message);
            for (int j = 0; j < s.requests; j++)
                ck_assert(!s.answer[k][j]);
        }
    }
}
END_TEST

void world_lm_cases(Suite *suite)
{
    TCase *tc = harness_case(suite, "language_model");

    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, test_a_score_has_the_same_bits_for_any_number_of_ranks);
    tcase_add_test(tc, test_texts_are_the_same_for_any_number_of_ranks);
    tcase_add_test(tc, test_ranks_with_other_inputs_are_refused);
}
