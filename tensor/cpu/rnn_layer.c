/* SPDX-License-Identifier: MIT */
/* rnn_layer.c - a recurrent layer with its input and all its gradients in f32, by products in registers
 * (gemm_micro.c; in bf16, gemm_bf16_avx512.c).
 *
 * For the forward pass, the weights are packed in panels. A panel of an LSTM has all gates of the hidden
 * units of one vector. So the cell is computed while the sums of a few rows are in the first-level
 * cache. A panel of an RNN has four vectors of units. The sums begin with both biases or, if x is
 * one-hot, with a row of W_ih^T plus both biases.
 *
 *     panel of an LSTM:   k = 0:  i0 .. i15  f0 .. f15  g0 .. g15  o0 .. o15
 *                         k = 1:  i0 .. i15  ...
 *
 * The backward pass writes the gradients of the gates once, in blocks that all products read:
 *
 *     block of 16 units:  row (t, b) = 0:  di0 .. di15  df0 .. df15  dg0 .. dg15  do0 .. do15
 *                         row (t, b) = 1:  ...
 *
 *     dh = dgates W_hh    dx = dgates W_ih    dW_hh = dgates^T h    dW_ih = dgates^T x    db = its sums
 *
 * A panel and a block of a GRU also have four parts: h W_n + b_n, r, z and x W_n + b_n. The first three
 * belong to the state, the last three to the input. A block of an RNN has 64 units.
 *
 * In bf16, only the operands of products are pairs of bf16: the packed weights, x, h, dgates. They are
 * copies; all results are f32. The last pair of an odd number has a 0.
 *
 * Every element of a result is one chain of operations, whose order depends only on the sizes of the
 * layer. So the rows and units may be distributed by the number of threads. Each thread runs all
 * steps of some rows. If that gives a thread too few rows for the size of the weights, the threads
 * share the blocks of each step instead (parallel_steps.c).
 *
 * Stacked layers, if threads share their steps, run at the same time: forward, each layer is one step
 * behind the layer below; backward, two steps behind the layer above, because the step between them
 * computes dx. If threads do not share the steps, or the layers are wide, they run one after
 * the other. */
#include "tensor/cpu/rnn_layer.h"

#include "tensor/parallel.h"

#include <string.h>

#define MOST_TILE 64 /* rows of the batch that go through all steps together */
#define LEAST_TILE 4 /* a thread for fewer rows does not pay, because each reads all weights */
#define WIDE_TILE 16 /* rows for which a thread may read weights that its cache does not hold */
#define SHARED_WORK 65536 /* the least multiplications by W_hh of a step that threads share */
#define CACHED (1 << 18)  /* elements of W_hh that the cache of one processor holds */
#define STACKED (1 << 17) /* the most elements of W_hh for each thread in stacked layers at once */
#define ONE_HOT 1024      /* the most classes of a one-hot x */
#define NARROW_ROWS 256   /* rows of x that are copied in pairs at a time */

const cti_micro *cti_micro_wanted;

const cti_micro *cti_micro_of(const cti_cpu_path *path)
{
    const cti_micro *m = cti_micro_wanted ? cti_micro_wanted : path->micro;

    return m->lanes ? m : NULL;
}

/* Returns the size of W_hh in elements of f32. */
static int64_t layer_weights(const layer_job *j)
{
    return layer_words(j, layer_parts(j) * j->s->hidden * j->s->hidden);
}

/* Threads share each step if they would have too few rows each; more rows are needed if one thread's cache
 * does not hold all weights. In bf16 these take half the time and half the memory. Sets the blocks of a step: at least
 * two for each thread, if there are so many units and rows in the `stacked` layers. */
