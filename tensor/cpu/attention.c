/* SPDX-License-Identifier: MIT */
/* attention.c - scaled dot-product attention in tiles, forward and backward (Dao et al., 2022).
 *
 *     p = scale q k^T       w = exp(p - most) / sum       y = w v
 *
 * The whole matrix of scores is never in memory. Forward processes blocks of queries. For each
 * block it goes through the blocks of keys. If a block has a greater score, the sums so far are
 * multiplied by exp(old - new):
 *
 *     keys:       0        1        2            w of a tile of queries by keys, not yet divided by
 *               +--------+--------+--------+     the sum, is multiplied with the block of v and
 *     queries   |  tile  |  tile  |  tile  | y:  added to y. With causal, tiles above the diagonal
 *               +--------+--------+--------+     are left out.
 *
 * Backward computes each tile again, from the greatest score and the sum of each query:
 *     dv += w^T dy    dw = dy v^T    dp = w (dw - D), D = sum of dy y    dq += dp k, dk += dp^T q
 *
 * Only the shape determines the pieces of work. A piece is a block of queries in forward, and a
 * matrix in backward. */
#include "tensor/cpu/cpu.h"

#include "tensor/parallel.h"

#include <string.h>

#define QUERIES 128 /* the maximum number of queries of a forward tile */
#define KEYS 512
#define LEAST_QUERIES 16
#define BACKWARD_TILE 128 /* the number of queries, and of keys, of a backward tile */

typedef struct attention_job {
    const cti_attention_args *a;
    const cti_row_loops *loops;
    const cti_micro *micro;  /* the kernels of the products, or NULL: cti_multiply */
    int64_t size;            /* the bytes of an element */
    int64_t queries, blocks; /* the number of queries in a block, and of blocks in a matrix */
    int64_t group, groups;   /* the number of blocks in a piece, and of pieces in a matrix */
    char *room;              /* the room of each worker, one after another */
    int64_t room_bytes, workers, pieces;
} attention_job;

static int64_t attention_least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* n, in whole cache lines of floats */
static int64_t attention_line(int64_t n)
{
    return (n + 15) / 16 * 16;
}

/* The number of keys that query number `query` attends to. */
static int64_t attention_visible(const cti_attention_args *a, int64_t query)
{
    return a->causal ? attention_least(a->keys, a->first_query + query + 1) : a->keys;
}

/* The sizes and options of a product of tiles. */
typedef struct attention_product {
    int64_t m, n, k, lda, ldb, ldc;
    bool trans_a, trans_b, add;
    double alpha;
} attention_product;

/* ---- products by our own kernels ----
 *
 * Each element is one chain in the order of k, so the bits do not depend on the tiles. The operand
 * that is used transposed (k, v) is packed before, in panels of columns (k, width), times alpha. Columns
 * are padded to whole vectors. */

/* Returns the kernels if they can compute all products, else NULL. Few queries would not repay the
 * packing. */
static const cti_micro *attention_kernels(const cti_attention_args *a)
{
    const cti_micro *m = cti_micro_of(cti_cpu_path_get());
    bool fits = m && a->dtype == CT_F32 && !ct_portable() && a->queries >= LEAST_QUERIES &&
                a->width > 0 && a->value_width > 0 && a->width % m->lanes == 0 &&
                a->value_width % m->lanes == 0;

    return fits ? m : NULL;
}

/* Packs rows of k or v, which are `width` long, for products with their transpose times alpha. */
static void attention_pack(const attention_job *j, int64_t rows, int64_t width, double alpha,
                           const float *from, float *to)
{
    const int64_t lanes = j->micro->lanes, panel = j->micro->vectors * lanes;
    const float factor = (float)alpha;
    int64_t all = (rows + panel - 1) / panel * panel * width, row, i;

    for (row = 0; row < rows; row += lanes)
        j->micro->pack(width, attention_least(lanes, rows - row), from + row * width, width, panel,
                       to + row / panel * panel * width + row % panel);
    for (i = 0; alpha != 1 && i < all; i++)
        to[i] *= factor;
}

