/* SPDX-License-Identifier: MIT */
/* set.h - the structs of parameter sets. (internal)
 *
 * A set is a root and its parts. The root owns everything. A part is a prefix and the list of the
 * entries whose names begin with it, in order of registration; the whole set is also a part. */
#ifndef COTANGENT_AUTOGRAD_PARAMS_SET_H
#define COTANGENT_AUTOGRAD_PARAMS_SET_H

#include "autograd/internal.h"

#include <cotangent/autograd/params/params.h>

#include <pthread.h>

struct ct_param {
    struct params_root *root;
    char *name; /* the whole dotted name */
    int index;  /* in the list of the whole set */
    ct_shape shape;
    /* the initialiser that was registered, and the current one, which ct_params_init may change */
    ct_init own, init;
    uint64_t seed; /* the values are drawn from the stream of the name under this seed */
    _Atomic(ct_tensor *) value; /* owned; NULL while the entry is lazy */
    ct_dtype dtype;
    bool buffer, frozen;
    bool init_chosen; /* the initialiser was chosen by ct_params_init */
    /* the entry whose value this one shares, which is not tied itself; NULL if this one is not
     * tied */
    struct ct_param *tied;
};

/* An object that is freed with the set. */
typedef struct params_owned {
    void *object;
    void (*free_object)(void *);
    struct params_owned *next;
} params_owned;

/* A part of a set: the entries under a prefix. */
struct ct_params {
    struct params_root *root;
    char *prefix;     /* ends with a dot; "" for the whole set */
    ct_param **entry; /* owned by the root */
    int count;
    size_t room;
    struct ct_params *next;
};

typedef struct params_root {
    ct_params_options options;
    ct_generator generator; /* the generator for training, such as for dropout masks */
    bool evaluating;
    pthread_mutex_t lock; /* guards values and shapes while entries are materialized */
    params_owned *objects;
    ct_params *whole; /* the whole set as a part, with every entry */
    ct_params *parts; /* all parts; newest first */
    int ties;         /* the number of ties made so far */
} params_root;

#endif