static void layer_share_steps(layer_job *j, int64_t most_blocks, int stacked)
{
    const cti_layer *s = j->s;
    int64_t weights = layer_weights(j), parts, all;

    int64_t least = weights < CACHED ? LEAST_TILE : WIDE_TILE;

    if (j->threads < 2 || weights * s->batch < SHARED_WORK || s->batch >= least * j->threads)
        return;
    j->group = layer_up((s->hidden + most_blocks - 1) / most_blocks, CTI_CELL_WIDTH);
    j->groups = (s->hidden + j->group - 1) / j->group;
    all = j->groups * stacked;
    parts = layer_least((2 * j->threads + all - 1) / all, most_blocks / j->groups);
    parts = layer_least(parts, (s->batch + LEAST_TILE - 1) / LEAST_TILE);
    j->parts = j->groups * parts > 1 ? parts : 0;
}

/* Chooses the kernels. Returns false if there are none. */
static bool layer_choose(layer_job *j, const cti_cpu_path *path, const cti_bf16_path *bf16)
{
    if (j->s->bf16) {
        if (!bf16)
            return false;
        j->bf16 = bf16;
        j->micro = path->micro; /* its vectors have as many lanes as those of bf16 */
        j->most_rows = bf16->rows;
        j->run = bf16->run;
        j->pack = bf16->pack;
        return true;
    }
    j->micro = cti_micro_of(path);
    if (!j->micro)
        return false;
    j->most_rows = j->micro->rows;
    j->run = j->micro->run;
    j->pack = j->micro->pack;
    return true;
}

static bool layer_init(layer_job *j, const cti_layer *s, const cti_cpu_path *path,
                       const cti_bf16_path *bf16, const layer_set *set)
{
    int stacked = set->job[set->count - 1].s->stacked ? set->count : 1;

    memset(j, 0, sizeof *j);
    j->s = s;
    if (!layer_choose(j, path, bf16) || s->steps < CTI_FEW_STEPS || s->hidden == 0 ||
        s->batch == 0 || (!s->x && s->input > ONE_HOT))
        return false;
    j->threads = ct_num_threads();
    if (stacked == 1)
        j->threads = (j->threads + set->count - 1) / set->count;
    j->lanes = j->micro->lanes;
    j->rows = s->steps * s->batch;
    j->gated = s->kind == CTI_CELL_LSTM || s->kind == CTI_CELL_GRU;
    j->units = j->gated ? j->lanes : CTI_MICRO_VECTORS * j->lanes;
    j->panels = (s->hidden + j->units - 1) / j->units;
    j->block = j->gated ? CTI_CELL_UNITS : CTI_CELL_WIDTH;
    j->blocks = (s->hidden + j->block - 1) / j->block;
    j->tile = layer_least((s->batch + j->threads - 1) / j->threads, MOST_TILE);
    j->tile = j->tile < LEAST_TILE ? LEAST_TILE : j->tile;
    layer_share_steps(j, CTI_STEPS_BLOCKS / set->count, stacked);
    return true;
}

/* Returns whether stacked layers gain nothing at the same time: threads do not share their steps, or their
 * caches do not hold the weights of all. */
static bool layer_in_turn(const layer_set *set, int64_t most)
{
    const layer_job *j = &set->job[set->count - 1];

    return j->below && (!j->parts || set->count * layer_weights(j) > most * j->threads);
}

bool cti_layers_init(layer_set *set, const cti_layer *s, const cti_cpu_path *path,
                     const cti_bf16_path *bf16, int64_t most)
{
    int i;

    for (set->count = 0; s && set->count < CTI_MOST_STACKED; s = s->next)
        set->job[set->count++].s = s;
    for (i = 0; i < set->count; i++) {
        if (!layer_init(&set->job[i], set->job[i].s, path, bf16, set))
            return false;
        set->job[i].below = set->job[i].s->stacked ? &set->job[i - 1] : NULL;
    }
    set->in_turn = set->count > 1 && (ct_num_threads() < 2 || layer_in_turn(set, most));
    return !s;
}

ct_status cti_layers_in_turn(const layer_set *set, bool top_first,
                             ct_status (*kernel)(const cti_layer *s))
{
    ct_status status = CT_OK;
    int i;

    for (i = 0; i < set->count && status == CT_OK; i++) {
        cti_layer one = *set->job[top_first ? set->count - 1 - i : i].s;

        one.next = NULL;
        one.stacked = false;
        status = kernel(&one);
    }
    return status;
}

