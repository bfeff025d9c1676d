/* internal.h - what datasets and loaders are. (internal) */
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
    const struct cti_spans *spans; /* where its samples lie in memory, or NULL */
};

/* ct_dataset_new in the name of another function. */
ct_dataset *cti_dataset_new(const char *function, const ct_dataset_table *table, void *self,
                            int64_t count, int field_count, const ct_field *fields);

ct_dataset *cti_dataset_ref(ct_dataset *d);

static inline bool cti_field_is_sequence(const ct_field *f)
{
    return f->shape.rank > 0 && f->shape.dim[0] == -1;
}

/* Calls get, length and digest, and raise if these fail without an error. cti_dataset_length is -1
 * after an error. The digest of a dataset that has none is "". */
bool cti_dataset_get(const ct_dataset *d, int64_t i, void *const *field);
int64_t cti_dataset_length(const ct_dataset *d, int64_t i, int field);
bool cti_dataset_digest(const ct_dataset *d, char hex[65]);

/* For errors inside get: the function that the message names. NULL on a thread whose errors another
 * thread raises again. */
const char *cti_dataset_function(void);

/* ---- samples in memory (spans.c) ---- */

/* A field whose samples are row_bytes in one piece; that of sample i begins at from + i unit. */
typedef struct cti_span {
    const char *from;
    size_t unit, row_bytes;
} cti_span;

/* What such a dataset is made of. owned, kept and base are given up with it. */
typedef struct cti_spans {
    cti_span span[CT_MAX_FIELDS];
    int count; /* of the fields */
    int64_t samples;
    void *owned[CT_MAX_FIELDS];
    ct_tensor *kept[CT_MAX_FIELDS];
    void *mapped[CT_MAX_FIELDS]; /* by mmap */
    size_t mapped_bytes[CT_MAX_FIELDS];
    ct_dataset *base;
} cti_spans;

/* A dataset of a copy of draft; takes what draft owns also if it fails. name is the table's:
 * "tensors", "windows", "text". */
ct_dataset *cti_spans_new(const char *function, const cti_spans *draft, const ct_field *fields);

/* Gives up what a draft owns. */
void cti_spans_drop(const cti_spans *s);

/* The sizes of windows, 0 replaced by the default. False with an error, also for a series of n values
 * that is too short for one window. */
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

/* Makes room for batches of rows rows. False without an error if memory is out; free it then too. */
bool cti_load_init(cti_load *c, const ct_dataset *d, int64_t rows);
void cti_load_free(cti_load *c);

/* Fills it with batch number `batch`. Called from any thread. False with an error. */
bool cti_load_fill(cti_load *c, const ct_loader *l, int64_t batch);

/* ---- loaders ---- */

/* Which samples a batch is made of: rows by the loader's order, the sequential and the random iterator
 * over windows of a text, a stream. */
typedef enum cti_cut { CTI_ROWS, CTI_SEQUENTIAL, CTI_RANDOM, CTI_STREAM } cti_cut;

/* A tensor of a batch: a field, or the lengths of a sequence. */
typedef struct cti_entry_of_batch {
    char name[CTI_LENGTHS_NAME];
    int field;
    bool lengths;
} cti_entry_of_batch;

/* A batch on its way to an asynchronous device (prefetch.c). */
typedef struct cti_ahead {
    ct_tensor *place[CTI_MAX_BATCH_FIELDS]; /* owned; of one axis */
    ct_shape shape[CTI_MAX_BATCH_FIELDS];   /* of what is in the place */
    void *used, *there; /* events: what was there has been read; the batch is there */
    int64_t batch;      /* its number in the epoch, -1 for none */
    int64_t rows, tokens;
} cti_ahead;

typedef struct cti_workers cti_workers;

struct ct_loader {
    const char *function; /* that made it, for messages */
    const char *kind;     /* "windows", "sequential", "random", "series", "tensors", "dataset" */
    cti_cut cut;
    ct_dataset *data;               /* a reference; NULL for a stream, */
    ct_batch_writer *stream_writer; /* which has this */
    bool continues;                 /* of a stream */
    int64_t batch, steps;
    int64_t first;      /* for the description alone: the data begin there */
    int64_t row_tokens; /* what a row counts as, unless counted is a sequence */
    int counted;        /* whose lengths are the tokens of a batch, or -1 */
    bool drop_last, has_tokens;
    bool shuffle;
    int64_t bucket;
    double *weights, *sums; /* of the samples; of the weights up to each; or NULL */
    ct_device device;
    ct_generator stream; /* the loader's own; an epoch draws from a stream below it */
    int64_t fixed;       /* the offset set, or -1 */

    int entry_count; /* of a batch */
    cti_entry_of_batch entry[CTI_MAX_BATCH_FIELDS];

    int64_t epoch;         /* begun so far */
    int64_t offset;        /* of the current epoch */
    int64_t rows;          /* in all batches of an epoch; sequential: columns of a row */
    int64_t batches, next; /* of an epoch; the number of the one to give */
    int64_t *order;        /* of the rows, for those that do not come in order; else NULL */
    int64_t *blocks;       /* buckets: batch k is the rows that begin at blocks[k] batch; or NULL */
    struct cti_lengthy *sorted; /* buckets: room to sort */

    ct_scope scope; /* of ct_loader_step */
    bool in_scope;

    int64_t most_rows; /* of a batch */
    cti_load here;     /* filled by the thread that asks, without workers */
    cti_workers *workers;
    cti_ahead ahead[2]; /* in turn, */
    int turn;           /* whose it is */
};

/* A row of a bucket. */
typedef struct cti_lengthy {
    int64_t length, place, sample;
} cti_lengthy;

/* A copy of draft, with a loader's own memory; order_rows is the size of its order, 0 for none. Takes
 * draft's data and sums also if it fails. */
ct_loader *cti_loader_new(const ct_loader *draft, int64_t order_rows);

/* Draws the order of an epoch (order.c); false with an error. */
bool cti_loader_order(ct_loader *l, ct_generator *g);

/* The number of the sample in row r of a batch, and how many rows that has. */
int64_t cti_loader_sample(const ct_loader *l, int64_t batch, int64_t r);
int64_t cti_loader_rows(const ct_loader *l, int64_t batch);

/* The filled batch of this number, valid until it is given back or another is taken; NULL with an
 * error. */
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

/* On an asynchronous device: gives batch number l->next, and sends the one after it on its way; frees
 * both places. false with an error. */
bool cti_ahead_next(ct_loader *l, ct_batch *batch);
void cti_ahead_free(ct_loader *l);

/* What a loader of a stream does (stream.c). */
int64_t cti_stream_batches(const ct_loader *l);
bool cti_stream_begin(ct_loader *l, int64_t epoch);
bool cti_stream_next(ct_loader *l, ct_batch *batch);
bool cti_stream_skip(ct_loader *l, int64_t batches);
void cti_stream_describe(const ct_loader *l, cti_entries *e);
void cti_stream_free(ct_batch_writer *w);

/* True if the batches are tokens of a corpus. */
bool cti_loader_has_tokens(const ct_loader *l);

/* Whether the epoch has no further batch. */
bool cti_loader_at_end(const ct_loader *l);

/* Whether ct_loader_seek would go there. */
bool cti_loader_fits(const ct_loader *l, ct_loader_cursor at);

/* Adds everything that two loaders must have in common to give the same batches: the SHA-256 of
 * their data, how batches are cut, and the stream of random numbers. */
void cti_loader_describe(const ct_loader *l, cti_entries *e);

#endif
