/* SPDX-License-Identifier: MIT */
/* csv.c - rows of a CSV file as a dataset.
 *
 * One pass checks every row, numbers the categories and keeps the values in memory, in an array for
 * each field. If they need more than options.memory, the arrays are freed, and the pass keeps the
 * offset of every 64th row instead. Then get reads the file from the nearest such offset to the
 * row. */
#include "tensor/internal.h"

#include <cotangent/data/dataset_files.h>
#include <cotangent/data/text.h>

#include "data/csv_read.h"
#include "data/internal.h"
#include "tensor/byte_order.h"
#include "tensor/hooks.h"
#include "tensor/text.h"

#include <math.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <string.h>

enum { CSV_BLOCK = 64, CSV_MOST_COLUMNS = 65536 };

static const char *const csv_making = "ct_dataset_csv_new";

/* The texts of a field of categories, by number, and a hash table of them. */
typedef struct csv_categories {
    char **text;
    size_t count, room;
    int32_t *slot; /* an array of `slots` entries, a power of two; -1: free */
    size_t slots;
} csv_categories;

typedef struct csv_place {
    uint64_t offset;
    int64_t line;
} csv_place;

typedef struct csv {
    cti_read_file file;
    pthread_mutex_t lock; /* guards the file's position */
    char separator, decimal;
    ct_csv_missing missing;
    int64_t columns; /* the number of columns of a row */
    char **header;   /* the names of the columns, or NULL */

    int field_count;
    ct_field field[CT_MAX_FIELDS];
    size_t bytes[CT_MAX_FIELDS];
    int64_t *column[CT_MAX_FIELDS]; /* for each value of a field, the number of its column */
    int64_t width[CT_MAX_FIELDS];
    csv_categories *categories[CT_MAX_FIELDS]; /* NULL for a field of numbers */
    bool known[CT_MAX_FIELDS];                 /* the categories are complete: other texts are
                                                * errors */

    int64_t rows;
    cti_spans memory;           /* the values, if in_memory is true */
    size_t room[CT_MAX_FIELDS]; /* the bytes that are allocated for each array */
    bool in_memory;             /* false: rows are read from the file */
    csv_place *place;           /* the offset of every 64th row, if in_memory is false */
    size_t place_count, place_room;
    char digest[65];
} csv;

/* ---- categories ---- */

static size_t csv_hash(const char *text)
{
    uint64_t h = UINT64_C(14695981039346656037);

    for (; *text; text++)
        h = (h ^ (unsigned char)*text) * UINT64_C(1099511628211);
    return (size_t)(h ^ h >> 32);
}

/* Returns the slot of a text, or the free slot for it. */
static size_t csv_slot(const csv_categories *k, const char *text)
{
    size_t at = csv_hash(text) & (k->slots - 1);

    while (k->slot[at] >= 0 && strcmp(k->text[k->slot[at]], text) != 0)
        at = (at + 1) & (k->slots - 1);
    return at;
}

/* Makes room for one more category, so that at most half of the slots are used. False with an
 * error. */
static bool csv_categories_grow(csv_categories *k)
{
    size_t slots = k->slots ? 2 * k->slots : 64;
    int32_t *old = k->slot, *slot;

    if (2 * (k->count + 1) <= k->slots)
        return true;
    slot = cti_calloc(slots, sizeof *slot);
    if (!slot) {
        cti_out_of_memory(csv_making, slots * sizeof *slot);
        return false;
    }
    k->slot = slot;
    k->slots = slots;
    for (size_t i = 0; i < slots; i++)
        slot[i] = -1;
    for (size_t i = 0; i < k->count; i++)
        slot[csv_slot(k, k->text[i])] = (int32_t)i;
    cti_release(old);
    return true;
}

/* Adds a text that is not in the table yet. Returns its number, or -1 with an error. */
static int64_t csv_categories_add(csv_categories *k, const char *text)
{
    char *copy;

    if (!csv_categories_grow(k) ||
        !cti_grow(csv_making, (void **)&k->text, &k->room, k->count, sizeof *k->text))
        return -1;
    copy = cti_strdup(text);
    if (!copy) {
        cti_out_of_memory(csv_making, strlen(text) + 1);
        return -1;
    }
    k->slot[csv_slot(k, text)] = (int32_t)k->count;
    k->text[k->count] = copy;
    return (int64_t)k->count++;
}

