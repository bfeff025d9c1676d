/* text.c - lines and quotes for messages, UTF-8, hexadecimal digits. */
#include "tensor/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void cti_line_add(cti_line *l, const char *format, ...)
{
    size_t room = sizeof l->s - l->n;
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(l->s + l->n, room, format, args);
    va_end(args);
    if (n > 0)
        l->n += (size_t)n < room ? (size_t)n : room - 1;
}

cti_quoted cti_quote(const char *text)
{
    cti_quoted q;
    size_t n = 0, i;

    q.s[n++] = '"';
    for (i = 0; text[i] && i < 100; i++)
        q.s[n++] = (unsigned char)text[i] < 0x20 || text[i] == 0x7f ? '?' : text[i];
    if (text[i]) { /* cut, but not within a character of UTF-8 */
        while (i > 0 && ((unsigned char)text[i] & 0xc0) == 0x80) {
            i--;
            n--;
        }
        memcpy(q.s + n, "...", 3);
        n += 3;
    }
    q.s[n++] = '"';
    q.s[n] = '\0';
    return q;
}

size_t cti_utf8_length(const char *text, size_t size)
{
    const unsigned char *s = (const unsigned char *)text;
    unsigned char low = 0x80, high = 0xBF; /* of the second byte */
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
        low = 0xA0; /* lower: overlong */
    else if (s[0] == 0xED)
        high = 0x9F; /* higher: surrogates */
    else if (s[0] == 0xF0)
        low = 0x90;
    else if (s[0] == 0xF4)
        high = 0x8F; /* higher: above U+10FFFF */
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
