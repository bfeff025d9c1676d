/* SPDX-License-Identifier: MIT */
/* csv_read.c - the syntax of CSV files (RFC 4180), as a state machine over a buffer.
 *
 * A quote begins a quoted value only if it is the first character of the value. In a quoted value,
 * two quotes mean one quote, and separators and line ends are text. */
#include "tensor/internal.h"

#include "data/csv_read.h"
#include "tensor/buffer.h"
#include "tensor/hooks.h"
#include "tensor/text.h"

#include <locale.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool cti_csv_refuse(const cti_csv_reader *r, int64_t line, const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    cti_format_list(text, sizeof text, format, args);
    va_end(args);
    ct_raise(CT_ERR_FORMAT, r->function, "%.400s:%lld: %s", r->file->path, (long long)line, text);
    return false;
}

/* ---- records ---- */

void cti_csv_begin(cti_csv_reader *r, uint64_t first, uint64_t end, int64_t line)
{
    r->next = first;
    r->end = end;
    r->from = r->filled = 0;
    r->line = line;
}

void cti_csv_end(cti_csv_reader *r)
{
    cti_release(r->buffer);
    r->buffer = NULL;
    r->room = 0;
}

/* Doubles the buffer; false with an error. */
static bool csv_read_grow(cti_csv_reader *r)
{
    size_t room = r->room ? 2 * r->room : 65536;
    char *more;

    if (r->room > CTI_CSV_MOST_BYTES)
        return cti_csv_refuse(r, r->line, "the row has more than %zu bytes; a quote may be missing",
                              CTI_CSV_MOST_BYTES);
    more = cti_realloc(r->buffer, r->room, room);
    if (!more) {
        cti_out_of_memory(r->function, room);
        return false;
    }
    r->buffer = more;
    r->room = room;
    return true;
}

/* Moves the unread bytes to the beginning of the buffer and reads more bytes after them. False with
 * an error. */
static bool csv_read_more(cti_csv_reader *r)
{
    size_t n;
    bool good;

    if (r->from) {
        memmove(r->buffer, r->buffer + r->from, r->filled - r->from);
        r->filled -= r->from;
        r->from = 0;
    }
    if (r->filled + 1 >= r->room && !csv_read_grow(r)) /* keep one byte free for a NUL */
        return false;
    n = r->room - r->filled - 1;
    if (n > r->end - r->next)
        n = (size_t)(r->end - r->next);
    pthread_mutex_lock(r->lock);
    good = cti_read_at(r->file, r->function, r->next, r->buffer + r->filled, n);
    pthread_mutex_unlock(r->lock);
    r->filled += n;
    r->next += n;
    return good;
}

/* The state of a scan for the end of a record. */
typedef struct csv_scan {
    size_t at;
    int64_t lines;
    bool begin, quoted; /* the scan is at the beginning of a value; inside quotes */
} csv_scan;

/* Continues the scan. Returns true if the record ends at s->at, with an LF; false at the end of the
 * buffer. */
static bool csv_read_scan(const cti_csv_reader *r, csv_scan *s)
{
    for (; s->at < r->filled; s->at++) {
        char c = r->buffer[s->at];

        if (c == '"' && (s->begin || s->quoted))
            s->quoted = !s->quoted; /* two quotes end and begin the quoted part, so they change
                                     * nothing */
        else if (c == '\n' && !s->quoted)
            return true;
        s->lines += c == '\n';
        s->begin =
            (c == r->separator || (s->begin && (c == ' ' || c == '\t')) || c == '"') && !s->quoted;
    }
    return false;
}

/* Reads the next record, also if it is blank. */
static int csv_read_record(cti_csv_reader *r, cti_csv_record *record)
{
    csv_scan s = { .at = r->from, .begin = true };
    bool ended;

    while (!(ended = csv_read_scan(r, &s)) && r->next < r->end) {
        s.at -= r->from;
        if (!csv_read_more(r))
            return -1;
        s.at += r->from;
    }
    if (!ended && s.at == r->from)
        return 0;
    *record = (cti_csv_record){ .bytes = r->buffer + r->from,
                                .size = s.at - r->from,
                                .offset = r->next - (r->filled - r->from),
                                .line = r->line };
    if (!ended && s.quoted) {
        cti_csv_refuse(r, r->line, "the file ends inside quotes");
        return -1;
    }
    r->line += s.lines + ended;
    r->from = s.at + ended;
    if (record->size && record->bytes[record->size - 1] == '\r')
        record->size--;
    return 1;
}

int cti_csv_next(cti_csv_reader *r, cti_csv_record *record)
{
    int found;

    do {
        found = csv_read_record(r, record);
    } while (found == 1 && !record->size);
    return found;
}

/* ---- cells ---- */

