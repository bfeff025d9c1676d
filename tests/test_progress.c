/* SPDX-License-Identifier: MIT */
/* test_progress.c - what a run prints on a terminal (the tests use a pseudo-terminal) and to a
 * file. */
#define _GNU_SOURCE /* pseudo-terminals */
#include "tests/harness.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cotangent.h>

/* ---- a run with the test's clock ---- */

/* The program is linked with --wrap=cti_nanoseconds: time passes only where a test says so, so a busy
 * machine changes nothing. */
uint64_t __wrap_cti_nanoseconds(void);
static uint64_t clock_now = 1;

uint64_t __wrap_cti_nanoseconds(void)
{
    return clock_now;
}

static ct_tensor *step(void *self, ct_step *s)
{
    (void)s;
    return ct_sum(ct_param_value(ct_params_get(self, "w")));
}

static ct_optimizer *optimizer(void *self)
{
    return ct_sgd_new(self, (ct_sgd_options){ .lr = 0.02 });
}

static bool take_time(void *context, const ct_fit_step *s)
{
    (void)s;
    clock_now += *(uint64_t *)context;
    return true;
}

/* The duration of each step in nanoseconds. */
static void run(FILE *out, bool plain, uint64_t step_time)
{
    char letters[41] = "abcdefghijklmnopqrstuvwxyzabcdefghijklmn";
    ct_text *text = ct_text_new_from_bytes(letters, 40, "test");
    ct_corpus *corpus = ct_corpus_new(text, (ct_corpus_options){ .clean = CT_CLEAN_TEXT });
    ct_loader *train = ct_loader_windows_new(
        corpus, (ct_loader_windows_options){ .batch_size = 4, .steps = 5, .count = 30 });
    ct_loader *val = ct_loader_windows_new(
        corpus,
        (ct_loader_windows_options){ .batch_size = 4, .steps = 5, .first = 30, .count = 4 });
    ct_params *params = ct_params_new((ct_params_options){ .seed = 0 });
    ct_callback callback = { .context = &step_time, .step = take_time };
    ct_trainer trainer = {
        .max_epochs = 12, .out = out, .plain = plain, .callbacks = &callback, .callback_count = 1
    };
    ct_model model = {
        .self = params, .params = params, .training_step = step, .configure_optimizers = optimizer
    };

    ct_params_add(params, "w", CT_SHAPE(4), ct_init_constant(0.6));
    if (ct_fit(&trainer, &model, train, val, NULL) != CT_OK)
        abort();
    ct_params_free(params);
    ct_loader_free(train);
    ct_loader_free(val);
    ct_corpus_free(corpus);
    ct_text_free(text);
}

/* ---- the terminal ---- */

static void write_run(int fd, const char *term, const char *lang, bool plain)
{
    FILE *out = fdopen(fd, "w");

    setenv("TERM", term, 1);
    unsetenv("LC_ALL");
    unsetenv("LC_CTYPE");
    setenv("LANG", lang, 1);
    fprintf(out, "begin\n");
    run(out, plain, 12000000);
    fprintf(out, "end\n");
    fclose(out);
}

/* Reads until the line "end". The caller holds the terminal open, so nothing that was written is lost
 * and the read does not fail at the end. Stops, too, when the writer has exited and nothing is left. */
static void read_until_end(int master, pid_t child, char *text, size_t size)
{
    struct pollfd from = { .fd = master, .events = POLLIN };
    siginfo_t info = { 0 };
    size_t n = 0;
    bool exited = false;

    while (n < size - 1 && !strstr(text, "\nend\r\n")) {
        int ready = poll(&from, 1, 20);
        ssize_t got = ready > 0 ? read(master, text + n, size - 1 - n) : 0;

        if (exited && got <= 0)
            break;
        n += got > 0 ? (size_t)got : 0;
        waitid(P_PID, (id_t)child, &info, WEXITED | WNOHANG | WNOWAIT);
        exited = info.si_pid == child;
    }
}

/* Returns what a run in a child process writes to a terminal with this many columns. The caller
 * frees it with free(). */
