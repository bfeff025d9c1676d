/* common.h - the options that the examples share, and their data. */
#ifndef EXAMPLES_COMMON_H
#define EXAMPLES_COMMON_H

#include <cotangent.h>

typedef struct options {
    bool classic;               /* d2l 0.x's protocol; else d2l 1.x's, the book's */
    bool random;                /* classic: the random iterator */
    int64_t hidden, layers, epochs, batch, steps, num_train, num_val, max_tokens, length;
    double lr, clip;
    const char *data, *prefix;  /* NULL: the book; the protocol's own */
    uint64_t seed;
    ct_device device;
    ct_dialect dialect;
    /* the maker of the recurrent module: ct_rnn, ct_lstm, ct_gru, or our own mgu */
    ct_recurrent *(*model)(ct_params *, const char *, ct_recurrent_options);
} options;

/* Reads the command line; exits with status 2 after a wrong one. about: the program, for --help. */
options options_parse(int argc, char **argv, const char *about);

/* The corpus that the options name; prints which text it is. */
ct_corpus *options_corpus(const options *o, bool *is_sample);

/* Batches to train on and, in the book protocol, to validate on (else NULL). */
ct_loader *options_train_loader(const options *o, const ct_corpus *corpus);
ct_loader *options_val_loader(const options *o, const ct_corpus *corpus);

#endif
