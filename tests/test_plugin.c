/* test_plugin.c - plug-ins, good and bad, by name; and the faults of an asynchronous device. The
 * plug-in is here: the program's own dlopen and dlsym give it (see Makefile.am), its kernels are
 * the CPU's. */
#include "tests/cases.h"
#include "tests/files.h"
#include "tests/harness.h"

#include "tensor/hooks.h"
#include "tensor/internal.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cotangent.h>

/* ---- the plug-in ---- */

static const cti_host *host;
static cti_plugin given; /* what it gives */
static cti_backend table;
static bool opens = true, exports = true, starts = true;
static const char *loader_says;
static int opened, selected, synchronised, uploads, downloads;
static char opened_path[4200];
static cti_fault fault;       /* of the next wait, */
static ct_status fault_found; /* if it is not CT_OK */

static void note_ordinal(int ordinal)
{
    selected = ordinal;
}

static ct_status wait_for_it(cti_fault *f)
{
    ct_status status = fault_found;

    ck_assert(f->ticket == 0 && f->position == 0);
    synchronised++;
    if (status != CT_OK)
        *f = fault;
    fault_found = CT_OK;
    return status;
}

static void upload(void *to, const void *from, size_t bytes)
{
    uploads++;
    memcpy(to, from, bytes);
}

static ct_status download(void *to, const void *from, size_t bytes, cti_fault *f)
{
    downloads++;
    memcpy(to, from, bytes);
    return wait_for_it(f);
}

static void count_things(cti_counters *c)
{
    *c = (cti_counters){ 1, 2, 3, 4, 5, 6, 7 };
}

/* Of captured steps: a graph is a number; what is replayed is looked at by the tests. */
static bool captures = true; /* else it fails */
static int begun, ended, replayed, freed, graphs[8];
static cti_position drawn[16]; /* where draws began */
static int draws;
static void *replayed_graph;
static int selected_of_async; /* the device that was selected when one of these was called */

static bool begin_capture(void)
{
    selected_of_async = selected;
    begun++;
    if (!captures)
        host->raise(CT_ERR_DEVICE, "plugin", "no capture today");
    return captures;
}

static void *end_capture(void)
{
    ck_assert_int_eq(selected, selected_of_async);
    return &graphs[ended++ % 8];
}

static void replay(void *graph)
{
    selected_of_async = selected;
    replayed++;
    replayed_graph = graph;
}

static void graph_free(void *graph)
{
    ck_assert(graph >= (void *)graphs && graph < (void *)(graphs + 8));
    selected_of_async = selected;
    freed++;
}

static void note_draw(const cti_draw_args *a)
{
    ck_assert(draws < 16);
    drawn[draws++] = a->from;
    cti_cpu_backend.uniform(a);
}

static const cti_async async = { .synchronise = wait_for_it,
                                 .counters = count_things,
                                 .capture_begin = begin_capture,
                                 .capture_end = end_capture,
                                 .replay = replay,
                                 .graph_free = graph_free };

static bool start(const cti_host *h, cti_plugin *plugin)
{
    ck_assert(!plugin->version && !plugin->size && !plugin->devices && !plugin->backend);
    host = h;
    *plugin = given;
    return starts;
}

/* A good one. */
static void plugin_setup(void)
{
    table = cti_cpu_backend;
    table.async = &async;
    table.select = note_ordinal;
    table.upload = upload;
    table.download = download;
    table.uniform = note_draw;
    given = (cti_plugin){ CTI_BACKEND_VERSION, sizeof given, 1, "the reason", &table };
    write_bytes("cuda.so", "", 0);
    write_bytes("cuda-emu.so", "", 0);
    setenv("COTANGENT_PLUGIN_DIR", ".", 1);
}

void *__real_dlopen(const char *path, int flags);
void *__wrap_dlopen(const char *path, int flags);
void *__real_dlsym(void *module, const char *symbol);
void *__wrap_dlsym(void *module, const char *symbol);
char *__wrap_dlerror(void);

void *__wrap_dlopen(const char *path, int flags)
{
    if (!path || !strstr(path, "cuda"))
        return __real_dlopen(path, flags);
    opened++;
    snprintf(opened_path, sizeof opened_path, "%s", path);
    return opens ? &given : NULL;
}

void *__wrap_dlsym(void *module, const char *symbol)
{
    cti_plugin_open_function function = start;
    void *found = NULL;

    if (module != &given)
        return __real_dlsym(module, symbol);
    if (exports && strcmp(symbol, CTI_PLUGIN_SYMBOL) == 0)
        memcpy(&found, &function, sizeof found);
    return found;
}

char *__wrap_dlerror(void)
{
    return (char *)loader_says;
}

/* ---- plug-ins that are refused ---- */

static void refuse_to_open(void)
{
    opens = false;
    loader_says = "no ELF file";
}

static void export_nothing(void)
{
    exports = false;
}

static void not_start(void)
{
    starts = false;
}

static void other_version(void)
{
    given.version++;
}

static void other_size(void)
{
    given.size++;
}

static void no_devices(void)
{
    given.devices = 0;
}

static void no_table(void)
{
    given.backend = NULL;
}

static void table_version(void)
{
    table.version++;
}

static void table_size(void)
{
    table.size--;
}

static void no_first_kernel(void)
{
    table.select = NULL;
}

static void no_last_kernel(void)
{
    table.update = NULL;
}

static const struct bad_plugin {
    void (*make)(void);
    const char *word;
} bad_plugins[] = {
    { refuse_to_open, "no ELF file" },
    { export_nothing, "exports nothing" },
    { not_start, "plug-in is ... another version" },
    { other_version, "plug-in is ... another version" },
    { other_size, "plug-in is ... another version" },
    { no_devices, "reason" },
    { no_table, "table ... another version" },
    { table_version, "table ... another version" },
    { table_size, "table ... another version" },
    { no_first_kernel, "no kernel select" },
    { no_last_kernel, "no kernel update" },
};

START_TEST(refused)
{
    const struct bad_plugin *c = &bad_plugins[_i];
    int k;

    c->make();
    for (k = 0; k < 3; k++) { /* it is looked at once */
        ck_assert_int_eq(ct_device_from_name("cuda-emu"), -1);
        expect_error(CT_ERR_DEVICE, "ct_device_from_name", c->word);
        ck_assert_int_eq(ct_device_count("cuda-emu"), 0);
    }
    ck_assert_int_eq(opened, 1);
    ck_assert_str_eq(opened_path, "./cuda-emu.so");
    ck_assert_ptr_null(cti_backend_of(1));
    ck_assert_str_eq(ct_device_name(1), "?");
}
END_TEST

/* ---- where they are looked for ---- */

START_TEST(places)
{
    int i;

    /* no file in the folder, or no folder said: the one of the installation */
    for (i = 0; i < 2; i++) {
        remove(i ? "cuda.so" : "cuda-emu.so");
        setenv("COTANGENT_PLUGIN_DIR", i ? "" : ".", 1);
        if (access(i ? CT_PLUGIN_DIR "/cuda.so" : CT_PLUGIN_DIR "/cuda-emu.so", F_OK) == 0) {
            printf("places: skipped, since a plug-in is installed\n");
            continue;
        }
        ck_assert_int_eq(ct_device_from_name(i ? "cuda" : "cuda-emu"), -1);
        expect_error(CT_ERR_DEVICE, "ct_device_from_name",
                     i ? "no CUDA device ... " CT_PLUGIN_DIR "/cuda.so"
                       : "no emulated CUDA device ... " CT_PLUGIN_DIR "/cuda-emu.so");
        ck_assert_int_eq(opened, 0);
    }
}
END_TEST

START_TEST(long_place)
{
    char *place = malloc(5001);

    memset(place, 'x', 5000);
    place[5000] = '\0';
    setenv("COTANGENT_PLUGIN_DIR", place, 1);
    ck_assert_int_eq(ct_device_count("cuda"), 0); /* and the usual place has none */
    ck_assert_int_eq(opened, 0);
    free(place);
}
END_TEST

/* ---- names and numbers ---- */