static void csv_categories_free(csv_categories *k)
{
    for (size_t i = 0; k && i < k->count; i++)
        cti_release(k->text[i]);
    if (k) {
        cti_release(k->text);
        cti_release(k->slot);
    }
    cti_release(k);
}

/* ---- freeing ---- */

static void csv_free(void *self)
{
    csv *c = self;

    for (int64_t i = 0; c->header && i < c->columns; i++)
        cti_release(c->header[i]);
    cti_release(c->header);
    for (int k = 0; k < CT_MAX_FIELDS; k++) {
        cti_release(c->column[k]);
        csv_categories_free(c->categories[k]);
        cti_release(c->memory.owned[k]);
    }
    cti_release(c->place);
    cti_read_close(&c->file);
    pthread_mutex_destroy(&c->lock);
    cti_release(c);
}

/* ---- columns ---- */

static int64_t csv_find_column(const csv *c, const char *name, size_t length)
{
    int64_t found = -1;

    for (int64_t i = 0; i < c->columns; i++) {
        if (strlen(c->header[i]) != length || memcmp(c->header[i], name, length) != 0)
            continue;
        if (found >= 0) {
            ct_raise(CT_ERR_ARGUMENT, csv_making, "%.400s: column %.*s appears twice", c->file.path,
                     (int)length, name);
            return -1;
        }
        found = i;
    }
    if (found < 0)
        ct_raise(CT_ERR_ARGUMENT, csv_making, "%.400s: has no column %.*s", c->file.path,
                 (int)length, name);
    return found;
}

/* Reads the number of a column, from 0, for a file without a header. */
static int64_t csv_column_number(const csv *c, const char *name, size_t length)
{
    int64_t n = 0;

    for (size_t i = 0; i < length && n >= 0; i++)
        n = name[i] >= '0' && name[i] <= '9' && n < CSV_MOST_COLUMNS ? 10 * n + name[i] - '0' : -1;
    if (length && n >= 0 && n < c->columns)
        return n;
    ct_raise(CT_ERR_ARGUMENT, csv_making,
             "%.400s: has no column %.*s; without a header, columns are 0 to %lld", c->file.path,
             (int)length, name, (long long)c->columns - 1);
    return -1;
}

/* Finds the columns of field k; false with an error. */
static bool csv_take_columns(csv *c, int k, const char *list)
{
    size_t room = 0;

    for (;; list++) {
        size_t length = strcspn(list, ",");
        int64_t at =
            c->header ? csv_find_column(c, list, length) : csv_column_number(c, list, length);

        if (at < 0 || !cti_grow(csv_making, (void **)&c->column[k], &room, (size_t)c->width[k],
                                sizeof *c->column[k]))
            return false;
        c->column[k][c->width[k]++] = at;
        list += length;
        if (!*list)
            return true;
    }
}

/* Copies the categories of the field with this name from another dataset; NULL with an error. */
static csv_categories *csv_copy_categories(const csv *from, const ct_dataset *d, const char *name)
{
    int k = ct_dataset_field(d, name);
    csv_categories *copy;

    if (k < 0 || !from->categories[k]) {
        ct_raise(CT_ERR_ARGUMENT, csv_making, "known has no field %s of categories",
                 cti_quote(name).s);
        return NULL;
    }
    copy = cti_calloc(1, sizeof *copy);
    if (!copy)
        cti_out_of_memory(csv_making, sizeof *copy);
    for (size_t i = 0; copy && i < from->categories[k]->count; i++)
        if (csv_categories_add(copy, from->categories[k]->text[i]) < 0) {
            csv_categories_free(copy);
            return NULL;
        }
    return copy;
}

static const ct_dataset_table csv_table;

