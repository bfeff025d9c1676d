/* SPDX-License-Identifier: MIT */
/* rnn_layer_weights.c - the gradients of a recurrent layer's weights and biases; see rnn_layer.c.
 *
 * [dW_hh dW_ih] is dgates^T [h x]. The products compute its transpose, [h x]^T dgates, because rows of
 * the blocks of dgates are already what the products read as vectors. h and x are copied into groups of
 * 16 columns. So both operands are read from front to back.
 *
 *     group:  row (t, b) = 0:  h0 .. h15      block:  di0 .. di15  df0 .. df15  dg0 .. dg15  do0 .. do15
 *             row (t, b) = 1:  h0 .. h15              di0 .. di15  ...
 *
 * The product of a group and a block, (16, 64), is transposed into 16 columns of 64 rows of dW.
 *
 * In bf16, both operands are copied as pairs of neighbouring rows. The biases' gradients are sums of
 * dgates as they are. */
#include "tensor/cpu/rnn_layer.h"

#include "tensor/parallel.h"

#include <string.h>

/* The most rows at a time, in bf16 twice as many: those of a block should fit the L2 cache. */
#define MOST_DEPTH 1280
#define FETCH_GROUPS                                                                               \
    3                /* the last groups, in bf16 twice as many, whose tiles fetch the next block */
#define COPY_ROWS 64 /* rows of h and x that are copied at a time */

/* ---- h and x in groups ---- */

/* Returns the states before each step (T B, H). */
static const float *layer_states(const cti_layer *s)
{
    return layer_at(s, s->h, s->reverse ? 1 : 0, 0, s->hidden);
}

/* Copies some rows of in (T B, n) into the groups that begin with number `group`. */
static void layer_copy_rows(const layer_job *j, const float *in, int64_t n, int64_t group,
                            int64_t row, int64_t rows)
{
    int64_t at;

    for (at = 0; at < n; at += CTI_CELL_UNITS, group++) {
        float *to = layer_operand_at(j, group, row);
        const float *from = in + row * n + at;
        int64_t count = layer_least(n - at, CTI_CELL_UNITS);

        if (j->bf16)
            j->bf16->across(rows, count, from, n, to, CTI_CELL_UNITS);
        else
            j->micro->copy_rows(rows, count, from, n, to, CTI_CELL_UNITS);
    }
}

void cti_layer_copy(const layer_job *j, int64_t row, int64_t rows)
{
    const cti_layer *s = j->s;

    if (s->dw_hh)
        layer_copy_rows(j, layer_states(s), s->hidden, 0, row, rows);
    if (s->dw_ih && s->x)
        layer_copy_rows(j, s->x, s->input, layer_groups_of(s->hidden), row, rows);
}

static void layer_copy_piece(const layer_job *j, int64_t piece)
{
    int64_t row = piece * COPY_ROWS;

    cti_layer_copy(j, row, layer_least(j->rows - row, COPY_ROWS));
}

/* ---- the products ---- */

/* Some units whose gradients of gates are in one block: 16, or of an RNN up to 64. */
typedef struct layer_units {
    int64_t unit, units;
    int64_t width;     /* the floats of these units in a row */
    int64_t ld;        /* rows of d are ld apart */
    const float *d;    /* the gradients of all rows */
    float *pairs;      /* bf16: those that are multiplied at a time, in pairs (words, width) */
    float *bias;       /* the sums of d's columns */
    float *classes;    /* one-hot x: dW_ih^T (I, CTI_CELL_WIDTH) */
    float *products;   /* (16, width) for each group; for one if all rows are multiplied at once */
    const float *next; /* the next block of d, of which `lines` times 16 floats are to be fetched */
    int64_t lines;
} layer_units;

/* Returns the floats of a row for 16 units. */
static int64_t layer_unit_width(const layer_job *j)
{
    return j->gated ? CTI_CELL_WIDTH : CTI_CELL_UNITS;
}

