/* SPDX-License-Identifier: MIT */
/* data_loaders.c - loaders: windows of a corpus, in order, shuffled, and by d2l's iterators. */
#include "tensor/internal.h"
#include "tests/fetch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cotangent/data/loader.h>
#include <cotangent/data/tensor_loader.h>
#include <cotangent/data/vocab.h>
#include <cotangent/tensor/scope.h>
#include <cotangent/tensor/tensor.h>

#include "tests/test_data.h"

/* Makes a corpus in which each window of 9 or more tokens occurs only once (place_of checks
 * this). */
static ct_corpus *new_corpus(size_t size)
{
    char *s = prose(size);
    ct_text *t = text_of(s);
    ct_corpus *c = ct_corpus_new(t, (ct_corpus_options){ .clean = CT_CLEAN_NONE });

    ck_assert_ptr_nonnull(c);
    ck_assert_int_eq(ct_corpus_size(c), (int64_t)size);
    ct_text_free(t);
    free(s);
    return c;
}

/* ---- loaders ---- */

/* An epoch as a list of rows: the position in the corpus at which each row of x begins. */
typedef struct epoch {
    int64_t *start, rows;
    int64_t batch_rows[40]; /* the number of rows of each batch */
    int batches;
} epoch;

/* Returns the only position of the corpus with these ids. */
static int64_t place_of(const ct_corpus *c, const int32_t *ids, int64_t steps)
{
    const int32_t *all = ct_corpus_ids(c);
    int64_t i, found = -1;

    for (i = 0; i + steps < ct_corpus_size(c); i++)
        if (all[i] == ids[0] && memcmp(all + i, ids, (size_t)steps * sizeof *ids) == 0) {
            ck_assert_msg(found < 0, "the test's corpus repeats itself");
            found = i;
        }
    ck_assert_msg(found >= 0, "a row of x is not in the corpus");
    return found;
}

/* Runs an epoch and checks that y is x shifted by one. Uses one assertion for each row, because
 * Check's assertions are slow. */
static epoch run_epoch(ct_loader *l, const ct_corpus *c, int64_t steps)
{
    epoch e = { .rows = 0 };
    ct_scope s = ct_scope_begin();
    ct_batch b;
    int64_t tokens = 0, r;

    ck_assert_int_eq(ct_loader_begin(l), CT_OK);
    e.start = calloc((size_t)(ct_loader_tokens(l) / steps), sizeof *e.start);
    while (ct_loader_next(l, &b)) {
        const int32_t *x = ct_data(b.x), *y = ct_data(b.y);
        int64_t rows = ct_size(b.x, 0);

        expect_ok();
        ck_assert_int_eq(ct_rank(b.x), 2);
        ck_assert_int_eq(ct_size(b.x, 1), steps);
        ck_assert(ct_tensor_dtype(b.x) == CT_I32 && ct_tensor_dtype(b.y) == CT_I32);
        ck_assert(ct_rank(b.y) == 2 && ct_size(b.y, 0) == rows && ct_size(b.y, 1) == steps);
        ck_assert_int_eq(b.tokens, rows * steps);
        tokens += b.tokens;
        ck_assert_int_le(tokens, ct_loader_tokens(l));
        for (r = 0; r < rows; r++) {
            int64_t at = place_of(c, x + r * steps, steps);

            ck_assert_int_eq(
                memcmp(y + r * steps, ct_corpus_ids(c) + at + 1, (size_t)steps * sizeof *y), 0);
            e.start[e.rows++] = at;
        }
        ck_assert_int_lt(e.batches, LENGTH(e.batch_rows));
        e.batch_rows[e.batches++] = rows;
    }
    ck_assert_int_eq(e.batches, ct_loader_batches(l));
    ck_assert_int_eq(tokens, ct_loader_tokens(l));
    ck_assert(!ct_loader_next(l, &b)); /* a further call stays at the end */
    ck_assert_int_eq(ct_scope_end(s), CT_OK);
    return e;
}

