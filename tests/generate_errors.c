/* SPDX-License-Identifier: MIT */
/* generate_errors.c - bad requests, options and models. */
#include "tests/files.h"
#include "tests/test_generate.h"

#include <math.h>
#include <string.h>

#define ME "ct_generation_new"

static const int32_t prefix[] = { 1, 2, 3 }, all[] = { 0, 1, 2, 3, 4, 5 }, outside[] = { 0, 6 };
static const int32_t below[] = { -1 };
static const ct_generation_row good = { .prefix = prefix, .prefix_count = 3 };

/* ---- options ---- */

static bool hear(void *context, int row, int32_t token)
{
    (void)context, (void)row, (void)token;
    return true;
}

START_TEST(bad_options)
{
    static const struct {
        ct_generation_options o;
        ct_status status;
        const char *word;
    } cases[] = {
        { { .max_tokens = 0 }, CT_ERR_ARGUMENT, "max_tokens is 0" },
        { { .max_tokens = -1 }, CT_ERR_ARGUMENT, "max_tokens is -1" },
        { { .temperature = -1 }, CT_ERR_ARGUMENT, "temperature is -1" },
        { { .temperature = NAN }, CT_ERR_ARGUMENT, "temperature is nan" },
        { { .temperature = INFINITY }, CT_ERR_ARGUMENT, "temperature is inf" },
        { { .top_k = -1 }, CT_ERR_ARGUMENT, "top_k is -1" },
        { { .top_p = -0.1 }, CT_ERR_ARGUMENT, "top_p is -0.1" },
        { { .top_p = 1.01 }, CT_ERR_ARGUMENT, "top_p is 1.01" },
        { { .top_p = NAN }, CT_ERR_ARGUMENT, "top_p is nan" },
        { { .top_p = CT_ZERO }, CT_ERR_ARGUMENT, "top_p is 0" },
        { { .banned = all, .banned_count = 6 }, CT_ERR_ARGUMENT, "all 6 tokens are banned" },
        { { .banned = all, .banned_count = -1 }, CT_ERR_ARGUMENT, "banned_count is -1" },
        { { .banned_count = 1 }, CT_ERR_ARGUMENT, "banned is NULL" },
        { { .banned = outside, .banned_count = 2 }, CT_ERR_INDEX, "banned[1] is 6" },
        { { .stop = below, .stop_count = 1 }, CT_ERR_INDEX, "stop[0] is -1" },
        { { .stop = all, .stop_count = -2 }, CT_ERR_ARGUMENT, "stop_count is -2" },
        { { .stop_count = 1 }, CT_ERR_ARGUMENT, "stop is NULL" },
        { { .beams = -1 }, CT_ERR_ARGUMENT, "beams is -1" },
        { { .beams = 4097 }, CT_ERR_ARGUMENT, "beams is 4097" },
        { { .beams = 2, .n_best = 3 }, CT_ERR_ARGUMENT, "n_best is 3" },
        { { .n_best = -1 }, CT_ERR_ARGUMENT, "n_best is -1" },
        { { .beams = 2, .length_penalty = NAN }, CT_ERR_ARGUMENT, "length_penalty is nan" },
        { { .beams = 2, .temperature = 1 }, CT_ERR_ARGUMENT, "temperature ... beam search" },
        { { .beams = 2, .emit = hear }, CT_ERR_ARGUMENT, "emit" },
    };
    model m;
    int i;

    model_init(&m, GRU, 0);
    for (i = 0; i < LENGTH(cases); i++) {
        ct_generation_options o = cases[i].o;

        o.max_tokens = i < 2 ? o.max_tokens : 3;
        ck_assert_ptr_null(ct_generation_new(&m.decoder, 1, &good, NULL, o));
        expect_error(cases[i].status, ME, cases[i].word);
    }
    model_free(&m);
}
END_TEST

