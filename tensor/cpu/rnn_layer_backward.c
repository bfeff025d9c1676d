/* SPDX-License-Identifier: MIT */
/* rnn_layer_backward.c - the gradients of a recurrent layer; see rnn_layer.c. */
#include "tensor/cpu/rnn_layer.h"

#include "tensor/parallel.h"

#include <string.h>

#define INPUT_ROWS 48 /* rows of dx of a piece */
#define DEPTH 256     /* rows of h and of dgates at a time in the gradient of a weight */

/* ---- packing for backward ---- */

/* Returns the number of floats of a block's row. */
static int64_t layer_block_width(const layer_job *j, int64_t block)
{
    if (j->gated)
        return CTI_CELL_WIDTH;
    return layer_least(layer_up(j->s->hidden - block * j->block, CTI_CELL_UNITS), j->block);
}

/* Returns the number of rows of a packed weight: one for each float of the parts that belong to the
 * state, or to the input. */
static int64_t layer_depth(const layer_job *j)
{
    return layer_parts(j) * layer_up(j->s->hidden, CTI_CELL_UNITS);
}

/* Packs one panel of W (G H, n) in the order of the blocks, with zeros for units that do not exist. */
static void layer_pack_back(const layer_job *j, bool state, int64_t panel, float *out)
{
    int64_t h = j->s->hidden, n = state ? h : j->s->input,
            at = panel * CTI_MICRO_VECTORS * j->lanes;
    int64_t width = layer_width(j, at, n), left = layer_least(n - at, width), unit, i;
    const float *w = (const float *)(state ? j->s->w_hh : j->s->w_ih) + at;
    int part;

    out += at * layer_depth(j);
    for (unit = 0; unit < h; unit += CTI_CELL_UNITS)
        for (part = 0; part < layer_parts(j); part++)
            for (i = unit; i < unit + CTI_CELL_UNITS; i++, out += width) {
                int64_t row = (j->gated ? layer_gate(j, state, part) * h : 0) + i;
                int64_t count = i < h ? left : 0;

                memcpy(out, w + (i < h ? row * n : 0), (size_t)count * sizeof *out);
                memset(out + count, 0, (size_t)(width - count) * sizeof *out);
            }
}

static void layer_pack_back_h(void *context, int64_t panel)
{
    const layer_job *j = context;

    layer_pack_back(j, true, panel, j->bh);
}

static void layer_pack_back_x(void *context, int64_t panel)
{
    const layer_job *j = context;

    layer_pack_back(j, false, panel, j->bx);
}

/* ---- backward through the steps ---- */

/* The gradients of the gates, and of the states before them, of the rows and units of a range at time
 * t. The range begins with a block. */
static void layer_gates_back(const layer_job *j, int64_t t, const layer_range *range)
{
    const cti_layer *s = j->s;
    int64_t h = s->hidden, row = range->row, unit = range->unit, at = t * s->batch + row;
    const void *before = s->kind == CTI_CELL_LSTM ? s->c : s->h;
    float *d = j->d + unit / j->block * j->rows * CTI_CELL_WIDTH;
    cti_cell_back cell = { .rows = (int)range->rows,
                           .units = range->units,
                           .ld = h,
                           .block = j->rows * CTI_CELL_WIDTH,
                           .dy = s->dy ? layer_at(s, s->dy, t, row, h) + unit : NULL,
                           .dh = layer_at(s, s->dh0, 0, row, h) + unit,
                           .before = layer_at(s, before, layer_before(s, t), row, h) + unit,
                           .dgates = d + at * CTI_CELL_WIDTH };

    if (!j->gated) {
        int64_t last = (unit + range->units - 1) / j->block;

        cell.after = layer_at(s, s->h, layer_after(s, t), row, h) + unit;
        cell.ld_last = layer_block_width(j, last);
        cell.last = j->d + last * j->block * j->rows + at * cell.ld_last;
        j->micro->activate_back(s->kind == CTI_CELL_RELU, &cell);
        return;
    }
    cell.gates = layer_block(j, s->gates, t, row, unit);
    if (s->kind == CTI_CELL_LSTM) {
        cell.after = layer_at(s, s->c, layer_after(s, t), row, h) + unit;
        cell.dc = layer_at(s, s->dc0, 0, row, h) + unit;
        j->micro->lstm_back(&cell);
    } else {
        j->micro->gru_back(&cell);
    }
}

