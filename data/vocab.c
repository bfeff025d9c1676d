/* SPDX-License-Identifier: MIT */
/* vocab.c - vocabularies: the tokens that have ids, and their order. */
#include "tensor/internal.h"

#include <cotangent/data/vocab.h>

#include "data/tokens.h"
#include "data/utf8.h"
#include "tensor/hooks.h"

#include <stdlib.h>
#include <string.h>

#define UNKNOWN "<unk>"
#define BYTES 256

struct ct_vocab {
    cti_token_table table; /* an id is an index of the table */
    ct_token_kind kind;
    int unknown;
};

static const char *const kinds[] = {
    [CT_TOKEN_KIND_CHAR] = "char",
    [CT_TOKEN_KIND_BYTE] = "byte",
    [CT_TOKEN_KIND_WORD] = "word",
    [CT_TOKEN_KIND_GRAPHEME] = "grapheme",
};
enum { KINDS = sizeof kinds / sizeof *kinds };

const char *ct_token_kind_name(ct_token_kind kind)
{
    return (unsigned)kind < KINDS ? kinds[kind] : "?";
}

int ct_token_kind_from_name(const char *name)
{
    int i;

    for (i = 0; i < KINDS; i++)
        if (name && strcmp(name, kinds[i]) == 0)
            return i;
    return -1;
}

/* ---- checks of the options ---- */

static bool vocab_check_kind(const char *function, ct_token_kind kind)
{
    if ((unsigned)kind >= KINDS)
        ct_raise(CT_ERR_ARGUMENT, function, "tokens is %d; it must be in 0..%d", (int)kind,
                 (int)KINDS - 1);
    else if (kind == CT_TOKEN_KIND_GRAPHEME && !cti_has_unicode())
        ct_raise(CT_ERR_ARGUMENT, function,
                 "tokens \"grapheme\" need libutf8proc, which this build does not have");
    else
        return true;
    return false;
}

static bool vocab_check_reserved(const char *function, const ct_vocab_options *o)
{
    int i;

    for (i = 0; i < o->reserved_count; i++)
        if (!o->reserved[i] || !o->reserved[i][0]) {
            ct_raise(CT_ERR_ARGUMENT, function, "reserved[%d] is %s", i,
                     o->reserved[i] ? "empty" : "NULL");
            return false;
        }
    return true;
}

bool cti_vocab_check(const char *function, const ct_vocab_options *o)
{
    if (o->order != CT_VOCAB_ORDER_SORTED && o->order != CT_VOCAB_ORDER_FREQUENCY)
        ct_raise(CT_ERR_ARGUMENT, function, "order is %d; it must be in 0..%d", (int)o->order,
                 (int)CT_VOCAB_ORDER_FREQUENCY);
    else if (!cti_at_least(function, "min_freq", o->min_freq, 0))
        return false;
    else if (o->reserved_count < 0 || (o->reserved_count && !o->reserved))
        ct_raise(CT_ERR_ARGUMENT, function, "reserved_count is %d but reserved %s",
                 o->reserved_count, o->reserved ? "is not NULL" : "is NULL");
    else if (o->tokens == CT_TOKEN_KIND_BYTE && o->order != CT_VOCAB_ORDER_SORTED)
        ct_raise(CT_ERR_ARGUMENT, function, "order is %d; for byte tokens it must be 0",
                 (int)o->order);
    else if (o->tokens == CT_TOKEN_KIND_BYTE && o->min_freq > 1)
        ct_raise(CT_ERR_ARGUMENT, function, "min_freq is %lld; for byte tokens it must be 0 or 1",
                 (long long)o->min_freq);
    else
        return vocab_check_kind(function, o->tokens) && vocab_check_reserved(function, o);
    return false;
}

/* ---- choosing the tokens ---- */

/* Adds a token, which may be in the table already; false if memory runs out. */
static bool vocab_add(ct_vocab *v, const char *token, size_t size, int64_t count)
{
    int before = v->table.size, id = cti_token_table_add(&v->table, token, size);

    if (id == before)
        v->table.entries[id].count = count;
    return id >= 0;
}

static bool vocab_add_bytes(ct_vocab *v)
{
    int byte;

    for (byte = 0; byte < BYTES; byte++)
        if (!vocab_add(v, (char[]){ (char)byte, '\0' }, 1, 0))
            return false;
    return true;
}

/* Counts each token of the text, in order of first appearance. */
static bool vocab_take_census(cti_token_table *census, ct_token_kind kind, const char *s,
                              size_t size)
{
    size_t at = 0, n;

    while ((n = cti_next_token(kind, s, size, &at)) > 0) {
        int i = cti_token_table_add(census, s + at, n);

        if (i < 0)
            return false;
        census->entries[i].count++;
        at += n;
    }
    return true;
}

