/* SPDX-License-Identifier: MIT */
/* spans.c - datasets whose samples are in memory: rows of tensors, and windows over rows. A field
 * of sample i is one piece of memory at a fixed distance from that of sample i - 1. So overlapping
 * windows need no copy. */
#include "tensor/internal.h"

#include <cotangent/data/text.h>

#include "data/internal.h"
#include "tensor/byte_order.h"
#include "tensor/hooks.h"
#include "tensor/text.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

static ct_status spans_get(void *self, int64_t i, void *const *field)
{
    const cti_spans *s = self;

    for (int k = 0; k < s->count; k++)
        if (s->span[k].row_bytes)
            memcpy(field[k], s->span[k].from + (size_t)i * s->span[k].unit, s->span[k].row_bytes);
    return CT_OK;
}

/* Computes the SHA-256 of the digests of the fields. */
static ct_status spans_digest(void *self, char hex[65])
{
    const cti_spans *s = self;
    char each[CT_MAX_FIELDS][65];

    for (int k = 0; k < s->count; k++) {
        const cti_span *p = &s->span[k];
        size_t bytes = s->samples ? (size_t)(s->samples - 1) * p->unit + p->row_bytes : 0;

        cti_sha256_elements(p->from, s->element[k], bytes / s->element[k], each[k]);
    }
    ct_sha256_hex(each, (size_t)s->count * sizeof each[0], hex);
    return CT_OK;
}

void cti_spans_drop(const cti_spans *s)
{
    for (int k = 0; k < s->count; k++) {
        cti_release(s->owned[k]);
        ct_free(s->kept[k]);
        if (s->mapped[k])
            munmap(s->mapped[k], s->mapped_bytes[k]);
    }
    ct_dataset_free(s->base);
}

static void spans_free(void *self)
{
    cti_spans_drop(self);
    cti_release(self);
}

static const ct_dataset_table spans_table = {
    .name = "tensors", .get = spans_get, .digest = spans_digest, .free = spans_free
};

ct_dataset *cti_spans_new(const char *function, const cti_spans *draft, const ct_field *fields)
{
    cti_spans *s = cti_calloc(1, sizeof *s);
    ct_dataset *d;

    if (!s) {
        cti_out_of_memory(function, sizeof *s);
        cti_spans_drop(draft);
        return NULL;
    }
    *s = *draft;
    for (int k = 0; k < s->count; k++)
        s->element[k] = ct_dtype_size(fields[k].dtype);
    d = cti_dataset_new(function, &spans_table, s, s->samples, s->count, fields);
    if (d)
        d->spans = s;
    return d;
}

/* ---- rows of tensors ---- */

static bool tensors_check(const char *function, int count, const char *const *names,
                          ct_tensor *const *tensors)
{
    if (count < 1 || count > CT_MAX_FIELDS) {
        ct_raise(CT_ERR_ARGUMENT, function, "count is %d; it must be 1 to %d", count,
                 CT_MAX_FIELDS);
        return false;
    }
    if (!cti_given(function, "names", names) ||
        !cti_usable_all(function, "tensors", count, tensors))
        return false;
    for (int k = 0; k < count; k++)
        if (ct_rank(tensors[k]) < 1 || ct_size(tensors[k], 0) != ct_size(tensors[0], 0)) {
            ct_raise(CT_ERR_SHAPE, function,
                     "tensors[0] %s and tensors[%d] %s must be (N, ...) with the same N",
                     cti_describe(tensors[0]).s, k, cti_describe(tensors[k]).s);
            return false;
        }
    return true;
}

/* Sets field k of draft to the rows of t; false with an error. */
static bool tensors_take(const char *function, cti_spans *draft, int k, ct_tensor *t)
{
    size_t bytes = (size_t)ct_numel(t) * ct_dtype_size(t->dtype);

    if (t->device == CT_CPU && t->contiguous) {
        draft->kept[k] = ct_keep(t);
        if (!draft->kept[k])
            return false;
        draft->span[k].from = cti_data(draft->kept[k]);
    } else {
        draft->owned[k] = cti_calloc(1, bytes ? bytes : 1);
        if (!draft->owned[k])
            cti_out_of_memory(function, bytes);
        if (!draft->owned[k] || ct_to_host(t, draft->owned[k], bytes) != CT_OK)
            return false;
        draft->span[k].from = draft->owned[k];
    }
    draft->span[k].unit = draft->samples ? bytes / (size_t)draft->samples : 0;
    draft->span[k].row_bytes = draft->span[k].unit;
    return true;
}

