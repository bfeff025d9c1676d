/* SPDX-License-Identifier: MIT */
/* dataset.c - datasets: a table of functions with its checks; and parts of other datasets. */
#include "tensor/internal.h"

#include <cotangent/data/dataset.h>

#include "data/internal.h"
#include "tensor/byte_order.h"
#include "tensor/dtypes.h"
#include "tensor/hooks.h"
#include "tensor/text.h"

#include <math.h>
#include <string.h>

/* ---- fields ---- */

static bool dataset_check_name(const char *function, const ct_field *fields, int k)
{
    const char *name = fields[k].name;
    size_t n;

    if (!name) {
        ct_raise(CT_ERR_ARGUMENT, function, "fields[%d].name is NULL", k);
        return false;
    }
    n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
    if (!n || n > CTI_FIELD_NAME || name[n]) {
        ct_raise(CT_ERR_ARGUMENT, function,
                 "fields[%d].name is %s; it must be 1 to %d letters, digits and '_'", k,
                 cti_quote(name).s, CTI_FIELD_NAME);
        return false;
    }
    return true;
}

/* True if the name of field k, or of its lengths, is already used by an earlier field. */
static bool dataset_is_taken(const ct_field *fields, int k)
{
    char own[CTI_LENGTHS_NAME], other[CTI_LENGTHS_NAME];

    snprintf(own, sizeof own, "%s_lengths", fields[k].name);
    for (int i = 0; i < k; i++) {
        snprintf(other, sizeof other, "%s_lengths", fields[i].name);
        if (strcmp(fields[i].name, fields[k].name) == 0 ||
            (cti_field_is_sequence(&fields[i]) && strcmp(other, fields[k].name) == 0) ||
            (cti_field_is_sequence(&fields[k]) && strcmp(own, fields[i].name) == 0))
            return true;
    }
    return false;
}

/* True if x is a value of dtype. */
static bool dataset_holds(ct_dtype dtype, double x)
{
    switch (dtype) {
    case CT_F32:
    case CT_F64:
    case CT_BF16:
        return true;
    case CT_I32:
        return x >= INT32_MIN && x <= INT32_MAX && x == floor(x);
    case CT_I64:
        return fabs(x) < 9007199254740992.0 && x == floor(x);
    case CT_BOOL:
        return x == 0 || x == 1;
    }
    return false;
}

/* Sets the bytes of field k of d, whose name is checked; false with an error. */
static bool dataset_take_field(const char *function, ct_dataset *d, int k)
{
    ct_field *f = &d->field[k];
    ct_shape entry;
    int64_t n;

    if ((unsigned)f->dtype >= CTI_DTYPE_COUNT) {
        ct_raise(CT_ERR_DTYPE, function, "fields[%d].dtype is %d; it must be in 0..%d", k,
                 (int)f->dtype, CTI_DTYPE_COUNT - 1);
        return false;
    }
    if (!cti_rank_check(function, &f->shape))
        return false;
    if (f->shape.rank == CT_MAX_RANK) {
        ct_raise(CT_ERR_SHAPE, function, "fields[%d].shape has %d axes; the most is %d", k,
                 f->shape.rank, CT_MAX_RANK - 1);
        return false;
    }
    entry = f->shape;
    if (cti_field_is_sequence(f))
        entry.dim[0] = 1;
    n = cti_shape_check(function, &entry, f->dtype);
    if (n < 0)
        return false;
    if (!dataset_holds(f->dtype, f->pad)) {
        ct_raise(CT_ERR_ARGUMENT, function, "fields[%d].pad is %g; %s cannot represent it", k,
                 f->pad, ct_dtype_name(f->dtype));
        return false;
    }
    d->bytes[k] = (size_t)n * ct_dtype_size(f->dtype);
    return true;
}

static bool dataset_take_fields(const char *function, ct_dataset *d, const ct_field *fields)
{
    for (int k = 0; k < d->field_count; k++) {
        if (!dataset_check_name(function, fields, k))
            return false;
        if (dataset_is_taken(fields, k)) {
            ct_raise(CT_ERR_ARGUMENT, function, "fields[%d].name %s appears twice", k,
                     cti_quote(fields[k].name).s);
            return false;
        }
        d->field[k] = fields[k];
        strcpy(d->name[k], fields[k].name);
        d->field[k].name = d->name[k];
        if (!dataset_take_field(function, d, k))
            return false;
        if (cti_field_is_sequence(&d->field[k]) && !d->table->length) {
            ct_raise(CT_ERR_ARGUMENT, function, "field %s is a sequence, but table->length is NULL",
                     d->name[k]);
            return false;
        }
    }
    return true;
}

