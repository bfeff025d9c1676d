/* SPDX-License-Identifier: MIT */
/* config.c - the precision of matrix products.
 *
 * The other switches are elsewhere: threads in parallel.c, portable loops in cpu/backend.c,
 * recurrent modules in nn/recurrent.c. */
#include "tensor/cpu/cpu.h"

#include <cotangent/tensor/config.h>

static atomic_int matmul_precision;
static atomic_bool emulation;

ct_status ct_set_matmul_precision(ct_matmul_precision precision)
{
    static const char *const me = "ct_set_matmul_precision";

    if ((unsigned)precision > CT_MATMUL_PRECISION_BF16)
        return ct_raise(CT_ERR_ARGUMENT, me, "precision is %d; it must be in 0..%d", (int)precision,
                        (int)CT_MATMUL_PRECISION_BF16);
    if (precision == CT_MATMUL_PRECISION_BF16 && !cti_bf16_path_get() && !atomic_load(&emulation))
        return ct_raise(
            CT_ERR_ARGUMENT, me,
            "this processor has no bf16 products; ct_set_bf16_emulation allows emulation");
    atomic_store(&matmul_precision, (int)precision);
    return CT_OK;
}

ct_matmul_precision ct_get_matmul_precision(void)
{
    return (ct_matmul_precision)atomic_load_explicit(&matmul_precision, memory_order_relaxed);
}

void ct_set_bf16_emulation(bool on)
{
    int bf16 = CT_MATMUL_PRECISION_BF16;

    atomic_store(&emulation, on);
    if (!on && !cti_bf16_path_get())
        atomic_compare_exchange_strong(&matmul_precision, &bf16, CT_MATMUL_PRECISION_F32);
}
