/* state_dict.c - parameters to and from safetensors. A load matches names, raises what does not
 * fit, reads everything into tensors of its own, and only then changes the set: that cannot fail. */
#include "autograd/internal.h"

#include "tensor/hooks.h"
#include "tensor/read_file.h"

#include <cotangent/autograd/params/state_dict.h>
#include <cotangent/tensor/safetensors.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- saving ---- */

/* p's name in the terms of set: without its prefix. */
static const char *name_in(const ct_params *set, const ct_param *p)
{
    return ct_param_name(p) + strlen(cti_params_prefix(set));
}

ct_status ct_params_save(ct_params *set, const char *path)
{
    static const char *const me = "ct_params_save";
    int count = ct_params_count(set), i;
    size_t room = (size_t)count + 1;
    const char **names;
    ct_tensor **tensors;
    ct_status status;

    if (!cti_sink_allowed())
        return ct_error();
    if (!set || !path)
        return ct_raise(CT_ERR_ARGUMENT, me, "%s is NULL", set ? "path" : "set");
    names = cti_calloc(room, sizeof *names + sizeof *tensors);
    if (!names) {
        cti_out_of_memory(me, room * (sizeof *names + sizeof *tensors));
        return ct_error();
    }
    tensors = (ct_tensor **)(void *)(names + room);
    for (i = 0; i < count; i++) {
        ct_param *p = ct_params_at(set, i);

        names[i] = name_in(set, p);
        tensors[i] = ct_param_value(p); /* raises if it is not settled */
    }
    status = ct_ok() ? ct_safetensors_write(path, count, names, tensors, NULL) : ct_error();
    cti_release(names);
    return status;
}

/* ---- the report ---- */

struct ct_load_report {
    ct_load_item *item; /* the names are copies */
    int count;
    size_t room;
};

ct_load_report *ct_load_report_new(void)
{
    ct_load_report *r = cti_calloc(1, sizeof *r);

    if (!r)
        cti_out_of_memory("ct_load_report_new", sizeof *r);
    return r;
}

static void report_clear(ct_load_report *r)
{
    while (r->count)
        cti_release((char *)r->item[--r->count].name);
}

void ct_load_report_free(ct_load_report *r)
{
    if (!r)
        return;
    report_clear(r);
    cti_release(r->item);
    cti_release(r);
}

int ct_load_report_count(const ct_load_report *r)
{
    return r ? r->count : 0;
}

const ct_load_item *ct_load_report_at(const ct_load_report *r, int i)
{
    return r && i >= 0 && i < r->count ? &r->item[i] : NULL;
}

/* Adds item with a copy of its name; false with CT_ERR_MEMORY. */
static bool report_add(ct_load_report *r, const ct_load_item *item)
{
    size_t room = r->room;
    char *name = cti_strdup(item->name);

    if (!name)
        cti_out_of_memory("ct_params_load", strlen(item->name) + 1);
    if (!name ||
        !cti_grow("ct_params_load", (void **)&r->item, &room, (size_t)r->count, sizeof *r->item)) {
        cti_release(name);
        return false;
    }
    r->room = room;
    r->item[r->count] = *item;
    r->item[r->count++].name = name;
    return true;
}

/* ---- loading ---- */

static const char *const loading = "ct_params_load";

/* What goes into parameter i of the set. */
typedef struct slot {
    ct_param *param;
    int from;         /* the file's tensor, or -1 */
    ct_tensor *value; /* read from the file; the load's scope's */
    ct_tensor *leaf;  /* owned, to become the value of a parameter without one; or NULL */
} slot;

typedef struct loader {
    ct_params *set;
    const char *path;
    ct_load_options options;
    ct_safetensors *file;
    ct_load_report *found;
    slot *slot;
    int count;
    char *name; /* room for any name of the file, renamed */
} loader;

