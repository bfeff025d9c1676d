/* trainer.h - the fit loop. A model and its data stand behind small tables, so that any fits. */
#ifndef COTANGENT_TRAIN_TRAINER_H
#define COTANGENT_TRAIN_TRAINER_H

#include <stdbool.h>
#include <stdio.h>

#include <cotangent/autograd/params.h>
#include <cotangent/data/loader.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a trainer asks of a model. The trainer opens a scope for each step; the step returns its
 * loss, the mean over its tokens in nats, in it. */
typedef struct ct_model {
    void *self;
    ct_params *params; /* for the summary; trains but while validation_step runs */
    ct_tensor *(*training_step)(void *self, const ct_batch *batch);   /* moves the parameters */
    ct_tensor *(*validation_step)(void *self, const ct_batch *batch); /* nothing is recorded */
    void *reserved[4];
} ct_model;

/* An epoch's perplexity. */
typedef enum ct_perplexity {
    CT_PERPLEXITY_OF_TOKENS, /* exp of the mean loss of its tokens */
    CT_PERPLEXITY_OF_BATCHES /* the mean over its batches of exp(batch loss): d2l 1.x's board */
} ct_perplexity;

typedef struct ct_trainer {
    int64_t max_epochs;
    ct_perplexity perplexity;
    FILE *out; /* the summary, and a line for epochs 1, 2, 5, 10 and every tenth; NULL: silence */
    void *reserved[8];
} ct_trainer;

typedef struct ct_fit_result {
    int64_t epochs, tokens;       /* epochs run, tokens trained on in all */
    double loss, perplexity;      /* of the last epoch's training, each batch before its update */
    double validation_perplexity; /* NaN without validation data */
    double tokens_per_second;     /* of the last epoch's training */
} ct_fit_result;

/* Trains for max_epochs epochs. val and result may be NULL. Stops at the first error and returns
 * it: a standing one, a step's, or CT_ERR_NUMERIC for a loss that is not finite; result then is of
 * the last epoch whose training was whole. */
ct_status ct_fit(const ct_trainer *trainer, const ct_model *model, ct_loader *train,
                 ct_loader *val, ct_fit_result *result);

#ifdef __cplusplus
}
#endif
#endif
