/* SPDX-License-Identifier: MIT */
/* test_dataset.h - for the sources of test_dataset: datasets. */
#ifndef TESTS_TEST_DATASET_H
#define TESTS_TEST_DATASET_H

#include <cotangent.h>

#include "tests/harness.h"

#define LENGTH(array) ((int)(sizeof(array) / sizeof *(array)))

void dataset_loader_cases(Suite *suite);
void dataset_sequence_cases(Suite *suite);
void dataset_file_cases(Suite *suite);
void dataset_resume_cases(Suite *suite);
void dataset_zip_cases(Suite *suite);
void dataset_format_cases(Suite *suite);

/* A dataset of numbers: sample i has x (2) f32 {i, -i} and y i32 10 i. It counts the calls of free.
 * get fails for sample fails_at. The dataset has a digest of 64 equal letters if `digest` is not
 * 0. */
typedef struct numbers {
    atomic_int freed, got;
    int64_t fails_at;
    bool silent; /* get fails without raising an error */
    char digest;
} numbers;

extern const ct_dataset_table numbers_table;
extern const ct_field numbers_fields[2];
ct_dataset *numbers_new(numbers *n, int64_t count);

/* A dataset of sequences: sample i has i mod 5 tokens i, i + 1, ... as "src" (-1) i32 with pad -9;
 * 2 (i mod 3) points as "tgt" (-1, 2) f32 with pad 0.5; and "id" i64. */
ct_dataset *sentences_new(int64_t count);

/* Runs an epoch and writes the values of an i64 or i32 field, divided by unit, to ids, at most
 * 1000. Returns their number. */
int64_t epoch_of(ct_loader *l, const char *field, int64_t unit, int64_t *ids);

#endif
