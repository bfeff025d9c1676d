/* report.h - what an emulated GPU found and counted, for tests. (internal)
 *
 * A fault of the program that uses the GPU (a race, an access out of bounds, ...) makes a report:
 * one line on stderr, kept here too, and an error that every later call of CUDA returns, as a
 * GPU's would. The kernel at fault is stopped. These functions are exported by the modules built
 * on the emulator; a test finds them with dlsym, or links the emulator.
 *
 * Environment, read at first use:
 *     COTANGENT_EMU_SEED     of the schedule of blocks, threads and streams; default 1
 *     COTANGENT_EMU_FAIL     k: the k-th call of CUDA from now fails (1: the first)
 *     COTANGENT_EMU_MEMORY   bytes of device memory; default 4 GiB
 *     COTANGENT_EMU_DEVICES  number of GPUs, 0 to 8; default 1
 *     COTANGENT_EMU_DRIVER   version of the driver; 11040: of CUDA 11.4, 0: there is none
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
    uint64_t launches;     /* kernels, those of replayed graphs too */
    uint64_t gemms;        /* matrix products of cuBLAS, a batch counts as one */
    uint64_t graphs;       /* replays */
    uint64_t synchronises; /* calls that made the host wait */
    uint64_t copies;       /* and fills */
    uint64_t host_to_device, device_to_host, device_to_device; /* bytes */
    uint64_t allocations, allocated_bytes;                     /* of device memory */
    uint64_t calls;                                            /* of CUDA, all */
    uint64_t buffers; /* of device memory, that nobody has freed; those of graphs aside */
    uint64_t alive;   /* streams, events, graphs, handles of cuBLAS, pinned buffers: there now */
} emu_counters;

EMU_EXPORT emu_counters emu_count(void);

/* Reports so far; the text of one ("race: ..."), NULL beyond the last. */
EMU_EXPORT int emu_reports(void);
EMU_EXPORT const char *emu_report_text(int i);

/* Forgets reports and the error; queued work is dropped, device memory stays. */
EMU_EXPORT void emu_reset(void);

/* Reports go to stderr, or not. */
EMU_EXPORT void emu_set_quiet(bool quiet);

/* Reseeds the schedule. */
EMU_EXPORT void emu_set_seed(uint64_t seed);

/* The k-th call of CUDA from now fails, once; 0: none. */
EMU_EXPORT void emu_fail(uint64_t k);

/* Whether the kernels were built for the checker. */
EMU_EXPORT bool emu_checking(void);

/* Counts sectors from now on, from zero, or stops. (checker) */
EMU_EXPORT void emu_count_sectors(bool on);

/* Calls visit for every source line whose accesses reached global memory: requests are a warp's,
 * sectors of 32 bytes, lanes the threads that took part. (checker) */
typedef void emu_sector_visitor(void *context, const char *file, int line, bool write,
                                uint64_t requests, uint64_t sectors, uint64_t lanes,
                                uint64_t bytes);
EMU_EXPORT void emu_each_sector(emu_sector_visitor *visit, void *context);

#ifdef __cplusplus
}
#endif

#endif
