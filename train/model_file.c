/* SPDX-License-Identifier: MIT */
/* model_file.c - a language model's description in JSON, and its file.
 *
 *     {"type": "language_model", "version": 1,
 *      "model": {"cell": "lstm", "hidden_size": 256, "num_layers": 1, "embedding_size": 0,
 *                "tied": false, "dropout": 0.0, "recurrent_dropout": 0.0, "layer_norm": false,
 *                "nonlinearity": "default", "dialect": "torch"},
 *      "tokens": "char", "clean": "lines", "vocabulary": ["<unk>", " ", "e", ...],
 *      "corpus": {"sha256": "...", "tokens": 10000},
 *      "training": {"perplexity": 1.3, ...}}
 *
 * A token that is not UTF-8 is a list of its bytes; if tokens are bytes, the vocabulary lists only
 * the tokens after the first 256. */
#include "autograd/internal.h"
#include "tensor/internal.h"

#include "data/utf8.h"
#include "tensor/hooks.h"
#include "tensor/json.h"
#include "tensor/named_tensors.h"
#include "tensor/text.h"
#include "train/language_model_internal.h"

#include <cotangent/autograd/params/state_dict.h>
#include <cotangent/tensor/safetensors.h>

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define KEY "cotangent.model"
#define TYPE "language_model"
#define FORMAT 1
#define MOST_LAYERS 4096
#define MOST_NOTES 1000

static const char *const nonlinearities[] = {
    [CT_NONLINEARITY_DEFAULT] = "default",
    [CT_NONLINEARITY_TANH] = "tanh",
    [CT_NONLINEARITY_RELU] = "relu",
};

/* ---- notes ---- */

static ct_status model_file_note(const char *function, ct_lm *m, const char *what, const char *text,
                                 double number)
{
    if (!ct_ok())
        return ct_error();
    if (!m || !what)
        return ct_raise(CT_ERR_ARGUMENT, function, "%s", !m ? "m is NULL" : "what is NULL");
    if (!text && !isfinite(number))
        return ct_raise(CT_ERR_ARGUMENT, function, "value is %g; it must be finite", number);
    if (!cti_is_utf8(what))
        return ct_raise(CT_ERR_ARGUMENT, function, "what is not UTF-8");
    cti_notes_set(&m->notes, function, what, text, number);
    return ct_error();
}

ct_status ct_lm_note(ct_lm *m, const char *what, double value)
{
    return model_file_note("ct_lm_note", m, what, NULL, value);
}

ct_status ct_lm_note_text(ct_lm *m, const char *what, const char *text)
{
    static const char *const me = "ct_lm_note_text";
    ct_status status;
    size_t size, i;
    char *copy;

    if (!cti_given(me, "text", text))
        return ct_error();
    copy = cti_strdup(text);
    if (!copy) {
        cti_out_of_memory(me, strlen(text) + 1);
        return ct_error();
    }
    size = strlen(copy);
    for (i = 0; i < size; i += cti_utf8_step(copy + i, size - i))
        if (cti_utf8_length(copy + i, size - i) == 0)
            copy[i] = '?'; /* not UTF-8, such as a byte of a file name */
    status = model_file_note(me, m, what, copy, 0);
    cti_release(copy);
    return status;
}

/* ---- writing ---- */

static void model_file_add_token(cti_buffer *b, const char *token)
{
    size_t n = strlen(token), i;

    if (cti_utf8_invalid(token, n) == 0) {
        cti_json_add_text(b, token);
        return;
    }
    for (i = 0; i < n; i++)
        cti_buffer_print(b, "%c%d", i ? ',' : '[', (unsigned char)token[i]);
    cti_buffer_add(b, "]", 1);
}

static void model_file_add_vocabulary(cti_buffer *b, const ct_vocab *v)
{
    int first = ct_vocab_kind(v) == CT_TOKEN_KIND_BYTE ? 256 : 0;

    cti_buffer_add(b, "[", 1);
    for (int id = first; id < ct_vocab_size(v); id++) {
        if (id > first)
            cti_buffer_add(b, ",", 1);
        model_file_add_token(b, ct_vocab_token(v, id));
    }
    cti_buffer_add(b, "]", 1);
}

