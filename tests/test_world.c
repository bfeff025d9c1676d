/* SPDX-License-Identifier: MIT */
/* test_world.c - sums over shards by several ranks, which are threads here. The bits must be
 * equal for any number of ranks, and equal to those of a tree that the test computes by
 * recursion. */
#include "tests/test_world.h"
#include "tests/world_hub.h"

#include <cotangent.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- a model with its data as gradient ----
 *
 * The loss is the mean over the rows of sum(w x). Its gradient is the mean of the rows. */

#define MOST_ROWS 24
#define MOST_COLUMNS 1003
#define BATCHES 2

typedef struct problem {
    int shards, rows, columns;
    float x[BATCHES][MOST_ROWS * MOST_COLUMNS];
    float gradient[BATCHES][HUB_RANKS][MOST_COLUMNS];
    double loss[BATCHES][HUB_RANKS], sum[BATCHES][HUB_RANKS];
    uint64_t additions[HUB_RANKS], rows_seen[HUB_RANKS];
    uint64_t sent[HUB_RANKS]; /* bytes, for the last batch */
} problem;

/* Fills in values over 16 decades, of both signs, with some -0. */
static void problem_fill(problem *p, uint64_t seed)
{
    ct_generator g = ct_generator_from_seed(seed);

    for (int b = 0; b < BATCHES; b++)
        for (int i = 0; i < p->rows * p->columns; i++) {
            const double size = pow(10, 16 * ct_random_uniform(&g) - 8);
            const double sign = ct_random_u32(&g) % 2 ? 1 : -1;

            p->x[b][i] = (float)(ct_random_u32(&g) % 9 ? sign * size : sign * 0.0);
        }
}

/* Runs one batch on this rank. */
static void problem_step(problem *p, ct_world *w, ct_params *params, int rank, int b)
{
    ct_param *weight = ct_params_get(params, "w");
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_from_data(p->x[b], CT_SHAPE(p->rows, p->columns), CT_F32, CT_CPU);
    ct_batch batch = { .x = x, .rows = p->rows, .tokens = p->rows }, part;
    ct_tensor *g;

    while (ct_world_shard(w, params, &batch, &part)) {
        ct_tensor *y = ct_sum_axis(ct_mul(part.x, ct_param_value(weight)), 1, false);

        ct_world_backward(w, ct_mean(y), (double)part.rows);
        ct_world_add(w, 3, pow(10, ct_world_current_shard(w)));
    }
    ct_world_reduce(w, &p->loss[b][rank]);
    p->sum[b][rank] = ct_world_sum(w, 3);
    g = ct_tensor_grad(ct_param_value(weight));
    if (ct_ok())
        ct_to_host(g, p->gradient[b][rank], (size_t)p->columns * sizeof(float));
    ct_params_zero_grad(params);
    if (ct_scope_end(s) != CT_OK)
        return;
}

static void problem_run(hub_rank *r)
{
    problem *p = r->context;
    ct_params *params = ct_params_new((ct_params_options){ .seed = 1 });
    ct_world *w = cti_world_new_on("ct_world_new", r->ranks > 1 ? r->link : NULL,
                                   (ct_world_options){ .shards = p->shards });

    ct_params_add(params, "w", CT_SHAPE(p->columns), ct_init_constant(1));
    for (int b = 0; b < BATCHES && w; b++) {
        p->sent[r->rank] = w->counts.bytes_sent;
        problem_step(p, w, params, r->rank, b);
    }
    if (w) {
        p->sent[r->rank] = w->counts.bytes_sent - p->sent[r->rank];
        p->additions[r->rank] = w->counts.additions;
        p->rows_seen[r->rank] = w->counts.rows;
    }
    ct_world_free(w);
    ct_params_free(params);
}

/* ---- the tree, by recursion ---- */

static int first_row(const problem *p, int shard)
{
    return shard * p->rows / p->shards;
}

/* Column c of the sum over the existing shards of `from` to `from` + width - 1. Returns false if
 * none of them has rows. */
static bool tree_value(const problem *p, const float *leaf, const bool *there, int from, int width,
                       float *sum)
{
    float a = 0, b = 0;
    bool left, right;

    if (from >= p->shards)
        return false;
    if (width == 1) {
        *sum = leaf[from];
        return there[from];
    }
    left = tree_value(p, leaf, there, from, width / 2, &a);
    right = tree_value(p, leaf, there, from + width / 2, width / 2, &b);
    *sum = left && right ? a + b : left ? a : b;
    return left || right;
}

