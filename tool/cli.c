/* SPDX-License-Identifier: MIT */
/* cli.c - parses command lines from a table, with argp. */
#define _GNU_SOURCE /* for program_invocation_short_name */
#include "cli.h"

#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CLI_ROWS = 64, FIRST_KEY = 256 };

const char *cli_name;

/* ---- stdin, stdout, stderr ---- */

/* Opens /dev/null for a closed descriptor: stdin only for writing, stdout and stderr only for
 * reading. So the program's next read or write of the descriptor fails. */
static void cli_open_descriptors(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF &&
            open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)
            _exit(CLI_FAILED);
}

static const char *cli_begins_with(void)
{
    return cli_name ? cli_name : program_invocation_short_name;
}

bool cli_flush(void)
{
    static bool said;
    int failed = fflush(stdout);

    if (failed == 0 && !ferror(stdout))
        return true;
    if (!said)
        fprintf(stderr, "%s: stdout: %s\n", cli_begins_with(),
                failed ? strerror(errno) : "a write failed");
    said = true;
    return false;
}

static void cli_end(void)
{
    if (!cli_flush())
        _exit(CLI_FAILED);
}

/* Of the processes of a run, rank 0 alone prints. */
static void cli_be_quiet(void)
{
    if (ct_world_launched_rank() > 0 && !freopen("/dev/null", "w", stdout))
        _exit(CLI_FAILED);
}

void cli_begin(void)
{
    static bool begun;

    if (begun)
        return;
    begun = true;
    cli_open_descriptors();
    cli_be_quiet();
    atexit(cli_end);
}

static void cli_say_to(FILE *out, const char *before, const char *text)
{
    fprintf(out, "%s: ", before);
    ct_print_text(text, out);
    fputc('\n', out);
}

/* The line is written at once, because the processes of mpirun write to one terminal. */
void cli_say(const char *before, const char *format, va_list args)
{
    char text[PATH_MAX + 1000], *line = NULL;
    size_t size = 0;
    FILE *whole = open_memstream(&line, &size);

    fflush(stdout);
    vsnprintf(text, sizeof text, format, args);
    if (whole)
        cli_say_to(whole, before, text);
    if (whole && fclose(whole) == 0)
        fwrite(line, 1, size, stderr);
    else
        cli_say_to(stderr, before, text);
    free(line);
}

void cli_refuse(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    cli_say(cli_begins_with(), format, args);
    va_end(args);
    exit(CLI_USAGE);
}

void cli_fail(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    cli_say(cli_begins_with(), format, args);
    va_end(args);
    exit(CLI_FAILED);
}

const char *cli_reason(const char *message)
{
    const char *function = strncmp(message, "ct_", 3) == 0 ? message : strstr(message, ": ct_");
    const char *reason = function ? strstr(function + 2, ": ") : NULL;

    return reason ? reason + 2 : message;
}

/* ---- values ---- */

static int64_t cli_integer(const cli_option *o, const char *text)
{
    char *end;
    long long n;

    errno = 0;
    n = strtoll(text, &end, 10);
    if (end == text || *end || errno || n < o->low || n > o->high)
        cli_refuse("--%s: \"%s\" is not a whole number from %lld to %lld", o->name, text,
                   (long long)o->low, (long long)o->high);
    return n;
}

static double cli_number(const cli_option *o, const char *text)
{
    char *end;
    double x = strtod(text, &end);
    bool read = end != text && !*end;

    if (o->kind == CLI_POSITIVE && !(read && x > 0 && isfinite(x)))
        cli_refuse("--%s: \"%s\" is not a number above 0", o->name, text);
    if (o->kind == CLI_AT_LEAST_0 && !(read && x >= 0 && isfinite(x)))
        cli_refuse("--%s: \"%s\" is not a number of at least 0", o->name, text);
    if (o->kind == CLI_FRACTION && !(read && x >= 0 && x < 1))
        cli_refuse("--%s: \"%s\" is not a number from 0 to less than 1", o->name, text);
    if (o->kind == CLI_SHARE && !(read && x > 0 && x <= 1))
        cli_refuse("--%s: \"%s\" is not a number above 0 and at most 1", o->name, text);
    return x;
}

/* Returns the position of a word in a list with separators; -1 if the list does not have it. */
static int cli_place(const char *list, char separator, const char *word)
{
    size_t length = strlen(word);

    for (int place = 0; list; place++) {
        const char *end = strchr(list, separator);
        size_t n = end ? (size_t)(end - list) : strlen(list);

        if (n == length && strncmp(list, word, n) == 0)
            return place;
        list = end ? end + 1 : NULL;
    }
    return -1;
}

