/* SPDX-License-Identifier: MIT */
/* train.c - cotangent train: trains a language model on any text. */
#include "tool.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- the command line ---- */

typedef struct options {
    ct_device device;
    const char *text, *validate, *output;
    ct_corpus_options corpus;
    ct_lm_options model;
    ct_loader_sequences_options batches;
    int optimizer; /* a ct_optimizer_algorithm */
    double lr, momentum, weight_decay;
    ct_trainer trainer;
    bool resume, quiet;
    int shards;
} options;

/* Default learning rates for language models. Algorithms that are not listed use the library's
 * default. */
static const struct {
    const char *optimizer;
    double lr;
} rates[] = {
    { "adam", 0.002 }, { "adamw", 0.002 }, { "sgd", 1 }, { "rmsprop", 0.002 }, { "adagrad", 0.02 }
};

/* The names of the library's algorithms, "sgd|adam|...", filled in before the command line is
 * read. */
static char algorithms[200];

#define FIELD(name) .offset = offsetof(options, name)

static const cli_option table[] = {
    { "text", CLI_ARGUMENT, FIELD(text), .file = CLI_READS_OR_STDIN },
    { .help = "The model:" },
    { "model", CLI_CHOICE, "rnn|lstm|gru", "the recurrent module|lstm", FIELD(model.cell),
      .find = ct_lm_cell_from_name },
    { "hidden", CLI_INTEGER, "N", "hidden units", FIELD(model.hidden_size), .low = 1,
      .high = 1 << 20 },
    { "layers", CLI_INT, "N", "recurrent layers|1", FIELD(model.num_layers), .low = 1,
      .high = 4096 },
    { "embedding", CLI_INTEGER, "N", "size of the embedding; 0: one-hot|0; words 256",
      FIELD(model.embedding_size), .high = 1 << 20 },
    { "tied", CLI_FLAG, NULL, "one weight for embedding and output; sizes must be equal",
      FIELD(model.tied) },
    { "dropout", CLI_FRACTION, "P", "probability of dropout|0", FIELD(model.dropout) },
    { "layer-norm", CLI_FLAG, NULL, "layer normalisation within the cells",
      FIELD(model.layer_norm) },
    { "dialect", CLI_CHOICE, "torch|gluon|keras|flax", "initial values as in this framework|torch",
      FIELD(model.dialect), .find = ct_dialect_from_name },
    { .help = "The text:" },
    { "tokens", CLI_CHOICE, "char|byte|word|grapheme", "what a token is|char",
      FIELD(corpus.vocab.tokens), .find = ct_token_kind_from_name },
    { "clean", CLI_CHOICE, "none|text|lines|letters|fold", "cleaning of the text|none",
      FIELD(corpus.clean), .find = ct_clean_from_name },
    { "min-freq", CLI_INTEGER, "N", "rarer tokens are <unk>|1", FIELD(corpus.vocab.min_freq),
      .high = INT64_MAX },
    { "max-tokens", CLI_INTEGER, "N", "train on the first N tokens|all", FIELD(corpus.max_tokens),
      .low = 1, .high = INT64_MAX },
    { "validate", CLI_NAME, "TEXT", "validate on this text", FIELD(validate),
      .file = CLI_READS_OR_STDIN },
    { .help = "Training:" },
    { "epochs", CLI_INTEGER, "N", "epochs", FIELD(trainer.max_epochs), .low = 1, .high = INT32_MAX,
      .letter = 'e' },
    { "batch", CLI_INTEGER, "N", "rows in a batch", FIELD(batches.batch_size), .low = 1,
      .high = INT32_MAX },
    { "steps", CLI_INTEGER, "N", "time steps in a batch", FIELD(batches.steps), .low = 1,
      .high = INT32_MAX },
    { "random", CLI_FLAG, NULL, "windows in random order, without a carried state",
      FIELD(batches.random) },
    { "optimizer", CLI_CHOICE, algorithms, "the optimiser|adam", FIELD(optimizer) },
    { "lr", CLI_POSITIVE, "X", "learning rate|0.002; sgd 1, adagrad 0.02", FIELD(lr) },
    { "momentum", CLI_FRACTION, "X", "momentum of sgd and rmsprop|0", FIELD(momentum) },
    { "weight-decay", CLI_POSITIVE, "X", "weight decay|0; adamw 0.01", FIELD(weight_decay) },
    { "clip", CLI_POSITIVE, "X", "largest norm of the gradients",
      FIELD(trainer.gradient_clip_val) },
    { "patience", CLI_INTEGER, "N", "stop after N epochs without improvement",
      FIELD(trainer.patience), .low = 1, .high = INT32_MAX },
    { "seed", CLI_INTEGER, "N", "seed of initial weights, batches and dropout|0", FIELD(model.seed),
      .high = INT64_MAX },
    { .help = "Files:" },
    { "output", CLI_NAME, "FILE", "the model|model.safetensors", FIELD(output), .letter = 'o',
      .file = CLI_WRITES },
    { "checkpoint", CLI_NAME, "FILE", "save the run in this file after each epoch",
      FIELD(trainer.checkpoint), .file = CLI_WRITES },
    { "every", CLI_INTEGER, "N", "save it also after every N updates",
      FIELD(trainer.checkpoint_steps), .low = 1, .high = INT32_MAX },
    { "resume", CLI_FLAG, NULL, "continue from the checkpoint, if it exists", FIELD(resume) },
    { "best", CLI_NAME, "FILE", "save the epoch of the lowest loss in this file",
      FIELD(trainer.best), .file = CLI_WRITES },
    { "csv", CLI_NAME, "FILE", "write a line for each epoch", FIELD(trainer.csv),
      .file = CLI_WRITES },
    { "svg", CLI_NAME, "FILE", "draw the curve of perplexities", FIELD(trainer.svg),
      .file = CLI_WRITES },
    { "tensorboard", CLI_NAME, "DIR", "write events for TensorBoard", FIELD(trainer.tensorboard),
      .file = CLI_WRITES, .within = "events.out.tfevents.cotangent" },
    { "quiet", CLI_FLAG, NULL, "print errors and notes only", FIELD(quiet), .letter = 'q' },
    { .help = "The machine:" },
    TOOL_MACHINE(options, device),
    { "shards", CLI_INT, "N", "cut each batch into N shards, for mpirun|one for each process",
      FIELD(shards), .low = 1, .high = 1024 },
    { 0 }
};

