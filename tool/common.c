/* SPDX-License-Identifier: MIT */
/* common.c - functions that the commands share: messages, texts. */
#include "tool.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- messages ---- */

int tool_fail(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    cli_say("cotangent", format, args);
    va_end(args);
    return CLI_FAILED;
}

void tool_note(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    cli_say("note", format, args);
    va_end(args);
}

void tool_print_error(ct_status status, const char *message, void *context)
{
    (void)status, (void)context;
    tool_fail("%s", cli_reason(message));
}

int tool_status(void)
{
    return cli_flush() && ct_ok() ? CLI_OK : CLI_FAILED;
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
