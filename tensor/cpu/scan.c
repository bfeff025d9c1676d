/* scan.c - running sums along n of (outer, n, inner). f32 adds in double; integers wrap. */
#include "tensor/cpu/cpu.h"

#include "tensor/parallel.h"

#define CUMSUM(type, acc_type)                                                                     \
    do {                                                                                           \
        const type *x = (const type *)a->in + at * a->n * a->inner + column;                       \
        type *y = (type *)a->out + at * a->n * a->inner + column;                                  \
        acc_type acc = 0;                                                                          \
        for (j = 0; j < a->n; j++) {                                                               \
            int64_t k = (a->reverse ? a->n - 1 - j : j) * a->inner;                                \
            acc += (acc_type)x[k];                                                                 \
            y[k] = (type)acc;                                                                      \
        }                                                                                          \
    } while (0)

/* All columns of one outer index. */
static void cumsum_piece(void *context, int64_t at)
{
    const cti_cumsum_args *a = context;
    int64_t column, j;

    for (column = 0; column < a->inner; column++)
        switch (a->dtype) {
        case CT_F32:
            CUMSUM(float, double);
            break;
        case CT_F64:
            CUMSUM(double, double);
            break;
        case CT_I32:
            CUMSUM(int32_t, uint32_t);
            break;
        case CT_I64:
            CUMSUM(int64_t, uint64_t);
            break;
        case CT_BOOL:
        case CT_BF16:
            break;
        }
}

void cti_cpu_cumsum(const cti_cumsum_args *a)
{
    cti_parallel(a->outer, cumsum_piece, (void *)a);
}
