/* SPDX-License-Identifier: MIT */
/* checkpoint.c - a checkpoint: one safetensors file, which consists of sections. Each section is written
 * and judged by its owner:
 *
 *     section     tensors                      what
 *     model       (the model's own names)      parameters and buffers, so that the file is also a
 *                                              model's; every name of a tied value
 *     loaders     training.cursor              i64 (loaders, 3): the position of each loader
 *                                              (ct_loader_cursor; zeros for none)
 *     generator   training.generator           i64 (3): the set's: seed, stream, position;
 *                 training.generator_K         the K-th of the loop's own, from 1
 *     optimizer   training.optimizer.NAME      rates, schedule and state (optim/internal.h); of
 *                 training.optimizer_K.NAME    optimiser K, from 1
 *     state       training.state.shapes        i64 (n, 2 + CT_MAX_RANK): dtype, rank and sizes of
 *                                              each tensor of the state; n = 0: there is none
 *                 training.state.I             the recurrent state that the next batch continues
 *                                              from; training.state_K for state K, from 1
 *     number      training.number.NAME         i64 or f64: a number of the loop
 *
 * A run of ct_fit has more of them (run_checkpoint.c). The metadata have "cotangent.training", which
 * describes the loop or run (resume_check.c), and "cotangent.model", as it was given. The file has no
 * time of day and no number of threads: the same steps give the same bytes.
 *
 * A file is judged as a whole before anything changes: the description must be that of the loop, no
 * section may lack a tensor, every tensor must have the right dtype, shape and values, and no tensor may
 * be left over. */
#include "tensor/internal.h"

#include "autograd/internal.h"
#include "data/internal.h"
#include "tensor/dtypes.h"
#include "tensor/hooks.h"
#include "tensor/text.h"
#include "train/checkpoint_sections.h"

#include <cotangent/autograd/ops/copy.h>

#include <stdio.h>
#include <string.h>

#define PREFIX CTI_CHECKPOINT_PREFIX

bool cti_staged_numbers(cti_staged *s, const char *name, ct_shape shape, ct_dtype dtype, void *to)
{
    const ct_tensor *t = cti_claims_tensor(&s->claims, PREFIX, name, shape, dtype, CT_CPU);

    if (t)
        memcpy(to, cti_data(t), (size_t)t->numel * 8);
    return t != NULL;
}

bool cti_staged_refuse(const cti_staged *s, const char *name)
{
    return cti_claims_refuse(&s->claims, PREFIX, name, "has values that are not valid");
}

/* "optimizer" for part 0, "optimizer_1" for part 1, with an end. */
typedef struct checkpoint_name {
    char s[64];
} checkpoint_name;

static checkpoint_name checkpoint_part(const char *kind, int k, const char *end)
{
    checkpoint_name name;

    if (k)
        snprintf(name.s, sizeof name.s, "%s_%d%s", kind, k, end);
    else
        snprintf(name.s, sizeof name.s, "%s%s", kind, end);
    return name;
}

/* The same with the prefix of all sections. */
static checkpoint_name checkpoint_prefix(const char *kind, int k)
{
    const checkpoint_name part = checkpoint_part(kind, k, ".");
    checkpoint_name name = { PREFIX };

    strcat(name.s, part.s);
    return name;
}

/* ---- model ---- */

static void checkpoint_model_write(const cti_checkpoint *c, cti_named_tensors *l)
{
    ct_params *params = c->parts.params;

    for (int i = 0; i < ct_params_count(params) && ct_ok(); i++) {
        ct_param *p = ct_params_at(params, i);
        ct_tensor *average = c->run ? cti_average_get(&c->run->average, i) : NULL;

        if (ct_param_is_lazy(p))
            ct_raise(CT_ERR_SHAPE, l->function, "%.200s has no values yet", ct_param_name(p));
        else
            cti_named_tensors_add(l, "", cti_name_in(params, p),
                                  average ? average : cti_param_own(p));
    }
}

/* cti_resume_check has compared names, shapes and dtypes. */
static bool checkpoint_model_judge(cti_staged *s)
{
    const ct_params *params = s->checkpoint->parts.params;

    for (int i = 0; i < ct_params_count(params); i++) {
        const char *name = cti_name_in(params, ct_params_at(params, i));

        if (cti_claims_find(&s->claims, "", name) < 0)
            return cti_claims_refuse(&s->claims, "", name, "is missing");
    }
    return true;
}

