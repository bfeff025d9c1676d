/* common.c - the command line and the data of the examples. */
#define _GNU_SOURCE /* program_invocation_short_name */
#include "common.h"
#include "mgu.h"

#include <argp.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Keys of the options; those of whole numbers come first. */
/* clang-format off */
enum { HIDDEN = 256, LAYERS, EPOCHS, BATCH, STEPS, NUM_TRAIN, NUM_VAL, MAX_TOKENS, LENGTH,
       LR, CLIP, RANDOM, PREFIX, SEED, THREADS, DEVICE, DATA, PROTOCOL, MODEL, DIALECT, TOKENS,
       CSV, SVG, TENSORBOARD, CHECKPOINT, RESUME };
/* clang-format on */

/* What follows a bar is the usual value of the chapter's two protocols. */
static const struct argp_option table[] = {
    { "protocol", PROTOCOL, "book|classic", 0, "d2l 1.x's or d2l 0.x's (book)", 0 },
    { "model", MODEL, "rnn|lstm|gru|mgu", 0, "the recurrent module (rnn)", 0 },
    { "dialect", DIALECT, "torch|gluon|keras|flax", 0, "whose initial values (torch)", 0 },
    { "tokens", TOKENS, "char|word", 0, "what the text is cut into", 0 },
    { "data", DATA, "FILE", 0, "train on this text (The Time Machine)", 0 },
    { "hidden", HIDDEN, "N", 0, "hidden units|32; classic 256", 0 },
    { "layers", LAYERS, "N", 0, "recurrent layers|1", 0 },
    { "epochs", EPOCHS, "N", 0, "epochs|100; classic 500", 0 },
    { "lr", LR, "X", 0, "learning rate|1", 0 },
    { "clip", CLIP, "X", 0, "largest gradient norm|1", 0 },
    { "batch", BATCH, "N", 0, "rows in a batch|1024; classic 32", 0 },
    { "steps", STEPS, "N", 0, "time steps in a batch|32; classic 35", 0 },
    { "random", RANDOM, NULL, 0, "classic: the random iterator, not the sequential one", 0 },
    { "num-train", NUM_TRAIN, "N", 0, "book: windows to train on|10000", 0 },
    { "num-val", NUM_VAL, "N", 0, "book: windows to validate on|5000", 0 },
    { "max-tokens", MAX_TOKENS, "N", 0, "keep this many characters|all; classic 10000", 0 },
    { "prefix", PREFIX, "TEXT", 0, "text to go on from", 0 },
    { "length", LENGTH, "N", 0, "characters to predict after training|20; classic 50", 0 },
    { "csv", CSV, "FILE", 0, "write a line for each epoch to this file", 0 },
    { "svg", SVG, "FILE", 0, "draw the curves into this file", 0 },
    { "tensorboard", TENSORBOARD, "FOLDER", 0, "write events for TensorBoard into this folder", 0 },
    { "checkpoint", CHECKPOINT, "FILE", 0, "keep the run in this file", 0 },
    { "resume", RESUME, NULL, 0, "go on from the checkpoint, if it is there", 0 },
    { "seed", SEED, "N", 0, "seed of initial weights and batches (0)", 0 },
    { "threads", THREADS, "N", 0, "threads (as many as are free)", 0 },
    { "device", DEVICE, "NAME", 0,
      "where to train: cpu, cuda, cuda:1, cuda-emu, or auto: a GPU if "
      "there is one (cpu)",
      0 },
    { 0 }
};

static const char about_text[] =
    "The text is --data's; else $COTANGENT_DATA_DIR/timemachine.txt; else the cached copy; else a "
    "download; else a sample text that is part of the library. The first line says which.";

void options_refuse(const char *format, ...)
{
    va_list args;

    fprintf(stderr, "%s: ", program_invocation_short_name);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, " (see --help)\n");
    exit(2);
}

/* A whole number from low to high. */
static int64_t integer(const char *name, const char *text, int64_t low, int64_t high)
{
    char *end;
    long long n;

    errno = 0;
    n = strtoll(text, &end, 10);
    if (end == text || *end || errno || n < low || n > high)
        options_refuse("--%s: \"%s\" is no whole number from %lld to %lld", name, text,
                       (long long)low, (long long)high);
    return n;
}

/* A number above 0. */
static double positive(const char *name, const char *text)
{
    char *end;
    double x = strtod(text, &end);

    if (end == text || *end || !isfinite(x) || x <= 0)
        options_refuse("--%s: \"%s\" is no number above 0", name, text);
    return x;
}

static const char *name_of(int key)
{
    const struct argp_option *o = table;

    while (o->name && o->key != key)
        o++;
    return o->name;
}

