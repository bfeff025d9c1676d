/* SPDX-License-Identifier: MIT */
/* state_dict.c - parameters to and from safetensors.
 *
 * A load has four stages, and only the last changes the set:
 *     match   finds the parameter for each tensor of the file, and lists the mismatches
 *     judge   raises an error if a mismatch on that list is not allowed
 *     read    reads every tensor into new memory; tied names must agree
 *     commit  copies or moves the values into the set, which cannot fail half way */
#include "autograd/internal.h"

#include "tensor/hooks.h"
#include "tensor/named_tensors.h"
#include "tensor/read_file.h"
#include "tensor/text.h"

#include <cotangent/autograd/params/state_dict.h>
#include <cotangent/tensor/safetensors.h>

#include <stdio.h>
#include <string.h>

/* ---- saving ---- */

/* The name of p inside set: without set's prefix. */
static const char *state_dict_name(const ct_params *set, const ct_param *p)
{
    return ct_param_name(p) + strlen(cti_params_prefix(set));
}

/* Lists all entries of set; an error is raised if one is lazy. */
static void state_dict_list(ct_params *set, cti_named_tensors *list)
{
    int i;

    for (i = 0; i < ct_params_count(set); i++) {
        ct_param *p = ct_params_at(set, i);

        cti_named_tensors_add(list, "", state_dict_name(set, p),
                              cti_param_own(p)); /* raises if lazy */
    }
}

ct_status ct_params_save(ct_params *set, const char *path)
{
    cti_named_tensors list = { .function = "ct_params_save" };
    ct_status status;

    if (!cti_sink_allowed())
        return ct_error();
    if (!set || !path)
        return ct_raise(CT_ERR_ARGUMENT, list.function, "%s is NULL", set ? "path" : "set");
    state_dict_list(set, &list);
    status = cti_named_tensors_write(&list, path, NULL);
    cti_named_tensors_free(&list);
    return status;
}

ct_status ct_params_save_to(ct_params *set, ct_writer writer)
{
    cti_named_tensors list = { .function = "ct_params_save_to" };
    ct_status status;

    if (!cti_sink_allowed() || !cti_given(list.function, "set", set) ||
        !cti_given(list.function, "write of the writer", (const void *)writer.write))
        return ct_error();
    state_dict_list(set, &list);
    status = cti_named_tensors_write_to(&list, writer, NULL);
    cti_named_tensors_free(&list);
    return status;
}

/* ---- the report ---- */

void ct_load_report_clear(ct_load_report *r)
{
    while (r && r->count)
        cti_release((char *)r->items[--r->count].name);
    if (r) {
        cti_release(r->items);
        *r = (ct_load_report){ NULL, 0, 0 };
    }
}

/* Adds item to the report, with a copy of its name; false with CT_ERR_MEMORY. */
static bool state_dict_report(ct_load_report *r, const ct_load_item *item)
{
    size_t room = r->room;
    char *name = cti_strdup(item->name);

    if (!name)
        cti_out_of_memory("ct_params_load", strlen(item->name) + 1);
    if (!name || !cti_grow("ct_params_load", (void **)&r->items, &room, (size_t)r->count,
                           sizeof *r->items)) {
        cti_release(name);
        return false;
    }
    r->room = room;
    r->items[r->count] = *item;
    r->items[r->count++].name = name;
    return true;
}

/* ---- names ---- */

char *cti_rename_prefix(const char *function, const ct_prefix *map, const char *name)
{
    const char *prefix = "";
    size_t bytes;
    char *s;

    for (; map && map->from && map->to; map++)
        if (strncmp(name, map->from, strlen(map->from)) == 0) {
            prefix = map->to;
            name += strlen(map->from);
            break;
        }
    bytes = strlen(prefix) + strlen(name) + 1;
    s = cti_calloc(1, bytes);
    if (!s) {
        cti_out_of_memory(function, bytes);
        return NULL;
    }
    return strcat(strcpy(s, prefix), name);
}

/* ---- loading ---- */

static const char *const state_dict_loading = "ct_params_load";