/* ---- the pieces of all layers of a call ---- */

typedef struct layer_pieces_context {
    layer_set *set;
    int64_t pieces;
    void (*run)(const layer_job *j, int64_t piece);
    void (*run_block)(const layer_job *j, int64_t step, int64_t block);
} layer_pieces_context;

static void layer_run_piece(void *context, int64_t piece)
{
    const layer_pieces_context *c = context;

    c->run(&c->set->job[piece / c->pieces], piece % c->pieces);
}

/* Threads have ranges of blocks. So each thread has some units of all stacked layers, which differ in their
 * work, but all units of a direction. */
static void layer_run_block(void *context, int64_t step, int64_t number)
{
    const layer_pieces_context *c = context;
    const int count = c->set->count;
    const bool stacked = c->set->job[count - 1].below != NULL;
    const layer_job *j = &c->set->job[stacked ? number % count : number / c->pieces];

    if (step >= j->begin && step < j->begin + j->steps)
        c->run_block(j, step - j->begin, stacked ? number / count : number % c->pieces);
}

void cti_layers_parallel(layer_set *set, int64_t pieces,
                         void (*run)(const layer_job *j, int64_t piece))
{
    layer_pieces_context c = { .set = set, .pieces = pieces, .run = run };

    cti_parallel(set->count * pieces, layer_run_piece, &c);
}

void cti_layers_parallel_steps(layer_set *set,
                               void (*run)(const layer_job *j, int64_t step, int64_t block))
{
    const int64_t blocks = set->job[0].groups * set->job[0].parts;
    layer_pieces_context c = { .set = set, .pieces = blocks, .run_block = run };
    cti_shared_steps shared = { 0, set->count * blocks, layer_run_block, &c };
    int i;

    for (i = 0; i < set->count; i++) {
        int64_t end = set->job[i].begin + set->job[i].steps;

        shared.steps = shared.steps < end ? end : shared.steps;
    }
    cti_parallel_steps(&shared);
}

ct_storage *cti_layers_room(layer_set *set, int64_t (*lay_out)(layer_job *j, float *memory))
{
    int64_t floats = 0;
    ct_storage *room;
    int i;

    for (i = 0; i < set->count; i++)
        floats += lay_out(&set->job[i], NULL);
    room = cti_storage_try(CT_CPU, (size_t)floats * sizeof(float));
    for (i = 0, floats = 0; room && i < set->count; i++)
        floats += lay_out(&set->job[i], (float *)room->data + floats);
    return room;
}

/* ---- packing for forward ---- */

/* Returns the number of vectors of a forward panel of weights. */
static int64_t layer_vectors(const layer_job *j, int64_t panel)
{
    if (j->gated)
        return layer_parts(j);
    return layer_width(j, panel * j->units, j->s->hidden) / j->lanes;
}

/* Returns the first unit of vector v of a panel. */
static int64_t layer_unit(const layer_job *j, int64_t panel, int64_t v)
{
    return panel * j->units + (j->gated ? 0 : v * j->lanes);
}

/* Returns the number with which the sum of a unit of vector v of a panel begins. class is that of a one-hot
 * x, or -1. */
static float layer_start(const layer_job *j, int64_t v, int64_t unit, int64_t class)
{
    const cti_layer *s = j->s;
    const float *b_ih = s->b_ih, *b_hh = s->b_hh, *w = s->w_ih;
    bool gru = s->kind == CTI_CELL_GRU;
    int64_t gate = !j->gated ? 0 : gru ? (v == 0 || v == 3 ? 2 : v - 1) : v;
    int64_t row = gate * s->hidden + unit;
    bool of_state = !gru || v < 3, of_input = !gru || v > 0;
    float sum = 0;

    if (of_input && b_ih)
        sum += b_ih[row];
    if (of_state && b_hh)
        sum += b_hh[row];
    if (of_input && class >= 0)
        sum += w[row * s->input + class];
    return sum;
}

