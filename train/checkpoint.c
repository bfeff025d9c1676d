/* checkpoint.c - a run in one safetensors file. Weights have their own names, so that the file is
 * also a model's; the rest:
 *
 *     training.optimizer.NAME   what the optimiser remembers (ct_optimizer_state_name)
 *     training.state.I          the recurrent state carried to the next batch
 *     training.generator        i64 (3): the set's: seed, stream, position
 *     training.cursor           i64 (2, 3): where the loaders stand (ct_loader_cursor)
 *     training.counts           i64: see counts_of
 *     training.numbers          f64: see numbers_of
 *     training.history          f64 (epochs, columns): of history.h, those without a clock
 *
 * and in the metadata "cotangent.training", a JSON object: what a run that goes on must have in
 * common with this one, and "processor", which gives the same bits; and "cotangent.model", as the
 * trainer was given it. No time of day and no number of threads is in it: the same steps give the
 * same bytes. */
#include "tensor/internal.h"

#include "autograd/internal.h"
#include "data/internal.h"
#include "optim/internal.h"
#include "tensor/cpu/cpu.h"
#include "tensor/hooks.h"
#include "tensor/read_file.h"
#include "train/buffer.h"
#include "train/internal.h"

#include <cotangent/autograd/params/state_dict.h>
#include <cotangent/tensor/safetensors.h>

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *const me = "ct_fit";

#define PREFIX "training."

enum { COUNTS = 6, NUMBERS = 9 };

static void counts_of(const cti_run *r, int64_t *n)
{
    const int64_t counts[COUNTS] = { r->result.epochs,     r->result.steps, r->result.tokens,
                                     r->result.best_epoch, r->waited,       r->underway };

    memcpy(n, counts, sizeof counts);
}

static void numbers_of(const cti_run *r, double *x)
{
    const double numbers[NUMBERS] = { r->tally.nats,    r->tally.exps,
                                      r->tally.tokens,  r->tally.norms,
                                      r->tally.clipped, r->tally.batches,
                                      r->awaited,       r->result.best_perplexity,
                                      r->result.lr };

    memcpy(x, numbers, sizeof numbers);
}

/* p's name in the model's set. */
static const char *name_in(const ct_params *set, const ct_param *p)
{
    return ct_param_name(p) + strlen(cti_params_prefix(set));
}

/* ---- what a run is, as pairs of texts ---- */

/* The optimiser with its options; rates are part of what it remembers. */
static void describe_optimizer(const ct_optimizer *o, cti_buffer *b)
{
    const cti_update *u = &o->update;
    const struct {
        const char *name;
        double value;
    } options[] = { { "scale", u->scale },
                    { "momentum", u->momentum },
                    { "dampening", u->dampening },
                    { "nesterov", u->nesterov },
                    { "beta1", u->beta1 },
                    { "beta2", u->beta2 },
                    { "eps", u->eps },
                    { "weight_decay", o->weight_decay },
                    { "lr_decay", o->lr_decay },
                    { "initial", o->initial } };

    cti_buffer_print(b, "%s", o->rule->name);
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        if (options[i].value != 0) {
            cti_buffer_print(b, ", %s ", options[i].name);
            cti_buffer_number(b, options[i].value);
        }
    for (int k = 0; k < CTI_STATES; k++)
        if (o->uses[k])
            cti_buffer_print(b, ", %s", o->rule->state[k]);
    for (int i = 0; i < o->groups; i++) {
        cti_buffer_print(b, ", group ");
        cti_buffer_add(b, o->group[i].pattern, strlen(o->group[i].pattern));
        if (o->group[i].own_decay) {
            cti_buffer_print(b, " weight_decay ");
            cti_buffer_number(b, o->group[i].weight_decay);
        }
    }
    if (o->schedule)
        cti_buffer_print(b, ", schedule");
}

