/* SPDX-License-Identifier: MIT */
/* dataset_files.h - datasets from files: CSV, NPY, IDX, and pairs of texts. */
#ifndef COTANGENT_DATA_DATASET_FILES_H
#define COTANGENT_DATA_DATASET_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cotangent/data/dataset.h>
#include <cotangent/data/text.h>
#include <cotangent/data/vocab.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- CSV ---- */

/* A field of a CSV dataset and the columns that it is made of. */
typedef struct ct_csv_field {
    const char *name; /* the field; NULL ends the list */
    const char
        *columns;   /* names of the header, "area,rooms", or without a header numbers, "0,3"; NULL:
                     * the field's name */
    ct_dtype dtype; /* CT_F32 (0), CT_F64, CT_I32 or CT_I64 */
    /* CT_I32: texts become 0, 1, ... in the order in which they first appear. All columns of the field
     * share these numbers */
    bool categories;
} ct_csv_field;

typedef enum ct_csv_missing {
    CT_CSV_MISSING_ERROR,   /* an empty value is an error */
    CT_CSV_MISSING_NAN,     /* an empty value is NaN; in a field of integers, an error */
    CT_CSV_MISSING_SKIP_ROW /* rows with an empty value in a used column are left out */
} ct_csv_missing;

typedef struct ct_dataset_csv_options {
    const ct_csv_field *fields;
    bool no_header;
    char separator; /* default ',' */
    char decimal;   /* default '.' */
    ct_csv_missing missing;
    /* a CSV dataset with fields of the same names: its categories are used, and any other text is
     * an error. For validation data. It may be freed after the call */
    const ct_dataset *known;
    /* The values are kept in memory if they need at most this many bytes; otherwise each row is
     * read from the file when it is needed. The default is 268,435,456. */
    int64_t memory;
} ct_dataset_csv_options;

/* The rows of a CSV file (RFC 4180: quotes, doubled quotes, LF or CRLF), UTF-8 with or without a
 * byte order mark. Blank lines are skipped. Field k is (columns), or one number if it has one
 * column. The call reads and checks the whole file. Of a file that is larger than `memory`, it
 * keeps the offset of every 64th row. The locale has no influence. The caller frees the dataset.
 * CT_ERR_FORMAT, with file, line, column and value, for a row with more or fewer values than the
 * first, for text in a column of numbers, a number that the dtype does not hold, and broken quotes;
 * CT_ERR_ARGUMENT for columns that do not exist or are named twice, and for bad options; CT_ERR_IO;
 * CT_ERR_MEMORY. */
ct_dataset *ct_dataset_csv_new(const char *path, ct_dataset_csv_options options);

/* Returns the text of category number id of a field of a CSV dataset; NULL, without an error, if it
 * does not exist. The text is valid as long as d. */
const char *ct_dataset_csv_category(const ct_dataset *d, const char *field, int64_t id);

/* ---- NPY ---- */

/* NumPy files (tensor/npy.h), one for each field: paths[k] holds (N, ...), and sample i is row i of
 * each. If mapped is true, the files are mapped into memory instead of read, so they may be larger
 * than the memory. A file in another byte order than the processor's is copied. Mapped files must be in
 * C order and must not hold bools. A mapped file must not become shorter while the dataset lives;
 * otherwise the system kills the program. The caller frees the dataset. Errors of ct_npy_read and ct_dataset_tensors_new;
 * CT_ERR_FORMAT for Fortran order and bools if mapped. */
ct_dataset *ct_dataset_npy_new(int count, const char *const *names, const char *const *paths,
                               bool mapped);

/* ---- IDX ---- */

/* The format of MNIST: images (N, ...) of bytes as the field "x", f32 (...) in [0, 1]; labels (N)
 * of bytes as the field "y", i32. labels may be NULL. A build with zlib also reads files that are
 * compressed with gzip. The caller frees the dataset. CT_ERR_FORMAT, with the path, for another
 * format and for a length that differs from the header; CT_ERR_SHAPE for different N;
 * CT_ERR_ARGUMENT for a compressed file without zlib; CT_ERR_IO; CT_ERR_MEMORY. */
ct_dataset *ct_dataset_idx_new(const char *images, const char *labels);

/* ---- pairs of texts ---- */

typedef struct ct_dataset_parallel_options {
    const ct_vocab *src, *tgt; /* the vocabularies; must live as long as the dataset */
    int64_t max_tokens;        /* longer lines are cut to this many tokens; 0: no limit */
} ct_dataset_parallel_options;

/* Pairs of lines, such as a sentence and its translation: sample i is line i of src and line i of
 * tgt. The fields "src" and "tgt" are sequences of i32 with the id of "<pad>" after their end; tgt
 * begins with "<bos>" and both end with "<eos>". The vocabularies must have these tokens: give them
 * as .reserved. The last line may lack a newline. The texts are not cleaned, and may be freed after
 * the call. The caller frees the dataset. CT_ERR_ARGUMENT for a NULL and for a vocabulary without
 * one of the tokens; CT_ERR_SHAPE for different numbers of lines; CT_ERR_MEMORY. */
ct_dataset *ct_dataset_parallel_new(const ct_text *src, const ct_text *tgt,
                                    ct_dataset_parallel_options options);

#ifdef __cplusplus
}
#endif
#endif
