/* SPDX-License-Identifier: MIT */
/* cuda_kernels_costs.c - how kernels of a GPU access memory, and the launches and copies of each
 * call. */
#include "tests/harness.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cuda/emu/report.h"
#include "tensor/backend.h"
#include "tests/test_cuda_kernels.h"

/* ---- a run of a case on one device: its buffers and its results ---- */

static void *put_zeros(run *t, ct_dtype dtype, int64_t n)
{
    void *p = room_for(t, (size_t)n * ct_dtype_size(dtype));

    t->be->fill(p, dtype, n, 0);
    return p;
}

/* ---- accesses to memory ---- */

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

/* Three matrices, none of whose axes can be merged. */
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

/* For 4,096 floats, the kernel for each shape makes at most so many requests of warps to memory,
 * which cover at most so many sectors of 32 bytes. (If g++ splits a read of 16 bytes, each part
 * counts as a request.) */
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
        { "cross entropy", cross_entropy_rows, 416, 1280 },
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

/* ---- the costs of calls ---- */

static emu_counters begun; /* the counters before the measured call, after its operands have been
                            * made */

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

/* Runs the forward and the derivative kernel. */
static void logcumsumexp_of(run *t, ct_dtype dtype, int64_t outer, int64_t n, int64_t inner)
{
    void *x = put_zeros(t, dtype, outer * n * inner), *y = put_zeros(t, dtype, outer * n * inner);
    void *out = put_zeros(t, dtype, outer * n * inner);

    wait_and_count(t);
    t->be->logcumsumexp(&(cti_cumsum_args){
        .dtype = dtype, .outer = outer, .n = n, .inner = inner, .in = x, .out = y });
    t->be->logcumsumexp_backward(&(cti_logcumsumexp_backward_args){ .dtype = dtype,
                                                                    .outer = outer,
                                                                    .n = n,
                                                                    .inner = inner,
                                                                    .d = x,
                                                                    .x = x,
                                                                    .y = y,
                                                                    .out = out });
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

/* Adds count rows of width elements to an array of `rows` rows. */
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

/* Makes count segments of n elements, after some empty ones and one of the other dtype. */
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

/* Multiplies with or without a bias. */
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

/* The exact numbers of kernels, products, buffers, bytes and copies of a call. So the kernel for
 * each shape is used, and nothing unnecessary is done. */
START_TEST(what_calls_cost)
{
    static const struct {
        const char *name;
        void (*call)(run *t, ct_dtype dtype, int64_t a, int64_t b, int64_t c);
        ct_dtype dtype;
        int64_t a, b, c;
        uint64_t launches, gemms, allocations, bytes, copies;
    } cases[] = {
        /* one pass, or two if each lane of a block would have more than 16 elements */
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
        { "logcumsumexp", logcumsumexp_of, CT_F32, 2, 65, 3, 2, 0, 0, 0, 0 },
        { "logcumsumexp", logcumsumexp_of, CT_F64, 0, 65, 3, 0, 0, 0, 0, 0 },
        { "logcumsumexp", logcumsumexp_of, CT_F64, 3, 0, 1, 0, 0, 0, 0, 0 },
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
        /* 24 segments in a launch, and one launch for the other dtype */
        { "update", update_of, CT_F32, 24, 2, 0, 2, 0, 0, 0, 0 },
        { "update", update_of, CT_F64, 25, 2, 0, 3, 0, 0, 0, 0 },
        { "norm_squared", norm_of, CT_F32, 24, 2, 0, 3, 0, 1, 25 * 8, 0 },
        { "norm_squared", norm_of, CT_F64, 1, 4096, 0, 3, 0, 1, 2 * 8, 0 },
        { "norm_squared", norm_of, CT_F64, 49, 4097, 0, 5, 0, 1, 100 * 8, 0 },
        { "clip_norm", clip_of, CT_F32, 25, 2, 0, 12, 0, 3, 16 + 2 * 26 * 8, 0 },
        { "gemm", gemm_of, CT_F32, 3, 5, 0, 0, 1, 0, 0, 0 },
        { "gemm with a bias", gemm_of, CT_F64, 3, 5, 1, 1, 1, 0, 0, 0 },
        { "gemm of nothing", gemm_of, CT_F64, 3, 0, 0, 1, 0, 0, 0, 0 },
        { "gemm of nothing with a bias", gemm_of, CT_F32, 3, 0, 1, 1, 0, 0, 0, 0 },
        { "RNN", sequence_of, CT_F32, CTI_CELL_TANH, 4, 0, 4, 4, 0, 0, 0 },
        { "RNN, back", sequence_of, CT_F32, CTI_CELL_RELU, 4, 1, 5, 4, 0, 0, 0 },
        { "LSTM", sequence_of, CT_F64, CTI_CELL_LSTM, 2, 0, 2, 2, 0, 0, 0 },
        { "LSTM, back", sequence_of, CT_F64, CTI_CELL_LSTM, 2, 1, 4, 2, 0, 0, 0 },
        { "GRU, back", sequence_of, CT_F64, CTI_CELL_GRU, 2, 1, 3, 2, 0, 0, 0 },
        /* in pieces of a quarter of the ring, 1 MiB, of which the setup has used 48 bytes */
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
            continue; /* many threads, for which the checker is slow */
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
        now.copies--; /* the copy of synchronise */
        ck_assert_msg(now.copies - begun.copies == cases[k].copies, "%s, row %d: %d copies",
                      cases[k].name, (int)k, (int)(now.copies - begun.copies));
        finish(&r);
        ck_assert_msg(ct_ok(), "%s: %s", cases[k].name, ct_error_message());
    }
    no_reports("what calls cost");
}
END_TEST

void cuda_kernels_costs_cases(Suite *suite)
{

    add(suite, "memory", memory_is_touched_in_order, 1);
    add(suite, "costs", what_calls_cost, 1);
}