/* The set's name of the file's tensor i: a pair of .rename applied. */
static const char *renamed(loader *l, int i)
{
    const char *name = ct_safetensors_name(l->file, i);
    const ct_prefix *p;

    for (p = l->options.rename; p && p->from && p->to; p++)
        if (strncmp(name, p->from, strlen(p->from)) == 0)
            return strcat(strcpy(l->name, p->to), name + strlen(p->from));
    return name;
}

/* The longest name of the file and the longest .to, one after the other, fit in l->name. */
static bool make_name_room(loader *l)
{
    size_t longest = 0, to = 0, n;
    const ct_prefix *p;
    int i;

    for (i = 0; i < ct_safetensors_count(l->file); i++) {
        n = strlen(ct_safetensors_name(l->file, i));
        longest = n > longest ? n : longest;
    }
    for (p = l->options.rename; p && p->from && p->to; p++) {
        n = strlen(p->to);
        to = n > to ? n : to;
    }
    l->name = cti_calloc(longest + to + 1, 1);
    if (!l->name)
        cti_out_of_memory(loading, longest + to + 1);
    return l->name;
}

static const char *file_dtype(ct_dtype dtype)
{
    return dtype == CT_F64 ? "F64" : "F32"; /* parameters are no others */
}

/* Notes that s and the file's tensor do not fit, if so; false with an error of memory. */
static bool compare(loader *l, const slot *s)
{
    const ct_param *p = s->param;
    const char *dtype = ct_safetensors_dtype(l->file, s->from);
    ct_load_item item = { .name = name_in(l->set, p),
                          .in_set = ct_param_shape(p),
                          .in_file = ct_safetensors_shape(l->file, s->from),
                          .file_dtype = dtype };

    if (!cti_param_fits(p, &item.in_file)) {
        item.problem = CT_LOAD_PROBLEM_SHAPE;
        return report_add(l->found, &item);
    }
    if (strcmp(dtype, file_dtype(ct_params_dtype(l->set))) != 0) {
        item.problem = CT_LOAD_PROBLEM_DTYPE;
        return report_add(l->found, &item);
    }
    return true;
}

static slot *slot_of(loader *l, const ct_param *p)
{
    int i;

    for (i = 0; i < l->count && l->slot[i].param != p; i++)
        ;
    return i < l->count ? &l->slot[i] : NULL;
}

/* Finds for each tensor of the file the parameter that it is for. */
static bool match_file(loader *l)
{
    int i;

    for (i = 0; i < ct_safetensors_count(l->file); i++) {
        const char *name = renamed(l, i);
        slot *s = slot_of(l, ct_params_get(l->set, name));

        if (!s) {
            ct_load_item item = { .problem = CT_LOAD_PROBLEM_UNEXPECTED,
                                  .name = name,
                                  .in_file = ct_safetensors_shape(l->file, i),
                                  .file_dtype = ct_safetensors_dtype(l->file, i) };

            if (!report_add(l->found, &item))
                return false;
        } else if (s->from >= 0) {
            ct_raise(CT_ERR_FORMAT, loading, "%.400s: %s and %s both become %s", l->path,
                     cti_quote(ct_safetensors_name(l->file, s->from)).s,
                     cti_quote(ct_safetensors_name(l->file, i)).s, cti_quote(name).s);
            return false;
        } else {
            s->from = i;
            if (!compare(l, s))
                return false;
        }
    }
    return true;
}

/* True if the file has s's value under a name tied to it. */
static bool has_tied(const loader *l, const slot *s)
{
    int i;

    for (i = 0; i < l->count; i++)
        if (l->slot[i].from >= 0 && cti_param_real(l->slot[i].param) == cti_param_real(s->param))
            return true;
    return false;
}

static bool match(loader *l)
{
    int i;

    if (!match_file(l))
        return false;
    for (i = 0; i < l->count; i++) {
        const slot *s = &l->slot[i];
        ct_load_item item = { .problem = CT_LOAD_PROBLEM_MISSING,
                              .name = name_in(l->set, s->param),
                              .in_set = ct_param_shape(s->param) };

        if (s->from < 0 && !has_tied(l, s) && !report_add(l->found, &item))
            return false;
    }
    return true;
}