static void layer_pack_start(const layer_job *j, int64_t panel)
{
    const cti_layer *s = j->s;
    int64_t width = CTI_MICRO_VECTORS * j->lanes, classes = s->x ? 1 : s->input, c, v, i;
    float *to = j->start + panel * classes * width;

    for (c = 0; c < classes; c++, to += width)
        for (v = 0; v < CTI_MICRO_VECTORS; v++)
            for (i = 0; i < j->lanes; i++) {
                int64_t unit = layer_unit(j, panel, v) + i;

                to[v * j->lanes + i] =
                    unit < s->hidden ? layer_start(j, v, unit, s->x ? -1 : c) : 0;
            }
}

/* Packs `count` rows of w (G H, k). All are fetched first, because the processor does not follow 16
 * rows. */
static void layer_pack_vector(const layer_job *j, int64_t k, int64_t count, const float *w,
                              int64_t width, float *to)
{
    int64_t i;

    for (i = 0; i < count * k; i += 16)
        __builtin_prefetch(w + i);
    j->pack(k, count, w, k, width, to);
}

static void layer_pack_panel(const layer_job *j, int64_t panel)
{
    const cti_layer *s = j->s;
    int64_t vectors = layer_vectors(j, panel), width = vectors * j->lanes, v;
    float *wh = j->wh + panel * CTI_MICRO_VECTORS * j->lanes * layer_words(j, s->hidden);
    float *wx = j->wx + panel * CTI_MICRO_VECTORS * j->lanes * layer_words(j, s->input);

    for (v = 0; v < vectors; v++) {
        int64_t unit = layer_unit(j, panel, v), count = layer_least(s->hidden - unit, j->lanes);
        int64_t row_h = (j->gated ? layer_gate(j, true, v) * s->hidden : 0) + unit;
        int64_t row_x = (j->gated ? layer_gate(j, false, v) * s->hidden : 0) + unit;

        layer_pack_vector(j, s->hidden, count, (const float *)s->w_hh + row_h * s->hidden, width,
                          wh + v * j->lanes);
        if (s->x)
            layer_pack_vector(j, s->input, count, (const float *)s->w_ih + row_x * s->input, width,
                              wx + v * j->lanes);
    }
    layer_pack_start(j, panel);
}

/* ---- forward ---- */

/* Some rows of a step, and the units of one panel. */
typedef struct layer_tile {
    const layer_job *j;
    int64_t t, row, panel, unit, units;
    int rows, vectors;
    const float *start[CTI_MICRO_ROWS]; /* what the sums of each row begin with */
    float *sum;                         /* (rows, CTI_MICRO_VECTORS) */
} layer_tile;

static void layer_find_starts(layer_tile *p)
{
    const layer_job *j = p->j;
    const cti_layer *s = j->s;
    int64_t width = CTI_MICRO_VECTORS * j->lanes, classes = s->x ? 1 : s->input;
    const float *start = j->start + p->panel * classes * width;
    int i;

    for (i = 0; i < p->rows; i++)
        p->start[i] = s->x ? start
                           : start + width * cti_cpu_index_at(s->index, s->index_dtype,
                                                              p->t * s->batch + p->row + i);
}

/* Returns the address of row `row` of the pairs of the state with number t of h. */
static float *layer_pairs_h(const layer_job *j, int64_t t, int64_t row)
{
    return j->pairs_h + (t % 2 * j->s->batch + row) * layer_words(j, j->s->hidden);
}

/* Returns the rows of the state before a step, as the products read them. */
static const float *layer_operand_h(const layer_tile *p)
{
    const cti_layer *s = p->j->s;
    int64_t t = layer_before(s, p->t);

    return p->j->bf16 ? layer_pairs_h(p->j, t, p->row) : layer_at(s, s->h, t, p->row, s->hidden);
}

