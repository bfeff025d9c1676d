/* SPDX-License-Identifier: MIT */
/* random.c - uniforms, normals, integers, dropout and multinomial draws from Philox
 * (tensor/philox.h), and checks for elements that an op does not allow. */
#include "tensor/cpu/cpu.h"

#include "tensor/parallel.h"
#include "tensor/philox.h"
#include "tensor/running_sums.h"

#include <float.h>

/* ---- uniforms and normals ---- */

#define DRAW_BLOCKS 1024 /* blocks of four words in a piece */

typedef struct draw_job {
    const cti_draw_args *a;
    bool normal;
} draw_job;

/* The number of elements for which a block of four words suffices. */
static int64_t draws_of_block(ct_dtype dtype)
{
    return dtype == CT_F64 ? 2 : 4;
}

static void draw_piece(void *context, int64_t piece)
{
    const draw_job *j = context;
    const cti_draw_args *a = j->a;
    uint64_t block = cti_first_block(&a->from);
    int64_t per = draws_of_block(a->dtype), i = piece * DRAW_BLOCKS * per, k;
    int64_t end = i + DRAW_BLOCKS * per < a->n ? i + DRAW_BLOCKS * per : a->n;

    for (; i < end; i += per) {
        uint32_t w[4];
        int64_t m = end - i < per ? end - i : per;

        cti_philox(a->from.seed, a->from.stream, block + (uint64_t)(i / per), w);
        if (a->dtype == CT_F64) {
            double out[2];

            cti_draw_f64(j->normal, a->a, a->b, w, out);
            for (k = 0; k < m; k++)
                ((double *)a->out)[i + k] = out[k];
        } else {
            float out[4];

            cti_draw_f32(j->normal, a->a, a->b, w, out);
            for (k = 0; k < m; k++)
                ((float *)a->out)[i + k] = out[k];
        }
    }
}

static void draw_all(const cti_draw_args *a, bool normal)
{
    draw_job j = { a, normal };
    int64_t per = DRAW_BLOCKS * draws_of_block(a->dtype);

    cti_parallel((a->n + per - 1) / per, draw_piece, &j);
}

void cti_cpu_uniform(const cti_draw_args *a)
{
    draw_all(a, false);
}

void cti_cpu_normal(const cti_draw_args *a)
{
    draw_all(a, true);
}

/* ---- dropout ---- */

#define DROPOUT_BLOCKS 4096 /* blocks of four words in a piece */

static void dropout_piece(void *context, int64_t piece)
{
    const cti_dropout_args *a = context;
    size_t size = ct_dtype_size(a->dtype);
    int64_t i = piece * DROPOUT_BLOCKS * 4, n = a->n - i;

    cti_cpu_rows_of(a->dtype)->dropout(
        a, cti_first_block(&a->from) + (uint64_t)(i / 4), (uint32_t)(a->p * 0x1p32),
        n < DROPOUT_BLOCKS * 4 ? n : DROPOUT_BLOCKS * 4, (const char *)a->in + (size_t)i * size,
        (char *)a->out + (size_t)i * size);
}

void cti_cpu_dropout(const cti_dropout_args *a)
{
    cti_parallel((a->n + DROPOUT_BLOCKS * 4 - 1) / (DROPOUT_BLOCKS * 4), dropout_piece, (void *)a);
}

/* ---- integers ---- */

static void randint_piece(void *context, int64_t piece)
{
    const cti_randint_args *a = context;
    uint64_t first = cti_first_block(&a->from), pair[2];
    int64_t i = piece * DRAW_BLOCKS * 2, end = i + DRAW_BLOCKS * 2, k;

    for (end = end < a->n ? end : a->n; i < end; i += 2) {
        cti_draw_integers(&a->from, first + (uint64_t)(i / 2), a->range, pair);
        for (k = i; k < end && k < i + 2; k++) {
            int64_t v = (int64_t)((uint64_t)a->low + pair[k - i]);

            if (a->dtype == CT_I64)
                ((int64_t *)a->out)[k] = v;
            else
                ((int32_t *)a->out)[k] = (int32_t)v;
        }
    }
}

void cti_cpu_randint(const cti_randint_args *a)
{
    cti_parallel((a->n + DRAW_BLOCKS * 2 - 1) / (DRAW_BLOCKS * 2), randint_piece, (void *)a);
}

/* ---- multinomial ---- */

typedef struct multinomial_job {
    const cti_multinomial_args *a;
    _Atomic int64_t bad; /* the first row with bad weights; `rows` if all are good */
} multinomial_job;

