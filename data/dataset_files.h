/* dataset_files.h - datasets of files: CSV, NPY, IDX; pairs of texts. */
#ifndef COTANGENT_DATA_DATASET_FILES_H
#define COTANGENT_DATA_DATASET_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cotangent/data/dataset.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- CSV ---- */

/* A field of a CSV dataset and the columns that it is made of. */
typedef struct ct_csv_field {
    const char *name; /* the field; NULL ends the list */
    const char
        *columns;   /* "area,rooms" by the header, or "0,3" without one; NULL: the field's name */
    ct_dtype dtype; /* CT_F32 (0), CT_F64, CT_I32 or CT_I64 */
    /* CT_I32: texts become 0, 1, ... in the order in which they first appear. All columns of the field
     * share these numbers */
    bool categories;
} ct_csv_field;

typedef enum ct_csv_missing {
    CT_CSV_MISSING_ERROR,   /* an empty value is an error */
    CT_CSV_MISSING_NAN,     /* it is NaN; in a field of integers, an error */
    CT_CSV_MISSING_SKIP_ROW /* rows with one in a column that is used are left out */
} ct_csv_missing;

typedef struct ct_dataset_csv_options {
    const ct_csv_field *fields;
    bool no_header;
    char separator; /* 0: ',' */
    char decimal;   /* 0: '.' */
    ct_csv_missing missing;
    /* a CSV dataset with fields of the same names: their categories are used, and a text that is not
     * among them is an error; for data to validate on. Needed only during the call */
    const ct_dataset *known;
    /* The values are kept in memory if they take at most so many bytes; otherwise rows are read from
     * the file as they are asked for, in any order. 0: 268,435,456 */
    int64_t memory;
} ct_dataset_csv_options;

/* The rows of a CSV file (RFC 4180: quotes, doubled quotes, LF or CRLF), UTF-8 with or without a byte
 * order mark. Blank lines are no rows. Field k is (columns), or one number if it has one column. The
 * file is read and checked once, in pieces; from a file that does not fit `memory`, the place of every
 * 64th row stays in memory. The locale has no influence. The caller frees the dataset.
 * CT_ERR_FORMAT, with file, line, column and value, for a row with more or fewer values than the first,
 * for text in a column of numbers, a number that the dtype does not hold, and broken quotes;
 * CT_ERR_ARGUMENT for columns that are not there or appear twice, and for bad options; CT_ERR_IO;
 * CT_ERR_MEMORY. */
ct_dataset *ct_dataset_csv_new(const char *path, ct_dataset_csv_options options);

/* The text of category number id of a field of a CSV dataset. NULL, without an error, if there is
 * none. Lives as long as d. */
const char *ct_dataset_csv_category(const ct_dataset *d, const char *field, int64_t id);

#ifdef __cplusplus
}
#endif
#endif