/* Computes the gradients of each shard alone with the library. They are the leaves of the tree. */
static void problem_leaves(const problem *p, int b, float *leaf, bool *there)
{
    for (int s = 0; s < p->shards; s++) {
        const int from = first_row(p, s), rows = first_row(p, s + 1) - from;
        ct_scope scope = ct_scope_begin();
        ct_tensor *w = ct_set_requires_grad(ct_ones(CT_SHAPE(p->columns), CT_F32, CT_CPU), true);
        ct_tensor *x;

        there[s] = rows > 0;
        if (rows) {
            x = ct_from_data(p->x[b] + from * p->columns, CT_SHAPE(rows, p->columns), CT_F32,
                             CT_CPU);
            ct_backward_with(ct_mean(ct_sum_axis(ct_mul(x, w), 1, false)),
                             ct_full(CT_SCALAR, rows, CT_F32, CT_CPU));
            ct_to_host(ct_tensor_grad(w), leaf + s * MOST_COLUMNS,
                       (size_t)p->columns * sizeof(float));
        }
        ck_assert(ct_scope_end(scope) == CT_OK);
    }
}

/* Fails unless every rank's gradients have the bits of the tree. */
static void problem_expect_tree(const problem *p, int ranks)
{
    float *leaf = calloc((size_t)p->shards * MOST_COLUMNS, sizeof *leaf);
    bool there[64];

    for (int b = 0; b < BATCHES; b++) {
        problem_leaves(p, b, leaf, there);
        for (int c = 0; c < p->columns; c++) {
            float own[64], want = 0;

            for (int s = 0; s < p->shards; s++)
                own[s] = leaf[s * MOST_COLUMNS + c];
            tree_value(p, own, there, 0, 64, &want);
            want = (float)((double)want / p->rows);
            for (int r = 0; r < ranks; r++)
                ck_assert_msg(memcmp(&want, &p->gradient[b][r][c], sizeof want) == 0,
                              "%d shards on %d ranks, %d rows, column %d, rank %d: %a is not %a",
                              p->shards, ranks, p->rows, c, r, p->gradient[b][r][c], want);
        }
    }
    free(leaf);
}

START_TEST(test_every_number_of_ranks_gives_the_bits_of_the_tree)
{
    static const struct {
        int shards, rows, columns;
    } cases[] = { { 1, 3, 5 },  { 2, 8, 64 },    { 3, 7, 33 },    { 4, 13, 1003 }, { 4, 3, 17 },
                  { 5, 5, 1 },  { 6, 24, 1003 }, { 6, 4, 100 },   { 7, 11, 31 },   { 8, 24, 250 },
                  { 8, 5, 16 }, { 11, 24, 48 },  { 12, 12, 257 }, { 24, 24, 15 } };
    static problem p;
    double loss[BATCHES];

    for (int i = 0; i < LENGTH(cases); i++)
        for (int ranks = 1; ranks <= 5 && ranks <= cases[i].shards; ranks++) {
            hub_rank rank[HUB_RANKS];

            p.shards = cases[i].shards;
            p.rows = cases[i].rows;
            p.columns = cases[i].columns;
            problem_fill(&p, (uint64_t)i);
            hub_run(ranks, problem_run, &p, rank);
            hub_expect_ok(rank, ranks);
            if (p.shards > 1) /* a world of one shard runs a plain step */
                problem_expect_tree(&p, ranks);
            for (int b = 0; b < BATCHES; b++) {
                if (ranks == 1)
                    loss[b] = p.loss[b][0];
                for (int r = 0; r < ranks; r++)
                    ck_assert(memcmp(&loss[b], &p.loss[b][r], sizeof loss[b]) == 0);
            }
        }
}
END_TEST

