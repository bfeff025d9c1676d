/* SPDX-License-Identifier: MIT */
/* language_model_export.c - a language model as C code: the step of nn/export.h, and the choice of the
 * next token as nn/sampling.c makes it. */
#include "train/language_model_internal.h"

#include "nn/export_internal.h"
#include "tensor/hooks.h"

#include <cotangent/tensor/random.h>

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static const char *const me = "ct_lm_export_c";

/* ---- the text ---- */

/* In these texts, @ stands for the name of the model, # for the number of tokens, and ! for the
 * stream of random numbers. */
static const char export_declarations[] =
    "/* ---- text ---- */\n\n"
    "#define @_VOCAB #\n\n"
    "/* The text of a token: a character, a byte or a word. */\n"
    "const char *@_token(int token);\n\n"
    "/* The token with this text, or -1. */\n"
    "int @_find(const char *text);\n\n"
    "/* How tokens are chosen. Zero-initialise it, then set the first members. */\n"
    "typedef struct @_sampler {\n"
    "    double temperature; /* 0: always the most likely token */\n"
    "    int top_k;          /* 0: all */\n"
    "    double top_p;       /* 0: 1 */\n"
    "    uint64_t seed, draws;\n"
    "    float logits[#], weights[#];\n"
    "    double sums[#];\n"
    "    int order[#];\n"
    "} @_sampler;\n\n"
    "/* Reads a token and returns the one that follows, or -1 for a token that does not exist and "
    "for\n"
    " * logits that are not finite. The same seed gives the same tokens as `cotangent generate\n"
    " * --portable`. */\n"
    "int @_next(@_state *state, int token, @_sampler *sampler);\n";

static const char export_random[] =
    "/* Philox 4x32-10: a uniform number in [0, 1) for a draw. */\n"
    "static double nn_uniform(uint64_t seed, uint64_t stream, uint64_t block)\n"
    "{\n"
    "    uint32_t c0 = (uint32_t)block, c1 = (uint32_t)(block >> 32);\n"
    "    uint32_t c2 = (uint32_t)stream, c3 = (uint32_t)(stream >> 32);\n"
    "    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);\n"
    "    int round;\n"
    "\n"
    "    for (round = 0; round < 10; round++) {\n"
    "        const uint64_t p = (uint64_t)0xD2511F53u * c0, q = (uint64_t)0xCD9E8D57u * c2;\n"
    "\n"
    "        c0 = (uint32_t)(q >> 32) ^ c1 ^ k0;\n"
    "        c1 = (uint32_t)q;\n"
    "        c2 = (uint32_t)(p >> 32) ^ c3 ^ k1;\n"
    "        c3 = (uint32_t)p;\n"
    "        k0 += 0x9E3779B9u;\n"
    "        k1 += 0xBB67AE85u;\n"
    "    }\n"
    "    return (double)(((uint64_t)c0 << 32 | c1) >> 11) * 0x1p-53;\n"
    "}\n\n"
    "/* True if logit a comes after logit b: it is less, or equal and later. */\n"
    "static int nn_after(const float *logits, int a, int b)\n"
    "{\n"
    "    return logits[a] < logits[b] || (!(logits[a] > logits[b]) && a > b);\n"
    "}\n\n"
    "/* Restores the heap below `at`, whose root comes last. */\n"
    "static void nn_sift(const float *logits, int *order, int at, int n)\n"
    "{\n"
    "    for (;;) {\n"
    "        int last = at, child = 2 * at + 1, swap;\n"
    "\n"
    "        if (child < n && nn_after(logits, order[child], order[last]))\n"
    "            last = child;\n"
    "        if (child + 1 < n && nn_after(logits, order[child + 1], order[last]))\n"
    "            last = child + 1;\n"
    "        if (last == at)\n"
    "            return;\n"
    "        swap = order[at];\n"
    "        order[at] = order[last];\n"
    "        order[last] = swap;\n"
    "        at = last;\n"
    "    }\n"
    "}\n\n"
    "/* order becomes the positions of logits in falling order. */\n"
    "static void nn_sort(const float *logits, int *order, int n)\n"
    "{\n"
    "    int i, swap;\n"
    "\n"
    "    for (i = n / 2 - 1; i >= 0; i--)\n"
    "        nn_sift(logits, order, i, n);\n"
    "    for (i = n - 1; i > 0; i--) {\n"
    "        swap = order[0];\n"
    "        order[0] = order[i];\n"
    "        order[i] = swap;\n"
    "        nn_sift(logits, order, 0, i);\n"
    "    }\n"
    "}\n\n";