/* Runs a tile of which only the first `columns` columns are stored in C. */
static void layer_run(const layer_job *j, const cti_micro_tile *t, int rows, int64_t columns)
{
    float sum[CTI_MICRO_ROWS * CTI_MICRO_VECTORS * CTI_MICRO_LANES];
    int vectors = (int)((columns + j->lanes - 1) / j->lanes), i;
    cti_micro_tile part = *t;

    if (columns == vectors * j->lanes) {
        j->micro->run(t, rows, vectors);
        return;
    }
    part.c = sum;
    part.ldc = vectors * j->lanes;
    memset(sum, 0, (size_t)(rows * part.ldc) * sizeof *sum);
    for (i = 0; t->accumulate && i < rows; i++)
        memcpy(sum + i * part.ldc, t->c + i * t->ldc, (size_t)columns * sizeof *sum);
    j->micro->run(&part, rows, vectors);
    for (i = 0; i < rows; i++)
        memcpy(t->c + i * t->ldc, sum + i * part.ldc, (size_t)columns * sizeof *sum);
}

/* The memory that the next step reads. It is fetched into the cache in parts, between the tiles of this
 * step. */
typedef struct layer_next {
    const layer_job *j;
    int64_t t, row, rows; /* no step if t is negative */
    int64_t part, parts;
} layer_next;

/* Fetches the current part of `floats` adjacent floats. */
static void layer_fetch_range(const layer_next *next, const float *p, int64_t floats)
{
    int64_t lines = floats / 16, i = lines * next->part / next->parts;

    for (; i < lines * (next->part + 1) / next->parts; i++)
        __builtin_prefetch(p + i * 16, 0, 2);
}

static void layer_fetch(layer_next *next)
{
    const layer_job *j = next->j;
    const cti_layer *s = j->s;
    int64_t h = s->hidden, t = next->t, unit;
    const void *state = s->kind == CTI_CELL_LSTM ? s->c : s->h;

    if (t < 0 || next->part >= next->parts)
        return;
    if (s->dy)
        layer_fetch_range(next, layer_at(s, s->dy, t, next->row, h), next->rows * h);
    layer_fetch_range(
        next, layer_at(s, state, j->gated ? layer_before(s, t) : layer_after(s, t), next->row, h),
        next->rows * h);
    for (unit = 0; j->gated && unit < h; unit += CTI_CELL_UNITS)
        layer_fetch_range(next, layer_block(j, s->gates, t, next->row, unit),
                          next->rows * CTI_CELL_WIDTH);
    next->part++;
}

/* Multiplies one tile of dgates by a packed panel: first the whole blocks, then the last block of an
 * RNN, which may be narrower. */
static void layer_run_blocks(const layer_job *j, cti_micro_tile *t, int64_t row, int rows,
                             int64_t columns)
{
    int64_t last = layer_block_width(j, j->blocks - 1);
    int64_t whole = last < CTI_CELL_WIDTH ? j->blocks - 1 : j->blocks;
    const float *a = t->a, *b = t->b;
    bool accumulate = t->accumulate;

    t->parts = whole;
    t->k = j->gated ? layer_parts(j) * CTI_CELL_UNITS : CTI_CELL_WIDTH;
    t->step_part = j->rows * CTI_CELL_WIDTH;
    t->step_i = CTI_CELL_WIDTH;
    t->a = a + row * CTI_CELL_WIDTH;
    if (whole)
        layer_run(j, t, rows, columns);
    if (last < CTI_CELL_WIDTH) {
        t->accumulate = accumulate || whole > 0;
        t->parts = 1;
        t->k = t->step_i = last;
        t->a = a + whole * t->step_part + row * last;
        t->b = b + whole * CTI_CELL_WIDTH * t->ldb;
        layer_run(j, t, rows, columns);
    }
    t->accumulate = accumulate;
    t->a = a;
    t->b = b;
}

