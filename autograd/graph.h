/* graph.h - a look at recorded history.
 *
 * Without a line of code, the environment shows what a program does, on stderr:
 *     COTANGENT_DEBUG=1    at exit, the memory that its main thread used
 *     COTANGENT_DEBUG=2    also a line for each op and for each op's backward: place, shapes, time
 *     COTANGENT_DEBUG=3    also the first value that is not finite, and the op that made it
 *     COTANGENT_PROFILE=1  at exit, calls and time of each op, forward and backward */
#ifndef COTANGENT_AUTOGRAD_GRAPH_H
#define COTANGENT_AUTOGRAD_GRAPH_H

#include <stdio.h>

#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Writes the history of t to out in the language of Graphviz (`dot -Tsvg`): a box for each op with
 * the place of its call, an ellipse for each leaf, on each edge the tensor that flows. CT_ERR_GRAD
 * if t has no history and requires no gradient; CT_ERR_SCOPE if its history is another thread's or
 * has ended; CT_ERR_IO if out cannot be written. */
ct_status ct_graph_dot(ct_tensor *t, FILE *out);

#ifdef __cplusplus
}
#endif
#endif
