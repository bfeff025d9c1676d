/* SPDX-License-Identifier: MIT */
/* status.c - the recorded error of each thread.
 *
 * A thread's message is in a buffer that its first error allocates. The buffer is not a thread-local
 * variable: those of this library must be small, because a program that opens the library with
 * dlopen has little room for them (tensor/internal.h, cti_current). */
#include "tensor/internal.h"

#include "tensor/text.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MESSAGE_BYTES 1024

static ct_error_handler handler = ct_error_print;
static void *handler_context;

bool cti_tracing;

uint64_t cti_nanoseconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

const char **ct_site(void)
{
    ct_thread *th = cti_thread();

    if (cti_tracing)
        th->op_began = cti_nanoseconds();
    return &th->site;
}

static bool ends_with(const char *site, size_t length, const char *function)
{
    size_t n = strlen(function);

    return length > n + 2 && memcmp(site + length - n - 2, ": ", 2) == 0 &&
           strcmp(site + length - n, function) == 0;
}

/* The length leaves out functions that the author of an op calls (ct_record, ...), so that messages
 * name the op. */
int cti_site_length(const char *site, const char *function)
{
    const char *const left_out[] = { function, "ct_record", "ct_node_add_grad", "ct_node_input",
                                     "ct_node_output" };
    size_t n = strlen(site);

    for (size_t i = 0; i < sizeof left_out / sizeof *left_out; i++)
        if (ends_with(site, n, left_out[i]))
            return (int)(n - strlen(left_out[i]) - 2);
    return (int)n;
}

/* Writes "SITE: FUNCTION: " and the formatted text. site and function may be NULL. Only `length`
 * bytes of site are shown. The text may quote a file, so it is made printable. */
static void write_message(const char *site, int length, const char *function, const char *format,
                          va_list args)
{
    ct_thread *th = cti_thread();
    size_t n;

    if (!th->message)
        /* not the user's allocator, because the error may be that it failed */
        th->message = malloc(MESSAGE_BYTES);
    if (!th->message)
        return;
    n = (size_t)snprintf(th->message, MESSAGE_BYTES, "%.*s%s%s%s", site ? length : 0,
                         site ? site : "", site ? ": " : "", function ? function : "",
                         function ? ": " : "");
    n = n < MESSAGE_BYTES ? n : MESSAGE_BYTES;
    cti_format_list(th->message + n, MESSAGE_BYTES - n, format, args);
    cti_make_printable(th->message);
}

/* The text of the recorded error. */
static const char *status_message(void)
{
    const ct_thread *th = cti_thread();

    return th->message ? th->message : "out of memory, also for the message of the error";
}

/* Counts the error. True if it is the first, which is kept and reported. */
static bool is_first_error(ct_status status)
{
    ct_thread *th = cti_thread();

    if (status == CT_OK)
        return false;
    th->error_serial++;
    if (th->error != CT_OK)
        return false;
    th->error = status;
    return true;
}

static void report_error(ct_status status)
{
    if (handler && !cti_thread()->quiet)
        handler(status, status_message(), handler_context);
}

ct_status ct_raise(ct_status status, const char *function, const char *format, ...)
{
    const char *site = cti_thread()->site;
    va_list args;

    if (!is_first_error(status))
        return status;
    va_start(args, format);
    write_message(site, INT_MAX, site ? NULL : function, format, args);
    va_end(args);
    report_error(status);
    return status;
}

ct_status ct_raise_at(const char *where, ct_status status, const char *function, const char *format,
                      ...)
{
    va_list args;

    if (!is_first_error(status))
        return status;
    va_start(args, format);
    write_message(where, INT_MAX, function, format, args);
    va_end(args);
    report_error(status);
    return status;
}

ct_status cti_raise_within(ct_status status, const char *function, const char *format, ...)
{
    const char *site = cti_thread()->site;
    va_list args;

    if (!is_first_error(status))
        return status;
    va_start(args, format);
    write_message(site, site ? cti_site_length(site, function) : 0, function, format, args);
    va_end(args);
    report_error(status);
    return status;
}

bool cti_sink_allowed(void)
{
    ct_thread *th = cti_thread();

    if (th->error == CT_OK)
        return true;
    th->error_serial++;
    return false;
}

bool cti_at_least(const char *function, const char *name, int64_t v, int64_t least)
{
    if (v < least)
        ct_raise(CT_ERR_ARGUMENT, function, "%s is %lld; it must be at least %lld", name,
                 (long long)v, (long long)least);
    return v >= least;
}

void cti_out_of_memory(const char *function, size_t bytes)
{
    ct_raise(CT_ERR_MEMORY, function, "out of memory (%zu bytes)", bytes);
}

int ct_ok(void)
{
    return cti_thread()->error == CT_OK;
}

ct_status ct_error(void)
{
    return cti_thread()->error;
}

const char *ct_error_message(void)
{
    return cti_thread()->error == CT_OK ? "" : status_message();
}

void ct_error_clear(void)
{
    cti_thread()->error = CT_OK;
}

const char *ct_status_name(ct_status status)
{
    static const char *const names[] = {
        "CT_OK",         "CT_ERR_ARGUMENT", "CT_ERR_SHAPE", "CT_ERR_DTYPE",       "CT_ERR_DEVICE",
        "CT_ERR_INDEX",  "CT_ERR_SCOPE",    "CT_ERR_GRAD",  "CT_ERR_MEMORY",      "CT_ERR_IO",
        "CT_ERR_FORMAT", "CT_ERR_NUMERIC",  "CT_ERR_WORLD", "CT_ERR_UNSUPPORTED",
    };

    if ((unsigned)status >= sizeof names / sizeof *names)
        return "CT_ERR_?";
    return names[status];
}

void ct_error_print(ct_status status, const char *text, void *context)
{
    (void)status;
    (void)context;
    fprintf(stderr, "%s\n", text ? text : "");
}

void ct_error_set_handler(ct_error_handler new_handler, void *context)
{
    handler = new_handler;
    handler_context = context;
}

static void print_and_exit(ct_status status, const char *text, void *context)
{
    ct_error_print(status, text, context);
    exit(1);
}

void ct_exit_on_error(void)
{
    ct_error_set_handler(print_and_exit, NULL);
}
