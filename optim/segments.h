/* segments.h - the table of segments that optimisers and clipping hand to the device. (internal) */
#ifndef COTANGENT_OPTIM_SEGMENTS_H
#define COTANGENT_OPTIM_SEGMENTS_H

#include "autograd/internal.h"

#include <cotangent/autograd/params.h>

/* The trained parameters of set that have a gradient, in order; *table is cti_calloc'ed, entry i of
 * it being parameter at[i] of the set. Returns their number, -1 with an error. */
int cti_segments(const char *function, const ct_params *set, cti_segment **table, int **at);

#endif
