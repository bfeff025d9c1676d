/* SPDX-License-Identifier: MIT */
/* strided.h - several strided arrays over a common shape. (internal) */
#ifndef COTANGENT_CUDA_STRIDED_H
#define COTANGENT_CUDA_STRIDED_H

#include "cuda/device.h"

#include "tensor/strided.h"

template <int N> struct cu_walk {
    int rank;
    int64_t count; /* the number of elements: the product of dim; 0 if rank is -1 */
    int64_t dim[CT_MAX_RANK];
    int64_t step[N][CT_MAX_RANK]; /* in elements */
};

/* Merges axes where possible, and counts the elements. A single element gets step 1 in every
 * array. */
template <int N> void cu_walk_simplify(cu_walk<N> *w)
{
    int i;

    w->rank = cti_join_axes(N, w->rank, w->dim, w->step);
    w->count = w->rank < 0 ? 0 : 1;
    if (w->rank == 0) {
        w->rank = 1;
        w->dim[0] = 1;
        for (i = 0; i < N; i++)
            w->step[i][0] = 1;
    }
    for (i = 0; i < w->rank; i++)
        w->count *= w->dim[i];
}

/* Computes the offset of element i in each array. */
template <int N> __device__ inline void cu_walk_at(const cu_walk<N> &w, int64_t i, int64_t *offset)
{
    int r, k;

    for (k = 0; k < N; k++)
        offset[k] = 0;
    for (r = w.rank - 1; r > 0; r--) {
        int64_t at = cu_split(&i, w.dim[r]);

        for (k = 0; k < N; k++)
            offset[k] += at * w.step[k][r];
    }
    for (k = 0; k < N; k++)
        offset[k] += i * w.step[k][0];
}

/* Loads pack i of an array; if the step is 0, its only element N times. */
template <int N, typename T>
__device__ inline cu_pack<T, N> cu_load_pack(const T *p, int64_t step, int64_t i)
{
    cu_pack<T, N> pack;
    int k;

    if (step)
        return reinterpret_cast<const cu_pack<T, N> *>(p)[i];
    for (k = 0; k < N; k++)
        pack.v[k] = p[0];
    return pack;
}

inline bool cu_aligned(const void *p, size_t bytes)
{
    return reinterpret_cast<uintptr_t>(p) % bytes == 0;
}

#endif
