/* tool.h - the command-line tool: its commands, and what they share.
 *
 * To add a command: a file of its own with its function, declared here; a row of the table in
 * main.c; a section of docs/cotangent.1. */
#ifndef TOOL_TOOL_H
#define TOOL_TOOL_H

#include <stdbool.h>
#include <stdint.h>

#include <cotangent.h>

#include "cli.h"

/* Each is given its own part of the command line, argv[0] being "cotangent COMMAND", and returns
 * the exit status: those of cli.h, or 128 + the number of a signal that ended training. */
int tool_train(int argc, char **argv);
int tool_generate(int argc, char **argv);
int tool_eval(int argc, char **argv);
int tool_info(int argc, char **argv);

/* Writes one line to stderr, "cotangent: ..."; returns CLI_FAILED. */
int tool_fail(const char *format, ...) CT_PRINTF(1, 2);

/* Writes one line to stderr, "note: ...". */
void tool_note(const char *format, ...) CT_PRINTF(1, 2);

/* The library's error handler: prints the reason, without the function's name. */
void tool_print_error(ct_status status, const char *message, void *context);

/* Returns CLI_OK, or CLI_FAILED if an error of the library stands (its line was printed when it
 * was raised), or if stdout did not take everything (a line says why). */
int tool_status(void);

/* cli_parse, and then tool_print_error is the library's error handler again. */
void tool_parse(const cli_program *p, int argc, char **argv, void *to);

/* Options of several commands, as rows of a table; device is a field of type. */
/* clang-format off */
#define TOOL_MACHINE(type, device)                                                                 \
    { "device", CLI_DEVICE, "NAME", "where to compute: cpu, cuda, cuda:1, cuda-emu, auto|cpu",     \
      offsetof(type, device), 0, 0, NULL, 0, 0, NULL },                                            \
    { "threads", CLI_THREADS, "N", "threads|as many as are free", 0, 1, 256, NULL, 0, 0, NULL }
/* clang-format on */

/* A text for tokens of this kind: from a file, or from stdin for "-". NULL with an error. */
ct_text *tool_text(const char *path, ct_token_kind tokens);

#endif
