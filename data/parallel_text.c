/* SPDX-License-Identifier: MIT */
/* parallel_text.c - a dataset of pairs of lines of two texts, as sequences of ids. */
#include "tensor/internal.h"

#include <cotangent/data/dataset_files.h>

#include "data/internal.h"
#include "tensor/byte_order.h"
#include "tensor/hooks.h"
#include "tensor/text.h"

#include <string.h>

static const char *const parallel_making = "ct_dataset_parallel_new";

/* One text: the ids of line i are from[i] to from[i + 1] - 1. */
typedef struct parallel_side {
    int32_t *ids;
    size_t count, room;
    int64_t *from;
    int64_t lines;
    int32_t bos, eos; /* bos is -1 if lines do not begin with it */
} parallel_side;

typedef struct parallel {
    parallel_side side[2];
} parallel;

static ct_status parallel_get(void *self, int64_t i, void *const *field)
{
    const parallel *p = self;

    for (int k = 0; k < 2; k++) {
        const parallel_side *s = &p->side[k];

        memcpy(field[k], s->ids + s->from[i], (size_t)(s->from[i + 1] - s->from[i]) * 4);
    }
    return CT_OK;
}

static int64_t parallel_length(void *self, int64_t i, int field)
{
    const parallel *p = self;

    return p->side[field].from[i + 1] - p->side[field].from[i];
}

static ct_status parallel_digest(void *self, char hex[65])
{
    const parallel *p = self;
    char each[4][65];

    for (int k = 0; k < 2; k++) {
        const parallel_side *s = &p->side[k];

        cti_sha256_elements(s->ids, sizeof *s->ids, s->count, each[2 * k]);
        cti_sha256_elements(s->from, sizeof *s->from, (size_t)s->lines + 1, each[2 * k + 1]);
    }
    ct_sha256_hex(each, sizeof each, hex);
    return CT_OK;
}

static void parallel_free(void *self)
{
    parallel *p = self;

    for (int k = 0; k < 2; k++) {
        cti_release(p->side[k].ids);
        cti_release(p->side[k].from);
    }
    cti_release(p);
}

static const ct_dataset_table parallel_table = { .name = "parallel text",
                                                 .get = parallel_get,
                                                 .length = parallel_length,
                                                 .digest = parallel_digest,
                                                 .free = parallel_free };

/* ---- encoding ---- */

/* Returns the id of a token that v must have; -1 with an error. */
static int parallel_token(const ct_vocab *v, const char *side, const char *token)
{
    int id = ct_vocab_id(v, token);

    if (ct_vocab_size(v) && id >= 0 && strcmp(ct_vocab_token(v, id), token) == 0)
        return id;
    ct_raise(CT_ERR_ARGUMENT, parallel_making, "the vocabulary of %s has no %s", side, token);
    return -1;
}

static int64_t parallel_count_lines(const char *text, size_t size)
{
    int64_t lines = size && text[size - 1] != '\n';

    for (size_t i = 0; i < size; i++)
        lines += text[i] == '\n';
    return lines;
}

static bool parallel_add(parallel_side *s, int32_t id)
{
    if (id >= 0 && !cti_grow(parallel_making, (void **)&s->ids, &s->room, s->count, sizeof *s->ids))
        return false;
    if (id >= 0)
        s->ids[s->count++] = id;
    return true;
}

/* Adds a line of size bytes; ids has room for its tokens. */
static bool parallel_add_line(parallel_side *s, const ct_vocab *v, const char *line, size_t size,
                              int32_t *ids, int64_t most)
{
    int64_t n = ct_vocab_encode(v, line, size, ids, NULL);
    bool good = ct_ok() && parallel_add(s, s->bos);

    n = most && n > most ? most : n;
    for (int64_t i = 0; i < n && good; i++)
        good = parallel_add(s, ids[i]);
    return good && parallel_add(s, s->eos);
}

/* Adds all lines of a text. */
static bool parallel_encode(parallel_side *s, const ct_text *t, const ct_vocab *v, int64_t most)
{
    const char *text = ct_text_bytes(t), *end = text + ct_text_size(t);
    int32_t *ids = cti_calloc(ct_text_size(t) + 1, sizeof *ids);
    bool good = ids != NULL;

    s->lines = parallel_count_lines(text, ct_text_size(t));
    s->from = cti_calloc((size_t)s->lines + 1, sizeof *s->from);
    if (!ids || !s->from)
        cti_out_of_memory(parallel_making, ids ? ((size_t)s->lines + 1) * sizeof *s->from
                                               : (ct_text_size(t) + 1) * sizeof *ids);
    for (int64_t i = 0; i < s->lines && good && s->from; i++) {
        const char *stop = memchr(text, '\n', (size_t)(end - text));
        size_t size;

        stop = stop ? stop : end;
        size = (size_t)(stop - text);
        size -= size && text[size - 1] == '\r';
        good = parallel_add_line(s, v, text, size, ids, most);
        s->from[i + 1] = (int64_t)s->count;
        text = stop + 1;
    }
    cti_release(ids);
    return good && s->from;
}

static bool parallel_make(parallel *p, const ct_text *const text[2],
                          const ct_dataset_parallel_options *o, ct_field fields[2])
{
    const ct_vocab *vocab[2] = { o->src, o->tgt };

    for (int k = 0; k < 2; k++) {
        int pad = parallel_token(vocab[k], fields[k].name, "<pad>");

        p->side[k].bos = k && ct_ok() ? parallel_token(vocab[k], fields[k].name, "<bos>") : -1;
        p->side[k].eos = ct_ok() ? parallel_token(vocab[k], fields[k].name, "<eos>") : -1;
        if (!ct_ok())
            return false;
        fields[k].pad = pad;
    }
    for (int k = 0; k < 2; k++)
        if (!parallel_encode(&p->side[k], text[k], vocab[k], o->max_tokens))
            return false;
    if (p->side[0].lines == p->side[1].lines)
        return true;
    ct_raise(CT_ERR_SHAPE, parallel_making, "src has %lld lines and tgt has %lld",
             (long long)p->side[0].lines, (long long)p->side[1].lines);
    return false;
}

ct_dataset *ct_dataset_parallel_new(const ct_text *src, const ct_text *tgt,
                                    ct_dataset_parallel_options o)
{
    ct_field fields[2] = { { "src", CT_I32, CT_SHAPE_INIT(-1), 0 },
                           { "tgt", CT_I32, CT_SHAPE_INIT(-1), 0 } };
    parallel *p;

    if (!cti_given(parallel_making, "src", src) || !cti_given(parallel_making, "tgt", tgt) ||
        !cti_given(parallel_making, "options.src", o.src) ||
        !cti_given(parallel_making, "options.tgt", o.tgt) ||
        !cti_at_least(parallel_making, "max_tokens", o.max_tokens, 0))
        return NULL;
    p = ct_ok() ? cti_calloc(1, sizeof *p) : NULL;
    if (!p) {
        if (ct_ok())
            cti_out_of_memory(parallel_making, sizeof *p);
        return NULL;
    }
    if (!parallel_make(p, (const ct_text *const[2]){ src, tgt }, &o, fields)) {
        parallel_free(p);
        return NULL;
    }
    return cti_dataset_new(parallel_making, &parallel_table, p, p->side[0].lines, 2, fields);
}
