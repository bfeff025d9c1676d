/* params.c - parameter sets. */
#include "autograd/internal.h"

#include "tensor/hooks.h"

#include <cotangent/autograd/params/params.h>

#include <fnmatch.h>
#include <pthread.h>
#include <string.h>

struct ct_param {
    struct root *root;
    char *name;
    ct_shape shape;
    ct_init own, init; /* as it began; in use */
    uint64_t seed;
    _Atomic(ct_tensor *) value;       /* owned; NULL until settled */
    bool buffer, frozen, init_chosen; /* the last: by ct_params_init */
    struct ct_param *tied; /* another entry, whose value this is a name of; itself not tied */
};

typedef struct owned {
    void *object;
    void (*free_object)(void *);
    struct owned *next;
} owned;

typedef struct root {
    ct_params_options options;
    ct_generator generator; /* of what training draws */
    bool evaluating;
    pthread_mutex_t lock; /* settling */
    ct_param **entry;
    int count;
    size_t room;
    owned *objects;
    struct ct_params *parts; /* all views of the set, the whole first made last */
} root;

/* A prefix, with its dot; "" for the whole. */
struct ct_params {
    root *root;
    char *prefix;
    struct ct_params *next;
};

static ct_params *part_new(root *r, const char *prefix)
{
    ct_params *p = cti_calloc(1, sizeof *p);

    if (p)
        p->prefix = cti_strdup(prefix);
    if (!p || !p->prefix) {
        cti_out_of_memory("ct_params", p ? strlen(prefix) + 1 : sizeof *p);
        cti_release(p);
        return NULL;
    }
    p->root = r;
    p->next = r->parts;
    r->parts = p;
    return p;
}

/* A stream of its own, apart from those of the parameters. */
static ct_generator training_generator(uint64_t seed)
{
    return ct_generator_stream(ct_generator_from_seed(seed), " training ");
}

ct_params *ct_params_new(ct_params_options options)
{
    root *r;
    ct_params *p;

    if (!cti_is_float(options.dtype) || !cti_backend_of(options.device)) {
        ct_raise(cti_is_float(options.dtype) ? CT_ERR_DEVICE : CT_ERR_DTYPE, "ct_params_new",
                 "dtype %s, device %d: parameters are f32 or f64, on a device that is there",
                 ct_dtype_name(options.dtype), options.device);
        return NULL;
    }
    r = cti_calloc(1, sizeof *r);
    if (!r) {
        cti_out_of_memory("ct_params_new", sizeof *r);
        return NULL;
    }
    r->options = options;
    r->generator = training_generator(options.seed);
    pthread_mutex_init(&r->lock, NULL);
    p = part_new(r, "");
    if (!p) {
        pthread_mutex_destroy(&r->lock);
        cti_release(r);
    }
    return p;
}

static void param_free(ct_param *p)
{
    cti_free("ct_params_free", p->value);
    cti_release(p->name);
    cti_release(p);
}

void ct_params_free(ct_params *set)
{
    root *r;
    int i;

    if (!set || set->prefix[0])
        return;
    r = set->root;
    while (r->objects) {
        owned *o = r->objects;

        r->objects = o->next;
        o->free_object(o->object);
        cti_release(o);
    }
    for (i = 0; i < r->count; i++)
        param_free(r->entry[i]);
    while (r->parts) {
        ct_params *p = r->parts;

        r->parts = p->next;
        cti_release(p->prefix);
        cti_release(p);
    }
    cti_release(r->entry);
    pthread_mutex_destroy(&r->lock);
    cti_release(r);
}

