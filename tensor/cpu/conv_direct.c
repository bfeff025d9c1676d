/* SPDX-License-Identifier: MIT */
/* conv_direct.c - convolutions in f32 whose result has many channels.
 *
 * A vector holds channels of the result, so the images may be small and have any stride. Some channels
 * of the source are copied with their margins of zeros. A tile of positions by channels of the result
 * then stays in registers. It reads one float for each position and element of the filter, at the sum
 * of an offset of the position and one of the element, so nothing is unfolded:
 *
 *                         channels of the result
 *                  +---------------------------------+
 *      elements k  |  panel of weights: 64 channels   |   (k, width), packed for each piece
 *                  +---------------------------------+
 *      position i  |  sum of source[row[i] +          |   the sums stay in the L2 cache while the
 *      position i+1|  offset[k]] panel[k]             |   chunks of channels of the source pass
 *
 * OUTPUT and INPUT: every sum is one chain in the order of conv.c, so both give the same bits, and work
 * may be cut by the number of threads.
 *
 * WEIGHT is the same product with other roles: the rows of a tile are elements of the filter, and k
 * goes through positions. The panel is dy (positions, channels). The positions of a unit are one chain,
 * and the sums of units are added in order. The shape alone determines units and parts. */
#include "tensor/cpu/conv.h"

#include "tensor/parallel.h"

#include <string.h>

#define DIRECT_POSITIONS 1024     /* about the most positions of a piece */
#define DIRECT_UNIT 512           /* the same for WEIGHT */
#define DIRECT_DEPTH 576          /* about the most elements of the filter at a time */
#define DIRECT_SOURCE (96 * 1024) /* about the most floats of a copy of the source */
#define DIRECT_PANELS 8           /* the most panels of channels of a piece */
#define DIRECT_TAPS 1024          /* conv.c computes filters with more taps, */
#define DIRECT_LEAST 32           /* filters with fewer elements, */
#define DIRECT_CHANNELS 16        /* and results of fewer channels */
#define DIRECT_PARTS 16           /* the most partial sums of WEIGHT */
#define DIRECT_SUMS (512 * 1024)  /* about the most elements of all partial sums */
#define DIRECT_WIDTH 64           /* at least the most channels of a panel */

typedef struct direct_job {
    const cti_conv_job *j;
    const cti_micro *micro;
    int64_t taps;
    int64_t width, panels;  /* the channels of a panel, and the panels of a group */
    int64_t slice, slices;  /* the panels of a piece, and the pieces that have the same positions */
    int64_t together;       /* the images of a piece */
    int64_t length, plane;  /* the floats of a row and of an image in the copy of the source */
    int64_t channel, chunk; /* the floats of a channel there; the channels of a copy */
    int64_t positions;      /* the most positions of a piece */
    int64_t units, parts;   /* WEIGHT: pieces of positions, and partial sums */
    int64_t *offset;        /* (chunk, taps) */
    float *sums;            /* WEIGHT: (parts, w), or w */
    char *room;
    int64_t room_bytes, workers, pieces;
} direct_job;

/* The memory of a worker. */
typedef struct direct_room {
    int64_t *row;                 /* (positions) */
    float *source, *panel, *sums; /* (chunk, channel), (k, width), (panels, rows, width) */
} direct_room;

/* The positions of a piece: blocks of rows and columns of some images. */
typedef struct direct_place {
    int64_t image, images, group;
    int64_t at[2], have[2];
    int64_t positions;
} direct_place;

bool cti_conv_is_direct(const cti_conv_job *j)
{
    const cti_micro *m = cti_micro_of(cti_cpu_path_get());
    int64_t taps = j->axis[0].taps * j->axis[1].taps, padded;

    if (j->c->dtype != CT_F32 || ct_portable() || !m || taps > DIRECT_TAPS ||
        taps * j->from_channels < DIRECT_LEAST)
        return false;
    padded = cti_conv_parts(j->to_channels, m->lanes) * m->lanes;
    return j->to_channels >= DIRECT_CHANNELS && 8 * padded <= 9 * j->to_channels;
}

/* ---- the layout ---- */

static void direct_cut(cti_conv_axis *a, int64_t block)
{
    a->blocks = cti_conv_parts(a->count, block > 1 ? block : 1);
    a->block = cti_conv_parts(a->count, a->blocks);
}

