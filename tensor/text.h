/* SPDX-License-Identifier: MIT */
/* text.h - text in messages and files: lines, quotes, UTF-8, hexadecimal digits. (internal) */
#ifndef COTANGENT_TENSOR_TEXT_H
#define COTANGENT_TENSOR_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include <cotangent/tensor/status.h>

/* Like vsnprintf, snprintf and fprintf, but in the C locale: a number has a decimal point whatever
 * the program's locale is. */
int cti_format_list(char *to, size_t size, const char *format, va_list args) CT_PRINTF(3, 0);
int cti_format(char *to, size_t size, const char *format, ...) CT_PRINTF(3, 4);
void cti_print(FILE *out, const char *format, ...) CT_PRINTF(2, 3);

/* Replaces characters that a terminal could take for a command by '?': each control character
 * (U+0000 to U+001F, U+007F to U+009F) and each byte that is not valid UTF-8. */
void cti_make_printable(char *text);

/* Prints text as cti_make_printable would change it. */
void cti_print_text(const char *text, FILE *out);

/* A line of text, built piece by piece. Text that does not fit is dropped. Begin with cti_line l =
 * { .n = 0 }. */
typedef struct cti_line {
    char s[1024];
    size_t n; /* the length of s */
} cti_line;
void cti_line_add(cti_line *l, const char *format, ...) CT_PRINTF(2, 3);

/* A text from a file or a caller, quoted for a message. It is made printable and cut to about 100
 * bytes; the cut never splits a character. */
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
