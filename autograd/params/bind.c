/* SPDX-License-Identifier: MIT */
/* bind.c - the values of parameters: the set's own, or others that are bound in their place.
 *
 * A thread has a chain of bindings, the newest first. The end of a scope restores the chain of its
 * beginning, and the memory of a binding ends with the scope in which it was made. A node of the
 * tape never outlives the scopes that were open when it was recorded. So it may store the chain,
 * for backward functions that run code again. */
#include "autograd/params/set.h"

#include <string.h>

/* A binding has one of two kinds. A set binding is for all entries of a set. A swap binding is
 * for a few entries while a function of the library runs. */
struct cti_binding {
    const cti_binding *outer;
    const params_root *root;    /* the set; NULL in a swap binding */
    const cti_param_swap *swap; /* the entries and their values; NULL in a set binding */
    int count;                  /* the length of value; entries that were added later are not
                                 * bound */
    ct_tensor **value;          /* for each entry a reference to its value; NULL: the set's own
                                 * value */
};

/* A set binding, followed by its array value. The scope frees it. */
typedef struct bind_memory {
    cti_attached attached;
    cti_binding binding;
} bind_memory;

/* ---- reading ---- */

ct_tensor *cti_param_own(ct_param *p)
{
    if (!cti_given("ct_param_value", "p", p))
        return NULL;
    if (!cti_param_real(p)->value)
        ct_raise(CT_ERR_SHAPE, "ct_param_value", "the shape of %s is not known yet: %s", p->name,
                 cti_shape_text(&cti_param_real(p)->shape).s);
    return cti_param_real(p)->value;
}

/* Returns the innermost binding of a whole set; NULL if there is none. */
static const cti_binding *bind_of(const cti_binding *b, const params_root *root)
{
    while (b && b->root != root)
        b = b->outer;
    return b;
}

/* Returns the value that is bound for p, an entry that is not tied; NULL if none is. */
static ct_tensor *bind_find(const cti_binding *b, const ct_param *p)
{
    int i;

    for (; b && b->root != p->root; b = b->outer)
        for (i = 0; b->swap && i < CTI_PARAM_SWAPS; i++)
            if (b->swap->param[i] && cti_param_real(b->swap->param[i]) == p)
                return b->swap->value[i];
    return b && p->index < b->count ? b->value[p->index] : NULL;
}

ct_tensor *ct_param_value(ct_param *p)
{
    const cti_binding *chain = cti_thread()->bindings;
    ct_tensor *bound = chain && p ? bind_find(chain, cti_param_real(p)) : NULL;

    if (!bound)
        return cti_param_own(p);
    return cti_usable_as("ct_param_value", p->name, bound) ? bound : NULL;
}

int ct_params_values(const ct_params *set, int room, ct_tensor **values)
{
    static const char *const me = "ct_params_values";
    int i, n = 0;

    if (!cti_given(me, "set", set) || !cti_given_array(me, "values", room, values))
        return 0;
    for (i = 0; i < set->count; i++) {
        if (!cti_params_trains(set, i))
            continue;
        if (n < room)
            values[n] = cti_param_own(set->entry[i]);
        n++;
    }
    return n;
}

/* ---- binding ---- */

static bool bind_check(const char *me, const ct_param *p, const ct_tensor *v)
{
    const ct_tensor *own = cti_param_real(p)->value;

    if (!own) {
        ct_raise(CT_ERR_SHAPE, me, "the shape of %s is not known yet: %s", p->name,
                 cti_shape_text(&cti_param_real(p)->shape).s);
        return false;
    }
    if (!cti_same_shape(&own->shape, &v->shape)) {
        ct_raise(CT_ERR_SHAPE, me, "%s has the shape %s; its value %s does not", p->name,
                 cti_shape_text(&own->shape).s, cti_describe(v).s);
        return false;
    }
    return cti_same_dtype(me, p->name, own, "its value", v) &&
           cti_same_device(me, p->name, own, "its value", v);
}

static void bind_end(cti_attached *a, const char *function)
{
    const cti_binding *b = &((bind_memory *)(void *)a)->binding;

    (void)function;
    for (int i = 0; i < b->count; i++)
        if (b->value[i])
            cti_unref(b->value[i]);
}

/* Makes a binding of the innermost scope that starts with the values of the previous binding; NULL
 * with an error. */
static cti_binding *bind_new(const char *me, const params_root *root)
{
    const cti_binding *chain = cti_thread()->bindings, *before = bind_of(chain, root);
    const int count = root->whole->count;
    bind_memory *m = cti_scope_alloc(me, sizeof *m + (size_t)count * sizeof *m->binding.value);

    if (!m)
        return NULL;
    m->attached.end = bind_end;
    m->binding = (cti_binding){ .outer = chain && chain->root == root ? chain->outer : chain,
                                .root = root,
                                .count = count,
                                .value = (ct_tensor **)(void *)(m + 1) };
    for (int i = 0; i < count; i++) {
        m->binding.value[i] = before && i < before->count ? before->value[i] : NULL;
        if (m->binding.value[i])
            cti_ref(m->binding.value[i]);
    }
    cti_scope_attach(me, &m->attached);
    return &m->binding;
}

static void bind_put(cti_binding *b, const ct_param *p, ct_tensor *v)
{
    ct_tensor **at = &b->value[cti_param_real(p)->index];

    if (v)
        cti_ref(v);
    if (*at)
        cti_unref(*at);
    *at = v;
}

ct_status ct_params_bind(ct_params *set, int count, ct_tensor *const *values)
{
    static const char *const me = "ct_params_bind";
    const int trained = set ? ct_params_values(set, 0, NULL) : 0;
    cti_binding *b;
    int i, n = 0;

    if (!cti_given(me, "set", set) || !cti_optional_all(me, "values", count, values))
        return ct_error();
    if (count != 0 && count != trained)
        return ct_raise(CT_ERR_ARGUMENT, me,
                        "count is %d; it must be 0 or %d, the number of trained parameters", count,
                        trained);
    for (i = 0; i < set->count && count; i++)
        if (cti_params_trains(set, i) && values[n++] &&
            !bind_check(me, set->entry[i], values[n - 1]))
            return ct_error();
    b = bind_new(me, set->root);
    if (!b)
        return ct_error();
    for (i = 0, n = 0; i < set->count; i++)
        if (cti_params_trains(set, i))
            bind_put(b, set->entry[i], count ? values[n++] : NULL);
    cti_thread()->bindings = b;
    return CT_OK;
}

/* ---- for backward functions that run code again ---- */

void *cti_params_with(const cti_param_swap *swap, void *(*run)(void *context), void *context)
{
    ct_thread *th = cti_thread();
    const cti_binding b = { .outer = th->bindings, .swap = swap };
    void *result;

    th->bindings = &b;
    result = run(context);
    th->bindings = b.outer;
    return result;
}
