/* SPDX-License-Identifier: MIT */
/* utf8.h - UTF-8 and, in builds with libutf8proc, other functions of Unicode. (internal)
 *
 * Bytes that are not valid UTF-8 are never an error: each counts as one character. */
#ifndef COTANGENT_DATA_UTF8_H
#define COTANGENT_DATA_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tensor/text.h"

/* Returns the length of the character at s: of a UTF-8 sequence, or 1 for an invalid byte. */
size_t cti_utf8_step(const char *s, size_t size);

/* The first returns the number of characters in size bytes, the second the number of invalid
 * bytes. */
int64_t cti_utf8_count(const char *s, size_t size);
int64_t cti_utf8_invalid(const char *s, size_t size);

/* True if the character of n bytes at s is white space, as for Python's str.isspace. */
bool cti_utf8_is_space(const char *s, size_t n);

/* True if this build has libutf8proc, which the functions below need. */
bool cti_has_unicode(void);

/* The length of the extended grapheme cluster at s (UAX 29): a character with its marks, a flag, a
 * family of emoji. */
size_t cti_grapheme_length(const char *s, size_t size);

/* Returns the text case folded (fully: one character may become several) and composed (NFC).
 * Invalid bytes are kept. With letters_only, each run of characters that are neither letters nor
 * marks on letters becomes one space. The caller frees the result with cti_release. NULL, without
 * an error raised, if memory runs out. */
char *cti_utf8_fold(const char *s, size_t size, bool letters_only, size_t *folded_size);

#endif