/* Columns first .. end - 1 of a product dgates W. */
typedef struct layer_product {
    bool state;         /* W is W_hh; otherwise W_ih */
    int64_t row, rows;  /* of the T B rows of dgates */
    int64_t first, end; /* first is the start of a panel */
    float *out;         /* (rows, n) */
} layer_product;

/* out = or += dgates W */
static void layer_through(const layer_job *j, const layer_product *p, layer_next *next)
{
    int64_t n = p->state ? j->s->hidden : j->s->input, step = CTI_MICRO_VECTORS * j->lanes, at, i;
    bool gru = j->s->kind == CTI_CELL_GRU;
    cti_micro_tile t = { .a = j->d + (gru && !p->state ? CTI_CELL_UNITS : 0),
                         .step_k = 1,
                         .ldc = n,
                         .accumulate = p->state && gru };
    int count;

    for (at = p->first; at < p->end; at += step) {
        t.ldb = layer_width(j, at, n);
        t.b = (p->state ? j->bh : j->bx) + at * layer_depth(j);
        for (i = 0; i < p->rows; i += count) {
            count = layer_tile_rows(j, p->rows, i, t.ldb);
            t.c = p->out + i * n + at;
            layer_fetch(next);
            layer_run_blocks(j, &t, p->row + i, count, layer_least(n - at, step));
        }
    }
}

/* to = the rows of `from` in this piece, or zeros */
static void layer_begin(const cti_layer *s, void *to, const void *from, int64_t row, int64_t rows)
{
    size_t bytes = (size_t)(rows * s->hidden) * sizeof(float);

    if (from)
        memcpy(layer_at(s, to, 0, row, s->hidden), layer_at(s, from, 0, row, s->hidden), bytes);
    else
        memset(layer_at(s, to, 0, row, s->hidden), 0, bytes);
}

/* All steps of some rows. */
static void layer_back_piece(void *context, int64_t piece)
{
    const layer_job *j = context;
    const cti_layer *s = j->s;
    int64_t row = piece * j->tile, rows = layer_least(s->batch - row, j->tile), k;
    int64_t most = j->micro->rows[CTI_MICRO_VECTORS - 1], panel = CTI_MICRO_VECTORS * j->lanes;
    int64_t parts = (rows + most - 1) / most * ((s->hidden + panel - 1) / panel);
    layer_range range = { 0, s->hidden, row, rows };

    layer_begin(s, s->dh0, s->dh_last, row, rows);
    if (s->dc0)
        layer_begin(s, s->dc0, s->dc_last, row, rows);
    for (k = s->steps - 1; k >= 0; k--) {
        int64_t t = layer_time(s, k), at = t * s->batch + row;
        layer_product dh = { true, at, rows, 0, s->hidden, layer_at(s, s->dh0, 0, row, s->hidden) };
        layer_product dx = { false, at, rows, 0, s->input, layer_at(s, s->dx, t, row, s->input) };
        layer_next next = { j, k == 0 ? -1 : layer_time(s, k - 1), row, rows, 0, parts };

        layer_gates_back(j, t, &range);
        layer_through(j, &dh, &next);
        if (s->dx)
            layer_through(j, &dx, &next);
    }
}

/* A block of a step that threads share: dh of its units from the gradients of all gates, then the
 * gradients of its own gates one step before. */
static void layer_back_block(void *context, int64_t step, int64_t block)
{
    const layer_job *j = context;
    const cti_layer *s = j->s;
    layer_range r = layer_range_of(j, block);
    int64_t k = s->steps - step;
    layer_next none = { .j = j, .t = -1 };

    if (k < s->steps) {
        layer_product dh = { true,
                             layer_time(s, k) * s->batch + r.row,
                             r.rows,
                             r.unit,
                             r.unit + r.units,
                             layer_at(s, s->dh0, 0, r.row, s->hidden) };

        layer_through(j, &dh, &none);
    }
    if (k > 0)
        layer_gates_back(j, layer_time(s, k - 1), &r);
}