/* ---- making and freeing ---- */

static bool dataset_check(const char *function, const ct_dataset_table *table, int64_t count,
                          int field_count, const ct_field *fields)
{
    if (!cti_given(function, "table", table) || !cti_given(function, "fields", fields))
        return false;
    if (!table->name || !table->get) {
        ct_raise(CT_ERR_ARGUMENT, function, "table->%s is NULL", table->name ? "get" : "name");
        return false;
    }
    if (!cti_at_least(function, "count", count, 0))
        return false;
    if (field_count < 1 || field_count > CT_MAX_FIELDS) {
        ct_raise(CT_ERR_ARGUMENT, function, "field_count is %d; it must be 1 to %d", field_count,
                 CT_MAX_FIELDS);
        return false;
    }
    return true;
}

ct_dataset *cti_dataset_new(const char *function, const ct_dataset_table *table, void *self,
                            int64_t count, int field_count, const ct_field *fields)
{
    ct_dataset *d = NULL;

    if (dataset_check(function, table, count, field_count, fields)) {
        d = cti_calloc(1, sizeof *d);
        if (!d)
            cti_out_of_memory(function, sizeof *d);
    }
    if (d) {
        atomic_init(&d->refs, 1);
        d->table = table;
        d->count = count;
        d->field_count = field_count;
        if (dataset_take_fields(function, d, fields)) {
            d->self = self;
            return d;
        }
        cti_release(d);
    }
    if (table && table->free)
        table->free(self);
    return NULL;
}

ct_dataset *ct_dataset_new(const ct_dataset_table *table, void *self, int64_t count,
                           int field_count, const ct_field *fields)
{
    return cti_dataset_new("ct_dataset_new", table, self, count, field_count, fields);
}

ct_dataset *cti_dataset_ref(ct_dataset *d)
{
    atomic_fetch_add_explicit(&d->refs, 1, memory_order_relaxed);
    return d;
}

void ct_dataset_free(ct_dataset *d)
{
    if (!d || !cti_last_ref(&d->refs))
        return;
    if (d->table->free)
        d->table->free(d->self);
    cti_release(d);
}

int64_t ct_dataset_count(const ct_dataset *d)
{
    return d ? d->count : 0;
}

int ct_dataset_field(const ct_dataset *d, const char *name)
{
    for (int k = 0; d && name && k < d->field_count; k++)
        if (strcmp(d->name[k], name) == 0)
            return k;
    return -1;
}

/* ---- the table's functions ---- */

const char *cti_dataset_function(void)
{
    return cti_thread()->quiet ? NULL : "ct_loader_next";
}

/* Raises an error after a function of the table failed, unless the function raised one. */
static void dataset_raise(const ct_dataset *d, const char *what)
{
    if (ct_ok())
        ct_raise(CT_ERR_ARGUMENT, cti_dataset_function(),
                 "%.100s: %s returned an error without raising one", d->table->name, what);
}

bool cti_dataset_get(const ct_dataset *d, int64_t i, void *const *field)
{
    if (d->table->get(d->self, i, field) == CT_OK && ct_ok())
        return true;
    dataset_raise(d, "get");
    return false;
}

int64_t cti_dataset_length(const ct_dataset *d, int64_t i, int field)
{
    int64_t n = d->table->length(d->self, i, field);

    if (n >= 0 && ct_ok())
        return n;
    if (ct_ok())
        ct_raise(CT_ERR_ARGUMENT, cti_dataset_function(),
                 "%.100s: length of sample %lld, field %s returned %lld; it must be at least 0",
                 d->table->name, (long long)i, d->name[field], (long long)n);
    return -1;
}

bool cti_dataset_digest(const ct_dataset *d, char hex[65])
{
    hex[0] = '\0';
    if (!d->table->digest)
        return true;
    if (d->table->digest(d->self, hex) == CT_OK && ct_ok()) {
        hex[64] = '\0';
        return true;
    }
    dataset_raise(d, "digest");
    return false;
}

/* ---- parts of a dataset ---- */

/* Samples first to first + count - 1 of base, or the samples of index. */
typedef struct dataset_part {
    ct_dataset *base;
    int64_t first, count;
    int64_t *index;
    cti_spans spans; /* the memory of the range, if the samples are in memory */
} dataset_part;

