/* SPDX-License-Identifier: MIT */
/* test_file.c - the writer of whole files: links, permissions, files of killed programs, errors;
 * text for terminals; numbers in a comma locale. */
#include "tensor/internal.h"

#include "tensor/atomic_file.h"
#include "tensor/hooks.h"
#include "tensor/text.h"

#include "tests/comma_locale.h"
#include "tests/files.h"
#include "tests/harness.h"

#include <cotangent.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static void expect_content(const char *path, const char *content)
{
    size_t size;
    char *bytes = read_bytes(path, &size);

    ck_assert_uint_eq(size, strlen(content));
    ck_assert_mem_eq(bytes, content, size);
    free(bytes);
}

static ct_status write_text(const char *path, const char *text)
{
    return ct_file_write(path, text, strlen(text));
}

START_TEST(written)
{
    ck_assert_int_eq(ct_file_try("x"), CT_OK);
    ck_assert_int_eq(count_files(), 0);
    ck_assert_int_eq(write_text("x", "one"), CT_OK);
    expect_content("x", "one");
    ck_assert_int_eq(ct_file_try("x"), CT_OK);
    expect_content("x", "one");
    ck_assert_int_eq(write_text("./x", "second"), CT_OK);
    expect_content("x", "second");
    ck_assert_int_eq(ct_file_write("x", NULL, 0), CT_OK);
    expect_content("x", "");
    ck_assert_int_eq(count_files(), 1);

    ct_raise(CT_ERR_ARGUMENT, "f", "stands");
    ck_assert_int_eq(write_text("x", "third"), CT_ERR_ARGUMENT);
    ck_assert_int_eq(ct_file_try("y"), CT_ERR_ARGUMENT);
    expect_error(CT_ERR_ARGUMENT, "f", "stands");
    expect_content("x", "");
}
END_TEST

/* ---- permissions ---- */