static bool same_epoch(const epoch *a, const epoch *b)
{
    return a->rows == b->rows && a->batches == b->batches &&
           memcmp(a->start, b->start, (size_t)a->rows * sizeof *a->start) == 0;
}

START_TEST(windows_in_order)
{
    enum { T = 9, B = 7, FIRST = 10, COUNT = 50 };
    ct_corpus *c = new_corpus(400);
    ct_loader *l = ct_loader_windows_new(
        c,
        (ct_loader_windows_options){ .batch_size = B, .steps = T, .first = FIRST, .count = COUNT });
    int pass;

    ck_assert_ptr_nonnull(l);
    ck_assert_int_eq(ct_loader_batches(l), 8);
    ck_assert_int_eq(ct_loader_tokens(l), COUNT * T);
    for (pass = 0; pass < 2; pass++) {
        epoch e = run_epoch(l, c, T);
        int64_t i;

        ck_assert_int_eq(e.rows, COUNT);
        for (i = 0; i < COUNT; i++)
            ck_assert_int_eq(e.start[i], FIRST + i);
        for (i = 0; i < 8; i++)
            ck_assert_int_eq(e.batch_rows[i], i < 7 ? B : 1);
        free(e.start);
    }
    ct_loader_free(l);
    ct_corpus_free(c);
}
END_TEST

START_TEST(windows_of_the_book_protocol)
{
    static const struct {
        int64_t first, count;
        bool shuffle;
        int batches;
        int64_t last;
    } parts[] = { { 0, 10000, true, 10, 784 }, { 10000, 5000, false, 5, 904 } };
    enum { T = 32 };
    ct_corpus *c = new_corpus(15100);
    int p;

    for (p = 0; p < LENGTH(parts); p++) {
        ct_loader *l =
            ct_loader_windows_new(c, (ct_loader_windows_options){ .batch_size = 1024,
                                                                  .steps = T,
                                                                  .first = parts[p].first,
                                                                  .count = parts[p].count,
                                                                  .shuffle = parts[p].shuffle });
        bool *seen = calloc((size_t)parts[p].count, 1);
        epoch e = run_epoch(l, c, T);
        int64_t i, out_of_order = 0;

        ck_assert_int_eq(e.batches, parts[p].batches);
        ck_assert_int_eq(e.batch_rows[0], 1024);
        ck_assert_int_eq(e.batch_rows[e.batches - 1], parts[p].last);
        ck_assert_int_eq(e.rows, parts[p].count);
        for (i = 0; i < e.rows; i++) { /* each window occurs once */
            int64_t window = e.start[i] - parts[p].first;

            if (window < 0 || window >= parts[p].count || seen[window])
                ck_abort_msg("window %d again, or of another part", (int)window);
            seen[window] = true;
            out_of_order += window != i;
        }
        if (parts[p].shuffle)
            ck_assert_int_gt(out_of_order, 9900);
        else
            ck_assert_int_eq(out_of_order, 0);
        free(seen);
        free(e.start);
        ct_loader_free(l);
    }
    ct_corpus_free(c);
}
END_TEST