START_TEST(test_ranks_share_the_work)
{
    static problem p = { .shards = 8, .rows = 24, .columns = 1000 };
    /* The ranks add up these doubles with the gradient. */
    const uint64_t numbers = CTI_SUM_NUMBERS + 1;
    const double vector = 1000 * sizeof(float) + (double)numbers * sizeof(double);
    uint64_t alone = 0;

    problem_fill(&p, 1);
    for (int ranks = 1; ranks <= 8; ranks *= 2) {
        hub_rank rank[HUB_RANKS];
        uint64_t sum = 0;

        hub_run(ranks, problem_run, &p, rank);
        hub_expect_ok(rank, ranks);
        if (ranks == 1)
            alone = p.additions[0];
        ck_assert_uint_eq(alone, BATCHES * 7 * (1000 + numbers));
        for (int r = 0; r < ranks; r++) {
            /* segments are whole blocks of 64 bytes, so the last one has fewer elements */
            const double share = (double)p.additions[r] * ranks / (double)alone;

            sum += p.additions[r];
            ck_assert_uint_eq(p.rows_seen[r], BATCHES * 24 / (unsigned)ranks);
            ck_assert_msg(share < 1.15, "rank %d of %d adds %g of its share", r, ranks, share);
            /* as in a ring; the padding and the heads are a larger part of small segments */
            ck_assert_msg((double)p.sent[r] <= 1.25 * 2 * (ranks - 1) / ranks * vector,
                          "rank %d of %d sends %d bytes", r, ranks, (int)p.sent[r]);
            ck_assert((p.sent[r] > 0) == (ranks > 1));
        }
        ck_assert_uint_eq(sum, alone);
    }
}
END_TEST

START_TEST(test_numbers_are_added_up_over_shards)
{
    static problem p = { .shards = 6, .rows = 12, .columns = 3 };

    problem_fill(&p, 1);
    for (int ranks = 1; ranks <= 4; ranks++) {
        hub_rank rank[HUB_RANKS];

        hub_run(ranks, problem_run, &p, rank);
        hub_expect_ok(rank, ranks);
        for (int r = 0; r < ranks; r++)
            ck_assert(p.sum[1][r] == 111111);
    }
}
END_TEST

/* ---- a loop without a world ---- */

START_TEST(test_null_is_one_process_with_one_shard)
{
    static problem p = { .shards = 1, .rows = 7, .columns = 20 };
    ct_params *params = ct_params_new((ct_params_options){ .seed = 1 });
    float want[20];

    ct_params_add(params, "w", CT_SHAPE(20), ct_init_constant(1));
    problem_fill(&p, 2);
    problem_step(&p, NULL, params, 0, 0);
    expect_ok();
    for (int c = 0; c < 20; c++) {
        ct_scope s = ct_scope_begin();
        ct_tensor *w = ct_set_requires_grad(ct_ones(CT_SHAPE(20), CT_F32, CT_CPU), true);
        ct_tensor *x = ct_from_data(p.x[0], CT_SHAPE(7, 20), CT_F32, CT_CPU);

        ct_backward(ct_mean(ct_sum_axis(ct_mul(x, w), 1, false)));
        ct_to_host(ct_tensor_grad(w), want, sizeof want);
        ck_assert(ct_scope_end(s) == CT_OK);
        ck_assert(memcmp(want, p.gradient[0][0], sizeof want) == 0);
    }
    ck_assert_int_eq(ct_world_rank(NULL), 0);
    ck_assert_int_eq(ct_world_size(NULL), 1);
    ck_assert_int_eq(ct_world_shards(NULL), 1);
    ck_assert_int_eq(ct_world_current_shard(NULL), 0);
    ck_assert(ct_world_sum(NULL, 3) == 1);
    ck_assert(isnan(ct_world_sum(NULL, -1)) && isnan(ct_world_sum(NULL, CT_WORLD_NUMBERS)));
    ck_assert(ct_world_barrier(NULL) == CT_OK && ct_world_broadcast(NULL, want, 4) == CT_OK);
    ct_world_free(NULL);
    ct_params_free(params);
}
END_TEST

/* ---- parts of a batch ---- */

