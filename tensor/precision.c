/* precision.c - the precision of matrix products. */
#include "tensor/cpu/cpu.h"

#include <cotangent/tensor/precision.h>

static atomic_bool bf16, emulate;

ct_status ct_set_matmul_precision(ct_dtype precision)
{
    static const char *const me = "ct_set_matmul_precision";

    if (precision != CT_F32 && precision != CT_BF16)
        return ct_raise(CT_ERR_DTYPE, me, "%s is neither f32 nor bf16", ct_dtype_name(precision));
    if (precision == CT_BF16 && !cti_bf16_path_get() && !atomic_load(&emulate))
        return ct_raise(
            CT_ERR_ARGUMENT, me,
            "products in bf16 are only emulated here (ct_set_bf16_emulation allows that)");
    atomic_store(&bf16, precision == CT_BF16);
    return CT_OK;
}

ct_dtype ct_matmul_precision(void)
{
    return atomic_load_explicit(&bf16, memory_order_relaxed) ? CT_BF16 : CT_F32;
}

void ct_set_bf16_emulation(bool on)
{
    atomic_store(&emulate, on);
    if (!on && !cti_bf16_path_get())
        atomic_store(&bf16, false);
}
