/* SPDX-License-Identifier: MIT */
/* strided.h - the order in which the CPU visits the elements of several strided arrays of a common
 * shape. (internal)
 *
 * A run is all elements along the last axis. Runs are split into units of at most `length`
 * elements; one call of a loop computes a unit. Units are grouped into pieces, which threads share.
 * Units and pieces depend on the shape and the strides alone.
 *
 * Usually a unit is as long as a piece, and the units of a run follow each other. In two cases
 * units are short, and the first units of all runs come before the second units, so that elements
 * that are near in memory are visited together:
 *     - the last axis is short: the longest axis becomes the last;
 *     - an array is adjacent along another axis than the last (a transposition): this axis becomes
 *       the last but one, and a unit is as wide as a cache line of floats. */
#ifndef COTANGENT_TENSOR_CPU_STRIDED_H
#define COTANGENT_TENSOR_CPU_STRIDED_H

#include "tensor/cpu/cpu.h"
#include "tensor/strided.h"

typedef struct cti_walk {
    int rank;
    int64_t dim[CT_MAX_RANK];
    int64_t step[4][CT_MAX_RANK]; /* bytes */
    int64_t length;               /* the most elements of a unit */
    int64_t runs;
    int64_t units;     /* the number of units of all runs */
    int64_t per_piece; /* the number of units in a piece */
    bool tiled;        /* the first units of all runs come before the second units */
} cti_walk;

enum {
    CTI_WALK_SHORT = 16, /* an axis of fewer elements is short */
    CTI_WALK_TILE = 64,  /* the elements of a unit along the axis that replaces a short one */
    CTI_WALK_LINE = 16   /* the elements of a unit in a transposition */
};

/* Moves axis `from` to position `to`; the axes between them move by one. */
static inline void cti_walk_move(cti_walk *w, int arrays, int from, int to)
{
    int by = from < to ? 1 : -1, k;

    for (; from != to; from += by) {
        int64_t t = w->dim[from];

        w->dim[from] = w->dim[from + by];
        w->dim[from + by] = t;
        for (k = 0; k < arrays; k++) {
            t = w->step[k][from];
            w->step[k][from] = w->step[k][from + by];
            w->step[k][from + by] = t;
        }
    }
}

/* Returns the axis along which the elements of array k are adjacent if that is not the last axis;
 * otherwise -1. */
static inline int cti_walk_adjacent(const cti_walk *w, int k)
{
    int last = w->rank - 1, i;
    int64_t least = w->step[k][last] < 0 ? -w->step[k][last] : w->step[k][last];

    for (i = 0; i < last; i++)
        if (w->step[k][i] > 0 && w->step[k][i] <= 8 && w->step[k][i] * CTI_WALK_SHORT <= least &&
            w->dim[i] >= CTI_WALK_SHORT)
            return i;
    return -1;
}

/* Chooses the order of the axes and the length of units. */
static inline void cti_walk_arrange(cti_walk *w, int arrays)
{
    int last = w->rank - 1, longest = last, i, k;

    w->length = CTI_CPU_PIECE;
    w->tiled = false;
    if (w->dim[last] < CTI_WALK_SHORT) {
        for (i = last - 1; i >= 0 && w->dim[longest] < CTI_WALK_TILE; i--)
            if (w->dim[i] > w->dim[longest])
                longest = i;
        if (longest == last)
            return;
        cti_walk_move(w, arrays, longest, last);
        w->length = CTI_WALK_TILE;
        w->tiled = true;
        return;
    }
    for (k = 0; k < arrays; k++) {
        i = cti_walk_adjacent(w, k);
        if (i < 0)
            continue;
        cti_walk_move(w, arrays, i, last - 1);
        w->length = CTI_WALK_LINE;
        w->tiled = true;
        return;
    }
}

/* Completes a walk, whose rank, dim and step are set. Returns the number of pieces. */
static inline int64_t cti_walk_cut(cti_walk *w, int arrays)
{
    int64_t length;
    int i, k;

    w->rank = cti_join_axes(arrays, w->rank, w->dim, w->step);
    if (w->rank < 0)
        return 0;
    if (w->rank == 0) { /* a scalar is a run of one element */
        w->rank = 1;
        w->dim[0] = 1;
        for (k = 0; k < arrays; k++)
            w->step[k][0] = 0;
    }
    cti_walk_arrange(w, arrays);
    w->runs = 1;
    for (i = 0; i < w->rank - 1; i++)
        w->runs *= w->dim[i];
    length = w->dim[w->rank - 1];
    w->units = w->runs * ((length + w->length - 1) / w->length);
    length = length < w->length ? length : w->length;
    w->per_piece = (CTI_CPU_PIECE + length - 1) / length;
    return (w->units + w->per_piece - 1) / w->per_piece;
}

/* Returns the number of the unit after the last one of a piece. */
static inline int64_t cti_walk_end(const cti_walk *w, int64_t piece)
{
    int64_t end = (piece + 1) * w->per_piece;

    return end < w->units ? end : w->units;
}

/* A unit: for each array the offset of its first element in bytes, the unit's position, and its
 * number of elements. */
typedef struct cti_unit {
    int64_t offset[4], at[CT_MAX_RANK], n;
} cti_unit;

static inline void cti_walk_length(const cti_walk *w, cti_unit *u)
{
    u->n = w->dim[w->rank - 1] - u->at[w->rank - 1];
    u->n = u->n < w->length ? u->n : w->length;
}

/* Sets u to unit number `unit`. */
static inline void cti_walk_begin(const cti_walk *w, int arrays, int64_t unit, cti_unit *u)
{
    int last = w->rank - 1, i, k;
    int64_t split = w->units / w->runs;
    int64_t run = w->tiled ? unit % w->runs : unit / split;

    u->at[last] = (w->tiled ? unit / w->runs : unit % split) * w->length;
    for (i = last - 1; i >= 0; i--) {
        u->at[i] = run % w->dim[i];
        run /= w->dim[i];
    }
    for (k = 0; k < arrays; k++) {
        u->offset[k] = 0;
        for (i = 0; i <= last; i++)
            u->offset[k] += u->at[i] * w->step[k][i];
    }
    cti_walk_length(w, u);
}

/* Moves one step along axis i. Returns true if that was the end of the axis; u is then back at its
 * start. */
static inline bool cti_walk_step(const cti_walk *w, int arrays, int i, cti_unit *u)
{
    int64_t by = i == w->rank - 1 ? w->length : 1;
    bool wraps = u->at[i] + by >= w->dim[i];
    int k;

    by = wraps ? -u->at[i] : by;
    u->at[i] += by;
    for (k = 0; k < arrays; k++)
        u->offset[k] += by * w->step[k][i];
    return wraps;
}

/* Moves u to the next unit. */
static inline void cti_walk_next(const cti_walk *w, int arrays, cti_unit *u)
{
    int last = w->rank - 1, i;
    bool carry = w->tiled || cti_walk_step(w, arrays, last, u);

    for (i = last - 1; carry && i >= 0; i--)
        carry = cti_walk_step(w, arrays, i, u);
    if (w->tiled && carry)
        cti_walk_step(w, arrays, last, u);
    cti_walk_length(w, u);
}

#endif
