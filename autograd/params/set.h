/* set.h - what a parameter set is made of. (internal)
 *
 * A set is a root and its parts. The root owns everything; each part, the whole set included, is a
 * prefix and the list of the entries under it, in order of registration. */
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
    ct_init own, init;          /* as registered; as in use, which ct_params_init may change */
    uint64_t seed;              /* values come from the stream of this seed and the name */
    _Atomic(ct_tensor *) value; /* owned; NULL while the entry is lazy */
    bool buffer, frozen;
    bool init_chosen;      /* init was chosen by ct_params_init */
    struct ct_param *tied; /* the entry whose value this one shares, itself not tied; or NULL */
};

/* An object that is freed with the set. */
typedef struct params_owned {
    void *object;
    void (*free_object)(void *);
    struct params_owned *next;
} params_owned;

/* The part of a set under a prefix. */
struct ct_params {
    struct params_root *root;
    char *prefix;     /* with its dot; "" for the whole set */
    ct_param **entry; /* owned by the root */
    int count;
    size_t room;
    struct ct_params *next;
};

typedef struct params_root {
    ct_params_options options;
    ct_generator generator; /* for random draws in training, such as dropout masks */
    bool evaluating;
    pthread_mutex_t lock; /* guards materializing: values and shapes */
    params_owned *objects;
    ct_params *whole; /* one of the parts: prefix "", every entry */
    ct_params *parts; /* all parts; the newest first */
    int ties;         /* made so far */
} params_root;

#endif
