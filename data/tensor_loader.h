/* tensor_loader.h - batches of numbers: windows of a time series, and rows of two tensors.
 *
 *     ct_loader *train = ct_loader_series_new(series, (ct_loader_series_options){
 *         .batch_size = 16, .steps = 4, .count = 600, .shuffle = true });
 *
 * Loaders as in loader.h, which give tensors of the dtype they are given. */
#ifndef COTANGENT_DATA_TENSOR_LOADER_H
#define COTANGENT_DATA_TENSOR_LOADER_H

#include <stdbool.h>
#include <stdint.h>

#include <cotangent/data/loader.h>
#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Windows of a series of n values: x is steps of them, y the targets values of which the last lies
 * ahead after x's last. One window begins at each value; of these, count from number first on, or
 * as many as there are; batches of batch_size, the last one what is left.
 *     targets 1, ahead 1          the next value (an autoregressive model)
 *     targets steps, ahead 1      the next value after each of x's (a recurrent one)
 *     targets k, ahead k          the next k values
 *     targets 1, ahead k          the k-th value from there */
typedef struct ct_loader_series_options {
    int64_t batch_size, steps;
    int64_t targets; /* 0: 1; at most steps + ahead */
    int64_t ahead;   /* 0: 1 */
    int64_t first;
    int64_t count; /* 0: all from first on */
    bool shuffle;  /* anew for each epoch; else in order */
    uint64_t seed;
    ct_device device;
} ct_loader_series_options;

/* series (n) -> x (B, steps), y (B, targets); (n, channels) -> x (B, steps, channels), y (B,
 * targets, channels). batch.tokens is B targets. Copies series. CT_ERR_SHAPE for another rank, and,
 * naming the numbers, for a series too short for a window; CT_ERR_ARGUMENT for sizes that cannot
 * be. */
ct_loader *ct_loader_series_new(const ct_tensor *series, ct_loader_series_options options);

typedef struct ct_loader_tensors_options {
    int64_t batch_size;
    int64_t first;
    int64_t count; /* 0: all from first on */
    bool shuffle;  /* anew for each epoch; else in order */
    uint64_t seed;
    ct_device device;
} ct_loader_tensors_options;

/* Rows of two tensors that belong together, x (N, ...) and y (N, ...) -> (B, ...) each; count rows
 * from first on, or as many as there are; the last batch is what is left. batch.tokens is B. Copies
 * both. CT_ERR_SHAPE for rank 0, for different N, and for a first that is not below N;
 * CT_ERR_ARGUMENT for sizes that cannot be. PyTorch's TensorDataset in a DataLoader. */
ct_loader *ct_loader_tensors_new(const ct_tensor *x, const ct_tensor *y,
                                 ct_loader_tensors_options options);

#ifdef __cplusplus
}
#endif
#endif