START_TEST(bad_probabilities)
{
    static const struct {
        ct_generation_options o;
        ct_status status;
        const char *word;
    } cases[] = {
        { { .temperature = -1 }, CT_ERR_ARGUMENT, "temperature is -1" },
        { { .top_k = -1 }, CT_ERR_ARGUMENT, "top_k is -1" },
        { { .top_p = 2 }, CT_ERR_ARGUMENT, "top_p is 2" },
        { { .banned = all, .banned_count = 6 }, CT_ERR_ARGUMENT, "all 6 tokens are banned" },
        { { .banned = outside, .banned_count = 2 }, CT_ERR_INDEX, "banned[1] is 6" },
    };
    const ct_generation_options none = { 0 };
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_zeros(CT_SHAPE(2, 6), CT_F32, DEVICE);
    int i;

    for (i = 0; i < LENGTH(cases); i++)
        REFUSED(cases[i].status, "ct_sampling_probabilities", cases[i].word,
                ct_sampling_probabilities(x, cases[i].o));
    REFUSED(CT_ERR_SHAPE, "ct_sampling_probabilities", "vocab",
            ct_sampling_probabilities(ct_zeros(CT_SCALAR, CT_F32, DEVICE), none));
    REFUSED(CT_ERR_SHAPE, "ct_sampling_probabilities", "vocab",
            ct_sampling_probabilities(ct_zeros(CT_SHAPE(3, 0), CT_F32, DEVICE), none));
    REFUSED(CT_ERR_DTYPE, "ct_sampling_probabilities", "logits",
            ct_sampling_probabilities(ct_zeros(CT_SHAPE(3), CT_I32, DEVICE), none));
    (void)!ct_scope_end(s);
    ct_error_clear();
}
END_TEST

/* ---- rows ---- */

static const struct {
    ct_generation_row row;
    ct_status status;
    const char *text;
} bad_rows[] = {
    { { .prefix = prefix, .prefix_count = 0 }, CT_ERR_ARGUMENT, "the prefix is empty" },
    { { .prefix = prefix, .prefix_count = -1 }, CT_ERR_ARGUMENT, "the prefix is empty" },
    { { .prefix_count = 2 }, CT_ERR_ARGUMENT, "the prefix is NULL" },
    { { .prefix = all, .prefix_count = 6 },
      CT_ERR_SHAPE,
      "the prefix has 6 tokens; the model reads at most 5" },
    { { .prefix = outside, .prefix_count = 2 },
      CT_ERR_INDEX,
      "token 1 of the prefix is 6; it must be in 0..5" },
    { { .prefix = below, .prefix_count = 1 },
      CT_ERR_INDEX,
      "token 0 of the prefix is -1; it must be in 0..5" },
    { { .prefix = prefix, .prefix_count = 3, .max_tokens = -4 },
      CT_ERR_ARGUMENT,
      "max_tokens is -4; it must be at least 0" },
};

/* A bad row fails alone; the others are as if it were not there. */
START_TEST(bad_row)
{
    const ct_generation_row three[] = { good, bad_rows[_i].row, good };
    const ct_generation_options o = { .max_tokens = 4 };
    ct_generation *g, *one;
    model m;

    ct_set_portable(true);
    model_init(&m, TRANSFORMER_READ, 0);
    m.decoder.max_tokens = 5;
    g = generated(&m.decoder, 3, three, o);
    one = generated(&m.decoder, 1, &good, o);
    expect_same_row("good", g, 0, one, 0);
    expect_same_row("good", g, 2, one, 0);
    ck_assert(ct_generation_status(g, 1) == bad_rows[_i].status);
    ck_assert_str_eq(ct_generation_message(g, 1), bad_rows[_i].text);
    ck_assert_int_eq(ct_generation_count(g, 1), 0);
    ck_assert_str_eq(ct_generation_message(g, 0), "");
    ck_assert_int_eq(ct_generation_get(g, 1, 0).count, 0);
    expect_error(CT_ERR_INDEX, "ct_generation_get", "row 1 has 0 sequences");
    ck_assert(ct_generation_status(g, 3) == CT_ERR_INDEX);
    expect_error(CT_ERR_INDEX, "ct_generation_status", "row 3 does not exist");
    ct_generation_free(g);
    ct_generation_free(one);
    model_free(&m);
    ct_set_portable(false);
}
END_TEST

/* ---- models ---- */

/* Logits of 0, and what the test has asked to go wrong once the model has read a 3. */
typedef enum fault {
    FAULT_RAISES,
    FAULT_NULL,
    FAULT_VOCAB,
    FAULT_ROWS,
    FAULT_RANK,
    FAULT_DTYPE,
    FAULT_STATE_ROWS,
    FAULT_STATE_RANK,
    FAULT_DEAD,
    FAULTS
} fault;

static const struct {
    ct_status status;
    const char *function, *word;
} faults[] = {
    [FAULT_RAISES] = { CT_ERR_NUMERIC, "the model", "fault of the model" },
    [FAULT_NULL] = { CT_ERR_ARGUMENT, ME, "d.step returned NULL" },
    [FAULT_VOCAB] = { CT_ERR_SHAPE, ME, "d.step's logits ... must be" },
    [FAULT_ROWS] = { CT_ERR_SHAPE, ME, "d.step's logits ... must be" },
    [FAULT_RANK] = { CT_ERR_SHAPE, ME, "d.step's logits ... must be" },
    [FAULT_DTYPE] = { CT_ERR_DTYPE, ME, "d.step's logits" },
    [FAULT_STATE_ROWS] = { CT_ERR_SHAPE, ME, "d.step's state ... axis 1" },
    [FAULT_STATE_RANK] = { CT_ERR_SHAPE, ME, "d.step's state ... axis 1" },
    [FAULT_DEAD] = { CT_ERR_SCOPE, ME, "dead" },
};

