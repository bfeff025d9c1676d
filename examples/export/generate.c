/* SPDX-License-Identifier: MIT */
/* generate.c - continues a text with a model that is a C file, without the library.
 *
 *     cotangent train --model gru -o model.safetensors text.txt
 *     cotangent export model.safetensors -o model.c
 *     cc -O3 -o generate generate.c model.c
 *     ./generate "the time " 1000 [TEMPERATURE [TOP_K [TOP_P [SEED]]]]
 *
 * For models of characters. It prints what `cotangent generate --portable` prints. */
#include <stdio.h>
#include <stdlib.h>

#include "model.h"

static model_state state;
static model_sampler sampler;
static float logits[MODEL_VOCAB];

/* The bytes of the UTF-8 character at s. */
static int character(const char *s, char *to)
{
    int n = 0;

    do
        to[n] = s[n];
    while ((s[++n] & 0xc0) == 0x80);
    to[n] = '\0';
    return n;
}

/* Reads a text but its last token, which is returned; -1 if it has a token that the model does not
 * know. */
static int read_prefix(const char *text)
{
    int token = -1;

    while (*text) {
        const int32_t before = token;
        char one[8];

        text += character(text, one);
        token = model_find(one);
        if (token < 0 || (before >= 0 && model_step(&state, &before, logits) != 0))
            return -1;
    }
    return token;
}

int main(int argc, char **argv)
{
    long count = argc > 2 ? atol(argv[2]) : 200;
    const char *prefix = argc > 1 ? argv[1] : "the time ";
    int token;

    sampler.temperature = argc > 3 ? atof(argv[3]) : 0;
    sampler.top_k = argc > 4 ? atoi(argv[4]) : 0;
    sampler.top_p = argc > 5 ? atof(argv[5]) : 0;
    sampler.seed = argc > 6 ? (uint64_t)atol(argv[6]) : 0;
    model_reset(&state);
    token = read_prefix(prefix);
    if (token < 0) {
        fprintf(stderr, "generate: the prefix is empty or has a character that the model lacks\n");
        return 1;
    }
    fputs(prefix, stdout);
    while (count-- > 0 && (token = model_next(&state, token, &sampler)) >= 0)
        fputs(model_token(token), stdout);
    putchar('\n');
    return token < 0;
}
