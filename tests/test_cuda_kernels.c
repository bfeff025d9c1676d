/* SPDX-License-Identifier: MIT */
/* test_cuda_kernels.c - every slot of a GPU's table compared with the CPU's: each case runs on both
 * devices.
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
#include "tests/test_cuda_kernels.h"

/* ---- numbers of a case, the same for both devices ---- */

static uint64_t draw_bits(rng *r)
{
    uint32_t w[4];

    ct_philox(7, 0, r->at++, w);
    return (uint64_t)w[0] << 32 | w[1];
}

int64_t draw_below(rng *r, int64_t n)
{
    return n > 0 ? (int64_t)(draw_bits(r) % (uint64_t)n) : 0;
}

double draw_real(rng *r) /* in (-3, 3) */
{
    return ((double)(draw_bits(r) >> 11) * 0x1p-53 - 0.5) * 6;
}

/* ---- a run of a case on one device: its buffers and its results ---- */

double tolerance_of(ct_dtype dtype)
{
    return dtype == CT_F64 ? 1e-12 : dtype == CT_F32 ? 1e-5 : 0;
}

void *room_for(run *t, size_t bytes)
{
    void *p = t->be->allocate(bytes ? bytes : 1);

    ck_assert(p && t->buffers < BUFFERS);
    t->buffer[t->buffers].data = p;
    t->buffer[t->buffers++].bytes = bytes ? bytes : 1;
    return p;
}

void *put_bytes(run *t, const void *host, size_t bytes)
{
    void *p = room_for(t, bytes);

    if (bytes)
        t->be->upload(p, host, bytes);
    return p;
}

void *put(run *t, ct_dtype dtype, int64_t n)
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

void *put_odd(run *t, ct_dtype dtype, int64_t n)
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
            if (bits % 4 == 0) /* any bits, also NaN */
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

void change(run *t, cti_ew_op op, ct_dtype dtype, int64_t n, void *data, double p)
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

void *put_index(run *t, ct_dtype dtype, int64_t n, int64_t limit)
{
    void *host = calloc((size_t)n + 1, 8), *p;
    int64_t i;

    for (i = 0; i < n; i++)
        element_store(host, dtype, i, (double)draw_below(&t->r, limit));
    p = put_bytes(t, host, (size_t)n * ct_dtype_size(dtype));
    free(host);
    return p;
}

void get(run *t, const char *name, const void *data, ct_dtype dtype, int64_t n, double tolerance)
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

void finish(run *t)
{
    int i;

    for (i = 0; i < t->buffers; i++)
        t->be->release(t->buffer[i].data, t->buffer[i].bytes);
    for (i = 0; i < t->outputs; i++)
        free(t->out[i].host);
}

void note(run *t, ct_status status, const cti_fault *f)
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

