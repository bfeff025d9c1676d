/* status.h - how errors travel: NULL flows, the first error sticks, scopes report it.
 *
 * The library never exits, aborts or longjmps. A function that returns a handle returns NULL on
 * failure. A function that is given NULL where a value is required returns NULL; it raises
 * CT_ERR_ARGUMENT ("ct_add: a is NULL") unless an error is already recorded, so expressions need no
 * checks. The first error of a thread is kept until ct_error_clear(). While it is recorded, side
 * effects (backward, clip, optimiser steps, state carry, saving) do nothing, so no parameter moves
 * after an error. ct_scope_end() returns it: a step is checked once, at its end.
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
    CT_ERR_ARGUMENT, /* a value outside its domain: a NULL, a rate that is NaN */
    CT_ERR_SHAPE,    /* shapes, ranks or axes that do not agree */
    CT_ERR_DTYPE,    /* a dtype that the function does not take, or dtypes that differ */
    CT_ERR_DEVICE,   /* devices that differ, or a device that does not exist */
    CT_ERR_INDEX,    /* an index out of range */
    CT_ERR_SCOPE,    /* a lifetime broken: no scope, double end, history that leaves */
    CT_ERR_GRAD,     /* backward without history, a saved tensor modified, no derivative */
    CT_ERR_MEMORY,   /* out of memory */
    CT_ERR_IO,       /* the system refused to open, read or write */
    CT_ERR_FORMAT,   /* a file or text that is not what it should be */
    CT_ERR_NUMERIC   /* a value that is not finite where it must be */
} ct_status;

/* True while no error is recorded on this thread. */
int ct_ok(void);

/* The standing error of this thread: its code (CT_OK if none) and message ("" if none). The
 * message lives in a buffer of the thread and is valid until ct_error_clear(). */
ct_status ct_error(void);
const char *ct_error_message(void);

/* Forgets the standing error and puts the thread back to work. */
void ct_error_clear(void);

/* The name of a status, "CT_ERR_SHAPE" for instance; never NULL. */
const char *ct_status_name(ct_status status);

/* Called once for each error that is recorded, on the thread that raised it. The default
 * prints the message to stderr, one line; NULL is silence. context may be NULL, and ct_error_print
 * takes a NULL message for an empty one. Set the handler before threads start. */
typedef void (*ct_error_handler)(ct_status status, const char *message, void *context);
void ct_error_print(ct_status status, const char *message, void *context);
void ct_error_set_handler(ct_error_handler handler, void *context);

/* For programs that have nothing better to do: an error prints its line and exits with status 1. */
void ct_exit_on_error(void);

/* Raises an error, for modules and ops of your own. function is the name that the message shows,
 * after the place of the call of ct_raise. The first error sticks, later ones are dropped.
 * Returns status. Inside the library, where ct_raise is not a macro, the message shows the site of
 * the thread; function is shown where there is none. */
ct_status ct_raise(ct_status status, const char *function, const char *format, ...) CT_PRINTF(3, 4);

/* What the macro ct_raise calls. where is the place, "mine.c:12"; NULL shows none. */
ct_status ct_raise_at(const char *where, ct_status status, const char *function, const char *format,
                      ...) CT_PRINTF(4, 5);

/* The site of this thread, for the macros of cotangent_sites.h: the address of "train.c:41:
 * ct_add", a string literal, or of NULL outside of noted calls. */
const char **ct_site(void);

#ifdef __cplusplus
}
#endif
#endif