static int vocab_by_frequency(const void *a, const void *b)
{
    const cti_token_entry *x = *(const cti_token_entry *const *)a,
                          *y = *(const cti_token_entry *const *)b;

    if (x->count != y->count)
        return x->count > y->count ? -1 : 1;
    return x < y ? -1 : x > y; /* equal counts: the order of first appearance */
}

static int vocab_by_bytes(const void *a, const void *b)
{
    return strcmp(((const cti_token_entry *)a)->token, ((const cti_token_entry *)b)->token);
}

/* Adds the tokens of the text, the most frequent first. */
static bool vocab_add_seen(ct_vocab *v, const cti_token_table *census, int64_t min_freq)
{
    const cti_token_entry **ranked = cti_calloc((size_t)census->size + 1, sizeof *ranked);
    bool ok = ranked != NULL;
    int i;

    for (i = 0; ok && i < census->size; i++)
        ranked[i] = &census->entries[i];
    if (ok)
        qsort(ranked, (size_t)census->size, sizeof *ranked, vocab_by_frequency);
    for (i = 0; ok && i < census->size && ranked[i]->count >= min_freq; i++)
        /* a token with a NUL cannot be passed as a string */
        if (!memchr(ranked[i]->token, '\0', ranked[i]->size))
            ok = vocab_add(v, ranked[i]->token, ranked[i]->size, ranked[i]->count);
    cti_release(ranked);
    return ok;
}

static int64_t vocab_count(const cti_token_table *census, const char *token)
{
    int i = cti_token_table_find(census, token, strlen(token));

    return i < 0 ? 0 : census->entries[i].count;
}

/* Counts the tokens of the text that are not in v. */
static int64_t vocab_count_unknown(const ct_vocab *v, const cti_token_table *census)
{
    int64_t unknown = 0;
    int i;

    for (i = 0; i < census->size; i++) {
        int id = cti_token_table_find(&v->table, census->entries[i].token, census->entries[i].size);

        if (id < 0 || id == v->unknown)
            unknown += census->entries[i].count;
    }
    return unknown;
}

static bool vocab_add_all(ct_vocab *v, const cti_token_table *census, const ct_vocab_options *o)
{
    bool ok = v->kind == CT_TOKEN_KIND_BYTE ? vocab_add_bytes(v)
                                            : vocab_add(v, UNKNOWN, strlen(UNKNOWN), 0);
    int i;

    for (i = 0; ok && i < o->reserved_count; i++)
        ok = vocab_add(v, o->reserved[i], strlen(o->reserved[i]),
                       vocab_count(census, o->reserved[i]));
    if (v->kind == CT_TOKEN_KIND_BYTE) {
        for (i = 0; ok && i < BYTES; i++)
            v->table.entries[i].count =
                census->of_byte[i] ? census->entries[census->of_byte[i] - 1].count : 0;
        return ok;
    }
    ok = ok && vocab_add_seen(v, census, o->min_freq);
    if (ok && o->order == CT_VOCAB_ORDER_SORTED) {
        qsort(v->table.entries, (size_t)v->table.size, sizeof *v->table.entries, vocab_by_bytes);
        cti_token_table_renumber(&v->table);
    }
    v->unknown = cti_token_table_find(&v->table, UNKNOWN, strlen(UNKNOWN));
    if (ok)
        v->table.entries[v->unknown].count = vocab_count_unknown(v, census);
    return ok;
}

ct_vocab *cti_vocab_new(const char *function, const char *s, size_t size, const ct_vocab_options *o)
{
    ct_vocab *v = cti_calloc(1, sizeof *v);
    cti_token_table census = { 0 };
    bool ok = v != NULL;

    if (ok) {
        v->kind = o->tokens;
        v->unknown = -1;
        ok = vocab_take_census(&census, v->kind, s, size) && vocab_add_all(v, &census, o);
    }
    cti_token_table_clear(&census);
    if (ok)
        return v;
    ct_raise(CT_ERR_MEMORY, function, "out of memory (for a vocabulary of %zu bytes of text)",
             size);
    ct_vocab_free(v);
    return NULL;
}

ct_vocab *ct_vocab_new(const char *text, size_t size, ct_vocab_options options)
{
    if (size && !cti_given("ct_vocab_new", "text", text))
        return NULL;
    if (!cti_vocab_check("ct_vocab_new", &options))
        return NULL;
    return cti_vocab_new("ct_vocab_new", text, size, &options);
}

/* ---- from a list ---- */

/* Adds token number i of a list; false with an error. */
static bool vocab_add_listed(ct_vocab *v, const char *token, int i)
{
    int before = v->table.size;

    if (!token || !token[0])
        ct_raise(CT_ERR_FORMAT, "ct_vocab_new_from_tokens", "token %d is %s", i,
                 token ? "empty" : "NULL");
    else if (!vocab_add(v, token, strlen(token), 0))
        ct_raise(CT_ERR_MEMORY, "ct_vocab_new_from_tokens", "out of memory (%d tokens)", before);
    else if (v->table.size == before)
        ct_raise(CT_ERR_FORMAT, "ct_vocab_new_from_tokens", "token %d is given twice", i);
    else
        return true;
    return false;
}

