/* SPDX-License-Identifier: MIT */
/* test_cuda_kernels.h - for the sources of test_cuda_kernels: a case that runs on both devices. */
#ifndef TESTS_DEVICE_KERNELS_H
#define TESTS_DEVICE_KERNELS_H

#include "tests/harness.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "cuda/emu/report.h"
#include "tensor/backend.h"

void cuda_kernels_elementwise_cases(Suite *suite);
void cuda_kernels_reduce_cases(Suite *suite);
void cuda_kernels_index_cases(Suite *suite);
void cuda_kernels_scan_cases(Suite *suite);
void cuda_kernels_random_cases(Suite *suite);
void cuda_kernels_gemm_cases(Suite *suite);
void cuda_kernels_optim_cases(Suite *suite);
void cuda_kernels_costs_cases(Suite *suite);

typedef struct rng {
    uint64_t at;
} rng;

int64_t draw_below(rng *r, int64_t n);
double draw_real(rng *r); /* in (-3, 3) */

#define BUFFERS 24

typedef struct output {
    char name[40];
    ct_dtype dtype;
    int64_t n;
    void *host;
    double tolerance; /* relative to 1 + |want|; 0: the same bits; below 0: that many ulps */
} output;

typedef struct run {
    const cti_backend *be;
    rng r;
    struct {
        void *data;
        size_t bytes;
    } buffer[BUFFERS];
    int buffers;
    output out[BUFFERS];
    int outputs;
    ct_status status;
    cti_fault fault;
} run;

double tolerance_of(ct_dtype dtype);

/* Allocates memory of the device. */
void *room_for(run *t, size_t bytes);

/* Allocates memory of the device and uploads the bytes of host. */
void *put_bytes(run *t, const void *host, size_t bytes);

/* Makes n random numbers: reals in (-3, 3), integers in -4..4 (so that some are equal), bools. */
void *put(run *t, ct_dtype dtype, int64_t n);

/* Like put, with NaNs, infinities and the ends of ranges among the values. */
void *put_odd(run *t, ct_dtype dtype, int64_t n);

/* Applies op to n elements in place. */
void change(run *t, cti_ew_op op, ct_dtype dtype, int64_t n, void *data, double p);

/* Makes n indices in 0..limit-1. */
void *put_index(run *t, ct_dtype dtype, int64_t n, int64_t limit);

/* Downloads n elements to be compared. */
void get(run *t, const char *name, const void *data, ct_dtype dtype, int64_t n, double tolerance);
void finish(run *t);

/* Records the fault of ticket 1: the one that a slot returned, or the one in the device's fault
 * word. */
void note(run *t, ct_status status, const cti_fault *f);
void compare(const char *what, const run *want, const run *got);

extern const cti_backend *device;
extern uint64_t seed;
extern bool (*checking)(void);
extern emu_counters (*count)(void);
extern void (*count_sectors)(bool on);
extern void (*each_sector)(emu_sector_visitor *visit, void *context);

/* Call it before a case: sets the seeds of the schedule and of the numbers. */
void next_case(void);
void no_reports(const char *what);

/* Returns the number of buffers of device memory that are allocated. */
uint64_t buffers(void);

/* Runs a case on both devices and compares the results. text is the name of the case. */
#define BOTH(text, ...)                                                                            \
    do {                                                                                           \
        run cpu_run = { .be = &cti_cpu_backend }, device_run = { .be = device }, *t;               \
        uint64_t held = buffers();                                                                 \
        int which;                                                                                 \
        next_case();                                                                               \
        for (which = 0; which < 2; which++) {                                                      \
            t = which ? &device_run : &cpu_run;                                                    \
            t->r.at = seed << 32;                                                                  \
            __VA_ARGS__                                                                            \
        }                                                                                          \
        if (!ct_ok())                                                                              \
            ck_abort_msg("%s: %s", text, ct_error_message());                                      \
        no_reports(text);                                                                          \
        compare(text, &cpu_run, &device_run);                                                      \
        finish(&cpu_run);                                                                          \
        finish(&device_run);                                                                       \
        ck_assert_msg(buffers() == held, "%s: memory is not freed", text);                         \
    } while (0)

static const int64_t sizes[] = { 0, 1, 2, 31, 32, 33, 63, 255, 256, 257, 1000 };

#define SIZES LENGTH(sizes)

static const ct_dtype floats[] = { CT_F32, CT_F64 };
static const ct_dtype numbers[] = { CT_F32, CT_F64, CT_I32, CT_I64 };
static const ct_dtype indices[] = { CT_I32, CT_I64 };
extern char text[200];

#define SAY(...) (snprintf(text, sizeof text, __VA_ARGS__), text)

/* True for one in three of many combinations; for all of them in check-full. */
bool chosen(int number);
void *shifted(const void *p, int64_t elements, ct_dtype dtype);
void add(Suite *suite, const char *name, const TTest *test, int count);

#endif
