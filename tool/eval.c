/* eval.c - cotangent eval: how well a model predicts a text. */
#include "tool.h"

typedef struct options {
    tool_machine machine;
    const char *model, *text;
} options;

static error_t parse(int key, char *arg, struct argp_state *state)
{
    options *o = state->input;

    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &o->machine;
        return 0;
    case ARGP_KEY_ARG:
        if (o->text)
            tool_refuse("one model file and one text, not \"%s\" too", arg);
        *(o->model ? &o->text : &o->model) = arg;
        return 0;
    case ARGP_KEY_END:
        if (!o->text)
            tool_refuse("which %s? (see cotangent eval --help)", o->model ? "text" : "model file");
        return 0;
    }
    return ARGP_ERR_UNKNOWN;
}

static void print(const ct_lm *m, const ct_lm_score *s)
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
    static const struct argp_child children[] = { { &tool_machine_argp, 0, NULL, 0 }, { 0 } };
    const struct argp argp = {
        .parser = parse,
        .args_doc = "MODEL TEXT",
        .children = children,
        .doc = "Prints a model's perplexity on a text, and the bits that it takes for a character. "
               "MODEL is a file of cotangent train; TEXT is cleaned and cut as that one's was, and "
               "read from stdin for -. The first token is not counted."
    };
    options o = { 0 };
    ct_lm_score score;
    ct_text *text;
    ct_lm *m;
    int status;

    tool_parse(&argp, argc, argv, &o);
    m = ct_lm_load(o.model, o.machine.device);
    text = m ? tool_text(o.text, ct_vocab_kind(ct_lm_vocab(m))) : NULL;
    if (text && ct_lm_evaluate(m, text, &score) == CT_OK)
        print(m, &score);
    status = tool_status();
    ct_text_free(text);
    ct_lm_free(m);
    return status;
}