/* Chooses the positions of a piece and the layout of the copy of the source. */
static direct_job direct_new(cti_conv_job *j, int64_t positions)
{
    cti_conv_axis *rows = &j->axis[0], *columns = &j->axis[1];
    direct_job d = { .j = j, .micro = cti_micro_of(cti_cpu_path_get()), .together = 1 };
    int64_t lines;

    d.taps = rows->taps * columns->taps;
    d.width = d.micro->vectors * d.micro->lanes;
    d.panels = cti_conv_parts(j->to_channels, d.width);
    direct_cut(columns, columns->count <= 2 * positions ? columns->count : positions);
    direct_cut(rows, positions / columns->block);
    if (rows->blocks == 1 && columns->blocks == 1) {
        d.together = cti_conv_least(positions / (rows->block * columns->block) + 1, j->c->images);
        d.together = cti_conv_parts(j->c->images, cti_conv_parts(j->c->images, d.together));
    }
    d.positions = d.together * rows->block * columns->block;
    d.length = (columns->block - 1) * columns->from_step + columns->high + 1;
    d.plane = ((rows->block - 1) * rows->from_step + rows->high + 1) * d.length;
    /* an odd number of cache lines, so that channels do not evict each other */
    lines = cti_conv_parts(d.together * d.plane, 16) | 1;
    d.channel = lines * 16;
    d.chunk = cti_conv_least(DIRECT_DEPTH / d.taps, DIRECT_SOURCE / d.channel);
    d.chunk = cti_conv_least(d.chunk > 1 ? d.chunk : 1, j->from_channels);
    d.chunk = cti_conv_parts(j->from_channels, cti_conv_parts(j->from_channels, d.chunk));
    return d;
}

/* Cuts the panels of a group, if `pieces` are too few for the threads or too large. */
static void direct_slice(direct_job *d, int64_t pieces)
{
    int64_t threads = ct_num_threads(), slices = cti_conv_parts(d->panels, DIRECT_PANELS);

    if (threads > 1 && pieces * slices < 4 * threads)
        slices = cti_conv_least(d->panels, cti_conv_parts(4 * threads, pieces));
    d->slice = cti_conv_parts(d->panels, slices);
    d->slices = cti_conv_parts(d->panels, d->slice);
    d->pieces = pieces * d->slices;
}

static void direct_offsets(const direct_job *d)
{
    const cti_conv_axis *rows = &d->j->axis[0], *columns = &d->j->axis[1];
    int64_t *offset = d->offset, c, s, t;

    for (c = 0; c < d->chunk; c++)
        for (s = 0; s < rows->taps; s++)
            for (t = 0; t < columns->taps; t++)
                *offset++ = c * d->channel + rows->distance[s] * d->length + columns->distance[t];
}

/* Allocates the offsets, `extra` floats, and for each worker a panel and sums of so many floats. */
static ct_storage *direct_memory(direct_job *d, int64_t extra, int64_t panel, int64_t sums)
{
    int64_t head = (d->chunk * d->taps * (int64_t)sizeof(int64_t) + 63) / 64 * 64;
    ct_storage *s;

    d->room_bytes =
        cti_conv_line(d->chunk * d->channel) + cti_conv_line(panel) + cti_conv_line(sums);
    d->room_bytes = d->room_bytes * (int64_t)sizeof(float) +
                    (d->positions * (int64_t)sizeof(int64_t) + 63) / 64 * 64;
    d->workers = cti_conv_least(d->pieces, ct_num_threads());
    extra = cti_conv_line(extra) * (int64_t)sizeof(float);
    s = cti_storage_try(CT_CPU, (size_t)(head + extra + d->workers * d->room_bytes));
    if (!s)
        return NULL;
    d->offset = s->data;
    d->sums = (float *)(void *)((char *)s->data + head);
    d->room = (char *)s->data + head + extra;
    direct_offsets(d);
    return s;
}

static direct_room direct_room_of(const direct_job *d, int64_t worker, int64_t panel)
{
    char *at = d->room + worker * d->room_bytes;
    direct_room r = { .row = (int64_t *)(void *)at };

    at += (d->positions * (int64_t)sizeof(int64_t) + 63) / 64 * 64;
    r.source = (float *)(void *)at;
    r.panel = r.source + cti_conv_line(d->chunk * d->channel);
    r.sums = r.panel + cti_conv_line(panel);
    return r;
}

/* ---- the positions of a piece and their copy of the source ---- */

