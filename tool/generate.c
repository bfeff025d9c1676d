/* SPDX-License-Identifier: MIT */
/* generate.c - cotangent generate: prints text from a model, token by token. */
#include "tool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PREFIX_LIMIT ((size_t)1 << 24) /* the most bytes of a prefix from stdin */

typedef struct options {
    ct_device device;
    const char *model, *prefix; /* NULL: the prefix comes from stdin */
    double temperature;         /* negative: the option was not given */
    bool portable;
    ct_lm_generate_options how;
} options;

#define FIELD(name) .offset = offsetof(options, name)

static const cli_option table[] = {
    { "model file", CLI_ARGUMENT, FIELD(model), .file = CLI_READS },
    { "prefix", CLI_NAME, "TEXT", "the text to continue; without it, or for -, stdin",
      FIELD(prefix), .letter = 'p' },
    { "length", CLI_INTEGER, "N", "tokens to add: characters, bytes or words", FIELD(how.count),
      .high = INT64_MAX, .letter = 'n' },
    { "temperature", CLI_AT_LEAST_0, "X",
      "draw each token; a lower temperature is safer; 0: the most likely|0; with --top-k or "
      "--top-p 1",
      FIELD(temperature), .letter = 't' },
    { "top-k", CLI_INTEGER, "N", "draw each token from the N most likely", FIELD(how.top_k),
      .low = 1, .high = INT32_MAX, .letter = 'k' },
    { "top-p", CLI_SHARE, "X", "draw each token from the most likely that together reach X",
      FIELD(how.top_p) },
    { "seed", CLI_INTEGER, "N", "the same seed gives the same text|0", FIELD(how.seed),
      .high = INT64_MAX, .letter = 's' },
    { "portable", CLI_FLAG, NULL, "the same text on any processor, and from exported code; slower",
      FIELD(portable) },
    TOOL_MACHINE(options, device),
    { 0 }
};

/* Returns all of stdin as a new string, without the newline at its end; NULL after a line on
 * stderr. */
static char *generate_read_prefix(void)
{
    char *text = NULL, part[4096];
    size_t size = 0, n;
    FILE *all = open_memstream(&text, &size);

    if (isatty(STDIN_FILENO))
        tool_note("type the start of a text, then Ctrl-D (or use --prefix TEXT)");
    while (all && (n = fread(part, 1, sizeof part, stdin)) > 0 && size < PREFIX_LIMIT) {
        fwrite(part, 1, n, all);
        fflush(all);
    }
    if (!all || ferror(stdin) || fclose(all) != 0)
        tool_fail("stdin: %s", strerror(errno));
    else if (size >= PREFIX_LIMIT)
        tool_fail("stdin: the prefix has more than %zu bytes", PREFIX_LIMIT);
    else if (memchr(text, '\0', size))
        tool_fail("stdin: the prefix has a NUL byte");
    else {
        if (size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) /* skip the byte order mark */
            memmove(text, text + 3, (size -= 3) + 1);
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

/* A model's tokens come from a file and may contain control characters. On a terminal, each of
 * these except tabs and newlines is printed as '?', and carriage returns are dropped. A character
 * may arrive in several parts. */
typedef struct terminal_filter {
    bool terminal; /* false: print the bytes unchanged */
    int left;      /* bytes of the character that are still to come */
    bool held;     /* its first byte, 0xC2, is held back, because U+0080 to U+009F begin with it */
} terminal_filter;

/* Returns the number of bytes to print, 0 to 2. */
static size_t generate_filter(terminal_filter *f, unsigned char c, unsigned char to[2])
{
    size_t n = 0;

    if (f->left && (c & 0xc0) == 0x80) {
        f->left--;
        if (f->held && c >= 0xa0)
            to[n++] = 0xc2;
        to[n++] = f->held && c < 0xa0 ? '?' : c;
        f->held = false;
        return n;
    }
    if (f->held) /* the character is incomplete */
        to[n++] = '?';
    f->left = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : c >= 0xc2 ? 1 : 0;
    f->held = c == 0xc2;
    if (f->held || c == '\r')
        return n;
    if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f || (c >= 0x80 && c < 0xc2))
        c = '?';
    to[n++] = c;
    return n;
}

/* Prints a token and flushes it. Stops when stdout is closed. */
static bool generate_emit(void *context, const char *bytes, size_t size)
{
    terminal_filter *f = context;
    unsigned char shown[2];

    for (size_t i = 0; f->terminal && i < size; i++)
        fwrite(shown, 1, generate_filter(f, (unsigned char)bytes[i], shown), stdout);
    if (!f->terminal)
        fwrite(bytes, 1, size, stdout);
    return fflush(stdout) == 0 && !ferror(stdout);
}

static void generate_note_unknown(const ct_lm *m, const char *prefix)
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
    static const cli_program program = {
        .options = table,
        .arguments = "MODEL",
        .doc =
            "Prints a text and a model's continuation of it. MODEL is a file of cotangent train, "
            "its model or its checkpoint."
    };
    terminal_filter filter = { .terminal = isatty(STDOUT_FILENO) };
    options o = { .temperature = -1,
                  .how = { .count = 200, .emit = generate_emit, .context = &filter } };
    char *own = NULL;
    int status;
    ct_lm *m;

    tool_parse(&program, argc, argv, &o);
    if (ct_world_launched_rank() > 0) /* one text is made by one process */
        return CLI_OK;
    o.how.temperature = o.temperature >= 0 ? o.temperature : o.how.top_k || o.how.top_p > 0 ? 1 : 0;
    ct_set_portable(o.portable);
    m = ct_lm_load(o.model, o.device);
    if (m && (!o.prefix || strcmp(o.prefix, "-") == 0))
        o.prefix = own = generate_read_prefix();
    status = m && o.prefix ? CLI_OK : CLI_FAILED;
    if (status == CLI_OK) {
        o.how.prefix = o.prefix;
        generate_note_unknown(m, o.prefix);
        if (ct_lm_generate(m, o.how) == CT_OK)
            putchar('\n');
        status = tool_status();
    }
    free(own);
    ct_lm_free(m);
    return status;
}
