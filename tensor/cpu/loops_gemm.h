/* SPDX-License-Identifier: MIT */
/* loops_gemm.h - the plain matrix product; included by kernels.c with T and FN defined. (internal,
 * no guard)
 *
 * Each element of C starts as beta C; then alpha A[i,k] B[k,j] is added for k = 0, 1, ... in this
 * order, whatever the tiling. So on the base path the bits depend only on the operands. */

#define GEMM_ROWS 4
#define GEMM_DEPTH 256 /* the rows of a panel of B, which then stays in the first-level cache */
#define GEMM_COLUMNS ((int)(sizeof(FN(columns)) / sizeof(T)))

/* A row of a panel. Its width is the same on every processor; each element has a separate sum. */
typedef T FN(columns) __attribute__((vector_size(32)));

/* B[k0.., j0..] as (depth, GEMM_COLUMNS), zeros beyond column n. */
static void FN(pack_panel)(const cti_gemm *g, const T *b, int64_t k0, int64_t depth, int64_t j0,
                           FN(columns) * panel)
{
    int64_t width = g->n - j0 < GEMM_COLUMNS ? g->n - j0 : GEMM_COLUMNS, k, j;

    for (k = 0; k < depth; k++)
        for (j = 0; j < GEMM_COLUMNS; j++) {
            int64_t at = g->trans_b ? (j0 + j) * g->ldb + k0 + k : (k0 + k) * g->ldb + j0 + j;

            panel[k][j] = j < width ? b[at] : 0;
        }
}

/* sum (GEMM_ROWS, GEMM_COLUMNS) += rows of A times the panel; A's elements are step_i and step_k
 * apart */
static void FN(multiply_panel)(const T *a, int64_t step_i, int64_t step_k, int64_t depth, T alpha,
                               const FN(columns) * panel, FN(columns) * sum)
{
    FN(columns) s0 = sum[0], s1 = sum[1], s2 = sum[2], s3 = sum[3];
    int64_t k;

    for (k = 0; k < depth; k++, a += step_k) {
        FN(columns) b = panel[k];

        s0 += alpha * a[0] * b;
        s1 += alpha * a[step_i] * b;
        s2 += alpha * a[2 * step_i] * b;
        s3 += alpha * a[3 * step_i] * b;
    }
    sum[0] = s0;
    sum[1] = s1;
    sum[2] = s2;
    sum[3] = s3;
}

/* Like multiply_panel, for one row. */
static void FN(multiply_panel_row)(const T *a, int64_t step_k, int64_t depth, T alpha,
                                   const FN(columns) * panel, FN(columns) * sum)
{
    FN(columns) total = *sum;
    int64_t k;

    for (k = 0; k < depth; k++)
        total += alpha * a[k * step_k] * panel[k];
    *sum = total;
}

/* Adds the products of a panel to `count` rows (at most GEMM_ROWS) of C, in `width` columns. If
 * `first` is true, C is multiplied by beta before. */
static void FN(multiply_rows)(const cti_gemm *g, const T *a, int64_t count, int64_t depth,
                              const FN(columns) * panel, int64_t width, bool first, T *c)
{
    int64_t step_i = g->trans_a ? 1 : g->lda, step_k = g->trans_a ? g->lda : 1, i, j;
    FN(columns) sum[GEMM_ROWS] = { { 0 } };
    T alpha = (T)g->alpha;

    for (i = 0; i < count; i++)
        for (j = 0; j < width; j++) {
            T begun = c[i * g->ldc + j];

            if (first)
                begun = g->beta == 0 ? 0 : (T)(g->beta * (double)begun);
            sum[i][j] = begun;
        }
    if (count == GEMM_ROWS)
        FN(multiply_panel)(a, step_i, step_k, depth, alpha, panel, sum);
    else
        for (i = 0; i < count; i++)
            FN(multiply_panel_row)(a + i * step_i, step_k, depth, alpha, panel, sum + i);
    for (i = 0; i < count; i++)
        for (j = 0; j < width; j++)
            c[i * g->ldc + j] = sum[i][j];
}