static void model_file_add_options(cti_buffer *b, const ct_lm_options *o)
{
    cti_buffer_print(b,
                     "{\"cell\":\"%s\",\"hidden_size\":%lld,\"num_layers\":%d,"
                     "\"embedding_size\":%lld,\"tied\":%s,\"dropout\":",
                     ct_lm_cell_name(o->cell), (long long)o->hidden_size, o->num_layers,
                     (long long)o->embedding_size, o->tied ? "true" : "false");
    cti_buffer_number(b, o->dropout);
    cti_buffer_print(b, ",\"recurrent_dropout\":");
    cti_buffer_number(b, o->recurrent_dropout);
    cti_buffer_print(b, ",\"layer_norm\":%s,\"nonlinearity\":\"%s\",\"dialect\":\"%s\"}",
                     o->layer_norm ? "true" : "false", nonlinearities[o->nonlinearity],
                     ct_dialect_name(o->dialect));
}

char *ct_lm_describe(const ct_lm *m)
{
    cti_buffer b = { 0 };

    if (!m) {
        if (ct_ok())
            ct_raise(CT_ERR_ARGUMENT, "ct_lm_describe", "m is NULL");
        return NULL;
    }
    cti_buffer_print(&b, "{\"type\":\"%s\",\"version\":%d,\"model\":", TYPE, FORMAT);
    model_file_add_options(&b, &m->options);
    cti_buffer_print(&b, ",\"tokens\":\"%s\",\"clean\":\"%s\",\"vocabulary\":",
                     ct_token_kind_name(ct_vocab_kind(m->vocab)), ct_clean_name(m->clean));
    model_file_add_vocabulary(&b, m->vocab);
    cti_buffer_print(&b, ",\"corpus\":{\"sha256\":\"%s\",\"tokens\":%lld},\"training\":", m->sha256,
                     (long long)m->corpus_tokens);
    cti_notes_write(&m->notes, &b);
    cti_buffer_add(&b, "}", 1);
    if (!b.failed)
        return b.bytes;
    cti_buffer_free(&b);
    ct_raise(CT_ERR_MEMORY, "ct_lm_describe", "out of memory");
    return NULL;
}

static ct_status model_file_write(const ct_lm *m, const char *path, const char *description)
{
    const ct_metadata metadata[] = { { KEY, description }, { NULL, NULL } };
    cti_named_tensors list = { .function = "ct_lm_save" };
    ct_status status;

    for (int i = 0; i < ct_params_count(m->params); i++) {
        ct_param *p = ct_params_at(m->params, i);

        cti_named_tensors_add(&list, "", ct_param_name(p), cti_param_own(p));
    }
    status = cti_named_tensors_write(&list, path, metadata);
    cti_named_tensors_free(&list);
    return status;
}

ct_status ct_lm_save(const ct_lm *m, const char *path)
{
    ct_status status;
    char *description;

    if (!cti_sink_allowed())
        return ct_error();
    description = ct_lm_describe(m);
    status = description ? model_file_write(m, path, description) : ct_error();
    cti_release(description);
    return status;
}

/* ---- reading: the description ---- */

/* Raises CT_ERR_FORMAT: "PATH: what is wrong". Returns false. */
static bool model_file_wrong(const char *path, const char *format, ...) CT_PRINTF(2, 3);

static bool model_file_wrong(const char *path, const char *format, ...)
{
    char what[300];
    va_list args;

    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    ct_raise(CT_ERR_FORMAT, "ct_lm_load", "%s: %s", path, what);
    return false;
}

/* Returns a field of an object of the description if it has the required type; NULL with an
 * error. */
