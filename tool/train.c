/* train.c - cotangent train: a language model of any text. */
#include "tool.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- the command line ---- */

typedef struct options {
    tool_machine machine;
    const char *text, *validate, *output;
    ct_corpus_options corpus;
    ct_lm_options model;
    ct_loader_sequences_options batches;
    int optimizer; /* an index of optimizers */
    double lr, momentum, weight_decay;
    ct_trainer trainer;
    bool resume, quiet;
} options;

/* The optimisers, with the rates that suit such models. */
static const struct {
    const char *name;
    double lr;
} optimizers[] = {
    { "adam", 0.002 }, { "adamw", 0.002 }, { "sgd", 1 }, { "rmsprop", 0.002 }, { "adagrad", 0.02 }
};
enum { OPTIMIZERS = sizeof optimizers / sizeof *optimizers };

static int optimizer_named(const char *name)
{
    for (int i = 0; i < OPTIMIZERS; i++)
        if (strcmp(name, optimizers[i].name) == 0)
            return i;
    return -1;
}

/* Keys of the options without a letter. */
/* clang-format off */
enum { CELL = 256, HIDDEN, LAYERS, EMBEDDING, TIED, DROPOUT, LAYER_NORM, DIALECT, TOKENS, CLEAN,
       MIN_FREQ, MAX_TOKENS, VALIDATE, BATCH, STEPS, RANDOM, OPTIMIZER, LR, MOMENTUM, WEIGHT_DECAY,
       CLIP, PATIENCE, SEED, CHECKPOINT, EVERY, RESUME, BEST, CSV, SVG, TENSORBOARD };
/* clang-format on */

static const struct argp_option table[] = {
    { NULL, 0, NULL, 0, "The model:", 1 },
    { "model", CELL, "rnn|lstm|gru", 0, "the recurrent module (lstm)", 0 },
    { "hidden", HIDDEN, "N", 0, "hidden units (256)", 0 },
    { "layers", LAYERS, "N", 0, "recurrent layers (1)", 0 },
    { "embedding", EMBEDDING, "N", 0, "size of the embedding; 0: one-hot (0; of words 256)", 0 },
    { "tied", TIED, NULL, 0, "one weight for embedding and output; sizes must be the same", 0 },
    { "dropout", DROPOUT, "P", 0, "probability of dropout (0)", 0 },
    { "layer-norm", LAYER_NORM, NULL, 0, "layer normalisation within the cells", 0 },
    { "dialect", DIALECT, "torch|gluon|keras|flax", 0, "whose initial values (torch)", 0 },
    { NULL, 0, NULL, 0, "The text:", 2 },
    { "tokens", TOKENS, "KIND", 0, "char, byte, word or grapheme (char)", 0 },
    { "clean", CLEAN, "HOW", 0, "none, text, lines, letters or fold (none)", 0 },
    { "min-freq", MIN_FREQ, "N", 0, "rarer tokens are <unk> (1)", 0 },
    { "max-tokens", MAX_TOKENS, "N", 0, "train on this many, from the start (all)", 0 },
    { "validate", VALIDATE, "TEXT", 0, "another text, to validate on", 0 },
    { NULL, 0, NULL, 0, "Training:", 3 },
    { "epochs", 'e', "N", 0, "epochs (20)", 0 },
    { "batch", BATCH, "N", 0, "rows in a batch (32)", 0 },
    { "steps", STEPS, "N", 0, "time steps in a batch (64)", 0 },
    { "random", RANDOM, NULL, 0, "windows at random, without a carried state", 0 },
    { "optimizer", OPTIMIZER, "NAME", 0, "adam, adamw, sgd, rmsprop or adagrad (adam)", 0 },
    { "lr", LR, "X", 0, "learning rate (0.002; of sgd 1, of adagrad 0.02)", 0 },
    { "momentum", MOMENTUM, "X", 0, "of sgd and rmsprop (0)", 0 },
    { "weight-decay", WEIGHT_DECAY, "X", 0, "weight decay (0; of adamw 0.01)", 0 },
    { "clip", CLIP, "X", 0, "largest gradient norm (1)", 0 },
    { "patience", PATIENCE, "N", 0, "stop after N epochs that are no better", 0 },
    { "seed", SEED, "N", 0, "of initial weights, batches and dropout (0)", 0 },
    { NULL, 0, NULL, 0, "Files:", 4 },
    { "output", 'o', "FILE", 0, "the model (model.safetensors)", 0 },
    { "checkpoint", CHECKPOINT, "FILE", 0, "keep the run in this file", 0 },
    { "every", EVERY, "N", 0, "write it after N updates too, not only after epochs", 0 },
    { "resume", RESUME, NULL, 0, "go on from the checkpoint, if it is there", 0 },
    { "best", BEST, "FILE", 0, "keep the epoch of the lowest perplexity in this file", 0 },
    { "csv", CSV, "FILE", 0, "a line for each epoch", 0 },
    { "svg", SVG, "FILE", 0, "the curve of perplexities", 0 },
    { "tensorboard", TENSORBOARD, "DIR", 0, "events for TensorBoard", 0 },
    { "quiet", 'q', NULL, 0, "print nothing but what is wrong", 0 },
    { NULL, 0, NULL, 0, "The machine:", 90 },
    { 0 }
};

