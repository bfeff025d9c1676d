/* SPDX-License-Identifier: MIT */
/* strided.h - several strided arrays over a common shape, for every device. (internal) */
#ifndef COTANGENT_TENSOR_STRIDED_H
#define COTANGENT_TENSOR_STRIDED_H

#include <stdbool.h>
#include <stdint.h>

#include <cotangent/tensor/tensor.h>

/* Reduces a shape to as few axes as possible. Drops axes of size 1. Merges two neighbouring axes if
 * they act as one axis in every array: the step of the first equals the size of the second times
 * the step of the second. dim and the steps of all arrays, in any unit, are changed in place.
 * Returns the rank that is left: 0 for a single element, -1 if there is no element. */
static inline int cti_join_axes(int arrays, int rank, int64_t *dim, int64_t (*step)[CT_MAX_RANK])
{
    int r = 0, i, k;

    for (i = 0; i < rank; i++) {
        bool joins = r > 0;

        if (dim[i] == 0)
            return -1;
        if (dim[i] == 1)
            continue;
        for (k = 0; k < arrays && joins; k++)
            joins = step[k][r - 1] == step[k][i] * dim[i];
        if (joins)
            dim[r - 1] *= dim[i];
        else
            dim[r++] = dim[i];
        for (k = 0; k < arrays; k++)
            step[k][r - 1] = step[k][i];
    }
    return r;
}

#endif
