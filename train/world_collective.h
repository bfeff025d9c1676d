/* SPDX-License-Identifier: MIT */
/* world_collective.h - the table of functions that a plug-in fills in, for sums between the GPUs of
 * ranks. (internal)
 *
 * A plug-in queues its work in a stream of the device, so that it runs in the order of the kernels.
 * It only moves floats: the additions are kernels of the device, because their order must not
 * depend on the plug-in. It uses no symbol of the library. */
#ifndef COTANGENT_TRAIN_WORLD_COLLECTIVE_H
#define COTANGENT_TRAIN_WORLD_COLLECTIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CTI_COLLECTIVE_VERSION 1
#define CTI_COLLECTIVE_SYMBOL "cti_collective_open"
#define CTI_COLLECTIVE_ID 128 /* bytes of the identity of a group of ranks */

/* Floats in device memory that go to a rank, or come from it. */
typedef struct cti_collective_piece {
    void *data;
    size_t floats;
    int peer;
    bool receives;
} cti_collective_piece;

/* Functions that return bool write to `reason` when they return false. */
typedef struct cti_collective {
    uint32_t version;
    uint32_t size;    /* the size of this struct */
    char library[40]; /* "NCCL 2.18.5"; it must be equal on all ranks */
    char reason[256];
    void *self; /* NULL if this rank is in no group */

    /* Rank 0 makes the identity of a new group, and then all ranks join it. join returns when all
     * ranks have called it. It uses the device that is current on the thread. */
    bool (*make_identity)(struct cti_collective *c, char identity[CTI_COLLECTIVE_ID]);
    bool (*join)(struct cti_collective *c, const char identity[CTI_COLLECTIVE_ID], int rank,
                 int ranks);

    /* Queue work in the stream. exchange sends and receives all pieces at once. Pieces between two
     * ranks arrive in the order in which they are listed. all_gather writes `floats` floats of each
     * rank to all, in the order of the ranks. */
    bool (*exchange)(struct cti_collective *c, const cti_collective_piece *pieces, int count,
                     void *stream);
    bool (*all_gather)(struct cti_collective *c, const void *own, void *all, size_t floats,
                       void *stream);

    /* Returns false if queued work has failed. */
    bool (*good)(struct cti_collective *c);

    /* Leave the group, after queued work is done; abandon does not wait for it. */
    void (*leave)(struct cti_collective *c);
    void (*abandon)(struct cti_collective *c);
} cti_collective;

/* Fills in *c. If it fails, returns false and writes the reason to c->reason. */
typedef bool (*cti_collective_open_function)(cti_collective *c);

#endif