/* prefix + name + suffix, in new memory; NULL with an error for a bad name. */
static char *full_name(const char *function, const ct_params *set, const char *name,
                       const char *suffix)
{
    size_t n;
    char *s;

    if (!name || !name[0] || name[0] == '.' || name[strlen(name) - 1] == '.') {
        ct_raise(CT_ERR_ARGUMENT, function, "\"%s\" is no name", name ? name : "(null)");
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

ct_params *ct_params_sub(ct_params *set, const char *name)
{
    ct_params *p;
    char *prefix;

    if (!set)
        return NULL;
    prefix = full_name("ct_params_sub", set, name, ".");
    if (!prefix)
        return NULL;
    for (p = set->root->parts; p && strcmp(p->prefix, prefix) != 0; p = p->next)
        ;
    if (!p)
        p = part_new(set->root, prefix);
    cti_release(prefix);
    return p;
}

ct_status ct_params_own(ct_params *set, void *object, void (*free_object)(void *object))
{
    owned *o = set ? cti_calloc(1, sizeof *o) : NULL;

    if (!o) {
        if (set)
            cti_out_of_memory("ct_params_own", sizeof *o);
        free_object(object);
        return set ? CT_ERR_MEMORY : CT_ERR_ARGUMENT;
    }
    o->object = object;
    o->free_object = free_object;
    o->next = set->root->objects;
    set->root->objects = o;
    return CT_OK;
}

/* ---- entries ---- */

/* The entry that holds p's value. */
static ct_param *real(const ct_param *p)
{
    return p->tied ? p->tied : (ct_param *)p;
}

static bool is_under(const ct_params *set, const ct_param *p)
{
    return strncmp(p->name, set->prefix, strlen(set->prefix)) == 0;
}

int ct_params_count(const ct_params *set)
{
    int i, n = 0;

    for (i = 0; set && i < set->root->count; i++)
        n += is_under(set, set->root->entry[i]);
    return n;
}

ct_param *ct_params_at(const ct_params *set, int at)
{
    int i;

    if (set && !set->prefix[0]) /* the whole set: a step of an optimiser asks for each entry */
        return at >= 0 && at < set->root->count ? set->root->entry[at] : NULL;
    for (i = 0; set && i < set->root->count; i++)
        if (is_under(set, set->root->entry[i]) && at-- == 0)
            return set->root->entry[i];
    return NULL;
}

ct_param *ct_params_get(const ct_params *set, const char *name)
{
    size_t n = set ? strlen(set->prefix) : 0;
    int i;

    for (i = 0; set && name && i < set->root->count; i++)
        if (is_under(set, set->root->entry[i]) && strcmp(set->root->entry[i]->name + n, name) == 0)
            return set->root->entry[i];
    return NULL;
}

int64_t ct_params_numel(const ct_params *set)
{
    int64_t n = 0;
    int i;

    for (i = 0; set && i < set->root->count; i++) {
        const ct_param *p = set->root->entry[i];

        if (is_under(set, p) && ct_param_is_trained(p))
            n += ct_numel(p->value);
    }
    return n;
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
    return p ? real(p)->shape : CT_SCALAR;
}

bool ct_param_is_lazy(const ct_param *p)
{
    return !p || !real(p)->value;
}

bool ct_param_is_trained(const ct_param *p)
{
    return p && !p->buffer && !p->frozen && !p->tied;
}

/* ---- settling ---- */

/* Makes and fills the value of a whole shape; called under the lock. */
static ct_status make_value(ct_param *p)
{
    root *r = p->root;
    ct_generator g = ct_generator_stream(ct_generator_from_seed(p->seed), p->name);
    ct_scope s = cti_scope_push();
    ct_tensor *t = cti_new("ct_param_materialize", p->shape, r->options.dtype, r->options.device);
    ct_tensor *kept = NULL;

    if (t && p->init.fill(&p->init, t, &g) == CT_OK)
        kept = cti_keep("ct_param_materialize", t, cti_owner_params);
    cti_scope_pop(s);
    if (kept && !p->buffer && !ct_set_requires_grad(kept, !p->frozen)) {
        cti_free("ct_param_materialize", kept);
        kept = NULL;
    }
    p->value = kept;
    return kept ? CT_OK : ct_error();
}

static bool agrees(const ct_shape *known, const ct_shape *given)
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

    if (!p)
        return ct_ok() ? ct_raise(CT_ERR_ARGUMENT, "ct_param_materialize", "p is NULL")
                       : ct_error();
    p = real(p);
    pthread_mutex_lock(&p->root->lock);
    known = p->shape;
    if (!agrees(&known, &shape)) {
        status = ct_raise(CT_ERR_SHAPE, "ct_param_materialize", "%s has the shape %s, not %s",
                          p->name, cti_shape_text(&known).s, cti_shape_text(&shape).s);
    } else if (!p->value) {
        p->shape = shape;
        status = make_value(p);
        if (status != CT_OK)
            p->shape = known;
    }
    pthread_mutex_unlock(&p->root->lock);
    return status;
}

void ct_param_set_init(ct_param *p, ct_init init)
{
    if (p && init.fill && !real(p)->value && !real(p)->init_chosen)
        real(p)->own = real(p)->init = init;
}

ct_tensor *ct_param_value(ct_param *p)
{
    if (!cti_given("ct_param_value", "p", p))
        return NULL;
    if (!real(p)->value)
        ct_raise(CT_ERR_SHAPE, "ct_param_value", "%s is not settled: its shape is %s", p->name,
                 cti_shape_text(&real(p)->shape).s);
    return real(p)->value;
}

/* ---- tying ---- */

/* What both shapes know, into a's; false if they do not agree. */
static bool merge_shapes(ct_shape *a, const ct_shape *b)
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

/* A value that second leaves is kept until the set is freed: someone may hold its handle. */
static ct_status tie(root *r, ct_param *first, ct_param *second)
{
    ct_shape both = first->shape;
    int i;

    if (first == second)
        return CT_OK;
    if (!merge_shapes(&both, &second->shape))
        return ct_raise(CT_ERR_SHAPE, "ct_params_tie", "%s has the shape %s, %s has %s",
                        first->name, cti_shape_text(&first->shape).s, second->name,
                        cti_shape_text(&second->shape).s);
    first->shape = both;
    first->frozen |= second->frozen;
    if (!first->value) { /* a module may count on its own being there */
        first->value = second->value;
        second->value = NULL;
    }
    if (first->value && first->frozen)
        ct_set_requires_grad(first->value, false);
    if (second->value)
        ct_tensor_zero_grad(second->value);
    second->tied = first;
    for (i = 0; i < r->count; i++)
        if (r->entry[i]->tied == second)
            r->entry[i]->tied = first;
    return CT_OK;
}

ct_status ct_params_tie(ct_params *set, const char *first, const char *second)
{
    ct_param *a = ct_params_get(set, first), *b = ct_params_get(set, second);
    ct_status status;

    if (!set)
        return ct_ok() ? ct_raise(CT_ERR_ARGUMENT, "ct_params_tie", "set is NULL") : ct_error();
    if (!a || !b || a->buffer || b->buffer) {
        const char *name = !a || a->buffer ? first : second;

        return ct_raise(CT_ERR_ARGUMENT, "ct_params_tie", "%s%s is no parameter", set->prefix,
                        name ? name : "(null)");
    }
    pthread_mutex_lock(&set->root->lock);
    status = tie(set->root, real(a), real(b));
    pthread_mutex_unlock(&set->root->lock);
    return status;
}

/* ---- loading ---- */

const char *cti_params_prefix(const ct_params *set)
{
    return set->prefix;
}

const ct_param *cti_param_real(const ct_param *p)
{
    return real(p);
}

bool cti_param_fits(const ct_param *p, const ct_shape *shape)
{
    return agrees(&real(p)->shape, shape);
}

ct_tensor *cti_param_leaf(const ct_param *p, ct_tensor *t)
{
    ct_tensor *leaf = cti_keep("ct_params_load", t, cti_owner_params);

    p = real(p);
    if (leaf && !p->buffer && !ct_set_requires_grad(leaf, !p->frozen)) {
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
    p = real(p);
    if (p->value) {
        cti_copy(p->value, value);
        cti_written(p->value);
        return;
    }
    p->shape = value->shape;
    p->value = *leaf;
    *leaf = NULL;
}

static bool is_whole(const ct_shape *shape)
{
    int i;

    for (i = 0; i < shape->rank; i++)
        if (shape->dim[i] == -1)
            return false;
    return true;
}

static bool check_shape(const char *function, const char *name, const ct_shape *shape)
{
    int i;

    for (i = 0; shape->rank >= 0 && shape->rank <= CT_MAX_RANK && i < shape->rank; i++)
        if (shape->dim[i] < -1)
            break;
    if (i == shape->rank)
        return true;
    ct_raise(CT_ERR_SHAPE, function, "%s cannot have the shape %s", name, cti_shape_text(shape).s);
    return false;
}

static ct_param *entry_new(const char *function, ct_params *set, const char *name, ct_shape shape,
                           ct_init init, bool buffer)
{
    root *r = set->root;
    size_t room = r->room;
    ct_param *p;

    if (ct_params_get(set, name)) {
        ct_raise(CT_ERR_ARGUMENT, function, "the name %s%s is taken", set->prefix, name);
        return NULL;
    }
    if (!init.fill) {
        ct_raise(CT_ERR_ARGUMENT, function, "%s has no init", name ? name : "(null)");
        return NULL;
    }
    if (!check_shape(function, name, &shape) ||
        !cti_grow(function, (void **)&r->entry, &room, (size_t)r->count, sizeof *r->entry))
        return NULL;
    r->room = room;
    p = cti_calloc(1, sizeof *p);
    if (!p) {
        cti_out_of_memory(function, sizeof *p);
        return NULL;
    }
    p->name = full_name(function, set, name, "");
    p->root = r;
    p->shape = shape;
    p->own = p->init = init;
    p->seed = r->options.seed;
    p->buffer = buffer;
    if (!p->name || (is_whole(&shape) && make_value(p) != CT_OK)) {
        cti_release(p->name);
        cti_release(p);
        return NULL;
    }
    r->entry[r->count++] = p;
    return p;
}

ct_param *ct_params_add(ct_params *set, const char *name, ct_shape shape, ct_init init)
{
    return set ? entry_new("ct_params_add", set, name, shape, init, false) : NULL;
}

ct_param *ct_params_add_buffer(ct_params *set, const char *name, ct_shape shape, ct_init init)
{
    return set ? entry_new("ct_params_add_buffer", set, name, shape, init, true) : NULL;
}

/* ---- the whole set ---- */

/* Fills the value of a settled entry anew. */
static ct_status refill(ct_param *p)
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
        set->root->generator = training_generator(seed);
    }
    for (i = 0; i < set->root->count; i++) {
        ct_param *p = set->root->entry[i];
        const bool by_init = init.fill && !p->buffer && p->shape.rank >= init.min_rank;

        if (!is_under(set, p))
            continue;
        p->seed = seed;
        p->init = by_init ? init : p->own;
        p->init_chosen = by_init;
        if (p->value && refill(p) != CT_OK)
            break;
    }
    return ct_error();
}

