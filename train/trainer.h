/* trainer.h - the fit loop. A model and its data stand behind small tables, so that any fits.
 *
 *     ct_model model = { .self = m, .params = params, .training_step = training_step,
 *                        .configure_optimizers = configure_optimizers };
 *     ct_trainer trainer = { .max_epochs = 100, .gradient_clip_val = 1, .out = stdout,
 *                            .checkpoint = "run.safetensors" };
 *     ct_fit_result result;
 *
 *     ct_trainer_stop_on_signals();
 *     if (ct_fit(&trainer, &model, train, val, &result) != CT_OK)
 *         ...
 *
 * For each batch the trainer opens a scope, asks the model for the loss, and does the rest of the
 * step: backward, clipping, the optimiser's step, carrying the recurrent state. */
#ifndef COTANGENT_TRAIN_TRAINER_H
#define COTANGENT_TRAIN_TRAINER_H

#include <stdbool.h>
#include <stdio.h>

#include <cotangent/autograd/params/params.h>
#include <cotangent/data/loader.h>
#include <cotangent/nn/state.h>
#include <cotangent/optim/optimizer.h>
#include <cotangent/tensor/safetensors.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- a model ---- */

/* A batch's loss, the mean over its tokens in nats, a tensor of one element. state is what the step
 * before gave as *next where the batch goes on from the one before (batch->continues), else NULL:
 * begin anew. next is NULL where no state is wanted. Both are made to be handed on:
 *
 *     static ct_tensor *training_step(void *self, const ct_batch *batch, const ct_state *state,
 *                                     ct_state **next)
 *     {
 *         return ct_cross_entropy(forward(self, batch->x, state, next), batch->y);
 *     }
 */
typedef ct_tensor *(*ct_model_step)(void *self, const ct_batch *batch, const ct_state *state,
                                    ct_state **next);

/* What a trainer asks of a model. */
typedef struct ct_model {
    void *self;
    ct_params *params; /* switched to evaluation while validation_step runs */
    ct_model_step training_step;
    ct_model_step validation_step; /* nothing is recorded; NULL: training_step */
    /* The run's optimiser, with its groups and schedule; ct_fit calls this once, and frees it. */
    ct_optimizer *(*configure_optimizers)(void *self);
} ct_model;

/* ---- what a run came to ---- */

/* An epoch's perplexity. */
typedef enum ct_perplexity {
    CT_PERPLEXITY_TOKENS, /* exp of the mean loss of its tokens */
    CT_PERPLEXITY_BATCHES /* the mean over its batches of exp(batch loss): d2l 1.x's board */
} ct_perplexity;

typedef enum ct_fit_end {
    CT_FIT_END_FINISHED, /* max_epochs */
    CT_FIT_END_PATIENCE, /* no better for so many epochs */
    CT_FIT_END_STOPPED   /* by ct_trainer_stop or a callback */
} ct_fit_end;

/* After the last whole epoch; NaN for what there is not. Losses are in nats and in bits a token (a
 * character, where tokens are those). */
typedef struct ct_fit_result {
    int64_t epochs, steps, tokens; /* whole epochs run; updates, tokens trained on, in all */
    double loss, perplexity, bits; /* of the last epoch's training, each batch before its update */
    double validation_loss, validation_perplexity, validation_bits;
    double gradient_norm;              /* the mean over the last epoch's steps, before clipping */
    double clipped;                    /* the part of its steps whose gradients were clipped */
    double lr;                         /* in use at its last step */
    double tokens_per_second, seconds; /* of its training */
    int64_t best_epoch; /* the one of the lowest perplexity: validation's where there is
                                     * some, else training's */
    double best_perplexity;
    ct_fit_end end;
} ct_fit_result;

/* ---- callbacks ---- */

/* After an update. */
typedef struct ct_fit_step {
    int64_t epoch, step;    /* the epoch, from 1, and updates so far, this one included */
    int64_t batch, batches; /* of the epoch, from 1 */
    double loss, gradient_norm, lr;
} ct_fit_step;

/* Called after each update and after each epoch; one left NULL is not. Returning false stops the
 * run as ct_trainer_stop does; an error raised in it stops the run with that error. */
