/* SPDX-License-Identifier: MIT */
/* resume_check.c - whether a checkpoint belongs to the run that resumes it. A run is described by a
 * JSON object in the checkpoint's metadata under "cotangent.training":
 *
 *     {"version": "0.1.0", "processor": "avx2, OpenBLAS 0.3.21",
 *      "optimizer": {"algorithm": "SGD", "lr": "0.1", "momentum": "0.9", ...},
 *      "trainer": {"gradient_clip_val": "1", ...},
 *      "train_loader": {"kind": "windows", "data": SHA-256, ...}, "validation_loader": {...},
 *      "hyperparameters": {...}}
 *
 * All of it but the processor must be the same. The checkpoint of a loop has no trainer; its loaders are
 * "loader", "loader_1", ...; more optimisers are "optimizer_1", ... Optimisers and loaders describe
 * themselves: in a run as they are when it begins; in a loop, optimisers with the learning rate that they
 * were made with. */
#include "tensor/internal.h"

#include "autograd/internal.h"
#include "data/internal.h"
#include "optim/internal.h"
#include "tensor/hooks.h"
#include "tensor/json.h"
#include "tensor/text.h"
#include "train/checkpoint_sections.h"

#include <cotangent/tensor/build_info.h>

#include <string.h>

const char *cti_name_in(const ct_params *set, const ct_param *p)
{
    return ct_param_name(p) + strlen(cti_params_prefix(set));
}

/* ---- the description ---- */

/* Adds a member "key": "text". False with an error. */
static bool describe_text(const char *function, cti_buffer *b, const char *key, const char *text)
{
    if (!cti_is_utf8(key) || !cti_is_utf8(text)) {
        ct_raise(CT_ERR_ARGUMENT, function, "the hyperparameter %s or its value is not UTF-8",
                 cti_quote(key).s);
        return false;
    }
    cti_json_add_key(b, key);
    cti_json_add_text(b, text);
    return true;
}

/* Adds a member whose value is an object of entries. Frees the entries. False with an error. */
static bool describe_entries(const char *function, cti_buffer *b, const char *key, cti_entries *e)
{
    bool done = !cti_entries_failed(e);

    if (!done)
        cti_out_of_memory(function, e->count * sizeof *e->at);
    cti_json_add_key(b, key);
    cti_buffer_add(b, "{", 1);
    for (size_t i = 0; done && i < e->count; i++) {
        const char *text = e->at[i].value.bytes;

        done = describe_text(function, b, e->at[i].name.bytes, text ? text : "");
    }
    cti_buffer_add(b, "}", 1);
    cti_entries_free(e);
    return done;
}

static bool describe_optimizers(cti_buffer *b, const cti_checkpoint *c)
{
    for (int k = 0; k < c->parts.optimizer_count; k++) {
        cti_entries e = { 0 };
        char key[24] = "optimizer";

        if (k)
            snprintf(key, sizeof key, "optimizer_%d", k);
        cti_optimizer_describe(c->parts.optimizers[k], &e, c->run != NULL);
        if (c->run && c->run->every[k] != 1)
            cti_buffer_number(cti_entries_add(&e, "every"), (double)c->run->every[k]);
        if (!describe_entries(c->function, b, key, &e))
            return false;
    }
    return true;
}

static bool describe_loaders(cti_buffer *b, const cti_checkpoint *c)
{
    for (int k = 0; k < c->parts.loader_count; k++) {
        cti_entries e = { 0 };
        char key[24] = "loader";

        if (!c->parts.loaders[k])
            continue;
        if (c->run)
            snprintf(key, sizeof key, "%s", k ? "validation_loader" : "train_loader");
        else if (k)
            snprintf(key, sizeof key, "loader_%d", k);
        cti_loader_describe(c->parts.loaders[k], &e);
        if (!describe_entries(c->function, b, key, &e))
            return false;
    }
    return true;
}

