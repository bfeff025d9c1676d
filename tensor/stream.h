/* SPDX-License-Identifier: MIT */
/* stream.h - reads and writes files of tensors that are not at a path: in memory, in an archive, on
 * a socket. The library calls the functions of a table only during the call that receives the
 * table, on the same thread.
 *
 *     ct_memory_buffer b = { 0 };
 *
 *     if (ct_params_save_to(params, ct_memory_writer(&b)) == CT_OK)
 *         send(b.bytes, b.size);
 *     ct_memory_buffer_clear(&b);
 *
 *     ct_params_load_from(params, ct_memory_reader(model, sizeof model), (ct_load_options){ 0 }); */
#ifndef COTANGENT_TENSOR_STREAM_H
#define COTANGENT_TENSOR_STREAM_H

#include <stddef.h>
#include <stdint.h>

#include <cotangent/tensor/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A function of a table that fails must call ct_raise and return the status. If it returns a status
 * without raising an error, the library raises CT_ERR_IO. */
typedef struct ct_writer {
    /* Appends size bytes, 1 or more. */
    ct_status (*write)(void *self, const void *bytes, size_t size);
    void *self;
} ct_writer;

/* Where a file is read from. */
typedef struct ct_reader {
    /* Fills buffer with the size bytes, 1 or more, that begin at offset. The library never asks
     * beyond the size below. */
    ct_status (*read)(void *self, uint64_t offset, void *buffer, size_t size);
    void *self;
    uint64_t size;    /* the size of the whole file */
    const char *name; /* shown in messages in place of a path; NULL: "reader" */
} ct_reader;

/* A growing array of bytes. Zero-initialise it before the first use, and free it with
 * ct_memory_buffer_clear. */
typedef struct ct_memory_buffer {
    unsigned char *bytes;
    size_t size, room; /* size bytes are used; room are allocated */
} ct_memory_buffer;

/* A writer that appends to *buffer, which must outlive it. A write raises CT_ERR_MEMORY if memory
 * runs out, and CT_ERR_ARGUMENT if buffer is NULL. */
ct_writer ct_memory_writer(ct_memory_buffer *buffer);

/* Frees the bytes. The buffer is then empty and may be used again. NULL is allowed. */
void ct_memory_buffer_clear(ct_memory_buffer *buffer);

/* A reader of the size bytes at bytes, which must stay unchanged while it is used. A read raises
 * CT_ERR_ARGUMENT if bytes is NULL and size is not 0. */
ct_reader ct_memory_reader(const void *bytes, size_t size);

#ifdef __cplusplus
}
#endif
#endif
