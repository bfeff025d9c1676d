/* SPDX-License-Identifier: MIT */
/* range_coder.c - the interval [low, low + range) narrows with each symbol. Its leading bytes are
 * written when they can no longer change. A carry changes bytes that are still held back. */
#include "range_coder.h"

#include <stdlib.h>

#define LEAST (1u << 24) /* the lower limit of range, which never falls below total */

void bytes_put(bytes *b, uint8_t byte)
{
    if (b->size == b->room) {
        size_t room = b->room ? 2 * b->room : 4096;
        uint8_t *at = realloc(b->at, room);

        if (!at) {
            b->failed = true;
            return;
        }
        b->at = at;
        b->room = room;
    }
    b->at[b->size++] = byte;
}

uint8_t bytes_take(bytes *b)
{
    size_t at = b->read++;

    return at < b->size ? b->at[at] : 0;
}

/* ---- encoder ---- */

/* Removes the upper byte of low and writes it when it can no longer change. */
static void shift(range_coder *c)
{
    bool carry = c->low >> 32;

    if ((uint32_t)c->low < 0xff000000u || carry) {
        if (c->begun)
            bytes_put(c->stream, (uint8_t)(c->held + carry));
        for (; c->pending; c->pending--)
            bytes_put(c->stream, carry ? 0x00 : 0xff);
        c->held = (uint8_t)(c->low >> 24);
        c->begun = true;
    } else {
        c->pending++;
    }
    c->low = (c->low & 0x00ffffffu) << 8;
}

void range_encoder_begin(range_coder *c, bytes *out)
{
    *c = (range_coder){ .stream = out, .range = 0xffffffffu };
}

void range_encode(range_coder *c, uint32_t below, uint32_t frequency, uint32_t total)
{
    c->range /= total;
    c->low += (uint64_t)below * c->range;
    c->range *= frequency;
    for (; c->range < LEAST; c->range <<= 8)
        shift(c);
}

void range_encoder_end(range_coder *c)
{
    int i;

    for (i = 0; i < 5; i++)
        shift(c);
}

/* ---- decoder ---- */

void range_decoder_begin(range_coder *c, bytes *in)
{
    int i;

    *c = (range_coder){ .stream = in, .range = 0xffffffffu };
    for (i = 0; i < 4; i++)
        c->code = c->code << 8 | bytes_take(in);
}

uint32_t range_peek(range_coder *c, uint32_t total)
{
    uint32_t at = c->code / (c->range / total);

    return at < total ? at : total - 1;
}

void range_skip(range_coder *c, uint32_t below, uint32_t frequency, uint32_t total)
{
    c->range /= total;
    c->code -= below * c->range;
    c->range *= frequency;
    for (; c->range < LEAST; c->range <<= 8)
        c->code = c->code << 8 | bytes_take(c->stream);
}
