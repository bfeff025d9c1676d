/* vocab.h - from text to token ids: cleaning, tokens, vocabularies, corpora. */
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

/* ---- cleaning ---- */

/* How a text is cleaned before it is cut into tokens. To the first two bytes that are not ASCII
 * letters, invalid UTF-8 among them, are separators; the last two go by Unicode, and need a build
 * with libutf8proc (CT_ERR_ARGUMENT without). */
typedef enum ct_clean {
    CT_CLEAN_TEXT,    /* d2l 1.x: the whole text, each run of non-letters one space, lower case */
    CT_CLEAN_LINES,   /* d2l 0.x: line by line, the same, stripped, lines joined without a space
                       * (before words: with one); a line ends at LF, CR or CR LF */
    CT_CLEAN_NONE,    /* bytes as they are */
    CT_CLEAN_LETTERS, /* as CT_CLEAN_TEXT for any script: each run of what is neither a letter nor a
                       * mark on one is one space; the rest composed (NFC), case folded */
    CT_CLEAN_FOLD     /* composed and case folded, all else as it is; malformed bytes stay */
} ct_clean;

const char *ct_clean_name(ct_clean clean); /* "text"; "?" for what is none */

/* The cleaning of a name ("lines"), or -1 without an error. */
int ct_clean_from_name(const char *name);

/* size bytes cleaned, as a new string: yours to free(). cleaned_size, if not NULL, is its length. A
 * NULL with CT_ERR_ARGUMENT, CT_ERR_MEMORY. */
char *ct_clean_apply(ct_clean clean, const char *text, size_t size, size_t *cleaned_size);

/* ---- tokens ---- */

/* What a text is cut into. Malformed UTF-8 is never an error: each such byte is a character. */
typedef enum ct_token_kind {
    CT_TOKEN_KIND_CHAR,    /* characters: Unicode's code points */
    CT_TOKEN_KIND_BYTE,    /* bytes; all 256 are in the vocabulary, each as its own id */
    CT_TOKEN_KIND_WORD,    /* what stands between white space (as Python's str.split has it) */
    CT_TOKEN_KIND_GRAPHEME /* characters as readers see them: extended grapheme clusters (UAX 29), a
                        * letter with its marks; needs a build with libutf8proc */
} ct_token_kind;

const char *ct_token_kind_name(ct_token_kind kind); /* "char"; "?" for what is none */

/* The kind of a name ("word"), or -1 without an error. */
int ct_token_kind_from_name(const char *name);

/* ---- vocabularies ---- */

/* The order of a vocabulary. */
typedef enum ct_vocab_order {
    CT_VOCAB_ORDER_SORTED,   /* d2l 1.x: <unk>, reserved and kept tokens, sorted by their bytes */
    CT_VOCAB_ORDER_FREQUENCY /* d2l 0.x: <unk>, the reserved tokens, then by falling frequency; equal
                        * ones in order of first appearance */
} ct_vocab_order;

typedef struct ct_vocab ct_vocab;

typedef struct ct_vocab_options {
    ct_vocab_order order;
    int64_t min_freq;            /* tokens seen less often are <unk>; 0 or 1 keeps all */
    const char *const *reserved; /* tokens that are in it whatever the text has, e.g. "<pad>" */
    int reserved_count;
    ct_token_kind tokens;
} ct_vocab_options;

/* The vocabulary of the tokens of a text. <unk> is always in it, a NUL byte never; but a vocabulary
 * of bytes has those, with ids 0 to 255, and then the reserved tokens. Yours to free.
 * CT_ERR_ARGUMENT for a negative min_freq, for a reserved token that is NULL or empty, for an order
 * or min_freq of bytes, and for graphemes in a build without libutf8proc. */
ct_vocab *ct_vocab_new(const char *text, size_t size, ct_vocab_options options);

/* The vocabulary whose tokens are these, in the order of their ids, as ct_vocab_token gave them;
 * counts are 0. Of bytes, those after the first 256. CT_ERR_FORMAT for a token that is NULL, empty
 * or twice there, and for a list without <unk>. */
ct_vocab *ct_vocab_new_from_tokens(ct_token_kind kind, int count, const char *const *tokens);

void ct_vocab_free(ct_vocab *v);

int ct_vocab_size(const ct_vocab *v);
int ct_vocab_unknown(const ct_vocab *v); /* the id of <unk>; of bytes -1 */
ct_token_kind ct_vocab_kind(const ct_vocab *v);

/* The id of a token, that of <unk> if it is not in v; the token of an id, "<unk>" if out of
 * range ("" for the byte 0). */
int ct_vocab_id(const ct_vocab *v, const char *token);
const char *ct_vocab_token(const ct_vocab *v, int id);
/* How often the text had it; for <unk>, how many of its tokens are not in v. */
int64_t ct_vocab_count(const ct_vocab *v, int id);

/* Cuts size bytes of text into tokens and writes their ids, for at most size of which there must be
 * room; returns how many there are. *unknown, if not NULL, is how many of them are not in v. */
int64_t ct_vocab_encode(const ct_vocab *v, const char *text, size_t size, int32_t *ids,
                        int64_t *unknown);

/* The tokens of count ids, one after another, words with a space between them, as a new string:
 * yours to free(). NULL, with the error, when memory is out. */
char *ct_vocab_decode(const ct_vocab *v, const int32_t *ids, size_t count);

/* ---- corpora ---- */

/* A text turned into ids: its vocabulary and the ids of all its tokens. */
typedef struct ct_corpus ct_corpus;

typedef struct ct_corpus_options {
    ct_clean clean;
    ct_vocab_options vocab;
    int64_t max_tokens; /* keep this many from the start (the vocabulary is of the whole); 0: all */
    const ct_vocab *known; /* use this vocabulary, which must outlive the corpus; .vocab is not
                            * looked at. For a text to validate on, say */
} ct_corpus_options;

/* CT_ERR_FORMAT if cleaning leaves nothing, or none but a space. Yours to free. Neither text nor
 * reserved is kept. */
ct_corpus *ct_corpus_new(const ct_text *text, ct_corpus_options options);
void ct_corpus_free(ct_corpus *c);

const ct_vocab *ct_corpus_vocab(const ct_corpus *c);
int64_t ct_corpus_size(const ct_corpus *c); /* ids */
const int32_t *ct_corpus_ids(const ct_corpus *c);
ct_clean ct_corpus_clean(const ct_corpus *c);

/* How much of the cleaned text the ids stand for, what is between words included. */
int64_t ct_corpus_characters(const ct_corpus *c); /* Unicode's */
int64_t ct_corpus_bytes(const ct_corpus *c);

/* How many of the ids are <unk>. */
int64_t ct_corpus_unknown(const ct_corpus *c);

/* SHA-256 of the bytes of the text that it was made from, 64 hexadecimal digits. */
const char *ct_corpus_sha256(const ct_corpus *c);

/* Bytes of the text that are not valid UTF-8: worth a note if not 0 (and the tokens no bytes). */
int64_t ct_corpus_invalid_bytes(const ct_corpus *c);

#ifdef __cplusplus
}
#endif
#endif