static const float *layer_operand_x(const layer_tile *p)
{
    const cti_layer *s = p->j->s;

    /* The layer below is one step ahead. It keeps the pairs of two states: that before its step, which
     * is this x, and that after it. */
    if (p->j->bf16 && p->j->below)
        return layer_pairs_h(p->j->below, layer_after(s, p->t), p->row);
    return layer_at(s, p->j->bf16 ? p->j->pairs_x : s->x, p->t, p->row,
                    layer_words(p->j, s->input));
}

static void layer_sums(const layer_tile *p)
{
    const layer_job *j = p->j;
    const cti_layer *s = j->s;
    int64_t width = CTI_MICRO_VECTORS * j->lanes, own = p->vectors * j->lanes;
    int64_t k = layer_words(j, s->hidden);
    bool gru = s->kind == CTI_CELL_GRU;
    cti_micro_tile t = { .a = layer_operand_h(p),
                         .b = j->wh + p->panel * width * k,
                         .c = p->sum,
                         .k = k,
                         .parts = 1,
                         .step_i = k,
                         .step_k = 1,
                         .ldb = own,
                         .ldc = width,
                         .init = p->start };
    int i;

    if (s->gates) { /* the cell writes these lines */
        t.fetch = layer_block(j, s->gates, p->t, p->row, p->unit);
        t.fetch_lines = p->rows * (CTI_CELL_WIDTH / 16);
    }
    j->run(&t, p->rows, p->vectors);
    if (!s->x)
        return;
    for (i = 0; gru && i < p->rows; i++)
        memcpy(p->sum + i * width + own, p->start[i] + own, (size_t)j->lanes * sizeof *p->sum);
    t.a = layer_operand_x(p);
    t.k = t.step_i = layer_words(j, s->input);
    t.b = j->wx + p->panel * width * t.k;
    t.c = p->sum + (gru ? j->lanes : 0);
    t.init = NULL;
    t.fetch = NULL;
    t.accumulate = true;
    j->run(&t, p->rows, p->vectors);
}

static void layer_cell(const layer_tile *p)
{
    const layer_job *j = p->j;
    const cti_layer *s = j->s;
    int64_t h = s->hidden;
    const float *fresh[CTI_MICRO_ROWS];
    cti_cell_tile cell = { .rows = p->rows,
                           .units = (int)p->units,
                           .ld = h,
                           .sum = p->sum,
                           .x = s->x ? NULL : fresh,
                           .h = layer_at(s, s->h, layer_after(s, p->t), p->row, h) + p->unit };
    int i;

    if (!j->gated) {
        j->micro->activate(s->kind == CTI_CELL_RELU, &cell);
        return;
    }
    if (s->gates)
        cell.gates = layer_block(j, s->gates, p->t, p->row, p->unit);
    if (s->kind == CTI_CELL_LSTM) {
        cell.before = layer_at(s, s->c, layer_before(s, p->t), p->row, h) + p->unit;
        cell.c = layer_at(s, s->c, layer_after(s, p->t), p->row, h) + p->unit;
        j->micro->lstm(&cell);
        return;
    }
    for (i = 0; i < p->rows; i++)
        fresh[i] = p->start[i] + 3 * j->lanes;
    cell.before = layer_at(s, s->h, layer_before(s, p->t), p->row, h) + p->unit;
    j->micro->gru(&cell);
}

/* Copies the new state of a tile for the products of the next step. */
static void layer_narrow_h(const layer_tile *p)
{
    const cti_layer *s = p->j->s;
    int64_t t = layer_after(s, p->t), h = s->hidden;

    p->j->bf16->along(p->rows, p->units, layer_at(s, s->h, t, p->row, h) + p->unit, h,
                      layer_pairs_h(p->j, t, p->row) + p->unit / 2, layer_words(p->j, h));
}