/* The data that is loaded into one parameter of the set. */
typedef struct state_dict_slot {
    ct_param *param;
    int from; /* the file's tensor, or -1 */
    /* the tensor that was read; it belongs to the inner scope of state_dict_read */
    ct_tensor *value;
    ct_tensor *leaf; /* owned; the new value of a lazy parameter; otherwise NULL */
} state_dict_slot;

typedef struct state_dict_load {
    ct_params *set;
    const char *path;
    ct_load_options options;
    ct_safetensors *file;
    ct_load_report *found;
    state_dict_slot *slot;
    int count;
} state_dict_load;

/* Reports s if its tensor in the file has another shape or dtype. False if memory runs out. */
static bool state_dict_compare(state_dict_load *l, const state_dict_slot *s)
{
    const ct_param *p = s->param;
    const char *dtype = ct_safetensors_dtype(l->file, s->from);
    ct_load_item item = { .name = state_dict_name(l->set, p),
                          .in_set = ct_param_shape(p),
                          .in_file = ct_safetensors_shape(l->file, s->from),
                          .file_dtype = dtype };

    if (!cti_param_fits(p, &item.in_file)) {
        item.problem = CT_LOAD_PROBLEM_SHAPE;
        return state_dict_report(l->found, &item);
    }
    if (strcmp(dtype, cti_dtype_file_name(cti_param_dtype(p))) != 0) {
        item.problem = CT_LOAD_PROBLEM_DTYPE;
        return state_dict_report(l->found, &item);
    }
    return true;
}

static state_dict_slot *state_dict_find_slot(state_dict_load *l, const ct_param *p)
{
    int i;

    for (i = 0; i < l->count && l->slot[i].param != p; i++)
        ;
    return i < l->count ? &l->slot[i] : NULL;
}

/* Finds the parameter for the file's tensor i. name is its name in the set. */
static bool state_dict_match_tensor(state_dict_load *l, int i, const char *name)
{
    state_dict_slot *s = state_dict_find_slot(l, ct_params_get(l->set, name));

    if (!s) {
        ct_load_item item = { .problem = CT_LOAD_PROBLEM_UNEXPECTED,
                              .name = name,
                              .in_file = ct_safetensors_shape(l->file, i),
                              .file_dtype = ct_safetensors_dtype(l->file, i) };

        return state_dict_report(l->found, &item);
    }
    if (s->from >= 0) {
        ct_raise(CT_ERR_FORMAT, state_dict_loading, "%.400s: %s and %s both become %s", l->path,
                 cti_quote(ct_safetensors_name(l->file, s->from)).s,
                 cti_quote(ct_safetensors_name(l->file, i)).s, cti_quote(name).s);
        return false;
    }
    s->from = i;
    return state_dict_compare(l, s);
}

static bool state_dict_match_file(state_dict_load *l)
{
    int i;

    for (i = 0; i < ct_safetensors_count(l->file); i++) {
        char *name = cti_rename_prefix(state_dict_loading, l->options.rename,
                                       ct_safetensors_name(l->file, i));
        bool ok = name && state_dict_match_tensor(l, i, name);

        cti_release(name);
        if (!ok)
            return false;
    }
    return true;
}

/* True if the file has a tensor under another name of s's value. */
static bool state_dict_has_tied(const state_dict_load *l, const state_dict_slot *s)
{
    int i;

    for (i = 0; i < l->count; i++)
        if (l->slot[i].from >= 0 && cti_param_real(l->slot[i].param) == cti_param_real(s->param))
            return true;
    return false;
}

static bool state_dict_match(state_dict_load *l)
{
    int i;

    if (!state_dict_match_file(l))
        return false;
    for (i = 0; i < l->count; i++) {
        const state_dict_slot *s = &l->slot[i];
        ct_load_item item = { .problem = CT_LOAD_PROBLEM_MISSING,
                              .name = state_dict_name(l->set, s->param),
                              .in_set = ct_param_shape(s->param) };

        if (s->from < 0 && !state_dict_has_tied(l, s) && !state_dict_report(l->found, &item))
            return false;
    }
    return true;
}

/* ---- the message ---- */

