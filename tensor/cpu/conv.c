/* SPDX-License-Identifier: MIT */
/* conv.c - convolutions.
 *
 * Each product is a correlation: result position q of an axis is the sum over the filter's taps t
 * of w[t] times the source's element q step + distance(t), or 0 outside of it.
 *     OUTPUT: y from x; step is the stride, distance(t) = t dilation - padding
 *     INPUT:  x from y; elements of x whose positions have the same remainder by the stride form a
 *             phase. In each, step is 1, and the taps are those of which y has positions:
 *             (position + padding - t dilation) must be a multiple of the stride.
 * A piece of work copies the part of the source that it needs, with margins of zeros, to a buffer
 * of its thread. In the buffer, elements whose positions have the same remainder by step are
 * neighbours (a plane for each remainder), so that consecutive results read consecutive elements:
 *
 *     step 2, filter of 3:   x0 x1 x2 x3 x4 x5 ...   becomes   x0 x2 x4 ... | x1 x3 x5 ...
 *
 * The results of a piece are numbered j = 0, 1, ... along the rows of a plane, which are longer
 * than the rows of the result. Result j then reads element offset[k] + j for each element k of the
 * filter, so no unfolded copy is needed. Results at positions beyond the end of a result row are
 * computed and dropped.
 *
 * WEIGHT multiplies rows of y by the same reads. The rows of y have the same layout, with zeros
 * at those positions. Only the shape determines the pieces of work. The number of threads does
 * not change the pieces. */
#include "tensor/cpu/conv.h"

#include "tensor/parallel.h"

#include <string.h>

#define POSITIONS 1024 /* the approximate number of results in a piece */
#define CONV_DEPTH                                                                                 \
    192 /* elements of the filter at a time, so that the source elements for them
                        * stay in the cache */
#define MOST_SOURCE                                                                                \
    (256 * 1024) /* about the largest number of elements in a piece's copy of the
                                  * source */
#define SLACK 64 /* the number of elements that vectors may read beyond an array */

/* ---- the axes ---- */

static void conv_axis_output(cti_conv_axis *a, const cti_conv *c, int i)
{
    int64_t t;

    a->from_size = c->size[i];
    a->to_size = a->count = c->result[i];
    a->first = 0;
    a->to_step = 1;
    a->from_step = c->stride[i];
    a->low = -c->padding[i];
    a->taps = c->kernel[i];
    a->high = a->taps ? (a->taps - 1) * c->dilation[i] : 0;
    for (t = 0; t < a->taps; t++) {
        a->tap[t] = t;
        a->distance[t] = t * c->dilation[i];
    }
}

/* Fills in the axis for one phase of INPUT. A phase may have no taps. */
static void conv_axis_input(cti_conv_axis *a, const cti_conv *c, int i, int64_t phase)
{
    int64_t t, n = 0;

    a->from_size = c->result[i];
    a->to_size = c->size[i];
    a->first = phase;
    a->to_step = c->stride[i];
    a->count = cti_conv_parts(c->size[i] - phase, a->to_step);
    a->from_step = 1;
    /* The loop goes from the last tap to the first, so that the distances increase. */
    for (t = c->kernel[i] - 1; t >= 0; t--) {
        int64_t at = phase + c->padding[i] - t * c->dilation[i];

        if (at % a->to_step)
            continue;
        a->tap[n] = t;
        a->distance[n++] = at / a->to_step;
    }
    a->taps = n;
    a->low = n ? a->distance[0] : 0;
    a->high = n ? a->distance[n - 1] - a->low : 0;
    for (t = 0; t < n; t++)
        a->distance[t] -= a->low;
}

static void conv_axis_cut(cti_conv_axis *a, int64_t block)
{
    a->planes = cti_conv_least(a->from_step, a->high + 1);
    a->blocks = cti_conv_parts(a->count, block > 1 ? block : 1);
    a->block = cti_conv_parts(a->count, a->blocks);
    a->length = a->block + a->high / a->from_step;
}