/* dx of some rows of all steps. */
static void layer_input_piece(void *context, int64_t piece)
{
    const layer_job *j = context;
    int64_t row = piece * INPUT_ROWS, rows = layer_least(j->rows - row, INPUT_ROWS);
    layer_product dx = { false, row, rows, 0, j->s->input, (float *)j->s->dx + row * j->s->input };
    layer_next none = { .j = j, .t = -1 };

    layer_through(j, &dx, &none);
}

/* The steps of all rows, shared by threads. */
static void layer_back_shared(layer_job *j)
{
    const cti_layer *s = j->s;
    cti_shared_steps steps = { s->steps + 1, j->groups * j->parts, layer_back_block, j };

    layer_begin(s, s->dh0, s->dh_last, 0, s->batch);
    if (s->dc0)
        layer_begin(s, s->dc0, s->dc_last, 0, s->batch);
    cti_parallel_steps(&steps);
    if (s->dx)
        cti_parallel((j->rows + INPUT_ROWS - 1) / INPUT_ROWS, layer_input_piece, j);
}

/* ---- the gradients of the weights ---- */

/* The operand of the gradient of a weight: h for W_hh, x for W_ih. */
typedef struct layer_operand {
    bool state;
    int64_t n;
    const float *in; /* (T B, n) */
    float *
        panels; /* a part of its rows in panels: (depth, four vectors), the last in whole vectors */
    float *dw;  /* (G H, n) */
} layer_operand;

/* Copies rows row .. row + depth - 1 of h or x into panels. If their columns are whole vectors, does
 * nothing: the products then read them in place. */
static void layer_copy_panels(const layer_job *j, const layer_operand *o, int64_t row,
                              int64_t depth)
{
    int64_t step = CTI_MICRO_VECTORS * j->lanes, at, i;

    if (o->n % j->lanes == 0)
        return;
    for (at = 0; at < o->n; at += step) {
        int64_t width = layer_width(j, at, o->n), left = layer_least(o->n - at, step);
        const float *in = o->in + row * o->n + at;
        float *to = o->panels + at * depth;

        for (i = 0; i < depth; i++, in += o->n, to += width) {
            memcpy(to, in, (size_t)left * sizeof *to);
            memset(to + left, 0, (size_t)(width - left) * sizeof *to);
        }
    }
}

/* Returns the states before each step (T B, H). */
static const float *layer_states(const cti_layer *s)
{
    return layer_at(s, s->h, s->reverse ? 1 : 0, 0, s->hidden);
}

/* Returns the place of the gradients of a group of 16 units in its block, and the width of the rows. */
static const float *layer_group(const layer_job *j, int64_t unit, int64_t *width)
{
    int64_t block = unit / j->block;

    *width = layer_block_width(j, block);
    return j->d + block * j->rows * CTI_CELL_WIDTH + (j->gated ? 0 : unit % j->block);
}

/* Computes at most 16 rows of dW, which begin with number `first`: = or += the product of t->k rows of
 * t->a, transposed, and the rows of h or x that begin with number `row`. */
static void layer_weight_tiles(const layer_job *j, const layer_operand *o, cti_micro_tile *t,
                               int64_t row, int64_t first, int64_t units)
{
    int64_t step = CTI_MICRO_VECTORS * j->lanes, at, i;
    bool in_place = o->n % j->lanes == 0;
    const float *d = t->a;
    int count;

    t->ldc = o->n;
    for (at = 0; at < o->n; at += step) {
        int64_t width = layer_width(j, at, o->n);

        t->ldb = in_place ? o->n : width;
        t->b = in_place ? o->in + row * o->n + at : o->panels + at * t->k;
        for (i = 0; i < units; i += count) {
            count = layer_tile_rows(j, units, i, width);
            t->a = d + i;
            t->c = o->dw + (first + i) * o->n + at;
            layer_run(j, t, count, layer_least(o->n - at, step));
        }
    }
    t->a = d;
}