static const cti_json *model_file_field(const char *path, const cti_json *object, const char *name,
                                        cti_json_type type)
{
    static const char *const types[] = {
        [CTI_JSON_OBJECT] = "an object", [CTI_JSON_ARRAY] = "an array",
        [CTI_JSON_STRING] = "a string",  [CTI_JSON_INTEGER] = "a whole number",
        [CTI_JSON_REAL] = "a number",    [CTI_JSON_TRUE] = "true or false"
    };
    const cti_json *f = cti_json_get(object, name);

    if (!f)
        model_file_wrong(path, "description: \"%s\" is missing", name);
    else if (f->type != type && !(type == CTI_JSON_TRUE && f->type == CTI_JSON_FALSE) &&
             !(type == CTI_JSON_REAL && f->type == CTI_JSON_INTEGER))
        model_file_wrong(path, "description: \"%s\" is not %s", name, types[type]);
    else
        return f;
    return NULL;
}

/* Reads a whole number from low to high. */
static bool model_file_get_integer(const char *path, const cti_json *object, const char *name,
                                   int64_t low, int64_t high, int64_t *n)
{
    const cti_json *f = model_file_field(path, object, name, CTI_JSON_INTEGER);

    *n = f ? f->integer : 0;
    if (f && (*n < low || *n > high))
        return model_file_wrong(path, "description: \"%s\" is %lld; it must be %lld to %lld", name,
                                (long long)*n, (long long)low, (long long)high);
    return f != NULL;
}

static bool model_file_get_bool(const char *path, const cti_json *object, const char *name, bool *b)
{
    const cti_json *f = model_file_field(path, object, name, CTI_JSON_TRUE);

    *b = cti_json_is(f, CTI_JSON_TRUE);
    return f != NULL;
}

static bool model_file_get_fraction(const char *path, const cti_json *object, const char *name,
                                    double *x)
{
    const cti_json *f = model_file_field(path, object, name, CTI_JSON_REAL);

    *x = cti_json_number(f);
    if (f && !(*x >= 0 && *x < 1))
        return model_file_wrong(
            path, "description: \"%s\" is %g; it must be at least 0 and less than 1", name, *x);
    return f != NULL;
}

/* Reads a name. `named` returns its number. */
static bool model_file_get_name(const char *path, const cti_json *object, const char *name,
                                int (*named)(const char *), int *found)
{
    const cti_json *f = model_file_field(path, object, name, CTI_JSON_STRING);

    *found = f ? named(cti_json_text(f)) : -1;
    if (f && *found < 0)
        return model_file_wrong(path, "description: \"%s\" is %s, which this version does not know",
                                name, cti_quote(cti_json_text(f)).s);
    return f != NULL;
}

static int model_file_nonlinearity_named(const char *name)
{
    int i;

    for (i = 0; i < (int)(sizeof nonlinearities / sizeof *nonlinearities); i++)
        if (strcmp(name, nonlinearities[i]) == 0)
            return i;
    return -1;
}

static bool model_file_get_options(const char *path, const cti_json *d, ct_lm_options *o)
{
    const cti_json *model = model_file_field(path, d, "model", CTI_JSON_OBJECT);
    int cell, nonlinearity, dialect;
    int64_t layers;

    if (!model || !model_file_get_name(path, model, "cell", ct_lm_cell_from_name, &cell) ||
        !model_file_get_integer(path, model, "hidden_size", 1, INT32_MAX, &o->hidden_size) ||
        !model_file_get_integer(path, model, "num_layers", 1, MOST_LAYERS, &layers) ||
        !model_file_get_integer(path, model, "embedding_size", 0, INT32_MAX, &o->embedding_size) ||
        !model_file_get_bool(path, model, "tied", &o->tied) ||
        !model_file_get_fraction(path, model, "dropout", &o->dropout) ||
        !model_file_get_fraction(path, model, "recurrent_dropout", &o->recurrent_dropout) ||
        !model_file_get_bool(path, model, "layer_norm", &o->layer_norm) ||
        !model_file_get_name(path, model, "nonlinearity", model_file_nonlinearity_named,
                             &nonlinearity) ||
        !model_file_get_name(path, model, "dialect", ct_dialect_from_name, &dialect))
        return false;
    o->cell = (ct_lm_cell)cell;
    o->num_layers = (int)layers;
    o->nonlinearity = (ct_nonlinearity)nonlinearity;
    o->dialect = (ct_dialect)dialect;
    if (o->nonlinearity != CT_NONLINEARITY_DEFAULT && o->cell != CT_LM_CELL_RNN)
        return model_file_wrong(path, "description: the cell takes no nonlinearity");
    if (o->tied && o->embedding_size != o->hidden_size)
        return model_file_wrong(path, "description: the sizes of tied weights differ");
    return true;
}

