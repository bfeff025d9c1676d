/* tokens.h - cutting a text into tokens, a table of tokens, vocabularies. (internal) */
#ifndef COTANGENT_DATA_TOKENS_H
#define COTANGENT_DATA_TOKENS_H

#include <cotangent/data/vocab.h>

/* The next token of a text: the length of the one that begins at *at, after white space where
 * words are wanted (*at is moved past it); 0 at the end. */
size_t cti_next_token(ct_token_kind kind, const char *s, size_t size, size_t *at);

typedef struct cti_token_entry {
    char *token; /* with a NUL after its size bytes */
    size_t size;
    int64_t count;
} cti_token_entry;

/* Tokens, each once, numbered in the order in which they were added. */
typedef struct cti_token_table {
    cti_token_entry *entries;
    int size, room;
    int32_t *slots;       /* number + 1 of the token whose hash leads there; 0: free */
    size_t slot_count;    /* a power of two */
    int32_t of_byte[256]; /* number + 1 of the tokens of one byte */
} cti_token_table;

/* The number of a token; -1 if it is not there. */
int cti_token_table_find(const cti_token_table *t, const char *token, size_t size);

/* The same, added with a count of 0 if it is not there; -1 when memory is out (no error raised). */
int cti_token_table_add(cti_token_table *t, const char *token, size_t size);

void cti_token_table_clear(cti_token_table *t);

/* Makes the numbers those of the places in entries, which the caller has put in another order. */
void cti_token_table_renumber(cti_token_table *t);

/* ---- the parts of ct_vocab_new, for ct_corpus_new to call ---- */

/* False, with the error, for options that cannot be. */
bool cti_vocab_check(const char *function, const ct_vocab_options *o);

/* A vocabulary with options that have been checked. NULL with CT_ERR_MEMORY. */
ct_vocab *cti_vocab_new(const char *function, const char *s, size_t size,
                        const ct_vocab_options *o);

#endif
