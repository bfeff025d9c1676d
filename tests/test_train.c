/* SPDX-License-Identifier: MIT */
/* test_train.c - ct_fit: its arithmetic, the lines that it prints, and the effect of errors. */
#include "tests/harness.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cotangent.h>

#include "tests/test_train.h"

/* ---- a model whose losses are known: the k-th batch of training costs k / 4 nats, and the j-th
 * of validation 2 + j / 8 ---- */

typedef struct script {
    ct_params *params;
    ct_module *lazy; /* takes its size from the first batch; NULL: none */
    int trained, validated;
    int fail_at, bad_at; /* the training steps that raise an error and whose loss is NaN */
    int bad_validation_at;
    bool recorded_training, recorded_validation;
} script;

/* Returns value with a history whose gradients are 0. */
static ct_tensor *cost(const script *m, double value)
{
    ct_tensor *w = ct_param_value(ct_params_get(m->params, "w"));

    return ct_add_scalar(ct_mul_scalar(ct_sum(w), 0), value);
}

static ct_tensor *scripted_training(void *self, ct_step *s)
{
    script *m = self;

    ck_assert(!s->state && !s->next); /* windows do not continue from batch to batch */
    ck_assert(ct_size(s->batch->x, 1) == 5 && s->batch->tokens == ct_numel(s->batch->x));
    ck_assert(ct_params_is_training(m->params));
    m->trained++;
    m->recorded_training = ct_grad_enabled();
    if (m->lazy)
        return ct_mean(ct_square(ct_forward(m->lazy, ct_cast(s->batch->x, CT_F32))));
    if (m->trained == m->fail_at)
        return ct_reshape(s->batch->x, CT_SHAPE(7, 7));
    return cost(m, m->trained == m->bad_at ? -NAN : m->trained / 4.0);
}

static ct_tensor *scripted_validation(void *self, ct_step *s)
{
    script *m = self;

    (void)s;
    ck_assert(!ct_params_is_training(m->params));
    m->validated++;
    m->recorded_validation = ct_grad_enabled();
    return cost(m, m->validated == m->bad_validation_at ? INFINITY : 2 + m->validated / 8.0);
}

static ct_optimizer *plain_sgd(void *self)
{
    const script *m = self;

    return ct_sgd_new(m->params, (ct_sgd_options){ .lr = 0.5 });
}

static ct_corpus *letters_corpus(size_t letters)
{
    char s[200];

    ck_assert_uint_le(letters, sizeof s);
    for (size_t i = 0; i < letters; i++)
        s[i] = (char)('a' + i * i % 7);
    return new_corpus_of(s, letters, (ct_corpus_options){ .clean = CT_CLEAN_TEXT });
}

/* Returns a loader of count windows of 5 tokens from first on, in batches of 4, in order. */
static ct_loader *windows(const ct_corpus *corpus, int64_t first, int64_t count)
{
    return ct_loader_windows_new(
        corpus,
        (ct_loader_windows_options){
            .batch_size = 4, .steps = 5, .first = first, .count = count, .device = DEVICE });
}

typedef struct fixture {
    ct_corpus *corpus;
    ct_loader *train, *val; /* batches of 4, 4, 2 windows; of 4, 1 */
    ct_params *params;
    script script;
    ct_model model;
} fixture;

static void fixture_begin(fixture *f)
{
    memset(f, 0, sizeof *f);
    f->corpus = letters_corpus(60);
    f->train = windows(f->corpus, 0, 10);
    f->val = windows(f->corpus, 10, 5);
    f->script.params = f->params = ct_params_new((ct_params_options){ .device = DEVICE });
    ct_params_add(f->params, "w", CT_SHAPE(2, 3), ct_init_constant(0));
    f->model = (ct_model){ .self = &f->script,
                           .params = f->params,
                           .training_step = scripted_training,
                           .validation_step = scripted_validation,
                           .configure_optimizers = plain_sgd };
    expect_ok();
}

static void fixture_end(fixture *f)
{
    ct_loader_free(f->train);
    ct_loader_free(f->val);
    ct_corpus_free(f->corpus);
    ct_params_free(f->params);
}

