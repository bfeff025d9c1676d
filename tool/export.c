/* SPDX-License-Identifier: MIT */
/* export.c - cotangent export: writes a model as a C file and a header. */
#include "tool.h"

typedef struct options {
    const char *model, *output, *name;
    bool separate, libm;
} options;

#define FIELD(name) .offset = offsetof(options, name)

static const cli_option table[] = {
    { "model file", CLI_ARGUMENT, FIELD(model), .file = CLI_READS },
    { "output", CLI_NAME, "FILE", "the C file; the header is written beside it", FIELD(output),
      .letter = 'o', .file = CLI_WRITES },
    { "name", CLI_NAME, "NAME", "the prefix of all names in the code|the name of the file",
      FIELD(name) },
    { "separate-weights", CLI_FLAG, NULL, "write the weights to a file of their own, FILE.weights",
      FIELD(separate) },
    { "libm", CLI_FLAG, NULL, "call the C library's functions, such as expf; other bits",
      FIELD(libm) },
    { 0 }
};

int tool_export(int argc, char **argv)
{
    static const cli_program program = {
        .options = table,
        .arguments = "MODEL -o FILE",
        .doc =
            "Writes a model as C99 code that needs no library. MODEL is a file of cotangent train, "
            "its model or its checkpoint."
    };
    options o = { .model = NULL };
    ct_lm *m;

    tool_parse(&program, argc, argv, &o);
    if (!o.output)
        return tool_fail("the option --output is missing");
    m = ct_lm_load(o.model, CT_CPU);
    if (m)
        (void)ct_lm_export_c(
            m, o.output,
            (ct_export_options){ .name = o.name, .separate_weights = o.separate, .libm = o.libm });
    ct_lm_free(m);
    return tool_status();
}
