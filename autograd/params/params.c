/* SPDX-License-Identifier: MIT */
/* params.c - parameter sets.
 *
 * A set is a root and its parts. The root owns everything. A part is a prefix and the list of the
 * entries whose names begin with it, in order of registration; the whole set is also a part. A new
 * entry is added to the list of every part to which it belongs, so that walking a part needs no
 * search. */
#include "autograd/params/set.h"

#include "tensor/hooks.h"
#include "tensor/text.h"

#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

static bool params_is_under(const ct_params *part, const char *name)
{
    return strncmp(name, part->prefix, strlen(part->prefix)) == 0;
}

/* Makes room for one more entry in the list of a part; false with an error. */
static bool params_part_grow(const char *function, ct_params *part)
{
    return cti_grow(function, (void **)&part->entry, &part->room, (size_t)part->count,
                    sizeof *part->entry);
}

static void params_part_free(ct_params *part)
{
    cti_release(part->entry);
    cti_release(part->prefix);
    cti_release(part);
}

/* Makes a part with the existing entries under its prefix; NULL with an error. */
static ct_params *params_part_new(const char *function, params_root *r, const char *prefix)
{
    ct_params *p = cti_calloc(1, sizeof *p);
    int i;

    if (p)
        p->prefix = cti_strdup(prefix);
    if (!p || !p->prefix) {
        cti_out_of_memory("ct_params", p ? strlen(prefix) + 1 : sizeof *p);
        cti_release(p);
        return NULL;
    }
    for (i = 0; r->whole && i < r->whole->count; i++) {
        if (!params_is_under(p, r->whole->entry[i]->name))
            continue;
        if (!params_part_grow(function, p)) {
            params_part_free(p);
            return NULL;
        }
        p->entry[p->count++] = r->whole->entry[i];
    }
    p->root = r;
    p->next = r->parts;
    r->parts = p;
    return p;
}

/* Makes the generator for training. Its stream differs from those of the parameters. */
static ct_generator params_training_generator(uint64_t seed)
{
    return ct_generator_stream(ct_generator_from_seed(seed), " training ");
}

ct_params *ct_params_new(ct_params_options options)
{
    params_root *r;

    if (!cti_is_float(options.dtype)) {
        ct_raise(CT_ERR_DTYPE, "ct_params_new", "dtype is %s; it must be f32 or f64",
                 ct_dtype_name(options.dtype));
        return NULL;
    }
    if (!cti_backend_of(options.device)) {
        ct_raise(CT_ERR_DEVICE, "ct_params_new",
                 "device %d does not exist; use CT_CPU or ct_device_from_name", options.device);
        return NULL;
    }
    r = cti_calloc(1, sizeof *r);
    if (!r) {
        cti_out_of_memory("ct_params_new", sizeof *r);
        return NULL;
    }
    r->options = options;
    r->generator = params_training_generator(options.seed);
    pthread_mutex_init(&r->lock, NULL);
    r->whole = params_part_new("ct_params_new", r, "");
    if (!r->whole) {
        pthread_mutex_destroy(&r->lock);
        cti_release(r);
        return NULL;
    }
    return r->whole;
}

static void params_entry_free(ct_param *p)
{
    cti_free("ct_params_free", p->value);
    cti_release(p->name);
    cti_release(p);
}

void ct_params_free(ct_params *set)
{
    params_root *r;
    int i;

    if (!set || set->prefix[0])
        return;
    r = set->root;
    while (r->objects) {
        params_owned *o = r->objects;

        r->objects = o->next;
        o->free_object(o->object);
        cti_release(o);
    }
    for (i = 0; i < r->whole->count; i++)
        params_entry_free(r->whole->entry[i]);
    while (r->parts) {
        ct_params *p = r->parts;

        r->parts = p->next;
        params_part_free(p);
    }
    pthread_mutex_destroy(&r->lock);
    cti_release(r);
}