static void train_list_algorithms(void)
{
    for (int i = 0; ct_optimizer_algorithm(i); i++)
        snprintf(algorithms + strlen(algorithms), sizeof algorithms - strlen(algorithms), "%s%s",
                 i ? "|" : "", ct_optimizer_algorithm(i));
}

/* Returns the index of the algorithm with this name, which the parser has checked. */
static int train_algorithm(const char *name)
{
    int i = 0;

    while (strcmp(ct_optimizer_algorithm(i), name) != 0)
        i++;
    return i;
}

/* Makes the optimiser that the options describe. */
static ct_optimizer *train_optimizer(const options *o, ct_params *params)
{
    ct_optimizer_value values[4];
    int n = 0;

    if (o->lr != 0)
        values[n++] = (ct_optimizer_value){ "lr", o->lr };
    if (o->momentum != 0)
        values[n++] = (ct_optimizer_value){ "momentum", o->momentum };
    if (o->weight_decay != 0)
        values[n++] = (ct_optimizer_value){ "weight_decay", o->weight_decay };
    values[n] = (ct_optimizer_value){ NULL, 0 };
    return ct_optimizer_new_from_name(params, ct_optimizer_algorithm(o->optimizer), values);
}

/* Refuses options that the algorithm does not have, with the library's error message. */
static void train_check_optimizer(const options *o)
{
    ct_params *none = ct_params_new((ct_params_options){ 0 });

    ct_optimizer_free(train_optimizer(o, none));
    ct_params_free(none);
    if (!ct_ok())
        exit(CLI_USAGE);
}

