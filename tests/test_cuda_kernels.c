/* test_cuda_kernels.c - every slot of a GPU's table against the CPU's: one table of cases, each run
 * on both, and what comes out compared.
 *
 * Sizes around those of warps and blocks, buffers of exactly the bytes needed, strided, broadcast
 * and misaligned operands. The device is cuda-emu, or that of COTANGENT_TEST_DEVICE. */
#include "tests/harness.h"

#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cotangent/tensor/device.h>

#include "cuda/emu/report.h"
#include "tensor/backend.h"

/* ---- numbers of a case, the same for both devices ---- */

typedef struct rng {
    uint64_t at;
} rng;

static uint64_t draw_bits(rng *r)
{
    uint32_t w[4];

    ct_philox(7, 0, r->at++, w);
    return (uint64_t)w[0] << 32 | w[1];
}

static int64_t draw_below(rng *r, int64_t n)
{
    return n > 0 ? (int64_t)(draw_bits(r) % (uint64_t)n) : 0;
}

static double draw_real(rng *r) /* in (-3, 3) */
{
    return ((double)(draw_bits(r) >> 11) * 0x1p-53 - 0.5) * 6;
}

/* ---- a run of a case on one device: its buffers, and what is compared ---- */

#define BUFFERS 24

typedef struct output {
    char name[40];
    ct_dtype dtype;
    int64_t n;
    void *host;
    double tolerance; /* relative to 1 + |want|; 0: the same bits; below 0: that many ulps */
} output;

typedef struct run {
    const cti_backend *be;
    rng r;
    struct {
        void *data;
        size_t bytes;
    } buffer[BUFFERS];
    int buffers;
    output out[BUFFERS];
    int outputs;
    ct_status status;
    cti_fault fault;
} run;

static double tolerance_of(ct_dtype dtype)
{
    return dtype == CT_F64 ? 1e-12 : dtype == CT_F32 ? 1e-5 : 0;
}

/* bytes of the device's memory. */
static void *room_for(run *t, size_t bytes)
{
    void *p = t->be->allocate(bytes ? bytes : 1);

    ck_assert(p && t->buffers < BUFFERS);
    t->buffer[t->buffers].data = p;
    t->buffer[t->buffers++].bytes = bytes ? bytes : 1;
    return p;
}

/* The same, with what host has. */
static void *put_bytes(run *t, const void *host, size_t bytes)
{
    void *p = room_for(t, bytes);

    if (bytes)
        t->be->upload(p, host, bytes);
    return p;
}

/* n random numbers: reals in (-3, 3), integers of -4..4 (so that there are equal ones), bools. */
static void *put(run *t, ct_dtype dtype, int64_t n)
{
    void *host = calloc((size_t)n + 1, 8), *p;
    int64_t i;

    for (i = 0; i < n; i++)
        element_store(host, dtype, i,
                      dtype == CT_I32 || dtype == CT_I64 ? (double)draw_below(&t->r, 9) - 4
                      : dtype == CT_BOOL                 ? draw_real(&t->r) > 0
                                                         : draw_real(&t->r));
    p = put_bytes(t, host, (size_t)n * ct_dtype_size(dtype));
    free(host);
    return p;
}

/* The same with values that are no numbers among them, and the ends of ranges. */
static void *put_odd(run *t, ct_dtype dtype, int64_t n)
{
    static const double odd[] = { 0,    -0.0,  INFINITY, -INFINITY,  NAN,
                                  1e30, -1e30, 1e-40,    2147483647, -2147483648.0,
                                  3e9,  0.5,   1.5,      2.5,        -0.5,
                                  1,    -1,    88,       -104 };
    void *host = calloc((size_t)n + 1, 8), *p;
    int64_t i;

    for (i = 0; i < n; i++) {
        uint64_t bits = draw_bits(&t->r);
        double v = bits % 4 ? draw_real(&t->r) : odd[bits / 4 % 19];

        if (dtype == CT_I32 || dtype == CT_I64) {
            if (bits % 4 == 0) /* any bits at all */
                bits = draw_bits(&t->r);
            else
                bits = bits / 4 % 9 - 4;
            if (dtype == CT_I32)
                ((int32_t *)host)[i] = (int32_t)(uint32_t)bits;
            else
                ((int64_t *)host)[i] = (int64_t)bits;
        } else {
            element_store(host, dtype, i, dtype == CT_BOOL ? v > 0 : v);
        }
    }
    p = put_bytes(t, host, (size_t)n * ct_dtype_size(dtype));
    free(host);
    return p;
}

/* n elements become op of themselves. */
static void change(run *t, cti_ew_op op, ct_dtype dtype, int64_t n, void *data, double p)
{
    cti_ew e = { .op = op,
                 .dtype = dtype,
                 .inputs = 1,
                 .rank = 1,
                 .dim = { n },
                 .out = data,
                 .out_stride = { 1 },
                 .in = { data },
                 .in_stride = { { 1 } },
                 .param = { p, 0 } };

    t->be->elementwise(&e);
}

/* Indices 0..limit-1. */
static void *put_index(run *t, ct_dtype dtype, int64_t n, int64_t limit)
{
    void *host = calloc((size_t)n + 1, 8), *p;
    int64_t i;

    for (i = 0; i < n; i++)
        element_store(host, dtype, i, (double)draw_below(&t->r, limit));
    p = put_bytes(t, host, (size_t)n * ct_dtype_size(dtype));
    free(host);
    return p;
}

static void *put_zeros(run *t, ct_dtype dtype, int64_t n)
{
    void *p = room_for(t, (size_t)n * ct_dtype_size(dtype));

    t->be->fill(p, dtype, n, 0);
    return p;
}

/* Downloads n elements to be compared. */
static void get(run *t, const char *name, const void *data, ct_dtype dtype, int64_t n,
                double tolerance)
{
    output *o = &t->out[t->outputs++];
    cti_fault f = { 0, 0 };
    ct_status status;

    ck_assert(t->outputs <= BUFFERS);
    snprintf(o->name, sizeof o->name, "%s", name);
    o->dtype = dtype;
    o->n = n;
    o->tolerance = tolerance;
    o->host = calloc((size_t)n + 1, 8);
    status = t->be->download(o->host, data, (size_t)n * ct_dtype_size(dtype), &f);
    if (status != CT_OK && t->status == CT_OK) {
        t->status = status;
        t->fault = f;
    }
}

static void finish(run *t)
{
    int i;

    for (i = 0; i < t->buffers; i++)
        t->be->release(t->buffer[i].data, t->buffer[i].bytes);
    for (i = 0; i < t->outputs; i++)
        free(t->out[i].host);
}

/* A fault of ticket 1: what a slot returned, or what the device has noted. */
static void note(run *t, ct_status status, const cti_fault *f)
{
    if (status != CT_OK) {
        t->status = status;
        t->fault = *f;
    }
}

/* ---- the comparison ---- */

static double ulps_apart(double a, double b, ct_dtype dtype)
{
    int64_t x, y;

    if (dtype == CT_F32) {
        float fa = (float)a, fb = (float)b;
        int32_t ix, iy;

        memcpy(&ix, &fa, sizeof ix);
        memcpy(&iy, &fb, sizeof iy);
        x = ix < 0 ? INT32_MIN - (int64_t)ix : ix;
        y = iy < 0 ? INT32_MIN - (int64_t)iy : iy;
    } else {
        memcpy(&x, &a, sizeof x);
        memcpy(&y, &b, sizeof y);
        x = x < 0 ? INT64_MIN - x : x;
        y = y < 0 ? INT64_MIN - y : y;
    }
    return fabs((double)x - (double)y);
}

static bool close_enough(const output *want, const output *got, int64_t i)
{
    double a = (double)element_load(want->host, want->dtype, i),
           b = (double)element_load(got->host, got->dtype, i);
    size_t size = ct_dtype_size(want->dtype);

    if (isnan(a) || isnan(b))
        return isnan(a) && isnan(b);
    if (memcmp((char *)want->host + (size_t)i * size, (char *)got->host + (size_t)i * size, size) ==
        0)
        return true;
    if (want->tolerance == 0)
        return a == 0 && b == 0 && want->dtype != CT_BF16 ? signbit(a) == signbit(b) : false;
    if (want->tolerance < 0)
        return ulps_apart(a, b, want->dtype) <= -want->tolerance;
    return isinf(a) || isinf(b) ? a == b : fabs(a - b) <= want->tolerance * (1 + fabs(a));
}

static void compare(const char *what, const run *want, const run *got)
{
    int k;
    int64_t i;

    /* what kind of fault it is the library knows, by its ticket */
    ck_assert_msg((want->status == CT_OK) == (got->status == CT_OK), "%s: %s on the CPU, %s", what,
                  ct_status_name(want->status), ct_status_name(got->status));
    if (want->status != CT_OK) {
        ck_assert_msg(want->fault.position == got->fault.position, "%s: fault at %lld, not %lld",
                      what, (long long)got->fault.position, (long long)want->fault.position);
        ck_assert_msg(got->fault.ticket == 1, "%s: the fault of ticket %u", what,
                      got->fault.ticket);
        return;
    }
    for (k = 0; k < want->outputs; k++)
        for (i = 0; i < want->out[k].n; i++)
            if (!close_enough(&want->out[k], &got->out[k], i))
                ck_abort_msg("%s: %s[%lld] is %.17g, not %.17g", what, want->out[k].name,
                             (long long)i,
                             (double)element_load(got->out[k].host, got->out[k].dtype, i),
                             (double)element_load(want->out[k].host, want->out[k].dtype, i));
}

/* ---- cases ---- */

static const cti_backend *device;
static uint64_t seed;
static void (*set_seed)(uint64_t); /* of the emulated GPU's schedule; NULL on a GPU */
static int (*reports)(void);       /* what it found wrong */
static void (*reset)(void);
static void (*set_quiet)(bool);
static void (*fail_call)(uint64_t);
static const char *(*report)(int i);
static bool (*checking)(void);
static emu_counters (*count)(void);
static void (*count_sectors)(bool on);
static void (*each_sector)(emu_sector_visitor *visit, void *context);
static ct_device device_id;
static void *index_of_threads; /* on the device: one that is out of range */

/* Before a case: its schedule, and its numbers. */
static void next_case(void)
{
    seed++;
    if (set_seed)
        set_seed(seed);
}

static void no_reports(const char *what)
{
    if (reports && reports() > 0)
        ck_abort_msg("%s: %s", what, report(0));
}

/* Of device memory, that are there. */
static uint64_t buffers(void)
{
    return count ? count().buffers : 0;
}

/* Runs the case on both and compares. text says which. */
#define BOTH(text, ...)                                                                            \
    do {                                                                                           \
        run cpu_run = { .be = &cti_cpu_backend }, device_run = { .be = device }, *t;               \
        uint64_t held = buffers();                                                                 \
        int which;                                                                                 \
        next_case();                                                                               \
        for (which = 0; which < 2; which++) {                                                      \
            t = which ? &device_run : &cpu_run;                                                    \
            t->r.at = seed << 32;                                                                  \
            __VA_ARGS__                                                                            \
        }                                                                                          \
        if (!ct_ok())                                                                              \
            ck_abort_msg("%s: %s", text, ct_error_message());                                      \
        no_reports(text);                                                                          \
        compare(text, &cpu_run, &device_run);                                                      \
        finish(&cpu_run);                                                                          \
        finish(&device_run);                                                                       \
        ck_assert_msg(buffers() == held, "%s: memory is not freed", text);                         \
    } while (0)

