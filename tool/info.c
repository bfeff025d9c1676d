/* SPDX-License-Identifier: MIT */
/* info.c - cotangent info: prints a model's card, the tensors of a file, or a description of the
 * build. */
#include "tool.h"

static void info_print_tensors(const ct_safetensors *f)
{
    int i, axis;

    for (i = 0; i < ct_safetensors_count(f); i++) {
        ct_shape shape = ct_safetensors_shape(f, i);

        ct_print_text(ct_safetensors_name(f, i), stdout);
        printf("  ");
        ct_print_text(ct_safetensors_dtype(f, i), stdout);
        printf(" [");
        for (axis = 0; axis < shape.rank && axis < CT_MAX_RANK; axis++)
            printf("%s%lld", axis ? "," : "", (long long)shape.dim[axis]);
        printf("%s]\n", shape.rank > CT_MAX_RANK ? ",..." : "");
    }
    printf("%d tensor%s\n", ct_safetensors_count(f), ct_safetensors_count(f) == 1 ? "" : "s");
}

static int info_describe(const char *path)
{
    ct_safetensors *f = ct_safetensors_open(path);
    bool checkpoint = f && ct_safetensors_metadata(f, "cotangent.training");
    ct_lm *m = NULL;

    if (f && ct_safetensors_metadata(f, "cotangent.model")) {
        m = ct_lm_load(path, CT_CPU);
        ct_lm_print(m, stdout);
        if (m && checkpoint)
            printf("a checkpoint: cotangent train --resume continues the run\n");
    }
    if (f && ct_ok())
        info_print_tensors(f);
    ct_lm_free(m);
    ct_safetensors_close(f);
    return tool_status();
}

static const cli_option table[] = {
    { "file", CLI_ARGUMENT_OPTIONAL, .offset = 0, .file = CLI_READS }, { 0 }
};

int tool_info(int argc, char **argv)
{
    static const cli_program program = {
        .options = table,
        .arguments = "[FILE]",
        .doc = "Prints the card of a model file of cotangent train, and the tensors of that or any "
               "other safetensors file. Without a file: version, BLAS, LIBXSMM, code paths, "
               "devices."
    };
    const char *path = NULL;

    tool_parse(&program, argc, argv, &path);
    if (path)
        return info_describe(path);
    ct_build_print(stdout);
    return tool_status();
}
