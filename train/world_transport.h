/* SPDX-License-Identifier: MIT */
/* world_transport.h - the table of functions that a plug-in fills in, for messages between ranks.
 * (internal)
 *
 * A transport sends and receives without waiting. All waiting is in world_wait.c, which checks
 * the clock and detects ranks that have ended. A plug-in uses no symbol of the library. */
#ifndef COTANGENT_TRAIN_WORLD_TRANSPORT_H
#define COTANGENT_TRAIN_WORLD_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CTI_TRANSPORT_VERSION 1
#define CTI_TRANSPORT_SYMBOL "cti_transport_open"
#define CTI_TRANSPORT_MOST ((size_t)1 << 30) /* the maximum number of bytes of one message */
#define CTI_ANY_RANK (-1)

typedef struct cti_transport {
    uint32_t version;
    uint32_t size; /* the size of this struct */
    void *self;
    int rank, ranks;
    char reason[256]; /* the reason of the last failure */

    /* Both return a request, or NULL if they fail. The bytes must stay valid until the request
     * is done. Messages with the same sender, receiver and tag arrive in order. `from` may be
     * CTI_ANY_RANK. */
    void *(*send)(struct cti_transport *t, const void *data, size_t bytes, int to, int tag);
    void *(*receive)(struct cti_transport *t, void *data, size_t bytes, int from, int tag);

    /* Returns 1 if the request is done, 0 if it is not, and -1 if it failed. If it is done, the
     * request ends and *bytes is the number of received bytes. */
    int (*test)(struct cti_transport *t, void *request, size_t *bytes);

    /* Cancels a request without waiting. Returns true if its bytes are no longer used. */
    bool (*cancel)(struct cti_transport *t, void *request);

    /* Returns false if the program itself has ended MPI. No other function may be called then. */
    bool (*runs)(struct cti_transport *t);

    /* Ends the transport. No request may be in progress. */
    void (*finish)(struct cti_transport *t);
} cti_transport;

/* Fills in *t. If it fails, returns false and writes the reason to t->reason. */
typedef bool (*cti_transport_open_function)(cti_transport *t);

#endif
