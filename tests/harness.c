/* harness.c - what the test programs share. */
#include "tests/harness.h"

#include "tensor/hooks.h"
#include "tensor/internal.h"

#include <jansson.h>
#include <dlfcn.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cotangent/autograd/autograd.h>
#include <cotangent/autograd/ops/shape.h>

static char source_folder[4096]; /* absolute: a test may run in a folder of its own */

/* ---- what is not given back ---- */

static cti_memory_table libc_memory;
static cti_file_table libc_files;
static atomic_long blocks, files;
static bool passed;

/* Bytes around each block: the size in front, and DIRT behind. Blocks come full of DIRT (NaNs, -1),
 * and go so. COTANGENT_TEST_GUARDS=0 is for valgrind; AddressSanitizer has its own. */
#define GUARD 64
#define DIRT 0xff
#ifdef __SANITIZE_ADDRESS__
static bool guards;
#else
static bool guards = true;
#endif
static bool dirty = true;

static void *count_allocate(size_t alignment, size_t bytes)
{
    char *p = NULL;

    if (!guards)
        p = libc_memory.allocate(alignment, bytes);
    else if (alignment <= GUARD && bytes <= SIZE_MAX - 2 * GUARD)
        p = libc_memory.allocate(GUARD, bytes + 2 * GUARD);
    atomic_fetch_add(&blocks, p != NULL);
    if (p && dirty)
        memset(p, DIRT, bytes + (guards ? 2 * GUARD : 0));
    if (!p || !guards)
        return p;
    memcpy(p, &bytes, sizeof bytes);
    return p + GUARD;
}

static void damaged(const char *where, size_t bytes)
{
    fprintf(stderr, "a write %s a block of %zu bytes\n", where, bytes);
    abort();
}

static void count_release(void *block)
{
    unsigned char *p = block;
    size_t bytes, i;

    atomic_fetch_sub(&blocks, p != NULL);
    if (p && guards) {
        p -= GUARD;
        memcpy(&bytes, p, sizeof bytes);
        for (i = sizeof bytes; i < GUARD; i++)
            if (p[i] != DIRT)
                damaged("before", bytes);
        for (i = 0; i < GUARD; i++)
            if (p[GUARD + bytes + i] != DIRT)
                damaged("behind", bytes);
        memset(p, DIRT, bytes + 2 * GUARD);
    }
    libc_memory.release(p);
}

static int count_open(const char *path, int flags, int mode)
{
    int fd = libc_files.open(path, flags, mode);

    atomic_fetch_add(&files, fd >= 0);
    return fd;
}

static int count_close(int fd)
{
    atomic_fetch_sub(&files, 1);
    return libc_files.close(fd);
}

static void *count_json(size_t bytes)
{
    return count_allocate(sizeof(max_align_t), bytes);
}

void harness_free(void *p)
{
    count_release(p);
}

static void count_all(void)
{
    const char *wish = getenv("COTANGENT_TEST_GUARDS");

    dirty = !(wish && strcmp(wish, "0") == 0);
    guards = guards && dirty;
    libc_memory = cti_memory_calls;
    libc_files = cti_file_calls;
    cti_memory_calls = (cti_memory_table){ count_allocate, count_release };
    cti_file_calls.open = count_open;
    cti_file_calls.close = count_close;
    json_set_alloc_funcs(count_json, count_release);
}

/* Each test is a process. When one that passed ends, after the library's own end, nothing may be
 * left. */
__attribute__((destructor(101))) static void expect_nothing_left(void)
{
    if (!passed || (!blocks && !files))
        return;
    fprintf(stderr, "not given back: %ld blocks of memory, %ld files\n", blocks, files);
    _exit(EXIT_FAILURE);
}

/* An outer scope's end pops inner ones that were forgotten: only a test about that may. */
bool harness_forgets;
ct_status __real_ct_scope_end(ct_scope s);
ct_status __wrap_ct_scope_end(ct_scope s);

ct_status __wrap_ct_scope_end(ct_scope s)
{
    uint32_t depth = (uint32_t)cti_thread()->depth;

    ck_assert_msg(harness_forgets || !s.id || s.thread != cti_thread()->id || s.depth >= depth,
                  "%u scopes are open within the one that ends", depth - s.depth);
    return __real_ct_scope_end(s);
}

