/* SPDX-License-Identifier: MIT */
/* test_devices.h - for the sources of test_devices. */
#ifndef TESTS_TEST_DEVICES_H
#define TESTS_TEST_DEVICES_H

#include "tests/harness.h"

#include <fnmatch.h>
#include <string.h>

void devices_captured_cases(Suite *suite, int rounds);
void devices_threads_cases(Suite *suite, int rounds);

#define SEEDS 3

extern ct_device gpu;

/* Chooses the device and the seed of test number i. */
void choose_device(int i);
ct_optimizer *adam(ct_params *set);
ct_optimizer *rmsprop(ct_params *set);
ct_optimizer *nadam(ct_params *set);
ct_optimizer *radam(ct_params *set);
ct_optimizer *lion(ct_params *set);

typedef struct protocol {
    bool classic;
    int64_t batch, steps, hidden;
} protocol;

static const protocol thin[] = { { false, 64, 9, 16 }, { true, 8, 11, 32 } };
static const protocol whole[] = { { false, 1024, 32, 32 }, { true, 32, 35, 256 } };

#endif
