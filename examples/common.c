/* SPDX-License-Identifier: MIT */
/* common.c - the options and the data of the examples. */
#include "common.h"
#include "mgu.h"
#include "tool/cli.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct {
    const char *name;
    ct_recurrent *(*make)(ct_params *, const char *, ct_nn_recurrent_options);
} models[] = { { "rnn", ct_nn_rnn }, { "lstm", ct_nn_lstm }, { "gru", ct_nn_gru }, { "mgu", mgu } };

/* The options, which the command line fills in. */
typedef struct command_line {
    options o;
    const char *book; /* the path of The Time Machine in COTANGENT_DATA_DIR, or NULL */
    int protocol;     /* 0: book, 1: classic */
    int model;        /* an index of models */
} command_line;

#define FIELD(name) .offset = offsetof(command_line, name)
#define COUNT(name) FIELD(o.name), .low = 1, .high = INT32_MAX

/* The text after a bar lists the defaults of the chapter's two protocols. */
static const cli_option table[] = {
    { "book", CLI_OWN_FILE, FIELD(book), .file = CLI_READS },
    { "protocol", CLI_CHOICE, "book|classic", "d2l 1.x's or d2l 0.x's|book", FIELD(protocol) },
    { "model", CLI_CHOICE, "rnn|lstm|gru|mgu", "the recurrent module|rnn", FIELD(model) },
    { "dialect", CLI_CHOICE, "torch|gluon|keras|flax", "initial values as in this framework|torch",
      FIELD(o.dialect), .find = ct_dialect_from_name },
    { "tokens", CLI_CHOICE, "char|word", "what a token is", FIELD(o.tokens),
      .find = ct_token_kind_from_name },
    { "data", CLI_STRING, "FILE", "train on this text|The Time Machine", FIELD(o.data),
      .file = CLI_READS },
    { "hidden", CLI_INTEGER, "N", "hidden units|32; classic 256", COUNT(hidden) },
    { "layers", CLI_INTEGER, "N", "recurrent layers|1", FIELD(o.layers), .low = 1, .high = 4096 },
    { "epochs", CLI_INTEGER, "N", "epochs|100; classic 500", COUNT(epochs) },
    { "lr", CLI_POSITIVE, "X", "learning rate", FIELD(o.lr) },
    { "clip", CLI_POSITIVE, "X", "largest norm of the gradients", FIELD(o.clip) },
    { "batch", CLI_INTEGER, "N", "rows in a batch|1024; classic 32", COUNT(batch) },
    { "steps", CLI_INTEGER, "N", "time steps in a batch|32; classic 35", COUNT(steps) },
    { "random", CLI_FLAG, NULL, "classic: the random iterator, not the sequential one",
      FIELD(o.random) },
    { "num-train", CLI_INTEGER, "N", "windows or points to train on|10000", COUNT(num_train) },
    { "num-val", CLI_INTEGER, "N", "windows or points to validate on|5000", COUNT(num_val) },
    { "max-tokens", CLI_INTEGER, "N", "keep the first N characters|all; classic 10000",
      COUNT(max_tokens) },
    { "prefix", CLI_NAME, "TEXT", "text to continue", FIELD(o.prefix) },
    { "length", CLI_INTEGER, "N", "characters to predict after training|20; classic 50",
      FIELD(o.length), .low = 1, .high = 1000000 },
    { "csv", CLI_NAME, "FILE", "write a line for each epoch to this file", FIELD(o.csv),
      .file = CLI_WRITES },
    { "svg", CLI_NAME, "FILE", "draw the curves into this file", FIELD(o.svg), .file = CLI_WRITES },
    { "tensorboard", CLI_NAME, "FOLDER", "write events for TensorBoard into this folder",
      FIELD(o.tensorboard), .file = CLI_WRITES, .within = "events.out.tfevents.cotangent" },
    { "checkpoint", CLI_NAME, "FILE", "save the run in this file", FIELD(o.checkpoint),
      .file = CLI_WRITES },
    { "resume", CLI_FLAG, NULL, "continue from the checkpoint, if it exists", FIELD(o.resume) },
    { "seed", CLI_INTEGER, "N", "seed of initial weights and batches|0", FIELD(o.seed),
      .high = INT64_MAX },
    { "threads", CLI_THREADS, "N", "threads|as many as are free", .low = 1, .high = 256 },
    { "device", CLI_DEVICE, "NAME",
      "where to train: cpu, cuda, cuda:1, cuda-emu, or auto: a GPU if there is one|cpu",
      FIELD(o.device) },
    { 0 }
};

