/* SPDX-License-Identifier: MIT */
/* internal.h - datasets and loaders. (internal) */
#ifndef COTANGENT_DATA_INTERNAL_H
#define COTANGENT_DATA_INTERNAL_H

#include <stdatomic.h>

#include "tensor/entries.h"

#include <cotangent/data/dataset.h>
#include <cotangent/data/loader.h>

/* ---- datasets (dataset.c) ---- */

#define CTI_FIELD_NAME 63                        /* the longest name of a field */
#define CTI_LENGTHS_NAME (CTI_FIELD_NAME + 9)    /* with "_lengths" and a NUL */
#define CTI_MAX_BATCH_FIELDS (2 * CT_MAX_FIELDS) /* with the lengths of sequences */

struct ct_dataset {
    atomic_int refs;
    const ct_dataset_table *table;
    void *self;
    int64_t count;
    int field_count;
    ct_field field[CT_MAX_FIELDS]; /* a sequence: shape.dim[0] is -1 */
    size_t bytes[CT_MAX_FIELDS];   /* of a sample's field; of one entry of a sequence */
    char name[CT_MAX_FIELDS][CTI_FIELD_NAME + 1];
    const struct cti_spans *spans; /* for samples that are rows of arrays in memory; else NULL */
};

/* Like ct_dataset_new; function is named in messages. */
ct_dataset *cti_dataset_new(const char *function, const ct_dataset_table *table, void *self,
                            int64_t count, int field_count, const ct_field *fields);

ct_dataset *cti_dataset_ref(ct_dataset *d);

static inline bool cti_field_is_sequence(const ct_field *f)
{
    return f->shape.rank > 0 && f->shape.dim[0] == -1;
}

/* Call get, length and digest. If one of these fails without an error, they raise one.
 * cti_dataset_length returns -1 after an error. The digest of a dataset without one is "". */
bool cti_dataset_get(const ct_dataset *d, int64_t i, void *const *field);
int64_t cti_dataset_length(const ct_dataset *d, int64_t i, int field);
bool cti_dataset_digest(const ct_dataset *d, char hex[65]);

/* The public function that messages of get must name. NULL on a worker, whose errors are raised again by
 * the thread that waits. */
const char *cti_dataset_function(void);

/* ---- samples in memory (spans.c) ---- */

/* A field in memory: sample i is the row_bytes bytes from `from + i * unit` on. */
typedef struct cti_span {
    const char *from;
    size_t unit, row_bytes;
} cti_span;

/* A dataset of such fields. It frees owned, kept, mapped and base. */
typedef struct cti_spans {
    cti_span span[CT_MAX_FIELDS];
    size_t element[CT_MAX_FIELDS]; /* the bytes of a number of a field; cti_spans_new sets it */
    int count;                     /* of the fields */
    int64_t samples;
    void *owned[CT_MAX_FIELDS];
    ct_tensor *kept[CT_MAX_FIELDS];
    void *mapped[CT_MAX_FIELDS]; /* by mmap */
    size_t mapped_bytes[CT_MAX_FIELDS];
    ct_dataset *base;
} cti_spans;

/* Makes a dataset from a copy of draft. Takes over what draft owns, also if it fails. */
ct_dataset *cti_spans_new(const char *function, const cti_spans *draft, const ct_field *fields);

/* Frees what a draft owns. */
void cti_spans_drop(const cti_spans *s);

/* Replaces sizes of 0 by the defaults and checks them. False with an error, also if a series of n values
 * is too short for one window. */
bool cti_windows_check(const char *function, ct_dataset_windows_options *o, int64_t n);

/* ---- batches on the host (load.c) ---- */

/* A batch in host memory. */
typedef struct cti_load {
    int64_t batch; /* its number in the epoch */
    int64_t rows, tokens;
    char *bytes[CT_MAX_FIELDS]; /* (rows, ...) of each field */
    size_t room[CT_MAX_FIELDS];
    int64_t longest[CT_MAX_FIELDS];  /* of a sequence */
    int32_t *lengths[CT_MAX_FIELDS]; /* of a sequence's rows; NULL for other fields */
} cti_load;