/* True if more than an eighth of the positions are beyond the ends of rows, and there are enough
 * images to place them side by side. */
static bool conv_has_short_rows(const cti_conv_job *j)
{
    return j->axis[0].blocks == 1 && j->axis[1].blocks == 1 && j->c->images >= j->narrow &&
           8 * (j->axis[1].length - j->axis[1].count) > j->axis[1].length &&
           j->from_channels * j->channel * j->narrow <= MOST_SOURCE;
}

/* Chooses the pieces of work and the layout of the buffer. If together is true and the images
 * are small, a piece has several images; otherwise it has one. */
static void conv_layout(cti_conv_job *j, bool together)
{
    cti_conv_axis *rows = &j->axis[0], *columns = &j->axis[1];
    int64_t block;

    conv_axis_cut(columns, columns->count <= 2 * POSITIONS ? columns->count : POSITIONS);
    block = POSITIONS / columns->length;
    do {
        conv_axis_cut(rows, block);
        j->plane = rows->length * columns->length;
        j->channel = rows->planes * columns->planes * j->plane;
        block = rows->block / 2;
    } while (block && j->from_channels * j->channel > MOST_SOURCE);
    j->together = j->lanes = 1;
    if (together && rows->blocks == 1 && columns->blocks == 1 &&
        j->from_channels * j->channel <= MOST_SOURCE / 2)
        j->together = cti_conv_least(cti_conv_parts(POSITIONS, j->plane), j->c->images);
    j->channel *= j->together;
}

static void conv_offsets(cti_conv_job *j)
{
    const cti_conv_axis *rows = &j->axis[0], *columns = &j->axis[1];
    int64_t c, s, t, *offset = j->offset;

    for (c = 0; c < j->from_channels; c++)
        for (s = 0; s < rows->taps; s++)
            for (t = 0; t < columns->taps; t++) {
                int64_t y = rows->distance[s], x = columns->distance[t];
                int64_t plane = y % rows->from_step * columns->planes + x % columns->from_step;

                *offset++ = (c * j->channel + plane * j->together * j->plane +
                             y / rows->from_step * columns->length + x / columns->from_step) *
                            j->lanes;
            }
}

/* ---- the weights ---- */

/* Copies one channel's filter, (depth), to every step-th element of `to`. o is the number of the
 * channel among those of y or of x. */
static void conv_pack_channel(const cti_conv_job *j, int64_t group, int64_t o, char *to,
                              int64_t step)
{
    const cti_conv *c = j->c;
    const cti_conv_axis *rows = &j->axis[0], *columns = &j->axis[1];
    int64_t s, y, x;

    for (s = 0; s < j->from_channels; s++) {
        int64_t i = c->part == CTI_CONV_INPUT ? (group * c->out + s) * c->in + o
                                              : (group * c->out + o) * c->in + s;

        for (y = 0; y < rows->taps; y++)
            for (x = 0; x < columns->taps; x++, to += step * j->size) {
                int64_t at = (i * c->kernel[0] + rows->tap[y]) * c->kernel[1] + columns->tap[x];

                if (j->size == sizeof(float))
                    *(float *)to = ((const float *)c->w)[at];
                else
                    *(double *)to = ((const double *)c->w)[at];
            }
    }
}

/* Packs the filters of one group. */
static void conv_pack(void *context, int64_t group)
{
    const cti_conv_job *j = context;
    int64_t o, i, rows;

    for (o = 0; o < j->to_channels; o += rows) {
        rows = cti_conv_least(CTI_CONV_ROWS, j->to_channels - o);
        if (j->c->part == CTI_CONV_OUTPUT) {
            cti_cpu_path_get()->transpose[j->size](
                j->depth, rows, j->weights + (group * j->to_channels + o) * j->depth * j->size,
                rows * j->size,
                (const char *)j->c->w + (group * j->to_channels + o) * j->depth * j->size,
                j->depth * j->size);
            continue;
        }
        for (i = 0; i < rows; i++)
            conv_pack_channel(j, group, o + i,
                              j->weights + ((group * j->to_channels + o) * j->depth + i) * j->size,
                              rows);
    }
}