START_TEST(permissions)
{
    static const struct {
        mode_t old, want;
    } modes[] = { { 0600, 0600 },  { 0640, 0640 },  { 0755, 0755 },  { 0444, 0444 },
                  { 04755, 0755 }, { 02755, 0755 }, { 01666, 0666 }, { 07777, 0777 } };
    mode_t mask = umask(027);
    struct stat st;

    ck_assert_int_eq(write_text("x", "new"), CT_OK);
    ck_assert_int_eq(stat("x", &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0640);
    for (int i = 0; i < LENGTH(modes); i++) {
        ck_assert_int_eq(chmod("x", modes[i].old), 0);
        ck_assert_int_eq(write_text("x", "again"), CT_OK);
        ck_assert_int_eq(stat("x", &st), 0);
        ck_assert_uint_eq(st.st_mode & 07777, modes[i].want);
    }
    umask(mask);
}
END_TEST

/* A file of another owner keeps its owner; if that is impossible, no user gets more permissions. */
START_TEST(owners)
{
    struct stat st;

    if (geteuid() != 0)
        return;
    ck_assert_int_eq(write_text("x", "old"), CT_OK);
    ck_assert(chown("x", 12, 34) == 0 && chmod("x", 0640) == 0 && chmod(".", 0777) == 0);
    ck_assert_int_eq(write_text("x", "new"), CT_OK);
    ck_assert_int_eq(stat("x", &st), 0);
    ck_assert(st.st_uid == 12 && st.st_gid == 34 && (st.st_mode & 07777) == 0640);

    ck_assert(setegid(65534) == 0 && seteuid(65534) == 0);
    ck_assert_int_eq(write_text("x", "other"), CT_OK);
    ck_assert_int_eq(stat("x", &st), 0);
    ck_assert(st.st_uid == 65534 && st.st_gid == 65534 && (st.st_mode & 07777) == 0600);
    ck_assert(seteuid(0) == 0 && setegid(0) == 0 && chmod(".", 0755) == 0 && seteuid(65534) == 0);
    ck_assert_int_eq(write_text("x", "none"), CT_ERR_IO);
    ck_assert(seteuid(0) == 0);
    expect_error(CT_ERR_IO, "ct_file_write", "x ... Permission denied");
    ck_assert(seteuid(65534) == 0);
    ck_assert_int_eq(ct_file_try("y"), CT_ERR_IO);
    ck_assert(seteuid(0) == 0);
    expect_error(CT_ERR_IO, "ct_file_try", "y ... Permission denied");
    expect_content("x", "other");
    ck_assert_int_eq(count_files(), 1);
}
END_TEST

/* ---- links ---- */

/* The link stays, and its target is written, whether it exists or not. */
START_TEST(links)
{
    static const struct {
        const char *link, *target, *file;
    } rows[] = {
        { "there", "x", "x" },
        { "dangling", "new", "new" },
        { "of", "folder/of", "folder/of" },
        { "folder/up", "../up", "up" },
        { "first", "second", "last" },
        { "in", "through/in", "folder/in" },
    };
    struct stat st;

    ck_assert_int_eq(mkdir("folder", 0777), 0);
    ck_assert_int_eq(symlink("folder", "through"), 0);
    ck_assert_int_eq(symlink("last", "second"), 0);
    ck_assert_int_eq(write_text("x", "old"), CT_OK);
    for (int i = 0; i < LENGTH(rows); i++) {
        ck_assert_int_eq(symlink(rows[i].target, rows[i].link), 0);
        ck_assert_int_eq(ct_file_try(rows[i].link), CT_OK);
        ck_assert_int_eq(write_text(rows[i].link, rows[i].link), CT_OK);
        ck_assert_int_eq(lstat(rows[i].link, &st), 0);
        ck_assert(S_ISLNK(st.st_mode));
        ck_assert_int_eq(lstat(rows[i].file, &st), 0);
        ck_assert(S_ISREG(st.st_mode));
        expect_content(rows[i].file, rows[i].link);
    }
    ck_assert_int_eq(symlink("loop", "loop"), 0);
    ck_assert_int_eq(write_text("loop", "x"), CT_ERR_IO);
    expect_error(CT_ERR_IO, "ct_file_write", "Too many levels");
    ck_assert_int_eq(symlink("no/where", "lost"), 0);
    ck_assert_int_eq(write_text("lost", "x"), CT_ERR_IO);
    expect_error(CT_ERR_IO, "ct_file_write", "No such file");
    ck_assert_int_eq(system("rm -r folder"), 0);
}
END_TEST

START_TEST(hard_links)
{
    ck_assert_int_eq(write_text("x", "old"), CT_OK);
    ck_assert_int_eq(link("x", "y"), 0);
    ck_assert_int_eq(write_text("x", "new"), CT_OK);
    expect_content("x", "new");
    expect_content("y", "old");
}
END_TEST

/* ---- errors ---- */

START_TEST(refused)
{
    static const struct {
        const char *path, *word;
    } rows[] = {
        { ".", "not a regular file" },       { "/dev/null", "not a regular file" },
        { "fifo", "not a regular file" },    { "socket", "not a regular file" },
        { "to fifo", "not a regular file" }, { "no/such/folder", "No such file" },
        { "x/y", "Not a directory" },        { "", "No such file" },
    };
    struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = "socket" };
    int s = socket(AF_UNIX, SOCK_STREAM, 0);

    ck_assert_int_eq(bind(s, (struct sockaddr *)&address, sizeof address), 0);
    close(s);
    ck_assert_int_eq(mkfifo("fifo", 0666), 0);
    ck_assert_int_eq(symlink("fifo", "to fifo"), 0);
    ck_assert_int_eq(write_text("x", "old"), CT_OK);
    for (int i = 0; i < LENGTH(rows); i++) {
        ck_assert_int_eq(write_text(rows[i].path, "new"), CT_ERR_IO);
        expect_error(CT_ERR_IO, "ct_file_write", rows[i].word);
        ck_assert_int_eq(ct_file_try(rows[i].path), CT_ERR_IO);
        expect_error(CT_ERR_IO, "ct_file_try", rows[i].word);
    }
    ck_assert_int_eq(count_files(), 4);
    expect_content("x", "old");
}
END_TEST

/* A model cannot be read from a FIFO, and the attempt does not wait for a writer. */
START_TEST(read_from_fifo)
{
    ck_assert_int_eq(mkfifo("fifo", 0666), 0);
    ck_assert_ptr_null(ct_safetensors_open("fifo"));
    expect_error(CT_ERR_IO, "ct_safetensors_open", "fifo ... not a regular file");
    ck_assert_ptr_null(ct_safetensors_open("/dev/zero"));
    expect_error(CT_ERR_IO, "ct_safetensors_open", "not a regular file");
}
END_TEST

