/* SPDX-License-Identifier: MIT */
/* world_nccl.c - a plug-in that moves floats between GPUs, over NCCL. It is compiled a second time,
 * for the emulated GPU, with the stand-in of cuda/emu/nccl.
 *
 * It uses point-to-point messages and all-gather only. The order of the additions of ncclAllReduce
 * depends on the topology and on the size. */
#include "train/world_collective.h"

#include <nccl.h>
#include <stdio.h>
#include <string.h>

_Static_assert(CTI_COLLECTIVE_ID == NCCL_UNIQUE_ID_BYTES, "an identity is a unique id of NCCL");

/* Returns true if result is ncclSuccess; otherwise writes the reason. */
static bool nccl_good(cti_collective *c, const char *call, ncclResult_t result)
{
    if (result == ncclSuccess)
        return true;
    snprintf(c->reason, sizeof c->reason, "%s: %.200s", call, ncclGetErrorString(result));
    return false;
}

static bool nccl_make_identity(cti_collective *c, char identity[CTI_COLLECTIVE_ID])
{
    ncclUniqueId id;

    if (!nccl_good(c, "ncclGetUniqueId", ncclGetUniqueId(&id)))
        return false;
    memcpy(identity, id.internal, sizeof id.internal);
    return true;
}

static bool nccl_join(cti_collective *c, const char identity[CTI_COLLECTIVE_ID], int rank,
                      int ranks)
{
    ncclComm_t comm = NULL;
    ncclUniqueId id;

    memcpy(id.internal, identity, sizeof id.internal);
    if (!nccl_good(c, "ncclCommInitRank", ncclCommInitRank(&comm, ranks, id, rank)))
        return false;
    c->self = comm;
    return true;
}

static bool nccl_exchange(cti_collective *c, const cti_collective_piece *piece, int count,
                          void *stream)
{
    bool good = nccl_good(c, "ncclGroupStart", ncclGroupStart());

    if (!good)
        return false;
    for (int i = 0; i < count && good; i++)
        good = piece[i].receives ? nccl_good(c, "ncclRecv",
                                             ncclRecv(piece[i].data, piece[i].floats, ncclFloat,
                                                      piece[i].peer, c->self, stream))
                                 : nccl_good(c, "ncclSend",
                                             ncclSend(piece[i].data, piece[i].floats, ncclFloat,
                                                      piece[i].peer, c->self, stream));
    /* the group must be closed after an error, too */
    return nccl_good(c, "ncclGroupEnd", ncclGroupEnd()) && good;
}

static bool nccl_all_gather(cti_collective *c, const void *own, void *all, size_t floats,
                            void *stream)
{
    return nccl_good(c, "ncclAllGather",
                     ncclAllGather(own, all, floats, ncclFloat, c->self, stream));
}

static bool nccl_is_good(cti_collective *c)
{
    ncclResult_t result = ncclSuccess;

    return nccl_good(c, "ncclCommGetAsyncError", ncclCommGetAsyncError(c->self, &result)) &&
           nccl_good(c, "NCCL", result);
}

static void nccl_leave(cti_collective *c)
{
    ncclCommDestroy(c->self);
    c->self = NULL;
}

static void nccl_abandon(cti_collective *c)
{
    ncclCommAbort(c->self);
    c->self = NULL;
}

bool cti_collective_open(cti_collective *c);

bool cti_collective_open(cti_collective *c)
{
    int version = 0;

    if (c->version != CTI_COLLECTIVE_VERSION || c->size != sizeof *c) {
        snprintf(c->reason, sizeof c->reason, "the plug-in is of another version");
        return false;
    }
    if (!nccl_good(c, "ncclGetVersion", ncclGetVersion(&version)))
        return false;
    snprintf(c->library, sizeof c->library, "NCCL %d.%d.%d", version / 10000, version / 100 % 100,
             version % 100);
    c->make_identity = nccl_make_identity;
    c->join = nccl_join;
    c->exchange = nccl_exchange;
    c->all_gather = nccl_all_gather;
    c->good = nccl_is_good;
    c->leave = nccl_leave;
    c->abandon = nccl_abandon;
    return true;
}
