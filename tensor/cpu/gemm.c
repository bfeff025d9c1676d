/* gemm.c - matrix products by OpenBLAS (any CBLAS), or by plain loops where there is none and where
 * ct_set_portable asks for them.
 *
 * Rows of C are cut into pieces by shape; BLAS runs one thread a piece. */
#include "tensor/cpu/cpu.h"

#include "tensor/parallel.h"

#include <limits.h>
#include <pthread.h>
#include <string.h>

#ifdef CT_HAVE_BLAS
#include <cblas.h>
#endif

#ifdef CT_HAVE_LIBXSMM
#include <libxsmm.h>
#endif

#define ROWS 256 /* rows of C in a piece */

typedef struct gemm_job {
    const cti_gemm *g;
    int64_t per_matrix; /* pieces of one matrix */
} gemm_job;

static void multiply_plainly(const cti_gemm *g, int64_t m, const char *a, const char *b, char *c)
{
    const cti_cpu_path *path = cti_cpu_path_get();

    (g->dtype == CT_F64 ? path->rows_f64.gemm : path->rows_f32.gemm)(g, m, a, b, c);
}

/* CBLAS and LIBXSMM count in int. */
static bool fits_int(const cti_gemm *g)
{
    return g->n <= INT_MAX && g->k <= INT_MAX && g->lda <= INT_MAX && g->ldb <= INT_MAX &&
           g->ldc <= INT_MAX;
}

#ifdef CT_HAVE_BLAS

static void one_thread(void)
{
#ifdef HAVE_OPENBLAS_SET_NUM_THREADS
    openblas_set_num_threads(1);
#endif
}

/* One row: B (n, k) times a vector. */
static void multiply_row(const cti_gemm *g, const char *a, const char *b, char *c)
{
    if (g->dtype == CT_F64)
        cblas_dgemv(CblasRowMajor, CblasNoTrans, (int)g->n, (int)g->k, g->alpha, (const double *)b,
                    (int)g->ldb, (const double *)a, 1, g->beta, (double *)c, 1);
    else
        cblas_sgemv(CblasRowMajor, CblasNoTrans, (int)g->n, (int)g->k, (float)g->alpha,
                    (const float *)b, (int)g->ldb, (const float *)a, 1, (float)g->beta, (float *)c,
                    1);
}

static void multiply(const cti_gemm *g, int64_t m, const char *a, const char *b, char *c)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    CBLAS_TRANSPOSE ta = g->trans_a ? CblasTrans : CblasNoTrans;
    CBLAS_TRANSPOSE tb = g->trans_b ? CblasTrans : CblasNoTrans;

    if (ct_portable() || !fits_int(g)) {
        multiply_plainly(g, m, a, b, c);
        return;
    }
    pthread_once(&once, one_thread);
    if (m == 1 && g->trans_b && !g->trans_a)
        multiply_row(g, a, b, c);
    else if (g->dtype == CT_F64)
        cblas_dgemm(CblasRowMajor, ta, tb, (int)m, (int)g->n, (int)g->k, g->alpha,
                    (const double *)a, (int)g->lda, (const double *)b, (int)g->ldb, g->beta,
                    (double *)c, (int)g->ldc);
    else
        cblas_sgemm(CblasRowMajor, ta, tb, (int)m, (int)g->n, (int)g->k, (float)g->alpha,
                    (const float *)a, (int)g->lda, (const float *)b, (int)g->ldb, (float)g->beta,
                    (float *)c, (int)g->ldc);
}

#else

static void multiply(const cti_gemm *g, int64_t m, const char *a, const char *b, char *c)
{
    multiply_plainly(g, m, a, b, c);
}

#endif

static void gemm_piece(void *context, int64_t piece)
{
    const gemm_job *j = context;
    const cti_gemm *g = j->g;
    int64_t matrix = piece / j->per_matrix, row = piece % j->per_matrix * ROWS;
    int64_t size = (int64_t)ct_dtype_size(g->dtype);
    const char *a = (const char *)g->a + matrix * g->a_step * size;
    const char *b = (const char *)g->b + matrix * g->b_step * size;
    char *c = (char *)g->c + matrix * g->c_step * size;

    multiply(g, g->m - row < ROWS ? g->m - row : ROWS, a + row * (g->trans_a ? 1 : g->lda) * size,
             b, c + row * g->ldc * size);
}

