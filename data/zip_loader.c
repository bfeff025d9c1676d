/* SPDX-License-Identifier: MIT */
/* zip_loader.c - batches of several loaders side by side. */
#include "tensor/internal.h"

#include "data/internal.h"
#include "tensor/hooks.h"
#include "tensor/text.h"

#include <stdio.h>
#include <string.h>

static const char *const zip_making = "ct_loader_zip_new";

struct cti_zip {
    ct_loader *part[CT_LOADER_ZIP]; /* owned */
    char name[CT_LOADER_ZIP][CTI_FIELD_NAME + 1];
    int count;
};

/* "NAME.FIELD" */
typedef struct zip_name {
    char s[CTI_FIELD_NAME + 1 + CTI_LENGTHS_NAME];
} zip_name;

/* ---- batches ---- */

/* Puts the fields of all parts into *batch; false with an error. */
static bool zip_give(const cti_zip *z, ct_batch *batch, const ct_batch *part)
{
    ct_tensor **fields;
    const char **names;
    zip_name *text;
    int count = 0, n = 0;

    for (int k = 0; k < z->count; k++)
        count += part[k].field_count;
    fields = cti_scope_alloc("ct_loader_next", (size_t)count * sizeof *batch->fields);
    names = cti_scope_alloc("ct_loader_next", (size_t)count * sizeof *names);
    text = cti_scope_alloc("ct_loader_next", (size_t)count * sizeof *text);
    if (!fields || !names || !text)
        return false;
    for (int k = 0; k < z->count; k++)
        for (int i = 0; i < part[k].field_count; i++, n++) {
            fields[n] = part[k].fields[i];
            snprintf(text[n].s, sizeof text[n].s, "%s.%s", z->name[k], part[k].names[i]);
            names[n] = text[n].s;
        }
    batch->field_count = count;
    batch->fields = fields;
    batch->names = names;
    batch->rows = part[0].rows;
    batch->tokens = part[0].tokens;
    return true;
}

bool cti_zip_next(ct_loader *l, ct_batch *batch)
{
    const cti_zip *z = l->zip;
    ct_batch part[CT_LOADER_ZIP];

    for (int k = 0; k < z->count; k++)
        if (!ct_loader_next(z->part[k], &part[k])) {
            if (ct_ok()) /* a stream that ended before its batches() said */
                l->batches = l->next;
            return false;
        }
    return zip_give(z, batch, part);
}

/* ---- epochs ---- */

void cti_zip_measure(ct_loader *l)
{
    l->batches = INT64_MAX;
    for (int k = 0; k < l->zip->count; k++)
        if (l->zip->part[k]->batches < l->batches)
            l->batches = l->zip->part[k]->batches;
}

int64_t cti_zip_most_batches(const ct_loader *l)
{
    int64_t least = INT64_MAX;

    for (int k = 0; k < l->zip->count; k++) {
        int64_t batches = cti_loader_most_batches(l->zip->part[k]);

        least = batches < least ? batches : least;
    }
    return least;
}

bool cti_zip_go(ct_loader *l, int64_t epoch, int64_t batch)
{
    for (int k = 0; k < l->zip->count; k++)
        if (!cti_loader_go(l->zip->part[k], epoch, batch, -1))
            return false;
    cti_zip_measure(l);
    return true;
}

void cti_zip_describe(const ct_loader *l, cti_entries *e)
{
    const cti_zip *z = l->zip;

    cti_buffer_print(cti_entries_add(e, "kind"), "%s", l->kind);
    for (int k = 0; k < z->count; k++) {
        cti_entries part = { 0 };

        cti_loader_describe(z->part[k], &part);
        for (size_t i = 0; i < part.count && !cti_entries_failed(&part); i++)
            cti_buffer_print(cti_entries_add(e, "%s.%s", z->name[k], part.at[i].name.bytes), "%s",
                             part.at[i].value.bytes ? part.at[i].value.bytes : "");
        cti_entries_free(&part);
    }
}

/* ---- making and freeing ---- */

void cti_zip_free(cti_zip *z)
{
    for (int k = 0; z && k < z->count; k++)
        ct_loader_free(z->part[k]);
    cti_release(z);
}

/* Whether loader k can be in the zip; false with an error. */
static bool zip_check(int k, ct_loader *const *loaders, const char *const *names)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
    const char *name = names[k] ? names[k] : "";

    if (!loaders[k] || !names[k]) {
        if (ct_ok())
            ct_raise(CT_ERR_ARGUMENT, zip_making, "%s[%d] is NULL",
                     loaders[k] ? "names" : "loaders", k);
        return false;
    }
    if (!*name || strlen(name) > CTI_FIELD_NAME || name[strspn(name, allowed)]) {
        ct_raise(CT_ERR_ARGUMENT, zip_making,
                 "names[%d] is %s; it must have 1 to %d letters, digits or '_'", k,
                 cti_quote(name).s, CTI_FIELD_NAME);
        return false;
    }
    for (int i = 0; i < k; i++)
        if (strcmp(names[i], name) == 0 || loaders[i] == loaders[k]) {
            ct_raise(CT_ERR_ARGUMENT, zip_making, "%s[%d] and %s[%d] are the same",
                     loaders[i] == loaders[k] ? "loaders" : "names", i,
                     loaders[i] == loaders[k] ? "loaders" : "names", k);
            return false;
        }
    return true;
}

static bool zip_check_all(int count, ct_loader *const *loaders, const char *const *names)
{
    if (count < 1 || count > CT_LOADER_ZIP) {
        ct_raise(CT_ERR_ARGUMENT, zip_making, "count is %d; it must be in 1..%d", count,
                 CT_LOADER_ZIP);
        return false;
    }
    if (!cti_given(zip_making, "loaders", loaders) || !cti_given(zip_making, "names", names))
        return false;
    for (int k = 0; k < count; k++)
        if (!zip_check(k, loaders, names))
            return false;
    return true;
}

/* Frees the loaders, each once. */
static void zip_drop(int count, ct_loader *const *loaders)
{
    for (int k = 0; loaders && k < count && k < CT_LOADER_ZIP; k++) {
        bool earlier = false;

        for (int i = 0; i < k; i++)
            earlier = earlier || loaders[i] == loaders[k];
        if (!earlier)
            ct_loader_free(loaders[k]);
    }
}

ct_loader *ct_loader_zip_new(int count, ct_loader *const *loaders, const char *const *names)
{
    ct_loader *l = NULL;
    cti_zip *z = NULL;

    if (zip_check_all(count, loaders, names)) {
        l = cti_calloc(1, sizeof *l);
        z = l ? cti_calloc(1, sizeof *z) : NULL;
        if (!z)
            cti_out_of_memory(zip_making, l ? sizeof *z : sizeof *l);
    }
    if (!z) {
        cti_release(l);
        zip_drop(count, loaders);
        return NULL;
    }
    *l = (ct_loader){ .function = zip_making,
                      .kind = "zip",
                      .cut = CTI_ZIP,
                      .counted = -1,
                      .fixed = -1,
                      .continues = true,
                      .zip = z };
    for (int k = 0; k < count; k++) {
        z->part[k] = loaders[k];
        strcpy(z->name[k], names[k]);
        l->continues = l->continues && ct_loader_continues(loaders[k]);
    }
    z->count = count;
    cti_zip_measure(l);
    return l;
}
