/* SPDX-License-Identifier: MIT */
/* files.h - for tests of files: a folder for each test, and calls that fail. */
#ifndef TESTS_FILES_H
#define TESTS_FILES_H

#include <stdbool.h>
#include <stddef.h>

/* A checked fixture, to be added after the harness's. The test runs in an empty folder, which is
 * removed afterwards. */
void files_setup(void);
void files_teardown(void);

void write_bytes(const char *path, const void *bytes, size_t size);

/* Returns the bytes of a file, which the caller frees; fails if the file does not exist. */
char *read_bytes(const char *path, size_t *size);

/* Returns the number of files in the folder. */
int count_files(void);

/* From now on the k-th file call (read, write, open, fsync, close or rename) fails with EIO; 0:
 * none fails. Reads and writes move only a few bytes, and every third one is interrupted first.
 * files_seen counts the calls. */
void fail_file_call(int k);
extern int files_seen;

/* The calls in order, as letters: open, read, write, fsync, close, reName. A run of reads or of
 * writes is one letter. */
extern char files_log[64];

/* From now on the k-th allocation fails. largest_seen is the size of the largest one. */
void fail_allocation(int k);
extern int allocations_seen;

/* From now on the k-th allocation and all later ones fail. */
void fail_allocations_from(int k);
extern size_t largest_seen;

/* Restores the default tables. */
void fail_nothing(void);

#endif