/* Returns the floats of the sums of 16 units. */
static int64_t layer_sums_floats(const layer_job *j)
{
    int64_t width = layer_unit_width(j);
    int64_t products = j->depth < j->rows ? j->columns * CTI_CELL_UNITS * width : 0;

    return width + (j->s->x ? 0 : j->s->input * CTI_CELL_WIDTH) + products;
}

/* Returns the floats of the pairs of a block's rows that are multiplied at a time. */
static int64_t layer_pairs_floats(const layer_job *j)
{
    return j->bf16 ? layer_words(j, j->depth) * CTI_CELL_WIDTH : 0;
}

/* The rows that are multiplied together with row `row`. */
static int64_t layer_rows_from(const layer_job *j, int64_t row)
{
    return layer_least(j->rows - row, j->depth);
}

static layer_units layer_units_at(const layer_job *j, int64_t share, int64_t unit, int64_t row)
{
    int64_t first = share * j->share, end = layer_least(first + j->share, j->s->hidden);
    int64_t block = unit / j->block, units = layer_least(end, (block + 1) * j->block) - unit;
    int64_t sixteens = layer_groups_of(units);
    float *sums = j->sums + share * j->sums_size;
    layer_units u = { .unit = unit,
                      .units = units,
                      .width = sixteens * layer_unit_width(j),
                      .ld = layer_block_width(j, block),
                      .products = sums };

    if (unit + units < end) {
        int64_t ld = layer_block_width(j, block + 1);

        u.next = j->d + (block + 1) * j->rows * CTI_CELL_WIDTH + row * ld;
        u.lines = layer_rows_from(j, row) * ld / 16;
    }
    u.d = j->d + block * j->rows * CTI_CELL_WIDTH + (j->gated ? 0 : unit % j->block);
    sums += CTI_CELL_WIDTH * CTI_CELL_UNITS;
    u.pairs = sums;
    sums += layer_pairs_floats(j);
    u.bias = sums + (unit - first) / CTI_CELL_UNITS * layer_sums_floats(j);
    u.classes = u.bias + u.width;
    if (j->depth < j->rows)
        u.products = u.classes + (j->s->x ? 0 : sixteens * j->s->input * CTI_CELL_WIDTH);
    return u;
}

/* The operand of the gradient of a weight: h for W_hh, x for W_ih. */
typedef struct layer_operand {
    bool state;
    int64_t n, group; /* the columns; the first group */
    float *dw;        /* (G H, n); NULL: nothing to do */
} layer_operand;

/* Returns the column, in a block's row, of a part that belongs to the state, or to the input. */
static int64_t layer_column(const layer_job *j, bool state, int64_t part)
{
    return (part + (j->s->kind == CTI_CELL_GRU && !state)) * CTI_CELL_UNITS;
}

/* Returns the number of times 16 columns that belong to the state, or to the input. */
static int64_t layer_sixteens(const layer_job *j, const layer_units *u)
{
    return j->gated ? layer_parts(j) : u->width / CTI_CELL_UNITS;
}

/* Lets a tile fetch what is multiplied soon: the next group, if it is the first tile of a group, or else a
 * part of the next block. */
static void layer_fetch_soon(const layer_job *j, const layer_operand *o, layer_units *u, int64_t at,
                             const float *group, cti_micro_tile *t)
{
    int64_t groups = layer_groups_of(o->n), last = j->bf16 ? 2 * FETCH_GROUPS : FETCH_GROUPS;

    t->fetch = NULL;
    if (group == t->a && at + 1 < groups) {
        t->fetch = group + layer_words(j, j->rows) * CTI_CELL_UNITS;
        t->fetch_lines = t->k;
    } else if (u->lines && o->state && at + last >= groups) {
        t->fetch = u->next;
        t->fetch_lines = layer_least(u->lines, t->k);
        u->next += 16 * t->fetch_lines;
        u->lines -= t->fetch_lines;
    }
}

