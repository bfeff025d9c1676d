/* SPDX-License-Identifier: MIT */
/* rnn.c - whole-sequence recurrent layers on the CPU.
 *
 * The batch is cut into tiles of rows, by its size alone. Each tile goes through all time steps
 * separately, so that its state stays in the cache and no barrier between tiles is needed. W is
 * packed once. Each step is one small product, which is added to the contribution of the input, and
 * one pass over the gates. */
#include "tensor/cpu/cpu.h"

#include "tensor/parallel.h"

#include <string.h>

#define MOST_ROWS 64  /* the rows of a tile */
#define SMALL_ROWS 16 /* rows of a tile of a small batch */

/* The data for a tile. Offsets are in elements of `size` bytes. */
typedef struct layer {
    const cti_sequence *s;
    const cti_row_loops *loops;
    int64_t size, width; /* width: G H */
    cti_packed w;        /* the packed W^T (H, G H); in backward W (G H, H) */
    /* parts of forward's scratch: (B, G H), (B, H) and, with an index, (B, G H) */
    char *gates, *hn, *x;
    /* bf16: the rounded operand of the product with w, (B, G H) or (B, H); otherwise NULL */
    float *rounded;
    /* the processor's bf16 instructions if they are used; otherwise NULL */
    const cti_bf16_path *native;
    uint32_t *pairs_w, *pairs; /* with them: the packed W and the packed operand */
} layer;

static layer rnn_layer(const cti_sequence *s)
{
    layer l;

    l.s = s;
    l.loops = cti_cpu_rows_of(s->dtype);
    l.size = (int64_t)ct_dtype_size(s->dtype);
    l.width = cti_gates_of(s->kind) * s->hidden;
    l.gates = l.hn = l.x = NULL;
    l.rounded = NULL;
    l.native = NULL;
    l.pairs_w = l.pairs = NULL;
    return l;
}

/* The address of row `row` of step t in an array (T, B, width). */
static char *rnn_at(const layer *l, const void *array, int64_t t, int64_t row, int64_t width)
{
    return (char *)array + (t * l->s->batch + row) * width * l->size;
}

/* The indices, in h and c, of the states before and after time t. */
static int64_t rnn_before(const cti_sequence *s, int64_t t)
{
    return s->reverse ? t + 1 : t;
}

static int64_t rnn_after(const cti_sequence *s, int64_t t)
{
    return s->reverse ? t : t + 1;
}

/* C (rows, n) = a (rows, k) W, or C += a W, for the packed W (k, n), as p specifies. row is the
 * number of the first row in the batch. */
static void rnn_multiply(const layer *l, const cti_product *p, const char *a, int64_t row, char *c)
{
    int64_t k = p->b->k;

    if (l->native) {
        const cti_bf16_product native = { .m = p->m,
                                          .n = p->b->n,
                                          .k = k,
                                          .ldc = p->ldc,
                                          .step_i = cti_bf16_pairs(k),
                                          .step_p = 1,
                                          .accumulate = p->accumulate };
        uint32_t *pairs = l->pairs + row * native.step_i;

        l->native->pack_a(false, p->m, k, (const float *)a, p->lda, pairs);
        l->native->multiply(&native, pairs, l->pairs_w, (float *)c);
    } else if (l->rounded) {
        cti_round_bf16(p->m * k, (const float *)a, l->rounded + row * k);
        cti_product_run(p, l->rounded + row * k, c);
    } else {
        cti_product_run(p, a, c);
    }
}

/* Packs W, or W^T if transposed, into room. */
static void rnn_pack(layer *l, bool transposed, int64_t k, int64_t n, void *room)
{
    l->w = cti_packed_layout(l->s->dtype, k, n, k);
    cti_pack(&l->w, transposed, l->s->w, l->s->hidden, room);
}

/* Packs W in bf16 in a new buffer, which also has room for the operands. NULL, without an error, if
 * there is no memory. */
