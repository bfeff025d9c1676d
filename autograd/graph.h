/* SPDX-License-Identifier: MIT */
/* graph.h - prints recorded history as a graph.
 *
 * Two environment variables print a report on stderr, without a change to the program:
 *     COTANGENT_DEBUG=1    at exit, the memory that the main thread used
 *     COTANGENT_DEBUG=2    also a line for each op, forward and backward: place, shapes, time
 *     COTANGENT_DEBUG=3    also the first value that is not finite, and the op that made it
 *     COTANGENT_PROFILE=1  at exit, calls and time of each op, forward and backward */
#ifndef COTANGENT_AUTOGRAD_GRAPH_H
#define COTANGENT_AUTOGRAD_GRAPH_H

#include <stdio.h>

#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Writes the history of t to out in the DOT language of Graphviz (`dot -Tsvg`): a box for each op
 * with the place of its call, an ellipse for each leaf, and on each edge the tensor that flows
 * along it. Does nothing while an error is recorded. Raises CT_ERR_GRAD if t has no history and
 * requires no gradient, CT_ERR_SCOPE if the history belongs to another thread or has ended,
 * CT_ERR_IO if out cannot be written, CT_ERR_MEMORY. */
ct_status ct_graph_dot(ct_tensor *t, FILE *out);

#ifdef __cplusplus
}
#endif
#endif
