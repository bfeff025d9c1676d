/* SPDX-License-Identifier: MIT */
/* device.h - the devices and their names.
 *
 *     cpu                  always exists
 *     cuda, cuda:1, ...    NVIDIA's GPUs
 *     cuda-emu             the same kernels on an emulated GPU, for tests on machines without a GPU
 *
 * All devices but the CPU come from plug-ins, cuda.so and cuda-emu.so, which are opened when a
 * program first names such a device. They are looked for in the folder COTANGENT_PLUGIN_DIR or, if
 * it is not set, in the folder "cotangent" beside the shared library; then in the folder of the
 * installation. Programs that run with another user's rights look only in the last one. Only a
 * program that names a GPU needs the driver and cuBLAS.
 *
 * Ops on a GPU return before the GPU has computed them. A call that reads values (ct_item,
 * ct_to_host, printing, saving) waits for the GPU. An index out of range or a gradient that is not
 * finite is reported by the next call that waits; the error names the op that found it. From that
 * op on, the GPU changes no parameter and no carried state. So a training loop that reads its loss
 * every 100 steps waits for the GPU every 100 steps. */
#ifndef COTANGENT_TENSOR_DEVICE_H
#define COTANGENT_TENSOR_DEVICE_H

#include <stdint.h>

#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Returns the device with a name ("cpu", "cuda", "cuda:1", "cuda-emu"), or -1 with CT_ERR_DEVICE;
 * the message says why it is not available: "no CUDA device: driver missing". "cuda" means
 * "cuda:0". If mpirun or srun started several processes on this machine, "cuda" means the GPU with
 * the number of this process among them, modulo the number of GPUs. "auto" means "cuda", or else
 * the CPU with a line on stderr, as ct_try_gpu. CT_ERR_ARGUMENT if name is NULL. */
ct_device ct_device_from_name(const char *name);

/* Returns the name of a device: "cpu", "cuda", "cuda:1"; "?" for an unknown device. The caller does
 * not free it. */
const char *ct_device_name(ct_device device);

/* Returns the number of devices of a kind ("cpu", "cuda", "cuda-emu"). 0 is not an error. Returns 0
 * for NULL. */
int ct_device_count(const char *kind);

/* Returns GPU number i. If it is not available, prints one line on stderr that says why, and
 * returns the CPU. */
ct_device ct_try_gpu(int i);

/* Waits until the device has done all work that was given to it, and raises any error that it
 * found. */
ct_status ct_device_synchronize(ct_device device);

/* Counts of a device's work since the process began, by all threads together; zeros for the CPU.
 * Kernels, cuBLAS routines and captured graphs each count as one launch. A synchronisation is a
 * wait of the host. */
typedef struct ct_device_stats {
    uint64_t launches, synchronisations;
    uint64_t uploads, downloads; /* copies from the host and to the host, and their bytes */
    uint64_t upload_bytes, download_bytes;
    uint64_t allocations;
} ct_device_stats;
ct_device_stats ct_device_get_stats(ct_device device);

#ifdef __cplusplus
}
#endif
#endif
