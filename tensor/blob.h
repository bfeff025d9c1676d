/* blob.h - tensors over memory that is the caller's.
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

typedef struct ct_blob_options {
    const int64_t *strides; /* in elements, one for each axis, at least 0; NULL: row-major */
    bool writable;          /* false: a write through the tensor raises CT_ERR_ARGUMENT */
    /* Optional. Frees the memory. context may be NULL. It may be called on any thread, and must not
     * leave a scope open. */
    void (*deleter)(void *data, void *context);
    void *context;
} ct_blob_options;

/* A tensor of the innermost scope over the bytes bytes at data, which are on the CPU. Nothing is
 * copied. PyTorch's torch.from_blob, with the size that C needs.
 *
 * Without a deleter the memory is borrowed. It must stay valid, and unless ct_data_changed reports
 * it, unchanged, until the scope ends. No tensor refers to it afterwards: ct_keep and whatever else
 * keeps the values (a state, a gradient) makes a copy; what still refers to the memory when the scope
 * ends gets a copy then. If there is no memory for that copy, ct_scope_end returns CT_ERR_MEMORY, and
 * the caller's memory stays in use.
 *
 * With a deleter the tensors share the memory as they share any other. The deleter is called exactly
 * once: when the last tensor, view and history that uses the memory is gone, on the thread where that
 * happens; or at once, if this function fails.
 *
 * A tensor over a blob may require a gradient. In-place writes need .writable, and strides by which
 * no two elements share memory; they reach the caller's memory.
 *
 * Raises CT_ERR_SHAPE if shape and strides reach beyond bytes; CT_ERR_ARGUMENT if data is NULL though
 * the shape has elements, is not aligned to the dtype, or holds a bool that is neither 0 nor 1, and
 * for a negative stride; CT_ERR_DTYPE, CT_ERR_MEMORY, CT_ERR_SCOPE. */
ct_tensor *ct_from_blob(const void *data, size_t bytes, ct_shape shape, ct_dtype dtype,
                        ct_blob_options options);

/* Reports that the caller changed the memory of t, of ct_from_blob or through the pointer of
 * ct_mutable_data. History that needs the old values is then refused by backward (CT_ERR_GRAD), as
 * after an in-place write. Raises CT_ERR_SCOPE if t is dead. */
void ct_data_changed(ct_tensor *t);

#ifdef __cplusplus
}
#endif
#endif
