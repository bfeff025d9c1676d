/* SPDX-License-Identifier: MIT */
/* safetensors_write.c - writing files of named tensors, and system calls that fail. */
#include "tensor/internal.h"
#include "tensor/hooks.h"
#include "tests/files.h"
#include "tests/harness.h"

#include <cotangent/autograd/ops/views.h>
#include <cotangent/tensor/safetensors.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/test_safetensors.h"

/* ---- writing ---- */

START_TEST(bad_writes)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *a = ct_ones(CT_SHAPE(2), CT_F32, CT_CPU), *t[] = { a, a };
    static const char *const twice[] = { "a", "a" }, *const reserved[] = { "__metadata__" },
                             *const latin[] = { "n\xe4me" },
                             *const surrogate[] = { "\xed\xa0\x80" }, *const none[] = { NULL },
                             *const fine[] = { "a", "b" };

#define WRITE_REFUSED(path, n, names, tensors, metadata, status, word)                             \
    do {                                                                                           \
        ck_assert_int_eq(ct_safetensors_write(path, n, names, tensors, metadata), status);         \
        expect_error(status, "ct_safetensors_write", word);                                        \
    } while (0)
    WRITE_REFUSED(NULL, 1, fine, t, NULL, CT_ERR_ARGUMENT, "path is NULL");
    WRITE_REFUSED("x", -1, fine, t, NULL, CT_ERR_ARGUMENT, "count is -1");
    WRITE_REFUSED("x", 1, NULL, t, NULL, CT_ERR_ARGUMENT, "names is NULL");
    WRITE_REFUSED("x", 1, fine, NULL, NULL, CT_ERR_ARGUMENT, "tensors is NULL");
    WRITE_REFUSED("x", 1, none, t, NULL, CT_ERR_ARGUMENT, "names[0] is NULL");
    WRITE_REFUSED("x", 2, fine, ((ct_tensor *const[]){ a, NULL }), NULL, CT_ERR_ARGUMENT,
                  "tensors[1] is NULL");
    WRITE_REFUSED("x", 2, twice, t, NULL, CT_ERR_ARGUMENT, "name ... twice");
    WRITE_REFUSED("x", 1, reserved, t, NULL, CT_ERR_ARGUMENT, "\"__metadata__\" ... reserved");
    WRITE_REFUSED("x", 1, latin, t, NULL, CT_ERR_ARGUMENT, "name ... UTF-8");
    WRITE_REFUSED("x", 1, surrogate, t, NULL, CT_ERR_ARGUMENT, "name ... UTF-8");
    WRITE_REFUSED("x", 1, fine, t, ((ct_metadata[]){ { "k", NULL }, { 0 } }), CT_ERR_ARGUMENT,
                  "key ... value");
    WRITE_REFUSED("x", 1, fine, t, ((ct_metadata[]){ { "k", "1" }, { "k", "2" }, { 0 } }),
                  CT_ERR_ARGUMENT, "key ... twice");
    WRITE_REFUSED("x", 1, fine, t, ((ct_metadata[]){ { "k", "\xff" }, { 0 } }), CT_ERR_ARGUMENT,
                  "key ... UTF-8");
    WRITE_REFUSED("x", 1, fine, t, ((ct_metadata[]){ { "cotangent.payload_sha256", "" }, { 0 } }),
                  CT_ERR_ARGUMENT, "\"cotangent.payload_sha256\" ... reserved");
    WRITE_REFUSED("x", 1, fine, t, ((ct_metadata[]){ { "cotangent.header_sha256", "" }, { 0 } }),
                  CT_ERR_ARGUMENT, "\"cotangent.header_sha256\" ... reserved");
    WRITE_REFUSED("none/x", 1, fine, t, NULL, CT_ERR_IO, "No such file");
    WRITE_REFUSED(".", 1, fine, t, NULL, CT_ERR_IO, "regular file");
    WRITE_REFUSED("/dev/null", 1, fine, t, NULL, CT_ERR_IO, "regular file");
    ct_raise(CT_ERR_ARGUMENT, "test", "stands"); /* a side effect: refused */
    ck_assert_int_eq(ct_safetensors_write("x", 1, fine, t, NULL), CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "test", "stands");
    ck_assert_int_eq(count_files(), 0);
    ck_assert_int_eq(ct_scope_end(s), CT_OK);
}
END_TEST

