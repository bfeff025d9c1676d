/* SPDX-License-Identifier: MIT */
/* launcher.c - the variables of launchers, in one table. */
#include "tensor/launcher.h"

#include <stdlib.h>

/* SLURM_NTASKS is not used, because a single process in a batch script also has it. */
const cti_launcher cti_launchers[CTI_LAUNCHERS] = {
    { "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK", "world-openmpi",
      "Open MPI" },
    { "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "world-mpich", "MPICH" },
    { "PMIX_RANK", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID", "world-openmpi", "Open MPI" },
};

int cti_launcher_number(const char *name)
{
    const char *text = getenv(name);
    char *end;
    long n = text ? strtol(text, &end, 10) : -1;

    return text && *text && !*end && n >= 0 && n <= 1 << 24 ? (int)n : -1;
}
