/* SPDX-License-Identifier: MIT */
/* dtypes.c - names, sizes and uses of the element types, from the list in dtypes.h. */
#include "tensor/internal.h"

const struct cti_dtype_entry cti_dtypes[CTI_DTYPE_COUNT] = {
#define DTYPE_ENTRY(NAME, type, name, safetensors, npy, use)                                       \
    [CT_##NAME] = { name, safetensors, sizeof(type), use },
    CTI_DTYPES(DTYPE_ENTRY)
#undef DTYPE_ENTRY
};

/* The switch has no default, so the compiler warns about a dtype that dtypes.h does not list. */
static bool dtype_exists(ct_dtype dtype)
{
    switch (dtype) {
#define DTYPE_CASE(NAME, ...) case CT_##NAME:
        CTI_DTYPES(DTYPE_CASE)
#undef DTYPE_CASE
        return true;
    }
    return false;
}

const char *ct_dtype_name(ct_dtype dtype)
{
    return dtype_exists(dtype) ? cti_dtypes[dtype].name : "?";
}

size_t ct_dtype_size(ct_dtype dtype)
{
    return dtype_exists(dtype) ? cti_dtypes[dtype].size : 0;
}

const char *cti_dtype_file_name(ct_dtype dtype)
{
    return dtype_exists(dtype) ? cti_dtypes[dtype].file_name : "?";
}