/* m rows of C (m, n); k is above 0. */
static void FN(gemm)(const cti_gemm *g, int64_t m, const void *a_, const void *b_, void *c_)
{
    FN(columns) panel[GEMM_DEPTH];
    const T *a = a_;
    T *c = c_;
    int64_t i, j, k;

    for (j = 0; j < g->n; j += GEMM_COLUMNS)
        for (k = 0; k < g->k; k += GEMM_DEPTH) {
            int64_t depth = g->k - k < GEMM_DEPTH ? g->k - k : GEMM_DEPTH;
            int64_t width = g->n - j < GEMM_COLUMNS ? g->n - j : GEMM_COLUMNS;

            FN(pack_panel)(g, b_, k, depth, j, panel);
            for (i = 0; i < m; i += GEMM_ROWS)
                (FN(multiply_rows))(
                    g, a + i * (g->trans_a ? 1 : g->lda) + k * (g->trans_a ? g->lda : 1),
                    m - i < GEMM_ROWS ? m - i : GEMM_ROWS, depth, panel, width, k == 0,
                    c + i * g->ldc + j);
        }
}

/* ---- one row ---- */

/* Parts of a vector. */
typedef T FN(half) __attribute__((vector_size(VECTOR_BYTES / 2), may_alias));
typedef T FN(quarter) __attribute__((vector_size(16), may_alias));

/* The sum of a vector: its halves are added until one element is left. */
static inline T FN(vector_sum)(FN(vector) v)
{
#if VECTOR_BYTES == 64
    const FN(half) h = ((const FN(half) *)&v)[0] + ((const FN(half) *)&v)[1];
    const FN(quarter) q = ((const FN(quarter) *)&h)[0] + ((const FN(quarter) *)&h)[1];
#elif VECTOR_BYTES == 32
    const FN(quarter) q = ((const FN(quarter) *)&v)[0] + ((const FN(quarter) *)&v)[1];
#else
    const FN(quarter) q = ((const FN(quarter) *)&v)[0];
#endif

    return sizeof(T) == 4
               ? (q[0] + q[16 / (2 * (int)sizeof(T))]) + (q[1] + q[16 / (int)sizeof(T) - 1])
               : q[0] + q[1];
}

/* sum[r] = the product of x (k) and row r of b, ldb apart, for a few rows: two vectors of partial sums
 * for each row, then the elements after the last whole vector. How many rows are computed at a time
 * does not change a bit. */
static inline __attribute__((always_inline)) void FN(dot_rows)(int rows, int64_t k, const T *x,
                                                               const T *b, int64_t ldb, T *sum)
{
    FN(vector) even[4] = { { 0 } }, odd[4] = { { 0 } };
    int64_t i = 0;
    int r;

    for (; i + 2 * IN_VECTOR <= k; i += 2 * IN_VECTOR) {
        FN(vector) x0 = *(const FN(vector) *)(x + i), x1 = *(const FN(vector) *)(x + i + IN_VECTOR);

        for (r = 0; r < rows; r++) {
            __builtin_prefetch(b + (r + rows) * ldb + i);
            __builtin_prefetch(b + (r + rows) * ldb + i + IN_VECTOR);
            even[r] += x0 * *(const FN(vector) *)(b + r * ldb + i);
            odd[r] += x1 * *(const FN(vector) *)(b + r * ldb + i + IN_VECTOR);
        }
    }
    if (i + IN_VECTOR <= k) {
        FN(vector) x0 = *(const FN(vector) *)(x + i);

        for (r = 0; r < rows; r++)
            even[r] += x0 * *(const FN(vector) *)(b + r * ldb + i);
        i += IN_VECTOR;
    }
    for (r = 0; r < rows; r++)
        sum[r] = FN(vector_sum)(even[r] + odd[r]);
    for (; i < k; i++)
        for (r = 0; r < rows; r++)
            sum[r] += x[i] * b[r * ldb + i];
}

/* c (n) = alpha B a + beta c, for B (n, k) */
static void FN(gemm_row)(const cti_gemm *g, const void *a, const void *b_, void *c_)
{
    const T *b = b_;
    const T alpha = (T)g->alpha, beta = (T)g->beta;
    T *c = c_, sum[4];
    int64_t j;

    for (j = 0; j < g->n; j += 4) {
        int rows = g->n - j < 4 ? (int)(g->n - j) : 4, r;

        if (rows == 4)
            FN(dot_rows)(4, g->k, a, b + j * g->ldb, g->ldb, sum);
        else
            for (r = 0; r < rows; r++)
                FN(dot_rows)(1, g->k, a, b + (j + r) * g->ldb, g->ldb, sum + r);
        for (r = 0; r < rows; r++)
            c[j + r] = beta == 0 ? alpha * sum[r] : alpha * sum[r] + beta * c[j + r];
    }
}

#undef GEMM_ROWS
#undef GEMM_DEPTH
#undef GEMM_COLUMNS
