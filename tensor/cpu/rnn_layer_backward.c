/* SPDX-License-Identifier: MIT */
/* rnn_layer_backward.c - the gradients of a recurrent layer; see rnn_layer.c. */
#include "tensor/cpu/rnn_layer.h"

#include "tensor/parallel.h"

#include <string.h>

#define STACKED (1 << 19) /* the most elements of W_hh for each thread in stacked layers at once */
#define INPUT_ROWS 48     /* rows of dx of a piece */
#define NARROW_ROWS 4     /* rows of dgates that are copied in pairs at a time */

/* ---- packing for backward ---- */

/* Returns the number of rows of a packed weight: one for each float of the parts that belong to the
 * state, or to the input. */
static int64_t layer_depth(const layer_job *j)
{
    return layer_parts(j) * layer_up(j->s->hidden, CTI_CELL_UNITS);
}

/* Packs one row of W or, in bf16, the pairs of two rows, as a row of a panel. `rows` of them exist; the
 * others are zeros, as are the columns from `columns` up to whole vectors. */
static void layer_pack_row(const layer_job *j, int64_t rows, int64_t columns, const float *w,
                           int64_t n, float *to)
{
    int64_t count = rows > 0 ? columns : 0, width = layer_up(columns, j->lanes);

    if (rows > 0 && j->bf16)
        j->bf16->across(rows, columns, w, n, to, width);
    else
        memcpy(to, w, (size_t)count * sizeof *to);
    memset(to + count, 0, (size_t)(width - count) * sizeof *to);
}

/* Packs the rows of 16 units of W (G H, n) in all panels, in the order of the blocks, with zeros for
 * units that do not exist. */
static void layer_pack_back(const layer_job *j, bool state, int64_t group, float *out)
{
    int64_t h = j->s->hidden, n = state ? h : j->s->input, step = CTI_MICRO_VECTORS * j->lanes;
    int64_t depth = layer_words(j, layer_depth(j)), unit = group * CTI_CELL_UNITS, at, i;
    int64_t place = layer_words(j, unit * layer_parts(j)), together = j->bf16 ? 2 : 1;
    const float *w = state ? j->s->w_hh : j->s->w_ih;
    int part;

    for (part = 0; part < layer_parts(j); part++)
        for (i = unit; i < unit + CTI_CELL_UNITS; i += together, place++) {
            int64_t row = (j->gated ? layer_gate(j, state, part) * h : 0) + i;

            for (at = 0; at < n; at += step)
                layer_pack_row(j, layer_least(h - i, together), layer_least(n - at, step),
                               w + (i < h ? row * n + at : 0), n,
                               out + at * depth + place * layer_width(j, at, n));
        }
}

static void layer_pack_back_units(const layer_job *j, int64_t group)
{
    layer_pack_back(j, true, group, j->bh);
    if (j->s->dx)
        layer_pack_back(j, false, group, j->bx);
}

/* ---- backward through the steps ---- */

/* Returns the number, among the rows of dgates that the products read, of row `row` of step t. */
static int64_t layer_operand_row(const layer_job *j, int64_t t, int64_t row)
{
    return j->bf16 && !j->parts ? row : t * j->s->batch + row;
}

/* Returns the words from one block of these rows to the next. */
static int64_t layer_operand_block(const layer_job *j)
{
    if (!j->bf16)
        return j->rows * CTI_CELL_WIDTH;
    return (j->parts ? j->rows : j->s->batch) * layer_words(j, CTI_CELL_WIDTH);
}

/* The gradients of the gates, and of the states before them, of the rows and units of a range at time
 * t. The range begins with a block. */
static void layer_range_back(const layer_job *j, int64_t t, const layer_range *range)
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

/* Copies the gradients of the gates of a range at time t in pairs. */
static void layer_narrow_gates(const layer_job *j, int64_t t, const layer_range *range)
{
    int64_t at = t * j->s->batch + range->row, to = layer_operand_row(j, t, range->row), block;

    for (block = range->unit / j->block; block * j->block < range->unit + range->units; block++) {
        int64_t width = layer_block_width(j, block);

        j->bf16->along(1, range->rows * width, j->d + block * j->rows * CTI_CELL_WIDTH + at * width,
                       0, j->pairs_d + block * layer_operand_block(j) + to * layer_words(j, width),
                       0);
    }
}

/* layer_range_back for all rows of a range. In bf16, copies the gradients while they are in the
 * first-level cache. */