/* C = or += A B. With trans_b, B is packed; else n is a multiple of a vector. */
static void attention_tiles(const attention_job *j, const attention_product *p, const float *a,
                            const float *b, float *c)
{
    const int64_t lanes = j->micro->lanes, panel = j->micro->vectors * lanes;
    const int64_t n = (p->n + lanes - 1) / lanes * lanes, step_i = p->trans_a ? 1 : p->lda;
    int64_t column, row;

    for (column = 0; column < n; column += panel) {
        int vectors = (int)(attention_least(panel, n - column) / lanes);
        int most = j->micro->rows[vectors - 1];
        cti_micro_tile t = { .a = a,
                             .b = b + column * (p->trans_b ? p->k : 1),
                             .c = c + column,
                             .k = p->k,
                             .parts = 1,
                             .step_i = step_i,
                             .step_k = p->trans_a ? p->lda : 1,
                             .ldb = p->trans_b ? panel : p->ldb,
                             .ldc = p->ldc,
                             .accumulate = p->add };

        for (row = 0; row < p->m; row += most, t.a += most * step_i, t.c += most * p->ldc)
            j->micro->run(&t, (int)attention_least(most, p->m - row), vectors);
    }
}

static void attention_multiply(const attention_job *j, const attention_product *p, const void *a,
                               const void *b, void *c)
{
    cti_gemm g = { .dtype = j->a->dtype,
                   .trans_a = p->trans_a,
                   .trans_b = p->trans_b,
                   .m = p->m,
                   .n = p->n,
                   .k = p->k,
                   .lda = p->lda,
                   .ldb = p->ldb,
                   .ldc = p->ldc,
                   .batch = 1,
                   .alpha = p->alpha,
                   .beta = p->add ? 1 : 0 };

    if (j->micro) {
        attention_tiles(j, p, a, b, c);
        return;
    }
    cti_multiply(&g, p->m, a, b, c);
}

static const char *attention_at(const attention_job *j, const void *data, int64_t element)
{
    return (const char *)data + element * j->size;
}

/* ---- forward ---- */

/* Computes one block of queries of one matrix by one block of keys. k is that block of k, or packed. */
static void attention_block(const attention_job *j, int64_t matrix, int64_t first, int64_t key,
                            const void *k, char *scores)
{
    const cti_attention_args *a = j->a;
    int64_t rows = attention_least(j->queries, a->queries - first),
            row = matrix * a->queries + first;
    int64_t keys = attention_least(KEYS, attention_visible(a, first + rows - 1) - key);
    char *y = (char *)a->y + row * a->value_width * j->size;
    const attention_product score = { rows, keys,  a->width, a->width, a->width,
                                      KEYS, false, true,     false,    a->scale };
    const attention_product value = {
        rows, a->value_width, keys, KEYS, a->value_width, a->value_width, false, false, key > 0, 1
    };
    const cti_attention_tile t = { .rows = rows,
                                   .keys = keys,
                                   .ld = KEYS,
                                   .seen = attention_visible(a, first) - key,
                                   .grows = a->causal,
                                   .first = key == 0,
                                   .width = a->value_width,
                                   .scores = scores,
                                   .y = y,
                                   .most = (char *)a->most + row * j->size,
                                   .sum = (char *)a->sum + row * j->size };

    if (keys <= 0)
        return;
    attention_multiply(j, &score, attention_at(j, a->q, row * a->width), k, scores);
    j->loops->attend(&t);
    attention_multiply(j, &value, scores,
                       attention_at(j, a->v, (matrix * a->keys + key) * a->value_width), y);
}

/* Computes some blocks of queries of one matrix. */
static void attention_queries(const attention_job *j, int64_t piece, char *room)
{
    const cti_attention_args *a = j->a;
    int64_t matrix = piece / j->groups, first = piece % j->groups * j->group * j->queries;
    int64_t rows = attention_least(j->group * j->queries, a->queries - first), block, key;
    int64_t row = matrix * a->queries + first, end = attention_visible(a, first + rows - 1);
    char *packed = room + QUERIES * KEYS * j->size;
    const cti_attention_tile t = { .rows = rows,
                                   .width = a->value_width,
                                   .y = (char *)a->y + row * a->value_width * j->size,
                                   .sum = (char *)a->sum + row * j->size };

    for (key = 0; key < end; key += KEYS) {
        const char *k = attention_at(j, a->k, (matrix * a->keys + key) * a->width);

        if (j->micro) {
            attention_pack(j, attention_least(KEYS, end - key), a->width, a->scale,
                           (const float *)(const void *)k, (float *)(void *)packed);
            k = packed;
        }
        for (block = 0; block < rows; block += j->queries)
            attention_block(j, matrix, first + block, key, k, room);
    }
    j->loops->attend_finish(&t);
}

