/* world_sum.h - a vector of numbers and gradients that is added up over shards. (internal)
 *
 * The tree of additions is over the numbers of the shards, and has nothing to do with ranks. Node (k, i)
 * is the sum of shards i 2^k to (i + 1) 2^k - 1, those that exist; it is its left half plus its right
 * half. A half without rows is left out, not added as 0, because -0 + 0 is 0.
 *
 *     shards    0   1   2   3   4   5         6 shards on 2 ranks:
 *                \ /     \ /     \ /          rank 0 has 0 1 2, and sends (0+1), 2
 *                  \     /       /            rank 1 has 3 4 5, and sends 3, (4+5)
 *                    \ /       /              each adds up its half of the elements:
 *                      \     /                ((0+1) + (2+3)) + (4+5)
 *                        \ /
 *
 * A rank adds up what it can by itself, like a binary counter. Then each rank gets its segment of the
 * elements of all nodes, adds them up in the tree, and gives the sums to all. A rank sends and receives
 * 2 (R - 1) / R vectors, as in a ring, if R and S are powers of two. */
#ifndef COTANGENT_TRAIN_WORLD_SUM_H
#define COTANGENT_TRAIN_WORLD_SUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cotangent/tensor/tensor.h>

struct ct_world;

/* Numbers of a step: those of the user, of ct_fit, and of this module. */
#define CTI_SUM_USER 64
#define CTI_SUM_FIT 80 /* the sums of CT_METRICS metrics, and the losses of further optimisers */
#define CTI_SUM_COUNT (CTI_SUM_USER + CTI_SUM_FIT) /* the count of the loss */
#define CTI_SUM_LOSS (CTI_SUM_COUNT + 1)           /* count times the loss */
#define CTI_SUM_SHARDS (CTI_SUM_COUNT + 2)         /* 1 for each shard with rows */
#define CTI_SUM_NUMBERS (CTI_SUM_COUNT + 3)

/* The elements: doubles and floats, each cut into one segment for each rank. In memory a vector is one
 * segment after another; each is a head, its doubles and its floats. */
typedef struct cti_sum_layout {
    int64_t doubles, floats;
    int segments;
} cti_sum_layout;

/* A node with its vector. */
typedef struct cti_sum_node {
    int level;
    int64_t index;
    bool there; /* some shard of it has rows */
    char *bytes;
} cti_sum_node;

#define CTI_SUM_NODES 24 /* of one rank, at most 2 log2(shards) */

typedef struct cti_sum {
    cti_sum_layout layout;
    cti_sum_node node[CTI_SUM_NODES];
    int nodes;
    char *spare[CTI_SUM_NODES]; /* vectors that are not in use */
    int spares;
    char *total; /* of steps whose gradients are added up; NULL: none */
    char *received;
    size_t received_room;
    uint32_t step; /* of the sums so far: all ranks must be at the same one */
} cti_sum;

/* The place of element i of a vector's doubles or floats, and how many follow it there. */
double *cti_sum_doubles(const cti_sum_layout *l, char *vector, int64_t i, int64_t *run);
float *cti_sum_floats(const cti_sum_layout *l, char *vector, int64_t i, int64_t *run);

/* Begins a sum of vectors of these sizes. */
void cti_sum_begin(struct ct_world *w, int64_t doubles, int64_t floats);

/* A vector of zeros for the next shard; NULL with an error. */
char *cti_sum_vector(struct ct_world *w, const char *function);

/* Gives the next shard of this rank its vector; NULL: it has no rows. */
void cti_sum_add(struct ct_world *w, int shard, char *vector);

/* The sum over all shards, which is valid until the next sum begins. *stop: in, whether this rank asks
 * for a stop; out, whether one does. NULL with an error, and if no shard has rows. */
char *cti_sum_all(struct ct_world *w, const char *function, bool *stop);

/* Adds the sum, which this takes, to the total. */
void cti_sum_to_total(struct ct_world *w);

/* Ends the total, which may be NULL. */
void cti_sum_drop_total(struct ct_world *w);

void cti_sum_free(cti_sum *s);

#endif