START_TEST(windows_shuffled)
{
    enum { T = 12, COUNT = 200, EPOCHS = 300 };
    const ct_loader_windows_options o = {
        .batch_size = 64, .steps = T, .count = COUNT, .shuffle = true, .seed = 5
    };
    ct_loader_windows_options other = o;
    ct_corpus *c = new_corpus(COUNT + T);
    ct_loader *a = ct_loader_windows_new(c, o), *b = ct_loader_windows_new(c, o), *d;
    epoch first = run_epoch(a, c, T), second = run_epoch(a, c, T), e;
    int64_t comes_first[COUNT] = { 0 }, comes_last[COUNT] = { 0 }, half = 0;
    int k, i;

    /* the same seed gives the same epochs, however many batches of the earlier epochs were used */
    e = run_epoch(b, c, T);
    ck_assert(same_epoch(&first, &e));
    free(e.start);
    ct_loader_free(b);
    b = ct_loader_windows_new(c, o);
    ck_assert_int_eq(ct_loader_begin(b), CT_OK);
    e = run_epoch(b, c, T);
    ck_assert(same_epoch(&second, &e));
    free(e.start);
    ck_assert(!same_epoch(&first, &second));

    other.seed = 6;
    d = ct_loader_windows_new(c, other);
    e = run_epoch(d, c, T);
    ck_assert(!same_epoch(&first, &e));
    free(e.start);

    /* each window is equally often first and last, and in half of the epochs in the first half */
    for (k = 0; k < EPOCHS; k++) {
        e = run_epoch(a, c, T);
        comes_first[e.start[0]]++;
        comes_last[e.start[COUNT - 1]]++;
        for (i = 0; i < COUNT / 2; i++)
            half += e.start[i] == 17;
        free(e.start);
    }
    for (i = 0; i < COUNT; i++)
        ck_assert(comes_first[i] <= 10 && comes_last[i] <= 10); /* 1.5 expected */
    ck_assert_int_ge(half, EPOCHS / 2 - 45);                    /* five standard deviations */
    ck_assert_int_le(half, EPOCHS / 2 + 45);
    free(first.start);
    free(second.start);
    ct_loader_free(a);
    ct_loader_free(b);
    ct_loader_free(d);
    ct_corpus_free(c);
}
END_TEST

/* True if the epoch is that of the sequential iterator with this offset, by d2l's formula. */
static bool is_sequential(const epoch *e, int64_t offset, int64_t n, int64_t B, int64_t T)
{
    int64_t length = (n - offset - 1) / B, row, batch;

    if (e->batches != length / T || e->rows != e->batches * B)
        return false;
    for (batch = 0; batch < e->batches; batch++)
        for (row = 0; row < B; row++)
            if (e->start[batch * B + row] != offset + row * length + batch * T)
                return false;
    return true;
}

START_TEST(sequential_offsets)
{
    enum { N = 400, B = 4, T = 9, EPOCHS = 1500 };
    ct_corpus *c = new_corpus(N);
    ct_loader *l =
        ct_loader_sequences_new(c, (ct_loader_sequences_options){ .batch_size = B, .steps = T });
    int times[T + 1] = { 0 }, k, o;

    ck_assert_ptr_nonnull(l);
    ck_assert_int_eq(ct_loader_batches(l), (N - 1) / B / T);
    for (o = 0; o <= T; o++) { /* a fixed offset */
        epoch e;

        ck_assert_int_eq(ct_loader_set_offset(l, o), CT_OK);
        e = run_epoch(l, c, T);
        ck_assert_msg(is_sequential(&e, o, N, B, T), "offset %d", o);
        free(e.start);
    }
    ck_assert_int_eq(ct_loader_set_offset(l, -1), CT_OK);
    for (k = 0; k < EPOCHS; k++) { /* offsets that are drawn */
        epoch e = run_epoch(l, c, T);

        o = (int)e.start[0];
        ck_assert_msg(o >= 0 && o <= T && is_sequential(&e, o, N, B, T), "offset %d", o);
        times[o]++;
        free(e.start);
    }
    for (o = 0; o <= T; o++) /* 150 expected, within five standard deviations */
        ck_assert_msg(times[o] >= 92 && times[o] <= 208, "offset %d: %d times", o, times[o]);
    ct_loader_free(l);
    ct_corpus_free(c);
}
END_TEST

