/* SPDX-License-Identifier: MIT */
/* softmax.c - softmax, log-softmax and cross-entropy of rows (rows, n), and cross-entropy fused
 * with the linear layer that computes the scores. */
#include "tensor/cpu/cpu.h"

#include "tensor/parallel.h"

#include <string.h>

/* The rows of a piece: about half of CTI_CPU_PIECE elements, because exponentials are slow. */
static int64_t rows_per_piece(int64_t n)
{
    return (CTI_CPU_PIECE / 2 + n - 1) / n;
}

/* Calls run for each piece of (rows, n); context is the kernel's arguments. */
static void softmax_rows(int64_t rows, int64_t n, void (*run)(void *, int64_t), const void *context)
{
    if (rows && n)
        cti_parallel((rows + rows_per_piece(n) - 1) / rows_per_piece(n), run, (void *)context);
}

/* The row after the last one of a piece. */
static int64_t rows_end(int64_t rows, int64_t n, int64_t piece)
{
    int64_t end = (piece + 1) * rows_per_piece(n);

    return end < rows ? end : rows;
}

static void softmax_piece(void *context, int64_t piece)
{
    const cti_softmax_args *a = context;
    const cti_row_loops *loops = cti_cpu_rows_of(a->dtype);
    int64_t first = piece * rows_per_piece(a->n), end = rows_end(a->rows, a->n, piece);
    int64_t at = first * a->n * (int64_t)ct_dtype_size(a->dtype);

    loops->softmax(a->logarithm, end - first, a->n, (const char *)a->in + at, (char *)a->out + at);
}

void cti_cpu_softmax(const cti_softmax_args *a)
{
    softmax_rows(a->rows, a->n, softmax_piece, a);
}

/* ---- cross-entropy ---- */

/* Reads count targets from number `at` on. An ignored target becomes -1 for the loops. */
static void targets_read(const void *target, ct_dtype dtype, int64_t ignore, int64_t at,
                         int64_t count, int64_t *to)
{
    int64_t i;

    for (i = 0; i < count; i++) {
        int64_t k = cti_cpu_index_at(target, dtype, at + i);

        to[i] = k == ignore ? -1 : k;
    }
}

/* Returns CT_ERR_INDEX, with the position in *fault, if a target is neither ignored nor in
 * 0..n-1. */
static ct_status targets_check(const void *target, ct_dtype dtype, int64_t ignore, int64_t rows,
                               int64_t n, cti_fault *fault)
{
    int64_t i;

    for (i = 0; i < rows; i++) {
        int64_t k = cti_cpu_index_at(target, dtype, i);

        if (k != ignore && (k < 0 || k >= n)) {
            fault->position = i;
            return CT_ERR_INDEX;
        }
    }
    return CT_OK;
}

static void cross_entropy_piece(void *context, int64_t piece)
{
    const cti_cross_entropy_args *a = context;
    int64_t size = (int64_t)ct_dtype_size(a->dtype);
    int64_t end = rows_end(a->rows, a->n, piece), target[LOSS_ROWS], at;

    for (at = piece * rows_per_piece(a->n); at < end; at += LOSS_ROWS) {
        int64_t count = end - at < LOSS_ROWS ? end - at : LOSS_ROWS;

        targets_read(a->target, a->index_dtype, a->ignore, at, count, target);
        cti_cpu_rows_of(a->dtype)->cross_entropy(
            count, a->n, (const char *)a->in + at * a->n * size, target, a->smoothing,
            (char *)a->loss + at * size, (char *)a->most + at * size, (char *)a->lse + at * size);
    }
}

ct_status cti_cpu_cross_entropy(const cti_cross_entropy_args *a, cti_fault *fault)
{
    ct_status status = targets_check(a->target, a->index_dtype, a->ignore, a->rows, a->n, fault);

    if (status == CT_OK)
        softmax_rows(a->rows, a->n, cross_entropy_piece, a);
    return status;
}

