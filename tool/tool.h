/* SPDX-License-Identifier: MIT */
/* tool.h - the command-line tool: its commands, and functions that they share.
 *
 * To add a command: write a file with its function, and declare it here; add a row to the table in
 * main.c, and a section to docs/cotangent.1. */
#ifndef TOOL_TOOL_H
#define TOOL_TOOL_H

#include <stdbool.h>
#include <stdint.h>

#include <cotangent.h>

#include "cli.h"

/* Each command gets its part of the command line, in which argv[0] is "cotangent COMMAND". It
 * returns the exit status: one of cli.h, or 128 + the number of the signal that ended training. */
int tool_train(int argc, char **argv);
int tool_generate(int argc, char **argv);
int tool_eval(int argc, char **argv);
int tool_export(int argc, char **argv);
int tool_info(int argc, char **argv);

/* Prints one line on stderr, "cotangent: ...", and returns CLI_FAILED. */
int tool_fail(const char *format, ...) CT_PRINTF(1, 2);

/* Prints one line on stderr, "note: ...". */
void tool_note(const char *format, ...) CT_PRINTF(1, 2);

/* The error handler of the tool: prints the reason without the function's name. */
void tool_print_error(ct_status status, const char *message, void *context);

/* Returns CLI_OK. Returns CLI_FAILED if an error of the library is recorded (its line was printed
 * when it was raised) or if output to stdout was lost (a line says why). */
int tool_status(void);

/* Calls cli_parse, and then makes tool_print_error the library's error handler again. */
void tool_parse(const cli_program *p, int argc, char **argv, void *to);

/* Options of several commands, as rows of a table. `device` is a field of the struct `type`. */
/* clang-format off */
#define TOOL_MACHINE(type, device)                                                                 \
    { "device", CLI_DEVICE, "NAME", "where to compute: cpu, cuda, cuda:1, cuda-emu, auto|cpu",     \
      offsetof(type, device), 0, 0, NULL, 0, 0, NULL },                                            \
    { "threads", CLI_THREADS, "N", "threads|as many as are free", 0, 1, 256, NULL, 0, 0, NULL },   \
    { "precision", CLI_PRECISION, "f32|bf16", "operands of matrix products|f32", 0, 0, 0, NULL, 0, \
      0, NULL }
/* clang-format on */

/* Reads a text for tokens of this kind: from a file, or from stdin for "-". NULL with an error. */
ct_text *tool_text(const char *path, ct_token_kind tokens);

#endif
