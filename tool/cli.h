/* cli.h - command lines from a table, for the tool and the examples: each option is one row that
 * says what it takes and which field of the program's struct gets the value. */
#ifndef TOOL_CLI_H
#define TOOL_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cotangent.h>

typedef enum cli_kind {
    CLI_FLAG,     /* bool; the option takes no value */
    CLI_INTEGER,  /* int64_t (or uint64_t), low to high */
    CLI_INT,      /* int, low to high */
    CLI_POSITIVE, /* double above 0, finite */
    CLI_FRACTION, /* double in [0, 1) */
    CLI_STRING,   /* const char * */
    CLI_NAME,     /* const char *, not empty */
    CLI_CHOICE,   /* int or enum: one of the words of value, which bars separate */
    CLI_DEVICE,   /* ct_device */
    CLI_THREADS,  /* no field: sets the library's number of threads */
    CLI_ARGUMENT, /* const char *: an argument, not an option; required */
    CLI_ARGUMENT_OPTIONAL
} cli_kind;

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
} cli_option;

typedef struct cli_program {
    const cli_option *options; /* a row without name and help ends them */
    const char *takes; /* the names of the options that it has, separated by spaces; NULL: all */
    const char *doc;   /* for --help; what follows \v comes after the options */
    const char *arguments; /* for --help: "MODEL TEXT" */
} cli_program;

/* What messages begin with; NULL: the program's name. */
extern const char *cli_name;

/* Fills in the fields of the options that are given; the others keep their values. After a wrong
 * command line: one line on stderr, and exit with status 2. Leaves the library without an error
 * handler. */
void cli_parse(const cli_program *p, int argc, char **argv, void *to);

/* Refuses a command line: one line on stderr, and exit with status 2. */
void cli_refuse(const char *format, ...) CT_PRINTF(1, 2) __attribute__((noreturn));

#endif
