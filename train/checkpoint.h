/* SPDX-License-Identifier: MIT */
/* checkpoint.h - the checkpoints of a training loop of your own. ct_fit writes its own through the same
 * code.
 *
 *     ct_loader *train = ...;
 *     ct_optimizer *adam = ...;
 *     int64_t epoch = 0;
 *     const ct_saved_number numbers[] = { { .name = "epoch", .i64 = &epoch }, { NULL } };
 *     ct_checkpoint c = { .params = params, .optimizers = &adam, .optimizer_count = 1,
 *                         .loaders = &train, .loader_count = 1, .numbers = numbers };
 *     bool resumed = access(path, F_OK) == 0;
 *
 *     if (resumed)
 *         ct_checkpoint_load(&c, path);
 *     for (; epoch < 10 && ct_ok(); epoch++) {
 *         if (!resumed)
 *             ct_loader_begin(train);
 *         resumed = false;
 *         while (ct_loader_step(train, &batch)) {
 *             ... a step; from time to time, after it: ct_checkpoint_save(&c, path);
 *         }
 *     }
 *
 * With the same build and kind of processor, a loop that resumes ends with the same bits as one that was
 * not interrupted, if everything that it changes is in the checkpoint. Gradients are not: save after an
 * update, not between two backward passes of one. */
#ifndef COTANGENT_TRAIN_CHECKPOINT_H
#define COTANGENT_TRAIN_CHECKPOINT_H

#include <cotangent/autograd/params/params.h>
#include <cotangent/data/loader.h>
#include <cotangent/nn/state.h>
#include <cotangent/optim/optimizer.h>
#include <cotangent/tensor/safetensors.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CT_CHECKPOINT_PARTS 8    /* the limit for each kind of part */
#define CT_CHECKPOINT_NUMBERS 64 /* the most numbers */

/* A number of the loop: a counter, a best loss. One of the two pointers is NULL. */
typedef struct ct_saved_number {
    const char *name; /* 1 to 63 letters, digits, '_', '.'; unique */
    int64_t *i64;
    double *f64;
} ct_saved_number;

/* What a checkpoint holds. Everything but params is optional; nothing changes its owner. */
typedef struct ct_checkpoint {
    ct_params *params; /* parameters, buffers and the set's generator */
    /* with state, rates, groups and schedule */
    ct_optimizer *const *optimizers;
    int optimizer_count;
    ct_loader *const *loaders; /* their positions, also within an epoch */
    int loader_count;
    ct_state **states; /* recurrent states, each NULL or owned (ct_state_copy_new) */
    int state_count;
    ct_generator *const *generators; /* generators of your own, beside the set's */
    int generator_count;
    const ct_saved_number *numbers; /* a NULL name ends them; NULL: none */
    /* pairs that a pair of NULLs ends, which must be the same when a loop resumes; NULL: none */
    const ct_metadata *hyperparameters;
    /* a text for the program that loads the model (metadata key "cotangent.model"), which must be the
     * same, too; NULL: none */
    const char *model_json;
} ct_checkpoint;

/* Writes everything in c to one safetensors file. Atomic: whatever fails, path holds the old file or the
 * complete new one. The weights have their own names in it, so that ct_params_load with .non_strict, and
 * PyTorch, read them. Does nothing while an error is recorded. CT_ERR_ARGUMENT for a NULL c, path, params
 * or entry of an array, for an entry that appears twice, for a count out of range, for a bad or repeated name of a number, for a
 * hyperparameter that is not UTF-8; CT_ERR_SHAPE for a lazy parameter; CT_ERR_IO; CT_ERR_MEMORY. */
ct_status ct_checkpoint_save(const ct_checkpoint *c, const char *path) CT_WARN_UNUSED;

/* Reads a file of ct_checkpoint_save into everything in c: values are overwritten; each state is freed
 * and becomes a new owned one, or NULL. c must be made as when the file was written, with the same
 * models, optimisers (and the learning rates, groups and schedules that they were made with), data,
 * loaders, names of numbers and hyperparameters; lazy parameters get their shapes. The file is checked as
 * a whole before anything changes. Afterwards loaders are within the epoch that was saved: do not call
 * ct_loader_begin for it. Does nothing while an error is recorded. CT_ERR_FORMAT for another file, and
 * for a checkpoint of another loop; the message names everything that differs. CT_ERR_ARGUMENT as above;
 * CT_ERR_IO; CT_ERR_MEMORY. A loader of a stream draws its batches again, whose error is returned after
 * everything else was read. */
ct_status ct_checkpoint_load(const ct_checkpoint *c, const char *path) CT_WARN_UNUSED;

#ifdef __cplusplus
}
#endif
#endif