static const char *name_of(int key)
{
    const struct argp_option *o = table;

    while (o->key != key)
        o++;
    return o->name;
}

/* The options of the model and the text; false: key is none of them. */
static bool parse_model(options *o, int key, const char *arg)
{
    const char *name = name_of(key);

    switch (key) {
    case CELL:
        o->model.cell =
            (ct_lm_cell)tool_named(name, arg, ct_lm_cell_from_name, "rnn, lstm and gru");
        return true;
    case HIDDEN:
        o->model.hidden_size = tool_integer(name, arg, 1, 1 << 20);
        return true;
    case LAYERS:
        o->model.num_layers = (int)tool_integer(name, arg, 1, 4096);
        return true;
    case EMBEDDING:
        o->model.embedding_size = tool_integer(name, arg, 0, 1 << 20);
        return true;
    case DROPOUT:
        o->model.dropout = tool_fraction(name, arg);
        return true;
    case DIALECT:
        o->model.dialect =
            (ct_dialect)tool_named(name, arg, ct_dialect_from_name, "torch, gluon, keras and flax");
        return true;
    case TOKENS:
        o->corpus.vocab.tokens = (ct_token_kind)tool_named(name, arg, ct_token_kind_from_name,
                                                           "char, byte, word and grapheme");
        return true;
    case CLEAN:
        o->corpus.clean = (ct_clean)tool_named(name, arg, ct_clean_from_name,
                                               "none, text, lines, letters and fold");
        return true;
    case MIN_FREQ:
        o->corpus.vocab.min_freq = tool_integer(name, arg, 0, INT64_MAX);
        return true;
    case MAX_TOKENS:
        o->corpus.max_tokens = tool_integer(name, arg, 1, INT64_MAX);
        return true;
    }
    return false;
}

/* Those of training. */
static bool parse_training(options *o, int key, const char *arg)
{
    const char *name = name_of(key);

    switch (key) {
    case 'e':
        o->trainer.max_epochs = tool_integer(name, arg, 1, INT32_MAX);
        return true;
    case BATCH:
        o->batches.batch_size = tool_integer(name, arg, 1, INT32_MAX);
        return true;
    case STEPS:
        o->batches.steps = tool_integer(name, arg, 1, INT32_MAX);
        return true;
    case OPTIMIZER:
        o->optimizer =
            tool_named(name, arg, optimizer_named, "adam, adamw, sgd, rmsprop and adagrad");
        return true;
    case LR:
        o->lr = tool_positive(name, arg);
        return true;
    case MOMENTUM:
        o->momentum = tool_fraction(name, arg);
        return true;
    case WEIGHT_DECAY:
        o->weight_decay = tool_positive(name, arg);
        return true;
    case CLIP:
        o->trainer.gradient_clip_val = tool_positive(name, arg);
        return true;
    case PATIENCE:
        o->trainer.patience = tool_integer(name, arg, 1, INT32_MAX);
        return true;
    case SEED:
        o->model.seed = o->batches.seed = (uint64_t)tool_integer(name, arg, 0, INT64_MAX);
        return true;
    case EVERY:
        o->trainer.checkpoint_steps = tool_integer(name, arg, 1, INT32_MAX);
        return true;
    }
    return false;
}

/* Those that name files. */
static bool parse_files(options *o, int key, const char *arg)
{
    const struct {
        int key;
        const char **file;
    } files[] = { { 'o', &o->output },
                  { VALIDATE, &o->validate },
                  { CHECKPOINT, &o->trainer.checkpoint },
                  { BEST, &o->trainer.best },
                  { CSV, &o->trainer.csv },
                  { SVG, &o->trainer.svg },
                  { TENSORBOARD, &o->trainer.tensorboard } };

    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if (files[i].key == key) {
            if (!*arg)
                tool_refuse("--%s: an empty name", name_of(key));
            *files[i].file = arg;
            return true;
        }
    return false;
}