static const int64_t sizes[] = { 0, 1, 2, 31, 32, 33, 63, 255, 256, 257, 1000 };
#define SIZES LENGTH(sizes)
static const ct_dtype floats[] = { CT_F32, CT_F64 };
static const ct_dtype numbers[] = { CT_F32, CT_F64, CT_I32, CT_I64 };
static const ct_dtype indices[] = { CT_I32, CT_I64 };

static char text[200];
#define SAY(...) (snprintf(text, sizeof text, __VA_ARGS__), text)

/* Of many combinations, one in three; all of them in check-full. */
static bool chosen(int number)
{
    return harness_full() || number % 3 == 0;
}

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
#define COMPARE(name, ...) { CTI_EW_##name, #name, 2, true, true, false, true },
#define TEST(name, ...) { CTI_EW_##name, #name, 1, true, false, false, true },
#define LOGIC1(name, ...) { CTI_EW_##name, #name, 1, false, false, true, true },
#define LOGIC2(name, ...) { CTI_EW_##name, #name, 2, false, false, true, true },
#define SELECT(name, ...) { CTI_EW_##name, #name, 3, true, true, true, false },
#include "tensor/formulas.h"
};

/* Layouts of (3, n): all contiguous; the second operand one number; the base one element off; every
 * second element; transposed; the first operand a broadcast row; in place. */
enum { CONTIGUOUS, SCALAR, OFF, SPREAD, TRANSPOSED, ROW, IN_PLACE, LAYOUTS };

