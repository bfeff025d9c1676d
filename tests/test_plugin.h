/* SPDX-License-Identifier: MIT */
/* test_plugin.h - for the sources of test_plugin: the plug-in that they open, and its counters. */
#ifndef TESTS_TEST_PLUGIN_H
#define TESTS_TEST_PLUGIN_H

#include "tests/harness.h"

void plugin_moves_cases(Suite *suite);
void plugin_capture_cases(Suite *suite);

extern cti_plugin given;
extern int opened, selected, synchronised, uploads, downloads;

/* For captured steps: a graph is an element of graphs, and replaying only notes and counts it. */
extern bool captures;

extern int begun, ended, replayed, freed, graphs[8];
extern cti_position drawn[16];
extern int draws;
extern void *replayed_graph;
extern int selected_of_async;

/* Makes the plug-in a good one. */
void plugin_setup(void);

/* Makes the next wait find a fault of this status, ticket and position. */
void let_fault(ct_status status, uint32_t ticket, int64_t position);

#endif
