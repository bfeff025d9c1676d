/* recurrent_file.h - what tests of recurrent modules against other frameworks' numbers share: files
 * of configurations, and the values that go into them, as tests/peers/formula.py defines both. */
#ifndef TESTS_RECURRENT_FILE_H
#define TESTS_RECURRENT_FILE_H

#include <cotangent.h>

#include <stdio.h>

/* Element i of the tensor NAME in a configuration: in [-1, 1), exact in f32. */
double formula(int config, const char *name, int64_t i);

/* A tensor of the innermost scope: the formula's values times scale. */
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
    char line[512]; /* the next configuration's head, read already */
} config_file;

/* Opens a file of the source tree. */
config_file open_configs(const char *path);

/* The next configuration and what it should give; the number of tensors, 0 at the end. c->number
 * is -1 before the first. */
int read_config(config_file *f, config *c, want *wants);

bool is_variant(const config *c, const char *variant);

/* The module "m" of a configuration, with what else o has. */
ct_recurrent *recurrent_of(const config *c, ct_params *params, ct_nn_recurrent_options o);

/* All that goes into one call. */
typedef struct call {
    ct_tensor *x, *state[2];
    ct_state *given;
    ct_recurrent_call more;
} call;

call call_of(const config *c, ct_dtype dtype);

/* Compares t with its two sums; tolerance relative to the sum of magnitudes. */
void expect_sums(const config *c, const want *w, ct_tensor *t, double tolerance);

/* dy, dh and dc come in; all gradients go to the leaves. */
void go_back(const config *c, ct_tensor *y, ct_state *next, ct_dtype dtype);

/* The subject of a line of NAME other than the gradient of a parameter: y, a state, or the gradient
 * of x or of a state; otherwise NULL. */
ct_tensor *result_of(const char *name, const call *k, ct_tensor *y, ct_state *next);

/* The gradient of leaf, zeros if it has none. */
ct_tensor *gradient_of(ct_tensor *leaf);

#endif
