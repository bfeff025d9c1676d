/* SPDX-License-Identifier: MIT */
/* safetensors.h - files of named tensors, in the safetensors format, which PyTorch users exchange.
 *
 *     ct_safetensors *f = ct_safetensors_open("model.safetensors");
 *     ct_tensor *w = ct_safetensors_get(f, "linear.weight", CT_CPU);
 *     ...
 *     ct_safetensors_close(f);
 *
 *     ct_safetensors_write("pair.safetensors", 2, (const char *const[]){ "w", "b" },
 *                          (ct_tensor *const[]){ w, b }, NULL)
 *
 * A file has three parts: 8 bytes, the length N of the header, little endian; N bytes of JSON; and
 * the payload. The header is
 *     {"NAME": {"dtype": "F32", "shape": [2, 3], "data_offsets": [BEGIN, END]}, ...,
 *      "__metadata__": {"KEY": "TEXT", ...}}
 * with offsets that count from the end of the header. The payload holds each tensor row-major and
 * little endian. https://huggingface.co/docs/safetensors has the rules. All are enforced: the
 * header has at most 100 MB and begins with a brace, no key occurs twice, and the tensors fill the
 * payload exactly, without gaps or overlaps.
 *
 * A file from an untrusted source is safe to open: one that breaks a rule is refused
 * (CT_ERR_FORMAT, with the offset in the file) before memory for a tensor is allocated. Also
 * refused: more than a million keys or four million values, shapes of more than 64 axes, keys that
 * contain a NUL, and unknown fields of a tensor.
 *
 * A file that ct_safetensors_write has written carries two digests in its metadata, both SHA-256 in
 * 64 lower-case hexadecimal digits:
 *   cotangent.payload_sha256  of the payload;
 *   cotangent.header_sha256   of the 8 bytes of the length and the N bytes of the header, in which
 *                             the 64 digits of this digest itself are replaced by zeros. The header
 *                             begins with {"__metadata__":{"cotangent.header_sha256":" and the digits.
 * A single flipped bit anywhere in such a file is always detected: in the length and the header by
 * ct_safetensors_open, in the payload by the first load. Any other damage is detected too, if it
 * leaves one of the two keys in the metadata. A file with neither key comes from another program
 * and has no digest to check. A file with one of the keys but without the start above is refused. A
 * program that writes the tensors of such a file again must drop both keys. */
#ifndef COTANGENT_TENSOR_SAFETENSORS_H
#define COTANGENT_TENSOR_SAFETENSORS_H

#include <cotangent/tensor/stream.h>
#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* An open file. Only one thread at a time may use it. */
typedef struct ct_safetensors ct_safetensors;

/* Opens the file at path and checks its header and the header's digest; reads no tensor. Free it by
 * ct_safetensors_close. NULL with CT_ERR_ARGUMENT if path is NULL, CT_ERR_IO, CT_ERR_FORMAT or
 * CT_ERR_MEMORY. A missing file is an error too: CT_ERR_IO stays recorded. For an optional file,
 * check first that it exists, or call ct_error_clear afterwards. */
ct_safetensors *ct_safetensors_open(const char *path);

/* Like ct_safetensors_open, but maps the file into memory. Tensors that are loaded to the CPU are
 * then not copied; they lie in the mapping. Bools, and tensors that are not aligned in the file,
 * are copied; so are all tensors on a big-endian processor. The mapping stays until f is closed and
 * the last tensor in it is freed. Writes to these tensors do not change the file. The first load
 * still reads the whole file to check its digest, if it has one. A file that is larger than the
 * addresses of a 32-bit processor is refused with CT_ERR_IO.
 *
 * While the mapping exists, no program may change the file in place; renaming a new file onto the
 * path is allowed. If the file becomes shorter, the next access kills the program with SIGBUS. For
 * files that other programs write, use ct_safetensors_open. */
ct_safetensors *ct_safetensors_open_mapped(const char *path);

