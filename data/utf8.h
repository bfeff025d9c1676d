/* utf8.h - UTF-8 and, in builds with libutf8proc, what else Unicode knows of characters. (internal)
 *
 * Bytes that are not valid UTF-8 are never an error: each counts as one character. */
#ifndef COTANGENT_DATA_UTF8_H
#define COTANGENT_DATA_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tensor/text.h"

/* The length of the character at s: a sequence, or one byte that is none. */
size_t cti_utf8_step(const char *s, size_t size);

/* Characters of size bytes; bytes of them that are not valid. */
int64_t cti_utf8_count(const char *s, size_t size);
int64_t cti_utf8_invalid(const char *s, size_t size);

/* True if the character of n bytes at s is white space: as Python's str.isspace. */
bool cti_utf8_is_space(const char *s, size_t n);

/* Whether this build has libutf8proc, which the rest needs. */
bool cti_has_unicode(void);

/* The length of the extended grapheme cluster at s (UAX 29): a character with its marks, a flag, a
 * family of emoji. */
size_t cti_grapheme_length(const char *s, size_t size);

/* Case folded (full: one character may become several) and composed (NFC); bytes that are not
 * valid stay. With letters_only each run of what is neither a letter nor a mark on one becomes one
 * space. To cti_release; NULL, without an error raised, when memory is out. */
char *cti_utf8_fold(const char *s, size_t size, bool letters_only, size_t *folded_size);

#endif
