/* SPDX-License-Identifier: MIT */
/* cli.h - command lines from a table, for the tool and the examples.
 *
 * Each option is one row of the table, with the kind of its value and the field of the program's
 * struct that receives it. The table also marks values that are files, so that no program
 * overwrites a file that it reads. */
#ifndef TOOL_CLI_H
#define TOOL_CLI_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cotangent.h>

typedef enum cli_kind {
    CLI_FLAG,       /* bool; the option takes no value */
    CLI_INTEGER,    /* int64_t (or uint64_t), low to high */
    CLI_INT,        /* int, low to high */
    CLI_POSITIVE,   /* double above 0, finite */
    CLI_AT_LEAST_0, /* double, finite */
    CLI_FRACTION,   /* double in [0, 1) */
    CLI_SHARE,      /* double in (0, 1] */
    CLI_STRING,     /* const char * */
    CLI_NAME,       /* const char *, not empty */
    CLI_CHOICE,     /* int or enum: one of the words in `value`, which are separated by bars */
    CLI_DEVICE,     /* ct_device */
    CLI_THREADS,    /* no field: the value sets the library's number of threads */
    CLI_PRECISION,  /* no field: the value sets the library's precision of matrix products */
    CLI_ARGUMENT,   /* const char *: an argument, not an option; required */
    CLI_ARGUMENT_OPTIONAL,
    CLI_OWN_FILE /* const char *: not on the command line, but a file that the program reads */
} cli_kind;

/* The use of the file that a value names. */
typedef enum cli_file {
    CLI_NO_FILE,
    CLI_READS,
    CLI_READS_OR_STDIN, /* "-" is stdin */
    CLI_WRITES          /* written whole or not at all, as by ct_file_write */
} cli_file;

typedef struct cli_option {
    const char *name; /* the name: "top-k"; NULL: help is the heading of the following rows */
    cli_kind kind;
    /* the name of the value in --help: "N"; for a choice, the words: "rnn|lstm|gru" */
    const char *value;
    /* The text for --help, to which the field's default is added in parentheses. If the default is
     * 0, the text after a bar is added instead: "hidden units|32". */
    const char *help;
    size_t offset; /* the offset of the field */
    int64_t low, high;
    /* for a choice: returns the number of a word; NULL: its position in value */
    int (*find)(const char *word);
    char letter; /* the short option: "-n" for "--length"; 0 if there is none */
    cli_file file;
    const char
        *within; /* the value is a folder, in which the program writes the file of this name */
} cli_option;

typedef struct cli_program {
    const cli_option *options; /* the table; it ends with a row without name and help */
    const char *takes;     /* the names of the options to offer, separated by spaces; NULL: all */
    const char *doc;       /* for --help; text after \v follows the options */
    const char *arguments; /* the arguments, for --help: "MODEL TEXT" */
} cli_program;

/* The exit statuses of all programs. */
enum {
    CLI_OK = 0,
    CLI_FAILED = 1, /* an error of a file, a text, the system or the library */
    CLI_USAGE = 2   /* a wrong command line */
};

/* The beginning of messages; NULL: the program's name. */
extern const char *cli_name;

/* Call this first. If the program was started without stdin, stdout or stderr, opens them, so that
 * no other file gets their descriptors; reading or writing them fails. At the end of the program,
 * cli_flush is called; if it fails, the exit status is CLI_FAILED. Of several ranks (train/world.h)
 * only rank 0 prints: stdout of the others is /dev/null. cli_parse calls this, too. */
void cli_begin(void);

/* Fills in the fields of the options that are given; the others keep their values. Removes the
 * library's error handler. Prints one line on stderr and exits with status 2 for a wrong command
 * line, and if a file to be written is also read, is written twice, or is the file of stdout or
 * stderr. Files are compared by device and inode, so any two names of a file are the same; of files
 * that do not exist, the folders and the names are compared. */
void cli_parse(const cli_program *p, int argc, char **argv, void *to);

/* Tests with ct_file_try whether each file that is to be written can be written. At the first that
 * cannot, returns false with an error of the library. Of several ranks (train/world.h) only rank 0
 * does. */
bool cli_try_files(const cli_program *p, const void *from);

/* Flushes stdout. Returns false if any output since the start was lost; the first time, prints one
 * line on stderr. */
bool cli_flush(void);

/* Prints one line on stderr: before, a colon and the text, without control characters. */
void cli_say(const char *before, const char *format, va_list args) CT_PRINTF(2, 0);

/* Prints one line on stderr and exits with status 2, for a wrong command line. */
void cli_refuse(const char *format, ...) CT_PRINTF(1, 2) __attribute__((noreturn));

/* Prints one line on stderr and exits with status 1, for a failure. */
void cli_fail(const char *format, ...) CT_PRINTF(1, 2) __attribute__((noreturn));

/* Returns the part of a library's message after the place of the call and the function's name. */
const char *cli_reason(const char *message);

/* Runs argp_parse. If argp itself fails, the program ends with status 1. */
struct argp;
void cli_run_argp(const struct argp *argp, int argc, char **argv, unsigned flags, void *input);

#endif
