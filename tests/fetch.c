/* SPDX-License-Identifier: MIT */
/* fetch.c - tests of texts: reading, checking, and finding The Time Machine. */
#include "tensor/internal.h"

#include "tensor/hooks.h"
#include "tests/fetch.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ftw.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cotangent/data/timemachine.h>
#include <cotangent/tensor/random.h>

/* ---- common functions ---- */

const char *known_path;
static char folder[200]; /* a folder for each test, which is removed after it */

char *in_folder(const char *name)
{
    static char path[4][1200];
    static int turn;

    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof path[turn], "%s/%s", folder, name);
    return path[turn];
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void setup(void)
{
    const char *tmp = getenv("TMPDIR");

    snprintf(folder, sizeof folder, "%s/cotangent-data-XXXXXX",
             tmp && strlen(tmp) < 150 ? tmp : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    unsetenv("COTANGENT_DATA_DIR");
    setenv("XDG_CACHE_HOME", in_folder("cache"), 1);
    setenv("HOME", in_folder("home"), 1);
    setenv("COTANGENT_TIMEMACHINE_URL", "http://127.0.0.1:1/timemachine.txt", 1);
    setenv("no_proxy", "*", 1);
    harness_setup();
}

void teardown(void)
{
    nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    harness_teardown();
}

void expect_in(int line, const char *text, const char *part)
{
    ck_assert_msg(text && strstr(text, part), "line %d: '%s' is not in '%s'", line, part, text);
}

char *prose(size_t size)
{
    ct_generator g = ct_generator_stream(ct_generator_from_seed(1), "prose");
    char *s = malloc(size + 1);
    size_t i;

    ck_assert_ptr_nonnull(s);
    for (i = 0; i < size; i++)
        s[i] = "abcdefghijklmnopqrstuvwxyz "[ct_random_below(&g, 27)];
    s[size] = '\0';
    return s;
}

bool without_corpus(const char *test)
{
    if (!known_path)
        printf("%s: skipped, there is no $COTANGENT_DATA_DIR/timemachine.txt\n", test);
    return !known_path;
}

void find_known(void)
{
    static char path[4096];
    const char *dir = getenv("COTANGENT_DATA_DIR");

    if (!dir || !dir[0])
        return;
    snprintf(path, sizeof path, "%s/timemachine.txt", dir);
    if (access(path, R_OK) == 0)
        known_path = path;
}

/* ---- texts ---- */

START_TEST(sha256)
{
    static const struct {
        const char *text, *hex;
    } cases[] = {
        /* FIPS 180-4's examples */
        { "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
        { "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
        { "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
          "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
    };
    char hex[65];
    int i;

    for (i = 0; i < LENGTH(cases); i++) {
        ct_sha256_hex(cases[i].text, strlen(cases[i].text), hex);
        ck_assert_str_eq(hex, cases[i].hex);
    }
}
END_TEST

START_TEST(text_read)
{
    const char *path = in_folder("a.txt");
    char *large = prose(3000000);
    ct_text *t;

    write_bytes(path, "Hello\r\n\xff", 8);
    t = ct_text_read(path);
    ck_assert_ptr_nonnull(t);
    ck_assert_uint_eq(ct_text_size(t), 8);
    ck_assert_str_eq(ct_text_bytes(t), "Hello\r\n\xff");
    EXPECT_IN(ct_text_source(t), path);
    EXPECT_IN(ct_text_source(t), "text: ");
    EXPECT_IN(ct_text_source(t), "(8 bytes)");
    ck_assert(!ct_text_is_sample(t));
    ct_text_free(t);

    write_bytes(path, "\xef\xbb\xbfHello", 8); /* the byte order mark of UTF-8 is dropped */
    t = ct_text_read(path);
    ck_assert_ptr_nonnull(t);
    ck_assert_uint_eq(ct_text_size(t), 5);
    ck_assert_str_eq(ct_text_bytes(t), "Hello");
    ct_text_free(t);

    write_bytes(path, large, 3000000); /* the reader needs several pieces */
    t = ct_text_new_timemachine(path); /* any text is allowed */
    ck_assert_ptr_nonnull(t);
    ck_assert_uint_eq(ct_text_size(t), 3000000);
    ck_assert_str_eq(ct_text_bytes(t), large);
    ct_text_free(t);
    free(large);
    expect_ok();
}
END_TEST

START_TEST(text_bad)
{
    static const struct {
        const char *name, *bytes;
        size_t size;
        ct_status code;
        const char *word;
    } cases[] = {
        { "empty", "", 0, CT_ERR_FORMAT, "is empty" },
        { "letterless", "1895. \xc3\xff [@`{\n", 13, CT_ERR_FORMAT, "has no letter" },
        { "binary", "abc\0def", 7, CT_ERR_FORMAT, "a NUL byte at offset 3" },
        { "utf16",
          "\xff\xfe"
          "a\0b\0",
          6, CT_ERR_FORMAT, "is UTF-16" },
        { "utf16be", "\xfe\xff\x4e\x2d", 4, CT_ERR_FORMAT, "is UTF-16" },
        { "utf32", "\xff\xfe\0\0a\0\0", 8, CT_ERR_FORMAT, "is UTF-32" },
        { "utf32be", "\0\0\xfe\xff\0\0\0a", 8, CT_ERR_FORMAT, "is UTF-32" },
        { "mark", "\xef\xbb\xbf", 3, CT_ERR_FORMAT, "is empty" },
        { "nul", "\0", 1, CT_ERR_FORMAT, "a NUL byte at offset 0" },
    };
    int i;

    for (i = 0; i < LENGTH(cases); i++) {
        const char *path = in_folder(cases[i].name);
        char word[1400];

        snprintf(word, sizeof word, "%s: ... %s", path, cases[i].word);
        write_bytes(path, cases[i].bytes, cases[i].size);
        ck_assert_ptr_null(ct_text_read(path));
        expect_error(cases[i].code, "ct_text_read", word);
        ck_assert_ptr_null(ct_text_new_from_bytes(cases[i].bytes, cases[i].size, "Name"));
        snprintf(word, sizeof word, "Name: ... %s", cases[i].word);
        expect_error(cases[i].code, "ct_text_new_from_bytes", word);
    }
}
END_TEST

START_TEST(text_unreadable)
{
    const char *path = in_folder("secret");

    ck_assert_ptr_null(ct_text_read(in_folder("none")));
    expect_error(CT_ERR_IO, "ct_text_read", "/none: No such file or directory");
    ck_assert_ptr_null(ct_text_new_timemachine(in_folder("none")));
    expect_error(CT_ERR_IO, "ct_text_read", "/none: No such file or directory");
    ck_assert_ptr_null(ct_text_read(folder));
    expect_error(CT_ERR_IO, "ct_text_read", "Is a directory");
    ck_assert_ptr_null(ct_text_read(""));
    expect_error(CT_ERR_IO, "ct_text_read", "No such file or directory");
    ck_assert_ptr_null(ct_text_read(NULL));
    expect_error(CT_ERR_ARGUMENT, "ct_text_read", "path is NULL");
    ck_assert_ptr_null(ct_text_new_from_bytes(NULL, 3, "x"));
    expect_error(CT_ERR_ARGUMENT, "ct_text_new_from_bytes", "bytes is NULL");
    if (geteuid() == 0) {
        printf("text_unreadable: a file without permissions skipped, root may read it\n");
        return;
    }
    write_bytes(path, "abc", 3);
    ck_assert_int_eq(chmod(path, 0), 0);
    ck_assert_ptr_null(ct_text_read(path));
    expect_error(CT_ERR_IO, "ct_text_read", "Permission denied");
}
END_TEST

START_TEST(text_null)
{
    ct_text_free(NULL);
    ck_assert_ptr_null(ct_text_bytes(NULL));
    ck_assert_uint_eq(ct_text_size(NULL), 0);
    ck_assert_str_eq(ct_text_source(NULL), "");
    ck_assert(!ct_text_is_sample(NULL));
    expect_ok();
}
END_TEST

/* ---- finding The Time Machine ---- */

static int file_count;

static int count_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)path;
    (void)st;
    (void)ftw;
    file_count += type == FTW_F;
    return 0;
}

/* Returns the number of files in the cache. */
static int cached_files(void)
{
    file_count = 0;
    nftw(in_folder("cache"), count_entry, 16, FTW_PHYS);
    return file_count;
}

static void is_known(const ct_text *t)
{
    char hex[65];

    ck_assert_msg(t != NULL, "%s", ct_error_message());
    ck_assert_msg(!ct_text_is_sample(t), "%s", ct_text_source(t));
    ct_sha256_hex(ct_text_bytes(t), ct_text_size(t), hex);
    ck_assert_str_eq(hex, BOOK_BYTES);
    ck_assert_uint_eq(strlen(ct_text_bytes(t)), ct_text_size(t));
}

/* Checks that t is the sample, and that its source line gives the reason. */
static void is_sample(int line, ct_text *t, const char *why)
{
    ck_assert_msg(t && ct_text_is_sample(t) && ct_ok(), "line %d: %s", line,
                  t ? ct_text_source(t) : ct_error_message());
    expect_in(line, ct_text_source(t), "text: sample text (");
    expect_in(line, ct_text_source(t), " bytes, part of the library): ");
    expect_in(line, ct_text_source(t), why);
    ck_assert_msg(!strchr(ct_text_source(t), '\n'), "line %d: more than one line", line);
    ct_text_free(t);
}
#define IS_SAMPLE(t, why) is_sample(__LINE__, t, why)

START_TEST(data_dir)
{
    static const struct {
        const char *text;
        bool html;
    } wrong[] = {
        { "Some other text.", false }, { "", false },
        { "Not quite <html>", false }, { "<!DOCTYPE html><html>", true },
        { " \r\n\t<HTML>\n", true },   { "<!doctype html>", true },
    };
    const char *path = in_folder("data/timemachine.txt");
    int i;

    ck_assert_int_eq(mkdir(in_folder("data"), 0777), 0);
    setenv("COTANGENT_DATA_DIR", in_folder("data"), 1);
    IS_SAMPLE(ct_text_new_timemachine(NULL), "no timemachine.txt in COTANGENT_DATA_DIR");
    for (i = 0; i < LENGTH(wrong); i++) {
        write_bytes(path, wrong[i].text, strlen(wrong[i].text));
        ck_assert_ptr_null(ct_text_new_timemachine(NULL));
        ck_assert_int_eq(strstr(ct_error_message(), "; the text looks like HTML") != NULL,
                         wrong[i].html);
        expect_error(CT_ERR_FORMAT, "ct_text_new_timemachine",
                     "data/timemachine.txt ... SHA-256 is ... must be " BOOK_BYTES);
    }
    ck_assert_int_eq(remove(path), 0);
    ck_assert_int_eq(mkdir(path, 0777), 0);
    ck_assert_ptr_null(ct_text_new_timemachine(NULL));
    expect_error(CT_ERR_IO, "ct_text_new_timemachine", "Is a directory");
    ck_assert_int_eq(cached_files(), 0);
}
END_TEST

START_TEST(data_dir_known)
{
    ct_text *t, *known;

    if (without_corpus("data_dir_known"))
        return;
    known = ct_text_read(known_path);
    ck_assert_ptr_nonnull(known);
    write_bytes(in_folder("timemachine.txt"), ct_text_bytes(known), ct_text_size(known));
    ct_text_free(known);
    setenv("COTANGENT_DATA_DIR", folder, 1);
    t = ct_text_new_timemachine(NULL);
    is_known(t);
    EXPECT_IN(ct_text_source(t), "(from COTANGENT_DATA_DIR)");
    ct_text_free(t);
}
END_TEST

START_TEST(sample_facts)
{
    static char seen[1000][1000];
    ct_text *t = ct_text_new_timemachine(NULL);
    const char *s;
    int sentences = 0, words = 0, n = 0, i;

    ck_assert_ptr_nonnull(t);
    ck_assert(ct_text_is_sample(t));
    ck_assert_uint_ge(ct_text_size(t), 38000);
    ck_assert_uint_le(ct_text_size(t), 42000);
    ck_assert_uint_eq(strlen(ct_text_bytes(t)), ct_text_size(t));
    for (s = ct_text_bytes(t); *s; s++) {
        char *sentence = seen[sentences];

        ck_assert_msg(*s == '\n' || (*s >= ' ' && *s <= '~'), "byte %d is not plain", *s);
        if (strchr(".!?", *s)) { /* only sentences of four or more words; shorter ones are from
                                  * dialogues */
            for (i = 0; words >= 4 && i < sentences; i++)
                ck_assert_msg(strcmp(seen[i], sentence) != 0, "twice: %s", sentence);
            sentences += words >= 4;
            ck_assert_int_lt(sentences, LENGTH(seen));
            words = n = 0;
        } else if ((*s | 0x20) >= 'a' && (*s | 0x20) <= 'z') {
            words += n == 0 || sentence[n - 1] == ' ';
            sentence[n++] = (char)(*s | 0x20);
        } else if (n && sentence[n - 1] != ' ') {
            sentence[n++] = ' ';
        }
        ck_assert_int_lt(n, LENGTH(seen[0]) - 1);
        seen[sentences][n] = '\0';
    }
    ck_assert_int_gt(sentences, 300);
    ct_text_free(t);
}
END_TEST

#ifdef CT_HAVE_LIBCURL

/* A server on 127.0.0.1 that gives every request the same answer. */
typedef struct server {
    const char *head, *body;
    size_t size;
    bool endless; /* sends more bytes after the body until the client disconnects */
    int fd;
    volatile int served;
    pthread_t thread;
} server;

static bool send_all(int fd, const char *bytes, size_t size)
{
    while (size) {
        ssize_t n = send(fd, bytes, size, MSG_NOSIGNAL);

        if (n <= 0)
            return false;
        bytes += n;
        size -= (size_t)n;
    }
    return true;
}

static void answer(server *s, int fd)
{
    static const char more[4096] = { 'x' };
    char request[4096] = "";
    size_t n = 0;

    while (n < sizeof request - 1 && !strstr(request, "\r\n\r\n")) {
        ssize_t got = recv(fd, request + n, sizeof request - 1 - n, 0);

        if (got <= 0)
            return;
        n += (size_t)got;
    }
    s->served++;
    if (send_all(fd, s->head, strlen(s->head)) && send_all(fd, s->body, s->size))
        while (s->endless && send_all(fd, more, sizeof more))
            ;
}

static void *serve(void *context)
{
    server *s = context;
    int fd;

    while ((fd = accept(s->fd, NULL, NULL)) >= 0) {
        answer(s, fd);
        shutdown(fd, SHUT_WR);
        close(fd);
    }
    return NULL;
}

static void server_start(server *s)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t n = sizeof at;
    char url[100];

    s->fd = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_ge(s->fd, 0);
    ck_assert_int_eq(bind(s->fd, (struct sockaddr *)&at, sizeof at), 0);
    ck_assert_int_eq(listen(s->fd, 8), 0);
    ck_assert_int_eq(getsockname(s->fd, (struct sockaddr *)&at, &n), 0);
    snprintf(url, sizeof url, "http://127.0.0.1:%d/timemachine.txt", ntohs(at.sin_port));
    setenv("COTANGENT_TIMEMACHINE_URL", url, 1);
    ck_assert_int_eq(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void server_stop(server *s)
{
    shutdown(s->fd, SHUT_RDWR);
    pthread_join(s->thread, NULL);
    close(s->fd);
}

#define OK_HEAD "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n"

/* Serves the corpus. The caller frees the result after server_stop. */
static ct_text *server_start_known(server *s)
{
    ct_text *t = ct_text_read(known_path);

    ck_assert_ptr_nonnull(t);
    *s = (server){ .head = OK_HEAD "Content-Length: 178979\r\n\r\n",
                   .body = ct_text_bytes(t),
                   .size = ct_text_size(t) };
    server_start(s);
    return t;
}

START_TEST(download_fails)
{
    static const char html[] = "<!DOCTYPE html>\n<html>Log in to the network</html>\n";
    static const struct {
        server s;
        const char *why;
    } cases[] = {
        { { .head = "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\n",
            .body = "none",
            .size = 4 },
          "no download: The requested URL returned error: 404" },
        { { .head = OK_HEAD "\r\n", .body = html, .size = sizeof html - 1 },
          "; the text looks like HTML" },
        { { .head = OK_HEAD "\r\n", .body = "The", .size = 3 },
          "is b344d80e24a3679999fa964450b34bc24d1578a35509f934c1418b0a20d21a67; "
          "it must be " BOOK_BYTES },
        { { .head = OK_HEAD "\r\n", .body = "", .size = 0 }, "is e3b0c442" },
        { { .head = OK_HEAD "Content-Length: 178979\r\n\r\n", .body = "The", .size = 3 },
          "no download: " },
        { { .head = OK_HEAD "\r\n", .body = "The", .size = 3, .endless = true },
          "no download: more than 1000000 bytes" },
        { { .head = OK_HEAD "Content-Length: 99999999999\r\n\r\n",
            .body = "The",
            .size = 3,
            .endless = true },
          "no download: more than 1000000 bytes" },
        { { .head = "HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\n\r\n", .body = "" },
          "no download: Protocol " }, /* a file: URL is refused before anything is read */
        { { .head = "not HTTP at all\r\n\r\n", .body = "" }, "no download: " },
    };
    int i;

    for (i = 0; i < LENGTH(cases); i++) {
        server s = cases[i].s;

        server_start(&s);
        IS_SAMPLE(ct_text_new_timemachine(NULL), cases[i].why);
        server_stop(&s);
        ck_assert_msg(s.served >= 1, "case %d was not asked", i);
        ck_assert_int_eq(cached_files(), 0);
    }
    IS_SAMPLE(ct_text_new_timemachine(NULL), "no download: "); /* the server has stopped */
    setenv("COTANGENT_TIMEMACHINE_URL", "file:///etc/passwd", 1);
    IS_SAMPLE(ct_text_new_timemachine(NULL), "no download: Protocol ");
    ck_assert_int_eq(cached_files(), 0);
}
END_TEST

START_TEST(download)
{
    ct_text *t, *known;
    server s;

    if (without_corpus("download"))
        return;
    known = server_start_known(&s);
    t = ct_text_new_timemachine(NULL);
    is_known(t);
    EXPECT_IN(ct_text_source(t),
              "/cache/cotangent/timemachine.txt (downloaded from http://127.0.0.1:");
    ct_text_free(t);
    ck_assert_int_eq(s.served, 1);
    ck_assert_int_eq(cached_files(), 1);

    t = ct_text_new_timemachine(NULL); /* now it is in the cache */
    is_known(t);
    EXPECT_IN(ct_text_source(t), "/cache/cotangent/timemachine.txt (cached)");
    ct_text_free(t);
    ck_assert_int_eq(s.served, 1);

    write_bytes(in_folder("cache/cotangent/timemachine.txt"), "damaged", 7); /* is downloaded
                                                                              * again */
    t = ct_text_new_timemachine(NULL);
    is_known(t);
    ct_text_free(t);
    ck_assert_int_eq(s.served, 2);
    t = ct_text_read(in_folder("cache/cotangent/timemachine.txt"));
    is_known(t);
    ct_text_free(t);
    ck_assert_int_eq(cached_files(), 1);

    server_stop(&s);
    write_bytes(in_folder("cache/cotangent/timemachine.txt"), "damaged", 7);
    IS_SAMPLE(ct_text_new_timemachine(NULL),
              "/cache/cotangent/timemachine.txt is not The Time Machine");
    ct_text_free(known);
}
END_TEST

START_TEST(download_elsewhere)
{
    ct_text *t, *known;
    server s;

    if (without_corpus("download_elsewhere"))
        return;
    known = server_start_known(&s);
    setenv("XDG_CACHE_HOME", "/dev/null", 1); /* no folder can be made in it */
    t = ct_text_new_timemachine(NULL);
    is_known(t);
    EXPECT_IN(ct_text_source(t), "not cached: Not a directory");
    ct_text_free(t);

    unsetenv("XDG_CACHE_HOME");
    t = ct_text_new_timemachine(NULL);
    is_known(t);
    EXPECT_IN(ct_text_source(t), "/home/.cache/cotangent/timemachine.txt (downloaded");
    ct_text_free(t);

    setenv("XDG_CACHE_HOME", "relative", 1); /* a relative path is ignored */
    t = ct_text_new_timemachine(NULL);
    is_known(t);
    EXPECT_IN(ct_text_source(t), "/home/.cache/cotangent/timemachine.txt (cached)");
    ct_text_free(t);

    unsetenv("XDG_CACHE_HOME");
    unsetenv("HOME");
    t = ct_text_new_timemachine(NULL);
    is_known(t);
    EXPECT_IN(ct_text_source(t), "neither XDG_CACHE_HOME nor HOME");
    ct_text_free(t);
    ck_assert_int_eq(s.served, 3);
    server_stop(&s);
    ct_text_free(known);
}
END_TEST

#else

START_TEST(download_left_out)
{
    IS_SAMPLE(ct_text_new_timemachine(NULL), "no download: built without libcurl");
}
END_TEST

#endif

/* ---- file calls that fail ---- */

static cti_file_table libc_files;
static int file_calls, failing_call; /* the number of the call that fails, from 1; 0: none */
static bool renamed, synced;         /* whether these happened since the last write */

static bool file_call_fails(void)
{
    if (++file_calls != failing_call)
        return false;
    errno = EIO;
    return true;
}

static int fail_open(const char *path, int flags, int mode)
{
    return file_call_fails() ? -1 : libc_files.open(path, flags, mode);
}

/* Also, every second call is interrupted, and each call reads only a few bytes. */
static ssize_t fail_read(int fd, void *buffer, size_t bytes)
{
    static bool interrupted;

    interrupted = !interrupted;
    if (interrupted) {
        errno = EINTR;
        return -1;
    }
    return file_call_fails() ? -1 : libc_files.read(fd, buffer, bytes < 50000 ? bytes : 50000);
}

static ssize_t fail_write(int fd, const void *buffer, size_t bytes)
{
    static bool interrupted;

    interrupted = !interrupted;
    if (interrupted) {
        errno = EINTR;
        return -1;
    }
    synced = false;
    return file_call_fails() ? -1 : libc_files.write(fd, buffer, bytes < 50000 ? bytes : 50000);
}

static int fail_fsync(int fd)
{
    synced = true;
    return file_call_fails() ? -1 : libc_files.fsync(fd);
}

static int fail_close(int fd)
{
    int result = libc_files.close(fd);

    return file_call_fails() ? -1 : result;
}

static int fail_rename(const char *from, const char *to)
{
    ck_assert_msg(synced, "renamed before it was synced");
    if (file_call_fails() || libc_files.rename(from, to) != 0)
        return -1;
    renamed = true;
    return 0;
}

static void fail_files(void)
{
    libc_files = cti_file_calls;
    cti_file_calls = (cti_file_table){ fail_open,  fail_read,   fail_write,       fail_fsync,
                                       fail_close, fail_rename, libc_files.unlink };
}

START_TEST(read_call_fails)
{
    const char *path = in_folder("a.txt");
    char *s = prose(120000);

    write_bytes(path, s, 120000);
    fail_files();
    for (failing_call = 1;; failing_call++) {
        ct_text *t;

        file_calls = 0;
        t = ct_text_read(path);
        if (t) {
            ck_assert_str_eq(ct_text_bytes(t), s);
            ct_text_free(t);
            if (file_calls < failing_call)
                break;
            ck_assert_int_eq(failing_call, 6); /* open and 4 reads; the failure of close does not
                                                * matter */
        } else {
            expect_error(CT_ERR_IO, "ct_text_read", "/a.txt: Input/output error");
        }
    }
    ck_assert_int_eq(failing_call, 7);
    cti_file_calls = libc_files;
    free(s);
}
END_TEST

#ifdef CT_HAVE_LIBCURL

START_TEST(cache_call_fails)
{
    ct_text *t, *known;
    bool whole = false, noted;
    server s;

    if (without_corpus("cache_call_fails"))
        return;
    known = server_start_known(&s);
    fail_files();
    for (failing_call = 1; !whole; failing_call++) {
        file_calls = 0;
        renamed = false;
        t = ct_text_new_timemachine(NULL);
        is_known(t); /* whichever call fails, the text is returned */
        whole = file_calls < failing_call;
        noted = strstr(ct_text_source(t), "not cached: Input/output error") != NULL;
        ck_assert(noted || renamed);
        ck_assert(renamed || !whole);
        ck_assert(!(noted && whole));
        ck_assert_int_eq(cached_files(), renamed); /* no temporary file is left */
        ct_text_free(t);
        remove(in_folder("cache/cotangent/timemachine.txt"));
    }
    ck_assert_int_gt(failing_call, 8);
    cti_file_calls = libc_files;
    server_stop(&s);
    ct_text_free(known);
}
END_TEST

#endif

/* ---- the cases ---- */

TCase *text_cases(void)
{
    TCase *text = tcase_create("text");

    tcase_add_checked_fixture(text, setup, teardown);
    tcase_add_test(text, sha256);
    tcase_add_test(text, text_read);
    tcase_add_test(text, text_bad);
    tcase_add_test(text, text_unreadable);
    tcase_add_test(text, text_null);
    tcase_add_test(text, data_dir);
    tcase_add_test(text, data_dir_known);
    tcase_add_test(text, sample_facts);
#ifdef CT_HAVE_LIBCURL
    tcase_add_test(text, download_fails);
    tcase_add_test(text, download);
    tcase_add_test(text, download_elsewhere);
    tcase_add_test(text, cache_call_fails);
#else
    tcase_add_test(text, download_left_out);
#endif
    tcase_add_test(text, read_call_fails);
    return text;
}