static void cross_entropy_backward_piece(void *context, int64_t piece)
{
    const cti_cross_entropy_backward_args *a = context;
    int64_t size = (int64_t)ct_dtype_size(a->dtype);
    int64_t end = rows_end(a->rows, a->n, piece), target[LOSS_ROWS], at;

    for (at = piece * rows_per_piece(a->n); at < end; at += LOSS_ROWS) {
        int64_t count = end - at < LOSS_ROWS ? end - at : LOSS_ROWS;

        targets_read(a->target, a->index_dtype, a->ignore, at, count, target);
        cti_cpu_rows_of(a->dtype)->cross_entropy_backward(
            count, a->n, (const char *)a->in + at * a->n * size, target, a->smoothing,
            (const char *)a->most + at * size, (const char *)a->lse + at * size,
            (const char *)a->dloss + at * a->dloss_step * size, a->dloss_step,
            (char *)a->din + at * a->n * size);
    }
}

void cti_cpu_cross_entropy_backward(const cti_cross_entropy_backward_args *a)
{
    softmax_rows(a->rows, a->n, cross_entropy_backward_piece, a);
}

/* ---- linear_cross_entropy: logits = x weight^T + bias, their losses and all gradients ----
 *
 * Rows are taken in tiles. The logits of a tile are made, read by the loss, and turned into their
 * gradient where they are; they do not leave the cache:
 *
 *     x (64, k) --> logits (64, n) --> loss (64)
 *                      |
 *                  dlogits (64, n) --> dx (64, k)      = dlogits weight
 *                                  --> dweight (n, k) += dlogits^T x
 *                                  --> dbias (n)      += sum of its rows
 *
 * Each piece of rows has a dweight and a dbias of its own. They are added up in the order of the
 * pieces, which are cut by shape alone. */

#define LINEAR_ROWS CTI_PRODUCT_ROWS   /* the rows of a tile */
#define LINEAR_PIECE 512               /* the least number of rows of a piece */
#define LINEAR_PIECES 32               /* the most pieces */
#define LINEAR_CLASSES 1024            /* the most classes for which tiles are used */
#define LINEAR_WEIGHT (64 * 1024)      /* the most elements of a weight for which tiles are used */
#define LINEAR_BLOCK (4 * 1024 * 1024) /* the logits of a block */

typedef struct linear_job {
    const cti_linear_cross_entropy_args *a;
    int64_t size, piece;       /* the bytes of an element; the rows of a piece */
    cti_packed wide, deep;     /* weight^T (k, n) and weight (n, k) */
    cti_product logits[2];     /* for a whole tile, and for the remaining rows */
    cti_product dx[2];         /* likewise */
    bool transposed;           /* dlogits is (n, LINEAR_ROWS) */
    cti_small_gemm dweight[2]; /* likewise */
    char *sums;                /* for each piece: dweight (n, k) and dbias (n) */
    char *tiles;  /* for each piece: logits (LINEAR_ROWS, n), and dlogits if it is transposed */
    double scale; /* the gradient of each loss */
} linear_job;

static int64_t linear_pieces(const linear_job *j)
{
    return (j->a->rows + j->piece - 1) / j->piece;
}

/* Computes the losses of the rows from number `row` on, and the gradient of their logits: in
 * dlogits (n, LINEAR_ROWS) if it is transposed, otherwise in place of the logits. */
static void linear_loss(const linear_job *j, int64_t row, int64_t rows, void *logits, void *dlogits)
{
    const cti_linear_cross_entropy_args *a = j->a;
    const cti_row_loops *loops = cti_cpu_rows_of(a->dtype);
    void *loss = (char *)a->loss + row * j->size;
    double most[LOSS_ROWS], lse[LOSS_ROWS], scale;
    int64_t target[LOSS_ROWS];

    targets_read(a->target, a->index_dtype, a->ignore, row, rows, target);
    if (j->transposed) {
        loops->cross_entropy_tile(rows, a->n, logits, target, a->smoothing, j->scale, loss,
                                  dlogits);
        return;
    }
    loops->cross_entropy(rows, a->n, logits, target, a->smoothing, loss, most, lse);
    if (!a->gradients)
        return;
    cti_cpu_store(&scale, a->dtype, j->scale);
    loops->cross_entropy_backward(rows, a->n, logits, target, a->smoothing, most, lse, &scale, 0,
                                  logits);
}

