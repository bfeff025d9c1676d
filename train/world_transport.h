/* world_transport.h - how bytes go from rank to rank: the table that a plug-in fills in. (internal)
 *
 * A transport sends and receives without waiting. All waiting is in world_wait.c, which has a clock and
 * sees a rank that has ended. A plug-in binds to no symbol of the library. */
#ifndef COTANGENT_TRAIN_WORLD_TRANSPORT_H
#define COTANGENT_TRAIN_WORLD_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CTI_TRANSPORT_VERSION 1
#define CTI_TRANSPORT_SYMBOL "cti_transport_open"
#define CTI_TRANSPORT_MOST ((size_t)1 << 30) /* the most bytes of one message */
#define CTI_ANY_RANK (-1)

typedef struct cti_transport {
    uint32_t version;
    uint32_t size; /* of this struct */
    void *self;
    int rank, ranks;
    char reason[256]; /* why something failed */

    /* Both return a request, or NULL if they fail. The bytes must stay until it is done. Messages of one
     * sender, receiver and tag arrive in order. from may be CTI_ANY_RANK. */
    void *(*send)(struct cti_transport *t, const void *data, size_t bytes, int to, int tag);
    void *(*receive)(struct cti_transport *t, void *data, size_t bytes, int from, int tag);

    /* 1 if the request is done, which ends it, with the received bytes in *bytes; 0 if it is not; -1 if
     * it failed. */
    int (*test)(struct cti_transport *t, void *request, size_t *bytes);

    /* Gives up a request without waiting. True if its bytes are not used any more. */
    bool (*cancel)(struct cti_transport *t, void *request);

    /* False if the program has ended MPI by itself: nothing may be called then. */
    bool (*runs)(struct cti_transport *t);

    /* Ends all, when no request is open. */
    void (*finish)(struct cti_transport *t);
} cti_transport;

/* Fills in *t. False if it cannot, with the reason in t->reason. */
typedef bool (*cti_transport_open_function)(cti_transport *t);

#endif