static bool describe_trainer(cti_buffer *b, const cti_run *r)
{
    static const char *const kinds[] = { [CT_PERPLEXITY_TOKENS] = "tokens",
                                         [CT_PERPLEXITY_BATCHES] = "batches",
                                         [CT_PERPLEXITY_NONE] = "none" };
    const ct_trainer *t = r->trainer;
    cti_entries e = { 0 };

    cti_buffer_number(cti_entries_add(&e, "gradient_clip_val"), t->gradient_clip_val);
    cti_buffer_print(cti_entries_add(&e, "perplexity"), "%s", kinds[r->perplexity]);
    cti_buffer_print(cti_entries_add(&e, "schedule_interval"),
                     t->schedule_interval == CT_INTERVAL_STEP ? "step" : "epoch");
    if (t->accumulate > 1)
        cti_buffer_print(cti_entries_add(&e, "accumulate"), "%lld", (long long)t->accumulate);
    if (t->ema_decay > 0)
        cti_buffer_number(cti_entries_add(&e, "ema_decay"), t->ema_decay);
    for (int i = 0; i < r->given_metrics; i++)
        cti_buffer_print(cti_entries_add(&e, "metric %d", i + 1), "%s", t->metrics[i]->name);
    if (cti_fit_shards(r) > 1)
        cti_buffer_print(cti_entries_add(&e, "shards"), "%d", cti_fit_shards(r));
    if (t->monitor)
        cti_buffer_print(cti_entries_add(&e, "monitor"), "%s", t->monitor);
    return describe_entries(r->function, b, "trainer", &e);
}

/* True if a later pair has the same key. The last pair of a key counts. */
static bool describe_is_replaced(const ct_metadata *pair)
{
    for (const ct_metadata *later = pair + 1; later->key; later++)
        if (strcmp(later->key, pair->key) == 0)
            return true;
    return false;
}

static bool describe_hyperparameters(cti_buffer *b, const cti_checkpoint *c)
{
    const ct_metadata *h = c->parts.hyperparameters;
    bool done = true;

    cti_json_add_key(b, "hyperparameters");
    cti_buffer_add(b, "{", 1);
    for (; done && h && h->key; h++)
        if (!describe_is_replaced(h))
            done = describe_text(c->function, b, h->key, h->value ? h->value : "");
    cti_buffer_add(b, "}", 1);
    return done;
}

/* The parts of the build and of the processor on which the last bits of a run depend. */
void cti_run_processor(char text[200])
{
    const ct_build_info b = ct_build_get_info();

    if (ct_portable())
        snprintf(text, 200, "portable");
    else
        snprintf(text, 200, "%s, %.100s, LIBXSMM %.70s", b.code_path, b.blas, b.libxsmm);
}

char *cti_checkpoint_describe(const cti_checkpoint *c)
{
    const char *const function = c->function;
    cti_buffer b = { 0 };
    char processor[200];
    bool done;

    cti_run_processor(processor);
    cti_buffer_add(&b, "{", 1);
    done = describe_text(function, &b, "version", PACKAGE_VERSION) &&
           describe_text(function, &b, "processor", processor) && describe_optimizers(&b, c) &&
           (!c->run || describe_trainer(&b, c->run)) && describe_loaders(&b, c) &&
           describe_hyperparameters(&b, c);
    cti_buffer_add(&b, "}", 1);
    if (done && !b.failed)
        return b.bytes;
    if (done)
        ct_raise(CT_ERR_MEMORY, function, "out of memory for the description of the run");
    cti_buffer_free(&b);
    return NULL;
}

/* ---- the comparison ---- */

/* The differences as text, and the number of those for which the message has no room. */
typedef struct differences {
    const char *function; /* for messages */
    cti_buffer text;
    int more;
} differences;

/* The text of a value for a message. */
static cti_quoted compare_quote(const cti_json *value)
{
    cti_quoted q = { "absent" };

    if (cti_json_text(value))
        return cti_quote(value->text);
    if (cti_json_is(value, CTI_JSON_INTEGER))
        snprintf(q.s, sizeof q.s, "%lld", (long long)value->integer);
    else if (cti_json_is(value, CTI_JSON_REAL))
        snprintf(q.s, sizeof q.s, "%.40s", value->text);
    else if (value)
        snprintf(q.s, sizeof q.s, "%s",
                 value->type == CTI_JSON_TRUE    ? "true"
                 : value->type == CTI_JSON_FALSE ? "false"
                                                 : "given");
    return q;
}

/* Removes the quotes of a value that is a number. */
static cti_quoted compare_bare(const char *value)
{
    cti_quoted q;
    size_t n = strlen(value);

    snprintf(q.s, sizeof q.s, "%s", value);
    if (n > 2 && value[0] == '"' && strspn(value + 1, "0123456789.e+-") == n - 2) {
        memmove(q.s, q.s + 1, n - 2);
        q.s[n - 2] = '\0';
    }
    return q;
}