/* ---- the message ---- */

/* Text that grows within its room; what does not fit is left out. */
typedef struct text {
    char s[800];
    size_t n;
} text;

static void add_text(text *t, const char *format, ...) CT_PRINTF(2, 3);
static void add_text(text *t, const char *format, ...)
{
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(t->s + t->n, sizeof t->s - t->n, format, args);
    va_end(args);
    if (n > 0)
        t->n += (size_t)n < sizeof t->s - t->n ? (size_t)n : sizeof t->s - t->n - 1;
}

static void add_item(text *t, const ct_load_item *item, ct_dtype dtype)
{
    add_text(t, "%s", cti_quote(item->name).s);
    if (item->problem == CT_LOAD_PROBLEM_SHAPE)
        add_text(t, " %s in the file, %s here", cti_shape_text(&item->in_file).s,
                 cti_shape_text(&item->in_set).s);
    else if (item->problem == CT_LOAD_PROBLEM_DTYPE)
        add_text(t, " %s in the file, %s here", item->file_dtype, file_dtype(dtype));
    else if (item->problem == CT_LOAD_PROBLEM_MISSING)
        add_text(t, " %s", cti_shape_text(&item->in_set).s);
    else
        add_text(t, " %s", cti_shape_text(&item->in_file).s);
}

/* The first items of one problem: "; 9 missing: "a" [2], "b" [3] and 7 more". Returns how many. */
static int add_list(text *t, const loader *l, ct_load_problem problem)
{
    static const char *const what[] = { "missing", "unexpected", "of another shape",
                                        "of another dtype" };
    int i, n = 0, shown = 0;

    for (i = 0; i < l->found->count; i++)
        n += l->found->item[i].problem == problem;
    if (!n)
        return 0;
    add_text(t, "%s%d %s: ", t->n ? "; " : "", n, what[problem]);
    for (i = 0; i < l->found->count && shown < 3; i++) {
        if (l->found->item[i].problem != problem)
            continue;
        add_text(t, "%s", shown++ ? ", " : "");
        add_item(t, &l->found->item[i], ct_params_dtype(l->set));
    }
    if (n > shown)
        add_text(t, " and %d more", n - shown);
    return n;
}

/* Raises what does not fit; false if something does not. */
static bool judge(const loader *l)
{
    text t = { .n = 0 };
    int shapes = add_list(&t, l, CT_LOAD_PROBLEM_SHAPE),
        dtypes = add_list(&t, l, CT_LOAD_PROBLEM_DTYPE), names = 0;

    if (!l->options.non_strict)
        names =
            add_list(&t, l, CT_LOAD_PROBLEM_MISSING) + add_list(&t, l, CT_LOAD_PROBLEM_UNEXPECTED);
    if (!shapes && !dtypes && !names)
        return true;
    ct_raise(shapes   ? CT_ERR_SHAPE
             : dtypes ? CT_ERR_DTYPE
                      : CT_ERR_FORMAT,
             loading, "%.200s does not fit: %s", l->path, t.s);
    return false;
}

/* ---- reading, and the change ---- */

/* Reads s's value; an owned leaf too, if the parameter has no value yet. */
static bool stage(loader *l, slot *s)
{
    if (s->from < 0)
        return true;
    s->value = ct_safetensors_load(l->file, s->from, ct_params_device(l->set));
    if (!s->value)
        return false;
    if (ct_param_is_lazy(s->param))
        s->leaf = cti_param_leaf(s->param, s->value);
    return s->leaf || !ct_param_is_lazy(s->param);
}

typedef struct bytes {
    void *p;
    size_t n;
} bytes;

static bool same_bytes(void *context, const void *p, size_t n)
{
    const bytes *other = context;

    return other->n == n && memcmp(other->p, p, n) == 0;
}

/* a and b, of the same shape and dtype, hold the same bytes; false with an error for want of
 * memory. */