options options_parse_for(int argc, char **argv, const char *doc, const char *takes, options usual)
{
    const cli_program program = { .options = table, .takes = takes, .doc = doc };
    command_line line = { .o = usual, .protocol = usual.classic };
    const char *folder = getenv("COTANGENT_DATA_DIR");
    static char book[PATH_MAX];

    if (folder && (size_t)snprintf(book, sizeof book, "%s/timemachine.txt", folder) < sizeof book)
        line.book = book;
    cli_parse(&program, argc, argv, &line);
    if (!cli_try_files(&program, &line))
        cli_fail("%s", cli_reason(ct_error_message()));
    ct_exit_on_error();
    line.o.classic = line.protocol == 1;
    line.o.model_name = models[line.model].name;
    line.o.model = models[line.model].make;
    return line.o;
}

static int64_t or_else(int64_t given, int64_t usual)
{
    return given ? given : usual;
}

options options_parse_chapter(int argc, char **argv, const char *doc, const char *takes)
{
    static const char about_text[] =
        "The text is --data's; else $COTANGENT_DATA_DIR/timemachine.txt; else the cached copy; "
        "else "
        "a download; else a sample text that is part of the library. The first line says which.";
    options o = { .lr = 1, .clip = 1 };
    char text[1000];

    snprintf(text, sizeof text, "%s\v%s", doc, about_text);
    o = options_parse_for(argc, argv, text, takes, o);
    if (o.random && !o.classic)
        fprintf(stderr, "note: --random is of --protocol classic; the book's windows are "
                        "shuffled anyway\n");
    if (o.resume && !o.checkpoint)
        cli_refuse("--resume: --checkpoint is missing");
    o.second_prefix = o.classic && !o.prefix ? "traveller" : NULL;
    o.prefix = o.prefix ? o.prefix : o.classic ? "time traveller" : "it has";
    o.layers = or_else(o.layers, 1);
    o.hidden = or_else(o.hidden, o.classic ? 256 : 32);
    o.epochs = or_else(o.epochs, o.classic ? 500 : 100);
    o.batch = or_else(o.batch, o.classic ? 32 : 1024);
    o.steps = or_else(o.steps, o.classic ? 35 : 32);
    o.num_train = or_else(o.num_train, 10000);
    o.num_val = or_else(o.num_val, 5000);
    o.max_tokens = or_else(o.max_tokens, o.classic ? 10000 : 0);
    o.length = or_else(o.length, o.classic ? 50 : 20);
    return o;
}

options options_parse(int argc, char **argv)
{
    return options_parse_chapter(argc, argv,
                                 "Trains a character language model of The Time Machine.",
                                 "protocol model dialect data hidden layers epochs lr clip batch "
                                 "steps random num-train num-val max-tokens prefix length seed "
                                 "csv svg tensorboard checkpoint resume threads device");
}