static void describe_trainer(const ct_trainer *t, cti_buffer *b)
{
    cti_buffer_print(b, "gradient_clip_val ");
    cti_buffer_number(b, t->gradient_clip_val);
    cti_buffer_print(b, ", perplexity of %s%s",
                     t->perplexity == CT_PERPLEXITY_BATCHES ? "batches" : "tokens",
                     t->schedule_interval == CT_INTERVAL_STEP ? ", schedule each step" : "");
}

/* object[key] = value, a text; false with an error. */
static bool set(json_t *object, const char *key, const char *value)
{
    json_t *text = object ? json_string(value) : NULL;

    if (object && text && json_object_set_new(object, key, text) == 0)
        return true;
    if (!cti_is_utf8(key) || !cti_is_utf8(value))
        ct_raise(CT_ERR_ARGUMENT, me, "the hyperparameter %s or its value is not UTF-8",
                 cti_quote(key).s);
    else
        cti_out_of_memory(me, strlen(value));
    return false;
}

/* object[key] = what b holds, which is freed. */
static bool set_buffer(json_t *object, const char *key, cti_buffer *b)
{
    bool done = !b->failed && set(object, key, b->bytes);

    if (b->failed)
        cti_out_of_memory(me, b->size);
    cti_buffer_free(b);
    return done;
}

static bool set_loader(json_t *object, const ct_loader *l, const char *data, const char *how)
{
    cti_identity id = { "none", "none" };

    if (l)
        cti_loader_identity(l, &id);
    return set(object, data, id.data) && set(object, how, id.how);
}

/* What must be the same in a run that goes on, as a new object of texts; NULL with an error. */
static json_t *describe(const cti_run *r)
{
    const ct_metadata *h = r->trainer->hyperparameters;
    json_t *o = json_object(), *pairs = json_object();
    cti_buffer optimizer = { 0 }, trainer = { 0 };
    bool done;

    describe_optimizer(r->optimizer, &optimizer);
    describe_trainer(r->trainer, &trainer);
    done = set(o, "version", PACKAGE_VERSION) &&
           set_loader(o, r->train, "train data", "train loader") &&
           set_loader(o, r->val, "validation data", "validation loader");
    done = set_buffer(o, "optimizer", &optimizer) && done;
    done = set_buffer(o, "trainer", &trainer) && done;
    for (; done && h && h->key; h++)
        done = set(pairs, h->key, h->value ? h->value : "");
    if (done && json_object_set(o, "hyperparameters", pairs) != 0) {
        cti_out_of_memory(me, sizeof *pairs);
        done = false;
    }
    json_decref(pairs);
    if (done)
        return o;
    json_decref(o);
    return NULL;
}

/* What decides a run's last bits. */
static void processor(char text[200])
{
    if (ct_portable())
        snprintf(text, 200, "portable");
    else
        snprintf(text, 200, "%s, %.150s", cti_cpu_path_get()->name, cti_blas_name());
}

/* The description, made once, since the data may be long; NULL with an error. */
static json_t *identity(cti_run *r)
{
    char where[200];

    if (r->identity)
        return r->identity;
    r->identity = describe(r);
    processor(where);
    if (r->identity && !set(r->identity, "processor", where)) {
        json_decref(r->identity);
        r->identity = NULL;
    }
    return r->identity;
}

void cti_checkpoint_end(cti_run *r)
{
    json_decref(r->identity);
    r->identity = NULL;
}

/* ---- writing ---- */

typedef struct list {
    const char **name;
    ct_tensor **tensor;
    int count, room;
} list;

static void add(list *l, const char *name, ct_tensor *t)
{
    if (l->count < l->room && name && t) {
        l->name[l->count] = name;
        l->tensor[l->count++] = t;
    }
}

/* A name in the innermost scope's memory. */
static const char *prefixed(const char *kind, const char *rest)
{
    size_t n = strlen(PREFIX) + strlen(kind) + strlen(rest) + 1;
    char *name = cti_scope_alloc("ct_fit", n);

    if (name)
        snprintf(name, n, "%s%s%s", PREFIX, kind, rest);
    return name;
}