static direct_place direct_place_at(const direct_job *d, int64_t number)
{
    direct_place p = { 0 };
    int i;

    for (i = 1; i >= 0; i--) {
        const cti_conv_axis *a = &d->j->axis[i];

        p.at[i] = number % a->blocks * a->block;
        p.have[i] = cti_conv_least(a->block, a->count - p.at[i]);
        number /= a->blocks;
    }
    p.image = number * d->together;
    p.images = cti_conv_least(d->together, d->j->c->images - p.image);
    p.positions = p.images * p.have[0] * p.have[1];
    return p;
}

static void direct_rows(const direct_job *d, const direct_place *p, int64_t *row)
{
    const cti_conv_axis *rows = &d->j->axis[0], *columns = &d->j->axis[1];
    int64_t slot, y, x;

    for (slot = 0; slot < p->images; slot++)
        for (y = 0; y < p->have[0]; y++)
            for (x = 0; x < p->have[1]; x++)
                *row++ = slot * d->plane + y * rows->from_step * d->length + x * columns->from_step;
}

/* The part of an axis of the copy that is inside of the source: from *first up to *end. Returns the
 * element of the source at the start of the copy, which may be negative. */
static int64_t direct_inside(const cti_conv_axis *a, int64_t at, int64_t have, int64_t *first,
                             int64_t *end)
{
    int64_t start = at * a->from_step + a->low, length = (have - 1) * a->from_step + a->high + 1;

    *first = start < 0 ? -start : 0;
    *end = cti_conv_least(length, a->from_size - start);
    return start;
}

/* Copies `channels` channels of the source, from channel c of the group on. */
static void direct_load(const direct_job *d, const direct_place *p, int64_t c, int64_t channels,
                        float *to)
{
    const cti_conv_job *j = d->j;
    int64_t wide = j->axis[1].from_size, area = j->axis[0].from_size * wide;
    int64_t all = j->c->groups * j->from_channels, y, y_end, x, x_end, i, slot;
    int64_t top = direct_inside(&j->axis[0], p->at[0], p->have[0], &y, &y_end);
    int64_t left = direct_inside(&j->axis[1], p->at[1], p->have[1], &x, &x_end);
    const float *from = (const float *)(const void *)j->from + (top + y) * wide + left + x;

    if (y >= y_end || x >= x_end)
        return;
    for (i = 0; i < channels; i++)
        for (slot = 0; slot < p->images; slot++)
            d->micro->copy_rows(
                y_end - y, x_end - x,
                from + ((p->image + slot) * all + p->group * j->from_channels + c + i) * area, wide,
                to + i * d->channel + slot * d->plane + y * d->length + x, d->length);
}

/* The channels of the result in a panel. */
static int64_t direct_channels(const direct_job *d, int64_t panel)
{
    return cti_conv_least(d->width, d->j->to_channels - panel * d->width);
}

/* Computes all rows of a tile. The fields of the first row are given. */
static void direct_multiply(const direct_job *d, cti_conv_tile t, int64_t rows, int64_t channels)
{
    int vectors = (int)cti_conv_parts(channels, d->micro->lanes);
    int most = d->micro->rows[vectors - 1];

    for (; rows > 0; rows -= most, t.row += most, t.c += most * t.ldc)
        d->micro->conv(&t, (int)cti_conv_least(most, rows), vectors);
}

/* ---- OUTPUT and INPUT ---- */

/* Packs the weights of a panel, for `channels` channels of the source from channel c on. */
static void direct_pack(const direct_job *d, int64_t group, int64_t panel, int64_t c,
                        int64_t channels, float *out)
{
    const cti_conv_job *j = d->j;
    const cti_conv_axis *rows = &j->axis[0], *columns = &j->axis[1];
    int64_t first = panel * d->width, many = direct_channels(d, panel), lanes = d->micro->lanes;
    int64_t taps = j->c->kernel[0] * j->c->kernel[1], padded, i, s, t, o;
    const float *w = j->c->w;

    if (j->c->part == CTI_CONV_OUTPUT) {
        w += ((group * j->c->out + first) * j->c->in + c) * taps;
        for (o = 0; o < many; o += lanes)
            d->micro->pack(channels * taps, cti_conv_least(lanes, many - o),
                           w + o * j->c->in * taps, j->c->in * taps, d->width, out + o);
        return;
    }
    padded = cti_conv_parts(many, lanes) * lanes;
    for (i = 0; i < channels; i++)
        for (s = 0; s < rows->taps; s++)
            for (t = 0; t < columns->taps; t++, out += d->width) {
                const float *from = w + ((group * j->c->out + c + i) * j->c->in + first) * taps +
                                    rows->tap[s] * j->c->kernel[1] + columns->tap[t];

                for (o = 0; o < many; o++)
                    out[o] = from[o * taps];
                for (; o < padded; o++)
                    out[o] = 0;
            }
}