static void state_dict_add_item(cti_line *t, const state_dict_load *l, const ct_load_item *item)
{
    cti_line_add(t, "%s", cti_quote(item->name).s);
    if (item->problem == CT_LOAD_PROBLEM_SHAPE)
        cti_line_add(t, " %s in the file, %s here", cti_shape_text(&item->in_file).s,
                     cti_shape_text(&item->in_set).s);
    else if (item->problem == CT_LOAD_PROBLEM_DTYPE)
        cti_line_add(t, " %s in the file, %s here", item->file_dtype,
                     cti_dtype_file_name(cti_param_dtype(ct_params_get(l->set, item->name))));
    else if (item->problem == CT_LOAD_PROBLEM_MISSING)
        cti_line_add(t, " %s", cti_shape_text(&item->in_set).s);
    else
        cti_line_add(t, " %s", cti_shape_text(&item->in_file).s);
}

/* Writes the first items of one problem: "; 9 missing: "a" [2], "b" [3] and 7 more". Returns their
 * number. */
static int state_dict_add_list(cti_line *t, const state_dict_load *l, ct_load_problem problem)
{
    static const char *const what[] = { "missing", "unexpected", "of another shape",
                                        "of another dtype" };
    int i, n = 0, shown = 0;

    for (i = 0; i < l->found->count; i++)
        n += l->found->items[i].problem == problem;
    if (!n)
        return 0;
    cti_line_add(t, "%s%d %s: ", t->n ? "; " : "", n, what[problem]);
    for (i = 0; i < l->found->count && shown < 3; i++) {
        if (l->found->items[i].problem != problem)
            continue;
        cti_line_add(t, "%s", shown++ ? ", " : "");
        state_dict_add_item(t, l, &l->found->items[i]);
    }
    if (n > shown)
        cti_line_add(t, " and %d more", n - shown);
    return n;
}

/* If the report has mismatches that are not allowed, raises an error that lists them, and returns
 * false. */
static bool state_dict_judge(const state_dict_load *l)
{
    cti_line t = { .n = 0 };
    int shapes = state_dict_add_list(&t, l, CT_LOAD_PROBLEM_SHAPE),
        dtypes = state_dict_add_list(&t, l, CT_LOAD_PROBLEM_DTYPE), names = 0;

    if (!l->options.non_strict)
        names = state_dict_add_list(&t, l, CT_LOAD_PROBLEM_MISSING) +
                state_dict_add_list(&t, l, CT_LOAD_PROBLEM_UNEXPECTED);
    if (!shapes && !dtypes && !names)
        return true;
    ct_raise(shapes   ? CT_ERR_SHAPE
             : dtypes ? CT_ERR_DTYPE
                      : CT_ERR_FORMAT,
             state_dict_loading, "%.200s does not match the set: %s", l->path, t.s);
    return false;
}

/* ---- read and commit ---- */

/* Reads the value for s. For a lazy parameter, makes the leaf now, because commit must not fail. */
static bool state_dict_stage(state_dict_load *l, state_dict_slot *s)
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

typedef struct state_dict_bytes {
    void *p;
    size_t n;
} state_dict_bytes;

static bool state_dict_same_bytes(void *context, const void *p, size_t n)
{
    const state_dict_bytes *other = context;

    return other->n == n && memcmp(other->p, p, n) == 0;
}

/* True if a and b, of the same shape and dtype, hold the same bytes. False, with an error, if
 * memory runs out. */
static bool state_dict_same_values(ct_tensor *a, ct_tensor *b)
{
    state_dict_bytes of_a = { NULL, (size_t)a->numel * ct_dtype_size(a->dtype) };
    bool same;

    of_a.p = cti_calloc(1, of_a.n + 1);
    if (!of_a.p) {
        cti_out_of_memory(state_dict_loading, of_a.n + 1);
        return false;
    }
    same =
        ct_to_host(a, of_a.p, of_a.n) == CT_OK && cti_each_bytes(b, state_dict_same_bytes, &of_a);
    cti_release(of_a.p);
    return same;
}