static bool csv_take_field(csv *c, int k, const ct_csv_field *f, const ct_dataset *known)
{
    if (f->dtype != CT_F32 && f->dtype != CT_F64 && f->dtype != CT_I32 && f->dtype != CT_I64) {
        ct_raise(CT_ERR_DTYPE, csv_making, "field %s: dtype is %s; it must be f32, f64, i32 or i64",
                 cti_quote(f->name).s, ct_dtype_name(f->dtype));
        return false;
    }
    if (f->categories && f->dtype != CT_I32) {
        ct_raise(CT_ERR_DTYPE, csv_making, "field %s: categories are i32, but dtype is %s",
                 cti_quote(f->name).s, ct_dtype_name(f->dtype));
        return false;
    }
    if (!csv_take_columns(c, k, f->columns ? f->columns : f->name))
        return false;
    if (f->categories) {
        c->known[k] = known != NULL;
        c->categories[k] = known ? csv_copy_categories(known->self, known, f->name)
                                 : cti_calloc(1, sizeof *c->categories[k]);
        if (!c->categories[k]) {
            if (ct_ok())
                cti_out_of_memory(csv_making, sizeof *c->categories[k]);
            return false;
        }
    }
    c->field[k] = (ct_field){ .name = f->name, .dtype = f->dtype };
    if (c->width[k] > 1)
        c->field[k].shape = (ct_shape){ .rank = 1, .dim = { c->width[k] } };
    c->bytes[k] = (size_t)c->width[k] * ct_dtype_size(f->dtype);
    return true;
}

static bool csv_take_fields(csv *c, const ct_dataset_csv_options *o)
{
    for (int k = 0; o->fields[k].name; k++) {
        if (k == CT_MAX_FIELDS) {
            ct_raise(CT_ERR_ARGUMENT, csv_making, "fields has more than %d fields", CT_MAX_FIELDS);
            return false;
        }
        if (!csv_take_field(c, k, &o->fields[k], o->known))
            return false;
        c->field_count = k + 1;
    }
    if (!c->field_count)
        ct_raise(CT_ERR_ARGUMENT, csv_making, "fields is empty");
    return c->field_count > 0;
}

/* ---- a row ---- */

/* Returns the name of a column for messages. */
static const char *csv_column_name(const csv *c, int64_t column, char number[24])
{
    if (c->header)
        return c->header[column];
    snprintf(number, 24, "%lld", (long long)column);
    return number;
}

static bool csv_refuse_value(const csv *c, const cti_csv_reader *r, int64_t line, int64_t column,
                             const char *text, const char *why)
{
    char number[24];

    return cti_csv_refuse(r, line, "column %s: %s %s",
                          cti_quote(csv_column_name(c, column, number)).s, cti_quote(text).s, why);
}

/* Writes element i of field k. */
static bool csv_put_number(const csv *c, int k, int64_t i, double x, void *to)
{
    switch (c->field[k].dtype) {
    case CT_F32:
        ((float *)to)[i] = (float)x;
        return isnan(x) || isfinite((float)x);
    case CT_F64:
        ((double *)to)[i] = x;
        return true;
    case CT_I32:
        if (!(x >= INT32_MIN && x <= INT32_MAX && x == floor(x)))
            return false;
        ((int32_t *)to)[i] = (int32_t)x;
        return true;
    case CT_I64:
        if (!(fabs(x) <= 9007199254740992.0 && x == floor(x)))
            return false;
        ((int64_t *)to)[i] = (int64_t)x;
        return true;
    case CT_BOOL:
    case CT_BF16:
        break;
    }
    return false;
}

/* A value of a row. */
typedef struct csv_value {
    int field;
    int64_t at, line;
    const char *text;
} csv_value;

/* Writes a value to the field at `to`; false with an error. Only the first pass adds categories to
 * c. */
static bool csv_put(csv *c, const cti_csv_reader *r, const csv_value *v, void *to)
{
    const int k = v->field;
    const int64_t i = v->at, line = v->line, column = c->column[k][i];
    const char *text = v->text;
    double x = NAN;

    if (!*text && (c->missing == CT_CSV_MISSING_ERROR || c->categories[k] ||
                   (c->field[k].dtype != CT_F32 && c->field[k].dtype != CT_F64)))
        return csv_refuse_value(c, r, line, column, text, "is empty");
    if (c->categories[k]) {
        csv_categories *known = c->categories[k];
        int64_t id = known->slots ? known->slot[csv_slot(known, text)] : -1;

        if (id < 0 && c->known[k])
            return csv_refuse_value(c, r, line, column, text, "is not a known category");
        if (id < 0)
            id = csv_categories_add(known, text);
        ((int32_t *)to)[i] = (int32_t)id;
        return id >= 0;
    }
    if (*text && !cti_csv_number(text, c->decimal, &x))
        return csv_refuse_value(c, r, line, column, text, "is not a number");
    if (!csv_put_number(c, k, i, x, to)) {
        char why[40];

        snprintf(why, sizeof why, "is not in the range of %s", ct_dtype_name(c->field[k].dtype));
        return csv_refuse_value(c, r, line, column, text, why);
    }
    return true;
}