/* Computes the gradient of a weight for 16 units, from one part of the rows. */
static void layer_weight_part(const layer_job *j, const layer_operand *o, int64_t unit, int64_t row,
                              int64_t depth)
{
    int64_t h = j->s->hidden, units = layer_least(h - unit, CTI_CELL_UNITS), width;
    bool skips = j->s->kind == CTI_CELL_GRU && !o->state;
    const float *d = layer_group(j, unit, &width);
    cti_micro_tile t = {
        .k = depth, .parts = 1, .step_i = 1, .step_k = width, .accumulate = row > 0
    };
    int part;

    for (part = 0; part < layer_parts(j); part++) {
        t.a = d + row * width + (part + skips) * CTI_CELL_UNITS;
        layer_weight_tiles(j, o, &t, row, (j->gated ? layer_gate(j, o->state, part) * h : 0) + unit,
                           units);
    }
}

/* A one-hot x selects a column of W_ih. The gradient of a column is a sum of rows of dgates. */
static void layer_add_classes(const layer_job *j, int64_t unit, int64_t row, int64_t depth)
{
    const cti_layer *s = j->s;
    int64_t width, columns = j->gated ? CTI_CELL_WIDTH : CTI_CELL_UNITS, class[DEPTH], i;
    const float *d = layer_group(j, unit, &width) + row * width;
    float *sums = j->classes + unit / CTI_CELL_UNITS * s->input * CTI_CELL_WIDTH;

    if (row == 0)
        memset(sums, 0, (size_t)(s->input * CTI_CELL_WIDTH) * sizeof *sums);
    for (i = 0; i < depth; i++)
        class[i] = cti_cpu_index_at(s->index, s->index_dtype, row + i);
    j->micro->scatter(depth, width, columns, d, class, sums);
}

/* Returns the column, in a block's row, of a part that belongs to the state, or to the input. */
static int64_t layer_column(const layer_job *j, bool state, int part)
{
    return (part + (j->s->kind == CTI_CELL_GRU && !state)) * CTI_CELL_UNITS;
}

static void layer_store_classes(const layer_job *j, int64_t unit)
{
    const cti_layer *s = j->s;
    int64_t units = layer_least(s->hidden - unit, CTI_CELL_UNITS), c, i;
    const float *sums = j->classes + unit / CTI_CELL_UNITS * s->input * CTI_CELL_WIDTH;
    int part;

    for (part = 0; part < layer_parts(j); part++)
        for (i = 0; i < units; i++) {
            int64_t row = (j->gated ? layer_gate(j, false, part) * s->hidden : 0) + unit + i;

            for (c = 0; c < s->input; c++)
                ((float *)s->dw_ih)[row * s->input + c] =
                    sums[c * CTI_CELL_WIDTH + layer_column(j, false, part) + i];
        }
}

static void layer_store_bias(const layer_job *j, bool state, int64_t unit, const float *sums,
                             void *db)
{
    int64_t h = j->s->hidden, units = layer_least(h - unit, CTI_CELL_UNITS), i;
    int part;

    for (part = 0; db && part < layer_parts(j); part++)
        for (i = 0; i < units; i++)
            ((float *)db)[(j->gated ? layer_gate(j, state, part) * h : 0) + unit + i] =
                sums[layer_column(j, state, part) + i];
}

/* Computes the gradients for some groups of 16 units. All groups use one part of the rows before the
 * next part, so that the states of the part stay in the second-level cache. */
static void layer_weights_piece(void *context, int64_t piece)
{
    const layer_job *j = context;
    const cti_layer *s = j->s;
    int64_t first = piece * j->share, end = layer_least(first + j->share, s->hidden), row, unit;
    int64_t step = CTI_MICRO_VECTORS * j->lanes, width;
    float *panels = j->copies + piece * j->copy;
    const layer_operand of[] = { { true, s->hidden, layer_states(s), panels, s->dw_hh },
                                 { false, s->input, s->x,
                                   panels + DEPTH * layer_up(s->hidden, step),
                                   s->x ? s->dw_ih : NULL } };

    for (row = 0; row < j->rows; row += DEPTH) {
        int64_t depth = layer_least(j->rows - row, DEPTH);

        if (s->dw_hh)
            layer_copy_panels(j, &of[0], row, depth);
        if (of[1].dw)
            layer_copy_panels(j, &of[1], row, depth);
        for (unit = first; unit < end; unit += CTI_CELL_UNITS) {
            const float *d = layer_group(j, unit, &width);

            if (s->dw_hh)
                layer_weight_part(j, &of[0], unit, row, depth);
            if (of[1].dw)
                layer_weight_part(j, &of[1], unit, row, depth);
            if (s->dw_ih && !s->x)
                layer_add_classes(j, unit, row, depth);
            j->micro->sum(row > 0, depth, width, j->gated ? CTI_CELL_WIDTH : CTI_CELL_UNITS,
                          d + row * width, j->sums + unit / CTI_CELL_UNITS * CTI_CELL_WIDTH);
        }
    }
    for (unit = first; unit < end; unit += CTI_CELL_UNITS) {
        const float *sums = j->sums + unit / CTI_CELL_UNITS * CTI_CELL_WIDTH;

        if (s->dw_ih && !s->x)
            layer_store_classes(j, unit);
        layer_store_bias(j, true, unit, sums, s->db_hh);
        layer_store_bias(j, false, unit, sums, s->db_ih);
    }
}

