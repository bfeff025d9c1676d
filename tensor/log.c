/* SPDX-License-Identifier: MIT */
/* log.c - the lines that the library prints on its own. */
#include "tensor/internal.h"

#include "tensor/log.h"
#include "tensor/text.h"

#include <cotangent/tensor/allocator.h>

#include <stdarg.h>
#include <stdio.h>

#define LINE_BYTES 1400 /* a line of COTANGENT_DEBUG: a place and a cti_line */

static ct_log_handler log_handler = ct_log_print;
static void *log_context;

void ct_log_print(const char *line, void *context)
{
    (void)context;
    fprintf(stderr, "%s\n", line ? line : "");
}

void ct_log_set_handler(ct_log_handler handler, void *context)
{
    log_handler = handler;
    log_context = context;
}

void cti_log(const char *format, ...)
{
    char line[LINE_BYTES];
    va_list args;

    if (!log_handler)
        return;
    va_start(args, format);
    cti_format_list(line, sizeof line, format, args);
    va_end(args);
    log_handler(line, log_context);
}