START_TEST(sequential_continues)
{
    enum { B = 5, T = 8 };
    ct_corpus *c = new_corpus(500);
    ct_loader *l =
        ct_loader_sequences_new(c, (ct_loader_sequences_options){ .batch_size = B, .steps = T });
    int pass, batches = 0, r;

    for (pass = 0; pass < 3; pass++) {
        ct_scope s = ct_scope_begin();
        int32_t last[B];
        ct_batch b;
        bool begun = false;

        ck_assert_int_eq(ct_loader_begin(l), CT_OK);
        for (; ct_loader_next(l, &b); begun = true, batches++) {
            const int32_t *x = ct_data(b.x), *y = ct_data(b.y);

            ck_assert_int_eq(b.continues, begun);
            for (r = 0; r < B; r++) {
                if (begun)
                    ck_assert_int_eq(x[r * T], last[r]);
                ck_assert_int_eq(memcmp(x + r * T + 1, y + r * T, (T - 1) * sizeof *x), 0);
                last[r] = y[r * T + T - 1];
            }
        }
        ck_assert_int_eq(ct_scope_end(s), CT_OK);
    }
    ck_assert_int_eq(batches, 36);
    ct_loader_free(l);
    ct_corpus_free(c);
}
END_TEST

START_TEST(classic_protocol)
{
    ct_corpus *c = new_corpus(10000);
    int random, o;

    for (random = 0; random < 2; random++) {
        ct_loader *l = ct_loader_sequences_new(
            c, (ct_loader_sequences_options){ .batch_size = 32, .steps = 35, .random = random });
        for (o = 0; o <= 35 - random; o++) {
            ck_assert_int_eq(ct_loader_set_offset(l, o), CT_OK);
            ck_assert_int_eq(ct_loader_begin(l), CT_OK);
            ck_assert_int_eq(ct_loader_batches(l), 8);
            ck_assert_int_eq(ct_loader_tokens(l), 8 * 32 * 35);
        }
        ct_loader_free(l);
    }
    ct_corpus_free(c);
}
END_TEST

/* Checks an epoch of the random iterator: windows are at offset + k T, none occurs twice, and
 * batches are whole. */
static int64_t random_offset(const epoch *e, int64_t n, int64_t B, int64_t T)
{
    int64_t offset = e->start[0] % T, windows = (n - offset - 1) / T, i;
    bool *seen = calloc((size_t)windows, 1);

    ck_assert_int_eq(e->batches, windows / B);
    ck_assert_int_eq(e->rows, windows / B * B);
    for (i = 0; i < e->rows; i++) {
        int64_t k = (e->start[i] - offset) / T;

        if (e->start[i] % T != offset || k < 0 || k >= windows || seen[k])
            ck_abort_msg("window at %d", (int)e->start[i]);
        seen[k] = true;
    }
    free(seen);
    return offset;
}

START_TEST(random_iterator)
{
    enum { N = 403, B = 4, T = 9, EPOCHS = 900 };
    const ct_loader_sequences_options o = {
        .batch_size = B, .steps = T, .random = true, .seed = 3
    };
    ct_corpus *c = new_corpus(N);
    ct_loader *l = ct_loader_sequences_new(c, o), *again = ct_loader_sequences_new(c, o);
    int times[T] = { 0 }, dropped[N] = { 0 }, k, i, in_order = 0;

    for (k = 0; k < EPOCHS; k++) {
        epoch e = run_epoch(l, c, T), f;
        int64_t offset = random_offset(&e, N, B, T);

        times[offset]++;
        in_order += e.start[0] < e.start[1] && e.start[1] < e.start[2] && e.start[2] < e.start[3];
        for (i = 0; i < (N - 1 - offset) / T; i++)
            dropped[i]++;
        for (i = 0; i < e.rows; i++)
            dropped[(e.start[i] - offset) / T]--;
        if (k < 20) {
            f = run_epoch(again, c, T);
            ck_assert(same_epoch(&e, &f));
            free(f.start);
        }
        free(e.start);
    }
    for (i = 0; i < T; i++) /* 100 expected */
        ck_assert_msg(times[i] >= 52 && times[i] <= 148, "offset %d: %d times", i, times[i]);
    for (i = 0; i < (N - T) / T; i++) /* every window is dropped in some epochs, but not in most */
        ck_assert_msg(dropped[i] > 0 && dropped[i] < EPOCHS / 3, "window %d: %d", i, dropped[i]);
    ck_assert_int_lt(in_order, EPOCHS / 12); /* 1 in 24 expected */

    for (i = 0; i < T; i++) {
        epoch e;

        ck_assert_int_eq(ct_loader_set_offset(l, i), CT_OK);
        e = run_epoch(l, c, T);
        ck_assert_int_eq(random_offset(&e, N, B, T), i);
        free(e.start);
    }
    ct_loader_free(l);
    ct_loader_free(again);
    ct_corpus_free(c);
}
END_TEST