/* Those without a value. */
static bool parse_flags(options *o, int key)
{
    bool *flag = key == TIED         ? &o->model.tied
                 : key == LAYER_NORM ? &o->model.layer_norm
                 : key == RANDOM     ? &o->batches.random
                 : key == RESUME     ? &o->resume
                 : key == 'q'        ? &o->quiet
                                     : NULL;

    if (flag)
        *flag = true;
    return flag != NULL;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    options *o = state->input;

    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &o->machine;
        return 0;
    case ARGP_KEY_ARG:
        if (o->text)
            tool_refuse("one text, not \"%s\" too", arg);
        o->text = arg;
        return 0;
    case ARGP_KEY_END:
        if (!o->text)
            tool_refuse("which text? (see cotangent train --help)");
        if (o->resume && !o->trainer.checkpoint)
            tool_refuse("--resume: from which --checkpoint?");
        if (o->trainer.checkpoint_steps && !o->trainer.checkpoint)
            tool_refuse("--every: of which --checkpoint?");
        return 0;
    }
    if (key < 'e' || key > TENSORBOARD)
        return ARGP_ERR_UNKNOWN;
    return parse_model(o, key, arg) || parse_training(o, key, arg) || parse_files(o, key, arg) ||
                   parse_flags(o, key)
               ? 0
               : ARGP_ERR_UNKNOWN;
}

/* What was left out, and what does not go together. */
static void settle(options *o)
{
    if (o->model.embedding_size < 0)
        o->model.embedding_size = o->corpus.vocab.tokens == CT_TOKEN_KIND_WORD ? 256 : 0;
    if (o->model.tied && o->model.embedding_size != o->model.hidden_size)
        tool_refuse("--tied: --embedding %lld is not --hidden %lld",
                    (long long)o->model.embedding_size, (long long)o->model.hidden_size);
    if (o->corpus.vocab.tokens == CT_TOKEN_KIND_BYTE && o->corpus.vocab.min_freq > 1)
        tool_refuse("--min-freq: bytes are all in the vocabulary");
    if (o->lr == 0)
        o->lr = optimizers[o->optimizer].lr;
    o->model.device = o->batches.device = o->trainer.device = o->machine.device;
    if (o->resume && access(o->trainer.checkpoint, F_OK) == 0)
        o->trainer.resume = o->trainer.checkpoint;
    o->trainer.out = o->quiet ? NULL : stdout;
}

/* ---- the run ---- */

typedef struct run {
    const options *o;
    ct_lm *m;
} run;

static ct_tensor *step(void *self, const ct_batch *batch, const ct_state *state, ct_state **next)
{
    const run *r = self;

    return ct_cross_entropy(ct_lm_forward(r->m, batch->x, state, next), batch->y);
}

static ct_optimizer *configure_optimizers(void *self)
{
    const options *o = ((run *)self)->o;
    ct_params *params = ct_lm_params(((run *)self)->m);
    ct_adam_options adam = { .lr = o->lr, .weight_decay = o->weight_decay };

    switch (o->optimizer) {
    case 0:
        return ct_adam_new(params, adam);
    case 1:
        return ct_adamw_new(params, adam);
    case 2:
        return ct_sgd_new(params, (ct_sgd_options){ .lr = o->lr,
                                                    .momentum = o->momentum,
                                                    .weight_decay = o->weight_decay });
    case 3:
        return ct_rmsprop_new(params, (ct_rmsprop_options){ .lr = o->lr,
                                                            .momentum = o->momentum,
                                                            .weight_decay = o->weight_decay });
    }
    return ct_adagrad_new(params,
                          (ct_adagrad_options){ .lr = o->lr, .weight_decay = o->weight_decay });
}

/* What the model card says of the run. A checkpoint's has none of it: a run that is resumed must
 * describe the same model. */