static void attention_worker(void *context, int64_t worker)
{
    const attention_job *j = context;
    int64_t piece;

    for (piece = worker; piece < j->pieces; piece += j->workers)
        attention_queries(j, piece, j->room + worker * j->room_bytes);
}

/* Allocates room for the workers. Returns NULL if memory is short. */
static ct_storage *attention_room(attention_job *j, int64_t elements)
{
    ct_storage *s;

    j->loops = cti_cpu_rows_of(j->a->dtype);
    j->size = (int64_t)ct_dtype_size(j->a->dtype);
    j->workers = attention_least(j->pieces, ct_num_threads());
    j->room_bytes = elements * j->size;
    s = cti_storage_try(CT_CPU, (size_t)(j->workers * j->room_bytes));
    j->room = s ? s->data : NULL;
    return s;
}

ct_status cti_cpu_attention(const cti_attention_args *a)
{
    /* with causal, smaller blocks compute fewer scores that are not needed */
    attention_job j = { .a = a, .queries = a->causal ? QUERIES / 2 : QUERIES, .group = 1 };
    ct_storage *room;

    if (a->batch == 0 || a->queries == 0)
        return CT_OK;
    j.blocks = (a->queries + j.queries - 1) / j.queries;
    j.micro = attention_kernels(a);
    if (j.micro) {
        int64_t threads = ct_num_threads(), wanted = threads > 1 ? 4 * threads : 1;

        /* one packing of the keys serves all blocks of a piece */
        j.groups = attention_least(j.blocks, (wanted + a->batch - 1) / a->batch);
        j.group = (j.blocks + j.groups - 1) / j.groups;
    }
    j.groups = (j.blocks + j.group - 1) / j.group;
    j.pieces = a->batch * j.groups;
    room = attention_room(&j, QUERIES * KEYS + (j.micro ? KEYS * a->width : 0));
    if (!room)
        return CT_ERR_MEMORY;
    cti_parallel(j.workers, attention_worker, &j);
    cti_storage_unref(room);
    return CT_OK;
}

/* ---- backward ---- */

/* A tile of a matrix. `query` and `key` are the numbers of its first query and its first key. */
typedef struct attention_place {
    int64_t matrix, query, key, rows, keys;
    /* True if this tile sets dq, or dk and dv, and does not add to them. */
    bool first_of_query, first_of_key;
} attention_place;

/* With kernels, k and v of the tile are packed, k times scale, and dw is multiplied by scale. */
static void attention_backward_tile(const attention_job *j, const attention_place *p, char *room)
{
    const cti_attention_args *a = j->a;
    const int64_t width = a->width, wide = a->value_width, ld = BACKWARD_TILE, size = j->size;
    const int64_t row = p->matrix * a->queries + p->query, at = p->matrix * a->keys + p->key;
    const char *q = attention_at(j, a->q, row * width), *k = attention_at(j, a->k, at * width);
    const char *v = attention_at(j, a->v, at * wide), *dy = attention_at(j, a->dy, row * wide);
    char *weights = room, *dw = room + ld * ld * size, *d = dw + ld * ld * size;
    const attention_product score = { p->rows, p->keys, width, width, width,
                                      ld,      false,   true,  false, a->scale };
    const attention_product slope = {
        p->rows, p->keys, wide, wide, wide, ld, false, true, false, 1
    };
    const attention_product to_v = { p->keys, wide,  p->rows,          ld, wide, wide,
                                     true,    false, !p->first_of_key, 1 };
    const attention_product to_q = {
        p->rows, width, p->keys, ld, width, width, false, false, !p->first_of_query, a->scale
    };
    const attention_product to_k = { p->keys, width, p->rows,          ld,      width, width,
                                     true,    false, !p->first_of_key, a->scale };
    char *packed = d + attention_line(a->queries) * size;
    cti_attention_tile t = { .rows = p->rows,
                             .keys = p->keys,
                             .ld = ld,
                             .scale = j->micro ? a->scale : 1,
                             .seen = attention_visible(a, p->query) - p->key,
                             .grows = a->causal,
                             .scores = weights,
                             .slopes = j->a->dq || j->a->dk ? dw : NULL,
                             .dot = d + p->query * size,
                             .most = (char *)a->most + row * size,
                             .sum = (char *)a->sum + row * size };

    attention_multiply(j, &score, q, j->micro ? packed : k, weights);
    if (t.slopes)
        attention_multiply(j, &slope, dy, j->micro ? packed + ld * width * size : v, dw);
    j->loops->attend_backward(&t);
    if (j->a->dv)
        attention_multiply(j, &to_v, weights, dy, (char *)j->a->dv + at * wide * size);
    if (j->a->dq)
        attention_multiply(j, &to_q, dw, k, (char *)j->a->dq + row * width * size);
    if (j->a->dk)
        attention_multiply(j, &to_k, dw, q, (char *)j->a->dk + at * width * size);
}