/* ---- to a device ---- */

/* A copy on the device, of the innermost scope; NULL for NULL, and with an error. */
static ct_tensor *moved(const ct_tensor *t, ct_device device)
{
    ct_tensor *y = t ? cti_new("ct_params_to", t->shape, t->dtype, device) : NULL;

    return y && cti_copy_across("ct_params_to", y, t) ? y : NULL;
}

/* t gets y's memory, and y t's: the handle stays. What was saved of t for backward is out of date. */
static void trade(ct_tensor *t, ct_tensor *y)
{
    ct_storage *mine = t->storage;
    unsigned version = atomic_load(&mine->version) + 1;

    t->storage = y->storage;
    y->storage = mine;
    y->device = t->device;
    y->offset = t->offset;
    t->offset = 0;
    memcpy(t->stride, y->stride, sizeof t->stride);
    t->contiguous = 1;
    t->device = t->storage->device;
    atomic_store(&t->storage->version, version);
}

/* All copies before the first trade: it is all or nothing. */
static void move_all(root *r, ct_device device, ct_tensor **copy)
{
    int i;

    for (i = 0; i < r->count && ct_ok(); i++) {
        copy[2 * i] = moved(r->entry[i]->value, device);
        copy[2 * i + 1] = moved(cti_leaf_grad(r->entry[i]->value), device);
    }
    for (i = 0; i < r->count && ct_ok(); i++) {
        if (copy[2 * i])
            trade(r->entry[i]->value, copy[2 * i]);
        if (copy[2 * i + 1])
            trade(cti_leaf_grad(r->entry[i]->value), copy[2 * i + 1]);
    }
    if (ct_ok())
        r->options.device = device;
}

