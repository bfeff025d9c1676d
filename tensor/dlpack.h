/* SPDX-License-Identifier: MIT */
/* dlpack.h - tensors shared with other libraries (NumPy, PyTorch, JAX) by DLPack.
 *
 * Both directions share memory and copy nothing. This header only declares DLPack's structs, so a
 * program may include DLPack's own header too. tests/dlpack.py shows both directions from Python.
 *
 *     struct DLManagedTensorVersioned *m;
 *
 *     if (ct_to_dlpack(ct_detach(w), (ct_dlpack_options){ 0 }, &m) == CT_OK)
 *         other_library_import(m);
 *     ct_tensor *t = ct_from_dlpack(other_library_export()); */
#ifndef COTANGENT_TENSOR_DLPACK_H
#define COTANGENT_TENSOR_DLPACK_H

#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

struct DLManagedTensor;          /* the struct of DLPack before 1.0 */
struct DLManagedTensorVersioned; /* the struct of DLPack 1 */

typedef struct ct_dlpack_options {
    bool writable; /* true: the consumer may write; false: the export is marked as read-only */
} ct_dlpack_options;

/* Exports t to *out, which shares t's memory. The consumer owns *out and frees it by the struct's
 * deleter, on any thread, before or after t's scope ends. If t's memory is borrowed (ct_from_blob
 * without a deleter), the export is a copy.
 *
 * .writable counts as an in-place write of t and has the same requirements. The library does not
 * notice later writes by the consumer; report them with ct_data_changed.
 *
 * *out is NULL after an error. Raises CT_ERR_GRAD if t requires a gradient or has history (export
 * ct_detach(t)), CT_ERR_DEVICE if t is not on the CPU, CT_ERR_ARGUMENT for a NULL and for .writable
 * where t's memory is read-only, CT_ERR_SHAPE for .writable of an expanded view, CT_ERR_MEMORY. */
ct_status ct_to_dlpack(ct_tensor *t, ct_dlpack_options options,
                       struct DLManagedTensorVersioned **out);

/* Like ct_to_dlpack, for consumers that know only the struct of DLPack before 1.0. That struct
 * cannot mark memory as read-only, so this function exports as with .writable. */
ct_status ct_to_dlpack_unversioned(ct_tensor *t, struct DLManagedTensor **out);

/* Makes a tensor of the innermost scope that shares m's memory, with m's shape and strides. On
 * success the library owns m and calls m's deleter once, on the thread that frees the last tensor,
 * view or history that uses the memory. After an error the caller still owns m.
 *
 * If m is marked as read-only, a write through the tensor raises CT_ERR_ARGUMENT. If another
 * library changes the memory, report it with ct_data_changed.
 *
 * Raises CT_ERR_ARGUMENT for NULL, another major version of DLPack, memory that is not aligned to
 * the dtype, a negative stride, and a bool that is neither 0 nor 1; CT_ERR_DEVICE if the memory is
 * not on the CPU; CT_ERR_DTYPE for a dtype that this library does not have; CT_ERR_SHAPE;
 * CT_ERR_MEMORY; CT_ERR_SCOPE. */
ct_tensor *ct_from_dlpack(struct DLManagedTensorVersioned *m);
ct_tensor *ct_from_dlpack_unversioned(struct DLManagedTensor *m);

#ifdef __cplusplus
}
#endif
#endif