static ct_storage *rnn_pack_bf16(layer *l, bool transposed, int64_t k, int64_t n)
{
    const cti_sequence *s = l->s;
    const cti_bf16_path *native = cti_bf16_path_get();
    int64_t operands = s->batch * (native ? cti_bf16_pairs(k) : k);
    int64_t words = native ? native->words_of_b(k, n) : k * n;
    ct_storage *room = cti_storage_try(CT_CPU, (size_t)(words + operands) * sizeof(uint32_t));

    if (!room)
        return NULL;
    if (native) {
        l->native = native;
        l->pairs_w = room->data;
        l->pairs = l->pairs_w + words;
        l->w = cti_packed_layout(s->dtype, k, n, k);
        native->pack_b(transposed, k, n, s->w, s->hidden, l->pairs_w);
    } else {
        rnn_pack(l, transposed, k, n, room->data);
        cti_round_bf16(k * n, room->data, room->data);
        l->rounded = (float *)room->data + words;
    }
    return room;
}

/* The number of rows of a tile. It is smaller for a small batch, so that two threads have work. It
 * depends on shapes alone. */
static int64_t rnn_tile_size(const cti_sequence *s)
{
    return s->batch > 2 * MOST_ROWS ? MOST_ROWS : SMALL_ROWS;
}

static int64_t rnn_tiles(const cti_sequence *s)
{
    return (s->batch + rnn_tile_size(s) - 1) / rnn_tile_size(s);
}

static int64_t rnn_tile_rows(const cti_sequence *s, int64_t tile)
{
    int64_t left = s->batch - tile * rnn_tile_size(s);

    return left < rnn_tile_size(s) ? left : rnn_tile_size(s);
}

/* The number of rows of a tile that have not ended at time t. */
static int64_t rnn_active_rows(const cti_sequence *s, int64_t row, int64_t rows, int64_t t)
{
    int64_t active = rows, r;

    for (r = 0; s->length && r < rows; r++)
        active -= s->length[row + r] <= t;
    return active;
}

/* ---- forward ---- */

/* Copies the state of rows that have ended at time t, in an array (T + 1, B, H). */
static void rnn_hold_ended(const layer *l, void *array, int64_t t, int64_t row, int64_t rows)
{
    const cti_sequence *s = l->s;
    int64_t r;

    for (r = row; r < row + rows; r++)
        if (s->length[r] <= t)
            memcpy(rnn_at(l, array, rnn_after(s, t), r, s->hidden),
                   rnn_at(l, array, rnn_before(s, t), r, s->hidden), (size_t)(s->hidden * l->size));
}

/* gates (rows, G H) += h (rows, H) W^T. row is the number of the first row in the batch. */
static void rnn_recur(const layer *l, const cti_product *p, const char *h, int64_t row,
                      int64_t rows, char *gates)
{
    const cti_sequence *s = l->s;
    const cti_gemm g = { .dtype = s->dtype,
                         .trans_b = true,
                         .n = l->width,
                         .k = s->hidden,
                         .alpha = 1,
                         .beta = 1,
                         .lda = s->hidden,
                         .ldb = s->hidden,
                         .ldc = l->width };

    if (l->native || l->w.data)
        rnn_multiply(l, p, h, row, gates);
    else
        cti_multiply(&g, rows, h, s->w, gates);
}

/* to (rows, G H) = the contribution of the input at time t, plus bias unless it is NULL */
static void rnn_take_input(const layer *l, int64_t t, int64_t row, int64_t rows, const void *bias,
                           char *to)
{
    const cti_sequence *s = l->s;
    int64_t number[MOST_ROWS], r;

    if (!s->index) {
        l->loops->add_bias(rows, l->width, rnn_at(l, s->x, t, row, l->width), l->width, bias, to,
                           l->width);
        return;
    }
    for (r = 0; r < rows; r++)
        number[r] = cti_cpu_index_at(s->index, s->index_dtype, t * s->batch + row + r);
    l->loops->gather_rows(rows, l->width, s->x, number, bias, to);
}

/* Returns the contribution of the input at time t (rows, G H), without a bias: its address in x, or
 * rows gathered by the index. */
static const char *rnn_input_at(const layer *l, int64_t t, int64_t row, int64_t rows)
{
    char *own;

    if (!l->s->index)
        return rnn_at(l, l->s->x, t, row, l->width);
    own = l->x + row * l->width * l->size;
    rnn_take_input(l, t, row, rows, NULL, own);
    return own;
}