START_TEST(test_a_part_has_its_rows_and_tokens)
{
    ct_world *w = ct_world_new((ct_world_options){ .shards = 3 });
    ct_params *params = ct_params_new((ct_params_options){ .seed = 1 });
    const int32_t lengths[5] = { 1, 4, 2, 7, 3 };
    ct_scope s = ct_scope_begin();
    ct_generator g = ct_generator_from_seed(1);
    ct_tensor *fields[2] = { ct_rand(CT_SHAPE(5, 2), CT_F32, CT_CPU, &g),
                             ct_from_data(lengths, CT_SHAPE(5), CT_I32, CT_CPU) };
    static const char *const names[2] = { "x", "x_lengths" };
    ct_batch b = { .x = fields[0],
                   .rows = 5,
                   .tokens = 17,
                   .continues = true,
                   .field_count = 2,
                   .names = names,
                   .fields = fields },
             part;
    const int64_t rows[3] = { 1, 2, 2 }, tokens[3] = { 1, 6, 10 };

    for (int k = 0, at = 0; k < 3; at += (int)rows[k++]) {
        ck_assert(ct_world_shard(w, params, &b, &part));
        ck_assert_int_eq(ct_world_current_shard(w), k);
        ck_assert_int_eq(part.rows, rows[k]);
        ck_assert_int_eq(part.tokens, tokens[k]);
        ck_assert(part.continues && part.field_count == 2 && ct_batch_get(&part, "x") == part.x);
        expect_same_bits("rows", part.x, ct_narrow(b.x, 0, at, rows[k]));
        expect_same_bits("lengths", part.fields[1], ct_narrow(fields[1], 0, at, rows[k]));
    }
    ck_assert(!ct_world_shard(w, params, &b, &part));
    ck_assert(part.x == NULL && part.rows == 0);
    ct_world_free(w);
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(params);
}
END_TEST

/* Each shard draws from its own random stream. The next step draws other numbers. A world of one
 * shard draws the same numbers as a plain loop. */
START_TEST(test_each_shard_has_its_random_stream)
{
    ct_params *params = ct_params_new((ct_params_options){ .seed = 1 });
    ct_scope s = ct_scope_begin();
    ct_batch b = { .x = ct_ones(CT_SHAPE(4, 1), CT_F32, CT_CPU), .rows = 4, .tokens = 4 }, part;
    uint32_t draws[2][4];

    ct_params_add(params, "w", CT_SHAPE(1), ct_init_constant(1));
    for (int step = 0; step < 2; step++) {
        ct_world *w = ct_world_new((ct_world_options){ .shards = 4 });

        for (int k = 0; ct_world_shard(w, params, &b, &part); k++) {
            draws[step][k] = ct_random_u32(ct_params_generator(params));
            ct_world_backward(w, ct_sum(ct_mul(part.x, ct_param_value(ct_params_at(params, 0)))),
                              1);
        }
        ck_assert(ct_world_reduce(w, NULL) == CT_OK);
        ct_world_free(w);
    }
    for (int i = 0; i < 8; i++)
        for (int k = 0; k < i; k++)
            ck_assert(draws[i / 4][i % 4] != draws[k / 4][k % 4]);
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(params);
}
END_TEST

/* ---- bad input ---- */

START_TEST(test_bad_input_is_refused)
{
    ct_params *params = ct_params_new((ct_params_options){ .seed = 1 });
    ct_world *w = ct_world_new((ct_world_options){ .shards = 2 });
    ct_scope s = ct_scope_begin();
    ct_batch b = { .x = ct_ones(CT_SHAPE(4, 1), CT_F32, CT_CPU), .rows = 4, .tokens = 4 }, part;
    ct_batch none = { .rows = 0 }, wrong = { .x = b.x, .rows = 3, .tokens = 3 };

    REFUSED(CT_ERR_ARGUMENT, "ct_world_new", "shards is -1",
            ct_world_free(ct_world_new((ct_world_options){ .shards = -1 })));
    REFUSED(CT_ERR_ARGUMENT, "ct_world_new", "1..1024",
            ct_world_free(ct_world_new((ct_world_options){ .shards = 1025 })));
    REFUSED(CT_ERR_ARGUMENT, "ct_world_new", "timeout_s",
            ct_world_free(ct_world_new((ct_world_options){ .timeout_s = -1 })));
    REFUSED(CT_ERR_ARGUMENT, "ct_world_shard", "no rows", ct_world_shard(w, params, &none, &part));
    REFUSED(CT_ERR_SHAPE, "ct_world_shard", "3 rows ... f32[4,1]",
            ct_world_shard(w, params, &wrong, &part));
    ct_world_free(w);
    w = ct_world_new((ct_world_options){ .shards = 2 });
    REFUSED(CT_ERR_ARGUMENT, "ct_world_backward", "no shard", ct_world_backward(w, b.x, 1));
    REFUSED(CT_ERR_ARGUMENT, "ct_world_add", "no shard", ct_world_add(w, 0, 1));
    REFUSED(CT_ERR_ARGUMENT, "ct_world_reduce", "no batch", ct_world_reduce(w, NULL));
    ck_assert(ct_world_shard(w, params, &b, &part));
    REFUSED(CT_ERR_SHAPE, "ct_world_backward", "one element", ct_world_backward(w, b.x, 1));
    REFUSED(CT_ERR_ARGUMENT, "ct_world_backward", "count is 0",
            ct_world_backward(w, ct_ones(CT_SCALAR, CT_F32, CT_CPU), 0));
    REFUSED(CT_ERR_ARGUMENT, "ct_world_add", "i is 64", ct_world_add(w, 64, 1));
    REFUSED(CT_ERR_ARGUMENT, "ct_world_shard", "another batch",
            ct_world_shard(w, params, &wrong, &part));
    REFUSED(CT_ERR_ARGUMENT, "ct_world_reduce", "shard 1 was not computed",
            ct_world_reduce(w, NULL));
    REFUSED(CT_ERR_WORLD, "ct_world_fail", "rank 0: enough", ct_world_fail(w, "enough"));
    ct_world_free(w);
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(params);
}
END_TEST