static int cli_choice(const cli_option *o, const char *word)
{
    int place = cli_place(o->value, '|', word);

    if (place < 0)
        cli_refuse("--%s: \"%s\" is not one of %s", o->name, word, o->value);
    return o->find ? o->find(word) : place;
}

static ct_device cli_device(const cli_option *o, const char *name)
{
    ct_device found;

    ct_error_set_handler(NULL, NULL); /* the line below prints the message */
    found = ct_device_from_name(name);
    if (!ct_ok())
        cli_refuse("--%s: %s", o->name, cli_reason(ct_error_message()));
    return found;
}

static void cli_set_precision(const cli_option *o, const char *name)
{
    bool bf16 = cli_place(o->value, '|', name) == 1;

    cli_choice(o, name);
    ct_error_set_handler(NULL, NULL); /* the line below prints the message */
    if (ct_set_matmul_precision(bf16 ? CT_MATMUL_PRECISION_BF16 : CT_MATMUL_PRECISION_F32) != CT_OK)
        cli_refuse("--%s: %s", o->name, cli_reason(ct_error_message()));
}

static void cli_set(const cli_option *o, const char *text, char *to)
{
    void *field = to + o->offset;

    if ((o->kind == CLI_NAME) && !*text)
        cli_refuse("--%s: the value is empty", o->name);
    switch (o->kind) {
    case CLI_FLAG:
        *(bool *)field = true;
        break;
    case CLI_INTEGER:
        *(int64_t *)field = cli_integer(o, text);
        break;
    case CLI_INT:
        *(int *)field = (int)cli_integer(o, text);
        break;
    case CLI_POSITIVE:
    case CLI_AT_LEAST_0:
    case CLI_FRACTION:
    case CLI_SHARE:
        *(double *)field = cli_number(o, text);
        break;
    case CLI_CHOICE:
        *(int *)field = cli_choice(o, text);
        break;
    case CLI_DEVICE:
        *(ct_device *)field = cli_device(o, text);
        break;
    case CLI_THREADS:
        (void)ct_set_num_threads((int)cli_integer(o, text));
        break;
    case CLI_PRECISION:
        cli_set_precision(o, text);
        break;
    case CLI_STRING:
    case CLI_NAME:
    case CLI_ARGUMENT:
    case CLI_ARGUMENT_OPTIONAL:
    case CLI_OWN_FILE:
        *(const char **)field = text;
        break;
    }
}

/* ---- --help ---- */

/* True if the choices of an option do not fit beside its name. */
static bool cli_is_long(const cli_option *o)
{
    return o->kind == CLI_CHOICE && strlen(o->value) > 40;
}

/* Writes ": a, b, c" for the choices "a|b|c". */
static void cli_list(char *text, size_t size, const char *choices)
{
    size_t n = (size_t)snprintf(text, size, ": ");

    for (; *choices && n + 3 < size; choices++) {
        text[n++] = *choices == '|' ? ',' : *choices;
        if (*choices == '|')
            text[n++] = ' ';
    }
    text[n] = '\0';
}

/* Returns the text of --help for an option: its help, choices that have no room elsewhere and, in
 * parentheses, the default of its field. */
static void cli_describe(char *text, size_t size, const cli_option *o, const char *to)
{
    const char *bar = strchr(o->help, '|');
    int words = bar ? (int)(bar - o->help) : (int)strlen(o->help);
    const void *field = to + o->offset;
    char usual[100] = "", choices[150] = "";

    if (cli_is_long(o))
        cli_list(choices, sizeof choices, o->value);
    if (o->kind == CLI_INTEGER && *(const int64_t *)field > 0)
        snprintf(usual, sizeof usual, "%lld", (long long)*(const int64_t *)field);
    else if (o->kind == CLI_POSITIVE && *(const double *)field > 0)
        snprintf(usual, sizeof usual, "%g", *(const double *)field);
    else if (bar)
        snprintf(usual, sizeof usual, "%s", bar + 1);
    snprintf(text, size, *usual ? "%.*s%s (%s)" : "%.*s%s", words, o->help, choices, usual);
}

static bool cli_is_argument(const cli_option *o)
{
    return o->kind == CLI_ARGUMENT || o->kind == CLI_ARGUMENT_OPTIONAL;
}

static bool cli_takes(const cli_program *p, const cli_option *o)
{
    return !o->name || !p->takes || cli_place(p->takes, ' ', o->name) >= 0;
}