/* Fills in defaults and refuses options that contradict each other. */
static void train_settle(options *o)
{
    if (o->resume && !o->trainer.checkpoint)
        cli_refuse("--resume: --checkpoint is missing");
    if (o->trainer.checkpoint_steps && !o->trainer.checkpoint)
        cli_refuse("--every: --checkpoint is missing");
    if (o->model.embedding_size < 0)
        o->model.embedding_size = o->corpus.vocab.tokens == CT_TOKEN_KIND_WORD ? 256 : 0;
    if (o->model.tied && o->model.embedding_size != o->model.hidden_size)
        cli_refuse("--tied: --embedding %lld differs from --hidden %lld",
                   (long long)o->model.embedding_size, (long long)o->model.hidden_size);
    if (o->corpus.vocab.tokens == CT_TOKEN_KIND_BYTE && o->corpus.vocab.min_freq > 1)
        cli_refuse("--min-freq: with --tokens byte the vocabulary has all bytes");
    for (size_t i = 0; o->lr == 0 && i < sizeof rates / sizeof *rates; i++)
        if (strcmp(rates[i].optimizer, ct_optimizer_algorithm(o->optimizer)) == 0)
            o->lr = rates[i].lr;
    train_check_optimizer(o);
    o->batches.seed = o->model.seed;
    o->model.device = o->batches.device = o->trainer.device = o->device;
    if (o->resume && access(o->trainer.checkpoint, F_OK) == 0)
        o->trainer.resume = o->trainer.checkpoint;
    o->trainer.out = o->quiet ? NULL : stdout;
}

/* ---- the run ---- */

typedef struct train_run {
    const options *o;
    ct_lm *m;
} train_run;

static ct_tensor *train_step(void *self, ct_step *s)
{
    const train_run *r = self;

    return ct_lm_loss(r->m, s->batch->x, s->batch->y, s->state, s->next);
}

static ct_optimizer *train_configure(void *self)
{
    const train_run *r = self;

    return train_optimizer(r->o, ct_lm_params(r->m));
}

/* Adds notes about the run to the model card. The card in a checkpoint has no notes, because a
 * resumed run must describe the same model. */
static void train_note(const options *o, ct_lm *m, const ct_fit_result *r)
{
    const char *name = strrchr(o->text, '/');

    name = name && name[1] ? name + 1 : o->text;
    ct_lm_note_text(m, "version", ct_version());
    ct_lm_note_text(m, "text", name);
    ct_lm_note_text(m, "optimizer", ct_optimizer_algorithm(o->optimizer));
    ct_lm_note(m, "lr", o->lr);
    ct_lm_note(m, "clip", o->trainer.gradient_clip_val);
    ct_lm_note(m, "batch", (double)o->batches.batch_size);
    ct_lm_note(m, "steps", (double)o->batches.steps);
    ct_lm_note(m, "seed", (double)o->model.seed);
    ct_lm_note(m, "epochs", (double)r->epochs);
    if (isfinite(r->perplexity))
        ct_lm_note(m, "perplexity", r->perplexity);
    if (isfinite(r->validation_perplexity))
        ct_lm_note(m, "validation_perplexity", r->validation_perplexity);
}

static ct_corpus *train_read_corpus(const options *o, const char *path, const ct_vocab *known)
{
    ct_corpus_options how = o->corpus;
    ct_text *text = tool_text(path, how.vocab.tokens);
    ct_corpus *corpus;

    how.known = known;
    if (known)
        how.max_tokens = 0;
    corpus = text ? ct_corpus_new(text, how) : NULL;
    if (corpus && !o->quiet) {
        ct_print_text(ct_text_source(text), stdout);
        printf(": %lld tokens, %d in the vocabulary\n", (long long)ct_corpus_size(corpus),
               ct_vocab_size(ct_corpus_vocab(corpus)));
    }
    if (corpus && how.vocab.tokens != CT_TOKEN_KIND_BYTE && ct_corpus_invalid_bytes(corpus))
        tool_note("%lld bytes of %s are not valid UTF-8",
                  (long long)ct_corpus_invalid_bytes(corpus), path);
    ct_text_free(text);
    return corpus;
}

/* The error handler while a loader is made. It prints the cure after the reason. */
static void train_print_loader_error(ct_status status, const char *message, void *context)
{
    (void)status, (void)context;
    tool_fail("%s; a smaller --batch or --steps needs fewer", cli_reason(message));
}

/* Makes the loader of a text. Returns NULL with an error, usually because the text is too short. */
static ct_loader *train_loader(const ct_corpus *corpus, ct_loader_sequences_options batches)
{
    ct_loader *loader;

    ct_error_set_handler(train_print_loader_error, NULL);
    loader = ct_loader_sequences_new(corpus, batches);
    ct_error_set_handler(tool_print_error, NULL);
    return loader;
}

