/* SPDX-License-Identifier: MIT */
/* cuda_kernels_elementwise.c - elementwise kernels, copies and fills of a GPU against the CPU's. */
#include "tests/harness.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "tensor/backend.h"
#include "tests/test_cuda_kernels.h"

/* ---- elementwise ---- */

typedef struct ew_row {
    cti_ew_op op;
    const char *name;
    int inputs;
    bool floats, integers, bools, to_bool;
} ew_row;

static const ew_row ew_rows[] = {
#define NUMBER1(name, ...) { CTI_EW_##name, #name, 1, true, true, false, false },
#define NUMBER2(name, ...) { CTI_EW_##name, #name, 2, true, true, false, false },
#define FLOAT1(name, ...) { CTI_EW_##name, #name, 1, true, false, false, false },
#define FLOAT2(name, ...) { CTI_EW_##name, #name, 2, true, false, false, false },
#define FLOAT3(name, ...) { CTI_EW_##name, #name, 3, true, false, false, false },
#define COMPARE(name, ...) { CTI_EW_##name, #name, 2, true, true, true, true },
#define TEST(name, ...) { CTI_EW_##name, #name, 1, true, false, false, true },
#define LOGIC1(name, ...) { CTI_EW_##name, #name, 1, false, false, true, true },
#define LOGIC2(name, ...) { CTI_EW_##name, #name, 2, false, false, true, true },
#define SELECT(name, ...) { CTI_EW_##name, #name, 3, true, true, true, false },
#include "tensor/formulas.h"
};

/* Layouts of (3, n): all contiguous; the second operand is one number; the first element is not
 * aligned; every second element; transposed; the first operand is a broadcast row; in place. */
enum { CONTIGUOUS, SCALAR, OFF, SPREAD, TRANSPOSED, ROW, IN_PLACE, LAYOUTS };

static void lay_out(int layout, bool out, int k, int64_t n, int64_t *stride)
{
    stride[0] = n;
    stride[1] = 1;
    if (layout == SPREAD || (layout == TRANSPOSED && out)) {
        stride[0] = layout == SPREAD ? 2 * n : 1;
        stride[1] = layout == SPREAD ? 2 : 3;
    }
    if (!out && ((layout == SCALAR && k == 1) || (layout == ROW && k == 0)))
        stride[0] = 0;
    if (!out && layout == SCALAR && k == 1)
        stride[1] = 0;
}

static void ew_case(run *t, const ew_row *row, ct_dtype dtype, int layout, int64_t n)
{
    ct_dtype out_dtype = row->to_bool ? CT_BOOL : dtype;
    int64_t room = layout == SPREAD ? 6 * n : 3 * n + 1, off = layout == OFF ? 1 : 0;
    cti_ew e = { .op = row->op,
                 .dtype = dtype,
                 .inputs = row->inputs,
                 .rank = 2,
                 .dim = { 3, n },
                 .param = { 0.75, 1.5 } };
    void *out = put(t, out_dtype, room);
    int k;

    if (dtype == CT_I32 || dtype == CT_I64)
        e.param[0] = 3, e.param[1] = -2;
    for (k = 0; k < row->inputs; k++) {
        ct_dtype in = row->op == CTI_EW_where && k == 0 ? CT_BOOL : dtype;
        /* x y may be rounded before the addition, and y y before the subtraction from 1 */
        bool finite = (row->op == CTI_EW_fma && k == 2) || row->op == CTI_EW_tanh_backward;
        void *p = layout == IN_PLACE && k == 0 && in == out_dtype ? NULL
                  : finite                                        ? put(t, in, room)
                                                                  : put_odd(t, in, room);

        e.in[k] = p ? shifted(p, off, in) : out;
        lay_out(layout, false, k, n, e.in_stride[k]);
    }
    e.out = shifted(out, off, out_dtype);
    lay_out(layout, true, 0, n, e.out_stride);
    t->be->elementwise(&e);
    get(t, "out", out, out_dtype, room, tolerance_of(out_dtype));
}