START_TEST(names)
{
    static const char *const none[] = { "",          "cud",     "cudax",        "cuda:",   "cuda:x",
                                        "cuda:1x",   "cuda:-1", "cuda:1234567", "cpu:0",   "CUDA",
                                        "cuda-emu:", ":0",      "auto:1",       "cuda-em", NULL };
    char word[50];
    int i;

    for (i = 0; i < LENGTH(none); i++) {
        snprintf(word, sizeof word, "no device \"%s\"", none[i] ? none[i] : "(null)");
        ck_assert_int_eq(ct_device_from_name(none[i]), -1);
        expect_error(CT_ERR_DEVICE, "ct_device_from_name", word);
        ck_assert_int_eq(ct_device_count(none[i]), 0);
    }
    ck_assert_int_eq(opened, 0);
    ck_assert_int_eq(ct_device_from_name("cpu"), CT_CPU);
    ck_assert_int_eq(ct_device_count("cpu"), 1);

    given.devices = 3;
    ck_assert_int_eq(ct_device_from_name("cuda-emu:2"), 3);
    ck_assert_int_eq(ct_device_from_name("cuda-emu"), 1);
    ck_assert_int_eq(ct_device_from_name("cuda-emu:0"), 1);
    ck_assert_int_eq(ct_device_from_name("cuda-emu:000001"), 2);
    ck_assert_int_eq(ct_device_from_name("cuda-emu:3"), -1);
    expect_error(CT_ERR_DEVICE, "ct_device_from_name", "device 3");
    ck_assert_int_eq(ct_device_count("cuda-emu"), 3);
    ck_assert_int_eq(opened, 1);
    given.devices = 1; /* the other kind's come behind */
    ck_assert_int_eq(ct_device_from_name("cuda"), 4);
    ck_assert_int_eq(ct_device_from_name("cuda:1"), -1);
    expect_error(CT_ERR_DEVICE, "ct_device_from_name", "device 1");
    ck_assert_int_eq(ct_device_count("cuda"), 1);
    ck_assert_str_eq(ct_device_name(0), "cpu");
    ck_assert_str_eq(ct_device_name(1), "cuda-emu");
    ck_assert_str_eq(ct_device_name(2), "cuda-emu:1");
    ck_assert_str_eq(ct_device_name(3), "cuda-emu:2");
    ck_assert_str_eq(ct_device_name(4), "cuda");
    ck_assert_str_eq(ct_device_name(5), "?");
    ck_assert_str_eq(ct_device_name(-1), "?");
    for (i = 1; i < 5; i++) {
        ck_assert_ptr_eq(cti_backend_of(i), &table);
        ck_assert_int_eq(selected, i < 4 ? i - 1 : 0);
    }
    ck_assert_ptr_eq(cti_backend_of(0), &cti_cpu_backend);
    ck_assert_ptr_null(cti_backend_of(5));
    ck_assert_ptr_null(cti_backend_of(-1));
}
END_TEST

/* As many as there is room for, the CPU among them. */
START_TEST(many)
{
    given.devices = 100;
    ck_assert_int_eq(ct_device_count("cuda"), CTI_DEVICES - 1);
    ck_assert_int_eq(ct_device_from_name("cuda:30"), CTI_DEVICES - 1);
    ck_assert_str_eq(ct_device_name(CTI_DEVICES - 1), "cuda:30");
    ck_assert_str_eq(ct_device_name(CTI_DEVICES), "?");
    ck_assert_int_eq(ct_device_count("cuda-emu"), 0);
    ck_assert_ptr_eq(cti_backend_of(CTI_DEVICES - 1), &table);
    ck_assert_int_eq(selected, CTI_DEVICES - 2);
    ck_assert_ptr_null(cti_backend_of(CTI_DEVICES));
}
END_TEST

/* What ct_try_gpu says on stderr; *d is what it gives. */
static const char *said(int i, const char *name, ct_device *d)
{
    static char text[400];
    int kept = dup(STDERR_FILENO);
    char *bytes;
    size_t n;

    ck_assert_ptr_nonnull(freopen("said", "w", stderr));
    *d = name ? ct_device_from_name(name) : ct_try_gpu(i);
    fflush(stderr);
    dup2(kept, STDERR_FILENO);
    close(kept);
    bytes = read_bytes("said", &n);
    snprintf(text, sizeof text, "%.*s", (int)n, bytes);
    free(bytes);
    return text;
}

START_TEST(try_gpu)
{
    ct_device d;

    given.devices = 2;
    ck_assert_str_eq(said(1, NULL, &d), "");
    ck_assert_int_eq(d, 2);
    ck_assert_str_eq(said(-1, NULL, &d), "");
    ck_assert_int_eq(d, 1);
    ck_assert_str_eq(said(0, "auto", &d), "");
    ck_assert_int_eq(d, 1);
    ck_assert_str_eq(said(2, NULL, &d), "no CUDA device 2: there are 2; using the CPU\n");
    ck_assert_int_eq(d, CT_CPU);
    expect_ok();
}
END_TEST

START_TEST(try_no_gpu)
{
    ct_device d;

    given.devices = 0;
    ck_assert_str_eq(said(0, NULL, &d), "no CUDA device: the reason; using the CPU\n");
    ck_assert_int_eq(d, CT_CPU);
    ck_assert_str_eq(said(0, "auto", &d), "no CUDA device: the reason; using the CPU\n");
    ck_assert_int_eq(d, CT_CPU);
    expect_ok();
}
END_TEST

/* ---- what the library gives a plug-in ---- */

START_TEST(host_table)
{
    char *p;
    int i;

    ck_assert_int_eq(ct_device_count("cuda"), 1);
    ck_assert_uint_eq(host->version, CTI_BACKEND_VERSION);
    ck_assert_uint_eq(host->size, sizeof *host);
    p = host->allocate(100);
    for (i = 0; i < 100; i++)
        ck_assert_int_eq(p[i], 0);
    host->release(p);
    ck_assert(host->ok());
    ck_assert(host->raise(CT_ERR_DEVICE, "plugin", "number %d", 7) == CT_ERR_DEVICE);
    ck_assert(!host->ok());
    expect_error(CT_ERR_DEVICE, "plugin", "number 7");
    fail_allocation(1);
    ck_assert_ptr_null(host->allocate(100));
    fail_nothing();
}
END_TEST

/* ---- faults ---- */

/* The next wait finds this, of a ticket and a position. */
static void let_fault(ct_status status, uint32_t ticket, int64_t position)
{
    fault = (cti_fault){ ticket, position };
    fault_found = status;
}

START_TEST(faults)
{
    static const struct {
        cti_fault_kind kind;
        int64_t limit;
        ct_status status;
        const char *word;
    } cases[] = {
        { CTI_FAULT_INDEX, 9, CT_ERR_INDEX, "index at position 5" },
        { CTI_FAULT_TARGET, 9, CT_ERR_INDEX, "target at position 5" },
        { CTI_FAULT_WEIGHTS, 9, CT_ERR_NUMERIC, "negative" },
        { CTI_FAULT_NORM, 0, CT_ERR_NUMERIC, "norm ... finite" },
        { CTI_FAULT_NORM, 9, CT_ERR_NUMERIC, "step 9" },
        { CTI_FAULT_VALUE, 0, CT_ERR_NUMERIC, "gradient" },
    };
    ct_device d = ct_device_from_name("cuda");
    double number;
    int i;

    for (i = 0; i < 6; i++) {
        cti_fault f;

        *ct_site() = "there.c:12: ct_some";
        f = cti_fault_at(d, cases[i].kind, "ct_some", cases[i].limit);
        ck_assert_uint_eq(f.ticket, i + 1);
        *ct_site() = "elsewhere.c:99: me";
        let_fault(cases[i].status, f.ticket, 5);
        if (i % 2)
            ck_assert((ct_device_synchronize)(d) == cases[i].status);
        else
            ck_assert(!cti_to_host(d, &number, &number, sizeof number));
        ck_assert_msg(strncmp(ct_error_message(), "there.c:12: ", 12) == 0, "%s",
                      ct_error_message());
        expect_error(cases[i].status, "ct_some", cases[i].word);
        (ct_raise)(CT_ERR_ARGUMENT, "it", "next"); /* the site is the call's again */
        ck_assert_str_eq(ct_error_message(), "elsewhere.c:99: me: next");
        ct_error_clear();
        *ct_site() = NULL;
    }
    ck_assert_int_eq(synchronised, 6);
    ck_assert(ct_device_synchronize(d) == CT_OK);
    ck_assert(cti_to_host(d, &number, &number, sizeof number));
    ck_assert(ct_device_synchronize(17) == CT_ERR_DEVICE);
    expect_error(CT_ERR_DEVICE, "ct_device_synchronize", "device 17");
    ck_assert(ct_device_synchronize(CT_CPU) == CT_OK);
}
END_TEST

/* Each half of the ring of tickets is waited for before it is used again; a ticket that it holds no
 * more has no name. */
