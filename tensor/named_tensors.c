/* SPDX-License-Identifier: MIT */
/* named_tensors.c - a list of tensors with their names, to be written to a file. */
#include "tensor/internal.h"

#include "tensor/hooks.h"
#include "tensor/named_tensors.h"

#include <string.h>

/* Makes room for one more tensor; false with an error. */
static bool named_tensors_grow(cti_named_tensors *l)
{
    size_t more = l->room ? 2 * l->room : 64;
    cti_named_tensor *at;

    if (l->count < l->room)
        return true;
    at = cti_realloc(l->at, l->room * sizeof *at, more * sizeof *at);
    if (!at) {
        cti_out_of_memory(l->function, more * sizeof *at);
        return false;
    }
    l->at = at;
    l->room = more;
    return true;
}

bool cti_named_tensors_add(cti_named_tensors *l, const char *prefix, const char *name,
                           ct_tensor *tensor)
{
    size_t before, after;
    char *copy;

    if (!tensor || !ct_ok() || !named_tensors_grow(l))
        return false;
    before = strlen(prefix);
    after = strlen(name);
    copy = cti_calloc(1, before + after + 1);
    if (!copy) {
        cti_out_of_memory(l->function, before + after + 1);
        return false;
    }
    memcpy(copy, prefix, before);
    memcpy(copy + before, name, after);
    l->at[l->count++] = (cti_named_tensor){ .name = copy, .tensor = tensor };
    return true;
}

/* Writes the list to writer or, if writer is NULL, to path. */
static ct_status named_tensors_write(const cti_named_tensors *l, const char *path,
                                     const ct_writer *writer, const ct_metadata *metadata)
{
    size_t bytes = (l->count + 1) * (sizeof(char *) + sizeof(ct_tensor *)), i;
    ct_tensor **tensors;
    const char **names;
    ct_status status;

    if (!ct_ok())
        return ct_error();
    names = cti_calloc(1, bytes);
    if (!names) {
        cti_out_of_memory(l->function, bytes);
        return ct_error();
    }
    tensors = (ct_tensor **)(void *)(names + l->count + 1);
    for (i = 0; i < l->count; i++) {
        names[i] = l->at[i].name;
        tensors[i] = l->at[i].tensor;
    }
    status = writer ? ct_safetensors_write_to(*writer, (int)l->count, names, tensors, metadata)
                    : ct_safetensors_write(path, (int)l->count, names, tensors, metadata);
    cti_release(names);
    return status;
}

ct_status cti_named_tensors_write(const cti_named_tensors *l, const char *path,
                                  const ct_metadata *metadata)
{
    return named_tensors_write(l, path, NULL, metadata);
}

ct_status cti_named_tensors_write_to(const cti_named_tensors *l, ct_writer writer,
                                     const ct_metadata *metadata)
{
    return named_tensors_write(l, NULL, &writer, metadata);
}

void cti_named_tensors_free(cti_named_tensors *l)
{
    while (l->count > 0)
        cti_release(l->at[--l->count].name);
    cti_release(l->at);
    l->at = NULL;
    l->room = 0;
}
