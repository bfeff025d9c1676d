/* SPDX-License-Identifier: MIT */
/* test_plugin.c - plug-ins, good and bad, found by name; and the faults of an asynchronous device.
 * The plug-in is a part of this program, whose dlopen and dlsym return it (see Makefile.am); it
 * uses the CPU's kernels. */
#include "tests/files.h"
#include "tests/harness.h"
#include "tensor/hooks.h"
#include "tensor/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cotangent.h>

#include "tests/test_plugin.h"

/* ---- the plug-in ---- */

static const cti_host *host;
cti_plugin given; /* what dlsym's function returns */
static cti_backend table;
static bool opens = true, exports = true, starts = true;
static const char *loader_says;
int opened, selected, synchronised, uploads, downloads;
static char opened_path[4200];
static cti_fault fault;       /* which the next wait finds, */
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

/* For captured steps: a graph is an element of graphs, and replay() only notes and counts it. */
bool captures = true; /* false: capturing fails */

int begun, ended, replayed, freed, graphs[8];
cti_position drawn[16]; /* where each draw began */
int draws;
void *replayed_graph;
int selected_of_async; /* the selected device when a function of async was called */

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

void plugin_setup(void)
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
    for (k = 0; k < 3; k++) { /* it is opened only once */
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

/* ---- where plug-ins are searched ---- */

START_TEST(places)
{
    int i;

    /* without a file in the folder, or without a folder, the installed plug-in is used */
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
    ck_assert_int_eq(ct_device_count("cuda"), 0); /* the usual folder has none */
    ck_assert_int_eq(opened, 0);
    free(place);
}
END_TEST

/* ---- names and numbers ---- */

START_TEST(names)
{
    static const char *const none[] = { "",          "cud",     "cudax",        "cuda:",  "cuda:x",
                                        "cuda:1x",   "cuda:-1", "cuda:1234567", "cpu:0",  "CUDA",
                                        "cuda-emu:", ":0",      "auto:1",       "cuda-em" };
    char word[50];
    int i;

    for (i = 0; i < LENGTH(none); i++) {
        snprintf(word, sizeof word, "no device \"%s\"", none[i]);
        ck_assert_int_eq(ct_device_from_name(none[i]), -1);
        expect_error(CT_ERR_DEVICE, "ct_device_from_name", word);
        ck_assert_int_eq(ct_device_count(none[i]), 0);
    }
    ck_assert_int_eq(ct_device_from_name(NULL), -1);
    expect_error(CT_ERR_ARGUMENT, "ct_device_from_name", "name is NULL");
    ck_assert_int_eq(ct_device_count(NULL), 0);
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
    given.devices = 1; /* the devices of the other kind follow */
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

/* A plug-in may have as many devices as the table has entries beside the CPU. */
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

/* Returns what ct_try_gpu prints on stderr; *d is its result. */
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
    ck_assert_str_eq(said(2, NULL, &d),
                     "no CUDA device 2: only 2 exist, numbered from 0; using the CPU\n");
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

/* ---- the functions that the library passes to a plug-in ---- */

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

void let_fault(ct_status status, uint32_t ticket, int64_t position)
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
        { CTI_FAULT_WEIGHTS, 9, CT_ERR_NUMERIC, "at least 0" },
        { CTI_FAULT_DIVISOR, 0, CT_ERR_NUMERIC, "divisor at position 5" },
        { CTI_FAULT_PROBABILITY, 0, CT_ERR_NUMERIC, "probability at position 5" },
        { CTI_FAULT_NORM, 0, CT_ERR_NUMERIC, "norm ... finite" },
        { CTI_FAULT_NORM, 9, CT_ERR_NUMERIC, "step 9" },
        { CTI_FAULT_VALUE, 0, CT_ERR_NUMERIC, "gradient" },
    };
    ct_device d = ct_device_from_name("cuda");
    double number;
    int i;

    for (i = 0; i < 8; i++) {
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
        (ct_raise)(CT_ERR_ARGUMENT, "it", "next"); /* the message names the call's place again */
        ck_assert_str_eq(ct_error_message(), "elsewhere.c:99: me: next");
        ct_error_clear();
        *ct_site() = NULL;
    }
    ck_assert_int_eq(synchronised, 8);
    ck_assert(ct_device_synchronize(d) == CT_OK);
    ck_assert(cti_to_host(d, &number, &number, sizeof number));
    ck_assert(ct_device_synchronize(17) == CT_ERR_DEVICE);
    expect_error(CT_ERR_DEVICE, "ct_device_synchronize", "device 17");
    ck_assert(ct_device_synchronize(CT_CPU) == CT_OK);
}
END_TEST

/* The thread waits for each half of the ring of tickets before it reuses that half. The name of a
 * ticket that was overwritten is unknown. */
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
    let_fault(CT_ERR_INDEX, 7, 5); /* a ticket that was not yet given */
    ck_assert(ct_device_synchronize(d) == CT_ERR_INDEX);
    expect_error(CT_ERR_INDEX, "ct_device_synchronize", "earlier ... range");
    synchronised = 0;
    for (i = 2; i <= 5000; i++) {
        last = cti_fault_at(d, CTI_FAULT_INDEX, i % 2 ? "ct_odd" : "ct_even", i).ticket;
        ck_assert_uint_eq(last, i);
        ck_assert_int_eq(synchronised, i / 1024);
    }
    let_fault(CT_ERR_INDEX, last - 2047, 1); /* the oldest known ticket */
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

/* Storages of two devices do not mix: each returns to the pool of its device. */
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

/* Values move between host and device with one transfer, and between two devices with two. */
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
    plugin_moves_cases(suite);
    plugin_capture_cases(suite);
    return harness_run(suite);
}