void compare(const char *what, const run *want, const run *got)
{
    int k;
    int64_t i;

    /* the kind of fault is known only to the library, through its ticket */
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

const cti_backend *device;
uint64_t seed;
static void (*set_seed)(uint64_t); /* sets the seed of the emulated GPU's schedule; NULL on a GPU */
static int (*reports)(void);       /* the number of the emulator's reports */
static void (*reset)(void);
static void (*set_quiet)(bool);
static void (*fail_call)(uint64_t);
static const char *(*report)(int i);
bool (*checking)(void);
emu_counters (*count)(void);
void (*count_sectors)(bool on);
void (*each_sector)(emu_sector_visitor *visit, void *context);
static ct_device device_id;
static void *index_of_threads; /* indices on the device, one of which is out of range */

void next_case(void)
{
    seed++;
    if (set_seed)
        set_seed(seed);
}

void no_reports(const char *what)
{
    if (reports && reports() > 0)
        ck_abort_msg("%s: %s", what, report(0));
}

uint64_t buffers(void)
{
    return count ? count().buffers : 0;
}

char text[200];

bool chosen(int number)
{
    return harness_full() || number % 3 == 0;
}

/* ---- elementwise ---- */

void *shifted(const void *p, int64_t elements, ct_dtype dtype)
{
    return (char *)(uintptr_t)p + elements * (int64_t)ct_dtype_size(dtype);
}

/* ---- bytes from the host, threads ---- */

#define PIECES 9
#define PIECE 700001 /* bytes; 9 pieces are larger than the ring of pinned memory */

static void fill_piece(unsigned char *bytes, int k)
{
    size_t i;

    for (i = 0; i < PIECE; i++)
        bytes[i] = (unsigned char)(i * 7 + i / 251 + (size_t)k * 31);
}

/* Uploads more than the pinned memory without waiting; no piece may be overwritten before it is
 * copied. Uses the queue of kernels and the queue of copies. */
START_TEST(uploads)
{
    unsigned char *host = malloc(PIECE), *back = malloc(PIECE);
    void *piece[PIECES];
    cti_fault f = { 0, 0 };
    int k, ahead = _i % 2;
    cti_counters before, after;
    uint64_t waits = count ? count().synchronises : 0;

    if (checking && checking() && _i > 1)
        return; /* the same work again, but slow */
    if (set_seed)
        set_seed((uint64_t)_i / 2 + 1);
    if (count)
        device->async->counters(&before);
    for (k = 0; k < PIECES; k++)
        piece[k] = device->allocate(PIECE);
    if (ahead && device->async) /* the memory must be allocated before the other queue uses it */
        ck_assert(device->async->synchronise(&f) == CT_OK);
    for (k = 0; k < PIECES; k++) {
        fill_piece(host, k);
        if (ahead && device->async)
            device->async->upload_ahead(piece[k], host, PIECE);
        else
            device->upload(piece[k], host, PIECE);
        memset(host, 0xee, PIECE); /* the host may change it at once */
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
    if (count) { /* a download to memory that is not pinned waits too */
        device->async->counters(&after);
        ck_assert_int_eq((int)(after.synchronisations - before.synchronisations) + PIECES,
                         (int)(count().synchronises - waits));
    }
    free(host);
    free(back);
}
END_TEST

/* An op that finds a fault: index_of_threads is out of range. */
static void make_fault(const cti_backend *be, uint32_t ticket)
{
    cti_fault f = { ticket, 0 };

    be->one_hot(&(cti_one_hot_args){ .dtype = CT_F32,
                                     .index_dtype = CT_I64,
                                     .count = 1,
                                     .width = 0,
                                     .index = index_of_threads,
                                     .out = NULL },
                &f);
}

static void upload_index(void)
{
    int64_t bad = 5;

    index_of_threads = device->allocate(sizeof bad);
    device->upload(index_of_threads, &bad, sizeof bad);
}

/* A thread sees no fault of another thread, even if it reuses that thread's word; then it makes a
 * fault itself. */
static void *find_no_fault(void *context)
{
    const cti_backend *be = cti_backend_of(device_id);
    cti_fault got = { 0, 0 };
    ct_status *status = context;

    *status = be->async->synchronise(&got);
    make_fault(be, 3);
    return NULL;
}

/* More threads than fault words are allocated at once; each ends before the next begins. */
START_TEST(threads_have_faults_of_their_own)
{
    cti_fault got = { 0, 0 };
    int i;

    if (!device->async)
        return;
    upload_index();
    make_fault(device, 1);
    for (i = 0; i < 150; i++) {
        ct_status status = CT_ERR_IO;

        harness_on_thread(find_no_fault, &status);
        ck_assert_msg(status == CT_OK, "thread %d: %s", i, ct_status_name(status));
        if (i == 30) {
            ck_assert(device->async->synchronise(&got) == CT_ERR_INDEX && got.ticket == 1);
            ck_assert(device->async->synchronise(&got) == CT_OK);
        }
    }
    ck_assert(device->async->synchronise(&got) == CT_OK);
    device->release(index_of_threads, 8);
    no_reports("threads");
}
END_TEST

#define ALIVE 150

typedef struct faulty {
    pthread_t thread;
    pthread_barrier_t *barrier;
    uint32_t ticket;
    cti_fault got;
    ct_status status[2];
} faulty;

static void *find_own_fault(void *context)
{
    const cti_backend *be = cti_backend_of(device_id);
    faulty *f = context;

    make_fault(be, f->ticket);
    pthread_barrier_wait(f->barrier);
    f->status[0] = be->async->synchronise(&f->got);
    f->status[1] = be->async->synchronise(&(cti_fault){ 0, 0 });
    pthread_barrier_wait(f->barrier);
    return NULL;
}

/* More threads than fault words are allocated at once, all alive. */
START_TEST(living_threads_have_faults_of_their_own)
{
    static faulty thread[ALIVE];
    cti_fault got = { 0, 0 };
    pthread_barrier_t barrier;
    uint32_t i;

    if (!device->async)
        return;
    upload_index();
    ck_assert(pthread_barrier_init(&barrier, NULL, ALIVE) == 0);
    for (i = 0; i < ALIVE; i++) {
        thread[i] = (faulty){ .barrier = &barrier, .ticket = 1000 - i };
        ck_assert(pthread_create(&thread[i].thread, NULL, find_own_fault, &thread[i]) == 0);
    }
    for (i = 0; i < ALIVE; i++) {
        ck_assert(pthread_join(thread[i].thread, NULL) == 0);
        ck_assert_msg(thread[i].status[0] == CT_ERR_INDEX && thread[i].got.ticket == 1000 - i,
                      "thread %u: %s, ticket %u", i, ct_status_name(thread[i].status[0]),
                      thread[i].got.ticket);
        ck_assert(thread[i].status[1] == CT_OK);
    }
    ck_assert(device->async->synchronise(&got) == CT_OK);
    pthread_barrier_destroy(&barrier);
    device->release(index_of_threads, 8);
    no_reports("living threads");
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
    device->upload(x, before, sizeof before); /* refused, because a replay would upload other
                                               * bytes */
    ck_assert(ct_error() == CT_ERR_DEVICE);
    ck_assert(strstr(ct_error_message(), "host") != NULL);
    ct_error_clear();
    ck_assert(device->download(after, x, sizeof after, &f) == CT_OK && !ct_ok());
    ck_assert(strstr(ct_error_message(), "read") != NULL && after[7] == 0);
    ct_error_clear();
    graph = async->capture_end();
    ck_assert_msg(graph != NULL, "%s", ct_error_message());
    ck_assert(device->download(after, x, sizeof after, &f) == CT_OK);
    ck_assert_mem_eq(after, before, sizeof before); /* recorded, but not run */
    for (k = 0; k < 3; k++)
        async->replay(graph);
    async->graph_free(graph); /* the graph may still be running */
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

/* Calls with a size of 0 launch nothing. */
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

/* An error of a kernel is reported by the next call of any function, also by allocate, although
 * allocate raises no error if only memory runs out (the pool may free some). */
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

/* Finds the emulator's functions, if the device is emulated. */
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

/* Opens the device before each test, because Check runs each test in a separate process. */
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
    device->gemm(&one); /* after this, cuBLAS has its workspace */
    finish(&r);
}

void add(Suite *suite, const char *name, const TTest *test, int count)
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
    /* CUDA cannot be used after a fork. The emulated GPU can, but also runs without forks unless
     * CK_FORK is set, as in tests/checked.sh, where no case may depend on earlier ones. */
    setenv("CK_FORK", "no",
           name && strncmp(name, "cuda", 4) == 0 && strncmp(name, "cuda-emu", 8) != 0);
    if (ct_device_count(name && strcmp(name, "cpu") != 0 ? name : "cuda-emu") == 0) {
        printf("no GPU, and no emulated one: skipped\n");
        return 77;
    }
    suite = suite_create("cuda kernels");
    add(suite, "no empty slot", no_empty_slot, 1);
    add(suite, "uploads", uploads, 6);
    add(suite, "threads", threads_have_faults_of_their_own, 1);
    add(suite, "living threads", living_threads_have_faults_of_their_own, 1);
    add(suite, "captured", captured_work, 1);
    add(suite, "nothing", nothing_is_launched_for_nothing, 1);
    add(suite, "broken", a_broken_device_says_so, 1);
    add(suite, "version", another_version_is_refused, 1);
    cuda_kernels_elementwise_cases(suite);
    cuda_kernels_reduce_cases(suite);
    cuda_kernels_index_cases(suite);
    cuda_kernels_scan_cases(suite);
    cuda_kernels_random_cases(suite);
    cuda_kernels_gemm_cases(suite);
    cuda_kernels_optim_cases(suite);
    cuda_kernels_costs_cases(suite);
    harness_pooled = true;
    return harness_run(suite);
}