/* Fills in argp's table. A heading begins a group. */
static void cli_rows(const cli_program *p, const char *to, struct argp_option rows[CLI_ROWS],
                     char text[CLI_ROWS][200])
{
    int count = 0, group = 1;

    for (int i = 0; p->options[i].name || p->options[i].help; i++) {
        const cli_option *o = &p->options[i];

        if (cli_is_argument(o) || o->kind == CLI_OWN_FILE || !cli_takes(p, o) ||
            count == CLI_ROWS - 1)
            continue;
        group += !o->name;
        cli_describe(text[count], sizeof text[count], o, to);
        rows[count] = (struct argp_option){ .name = o->name,
                                            .key = !o->name    ? 0
                                                   : o->letter ? o->letter
                                                               : FIRST_KEY + i,
                                            .arg = cli_is_long(o) ? "NAME" : o->value,
                                            .doc = text[count],
                                            .group = group };
        count++;
    }
    rows[count] = (struct argp_option){ 0 };
}

/* ---- files ---- */

/* Identifies the file that a path names. If the file does not exist, it is identified by its folder
 * and its name. */
typedef struct cli_identity {
    bool known; /* false for a device, a FIFO, and a path whose folder does not exist */
    dev_t device;
    ino_t inode;
    char name[NAME_MAX + 1]; /* "" if the file exists */
} cli_identity;

typedef struct cli_path {
    const cli_option *option; /* the option's name; NULL for stdout and stderr */
    const char *path;
    bool written;
    cli_identity id;
} cli_path;

static void cli_take_identity(cli_identity *id, const struct stat *st)
{
    id->known = S_ISREG(st->st_mode) || S_ISDIR(st->st_mode);
    id->device = st->st_dev;
    id->inode = st->st_ino;
}

/* Follows the links at path, a buffer of PATH_MAX bytes. The target of the last link need not
 * exist. */
static void cli_follow_links(char *path)
{
    char target[PATH_MAX];
    ssize_t n;

    for (int links = 0; links < 40 && (n = readlink(path, target, sizeof target - 1)) >= 0;
         links++) {
        char *slash = strrchr(path, '/');
        size_t folder = target[0] == '/' || !slash ? 0 : (size_t)(slash - path) + 1;

        target[n] = '\0';
        if (folder + (size_t)n < PATH_MAX)
            memcpy(path + folder, target, (size_t)n + 1);
    }
}

static cli_identity cli_identify(const char *path)
{
    cli_identity id = { 0 };
    char folder[PATH_MAX];
    struct stat st;
    char *slash;

    if (stat(path, &st) == 0) {
        cli_take_identity(&id, &st);
        return id;
    }
    if (strlen(path) >= sizeof folder)
        return id;
    strcpy(folder, path);
    cli_follow_links(folder);
    slash = strrchr(folder, '/');
    if (strlen(slash ? slash + 1 : folder) < sizeof id.name)
        strcpy(id.name, slash ? slash + 1 : folder);
    if (slash)
        slash[slash == folder] = '\0';
    if (*id.name && stat(slash ? folder : ".", &st) == 0)
        cli_take_identity(&id, &st);
    return id;
}

/* Identifies the file of a descriptor. It is unknown unless it is a regular file. */
static cli_identity cli_identify_descriptor(int fd)
{
    cli_identity id = { 0 };
    struct stat st;

    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
        cli_take_identity(&id, &st);
    return id;
}

static cli_path cli_path_of(const cli_option *o, const char *value)
{
    cli_path p = { .option = o, .path = value, .written = o->file == CLI_WRITES };
    char path[PATH_MAX];

    if (o->file == CLI_READS_OR_STDIN && strcmp(value, "-") == 0)
        p.id = cli_identify_descriptor(STDIN_FILENO);
    else if (o->within && snprintf(path, sizeof path, "%s/%s", value, o->within) < PATH_MAX)
        p.id = cli_identify(path);
    else
        p.id = cli_identify(value);
    return p;
}

/* Returns the value of the next row, from *o on, that names a file and has a value; NULL if there
 * are no more. */
static const char *cli_next_file(const cli_option **o, const void *from)
{
    for (; (*o)->name || (*o)->help; ++*o) {
        const char *value =
            (*o)->file ? *(const char *const *)((const char *)from + (*o)->offset) : NULL;

        if (value)
            return value;
    }
    return NULL;
}

static bool cli_same(const cli_identity *a, const cli_identity *b)
{
    return a->known && b->known && a->device == b->device && a->inode == b->inode &&
           strcmp(a->name, b->name) == 0;
}

/* Returns a name for messages: "--output", "the text" or "stdout". */
static const char *cli_label(const cli_path *p, char label[100])
{
    snprintf(label, 100, "%s%s",
             !p->option                                                      ? ""
             : cli_is_argument(p->option) || p->option->kind == CLI_OWN_FILE ? "the "
                                                                             : "--",
             p->option ? p->option->name : p->path);
    return label;
}

