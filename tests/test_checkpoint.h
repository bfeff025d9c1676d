/* SPDX-License-Identifier: MIT */
/* test_checkpoint.h - for the sources of test_checkpoint: runs that are trained and resumed. */
#ifndef TESTS_TEST_CHECKPOINT_H
#define TESTS_TEST_CHECKPOINT_H

#include "tests/harness.h"

#include <string.h>

void checkpoint_faults_cases(Suite *suite);
void checkpoint_loop_cases(Suite *suite);
void checkpoint_sections_cases(Suite *suite);

/* The settings of a run; all zeros are a valid run. */
typedef struct run {
    int cell; /* RNN, LSTM, GRU */
    bool random, adam, val, text_b;
    bool own; /* uses an optimiser that the test defines, with momentum */
    int layers, hidden, batch;
    double dropout, clip, momentum;
    double lr, gamma; /* 0: lr is 0.5 (Adam: 0.01), gamma is 0.7 */
    bool unchanged;   /* the run must fail without a change of its model and loaders */
    uint64_t seed;
    int64_t epochs, checkpoint_steps, stop_at;
    int stop_val; /* stops at this batch of validation */
    int threads;
    const char *csv, *svg, *tensorboard, *checkpoint, *best, *resume, *model_json;
    const ct_metadata *hyperparameters;
    int report; /* a socket: the run sends "s" after each step and "e" after each epoch, and waits
                 * for an answer; 0: none */
} run;

ct_corpus *checkpoint_corpus(bool other);

/* Trains. *weights, unless weights is NULL, becomes the sum of the squares of the final weights. */
ct_status train(const run *how, ct_fit_result *result, double *weights);
void trains(run how);

/* Returns the SHA-256 of a file, in one of a few buffers that are reused. */
const char *hash_of(const char *path);

#define RUN .layers = 1, .momentum = 0.5, .val = true, .model_json = "{}"

#endif