static const struct {
    const char *name;
    ct_recurrent *(*make)(ct_params *, const char *, ct_nn_recurrent_options);
} models[] = { { "rnn", ct_nn_rnn }, { "lstm", ct_nn_lstm }, { "gru", ct_nn_gru }, { "mgu", mgu } };

static const char *name_of_model(ct_recurrent *(*make)(ct_params *, const char *,
                                                       ct_nn_recurrent_options))
{
    size_t i = 0;

    while (models[i].make != make)
        i++;
    return models[i].name;
}

static void parse_model(options *o, const char *name)
{
    o->model = NULL;
    for (size_t i = 0; i < sizeof models / sizeof *models; i++)
        if (strcmp(name, models[i].name) == 0)
            o->model = models[i].make;
    if (!o->model)
        options_refuse("--model: %s is none of rnn, lstm, gru and mgu", name);
}

/* The largest whole number that an option takes. */
static int64_t most(int key)
{
    return key == LAYERS ? 4096 : key == LENGTH ? 1000000 : INT32_MAX;
}

static ct_device device(const char *name)
{
    static const char me[] = "ct_device_from_name: ";
    const char *why;
    ct_device found;

    ct_error_set_handler(NULL, NULL);
    found = ct_device_from_name(name);
    why = strstr(ct_error_message(), me);
    if (!ct_ok())
        options_refuse("--device: %s", why ? why + strlen(me) : ct_error_message());
    ct_exit_on_error();
    return found;
}

static void parse_file(options *o, int key, const char *arg)
{
    const char **const files[] = { &o->csv, &o->svg, &o->tensorboard, &o->checkpoint };

    if (!*arg)
        options_refuse("--%s: the name is empty", name_of(key));
    *files[key - CSV] = arg;
}

static void parse_text(options *o, int key, const char *arg)
{
    switch (key) {
    case PROTOCOL:
        if (strcmp(arg, "book") != 0 && strcmp(arg, "classic") != 0)
            options_refuse("--protocol: \"%s\" is neither book nor classic", arg);
        o->classic = strcmp(arg, "classic") == 0;
        break;
    case DATA:
        o->data = arg;
        break;
    case PREFIX:
        if (!*arg)
            options_refuse("--prefix: the prefix is empty");
        o->prefix = arg;
        break;
    case DEVICE:
        o->device = device(arg);
        break;
    case MODEL:
        parse_model(o, arg);
        break;
    case DIALECT:
        if (ct_dialect_from_name(arg) < 0)
            options_refuse("--dialect: %s is none of torch, gluon, keras and flax", arg);
        o->dialect = (ct_dialect)ct_dialect_from_name(arg);
        break;
    case TOKENS:
        if (strcmp(arg, "char") != 0 && strcmp(arg, "word") != 0)
            options_refuse("--tokens: \"%s\" is neither char nor word", arg);
        o->tokens = strcmp(arg, "word") == 0 ? CT_TOKEN_KIND_WORD : CT_TOKEN_KIND_CHAR;
        break;
    case THREADS:
        (void)ct_set_num_threads((int)integer("threads", arg, 1, 256));
        break;
    }
}

/* The whole number of a key from HIDDEN to LENGTH. */
static int64_t *number(options *o, int key)
{
    int64_t *const numbers[] = { &o->hidden,    &o->layers,  &o->epochs,     &o->batch, &o->steps,
                                 &o->num_train, &o->num_val, &o->max_tokens, &o->length };

    return numbers[key - HIDDEN];
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    options *o = state->input;

    if (key >= HIDDEN && key <= LENGTH) {
        *number(o, key) = integer(name_of(key), arg, 1, most(key));
        return 0;
    }
    switch (key) {
    case LR:
        o->lr = positive("lr", arg);
        return 0;
    case CLIP:
        o->clip = positive("clip", arg);
        return 0;
    case RANDOM:
        o->random = true;
        return 0;
    case RESUME:
        o->resume = true;
        return 0;
    case CSV:
    case SVG:
    case TENSORBOARD:
    case CHECKPOINT:
        parse_file(o, key, arg);
        return 0;
    case SEED:
        o->seed = (uint64_t)integer("seed", arg, 0, INT64_MAX);
        return 0;
    case PROTOCOL:
    case DATA:
    case PREFIX:
    case DEVICE:
    case THREADS:
    case MODEL:
    case DIALECT:
    case TOKENS:
        parse_text(o, key, arg);
        return 0;
    case ARGP_KEY_ARG:
        options_refuse("\"%s\" is not an option", arg);
        return 0;
    }
    return ARGP_ERR_UNKNOWN;
}

/* ---- which options a program takes ---- */

