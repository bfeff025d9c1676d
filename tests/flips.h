/* flips.h - damaged files: one flipped bit, and edits that a digest does not show. */
#ifndef TESTS_FLIPS_H
#define TESTS_FLIPS_H

#include <stddef.h>
#include <stdint.h>

#include <cotangent/tensor/status.h>

/* Loads the file at path completely; returns ct_error(). It frees what it has loaded. */
typedef ct_status (*flips_load)(const char *path, void *context);

/* Fails unless the file at path loads, and fails if a copy of it with one flipped bit loads, too. Tries
 * `count` random bits of the file, and also the bits from first to last - 1, each once. The place of a
 * silent flip and the seed of the random bits are printed. Needs files_setup; leaves no file and no error. */
typedef struct flips {
    const char *path;
    int count;
    uint64_t seed;
    size_t first, last; /* numbers of bits: 8 * byte + bit */
    flips_load load;
    void *context;
} flips;
void expect_no_silent_flip(flips f);

/* Gives the header of a file of ct_safetensors_write, which a test has edited, its right digest. */
void renew_header_digest(const char *path);

#endif
