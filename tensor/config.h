/* config.h - the switches of the whole process.
 *
 * They hold for all threads. Set them while no op runs. The error handler, which also holds for the
 * whole process, is in status.h.
 *
 * The library reads these environment variables, each once:
 *
 *     COTANGENT_NUM_THREADS      1 to 256: threads, as by ct_set_num_threads, which overrides it
 *     COTANGENT_CPU_PATH         base, avx2 or avx512: the kernels of the CPU, at most those that the
 *                                processor has
 *     COTANGENT_POOL             0: freed buffers go back to the system at once; 1: they are kept
 *     COTANGENT_HANDLES          unique: no dead handle is used again (for debugging)
 *     COTANGENT_DEBUG            0 to 3: reports on stderr (see the manual)
 *     COTANGENT_PROFILE          0 or 1: the time of each op, on stderr at exit
 *     COTANGENT_PLUGIN_DIR       where devices are looked for first
 *     COTANGENT_DATA_DIR         where texts are looked for first (data/text.h)
 *     COTANGENT_TIMEMACHINE_URL  where The Time Machine is downloaded from
 *     COTANGENT_EMU_...          of the emulated GPU (docs/emulator.md)
 *
 * A value that a variable cannot have, and a name that begins with COTANGENT_ and is not one of
 * these, are ignored; a line on stderr says so, once. */
#ifndef COTANGENT_TENSOR_CONFIG_H
#define COTANGENT_TENSOR_CONFIG_H

#include <stdbool.h>

#include <cotangent/tensor/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- threads ---- */

/* How many threads work on one op, from now on: 1 to 256. The default is COTANGENT_NUM_THREADS,
 * or else the number of processors that this process may use (affinity, and the control group's
 * quota), at most 8. A thread whose processor other programs keep busy is left out for a while,
 * so that a loaded machine costs little. The results have the same bits at any number. OpenBLAS
 * is set to one thread for the whole process at first use. CT_ERR_ARGUMENT. */
ct_status ct_set_num_threads(int threads);
int ct_num_threads(void);

/* ---- the same bits on any processor ---- */

/* While set, the ops of the CPU run in plain loops of a fixed order of operations that every
 * processor has, several times slower: no FMA, no BLAS, no code made at run time. What a program
 * computes from the same numbers then has the same bits on any processor, so that one machine can
 * decompress what another compressed. Ops that call functions of the C library whose last digits
 * may differ between processors are excepted: expm1, log1p, sin, cos, erf, pow and what is made
 * of them (gelu, softplus, bce_with_logits, norm), tanh of f64, and normal random numbers. Off by
 * default. */
void ct_set_portable(bool portable);
bool ct_portable(void);

/* ---- the precision of matrix products ---- */

typedef enum ct_matmul_precision {
    /* Operands are as they are. */
    CT_MATMUL_PRECISION_F32,
    /* A device may round operands to TF32 (10 bits of fraction). None does so today: the CPU and
     * CUDA compute as with F32. */
    CT_MATMUL_PRECISION_TF32,
    /* Operands are rounded to bf16 (7 bits of fraction, to nearest even); sums are f32. Only on the
     * CPU: CUDA raises CT_ERR_ARGUMENT. */
    CT_MATMUL_PRECISION_BF16
} ct_matmul_precision;

/* The precision of the operands of f32 products from now on; at first F32. Tensors, gradients and
 * files stay f32; f64 products are not affected. It holds for ct_matmul, Linear, the recurrent
 * modules and their derivatives. Rows of a weight that a one-hot input only picks out are no
 * product.
 *
 * A processor with AVX512-BF16 multiplies bf16 by its own instructions (which take subnormal
 * numbers as 0), on the code path avx512. Elsewhere BF16 is CT_ERR_ARGUMENT until emulation is
 * allowed. Emulation gives the numbers of such instructions but for the order of the sums, and is
 * slower than F32. CT_ERR_ARGUMENT for an unknown precision. */
ct_status ct_set_matmul_precision(ct_matmul_precision precision);
ct_matmul_precision ct_get_matmul_precision(void);

/* Whether BF16 may be emulated where the processor has no such instructions; at first it may not.
 * Off sets the precision back to F32 there. */
void ct_set_bf16_emulation(bool on);

/* ---- recurrent modules ---- */

/* Whether RNN, LSTM and GRU run whole sequences by one op where they can (on, the default), or a
 * step at a time by ordinary ops, for comparison. */
void ct_set_fused_rnn(bool on);

#ifdef __cplusplus
}
#endif
#endif