ct_corpus *options_corpus(const options *o, bool *is_sample)
{
    const ct_corpus_options how = {
        .clean = o->classic ? CT_CLEAN_LINES : CT_CLEAN_TEXT,
        .vocab = { .order = o->classic ? CT_VOCAB_ORDER_FREQUENCY : CT_VOCAB_ORDER_SORTED,
                   .tokens = o->tokens },
        .max_tokens = o->max_tokens,
    };
    ct_text *text = ct_text_new_timemachine(o->data);
    ct_corpus *corpus = ct_corpus_new(text, how);

    ct_print_text(ct_text_source(text), stdout);
    putchar('\n');
    if (ct_corpus_invalid_bytes(corpus))
        fprintf(stderr, "note: %lld bytes are not valid UTF-8; they count as separators\n",
                (long long)ct_corpus_invalid_bytes(corpus));
    if (is_sample)
        *is_sample = ct_text_is_sample(text);
    ct_text_free(text);
    return corpus;
}

static ct_loader *windows(const options *o, const ct_corpus *corpus, int64_t first, int64_t count,
                          bool shuffle)
{
    return ct_loader_windows_new(corpus, (ct_loader_windows_options){ .batch_size = o->batch,
                                                                      .steps = o->steps,
                                                                      .first = first,
                                                                      .count = count,
                                                                      .shuffle = shuffle,
                                                                      .seed = o->seed,
                                                                      .device = o->device });
}

ct_loader *options_train_loader(const options *o, const ct_corpus *corpus)
{
    if (!o->classic)
        return windows(o, corpus, 0, o->num_train, true);
    return ct_loader_sequences_new(corpus, (ct_loader_sequences_options){ .batch_size = o->batch,
                                                                          .steps = o->steps,
                                                                          .random = o->random,
                                                                          .seed = o->seed,
                                                                          .device = o->device });
}

ct_loader *options_val_loader(const options *o, const ct_corpus *corpus)
{
    int64_t first = o->first_val ? o->first_val : o->num_train;

    return o->classic ? NULL : windows(o, corpus, first, o->num_val, false);
}

/* The hyperparameters that must be the same when a run is resumed, as in the chapter's
 * save_hyperparameters. ct_fit itself compares data, parameters and trainer. */
static const ct_metadata *hyperparameters(const options *o, const ct_corpus *corpus)
{
    static ct_metadata pairs[4];

    pairs[0] = (ct_metadata){ "text", ct_corpus_sha256(corpus) };
    pairs[1] = (ct_metadata){ "model", o->model_name };
    pairs[2] = (ct_metadata){ "dialect", ct_dialect_name(o->dialect) };
    return pairs;
}

ct_trainer options_trainer(const options *o, const ct_corpus *corpus)
{
    ct_trainer t = { .max_epochs = o->epochs,
                     .gradient_clip_val = o->clip,
                     .device = o->device,
                     .out = stdout,
                     .csv = o->csv,
                     .svg = o->svg,
                     .tensorboard = o->tensorboard,
                     .checkpoint = o->checkpoint };

    t.perplexity = o->classic ? CT_PERPLEXITY_TOKENS : CT_PERPLEXITY_BATCHES;
    t.hyperparameters = hyperparameters(o, corpus);
    if (o->resume && access(o->checkpoint, F_OK) == 0)
        t.resume = o->checkpoint;
    return t;
}

void options_note_prefix(const options *o, const ct_vocab *vocab)
{
    size_t size = strlen(o->prefix);
    int32_t *ids = calloc(size, sizeof *ids);
    int64_t unknown = 0;

    if (ids)
        ct_vocab_encode(vocab, o->prefix, size, ids, &unknown);
    free(ids);
    if (unknown)
        fprintf(stderr,
                "note: the prefix has characters that are not in the text (which is cleaned "
                "to a-z and spaces); they count as <unk>\n");
}

void options_note_stop(const options *o, const ct_fit_result *fit)
{
    if (fit->end != CT_FIT_END_STOPPED)
        return;
    printf("stopped after %lld epochs; ", (long long)fit->epochs);
    if (o->checkpoint)
        printf("the same command with --resume continues the run from %s\n", o->checkpoint);
    else
        printf("a run with --checkpoint=FILE can be continued with --resume\n");
}
