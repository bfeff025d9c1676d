/* SPDX-License-Identifier: MIT */
/* model_notes.h - notes about a language model: names with numbers or texts. (internal) */
#ifndef COTANGENT_TRAIN_MODEL_NOTES_H
#define COTANGENT_TRAIN_MODEL_NOTES_H

#include "tensor/buffer.h"
#include "tensor/json.h"

typedef struct cti_note {
    char *what, *text; /* text is NULL for a number */
    double number;
} cti_note;

typedef struct cti_notes {
    cti_note *at; /* in the order in which their names were first added */
    size_t count, room;
} cti_notes;

/* Sets a note to text or, if text is NULL, to number. Replaces a note of the same name. Both texts
 * are copied. False with CT_ERR_MEMORY, which names `function`; the notes are then unchanged. */
bool cti_notes_set(cti_notes *n, const char *function, const char *what, const char *text,
                   double number);

/* Adds the notes to b as a JSON object. */
void cti_notes_write(const cti_notes *n, cti_buffer *b);

void cti_notes_free(cti_notes *n);

#endif
