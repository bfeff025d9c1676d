/* SPDX-License-Identifier: MIT */
/* normalise.c - layer norm and RMS norm of rows (rows, n): loops_norm.h. */
#include "tensor/cpu/cpu.h"

#include "tensor/parallel.h"

#include <string.h>

#define NORM_PIECES 64          /* the most pieces with separate sums */
#define NORM_ROOM (1024 * 1024) /* about the most elements of all these sums */

/* The number of rows in a piece of the forward pass. */
static int64_t normalise_rows(int64_t n)
{
    return (CTI_CPU_PIECE + n - 1) / n;
}

static void normalise_piece(void *context, int64_t piece)
{
    const cti_normalise_args *a = context;
    int64_t rows = normalise_rows(a->n), first = piece * rows;

    cti_cpu_rows_of(a->dtype)->normalise(a, first, first + rows < a->rows ? first + rows : a->rows);
}

ct_status cti_cpu_normalise(const cti_normalise_args *a)
{
    if (a->rows && a->n)
        cti_parallel((a->rows + normalise_rows(a->n) - 1) / normalise_rows(a->n), normalise_piece,
                     (void *)a);
    return CT_OK;
}

/* ---- backward ---- */

/* Each piece of rows has its own sums of dweight and dbias. They are added up in the order of the
 * pieces, which are cut by shape alone. */
typedef struct normalise_job {
    const cti_normalise_backward_args *a;
    int64_t rows, pieces; /* the rows of a piece, and the number of pieces */
    char *sums;           /* for each piece: (2 n) doubles and (2 n) elements; or NULL */
    size_t room;          /* the bytes of a piece in sums */
} normalise_job;

static void normalise_backward_piece(void *context, int64_t piece)
{
    const normalise_job *j = context;
    int64_t first = piece * j->rows, n = j->a->n;
    int64_t end = first + j->rows < j->a->rows ? first + j->rows : j->a->rows;
    double *sums = j->sums ? (double *)(void *)(j->sums + (size_t)piece * j->room) : NULL;

    if (sums)
        memset(sums, 0, (size_t)(2 * n) * sizeof *sums);
    cti_cpu_rows_of(j->a->dtype)
        ->normalise_backward(j->a, first, end, sums ? sums + 2 * n : NULL, sums);
}

/* Cuts the rows into pieces. Long rows get fewer pieces, so that the sums need at most about
 * NORM_ROOM elements. */
static void normalise_cut(normalise_job *j)
{
    const cti_normalise_backward_args *a = j->a;
    int64_t most = NORM_ROOM / a->n < NORM_PIECES ? NORM_ROOM / a->n : NORM_PIECES, least;

    j->rows = normalise_rows(a->n);
    if (a->dweight || a->dbias) {
        most = most ? most : 1;
        least = (a->rows + most - 1) / most;
        j->rows = j->rows < least ? least : j->rows;
    }
    j->pieces = (a->rows + j->rows - 1) / j->rows;
}

/* Adds the sums of the other pieces to those of the first. */
static void normalise_add(const normalise_job *j)
{
    double *total = (double *)(void *)j->sums;
    int64_t i, piece;

    for (piece = 1; piece < j->pieces; piece++) {
        const double *sums = (const double *)(const void *)(j->sums + (size_t)piece * j->room);

        for (i = 0; i < 2 * j->a->n; i++)
            total[i] += sums[i];
    }
}

/* n totals as elements, unless to is NULL. */
static void normalise_finish(const normalise_job *j, const double *total, void *to)
{
    int64_t i;

    for (i = 0; to && i < j->a->n; i++)
        if (j->a->dtype == CT_F64)
            ((double *)to)[i] = total[i];
        else
            ((float *)to)[i] = (float)total[i];
}

ct_status cti_cpu_normalise_backward(const cti_normalise_backward_args *a)
{
    normalise_job j = { .a = a };
    ct_storage *room = NULL;

    if (!a->n)
        return CT_OK;
    normalise_cut(&j);
    if (a->dweight || a->dbias) {
        j.room = (size_t)(2 * a->n) * (sizeof(double) + sizeof(double));
        room = cti_storage_try(CT_CPU, (size_t)(j.pieces + 1) * j.room);
        if (!room)
            return CT_ERR_MEMORY;
        j.sums = room->data;
    }
    cti_parallel(j.pieces, normalise_backward_piece, &j);
    if (room) {
        normalise_add(&j);
        normalise_finish(&j, (const double *)(void *)j.sums, a->dweight);
        normalise_finish(&j, (const double *)(void *)j.sums + a->n, a->dbias);
        cti_storage_unref(room);
    }
    return CT_OK;
}
