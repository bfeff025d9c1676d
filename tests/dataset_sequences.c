/* SPDX-License-Identifier: MIT */
/* dataset_sequences.c - samples of different lengths: padding, lengths, buckets. */
#include "tensor/internal.h"

#include <stdlib.h>
#include <string.h>

#include "tests/test_dataset.h"

/* ---- sentences ---- */

static int64_t sentences_length(void *self, int64_t i, int field)
{
    const int64_t *bad = self;

    if (i == *bad)
        return -5;
    return field == 0 ? i % 5 : 2 * (i % 3);
}

static ct_status sentences_get(void *self, int64_t i, void *const *field)
{
    int32_t *src = field[0];
    float *tgt = field[1];

    (void)self;
    for (int64_t k = 0; k < i % 5; k++)
        src[k] = (int32_t)(i + k);
    for (int64_t k = 0; k < 4 * (i % 3); k++)
        tgt[k] = (float)(i * 10 + k);
    *(int64_t *)field[2] = i;
    return CT_OK;
}

static int64_t bad_sentence = -1;

static const ct_dataset_table sentences_table = { .name = "sentences",
                                                  .get = sentences_get,
                                                  .length = sentences_length };
static const ct_field sentences_fields[] = { { "src", CT_I32, CT_SHAPE_INIT(-1), -9 },
                                             { "tgt", CT_F32, CT_SHAPE_INIT(-1, 2), .5 },
                                             { "id", CT_I64, { 0 }, 0 } };

ct_dataset *sentences_new(int64_t count)
{
    ct_dataset *d = ct_dataset_new(&sentences_table, &bad_sentence, count, 3, sentences_fields);

    ck_assert(d != NULL);
    return d;
}

/* Checks a batch against the words above. */
static void check_sentences(const ct_batch *b)
{
    ct_tensor *src = ct_batch_get(b, "src"), *tgt = ct_batch_get(b, "tgt");
    double *id = values_of(ct_batch_get(b, "id")), *s = values_of(src), *t = values_of(tgt);
    double *n = values_of(ct_batch_get(b, "src_lengths"));
    double *m = values_of(ct_batch_get(b, "tgt_lengths"));
    int64_t width = ct_size(src, 1), height = ct_size(tgt, 1), widest = 0, highest = 0;

    ck_assert(ct_tensor_dtype(ct_batch_get(b, "src_lengths")) == CT_I32 && b->field_count == 5);
    ck_assert(ct_size(tgt, 2) == 2 && ct_rank(src) == 2 && !b->x && !b->y);
    for (int64_t r = 0; r < b->rows; r++) {
        int64_t i = (int64_t)id[r];

        ck_assert((int64_t)n[r] == i % 5 && (int64_t)m[r] == 2 * (i % 3));
        for (int64_t k = 0; k < width; k++)
            ck_assert(s[r * width + k] == (k < i % 5 ? (double)(i + k) : -9));
        for (int64_t k = 0; k < 2 * height; k++)
            ck_assert(t[r * height * 2 + k] == (k < 4 * (i % 3) ? (double)(i * 10 + k) : .5));
        widest = i % 5 > widest ? i % 5 : widest;
        highest = 2 * (i % 3) > highest ? 2 * (i % 3) : highest;
    }
    ck_assert(width == widest && height == highest);
    free(id), free(s), free(t), free(n), free(m);
}

START_TEST(padding)
{
    ct_dataset *d = sentences_new(50);

    for (int workers = 0; workers < 3; workers += 2)
        for (int bucket = 0; bucket < 10; bucket += 3) {
            ct_loader *l = ct_loader_new(d, (ct_loader_options){ .batch_size = 4,
                                                                 .shuffle = true,
                                                                 .bucket = bucket,
                                                                 .count = "src",
                                                                 .workers = workers,
                                                                 .device = DEVICE });
            int64_t ids[1000], tokens = 0, want = 0;
            bool seen[50] = { false };
            ct_batch b;

            ck_assert(ct_loader_begin(l) == CT_OK);
            while (ct_loader_step(l, &b)) {
                check_sentences(&b);
                tokens += b.tokens;
            }
            expect_ok();
            for (int64_t i = 0; i < 50; i++)
                want += i % 5;
            ck_assert(tokens == want && ct_loader_tokens(l) == want);
            ck_assert_int_eq(epoch_of(l, "id", 1, ids), 50);
            for (int i = 0; i < 50; i++) {
                ck_assert(!seen[ids[i]]);
                seen[ids[i]] = true;
            }
            ct_loader_free(l);
        }
    ct_dataset_free(d);
}
END_TEST

/* With buckets there is less padding. Without shuffle, a bucket is sorted, and equal lengths keep
 * their order. */
