/* SPDX-License-Identifier: MIT */
/* blob_internal.h - tensors over memory that the pool does not own. (internal) */
#ifndef COTANGENT_TENSOR_BLOB_INTERNAL_H
#define COTANGENT_TENSOR_BLOB_INTERNAL_H

#include "tensor/internal.h"

typedef struct cti_blob {
    void *data;
    ct_shape shape;
    int64_t stride[CT_MAX_RANK];
    ct_dtype dtype;
    bool limited; /* data has `limit` bytes; if false, the size is not known and not checked */
    size_t limit;
    bool
        writable; /* ignored if the strides make elements share memory: such a tensor is read-only */
    void (*deleter)(void *data, void *context); /* NULL: borrowed until the innermost scope ends */
    void *context;
} cti_blob;

/* Makes a tensor of the innermost scope over b, with the checks of ct_from_blob. NULL with an
 * error; the caller then still owns the memory, and the deleter has not been called. */
ct_tensor *cti_blob_new(const char *function, const cti_blob *b);

#endif