/* Returns prefix + name + suffix in new memory; NULL with an error for a bad name. */
static char *params_full_name(const char *function, const ct_params *set, const char *name,
                              const char *suffix)
{
    size_t n;
    char *s;

    if (!cti_given(function, "name", name))
        return NULL;
    if (!name[0] || name[0] == '.' || name[strlen(name) - 1] == '.') {
        ct_raise(CT_ERR_ARGUMENT, function, "the name \"%s\" is empty or has a dot at an end",
                 name);
        return NULL;
    }
    n = strlen(set->prefix) + strlen(name) + strlen(suffix) + 1;
    s = cti_calloc(1, n);
    if (!s) {
        cti_out_of_memory(function, n);
        return NULL;
    }
    strcat(strcat(strcpy(s, set->prefix), name), suffix);
    return s;
}

/* The part of set under name and suffix, which ends with a dot. */
static ct_params *params_part(const char *function, ct_params *set, const char *name,
                              const char *suffix)
{
    ct_params *p;
    char *prefix = params_full_name(function, set, name, suffix);

    if (!prefix)
        return NULL;
    for (p = set->root->parts; p && strcmp(p->prefix, prefix) != 0; p = p->next)
        ;
    if (!p)
        p = params_part_new(function, set->root, prefix);
    cti_release(prefix);
    return p;
}

ct_params *ct_params_sub(ct_params *set, const char *name)
{
    return cti_given("ct_params_sub", "set", set) ? params_part("ct_params_sub", set, name, ".")
                                                  : NULL;
}

ct_params *ct_params_sub_index(ct_params *set, const char *name, int64_t index)
{
    static const char *const me = "ct_params_sub_index";
    char suffix[24];

    if (!cti_given(me, "set", set))
        return NULL;
    if (index < 0) {
        ct_raise(CT_ERR_ARGUMENT, me, "index is %lld; it must be at least 0", (long long)index);
        return NULL;
    }
    snprintf(suffix, sizeof suffix, ".%lld.", (long long)index);
    return params_part(me, set, name, suffix);
}

ct_status ct_params_own(ct_params *set, void *object, void (*free_object)(void *object))
{
    static const char *const me = "ct_params_own";
    params_owned *o;

    if (!cti_given(me, "free_object", (const void *)free_object))
        return ct_error();
    o = cti_given(me, "set", set) ? cti_calloc(1, sizeof *o) : NULL;
    if (!o) {
        if (set)
            cti_out_of_memory(me, sizeof *o);
        free_object(object);
        return ct_error();
    }
    o->object = object;
    o->free_object = free_object;
    o->next = set->root->objects;
    set->root->objects = o;
    return CT_OK;
}

/* ---- entries ---- */

/* Returns the entry that holds p's value: p itself, or the entry to which it is tied. */
static ct_param *params_real(const ct_param *p)
{
    return p->tied ? p->tied : (ct_param *)p;
}

int ct_params_count(const ct_params *set)
{
    return set ? set->count : 0;
}

ct_param *ct_params_at(const ct_params *set, int i)
{
    return set && i >= 0 && i < set->count ? set->entry[i] : NULL;
}

ct_param *ct_params_get(const ct_params *set, const char *name)
{
    size_t n = set ? strlen(set->prefix) : 0;
    int i;

    for (i = 0; set && name && i < set->count; i++)
        if (strcmp(set->entry[i]->name + n, name) == 0)
            return set->entry[i];
    return NULL;
}

ct_dtype ct_params_dtype(const ct_params *set)
{
    return set ? set->root->options.dtype : CT_F32;
}

ct_device ct_params_device(const ct_params *set)
{
    return set ? set->root->options.device : CT_CPU;
}

uint64_t ct_params_seed(const ct_params *set)
{
    return set ? set->root->options.seed : 0;
}

const char *ct_param_name(const ct_param *p)
{
    return p ? p->name : "";
}

ct_shape ct_param_shape(const ct_param *p)
{
    return p ? params_real(p)->shape : CT_SCALAR;
}

ct_dtype cti_param_dtype(const ct_param *p)
{
    return params_real(p)->dtype;
}

bool ct_param_is_lazy(const ct_param *p)
{
    return !p || !params_real(p)->value;
}

bool ct_param_is_trained(const ct_param *p)
{
    return p && !p->buffer && !p->frozen && !p->tied;
}

/* ---- materializing: giving a lazy entry its shape and value ---- */

ct_tensor *cti_param_initial(const ct_param *p)
{
    const ct_param *own = cti_param_real(p);
    ct_generator g = ct_generator_stream(ct_generator_from_seed(own->seed), own->name);
    ct_tensor *t =
        cti_new("ct_param_materialize", own->shape, own->dtype, own->root->options.device);

    return t && own->init.fill(&own->init, t, &g) == CT_OK ? t : NULL;
}