/* Options of the validation loader, which always reads the text in order. */
static ct_loader_sequences_options train_validation_batches(const options *o)
{
    ct_loader_sequences_options batches = o->batches;

    batches.random = false;
    return batches;
}

static const char *train_precision(void)
{
    return ct_get_matmul_precision() == CT_MATMUL_PRECISION_BF16 ? "bf16" : "f32";
}

/* Says how a stopped run can be continued. */
static void train_explain_stop(const options *o)
{
    if (o->trainer.checkpoint) {
        printf("the same command with --resume continues the run from ");
        ct_print_text(o->trainer.checkpoint, stdout);
        putchar('\n');
    } else {
        printf("a run with --checkpoint FILE can be continued with --resume\n");
    }
}

/* Trains m and, unless that fails, writes it. */
static void train_fit(const options *o, ct_lm *m, const ct_corpus *corpus, ct_loader *train,
                      ct_loader *val)
{
    train_run r = { o, m };
    ct_model model = { .self = &r,
                       .params = ct_lm_params(m),
                       .training_step = train_step,
                       .configure_optimizers = train_configure };
    ct_trainer trainer = o->trainer;
    char *description = ct_lm_describe(m);
    /* The hyperparameters that a resumed run must share, besides the model and everything that
     * ct_fit compares itself. */
    const ct_metadata pairs[] = { { "text", ct_corpus_sha256(corpus) },
                                  { "cleaning", ct_clean_name(o->corpus.clean) },
                                  { "precision", train_precision() },
                                  { NULL, NULL } };
    ct_world *world = ct_world_new((ct_world_options){ .shards = o->shards });
    ct_fit_result result;

    trainer.world = world;
    trainer.hyperparameters = pairs;
    trainer.model_json = description;
    ct_trainer_stop_on_signals();
    if (ct_fit(&trainer, &model, train, val, &result) == CT_OK && ct_world_launched_rank() == 0) {
        train_note(o, m, &result);
        if (ct_lm_save(m, o->output) == CT_OK && !o->quiet) {
            printf("%s after %lld epochs: perplexity %.2f; the model is in ",
                   result.end == CT_FIT_END_STOPPED ? "stopped" : "done", (long long)result.epochs,
                   result.perplexity);
            ct_print_text(o->output, stdout);
            putchar('\n');
            if (result.end == CT_FIT_END_STOPPED)
                train_explain_stop(o);
        }
    }
    ct_world_free(world);
    free(description);
}

int tool_train(int argc, char **argv)
{
    static const cli_program program = {
        .options = table,
        .arguments = "TEXT",
        .doc =
            "Trains a language model on a text of any kind, and writes it.\v"
            "SIGINT and SIGTERM end the run after the current step: the model and the checkpoint "
            "are written, and the exit status is 128 + the signal."
    };
    options o = { .output = "model.safetensors",
                  .corpus = { .clean = CT_CLEAN_NONE },
                  .model = { .cell = CT_LM_CELL_LSTM, .hidden_size = 256, .embedding_size = -1 },
                  .batches = { .batch_size = 32, .steps = 64 },
                  .trainer = { .max_epochs = 20, .gradient_clip_val = 1 } };
    ct_corpus *corpus, *other = NULL;
    ct_loader *train = NULL, *val = NULL;
    ct_lm *m = NULL;
    int status;

    train_list_algorithms();
    o.optimizer = train_algorithm("adam");
    tool_parse(&program, argc, argv, &o);
    train_settle(&o);
    corpus = cli_try_files(&program, &o) ? train_read_corpus(&o, o.text, NULL) : NULL;
    if (corpus)
        train = train_loader(corpus, o.batches);
    if (train && o.validate &&
        (other = train_read_corpus(&o, o.validate, ct_corpus_vocab(corpus)))) {
        val = train_loader(other, train_validation_batches(&o));
        if (val)
            ct_loader_set_offset(val, 0); /* offset 0: the same tokens in each epoch */
    }
    if (ct_ok())
        m = ct_lm_new(corpus, o.model);
    if (m)
        train_fit(&o, m, corpus, train, val);
    status = tool_status();
    ct_lm_free(m);
    ct_loader_free(val);
    ct_loader_free(train);
    ct_corpus_free(other);
    ct_corpus_free(corpus);
    return status == CLI_OK && ct_trainer_signal() ? 128 + ct_trainer_signal() : status;
}
