/* SPDX-License-Identifier: MIT */
/* stream_internal.h - calls of the functions of readers and writers. (internal) */
#ifndef COTANGENT_TENSOR_STREAM_INTERNAL_H
#define COTANGENT_TENSOR_STREAM_INTERNAL_H

#include <stdbool.h>

#include <cotangent/tensor/stream.h>

/* On failure, return false with the error that the table's function raised; if it raised none,
 * raise CT_ERR_IO, which names `function`. The caller must check that the range is within the
 * reader's size. */
bool cti_stream_write(const ct_writer *w, const char *function, const void *bytes, size_t size);
bool cti_stream_read(const ct_reader *r, const char *function, uint64_t offset, void *buffer,
                     size_t size);

#endif
