/* SPDX-License-Identifier: MIT */
/* tokens.h - cutting a text into tokens, a table of tokens, vocabularies. (internal) */
#ifndef COTANGENT_DATA_TOKENS_H
#define COTANGENT_DATA_TOKENS_H

#include <cotangent/data/vocab.h>

/* Finds the next token of a text. Returns the length of the token that begins at *at; 0 at the end.
 * For words, *at is first moved past white space. */
size_t cti_next_token(ct_token_kind kind, const char *s, size_t size, size_t *at);

typedef struct cti_token_entry {
    char *token; /* followed by a NUL */
    size_t size;
    int64_t count;
} cti_token_entry;

/* Tokens, each once, numbered in the order in which they were added. */
typedef struct cti_token_table {
    cti_token_entry *entries;
    int size, room;
    int32_t *slots;       /* for each hash: number + 1 of the token; 0: the slot is free */
    size_t slot_count;    /* a power of two */
    int32_t of_byte[256]; /* number + 1 of each token of one byte; 0: none */
} cti_token_table;

/* Returns the number of a token; -1 if it is not in the table. */
int cti_token_table_find(const cti_token_table *t, const char *token, size_t size);

/* Returns the number of a token, which is added with a count of 0 if necessary; -1 if memory runs
 * out (no error is raised). */
int cti_token_table_add(cti_token_table *t, const char *token, size_t size);

void cti_token_table_clear(cti_token_table *t);

/* Renumbers the tokens after the caller has changed the order of entries. */
void cti_token_table_renumber(cti_token_table *t);

/* ---- the parts of ct_vocab_new, for ct_corpus_new to call ---- */

/* Checks the options; false with an error. */
bool cti_vocab_check(const char *function, const ct_vocab_options *o);

/* Makes a vocabulary. The options have been checked. NULL with CT_ERR_MEMORY. */
ct_vocab *cti_vocab_new(const char *function, const char *s, size_t size,
                        const ct_vocab_options *o);

#endif