START_TEST(ring_of_tickets)
{
    ct_device d = ct_device_from_name("cuda");
    uint32_t last = 0;
    int i;

    for (i = 0; i < 3; i++) {
        cti_fault f = cti_fault_at(i == 0   ? CT_CPU
                                   : i == 1 ? 17
                                            : d,
                                   CTI_FAULT_INDEX, "ct_some", 9);

        ck_assert_uint_eq(f.ticket, i == 2);
        ck_assert_int_eq(f.position, 0);
    }
    let_fault(CT_ERR_INDEX, 7, 5); /* of no ticket yet */
    ck_assert(ct_device_synchronize(d) == CT_ERR_INDEX);
    expect_error(CT_ERR_INDEX, "ct_device_synchronize", "earlier ... range");
    synchronised = 0;
    for (i = 2; i <= 5000; i++) {
        last = cti_fault_at(d, CTI_FAULT_INDEX, i % 2 ? "ct_odd" : "ct_even", i).ticket;
        ck_assert_uint_eq(last, i);
        ck_assert_int_eq(synchronised, i / 1024);
    }
    let_fault(CT_ERR_INDEX, last - 2047, 1); /* the oldest that is known */
    ck_assert(ct_device_synchronize(d) == CT_ERR_INDEX);
    expect_error(CT_ERR_INDEX, "ct_odd", "position 1");
    let_fault(CT_ERR_INDEX, last - 2048, 1);
    ck_assert(ct_device_synchronize(d) == CT_ERR_INDEX);
    expect_error(CT_ERR_INDEX, "ct_device_synchronize", "earlier ... range");
    let_fault(CT_ERR_INDEX, last, 2);
    ck_assert(ct_device_synchronize(d) == CT_ERR_INDEX);
    expect_error(CT_ERR_INDEX, "ct_even", "position 2");
}
END_TEST

START_TEST(no_ticket_without_memory)
{
    ct_device d = ct_device_from_name("cuda");

    let_fault(CT_ERR_INDEX, 7, 5); /* before any ticket */
    ck_assert(ct_device_synchronize(d) == CT_ERR_INDEX);
    expect_error(CT_ERR_INDEX, "ct_device_synchronize", "earlier ... range");
    fail_allocation(1);
    ck_assert_uint_eq(cti_fault_at(d, CTI_FAULT_INDEX, "ct_some", 9).ticket, 0);
    fail_nothing();
    ck_assert_uint_eq(cti_fault_at(d, CTI_FAULT_INDEX, "ct_some", 9).ticket, 1);
}
END_TEST

START_TEST(counters)
{
    ct_device d = ct_device_from_name("cuda");
    ct_device_stats s = ct_device_get_stats(d);

    ck_assert(s.launches == 1 && s.synchronisations == 2 && s.uploads == 3 && s.downloads == 4 &&
              s.upload_bytes == 5 && s.download_bytes == 6 && s.allocations == 7);
    s = ct_device_get_stats(CT_CPU);
    ck_assert(s.launches == 0 && s.allocations == 0);
    s = ct_device_get_stats(17);
    ck_assert(s.launches == 0 && s.allocations == 0);
}
END_TEST

/* Storages of two devices do not mix, and go back to their own pools. */
START_TEST(storages)
{
    ct_device d;
    ct_scope s = ct_scope_begin();
    ct_tensor *a, *b;
    double value[3];

    given.devices = 2;
    d = ct_device_from_name("cuda:1");
    a = ct_from_data((double[]){ 1, 2, 3 }, CT_SHAPE(3), CT_F64, d);
    b = ct_add(a, a);
    ck_assert(b && ct_tensor_device(b) == d && selected == 1);
    ck_assert(ct_to_host(b, value, sizeof value) == CT_OK && value[2] == 6);
    ck_assert(ct_add(b, ct_ones(CT_SHAPE(3), CT_F64, CT_CPU)) == NULL);
    expect_error(CT_ERR_DEVICE, "ct_add", "b ... devices");
    b = ct_to(b, CT_CPU);
    ck_assert(b && ct_item(ct_sum(b)) == 12);
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_memory_trim();
    ck_assert_uint_eq(ct_memory_get_stats().idle_bytes, 0);
}
END_TEST

/* Values go from one memory to another by one transfer, and by two where both are a device's. */
START_TEST(transfers)
{
    static const int wanted[3][3][2] = {
        /* uploads, downloads; from, to */
        { { 0, 0 }, { 1, 0 }, { 1, 0 } },
        { { 0, 1 }, { 0, 0 }, { 1, 1 } },
        { { 0, 1 }, { 1, 1 }, { 0, 0 } },
    };
    ct_device from, to;

    given.devices = 2;
    ck_assert_int_eq(ct_device_from_name("cuda:1"), 2);
    for (from = 0; from < 3; from++)
        for (to = 0; to < 3; to++) {
            ct_scope s = ct_scope_begin();
            ct_tensor *x = ct_ones(CT_SHAPE(2, 3), CT_F32, from), *y, *none;

            uploads = downloads = 0;
            y = ct_to(ct_transpose(x, 0, 1), to);
            none = ct_to(ct_narrow(x, 0, 1, 0), to);
            ck_assert_msg(uploads == wanted[from][to][0] && downloads == wanted[from][to][1],
                          "from %d to %d: %d uploads, %d downloads", from, to, uploads, downloads);
            ck_assert(y && none && ct_tensor_device(none) == to);
            uploads = downloads = 0;
            ct_memory_trim();
            if (from) {
                ck_assert_ptr_null(ct_data(x));
                ck_assert_ptr_null(ct_mutable_data(x));
                expect_error(CT_ERR_DEVICE, "ct_data",
                             from == 1 ? "cuda ... CPU" : "cuda:1 ... CPU");
            }
            ck_assert(ct_scope_end(s) == CT_OK || ct_ok());
        }
}
END_TEST

/* ---- every op on another device: the same kernels, so the same bits ---- */

static void expect_same_on(const char *what, ct_tensor *got, ct_tensor *want, ct_device d)
{
    ck_assert_msg(got && ct_tensor_device(got) == d, "%s: %s", what, ct_error_message());
    ck_assert_msg(got->dtype == want->dtype, "%s: another dtype", what);
    expect_same(what, got, want, 0);
}

/* in, on device d. */
static void move_inputs(const op_draw *o, ct_tensor *const *in, ct_device d, ct_tensor **there)
{
    int k;

    for (k = 0; k < o->count; k++) {
        if (o->in[k].same_as >= 0)
            there[k] = there[o->in[k].same_as];
        else
            there[k] = ct_to(ct_detach(in[k]), d);
        if (in[k]->requires_grad)
            ct_set_requires_grad(there[k], true);
    }
}

/* True if the error is told by the op itself, or by the one that it is a kind of. */
static bool told_by(const char *op)
{
    const char *message = ct_error_message(), *function = strstr(message, ": ct_");

    function = function ? function + 2 : message; /* an op called through a pointer has no place */
    return strncmp(op, function, strcspn(function, ":")) == 0;
}

static void check_op(const op_row *row, int number, ct_device d)
{
    op_draw o = op_draw_call(row, number, 24);
    ct_scope s = ct_scope_begin();
    ct_tensor *here[OP_INPUTS], *there[OP_INPUTS], *want, *got;
    const char *what = op_describe(row, number, &o);
    int k;

    o.strided = false; /* its copies are made on the CPU */
    op_make_inputs(&o, here);
    move_inputs(&o, here, d, there);
    want = op_call(row, &o, here);
    got = op_call(row, &o, there);
    if (got && got->device == CT_CPU && o.count == 0) { /* made of nothing */
        ck_assert(ct_scope_end(s) == CT_OK);
        return;
    }
    expect_same_on(what, got, want, d);
    if (!row->no_gradient && want->requires_grad) {
        ct_generator g = ct_generator_from_seed(5);
        ct_tensor *dy = ct_randn(want->shape, want->dtype, CT_CPU, &g);

        ck_assert_msg(ct_backward_with(want, dy) == CT_OK && got->requires_grad &&
                          ct_backward_with(got, ct_to(dy, got->device)) == CT_OK,
                      "%s: %s", what, ct_error_message());
        for (k = 0; k < o.count; k++)
            if (ct_tensor_grad(here[k]))
                expect_same_on(what, ct_tensor_grad(there[k]), ct_tensor_grad(here[k]), d);
    }
    /* and one input elsewhere is refused */
    for (k = 1; k < o.count; k++) {
        if (o.in[k].same_as >= 0 || o.in[k].unused)
            continue;
        got = there[k];
        there[k] = here[k];
        ck_assert_msg(op_call(row, &o, there) == NULL && ct_error() == CT_ERR_DEVICE &&
                          told_by(row->name),
                      "%s, input %d elsewhere: %s", what, k, ct_error_message());
        ct_error_clear();
        there[k] = got;
    }
    ck_assert_msg(ct_scope_end(s) == CT_OK, "%s: %s", what, ct_error_message());
}

START_TEST(every_op)
{
    ct_device d;
    int t, r, n;

    given.devices = 2;
    d = ct_device_from_name("cuda:1");
    for (t = 0; op_tables[t]; t++)
        for (r = 0; op_tables[t][r].name; r++)
            for (n = 0; n < harness_count(8, 60); n++)
                check_op(&op_tables[t][r], n, d);
}
END_TEST

