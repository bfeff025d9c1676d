/* SPDX-License-Identifier: MIT */
/* entries.h - a list of names with values as text. (internal)
 *
 * A checkpoint describes its optimiser and its loader by such a list; a resumed run is compared
 * with it.
 *
 *     cti_entries e = { 0 };
 *
 *     cti_buffer_number(cti_entries_add(&e, "momentum"), 0.9);
 *     cti_buffer_print(cti_entries_add(&e, "group %d", 1), "%s", pattern);
 *     ... e.failed ...
 *     cti_entries_free(&e); */
#ifndef COTANGENT_TENSOR_ENTRIES_H
#define COTANGENT_TENSOR_ENTRIES_H

#include "tensor/buffer.h"

typedef struct cti_entry {
    cti_buffer name, value;
} cti_entry;

typedef struct cti_entries {
    cti_entry *at;
    size_t count, room;
    cti_buffer lost; /* receives the value of an entry that could not be allocated */
} cti_entries;

/* Adds an entry and returns its value, which is empty, for the caller to fill. The value is valid
 * until the next entry is added. Never returns NULL. */
cti_buffer *cti_entries_add(cti_entries *e, const char *format, ...) CT_PRINTF(2, 3);

/* True if memory ran out while an entry was added or filled. Raises no error. */
bool cti_entries_failed(const cti_entries *e);

void cti_entries_free(cti_entries *e);

#endif