/* Adds n elements of from to those of to. */
static void linear_add(ct_dtype dtype, int64_t n, const void *from, void *to)
{
    cti_cpu_rows_of(dtype)->add_row(n, to, from);
}

/* dbias += the sums of dlogits over rows */
static void linear_add_bias(const linear_job *j, int64_t rows, const char *dlogits, void *dbias)
{
    const cti_linear_cross_entropy_args *a = j->a;
    const cti_row_loops *loops = cti_cpu_rows_of(a->dtype);
    double sums[LINEAR_CLASSES];
    int64_t i;

    if (!j->transposed)
        loops->sum_rows(rows, a->n, a->n, dlogits, sums);
    for (i = 0; j->transposed && i < a->n; i++)
        cti_cpu_store((char *)sums + i * j->size, a->dtype,
                      loops->sum(rows, dlogits + i * LINEAR_ROWS * j->size));
    linear_add(a->dtype, a->n, sums, dbias);
}

/* Fetches the rows of x for the next tile and the rows of dx for this one into the cache while the
 * losses are computed. */
static void linear_prefetch(const linear_job *j, int64_t row, int64_t end)
{
    const cti_linear_cross_entropy_args *a = j->a;
    int64_t bytes = a->k * j->size, next = row + LINEAR_ROWS, i;

    for (i = next * bytes; i < end * bytes && i < (next + LINEAR_ROWS) * bytes; i += 64)
        __builtin_prefetch((const char *)a->x + i, 0, 2);
    for (i = row * bytes; a->dx && i < end * bytes && i < next * bytes; i += 64)
        __builtin_prefetch((const char *)a->dx + i, 1, 2);
}

static void linear_piece(void *context, int64_t piece)
{
    const linear_job *j = context;
    const cti_linear_cross_entropy_args *a = j->a;
    int64_t end = (piece + 1) * j->piece < a->rows ? (piece + 1) * j->piece : a->rows, row;
    char *logits = j->tiles + piece * 2 * LINEAR_ROWS * a->n * j->size;
    char *dlogits = j->transposed ? logits + LINEAR_ROWS * a->n * j->size : logits;
    char *dweight = j->sums + piece * (a->n * a->k + a->n) * j->size;

    memset(dweight, 0, (size_t)((a->n * a->k + a->n) * j->size));
    for (row = piece * j->piece; row < end; row += LINEAR_ROWS) {
        int64_t rows = end - row < LINEAR_ROWS ? end - row : LINEAR_ROWS;
        int part = rows < LINEAR_ROWS;
        const char *x = (const char *)a->x + row * a->k * j->size;

        cti_product_run(&j->logits[part], x, logits);
        linear_prefetch(j, row, end);
        linear_loss(j, row, rows, logits, dlogits);
        if (a->dx)
            cti_product_run(&j->dx[part], dlogits, (char *)a->dx + row * a->k * j->size);
        if (a->dweight)
            cti_small_gemm_run(&j->dweight[part], dlogits, x, dweight);
        if (a->dbias)
            linear_add_bias(j, rows, dlogits, dweight + a->n * a->k * j->size);
    }
}

