/* batch.h - a batch: named fields that have one row for each sample. */
#ifndef COTANGENT_DATA_BATCH_H
#define COTANGENT_DATA_BATCH_H

#include <stdbool.h>
#include <stdint.h>

#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ct_batch {
    /* the fields "x" and "y", NULL where there is none. All tensors of a batch belong to the scope
     * that was innermost when the loader gave it */
    ct_tensor *x, *y;
    int64_t rows; /* samples: the first size of each field */
    /* the number of targets, over which a loss takes its mean: of a text, the tokens of y (rows times
     * steps); with the option count of ct_loader_new, the sum of the lengths of that sequence; of a
     * series, the values of y at one channel; else the rows */
    int64_t tokens;
    bool continues; /* row i follows row i of the batch before: carry the state */
    int field_count;
    const char *const *names; /* of the fields; they live as long as these */
    ct_tensor *const *fields;
} ct_batch;

/* The field of a name. The lengths of the rows of a sequence "NAME" are the field "NAME_lengths",
 * (rows) i32. CT_ERR_ARGUMENT for a name that is not there; the message lists those that are. */
ct_tensor *ct_batch_get(const ct_batch *b, const char *name);

/* Pads count sequences (L, ...), of one dtype, one device and the same sizes after the first, to the
 * longest: (count, longest, ...), with pad after the end of each (PyTorch's pad_sequence with
 * batch_first=True). Writes the lengths, (count) i32 on the CPU, to *lengths unless that is NULL. Has
 * a gradient. CT_ERR_ARGUMENT for a count below 1, CT_ERR_SHAPE and CT_ERR_DTYPE for rows that do not
 * agree. */
ct_tensor *ct_pad_sequence(int count, ct_tensor *const *rows, double pad, ct_tensor **lengths);

#ifdef __cplusplus
}
#endif
#endif
