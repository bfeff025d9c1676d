/* trace.h - what COTANGENT_DEBUG and COTANGENT_PROFILE show. (internal)
 *
 *     COTANGENT_DEBUG=1    at exit, the memory that its main thread used
 *     COTANGENT_DEBUG=2    also a line for each op and each node's backward: place, shapes, time
 *     COTANGENT_DEBUG=3    also the first value that is not finite, and the op that made it
 *     COTANGENT_PROFILE=1  at exit, calls and time of each op, forward and backward
 *
 * All of it goes to stderr. While neither is set, an op pays for one branch on cti_tracing. An op's
 * time runs from the user's call, or the op before if that was later, to its ct_record. What runs
 * inside a node's backward counts to that node. */
#ifndef COTANGENT_AUTOGRAD_TRACE_H
#define COTANGENT_AUTOGRAD_TRACE_H

#include "autograd/internal.h"

/* An op made outputs of inputs (NULLs allowed). */
void cti_trace_op(const char *name, int inputs_count, ct_tensor *const *inputs, int outputs_count,
                  ct_tensor *const *outputs);

/* A node's backward ran; began is cti_nanoseconds() at its start. */
void cti_trace_backward(const ct_node *n, uint64_t began);

/* It gave g as the gradient of input i. */
void cti_trace_gradient(const ct_node *n, int i, const ct_tensor *g);

/* The first element of t, row-major, that is not finite, and its value; -1 if there is none. */
int64_t cti_find_non_finite(const ct_tensor *t, double *value);

#endif