START_TEST(continues_is_false)
{
    ct_corpus *c = new_corpus(300);
    ct_loader *loaders[] = {
        ct_loader_windows_new(
            c, (ct_loader_windows_options){ .batch_size = 8, .steps = 5, .count = 100 }),
        ct_loader_sequences_new(
            c, (ct_loader_sequences_options){ .batch_size = 8, .steps = 5, .random = true }),
    };
    int i, batches;

    for (i = 0; i < LENGTH(loaders); i++) {
        ct_scope s = ct_scope_begin();
        ct_batch b;

        ck_assert_int_eq(ct_loader_begin(loaders[i]), CT_OK);
        for (batches = 0; ct_loader_next(loaders[i], &b); batches++)
            ck_assert(!b.continues);
        ck_assert_int_gt(batches, 5);
        ck_assert_int_eq(ct_scope_end(s), CT_OK);
        ct_loader_free(loaders[i]);
    }
    ct_corpus_free(c);
}
END_TEST

START_TEST(windows_too_short)
{
    static const struct {
        int64_t steps, first, count;
        int64_t given; /* the number of windows; 0: the loader is refused */
    } cases[] = {
        { 10, 0, 1000, 90 }, /* 100 tokens; all windows from the first on */
        { 10, 89, 1000, 1 },    { 10, 90, 1, 0 },        { 99, 0, 5, 1 },
        { 100, 0, 5, 0 },       { 1, 98, 9, 1 },         { INT64_MAX, 0, 1, 0 },
        { 5, INT64_MAX, 1, 0 }, { 5, 0, INT64_MAX, 95 },
    };
    ct_corpus *c = new_corpus(100);
    int i;

    for (i = 0; i < LENGTH(cases); i++) {
        ct_loader_windows_options o = { .batch_size = INT64_MAX,
                                        .steps = cases[i].steps,
                                        .shuffle = true,
                                        .first = cases[i].first,
                                        .count = cases[i].count };
        ct_loader *l = ct_loader_windows_new(c, o);

        if (!cases[i].given) {
            ck_assert_ptr_null(l);
            expect_error(CT_ERR_SHAPE, "ct_loader_windows_new", "too few ... from token");
            continue;
        }
        ck_assert_msg(l != NULL, "case %d: %s", i, ct_error_message());
        ck_assert_int_eq(ct_loader_batches(l), 1);
        ck_assert_int_eq(ct_loader_tokens(l), cases[i].given * cases[i].steps);
        ct_loader_free(l);
    }
    ct_corpus_free(c);
}
END_TEST

