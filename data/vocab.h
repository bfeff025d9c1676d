/* vocab.h - from text to token ids: cleaning, vocabularies, corpora. */
#ifndef COTANGENT_DATA_VOCAB_H
#define COTANGENT_DATA_VOCAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cotangent/data/text.h>
#include <cotangent/tensor/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How a text is cleaned before it is cut into tokens. Bytes that are not ASCII letters, invalid
 * UTF-8 among them, count as separators. */
typedef enum ct_clean {
    CT_CLEAN_TEXT,  /* d2l 1.x: the whole text, each run of non-letters one space, lower case */
    CT_CLEAN_LINES, /* d2l 0.x: line by line, the same, stripped, lines joined without a space;
                     * a line ends at LF, CR or CR LF */
    CT_CLEAN_NONE   /* bytes as they are */
} ct_clean;

/* The order of a vocabulary. */
typedef enum ct_vocab_order {
    CT_ORDER_SORTED,   /* d2l 1.x: <unk>, reserved and kept tokens, sorted by their bytes */
    CT_ORDER_FREQUENCY /* d2l 0.x: <unk>, the reserved tokens, then by falling frequency; equal
                        * ones in order of first appearance */
} ct_vocab_order;

typedef struct ct_vocab ct_vocab;

typedef struct ct_vocab_options {
    ct_vocab_order order;
    int64_t min_freq;            /* tokens seen less often are <unk>; 0 or 1 keeps all */
    const char *const *reserved; /* tokens that are in it whatever the text has, e.g. "<pad>" */
    int reserved_count;
    void *reserved_for_later[4];
} ct_vocab_options;

/* The vocabulary of the characters (bytes) of a text; <unk> is always in it, a NUL byte never.
 * Yours to free. CT_ERR_ARGUMENT for a negative min_freq, and for a reserved token that is NULL
 * or empty. */
ct_vocab *ct_vocab_new(const char *characters, size_t size, ct_vocab_options options);
void ct_vocab_free(ct_vocab *v);

int ct_vocab_size(const ct_vocab *v) CT_NOSITE;
int ct_vocab_unknown(const ct_vocab *v) CT_NOSITE; /* the id of <unk> */

/* The id of a token, that of <unk> if it is not in v; the token of an id, "<unk>" if out of
 * range. */
int ct_vocab_id(const ct_vocab *v, const char *token) CT_NOSITE;
const char *ct_vocab_token(const ct_vocab *v, int id) CT_NOSITE;
/* How often the text had it; for <unk>, how many of its characters are not in v. */
int64_t ct_vocab_count(const ct_vocab *v, int id) CT_NOSITE;

/* The ids of size characters, each a token; returns how many were not in v. */
int64_t ct_vocab_encode(const ct_vocab *v, const char *characters, size_t size, int32_t *ids)
    CT_NOSITE;

/* The tokens of count ids, one after another, as a new string: yours to free(). NULL, with the
 * error, when memory is out. */
char *ct_vocab_decode(const ct_vocab *v, const int32_t *ids, size_t count);

/* A text turned into ids: its vocabulary and the ids of all its characters. */
typedef struct ct_corpus ct_corpus;

typedef struct ct_corpus_options {
    ct_clean clean;
    ct_vocab_options vocab;
    int64_t max_tokens; /* keep this many from the start (the vocabulary is of the whole); 0: all */
    void *reserved[4];
} ct_corpus_options;

/* CT_ERR_FORMAT if cleaning leaves nothing. Yours to free. Neither text nor reserved is kept. */
ct_corpus *ct_corpus_new(const ct_text *text, ct_corpus_options options);
void ct_corpus_free(ct_corpus *c);

const ct_vocab *ct_corpus_vocab(const ct_corpus *c) CT_NOSITE;
int64_t ct_corpus_size(const ct_corpus *c) CT_NOSITE; /* ids */
const int32_t *ct_corpus_ids(const ct_corpus *c) CT_NOSITE;

/* Bytes of the text that are not valid UTF-8 (counted as separators): worth a note if not 0. */
int64_t ct_corpus_invalid_bytes(const ct_corpus *c) CT_NOSITE;

#ifdef __cplusplus
}
#endif
#endif