/* A thread unlocks, and waits with, what it has locked (glibc notes the owner of any mutex), and
 * joins what has begun. */
int __real_pthread_join(pthread_t thread, void **result);
int __wrap_pthread_join(pthread_t thread, void **result);
int __real_pthread_mutex_unlock(pthread_mutex_t *m);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *m);
int __real_pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m);
int __wrap_pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m);

static void expect_mine(const pthread_mutex_t *m)
{
#ifdef __GLIBC__
    if (m->__data.__owner == (int)syscall(SYS_gettid))
        return;
    fprintf(stderr, "a mutex is unlocked by a thread that has not locked it\n");
    abort();
#else
    (void)m;
#endif
}

int __wrap_pthread_mutex_unlock(pthread_mutex_t *m)
{
    expect_mine(m);
    return __real_pthread_mutex_unlock(m);
}

int __wrap_pthread_join(pthread_t thread, void **result)
{
    int error = __real_pthread_join(thread, result);

    if (!error)
        return 0;
    fprintf(stderr, "a thread is joined that is none: %s\n", strerror(error));
    abort();
}

int __wrap_pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m)
{
    expect_mine(m);
    return __real_pthread_cond_wait(c, m);
}

_Thread_local size_t harness_refused = SIZE_MAX;
void __real_cti_out_of_memory(const char *function, size_t bytes);
void __wrap_cti_out_of_memory(const char *function, size_t bytes);

void __wrap_cti_out_of_memory(const char *function, size_t bytes)
{
    if (harness_refused != SIZE_MAX && harness_refused != bytes &&
        harness_refused != sizeof(ct_storage) && strcmp(function, "ct_tensor") != 0) {
        fprintf(stderr, "%s: %zu bytes were refused, not %zu\n", function, harness_refused, bytes);
        abort();
    }
    harness_refused = SIZE_MAX;
    __real_cti_out_of_memory(function, bytes);
}

void *harness_on_thread(void *(*run)(void *context), void *context)
{
    pthread_t thread;
    void *result;

    ck_assert_int_eq(pthread_create(&thread, NULL, run, context), 0);
    ck_assert_int_eq(pthread_join(thread, &result), 0);
    return result;
}

/* ---- running ---- */

bool harness_pooled;

