/* dataset.h - samples by number. A dataset says how many samples there are and writes the one that it
 * is asked for. A loader (loader.h) draws their order, cuts batches, pads sequences, works ahead on
 * threads and resumes.
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
 *     static const ct_field fields[] = { { "x", CT_F32, CT_SHAPE_INIT(3) }, { "y", CT_F32 } };
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
    /* of one sample, at most CT_MAX_RANK - 1 axes; {0}: one number. A first size of -1: a sequence,
     * whose length differs from sample to sample */
    ct_shape shape;
    double pad; /* what a batch has after the end of a shorter sequence */
} ct_field;

typedef struct ct_dataset_table {
    const char *name; /* for messages: "houses" */
    /* Writes sample i, which is 0 to count - 1: field[k] has room for field k, row-major; for a
     * sequence, for length(self, i, k) entries. Must write all of it. A loader with workers calls it
     * from several threads at once. It must not use tensors. */
    ct_status (*get)(void *self, int64_t i, void *const *field);
    /* The length of sequence field of sample i; -1 with an error raised. Needed only if there is a
     * sequence. */
    int64_t (*length)(void *self, int64_t i, int field);
    /* Optional. Writes 64 hexadecimal digits that identify the data, and a NUL. A run resumes only
     * with the same digest. */
    ct_status (*digest)(void *self, char hex[65]);
    void (*free)(void *self); /* optional */
} ct_dataset_table;

typedef struct ct_dataset ct_dataset;

/* Makes a dataset of count samples of field_count fields (1 to CT_MAX_FIELDS; copied). The caller frees
 * it with ct_dataset_free. The dataset owns self: table->free(self) is called exactly once, when the
 * dataset is freed, or at once if this function fails (unless table is NULL). CT_ERR_ARGUMENT for a
 * NULL, a negative count, a bad or repeated name, a pad that the dtype does not hold, a sequence
 * without length(); CT_ERR_SHAPE and CT_ERR_DTYPE for a bad field; CT_ERR_MEMORY. */
ct_dataset *ct_dataset_new(const ct_dataset_table *table, void *self, int64_t count,
                           int field_count, const ct_field *fields);

/* Gives up the caller's hold; NULL is allowed. A loader, and a dataset made from this one, keep it
 * alive: free them in any order. */
void ct_dataset_free(ct_dataset *d);

int64_t ct_dataset_count(const ct_dataset *d);               /* samples; 0 for NULL */
int ct_dataset_field(const ct_dataset *d, const char *name); /* its number; -1 if there is none */

/* Copies samples first to first + count - 1 (count 0: all from first on) to *all, as one batch on the
 * CPU in the innermost scope: for a test set, or for the mean of a field. CT_ERR_ARGUMENT for a NULL and a
 * range that is not in d; errors of get. */
ct_status ct_dataset_read(ct_dataset *d, int64_t first, int64_t count, ct_batch *all);

/* ---- datasets made here; the caller frees each with ct_dataset_free ---- */

/* Rows of count tensors with one first axis, (N, ...): sample i is row i of each (PyTorch's
 * TensorDataset). A contiguous tensor on the CPU is kept without a copy: do not write to it. Others are
 * copied. CT_ERR_SHAPE for rank 0 and for different N. */
ct_dataset *ct_dataset_tensors_new(int count, const char *const *names, ct_tensor *const *tensors);

/* Samples first to first + count - 1 of d; count 0: all from first on. CT_ERR_ARGUMENT for a range
 * that is not in d. */
ct_dataset *ct_dataset_range_new(ct_dataset *d, int64_t first, int64_t count);

/* Samples index[0] to index[count - 1] of d, in this order; index is copied. CT_ERR_INDEX. */
ct_dataset *ct_dataset_subset_new(ct_dataset *d, const int64_t *index, int64_t count);

/* Deals the samples of d at random to count parts, part[0] to part[count - 1], which are the caller's
 * to free. sizes are numbers of samples that sum to the count of d, or fractions that sum to 1: part k
 * then has floor(sizes[k] N) samples, and the first parts get one more each until all are dealt
 * (PyTorch's random_split). The parts depend on the seed, N and the sizes alone. CT_ERR_ARGUMENT for
 * sizes that do neither. After an error all parts are NULL. */
ct_status ct_dataset_split(ct_dataset *d, int count, const double *sizes, uint64_t seed,
                           ct_dataset **part);

/* Windows over consecutive samples. Sample i of the result has two fields: "x" (steps, ...) are the
 * samples from stride i on, "y" (targets, ...) are targets samples, of which the last is `ahead`
 * samples after the last of x. x and y name the fields of d that they are taken from.
 *     targets 1, ahead 1          the next value (an autoregressive model)
 *     targets steps, ahead 1      the value after each value of x (a recurrent model)
 *     targets k, ahead k          the next k values
 *     targets 1, ahead k          the k-th value after x */
typedef struct ct_dataset_windows_options {
    int64_t steps;
    int64_t targets;   /* 0: 1; at most steps + ahead */
    int64_t ahead;     /* 0: 1 */
    int64_t stride;    /* 0: 1 */
    const char *x, *y; /* NULL: the first field of d; NULL: the field of x */
} ct_dataset_windows_options;

/* CT_ERR_ARGUMENT for sizes out of range, for a field that is not there and for a sequence;
 * CT_ERR_SHAPE, with the numbers, if d is too short for one window. */
ct_dataset *ct_dataset_windows_new(ct_dataset *d, ct_dataset_windows_options options);

#ifdef __cplusplus
}
#endif
#endif
