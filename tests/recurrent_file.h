/* SPDX-License-Identifier: MIT */
/* recurrent_file.h - for tests that compare recurrent modules with other frameworks: files of
 * configurations and the values of their tensors. tests/peers/formula.py defines both. */
#ifndef TESTS_RECURRENT_FILE_H
#define TESTS_RECURRENT_FILE_H

#include <cotangent.h>

#include <stdio.h>

/* Returns element i of a tensor in a configuration: a number in [-1, 1) that is exact in f32. */
double formula(int config, const char *name, int64_t i);

/* Makes a tensor of the innermost scope with the formula's values times scale. */
ct_tensor *made(int config, const char *name, ct_shape shape, ct_dtype dtype, double scale);

typedef struct config {
    int number;
    char mode[16], variant[16];
    int layers, dirs, bias, batch_first, proj, lengths, state;
    int64_t T, B, in, H;
} config;

typedef struct want {
    char name[64];
    double sum[2];
} want;

#define MOST_WANTS 96

typedef struct config_file {
    FILE *f;
    const char *path;
    char line[512]; /* the first line of the next configuration, which has been read */
} config_file;

/* Opens a file of the source tree. */
config_file open_configs(const char *path);

/* Reads the next configuration and the expected results. Returns their number; 0 at the end of the
 * file. c->number must be -1 before the first call. */
int read_config(config_file *f, config *c, want *wants);

bool is_variant(const config *c, const char *variant);

/* Makes the module "m" of a configuration, with the further options of o. */
ct_recurrent *recurrent_of(const config *c, ct_params *params, ct_nn_recurrent_options o);

/* The arguments of one call. */
typedef struct call {
    ct_tensor *x, *state[2];
    ct_state *given;
    ct_recurrent_call more;
} call;

call call_of(const config *c, ct_dtype dtype);

/* Compares t with two sums of its elements. The tolerance is relative to the sum of magnitudes. */
void expect_sums(const config *c, const want *w, ct_tensor *t, double tolerance);

/* Runs backward from the given dy, dh and dc. */
void go_back(const config *c, ct_tensor *y, ct_state *next, ct_dtype dtype);

/* Returns the tensor that a line of the file names: y, a state, or the gradient of x or of a state.
 * NULL for a gradient of a parameter. */
ct_tensor *result_of(const char *name, const call *k, ct_tensor *y, ct_state *next);

/* Returns the gradient of leaf; zeros if it has none. */
ct_tensor *gradient_of(ct_tensor *leaf);

#endif