START_TEST(sequences_too_short)
{
    enum { B = 4, T = 6 };
    int random, o;

    for (random = 0; random < 2; random++) {
        /* one batch at the largest offset, and one token less */
        int need = random ? B * T + (T - 1) + 1 : B * T + T + 1;
        ct_loader_sequences_options options = { .batch_size = B, .steps = T, .random = random };
        ct_corpus *enough = new_corpus((size_t)need), *less = new_corpus((size_t)need - 1);
        ct_loader *l = ct_loader_sequences_new(enough, options);
        char word[40];

        ck_assert_ptr_null(ct_loader_sequences_new(less, options));
        snprintf(word, sizeof word, "too few ... 4 x 6 ... %d", need);
        expect_error(CT_ERR_SHAPE, "ct_loader_sequences_new", word);
        ck_assert_ptr_nonnull(l);
        for (o = 0; o <= T - random; o++) {
            ck_assert_int_eq(ct_loader_set_offset(l, o), CT_OK);
            ck_assert_int_eq(ct_loader_begin(l), CT_OK);
            ck_assert_int_eq(ct_loader_batches(l), 1);
        }
        options.batch_size = options.steps = INT64_MAX;
        ck_assert_ptr_null(ct_loader_sequences_new(enough, options));
        expect_error(CT_ERR_SHAPE, "ct_loader_sequences_new", "too few");
        ct_loader_free(l);
        ct_corpus_free(enough);
        ct_corpus_free(less);
    }
}
END_TEST

/* In every loader with a count, 0 means all samples from first on. */
START_TEST(count_zero)
{
    ct_corpus *c = new_corpus(100);
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_zeros(CT_SHAPE(100), CT_F32, CT_CPU);

    for (int64_t first = 0; first < 95; first += 47) {
        ct_loader *l[3] = {
            ct_loader_windows_new(
                c, (ct_loader_windows_options){ .batch_size = 1, .steps = 5, .first = first }),
            ct_loader_series_new(
                x, (ct_loader_series_options){ .batch_size = 1, .steps = 5, .first = first }),
            ct_loader_tensors_new(x, x,
                                  (ct_loader_tensors_options){ .batch_size = 1, .first = first })
        };

        for (int i = 0; i < 3; i++) {
            ck_assert_int_eq(ct_loader_batches(l[i]), (i == 2 ? 100 : 95) - first);
            ct_loader_free(l[i]);
        }
    }
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_corpus_free(c);
}
END_TEST