static void layer_gates_back(const layer_job *j, int64_t t, const layer_range *range)
{
    layer_range few = *range;
    int64_t left = range->rows;

    if (!j->bf16) {
        layer_range_back(j, t, range);
        return;
    }
    for (; left > 0; left -= few.rows, few.row += few.rows) {
        few.rows = layer_least(left, NARROW_ROWS);
        layer_range_back(j, t, &few);
        layer_narrow_gates(j, t, &few);
    }
}

/* Memory that is fetched into the cache: some blocks, `step` floats apart, each of `lines` times 16 floats. */
typedef struct layer_region {
    const float *at;
    int64_t blocks, lines, step;
} layer_region;

/* What the next step reads and writes, and what is copied after this step. The tiles of this step fetch
 * it. */
typedef struct layer_next {
    layer_region region[8];
    int regions;
} layer_next;

static void layer_next_add(layer_next *n, const float *at, int64_t blocks, int64_t floats,
                           int64_t step)
{
    if (at && floats / 16 > 0)
        n->region[n->regions++] = (layer_region){ at, blocks, floats / 16, step };
}

/* Adds what cti_layer_copy writes for time t, and what it reads but the cells do not. */
static void layer_next_copy(const layer_job *j, layer_next *n, int64_t t, int64_t row, int64_t rows)
{
    const cti_layer *s = j->s;
    int64_t each = j->block / CTI_CELL_UNITS, i; /* groups for each block */

    if (!s->dw_hh || !layer_copies_in_steps(j))
        return;
    for (i = 0; i < each && i < layer_groups_of(s->hidden); i++)
        layer_next_add(n, layer_operand_at(j, i, t * s->batch + row), j->blocks,
                       layer_words(j, rows) * CTI_CELL_UNITS,
                       each * layer_words(j, j->rows) * CTI_CELL_UNITS);
    if (s->kind == CTI_CELL_LSTM)
        layer_next_add(n, layer_at(s, s->h, layer_before(s, t), row, s->hidden), 1,
                       rows * s->hidden, 0);
}

/* Finds what the step before step k of forward needs in these rows, and the copy after step k. */
static layer_next layer_next_of(const layer_job *j, int64_t k, int64_t row, int64_t rows)
{
    const cti_layer *s = j->s;
    int64_t h = s->hidden, step = j->rows * CTI_CELL_WIDTH, t = k < 1 ? 0 : layer_time(s, k - 1);
    const void *state = s->kind == CTI_CELL_LSTM ? s->c : s->h;
    int64_t time = j->gated ? layer_before(s, t) : layer_after(s, t);
    layer_next n = { .regions = 0 };

    if (k < 1)
        return n;
    layer_next_copy(j, &n, layer_time(s, k), row, rows);
    layer_next_add(&n, layer_at(s, state, time, row, h), 1, rows * h, 0);
    if (s->dy)
        layer_next_add(&n, layer_at(s, s->dy, t, row, h), 1, rows * h, 0);
    layer_next_add(&n, layer_block(j, j->d, t, row, 0), j->blocks, rows * CTI_CELL_WIDTH, step);
    if (j->gated)
        layer_next_add(&n, layer_block(j, s->gates, t, row, 0), j->blocks, rows * CTI_CELL_WIDTH,
                       step);
    return n;
}

/* Lets a tile of `parts` parts of k fetch a part of what is left. */
static void layer_fetch(layer_next *n, cti_micro_tile *t)
{
    layer_region *r;
    int64_t lines;

    t->fetch = NULL;
    if (n->regions == 0)
        return;
    r = &n->region[n->regions - 1];
    t->fetch = r->at;
    if (r->blocks > 1) { /* some lines of every block */
        lines = layer_least(r->lines, t->k);
        t->fetch_step = r->step;
        t->fetch_lines = lines;
    } else {
        lines = layer_least(r->lines, t->parts * t->k);
        t->fetch_lines = t->k;
        t->fetch_step = 16 * t->k;
    }
    r->at += 16 * lines;
    r->lines -= lines;
    n->regions -= r->lines == 0;
}

/* Multiplies one tile of dgates by a packed panel: first the whole blocks, then the last block of an
 * RNN, which may be narrower. */
