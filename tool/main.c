/* SPDX-License-Identifier: MIT */
/* main.c - cotangent: trains and uses language models. */
#include "tool.h"

#include <argp.h>
#include <stdlib.h>
#include <string.h>

static const struct command {
    const char *name, *summary;
    int (*run)(int argc, char **argv);
} commands[] = {
    { "train", "train a language model on a text", tool_train },
    { "generate", "continue a text", tool_generate },
    { "eval", "measure how well a model predicts a text", tool_eval },
    { "export", "write a model as C code", tool_export },
    { "info", "describe a file of tensors, or this build", tool_info },
};
enum { COMMANDS = sizeof commands / sizeof *commands };

typedef struct invocation {
    const struct command *command;
    int at; /* the index in argv of the command */
} invocation;

/* Appends the list of commands to --help. */
static char *main_list_commands(int key, const char *text, void *input)
{
    char *list = NULL;
    size_t size;
    FILE *out;

    (void)input;
    if (key != ARGP_KEY_HELP_POST_DOC || !(out = open_memstream(&list, &size)))
        return (char *)text;
    fprintf(out, "Commands:\n");
    for (int i = 0; i < COMMANDS; i++)
        fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].summary);
    fprintf(out,
            "\n'cotangent help COMMAND' describes a command. Exit status: 0 success; 1 failure "
            "(a file, a text, the system); 2 wrong command line; 128 + the signal that ended "
            "training.");
    fclose(out);
    return list;
}

static error_t main_parse(int key, char *arg, struct argp_state *state)
{
    invocation *in = state->input;

    switch (key) {
    case ARGP_KEY_ARG:
        for (int i = 0; i < COMMANDS; i++)
            if (strcmp(arg, commands[i].name) == 0)
                in->command = &commands[i];
        if (!in->command)
            cli_refuse("there is no command \"%s\" (see cotangent --help)", arg);
        in->at = state->next - 1;
        state->next = state->argc; /* the command parses the rest */
        return 0;
    case ARGP_KEY_NO_ARGS:
        cli_refuse("a command is missing (see cotangent --help)");
    }
    return ARGP_ERR_UNKNOWN;
}

static void print_version(FILE *out, struct argp_state *state)
{
    (void)state;
    fprintf(out, "cotangent %s\n", ct_version());
}

/* Changes "help" to "--help", and "help COMMAND" to "COMMAND --help". */
static void main_translate_help(int argc, char **argv)
{
    static char option[] = "--help";

    if (argc < 2 || strcmp(argv[1], "help") != 0)
        return;
    if (argc > 2)
        argv[1] = argv[2];
    argv[argc > 2 ? 2 : 1] = option;
}

int main(int argc, char **argv)
{
    static char name[64];
    const struct argp argp = {
        .parser = main_parse,
        .args_doc = "COMMAND ...",
        .help_filter = main_list_commands,
        .doc = "Trains language models of characters, bytes or words, and uses them.\v"
    };
    invocation in = { 0 };

    cli_name = "cotangent";
    cli_begin();
    main_translate_help(argc, argv);
    argp_program_version_hook = print_version;
    ct_error_set_handler(tool_print_error, NULL);
    cli_run_argp(&argp, argc, argv, ARGP_IN_ORDER, &in);
    snprintf(name, sizeof name, "cotangent %s", in.command->name);
    argv[in.at] = name;
    return in.command->run(argc - in.at, argv + in.at);
}