/* True if the row must be skipped. */
static bool csv_skips(const csv *c, const cti_csv_cell *cells)
{
    if (c->missing != CT_CSV_MISSING_SKIP_ROW)
        return false;
    for (int k = 0; k < c->field_count; k++)
        for (int64_t i = 0; i < c->width[k]; i++)
            if (!*cells[c->column[k][i]].text)
                return true;
    return false;
}

/* Reads the next row that is not skipped into cells. Returns 1; 0 at the end; -1 with an error. */
static int csv_next_row(const csv *c, cti_csv_reader *r, cti_csv_record *record,
                        cti_csv_cell *cells)
{
    int found;

    do {
        int64_t n;

        found = cti_csv_next(r, record);
        if (found != 1)
            return found;
        n = cti_csv_cut(r, record, cells, c->columns);
        if (n >= 0 && n != c->columns)
            cti_csv_refuse(r, record->line, "the row has %lld values; the first row has %lld",
                           (long long)n, (long long)c->columns);
        if (n != c->columns)
            return -1;
    } while (csv_skips(c, cells));
    return 1;
}

static bool csv_put_row(csv *c, const cti_csv_reader *r, int64_t line, const cti_csv_cell *cells,
                        void *const *field)
{
    for (int k = 0; k < c->field_count; k++)
        for (int64_t i = 0; i < c->width[k]; i++)
            if (!csv_put(c, r, &(csv_value){ k, i, line, cells[c->column[k][i]].text }, field[k]))
                return false;
    return true;
}

/* ---- a dataset ---- */

static ct_status csv_get(void *self, int64_t i, void *const *field)
{
    csv *c = self;
    const csv_place *place;
    cti_csv_reader r = {
        cti_dataset_function(), &c->file, &c->lock, c->separator, 0, 0, NULL, 0, 0, 0, 0
    };
    cti_csv_record record;
    cti_csv_cell *cells;
    int64_t left = i % CSV_BLOCK;
    int found = 1;

    if (c->in_memory) {
        for (int k = 0; k < c->field_count; k++)
            memcpy(field[k], c->memory.span[k].from + (size_t)i * c->bytes[k], c->bytes[k]);
        return CT_OK;
    }
    place = &c->place[i / CSV_BLOCK];
    cells = cti_calloc((size_t)c->columns, sizeof *cells);
    if (!cells)
        cti_out_of_memory(r.function, (size_t)c->columns * sizeof *cells);
    cti_csv_begin(&r, place->offset,
                  (size_t)(i / CSV_BLOCK) + 1 < c->place_count ? place[1].offset : c->file.size,
                  place->line);
    for (; cells && found == 1 && left >= 0; left--)
        found = csv_next_row(c, &r, &record, cells);
    if (cells && found == 0)
        cti_csv_refuse(&r, r.line, "the file has changed since it was opened");
    if (cells && found == 1)
        csv_put_row(c, &r, record.line, cells, field);
    cti_csv_end(&r);
    cti_release(cells);
    return ct_error();
}

static ct_status csv_digest(void *self, char hex[65])
{
    const csv *c = self;

    memcpy(hex, c->digest, sizeof c->digest);
    return CT_OK;
}

static const ct_dataset_table csv_table = {
    .name = "csv", .get = csv_get, .digest = csv_digest, .free = csv_free
};

const char *ct_dataset_csv_category(const ct_dataset *d, const char *field, int64_t id)
{
    int k = ct_dataset_field(d, field);
    const csv *c;

    if (k < 0 || d->table != &csv_table)
        return NULL;
    c = d->self;
    return c->categories[k] && id >= 0 && id < (int64_t)c->categories[k]->count
               ? c->categories[k]->text[id]
               : NULL;
}

/* ---- the first pass ---- */

