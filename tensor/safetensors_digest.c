/* SPDX-License-Identifier: MIT */
/* safetensors_digest.c - the digests in files of named tensors. */
#include "tensor/safetensors_format.h"

#include "tensor/text.h"

#include <stdint.h>
#include <string.h>

#define START_SIZE (sizeof HEADER_START - 1)

void cti_sha256_text(struct sha256_ctx *sha, char hex[DIGEST_DIGITS + 1])
{
    uint8_t digest[SHA256_DIGEST_SIZE];

    sha256_digest(sha, sizeof digest, digest);
    cti_hex(digest, sizeof digest, hex);
}

bool cti_header_has_digest(const char *header, size_t n)
{
    return n >= START_SIZE + DIGEST_DIGITS && memcmp(header, HEADER_START, START_SIZE) == 0;
}

void cti_header_digest(const char *header, size_t n, char hex[DIGEST_DIGITS + 1])
{
    size_t behind = START_SIZE + DIGEST_DIGITS;
    uint8_t length[LENGTH_BYTES], zeros[DIGEST_DIGITS];
    struct sha256_ctx sha;

    for (int i = 0; i < LENGTH_BYTES; i++)
        length[i] = (uint8_t)((uint64_t)n >> 8 * i);
    memset(zeros, '0', sizeof zeros);
    sha256_init(&sha);
    sha256_update(&sha, sizeof length, length);
    sha256_update(&sha, START_SIZE, (const uint8_t *)header);
    sha256_update(&sha, sizeof zeros, zeros);
    sha256_update(&sha, n - behind, (const uint8_t *)header + behind);
    cti_sha256_text(&sha, hex);
}
