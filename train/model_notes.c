/* SPDX-License-Identifier: MIT */
/* model_notes.c - notes about a language model. */
#include "tensor/internal.h"

#include "tensor/hooks.h"
#include "train/model_notes.h"

#include <string.h>

/* Returns the note with a name, which is added with a copy of the name if necessary. NULL with an
 * error. */
static cti_note *notes_find(cti_notes *n, const char *function, const char *what)
{
    size_t more = n->room ? 2 * n->room : 8;
    char *copy;

    for (size_t i = 0; i < n->count; i++)
        if (strcmp(n->at[i].what, what) == 0)
            return &n->at[i];
    if (n->count == n->room) {
        cti_note *at = cti_realloc(n->at, n->room * sizeof *at, more * sizeof *at);

        if (!at) {
            cti_out_of_memory(function, more * sizeof *at);
            return NULL;
        }
        n->at = at;
        n->room = more;
    }
    copy = cti_strdup(what);
    if (!copy) {
        cti_out_of_memory(function, strlen(what) + 1);
        return NULL;
    }
    n->at[n->count] = (cti_note){ .what = copy };
    return &n->at[n->count++];
}

bool cti_notes_set(cti_notes *n, const char *function, const char *what, const char *text,
                   double number)
{
    char *copy = text ? cti_strdup(text) : NULL;
    cti_note *note;

    if (text && !copy) {
        cti_out_of_memory(function, strlen(text) + 1);
        return false;
    }
    note = notes_find(n, function, what);
    if (!note) {
        cti_release(copy);
        return false;
    }
    cti_release(note->text);
    note->text = copy;
    note->number = number;
    return true;
}

void cti_notes_write(const cti_notes *n, cti_buffer *b)
{
    cti_buffer_add(b, "{", 1);
    for (size_t i = 0; i < n->count; i++) {
        cti_json_add_key(b, n->at[i].what);
        if (n->at[i].text)
            cti_json_add_text(b, n->at[i].text);
        else
            cti_buffer_number(b, n->at[i].number);
    }
    cti_buffer_add(b, "}", 1);
}

void cti_notes_free(cti_notes *n)
{
    while (n->count > 0) {
        n->count--;
        cti_release(n->at[n->count].what);
        cti_release(n->at[n->count].text);
    }
    cti_release(n->at);
    *n = (cti_notes){ 0 };
}
