/* trainer.c - the fit loop. */
#include "tensor/internal.h"
#include "train/board.h"

#include <cotangent/autograd/autograd.h>
#include <cotangent/train/trainer.h>

#include <math.h>

/* What an epoch adds up to. */
typedef struct tally {
    double nats, exps, tokens;
    int64_t batches;
} tally;

static double perplexity(const tally *t, ct_perplexity kind)
{
    return kind == CT_PERPLEXITY_OF_BATCHES ? t->exps / (double)t->batches
                                            : exp(t->nats / t->tokens);
}

static void count(tally *t, double loss, const ct_batch *batch)
{
    t->nats += loss * (double)batch->tokens;
    t->exps += exp(loss);
    t->tokens += (double)batch->tokens;
    t->batches++;
}

/* One pass over a loader, each step in a scope of its own. */
static ct_status run_epoch(const ct_model *model, ct_loader *loader, bool train, int64_t epoch,
                           tally *t)
{
    ct_status status = ct_loader_begin(loader);
    bool more = status == CT_OK;

    *t = (tally){ 0, 0, 0, 0 };
    ct_params_train(model->params, train);
    while (more && status == CT_OK) {
        ct_scope step = train ? ct_scope_begin() : ct_scope_begin_no_grad();
        ct_batch batch;

        more = ct_loader_next(loader, &batch);
        if (more) {
            double loss = ct_item((train ? model->training_step : model->validation_step)(
                model->self, &batch));

            if (ct_ok() && !isfinite(loss))
                ct_raise(CT_ERR_NUMERIC, "ct_fit", "the %s loss is %g in epoch %lld, batch %lld",
                         train ? "training" : "validation", loss, (long long)epoch,
                         (long long)t->batches + 1);
            count(t, loss, &batch);
        }
        status = ct_scope_end(step);
    }
    ct_params_train(model->params, true);
    return status;
}

static ct_status check(const ct_trainer *trainer, const ct_model *model, const ct_loader *train,
                       const ct_loader *val)
{
    if (!trainer || !model || !model->training_step || !train ||
        (val && !model->validation_step) || trainer->max_epochs < 1)
        return ct_raise(CT_ERR_ARGUMENT, "ct_fit",
                        "a trainer (max_epochs %lld), a model's steps and a loader are needed",
                        trainer ? (long long)trainer->max_epochs : 0);
    return CT_OK;
}

ct_status ct_fit(const ct_trainer *trainer, const ct_model *model, ct_loader *train,
                 ct_loader *val, ct_fit_result *result)
{
    double begun = cti_now();
    ct_fit_result unwanted;
    ct_status status;
    int64_t epoch;

    result = result ? result : &unwanted;
    *result = (ct_fit_result){ .loss = NAN, .perplexity = NAN, .validation_perplexity = NAN };
    status = ct_ok() ? check(trainer, model, train, val) : ct_error();
    if (status == CT_OK && trainer->out)
        ct_params_print(model->params, trainer->out);
    for (epoch = 1; status == CT_OK && epoch <= trainer->max_epochs; epoch++) {
        double start = cti_now(), spent;
        tally t;

        status = run_epoch(model, train, true, epoch, &t);
        spent = cti_now() - start;
        if (status != CT_OK)
            break;
        result->epochs = epoch;
        result->tokens += (int64_t)t.tokens;
        result->loss = t.nats / t.tokens;
        result->perplexity = perplexity(&t, trainer->perplexity);
        result->tokens_per_second = t.tokens / (spent > 0 ? spent : 1e-9);
        if (val)
            status = run_epoch(model, val, false, epoch, &t);
        if (val && status == CT_OK)
            result->validation_perplexity = perplexity(&t, trainer->perplexity);
        if (status == CT_OK && trainer->out && cti_board_due(epoch, trainer->max_epochs))
            cti_board_line(trainer->out, epoch, trainer->max_epochs, result,
                           (cti_now() - begun) / (double)epoch *
                               (double)(trainer->max_epochs - epoch));
    }
    return status;
}
