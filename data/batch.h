/* SPDX-License-Identifier: MIT */
/* batch.h - a batch: named fields that have one row for each sample. */
#ifndef COTANGENT_DATA_BATCH_H
#define COTANGENT_DATA_BATCH_H

#include <stdbool.h>
#include <stdint.h>

#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A batch: fields by name, with one row for each sample. */
typedef struct ct_batch {
    /* the fields "x" and "y", NULL if the batch lacks them. All tensors of a batch belong to the
     * scope that was innermost when the loader returned it */
    ct_tensor *x, *y;
    int64_t rows; /* samples: the first size of each field */
    /* the number of targets, over which a loss takes its mean: of a text, the tokens of y (rows times
     * steps); with the option count of ct_loader_new, the sum of the lengths of that sequence; of a
     * series, the values of y at one channel; else the rows */
    int64_t tokens;
    bool continues; /* row i follows row i of the batch before: carry the state */
    int field_count;
    const char *const *names; /* the names of the fields; valid as long as the fields */
    ct_tensor *const *fields;
} ct_batch;

/* Returns the field with a name; it belongs to the batch. For a sequence "NAME", the field
 * "NAME_lengths", (rows) i32, has the lengths of the rows. CT_ERR_ARGUMENT if the batch does not
 * have the name; the message lists the names that it has. */
ct_tensor *ct_batch_get(const ct_batch *b, const char *name);

/* Joins count sequences (L, ...) to one tensor (count, longest, ...) of the innermost scope and
 * fills it with pad after the end of each (PyTorch's pad_sequence with batch_first=True). The
 * sequences must have the same dtype, device and sizes after the first. Writes the lengths, (count)
 * i32 on the CPU, to *lengths unless that is NULL. drow = the part of the gradient of the result
 * that the row fills. CT_ERR_ARGUMENT for a count below 1, CT_ERR_SHAPE, CT_ERR_DTYPE and
 * CT_ERR_DEVICE for rows that do not agree. */
ct_tensor *ct_pad_sequence(int count, ct_tensor *const *rows, double pad, ct_tensor **lengths);

#ifdef __cplusplus
}
#endif
#endif