/* ---- loaders ---- */

_Static_assert(sizeof(ct_loader_cursor) == 3 * 8 && sizeof(ct_generator) == 3 * 8, "padding");

static void checkpoint_loaders_write(const cti_checkpoint *c, cti_named_tensors *l)
{
    const int count = c->parts.loader_count;
    ct_loader_cursor cursor[CT_CHECKPOINT_PARTS];

    for (int i = 0; i < count; i++)
        cursor[i] = c->cursor ? c->cursor[i] : ct_loader_tell(c->parts.loaders[i]);
    cti_named_tensors_add(l, PREFIX, "cursor",
                          ct_from_data(cursor, CT_SHAPE(count, 3), CT_I64, CT_CPU));
}

static bool checkpoint_loaders_judge(cti_staged *s)
{
    const ct_checkpoint *parts = &s->checkpoint->parts;
    const ct_loader_cursor none = { 0, 0, 0 };

    if (!cti_staged_numbers(s, "cursor", CT_SHAPE(parts->loader_count, 3), CT_I64, s->cursor))
        return false;
    for (int i = 0; i < parts->loader_count; i++)
        if (parts->loaders[i] ? !cti_loader_fits(parts->loaders[i], s->cursor[i])
                              : memcmp(&s->cursor[i], &none, sizeof none) != 0)
            return cti_staged_refuse(s, "cursor");
    return true;
}

static void checkpoint_loaders_apply(cti_staged *s)
{
    const ct_checkpoint *parts = &s->checkpoint->parts;

    for (int i = 0; i < parts->loader_count; i++)
        if (parts->loaders[i])
            ct_loader_seek(parts->loaders[i], s->cursor[i]);
}

/* ---- generator ---- */

/* Generator k: the set's, then those of the loop. */
static ct_generator *checkpoint_generator(const cti_checkpoint *c, int k)
{
    return k ? c->parts.generators[k - 1] : ct_params_generator(c->parts.params);
}

static void checkpoint_generator_write(const cti_checkpoint *c, cti_named_tensors *l)
{
    for (int k = 0; k <= c->parts.generator_count; k++)
        cti_named_tensors_add(
            l, PREFIX, checkpoint_part("generator", k, "").s,
            ct_from_data(checkpoint_generator(c, k), CT_SHAPE(3), CT_I64, CT_CPU));
}

static bool checkpoint_generator_judge(cti_staged *s)
{
    for (int k = 0; k <= s->checkpoint->parts.generator_count; k++)
        if (!cti_staged_numbers(s, checkpoint_part("generator", k, "").s, CT_SHAPE(3), CT_I64,
                                &s->generator[k]))
            return false;
    return true;
}

static void checkpoint_generator_apply(cti_staged *s)
{
    for (int k = 0; k <= s->checkpoint->parts.generator_count; k++)
        *checkpoint_generator(s->checkpoint, k) = s->generator[k];
}

/* ---- optimizer ---- */

static void checkpoint_optimizer_write(const cti_checkpoint *c, cti_named_tensors *l)
{
    for (int k = 0; k < c->parts.optimizer_count; k++)
        cti_optimizer_state_write(c->parts.optimizers[k], checkpoint_prefix("optimizer", k).s, l);
}

static bool checkpoint_optimizer_judge(cti_staged *s)
{
    const ct_checkpoint *parts = &s->checkpoint->parts;

    for (int k = 0; k < parts->optimizer_count; k++) {
        const checkpoint_name prefix = checkpoint_prefix("optimizer", k);
        const cti_optimizer_names names = { prefix.s, cti_params_prefix(parts->params) };

        s->optimizer[k] = cti_optimizer_state_judge(parts->optimizers[k], &s->claims, &names);
        if (!s->optimizer[k])
            return false;
    }
    return true;
}

static void checkpoint_optimizer_apply(cti_staged *s)
{
    for (int k = 0; k < s->checkpoint->parts.optimizer_count; k++) {
        cti_optimizer_state_apply(s->checkpoint->parts.optimizers[k], s->optimizer[k]);
        s->optimizer[k] = NULL;
    }
}

/* ---- state ---- */

#define MOST_STATES 64