/* A file that is replaced keeps its mode, a link to it stays a link. */
/* The longest header that is read is also the longest that is written. */
START_TEST(largest_header)
{
    static const size_t limit = 100000000;
    char *text = malloc(limit + 9), word[100], *bytes;
    ct_metadata metadata[] = { { "x", "" }, { NULL, NULL } };
    size_t n, used;
    ct_safetensors *f;

    ck_assert_int_eq(ct_safetensors_write("x", 0, NULL, NULL, metadata), CT_OK);
    bytes = read_bytes("x", &n);
    for (used = n; bytes[used - 1] == ' '; used--)
        ;
    used -= 8; /* the length of the header without padding */
    memset(text, 'a', limit + 9);
    metadata[0].value = text;
    text[limit - used + 1] = '\0';
    ck_assert_int_eq(ct_safetensors_write("y", 0, NULL, NULL, metadata), CT_ERR_ARGUMENT);
    snprintf(word, sizeof word, "header ... %zu bytes", limit + 8);
    expect_error(CT_ERR_ARGUMENT, "ct_safetensors_write", word);
    ck_assert_int_eq(count_files(), 1);
    text[limit - used] = '\0';
    ck_assert_int_eq(ct_safetensors_write("y", 0, NULL, NULL, metadata), CT_OK);
    if (harness_full()) { /* takes some seconds */
        f = ct_safetensors_open("y");
        ck_assert_msg(f != NULL, "%s", ct_error_message());
        ck_assert_uint_eq(strlen(ct_safetensors_metadata(f, "x")), limit - used);
        ct_safetensors_close(f);
    }
    free(bytes);
    free(text);
}
END_TEST

START_TEST(replaced)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *a = ct_ones(CT_SHAPE(2), CT_F32, CT_CPU);
    static const char *const names[] = { "a" };
    ct_safetensors *f;
    struct stat st;

    write_bytes("x", "old", 3);
    ck_assert_int_eq(chmod("x", 0600), 0);
    ck_assert_int_eq(symlink("x", "link"), 0);
    ck_assert_int_eq(ct_safetensors_write("link", 1, names, &a, NULL), CT_OK);
    ck_assert_int_eq(lstat("link", &st), 0);
    ck_assert(S_ISLNK(st.st_mode));
    ck_assert_int_eq(stat("x", &st), 0);
    ck_assert_int_eq(st.st_mode & 07777, 0600);
    f = ct_safetensors_open("x");
    ck_assert_ptr_nonnull(f);
    ct_safetensors_close(f);
    ck_assert_int_eq(count_files(), 2);
    ck_assert_int_eq(ct_scope_end(s), CT_OK);
}
END_TEST

/* ---- failing calls ---- */

static const char *const pair[] = { "a", "b" };

/* Checks that x is the old file or, if `whole` is true, the new one, and that there is no other
 * file. */
static void expect_file(const char *old, size_t old_size, bool whole)
{
    size_t n;
    char *now = read_bytes("x", &n);

    ck_assert_int_eq(n == old_size && memcmp(now, old, n) == 0, !whole);
    ck_assert_int_eq(count_files(), 1);
    free(now);
}

/* Writes x repeatedly; each time another call fails, until none fails. */
static void write_failing(void (*arm)(int k), const int *seen, ct_status status, int at_least)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *t[] = { ct_ones(CT_SHAPE(9), CT_F32, CT_CPU),
                       ct_zeros(CT_SHAPE(3, 2), CT_I64, CT_CPU) };
    size_t n;
    char *old;
    int k, calls;

    t[1] = ct_transpose(t[1], 0, 1); /* needs a copy, and so memory */
    ct_memory_trim();
    arm(0);
    ck_assert_int_eq(ct_safetensors_write("x", 2, pair, t, NULL), CT_OK);
    fail_nothing();
    calls = *seen;
    write_bytes("x", "old", 3);
    old = read_bytes("x", &n);
    for (k = 1;; k++) {
        ct_status got;
        bool synced;

        ct_memory_trim();
        arm(k);
        got = ct_safetensors_write("x", 2, pair, t, NULL);
        if (*seen < k)
            break;
        fail_nothing();
        if (got == CT_OK) { /* a failure to close the folder does not matter, and the pool retries
                             * an allocation */
            ck_assert_msg(k == calls || seen == &allocations_seen, "call %d of %d", k, calls);
            expect_file(old, n, true);
            write_bytes("x", "old", 3);
            continue;
        }
        ck_assert_msg(got == status, "call %d: %s", k, ct_error_message());
        synced = !strstr(ct_error_message(), "folder");
        expect_file(old, n, !synced);
        if (!synced)
            write_bytes("x", "old", 3);
        ct_error_clear();
    }
    fail_nothing();
    ck_assert_int_ge(k, at_least);
    expect_ok();
    expect_file(old, n, true);
    free(old);
    ck_assert_int_eq(ct_scope_end(s), CT_OK);
}

