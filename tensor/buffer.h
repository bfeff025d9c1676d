/* buffer.h - text that grows, for files that are written whole. (internal) */
#ifndef COTANGENT_TENSOR_BUFFER_H
#define COTANGENT_TENSOR_BUFFER_H

#include <stdbool.h>
#include <stddef.h>

#include <cotangent/tensor/status.h>

/* Zeros are an empty one. After failed (memory is out) nothing more is added. */
typedef struct cti_buffer {
    char *bytes; /* NUL-terminated, once anything was added */
    size_t size, room;
    bool failed;
} cti_buffer;

void cti_buffer_add(cti_buffer *b, const void *bytes, size_t size);
void cti_buffer_print(cti_buffer *b, const char *format, ...) CT_PRINTF(2, 3);

/* A number with a point, whatever the locale: the fewest digits that read back as x; or so many
 * significant ones; or so many after the point. "nan" and "inf" if the number is not finite. */
void cti_buffer_number(cti_buffer *b, double x);
void cti_buffer_digits(cti_buffer *b, double x, int significant);
void cti_buffer_fixed(cti_buffer *b, double x, int decimals);

void cti_buffer_free(cti_buffer *b);

/* Writes it to path, whole or not at all (tensor/atomic_file.h); raises in function's name, also
 * for a buffer that failed. */
ct_status cti_buffer_save(const cti_buffer *b, const char *function, const char *path);

#endif
