/* sample.c - the CPU's kernels that draw: dropout and multinomial. */
#include "tensor/cpu/cpu.h"

#include "tensor/philox.h"
#include "tensor/parallel.h"

#include <math.h>

/* ---- dropout: element i takes word i, counted from the start of the block ---- */

#define DROP_BLOCKS 4096 /* of four words, in a piece */

typedef struct dropping {
    ct_dtype dtype;
    int64_t n;
    uint64_t below; /* a word below it drops its element */
    double scale;
    const cti_position *from;
    const void *in;
    void *out;
} dropping;

static void dropout_piece(void *context, int64_t piece)
{
    const dropping *d = context;
    uint64_t block = cti_first_block(d->from);
    int64_t i = piece * DROP_BLOCKS * 4, end = i + DROP_BLOCKS * 4, k;

    for (end = end < d->n ? end : d->n; i < end; i += 4) {
        uint32_t w[4];

        cti_philox(d->from->seed, d->from->stream, block + (uint64_t)(i / 4), w);
        for (k = i; k < end && k < i + 4; k++)
            if (d->dtype == CT_F64)
                ((double *)d->out)[k] =
                    w[k - i] < d->below ? 0 : ((const double *)d->in)[k] * d->scale;
            else
                ((float *)d->out)[k] =
                    w[k - i] < d->below ? 0 : ((const float *)d->in)[k] * (float)d->scale;
    }
}

void cti_cpu_dropout(ct_dtype dtype, int64_t n, double p, const cti_position *from, const void *in,
                     void *out)
{
    dropping d = { dtype, n, (uint64_t)(p * 0x1p32), 1 / (1 - p), from, in, out };

    cti_parallel((n + DROP_BLOCKS * 4 - 1) / (DROP_BLOCKS * 4), dropout_piece, &d);
}

/* ---- multinomial: draw number j of row r takes words 2 (r k + j) and the next ---- */

/* A uniform in [0, 1) from word 2 at on. */
static double uniform_at(const cti_position *from, int64_t at)
{
    uint32_t w[4];
    int half = (int)(at % 2) * 2;

    cti_philox(from->seed, from->stream, cti_first_block(from) + (uint64_t)(at / 2), w);
    return cti_uniform_of_words(w[half], w[half + 1]);
}

/* Position at which the running sum of the weights passes u of their total; -1 if there is no
 * positive total. Rounding may leave u beyond the end: then the last positive weight. */
static int64_t pick(const double *weight, int64_t n, double u)
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

ct_status cti_cpu_multinomial(int64_t rows, int64_t n, int64_t k, bool replacement, double *weights,
                              const cti_position *from, int64_t *out, cti_fault *fault)
{
    int64_t r, i, j;

    for (r = 0; r < rows; r++) {
        double *row = weights + r * n;

        fault->position = r;
        for (i = 0; i < n; i++)
            if (!(row[i] >= 0 && isfinite(row[i])))
                return CT_ERR_NUMERIC;
        for (j = 0; j < k; j++) {
            int64_t at = pick(row, n, uniform_at(from, r * k + j));

            if (at < 0)
                return CT_ERR_NUMERIC;
            out[r * k + j] = at;
            if (!replacement)
                row[at] = 0;
        }
    }
    return CT_OK;
}
