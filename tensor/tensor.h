/* tensor.h - tensors: dtypes, devices, shapes, creation, access.
 *
 * A tensor is a strided view of counted storage: row-major when fresh, outermost dimension
 * first, rank 0 to CT_MAX_RANK. Sizes may be 0. Axes may be negative, counting from the end.
 * dtypes never mix in one op and are never promoted; scalars take the tensor's dtype.
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

/* Where a tensor lives: a number that device.h gives a name. CT_CPU is always there. */
typedef int ct_device;
#define CT_CPU 0

#define CT_MAX_RANK 8

/* Zero, as the value of a real option that has another default: .lr = CT_ZERO. (It is -DBL_MIN.) */
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

/* Two arguments of a call: the number of the tensors, and an array of them. CT_TENSORS(a, b) is
 * 2, (ct_tensor *[]){ a, b }. */
#define CT_TENSORS(...) CT_LIST_(ct_tensor *, __VA_ARGS__)

/* The number of values, and with it an array of them that lasts for the call. */
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

/* A shape of any rank; one above CT_MAX_RANK keeps its rank and is refused by whoever uses it. dim
 * may be NULL if rank is 0; otherwise CT_ERR_ARGUMENT, and the shape is CT_SCALAR. */
ct_shape ct_shape_from_sizes(int rank, const int64_t *dim);

/* ---- creation: what these return belongs to the innermost scope ---- */

/* A tensor whose values are undefined, 0, 1 or value. */
ct_tensor *ct_empty(ct_shape shape, ct_dtype dtype, ct_device device);
ct_tensor *ct_zeros(ct_shape shape, ct_dtype dtype, ct_device device);
ct_tensor *ct_ones(ct_shape shape, ct_dtype dtype, ct_device device);
ct_tensor *ct_full(ct_shape shape, double value, ct_dtype dtype, ct_device device);
ct_tensor *ct_scalar(double value, ct_dtype dtype); /* rank 0, on the CPU */

/* A copy of shape's number of elements of dtype at data, in row-major order. */
ct_tensor *ct_from_data(const void *data, ct_shape shape, ct_dtype dtype, ct_device device);

/* start, start + step, ... below (above, for a negative step) end. CT_ERR_ARGUMENT for step 0. */
ct_tensor *ct_arange(double start, double end, double step, ct_dtype dtype, ct_device device);
/* n values from start to end, both included. */
ct_tensor *ct_linspace(double start, double end, int64_t n, ct_dtype dtype, ct_device device);
ct_tensor *ct_eye(int64_t n, ct_dtype dtype, ct_device device); /* (n, n) */

/* ---- access; these take NULL, for which they return 0, false or NULL ---- */

int ct_rank(const ct_tensor *t);                 /* number of axes, 0 to CT_MAX_RANK */
int64_t ct_size(const ct_tensor *t, int axis);   /* -1 if t does not have the axis */
ct_shape ct_tensor_shape(const ct_tensor *t);    /* the sizes of all axes */
int64_t ct_numel(const ct_tensor *t);            /* number of elements: the product of the sizes */
ct_dtype ct_tensor_dtype(const ct_tensor *t);    /* the type of the elements */
ct_device ct_tensor_device(const ct_tensor *t);  /* where the elements are; CT_CPU for NULL */
bool ct_is_contiguous(const ct_tensor *t);       /* elements in row-major order, without gaps */
int64_t ct_stride(const ct_tensor *t, int axis); /* in elements */

/* The value of a tensor of one element, as a double; NaN after an error. */
double ct_item(const ct_tensor *t);

/* Copies the elements, row-major, to buffer, which must be ct_numel * ct_dtype_size bytes. */
ct_status ct_to_host(const ct_tensor *t, void *buffer, size_t bytes);

/* The elements themselves, for reading: a contiguous tensor on the CPU, else NULL with an error. */
const void *ct_data(const ct_tensor *t);

/* The same for writing. Counts as an in-place write: refused (CT_ERR_GRAD) for a tensor with
 * history; saved tensors that share the storage notice. */
void *ct_mutable_data(ct_tensor *t);

/* Overwrites t's elements: with src's (same shape, dtype and device; src may be a view), or with
 * one value. In-place writes are for leaves, buffers and data while recording is off; on a tensor
 * with history they are CT_ERR_GRAD, as on a leaf that requires a gradient while recording. An
 * expanded view, whose elements share memory, is CT_ERR_SHAPE. */
ct_status ct_copy_into(ct_tensor *t, const ct_tensor *src);
ct_status ct_fill(ct_tensor *t, double value);

/* Prints shape, dtype, device and abbreviated values:  f32[2,3] cpu [[1, 2, 3], [4, 5, 6]]. t may be
 * NULL: prints "NULL". CT_ERR_ARGUMENT if out is NULL. */
void ct_print(const ct_tensor *t, FILE *out);

/* ---- the pool ---- */

/* Bytes that the tensors made on this thread and still in use hold (those handed to another thread
 * too), bytes of its idle pool, the most that was ever in use, and how often the system was asked
 * for a buffer. A buffer freed on another thread joins that one's pool. */
typedef struct ct_memory_stats {
    size_t live_bytes, idle_bytes, peak_bytes;
    uint64_t system_allocations;
} ct_memory_stats;
ct_memory_stats ct_memory_get_stats(void);

/* Gives this thread's idle buffers back to the system. */
void ct_memory_trim(void);

#ifdef __cplusplus
}
#endif
#endif