static bool same_values(ct_tensor *a, ct_tensor *b)
{
    bytes of_a = { NULL, (size_t)a->numel * ct_dtype_size(a->dtype) };
    bool same;

    of_a.p = cti_calloc(1, of_a.n + 1);
    if (!of_a.p) {
        cti_out_of_memory(loading, of_a.n + 1);
        return false;
    }
    same = ct_to_host(a, of_a.p, of_a.n) == CT_OK && cti_each_bytes(b, same_bytes, &of_a);
    cti_release(of_a.p);
    return same;
}

/* Tied names must agree; the first is used. (An error that stands already stays.) */
static bool check_tied(loader *l)
{
    int i, j;

    for (i = 0; i < l->count; i++)
        for (j = 0; l->slot[i].value && j < i; j++) {
            slot *a = &l->slot[j], *b = &l->slot[i];

            if (!a->value || cti_param_real(a->param) != cti_param_real(b->param))
                continue;
            if (!cti_same_shape(&a->value->shape, &b->value->shape) ||
                !same_values(a->value, b->value)) {
                ct_raise(CT_ERR_FORMAT, loading, "%.400s: %s and %s are tied, and differ", l->path,
                         cti_quote(name_in(l->set, a->param)).s,
                         cti_quote(name_in(l->set, b->param)).s);
                return false;
            }
            b->value = NULL;
            break;
        }
    return true;
}

/* Moves what was read into the set. */
static bool commit(loader *l)
{
    bool ok;
    int i;

    cti_params_lock(l->set);
    for (i = 0, ok = true; i < l->count && ok; i++) { /* another thread may have settled one */
        slot *s = &l->slot[i];

        ok = !s->value || cti_param_fits(s->param, &s->value->shape);
        if (!ok)
            ct_raise(CT_ERR_SHAPE, loading, "%.400s: %s was settled meanwhile, with another shape",
                     l->path, cti_quote(name_in(l->set, s->param)).s);
    }
    for (i = 0; i < l->count && ok; i++)
        if (l->slot[i].value)
            cti_param_put(l->slot[i].param, l->slot[i].value, &l->slot[i].leaf);
    cti_params_unlock(l->set);
    return ok;
}

static bool run(loader *l)
{
    ct_scope s = cti_scope_push();
    bool ok = s.id;
    int i;

    for (i = 0; i < l->count && ok; i++)
        ok = stage(l, &l->slot[i]);
    ok = ok && check_tied(l) && commit(l);
    for (i = 0; i < l->count; i++)
        cti_free("ct_params_load", l->slot[i].leaf);
    cti_scope_pop(s);
    return ok;
}

static bool make_slots(loader *l)
{
    size_t room;
    int i;

    l->count = ct_params_count(l->set);
    room = (size_t)l->count + 1;
    l->slot = cti_calloc(room, sizeof *l->slot);
    if (!l->slot) {
        cti_out_of_memory(loading, room * sizeof *l->slot);
        return false;
    }
    for (i = 0; i < l->count; i++)
        l->slot[i] = (slot){ .param = ct_params_at(l->set, i), .from = -1 };
    return true;
}

ct_status ct_params_load(ct_params *set, const char *path, ct_load_options options)
{
    ct_load_report own = { NULL, 0, 0 };
    loader l = { .set = set,
                 .path = path,
                 .options = options,
                 .found = options.report ? options.report : &own };
    bool ok;

    report_clear(l.found);
    if (!cti_sink_allowed())
        return ct_error();
    if (!set || !path)
        return ct_raise(CT_ERR_ARGUMENT, loading, "%s is NULL", set ? "path" : "set");
    l.file = ct_safetensors_open(path);
    ok = l.file && make_slots(&l) && make_name_room(&l) && match(&l) && judge(&l) && run(&l);
    ct_safetensors_close(l.file);
    cti_release(l.name);
    cti_release(l.slot);
    if (!options.report) {
        report_clear(&own);
        cti_release(own.item);
    }
    return ok ? CT_OK : ct_error();
}
