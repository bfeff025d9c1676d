/* SPDX-License-Identifier: MIT */
/* print.c - ct_print: a tensor as text. */
#include "tensor/internal.h"

#include <inttypes.h>
#include <string.h>

#include "tensor/buffer.h"
#include "tensor/hooks.h"

#define PRINT_EDGE 3  /* elements shown at each end of a long axis */
#define PRINT_WHOLE 8 /* an axis up to this long is shown whole */

/* Prints a number with a decimal point, whatever the locale. */
static void print_number(double x, int digits, FILE *out)
{
    cti_buffer b = { 0 };

    cti_buffer_digits(&b, x, digits);
    fputs(b.failed ? "?" : b.bytes, out);
    cti_buffer_free(&b);
}

static void print_element(const char *p, ct_dtype dtype, FILE *out)
{
    float f;
    double d;
    int32_t i;
    int64_t l;
    uint16_t half;
    uint32_t bits;

    switch (dtype) {
    case CT_F32:
        memcpy(&f, p, sizeof f);
        print_number((double)f, 6, out);
        break;
    case CT_F64:
        memcpy(&d, p, sizeof d);
        print_number(d, 6, out);
        break;
    case CT_I32:
        memcpy(&i, p, sizeof i);
        fprintf(out, "%" PRId32, i);
        break;
    case CT_I64:
        memcpy(&l, p, sizeof l);
        fprintf(out, "%" PRId64, l);
        break;
    case CT_BOOL:
        fputs(*p ? "true" : "false", out);
        break;
    case CT_BF16:
        memcpy(&half, p, sizeof half);
        bits = (uint32_t)half << 16;
        memcpy(&f, &bits, sizeof f);
        print_number((double)f, 3, out);
        break;
    }
}

/* Prints the axes from `axis` on; p points to the first element, in row-major memory. The recursion
 * is at most CT_MAX_RANK deep. */
static void print_axis(const ct_tensor *t, const char *p, int axis, FILE *out)
{
    int64_t n, i, step = (int64_t)ct_dtype_size(t->dtype);
    int k;

    if (axis == t->shape.rank) {
        print_element(p, t->dtype, out);
        return;
    }
    for (k = axis + 1; k < t->shape.rank; k++)
        step *= t->shape.dim[k];
    n = t->shape.dim[axis];
    fputc('[', out);
    for (i = 0; i < n; i++) {
        if (i)
            fputs(", ", out);
        if (n > PRINT_WHOLE && i == PRINT_EDGE) {
            fputs("..., ", out);
            i = n - PRINT_EDGE;
        }
        print_axis(t, p + i * step, axis + 1, out);
    }
    fputc(']', out);
}

void ct_print(const ct_tensor *t, FILE *out)
{
    size_t bytes;
    char *host;

    if (!cti_optional("ct_print", t) || !cti_given("ct_print", "out", out))
        return;
    fprintf(out, "%s", cti_describe(t).s);
    if (!t) {
        fputc('\n', out);
        return;
    }
    bytes = (size_t)t->numel * ct_dtype_size(t->dtype);
    host = cti_calloc(1, bytes);
    if (!host) {
        cti_out_of_memory("ct_print", bytes);
    } else if (ct_to_host(t, host, bytes) == CT_OK) {
        fputc(' ', out);
        print_axis(t, host, 0, out);
    }
    cti_release(host);
    fputc('\n', out);
}