static bool vocab_add_list(ct_vocab *v, int count, const char *const *tokens)
{
    int i;

    if (v->kind == CT_TOKEN_KIND_BYTE && !vocab_add_bytes(v)) {
        ct_raise(CT_ERR_MEMORY, "ct_vocab_new_from_tokens", "out of memory (%d tokens)", BYTES);
        return false;
    }
    for (i = 0; i < count; i++)
        if (!vocab_add_listed(v, tokens[i], i))
            return false;
    v->unknown = v->kind == CT_TOKEN_KIND_BYTE
                     ? -1
                     : cti_token_table_find(&v->table, UNKNOWN, strlen(UNKNOWN));
    if (v->kind != CT_TOKEN_KIND_BYTE && v->unknown < 0)
        ct_raise(CT_ERR_FORMAT, "ct_vocab_new_from_tokens", "the tokens do not include %s",
                 UNKNOWN);
    return v->kind == CT_TOKEN_KIND_BYTE || v->unknown >= 0;
}

ct_vocab *ct_vocab_new_from_tokens(ct_token_kind kind, int count, const char *const *tokens)
{
    ct_vocab *v;

    if (!cti_at_least("ct_vocab_new_from_tokens", "count", count, 0) ||
        !cti_given_array("ct_vocab_new_from_tokens", "tokens", count, tokens))
        return NULL;
    if (!vocab_check_kind("ct_vocab_new_from_tokens", kind))
        return NULL;
    v = cti_calloc(1, sizeof *v);
    if (!v) {
        cti_out_of_memory("ct_vocab_new_from_tokens", sizeof *v);
        return NULL;
    }
    v->kind = kind;
    if (vocab_add_list(v, count, tokens))
        return v;
    ct_vocab_free(v);
    return NULL;
}

void ct_vocab_free(ct_vocab *v)
{
    if (!v)
        return;
    cti_token_table_clear(&v->table);
    cti_release(v);
}

/* ---- use ---- */

int ct_vocab_size(const ct_vocab *v)
{
    return v ? v->table.size : 0;
}

int ct_vocab_unknown(const ct_vocab *v)
{
    return v ? v->unknown : 0;
}

ct_token_kind ct_vocab_kind(const ct_vocab *v)
{
    return v ? v->kind : CT_TOKEN_KIND_CHAR;
}

int ct_vocab_id(const ct_vocab *v, const char *token)
{
    int id;

    if (!v)
        return 0;
    id = token ? cti_token_table_find(&v->table, token, strlen(token)) : -1;
    return id >= 0 ? id : v->unknown;
}

const char *ct_vocab_token(const ct_vocab *v, int id)
{
    return v && id >= 0 && id < v->table.size ? v->table.entries[id].token : UNKNOWN;
}

int64_t ct_vocab_count(const ct_vocab *v, int id)
{
    return v && id >= 0 && id < v->table.size ? v->table.entries[id].count : 0;
}

int64_t ct_vocab_encode(const ct_vocab *v, const char *text, size_t size, int32_t *ids,
                        int64_t *unknown)
{
    int64_t count = 0, missing = 0;
    static const char *const me = "ct_vocab_encode";
    size_t at = 0, n;

    if (unknown)
        *unknown = 0;
    if (!cti_given(me, "v", v) ||
        (size && (!cti_given(me, "text", text) || !cti_given(me, "ids", ids))))
        return 0;
    while ((n = cti_next_token(v->kind, text, size, &at)) > 0) {
        int id = cti_token_table_find(&v->table, text + at, n);

        ids[count] = id >= 0 ? id : v->unknown;
        missing += ids[count++] == v->unknown;
        at += n;
    }
    if (unknown)
        *unknown = missing;
    return count;
}

char *ct_vocab_decode(const ct_vocab *v, const int32_t *ids, size_t count)
{
    bool words = ct_vocab_kind(v) == CT_TOKEN_KIND_WORD;
    size_t n = 1, i;
    char *out, *end;

    if (!v || (!ids && count)) {
        if (ct_ok())
            ct_raise(CT_ERR_ARGUMENT, "ct_vocab_decode", "%s is NULL", v ? "ids" : "v");
        return NULL;
    }
    for (i = 0; i < count; i++)
        n += strlen(ct_vocab_token(v, ids[i])) + words;
    out = end = cti_calloc(n, 1);
    if (!out)
        cti_out_of_memory("ct_vocab_decode", n);
    for (i = 0; out && i < count; i++) {
        if (words && i)
            *end++ = ' ';
        end = stpcpy(end, ct_vocab_token(v, ids[i]));
    }
    return out;
}