/* Like ct_safetensors_open, but read from a reader, or from size bytes in memory. The struct of the
 * reader is copied. The reader's data, or the memory, must stay valid until the file is closed.
 * CT_ERR_ARGUMENT if the reader has no read function, or bytes is NULL. */
ct_safetensors *ct_safetensors_open_reader(ct_reader reader);
ct_safetensors *ct_safetensors_open_memory(const void *bytes, size_t size);

/* Closes the file. NULL is allowed. */
void ct_safetensors_close(ct_safetensors *f);

/* The number of tensors. For this function and the next five, a NULL f counts as a file without
 * tensors and metadata. */
int ct_safetensors_count(const ct_safetensors *f);

/* The name, shape and dtype of tensor i, in the order of the payload; valid until the file is
 * closed. NULL, or CT_SCALAR, if i is out of range. dtypes have the names of the format: "F32",
 * "F64", "I32", "I64", "BOOL" and "BF16" can be loaded; others, such as "F16" and "U8", cannot. */
const char *ct_safetensors_name(const ct_safetensors *f, int i);
ct_shape ct_safetensors_shape(const ct_safetensors *f, int i);
const char *ct_safetensors_dtype(const ct_safetensors *f, int i);

/* The number of the tensor with a name; -1 if there is none, and for a NULL name. */
int ct_safetensors_find(const ct_safetensors *f, const char *name);

/* The text of a key of the metadata, valid until the file is closed; NULL if there is none,
 * and for a NULL key. */
const char *ct_safetensors_metadata(const ct_safetensors *f, const char *key);

/* Reads tensor i from the file into a tensor of the innermost scope, on a device. If the metadata
 * have a digest of the payload, as files of ct_safetensors_write do, the first load reads the
 * whole file and checks it. NULL with an error: CT_ERR_DTYPE for a dtype that cannot be loaded,
 * CT_ERR_SHAPE for a rank above CT_MAX_RANK, CT_ERR_ARGUMENT if i is out of range, CT_ERR_FORMAT if
 * the digest differs or a BOOL is neither 0 nor 1, CT_ERR_IO, CT_ERR_MEMORY. */
ct_tensor *ct_safetensors_load(ct_safetensors *f, int i, ct_device device);

/* Like ct_safetensors_load, for the tensor with a name; CT_ERR_ARGUMENT if there is none or name is
 * NULL. */
ct_tensor *ct_safetensors_get(ct_safetensors *f, const char *name, ct_device device);

/* One entry of the metadata. */
typedef struct ct_metadata {
    const char *key, *value;
} ct_metadata;

/* Writes count tensors, of any shape, strides, dtype and device, under their names to the file at
 * path. Atomic: whatever fails, path holds the old file or the complete new one. metadata is an
 * array that ends with a pair of NULLs, or NULL. Three keys are added: "format": "pt", which PyTorch
 * requires, unless metadata has that key, and the two digests. The same tensors give the same bytes.
 * Does nothing while an error is recorded.
 *
 * Raises CT_ERR_ARGUMENT for a NULL argument, and for a name or key that occurs twice, is reserved,
 * or is not UTF-8; CT_ERR_IO; CT_ERR_MEMORY. */
ct_status ct_safetensors_write(const char *path, int count, const char *const *names,
                               ct_tensor *const *tensors,
                               const ct_metadata *metadata) CT_WARN_UNUSED;

/* Passes to writer the bytes that ct_safetensors_write would write. It is not atomic: after an
 * error the writer may have received a part of them. Raises the errors of ct_safetensors_write
 * except CT_ERR_IO, the writer's own errors, and CT_ERR_ARGUMENT if the writer has no write
 * function. */
ct_status ct_safetensors_write_to(ct_writer writer, int count, const char *const *names,
                                  ct_tensor *const *tensors,
                                  const ct_metadata *metadata) CT_WARN_UNUSED;

#ifdef __cplusplus
}
#endif
#endif
