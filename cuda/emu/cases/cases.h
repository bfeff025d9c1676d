/* SPDX-License-Identifier: MIT */
/* cases.h - small programs for the emulated GPU, some with faults and some without, and the
 * expected reports. (internal)
 *
 * Every case runs with several seeds, in two programs: the kernels of tests/test_emulator are
 * compiled plainly, those of tests/test_checker with instrumentation. */
#ifndef COTANGENT_CUDA_EMU_CASES_H
#define COTANGENT_CUDA_EMU_CASES_H

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum emu_finding {
    EMU_RIGHT, /* no report, the right results */
    EMU_FOUND, /* a report, whatever the seed */
    EMU_WRONG  /* a report or wrong results, with one seed at least */
} emu_finding;

typedef struct emu_case {
    const char *name;
    emu_finding plain, checked; /* the expected outcome in the plain and in the instrumented
                                 * program */
    const char *report;         /* the beginning of the expected report */
    bool (*run)(void);          /* returns true if the results were right */
} emu_case;

extern const emu_case emu_wrong_barriers[], emu_wrong_races[], emu_wrong_memory[],
    emu_wrong_streams[], emu_wrong_calls[], emu_right[]; /* each ends with a NULL name */

/* Reads device memory from the host, which is a fault. */
float emu_touch_device_memory(void);

/* 3 launches, a product, 2 synchronisations; copies of 256 bytes to the device, 128 from it, 64
 * within it; 2 allocations. */
void emu_counted_program(void);

#ifdef __cplusplus
}
#endif

#endif
