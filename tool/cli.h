/* cli.h - command lines from a table, for the tool and the examples: each option is one row that
 * says what it takes and which field of the program's struct gets the value. The table also says
 * which values are files, so that no program writes over a file that it reads. */
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
    CLI_STRING,     /* const char * */
    CLI_NAME,       /* const char *, not empty */
    CLI_CHOICE,     /* int or enum: one of the words of value, which bars separate */
    CLI_DEVICE,     /* ct_device */
    CLI_THREADS,    /* no field: sets the library's number of threads */
    CLI_ARGUMENT,   /* const char *: an argument, not an option; required */
    CLI_ARGUMENT_OPTIONAL,
    CLI_OWN_FILE /* const char *: not on the command line; a file that the program reads by itself */
} cli_kind;

/* What the program does with the file that a value names. */
typedef enum cli_file {
    CLI_NO_FILE,
    CLI_READS,
    CLI_READS_OR_STDIN, /* "-" is stdin */
    CLI_WRITES          /* whole or not at all: ct_file_write or its like */
} cli_file;

typedef struct cli_option {
    const char *name; /* "top-k"; NULL: help is the heading of the rows that follow */
    cli_kind kind;
    const char *value; /* what --help calls the value: "N"; of a choice "rnn|lstm|gru" */
    /* For --help, which adds the field's default in parentheses; if that is 0, the text after a
     * bar: "hidden units|32". */
    const char *help;
    size_t offset; /* of the field */
    int64_t low, high;
    int (*find)(const char *word); /* of a choice: the number of a word; NULL: its place in value */
    char letter;                   /* "-n" beside "--length"; or 0 */
    cli_file file;
    const char
        *within; /* the value is a folder, in which the program writes the file of this name */
} cli_option;

typedef struct cli_program {
    const cli_option *options; /* a row without name and help ends them */
    const char *takes; /* the names of the options that it has, separated by spaces; NULL: all */
    const char *doc;   /* for --help; what follows \v comes after the options */
    const char *arguments; /* for --help: "MODEL TEXT" */
} cli_program;

/* Exit statuses of every program. */
enum {
    CLI_OK = 0,
    CLI_FAILED = 1, /* a file, a text or the system; an error of the library */
    CLI_USAGE = 2   /* the command line */
};

/* What messages begin with; NULL: the program's name. */
extern const char *cli_name;

/* Call this first. Opens stdin, stdout and stderr where the program was started without them, so
 * that no other file gets their descriptors; reading or writing them fails. At the program's end,
 * cli_flush decides about the exit status. cli_parse calls this, too. */
void cli_begin(void);

/* Fills in the fields of the options that are given; the others keep their values. Leaves the
 * library without an error handler. One line on stderr and exit with status 2 after a wrong command
 * line, and if a file that is written is also read, written a second time, or is the file that
 * stdout or stderr goes to. Files are compared by device and inode, so any two names of a file are
 * the same; of files that do not exist, the folders and the names are compared. */
void cli_parse(const cli_program *p, int argc, char **argv, void *to);

/* Tries to write each file that the fields name for writing (ct_file_try). False with an error of
 * the library at the first that fails. */
bool cli_try_files(const cli_program *p, const void *from);

/* Writes out what stdout holds. False if stdout did not take everything since the beginning; the
 * first time a line on stderr says so. */
bool cli_flush(void);

/* Writes one line to stderr: before, a colon and the text, without control characters. */
void cli_say(const char *before, const char *format, va_list args) CT_PRINTF(2, 0);

/* Refuses a command line: one line on stderr, and exit with status 2. */
void cli_refuse(const char *format, ...) CT_PRINTF(1, 2) __attribute__((noreturn));

/* The same with status 1, for a failure. */
void cli_fail(const char *format, ...) CT_PRINTF(1, 2) __attribute__((noreturn));

/* The part of a library's message behind the place of the call and the function's name. */
const char *cli_reason(const char *message);

/* Runs argp_parse, after which a failure of argp itself ends the program with status 1. */
struct argp;
void cli_run_argp(const struct argp *argp, int argc, char **argv, unsigned flags, void *input);

#endif