/* beta C alone, for k = 0 */
static void scale_only(const cti_gemm *g)
{
    int64_t matrix, i, j;

    for (matrix = 0; matrix < g->batch; matrix++)
        for (i = 0; i < g->m; i++)
            for (j = 0; j < g->n; j++) {
                int64_t at = matrix * g->c_step + i * g->ldc + j;

                if (g->dtype == CT_F64)
                    ((double *)g->c)[at] = g->beta == 0 ? 0 : g->beta * ((double *)g->c)[at];
                else
                    ((float *)g->c)[at] =
                        g->beta == 0 ? 0 : (float)g->beta * ((float *)g->c)[at];
            }
}

/* ---- small products: compiled for their sizes by LIBXSMM where it can, else as above ---- */

#ifdef CT_HAVE_LIBXSMM

static void set_target(void)
{
    if (cti_cpu_path_get() != &cti_cpu_path_avx512)
        libxsmm_set_target_archid(LIBXSMM_X86_AVX2);
    libxsmm_init();
}

/* LIBXSMM is column-major: C^T = B^T A^T. It compiles for what the processor has, which must not be
 * more than the code path in use. */
static void compile(cti_small_gemm *g)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    const int m = g->n, n = g->m, k = g->k, lda = g->ldb, ldb = g->lda, ldc = g->ldc;
    const int flags = g->trans_a ? LIBXSMM_GEMM_FLAG_TRANS_B : 0;
    const double one = 1, beta = g->accumulate ? 1 : 0;
    const float one_f32 = 1, beta_f32 = (float)beta;

    if (cti_cpu_path_get() == &cti_cpu_path_base || (int64_t)m * n * k > 128 * 1024 * 1024 ||
        !cti_may_generate_code())
        return;
    pthread_once(&once, set_target);
    if (g->dtype == CT_F64)
        g->kernel = (void (*)(void))libxsmm_dmmdispatch(m, n, k, &lda, &ldb, &ldc, &one, &beta,
                                                        &flags, NULL);
    else
        g->kernel = (void (*)(void))libxsmm_smmdispatch(m, n, k, &lda, &ldb, &ldc, &one_f32,
                                                        &beta_f32, &flags, NULL);
}

static bool run_compiled(const cti_small_gemm *g, const void *a, const void *b, void *c)
{
    if (!g->kernel)
        return false;
    if (g->dtype == CT_F64)
        ((libxsmm_dmmfunction)g->kernel)(b, a, c);
    else
        ((libxsmm_smmfunction)g->kernel)(b, a, c);
    return true;
}

#else

static void compile(cti_small_gemm *g)
{
    (void)g;
}

static bool run_compiled(const cti_small_gemm *g, const void *a, const void *b, void *c)
{
    (void)g, (void)a, (void)b, (void)c;
    return false;
}

#endif

bool cti_small_gemm_init(cti_small_gemm *g)
{
    g->kernel = NULL;
    if (g->m > 0 && g->n > 0 && g->k > 0 && !g->trans_b)
        compile(g);
    return g->kernel != NULL;
}

void cti_small_gemm_run(const cti_small_gemm *g, const void *a, const void *b, void *c)
{
    const cti_gemm plain = { .dtype = g->dtype, .m = g->m, .n = g->n, .k = g->k, .batch = 1,
                             .alpha = 1, .beta = g->accumulate ? 1 : 0,
                             .trans_a = g->trans_a, .trans_b = g->trans_b, .lda = g->lda,
                             .ldb = g->ldb, .ldc = g->ldc };

    if (!run_compiled(g, a, b, c))
        multiply(&plain, plain.m, a, b, c);
}

/* ---- large products from small ones: B packed once, rows of C in tiles, k in chunks ---- */

#define MOST_SMALL 1024 /* of n and k (or m): what stays in cache */
#define TILE 64         /* rows of C */
#define CHUNK 256       /* of k, where A is transposed */

typedef struct tiled {
    const cti_gemm *g;
    const char *b;                /* (k, n), packed if B was transposed */
    cti_small_gemm tile, last;    /* of TILE rows; of the rows left over */
    cti_small_gemm tail, last_tail; /* A transposed: of the last chunk of k */
} tiled;

static bool small_of(const cti_gemm *g, int64_t m, int64_t k, bool accumulate, int64_t ldb,
                     cti_small_gemm *out)
{
    *out = (cti_small_gemm){ .dtype = g->dtype, .m = (int)m, .n = (int)g->n, .k = (int)k,
                             .lda = (int)g->lda, .ldb = (int)ldb, .ldc = (int)g->ldc,
                             .trans_a = g->trans_a, .accumulate = accumulate };
    return m == 0 || k == 0 || cti_small_gemm_init(out);
}