static void add_optimizer(list *l, ct_optimizer *o)
{
    int count = ct_optimizer_state_count(o);

    for (int i = 0; i < count; i++)
        add(l, prefixed("optimizer.", ct_optimizer_state_name(o, i)),
            ct_optimizer_state_tensor(o, i));
}

/* The state, where the next batch goes on from it. */
static int carried(const cti_run *r)
{
    bool more = r->underway && r->tally.batches < (double)ct_loader_batches(r->train);

    return more ? ct_state_count(r->state) : 0;
}

static void add_state(list *l, const cti_run *r)
{
    char number[24];

    for (int i = 0; i < carried(r); i++) {
        snprintf(number, sizeof number, "%d", i);
        add(l, prefixed("state.", number), ct_state_get(r->state, i));
    }
}

static ct_tensor *history_tensor(const cti_history *h)
{
    ct_tensor *t = ct_empty(CT_SHAPE(h->count, CTI_CLOCK), CT_F64, CT_CPU);
    double *x = t ? (double *)(void *)cti_ptr(t) : NULL;

    for (int64_t i = 0; x && i < h->count; i++)
        memcpy(x + i * CTI_CLOCK, h->row[i], CTI_CLOCK * sizeof *x);
    return t;
}

static void add_run(list *l, const cti_run *r)
{
    const ct_generator *g = ct_params_generator(r->model->params);
    ct_loader_cursor train = ct_loader_tell(r->train), val = r->val_cursor;
    const int64_t generator[3] = { (int64_t)g->seed, (int64_t)g->stream, (int64_t)g->position };
    const int64_t cursor[6] = { train.epoch, train.batch, train.offset,
                                val.epoch,   val.batch,   val.offset };
    int64_t counts[COUNTS];
    double numbers[NUMBERS];

    counts_of(r, counts);
    numbers_of(r, numbers);
    add(l, PREFIX "generator", ct_from_data(generator, CT_SHAPE(3), CT_I64, CT_CPU));
    add(l, PREFIX "cursor", ct_from_data(cursor, CT_SHAPE(2, 3), CT_I64, CT_CPU));
    add(l, PREFIX "counts", ct_from_data(counts, CT_SHAPE(COUNTS), CT_I64, CT_CPU));
    add(l, PREFIX "numbers", ct_from_data(numbers, CT_SHAPE(NUMBERS), CT_F64, CT_CPU));
    add(l, PREFIX "history", history_tensor(&r->history));
}

static int add_json(const char *bytes, size_t size, void *buffer)
{
    cti_buffer_add(buffer, bytes, size);
    return 0;
}

static void write_list(cti_run *r, const char *path, const list *l)
{
    json_t *description = identity(r);
    cti_buffer json = { 0 };
    ct_metadata metadata[3] = { { "cotangent.training", NULL } };
    ct_status status = ct_error();

    if (!description)
        return;
    if (json_dump_callback(description, add_json, &json, JSON_SORT_KEYS) != 0 || json.failed) {
        cti_out_of_memory(me, json.size);
    } else {
        metadata[0].value = json.bytes;
        if (r->trainer->model_json)
            metadata[1] = (ct_metadata){ "cotangent.model", r->trainer->model_json };
        status = ct_safetensors_write(path, l->count, l->name, l->tensor, metadata);
    }
    (void)status; /* an error stands */
    cti_buffer_free(&json);
}

