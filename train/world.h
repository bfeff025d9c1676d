/* world.h - one training run by several processes: ranks, shards, and sums with the same bits.
 *
 *     mpirun -np 4 ./program            # Open MPI or MPICH; each process is a rank
 *
 * Every batch is cut into shards. A rank has some of them. Gradients, losses and running statistics are
 * added up over the shards in a binary tree over the numbers of the shards. So the bits depend on the
 * number of shards, and not on the number of ranks that share them. ct_fit does all of this by itself;
 * the functions below are for a loop of your own:
 *
 *     ct_world *w = ct_world_new((ct_world_options){ .shards = 4 });
 *
 *     while (ct_loader_step(l, &b)) {
 *         while (ct_world_shard(w, params, &b, &part))
 *             ct_world_backward(w, loss_of(m, &part), (double)part.tokens);
 *         ct_world_reduce(w, &loss);
 *         ct_clip_grad_norm(params, 1, NULL);
 *         ct_optimizer_step(optimizer);
 *     }
 *     ct_world_free(w);
 *
 * All ranks must run the same program on the same data, and must call these functions in the same
 * order. Every rank reads whole batches and uses the rows of its own shards. NULL for w is one process
 * with one shard. An error of one rank is an error of all: CT_ERR_WORLD, "rank 2: ...". After it a
 * world cannot be used. One thread at a time may use a world. docs/scaling.md has figures and commands.
 *
 * Without MPI, and in a program that no launcher started, a world has one rank, which may have many
 * shards: the bits are those of as many shards on several ranks. */
#ifndef COTANGENT_TRAIN_WORLD_H
#define COTANGENT_TRAIN_WORLD_H

#include <stdbool.h>
#include <stddef.h>

#include <cotangent/autograd/params/params.h>
#include <cotangent/data/batch.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ct_world ct_world;

typedef struct ct_world_options {
    int shards; /* into which every batch is cut, at most 1024; 0: COTANGENT_SHARDS, or else as many
                       * as there are ranks. There must be at least one for each rank */
    double timeout_s; /* a rank of which nothing is heard for so long is lost; 0:
                       * COTANGENT_WORLD_TIMEOUT, or else 600. After 10 s rank 0 says for whom it waits */
} ct_world_options;

/* This process among those that mpirun started. All ranks must call it. The first call starts MPI,
 * unless the program has; the end of the program ends it. CT_ERR_WORLD: a launcher started several
 * processes, but this build has no MPI, or no plug-in for this MPI; the ranks have other versions or
 * numbers of shards; a rank has ended. CT_ERR_ARGUMENT: fewer shards than ranks, sizes out of range. If
 * ranks have other processors or libraries, rank 0 prints a line: the last bits may then depend on
 * which rank has a shard. The caller frees the world. */
ct_world *ct_world_new(ct_world_options options);

/* NULL is allowed. If an error is recorded, the other ranks are told so. */
void ct_world_free(ct_world *w);

/* This process: 0 to size - 1; the number of processes; the number of shards. 0, 1 and 1 for NULL. */
int ct_world_rank(const ct_world *w);
int ct_world_size(const ct_world *w);
int ct_world_shards(const ct_world *w);

/* The rank of this process, and the number of processes, as the variables of a launcher say them, before
 * any world; 0 and 1 without a launcher. A program prints and saves if the rank is 0. */
int ct_world_launched_rank(void);
int ct_world_launched_size(void);

/* ---- a loop of your own ---- */

/* Fills in *part with the rows of this rank's next shard of b, of which every tensor must have
 * b->rows as its first size: views in the innermost scope. Shard s of S has rows floor(s rows / S) to
 * floor((s + 1) rows / S) - 1; shards without rows are left out. part->tokens are the shard's: the sum
 * of lengths if b has lengths that add up to b->tokens, otherwise the same share as of rows. Until the
 * next call, params' generator is in a random stream of the shard's own, and its buffers (running
 * statistics) have the values that they had before the batch. Returns false after the last shard and
 * after an error. The gradients of params must be clear before the first shard.
 * CT_ERR_ARGUMENT for a NULL and for another batch or params before ct_world_reduce. */
bool ct_world_shard(ct_world *w, ct_params *params, const ct_batch *b, ct_batch *part);

/* The number of the current shard; 0 outside of a shard. A recurrent state is carried per shard. */
int ct_world_current_shard(const ct_world *w);

/* ct_backward of count times the loss. mean_loss, of one element, is the mean over count tokens or rows
 * of the shard. CT_ERR_ARGUMENT for a count that is not above 0, and outside of a shard. */
ct_status ct_world_backward(ct_world *w, ct_tensor *mean_loss, double count);

/* Adds value to number i, 0 to CT_WORLD_NUMBERS - 1, of the current shard: something to add up over
 * all shards, such as correct answers. CT_ERR_ARGUMENT for another i, and outside of a shard. */
#define CT_WORLD_NUMBERS 64
ct_status ct_world_add(ct_world *w, int i, double value);

/* Gives the parameters the gradient of the mean loss over the whole batch, the same on every rank, and
 * their buffers the means over the shards. Writes the mean loss to *loss unless loss is NULL; NaN after
 * an error. A parameter gets a gradient if it has one in some shard. If an error is recorded,
 * tells the other ranks. CT_ERR_WORLD for an error of another rank. */
ct_status ct_world_reduce(ct_world *w, double *loss);

/* Number i, added up over all shards by the last ct_world_reduce. */
double ct_world_sum(const ct_world *w, int i);

/* ---- all ranks together ---- */

/* Gives every rank the bytes of rank 0. CT_ERR_ARGUMENT for a NULL. */
ct_status ct_world_broadcast(ct_world *w, void *data, size_t bytes);

/* Returns when all ranks have called it. */
ct_status ct_world_barrier(ct_world *w);

/* Tells all ranks: their next call with the world, and this one, raise CT_ERR_WORLD with this text.
 * Nothing exits. CT_ERR_ARGUMENT for a NULL text. */
ct_status ct_world_fail(ct_world *w, const char *text);

#ifdef __cplusplus
}
#endif
#endif
