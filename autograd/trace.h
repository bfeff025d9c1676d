/* SPDX-License-Identifier: MIT */
/* trace.h - functions behind COTANGENT_DEBUG and COTANGENT_PROFILE, which graph.h describes.
 * (internal)
 *
 * While neither is set, an op costs one branch on cti_tracing. The time of an op ends at its
 * ct_record. It starts at the user's call, or at the end of the previous op if that is later. Ops
 * that run inside the backward function of a node count towards that node. */
#ifndef COTANGENT_AUTOGRAD_TRACE_H
#define COTANGENT_AUTOGRAD_TRACE_H

#include "autograd/internal.h"

/* Reports that op `name` has made outputs from inputs, which may hold NULLs. */
void cti_trace_op(const char *name, int inputs_count, ct_tensor *const *inputs, int outputs_count,
                  ct_tensor *const *outputs);

/* Reports that the backward function of n has run; began is cti_nanoseconds() at its start. */
void cti_trace_backward(const ct_node *n, uint64_t began);

/* Reports that n has computed g, the gradient of its input i. */
void cti_trace_gradient(const ct_node *n, int i, const ct_tensor *g);

/* The row-major index of the first element of t that is not finite, and its value; -1 if all
 * are. */
int64_t cti_find_non_finite(const ct_tensor *t, double *value);

#endif
