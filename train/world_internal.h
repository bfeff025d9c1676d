/* SPDX-License-Identifier: MIT */
/* world_internal.h - the struct of a world: its link to the other ranks, and the step in progress.
 * (internal)
 *
 * world_link.c makes a link, over MPI or, in tests, over another transport. world_wait.c sends,
 * receives and waits. world_sum.c adds up over shards, world_gpu.c on GPUs. world_shards.c cuts
 * batches. world.c has the other public functions. world_fit.c connects worlds to ct_fit. */
#ifndef COTANGENT_TRAIN_WORLD_INTERNAL_H
#define COTANGENT_TRAIN_WORLD_INTERNAL_H

#include "tensor/internal.h"

#include "train/world_collective.h"
#include "train/world_sum.h"
#include "train/world_transport.h"

#include <cotangent/tensor/random.h>
#include <cotangent/train/world.h>

#define CTI_WORLD_SHARDS 1024 /* the maximum number of shards */

/* ---- the link of a process to the other ranks (world_link.c) ---- */

/* The message that a rank sends to all others when it fails, and again when it ends. */
typedef struct cti_failure {
    int32_t rank;
    int32_t ends;   /* 1: the rank has printed everything, and its process ends */
    char text[504]; /* "" in an answer */
} cti_failure;

/* The description that a rank gives of itself. If host is that of this machine, this rank can
 * check whether the process exists. */
typedef struct cti_peer {
    int64_t process;
    char host[120]; /* the name and the boot of the machine; equal for processes on one machine */
} cti_peer;

typedef struct cti_link {
    cti_transport transport;
    cti_peer *peer;    /* one for each rank */
    void *listening;   /* the request that receives the next failure of any rank */
    cti_failure heard; /* the message that this request receives */
    cti_failure told;
    int failures; /* the number of ranks whose failure has arrived */
    int ends;     /* the number of ranks that have said that they end */
    cti_failure end;
    bool crowded; /* true if this machine has more ranks than processors */
    bool broken, has_told;
    /* True if the link is broken and the transport may still use memory of the worlds; that
     * memory is then kept. */
    bool in_use;
    char reason[600]; /* the reason if the link is broken */
} cti_link;

/* The tags of messages. */
enum {
    CTI_TAG_FAILURE = 1,
    CTI_TAG_PARTS,
    CTI_TAG_SUMS,
    CTI_TAG_GATHER,
    CTI_TAG_BROADCAST,
    CTI_TAG_BARRIER
};

/* The rank and the number of ranks from the launcher's variables, and the plug-in for its MPI. */
typedef struct cti_launched {
    int rank, ranks;
    const char *plugin, *mpi; /* "world-openmpi", "Open MPI"; NULL without a launcher */
} cti_launched;
cti_launched cti_world_launched(void);

/* Returns the link of this process, which is opened once. If there is one rank, returns NULL and
 * sets *alone. Returns NULL with an error otherwise. */
cti_link *cti_link_open(const char *function, bool *alone);

/* Exchanges the descriptions of the ranks over an open transport. Returns false with an error. */
bool cti_link_begin(cti_link *l);

/* ---- a world ---- */

/* A request in progress, for cti_world_wait. */
typedef struct cti_waiting {
    void *request;
    int peer;
    size_t bytes;
    bool receives;
} cti_waiting;

/* The step in progress, from the first ct_world_shard to ct_world_reduce. */
typedef struct cti_world_step {
    ct_params *params; /* NULL if no step is in progress */
    const ct_batch *batch;
    int64_t rows;
    int next;          /* the next shard of this rank */
    int added;         /* the next shard that will be given to the sum */
    int current;       /* the shard in progress, or -1 */
    bool forward_only; /* true for a step without gradients and buffers */
    bool more;         /* true if the gradients will be added to those of the next step */
    /* True if this rank asks for a stop; after the reduction, if any rank asked. */
    bool stop;
    ct_generator generator; /* the generator of params before the step */
    ct_tensor *
        *before; /* the value before the step of each entry of params that is a buffer; owned */
    int entries;
    bool measured; /* true if its sum has started */
    double loss;   /* the loss of the last reduction, or of the only shard */
    /* The numbers of the current shard; after the reduction, the sums over all shards. */
    double own[CTI_SUM_NUMBERS];
} cti_world_step;

/* Counts of the work of this rank, for tests: elements added, shards with rows, their rows, and
 * bytes sent through MPI. */
typedef struct cti_world_counts {
    uint64_t additions, shards, rows, bytes_sent;
} cti_world_counts;

/* The GPU of this rank (world_gpu.c). */
typedef struct cti_world_gpu {
    ct_device device; /* CT_CPU until the first step on a GPU, when the ranks compare theirs */
    bool sums;        /* true if f32 gradients on the device are added up there */
    cti_collective collective;
    void *event; /* marks the end of a sum */
} cti_world_gpu;