/* The temporary file is synced before the rename, and the folder after it. */
START_TEST(write_order)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *t = ct_ones(CT_SHAPE(2), CT_F32, CT_CPU);

    fail_file_call(0);
    ck_assert_int_eq(ct_safetensors_write("x", 1, pair, &t, NULL), CT_OK);
    ck_assert_str_eq(files_log, "oowscnsc");
    ck_assert_int_eq(ct_scope_end(s), CT_OK);
}
END_TEST

/* Calls that fail with an errno, or write 0 bytes. */
static char folder_opened[200];

static int folder_error, sync_error, sync_calls, zero_writes;
static cti_file_table before;

static int open_noted(const char *path, int flags, int mode)
{
    if (!(flags & O_DIRECTORY))
        return strncmp(path, "/x.", 3) == 0 ? (errno = EROFS, -1) : before.open(path, flags, mode);
    snprintf(folder_opened, sizeof folder_opened, "%s", path);
    errno = folder_error;
    return folder_error ? -1 : before.open(path, flags, mode);
}

static int sync_noted(int fd)
{
    (void)fd;
    if (++sync_calls == 1)
        return 0;
    errno = sync_error;
    return sync_error ? -1 : 0;
}

static ssize_t write_nothing(int fd, const void *bytes, size_t n)
{
    errno = EINTR;
    return zero_writes ? 0 : before.write(fd, bytes, n);
}

static ct_status write_noted(const char *path)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *t = ct_ones(CT_SHAPE(2), CT_F32, CT_CPU);
    ct_status status;

    sync_calls = 0;
    before = cti_file_calls;
    cti_file_calls.open = open_noted;
    cti_file_calls.fsync = sync_noted;
    cti_file_calls.write = write_nothing;
    status = ct_safetensors_write(path, 1, pair, &t, NULL);
    cti_file_calls = before;
    folder_error = sync_error = zero_writes = 0;
    ck_assert_int_eq(ct_error(), status);
    (void)!ct_scope_end(s);
    return status;
}

/* The folder of the file is synced; a folder that cannot be read or synced is not an error. */
START_TEST(folders)
{
    char here[200], want[400];
    int i;

    ck_assert_ptr_nonnull(getcwd(here, sizeof here));
    ck_assert_int_eq(write_noted("x"), CT_OK);
    ck_assert_str_eq(folder_opened, ".");
    ck_assert_int_eq(write_noted("x"), CT_OK); /* the file exists now */
    ck_assert_str_eq(folder_opened, here);
    snprintf(want, sizeof want, "%s/y", here);
    ck_assert_int_eq(write_noted(want), CT_OK);
    ck_assert_str_eq(folder_opened, here);
    ck_assert_int_eq(write_noted("./z"), CT_OK);
    ck_assert_str_eq(folder_opened, ".");
    ck_assert_int_eq(write_noted("/x.safetensors"), CT_ERR_IO);
    ck_assert_str_eq(folder_opened, "/");
    expect_error(CT_ERR_IO, "ct_safetensors_write", "Read-only");
    for (i = 0; i < 2; i++) {
        sync_error = i ? EINVAL : ENOTSUP;
        ck_assert_int_eq(write_noted("x"), CT_OK);
        ck_assert_int_eq(sync_calls, 2);
    }
    sync_error = EROFS;
    ck_assert_int_eq(write_noted("x"), CT_ERR_IO);
    snprintf(want, sizeof want, "%s/x ... folder ... synced", here);
    expect_error(CT_ERR_IO, "ct_safetensors_write", want);
    folder_error = EACCES;
    ck_assert_int_eq(write_noted("x"), CT_OK);
    ck_assert_int_eq(sync_calls, 1);
    folder_error = EROFS;
    ck_assert_int_eq(write_noted("x"), CT_ERR_IO);
    expect_error(CT_ERR_IO, "ct_safetensors_write", "Read-only");
    zero_writes = 1;
    ck_assert_int_eq(write_noted("x"), CT_ERR_IO);
    snprintf(want, sizeof want, "%s/x ... Input/output error", here);
    expect_error(CT_ERR_IO, "ct_safetensors_write", want);
    ck_assert_int_eq(count_files(), 3);
}
END_TEST

