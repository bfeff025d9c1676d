/* SPDX-License-Identifier: MIT */
/* range_coder.h - arithmetic coding with integers (Martin, "Range encoding", 1979): a symbol of
 * frequency f among total costs log2(total / f) bits. */
#ifndef EXAMPLES_RANGE_CODER_H
#define EXAMPLES_RANGE_CODER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RANGE_TOTAL_MOST (1u << 20) /* the limit of the sum of the frequencies */

/* A growing array of bytes, or bytes to read. */
typedef struct bytes {
    uint8_t *at;
    size_t size, room;
    size_t read; /* the number of bytes read; bytes beyond the end count as 0 */
    bool failed; /* memory ran out */
} bytes;

void bytes_put(bytes *b, uint8_t byte);
uint8_t bytes_take(bytes *b);

typedef struct range_coder {
    bytes *stream;
    uint64_t low; /* encoder: 32 bits and a carry */
    uint32_t range, code;
    uint8_t held;     /* encoder: a byte that a carry may still change */
    uint64_t pending; /* encoder: the number of 0xff bytes after the held byte */
    bool begun;
} range_coder;

void range_encoder_begin(range_coder *c, bytes *out);
void range_encode(range_coder *c, uint32_t below, uint32_t frequency, uint32_t total);
void range_encoder_end(range_coder *c);

/* To decode a symbol, call range_peek and find the symbol whose range of cumulative frequencies
 * contains the result. Pass that range to range_skip. */
void range_decoder_begin(range_coder *c, bytes *in);
uint32_t range_peek(range_coder *c, uint32_t total);
void range_skip(range_coder *c, uint32_t below, uint32_t frequency, uint32_t total);

#endif
