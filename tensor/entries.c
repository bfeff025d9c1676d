/* SPDX-License-Identifier: MIT */
/* entries.c - a description as a list of names with texts. */
#include "tensor/internal.h"

#include "tensor/entries.h"
#include "tensor/hooks.h"

#include <stdarg.h>
#include <stdio.h>

cti_buffer *cti_entries_add(cti_entries *e, const char *format, ...)
{
    char name[200];
    va_list args;

    if (e->count == e->room) {
        size_t more = e->room ? 2 * e->room : 16;
        cti_entry *at = cti_realloc(e->at, e->room * sizeof *at, more * sizeof *at);

        if (!at) {
            e->lost.failed = true;
            return &e->lost;
        }
        e->at = at;
        e->room = more;
    }
    va_start(args, format);
    vsnprintf(name, sizeof name, format, args);
    va_end(args);
    e->at[e->count] = (cti_entry){ .name = { 0 } };
    cti_buffer_print(&e->at[e->count].name, "%s", name);
    return &e->at[e->count++].value;
}

bool cti_entries_failed(const cti_entries *e)
{
    for (size_t i = 0; i < e->count; i++)
        if (e->at[i].name.failed || e->at[i].value.failed)
            return true;
    return e->lost.failed;
}

void cti_entries_free(cti_entries *e)
{
    while (e->count > 0) {
        e->count--;
        cti_buffer_free(&e->at[e->count].name);
        cti_buffer_free(&e->at[e->count].value);
    }
    cti_release(e->at);
    *e = (cti_entries){ 0 };
}
