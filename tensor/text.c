/* SPDX-License-Identifier: MIT */
/* text.c - lines and quotes for messages, UTF-8, hexadecimal digits. */
#include "tensor/text.h"

#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- formatting ---- */

/* Makes the C locale the thread's locale and returns the old one. If memory runs out, the locale
 * stays. */
static locale_t text_begin_c_locale(locale_t *c)
{
    *c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    return uselocale(*c);
}

static void text_end_c_locale(locale_t c, locale_t before)
{
    uselocale(before);
    if (c != (locale_t)0)
        freelocale(c);
}

int cti_format_list(char *to, size_t size, const char *format, va_list args)
{
    locale_t c, before = text_begin_c_locale(&c);
    int n = vsnprintf(to, size, format, args);

    text_end_c_locale(c, before);
    return n;
}

int cti_format(char *to, size_t size, const char *format, ...)
{
    va_list args;
    int n;

    va_start(args, format);
    n = cti_format_list(to, size, format, args);
    va_end(args);
    return n;
}

void cti_print(FILE *out, const char *format, ...)
{
    locale_t c, before = text_begin_c_locale(&c);
    va_list args;

    va_start(args, format);
    vfprintf(out, format, args);
    va_end(args);
    text_end_c_locale(c, before);
}

/* ---- printable text ---- */

/* Returns the length of the character or the invalid byte at text. *printable becomes false if it
 * must not be printed on a terminal. size is at least 1. */
static size_t text_step(const char *text, size_t size, bool *printable)
{
    const unsigned char *s = (const unsigned char *)text;
    size_t n = cti_utf8_length(text, size);
    bool c1 = n == 2 && s[0] == 0xC2 && s[1] < 0xA0;

    *printable = n > 0 && s[0] >= 0x20 && s[0] != 0x7F && !c1;
    return n ? n : 1;
}

void cti_make_printable(char *text)
{
    size_t size = strlen(text), n;
    char *to = text;
    bool printable;

    for (; size; text += n, size -= n) {
        n = text_step(text, size, &printable);
        if (printable)
            memmove(to, text, n);
        else
            *to = '?';
        to += printable ? n : 1;
    }
    *to = '\0';
}

void cti_print_text(const char *text, FILE *out)
{
    bool printable;

    for (size_t size = strlen(text), n; size; text += n, size -= n) {
        n = text_step(text, size, &printable);
        fwrite(printable ? text : "?", 1, printable ? n : 1, out);
    }
}

/* ---- lines and quotes ---- */

void cti_line_add(cti_line *l, const char *format, ...)
{
    size_t room = sizeof l->s - l->n;
    va_list args;
    int n;

    va_start(args, format);
    n = cti_format_list(l->s + l->n, room, format, args);
    va_end(args);
    if (n > 0)
        l->n += (size_t)n < room ? (size_t)n : room - 1;
}

cti_quoted cti_quote(const char *text)
{
    enum { MOST = 100 };
    size_t size = strnlen(text, MOST + 4), kept = 0, n;
    cti_quoted q = { "\"" };
    bool printable;

    for (; kept < size; kept += n) {
        n = text_step(text + kept, size - kept, &printable);
        if (kept + n > MOST)
            break;
    }
    memcpy(q.s + 1, text, kept);
    cti_make_printable(q.s);
    strcat(q.s, kept < size ? "...\"" : "\"");
    return q;
}

size_t cti_utf8_length(const char *text, size_t size)
{
    const unsigned char *s = (const unsigned char *)text;
    unsigned char low = 0x80, high = 0xBF; /* the allowed range of the second byte */
    size_t n = 1, i;

    if (s[0] < 0x80)
        return 1;
    if (s[0] >= 0xC2 && s[0] <= 0xDF)
        n = 2;
    else if (s[0] >= 0xE0 && s[0] <= 0xEF)
        n = 3;
    else if (s[0] >= 0xF0 && s[0] <= 0xF4)
        n = 4;
    if (n == 1 || n > size)
        return 0;
    if (s[0] == 0xE0)
        low = 0xA0; /* smaller bytes give an overlong form */
    else if (s[0] == 0xED)
        high = 0x9F; /* larger bytes give a surrogate */
    else if (s[0] == 0xF0)
        low = 0x90;
    else if (s[0] == 0xF4)
        high = 0x8F; /* larger bytes give a code point above U+10FFFF */
    if (s[1] < low || s[1] > high)
        return 0;
    for (i = 2; i < n; i++)
        if ((s[i] & 0xC0) != 0x80)
            return 0;
    return n;
}

bool cti_is_utf8(const char *text)
{
    size_t size = strlen(text), n = 1;

    for (; size > 0 && n > 0; text += n, size -= n)
        n = cti_utf8_length(text, size);
    return n > 0;
}

void cti_hex(const void *bytes, size_t size, char *hex)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *b = bytes;

    for (size_t i = 0; i < size; i++) {
        hex[2 * i] = digits[b[i] >> 4];
        hex[2 * i + 1] = digits[b[i] & 15];
    }
    hex[2 * size] = '\0';
}
