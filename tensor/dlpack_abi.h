/* SPDX-License-Identifier: MIT */
/* dlpack_abi.h - the structs of DLPack 1, by which libraries exchange tensors. (internal)
 *
 * The layout is that of https://dmlc.github.io/dlpack/latest/c_api.html. The tags of the two
 * structs that programs see are DLPack's own; the other names are ours. */
#ifndef COTANGENT_TENSOR_DLPACK_ABI_H
#define COTANGENT_TENSOR_DLPACK_ABI_H

#include <stddef.h>
#include <stdint.h>

#include <cotangent/tensor/dlpack.h>

#define CTI_DLPACK_MAJOR 1u
#define CTI_DLPACK_MINOR 0u

enum { CTI_DLPACK_CPU = 1 }; /* kinds of devices */

enum { /* kinds of dtypes */
       CTI_DLPACK_INT = 0,
       CTI_DLPACK_FLOAT = 2,
       CTI_DLPACK_BFLOAT = 4,
       CTI_DLPACK_BOOL = 6
};

enum { CTI_DLPACK_READ_ONLY = 1, CTI_DLPACK_COPIED = 2 }; /* flags */

typedef struct cti_dlpack_version {
    uint32_t major, minor;
} cti_dlpack_version;

typedef struct cti_dlpack_device {
    int32_t type, id;
} cti_dlpack_device;

typedef struct cti_dlpack_dtype {
    uint8_t code, bits;
    uint16_t lanes;
} cti_dlpack_dtype;

typedef struct cti_dlpack_tensor {
    void *data;
    cti_dlpack_device device;
    int32_t rank;
    cti_dlpack_dtype dtype;
    int64_t *shape, *strides; /* strides in elements; NULL: row-major */
    uint64_t byte_offset;     /* from data to the first element */
} cti_dlpack_tensor;

struct DLManagedTensor {
    cti_dlpack_tensor tensor;
    void *context;
    void (*deleter)(struct DLManagedTensor *self); /* or NULL */
};

struct DLManagedTensorVersioned {
    cti_dlpack_version version; /* the members after it may differ in another major version */
    void *context;
    void (*deleter)(struct DLManagedTensorVersioned *self); /* or NULL */
    uint64_t flags;
    cti_dlpack_tensor tensor;
};

_Static_assert(offsetof(struct DLManagedTensorVersioned, tensor) == 16 + 2 * sizeof(void *),
               "the struct is that of DLPack");

#endif
