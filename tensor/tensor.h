/* SPDX-License-Identifier: MIT */
/* tensor.h - tensors: dtypes, devices, shapes, creation, access.
 *
 * A tensor is a strided view of reference-counted storage. New tensors are row-major, outermost
 * dimension first, rank 0 to CT_MAX_RANK. Sizes may be 0. Axes may be negative, counting from the
 * end. dtypes never mix in one op and are never promoted; scalars take the tensor's dtype.
 *
 * Options. Functions take structs of options by value. A program sets the fields that it needs
 * by name; an option that is left 0 has its default. To make such an option zero, write CT_ZERO.
 * The structs hold no reserved fields: a public struct may grow only together with the soname of
 * the shared library.
 *
 * Errors common to all functions below: CT_ERR_SHAPE for a negative size, a rank above
 * CT_MAX_RANK or a product that overflows; CT_ERR_MEMORY; CT_ERR_SCOPE when no scope is open. */
#ifndef COTANGENT_TENSOR_TENSOR_H
#define COTANGENT_TENSOR_TENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cotangent/tensor/scope.h>
#include <cotangent/tensor/status.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum ct_dtype {
    CT_F32,  /* float */
    CT_F64,  /* double */
    CT_I32,  /* int32_t: indices */
    CT_I64,  /* int64_t: indices */
    CT_BOOL, /* one byte, 0 or 1 */
    CT_BF16  /* the upper half of a float; storage and casts only */
} ct_dtype;

const char *ct_dtype_name(ct_dtype dtype); /* "f32"; "?" for an unknown dtype */
size_t ct_dtype_size(ct_dtype dtype);      /* bytes per element; 0 for an unknown dtype */

/* The number of the device on which a tensor lives; device.h gives it a name. CT_CPU always
 * exists. */
typedef int ct_device;
#define CT_CPU 0

#define CT_MAX_RANK 8

/* An explicit zero for an option of type double that has another default: .lr = CT_ZERO. (Its value
 * is -DBL_MIN.) */
#define CT_ZERO (-2.2250738585072014e-308)

/* A shape: rank and sizes. CT_SHAPE(2, 3) writes one; CT_SCALAR is the shape of rank 0.
 * CT_SHAPE_INIT(2, 3) is an initialiser for tables: static const ct_shape shapes[] = {
 * CT_SHAPE_INIT(2, 3) }. These macros and CT_TENSORS take one argument or more, in C11 and
 * C++11. */
typedef struct ct_shape {
    int rank;
    int64_t dim[CT_MAX_RANK];
} ct_shape;

/* clang-format off */
#define CT_SHAPE(...) ct_shape_from_sizes(CT_LIST_(int64_t, __VA_ARGS__))
#define CT_SHAPE_INIT(...) { CT_COUNT_(int64_t, __VA_ARGS__), { __VA_ARGS__ } }
#define CT_SCALAR ct_shape_from_sizes(0, NULL)

/* Expands to two arguments of a call: the number of the tensors and an array of them. CT_TENSORS(a,
 * b) is 2, (ct_tensor *[]){ a, b }. */
#define CT_TENSORS(...) CT_LIST_(ct_tensor *, __VA_ARGS__)

/* Expands to the number of the values and an array of them. The array lives until the end of the
 * call. */
#ifndef __cplusplus
#define CT_COUNT_(type, ...) (int)(sizeof((type[]){ __VA_ARGS__ }) / sizeof(type))
#define CT_LIST_(type, ...) CT_COUNT_(type, __VA_ARGS__), (type[]){ __VA_ARGS__ }
#else
extern "C++" {
template <typename type, int count> struct ct_list_ {
    type at[count];

    template <typename... types> explicit ct_list_(types... values)
        : at{ static_cast<type>(values)... } {}
    const type *data() const { return at; }
};
template <typename... types> char (&ct_counter_(const types &...))[sizeof...(types)];
}
#define CT_COUNT_(type, ...) (int)sizeof(ct_counter_(__VA_ARGS__))
#define CT_LIST_(type, ...)                                                                        \
    CT_COUNT_(type, __VA_ARGS__),                                                                  \
        ct_list_<type, CT_COUNT_(type, __VA_ARGS__)>(__VA_ARGS__).data()
#endif
/* clang-format on */

/* Returns a shape. A rank above CT_MAX_RANK is kept, so that the function that uses the shape can
 * refuse it. dim may be NULL if rank is 0. With another rank, a NULL dim raises CT_ERR_ARGUMENT and
 * returns CT_SCALAR. */
ct_shape ct_shape_from_sizes(int rank, const int64_t *dim);