/* Writes the results of a panel; sums is (positions, width). aside has room for a row of all its
 * channels. */
static void direct_store(const direct_job *d, const direct_place *p, int64_t panel,
                         const float *sums, float *aside)
{
    const cti_conv_job *j = d->j;
    const cti_conv_axis *rows = &j->axis[0], *columns = &j->axis[1];
    int64_t area = rows->to_size * columns->to_size, channels = direct_channels(d, panel);
    int64_t n = p->have[1], tall = p->have[0], slot, y, o;

    if (rows->to_step == 1 && columns->to_step == 1 && n == columns->to_size) {
        n *= tall; /* the rows are neighbours */
        tall = 1;
    }
    for (slot = 0; slot < p->images; slot++)
        for (y = 0; y < tall; y++, sums += n * d->width) {
            int64_t plane =
                ((p->image + slot) * j->c->groups + p->group) * j->to_channels + panel * d->width;
            float *to = (float *)(void *)j->to + plane * area +
                        (rows->first + (p->at[0] + y) * rows->to_step) * columns->to_size +
                        columns->first + p->at[1] * columns->to_step;

            if (columns->to_step == 1) {
                d->micro->transpose(channels, n, sums, d->width, area, to);
                continue;
            }
            d->micro->transpose(channels, n, sums, d->width, n, aside);
            for (o = 0; o < channels; o++)
                j->loops->conv_store(n, aside + o * n, 1, NULL, to + o * area, columns->to_step);
        }
}

static void direct_piece(const direct_job *d, int64_t number, const direct_room *r)
{
    const cti_conv_job *j = d->j;
    int64_t first = number % d->slices * d->slice, group = number / d->slices % j->c->groups;
    int64_t end = cti_conv_least(first + d->slice, d->panels), c, panel;
    direct_place p = direct_place_at(d, number / d->slices / j->c->groups);
    float bias[DIRECT_WIDTH] = { 0 };
    cti_conv_tile t = { .a = r->source,
                        .b = r->panel,
                        .ldb = d->width,
                        .ldc = d->width,
                        .row = r->row,
                        .offset = d->offset };

    p.group = group;
    direct_rows(d, &p, r->row);
    memset(r->source, 0, (size_t)(d->chunk * d->channel) * sizeof(float));
    for (c = 0; c < j->from_channels; c += d->chunk) {
        int64_t channels = cti_conv_least(d->chunk, j->from_channels - c);
        bool last = c + channels == j->from_channels;

        direct_load(d, &p, c, channels, r->source);
        for (panel = first; panel < end; panel++) {
            int64_t many = direct_channels(d, panel);

            direct_pack(d, group, panel, c, channels, r->panel);
            t.c = r->sums + (panel - first) * d->positions * d->width;
            t.k = channels * d->taps;
            t.start = c ? CTI_CONV_GO_ON : CTI_CONV_SET;
            t.bias = last && j->bias ? bias : NULL;
            if (t.bias)
                memcpy(bias, j->bias + (group * j->to_channels + panel * d->width) * j->size,
                       (size_t)(many * j->size));
            direct_multiply(d, t, p.positions, many);
            if (last)
                direct_store(d, &p, panel, t.c, r->panel);
        }
    }
}

/* The floats of a worker's panel. */
static int64_t direct_panel(const direct_job *d)
{
    int64_t row = d->j->axis[1].block, depth = d->chunk * d->taps;

    return (depth > row ? depth : row) * d->width; /* also the row `aside` of direct_store */
}

static void direct_worker(void *context, int64_t worker)
{
    const direct_job *d = context;
    direct_room r = direct_room_of(d, worker, direct_panel(d));
    int64_t number;

    for (number = worker; number < d->pieces; number += d->workers)
        direct_piece(d, number, &r);
}

ct_status cti_conv_direct(cti_conv_job *j)
{
    direct_job d = direct_new(j, DIRECT_POSITIONS);
    ct_storage *s;

    direct_slice(&d, cti_conv_parts(j->c->images, d.together) * j->c->groups * j->axis[0].blocks *
                         j->axis[1].blocks);
    s = direct_memory(&d, 0, direct_panel(&d), d.slice * d.positions * d.width);
    if (!s)
        return CT_ERR_MEMORY;
    cti_parallel(d.workers, direct_worker, &d);
    cti_storage_unref(s);
    return CT_OK;
}

/* ---- WEIGHT ---- */

