/* round_trip.h - what the sources of round_trip share. */
#ifndef TESTS_ROUND_TRIP_H
#define TESTS_ROUND_TRIP_H

int round_trip_module_save(const char *kind, const char *dtype, const char *path);

/* path: the weights, the inputs, and for output y and the entries of the set afterwards */
int round_trip_module_run(const char *kind, char *const *path);

#endif
