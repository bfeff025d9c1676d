/* device.h - which devices there are, by name.
 *
 *     cpu                  always there
 *     cuda, cuda:1, ...    NVIDIA's GPUs
 *     cuda-emu             the same kernels on an emulated GPU, to test them where there is none
 *
 * All but the CPU are plug-ins, opened when first named: cuda.so and cuda-emu.so, in the folder
 * COTANGENT_PLUGIN_DIR (ignored in programs that run with another user's rights), then in that of
 * the installation. What a plug-in needs of the system (the driver, cuBLAS) is needed then, and by
 * those programs alone.
 *
 * Ops on a GPU return before they have run. Whatever reads (ct_item, ct_to_host, printing, saving)
 * waits for it; until then, an index out of range or a gradient that is not finite is not known
 * here, but from that op on the GPU changes no parameter and no carried state. The error is raised
 * by what waits, and names the op that found it. So a training loop that reads its loss every 100
 * steps waits for the GPU every 100 steps. */
#ifndef COTANGENT_TENSOR_DEVICE_H
#define COTANGENT_TENSOR_DEVICE_H

#include <stdint.h>

#include <cotangent/tensor/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The device of a name ("cpu", "cuda", "cuda:1", "cuda-emu"), or -1 with CT_ERR_DEVICE, which says
 * why it is not there: "no CUDA device: driver missing". "cuda" is "cuda:0"; "auto" is ct_try_gpu's
 * first. CT_ERR_ARGUMENT if name is NULL. */
ct_device ct_device_from_name(const char *name);

/* The name of a device: "cpu", "cuda", "cuda:1"; "?" for an unknown device. */
const char *ct_device_name(ct_device device);

/* How many devices of a kind ("cpu", "cuda", "cuda-emu") there are. 0 is not an error; it is also the answer for
 * NULL. */
int ct_device_count(const char *kind);

/* GPU number i, or the CPU where there is none, after one line on stderr that says why. */
ct_device ct_try_gpu(int i);

/* Waits until all that was asked of the device is done, and raises what it found. */
ct_status ct_device_synchronize(ct_device device);

/* What a device did since the process began, all threads together; zeros for the CPU. A launch is
 * that of a kernel, a cuBLAS routine or a captured graph; a synchronisation, that the host waited.
 * */
typedef struct ct_device_stats {
    uint64_t launches, synchronisations;
    uint64_t uploads, downloads; /* copies from and to the host, and their bytes */
    uint64_t upload_bytes, download_bytes;
    uint64_t allocations;
} ct_device_stats;
ct_device_stats ct_device_get_stats(ct_device device);

#ifdef __cplusplus
}
#endif
#endif