static void layer_run_blocks(const layer_job *j, cti_micro_tile *t, int64_t row, int rows,
                             layer_next *next)
{
    const int vectors = (int)(t->ldb / j->lanes);
    int64_t last = layer_block_width(j, j->blocks - 1), width = layer_words(j, CTI_CELL_WIDTH);
    int64_t whole = last < CTI_CELL_WIDTH ? j->blocks - 1 : j->blocks;
    const float *a = t->a, *b = t->b;
    bool accumulate = t->accumulate;

    t->parts = whole;
    t->k = layer_words(j, j->gated ? layer_parts(j) * CTI_CELL_UNITS : CTI_CELL_WIDTH);
    t->step_part = layer_operand_block(j);
    t->step_i = width;
    t->a = a + row * width;
    if (whole) {
        layer_fetch(next, t);
        j->run(t, rows, vectors);
    }
    t->fetch = NULL;
    if (last < CTI_CELL_WIDTH) {
        t->accumulate = accumulate || whole > 0;
        t->parts = 1;
        t->k = t->step_i = layer_words(j, last);
        t->a = a + whole * t->step_part + row * t->k;
        t->b = b + whole * width * t->ldb;
        j->run(t, rows, vectors);
    }
    t->accumulate = accumulate;
    t->a = a;
    t->b = b;
}

/* Columns first .. end - 1 of a product dgates W. */
typedef struct layer_product {
    bool state;         /* W is W_hh; otherwise W_ih */
    int64_t row, rows;  /* of the rows of dgates that the products read */
    int64_t first, end; /* first is the start of a panel */
    float *out;         /* (rows, n) */
} layer_product;

/* out = or += dgates W. The tiles of the last quarter of the columns fetch, in bf16 those of the last half:
 * what is fetched earlier leaves the cache again while W passes through it. */
