/* SPDX-License-Identifier: MIT */
/* status.h - how errors are reported: a function that fails returns NULL, the first error is kept,
 * and ct_scope_end returns it.
 *
 * The library never exits, aborts or longjmps. A function that returns a handle returns NULL on
 * failure. A function that is given NULL where a value is required returns NULL; it raises
 * CT_ERR_ARGUMENT ("ct_add: a is NULL") unless an error is already recorded, so expressions need no
 * checks. The first error of a thread is kept until ct_error_clear(). While it is recorded, side
 * effects (backward, clip, optimiser steps, state carry, saving) do nothing, so no parameter
 * changes after an error. ct_scope_end() returns the error, so a program checks each step once, at
 * its end.
 *
 * A message reads "FILE:LINE: FUNCTION: what is wrong": "train.c:41: ct_add: a f32[2] cpu and
 * ...". FUNCTION is the function that the user called, also where a function inside the library
 * finds the error. Each public function that can raise an error is also a macro
 * (cotangent_sites.h, included by <cotangent.h>) that notes file, line and name as the site of
 * the thread and restores the site of the enclosing call when the function returns. A callback
 * of yours may thus call the library: its calls note their own sites, and after it returns,
 * messages name the outer call again.
 *
 * A call without the macro (from another language, through a pointer to a function, or written
 * (ct_add)(a, b)) notes nothing. Its messages name the enclosing noted call if there is one, and
 * otherwise the function that found the error, without a place. */
#ifndef COTANGENT_TENSOR_STATUS_H
#define COTANGENT_TENSOR_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define CT_WARN_UNUSED __attribute__((warn_unused_result))
#define CT_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))
#else
#define CT_WARN_UNUSED
#define CT_PRINTF(fmt, first)
#endif

/* The place of a call, as one string literal: "train.c:41". */
#define CT_STRING2(x) #x
#define CT_STRING(x) CT_STRING2(x)
#define CT_HERE __FILE__ ":" CT_STRING(__LINE__)

typedef enum ct_status {
    CT_OK = 0,
    CT_ERR_ARGUMENT, /* a value that is not allowed: a NULL, a NaN as a rate */
    CT_ERR_SHAPE,    /* shapes, ranks or axes that do not agree */
    CT_ERR_DTYPE,    /* a dtype that the function does not take, or dtypes that differ */
    CT_ERR_DEVICE,   /* devices that differ, or a device that does not exist */
    CT_ERR_INDEX,    /* an index out of range */
    /* no open scope, a dead tensor, a scope ended twice, history that would leave its scope */
    CT_ERR_SCOPE,
    CT_ERR_GRAD,       /* backward without history, a saved tensor modified, no derivative */
    CT_ERR_MEMORY,     /* out of memory */
    CT_ERR_IO,         /* the system refused to open, read or write */
    CT_ERR_FORMAT,     /* a file or text in a wrong format */
    CT_ERR_NUMERIC,    /* a value that is not finite where it must be */
    CT_ERR_WORLD,      /* another process of the run failed, or is missing (train/world.h) */
    CT_ERR_UNSUPPORTED /* this build of the library leaves the function out (inference only) */
} ct_status;

/* True while no error is recorded on this thread. */
int ct_ok(void);

/* The recorded error of this thread: its status (CT_OK if there is none) and its message ("" if
 * there is none). The message is in a buffer of the thread and is valid until ct_error_clear(). */
ct_status ct_error(void);
const char *ct_error_message(void);

/* Clears the recorded error, so that side effects of this thread work again. */
void ct_error_clear(void);

/* Returns the name of a status: "CT_ERR_SHAPE". Never returns NULL. */
const char *ct_status_name(ct_status status);

/* Sets a function that is called for each error that is recorded, on the thread that raised it,
 * with context. The default, ct_error_print, prints the message to stderr as one line. handler may
 * be NULL: then nothing is printed. context may be NULL. ct_error_print treats a NULL message as an
 * empty one. Set the handler before threads start: it is not guarded by a lock. */
typedef void (*ct_error_handler)(ct_status status, const char *message, void *context);
void ct_error_print(ct_status status, const char *message, void *context);
void ct_error_set_handler(ct_error_handler handler, void *context);

/* Sets an error handler that prints the error and exits the program with status 1. For small
 * programs that have no other way to handle an error. */
void ct_exit_on_error(void);

/* Raises an error, for a user's modules and ops. The message shows the place of the call of
 * ct_raise, then function. The first error of a thread is kept; later ones are dropped. Returns
 * status. Inside the library ct_raise is not a macro; there the message shows the thread's site,
 * and `function` only if there is no site. */
ct_status ct_raise(ct_status status, const char *function, const char *format, ...) CT_PRINTF(3, 4);

/* The function behind the macro ct_raise. where is the place, "mine.c:12"; NULL shows none. */
ct_status ct_raise_at(const char *where, ct_status status, const char *function, const char *format,
                      ...) CT_PRINTF(4, 5);

/* For the macros of cotangent_sites.h. Returns the address of this thread's site. The site is a
 * string literal, "train.c:41: ct_add", or NULL outside of calls with a site. */
const char **ct_site(void);

#ifdef __cplusplus
}
#endif
#endif