/* Allocates and initialises the value of an entry whose shape is known. The caller holds the
 * lock. */
static ct_status params_make_value(ct_param *p)
{
    ct_scope s = cti_scope_push();
    ct_thread *th = cti_thread();
    const cti_draws *draws = th->draws;
    ct_tensor *t, *kept = NULL;

    th->draws = NULL; /* drawn once: a recomputed function finds the value in its second run */
    t = cti_param_initial(p);
    th->draws = draws;
    if (t)
        kept = cti_keep("ct_param_materialize", t, cti_owner_params);
    cti_scope_pop(s);
    if (kept && !p->buffer && !cti_leaf_train(kept, !p->frozen)) {
        cti_free("ct_param_materialize", kept);
        kept = NULL;
    }
    p->value = kept;
    return kept ? CT_OK : ct_error();
}

static bool params_shape_agrees(const ct_shape *known, const ct_shape *given)
{
    int i;

    if (known->rank != given->rank)
        return false;
    for (i = 0; i < known->rank; i++)
        if (known->dim[i] != -1 && known->dim[i] != given->dim[i])
            return false;
    return true;
}

ct_status ct_param_materialize(ct_param *p, ct_shape shape)
{
    ct_shape known;
    ct_status status = CT_OK;

    if (!cti_given("ct_param_materialize", "p", p) ||
        !cti_rank_check("ct_param_materialize", &shape))
        return ct_error();
    p = params_real(p);
    pthread_mutex_lock(&p->root->lock);
    known = p->shape;
    if (!params_shape_agrees(&known, &shape)) {
        status = ct_raise(CT_ERR_SHAPE, "ct_param_materialize",
                          "%s has the shape %s; it cannot get the shape %s", p->name,
                          cti_shape_text(&known).s, cti_shape_text(&shape).s);
    } else if (!p->value) {
        p->shape = shape;
        status = params_make_value(p);
        if (status != CT_OK)
            p->shape = known;
    }
    pthread_mutex_unlock(&p->root->lock);
    return status;
}

void ct_param_set_init(ct_param *p, ct_init init)
{
    if (cti_given("ct_param_set_init", "p", p) && init.fill && !params_real(p)->value &&
        !params_real(p)->init_chosen)
        params_real(p)->own = params_real(p)->init = init;
}

/* ---- tying ---- */

/* Fills the unknown sizes of a with those of b; false, with a unchanged, if they differ. */
static bool params_merge_shapes(ct_shape *a, const ct_shape *b)
{
    int i;

    if (a->rank != b->rank)
        return false;
    for (i = 0; i < a->rank; i++)
        if (a->dim[i] != b->dim[i] && a->dim[i] != -1 && b->dim[i] != -1)
            return false;
    for (i = 0; i < a->rank; i++)
        a->dim[i] = a->dim[i] == -1 ? b->dim[i] : a->dim[i];
    return true;
}

/* Makes second another name of first. If both have values, the value of second is kept until the
 * set is freed, because the program may hold its handle. */
static ct_status params_tie_entries(params_root *r, ct_param *first, ct_param *second)
{
    ct_shape both = first->shape;
    int i;

    if (first == second)
        return CT_OK;
    if (!params_merge_shapes(&both, &second->shape))
        return ct_raise(CT_ERR_SHAPE, "ct_params_tie", "%s has the shape %s; %s has %s",
                        first->name, cti_shape_text(&first->shape).s, second->name,
                        cti_shape_text(&second->shape).s);
    first->shape = both;
    first->frozen |= second->frozen;
    if (!first->value) { /* the module that registered second may expect a value */
        first->value = second->value;
        second->value = NULL;
    }
    if (first->value && first->frozen)
        cti_leaf_train(first->value, false);
    if (second->value)
        ct_tensor_zero_grad(second->value);
    second->tied = first;
    r->ties++;
    for (i = 0; i < r->whole->count; i++)
        if (r->whole->entry[i]->tied == second)
            r->whole->entry[i]->tied = first;
    return CT_OK;
}

