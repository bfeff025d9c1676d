/* SPDX-License-Identifier: MIT */
/* export_internal.h - the structs and functions of the exporter. (internal)
 *
 *     export.c          checks, the parts of the file, writing
 *     export_calls.c    the statements for each recorded call
 *     export_text.c     the text of helper functions
 *     export_math.awk   takes functions of tensor/cpu/math.h into export_math.inc */
#ifndef COTANGENT_NN_EXPORT_INTERNAL_H
#define COTANGENT_NN_EXPORT_INTERNAL_H

#include "nn/plan_internal.h"

#include <cotangent/nn/export.h>

#include <stdio.h>

/* A constant array of the exported file. */
typedef struct cti_export_array {
    int external; /* the parameter; -1 for a table */
    size_t at;    /* the index of its first element */
    /* If transposed: the sizes of the matrix (n, k), whose rows are ld apart; the array is (k,
     * n). */
    int64_t n, k, ld;
    bool transposed;
    float *table;  /* the values of a table, of n k elements; owned */
    int64_t size;  /* elements */
    int64_t place; /* the position in the file of weights */
} cti_export_array;

/* How a buffer appears in the exported code. */
typedef struct cti_export_buffer {
    bool used;
    bool known; /* true if the dtype is known */
    ct_dtype dtype;
    int64_t size; /* elements */
    char name[32];
} cti_export_buffer;

typedef struct cti_exporter {
    const ct_plan *plan;
    const cti_program *program;
    const ct_export_options *options;
    char name[48];
    const char *file; /* the name of the C file */
    cti_export_array *arrays;
    size_t array_count, array_room;
    cti_export_buffer *buffers;
    bool *skipped;     /* for each call: true if it needs no statement */
    bool *tables;      /* for each call: true if it is a product that is looked up in a table */
    FILE *out;         /* the body of the step function */
    const char *extra; /* further functions after the step function; may be NULL */
    const char *extra_header;
} cti_exporter;

/* Part of a C expression. */
typedef struct cti_export_text {
    char s[160];
} cti_export_text;

/* Raises CT_ERR_ARGUMENT: "PLACE of the call: exported code does not support WHAT". */
void cti_export_refuse(const cti_exporter *e, const cti_call *c, const char *what);

/* Writes the statements of all calls to e->out. False with an error. */
bool cti_export_calls(cti_exporter *e);

/* Finds one-hot vectors that are only multiplied by constant weights. The product is then a row
 * of a table. */
bool cti_export_find_tables(cti_exporter *e);

/* The name of constant array number i. */
cti_export_text cti_export_array_name(const cti_exporter *e, size_t i);

/* The exact value of a float as a C constant. v must be finite. */
cti_export_text cti_export_float(float v);

/* Writes the helper functions that `used` calls, directly or through others. False with an
 * error. */
bool cti_export_helpers(FILE *out, const char *used, bool libm);

/* Writes the name of the exported code to `to`. Returns false with an error. */
bool cti_export_name(const char *function, const char *path, const ct_export_options *o, char *to,
                     size_t size);

/* Does the work of ct_export_c. Errors name `function`. The text `extra` follows the step
 * function, and extra_header follows its declaration. */
ct_status cti_export(const char *function, const ct_plan *p, const char *path,
                     const ct_export_options *options, const char *extra, const char *extra_header);

#endif
