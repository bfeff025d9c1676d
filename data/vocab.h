/* SPDX-License-Identifier: MIT */
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

/* How a text is cleaned before it is tokenised. CT_CLEAN_TEXT and CT_CLEAN_LINES treat every byte
 * that is not an ASCII letter as a separator. CT_CLEAN_LETTERS and CT_CLEAN_FOLD follow Unicode and
 * need a build with libutf8proc (otherwise CT_ERR_ARGUMENT). */
typedef enum ct_clean {
    /* d2l 1.x: replaces each run of non-letters by one space; lower case */
    CT_CLEAN_TEXT,
    /* d2l 0.x: does this line by line, strips each line and joins the lines without a space (for
     * word tokens, with one). A line ends at LF, CR or CR LF */
    CT_CLEAN_LINES,
    /* changes nothing */
    CT_CLEAN_NONE,
    /* like CT_CLEAN_TEXT for any script: keeps letters and their marks, composes them (NFC) and
     * folds case; each run of other characters becomes one space */
    CT_CLEAN_LETTERS,
    /* composes (NFC) and folds case; keeps all characters and invalid bytes */
    CT_CLEAN_FOLD
} ct_clean;

const char *ct_clean_name(ct_clean clean); /* "text"; "?" for an invalid value */

/* Returns the ct_clean of a name ("lines"), or -1 for an unknown name and for NULL; raises no error. */
int ct_clean_from_name(const char *name);

/* Cleans size bytes and returns a new NUL-terminated string, which the caller frees with free().
 * Writes its length to *cleaned_size unless that is NULL. NULL with CT_ERR_ARGUMENT or
 * CT_ERR_MEMORY. */
char *ct_clean_apply(ct_clean clean, const char *text, size_t size, size_t *cleaned_size);

/* ---- tokens ---- */

/* What a token is. Invalid UTF-8 is not an error: each invalid byte is a character. */
typedef enum ct_token_kind {
    CT_TOKEN_KIND_CHAR, /* Unicode code points */
    CT_TOKEN_KIND_BYTE, /* bytes; the vocabulary has all 256, and the id of a byte is its value */
    CT_TOKEN_KIND_WORD, /* words, separated by white space as in Python's str.split */
    /* extended grapheme clusters (UAX 29): a letter with its marks is one token; needs a build with
     * libutf8proc */
    CT_TOKEN_KIND_GRAPHEME
} ct_token_kind;

const char *ct_token_kind_name(ct_token_kind kind); /* "char"; "?" for an invalid value */

/* Returns the ct_token_kind of a name ("word"), or -1 for an unknown name and for NULL; raises no error. */
int ct_token_kind_from_name(const char *name);

/* ---- vocabularies ---- */

/* The order of the ids of a vocabulary. */
typedef enum ct_vocab_order {
    /* d2l 1.x: all tokens sorted by bytes, <unk> and the reserved ones too */
    CT_VOCAB_ORDER_SORTED,
    /* d2l 0.x: <unk>, the reserved tokens, then the others by falling frequency; equal frequencies
     * in order of first appearance */
    CT_VOCAB_ORDER_FREQUENCY
} ct_vocab_order;

/* A vocabulary: the tokens of a text, each with an id. */
typedef struct ct_vocab ct_vocab;

typedef struct ct_vocab_options {
    ct_vocab_order order;
    int64_t min_freq;            /* rarer tokens become <unk>; 0 or 1 keeps all */
    const char *const *reserved; /* tokens that are always in it, such as "<pad>" */
    int reserved_count;
    ct_token_kind tokens;
} ct_vocab_options;

/* Makes the vocabulary of the tokens of size bytes of text, which the caller frees with
 * ct_vocab_free. It always has <unk> and never a NUL byte. A vocabulary of bytes instead has the
 * ids 0 to 255, then the reserved tokens, and no <unk>. CT_ERR_ARGUMENT for a negative min_freq;
 * for a reserved token that is NULL or empty; for an order or a min_freq with bytes; for graphemes
 * in a build without libutf8proc. CT_ERR_MEMORY. */
ct_vocab *ct_vocab_new(const char *text, size_t size, ct_vocab_options options);

