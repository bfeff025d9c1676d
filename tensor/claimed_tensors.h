/* SPDX-License-Identifier: MIT */
/* claimed_tensors.h - a safetensors file each of whose tensors must be claimed by one reader, so
 * that none is missing, superfluous or of another shape. (internal)
 *
 *     cti_claims claims = { .function = "ct_fit", .path = path, .file = file };
 *
 *     cti_claims_begin(&claims);
 *     t = cti_claims_tensor(&claims, "training.", "cursor", CT_SHAPE(2, 3), CT_I64, CT_CPU);
 *     ...
 *     if (cti_claims_complete(&claims)) ...
 *     cti_claims_end(&claims); */
#ifndef COTANGENT_TENSOR_CLAIMED_TENSORS_H
#define COTANGENT_TENSOR_CLAIMED_TENSORS_H

#include <stdbool.h>

#include <cotangent/tensor/safetensors.h>

typedef struct cti_claims {
    const char *function; /* the public function that errors name */
    const char *path;
    ct_safetensors *file;
    bool *claimed; /* one flag for each tensor of the file */
} cti_claims;

/* Prepares to claim the tensors of c->file. Raises CT_ERR_MEMORY and returns false on failure. */
bool cti_claims_begin(cti_claims *c);
void cti_claims_end(cti_claims *c);

/* Claims the tensor PREFIX followed by NAME. Returns its number in the file, or -1 if the file does
 * not have it. Raises no error. */
int cti_claims_find(cti_claims *c, const char *prefix, const char *name);

/* Claims the tensor PREFIX followed by NAME and reads it into the innermost scope. NULL with
 * CT_ERR_FORMAT if it is missing or has another shape or dtype, and with the errors of
 * ct_safetensors_load. A first size of -1 accepts any size. */
ct_tensor *cti_claims_tensor(cti_claims *c, const char *prefix, const char *name, ct_shape shape,
                             ct_dtype dtype, ct_device device);

/* Checks that every tensor of the file is claimed. Otherwise raises CT_ERR_FORMAT, which names the
 * first that is not, and returns false. */
bool cti_claims_complete(const cti_claims *c);

/* Raises CT_ERR_FORMAT: "PATH: PREFIX NAME WHAT". Returns false. */
bool cti_claims_refuse(const cti_claims *c, const char *prefix, const char *name, const char *what);

#endif