static const char export_sampling[] =
    "/* The weights of the first n tokens of the order. */\n"
    "static void @_weigh(@_sampler *s, int n, float most)\n"
    "{\n"
    "    const float scale = (float)(1 / (s->temperature > 1e-30 ? s->temperature : 1e-30));\n"
    "    double total = 0;\n"
    "    int i;\n"
    "\n"
    "    for (i = 0; i < n; i++)\n"
    "        s->weights[i] = (s->logits[s->order[i]] - most) * scale;\n"
    "    nn_softmax(1, n, 0, s->weights, s->weights);\n"
    "    for (i = 0; i < n && s->top_p > 0 && s->top_p < 1; i++) {\n"
    "        total += (double)s->weights[i];\n"
    "        if ((float)total - s->weights[i] >= (float)s->top_p)\n"
    "            s->weights[i] = 0;\n"
    "    }\n"
    "}\n\n"
    "/* One of n positions, drawn by the running sums of their weights. */\n"
    "static int @_draw(@_sampler *s, int n)\n"
    "{\n"
    "    double before = 0, sum = 0, most;\n"
    "    int i, low = 0, high = n - 1;\n"
    "\n"
    "    for (i = 0; i < n; i++) {\n"
    "        if (i % 1024 == 0) {\n"
    "            before += sum;\n"
    "            sum = 0;\n"
    "        }\n"
    "        sum += (double)s->weights[i];\n"
    "        s->sums[i] = before + sum;\n"
    "    }\n"
    "    most = nn_uniform(s->seed, (uint64_t)!, s->draws++) * s->sums[n - 1];\n"
    "    while (low < high) {\n"
    "        const int middle = low + (high - low) / 2;\n"
    "\n"
    "        if (s->sums[middle] > most || s->sums[middle] >= s->sums[n - 1])\n"
    "            high = middle;\n"
    "        else\n"
    "            low = middle + 1;\n"
    "    }\n"
    "    return low;\n"
    "}\n\n"
    "int @_next(@_state *state, int token, @_sampler *s)\n"
    "{\n"
    "    const int32_t x = token;\n"
    "    int n = s->top_k > 0 && s->top_k < # ? s->top_k : #, i, best = 0;\n"
    "\n"
    "    if (@_step(state, &x, s->logits) != 0)\n"
    "        return -1;\n"
    "    for (i = 0; i < #; i++) {\n"
    "        if (!(s->logits[i] - s->logits[i] == 0))\n"
    "            return -1;\n"
    "        s->order[i] = i;\n"
    "        best = s->logits[i] > s->logits[best] ? i : best;\n"
    "    }\n"
    "    if (!(s->temperature > 0))\n"
    "        return best;\n"
    "    if (n < # || (s->top_p > 0 && s->top_p < 1))\n"
    "        nn_sort(s->logits, s->order, #);\n"
    "    @_weigh(s, n, s->logits[best]);\n"
    "    return s->order[@_draw(s, n)];\n"
    "}\n\n"
    "int @_find(const char *text)\n"
    "{\n"
    "    int i, k;\n"
    "\n"
    "    for (i = 0; i < #; i++) {\n"
    "        const char *token = @_token(i);\n"
    "\n"
    "        for (k = 0; token[k] && token[k] == text[k]; k++)\n"
    "            continue;\n"
    "        if (token[k] == text[k])\n"
    "            return i;\n"
    "    }\n"
    "    return -1;\n"
    "}\n";

/* ---- writing ---- */

/* What the placeholders stand for. */
typedef struct export_names {
    const char *name;
    int vocab;
    uint64_t stream;
} export_names;

