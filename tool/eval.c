/* SPDX-License-Identifier: MIT */
/* eval.c - cotangent eval: measures how well a model predicts a text. */
#include "tool.h"

typedef struct options {
    ct_device device;
    const char *model, *text;
    int shards;
} options;

static const cli_option table[] = {
    { "model file", CLI_ARGUMENT, .offset = offsetof(options, model), .file = CLI_READS },
    { "text", CLI_ARGUMENT, .offset = offsetof(options, text), .file = CLI_READS_OR_STDIN },
    { "shards", CLI_INT, "N", "cut the text into N shards, for mpirun|one for each process",
      .offset = offsetof(options, shards), .low = 1, .high = 1024 },
    TOOL_MACHINE(options, device),
    { 0 }
};

static void eval_print(const ct_lm *m, const ct_lm_score *s)
{
    ct_token_kind kind = ct_vocab_kind(ct_lm_vocab(m));

    printf("tokens: %lld (%s)", (long long)s->tokens, ct_token_kind_name(kind));
    if (s->unknown)
        printf(", %lld of them not in the vocabulary", (long long)s->unknown);
    printf("\nperplexity: %.4f\n", s->perplexity);
    printf("bits per character: %.4f\n", s->bits_per_character);
    printf("bits per byte: %.4f\n", s->bits_per_byte);
}

int tool_eval(int argc, char **argv)
{
    static const cli_program program = {
        .options = table,
        .arguments = "MODEL TEXT",
        .doc =
            "Prints a model's perplexity on a text, and the bits per character and per byte. MODEL "
            "is a file of cotangent train. TEXT is cleaned and tokenised as the training text was; "
            "- is stdin. The first token is not counted."
    };
    options o = { 0 };
    ct_lm_score score;
    ct_world *world;
    ct_text *text;
    ct_lm *m;
    int status;

    tool_parse(&program, argc, argv, &o);
    world = ct_world_new((ct_world_options){ .shards = o.shards });
    m = world ? ct_lm_load(o.model, o.device) : NULL;
    text = m ? tool_text(o.text, ct_vocab_kind(ct_lm_vocab(m))) : NULL;
    if (text && ct_lm_evaluate(m, text, world, &score) == CT_OK && ct_world_rank(world) == 0)
        eval_print(m, &score);
    status = tool_status();
    ct_text_free(text);
    ct_lm_free(m);
    ct_world_free(world);
    return status;
}