/* ---- backward ---- */

/* Takes the next `count` floats of memory, of which *used are taken. Returns NULL if memory is NULL. */
static float *layer_take(float *memory, int64_t *used, int64_t count)
{
    float *p = memory ? memory + *used : NULL;

    *used += layer_up(count, CTI_MICRO_LANES);
    return p;
}

static int64_t layer_shares(const layer_job *j)
{
    return (j->s->hidden + j->share - 1) / j->share;
}

/* Divides the memory of the backward pass. Returns the number of floats that it needs; memory may be
 * NULL. */
static int64_t layer_lay_out(layer_job *j, float *memory)
{
    const cti_layer *s = j->s;
    int64_t depth = layer_depth(j), panel = CTI_MICRO_VECTORS * j->lanes, used = 0;
    int64_t groups = layer_up(s->hidden, CTI_CELL_UNITS) / CTI_CELL_UNITS;

    j->d = layer_take(memory, &used, j->rows * j->blocks * CTI_CELL_WIDTH);
    j->sums = layer_take(memory, &used, groups * CTI_CELL_WIDTH);
    j->bh = layer_take(memory, &used, depth * layer_up(s->hidden, panel));
    j->bx = layer_take(memory, &used, s->dx ? depth * layer_up(s->input, panel) : 0);
    if (!s->x)
        j->classes = layer_take(memory, &used, groups * s->input * CTI_CELL_WIDTH);
    j->share = layer_up((s->hidden + ct_num_threads() - 1) / ct_num_threads(), CTI_CELL_UNITS);
    j->copy = DEPTH * (layer_up(s->hidden, panel) + (s->x ? layer_up(s->input, panel) : 0));
    j->copies = layer_take(memory, &used, layer_shares(j) * j->copy);
    return used;
}

ct_status cti_cpu_layer_backward(const cti_layer *s)
{
    int64_t panel, last;
    ct_storage *room;
    layer_job j;

    /* After ct_set_portable(true), too: the forward kernel has run. */
    if (!cti_layer_init(&j, s, cti_cpu_path_best()))
        return CT_ERR_MEMORY;
    room = cti_storage_try(CT_CPU, (size_t)layer_lay_out(&j, NULL) * sizeof(float));
    if (!room)
        return CT_ERR_MEMORY;
    layer_lay_out(&j, room->data);
    panel = CTI_MICRO_VECTORS * j.lanes;
    last = (j.blocks - 1) * j.rows * CTI_CELL_WIDTH;
    if (s->hidden % CTI_CELL_UNITS) /* units that do not exist have gradients of 0 */
        memset(j.d + last, 0, (size_t)(j.rows * CTI_CELL_WIDTH) * sizeof(float));
    cti_parallel((s->hidden + panel - 1) / panel, layer_pack_back_h, &j);
    if (s->dx)
        cti_parallel((s->input + panel - 1) / panel, layer_pack_back_x, &j);
    if (j.parts)
        layer_back_shared(&j);
    else
        cti_parallel(layer_pieces(&j), layer_back_piece, &j);
    cti_parallel(layer_shares(&j), layer_weights_piece, &j);
    cti_storage_unref(room);
    return CT_OK;
}