/* Makes a vocabulary from its count tokens in the order of their ids, as ct_vocab_token returns
 * them; all counts are 0. For bytes, give the tokens after the first 256. The caller frees it.
 * CT_ERR_FORMAT for a token that is NULL, empty or given twice, and for a list without <unk>. */
ct_vocab *ct_vocab_new_from_tokens(ct_token_kind kind, int count, const char *const *tokens);

void ct_vocab_free(ct_vocab *v); /* NULL is allowed */

/* The properties of a vocabulary. The functions down to ct_vocab_count treat a NULL v as a
 * vocabulary without tokens, and a NULL token as one that v does not have. */

int ct_vocab_size(const ct_vocab *v);           /* number of tokens; ids are 0 to size - 1 */
int ct_vocab_unknown(const ct_vocab *v);        /* the id of <unk>; -1 for bytes */
ct_token_kind ct_vocab_kind(const ct_vocab *v); /* the kind of its tokens */

/* Returns the id of a token, or the id of <unk> if the token is not in v; and the token of an id,
 * or "<unk>" if the id is out of range ("" for the byte 0). */
int ct_vocab_id(const ct_vocab *v, const char *token);
const char *ct_vocab_token(const ct_vocab *v, int id);
/* The number of times that the token occurred in the text; for <unk>, the number of tokens of the
 * text that are not in v. */
int64_t ct_vocab_count(const ct_vocab *v, int id);

/* Tokenises size bytes of text and writes the ids to `ids`, which must have room for size entries.
 * Returns the number of ids. Writes the number of tokens that are not in v to *unknown unless that
 * is NULL. CT_ERR_ARGUMENT if v is NULL, or text or ids with a size above 0. */
int64_t ct_vocab_encode(const ct_vocab *v, const char *text, size_t size, int32_t *ids,
                        int64_t *unknown);

/* Returns the tokens of count ids as a new string, with a space between words. The caller frees it
 * with free(). NULL with CT_ERR_MEMORY. */
char *ct_vocab_decode(const ct_vocab *v, const int32_t *ids, size_t count);

/* ---- corpora ---- */

/* A text as token ids, with its vocabulary. */
typedef struct ct_corpus ct_corpus;

typedef struct ct_corpus_options {
    ct_clean clean;
    ct_vocab_options vocab;
    /* keep only this many ids; the vocabulary is that of the whole text; 0: all */
    int64_t max_tokens;
    const ct_vocab *known; /* use this vocabulary and ignore .vocab, for example for a validation
                            * text; it must stay alive as long as the corpus */
} ct_corpus_options;

/* Cleans and tokenises a text. The caller frees the corpus; text and options may be freed before
 * it. CT_ERR_FORMAT if the cleaned text is empty or blank. CT_ERR_ARGUMENT as ct_vocab_new.
 * CT_ERR_MEMORY. */
ct_corpus *ct_corpus_new(const ct_text *text, ct_corpus_options options);
void ct_corpus_free(ct_corpus *c); /* NULL is allowed */

/* The properties of a corpus. For NULL these return NULL, 0, "" or CT_CLEAN_TEXT. */

/* The vocabulary of the ids. It belongs to the corpus, unless the options gave it as .known. */
const ct_vocab *ct_corpus_vocab(const ct_corpus *c);
int64_t ct_corpus_size(const ct_corpus *c); /* number of ids */
/* The ids, in the order of the text. They belong to the corpus and are valid until it is freed. */
const int32_t *ct_corpus_ids(const ct_corpus *c);
ct_clean ct_corpus_clean(const ct_corpus *c); /* how the text was cleaned */

/* The length of the part of the cleaned text that the ids cover, with the spaces between words. */
int64_t ct_corpus_characters(const ct_corpus *c); /* code points */
int64_t ct_corpus_bytes(const ct_corpus *c);

/* The number of ids that are <unk>. */
int64_t ct_corpus_unknown(const ct_corpus *c);

/* The SHA-256 of the text before cleaning, as 64 hexadecimal digits. */
const char *ct_corpus_sha256(const ct_corpus *c);

/* The number of bytes of the text that are not valid UTF-8. If it is not 0 and the tokens are not
 * bytes, a program should warn its user. */
int64_t ct_corpus_invalid_bytes(const ct_corpus *c);

#ifdef __cplusplus
}
#endif
#endif