/* Makes room for batches of rows rows. False, without an error, if memory is out; call cti_load_free also
 * then. */
bool cti_load_init(cti_load *c, const ct_dataset *d, int64_t rows);
void cti_load_free(cti_load *c);

/* Fills c with batch number `batch`. May be called on any thread. False with an error. */
bool cti_load_fill(cti_load *c, const ct_loader *l, int64_t batch);

/* ---- loaders ---- */

/* How a loader cuts batches: rows in the loader's order; the sequential or the random iterator over the
 * windows of a text; a stream; batches of other loaders. */
typedef enum cti_cut { CTI_ROWS, CTI_SEQUENTIAL, CTI_RANDOM, CTI_STREAM, CTI_ZIP } cti_cut;

/* A tensor of a batch: a field, or the lengths of a sequence. */
typedef struct cti_entry_of_batch {
    char name[CTI_LENGTHS_NAME];
    int field;
    bool lengths;
} cti_entry_of_batch;

/* A buffer of prefetch.c: a batch that is uploaded to an asynchronous device. */
typedef struct cti_ahead {
    ct_tensor *place[CTI_MAX_BATCH_FIELDS]; /* owned; one axis, of at least the size of the entry */
    ct_shape shape[CTI_MAX_BATCH_FIELDS];   /* of the entry in the place */
    void *used,
        *there;    /* events: the old batch was read by its last kernel; the new one is uploaded */
    int64_t batch; /* its number in the epoch; -1 if the buffer is empty */
    int64_t rows, tokens;
} cti_ahead;

typedef struct cti_workers cti_workers;
typedef struct cti_zip cti_zip;

struct ct_loader {
    const char *function; /* the constructor, for messages */
    const char *kind;     /* "windows", "sequential", "random", "series", "tensors", "dataset" */
    cti_cut cut;
    ct_dataset *data;               /* a reference; NULL for a stream and a zip */
    cti_zip *zip;                   /* of a zip; else NULL */
    ct_batch_writer *stream_writer; /* of a stream; else NULL */
    bool continues;                 /* of a stream and a zip: its batches continue each other */
    int64_t batch, steps;
    int64_t first;      /* the first window or row of the data; only for the description */
    int64_t row_tokens; /* the tokens of a row, unless counted is a sequence */
    int counted;        /* the sequence whose lengths are the tokens of a batch, or -1 */
    bool drop_last, has_tokens;
    bool shuffle;
    int64_t bucket;
    double *weights, *sums; /* the weights of the samples, and their running sums; or NULL */
    ct_device device;
    ct_generator stream; /* epoch k draws from its sub-stream "epoch k" */
    int64_t fixed;       /* the offset of ct_loader_set_offset, or -1 */

    int entry_count; /* of a batch */
    cti_entry_of_batch entry[CTI_MAX_BATCH_FIELDS];

    int64_t epoch;         /* the number of epochs begun */
    int64_t offset;        /* of the current epoch */
    int64_t rows;          /* in all batches of an epoch; sequential: columns of a row */
    int64_t batches, next; /* the batches of an epoch; the number of the next one */
    int64_t *order;        /* the rows in the order of the epoch; NULL: 0, 1, 2, ... */
    int64_t *blocks;       /* with buckets: batch k begins at row blocks[k] * batch; else NULL */
    struct cti_lengthy *sorted; /* with buckets: memory to sort in */

    ct_scope scope; /* of ct_loader_step */
    bool in_scope;

    int64_t most_rows; /* of a batch */
    cti_load here;     /* without workers: the batch that the calling thread fills */
    cti_workers *workers;
    cti_ahead ahead[2]; /* used alternately */
    int turn;           /* the one that has the next batch */
};

/* A row while a bucket is sorted. */
typedef struct cti_lengthy {
    int64_t length, place, sample;
} cti_lengthy;

