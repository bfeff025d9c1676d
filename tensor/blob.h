/* SPDX-License-Identifier: MIT */
/* blob.h - tensors over memory that the caller owns.
 *
 * An audio callback that runs a model on the host's buffer, without a copy of it:
 *
 *     void process(effect *e, const float *in, float *out, size_t frames)
 *     {
 *         ct_scope s = ct_scope_begin_inference();
 *         ct_tensor *x = ct_from_blob(in, frames * sizeof *in, CT_SHAPE((int64_t)frames, 1), CT_F32,
 *                                     (ct_blob_options){ 0 });
 *
 *         ct_to_host(ct_forward(e->model, x), out, frames * sizeof *out);
 *         if (ct_scope_end(s) != CT_OK)
 *             ct_error_clear();
 *     } */
#ifndef COTANGENT_TENSOR_BLOB_H
#define COTANGENT_TENSOR_BLOB_H

#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Options of ct_from_blob. */
typedef struct ct_blob_options {
    const int64_t *strides; /* in elements, one for each axis, at least 0; NULL: row-major */
    bool writable;          /* false: a write through the tensor raises CT_ERR_ARGUMENT */
    /* Optional. Frees the memory. context may be NULL. It may be called on any thread, and must not
     * leave a scope open. */
    void (*deleter)(void *data, void *context);
    void *context;
} ct_blob_options;

/* Makes a tensor of the innermost scope over the memory at data, which is on the CPU and has
 * `bytes` bytes. Nothing is copied. Like PyTorch's torch.from_blob, with the size of the memory as
 * a further argument.
 *
 * Without a deleter the memory is borrowed until the scope ends. It must stay valid until then, and
 * must not change unless ct_data_changed reports the change. No tensor refers to it after the
 * scope: ct_keep, states and gradients copy the values, and a tensor that still refers to the
 * memory when the scope ends gets a copy. If the memory for that copy is missing, ct_scope_end
 * returns CT_ERR_MEMORY, and the tensor still refers to the caller's memory.
 *
 * With a deleter, tensors may use the memory after the scope. The deleter is called exactly once,
 * on the thread that frees the last tensor, view or history that uses the memory; or at once, if
 * this function fails.
 *
 * A tensor over a blob may require a gradient. In-place writes change the caller's memory. They
 * require .writable, and strides that let no two elements share memory.
 *
 * Raises CT_ERR_SHAPE if an element lies beyond `bytes`; CT_ERR_ARGUMENT if data is NULL and the
 * shape has elements, if data is not aligned to the dtype, if a bool is neither 0 nor 1, and for a
 * negative stride; CT_ERR_DTYPE for an unknown dtype; CT_ERR_MEMORY; CT_ERR_SCOPE. */
ct_tensor *ct_from_blob(const void *data, size_t bytes, ct_shape shape, ct_dtype dtype,
                        ct_blob_options options);

/* Reports that the caller changed the memory of t: memory given to ct_from_blob, or the memory that
 * ct_mutable_data returned. Backward then raises CT_ERR_GRAD for history that needs the old values,
 * as after an in-place write. Raises CT_ERR_SCOPE if t is dead. */
void ct_data_changed(ct_tensor *t);

#ifdef __cplusplus
}
#endif
#endif