static void note_run(const options *o, ct_lm *m, const ct_fit_result *r)
{
    const char *name = strrchr(o->text, '/');

    name = name && name[1] ? name + 1 : o->text;
    ct_lm_note_text(m, "version", ct_version());
    ct_lm_note_text(m, "text", name);
    ct_lm_note_text(m, "optimizer", optimizers[o->optimizer].name);
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

static ct_corpus *read_corpus(const options *o, const char *path, const ct_vocab *known)
{
    ct_corpus_options how = o->corpus;
    ct_text *text = tool_text(path, how.vocab.tokens);
    ct_corpus *corpus;

    how.known = known;
    if (known)
        how.max_tokens = 0;
    corpus = text ? ct_corpus_new(text, how) : NULL;
    if (corpus && !o->quiet)
        printf("%s: %lld tokens, %d in the vocabulary\n", ct_text_source(text),
               (long long)ct_corpus_size(corpus), ct_vocab_size(ct_corpus_vocab(corpus)));
    if (corpus && how.vocab.tokens != CT_TOKEN_KIND_BYTE && ct_corpus_invalid_bytes(corpus))
        tool_note("%lld bytes of %s are not valid UTF-8",
                  (long long)ct_corpus_invalid_bytes(corpus), path);
    ct_text_free(text);
    return corpus;
}

/* The text in order, whatever training does. */
static ct_loader_sequences_options validation_batches(const options *o)
{
    ct_loader_sequences_options batches = o->batches;

    batches.random = false;
    return batches;
}

/* A checkpoint of another run is refused by these. */
static void describe_run(const options *o, const ct_corpus *corpus, char numbers[300],
                         ct_metadata pairs[4])
{
    snprintf(numbers, 300, "%s lr %.17g momentum %.17g weight decay %.17g clip %.17g",
             optimizers[o->optimizer].name, o->lr, o->momentum, o->weight_decay,
             o->trainer.gradient_clip_val);
    pairs[0] = (ct_metadata){ "text", ct_corpus_sha256(corpus) };
    pairs[1] = (ct_metadata){ "cleaning", ct_clean_name(o->corpus.clean) };
    pairs[2] = (ct_metadata){ "optimizer", numbers };
    pairs[3] = (ct_metadata){ NULL, NULL };
}

/* Trains m, and writes it unless that failed. */
static void fit(const options *o, ct_lm *m, const ct_corpus *corpus, ct_loader *train,
                ct_loader *val)
{
    run r = { o, m };
    ct_model model = { .self = &r,
                       .params = ct_lm_params(m),
                       .training_step = step,
                       .configure_optimizers = configure_optimizers };
    ct_trainer trainer = o->trainer;
    ct_metadata pairs[4];
    ct_fit_result result;
    char numbers[300], *description;

    describe_run(o, corpus, numbers, pairs);
    description = ct_lm_describe(m);
    trainer.hyperparameters = pairs;
    trainer.model_json = description;
    ct_trainer_stop_on_signals();
    if (ct_fit(&trainer, &model, train, val, &result) == CT_OK) {
        note_run(o, m, &result);
        if (ct_lm_save(m, o->output) == CT_OK && !o->quiet)
            printf("%s after %lld epochs: perplexity %.2f; the model is in %s\n",
                   result.end == CT_FIT_END_STOPPED ? "stopped" : "done", (long long)result.epochs,
                   result.perplexity, o->output);
    }
    free(description);
}

int tool_train(int argc, char **argv)
{
    static const struct argp_child children[] = { { &tool_machine_argp, 0, NULL, 90 }, { 0 } };
    const struct argp argp = {
        .options = table,
        .parser = parse,
        .args_doc = "TEXT",
        .children = children,
        .doc = "Trains a language model on a text of any kind, and writes it.\v"
               "SIGINT and SIGTERM end the run after the step at hand: model and checkpoint are "
               "written, and the exit status is 128 + the signal."
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

    tool_parse(&argp, argc, argv, &o);
    settle(&o);
    corpus = read_corpus(&o, o.text, NULL);
    if (corpus)
        train = ct_loader_sequences_new(corpus, o.batches);
    if (train && o.validate && (other = read_corpus(&o, o.validate, ct_corpus_vocab(corpus)))) {
        val = ct_loader_sequences_new(other, validation_batches(&o));
        if (val)
            ct_loader_set_offset(val, 0); /* the same tokens each epoch */
    }
    if (ct_ok())
        m = ct_lm_new(corpus, o.model);
    if (m)
        fit(&o, m, corpus, train, val);
    status = tool_status();
    ct_lm_free(m);
    ct_loader_free(val);
    ct_loader_free(train);
    ct_corpus_free(other);
    ct_corpus_free(corpus);
    return status == TOOL_OK && ct_trainer_signal() ? 128 + ct_trainer_signal() : status;
}
