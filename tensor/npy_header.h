/* SPDX-License-Identifier: MIT */
/* npy_header.h - reads the header of an NPY file, for code that maps the file. (internal) */
#ifndef COTANGENT_TENSOR_NPY_HEADER_H
#define COTANGENT_TENSOR_NPY_HEADER_H

#include <stdbool.h>
#include <stdint.h>

#include <cotangent/tensor/tensor.h>

typedef struct cti_npy_header {
    ct_shape shape;
    ct_dtype dtype;
    bool fortran;    /* column-major */
    bool big_endian; /* the order of the bytes of each number */
    uint64_t begin, bytes;
} cti_npy_header;

/* Reads and checks the header of the file at path, and checks that the file has all the elements.
 * False with the errors of ct_npy_read. */
bool cti_npy_inspect(const char *path, cti_npy_header *h);

#endif
