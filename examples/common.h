/* common.h - the options that the examples share, and their data. */
#ifndef EXAMPLES_COMMON_H
#define EXAMPLES_COMMON_H

#include <cotangent.h>

typedef struct options {
    bool classic; /* d2l 0.x's protocol; else d2l 1.x's, the book's */
    bool random;  /* classic: the random iterator */
    int64_t hidden, layers, epochs, batch, steps, num_train, num_val, max_tokens, length;
    int64_t first_val; /* book: the first window to validate on; 0: after those to train */
    double lr, clip;
    ct_token_kind tokens;                /* what the text is cut into */
    const char *data;                    /* a file; NULL: the book */
    const char *prefix;                  /* text to go on from, */
    const char *second_prefix;           /* and another, or NULL */
    const char *csv, *svg, *tensorboard; /* files that show the run, or NULL */
    const char *checkpoint;              /* the run's file, or NULL */
    bool resume;                         /* go on from it, if it is there */
    uint64_t seed;
    ct_device device;
    ct_dialect dialect;
    /* the maker of the recurrent module: ct_nn_rnn, ct_nn_lstm, ct_nn_gru, or our own mgu */
    ct_recurrent *(*model)(ct_params *, const char *, ct_nn_recurrent_options);
} options;

/* Reads the command line of the chapter's program; after a wrong one, says so in one line and exits
 * with status 2. Errors of the library end the program from now on. */
options options_parse(int argc, char **argv);

/* The same for others that train on the chapter's text by its protocols: doc is what the program is
 * for, takes lists the options that it has ("hidden epochs lr"). */
options options_parse_chapter(int argc, char **argv, const char *doc, const char *takes);

/* And for any other: usual has the values of options not given. */
options options_parse_for(int argc, char **argv, const char *doc, const char *takes, options usual);

/* For what a command line asks that cannot be: one line on stderr, and the end with status 2. */
void options_refuse(const char *format, ...) CT_PRINTF(1, 2);

/* The corpus that the options name. Prints which text it is, and notes bytes that are no UTF-8.
 * *is_sample may be left out. */
ct_corpus *options_corpus(const options *o, bool *is_sample);

/* Batches to train on and, in the book protocol, to validate on (else NULL). */
ct_loader *options_train_loader(const options *o, const ct_corpus *corpus);
ct_loader *options_val_loader(const options *o, const ct_corpus *corpus);

/* The trainer that the options describe, which prints to stdout; for one run at a time. */
ct_trainer options_trainer(const options *o, const ct_corpus *corpus);

/* Notes characters of the prefix that the text has not. */
void options_note_prefix(const options *o, const ct_vocab *vocab);

#endif
