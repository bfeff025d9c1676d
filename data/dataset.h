/* SPDX-License-Identifier: MIT */
/* dataset.h - datasets: samples by number. A dataset has a count of samples and a function that
 * writes sample i. A loader (loader.h) chooses their order, makes batches, pads sequences, reads
 * ahead on threads, and resumes.
 *
 *     static ct_status house_get(void *self, int64_t i, void *const *field)
 *     {
 *         const house *h = (const house *)self + i;
 *
 *         memcpy(field[0], h->features, sizeof h->features);
 *         *(float *)field[1] = h->price;
 *         return CT_OK;
 *     }
 *     static const ct_dataset_table houses = { .name = "houses", .get = house_get };
 *     static const ct_field fields[] = {
 *         { .name = "x", .dtype = CT_F32, .shape = CT_SHAPE_INIT(3) },
 *         { .name = "y", .dtype = CT_F32 },
 *     };
 *     ct_dataset *d = ct_dataset_new(&houses, array, 500, 2, fields);
 *
 * A table is constant; the library keeps its address. A function of a table that fails calls ct_raise
 * and returns the status. */
#ifndef COTANGENT_DATA_DATASET_H
#define COTANGENT_DATA_DATASET_H

#include <stdbool.h>
#include <stdint.h>

#include <cotangent/data/batch.h>
#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CT_MAX_FIELDS 16

/* A field of a sample. The fields "x" and "y" become x and y of a batch. */
typedef struct ct_field {
    const char *name; /* letters, digits and '_', at most 63; unique */
    ct_dtype dtype;
    /* the shape in one sample, at most CT_MAX_RANK - 1 axes; {0}: one number. A first size of -1
     * means a sequence, whose length differs from sample to sample */
    ct_shape shape;
    double pad; /* the value that fills a batch after the end of a shorter sequence */
} ct_field;

/* The functions of a dataset of your own, for ct_dataset_new. */
typedef struct ct_dataset_table {
    const char *name; /* for messages: "houses" */
    /* Writes sample i, which is 0 to count - 1: field[k] has room for field k, row-major; for a
     * sequence, for length(self, i, k) entries. Must write all of it. A loader with workers calls it
     * from several threads at once. It must not use tensors. */
    ct_status (*get)(void *self, int64_t i, void *const *field);
    /* Returns the length of the sequence `field` in sample i; -1 after raising an error. Required
     * only if a field is a sequence. */
    int64_t (*length)(void *self, int64_t i, int field);
    /* Optional. Writes 64 hexadecimal digits that identify the data, and a NUL. A run resumes only
     * with the same digest. */
    ct_status (*digest)(void *self, char hex[65]);
    void (*free)(void *self); /* optional */
} ct_dataset_table;

/* A dataset. The caller frees it with ct_dataset_free. */
typedef struct ct_dataset ct_dataset;

/* Makes a dataset of count samples of field_count fields (1 to CT_MAX_FIELDS; copied). The caller frees
 * it with ct_dataset_free. The dataset owns self: table->free(self) is called exactly once, when the
 * dataset is freed, or at once if this function fails (unless table is NULL). CT_ERR_ARGUMENT for a
 * NULL, a negative count, a bad or repeated name, a pad that the dtype does not hold, a sequence
 * without length(); CT_ERR_SHAPE and CT_ERR_DTYPE for a bad field; CT_ERR_MEMORY. */
ct_dataset *ct_dataset_new(const ct_dataset_table *table, void *self, int64_t count,
                           int field_count, const ct_field *fields);

/* Frees the caller's reference; NULL is allowed. A loader and a dataset made from d keep it alive,
 * so they may be freed in any order. */
void ct_dataset_free(ct_dataset *d);

int64_t ct_dataset_count(const ct_dataset *d);               /* samples; 0 for NULL */
int ct_dataset_field(const ct_dataset *d, const char *name); /* the number of the field with a name;
                                                              * -1 if d does not have it */

/* Copies samples first to first + count - 1 (count 0: all from first on) to *all, as one batch on
 * the CPU in the innermost scope: for a test set, or for the mean of a field. CT_ERR_ARGUMENT for a
 * NULL and for a range beyond d; errors of get. */
ct_status ct_dataset_read(ct_dataset *d, int64_t first, int64_t count, ct_batch *all);

/* ---- datasets of the library; the caller frees each with ct_dataset_free ---- */

/* Rows of count tensors with one first axis, (N, ...): sample i is row i of each (PyTorch's
 * TensorDataset). A contiguous tensor on the CPU is kept without a copy: do not write to it. Others are
 * copied. CT_ERR_SHAPE for rank 0 and for different N. */
ct_dataset *ct_dataset_tensors_new(int count, const char *const *names, ct_tensor *const *tensors);

/* Samples first to first + count - 1 of d; count 0: all from first on. CT_ERR_ARGUMENT for a range
 * beyond d. */
ct_dataset *ct_dataset_range_new(ct_dataset *d, int64_t first, int64_t count);

/* Samples index[0] to index[count - 1] of d, in this order; index is copied. CT_ERR_INDEX. */
ct_dataset *ct_dataset_subset_new(ct_dataset *d, const int64_t *index, int64_t count);

/* Distributes the N samples of d at random to count parts, part[0] to part[count - 1] (PyTorch's
 * random_split). The caller frees the parts. sizes are either numbers of samples that sum to N, or
 * fractions that sum to 1. With fractions, part k has floor(sizes[k] N) samples, and the samples
 * that remain go to the first parts, one to each. The parts depend only on the seed, N and the
 * sizes. CT_ERR_ARGUMENT for sizes with another sum. After an error all parts are NULL. */
ct_status ct_dataset_split(ct_dataset *d, int count, const double *sizes, uint64_t seed,
                           ct_dataset **part);

/* Windows over consecutive samples. Sample i of the result has two fields. "x" (steps, ...) holds
 * `steps` samples of d, the first of which is sample stride i. "y" (targets, ...) holds `targets`
 * samples of d; the last of them is `ahead` samples after the last of x. The options x and y name
 * the fields of d.
 *     targets 1, ahead 1          the next value (an autoregressive model)
 *     targets steps, ahead 1      the value after each value of x (a recurrent model)
 *     targets k, ahead k          the next k values
 *     targets 1, ahead k          the k-th value after x */
typedef struct ct_dataset_windows_options {
    int64_t steps;
    int64_t targets;   /* default 1; at most steps + ahead */
    int64_t ahead;     /* default 1 */
    int64_t stride;    /* default 1 */
    const char *x, *y; /* NULL: the first field of d; NULL: the field of x */
} ct_dataset_windows_options;

/* Makes a dataset of windows over d. The caller frees it. CT_ERR_ARGUMENT for sizes out of range,
 * for a field that d does not have, and for a field that is a sequence; CT_ERR_SHAPE, with the
 * numbers, if d is too short for one window. */
ct_dataset *ct_dataset_windows_new(ct_dataset *d, ct_dataset_windows_options options);

#ifdef __cplusplus
}
#endif
#endif