/* Reads a token of the vocabulary into a new string, which the caller frees with cti_release. */
static char *model_file_token(const char *path, const cti_json *item, size_t at)
{
    size_t n = cti_json_is(item, CTI_JSON_ARRAY) ? item->count : 0, i = 0;
    const char *text = cti_json_text(item) && item->count > 0 ? item->text : NULL;
    char *token = text ? cti_strdup(text) : cti_calloc(n + 1, 1);

    if (!token)
        cti_out_of_memory("ct_lm_load", text ? strlen(text) + 1 : n + 1);
    if (text || !token)
        return token;
    for (const cti_json *byte = cti_json_first(item); byte; byte = byte->next) {
        if (byte->type != CTI_JSON_INTEGER || byte->integer < 1 || byte->integer > 255)
            break;
        token[i++] = (char)byte->integer;
    }
    if (n > 0 && i == n)
        return token;
    model_file_wrong(path, "description: token %zu must be text or a list of bytes", at);
    cti_release(token);
    return NULL;
}

/* Accepts a token that cannot occur in a text of its kind, because it does no harm. */
static ct_vocab *model_file_get_vocabulary(const char *path, const cti_json *d)
{
    const cti_json *list, *item;
    ct_vocab *v = NULL;
    char **tokens;
    size_t n, i;
    int kind;

    list = model_file_field(path, d, "vocabulary", CTI_JSON_ARRAY);
    if (!list || !model_file_get_name(path, d, "tokens", ct_token_kind_from_name, &kind))
        return NULL;
    n = list->count;
    tokens = n <= INT32_MAX / 2 ? cti_calloc(n + 1, sizeof *tokens) : NULL;
    item = list->first;
    for (i = 0; tokens && i < n; i++, item = item->next) {
        tokens[i] = model_file_token(path, item, i);
        if (!tokens[i])
            break;
    }
    if (tokens && i == n)
        v = ct_vocab_new_from_tokens((ct_token_kind)kind, (int)n, (const char *const *)tokens);
    for (i = 0; tokens && i < n; i++)
        cti_release(tokens[i]);
    cti_release(tokens);
    if (!tokens)
        cti_out_of_memory("ct_lm_load", (n + 1) * sizeof *tokens);
    return v;
}

static bool model_file_is_sha256(const char *s)
{
    return strlen(s) == 64 && strspn(s, "0123456789abcdef") == 64;
}

static bool model_file_get_notes(const char *path, const cti_json *notes, ct_lm *m)
{
    if (notes->count > MOST_NOTES)
        return model_file_wrong(path, "description: more than %d notes", MOST_NOTES);
    for (const cti_json *v = notes->first; v; v = v->next) {
        if (!cti_json_text(v) && !(cti_json_is_number(v) && isfinite(cti_json_number(v))))
            return model_file_wrong(path, "description: note %s must be a number or text",
                                    cti_quote(v->key).s);
        if (!cti_notes_set(&m->notes, "ct_lm_load", v->key, cti_json_text(v), cti_json_number(v)))
            return false;
    }
    return true;
}