static void *shifted(const void *p, int64_t elements, ct_dtype dtype)
{
    return (char *)(uintptr_t)p + elements * (int64_t)ct_dtype_size(dtype);
}

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
        bool finite = row->op == CTI_EW_fma && k == 2; /* x y may be rounded before it is added */
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
    } else if (layout == 2) { /* backwards */
        src.stride[2] = -1;
        src.data = shifted(in, n ? n - 1 : 0, from);
    } else if (layout == 3) { /* one row for all, off its alignment */
        src.stride[0] = src.stride[1] = 0;
        src.data = shifted(in, 1, from);
        dst.data = shifted(out, 1, to);
    } else if (layout == 4) { /* all axes the other way round */
        for (k = 0; k < 3; k++)
            src.stride[k] = k == 0 ? 1 : k == 1 ? 2 : 66;
    } else if (layout == 5) { /* one number */
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

/* ---- reductions ---- */

static const struct {
    int64_t outer, n, inner;
} blocks[] = { { 1, 0, 1 },   { 3, 1, 1 },    { 0, 5, 3 },     { 1, 31, 1 },  { 33, 17, 1 },
               { 2, 257, 1 }, { 1, 5000, 1 }, { 1, 40000, 1 }, { 3, 33, 2 },  { 1, 300, 5 },
               { 2, 33, 31 }, { 1, 257, 33 }, { 1, 3000, 40 }, { 2, 7, 257 }, { 257, 3, 1 },
               { 40, 28, 1 }, { 2, 100, 3 } };
#define BLOCKS LENGTH(blocks)

START_TEST(reductions)
{
    int op = _i, d, b;

    for (d = 0; d < 4; d++)
        for (b = 0; b < BLOCKS; b++) {
            int64_t outer = blocks[b].outer, n = blocks[b].n, inner = blocks[b].inner;
            bool logic = op == CTI_ANY || op == CTI_ALL;
            bool adds = op == CTI_SUM || op == CTI_PROD;
            ct_dtype dtype = logic ? CT_BOOL : numbers[d];
            ct_dtype out = op == CTI_ARGMAX || op == CTI_ARGMIN ? CT_I64 : dtype;
            double tolerance = adds ? tolerance_of(dtype) * (op == CTI_SUM ? 100 : 1) : 0;

            if (logic && d > 0)
                continue;
            BOTH(SAY("reduce %d %s (%lld, %lld, %lld)", op, ct_dtype_name(dtype), (long long)outer,
                     (long long)n, (long long)inner),
                 {
                     void *in = adds ? put(t, dtype, outer * n * inner)
                                     : put_odd(t, dtype, outer * n * inner);
                     void *y = put(t, out, outer * inner);

                     t->be->reduce(&(cti_reduce_args){ .op = (cti_reduce_op)op,
                                                       .dtype = dtype,
                                                       .outer = outer,
                                                       .n = n,
                                                       .inner = inner,
                                                       .in = in,
                                                       .out = y });
                     get(t, "out", y, out, outer * inner, tolerance);
                 });
        }
}
END_TEST

START_TEST(running_sums)
{
    int d, b, reverse;

    for (d = 0; d < 4; d++)
        for (b = 0; b < BLOCKS; b++)
            for (reverse = 0; reverse < 2; reverse++) {
                int64_t outer = blocks[b].outer, n = blocks[b].n, inner = blocks[b].inner;

                BOTH(SAY("cumsum %s (%lld, %lld, %lld) %d", ct_dtype_name(numbers[d]),
                         (long long)outer, (long long)n, (long long)inner, reverse),
                     {
                         int64_t count = outer * n * inner;
                         void *in = put(t, numbers[d], count), *y = put(t, numbers[d], count);

                         t->be->cumsum(&(cti_cumsum_args){ .dtype = numbers[d],
                                                           .reverse = reverse,
                                                           .outer = outer,
                                                           .n = n,
                                                           .inner = inner,
                                                           .in = in,
                                                           .out = y });
                         get(t, "out", y, numbers[d], count, tolerance_of(numbers[d]));
                     });
            }
}
END_TEST

START_TEST(softmaxes)
{
    static const int64_t shapes[][2] = { { 0, 5 },    { 3, 0 },  { 1, 1 },   { 5, 28 },
                                         { 257, 32 }, { 3, 33 }, { 9, 257 }, { 2, 5000 } };
    int d, s, logarithm, odd;

    for (d = 0; d < 2; d++)
        for (s = 0; s < 8; s++)
            for (logarithm = 0; logarithm < 2; logarithm++)
                for (odd = 0; odd < 2; odd++)
                    BOTH(SAY("softmax %s (%lld, %lld) %d %d", ct_dtype_name(floats[d]),
                             (long long)shapes[s][0], (long long)shapes[s][1], logarithm, odd),
                         {
                             int64_t count = shapes[s][0] * shapes[s][1];
                             void *in =
                                 odd ? put_odd(t, floats[d], count) : put(t, floats[d], count);
                             void *y = put(t, floats[d], count);

                             t->be->softmax(&(cti_softmax_args){ .dtype = floats[d],
                                                                 .logarithm = logarithm,
                                                                 .rows = shapes[s][0],
                                                                 .n = shapes[s][1],
                                                                 .in = in,
                                                                 .out = y });
                             get(t, "out", y, floats[d], count, tolerance_of(floats[d]));
                         });
}
END_TEST

/* ---- cross-entropy ---- */

/* Of targets, every seventh is ignored (-100); one is out of range where bad says so. */
static void *put_targets(run *t, ct_dtype dtype, int64_t rows, int64_t classes, int64_t bad)
{
    void *host = calloc((size_t)rows + 1, 8), *p;
    int64_t i;

    for (i = 0; i < rows; i++)
        element_store(host, dtype, i,
                      i % 7 == 3 ? -100
                      : i == bad ? (double)classes
                                 : (double)draw_below(&t->r, classes));
    p = put_bytes(t, host, (size_t)rows * ct_dtype_size(dtype));
    free(host);
    return p;
}

static void cross_entropy_case(run *t, ct_dtype dtype, ct_dtype index, int64_t rows, int64_t n,
                               double smoothing, int64_t bad)
{
    void *in = put(t, dtype, rows * n), *target = put_targets(t, index, rows, n, bad);
    void *loss = put(t, dtype, rows), *most = put(t, dtype, rows), *lse = put(t, dtype, rows);
    void *dloss = put(t, dtype, rows);
    void *din = put(t, dtype, rows * n), *din_same = put(t, dtype, rows * n);
    double tolerance = tolerance_of(dtype);
    cti_fault f = { 1, 0 };

    note(t,
         t->be->cross_entropy(&(cti_cross_entropy_args){ .dtype = dtype,
                                                         .index_dtype = index,
                                                         .rows = rows,
                                                         .n = n,
                                                         .in = in,
                                                         .target = target,
                                                         .ignore = -100,
                                                         .smoothing = smoothing,
                                                         .loss = loss,
                                                         .most = most,
                                                         .lse = lse },
                              &f),
         &f);
    get(t, "loss", loss, dtype, rows, tolerance);
    get(t, "most", most, dtype, rows, 0);
    get(t, "lse", lse, dtype, rows, tolerance);
    if (bad >= 0)
        return;
    t->be->cross_entropy_backward(&(cti_cross_entropy_backward_args){ .dtype = dtype,
                                                                      .index_dtype = index,
                                                                      .rows = rows,
                                                                      .n = n,
                                                                      .in = in,
                                                                      .target = target,
                                                                      .ignore = -100,
                                                                      .smoothing = smoothing,
                                                                      .most = most,
                                                                      .lse = lse,
                                                                      .dloss = dloss,
                                                                      .dloss_step = 1,
                                                                      .din = din });
    get(t, "din", din, dtype, rows * n, tolerance);
    if (rows == 0)
        return;
    t->be->cross_entropy_backward(&(cti_cross_entropy_backward_args){ .dtype = dtype,
                                                                      .index_dtype = index,
                                                                      .rows = rows,
                                                                      .n = n,
                                                                      .in = in,
                                                                      .target = target,
                                                                      .ignore = -100,
                                                                      .smoothing = smoothing,
                                                                      .most = most,
                                                                      .lse = lse,
                                                                      .dloss = dloss,
                                                                      .dloss_step = 0,
                                                                      .din = din_same });
    get(t, "din of one dloss", din_same, dtype, rows * n, tolerance);
}

START_TEST(cross_entropies)
{
    static const int64_t shapes[][2] = { { 0, 5 },  { 1, 1 },   { 6, 28 },  { 257, 32 },
                                         { 9, 33 }, { 3, 600 }, { 2, 5000 } };
    int d, s, i, smooth;

    for (d = 0; d < 2; d++)
        for (i = 0; i < 2; i++)
            for (s = 0; s < 7; s++)
                for (smooth = 0; smooth < 2; smooth++)
                    BOTH(SAY("cross_entropy %s %s (%lld, %lld) %d", ct_dtype_name(floats[d]),
                             ct_dtype_name(indices[i]), (long long)shapes[s][0],
                             (long long)shapes[s][1], smooth),
                         {
                             cross_entropy_case(t, floats[d], indices[i], shapes[s][0],
                                                shapes[s][1], smooth ? 0.1 : 0, -1);
                         });
    BOTH("cross_entropy, a target out of range",
         { cross_entropy_case(t, CT_F32, CT_I64, 100, 28, 0, 77); });
    BOTH("cross_entropy, a target out of range, long rows",
         { cross_entropy_case(t, CT_F64, CT_I32, 40, 100, 0.1, 33); });
}
END_TEST

/* ---- by index ---- */

static void rows_case(run *t, ct_dtype dtype, ct_dtype index, int64_t count, int64_t width,
                      int64_t rows, bool off, bool bad)
{
    void *src = put(t, dtype, rows * width + 1), *at = put_index(t, index, count, rows);
    void *out = put(t, dtype, count * width + 1);
    cti_fault f = { 1, 0 };

    if (bad)
        t->be->fill(shifted(at, count / 2, index), index, count - count / 2, (double)rows);
    note(t,
         t->be->gather_rows(&(cti_gather_rows_args){ .dtype = dtype,
                                                     .index_dtype = index,
                                                     .count = count,
                                                     .width = width,
                                                     .rows = rows,
                                                     .src = shifted(src, off, dtype),
                                                     .index = at,
                                                     .out = shifted(out, off, dtype) },
                            &f),
         &f);
    get(t, "out", out, dtype, count * width + 1, 0);
}

static void add_rows_case(run *t, ct_dtype dtype, ct_dtype index, int64_t count, int64_t width,
                          int64_t rows, bool bad)
{
    void *dst = put(t, dtype, rows * width), *at = put_index(t, index, count, rows);
    void *src = put(t, dtype, count * width);
    cti_fault f = { 1, 0 };

    if (bad)
        t->be->fill(shifted(at, count / 2, index), index, count - count / 2, -1);
    note(t,
         t->be->scatter_add_rows(&(cti_scatter_add_rows_args){ .dtype = dtype,
                                                               .index_dtype = index,
                                                               .count = count,
                                                               .width = width,
                                                               .rows = rows,
                                                               .dst = dst,
                                                               .index = at,
                                                               .src = src },
                                 &f),
         &f);
    get(t, "dst", dst, dtype, rows * width, 0);
}

START_TEST(rows_by_index)
{
    static const int64_t shapes[][3] = { { 0, 4, 3 },     { 1, 1, 1 },  { 33, 5, 28 },
                                         { 257, 32, 28 }, { 40, 0, 7 }, { 100, 3, 200 },
                                         { 300, 8, 2 } };
    int d, i, s, off;

    for (i = 0; i < 2; i++)
        for (s = 0; s < 7; s++) {
            int64_t count = shapes[s][0], width = shapes[s][1], rows = shapes[s][2];

            for (d = 0; d < 6; d++)
                for (off = 0; off < 2; off++)
                    BOTH(
                        SAY("gather_rows %s %s shape %d %d", ct_dtype_name((ct_dtype)d),
                            ct_dtype_name(indices[i]), s, off),
                        { rows_case(t, (ct_dtype)d, indices[i], count, width, rows, off, false); });
            for (d = 0; d < 2; d++)
                BOTH(SAY("scatter_add_rows %s %s shape %d", ct_dtype_name(floats[d]),
                         ct_dtype_name(indices[i]), s),
                     { add_rows_case(t, floats[d], indices[i], count, width, rows, false); });
            if (count == 0)
                continue;
            BOTH(SAY("gather_rows, bad, shape %d", s),
                 { rows_case(t, CT_F32, indices[i], count, width, rows, false, true); });
            BOTH(SAY("scatter_add_rows, bad, shape %d", s),
                 { add_rows_case(t, CT_F32, indices[i], count, width, rows, true); });
        }
}
END_TEST

static void one_hot_case(run *t, ct_dtype dtype, ct_dtype index, int64_t count, int64_t width,
                         bool bad)
{
    void *at = put_index(t, index, count, width), *out = put(t, dtype, count * width);
    cti_fault f = { 1, 0 };

    if (bad)
        t->be->fill(shifted(at, count - 1, index), index, 1, (double)width);
    note(t,
         t->be->one_hot(&(cti_one_hot_args){ .dtype = dtype,
                                             .index_dtype = index,
                                             .count = count,
                                             .width = width,
                                             .index = at,
                                             .out = out },
                        &f),
         &f);
    get(t, "out", out, dtype, count * width, 0);
}

START_TEST(one_hots)
{
    static const ct_dtype to[] = { CT_BOOL, CT_I32, CT_I64, CT_F32, CT_F64 };
    static const int64_t shapes[][2] = { { 0, 3 }, { 1, 1 }, { 33, 28 }, { 257, 5 } };
    int d, i, s;

    for (d = 0; d < 5; d++)
        for (i = 0; i < 2; i++)
            for (s = 0; s < 4; s++)
                BOTH(SAY("one_hot %s shape %d", ct_dtype_name(to[d]), s),
                     { one_hot_case(t, to[d], indices[i], shapes[s][0], shapes[s][1], false); });
    BOTH("one_hot, bad", { one_hot_case(t, CT_F32, CT_I64, 50, 28, true); });
    BOTH("one_hot of nothing", { one_hot_case(t, CT_F32, CT_I64, 3, 0, true); });
}
END_TEST

static void along_case(run *t, ct_dtype dtype, ct_dtype index, const int64_t *s, bool scatter,
                       bool bad)
{
    int64_t outer = s[0], n = s[1], m = s[2], inner = s[3], many = outer * m * inner;
    void *at = put_index(t, index, many, n), *big = put(t, dtype, outer * n * inner);
    void *small = put(t, dtype, many);
    cti_fault f = { 1, 0 };

    if (bad)
        t->be->fill(shifted(at, many * 2 / 3, index), index, 1, (double)n);
    if (scatter)
        note(t,
             t->be->scatter_add(&(cti_scatter_add_args){ .dtype = dtype,
                                                         .index_dtype = index,
                                                         .outer = outer,
                                                         .n = n,
                                                         .m = m,
                                                         .inner = inner,
                                                         .dst = big,
                                                         .index = at,
                                                         .src = small },
                                &f),
             &f);
    else
        note(t,
             t->be->gather(&(cti_gather_args){ .dtype = dtype,
                                               .index_dtype = index,
                                               .outer = outer,
                                               .n = n,
                                               .m = m,
                                               .inner = inner,
                                               .src = big,
                                               .index = at,
                                               .out = small },
                           &f),
             &f);
    get(t, "big", big, dtype, outer * n * inner, 0);
    get(t, "small", small, dtype, many, 0);
}

START_TEST(along_an_axis)
{
    static const int64_t shapes[][4] = { { 0, 3, 2, 1 },   { 1, 1, 1, 1 },    { 33, 28, 1, 1 },
                                         { 2, 5, 33, 3 },  { 3, 17, 257, 1 }, { 1, 9, 70, 31 },
                                         { 1, 50, 600, 1 } };
    int d, i, s;

    for (i = 0; i < 2; i++)
        for (s = 0; s < 7; s++) {
            for (d = 0; d < 6; d++) {
                BOTH(SAY("gather %s shape %d", ct_dtype_name((ct_dtype)d), s),
                     { along_case(t, (ct_dtype)d, indices[i], shapes[s], false, false); });
                if (d < 4)
                    BOTH(SAY("scatter_add %s shape %d", ct_dtype_name((ct_dtype)d), s),
                         { along_case(t, (ct_dtype)d, indices[i], shapes[s], true, false); });
            }
            if (s == 0)
                continue;
            BOTH(SAY("gather, bad, shape %d", s),
                 { along_case(t, CT_F32, indices[i], shapes[s], false, true); });
            BOTH(SAY("scatter_add, bad, shape %d", s),
                 { along_case(t, CT_F32, indices[i], shapes[s], true, true); });
        }
}
END_TEST

START_TEST(sorts)
{
    static const int64_t shapes[][2] = { { 1, 1 },  { 3, 2 },  { 2, 31 },  { 2, 32 },
                                         { 3, 33 }, { 2, 65 }, { 1, 257 }, { 2, 1000 } };
    int d, s, descending, c;

    for (d = 0; d < 4; d++)
        for (s = 0; s < 8; s++)
            for (descending = 0; descending < 2; descending++)
                for (c = 0; c < 5; c++) {
                    int64_t rows = shapes[s][0], n = shapes[s][1];
                    int64_t k = c == 0 ? 0 : c == 1 ? 1 : c == 2 ? n / 2 : c == 3 ? n : 40;

                    if (k > n)
                        continue;
                    BOTH(SAY("sort %s (%lld, %lld) the first %lld, %d", ct_dtype_name(numbers[d]),
                             (long long)rows, (long long)n, (long long)k, descending),
                         {
                             void *in = put_odd(t, numbers[d], rows * n);
                             void *order = put(t, CT_I64, rows * k);
                             void *scratch = put(t, CT_I64, rows * 2 * n);

                             t->be->sort(&(cti_sort_args){ .dtype = numbers[d],
                                                           .descending = descending,
                                                           .rows = rows,
                                                           .n = n,
                                                           .k = k,
                                                           .in = in,
                                                           .order = order,
                                                           .scratch = scratch });
                             get(t, "order", order, CT_I64, rows * k, 0);
                         });
                }
}
END_TEST

/* ---- random numbers ---- */

/* A position's base: 5, on the device. */
static const uint64_t *at_5(run *t)
{
    uint64_t five = 5;

    return put_bytes(t, &five, sizeof five);
}

START_TEST(draws)
{
    int d, s, c;

    for (d = 0; d < 2; d++)
        for (s = 0; s < SIZES; s++)
            for (c = 0; c < 4; c++) {
                int64_t n = sizes[s];
                double a = c == 0 ? 0 : c == 1 ? -1 : c == 2 ? 16777216 : 1e-3;
                double b = c == 0 ? 1 : c == 1 ? 1e-30 : c == 2 ? 16777218 : 1e-3;

                BOTH(
                    SAY("uniform %s n %lld in %g %g", ct_dtype_name(floats[d]), (long long)n, a, b),
                    {
                        void *p = put(t, floats[d], n);

                        t->be->uniform(
                            &(cti_draw_args){ .out = p,
                                              .dtype = floats[d],
                                              .n = n,
                                              .a = a,
                                              .b = b,
                                              .from = { 12345678901234u, 3, 1ull << 40, NULL } });
                        get(t, "out", p, floats[d], n, 0);
                    });
                BOTH(SAY("normal %s n %lld", ct_dtype_name(floats[d]), (long long)n), {
                    void *p = put(t, floats[d], n);

                    t->be->normal(&(cti_draw_args){ .out = p,
                                                    .dtype = floats[d],
                                                    .n = n,
                                                    .a = 0,
                                                    .b = c ? 3 : 1,
                                                    .from = { 99, 1ull << 50, 5, at_5(t) } });
                    get(t, "out", p, floats[d], n, -2);
                });
                BOTH(SAY("dropout %s n %lld", ct_dtype_name(floats[d]), (long long)n), {
                    void *in = put(t, floats[d], n), *p = put(t, floats[d], n);

                    t->be->dropout(&(cti_dropout_args){ .dtype = floats[d],
                                                        .n = n,
                                                        .p = c * 0.3,
                                                        .from = { 1, 2, 3, c % 2 ? at_5(t) : NULL },
                                                        .in = in,
                                                        .out = p });
                    get(t, "out", p, floats[d], n, 0);
                });
            }
}
END_TEST

/* Weights in [0, 3), every fifth 0; row bad has one that is negative. */
static void multinomial_case(run *t, int64_t rows, int64_t n, int64_t k, bool replacement,
                             int64_t bad)
{
    double *host = calloc((size_t)(rows * n) + 1, sizeof *host);
    void *weights, *out = put(t, CT_I64, rows * k);
    cti_fault f = { 1, 0 };
    int64_t i;

    for (i = 0; i < rows * n; i++)
        host[i] = i % 5 == 4 ? 0 : fabs(draw_real(&t->r));
    if (bad >= 0)
        host[bad * n + n / 2] = -1;
    weights = put_bytes(t, host, (size_t)(rows * n) * sizeof *host);
    free(host);
    note(t,
         t->be->multinomial(&(cti_multinomial_args){ .rows = rows,
                                                     .n = n,
                                                     .k = k,
                                                     .replacement = replacement,
                                                     .weights = weights,
                                                     .from = { 5, 6, 2, at_5(t) },
                                                     .out = out },
                            &f),
         &f);
    get(t, "out", out, CT_I64, rows * k, 0);
}

/* The first draw is u: of weights u and 1 - u, whose sum is 1, that of the second. */
static void multinomial_between(run *t)
{
    uint32_t w[4];
    double weight[2];
    void *weights, *out = put(t, CT_I64, 1);
    cti_fault f = { 1, 0 };

    ct_philox(5, 6, 7, w);
    weight[0] = (double)(((uint64_t)w[0] << 32 | w[1]) >> 11) * 0x1p-53;
    weight[1] = 1 - weight[0];
    weights = put_bytes(t, weight, sizeof weight);
    note(t,
         t->be->multinomial(&(cti_multinomial_args){ .rows = 1,
                                                     .n = 2,
                                                     .k = 1,
                                                     .replacement = true,
                                                     .weights = weights,
                                                     .from = { 5, 6, 7, NULL },
                                                     .out = out },
                            &f),
         &f);
    get(t, "out", out, CT_I64, 1, 0);
    ck_assert(*(int64_t *)t->out[0].host == 1);
}

START_TEST(multinomials)
{
    int replacement;

    for (replacement = 0; replacement < 2; replacement++) {
        BOTH("multinomial 1", { multinomial_case(t, 1, 4, 1, replacement, -1); });
        BOTH("multinomial 33", { multinomial_case(t, 33, 28, 3, replacement, -1); });
        BOTH("multinomial 2", { multinomial_case(t, 2, 1000, 50, replacement, -1); });
        BOTH("multinomial, none", { multinomial_case(t, 0, 5, 2, replacement, -1); });
        BOTH("multinomial, negative", { multinomial_case(t, 40, 9, 2, replacement, 31); });
    }
    BOTH("multinomial, between two", { multinomial_between(t); });
    BOTH("multinomial, too few", { multinomial_case(t, 2, 5, 5, false, -1); });
}
END_TEST

/* ---- products ---- */

static void gemm_case(run *t, ct_dtype dtype, const int64_t *s, int way, double beta)
{
    int64_t m = s[0], n = s[1], k = s[2], batch = s[3];
    bool ta = way & 1, tb = way & 2, apart = way & 4;
    cti_gemm g = { .dtype = dtype,
                   .trans_a = ta,
                   .trans_b = tb,
                   .m = m,
                   .n = n,
                   .k = k,
                   .batch = batch,
                   .alpha = apart ? 1.5 : 1,
                   .beta = beta };
    int64_t extra = apart ? 3 : 0, rows_a = ta ? k : m, rows_b = tb ? n : k;
    void *c;

    g.lda = (ta ? m : k) + extra;
    g.ldb = (tb ? k : n) + extra;
    g.ldc = n + extra;
    g.lda += g.lda == 0;
    g.ldb += g.ldb == 0;
    g.ldc += g.ldc == 0;
    g.a_step = rows_a * g.lda;
    g.b_step = apart ? 0 : rows_b * g.ldb;
    g.c_step = m * g.ldc;
    g.a = put(t, dtype, batch * g.a_step);
    g.b = put(t, dtype, apart ? rows_b * g.ldb : batch * g.b_step);
    g.c = c = put(t, dtype, batch * g.c_step);
    g.bias = batch == 1 && beta == 0 && apart ? put(t, dtype, n) : NULL;
    t->be->gemm(&g);
    get(t, "c", c, dtype, batch * g.c_step, tolerance_of(dtype) * 10);
}

START_TEST(products)
{
    static const int64_t shapes[][4] = { { 0, 3, 2, 1 },    { 3, 0, 2, 1 },   { 3, 2, 0, 2 },
                                         { 1, 1, 1, 1 },    { 1, 33, 31, 1 }, { 33, 1, 32, 1 },
                                         { 33, 28, 17, 1 }, { 5, 7, 3, 4 },   { 2, 3, 4, 0 },
                                         { 65, 40, 33, 2 }, { 65, 40, 0, 1 }, { 31, 20, 0, 2 },
                                         { 2, 40, 0, 1 } };
    int d, s, way, b;

    for (d = 0; d < 2; d++)
        for (s = 0; s < 13; s++)
            for (way = 0; way < 8; way++)
                for (b = 0; b < 3; b++)
                    BOTH(SAY("gemm %s shape %d way %d beta %g", ct_dtype_name(floats[d]), s, way,
                             b * 0.5),
                         { gemm_case(t, floats[d], shapes[s], way, b * 0.5); });
}
END_TEST

/* ---- sequences ---- */

/* Bits of way: reverse, no bias, rows of different lengths, no dy, no last gradients, nothing
 * kept. */
static void sequence_case(run *t, ct_dtype dtype, cti_cell_kind kind, const int64_t *shape, int way)
{
    int64_t steps = shape[0], batch = shape[1], n = shape[2], gates = cti_gates_of(kind), b;
    int64_t state = batch * n, lengths[64];
    double tolerance = tolerance_of(dtype) * 10;
    bool lstm = kind == CTI_CELL_LSTM, gru = kind == CTI_CELL_GRU, keep = !(way & 32);
    cti_sequence s = { .kind = kind,
                       .dtype = dtype,
                       .reverse = way & 1,
                       .steps = steps,
                       .batch = batch,
                       .hidden = n };

    s.x = put(t, dtype, steps * batch * gates * n);
    s.w = put(t, dtype, gates * n * n);
    change(t, CTI_EW_affine, dtype, gates * n * n, (void *)(uintptr_t)s.w, 0.1); /* not chaotic */
    s.bias = way & 2 ? NULL : put(t, dtype, gates * n);
    for (b = 0; b < batch; b++)
        lengths[b] = draw_below(&t->r, steps + 1);
    if (way & 4)
        s.length = put_bytes(t, lengths, (size_t)batch * sizeof *lengths);
    s.h = put(t, dtype, (steps + 1) * state);
    s.c = lstm ? put(t, dtype, (steps + 1) * state) : NULL;
    s.gates = keep && (lstm || gru) ? put(t, dtype, steps * batch * gates * n) : NULL;
    s.hn = keep && gru ? put(t, dtype, steps * state) : NULL;
    s.scratch = put(t, dtype, cti_sequence_scratch(&s));
    t->be->sequence(&s);
    get(t, "h", s.h, dtype, (steps + 1) * state, tolerance);
    if (lstm)
        get(t, "c", s.c, dtype, (steps + 1) * state, tolerance);
    if (!keep && (lstm || gru))
        return;
    s.dy = way & 8 ? NULL : put(t, dtype, steps * state);
    s.dh_last = way & 16 ? NULL : put(t, dtype, state);
    s.dc_last = way & 16 || !lstm ? NULL : put(t, dtype, state);
    s.dx = put(t, dtype, steps * batch * gates * n);
    s.dhx = gru ? put(t, dtype, steps * batch * gates * n) : NULL;
    s.dh0 = put(t, dtype, state);
    s.dc0 = lstm ? put(t, dtype, state) : NULL;
    t->be->sequence_backward(&s);
    get(t, "dx", s.dx, dtype, steps * batch * gates * n, tolerance);
    if (gru)
        get(t, "dhx", s.dhx, dtype, steps * batch * gates * n, tolerance);
    get(t, "dh0", s.dh0, dtype, state, tolerance);
    if (lstm)
        get(t, "dc0", s.dc0, dtype, state, tolerance);
}

START_TEST(sequences)
{
    static const int64_t shapes[][3] = { { 0, 2, 3 }, { 1, 1, 1 }, { 5, 33, 7 }, { 3, 2, 33 } };
    int kind = _i, d, s, way;

    for (d = 0; d < 2; d++)
        for (s = 0; s < 4; s++)
            for (way = 0; way < 64; way++) {
                if (s > 0 && !chosen(way / 16 + way + s + d))
                    continue;
                BOTH(SAY("sequence %d %s shape %d way %d", kind, ct_dtype_name(floats[d]), s, way),
                     { sequence_case(t, floats[d], (cti_cell_kind)kind, shapes[s], way); });
            }
}
END_TEST

/* No product in bf16 here: that is said, not done in f32. */
START_TEST(bf16_is_refused)
{
    const cti_gemm g = { .dtype = CT_F32,
                         .m = 1,
                         .n = 1,
                         .k = 1,
                         .batch = 1,
                         .lda = 1,
                         .ldb = 1,
                         .ldc = 1,
                         .bf16 = true };
    const cti_sequence s = { .dtype = CT_F32, .steps = 1, .batch = 1, .hidden = 1, .bf16 = true };
    int i;

    for (i = 0; i < 3; i++) {
        if (i == 0)
            device->gemm(&g);
        else if (i == 1)
            device->sequence(&s);
        else
            device->sequence_backward(&s);
        ck_assert(ct_error() == CT_ERR_ARGUMENT);
        ck_assert(strstr(ct_error_message(), "bf16") != NULL);
        ct_error_clear();
    }
}
END_TEST

/* ---- optimisers ---- */

#define SEGMENTS 30 /* more than one launch takes */

static const int64_t segment_sizes[] = { 1, 0, 33, 256, 4097, 7, 31 };

/* Segments of random values, gradients and the states that wanted (a bit each) says. */
static void put_segments(run *t, cti_segment *s, int count, ct_dtype dtype, int wanted)
{
    int i, k;

    for (i = 0; i < count; i++) {
        int64_t n = segment_sizes[i % 7];
        char *all = put(t, dtype, 5 * n); /* value, gradient, states */

        s[i] = (cti_segment){ .value = all,
                              .grad = all + n * (int64_t)ct_dtype_size(dtype),
                              .n = n,
                              .dtype = dtype,
                              .lr = 0.1 + 0.01 * i,
                              .weight_decay = i % 2 * 0.1,
                              .shrink = i % 3 ? 1 : 0.9,
                              .root = 0.5,
                              .first = i % 4 == 0 };
        for (k = 0; k < 3; k++)
            if (wanted >> k & 1) {
                s[i].state[k] = all + (2 + k) * n * (int64_t)ct_dtype_size(dtype);
                if (k < 2)
                    change(t, CTI_EW_square, dtype, n, s[i].state[k], 0);
                else /* the centre is not far from 0, so that the variance is one */
                    change(t, CTI_EW_affine, dtype, n, s[i].state[k], 0.01);
            }
    }
}

static void get_segments(run *t, const cti_segment *s, int count, double tolerance)
{
    int i;

    for (i = 0; i < count; i++)
        get(t, SAY("segment %d", i), s[i].value, s[i].dtype, 5 * s[i].n, tolerance);
}

static void update_case(run *t, const cti_update *u, ct_dtype dtype, int wanted, int count)
{
    cti_segment s[SEGMENTS];

    put_segments(t, s, count, dtype, wanted);
    t->be->update(u, s, count);
    get_segments(t, s, count, tolerance_of(dtype));
}

START_TEST(updates)
{
    int d, rule, wanted, nesterov;

    for (d = 0; d < 2; d++)
        for (rule = 0; rule < CTI_RULES; rule++)
            for (wanted = 0; wanted < 8; wanted++)
                for (nesterov = 0; nesterov < 2; nesterov++) {
                    cti_update u = { .rule = (cti_update_rule)rule,
                                     .nesterov = nesterov,
                                     .scale = 0.5,
                                     .momentum = 0.9,
                                     .dampening = 0.1,
                                     .beta1 = 0.9,
                                     .beta2 = 0.99,
                                     .eps = 1e-3 };
                    int must = rule == CTI_SGD ? 0 : rule == CTI_ADAM ? 3 : 1;
                    int may = rule == CTI_SGD || rule == CTI_ADAGRAD ? 1 : 7;

                    if ((wanted & must) != must || (wanted & ~may) || (nesterov && rule))
                        continue;
                    BOTH(SAY("update %d %s states %d", rule, ct_dtype_name(floats[d]), wanted),
                         { update_case(t, &u, floats[d], wanted, 7); });
                }
}
END_TEST

/* More segments than a launch takes, of both dtypes. */
static void many_segments(run *t, cti_segment *s)
{
    int i;

    t->r.at = seed << 32;
    for (i = 0; i < SEGMENTS; i++) {
        ct_dtype dtype = i % 3 ? CT_F32 : CT_F64;
        int64_t n = i % 5 ? 3 : 300;

        s[i] = (cti_segment){ .n = n, .dtype = dtype };
        if (t->buffers < 3) { /* values; gradients f32, f64 */
            put(t, CT_F64, SEGMENTS * 300);
            put(t, CT_F32, SEGMENTS * 300);
            put(t, CT_F64, SEGMENTS * 300);
        }
        s[i].value = t->buffer[0].data;
        s[i].grad = shifted(t->buffer[dtype == CT_F32 ? 1 : 2].data, i * 300, dtype);
    }
}

static void clip_case(run *t, double max_norm, bool bad)
{
    cti_segment s[SEGMENTS];
    void *norm, *squared;
    cti_fault f = { 1, 0 };

    many_segments(t, s); /* which are the first three buffers */
    norm = put(t, CT_F64, 1);
    squared = put(t, CT_F64, 1);
    if (bad)
        t->be->fill((void *)(uintptr_t)s[17].grad, s[17].dtype, 1, NAN);
    t->be->norm_squared(s, SEGMENTS, squared);
    note(t,
         t->be->clip_norm(
             &(cti_clip_norm_args){
                 .segments = s, .count = SEGMENTS, .max_norm = max_norm, .norm = norm },
             &f),
         &f);
    get(t, "squared", squared, CT_F64, 1, 1e-12);
    get(t, "norm", norm, CT_F64, 1, 1e-12);
    get(t, "f32", t->buffer[1].data, CT_F32, SEGMENTS * 300, 1e-6);
    get(t, "f64", t->buffer[2].data, CT_F64, SEGMENTS * 300, 1e-12);
}

START_TEST(clipping)
{
    BOTH("clip above", { clip_case(t, 1e9, false); });
    BOTH("clip below", { clip_case(t, 1.5, false); });
    BOTH("clip NaN", { clip_case(t, 1.5, true); });
}
END_TEST

/* Nothing moves while a fault stands, and all does again once the host knows of it. */
START_TEST(faults)
{
    cti_update u = { .rule = CTI_SGD, .scale = 1 };
    run r = { .be = device }, *t = &r;
    cti_fault f = { 5, 0 }, got = { 0, 0 };
    int64_t bad = 9, dim[1] = { 4 };
    void *index = put_bytes(t, &bad, sizeof bad);
    void *one = put(t, CT_F32, 4), *other = put(t, CT_F32, 4);
    float before[4], after[4], carried[4];
    cti_segment s = { .value = one, .grad = one, .n = 4, .dtype = CT_F32, .lr = 1, .shrink = 1 };
    cti_array dst = { other, CT_F32, { 1 } }, src = { one, CT_F32, { 1 } };

    if (!device->async) {
        finish(t);
        return;
    }
    ck_assert(device->download(before, other, sizeof before, &got) == CT_OK);
    ck_assert(device->gather_rows(&(cti_gather_rows_args){ .dtype = CT_F32,
                                                           .index_dtype = CT_I64,
                                                           .count = 1,
                                                           .width = 4,
                                                           .rows = 3,
                                                           .src = one,
                                                           .index = index,
                                                           .out = other },
                                  &f) == CT_OK);
    device->upload(other, before, sizeof before);
    device->update(&u, &s, 1);
    device->carry(1, dim, &dst, &src);
    ck_assert(device->download(carried, other, sizeof carried, &got) == CT_ERR_INDEX);
    ck_assert(got.ticket == 5 && got.position == 0);
    ck_assert_mem_eq(carried, before, sizeof before);
    ck_assert(device->download(before, one, sizeof before, &got) == CT_OK);
    device->carry(1, dim, &dst, &src);
    device->update(&u, &s, 1);
    ck_assert(device->download(carried, other, sizeof carried, &got) == CT_OK);
    ck_assert(device->download(after, one, sizeof after, &got) == CT_OK);
    ck_assert_mem_eq(carried, before, sizeof before);
    ck_assert(after[0] == 0 && after[3] == 0); /* w -= w */
    finish(t);
}
END_TEST

/* ---- bytes from the host, threads ---- */

#define PIECES 9
#define PIECE 700001 /* bytes: 9 are more than the ring of pinned memory */

static void fill_piece(unsigned char *bytes, int k)
{
    size_t i;

    for (i = 0; i < PIECE; i++)
        bytes[i] = (unsigned char)(i * 7 + i / 251 + (size_t)k * 31);
}

/* Uploads of more than the pinned memory, one after another without waiting: no piece is overwritten
 * before its copy's turn. By the queue of kernels and by that of copies. */
START_TEST(uploads)
{
    unsigned char *host = malloc(PIECE), *back = malloc(PIECE);
    void *piece[PIECES];
    cti_fault f = { 0, 0 };
    int k, ahead = _i % 2;
    cti_counters before, after;
    uint64_t waits = count ? count().synchronises : 0;

    if (checking && checking() && _i > 1)
        return; /* the same again, slowly */
    if (set_seed)
        set_seed((uint64_t)_i / 2 + 1);
    if (count)
        device->async->counters(&before);
    for (k = 0; k < PIECES; k++)
        piece[k] = device->allocate(PIECE);
    if (ahead && device->async) /* memory is there when the queue of kernels gets there */
        ck_assert(device->async->synchronise(&f) == CT_OK);
    for (k = 0; k < PIECES; k++) {
        fill_piece(host, k);
        if (ahead && device->async)
            device->async->upload_ahead(piece[k], host, PIECE);
        else
            device->upload(piece[k], host, PIECE);
        memset(host, 0xee, PIECE); /* which may be changed at once */
    }
    if (device->async)
        ck_assert(device->async->synchronise(&f) == CT_OK);
    for (k = 0; k < PIECES; k++) {
        ck_assert(device->download(back, piece[k], PIECE, &f) == CT_OK);
        fill_piece(host, k);
        ck_assert_msg(memcmp(back, host, PIECE) == 0, "piece %d is another", k);
        device->release(piece[k], PIECE);
    }
    no_reports("uploads");
    if (count) { /* a download to memory that is not pinned waits by itself, too */
        device->async->counters(&after);
        ck_assert_int_eq((int)(after.synchronisations - before.synchronisations) + PIECES,
                         (int)(count().synchronises - waits));
    }
    free(host);
    free(back);
}
END_TEST

/* A thread finds no fault of another, even of one whose word it has got, and leaves one. */
static void *find_no_fault(void *context)
{
    const cti_backend *be = cti_backend_of(device_id);
    cti_fault f = { 3, 0 }, got = { 0, 0 };
    ct_status *status = context;

    *status = be->async->synchronise(&got);
    be->one_hot(&(cti_one_hot_args){ .dtype = CT_F32,
                                     .index_dtype = CT_I64,
                                     .count = 1,
                                     .width = 0,
                                     .index = index_of_threads,
                                     .out = NULL },
                &f);
    return NULL;
}

START_TEST(threads_have_faults_of_their_own)
{
    int64_t bad = 5;
    cti_fault f = { 1, 0 }, got = { 0, 0 };
    int i;

    if (!device->async)
        return;
    index_of_threads = device->allocate(sizeof bad);
    device->upload(index_of_threads, &bad, sizeof bad);
    device->one_hot(&(cti_one_hot_args){ .dtype = CT_F32,
                                         .index_dtype = CT_I64,
                                         .count = 1,
                                         .width = 0,
                                         .index = index_of_threads,
                                         .out = NULL },
                    &f);
    for (i = 0; i < 70; i++) {
        ct_status status = CT_ERR_IO;

        harness_on_thread(find_no_fault, &status);
        ck_assert_msg(status == CT_OK, "thread %d: %s", i, ct_status_name(status));
        if (i == 30) {
            ck_assert(device->async->synchronise(&got) == CT_ERR_INDEX && got.ticket == 1);
            ck_assert(device->async->synchronise(&got) == CT_OK);
        }
    }
    device->release(index_of_threads, sizeof bad);
    no_reports("threads");
}
END_TEST

/* ---- how memory is touched ---- */

typedef struct touched {
    uint64_t requests, sectors;
} touched;

static void add_touched(void *context, const char *file, int line, bool write, uint64_t requests,
                        uint64_t sectors, uint64_t lanes, uint64_t bytes)
{
    touched *t = context;

    (void)file, (void)line, (void)write, (void)lanes, (void)bytes;
    t->requests += requests;
    t->sectors += sectors;
}

static void add_4096(run *t)
{
    cti_ew e = { .op = CTI_EW_add,
                 .dtype = CT_F32,
                 .inputs = 2,
                 .rank = 3,
                 .dim = { 2, 1, 2048 },
                 .out_stride = { 2048, 7, 1 },
                 .in_stride = { { 2048, 0, 1 }, { 2048, 9, 1 } } };

    e.out = put(t, CT_F32, 4096);
    e.in[0] = put(t, CT_F32, 4096);
    e.in[1] = put(t, CT_F32, 4096);
    t->be->elementwise(&e);
}

static void copy_4096(run *t, ct_dtype to, bool transposed)
{
    const int64_t dim[3] = { 1, 64, 64 };
    cti_array dst = { put(t, to, 4096), to, { 4096, 64, 1 } };
    cti_array src = { put(t, CT_F32, 4096), CT_F32, { 4096, 64, 1 } };

    if (transposed) {
        src.stride[1] = 1;
        src.stride[2] = 64;
    }
    t->be->copy(3, dim, &dst, &src);
}

static void copy_f32(run *t)
{
    copy_4096(t, CT_F32, false);
}

static void convert_f32(run *t)
{
    copy_4096(t, CT_F64, false);
}

static void transpose_f32(run *t)
{
    copy_4096(t, CT_F32, true);
}

static void fill_4096(run *t)
{
    t->be->fill(put(t, CT_F32, 4096), CT_F32, 4096, 1);
}

static void draw_4096(run *t)
{
    t->be->uniform(&(cti_draw_args){ .out = put(t, CT_F32, 4096),
                                     .dtype = CT_F32,
                                     .n = 4096,
                                     .a = 0,
                                     .b = 1,
                                     .from = { 1, 2, 3, NULL } });
}

static void softmax_rows(run *t)
{
    t->be->softmax(&(cti_softmax_args){ .dtype = CT_F32,
                                        .logarithm = false,
                                        .rows = 8,
                                        .n = 512,
                                        .in = put(t, CT_F32, 4096),
                                        .out = put(t, CT_F32, 4096) });
}

/* Three matrices, none of whose axes join. */
static void transpose_some(run *t)
{
    const int64_t dim[3] = { 2, 64, 32 };
    cti_array dst = { put(t, CT_F32, 4096), CT_F32, { 2048, 32, 1 } };
    cti_array src = { put(t, CT_F32, 4096), CT_F32, { 2048, 1, 64 } };

    t->be->copy(3, dim, &dst, &src);
}

static void cross_entropy_rows(run *t)
{
    cti_fault f = { 1, 0 };

    t->be->cross_entropy(&(cti_cross_entropy_args){ .dtype = CT_F32,
                                                    .index_dtype = CT_I64,
                                                    .rows = 128,
                                                    .n = 32,
                                                    .in = put(t, CT_F32, 4096),
                                                    .target = put_index(t, CT_I64, 128, 32),
                                                    .ignore = -1,
                                                    .smoothing = 0,
                                                    .loss = put(t, CT_F32, 128),
                                                    .most = put(t, CT_F32, 128),
                                                    .lse = put(t, CT_F32, 128) },
                         &f);
}

static void sum_all(run *t)
{
    t->be->reduce(&(cti_reduce_args){ .op = CTI_SUM,
                                      .dtype = CT_F32,
                                      .outer = 1,
                                      .n = 4096,
                                      .inner = 1,
                                      .in = put(t, CT_F32, 4096),
                                      .out = put(t, CT_F32, 1) });
}

static void sum_rows(run *t)
{
    t->be->reduce(&(cti_reduce_args){ .op = CTI_SUM,
                                      .dtype = CT_F32,
                                      .outer = 8,
                                      .n = 512,
                                      .inner = 1,
                                      .in = put(t, CT_F32, 4096),
                                      .out = put(t, CT_F32, 8) });
}

static void sum_columns(run *t)
{
    t->be->reduce(&(cti_reduce_args){ .op = CTI_SUM,
                                      .dtype = CT_F32,
                                      .outer = 1,
                                      .n = 64,
                                      .inner = 64,
                                      .in = put(t, CT_F32, 4096),
                                      .out = put(t, CT_F32, 64) });
}

static void gather_64(run *t)
{
    cti_fault f = { 1, 0 };

    t->be->gather_rows(&(cti_gather_rows_args){ .dtype = CT_F32,
                                                .index_dtype = CT_I64,
                                                .count = 64,
                                                .width = 64,
                                                .rows = 64,
                                                .src = put(t, CT_F32, 4096),
                                                .index = put_index(t, CT_I64, 64, 64),
                                                .out = put(t, CT_F32, 4096) },
                       &f);
}

/* Requests of warps to memory and sectors of 32 bytes that they cover, for 4,096 floats, at most: by
 * the kernel that is meant for them, and in its order. (What g++ reads of 16 bytes by parts counts
 * as so many requests.) */
START_TEST(memory_is_touched_in_order)
{
    static const struct {
        const char *name;
        void (*call)(run *t);
        uint64_t requests, sectors;
    } cases[] = {
        { "add", add_4096, 288, 4608 },
        { "copy", copy_f32, 160, 2560 },
        { "convert to f64", convert_f32, 192, 2048 },
        { "transpose", transpose_f32, 256, 1024 },
        { "fill", fill_4096, 128, 512 },
        { "uniform", draw_4096, 32, 512 },
        { "transpose some", transpose_some, 256, 1024 },
        { "softmax", softmax_rows, 512, 2048 },
        { "cross entropy", cross_entropy_rows, 384, 1248 },
        { "sum", sum_all, 129, 513 },
        { "sums of rows", sum_rows, 136, 520 },
        { "sums of columns", sum_columns, 130, 520 },
        { "gather rows", gather_64, 288, 4096 },
    };
    size_t k;

    if (!count_sectors || !checking())
        return;
    for (k = 0; k < sizeof cases / sizeof *cases; k++) {
        run r = { .be = device };
        cti_fault f = { 0, 0 };
        touched got = { 0, 0 };

        count_sectors(true);
        cases[k].call(&r);
        ck_assert(device->async->synchronise(&f) == CT_OK);
        each_sector(add_touched, &got);
        count_sectors(false);
        ck_assert_msg(got.requests <= cases[k].requests && got.sectors <= cases[k].sectors,
                      "%s: %d requests, %d sectors", cases[k].name, (int)got.requests,
                      (int)got.sectors);
        finish(&r);
    }
}
END_TEST

/* ---- what calls cost ---- */

static emu_counters begun; /* by a call of what_it_costs, once its operands are there */

static void wait_and_count(run *t)
{
    cti_fault f = { 0, 0 };

    ck_assert(t->be->async->synchronise(&f) == CT_OK);
    begun = count();
}

static void sum_of(run *t, ct_dtype dtype, int64_t outer, int64_t n, int64_t inner)
{
    void *in = put_zeros(t, dtype, outer * n * inner), *out = put_zeros(t, dtype, outer * inner);

    wait_and_count(t);
    t->be->reduce(&(cti_reduce_args){ .op = CTI_SUM,
                                      .dtype = dtype,
                                      .outer = outer,
                                      .n = n,
                                      .inner = inner,
                                      .in = in,
                                      .out = out });
}

static void cumsum_of(run *t, ct_dtype dtype, int64_t outer, int64_t n, int64_t inner)
{
    void *in = put_zeros(t, dtype, outer * n * inner);

    wait_and_count(t);
    t->be->cumsum(&(cti_cumsum_args){ .dtype = dtype,
                                      .reverse = false,
                                      .outer = outer,
                                      .n = n,
                                      .inner = inner,
                                      .in = in,
                                      .out = in });
}

static void sort_of(run *t, ct_dtype dtype, int64_t outer, int64_t n, int64_t k)
{
    void *in = put_zeros(t, dtype, outer * n), *order = put_zeros(t, CT_I64, outer * k);
    void *scratch = put_zeros(t, CT_I64, outer * 2 * n);

    wait_and_count(t);
    t->be->sort(&(cti_sort_args){ .dtype = dtype,
                                  .descending = false,
                                  .rows = outer,
                                  .n = n,
                                  .k = k,
                                  .in = in,
                                  .order = order,
                                  .scratch = scratch });
}

/* count rows of width, into one of as many. */
static void scatter_rows_of(run *t, ct_dtype dtype, int64_t count, int64_t width, int64_t rows)
{
    void *to = put_zeros(t, dtype, rows * width), *from = put_zeros(t, dtype, count * width);
    void *index = put_zeros(t, CT_I64, count);
    cti_fault f = { 1, 0 };

    wait_and_count(t);
    t->be->scatter_add_rows(&(cti_scatter_add_rows_args){ .dtype = dtype,
                                                          .index_dtype = CT_I64,
                                                          .count = count,
                                                          .width = width,
                                                          .rows = rows,
                                                          .dst = to,
                                                          .index = index,
                                                          .src = from },
                            &f);
}

static void scatter_of(run *t, ct_dtype dtype, int64_t outer, int64_t m, int64_t inner)
{
    void *to = put_zeros(t, dtype, outer * inner), *from = put_zeros(t, dtype, outer * m * inner);
    void *index = put_zeros(t, CT_I64, outer * m * inner);
    cti_fault f = { 1, 0 };

    wait_and_count(t);
    t->be->scatter_add(&(cti_scatter_add_args){ .dtype = dtype,
                                                .index_dtype = CT_I64,
                                                .outer = outer,
                                                .n = 1,
                                                .m = m,
                                                .inner = inner,
                                                .dst = to,
                                                .index = index,
                                                .src = from },
                       &f);
}

/* count segments of n, behind some of no elements and one of the other dtype. */
static int segments_of(run *t, cti_segment *s, ct_dtype dtype, int64_t count, int64_t n)
{
    double *all = put_zeros(t, CT_F64, (count + 3) * n);
    int i;

    for (i = 0; i < count + 3; i++)
        s[i] = (cti_segment){ .value = all + i * n,
                              .grad = all + i * n,
                              .n = i < 2 ? 0 : n,
                              .dtype = dtype,
                              .lr = 1,
                              .shrink = 1,
                              .root = 1 };
    s[2].dtype = dtype == CT_F32 ? CT_F64 : CT_F32;
    return (int)count + 3;
}

static void update_of(run *t, ct_dtype dtype, int64_t segments, int64_t n, int64_t unused)
{
    cti_segment s[60];
    int many = segments_of(t, s, dtype, segments, n);

    (void)unused;
    wait_and_count(t);
    t->be->update(&(cti_update){ .rule = CTI_SGD, .scale = 1 }, s, many);
}

static void norm_of(run *t, ct_dtype dtype, int64_t segments, int64_t n, int64_t unused)
{
    cti_segment s[60];
    int many = segments_of(t, s, dtype, segments, n);
    double *out = put_zeros(t, CT_F64, 1);

    (void)unused;
    wait_and_count(t);
    t->be->norm_squared(s, many, out);
}

static void clip_of(run *t, ct_dtype dtype, int64_t segments, int64_t n, int64_t unused)
{
    cti_segment s[60];
    int many = segments_of(t, s, dtype, segments, n);
    cti_fault f = { 1, 0 };

    (void)unused;
    wait_and_count(t);
    t->be->clip_norm(
        &(cti_clip_norm_args){ .segments = s, .count = many, .max_norm = 1, .norm = NULL }, &f);
}

/* With a bias, or without. */
static void gemm_of(run *t, ct_dtype dtype, int64_t m, int64_t k, int64_t bias)
{
    cti_gemm g = { .dtype = dtype,
                   .m = m,
                   .n = 4,
                   .k = k,
                   .batch = 1,
                   .alpha = 1,
                   .lda = k + !k,
                   .ldb = 4,
                   .ldc = 4 };

    g.a = put_zeros(t, dtype, m * k);
    g.b = put_zeros(t, dtype, k * 4);
    g.c = put_zeros(t, dtype, m * 4);
    g.bias = bias ? put_zeros(t, dtype, 4) : NULL;
    wait_and_count(t);
    t->be->gemm(&g);
}

static void sequence_of(run *t, ct_dtype dtype, int64_t kind, int64_t steps, int64_t back)
{
    int64_t gates = cti_gates_of((cti_cell_kind)kind);
    cti_sequence s = {
        .kind = (cti_cell_kind)kind, .dtype = dtype, .steps = steps, .batch = 2, .hidden = 3
    };

    s.x = s.dx = s.dhx = s.gates = put_zeros(t, dtype, steps * 2 * gates * 3);
    s.w = put_zeros(t, dtype, gates * 9);
    s.h = s.c = s.hn = put_zeros(t, dtype, (steps + 1) * 6);
    s.dh0 = put_zeros(t, dtype, 6);
    s.dc0 = kind == CTI_CELL_LSTM ? put_zeros(t, dtype, 6) : NULL;
    s.dh_last = s.dh0;
    s.scratch = put_zeros(t, dtype, cti_sequence_scratch(&s));
    wait_and_count(t);
    if (back)
        t->be->sequence_backward(&s);
    else
        t->be->sequence(&s);
}

static void upload_of(run *t, ct_dtype dtype, int64_t bytes, int64_t times, int64_t unused)
{
    void *to = put_zeros(t, dtype, bytes), *from = calloc(1, (size_t)bytes);

    (void)unused;
    wait_and_count(t);
    while (times-- > 0)
        t->be->upload(to, from, (size_t)bytes);
    free(from);
}

static void allocate_of(run *t, ct_dtype dtype, int64_t bytes, int64_t scratch, int64_t unused)
{
    (void)dtype, (void)scratch, (void)unused;
    wait_and_count(t);
    t->be->release(t->be->allocate((size_t)bytes), (size_t)bytes);
}

/* Kernels, products, buffers and their bytes, copies of a call, exactly: so that no kernel that is
 * meant for a shape is left out, and nothing is done that need not be. */
START_TEST(what_calls_cost)
{
    static const struct {
        const char *name;
        void (*call)(run *t, ct_dtype dtype, int64_t a, int64_t b, int64_t c);
        ct_dtype dtype;
        int64_t a, b, c;
        uint64_t launches, gemms, allocations, bytes, copies;
    } cases[] = {
        /* one pass, or two where a block's lanes would have more than 16 elements each */
        { "sum", sum_of, CT_F32, 1, 4096, 1, 1, 0, 0, 0, 0 },
        { "sum", sum_of, CT_F32, 1, 4097, 1, 2, 0, 1, 2 * 8, 0 },
        { "sum", sum_of, CT_I32, 3, 12289, 1, 2, 0, 1, 3 * 4 * 4, 0 },
        { "sum of columns", sum_of, CT_F64, 2, 2048, 2, 1, 0, 0, 0, 0 },
        { "sum of columns", sum_of, CT_F64, 2, 2049, 2, 2, 0, 1, 2 * 2 * 2 * 8, 0 },
        { "sum of columns", sum_of, CT_F32, 1, 128, 100, 1, 0, 0, 0, 0 },
        { "sum of columns", sum_of, CT_F32, 1, 129, 100, 2, 0, 1, 2 * 100 * 8, 0 },
        { "sum, enough blocks", sum_of, CT_I32, 1, 129, 511 * 32, 2, 0, 1, 2 * 511 * 32 * 4, 0 },
        { "sum, enough blocks", sum_of, CT_I32, 1, 129, 512 * 32, 1, 0, 0, 0, 0 },
        /* in chunks of 64, or of about the root of n */
        { "cumsum", cumsum_of, CT_F32, 1, 64, 1, 1, 0, 0, 0, 0 },
        { "cumsum", cumsum_of, CT_F32, 2, 65, 3, 3, 0, 1, 2 * 2 * 3 * 8, 0 },
        { "cumsum", cumsum_of, CT_I32, 1, 4096, 1, 3, 0, 1, 64 * 4, 0 },
        { "cumsum", cumsum_of, CT_I64, 1, 4097, 1, 3, 0, 1, 33 * 8, 0 },
        { "cumsum, enough columns", cumsum_of, CT_F32, 2, 65, 8192, 1, 0, 0, 0, 0 },
        { "cumsum, not enough", cumsum_of, CT_F32, 1, 65, 16383, 3, 0, 1, 2 * 16383 * 8, 0 },
        /* tiles of 32, which are merged two by two */
        { "sort", sort_of, CT_F32, 3, 32, 32, 1, 0, 0, 0, 0 },
        { "sort", sort_of, CT_F32, 3, 33, 33, 2, 0, 0, 0, 0 },
        { "sort", sort_of, CT_I64, 3, 64, 5, 2, 0, 0, 0, 0 },
        { "sort", sort_of, CT_I64, 3, 65, 5, 3, 0, 0, 0, 0 },
        { "sort", sort_of, CT_F64, 1, 129, 129, 4, 0, 0, 0, 0 },
        /* a sort, and sums */
        { "scatter_add_rows", scatter_rows_of, CT_F32, 33, 2, 4, 3, 0, 1, 33 * 3 * 8, 0 },
        { "scatter_add_rows", scatter_rows_of, CT_F64, 32, 0, 4, 1, 0, 0, 0, 0 },
        { "scatter_add_rows", scatter_rows_of, CT_F64, 0, 2, 4, 0, 0, 0, 0, 0 },
        /* columns, or keys with a sort and sums */
        { "scatter_add", scatter_of, CT_F32, 2, 64, 3, 1, 0, 0, 0, 0 },
        { "scatter_add", scatter_of, CT_I32, 1, 65, 1, 5, 0, 2, 65 * 4 * 8, 0 },
        { "scatter_add", scatter_of, CT_F32, 0, 65, 1, 0, 0, 0, 0, 0 },
        { "scatter_add, enough columns", scatter_of, CT_F32, 2, 65, 4096, 1, 0, 0, 0, 0 },
        /* 24 segments a launch, and the one of the other dtype */
        { "update", update_of, CT_F32, 24, 2, 0, 2, 0, 0, 0, 0 },
        { "update", update_of, CT_F64, 25, 2, 0, 3, 0, 0, 0, 0 },
        { "norm_squared", norm_of, CT_F32, 24, 2, 0, 3, 0, 1, 25 * 8, 0 },
        { "norm_squared", norm_of, CT_F64, 1, 4096, 0, 3, 0, 1, 2 * 8, 0 },
        { "norm_squared", norm_of, CT_F64, 49, 4097, 0, 5, 0, 1, 100 * 8, 0 },
        { "clip_norm", clip_of, CT_F32, 25, 2, 0, 8, 0, 2, 8 + 26 * 8, 0 },
        { "gemm", gemm_of, CT_F32, 3, 5, 0, 0, 1, 0, 0, 0 },
        { "gemm with a bias", gemm_of, CT_F64, 3, 5, 1, 1, 1, 0, 0, 0 },
        { "gemm of nothing", gemm_of, CT_F64, 3, 0, 0, 1, 0, 0, 0, 0 },
        { "gemm of nothing with a bias", gemm_of, CT_F32, 3, 0, 1, 1, 0, 0, 0, 0 },
        { "RNN", sequence_of, CT_F32, CTI_CELL_TANH, 4, 0, 4, 4, 0, 0, 0 },
        { "RNN, back", sequence_of, CT_F32, CTI_CELL_RELU, 4, 1, 5, 4, 0, 0, 0 },
        { "LSTM", sequence_of, CT_F64, CTI_CELL_LSTM, 2, 0, 2, 2, 0, 0, 0 },
        { "LSTM, back", sequence_of, CT_F64, CTI_CELL_LSTM, 2, 1, 4, 2, 0, 0, 0 },
        { "GRU, back", sequence_of, CT_F64, CTI_CELL_GRU, 2, 1, 3, 2, 0, 0, 0 },
        /* by pieces of a quarter of the ring, a MiB, of which setup took 48 bytes */
        { "upload", upload_of, CT_F32, 1 << 20, 1, 0, 0, 0, 0, 0, 2 },
        { "upload", upload_of, CT_F32, 100, 10, 0, 0, 0, 0, 0, 10 },
        { "upload", upload_of, CT_F32, 4 << 20, 1, 0, 0, 0, 0, 0, 5 },
        { "allocate", allocate_of, CT_F32, 12, 0, 0, 0, 0, 1, 12, 0 },
        { "allocate nothing", allocate_of, CT_F32, 0, 0, 0, 0, 0, 1, 1, 0 },
    };
    size_t k;

    if (!count)
        return;
    for (k = 0; k < sizeof cases / sizeof *cases; k++) {
        run r = { .be = device };
        emu_counters now;
        cti_fault f = { 0, 0 };

        if (checking() && cases[k].a * cases[k].b * cases[k].c > 100000)
            continue; /* many threads, which the checker watches slowly */
        cases[k].call(&r, cases[k].dtype, cases[k].a, cases[k].b, cases[k].c);
        ck_assert(device->async->synchronise(&f) == CT_OK);
        now = count();
        ck_assert_msg(now.launches - begun.launches == cases[k].launches &&
                          now.gemms - begun.gemms == cases[k].gemms,
                      "%s, row %d: %d launches, %d products", cases[k].name, (int)k,
                      (int)(now.launches - begun.launches), (int)(now.gemms - begun.gemms));
        ck_assert_msg(now.allocations - begun.allocations == cases[k].allocations &&
                          now.allocated_bytes - begun.allocated_bytes == cases[k].bytes,
                      "%s, row %d: %d buffers of %d bytes", cases[k].name, (int)k,
                      (int)(now.allocations - begun.allocations),
                      (int)(now.allocated_bytes - begun.allocated_bytes));
        now.copies--; /* synchronise's own */
        ck_assert_msg(now.copies - begun.copies == cases[k].copies, "%s, row %d: %d copies",
                      cases[k].name, (int)k, (int)(now.copies - begun.copies));
        finish(&r);
        ck_assert_msg(ct_ok(), "%s: %s", cases[k].name, ct_error_message());
    }
    no_reports("what calls cost");
}
END_TEST

/* ---- captured work ---- */

START_TEST(captured_work)
{
    run r = { .be = device }, *t = &r;
    const cti_async *async = device->async;
    cti_fault f = { 0, 0 };
    void *x = put(t, CT_F32, 300), *graph;
    float before[300], after[300];
    int i, k;

    if (!async)
        return;
    ck_assert(device->download(before, x, sizeof before, &f) == CT_OK);
    ck_assert(async->capture_begin());
    change(t, CTI_EW_affine, CT_F32, 300, x, 2);
    device->upload(x, before, sizeof before); /* would be other bytes each time */
    ck_assert(ct_error() == CT_ERR_DEVICE);
    ck_assert(strstr(ct_error_message(), "host") != NULL);
    ct_error_clear();
    ck_assert(device->download(after, x, sizeof after, &f) == CT_OK && !ct_ok());
    ck_assert(strstr(ct_error_message(), "read") != NULL && after[7] == 0);
    ct_error_clear();
    graph = async->capture_end();
    ck_assert_msg(graph != NULL, "%s", ct_error_message());
    ck_assert(device->download(after, x, sizeof after, &f) == CT_OK);
    ck_assert_mem_eq(after, before, sizeof before); /* noted, not run */
    for (k = 0; k < 3; k++)
        async->replay(graph);
    async->graph_free(graph); /* while it may be under way */
    async->graph_free(NULL);
    ck_assert(device->download(after, x, sizeof after, &f) == CT_OK);
    for (i = 0; i < 300; i++)
        ck_assert_msg(after[i] == 8 * before[i], "element %d", i);
    finish(t);
    ck_assert_msg(ct_ok(), "%s", ct_error_message());
    no_reports("captured work");
}
END_TEST

/* ---- the table ---- */

/* Of sizes of 0 nothing is asked. */
START_TEST(nothing_is_launched_for_nothing)
{
    run r = { .be = device }, *t = &r;
    const cti_gemm none[] = {
        { .dtype = CT_F32, .m = 0, .n = 2, .k = 2, .batch = 1, .lda = 2, .ldb = 2, .ldc = 2 },
        { .dtype = CT_F32, .m = 2, .n = 0, .k = 2, .batch = 1, .lda = 2, .ldb = 1, .ldc = 1 },
        { .dtype = CT_F32, .m = 2, .n = 2, .k = 2, .batch = 0, .lda = 2, .ldb = 2, .ldc = 2 },
    };
    cti_counters before, after;
    void *x = put(t, CT_F64, 8);
    cti_array a = { x, CT_F32, { 0 } };
    int i;

    if (!device->async)
        return;
    device->async->counters(&before);
    for (i = 0; i < 3; i++) {
        cti_gemm g = none[i];

        g.a = g.b = g.c = x;
        device->gemm(&g);
    }
    device->fill(x, CT_F32, 0, 1);
    device->copy(1, (const int64_t[]){ 0 }, &a, &a);
    device->carry(1, (const int64_t[]){ 0 }, &a, &a);
    change(t, CTI_EW_neg, CT_F32, 0, x, 0);
    device->reduce(&(cti_reduce_args){
        .op = CTI_SUM, .dtype = CT_F32, .outer = 0, .n = 3, .inner = 1, .in = x, .out = x });
    device->cumsum(&(cti_cumsum_args){
        .dtype = CT_F32, .reverse = false, .outer = 1, .n = 0, .inner = 1, .in = x, .out = x });
    device->softmax(&(cti_softmax_args){
        .dtype = CT_F32, .logarithm = false, .rows = 3, .n = 0, .in = x, .out = x });
    device->sort(&(cti_sort_args){ .dtype = CT_F32,
                                   .descending = false,
                                   .rows = 0,
                                   .n = 3,
                                   .k = 3,
                                   .in = x,
                                   .order = x,
                                   .scratch = x });
    device->update(&(cti_update){ .rule = CTI_SGD }, NULL, 0);
    device->async->counters(&after);
    ck_assert(after.launches == before.launches && ct_ok());
    device->cumsum(&(cti_cumsum_args){ .dtype = CT_F32,
                                       .reverse = false,
                                       .outer = 1,
                                       .n = 8,
                                       .inner = 1,
                                       .in = x,
                                       .out = x }); /* one chunk, one launch */
    device->reduce(&(cti_reduce_args){
        .op = CTI_SUM, .dtype = CT_F32, .outer = 1, .n = 8, .inner = 1, .in = x, .out = x });
    device->async->counters(&after);
    ck_assert(after.launches == before.launches + 2 && ct_ok());
    finish(t);
}
END_TEST

/* What a kernel broke is told by the next call, whichever it is: by allocate too, which keeps
 * silent of want of memory, as that may be met by giving back what the pool holds. */
START_TEST(a_broken_device_says_so)
{
    cti_fault f = { 0, 0 };

    if (!reset)
        return;
    set_quiet(true);
    device->fill((void *)64, CT_F32, 1, 1);
    ck_assert(device->async->synchronise(&f) == CT_OK && ct_error() == CT_ERR_DEVICE);
    ct_error_clear();
    ck_assert(device->allocate(8) == NULL && ct_error() == CT_ERR_DEVICE);
    ct_error_clear();
    reset();
    fail_call(1);
    ck_assert(device->allocate(8) == NULL && ct_ok());
}
END_TEST

START_TEST(another_version_is_refused)
{
    cti_plugin_open_function open;
    cti_host host = { CTI_BACKEND_VERSION + 1, sizeof host, NULL, NULL, NULL, NULL };
    cti_plugin plugin = { 0, 0, 0, "", NULL };
    void *symbol = harness_emulator(device->name, "cti_plugin_open");

    if (!symbol)
        return;
    memcpy(&open, &symbol, sizeof open);
    ck_assert(!open(&host, &plugin));
    host.version--;
    host.size++;
    ck_assert(!open(&host, &plugin) && plugin.backend == NULL);
}
END_TEST

START_TEST(no_empty_slot)
{
    const char *from = (const char *)&device->select, *to = (const char *)(device + 1);
    void (*slot)(void);

    for (; from < to; from += sizeof slot) {
        memcpy(&slot, from, sizeof slot);
        ck_assert_msg(slot != NULL, "slot at byte %d is empty", (int)(from - (const char *)device));
    }
}
END_TEST

static bool find_device(void)
{
    const char *name = getenv("COTANGENT_TEST_DEVICE");
    ct_device d = ct_device_from_name(name && strcmp(name, "cpu") != 0 ? name : "cuda-emu");

    ct_error_clear();
    device_id = d;
    device = d < 0 ? NULL : cti_backend_of(d);
    return device != NULL;
}

/* The emulator's own functions, where the device is one. */
static void find_emulator(void)
{
    void *symbol = harness_emulator(device->name, "emu_set_seed");

    memcpy(&set_seed, &symbol, sizeof symbol);
    symbol = harness_emulator(device->name, "emu_reports");
    memcpy(&reports, &symbol, sizeof symbol);
    symbol = harness_emulator(device->name, "emu_reset");
    memcpy(&reset, &symbol, sizeof symbol);
    symbol = harness_emulator(device->name, "emu_set_quiet");
    memcpy(&set_quiet, &symbol, sizeof symbol);
    symbol = harness_emulator(device->name, "emu_fail");
    memcpy(&fail_call, &symbol, sizeof symbol);
    symbol = harness_emulator(device->name, "emu_report_text");
    memcpy(&report, &symbol, sizeof symbol);
    symbol = harness_emulator(device->name, "emu_count");
    memcpy(&count, &symbol, sizeof symbol);
    symbol = harness_emulator(device->name, "emu_checking");
    memcpy(&checking, &symbol, sizeof symbol);
    symbol = harness_emulator(device->name, "emu_count_sectors");
    memcpy(&count_sectors, &symbol, sizeof symbol);
    symbol = harness_emulator(device->name, "emu_each_sector");
    memcpy(&each_sector, &symbol, sizeof symbol);
}

/* The device is found before each test: Check runs them in processes of their own. */
static void setup(void)
{
    run r = { 0 };
    cti_gemm one = {
        .dtype = CT_F64, .m = 1, .n = 1, .k = 1, .batch = 1, .lda = 1, .ldb = 1, .ldc = 1
    };

    harness_setup();
    ck_assert(find_device());
    find_emulator();
    r.be = device;
    one.a = put(&r, CT_F64, 1);
    one.b = put(&r, CT_F64, 1);
    one.c = put(&r, CT_F64, 1);
    device->gemm(&one); /* cuBLAS has its workspace from now on */
    finish(&r);
}

static void add(Suite *suite, const char *name, const TTest *test, int count)
{
    TCase *tc = tcase_create(name);

    tcase_add_checked_fixture(tc, setup, harness_teardown);
    tcase_set_timeout(tc, 1200);
    tcase_add_loop_test(tc, test, 0, count);
    suite_add_tcase(suite, tc);
}

int main(void)
{
    const char *name = getenv("COTANGENT_TEST_DEVICE");
    Suite *suite;

    ct_error_set_handler(NULL, NULL);
    if (name && strncmp(name, "cuda", 4) == 0 && strncmp(name, "cuda-emu", 8) != 0)
        setenv("CK_FORK", "no", 1); /* CUDA, once begun, does not survive a fork */
    if (ct_device_count(name && strcmp(name, "cpu") != 0 ? name : "cuda-emu") == 0) {
        printf("no GPU, and no emulated one: skipped\n");
        return 77;
    }
    suite = suite_create("cuda kernels");
    add(suite, "no empty slot", no_empty_slot, 1);
    add(suite, "elementwise", elementwise, LENGTH(ew_rows));
    add(suite, "copies", copies, 1);
    add(suite, "fills", fills, 1);
    add(suite, "reductions", reductions, CTI_ALL + 1);
    add(suite, "running sums", running_sums, 1);
    add(suite, "softmax", softmaxes, 1);
    add(suite, "cross-entropy", cross_entropies, 1);
    add(suite, "rows by index", rows_by_index, 1);
    add(suite, "one-hot", one_hots, 1);
    add(suite, "along an axis", along_an_axis, 1);
    add(suite, "sorts", sorts, 1);
    add(suite, "draws", draws, 1);
    add(suite, "multinomial", multinomials, 1);
    add(suite, "products", products, 1);
    add(suite, "sequences", sequences, CTI_CELL_GRU + 1);
    add(suite, "bf16", bf16_is_refused, 1);
    add(suite, "updates", updates, 1);
    add(suite, "clipping", clipping, 1);
    add(suite, "faults", faults, 1);
    add(suite, "uploads", uploads, 6);
    add(suite, "threads", threads_have_faults_of_their_own, 1);
    add(suite, "captured", captured_work, 1);
    add(suite, "nothing", nothing_is_launched_for_nothing, 1);
    add(suite, "broken", a_broken_device_says_so, 1);
    add(suite, "version", another_version_is_refused, 1);
    add(suite, "memory", memory_is_touched_in_order, 1);
    add(suite, "costs", what_calls_cost, 1);
    harness_pooled = true;
    return harness_run(suite);
}