static ct_tensor *faulty_logits(fault f, int64_t n)
{
    ct_tensor *t;
    ct_scope s;

    switch (f) {
    case FAULT_RAISES:
        ct_raise(CT_ERR_NUMERIC, "the model", "a fault of the model");
        return NULL;
    case FAULT_NULL:
        return NULL;
    case FAULT_VOCAB:
        return ct_zeros(CT_SHAPE(n, 5), CT_F32, CT_CPU);
    case FAULT_ROWS:
        return ct_zeros(CT_SHAPE(n + 1, 6), CT_F32, CT_CPU);
    case FAULT_RANK:
        return ct_zeros(CT_SHAPE(n, 1, 6), CT_F32, CT_CPU);
    case FAULT_DTYPE:
        return ct_zeros(CT_SHAPE(n, 6), CT_I32, CT_CPU);
    case FAULT_DEAD:
        s = ct_scope_begin();
        t = ct_zeros(CT_SHAPE(n, 6), CT_F32, CT_CPU);
        ck_assert(ct_scope_end(s) == CT_OK);
        return t;
    default:
        return ct_zeros(CT_SHAPE(n, 6), CT_F32, CT_CPU);
    }
}

static ct_tensor *faulty_step(void *self, ct_tensor *ids, const ct_state *state, ct_state **next)
{
    const fault f = *(const fault *)self;
    int64_t n = ct_numel(ids), rows = n + (f == FAULT_STATE_ROWS);
    ct_tensor *t =
        ct_zeros(f == FAULT_STATE_RANK ? CT_SHAPE(rows) : CT_SHAPE(1, rows, 2), CT_F32, CT_CPU);

    (void)state;
    *next = ct_state_from_tensors(1, &t);
    return faulty_logits(f, n);
}

START_TEST(bad_step)
{
    const ct_generation_row two[] = { good, { .prefix = prefix, .prefix_count = 1 } };
    fault f = (fault)_i;
    ct_decoder d = { .self = &f, .vocab = 6, .step = faulty_step };

    ck_assert_ptr_null(
        ct_generation_new(&d, 2, two, NULL, (ct_generation_options){ .max_tokens = 4 }));
    expect_error(faults[f].status, faults[f].function, faults[f].word);
}
END_TEST

static ct_state *no_read(void *self, ct_tensor *ids, ct_tensor *lengths, const ct_state *state)
{
    (void)self, (void)ids, (void)lengths, (void)state;
    return NULL;
}

static ct_state *no_select(void *self, const ct_state *state, ct_tensor *at)
{
    (void)self, (void)state, (void)at;
    return NULL;
}

START_TEST(bad_decoder)
{
    const ct_generation_options o = { .max_tokens = 4 };
    const ct_generation_row two[] = { good,
                                      { .prefix = prefix, .prefix_count = 1, .max_tokens = 1 } };
    fault none = FAULTS;
    ct_scope s = ct_scope_begin();
    ct_tensor *t = ct_zeros(CT_SHAPE(1, 3, 2), CT_F32, CT_CPU);
    ct_state *state = ct_state_from_tensors(1, &t);
    ct_decoder d = { .self = &none, .vocab = 6, .step = faulty_step };

    ck_assert_ptr_null(ct_generation_new(&d, 2, two, state, o));
    expect_error(CT_ERR_SHAPE, ME, "state ... axis 1 must have size 2");
    d.read = no_read;
    ck_assert_ptr_null(ct_generation_new(&d, 1, two, NULL, o));
    expect_error(CT_ERR_ARGUMENT, ME, "d.read returned NULL");
    d.read = NULL;
    d.select = no_select;
    ck_assert_ptr_null(ct_generation_new(&d, 2, two, NULL, o));
    expect_error(CT_ERR_ARGUMENT, ME, "d.select returned NULL");
    d.step = NULL;
    ck_assert_ptr_null(ct_generation_new(&d, 1, &good, NULL, o));
    expect_error(CT_ERR_ARGUMENT, ME, "d.step is NULL");
    d = (ct_decoder){ .step = faulty_step };
    ck_assert_ptr_null(ct_generation_new(&d, 1, &good, NULL, o));
    expect_error(CT_ERR_ARGUMENT, ME, "d.vocab is 0");
    d = (ct_decoder){ .vocab = 6, .max_tokens = -1, .step = faulty_step };
    ck_assert_ptr_null(ct_generation_new(&d, 1, &good, NULL, o));
    expect_error(CT_ERR_ARGUMENT, ME, "d.max_tokens is -1");
    ck_assert_ptr_null(ct_generation_new(&d, -1, &good, NULL, o));
    expect_error(CT_ERR_ARGUMENT, ME, "count is -1");
    (void)!ct_scope_end(s);
}
END_TEST

