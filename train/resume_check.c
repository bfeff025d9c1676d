/* resume_check.c - whether a checkpoint belongs to the run that resumes it. A run is described by a
 * JSON object in the checkpoint's metadata under "cotangent.training":
 *
 *     {"version": "0.1.0", "processor": "avx2, OpenBLAS 0.3.21",
 *      "optimizer": {"algorithm": "SGD", "momentum": "0.9", ...},
 *      "trainer": {"gradient_clip_val": "1", ...},
 *      "train_loader": {"data": SHA-256, "iterator": "windows", ...}, "validation_loader": {...},
 *      "hyperparameters": {...}}
 *
 * All of it but the processor must be the same. The optimiser and the loaders describe
 * themselves. */
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

static bool describe_trainer(json_t *object, const ct_trainer *t)
{
    cti_entries e = { 0 };

    cti_buffer_number(cti_entries_add(&e, "gradient_clip_val"), t->gradient_clip_val);
    cti_buffer_print(cti_entries_add(&e, "perplexity"),
                     t->perplexity == CT_PERPLEXITY_BATCHES ? "batches" : "tokens");
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
        snprintf(text, 200, "%s, %.100s, LIBXSMM %.70s", b.code_path, b.blas, b.libxsmm);
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
        describe_optimizer(o, r) && describe_trainer(o, r->trainer) &&
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

static void compare_differs(cti_buffer *why, const char *what, const char *there, const char *here)
{
    cti_buffer_print(why, "%s%.100s is %s there, %s here", why->size ? "; " : "", what, there,
                     here);
}

static void compare_objects(cti_buffer *why, const char *name, const json_t *there, json_t *here);

/* Adds to why how two values differ; name is "optimizer.momentum". Either may be NULL. */
static void compare_values(cti_buffer *why, const char *name, json_t *there, json_t *here)
{
    if (there && here && json_equal(there, here))
        return;
    if (json_is_object(there) && json_is_object(here))
        compare_objects(why, name, there, here); /* at most as deep as our own description */
    else if (json_is_array(there) && json_is_array(here))
        cti_buffer_print(why, "%s%.100s differs", why->size ? "; " : "", name);
    else
        compare_differs(why, name, compare_quote(there).s, compare_quote(here).s);
}

/* The same for all keys of two objects. Names of hyperparameters stand alone. */
static void compare_objects(cti_buffer *why, const char *name, const json_t *there, json_t *here)
{
    bool plain = !*name || strcmp(name, "hyperparameters") == 0;
    char full[200];
    const char *key;
    json_t *value;

    json_object_foreach(here, key, value)
    {
        snprintf(full, sizeof full, "%.90s%s%.90s", plain ? "" : name, plain ? "" : ".", key);
        if (strcmp(full, "processor") != 0 || *name)
            compare_values(why, full, json_object_get(there, key), value);
    }
    json_object_foreach((json_t *)there, key, value)
    {
        snprintf(full, sizeof full, "%.90s%s%.90s", plain ? "" : name, plain ? "" : ".", key);
        if (!json_object_get(here, key))
            compare_values(why, full, value, NULL);
    }
}

/* The texts that the trainer was given to describe the model: JSON, or any text. */
static void compare_models(cti_buffer *why, const char *there, const char *here)
{
    json_t *old = there ? json_loads(there, 0, NULL) : NULL;
    json_t *own = here ? json_loads(here, 0, NULL) : NULL;

    if (strcmp(there ? there : "", here ? here : "") != 0) {
        if (json_is_object(old) && json_is_object(own) && !json_equal(old, own))
            compare_objects(why, "model", old, own);
        else
            compare_differs(why, "the model", there ? cti_quote(there).s : "absent",
                            here ? cti_quote(here).s : "absent");
    }
    json_decref(old);
    json_decref(own);
}

/* Names and shapes of parameters. */
static void compare_parameters(cti_buffer *why, const ct_safetensors *f, const cti_run *r)
{
    static const char prefix[] = CTI_CHECKPOINT_PREFIX;
    int there = ct_safetensors_count(f), count = ct_params_count(r->model->params), more = 0;

    for (int i = 0; i < there; i++)
        more += strncmp(ct_safetensors_name(f, i), prefix, sizeof prefix - 1) != 0;
    for (int i = 0; i < count; i++) {
        const ct_param *p = ct_params_at(r->model->params, i);
        const char *name = cti_run_param_name(r, p);
        int at = ct_safetensors_find(f, name);
        ct_shape here = ct_param_shape(p), old = ct_safetensors_shape(f, at);

        more -= at >= 0;
        if (at < 0 || !cti_param_fits(p, &old))
            compare_differs(why, name, at < 0 ? "absent" : cti_shape_text(&old).s,
                            cti_shape_text(&here).s);
    }
    if (more > 0)
        cti_buffer_print(why, "%sit has %d parameters that are not here", why->size ? "; " : "",
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
    cti_buffer why = { 0 };

    if (here && !json_is_object(there)) {
        ct_raise(CT_ERR_FORMAT, me, "%.300s: is not a checkpoint of a run", path);
    } else if (here) {
        compare_objects(&why, "", there, here);
        compare_models(&why, ct_safetensors_metadata(f, "cotangent.model"), r->trainer->model_json);
        compare_parameters(&why, f, r);
        if (why.failed)
            cti_out_of_memory(me, why.size);
        else if (why.size)
            ct_raise(CT_ERR_FORMAT, me, "%.200s is a checkpoint of another run: %s", path,
                     why.bytes);
        else
            note_processor(r, there);
    }
    cti_buffer_free(&why);
    json_decref(there);
    return ct_error();
}