/* Kernels for all tiles of g, or false: not this way. */
static bool plan_tiles(const cti_gemm *g, tiled *t)
{
    int64_t ldb = g->trans_b ? g->n : g->ldb, left = g->m % TILE;
    int64_t chunk = g->trans_a && g->k > CHUNK ? CHUNK : g->k;

    if (ct_portable() || !fits_int(g) || g->batch != 1 || g->alpha != 1 || (g->beta != 0 && g->beta != 1) ||
        g->n > MOST_SMALL || (g->trans_a ? g->m : g->k) > MOST_SMALL ||
        (g->trans_b && (g->trans_a || g->m < TILE)))
        return false;
    t->g = g;
    return small_of(g, g->m < TILE ? 0 : TILE, chunk, g->trans_a || g->beta == 1, ldb, &t->tile) &&
           small_of(g, left, chunk, g->trans_a || g->beta == 1, ldb, &t->last) &&
           small_of(g, g->m < TILE ? 0 : TILE, g->k % chunk, true, ldb, &t->tail) &&
           small_of(g, left, g->k % chunk, true, ldb, &t->last_tail);
}

static void tiled_piece(void *context, int64_t piece)
{
    const tiled *t = context;
    const cti_gemm *g = t->g;
    int64_t size = (int64_t)ct_dtype_size(g->dtype), row = piece * TILE, i;
    int64_t rows = g->m - row < TILE ? g->m - row : TILE, k;
    const cti_small_gemm *whole = rows == TILE ? &t->tile : &t->last;
    const cti_small_gemm *tail = rows == TILE ? &t->tail : &t->last_tail;
    const char *a = (const char *)g->a + row * (g->trans_a ? 1 : g->lda) * size, *b = t->b;
    char *c = (char *)g->c + row * g->ldc * size;

    if (!g->trans_a) {
        cti_small_gemm_run(whole, a, b, c);
        return;
    }
    for (i = 0; i < rows && g->beta == 0; i++)
        memset(c + i * g->ldc * size, 0, (size_t)(g->n * size));
    for (k = 0; k + whole->k <= g->k; k += whole->k)
        cti_small_gemm_run(whole, a + k * g->lda * size, b + k * g->ldb * size, c);
    if (k < g->k)
        cti_small_gemm_run(tail, a + k * g->lda * size, b + k * g->ldb * size, c);
}

/* B^T (n, k) -> (k, n) in storage of the pool; NULL, without an error, if there is none. */
static ct_storage *pack_b(const cti_gemm *g)
{
    const int64_t dim[2] = { g->k, g->n };
    ct_storage *s = cti_storage_try(CT_CPU, (size_t)(g->k * g->n) * ct_dtype_size(g->dtype));
    cti_array to = { NULL, g->dtype, { g->n, 1 } };
    cti_array from = { (void *)g->b, g->dtype, { 1, g->ldb } };

    if (!s)
        return NULL;
    to.data = s->data;
    cti_cpu_backend.copy(2, dim, &to, &from);
    return s;
}

static bool gemm_tiled(const cti_gemm *g)
{
    ct_storage *packed = NULL;
    tiled t;

    if (!plan_tiles(g, &t))
        return false;
    if (g->trans_b && !(packed = pack_b(g)))
        return false;
    t.b = packed ? packed->data : g->b;
    cti_parallel((g->m + TILE - 1) / TILE, tiled_piece, &t);
    if (packed)
        cti_storage_unref(packed);
    return true;
}

/* ---- the kernel ---- */

void cti_cpu_gemm(const cti_gemm *g)
{
    gemm_job j = { g, (g->m + ROWS - 1) / ROWS };

    if (g->m == 0 || g->n == 0 || g->batch == 0)
        return;
    if (g->k == 0) {
        scale_only(g);
        return;
    }
    if (!gemm_tiled(g))
        cti_parallel(g->batch * j.per_matrix, gemm_piece, &j);
}

const char *cti_blas_name(void)
{
#if defined(HAVE_OPENBLAS_GET_CONFIG)
    return openblas_get_config();
#elif defined(CT_HAVE_BLAS)
    return "BLAS";
#else
    return "built-in GEMM";
#endif
}
