/* stream_internal.h - calls of the functions of readers and writers. (internal) */
#ifndef COTANGENT_TENSOR_STREAM_INTERNAL_H
#define COTANGENT_TENSOR_STREAM_INTERNAL_H

#include <stdbool.h>

#include <cotangent/tensor/stream.h>

/* False with an error: the table's own, or CT_ERR_IO of function if it raised none. The reader's size
 * is the caller's to check. */
bool cti_stream_write(const ct_writer *w, const char *function, const void *bytes, size_t size);
bool cti_stream_read(const ct_reader *r, const char *function, uint64_t offset, void *buffer,
                     size_t size);

#endif