int harness_run(Suite *suite)
{
    const char *srcdir = getenv("srcdir");
    SRunner *runner = srunner_create(suite);
    int failed;

    if (!realpath(srcdir ? srcdir : ".", source_folder))
        return EXIT_FAILURE;
    count_all();
    if (!harness_pooled)
        setenv("COTANGENT_POOL", "0", 0);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

void harness_setup(void)
{
    ct_error_set_handler(NULL, NULL);
    ct_error_clear();
}

void harness_teardown(void)
{
    ct_scope s;

    expect_ok();
    s = ct_scope_begin(); /* the outermost: every test ended its own */
    ck_assert_msg(s.depth == 1, "%u scopes are still open", s.depth - 1);
    ck_assert(ct_scope_end(s) == CT_OK);
    passed = true;
}

TCase *harness_case(Suite *suite, const char *name)
{
    TCase *tc = tcase_create(name);

    tcase_add_checked_fixture(tc, harness_setup, harness_teardown);
    suite_add_tcase(suite, tc);
    return tc;
}

static void use_pool(void)
{
    setenv("COTANGENT_POOL", "1", 1);
}

TCase *harness_pooled_case(Suite *suite, const char *name)
{
    TCase *tc = tcase_create(name);

    tcase_add_checked_fixture(tc, use_pool, NULL);
    tcase_add_checked_fixture(tc, harness_setup, harness_teardown);
    suite_add_tcase(suite, tc);
    return tc;
}

bool harness_full(void)
{
    const char *full = getenv("COTANGENT_TEST_FULL");

    return full && *full;
}

ct_device harness_device(void)
{
    static ct_device device = CT_CPU;
    static bool looked;
    const char *name = getenv("COTANGENT_TEST_DEVICE");

    if (!looked && name && *name) {
        device = ct_device_from_name(name);
        if (device < 0) { /* not a failure of each test: of this program */
            fprintf(stderr, "COTANGENT_TEST_DEVICE: %s\n", ct_error_message());
            _exit(99);
        }
    }
    looked = true;
    return device;
}

void *harness_emulator(const char *device, const char *function)
{
    const char *folder = getenv("COTANGENT_PLUGIN_DIR");
    char path[4096];
    void *module;

    snprintf(path, sizeof path, "%s/%s.so", folder ? folder : CT_PLUGIN_DIR, device);
    module = dlopen(path, RTLD_NOW | RTLD_NOLOAD);
    return module ? dlsym(module, function) : NULL;
}

int harness_rounds(int emulated, int usual)
{
    bool slow = strncmp(ct_device_name(DEVICE), "cuda-emu", 8) == 0;

    return slow && !harness_full() ? emulated : usual;
}

bool harness_later(void)
{
    return DEVICE != CT_CPU;
}

void harness_fill_handles(void)
{
    ct_scope s = ct_scope_begin();
    int i;

    for (i = 0; i < CTI_HANDLES_WAIT + 2000; i++)
        ct_empty(CT_SCALAR, CT_F32, CT_CPU);
    ck_assert(ct_scope_end(s) == CT_OK);
}

int harness_count(int thin, int whole)
{
    return harness_full() ? whole : thin;
}

const char *harness_data(const char *file)
{
    static char path[4096];
    const char *dir = getenv("COTANGENT_DATA_DIR");

    if (dir) {
        snprintf(path, sizeof path, "%s/%s", dir, file);
        if (access(path, R_OK) == 0)
            return path;
    }
    printf("skipped: COTANGENT_DATA_DIR has no %s\n", file);
    return NULL;
}

const char *harness_source(const char *file)
{
    static char path[sizeof source_folder + 256];

    snprintf(path, sizeof path, "%s/%s", source_folder, file);
    return path;
}

void expect_close(const char *what, double got, double want, double tolerance)
{
    if (isnan(got) && isnan(want))
        return;
    if (got == want) /* infinities */
        return;
    if (!(fabs(got - want) <= tolerance))
        ck_abort_msg("%s: got %.17g, expected %.17g, tolerance %g", what, got, want, tolerance);
}

double *values_of(ct_tensor *t)
{
    size_t n = (size_t)ct_numel(t), size = ct_dtype_size(ct_tensor_dtype(t)), i;
    double *out = malloc((n + 1) * sizeof *out);
    char *raw = malloc(n * size + 1);

    ck_assert_msg(t != NULL, "no tensor: %s", ct_error_message());
    ck_assert_msg(ct_to_host(t, raw, n * size) == CT_OK, "%s", ct_error_message());
    for (i = 0; i < n; i++)
        switch (ct_tensor_dtype(t)) {
        case CT_F32:
            out[i] = (double)((float *)(void *)raw)[i];
            break;
        case CT_F64:
            out[i] = ((double *)(void *)raw)[i];
            break;
        case CT_I32:
            out[i] = ((int32_t *)(void *)raw)[i];
            break;
        case CT_I64:
            out[i] = (double)((int64_t *)(void *)raw)[i];
            break;
        case CT_BOOL:
            out[i] = ((uint8_t *)raw)[i];
            break;
        default:
            ck_abort_msg("no values of %s", ct_dtype_name(ct_tensor_dtype(t)));
        }
    free(raw);
    return out;
}

void expect_values(const char *what, ct_tensor *t, const double *want, size_t count,
                   double tolerance)
{
    double *got = values_of(t);
    char where[256];
    size_t i;

    ck_assert_msg((size_t)ct_numel(t) == count, "%s: %lld elements, expected %zu", what,
                  (long long)ct_numel(t), count);
    for (i = 0; i < count; i++) {
        snprintf(where, sizeof where, "%s, element %zu", what, i);
        expect_close(where, got[i], want[i], tolerance);
    }
    free(got);
}

void put_value(ct_tensor *t, int64_t at, double value)
{
    ct_scope s = ct_scope_begin_no_grad();
    ct_tensor *row = ct_reshape(t, CT_SHAPE(ct_numel(t)));

    ck_assert_msg(ct_fill(ct_narrow(row, 0, at, 1), value) == CT_OK, "%s", ct_error_message());
    ck_assert(ct_scope_end(s) == CT_OK);
}

/* The elements as they are, row-major; yours to free(). */
static void *bytes_of(ct_tensor *t, size_t *n)
{
    void *bytes;

    ck_assert_msg(t != NULL, "no tensor: %s", ct_error_message());
    *n = (size_t)ct_numel(t) * ct_dtype_size(ct_tensor_dtype(t));
    bytes = malloc(*n + 1);
    ck_assert_msg(ct_to_host(t, bytes, *n) == CT_OK, "%s", ct_error_message());
    return bytes;
}

bool same_bytes(ct_tensor *a, ct_tensor *b)
{
    size_t n, m;
    void *x = bytes_of(a, &n), *y = bytes_of(b, &m);
    bool same = n == m && memcmp(x, y, n) == 0;

    free(x);
    free(y);
    return same;
}

/* The message without "FILE:LINE: ". */
static const char *without_site(const char *message)
{
    const char *colon = strchr(message, ':');

    if (colon && colon[1] >= '0' && colon[1] <= '9') {
        colon += 1 + strspn(colon + 1, "0123456789");
        if (strncmp(colon, ": ", 2) == 0)
            return colon + 2;
    }
    return message;
}

const char *harness_message(void)
{
    static char text[2048];
    const char *message = ct_error_message();
    const char *name = ct_device_name(DEVICE), *at;
    size_t n = strlen(name);

    if (DEVICE == CT_CPU)
        return message;
    text[0] = '\0';
    while ((at = strstr(message, name)) != NULL) {
        snprintf(text + strlen(text), sizeof text - strlen(text), "%.*scpu", (int)(at - message),
                 message);
        message = at + n;
    }
    snprintf(text + strlen(text), sizeof text - strlen(text), "%s", message);
    return text;
}

void expect_error(ct_status status, const char *text)
{
    ck_assert_msg(ct_error() == status, "expected %s, got %s \"%s\"", ct_status_name(status),
                  ct_status_name(ct_error()), ct_error_message());
    if (strcmp(without_site(ct_error_message()), text) != 0)
        ck_assert_str_eq(without_site(harness_message()), text);
    ct_error_clear();
}

void expect_fault(const char *call, ct_tensor *result, ct_status status, const char *text)
{
    if (!result) {
        expect_error(status, text);
        return;
    }
    ck_assert_msg(DEVICE != CT_CPU && (status == CT_ERR_INDEX || status == CT_ERR_NUMERIC),
                  "%s is not refused", call);
    ck_assert_msg(ct_device_synchronize(DEVICE) == status, "%s is not refused later", call);
    ct_error_clear();
}

static unsigned errors_before;

void harness_no_value(const char *call)
{
    const char *message = without_site(ct_error_message());
    size_t name = strcspn(message, ":"), n = strlen(message); /* ct_x for ct_x_with as well */

    ck_assert_msg(ct_error() == CT_ERR_ARGUMENT, "%s: got %s \"%s\"", call,
                  ct_status_name(ct_error()), ct_error_message());
    ck_assert_msg(name > 3 && strncmp(message, call, name) == 0 && n > 8 &&
                      strcmp(message + n - 8, " is NULL") == 0,
                  "%s: got \"%s\"", call, message);
    ct_error_clear();
    ct_raise(CT_ERR_NUMERIC, "harness", "an earlier error");
    errors_before = cti_thread()->error_serial;
}

void harness_no_second_error(const char *call)
{
    ck_assert_msg(ct_error() == CT_ERR_NUMERIC && cti_thread()->error_serial == errors_before,
                  "%s raises a second error", call);
    ct_error_clear();
}

void expect_ok(void)
{
    ck_assert_msg(ct_ok(), "an error stands: %s", ct_error_message());
}

ct_tensor *random_normal(ct_generator *g, ct_shape shape, ct_dtype dtype)
{
    return ct_randn(shape, dtype, DEVICE, g);
}
