/* SPDX-License-Identifier: MIT */
/* harness.c - common functions of the test programs. */
#define _GNU_SOURCE /* program_invocation_short_name */
#include "tests/harness.h"

#include "tensor/hooks.h"
#include "tensor/internal.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cotangent/autograd/autograd.h>
#include <cotangent/autograd/ops/views.h>

static char source_folder[4096]; /* absolute, because a test may run in another folder */

/* ---- leaks ---- */

static cti_memory_table libc_memory;
static cti_file_table libc_files;
static atomic_long blocks, files;
static bool passed;

/* The bytes around each block: its size before it, and DIRT after it. New and freed blocks are
 * filled with DIRT (NaNs, -1). COTANGENT_TEST_GUARDS=0 is for valgrind; AddressSanitizer has its
 * own. */
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
}

/* Each test is a process. When a test that passed ends, after the library's destructors, all memory
 * and files must have been returned. */
__attribute__((destructor(101))) static void expect_nothing_left(void)
{
    if (!passed || (!blocks && !files))
        return;
    fprintf(stderr, "not given back: %ld blocks of memory, %ld files\n", blocks, files);
    _exit(EXIT_FAILURE);
}

/* Ending a scope also ends inner scopes that are still open; only a test of this may set the
 * flag. */
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

/* Checks that a thread unlocks, or waits with, only a mutex that it has locked (glibc stores the
 * owner of a mutex), and joins only threads that were started. */
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

/* ---- the messages of a complete run on the CPU, one on each line ---- */

static char messages_file[4096]; /* "" if messages are not recorded */

/* Creates an empty file. Records nothing if only some of the cases run. */
static void start_messages(void)
{
    static const char *const choices[] = { "CK_RUN_CASE", "CK_RUN_SUITE", "CK_INCLUDE_TAGS",
                                           "CK_EXCLUDE_TAGS" };
    const char *folder = getenv("COTANGENT_TEST_MESSAGES");
    const char *device = getenv("COTANGENT_TEST_DEVICE");
    FILE *file;

    if (!folder || !*folder || harness_full() || (device && *device && strcmp(device, "cpu") != 0))
        return;
    snprintf(messages_file, sizeof messages_file, "%s/%s.txt", folder,
             program_invocation_short_name);
    remove(messages_file);
    for (size_t i = 0; i < sizeof choices / sizeof *choices; i++)
        if (getenv(choices[i]))
            messages_file[0] = '\0';
    file = messages_file[0] ? fopen(messages_file, "w") : NULL;
    if (file)
        fclose(file);
}