/* Up to a hundred temporary files of other writers do not prevent a write; files of killed programs
 * are removed. */
START_TEST(left_behind)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *t = ct_ones(CT_SHAPE(2), CT_F32, CT_CPU);
    int held[100], i;
    char name[100];

    for (i = 0; i < 100; i++) {
        if (i == 1 || i == 99) {
            ck_assert_int_eq(ct_safetensors_write("x", 1, pair, &t, NULL), CT_OK);
            ck_assert_int_eq(count_files(), i + 1);
            remove("x");
        }
        snprintf(name, sizeof name, "x.cotangent-%d.tmp", i);
        held[i] = open(name, O_WRONLY | O_CREAT, 0666);
        ck_assert_int_eq(flock(held[i], LOCK_EX), 0);
    }
    ck_assert_int_eq(ct_safetensors_write("x", 1, pair, &t, NULL), CT_ERR_IO);
    expect_error(CT_ERR_IO, "ct_safetensors_write", "File exists");
    ck_assert_int_eq(count_files(), 100);
    for (i = 0; i < 100; i++)
        close(held[i]);
    ck_assert_int_eq(ct_safetensors_write("x", 1, pair, &t, NULL), CT_OK);
    ck_assert_int_eq(count_files(), 1);
    ck_assert_int_eq(ct_scope_end(s), CT_OK);
}
END_TEST

START_TEST(write_calls_fail)
{
    write_failing(fail_file_call, &files_seen, CT_ERR_IO, 15);
    write_failing(fail_allocation, &allocations_seen, CT_ERR_MEMORY, 4);
}
END_TEST

/* Reads x repeatedly; each time another call fails, until none fails. */
static void read_failing(void (*arm)(int k), const int *seen, ct_status status, int at_least)
{
    int k;

    for (k = 1;; k++) {
        ct_scope s = ct_scope_begin();
        ct_tensor *t = NULL;
        ct_safetensors *f;

        ct_memory_trim();
        arm(k);
        f = ct_safetensors_open("x");
        ck_assert_msg((f != NULL) == (ct_ok() != 0), "call %d: %s", k, ct_error_message());
        if (f)
            t = ct_safetensors_get(f, "a", CT_CPU);
        ct_safetensors_close(f);
        fail_nothing();
        if (t)
            expect_values("a", t, (double[]){ 1, 1, 1 }, 3, 0);
        else
            ck_assert_msg(ct_error() == status, "call %d: %s", k, ct_error_message());
        ct_error_clear();
        ck_assert_int_eq(ct_scope_end(s), CT_OK);
        if (*seen < k)
            break;
    }
    ck_assert_int_ge(k, at_least);
}

START_TEST(read_calls_fail)
{
    ct_scope s = ct_scope_begin();
    ct_tensor *t = ct_ones(CT_SHAPE(3), CT_F32, CT_CPU);

    ck_assert_int_eq(ct_safetensors_write("x", 1, pair, &t, NULL), CT_OK);
    ck_assert_int_eq(ct_scope_end(s), CT_OK);
    read_failing(fail_file_call, &files_seen, CT_ERR_IO, 9);
    read_failing(fail_allocation, &allocations_seen, CT_ERR_MEMORY, 6);
}
END_TEST

void safetensors_write_cases(Suite *suite)
{
    TCase *tc = harness_case(suite, "safetensors");

    tcase_add_checked_fixture(tc, files_setup, files_teardown);
    tcase_add_test(tc, bad_writes);
    tcase_add_test(tc, largest_header);
    tcase_add_test(tc, replaced);
    tcase_add_test(tc, write_order);
    tcase_add_test(tc, folders);
    tcase_add_test(tc, left_behind);
    tcase_add_test(tc, write_calls_fail);
    tcase_add_test(tc, read_calls_fail);
}
