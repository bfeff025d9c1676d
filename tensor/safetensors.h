/* safetensors.h - files of named tensors, in the safetensors format that PyTorch's users exchange.
 *
 *     ct_safetensors *f = ct_safetensors_open("model.safetensors");
 *     ct_tensor *w = ct_safetensors_get(f, "linear.weight", CT_CPU);
 *     ...
 *     ct_safetensors_close(f);
 *
 *     ct_safetensors_write("pair.safetensors", 2, (const char *const[]){ "w", "b" },
 *                          (ct_tensor *const[]){ w, b }, NULL)
 *
 * A file is 8 bytes, the length N of the header (little endian); N bytes of JSON, {"NAME":
 * {"dtype": "F32", "shape": [2, 3], "data_offsets": [BEGIN, END]}, ..., "__metadata__": {"KEY":
 * "TEXT", ...}}, offsets counting from the header's end; then the payload: each tensor row-major
 * and little endian. https://huggingface.co/docs/safetensors has the rules, and all are kept: a
 * header of at most 100 MB that begins with a brace, no key twice, and a payload that the tensors
 * fill exactly, without gap, overlap or rest.
 *
 * Files may come from anyone: one that breaks a rule is refused (CT_ERR_FORMAT), with the offset in
 * the file, before memory for any tensor is asked for. Refused too, though no rule says so: more
 * than a million keys, shapes of more than 64 axes, keys that hold a NUL, and fields of a tensor
 * that the format does not know. */
#ifndef COTANGENT_TENSOR_SAFETENSORS_H
#define COTANGENT_TENSOR_SAFETENSORS_H

#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ct_safetensors ct_safetensors; /* an open file; for one thread at a time */

/* Opens a file and checks its header; reads no tensor. Yours to ct_safetensors_close. NULL with
 * CT_ERR_IO, CT_ERR_FORMAT or CT_ERR_MEMORY. */
ct_safetensors *ct_safetensors_open(const char *path);
void ct_safetensors_close(ct_safetensors *f); /* NULL is allowed */

/* How many tensors it holds, and tensor i's name, shape and dtype; i counts in the order of the
 * payload. Valid until the file is closed; NULL, or CT_SCALAR, for an i that is not there. dtypes
 * go by the format's names: "F32" "F64" "I32" "I64" "BOOL" "BF16", which can be loaded, and others
 * ("F16", "U8", ...), which cannot. */
int ct_safetensors_count(const ct_safetensors *f);
const char *ct_safetensors_name(const ct_safetensors *f, int i);
ct_shape ct_safetensors_shape(const ct_safetensors *f, int i);
const char *ct_safetensors_dtype(const ct_safetensors *f, int i);

/* The tensor of a name; -1 if there is none. */
int ct_safetensors_find(const ct_safetensors *f, const char *name);

/* The text of a key of the metadata; NULL if there is none. */
const char *ct_safetensors_metadata(const ct_safetensors *f, const char *key);

/* Reads tensor i, or the one of a name, into the innermost scope. Of a file whose metadata hold its
 * payload's SHA-256 (as ct_safetensors_write's do) the first load checks that, reading it whole.
 * CT_ERR_DTYPE for a dtype that cannot be loaded, CT_ERR_SHAPE for a rank above CT_MAX_RANK,
 * CT_ERR_ARGUMENT for an i or a name that is not there, CT_ERR_FORMAT for a payload of another
 * SHA-256 and for a BOOL that is neither 0 nor 1, CT_ERR_IO. */
ct_tensor *ct_safetensors_load(ct_safetensors *f, int i, ct_device device);
ct_tensor *ct_safetensors_get(ct_safetensors *f, const char *name, ct_device device);

/* A pair of the metadata. */
typedef struct ct_metadata {
    const char *key, *value;
} ct_metadata;

/* Writes count tensors (any shape, strides, dtype and device) under their names, whole or not at
 * all: whatever fails, path holds the old file or the new one. metadata, which a pair of NULLs
 * ends, may be NULL; "format": "pt" (PyTorch wants it) is added unless it is there, and the
 * payload's SHA-256 under "cotangent.payload_sha256". The same tensors give the same bytes. Does
 * nothing while an error stands. CT_ERR_ARGUMENT for a NULL, for a name or key that is twice there,
 * reserved, or not UTF-8; CT_ERR_IO; CT_ERR_MEMORY. */
ct_status ct_safetensors_write(const char *path, int count, const char *const *names,
                               ct_tensor *const *tensors,
                               const ct_metadata *metadata) CT_WARN_UNUSED;

#ifdef __cplusplus
}
#endif
#endif
