/* SPDX-License-Identifier: MIT */
/* rnn_layer.h - what the two halves of a recurrent layer share: rnn_layer.c (forward) and
 * rnn_layer_backward.c. (internal) */
#ifndef COTANGENT_TENSOR_CPU_RNN_LAYER_H
#define COTANGENT_TENSOR_CPU_RNN_LAYER_H

#include "tensor/cpu/cpu.h"

typedef struct layer_job {
    const cti_layer *s;
    const struct layer_job *below; /* the layer below, if both are stacked; otherwise NULL */
    int64_t begin, steps;          /* if threads share the steps: the first, and their number */
    const cti_micro *micro;
    int64_t threads;           /* that work for this layer */
    const cti_bf16_path *bf16; /* bf16: the kernels for pairs; otherwise NULL */
    /* the kernels for products, those of micro or of bf16: */
    const int *most_rows;
    void (*run)(const cti_micro_tile *t, int rows, int vectors);
    void (*pack)(int64_t k, int64_t columns, const float *in, int64_t ld_in, int64_t width,
                 float *out);
    int64_t lanes, rows, tile; /* rows: T B; tile: rows of the batch in a piece of work */
    bool gated;                /* an LSTM or a GRU */
    int64_t groups, group; /* if threads share each step: the groups of units, and their units */
    int64_t parts; /* the parts of the batch; a block is a part and a group. 0: not shared */
    int64_t units, panels;  /* of a forward panel; the forward panels */
    int64_t block, blocks;  /* the units of a block; the blocks */
    float *wh, *wx, *start; /* forward: the packed weights, and the rows that sums begin with */
    float *pairs_h; /* forward, bf16: h before and after a step, (2, B, layer_words(H)), and x */
    float *pairs_x;
    float *d, *bh, *bx; /* backward: dgates, and the packed weights */
    float *pairs_d;     /* bf16: dgates in pairs, of one step or, if threads share steps, of all */
    /* the weights' gradients: h and x in groups of 16 columns, and what each share of the units needs */
    int64_t columns, shares, share; /* the groups; the shares, and the units of each */
    int64_t depth;                  /* the rows that are multiplied at a time */
    int64_t sums_size;              /* the floats of a share in sums */
    float *operand, *sums;
} layer_job;

static inline int64_t layer_up(int64_t n, int64_t step)
{
    return (n + step - 1) / step * step;
}

/* Returns the number of words that n elements along the k of a product take. A word is a float or, in
 * bf16, a pair of elements. */
static inline int64_t layer_words(const layer_job *j, int64_t n)
{
    return j->bf16 ? cti_bf16_pairs(n) : n;
}

static inline int64_t layer_least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Returns the number of floats of a panel's row at column `at` of n: four vectors, or those that
 * remain. */
static inline int64_t layer_width(const layer_job *j, int64_t at, int64_t n)
{
    return layer_up(layer_least(n - at, CTI_MICRO_VECTORS * j->lanes), j->lanes);
}

/* Returns how many of the rows i .. rows - 1 the next tile takes: they are distributed evenly over as
 * few tiles as possible. */
static inline int layer_tile_rows(const layer_job *j, int64_t rows, int64_t i, int64_t width)
{
    int64_t most = j->most_rows[width / j->lanes - 1], tiles = (rows - i + most - 1) / most;

    return (int)((rows - i + tiles - 1) / tiles);
}

/* The time of step k of forward. */
static inline int64_t layer_time(const cti_layer *s, int64_t k)
{
    return s->reverse ? s->steps - 1 - k : k;
}

static inline int64_t layer_before(const cti_layer *s, int64_t t)
{
    return s->reverse ? t + 1 : t;
}

static inline int64_t layer_after(const cti_layer *s, int64_t t)
{
    return s->reverse ? t : t + 1;
}

/* Returns the address of row `row` of step t of an array (T, B, width). */
static inline float *layer_at(const cti_layer *s, const void *array, int64_t t, int64_t row,
                              int64_t width)
{
    return (float *)array + (t * s->batch + row) * width;
}

/* Takes the next `count` floats of memory, of which *used are taken. Returns NULL if memory is NULL. */
static inline float *layer_take(float *memory, int64_t *used, int64_t count)
{
    float *p = memory ? memory + *used : NULL;

    *used += layer_up(count, CTI_MICRO_LANES);
    return p;
}

static inline int64_t layer_pieces(const layer_job *j)
{
    return (j->s->batch + j->tile - 1) / j->tile;
}

/* The units and the rows of the batch of a block of a step that threads share. */
typedef struct layer_range {
    int64_t unit, units, row, rows;
} layer_range;

