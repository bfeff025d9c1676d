/* SPDX-License-Identifier: MIT */
/* files.c - a folder for each test, and tables of calls in which the k-th call fails. */
#ifdef HAVE_CONFIG_H
#include <config.h> /* 64-bit positions in folders */
#endif

#include "tests/files.h"
#include "tests/harness.h"

#include "tensor/hooks.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[200], before[4096];

int files_seen, allocations_seen;
char files_log[64];
size_t largest_seen;

static int fail_file, fail_memory;
static bool interrupt, fail_on;
static cti_file_table usual_files;
static cti_memory_table usual_memory;

void files_setup(void)
{
    snprintf(folder, sizeof folder, "/tmp/cotangent-files-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_ptr_nonnull(getcwd(before, sizeof before));
    ck_assert_int_eq(chdir(folder), 0);
}

static void each_file(void (*visit)(const char *name, int *n), int *n)
{
    DIR *d = opendir(folder);
    struct dirent *e;

    ck_assert_ptr_nonnull(d);
    while ((e = readdir(d)))
        if (e->d_name[0] != '.')
            visit(e->d_name, n);
    closedir(d);
}

static void count(const char *name, int *n)
{
    (void)name;
    ++*n;
}

static void erase(const char *name, int *n)
{
    (void)n;
    remove(name);
}

int count_files(void)
{
    int n = 0;

    each_file(count, &n);
    return n;
}

void files_teardown(void)
{
    fail_nothing();
    each_file(erase, NULL);
    ck_assert_int_eq(chdir(before), 0);
    ck_assert_int_eq(rmdir(folder), 0);
}

void write_bytes(const char *path, const void *bytes, size_t size)
{
    FILE *f;

    remove(path); /* a new file, because some file systems sync a file that is truncated and written
                   * again */
    f = fopen(path, "wb");
    ck_assert_msg(f != NULL, "%s: %s", path, strerror(errno));
    ck_assert_uint_eq(fwrite(bytes, 1, size, f), size);
    ck_assert_int_eq(fclose(f), 0);
}

char *read_bytes(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");
    char *bytes;
    long n;

    ck_assert_msg(f != NULL, "%s: %s", path, strerror(errno));
    fseek(f, 0, SEEK_END);
    n = ftell(f);
    rewind(f);
    bytes = malloc((size_t)n + 1);
    ck_assert_uint_eq(fread(bytes, 1, (size_t)n, f), (size_t)n);
    fclose(f);
    *size = (size_t)n;
    return bytes;
}

/* ---- file calls ---- */

static bool file_fails(char initial)
{
    size_t n = strlen(files_log);

    if (n + 1 < sizeof files_log && (n == 0 || files_log[n - 1] != initial || initial == 'o'))
        files_log[n] = initial;
    if (++files_seen != fail_file)
        return false;
    errno = EIO;
    return true;
}

/* True for every third read or write, which is then interrupted. */
static bool interrupted(void)
{
    static int n;

    interrupt = !interrupt && ++n % 3 == 0;
    if (interrupt)
        errno = EINTR;
    return interrupt;
}

static int open_file(const char *path, int flags, int mode)
{
    return file_fails('o') ? -1 : usual_files.open(path, flags, mode);
}

static ssize_t read_file(int fd, void *buffer, size_t bytes)
{
    if (interrupted() || file_fails('r'))
        return -1;
    return usual_files.read(fd, buffer, bytes < 37 ? bytes : 37);
}

static ssize_t write_file(int fd, const void *buffer, size_t bytes)
{
    if (interrupted() || file_fails('w'))
        return -1;
    return usual_files.write(fd, buffer, bytes < 37 ? bytes : 37);
}

static int sync_file(int fd)
{
    return file_fails('s') ? -1 : usual_files.fsync(fd);
}

static int close_file(int fd)
{
    int result = usual_files.close(fd);

    return file_fails('c') ? -1 : result;
}

static int rename_file(const char *from, const char *to)
{
    return file_fails('n') ? -1 : usual_files.rename(from, to);
}

void fail_file_call(int k)
{
    if (!usual_files.open)
        usual_files = cti_file_calls;
    cti_file_calls.open = open_file;
    cti_file_calls.read = read_file;
    cti_file_calls.write = write_file;
    cti_file_calls.fsync = sync_file;
    cti_file_calls.close = close_file;
    cti_file_calls.rename = rename_file;
    fail_file = k;
    files_seen = 0;
    memset(files_log, 0, sizeof files_log);
}

/* ---- allocations ---- */

static void *allocate(size_t alignment, size_t bytes)
{
    largest_seen = bytes > largest_seen ? bytes : largest_seen;
    if (++allocations_seen < fail_memory || (allocations_seen > fail_memory && !fail_on))
        return usual_memory.allocate(alignment, bytes);
    harness_refused = fail_on ? SIZE_MAX : bytes;
    return NULL;
}

void fail_allocation(int k)
{
    if (!usual_memory.allocate)
        usual_memory = cti_memory_calls;
    cti_memory_calls.allocate = allocate;
    fail_memory = k;
    fail_on = false;
    harness_refused = SIZE_MAX;
    allocations_seen = 0;
    largest_seen = 0;
}

void fail_allocations_from(int k)
{
    fail_allocation(k);
    fail_on = true;
}

void fail_nothing(void)
{
    if (usual_files.open)
        cti_file_calls = usual_files;
    if (usual_memory.allocate)
        cti_memory_calls = usual_memory;
    harness_refused = SIZE_MAX;
}