static void compare_differs(differences *d, const char *what, const char *there, const char *here)
{
    if (d->text.size < 440)
        cti_buffer_print(&d->text, "%s%.100s is %s in the checkpoint and %s now",
                         d->text.size ? "; " : "", what, compare_bare(there).s,
                         compare_bare(here).s);
    else
        d->more++;
}

static void compare_objects(differences *d, const char *name, const cti_json *there,
                            const cti_json *here);

/* Notes how two values differ; name is "optimizer.momentum". Either may be NULL. */
static void compare_values(differences *d, const char *name, const cti_json *there,
                           const cti_json *here)
{
    if (there && here && cti_json_equal(there, here))
        return;
    if (cti_json_is(there, CTI_JSON_OBJECT) && cti_json_is(here, CTI_JSON_OBJECT))
        compare_objects(d, name, there, here); /* no deeper than our own description */
    else if (cti_json_is(there, CTI_JSON_ARRAY) && cti_json_is(here, CTI_JSON_ARRAY))
        compare_differs(d, name, "one list", "another list");
    else
        compare_differs(d, name, compare_quote(there).s, compare_quote(here).s);
}

/* Notes the differences of all members of two objects. Members of the top and hyperparameters are named
 * without a prefix. */
static void compare_objects(differences *d, const char *name, const cti_json *there,
                            const cti_json *here)
{
    bool plain = !*name || strcmp(name, "hyperparameters") == 0;
    char full[200];

    for (const cti_json *v = cti_json_first(here); v; v = v->next) {
        snprintf(full, sizeof full, "%.90s%s%.90s", plain ? "" : name, plain ? "" : ".", v->key);
        if (strcmp(full, "processor") != 0 || *name)
            compare_values(d, full, cti_json_get(there, v->key), v);
    }
    for (const cti_json *v = cti_json_first(there); v; v = v->next) {
        snprintf(full, sizeof full, "%.90s%s%.90s", plain ? "" : name, plain ? "" : ".", v->key);
        if (!cti_json_get(here, v->key))
            compare_values(d, full, v, NULL);
    }
}

static bool compare_is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\t';
}

/* The text from byte at on, cut at the end of a word after about 40 bytes, in quotes. */
static cti_quoted compare_excerpt(const char *text, size_t at)
{
    char words[64];
    size_t n = 0;

    while (text[at + n] && n < sizeof words - 1 && !(n >= 40 && compare_is_space(text[at + n])))
        n++;
    memcpy(words, text + at, n);
    words[n] = '\0';
    return n ? cti_quote(words) : (cti_quoted){ "at its end" };
}

/* Notes how two texts differ, from the first word that differs. */
static void compare_texts(differences *d, const char *what, const char *there, const char *here)
{
    size_t at = 0;

    while (there[at] && there[at] == here[at])
        at++;
    while (at > 0 && !compare_is_space(there[at - 1]))
        at--;
    compare_differs(d, what, compare_excerpt(there, at).s, compare_excerpt(here, at).s);
}

/* Parses a text as a JSON object, to cti_release. NULL if it is not one; if memory is out, also sets
 * *failed. */
static cti_json *compare_read(const char *function, const char *text, bool *failed)
{
    cti_json_error error = { 0 };
    cti_json *v = text ? cti_json_read(text, strlen(text), (cti_json_limits){ 0 }, &error) : NULL;

    if (error.memory) {
        cti_out_of_memory(function, error.memory);
        *failed = true;
    }
    if (cti_json_is(v, CTI_JSON_OBJECT))
        return v;
    cti_release(v);
    return NULL;
}

/* Notes how two descriptions of a model differ: as JSON objects if both are, otherwise as texts. */
static void compare_model_texts(differences *d, const char *there, const char *here)
{
    cti_json *old = compare_read(d->function, there, &d->text.failed);
    cti_json *own = compare_read(d->function, here, &d->text.failed);

    if (old && own && !cti_json_equal(old, own))
        compare_objects(d, "model", old, own);
    else
        compare_texts(d, "the model's description", there, here);
    cti_release(old);
    cti_release(own);
}