static inline layer_range layer_range_of(const layer_job *j, int64_t block)
{
    int64_t unit = block / j->parts * j->group, part = block % j->parts;
    int64_t row = j->s->batch * part / j->parts, end = j->s->batch * (part + 1) / j->parts;

    return (layer_range){ unit, layer_least(j->s->hidden - unit, j->group), row, end - row };
}

/* Returns the number of parts of a panel or block that belong to the state; as many belong to the
 * input. */
static inline int layer_parts(const layer_job *j)
{
    return j->s->kind == CTI_CELL_GRU ? 3 : j->gated ? 4 : 1;
}

/* Returns the gate of part v of those that belong to the state, or to the input. */
static inline int64_t layer_gate(const layer_job *j, bool state, int64_t v)
{
    static const int64_t of_state[] = { 2, 0, 1 };

    return j->s->kind == CTI_CELL_GRU && state ? of_state[v] : v;
}

/* Returns the address of a unit's gates, or of their gradients, in blocks. */
static inline float *layer_block(const layer_job *j, const void *blocks, int64_t t, int64_t row,
                                 int64_t unit)
{
    return (float *)blocks + (unit / j->block * j->rows + t * j->s->batch + row) * CTI_CELL_WIDTH +
           unit % j->block;
}

/* Returns the number of floats of a block's row. */
static inline int64_t layer_block_width(const layer_job *j, int64_t block)
{
    if (j->gated)
        return CTI_CELL_WIDTH;
    return layer_least(layer_up(j->s->hidden - block * j->block, CTI_CELL_UNITS), j->block);
}

/* The layers of a call, which are computed at the same time. */
typedef struct layer_set {
    layer_job job[CTI_MOST_STACKED];
    int count;
    bool in_turn; /* they are computed one after the other, by cti_layers_in_turn */
} layer_set;

/* Calls the kernel for each layer of a set: for one thread, because two layers do not fit its cache, and
 * for stacked layers whose steps threads do not share. */
ct_status cti_layers_in_turn(const layer_set *set, bool top_first,
                             ct_status (*kernel)(const cti_layer *s));

/* Sets the sizes of all jobs, and the kernels to those of a path and, if s is in bf16, of `bf16`, which
 * may be NULL. Stacked layers with more than `most` elements of W_hh for each thread run in turn. Returns
 * false if there are no kernels for s. */
bool cti_layers_init(layer_set *set, const cti_layer *s, const cti_cpu_path *path,
                     const cti_bf16_path *bf16, int64_t most);

/* Returns memory for all jobs, divided by lay_out. lay_out returns the floats that a job needs if memory
 * is NULL. NULL, without an error, if memory runs out. */
ct_storage *cti_layers_room(layer_set *set, int64_t (*lay_out)(layer_job *j, float *memory));

/* Calls run(job, i) for every job of the set and every i in 0..pieces-1, as cti_parallel does. */
void cti_layers_parallel(layer_set *set, int64_t pieces,
                         void (*run)(const layer_job *j, int64_t piece));

/* Calls run(job, step, block) for every job of the set and every block of its steps 0 .. job->steps - 1,
 * as cti_parallel_steps does. Step 0 of a job runs with step job->begin of a job whose begin is 0. */
void cti_layers_parallel_steps(layer_set *set,
                               void (*run)(const layer_job *j, int64_t step, int64_t block));

/* Returns the number of groups of 16 columns. */
static inline int64_t layer_groups_of(int64_t n)
{
    return (n + CTI_CELL_UNITS - 1) / CTI_CELL_UNITS;
}

/* Returns the address of a row of a group of columns of h and x; in bf16, of the pairs of an even row and
 * the next. */
static inline float *layer_operand_at(const layer_job *j, int64_t group, int64_t row)
{
    return j->operand + (group * layer_words(j, j->rows) + layer_words(j, row)) * CTI_CELL_UNITS;
}

/* Returns whether each step copies its rows of h and x. In bf16, the pairs of rows must not cross the
 * steps or the pieces of work. */
static inline bool layer_copies_in_steps(const layer_job *j)
{
    return !j->parts && (!j->bf16 || (j->s->batch % 2 == 0 && j->tile % 2 == 0));
}

/* The gradients of the weights and biases (rnn_layer_weights.c): sets the sizes; copies some rows of h
 * and x into groups; computes the gradients from these and from the gradients of the gates. Unless
 * layer_copies_in_steps, the last function copies all rows. */
void cti_layer_weights_init(layer_job *j);
void cti_layer_copy(const layer_job *j, int64_t row, int64_t rows);
void cti_layers_weights(layer_set *set);

#endif