/* Plans the pieces and products. Only the last piece may have a tile of fewer rows. */
static void linear_plan(linear_job *j)
{
    const cti_linear_cross_entropy_args *a = j->a;
    int64_t ld = j->transposed ? LINEAR_ROWS : a->n;
    int part;

    for (part = 0; part < 2; part++) {
        int64_t m = part ? a->rows % LINEAR_ROWS : LINEAR_ROWS;

        j->logits[part] =
            (cti_product){ .b = &j->wide, .m = m, .lda = a->k, .ldc = a->n, .bias = a->bias };
        j->dx[part] = (cti_product){
            .b = &j->deep, .m = m, .lda = ld, .ldc = a->k, .trans_a = j->transposed
        };
        j->dweight[part] = (cti_small_gemm){ .dtype = a->dtype,
                                             .m = (int)a->n,
                                             .n = (int)a->k,
                                             .k = (int)m,
                                             .lda = (int)ld,
                                             .ldb = (int)a->k,
                                             .ldc = (int)a->k,
                                             .trans_a = !j->transposed,
                                             .accumulate = true };
        cti_product_init(&j->logits[part]);
        cti_product_init(&j->dx[part]);
        cti_small_gemm_init(&j->dweight[part]);
    }
}

/* Adds up the gradients of the pieces. */
static void linear_finish(const linear_job *j)
{
    const cti_linear_cross_entropy_args *a = j->a;
    int64_t weight = a->n * a->k, piece;

    if (a->dweight)
        memset(a->dweight, 0, (size_t)(weight * j->size));
    if (a->dbias)
        memset(a->dbias, 0, (size_t)(a->n * j->size));
    for (piece = 0; piece < linear_pieces(j); piece++) {
        const char *sums = j->sums + piece * (weight + a->n) * j->size;

        if (a->dweight)
            linear_add(a->dtype, weight, sums, a->dweight);
        if (a->dbias)
            linear_add(a->dtype, a->n, sums + weight * j->size, a->dbias);
    }
}

static bool linear_in_tiles(linear_job *j)
{
    const cti_linear_cross_entropy_args *a = j->a;
    int64_t least = (a->rows + LINEAR_PIECES - 1) / LINEAR_PIECES, packed, pieces;
    ct_storage *room;

    j->piece =
        least < LINEAR_PIECE ? LINEAR_PIECE : (least + LINEAR_ROWS - 1) / LINEAR_ROWS * LINEAR_ROWS;
    j->transposed = a->gradients && a->n <= SHORT_ROW;
    pieces = linear_pieces(j);
    j->wide = cti_packed_layout(a->dtype, a->k, a->n, a->k);
    j->deep = cti_packed_layout(a->dtype, a->n, a->k, a->n);
    cti_packed_pad(&j->wide);
    cti_packed_pad(&j->deep);
    packed = a->k * cti_packed_columns(&j->wide) + a->n * cti_packed_columns(&j->deep);
    room = cti_storage_try(
        CT_CPU,
        (size_t)((packed + pieces * (a->n * a->k + a->n + 2 * LINEAR_ROWS * a->n)) * j->size));
    if (!room)
        return false;
    cti_pack(&j->wide, true, a->weight, a->k, room->data);
    cti_pack(&j->deep, false, a->weight, a->k,
             (char *)room->data + a->k * cti_packed_columns(&j->wide) * j->size);
    j->sums = (char *)room->data + packed * j->size;
    j->tiles = j->sums + pieces * (a->n * a->k + a->n) * j->size;
    linear_plan(j);
    cti_parallel(pieces, linear_piece, j);
    linear_finish(j);
    cti_storage_unref(room);
    return true;
}

/* A larger weight has too many elements for a separate gradient in each piece. Its rows are
 * computed in blocks instead, each by whole products that use all threads. */

typedef struct linear_block {
    const linear_job *j;
    int64_t row, rows;
    char *logits; /* (rows, n) */
} linear_block;

static void linear_block_piece(void *context, int64_t piece)
{
    const linear_block *b = context;
    int64_t at = piece * LINEAR_ROWS, left = b->rows - at;

    char *logits = b->logits + at * b->j->a->n * b->j->size;

    linear_loss(b->j, b->row + at, left < LINEAR_ROWS ? left : LINEAR_ROWS, logits, logits);
}

