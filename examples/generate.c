/* SPDX-License-Identifier: MIT */
/* generate.c - continues a text with a trained model: the least program that one puts a model into.
 *     cotangent train book.txt -o book.safetensors
 *     generate book.safetensors 'time traveller' 200
 *
 * It needs no part of the library that trains (docs/embedding.md). */
#include <stdio.h>
#include <stdlib.h>

#include <cotangent.h>

int main(int argc, char **argv)
{
    ct_lm *model;
    char *text;

    if (argc != 4) {
        fprintf(stderr, "usage: generate MODEL TEXT COUNT\n");
        return 2;
    }
    model = ct_lm_load(argv[1], CT_CPU);
    text = ct_lm_generate_text(
        model, (ct_lm_generate_options){ .prefix = argv[2], .count = strtoll(argv[3], NULL, 10) });
    if (text)
        puts(text);
    else
        fprintf(stderr, "%s\n", ct_error_message());
    free(text);
    ct_lm_free(model);
    return text ? 0 : 1;
}
