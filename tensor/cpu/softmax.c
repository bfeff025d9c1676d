/* softmax.c - softmax, log-softmax and cross-entropy of rows (rows, n). */
#include "tensor/cpu/cpu.h"

#include "tensor/parallel.h"

#define LOSS_ROWS 64 /* rows whose targets stand together on the stack */

/* Rows in a piece: about half of CTI_CPU_PIECE elements, as exponentials take their time. */
static int64_t rows_per_piece(int64_t n)
{
    return (CTI_CPU_PIECE / 2 + n - 1) / n;
}

/* Calls run for each piece of rows rows of n; context is the kernel's arguments. */
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
    size_t bytes = (size_t)a->n * ct_dtype_size(a->dtype);
    int64_t end = rows_end(a->rows, a->n, piece), i;

    for (i = piece * rows_per_piece(a->n); i < end; i++)
        loops->softmax(a->logarithm, a->n, (const char *)a->in + (size_t)i * bytes,
                       (char *)a->out + (size_t)i * bytes);
}

void cti_cpu_softmax(const cti_softmax_args *a)
{
    softmax_rows(a->rows, a->n, softmax_piece, a);
}

/* ---- cross-entropy: the loops take -1 for a target that is ignored ---- */

static void cross_entropy_piece(void *context, int64_t piece)
{
    const cti_cross_entropy_args *a = context;
    int64_t size = (int64_t)ct_dtype_size(a->dtype);
    int64_t end = rows_end(a->rows, a->n, piece), target[LOSS_ROWS], at, i;

    for (at = piece * rows_per_piece(a->n); at < end; at += LOSS_ROWS) {
        int64_t count = end - at < LOSS_ROWS ? end - at : LOSS_ROWS;

        for (i = 0; i < count; i++) {
            int64_t k = cti_cpu_index_at(a->target, a->index_dtype, at + i);

            target[i] = k == a->ignore ? -1 : k;
        }
        cti_cpu_rows_of(a->dtype)->cross_entropy(
            count, a->n, (const char *)a->in + at * a->n * size, target, a->smoothing,
            (char *)a->loss + at * size, (char *)a->most + at * size, (char *)a->lse + at * size);
    }
}

ct_status cti_cpu_cross_entropy(const cti_cross_entropy_args *a, cti_fault *fault)
{
    int64_t i;

    for (i = 0; i < a->rows; i++) {
        int64_t k = cti_cpu_index_at(a->target, a->index_dtype, i);

        if (k != a->ignore && (k < 0 || k >= a->n)) {
            fault->position = i;
            return CT_ERR_INDEX;
        }
    }
    softmax_rows(a->rows, a->n, cross_entropy_piece, a);
    return CT_OK;
}

static void cross_entropy_backward_piece(void *context, int64_t piece)
{
    const cti_cross_entropy_backward_args *a = context;
    int64_t size = (int64_t)ct_dtype_size(a->dtype);
    int64_t end = rows_end(a->rows, a->n, piece), target[LOSS_ROWS], at, i;

    for (at = piece * rows_per_piece(a->n); at < end; at += LOSS_ROWS) {
        int64_t count = end - at < LOSS_ROWS ? end - at : LOSS_ROWS;

        for (i = 0; i < count; i++) {
            int64_t k = cti_cpu_index_at(a->target, a->index_dtype, at + i);

            target[i] = k == a->ignore ? -1 : k;
        }
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
