/* SPDX-License-Identifier: MIT */
/* buffer.c - growing text. */
#include "tensor/internal.h"

#include "tensor/atomic_file.h"
#include "tensor/buffer.h"
#include "tensor/hooks.h"
#include "tensor/text.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void cti_buffer_add(cti_buffer *b, const void *bytes, size_t size)
{
    if (b->failed)
        return;
    if (size >= b->room - b->size) {
        size_t room = (b->room < 500 ? 500 : b->room) + b->size + size + 1;
        char *more = cti_realloc(b->bytes, b->size, room);

        if (!more) {
            b->failed = true;
            return;
        }
        b->bytes = more;
        b->room = room;
    }
    memcpy(b->bytes + b->size, bytes, size);
    b->size += size;
    b->bytes[b->size] = '\0';
}

void cti_buffer_print(cti_buffer *b, const char *format, ...)
{
    char line[2000];
    va_list args;
    int n;

    va_start(args, format);
    n = cti_format_list(line, sizeof line, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= sizeof line)
        b->failed = true;
    else
        cti_buffer_add(b, line, (size_t)n);
}

static void buffer_add_formatted(cti_buffer *b, const char *format, int digits, double x)
{
    if (isfinite(x))
        cti_buffer_print(b, format, digits, x);
    else
        cti_buffer_print(b, "%s", isnan(x) ? "nan" : x > 0 ? "inf" : "-inf");
}

void cti_buffer_number(cti_buffer *b, double x)
{
    char text[40];
    int digits = 1;

    if (fabs(x) < 1e15 && x == floor(x)) { /* whole numbers as digits: 10, not 1e+01 */
        cti_buffer_fixed(b, x, 0);
        return;
    }
    do
        snprintf(text, sizeof text, "%.*g", digits, x);
    while (isfinite(x) && strtod(text, NULL) != x && ++digits <= 17);
    buffer_add_formatted(b, "%.*g", digits, x);
}

void cti_buffer_digits(cti_buffer *b, double x, int significant)
{
    buffer_add_formatted(b, "%.*g", significant, x);
}

void cti_buffer_fixed(cti_buffer *b, double x, int decimals)
{
    buffer_add_formatted(b, "%.*f", decimals, x);
}

void cti_buffer_free(cti_buffer *b)
{
    cti_release(b->bytes);
    *b = (cti_buffer){ 0 };
}

ct_status cti_buffer_save(const cti_buffer *b, const char *function, const char *path)
{
    cti_atomic_file f;

    if (b->failed)
        return ct_raise(CT_ERR_MEMORY, function, "%.500s: out of memory", path);
    if (!cti_atomic_begin(&f, function, path))
        return ct_error();
    if (cti_atomic_write(&f, b->bytes, b->size))
        cti_atomic_commit(&f);
    else
        cti_atomic_abort(&f);
    return ct_error();
}