/* ---- a piece's copy of the source ---- */

/* Copies `length` elements of a source row, which are from_step apart. The first one is element
 * number `at`, which may be outside of the row. */
static void conv_load_row(const cti_conv_job *j, const char *row, int64_t at, char *to)
{
    const cti_conv_axis *a = &j->axis[1];
    int64_t begin = at < 0 ? cti_conv_least(cti_conv_parts(-at, a->from_step), a->length) : 0;
    int64_t end = at < a->from_size ? cti_conv_parts(a->from_size - at, a->from_step) : 0;

    end = cti_conv_least(end, a->length);
    if (end <= begin) {
        memset(to, 0, (size_t)(a->length * j->size));
        return;
    }
    memset(to, 0, (size_t)(begin * j->size));
    row += (at + begin * a->from_step) * j->size;
    if (a->from_step == 1)
        memcpy(to + begin * j->size, row, (size_t)((end - begin) * j->size));
    else
        j->loops->conv_load(end - begin, row, a->from_step, to + begin * j->size);
    memset(to + end * j->size, 0, (size_t)((a->length - end) * j->size));
}

/* Copies one plane of one channel. at[0] and at[1] are the first row and column of the result.
 * remainder has the remainders of the plane. */
static void conv_load_plane(const cti_conv_job *j, const char *from, const int64_t *at,
                            const int64_t *remainder, char *to)
{
    const cti_conv_axis *rows = &j->axis[0], *columns = &j->axis[1];
    int64_t x = at[1] * columns->from_step + columns->low + remainder[1], i;

    for (i = 0; i < rows->length; i++, to += columns->length * j->size) {
        int64_t y = (at[0] + i) * rows->from_step + rows->low + remainder[0];

        if (y < 0 || y >= rows->from_size)
            memset(to, 0, (size_t)(columns->length * j->size));
        else
            conv_load_row(j, from + y * columns->from_size * j->size, x, to);
    }
}

/* Copies all planes of channel c of a group of an image. */
static void conv_load_channel(const cti_conv_job *j, int64_t image, int64_t group, int64_t c,
                              const int64_t *at, char *to)
{
    const cti_conv_axis *rows = &j->axis[0], *columns = &j->axis[1];
    int64_t area = rows->from_size * columns->from_size, remainder[2];
    const char *from =
        j->from + ((image * j->c->groups + group) * j->from_channels + c) * area * j->size;

    for (remainder[0] = 0; remainder[0] < rows->planes; remainder[0]++)
        for (remainder[1] = 0; remainder[1] < columns->planes; remainder[1]++) {
            conv_load_plane(j, from, at, remainder, to);
            to += j->together * j->plane * j->size;
        }
}

/* Copies all channels. slot is the number of the image in its piece. */
static void conv_load_source(const cti_conv_job *j, int64_t image, int64_t group, const int64_t *at,
                             int64_t slot, char *room)
{
    int64_t c;

    for (c = 0; c < j->from_channels; c++)
        conv_load_channel(j, image, group, c, at,
                          room + (c * j->channel + slot * j->plane) * j->size);
}

/* ---- OUTPUT and INPUT: a piece of the result ---- */

typedef struct conv_piece {
    int64_t image, group;
    int64_t at[2];   /* the first result */
    int64_t have[2]; /* the number of results */
} conv_piece;

static conv_piece conv_piece_at(const cti_conv_job *j, int64_t number)
{
    conv_piece p;
    int i;

    for (i = 1; i >= 0; i--) {
        const cti_conv_axis *a = &j->axis[i];

        p.at[i] = number % a->blocks * a->block;
        p.have[i] = cti_conv_least(a->block, a->count - p.at[i]);
        number /= a->blocks;
    }
    p.group = number % j->c->groups;
    p.image = number / j->c->groups;
    return p;
}

