/* SPDX-License-Identifier: MIT */
/* utf8.c - UTF-8 characters, and functions of Unicode that use libutf8proc. */
#include "tensor/internal.h"

#include "data/utf8.h"
#include "tensor/buffer.h"
#include "tensor/hooks.h"

#include <stdlib.h>
#include <string.h>

size_t cti_utf8_step(const char *s, size_t size)
{
    size_t n = cti_utf8_length(s, size);

    return n ? n : 1;
}

int64_t cti_utf8_count(const char *s, size_t size)
{
    int64_t count = 0;
    size_t i;

    for (i = 0; i < size; i += cti_utf8_step(s + i, size - i))
        count++;
    return count;
}

int64_t cti_utf8_invalid(const char *s, size_t size)
{
    int64_t invalid = 0;
    size_t i;

    for (i = 0; i < size; i += cti_utf8_step(s + i, size - i))
        invalid += cti_utf8_length(s + i, size - i) == 0;
    return invalid;
}

/* Returns the code point of a character of n bytes; -1 for an invalid byte. */
static int32_t utf8_code_point(const char *text, size_t n)
{
    static const unsigned char bits[] = { 0, 0x7F, 0x1F, 0x0F, 0x07 };
    const unsigned char *s = (const unsigned char *)text;
    int32_t c = s[0] & bits[n];
    size_t i;

    if (n == 1 && s[0] >= 0x80)
        return -1;
    for (i = 1; i < n; i++)
        c = c << 6 | (s[i] & 0x3F);
    return c;
}

bool cti_utf8_is_space(const char *s, size_t n)
{
    int32_t c = utf8_code_point(s, n);

    return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ||
           c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 ||
           c == 0x202F || c == 0x205F || c == 0x3000;
}

#ifdef CT_HAVE_UTF8PROC

#include <utf8proc.h>

bool cti_has_unicode(void)
{
    return true;
}

size_t cti_grapheme_length(const char *s, size_t size)
{
    size_t at = cti_utf8_length(s, size), n;
    utf8proc_int32_t state = 0;
    int32_t before, c;

    if (at == 0)
        return 1;
    for (before = utf8_code_point(s, at); at < size; at += n, before = c) {
        n = cti_utf8_length(s + at, size - at);
        if (n == 0)
            break;
        c = utf8_code_point(s + at, n);
        if (utf8proc_grapheme_break_stateful(before, c, &state))
            break;
    }
    return at;
}

/* Appends the folded form of n bytes. */
static void utf8_append_folded(cti_buffer *b, const char *s, size_t n)
{
    const utf8proc_option_t how = UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_CASEFOLD;
    utf8proc_uint8_t *folded;
    utf8proc_ssize_t length =
        utf8proc_map((const utf8proc_uint8_t *)s, (utf8proc_ssize_t)n, &folded, how);

    if (length >= 0) {
        cti_buffer_add(b, folded, (size_t)length);
        free(folded);
    } else {
        b->failed = true;
    }
}

/* True if a character of n bytes is kept. inside: the character before it was kept. */
static bool utf8_is_letter(const char *s, size_t n, bool inside)
{
    int32_t c = utf8_code_point(s, n);
    utf8proc_category_t kind = c < 0 ? UTF8PROC_CATEGORY_CN : utf8proc_category(c);

    return (kind >= UTF8PROC_CATEGORY_LU && kind <= UTF8PROC_CATEGORY_LO) ||
           (inside && kind >= UTF8PROC_CATEGORY_MN && kind <= UTF8PROC_CATEGORY_ME);
}

/* Drops all characters but letters in place; each run of others becomes one space. Returns the new
 * size. */
static size_t utf8_keep_letters(char *s, size_t size)
{
    size_t n = 0, i, step;
    bool inside = false;

    for (i = 0; i < size; i += step) {
        step = cti_utf8_step(s + i, size - i);
        inside = utf8_is_letter(s + i, step, inside);
        if (inside) {
            memmove(s + n, s + i, step);
            n += step;
        } else if (n == 0 || s[n - 1] != ' ') {
            s[n++] = ' ';
        }
    }
    s[n] = '\0';
    return n;
}

char *cti_utf8_fold(const char *s, size_t size, bool letters_only, size_t *folded_size)
{
    cti_buffer b = { 0 };
    size_t i = 0, end, n;

    cti_buffer_add(&b, "", 0);      /* so that an empty result is not NULL */
    while (!b.failed && i < size) { /* each turn takes a run of valid bytes, then a run of invalid
                                     * ones */
        for (end = i; end < size && (n = cti_utf8_length(s + end, size - end)); end += n)
            ;
        if (end > i)
            utf8_append_folded(&b, s + i, end - i);
        for (i = end; end < size && !cti_utf8_length(s + end, size - end); end++)
            ;
        cti_buffer_add(&b, s + i, end - i);
        i = end;
    }
    if (b.failed)
        cti_buffer_free(&b);
    *folded_size = b.bytes && letters_only ? utf8_keep_letters(b.bytes, b.size) : b.size;
    return b.bytes;
}

#else

bool cti_has_unicode(void)
{
    return false;
}

size_t cti_grapheme_length(const char *s, size_t size)
{
    return cti_utf8_step(s, size);
}

char *cti_utf8_fold(const char *s, size_t size, bool letters_only, size_t *folded_size)
{
    (void)s, (void)size, (void)letters_only;
    *folded_size = 0;
    return NULL;
}

#endif
