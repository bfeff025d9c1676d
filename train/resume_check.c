/* resume_check.c - whether a checkpoint belongs to the run that resumes it. A run is described by a
 * JSON object in the checkpoint's metadata under "cotangent.training":
 *
 *     {"version": "0.1.0", "processor": "avx2, OpenBLAS 0.3.21",
 *      "optimizer": {"algorithm": "SGD", "lr": "0.1", "momentum": "0.9", ...},
 *      "trainer": {"gradient_clip_val": "1", ...},
 *      "train_loader": {"kind": "windows", "data": SHA-256, ...}, "validation_loader": {...},
 *      "hyperparameters": {...}}
 *
 * All of it but the processor must be the same. The optimiser and the loaders describe themselves,
 * as they are when the run begins. */
#include "tensor/internal.h"

#include "autograd/internal.h"
#include "data/internal.h"
#include "optim/internal.h"
#include "tensor/text.h"
#include "train/internal.h"

#include <cotangent/tensor/build_info.h>

#include <jansson.h>
#include <string.h>

static const char *const me = "ct_fit";

const char *cti_run_param_name(const cti_run *r, const ct_param *p)
{
    return ct_param_name(p) + strlen(cti_params_prefix(r->model->params));
}

/* ---- the description ---- */

/* object[key] = text. False with an error. */
static bool describe_text(json_t *object, const char *key, const char *text)
{
    json_t *value = object ? json_string(text) : NULL;

    if (object && value && json_object_set_new(object, key, value) == 0)
        return true;
    if (!cti_is_utf8(key) || !cti_is_utf8(text))
        ct_raise(CT_ERR_ARGUMENT, me, "the hyperparameter %s or its value is not UTF-8",
                 cti_quote(key).s);
    else
        cti_out_of_memory(me, strlen(text));
    return false;
}

/* object[key] = an object of entries, which are freed. False with an error. */
static bool describe_entries(json_t *object, const char *key, cti_entries *e)
{
    json_t *part = json_object();
    bool done = object && part && !cti_entries_failed(e);

    if (!done)
        cti_out_of_memory(me, e->count * sizeof *e->at);
    for (size_t i = 0; done && i < e->count; i++) {
        const char *text = e->at[i].value.bytes;

        done = describe_text(part, e->at[i].name.bytes, text ? text : "");
    }
    if (done && json_object_set(object, key, part) != 0) {
        cti_out_of_memory(me, sizeof *part);
        done = false;
    }
    json_decref(part);
    cti_entries_free(e);
    return done;
}

static bool describe_optimizer(json_t *object, const cti_run *r)
{
    cti_entries e = { 0 };

    cti_optimizer_describe(r->optimizer, &e);
    return describe_entries(object, "optimizer", &e);
}

static bool describe_loader(json_t *object, const char *key, const ct_loader *l)
{
    cti_entries e = { 0 };

    cti_loader_describe(l, &e);
    return describe_entries(object, key, &e);
}

static bool describe_trainer(json_t *object, const cti_run *r)
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
    return describe_entries(object, "trainer", &e);
}

static bool describe_hyperparameters(json_t *object, const ct_metadata *h)
{
    json_t *pairs = json_object();
    bool done = true;

    for (; done && h && h->key; h++)
        done = describe_text(pairs, h->key, h->value ? h->value : "");
    if (done && json_object_set(object, "hyperparameters", pairs) != 0) {
        cti_out_of_memory(me, sizeof *pairs);
        done = false;
    }
    json_decref(pairs);
    return done;
}

/* What decides the last bits of a run. */
static void describe_processor(char text[200])
{
    const ct_build_info b = ct_build_get_info();

    if (ct_portable())
        snprintf(text, 200, "portable");
    else
        snprintf(text, 200, "%s, %.150s", b.code_path, b.blas);
}

json_t *cti_run_describe(cti_run *r)
{
    char processor[200];
    json_t *o;

    if (r->description)
        return r->description;
    o = json_object();
    describe_processor(processor);
    if (describe_text(o, "version", PACKAGE_VERSION) && describe_text(o, "processor", processor) &&
        describe_optimizer(o, r) && describe_trainer(o, r) &&
        describe_loader(o, "train_loader", r->train) &&
        (!r->val || describe_loader(o, "validation_loader", r->val)) &&
        describe_hyperparameters(o, r->trainer->hyperparameters))
        r->description = o;
    else
        json_decref(o);
    return r->description;
}

void cti_run_forget_description(cti_run *r)
{
    json_decref(r->description);
    r->description = NULL;
}

/* ---- the comparison ---- */

/* What differs, as text, so that a message has room for it; and how much does not fit. */
typedef struct differences {
    cti_buffer text;
    int more;
} differences;

/* A value of a description, for a message. */
static cti_quoted compare_quote(const json_t *value)
{
    cti_quoted q = { "absent" };

    if (json_is_string(value))
        return cti_quote(json_string_value(value));
    if (json_is_number(value))
        snprintf(q.s, sizeof q.s, "%.10g", json_number_value(value));
    else if (value)
        snprintf(q.s, sizeof q.s, "%s",
                 json_is_true(value)    ? "true"
                 : json_is_false(value) ? "false"
                                        : "given");
    return q;
}