/* ---- programs that are killed ---- */

/* The next write of a path removes the temporary files of killed programs and keeps those of
 * running programs. */
START_TEST(killed)
{
    cti_atomic_file live, other;
    pid_t child = fork();
    int status;

    if (child == 0) {
        cti_atomic_file f[2];

        for (int i = 0; i < 2; i++)
            if (!cti_atomic_begin(&f[i], NULL, "x") || !cti_atomic_write(&f[i], "half", 4))
                _exit(1);
        _exit(0);
    }
    ck_assert(waitpid(child, &status, 0) == child && status == 0);
    ck_assert_int_eq(count_files(), 2);
    ck_assert(cti_atomic_begin(&live, "f", "x") && cti_atomic_write(&live, "live", 4));
    ck_assert_int_eq(count_files(), 1);
    ck_assert(cti_atomic_begin(&other, "f", "x") && cti_atomic_write(&other, "other", 5));
    ck_assert_int_eq(count_files(), 2);
    ck_assert_int_eq(write_text("y", "y"), CT_OK);
    ck_assert_int_eq(write_text("x", "third"), CT_OK);
    ck_assert_int_eq(count_files(), 4);
    ck_assert(cti_atomic_commit(&live));
    expect_content("x", "live");
    ck_assert(cti_atomic_commit(&other));
    expect_content("x", "other");
    ck_assert_int_eq(count_files(), 2);
}
END_TEST

/* Eight processes write one path repeatedly: no write fails, and the file is always complete. */
START_TEST(many_writers)
{
    char text[3000];

    for (int i = 0; i < 8; i++)
        if (fork() == 0) {
            memset(text, 'a' + i, sizeof text);
            for (int n = 0; n < 50; n++)
                if (ct_file_write("x", text, sizeof text) != CT_OK)
                    _exit(1);
            _exit(0);
        }
    for (int i = 0, status; i < 8; i++)
        ck_assert(wait(&status) > 0 && status == 0);
    ck_assert_int_eq(count_files(), 1);
}
END_TEST

/* ---- calls that fail ---- */

static void failing(void (*arm)(int k), const int *seen, ct_status status, int at_least)
{
    bool done = false;
    int k;

    for (k = 1; !done; k++) {
        ct_status wrote;

        write_bytes("x", "old", 3);
        arm(k);
        wrote = k % 2 ? ct_file_try("x") : CT_OK;
        wrote = wrote == CT_OK ? write_text("x", "new") : wrote;
        done = *seen < k;
        fail_nothing();
        if (wrote != CT_OK) {
            expect_content("x", strstr(ct_error_message(), "folder") ? "new" : "old");
            ck_assert_msg(ct_error() == status, "call %d: %s", k, ct_error_message());
        } else {
            expect_content("x", "new");
        }
        ck_assert_int_eq(count_files(), 1);
        ct_error_clear();
    }
    ck_assert_int_ge(k, at_least);
}

START_TEST(calls_fail)
{
    failing(fail_file_call, &files_seen, CT_ERR_IO, 7);
    failing(fail_allocation, &allocations_seen, CT_ERR_MEMORY, 4);
}
END_TEST