static void layer_through(const layer_job *j, const layer_product *p, layer_next *next)
{
    int64_t n = p->state ? j->s->hidden : j->s->input, step = CTI_MICRO_VECTORS * j->lanes, at, i;
    bool gru = j->s->kind == CTI_CELL_GRU;
    const float *d = j->bf16 ? j->pairs_d : j->d;
    cti_micro_tile t = { .a = d + (gru && !p->state ? layer_words(j, CTI_CELL_UNITS) : 0),
                         .step_k = 1,
                         .ldc = n,
                         .accumulate = p->state && gru };
    layer_next none = { .regions = 0 };
    int64_t late = j->bf16 ? p->end / 2 : 3 * p->end / 4;
    int count;

    for (at = p->first; at < p->end; at += step) {
        t.ldb = layer_width(j, at, n);
        t.spare = (int)(t.ldb - layer_least(n - at, step));
        t.b = (p->state ? j->bh : j->bx) + at * layer_words(j, layer_depth(j));
        for (i = 0; i < p->rows; i += count) {
            count = layer_tile_rows(j, p->rows, i, t.ldb);
            t.c = p->out + i * n + at;
            layer_run_blocks(j, &t, p->row + i, count, at + step > late ? next : &none);
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
static void layer_back_piece(const layer_job *j, int64_t piece)
{
    const cti_layer *s = j->s;
    int64_t row = piece * j->tile, rows = layer_least(s->batch - row, j->tile), k;
    layer_range range = { 0, s->hidden, row, rows };

    layer_begin(s, s->dh0, s->dh_last, row, rows);
    if (s->dc0)
        layer_begin(s, s->dc0, s->dc_last, row, rows);
    for (k = s->steps - 1; k >= 0; k--) {
        int64_t t = layer_time(s, k), at = layer_operand_row(j, t, row);
        layer_product dh = { true, at, rows, 0, s->hidden, layer_at(s, s->dh0, 0, row, s->hidden) };
        layer_product dx = { false, at, rows, 0, s->input, layer_at(s, s->dx, t, row, s->input) };
        layer_next next = layer_next_of(j, k, row, rows);

        layer_gates_back(j, t, &range);
        if (k > 0 || !s->no_dh0)
            layer_through(j, &dh, &next);
        if (s->dx)
            layer_through(j, &dx, &next);
        if (layer_copies_in_steps(j))
            cti_layer_copy(j, t * s->batch + row, rows);
    }
}

/* A block of a step that threads share: from the gradients of all gates, dh of its units and, if a
 * layer below waits for them, the same columns of dx; then the gradients of its own gates one step
 * before. */
static void layer_back_block(const layer_job *j, int64_t step, int64_t block)
{
    const cti_layer *s = j->s;
    layer_range r = layer_range_of(j, block);
    int64_t k = s->steps - step, t = layer_time(s, k), end = r.unit + r.units;
    int64_t row = layer_operand_row(j, t, r.row);
    layer_next none = { .regions = 0 };

    if (k < s->steps && (k > 0 || !s->no_dh0)) {
        float *out = layer_at(s, s->dh0, 0, r.row, s->hidden);
        layer_product dh = { true, row, r.rows, r.unit, end, out };

        layer_through(j, &dh, &none);
    }
    if (k < s->steps && j->below) {
        float *out = layer_at(s, s->dx, t, r.row, s->input);
        layer_product dx = { false, row, r.rows, r.unit, end, out };

        layer_through(j, &dx, &none);
    }
    if (k > 0)
        layer_gates_back(j, layer_time(s, k - 1), &r);
}

/* dx of some rows of all steps. */
static void layer_input_piece(const layer_job *j, int64_t piece)
{
    int64_t row = piece * INPUT_ROWS, rows = layer_least(j->rows - row, INPUT_ROWS);
    layer_product dx = { false, row, rows, 0, j->s->input, (float *)j->s->dx + row * j->s->input };
    layer_next none = { .regions = 0 };

    if (!j->below)
        layer_through(j, &dx, &none);
}

/* The steps of all rows, shared by threads. */
static void layer_back_shared(layer_set *set)
{
    const layer_job *j = set->job;
    int i;

    for (i = 0; i < set->count; i++) {
        layer_job *at = &set->job[i];
        const cti_layer *s = at->s;

        at->steps = s->steps + (!s->no_dh0 || at->below);
        at->begin = set->job[set->count - 1].below ? 2 * (set->count - 1 - i) : 0;
        layer_begin(s, s->dh0, s->dh_last, 0, s->batch);
        if (s->dc0)
            layer_begin(s, s->dc0, s->dc_last, 0, s->batch);
    }
    cti_layers_parallel_steps(set, layer_back_block);
    if (j->s->dx)
        cti_layers_parallel(set, (j->rows + INPUT_ROWS - 1) / INPUT_ROWS, layer_input_piece);
}

/* ---- backward ---- */

/* Divides the memory of the backward pass. Returns the number of floats that it needs; memory may be
 * NULL. */
static int64_t layer_lay_out_back(layer_job *j, float *memory)
{
    const cti_layer *s = j->s;
    int64_t depth = layer_words(j, layer_depth(j)), panel = CTI_MICRO_VECTORS * j->lanes, used = 0;

    j->d = layer_take(memory, &used, j->rows * j->blocks * CTI_CELL_WIDTH);
    j->pairs_d = layer_take(memory, &used, j->bf16 ? j->blocks * layer_operand_block(j) : 0);
    j->bh = layer_take(memory, &used, depth * layer_up(s->hidden, panel));
    j->bx = layer_take(memory, &used, s->dx ? depth * layer_up(s->input, panel) : 0);
    cti_layer_weights_init(j);
    j->operand = layer_take(memory, &used, layer_words(j, j->rows) * j->columns * CTI_CELL_UNITS);
    j->sums = layer_take(memory, &used, j->shares * j->sums_size);
    return used;
}

/* Units that do not exist have gradients of 0. */
static void layer_clear_last(const layer_job *j)
{
    if (j->s->hidden % CTI_CELL_UNITS)
        memset(j->d + (j->blocks - 1) * j->rows * CTI_CELL_WIDTH, 0,
               (size_t)(j->rows * CTI_CELL_WIDTH) * sizeof(float));
}

ct_status cti_cpu_layer_backward(const cti_layer *s)
{
    ct_storage *room;
    layer_set set;
    int i;

    /* After ct_set_portable(true), too: the forward kernel has run. */
    if (!cti_layers_init(&set, s, cti_cpu_path_best(), cti_bf16_path_best(), STACKED))
        return CT_ERR_MEMORY;
    if (set.in_turn)
        return cti_layers_in_turn(&set, true, cti_cpu_layer_backward);
    room = cti_layers_room(&set, layer_lay_out_back);
    if (!room)
        return CT_ERR_MEMORY;
    for (i = 0; i < set.count; i++)
        layer_clear_last(&set.job[i]);
    cti_layers_parallel(&set, (s->hidden + CTI_CELL_UNITS - 1) / CTI_CELL_UNITS,
                        layer_pack_back_units);
    if (set.job->parts)
        layer_back_shared(&set);
    else
        cti_layers_parallel(&set, layer_pieces(set.job), layer_back_piece);
    cti_layers_weights(&set);
    cti_storage_unref(room);
    return CT_OK;
}
