/* tool.h - the command-line tool: its commands, and what they share.
 *
 * To add a command: a file of its own with its function, declared here; a row of the table in
 * main.c; a section of docs/cotangent.1. */
#ifndef TOOL_TOOL_H
#define TOOL_TOOL_H

#include <argp.h>
#include <stdbool.h>
#include <stdint.h>

#include <cotangent.h>

/* Exit statuses; beside these 128 + the number of a signal that ended training. */
enum {
    TOOL_OK = 0,
    TOOL_FAILED = 1, /* a file, a text or the system; an error of the library */
    TOOL_USAGE = 2   /* the command line */
};

/* Each is given its own part of the command line, argv[0] being "cotangent COMMAND", and returns
 * the exit status. */
int tool_train(int argc, char **argv);
int tool_generate(int argc, char **argv);
int tool_eval(int argc, char **argv);
int tool_info(int argc, char **argv);

/* One line on stderr, "cotangent: ...", and the end with TOOL_USAGE. */
void tool_refuse(const char *format, ...) CT_PRINTF(1, 2) __attribute__((noreturn));

/* One line on stderr, "cotangent: ..."; returns TOOL_FAILED. */
int tool_fail(const char *format, ...) CT_PRINTF(1, 2);

/* One line on stderr, "note: ...". */
void tool_note(const char *format, ...) CT_PRINTF(1, 2);

/* The library's handler: the reason alone, not which call of ours it blames. */
void tool_print_error(ct_status status, const char *message, void *context);

/* TOOL_OK, or TOOL_FAILED if an error of the library stands (its line was printed when it came), or
 * what was printed did not all reach stdout (a line says why). */
int tool_status(void);

/* Values of options; what is none is refused, naming the option. */
int64_t tool_integer(const char *option, const char *text, int64_t low, int64_t high);
double tool_positive(const char *option, const char *text); /* above 0, finite */
double tool_fraction(const char *option, const char *text); /* in [0, 1) */
int tool_named(const char *option, const char *text, int (*named)(const char *),
               const char *names); /* a name that named knows */

/* Options that several commands have: --device, --threads. */
enum { TOOL_DEVICE = 10000, TOOL_THREADS };
typedef struct tool_machine {
    ct_device device;
} tool_machine;
extern const struct argp tool_machine_argp; /* a child; its input is a tool_machine */

/* A text for tokens of this kind: of a file, or of stdin for "-". NULL with the error. */
ct_text *tool_text(const char *path, ct_token_kind tokens);

/* argp_parse; after a wrong command line one line, and the end with TOOL_USAGE. */
void tool_parse(const struct argp *argp, int argc, char **argv, void *input);

#endif