typedef struct ct_callback {
    void *context;
    bool (*step)(void *context, const ct_fit_step *step);
    bool (*epoch)(void *context, const ct_fit_result *so_far);
} ct_callback;

/* ---- the trainer ---- */

typedef enum ct_interval { CT_INTERVAL_EPOCH, CT_INTERVAL_STEP } ct_interval;

typedef struct ct_trainer {
    int64_t max_epochs;
    double gradient_clip_val; /* the greatest norm of the gradients; 0: it is only measured */
    ct_device device;         /* the model is moved there (ct_params_to); CT_CPU: it stays */
    ct_perplexity perplexity;
    ct_interval schedule_interval; /* when the optimiser's schedule steps; its plateau parts see the
                                    * perplexity each epoch */
    const ct_callback *callbacks;  /* callback_count of them, called in order */
    int callback_count;

    /* Early stopping: the run ends after patience epochs in a row whose perplexity was not below
     * the best by more than min_delta; 0: it does not. */
    int64_t patience;
    double min_delta;

    /* The model's summary and progress: on a terminal a live line, and a plain line for epochs 1,
     * 2, 5, 10, every tenth and the last; NULL: silence. */
    FILE *out;
    bool plain; /* no live line, whatever out is */

    /* Files; NULL: none. csv gets a line an epoch as the run goes on: epoch, step, tokens (so far),
     * train_loss, train_perplexity, train_bits, val_loss, val_perplexity, val_bits, grad_norm,
     * clipped, lr, tokens_per_second, seconds. svg is the curve of perplexities. tensorboard is a
     * folder, made if it is not there, for one file of events. */
    const char *csv, *svg, *tensorboard;

    /* The run's checkpoint, written whole or not at all: after every checkpoint_epochs epochs (0:
     * 1), after every checkpoint_steps updates (0: not within an epoch), where the run stops and at
     * its end. best is written, in the same form, whenever the perplexity is the lowest so far. */
    const char *checkpoint, *best;
    int64_t checkpoint_epochs, checkpoint_steps;

    /* Goes on from this checkpoint, in every bit as if the run had not ended there, given the same
     * build, kind of processor, model, data and trainer; max_epochs may be another. csv and events
     * are cut back to it. CT_ERR_FORMAT, naming all that differs, for a checkpoint of other data,
     * hyperparameters, model, optimiser or version, or a file that is none. NULL: begin anew. */
    const char *resume;

    /* What the checkpoint says of the run, and a resume compares: pairs that a pair of NULLs ends
     * ("lr", "1"; "text", its SHA-256); and a JSON text that describes the model to whoever loads
     * the file ("cotangent.model"; any text, not looked into). */
    const ct_metadata *hyperparameters;
    const char *model_json;
} ct_trainer;

/* Trains until max_epochs epochs were run in all. val and result may be NULL. CT_OK also for a run
 * that was stopped: result says so. Stops at the first error and returns it: a standing one, a
 * step's or a callback's, CT_ERR_IO for a file that could not be written (the checkpoint before
 * stays), CT_ERR_NUMERIC for a loss or gradient that is not finite, naming the step, the parameter
 * and the first op; no parameter moves then, and no checkpoint is written. result is of the last
 * epoch that was whole. */
ct_status ct_fit(const ct_trainer *trainer, const ct_model *model, ct_loader *train, ct_loader *val,
                 ct_fit_result *result);

/* ---- stopping ---- */

/* Asks a run to stop: the ct_fit at work, or the next one to begin, finishes the step at hand,
 * writes its checkpoint and returns. From any thread or signal handler. */
void ct_trainer_stop(void);

/* From now on the first SIGINT or SIGTERM calls ct_trainer_stop, and a second one kills, as it did
 * before. A signal that the program was started to ignore stays ignored. */
void ct_trainer_stop_on_signals(void);

/* The signal that came, or 0. By convention a program that it stopped exits with 128 + it: 130,
 * 143. */
int ct_trainer_signal(void);

#ifdef __cplusplus
}
#endif
#endif