ct_status ct_params_to(ct_params *set, ct_device device)
{
    static const char *const me = "ct_params_to";
    ct_tensor **copy;
    size_t copies;
    ct_scope s;

    if (!cti_sink_allowed())
        return ct_error();
    if (!set || set->prefix[0])
        return ct_raise(CT_ERR_ARGUMENT, me, "%s",
                        set ? "a set moves as a whole, not in parts" : "set is NULL");
    if (!cti_backend_of(device))
        return ct_raise(CT_ERR_DEVICE, me, "there is no device %d", device);
    if (device == set->root->options.device)
        return CT_OK;
    copies = (size_t)set->root->count * 2 + 1;
    copy = cti_calloc(copies, sizeof *copy);
    if (!copy) {
        cti_out_of_memory(me, copies * sizeof *copy);
        return ct_error();
    }
    pthread_mutex_lock(&set->root->lock);
    s = cti_scope_push();
    move_all(set->root, device, copy);
    cti_scope_pop(s);
    pthread_mutex_unlock(&set->root->lock);
    cti_release(copy);
    return ct_error();
}

void ct_params_train(ct_params *set, bool training)
{
    if (set)
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

int ct_params_freeze(ct_params *set, const char *pattern, bool frozen)
{
    int i, n = 0;

    for (i = 0; set && i < set->root->count; i++) {
        ct_param *p = set->root->entry[i];

        if (!pattern || !is_under(set, p) ||
            fnmatch(pattern, p->name + strlen(set->prefix), 0) != 0)
            continue;
        n++;
        p = real(p);
        p->frozen = frozen;
        if (p->value && !p->buffer) {
            ct_set_requires_grad(p->value, !frozen);
            ct_tensor_zero_grad(p->value);
        }
    }
    return n;
}

void ct_params_zero_grad(ct_params *set)
{
    int i;

    for (i = 0; set && i < set->root->count; i++)
        if (is_under(set, set->root->entry[i]) && real(set->root->entry[i])->value)
            ct_tensor_zero_grad(real(set->root->entry[i])->value);
}

void ct_params_print(const ct_params *set, FILE *out)
{
    int i, width = (int)strlen("total");

    for (i = 0; i < ct_params_count(set); i++) {
        int n = (int)strlen(ct_params_at(set, i)->name);

        width = n > width ? n : width;
    }
    for (i = 0; i < ct_params_count(set); i++) {
        const ct_param *p = ct_params_at(set, i);
        const ct_tensor *value = !ct_param_is_lazy(p) ? real(p)->value : NULL;
        ct_shape shape = ct_param_shape(p);

        fprintf(out, "%-*s  %-14s %10lld%s\n", width, p->name, cti_shape_text(&shape).s,
                (long long)ct_numel(value),
                !value      ? "  (settled at the first forward)"
                : p->buffer ? "  (buffer)"
                : p->tied   ? "  (tied)"
                : p->frozen ? "  (frozen)"
                            : "");
    }
    fprintf(out, "%-*s  %-14s %10lld\n", width, "total", "", (long long)ct_params_numel(set));
}
