/* SPDX-License-Identifier: MIT */
/* json_write.c - text as JSON. */
#include "tensor/json.h"

#include <string.h>

/* Returns the letter of the short escape of c, such as 'n'; 0 if c has no short escape. */
static char json_escape_letter(unsigned char c)
{
    switch (c) {
    case '"':
    case '\\':
        return (char)c;
    case '\b':
        return 'b';
    case '\f':
        return 'f';
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\t':
        return 't';
    }
    return 0;
}

void cti_json_add_text(cti_buffer *b, const char *text)
{
    const char *plain = text; /* the start of a run that needs no escapes */

    cti_buffer_add(b, "\"", 1);
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        char letter = json_escape_letter(c);

        if (!letter && c >= 0x20)
            continue;
        cti_buffer_add(b, plain, (size_t)(text - plain));
        if (letter)
            cti_buffer_print(b, "\\%c", letter);
        else
            cti_buffer_print(b, "\\u%04X", c);
        plain = text + 1;
    }
    cti_buffer_add(b, plain, (size_t)(text - plain));
    cti_buffer_add(b, "\"", 1);
}

void cti_json_add_key(cti_buffer *b, const char *key)
{
    if (b->size > 0 && b->bytes[b->size - 1] != '{')
        cti_buffer_add(b, ",", 1);
    cti_json_add_text(b, key);
    cti_buffer_add(b, ":", 1);
}