ct_dataset *ct_dataset_tensors_new(int count, const char *const *names, ct_tensor *const *tensors)
{
    static const char *const me = "ct_dataset_tensors_new";
    ct_field fields[CT_MAX_FIELDS];
    cti_spans draft = { .count = count };
    bool good;

    if (!tensors_check(me, count, names, tensors))
        return NULL;
    draft.samples = ct_size(tensors[0], 0);
    good = true;
    for (int k = 0; k < count && good; k++) {
        ct_shape all = tensors[k]->shape;

        fields[k] = (ct_field){ .name = names[k],
                                .dtype = tensors[k]->dtype,
                                .shape = ct_shape_from_sizes(all.rank - 1, all.dim + 1) };
        good = tensors_take(me, &draft, k, tensors[k]);
    }
    if (good)
        return cti_spans_new(me, &draft, fields);
    cti_spans_drop(&draft);
    return NULL;
}

/* ---- windows ---- */

bool cti_windows_check(const char *function, ct_dataset_windows_options *o, int64_t n)
{
    o->targets = o->targets ? o->targets : 1;
    o->ahead = o->ahead ? o->ahead : 1;
    o->stride = o->stride ? o->stride : 1;
    if (!cti_at_least(function, "steps", o->steps, 1) ||
        !cti_at_least(function, "targets", o->targets, 1) ||
        !cti_at_least(function, "ahead", o->ahead, 1) ||
        !cti_at_least(function, "stride", o->stride, 1))
        return false;
    if (o->targets - o->ahead > o->steps) {
        ct_raise(CT_ERR_ARGUMENT, function,
                 "targets is %lld; it must be at most steps + ahead, %lld + %lld",
                 (long long)o->targets, (long long)o->steps, (long long)o->ahead);
        return false;
    }
    if (o->steps > n || o->ahead > n - o->steps) {
        ct_raise(CT_ERR_SHAPE, function,
                 "%lld values are too few for a window of %lld and %lld ahead", (long long)n,
                 (long long)o->steps, (long long)o->ahead);
        return false;
    }
    return true;
}

/* Windows over a dataset that is not in memory: get reads all samples of a window. */
typedef struct windows {
    ct_dataset *base;
    ct_dataset_windows_options o; /* the names in it are not used */
    int field[2];                 /* the fields of base for x and y */
    size_t bytes;                 /* the size of a sample of base, with each field at a multiple of
                                   * 16 */
} windows;

/* Gets sample i of base and copies its x and y to to[0] and to[1], unless these are NULL. */
static bool windows_copy(const windows *w, int64_t i, char *sample, char *const to[2])
{
    void *room[CT_MAX_FIELDS];
    size_t at = 0;

    for (int k = 0; k < w->base->field_count; k++) {
        room[k] = sample + at;
        at += (w->base->bytes[k] + 15) / 16 * 16;
    }
    if (!cti_dataset_get(w->base, i, room))
        return false;
    for (int side = 0; side < 2; side++)
        if (to[side])
            memcpy(to[side], room[w->field[side]], w->base->bytes[w->field[side]]);
    return true;
}

static ct_status windows_get(void *self, int64_t i, void *const *field)
{
    const windows *w = self;
    int64_t first = i * w->o.stride, y = w->o.steps + w->o.ahead - w->o.targets;
    int64_t end = w->o.steps + w->o.ahead;
    char *sample = cti_calloc(1, w->bytes + 1);
    bool good = sample != NULL;

    if (!sample)
        cti_out_of_memory(cti_dataset_function(), w->bytes + 1);
    for (int64_t s = 0; s < end && good; s++) {
        char *to[2] = { NULL, NULL };

        if (s < w->o.steps)
            to[0] = (char *)field[0] + (size_t)s * w->base->bytes[w->field[0]];
        if (s >= y)
            to[1] = (char *)field[1] + (size_t)(s - y) * w->base->bytes[w->field[1]];
        if (to[0] || to[1])
            good = windows_copy(w, first + s, sample, to);
    }
    cti_release(sample);
    return good ? CT_OK : ct_error();
}

static ct_status windows_digest(void *self, char hex[65])
{
    const windows *w = self;
    char text[256], base[65];

    if (!cti_dataset_digest(w->base, base))
        return ct_error();
    snprintf(text, sizeof text, "%s %lld %lld %lld %lld %d %d", base, (long long)w->o.steps,
             (long long)w->o.targets, (long long)w->o.ahead, (long long)w->o.stride, w->field[0],
             w->field[1]);
    if (base[0])
        ct_sha256_hex(text, strlen(text), hex);
    return CT_OK;
}