static int64_t part_sample(const dataset_part *p, int64_t i)
{
    return p->index ? p->index[i] : p->first + i;
}

static ct_status part_get(void *self, int64_t i, void *const *field)
{
    const dataset_part *p = self;

    return cti_dataset_get(p->base, part_sample(p, i), field) ? CT_OK : ct_error();
}

static int64_t part_length(void *self, int64_t i, int field)
{
    const dataset_part *p = self;

    return cti_dataset_length(p->base, part_sample(p, i), field);
}

/* Computes a digest of the base's digest, the range and the index; "" if the base has no digest. */
static ct_status part_digest(void *self, char hex[65])
{
    const dataset_part *p = self;
    struct {
        char base[65], index[65];
        char range[64];
    } all;

    memset(&all, 0, sizeof all);
    if (!cti_dataset_digest(p->base, all.base))
        return ct_error();
    snprintf(all.range, sizeof all.range, "%lld %lld", (long long)p->first, (long long)p->count);
    if (p->index)
        cti_sha256_elements(p->index, sizeof *p->index, (size_t)p->count, all.index);
    if (all.base[0])
        ct_sha256_hex(&all, sizeof all, hex);
    return CT_OK;
}

static void part_free(void *self)
{
    dataset_part *p = self;

    ct_dataset_free(p->base);
    cti_release(p->index);
    cti_release(p);
}

static const ct_dataset_table range_table = { "range", part_get, part_length, part_digest,
                                              part_free };
static const ct_dataset_table subset_table = { "subset", part_get, part_length, part_digest,
                                               part_free };

/* Makes a part. Takes over index, also if it fails. */
static ct_dataset *part_new(const char *function, ct_dataset *base, int64_t first, int64_t count,
                            int64_t *index)
{
    dataset_part *p = cti_calloc(1, sizeof *p);
    ct_dataset *d;

    if (!p) {
        cti_out_of_memory(function, sizeof *p);
        cti_release(index);
        return NULL;
    }
    *p = (dataset_part){ .base = cti_dataset_ref(base), .first = first, .count = count };
    p->index = index;
    d = cti_dataset_new(function, index ? &subset_table : &range_table, p, count, base->field_count,
                        base->field);
    if (d && !index && base->spans) {
        p->spans.count = base->field_count;
        p->spans.samples = count;
        for (int k = 0; k < base->field_count; k++) {
            p->spans.span[k] = base->spans->span[k];
            p->spans.span[k].from += (size_t)first * p->spans.span[k].unit;
        }
        d->spans = &p->spans;
    }
    return d;
}

ct_dataset *ct_dataset_range_new(ct_dataset *d, int64_t first, int64_t count)
{
    static const char *const me = "ct_dataset_range_new";

    if (!cti_given(me, "d", d) || !cti_at_least(me, "first", first, 0) ||
        !cti_at_least(me, "count", count, 0))
        return NULL;
    if (first > d->count || count > d->count - first) {
        ct_raise(CT_ERR_ARGUMENT, me,
                 "first is %lld and count is %lld; the dataset has %lld samples", (long long)first,
                 (long long)count, (long long)d->count);
        return NULL;
    }
    return part_new(me, d, first, count ? count : d->count - first, NULL);
}

/* Copies count numbers, 0 or more; NULL with an error. */
static int64_t *part_copy(const char *function, const int64_t *index, int64_t count)
{
    size_t bytes = sizeof *index;
    int64_t *copy = NULL;

    if ((uint64_t)count < PTRDIFF_MAX / sizeof *index) {
        bytes = ((size_t)count + !count) * sizeof *index;
        copy = cti_calloc(1, bytes);
    }
    if (!copy)
        cti_out_of_memory(function, bytes);
    else if (count)
        memcpy(copy, index, (size_t)count * sizeof *index);
    return copy;
}

ct_dataset *ct_dataset_subset_new(ct_dataset *d, const int64_t *index, int64_t count)
{
    static const char *const me = "ct_dataset_subset_new";
    int64_t *copy;

    if (!cti_given(me, "d", d) || !cti_given_array(me, "index", count, index) ||
        !cti_at_least(me, "count", count, 0))
        return NULL;
    for (int64_t i = 0; i < count; i++)
        if (index[i] < 0 || index[i] >= d->count) {
            ct_raise(CT_ERR_INDEX, me, "index[%lld] is %lld; it must be 0 to %lld", (long long)i,
                     (long long)index[i], (long long)d->count - 1);
            return NULL;
        }
    copy = part_copy(me, index, count);
    return copy ? part_new(me, d, 0, count, copy) : NULL;
}

