/* SPDX-License-Identifier: MIT */
/* dtypes.h - the element types, one line each. (internal)
 *
 * To add one: a line in the enum of tensor/tensor.h, one here at the same place, and the
 * conversions (tensor/convert.h, tensor/cpu/copy.c, cuda/copy.cu). The compiler reports every place
 * that still lacks the new type, because switches over ct_dtype have no default, and tables are
 * made from this list. */
#ifndef COTANGENT_TENSOR_DTYPES_H
#define COTANGENT_TENSOR_DTYPES_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cotangent/tensor/tensor.h>

/* What a dtype is for. */
typedef enum cti_dtype_use {
    CTI_DTYPE_COMPUTES, /* floats: accepted by all ops */
    CTI_DTYPE_INDEXES,  /* integers: for indices, and accepted by the arithmetic ops */
    CTI_DTYPE_MASKS,    /* bool */
    CTI_DTYPE_STORES    /* copies and conversions only */
} cti_dtype_use;

/* DTYPE(CT_ name, C type, our name, name in a safetensors file, descr in a NumPy file or NULL, use)
 * */
/* clang-format off */
#define CTI_DTYPES(DTYPE) \
    DTYPE(F32,  float,    "f32",  "F32",  "<f4", CTI_DTYPE_COMPUTES) \
    DTYPE(F64,  double,   "f64",  "F64",  "<f8", CTI_DTYPE_COMPUTES) \
    DTYPE(I32,  int32_t,  "i32",  "I32",  "<i4", CTI_DTYPE_INDEXES) \
    DTYPE(I64,  int64_t,  "i64",  "I64",  "<i8", CTI_DTYPE_INDEXES) \
    DTYPE(BOOL, uint8_t,  "bool", "BOOL", "|b1", CTI_DTYPE_MASKS) \
    DTYPE(BF16, uint16_t, "bf16", "BF16", NULL,  CTI_DTYPE_STORES)
/* clang-format on */

/* The number of dtypes. */
enum {
#define CTI_DTYPE_ENTRY(name, ...) CTI_DTYPE_AT_##name,
    CTI_DTYPES(CTI_DTYPE_ENTRY)
#undef CTI_DTYPE_ENTRY
        CTI_DTYPE_COUNT
};

/* The list as a table, by dtype (dtypes.c). */
extern const struct cti_dtype_entry {
    const char *name, *file_name;
    size_t size;
    cti_dtype_use use;
} cti_dtypes[CTI_DTYPE_COUNT];

/* False for a dtype that does not exist. */
static inline bool cti_dtype_used_as(ct_dtype dtype, cti_dtype_use use)
{
    return (unsigned)dtype < CTI_DTYPE_COUNT && cti_dtypes[dtype].use == use;
}

static inline bool cti_is_float(ct_dtype dtype)
{
    return cti_dtype_used_as(dtype, CTI_DTYPE_COMPUTES);
}

static inline bool cti_is_index(ct_dtype dtype)
{
    return cti_dtype_used_as(dtype, CTI_DTYPE_INDEXES);
}

static inline bool cti_is_storage(ct_dtype dtype)
{
    return cti_dtype_used_as(dtype, CTI_DTYPE_STORES);
}

/* The list and the enum have the same order. */
#define CTI_DTYPE_CHECK(name, ...)                                                                 \
    static_assert((int)CT_##name == (int)CTI_DTYPE_AT_##name,                                      \
                  "CT_" #name " is at another place in tensor.h than in dtypes.h");
CTI_DTYPES(CTI_DTYPE_CHECK)
#undef CTI_DTYPE_CHECK

#endif