/* sums (16, width) = or += the product of the rows row .. row + depth - 1 of a group, transposed, and
 * of d */
static void layer_multiply_group(const layer_job *j, const layer_operand *o, layer_units *u,
                                 int64_t at, int64_t row, float *sums)
{
    int64_t first = layer_column(j, o->state, 0), step = CTI_MICRO_VECTORS * j->lanes, i, c;
    int64_t end = first + layer_sixteens(j, u) * CTI_CELL_UNITS;
    int64_t count = layer_least(o->n - at * CTI_CELL_UNITS, CTI_CELL_UNITS);
    const float *a = layer_operand_at(j, o->group + at, row);
    cti_micro_tile t = { .k = layer_words(j, layer_rows_from(j, row)),
                         .parts = 1,
                         .step_i = 1,
                         .step_k = CTI_CELL_UNITS,
                         .ldb = j->bf16 ? u->width : u->ld,
                         .ldc = u->width,
                         .accumulate = row > 0 };
    int rows;

    for (c = first; c < end; c += step) {
        int64_t width = layer_least(end - c, step);

        t.b = (j->bf16 ? u->pairs : u->d + row * u->ld) + c;
        for (i = 0; i < count; i += rows) {
            rows = layer_tile_rows(j, count, i, width);
            t.a = a + i;
            layer_fetch_soon(j, o, u, at, a, &t);
            t.c = sums + i * u->width + c;
            j->run(&t, rows, (int)(width / j->lanes));
        }
    }
}

/* Transposes the product of a group into dW. */
static void layer_store_group(const layer_job *j, const layer_operand *o, const layer_units *u,
                              int64_t at, const float *sums)
{
    int64_t h = j->s->hidden, column = at * CTI_CELL_UNITS, i;
    int64_t count = layer_least(o->n - column, CTI_CELL_UNITS);

    for (i = 0; i < layer_sixteens(j, u); i++) {
        int64_t unit = j->gated ? 0 : i * CTI_CELL_UNITS;
        int64_t row = j->gated ? layer_gate(j, o->state, i) * h : 0;

        j->micro->transpose(layer_least(u->units - unit, CTI_CELL_UNITS), count,
                            sums + layer_column(j, o->state, i), u->width, o->n,
                            o->dw + (row + u->unit + unit) * o->n + column);
    }
}

/* Computes the gradient of a weight for some units from the rows that begin with number `row`. */
static void layer_weight_rows(const layer_job *j, const layer_operand *o, layer_units *u,
                              int64_t row)
{
    bool last = row + j->depth >= j->rows;
    int64_t at;

    for (at = 0; o->dw && at < layer_groups_of(o->n); at++) {
        int64_t place = j->depth < j->rows ? o->group + at : 0;
        float *sums = u->products + place * CTI_CELL_UNITS * u->width;

        layer_multiply_group(j, o, u, at, row, sums);
        if (last)
            layer_store_group(j, o, u, at, sums);
    }
}

/* A one-hot x selects a column of W_ih. The gradient of a column is a sum of rows of dgates. */
static void layer_add_classes(const layer_job *j, const layer_units *u, int64_t row)
{
    const cti_layer *s = j->s;
    int64_t end = layer_least(row + j->depth, j->rows), class[COPY_ROWS], i;

    if (row == 0)
        memset(u->classes, 0, (size_t)(s->input * CTI_CELL_WIDTH) * sizeof *u->classes);
    for (; row < end; row += COPY_ROWS) {
        int64_t count = layer_least(end - row, COPY_ROWS);

        for (i = 0; i < count; i++)
            class[i] = cti_cpu_index_at(s->index, s->index_dtype, row + i);
        j->micro->scatter(count, u->ld, u->width, u->d + row * u->ld, class, u->classes);
    }
}