static void windows_free(void *self)
{
    windows *w = self;

    ct_dataset_free(w->base);
    cti_release(w);
}

static const ct_dataset_table windows_table = {
    .name = "windows", .get = windows_get, .digest = windows_digest, .free = windows_free
};

/* Finds the fields that x and y name; false with an error. */
static bool windows_fields(const char *function, const ct_dataset *d,
                           const ct_dataset_windows_options *o, int field[2])
{
    const char *names[2] = { o->x ? o->x : d->field[0].name, NULL };

    names[1] = o->y ? o->y : names[0];
    for (int side = 0; side < 2; side++) {
        field[side] = ct_dataset_field(d, names[side]);
        if (field[side] < 0) {
            ct_raise(CT_ERR_ARGUMENT, function, "%s is %s; the dataset has no field of this name",
                     side ? "y" : "x", cti_quote(names[side]).s);
            return false;
        }
        if (cti_field_is_sequence(&d->field[field[side]])) {
            ct_raise(CT_ERR_ARGUMENT, function, "%s is %s; it must not be a sequence",
                     side ? "y" : "x", cti_quote(names[side]).s);
            return false;
        }
    }
    return true;
}

/* Makes one field of the windows, (length, ...), from a field of d; false with an error. */
static bool windows_field(const char *function, const ct_dataset *d, int from, int64_t length,
                          ct_field *f)
{
    const ct_shape *shape = &d->field[from].shape;

    f->dtype = d->field[from].dtype;
    f->shape = (ct_shape){ .rank = shape->rank + 1 };
    if (f->shape.rank > CT_MAX_RANK - 1) {
        ct_raise(CT_ERR_SHAPE, function, "windows of field %s have %d axes; the most is %d",
                 d->name[from], f->shape.rank, CT_MAX_RANK - 1);
        return false;
    }
    f->shape.dim[0] = length;
    memcpy(f->shape.dim + 1, shape->dim, (size_t)shape->rank * sizeof shape->dim[0]);
    return cti_shape_check(function, &f->shape, f->dtype) >= 0;
}

/* If the rows are in memory without gaps between them, windows over them are spans too. */
static bool windows_span(const cti_spans *in, const windows *w, int side, cti_span *out)
{
    const cti_span *p = &in->span[w->field[side]];
    int64_t start = side ? w->o.steps + w->o.ahead - w->o.targets : 0;

    *out = (cti_span){ p->from + (size_t)start * p->unit, (size_t)w->o.stride * p->unit,
                       (size_t)(side ? w->o.targets : w->o.steps) * p->row_bytes };
    return p->unit == p->row_bytes;
}

static ct_dataset *windows_make(const char *function, const windows *draft, int64_t count,
                                const ct_field *fields)
{
    const cti_spans *in = draft->base->spans;
    cti_spans spans = { .count = 2, .samples = count };
    windows *w;

    if (in && windows_span(in, draft, 0, &spans.span[0]) &&
        windows_span(in, draft, 1, &spans.span[1])) {
        spans.base = cti_dataset_ref(draft->base);
        return cti_spans_new(function, &spans, fields);
    }
    w = cti_calloc(1, sizeof *w);
    if (!w) {
        cti_out_of_memory(function, sizeof *w);
        return NULL;
    }
    *w = *draft;
    for (int k = 0; k < w->base->field_count; k++)
        w->bytes += (w->base->bytes[k] + 15) / 16 * 16;
    cti_dataset_ref(w->base);
    return cti_dataset_new(function, &windows_table, w, count, 2, fields);
}

ct_dataset *ct_dataset_windows_new(ct_dataset *d, ct_dataset_windows_options o)
{
    static const char *const me = "ct_dataset_windows_new";
    ct_field fields[2] = { { .name = "x" }, { .name = "y" } };
    windows draft = { .base = d };

    if (!cti_given(me, "d", d) || !cti_windows_check(me, &o, d->count) ||
        !windows_fields(me, d, &o, draft.field))
        return NULL;
    for (int k = 0; k < d->field_count; k++)
        if (cti_field_is_sequence(&d->field[k])) {
            ct_raise(CT_ERR_ARGUMENT, me,
                     "field %s of the dataset is a sequence; windows need a fixed shape",
                     d->name[k]);
            return NULL;
        }
    if (!windows_field(me, d, draft.field[0], o.steps, &fields[0]) ||
        !windows_field(me, d, draft.field[1], o.targets, &fields[1]))
        return NULL;
    draft.o = o;
    return windows_make(me, &draft, (d->count - o.steps - o.ahead) / o.stride + 1, fields);
}
