/* SPDX-License-Identifier: MIT */
/* named_tensors.h - a list of tensors with their names, to be written to a file. (internal)
 *
 *     cti_named_tensors list = { .function = "ct_params_save" };
 *
 *     cti_named_tensors_add(&list, "", name, tensor);
 *     cti_named_tensors_write(&list, path, NULL);
 *     cti_named_tensors_free(&list); */
#ifndef COTANGENT_TENSOR_NAMED_TENSORS_H
#define COTANGENT_TENSOR_NAMED_TENSORS_H

#include <stdbool.h>
#include <stddef.h>

#include <cotangent/tensor/safetensors.h>

typedef struct cti_named_tensor {
    char *name; /* owned */
    ct_tensor *tensor;
} cti_named_tensor;

typedef struct cti_named_tensors {
    const char *function; /* the public function that errors name */
    cti_named_tensor *at; /* count of them, in the order in which they were added */
    size_t count, room;
} cti_named_tensors;

/* Adds a tensor under the name PREFIX followed by NAME, both copied. The tensor must stay alive
 * while the list is used. Does nothing while an error is recorded, and for a NULL tensor. False with
 * CT_ERR_MEMORY. */
bool cti_named_tensors_add(cti_named_tensors *l, const char *prefix, const char *name,
                           ct_tensor *tensor);

/* Writes the list with ct_safetensors_write, and raises the errors of that function. Does nothing
 * while an error is recorded. */
ct_status cti_named_tensors_write(const cti_named_tensors *l, const char *path,
                                  const ct_metadata *metadata);

/* Writes the list to a writer, with ct_safetensors_write_to. */
ct_status cti_named_tensors_write_to(const cti_named_tensors *l, ct_writer writer,
                                     const ct_metadata *metadata);

/* Frees the names and empties the list. Does not free the tensors. */
void cti_named_tensors_free(cti_named_tensors *l);

#endif