struct ct_world {
    cti_link *link; /* NULL if there is one rank */
    int rank, ranks, shards;
    int first, end; /* the first shard of this rank, and the one after its last */
    double timeout;
    cti_waiting *waiting;
    size_t waiting_count, waiting_room;
    cti_sum sum;
    cti_world_gpu gpu;
    cti_world_step step;
    cti_world_counts counts;
};

/* Makes a world on a link, which it does not own, and compares the ranks. link is NULL if there
 * is one rank. Returns NULL with an error. */
ct_world *cti_world_new_on(const char *function, cti_link *link, ct_world_options options);

/* The first shard of a rank. */
static inline int cti_world_first_shard(int rank, int ranks, int shards)
{
    return (int)((int64_t)rank * shards / ranks);
}

/* ---- messages (world_wait.c) ----
 *
 * If they fail, they return false with CT_ERR_WORLD, and the link is broken. */

/* Start to send or to receive. The bytes must stay valid until cti_world_wait returns. */
bool cti_world_send(ct_world *w, const char *function, const void *data, size_t bytes, int to,
                    int tag);
bool cti_world_receive(ct_world *w, const char *function, void *data, size_t bytes, int from,
                       int tag);

/* Waits for all requests in progress. */
bool cti_world_wait(ct_world *w, const char *function);

/* Waits until done(w) is not 0, and returns it: above 0 if the awaited work of this rank's device is
 * done, below 0 if it has failed. Returns -1 with an error if another rank fails meanwhile. */
int cti_world_wait_until(ct_world *w, const char *function, int (*done)(ct_world *w));

/* Frees memory that was passed to the transport, unless the transport may still use it. The
 * memory must come from malloc of the C library, because an allocator of the user would report
 * the memory that MPI keeps as a leak. */
void cti_world_release(ct_world *w, void *p);

/* True if the link is not broken; otherwise raises the reason. */
bool cti_world_usable(ct_world *w, const char *function);

/* Collective functions. cti_world_gather writes the bytes of every rank to `all`, in the order
 * of the ranks. cti_world_spread copies the bytes of rank 0 to every rank. cti_world_meet
 * returns when all ranks have called it. */
bool cti_world_gather(ct_world *w, const char *function, const void *mine, size_t bytes, void *all);
bool cti_world_spread(ct_world *w, const char *function, void *data, size_t bytes);
bool cti_world_meet(ct_world *w, const char *function);

/* Sends a failure of this rank to the other ranks, once, and waits up to 5 s for their answers. */
void cti_world_tell(ct_world *w, const char *text);

/* If an error is recorded, sends it to the other ranks. */
void cti_world_tell_error(ct_world *w);

/* For the end of a program whose link is broken: waits up to 2 s until all ranks have come here. A
 * launcher that sees a process fail kills the others, which may not have printed why yet. */
void cti_world_end_together(ct_world *w);

/* ---- GPUs (world_gpu.c) ---- */

/* If the device is a GPU, and the first one of this world: compares the GPUs of all ranks, and makes
 * a group of them if they can add up gradients. All ranks must call it. Returns false with an
 * error. */
bool cti_gpu_meet(ct_world *w, const char *function, ct_device device);

/* Ends the group: after queued work is done, or at once. */
void cti_gpu_leave(ct_world *w);
void cti_gpu_abandon(ct_world *w);

/* Memory of the device with this number of zeros; NULL with an error. */
struct ct_storage *cti_gpu_new(ct_device device, int64_t floats);

/* Kernels of the device: a += b; to = from, or zeros for a NULL; to = from / by, rounded from
 * double. `to` and `from` are contiguous and f32. */
void cti_gpu_add(ct_device device, float *a, const float *b, int64_t n);
void cti_gpu_put(ct_device device, float *to, const ct_tensor *from, int64_t n);
void cti_gpu_get(const char *function, ct_tensor *to, float *from, double by);

/* Queue messages between the GPUs. cti_gpu_all_gather waits for the device; own may be a part of
 * all. They return false with an error. */
bool cti_gpu_exchange(ct_world *w, const char *function, const cti_collective_piece *pieces,
                      int count);
bool cti_gpu_all_gather(ct_world *w, const char *function, const float *own, float *all,
                        int64_t floats);

/* ---- shards (world_shards.c) ---- */

/* Gives params the gradients of the batches of an update that ended before all its batches. */
void cti_world_finish_gradients(ct_world *w, ct_params *params);

/* Number i of the current shard, or of the last reduction. */
double *cti_world_number(ct_world *w, int i);

#endif
