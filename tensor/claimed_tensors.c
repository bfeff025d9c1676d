/* SPDX-License-Identifier: MIT */
/* claimed_tensors.c - a safetensors file each of whose tensors must be claimed by one reader. */
#include "tensor/internal.h"

#include "tensor/claimed_tensors.h"
#include "tensor/hooks.h"
#include "tensor/text.h"

#include <stdio.h>
#include <string.h>

bool cti_claims_begin(cti_claims *c)
{
    size_t bytes = (size_t)ct_safetensors_count(c->file) + 1;

    c->claimed = cti_calloc(bytes, sizeof *c->claimed);
    if (!c->claimed)
        cti_out_of_memory(c->function, bytes * sizeof *c->claimed);
    return c->claimed != NULL;
}

void cti_claims_end(cti_claims *c)
{
    cti_release(c->claimed);
    c->claimed = NULL;
}

bool cti_claims_refuse(const cti_claims *c, const char *prefix, const char *name, const char *what)
{
    ct_raise(CT_ERR_FORMAT, c->function, "%.300s: %s%.200s %s", c->path, prefix, name, what);
    return false;
}

int cti_claims_find(cti_claims *c, const char *prefix, const char *name)
{
    size_t before = strlen(prefix);
    int count = ct_safetensors_count(c->file);

    for (int i = 0; i < count; i++) {
        const char *there = ct_safetensors_name(c->file, i);

        if (strncmp(there, prefix, before) == 0 && strcmp(there + before, name) == 0) {
            c->claimed[i] = true;
            return i;
        }
    }
    return -1;
}

ct_tensor *cti_claims_tensor(cti_claims *c, const char *prefix, const char *name, ct_shape shape,
                             ct_dtype dtype, ct_device device)
{
    int i = cti_claims_find(c, prefix, name);
    ct_shape there = ct_safetensors_shape(c->file, i);
    const char *kind = ct_safetensors_dtype(c->file, i), *want = cti_dtype_file_name(dtype);

    if (i < 0) {
        cti_claims_refuse(c, prefix, name, "is missing");
        return NULL;
    }
    if (shape.rank > 0 && shape.dim[0] < 0 && there.rank > 0)
        shape.dim[0] = there.dim[0];
    if (strcmp(kind, want) == 0 && cti_same_shape(&shape, &there))
        return ct_safetensors_load(c->file, i, device);
    ct_raise(CT_ERR_FORMAT, c->function, "%.300s: %s%.200s is %.20s %s; it must be %s %s", c->path,
             prefix, name, kind, cti_shape_text(&there).s, want, cti_shape_text(&shape).s);
    return NULL;
}

bool cti_claims_complete(const cti_claims *c)
{
    int count = ct_safetensors_count(c->file), i = 0;

    while (i < count && c->claimed[i])
        i++;
    return i == count || cti_claims_refuse(c, "", cti_quote(ct_safetensors_name(c->file, i)).s,
                                           "belongs to no section of this run's checkpoint");
}
