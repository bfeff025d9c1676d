/* test_plugin.h - what the sources of test_plugin share: the plug-in that they open, and what it counts. */
#ifndef TESTS_TEST_PLUGIN_H
#define TESTS_TEST_PLUGIN_H

#include "tests/harness.h"

void plugin_moves_cases(Suite *suite);
void plugin_capture_cases(Suite *suite);

extern cti_plugin given;
extern int opened, selected, synchronised, uploads, downloads;

/* Of captured steps: a graph is a number; what is replayed is looked at by the tests. */
extern bool captures;

extern int begun, ended, replayed, freed, graphs[8];
extern cti_position drawn[16];
extern int draws;
extern void *replayed_graph;
extern int selected_of_async;

/* A good one. */
void plugin_setup(void);

/* The next wait finds this, of a ticket and a position. */
void let_fault(ct_status status, uint32_t ticket, int64_t position);

#endif
