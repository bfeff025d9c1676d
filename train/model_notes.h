/* model_notes.h - what is noted about a language model: names with numbers or texts. (internal) */
#ifndef COTANGENT_TRAIN_MODEL_NOTES_H
#define COTANGENT_TRAIN_MODEL_NOTES_H

#include "tensor/buffer.h"
#include "tensor/json.h"

typedef struct cti_note {
    char *what, *text; /* text is NULL for a number */
    double number;
} cti_note;

typedef struct cti_notes {
    cti_note *at; /* in the order in which they were first noted */
    size_t count, room;
} cti_notes;

/* Notes text or, if it is NULL, a number; replaces a note of the same name. Both texts are copied.
 * False with CT_ERR_MEMORY in function's name; the notes are unchanged then. */
bool cti_notes_set(cti_notes *n, const char *function, const char *what, const char *text,
                   double number);

/* Adds the notes to b as a JSON object. */
void cti_notes_write(const cti_notes *n, cti_buffer *b);

void cti_notes_free(cti_notes *n);

#endif