/* Reads the description except architecture and vocabulary. */
static bool model_file_get_rest(const char *path, const cti_json *d, ct_lm *m)
{
    const cti_json *corpus = model_file_field(path, d, "corpus", CTI_JSON_OBJECT), *sha, *notes;
    int clean;

    if (!corpus || !(sha = model_file_field(path, corpus, "sha256", CTI_JSON_STRING)) ||
        !model_file_get_integer(path, corpus, "tokens", 0, INT64_MAX, &m->corpus_tokens) ||
        !model_file_get_name(path, d, "clean", ct_clean_from_name, &clean) ||
        !(notes = model_file_field(path, d, "training", CTI_JSON_OBJECT)))
        return false;
    if (!model_file_is_sha256(sha->text))
        return model_file_wrong(
            path, "description: the SHA-256 of the corpus is not 64 hexadecimal digits");
    strcpy(m->sha256, sha->text);
    m->clean = (ct_clean)clean;
    return model_file_get_notes(path, notes, m);
}

/* Parses the text of a description; NULL with an error. */
static cti_json *model_file_parse(const char *path, const char *text)
{
    cti_json_error error;
    cti_json *d = cti_json_read(text, strlen(text), (cti_json_limits){ 0 }, &error);

    if (!d && error.memory)
        cti_out_of_memory("ct_lm_load", error.memory);
    else if (!d)
        model_file_wrong(path, "\"" KEY "\" of its metadata %s (offset %zu)", error.what,
                         error.offset);
    else if (d->type != CTI_JSON_OBJECT)
        model_file_wrong(path, "\"" KEY "\" of its metadata is not a JSON object");
    else
        return d;
    cti_release(d);
    return NULL;
}

/* Returns the description in an open file, which the caller frees with cti_release; NULL with an
 * error. */
static cti_json *model_file_read_description(const char *path, const ct_safetensors *f)
{
    const char *text = ct_safetensors_metadata(f, KEY);
    cti_json *d = text ? model_file_parse(path, text) : NULL;
    int64_t version;
    const cti_json *type;

    if (!text)
        model_file_wrong(path, "is not a model file (its metadata have no \"" KEY "\")");
    else if (d && (type = model_file_field(path, d, "type", CTI_JSON_STRING))) {
        if (strcmp(type->text, TYPE) != 0)
            model_file_wrong(path, "is a model of type %s; it must be \"" TYPE "\"",
                             cti_quote(type->text).s);
        else if (model_file_get_integer(path, d, "version", 1, FORMAT, &version))
            return d;
    }
    cti_release(d);
    return NULL;
}

/* ---- reading: its tensors ---- */

/* True if the file has a matrix of this name and shape. */
static bool model_file_has_matrix(const char *path, const ct_safetensors *f, const char *name,
                                  int64_t rows, int64_t columns)
{
    int i = ct_safetensors_find(f, name);
    ct_shape shape = ct_safetensors_shape(f, i);

    if (i < 0)
        return model_file_wrong(path, "the tensor %s is missing", name);
    if (shape.rank != 2 || shape.dim[0] != rows || shape.dim[1] != columns)
        return model_file_wrong(path, "%s must be [%lld,%lld]; it is %s", name, (long long)rows,
                                (long long)columns, cti_shape_text(&shape).s);
    return true;
}

/* Checks that the sizes in the description are those of the tensors in the file, before memory is
 * allocated for them. */
static bool model_file_sizes_agree(const char *path, const ct_safetensors *f,
                                   const ct_lm_options *o, int64_t vocab)
{
    static const int gates[] = {
        [CT_LM_CELL_RNN] = 1, [CT_LM_CELL_LSTM] = 4, [CT_LM_CELL_GRU] = 3
    };
    const int64_t rows = gates[o->cell] * o->hidden_size;
    int64_t in = o->embedding_size ? o->embedding_size : vocab;
    char name[60];
    int k;

    if (o->embedding_size &&
        !model_file_has_matrix(path, f, "embedding.weight", vocab, o->embedding_size))
        return false;
    for (k = 0; k < o->num_layers; k++, in = o->hidden_size) {
        snprintf(name, sizeof name, "rnn.weight_ih_l%d", k);
        if (!model_file_has_matrix(path, f, name, rows, in))
            return false;
        snprintf(name, sizeof name, "rnn.weight_hh_l%d", k);
        if (!model_file_has_matrix(path, f, name, rows, o->hidden_size))
            return false;
    }
    return model_file_has_matrix(path, f, "linear.weight", vocab, o->hidden_size);
}