/* Makes a loader from a copy of draft, and allocates an order of order_rows rows. If order_rows is 0, the
 * loader has no order. The loader owns the data and the sums of draft. If this fails, it frees them. */
ct_loader *cti_loader_new(const ct_loader *draft, int64_t order_rows);

/* Draws the order of an epoch (order.c); false with an error. */
bool cti_loader_order(ct_loader *l, ct_generator *g);

/* The sample in row r of a batch, and the number of rows of the batch. */
int64_t cti_loader_sample(const ct_loader *l, int64_t batch, int64_t r);
int64_t cti_loader_rows(const ct_loader *l, int64_t batch);

/* Returns the batch of this number, filled; NULL with an error. It is valid until it is given back or
 * another is taken. */
const cti_load *cti_loader_take(ct_loader *l, int64_t batch);
void cti_loader_give_back(ct_loader *l, const cti_load *c);

/* The elements and the shape of an entry of a filled batch. */
const void *cti_loader_entry(const ct_loader *l, const cti_load *c, int entry, ct_shape *shape,
                             ct_dtype *dtype);

/* Puts tensors, one for each entry, into *batch; false with an error. */
bool cti_loader_give(const ct_loader *l, ct_batch *batch, ct_tensor *const *tensors);

/* Threads that fill batches ahead of time, at most `prefetch` of them (workers.c). They rest between
 * pause and resume, which begins with batch number `from` of the epoch. NULL without an error if
 * memory is out or no thread can be made: the loader then fills its batches itself. */
cti_workers *cti_workers_new(const ct_loader *l, int threads, int prefetch);
void cti_workers_free(cti_workers *w); /* NULL is allowed */
void cti_workers_pause(cti_workers *w);
void cti_workers_resume(cti_workers *w, int64_t from);
const cti_load *cti_workers_take(cti_workers *w, int64_t batch);
void cti_workers_give_back(cti_workers *w);

/* On an asynchronous device: cti_ahead_next gives batch number l->next and starts the upload of the next
 * one; false with an error. cti_ahead_free frees both buffers. */
bool cti_ahead_next(ct_loader *l, ct_batch *batch);
void cti_ahead_free(ct_loader *l);

/* The loader of a stream (stream.c). */
int64_t cti_stream_batches(const ct_loader *l);
bool cti_stream_begin(ct_loader *l, int64_t epoch);
bool cti_stream_next(ct_loader *l, ct_batch *batch);
bool cti_stream_skip(ct_loader *l, int64_t batches);
void cti_stream_describe(const ct_loader *l, cti_entries *e);
void cti_stream_free(ct_batch_writer *w);

/* Moves to batch number `batch` of an epoch (0: before the first one); offset -1 draws the offset of that
 * epoch. False with an error. */
bool cti_loader_go(ct_loader *l, int64_t epoch, int64_t batch, int64_t offset);

/* The loader of loaders (zip_loader.c). cti_zip_go moves all parts as cti_loader_go does. */
bool cti_zip_next(ct_loader *l, ct_batch *batch);
void cti_zip_measure(ct_loader *l);
int64_t cti_zip_most_batches(const ct_loader *l);
bool cti_zip_go(ct_loader *l, int64_t epoch, int64_t batch);
void cti_zip_describe(const ct_loader *l, cti_entries *e);
void cti_zip_free(cti_zip *z); /* NULL is allowed */

/* True if the batches are tokens of a corpus. */
bool cti_loader_has_tokens(const ct_loader *l);

/* Whether the epoch has no further batch. */
bool cti_loader_at_end(const ct_loader *l);

/* The batches of the longest epoch. */
int64_t cti_loader_most_batches(const ct_loader *l);

/* Whether ct_loader_seek accepts the position. */
bool cti_loader_fits(const ct_loader *l, ct_loader_cursor at);

/* Adds what two loaders must have in common to give the same batches: the SHA-256 of the data, the options,
 * and the stream of random numbers. */
void cti_loader_describe(const ct_loader *l, cti_entries *e);

#endif
