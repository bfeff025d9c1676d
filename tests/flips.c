/* SPDX-License-Identifier: MIT */
/* flips.c - damaged files: one flipped bit, and edits that a digest does not show. */
#include "tests/flips.h"
#include "tensor/safetensors_format.h"
#include "tests/files.h"
#include "tests/harness.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DAMAGED "one-bit-damaged"

static void flips_write_byte(int fd, size_t at, char byte)
{
    ck_assert_int_eq(pwrite(fd, &byte, 1, (off_t)at), 1);
}

/* Flips a bit of the copy, loads the copy, and restores the bit. */
static void flips_try(const flips *f, int fd, const char *bytes, size_t bit)
{
    size_t at = bit / 8;
    ct_status status;

    flips_write_byte(fd, at, (char)(bytes[at] ^ 1 << bit % 8));
    status = f->load(DAMAGED, f->context);
    ck_assert_msg(status != CT_OK && status == ct_error(),
                  "%s loads with bit %zu of byte %zu flipped (seed %llu)", f->path, bit % 8, at,
                  (unsigned long long)f->seed);
    ck_assert_msg(!strchr(ct_error_message(), '\n'), "not one line: %s", ct_error_message());
    ct_error_clear();
    flips_write_byte(fd, at, bytes[at]);
}

void expect_no_silent_flip(flips f)
{
    ct_generator g = ct_generator_from_seed(f.seed);
    size_t size, bit;
    char *bytes = read_bytes(f.path, &size);
    int fd;

    printf("flips of %s: %d random bits, seed %llu; bits %zu to %zu\n", f.path, f.count,
           (unsigned long long)f.seed, f.first, f.last);
    write_bytes(DAMAGED, bytes, size);
    fd = open(DAMAGED, O_WRONLY | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    ck_assert_msg(f.load(DAMAGED, f.context) == CT_OK, "%s", ct_error_message());
    for (int i = 0; i < f.count; i++)
        flips_try(&f, fd, bytes, (size_t)ct_random_below(&g, 8 * (uint64_t)size));
    for (bit = f.first; bit < f.last && bit < 8 * size; bit++)
        flips_try(&f, fd, bytes, bit);
    ck_assert_msg(f.load(DAMAGED, f.context) == CT_OK, "%s", ct_error_message());
    close(fd);
    remove(DAMAGED);
    free(bytes);
}

void renew_header_digest(const char *path)
{
    char hex[DIGEST_DIGITS + 1], *bytes;
    size_t size, n = 0;

    bytes = read_bytes(path, &size);
    ck_assert_uint_gt(size, LENGTH_BYTES);
    for (int i = LENGTH_BYTES - 1; i >= 0; i--)
        n = n << 8 | (unsigned char)bytes[i];
    ck_assert(n <= size - LENGTH_BYTES && cti_header_has_digest(bytes + LENGTH_BYTES, n));
    cti_header_digest(bytes + LENGTH_BYTES, n, hex);
    memcpy(bytes + LENGTH_BYTES + sizeof HEADER_START - 1, hex, DIGEST_DIGITS);
    write_bytes(path, bytes, size);
    free(bytes);
}