static bool is_word_of(const char *list, const char *word)
{
    size_t length = strlen(word);
    const char *at = list;

    while ((at = strstr(at, word)) != NULL) {
        if ((at == list || at[-1] == ' ') && (at[length] == ' ' || !at[length]))
            return true;
        at += length;
    }
    return false;
}

/* What --help says of an option: the value behind the bar, or the program's own usual one. */
static void describe(char *text, size_t size, const struct argp_option *of, options *usual)
{
    const char *bar = strchr(of->doc, '|');
    int words = bar ? (int)(bar - of->doc) : (int)strlen(of->doc);

    if (bar && !usual)
        snprintf(text, size, "%.*s (%s)", words, of->doc, bar + 1);
    else if (bar && of->key <= LENGTH)
        snprintf(text, size, "%.*s (%lld)", words, of->doc, (long long)*number(usual, of->key));
    else if (bar)
        snprintf(text, size, "%.*s (%g)", words, of->doc, of->key == LR ? usual->lr : usual->clip);
    else
        snprintf(text, size, "%s", of->doc);
}

/* usual: what is not given is as in *o now, and --help says so; else it says the chapter's. */
static void parse_into(options *o, int argc, char **argv, const char *doc, const char *takes,
                       bool usual)
{
    static struct argp_option taken[sizeof table / sizeof *table];
    static char words[sizeof table / sizeof *table][100];
    const struct argp argp = { .options = taken, .parser = parse, .doc = doc };
    int count = 0;

    for (const struct argp_option *from = table; from->name; from++)
        if (is_word_of(takes, from->name)) {
            taken[count] = *from;
            describe(words[count], sizeof words[count], from, usual ? o : NULL);
            taken[count].doc = words[count];
            count++;
        }
    ct_exit_on_error();
    argp_err_exit_status = 2;
    argp_parse(&argp, argc, argv, 0, NULL, o);
}

options options_parse_for(int argc, char **argv, const char *doc, const char *takes, options usual)
{
    usual.model = usual.model ? usual.model : ct_nn_rnn;
    parse_into(&usual, argc, argv, doc, takes, true);
    return usual;
}

static int64_t or_else(int64_t given, int64_t usual)
{
    return given ? given : usual;
}

options options_parse_chapter(int argc, char **argv, const char *doc, const char *takes)
{
    options o = { .layers = 1, .lr = 1, .clip = 1, .model = ct_nn_rnn };
    char text[1000];

    snprintf(text, sizeof text, "%s\v%s", doc, about_text);
    parse_into(&o, argc, argv, text, takes, false);
    if (o.random && !o.classic)
        fprintf(stderr, "note: --random is of --protocol classic; the book's windows are "
                        "shuffled anyway\n");
    if (o.resume && !o.checkpoint)
        options_refuse("--resume: from which --checkpoint?");
    o.second_prefix = o.classic && !o.prefix ? "traveller" : NULL;
    o.prefix = o.prefix ? o.prefix : o.classic ? "time traveller" : "it has";
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

    printf("%s\n", ct_text_source(text));
    if (ct_corpus_invalid_bytes(corpus))
        fprintf(stderr, "note: %lld bytes are not valid UTF-8 and count as separators\n",
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

/* The chapter's save_hyperparameters: what makes a run this run, as pairs of texts. */
static const ct_metadata *hyperparameters(const options *o, const ct_corpus *corpus)
{
    static char number[4][32], vocabulary[1000];
    static ct_metadata pairs[10];
    const ct_vocab *vocab = ct_corpus_vocab(corpus);
    const ct_metadata all[] = { { "text", ct_corpus_sha256(corpus) },
                                { "vocabulary", vocabulary },
                                { "protocol", o->classic ? "classic" : "book" },
                                { "model", name_of_model(o->model) },
                                { "hidden", number[0] },
                                { "layers", number[1] },
                                { "lr", number[2] },
                                { "seed", number[3] },
                                { "dialect", ct_dialect_name(o->dialect) },
                                { NULL, NULL } };

    snprintf(number[0], sizeof number[0], "%lld", (long long)o->hidden);
    snprintf(number[1], sizeof number[1], "%lld", (long long)o->layers);
    snprintf(number[2], sizeof number[2], "%.15g", o->lr);
    snprintf(number[3], sizeof number[3], "%llu", (unsigned long long)o->seed);
    vocabulary[0] = '\0';
    for (int i = 0; i < ct_vocab_size(vocab); i++)
        strncat(vocabulary, ct_vocab_token(vocab, i), sizeof vocabulary - strlen(vocabulary) - 1);
    memcpy(pairs, all, sizeof all);
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
        fprintf(stderr, "note: the prefix has characters that the text has not (it is cleaned to "
                        "a-z and spaces); they count as <unk>\n");
}
