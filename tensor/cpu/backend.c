/* SPDX-License-Identifier: MIT */
/* backend.c - the CPU as a device: choice of the code path, memory, the table of kernels. */
#include "tensor/cpu/cpu.h"

#include "tensor/environment.h"
#include "tensor/hooks.h"

#include <stdlib.h>
#include <string.h>

/* ---- code paths ---- */

static atomic_bool portable;

void ct_set_portable(bool wanted)
{
    atomic_store_explicit(&portable, wanted, memory_order_relaxed);
}

bool ct_portable(void)
{
    return atomic_load_explicit(&portable, memory_order_relaxed);
}

const cti_cpu_path *cti_cpu_path_best(void)
{
    static _Atomic(const cti_cpu_path *) chosen;
    const cti_cpu_path *path = atomic_load_explicit(&chosen, memory_order_acquire);
    const char *wish;

    if (path)
        return path;
    wish = cti_environment("COTANGENT_CPU_PATH");
    path = &cti_cpu_path_base;
#ifdef CT_HAVE_AVX2_PATH
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
        !(wish && strcmp(wish, "base") == 0))
        path = &cti_cpu_path_avx2;
#endif
#ifdef CT_HAVE_AVX512_PATH
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        path != &cti_cpu_path_base && !(wish && strcmp(wish, "avx2") == 0))
        path = &cti_cpu_path_avx512;
#endif
    (void)wish;
    atomic_store_explicit(&chosen, path, memory_order_release);
    return path;
}

const cti_cpu_path *cti_cpu_path_get(void)
{
    return ct_portable() ? &cti_cpu_path_base : cti_cpu_path_best();
}

const cti_bf16_path *cti_bf16_path_best(void)
{
#ifdef CT_HAVE_BF16_PATH
    enum { UNKNOWN, HAS, HAS_NOT };
    static atomic_int known;
    int it = atomic_load_explicit(&known, memory_order_relaxed);

    if (it == UNKNOWN) {
        const char *wish = cti_environment("COTANGENT_CPU_PATH");
        bool unwanted = wish && strcmp(wish, "avx512") == 0;

        it = __builtin_cpu_supports("avx512bf16") && !unwanted ? HAS : HAS_NOT;
        atomic_store_explicit(&known, it, memory_order_relaxed);
    }
    if (it == HAS && cti_cpu_path_best() == &cti_cpu_path_avx512)
        return &cti_bf16_path_avx512;
#endif
    return NULL;
}

const cti_bf16_path *cti_bf16_path_get(void)
{
    return ct_portable() ? NULL : cti_bf16_path_best();
}

/* ---- memory of the host ---- */

void cti_cpu_select(int ordinal)
{
    (void)ordinal;
}

void *cti_cpu_allocate(size_t bytes)
{
    return cti_memory_calls.allocate(64, bytes);
}

void cti_cpu_release(void *data, size_t bytes)
{
    (void)bytes;
    cti_memory_calls.release(data);
}

void cti_cpu_upload(void *to, const void *from, size_t bytes)
{
    memcpy(to, from, bytes);
}

ct_status cti_cpu_download(void *to, const void *from, size_t bytes, cti_fault *fault)
{
    (void)fault;
    memcpy(to, from, bytes);
    return CT_OK;
}

/* ---- the table ---- */

const cti_backend cti_cpu_backend = { .version = CTI_BACKEND_VERSION,
                                      .size = sizeof(cti_backend),
                                      .name = "cpu",
#define CPU_ENTRY(result, name, parameters) .name = cti_cpu_##name,
                                      CTI_INFERENCE_SLOTS(CPU_ENTRY)
#undef CPU_ENTRY
#define CPU_ENTRY(result, name, parameters) .name = CTI_TRAINING(cti_cpu_##name),
                                          CTI_TRAINING_SLOTS(CPU_ENTRY)
#undef CPU_ENTRY
};
