/* SPDX-License-Identifier: MIT */
/* timemachine.c - finds The Time Machine: a folder of the user, the cache, a download, or the sample. */
#include "data/text_internal.h"

#include <cotangent/data/timemachine.h>

#include "data/fetch.h"
#include "tensor/environment.h"
#include "tensor/hooks.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define DOWNLOAD_LIMIT ((size_t)1000000)

#define TIMEMACHINE "timemachine.txt"
#define TIMEMACHINE_URL "https://d2l-data.s3-accelerate.amazonaws.com/timemachine.txt"
#define TIMEMACHINE_SHA256 "8424dbd9532ac81f7e5f0b6add90e6952baea29158309d7d1bf3884f4e12c516"

static bool book_looks_like_html(const char *s)
{
    s += strspn(s, " \t\r\n\f");
    return strncasecmp(s, "<!doctype", 9) == 0 || strncasecmp(s, "<html", 5) == 0;
}

/* Compares bytes, which end with a NUL, with the book. Returns a description of the difference; ""
 * if they are equal. */
typedef struct book_mismatch {
    char s[200];
} book_mismatch;

static book_mismatch book_compare(const char *bytes, size_t size)
{
    book_mismatch m = { "" };
    char hex[65];

    ct_sha256_hex(bytes, size, hex);
    if (strcmp(hex, TIMEMACHINE_SHA256) != 0)
        snprintf(m.s, sizeof m.s, "its SHA-256 is %s; it must be %s%s", hex, TIMEMACHINE_SHA256,
                 book_looks_like_html(bytes) ? "; the text looks like HTML" : "");
    return m;
}

/* The result of a function that looks for the text in one place. FOUND: it has filled t. REFUSED:
 * it has raised an error. */
typedef enum book_lookup { FOUND, ABSENT, REFUSED } book_lookup;

static book_lookup book_in_data_dir(ct_text *t, cti_reasons *why)
{
    const char *dir = cti_environment("COTANGENT_DATA_DIR");
    char path[PATH_MAX];
    book_mismatch wrong;

    if (!dir || !dir[0])
        return ABSENT;
    errno = ENAMETOOLONG;
    if (snprintf(path, sizeof path, "%s/%s", dir, TIMEMACHINE) < (int)sizeof path)
        t->bytes = cti_text_read_file(path, &t->size);
    if (!t->bytes && (errno == ENOENT || errno == ENOTDIR)) {
        cti_because(why, "no %s in COTANGENT_DATA_DIR", TIMEMACHINE);
        return ABSENT;
    }
    if (!t->bytes) {
        cti_text_raise_errno("ct_text_new_timemachine", path);
        return REFUSED;
    }
    wrong = book_compare(t->bytes, t->size);
    if (wrong.s[0]) {
        ct_raise(CT_ERR_FORMAT, "ct_text_new_timemachine", "%s: %s", path, wrong.s);
        return REFUSED;
    }
    snprintf(t->source, sizeof t->source, "text: %s (from COTANGENT_DATA_DIR)", path);
    return FOUND;
}

static book_lookup book_in_cache(ct_text *t, const char *path, cti_reasons *why)
{
    if (!path)
        return ABSENT;
    t->bytes = cti_text_read_file(path, &t->size);
    if (!t->bytes) {
        if (errno != ENOENT && errno != ENOTDIR)
            cti_because(why, "%s: %s", path, strerror(errno));
        return ABSENT;
    }
    if (book_compare(t->bytes, t->size).s[0]) {
        cti_because(why, "%s is not The Time Machine", path);
        cti_release((void *)t->bytes);
        t->bytes = NULL;
        return ABSENT;
    }
    snprintf(t->source, sizeof t->source, "text: %s (cached)", path);
    return FOUND;
}

/* The bytes are checked before anything is written; a text that cannot be cached is still used. */
static book_lookup book_by_download(ct_text *t, char *path, cti_reasons *why)
{
    const char *url = cti_environment("COTANGENT_TIMEMACHINE_URL");
    bool override = url && url[0];
    cti_reasons not_cached = { "" };
    book_mismatch wrong;

    url = override ? url : TIMEMACHINE_URL;
    t->bytes = cti_download(url, override, DOWNLOAD_LIMIT, &t->size, why);
    if (!t->bytes)
        return ABSENT;
    wrong = book_compare(t->bytes, t->size);
    if (wrong.s[0]) {
        cti_because(why, "no download: %s: %s", url, wrong.s);
        cti_release((void *)t->bytes);
        t->bytes = NULL;
        return ABSENT;
    }
    if (path && cti_cache_write(path, t->bytes, t->size, &not_cached))
        snprintf(t->source, sizeof t->source, "text: %s (downloaded from %s)", path, url);
    else
        snprintf(t->source, sizeof t->source, "text: downloaded from %s (%s)", url,
                 path ? not_cached.s : why->s);
    return FOUND;
}

static book_lookup book_sample(ct_text *t, const cti_reasons *why)
{
    t->sample = true;
    t->bytes = (const char *)cti_sample_text;
    t->size = cti_sample_text_size;
    snprintf(t->source, sizeof t->source, "text: sample text (%zu bytes, part of the library): %s",
             t->size, why->s);
    return FOUND;
}

ct_text *ct_text_new_timemachine(const char *path)
{
    cti_reasons why = { "" };
    book_lookup found;
    ct_text *t;

    if (path)
        return ct_text_read(path);
    t = cti_text_new("ct_text_new_timemachine");
    if (!t)
        return NULL;
    found = book_in_data_dir(t, &why);
    if (found == ABSENT) {
        char *cache = cti_cache_path(TIMEMACHINE, &why);

        found = book_in_cache(t, cache, &why);
        if (found == ABSENT)
            found = book_by_download(t, cache, &why);
        if (found == ABSENT)
            found = book_sample(t, &why);
        cti_release(cache);
    }
    if (found == FOUND)
        return t;
    ct_text_free(t);
    return NULL;
}
