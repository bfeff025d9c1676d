/* SPDX-License-Identifier: MIT */
/* world.h - one training run by several processes: ranks, shards, and sums with the same bits.
 *
 *     mpirun -np 4 ./program            # Open MPI or MPICH; each process is a rank
 *
 * Every batch is cut into shards. Each rank computes some of them. Gradients, losses and running
 * statistics are added up over the shards in a binary tree over the shard numbers. So the bits
 * depend on the number of shards, and not on the number of ranks. ct_fit does all of this by
 * itself; the functions below are for a custom training loop:
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
 * order. Every rank reads whole batches and uses the rows of its own shards. If w is NULL, the
 * functions work as in one process with one shard. An error of one rank becomes an error of all
 * ranks: CT_ERR_WORLD, "rank 2: ...". After such an error the world cannot be used. One thread at a
 * time may use a world. docs/scaling.md has figures and commands.
 *
 * Without MPI, and in a program that no launcher started, a world has one rank. It may have many
 * shards. The bits are then the same as with that number of shards on several ranks. */
#ifndef COTANGENT_TRAIN_WORLD_H
#define COTANGENT_TRAIN_WORLD_H

#include <stdbool.h>
#include <stddef.h>

#include <cotangent/autograd/params/params.h>
#include <cotangent/data/batch.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The ranks and shards of a run. The caller frees it with ct_world_free. */
typedef struct ct_world ct_world;

typedef struct ct_world_options {
    /* The number of shards of a batch. It must be at least the number of ranks and at most 1024.
     * Default: the environment variable COTANGENT_SHARDS, or the number of ranks if it is unset. */
    int shards;
    /* The seconds without a message after which a rank counts as lost. After 10 s, rank 0 prints
     * which rank it waits for. Default: the environment variable COTANGENT_WORLD_TIMEOUT, or 600
     * if it is unset. */
    double timeout_s;
} ct_world_options;

/* Makes the world of the processes that mpirun started. All ranks must call it. The first call
 * starts MPI, unless the program has started it. MPI ends when the program ends. CT_ERR_WORLD: a
 * launcher started several processes, but this build has no MPI, or no plug-in for this MPI; the
 * ranks differ in version, in the number of shards or in ct_set_portable; a rank has ended.
 * CT_ERR_ARGUMENT: there are fewer shards than ranks, or an option is out of range. If the
 * processors or libraries of the ranks differ, rank 0 prints a line: the last bits may then
 * depend on which rank computes a shard. The caller frees the world. */
ct_world *ct_world_new(ct_world_options options);

/* NULL is allowed. If an error is recorded, sends it to the other ranks. */
void ct_world_free(ct_world *w);

/* The rank of this process (0 to size - 1), the number of processes, and the number of shards.
 * For NULL they are 0, 1 and 1. */
int ct_world_rank(const ct_world *w);
int ct_world_size(const ct_world *w);
int ct_world_shards(const ct_world *w);

/* The rank of this process, and the number of processes, from the environment variables of the
 * launcher. They need no world. Without a launcher they are 0 and 1. A program usually prints
 * and saves only if its rank is 0. */
int ct_world_launched_rank(void);
int ct_world_launched_size(void);

/* ---- a custom training loop ---- */

/* Fills in *part with the rows of this rank's next shard of b. They are views in the innermost
 * scope. The first size of every tensor of b must be b->rows. Shard s of S has rows floor(s rows
 * / S) to floor((s + 1) rows / S) - 1; shards without rows are skipped. part->tokens is the
 * number of tokens of the shard: the sum of its lengths if b has lengths that add up to
 * b->tokens, otherwise b->tokens times the share of the rows. Until the next call, the generator
 * of params uses a random stream of this shard alone, and the buffers of params (running
 * statistics) have the values from before the batch. Returns false after the last shard and
 * after an error. The gradients of params must be clear before the first shard. CT_ERR_ARGUMENT
 * if params, b or part is NULL, and if b or params changes before ct_world_reduce. */
bool ct_world_shard(ct_world *w, ct_params *params, const ct_batch *b, ct_batch *part);

/* The number of the current shard; 0 if no shard is in progress. A recurrent state must be
 * carried for each shard. */
int ct_world_current_shard(const ct_world *w);

/* Runs ct_backward on count times mean_loss. mean_loss has one element, the mean over `count`
 * tokens or rows of the shard. CT_ERR_ARGUMENT if count is not above 0, and if no shard is in
 * progress. */
ct_status ct_world_backward(ct_world *w, ct_tensor *mean_loss, double count);

/* Adds value to number i, 0 to CT_WORLD_NUMBERS - 1, of the current shard. ct_world_reduce adds
 * up these numbers over all shards; an example is the number of correct answers. CT_ERR_ARGUMENT
 * if i is out of range, and if no shard is in progress. */
#define CT_WORLD_NUMBERS 64
ct_status ct_world_add(ct_world *w, int i, double value);

/* Gives the parameters the gradient of the mean loss over the whole batch. It is the same on
 * every rank. Sets the buffers to their means over the shards. Writes the mean loss to *loss
 * unless loss is NULL; it is NaN after an error. A parameter gets a gradient if it has one in at
 * least one shard. If an error is recorded, sends it to the other ranks. CT_ERR_WORLD if another
 * rank has an error. */
ct_status ct_world_reduce(ct_world *w, double *loss);

/* Number i of ct_world_add, added up over all shards by the last ct_world_reduce. */
double ct_world_sum(const ct_world *w, int i);

/* ---- all ranks together ---- */

/* Copies the bytes of rank 0 to every rank. CT_ERR_ARGUMENT if data is NULL. */
ct_status ct_world_broadcast(ct_world *w, void *data, size_t bytes);

/* Returns when all ranks have called it. */
ct_status ct_world_barrier(ct_world *w);

/* Makes all ranks fail. This call, and the next call of every other rank with the world, raise
 * CT_ERR_WORLD with this text. No process exits. CT_ERR_ARGUMENT if text is NULL. */
ct_status ct_world_fail(ct_world *w, const char *text);

#ifdef __cplusplus
}
#endif
#endif
