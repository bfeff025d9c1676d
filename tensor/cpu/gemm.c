/* SPDX-License-Identifier: MIT */
/* gemm.c - matrix products by OpenBLAS (or another CBLAS). Plain loops are used if there is no BLAS
 * and while ct_set_portable is on.
 *
 * Rows of C are cut into pieces by shape. Each piece is one BLAS call on one thread. */
#include "tensor/cpu/cpu.h"

#include "tensor/cpu/blas.h"
#include "tensor/parallel.h"
#include "tensor/program.h"

#include <limits.h>

#define ROWS 256 /* the rows of C in a piece */

typedef struct gemm_job {
    cti_gemm g;         /* with a bias, C starts as the bias and beta is 1 */
    int64_t per_matrix; /* the pieces of each matrix */
} gemm_job;

static void gemm_plain(const cti_gemm *g, int64_t m, const char *a, const char *b, char *c)
{
    cti_cpu_rows_of(g->dtype)->gemm(g, m, a, b, c);
}

#ifdef CT_HAVE_BLAS

/* CBLAS takes sizes of type int. */
static bool gemm_fits_int(const cti_gemm *g)
{
    return g->n <= INT_MAX && g->k <= INT_MAX && g->lda <= INT_MAX && g->ldb <= INT_MAX &&
           g->ldc <= INT_MAX;
}

void cti_multiply(const cti_gemm *g, int64_t m, const void *a, const void *b, void *c)
{
    CBLAS_TRANSPOSE ta = g->trans_a ? CblasTrans : CblasNoTrans;
    CBLAS_TRANSPOSE tb = g->trans_b ? CblasTrans : CblasNoTrans;
    const cti_blas *blas;

    /* one row, as in a step of a recurrent layer: our own loop, so that a planned step (program.h)
     * has the bits of any other step and never waits for a lock of BLAS */
    if (m == 1 && g->trans_b && !g->trans_a && !ct_portable()) {
        cti_cpu_rows_of(g->dtype)->gemm_row(g, a, b, c);
        return;
    }
    blas = ct_portable() || !gemm_fits_int(g) ? NULL : cti_blas_get();
    if (!blas) {
        gemm_plain(g, m, a, b, c);
        return;
    }
    if (cti_run_now)
        cti_run_now->blas = true;
    cti_blas_enter();
    if (g->dtype == CT_F64)
        blas->dgemm(CblasRowMajor, ta, tb, (int)m, (int)g->n, (int)g->k, g->alpha, a, (int)g->lda,
                    b, (int)g->ldb, g->beta, c, (int)g->ldc);
    else
        blas->sgemm(CblasRowMajor, ta, tb, (int)m, (int)g->n, (int)g->k, (float)g->alpha, a,
                    (int)g->lda, b, (int)g->ldb, (float)g->beta, c, (int)g->ldc);
    cti_blas_leave();
}

#else

void cti_multiply(const cti_gemm *g, int64_t m, const void *a, const void *b, void *c)
{
    gemm_plain(g, m, a, b, c);
}

#endif

void cti_start_from_bias(const cti_gemm *g, int64_t m, void *c)
{
    cti_cpu_rows_of(g->dtype)->start_rows(m, g->n, g->bias, c, g->ldc);
}

static void gemm_piece(void *context, int64_t piece)
{
    const gemm_job *j = context;
    const cti_gemm *g = &j->g;
    int64_t matrix = piece / j->per_matrix, row = piece % j->per_matrix * ROWS;
    int64_t size = (int64_t)ct_dtype_size(g->dtype), rows = g->m - row < ROWS ? g->m - row : ROWS;
    const char *a = (const char *)g->a + matrix * g->a_step * size;
    const char *b = (const char *)g->b + matrix * g->b_step * size;
    char *c = (char *)g->c + matrix * g->c_step * size;

    a += row * (g->trans_a ? 1 : g->lda) * size;
    c += row * g->ldc * size;
    if (g->bias)
        cti_start_from_bias(g, rows, c);
    cti_multiply(g, rows, a, b, c);
}

/* C = beta C, for k = 0 */
static void gemm_scale_only(const cti_gemm *g)
{
    int64_t matrix, i, j;

    for (matrix = 0; matrix < g->batch; matrix++)
        for (i = 0; i < g->m; i++)
            for (j = 0; j < g->n; j++) {
                int64_t at = matrix * g->c_step + i * g->ldc + j;

                if (g->dtype == CT_F64)
                    ((double *)g->c)[at] = g->beta == 0 ? 0 : g->beta * ((double *)g->c)[at];
                else
                    ((float *)g->c)[at] = g->beta == 0 ? 0 : (float)g->beta * ((float *)g->c)[at];
            }
}

/* ---- the kernel ---- */

void cti_cpu_gemm(const cti_gemm *g)
{
    gemm_job j = { *g, (g->m + ROWS - 1) / ROWS };

    if (g->m == 0 || g->n == 0 || g->batch == 0)
        return;
    if (g->k == 0) {
        if (g->bias)
            cti_start_from_bias(g, g->m, g->c);
        else
            gemm_scale_only(g);
        return;
    }
    if (g->bias)
        j.g.beta = 1;
    if (g->bf16 && g->dtype == CT_F32 && cti_gemm_bf16(g))
        return;
    if (!cti_gemm_packed(g))
        cti_parallel(g->batch * j.per_matrix, gemm_piece, &j);
}