static void layer_store_classes(const layer_job *j, const layer_units *u)
{
    const cti_layer *s = j->s;
    int64_t part, c, i;

    for (part = 0; part < layer_parts(j); part++)
        for (i = 0; i < u->units; i++) {
            int64_t row = (j->gated ? layer_gate(j, false, part) * s->hidden : 0) + u->unit + i;
            const float *from = u->classes + layer_column(j, false, part) + i;

            for (c = 0; c < s->input; c++)
                ((float *)s->dw_ih)[row * s->input + c] = from[c * CTI_CELL_WIDTH];
        }
}

static void layer_store_bias(const layer_job *j, bool state, const layer_units *u, void *db)
{
    int64_t part;

    for (part = 0; db && part < layer_parts(j); part++)
        memcpy((float *)db + (j->gated ? layer_gate(j, state, part) * j->s->hidden : 0) + u->unit,
               u->bias + layer_column(j, state, part), (size_t)u->units * sizeof(float));
}

static void layer_store(const layer_job *j, const layer_units *u)
{
    const cti_layer *s = j->s;

    if (s->dw_ih && !s->x)
        layer_store_classes(j, u);
    layer_store_bias(j, true, u, s->db_hh);
    layer_store_bias(j, false, u, s->db_ih);
}

/* Adds `rows` rows of d, from number `row` on, to the sums of its columns. In bf16, also copies them in
 * pairs. */
static void layer_sum_rows(const layer_job *j, const layer_units *u, int64_t row, int64_t rows)
{
    const float *d = u->d + row * u->ld;

    if (!j->bf16) {
        j->micro->sum(row > 0, rows, u->ld, u->width, d, u->bias);
        return;
    }
    if (row == 0)
        memset(u->bias, 0, (size_t)u->width * sizeof *u->bias);
    j->bf16->sum_across(rows, u->width, d, u->ld, u->bias, u->pairs);
}

/* Computes the gradients for one share of the units. */
static void layer_weights_piece(const layer_job *j, int64_t share)
{
    const cti_layer *s = j->s;
    int64_t first = share * j->share, end = layer_least(first + j->share, s->hidden), row, unit;
    const layer_operand h = { true, s->hidden, 0, s->dw_hh };
    const layer_operand x = { false, s->input, layer_groups_of(s->hidden), s->x ? s->dw_ih : NULL };

    for (row = 0; row < j->rows; row += j->depth)
        for (unit = first; unit < end; unit = layer_least(end, (unit / j->block + 1) * j->block)) {
            layer_units u = layer_units_at(j, share, unit, row);

            layer_sum_rows(j, &u, row, layer_rows_from(j, row));
            layer_weight_rows(j, &h, &u, row);
            layer_weight_rows(j, &x, &u, row);
            if (s->dw_ih && !s->x)
                layer_add_classes(j, &u, row);
            if (row + j->depth >= j->rows)
                layer_store(j, &u);
        }
}

void cti_layer_weights_init(layer_job *j)
{
    const cti_layer *s = j->s;
    int64_t most = j->bf16 ? 2 * MOST_DEPTH : MOST_DEPTH;
    int64_t parts = (j->rows + most - 1) / most;

    j->columns = layer_groups_of(s->hidden) + (s->x ? layer_groups_of(s->input) : 0);
    j->share = layer_up((s->hidden + j->threads - 1) / j->threads, CTI_CELL_UNITS);
    j->shares = (s->hidden + j->share - 1) / j->share;
    j->depth = layer_up((j->rows + parts - 1) / parts, j->bf16 ? 2 : 1);
    j->sums_size = CTI_CELL_WIDTH * CTI_CELL_UNITS + layer_pairs_floats(j) +
                   j->share / CTI_CELL_UNITS * layer_sums_floats(j);
}

void cti_layers_weights(layer_set *set)
{
    const layer_job *j = set->job;

    if (!layer_copies_in_steps(j))
        cti_layers_parallel(set, (j->rows + COPY_ROWS - 1) / COPY_ROWS, layer_copy_piece);
    cti_layers_parallel(set, j->shares, layer_weights_piece);
}