/* One step of the units and rows of a range. */
static void layer_step(const layer_job *j, int64_t t, const layer_range *range)
{
    float sum[CTI_MICRO_ROWS * CTI_MICRO_VECTORS * CTI_MICRO_LANES];
    layer_tile p = { .j = j, .t = t, .sum = sum };
    int64_t i;

    for (p.unit = range->unit; p.unit < range->unit + range->units; p.unit += j->units) {
        p.panel = p.unit / j->units;
        p.units = layer_least(j->s->hidden - p.unit, j->units);
        p.vectors = (int)layer_vectors(j, p.panel);
        for (i = 0; i < range->rows; i += p.rows) {
            p.row = range->row + i;
            p.rows = layer_tile_rows(j, range->rows, i, p.vectors * j->lanes);
            layer_find_starts(&p);
            layer_sums(&p);
            layer_cell(&p);
            if (j->bf16)
                layer_narrow_h(&p);
        }
    }
}

/* All steps of some rows. */
static void layer_piece(const layer_job *j, int64_t piece)
{
    const cti_layer *s = j->s;
    int64_t row = piece * j->tile, k;
    layer_range range = { 0, s->hidden, row, layer_least(s->batch - row, j->tile) };

    for (k = 0; k < s->steps; k++)
        layer_step(j, layer_time(s, k), &range);
}

/* A block of a step that threads share. */
static void layer_forward_block(const layer_job *j, int64_t step, int64_t block)
{
    layer_range range = layer_range_of(j, block);

    layer_step(j, layer_time(j->s, step), &range);
}

/* Copies some rows of x, and those rows of the first state, in pairs. */
static void layer_narrow_piece(const layer_job *j, int64_t piece)
{
    const cti_layer *s = j->s;
    int64_t row = piece * NARROW_ROWS, first = layer_before(s, layer_time(s, 0));
    int64_t words = layer_words(j, s->hidden);

    if (s->x && !j->below)
        j->bf16->along(layer_least(j->rows - row, NARROW_ROWS), s->input,
                       (const float *)s->x + row * s->input, s->input,
                       j->pairs_x + row * layer_words(j, s->input), layer_words(j, s->input));
    if (row < s->batch)
        j->bf16->along(layer_least(s->batch - row, NARROW_ROWS), s->hidden,
                       layer_at(s, s->h, first, row, s->hidden), s->hidden,
                       layer_pairs_h(j, first, row), words);
}

/* Divides the memory of the forward pass. Returns the number of floats that it needs; memory may be
 * NULL. */
static int64_t layer_lay_out_forward(layer_job *j, float *memory)
{
    const cti_layer *s = j->s;
    int64_t width = j->panels * CTI_MICRO_VECTORS * j->lanes, used = 0;
    int64_t h = layer_words(j, s->hidden), x = layer_words(j, s->input);

    j->wh = layer_take(memory, &used, width * h);
    j->wx = layer_take(memory, &used, s->x ? width * x : 0);
    j->start = layer_take(memory, &used, width * (s->x ? 1 : s->input));
    j->pairs_h = layer_take(memory, &used, j->bf16 ? 2 * s->batch * h : 0);
    j->pairs_x = layer_take(memory, &used, j->bf16 && s->x && !j->below ? j->rows * x : 0);
    return used;
}

ct_status cti_cpu_layer(const cti_layer *s)
{
    ct_storage *room;
    layer_set set;
    layer_job *j = set.job;
    int i;

    if (ct_portable() ||
        !cti_layers_init(&set, s, cti_cpu_path_get(), cti_bf16_path_get(), STACKED))
        return CT_ERR_MEMORY;
    if (set.in_turn)
        return cti_layers_in_turn(&set, false, cti_cpu_layer);
    room = cti_layers_room(&set, layer_lay_out_forward);
    if (!room)
        return CT_ERR_MEMORY;
    cti_layers_parallel(&set, j->panels, layer_pack_panel);
    if (j->bf16)
        cti_layers_parallel(&set, (j->rows + NARROW_ROWS - 1) / NARROW_ROWS, layer_narrow_piece);
    for (i = 0; i < set.count; i++) {
        set.job[i].begin = set.job[i].below ? i : 0;
        set.job[i].steps = s->steps;
    }
    if (j->parts)
        cti_layers_parallel_steps(&set, layer_forward_block);
    else
        cti_layers_parallel(&set, layer_pieces(j), layer_piece);
    cti_storage_unref(room);
    return CT_OK;
}
