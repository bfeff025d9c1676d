/* random.c - uniforms, normals, dropout and multinomial draws from Philox (tensor/philox.h). */
#include "tensor/cpu/cpu.h"

#include "tensor/parallel.h"
#include "tensor/philox.h"

/* ---- uniforms and normals ---- */

#define DRAW_BLOCKS 1024 /* of four words, in a piece */

typedef struct draw_job {
    const cti_draw_args *a;
    bool normal;
} draw_job;

/* Elements that a block of four words gives. */
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

#define DROPOUT_BLOCKS 4096 /* of four words, in a piece */

typedef struct dropout_job {
    const cti_dropout_args *a;
    uint64_t below; /* a word below it drops its element */
    double scale;
} dropout_job;

static void dropout_piece(void *context, int64_t piece)
{
    const dropout_job *j = context;
    const cti_dropout_args *a = j->a;
    uint64_t block = cti_first_block(&a->from);
    int64_t i = piece * DROPOUT_BLOCKS * 4, end = i + DROPOUT_BLOCKS * 4, k;

    for (end = end < a->n ? end : a->n; i < end; i += 4) {
        uint32_t w[4];

        cti_philox(a->from.seed, a->from.stream, block + (uint64_t)(i / 4), w);
        for (k = i; k < end && k < i + 4; k++)
            if (a->dtype == CT_F64)
                ((double *)a->out)[k] =
                    w[k - i] < j->below ? 0 : ((const double *)a->in)[k] * j->scale;
            else
                ((float *)a->out)[k] =
                    w[k - i] < j->below ? 0 : ((const float *)a->in)[k] * (float)j->scale;
    }
}

void cti_cpu_dropout(const cti_dropout_args *a)
{
    dropout_job j = { a, (uint64_t)(a->p * 0x1p32), 1 / (1 - a->p) };

    cti_parallel((a->n + DROPOUT_BLOCKS * 4 - 1) / (DROPOUT_BLOCKS * 4), dropout_piece, &j);
}

/* ---- multinomial ---- */

/* The uniform in [0, 1) of a draw, from words 2 draw and 2 draw + 1. */
static double uniform_of_draw(const cti_position *from, int64_t draw)
{
    uint32_t w[4];
    int half = (int)(draw % 2) * 2;

    cti_philox(from->seed, from->stream, cti_first_block(from) + (uint64_t)(draw / 2), w);
    return cti_uniform_of_words(w[half], w[half + 1]);
}

/* Position at which the running sum of the weights passes u of their total; -1 if there is no
 * positive total. Rounding may leave u beyond the end: then the last positive weight. */
static int64_t pick_by_weight(const double *weight, int64_t n, double u)
{
    double total = 0, sum = 0;
    int64_t i, last = -1;

    for (i = 0; i < n; i++)
        total += weight[i];
    for (i = 0; i < n; i++) {
        sum += weight[i];
        if (weight[i] > 0) {
            last = i;
            if (sum > u * total)
                return i;
        }
    }
    return last;
}

ct_status cti_cpu_multinomial(const cti_multinomial_args *a, cti_fault *fault)
{
    int64_t r, i, j;

    for (r = 0; r < a->rows; r++) {
        double *row = a->weights + r * a->n;

        fault->position = r;
        for (i = 0; i < a->n; i++)
            if (!(row[i] >= 0 && isfinite(row[i])))
                return CT_ERR_NUMERIC;
        for (j = 0; j < a->k; j++) {
            int64_t draw = r * a->k + j;
            int64_t at = pick_by_weight(row, a->n, uniform_of_draw(&a->from, draw));

            if (at < 0)
                return CT_ERR_NUMERIC;
            a->out[draw] = at;
            if (!a->replacement)
                row[at] = 0;
        }
    }
    return CT_OK;
}
