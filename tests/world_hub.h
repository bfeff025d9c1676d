/* SPDX-License-Identifier: MIT */
/* world_hub.h - ranks as threads of one process: a transport whose messages stay in memory. */
#ifndef TESTS_WORLD_HUB_H
#define TESTS_WORLD_HUB_H

#include "train/world_internal.h"

#define HUB_RANKS 8

/* What a rank runs on its thread; rank 0 runs on the test's. */
typedef struct hub_rank {
    cti_link *link;
    int rank, ranks;
    void *context;
    ct_status status; /* the error that the rank ended with, and its message */
    char message[700];
} hub_rank;

/* Runs a program of `ranks` ranks to its end. Each gets an entry of rank. */
void hub_run(int ranks, void (*program)(hub_rank *rank), void *context, hub_rank rank[HUB_RANKS]);

/* Fails unless all ranks ended without an error. */
void hub_expect_ok(const hub_rank *rank, int ranks);

#endif