START_TEST(loader_bad)
{
    static const struct {
        int64_t batch_size, steps, first, count;
    } cases[] = { { 0, 1, 0, 1 },         { 1, 0, 0, 1 },  { -1, 1, 0, 1 },
                  { 1, INT64_MIN, 0, 1 }, { 1, 1, -1, 1 }, { 1, 1, 0, -1 } };
    ct_corpus *c = new_corpus(100);
    ct_loader *l;
    int i;

    for (i = 0; i < LENGTH(cases); i++) {
        ct_loader_windows_options w = { .batch_size = cases[i].batch_size,
                                        .steps = cases[i].steps,
                                        .first = cases[i].first,
                                        .count = cases[i].count };
        ct_loader_sequences_options q = { .batch_size = cases[i].batch_size,
                                          .steps = cases[i].steps };

        ck_assert_ptr_null(ct_loader_windows_new(c, w));
        expect_error(CT_ERR_ARGUMENT, "ct_loader_windows_new", "must be at least");
        if (i >= 4)
            continue;
        ck_assert_ptr_null(ct_loader_sequences_new(c, q));
        expect_error(CT_ERR_ARGUMENT, "ct_loader_sequences_new", "must be at least 1");
    }
    ck_assert_ptr_null(ct_loader_windows_new(NULL, (ct_loader_windows_options){ .batch_size = 1 }));
    expect_error(CT_ERR_ARGUMENT, "ct_loader_windows_new", "corpus is NULL");
    l = ct_loader_windows_new(
        c, (ct_loader_windows_options){ .batch_size = 1, .steps = 1, .count = 1 });
    ck_assert_int_eq(ct_loader_set_offset(l, 0), CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_loader_set_offset", "have an offset");
    ct_loader_free(l);
    for (i = 0; i < 2; i++) {
        l = ct_loader_sequences_new(
            c, (ct_loader_sequences_options){ .batch_size = 2, .steps = 5, .random = i });
        ck_assert_int_eq(ct_loader_set_offset(l, -2), CT_ERR_ARGUMENT);
        expect_error(CT_ERR_ARGUMENT, "ct_loader_set_offset", "offset is -2");
        ck_assert_int_eq(ct_loader_set_offset(l, 6 - i), CT_ERR_ARGUMENT);
        expect_error(CT_ERR_ARGUMENT, "ct_loader_set_offset",
                     i ? "offset is 5 ... 4" : "offset is 6 ... 5");
        ct_loader_free(l);
    }
    ct_corpus_free(c);
}
END_TEST

START_TEST(loader_errors_stand)
{
    ct_corpus *c = new_corpus(100);
    const ct_loader_windows_options o = { .batch_size = 2, .steps = 5, .count = 90 };
    ct_loader_windows_options nowhere = o;
    ct_loader *l = ct_loader_windows_new(c, o), *n;
    ct_scope s = ct_scope_begin();
    ct_batch b;

    ck_assert(!ct_loader_next(l, &b));
    expect_error(CT_ERR_ARGUMENT, "ct_loader_next", "ct_loader_begin");
    ck_assert_int_eq(ct_loader_begin(l), CT_OK);
    ck_assert(!ct_loader_next(l, NULL));
    expect_error(CT_ERR_ARGUMENT, "ct_loader_next", "batch is NULL");
    ck_assert(!ct_loader_next(NULL, &b));
    expect_error(CT_ERR_ARGUMENT, "ct_loader_next", "l is NULL");
    ck_assert_int_eq(ct_loader_begin(NULL), CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_loader_begin", "l is NULL");
    ck_assert(ct_loader_next(l, &b));
    ck_assert_int_eq(ct_scope_end(s), CT_OK);

    ck_assert(!ct_loader_next(l, &b)); /* no scope */
    ck_assert_ptr_null(b.x);
    expect_error(CT_ERR_SCOPE, "ct_from_data", "scope");

    /* a loop over batches ends when its step fails, and the next ct_scope_end returns the error */
    ct_raise(CT_ERR_NUMERIC, "step", "the loss is not finite");
    s = ct_scope_begin();
    ck_assert(!ct_loader_next(l, &b));
    ck_assert_int_eq(ct_scope_end(s), CT_ERR_NUMERIC);
    s = ct_scope_begin();
    ck_assert_int_eq(ct_loader_begin(l), CT_ERR_NUMERIC);
    ck_assert_int_eq(ct_scope_end(s), CT_ERR_NUMERIC);
    ct_error_clear();
    s = ct_scope_begin();
    ck_assert(ct_loader_next(l, &b)); /* continues with the second batch */
    ck_assert_int_eq(place_of(c, ct_data(b.x), 5), 2);
    ck_assert_int_eq(ct_scope_end(s), CT_OK);

    nowhere.device = 77;
    n = ct_loader_windows_new(c, nowhere);
    s = ct_scope_begin();
    ck_assert(!n || (ct_loader_begin(n) == CT_OK && !ct_loader_next(n, &b)));
    ck_assert_int_eq(ct_scope_end(s), CT_ERR_DEVICE);
    ct_error_clear();
    ct_loader_free(n);
    ct_loader_free(l);
    ct_corpus_free(c);
}
END_TEST

void data_loaders_cases(Suite *suite)
{
    TCase *tc = tcase_create("loader");

    tcase_add_checked_fixture(tc, setup, teardown);
    suite_add_tcase(suite, tc);
    tcase_add_test(tc, windows_in_order);
    tcase_add_test(tc, windows_of_the_book_protocol);
    tcase_add_test(tc, windows_shuffled);
    tcase_add_test(tc, sequential_offsets);
    tcase_add_test(tc, sequential_continues);
    tcase_add_test(tc, classic_protocol);
    tcase_add_test(tc, random_iterator);
    tcase_add_test(tc, continues_is_false);
    tcase_add_test(tc, windows_too_short);
    tcase_add_test(tc, sequences_too_short);
    tcase_add_test(tc, count_zero);
    tcase_add_test(tc, loader_bad);
    tcase_add_test(tc, loader_errors_stand);
}
