/* engine.h - what the files of the engine share: autograd.c, leaf.c, backward.c. (internal) */
#ifndef COTANGENT_AUTOGRAD_ENGINE_H
#define COTANGENT_AUTOGRAD_ENGINE_H

#include "autograd/internal.h"

/* What hangs on a leaf. All tensors here are references. */
typedef struct cti_leaf_state {
    cti_leaf base;
    ct_tensor *grad;       /* contiguous; NULL for none */
    ct_tensor *pending;    /* of the pass that is running */
    ct_tensor *next;       /* the next leaf that the pass has touched */
    struct cti_pass *pass; /* the pass that has touched this one; NULL for none */
    ct_tensor *sum;        /* what replaces grad if the pass succeeds; NULL: pending is added */
    cti_hook *hooks;
} cti_leaf_state;

static inline cti_leaf_state *cti_leaf_of(const ct_tensor *t)
{
    return (cti_leaf_state *)t->leaf;
}

/* Frees all hooks of a list, or one that is in it. */
void cti_hooks_free(cti_hook *h);
void cti_hook_drop(cti_hook **list, cti_hook *h);

/* True if the node of t is on th's tape. History of another thread, or of a scope that has ended, is
 * not. */
bool cti_on_this_tape(const ct_thread *th, const ct_tensor *t);

#endif