/* A macro has the name in capitals. */
static void export_fill_in(FILE *out, const char *text, const export_names *names)
{
    for (; *text; text++)
        if (*text == '@' && strncmp(text, "@_VOCAB", 7) == 0)
            for (const char *c = names->name; *c; c++)
                fputc(toupper((unsigned char)*c), out);
        else if (*text == '@')
            fputs(names->name, out);
        else if (*text == '#' && (text[1] < 'a' || text[1] > 'z'))
            fprintf(out, "%d", names->vocab);
        else if (*text == '!' && text[1] == ',')
            fprintf(out, "0x%llxu", (unsigned long long)names->stream);
        else
            fputc(*text, out);
}

/* The text of a token as a C string. */
static void export_token(FILE *out, const ct_vocab *v, int id)
{
    const char *token = ct_vocab_token(v, id);
    const char byte[2] = { (char)id, '\0' };

    if (ct_vocab_kind(v) == CT_TOKEN_KIND_BYTE && id < 256)
        token = byte;
    fputc('"', out);
    for (; *token; token++)
        if (isalnum((unsigned char)*token) && (unsigned char)*token < 128)
            fputc(*token, out);
        else
            fprintf(out, "\\%03o", (unsigned)(unsigned char)*token);
    fputc('"', out);
}

static void export_tokens(FILE *out, const ct_vocab *v, const export_names *names)
{
    fprintf(out,
            "const char *%s_token(int token)\n{\n    static const char *const tokens[%d] = {\n",
            names->name, names->vocab);
    for (int i = 0; i < names->vocab; i++) {
        fputs("        ", out);
        export_token(out, v, i);
        fputs(",\n", out);
    }
    fprintf(out, "    };\n\n    return token >= 0 && token < %d ? tokens[token] : \"\";\n}\n\n",
            names->vocab);
}

/* Both extra parts in memory. */
typedef struct export_parts {
    char *source, *header;
    size_t source_size, header_size;
} export_parts;

static bool lm_export_close(FILE *f)
{
    if (!f || fclose(f) != 0)
        cti_out_of_memory(me, 0);
    return ct_ok();
}

static bool export_make(const ct_lm *m, const export_names *names, export_parts *p)
{
    FILE *out = open_memstream(&p->header, &p->header_size);

    if (out)
        export_fill_in(out, export_declarations, names);
    if (!lm_export_close(out))
        return false;
    out = open_memstream(&p->source, &p->source_size);
    if (out) {
        export_tokens(out, m->vocab, names);
        fputs(export_random, out);
        export_fill_in(out, export_sampling, names);
    }
    return lm_export_close(out);
}

ct_status cti_lm_plan_step(void *lm, ct_plan_call *call)
{
    call->output[0] = ct_lm_step(lm, call->input[0], call->state, &call->next);
    return ct_error();
}

ct_status ct_lm_export_c(const ct_lm *m, const char *path, ct_export_options options)
{
    const ct_generator g = ct_generator_stream(ct_generator_from_seed(0), "generate");
    ct_plan_options o = { .shape = { CT_SHAPE(1) }, .dtype = { CT_I32 } };
    export_parts parts = { .source = NULL };
    char name[48];
    ct_state *begin;
    ct_plan *p;

    if (!cti_sink_allowed() || !cti_lm_given(me, m) || !cti_given(me, "path", path) ||
        !cti_export_name(me, path, &options, name, sizeof name))
        return ct_error();
    o.state = begin = ct_recurrent_begin_state(m->rnn, 1);
    p = begin ? cti_plan_new(me, m->params, cti_lm_plan_step, (void *)(uintptr_t)m, &o) : NULL;
    if (p && export_make(m,
                         &(export_names){
                             .name = name, .vocab = ct_vocab_size(m->vocab), .stream = g.stream },
                         &parts))
        cti_export(me, p, path, &options, parts.source, parts.header);
    free(parts.source);
    free(parts.header);
    ct_plan_free(p);
    ct_state_free(begin);
    return ct_error();
}