/* ---- creation: the results belong to the innermost scope ---- */

/* New tensors, whose values are undefined, 0, 1 or value. value is converted to dtype. */
ct_tensor *ct_empty(ct_shape shape, ct_dtype dtype, ct_device device);
ct_tensor *ct_zeros(ct_shape shape, ct_dtype dtype, ct_device device);
ct_tensor *ct_ones(ct_shape shape, ct_dtype dtype, ct_device device);
ct_tensor *ct_full(ct_shape shape, double value, ct_dtype dtype, ct_device device);
ct_tensor *ct_scalar(double value, ct_dtype dtype); /* rank 0, on the CPU */

/* Copies row-major elements of dtype from host memory at data, as many as the shape has, into a new
 * tensor. data may be NULL only if the shape has no elements. */
ct_tensor *ct_from_data(const void *data, ct_shape shape, ct_dtype dtype, ct_device device);

/* A vector of the values start, start + step, ... below end (above end, for a negative step).
 * CT_ERR_ARGUMENT for a step of 0. */
ct_tensor *ct_arange(double start, double end, double step, ct_dtype dtype, ct_device device);
/* A vector of n values at equal distances from start to end, both included. */
ct_tensor *ct_linspace(double start, double end, int64_t n, ct_dtype dtype, ct_device device);
ct_tensor *ct_eye(int64_t n, ct_dtype dtype, ct_device device); /* the identity matrix (n, n) */

/* ---- access; for NULL these return 0, false or NULL ---- */

int ct_rank(const ct_tensor *t);                 /* number of axes, 0 to CT_MAX_RANK */
int64_t ct_size(const ct_tensor *t, int axis);   /* -1 if t does not have the axis */
ct_shape ct_tensor_shape(const ct_tensor *t);    /* the sizes of all axes */
int64_t ct_numel(const ct_tensor *t);            /* number of elements: the product of the sizes */
ct_dtype ct_tensor_dtype(const ct_tensor *t);    /* the type of the elements */
ct_device ct_tensor_device(const ct_tensor *t);  /* where the elements are; CT_CPU for NULL */
bool ct_is_contiguous(const ct_tensor *t);       /* elements in row-major order, without gaps */
int64_t ct_stride(const ct_tensor *t, int axis); /* in elements */

/* Returns the value of a tensor with one element, as a double; NaN after an error. Waits for the
 * device. */
double ct_item(const ct_tensor *t);

/* Copies the elements, in row-major order, to buffer. bytes, its size, must be ct_numel times
 * ct_dtype_size (CT_ERR_ARGUMENT). Waits for the device. */
ct_status ct_to_host(const ct_tensor *t, void *buffer, size_t bytes);

/* Returns the address of the elements, for reading. t must be contiguous and on the CPU; otherwise
 * returns NULL with an error. The address is valid as long as t. */
const void *ct_data(const ct_tensor *t);

/* Like ct_data, for writing. Counts as an in-place write: a tensor with history raises CT_ERR_GRAD,
 * and backward reports an op that had saved a tensor of the same storage. */
void *ct_mutable_data(ct_tensor *t);

/* Overwrite the elements of t: with those of src (same shape, dtype and device; any strides), or
 * with one value. In-place writes are for leaves, for buffers, and for data while recording is off.
 * CT_ERR_GRAD for a tensor with history, and, while recording, for a leaf that requires a gradient.
 * CT_ERR_SHAPE for an expanded view, whose elements share memory. */
ct_status ct_copy_into(ct_tensor *t, const ct_tensor *src);
ct_status ct_fill(ct_tensor *t, double value);

/* Prints shape, dtype, device and abbreviated values: f32[2,3] cpu [[1, 2, 3], [4, 5, 6]]. A NULL t
 * prints "NULL". CT_ERR_ARGUMENT if out is NULL. */
void ct_print(const ct_tensor *t, FILE *out);

/* ---- the pool ---- */

/* The memory of this thread. live_bytes: bytes in use by tensors that were made on this thread,
 * also if another thread uses them now. idle_bytes: bytes in its idle pool. peak_bytes: the most
 * that was in use at one time. system_allocations: the number of requests to the system for a
 * buffer. A buffer that another thread frees joins the pool of that thread. */
typedef struct ct_memory_stats {
    size_t live_bytes, idle_bytes, peak_bytes;
    uint64_t system_allocations;
} ct_memory_stats;
ct_memory_stats ct_memory_get_stats(void);

/* Frees this thread's idle buffers. */
void ct_memory_trim(void);

#ifdef __cplusplus
}
#endif
#endif