/* Reads the first row, for the names of the columns or, without a header, only their number. */
static bool csv_take_header(csv *c, cti_csv_reader *r, bool no_header)
{
    cti_csv_cell *cells;
    cti_csv_record record;
    int found;
    int64_t n;

    found = cti_csv_next(r, &record);
    if (found == 0)
        return cti_csv_refuse(r, 1, "the file is empty");
    cells = found == 1 ? cti_calloc(CSV_MOST_COLUMNS, sizeof *cells) : NULL;
    if (found == 1 && !cells)
        cti_out_of_memory(csv_making, CSV_MOST_COLUMNS * sizeof *cells);
    n = cells ? cti_csv_cut(r, &record, cells, CSV_MOST_COLUMNS) : -1;
    if (n > CSV_MOST_COLUMNS)
        cti_csv_refuse(r, record.line, "the row has %lld values; the most is %d", (long long)n,
                       CSV_MOST_COLUMNS);
    else if (n >= 0 && !no_header && !(c->header = cti_calloc((size_t)n, sizeof *c->header)))
        cti_out_of_memory(csv_making, (size_t)n * sizeof *c->header);
    if (ct_ok())
        c->columns = n;
    for (int64_t i = 0; c->header && i < c->columns && ct_ok(); i++)
        if (!(c->header[i] = cti_strdup(cells[i].text)))
            cti_out_of_memory(csv_making, strlen(cells[i].text) + 1);
    cti_release(cells);
    return ct_ok();
}

/* Makes room for row number c->rows in the arrays; frees the arrays if they would need too much
 * memory. False with an error. */
static bool csv_make_room(csv *c, int64_t most)
{
    size_t total = 0;

    for (int k = 0; k < c->field_count; k++)
        total += ((size_t)c->rows + 1) * c->bytes[k];
    if (total > (size_t)most) {
        c->in_memory = false;
        for (int k = 0; k < c->field_count; k++) {
            cti_release(c->memory.owned[k]);
            c->memory.owned[k] = NULL;
        }
        return true;
    }
    for (int k = 0; k < c->field_count; k++)
        if (!cti_grow(csv_making, &c->memory.owned[k], &c->room[k], (size_t)c->rows, c->bytes[k]))
            return false;
    return true;
}

/* Stores or checks a row whose values are in cells. scratch has room for one row. */
static bool csv_take_row(csv *c, const cti_csv_reader *r, const cti_csv_record *record,
                         const cti_csv_cell *cells, char *scratch, int64_t most)
{
    void *to[CT_MAX_FIELDS];

    if (c->rows % CSV_BLOCK == 0) {
        if (!cti_grow(csv_making, (void **)&c->place, &c->place_room, c->place_count,
                      sizeof *c->place))
            return false;
        c->place[c->place_count++] = (csv_place){ record->offset, record->line };
    }
    if (c->in_memory && !csv_make_room(c, most))
        return false;
    for (int k = 0; k < c->field_count; k++) {
        to[k] = scratch;
        if (c->in_memory)
            to[k] = (char *)c->memory.owned[k] + (size_t)c->rows * c->bytes[k];
    }
    if (!csv_put_row(c, r, record->line, cells, to))
        return false;
    c->rows++;
    return true;
}

/* Reads all rows. */
static bool csv_take_rows(csv *c, cti_csv_reader *r, int64_t most)
{
    size_t widest = 8;
    cti_csv_record record;
    cti_csv_cell *cells = cti_calloc((size_t)c->columns, sizeof *cells);
    char *scratch;
    int found = -1;

    for (int k = 0; k < c->field_count; k++)
        widest = c->bytes[k] > widest ? c->bytes[k] : widest;
    scratch = cti_calloc(1, widest);
    if (!cells || !scratch)
        cti_out_of_memory(csv_making, cells ? widest : (size_t)c->columns * sizeof *cells);
    else
        while ((found = csv_next_row(c, r, &record, cells)) == 1 &&
               csv_take_row(c, r, &record, cells, scratch, most))
            ;
    cti_release(cells);
    cti_release(scratch);
    return found == 0;
}

static bool csv_hash_bytes(void *context, const void *bytes, size_t size)
{
    sha256_update(context, size, bytes);
    return true;
}

/* Computes the SHA-256 of everything that determines the samples: the file, its columns and
 * categories. */
