/* status.c - the error that stands, per thread, in a fixed buffer. */
#include "tensor/internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static _Thread_local char message[1024];

static ct_error_handler handler = ct_error_print;
static void *handler_context;

bool cti_tracing;

uint64_t cti_nanoseconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void ct_here(const char *where)
{
    ct_thread *th = cti_thread();

    if (th->quiet_site)
        return;
    th->site = where;
    if (cti_tracing)
        th->op_began = cti_nanoseconds();
}

ct_status ct_raise(ct_status status, const char *function, const char *format, ...)
{
    ct_thread *th = cti_thread();
    va_list args;
    size_t n;

    if (status == CT_OK)
        return CT_OK;
    th->error_serial++;
    if (th->error != CT_OK)
        return status;
    th->error = status;
    if (th->site)
        n = (size_t)snprintf(message, sizeof message, "%s: %s: ", th->site, function);
    else
        n = (size_t)snprintf(message, sizeof message, "%s: ", function);
    n = n < sizeof message ? n : sizeof message;
    va_start(args, format);
    vsnprintf(message + n, sizeof message - n, format, args);
    va_end(args);
    if (handler)
        handler(status, message, handler_context);
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
    return cti_thread()->error == CT_OK ? "" : message;
}

void ct_error_clear(void)
{
    cti_thread()->error = CT_OK;
}

const char *ct_status_name(ct_status status)
{
    static const char *const names[] = {
        "CT_OK",         "CT_ERR_ARGUMENT", "CT_ERR_SHAPE",  "CT_ERR_DTYPE",
        "CT_ERR_DEVICE", "CT_ERR_INDEX",    "CT_ERR_SCOPE",  "CT_ERR_GRAD",
        "CT_ERR_MEMORY", "CT_ERR_IO",       "CT_ERR_FORMAT", "CT_ERR_NUMERIC",
    };

    if ((unsigned)status >= sizeof names / sizeof *names)
        return "CT_ERR_?";
    return names[status];
}

void ct_error_print(ct_status status, const char *text, void *context)
{
    (void)status;
    (void)context;
    fprintf(stderr, "%s\n", text);
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