ct_status ct_params_tie(ct_params *set, const char *first, const char *second)
{
    static const char *const me = "ct_params_tie";
    ct_param *a, *b;
    ct_status status;

    if (!cti_given(me, "set", set) || !cti_given(me, "first", first) ||
        !cti_given(me, "second", second))
        return ct_error();
    a = ct_params_get(set, first);
    b = ct_params_get(set, second);
    if (!a || !b || a->buffer || b->buffer)
        return ct_raise(CT_ERR_ARGUMENT, me, "the set has no parameter %s%s", set->prefix,
                        !a || a->buffer ? first : second);
    pthread_mutex_lock(&set->root->lock);
    status = params_tie_entries(set->root, params_real(a), params_real(b));
    pthread_mutex_unlock(&set->root->lock);
    return status;
}

int cti_params_ties(const ct_params *set)
{
    return set->root->ties;
}

/* ---- loading ---- */

const char *cti_params_prefix(const ct_params *set)
{
    return set->prefix;
}

bool cti_param_is_buffer(const ct_param *p)
{
    return p->buffer;
}

const ct_param *cti_param_real(const ct_param *p)
{
    return params_real(p);
}

bool cti_param_fits(const ct_param *p, const ct_shape *shape)
{
    return params_shape_agrees(&params_real(p)->shape, shape);
}

ct_tensor *cti_param_leaf(const ct_param *p, ct_tensor *t)
{
    ct_tensor *leaf = cti_keep("ct_params_load", t, cti_owner_params);

    p = params_real(p);
    if (leaf && !p->buffer && !cti_leaf_train(leaf, !p->frozen)) {
        cti_free("ct_params_load", leaf);
        return NULL;
    }
    return leaf;
}

void cti_params_lock(ct_params *set)
{
    pthread_mutex_lock(&set->root->lock);
}

void cti_params_unlock(ct_params *set)
{
    pthread_mutex_unlock(&set->root->lock);
}

void cti_param_put(ct_param *p, const ct_tensor *value, ct_tensor **leaf)
{
    p = params_real(p);
    if (p->value) {
        cti_copy(p->value, value);
        cti_mark_written(p->value);
        return;
    }
    p->shape = value->shape;
    p->value = *leaf;
    *leaf = NULL;
}

static bool params_is_known(const ct_shape *shape)
{
    int i;

    for (i = 0; i < shape->rank; i++)
        if (shape->dim[i] == -1)
            return false;
    return true;
}

static bool params_check_shape(const char *function, const char *name, const ct_shape *shape)
{
    int i;

    if (!cti_rank_check(function, shape))
        return false;
    for (i = 0; i < shape->rank; i++)
        if (shape->dim[i] < -1)
            break;
    if (i == shape->rank)
        return true;
    ct_raise(CT_ERR_SHAPE, function,
             "the shape of %s is %s; a size must be at least 0, or -1 if it is open", name,
             cti_shape_text(shape).s);
    return false;
}

/* Makes room for an entry of this name in the list of every part to which it will belong; false
 * with an error. */
static bool params_make_room(const char *function, params_root *r, const char *name)
{
    ct_params *part;

    for (part = r->parts; part; part = part->next)
        if (params_is_under(part, name) && !params_part_grow(function, part))
            return false;
    return true;
}

static void params_list_entry(params_root *r, ct_param *p)
{
    ct_params *part;

    for (part = r->parts; part; part = part->next)
        if (params_is_under(part, p->name))
            part->entry[part->count++] = p;
    p->index = r->whole->count - 1;
}

/* Registers an entry under name. Shape, init and buffer are those of `like`. */
static ct_param *params_entry_new(const char *function, ct_params *set, const char *name,
                                  const ct_param *like)
{
    params_root *r;
    ct_param *p;

    if (!cti_given(function, "set", set) || !cti_given(function, "name", name))
        return NULL;
    r = set->root;
    if (ct_params_get(set, name)) {
        ct_raise(CT_ERR_ARGUMENT, function, "the name %s%s is taken", set->prefix, name);
        return NULL;
    }
    if (!like->init.fill) {
        ct_raise(CT_ERR_ARGUMENT, function, "%s has no initialiser: init.fill is NULL", name);
        return NULL;
    }
    if (!params_check_shape(function, name, &like->shape))
        return NULL;
    p = cti_calloc(1, sizeof *p);
    if (!p) {
        cti_out_of_memory(function, sizeof *p);
        return NULL;
    }
    p->root = r;
    p->shape = like->shape;
    p->own = p->init = like->init;
    p->buffer = like->buffer;
    p->dtype = like->dtype;
    p->seed = r->options.seed;
    p->name = params_full_name(function, set, name, "");
    if (!p->name || !params_make_room(function, r, p->name) ||
        (params_is_known(&p->shape) && params_make_value(p) != CT_OK)) {
        cti_release(p->name);
        cti_release(p);
        return NULL;
    }
    params_list_entry(r, p);
    return p;
}

