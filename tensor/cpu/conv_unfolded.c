/* SPDX-License-Identifier: MIT */
/* conv_unfolded.c - convolutions of small images with many channels.
 *
 * If rows are short and the result has many channels, the elements that a tile of positions reads
 * are copied to a panel. Each panel is for a few elements of the filter. In a panel no position
 * lies between rows:
 *
 *     panel (elements of the filter, positions)   positions of several rows and images
 *
 * The panel serves all channels of the result and stays in the cache. Every sum has the same
 * order as in conv.c. */
#include "tensor/cpu/conv.h"

#define UNFOLD_TILES 2 /* the number of tiles of `wide` positions in a piece */
/* The elements of the filter in a panel, so that a panel stays in the L1 cache. */
#define UNFOLD_DEPTH 96
#define UNFOLD_CHANNELS 32 /* the minimum number of channels of the result */

/* A piece of positions. They are numbered through all images. */
typedef struct conv_fold {
    int64_t group, first, n; /* positions */
    /* (taps, positions): the index of an element of channel 0 of the source, or -1. */
    int64_t *index;
    char *panel; /* (UNFOLD_DEPTH, wide), the panel of a tile */
    char *tile;  /* (to_channels, positions) */
} conv_fold;

bool cti_conv_is_unfolded(const cti_conv_job *j)
{
    const cti_conv_axis *columns = &j->axis[1];

    return j->to_channels >= UNFOLD_CHANNELS && columns->blocks == 1 &&
           9 * (columns->length - columns->count) >= columns->length;
}

int64_t cti_conv_unfolded_pieces(const cti_conv_job *j)
{
    int64_t positions = j->c->images * j->axis[0].count * j->axis[1].count;

    return cti_conv_parts(positions, UNFOLD_TILES * j->wide) * j->c->groups;
}

int64_t cti_conv_unfolded_room(const cti_conv_job *j)
{
    int64_t all = UNFOLD_TILES * j->wide, taps = j->axis[0].taps * j->axis[1].taps;

    return UNFOLD_DEPTH * j->wide + j->to_channels * all +
           taps * all * ((int64_t)sizeof(int64_t) / j->size);
}

/* The image, row and column of a position. */
static void conv_fold_place(const cti_conv_job *j, int64_t position, int64_t *place)
{
    place[2] = position % j->axis[1].count;
    place[1] = position / j->axis[1].count % j->axis[0].count;
    place[0] = position / j->axis[1].count / j->axis[0].count;
}

static void conv_fold_index(const cti_conv_job *j, const conv_fold *f)
{
    const cti_conv_axis *rows = &j->axis[0], *columns = &j->axis[1];
    int64_t area = rows->from_size * columns->from_size, all = UNFOLD_TILES * j->wide, s, t, i;

    for (i = 0; i < all; i++) {
        int64_t place[3], *to = f->index + i, image;

        conv_fold_place(j, f->first + i, place);
        image = (place[0] * j->c->groups + f->group) * j->from_channels * area;
        for (s = 0; s < rows->taps; s++)
            for (t = 0; t < columns->taps; t++, to += all) {
                int64_t y = place[1] * rows->from_step + rows->low + rows->distance[s];
                int64_t x = place[2] * columns->from_step + columns->low + columns->distance[t];
                bool inside =
                    i < f->n && y >= 0 && y < rows->from_size && x >= 0 && x < columns->from_size;

                *to = inside ? image + y * columns->from_size + x : -1;
            }
    }
}

/* Writes the results of all channels. Positions in one row of the result are copied together. */
static void conv_fold_store(const cti_conv_job *j, const conv_fold *f)
{
    const cti_conv_axis *rows = &j->axis[0], *columns = &j->axis[1];
    int64_t area = rows->to_size * columns->to_size, first = f->group * j->to_channels, at, n, o;

    for (at = 0; at < f->n; at += n) {
        int64_t place[3], to;

        conv_fold_place(j, f->first + at, place);
        n = cti_conv_least(columns->count - place[2], f->n - at);
        to = (place[0] * j->c->groups * j->to_channels + first) * area +
             (rows->first + place[1] * rows->to_step) * columns->to_size + columns->first +
             place[2] * columns->to_step;
        for (o = 0; o < j->to_channels; o++, to += area)
            j->loops->conv_store(n, f->tile + (o * UNFOLD_TILES * j->wide + at) * j->size, 1,
                                 j->bias ? j->bias + (first + o) * j->size : NULL,
                                 j->to + to * j->size, columns->to_step);
    }
}

/* Multiplies `depth` elements of the filter, from number k on, by the tile of positions from
 * number `at` on. */
static void conv_fold_multiply(const cti_conv_job *j, const conv_fold *f, int64_t k, int64_t depth,
                               int64_t at)
{
    const int64_t taps = j->axis[0].taps * j->axis[1].taps, all = UNFOLD_TILES * j->wide;
    const int64_t area = j->axis[0].from_size * j->axis[1].from_size;
    const char *weights = j->weights + f->group * j->to_channels * j->depth * j->size;
    int64_t offset[UNFOLD_DEPTH], i, o;

    for (i = 0; i < depth; i++) {
        offset[i] = i * j->wide;
        j->loops->conv_gather(j->wide, f->index + (k + i) % taps * all + at,
                              j->from + (k + i) / taps * area * j->size,
                              f->panel + i * j->wide * j->size);
    }
    for (o = 0; o < j->to_channels; o += CTI_CONV_ROWS) {
        int rows = (int)cti_conv_least(CTI_CONV_ROWS, j->to_channels - o);

        j->loops->conv(rows, true, depth, weights + (o * j->depth + k * rows) * j->size, offset,
                       f->panel, f->tile + (o * all + at) * j->size, all, k > 0);
    }
}

void cti_conv_run_unfolded(const cti_conv_job *j, int64_t number, char *room)
{
    int64_t all = UNFOLD_TILES * j->wide, k, at;
    int64_t positions = j->c->images * j->axis[0].count * j->axis[1].count;
    conv_fold f = { .group = number % j->c->groups,
                    .first = number / j->c->groups * all,
                    .panel = room,
                    .tile = room + UNFOLD_DEPTH * j->wide * j->size };

    f.n = cti_conv_least(all, positions - f.first);
    f.index = (int64_t *)(void *)(f.tile + j->to_channels * all * j->size);
    conv_fold_index(j, &f);
    for (k = 0; k < j->depth; k += UNFOLD_DEPTH)
        for (at = 0; at < f.n; at += j->wide)
            conv_fold_multiply(j, &f, k, cti_conv_least(UNFOLD_DEPTH, j->depth - k), at);
    conv_fold_store(j, &f);
}