static void rnn_forward_step(const layer *l, const cti_product *p, int64_t t, int64_t row,
                             int64_t rows)
{
    const cti_sequence *s = l->s;
    int64_t n = s->hidden;
    const char *h0 = rnn_at(l, s->h, rnn_before(s, t), row, n);
    char *h = rnn_at(l, s->h, rnn_after(s, t), row, n);
    char *scratch = l->gates + row * l->width * l->size;
    char *gates = s->gates ? rnn_at(l, s->gates, t, row, l->width) : scratch;

    if (s->kind == CTI_CELL_GRU) {
        char *hn = s->hn ? rnn_at(l, s->hn, t, row, n) : l->hn + row * n * l->size;

        l->loops->start_rows(rows, l->width, s->bias, scratch, l->width);
        rnn_recur(l, p, h0, row, rows, scratch);
        l->loops->gru(rows, n, rnn_input_at(l, t, row, rows), scratch, h0, gates, hn, h);
    } else if (s->kind == CTI_CELL_LSTM) {
        rnn_take_input(l, t, row, rows, s->bias, gates);
        rnn_recur(l, p, h0, row, rows, gates);
        l->loops->lstm(rows, n, gates, rnn_at(l, s->c, rnn_before(s, t), row, n),
                       rnn_at(l, s->c, rnn_after(s, t), row, n), h);
    } else {
        rnn_take_input(l, t, row, rows, s->bias, h);
        rnn_recur(l, p, h0, row, rows, h);
        l->loops->activate(s->kind == CTI_CELL_RELU, rows * n, h);
    }
}

static void rnn_forward_tile(void *context, int64_t tile)
{
    const layer *l = context;
    const cti_sequence *s = l->s;
    int64_t row = tile * rnn_tile_size(s), rows = rnn_tile_rows(s, tile), k;
    cti_product p = {
        .b = &l->w, .m = rows, .lda = s->hidden, .ldc = l->width, .accumulate = true
    };

    cti_product_init(&p);
    for (k = 0; k < s->steps; k++) {
        int64_t t = s->reverse ? s->steps - 1 - k : k, active = rnn_active_rows(s, row, rows, t);

        if (active)
            rnn_forward_step(l, &p, t, row, rows);
        if (active < rows) {
            rnn_hold_ended(l, s->h, t, row, rows);
            if (s->kind == CTI_CELL_LSTM)
                rnn_hold_ended(l, s->c, t, row, rows);
        }
    }
}

void cti_cpu_sequence(const cti_sequence *s)
{
    bool bf16 = s->bf16 && s->dtype == CT_F32;
    layer l = rnn_layer(s);
    ct_storage *room;

    l.gates = (char *)s->scratch + l.width * s->hidden * l.size;
    l.hn = l.gates + s->batch * l.width * l.size;
    l.x = l.hn + s->batch * s->hidden * l.size;
    l.w = cti_packed_layout(s->dtype, s->hidden, l.width, s->hidden);
    room = bf16 ? rnn_pack_bf16(&l, true, s->hidden, l.width) : NULL;
    if (!room && s->steps >= CTI_FEW_STEPS)
        rnn_pack(&l, true, s->hidden, l.width, s->scratch);
    cti_parallel(rnn_tiles(s), rnn_forward_tile, &l);
    if (room)
        cti_storage_unref(room);
}

/* ---- backward ---- */

/* to (rows, n) = the rows of `from` in this tile, or zeros if `from` is NULL */
static void rnn_begin(const layer *l, char *to, const void *from, int64_t row, int64_t rows)
{
    int64_t n = l->s->hidden;

    if (from)
        memcpy(to, (const char *)from + row * n * l->size, (size_t)(rows * n * l->size));
    else
        cti_cpu_backend.fill(to, l->s->dtype, rows * n, 0);
}

