/* SPDX-License-Identifier: MIT */
/* launcher.h - the environment variables by which mpirun and srun tell a process its place among those
 * that they started. (internal) */
#ifndef COTANGENT_TENSOR_LAUNCHER_H
#define COTANGENT_TENSOR_LAUNCHER_H

#define CTI_LAUNCHERS 3

/* The names of the variables of a launcher, and the plug-in for its MPI. A lone program may have
 * local_rank too, so ranks decides whether the launcher started several processes. */
typedef struct cti_launcher {
    const char *rank, *ranks, *local_rank; /* local_rank: the number among those of this machine */
    const char *plugin, *mpi;              /* "world-openmpi", "Open MPI" */
} cti_launcher;

extern const cti_launcher cti_launchers[CTI_LAUNCHERS];

/* The number in an environment variable, or -1. */
int cti_launcher_number(const char *name);

#endif
