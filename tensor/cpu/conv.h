/* conv.h - for the sources of convolutions: the parts of a correlation (conv.c). (internal) */
#ifndef COTANGENT_TENSOR_CPU_CONV_H
#define COTANGENT_TENSOR_CPU_CONV_H

#include "tensor/cpu/cpu.h"

/* One of both axes of a correlation. */
typedef struct cti_conv_axis {
    int64_t from_size, to_size; /* of source and result */
    int64_t first, to_step;     /* result number q is element first + q to_step */
    int64_t count;              /* results */
    int64_t from_step;
    int64_t low, high;       /* the least distance; by how much the greatest is above it */
    int64_t taps;            /* of the filter that take part, */
    int64_t *tap, *distance; /* their numbers and distances less low */
    int64_t planes;          /* remainders that are read */
    int64_t block, blocks;   /* results in a piece; pieces */
    int64_t length;          /* of a plane */
} cti_conv_axis;

typedef struct cti_conv_job {
    const cti_conv *c;
    const cti_row_loops *loops;
    int64_t size; /* of an element */
    const char *from, *bias;
    char *to;
    int64_t from_channels, to_channels; /* of a group */
    cti_conv_axis axis[2];
    int64_t together; /* images in a piece, one after another, */
    int64_t lanes;    /* or side by side: an element of the buffer is one of each */
    bool is_unfolded;
    int64_t plane, channel; /* elements of a plane of one image, and of a channel, in the buffer */
    int64_t depth;          /* elements of the filter for one result channel */
    int64_t wide, narrow;   /* positions of four vectors and of one */
    int64_t *offset;        /* (depth) */
    char *weights;          /* of each group blocks of channels: (depth, rows) */
    char *room;             /* room_elements for each worker */
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

/* conv_unfolded.c: whether a correlation is computed unfolded; then the number of its pieces, the
 * elements of room that a worker needs, and a piece. */
bool cti_conv_is_unfolded(const cti_conv_job *j);
int64_t cti_conv_unfolded_pieces(const cti_conv_job *j);
int64_t cti_conv_unfolded_room(const cti_conv_job *j);
void cti_conv_run_unfolded(const cti_conv_job *j, int64_t number, char *room);

#endif
