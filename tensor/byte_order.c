/* SPDX-License-Identifier: MIT */
/* byte_order.c - the byte order of files. */
#include "tensor/internal.h"

#include "tensor/byte_order.h"
#include "tensor/text.h"

#include <nettle/sha2.h>
#include <stdint.h>
#include <string.h>

void cti_swap_bytes(void *elements, size_t size, size_t count)
{
    uint8_t *at = elements;

    for (size_t i = 0; i < count; i++, at += size)
        for (size_t low = 0, high = size - 1; low < high; low++, high--) {
            uint8_t b = at[low];

            at[low] = at[high];
            at[high] = b;
        }
}

bool cti_each_file_bytes(const void *elements, size_t size, size_t count, cti_byte_sink *sink,
                         void *context)
{
    const char *from = elements;
    uint64_t piece[1024];
    const size_t most = sizeof piece / size;

    if (!CTI_SWAPS_FILES || size == 1)
        return sink(context, elements, count * size);
    for (size_t n; count; count -= n, from += n * size) {
        n = count < most ? count : most;
        memcpy(piece, from, n * size);
        cti_swap_bytes(piece, size, n);
        if (!sink(context, piece, n * size))
            return false;
    }
    return true;
}

static bool byte_order_hash(void *context, const void *bytes, size_t size)
{
    sha256_update(context, size, bytes);
    return true;
}

void cti_sha256_elements(const void *elements, size_t size, size_t count, char hex[65])
{
    struct sha256_ctx state;
    uint8_t digest[SHA256_DIGEST_SIZE];

    sha256_init(&state);
    cti_each_file_bytes(elements, size, count, byte_order_hash, &state);
    sha256_digest(&state, sizeof digest, digest);
    cti_hex(digest, sizeof digest, hex);
}