/* How a tensor of a state is described, so that one that is missing is noticed. */
typedef struct saved_shape {
    int64_t dtype, rank, dim[CT_MAX_RANK];
} saved_shape;

#define SAVED_SHAPE ((int64_t)(sizeof(saved_shape) / 8))

static void checkpoint_write_state(const ct_state *state, int k, cti_named_tensors *l)
{
    const checkpoint_name prefix = checkpoint_prefix("state", k);
    saved_shape shapes[MOST_STATES + 1] = { { 0 } };
    const int count = ct_state_count(state);
    char number[24];

    for (int i = 0; i < count && ct_ok(); i++) {
        ct_tensor *t = ct_state_get(state, i);

        if (!t)
            return;
        shapes[i].dtype = t->dtype;
        shapes[i].rank = t->shape.rank;
        for (int a = 0; a < t->shape.rank; a++)
            shapes[i].dim[a] = t->shape.dim[a];
        snprintf(number, sizeof number, "%d", i);
        cti_named_tensors_add(l, prefix.s, number, t);
    }
    cti_named_tensors_add(l, prefix.s, "shapes",
                          ct_from_data(shapes, CT_SHAPE(count, SAVED_SHAPE), CT_I64, CT_CPU));
}

static void checkpoint_state_write(const cti_checkpoint *c, cti_named_tensors *l)
{
    for (int k = 0; k < c->parts.state_count; k++)
        checkpoint_write_state(c->parts.states[k], k, l);
}

/* The shape that was saved; false if there is no such shape. */
static bool checkpoint_state_shape(const saved_shape *saved, ct_shape *shape)
{
    bool good = saved->dtype >= 0 && saved->dtype < CTI_DTYPE_COUNT && saved->rank >= 0 &&
                saved->rank <= CT_MAX_RANK;

    *shape = CT_SCALAR;
    shape->rank = good ? (int)saved->rank : 0;
    for (int k = 0; k < shape->rank; k++) {
        shape->dim[k] = saved->dim[k];
        good = good && saved->dim[k] >= 0;
    }
    return good;
}

/* Reads the tensors of state k; false with an error. */
static bool checkpoint_state_read(cti_staged *s, int k, const saved_shape *shapes, int count)
{
    const checkpoint_name prefix = checkpoint_prefix("state", k);
    ct_tensor *part[MOST_STATES];
    char number[24];
    ct_shape shape;

    for (int i = 0; i < count; i++) {
        if (!checkpoint_state_shape(&shapes[i], &shape))
            return cti_staged_refuse(s, checkpoint_part("state", k, ".shapes").s);
        snprintf(number, sizeof number, "%d", i);
        part[i] = cti_claims_tensor(&s->claims, prefix.s, number, shape, (ct_dtype)shapes[i].dtype,
                                    ct_params_device(s->checkpoint->parts.params));
        if (!part[i])
            return false;
    }
    s->state[k] = count ? ct_state_new(count, part) : NULL;
    return ct_ok();
}

static bool checkpoint_state_judge(cti_staged *s)
{
    for (int k = 0; k < s->checkpoint->parts.state_count; k++) {
        const checkpoint_name shapes = checkpoint_part("state", k, ".shapes");
        const ct_tensor *t = cti_claims_tensor(&s->claims, PREFIX, shapes.s,
                                               CT_SHAPE(-1, SAVED_SHAPE), CT_I64, CT_CPU);

        if (!t)
            return false;
        if (t->shape.dim[0] > MOST_STATES)
            return cti_staged_refuse(s, shapes.s);
        if (!checkpoint_state_read(s, k, (const saved_shape *)(const void *)cti_data(t),
                                   (int)t->shape.dim[0]))
            return false;
    }
    return true;
}

static void checkpoint_state_apply(cti_staged *s)
{
    for (int k = 0; k < s->checkpoint->parts.state_count; k++) {
        ct_state_free(s->checkpoint->parts.states[k]);
        s->checkpoint->parts.states[k] = s->state[k];
        s->state[k] = NULL;
    }
}

/* ---- numbers ---- */

static void checkpoint_number_write(const cti_checkpoint *c, cti_named_tensors *l)
{
    for (const ct_saved_number *n = c->parts.numbers; n && n->name; n++)
        cti_named_tensors_add(l, PREFIX "number.", n->name,
                              n->i64 ? ct_from_data(n->i64, CT_SCALAR, CT_I64, CT_CPU)
                                     : ct_from_data(n->f64, CT_SCALAR, CT_F64, CT_CPU));
}

