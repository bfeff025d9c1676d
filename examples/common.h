/* common.h - the options that the examples share, and their data. */
#ifndef EXAMPLES_COMMON_H
#define EXAMPLES_COMMON_H

#include <cotangent.h>

typedef struct options {
    bool classic; /* d2l 0.x's protocol; else d2l 1.x's, the book's */
    bool random;  /* classic: the random iterator */
    int64_t hidden, layers, epochs, batch, steps, num_train, num_val, max_tokens, length;
    int64_t
        first_val; /* book: the first window to validate on; 0: the one after those to train on */
    double lr, clip;
    ct_token_kind tokens;
    const char *data;                    /* a file; NULL: the book */
    const char *prefix;                  /* text to continue, */
    const char *second_prefix;           /* and another, or NULL */
    const char *csv, *svg, *tensorboard; /* files that show the run, or NULL */
    const char *checkpoint;              /* the run's file, or NULL */
    bool resume;                         /* continue from it, if it exists */
    uint64_t seed;
    ct_device device;
    ct_dialect dialect;
    /* the constructor of the recurrent module: ct_nn_rnn, ct_nn_lstm, ct_nn_gru, or our own mgu */
    ct_recurrent *(*model)(ct_params *, const char *, ct_nn_recurrent_options);
    const char *model_name;
} options;

/* Reads the command line of the chapter's program. After a wrong one: one line on stderr, and exit
 * with status 2. From now on an error of the library ends the program. */
options options_parse(int argc, char **argv);

/* The same for other programs that train on the chapter's text by its protocols. doc says what the
 * program does; takes lists the options that it has ("hidden epochs lr"). */
options options_parse_chapter(int argc, char **argv, const char *doc, const char *takes);

/* The same for any other program. usual has the values of options that are not given. */
options options_parse_for(int argc, char **argv, const char *doc, const char *takes, options usual);

/* The corpus that the options name. Prints which text it is, and notes bytes that are not UTF-8.
 * is_sample may be NULL. */
ct_corpus *options_corpus(const options *o, bool *is_sample);

/* Batches to train on and, in the book protocol, to validate on (else NULL). */
ct_loader *options_train_loader(const options *o, const ct_corpus *corpus);
ct_loader *options_val_loader(const options *o, const ct_corpus *corpus);

/* The trainer that the options describe, which prints to stdout. For one run at a time. */
ct_trainer options_trainer(const options *o, const ct_corpus *corpus);

/* Notes characters of the prefix that are not in the text. */
void options_note_prefix(const options *o, const ct_vocab *vocab);

#endif
