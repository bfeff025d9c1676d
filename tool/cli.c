/* cli.c - command lines from a table, over argp. */
#define _GNU_SOURCE /* program_invocation_short_name */
#include "cli.h"

#include <argp.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CLI_USAGE = 2, CLI_ROWS = 64, FIRST_KEY = 256 };

const char *cli_name;

void cli_refuse(const char *format, ...)
{
    va_list args;

    fflush(stdout);
    fprintf(stderr, "%s: ", cli_name ? cli_name : program_invocation_short_name);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(CLI_USAGE);
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
    if (o->kind == CLI_FRACTION && !(read && x >= 0 && x < 1))
        cli_refuse("--%s: \"%s\" is not a number from 0 to less than 1", o->name, text);
    return x;
}

/* The place of a word in a list that a separator divides; -1 if it is not in it. */
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
    static const char function[] = "ct_device_from_name: ";
    const char *why;
    ct_device found;

    ct_error_set_handler(NULL, NULL); /* the line below is the message */
    found = ct_device_from_name(name);
    why = strstr(ct_error_message(), function);
    if (!ct_ok())
        cli_refuse("--%s: %s", o->name, why ? why + strlen(function) : ct_error_message());
    return found;
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
    case CLI_FRACTION:
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
    case CLI_STRING:
    case CLI_NAME:
    case CLI_ARGUMENT:
    case CLI_ARGUMENT_OPTIONAL:
        *(const char **)field = text;
        break;
    }
}

/* ---- --help ---- */

/* What --help says of an option: its text, and the default of its field in parentheses. */
static void cli_describe(char *text, size_t size, const cli_option *o, const char *to)
{
    const char *bar = strchr(o->help, '|');
    int words = bar ? (int)(bar - o->help) : (int)strlen(o->help);
    const void *field = to + o->offset;
    char usual[100] = "";

    if (o->kind == CLI_INTEGER && *(const int64_t *)field > 0)
        snprintf(usual, sizeof usual, "%lld", (long long)*(const int64_t *)field);
    else if (o->kind == CLI_POSITIVE && *(const double *)field > 0)
        snprintf(usual, sizeof usual, "%g", *(const double *)field);
    else if (bar)
        snprintf(usual, sizeof usual, "%s", bar + 1);
    snprintf(text, size, *usual ? "%.*s (%s)" : "%.*s", words, o->help, usual);
}

static bool cli_is_argument(const cli_option *o)
{
    return o->kind == CLI_ARGUMENT || o->kind == CLI_ARGUMENT_OPTIONAL;
}

static bool cli_takes(const cli_program *p, const cli_option *o)
{
    return !o->name || !p->takes || cli_place(p->takes, ' ', o->name) >= 0;
}

/* Fills in argp's table; a heading begins a group. */
static void cli_rows(const cli_program *p, const char *to, struct argp_option rows[CLI_ROWS],
                     char text[CLI_ROWS][200])
{
    int count = 0, group = 1;

    for (int i = 0; p->options[i].name || p->options[i].help; i++) {
        const cli_option *o = &p->options[i];

        if (cli_is_argument(o) || !cli_takes(p, o) || count == CLI_ROWS - 1)
            continue;
        group += !o->name;
        cli_describe(text[count], sizeof text[count], o, to);
        rows[count] = (struct argp_option){ .name = o->name,
                                            .key = !o->name    ? 0
                                                   : o->letter ? o->letter
                                                               : FIRST_KEY + i,
                                            .arg = o->value,
                                            .doc = text[count],
                                            .group = group };
        count++;
    }
    rows[count] = (struct argp_option){ 0 };
}

/* ---- the command line ---- */

typedef struct cli_job {
    const cli_program *program;
    char *to;
    int arguments; /* seen so far */
} cli_job;

/* Row number i of those that are arguments; NULL if there are fewer. */
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

void cli_parse(const cli_program *p, int argc, char **argv, void *to)
{
    static struct argp_option rows[CLI_ROWS];
    static char text[CLI_ROWS][200];
    const struct argp argp = {
        .options = rows, .parser = cli_step, .args_doc = p->arguments, .doc = p->doc
    };
    cli_job job = { .program = p, .to = to };

    cli_rows(p, to, rows, text);
    argp_err_exit_status = CLI_USAGE;
    ct_error_set_handler(NULL, NULL);
    argp_parse(&argp, argc, argv, 0, NULL, &job);
}