static bool checkpoint_number_judge(cti_staged *s)
{
    cti_saved_value *to = s->number;

    for (const ct_saved_number *n = s->checkpoint->parts.numbers; n && n->name; n++, to++) {
        const ct_tensor *t = cti_claims_tensor(&s->claims, PREFIX "number.", n->name, CT_SCALAR,
                                               n->i64 ? CT_I64 : CT_F64, CT_CPU);

        if (!t)
            return false;
        memcpy(to, cti_data(t), sizeof *to);
    }
    return true;
}

static void checkpoint_number_apply(cti_staged *s)
{
    const cti_saved_value *from = s->number;

    for (const ct_saved_number *n = s->checkpoint->parts.numbers; n && n->name; n++, from++)
        if (n->i64)
            *n->i64 = from->i64;
        else
            *n->f64 = from->f64;
}

/* ---- the table ---- */

/* In the order in which they are judged; those of a run follow. */
static const cti_checkpoint_section sections[] = {
    { "model", checkpoint_model_write, checkpoint_model_judge, NULL },
    { "loaders", checkpoint_loaders_write, checkpoint_loaders_judge, checkpoint_loaders_apply },
    { "generator", checkpoint_generator_write, checkpoint_generator_judge,
      checkpoint_generator_apply },
    { "optimizer", checkpoint_optimizer_write, checkpoint_optimizer_judge,
      checkpoint_optimizer_apply },
    { "state", checkpoint_state_write, checkpoint_state_judge, checkpoint_state_apply },
    { "number", checkpoint_number_write, checkpoint_number_judge, checkpoint_number_apply },
    { NULL, NULL, NULL, NULL },
};

/* The section after one, NULL before the first; NULL after the last. */
static const cti_checkpoint_section *checkpoint_next(const cti_checkpoint *c,
                                                     const cti_checkpoint_section *section)
{
    section = section ? section + 1 : sections;
    if (!section->name && section == sections + sizeof sections / sizeof *sections - 1)
        section = c->sections;
    return section && section->name ? section : NULL;
}

ct_status cti_checkpoint_save(const cti_checkpoint *c, const char *path, const char *description)
{
    const char *model = c->parts.model_json;
    const ct_metadata metadata[3] = { { "cotangent.training", description },
                                      { model ? "cotangent.model" : NULL, model } };
    const cti_checkpoint_section *section = NULL;
    cti_named_tensors list = { .function = c->function };
    ct_scope s = ct_scope_begin_no_grad();

    while ((section = checkpoint_next(c, section)) && ct_ok())
        section->write(c, &list);
    cti_named_tensors_write(&list, path, metadata);
    cti_named_tensors_free(&list);
    return ct_scope_end(s);
}

/* Reads the file and judges it as a whole. The model is loaded last, all of it or nothing; what is left
 * to do cannot fail. False with an error. */
static bool checkpoint_judge(cti_staged *s)
{
    const ct_load_options any = { .non_strict = true };
    const cti_checkpoint_section *section = NULL;

    if (!cti_claims_begin(&s->claims))
        return false;
    while ((section = checkpoint_next(s->checkpoint, section)))
        if (!section->judge(s))
            return false;
    return cti_claims_complete(&s->claims) &&
           cti_params_load_file(s->checkpoint->parts.params, s->claims.file, s->claims.path, any) ==
               CT_OK;
}

ct_status cti_checkpoint_load(const cti_checkpoint *c, const char *path, const char *description,
                              void *own)
{
    const cti_checkpoint_section *section = NULL;
    cti_staged s = {
        .checkpoint = c,
        .claims = { .function = c->function, .path = path, .file = ct_safetensors_open(path) },
        .own = own
    };
    ct_scope scope = ct_scope_begin_no_grad();

    if (s.claims.file && cti_resume_check(c, description, s.claims.file, path) == CT_OK &&
        checkpoint_judge(&s))
        while ((section = checkpoint_next(c, section)))
            if (section->apply)
                section->apply(&s);
    for (int k = 0; k < CT_CHECKPOINT_PARTS; k++) {
        ct_state_free(s.state[k]);
        cti_optimizer_staged_free(s.optimizer[k]);
    }
    cti_claims_end(&s.claims);
    ct_safetensors_close(s.claims.file);
    return ct_scope_end(scope);
}