/* The second of two epochs has the batches 4, 5, 6 of training and 3, 4 of validation. */
START_TEST(perplexities_by_hand)
{
    const double tokens[3] = { 20, 20, 10 };
    double nats = (tokens[0] * 1 + tokens[1] * 1.25 + tokens[2] * 1.5) / 50;
    ct_trainer trainer = { .max_epochs = 2, .perplexity = CT_PERPLEXITY_TOKENS };
    ct_fit_result r;
    fixture f;

    fixture_begin(&f);
    ck_assert(ct_fit(&trainer, &f.model, f.train, f.val, &r) == CT_OK);
    ck_assert(f.script.trained == 6 && f.script.validated == 4);
    ck_assert(f.script.recorded_training && !f.script.recorded_validation);
    ck_assert(r.epochs == 2 && r.tokens == 100);
    expect_close("loss", r.loss, nats, 1e-15);
    expect_close("perplexity", r.perplexity, exp(nats), 1e-14);
    expect_close("validation", r.validation_perplexity, exp((20 * 2.375 + 5 * 2.5) / 25), 1e-13);
    ck_assert(r.tokens_per_second > 0 && isfinite(r.tokens_per_second));

    f.script = (script){ .params = f.params };
    trainer.perplexity = CT_PERPLEXITY_BATCHES;
    ck_assert(ct_fit(&trainer, &f.model, f.train, NULL, &r) == CT_OK);
    ck_assert(f.script.validated == 0 && isnan(r.validation_perplexity));
    expect_close("loss", r.loss, nats, 1e-15);
    expect_close("perplexity", r.perplexity, (exp(1) + exp(1.25) + exp(1.5)) / 3, 1e-14);
    ck_assert(ct_fit(&trainer, &f.model, f.train, f.val, NULL) == CT_OK);
    fixture_end(&f);
}
END_TEST

/* Reads the epoch of each line of out that begins with "epoch". */
static int epochs_printed(char *text, int *epoch, int most)
{
    char *line = strtok(text, "\n");
    int n = 0;

    for (; line; line = strtok(NULL, "\n"))
        if (strncmp(line, "epoch", 5) == 0 && n < most)
            epoch[n++] = atoi(line + 5);
    return n;
}

START_TEST(lines)
{
    static const char head[] = "w      [2,3]                   6\n"
                               "total                          6\n"
                               "epoch  1/43  perplexity   1.57  validation   8.58 ";
    const int want[8] = { 1, 2, 5, 10, 20, 30, 40, 43 };
    ct_trainer trainer = { .max_epochs = 43, .perplexity = CT_PERPLEXITY_TOKENS };
    char *text = NULL, word[64];
    size_t size = 0;
    int epoch[20], i, seconds;
    long rate;
    fixture f;

    fixture_begin(&f);
    trainer.out = open_memstream(&text, &size);
    ck_assert(ct_fit(&trainer, &f.model, f.train, f.val, NULL) == CT_OK);
    fclose(trainer.out);
    ck_assert_msg(strncmp(text, head, sizeof head - 1) == 0, "%s", text);
    ck_assert_int_eq(sscanf(strstr(text, "validation"), "validation %*f %ld tokens/s %d s %63s",
                            &rate, &seconds, word),
                     3);
    ck_assert_str_eq(word, "left");
    ck_assert(rate > 0 && seconds >= 0);
    ck_assert(strstr(text, "epoch 43/43") != NULL);
    ck_assert_int_eq(epochs_printed(text, epoch, 20), 8);
    for (i = 0; i < 8; i++)
        ck_assert_int_eq(epoch[i], want[i]);
    free(text);
    fixture_end(&f);
}
END_TEST

