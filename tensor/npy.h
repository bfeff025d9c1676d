/* npy.h - one tensor a file, in NumPy's format (np.save, np.load), versions 1.0 and 2.0.
 *
 * dtypes: f32 '<f4', f64 '<f8', i32 '<i4', i64 '<i8', bool '|b1'; no others, no big-endian ones. */
#ifndef COTANGENT_TENSOR_NPY_H
#define COTANGENT_TENSOR_NPY_H

#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Reads a file into the innermost scope; contiguous, also from a file in Fortran's order. NULL with
 * CT_ERR_IO, CT_ERR_FORMAT (with the offset; a file must end where its elements do), CT_ERR_DTYPE
 * for another dtype, CT_ERR_SHAPE for a rank above CT_MAX_RANK, or CT_ERR_MEMORY. */
ct_tensor *ct_npy_read(const char *path, ct_device device);

/* Writes t (any shape and strides), whole or not at all: whatever fails, path holds the old file or
 * the new one. Does nothing while an error stands. CT_ERR_DTYPE for bf16, which NumPy has not;
 * CT_ERR_IO, CT_ERR_MEMORY, CT_ERR_ARGUMENT for a NULL. */
ct_status ct_npy_write(const char *path, ct_tensor *t) CT_WARN_UNUSED;

#ifdef __cplusplus
}
#endif
#endif
