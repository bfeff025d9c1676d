/* common.c - what the commands share: messages, texts. */
#include "tool.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- messages ---- */

static void tool_say(const char *before, const char *format, va_list args)
{
    fflush(stdout);
    fprintf(stderr, "%s: ", before);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
}

int tool_fail(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    tool_say("cotangent", format, args);
    va_end(args);
    return TOOL_FAILED;
}

void tool_note(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    tool_say("note", format, args);
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

void tool_parse(const cli_program *p, int argc, char **argv, void *to)
{
    cli_parse(p, argc, argv, to);
    ct_error_set_handler(tool_print_error, NULL);
}

/* ---- texts ---- */

ct_text *tool_text(const char *path, ct_token_kind tokens)
{
    if (strcmp(path, "-") == 0)
        path = "/dev/stdin";
    return tokens == CT_TOKEN_KIND_BYTE ? ct_text_read_binary(path) : ct_text_read(path);
}