/* ---- random parts ---- */

/* Converts sizes to numbers of samples, n; false with an error. */
static bool split_sizes(const char *function, int count, const double *sizes, int64_t total,
                        int64_t *n)
{
    bool whole = true;
    double sum = 0;
    int64_t dealt = 0;

    for (int k = 0; k < count; k++) {
        if (!(sizes[k] >= 0) || !isfinite(sizes[k])) {
            ct_raise(CT_ERR_ARGUMENT, function, "sizes[%d] is %g; it must be at least 0", k,
                     sizes[k]);
            return false;
        }
        whole = whole && sizes[k] == floor(sizes[k]);
        sum += sizes[k];
    }
    if (whole && sum == (double)total) {
        for (int k = 0; k < count; k++)
            n[k] = (int64_t)sizes[k];
        return true;
    }
    if (!(fabs(sum - 1) <= 1e-6)) {
        ct_raise(CT_ERR_ARGUMENT, function,
                 "the sizes sum to %g; they must sum to %lld, the number of samples, or to 1", sum,
                 (long long)total);
        return false;
    }
    for (int k = 0; k < count; k++) {
        n[k] = (int64_t)floor(sizes[k] * (double)total);
        n[k] = n[k] < total - dealt ? n[k] : total - dealt;
        dealt += n[k];
    }
    for (int k = 0; dealt < total; k = (k + 1) % count, dealt++)
        n[k]++;
    return true;
}

/* Makes the parts from a random order of the samples; false with an error. */
static bool split_deal(const char *function, ct_dataset *d, int count, const int64_t *n,
                       const int64_t *order, ct_dataset **part)
{
    int64_t from = 0;

    for (int k = 0; k < count; from += n[k++]) {
        int64_t *index = part_copy(function, order + from, n[k]);

        part[k] = index ? part_new(function, d, 0, n[k], index) : NULL;
        if (!part[k])
            return false;
    }
    return true;
}

static bool split_draw(const char *function, ct_dataset *d, int count, const double *sizes,
                       uint64_t seed, ct_dataset **part)
{
    ct_generator g = ct_generator_stream(ct_generator_from_seed(seed), "dataset.split");
    int64_t *n = cti_calloc((size_t)count, sizeof *n);
    int64_t *order = cti_calloc((size_t)d->count + 1, sizeof *order);
    bool good = false;

    if (!n || !order) {
        cti_out_of_memory(function,
                          n ? ((size_t)d->count + 1) * sizeof *order : (size_t)count * sizeof *n);
    } else if (split_sizes(function, count, sizes, d->count, n)) {
        for (int64_t i = 0; i < d->count; i++)
            order[i] = i;
        ct_shuffle(order, d->count, &g);
        good = split_deal(function, d, count, n, order, part);
    }
    cti_release(n);
    cti_release(order);
    return good;
}

ct_status ct_dataset_split(ct_dataset *d, int count, const double *sizes, uint64_t seed,
                           ct_dataset **part)
{
    static const char *const me = "ct_dataset_split";

    if (!cti_given(me, "d", d) || !cti_at_least(me, "count", count, 1) ||
        !cti_given(me, "sizes", sizes) || !cti_given(me, "part", part))
        return ct_error();
    memset(part, 0, (size_t)count * sizeof *part);
    if (split_draw(me, d, count, sizes, seed, part))
        return CT_OK;
    for (int k = 0; k < count; k++) {
        ct_dataset_free(part[k]);
        part[k] = NULL;
    }
    return ct_error();
}

/* ---- reading many samples ---- */

ct_status ct_dataset_read(ct_dataset *d, int64_t first, int64_t count, ct_batch *all)
{
    static const char *const me = "ct_dataset_read";
    ct_dataset *part;
    ct_loader *l;

    if (!cti_given(me, "d", d) || !cti_given(me, "all", all))
        return ct_error();
    memset(all, 0, sizeof *all);
    part = ct_dataset_range_new(d, first, count);
    l = part ? ct_loader_new(part, (ct_loader_options){ .batch_size = part->count + !part->count })
             : NULL;
    if (l && ct_loader_begin(l) == CT_OK)
        ct_loader_next(l, all);
    ct_loader_free(l);
    ct_dataset_free(part);
    return ct_error();
}