/* ---- failures ---- */

static void fails_early(hub_rank *r)
{
    ct_world *w = cti_world_new_on("ct_world_new", r->link, (ct_world_options){ .shards = 3 });

    if (r->rank == 1)
        ct_world_fail(w, "the disk is full");
    else
        ct_world_barrier(w);
    ct_world_free(w);
}

static void raises(hub_rank *r)
{
    problem *p = r->context;
    ct_params *params = ct_params_new((ct_params_options){ .seed = 1 });
    ct_world *w = cti_world_new_on("ct_world_new", r->link, (ct_world_options){ .shards = 3 });

    ct_params_add(params, "w", CT_SHAPE(p->columns), ct_init_constant(1));
    if (r->rank == 2)
        ct_raise(CT_ERR_INDEX, "mine", "an index is 7");
    problem_step(p, w, params, r->rank, 0);
    ct_world_free(w);
    ct_params_free(params);
}

static void other_shards(hub_rank *r)
{
    ct_world_free(cti_world_new_on("ct_world_new", r->link,
                                   (ct_world_options){ .shards = r->rank == 2 ? 5 : 4 }));
}

static void is_late(hub_rank *r)
{
    ct_world *w = cti_world_new_on("ct_world_new", r->link,
                                   (ct_world_options){ .shards = 3, .timeout_s = 0.3 });

    if (r->rank != 1)
        ct_world_barrier(w);
    ct_world_free(w);
}

START_TEST(test_every_rank_hears_of_a_failure)
{
    static problem p = { .shards = 3, .rows = 6, .columns = 5 };
    static const struct {
        void (*program)(hub_rank *r);
        const char *words; /* the words that must appear in the messages of these ranks */
        int ranks[3];
    } failures[] = {
        { fails_early, "rank 1: the disk is full", { 0, 1, 2 } },
        { raises, "an index is 7", { 0, 1, 2 } },
        { other_shards, "rank 2 has 5 shards, and rank 0 has 4", { 0, 1, 2 } },
        { is_late, "was not heard of for 0.3 s", { 0, 0, 2 } },
    };

    problem_fill(&p, 1);
    for (int i = 0; i < LENGTH(failures); i++) {
        hub_rank rank[HUB_RANKS];

        hub_run(3, failures[i].program, &p, rank);
        for (int k = 0; k < 3; k++)
            ck_assert_msg(strstr(rank[failures[i].ranks[k]].message, failures[i].words),
                          "case %d, rank %d: %s", i, failures[i].ranks[k],
                          rank[failures[i].ranks[k]].message);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("world");
    TCase *tc = harness_case(suite, "sums");

    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, test_every_number_of_ranks_gives_the_bits_of_the_tree);
    tcase_add_test(tc, test_ranks_share_the_work);
    tcase_add_test(tc, test_numbers_are_added_up_over_shards);
    tc = harness_case(suite, "shards");
    tcase_add_test(tc, test_null_is_one_process_with_one_shard);
    tcase_add_test(tc, test_a_part_has_its_rows_and_tokens);
    tcase_add_test(tc, test_each_shard_has_its_random_stream);
    tcase_add_test(tc, test_bad_input_is_refused);
    tc = harness_case(suite, "failures");
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, test_every_rank_hears_of_a_failure);
    world_fit_cases(suite);
    world_lm_cases(suite);
    return harness_run(suite);
}
