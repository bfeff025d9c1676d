/* SPDX-License-Identifier: MIT */
/* npy.h - files of one tensor in NumPy's format, which np.save writes and np.load reads.
 *
 * Versions 1.0 and 2.0. dtypes: f32 '<f4', f64 '<f8', i32 '<i4', i64 '<i8', bool '|b1'; no others.
 * Big-endian files ('>f4') are read, too. Files are written little-endian on every processor. */
#ifndef COTANGENT_TENSOR_NPY_H
#define COTANGENT_TENSOR_NPY_H

#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Reads the file at path into a contiguous tensor of the innermost scope, on a device. Files in
 * Fortran order are converted. NULL with an error: CT_ERR_ARGUMENT if path is NULL, CT_ERR_IO,
 * CT_ERR_FORMAT (the message has the offset in the file; the file must end with its last element),
 * CT_ERR_DTYPE for another dtype, CT_ERR_SHAPE for a rank above CT_MAX_RANK, CT_ERR_MEMORY. */
ct_tensor *ct_npy_read(const char *path, ct_device device);

/* Writes t, of any shape and strides and on any device, to the file at path. Atomic: whatever
 * fails, path holds the old file or the complete new one. Does nothing while an error is recorded.
 * Raises CT_ERR_DTYPE for bf16, which NumPy does not have; CT_ERR_IO, CT_ERR_MEMORY,
 * CT_ERR_ARGUMENT if an argument is NULL. */
ct_status ct_npy_write(const char *path, ct_tensor *t) CT_WARN_UNUSED;

#ifdef __cplusplus
}
#endif
#endif