/* A set moves as a whole, gradients and all, there and back; or not at all. */
START_TEST(sets_move)
{
    ct_scope s = ct_scope_begin();
    ct_params *set = ct_params_new((ct_params_options){ .seed = 1 }), *other;
    ct_tensor *w, *b, *frozen, *dw;
    double value[6], grad[6], now[6];
    ct_device d;
    bool done = false;
    int k, failed = 0;

    given.devices = 2;
    d = ct_device_from_name("cuda:1");
    ct_params_add(set, "w", CT_SHAPE(2, 3), ct_init_normal(0, 1));
    ct_params_add(set, "frozen", CT_SHAPE(2), ct_init_constant(4));
    ct_params_add_buffer(set, "buffer", CT_SHAPE(3), ct_init_constant(5));
    ct_params_add(set, "open", CT_SHAPE(-1), ct_init_constant(6));
    ct_params_add(set, "b", CT_SHAPE(3), ct_init_normal(0, 1));
    ct_params_freeze(set, "frozen", true);
    w = ct_param_value(ct_params_get(set, "w"));
    b = ct_param_value(ct_params_get(set, "b"));
    frozen = ct_param_value(ct_params_get(set, "frozen"));
    ck_assert(ct_backward(ct_sum(ct_square(ct_add(w, ct_mul_scalar(b, 2))))) == CT_OK);
    dw = ct_cast(w, CT_F64);
    ck_assert(ct_to_host(dw, value, sizeof value) == CT_OK);
    ck_assert(ct_to_host(ct_cast(ct_tensor_grad(w), CT_F64), grad, sizeof grad) == CT_OK);

    ck_assert(ct_params_to(set, 17) == CT_ERR_DEVICE);
    expect_error(CT_ERR_DEVICE, "ct_params_to", "device 17");
    for (k = 1; !done; k++) { /* all or nothing */
        ct_status got;
        ct_device now;

        fail_allocations_from(k);
        got = ct_params_to(set, d);
        done = allocations_seen < k;
        fail_nothing();
        now = got == CT_OK ? d : CT_CPU;
        failed += got != CT_OK;
        ck_assert(got == CT_OK || got == CT_ERR_MEMORY);
        ct_error_clear();
        ck_assert(ct_params_device(set) == now && w->device == now && b->device == now &&
                  ct_tensor_grad(w)->device == now && ct_tensor_grad(b)->device == now);
        ck_assert(done || ct_params_to(set, CT_CPU) == CT_OK);
    }
    ck_assert_int_gt(failed, 6);
    ck_assert(ct_params_device(set) == d && w->device == d && b->device == d &&
              frozen->device == d && ct_tensor_grad(w)->device == d &&
              ct_tensor_grad(b)->device == d);
    ck_assert(ct_params_to(set, d) == CT_OK);
    ck_assert(ct_to_host(ct_cast(w, CT_F64), now, sizeof now) == CT_OK);
    ck_assert_mem_eq(now, value, sizeof value);
    ck_assert(ct_to_host(ct_cast(ct_tensor_grad(w), CT_F64), now, sizeof now) == CT_OK);
    ck_assert_mem_eq(now, grad, sizeof grad);
    ck_assert(ct_param_materialize(ct_params_get(set, "open"), CT_SHAPE(2)) == CT_OK);
    ck_assert(ct_param_value(ct_params_get(set, "open"))->device == d);
    ck_assert(ct_backward(ct_sum(ct_mul(ct_transpose(w, 0, 1), frozen))) == CT_OK);
    ck_assert(ct_params_to(ct_params_sub(set, "part"), CT_CPU) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_params_to", "moved");
    ck_assert(ct_params_to(set, CT_CPU) == CT_OK);
    ck_assert(w->device == CT_CPU && ct_tensor_grad(w)->device == CT_CPU);
    expect_close("gradient", ct_item(ct_select(ct_select(ct_tensor_grad(w), 0, 1), 0, 2)),
                 (double)((float)grad[5] + 4), 1e-6);
    b = ct_sum(ct_square(w)); /* open history finds the values changed */
    ck_assert(ct_params_to(set, d) == CT_OK);
    ck_assert(ct_backward(b) == CT_ERR_GRAD);
    expect_error(CT_ERR_GRAD, "ct_square", "modified");
    ck_assert(ct_params_to(set, CT_CPU) == CT_OK);
    other = ct_params_new((ct_params_options){ .seed = 1, .device = d });
    ct_params_add(other, "w", CT_SHAPE(2, 3), ct_init_normal(0, 1));
    ck_assert(ct_params_device(other) == d);
    ck_assert(ct_param_value(ct_params_get(other, "w"))->device == d);
    ct_params_free(other);
    ct_params_free(set);
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* A backward function or a hook that answers with a gradient of another device. */
static ct_tensor *carry_off(ct_tensor *gradient, void *context)
{
    (void)context;
    return ct_to(gradient, CT_CPU);
}

START_TEST(hooks_stay)
{
    ct_device d = ct_device_from_name("cuda");
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_set_requires_grad(ct_ones(CT_SHAPE(2), CT_F64, d), true), *y = ct_square(x);

    ct_register_hook(y, carry_off, NULL);
    ck_assert(ct_backward(ct_sum(y)) == CT_ERR_SHAPE);
    expect_error(CT_ERR_SHAPE, "ct_square", "returned");
    ck_assert(ct_scope_end(s) == CT_OK);
}
END_TEST

/* ---- from device to device, to files and back ---- */

/* Ways to x's values on device d; NULL with an error. */
static ct_tensor *move_it(ct_tensor *x, ct_device d)
{
    return (ct_to)(x, d);
}

static ct_tensor *by_npy(ct_tensor *x, ct_device d)
{
    return ct_npy_write("x.npy", x) == CT_OK ? ct_npy_read("x.npy", d) : NULL;
}

static ct_tensor *by_safetensors(ct_tensor *x, ct_device d)
{
    ct_safetensors *f;
    ct_tensor *y = NULL;

    if (ct_safetensors_write("x", 1, (const char *const[]){ "x" }, &x, NULL) == CT_OK) {
        f = ct_safetensors_open("x");
        y = f ? ct_safetensors_load(f, 0, d) : NULL;
        ct_safetensors_close(f);
    }
    return y;
}

static ct_tensor *by_state(ct_tensor *x, ct_device d)
{
    ct_tensor *two[2] = { x, x };
    ct_state *s = ct_state_to(ct_state_from_tensors(2, two), d);

    if (!s)
        return NULL;
    ck_assert_int_eq(ct_state_count(s), 2);
    return ct_state_get(s, 1);
}

static ct_tensor *with_gradient(ct_tensor *x, ct_device d)
{
    ct_tensor *leaf = ct_set_requires_grad(ct_clone(x), true), *y = ct_to(leaf, d), *g;

    if (!y || ct_backward_with(y, ct_mul_scalar(ct_detach(y), 2)) != CT_OK)
        return NULL;
    g = ct_tensor_grad(leaf);
    ck_assert(!g || ct_tensor_device(g) == ct_tensor_device(x));
    return ct_to(ct_mul_scalar(g, 0.5), d);
}

static const struct way {
    const char *name;
    ct_tensor *(*go)(ct_tensor *x, ct_device d);
    bool floats;
} ways[] = {
    { "ct_to", move_it, false },         { "NPY", by_npy, false },
    { "a state", by_state, false },      { "safetensors", by_safetensors, false },
    { "backward", with_gradient, true },
};

static void expect_moved(const struct way *w, ct_tensor *y, ct_device d, const double *want)
{
    double *v;
    int i;

    ck_assert_msg(y && ct_tensor_device(y) == d, "%s: %s", w->name, ct_error_message());
    v = values_of(ct_cast(ct_to(y, CT_CPU), CT_F64));
    for (i = 0; i < 6; i++)
        expect_close(w->name, v[i], want[i], 0);
    free(v);
}

/* Of each kind of tensor, strided ones too, between any two of three devices; and with each call
 * for memory failing in its turn, and a fault found on the way. */
START_TEST(goes_anywhere)
{
    static const double values[6] = { 1, 0, 0, 1, 1, 0 }, turned[6] = { 1, 1, 0, 1, 0, 0 };
    static const ct_dtype dtypes[] = { CT_F32, CT_BOOL, CT_I64 };
    const struct way *w = &ways[_i];
    ct_device from, to;
    size_t k;

    given.devices = 2;
    ck_assert_int_eq(ct_device_from_name("cuda:1"), 2);
    for (from = 0; from < 3; from++)
        for (to = 0; to < 3; to++)
            for (k = 0; k < (w->floats ? 1 : 3); k++) {
                ct_scope s = ct_scope_begin();
                ct_tensor *x, *y;
                bool done = k != 0 || from == to || from + to == 2;
                int fail;

                x = ct_to(ct_cast(ct_from_data(values, CT_SHAPE(2, 3), CT_F64, CT_CPU), dtypes[k]),
                          from);
                expect_moved(w, w->go(x, to), to, values);
                expect_moved(w, w->go(ct_transpose(x, 0, 1), to), to, turned);
                y = w->floats ? NULL : w->go(ct_narrow(x, 0, 0, 0), to);
                ck_assert_msg(w->floats || (y && ct_numel(y) == 0 && ct_tensor_device(y) == to),
                              "%s", ct_error_message());
                for (fail = 1; !done; fail++) {
                    fail_allocation(fail);
                    y = w->go(ct_transpose(x, 0, 1), to);
                    done = allocations_seen < fail;
                    fail_nothing();
                    ck_assert_msg(y ? ct_ok() : ct_error() == CT_ERR_MEMORY, "%s, failure %d: %s",
                                  w->name, fail, ct_error_message());
                    ct_error_clear();
                    if (y)
                        expect_moved(w, y, to, turned);
                }
                ck_assert_msg(ct_scope_end(s) == CT_OK || ct_ok(), "%s", ct_error_message());
            }
    if (w->go == move_it || w->go == by_npy)
        for (from = 1; from < 3; from++) {
            ct_scope s = ct_scope_begin();
            ct_tensor *x = ct_ones(CT_SHAPE(2), CT_F32, from);
            cti_fault f = cti_fault_at(from, CTI_FAULT_INDEX, "ct_some", 9);

            let_fault(CT_ERR_INDEX, f.ticket, 5);
            ck_assert_ptr_null(w->go(x, from == 1 ? 2 : CT_CPU));
            expect_error(CT_ERR_INDEX, "ct_some", "index at position 5");
            ck_assert(ct_scope_end(s) == CT_OK || ct_ok());
        }
}
END_TEST

START_TEST(printed)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    ct_device d = ct_device_from_name("cuda");
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_ones(CT_SHAPE(2), CT_F32, d);

    ct_print(x, f);
    let_fault(CT_ERR_INDEX, 7, 5);
    ct_print(x, f);
    expect_error(CT_ERR_INDEX, "ct_print", "earlier ... range");
    fail_allocation(1);
    ct_print(x, f);
    fail_nothing();
    ck_assert_int_eq(ct_error(), CT_ERR_MEMORY);
    ct_error_clear();
    fclose(f);
    ck_assert_str_eq(text, "f32[2] cuda [1, 1]\nf32[2] cuda\nf32[2] cuda\n");
    free(text);
    ck_assert(ct_scope_end(s) == CT_OK || ct_ok());

    given.devices = 3; /* the emulated ones */
    f = open_memstream(&text, &size);
    ct_build_print(f);
    fclose(f);
    ck_assert_ptr_nonnull(strstr(text, "\ndevices: cpu cuda cuda-emu cuda-emu:1 cuda-emu:2\n"));
    free(text);
}
END_TEST

/* What modules and losses are given is on one device. */
START_TEST(modules_on_one_device)
{
    ct_device d = ct_device_from_name("cuda");
    ct_params *set = ct_params_new((ct_params_options){ .device = d });
    ct_recurrent *r = ct_nn_lstm(set, "r", (ct_nn_lstm_options){ .hidden_size = 2 });
    ct_scope s = ct_scope_begin();
    ct_tensor *x = ct_ones(CT_SHAPE(2, 3), CT_F32, d), *y = ct_ones(CT_SHAPE(2), CT_I64, d);
    ct_tensor *there = ct_zeros(CT_SHAPE(1, 1, 2), CT_F32, d), *row = ct_unsqueeze(x, 1);
    ct_tensor *here = ct_zeros(CT_SHAPE(1, 1, 2), CT_F32, CT_CPU), *both[2] = { there, here };
    ct_tensor *x_here = ct_ones(CT_SHAPE(2, 3), CT_F32, CT_CPU), *w = ct_select(x_here, 0, 0);
    ct_cross_entropy_options weight = { .weight = w };

    ck_assert_ptr_nonnull(ct_recurrent_forward(r, row, NULL, NULL));
    REFUSED(CT_ERR_DEVICE, "ct_recurrent_forward", "state ... devices",
            ct_recurrent_forward(r, row, ct_state_from_tensors(2, both), NULL));
    REFUSED(CT_ERR_DEVICE, "ct_cross_entropy", "targets ... devices", ct_cross_entropy(x_here, y));
    REFUSED(CT_ERR_DEVICE, "ct_cross_entropy", "targets ... devices", ct_cross_entropy(x, x_here));
    REFUSED(CT_ERR_DEVICE, "ct_cross_entropy_with", "weight ... devices",
            ct_cross_entropy_with(x, y, weight));
    REFUSED(CT_ERR_DEVICE, "ct_nll_loss", "weight ... devices", ct_nll_loss(x, y, weight));
    REFUSED(CT_ERR_DEVICE, "ct_mse_loss", "target ... devices",
            ct_mse_loss(x, x_here, CT_REDUCTION_MEAN));
    REFUSED(CT_ERR_DEVICE, "ct_bce_with_logits", "pos_weight ... devices",
            ct_bce_with_logits(x, x, (ct_bce_options){ .pos_weight = w }));
    ck_assert(ct_scope_end(s) == CT_OK);
    ct_params_free(set);
}
END_TEST

/* A tensor of a device goes by way of the host into a file and back, unless a request for memory
 * fails: it alone (0), or with all after it (1). */
START_TEST(files_without_memory)
{
    int k, done = 0;

    for (k = 1; !done; k++) {
        ct_scope s = ct_scope_begin();
        ct_tensor *x = ct_full(CT_SHAPE(3), 2, CT_F32, ct_device_from_name("cuda")), *y = NULL;
        ct_safetensors *f = NULL;
        const char *name = "a";

        ct_memory_trim();
        (_i ? fail_allocations_from : fail_allocation)(k);
        if (ct_npy_write("x", x) == CT_OK)
            y = ct_npy_read("x", ct_tensor_device(x));
        ck_assert((y != NULL) == (ct_ok() != 0));
        if (y && ct_safetensors_write("y", 1, &name, &y, NULL) == CT_OK)
            f = ct_safetensors_open("y");
        y = f ? ct_safetensors_load(f, 0, ct_tensor_device(x)) : NULL;
        done = allocations_seen < k;
        fail_nothing();
        ck_assert((y != NULL) == (ct_ok() != 0) && (!_i || done == (ct_ok() != 0)));
        ck_assert_msg(y || ct_error() == CT_ERR_MEMORY, "request %d: %s", k, ct_error_message());
        if (y)
            expect_values("y", y, (double[]){ 2, 2, 2 }, 3, 0);
        ct_safetensors_close(f);
        ct_error_clear();
        ck_assert(ct_scope_end(s) == CT_OK);
    }
    ck_assert_int_gt(k, 15);
}
END_TEST

/* ---- captured steps ---- */

enum misdeed {
    NOTHING,
    READ,
    READ_ELSEWHERE,
    SEND,
    SEND_TENSOR,
    TRIM,
    WAIT,
    KEEP,
    GROW,
    NEST,
    FREE,
    RAISE,
    ASK_MORE,
    RENEWS_NOT,
    NO_CAPTURE
};

typedef struct noted_step {
    ct_device device;
    ct_capture *self;
    int calls, renewed;
    enum misdeed misdeed;
    int at; /* the call of this number misbehaves */
    ct_tensor *kept;
    const double *area[3]; /* what the last call was given */
    cti_fault fault[3];
    void *data[2];
} noted_step;

static bool renew_two(void *context, double *numbers)
{
    noted_step *s = *(noted_step **)context;

    s->renewed++;
    numbers[0] = s->renewed;
    numbers[1] = -s->renewed;
    if (s->misdeed == RENEWS_NOT)
        ct_raise(CT_ERR_ARGUMENT, "renew", "not again");
    return s->misdeed != RENEWS_NOT;
}

static bool renew_one(void *context, double *numbers)
{
    numbers[0] = *(double *)context += 10;
    return true;
}

static bool renew_none(void *context, double *numbers)
{
    (void)numbers;
    (*(noted_step **)context)->renewed += 100;
    return true;
}

static void misbehave(noted_step *s, ct_tensor *x)
{
    static const float two[2] = { 1, 2 };
    double hundred = 100;
    float got[40];

    if (s->misdeed == READ)
        ck_assert((ct_to_host)(x, got, sizeof got) == CT_OK || !ct_ok());
    if (s->misdeed == READ_ELSEWHERE)
        ck_assert(ct_item(ct_sum(ct_from_data(two, CT_SHAPE(2), CT_F32, CT_CPU))) == 3);
    if (s->misdeed == SEND)
        ct_from_data(two, CT_SHAPE(2), CT_F32, s->device);
    if (s->misdeed == SEND_TENSOR)
        (ct_to)(ct_ones(CT_SHAPE(2), CT_F32, CT_CPU), s->device);
    if (s->misdeed == TRIM) {
        ct_scope inner = ct_scope_begin();

        ct_zeros(CT_SHAPE(100), CT_F32, s->device);
        ck_assert(ct_scope_end(inner) == CT_OK || !ct_ok());
        ct_memory_trim(); /* not of the step's memory */
        ct_zeros(CT_SHAPE(100), CT_F32, s->device);
    }
    if (s->misdeed == WAIT)
        (ct_device_synchronize)(s->device);
    if (s->misdeed == KEEP)
        s->kept = ct_keep(x);
    if (s->misdeed == GROW)
        ct_zeros(CT_SHAPE(1000), CT_F32, s->device);
    if (s->misdeed == NEST)
        (ct_capture_run)(s->self);
    if (s->misdeed == FREE)
        ct_capture_free(s->self);
    if (s->misdeed == RAISE)
        ct_raise(CT_ERR_ARGUMENT, "step", "enough");
    if (s->misdeed == ASK_MORE)
        cti_capture_numbers(1, renew_one, &hundred, sizeof hundred);
}

static void step(void *context)
{
    noted_step *s = context;
    double hundred = 100;
    const char *outer;
    ct_tensor *x = ct_zeros(CT_SHAPE(40), CT_F32, s->device);
    ct_tensor *y = ct_zeros(CT_SHAPE(70), CT_F64, s->device);

    s->data[0] = x ? x->storage->data : NULL;
    s->data[1] = y ? y->storage->data : NULL;
    s->area[0] = cti_capture_numbers(2, renew_two, &s, sizeof s);
    s->area[1] = cti_capture_numbers(0, renew_none, &s, sizeof s);
    s->area[2] = cti_capture_numbers(1, renew_one, &hundred, sizeof hundred);
    outer = *ct_site();
    *ct_site() = "first.c:1: ct_first";
    s->fault[0] = cti_fault_at(s->device, CTI_FAULT_INDEX, "ct_first", 10);
    *ct_site() = "second.c:2: ct_second";
    s->fault[1] = cti_fault_at(s->device, CTI_FAULT_TARGET, "ct_second", 20);
    *ct_site() = "third.c:3: ct_outer"; /* the user's function, not the inner one */
    s->fault[2] = cti_fault_at(s->device, CTI_FAULT_NORM, "ct_third", 0);
    *ct_site() = outer;
    if (s->calls++ == s->at)
        misbehave(s, x);
}

static noted_step step_new(void)
{
    return (noted_step){ .device = ct_device_from_name("cuda"), .at = -1 };
}

/* The first two runs are calls, the third is noted and repeated, and so are all that follow. */
START_TEST(captured)
{
    noted_step s = step_new();
    ct_capture *c;
    uint64_t asked;
    void *graph;
    int i;

    ck_assert(ct_capture_new(999, step, &s) == NULL);
    expect_error(CT_ERR_DEVICE, "ct_capture_new", "device 999");
    ck_assert(ct_capture_new(s.device, NULL, &s) == NULL);
    expect_error(CT_ERR_ARGUMENT, "ct_capture_new", "function is NULL");
    ck_assert(!ct_capture_is_ready(NULL));
    ct_capture_free(NULL);
    c = ct_capture_new(s.device, step, &s);
    for (i = 1; i <= 2; i++) {
        ck_assert(ct_capture_run(c) == CT_OK);
        ck_assert(!ct_capture_is_ready(c) && s.calls == i && s.renewed == 0);
        ck_assert(!s.area[0] && !s.area[1] && !s.area[2]);
        ck_assert_uint_eq(s.fault[0].ticket, i * 3 - 2); /* as ever */
    }
    ck_assert(begun == 0 && replayed == 0);
    asked = ct_memory_get_stats().system_allocations;
    for (i = 1; i <= 5; i++) {
        ck_assert_msg(ct_capture_run(c) == CT_OK, "%s", ct_error_message());
        ck_assert(ct_capture_is_ready(c) && s.calls == 3 && begun == 1 && ended == 1);
        ck_assert(replayed == i && replayed_graph == graphs && freed == 0);
        ck_assert_int_eq(s.renewed, i * 101);
        ck_assert(s.area[1] == s.area[0] + 2 && s.area[2] == s.area[0] + 2);
        ck_assert(!s.fault[0].position && !s.fault[1].position && !s.fault[2].position);
        expect_close("number 0", s.area[0][0], i * 101 - 100, 0);
        expect_close("number 1", s.area[0][1], 100 - i * 101, 0);
        expect_close("number 2", s.area[0][2], 100 + 10 * i, 0);
    }
    ck_assert_uint_eq(ct_memory_get_stats().system_allocations, asked);
    graph = replayed_graph;
    ct_capture_free(c);
    ck_assert(freed == 1 && graph == graphs);
}
END_TEST

/* ---- that draw ---- */

typedef struct drawing_step {
    ct_device device;
    ct_generator *g[2];
    bool draws_here, draws_less;
} drawing_step;

/* 5 and 9 words of the first, from whole blocks on: two and three; 3 of the second. */
static void draw_step(void *context)
{
    drawing_step *s = context;

    if (s->draws_here)
        ct_rand(CT_SHAPE(2), CT_F32, CT_CPU, s->g[0]);
    ct_rand(CT_SHAPE(5), CT_F32, s->device, s->g[0]);
    if (s->draws_less) {
        ct_zeros(CT_SHAPE(3), CT_F32, s->device);
        ct_zeros(CT_SHAPE(9), CT_F32, s->device);
        return;
    }
    ct_rand(CT_SHAPE(3), CT_F32, s->device, s->g[1]);
    ct_rand(CT_SHAPE(9), CT_F32, s->device, s->g[0]);
}

/* A repetition draws on from where the generators are, once: as many calls would. */
START_TEST(captured_draws)
{
    ct_generator g = { 1, 2, 6 }, h = { 3, 4, 0 };
    drawing_step s = { .device = ct_device_from_name("cuda"), .g = { &g, &h } };
    ct_capture *c = ct_capture_new(s.device, draw_step, &s);
    int i;

    for (i = 0; i < 7; i++) {
        uint64_t block = 2 + (uint64_t)i * 5; /* position 6 is in block 1 */

        if (i < 3)
            draws = 0;
        if (i == 5) { /* somebody else draws, too */
            ct_random_u32(&g);
            g.position += 39;
        }
        block += i >= 5 ? 10 : 0;
        ck_assert_msg(ct_capture_run(c) == CT_OK, "%s", ct_error_message());
        ck_assert_int_eq(draws, 3); /* the calls', or the noted ones */
        ck_assert_uint_eq(g.position, (block + 5) * 4);
        ck_assert_uint_eq(h.position, (uint64_t)(i + 1) * 4);
        ck_assert(drawn[0].seed == 1 && drawn[0].stream == 2 && drawn[1].stream == 4);
        ck_assert(drawn[2].seed == 1 && drawn[1].seed == 3);
        if (i < 2) {
            ck_assert(!drawn[0].base && drawn[0].block == block && drawn[1].block == (uint64_t)i);
            ck_assert(!drawn[2].base && drawn[2].block == block + 2 && !drawn[1].base);
        } else {
            ck_assert(drawn[0].base && drawn[0].base == drawn[2].base);
            ck_assert(drawn[1].base && drawn[1].base != drawn[0].base);
            ck_assert_uint_eq(*drawn[0].base + drawn[0].block, block);
            ck_assert_uint_eq(*drawn[2].base + drawn[2].block, block + 2);
            ck_assert_uint_eq(*drawn[1].base + drawn[1].block, (uint64_t)i);
        }
    }
    ct_capture_free(c);
}
END_TEST

/* Draws on another device are its own; one that does not draw in its rehearsal what it then does is
 * another step; and a generator that ends with the step is refused. */
START_TEST(captured_draws_refused)
{
    ct_generator g = { 1, 2, 0 }, h = { 3, 4, 0 };
    drawing_step s = { .device = ct_device_from_name("cuda"), .g = { &g, &h }, .draws_here = true };
    ct_capture *c = ct_capture_new(s.device, draw_step, &s);
    int i;

    for (i = 0; i < 3; i++)
        ck_assert(ct_capture_run(c) == CT_OK);
    ck_assert(draws == 9 && drawn[6].base && drawn[7].base && g.position == 3 * 24);
    ct_capture_free(c);

    draws = 0;
    g.position = 0;
    s = (drawing_step){ .device = s.device, .g = { &g, &h }, .draws_less = true };
    c = ct_capture_new(s.device, draw_step, &s);
    for (i = 0; i < 2; i++)
        ck_assert(ct_capture_run(c) == CT_OK);
    s.draws_less = false;
    ck_assert(ct_capture_run(c) == CT_ERR_DEVICE);
    expect_error(CT_ERR_DEVICE, "ct_rand", "before");
    ck_assert_uint_eq(g.position, 4 * 4); /* where it was before */
    ct_capture_free(c);
}
END_TEST

static void draw_from_a_local(void *context)
{
    drawing_step *s = context;
    ct_generator g = ct_generator_from_seed(1);

    ct_rand(CT_SHAPE(2), CT_F32, s->device, &g);
}

START_TEST(captured_draws_of_its_own)
{
    drawing_step s = { .device = ct_device_from_name("cuda") };
    ct_capture *c = ct_capture_new(s.device, draw_from_a_local, &s);
    int i;

    for (i = 0; i < 2; i++)
        ck_assert(ct_capture_run(c) == CT_OK);
#ifndef __SANITIZE_ADDRESS__ /* whose variables may not be on the stack */
    ck_assert(ct_capture_run(c) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_rand", "generator");
#endif
    ct_capture_free(c);
}
END_TEST

/* Buffers of a step are its own, and come back to it. */
START_TEST(captured_memory)
{
    noted_step s = step_new();
    ct_capture *c = ct_capture_new(s.device, step, &s);
    ct_tensor *t;
    void *data[2];
    ct_scope scope;
    size_t live;
    int i;

    for (i = 0; i < 3; i++) {
        ck_assert(ct_capture_run(c) == CT_OK);
        if (i == 1)
            memcpy(data, s.data, sizeof data);
    }
    ck_assert(s.data[0] == data[0] && s.data[1] == data[1] && data[0] != data[1]);
    ct_memory_trim(); /* not the step's */
    scope = ct_scope_begin();
    live = ct_memory_get_stats().live_bytes;
    for (i = 0; i < 50; i++) { /* nobody else gets them */
        t = ct_zeros(CT_SHAPE(i % 2 ? 40 : 80), CT_F32, s.device);
        ck_assert(t->storage->data != data[0] && t->storage->data != data[1]);
    }
    ck_assert_uint_gt(ct_memory_get_stats().live_bytes, live);
    ck_assert(ct_scope_end(scope) == CT_OK);
    ck_assert_uint_eq(ct_memory_get_stats().live_bytes, live);
    ct_capture_free(c);
    ct_memory_trim();
    ck_assert_uint_eq(ct_memory_get_stats().idle_bytes, 0);
}
END_TEST

/* What outlives its step's memory is the thread's to free, or another's. */
static void *free_elsewhere(void *kept)
{
    ct_free(kept);
    return NULL;
}

START_TEST(captured_outlived)
{
    noted_step s = step_new();
    ct_capture *c = ct_capture_new(s.device, step, &s);
    float got[40];

    s.misdeed = KEEP;
    s.at = _i ? 1 : 2;
    while (ct_capture_run(c) == CT_OK)
        ;
    expect_error(CT_ERR_SCOPE, "ct_capture_run", "160 bytes");
    ct_capture_free(c);
    ck_assert((ct_to_host)(s.kept, got, sizeof got) == CT_OK && got[0] == 0 && got[39] == 0);
    if (_i) {
        harness_on_thread(free_elsewhere, s.kept);
    } else {
        ct_free(s.kept);
    }
    ct_memory_trim();
    ck_assert_uint_eq(ct_memory_get_stats().idle_bytes, 0);
}
END_TEST

/* A step without numbers has no area, and asks for nothing. */
static void plain_step(void *made)
{
    ct_tensor *x = ct_zeros(CT_SHAPE(40), CT_F32, *(ct_device *)made);

    ck_assert(x || !ct_ok());
}

START_TEST(captured_plain)
{
    ct_device d = ct_device_from_name("cuda");
    ct_capture *c = ct_capture_new(d, plain_step, &d);
    uint64_t asked;
    int i;

    ck_assert(ct_capture_run(c) == CT_OK);
    asked = ct_memory_get_stats().system_allocations;
    for (i = 0; i < 5; i++)
        ck_assert(ct_capture_run(c) == CT_OK);
    ck_assert(ct_capture_is_ready(c) && replayed == 4 && uploads == 0);
    ck_assert_uint_eq(ct_memory_get_stats().system_allocations,
                      asked + 1); /* in the rehearsal, its own */
    ct_capture_free(c);
}
END_TEST

/* A step may use another device; it is noted and repeated on its own. */
static void wandering_step(void *at)
{
    const ct_device *d = at;

    ct_zeros(CT_SHAPE(40), CT_F32, d[0]);
    ct_zeros(CT_SHAPE(40), CT_F32, d[1]);
}

START_TEST(captured_on_its_device)
{
    ct_device d[2];
    ct_capture *c;
    int i;

    given.devices = 3;
    d[0] = ct_device_from_name("cuda:1");
    d[1] = ct_device_from_name("cuda:2");
    c = ct_capture_new(d[0], wandering_step, d);
    for (i = 0; i < 5; i++) {
        selected_of_async = -1;
        ck_assert(ct_capture_run(c) == CT_OK);
        ck_assert_int_eq(selected_of_async, i < 2 ? -1 : 1);
        cti_backend_of(d[1]);
    }
    ct_capture_free(c);
    ck_assert_int_eq(selected_of_async, 1);
}
END_TEST

static const struct misdeed_case {
    enum misdeed misdeed;
    int at;
    ct_status status;
    const char *function, *word;
} misdeeds[] = {
    { READ, 0, CT_OK, "", "" },
    { READ, 1, CT_ERR_DEVICE, "ct_capture_run", "read" },
    { READ, 2, CT_ERR_DEVICE, "ct_capture_run", "read" },
    { READ_ELSEWHERE, 1, CT_OK, "", "" },
    { READ_ELSEWHERE, 2, CT_OK, "", "" },
    { SEND, 1, CT_ERR_DEVICE, "ct_from_data", "captured" },
    { SEND_TENSOR, 0, CT_OK, "", "" },
    { SEND_TENSOR, 1, CT_ERR_DEVICE, "ct_capture_run", "host" },
    { TRIM, 1, CT_OK, "", "" },
    { WAIT, 0, CT_OK, "", "" },
    { WAIT, 1, CT_ERR_DEVICE, "ct_capture_run", "wait" },
    { WAIT, 2, CT_ERR_DEVICE, "ct_capture_run", "wait" },
    { KEEP, 0, CT_OK, "", "" },
    { KEEP, 1, CT_ERR_SCOPE, "ct_capture_run", "160 bytes" },
    { KEEP, 2, CT_ERR_SCOPE, "ct_capture_run", "160 bytes" },
    { GROW, 1, CT_OK, "", "" },
    { GROW, 2, CT_ERR_DEVICE, "ct_zeros", "allocate" },
    { NEST, 0, CT_ERR_ARGUMENT, "ct_capture_run", "another" },
    { FREE, 0, CT_ERR_ARGUMENT, "ct_capture_free", "running" },
    { FREE, 2, CT_ERR_ARGUMENT, "ct_capture_free", "running" },
    { RAISE, 0, CT_ERR_ARGUMENT, "step", "enough" },
    { RAISE, 1, CT_ERR_ARGUMENT, "step", "enough" },
    { RAISE, 2, CT_ERR_ARGUMENT, "step", "enough" },
    { ASK_MORE, 2, CT_ERR_DEVICE, "ct_capture_run", "before" },
    { RENEWS_NOT, 2, CT_ERR_ARGUMENT, "renew", "not again" },
    { RENEWS_NOT, 3, CT_ERR_ARGUMENT, "renew", "not again" },
    { NO_CAPTURE, 2, CT_ERR_DEVICE, "ct_capture_run", "no capture today" },
};

/* What a step may not do is told by its run; the next three begin anew. */
START_TEST(captured_misdeeds)
{
    const struct misdeed_case *m = &misdeeds[_i];
    noted_step s = step_new();
    ct_capture *c = ct_capture_new(s.device, step, &s);
    int i, before;

    s.self = c;
    s.at = m->at;
    s.misdeed = m->misdeed != RENEWS_NOT ? m->misdeed : NOTHING;
    for (i = 0; i < m->at; i++)
        ck_assert_msg(ct_capture_run(c) == CT_OK, "%s", ct_error_message());
    before = replayed;
    uploads = downloads = synchronised = 0;
    s.misdeed = m->misdeed;
    captures = m->misdeed != NO_CAPTURE;
    ck_assert(ct_capture_run(c) == m->status);
    if (m->status != CT_OK) {
        int calls = s.calls, renewed = s.renewed;

        ck_assert_int_eq(replayed, before);
        ck_assert(m->misdeed != RENEWS_NOT || renewed == (m->at - 2) * 101 + 1);
        ck_assert(ct_capture_run(c) == m->status); /* a sink */
        ck_assert(s.calls == calls && s.renewed == renewed);
        if (m->misdeed == NEST || (m->status == CT_ERR_DEVICE && m->misdeed != ASK_MORE &&
                                   m->misdeed != NO_CAPTURE)) /* refused before it was done */
            ck_assert(uploads == 0 && downloads == 0 && synchronised == 0);
        expect_error(m->status, m->function, m->word);
        ck_assert(!ct_capture_is_ready(c));
        ck_assert_int_eq(freed, ended);
        s.misdeed = NOTHING;
        captures = true;
        ct_free(s.kept);
        s.kept = NULL;
        s.calls = s.renewed = replayed = 0;
        for (i = 0; i < 3; i++)
            ck_assert_msg(ct_capture_run(c) == CT_OK, "%s", ct_error_message());
        ck_assert(ct_capture_is_ready(c) && s.calls == 3 && replayed == 1 && s.renewed == 101);
        expect_close("number 0", s.area[0][0], 1, 0);
        expect_close("number 1", s.area[0][1], -1, 0);
        expect_close("number 2", s.area[0][2], 110, 0);
        for (i = 0; i < 3; i++) { /* faults are found again */
            let_fault(CT_ERR_INDEX, s.fault[i].ticket, 4);
            ck_assert((ct_device_synchronize)(s.device) != CT_OK);
            ck_assert_ptr_nonnull(strstr(ct_error_message(), i == 0   ? "ct_first"
                                                             : i == 1 ? "ct_second"
                                                                      : "ct_outer"));
            ct_error_clear();
        }
    }
    ct_capture_free(c);
    ct_free(s.kept);
}
END_TEST

/* A fault in a repetition is told with its op's name and place, of whichever step. */
START_TEST(captured_faults)
{
    noted_step s[2] = { step_new(), step_new() };
    ct_capture *c[2];
    static const struct {
        const char *place, *function, *word;
    } want[3] = { { "first.c:1: ", "ct_first", "index at position 4 ... 0..9" },
                  { "second.c:2: ", "ct_second", "target at position 4 ... 0..19" },
                  { "third.c:3: ", "ct_outer", "norm ... finite" } };
    int i, k;

    for (k = 0; k < 2; k++) {
        c[k] = ct_capture_new(s[k].device, step, &s[k]);
        for (i = 0; i < 4; i++)
            ck_assert(ct_capture_run(c[k]) == CT_OK);
    }
    for (i = 0; i < 6; i++) {
        ck_assert_uint_eq(s[i / 3].fault[i % 3].ticket, 0x80000000u + (unsigned)i);
        let_fault(CT_ERR_INDEX, s[i / 3].fault[i % 3].ticket, 4);
        ck_assert((ct_device_synchronize)(s[0].device) != CT_OK);
        ck_assert(strncmp(ct_error_message(), want[i % 3].place, strlen(want[i % 3].place)) == 0);
        expect_error(i % 3 == 2 ? CT_ERR_NUMERIC : CT_ERR_INDEX, want[i % 3].function,
                     want[i % 3].word);
    }
    let_fault(CT_ERR_INDEX, 0x80000006u, 4); /* of no step */
    ck_assert((ct_device_synchronize)(s[0].device) == CT_ERR_INDEX);
    expect_error(CT_ERR_INDEX, "ct_device", "earlier ... range");
    ct_capture_free(c[1]);
    let_fault(CT_ERR_INDEX, s[1].fault[0].ticket, 4); /* of one that is no more */
    ck_assert((ct_device_synchronize)(s[0].device) == CT_ERR_INDEX);
    expect_error(CT_ERR_INDEX, "ct_device", "earlier ... range");
    let_fault(CT_ERR_INDEX, s[0].fault[2].ticket, 4);
    ck_assert((ct_device_synchronize)(s[0].device) == CT_ERR_NUMERIC);
    ct_error_clear();
    ct_capture_free(c[0]);
}
END_TEST

static void *run_elsewhere(void *step_at_hand)
{
    ct_error_set_handler(NULL, NULL);
    ct_capture_run(step_at_hand);
    expect_error(CT_ERR_ARGUMENT, "ct_capture_run", "thread");
    ct_capture_free(step_at_hand);
    expect_error(CT_ERR_ARGUMENT, "ct_capture_free", "thread");
    return NULL;
}

START_TEST(captured_misuse)
{
    noted_step s = step_new(), cpu = { .device = CT_CPU, .at = 4, .misdeed = READ };
    ct_capture *c = ct_capture_new(s.device, step, &s), *on_cpu;
    ct_scope scope;
    int i;

    ck_assert((ct_capture_run)(NULL) == CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "ct_capture_run", "step is NULL");
    harness_on_thread(run_elsewhere, c);
    scope = ct_scope_begin();
    ct_square(ct_set_requires_grad(ct_zeros(CT_SHAPE(2), CT_F32, CT_CPU), true));
    ck_assert(ct_capture_run(c) == CT_ERR_GRAD);
    expect_error(CT_ERR_GRAD, "ct_capture_run", "history");
    ck_assert(ct_scope_end(scope) == CT_OK);
    ck_assert_int_eq(s.calls, 0);
    on_cpu = ct_capture_new(CT_CPU, step, &cpu);
    for (i = 1; i <= 6; i++) { /* always a call */
        ck_assert(ct_capture_run(on_cpu) == CT_OK && ct_capture_run(c) == CT_OK);
        ck_assert(cpu.calls == i && !ct_capture_is_ready(on_cpu) && !cpu.area[0]);
    }
    ck_assert(ct_capture_is_ready(c));
    ct_capture_free(c);
    ct_capture_free(on_cpu);
}
END_TEST

/* Each allocation of four runs fails in its turn; then the step begins anew. */
START_TEST(captured_without_memory)
{
    int k, i, failed = 0;
    bool done = false;

    for (k = 1; !done; k++) {
        noted_step s = step_new();
        ct_capture *c;

        fail_allocation(k);
        c = ct_capture_new(s.device, step, &s);
        for (i = 0; i < 4 && ct_ok(); i++)
            ct_capture_run(c);
        done = allocations_seen < k;
        fail_nothing();
        failed += !ct_ok();
        ck_assert(ct_ok() ? s.renewed == 2 * 101 : ct_error() == CT_ERR_MEMORY);
        ct_error_clear();
        for (i = 0; c && i < 3; i++)
            ck_assert_msg(ct_capture_run(c) == CT_OK, "%d: %s", k, ct_error_message());
        ck_assert(!c || ct_capture_is_ready(c));
        ct_capture_free(c);
    }
    ck_assert_int_gt(failed, 6);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("plugin");
    TCase *tc = harness_case(suite, "names");

    tcase_add_checked_fixture(tc, files_setup, files_teardown);
    tcase_add_checked_fixture(tc, plugin_setup, NULL);
    tcase_add_loop_test(tc, refused, 0, LENGTH(bad_plugins));
    tcase_add_test(tc, places);
    tcase_add_test(tc, long_place);
    tcase_add_test(tc, names);
    tcase_add_test(tc, many);
    tcase_add_test(tc, try_gpu);
    tcase_add_test(tc, try_no_gpu);
    tcase_add_test(tc, host_table);
    tcase_add_test(tc, faults);
    tcase_add_test(tc, ring_of_tickets);
    tcase_add_test(tc, no_ticket_without_memory);
    tcase_add_test(tc, counters);
    tcase_add_test(tc, storages);
    tcase_add_test(tc, transfers);
    tcase_add_test(tc, every_op);
    tcase_add_test(tc, sets_move);
    tcase_add_test(tc, hooks_stay);
    tcase_add_loop_test(tc, goes_anywhere, 0, LENGTH(ways));
    tcase_add_test(tc, printed);
    tcase_add_test(tc, modules_on_one_device);
    tcase_add_loop_test(tc, files_without_memory, 0, 2);
    tcase_add_test(tc, captured);
    tcase_add_test(tc, captured_draws);
    tcase_add_test(tc, captured_draws_refused);
    tcase_add_test(tc, captured_draws_of_its_own);
    tcase_add_test(tc, captured_memory);
    tcase_add_loop_test(tc, captured_misdeeds, 0, LENGTH(misdeeds));
    tcase_add_loop_test(tc, captured_outlived, 0, 2);
    tcase_add_test(tc, captured_plain);
    tcase_add_test(tc, captured_on_its_device);
    tcase_add_test(tc, captured_faults);
    tcase_add_test(tc, captured_misuse);
    tcase_add_test(tc, captured_without_memory);
    return harness_run(suite);
}
