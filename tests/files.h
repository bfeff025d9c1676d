/* files.h - what the tests of files share: a folder of their own, and calls that fail. */
#ifndef TESTS_FILES_H
#define TESTS_FILES_H

#include <stdbool.h>
#include <stddef.h>

/* A checked fixture, to add after the harness's: the test runs in an empty folder, which is removed
 * after it. */
void files_setup(void);
void files_teardown(void);

void write_bytes(const char *path, const void *bytes, size_t size);

/* The bytes of a file, to free(); fails if it is not there. */
char *read_bytes(const char *path, size_t *size);

/* How many files the folder has. */
int count_files(void);

/* From now on the k-th call of the table of file calls (reads, writes, opens, fsyncs, closes,
 * renames together) fails with EIO, reads and writes are cut to a few bytes, and every third is
 * interrupted first; 0: none fails. files_seen counts the calls since. */
void fail_file_call(int k);
extern int files_seen;

/* Those calls in order, as letters: open, read, write, fsync, close, reName; runs of reads or of
 * writes as one. */
extern char files_log[64];

/* The same for the table of memory. largest_seen: the most bytes asked for. */
void fail_allocation(int k);
extern int allocations_seen;

/* From now on the k-th request of the table of memory fails, and so do all after it. */
void fail_allocations_from(int k);
extern size_t largest_seen;

/* Back to the default tables. */
void fail_nothing(void);

#endif