static void compare_differs(differences *d, const char *what, const char *there, const char *here)
{
    if (d->text.size < 300)
        cti_buffer_print(&d->text, "%s%.100s is %s in the checkpoint and %s now",
                         d->text.size ? "; " : "", what, there, here);
    else
        d->more++;
}

static void compare_objects(differences *d, const char *name, const json_t *there, json_t *here);

/* Notes how two values differ; name is "optimizer.momentum". Either may be NULL. */
static void compare_values(differences *d, const char *name, json_t *there, json_t *here)
{
    if (there && here && json_equal(there, here))
        return;
    if (json_is_object(there) && json_is_object(here))
        compare_objects(d, name, there, here); /* at most as deep as our own description */
    else if (json_is_array(there) && json_is_array(here))
        compare_differs(d, name, "another list", "this one");
    else
        compare_differs(d, name, compare_quote(there).s, compare_quote(here).s);
}

/* The same for all keys of two objects. Names of hyperparameters stand alone. */
static void compare_objects(differences *d, const char *name, const json_t *there, json_t *here)
{
    bool plain = !*name || strcmp(name, "hyperparameters") == 0;
    char full[200];
    const char *key;
    json_t *value;

    json_object_foreach(here, key, value)
    {
        snprintf(full, sizeof full, "%.90s%s%.90s", plain ? "" : name, plain ? "" : ".", key);
        if (strcmp(full, "processor") != 0 || *name)
            compare_values(d, full, json_object_get(there, key), value);
    }
    json_object_foreach((json_t *)there, key, value)
    {
        snprintf(full, sizeof full, "%.90s%s%.90s", plain ? "" : name, plain ? "" : ".", key);
        if (!json_object_get(here, key))
            compare_values(d, full, value, NULL);
    }
}

static bool compare_is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\t';
}

/* The words of text from the one at byte at, 40 bytes or a little more of them, in quotes. */
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

/* Two texts: where they begin to differ, from the beginning of that word. */
static void compare_texts(differences *d, const char *what, const char *there, const char *here)
{
    size_t at = 0;

    while (there[at] && there[at] == here[at])
        at++;
    while (at > 0 && !compare_is_space(there[at - 1]))
        at--;
    compare_differs(d, what, compare_excerpt(there, at).s, compare_excerpt(here, at).s);
}

/* The texts that the trainer was given to describe the model: JSON, or any text. */
static void compare_models(differences *d, const char *there, const char *here)
{
    json_t *old = there ? json_loads(there, 0, NULL) : NULL;
    json_t *own = here ? json_loads(here, 0, NULL) : NULL;

    if (!there || !here) {
        if (there || here)
            compare_differs(d, "the model's description", there ? "given" : "absent",
                            here ? "given" : "absent");
    } else if (strcmp(there, here) != 0) {
        if (json_is_object(old) && json_is_object(own) && !json_equal(old, own))
            compare_objects(d, "model", old, own);
        else
            compare_texts(d, "the model's description", there, here);
    }
    json_decref(old);
    json_decref(own);
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

/* Names, shapes and dtypes of parameters. */
static void compare_parameters(differences *d, const ct_safetensors *f, const cti_run *r)
{
    static const char prefix[] = CTI_CHECKPOINT_PREFIX;
    const ct_params *set = r->model->params;
    const char *dtype = cti_dtype_file_name(ct_params_dtype(set));

    for (int i = 0; i < ct_params_count(set); i++) {
        const ct_param *p = ct_params_at(set, i);
        const char *name = cti_run_param_name(r, p);
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

/* ct_fit: PATH is a checkpoint of another run: WHAT; WHAT and 3 more differences */
static void compare_report(const differences *d, const char *path)
{
    char more[60] = "";

    if (d->text.failed) {
        cti_out_of_memory(me, d->text.size);
        return;
    }
    if (d->more)
        snprintf(more, sizeof more, "; and %d more differences", d->more);
    ct_raise(CT_ERR_FORMAT, me, "%.200s is a checkpoint of another run: %s%s", path, d->text.bytes,
             more);
}

static void note_processor(const cti_run *r, const json_t *there)
{
    const char *old = json_string_value(json_object_get(there, "processor"));
    char here[200];

    describe_processor(here);
    if (r->trainer->out && old && strcmp(old, here) != 0)
        fprintf(r->trainer->out,
                "note: the run began on %s and is resumed on %s; its last bits may differ\n",
                cti_quote(old).s, cti_quote(here).s);
}

ct_status cti_resume_check(cti_run *r, const ct_safetensors *f, const char *path)
{
    const char *text = ct_safetensors_metadata(f, "cotangent.training");
    json_t *there = text ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;
    json_t *here = cti_run_describe(r);
    differences d = { .more = 0 };

    if (here && !json_is_object(there)) {
        ct_raise(CT_ERR_FORMAT, me, "%.300s is not a checkpoint of a run", path);
    } else if (here) {
        compare_objects(&d, "", there, here);
        compare_models(&d, ct_safetensors_metadata(f, "cotangent.model"), r->trainer->model_json);
        compare_parameters(&d, f, r);
        if (d.text.size || d.text.failed)
            compare_report(&d, path);
        else
            note_processor(r, there);
    }
    cti_buffer_free(&d.text);
    json_decref(there);
    return ct_error();
}
