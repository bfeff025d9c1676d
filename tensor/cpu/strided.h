/* strided.h - how the CPU walks several strided arrays over a common shape. (internal)
 *
 * The last axis is a run: a loop does it at once. Runs longer than CTI_CPU_PIECE elements are split
 * into units of so many; units are put together into pieces, which threads share. The shape alone
 * says how. */
#ifndef COTANGENT_TENSOR_CPU_STRIDED_H
#define COTANGENT_TENSOR_CPU_STRIDED_H

#include "tensor/cpu/cpu.h"
#include "tensor/strided.h"

typedef struct cti_walk {
    int rank;
    int64_t dim[CT_MAX_RANK];
    int64_t step[4][CT_MAX_RANK]; /* bytes */
    int64_t split;                /* units of a run */
    int64_t units;                /* of all runs */
    int64_t per_piece;            /* units in a piece */
} cti_walk;

/* Completes a walk, whose rank, dim and step are set. How many pieces it has. */
static inline int64_t cti_walk_cut(cti_walk *w, int arrays)
{
    int64_t length;
    int i, k;

    w->rank = cti_join_axes(arrays, w->rank, w->dim, w->step);
    if (w->rank < 0)
        return 0;
    if (w->rank == 0) { /* a run of one element */
        w->rank = 1;
        w->dim[0] = 1;
        for (k = 0; k < arrays; k++)
            w->step[k][0] = 0;
    }
    length = w->dim[w->rank - 1];
    w->split = (length + CTI_CPU_PIECE - 1) / CTI_CPU_PIECE;
    w->units = w->split;
    for (i = 0; i < w->rank - 1; i++)
        w->units *= w->dim[i];
    w->per_piece = w->split > 1 ? 1 : (CTI_CPU_PIECE + length - 1) / length;
    return (w->units + w->per_piece - 1) / w->per_piece;
}

/* The unit after the last one of a piece. */
static inline int64_t cti_walk_end(const cti_walk *w, int64_t piece)
{
    int64_t end = (piece + 1) * w->per_piece;

    return end < w->units ? end : w->units;
}

/* The bytes from the start of each array to the first element of a unit. How many elements it has.
 * */
static inline int64_t cti_walk_unit(const cti_walk *w, int arrays, int64_t unit, int64_t *offset)
{
    int last = w->rank - 1, i, k;
    int64_t first = unit % w->split * CTI_CPU_PIECE, n = w->dim[last] - first;
    int64_t run = unit / w->split;

    for (k = 0; k < arrays; k++)
        offset[k] = first * w->step[k][last];
    for (i = last - 1; i >= 0; i--) {
        int64_t at = run % w->dim[i];

        run /= w->dim[i];
        for (k = 0; k < arrays; k++)
            offset[k] += at * w->step[k][i];
    }
    return n < CTI_CPU_PIECE ? n : CTI_CPU_PIECE;
}

#endif