static bool csv_take_digest(csv *c)
{
    struct sha256_ctx state;
    uint8_t bytes[65536], digest[32];

    sha256_init(&state);
    for (uint64_t at = 0; at < c->file.size;) {
        size_t n = c->file.size - at < sizeof bytes ? (size_t)(c->file.size - at) : sizeof bytes;

        if (!cti_read_at(&c->file, csv_making, at, bytes, n))
            return false;
        sha256_update(&state, n, bytes);
        at += n;
    }
    for (int k = 0; k < c->field_count; k++) {
        cti_each_file_bytes(c->column[k], sizeof *c->column[k], (size_t)c->width[k], csv_hash_bytes,
                            &state);
        for (size_t i = 0; c->known[k] && i < c->categories[k]->count; i++)
            sha256_update(&state, strlen(c->categories[k]->text[i]) + 1,
                          (const uint8_t *)c->categories[k]->text[i]);
    }
    bytes[0] = (uint8_t)c->missing;
    sha256_update(&state, 1, bytes);
    sha256_digest(&state, sizeof digest, digest);
    cti_hex(digest, sizeof digest, c->digest);
    return true;
}

/* Runs the pass over the open file. */
static bool csv_read(csv *c, const ct_dataset_csv_options *o)
{
    cti_csv_reader r = { csv_making, &c->file, &c->lock, c->separator, 0, 0, NULL, 0, 0, 0, 0 };
    uint64_t begin = 0;
    char mark[3];
    bool good;

    if (c->file.size >= 3 && !cti_read_at(&c->file, csv_making, 0, mark, 3))
        return false;
    if (c->file.size >= 3 && memcmp(mark, "\xef\xbb\xbf", 3) == 0)
        begin = 3;
    cti_csv_begin(&r, begin, c->file.size, 1);
    good = csv_take_header(c, &r, o->no_header) && csv_take_fields(c, o);
    if (good && o->no_header) /* the first row has values */
        cti_csv_begin(&r, begin, c->file.size, 1);
    good = good && csv_take_rows(c, &r, o->memory ? o->memory : (int64_t)1 << 28);
    cti_csv_end(&r);
    return good && csv_take_digest(c);
}

static bool csv_check_options(const ct_dataset_csv_options *o)
{
    char separator = o->separator ? o->separator : ',', decimal = o->decimal ? o->decimal : '.';

    if (!cti_given(csv_making, "fields", o->fields) ||
        !cti_at_least(csv_making, "memory", o->memory, 0))
        return false;
    if (strchr("\"\r\n+-0123456789eE", separator) || strchr("\"\r\n+-0123456789eE ", decimal) ||
        separator == decimal) {
        ct_raise(CT_ERR_ARGUMENT, csv_making,
                 "separator is '%c' and decimal is '%c'; they must differ, and be no "
                 "quote, digit, sign, e or end of a line",
                 separator, decimal);
        return false;
    }
    if ((unsigned)o->missing > CT_CSV_MISSING_SKIP_ROW) {
        ct_raise(CT_ERR_ARGUMENT, csv_making, "missing is %d; it must be in 0..%d", (int)o->missing,
                 CT_CSV_MISSING_SKIP_ROW);
        return false;
    }
    if (o->known && o->known->table != &csv_table) {
        ct_raise(CT_ERR_ARGUMENT, csv_making, "known was not made by ct_dataset_csv_new");
        return false;
    }
    return true;
}

ct_dataset *ct_dataset_csv_new(const char *path, ct_dataset_csv_options o)
{
    ct_dataset *d;
    csv *c;

    if (!cti_given(csv_making, "path", path) || !csv_check_options(&o))
        return NULL;
    c = cti_calloc(1, sizeof *c);
    if (!c) {
        cti_out_of_memory(csv_making, sizeof *c);
        return NULL;
    }
    c->file.fd = -1;
    pthread_mutex_init(&c->lock, NULL);
    c->separator = o.separator ? o.separator : ',';
    c->decimal = o.decimal ? o.decimal : '.';
    c->missing = o.missing;
    c->in_memory = true;
    if (!cti_read_open(&c->file, csv_making, path) || !csv_read(c, &o)) {
        csv_free(c);
        return NULL;
    }
    for (int k = 0; k < c->field_count; k++) {
        c->known[k] = true; /* from now on no categories are added */
        c->memory.span[k] = (cti_span){ c->memory.owned[k], c->bytes[k], c->bytes[k] };
    }
    d = cti_dataset_new(csv_making, &csv_table, c, c->rows, c->field_count, c->field);
    if (d && c->in_memory && c->rows)
        d->spans = &c->memory;
    return d;
}
