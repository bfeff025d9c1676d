/* SPDX-License-Identifier: MIT */
/* gemm_bf16.c - f32 products whose operands are rounded to bf16: by the processor's own
 * instructions, or f32 products of rounded copies. */
#include "tensor/cpu/cpu.h"

#include "tensor/convert.h"
#include "tensor/parallel.h"

#define PIECE 64 /* the rows of A and C, or the columns of B, of a piece */

/* ---- products of rounded copies ---- */

void cti_round_bf16(int64_t n, const float *in, float *out)
{
    int64_t i;

    for (i = 0; i < n; i++)
        out[i] = cti_float_of_bf16(cti_bf16_of(in[i]));
}

static ct_storage *bf16_rounded_copy(const void *x, int64_t matrices, int64_t rows, int64_t columns,
                                     int64_t ld, int64_t step)
{
    ct_storage *s = cti_storage_try(CT_CPU, (size_t)(matrices * rows * columns) * sizeof(float));
    int64_t i, j;

    for (i = 0; s && i < matrices; i++)
        for (j = 0; j < rows; j++)
            cti_round_bf16(columns, (const float *)x + i * step + j * ld,
                           (float *)s->data + (i * rows + j) * columns);
    return s;
}

static bool bf16_gemm_rounded(const cti_gemm *g)
{
    int64_t matrices_a = g->a_step ? g->batch : 1, matrices_b = g->b_step ? g->batch : 1;
    int64_t rows_a = g->trans_a ? g->k : g->m, rows_b = g->trans_b ? g->n : g->k;
    cti_gemm of = *g;
    ct_storage *a, *b;

    of.bf16 = false;
    of.lda = g->trans_a ? g->m : g->k;
    of.ldb = g->trans_b ? g->k : g->n;
    of.a_step = g->a_step ? g->m * g->k : 0;
    of.b_step = g->b_step ? g->k * g->n : 0;
    a = bf16_rounded_copy(g->a, matrices_a, rows_a, of.lda, g->lda, g->a_step);
    b = bf16_rounded_copy(g->b, matrices_b, rows_b, of.ldb, g->ldb, g->b_step);
    if (a && b) {
        of.a = a->data;
        of.b = b->data;
        cti_cpu_gemm(&of);
    }
    if (a)
        cti_storage_unref(a);
    if (b)
        cti_storage_unref(b);
    return a && b;
}

/* ---- products by the processor's own instructions ---- */

typedef struct bf16_job {
    const cti_gemm *g;
    const cti_bf16_path *path;
    int64_t words_a, words_b; /* the size of a packed matrix */
    uint32_t *a, *b;
} bf16_job;

static int64_t bf16_pieces(int64_t n)
{
    return (n + PIECE - 1) / PIECE;
}

/* Packs PIECE rows of the array A. PIECE is even, because pairs of k must not be cut. */
static void bf16_pack_a_piece(void *context, int64_t piece)
{
    const bf16_job *n = context;
    const cti_gemm *g = n->g;
    int64_t lie = g->trans_a ? g->k : g->m, per_matrix = bf16_pieces(lie);
    int64_t matrix = piece / per_matrix, row = piece % per_matrix * PIECE;
    int64_t rows = lie - row < PIECE ? lie - row : PIECE;
    const float *a = (const float *)g->a + matrix * g->a_step + row * g->lda;
    uint32_t *out = n->a + matrix * n->words_a;

    if (g->trans_a)
        n->path->pack_a(true, g->m, rows, a, g->lda, out + row / 2 * g->m);
    else
        n->path->pack_a(false, rows, g->k, a, g->lda, out + row * cti_bf16_pairs(g->k));
}

/* Packs PIECE columns of B, which are one panel. */
static void bf16_pack_b_piece(void *context, int64_t piece)
{
    const bf16_job *n = context;
    const cti_gemm *g = n->g;
    int64_t matrix = piece / bf16_pieces(g->n), column = piece % bf16_pieces(g->n) * PIECE;
    int64_t columns = g->n - column < PIECE ? g->n - column : PIECE;

    n->path->pack_b(g->trans_b, g->k, columns,
                    (const float *)g->b + matrix * g->b_step + column * (g->trans_b ? g->ldb : 1),
                    g->ldb, n->b + matrix * n->words_b + n->path->words_of_b(g->k, column));
}

static void bf16_native_piece(void *context, int64_t piece)
{
    const bf16_job *n = context;
    const cti_gemm *g = n->g;
    int64_t matrix = piece / bf16_pieces(g->m), row = piece % bf16_pieces(g->m) * PIECE;
    cti_bf16_product p = { .m = g->m - row < PIECE ? g->m - row : PIECE,
                           .n = g->n,
                           .k = g->k,
                           .step_i = g->trans_a ? 1 : cti_bf16_pairs(g->k),
                           .step_p = g->trans_a ? g->m : 1,
                           .ldc = g->ldc,
                           .accumulate = g->beta == 1 || g->bias };
    float *c = (float *)g->c + matrix * g->c_step + row * g->ldc;

    if (g->bias)
        cti_start_from_bias(g, p.m, c);
    n->path->multiply(&p, n->a + (g->a_step ? matrix : 0) * n->words_a + row * p.step_i,
                      n->b + (g->b_step ? matrix : 0) * n->words_b, c);
}

static bool bf16_gemm_native(const cti_gemm *g, const cti_bf16_path *path)
{
    bf16_job n = { .g = g,
                   .path = path,
                   .words_a = cti_bf16_pairs(g->k) * g->m,
                   .words_b = path->words_of_b(g->k, g->n) };
    int64_t matrices_a = g->a_step ? g->batch : 1, matrices_b = g->b_step ? g->batch : 1;
    ct_storage *room = cti_storage_try(
        CT_CPU, (size_t)(matrices_a * n.words_a + matrices_b * n.words_b) * sizeof *n.a);

    if (!room)
        return false;
    n.b = room->data;
    n.a = n.b + matrices_b * n.words_b;
    cti_parallel(matrices_b * bf16_pieces(g->n), bf16_pack_b_piece, &n);
    cti_parallel(matrices_a * bf16_pieces(g->trans_a ? g->k : g->m), bf16_pack_a_piece, &n);
    cti_parallel(g->batch * bf16_pieces(g->m), bf16_native_piece, &n);
    cti_storage_unref(room);
    return true;
}

bool cti_gemm_bf16(const cti_gemm *g)
{
    const cti_bf16_path *path = cti_bf16_path_get();

    if (path && g->alpha == 1 && (g->beta == 0 || g->beta == 1))
        return bf16_gemm_native(g, path);
    return bf16_gemm_rounded(g);
}
