/* SPDX-License-Identifier: MIT */
/* common.h - options and data that the examples share. */
#ifndef EXAMPLES_COMMON_H
#define EXAMPLES_COMMON_H

#include <cotangent.h>

typedef struct options {
    bool classic; /* true: d2l 0.x's protocol; false: d2l 1.x's, that of the book */
    bool random;  /* classic: the random iterator */
    int64_t hidden, layers, epochs, batch, steps, num_train, num_val, max_tokens, length;
    int64_t
        /* book: the first window to validate on; 0: the one after the training windows */
        first_val;
    double lr, clip;
    ct_token_kind tokens;
    const char *data;                    /* the file with the text; NULL: the book */
    const char *prefix;                  /* the prefix that predictions continue */
    const char *second_prefix;           /* another prefix, or NULL */
    const char *csv, *svg, *tensorboard; /* output files that show the run, or NULL */
    const char *checkpoint;              /* the checkpoint file, or NULL */
    bool resume;                         /* resume from the checkpoint if it exists */
    uint64_t seed;
    ct_device device;
    ct_dialect dialect;
    /* The constructor of the recurrent module: ct_nn_rnn, ct_nn_lstm, ct_nn_gru, or mgu of
     * mgu.h. */
    ct_recurrent *(*model)(ct_params *, const char *, ct_nn_recurrent_options);
    const char *model_name;
} options;

/* Reads the command line of the chapter's program. If it is wrong, prints one line on stderr and
 * exits with status 2. Afterwards, an error of the library ends the program. */
options options_parse(int argc, char **argv);

/* Like options_parse, for other programs that train on the chapter's text by its protocols. doc
 * describes the program; takes lists its options ("hidden epochs lr"). */
options options_parse_chapter(int argc, char **argv, const char *doc, const char *takes);

/* Like options_parse, for any other program. usual has the default values. */
options options_parse_for(int argc, char **argv, const char *doc, const char *takes, options usual);

/* Makes the corpus that the options name. Prints which text it is, and a note if bytes are not
 * UTF-8. is_sample may be NULL. */
ct_corpus *options_corpus(const options *o, bool *is_sample);

/* Makes the loaders for training and, in the book protocol, for validation (otherwise NULL). */
ct_loader *options_train_loader(const options *o, const ct_corpus *corpus);
ct_loader *options_val_loader(const options *o, const ct_corpus *corpus);

/* Returns the trainer that the options describe; it prints to stdout. Use it for one run at a
 * time. */
ct_trainer options_trainer(const options *o, const ct_corpus *corpus);

/* Prints a note about characters of the prefix that the text does not have. */
void options_note_prefix(const options *o, const ct_vocab *vocab);

/* If a signal has stopped the run, says how it can be continued. */
void options_note_stop(const options *o, const ct_fit_result *fit);

#endif