/* Packs the keys and values of a tile. */
static void attention_backward_pack(const attention_job *j, int64_t matrix, int64_t key,
                                    int64_t keys, char *room)
{
    const cti_attention_args *a = j->a;
    int64_t at = matrix * a->keys + key;
    float *to =
        (float *)(void *)room + 2 * BACKWARD_TILE * BACKWARD_TILE + attention_line(a->queries);

    attention_pack(j, keys, a->width, a->scale, (const float *)a->k + at * a->width, to);
    attention_pack(j, keys, a->value_width, 1, (const float *)a->v + at * a->value_width,
                   to + BACKWARD_TILE * a->width);
}

/* The first query of the first block that attends to a key. */
static int64_t attention_first_query(const cti_attention_args *a, int64_t key)
{
    int64_t first = a->causal && key > a->first_query ? key - a->first_query : 0;

    return first / BACKWARD_TILE * BACKWARD_TILE;
}

/* Sets rows of a gradient to 0, unless it is NULL. */
static void attention_zero(const attention_job *j, void *to, int64_t row, int64_t rows,
                           int64_t width)
{
    if (to)
        memset((char *)to + row * width * j->size, 0, (size_t)(rows * width * j->size));
}

static void attention_backward_matrix(const attention_job *j, int64_t matrix, char *room)
{
    const cti_attention_args *a = j->a;
    const int64_t size = j->size, row = matrix * a->queries;
    attention_place p = { .matrix = matrix };

    j->loops->attend_dots(a->queries, a->value_width, attention_at(j, a->dy, row * a->value_width),
                          attention_at(j, a->y, row * a->value_width),
                          room + 2 * BACKWARD_TILE * BACKWARD_TILE * size);
    for (p.key = 0; p.key < a->keys; p.key += BACKWARD_TILE) {
        int64_t first = attention_first_query(a, p.key);

        p.keys = attention_least(BACKWARD_TILE, a->keys - p.key);
        if (j->micro && first < a->queries)
            attention_backward_pack(j, matrix, p.key, p.keys, room);
        if (first >= a->queries) { /* no query attends to these keys */
            attention_zero(j, j->a->dk, matrix * a->keys + p.key, p.keys, a->width);
            attention_zero(j, j->a->dv, matrix * a->keys + p.key, p.keys, a->value_width);
        }
        for (p.query = first; p.query < a->queries; p.query += BACKWARD_TILE) {
            p.rows = attention_least(BACKWARD_TILE, a->queries - p.query);
            p.first_of_query = p.key == 0;
            p.first_of_key = p.query == first;
            attention_backward_tile(j, &p, room);
        }
    }
}

static void attention_backward_worker(void *context, int64_t worker)
{
    const attention_job *j = context;
    int64_t matrix;

    for (matrix = worker; matrix < j->pieces; matrix += j->workers)
        attention_backward_matrix(j, matrix, j->room + worker * j->room_bytes);
}

ct_status cti_cpu_attention_backward(const cti_attention_args *a)
{
    attention_job j = { .a = a, .pieces = a->batch };
    ct_storage *room;

    if (a->batch == 0 || a->queries == 0)
        return CT_OK;
    j.micro = attention_kernels(a);
    room = attention_room(&j, 2 * BACKWARD_TILE * BACKWARD_TILE + attention_line(a->queries) +
                                  (j.micro ? BACKWARD_TILE * (a->width + a->value_width) : 0));
    if (!room)
        return CT_ERR_MEMORY;
    cti_parallel(j.workers, attention_backward_worker, &j);
    cti_storage_unref(room);
    return CT_OK;
}