ct_status cti_checkpoint_write(cti_run *r, const char *path)
{
    ct_params *params = r->model->params;
    int count = ct_params_count(params);
    list l = { .room = count + ct_optimizer_state_count(r->optimizer) + carried(r) + 5 };
    ct_scope s = ct_scope_begin_no_grad();

    l.name = cti_calloc((size_t)l.room, sizeof *l.name);
    l.tensor = cti_calloc((size_t)l.room, sizeof *l.tensor);
    if (!l.name || !l.tensor)
        cti_out_of_memory(me, (size_t)l.room * sizeof *l.tensor);
    else
        for (int i = 0; i < count; i++)
            add(&l, name_in(params, ct_params_at(params, i)),
                ct_param_value(ct_params_at(params, i)));
    if (ct_ok()) {
        add_optimizer(&l, r->optimizer);
        add_state(&l, r);
        add_run(&l, r);
    }
    if (ct_ok())
        write_list(r, path, &l);
    cti_release(l.name);
    cti_release(l.tensor);
    return ct_scope_end(s);
}

/* ---- reading: does the file fit? ---- */

/* A text of the file or the caller, for a message: its first bytes, without control characters. */
typedef struct excerpt {
    char s[64];
} excerpt;

static excerpt excerpt_of(const char *text)
{
    excerpt e;
    size_t n = 0;

    for (; text && text[n] && n < sizeof e.s - 1; n++)
        e.s[n] = (unsigned char)text[n] < 0x20 || text[n] == 0x7f ? '?' : text[n];
    while (text && text[n] && n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80)
        n--; /* not within a character of UTF-8 */
    e.s[n] = '\0';
    return e;
}

static void differs(cti_buffer *b, const char *what, const char *there, const char *here)
{
    cti_buffer_print(b, "%s%s is %s there, %s here", b->size ? "; " : "", excerpt_of(what).s,
                     excerpt_of(there ? there : "nothing").s,
                     excerpt_of(here ? here : "nothing").s);
}

/* Notes the texts of here that are others there. */
static void compare_texts(cti_buffer *why, const json_t *there, json_t *here)
{
    const char *key;
    json_t *value;

    json_object_foreach(here, key, value)
    {
        const char *old = json_string_value(json_object_get(there, key));

        if (json_is_string(value) && strcmp(key, "processor") != 0 &&
            (!old || strcmp(old, json_string_value(value)) != 0))
            differs(why, key, old, json_string_value(value));
    }
}

static void compare_hyperparameters(cti_buffer *why, json_t *there, json_t *here)
{
    const char *key;
    json_t *value;

    compare_texts(why, there, here);
    json_object_foreach(there, key, value) if (!json_object_get(here, key))
        differs(why, key, json_string_value(value), NULL);
}

/* Names and shapes of parameters. */
static void compare_parameters(cti_buffer *why, const ct_safetensors *f, const ct_params *params)
{
    int there = ct_safetensors_count(f), count = ct_params_count(params), found = 0;

    for (int i = 0; i < count; i++) {
        const ct_param *p = ct_params_at(params, i);
        ct_shape here = ct_param_shape(p), old;
        int at = ct_safetensors_find(f, name_in(params, p));

        found += at >= 0;
        old = ct_safetensors_shape(f, at);
        if (at < 0 || !cti_param_fits(p, &old))
            differs(why, name_in(params, p), at < 0 ? NULL : cti_shape_text(&old).s,
                    cti_shape_text(&here).s);
    }
    for (int i = 0; i < there; i++)
        found -= strncmp(ct_safetensors_name(f, i), PREFIX, strlen(PREFIX)) != 0;
    if (found < 0)
        cti_buffer_print(why, "%sit has %d parameters that are not here", why->size ? "; " : "",
                         -found);
}

