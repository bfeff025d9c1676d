/* world_internal.h - what a world is: its link to the other ranks, and the step in progress. (internal)
 *
 * world_link.c makes a link, over MPI or, in tests, over another transport. world_wait.c sends, receives
 * and waits. world_sum.c adds up over shards. world_shards.c cuts batches. world.c has the rest of the
 * public functions. world_fit.c is ct_fit's use of it. */
#ifndef COTANGENT_TRAIN_WORLD_INTERNAL_H
#define COTANGENT_TRAIN_WORLD_INTERNAL_H

#include "tensor/internal.h"

#include "train/world_sum.h"
#include "train/world_transport.h"

#include <cotangent/tensor/random.h>
#include <cotangent/train/world.h>

#define CTI_WORLD_SHARDS 1024 /* the most */

/* ---- the link of a process to the other ranks (world_link.c) ---- */

/* What a rank tells all others when it fails. */
typedef struct cti_failure {
    int32_t rank;
    char text[508]; /* "" if it only answers */
} cti_failure;

/* A rank, as it describes itself. A process on this machine can be asked for. */
typedef struct cti_peer {
    int64_t process;
    char host[120]; /* name and boot: equal on one machine */
} cti_peer;

typedef struct cti_link {
    cti_transport transport;
    cti_peer *peer;    /* of each rank */
    void *listening;   /* the request for the next failure of any rank, */
    cti_failure heard; /* which it fills in */
    cti_failure told;
    int failures; /* ranks that have told of a failure */
    bool crowded; /* this machine has more ranks than processors */
    bool broken, has_told;
    bool in_use; /* broken, and the transport may still write to memory of the worlds: it is kept */
    char reason[600]; /* if broken */
} cti_link;

/* What this rank sends that the others receive; in the order of a step. */
enum {
    CTI_TAG_FAILURE = 1,
    CTI_TAG_PARTS,
    CTI_TAG_SUMS,
    CTI_TAG_GATHER,
    CTI_TAG_BROADCAST,
    CTI_TAG_BARRIER
};

/* The rank and the number of ranks that a launcher's variables say, and the plug-in of its MPI. */
typedef struct cti_launched {
    int rank, ranks;
    const char *plugin, *mpi; /* "world-openmpi", "Open MPI"; NULL without a launcher */
} cti_launched;
cti_launched cti_world_launched(void);

/* The link of this process, which is opened once; NULL with *alone if there is one rank; NULL with an
 * error. */
cti_link *cti_link_open(const char *function, bool *alone);

/* Introduces this rank to the others, over a transport that is open; false with an error. */
bool cti_link_begin(cti_link *l);

/* ---- a world ---- */

/* A request that is waited for. */
typedef struct cti_waiting {
    void *request;
    int peer;
    size_t bytes;
    bool receives;
} cti_waiting;

/* The step in progress, from the first ct_world_shard to ct_world_reduce. */
typedef struct cti_world_step {
    ct_params *params; /* NULL: none is in progress */
    const ct_batch *batch;
    int64_t rows;
    int next;               /* the next shard of this rank */
    int added;              /* the next one that the sum gets */
    int current;            /* the shard in progress, or -1 */
    bool forward_only;      /* without gradients and buffers */
    bool more;              /* gradients are added to those of the next step */
    bool stop;              /* this rank asks for a stop; after the reduction: some rank has */
    ct_generator generator; /* of params, before the step */
    ct_tensor *
        *before; /* of each entry of params that is a buffer, its value before the step: owned */
    int entries;
    bool measured;               /* its sum has begun */
    double loss;                 /* of the last reduction, or of the only shard */
    double own[CTI_SUM_NUMBERS]; /* the numbers of the current shard; then the sums over all */
} cti_world_step;

/* What this rank has done, for tests: elements added, shards of which it had the rows, their rows. */
typedef struct cti_world_counts {
    uint64_t additions, shards, rows, bytes_sent;
} cti_world_counts;

struct ct_world {
    cti_link *link; /* NULL: one rank */
    int rank, ranks, shards;
    int first, end; /* the shards of this rank */
    double timeout;
    cti_waiting *waiting;
    size_t waiting_count, waiting_room;
    cti_sum sum;
    cti_world_step step;
    cti_world_counts counts;
};

/* The world of a link, which it does not own; the ranks compare themselves. NULL with an error. link may
 * be NULL: one rank. */
ct_world *cti_world_new_on(const char *function, cti_link *link, ct_world_options options);

/* The first shard of a rank. */
static inline int cti_world_first_shard(int rank, int ranks, int shards)
{
    return (int)((int64_t)rank * shards / ranks);
}

/* ---- messages (world_wait.c) ----
 *
 * All return false with CT_ERR_WORLD, which breaks the link. */

/* Begins to send or to receive; the bytes must stay until cti_world_wait. */
bool cti_world_send(ct_world *w, const char *function, const void *data, size_t bytes, int to,
                    int tag);
bool cti_world_receive(ct_world *w, const char *function, void *data, size_t bytes, int from,
                       int tag);

/* Waits for all that was begun. */
bool cti_world_wait(ct_world *w, const char *function);

/* Frees memory that the transport was given, unless it may still use it. libc's, as what MPI is given
 * must not be counted as lost by an allocator of the user's. */
void cti_world_release(ct_world *w, void *p);

/* True if the link is not broken; otherwise raises why. */
bool cti_world_usable(ct_world *w, const char *function);

/* Every rank's bytes, in order, to all, which has room for each rank. */
bool cti_world_gather(ct_world *w, const char *function, const void *mine, size_t bytes, void *all);
bool cti_world_spread(ct_world *w, const char *function, void *data, size_t bytes); /* of rank 0 */
bool cti_world_meet(ct_world *w, const char *function);

/* Tells the other ranks of a failure of this one, once, and waits up to 5 s for their answers. */
void cti_world_tell(ct_world *w, const char *text);

/* If an error is recorded, tells the others of it. */
void cti_world_tell_error(ct_world *w);

/* ---- shards (world_shards.c) ---- */

/* Gives params the gradients of steps that were to have more. */
void cti_world_finish_gradients(ct_world *w, ct_params *params);

/* Number i of the current shard, or of the last reduction. */
double *cti_world_number(ct_world *w, int i);

#endif