/* Appends "STATUS text". The test's folder is written as "DIR", and a byte beyond ASCII as \xNN. */
static void record_message(ct_status status, const char *text)
{
    char line[4096], folder[2048];
    size_t n, i, skip;
    FILE *file;

    if (!messages_file[0] || !getcwd(folder, sizeof folder))
        return;
    skip = strlen(folder);
    n = (size_t)snprintf(line, sizeof line, "%s ", ct_status_name(status));
    for (i = 0; text[i] && n < sizeof line - 6; i++)
        if (skip > 1 && strncmp(text + i, folder, skip) == 0) {
            memcpy(line + n, "DIR", 3);
            n += 3;
            i += skip - 1;
        } else {
            n += (size_t)snprintf(line + n, 5, text[i] & 0x80 ? "\\x%02x" : "%c",
                                  (unsigned char)text[i]);
        }
    line[n++] = '\n';
    file = fopen(messages_file, "a");
    ck_assert_msg(file && fwrite(line, 1, n, file) == n && fclose(file) == 0,
                  "%s cannot be written", messages_file);
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
    start_messages();
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
    s = ct_scope_begin(); /* must be the outermost scope, because the test has ended its own
                           * scopes */
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
        if (device < 0) { /* fail once for the program, not in every test */
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

/* Returns the message without "FILE:LINE: ". */
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

static bool is_of_word(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/* Finds the first `length` bytes of word in text, as whole words. Returns the end of the first
 * occurrence, or NULL. */
static const char *word_end(const char *text, const char *word, size_t length)
{
    const char *at = text;

    for (; *at; at++) {
        bool begins = at == text || !is_of_word(at[-1]) || !is_of_word(word[0]);
        bool ends = !is_of_word(word[length - 1]) || !is_of_word(at[length]);

        if (strncmp(at, word, length) == 0 && begins && ends)
            return at + length;
    }
    return NULL;
}

/* True if text has word, where " ... " is any text. */
static bool has_word(const char *text, const char *word)
{
    const char *gap;

    while ((gap = strstr(word, " ... ")) != NULL) {
        text = word_end(text, word, (size_t)(gap - word));
        word = gap + strlen(" ... ");
        if (!text)
            return false;
    }
    return word_end(text, word, strlen(word)) != NULL;
}

/* True if the message begins with the file and line of a call in the statement at place (a
 * CT_HERE); the statement may have several lines. */
static bool is_of_place(const char *message, const char *place)
{
    const char *colon = strrchr(place, ':');
    size_t n = (size_t)(colon - place) + 1;
    long first = strtol(place + n, NULL, 10), line;
    char *end;

    if (strncmp(message, place, n) != 0)
        return false;
    line = strtol(message + n, &end, 10);
    return strncmp(end, ": ", 2) == 0 && line >= first && line <= first + 5;
}

/* place is the line of the test that expects the error. */
void expect_error_at(const char *place, ct_status status, const char *function, const char *word)
{
    const char *message = harness_message(), *text = without_site(message);
    size_t n = strlen(function);

    ck_assert_msg(ct_error() == status, "%s: expected %s of %s with \"%s\", got %s \"%s\"", place,
                  ct_status_name(status), function, word, ct_status_name(ct_error()), message);
    ck_assert_msg(strncmp(text, function, n) == 0 && strncmp(text + n, ": ", 2) == 0,
                  "%s: the error is not one of %s: %s", place, function, message);
    ck_assert_msg(has_word(text + n + 2, word), "%s: there is no \"%s\" in \"%s\"", place, word,
                  message);
    ck_assert_msg(!strchr(text, '\n'), "%s: not one line: %s", place, message);
    record_message(status, text);
    ct_error_clear();
}

void expect_out_of_memory(void)
{
    ck_assert_msg(ct_error() == CT_ERR_MEMORY && strstr(ct_error_message(), "out of memory"),
                  "expected CT_ERR_MEMORY, got %s \"%s\"", ct_status_name(ct_error()),
                  ct_error_message());
    ct_error_clear();
}

/* Fails unless an asynchronous device reports an error of this status later. */
static void expect_later(const char *place, ct_status status)
{
    ck_assert_msg(harness_later() && (status == CT_ERR_INDEX || status == CT_ERR_NUMERIC),
                  "%s: the call is not refused", place);
    ck_assert_msg(ct_device_synchronize(DEVICE) == status, "%s: the call is not refused later",
                  place);
    ct_error_clear();
}

void expect_fault_at(const char *place, const void *result, ct_status status, const char *function,
                     const char *word)
{
    if (result)
        expect_later(place, status);
    else
        expect_error_at(place, status, function, word);
}

void expect_refused(const char *place, const void *result, ct_status status, const char *function,
                    const char *word)
{
    ck_assert_msg(result || ct_ok() || is_of_place(ct_error_message(), place),
                  "the place is not %s: %s", place, ct_error_message());
    expect_fault_at(place, result, status, function, word);
}

static unsigned errors_before;

void harness_no_value(const char *call)
{
    const char *message = without_site(ct_error_message());
    size_t name = strcspn(message, ":"), n = strlen(message); /* the message may name ct_x for a
                                                               * call of ct_x_with */

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
    ck_assert_msg(ct_ok(), "an error is recorded: %s", ct_error_message());
}
