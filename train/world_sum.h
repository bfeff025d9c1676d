/* SPDX-License-Identifier: MIT */
/* world_sum.h - a vector of numbers and gradients that is added up over shards. (internal)
 *
 * The tree of additions is built on the shard numbers and does not depend on the ranks. Node (k, i)
 * is the sum of shards i 2^k to (i + 1) 2^k - 1, those that exist; it is its left half plus its
 * right half. A half without rows is left out. It is not added as 0, because -0 + 0 is 0.
 *
 *     shards    0   1   2   3   4   5         6 shards on 2 ranks:
 *                \ /     \ /     \ /          rank 0 has 0 1 2, and sends (0+1), 2
 *                  \     /       /            rank 1 has 3 4 5, and sends 3, (4+5)
 *                    \ /       /              each adds up its half of the elements:
 *                      \     /                ((0+1) + (2+3)) + (4+5)
 *                        \ /
 *
 * A rank first adds up the nodes that need only its own shards, like a binary counter. Then each
 * rank receives its segment of the elements of all nodes, adds them up in the tree, and sends
 * the sums to all ranks. A rank sends and receives 2 (R - 1) / R vectors, as in a ring, if the
 * number of ranks R and of shards are powers of two. */
#ifndef COTANGENT_TRAIN_WORLD_SUM_H
#define COTANGENT_TRAIN_WORLD_SUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cotangent/tensor/tensor.h>

struct ct_world;
struct ct_storage;

/* The numbers of a step. The user has the first ones, ct_fit the next ones, and this module the
 * last three. */
#define CTI_SUM_USER 64
#define CTI_SUM_FIT 80 /* the sums of CT_METRICS metrics, and the losses of further optimisers */
#define CTI_SUM_COUNT (CTI_SUM_USER + CTI_SUM_FIT) /* the count of the loss */
#define CTI_SUM_LOSS (CTI_SUM_COUNT + 1)           /* count times the loss */
#define CTI_SUM_SHARDS (CTI_SUM_COUNT + 2)         /* 1 for each shard with rows */
#define CTI_SUM_NUMBERS (CTI_SUM_COUNT + 3)

/* The numbers of doubles and of floats of a vector, which is cut into one segment for each rank.
 * In memory the segments follow one another. Each has a head, its doubles and its floats. A vector
 * may have more floats in the memory of a GPU, cut in the same way, without heads. */
typedef struct cti_sum_layout {
    int64_t doubles, floats, gpu_floats;
    int segments;
} cti_sum_layout;

/* The memory of a vector. bytes is NULL if there is no vector. gpu is NULL if gpu_floats is 0. */
typedef struct cti_sum_memory {
    char *bytes;
    struct ct_storage *gpu;
} cti_sum_memory;

/* A node with its vector, or with a segment of it. */
typedef struct cti_sum_node {
    int level;
    int64_t index;
    bool there; /* true if at least one of its shards has rows */
    char *bytes;
    float *gpu;
    struct ct_storage *storage; /* the memory of gpu, if the node owns it */
} cti_sum_node;

/* The maximum number of nodes of one rank, which is at most 2 log2(shards). */
#define CTI_SUM_NODES 24

typedef struct cti_sum {
    cti_sum_layout layout;
    cti_sum_node node[CTI_SUM_NODES];
    int nodes;
    cti_sum_memory spare[CTI_SUM_NODES]; /* vectors that are not in use */
    int spares;
    cti_sum_memory total; /* the sum of the steps of an update so far; it may have no vector */
    char *received;
    size_t received_room;
    struct ct_storage *gpu_received;
    int64_t gpu_received_room; /* floats */
    uint32_t step;             /* the number of sums so far; it must be equal on all ranks */
} cti_sum;

/* The address of element i of a vector's doubles or floats. *run is the number of elements from
 * there to the end of its segment. */
double *cti_sum_doubles(const cti_sum_layout *l, char *vector, int64_t i, int64_t *run);
float *cti_sum_floats(const cti_sum_layout *l, char *vector, int64_t i, int64_t *run);

float *cti_sum_gpu_floats(const cti_sum_memory *vector, int64_t i);

/* Starts a sum of vectors of these sizes. */
void cti_sum_begin(struct ct_world *w, int64_t doubles, int64_t floats, int64_t gpu_floats);

/* A vector for the next shard, whose padding is 0. It has no bytes after an error. */
cti_sum_memory cti_sum_vector(struct ct_world *w, const char *function);

/* Adds the vector of the next shard of this rank. It has no bytes if the shard has no rows. */
void cti_sum_add(struct ct_world *w, int shard, cti_sum_memory vector);

/* Returns the sum over all shards, which is valid until the next sum starts. *stop must be true
 * if this rank asks for a stop. It becomes true if any rank asks. The sum has no bytes after an
 * error, and if no shard has rows. */
cti_sum_memory cti_sum_all(struct ct_world *w, const char *function, bool *stop);

/* Adds the sum to the total, and takes its memory. */
void cti_sum_to_total(struct ct_world *w);

/* Drops the total, if there is one. */
void cti_sum_drop_total(struct ct_world *w);

void cti_sum_free(cti_sum *s);

#endif