/* Raises an error unless the tensors of tied names are equal. Only the first is committed. */
static bool state_dict_check_tied(state_dict_load *l)
{
    int i, j;

    for (i = 0; i < l->count; i++)
        for (j = 0; l->slot[i].value && j < i; j++) {
            state_dict_slot *a = &l->slot[j], *b = &l->slot[i];

            if (!a->value || cti_param_real(a->param) != cti_param_real(b->param))
                continue;
            if (!cti_same_shape(&a->value->shape, &b->value->shape) ||
                !state_dict_same_values(a->value, b->value)) {
                ct_raise(CT_ERR_FORMAT, state_dict_loading, "%.400s: %s and %s are tied but differ",
                         l->path, cti_quote(state_dict_name(l->set, a->param)).s,
                         cti_quote(state_dict_name(l->set, b->param)).s);
                return false;
            }
            b->value = NULL;
            break;
        }
    return true;
}

/* Moves the values that were read into the set. Checks all shapes first, under the lock, because
 * another thread may have materialized a parameter since they were matched. */
static bool state_dict_commit(state_dict_load *l)
{
    bool ok;
    int i;

    cti_params_lock(l->set);
    for (i = 0, ok = true; i < l->count && ok; i++) {
        state_dict_slot *s = &l->slot[i];

        ok = !s->value || cti_param_fits(s->param, &s->value->shape);
        if (!ok)
            ct_raise(CT_ERR_SHAPE, state_dict_loading,
                     "%.400s: %s was given another shape while the file was read", l->path,
                     cti_quote(state_dict_name(l->set, s->param)).s);
    }
    for (i = 0; i < l->count && ok; i++)
        if (l->slot[i].value)
            cti_param_put(l->slot[i].param, l->slot[i].value, &l->slot[i].leaf);
    cti_params_unlock(l->set);
    return ok;
}

static bool state_dict_read(state_dict_load *l)
{
    ct_scope s = cti_scope_push();
    bool ok = s.id;
    int i;

    for (i = 0; i < l->count && ok; i++)
        ok = state_dict_stage(l, &l->slot[i]);
    ok = ok && state_dict_check_tied(l) && state_dict_commit(l);
    for (i = 0; i < l->count; i++)
        cti_free("ct_params_load", l->slot[i].leaf);
    cti_scope_pop(s);
    return ok;
}

static bool state_dict_make_slots(state_dict_load *l)
{
    size_t room;
    int i;

    l->count = ct_params_count(l->set);
    room = (size_t)l->count + 1;
    l->slot = cti_calloc(room, sizeof *l->slot);
    if (!l->slot) {
        cti_out_of_memory(state_dict_loading, room * sizeof *l->slot);
        return false;
    }
    for (i = 0; i < l->count; i++)
        l->slot[i] = (state_dict_slot){ .param = ct_params_at(l->set, i), .from = -1 };
    return true;
}

ct_status cti_params_load_file(ct_params *set, ct_safetensors *file, const char *path,
                               ct_load_options options)
{
    ct_load_report own = { NULL, 0, 0 };
    state_dict_load l = { .set = set,
                          .path = path,
                          .options = options,
                          .file = file,
                          .found = options.report ? options.report : &own };
    bool ok = state_dict_make_slots(&l) && state_dict_match(&l) && state_dict_judge(&l) &&
              state_dict_read(&l);

    cti_release(l.slot);
    ct_load_report_clear(&own);
    return ok ? CT_OK : ct_error();
}

ct_status ct_params_load(ct_params *set, const char *path, ct_load_options options)
{
    ct_safetensors *file;
    ct_status status;

    ct_load_report_clear(options.report);
    if (!cti_sink_allowed())
        return ct_error();
    if (!set || !path)
        return ct_raise(CT_ERR_ARGUMENT, state_dict_loading, "%s is NULL", set ? "path" : "set");
    file = options.map ? ct_safetensors_open_mapped(path) : ct_safetensors_open(path);
    status = file ? cti_params_load_file(set, file, path, options) : ct_error();
    ct_safetensors_close(file);
    return status;
}

ct_status ct_params_load_from(ct_params *set, ct_reader reader, ct_load_options options)
{
    ct_safetensors *file;
    ct_status status;

    ct_load_report_clear(options.report);
    if (!cti_sink_allowed() || !cti_given("ct_params_load_from", "set", set))
        return ct_error();
    file = ct_safetensors_open_reader(reader);
    status = file ? cti_params_load_file(set, file, reader.name ? reader.name : "reader", options)
                  : ct_error();
    ct_safetensors_close(file);
    return status;
}
