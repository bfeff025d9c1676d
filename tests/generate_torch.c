/* SPDX-License-Identifier: MIT */
/* generate_torch.c - beam search and the filters of sampling against PyTorch's numbers, in f64
 * (tests/torch/generate.py, which defines what both compute). */
#include "tests/test_generate.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORDS = 11, MODEL = 7, MOST = 16 };

static FILE *numbers;

/* Reads a count and so many tokens. */
static int read_tokens(int32_t *to)
{
    int n, i;

    ck_assert(fscanf(numbers, "%d", &n) == 1 && n >= 0 && n <= MOST);
    for (i = 0; i < n; i++)
        ck_assert(fscanf(numbers, "%d", &to[i]) == 1);
    return n;
}

static void filter_case(void)
{
    int32_t banned[MOST];
    ct_generation_options o = { .banned = banned };
    double x[WORDS], want[WORDS];
    ct_scope s = ct_scope_begin();
    int r, top_k, c;

    ck_assert(fscanf(numbers, "%d %lf %d %lf", &r, &o.temperature, &top_k, &o.top_p) == 4);
    o.top_k = top_k;
    o.banned_count = read_tokens(banned);
    for (c = 0; c < WORDS; c++) {
        x[c] = 2 * sin(1.7 * c + 0.9 * r) + 0.1 * c;
        ck_assert(fscanf(numbers, "%lf", &want[c]) == 1);
    }
    expect_values("probabilities",
                  ct_sampling_probabilities(ct_from_data(x, CT_SHAPE(WORDS), CT_F64, CT_CPU), o),
                  want, WORDS, 1e-14);
    ck_assert(ct_scope_end(s) == CT_OK);
}

/* The state is the token before. */
static ct_tensor *formula_step(void *self, ct_tensor *ids, const ct_state *state, ct_state **next)
{
    const int64_t n = ct_numel(ids);
    ct_tensor *logits = ct_zeros(CT_SHAPE(n, MODEL), CT_F64, CT_CPU), *now = ct_unsqueeze(ids, 0);
    double *b = values_of(ids), *a = state ? values_of(ct_state_get(state, 0)) : NULL;
    int64_t i, c;

    (void)self;
    for (i = 0; i < n; i++)
        for (c = 0; c < MODEL; c++) {
            double before = a ? a[i] : -1, token = (double)c;

            put_value(
                logits, i * MODEL + c,
                3 * sin(1.7 * before + 2.9 * b[i] + 1.1 * token + 0.3 * before * token + 0.5));
        }
    free(a);
    free(b);
    *next = ct_state_from_tensors(1, &now);
    return logits;
}

static void beam_case(void)
{
    const ct_decoder d = { .vocab = MODEL, .step = formula_step };
    int32_t first, stop[MOST], ids[MOST];
    const ct_generation_row row = { .prefix = &first, .prefix_count = 1 };
    ct_generation_options o = { .stop = stop };
    int most, beams, n_best, early, i;
    double score;
    ct_generation *g;

    ck_assert(fscanf(numbers, "%d %d %d %d %lf %d", &first, &most, &beams, &n_best,
                     &o.length_penalty, &early) == 6);
    o.length_penalty = o.length_penalty == 0 ? CT_ZERO : o.length_penalty;
    o.max_tokens = most;
    o.beams = beams;
    o.n_best = n_best;
    o.early_stop = early;
    o.stop_count = read_tokens(stop);
    g = generated(&d, 1, &row, o);
    ck_assert_int_eq(ct_generation_count(g, 0), n_best);
    for (i = 0; i < n_best; i++) {
        ct_generated got = ct_generation_get(g, 0, i);
        int count;

        ck_assert(fscanf(numbers, "%lf", &score) == 1);
        count = read_tokens(ids);
        expect_close("score", got.score, score, 1e-13);
        ck_assert_int_eq(got.count, count);
        ck_assert(memcmp(got.ids, ids, (size_t)count * sizeof *ids) == 0);
    }
    ct_generation_free(g);
}

START_TEST(torch_numbers)
{
    char what[16];
    int filters = 0, searches = 0;

    numbers = fopen(harness_source("tests/torch/generate.txt"), "r");
    ck_assert(numbers && fscanf(numbers, "#%*[^\n]") == 0);
    while (fscanf(numbers, "%15s", what) == 1)
        if (strcmp(what, "filter") == 0) {
            filter_case();
            filters++;
        } else {
            ck_assert_str_eq(what, "beam");
            beam_case();
            searches++;
        }
    fclose(numbers);
    ck_assert_int_eq(filters, 54);
    ck_assert_int_eq(searches, 96);
}
END_TEST

void generate_torch_cases(Suite *suite)
{
    TCase *tc = harness_case(suite, "torch");

    tcase_add_test(tc, torch_numbers);
}
