/* SPDX-License-Identifier: MIT */
/* flips.h - damaged files: one flipped bit, and edits that a digest does not show. */
#ifndef TESTS_FLIPS_H
#define TESTS_FLIPS_H

#include <stddef.h>
#include <stdint.h>

#include <cotangent/tensor/status.h>

/* Loads the file at path completely; returns ct_error(). It frees what it has loaded. */
typedef ct_status (*flips_load)(const char *path, void *context);

/* Fails if the file at path does not load, or if a copy with one flipped bit loads. Tries `count`
 * random bits of the file and each bit from first to last - 1. Prints the position of a flip that
 * was not noticed, and the seed of the random bits. Needs files_setup; leaves no file and no
 * error. */
typedef struct flips {
    const char *path;
    int count;
    uint64_t seed;
    size_t first, last; /* numbers of bits: 8 * byte + bit */
    flips_load load;
    void *context;
} flips;
void expect_no_silent_flip(flips f);

/* Corrects the digest of the header of a file of ct_safetensors_write after a test has edited the
 * header. */
void renew_header_digest(const char *path);

#endif