/* Removes the quotes of the value that begins at `from`; false if they are not closed correctly.
 * *end points after the value. */
static bool csv_read_unquote(char *from, char *stop, char **end)
{
    char *to = from, *at = from + 1;

    for (; at < stop; at++) {
        if (*at == '"' && (at + 1 == stop || at[1] != '"')) {
            *to = '\0';
            *end = at + 1;
            return true;
        }
        at += *at == '"';
        *to++ = *at;
    }
    return false;
}

/* Returns the value that begins at `at`; NULL if its quotes are wrong. *end points to the separator
 * after it. */
static char *csv_read_value(char *at, char *stop, char separator, char **end)
{
    char *text, *last;

    while (at < stop && (*at == ' ' || *at == '\t') && *at != separator)
        at++;
    text = at;
    if (at < stop && *at == '"') {
        if (!csv_read_unquote(at, stop, &at))
            return NULL;
        while (at < stop && (*at == ' ' || *at == '\t') && *at != separator)
            at++;
        *end = at;
        return at == stop || *at == separator ? text : NULL;
    }
    while (at < stop && *at != separator && *at != '"')
        at++;
    *end = at;
    if (at < stop && *at == '"')
        return NULL;
    for (last = at; last > text && (last[-1] == ' ' || last[-1] == '\t'); last--)
        ;
    if (last < at)
        *last = '\0';
    return text;
}

int64_t cti_csv_cut(const cti_csv_reader *r, const cti_csv_record *record, cti_csv_cell *cells,
                    int64_t most)
{
    char *at = record->bytes, *stop = at + record->size;
    int64_t n = 0;

    if (memchr(at, '\0', record->size)) {
        cti_csv_refuse(r, record->line, "the row has a NUL byte");
        return -1;
    }
    for (;; at++) {
        char *end, *text = csv_read_value(at, stop, r->separator, &end);

        if (!text) {
            cti_csv_refuse(r, record->line, "value %lld has a quote in the wrong place",
                           (long long)n + 1);
            return -1;
        }
        if (n < most)
            cells[n].text = text;
        n++;
        at = end;
        if (at == stop)
            break;
        *at = '\0';
    }
    *stop = '\0'; /* stop points to the end of the line, or to the free byte after the buffer's
                   * contents */
    return n;
}

/* ---- numbers ---- */

/* Converts a number if digits and the power of ten are exact doubles. The result is correct to the
 * last bit, because their product or quotient is rounded only once (Clinger, "How to read floating
 * point numbers accurately", PLDI 1990). */
static bool csv_read_exact(uint64_t digits, int exponent, double *x)
{
    static const double powers[] = { 1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                     1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                     1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22 };

    if (digits > (uint64_t)1 << 53 || exponent < -22 || exponent > 22)
        return false;
    *x = exponent < 0 ? (double)digits / powers[-exponent] : (double)digits * powers[exponent];
    return true;
}

/* Converts a number with strtod. The text is valid for strtod in the C locale; it is copied with
 * the decimal point of the program's locale. */
static bool csv_read_long(const char *text, char decimal, double *x)
{
    const char *point = localeconv()->decimal_point;
    cti_buffer b = { 0 };
    bool good;

    for (; *text; text++)
        if (*text == decimal)
            cti_buffer_add(&b, point, strlen(point));
        else
            cti_buffer_add(&b, text, 1);
    good = !b.failed && b.bytes;
    if (good)
        *x = strtod(b.bytes, NULL);
    cti_buffer_free(&b);
    return good && isfinite(*x);
}

bool cti_csv_number(const char *text, char decimal, double *x)
{
    const char *at = text + (*text == '-' || *text == '+');
    uint64_t digits = 0;
    int seen = 0, scale = 0, exponent = 0;
    bool point = false, small;

    for (; (*at >= '0' && *at <= '9') || (*at == decimal && !point); at++) {
        if (*at == decimal) {
            point = true;
            continue;
        }
        seen++;
        digits = digits < UINT64_MAX / 10 - 1 ? digits * 10 + (uint64_t)(*at - '0') : UINT64_MAX;
        scale -= point && scale > -1000;
    }
    if (!seen)
        return false;
    if (*at == 'e' || *at == 'E') {
        int sign = *++at == '-' ? -1 : 1;

        at += *at == '-' || *at == '+';
        if (*at < '0' || *at > '9')
            return false;
        for (; *at >= '0' && *at <= '9'; at++)
            exponent = exponent < 100000 ? exponent * 10 + (*at - '0') : exponent;
        exponent *= sign;
    }
    if (*at)
        return false;
    small = digits <= (uint64_t)1 << 53 && csv_read_exact(digits, exponent + scale, x);
    if (!small)
        return csv_read_long(text, decimal, x);
    if (*text == '-')
        *x = -*x;
    return true;
}