/* Records a row with bad weights. */
static void multinomial_refuse(multinomial_job *j, int64_t row)
{
    int64_t seen = atomic_load(&j->bad);

    while (row < seen && !atomic_compare_exchange_weak(&j->bad, &seen, row))
        ;
}

/* Returns CT_OK, or the fault of the first row with bad weights. */
static ct_status multinomial_result(multinomial_job *j, cti_fault *fault)
{
    fault->position = atomic_load(&j->bad);
    return fault->position < j->a->rows ? CT_ERR_NUMERIC : CT_OK;
}

/* Replaces a row of weights by their running sums. */
static void multinomial_sum_row(void *context, int64_t row)
{
    multinomial_job *j = context;

    if (!cti_running_sums(j->a->weights + row * j->a->n, j->a->n))
        multinomial_refuse(j, row);
}

#define MULTINOMIAL_DRAWS 1024 /* in a piece */

static void multinomial_draws(void *context, int64_t piece)
{
    const multinomial_job *j = context;
    const cti_multinomial_args *a = j->a;
    uint64_t first = cti_first_block(&a->from);
    int64_t d = piece * MULTINOMIAL_DRAWS, end = d + MULTINOMIAL_DRAWS;

    for (end = end < a->rows * a->k ? end : a->rows * a->k; d < end; d++) {
        uint32_t w[4];
        int half = (int)(d % 2) * 2;

        cti_philox(a->from.seed, a->from.stream, first + (uint64_t)(d / 2), w);
        a->out[d] = cti_running_search(a->weights + d / a->k * a->n, a->n,
                                       cti_uniform_of_words(w[half], w[half + 1]));
    }
}

ct_status cti_cpu_multinomial(const cti_multinomial_args *a, cti_fault *fault)
{
    multinomial_job j = { a, a->rows };
    int64_t draws = a->rows * a->k;

    cti_parallel(a->rows, multinomial_sum_row, &j);
    if (multinomial_result(&j, fault) == CT_OK)
        cti_parallel((draws + MULTINOMIAL_DRAWS - 1) / MULTINOMIAL_DRAWS, multinomial_draws, &j);
    return multinomial_result(&j, fault);
}

static void multinomial_check_row(void *context, int64_t row)
{
    multinomial_job *j = context;
    const double *w = j->a->weights + row * j->a->n;
    int64_t positive = 0, i;
    bool good = true;

    for (i = 0; i < j->a->n; i++) {
        good = good && w[i] >= 0 && w[i] <= DBL_MAX;
        positive += w[i] > 0;
    }
    if (!good || positive < j->a->k)
        multinomial_refuse(j, row);
}

static void multinomial_keys_piece(void *context, int64_t piece)
{
    const multinomial_job *j = context;
    const cti_multinomial_args *a = j->a;
    uint64_t first = cti_first_block(&a->from);
    int64_t i = piece * DRAW_BLOCKS * 2, end = i + DRAW_BLOCKS * 2, k;

    for (end = end < a->rows * a->n ? end : a->rows * a->n; i < end; i += 2) {
        uint32_t w[4];

        cti_philox(a->from.seed, a->from.stream, first + (uint64_t)(i / 2), w);
        for (k = i; k < end && k < i + 2; k++)
            a->weights[k] = cti_key_of_weight(a->weights[k], w[2 * (k - i)], w[2 * (k - i) + 1]);
    }
}

ct_status cti_cpu_multinomial_keys(const cti_multinomial_args *a, cti_fault *fault)
{
    multinomial_job j = { a, a->rows };
    int64_t pieces = (a->rows * a->n + DRAW_BLOCKS * 2 - 1) / (DRAW_BLOCKS * 2);

    cti_parallel(a->rows, multinomial_check_row, &j);
    if (multinomial_result(&j, fault) == CT_OK)
        cti_parallel(pieces, multinomial_keys_piece, &j);
    return multinomial_result(&j, fault);
}

/* ---- checks ---- */

static bool check_allows(const cti_check_args *a, int64_t i)
{
    double p;

    if (a->kind == CTI_CHECK_DIVISOR)
        return cti_cpu_index_at(a->in, a->dtype, i) != 0;
    p = a->dtype == CT_F64 ? ((const double *)a->in)[i] : (double)((const float *)a->in)[i];
    return p >= 0 && p <= 1;
}

ct_status cti_cpu_check_elements(const cti_check_args *a, cti_fault *fault)
{
    int64_t i;

    for (i = 0; i < a->n; i++)
        if (!check_allows(a, i)) {
            fault->position = i;
            return CT_ERR_NUMERIC;
        }
    return CT_OK;
}