/* Differentiates the gates at time t, for rows that have not ended. */
static void rnn_gates_backward(const layer *l, int64_t t, int64_t row, int64_t rows)
{
    const cti_sequence *s = l->s;
    int64_t n = s->hidden;
    const char *dy = s->dy ? rnn_at(l, s->dy, t, row, n) : NULL;
    const char *h = rnn_at(l, s->h, rnn_after(s, t), row, n);
    const char *gates = s->gates ? rnn_at(l, s->gates, t, row, l->width) : NULL;
    char *dh = rnn_at(l, s->dh0, 0, row, n), *dx = rnn_at(l, s->dx, t, row, l->width);

    if (s->kind == CTI_CELL_GRU)
        l->loops->gru_backward(rows, n, gates, rnn_at(l, s->hn, t, row, n),
                               rnn_at(l, s->h, rnn_before(s, t), row, n), dy, dh, dx,
                               rnn_at(l, s->dhx, t, row, l->width));
    else if (s->kind == CTI_CELL_LSTM)
        l->loops->lstm_backward(rows, n, gates, rnn_at(l, s->c, rnn_before(s, t), row, n),
                                rnn_at(l, s->c, rnn_after(s, t), row, n), dy, dh,
                                rnn_at(l, s->dc0, 0, row, n), dx);
    else
        l->loops->activate_backward(s->kind == CTI_CELL_RELU, rows * n, h, dy, dh, dx);
}

/* Handles a row that has ended at time t: its gate gradients are 0. */
static void rnn_ended_backward(const layer *l, int64_t t, int64_t row)
{
    const cti_sequence *s = l->s;

    cti_cpu_backend.fill(rnn_at(l, s->dx, t, row, l->width), s->dtype, l->width, 0);
    if (s->kind == CTI_CELL_GRU)
        cti_cpu_backend.fill(rnn_at(l, s->dhx, t, row, l->width), s->dtype, l->width, 0);
    if (s->dy)
        l->loops->add_row(s->hidden, rnn_at(l, s->dh0, 0, row, s->hidden),
                          rnn_at(l, s->dy, t, row, s->hidden));
}

/* Differentiates the gates at time t if some rows may have ended. Afterwards dh has the terms to
 * which the product is added. */
static void rnn_some_gates_backward(const layer *l, int64_t t, int64_t row, int64_t rows)
{
    const cti_sequence *s = l->s;
    int64_t r;

    for (r = row; r < row + rows; r++) {
        if (s->length[r] <= t) {
            rnn_ended_backward(l, t, r);
            continue;
        }
        rnn_gates_backward(l, t, r, 1);
        if (s->kind != CTI_CELL_GRU)
            cti_cpu_backend.fill(rnn_at(l, s->dh0, 0, r, s->hidden), s->dtype, s->hidden, 0);
    }
}

static void rnn_backward_tile(void *context, int64_t tile)
{
    const layer *l = context;
    const cti_sequence *s = l->s;
    int64_t row = tile * rnn_tile_size(s), rows = rnn_tile_rows(s, tile), n = s->hidden, k;
    bool gru = s->kind == CTI_CELL_GRU;
    char *dh = rnn_at(l, s->dh0, 0, row, n);
    cti_product p = {
        .b = &l->w, .m = rows, .lda = l->width, .ldc = n, .accumulate = gru || s->length
    };

    cti_product_init(&p);
    rnn_begin(l, dh, s->dh_last, row, rows);
    if (s->dc0)
        rnn_begin(l, rnn_at(l, s->dc0, 0, row, n), s->dc_last, row, rows);
    for (k = s->steps - 1; k >= 0; k--) {
        int64_t t = s->reverse ? s->steps - 1 - k : k;

        if (s->length)
            rnn_some_gates_backward(l, t, row, rows);
        else
            rnn_gates_backward(l, t, row, rows);
        if (rnn_active_rows(s, row, rows, t))
            rnn_multiply(l, &p, rnn_at(l, gru ? s->dhx : s->dx, t, row, l->width), row, dh);
    }
}

void cti_cpu_sequence_backward(const cti_sequence *s)
{
    bool bf16 = s->bf16 && s->dtype == CT_F32;
    layer l = rnn_layer(s);
    ct_storage *room = NULL;

    l.w = (cti_packed){ s->dtype, l.width, s->hidden, l.width, s->hidden, s->hidden, s->w };
    if (bf16) {
        room = rnn_pack_bf16(&l, false, l.width, s->hidden);
    } else if (s->steps >= CTI_FEW_STEPS) {
        room = cti_storage_try(CT_CPU, (size_t)(l.width * s->hidden * l.size));
        if (room)
            rnn_pack(&l, false, l.width, s->hidden, room->data);
    }
    cti_parallel(rnn_tiles(s), rnn_backward_tile, &l);
    if (room)
        cti_storage_unref(room);
}
