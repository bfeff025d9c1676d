/* SPDX-License-Identifier: MIT */
/* read_file.h - reading files of tensors, and the messages about malformed ones. (internal)
 *
 * The numbers of a file are little-endian (tensor/byte_order.h) unless big_endian is set. */
#ifndef COTANGENT_TENSOR_READ_FILE_H
#define COTANGENT_TENSOR_READ_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tensor/byte_order.h"

#include <cotangent/tensor/stream.h>
#include <cotangent/tensor/tensor.h>

typedef struct cti_read_file {
    char *path; /* for messages, if there is a reader */
    int fd;
    uint64_t size;
    const char *map;  /* the whole file in memory, or NULL; the owner of the mapping unmaps it */
    ct_reader reader; /* read is NULL for a file */
    bool big_endian; /* the order of the numbers that cti_read_tensor reads; set it after opening */
} cti_read_file;

/* Opens a regular file. function names the caller in errors. False with CT_ERR_IO, CT_ERR_MEMORY or
 * CT_ERR_ARGUMENT (path is NULL); f then needs no close. */
bool cti_read_open(cti_read_file *f, const char *function, const char *path);
void cti_read_close(cti_read_file *f);

/* The same for a reader, which is copied. False with CT_ERR_ARGUMENT or CT_ERR_MEMORY. */
bool cti_read_open_reader(cti_read_file *f, const char *function, const ct_reader *reader);

/* Reads exactly size bytes at offset. False with CT_ERR_IO, or CT_ERR_FORMAT if the file has become
 * shorter since it was opened. */
bool cti_read_at(cti_read_file *f, const char *function, uint64_t offset, void *buffer,
                 size_t size);

/* Maps the whole open file to *base, of f->size bytes, which must not be 0. Writes to the mapping stay
 * private to it. The bytes are those of the file, in its order. False with CT_ERR_IO, also if the file
 * is larger than memory can be. */
bool cti_read_map(cti_read_file *f, const char *function, void **base);

/* Reads a tensor at offset into the innermost scope. NULL with an error; CT_ERR_FORMAT for a bool
 * that is neither 0 nor 1. */
ct_tensor *cti_read_tensor(cti_read_file *f, const char *function, uint64_t offset, ct_shape shape,
                           ct_dtype dtype, ct_device device);

/* Raises CT_ERR_FORMAT with the message "PATH: offset N: ..."; returns false. */
bool cti_malformed(const cti_read_file *f, const char *function, uint64_t offset,
                   const char *format, ...) CT_PRINTF(4, 5);

/* Calls sink once with all elements of t, row-major, in host memory; if t has no elements, sink is
 * not called. Returns what sink returns; false with an error if memory runs out. */
bool cti_each_bytes(ct_tensor *t, cti_byte_sink *sink, void *context);

/* The same in the byte order of files; sink may be called several times. */
bool cti_each_bytes_of_file(ct_tensor *t, cti_byte_sink *sink, void *context);

#endif