static char *shown(int columns, const char *term, const char *lang, bool plain)
{
    struct winsize size = { .ws_row = 24, .ws_col = (unsigned short)columns };
    int master = posix_openpt(O_RDWR | O_NOCTTY), status, slave;
    char *text = calloc(1, 1 << 20);
    pid_t child;

    ck_assert(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    slave = open(ptsname(master), O_RDWR | O_NOCTTY);
    ck_assert(slave >= 0 && ioctl(slave, TIOCSWINSZ, &size) == 0);
    child = fork();
    ck_assert(child >= 0);
    if (child == 0) {
        write_run(slave, term, lang, plain);
        _exit(0);
    }
    read_until_end(master, child, text, 1 << 20);
    close(slave);
    close(master);
    ck_assert(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    ck_assert_msg(strstr(text, "\nend\r\n") != NULL, "%s", text);
    return text;
}

/* Returns the number of UTF-8 characters. */
static int width_of(const char *s, size_t n)
{
    int width = 0;

    for (size_t i = 0; i < n; i++)
        width += ((unsigned char)s[i] & 0xc0) != 0x80;
    return width;
}

static bool has_control(const char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s < 0x20 && *s != '\n' && !(*s == '\r' && s[1] == '\n'))
            return true;
    return false;
}

/* Returns how often the live line was drawn, and checks that each is complete and fits. */
static int drawn(const char *text, int columns)
{
    int count = 0;
    const char *at = text;

    while ((at = strstr(at, "\repoch "))) {
        const char *end = strstr(at, "\033[K");

        ck_assert_ptr_nonnull(end);
        ck_assert_msg(width_of(at + 1, (size_t)(end - at - 1)) < columns, "too long: %.*s",
                      (int)(end - at - 1), at + 1);
        ck_assert(!memchr(at + 1, '\n', (size_t)(end - at - 1)));
        count++;
        at = end;
    }
    return count;
}

START_TEST(live)
{
    char *text = shown(120, "xterm", "en_US.UTF-8", false);

    ck_assert_msg(drawn(text, 120) >= 5, "%s", text);
    ck_assert_ptr_nonnull(strstr(text, "█"));  /* the bar */
    ck_assert_ptr_nonnull(strstr(text, "█▇")); /* the falling curve */
    ck_assert_ptr_nonnull(strstr(text, "▂▁"));
    ck_assert_ptr_nonnull(strstr(text, "  perplexity "));
    ck_assert_ptr_nonnull(strstr(text, "  validation "));
    ck_assert_ptr_nonnull(strstr(text, " tokens/s  "));
    ck_assert_ptr_nonnull(strstr(text, " s left"));
    /* the plain lines stay, each on a line that was cleared */
    ck_assert_ptr_nonnull(strstr(text, "\r\033[Kepoch 10/12  perplexity "));
    ck_assert_ptr_nonnull(strstr(text, "\r\033[Kepoch 12/12  perplexity "));
    ck_assert_str_eq(strstr(text, "end"), "end\r\n");
    ck_assert(strstr(text, "end")[-1] == '\n');
    free(text);
}
END_TEST

START_TEST(live_in_ascii)
{
    char *text = shown(100, "xterm", "C", false);

    ck_assert_msg(drawn(text, 100) >= 5, "%s", text);
    for (const char *s = text; *s; s++)
        ck_assert((unsigned char)*s < 0x80);
    ck_assert_ptr_nonnull(strstr(text, " [####"));
    free(text);
}
END_TEST

START_TEST(narrow)
{
    static const int columns[4] = { 70, 50, 30, 12 };

    for (int i = 0; i < 4; i++) {
        char *text = shown(columns[i], "xterm", "C.UTF-8", false);

        ck_assert_msg(drawn(text, columns[i]) >= 5, "%s", text);
        free(text);
    }
}
END_TEST

START_TEST(plain_lines)
{
    static const struct {
        const char *term;
        bool plain;
    } cases[] = { { "dumb", false }, { "", false }, { "xterm", true } };
    char *text;
    size_t size;
    FILE *out;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        text = shown(100, cases[i].term, "C.UTF-8", cases[i].plain);
        ck_assert_msg(!has_control(text), "%s", text);
        ck_assert_ptr_nonnull(strstr(text, "epoch 12/12  perplexity "));
        free(text);
    }
    out = open_memstream(&text, &size);
    run(out, false, 1);
    fclose(out);
    ck_assert_msg(!has_control(text) && !strchr(text, '\r'), "%s", text);
    ck_assert_ptr_nonnull(strstr(text, "\nepoch 12/12  perplexity "));
    free(text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("progress");
    TCase *tc = harness_case(suite, "terminal");

    tcase_add_test(tc, live);
    tcase_add_test(tc, live_in_ascii);
    tcase_add_test(tc, narrow);
    tcase_add_test(tc, plain_lines);
    return harness_run(suite);
}