/* Computes n results of all channels, from `source` on, and writes them to tile (channels, ldo). */
static void conv_tile(const cti_conv_job *j, int64_t group, const char *source, int64_t n,
                      char *tile, int64_t ldo)
{
    const char *weights = j->weights + group * j->to_channels * j->depth * j->size;
    int64_t k = 0, o, v;

    do {
        int64_t depth = cti_conv_least(CONV_DEPTH, j->depth - k);

        for (o = 0; o < j->to_channels; o += CTI_CONV_ROWS) {
            int rows = (int)cti_conv_least(CTI_CONV_ROWS, j->to_channels - o);
            const char *w = weights + (o * j->depth + k * rows) * j->size;
            char *out = tile + o * ldo * j->size;

            if (n > j->wide - j->narrow)
                j->loops->conv(rows, true, depth, w, j->offset + k, source, out, ldo, k > 0);
            else
                for (v = 0; v < n; v += j->narrow)
                    j->loops->conv(rows, false, depth, w, j->offset + k, source + v * j->size,
                                   out + v * j->size, ldo, k > 0);
        }
        k += CONV_DEPTH;
    } while (k < j->depth);
}

/* Writes n positions of a tile, the first of which is position j0 of the piece. */
static void conv_store_tile(const cti_conv_job *j, const conv_piece *p, int64_t j0, int64_t n,
                            const char *tile)
{
    const cti_conv_axis *rows = &j->axis[0], *columns = &j->axis[1];
    int64_t area = rows->to_size * columns->to_size, at, length, o;
    int64_t first = p->group * j->to_channels;
    char *to = j->to + (p->image * j->c->groups * j->to_channels + first) * area * j->size;

    for (at = 0; at < n; at += length) {
        int64_t y = (j0 + at) / columns->length, x = (j0 + at) % columns->length, place;

        length = cti_conv_least(columns->length - x, n - at);
        if (x >= p->have[1])
            continue;
        place = (rows->first + (p->at[0] + y) * rows->to_step) * columns->to_size + columns->first +
                (p->at[1] + x) * columns->to_step;
        for (o = 0; o < j->to_channels; o++)
            j->loops->conv_store(cti_conv_least(length, p->have[1] - x),
                                 tile + (o * j->wide + at) * j->size, 1,
                                 j->bias ? j->bias + (first + o) * j->size : NULL,
                                 to + (o * area + place) * j->size, columns->to_step);
    }
}

static void conv_run_piece(const cti_conv_job *j, int64_t number, char *room)
{
    conv_piece p = conv_piece_at(j, number);
    int64_t source = j->from_channels * j->channel + SLACK, at;
    int64_t n = (p.have[0] - 1) * j->axis[1].length + p.have[1];
    char *tile = room + source * j->size;

    conv_load_source(j, p.image, p.group, p.at, 0, room);
    memset(tile - SLACK * j->size, 0, (size_t)(SLACK * j->size));
    for (at = 0; at < n; at += j->wide) {
        int64_t some = cti_conv_least(j->wide, n - at);

        conv_tile(j, p.group, room + at * j->size, some, tile, j->wide);
        conv_store_tile(j, &p, at, some, tile);
    }
}

/* ---- small images side by side ----
 *
 * If rows are short, many of the computed results would be dropped. With one image in each lane
 * of a vector, no result is dropped. Every sum has the same order as without this layout. */

/* Copies the channels of all images to lanes, (channel, lanes). aside has room for (lanes,
 * channel). */
