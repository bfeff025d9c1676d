/* text.h - text in messages and files: lines, quotes, UTF-8, hexadecimal digits. (internal) */
#ifndef COTANGENT_TENSOR_TEXT_H
#define COTANGENT_TENSOR_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include <cotangent/tensor/status.h>

/* A line of text that is put together piece by piece. What does not fit is left out. Begin with
 * cti_line l = { .n = 0 }. */
typedef struct cti_line {
    char s[1024];
    size_t n; /* the length of s */
} cti_line;
void cti_line_add(cti_line *l, const char *format, ...) CT_PRINTF(2, 3);

/* A text from a file or a caller, quoted for a message. At most about 100 bytes are kept, and a
 * character is never cut in two. Control characters become '?'. */
typedef struct cti_quoted {
    char s[120];
} cti_quoted;
cti_quoted cti_quote(const char *text);

/* Returns the length of the UTF-8 sequence at s, or 0 if the bytes are not valid UTF-8: overlong
 * forms, surrogates and code points above U+10FFFF are invalid (The Unicode Standard, table 3-7).
 * size must be at least 1. */
size_t cti_utf8_length(const char *s, size_t size);

/* True if the whole text is valid UTF-8. */
bool cti_is_utf8(const char *text);

/* Writes 2 size lower-case hexadecimal digits and a NUL to hex. */
void cti_hex(const void *bytes, size_t size, char *hex);

#endif
