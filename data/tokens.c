/* SPDX-License-Identifier: MIT */
/* tokens.c - splitting a text into tokens, and a hash table of tokens (FNV-1a, linear probing). */
#include "tensor/internal.h"

#include "data/tokens.h"

#include "data/utf8.h"
#include "tensor/hooks.h"

#include <limits.h>
#include <string.h>

/* ---- cutting ---- */

static size_t tokens_next_word(const char *s, size_t size, size_t *at)
{
    size_t i = *at, n;

    for (; i < size; i += n) {
        n = cti_utf8_step(s + i, size - i);
        if (!cti_utf8_is_space(s + i, n))
            break;
    }
    for (*at = i; i < size; i += n) {
        n = cti_utf8_step(s + i, size - i);
        if (cti_utf8_is_space(s + i, n))
            break;
    }
    return i - *at;
}

size_t cti_next_token(ct_token_kind kind, const char *s, size_t size, size_t *at)
{
    if (*at >= size)
        return 0;
    switch (kind) {
    case CT_TOKEN_KIND_BYTE:
        return 1;
    case CT_TOKEN_KIND_WORD:
        return tokens_next_word(s, size, at);
    case CT_TOKEN_KIND_GRAPHEME:
        return cti_grapheme_length(s + *at, size - *at);
    case CT_TOKEN_KIND_CHAR:
        break;
    }
    return cti_utf8_step(s + *at, size - *at);
}

/* ---- the table ---- */

static uint64_t tokens_hash(const char *s, size_t n)
{
    uint64_t h = 0xcbf29ce484222325u;
    size_t i;

    for (i = 0; i < n; i++)
        h = (h ^ (unsigned char)s[i]) * 0x100000001b3u;
    return h ^ h >> 32;
}

/* Returns the slot of a token of several bytes, or the free slot for it if it is not in the
 * table. */
static size_t tokens_slot(const cti_token_table *t, const char *token, size_t size)
{
    size_t i = tokens_hash(token, size) & (t->slot_count - 1);

    for (; t->slots[i]; i = (i + 1) & (t->slot_count - 1)) {
        const cti_token_entry *e = &t->entries[t->slots[i] - 1];

        if (e->size == size && memcmp(e->token, token, size) == 0)
            break;
    }
    return i;
}

int cti_token_table_find(const cti_token_table *t, const char *token, size_t size)
{
    if (size == 1)
        return t->of_byte[(unsigned char)token[0]] - 1;
    return t->slot_count && size ? t->slots[tokens_slot(t, token, size)] - 1 : -1;
}

/* Adds entry i to the index. */
static void tokens_enter(cti_token_table *t, int i)
{
    const cti_token_entry *e = &t->entries[i];

    if (e->size == 1)
        t->of_byte[(unsigned char)e->token[0]] = i + 1;
    else
        t->slots[tokens_slot(t, e->token, e->size)] = i + 1;
}

void cti_token_table_renumber(cti_token_table *t)
{
    int i;

    memset(t->of_byte, 0, sizeof t->of_byte);
    if (t->slots)
        memset(t->slots, 0, t->slot_count * sizeof *t->slots);
    for (i = 0; i < t->size; i++)
        tokens_enter(t, i);
}

/* Makes room for one more entry and keeps the slots at most half full. */
static bool tokens_make_room(cti_token_table *t)
{
    size_t room = t->room ? (size_t)t->room * 2 : 64;
    cti_token_entry *entries;
    int32_t *slots;

    if (t->size < t->room)
        return true;
    if (room > INT_MAX / 2)
        return false;
    entries = cti_realloc(t->entries, (size_t)t->room * sizeof *entries, room * sizeof *entries);
    if (!entries)
        return false;
    t->entries = entries;
    slots = cti_calloc(2 * room, sizeof *slots);
    if (!slots)
        return false;
    cti_release(t->slots);
    t->slots = slots;
    t->slot_count = 2 * room;
    t->room = (int)room;
    cti_token_table_renumber(t);
    return true;
}

int cti_token_table_add(cti_token_table *t, const char *token, size_t size)
{
    int found = cti_token_table_find(t, token, size);
    cti_token_entry *e;

    if (found >= 0)
        return found;
    if (!tokens_make_room(t))
        return -1;
    e = &t->entries[t->size];
    *e = (cti_token_entry){ .token = cti_calloc(size + 1, 1), .size = size };
    if (!e->token)
        return -1;
    memcpy(e->token, token, size);
    tokens_enter(t, t->size);
    return t->size++;
}

void cti_token_table_clear(cti_token_table *t)
{
    int i;

    for (i = 0; i < t->size; i++)
        cti_release(t->entries[i].token);
    cti_release(t->entries);
    cti_release(t->slots);
    memset(t, 0, sizeof *t);
}