static void conv_load_lanes(const cti_conv_job *j, const conv_piece *p, int64_t images, char *room,
                            char *aside)
{
    const cti_conv_axis *rows = &j->axis[0], *columns = &j->axis[1];
    int64_t area = rows->from_size * columns->from_size,
            all = j->c->groups * j->from_channels * area;
    int64_t c, i;

    if (images == j->lanes && rows->low == 0 && columns->low == 0 && rows->from_step == 1 &&
        columns->from_step == 1 && rows->length == rows->from_size &&
        columns->length == columns->from_size) { /* the images are read as they are in memory */
        cti_cpu_path_get()->transpose[j->size](
            j->from_channels * area, j->lanes, room, j->lanes * j->size,
            j->from + (p->image * all + p->group * j->from_channels * area) * j->size,
            all * j->size);
        return;
    }
    memset(aside, 0, (size_t)(j->lanes * j->channel * j->size));
    for (c = 0; c < j->from_channels; c++) {
        for (i = 0; i < images; i++)
            conv_load_channel(j, p->image + i, p->group, c, p->at,
                              aside + i * j->channel * j->size);
        cti_cpu_path_get()->transpose[j->size](j->channel, j->lanes, room, j->lanes * j->size,
                                               aside, j->channel * j->size);
        room += j->channel * j->lanes * j->size;
    }
}

/* Writes one row of the results, row (channels, count, lanes). aside has room for (lanes,
 * count). */
static void conv_store_lanes(const cti_conv_job *j, const conv_piece *p, int64_t images, int64_t y,
                             const char *row, char *aside)
{
    const cti_conv_axis *rows = &j->axis[0], *columns = &j->axis[1];
    int64_t area = rows->to_size * columns->to_size, i, o, first = p->group * j->to_channels;
    int64_t place = (rows->first + y * rows->to_step) * columns->to_size + columns->first;

    for (o = 0; o < j->to_channels; o++, row += columns->count * j->lanes * j->size) {
        cti_cpu_path_get()->transpose[j->size](j->lanes, columns->count, aside,
                                               columns->count * j->size, row, j->lanes * j->size);
        for (i = 0; i < images; i++) {
            int64_t plane = ((p->image + i) * j->c->groups) * j->to_channels + first + o;

            j->loops->conv_store(columns->count, aside + i * columns->count * j->size, 1,
                                 j->bias ? j->bias + (first + o) * j->size : NULL,
                                 j->to + (plane * area + place) * j->size, columns->to_step);
        }
    }
}

static void conv_run_lanes(const cti_conv_job *j, int64_t number, char *room)
{
    int64_t count = j->axis[1].count * j->lanes, source = j->from_channels * j->channel * j->lanes;
    conv_piece p = { .image = number / j->c->groups * j->lanes, .group = number % j->c->groups };
    int64_t images = cti_conv_least(j->lanes, j->c->images - p.image), y, at;
    char *row = room + (source + SLACK) * j->size;

    conv_load_lanes(j, &p, images, room, row);
    memset(room + source * j->size, 0, (size_t)(SLACK * j->size));
    for (y = 0; y < j->axis[0].count; y++) {
        const char *from = room + y * j->axis[1].length * j->lanes * j->size;

        for (at = 0; at < count; at += j->wide)
            conv_tile(j, p.group, from + at * j->size, cti_conv_least(j->wide, count - at),
                      row + at * j->size, count);
        conv_store_lanes(j, &p, images, y, row, row + j->to_channels * count * j->size);
    }
}

static void conv_worker(void *context, int64_t worker)
{
    const cti_conv_job *j = context;
    int64_t number;

    for (number = worker; number < j->pieces; number += j->workers)
        (j->lanes > 1 ? conv_run_lanes
         : j->is_unfolded
             ? cti_conv_run_unfolded
             : conv_run_piece)(j, number, j->room + worker * j->room_elements * j->size);
}

/* ---- memory ---- */

static cti_conv_job conv_job_new(const cti_conv *c)
{
    bool input = c->part == CTI_CONV_INPUT;
    int64_t vector = cti_cpu_path_get()->vector_bytes;
    cti_conv_job j = { .c = c,
                       .loops = cti_cpu_rows_of(c->dtype),
                       .size = (int64_t)ct_dtype_size(c->dtype),
                       .from = input ? c->y : c->x,
                       .to = input ? c->x : c->y,
                       .bias = c->bias,
                       .from_channels = input ? c->out : c->in,
                       .to_channels = input ? c->in : c->out };

    j.narrow = vector / j.size;
    j.wide = 4 * j.narrow;
    return j;
}