/* Packs dy (positions, channels of a panel). */
static void direct_pack_result(const direct_job *d, const direct_place *p, int64_t panel,
                               float *out)
{
    const cti_conv *c = d->j->c;
    int64_t area = c->result[0] * c->result[1], channels = direct_channels(d, panel);
    int64_t n = p->have[1], tall = p->have[0], lanes = d->micro->lanes, slot, y, o;

    if (n == c->result[1]) {
        n *= tall; /* the rows are neighbours */
        tall = 1;
    }
    for (slot = 0; slot < p->images; slot++)
        for (y = 0; y < tall; y++, out += n * d->width) {
            int64_t plane = ((p->image + slot) * c->groups + p->group) * c->out + panel * d->width;
            const float *from =
                (const float *)c->y + plane * area + (p->at[0] + y) * c->result[1] + p->at[1];

            for (o = 0; o < channels; o += lanes)
                d->micro->pack(n, cti_conv_least(lanes, channels - o), from + o * area, area,
                               d->width, out + o);
        }
}

/* Adds the products of all units of a part: for some panels and a chunk of channels of x. */
static void direct_sum(const direct_job *d, int64_t number, const direct_room *r)
{
    const cti_conv_job *j = d->j;
    int64_t chunks = cti_conv_parts(j->from_channels, d->chunk);
    int64_t first = number % d->slices * d->slice, c = number / d->slices % chunks * d->chunk;
    int64_t group = number / d->slices / chunks % j->c->groups;
    int64_t part = number / d->slices / chunks / j->c->groups;
    int64_t begin = part * d->units / d->parts, end = (part + 1) * d->units / d->parts, unit, panel;
    int64_t channels = cti_conv_least(d->chunk, j->from_channels - c), rows = channels * d->taps;
    float *to = d->sums + ((part * j->c->groups + group) * j->c->out * j->c->in + c) * d->taps;
    cti_conv_tile t = { .a = r->source,
                        .b = r->panel,
                        .ldb = d->width,
                        .ldc = d->width,
                        .row = d->offset,
                        .offset = r->row };

    for (unit = begin; unit < end; unit++) {
        direct_place p = direct_place_at(d, unit);

        p.group = group;
        direct_rows(d, &p, r->row);
        memset(r->source, 0, (size_t)(channels * d->channel) * sizeof(float));
        direct_load(d, &p, c, channels, r->source);
        t.k = p.positions;
        t.start = unit > begin ? CTI_CONV_ADD : CTI_CONV_SET;
        for (panel = first; panel < cti_conv_least(first + d->slice, d->panels); panel++) {
            t.c = r->sums + (end - begin > 1 ? panel - first : 0) * rows * d->width;
            direct_pack_result(d, &p, panel, r->panel);
            direct_multiply(d, t, rows, direct_channels(d, panel));
            if (unit == end - 1)
                d->micro->transpose(direct_channels(d, panel), rows, t.c, d->width,
                                    j->c->in * d->taps, to + panel * d->width * j->c->in * d->taps);
        }
    }
}

static void direct_sum_worker(void *context, int64_t worker)
{
    const direct_job *d = context;
    direct_room r = direct_room_of(d, worker, d->positions * d->width);
    int64_t number;

    for (number = worker; number < d->pieces; number += d->workers)
        direct_sum(d, number, &r);
}

ct_status cti_conv_direct_weight(cti_conv_job *j)
{
    direct_job d = direct_new(j, DIRECT_UNIT);
    int64_t all = j->c->groups * j->c->out * j->c->in * d.taps, part;
    ct_storage *s;

    d.units = cti_conv_parts(j->c->images, d.together) * j->axis[0].blocks * j->axis[1].blocks;
    d.parts = cti_conv_least(cti_conv_least(d.units, DIRECT_PARTS), DIRECT_SUMS / all + 1);
    direct_slice(&d, d.parts * j->c->groups * cti_conv_parts(j->from_channels, d.chunk));
    s = direct_memory(&d, d.parts > 1 ? d.parts * all : 0, d.positions * d.width,
                      d.slice * d.chunk * d.taps * d.width);
    if (!s)
        return CT_ERR_MEMORY;
    if (d.parts == 1)
        d.sums = j->c->w;
    cti_parallel(d.workers, direct_sum_worker, &d);
    if (d.parts > 1)
        memcpy(j->c->w, d.sums, (size_t)all * sizeof(float));
    for (part = 1; part < d.parts; part++)
        j->loops->add_row(all, j->c->w, d.sums + part * all);
    cti_storage_unref(s);
    return CT_OK;
}
