/* bench.h - what the benchmark's files share; see bench.c. */
#ifndef COTANGENT_BENCH_H
#define COTANGENT_BENCH_H

#include <cotangent.h>

typedef struct sizes {
    int64_t batch, steps, hidden, vocab;
    int layers; /* 0: 1 */
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

/* batch * steps + 1 ids, to be freed. */
int32_t *ids_of(const sizes *s);

double now(void); /* seconds */

/* Tokens a second of training. */
double train(const sizes *s, maker make, double seconds);

/* Floating-point operations of a training step for each token: those of the products of the
 * recurrence and the output layer, three times over (forward, two gradients). That of a one-hot
 * input is a choice of rows, not a product. gates: 1 for RNN, 4 for LSTM, 3 for GRU. */
double flops_of(const sizes *s, int gates);

/* kernels.c: GFLOP/s of a loop of fused multiply-adds of f32 in registers, on one thread, by the
 * widest vectors that this processor has; name is of these. */
double peak(double seconds, const char **name);
double start_up(const char *program); /* milliseconds */
double bandwidth(double seconds);     /* of ct_add, over that of memcpy, bytes moved alike */
double linear_share(double seconds);  /* speed of Linear over that of cblas_sgemm; 0: no BLAS */

/* profile.c, scaling.c: print their tables; gpu.c its line. */
void profile(double seconds);
void scaling(double seconds);
void gpu_line(const char *device, double seconds);

/* ops.c: prints the time of the op called name (NULL: of all), on about n elements, in turns of
 * `seconds`. */
void ops(const char *name, int64_t n, double seconds);

/* layer.c: one layer, or the comparison of two results; the exit status. Arguments after "layer". */
int layer_run(int argc, char **argv);

#endif