/* The logits of a row that has read a 4 are NaN in one place. */
static ct_tensor *nan_step(void *self, ct_tensor *ids, const ct_state *state, ct_state **next)
{
    ct_tensor *is4 = ct_eq_scalar(ids, 4), *x = ct_one_hot(ct_zeros_like(ids), 6);

    (void)self, (void)state, (void)next;
    return ct_masked_fill(x, ct_logical_and(ct_unsqueeze(is4, 1), ct_eq_scalar(x, 1)), NAN);
}

START_TEST(nan_logits)
{
    static const ct_generation_options searches[] = {
        { .max_tokens = 4 },
        { .max_tokens = 4, .temperature = 1 },
        { .max_tokens = 4, .temperature = 1, .top_k = 2 },
        { .max_tokens = 4, .temperature = 1, .top_p = 0.5 },
        { .max_tokens = 4, .beams = 3 },
    };
    static const int32_t four[] = { 4 };
    const int32_t banned[] = { 4 };
    const ct_generation_row two[] = { { .prefix = four, .prefix_count = 1 }, good };
    const ct_decoder d = { .vocab = 6, .step = nan_step };
    ct_generation_options o = searches[_i];
    ct_generation *g;

    o.banned = banned; /* so that the good row does not come to it */
    o.banned_count = 1;
    g = generated(&d, 2, two, o);
    ck_assert(ct_generation_status(g, 0) == CT_ERR_NUMERIC);
    ck_assert_str_eq(ct_generation_message(g, 0), "the model's logits are not finite");
    ck_assert_int_eq(ct_generation_count(g, 0), 0);
    ck_assert(ct_generation_status(g, 1) == CT_OK);
    ck_assert_int_eq(ct_generation_get(g, 1, 0).count, 4);
    ct_generation_free(g);
}
END_TEST

/* ---- memory ---- */

/* Each allocation fails once: the call returns NULL with an error and leaks nothing. A bad row without
 * memory for its message is still bad. */
START_TEST(memory_fails)
{
    static const ct_generation_options searches[] = {
        { .max_tokens = 3, .temperature = 1, .top_p = 0.9, .banned = prefix, .banned_count = 1 },
        { .max_tokens = 3, .beams = 3, .n_best = 2, .stop = prefix, .stop_count = 1 },
    };
    const ct_generation_row three[] = { good,
                                        { .prefix = prefix, .prefix_count = 0 },
                                        { .prefix = prefix, .prefix_count = 1, .max_tokens = 2 } };
    int failed = 0, k;
    bool all_good = false;
    model m;

    model_init(&m, (kind)(_i / 2), 0);
    for (k = 1; !all_good; k++) {
        ct_generation *g;

        ct_memory_trim();
        fail_allocation(k);
        g = ct_generation_new(&m.decoder, 3, three, NULL, searches[_i % 2]);
        all_good = allocations_seen < k;
        fail_nothing();
        ck_assert((g != NULL) == (ct_error() == CT_OK));
        if (g) {
            ck_assert(ct_generation_status(g, 0) == CT_OK);
            ck_assert(ct_generation_status(g, 1) == CT_ERR_ARGUMENT);
            ck_assert(strlen(ct_generation_message(g, 1)) > 0);
        } else {
            expect_out_of_memory();
            failed++;
        }
        ct_generation_free(g);
        ck_assert_int_lt(k, 2000);
    }
    ck_assert_int_ge(failed, 8);
    model_free(&m);
}
END_TEST

void generate_errors_cases(Suite *suite)
{
    TCase *tc = harness_case(suite, "errors");

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, bad_options);
    tcase_add_test(tc, bad_probabilities);
    tcase_add_loop_test(tc, bad_row, 0, LENGTH(bad_rows));
    tcase_add_loop_test(tc, bad_step, 0, FAULTS);
    tcase_add_test(tc, bad_decoder);
    tcase_add_loop_test(tc, nan_logits, 0, 5);
    tcase_add_loop_test(tc, memory_fails, 0, 2 * KINDS);
}
