/* SPDX-License-Identifier: MIT */
/* corpus.c - a text cleaned, cut into tokens, and turned into ids. */
#include "tensor/internal.h"

#include <cotangent/data/vocab.h>

#include "data/clean.h"
#include "data/tokens.h"
#include "data/utf8.h"
#include "tensor/hooks.h"

struct ct_corpus {
    const ct_vocab *vocab;
    ct_vocab *own; /* the corpus owns vocab unless the options gave it */
    ct_clean clean;
    int32_t *ids;
    int64_t size, unknown, characters, bytes, invalid;
    char sha256[65];
};

/* Returns the end of token number `most`, or of the last token. *count becomes the number of tokens
 * up to there. */
static size_t corpus_measure(ct_token_kind kind, const char *s, size_t size, int64_t most,
                             int64_t *count)
{
    size_t at = 0, end = 0, n;

    for (*count = 0; *count < most && (n = cti_next_token(kind, s, size, &at)) > 0; ++*count)
        end = at += n;
    return end;
}

/* Makes vocabulary and ids from the cleaned text. */
static bool corpus_index_tokens(ct_corpus *c, const char *s, size_t size,
                                const ct_corpus_options *o)
{
    ct_token_kind kind = ct_vocab_kind(c->vocab);
    int64_t count;
    size_t end = corpus_measure(kind, s, size, o->max_tokens ? o->max_tokens : INT64_MAX, &count);

    if (count == 0) {
        ct_raise(CT_ERR_FORMAT, "ct_corpus_new",
                 "the text has only white space; it must have a word");
        return false;
    }
    c->ids = cti_calloc((size_t)count, sizeof *c->ids);
    if (!c->ids) {
        cti_out_of_memory("ct_corpus_new", (size_t)count * sizeof *c->ids);
        return false;
    }
    c->size = ct_vocab_encode(c->vocab, s, end, c->ids, &c->unknown);
    c->bytes = (int64_t)end;
    c->characters = cti_utf8_count(s, end);
    return true;
}

/* Cleans the text and turns it into ids. */
static bool corpus_fill(ct_corpus *c, const ct_text *text, const ct_corpus_options *o)
{
    const char *function = "ct_corpus_new", *s = ct_text_bytes(text);
    ct_token_kind kind = o->known ? ct_vocab_kind(o->known) : o->vocab.tokens;
    size_t size = ct_text_size(text), n;
    char *cleaned = cti_clean(function, o->clean, kind == CT_TOKEN_KIND_WORD, s, size, &n);
    bool ok = cleaned != NULL;

    if (ok && (n == 0 || (o->clean != CT_CLEAN_NONE && n == 1 && cleaned[0] == ' '))) {
        ct_raise(CT_ERR_FORMAT, function, "the text is empty after cleaning \"%s\"",
                 ct_clean_name(o->clean));
        ok = false;
    }
    if (ok && !o->known)
        c->own = cti_vocab_new(function, cleaned, n, &o->vocab);
    c->vocab = o->known ? o->known : c->own;
    ok = ok && c->vocab && corpus_index_tokens(c, cleaned, n, o);
    cti_release(cleaned);
    c->clean = o->clean;
    c->invalid = cti_utf8_invalid(s, size);
    ct_sha256_hex(s, size, c->sha256);
    return ok;
}

static bool corpus_check(const ct_corpus_options *o)
{
    if (!cti_clean_check("ct_corpus_new", o->clean))
        return false;
    if (!cti_at_least("ct_corpus_new", "max_tokens", o->max_tokens, 0))
        return false;
    return o->known || cti_vocab_check("ct_corpus_new", &o->vocab);
}

ct_corpus *ct_corpus_new(const ct_text *text, ct_corpus_options options)
{
    ct_corpus *c;

    if (!text) {
        if (ct_ok())
            ct_raise(CT_ERR_ARGUMENT, "ct_corpus_new", "text is NULL");
        return NULL;
    }
    if (!corpus_check(&options))
        return NULL;
    c = cti_calloc(1, sizeof *c);
    if (!c)
        cti_out_of_memory("ct_corpus_new", sizeof *c);
    if (c && corpus_fill(c, text, &options))
        return c;
    ct_corpus_free(c);
    return NULL;
}

void ct_corpus_free(ct_corpus *c)
{
    if (!c)
        return;
    ct_vocab_free(c->own);
    cti_release(c->ids);
    cti_release(c);
}

const ct_vocab *ct_corpus_vocab(const ct_corpus *c)
{
    return c ? c->vocab : NULL;
}

int64_t ct_corpus_size(const ct_corpus *c)
{
    return c ? c->size : 0;
}

const int32_t *ct_corpus_ids(const ct_corpus *c)
{
    return c ? c->ids : NULL;
}

ct_clean ct_corpus_clean(const ct_corpus *c)
{
    return c ? c->clean : CT_CLEAN_TEXT;
}

int64_t ct_corpus_characters(const ct_corpus *c)
{
    return c ? c->characters : 0;
}

int64_t ct_corpus_bytes(const ct_corpus *c)
{
    return c ? c->bytes : 0;
}

int64_t ct_corpus_unknown(const ct_corpus *c)
{
    return c ? c->unknown : 0;
}

const char *ct_corpus_sha256(const ct_corpus *c)
{
    return c ? c->sha256 : "";
}

int64_t ct_corpus_invalid_bytes(const ct_corpus *c)
{
    return c ? c->invalid : 0;
}
