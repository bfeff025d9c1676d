/* test_checkpoint.h - what the sources of test_checkpoint share: runs that are trained and resumed. */
#ifndef TESTS_TEST_CHECKPOINT_H
#define TESTS_TEST_CHECKPOINT_H

#include "tests/harness.h"

#include <string.h>

void checkpoint_faults_cases(Suite *suite);
void checkpoint_loop_cases(Suite *suite);
void checkpoint_sections_cases(Suite *suite);

/* Everything that makes a run; zeros are a run, too. */
typedef struct run {
    int cell; /* RNN, LSTM, GRU */
    bool random, adam, val, text_b;
    bool own; /* an optimiser of the test, with momentum */
    int layers, hidden, batch;
    double dropout, clip, momentum;
    double lr, gamma; /* 0: 0.5, or 0.01 of Adam; 0.7 */
    bool unchanged;   /* the run fails, and changes nothing of its model and loaders */
    uint64_t seed;
    int64_t epochs, checkpoint_steps, stop_at;
    int stop_val; /* stops at this batch of validation */
    int threads;
    const char *csv, *svg, *tensorboard, *checkpoint, *best, *resume, *model_json;
    const ct_metadata *hyperparameters;
    int report; /* a socket that gets an s after each step, an e after each epoch, and
                          * answers each; 0: none */
} run;

ct_corpus *checkpoint_corpus(bool other);

/* Trains; *weights, if wanted, is the sum of squares of the weights it ends with. */
ct_status train(const run *how, ct_fit_result *result, double *weights);
void trains(run how);

/* The SHA-256 of a file, in one of a few buffers. */
const char *hash_of(const char *path);

#define RUN .layers = 1, .momentum = 0.5, .val = true, .model_json = "{}"

#endif
