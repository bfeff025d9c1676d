/* SPDX-License-Identifier: MIT */
/* allreduce.c - the sum over shards against MPI_Allreduce, in turns, and what a message costs.
 *
 *     make bench/allreduce-openmpi
 *     COTANGENT_PLUGIN_DIR=train/mpi/.libs mpirun.openmpi -np 2 bench/allreduce-openmpi [ROUNDS]
 *
 * Each rank has one shard. A line for each size: bytes, milliseconds of MPI_Allreduce and of the sum (of
 * the slowest rank in the best round, since others use the machine), and their ratio. */
#include "train/world_internal.h"

#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const me = "allreduce";

static double least(const double *x, int n)
{
    double best = x[0];

    for (int i = 1; i < n; i++)
        best = x[i] < best ? x[i] : best;
    return best;
}

/* Seconds since `began`, of the slowest rank. */
static double slowest(double began)
{
    double own = MPI_Wtime() - began, all;

    MPI_Allreduce(&own, &all, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    return all;
}

static double time_allreduce(const float *in, float *out, int n)
{
    double began;

    MPI_Barrier(MPI_COMM_WORLD);
    began = MPI_Wtime();
    MPI_Allreduce(in, out, n, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
    return slowest(began);
}

static double time_sum(ct_world *w, int n)
{
    bool stop = false;
    cti_sum_memory vector;
    double began;

    cti_sum_begin(w, 0, n, 0);
    vector = cti_sum_vector(w, me);
    MPI_Barrier(MPI_COMM_WORLD);
    began = MPI_Wtime();
    cti_sum_add(w, w->first, vector);
    if (!cti_sum_all(w, me, &stop).bytes)
        MPI_Abort(MPI_COMM_WORLD, 1);
    return slowest(began);
}

static void measure(ct_world *w, int n, int rounds)
{
    double *mpi = calloc((size_t)rounds, sizeof *mpi), *own = calloc((size_t)rounds, sizeof *own);
    float *in = calloc((size_t)n, sizeof *in), *out = calloc((size_t)n, sizeof *out);

    if (!mpi || !own || !in || !out)
        MPI_Abort(MPI_COMM_WORLD, 1);
    for (int i = -2; i < rounds; i++) {
        const double a = time_allreduce(in, out, n), b = time_sum(w, n);

        if (i >= 0) {
            mpi[i] = a;
            own[i] = b;
        }
    }
    if (w->rank == 0) {
        const double a = least(mpi, rounds), b = least(own, rounds);

        printf("%10d %10.3f %10.3f %8.2f\n", 4 * n, 1e3 * a, 1e3 * b, b / a);
    }
    free(mpi);
    free(own);
    free(in);
    free(out);
}

/* Half of the time of a message to rank 1 and back. */
static double time_message(ct_world *w, char *bytes, size_t size)
{
    double began = MPI_Wtime();

    if (w->rank == 0) {
        cti_world_send(w, me, bytes, size, 1, CTI_TAG_GATHER);
        cti_world_receive(w, me, bytes, size, 1, CTI_TAG_GATHER);
    } else if (w->rank == 1) {
        cti_world_receive(w, me, bytes, size, 0, CTI_TAG_GATHER);
        cti_world_wait(w, me);
        cti_world_send(w, me, bytes, size, 0, CTI_TAG_GATHER);
    }
    cti_world_wait(w, me);
    return (MPI_Wtime() - began) / 2;
}

static void measure_messages(ct_world *w)
{
    enum { ROUNDS = 200, MOST = 1 << 22 };
    static double seconds[ROUNDS];
    char *bytes = calloc(1, MOST);

    for (size_t size = 8; bytes && size <= MOST; size = size == 8 ? 1 << 20 : 2 * size) {
        for (int i = 0; i < ROUNDS; i++)
            seconds[i] = time_message(w, bytes, size);
        if (w->rank == 0) {
            const double t = least(seconds, ROUNDS);

            printf("a message of %zu bytes: %.2f us, %.2f GB/s\n", size, 1e6 * t,
                   1e-9 * (double)size / t);
        }
    }
    free(bytes);
}

int main(int argc, char **argv)
{
    const int rounds = argc > 1 && atoi(argv[1]) > 0 ? atoi(argv[1]) : 21;
    ct_world *w;

    MPI_Init(&argc, &argv);
    w = ct_world_new((ct_world_options){ 0 });
    if (!w)
        MPI_Abort(MPI_COMM_WORLD, 1);
    if (w->ranks > 1)
        measure_messages(w);
    if (w->rank == 0)
        printf("%10s %10s %10s %8s\n", "bytes", "MPI ms", "sum ms", "ratio");
    for (int n = 1 << 8; n <= 1 << 24; n *= 4)
        measure(w, n, n > 1 << 20 ? (rounds + 2) / 3 : rounds);
    ct_world_free(w);
    MPI_Finalize();
    return 0;
}