/* A table of sizes that are not known yet would say nothing. */
START_TEST(summary_of_lazy_sizes)
{
    static const char head[] = "w            [2,3]                   6\n"
                               "lazy.weight  [2,5]                  10\n"
                               "lazy.bias    [2]                     2\n"
                               "total                               18\n"
                               "epoch 1/2  ";
    ct_trainer trainer = { .max_epochs = 2 };
    char *text = NULL;
    size_t size = 0;
    fixture f;

    fixture_begin(&f);
    f.script.lazy = ct_nn_linear(f.params, "lazy", (ct_nn_linear_options){ .out_features = 2 });
    trainer.out = open_memstream(&text, &size);
    ck_assert(ct_fit(&trainer, &f.model, f.train, NULL, NULL) == CT_OK);
    fclose(trainer.out);
    ck_assert_msg(strncmp(text, head, sizeof head - 1) == 0, "%s", text);
    ck_assert_ptr_null(strstr(text + sizeof head, "total"));
    free(text);
    fixture_end(&f);
}
END_TEST

START_TEST(stops_at_an_error)
{
    ct_trainer trainer = { .max_epochs = 5, .perplexity = CT_PERPLEXITY_TOKENS };
    ct_fit_result r;
    fixture f;

    fixture_begin(&f);
    f.script.fail_at = 5; /* the second batch of the second epoch */
    ck_assert(ct_fit(&trainer, &f.model, f.train, f.val, &r) == CT_ERR_SHAPE);
    expect_error(CT_ERR_SHAPE, "ct_reshape", "[7,7]");
    ck_assert(f.script.trained == 5 && f.script.validated == 2);
    ck_assert(r.epochs == 1 && r.steps == 4 && r.tokens == 70);
    ck_assert(r.perplexity > 1 && isfinite(r.perplexity));

    f.script = (script){ .params = f.params, .bad_at = 6 };
    ck_assert(ct_fit(&trainer, &f.model, f.train, f.val, &r) == CT_ERR_NUMERIC);
    expect_error(CT_ERR_NUMERIC, "ct_fit",
                 harness_later() ? "training loss ... nan ... epoch 2, batch 3"
                                 : "training loss ... nan ... epoch 2, batch 3 ... ct_add_scalar");
    ck_assert(f.script.trained == 6 && r.epochs == 1);

    f.script = (script){ .params = f.params, .bad_validation_at = 4 };
    ck_assert(ct_fit(&trainer, &f.model, f.train, f.val, &r) == CT_ERR_NUMERIC);
    expect_error(CT_ERR_NUMERIC, "ct_fit",
                 harness_later()
                     ? "validation loss ... inf ... epoch 2, batch 2"
                     : "validation loss ... inf ... epoch 2, batch 2 ... whose op is not recorded");
    ck_assert(f.script.trained == 6 && f.script.validated == 4 && r.epochs == 1);

    ct_raise(CT_ERR_ARGUMENT, "test", "an error is recorded");
    f.script = (script){ .params = f.params };
    ck_assert(ct_fit(&trainer, &f.model, f.train, f.val, &r) == CT_ERR_ARGUMENT);
    ck_assert(f.script.trained == 0 && r.epochs == 0 && isnan(r.perplexity));
    ct_error_clear();
    fixture_end(&f);
}
END_TEST