/* Refuses a file that the program would write and also use in another way. */
static void cli_compare_files(const cli_path *path, int count)
{
    char a[100], b[100];

    for (int i = 0; i < count; i++)
        for (int k = 0; k < count; k++)
            if (path[i].written && path[i].option && i != k && cli_same(&path[i].id, &path[k].id))
                cli_refuse("%s and %s are the same file (%s)", cli_label(&path[i], a),
                           cli_label(&path[k], b), path[i].path);
    for (int i = 0; i < count; i++)
        for (int k = 0; k < count; k++)
            if (!path[i].option && path[k].option && cli_same(&path[i].id, &path[k].id))
                cli_refuse("%s and %s are the same file (%s)", cli_label(&path[i], a),
                           cli_label(&path[k], b), path[k].path);
}

static void cli_check_files(const cli_program *p, const void *from)
{
    static cli_path path[CLI_ROWS + 2];
    const cli_option *o = p->options;
    const char *value;
    int count = 0;

    for (; count < CLI_ROWS && (value = cli_next_file(&o, from)); o++)
        path[count++] = cli_path_of(o, value);
    path[count++] = (cli_path){ .path = "stdout",
                                .written = true,
                                .id = cli_identify_descriptor(STDOUT_FILENO) };
    path[count++] = (cli_path){ .path = "stderr",
                                .written = true,
                                .id = cli_identify_descriptor(STDERR_FILENO) };
    cli_compare_files(path, count);
}

bool cli_try_files(const cli_program *p, const void *from)
{
    const cli_option *o = p->options;
    const char *value;

    if (ct_world_launched_rank() > 0) /* rank 0 writes them */
        return true;
    for (; (value = cli_next_file(&o, from)); o++)
        if (o->file == CLI_WRITES && !o->within && ct_file_try(value) != CT_OK)
            return false;
    return true;
}

/* ---- the command line ---- */

typedef struct cli_job {
    const cli_program *program;
    char *to;
    int arguments; /* the number of arguments seen so far */
} cli_job;

/* Returns row number i of the rows that are arguments; NULL if there are fewer. */
static const cli_option *cli_argument(const cli_program *p, int i)
{
    for (const cli_option *o = p->options; o->name || o->help; o++)
        if (cli_is_argument(o) && i-- == 0)
            return o;
    return NULL;
}

static const cli_option *cli_option_of(const cli_program *p, int key)
{
    if (key >= FIRST_KEY)
        return &p->options[key - FIRST_KEY];
    for (const cli_option *o = p->options; o->name || o->help; o++)
        if (o->letter && o->letter == key)
            return o;
    return NULL;
}

static error_t cli_step(int key, char *arg, struct argp_state *state)
{
    cli_job *job = state->input;
    const cli_option *o;

    if (key == ARGP_KEY_ARG) {
        o = cli_argument(job->program, job->arguments++);
        if (!o)
            cli_refuse("unexpected argument \"%s\"", arg);
        cli_set(o, arg, job->to);
        return 0;
    }
    if (key == ARGP_KEY_END) {
        o = cli_argument(job->program, job->arguments);
        if (o && o->kind == CLI_ARGUMENT)
            cli_refuse("the %s is missing (see %s --help)", o->name, state->name);
        return 0;
    }
    o = key > 0 && key < FIRST_KEY + CLI_ROWS ? cli_option_of(job->program, key) : NULL;
    if (!o)
        return ARGP_ERR_UNKNOWN;
    cli_set(o, arg, job->to);
    return 0;
}

static error_t cli_step_help(int key, char *arg, struct argp_state *state)
{
    (void)arg;
    if (key != 'h')
        return ARGP_ERR_UNKNOWN;
    argp_state_help(state, stdout, ARGP_HELP_STD_HELP);
    return 0;
}

void cli_run_argp(const struct argp *argp, int argc, char **argv, unsigned flags, void *input)
{
    /* argp itself has only -? and --help. */
    static const struct argp_option short_help[] = { { .key = 'h', .flags = OPTION_HIDDEN },
                                                     { 0 } };
    static const struct argp help = { .options = short_help, .parser = cli_step_help };
    const struct argp_child children[] = { { .argp = &help }, { 0 } };
    struct argp with_help = *argp;
    error_t error;

    with_help.children = children;
    argp_err_exit_status = CLI_USAGE;
    error = argp_parse(&with_help, argc, argv, flags, NULL, input);
    if (error)
        cli_fail("the command line: %s", strerror(error));
}

void cli_parse(const cli_program *p, int argc, char **argv, void *to)
{
    static struct argp_option rows[CLI_ROWS];
    static char text[CLI_ROWS][200];
    const struct argp argp = {
        .options = rows, .parser = cli_step, .args_doc = p->arguments, .doc = p->doc
    };
    cli_job job = { .program = p, .to = to };

    cli_begin();
    cli_rows(p, to, rows, text);
    ct_error_set_handler(NULL, NULL);
    cli_run_argp(&argp, argc, argv, 0, &job);
    cli_check_files(p, to);
}
