/* entries.h - a description as a list of names with texts: what a checkpoint says of an optimiser
 * or a loader, and what a resumed run is compared with. (internal)
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
    cti_buffer lost; /* takes the value of an entry for which there is no memory */
} cti_entries;

/* Adds an entry and returns its value, empty, for the caller to write. Valid until the next entry
 * is added. Never NULL. */
cti_buffer *cti_entries_add(cti_entries *e, const char *format, ...) CT_PRINTF(2, 3);

/* True if memory ran out for a part of it; no error is raised. */
bool cti_entries_failed(const cti_entries *e);

void cti_entries_free(cti_entries *e);

#endif