START_TEST(elementwise)
{
    static const ct_dtype all[] = { CT_F32, CT_F64, CT_I32, CT_I64, CT_BOOL, CT_BF16 };
    static const int64_t lengths[] = { 0, 1, 33, 257, 3001 };
    const ew_row *row = &ew_rows[_i];
    int d, layout, s;

    for (d = 0; d < 6; d++) {
        if (d < 2    ? !row->floats
            : d < 4  ? !row->integers
            : d == 4 ? !row->bools
                     : row->op != CTI_EW_where)
            continue;
        for (layout = 0; layout < LAYOUTS; layout++)
            for (s = 0; s < 5; s++)
                if (chosen(_i + d + layout + s) && (s < 4 || (_i + d) % 7 == 0))
                    BOTH(SAY("%s %s, layout %d, n %lld", row->name, ct_dtype_name(all[d]), layout,
                             (long long)lengths[s]),
                         { ew_case(t, row, all[d], layout, lengths[s]); });
    }
}
END_TEST

/* ---- copies ---- */

static void copy_case(run *t, ct_dtype to, ct_dtype from, int layout, int64_t n, bool carry)
{
    int64_t dim[3] = { 2, 33, n }, count = 66 * n, k;
    cti_array dst = { NULL, to, { 33 * n, n, 1 } }, src = { NULL, from, { 33 * n, n, 1 } };
    void *out = put(t, to, count + 1), *in = put_odd(t, from, count + 1);

    dst.data = out;
    src.data = in;
    if (layout == 1) { /* transposed matrices */
        src.stride[1] = 1;
        src.stride[2] = 33;
    } else if (layout == 2) { /* in reverse order */
        src.stride[2] = -1;
        src.data = shifted(in, n ? n - 1 : 0, from);
    } else if (layout == 3) { /* one row for all, not aligned */
        src.stride[0] = src.stride[1] = 0;
        src.data = shifted(in, 1, from);
        dst.data = shifted(out, 1, to);
    } else if (layout == 4) { /* all axes in the opposite order */
        for (k = 0; k < 3; k++)
            src.stride[k] = k == 0 ? 1 : k == 1 ? 2 : 66;
    } else if (layout == 5) { /* one number for all elements */
        src.stride[0] = src.stride[1] = src.stride[2] = 0;
    }
    (carry ? t->be->carry : t->be->copy)(3, dim, &dst, &src);
    get(t, "out", out, to, count + 1, 0);
}

START_TEST(copies)
{
    int to, from, layout, s;

    for (to = 0; to < 6; to++)
        for (from = 0; from < 6; from++)
            for (layout = 0; layout < 6; layout++)
                for (s = 0; s < 4; s++) {
                    static const int64_t lengths[] = { 0, 1, 17, 40 };

                    if (!chosen(to + from + layout + s))
                        continue;
                    BOTH(
                        SAY("copy %s <- %s, layout %d, n %lld", ct_dtype_name((ct_dtype)to),
                            ct_dtype_name((ct_dtype)from), layout, (long long)lengths[s]),
                        { copy_case(t, (ct_dtype)to, (ct_dtype)from, layout, lengths[s], false); });
                    if (to == from)
                        BOTH(SAY("carry %s, layout %d", ct_dtype_name((ct_dtype)to), layout), {
                            copy_case(t, (ct_dtype)to, (ct_dtype)from, layout, lengths[s], true);
                        });
                }
}
END_TEST

START_TEST(fills)
{
    static const double values[] = { 0, -0.0, 1.25, -3, 1e10, -1e10, INFINITY, NAN, 9.3e18 };
    int d, s, v;

    for (d = 0; d < 6; d++)
        for (s = 0; s < SIZES; s++) {
            int64_t n = sizes[s];

            for (v = 0; v < 9; v++)
                BOTH(SAY("fill %s with %g, n %lld", ct_dtype_name((ct_dtype)d), values[v],
                         (long long)n),
                     {
                         void *p = put(t, (ct_dtype)d, n);

                         t->be->fill(p, (ct_dtype)d, n, values[v]);
                         get(t, "out", p, (ct_dtype)d, n, 0);
                     });
            BOTH(SAY("arange %s, n %lld", ct_dtype_name((ct_dtype)d), (long long)n), {
                void *p = put(t, (ct_dtype)d, n);

                t->be->arange(&(cti_arange_args){
                    .out = p, .dtype = (ct_dtype)d, .n = n, .start = -1.1, .step = 0.1 });
                get(t, "out", p, (ct_dtype)d, n, 0);
            });
        }
}
END_TEST

void cuda_kernels_elementwise_cases(Suite *suite)
{

    add(suite, "elementwise", elementwise, LENGTH(ew_rows));
    add(suite, "copies", copies, 1);
    add(suite, "fills", fills, 1);
}
