/* SPDX-License-Identifier: MIT */
/* report.h - the reports and counters of an emulated GPU, for tests. (internal)
 *
 * A fault of the program that uses the GPU (a race, an access out of bounds, ...) makes a report:
 * one line on stderr, which is also kept for emu_report. It also records an error that every later
 * CUDA call returns, as on a GPU. The faulty kernel is stopped. These functions are exported by the
 * modules built on the emulator; a test finds them with dlsym, or links the emulator.
 *
 * Environment, read at first use:
 *     COTANGENT_EMU_SEED     of the schedule of blocks, threads and streams; default 1
 *     COTANGENT_EMU_FAIL     k: the k-th call of CUDA from now fails (1: the first)
 *     COTANGENT_EMU_MEMORY   bytes of device memory; default 4 GiB
 *     COTANGENT_EMU_DEVICES  number of GPUs, 0 to 8; default 1
 *     COTANGENT_EMU_DRIVER   version of the driver; 11040: of CUDA 11.4, 0: there is none
 *     COTANGENT_EMU_NAME     name of the GPUs; default "emulated GPU"
 *     COTANGENT_EMU_STATS    file to which the counters are appended at exit
 *     COTANGENT_EMU_SECTORS  1: the checker counts sectors per request too */
#ifndef COTANGENT_CUDA_EMU_REPORT_H
#define COTANGENT_CUDA_EMU_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define EMU_EXPORT __attribute__((visibility("default")))

typedef struct emu_counters {
    uint64_t launches;     /* kernels, including those of replayed graphs */
    uint64_t gemms;        /* matrix products of cuBLAS; a batch counts as one */
    uint64_t graphs;       /* replays of graphs */
    uint64_t synchronises; /* calls that made the host wait */
    uint64_t copies;       /* copies and fills */
    /* bytes that were copied or filled */
    uint64_t host_to_device, device_to_host, device_to_device;
    uint64_t allocations, allocated_bytes; /* allocations of device memory */
    uint64_t calls;                        /* all CUDA calls */
    uint64_t buffers; /* bytes of device memory that are not freed, without those of graphs */
    uint64_t alive;   /* existing streams, events, graphs, cuBLAS handles and pinned buffers */
} emu_counters;

EMU_EXPORT emu_counters emu_count(void);

/* The number of reports so far, and the text of one ("race: ..."); NULL beyond the last. */
EMU_EXPORT int emu_reports(void);
EMU_EXPORT const char *emu_report_text(int i);

/* Deletes all reports and the error. Queued work is dropped; device memory stays. */
EMU_EXPORT void emu_reset(void);

/* Switches the printing of reports to stderr on or off. */
EMU_EXPORT void emu_set_quiet(bool quiet);

/* Sets the seed of the schedule. */
EMU_EXPORT void emu_set_seed(uint64_t seed);

/* Makes the k-th CUDA call from now fail, once; 0: none. */
EMU_EXPORT void emu_fail(uint64_t k);

/* True if the kernels were built for the checker. */
EMU_EXPORT bool emu_checking(void);

/* Starts counting sectors, from zero, or stops it. Only with the checker. */
EMU_EXPORT void emu_count_sectors(bool on);

/* Calls visit for every source line that accessed global memory, with the number of requests (of a
 * warp), of 32-byte sectors, and of lanes that took part. Only with the checker. */
typedef void emu_sector_visitor(void *context, const char *file, int line, bool write,
                                uint64_t requests, uint64_t sectors, uint64_t lanes,
                                uint64_t bytes);
EMU_EXPORT void emu_each_sector(emu_sector_visitor *visit, void *context);

#ifdef __cplusplus
}
#endif

#endif