START_TEST(misuse)
{
    ct_trainer trainer = { .max_epochs = 0 };
    ct_fit_result r;
    fixture f;

    fixture_begin(&f);
    ck_assert(ct_fit(&trainer, &f.model, f.train, f.val, &r) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_fit", "max_epochs is 0");
    ck_assert(ct_fit(NULL, &f.model, f.train, f.val, &r) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_fit", "trainer is NULL");
    trainer.max_epochs = 1;
    ck_assert(ct_fit(&trainer, NULL, f.train, f.val, &r) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_fit", "model is NULL");
    ck_assert(ct_fit(&trainer, &f.model, NULL, f.val, &r) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_fit", "train is NULL");
    ck_assert(ct_fit(&trainer, &f.model, f.train, f.train, &r) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_fit", "same loader ... second loader");
    f.model.configure_optimizers = NULL;
    ck_assert(ct_fit(&trainer, &f.model, f.train, f.val, &r) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_fit", "configure_optimizers is NULL");
    f.model.configure_optimizers = plain_sgd;
    trainer.gradient_clip_val = -1;
    ck_assert(ct_fit(&trainer, &f.model, f.train, f.val, &r) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_fit", "gradient_clip_val is -1");
    fixture_end(&f);
}
END_TEST

/* ---- a model that learns, and errors in its step ---- */

#define HIDDEN 8

typedef enum fault { NOTHING, IN_FORWARD, IN_STEP, IN_BACKWARD, LOSS, GRADIENT } fault;

typedef struct rnnlm {
    ct_params *params;
    ct_recurrent *rnn;
    ct_module *linear;
    int vocab, steps;
    fault fault; /* the fault of step number `at` */
    int at;
} rnnlm;

static ct_tensor *raise_in_backward(ct_tensor *gradient, void *context)
{
    (void)gradient, (void)context;
    ct_raise(CT_ERR_ARGUMENT, "hook", "in backward");
    return NULL;
}

static ct_tensor *training_step(void *self, ct_step *s)
{
    rnnlm *m = self;
    fault fault = m->steps++ == m->at ? m->fault : NOTHING;
    ct_tensor *x = ct_one_hot(ct_transpose(s->batch->x, 0, 1), m->vocab), *y, *loss;

    if (fault == IN_FORWARD)
        x = ct_matmul(x, ct_ones(CT_SHAPE(3, 3), CT_F32, DEVICE));
    y = ct_transpose(ct_forward(m->linear, ct_recurrent_forward(m->rnn, x, s->state, s->next)), 0,
                     1);
    loss = ct_cross_entropy(y, s->batch->y);
    if (fault == LOSS)
        loss = ct_exp(ct_mul_scalar(loss, INFINITY));
    if (fault == GRADIENT) /* 0, with a slope of infinity times 0 */
        loss = ct_add(loss,
                      ct_sqrt(ct_mul_scalar(
                          ct_sum(ct_param_value(ct_params_get(m->params, "linear.weight"))), 0)));
    if (fault == IN_STEP)
        ct_raise(CT_ERR_ARGUMENT, "training_step", "before backward");
    if (fault == IN_BACKWARD)
        ct_register_hook(y, raise_in_backward, NULL, NULL);
    return loss;
}

static ct_optimizer *momentum_sgd(void *self)
{
    const rnnlm *m = self;

    return ct_sgd_new(m->params, (ct_sgd_options){ .lr = 1, .momentum = 0.5 });
}

static rnnlm new_rnnlm(int vocab)
{
    rnnlm m = { .params = ct_params_new((ct_params_options){ .device = DEVICE, .seed = 1 }),
                .vocab = vocab,
                .at = -1 };

    m.rnn = ct_nn_rnn(m.params, "rnn",
                      (ct_nn_rnn_options){ .input_size = vocab, .hidden_size = HIDDEN });
    m.linear = ct_nn_linear(m.params, "linear",
                            (ct_nn_linear_options){ .in_features = HIDDEN, .out_features = vocab });
    expect_ok();
    return m;
}

/* Returns all parameters, one after another, which the caller frees. */
static double *all_values(const rnnlm *m, size_t *count)
{
    double *all = malloc((size_t)ct_params_numel(m->params) * sizeof *all), *v;

    *count = 0;
    for (int i = 0; i < ct_params_count(m->params); i++) {
        ct_tensor *t = ct_param_value(ct_params_at(m->params, i));

        v = values_of(t);
        memcpy(all + *count, v, (size_t)ct_numel(t) * sizeof *v);
        *count += (size_t)ct_numel(t);
        free(v);
    }
    return all;
}

/* Trains on 8 windows, two batches an epoch; returns the first error. */
static ct_status fit(rnnlm *m, int epochs, const ct_corpus *corpus, ct_fit_result *r)
{
    ct_model model = { .self = m,
                       .params = m->params,
                       .training_step = training_step,
                       .configure_optimizers = momentum_sgd };
    ct_trainer trainer = { .max_epochs = epochs, .gradient_clip_val = 1 };
    ct_loader *loader = windows(corpus, 0, 8);
    ct_status status = ct_fit(&trainer, &model, loader, NULL, r);

    ct_loader_free(loader);
    return status;
}

static const struct fault_case {
    fault fault;
    ct_status status;
    const char *function, *word, *later; /* later: the word on an asynchronous device, if it
                                          * differs */
} fault_cases[] = {
    { IN_FORWARD, CT_ERR_SHAPE, "ct_matmul", "multiply", NULL },
    { IN_STEP, CT_ERR_ARGUMENT, "training_step", "before backward", NULL },
    { IN_BACKWARD, CT_ERR_ARGUMENT, "hook", "in backward", NULL },
    { LOSS, CT_ERR_NUMERIC, "ct_fit", "training loss ... inf ... step 3 ... ct_mul_scalar",
      "norm ... finite ... step 3" },
    { GRADIENT, CT_ERR_NUMERIC, "ct_fit",
      "gradient ... linear.weight ... step 3 ... backward of ct_sqrt",
      "norm ... finite ... step 3" },
};

/* A step with an error changes neither parameters nor state, and the next run continues as if the
 * step had not happened. */
START_TEST(an_error_moves_nothing)
{
    const struct fault_case *c = &fault_cases[_i];
    const bool later = harness_later() && c->later; /* at the epoch's end */
    ct_corpus *corpus = letters_corpus(60);
    int vocab = ct_vocab_size(ct_corpus_vocab(corpus));
    rnnlm m = new_rnnlm(vocab), sane = new_rnnlm(vocab);
    double *before, *after;
    size_t n, k;
    ct_fit_result r;

    m.fault = c->fault;
    m.at = 2; /* the first batch of the second epoch */
    ck_assert(fit(&sane, 1, corpus, &r) == CT_OK);
    before = all_values(&sane, &n);
    ck_assert(fit(&m, 3, corpus, &r) == c->status);
    expect_error(c->status, c->function, later ? c->later : c->word);
    ck_assert(m.steps == (later ? 4 : 3) && r.epochs == 1);
    after = all_values(&m, &n);
    for (k = 0; k < n; k++)
        ck_assert_msg(after[k] == before[k], "value %zu was %.9g and is %.9g", k, before[k],
                      after[k]);
    free(before);
    free(after);

    ck_assert(fit(&m, 2, corpus, &r) == CT_OK);
    ck_assert(fit(&sane, 2, corpus, &r) == CT_OK);
    before = all_values(&sane, &n);
    after = all_values(&m, &n);
    for (k = 0; k < n; k++)
        ck_assert_msg(after[k] == before[k], "afterwards: value %zu should be %.9g, is %.9g", k,
                      before[k], after[k]);
    free(before);
    free(after);
    ct_params_free(m.params);
    ct_params_free(sane.params);
    ct_corpus_free(corpus);
}
END_TEST

/* The loss falls; with momentum and clipping it stays finite. */
START_TEST(it_learns)
{
    ct_corpus *corpus = letters_corpus(60);
    rnnlm m = new_rnnlm(ct_vocab_size(ct_corpus_vocab(corpus)));
    ct_fit_result first, last;

    ck_assert(fit(&m, 1, corpus, &first) == CT_OK);
    ck_assert(fit(&m, 60, corpus, &last) == CT_OK);
    ck_assert_msg(last.loss < first.loss / 4, "loss %g, then %g", first.loss, last.loss);
    ct_params_free(m.params);
    ct_corpus_free(corpus);
}
END_TEST

/* ---- when a run ends ---- */

/* A model with these losses of validation, in nats, epoch by epoch. */
typedef struct course {
    script script;
    const double *nats;
    int epoch;
} course;

static ct_tensor *course_training(void *self, ct_step *s)
{
    (void)s;
    return cost(self, 1);
}

static ct_tensor *course_validation(void *self, ct_step *s)
{
    course *c = self;
    int epoch = c->epoch;

    c->epoch += ct_size(s->batch->x, 0) == 1; /* the last batch */
    return cost(&c->script, c->nats[epoch]);
}

static const struct patience_case {
    int64_t patience;
    double min_delta;
    double nats[8];
    int64_t epochs, best;
    ct_fit_end end;
} patience_cases[] = {
    { 0, 0, { 1, 2, 3, 4, 5, 6, 7, 8 }, 8, 1, CT_FIT_END_FINISHED },
    { 1, 0, { 1, 2, 0, 0, 0, 0, 0, 0 }, 2, 1, CT_FIT_END_PATIENCE },
    { 2, 0, { 2, 3, 1, 1.5, 1, 0, 0, 0 }, 5, 3, CT_FIT_END_PATIENCE },
    { 3, 0, { 8, 7, 6, 5, 4, 3, 2, 1 }, 8, 8, CT_FIT_END_FINISHED },
    /* the third is better than 1 by more than 0.15, and the fifth better than the third */
    { 2, 0.15, { 1, 0.9, 0.8, 0.7, 0.6, 0.55, 0.5, 0 }, 7, 7, CT_FIT_END_PATIENCE },
    { 2, 0, { 1, 1, 1, 0, 0, 0, 0, 0 }, 3, 1, CT_FIT_END_PATIENCE },
    /* exp of these losses is infinite */
    { 2, 0, { 4e6, 3e6, 2e6, 1e6, 9e5, 8e5, 7e5, 6e5 }, 8, 8, CT_FIT_END_FINISHED },
};

START_TEST(patience)
{
    const struct patience_case *k = &patience_cases[_i];
    ct_trainer trainer = { .max_epochs = 8, .patience = k->patience, .min_delta = k->min_delta };
    ct_fit_result r;
    fixture f;
    course c;

    fixture_begin(&f);
    c = (course){ .script = f.script, .nats = k->nats };
    f.model.self = &c;
    f.model.training_step = course_training;
    f.model.validation_step = course_validation;
    ck_assert(ct_fit(&trainer, &f.model, f.train, f.val, &r) == CT_OK);
    ck_assert_msg(r.epochs == k->epochs && r.best_epoch == k->best && r.end == k->end,
                  "%lld epochs, the best %lld, end %d", (long long)r.epochs,
                  (long long)r.best_epoch, (int)r.end);
    expect_close("best", r.best_loss, k->nats[r.best_epoch - 1], 1e-6);
    fixture_end(&f);
}
END_TEST

/* Counts its calls and returns false at call number stop_at. */
typedef struct witness {
    int steps, epochs, stop_at;
    int64_t last_step, last_batch, batches;
    double norm, lr;
    int raise_at;
} witness;

static bool see_step(void *context, const ct_fit_step *s)
{
    witness *w = context;

    ck_assert(s->step == w->last_step + 1);
    w->last_step = s->step;
    w->last_batch = s->batch;
    w->batches = s->batches;
    w->norm = s->gradient_norm;
    w->lr = s->lr;
    if (++w->steps == w->raise_at)
        ct_raise(CT_ERR_ARGUMENT, "callback", "enough");
    return w->steps != w->stop_at;
}

static bool see_epoch(void *context, const ct_fit_result *r)
{
    witness *w = context;

    ck_assert(r->epochs == ++w->epochs && r->steps == w->last_step);
    return true;
}

START_TEST(callbacks_see_and_stop)
{
    witness w = { 0 }, other = { 0 };
    ct_callback callbacks[2] = { { .context = &w, .step = see_step, .epoch = see_epoch },
                                 { .context = &other, .step = see_step } };
    ct_trainer trainer = { .max_epochs = 3, .callbacks = callbacks, .callback_count = 2 };
    ct_fit_result r;
    fixture f;

    fixture_begin(&f);
    ck_assert(ct_fit(&trainer, &f.model, f.train, f.val, &r) == CT_OK);
    ck_assert(w.steps == 9 && w.epochs == 3 && w.last_batch == 3 && w.batches == 3);
    ck_assert(other.steps == 9 && other.epochs == 0);
    ck_assert(w.norm == 0 && w.lr == 0.5 && r.lr == 0.5 && r.end == CT_FIT_END_FINISHED);

    w = (witness){ .stop_at = 5 };
    other = (witness){ 0 };
    f.script = (script){ .params = f.params };
    ck_assert(ct_fit(&trainer, &f.model, f.train, f.val, &r) == CT_OK);
    ck_assert(r.end == CT_FIT_END_STOPPED && r.epochs == 1 && r.steps == 5 &&
              f.script.trained == 5);
    ck_assert(other.steps == 5 && f.script.validated == 2);

    w = (witness){ .raise_at = 2 };
    other = (witness){ 0 };
    ck_assert(ct_fit(&trainer, &f.model, f.train, f.val, &r) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "callback", "enough");
    ck_assert(w.steps == 2 && other.steps == 1);
    fixture_end(&f);
}
END_TEST

static bool ask_to_stop(void *context, const ct_fit_step *s)
{
    if (s->step == *(int64_t *)context)
        ct_trainer_stop();
    return true;
}

static bool signal_itself(void *context, const ct_fit_step *s)
{
    if (s->step == *(int64_t *)context)
        raise(SIGTERM);
    return true;
}

/* A stop from a callback or a signal ends the run after the current step; the next run is not
 * stopped. A stop that is requested before the run ends it before its first step. */
START_TEST(stops_when_asked)
{
    int64_t at = 4;
    ct_callback callback = { .context = &at, .step = _i ? signal_itself : ask_to_stop };
    ct_trainer trainer = { .max_epochs = 3, .callbacks = &callback, .callback_count = 1 };
    ct_fit_result r;
    fixture f;

    fixture_begin(&f);
    if (_i)
        ct_trainer_stop_on_signals();
    ck_assert(ct_trainer_signal() == 0);
    ck_assert(ct_fit(&trainer, &f.model, f.train, f.val, &r) == CT_OK);
    ck_assert(r.end == CT_FIT_END_STOPPED && r.epochs == 1 && r.steps == 4);
    ck_assert_int_eq(ct_trainer_signal(), _i ? SIGTERM : 0);
    at = 0;
    ck_assert(ct_fit(&trainer, &f.model, f.train, f.val, &r) == CT_OK);
    ck_assert(r.end == CT_FIT_END_FINISHED && r.epochs == 3);
    ct_trainer_stop();
    ck_assert(ct_fit(&trainer, &f.model, f.train, f.val, &r) == CT_OK);
    ck_assert(r.end == CT_FIT_END_STOPPED && r.steps == 0 && isnan(r.perplexity));
    fixture_end(&f);
}
END_TEST

/* The second signal, SIGINT or SIGTERM, kills the process; a signal that was ignored stays
 * ignored. */
START_TEST(second_signal)
{
    int status;
    pid_t child = fork();

    if (child == 0) {
        signal(SIGINT, _i == 2 ? SIG_IGN : SIG_DFL);
        ct_trainer_stop_on_signals();
        raise(SIGINT);
        if (ct_trainer_signal() != (_i == 2 ? 0 : SIGINT))
            _exit(9);
        raise(_i == 1 ? SIGTERM : SIGINT);
        _exit(8);
    }
    ck_assert(waitpid(child, &status, 0) == child);
    if (_i == 2)
        ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 8);
    else
        ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == (_i == 1 ? SIGTERM : SIGINT));
}
END_TEST

/* ---- states, clipping and schedules ---- */

/* A model whose state is the sum over a row's steps so far; the sum is right only if the state is
 * carried. */
typedef struct counter {
    script script;
    int calls, begun;
} counter;

static ct_tensor *count_on(void *self, ct_step *s)
{
    counter *c = self;
    ct_tensor *w = ct_param_value(ct_params_get(c->script.params, "w")), *h;

    ck_assert(s->next && s->batch->continues == (s->state != NULL));
    c->begun += !s->state;
    h = s->state ? ct_state_get(s->state, 0) : ct_zeros(CT_SHAPE(1, 4, 1), CT_F32, DEVICE);
    ck_assert(!ct_tensor_requires_grad(h));
    expect_close("the state", ct_item(ct_max(h)), s->state ? c->calls : 0, 0);
    c->calls = s->state ? c->calls + 1 : 1;
    h = ct_add_scalar(h, 1);
    *s->next = ct_state_from_tensors(1, &h);
    return ct_sum(w);
}

START_TEST(carries_the_state)
{
    ct_corpus *corpus = letters_corpus(200);
    ct_loader *train = ct_loader_sequences_new(
        corpus, (ct_loader_sequences_options){ .batch_size = 4, .steps = 5 });
    ct_params *params = ct_params_new((ct_params_options){ .device = DEVICE });
    counter c = { .script = { .params = params } };
    ct_model model = {
        .self = &c, .params = params, .training_step = count_on, .configure_optimizers = plain_sgd
    };
    ct_trainer trainer = { .max_epochs = 3, .gradient_clip_val = 1 };
    ct_fit_result r;

    ct_params_add(params, "w", CT_SHAPE(4), ct_init_constant(0));
    ck_assert(ct_fit(&trainer, &model, train, NULL, &r) == CT_OK);
    ck_assert_int_eq(c.begun, 3);
    expect_close("norm", r.gradient_norm, 2, 1e-6); /* the norm of four ones, clipped to 1 */
    ck_assert(r.clipped == 1);
    expect_values("w", ct_param_value(ct_params_get(params, "w")),
                  (double[]){ -0.25 * r.steps, -0.25 * r.steps, -0.25 * r.steps, -0.25 * r.steps },
                  4, 1e-4);
    ct_loader_free(train);
    ct_corpus_free(corpus);
    ct_params_free(params);
}
END_TEST

static ct_optimizer *halving_sgd(void *self)
{
    const script *m = self;
    ct_optimizer *o = ct_sgd_new(m->params, (ct_sgd_options){ .lr = 1 });

    ct_schedule_step_lr(ct_optimizer_schedule(o), 1, 0.5);
    return o;
}

static ct_optimizer *plateau_sgd(void *self)
{
    const course *c = self;
    ct_optimizer *o = ct_sgd_new(c->script.params, (ct_sgd_options){ .lr = 1 });

    ct_schedule_plateau_lr(ct_optimizer_schedule(o),
                           (ct_schedule_plateau_options){ .factor = 0.5, .patience = -1 });
    return o;
}

START_TEST(steps_the_schedule)
{
    const double nats[4] = { 1, 2, 3, 0.5 };
    ct_trainer trainer = { .max_epochs = 3 };
    ct_fit_result r;
    fixture f;
    course c;

    fixture_begin(&f);
    f.model.configure_optimizers = halving_sgd;
    ck_assert(ct_fit(&trainer, &f.model, f.train, NULL, &r) == CT_OK);
    expect_close("each epoch", r.lr, 0.25, 0);
    trainer.schedule_interval = CT_INTERVAL_STEP;
    ck_assert(ct_fit(&trainer, &f.model, f.train, NULL, &r) == CT_OK);
    expect_close("each step", r.lr, pow(0.5, 8), 0);
    c = (course){ .script = f.script, .nats = nats };
    f.model = (ct_model){ .self = &c,
                          .params = f.params,
                          .training_step = course_training,
                          .validation_step = course_validation,
                          .configure_optimizers = plateau_sgd };
    trainer.max_epochs = 4;
    ck_assert(ct_fit(&trainer, &f.model, f.train, f.val, &r) == CT_OK);
    expect_close("at a plateau", r.lr, 0.25, 0); /* the second and third epoch were no better */
    fixture_end(&f);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("train");
    TCase *tc = harness_case(suite, "fit");

    tcase_add_test(tc, perplexities_by_hand);
    tcase_add_test(tc, lines);
    tcase_add_test(tc, summary_of_lazy_sizes);
    tcase_add_test(tc, stops_at_an_error);
    tcase_add_test(tc, misuse);
    tcase_add_loop_test(tc, patience, 0, LENGTH(patience_cases));
    tcase_add_test(tc, callbacks_see_and_stop);
    tcase_add_loop_test(tc, stops_when_asked, 0, 2);
    tcase_add_loop_test(tc, second_signal, 0, 3);
    tcase_add_test(tc, carries_the_state);
    tcase_add_test(tc, steps_the_schedule);
    tc = harness_case(suite, "step");
    tcase_add_loop_test(tc, an_error_moves_nothing, 0, LENGTH(fault_cases));
    tcase_add_test(tc, it_learns);
    train_numbers_cases(suite);
    train_metrics_cases(suite);
    train_optimizers_cases(suite);
    train_updates_cases(suite);
    train_torch_cases(suite);
    harness_pooled = true;
    return harness_run(suite);
}
