/* SPDX-License-Identifier: MIT */
/* tensor_loader.h - batches of numbers: windows of a time series, and rows of two tensors.
 *
 *     ct_loader *train = ct_loader_series_new(series, (ct_loader_series_options){
 *         .batch_size = 16, .steps = 4, .count = 600, .shuffle = true });
 *
 * The loaders work as in loader.h. Batches have the dtype of the data. */
#ifndef COTANGENT_DATA_TENSOR_LOADER_H
#define COTANGENT_DATA_TENSOR_LOADER_H

#include <stdbool.h>
#include <stdint.h>

#include <cotangent/data/loader.h>
#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Windows of a series of n values. x has steps values. y has targets values, of which the last is
 * `ahead` values after the last of x. Window i begins at value i. The loader uses windows first to
 * first + count - 1, or fewer if the series ends. The last batch may be smaller than batch_size.
 *     targets 1, ahead 1          the next value (an autoregressive model)
 *     targets steps, ahead 1      the value after each value of x (a recurrent model)
 *     targets k, ahead k          the next k values
 *     targets 1, ahead k          the k-th value after x */
typedef struct ct_loader_series_options {
    int64_t batch_size, steps;
    int64_t targets; /* default 1; at most steps + ahead */
    int64_t ahead;   /* default 1 */
    int64_t first;
    int64_t count; /* 0: all after first */
    bool shuffle;  /* a new order in each epoch; false: in order */
    uint64_t seed;
    ct_device device;
} ct_loader_series_options;

/* series (n) -> x (B, steps), y (B, targets); series (n, channels) -> x (B, steps, channels), y (B,
 * targets, channels). batch.tokens is B targets. The series is copied. The caller frees the loader.
 * CT_ERR_SHAPE for another rank, and, with the numbers, for a series too short for one window.
 * CT_ERR_ARGUMENT for a NULL series and for sizes out of range. CT_ERR_MEMORY. */
ct_loader *ct_loader_series_new(const ct_tensor *series, ct_loader_series_options options);

typedef struct ct_loader_tensors_options {
    int64_t batch_size;
    int64_t first;
    int64_t count; /* 0: all after first */
    bool shuffle;  /* a new order in each epoch; false: in order */
    uint64_t seed;
    ct_device device;
} ct_loader_tensors_options;

/* Rows of two tensors: x (N, ...) and y (N, ...) -> batches (B, ...) of each, like PyTorch's
 * TensorDataset in a DataLoader. The loader uses rows first to first + count - 1, or fewer if there
 * are fewer. The last batch may be smaller than batch_size. batch.tokens is B. Both tensors are
 * copied. The caller frees the loader. CT_ERR_SHAPE for rank 0, for different N, and if first is
 * not below N. CT_ERR_ARGUMENT for a NULL and for sizes out of range. CT_ERR_MEMORY. */
ct_loader *ct_loader_tensors_new(const ct_tensor *x, const ct_tensor *y,
                                 ct_loader_tensors_options options);

#ifdef __cplusplus
}
#endif
#endif
