/* SPDX-License-Identifier: MIT */
/* bench.h - declarations for the files of the benchmark; see bench.c. */
#ifndef COTANGENT_BENCH_H
#define COTANGENT_BENCH_H

#include <cotangent.h>

typedef struct sizes {
    int64_t batch, steps, hidden, vocab;
    int layers; /* default 1 */
} sizes;

extern const sizes classic, book;

typedef ct_recurrent *(*maker)(ct_params *, const char *, ct_nn_recurrent_options);

typedef struct model {
    ct_params *params;
    ct_recurrent *rnn;
    ct_module *linear;
    ct_optimizer *sgd;
} model;

model model_new(const sizes *s, maker make);
void model_free(model *m);

/* ids (B, T) -> logits (B, T, vocab) */
ct_tensor *forward(const model *m, const sizes *s, ct_tensor *ids, const ct_state *state,
                   ct_state **next);

/* Returns batch * steps + 1 ids, which the caller frees. */
int32_t *ids_of(const sizes *s);

double now(void);      /* seconds */
double cpu_time(void); /* seconds of processor time of this thread, without other programs */

/* Returns tokens/s of training. */
double train(const sizes *s, maker make, double seconds);

/* Returns the floating-point operations of a training step per token: those of the products of the
 * recurrence and of the output layer, times three (forward and two gradients). The product with a
 * one-hot input does not count, because it only selects rows. gates: 1 for RNN, 4 for LSTM, 3 for
 * GRU. */
double flops_of(const sizes *s, int gates);

/* Returns the GFLOP/s of a loop of f32 fused multiply-adds in registers, on one thread, with the
 * widest vectors of this processor; *name receives their name. (kernels.c) */
double peak(double seconds, const char **name);
double start_up(const char *program); /* milliseconds */
double bandwidth(double seconds);     /* the bandwidth of ct_add divided by that of memcpy */
double linear_share(double seconds);  /* the speed of Linear divided by that of cblas_sgemm; 0
                                       * without BLAS */

/* Print the tables of profile.c and scaling.c and the line of gpu.c. */
void profile(double seconds);
void scaling(double seconds);
void gpu_line(const char *device, double seconds);

/* Prints the time of the op called name, or of all ops if name is NULL, on about n elements.
 * Each measurement takes `seconds`. (ops.c) */
void ops(const char *name, int64_t n, double seconds);

/* Prints the time of the case called name, or of all cases if name is NULL. Each measurement
 * takes `seconds`. (layers.c) */
void layers(const char *name, double seconds);
/* Times one recurrent layer, or compares two results, and returns the exit status. argv has the
 * arguments after "recurrent". (recurrent.c) */
int recurrent_run(int argc, char **argv);

#endif