START_TEST(buckets)
{
    ct_dataset *d = sentences_new(60);
    ct_loader *l = ct_loader_new(d, (ct_loader_options){ .batch_size = 5, .bucket = 4 });
    int64_t ids[1000], filled[2] = { 0 };
    ct_batch b;

    ck_assert_int_eq(epoch_of(l, "id", 1, ids), 60);
    for (int i = 1; i < 60; i++) {
        int64_t a = ids[i - 1], c = ids[i], m = a % 5 + 2 * (a % 3), n = c % 5 + 2 * (c % 3);

        ck_assert(a / 20 == (i - 1) / 20);
        if (i % 20)
            ck_assert(m < n || (m == n && a < c));
    }
    ct_loader_free(l);
    for (int bucket = 0; bucket < 2; bucket++) {
        l = ct_loader_new(
            d, (ct_loader_options){ .batch_size = 5, .bucket = 6 * bucket, .shuffle = true });
        ck_assert(ct_loader_begin(l) == CT_OK);
        while (ct_loader_step(l, &b))
            filled[bucket] += b.rows * (ct_size(ct_batch_get(&b, "src"), 1) +
                                        ct_size(ct_batch_get(&b, "tgt"), 1));
        ct_loader_free(l);
    }
    ck_assert_int_lt(filled[1], filled[0] * 4 / 5);
    ct_dataset_free(d);
}
END_TEST

START_TEST(bad_length)
{
    ct_dataset *d = sentences_new(20);

    for (int workers = 0; workers < 2; workers++)
        for (int bucket = 0; bucket < 2; bucket++) {
            ct_loader *l = ct_loader_new(
                d, (ct_loader_options){ .batch_size = 4, .bucket = bucket, .workers = workers });
            int64_t ids[1000];
            ct_batch b;

            bad_sentence = 6;
            ct_loader_begin(l);
            while (ct_loader_step(l, &b))
                ;
            ck_assert_int_eq(ct_error(), CT_ERR_ARGUMENT);
            ck_assert(
                strstr(ct_error_message(), "sentences: length of sample 6, field src returned -5"));
            ct_error_clear();
            bad_sentence = -1;
            ck_assert_int_eq(epoch_of(l, "id", 1, ids), 20);
            ct_loader_free(l);
        }
    ct_dataset_free(d);
}
END_TEST

/* ---- ct_pad_sequence ---- */

START_TEST(pad_sequence)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *rows[3] = { ct_from_data((float[]){ 1, 2, 3, 4 }, CT_SHAPE(2, 2), CT_F32, DEVICE),
                           ct_empty(CT_SHAPE(0, 2), CT_F32, DEVICE),
                           ct_from_data((float[]){ 5, 6 }, CT_SHAPE(1, 2), CT_F32, DEVICE) };
    ct_tensor *lengths, *y, *g;

    ct_set_requires_grad(rows[2], true);
    y = ct_pad_sequence(3, rows, -1, &lengths);
    expect_values("y", y, (double[]){ 1, 2, 3, 4, -1, -1, -1, -1, 5, 6, -1, -1 }, 12, 0);
    expect_values("lengths", lengths, (double[]){ 2, 0, 1 }, 3, 0);
    ck_assert(ct_tensor_dtype(lengths) == CT_I32 && ct_size(y, 1) == 2 && ct_rank(y) == 3);
    ck_assert(ct_backward(ct_sum(ct_mul(y, y))) == CT_OK);
    g = ct_tensor_grad(rows[2]);
    expect_values("g", g, (double[]){ 10, 12 }, 2, 0);
    ck_assert(ct_pad_sequence(1, rows, 0, NULL) != NULL);

    ck_assert(!ct_pad_sequence(0, rows, 0, NULL));
    expect_error(CT_ERR_ARGUMENT, "ct_pad_sequence", "count is 0");
    rows[1] = ct_zeros(CT_SHAPE(2, 3), CT_F32, DEVICE);
    ck_assert(!ct_pad_sequence(2, rows, 0, &lengths) && !lengths);
    expect_error(CT_ERR_SHAPE, "ct_pad_sequence", "f32[2,2] ... f32[2,3]");
    rows[1] = ct_zeros(CT_SHAPE(2, 2), CT_F64, DEVICE);
    ck_assert(!ct_pad_sequence(2, rows, 0, NULL));
    expect_error(CT_ERR_DTYPE, "ct_pad_sequence", "f64");
    rows[0] = ct_scalar(1, CT_F32);
    ck_assert(!ct_pad_sequence(1, rows, 0, NULL));
    expect_error(CT_ERR_SHAPE, "ct_pad_sequence", "f32[]");
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

void dataset_sequence_cases(Suite *suite)
{
    TCase *tc = harness_case(suite, "sequences");

    tcase_add_test(tc, padding);
    tcase_add_test(tc, buckets);
    tcase_add_test(tc, bad_length);
    tcase_add_test(tc, pad_sequence);
}