/* Raises with all that differs; CT_OK if nothing does. */
static ct_status compare(cti_run *r, const ct_safetensors *f, const char *path)
{
    const char *text = ct_safetensors_metadata(f, "cotangent.training");
    const char *model = ct_safetensors_metadata(f, "cotangent.model");
    const char *own = r->trainer->model_json;
    json_t *there = text ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;
    json_t *here = identity(r);
    cti_buffer why = { 0 };

    if (!here) {
        json_decref(there);
        return ct_error();
    }
    if (!json_is_object(there)) {
        ct_raise(CT_ERR_FORMAT, me, "%.300s: holds no run to go on with", path);
    } else {
        compare_hyperparameters(&why, json_object_get(there, "hyperparameters"),
                                json_object_get(here, "hyperparameters"));
        compare_texts(&why, there, here);
        if (strcmp(model ? model : "", own ? own : "") != 0)
            differs(&why, "the model", model, own);
        compare_parameters(&why, f, r->model->params);
        if (why.size)
            ct_raise(CT_ERR_FORMAT, me, "%.200s is of another run: %s", path, why.bytes);
    }
    cti_buffer_free(&why);
    json_decref(there);
    return ct_error();
}

/* A run goes on where other processors or libraries give other last bits: worth a line. */
static void note_processor(const cti_run *r, const ct_safetensors *f)
{
    json_t *there = json_loads(ct_safetensors_metadata(f, "cotangent.training"), 0, NULL);
    const char *old = json_string_value(json_object_get(there, "processor"));
    char here[200];

    processor(here);
    if (r->trainer->out && old && strcmp(old, here) != 0)
        fprintf(r->trainer->out,
                "note: the run began on %s, and goes on on %s: its last bits may "
                "differ\n",
                cti_quote(old).s, cti_quote(here).s);
    json_decref(there);
}

/* ---- reading: the parts ---- */

static ct_status malformed(const char *path, const char *what)
{
    return ct_raise(CT_ERR_FORMAT, me, "%.300s: %s cannot be a run's", path, what);
}

/* The tensor of a name, with this shape (its first size -1: any) and dtype, on the CPU; NULL with
 * an error. */
static const ct_tensor *numbers(ct_safetensors *f, const char *path, const char *name,
                                ct_shape shape, ct_dtype dtype)
{
    const ct_tensor *t = ct_safetensors_get(f, name, CT_CPU);

    if (t && shape.dim[0] < 0)
        shape.dim[0] = t->shape.dim[0];
    if (t && (t->dtype != dtype || !cti_same_shape(&t->shape, &shape))) {
        malformed(path, name);
        return NULL;
    }
    return t;
}

static void read_optimizer(cti_run *r, ct_safetensors *f)
{
    static const char prefix[] = PREFIX "optimizer.";
    ct_device device = ct_params_device(r->model->params);

    for (int i = 0; i < ct_safetensors_count(f) && ct_ok(); i++) {
        const char *name = ct_safetensors_name(f, i);

        if (strncmp(name, prefix, sizeof prefix - 1) == 0) {
            const ct_tensor *t = ct_safetensors_load(f, i, device);
            ct_status status =
                t ? ct_optimizer_state_load(r->optimizer, name + sizeof prefix - 1, t) : ct_error();

            if (status != CT_OK)
                return;
        }
    }
}

static void read_state(cti_run *r, ct_safetensors *f)
{
    ct_tensor *part[64];
    char name[40];
    int n = 0;

    for (; n < 64; n++) {
        snprintf(name, sizeof name, PREFIX "state.%d", n);
        if (ct_safetensors_find(f, name) < 0)
            break;
        part[n] = ct_safetensors_get(f, name, ct_params_device(r->model->params));
        if (!part[n])
            return;
    }
    if (n)
        r->state = ct_state_new(n, part);
}