/* Adds the gradients of a block. sums has room for n elements. */
static void linear_block_gradients(const linear_block *b, void *sums)
{
    const cti_linear_cross_entropy_args *a = b->j->a;
    const char *x = (const char *)a->x + b->row * a->k * b->j->size;
    cti_gemm g = { .dtype = a->dtype, .batch = 1, .alpha = 1, .n = a->k, .a = b->logits };

    g.lda = a->n;
    g.ldb = g.ldc = a->k;
    if (a->dx) {
        g.m = b->rows;
        g.k = a->n;
        g.b = a->weight;
        g.c = (char *)a->dx + b->row * a->k * b->j->size;
        cti_cpu_gemm(&g);
    }
    if (a->dweight) {
        g.trans_a = true;
        g.m = a->n;
        g.k = b->rows;
        g.b = x;
        g.c = a->dweight;
        g.beta = b->row > 0;
        cti_cpu_gemm(&g);
    }
    if (a->dbias) {
        cti_cpu_rows_of(a->dtype)->sum_rows(b->rows, a->n, a->n, b->logits, sums);
        if (b->row == 0)
            memset(a->dbias, 0, (size_t)(a->n * b->j->size));
        linear_add(a->dtype, a->n, sums, a->dbias);
    }
}

static bool linear_in_blocks(linear_job *j)
{
    const cti_linear_cross_entropy_args *a = j->a;
    int64_t most = (LINEAR_BLOCK / a->n / LINEAR_ROWS + 1) * LINEAR_ROWS;
    int64_t rows = a->rows < most ? a->rows : most;
    ct_storage *room = cti_storage_try(CT_CPU, (size_t)((rows + 1) * a->n * j->size));
    linear_block b = { .j = j };
    cti_gemm g = { .dtype = a->dtype,
                   .trans_b = true,
                   .n = a->n,
                   .k = a->k,
                   .batch = 1,
                   .alpha = 1,
                   .b = a->weight,
                   .bias = a->bias,
                   .lda = a->k,
                   .ldb = a->k,
                   .ldc = a->n };

    if (!room)
        return false;
    b.logits = room->data;
    for (; b.row < a->rows; b.row += b.rows) {
        b.rows = a->rows - b.row < rows ? a->rows - b.row : rows;
        g.m = b.rows;
        g.a = (const char *)a->x + b.row * a->k * j->size;
        g.c = b.logits;
        cti_cpu_gemm(&g);
        cti_parallel((b.rows + LINEAR_ROWS - 1) / LINEAR_ROWS, linear_block_piece, &b);
        linear_block_gradients(&b, b.logits + rows * a->n * j->size);
    }
    cti_storage_unref(room);
    return true;
}

/* The number of targets that are not ignored. */
static int64_t linear_counted(const cti_linear_cross_entropy_args *a)
{
    int64_t count = 0, i;

    for (i = 0; i < a->rows; i++)
        count += cti_cpu_index_at(a->target, a->index_dtype, i) != a->ignore;
    return count;
}

ct_status cti_cpu_linear_cross_entropy(const cti_linear_cross_entropy_args *a, cti_fault *fault)
{
    linear_job j = { .a = a, .size = (int64_t)ct_dtype_size(a->dtype) };
    int64_t counted;

    if (targets_check(a->target, a->index_dtype, a->ignore, a->rows, a->n, fault) != CT_OK)
        return CT_ERR_INDEX;
    counted = linear_counted(a);
    j.scale = a->mean && counted ? 1 / (double)counted : 1;
    return (a->n <= LINEAR_CLASSES && a->n * a->k <= LINEAR_WEIGHT ? linear_in_tiles(&j)
                                                                   : linear_in_blocks(&j))
               ? CT_OK
               : CT_ERR_MEMORY;
}