/* Allocates the lists of taps. Returns NULL if memory is short. */
static ct_storage *conv_lists(cti_conv_job *j)
{
    int64_t most = j->c->kernel[0] > j->c->kernel[1] ? j->c->kernel[0] : j->c->kernel[1];
    ct_storage *s = cti_storage_try(CT_CPU, (size_t)(4 * most + 1) * sizeof(int64_t));
    int i;

    for (i = 0; s && i < 2; i++) {
        j->axis[i].tap = (int64_t *)s->data + 2 * i * most;
        j->axis[i].distance = j->axis[i].tap + most;
    }
    return s;
}

/* Allocates memory for offsets, `extra` elements (weights) and a buffer of `room` elements for
 * each worker. */
static ct_storage *conv_room(cti_conv_job *j, int64_t extra, int64_t room)
{
    int64_t head = (j->depth * (int64_t)sizeof(int64_t) + extra * j->size + 63) / 64 * 64;
    ct_storage *s;

    j->room_elements = cti_conv_line(room);
    j->workers = cti_conv_least(j->pieces, ct_num_threads());
    s = cti_storage_try(CT_CPU, (size_t)(head + j->workers * j->room_elements * j->size));
    if (!s)
        return NULL;
    j->offset = s->data;
    j->weights = (char *)s->data + j->depth * (int64_t)sizeof(int64_t);
    j->room = (char *)s->data + head;
    return s;
}

/* Computes one correlation. Its axes must be filled in. */
static ct_status conv_correlate(cti_conv_job *j)
{
    int64_t weights, source;
    ct_storage *s;

    if (cti_conv_is_direct(j))
        return cti_conv_direct(j);
    j->is_unfolded = false;
    j->depth = j->from_channels * j->axis[0].taps * j->axis[1].taps;
    conv_layout(j, false);
    source = j->from_channels * j->channel;
    weights = j->c->groups * j->to_channels * j->depth;
    if (conv_has_short_rows(j)) {
        int64_t row = j->to_channels * j->axis[1].count;
        int64_t aside = j->channel > row ? j->channel : row;

        aside += j->axis[1].count; /* the room `aside` of conv_store_lanes */
        j->lanes = j->narrow;
        j->pieces = cti_conv_parts(j->c->images, j->lanes) * j->c->groups;
        s = conv_room(j, weights, (source + aside) * j->lanes + 2 * SLACK);
    } else if (cti_conv_is_unfolded(j)) {
        j->is_unfolded = true;
        j->pieces = cti_conv_unfolded_pieces(j);
        s = conv_room(j, weights, cti_conv_unfolded_room(j));
    } else {
        j->pieces = j->c->images * j->c->groups * j->axis[0].blocks * j->axis[1].blocks;
        s = conv_room(j, weights, source + SLACK + (j->to_channels + 1) * j->wide);
    }
    if (!s)
        return CT_ERR_MEMORY;
    conv_offsets(j);
    cti_parallel(j->c->groups, conv_pack, j);
    cti_parallel(j->workers, conv_worker, j);
    cti_storage_unref(s);
    return CT_OK;
}

/* ---- INPUT ---- */

/* Sets x to its bias, or to zeros. */
static void conv_fill_input(const cti_conv *c)
{
    int64_t area = c->size[0] * c->size[1], channels = c->groups * c->in, i;
    int64_t size = (int64_t)ct_dtype_size(c->dtype);

    for (i = 0; i < c->images * channels; i++) {
        double v = !c->bias             ? 0
                   : c->dtype == CT_F32 ? (double)((const float *)c->bias)[i % channels]
                                        : ((const double *)c->bias)[i % channels];

        cti_cpu_fill((char *)c->x + i * area * size, c->dtype, area, v);
    }
}