static void read_history(cti_run *r, ct_safetensors *f, const char *path)
{
    const ct_tensor *t = numbers(f, path, PREFIX "history", CT_SHAPE(-1, CTI_CLOCK), CT_F64);
    const double *x = t ? (const double *)(const void *)cti_ptr(t) : NULL;
    ct_fit_result *to = &r->result;

    if (t && t->shape.dim[0] != r->result.epochs)
        malformed(path, PREFIX "history");
    for (int64_t i = 0; t && ct_ok() && i < t->shape.dim[0]; i++, x += CTI_CLOCK) {
        ct_fit_result row = *to;

        row.epochs = (int64_t)x[CTI_EPOCH];
        row.steps = (int64_t)x[CTI_STEP];
        row.tokens = (int64_t)x[CTI_TOKENS];
        row.loss = x[CTI_LOSS];
        row.perplexity = x[CTI_PERPLEXITY];
        row.bits = x[CTI_BITS];
        row.validation_loss = x[CTI_VAL_LOSS];
        row.validation_perplexity = x[CTI_VAL_PERPLEXITY];
        row.validation_bits = x[CTI_VAL_BITS];
        row.gradient_norm = x[CTI_NORM];
        row.clipped = x[CTI_CLIPPED];
        row.lr = x[CTI_LR];
        if (!cti_history_add(&r->history, &row))
            return;
        row.steps = to->steps;
        row.tokens = to->tokens;
        row.lr = to->lr;
        row.epochs = to->epochs;
        *to = row; /* after the last one: the last epoch's */
    }
}

static void read_run(cti_run *r, ct_safetensors *f, const char *path)
{
    const ct_tensor *g = numbers(f, path, PREFIX "generator", CT_SHAPE(3), CT_I64);
    const ct_tensor *c = numbers(f, path, PREFIX "cursor", CT_SHAPE(2, 3), CT_I64);
    const ct_tensor *n = numbers(f, path, PREFIX "counts", CT_SHAPE(COUNTS), CT_I64);
    const ct_tensor *x = numbers(f, path, PREFIX "numbers", CT_SHAPE(NUMBERS), CT_F64);
    const int64_t *i, *at;
    const double *d;

    if (!g || !c || !n || !x)
        return;
    i = (const int64_t *)(const void *)cti_ptr(n);
    d = (const double *)(const void *)cti_ptr(x);
    at = (const int64_t *)(const void *)cti_ptr(c);
    if (i[0] < 0 || i[1] < 0 || i[2] < 0 || i[3] < 0 || i[3] > i[0] || i[4] < 0 || i[5] < 0 ||
        i[5] > 1 || (i[5] && !(d[5] == (double)at[1]))) {
        malformed(path, PREFIX "counts");
        return;
    }
    r->result.epochs = i[0];
    r->result.steps = i[1];
    r->result.tokens = i[2];
    r->result.best_epoch = i[3];
    r->waited = i[4];
    r->underway = i[5];
    r->tally = (cti_tally){ d[0], d[1], d[2], d[3], d[4], d[5] };
    r->awaited = d[6];
    r->result.best_perplexity = d[7];
    r->result.lr = d[8];
    r->val_cursor = (ct_loader_cursor){ at[3], at[4], at[5] };
    ct_loader_seek(r->train, (ct_loader_cursor){ at[0], at[1], at[2] });
    if (r->val)
        ct_loader_seek(r->val, r->val_cursor);
    i = (const int64_t *)(const void *)cti_ptr(g);
    *ct_params_generator(r->model->params) =
        (ct_generator){ (uint64_t)i[0], (uint64_t)i[1], (uint64_t)i[2] };
}

ct_status cti_checkpoint_read(cti_run *r, const char *path)
{
    ct_safetensors *f = ct_safetensors_open(path);
    ct_scope s = ct_scope_begin_no_grad();
    ct_status status = f ? compare(r, f, path) : ct_error();

    if (status == CT_OK) {
        note_processor(r, f);
        status = ct_params_load(r->model->params, path, (ct_load_options){ .non_strict = true });
    }
    if (status == CT_OK)
        read_run(r, f, path);
    if (ct_ok())
        read_history(r, f, path);
    if (ct_ok())
        read_optimizer(r, f);
    if (ct_ok())
        read_state(r, f);
    ct_safetensors_close(f);
    return ct_scope_end(s);
}
