/* read_file.h - reading files of tensors: exact reads, and errors that name the offset. (internal)
 *
 * The files are little endian and read as they are, so this is for little-endian machines. */
#ifndef COTANGENT_TENSOR_READ_FILE_H
#define COTANGENT_TENSOR_READ_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cotangent/tensor/tensor.h>

#ifdef __BYTE_ORDER__
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "files of tensors need a byte swap");
#endif

typedef struct cti_read_file {
    char *path;
    int fd;
    uint64_t size;
} cti_read_file;

/* Opens a regular file. False with CT_ERR_IO, CT_ERR_MEMORY or CT_ERR_ARGUMENT (path is NULL),
 * and nothing to close. */
bool cti_read_open(cti_read_file *f, const char *function, const char *path);
void cti_read_close(cti_read_file *f);

/* Reads exactly size bytes at offset. False with CT_ERR_IO; CT_ERR_FORMAT if the file became
 * shorter since it was opened. */
bool cti_read_at(cti_read_file *f, const char *function, uint64_t offset, void *buffer,
                 size_t size);

/* Reads a tensor of the innermost scope from offset. A bool that is neither 0 nor 1 is
 * CT_ERR_FORMAT. */
ct_tensor *cti_read_tensor(cti_read_file *f, const char *function, uint64_t offset, ct_shape shape,
                           ct_dtype dtype, ct_device device);

/* Raises CT_ERR_FORMAT: "PATH: offset N: what is wrong". Returns false. */
bool cti_malformed(const cti_read_file *f, const char *function, uint64_t offset,
                   const char *format, ...) CT_PRINTF(4, 5);

/* Hands t's elements, row-major, to sink. False with an error, sink's own or one of memory. */
bool cti_each_bytes(ct_tensor *t, bool (*sink)(void *context, const void *bytes, size_t size),
                    void *context);

#endif