/* ---- of a loop ---- */

/* Whether an array of a checkpoint has count entries, none of them NULL unless that is allowed; false
 * with an error. */
static bool checkpoint_check_array(const char *function, const char *name, int count,
                                   const void *array, bool null_allowed)
{
    const void *const *entry = array;

    if (count < 0 || count > CT_CHECKPOINT_PARTS) {
        ct_raise(CT_ERR_ARGUMENT, function, "there are %d %s; there must be 0 to %d", count, name,
                 CT_CHECKPOINT_PARTS);
        return false;
    }
    if (count && !array) {
        ct_raise(CT_ERR_ARGUMENT, function, "%s is NULL", name);
        return false;
    }
    for (int i = 0; i < count; i++) {
        if (!entry[i] && !null_allowed)
            ct_raise(CT_ERR_ARGUMENT, function, "%s[%d] is NULL", name, i);
        for (int k = 0; k < i && entry[i] && ct_ok(); k++)
            if (entry[k] == entry[i])
                ct_raise(CT_ERR_ARGUMENT, function, "%s[%d] and %s[%d] are the same", name, k, name,
                         i);
    }
    return ct_ok();
}

static bool checkpoint_check_number(const char *function, const ct_saved_number *first,
                                    const ct_saved_number *n)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.";

    if (n - first == CT_CHECKPOINT_NUMBERS)
        ct_raise(CT_ERR_ARGUMENT, function, "there are more than %d numbers",
                 CT_CHECKPOINT_NUMBERS);
    else if (!*n->name || strlen(n->name) > 63 || n->name[strspn(n->name, allowed)])
        ct_raise(CT_ERR_ARGUMENT, function,
                 "the number %s: its name must have 1 to 63 letters, digits, '_' or '.'",
                 cti_quote(n->name).s);
    else if (!n->i64 == !n->f64)
        ct_raise(CT_ERR_ARGUMENT, function, "the number %s: %s", n->name,
                 n->i64 ? "i64 and f64 are both given" : "i64 and f64 are NULL");
    else
        for (const ct_saved_number *other = first; other < n; other++)
            if (strcmp(other->name, n->name) == 0) {
                ct_raise(CT_ERR_ARGUMENT, function, "the number %s appears twice", n->name);
                break;
            }
    return ct_ok();
}

/* False with an error. */
static bool checkpoint_check(const char *function, const ct_checkpoint *c, const char *path)
{
    if (!cti_given(function, "c", c) || !cti_given(function, "path", path) ||
        !cti_given(function, "c->params", c->params) ||
        !checkpoint_check_array(function, "optimizers", c->optimizer_count, c->optimizers, false) ||
        !checkpoint_check_array(function, "loaders", c->loader_count, c->loaders, false) ||
        !checkpoint_check_array(function, "states", c->state_count, c->states, true) ||
        !checkpoint_check_array(function, "generators", c->generator_count, c->generators, false))
        return false;
    for (const ct_saved_number *n = c->numbers; n && n->name; n++)
        if (!checkpoint_check_number(function, c->numbers, n))
            return false;
    return true;
}

ct_status ct_checkpoint_save(const ct_checkpoint *c, const char *path)
{
    static const char *const me = "ct_checkpoint_save";
    cti_checkpoint checkpoint = { .function = me };
    char *description;

    if (!cti_sink_allowed() || !checkpoint_check(me, c, path))
        return ct_error();
    checkpoint.parts = *c;
    description = cti_checkpoint_describe(&checkpoint);
    if (description)
        cti_checkpoint_save(&checkpoint, path, description);
    cti_release(description);
    return ct_error();
}

ct_status ct_checkpoint_load(const ct_checkpoint *c, const char *path)
{
    static const char *const me = "ct_checkpoint_load";
    cti_checkpoint checkpoint = { .function = me };
    char *description;

    if (!cti_sink_allowed() || !checkpoint_check(me, c, path))
        return ct_error();
    checkpoint.parts = *c;
    description = cti_checkpoint_describe(&checkpoint);
    if (description)
        cti_checkpoint_load(&checkpoint, path, description, NULL);
    cti_release(description);
    return ct_error();
}