/* Computes all phases that have taps. */
static ct_status conv_phases(cti_conv_job *j)
{
    const cti_conv *c = j->c;
    int64_t y, x;

    if (c->stride[0] > 1 || c->stride[1] > 1)
        conv_fill_input(c);
    for (y = 0; y < cti_conv_least(c->stride[0], c->size[0]); y++) {
        conv_axis_input(&j->axis[0], c, 0, y);
        for (x = 0; j->axis[0].taps && x < cti_conv_least(c->stride[1], c->size[1]); x++) {
            conv_axis_input(&j->axis[1], c, 1, x);
            if (j->axis[1].taps && conv_correlate(j) != CT_OK)
                return CT_ERR_MEMORY;
        }
    }
    return CT_OK;
}

/* ---- WEIGHT ---- */

#define MOST_SUMS 16                   /* the maximum number of partial sums */
#define SUM_ELEMENTS (2 * 1024 * 1024) /* the approximate maximum of elements of all partial sums */
#define SLICE                                                                                      \
    (8 * CTI_CONV_ROWS) /* channels of a slice, if the partial sums alone make too
                                        * few pieces */

typedef struct conv_sums {
    const cti_conv_job *j;
    int64_t units;         /* the number of units: pieces of images */
    int64_t parts;         /* the number of partial sums (parts, w), which are added at the end */
    int64_t slice, slices; /* the channels of y in a slice, and the number of slices */
    int64_t ldy;
    char *sums;
} conv_sums;

/* Copies y (channels, images, rows, columns) of a unit to rows that are as long as those of the
 * source, with zeros at the end. */
static void conv_load_result(const conv_sums *s, const conv_piece *p, int64_t slot, int64_t first,
                             int64_t channels, char *to)
{
    const cti_conv_job *j = s->j;
    const cti_conv *c = j->c;
    int64_t area = c->result[0] * c->result[1], o, y;
    const char *from =
        (const char *)c->y + ((p->image + slot) * c->groups + p->group) * c->out * area * j->size;

    for (o = 0; o < channels; o++)
        for (y = 0; y < p->have[0]; y++)
            memcpy(to + (o * s->ldy + slot * j->plane + y * j->axis[1].length) * j->size,
                   from + ((first + o) * area + (p->at[0] + y) * c->result[1] + p->at[1]) * j->size,
                   (size_t)(p->have[1] * j->size));
}

/* Adds the products of one unit to a partial sum. */
static void conv_add_unit(const conv_sums *s, conv_piece p, int64_t first, int64_t channels,
                          char *sum, char *room)
{
    const cti_conv_job *j = s->j;
    int64_t images = cti_conv_least(j->together, j->c->images - p.image), i;
    int64_t source = j->from_channels * j->channel + SLACK;
    int64_t n = (images - 1) * j->plane + (p.have[0] - 1) * j->axis[1].length + p.have[1];
    char *y = room + source * j->size;

    if (images < j->together) /* the last unit may have fewer images */
        memset(room, 0, (size_t)(source * j->size));
    memset(y - SLACK * j->size, 0, (size_t)((SLACK + channels * s->ldy) * j->size));
    for (i = 0; i < images; i++) {
        conv_load_source(j, p.image + i, p.group, p.at, i, room);
        conv_load_result(s, &p, i, first, channels, y);
    }
    for (i = 0; i < channels; i += CTI_CONV_ROWS)
        j->loops->conv_weight((int)cti_conv_least(CTI_CONV_ROWS, channels - i), j->depth,
                              (n + j->narrow - 1) / j->narrow * j->narrow, y + i * s->ldy * j->size,
                              s->ldy, room, j->offset, sum + i * j->depth * j->size, j->depth);
}

