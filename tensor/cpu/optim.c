/* SPDX-License-Identifier: MIT */
/* optim.c - norms and updates of all parameters of a set at once. */
#include "tensor/cpu/cpu.h"

#include "tensor/parallel.h"

#include <math.h>

#define NORM_RUNS 64 /* the most partial sums of a norm */

/* The sequence of all segments is cut into runs of `length` elements. A run may span several
 * segments. */
typedef struct segments_job {
    const cti_segment *segments;
    int count;
    int64_t length;
    const cti_update *update;
    double partial[NORM_RUNS];
} segments_job;

static int64_t segments_total(const cti_segment *segments, int count)
{
    int64_t total = 0;
    int i;

    for (i = 0; i < count; i++)
        total += segments[i].n;
    return total;
}

/* Calls visit for each part of a segment that lies in a run. */
static void segments_visit(segments_job *j, int64_t run,
                           void (*visit)(segments_job *j, int64_t run, const cti_segment *s,
                                         int64_t at, int64_t n))
{
    int64_t from = run * j->length, to = from + j->length, start = 0;
    int i;

    for (i = 0; i < j->count && start < to; i++) {
        const cti_segment *s = &j->segments[i];
        int64_t at = from > start ? from - start : 0;
        int64_t end = s->n < to - start ? s->n : to - start;

        if (at < end)
            visit(j, run, s, at, end - at);
        start += s->n;
    }
}

static void norm_add_squares(segments_job *j, int64_t run, const cti_segment *s, int64_t at,
                             int64_t n)
{
    const char *g = (const char *)s->grad + (size_t)at * ct_dtype_size(s->dtype);

    j->partial[run] += cti_cpu_rows_of(s->dtype)->sum_squares(n, g);
}

static void norm_piece(void *context, int64_t piece)
{
    segments_visit(context, piece, norm_add_squares);
}

void cti_cpu_norm_squared(const cti_segment *segments, int count, double *out)
{
    segments_job j = { .segments = segments, .count = count };
    int64_t total = segments_total(segments, count), i;
    double sum = 0;

    j.length = (total + NORM_RUNS - 1) / NORM_RUNS;
    j.length = j.length < CTI_CPU_PIECE ? CTI_CPU_PIECE : j.length;
    cti_parallel((total + j.length - 1) / j.length, norm_piece, &j);
    for (i = 0; i < NORM_RUNS; i++)
        sum += j.partial[i];
    *out = sum;
}

static void scale_gradient(const cti_segment *s, double factor)
{
    cti_ew e = { .op = CTI_EW_affine,
                 .dtype = s->dtype,
                 .inputs = 1,
                 .rank = 1,
                 .dim = { s->n },
                 .out = (void *)s->grad,
                 .out_stride = { 1 },
                 .in = { s->grad },
                 .in_stride = { { 1 } },
                 .param = { factor, 0 } };

    cti_cpu_elementwise(&e);
}

/* The norm, if the sum of squares overflows. The elements are multiplied by 2^-600 first. Infinite if
 * an element or the norm itself is. f32 gradients are too small to count beside such a sum. */
static double norm_of_large(const cti_segment *segments, int count)
{
    double sum = 0;
    int64_t k;
    int i;

    for (i = 0; i < count; i++) {
        const double *g = segments[i].grad;

        for (k = 0; segments[i].dtype == CT_F64 && k < segments[i].n; k++)
            sum += (g[k] * 0x1p-600) * (g[k] * 0x1p-600);
    }
    return sqrt(sum) * 0x1p600;
}

ct_status cti_cpu_clip_norm(const cti_clip_norm_args *a, cti_fault *fault)
{
    double total;
    int i;

    cti_cpu_norm_squared(a->segments, a->count, &total);
    total = isinf(total) ? norm_of_large(a->segments, a->count) : sqrt(total);
    if (a->norm)
        *a->norm = total;
    fault->position = 0;
    if (!isfinite(total))
        return CT_ERR_NUMERIC;
    for (i = 0; i < a->count && total > a->max_norm; i++)
        scale_gradient(&a->segments[i], a->max_norm / total);
    return CT_OK;
}

static void update_stretch(segments_job *j, int64_t run, const cti_segment *s, int64_t at,
                           int64_t n)
{
    (void)run;
    cti_cpu_rows_of(s->dtype)->update[j->update->rule](at, n, j->update, s);
}

static void update_piece(void *context, int64_t piece)
{
    segments_visit(context, piece, update_stretch);
}

void cti_cpu_update(const cti_update *u, const cti_segment *segments, int count)
{
    segments_job j = { .segments = segments, .count = count, .length = CTI_CPU_PIECE, .update = u };

    cti_parallel((segments_total(segments, count) + CTI_CPU_PIECE - 1) / CTI_CPU_PIECE,
                 update_piece, &j);
}
