/* SPDX-License-Identifier: MIT */
/* round_trip.h - declarations that the sources of round_trip share. */
#ifndef TESTS_ROUND_TRIP_H
#define TESTS_ROUND_TRIP_H

int round_trip_module_save(const char *kind, const char *dtype, const char *path);

/* path[0] to path[3]: the files of the weights and inputs, and the files to write y and the entries
 * of the set to. */
int round_trip_module_run(const char *kind, char *const *path);

#endif