/* Computes one partial sum of one slice of a group. */
static void conv_sum(const conv_sums *s, int64_t number, char *room)
{
    const cti_conv_job *j = s->j;
    const cti_conv *c = j->c;
    int64_t first = number % s->slices * s->slice, group = number / s->slices % c->groups;
    int64_t part = number / s->slices / c->groups, blocks = j->axis[0].blocks * j->axis[1].blocks;
    int64_t channels = cti_conv_least(s->slice, c->out - first), unit;
    char *sum = s->sums + ((part * c->groups + group) * c->out + first) * j->depth * j->size;

    memset(sum, 0, (size_t)(channels * j->depth * j->size));
    for (unit = part * s->units / s->parts; unit < (part + 1) * s->units / s->parts; unit++) {
        conv_piece p = conv_piece_at(j, unit % blocks);

        p.image = unit / blocks * j->together;
        p.group = group;
        conv_add_unit(s, p, first, channels, sum, room);
    }
}

static void conv_sum_worker(void *context, int64_t worker)
{
    const conv_sums *s = context;
    int64_t number;

    for (number = worker; number < s->j->pieces; number += s->j->workers)
        conv_sum(s, number, s->j->room + worker * s->j->room_elements * s->j->size);
}

static ct_status conv_weight(cti_conv_job *j)
{
    const cti_conv *c = j->c;
    conv_sums s = { .j = j };
    int64_t all, part;
    ct_storage *room;

    if (cti_conv_is_direct(j))
        return cti_conv_direct_weight(j);
    j->depth = c->in * c->kernel[0] * c->kernel[1];
    all = c->groups * c->out * j->depth;
    conv_layout(j, true);
    s.units = cti_conv_parts(c->images, j->together) * j->axis[0].blocks * j->axis[1].blocks;
    s.parts = cti_conv_least(cti_conv_least(s.units, MOST_SUMS), SUM_ELEMENTS / all + 1);
    s.slice = s.parts * c->groups < MOST_SUMS / 2 ? cti_conv_least(SLICE, c->out) : c->out;
    s.slices = cti_conv_parts(c->out, s.slice);
    s.ldy = j->together * j->plane + SLACK;
    j->pieces = s.parts * c->groups * s.slices;
    room = conv_room(j, s.parts > 1 ? s.parts * all : 0,
                     j->from_channels * j->channel + SLACK + s.slice * s.ldy);
    if (!room)
        return CT_ERR_MEMORY;
    s.sums = s.parts > 1 ? j->weights : c->w;
    conv_offsets(j);
    cti_parallel(j->workers, conv_sum_worker, &s);
    if (s.parts > 1)
        memcpy(c->w, s.sums, (size_t)(all * j->size));
    for (part = 1; part < s.parts; part++)
        j->loops->add_row(all, c->w, s.sums + part * all * j->size);
    cti_storage_unref(room);
    return CT_OK;
}

/* ---- the kernel ---- */

ct_status cti_cpu_conv(const cti_conv *c)
{
    cti_conv_job j = conv_job_new(c);
    int64_t weights = c->groups * c->out * c->in * c->kernel[0] * c->kernel[1];
    int64_t x = c->images * c->groups * c->in * c->size[0] * c->size[1];
    int64_t y = c->images * c->groups * c->out * c->result[0] * c->result[1];
    ct_status status;
    ct_storage *lists;

    if (c->part == CTI_CONV_OUTPUT ? y == 0 : c->part == CTI_CONV_INPUT ? x == 0 : weights == 0)
        return CT_OK;
    if (c->part == CTI_CONV_INPUT && y == 0) {
        conv_fill_input(c);
        return CT_OK;
    }
    if (c->part == CTI_CONV_WEIGHT && (y == 0 || x == 0)) {
        memset(c->w, 0, (size_t)(weights * j.size));
        return CT_OK;
    }
    lists = conv_lists(&j);
    if (!lists)
        return CT_ERR_MEMORY;
    if (c->part == CTI_CONV_INPUT) {
        status = conv_phases(&j);
    } else {
        conv_axis_output(&j.axis[0], c, 0);
        conv_axis_output(&j.axis[1], c, 1);
        status = c->part == CTI_CONV_OUTPUT ? conv_correlate(&j) : conv_weight(&j);
    }
    cti_storage_unref(lists);
    return status;
}