/* Compares the texts that describe the model. */
static void compare_models(differences *d, const char *there, const char *here)
{
    if (there && here && strcmp(there, here) != 0)
        compare_model_texts(d, there, here);
    else if (!there != !here)
        compare_differs(d, "the model's description", there ? "given" : "absent",
                        here ? "given" : "absent");
}

/* "F32 [2,3]"; "absent" if the file has no tensor i. */
static cti_quoted compare_tensor(const ct_safetensors *f, int i)
{
    ct_shape shape = ct_safetensors_shape(f, i);
    cti_quoted q = { "absent" };

    if (i >= 0)
        snprintf(q.s, sizeof q.s, "%.20s %.90s", ct_safetensors_dtype(f, i),
                 cti_shape_text(&shape).s);
    return q;
}

/* Compares the names, shapes and dtypes of the parameters with the tensors of the file. */
static void compare_parameters(differences *d, const ct_safetensors *f, const ct_params *set)
{
    static const char prefix[] = CTI_CHECKPOINT_PREFIX;

    for (int i = 0; i < ct_params_count(set); i++) {
        const ct_param *p = ct_params_at(set, i);
        const char *name = cti_name_in(set, p);
        const char *dtype = cti_dtype_file_name(cti_param_dtype(p));
        int at = ct_safetensors_find(f, name);
        ct_shape here = ct_param_shape(p), there = ct_safetensors_shape(f, at);
        cti_quoted own;

        if (at >= 0 && cti_param_fits(p, &there) && strcmp(ct_safetensors_dtype(f, at), dtype) == 0)
            continue;
        snprintf(own.s, sizeof own.s, "%s %.90s", dtype, cti_shape_text(&here).s);
        compare_differs(d, name, compare_tensor(f, at).s, own.s);
    }
    for (int i = 0; i < ct_safetensors_count(f); i++) {
        const char *name = ct_safetensors_name(f, i);

        if (strncmp(name, prefix, sizeof prefix - 1) != 0 && !ct_params_get(set, name))
            compare_differs(d, name, compare_tensor(f, i).s, "absent");
    }
}

/* Raises "PATH is a checkpoint of another run: DIFFERENCE; DIFFERENCE; and 3 more differences". */
static void compare_report(const differences *d, const char *path)
{
    char more[60] = "";

    if (d->text.failed) {
        cti_out_of_memory(d->function, d->text.size);
        return;
    }
    if (d->more)
        snprintf(more, sizeof more, "; and %d more differences", d->more);
    ct_raise(CT_ERR_FORMAT, d->function, "%.200s is a checkpoint of another run: %s%s", path,
             d->text.bytes, more);
}

/* Prints a note to the output of a run if processor or libraries differ. */
static void note_processor(const cti_run *r, const cti_json *there)
{
    const char *old = cti_json_text(cti_json_get(there, "processor"));
    char here[200];

    cti_run_processor(here);
    if (r && r->trainer->out && old && strcmp(old, here) != 0)
        fprintf(r->trainer->out,
                "note: the run began on %s and is resumed on %s; its last bits may differ\n",
                cti_quote(old).s, cti_quote(here).s);
}

/* Compares the descriptions, the models and the parameters. */
static void compare_run(const cti_checkpoint *c, const ct_safetensors *f, const char *path,
                        const cti_json *there, const cti_json *here)
{
    differences d = { .function = c->function };

    compare_objects(&d, "", there, here);
    compare_models(&d, ct_safetensors_metadata(f, "cotangent.model"), c->parts.model_json);
    compare_parameters(&d, f, c->parts.params);
    if (d.text.size || d.text.failed)
        compare_report(&d, path);
    else
        note_processor(c->run, there);
    cti_buffer_free(&d.text);
}

ct_status cti_resume_check(const cti_checkpoint *c, const char *description,
                           const ct_safetensors *f, const char *path)
{
    bool failed = false;
    cti_json *there =
        compare_read(c->function, ct_safetensors_metadata(f, "cotangent.training"), &failed);
    cti_json *here = failed ? NULL : compare_read(c->function, description, &failed);

    if (!failed && !there)
        ct_raise(CT_ERR_FORMAT, c->function, "%.300s is not a checkpoint of a run", path);
    else if (there && here)
        compare_run(c, f, path, there, here);
    cti_release(there);
    cti_release(here);
    return ct_error();
}
