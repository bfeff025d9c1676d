/* common.c - what the commands share: messages, values of options, texts. */
#include "tool.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* ---- messages ---- */

static void say(const char *before, const char *format, va_list args)
{
    fflush(stdout);
    fprintf(stderr, "%s: ", before);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
}

void tool_refuse(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say("cotangent", format, args);
    va_end(args);
    exit(TOOL_USAGE);
}

int tool_fail(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say("cotangent", format, args);
    va_end(args);
    return TOOL_FAILED;
}

void tool_note(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say("note", format, args);
    va_end(args);
}

void tool_print_error(ct_status status, const char *message, void *context)
{
    const char *function = strstr(message, ": ct_"), *reason = NULL;

    (void)status, (void)context;
    if (function)
        reason = strstr(function + 2, ": ");
    fflush(stdout);
    fprintf(stderr, "cotangent: %s\n", reason ? reason + 2 : message);
}

int tool_status(void)
{
    if (fflush(stdout) != 0 || ferror(stdout))
        return tool_fail("stdout: %s", strerror(errno));
    return ct_ok() ? TOOL_OK : TOOL_FAILED;
}

/* ---- options ---- */

int64_t tool_integer(const char *option, const char *text, int64_t low, int64_t high)
{
    char *end;
    long long n;

    errno = 0;
    n = strtoll(text, &end, 10);
    if (end == text || *end || errno || n < low || n > high)
        tool_refuse("--%s: \"%s\" is no whole number from %lld to %lld", option, text,
                    (long long)low, (long long)high);
    return n;
}

static double number(const char *text)
{
    char *end;
    double x = strtod(text, &end);

    return end == text || *end ? NAN : x;
}

double tool_positive(const char *option, const char *text)
{
    double x = number(text);

    if (!(x > 0 && isfinite(x)))
        tool_refuse("--%s: \"%s\" is no number above 0", option, text);
    return x;
}

double tool_fraction(const char *option, const char *text)
{
    double x = number(text);

    if (!(x >= 0 && x < 1))
        tool_refuse("--%s: \"%s\" is no number from 0 to less than 1", option, text);
    return x;
}

int tool_named(const char *option, const char *text, int (*named)(const char *), const char *names)
{
    int found = named(text);

    if (found < 0)
        tool_refuse("--%s: \"%s\" is none of %s", option, text, names);
    return found;
}

static ct_device device(const char *name)
{
    ct_device found;
    char reason[200];

    ct_error_set_handler(NULL, NULL);
    found = ct_device_from_name(name);
    snprintf(reason, sizeof reason, "%s", ct_error_message());
    ct_error_set_handler(tool_print_error, NULL);
    if (!ct_ok())
        tool_refuse("--device: %s",
                    strstr(reason, "named: ") ? strstr(reason, "named: ") + 7 : reason);
    return found;
}

static error_t parse_machine(int key, char *arg, struct argp_state *state)
{
    tool_machine *m = state->input;

    switch (key) {
    case TOOL_DEVICE:
        m->device = device(arg);
        return 0;
    case TOOL_THREADS:
        (void)ct_set_num_threads((int)tool_integer("threads", arg, 1, 256));
        return 0;
    }
    return ARGP_ERR_UNKNOWN;
}

static const struct argp_option machine_options[] = {
    { "device", TOOL_DEVICE, "NAME", 0, "where to compute: cpu, cuda, cuda-emu, auto (cpu)", 90 },
    { "threads", TOOL_THREADS, "N", 0, "threads (as many as are free)", 90 },
    { 0 }
};

const struct argp tool_machine_argp = { .options = machine_options, .parser = parse_machine };

void tool_parse(const struct argp *argp, int argc, char **argv, void *input)
{
    argp_parse(argp, argc, argv, 0, NULL, input);
}

/* ---- texts ---- */

ct_text *tool_text(const char *path, ct_token_kind tokens)
{
    if (strcmp(path, "-") == 0)
        path = "/dev/stdin";
    return tokens == CT_TOKEN_KIND_BYTE ? ct_text_read_binary(path) : ct_text_read(path);
}