/* A file never gets the descriptor of stdin, stdout or stderr. */
START_TEST(standard_descriptors)
{
    int kept[3], fd;

    fflush(stdout);
    for (int i = 0; i < 3; i++) {
        kept[i] = fcntl(i, F_DUPFD, 10);
        close(i);
    }
    fd = cti_file_calls.open("x", O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    cti_file_calls.close(fd);
    for (int i = 0; i < 3; i++) {
        if (kept[i] >= 0)
            dup2(kept[i], i);
        close(kept[i]);
    }
    ck_assert_int_gt(fd, 2);
}
END_TEST

/* ---- text for a terminal ---- */

static const struct {
    const char *text, *shown;
} texts[] = {
    { "", "" },
    { "plain ~", "plain ~" },
    { "caf\303\251 \342\202\254 \360\237\230\200", "caf\303\251 \342\202\254 \360\237\230\200" },
    { "\033[31mred\a\b\t\r\n", "?[31mred?????" },
    { "\177", "?" },
    { "\302\200\302\233\302\237\302\240", "???\302\240" }, /* U+0080, U+009B, U+009F; U+00A0 */
    { "\233m", "?m" },                                     /* not UTF-8 */
    { "\303", "?" },
    { "\300\233\355\240\200", "?????" },
    { "a\377b", "a?b" },
};

START_TEST(printable)
{
    char *shown = NULL;
    size_t size;

    for (int i = 0; i < LENGTH(texts); i++) {
        FILE *out = open_memstream(&shown, &size);
        char quoted[140];

        ct_print_text(texts[i].text, out);
        fclose(out);
        ck_assert_str_eq(shown, texts[i].shown);
        free(shown);
        snprintf(quoted, sizeof quoted, "\"%s\"", texts[i].shown);
        ck_assert_str_eq(cti_quote(texts[i].text).s, quoted);
        (ct_raise)(CT_ERR_IO, "f", "%s: no", texts[i].text);
        snprintf(quoted, sizeof quoted, "f: %s: no", texts[i].shown);
        ck_assert_str_eq(ct_error_message(), quoted);
        ct_error_clear();
    }
    ct_print_text(NULL, stdout);
    expect_error(CT_ERR_ARGUMENT, "ct_print_text", "text is NULL");
    ct_print_text("x", NULL);
    expect_error(CT_ERR_ARGUMENT, "ct_print_text", "out is NULL");
}
END_TEST

/* The longest quote, cut between two characters. */
START_TEST(cut_quotes)
{
    char text[200], want[200];

    for (int lead = 0; lead < 4; lead++) {
        memset(text, 'x', sizeof text);
        for (size_t i = (size_t)lead; i + 4 < sizeof text; i += 4)
            memcpy(text + i, "\360\237\230\200", 4);
        text[sizeof text - 1] = '\0';
        snprintf(want, sizeof want, "\"%.*s...\"", lead ? 96 + lead : 100, text);
        ck_assert_str_eq(cti_quote(text).s, want);
    }
    memset(text, 'x', 100);
    text[100] = '\0';
    ck_assert_uint_eq(strlen(cti_quote(text).s), 102);
    text[100] = '\n';
    ck_assert_uint_eq(strlen(cti_quote(text).s), 105);
}
END_TEST

/* ---- numbers ---- */

START_TEST(comma_locale)
{
    const bool comma = comma_locale_begin(); /* the messages are the same without such a locale */
    ct_scope s = ct_scope_begin();
    cti_line line = { .n = 0 };
    char text[40];

    cti_format(text, sizeof text, "%g %.2f", 0.5, 1.25);
    ck_assert_str_eq(text, "0.5 1.25");
    cti_line_add(&line, "%.1f", 2.5);
    ck_assert_str_eq(line.s, "2.5");
    ct_raise(CT_ERR_NUMERIC, "f", "x is %g", 1.5);
    expect_error(CT_ERR_NUMERIC, "f", "x is 1.5");
    ck_assert_ptr_null(ct_clamp(ct_ones(CT_SHAPE(2), CT_F32, CT_CPU), 2.5, 1.5));
    expect_error(CT_ERR_ARGUMENT, "ct_clamp", "low is 2.5 and high is 1.5");
    snprintf(text, sizeof text, "%g", 1.5); /* the program's locale has not changed */
    ck_assert_str_eq(text, comma ? "1,5" : "1.5");
    comma_locale_end();
    ck_assert_int_eq(ct_scope_end(s), CT_OK);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("file");
    TCase *tc = harness_case(suite, "file");

    tcase_add_checked_fixture(tc, files_setup, files_teardown);
    tcase_add_test(tc, written);
    tcase_add_test(tc, permissions);
    tcase_add_test(tc, owners);
    tcase_add_test(tc, links);
    tcase_add_test(tc, hard_links);
    tcase_add_test(tc, refused);
    tcase_add_test(tc, read_from_fifo);
    tcase_add_test(tc, killed);
    tcase_add_test(tc, many_writers);
    tcase_add_test(tc, calls_fail);
    tcase_add_test(tc, standard_descriptors);
    tcase_add_test(tc, printable);
    tcase_add_test(tc, cut_quotes);
    tcase_add_test(tc, comma_locale);
    return harness_run(suite);
}