ct_param *ct_params_add(ct_params *set, const char *name, ct_shape shape, ct_init init)
{
    const ct_param p = { .shape = shape, .init = init, .dtype = ct_params_dtype(set) };

    return params_entry_new("ct_params_add", set, name, &p);
}

ct_param *ct_params_add_buffer(ct_params *set, const char *name, ct_shape shape, ct_init init)
{
    const ct_param p = {
        .shape = shape, .init = init, .dtype = ct_params_dtype(set), .buffer = true
    };

    return params_entry_new("ct_params_add_buffer", set, name, &p);
}

ct_param *ct_params_add_buffer_as(ct_params *set, const char *name, ct_shape shape, ct_dtype dtype,
                                  ct_init init)
{
    static const char *const me = "ct_params_add_buffer_as";
    const ct_param p = { .shape = shape, .init = init, .dtype = dtype, .buffer = true };

    if (ct_dtype_size(dtype) == 0) {
        ct_raise(CT_ERR_DTYPE, me, "dtype %d does not exist; it must be in 0..%d", (int)dtype,
                 CTI_DTYPE_COUNT - 1);
        return NULL;
    }
    return params_entry_new(me, set, name, &p);
}

/* ---- the whole set ---- */

/* Initialises the value of an entry again. */
static ct_status params_refill(ct_param *p)
{
    ct_generator g = ct_generator_stream(ct_generator_from_seed(p->seed), p->name);
    ct_scope s = cti_scope_push();
    ct_status status = p->init.fill(&p->init, p->value, &g);

    cti_scope_pop(s);
    return status;
}

ct_status ct_params_init(ct_params *set, ct_init init, uint64_t seed)
{
    int i;

    if (!cti_sink_allowed())
        return ct_error();
    if (!set)
        return ct_raise(CT_ERR_ARGUMENT, "ct_params_init", "set is NULL");
    if (!set->prefix[0]) {
        set->root->options.seed = seed;
        set->root->generator = params_training_generator(seed);
    }
    for (i = 0; i < set->count; i++) {
        ct_param *p = params_real(set->entry[i]);
        const bool by_init = init.fill && !p->buffer && p->shape.rank >= init.min_rank;

        if (!cti_params_stands(set, i))
            continue;
        p->seed = seed;
        p->init = by_init ? init : p->own;
        p->init_chosen = by_init;
        if (p->value && params_refill(p) != CT_OK)
            break;
    }
    return ct_error();
}

void ct_params_train(ct_params *set, bool training)
{
    if (cti_given("ct_params_train", "set", set))
        set->root->evaluating = !training;
}

bool ct_params_is_training(const ct_params *set)
{
    return set && !set->root->evaluating && !cti_thread()->inference;
}

ct_generator *ct_params_generator(ct_params *set)
{
    return set ? &set->root->generator : NULL;
}

void cti_param_freeze(ct_param *p, bool frozen)
{
    p = params_real(p);
    p->frozen = frozen;
    if (p->value && !p->buffer) {
        cti_leaf_train(p->value, !frozen);
        ct_tensor_zero_grad(p->value);
    }
}

int ct_params_freeze(ct_params *set, const char *pattern, bool frozen)
{
    static const char *const me = "ct_params_freeze";
    int i, n = 0;

    if (!cti_given(me, "set", set) || !cti_given(me, "pattern", pattern))
        return 0;
    for (i = 0; i < set->count; i++) {
        if (fnmatch(pattern, set->entry[i]->name + strlen(set->prefix), 0) != 0)
            continue;
        cti_param_freeze(set->entry[i], frozen);
        n++;
    }
    return n;
}