/* Loads the weights. Other tensors are allowed only if their names begin with "training.". */
static bool model_file_load_weights(const char *path, ct_params *params)
{
    ct_load_report report = { 0 };
    bool ok = ct_params_load(params, path,
                             (ct_load_options){ .non_strict = true, .report = &report }) == CT_OK;
    int i;

    for (i = 0; ok && i < report.count; i++) {
        const ct_load_item *item = &report.items[i];

        if (item->problem == CT_LOAD_PROBLEM_MISSING)
            ok = model_file_wrong(path, "the tensor %s is missing", item->name);
        else if (strncmp(item->name, "training.", 9) != 0)
            ok = model_file_wrong(path, "the tensor %s is not in its description",
                                  cti_quote(item->name).s);
    }
    ct_load_report_clear(&report);
    return ok;
}

static ct_lm *model_file_load(const char *path, const ct_safetensors *f, ct_device device)
{
    cti_json *d = model_file_read_description(path, f);
    ct_lm_options o = { .device = device };
    ct_vocab *v =
        d && model_file_get_options(path, d, &o) ? model_file_get_vocabulary(path, d) : NULL;
    ct_lm *m = NULL;

    if (v && model_file_sizes_agree(path, f, &o, ct_vocab_size(v)))
        m = cti_lm_make("ct_lm_load", &o, v);
    else
        ct_vocab_free(v);
    if (m && (!model_file_get_rest(path, d, m) || !model_file_load_weights(path, m->params))) {
        ct_lm_free(m);
        m = NULL;
    }
    if (m)
        ct_params_train(m->params, false);
    cti_release(d);
    return m;
}

ct_lm *ct_lm_load(const char *path, ct_device device)
{
    ct_safetensors *f;
    ct_lm *m;

    if (!ct_ok())
        return NULL;
    f = ct_safetensors_open(path);
    m = f ? model_file_load(path, f, device) : NULL;
    ct_safetensors_close(f);
    return m;
}

/* ---- the model card ---- */

static void model_file_print_notes(const ct_lm *m, FILE *out)
{
    for (size_t i = 0; i < m->notes.count; i++) {
        const cti_note *note = &m->notes.at[i];

        fprintf(out, "  ");
        cti_print_text(note->what, out);
        if (note->text) {
            fprintf(out, ": ");
            cti_print_text(note->text, out);
            fputc('\n', out);
        } else {
            cti_print(out, ": %.6g\n", note->number);
        }
    }
}

void ct_lm_print(const ct_lm *m, FILE *out)
{
    const ct_lm_options *o;

    if (!cti_given("ct_lm_print", "m", m) || !cti_given("ct_lm_print", "out", out))
        return;
    o = &m->options;
    fprintf(out, "language model: %s, %lld hidden units, %d layer%s, ", ct_lm_cell_name(o->cell),
            (long long)o->hidden_size, o->num_layers, o->num_layers == 1 ? "" : "s");
    if (o->embedding_size)
        fprintf(out, "embedding of %lld%s\n", (long long)o->embedding_size,
                o->tied ? ", tied to the output" : "");
    else
        fprintf(out, "one-hot input\n");
    fprintf(out, "parameters: %lld", (long long)ct_params_numel(m->params));
    fprintf(out, "; dialect %s", ct_dialect_name(o->dialect));
    if (o->layer_norm)
        fprintf(out, "; layer norm");
    if (o->dropout > 0 || o->recurrent_dropout > 0)
        cti_print(out, "; dropout %g, recurrent %g", o->dropout, o->recurrent_dropout);
    fprintf(out, "\ntokens: %s, %d in the vocabulary; cleaning: %s\n",
            ct_token_kind_name(ct_vocab_kind(m->vocab)), ct_vocab_size(m->vocab),
            ct_clean_name(m->clean));
    fprintf(out, "trained on %lld tokens of a text with SHA-256 %s\n", (long long)m->corpus_tokens,
            m->sha256);
    model_file_print_notes(m, out);
}
