/* SPDX-License-Identifier: MIT */
/* buffer.h - text that grows, for files that are written whole. (internal) */
#ifndef COTANGENT_TENSOR_BUFFER_H
#define COTANGENT_TENSOR_BUFFER_H

#include <stdbool.h>
#include <stddef.h>

#include <cotangent/tensor/status.h>

/* Zero-initialise it to an empty text. `failed` is set when memory runs out; later additions do
 * nothing. */
typedef struct cti_buffer {
    char *bytes; /* NUL-terminated; NULL until text is added */
    size_t size, room;
    bool failed;
} cti_buffer;

void cti_buffer_add(cti_buffer *b, const void *bytes, size_t size);
void cti_buffer_print(cti_buffer *b, const char *format, ...) CT_PRINTF(2, 3);

/* Add a number with a decimal point, whatever the locale: cti_buffer_number with the fewest digits
 * that read back as x, cti_buffer_digits with a number of significant digits, cti_buffer_fixed with
 * a number of digits after the point. A number that is not finite becomes "nan" or "inf". */
void cti_buffer_number(cti_buffer *b, double x);
void cti_buffer_digits(cti_buffer *b, double x, int significant);
void cti_buffer_fixed(cti_buffer *b, double x, int decimals);

void cti_buffer_free(cti_buffer *b);

/* Writes the text to path, whole or not at all (tensor/atomic_file.h). Errors name `function`.
 * Raises CT_ERR_MEMORY if the buffer has failed. */
ct_status cti_buffer_save(const cti_buffer *b, const char *function, const char *path);

#endif
