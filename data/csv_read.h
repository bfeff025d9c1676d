/* SPDX-License-Identifier: MIT */
/* csv_read.h - records, cells and numbers of a CSV file. (internal) */
#ifndef COTANGENT_DATA_CSV_READ_H
#define COTANGENT_DATA_CSV_READ_H

#include <pthread.h>

#include "tensor/read_file.h"

/* A record longer than this is refused. */
#define CTI_CSV_MOST_BYTES ((size_t)1 << 24)

/* Reads a part of a file, record by record, through a buffer. */
typedef struct cti_csv_reader {
    const char *function; /* for errors */
    cti_read_file *file;
    pthread_mutex_t *lock; /* guards the file's position */
    char separator;
    uint64_t next, end; /* the range of the file that is not in the buffer yet */
    char *buffer;
    size_t room, from, filled; /* the buffer has bytes from to filled - 1 */
    int64_t line;              /* the number of the next record's first line, from 1 */
} cti_csv_reader;

/* A record: its bytes in the reader's buffer, without the end of the line, until the next one is
 * read. */
typedef struct cti_csv_record {
    char *bytes;
    size_t size;
    uint64_t offset; /* in the file */
    int64_t line;
} cti_csv_record;

typedef struct cti_csv_cell {
    char
        *text; /* NUL-terminated, without quotes and, outside of quotes, without blanks around it */
} cti_csv_cell;

/* Reads bytes first to end - 1 of a file from now on. */
void cti_csv_begin(cti_csv_reader *r, uint64_t first, uint64_t end, int64_t line);
void cti_csv_end(cti_csv_reader *r);

/* Reads the next record that is not blank. Returns 1; 0 at the end; -1 with an error. */
int cti_csv_next(cti_csv_reader *r, cti_csv_record *record);

/* Cuts a record into its cells, in place, and writes the first `most` cells. Returns the number of
 * all cells, or -1 with an error. */
int64_t cti_csv_cut(const cti_csv_reader *r, const cti_csv_record *record, cti_csv_cell *cells,
                    int64_t most);

/* Raises CT_ERR_FORMAT "PATH:LINE: ..."; returns false. */
bool cti_csv_refuse(const cti_csv_reader *r, int64_t line, const char *format, ...) CT_PRINTF(3, 4);

/* Reads a decimal number, whatever the locale: digits with an optional decimal point and exponent.
 * False for any other text and for a number that is too large. */
bool cti_csv_number(const char *text, char decimal, double *x);

#endif
