/* SPDX-License-Identifier: MIT */
/* engine.h - declarations that autograd.c, leaf.c and backward.c share. (internal) */
#ifndef COTANGENT_AUTOGRAD_ENGINE_H
#define COTANGENT_AUTOGRAD_ENGINE_H

#include "autograd/internal.h"

/* Autograd's data of a leaf. All tensors here are references. */
typedef struct cti_leaf_state {
    cti_leaf base;
    ct_tensor *grad;       /* contiguous; NULL if the leaf has no gradient */
    ct_tensor *pending;    /* the gradient that the running pass gathers */
    ct_tensor *next;       /* the next in the list of leaves that the pass has touched */
    struct cti_pass *pass; /* the pass that has touched this leaf; NULL if none has */
    /* the new value of grad if the pass succeeds; NULL: pending is added in place */
    ct_tensor *sum;
    cti_hook *hooks;
} cti_leaf_state;

static inline cti_leaf_state *cti_leaf_of(const ct_tensor *t)
{
    return (cti_leaf_state *)t->leaf;
}

/* cti_hooks_free frees all hooks of a list; cti_hook_drop frees one hook of the list. */
void cti_hooks_free(cti_hook *h);
void cti_hook_drop(cti_hook **list, cti_hook *h);

/* True if the node of t is on th's tape. False for history of another thread or of an ended
 * scope. */
bool cti_on_this_tape(const ct_thread *th, const ct_tensor *t);

#endif
