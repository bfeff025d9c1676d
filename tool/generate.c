/* generate.c - cotangent generate: text from a model, as it comes. */
#include "tool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX_LIMIT ((size_t)1 << 24) /* bytes of a prefix from stdin */

typedef struct options {
    tool_machine machine;
    const char *model, *prefix; /* prefix NULL: from stdin */
    ct_lm_generate_options how;
} options;

static const struct argp_option table[] = {
    { "prefix", 'p', "TEXT", 0, "the text to go on from; without it, or for -, stdin", 0 },
    { "length", 'n', "N", 0, "tokens to add: characters, bytes or words (200)", 0 },
    { "temperature", 't', "X", 0, "draw each token; below 1 bolder is rarer (else: the likeliest)",
      0 },
    { "top-k", 'k', "N", 0, "draw each token from the N likeliest", 0 },
    { "seed", 's', "N", 0, "the same seed, the same text (0)", 0 },
    { 0 }
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    options *o = state->input;

    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &o->machine;
        return 0;
    case 'p':
        if (!*arg)
            tool_refuse("--prefix: the prefix is empty");
        o->prefix = strcmp(arg, "-") == 0 ? NULL : arg;
        return 0;
    case 'n':
        o->how.count = tool_integer("length", arg, 0, INT64_MAX);
        return 0;
    case 't':
        o->how.temperature = tool_positive("temperature", arg);
        return 0;
    case 'k':
        o->how.top_k = tool_integer("top-k", arg, 1, INT32_MAX);
        return 0;
    case 's':
        o->how.seed = (uint64_t)tool_integer("seed", arg, 0, INT64_MAX);
        return 0;
    case ARGP_KEY_ARG:
        if (o->model)
            tool_refuse("one model file, not \"%s\" too", arg);
        o->model = arg;
        return 0;
    case ARGP_KEY_NO_ARGS:
        tool_refuse("which model file? (see cotangent generate --help)");
    }
    return ARGP_ERR_UNKNOWN;
}

/* All of stdin, but for the end of its last line, as a new string; NULL after saying why. */
static char *read_prefix(void)
{
    char *text = NULL, part[4096];
    size_t size = 0, n;
    FILE *all = open_memstream(&text, &size);

    while (all && (n = fread(part, 1, sizeof part, stdin)) > 0 && size < PREFIX_LIMIT) {
        fwrite(part, 1, n, all);
        fflush(all);
    }
    if (!all || ferror(stdin) || fclose(all) != 0)
        tool_fail("stdin: %s", strerror(errno));
    else if (size >= PREFIX_LIMIT)
        tool_fail("stdin: a prefix of more than %zu bytes", PREFIX_LIMIT);
    else if (memchr(text, '\0', size))
        tool_fail("stdin: the prefix holds a NUL byte");
    else {
        if (size && text[size - 1] == '\n')
            text[--size] = '\0';
        if (size && text[size - 1] == '\r')
            text[--size] = '\0';
        if (size)
            return text;
        tool_fail("stdin: the prefix is empty");
    }
    free(text);
    return NULL;
}

/* Whoever reads gets each token when it is there; and an end of theirs is the end. */
static bool emit(void *context, const char *bytes, size_t size)
{
    (void)context;
    return fwrite(bytes, 1, size, stdout) == size && fflush(stdout) == 0;
}

static void note_unknown(const ct_lm *m, const char *prefix)
{
    int64_t count, unknown;

    free(ct_lm_encode(m, prefix, strlen(prefix), &count, &unknown));
    if (unknown)
        tool_note("%lld of the prefix's %lld tokens are not in the model's vocabulary; they count "
                  "as <unk>",
                  (long long)unknown, (long long)count);
}

int tool_generate(int argc, char **argv)
{
    static const struct argp_child children[] = { { &tool_machine_argp, 0, NULL, 0 }, { 0 } };
    const struct argp argp = {
        .options = table,
        .parser = parse,
        .args_doc = "MODEL",
        .children = children,
        .doc = "Prints a text and how a model goes on from it. MODEL is a file of cotangent train, "
               "its model or its checkpoint."
    };
    options o = { .how = { .count = 200, .emit = emit } };
    char *own = NULL;
    int status;
    ct_lm *m;

    tool_parse(&argp, argc, argv, &o);
    m = ct_lm_load(o.model, o.machine.device);
    if (m && !o.prefix)
        o.prefix = own = read_prefix();
    status = m && o.prefix ? TOOL_OK : TOOL_FAILED;
    if (status == TOOL_OK) {
        o.how.prefix = o.prefix;
        note_unknown(m, o.prefix);
        if (ct_lm_generate(m, o.how) == CT_OK)
            putchar('\n');
        status = tool_status();
    }
    free(own);
    ct_lm_free(m);
    return status;
}
