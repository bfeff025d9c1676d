/* SPDX-License-Identifier: MIT */
/* module_list.c - lists of modules. */
#include "nn/internal.h"

#include "tensor/hooks.h"

#include <cotangent/nn/module_list.h>

#include <limits.h>
#include <stdio.h>
#include <string.h>

#define MOST_NAME 200

struct ct_module_list {
    char name[MOST_NAME + 1], next[MOST_NAME + 13]; /* next: with a dot and a number */
    int count, room;
    ct_module **module;
};

static void module_list_free(void *list)
{
    cti_release(((ct_module_list *)list)->module);
    cti_release(list);
}

ct_module_list *ct_nn_module_list(ct_params *params, const char *name)
{
    static const char *const me = "ct_nn_module_list";
    ct_module_list *l;

    if (!cti_module_given(me, params, name) || !ct_params_sub(params, name))
        return NULL;
    if (strlen(name) > MOST_NAME) {
        ct_raise(CT_ERR_ARGUMENT, me, "name has %zu bytes; it may have %d", strlen(name),
                 MOST_NAME);
        return NULL;
    }
    l = cti_calloc(1, sizeof *l);
    if (!l) {
        cti_out_of_memory(me, sizeof *l);
        return NULL;
    }
    strcpy(l->name, name);
    return ct_params_own(params, l, module_list_free) == CT_OK ? l : NULL;
}

const char *ct_module_list_next(ct_module_list *l)
{
    if (!cti_given("ct_module_list_next", "l", l))
        return NULL;
    snprintf(l->next, sizeof l->next, "%s.%d", l->name, l->count);
    return l->next;
}

static bool module_list_grow(ct_module_list *l)
{
    const size_t old = (size_t)l->room * sizeof *l->module,
                 size = old ? 2 * old : 8 * sizeof *l->module;
    ct_module **module = l->count < INT_MAX / 2 ? cti_realloc(l->module, old, size) : NULL;

    if (!module) {
        cti_out_of_memory("ct_module_list_append", size);
        return false;
    }
    l->module = module;
    l->room = l->room ? 2 * l->room : 8;
    return true;
}

ct_status ct_module_list_append(ct_module_list *l, ct_module *m)
{
    static const char *const me = "ct_module_list_append";

    if (!cti_given(me, "l", l) || !cti_given(me, "m", m) ||
        (l->count == l->room && !module_list_grow(l)))
        return ct_error();
    l->module[l->count++] = m;
    return CT_OK;
}

int ct_module_list_count(const ct_module_list *l)
{
    return l ? l->count : 0;
}

ct_module *ct_module_list_get(const ct_module_list *l, int i)
{
    static const char *const me = "ct_module_list_get";
    int at = i < 0 ? -1 - i : i; /* the position from the end if i is negative */

    if (!cti_given(me, "l", l))
        return NULL;
    if (at >= l->count) {
        ct_raise(CT_ERR_INDEX, me, "i is %d; the list has %d modules", i, l->count);
        return NULL;
    }
    return l->module[i < 0 ? l->count - 1 - at : at];
}
