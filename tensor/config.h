/* SPDX-License-Identifier: MIT */
/* config.h - the switches of the whole process.
 *
 * They hold for all threads. Set them while no op runs. The error handler, which also holds for the
 * whole process, is in status.h.
 *
 * The library reads these environment variables, each once:
 *
 *     COTANGENT_NUM_THREADS      1 to 256: the number of threads, until ct_set_num_threads is called
 *     COTANGENT_CPU_PATH         base, avx2 or avx512: the best CPU kernels to use, if the processor
 *                                supports them
 *     COTANGENT_POOL             0: return freed buffers to the system at once; 1: keep them
 *     COTANGENT_HANDLES          unique: never reuse a dead handle (for debugging)
 *     COTANGENT_DEBUG            0 to 3: reports on stderr (see the manual)
 *     COTANGENT_PROFILE          0 or 1: print the time of each op on stderr at exit
 *     COTANGENT_PLUGIN_DIR       the first folder in which to look for plug-ins: devices, MPI
 *     COTANGENT_SHARDS           1 to 1024: into how many shards batches are cut (train/world.h)
 *     COTANGENT_WORLD_TIMEOUT    1 to 86400: seconds after which a silent rank is lost
 *     COTANGENT_MPI              openmpi or mpich: the MPI, if the launcher's variables do not tell it
 *     COTANGENT_NCCL             0: gradients on GPUs are added up through MPI (docs/scaling.md)
 *     COTANGENT_DATA_DIR         the first folder in which to look for texts (data/text.h)
 *     COTANGENT_TIMEMACHINE_URL  the address from which The Time Machine is downloaded
 *     COTANGENT_EMU_...          options of the emulated GPU (docs/emulator.md)
 *
 * A variable with a wrong value is ignored, and so is an unknown name that begins with COTANGENT_.
 * One line on stderr reports each. */
#ifndef COTANGENT_TENSOR_CONFIG_H
#define COTANGENT_TENSOR_CONFIG_H

#include <stdbool.h>

#include <cotangent/tensor/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- threads ---- */

/* Sets the number of threads that work on one op: 1 to 256. The default is COTANGENT_NUM_THREADS.
 * If that is not set, it is the number of processors that this process may use (by its affinity and
 * the control group's quota), but at most 8. While other programs keep a processor busy, the
 * library does not use that processor's thread. Results do not depend on the number of threads.
 * OpenBLAS is set to one thread, for the whole process, when it is first used. CT_ERR_ARGUMENT for
 * a number out of range. */
ct_status ct_set_num_threads(int threads);
int ct_num_threads(void);

/* ---- the same bits on any processor ---- */

/* While on, the CPU's ops run plain loops that add and multiply in a fixed order, without FMA, BLAS
 * or code made at run time. They are several times slower. The same input then gives the same bits
 * on every processor, so that one machine can decompress what another compressed. Excepted are ops
 * on f64 that call functions of the C library, whose last digits may differ between processors (all
 * functions but exp, log, sqrt and sigmoid), and normal random numbers. Off by default. */
void ct_set_portable(bool portable);
bool ct_portable(void);

/* ---- the precision of matrix products ---- */

typedef enum ct_matmul_precision {
    /* Operands are used as they are. */
    CT_MATMUL_PRECISION_F32,
    /* A device may round operands to TF32 (10 bits of fraction). No device does so today: the CPU
     * and CUDA compute as for F32. */
    CT_MATMUL_PRECISION_TF32,
    /* Operands are rounded to bf16 (7 bits of fraction, to nearest even); sums are f32. Only on the
     * CPU: CUDA raises CT_ERR_ARGUMENT. */
    CT_MATMUL_PRECISION_BF16
} ct_matmul_precision;

/* Sets the precision of the operands of f32 matrix products. The default is F32. Tensors, gradients
 * and files stay f32; f64 products are not affected. It holds for ct_matmul, Linear, the recurrent
 * modules and their derivatives. It does not hold where a one-hot input only selects rows of a
 * weight, because that is not a product.
 *
 * On the code path avx512, a processor with AVX512-BF16 uses its bf16 instructions, which treat
 * subnormal numbers as 0. Elsewhere BF16 raises CT_ERR_ARGUMENT unless emulation is allowed.
 * Emulation is slower than F32; its results differ from those of the instructions only by the order
 * of the sums. CT_ERR_ARGUMENT for an unknown precision. */
ct_status ct_set_matmul_precision(ct_matmul_precision precision);
ct_matmul_precision ct_get_matmul_precision(void);

/* Allows or forbids the emulation of BF16 on processors without bf16 instructions. It is forbidden
 * by default. Forbidding it sets the precision back to F32 on such a processor. */
void ct_set_bf16_emulation(bool on);

/* ---- recurrent modules ---- */

/* If on (the default), RNN, LSTM and GRU compute a whole sequence with one op if possible. If off,
 * they compute it step by step with ordinary ops, for comparison. */
void ct_set_fused_rnn(bool on);

#ifdef __cplusplus
}
#endif
#endif
