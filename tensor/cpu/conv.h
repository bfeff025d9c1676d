/* SPDX-License-Identifier: MIT */
/* conv.h - the structs of a correlation, for the sources of convolutions (conv.c). (internal) */
#ifndef COTANGENT_TENSOR_CPU_CONV_H
#define COTANGENT_TENSOR_CPU_CONV_H

#include "tensor/cpu/cpu.h"

/* One of the two axes of a correlation. */
typedef struct cti_conv_axis {
    int64_t from_size, to_size; /* the sizes of source and result */
    int64_t first, to_step;     /* result number q is element first + q * to_step */
    int64_t count;              /* the number of results */
    int64_t from_step;
    int64_t low, high;       /* the least distance; the greatest one minus the least one */
    int64_t taps;            /* the number of taps of the filter that take part */
    int64_t *tap, *distance; /* the numbers of these taps; their distances minus low */
    int64_t planes;          /* the number of remainders that are read */
    int64_t block, blocks;   /* the number of results in a piece, and of pieces */
    int64_t length;          /* the length of a row of a plane */
} cti_conv_axis;

typedef struct cti_conv_job {
    const cti_conv *c;
    const cti_row_loops *loops;
    int64_t size; /* the bytes of an element */
    const char *from, *bias;
    char *to;
    int64_t from_channels, to_channels; /* the numbers of channels of a group */
    cti_conv_axis axis[2];
    int64_t together; /* the number of images in a piece, one after another */
    /* The number of images side by side: each element of the buffer has one value of each. */
    int64_t lanes;
    bool is_unfolded;
    /* The elements in the buffer of a plane of one image, and of a channel. */
    int64_t plane, channel;
    int64_t depth;        /* the number of elements of the filter for one result channel */
    int64_t wide, narrow; /* the positions of four vectors and of one vector */
    int64_t *offset;      /* (depth), the offsets in the buffer of the elements of the filter */
    char *weights;        /* blocks of channels for each group; a block is (depth, rows) */
    char *room;           /* room_elements elements for each worker */
    int64_t room_elements, workers, pieces;
} cti_conv_job;

static inline int64_t cti_conv_least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline int64_t cti_conv_parts(int64_t n, int64_t part)
{
    return n / part + (n % part != 0);
}

/* n, in whole cache lines of floats */
static inline int64_t cti_conv_line(int64_t n)
{
    return (n + 15) / 16 * 16;
}

/* Unfolded correlations (conv_unfolded.c). cti_conv_is_unfolded is true if a correlation is
 * computed unfolded. The others return the number of pieces and the elements of room for a
 * worker, and compute a piece. */
bool cti_conv_is_unfolded(const cti_conv_job *j);
int64_t cti_conv_unfolded_pieces(const cti_conv_job *j);
int64_t cti_conv_unfolded_room(const cti_conv_job *j);
void cti_conv_run_unfolded(const cti_conv_job *j, int64_t number, char *room);

/* Convolutions of many channels (conv_direct.c). cti_conv_is_direct is true if the others compute
 * the job, whose axes must be filled in. */
bool cti_conv_is_direct(const cti_conv_job *j);
ct_status cti_conv_direct(cti_conv_job *j);
ct_status cti_conv_direct_weight(cti_conv_job *j);

#endif
